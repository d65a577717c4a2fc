//! R1, R18, R25 for Enclaves 1.0: whatever arrives, nothing panics, and a frame that is refused changes nothing but counters, in
//! whatever state its receiver is. And where the random source or the suite fails at its k-th call, nothing changes, and the
//! session goes on.
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/faulty_published.rs"]
mod faulty_published;
mod version_1;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use sodality::crypto::published::PublishedSuite;
use sodality::endpoint::{Cx, Entropy, EntropyError, Instant, Link, LinkInfo, Transmit, Wake, WallClock};
use sodality::error::{CommandError, Failure, Reason};
use sodality::event::{Event, Peer, Port};
use sodality::group::Limits;
use sodality::sim::SimRng;
use sodality::sim::enclaves_version_1::{DAWN, VersionOneConfig, leader_machine, member_machine};
use sodality::wire::mutate::{mix, mutate};

use faulty_published::FaultyPublished;
use version_1::{Bench, Machine, SECOND, Sample, both, des, id_of, name, scheme, terms};

const SEED: u64 = 78;
/// Frames kept of each (message, state of the receiver).
const KEPT: usize = 2;

type Cell = (&'static str, &'static str);

/// What a right clock shows.
fn wall(at: Instant) -> Option<WallClock> {
    Some(WallClock(DAWN.0 + at.as_micros() / 1_000))
}

/// Where a machine stands.
fn state(machine: &Machine) -> &'static str {
    match machine {
        Machine::Leader(machine) if machine.is_closed() => "L closed",
        Machine::Leader(machine) if machine.member_count() == 0 => "L alone",
        Machine::Leader(machine) if !machine.all_acknowledged() => "L waits",
        Machine::Leader(_) => "L",
        Machine::Member(machine) if machine.is_idle() => "M idle",
        Machine::Member(machine) if machine.is_joining() => "M joining",
        Machine::Member(machine) if machine.is_in() && machine.direct_links().count() > 0 => "M in, linked",
        Machine::Member(machine) if machine.is_in() => "M in",
        Machine::Member(_) => "M leaving",
    }
}

/// Three join and talk, keys change, two are linked, one leaves and comes back, one is thrown out, the group closes.
fn session(suite: &Arc<dyn PublishedSuite>) -> BTreeMap<Cell, Vec<Sample>> {
    let mut bench = Bench::new(&VersionOneConfig::new(suite.clone()), 3);
    bench.samples = Some(Vec::new());
    let replay = |bench: &mut Bench| {
        let all = bench.wire.clone();
        for (from, to, frame) in all.iter().rev().take(12).rev() {
            bench.give(*from, *to, frame);
        }
        bench.settle();
    };
    for member in 1..=3 {
        bench.member(member, |machine, cx| machine.join(cx)).unwrap();
        // The first answer is late.
        bench.settle_but(|from, _, frame| from == 0 && id_of(frame) == "EN-1K");
        bench.pass(SECOND);
        replay(&mut bench);
    }
    bench.say(1, b"a word");
    bench.say(0, b"and another");
    let to = name("m1");
    bench.member(2, |machine, cx| machine.send_to(cx, &to, Port::Application, b"psst")).unwrap();
    bench.settle();
    bench.link_directly(1, 2);
    bench.say_directly(1, 2, b"between us");
    replay(&mut bench);
    bench.pass(SECOND * 4);
    bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
    bench.settle_but(|_, to, _| to == 3);
    bench.say(2, b"under the new key");
    bench.pass(SECOND);
    bench.link_directly(1, 3);
    bench.member(1, |machine, cx| machine.close_direct(cx, &name("m3"))).unwrap();
    bench.settle();
    bench.member(3, |machine, cx| machine.leave(cx)).unwrap();
    bench.settle_but(|_, _, frame| id_of(frame) == "EN-1L");
    bench.pass(SECOND);
    replay(&mut bench);
    bench.join(3);
    bench.member(3, |machine, cx| machine.link_to(cx, &name("m1"))).unwrap();
    bench.settle_but(|_, _, frame| id_of(frame) == "EN-1XR");
    let cid = bench.leader().number_of(&name("m1")).unwrap();
    bench.lead(|leader, cx| leader.eject(cx, cid)).unwrap();
    bench.settle();
    bench.pass(SECOND);
    replay(&mut bench);
    let _ = bench.lead(|leader, cx| leader.close(cx));
    bench.settle();
    replay(&mut bench);
    let mut samples = bench.samples.take().unwrap();
    // Somebody who is not on the list.
    let listed = sodality::enclaves::version_1::Access::List([name("m2")].into());
    let mut bench = Bench::new(&VersionOneConfig { access: listed, ..VersionOneConfig::new(suite.clone()) }, 1);
    bench.samples = Some(Vec::new());
    bench.join(1);
    samples.extend(bench.samples.take().unwrap());
    // And two who may not be linked.
    let denied = sodality::enclaves::version_1::DirectLinks::Denied;
    let mut bench = Bench::joined(&VersionOneConfig { direct: denied, ..VersionOneConfig::new(suite.clone()) }, 2);
    bench.samples = Some(Vec::new());
    bench.link_directly(1, 2);
    samples.extend(bench.samples.take().unwrap());
    let mut cells: BTreeMap<Cell, Vec<Sample>> = BTreeMap::new();
    for sample in samples {
        let kept = cells.entry((id_of(&sample.frame), state(&sample.machine))).or_default();
        if kept.len() < KEPT && !kept.iter().any(|other| other.frame == sample.frame) {
            kept.push(sample);
        }
    }
    cells
}

