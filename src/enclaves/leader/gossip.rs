//! Private messages at a leader: it hands out their keys, and passes them on to whom it has given one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::{Leader, Timer};
use crate::crypto::keys::role;
use crate::crypto::{Key, Secret};
use crate::enclaves::gossip::{self, port_code, port_of};
use crate::endpoint::{Class, Cx, Instant, Link, To, Transmit};
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::{Event, Message, Port, Sender};
use crate::identity::MemberId;
use crate::wire::Message as _;
use crate::wire::enclaves::repaired::{Gossip, MAX_RECIPIENTS, RequestText};

/// A private message under way: by its sender and number.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Relay {
    pub(super) key: Key<role::Gossip>,
    /// The message, once it is here.
    frame: Option<Bytes>,
    /// Who is still to be given the key.
    keyless: BTreeSet<MemberId>,
    /// Who has the key, and waits for the message.
    ready: BTreeSet<MemberId>,
    /// Who was named and is not reached.
    missed: Vec<MemberId>,
    /// The leader is a recipient, and has not heard it.
    listens: bool,
    until: Instant,
}

fingerprint!(Relay { key, frame, keyless, ready, missed, listens, until });

/// What a member is to be told of private messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whisper {
    /// The key of this one.
    Key(MemberId, u64),
    /// The key that it asked for.
    Grant(u64),
    /// What became of its own.
    Answer(u64),
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Whisper {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::Key(from, number) => (0u8, (from.0, *number)).fingerprint(now, sink),
            Self::Grant(number) => (1u8, *number).fingerprint(now, sink),
            Self::Answer(number) => (2u8, *number).fingerprint(now, sink),
        }
    }
}

/// The private messages under way.
pub(super) type Relays = BTreeMap<(MemberId, u64), Relay>;

impl Leader {
    /// Says something to some members, by number; gives the number of the message. Best effort. [`Event::GossipSent`] tells
    /// who was not reached.
    ///
    /// # Errors
    /// [`Misuse::NoMember`] (nobody, or more than [`MAX_RECIPIENTS`]), [`Misuse::Oneself`], [`Misuse::TooLong`],
    /// [`Misuse::Unanswered`], [`Misuse::Closed`], [`CommandError::Full`], [`Failure`].
    pub fn gossip(
        &mut self,
        cx: &mut Cx<'_>,
        to: &[MemberId],
        port: Port,
        payload: &[u8],
    ) -> Result<u64, CommandError> {
        let now = self.command(cx)?;
        let mut to: Vec<MemberId> = to.to_vec();
        to.sort_unstable();
        to.dedup();
        if to.is_empty() || to.len() > MAX_RECIPIENTS {
            return Err(Misuse::NoMember.into());
        }
        if to.contains(&MemberId::LEADER) {
            return Err(Misuse::Oneself.into());
        }
        if payload.len() > self.max_gossip(to.len()) {
            return Err(Misuse::TooLong.into());
        }
        if self.relayed_for(MemberId::LEADER) >= self.me.limits.gossip {
            return Err(Misuse::Unanswered.into());
        }
        let number = self.gossips + 1;
        let key = self.fresh_gossip_key(cx)?;
        let frame = self.seal_gossip(&key, MemberId::LEADER, number, port_code(port), payload)?;
        // Nothing can fail from here on.
        self.gossips = number;
        self.relay(now, MemberId::LEADER, number, to, key, Some(frame));
        let missed = self.relays.get(&(MemberId::LEADER, number)).map(|relay| relay.missed.clone());
        self.out.event(Event::GossipSent { number, missed: missed.unwrap_or_default() });
        Ok(number)
    }

    /// The longest payload of [`Self::gossip`] to so many, in bytes.
    pub fn max_gossip(&self, recipients: usize) -> usize {
        self.max_message().saturating_sub(128 + 8 * recipients)
    }

