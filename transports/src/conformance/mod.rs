//! What every transport has to pass: whole sessions of a real system over real adapters, with crashes, floods and peers
//! that stop.
//!
//! A transport takes part by one implementation of [`Network`], about 30 lines, and one line that makes a test of each
//! scenario:
//!
//! ```ignore
//! sodality_transports::conformance_suite!(over_mine, Mine::new(), Antigone::new());
//! ```
//!
//! See `transports/tests/conformance_tcp.rs` for a whole one. The system is behind a trait as well ([`System`]): a new one
//! is one implementation, and meets all transports.
//!
//! Scenarios see a transport as an endpoint's application does: by what arrives, by events and by the counters of
//! drivers. Nothing in them knows a socket. Where a transport can do less they ask for less ([`Capabilities`]).
//!
//! They run on the clock of the machine, over loopback or whatever the implementation chooses, a bounded number at a
//! time ([`AT_ONCE`]). Each says what it measured.

mod antigone;
mod babbler;
mod enclaves;
mod room;
mod scenarios;
mod seat;
mod settings;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use sodality::endpoint::{Cx, Endpoint, Link, LinkInfo, Transmit, Wake};
use sodality::error::{CommandError, Fatal};
use sodality::event::{Event, Stats};
use sodality::group::{Convener, Participant};
use sodality::identity::Name;
use sodality::policy::Communication;

pub use antigone::Antigone;
pub use enclaves::Enclaves;

use crate::transport::{Connector, Uplink};

/// What a transport can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// Frames arrive in order and without loss while a link is open.
    pub reliable: bool,
    /// When a link ends at one side, the other side sees it.
    pub ends_seen: bool,
    /// Most bytes on the way in a link whose peer reads nothing, in the buffers of adapters and system: then whoever sends
    /// is slowed down. `None` if nothing slows it down, and what is too much is lost.
    pub holds: Option<usize>,
    /// Longest frame, in bytes.
    pub max_frame: usize,
    /// How data reach the group: if not by [`Communication::Relay`], beside the links there is one that all share
    /// ([`Network::share`]).
    pub communication: Communication,
}

/// A transport under test.
pub trait Network: Send + Sync + 'static {
    /// Where an endpoint is reached.
    type Place: Clone + fmt::Debug + Send + Sync + 'static;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Accepts links for the driver of `uplink`, at a place of its own, until that driver ends. Called inside the runtime
    /// that is to run the tasks.
    ///
    /// # Errors
    /// If it cannot.
    fn listen(&self, uplink: Uplink) -> impl Future<Output = io::Result<Self::Place>> + Send;

    /// Reaches `place`, whatever peer is wished for. It tries again soon and often: scenarios do not wait for a backoff of
    /// seconds. Called inside the runtime that is to run the tasks.
    fn connector(&self, place: Self::Place) -> Box<dyn Connector>;

    /// Joins the link that all in the group of the leader at `place` share, for the driver of `uplink`: the leader's, after
    /// [`Network::listen`], and those of members, before they ask to join. Called inside the runtime that is to run the
    /// tasks. Does nothing where there is no such link.
    ///
    /// # Errors
    /// If it cannot.
    fn share(&self, uplink: Uplink, place: &Self::Place) -> impl Future<Output = io::Result<()>> + Send {
        let _ = (uplink, place);
        async { Ok(()) }
    }

    /// Nothing that is expected takes longer than this over this transport; what does has failed.
    fn soon(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Sends rubbish to `place`, below the level of frames, until it is dropped. Does nothing where there is no such level.
    fn assault(&self, place: Self::Place) -> impl Future<Output = ()> + Send {
        let _ = place;
        async {}
    }
}

/// What a scenario asks of the group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Longest frame that the policy may allow, in bytes.
    pub max_frame: usize,
    /// How data reach the group.
    pub communication: Communication,
    /// Time between two signs of life that are asked for.
    pub period: Duration,
    /// How many may be lost in a row.
    pub misses: u8,
}

