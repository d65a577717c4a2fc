//! Policies a step at a time.

use core::time::Duration;

use bytes::Bytes;

use super::{
    Communication, Contradiction, Detection, EjectRequests, Mix, ObjectRule, OnSilence, Policy, Protection, Views,
};
use crate::event::{Cause, Causes};
use crate::identity::Name;

/// Builds a [`Policy`] from the default one. A trigger and its measure are set together; [`Self::build`] checks the whole.
///
/// ```
/// use std::time::Duration;
///
/// use sodality::policy::{Policy, Views};
///
/// let policy = Policy::builder()
///     .views(Views::WithEachKey)
///     .rekey_every(Duration::from_secs(600))
///     .rekey_after_bytes(1 << 30)
///     .build()?;
/// assert!(policy.rekey_on.contains(sodality::event::Cause::Period));
/// # Ok::<(), sodality::policy::Contradiction>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[must_use = "`build` makes the policy"]
pub struct PolicyBuilder(Policy);

impl Policy {
    /// Begins with the default policy.
    pub fn builder() -> PolicyBuilder {
        PolicyBuilder::default()
    }
}

impl From<Policy> for PolicyBuilder {
    fn from(policy: Policy) -> Self {
        Self(policy)
    }
}

impl PolicyBuilder {
    fn with(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.0);
        self
    }

    /// Whether joins carry an ephemeral exchange.
    pub fn ephemeral(self, ephemeral: bool) -> Self {
        self.with(|policy| policy.ephemeral = ephemeral)
    }

    /// Whether a second join of a live name takes over.
    pub fn takeover(self, takeover: bool) -> Self {
        self.with(|policy| policy.takeover = takeover)
    }

    /// The key changes for this cause too. *Period*, *messages* and *bytes* have methods of their own, with their measure.
    pub fn rekey_on(self, cause: Cause) -> Self {
        self.with(|policy| policy.rekey_on = policy.rekey_on.with(cause))
    }

    /// The key does not change for this cause.
    pub fn no_rekey_on(self, cause: Cause) -> Self {
        self.with(|policy| {
            let kept = policy.rekey_on.iter().filter(|kept| *kept != cause);
            policy.rekey_on = kept.fold(Causes::NONE, Causes::with);
            match cause {
                Cause::Period => policy.key_lifetime = None,
                Cause::Messages => policy.key_messages = None,
                Cause::Bytes => policy.key_bytes = None,
                _ => {}
            }
        })
    }

    /// A key gets only so old.
    pub fn rekey_every(self, lifetime: Duration) -> Self {
        self.rekey_on(Cause::Period).with(|policy| policy.key_lifetime = Some(lifetime))
    }

    /// A key seals only so many messages, of all senders together.
    pub fn rekey_after_messages(self, messages: u64) -> Self {
        self.rekey_on(Cause::Messages).with(|policy| policy.key_messages = Some(messages))
    }

    /// A key seals only so many bytes of messages, of all senders together.
    pub fn rekey_after_bytes(self, bytes: u64) -> Self {
        self.rekey_on(Cause::Bytes).with(|policy| policy.key_bytes = Some(bytes))
    }

    /// How long an old key opens after a plain rekey, and how long sending stays with it.
    pub fn grace(self, grace: Duration, settle: Duration) -> Self {
        self.with(|policy| (policy.grace, policy.settle) = (grace, settle))
    }

    /// What protects data, and whether their sender signs them.
    pub fn data(self, protection: Protection, origin: bool) -> Self {
        self.with(|policy| (policy.protection, policy.origin) = (protection, origin))
    }

    /// How members learn who is in the group.
    pub fn views(self, views: Views) -> Self {
        self.with(|policy| policy.views = views)
    }

    /// How failures are noticed, and what follows.
    pub fn detection(self, period: Duration, misses: u8, on_silence: OnSilence) -> Self {
        self.with(|policy| {
            (policy.detection, policy.on_silence) = (Some(Detection { period, misses }), on_silence);
        })
    }

    /// Failures are not noticed: this voids the staleness bound (S8).
    pub fn no_detection(self) -> Self {
        self.with(|policy| policy.detection = None)
    }

    /// What becomes of a member's request to eject another.
    pub fn eject_requests(self, eject_requests: EjectRequests) -> Self {
        self.with(|policy| policy.eject_requests = eject_requests)
    }

    /// Longest frame, in bytes.
    pub fn frame_limit(self, bytes: u32) -> Self {
        self.with(|policy| policy.frame_limit = bytes)
    }

    /// A communication hint for drivers, at most 64 bytes.
    pub fn hint(self, hint: impl Into<Bytes>) -> Self {
        self.with(|policy| policy.hint = hint.into())
    }

    /// How data reach the group.
    pub fn communication(self, communication: Communication) -> Self {
        self.with(|policy| policy.communication = communication)
    }

    /// These parts are as published. Groups of the repaired edition refuse such a policy.
    pub fn mix(self, mix: Mix) -> Self {
        self.with(|policy| policy.mix = Some(mix))
    }

    /// There is this shared object.
    pub fn object(self, object: Name, rule: ObjectRule) -> Self {
        self.with(|policy| policy.objects.insert(object, rule))
    }

    /// The policy.
    ///
    /// # Errors
    /// The first [`Contradiction`].
    pub fn build(self) -> Result<Policy, Contradiction> {
        self.0.check()?;
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_come_and_go_with_their_measures() {
        let all = Policy::builder().rekey_every(Duration::from_secs(60)).rekey_after_messages(9).rekey_after_bytes(99);
        let policy = all.clone().build().unwrap();
        assert_eq!((policy.key_messages, policy.key_bytes), (Some(9), Some(99)));
        let none = all.no_rekey_on(Cause::Period).no_rekey_on(Cause::Messages).no_rekey_on(Cause::Bytes);
        assert_eq!(none.build().as_ref(), Ok(&Policy::default()));
    }

    #[test]
    fn parts_as_published_go_with_plain_views_only() {
        let mix = Mix::published(crate::crypto::SuiteId::AES_128_GCM);
        let mixed = Policy::builder().communication(Communication::Symmetric).mix(mix);
        assert_eq!(mixed.clone().build(), Err(Contradiction::MixedViews));
        let policy = mixed.views(Views::WithEachKey).data(Protection::Both, false).build().unwrap();
        assert_eq!((policy.communication, policy.mix), (Communication::Symmetric, Some(mix)));
        let empty = Mix { editions: crate::policy::Editions::REPAIRED, ..mix };
        assert_eq!(PolicyBuilder::from(policy).mix(empty).build(), Err(Contradiction::EmptyMix));
    }

    #[test]
    fn what_contradicts_itself_is_not_built() {
        assert_eq!(Policy::builder().rekey_on(Cause::Period).build(), Err(Contradiction::TriggerWithoutMeasure));
        assert_eq!(Policy::builder().no_rekey_on(Cause::Leave).build(), Err(Contradiction::ExactWithoutRekey));
        assert_eq!(Policy::builder().frame_limit(9).build(), Err(Contradiction::FramesTooShort));
    }
}
