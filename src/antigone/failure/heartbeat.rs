//! RA-H, repaired edition (RA §4.3): what a leader says once a period on shared links, to all at once, under its
//! signature. It is **advice**. It tells of newer epochs (and, in the view class best effort, of changes of the view), and
//! that the link carries what the leader sends there (R47). It shows when nothing: whoever withholds it can play it at
//! any time, so it moves no clock of S8 (A16, A17).

use alloc::collections::BTreeMap;
use core::time::Duration;

use bytes::Bytes;

use crate::crypto::keys::role;
use crate::crypto::{Key, Suite};
use crate::endpoint::{Instant, Link};
use crate::error::{Failure, Reason};
use crate::group::checks::{Check, Checks};
use crate::group::outbox::Pool;
use crate::identity::{Epoch, Instance, Version};
use crate::wire::antigone::{Delta, Heartbeat};
use crate::wire::field::{Digest, Signature, VerifyingKey};
use crate::wire::{Header, Message as _};

/// The label of the signature; that of data is another (RA §2).
const LABEL: &[u8] = b"sodality ra 1 heartbeat";
/// More than the bytes of a heartbeat without its delta.
const OVERHEAD: usize = 512;

/// What a heartbeat says.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The leader's epoch.
    pub epoch: Epoch,
    /// The version of the view; 0 where it is hidden.
    pub view: Version,
    /// Its digest.
    pub view_digest: Digest,
    /// How it has changed since the epoch began.
    pub delta: Delta<'a>,
}

/// The leader's part: the signature key of its group, and a number that only grows.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Beacon {
    signing: Key<role::Signing>,
    beat: u64,
}

fingerprint!(Beacon { beat } skip { signing });

impl Beacon {
    /// A beacon that has said nothing yet.
    pub const fn new(signing: Key<role::Signing>) -> Self {
        Self { signing, beat: 0 }
    }

    /// Wipes the key: nothing is said any more that anybody would believe.
    pub fn erase(&mut self) {
        self.signing = Key::new(crate::crypto::Secret::take(&mut []));
    }

    /// The next heartbeat. Its number is used up even if that fails.
    ///
    /// # Errors
    /// [`Failure::Suite`]; also after the last number.
    pub fn frame(
        &mut self,
        suite: &dyn Suite,
        header: Header,
        group: Instance,
        said: Said<'_>,
        pool: &mut Pool,
    ) -> Result<Bytes, Failure> {
        let beat = self.beat.checked_add(1).ok_or(Failure::Suite)?;
        self.beat = beat;
        let Said { epoch, view, view_digest, delta } = said;
        let heartbeat = Heartbeat { group, beat, epoch, view, view_digest, delta };
        pool.compose(OVERHEAD, |out| {
            heartbeat.put_signed(header, out, |covered| suite.sign(self.signing.secret(), &[LABEL, covered]))
        })
        .map_err(Failure::from)
    }
}

/// How many signatures are looked at: so many a period (RA §4.7). What has not verified yet costs the same whether it is
/// true or made up, so both count.
#[derive(Debug, Clone, Copy)]
struct Budget {
    since: Instant,
    spent: u32,
}

/// What was heard on one shared link.
#[derive(Debug, Clone, Copy)]
struct Ear {
    /// When the last heartbeat came over it, or it opened.
    at: Instant,
    /// The number of that heartbeat.
    beat: u64,
    /// It was reported as silent.
    silent: bool,
}

fingerprint!(Ear { at, beat, silent });

/// A member's part: the newest number, and when each shared link was last heard.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Hearing {
    /// The newest heartbeat that has verified: its number and its signature.
    beat: u64,
    signature: Signature,
    ears: BTreeMap<Link, Ear>,
    budget: Budget,
}

// The budget is a counter of refused input (S10): it makes a flood cheap, and decides nothing else.
fingerprint!(Hearing { beat, signature, ears } skip { budget });

/// A new heartbeat that has verified. Nothing has changed yet: see [`Hearing::commit`].
#[derive(Debug, Clone, Copy)]
pub struct Verified<'f> {
    /// What it says.
    pub heartbeat: Heartbeat<'f>,
    signature: Signature,
}

/// How often a leader beats, and how many beats may be missed.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The time between two.
    pub period: Duration,
    /// How many may be lost.
    pub misses: u8,
}

