//! K_g, and how far its senders have counted.

use alloc::collections::BTreeMap;

use super::head::{Gate, Line, Stamp, Time};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::identity::{Epoch, Name, NameRef};

/// K_g with its number, and the last number of each sender under it.
#[derive(Debug, Clone)]
pub struct GroupKey {
    /// The key.
    pub key: Key<role::Group>,
    /// Its number: one more than that of the key before.
    pub epoch: Epoch,
    /// The last own number.
    pub said: u64,
    /// The last number accepted from each of the others.
    pub heard: BTreeMap<Name, u64>,
}

fingerprint!(GroupKey { key, epoch, said, heard });

impl GroupKey {
    /// A key under which nothing was said yet.
    pub fn new(key: Key<role::Group>, epoch: Epoch) -> Self {
        Self { key, epoch, said: 0, heard: BTreeMap::new() }
    }

    /// What is said next under it, to the group.
    pub fn line<'a>(&'a self, from: NameRef<'a>, millis: u64) -> Line<'a> {
        Line { key: self.key.secret(), sender: from, recipient: None, stamp: Stamp::after(self.said, millis) }
    }

    /// What is taken next under it. `heard` gives the last number of a member.
    pub fn gate<'a>(&'a self, heard: &'a dyn Fn(NameRef<'_>) -> Option<u64>, time: Time) -> Gate<'a> {
        Gate { key: self.key.secret(), from: super::head::From::Group(heard), to: None, time }
    }

    /// The last number of somebody, 0 for none.
    pub fn heard_of(&self, name: NameRef<'_>) -> u64 {
        self.heard.get(&name.to_name()).copied().unwrap_or(0)
    }
}
