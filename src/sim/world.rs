//! The world: nodes, time, and the run.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use super::adversary::Adversary;
use super::check::Checker;
use super::craft::Tables;
use super::links::{Dialing, End, Wire};
use super::net::{Faults, InTransit, LinkConfig, NetStats, WireId};
use super::nodes::NodeClock;
use super::rng::{FailingEntropy, SimRng};
use super::step::{Input, Machine, Stop, Why};
use super::trace::Trace;
use crate::endpoint::{Cx, Instant, Link, Wake};
use crate::event::{Event, Peer};

/// The number of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u32);

impl NodeId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A node whose machine is an `E`.
pub struct Node<E> {
    /// Its number.
    pub id: NodeId,
    pub(super) kind: PhantomData<fn() -> E>,
}

impl<E> Clone for Node<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Node<E> {}

impl<E> fmt::Debug for Node<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id, f)
    }
}

impl<E> From<Node<E>> for NodeId {
    fn from(node: Node<E>) -> Self {
        node.id
    }
}

/// When the outputs of a node are drained. Both are correct drivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Drain {
    /// After each input: the canonical loop.
    #[default]
    Each,
    /// After so many inputs, or so long after the first of them.
    Batch {
        /// Most inputs in a batch.
        inputs: u32,
        /// Longest wait.
        within: Duration,
    },
}

/// What a run may use up (R11).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Wakes of one machine in a row, at one instant, without any output. More stop the run.
    pub idle: u32,
    /// Wakes of one machine in a row, at whatever times, without any output or other input.
    pub idle_timers: u32,
    /// Frames and events from one input, and wakes of one machine in a row at one instant.
    pub burst: usize,
    /// Queue items in one run.
    pub steps: u64,
    /// How long the driver waits before it tries again to open a wanted link.
    pub redial: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { idle: 64, idle_timers: 10_000, burst: 100_000, steps: 5_000_000, redial: Duration::from_millis(250) }
    }
}

/// When an application is called.
#[derive(Clone, Copy, Debug)]
pub enum Moment<'a> {
    /// The machine is new: the application was set, or the node restarted.
    Started,
    /// The machine has this to say.
    Event(&'a Event),
}

/// Where a wanted link leads, and what it is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The other end.
    pub to: NodeId,
    /// What the link is like.
    pub config: LinkConfig,
}

pub(super) type App = Box<dyn FnMut(&mut dyn Machine, &mut Cx<'_>, Moment<'_>)>;
pub(super) type Factory = Box<dyn FnMut(u32) -> Box<dyn Machine>>;
pub(super) type Resolver = Box<dyn FnMut(NodeId, &Peer, &[u8]) -> Option<Route>>;
pub(super) type Task = Box<dyn FnOnce(&mut World) -> Result<(), Stop>>;

/// What the world knows of a node.
pub(super) struct Slot {
    pub name: String,
    pub machine: Option<Box<dyn Machine>>,
    pub life: u32,
    pub entropy: FailingEntropy,
    pub clock: NodeClock,
    pub links: BTreeSet<Link>,
    pub lost_wires: Vec<WireId>,
    pub dials: BTreeMap<Peer, crate::endpoint::LinkTicket>,
    pub wake: Wake,
    pub timer: Option<(Instant, u64)>,
    pub drain: Drain,
    pub undrained: u32,
    pub draining: Option<(Instant, u64)>,
    pub idle: u32,
    pub streak: (Instant, usize),
    pub events: Vec<Event>,
    pub app: Option<App>,
    pub factory: Option<Factory>,
}

impl Slot {
    pub(super) fn cx(&mut self, now: Instant) -> (Option<&mut Box<dyn Machine>>, Cx<'_>, Option<&mut App>) {
        let cx = Cx { now: self.clock.local(now), wall: self.clock.wall(now), rng: &mut self.entropy };
        (self.machine.as_mut(), cx, self.app.as_mut())
    }
}

/// What is going to happen.
pub(super) enum Item {
    Timer(NodeId),
    Drain(NodeId),
    Deliver(InTransit),
    Open(Link),
    Close(Link),
    Dial(Dialing),
    Wake(u64),
    Task(Task),
}

/// Nodes, the network between them, and time.
pub struct World {
    pub(super) seed: u64,
    pub(super) now: Instant,
    pub(super) sequence: u64,
    pub(super) steps: u64,
    pub(super) nodes: Vec<Slot>,
    pub(super) links: BTreeMap<Link, End>,
    pub(super) wires: BTreeMap<WireId, Wire>,
    pub(super) queue: BTreeMap<(Instant, u64), Item>,
    pub(super) islands: BTreeMap<NodeId, u32>,
    pub(super) island_count: u32,
    pub(super) root: SimRng,
    pub(super) net_rng: SimRng,
    pub(super) adversary_rng: SimRng,
    pub(super) overlay: Faults,
    pub(super) calm: bool,
    pub(super) adversary: Option<Box<dyn Adversary>>,
    pub(super) checkers: Vec<Box<dyn Checker>>,
    pub(super) addresses: BTreeMap<Peer, Route>,
    pub(super) resolver: Option<Resolver>,
    pub(super) tables: Tables,
    pub(super) trace: Trace,
    pub(super) limits: Limits,
    pub(super) keep_events: bool,
    pub(super) frames: u64,
    pub(super) net: NetStats,
    pub(super) calmers: Vec<Box<dyn FnMut()>>,
    pub(super) stopped: Option<Stop>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("steps", &self.steps)
            .field("nodes", &self.nodes.len())
            .field("queue", &self.queue.len())
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}

