//! Nodes: adding them, commanding them, their applications, crashes, randomness and clocks.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::any::Any;
use core::marker::PhantomData;
use core::time::Duration;

use super::rng::FailingEntropy;
use super::step::{Input, Machine, Stop, Why};
use super::world::{Drain, Moment, Node, NodeId, Slot, World};
use crate::endpoint::{Cx, Endpoint, Instant, Wake, WallClock};
use crate::event::Event;

/// A node's own clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeClock {
    from: Instant,
    local: Instant,
    ppm: i32,
    wall: Option<WallClock>,
}

impl NodeClock {
    /// What the clock shows at this time of the world.
    pub fn local(&self, world: Instant) -> Instant {
        let passed = world.since(self.from).as_micros().saturating_mul(self.rate()) / 1_000_000;
        self.local + Duration::from_micros(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// The first time of the world at which the clock shows at least `local`.
    pub fn world(&self, local: Instant) -> Instant {
        let wanted = local.since(self.local).as_micros().saturating_mul(1_000_000).div_ceil(self.rate());
        self.from + Duration::from_micros(u64::try_from(wanted).unwrap_or(u64::MAX))
    }

    fn rate(&self) -> u128 {
        u128::from(1_000_000i32.saturating_add(self.ppm).max(1).unsigned_abs())
    }

    pub(super) fn wall(&self, world: Instant) -> Option<WallClock> {
        let passed = self.local(world).since(self.local).as_millis();
        self.wall.map(|wall| WallClock(wall.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))))
    }
}