/// Takes all output.
fn drain(machine: &mut Machine, now: Instant, rng: &mut SimRng) -> Vec<Transmit> {
    let (mut frames, end) = (Vec::new(), machine.end());
    loop {
        let frame = end.poll_transmit(&mut Cx { wall: wall(now), ..Cx::new(now, rng) });
        let event = end.poll_event();
        if frame.is_none() && event.is_none() {
            return frames;
        }
        frames.extend(frame);
        assert!(frames.len() < 10_000, "output without end");
    }
}

/// Life goes on, for a while and with the true frame. What is sent meanwhile.
fn outlive(machine: &mut Machine, sample: &Sample) -> Vec<(Instant, Transmit)> {
    let (mut rng, mut sent, mut at) = (SimRng::new(SEED), Vec::new(), sample.at);
    for wait in [0, 1_000, 600_000, 20_000_000] {
        at = at + Duration::from_micros(wait);
        if wait == 1_000 {
            let frame = BytesMut::from(&*sample.frame);
            let mut cx = Cx { wall: wall(at), ..Cx::new(at, &mut rng) };
            machine.end().handle_frame(&mut cx, sample.link, frame).unwrap();
        }
        let mut wakes = 0;
        loop {
            machine.end().handle_timeout(&mut Cx { wall: wall(at), ..Cx::new(at, &mut rng) }).unwrap();
            sent.extend(drain(machine, at, &mut rng).into_iter().map(|frame| (at, frame)));
            wakes += 1;
            assert!(wakes < 1_000, "it wakes again and again: {:?}", machine.end().poll_timeout());
            if !matches!(machine.end().poll_timeout(), Wake::Now(_)) {
                break;
            }
        }
    }
    sent
}

fn hostile(suite: &dyn PublishedSuite, sample: &Sample, others: &[Vec<u8>], rng: &mut u64) -> Vec<Vec<u8>> {
    let frame = &sample.frame;
    let other = &others[mix(rng) as usize % others.len()];
    let mut all: Vec<Vec<u8>> = (0..24).map(|_| mutate(frame, other, &mut || mix(rng))).collect();
    all.extend((0..12).map(|part| frame[..frame.len() * part / 12].to_vec()));
    all.push([&frame[..], &[0]].concat());
    // Of another session of the same people, and under other types.
    all.extend((0..8).map(|_| others[mix(rng) as usize % others.len()].clone()));
    for code in 0..0x18 {
        let mut bytes = BytesMut::new();
        scheme(suite).header.put(code, &mut bytes);
        bytes.extend_from_slice(&frame[5..]);
        all.push(bytes.to_vec());
        bytes.truncate(5);
        let length = mix(rng) % 80;
        bytes.extend((0..length).map(|_| mix(rng) as u8));
        all.push(bytes.to_vec());
    }
    all
}

