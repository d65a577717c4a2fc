//! Frames on their way: the adversary, then the network's own faults, then the receiver.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::adversary::{Deed, Net, Verdict};
use super::links::EndState;
use super::net::{Faults, InTransit};
use super::step::{Input, Stop, Why};
use super::world::{Item, NodeId, World};
use crate::endpoint::{Class, Link, Transmit};

impl World {
    /// Sends what a machine handed out.
    pub(super) fn send(&mut self, id: NodeId, transmit: Transmit) -> Result<(), Stop> {
        transmit.to.links().try_for_each(|link| self.send_on(id, link, &transmit))
    }

    fn send_on(&mut self, id: NodeId, link: Link, transmit: &Transmit) -> Result<(), Stop> {
        let life = self.slot(id)?.life;
        let own = self.links.get(&link).filter(|end| end.node == id && end.life == life);
        let Some((end, wire)) = own.and_then(|end| Some((end, self.wires.get(&end.wire)?))) else {
            return Err(self.halt(Some(id), Why::ForeignLink(link)));
        };
        match end.state {
            EndState::Open => {}
            EndState::Opening(_) => return Err(self.halt(Some(id), Why::ForeignLink(link))),
            EndState::Closed => {
                self.net.homeless += 1;
                return Ok(());
            }
        }
        let (length, max) = (transmit.frame.len(), wire.config.max_frame);
        if length > max {
            return Err(self.halt(Some(id), Why::Oversize { link, length, max }));
        }
        let wire_id = end.wire;
        let receivers: Vec<Link> = wire.ends.iter().copied().filter(|far| *far != link).collect();
        if receivers.is_empty() {
            self.net.homeless += 1;
        }
        for to_link in receivers {
            let Some(to) = self.holder(to_link) else { continue };
            self.frames += 1;
            self.net.sent += 1;
            let frame = InTransit {
                number: self.frames,
                sent: self.now,
                from: id,
                from_link: link,
                to,
                to_link,
                wire: wire_id,
                bytes: transmit.frame.clone(),
                class: transmit.class,
                injected: false,
            };
            self.intercept(frame);
        }
        Ok(())
    }

    /// Asks the adversary what becomes of a frame.
    fn intercept(&mut self, mut frame: InTransit) {
        let Some(mut adversary) = self.adversary.take() else {
            return self.transit(frame, Duration::ZERO);
        };
        let mut net = Net {
            now: self.now,
            rng: &mut self.adversary_rng,
            tables: &self.tables,
            nodes: &self.nodes,
            deeds: Vec::new(),
        };
        let verdict = adversary.on_frame(&frame, &mut net);
        let deeds = net.deeds;
        self.adversary = Some(adversary);
        match verdict {
            Verdict::Pass => self.transit(frame, Duration::ZERO),
            Verdict::Delay(by) => self.transit(frame, by),
            Verdict::Drop => {
                self.net.intercepted += 1;
                self.trace.note(self.now, format_args!("{frame}: intercepted"));
            }
            Verdict::Replace(bytes) => {
                (frame.bytes, frame.injected) = (bytes, true);
                self.net.injected += 1;
                self.transit(frame, Duration::ZERO);
            }
        }
        self.perform(deeds);
    }

    pub(super) fn wake_adversary(&mut self, token: u64) {
        let Some(mut adversary) = self.adversary.take() else { return };
        let mut net = Net {
            now: self.now,
            rng: &mut self.adversary_rng,
            tables: &self.tables,
            nodes: &self.nodes,
            deeds: Vec::new(),
        };
        adversary.on_wake(token, &mut net);
        let deeds = net.deeds;
        self.adversary = Some(adversary);
        self.perform(deeds);
    }

