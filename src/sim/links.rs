//! Wires and their ends: opening, breaking, partitions, and links that a machine asks for.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;

use super::net::{Faults, LinkConfig, WireId};
use super::step::{Input, Stop, Why};
use super::world::{Item, NodeId, Route, World};
use crate::endpoint::{Instant, Link, LinkTicket};
use crate::event::Peer;

/// One end of a wire.
#[derive(Debug)]
pub(super) struct End {
    pub node: NodeId,
    pub life: u32,
    pub wire: WireId,
    pub state: EndState,
    /// When the last frame of a reliable wire arrives here.
    pub last_arrival: Instant,
    /// Until when the frames sent from here occupy a limited bandwidth.
    pub busy_until: Instant,
    /// What is sent from here is lost.
    pub blocked: bool,
    /// The wish that opening this end answers.
    pub answers: Option<Dialing>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EndState {
    Opening(Instant),
    Open,
    Closed,
}

/// What joins ends. Closed ends are no longer among them.
#[derive(Debug)]
pub(super) struct Wire {
    pub config: LinkConfig,
    pub shared: bool,
    pub ends: BTreeSet<Link>,
    /// All ends that there ever were.
    pub made: Vec<Link>,
}

/// A machine's wish for a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Dialing {
    pub node: NodeId,
    pub life: u32,
    pub ticket: LinkTicket,
    pub peer: Peer,
    pub hint: Bytes,
}

impl World {
    /// Joins two nodes: gives the link of the first and that of the second. Both are told at once.
    ///
    /// # Errors
    /// As [`Self::with`]; [`Why::Scenario`] if a reliable link would cross a partition.
    pub fn connect(
        &mut self,
        a: impl Into<NodeId>,
        b: impl Into<NodeId>,
        config: LinkConfig,
    ) -> Result<(Link, Link), Stop> {
        let (a, b) = (a.into(), b.into());
        for id in [a, b] {
            if self.slot(id)?.machine.is_none() {
                return Err(self.stop(Some(id), Why::NoMachine));
            }
        }
        if config.reliable && self.separated(a, b) {
            return Err(self.stop(Some(a), Why::Scenario("a partition lies between the two".into())));
        }
        let wire = self.new_wire(config, false);
        let ends = (self.new_end(wire, a)?, self.new_end(wire, b)?);
        self.open_end(ends.0)?;
        self.open_end(ends.1)?;
        Ok(ends)
    }

