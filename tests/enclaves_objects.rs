//! Shared objects in repaired Enclaves (report §1.2): one order of all changes, rights, refusals, who comes and goes in the
//! middle, and what hostile members and leaders come to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod shared_objects;

use core::time::Duration;

use bytes::Bytes;
use shared_objects::*;
use sodality::crypto::null::insecure_null;
use sodality::endpoint::Cx;
use sodality::error::Misuse;
use sodality::event::{EndReason, Ending, Event, ObjectRefusal};
use sodality::fingerprint::Fingerprint as _;
use sodality::policy::{MAX_OBJECT_BYTES, ObjectRule, Objects, Policy, Right};
use sodality::sim::{DropMatching, EnclaveConfig, Faults, InTransit, LinkConfig, Recorder, SimRng, Tables, shared};

// ---- order ----

/// Several members change objects at once over a bad network; `log` changes are remembered.
fn contend(seed: u64, log: usize) -> Bench {
    let mut rng = SimRng::new(seed);
    let mut config = config(all_change(&["map", "plan"]));
    config.policy.frame_limit = SMALL;
    config.limits.object_log = log;
    // Nobody is lost over a network like this one.
    config.policy.detection = None;
    config.link = LinkConfig { faults: Faults { loss: 120, duplicate: 60, ..Faults::NONE }, ..LinkConfig::DATAGRAM };
    let mut bench = Bench::new(seed, config, 3);
    let mut asked = Vec::new();
    for round in 0..24_u8 {
        for at in 0..3 {
            let object = ["map", "plan"][rng.below(2) as usize];
            let length = [0, 9, 1_500][rng.below(3) as usize];
            if let Ok(number) = bench.put(at, object, None, &vec![round * 4 + at as u8; length]) {
                asked.push((at, number));
            }
        }
        bench.run(Duration::from_millis(rng.below(400)));
        // What a member has seen is always among what the leader has done, in its order.
        let order = bench.changes(3);
        for at in 0..3 {
            let seen = bench.changes(at);
            assert!(seen.iter().is_sorted_by_key(|(version, ..)| *version), "seed {seed}");
            assert!(seen.iter().all(|change| order.contains(change)), "seed {seed}");
            if log > 100 {
                assert!(order.starts_with(&seen), "seed {seed}: {seen:?} of {order:?}");
            }
        }
    }
    bench.run(MINUTE * 3);
    assert!(asked.len() > 40, "seed {seed}: {}", asked.len());
    let order = bench.changes(3);
    assert_eq!(
        order.iter().map(|(version, ..)| *version).collect::<Vec<_>>(),
        (1..=order.len() as u64).collect::<Vec<_>>()
    );
    for (at, number) in &asked {
        let version = bench.answer(*at, *number).expect("each is answered").expect("and taken");
        assert_eq!(order[version as usize - 1].2, bench.cid(*at));
    }
    assert_eq!(order.len(), asked.len(), "seed {seed}: each once");
    for at in 0..3 {
        assert!(!bench.events(at).iter().any(|event| matches!(event, Event::Ended(_))), "seed {seed}");
        for object in ["map", "plan"] {
            assert_eq!(bench.here(at, object), bench.here(3, object), "seed {seed}, member {at}");
        }
    }
    bench
}

#[test]
fn who_keeps_up_with_the_log_sees_every_change_in_one_order() {
    for seed in 0..4 {
        let bench = contend(seed, 256);
        for at in 0..3 {
            assert_eq!(bench.changes(at), bench.changes(3), "seed {seed}");
        }
    }
}

#[test]
fn who_lags_behind_the_log_leaves_changes_out_and_ends_with_the_same() {
    let mut left_out = 0;
    for seed in 10..13 {
        let bench = contend(seed, 1);
        left_out += (0..3).map(|at| bench.changes(3).len() - bench.changes(at).len()).sum::<usize>();
    }
    assert!(left_out > 0, "the log was too short for somebody");
}

#[test]
fn of_two_changes_of_one_version_one_is_a_conflict() {
    let mut bench = Bench::new(20, config(all_change(&["plan"])), 2);
    let numbers = [0, 1].map(|at| bench.put(at, "plan", Some(0), &[at as u8; 8]).unwrap());
    bench.run(SECOND * 2);
    let answers = [0, 1].map(|at| bench.answer(at, numbers[at]).unwrap());
    let lost = usize::from(answers[0].is_ok());
    assert_eq!((answers[1 - lost], answers[lost]), (Ok(1), Err((ObjectRefusal::Conflict, 1))));
    assert_eq!(bench.puts(lost, "plan", Some(1), b"again"), Ok(2));
    assert_eq!(bench.puts(2, "plan", Some(1), b"the leader's"), Err((ObjectRefusal::Conflict, 2)));
    assert_eq!(bench.puts(2, "plan", Some(2), b"the leader's"), Ok(3));
    assert_eq!(bench.here(0, "plan"), Some((3, Bytes::from_static(b"the leader's"))));
}

