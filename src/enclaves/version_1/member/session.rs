//! What a member knows in a group.

use alloc::collections::BTreeMap;

use super::super::head::Pairing;
use super::super::keys::GroupKey;
use crate::crypto::keys::role;
use crate::endpoint::{Instant, Link};
use crate::group::Backoff;
use crate::identity::Name;

/// A session.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Session {
    pub(super) link: Option<Link>,
    /// K_a.
    pub(super) pair: Pairing<role::PublishedSession>,
    /// EN-1A is said again, until the leader is heard.
    pub(super) show: Option<Repeat>,
    /// K_g.
    pub(super) key: GroupKey,
    /// The one before, and until when it opens.
    pub(super) previous: Option<(GroupKey, Instant)>,
    /// The others, as notices have told.
    pub(super) roster: alloc::collections::BTreeSet<Name>,
    pub(super) changes: u64,
    /// EN-1XR on their way.
    pub(super) wishes: BTreeMap<Name, Repeat>,
}

fingerprint!(Session { link, pair, show, key, previous, roster, changes, wishes });

/// Something that is said again until it is answered.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Repeat {
    pub(super) backoff: Backoff,
    /// How often it is still said.
    pub(super) left: u8,
}

fingerprint!(Repeat { backoff, left });

impl Session {
    /// The key before, while it opens.
    pub(super) fn before(&self, now: Instant) -> Option<&GroupKey> {
        self.previous.as_ref().filter(|(_, until)| now < *until).map(|(key, _)| key)
    }
}
