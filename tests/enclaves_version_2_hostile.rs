//! R1, R18, R25 for Enclaves 2.0: whatever arrives, nothing panics, and a frame that is refused changes nothing but counters, in
//! whatever state its receiver is. And where the random source or the suite fails at its k-th call, nothing changes, and the
//! session goes on. What is *accepted* of a hostile frame is another matter: that is what the weaknesses are.
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/faulty_published.rs"]
mod faulty_published;
mod version_2;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use sodality::crypto::published::PublishedSuite;
use sodality::enclaves::version_2::prudent_policy;
use sodality::endpoint::{Cx, Endpoint, Entropy, EntropyError, Instant, Link, LinkInfo, Transmit, Wake};
use sodality::error::{CommandError, Failure, Reason};
use sodality::event::{Event, Port};
use sodality::group::Limits;
use sodality::policy::Policy;
use sodality::sim::enclaves_version_2::VersionTwoConfig;
use sodality::sim::{Draft, SimRng, Tables};
use sodality::wire::mutate::{change_leaf, leaves, mix, mutate};

use faulty_published::FaultyPublished;
use version_2::{Bench, Machine, SECOND, Sample, both, header, id_of, modern, name, scheme};

const SEED: u64 = 77;
/// Frames kept of each (message, state of the receiver).
const KEPT: usize = 2;

type Cell = (&'static str, &'static str);

/// Three join and talk, keys change, one leaves and comes back, one is thrown out, the group closes; everything again.
fn session(suite: &Arc<dyn PublishedSuite>) -> BTreeMap<Cell, Vec<Sample>> {
    let config = VersionTwoConfig { policy: prudent_policy(), ..VersionTwoConfig::new(suite.clone()) };
    let mut bench = Bench::new(&config, 3);
    bench.samples = Some(Vec::new());
    let replay = |bench: &mut Bench| {
        let all = bench.wire.clone();
        for (from, to, frame) in all.iter().rev().take(12).rev() {
            match to {
                0 => bench.give_leader(*from, frame),
                member => bench.give_member(*member, frame),
            }
        }
        bench.settle();
    };
    for member in 1..=3 {
        bench.member(member, |machine, cx| machine.join(cx)).unwrap();
        // The first answer is late.
        bench.settle_but(|from, _, frame| from == 0 && id_of(frame) == "EN-A2");
        bench.pass(SECOND);
        replay(&mut bench);
    }
    bench.say(1, b"a word");
    bench.say(0, b"and another");
    bench.member(2, |machine, cx| machine.gossip(cx, &[name("m1"), name("lea")], Port::Application, b"psst")).unwrap();
    bench.settle();
    bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
    bench.settle_but(|_, to, _| to == 3);
    bench.say(2, b"under the new key");
    replay(&mut bench);
    bench.pass(SECOND);
    bench.member(2, |machine, cx| machine.leave(cx)).unwrap();
    bench.settle_but(|_, _, frame| id_of(frame) == "EN-C1");
    bench.pass(SECOND);
    replay(&mut bench);
    bench.join(2);
    let cid = bench.leader.number_of(&name("m1")).unwrap();
    bench.lead(|leader, cx| leader.eject(cx, cid)).unwrap();
    bench.settle();
    replay(&mut bench);
    bench.pass(SECOND);
    let _ = bench.lead(|leader, cx| leader.close(cx));
    bench.settle();
    replay(&mut bench);
    let mut cells: BTreeMap<Cell, Vec<Sample>> = BTreeMap::new();
    for sample in bench.samples.take().unwrap() {
        let kept = cells.entry((id_of(&sample.frame), sample.machine.state())).or_default();
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
        let frame = end.poll_transmit(&mut Cx::new(now, rng));
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
            machine.end().handle_frame(&mut Cx::new(at, &mut rng), sample.link, frame).unwrap();
        }
        let mut wakes = 0;
        loop {
            machine.end().handle_timeout(&mut Cx::new(at, &mut rng)).unwrap();
            sent.extend(drain(machine, at, &mut rng).into_iter().map(|frame| (at, frame)));
            wakes += 1;
            assert!(wakes < 1_000, "it wakes again and again");
            if !matches!(machine.end().poll_timeout(), Wake::Now(_)) {
                break;
            }
        }
    }
    sent
}

