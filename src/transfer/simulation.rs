//! Many members on one lossy broadcast channel: the whole of it is decided by a seed, which each failure prints.

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;
use std::println;

use bytes::Bytes;

use super::tests::{Rng, content, toy_digest};
use super::*;
use crate::endpoint::{Instant, Wake};
use crate::identity::Name;

/// The bytes that a node holds.
#[derive(Clone, Default)]
struct Disk(BTreeMap<ObjectId, Vec<u8>>);

impl Source for Disk {
    fn read(&mut self, object: ObjectId, offset: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let file = self.0.get(&object).ok_or(SourceError)?;
        out.copy_from_slice(file.get(offset as usize..).and_then(|rest| rest.get(..out.len())).ok_or(SourceError)?);
        Ok(())
    }
}

struct Node {
    transfer: Transfer,
    disk: Disk,
    member: MemberId,
    online: bool,
    verified: Vec<ObjectId>,
    /// Messages sent, by first byte.
    sent: [u64; 6],
    all_received: u32,
    stalled: u32,
    /// Percent of what reaches it that it misses, besides the loss of the net.
    deaf: u64,
}

#[derive(Clone, Copy)]
struct Net {
    /// Percent of deliveries.
    loss: u64,
    double: u64,
    least: Duration,
    spread: Duration,
}

const GOOD: Net = Net { loss: 0, double: 0, least: Duration::from_millis(10), spread: Duration::ZERO };
const BAD: Net = Net { loss: 20, double: 10, least: Duration::from_millis(5), spread: Duration::from_millis(40) };

/// When, tie break, to, from, what.
type Delivery = (Instant, u64, usize, MemberId, Bytes);

struct World {
    now: Instant,
    rng: Rng,
    net: Net,
    nodes: Vec<Node>,
    wire: BinaryHeap<Reverse<Delivery>>,
    count: u64,
    next_member: u64,
    config: Config,
}

const CHUNK: usize = 1024;

fn config() -> Config {
    Config { window: 64 << 10, ..Config::new(CHUNK + crate::wire::transfer::CHUNK_OVERHEAD) }
}

impl World {
    fn new(seed: u64, nodes: usize, net: Net, config: Config) -> Self {
        println!("seed {seed}");
        let mut world = Self {
            now: Instant::from_micros(1_000_000),
            rng: Rng(seed),
            net,
            nodes: Vec::new(),
            wire: BinaryHeap::new(),
            count: 0,
            next_member: 1,
            config,
        };
        for _ in 0..nodes {
            let transfer = Transfer::new(config, &mut world.rng).unwrap();
            world.nodes.push(Node {
                transfer,
                disk: Disk::default(),
                member: MemberId(0),
                online: false,
                verified: Vec::new(),
                sent: [0; 6],
                all_received: 0,
                stalled: 0,
                deaf: 0,
            });
        }
        (0..nodes).for_each(|at| world.join(at));
        world
    }

    /// Joins with a fresh number, as the view of everybody shows.
    fn join(&mut self, at: usize) {
        let member = MemberId(self.next_member);
        self.next_member += 1;
        let now = self.now;
        self.nodes[at].member = member;
        self.nodes[at].online = true;
        self.nodes[at].transfer.rejoined(now);
        for other in 0..self.nodes.len() {
            if other != at && self.nodes[other].online {
                let id = self.nodes[other].member;
                self.nodes[other].transfer.member_joined(now, member);
                self.nodes[at].transfer.member_joined(now, id);
            }
        }
    }

    fn leave(&mut self, at: usize) {
        self.nodes[at].online = false;
        let (gone, now) = (self.nodes[at].member, self.now);
        for node in self.nodes.iter_mut().filter(|node| node.online) {
            node.transfer.member_left(now, gone);
        }
    }

    fn offer(&mut self, at: usize, size: usize) -> ObjectId {
        let bytes = content(size, self.rng.next());
        let name = Name::new("report.pdf").unwrap();
        let node = &mut self.nodes[at];
        let object = node.transfer.offer(self.now, &mut self.rng, name, size as u64, toy_digest(&bytes)).unwrap();
        node.disk.0.insert(object, bytes);
        object
    }