#[test]
fn refused_frames_change_nothing() {
    for suite in both() {
        let cells = session(&suite);
        let others: Vec<Vec<u8>> = cells.values().flatten().map(|sample| sample.frame.clone()).collect();
        let (mut rng, mut refused, mut accepted) = (SEED, 0, 0);
        let mut why = BTreeSet::new();
        for sample in cells.values().flatten() {
            let mut ready = sample.machine.clone();
            drain(&mut ready, sample.at, &mut SimRng::new(SEED));
            let digest = ready.digest_at(sample.at);
            let undisturbed = outlive(&mut ready.clone(), sample);
            for frame in hostile(&*suite, sample, &others, &mut rng) {
                let (mut machine, mut entropy) = (ready.clone(), SimRng::new(SEED));
                let before = machine.end().stats().rejections();
                let mut cx = Cx { wall: wall(sample.at), ..Cx::new(sample.at, &mut entropy) };
                machine.end().handle_frame(&mut cx, sample.link, BytesMut::from(&*frame)).unwrap();
                let mut events = Vec::new();
                while let Some(event) = machine.end().poll_event() {
                    events.push(event);
                }
                let tell = || format!("{frame:02x?}\nin {}: {events:?}", state(&sample.machine));
                let refusal = events.iter().find_map(|event| match event {
                    Event::Rejected { why, .. } => Some(*why),
                    _ => None,
                });
                assert_eq!(machine.end().stats().rejections() - before, u64::from(refusal.is_some()), "{}", tell());
                let Some(reason) = refusal else {
                    accepted += 1;
                    outlive(&mut machine, sample);
                    continue;
                };
                refused += 1;
                why.insert(reason);
                assert!(!matches!(reason, Reason::Entropy | Reason::Suite), "nothing fails here: {}", tell());
                assert_eq!(events.len(), 1, "{}", tell());
                assert!(machine.digest_at(sample.at) == digest, "a refused frame has changed the state: {}", tell());
                assert_eq!(drain(&mut machine, sample.at, &mut entropy), Vec::new(), "it is answered: {}", tell());
                assert_eq!(outlive(&mut machine, sample), undisturbed, "it shows on the wire: {}", tell());
            }
        }
        let met: BTreeSet<_> = cells.keys().map(|(id, _)| *id).collect();
        for info in sodality::wire::enclaves::version_1::MESSAGES {
            assert!(met.contains(info.id), "{} is not met", info.id);
        }
        for of in ["L alone", "L", "L waits", "L closed", "M idle", "M joining", "M in", "M in, linked", "M leaving"] {
            assert!(cells.keys().any(|(_, state)| *state == of), "{of} is not met");
        }
        assert!(refused > 4_000 && accepted > 20, "{refused} refused, {accepted} accepted");
        for reason in [
            Reason::Malformed,
            Reason::Mismatch,
            Reason::Misdirected,
            Reason::Unknown,
            Reason::Forged,
            Reason::Replayed,
        ] {
            assert!(why.contains(&reason), "{reason:?} is not met: {why:?}");
        }
    }
}

/// Strangers make the leader keep nothing; users who only begin to join cost no more than the limits say, and members no more
/// than there are users.
#[test]
fn floods_are_bounded() {
    let mut config = VersionOneConfig::new(terms());
    config.limits = Limits { pending_joins: 5, lingering: 4, ..Limits::default() };
    let mut bench = Bench::new(&config, 12);
    let digest = bench.machines[0].as_ref().unwrap().digest_at(bench.now);
    for _ in 0..500 {
        let mut bytes = BytesMut::new();
        scheme(&*config.suite).header.put(1, &mut bytes);
        bytes.extend_from_slice(b"\x06nobody\0\0\0\x08abcdefgh");
        assert_eq!(bench.refused(1, 0, &bytes), Some(Reason::Unknown));
    }
    assert!(bench.machines[0].as_ref().unwrap().digest_at(bench.now) == digest);
    let silent = |_: usize, _: usize, frame: &[u8]| id_of(frame) == "EN-1A";
    for member in 1..=12 {
        bench.member(member, |machine, cx| machine.join(cx)).unwrap();
        bench.settle_but(silent);
    }
    assert_eq!(bench.leader().table_entries(), 5, "five pend, and the others are told so");
    bench.pass_but(SECOND * 60, silent);
    assert_eq!(bench.leader().table_entries(), 0);
    // People come and go, a hundred times: what is kept depends on how many there are.
    for _ in 0..100 {
        for member in 1..=3 {
            bench.join(member);
        }
        for member in 1..=3 {
            bench.member(member, |machine, cx| machine.leave(cx)).unwrap();
            bench.settle();
        }
        bench.now = bench.now + Duration::from_millis(20);
    }
    bench.join(1);
    assert!(bench.leader().table_entries() <= 1 + 4 + 12, "{}", bench.leader().table_entries());
    assert!(bench.machine(1).table_entries() <= 12, "{}", bench.machine(1).table_entries());
    bench.pass(SECOND * 30);
    assert_eq!(bench.leader().table_entries(), 1);
}

