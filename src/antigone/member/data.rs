//! Data at a member (RA §5): what it sends, and what it receives.

use bytes::BytesMut;

use super::{Member, Phase};
use crate::endpoint::{Class, Cx, Instant, Link, To, Transmit};
use crate::error::{CommandError, Misuse, Reason};
use crate::event::{Event, Port};
use crate::group::data::DataSealer;
use crate::policy::Communication;
use crate::wire::Message as _;
use crate::wire::antigone::Data;

impl Member {
    /// Sends a message to the group.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NotCurrent`] (no current key, or no link), [`Misuse::TooLong`],
    /// [`Misuse::SealerTaken`], [`Misuse::KeyExhausted`], [`CommandError::Full`], [`Failure::Suite`](crate::error::Failure::Suite).
    pub fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        let Some(session) = self.session() else { return Err(Misuse::NotJoined.into()) };
        if !session.joined {
            return Err(Misuse::NotJoined.into());
        }
        let current = session.current();
        let link = self.data_link().filter(|_| current).ok_or(Misuse::NotCurrent)?;
        if !self.out.room(1, 0) {
            return Err(CommandError::Full);
        }
        let Phase::In(session) = &mut self.phase else { return Err(Misuse::NotJoined.into()) };
        let frame = session.station.seal(&mut self.out.pool, now, port, payload)?;
        self.out.stats.sealed += 1;
        self.out.send(Transmit { to: To::Link(link), frame, class: Class::Data });
        Ok(())
    }

    /// Moves the sealer of the current epoch out: the data plane on its own, for a thread of its own. It stops by itself
    /// when its key ends, and at the instant of [`Self::evidence_until`] unless it is extended. Until the next epoch is
    /// installed, [`Self::send`] has nothing to seal with. To send what it seals is the application's business: over
    /// [`Self::data_link`].
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NotCurrent`], [`Misuse::SealerTaken`].
    pub fn take_sealer(&mut self, cx: &mut Cx<'_>) -> Result<DataSealer, Misuse> {
        let now = self.out.tick(cx.now);
        let Phase::In(session) = &mut self.phase else { return Err(Misuse::NotJoined) };
        if !session.current() {
            return Err(Misuse::NotCurrent);
        }
        session.station.take_sealer(now)
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

    /// Where a message goes now, by the policy's mode of communication: over the shared link where the leader is heard, or else to
    /// the leader. For what a sealer seals that was taken.
    pub fn data_link(&self) -> Option<Link> {
        let session = self.session()?;
        let symmetric = session.station.policy.communication == Communication::Symmetric;
        self.heard_over().filter(|_| symmetric).or(session.link)
    }

    /// The longest payload of [`Self::send`], in bytes; 0 outside a group.
    pub fn max_message(&self) -> usize {
        self.session().map_or(0, |session| session.station.max_message())
    }

    /// RA §5, receiver. With `keeps`, what came before its key waits for it.
    pub(super) fn on_data(&mut self, now: Instant, link: Link, frame: BytesMut, keeps: bool) -> Result<(), Reason> {
        let rto = self.me.limits.retry.first;
        let shared = self.links.get(&link).is_some_and(|info| info.shared);
        let session = match &mut self.phase {
            Phase::In(session) => session,
            Phase::Ending(_) => return Err(Reason::Ended),
            Phase::Idle | Phase::Asking(_) => return Err(Reason::NotJoined),
        };
        // A member delivers nothing while it is stale or has never known its key to be current (S8). One that is merely
        // behind still delivers what opens. The timer may be late, after a suspension above all: the time decides.
        let stale = session.stale || session.outdated(rto, now);
        let current = session.evidence.current_as_of.is_some() && !stale;
        let parsed = Data::parse(&frame).map_err(|_| Reason::Malformed)?.message;
        let (group, epoch, cid) = (parsed.group, parsed.epoch, parsed.cid);
        let station = &mut session.station;
        let unseen = epoch > station.ring.installed() || (!current && !stale);
        if group == station.group && cid != station.cid && unseen {
            // Its key, or the evidence for it, may be on its way. What has waited once and is early still is dropped:
            // anybody can write it.
            return if keeps { station.keep_early(link, frame) } else { Err(Reason::EarlyEpoch) };
        }
        let checked = station.check(now, frame, current)?;
        // What is clear may be anybody's where anybody may write: none where nobody does, and else so much (RA §5).
        let anybodys = checked.is_clear() && shared;
        if anybodys && station.policy.communication == Communication::Relay {
            return Err(Reason::NotMember);
        }
        let message = station.deliver(checked)?;
        if anybodys && !session.clear.take(now) {
            return Err(Reason::Budget);
        }
        self.out.stats.delivered += 1;
        self.out.event(Event::Data(message));
        Ok(())
    }
}
