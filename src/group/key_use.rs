//! What a group key has been used for, and which rekey that demands (RA §4.4): the causes *period*, *messages* and
//! *bytes*.
//!
//! A leader counts what it seals, delivers and relays under the current key. What a sealer seals that was moved out of
//! its machine is counted where it arrives, and nowhere if that is not here.

use crate::endpoint::Instant;
use crate::event::{Cause, Causes};
use crate::policy::Policy;

/// The use of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyUse {
    since: Instant,
    messages: u64,
    bytes: u64,
}

fingerprint!(KeyUse { since, messages, bytes });

impl KeyUse {
    /// A key that is installed at `now`.
    pub const fn new(now: Instant) -> Self {
        Self { since: now, messages: 0, bytes: 0 }
    }

    /// A message of that many bytes was sealed under it. The counts stop at their ends and do not wrap.
    pub fn count(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// The messages counted.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// The bytes counted.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When it was installed.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// The causes that its messages and bytes have brought about under `policy`.
    pub fn reached(&self, policy: &Policy) -> Causes {
        let measures = [
            (Cause::Messages, policy.key_messages.is_some_and(|most| self.messages >= most)),
            (Cause::Bytes, policy.key_bytes.is_some_and(|most| self.bytes >= most)),
        ];
        let due = measures.into_iter().filter(|(cause, reached)| *reached && policy.rekey_on.contains(*cause));
        due.fold(Causes::NONE, |causes, (cause, _)| causes.with(cause))
    }

    /// When it is old enough under `policy`, if it can be.
    pub fn ages_at(&self, policy: &Policy) -> Option<Instant> {
        policy.key_lifetime.filter(|_| policy.rekey_on.contains(Cause::Period)).map(|lifetime| self.since + lifetime)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn policy() -> Policy {
        let rekey_on = [Cause::Period, Cause::Messages, Cause::Bytes];
        let base = Policy::default();
        Policy {
            rekey_on: rekey_on.into_iter().fold(base.rekey_on, Causes::with),
            key_lifetime: Some(Duration::from_secs(60)),
            key_messages: Some(3),
            key_bytes: Some(100),
            ..base
        }
    }

    #[test]
    fn each_measure_brings_its_own_cause() {
        let mut used = KeyUse::new(Instant::from_micros(7));
        used.count(10);
        used.count(10);
        assert_eq!(used.reached(&policy()), Causes::NONE);
        used.count(10);
        assert_eq!(used.reached(&policy()), Causes::of(Cause::Messages));
        used.count(70);
        assert_eq!(used.reached(&policy()), Causes::of(Cause::Messages).with(Cause::Bytes));
        assert_eq!(used.ages_at(&policy()), Some(Instant::from_micros(60_000_007)));
    }

    #[test]
    fn what_the_policy_does_not_name_brings_nothing() {
        let mut used = KeyUse::new(Instant::ORIGIN);
        used.count(usize::MAX);
        used.count(usize::MAX);
        assert_eq!(used.reached(&Policy::default()), Causes::NONE);
        assert_eq!(used.ages_at(&Policy::default()), None);
        assert_eq!((used.messages(), used.bytes()), (2, u64::MAX), "counts end, and do not wrap");
    }
}