fn hostile(suite: &dyn PublishedSuite, sample: &Sample, others: &[Vec<u8>], rng: &mut u64) -> Vec<Vec<u8>> {
    let (frame, tables) = (&sample.frame, Tables::default());
    let other = &others[mix(rng) as usize % others.len()];
    let mut all: Vec<Vec<u8>> = (0..24).map(|_| mutate(frame, other, &mut || mix(rng))).collect();
    all.extend((0..12).map(|part| frame[..frame.len() * part / 12].to_vec()));
    all.push([&frame[..], &[0]].concat());
    if let Ok(draft) = Draft::of(&tables, frame) {
        for leaf in leaves(&draft.clear) {
            for _ in 0..3 {
                let changed = change_leaf(&draft.clear, &leaf.path, draft.info.clear, &mut || mix(rng));
                all.extend(changed.map(|clear| Draft { clear, ..draft.clone() }.frame().to_vec()));
            }
        }
    }
    // Of another session of the same people, and under other types.
    all.extend((0..8).map(|_| others[mix(rng) as usize % others.len()].clone()));
    for code in 0..0x12 {
        let mut bytes = BytesMut::new();
        header(suite).put(code, &mut bytes);
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
                let mut cx = Cx::new(sample.at, &mut entropy);
                machine.end().handle_frame(&mut cx, sample.link, BytesMut::from(&*frame)).unwrap();
                let mut events = Vec::new();
                while let Some(event) = machine.end().poll_event() {
                    events.push(event);
                }
                let tell = || format!("{frame:02x?}\nin {}: {events:?}", sample.machine.state());
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
        for info in sodality::wire::enclaves::version_2::MESSAGES {
            assert!(met.contains(info.id), "{} is not met", info.id);
        }
        for state in ["L alone", "L", "L waits", "L closed", "M idle", "M joining", "M in", "M leaving"] {
            assert!(cells.keys().any(|(_, of)| *of == state), "{state} is not met");
        }
        assert!(refused > 2_000 && accepted > 100, "{refused} refused, {accepted} accepted");
        for reason in [Reason::Malformed, Reason::Mismatch, Reason::Misdirected, Reason::Unknown, Reason::Forged] {
            assert!(why.contains(&reason), "{reason:?} is not met: {why:?}");
        }
    }
}

/// Strangers make the leader keep no more than its limits say, and nothing for names that it does not know.
#[test]
fn a_flood_of_strangers_is_bounded() {
    let suite = modern();
    let users: Vec<String> = (0..50).map(|n| format!("user{n}")).collect();
    let limits = Limits { pending_joins: 20, out_frames: 512, out_events: 4_096, ..Limits::default() };
    let config = VersionTwoConfig { users, limits, ..VersionTwoConfig::new(suite.clone()) };
    let mut bench = Bench::new(&config, 1);
    let plain = Machine::Leader(bench.leader.clone()).digest_at(bench.now).len();
    for n in 0..200 {
        bench.give_leader(1, &scheme(&*suite).open_request(name(&format!("nobody{n}")).by_ref()));
        bench.take(0);
    }
    assert_eq!(Machine::Leader(bench.leader.clone()).digest_at(bench.now).len(), plain, "nothing is kept");
    for n in 0..50 {
        bench.give_leader(1, &scheme(&*suite).open_request(name(&format!("user{n}")).by_ref()));
        bench.take(0);
    }
    assert_eq!(bench.leader.stats().rejected[&Reason::Budget], 30);
    // Labels of nobody in data cost a bounded number of names, too: sixty-four.
    bench.pass(SECOND * 25);
    bench.join(1);
    let key = bench.members[0].group_key().unwrap().clone();
    for n in 0..500 {
        let from = name(&format!("ghost{n}"));
        let frame = scheme(&*suite).data(from.by_ref(), &key, true, Port::Application, b"boo").unwrap();
        bench.give_member(1, &frame);
        bench.take(1);
        let cid = bench.events_of(1).last().and_then(|event| match event {
            Event::Data(message) => Some(message.from.claimed()),
            _ => None,
        });
        assert_eq!(bench.members[0].name_of(cid.unwrap()), Some(&from));
    }
    let first = bench.events_of(1).into_iter().find_map(|event| match event {
        Event::Data(message) => Some(message.from.claimed()),
        _ => None,
    });
    assert_eq!(bench.members[0].name_of(first.unwrap()), None, "the oldest is forgotten");
    // Invented members are bounded by the limit of members.
    let limits = Limits { members: 5, ..Limits::default() };
    let mut bench = Bench::joined(&VersionTwoConfig { limits, ..VersionTwoConfig::new(suite.clone()) }, 1);
    let key = bench.members[0].group_key().unwrap().clone();
    for n in 0..20 {
        let ghost = name(&format!("ghost{n}"));
        let frame = scheme(&*suite).notice(name("lea").by_ref(), &key, true, ghost.by_ref()).unwrap();
        bench.give_member(1, &frame);
    }
    assert_eq!(bench.roster(1).len(), 2 + 5);
}

