//! Words at a member: its own until they are answered, and the keys of others' until these come.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use bytes::Bytes;

use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::endpoint::Instant;
use crate::group::{Backoff, Jitter, Limits, Retry};
use crate::identity::MemberId;
use crate::wire::field::Digest;

/// The private words of a session.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Words {
    /// Own ones that the leader has not answered, by number.
    said: BTreeMap<u64, Said>,
    /// Keys of others', whose text has not come; oldest first.
    awaited: VecDeque<Awaited>,
    most: usize,
    life: Duration,
}

fingerprint!(Words { said, awaited } skip { most, life });

#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Said {
    stage: Stage,
    until: Instant,
}

fingerprint!(Said { stage, until });

/// How far an own word has come.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub enum Stage {
    /// The leader seals it.
    WithLeader,
    /// Its key is asked for.
    Keyless(u8, Bytes),
    /// It is sealed, and follows when the leader has taken what announces it.
    Sealed(Bytes),
    /// It is repeated until the leader has it.
    Flying(Bytes, Backoff),
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Stage {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::WithLeader => 0u8.fingerprint(now, sink),
            Self::Keyless(port, payload) => (1u8, (*port, payload.clone())).fingerprint(now, sink),
            Self::Sealed(frame) => (2u8, frame.clone()).fingerprint(now, sink),
            Self::Flying(frame, backoff) => {
                (3u8, frame.clone()).fingerprint(now, sink);
                backoff.fingerprint(now, sink);
            }
        }
    }
}

/// A word that is to come.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Awaited {
    /// Who said it.
    pub from: MemberId,
    /// Its number.
    pub number: u64,
    /// K'.
    pub key: Key<role::Gossip>,
    /// The digest of its sealed text.
    pub digest: Digest,
    until: Instant,
}

fingerprint!(Awaited { from, number, key, digest, until });

impl Words {
    /// None yet, within these bounds.
    pub const fn new(limits: &Limits) -> Self {
        Self { said: BTreeMap::new(), awaited: VecDeque::new(), most: limits.gossip, life: limits.gossip_time }
    }

    /// When something is to be done.
    pub fn due(&self) -> Option<Instant> {
        let awaited = self.awaited.front().map(|awaited| awaited.until);
        let said = self.said.values().map(|said| match &said.stage {
            Stage::Flying(_, backoff) => backoff.due().min(said.until),
            _ => said.until,
        });
        said.chain(awaited).min()
    }

    /// Whether another word may be said: few are without an answer.
    pub fn has_room(&self) -> bool {
        self.said.len() < self.most
    }

    /// A word is said.
    pub fn say(&mut self, now: Instant, number: u64, stage: Stage) {
        self.said.insert(number, Said { stage, until: now + self.life });
    }

    /// Port and text of a word whose key was asked for.
    pub fn keyless(&self, number: u64) -> Option<(u8, &Bytes)> {
        match &self.said.get(&number)?.stage {
            Stage::Keyless(port, payload) => Some((*port, payload)),
            _ => None,
        }
    }

    /// The leader has said what became of it.
    pub fn answered(&mut self, number: u64) {
        self.said.remove(&number);
    }

    /// A word whose key was asked for is sealed now: it follows.
    pub fn sealed(&mut self, now: Instant, retry: Retry, jitter: &mut Jitter, number: u64, frame: Bytes) {
        if let Some(said) = self.said.get_mut(&number) {
            said.stage = flying(now, retry, jitter, frame);
        }
    }

    /// The leader has taken what announces the words up to this number: the oldest sealed one follows.
    pub fn follow(&mut self, now: Instant, retry: Retry, jitter: &mut Jitter, taken: u64) {
        let sealed = self.said.range_mut(..=taken).find_map(|(_, said)| match &said.stage {
            Stage::Sealed(frame) => Some((frame.clone(), said)),
            _ => None,
        });
        if let Some((frame, said)) = sealed {
            said.stage = flying(now, retry, jitter, frame);
        }
    }

    /// The frame of an own word that is due, if one is. What the leader never answered is given up: it may have gone out or
    /// not, and nobody is known to have been missed.
    pub fn repeat(&mut self, now: Instant, jitter: &mut Jitter) -> Option<Bytes> {
        self.said.retain(|_, said| said.until > now);
        self.said.values_mut().find_map(|said| match &mut said.stage {
            Stage::Flying(frame, backoff) if backoff.due() <= now => {
                backoff.again(now, jitter);
                Some(frame.clone())
            }
            _ => None,
        })
    }

    /// A key for a word that is to come. If there are too many, the oldest is given up: its sender and number.
    pub fn expect(
        &mut self,
        now: Instant,
        from: MemberId,
        number: u64,
        key: Key<role::Gossip>,
        digest: Digest,
    ) -> Option<(MemberId, u64)> {
        let full = self.awaited.len() >= self.most;
        let lost = if full { self.awaited.pop_front() } else { None };
        self.awaited.push_back(Awaited { from, number, key, digest, until: now + self.life });
        lost.map(|lost| (lost.from, lost.number))
    }

    /// What is known of a word that comes now.
    pub fn expected(&self, from: MemberId, number: u64) -> Option<&Awaited> {
        self.awaited.iter().find(|one| (one.from, one.number) == (from, number))
    }

    /// Of how many words the key is here, and the text is not.
    #[cfg(any(test, feature = "sim"))]
    pub fn awaited(&self) -> usize {
        self.awaited.len()
    }

    /// It has been heard: its key is wiped (E5).
    pub fn heard(&mut self, from: MemberId, number: u64) {
        self.awaited.retain(|one| (one.from, one.number) != (from, number));
    }

    /// A word that has not come in time is given up: its sender and number.
    pub fn lost(&mut self, now: Instant) -> Option<(MemberId, u64)> {
        let lost = self.awaited.pop_front_if(|awaited| awaited.until <= now)?;
        Some((lost.from, lost.number))
    }
}

fn flying(now: Instant, retry: Retry, jitter: &mut Jitter, frame: Bytes) -> Stage {
    let mut backoff = Backoff::start(retry, now, jitter);
    // The first time with the next timeout, which is due now: what is queued at once is bounded.
    backoff.hurry(now);
    Stage::Flying(frame, backoff)
}
