//! Repaired Enclaves against frames that nobody sent, or sent before: what is refused leaves no trace in any state (R25), and
//! strangers cost a leader no more than its limits say (R2, R5, D32).
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sodality::crypto::chacha20_poly1305;
use sodality::enclaves::gossip::Form;
use sodality::enclaves::{Leader, Member};
use sodality::endpoint::{Cx, Endpoint, Instant, Link, LinkInfo};
use sodality::error::Reason;
use sodality::event::{Event, Port};
use sodality::fingerprint::Fingerprint;
use sodality::group::Limits;
use sodality::policy::Policy;
use sodality::sim::enclaves::{leader_machine, member_machine};
use sodality::sim::{Checker, EnclaveConfig, EnclaveStar, Input, Observed, SimRng, World};
use sodality::wire::Message as _;
use sodality::wire::enclaves::repaired::Data;

const SECOND: Duration = Duration::from_secs(1);
const SEED: u64 = 12;

/// The state, with absolute times: nothing in it moves by itself.
fn digest<M: Fingerprint>(machine: &M) -> Vec<u8> {
    let mut out = Vec::new();
    machine.fingerprint(Instant::ORIGIN, &mut out);
    out
}

/// A machine, and a frame that it is about to be given.
#[derive(Clone)]
enum Machine {
    Leader(Box<Leader>),
    Member(Box<Member>),
}

struct Sample {
    machine: Machine,
    state: String,
    link: Link,
    at: Instant,
    frame: Vec<u8>,
}

/// Takes samples of all machines in all their states.
struct Sampler(Rc<RefCell<Vec<Sample>>>);