    /// Lets a node take its events and speak.
    fn drain(&mut self, at: usize) {
        let now = self.now;
        let mut again = false;
        loop {
            let node = &mut self.nodes[at];
            while let Some(event) = node.transfer.poll_event() {
                match event {
                    Event::Offered { from, manifest } => {
                        node.disk.0.entry(manifest.object).or_insert_with(|| alloc::vec![0; manifest.size as usize]);
                        node.transfer.accept(now, manifest.object, from).unwrap();
                    }
                    Event::Write { object, offset, bytes } => {
                        let at = offset as usize;
                        node.disk.0.get_mut(&object).unwrap()[at..at + bytes.len()].copy_from_slice(&bytes);
                    }
                    Event::Complete { object } => {
                        let digest = toy_digest(&node.disk.0[&object]);
                        assert!(node.transfer.verify(now, object, &digest).unwrap());
                    }
                    Event::Verified { manifest } => node.verified.push(manifest.object),
                    Event::AllReceived { .. } => node.all_received += 1,
                    Event::Stalled { .. } => node.stalled += 1,
                    Event::Corrupt { .. } => panic!("nobody lies here"),
                    _ => {}
                }
            }
            if !node.online {
                return;
            }
            let Some(message) = node.transfer.poll_message(now, &mut node.disk) else {
                match node.transfer.poll_timeout() {
                    // Being asked for output can cause events.
                    Wake::Now(_) if !again => again = true,
                    _ => break,
                }
                continue;
            };
            again = false;
            assert!(message.len() <= self.config.max_message);
            assert!(node.transfer.in_flight() <= self.config.window);
            node.sent[usize::from(message[0])] += 1;
            let from = node.member;
            self.broadcast(at, from, &message);
        }
        assert!(!matches!(self.nodes[at].transfer.poll_timeout(), Wake::Now(_)), "drained, and yet there is more");
    }

    fn broadcast(&mut self, at: usize, from: MemberId, message: &Bytes) {
        let receivers: Vec<usize> = (0..self.nodes.len()).filter(|to| *to != at && self.nodes[*to].online).collect();
        for to in receivers {
            let copies =
                if self.rng.percent(self.net.loss) { 0 } else { 1 + u64::from(self.rng.percent(self.net.double)) };
            for _ in 0..copies {
                let spread = self.net.spread.as_micros() as u64;
                let delay = self.net.least + Duration::from_micros(self.rng.next() % (spread + 1));
                self.count += 1;
                self.wire.push(Reverse((self.now + delay, self.count, to, from, message.clone())));
            }
        }
    }

    /// Runs until `done` or for `span`. How long it took.
    fn run(&mut self, span: Duration, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (start, end) = (self.now, self.now + span);
        (0..self.nodes.len()).for_each(|at| self.drain(at));
        while !done(self) {
            let wake = |node: &Node| match node.transfer.poll_timeout() {
                Wake::Now(_) => Some(self.now),
                Wake::At(at, _) => Some(at),
                Wake::OnInput => None,
            };
            let wakes = self.nodes.iter().enumerate().filter(|(_, node)| node.online);
            let wake = wakes.filter_map(|(at, node)| wake(node).map(|time| (time, at))).min();
            let arrival = self.wire.peek().map(|Reverse((at, ..))| *at);
            let next = match (wake, arrival) {
                (Some((time, at)), arrival) if arrival.is_none_or(|arrival| time <= arrival) => (time, Some(at)),
                (_, Some(arrival)) => (arrival, None),
                _ => return None,
            };
            if next.0 > end {
                self.now = end;
                return None;
            }
            self.now = self.now.max(next.0);
            let at = match next.1 {
                Some(at) => {
                    self.nodes[at].transfer.handle_timeout(self.now);
                    at
                }
                None => {
                    let Reverse((_, _, to, from, message)) = self.wire.pop().unwrap();
                    if !self.nodes[to].online {
                        continue;
                    }
                    let _ = self.nodes[to].transfer.handle_message(self.now, from, &message);
                    to
                }
            };
            self.drain(at);
        }
        Some(self.now.since(start))
    }