impl World {
    /// Adds a node.
    ///
    /// # Errors
    /// [`Stop`] if a checker objects. So for everything below that lets a machine do something: a [`Stop`] that
    /// [`Why::is_final`] ends the run, any other says that the call came to nothing.
    pub fn add<E: Endpoint + Any>(&mut self, name: &str, machine: E) -> Result<Node<E>, Stop> {
        self.alive()?;
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Slot {
            name: name.to_string(),
            machine: Some(Box::new(machine)),
            life: 1,
            entropy: self.entropy_for(id, 1),
            clock: NodeClock::default(),
            links: BTreeSet::new(),
            lost_wires: Vec::new(),
            dials: BTreeMap::new(),
            wake: Wake::OnInput,
            timer: None,
            drain: Drain::Each,
            undrained: 0,
            draining: None,
            idle: 0,
            streak: (Instant::ORIGIN, 0),
            events: Vec::new(),
            app: None,
            factory: None,
        });
        self.enter(id, Input::Started, |_, _| Ok(()))?;
        Ok(Node { id, kind: PhantomData })
    }

    fn entropy_for(&self, id: NodeId, life: u32) -> FailingEntropy {
        FailingEntropy::new(self.root.fork((u64::from(life) << 32) | u64::from(id.0)))
    }

    pub(super) fn slot(&mut self, id: NodeId) -> Result<&mut Slot, Stop> {
        let (seed, step, at) = (self.seed, self.steps, self.now);
        let unknown = || Stop { seed, step, at, node: "-".into(), why: Why::NoSuch };
        self.nodes.get_mut(id.index()).ok_or_else(unknown)
    }

    /// Calls a command of a machine, then drains its outputs.
    ///
    /// # Errors
    /// As [`Self::add`]; [`Why::NoMachine`] if the node is down.
    pub fn with<E: Endpoint + Any, R>(
        &mut self,
        node: Node<E>,
        act: impl FnOnce(&mut E, &mut Cx<'_>) -> R,
    ) -> Result<R, Stop> {
        self.command(node, "command", act)
    }

    /// As [`Self::with`], with words for the trace and for checkers: some want to know of `"leave"`, `"eject"`, `"join"`.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn command<E: Endpoint + Any, R>(
        &mut self,
        node: Node<E>,
        words: &str,
        act: impl FnOnce(&mut E, &mut Cx<'_>) -> R,
    ) -> Result<R, Stop> {
        let result = self.enter(node.id, Input::Command(words), |machine, cx| {
            Ok(machine.as_any_mut().downcast_mut::<E>().map(|machine| act(machine, cx)))
        })?;
        result.ok_or_else(|| self.stop(Some(node.id), Why::NoMachine))
    }

    /// The machine of a node, to look at; `None` while it is down.
    pub fn get<E: Endpoint + Any>(&self, node: Node<E>) -> Option<&E> {
        self.nodes.get(node.id.index())?.machine.as_ref()?.as_ref().as_any().downcast_ref()
    }

    /// The typed handle of a node, if its machine is an `E` now.
    pub fn typed<E: Endpoint + Any>(&self, id: NodeId) -> Option<Node<E>> {
        let node = Node { id, kind: PhantomData };
        self.get::<E>(node).map(|_| node)
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(NodeId)
    }

    /// The name of a node.
    pub fn name(&self, node: impl Into<NodeId>) -> &str {
        self.nodes.get(node.into().index()).map_or("-", |slot| &slot.name)
    }

    /// Whether the node has a machine, that is, has not crashed.
    pub fn is_up(&self, node: impl Into<NodeId>) -> bool {
        self.nodes.get(node.into().index()).is_some_and(|slot| slot.machine.is_some())
    }

    /// What a node's machine told its application, in all its lives, since [`Self::take_events`].
    pub fn events(&self, node: impl Into<NodeId>) -> &[Event] {
        self.nodes.get(node.into().index()).map_or(&[], |slot| &slot.events)
    }

    /// As [`Self::events`], and forgets them.
    pub fn take_events(&mut self, node: impl Into<NodeId>) -> Vec<Event> {
        self.nodes.get_mut(node.into().index()).map(|slot| core::mem::take(&mut slot.events)).unwrap_or_default()
    }

    /// Whether events are kept for [`Self::events`] (they are at first). Checkers and applications see them anyway.
    pub fn keep_events(&mut self, keep: bool) {
        self.keep_events = keep;
    }

    /// Sets the application of a node: called when the machine starts, here and after each restart, and for each event.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn set_app<E: Endpoint + Any>(
        &mut self,
        node: Node<E>,
        mut app: impl FnMut(&mut E, &mut Cx<'_>, Moment<'_>) + 'static,
    ) -> Result<(), Stop> {
        self.slot(node.id)?.app = Some(Box::new(move |machine, cx, moment| {
            if let Some(machine) = machine.as_any_mut().downcast_mut::<E>() {
                app(machine, cx, moment);
            }
        }));
        self.start_app(node.id)
    }

    pub(super) fn start_app(&mut self, id: NodeId) -> Result<(), Stop> {
        self.enter_with(id, Input::Command("application starts"), |machine, cx, app| {
            if let Some(app) = app {
                app(machine, cx, Moment::Started);
            }
            Ok(())
        })
    }

    /// Sets what makes a new machine when the node restarts, given the number of the life that begins.
    ///
    /// # Errors
    /// [`Why::NoSuch`].
    pub fn set_factory<E: Endpoint + Any>(
        &mut self,
        node: Node<E>,
        mut make: impl FnMut(u32) -> E + 'static,
    ) -> Result<(), Stop> {
        self.slot(node.id)?.factory = Some(Box::new(move |life| Box::new(make(life))));
        Ok(())
    }

    /// Takes the machine of a node away. Reliable links break, and the peers are told; datagram links fall silent.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn crash(&mut self, node: impl Into<NodeId>) -> Result<(), Stop> {
        let id = node.into();
        self.alive()?;
        if self.slot(id)?.machine.take().is_none() {
            return Err(self.stop(Some(id), Why::NoMachine));
        }
        let slot = self.slot(id)?;
        let (timer, draining) = (slot.timer.take(), slot.draining.take());
        (slot.undrained, slot.idle) = (0, 0);
        slot.dials.clear();
        for key in [timer, draining].into_iter().flatten() {
            self.queue.remove(&key);
        }
        self.drop_links(id);
        self.observe(id, Input::Crashed, &[], &[])
    }

    /// Gives a crashed node the machine that its factory makes, new randomness, and new numbers for its datagram links.
    /// Its reliable links stay broken.
    ///
    /// # Errors
    /// As [`Self::with`]; [`Why::Scenario`] if it has no factory or is up.
    pub fn restart(&mut self, node: impl Into<NodeId>) -> Result<(), Stop> {
        let id = node.into();
        let slot = self.slot(id)?;
        let life = slot.life.saturating_add(1);
        match slot.factory.as_mut().map(|make| make(life)) {
            Some(machine) => self.revive(id, machine),
            None => Err(self.stop(Some(id), Why::Scenario("no factory: use `set_factory` or `restart_with`".into()))),
        }
    }

    /// As [`Self::restart`], with this machine.
    ///
    /// # Errors
    /// As [`Self::restart`].
    pub fn restart_with<E: Endpoint + Any>(&mut self, node: Node<E>, machine: E) -> Result<(), Stop> {
        self.revive(node.id, Box::new(machine))
    }

    fn revive(&mut self, id: NodeId, machine: Box<dyn Machine>) -> Result<(), Stop> {
        self.alive()?;
        if self.slot(id)?.machine.is_some() {
            return Err(self.stop(Some(id), Why::Scenario("a node that is up cannot restart".into())));
        }
        let life = self.slot(id)?.life.saturating_add(1);
        let entropy = self.entropy_for(id, life);
        let slot = self.slot(id)?;
        (slot.machine, slot.life, slot.entropy, slot.wake) = (Some(machine), life, entropy, Wake::OnInput);
        self.enter(id, Input::Started, |_, _| Ok(()))?;
        self.restore_links(id)?;
        if self.slot(id)?.app.is_some() { self.start_app(id) } else { Ok(()) }
    }

    /// The randomness of a node in its present life.
    ///
    /// # Errors
    /// [`Why::NoSuch`].
    pub fn entropy(&mut self, node: impl Into<NodeId>) -> Result<&mut FailingEntropy, Stop> {
        self.slot(node.into()).map(|slot| &mut slot.entropy)
    }

    /// Sets when a node's outputs are drained.
    ///
    /// # Errors
    /// [`Why::NoSuch`].
    pub fn set_drain(&mut self, node: impl Into<NodeId>, drain: Drain) -> Result<(), Stop> {
        self.slot(node.into())?.drain = drain;
        Ok(())
    }

    /// Moves a node's clock, by microseconds: back if negative (R12).
    ///
    /// # Errors
    /// [`Why::NoSuch`].
    pub fn shift_clock(&mut self, node: impl Into<NodeId>, by: i64) -> Result<(), Stop> {
        let span = Duration::from_micros(by.unsigned_abs());
        self.turn_clock(node.into(), |clock| {
            clock.local = if by < 0 { clock.local - span } else { clock.local + span };
        })
    }

    /// Lets a node's clock run fast (or slow, if negative) by so many millionths.
    ///
    /// # Errors
    /// [`Why::NoSuch`].
    pub fn drift_clock(&mut self, node: impl Into<NodeId>, ppm: i32) -> Result<(), Stop> {
        self.turn_clock(node.into(), |clock| clock.ppm = ppm)
    }

    /// Gives a node a wall clock that shows this now, or takes it away. It runs with the node's own clock.
    ///
    /// # Errors
    /// [`Why::NoSuch`].
    pub fn set_wall(&mut self, node: impl Into<NodeId>, wall: Option<WallClock>) -> Result<(), Stop> {
        self.turn_clock(node.into(), |clock| clock.wall = wall)
    }

    fn turn_clock(&mut self, id: NodeId, turn: impl FnOnce(&mut NodeClock)) -> Result<(), Stop> {
        let now = self.now;
        let slot = self.slot(id)?;
        let clock = slot.clock;
        slot.clock = NodeClock { from: now, local: clock.local(now), wall: clock.wall(now), ..clock };
        turn(&mut slot.clock);
        self.arm(id);
        Ok(())
    }
}
