//! What a leader keeps for each member, and what its timers are for.

use super::joins::PendingId;
use crate::antigone::keys::published::Group;
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::endpoint::{Instant, Link};
use crate::group::Allowance;
use crate::group::channel::Channel;
use crate::identity::{MemberId, Name};

/// A live member.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Peer {
    pub(super) name: Name,
    pub(super) link: Option<Link>,
    pub(super) sigma: Option<Key<role::Pair>>,
    pub(super) channel: Option<Channel>,
    /// I2, for AN-J3 that comes again, until the member is known to have its first key.
    pub(super) confirmed: Option<crate::wire::field::Nonce>,
    /// The g that the offer named.
    pub(super) offered: Group,
    /// It has shown that it has a key.
    pub(super) keyed: bool,
    /// S_A, the last one taken.
    pub(super) sequence: u64,
    pub(super) alive_as_of: Instant,
    pub(super) suspected: bool,
    /// Its key is owed.
    pub(super) key: bool,
    pub(super) answer: bool,
    pub(super) ask: bool,
    pub(super) allowance: Allowance,
    /// For repaired data without protection.
    pub(super) clear: Allowance,
}

fingerprint!(Peer {
    name, link, sigma, channel, offered, keyed, sequence, alive_as_of, suspected, key, answer, ask, allowance, clear,
} skip { confirmed });

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Question(PendingId),
    Pending(PendingId),
    Record(MemberId),
    /// Try again what failed.
    Retry(MemberId),
    Silence(MemberId),
    Linger(MemberId),
    Rekey,
    KeyAge,
    Beat,
    Grace,
    Ejection,
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Timer {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let (kind, number) = match self {
            Self::Question(id) => (0u8, id.0),
            Self::Pending(id) => (1, id.0),
            Self::Record(cid) => (2, cid.0),
            Self::Silence(cid) => (3, cid.0),
            Self::Linger(cid) => (4, cid.0),
            Self::Rekey => (5, 0),
            Self::KeyAge => (6, 0),
            Self::Beat => (7, 0),
            Self::Grace => (8, 0),
            Self::Ejection => (9, 0),
            Self::Retry(cid) => (10, cid.0),
        };
        (kind, number).fingerprint(now, sink);
    }
}
