//! Words under way at a leader: who is to have the key of each, who has it, and the sealed text once it is here.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::endpoint::{Class, Instant, Link, To, Transmit};
use crate::error::Reason;
use crate::group::Limits;
use crate::identity::MemberId;
use crate::wire::field::Digest;

/// A word under way: by its sender and number.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Relay {
    /// K'.
    pub key: Key<role::Gossip>,
    /// The digest of the sealed text: as its sender has named it, or else once the text is here.
    pub digest: Option<Digest>,
    /// The sealed text, once it is here.
    frame: Option<Bytes>,
    /// Who is still to be given the key.
    keyless: BTreeSet<MemberId>,
    /// Who has the key, and waits for the text.
    ready: BTreeSet<MemberId>,
    /// Who was named and is not reached.
    missed: Vec<MemberId>,
    /// The leader is a recipient, and has not heard it.
    listens: bool,
    /// Its sender, a member, is still to hear what became of it.
    unanswered: bool,
    until: Instant,
}

fingerprint!(Relay { key, digest, frame, keyless, ready, missed, listens, unanswered, until });

impl Relay {
    /// Everybody that is reached has been passed the text.
    pub fn is_done(&self) -> bool {
        self.keyless.is_empty() && self.ready.is_empty() && !self.listens
    }

    /// Whether the leader is a recipient that has not heard it.
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// The members that have the key, or are still to be given it; without those to whom the text has been passed on.
    #[cfg(any(test, feature = "sim"))]
    pub fn holders(&self) -> impl Iterator<Item = MemberId> {
        self.keyless.iter().chain(&self.ready).copied()
    }

    /// Those named who were not reached, by rising number.
    pub fn missed(&self) -> Vec<MemberId> {
        let mut missed = self.missed.clone();
        missed.sort_unstable();
        missed
    }
}

/// What a member is to be told of private words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whisper {
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

/// What one member is still to be told of private words, oldest first. Of keys it holds four times
/// [`Limits::gossip`] at most; of answers as many as the member has words without one.
#[derive(Debug, Default)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Whispers {
    waiting: VecDeque<Whisper>,
}

fingerprint!(Whispers { waiting });

impl Whispers {
    /// None yet.
    pub const fn new() -> Self {
        Self { waiting: VecDeque::new() }
    }

    /// Whether nothing is to be told.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether another key may wait: who takes none is not told more and more.
    pub fn has_room(&self, limits: &Limits) -> bool {
        self.waiting.len() < limits.gossip.saturating_mul(4)
    }

    /// The oldest.
    pub fn front(&self) -> Option<Whisper> {
        self.waiting.front().copied()
    }

    /// The oldest has been told.
    pub fn pop(&mut self) {
        self.waiting.pop_front();
    }

    /// This is to be told too, if it is not already.
    pub fn push(&mut self, whisper: Whisper) {
        if !self.waiting.contains(&whisper) {
            self.waiting.push_back(whisper);
        }
    }
}

/// What is to be relayed.
#[derive(Debug)]
pub struct Asked {
    /// K'.
    pub key: Key<role::Gossip>,
    /// The digest of the sealed text, where its sender has named it, or the text is here already.
    pub digest: Option<Digest>,
    /// The sealed text, if it is here already.
    pub frame: Option<Bytes>,
}

/// A sealed text on its way to those that have its key.
#[derive(Debug)]
pub struct Passing {
    /// The text, as its sender sealed it.
    pub frame: Bytes,
    /// To whom.
    pub to: BTreeSet<MemberId>,
}

impl Passing {
    /// As it goes out: point to point, over the links that these members have, never over a shared one. `None` if they have none.
    pub fn transmit(self, link_of: impl Fn(MemberId) -> Option<Link>) -> Option<Transmit> {
        let links: BTreeSet<Link> = self.to.into_iter().filter_map(link_of).collect();
        let to = (!links.is_empty()).then(|| To::Many(links.into_iter().collect::<Vec<_>>().into()))?;
        Some(Transmit { to, frame: self.frame, class: Class::Data })
    }
}

/// The words under way: of each sender so many, each for so long.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Relays {
    under_way: BTreeMap<(MemberId, u64), Relay>,
    most: usize,
    life: Duration,
}

fingerprint!(Relays { under_way } skip { most, life });

impl Relays {
    /// None yet, within these bounds.
    pub const fn new(limits: &Limits) -> Self {
        Self { under_way: BTreeMap::new(), most: limits.gossip, life: limits.gossip_time }
    }

    /// Whether another word of this sender may be under way.
    pub fn has_room(&self, from: MemberId) -> bool {
        self.under_way.range((from, 0)..=(from, u64::MAX)).count() < self.most
    }

    /// The word of this sender and number.
    pub fn get(&self, from: MemberId, number: u64) -> Option<&Relay> {
        self.under_way.get(&(from, number))
    }