// ---- rights ----

#[test]
fn each_right_with_each_operation() {
    let all = [("plan", Right::None, &[("m2", Right::Read), ("m3", Right::Change)][..])];
    let mut bench = Bench::new(30, config(rules(&all)), 3);
    assert_eq!(bench.puts(3, "plan", None, b"first"), Ok(1));
    for (at, right) in Right::ALL.into_iter().enumerate() {
        assert_eq!(bench.member(at).right(&name("plan")), right);
        assert_eq!(bench.member(at).objects().count(), usize::from(right.reads()));
        let seen = right.reads().then(|| (1, Bytes::from_static(b"first")));
        assert_eq!(bench.here(at, "plan"), seen, "{right:?}");
        let told = bench.events(at).iter().any(|event| matches!(event, Event::ObjectRight { .. }));
        assert_eq!(told, right.reads(), "{right:?}");
    }
    let answers = [0, 1, 2].map(|at| bench.puts(at, "plan", None, &[at as u8; 40]));
    let not = Err((ObjectRefusal::NotAllowed, 0));
    assert_eq!(answers, [not, not, Ok(2)]);
    assert_eq!(bench.changes(0), []);
    assert_eq!(bench.here(1, "plan"), Some((2, Bytes::from_static(&[2; 40]))));
}

#[test]
fn refusals_say_why() {
    let mut objects = all_change(&["plan"]);
    objects.insert(name("short"), ObjectRule::default().everybody(Right::Change).size(10));
    let mut config = config(objects);
    config.policy.frame_limit = SMALL;
    config.limits.object_puts = 1;
    let mut bench = Bench::new(31, config, 2);
    for at in [0, 2] {
        assert_eq!(bench.puts(at, "other", None, b"x"), Err((ObjectRefusal::NoSuchObject, 0)));
        assert_eq!(bench.puts(at, "short", None, &[1; 11]), Err((ObjectRefusal::TooLong, 0)));
        assert_eq!(
            bench.puts(at, "short", Some(9), &[1; 10]),
            Err((ObjectRefusal::Conflict, bench.here(2, "short").map_or(0, |(version, _)| version)))
        );
        assert!(bench.puts(at, "short", None, &[1; 10]).is_ok());
    }
    // Two long ones at once, and room for one.
    let numbers = [0, 1].map(|at| bench.put(at, "plan", None, &[at as u8; 8_000]).unwrap());
    bench.run(SECOND * 5);
    let answers = [0, 1].map(|at| bench.answer(at, numbers[at]).unwrap());
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.contains(&Err((ObjectRefusal::Busy, 0))));
    assert!(bench.puts(1, "plan", None, &[3; 8_000]).is_ok(), "and room again");
}

/// Frames of a member's change are long, and all else that it says is short: it begins, and lives on, and never ends.
#[test]
fn a_change_that_never_ends_does_not_keep_its_place() {
    let mut config = config(all_change(&["plan"]));
    config.policy.frame_limit = SMALL;
    config.limits.object_puts = 1;
    let time = config.limits.object_put_time;
    let mut bench = Bench::new(33, config, 2);
    let number = bench.put(0, "plan", None, &[5; 60_000]).unwrap();
    bench.run(Duration::from_millis(30));
    assert_eq!(bench.answer(0, number), None, "in the middle");
    let member = bench.star.members[0].into();
    bench.world.set_adversary(DropMatching(move |frame: &InTransit, _: &Tables| {
        frame.from == member && frame.bytes.len() > SMALL as usize / 3
    }));
    bench.run(time - SECOND * 10);
    assert_eq!(bench.puts(1, "plan", None, b"x"), Err((ObjectRefusal::Busy, 0)), "its place is taken");
    assert_eq!(bench.answer(0, number), None);
    bench.run(SECOND * 10);
    assert!(matches!(bench.answer(0, number), Some(Err((ObjectRefusal::Busy, 0)))), "{:?}", bench.answer(0, number));
    assert_eq!(bench.puts(1, "plan", None, b"x"), Ok(1));
    // It is a member as before, and may try again.
    bench.world.retire_adversary();
    let number = bench.put(0, "plan", Some(1), &[6; 60_000]).unwrap();
    bench.run(MINUTE);
    assert!(matches!(bench.answer(0, number), Some(Ok(2))), "{:?}", bench.answer(0, number));
    assert_eq!(bench.here(1, "plan"), Some((2, Bytes::from(vec![6; 60_000]))));
}

