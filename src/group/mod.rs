//! What both systems share: the parts of which a leader or a member is made, without any message of either system.
//!
//! | part | what it is |
//! | --- | --- |
//! | [`channel`] | numbered frames, records and evidence between a leader and one member (RA §4.2) |
//! | [`keyring`] | the group keys held now: at most two epochs (I-5), with grace, settling and the floor (RA §4.4) |
//! | [`key_use`] | how old a key is and how much it has sealed: when it is to be changed for that (RA §4.4) |
//! | [`past`] | which epochs came here: why what belongs to another cannot be read |
//! | [`sealer`] | the one sealer of the own number in one epoch: a counter that stops, limits, a lease, a revoke flag |
//! | [`data`], [`claims`] | messages to the group under keys for each sender (RA §5); what they claim when they cannot be read |
//! | [`private`] | private words to some members, sealed by their sender, keys handed out by the leader (D29) |
//! | [`station`] | what every participant has of a group: identity, policy, view, keys, early frames |
//! | [`pages`] | views cut into pages, and put together again |
//! | [`issue`] | an epoch as it is issued: a group key with its facts |
//! | [`turn`] | a change of the group as one step: who comes, who goes, and the new key (I-7) |
//! | [`questions`] | requests to eject that the application is to decide about |
//! | [`judgement`] | until when the leader lived and the own key was its own, by what frames prove (RA §4.3) |
//! | [`window`] | the replay window of one sender in one epoch (R13) |
//! | [`view`] | who is in the group, as a chain of changes with a digest (RA §4.5, R27) |
//! | [`evidence`] | when the peer was alive for certain: by the time of *sending* what it echoes (RA §4.3, R15) |
//! | [`outbox`] | what waits to be polled: bounded, never dropped (R45), composed without an allocation a frame |
//! | [`timers`], [`retry`], [`jitter`] | deadlines, and how they spread |
//! | [`access`] | who may join, and how many may be on their way |
//! | [`allowance`] | a bounded rate |
//! | `strangers` | numbers for names of no member, where messages are as published (feature `historic`) |
//! | [`wish`] | a link that is wanted, and told again until one answers |
//! | `alike` | what machines of one kind say and do alike, written once |
//! | [`roles`] | the two traits that the machines of both systems share |
//! | [`checks`] | which checks are made: all, but in a simulation that wants to see an attack succeed |
//! | [`limits`] | every bound and every default time, in one place |

pub mod access;
pub(crate) mod alike;
pub mod allowance;
pub mod channel;
pub mod checks;
pub mod claims;
pub mod data;
pub mod evidence;
pub(crate) mod following;
pub mod issue;
pub mod jitter;
pub mod judgement;
pub mod key_use;
pub mod keyring;
pub mod limits;
pub mod outbox;
pub mod pages;
pub mod past;
pub mod private;
pub mod questions;
pub mod retry;
pub mod roles;
pub mod sealer;
pub mod station;
#[cfg(feature = "historic")]
pub mod strangers;
pub mod timers;
pub mod turn;
pub mod view;
pub mod window;
pub mod wish;

pub use allowance::Allowance;
pub use checks::{Check, Checks};
pub use evidence::Probes;
pub use jitter::Jitter;
pub use key_use::KeyUse;
pub use keyring::{EpochKeys, Erased, Installed, KeyRing, Mark, Rules};
pub use limits::Limits;
pub use outbox::{Outbox, Pool};
pub use retry::{Backoff, Retry};
pub use roles::{Convener, Participant};
pub use sealer::{SealLimits, Sealer};
#[cfg(feature = "historic")]
pub use strangers::Strangers;
pub use timers::Timers;
pub use view::{ChangeRecord, Entry, View, ViewChange, ViewError, ViewStep};
pub use window::Window;
pub use wish::Wish;

#[cfg(test)]
pub(crate) mod testing {
    use proptest::test_runner::{Config, RngSeed};

    /// Property tests draw the same cases on each run.
    pub(crate) fn fixed() -> Config {
        Config { rng_seed: RngSeed::Fixed(0x50DA), failure_persistence: None, ..Config::default() }
    }
}