    /// What a request says of a private message. Nothing has changed if it fails.
    pub(super) fn on_gossip_request(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        from: MemberId,
        number: u64,
        text: &RequestText<'_>,
    ) -> Result<(), Reason> {
        let (to, key, frame, grants) = match text {
            RequestText::Gossip(whole) => {
                let key = self.fresh_gossip_key(cx)?;
                let port = whole.text.port;
                port_of(port)?;
                let frame = self.seal_gossip(&key, from, number, port, whole.text.payload.0)?;
                (whole.to, key, Some(frame), false)
            }
            RequestText::GossipKey(wanted) => (wanted.to, self.fresh_gossip_key(cx)?, None, true),
            RequestText::GossipWrap(wrap) => (wrap.to, Key::new(Secret::new(wrap.key.0)), None, false),
            RequestText::Here | RequestText::Eject(_) => return Ok(()),
        };
        let to: Vec<MemberId> = to.iter().filter(|cid| *cid != from).collect();
        let whole = frame.is_some();
        let to = if self.relayed_for(from) < self.me.limits.gossip { Ok(to) } else { Err(to) };
        match to {
            Ok(to) => self.relay(now, from, number, to, key, frame),
            // No room: nobody is reached.
            Err(missed) => {
                let relay = Relay {
                    key,
                    frame: None,
                    keyless: BTreeSet::new(),
                    ready: BTreeSet::new(),
                    missed,
                    listens: false,
                    until: now + self.me.limits.gossip_time,
                };
                self.relays.insert((from, number), relay);
                self.set_gossip_timer();
            }
        }
        let nobody = self.relays.get(&(from, number)).is_some_and(Relay::is_done);
        if whole || nobody {
            self.whisper(from, Whisper::Answer(number));
        } else if grants {
            self.whisper(from, Whisper::Grant(number));
        }
        Ok(())
    }

    /// EN-R10 of a member, which the leader passes on.
    pub(super) fn on_gossip(&mut self, frame: BytesMut) -> Result<(), Reason> {
        if self.closing.is_some() {
            return Err(Reason::Ended);
        }
        let Gossip { group, cid, number } = Gossip::parse(&frame).map_err(|_| Reason::Malformed)?.message;
        if group != self.station.group {
            return Err(Reason::OtherGroup);
        }
        let relay = self.relays.get(&(cid, number)).ok_or(Reason::Unknown)?;
        if relay.frame.is_some() {
            return Err(Reason::Replayed);
        }
        // Nobody else could seal it; and what does not open is worth nothing to anybody. It costs the leader one opening.
        let mut copy = frame.clone();
        let (port, payload) = gossip::open(&*self.me.suite, &relay.key, &mut copy)?;
        let frame = Bytes::copy_from_slice(&frame);
        let Some(relay) = self.relays.get_mut(&(cid, number)) else { return Err(Reason::Unknown) };
        relay.frame = Some(frame);
        if core::mem::take(&mut relay.listens) {
            self.hear_gossip(cid, port, payload);
        }
        self.pass_on(cid, number);
        self.whisper(cid, Whisper::Answer(number));
        Ok(())
    }

    fn hear_gossip(&mut self, from: MemberId, port: Port, payload: Bytes) {
        let epoch = self.issue.epoch();
        self.out.stats.delivered += 1;
        self.out.event(Event::Gossip(Message { from: Sender::Vouched(from), epoch, port, payload }));
    }

    fn fresh_gossip_key(&self, cx: &mut Cx<'_>) -> Result<Key<role::Gossip>, Failure> {
        Ok(Key::new(self.me.suite.fresh_secret(cx.rng, self.me.suite.sizes().group_key)?))
    }

    fn seal_gossip(
        &self,
        key: &Key<role::Gossip>,
        from: MemberId,
        number: u64,
        port: u8,
        payload: &[u8],
    ) -> Result<Bytes, Failure> {
        let (header, group) = (self.station.header, self.station.group);
        gossip::seal(&*self.me.suite, header, key, group, from, number, port, payload)
    }

    fn relayed_for(&self, from: MemberId) -> usize {
        self.relays.range((from, 0)..=(from, u64::MAX)).count()
    }

