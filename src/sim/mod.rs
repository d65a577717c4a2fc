//! The test kit: many endpoints, a virtual clock, a bad network, an adversary, checkers, and exhaustive search. Public, for
//! tests of programs that embed the core.
//!
//! One seed decides everything; the same seed and scenario give the same bytes on every target (R43).
//!
//! * [`World`]: nodes, links, faults, crashes, commands, the run itself; [`LinkConfig`] and [`Faults`] say how bad a
//!   link is; [`World::calm`] ends all faults, for liveness runs;
//! * [`Adversary`]: sees every frame, with [`craft`] to take frames apart and compose others;
//! * [`Wild`]: an adversary without a plan, who has the keys of sessions that are over;
//! * [`check`]: what must hold after every transition, whatever the network does; [`check::Goals`] is all of it;
//! * [`Schedule`]: random faults from a seed; when a run fails, [`Schedule::minimise`] says which of them matter;
//! * [`search()`]: every order of events of a small model; [`Model`] is a small group of the real machines;
//! * [`FailingEntropy`]: randomness that fails at its k-th draw; [`Trace`]: seed in, trace out;
//! * [`Star`]: a whole Antigone group, ready to run;
//! * [`toy`]: three endpoints to try it on.
//!
//! ```
//! use core::time::Duration;
//! use sodality::sim::{Faults, LinkConfig, World, toy::Echo};
//!
//! let mut world = World::new(42);
//! let ann = world.add("ann", Echo::new())?;
//! let bob = world.add("bob", Echo::new())?;
//! world.connect(ann, bob, LinkConfig::DATAGRAM.faults(Faults::HARSH))?;
//! world.with(ann, |ann, cx| ann.say(cx, b"hello"))?.expect("there is room and randomness");
//! world.eventually(Duration::from_secs(30), "bob hears it", |world| {
//!     world.get(bob).is_some_and(|bob| bob.heard() == 1)
//! })?;
//! println!("{:032x}\n{}", world.trace_digest(), world.trace().tail(20));
//! # Ok::<(), sodality::sim::Stop>(())
//! ```

pub mod adversary;
pub mod check;
pub mod craft;
mod deliver;
mod drive;
pub mod enclaves;
#[cfg(feature = "historic")]
mod enclaves_published;
#[cfg(feature = "historic")]
pub mod enclaves_version_1;
#[cfg(feature = "historic")]
pub mod enclaves_version_2;
mod links;
#[cfg(feature = "historic")]
pub mod mixed;
pub mod model;
pub mod net;
mod nodes;
pub mod rng;
pub mod schedule;
pub mod search;
pub mod star;
mod step;
pub mod toy;
mod trace;
pub mod wild;
mod world;

#[cfg(test)]
mod tests;

pub use adversary::{Adversary, DropMatching, Gang, Mallory, Net, Recorder, ReplayAll, Verdict, shared};
pub use check::Checker;
pub use craft::{Draft, Tables};
pub use enclaves::{EnclaveConfig, EnclaveStar};
pub use model::Model;
pub use net::{Faults, InTransit, LinkConfig, NetStats, WireId};
pub use nodes::NodeClock;
pub use rng::{Failing, FailingEntropy, Mixer, SimRng};
pub use schedule::{Chaos, Op, Schedule, every_failure};
pub use search::{Bounds, Counterexample, Explored, State, search};
pub use star::{Star, StarConfig};
pub use step::{Input, Machine, Observed, Stop, Why};
pub use trace::Trace;
pub use wild::{Spy, Wild, Wildness};
pub use world::{Drain, Limits, Moment, Node, NodeId, Route, World};
