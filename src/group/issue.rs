//! An epoch as it is issued, and as a member is given it: the group key with its facts. How it travels is each system's own
//! affair.

use bytes::{Bytes, BytesMut};

use crate::crypto::keys::role;
use crate::crypto::{Key, Secret, Suite, SuiteError};
use crate::endpoint::Entropy;
use crate::error::{Failure, Reason};
use crate::event::Causes;
use crate::identity::{Epoch, Instance, Version};
use crate::wire::antigone::{Common, Delta};
use crate::wire::field::{Digest, Field};

/// `base`: what the data keys of an epoch derive from. It holds the digest of the facts, so that members with other
/// facts cannot talk (R27).
///
/// # Errors
/// [`SuiteError`].
pub fn base(
    suite: &dyn Suite,
    group: Instance,
    common: &[u8],
    key: &Key<role::Group>,
) -> Result<Key<role::DataBase>, SuiteError> {
    let facts = suite.hash(&[&group.0, common])?;
    suite.extract(facts.as_bytes(), &[key.secret()]).map(Key::new)
}

/// The facts of a new epoch.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The epoch.
    pub epoch: Epoch,
    /// The latest epoch with an evicting cause.
    pub floor: Epoch,
    /// Why the key changes.
    pub causes: Causes,
    /// The version of the view.
    pub view: Version,
    /// Its digest.
    pub view_digest: Digest,
    /// The version of the policy.
    pub policy: Version,
    /// Its digest.
    pub policy_digest: Digest,
    /// How the view changed.
    pub delta: Delta<'a>,
}

/// An issued epoch at the leader: the group key and its facts, fixed for good (I-2).
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Issue {
    epoch: Epoch,
    floor: Epoch,
    causes: Causes,
    key: Key<role::Group>,
    common: Bytes,
    digest: Digest,
    base: Key<role::DataBase>,
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Issue {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let Self { epoch, floor, causes, key, common, digest: _, base: _ } = self;
        epoch.fingerprint(now, sink);
        floor.fingerprint(now, sink);
        causes.bits().fingerprint(now, sink);
        key.fingerprint(now, sink);
        common.fingerprint(now, sink);
    }
}

impl Issue {
    /// Draws a group key and fixes its facts.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn draw(suite: &dyn Suite, rng: &mut dyn Entropy, group: Instance, facts: Facts<'_>) -> Result<Self, Failure> {
        let key = Key::new(suite.fresh_secret(rng, suite.sizes().group_key)?);
        let mut common = BytesMut::with_capacity(256);
        Common {
            epoch: facts.epoch,
            floor: facts.floor,
            causes: facts.causes,
            view: facts.view,
            view_digest: facts.view_digest,
            policy: facts.policy,
            policy_digest: facts.policy_digest,
            delta: facts.delta,
        }
        .put(&mut common);
        let common = common.freeze();
        let digest = suite.hash(&[&common])?;
        let base = base(suite, group, &common, &key)?;
        Ok(Self { epoch: facts.epoch, floor: facts.floor, causes: facts.causes, key, common, digest, base })
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The latest epoch with an evicting cause.
    pub fn floor(&self) -> Epoch {
        self.floor
    }

    /// Why the key changed.
    pub fn causes(&self) -> Causes {
        self.causes
    }

    /// The facts, encoded.
    pub fn common(&self) -> &[u8] {
        &self.common
    }

    /// The digest of the facts.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What the data keys of the epoch derive from.
    pub fn base(&self) -> &Key<role::DataBase> {
        &self.base
    }

    /// Wipes the key: no block is sealed any more that anybody could use.
    pub fn erase(&mut self) {
        self.key = Key::new(Secret::take(&mut []));
        self.base = Key::new(Secret::take(&mut []));
    }

    /// The group key.
    pub fn key(&self) -> &Secret {
        self.key.secret()
    }
}

/// What a member's block says, once it has opened.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct KeyBlock {
    common: Bytes,
    key: Key<role::Group>,
}

fingerprint!(KeyBlock { common, key });

impl KeyBlock {
    /// A key with the facts that it came with, encoded.
    pub fn new(common: Bytes, key: Key<role::Group>) -> Self {
        Self { common, key }
    }

    /// The facts of the epoch.
    ///
    /// # Errors
    /// [`Reason::Malformed`], which opening the block excludes.
    pub fn facts(&self) -> Result<Common<'_>, Reason> {
        Common::decode(&self.common).map_err(|_| Reason::Malformed)
    }

    /// What the data keys of the epoch derive from.
    ///
    /// # Errors
    /// [`Failure::Suite`].
    pub fn base(&self, suite: &dyn Suite, group: Instance) -> Result<Key<role::DataBase>, Failure> {
        Ok(base(suite, group, &self.common, &self.key)?)
    }
}
