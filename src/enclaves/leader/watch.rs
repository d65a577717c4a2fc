//! What checkers of the test kit ask a leader, and what no event tells.

use super::Leader;
use crate::crypto::Secret;
use crate::identity::{MemberId, Name};

impl Leader {
    /// The group key: whoever has it can do what members can.
    pub fn group_key(&self) -> &Secret {
        self.issue.key()
    }

    /// What a live member has been told so far, by digests, and how many of it the leader takes for accepted.
    pub fn told_to(&self, cid: MemberId) -> Option<(&[u64], u64)> {
        self.peers.get(&cid).map(|peer| (peer.chain.told.entries(), peer.chain.acked))
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
