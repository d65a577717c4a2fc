//! The own numbers for others. They outlive a session, as direct links do.

use alloc::collections::BTreeMap;

use crate::enclaves::published::OWN;
use crate::identity::{MemberId, Name};

/// Numbers for names, the same each time while they are kept.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    of: BTreeMap<Name, MemberId>,
    next: u64,
}

fingerprint!(Numbers { of, next });

impl Numbers {
    pub(super) const fn new() -> Self {
        Self { of: BTreeMap::new(), next: OWN.0 + 1 }
    }

    /// The number of a name; a new one if it has none.
    pub(super) fn number(&mut self, name: &Name) -> MemberId {
        *self.of.entry(name.clone()).or_insert_with(|| {
            self.next += 1;
            MemberId(self.next - 1)
        })
    }

    pub(super) fn get(&self, name: &Name) -> Option<MemberId> {
        self.of.get(name).copied()
    }

    pub(super) fn name_of(&self, cid: MemberId) -> Option<&Name> {
        self.of.iter().find(|(_, of)| **of == cid).map(|(name, _)| name)
    }

    /// Forgets the names that are not needed, once there are more than `most`.
    pub(super) fn tidy(&mut self, most: usize, needed: impl Fn(&Name) -> bool) {
        if self.of.len() > most {
            self.of.retain(|name, _| needed(name));
        }
    }

    #[cfg(any(test, feature = "sim"))]
    pub(super) fn len(&self) -> usize {
        self.of.len()
    }
}
