//! The kit tried on toys.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::endpoint::{Class, Cx, Due, Endpoint, Instant, Link, LinkInfo, LinkTicket, To, Transmit, Wake};
use crate::error::Fatal;
use crate::event::{Event, Peer, Stats};
use crate::identity::Name;
use toy::{Echo, Flood, Spin};

mod adversaries;
mod network;
mod runs;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Does what it is told, and remembers what it was given.
#[derive(Debug, Default)]
struct Puppet {
    seen: Vec<(Instant, Seen)>,
    out: VecDeque<Transmit>,
    events: VecDeque<Event>,
    wake: Option<Instant>,
    fatal: bool,
    /// Sends each frame back at once.
    parrot: bool,
    stats: Stats,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Opened(Link, LinkInfo),
    Closed(Link),
    Frame(Link, Vec<u8>),
    Timeout,
}

impl Puppet {
    fn send(&mut self, link: Link, bytes: &[u8], class: Class) {
        let frame = Bytes::copy_from_slice(bytes);
        self.out.push_back(Transmit { to: To::Link(link), frame, class });
    }

    fn frames(&self) -> Vec<&[u8]> {
        let frames = self.seen.iter().filter_map(|(_, seen)| match seen {
            Seen::Frame(_, bytes) => Some(&**bytes),
            _ => None,
        });
        frames.collect()
    }

    fn note(&mut self, cx: &Cx<'_>, seen: Seen) -> Result<(), Fatal> {
        self.seen.push((cx.now, seen));
        if self.fatal { Err(Fatal("told to")) } else { Ok(()) }
    }
}

impl Endpoint for Puppet {
    fn handle_link_opened(&mut self, cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal> {
        self.note(cx, Seen::Opened(link, info))
    }

    fn handle_link_closed(&mut self, cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        self.note(cx, Seen::Closed(link))
    }

    fn handle_frame(&mut self, cx: &mut Cx<'_>, link: Link, bytes: BytesMut) -> Result<(), Fatal> {
        if self.parrot {
            self.send(link, &bytes, Class::Data);
        }
        self.note(cx, Seen::Frame(link, bytes.to_vec()))
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        self.wake = None;
        self.note(cx, Seen::Timeout)
    }

    fn poll_transmit(&mut self, _cx: &mut Cx<'_>) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Wake {
        Wake::at(self.wake, Due::Poll)
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// Two puppets and a link between them.
struct Pair {
    world: World,
    a: Node<Puppet>,
    b: Node<Puppet>,
    link: Link,
    far: Link,
}

impl Pair {
    fn new(seed: u64, config: LinkConfig) -> Self {
        let mut world = World::new(seed);
        let a = world.add("a", Puppet::default()).unwrap();
        let b = world.add("b", Puppet::default()).unwrap();
        let (link, far) = world.connect(a, b, config).unwrap();
        Self { world, a, b, link, far }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let link = self.link;
        self.world.with(self.a, |a, _| a.send(link, bytes, Class::Data))
    }

    /// Sends the numbers below `count`, a millisecond apart, and gives those that arrive.
    fn count(&mut self, count: u8) -> Vec<u8> {
        for number in 0..count {
            self.send(&[number]).unwrap();
            self.world.run_for(MS).unwrap();
        }
        self.world.run_for(10 * SECOND).unwrap();
        self.world.get(self.b).unwrap().frames().into_iter().map(|frame| frame[0]).collect()
    }

    fn seen(&self, node: Node<Puppet>) -> Vec<Seen> {
        self.world.get(node).unwrap().seen.iter().map(|(_, seen)| seen.clone()).collect()
    }
}

fn echoes(seed: u64, count: usize, config: LinkConfig) -> (World, Vec<Node<Echo>>) {
    let mut world = World::new(seed);
    let nodes: Vec<_> = (0..count).map(|n| world.add(&alloc::format!("e{n}"), Echo::new()).unwrap()).collect();
    world.star(nodes[0], nodes[1..].iter().copied(), config).unwrap();
    (world, nodes)
}

fn say(world: &mut World, node: Node<Echo>, text: &'static [u8]) {
    world.with(node, |echo, cx| echo.say(cx, text)).unwrap().unwrap();
}