/// Outputs that nobody drains stay within their limits, and nothing is lost that was queued.
#[test]
fn without_draining_nothing_grows() {
    let suite = modern();
    let limits = Limits { out_frames: 16, out_events: 16, ..Limits::default() };
    let config = VersionTwoConfig { limits, ..VersionTwoConfig::new(suite.clone()) };
    let mut bench = Bench::joined(&config, 2);
    bench.say(1, b"once");
    let frame = bench.last("EN-D1", 1, 0);
    for _ in 0..1_000 {
        bench.give_leader(1, &frame);
    }
    assert!(bench.leader.stats().overruns > 900);
    assert!(bench.take(0).len() <= 16);
    let full = (0..100).map(|_| bench.member(1, |machine, cx| machine.send(cx, Port::Application, b"x")));
    let full: Vec<_> = full.collect();
    assert_eq!(full.iter().filter(|sent| sent.is_ok()).count(), 16);
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

/// Two members and all that a session has, with a random source that may fail. Gives the draws that were made.
fn run_with(rng: &mut FailsAt, config: &VersionTwoConfig, faulty: Option<&FaultyPublished>) -> (usize, bool) {
    use sodality::sim::enclaves_version_2::{leader_machine, member_machine};
    let names = ["m1".to_owned(), "m2".to_owned()];
    let mut now = Instant::from_micros(1_000);
    let mut tries = 0;
    let mut failed = false;
    let leader = loop {
        match leader_machine(config, &names, &mut Cx::new(now, rng)) {
            Ok(leader) => break leader,
            Err(CommandError::Failure(_)) => failed = true,
            Err(other) => panic!("{other}"),
        }
        tries += 1;
        assert!(tries < 3);
    };
    let mut machines = vec![Machine::Leader(leader)];
    machines.extend(names.iter().map(|name| Machine::Member(member_machine(config, name).unwrap())));
    for member in 1..=2 {
        for at in [0, member] {
            let info = LinkInfo::stream(1 << 20);
            machines[at].end().handle_link_opened(&mut Cx::new(now, rng), Link(member as u64), info).unwrap();
        }
    }
    let mut heard = [0; 3];
    // Delivers and waits until nothing happens for a while.
    let mut settle = |machines: &mut Vec<Machine>, rng: &mut FailsAt, now: &mut Instant, failed: &mut bool| {
        for _ in 0..60 {
            let mut quiet = false;
            while !quiet {
                quiet = true;
                for from in 0..3 {
                    while let Some(sent) = machines[from].end().poll_transmit(&mut Cx::new(*now, rng)) {
                        quiet = false;
                        for link in sent.to.links() {
                            let to = if from == 0 { link.0 as usize } else { 0 };
                            let before = machines[to].digest_at(*now);
                            let frame = BytesMut::from(&*sent.frame);
                            machines[to].end().handle_frame(&mut Cx::new(*now, rng), link, frame).unwrap();
                            let mut events = Vec::new();
                            while let Some(event) = machines[to].end().poll_event() {
                                events.push(event);
                            }
                            for event in &events {
                                match event {
                                    Event::Rejected { why: Reason::Entropy | Reason::Suite, .. } => {
                                        *failed = true;
                                        assert_eq!(events.len(), 1);
                                        let after = machines[to].digest_at(*now);
                                        assert!(before == after, "a failure has changed the state");
                                    }
                                    Event::Hindered(_) => *failed = true,
                                    Event::Data(_) | Event::Gossip(_) => heard[to] += 1,
                                    _ => {}
                                }
                            }
                        }
                    }
                    while let Some(event) = machines[from].end().poll_event() {
                        quiet = false;
                        *failed |= matches!(event, Event::Hindered(_));
                    }
                }
            }
            *now = *now + Duration::from_millis(250);
            for machine in machines.iter_mut() {
                machine.end().handle_timeout(&mut Cx::new(*now, rng)).unwrap();
            }
        }
    };
    let mut command =
        |machines: &mut Vec<Machine>,
         rng: &mut FailsAt,
         now: &mut Instant,
         failed: &mut bool,
         at: usize,
         act: &mut dyn FnMut(&mut Machine, &mut Cx<'_>) -> Result<(), CommandError>| {
            let before = machines[at].digest_at(*now);
            match act(&mut machines[at], &mut Cx::new(*now, rng)) {
                Ok(()) => {}
                Err(CommandError::Failure(Failure::Entropy | Failure::Suite)) => {
                    *failed = true;
                    assert!(machines[at].digest_at(*now) == before, "a failed command has changed the state");
                    act(&mut machines[at], &mut Cx::new(*now, rng)).unwrap();
                }
                Err(other) => panic!("{other}"),
            }
            settle(machines, rng, now, failed);
        };
    for member in 1..=2 {
        command(&mut machines, rng, &mut now, &mut failed, member, &mut |machine, cx| match machine {
            Machine::Member(member) => member.join(cx),
            Machine::Leader(_) => unreachable!(),
        });
    }
    command(&mut machines, rng, &mut now, &mut failed, 0, &mut |machine, cx| match machine {
        Machine::Leader(leader) => leader.rekey(cx),
        Machine::Member(_) => unreachable!(),
    });
    command(&mut machines, rng, &mut now, &mut failed, 1, &mut |machine, cx| match machine {
        Machine::Member(member) => member.send(cx, Port::Application, b"to all"),
        Machine::Leader(_) => unreachable!(),
    });
    command(&mut machines, rng, &mut now, &mut failed, 1, &mut |machine, cx| match machine {
        Machine::Member(member) => member.gossip(cx, &[name("m2")], Port::Application, b"psst"),
        Machine::Leader(_) => unreachable!(),
    });
    command(&mut machines, rng, &mut now, &mut failed, 0, &mut |machine, cx| match machine {
        Machine::Leader(leader) => leader.gossip(cx, &[name("m1")], Port::Application, b"you"),
        Machine::Member(_) => unreachable!(),
    });
    command(&mut machines, rng, &mut now, &mut failed, 2, &mut |machine, cx| match machine {
        Machine::Member(member) => member.leave(cx),
        Machine::Leader(_) => unreachable!(),
    });
    // Of four deliveries a failure costs two at most: the leader relays nothing that it could not read.
    assert!(heard.iter().sum::<usize>() >= 2, "{heard:?}");
    let [Machine::Leader(leader), Machine::Member(first), Machine::Member(second)] = &machines[..] else { panic!() };
    assert_eq!(leader.member_count(), 1);
    assert!(first.is_in() && second.is_idle());
    assert_eq!(first.epoch(), leader.epoch(), "whatever failed, the key is the leader's");
    assert!(leader.all_acknowledged());
    if let Some(faulty) = faulty {
        assert!(faulty.calls() > 10);
    }
    (rng.draws, failed)
}

#[test]
fn failing_randomness_at_each_draw() {
    for suite in both() {
        let config = VersionTwoConfig { policy: prudent_policy(), ..VersionTwoConfig::new(suite) };
        let fresh = |left| FailsAt { inner: SimRng::new(SEED), left, draws: 0 };
        let (draws, failed) = run_with(&mut fresh(0), &config, None);
        assert!(draws > 20 && !failed);
        for k in 1..=draws {
            let (_, failed) = run_with(&mut fresh(k), &config, None);
            assert!(failed, "draw {k} failed, and nobody was told");
        }
    }
}

#[test]
fn a_failing_suite_at_each_call() {
    for suite in both() {
        let faulty = FaultyPublished::new(suite);
        let policy: Policy = prudent_policy();
        let config = VersionTwoConfig { policy, ..VersionTwoConfig::new(faulty.suite()) };
        let rng = || FailsAt { inner: SimRng::new(SEED), left: 0, draws: 0 };
        let before = faulty.calls();
        run_with(&mut rng(), &config, Some(&faulty));
        let calls = faulty.calls() - before;
        assert!(calls > 40, "{calls}");
        for k in 1..=calls {
            let failures = faulty.failures();
            faulty.fail_at(k);
            let (_, failed) = run_with(&mut rng(), &config, Some(&faulty));
            assert_eq!(faulty.failures(), failures + 1, "call {k}");
            assert!(failed, "call {k} failed, and nobody was told");
        }
    }
}
