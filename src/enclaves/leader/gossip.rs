//! Private messages at a leader: it hands out their keys, and passes them on to whom it has given one.

use bytes::{Bytes, BytesMut};

use super::peer::Peer;
use super::{Leader, Timer};
use crate::crypto::keys::role;
use crate::crypto::{Key, Secret};
use crate::enclaves::gossip;
use crate::endpoint::{Cx, Instant};
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::{Event, Message, Port, Sender};
use crate::group::private::{Asked, Relay, Whisper, digest, port_code, port_of, recipients};
use crate::identity::MemberId;
use crate::wire::Message as _;
use crate::wire::enclaves::repaired::{Gossip, RequestText};

impl Leader {
    /// Says something to some members, by number; gives the number of the message. Best effort. [`Event::GossipSent`] tells
    /// who was not reached.
    ///
    /// # Errors
    /// [`Misuse::NoMember`] (nobody, or more than [`MAX_RECIPIENTS`](crate::wire::shared::MAX_RECIPIENTS)), [`Misuse::Oneself`], [`Misuse::TooLong`],
    /// [`Misuse::Unanswered`], [`Misuse::Closed`], [`CommandError::Full`], [`Failure`].
    pub fn gossip(
        &mut self,
        cx: &mut Cx<'_>,
        to: &[MemberId],
        port: Port,
        payload: &[u8],
    ) -> Result<u64, CommandError> {
        let now = self.command(cx)?;
        let to = recipients(MemberId::LEADER, to)?;
        if payload.len() > self.max_gossip(to.len()) {
            return Err(Misuse::TooLong.into());
        }
        if !self.relays.has_room(MemberId::LEADER) {
            return Err(Misuse::Unanswered.into());
        }
        let number = self.gossips + 1;
        let key = self.fresh_gossip_key(cx)?;
        let frame = self.seal_gossip(&key, MemberId::LEADER, number, port_code(port), payload)?;
        let digest = Some(digest(&*self.me.suite, &frame)?);
        // Nothing can fail from here on.
        self.gossips = number;
        self.relay(now, MemberId::LEADER, number, to.into_iter(), Asked { key, digest, frame: Some(frame) });
        let missed = self.relays.get(MemberId::LEADER, number).map(Relay::missed);
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
            RequestText::Here | RequestText::Eject(_) | RequestText::Put(_) => return Ok(()),
        };
        let whole = frame.is_some();
        let digest = frame.as_ref().map(|frame| digest(&*self.me.suite, frame)).transpose()?;
        self.relay(now, from, number, to.iter(), Asked { key, digest, frame });
        let nobody = self.relays.get(from, number).is_some_and(Relay::is_done);
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
        let relay = self.relays.awaiting(cid, number)?;
        // Nobody else could seal it; and what does not open is worth nothing to anybody. It costs the leader one opening.
        let mut copy = frame.clone();
        let (port, payload) = gossip::open(&*self.me.suite, &relay.key, &mut copy)?;
        let digest = digest(&*self.me.suite, &frame)?;
        if relay.listens() {
            self.hear_gossip(cid, port, payload);
        }
        self.relays.arrived(cid, number, Bytes::copy_from_slice(&frame), digest);
        self.hand_out(cid, number);
        self.pass_on(cid, number);
        self.whisper(cid, Whisper::Answer(number));
        Ok(())
    }

    /// The text is here: its recipients are given its key, but those that take none.
    fn hand_out(&mut self, from: MemberId, number: u64) {
        for cid in self.relays.keyless(from, number) {
            match self.peers.get_mut(&cid) {
                Some(peer) if peer.whispers.has_room(&self.me.limits) => {
                    peer.whispers.push(Whisper::Key(from, number));
                    self.work.insert(cid);
                }
                _ => self.relays.miss(cid, from, number),
            }
        }
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

    /// Begins to relay.
    fn relay(&mut self, now: Instant, from: MemberId, number: u64, to: impl Iterator<Item = MemberId>, asked: Asked) {
        let Self { relays, peers, me, .. } = self;
        let whole = asked.frame.clone();
        // Who waits for its rekey is not in the group yet.
        let reached = |peer: &Peer| !peer.waits() && peer.whispers.has_room(&me.limits);
        relays.begin(now, from, number, asked, to, |cid| peers.get(&cid).is_some_and(reached));
        // Until the text is here, its sender alone has K': whoever else had it could be faster, under the sender's name.
        if whole.is_some() {
            self.hand_out(from, number);
        }
        if let (Some(frame), Some(relay)) = (whole, self.relays.get(from, number).filter(|relay| relay.listens()))
            && let Ok((port, payload)) = gossip::open(&*self.me.suite, &relay.key, &mut frame.to_vec())
        {
            self.relays.heard(from, number);
            self.hear_gossip(from, port, payload);
        }
        self.set_gossip_timer();
    }

    /// A member is to be told something of private messages.
    fn whisper(&mut self, cid: MemberId, whisper: Whisper) {
        if let Some(peer) = self.peers.get_mut(&cid) {
            peer.whispers.push(whisper);
            self.work.insert(cid);
        }
    }

    /// A member has been given the key of this one.
    pub(super) fn keyed(&mut self, cid: MemberId, from: MemberId, number: u64) {
        self.relays.keyed(cid, from, number);
        self.pass_on(from, number);
    }

    /// Passes a message that is here on to those who have its key.
    fn pass_on(&mut self, from: MemberId, number: u64) {
        let passing = self.relays.pass_on(from, number);
        if let Some(transmit) = passing.and_then(|passing| passing.transmit(|cid| self.peers.get(&cid)?.link)) {
            self.out.relay(transmit);
        }
        self.set_gossip_timer();
    }

    /// Those that are under way for too long go.
    pub(super) fn gossip_time(&mut self, now: Instant) {
        self.relays.expire(now);
        self.set_gossip_timer();
    }

    pub(super) fn set_gossip_timer(&mut self) {
        self.timers.set(Timer::Gossip, self.relays.next());
    }
}
