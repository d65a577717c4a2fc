//! What a checker of a simulation sees of a member: facts that no event tells.

use bytes::Bytes;

use super::{Member, Phase};
use crate::crypto::Secret;
use crate::group::channel::Channel;
use crate::identity::{Epoch, Version};
use crate::wire::field::{Digest, VerifyingKey};

impl Member {
    /// RA-J1 of the attempt under way, while no answer has come.
    pub fn request(&self) -> Option<&Bytes> {
        match &self.phase {
            Phase::Asking(asking) => Some(&asking.attempt.frame),
            _ => None,
        }
    }

    /// The channel to the leader, from the accepted offer to the end.
    pub fn channel(&self) -> Option<&Channel> {
        self.session().map(|session| &session.channel)
    }

    /// What the data keys of the installed epoch derive from: it depends on the group key and on all facts of the epoch.
    pub fn epoch_secret(&self) -> Option<(Epoch, &Secret)> {
        let (epoch, base) = self.session()?.station.ring.newest()?;
        Some((epoch, base.secret()))
    }

    /// The version and the digest of the policy in force.
    pub fn policy_facts(&self) -> Option<(Version, Digest)> {
        self.session().map(|session| (session.station.policy_version, session.station.policy_digest))
    }

    /// The key that signs what the leader says, as the offer named it.
    pub fn signature_key(&self) -> Option<VerifyingKey> {
        self.session().map(|session| session.leader_key)
    }
}
