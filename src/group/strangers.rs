//! Numbers for names that are of no member: where labels prove nothing, anybody can have written them.

use alloc::collections::VecDeque;

use crate::identity::{MemberId, Name};

/// Names that are kept.
const MOST: usize = 64;
/// Their numbers lie above this one: no member gets so far.
const FIRST: u64 = 1 << 32;

/// Numbers for the last few names of no member, the same each time.
#[derive(Debug, Default)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Strangers(VecDeque<(Name, MemberId)>);

impl Strangers {
    /// The number of a name; the oldest name is forgotten for a new one, if there are as many as are kept.
    pub fn number(&mut self, name: &Name) -> MemberId {
        if let Some((_, cid)) = self.0.iter().find(|(of, _)| of == name) {
            return *cid;
        }
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        let last = self.0.back().map_or(FIRST, |(_, cid)| cid.0);
        let cid = MemberId(last.saturating_add(1));
        self.0.push_back((name.clone(), cid));
        cid
    }

    /// The name behind a number, while it is kept.
    pub fn name_of(&self, cid: MemberId) -> Option<&Name> {
        self.0.iter().find(|(_, of)| *of == cid).map(|(name, _)| name)
    }
}