#[test]
fn rights_change_with_the_policy() {
    let before = rules(&[("plan", Right::None, &[("m1", Right::Change), ("m3", Right::Read)])]);
    let after = rules(&[("plan", Right::None, &[("m2", Right::Change), ("m3", Right::Read)])]);
    let mut bench = Bench::new(32, config(before), 3);
    bench.puts(0, "plan", None, b"overwritten").unwrap();
    bench.puts(0, "plan", None, b"the newest").unwrap();
    let policy = Policy { objects: after, ..Policy::default() };
    bench.world.with(bench.star.leader, |leader, cx| leader.change_policy(cx, policy)).unwrap().unwrap();
    bench.run(SECOND * 20);
    let rights = [0, 1, 2].map(|at| bench.member(at).right(&name("plan")));
    assert_eq!(rights, [Right::None, Right::Change, Right::Read]);
    assert_eq!(bench.changes(1).iter().map(|(version, ..)| *version).collect::<Vec<_>>(), [2], "the newest alone");
    assert_eq!(bench.puts(0, "plan", None, b"no more"), Err((ObjectRefusal::NotAllowed, 0)));
    assert_eq!(bench.puts(1, "plan", None, b"now"), Ok(3));
    assert_eq!(bench.here(0, "plan"), Some((2, Bytes::from_static(b"the newest"))), "it keeps what it had");
    assert_eq!(bench.here(2, "plan"), Some((3, Bytes::from_static(b"now"))));
    let lost = |event: &&Event| matches!(event, Event::ObjectRight { right: Right::None, .. });
    assert_eq!(bench.events(0).iter().filter(lost).count(), 1);
}

/// A right that goes and comes back while a piece is under way: the contents are begun anew, and nobody breaks off.
#[test]
fn a_right_that_goes_and_comes_back_in_the_middle_of_contents() {
    for wait in [1, 3, 10, 40, 200] {
        let with = |right| rules(&[("plan", Right::None, &[("m1", right)])]);
        let policy = |right| Policy {
            objects: with(right),
            frame_limit: SMALL,
            grace: Duration::from_millis(1),
            settle: Duration::ZERO,
            ..Policy::default()
        };
        let mut config = config(Objects::none());
        config.policy = policy(Right::Read);
        let mut bench = Bench::new(33, config, 1);
        bench.put(1, "plan", None, &[7; 100_000]).unwrap();
        for right in [Right::None, Right::Read, Right::None, Right::Read] {
            bench.run(Duration::from_millis(wait));
            bench.world.with(bench.star.leader, |leader, cx| leader.change_policy(cx, policy(right))).unwrap().unwrap();
        }
        bench.run(MINUTE);
        assert_eq!(bench.here(0, "plan"), bench.here(1, "plan"), "{wait} ms");
        assert!(!bench.events(0).iter().any(|event| matches!(event, Event::Ended(_))), "{wait} ms");
    }
}

/// R30 and the goal itself: what somebody may not read is in no frame to it, and nowhere in its state.
#[test]
fn who_may_not_read_gets_no_contents() {
    const MARK: &[u8] = b"the contents that m3 must not see";
    let all = [("secret-plan", Right::Change, &[("m3", Right::None)][..]), ("open", Right::Read, &[])];
    // Under this suite boxes are in the clear.
    let policy = Policy { objects: rules(&all), frame_limit: SMALL, ..Policy::default() };
    let config = EnclaveConfig { policy, ..EnclaveConfig::new(insecure_null()) };
    let mut bench = Bench::new(34, config, 3);
    let tape = shared(Recorder::default());
    bench.world.set_adversary(tape.clone());
    bench.puts(0, "secret-plan", None, &MARK.repeat(80)).unwrap();
    bench.puts(3, "secret-plan", None, &MARK.repeat(90)).unwrap();
    bench.puts(3, "open", None, b"for all").unwrap();
    let _ = bench.puts(2, "secret-plan", None, b"not allowed").unwrap_err();
    let has = |text: &[u8], what: &[u8]| text.windows(what.len()).any(|part| part == what);
    let tape = tape.borrow();
    let nodes = [bench.node(0), bench.node(1), bench.node(2)];
    let to = |at: usize| tape.frames.iter().filter(move |frame| frame.to == nodes[at].into());
    assert!(to(2).count() > 5);
    assert!(to(1).any(|frame| has(&frame.bytes, MARK)), "in the clear to who may read");
    assert!(to(1).any(|frame| has(&frame.bytes, b"secret-plan")));
    assert!(!to(2).any(|frame| has(&frame.bytes, MARK)));
    assert!(!to(2).any(|frame| has(&frame.bytes, b"secret-plan")), "not even its name");
    let state = |at: usize| {
        let mut state = Vec::new();
        bench.member(at).fingerprint(bench.world.now(), &mut state);
        state
    };
    assert!(has(&state(1), MARK));
    assert!(!has(&state(2), MARK));
    assert_eq!(bench.here(2, "secret-plan"), None);
    assert_eq!(bench.here(2, "open"), Some((3, Bytes::from_static(b"for all"))));
}

