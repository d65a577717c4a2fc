//! What both systems share: the parts of which a leader or a member is made, without any message of either system.
//!
//! | part | what it is |
//! | --- | --- |
//! | [`channel`] | numbered frames, records and evidence between a leader and one member (RA §4.2) |
//! | [`keyring`] | the group keys held now: at most two epochs (I-5), with grace, settling and the floor (RA §4.4) |
//! | [`key_use`] | how old a key is and how much it has sealed: when it is to be changed for that (RA §4.4) |
//! | [`past`] | which epochs came here: why what belongs to another cannot be read |
//! | [`sealer`] | the one sealer of the own number in one epoch: a counter that stops, limits, a lease, a revoke flag |
//! | [`window`] | the replay window of one sender in one epoch (R13) |
//! | [`view`] | who is in the group, as a chain of changes with a digest (RA §4.5, R27) |
//! | [`evidence`] | when the peer was alive for certain: by the time of *sending* what it echoes (RA §4.3, R15) |
//! | [`outbox`] | what waits to be polled: bounded, never dropped (R45), composed without an allocation a frame |
//! | [`timers`], [`retry`], [`jitter`] | deadlines, and how they spread |
//! | [`allowance`] | a bounded rate |
//! | `strangers` | numbers for names of no member, where messages are as published (feature `historic`) |
//! | [`wish`] | a link that is wanted, and told again until one answers |
//! | [`roles`] | the two traits that the machines of both systems share |
//! | [`checks`] | which checks are made: all, but in a simulation that wants to see an attack succeed |
//! | [`limits`] | every bound and every default time, in one place |

pub mod allowance;
pub mod channel;
pub mod checks;
pub mod evidence;
pub mod jitter;
pub mod key_use;
pub mod keyring;
pub mod limits;
pub mod outbox;
pub mod past;
pub mod retry;
pub mod roles;
pub mod sealer;
#[cfg(feature = "historic")]
pub mod strangers;
pub mod timers;
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