    /// The words under way, with their senders.
    #[cfg(any(test, feature = "sim"))]
    pub fn iter(&self) -> impl Iterator<Item = (MemberId, &Relay)> {
        self.under_way.iter().map(|((from, _), relay)| (*from, relay))
    }

    /// Begins to relay a word to `to`. `reach` says whether somebody named is reached, and then owes that member the key.
    /// Without room for it nobody is reached. The leader reads along where it is named: once the text is here.
    pub fn begin(
        &mut self,
        now: Instant,
        from: MemberId,
        number: u64,
        asked: Asked,
        to: impl Iterator<Item = MemberId>,
        mut reach: impl FnMut(MemberId) -> bool,
    ) {
        let room = self.has_room(from);
        let (mut keyless, mut missed, mut listens) = (BTreeSet::new(), Vec::new(), false);
        for cid in to.filter(|cid| *cid != from) {
            if room && cid == MemberId::LEADER {
                listens = true;
            } else if room && reach(cid) {
                keyless.insert(cid);
            } else {
                missed.push(cid);
            }
        }
        let Asked { key, digest, frame } = asked;
        let frame = frame.filter(|_| room);
        let (ready, until) = (BTreeSet::new(), now + self.life);
        let unanswered = from != MemberId::LEADER;
        let relay = Relay { key, digest, frame, keyless, ready, missed, listens, unanswered, until };
        self.under_way.insert((from, number), relay);
    }

    /// The word whose text comes now.
    ///
    /// # Errors
    /// [`Reason::Unknown`], [`Reason::Replayed`].
    pub fn awaiting(&self, from: MemberId, number: u64) -> Result<&Relay, Reason> {
        let relay = self.get(from, number).ok_or(Reason::Unknown)?;
        if relay.frame.is_some() { Err(Reason::Replayed) } else { Ok(relay) }
    }

    /// The text is here, it is the right one, and has this digest. The leader has heard it if it was to.
    pub fn arrived(&mut self, from: MemberId, number: u64, frame: Bytes, digest: Digest) {
        if let Some(relay) = self.under_way.get_mut(&(from, number)) {
            (relay.frame, relay.digest, relay.listens) = (Some(frame), Some(digest), false);
        }
    }

    /// Who is still to be given the key of a word.
    pub fn keyless(&self, from: MemberId, number: u64) -> Vec<MemberId> {
        self.get(from, number).map_or_else(Vec::new, |relay| relay.keyless.iter().copied().collect())
    }

    /// A member that was named is not reached after all.
    pub fn miss(&mut self, cid: MemberId, from: MemberId, number: u64) {
        if let Some(relay) = self.under_way.get_mut(&(from, number))
            && relay.keyless.remove(&cid)
        {
            relay.missed.push(cid);
        }
    }

    /// The leader has heard a word whose text was here from the start.
    pub fn heard(&mut self, from: MemberId, number: u64) {
        if let Some(relay) = self.under_way.get_mut(&(from, number)) {
            relay.listens = false;
        }
    }

    /// A member has been given the key of this one.
    pub fn keyed(&mut self, cid: MemberId, from: MemberId, number: u64) {
        if let Some(relay) = self.under_way.get_mut(&(from, number))
            && relay.keyless.remove(&cid)
        {
            relay.ready.insert(cid);
        }
    }

    /// What is to be passed on now: the text, if it is here, to those that have its key.
    pub fn pass_on(&mut self, from: MemberId, number: u64) -> Option<Passing> {
        let relay = self.under_way.get_mut(&(from, number))?;
        let frame = relay.frame.clone()?;
        let to = core::mem::take(&mut relay.ready);
        self.settle(from, number);
        Some(Passing { frame, to })
    }

    /// Its sender has been told what became of it.
    pub fn answered(&mut self, from: MemberId, number: u64) {
        if let Some(relay) = self.under_way.get_mut(&(from, number)) {
            relay.unanswered = false;
        }
        self.settle(from, number);
    }

    /// A word that is done and answered is forgotten.
    fn settle(&mut self, from: MemberId, number: u64) {
        if self.get(from, number).is_some_and(|relay| relay.is_done() && !relay.unanswered) {
            self.under_way.remove(&(from, number));
        }
    }

    /// Somebody is gone: what it said goes on to whom it was for; what was for it does not.
    pub fn forget(&mut self, gone: MemberId) {
        for relay in self.under_way.values_mut() {
            relay.keyless.remove(&gone);
            relay.ready.remove(&gone);
        }
    }

    /// Those that are under way for too long go.
    pub fn expire(&mut self, now: Instant) {
        self.under_way.retain(|_, relay| relay.until > now);
    }

    /// When the next one goes.
    pub fn next(&self) -> Option<Instant> {
        self.under_way.values().map(|relay| relay.until).min()
    }

    /// All keys are wiped.
    pub fn clear(&mut self) {
        self.under_way.clear();
    }
}