/// Outputs that nobody drains stay within their limits, and nothing is lost that was queued.
#[test]
fn without_draining_nothing_grows() {
    let mut config = VersionOneConfig::new(des());
    config.limits = Limits { out_frames: 64, out_events: 64, ..Limits::default() };
    let mut bench = Bench::joined(&config, 2);
    let mut frames = Vec::new();
    for _ in 0..500 {
        bench.member(1, |machine, cx| machine.send(cx, Port::Application, b"once")).unwrap();
        frames.extend(bench.take(1).into_iter().map(|(_, _, frame)| frame));
    }
    for frame in &frames {
        bench.give(1, 0, frame);
    }
    let machine = bench.machines[0].as_mut().unwrap().end();
    assert!(machine.stats().overruns > 400);
    assert!(bench.take(0).len() <= 128);
    let full = (0..200).map(|_| bench.member(1, |machine, cx| machine.send(cx, Port::Application, b"x")));
    let full: Vec<_> = full.collect();
    assert_eq!(full.iter().filter(|sent| sent.is_ok()).count(), 64);
    assert_eq!(full.last(), Some(&Err(CommandError::Full)));
}

/// Randomness that fails at the k-th draw.
struct FailsAt {
    inner: SimRng,
    left: usize,
    draws: usize,
}

impl Entropy for FailsAt {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.draws += 1;
        if self.draws == self.left {
            return Err(EntropyError);
        }
        self.inner.fill(out)
    }
}

/// Machines, a random source and the time: a session in which either may fail.
struct Run<'a> {
    rng: &'a mut FailsAt,
    now: Instant,
    machines: Vec<Machine>,
    cables: BTreeMap<Link, (usize, usize)>,
    /// Somebody was told of a failure.
    failed: bool,
    heard: [usize; 3],
}