    /// Begins to relay.
    fn relay(
        &mut self,
        now: Instant,
        from: MemberId,
        number: u64,
        to: Vec<MemberId>,
        key: Key<role::Gossip>,
        frame: Option<Bytes>,
    ) {
        let most = self.me.limits.gossip.saturating_mul(4);
        let (mut keyless, mut missed, mut listens) = (BTreeSet::new(), Vec::new(), false);
        for cid in to {
            match self.peers.get_mut(&cid) {
                _ if cid == MemberId::LEADER => listens = true,
                // Who waits for its rekey is not in the group yet; and who takes none is not told more and more.
                Some(peer) if !peer.waits() && peer.whispers.len() < most => {
                    peer.whispers.push_back(Whisper::Key(from, number));
                    keyless.insert(cid);
                    self.work.insert(cid);
                }
                _ => missed.push(cid),
            }
        }
        let heard = frame.clone().filter(|_| listens);
        let until = now + self.me.limits.gossip_time;
        let listens = listens && heard.is_none();
        let relay = Relay { key, frame, keyless, ready: BTreeSet::new(), missed, listens, until };
        if let Some(frame) = heard
            && let Ok((port, payload)) = gossip::open(&*self.me.suite, &relay.key, &mut frame.to_vec())
        {
            self.hear_gossip(from, port, payload);
        }
        self.relays.insert((from, number), relay);
        self.set_gossip_timer();
    }

    /// A member is to be told something of private messages.
    fn whisper(&mut self, cid: MemberId, whisper: Whisper) {
        if let Some(peer) = self.peers.get_mut(&cid)
            && !peer.whispers.contains(&whisper)
        {
            peer.whispers.push_back(whisper);
            self.work.insert(cid);
        }
    }

    /// A member has been given the key of this one.
    pub(super) fn keyed(&mut self, cid: MemberId, from: MemberId, number: u64) {
        if let Some(relay) = self.relays.get_mut(&(from, number)) {
            relay.keyless.remove(&cid);
            relay.ready.insert(cid);
            self.pass_on(from, number);
        }
    }

    /// Passes a message that is here on to those who have its key.
    fn pass_on(&mut self, from: MemberId, number: u64) {
        let Some(relay) = self.relays.get_mut(&(from, number)) else { return };
        let Some(frame) = relay.frame.clone() else { return };
        let ready = core::mem::take(&mut relay.ready);
        let done = relay.is_done();
        let links: BTreeSet<Link> =
            ready.iter().filter_map(|cid| self.peers.get(cid)).filter_map(|peer| peer.link).collect();
        if !links.is_empty() {
            let to = To::Many(links.into_iter().collect::<Vec<_>>().into());
            self.out.stats.relayed += 1;
            self.out.send(Transmit { to, frame, class: Class::Data });
        }
        if done && from == MemberId::LEADER {
            self.relays.remove(&(from, number));
            self.set_gossip_timer();
        }
    }

    /// Somebody is gone: what it said goes on to whom it was for; what was for it does not.
    pub(super) fn forget_gossip(&mut self, gone: MemberId) {
        for relay in self.relays.values_mut() {
            relay.keyless.remove(&gone);
            relay.ready.remove(&gone);
        }
    }

    /// Those that are under way for too long go.
    pub(super) fn gossip_time(&mut self, now: Instant) {
        self.relays.retain(|_, relay| relay.until > now);
        self.set_gossip_timer();
    }

    fn set_gossip_timer(&mut self) {
        let next = self.relays.values().map(|relay| relay.until).min();
        self.timers.set(Timer::Gossip, next);
    }
}

impl Relay {
    fn is_done(&self) -> bool {
        self.keyless.is_empty() && self.ready.is_empty() && !self.listens
    }

    /// Those named who were not reached, by rising number.
    pub(super) fn missed(&self) -> Vec<MemberId> {
        let mut missed = self.missed.clone();
        missed.sort_unstable();
        missed
    }
}