    fn everybody_has(&self, objects: &[ObjectId]) -> bool {
        self.nodes.iter().all(|node| {
            objects.iter().all(|object| node.transfer.offered(*object).is_some() || node.verified.contains(object))
        })
    }

    fn check_contents(&self, object: ObjectId, from: usize) {
        for node in &self.nodes {
            assert!(node.disk.0[&object] == self.nodes[from].disk.0[&object]);
            assert!(node.verified.iter().filter(|other| **other == object).count() <= 1, "delivered twice");
        }
    }
}

#[test]
fn every_size_arrives_through_loss_doubling_and_reordering() {
    for (seed, size) in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK, 64 * CHUNK + 7, 3 << 20].into_iter().enumerate()
    {
        let mut world = World::new(seed as u64, 4, BAD, config());
        let object = world.offer(0, size);
        let took = world.run(Duration::from_secs(120), |world| world.everybody_has(&[object]));
        println!("{size} bytes in {took:?}, sent {:?}", world.nodes[0].sent);
        assert!(took.is_some());
        world.check_contents(object, 0);
        // All say so in the end, and then there is silence until the offer ends.
        assert!(world.run(Duration::from_secs(200), |world| world.nodes[0].all_received > 0).is_some());
        world.run(Duration::from_secs(60), |_| false);
        let before: Vec<_> = world.nodes.iter().map(|node| node.sent).collect();
        world.run(Duration::from_secs(300), |_| false);
        assert_eq!(before, world.nodes.iter().map(|node| node.sent).collect::<Vec<_>>());
    }
}

#[test]
fn without_loss_each_chunk_is_sent_once_whatever_the_number_of_receivers() {
    for receivers in [1, 3, 20] {
        let mut world = World::new(100 + receivers, receivers as usize + 1, GOOD, config());
        let object = world.offer(0, 1 << 20);
        let took = world.run(Duration::from_secs(60), |world| world.everybody_has(&[object])).unwrap();
        let said: [u64; 6] = core::array::from_fn(|at| world.nodes.iter().map(|node| node.sent[at]).sum());
        println!("{receivers} receivers, {took:?}: {said:?}");
        assert_eq!(world.nodes[0].sent[1], 1 << 10);
        assert!(took < Duration::from_secs(2), "a window a round trip and report delay");
        // Suppression: several times fewer words than receivers times reports.
        assert!(said[2] <= 3 * receivers && said[3] < 64 + 12 * receivers, "{said:?}");
    }
}

#[test]
fn repair_costs_a_bounded_share_and_few_demands() {
    let mut world = World::new(7, 9, BAD, config());
    let object = world.offer(0, 2 << 20);
    let took = world.run(Duration::from_secs(120), |world| world.everybody_has(&[object])).unwrap();
    let chunks = world.nodes[0].sent[1];
    let wants: u64 = world.nodes.iter().map(|node| node.sent[2]).sum();
    println!("{took:?}, {chunks} chunks for 2048, {wants} demands");
    // Eight receivers at 20 % loss need about 1 + log(8 * 2048) / log(5) sendings of the unluckiest chunk, 2.3 on average.
    assert!(chunks < 4 * 2048);
    assert!(wants < 600);
}

#[test]
fn two_senders_at_once() {
    let mut world = World::new(8, 5, BAD, config());
    let objects = [world.offer(0, 300_000), world.offer(1, 200_000), world.offer(0, 77)];
    assert!(world.run(Duration::from_secs(120), |world| world.everybody_has(&objects)).is_some());
    world.check_contents(objects[0], 0);
    world.check_contents(objects[1], 1);
    world.check_contents(objects[2], 0);
}

#[test]
fn sender_and_receiver_rejoin_in_the_middle() {
    let mut world = World::new(9, 4, BAD, config());
    let object = world.offer(0, 2 << 20);
    let half = |at: usize| {
        move |world: &World| world.nodes[at].transfer.received(object).is_some_and(|(have, all)| have > all / 4)
    };
    assert!(world.run(Duration::from_secs(60), half(1)).is_some());
    // A receiver goes and comes back under another number, the rest goes on.
    world.leave(1);
    world.run(Duration::from_millis(300), |_| false);
    assert!(world.nodes[1].verified.is_empty());
    world.join(1);
    world.run(Duration::from_millis(200), |_| false);
    // Then the sender does the same.
    assert!(!world.everybody_has(&[object]), "too fast for this test");
    world.leave(0);
    world.run(Duration::from_secs(5), |_| false);
    assert!(world.nodes[1..].iter().any(|node| node.stalled > 0));
    assert!(!world.everybody_has(&[object]));
    world.join(0);
    assert!(world.run(Duration::from_secs(60), |world| world.everybody_has(&[object])).is_some());
    world.check_contents(object, 0);
}

