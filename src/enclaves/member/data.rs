//! Data at a member (EN-R9): what it sends, and what it receives.

use bytes::BytesMut;

use super::{Member, Phase};
use crate::endpoint::{Class, Cx, Instant, Link, To, Transmit};
use crate::error::{CommandError, Misuse, Reason};
use crate::event::{Event, Port};
use crate::group::data::DataSealer;
use crate::wire::Message as _;
use crate::wire::antigone::Data;

impl Member {
    /// Sends a message to the group, by way of the leader.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NotCurrent`] (no current key, or no link), [`Misuse::TooLong`],
    /// [`Misuse::SealerTaken`], [`Misuse::KeyExhausted`], [`CommandError::Full`],
    /// [`Failure::Suite`](crate::error::Failure::Suite).
    pub fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        let room = self.out.room(1, 0);
        let Phase::In(session) = &mut self.phase else { return Err(Misuse::NotJoined.into()) };
        if !session.joined {
            return Err(Misuse::NotJoined.into());
        }
        let current = session.current();
        let link = session.link.filter(|_| current).ok_or(Misuse::NotCurrent)?;
        if !room {
            return Err(CommandError::Full);
        }
        let frame = session.station.seal(&mut self.out.pool, now, port, payload)?;
        self.out.stats.sealed += 1;
        self.out.send(Transmit { to: To::Link(link), frame, class: Class::Data });
        Ok(())
    }

    /// Moves the sealer of the current epoch out: the data plane on its own. It stops by itself when its key ends, and at the
    /// instant of [`Self::evidence_until`] unless it is extended. What it seals goes over [`Self::data_link`].
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NotCurrent`], [`Misuse::SealerTaken`].
    pub fn take_sealer(&mut self, cx: &mut Cx<'_>) -> Result<DataSealer, Misuse> {
        let now = self.out.tick(cx.now);
        let Phase::In(session) = &mut self.phase else { return Err(Misuse::NotJoined) };
        if session.current() { session.station.take_sealer(now) } else { Err(Misuse::NotCurrent) }
    }

    /// Until when the evidence holds that the key here is current (S8): for [`DataSealer::extend`]. `None` without a
    /// current key.
    pub fn evidence_until(&self) -> Option<Instant> {
        let session = self.session().filter(|session| session.current())?;
        match session.staleness(self.me.limits.retry.first) {
            Some(bound) => session.evidence.stale_at(bound),
            None => Some(Instant::from_micros(u64::MAX)),
        }
    }

    /// Where a message goes now. For what a sealer seals that was taken.
    pub fn data_link(&self) -> Option<Link> {
        self.session()?.link
    }

    /// The longest payload of [`Self::send`], in bytes; 0 outside a group.
    pub fn max_message(&self) -> usize {
        self.session().map_or(0, |session| session.station.max_message())
    }

    /// EN-R9. With `keeps`, what came before its key waits for it.
    pub(super) fn on_data(&mut self, now: Instant, link: Link, frame: BytesMut, keeps: bool) -> Result<(), Reason> {
        let rto = self.me.limits.retry.first;
        let session = match &mut self.phase {
            Phase::In(session) => session,
            Phase::Ending(_) => return Err(Reason::Ended),
            Phase::Idle | Phase::Asking(_) => return Err(Reason::NotJoined),
        };
        // Neither while stale nor before the key was first known to be current is anything delivered (S8). The timer may be
        // late, after a suspension above all: the time decides.
        let stale = session.stale || session.outdated(rto, now);
        let current = session.evidence.current_as_of.is_some() && !stale;
        let Data { group, epoch, cid, .. } = Data::parse(&frame).map_err(|_| Reason::Malformed)?.message;
        let station = &mut session.station;
        let early = epoch > station.ring.installed() || (!current && !stale);
        if early && group == station.group && cid != station.cid {
            return if keeps { station.keep_early(link, frame) } else { Err(Reason::EarlyEpoch) };
        }
        let checked = station.check(now, frame, current)?;
        let message = station.deliver(checked)?;
        self.out.stats.delivered += 1;
        self.out.event(Event::Data(message));
        Ok(())
    }
}