/// A system under which the scenarios run.
pub trait System: Send + Sync + 'static {
    /// Its leader.
    type Leader: Convener + 'static;
    /// Its member.
    type Member: Participant + 'static;
    /// Whoever else the leader needs, and reaches by a link that it wishes for; [`Nobody`] if none.
    type Helper: Endpoint + 'static;

    /// Opens a group.
    ///
    /// # Errors
    /// As the machine says.
    fn leader(&self, terms: &Terms, cx: &mut Cx<'_>) -> Result<Self::Leader, CommandError>;

    /// A member of this name, which may join.
    ///
    /// # Errors
    /// As the machine says.
    fn member(&self, terms: &Terms, name: Name) -> Result<Self::Member, CommandError>;

    /// How its data reach the group over a transport for `offered`.
    fn communication(&self, offered: Communication) -> Communication {
        offered
    }

    /// The helper, if there is one.
    fn helper(&self) -> Option<Self::Helper>;

    /// Answers what the helper asks its application.
    fn help(&self, helper: &mut Self::Helper, cx: &mut Cx<'_>, event: &Event);

    /// Asks to join.
    ///
    /// # Errors
    /// As the machine says.
    fn join(member: &mut Self::Member, cx: &mut Cx<'_>) -> Result<(), CommandError>;

    /// Leaves.
    ///
    /// # Errors
    /// As the machine says.
    fn leave(member: &mut Self::Member, cx: &mut Cx<'_>) -> Result<(), CommandError>;
}

/// The helper of a system that needs none.
#[derive(Clone, Copy, Debug)]
pub enum Nobody {}

impl Endpoint for Nobody {
    fn handle_link_opened(&mut self, _: &mut Cx<'_>, _: Link, _: LinkInfo) -> Result<(), Fatal> {
        match *self {}
    }

    fn handle_link_closed(&mut self, _: &mut Cx<'_>, _: Link) -> Result<(), Fatal> {
        match *self {}
    }

    fn handle_frame(&mut self, _: &mut Cx<'_>, _: Link, _: bytes::BytesMut) -> Result<(), Fatal> {
        match *self {}
    }

    fn handle_timeout(&mut self, _: &mut Cx<'_>) -> Result<(), Fatal> {
        match *self {}
    }

    fn poll_transmit(&mut self, _: &mut Cx<'_>) -> Option<Transmit> {
        match *self {}
    }

    fn poll_event(&mut self) -> Option<Event> {
        match *self {}
    }

    fn poll_timeout(&self) -> Wake {
        match *self {}
    }

    fn stats(&self) -> &Stats {
        match *self {}
    }
}

/// What did not hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    pub(crate) fn of(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

/// What was measured, in words, or what did not hold.
pub type Verdict = Result<String, Failure>;

macro_rules! scenarios {
    ($($(#[$doc:meta])* $variant:ident = $function:ident,)*) => {
        /// The scenarios.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Scenario {
            $($(#[$doc])* $variant,)*
        }

        impl Scenario {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            async fn play<N: Network, S: System>(self, stage: room::Stage<N, S>) -> Verdict {
                match self {
                    $(Self::$variant => scenarios::$function(stage).await,)*
                }
            }
        }

        /// Makes a module with a test of each scenario: its name, an expression for the [`Network`], one for the
        /// [`System`].
        #[macro_export]
        macro_rules! conformance_suite {
            ($name:ident, $network:expr, $system:expr) => {
                mod $name {
                    #[allow(unused_imports, reason = "the expressions name what they like")]
                    use super::*;
                    $(
                        #[test]
                        fn $function() {
                            $crate::conformance::check($crate::conformance::Scenario::$variant, $network, $system);
                        }
                    )*
                }
            };
        }
    };
}

scenarios! {
    /// Messages from one byte to the longest, rekey, leave, eject, close.
    Session = a_whole_session,
    /// Objects to 16 MiB, also while the key changes.
    Objects = objects_of_any_size,
    /// A leader and 64 members.
    Many = sixty_four_members,
    /// The leader crashes; its members notice, and meet again at another.
    LeaderCrash = a_leader_that_crashes,
    /// A member crashes, is noticed, and comes back under its name.
    MemberCrash = a_member_that_crashes,
    /// All links are cut, and nobody leaves.
    Reconnect = links_that_are_cut,
    /// Strangers flood the leader with nonsense, in frames and below.
    Nonsense = a_flood_of_nonsense,
    /// A peer reads nothing for 5 seconds.
    Stopped = a_peer_that_stops_reading,
    /// Whoever leaves and ends at once is known to have left.
    Farewell = farewells_arrive,
    /// An application that takes no events.
    Deaf = an_application_that_reads_no_events,
    /// Operations that are given up half way.
    Cancellation = operations_that_are_cancelled,
    /// What crosses the network.
    Wire = what_crosses_the_network,
}

/// Scenarios that run at the same time, in one process.
pub const AT_ONCE: usize = 4;

/// The most that a scenario may take before it has failed.
pub const LONGEST: Duration = Duration::from_secs(180);

/// How many scenarios run.
static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

struct Turn;

impl Turn {
    /// Waits until there is room for one more.
    fn take() -> Self {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= AT_ONCE {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}

/// Runs one scenario in a runtime of its own.
///
/// # Errors
/// What did not hold.
pub fn run<N: Network, S: System>(scenario: Scenario, network: N, system: S) -> Verdict {
    let _turn = Turn::take();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Failure::of)?;
    let played = runtime.block_on(async {
        // Not in the thread of the caller: a scenario is a task like others.
        let soon = network.soon();
        let playing = tokio::spawn(seat::SOON.scope(soon, scenario.play(room::Stage::new(network, system))));
        match tokio::time::timeout(LONGEST, playing).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(panicked)) => Err(Failure::of(panicked)),
            Err(_) => Err(Failure(format!("it took more than {LONGEST:?}"))),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    played
}

/// [`run`] as a test does it: prints what was measured.
///
/// # Panics
/// If the scenario fails.
pub fn check<N: Network, S: System>(scenario: Scenario, network: N, system: S) {
    let begun = crate::clock::Clock::new();
    match run(scenario, network, system) {
        Ok(measured) => println!("{scenario:?}: {measured} ({} ms)", begun.now().as_micros() / 1000),
        #[expect(clippy::panic, reason = "this is how a test fails")]
        Err(failure) => panic!("{scenario:?}: {failure}"),
    }
}