impl World {
    /// An empty world. `seed` decides all its randomness.
    pub fn new(seed: u64) -> Self {
        let root = SimRng::new(seed);
        Self {
            seed,
            now: Instant::ORIGIN,
            sequence: 0,
            steps: 0,
            nodes: Vec::new(),
            links: BTreeMap::new(),
            wires: BTreeMap::new(),
            queue: BTreeMap::new(),
            islands: BTreeMap::new(),
            island_count: 0,
            net_rng: root.fork(1 << 40),
            adversary_rng: root.fork(2 << 40),
            root,
            overlay: Faults::NONE,
            calm: false,
            adversary: None,
            checkers: Vec::new(),
            addresses: BTreeMap::new(),
            resolver: None,
            tables: Tables::default(),
            trace: Trace::default(),
            limits: Limits::default(),
            keep_events: true,
            frames: 0,
            net: NetStats::default(),
            calmers: Vec::new(),
            stopped: None,
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Transitions so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What happened to frames.
    pub fn net_stats(&self) -> &NetStats {
        &self.net
    }

    /// What happened.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// To say how many lines are kept.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// The digest of all inputs, frames and events so far.
    pub fn trace_digest(&self) -> u128 {
        self.trace.digest()
    }

    /// The layouts, for traces and adversaries.
    pub fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// What a run may use up.
    pub fn limits(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// Adds a checker, which sees every later transition. Use [`super::shared`] to look at it afterwards.
    pub fn add_checker(&mut self, checker: impl Checker + 'static) {
        self.checkers.push(Box::new(checker));
    }

    /// Sets who owns the network. Use [`super::shared`] to look at it afterwards.
    pub fn set_adversary(&mut self, adversary: impl Adversary + 'static) {
        self.adversary = Some(Box::new(adversary));
    }

    /// Sends the adversary away. What it has already injected still arrives.
    pub fn retire_adversary(&mut self) {
        self.adversary = None;
    }

    /// Lets `task` happen at that time, or now if that is past.
    pub fn at(&mut self, at: Instant, task: impl FnOnce(&mut Self) -> Result<(), Stop> + 'static) {
        self.schedule(at, Item::Task(Box::new(task)));
    }

    /// As [`Self::at`], so long from now.
    pub fn after(&mut self, span: Duration, task: impl FnOnce(&mut Self) -> Result<(), Stop> + 'static) {
        self.at(self.now + span, task);
    }

    pub(super) fn schedule(&mut self, at: Instant, item: Item) -> (Instant, u64) {
        self.sequence += 1;
        let key = (at.max(self.now), self.sequence);
        self.queue.insert(key, item);
        key
    }

    /// Lets the next thing happen that is due by `deadline`; false if there is none.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn step(&mut self, deadline: Instant) -> Result<bool, Stop> {
        self.alive()?;
        let Some(first) = self.queue.first_entry().filter(|entry| entry.key().0 <= deadline) else {
            return Ok(false);
        };
        let ((at, _), item) = first.remove_entry();
        self.now = self.now.max(at);
        match item {
            Item::Timer(id) => {
                self.slot(id)?.timer = None;
                self.enter(id, Input::Timeout, |machine, cx| machine.handle_timeout(cx))?;
            }
            Item::Drain(id) => {
                self.slot(id)?.draining = None;
                self.settle(id, Input::Drain)?;
            }
            Item::Deliver(frame) => self.deliver(frame)?,
            Item::Open(link) => self.open_end(link)?,
            Item::Close(link) => self.close_end(link)?,
            Item::Dial(dialing) => self.dial(dialing)?,
            Item::Wake(token) => self.wake_adversary(token),
            Item::Task(task) => task(self)?,
        }
        Ok(true)
    }

    /// Runs until `done` holds (true) or the deadline has come (false), at most [`Limits::steps`] queue items.
    ///
    /// # Errors
    /// As [`Self::add`]; [`Why::Steps`].
    pub fn run_until(&mut self, deadline: Instant, mut done: impl FnMut(&Self) -> bool) -> Result<bool, Stop> {
        let mut left = self.limits.steps;
        loop {
            if done(self) {
                return Ok(true);
            }
            if !self.step(deadline)? {
                self.now = self.now.max(deadline);
                return Ok(false);
            }
            left = left.saturating_sub(1);
            if left == 0 {
                return Err(self.halt(None, Why::Steps));
            }
        }
    }

    /// Runs for so long.
    ///
    /// # Errors
    /// As [`Self::run_until`].
    pub fn run_for(&mut self, span: Duration) -> Result<(), Stop> {
        self.run_until(self.now + span, |_| false).map(|_| ())
    }

    /// Runs until `done` holds, which must be within so long: the assertion of a liveness run.
    ///
    /// # Errors
    /// As [`Self::run_until`]; [`Why::NotInTime`] with `what`.
    pub fn eventually(&mut self, within: Duration, what: &str, done: impl FnMut(&Self) -> bool) -> Result<(), Stop> {
        if self.run_until(self.now + within, done)? {
            Ok(())
        } else {
            Err(self.stop(None, Why::NotInTime(what.to_string())))
        }
    }

    pub(super) fn alive(&self) -> Result<(), Stop> {
        self.stopped.clone().map_or(Ok(()), Err)
    }

    pub(super) fn stop(&self, node: Option<NodeId>, why: Why) -> Stop {
        let node = node.map_or("-", |id| self.name(id)).to_string();
        Stop { seed: self.seed, step: self.steps, at: self.now, node, why }
    }

    /// Makes a stop, and the end of the run if it is final.
    pub(super) fn halt(&mut self, node: Option<NodeId>, why: Why) -> Stop {
        let stop = self.stop(node, why);
        if stop.why.is_final() {
            self.trace.note(self.now, format_args!("{stop}"));
            self.stopped.get_or_insert_with(|| stop.clone());
        }
        stop
    }
}