#[test]
fn a_restarted_receiver_goes_on_from_what_it_stored() {
    let mut world = World::new(10, 2, BAD, config());
    let object = world.offer(0, 1 << 20);
    let enough = |world: &World| world.nodes[1].transfer.received(object).is_some_and(|(have, _)| have > 600);
    assert!(world.run(Duration::from_secs(60), enough).is_some());
    let saved = world.nodes[1].transfer.progress(object).unwrap().to_bytes();
    world.leave(1);
    world.nodes[1].transfer = Transfer::new(world.config, &mut world.rng).unwrap();
    world.run(Duration::from_secs(40), |_| false);
    let before = world.nodes[0].sent[1];
    let now = world.now;
    world.nodes[1].transfer.resume(now, Progress::from_bytes(&saved).unwrap()).unwrap();
    world.join(1);
    assert!(world.run(Duration::from_secs(60), |world| world.everybody_has(&[object])).is_some());
    world.check_contents(object, 0);
    let again = world.nodes[0].sent[1] - before;
    println!("{again} chunks for the rest");
    assert!(again < 2 * 424);
}

#[test]
fn who_comes_late_gets_it_too() {
    let mut world = World::new(11, 4, GOOD, config());
    world.leave(3);
    let object = world.offer(0, 1 << 20);
    let first = |world: &World| world.nodes[1].verified.contains(&object) && world.nodes[2].verified.contains(&object);
    let took = world.run(Duration::from_secs(20), first).unwrap();
    assert!(took < Duration::from_secs(2), "{took:?}");
    world.run(Duration::from_secs(100), |_| false);
    world.join(3);
    assert!(world.run(Duration::from_secs(20), |world| world.everybody_has(&[object])).is_some());
}

#[test]
fn a_member_that_misses_most_stalls_nobody() {
    let mut world = World::new(14, 4, GOOD, config());
    world.nodes[3].deaf = 70;
    let object = world.offer(0, 1 << 20);
    let others = |world: &World| world.nodes[1].verified.contains(&object) && world.nodes[2].verified.contains(&object);
    let took = world.run(Duration::from_secs(20), others).unwrap();
    assert!(!world.nodes[3].verified.contains(&object));
    let all = world.run(Duration::from_secs(60), |world| world.everybody_has(&[object])).unwrap();
    println!("{took:?}, and {all:?} more");
    assert!(took < Duration::from_secs(1), "half a second if nobody were deaf");
}

#[test]
fn nobody_there_costs_announcements_only() {
    let mut world = World::new(12, 2, GOOD, config());
    world.leave(1);
    world.offer(0, 1 << 20);
    world.run(Duration::from_secs(3700), |_| false);
    let sent = world.nodes[0].sent;
    assert!(sent[0] < 140 && sent[1] == 0 && sent[5] == 1, "{sent:?}");
}

#[test]
fn receivers_that_vanish_stop_the_sender_within_its_window() {
    let mut world = World::new(13, 3, GOOD, config());
    let object = world.offer(0, 8 << 20);
    assert!(world.run(Duration::from_secs(20), |world| world.nodes[1].sent[3] + world.nodes[2].sent[3] > 5).is_some());
    // They are gone, and the view does not say so.
    world.nodes[1].online = false;
    world.nodes[2].online = false;
    let before = world.nodes[0].sent[1];
    world.run(Duration::from_secs(120), |_| false);
    assert!((world.nodes[0].sent[1] - before) * CHUNK as u64 <= world.config.window);
    // They are back, and nobody said so either.
    world.nodes[1].online = true;
    world.nodes[2].online = true;
    assert!(world.run(Duration::from_secs(60), |world| world.everybody_has(&[object])).is_some());
}

