//! What a member knows in a group.

use alloc::collections::BTreeMap;

use bytes::Bytes;

use super::super::keys::{GroupKey, SessionKey};
use super::{Me, OWN};
use crate::endpoint::{Instant, Link};
use crate::group::{Backoff, Strangers};
use crate::identity::{MemberId, Name};

/// A session.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Session {
    pub(super) link: Option<Link>,
    /// K_a.
    pub(super) keys: SessionKey,
    /// EN-A2 as it came: when it comes again, EN-A3 was lost.
    pub(super) reply: Bytes,
    /// EN-A3.
    pub(super) confirm: Bytes,
    /// EN-A3 is said again, until the leader is heard.
    pub(super) show: Option<Show>,
    /// K_g.
    pub(super) key: GroupKey,
    /// The one before, and until when it opens.
    pub(super) previous: Option<(GroupKey, Instant)>,
    /// The others, as notices have told.
    pub(super) roster: BTreeMap<Name, MemberId>,
    pub(super) next_number: u64,
    pub(super) changes: u64,
    pub(super) strangers: Strangers,
}

fingerprint!(Session { link, keys, reply, confirm, show, key, previous, roster, next_number, changes } skip { strangers });

/// EN-A3 again: nothing answers it, but that the leader speaks to its sender as to a member.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Show {
    pub(super) backoff: Backoff,
    pub(super) left: u8,
}

fingerprint!(Show { backoff, left });

impl Session {
    pub(super) fn new(link: Option<Link>, keys: SessionKey, key: GroupKey, reply: Bytes, confirm: Bytes) -> Self {
        Self {
            link,
            keys,
            reply,
            confirm,
            show: None,
            key,
            previous: None,
            roster: BTreeMap::new(),
            next_number: OWN.0 + 1,
            changes: 0,
            strangers: Strangers::default(),
        }
    }

    /// The number of whoever a label names.
    pub(super) fn number(&mut self, me: &Me, name: &Name) -> MemberId {
        if *name == me.leader {
            return MemberId::LEADER;
        }
        self.roster.get(name).copied().unwrap_or_else(|| self.strangers.number(name))
    }

    /// The key before, while it opens.
    pub(super) fn before(&self, now: Instant) -> Option<&GroupKey> {
        self.previous.as_ref().filter(|(_, until)| now < *until).map(|(key, _)| key)
    }

    /// Installs a key. The same one again changes nothing.
    pub(super) fn install(&mut self, me: &Me, now: Instant, key: GroupKey) -> bool {
        if key.number == self.key.number {
            return false;
        }
        let before = core::mem::replace(&mut self.key, key);
        self.previous = (!me.grace.is_zero()).then_some((before, now + me.grace));
        true
    }
}
