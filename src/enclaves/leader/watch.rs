//! What checkers of the test kit ask a leader, and what no event tells.

use super::Leader;
use crate::crypto::Secret;
use crate::identity::{MemberId, Name};

impl Leader {
    /// The group key: whoever has it can do what members can.
    pub fn group_key(&self) -> &Secret {
        self.issue.key()
    }

    /// The live members, with their names.
    pub fn live_members(&self) -> impl Iterator<Item = (MemberId, &Name)> {
        self.peers.iter().map(|(cid, peer)| (*cid, &peer.name))
    }

    /// Sessions whose end is still to be said.
    pub fn lingering_sessions(&self) -> usize {
        self.lingering.len()
    }
}