/// A relay with one queue of fixed length and a rate, before links without loss: an independent check of the window.
#[test]
fn the_queue_of_a_relay_never_overruns() {
    for (seed, rate) in [(20u64, 50_000u64), (21, 400_000), (22, 5_000_000)] {
        let config = Config { hold: Duration::from_secs(2), repair_after: Duration::from_secs(4), ..config() };
        let mut world = World::new(seed, 2, GOOD, config);
        let object = world.offer(0, 512 << 10);
        // All messages of the sender pass the queue; those of the receiver come at once.
        let mut queue = alloc::collections::VecDeque::<(Bytes, Instant)>::new();
        let (mut queued, mut most, mut free_at) = (0u64, 0u64, world.now);
        let end = world.now + Duration::from_secs(100);
        while !world.everybody_has(&[object]) && world.now < end {
            for at in 0..2 {
                world.drain(at);
            }
            let mut back = Vec::new();
            for Reverse((at, count, to, from, message)) in core::mem::take(&mut world.wire) {
                if to == 1 {
                    back.push((count, message))
                } else {
                    world.wire.push(Reverse((at, count, to, from, message)))
                }
            }
            back.sort();
            for (_, message) in back {
                queued += message.len() as u64;
                free_at = free_at.max(world.now) + Duration::from_micros(message.len() as u64 * 1_000_000 / rate);
                queue.push_back((message, free_at));
            }
            most = most.max(queued);
            world.now = world.now + Duration::from_millis(1);
            while queue.front().is_some_and(|(_, at)| *at <= world.now) {
                let (message, _) = queue.pop_front().unwrap();
                queued -= message.len() as u64;
                let from = world.nodes[0].member;
                let _ = world.nodes[1].transfer.handle_message(world.now, from, &message);
                world.drain(1);
            }
            while world.wire.peek().is_some_and(|Reverse((at, _, to, ..))| *to == 0 && *at <= world.now) {
                let Reverse((.., from, message)) = world.wire.pop().unwrap();
                let _ = world.nodes[0].transfer.handle_message(world.now, from, &message);
            }
            world.nodes.iter_mut().for_each(|node| node.transfer.handle_timeout(world.now));
        }
        println!("rate {rate}: at most {most} bytes queued of a window of {}", config.window);
        assert!(world.everybody_has(&[object]));
        assert!(most <= config.window + 16 * 512, "chunks, and a few announcements");
        assert!(most > config.window / 4 || rate > 1_000_000, "the queue was never used");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = World::new(seed, 3, BAD, config());
        let object = world.offer(0, 100_000);
        let took = world.run(Duration::from_secs(60), |world| world.everybody_has(&[object]));
        (took, world.nodes.iter().map(|node| node.sent).collect::<Vec<_>>())
    };
    assert_eq!(run(30), run(30));
    assert_ne!(run(30), run(31));
}

/// Faults for a while, anybody coming and going; then they stop, and everybody must have everything.
#[test]
fn whatever_happens_all_arrives_once_it_stops_happening() {
    for seed in 1000..1040 {
        let mut rng = Rng(seed);
        let net = Net { loss: rng.next() % 50, double: rng.next() % 30, ..BAD };
        let nodes = 2 + (rng.next() % 4) as usize;
        let mut world = World::new(seed, nodes, net, config());
        let mut objects = Vec::new();
        for _ in 0..6 {
            let at = (rng.next() % nodes as u64) as usize;
            match rng.next() % 4 {
                0 if world.nodes[at].online => world.leave(at),
                _ if !world.nodes[at].online => world.join(at),
                _ => objects.push((world.offer(at, (rng.next() % 150_000) as usize), at)),
            }
            world.run(Duration::from_micros(rng.next() % 1_500_000), |_| false);
        }
        for at in 0..nodes {
            if !world.nodes[at].online {
                world.join(at);
            }
        }
        world.net.loss = 5;
        let ids: Vec<_> = objects.iter().map(|(object, _)| *object).collect();
        assert!(world.run(Duration::from_secs(90), |world| world.everybody_has(&ids)).is_some());
        objects.iter().for_each(|(object, at)| world.check_contents(*object, *at));
    }
}
