//! Output is composed, data is sealed and opened, and windows move without an allocation a frame; nor does a whole group
//! allocate for a message on its way from a member over the leader to the others.
#![allow(unsafe_code, missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg(feature = "rustcrypto")]

#[path = "support/heap.rs"]
mod heap;

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use sodality::antigone::data::{DataSealer, Members, Receiving, Sending, base};
use sodality::antigone::{Leader, Member};
use sodality::crypto::{Key, Secret, Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::endpoint::{Class, Cx, Endpoint, Instant, Link, To, Transmit};
use sodality::event::{Event, Port};
use sodality::group::{ChangeRecord, EpochKeys, KeyRing, Limits, Outbox, Pool, Rules, SealLimits, View};
use sodality::identity::{Epoch, Instance, MemberId, Name};
use sodality::policy::{Policy, Protection};
use sodality::sim::{SimRng, Star, StarConfig, World};
use sodality::wire::antigone::Kind;
use sodality::wire::field::VerifyingKey;
use sodality::wire::{Edition, Header, System};

use heap::allocations;

#[test]
fn the_counter_counts() {
    let (count, bytes) = allocations(|| drop(std::hint::black_box(vec![0u8; 1000])));
    assert_eq!((count, bytes), (1, 1000));
}

fn frame(pool: &mut Pool, length: usize) -> Bytes {
    let compose = |out: &mut BytesMut| {
        out.put_bytes(1, length);
        Ok::<_, ()>(())
    };
    pool.compose(length, compose).unwrap()
}

#[test]
fn frames_that_are_drained_cost_no_allocation() {
    let mut out = Outbox::new(&Limits::default());
    let mut turn = |length: usize| {
        for _ in 0..8 {
            let frame = frame(&mut out.pool, length);
            out.send(Transmit { to: To::Link(Link(1)), frame, class: Class::Data });
        }
        while out.pop_frame().is_some() {}
    };
    // Both blocks come to be.
    (0..200).for_each(|_| turn(1400));
    let (count, _) = allocations(|| (0..10_000).for_each(|round| turn(64 + round % 1400)));
    assert_eq!(count, 0);
}

#[test]
fn frames_that_are_kept_cost_a_block_for_each_64_kib() {
    let mut pool = Pool::new();
    let mut kept = Vec::with_capacity(10_000);
    let (_, bytes) = allocations(|| (0..10_000).for_each(|_| kept.push(frame(&mut pool, 1000))));
    let written = 10_000 * 1000;
    assert!(bytes <= written + written / 20, "{bytes} bytes allocated for {written}");
}

#[test]
fn data_is_sealed_and_opened_without_an_allocation() {
    const FRAMES: usize = 500;
    let suite = aes_128_gcm();
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
    let (group, now) = (Instance([1; 16]), Instant::from_micros(1));
    let mut view = View::new(4, 0);
    let name = Name::new("ada").unwrap();
    let change = ChangeRecord::Add { cid: MemberId(1), name, origin_key: VerifyingKey::NONE };
    let step = view.prepare(&*suite, &group, [change]).unwrap();
    view.commit(step);
    for kind in [Kind::Clear, Kind::Integrity, Kind::Confidentiality, Kind::Both] {
        let base = base(&*suite, group, b"facts", &Key::new(Secret::new(&[7; 32]))).unwrap();
        let sending = Sending { suite: suite.clone(), header, group, cid: MemberId(1), label: None, origin: None };
        let forever = Instant::from_micros(u64::MAX);
        let sealer = sending.sealer(Epoch(1), &base, kind, SealLimits::default(), forever).unwrap();
        let mut sender = DataSealer::new(sending, sealer);
        let mut ring = KeyRing::new(4);
        let keys = EpochKeys::new(Epoch(1), base, Rules { kind, origin: false }, None);
        assert!(ring.install(keys, Epoch(1), now, Duration::ZERO, Duration::ZERO).current);
        let members = Members::View(&view);
        let here = Receiving { suite: &*suite, header, group, own: MemberId(2), members, current: true };
        let mut pool = Pool::new();
        // A driver reads into a large buffer and splits frames off.
        let mut buffer = BytesMut::with_capacity(FRAMES * 300);
        let mut turn = || {
            let payload = [5; 100];
            let write = |out: &mut BytesMut| sender.seal(now, Port::Application, &payload, out);
            let frame = pool.compose(payload.len() + 100, write).unwrap();
            buffer.extend_from_slice(&frame);
            let message = here.open(&mut ring, buffer.split(), now).unwrap();
            assert_eq!(message.payload, payload[..]);
        };
        turn();
        let (count, _) = allocations(|| (1..FRAMES).for_each(|_| turn()));
        assert_eq!(count, 0, "{kind:?}");
    }
}

/// A leader and members in the middle of a session, out of the simulator, with a driver that keeps its buffers.
struct Group {
    leader: Leader,
    members: Vec<(Member, Link, Link)>,
    now: Instant,
    rng: SimRng,
    buffer: BytesMut,
    delivered: usize,
}

impl Group {
    fn joined(suite: Arc<dyn Suite>, policy: Policy) -> Self {
        let mut world = World::new(1);
        let settle = policy.settle;
        // No time passes here: what is limited by the second is not what is measured.
        let limits = Limits { clear_per_second: 1_000_000, ..Limits::default() };
        let star = Star::add(&mut world, StarConfig { policy, limits, ..StarConfig::new(suite) }, 3).unwrap();
        star.join_all(&mut world, Duration::from_secs(60)).unwrap();
        // The last rekey is settled, and nobody has anything to poll for the next second.
        world.run_for(settle + Duration::from_secs(1)).unwrap();
        let links = |member| {
            let near = world.links_between(member, star.leader);
            let far = world.links_between(star.leader, member);
            (near[0], far[0])
        };
        let members = star.members.iter().map(|member| {
            let (near, far) = links(*member);
            (world.get(*member).unwrap().clone(), near, far)
        });
        Self {
            leader: world.get(star.leader).unwrap().clone(),
            members: members.collect(),
            now: world.now(),
            rng: SimRng::new(2),
            buffer: BytesMut::with_capacity(64 * 1024),
            delivered: 0,
        }
    }

    /// What a driver does with what it has read from a socket.
    fn read(buffer: &mut BytesMut, bytes: &[u8]) -> BytesMut {
        buffer.reserve(bytes.len());
        buffer.extend_from_slice(bytes);
        buffer.split()
    }

    fn deliveries(machine: &mut dyn Endpoint) -> usize {
        let mut delivered = 0;
        while let Some(event) = machine.poll_event() {
            assert!(matches!(event, Event::Data(_)), "{event:?}");
            delivered += 1;
        }
        delivered
    }

    fn pass_on(&mut self, transmit: &Transmit) {
        for link in transmit.to.links() {
            let (member, near, _) = self.members.iter_mut().find(|(_, _, far)| *far == link).unwrap();
            let frame = Self::read(&mut self.buffer, &transmit.frame);
            member.handle_frame(&mut Cx::new(self.now, &mut self.rng), *near, frame).unwrap();
            self.delivered += Self::deliveries(member);
            assert_eq!(member.poll_transmit(&mut Cx::new(self.now, &mut self.rng)), None);
        }
    }

    /// The first member speaks, the leader relays, all others hear it.
    fn relayed(&mut self, payload: &[u8]) {
        let (member, _, far) = &mut self.members[0];
        member.send(&mut Cx::new(self.now, &mut self.rng), Port::Application, payload).unwrap();
        while let Some(transmit) = member.poll_transmit(&mut Cx::new(self.now, &mut self.rng)) {
            let frame = Self::read(&mut self.buffer, &transmit.frame);
            self.leader.handle_frame(&mut Cx::new(self.now, &mut self.rng), *far, frame).unwrap();
        }
        self.delivered += Self::deliveries(&mut self.leader);
        while let Some(transmit) = self.leader.poll_transmit(&mut Cx::new(self.now, &mut self.rng)) {
            self.pass_on(&transmit);
        }
    }

    /// The leader speaks, all others hear it.
    fn announced(&mut self, payload: &[u8]) {
        self.leader.send(&mut Cx::new(self.now, &mut self.rng), Port::Application, payload).unwrap();
        while let Some(transmit) = self.leader.poll_transmit(&mut Cx::new(self.now, &mut self.rng)) {
            self.pass_on(&transmit);
        }
    }
}

#[test]
fn a_group_sends_relays_and_receives_without_an_allocation() {
    const ROUNDS: usize = 1_000;
    for suite in [aes_128_gcm(), aes_256_gcm(), chacha20_poly1305()] {
        for protection in Protection::ALL {
            for origin in [false, true] {
                let policy = Policy { protection, origin, ..Policy::default() };
                if policy.check().is_err() {
                    continue;
                }
                // Signatures cost time and are counted as well in fewer rounds.
                let rounds = if origin { ROUNDS / 10 } else { ROUNDS };
                let mut group = Group::joined(suite.clone(), policy);
                let payload = [5; 1_000];
                let turn = |group: &mut Group, round: usize| {
                    group.relayed(&payload[..round % payload.len()]);
                    group.announced(&payload[..round % payload.len()]);
                };
                // Windows, prepared keys and blocks come to be; each block of 64 KiB takes its turn.
                (0..200).for_each(|round| turn(&mut group, round * 7));
                group.delivered = 0;
                let (count, bytes) = allocations(|| (0..rounds).for_each(|round| turn(&mut group, round * 7)));
                assert_eq!(group.delivered, rounds * 6, "each is heard by three");
                assert_eq!((count, bytes), (0, 0), "{:?} {protection:?}, signed: {origin}", suite.id());
            }
        }
    }
}
