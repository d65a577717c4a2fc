//! Private words at a leader: it hands out their keys, and passes them on to whom it has given one.

use bytes::{Bytes, BytesMut};

use super::{Leader, Timer};
use crate::antigone::private::{passed, wrapped};
use crate::crypto::{Key, Secret};
use crate::endpoint::{Cx, Instant};
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::{Event, Message, Port, Sender};
use crate::group::private::{self, Asked, Relay, Whisper, Word, digest, is_named, port_code, recipients};
use crate::identity::MemberId;
use crate::wire::antigone::{PrivateWord, Wrap};

impl Leader {
    /// Says something to some members alone, by number; gives the number of the word. Best effort. [`Event::GossipSent`] tells
    /// who was not reached.
    ///
    /// # Errors
    /// [`Misuse::NoMember`] (nobody, or more than [`MAX_RECIPIENTS`](crate::wire::shared::MAX_RECIPIENTS)),
    /// [`Misuse::Oneself`], [`Misuse::TooLong`], [`Misuse::Unanswered`], [`Misuse::Closed`], [`CommandError::Full`],
    /// [`Failure`].
    pub fn say_privately(
        &mut self,
        cx: &mut Cx<'_>,
        to: &[MemberId],
        port: Port,
        payload: &[u8],
    ) -> Result<u64, CommandError> {
        let now = self.command(cx)?;
        let to = recipients(MemberId::LEADER, to)?;
        if payload.len() > self.max_private() {
            return Err(Misuse::TooLong.into());
        }
        if !self.relays.has_room(MemberId::LEADER) {
            return Err(Misuse::Unanswered.into());
        }
        let (suite, header, number) = (&*self.me.suite, self.station.header, self.words + 1);
        let key = Key::new(suite.fresh_secret(cx.rng, suite.sizes().group_key).map_err(Failure::from)?);
        let word = Word { group: self.station.group, cid: MemberId::LEADER, number };
        let frame = private::seal::<PrivateWord>(suite, header, &key, word, port_code(port), payload)?;
        let digest = Some(digest(suite, &frame)?);
        // Nothing can fail from here on.
        self.words = number;
        self.relay(now, MemberId::LEADER, number, Asked { key, digest, frame: Some(frame) }, to.into_iter());
        let missed = self.relays.get(MemberId::LEADER, number).map(Relay::missed);
        self.out.event(Event::GossipSent { number, missed: missed.unwrap_or_default() });
        Ok(number)
    }

    /// The longest payload of [`Self::say_privately`], in bytes.
    pub fn max_private(&self) -> usize {
        private::max_payload(&*self.me.suite, self.station.policy.frame_limit as usize)
    }

    /// Whether a member waits for the rekey that its admission makes.
    pub(super) fn waits(&self, cid: MemberId) -> bool {
        self.peers.get(&cid).is_none_or(super::peer::Peer::waits)
    }

    /// Whether a member may ask that a key be handed out: who lets answers pile up may not.
    pub(super) fn may_wrap(&self, from: MemberId) -> bool {
        self.peers.get(&from).is_some_and(|peer| peer.whispers.has_room(&self.me.limits))
    }

    /// The record `wrap` of a member, its record of this number.
    pub(super) fn on_wrap(&mut self, now: Instant, from: MemberId, number: u64, wrap: &Wrap<'_>) {
        let asked = Asked { key: Key::new(Secret::new(wrap.key.0)), digest: Some(wrap.digest), frame: None };
        self.relay(now, from, number, asked, wrap.to.iter());
        if self.relays.get(from, number).is_some_and(Relay::is_done) {
            self.whisper(from, Whisper::Answer(number));
        }
    }

    /// RA-P of a member, which the leader passes on.
    pub(super) fn on_private(&mut self, frame: &BytesMut) -> Result<(), Reason> {
        if self.closing.is_some() {
            return Err(Reason::Ended);
        }
        let Word { group, cid, number } = private::word_of::<PrivateWord>(frame)?;
        if group != self.station.group {
            return Err(Reason::OtherGroup);
        }
        let relay = self.relays.awaiting(cid, number)?;
        // It is what its sender has named. Without being a recipient, the leader does not open it.
        let digest = relay.digest.ok_or(Reason::Unknown)?;
        is_named(&*self.me.suite, &digest, frame)?;
        if relay.listens() {
            let (port, payload) = private::open::<PrivateWord>(&*self.me.suite, &relay.key, &mut frame.clone())?;
            let (from, epoch) = (Sender::Vouched(cid), self.issue.epoch());
            self.out.stats.delivered += 1;
            self.out.event(Event::Gossip(Message { from, epoch, port, payload }));
        }
        self.relays.arrived(cid, number, Bytes::copy_from_slice(frame), digest);
        self.pass_on(cid, number);
        self.whisper(cid, Whisper::Answer(number));
        Ok(())
    }

    /// Begins to relay.
    fn relay(&mut self, now: Instant, from: MemberId, number: u64, asked: Asked, to: impl Iterator<Item = MemberId>) {
        let Self { relays, peers, work, me, .. } = self;
        relays.begin(now, from, number, asked, to, |cid| match peers.get_mut(&cid) {
            // Who waits for its rekey is not in the group yet.
            Some(peer) if !peer.waits() && peer.whispers.has_room(&me.limits) => {
                peer.whispers.push(Whisper::Key(from, number));
                work.insert(cid);
                true
            }
            _ => false,
        });
        self.set_word_timer();
    }

    /// A member is to be told something of private words.
    fn whisper(&mut self, cid: MemberId, whisper: Whisper) {
        if let Some(peer) = self.peers.get_mut(&cid) {
            peer.whispers.push(whisper);
            self.work.insert(cid);
        }
    }

    /// The next record of private words for a member, and the word whose key it holds. What is over by now is passed over.
    pub(super) fn word_record(&mut self, cid: MemberId) -> Option<(Bytes, Option<(MemberId, u64)>)> {
        let peer = self.peers.get_mut(&cid)?;
        while let Some(whisper) = peer.whispers.front() {
            peer.whispers.pop();
            match whisper {
                Whisper::Key(from, number) => {
                    let relay = self.relays.get(from, number);
                    if let Some((relay, digest)) = relay.and_then(|relay| Some((relay, relay.digest?))) {
                        return Some((wrapped(from, number, &relay.key, digest), Some((from, number))));
                    }
                }
                Whisper::Answer(number) => {
                    if let Some(relay) = self.relays.get(cid, number) {
                        let record = passed(number, &relay.missed());
                        self.relays.answered(cid, number);
                        self.set_word_timer();
                        return Some((record, None));
                    }
                }
                // Nobody asks this leader for a key.
                Whisper::Grant(_) => {}
            }
        }
        None
    }

    /// A member has the key of this one.
    pub(super) fn keyed(&mut self, cid: MemberId, (from, number): (MemberId, u64)) {
        self.relays.keyed(cid, from, number);
        self.pass_on(from, number);
    }

    /// Passes a word that is here on to those who have its key: point to point, never over a shared link.
    fn pass_on(&mut self, from: MemberId, number: u64) {
        let passing = self.relays.pass_on(from, number);
        if let Some(transmit) = passing.and_then(|passing| passing.transmit(|cid| self.peers.get(&cid)?.link)) {
            self.out.relay(transmit);
        }
        self.set_word_timer();
    }

    /// Words that are under way for too long go.
    pub(super) fn word_time(&mut self, now: Instant) {
        self.relays.expire(now);
        self.set_word_timer();
    }

    fn set_word_timer(&mut self) {
        self.timers.set(Timer::Word, self.relays.next());
    }
}