    /// Joins `hub` with each of `others`.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn star(
        &mut self,
        hub: impl Into<NodeId>,
        others: impl IntoIterator<Item = impl Into<NodeId>>,
        config: LinkConfig,
    ) -> Result<(), Stop> {
        let hub = hub.into();
        others.into_iter().try_for_each(|other| self.connect(hub, other, config).map(|_| ()))
    }

    /// A multicast channel that nobody listens to yet. It is never reliable nor proven.
    pub fn multicast(&mut self, config: LinkConfig) -> WireId {
        self.new_wire(LinkConfig { reliable: false, ..config }, true)
    }

    /// Lets a node listen and speak on a multicast channel.
    ///
    /// # Errors
    /// As [`Self::with`]; [`Why::NoSuch`].
    pub fn attach(&mut self, wire: WireId, node: impl Into<NodeId>) -> Result<Link, Stop> {
        let id = node.into();
        if self.slot(id)?.machine.is_none() {
            return Err(self.stop(Some(id), Why::NoMachine));
        }
        let link = self.new_end(wire, id)?;
        self.open_end(link)?;
        Ok(link)
    }

    /// Sets where a wanted link leads: answers [`crate::event::Event::LinkWanted`]. A machine that wants the same peer
    /// again before the link is open has the newer wish answered.
    pub fn set_address(&mut self, peer: Peer, to: impl Into<NodeId>, config: LinkConfig) {
        self.addresses.insert(peer, Route { to: to.into(), config });
    }

    /// Asks `resolver` first: given who wants the link, to whom, and the policy's hint.
    pub fn set_resolver(&mut self, resolver: impl FnMut(NodeId, &Peer, &[u8]) -> Option<Route> + 'static) {
        self.resolver = Some(alloc::boxed::Box::new(resolver));
    }

    /// Closes one end of a link. The other end of a reliable one follows, after what is under way has arrived.
    ///
    /// # Errors
    /// As [`Self::with`]; [`Why::NoSuch`].
    pub fn close(&mut self, link: Link) -> Result<(), Stop> {
        match self.links.get(&link).map(|end| end.state) {
            Some(EndState::Open | EndState::Opening(_)) => self.close_end(link),
            Some(EndState::Closed) | None => Err(self.stop(None, Why::NoSuch)),
        }
    }

    /// Joins the two nodes of a link of two ends anew, with new links, after closing what is left of the old one. The
    /// first of the new links belongs to the holder of `link`.
    ///
    /// # Errors
    /// As [`Self::connect`]; [`Why::NoSuch`] for unknown and shared links.
    pub fn reopen(&mut self, link: Link) -> Result<(Link, Link), Stop> {
        let found = self.links.get(&link).and_then(|end| {
            let wire = self.wires.get(&end.wire).filter(|wire| !wire.shared)?;
            let far = wire.made.iter().copied().find(|far| *far != link)?;
            Some((end.node, far, self.holder(far)?, wire.config))
        });
        let Some((node, far, other, config)) = found else {
            return Err(self.stop(None, Why::NoSuch));
        };
        for end in [link, far] {
            self.close_end(end)?;
        }
        self.connect(node, other, config)
    }

    /// The open links of a node.
    pub fn links_of(&self, node: impl Into<NodeId>) -> Vec<Link> {
        let open = |link: &&Link| self.links.get(link).is_some_and(|end| end.state == EndState::Open);
        let slot = self.nodes.get(node.into().index());
        slot.map(|slot| slot.links.iter().filter(open).copied().collect()).unwrap_or_default()
    }

    /// The open links of `a` that lead to `b`.
    pub fn links_between(&self, a: impl Into<NodeId>, b: impl Into<NodeId>) -> Vec<Link> {
        let b = b.into();
        let leads = |link: &Link| {
            let wire = self.links.get(link).and_then(|end| self.wires.get(&end.wire));
            wire.is_some_and(|wire| {
                wire.ends.iter().any(|far| far != link && self.links.get(far).is_some_and(|end| end.node == b))
            })
        };
        self.links_of(a).into_iter().filter(leads).collect()
    }

    /// The holder of a link.
    pub fn holder(&self, link: Link) -> Option<NodeId> {
        self.links.get(&link).map(|end| end.node)
    }

    /// The wire that a link is an end of.
    pub fn wire_of(&self, link: Link) -> Option<WireId> {
        self.links.get(&link).map(|end| end.wire)
    }

    /// Loses (or no longer loses) all that is sent from this end of a datagram link: one direction of it.
    ///
    /// # Errors
    /// [`Why::NoSuch`] for unknown and reliable links.
    pub fn block(&mut self, link: Link, blocked: bool) -> Result<(), Stop> {
        let unreliable = |end: &&mut End| self.wires.get(&end.wire).is_some_and(|wire| !wire.config.reliable);
        match self.links.get_mut(&link).filter(unreliable) {
            Some(end) => {
                end.blocked = blocked;
                Ok(())
            }
            None => Err(self.stop(None, Why::NoSuch)),
        }
    }

    /// Cuts these nodes off from all others; among themselves they still talk. Datagrams across the cut are lost and
    /// reliable links break.
    ///
    /// # Errors
    /// [`Why::NoSuch`].
    pub fn partition(&mut self, nodes: impl IntoIterator<Item = impl Into<NodeId>>) -> Result<(), Stop> {
        self.island_count += 1;
        let nodes: Vec<NodeId> = nodes.into_iter().map(Into::into).collect();
        for id in &nodes {
            self.islands.insert(*id, self.island_count);
        }
        for id in nodes {
            let links: Vec<Link> = self.slot(id)?.links.iter().copied().collect();
            for link in links {
                self.break_across(link);
            }
        }
        self.trace.note(self.now, format_args!("partition {}", self.island_count));
        Ok(())
    }

    /// Closes both ends of a reliable wire that crosses a partition.
    fn break_across(&mut self, link: Link) {
        let Some(wire) = self.links.get(&link).and_then(|end| self.wires.get(&end.wire)) else { return };
        if !wire.config.reliable {
            return;
        }
        let nodes: Vec<NodeId> = wire.ends.iter().filter_map(|end| self.holder(*end)).collect();
        if let [a, b] = *nodes
            && self.separated(a, b)
        {
            let (ends, at) = (wire.ends.clone(), self.now + wire.config.latency);
            for end in ends {
                self.schedule(at, Item::Close(end));
            }
        }
    }

    /// Ends all partitions. Broken links stay broken: machines ask for new ones, or the scenario makes them.
    pub fn heal(&mut self) {
        self.islands.clear();
        self.trace.note(self.now, format_args!("healed"));
    }

    /// Whether a partition lies between the two.
    pub fn separated(&self, a: impl Into<NodeId>, b: impl Into<NodeId>) -> bool {
        self.islands.get(&a.into()) != self.islands.get(&b.into())
    }

    /// Adds these faults to those that the datagram links have themselves.
    pub fn set_faults(&mut self, faults: Faults) {
        self.overlay = faults;
    }

    /// Ends all faults, for good: of links, partitions, blocks, failing randomness, and the adversary. Crashed nodes
    /// stay down and broken links stay broken.
    pub fn calm(&mut self) {
        self.calm = true;
        self.retire_adversary();
        self.islands.clear();
        self.links.values_mut().for_each(|end| end.blocked = false);
        self.nodes.iter_mut().for_each(|slot| slot.entropy.disarm());
        self.calmers.iter_mut().for_each(|calm| calm());
        self.trace.note(self.now, format_args!("calm"));
    }

    /// Lets `calm` be called by [`Self::calm`] too: to end the faults of a suite that fails, say.
    pub fn on_calm(&mut self, calm: impl FnMut() + 'static) {
        self.calmers.push(alloc::boxed::Box::new(calm));
    }

    /// Whether [`Self::calm`] was called.
    pub fn is_calm(&self) -> bool {
        self.calm
    }

    pub(super) fn new_wire(&mut self, config: LinkConfig, shared: bool) -> WireId {
        let id = WireId(self.wires.len() as u64 + 1);
        self.wires.insert(id, Wire { config, shared, ends: BTreeSet::new(), made: Vec::new() });
        id
    }

    pub(super) fn new_end(&mut self, id: WireId, node: NodeId) -> Result<Link, Stop> {
        let (now, link) = (self.now, Link(self.links.len() as u64 + 1));
        let life = self.slot(node)?.life;
        let Some(wire) = self.wires.get_mut(&id) else {
            return Err(self.stop(Some(node), Why::NoSuch));
        };
        wire.ends.insert(link);
        wire.made.push(link);
        let end = End {
            node,
            life,
            wire: id,
            state: EndState::Opening(now),
            last_arrival: now,
            busy_until: now,
            blocked: false,
            answers: None,
        };
        self.links.insert(link, end);
        self.slot(node)?.links.insert(link);
        Ok(link)
    }

    /// Tells the holder that its end is open.
    pub(super) fn open_end(&mut self, link: Link) -> Result<(), Stop> {
        let Some(end) = self.links.get_mut(&link).filter(|end| matches!(end.state, EndState::Opening(_))) else {
            return Ok(());
        };
        let Some(wire) = self.wires.get(&end.wire) else { return Ok(()) };
        if wire.config.reliable && wire.ends.len() < 2 {
            // The other end went down meanwhile.
            return self.close_end(link);
        }
        end.state = EndState::Open;
        let id = end.node;
        let answers = end.answers.take().map(|dialing| dialing.ticket);
        let info = wire.config.info(wire.shared, answers);
        self.enter(id, Input::Opened(link, info), |machine, cx| machine.handle_link_opened(cx, link, info))
    }

    /// Closes an end, if it is not closed, and tells its holder if that knew of it.
    pub(super) fn close_end(&mut self, link: Link) -> Result<(), Stop> {
        let Some((id, known, answers)) = self.cut(link) else { return Ok(()) };
        if let Some(dialing) = answers {
            self.schedule(self.now + self.limits.redial, Item::Dial(dialing));
        }
        if known && self.is_up(id) {
            self.enter(id, Input::Closed(link), |machine, cx| machine.handle_link_closed(cx, link))?;
        }
        Ok(())
    }

    /// Takes an end off its wire; the other end of a reliable one will follow.
    fn cut(&mut self, link: Link) -> Option<(NodeId, bool, Option<Dialing>)> {
        let end = self.links.get_mut(&link).filter(|end| end.state != EndState::Closed)?;
        let known = end.state == EndState::Open;
        end.state = EndState::Closed;
        let (id, wire, answers) = (end.node, end.wire, end.answers.take());
        if let Some(slot) = self.nodes.get_mut(id.index()) {
            slot.links.remove(&link);
        }
        let wire = self.wires.get_mut(&wire)?;
        wire.ends.remove(&link);
        if wire.config.reliable
            && let Some(far) = wire.ends.first().copied()
        {
            let soon = self.now + wire.config.latency;
            let at = self.links.get(&far).map_or(soon, |end| end.last_arrival.max(soon));
            self.schedule(at, Item::Close(far));
        }
        Some((id, known, answers))
    }

    /// Takes all ends of a crashed node away, and remembers its datagram wires.
    pub(super) fn drop_links(&mut self, id: NodeId) {
        let links: Vec<Link> =
            self.nodes.get(id.index()).map(|slot| slot.links.iter().copied().collect()).unwrap_or_default();
        for link in links {
            let wire = self.links.get(&link).map(|end| end.wire);
            self.cut(link);
            let lasting = wire.filter(|wire| self.wires.get(wire).is_some_and(|wire| !wire.config.reliable));
            if let Some(slot) = self.nodes.get_mut(id.index()) {
                slot.lost_wires.extend(lasting);
            }
        }
    }

    /// Gives a restarted node new ends on its datagram wires.
    pub(super) fn restore_links(&mut self, id: NodeId) -> Result<(), Stop> {
        for wire in core::mem::take(&mut self.slot(id)?.lost_wires) {
            let link = self.new_end(wire, id)?;
            self.open_end(link)?;
        }
        Ok(())
    }

    /// Tries to open a link that a machine wants.
    pub(super) fn dial(&mut self, dialing: Dialing) -> Result<(), Stop> {
        let slot = self.slot(dialing.node)?;
        if slot.machine.is_none() || slot.life != dialing.life {
            return Ok(());
        }
        if slot.dials.get(&dialing.peer).is_some_and(|newest| *newest != dialing.ticket) {
            return Ok(());
        }
        let asked = self.resolver.as_mut().and_then(|ask| ask(dialing.node, &dialing.peer, &dialing.hint));
        let Some(route) = asked.or_else(|| self.addresses.get(&dialing.peer).copied()) else {
            let (node, peer) = (dialing.node.0, dialing.peer);
            self.slot(dialing.node)?.dials.remove(&peer);
            self.trace.note(self.now, format_args!("node {node} wants a link to {peer:?}: no address"));
            return Ok(());
        };
        if !self.is_up(route.to) || self.separated(dialing.node, route.to) {
            self.schedule(self.now + self.limits.redial, Item::Dial(dialing));
            return Ok(());
        }
        let wire = self.new_wire(route.config, false);
        let (near, far) = (self.new_end(wire, dialing.node)?, self.new_end(wire, route.to)?);
        let accepted = self.now + route.config.latency;
        let answered = accepted + route.config.latency;
        self.slot(dialing.node)?.dials.remove(&dialing.peer);
        for (link, at, answers) in [(far, accepted, None), (near, answered, Some(dialing))] {
            if let Some(end) = self.links.get_mut(&link) {
                (end.state, end.answers) = (EndState::Opening(at), answers);
            }
            self.schedule(at, Item::Open(link));
        }
        Ok(())
    }
}
