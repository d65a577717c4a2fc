//! The canonical loop around one input: feed, drain, observe, send, arm the timer.

use alloc::vec::Vec;

use super::links::Dialing;
use super::net::InTransit;
use super::step::{Input, Machine, Observed, Why};
use super::world::{App, Drain, Item, Moment, NodeId, World};
use super::{Checker, Stop};
use crate::endpoint::{Cx, Transmit, Wake};
use crate::error::Fatal;
use crate::event::Event;

impl World {
    /// Gives a machine one input.
    pub(super) fn enter<R>(
        &mut self,
        id: NodeId,
        input: Input<'_>,
        act: impl FnOnce(&mut dyn Machine, &mut Cx<'_>) -> Result<R, Fatal>,
    ) -> Result<R, Stop> {
        self.enter_with(id, input, |machine, cx, _| act(machine, cx))
    }

    /// As [`Self::enter`], where the application has a say.
    pub(super) fn enter_with<R>(
        &mut self,
        id: NodeId,
        input: Input<'_>,
        act: impl FnOnce(&mut dyn Machine, &mut Cx<'_>, Option<&mut App>) -> Result<R, Fatal>,
    ) -> Result<R, Stop> {
        self.alive()?;
        let now = self.now;
        let (machine, mut cx, app) = self.slot(id)?.cx(now);
        let Some(machine) = machine else {
            return Err(self.stop(Some(id), Why::NoMachine));
        };
        let result = act(machine.as_mut(), &mut cx, app);
        self.steps += 1;
        let answer = result.map_err(|fatal| self.halt(Some(id), Why::Fatal(fatal)))?;
        self.count_wakes(id, input)?;
        match self.slot(id)?.drain {
            Drain::Each => self.settle(id, input)?,
            Drain::Batch { inputs, within } => {
                self.observe(id, input, &[], &[])?;
                let slot = self.slot(id)?;
                slot.undrained += 1;
                if slot.undrained >= inputs {
                    self.settle(id, Input::Drain)?;
                } else if slot.draining.is_none() {
                    let key = self.schedule(now + within, Item::Drain(id));
                    self.slot(id)?.draining = Some(key);
                }
            }
        }
        Ok(answer)
    }

    fn count_wakes(&mut self, id: NodeId, input: Input<'_>) -> Result<(), Stop> {
        let (now, burst) = (self.now, self.limits.burst);
        let slot = self.slot(id)?;
        if !matches!(input, Input::Timeout) {
            (slot.idle, slot.streak) = (0, (now, 0));
            return Ok(());
        }
        slot.idle += 1;
        slot.streak = if slot.streak.0 == now { (now, slot.streak.1 + 1) } else { (now, 1) };
        if slot.streak.1 > burst { Err(self.halt(Some(id), Why::Flooding)) } else { Ok(()) }
    }

    /// Drains the outputs of a machine and does with them what a driver does.
    pub(super) fn settle(&mut self, id: NodeId, input: Input<'_>) -> Result<(), Stop> {
        let (now, burst) = (self.now, self.limits.burst);
        let slot = self.slot(id)?;
        slot.undrained = 0;
        let draining = slot.draining.take();
        let (machine, mut cx, mut app) = slot.cx(now);
        let Some(machine) = machine else { return Ok(()) };
        let mut sent: Vec<Transmit> = Vec::new();
        let mut events: Vec<Event> = Vec::new();
        let mut told = 0;
        let mut flooding = false;
        loop {
            while let Some(transmit) = machine.poll_transmit(&mut cx) {
                sent.push(transmit);
                flooding |= sent.len() > burst;
                if flooding {
                    break;
                }
            }
            while let Some(event) = machine.poll_event().filter(|_| !flooding) {
                events.push(event);
                flooding |= events.len() > burst;
            }
            let Some(app) = app.as_mut().filter(|_| told < events.len() && !flooding) else { break };
            for event in events.iter().skip(told) {
                app(machine.as_mut(), &mut cx, Moment::Event(event));
            }
            told = events.len();
        }
        let wake = machine.poll_timeout();
        slot.wake = wake;
        if !sent.is_empty() || !events.is_empty() {
            slot.idle = 0;
        }
        let idle = slot.idle;
        let due = match wake {
            Wake::Now(_) => true,
            Wake::At(at, _) => at <= slot.clock.local(now),
            Wake::OnInput => false,
        };
        if let Some(key) = draining {
            self.queue.remove(&key);
        }
        self.observe(id, input, &sent, &events)?;
        if flooding {
            return Err(self.halt(Some(id), Why::Flooding));
        }
        if (due && idle > self.limits.idle) || idle > self.limits.idle_timers {
            return Err(self.halt(Some(id), Why::Idling));
        }
        for transmit in sent {
            self.send(id, transmit)?;
        }
        self.arm(id);
        self.want_links(id, &events)?;
        if self.keep_events {
            self.slot(id)?.events.append(&mut events);
        }
        Ok(())
    }

    fn want_links(&mut self, id: NodeId, events: &[Event]) -> Result<(), Stop> {
        for event in events {
            if let Event::LinkWanted { ticket, peer, hint } = event {
                let slot = self.slot(id)?;
                if slot.dials.insert(peer.clone(), *ticket) == Some(*ticket) {
                    // The same wish, told again while it is being seen to.
                    continue;
                }
                let dialing =
                    Dialing { node: id, life: slot.life, ticket: *ticket, peer: peer.clone(), hint: hint.clone() };
                self.schedule(self.now, Item::Dial(dialing));
            }
        }
        Ok(())
    }

    /// Sets the timer of a node by what its machine last wished.
    pub(super) fn arm(&mut self, id: NodeId) {
        let now = self.now;
        let Some(slot) = self.nodes.get_mut(id.index()) else { return };
        let at = match slot.wake {
            _ if slot.machine.is_none() => None,
            Wake::Now(_) => Some(now),
            Wake::At(at, _) => Some(slot.clock.world(at).max(now)),
            Wake::OnInput => None,
        };
        if at.is_some() && at == slot.timer.map(|(at, _)| at) {
            return;
        }
        if let Some(key) = slot.timer.take() {
            self.queue.remove(&key);
        }
        let key = at.map(|at| self.schedule(at, Item::Timer(id)));
        if let Some(slot) = self.nodes.get_mut(id.index()) {
            slot.timer = key;
        }
    }

    /// Shows the checkers a machine that is about to be given `frame`, unless outputs of it are still to be drained.
    pub(super) fn foresee(&mut self, frame: &InTransit) {
        let Some(slot) = self.nodes.get(frame.to.index()).filter(|slot| slot.drain == Drain::Each) else { return };
        let Some(machine) = slot.machine.as_deref() else { return };
        let seen = Observed {
            at: self.now,
            step: self.steps,
            node: frame.to,
            life: slot.life,
            input: Input::Frame(frame),
            sent: &[],
            events: &[],
            machine: Some(machine),
        };
        self.checkers.iter_mut().for_each(|checker| checker.foresee(&seen));
    }

    /// Shows one transition to the trace and to the checkers.
    pub(super) fn observe(
        &mut self,
        id: NodeId,
        input: Input<'_>,
        sent: &[Transmit],
        events: &[Event],
    ) -> Result<(), Stop> {
        let Some(slot) = self.nodes.get(id.index()) else { return Ok(()) };
        let seen = Observed {
            at: self.now,
            step: self.steps,
            node: id,
            life: slot.life,
            input,
            sent,
            events,
            machine: slot.machine.as_deref(),
        };
        self.trace.step(&seen, &slot.name, &self.tables);
        let mut objection = None;
        for checker in &mut self.checkers {
            if let Err(text) = checker.after(&seen) {
                objection = objection.or(Some((Checker::name(checker.as_ref()), text)));
            }
        }
        match objection {
            Some((checker, text)) => Err(self.halt(Some(id), Why::Check { checker, text })),
            None => Ok(()),
        }
    }
}