impl Hearing {
    /// At the start of a session: nothing heard yet over `links`.
    pub fn new(now: Instant, links: impl Iterator<Item = Link>) -> Self {
        let ear = Ear { at: now, beat: 0, silent: false };
        let ears = links.map(|link| (link, ear)).collect();
        Self { beat: 0, signature: Signature::NONE, ears, budget: Budget { since: now, spent: 0 } }
    }

    /// A shared link has opened.
    pub fn opened(&mut self, now: Instant, link: Link) {
        self.ears.insert(link, Ear { at: now, beat: 0, silent: false });
    }

    /// A link has closed.
    pub fn closed(&mut self, link: Link) {
        self.ears.remove(&link);
    }

    /// Checks a heartbeat that came over `link`: group, number, budget, signature, in this order. Counts the signature;
    /// changes nothing else. `None` is the newest one, for the first time over this link.
    ///
    /// # Errors
    /// [`Reason::Malformed`]; [`Reason::Misdirected`] if the link is not a shared one; [`Reason::Unknown`] of another
    /// group instance; [`Reason::Replayed`]; [`Reason::Budget`]; [`Reason::Forged`]; [`Reason::Suite`].
    #[allow(clippy::too_many_arguments)] // What is checked, and what with.
    pub fn check<'f>(
        &mut self,
        suite: &dyn Suite,
        checks: Checks,
        group: Instance,
        key: &VerifyingKey,
        (period, most): (Duration, u32),
        now: Instant,
        link: Link,
        frame: &'f [u8],
    ) -> Result<Option<Verified<'f>>, Reason> {
        let parsed = Heartbeat::parse(frame).map_err(|_| Reason::Malformed)?;
        let (heartbeat, signature) = (parsed.message, parsed.signature(frame));
        let ear = self.ears.get(&link).ok_or(Reason::Misdirected)?;
        if heartbeat.group != group {
            return Err(Reason::Unknown);
        }
        if heartbeat.beat <= self.beat && checks.on(Check::HeartbeatNumber) {
            // The leader says the same on each of its shared links: that it comes over this one too shows that the link works.
            let again = heartbeat.beat == self.beat && signature == self.signature && ear.beat < heartbeat.beat;
            return if again { Ok(None) } else { Err(Reason::Replayed) };
        }
        if now.since(self.budget.since) >= period {
            self.budget = Budget { since: now, spent: 0 };
        }
        if self.budget.spent >= most && checks.on(Check::HeartbeatBudget) {
            return Err(Reason::Budget);
        }
        self.budget.spent = self.budget.spent.saturating_add(1);
        let verified = suite.verify(key, &[LABEL, frame.get(..parsed.clear).unwrap_or_default()], &signature);
        if checks.on(Check::HeartbeatSignature) {
            verified?;
        }
        Ok(Some(Verified { heartbeat, signature }))
    }

    /// Takes in what [`Self::check`] found. Whether the link had been reported as silent.
    pub fn commit(&mut self, now: Instant, link: Link, verified: Option<&Verified<'_>>) -> bool {
        if let Some(Verified { heartbeat, signature }) = verified {
            (self.beat, self.signature) = (heartbeat.beat, *signature);
        }
        let beat = self.beat;
        let before = self.ears.insert(link, Ear { at: now, beat, silent: false });
        before.is_some_and(|ear| ear.silent)
    }

    /// When the next link counts as silent, and which (R47): nothing came over it for misses + 1 periods, while the leader
    /// certainly lived (`alive_as_of`) for all but the last of them. A leader that is dead makes no link silent.
    pub fn next_silent(&self, pace: Pace, alive_as_of: Instant) -> Option<(Instant, Link)> {
        let lived = pace.period.saturating_mul(u32::from(pace.misses));
        let due = self.ears.iter().filter(|(_, ear)| !ear.silent && alive_as_of >= ear.at + lived);
        due.map(|(link, ear)| (ear.at + lived + pace.period, *link)).min()
    }

    /// The links over which the leader is heard: a heartbeat came, and they are not silent.
    pub fn heard(&self) -> impl Iterator<Item = Link> {
        self.ears.iter().filter(|(_, ear)| ear.beat > 0 && !ear.silent).map(|(link, _)| *link)
    }

    /// `link` was reported as silent.
    pub fn reported(&mut self, link: Link) {
        if let Some(ear) = self.ears.get_mut(&link) {
            ear.silent = true;
        }
    }

    /// Signatures looked at in this period, for tests.
    #[cfg(any(test, feature = "sim"))]
    pub fn spent(&self) -> u32 {
        self.budget.spent
    }
}

#[cfg(test)]
#[path = "heartbeat_tests.rs"]
mod tests;