// ---- coming and going ----

#[test]
fn who_comes_back_gets_the_state_small_and_large() {
    let mut config = config(all_change(&["large", "small"]));
    config.limits.object_log_bytes = 8 << 20;
    let mut bench = Bench::new(40, config, 1);
    let large: Vec<u8> = (0..1_u32 << 20).map(|n| (n % 251) as u8).collect();
    for contents in [&b"overwritten"[..], b"small"] {
        bench.puts(1, "small", None, contents).unwrap();
    }
    bench.puts(0, "large", None, &large).unwrap();
    // It comes back with nothing, as a newcomer does.
    bench.world.with(bench.star.members[0], |member, cx| member.leave(cx)).unwrap().unwrap();
    bench.run(SECOND * 5);
    assert_eq!(bench.member(0).get(&name("small")), None, "objects end with the session");
    bench.puts(1, "small", None, b"while it was away").unwrap();
    let seen = bench.changes(0).len();
    bench.world.with(bench.star.members[0], |member, cx| member.join(cx)).unwrap().unwrap();
    bench.run(SECOND * 20);
    assert_eq!(bench.here(0, "large"), Some((3, Bytes::from(large))));
    assert_eq!(bench.here(0, "small"), Some((4, Bytes::from_static(b"while it was away"))));
    let versions: Vec<u64> = bench.changes(0)[seen..].iter().map(|(version, ..)| *version).collect();
    assert_eq!(versions, [3, 4], "the newest of each, by rising versions");
}

#[test]
fn a_change_goes_on_while_the_group_changes() {
    let mut config = config(all_change(&["plan"]));
    config.policy.frame_limit = SMALL;
    config.limits.object_puts = 1;
    let mut bench = Bench::new(41, config, 4);
    let number = bench.put(0, "plan", None, &[5; 60_000]).unwrap();
    bench.run(Duration::from_millis(30));
    assert_eq!(bench.answer(0, number), None, "in the middle");
    bench.world.with(bench.star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
    bench.world.with(bench.star.members[3], |member, cx| member.leave(cx)).unwrap().unwrap();
    let out = bench.cid(2);
    bench.world.with(bench.star.leader, |leader, cx| leader.eject(cx, out)).unwrap().unwrap();
    bench.run(SECOND * 20);
    assert!(matches!(bench.answer(0, number), Some(Ok(1))));
    assert_eq!(bench.here(1, "plan"), Some((1, Bytes::from(vec![5; 60_000]))));
    assert_eq!(bench.here(2, "plan"), None);
    assert!(bench.star.converged(&bench.world));
    // The one who asks goes in the middle: nothing changes, and the room is free again.
    bench.put(0, "plan", None, &[6; 60_000]).unwrap();
    bench.run(Duration::from_millis(30));
    let out = bench.cid(0);
    bench.world.with(bench.star.leader, |leader, cx| leader.eject(cx, out)).unwrap().unwrap();
    bench.run(SECOND * 5);
    assert!(bench.events(0).contains(&Event::Ended(Ending::ByLeader(EndReason::Ejected))));
    assert_eq!(bench.here(4, "plan").unwrap().0, 1);
    assert_eq!(bench.puts(1, "plan", Some(1), &[7; 2_000]), Ok(2));
}

// ---- bounds and hostile frames ----

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let config = config(all_change(&["plan"]));
    let most = config.limits.records;
    let mut bench = Bench::new(50, config, 1);
    let long = vec![0; MAX_OBJECT_BYTES as usize + 1];
    assert_eq!(bench.put(0, "plan", None, &long), Err(Misuse::TooLong.into()));
    assert_eq!(bench.put(1, "plan", None, &long), Err(Misuse::TooLong.into()));
    bench.world.set_adversary(DropMatching(|_: &InTransit, _: &Tables| true));
    let made = (0..most + 9).take_while(|_| bench.put(0, "plan", None, b"x").is_ok()).count();
    assert_eq!(made, most);
    assert_eq!(bench.put(0, "plan", None, b"x"), Err(Misuse::Unanswered.into()));
    bench.world.retire_adversary();
    bench.run(MINUTE);
    assert_eq!(bench.changes(1).len(), most, "they go out when the way is free again");
    bench.world.with(bench.star.leader, |leader, cx: &mut Cx<'_>| leader.close(cx)).unwrap().unwrap();
    bench.run(SECOND * 5);
    assert_eq!(bench.put(0, "plan", None, b"x"), Err(Misuse::NotJoined.into()));
    assert_eq!(bench.put(1, "plan", None, b"x"), Err(Misuse::Closed.into()));
}