impl Checker for Sampler {
    fn name(&self) -> &'static str {
        "Sampler"
    }

    fn foresee(&mut self, step: &Observed<'_>) {
        let Input::Frame(frame) = step.input else { return };
        let (machine, state) = if let Some(leader) = step.machine::<Leader>() {
            let (live, pending) = (leader.live_members().count(), leader.pending_joins());
            let (ended, closed) = (leader.lingering_sessions(), leader.is_closed());
            let state = format!("L {live} live, {pending} pending, {ended} ended, closed: {closed}");
            (Machine::Leader(Box::new(leader.clone())), state)
        } else if let Some(member) = step.machine::<Member>() {
            (Machine::Member(Box::new(member.clone())), format!("M {}", member.phase()))
        } else {
            return;
        };
        let frame_bytes = frame.bytes.to_vec();
        self.0.borrow_mut().push(Sample { machine, state, link: frame.to_link, at: step.at, frame: frame_bytes });
    }

    fn after(&mut self, _: &Observed<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// Gives a copy of the machine a frame: whether it was refused, and whether a refusal left a trace.
fn feed(sample: &Sample, frame: &[u8]) -> (bool, bool) {
    fn on<M: Endpoint + Fingerprint>(machine: &mut M, sample: &Sample, frame: &[u8]) -> (bool, bool) {
        let mut rng = SimRng::new(1);
        let before = digest(machine);
        machine.handle_frame(&mut Cx::new(sample.at, &mut rng), sample.link, BytesMut::from(frame)).unwrap();
        let mut events = Vec::new();
        while let Some(event) = machine.poll_event() {
            events.push(event);
        }
        let refused = matches!(&events[..], [Event::Rejected { why, .. }] if *why != Reason::Violation);
        (refused, refused && digest(machine) != before)
    }
    match sample.machine.clone() {
        Machine::Leader(mut machine) => on(&mut *machine, sample, frame),
        Machine::Member(mut machine) => on(&mut *machine, sample, frame),
    }
}

#[test]
fn mutants_and_replays_leave_no_trace_in_any_state() {
    let mut world = World::new(SEED);
    let samples = Rc::new(RefCell::new(Vec::new()));
    world.add_checker(Sampler(samples.clone()));
    let policy = Policy { grace: Duration::ZERO, settle: Duration::ZERO, ..Policy::default() };
    let star =
        EnclaveStar::add(&mut world, EnclaveConfig { policy, ..EnclaveConfig::new(chacha20_poly1305()) }, 2).unwrap();
    star.join_all(&mut world, SECOND * 20).unwrap();
    world.run_for(SECOND).unwrap();
    for from in [0, 1, 9] {
        star.say(&mut world, from, b"hello").unwrap().unwrap();
    }
    let to = [world.get(star.members[1]).unwrap().cid().unwrap()];
    for form in [Form::Documented, Form::Asked, Form::Own] {
        let said = |member: &mut Member, cx: &mut Cx<'_>| member.gossip(cx, form, &to, Port::Application, b"psst");
        world.with(star.members[0], said).unwrap().unwrap();
    }
    world.run_for(SECOND * 2).unwrap();
    world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
    world.run_for(SECOND * 4).unwrap();
    world.with(star.members[1], |member, cx| member.leave(cx)).unwrap().unwrap();
    world.run_for(SECOND * 5).unwrap();
    world.with(star.leader, |leader, cx| leader.close(cx)).unwrap().unwrap();
    world.run_for(SECOND * 5).unwrap();
    let samples = samples.borrow();
    let (mut mutants, mut replays, mut states) = (0, 0, BTreeMap::new());
    for (number, sample) in samples.iter().enumerate() {
        // Every byte changed, and every length.
        for at in 0..sample.frame.len() {
            let mut mutant = sample.frame.clone();
            mutant[at] ^= 1 << (at % 8);
            for frame in [&mutant[..], &sample.frame[..at]] {
                let (refused, trace) = feed(sample, frame);
                // Data that claim a later epoch wait for its key.
                let waits = frame.get(4) == Some(&Data::INFO.code);
                assert!(refused || waits, "{}: byte {at} of frame {number} changed, and taken", sample.state);
                assert!(!trace, "{}: byte {at} of frame {number} changed leaves a trace", sample.state);
                mutants += 1;
            }
        }
        // All that was said before, to this machine or to another.
        for old in samples.iter().take(number) {
            let (refused, trace) = feed(sample, &old.frame);
            assert!(!trace, "{}: a replay leaves a trace", sample.state);
            replays += usize::from(refused);
        }
        *states.entry(sample.state.clone()).or_insert(0) += 1;
    }
    println!("{mutants} mutants, {replays} replays refused, in {states:?}");
    assert!(mutants > 10_000 && replays > 500 && states.len() >= 8, "{mutants} {replays} {states:?}");
}

/// A request to join of a fresh machine of this user.
fn request(config: &EnclaveConfig, user: &str, rng: &mut SimRng) -> Bytes {
    let mut member = member_machine(config, user).unwrap();
    let mut cx = Cx::new(Instant::ORIGIN, rng);
    member.handle_link_opened(&mut cx, Link(1), LinkInfo::stream(65_536)).unwrap();
    member.join(&mut cx).unwrap();
    member.poll_transmit(&mut cx).unwrap().frame
}

#[test]
fn requests_of_strangers_and_of_users_cost_no_more_than_the_limits_say() {
    let limits = Limits {
        pending_joins: 12,
        pending_joins_per_link: 3,
        pending_joins_per_name: 4,
        pending_guard: SECOND * 4,
        ..Limits::default()
    };
    let config = EnclaveConfig { limits, ..EnclaveConfig::new(chacha20_poly1305()) };
    let users: Vec<String> = (0..20).map(|n| format!("u{n}")).collect();
    let mut rng = SimRng::new(SEED);
    let mut leader = leader_machine(&config, &users, &mut Cx::new(Instant::ORIGIN, &mut rng)).unwrap();
    for link in 1..=40 {
        leader
            .handle_link_opened(&mut Cx::new(Instant::ORIGIN, &mut rng), Link(link), LinkInfo::stream(65_536))
            .unwrap();
    }
    while leader.poll_event().is_some() {}
    let give = |leader: &mut Leader, now: Instant, link: u64, frame: &Bytes, rng: &mut SimRng| {
        let mut cx = Cx::new(now, rng);
        leader.handle_frame(&mut cx, Link(link), BytesMut::from(&frame[..])).unwrap();
        let answer = leader.poll_transmit(&mut cx);
        (leader.poll_event(), answer)
    };
    // Whom the leader does not know hears nothing, and leaves nothing behind.
    let before = digest(&leader);
    for n in 0..200 {
        let frame = request(&config, &format!("stranger{n}"), &mut rng);
        let (event, answer) = give(&mut leader, Instant::ORIGIN, n % 40 + 1, &frame, &mut rng);
        assert!(matches!(event, Some(Event::Rejected { why: Reason::Unknown, .. })), "{event:?}");
        assert!(answer.is_none());
    }
    assert!(digest(&leader) == before, "strangers leave a trace");
    // Users, or who plays their requests again, fill the table and no more; and whom it protects is not replaced.
    let (mut taken, mut refused) = (0, 0);
    for n in 0..400_u64 {
        let frame = request(&config, &users[(n % 20) as usize], &mut rng);
        match give(&mut leader, Instant::ORIGIN, n % 40 + 1, &frame, &mut rng) {
            (None, Some(_)) => taken += 1,
            (Some(Event::Rejected { why: Reason::Budget, .. }), None) => refused += 1,
            other => panic!("{other:?}"),
        }
        assert!(leader.pending_joins() <= 12);
    }
    assert_eq!((taken, refused), (12, 388));
    // One link, and one name, have no more than their share once older joins may be replaced.
    let later = Instant::ORIGIN + SECOND * 5;
    let (event, answer) = give(&mut leader, later, 1, &request(&config, "u0", &mut rng), &mut rng);
    assert!(event.is_none() && answer.is_some(), "the oldest gives way: {event:?}");
    assert_eq!(leader.pending_joins(), 12);
    // In the end all of them are forgotten.
    let over = later + limits.pending_life + SECOND;
    leader.handle_timeout(&mut Cx::new(over, &mut rng)).unwrap();
    assert_eq!(leader.pending_joins(), 0);
}
