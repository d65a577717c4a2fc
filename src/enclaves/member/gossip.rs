//! Private messages at a member: what it says, and what it hears.

use bytes::{Bytes, BytesMut};

use super::requests::Wanted;
use super::session::Session;
use super::{Member, Phase};
use crate::crypto::keys::role;
use crate::crypto::{Key, Secret};
use crate::enclaves::gossip::{self, Form};
use crate::endpoint::{Class, Cx, Instant, To, Transmit};
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::{Event, Message, Port, Sender};
use crate::group::private::{Stage, is_named, port_code, recipients};
use crate::identity::MemberId;
use crate::wire::Message as _;
use crate::wire::enclaves::repaired::{Gossip, GossipKey};

impl Session {
    /// The message that a granted key seals, computed before anything changes.
    pub(super) fn seal_granted(&self, number: u64, key: &Key<role::Gossip>) -> Result<Bytes, Reason> {
        let (port, payload) = self.gossips.keyless(number).ok_or(Reason::Violation)?;
        let station = &self.station;
        let (header, group, cid) = (station.header, station.group, station.cid);
        Ok(gossip::seal(&*station.suite, header, key, group, cid, number, port, payload)?)
    }
}

impl Member {
    /// Says something to some members, by number, in this form. It gives the number of the message;
    /// [`Event::GossipSent`] tells when it is on its way, and who was not reached. Best effort.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NotCurrent`], [`Misuse::NoMember`] (nobody, or more than
    /// [`MAX_RECIPIENTS`](crate::wire::shared::MAX_RECIPIENTS)), [`Misuse::Oneself`], [`Misuse::TooLong`], [`Misuse::Unanswered`], [`CommandError::Full`], [`Failure`].
    pub fn gossip(
        &mut self,
        cx: &mut Cx<'_>,
        form: Form,
        to: &[MemberId],
        port: Port,
        payload: &[u8],
    ) -> Result<u64, CommandError> {
        let now = self.out.tick(cx.now);
        self.room()?;
        let (suite, limits) = (self.me.suite.clone(), self.me.limits);
        let longest = self.max_gossip(to.len());
        let Phase::In(session) = &mut self.phase else { return Err(Misuse::NotJoined.into()) };
        if !session.joined {
            return Err(Misuse::NotJoined.into());
        }
        if !session.current() {
            return Err(Misuse::NotCurrent.into());
        }
        let to = recipients(session.station.cid, to)?;
        if payload.len() > longest {
            return Err(Misuse::TooLong.into());
        }
        if !session.gossips.has_room() || session.requests.open() >= limits.records {
            return Err(Misuse::Unanswered.into());
        }
        let number = session.requests.next();
        let (wanted, stage) = match form {
            Form::Documented => {
                (Wanted::Gossip(to, port_code(port), Bytes::copy_from_slice(payload)), Stage::WithLeader)
            }
            Form::Asked => (Wanted::GossipKey(to), Stage::Keyless(port_code(port), Bytes::copy_from_slice(payload))),
            Form::Own => {
                let drawn = suite.fresh_secret(cx.rng, suite.sizes().group_key).map_err(Failure::from)?;
                let (key, station) = (Key::new(drawn), &session.station);
                let (header, group, cid) = (station.header, station.group, station.cid);
                let frame = gossip::seal(&*suite, header, &key, group, cid, number, port_code(port), payload)?;
                (Wanted::GossipWrap(to, key), Stage::Sealed(frame))
            }
        };
        // Nothing can fail from here on.
        session.requests.want(wanted);
        session.gossips.say(now, number, stage);
        // What cannot be sent now goes out with a timeout.
        let _ = self.ask_next(now);
        Ok(number)
    }

    /// The longest payload of [`Self::gossip`] to so many, in bytes; 0 outside a group.
    pub fn max_gossip(&self, recipients: usize) -> usize {
        // In the documented form text and recipients go into one request.
        self.max_message().saturating_sub(128 + 8 * recipients)
    }

    /// A key for a message that is to come.
    pub(super) fn await_gossip(&mut self, now: Instant, gossip: &GossipKey<'_>) {
        let GossipKey { from, number, key, digest } = *gossip;
        let Phase::In(session) = &mut self.phase else { return };
        let key = Key::new(Secret::new(key.0));
        if let Some((from, number)) = session.gossips.expect(now, from, number, key, digest) {
            self.out.event(Event::GossipMissed { from, number });
        }
    }

    /// What is due of private messages: one frame at most.
    pub(super) fn gossip_time(&mut self, now: Instant) {
        let Phase::In(session) = &mut self.phase else { return };
        let link = session.link;
        while self.out.room(0, 1)
            && let Some((from, number)) = session.gossips.lost(now)
        {
            self.out.event(Event::GossipMissed { from, number });
        }
        if let (Some(frame), Some(link)) = (session.gossips.repeat(now, &mut self.jitter), link) {
            self.out.send(Transmit { to: To::Link(link), frame, class: Class::Data });
        }
    }

    /// EN-R10.
    pub(super) fn on_gossip(&mut self, mut frame: BytesMut) -> Result<(), Reason> {
        let session = match &mut self.phase {
            Phase::In(session) => session,
            Phase::Ending(_) => return Err(Reason::Ended),
            Phase::Idle | Phase::Asking(_) => return Err(Reason::NotJoined),
        };
        let Gossip { group, cid, number } = Gossip::parse(&frame).map_err(|_| Reason::Malformed)?.message;
        if group != session.station.group {
            return Err(Reason::OtherGroup);
        }
        let awaited = session.gossips.expected(cid, number).ok_or(Reason::Unknown)?;
        let suite = &*session.station.suite;
        // What the leader had when it handed out the key, and nothing else (A2).
        is_named(suite, &awaited.digest, &frame)?;
        let (port, payload) = gossip::open(suite, &awaited.key, &mut frame)?;
        // The key goes with the first message that opens (E5).
        session.gossips.heard(cid, number);
        let epoch = session.station.ring.installed();
        self.out.stats.delivered += 1;
        self.out.event(Event::Gossip(Message { from: Sender::Vouched(cid), epoch, port, payload }));
        Ok(())
    }
}