    fn perform(&mut self, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Inject { link, bytes, after } => self.inject(link, bytes, after),
                Deed::Wake { token, after } => drop(self.schedule(self.now + after, Item::Wake(token))),
                Deed::Close { link } => drop(self.schedule(self.now, Item::Close(link))),
            }
        }
    }

    /// Delivers `bytes` to the holder of `link`, as if they came over it: the network does nothing to them.
    pub fn inject(&mut self, link: Link, bytes: impl Into<Bytes>, after: Duration) {
        let Some(end) = self.links.get(&link) else { return };
        let wire = self.wires.get(&end.wire);
        let far = wire.and_then(|wire| wire.ends.iter().find(|far| **far != link)).copied().unwrap_or(link);
        self.frames += 1;
        self.net.injected += 1;
        let frame = InTransit {
            number: self.frames,
            sent: self.now,
            from: self.holder(far).unwrap_or(end.node),
            from_link: far,
            to: end.node,
            to_link: link,
            wire: end.wire,
            bytes: bytes.into(),
            class: Class::Control,
            injected: true,
        };
        self.schedule(self.now + after, Item::Deliver(frame));
    }

    /// Takes a frame through the network. `held` is what the adversary adds to its delay.
    fn transit(&mut self, mut frame: InTransit, held: Duration) {
        let cut = self.separated(frame.from, frame.to);
        let (Some(wire), Some(end)) = (self.wires.get(&frame.wire), self.links.get_mut(&frame.from_link)) else {
            return;
        };
        let config = wire.config;
        if cut || end.blocked {
            return self.lose(&frame);
        }
        let mut departs = self.now;
        if let Some(bandwidth) = config.bandwidth {
            let start = end.busy_until.max(self.now);
            let waiting = start.since(self.now).as_micros().saturating_mul(u128::from(bandwidth.get())) / 1_000_000;
            if waiting.saturating_add(frame.bytes.len() as u128) > u128::from(config.backlog) {
                if config.reliable && frame.class == Class::Control {
                    self.schedule(self.now, Item::Close(frame.from_link));
                }
                return self.lose(&frame);
            }
            let micros = (frame.bytes.len() as u64).saturating_mul(1_000_000).div_ceil(bandwidth.get());
            departs = start + Duration::from_micros(micros);
            end.busy_until = departs;
        }
        let faults = if self.calm || config.reliable { Faults::NONE } else { config.faults.worse(self.overlay) };
        let rng = &mut self.net_rng;
        if rng.chance(faults.loss) {
            return self.lose(&frame);
        }
        if rng.chance(faults.corrupt) && !frame.bytes.is_empty() {
            let bit = rng.below(frame.bytes.len() as u64 * 8);
            frame.bytes = flip(&frame.bytes, bit);
            self.net.corrupted += 1;
            self.trace.note(self.now, format_args!("{frame}: corrupted"));
        }
        let copies = if rng.chance(faults.duplicate) { 2 } else { 1 };
        self.net.duplicated += copies - 1;
        for _ in 0..copies {
            let rng = &mut self.net_rng;
            let late = if rng.chance(faults.reorder) { rng.span(faults.reorder_by) } else { Duration::ZERO };
            let mut arrives = departs + config.latency + rng.span(config.jitter) + late + held;
            if let Some(end) = self.links.get_mut(&frame.to_link).filter(|_| config.reliable && held.is_zero()) {
                arrives = arrives.max(end.last_arrival);
                end.last_arrival = arrives;
            }
            self.schedule(arrives, Item::Deliver(frame.clone()));
        }
    }

    fn lose(&mut self, frame: &InTransit) {
        self.net.lost += 1;
        self.trace.note(self.now, format_args!("{frame}: lost"));
    }

    /// Hands a frame to its receiver.
    pub(super) fn deliver(&mut self, frame: InTransit) -> Result<(), Stop> {
        match self.links.get(&frame.to_link).map(|end| end.state) {
            Some(EndState::Open) => {}
            Some(EndState::Opening(at)) if at > self.now => {
                self.schedule(at, Item::Deliver(frame));
                return Ok(());
            }
            _ => {
                self.net.homeless += 1;
                return Ok(());
            }
        }
        self.net.delivered += 1;
        let (link, bytes) = (frame.to_link, BytesMut::from(&*frame.bytes));
        self.foresee(&frame);
        self.enter(frame.to, Input::Frame(&frame), |machine, cx| machine.handle_frame(cx, link, bytes))
    }
}

fn flip(bytes: &[u8], bit: u64) -> Bytes {
    let mut copy = BytesMut::from(bytes);
    if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| copy.get_mut(at)) {
        *byte ^= 1 << (bit % 8);
    }
    copy.freeze()
}