impl Run<'_> {
    fn on<R>(&mut self, who: usize, act: impl FnOnce(&mut Machine, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx { wall: wall(self.now), ..Cx::new(self.now, self.rng) };
        act(&mut self.machines[who], &mut cx)
    }

    fn connect(&mut self, from: usize, to: usize, answers: Option<sodality::endpoint::LinkTicket>) {
        let link = Link(self.cables.len() as u64 + 1);
        self.cables.insert(link, (from, to));
        let info = LinkInfo::stream(1 << 20);
        self.on(to, |machine, cx| machine.end().handle_link_opened(cx, link, info)).unwrap();
        self.on(from, |machine, cx| machine.end().handle_link_opened(cx, link, LinkInfo { answers, ..info })).unwrap();
    }

    fn events(&mut self, who: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.on(who, |machine, _| machine.end().poll_event()) {
            match &event {
                Event::Hindered(_) => self.failed = true,
                Event::Data(_) | Event::Gossip(_) | Event::Direct(_) => self.heard[who] += 1,
                Event::LinkWanted { ticket, peer: Peer::Member(name), .. } => {
                    self.connect(who, name.as_str()[1..].parse().unwrap(), Some(*ticket));
                }
                _ => {}
            }
            events.push(event);
        }
        events
    }

    /// Delivers and waits, for fifteen seconds.
    fn settle(&mut self) {
        for _ in 0..60 {
            let mut quiet = false;
            while !quiet {
                quiet = true;
                for from in 0..3 {
                    while let Some(sent) = self.on(from, |machine, cx| machine.end().poll_transmit(cx)) {
                        quiet = false;
                        for link in sent.to.links() {
                            let (a, b) = self.cables[&link];
                            let to = if a == from { b } else { a };
                            self.events(to);
                            let before = self.machines[to].digest_at(self.now);
                            let frame = BytesMut::from(&*sent.frame);
                            self.on(to, |machine, cx| machine.end().handle_frame(cx, link, frame)).unwrap();
                            let events = self.events(to);
                            let fails = |event: &Event| {
                                matches!(event, Event::Rejected { why: Reason::Entropy | Reason::Suite, .. })
                            };
                            if events.iter().any(fails) {
                                self.failed = true;
                                assert_eq!(events.len(), 1);
                                let after = self.machines[to].digest_at(self.now);
                                assert!(before == after, "a failure has changed the state");
                            }
                        }
                    }
                    quiet &= self.events(from).is_empty();
                }
            }
            self.now = self.now + Duration::from_millis(250);
            for who in 0..3 {
                self.on(who, |machine, cx| machine.end().handle_timeout(cx)).unwrap();
            }
        }
    }

    fn command(&mut self, who: usize, act: impl Fn(&mut Machine, &mut Cx<'_>) -> Result<(), CommandError>) {
        let before = self.machines[who].digest_at(self.now);
        match self.on(who, &act) {
            Ok(()) => {}
            Err(CommandError::Failure(Failure::Entropy | Failure::Suite)) => {
                self.failed = true;
                assert!(self.machines[who].digest_at(self.now) == before, "a failed command has changed the state");
                self.on(who, &act).unwrap();
            }
            Err(other) => panic!("{other}"),
        }
        self.settle();
    }
}

/// Two members and all that a session has. Gives the draws that were made, and whether somebody was told of a failure.
fn run_with(rng: &mut FailsAt, config: &VersionOneConfig) -> (usize, bool) {
    let names = ["m1".to_owned(), "m2".to_owned()];
    let now = Instant::from_micros(1_000);
    let mut failed = false;
    let leader = loop {
        match leader_machine(config, &names, &mut Cx { wall: wall(now), ..Cx::new(now, rng) }) {
            Ok(leader) => break leader,
            Err(CommandError::Failure(_)) if !failed => failed = true,
            Err(other) => panic!("{other}"),
        }
    };
    let mut machines = vec![Machine::Leader(leader)];
    machines.extend(names.iter().map(|name| Machine::Member(member_machine(config, name).unwrap())));
    let mut run = Run { rng, now, machines, cables: BTreeMap::new(), failed, heard: [0; 3] };
    (1..=2).for_each(|member| run.connect(member, 0, None));
    for member in 1..=2 {
        run.command(member, |machine, cx| machine.member().join(cx));
    }
    run.command(0, |machine, cx| match machine {
        Machine::Leader(leader) => leader.rekey(cx),
        Machine::Member(_) => unreachable!(),
    });
    run.command(1, |machine, cx| machine.member().send(cx, Port::Application, b"to all"));
    run.command(1, |machine, cx| machine.member().send_to(cx, &name("m2"), Port::Application, b"psst"));
    run.command(0, |machine, cx| match machine {
        Machine::Leader(leader) => leader.send_to(cx, &name("m1"), Port::Application, b"you"),
        Machine::Member(_) => unreachable!(),
    });
    run.command(1, |machine, cx| machine.member().link_to(cx, &name("m2")));
    run.command(1, |machine, cx| machine.member().send_direct(cx, &name("m2"), Port::Application, b"directly"));
    run.command(2, |machine, cx| machine.member().leave(cx));
    run.command(1, |machine, cx| machine.member().send_direct(cx, &name("m2"), Port::Application, b"and after"));
    run.command(1, |machine, cx| machine.member().close_direct(cx, &name("m2")));
    // Of six deliveries a failure costs two at most: the leader relays nothing that it could not read.
    assert!(run.heard.iter().sum::<usize>() >= 4, "{:?}", run.heard);
    let [Machine::Leader(leader), Machine::Member(first), Machine::Member(second)] = &run.machines[..] else {
        panic!()
    };
    assert_eq!(leader.member_count(), 1);
    assert!(first.is_in() && second.is_idle());
    assert_eq!(first.epoch(), leader.epoch(), "whatever failed, the key is the leader's");
    assert!(leader.all_acknowledged());
    assert_eq!((first.direct_links().count(), second.direct_links().count()), (0, 0));
    (run.rng.draws, run.failed)
}

#[test]
fn failing_randomness_at_each_draw() {
    for suite in both() {
        let config = VersionOneConfig::new(suite);
        let fresh = |left| FailsAt { inner: SimRng::new(SEED), left, draws: 0 };
        let (draws, failed) = run_with(&mut fresh(0), &config);
        assert!(draws > 40 && !failed);
        for k in 1..=draws {
            let (_, failed) = run_with(&mut fresh(k), &config);
            assert!(failed, "draw {k} failed, and nobody was told");
        }
    }
}

#[test]
fn a_failing_suite_at_each_call() {
    for suite in both() {
        let faulty = FaultyPublished::new(suite);
        let config = VersionOneConfig::new(faulty.suite());
        let rng = || FailsAt { inner: SimRng::new(SEED), left: 0, draws: 0 };
        let before = faulty.calls();
        run_with(&mut rng(), &config);
        let calls = faulty.calls() - before;
        assert!(calls > 80, "{calls}");
        for k in 1..=calls {
            let failures = faulty.failures();
            faulty.fail_at(k);
            let (_, failed) = run_with(&mut rng(), &config);
            assert_eq!(faulty.failures(), failures + 1, "call {k}");
            assert!(failed, "call {k} failed, and nobody was told");
        }
    }
}
