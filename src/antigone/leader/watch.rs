//! What a checker of a simulation sees of a leader: facts that no event tells.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use super::Leader;
use crate::antigone::join::admitting::Stage;
use crate::crypto::{Aead, Secret};
use crate::group::Limits;
use crate::group::channel::Channel;
use crate::identity::{Epoch, MemberId, Name, Version};
use crate::wire::field::{Digest, VerifyingKey};

/// An offer that waits for `hello`: what the leader would agree to.
#[derive(Clone, Copy, Debug)]
pub struct OpenOffer<'a> {
    /// The member number.
    pub cid: MemberId,
    /// Who asked.
    pub name: &'a Name,
    /// RA-J1 as it came.
    pub request: &'a [u8],
    /// RA-J2 as it is sent.
    pub answer: &'a [u8],
    /// Seals the leader's frames.
    pub seal: &'a Arc<dyn Aead>,
    /// Opens the member's.
    pub open: &'a Arc<dyn Aead>,
}

impl Leader {
    /// The offers that wait for `hello`.
    pub fn open_offers(&self) -> impl Iterator<Item = OpenOffer<'_>> {
        self.pendings.iter().filter_map(|(_, pending)| match &pending.stage {
            Stage::Offered(offered) => Some(OpenOffer {
                cid: offered.cid,
                name: &pending.name,
                request: pending.request(),
                answer: &offered.frame,
                seal: &offered.seal,
                open: &offered.open,
            }),
            _ => None,
        })
    }

    /// The channel to a live member.
    pub fn channel(&self, cid: MemberId) -> Option<&Channel> {
        self.peers.get(&cid).map(|peer| &peer.channel)
    }

    /// The keys of the private words under way, with those who are to have them besides the leader.
    pub fn word_keys(&self) -> impl Iterator<Item = (MemberId, &Secret, BTreeSet<MemberId>)> {
        self.relays.iter().map(|(from, relay)| (from, relay.key.secret(), relay.holders().chain([from]).collect()))
    }

    /// Whether a live member of this number is taken for dead.
    pub fn suspects(&self, cid: MemberId) -> bool {
        self.peers.get(&cid).is_some_and(|peer| peer.suspected)
    }

    /// The group key of the current epoch.
    pub fn group_key(&self) -> (Epoch, &Secret) {
        (self.issue.epoch(), self.issue.key())
    }

    /// What the data keys of the current epoch derive from: it depends on the group key and on all facts of the epoch.
    pub fn epoch_secret(&self) -> (Epoch, &Secret) {
        (self.issue.epoch(), self.issue.base().secret())
    }

    /// The version and the digest of the policy in force.
    pub fn policy_facts(&self) -> (Version, Digest) {
        (self.station.policy_version, self.station.policy_digest)
    }

    /// The key that signs what the leader says.
    pub fn signature_key(&self) -> VerifyingKey {
        self.leader_key
    }

    /// Bounds and times.
    pub fn limits(&self) -> &Limits {
        &self.me.limits
    }
}
