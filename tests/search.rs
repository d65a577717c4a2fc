//! Every order of frames, replays, timeouts and commands in a small group of the real machines, under the symbolic suite:
//! no attack as the machines stand, and the attack that a check is there for once it is switched off.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sodality::crypto::symbolic::symbolic;
use sodality::group::{Check, Checks, Limits, Retry};
use sodality::policy::{Detection, Policy};
use sodality::sim::model::{Action, Model, Move};
use sodality::sim::star::StarConfig;
use sodality::sim::{Bounds, Explored, search};

const ALL: [&str; 6] = ["RA-J1", "RA-J2", "RA-CM", "RA-CL", "RA-R", "RA-D"];

/// A group whose members poll often and repeat seldom, so that few timeouts reach far.
fn config(checks: Checks, grace: u64) -> StarConfig {
    let policy = Policy {
        grace: Duration::from_millis(grace),
        settle: Duration::from_millis(grace / 2),
        detection: Some(Detection { period: Duration::from_millis(1_000), misses: 3 }),
        ..Policy::default()
    };
    let retry = Retry { first: Duration::from_millis(4_000), ceiling: Duration::from_secs(8) };
    let limits = Limits { retry, checks, out_frames: 16, out_events: 64, ..Limits::default() };
    StarConfig { policy, limits, ..StarConfig::new(symbolic().silent()) }
}

fn run(name: &str, start: Model, bounds: Bounds) -> Explored<Action> {
    let setting = start.setting();
    let found = search(start, bounds);
    println!(
        "{name}: {} states, {} transitions, depth {}, {}; epoch {}, {} joined at once, {} deliveries, {} refusals",
        found.states,
        found.transitions,
        found.depth,
        if found.complete { "all of them" } else { "a bound ended it" },
        setting.epoch.load(Relaxed),
        setting.joined.load(Relaxed),
        setting.delivered.load(Relaxed),
        setting.refused.load(Relaxed),
    );
    if let Some(violation) = &found.violation {
        println!("  {}", violation.wrong);
        for (step, action) in violation.path.iter().enumerate() {
            println!("  {:>2}. {action:?}", step + 1);
        }
    }
    found
}

const TWO: [Move; 2] = [Move::Join(0), Move::Join(1)];

fn joining(checks: Checks) -> Model {
    Model::new(config(checks, 0), 2, &TWO).unwrap()
}

/// Two members have joined; then this happens.
fn joined(checks: Checks, grace: u64, then: &[Move]) -> Model {
    let script: Vec<_> = TWO.iter().chain(then).copied().collect();
    let model = Model::new(config(checks, grace), 2, &script).unwrap().played(2);
    assert!((0..2).all(|n| model.member(n).unwrap().is_current()), "both have joined");
    model
}

/// Most states of the larger searches: `SODALITY_STATES` for long ones.
fn bounds() -> Bounds {
    let states = std::env::var("SODALITY_STATES").ok().and_then(|states| states.parse().ok());
    Bounds { depth: 1_000, states: states.unwrap_or(6_000) }
}

const WIDE: Bounds = Bounds { depth: 1_000, states: 100_000 };

#[test]
fn one_join_with_replays_and_timeouts_is_sound() {
    let start = Model::new(config(Checks::ALL, 0), 1, &TWO[..1]).unwrap().allowing(1, &ALL, 1);
    let setting = start.setting();
    let found = run("one join", start, WIDE);
    assert_eq!(found.violation, None);
    assert!(found.complete && setting.joined.load(Relaxed) == 1 && setting.refused.load(Relaxed) > 0);
}

#[test]
fn two_joins_in_any_order_are_sound() {
    let start = joining(Checks::ALL).allowing(0, &ALL, 0);
    let setting = start.setting();
    let found = run("two joins", start, bounds());
    assert_eq!(found.violation, None);
    assert_eq!(setting.joined.load(Relaxed), 2);
    let start = joining(Checks::ALL).allowing(1, &["RA-J1", "RA-J2", "RA-CM"], 0);
    assert_eq!(run("two joins, one replay", start, bounds()).violation, None);
}

#[test]
fn data_in_any_order_with_two_replays_are_sound() {
    let start = joined(Checks::ALL, 0, &[Move::Say(0), Move::Say(1)]).allowing(2, &ALL, 0);
    let setting = start.setting();
    let found = run("data", start, WIDE);
    assert_eq!(found.violation, None);
    assert!(found.complete && setting.delivered.load(Relaxed) == 4, "each text at the leader and at the other member");
}

#[test]
fn a_rekey_and_a_leave_are_sound() {
    for (name, grace, then) in [
        ("rekey", 0, [Move::Rekey, Move::Say(0)]),
        ("rekey with grace", 2_000, [Move::Rekey, Move::Say(0)]),
        ("leave", 0, [Move::Leave(0), Move::Say(1)]),
        ("leave and join", 2_000, [Move::Leave(0), Move::Join(0)]),
    ] {
        let start = joined(Checks::ALL, grace, &then).allowing(1, &ALL, 2);
        let setting = start.setting();
        assert_eq!(run(name, start, bounds()).violation, None);
        assert!(setting.epoch.load(Relaxed) >= 4, "a new key has arrived");
    }
}

/// The same search with and without a check: sound with it, and without it the shortest attack.
fn needs(check: Check, then: &[Move], replayed: &[&'static str], timeouts: u32, goal: &str) {
    let name = format!("{check:?} ({}) on", check.source());
    let sound = run(&name, joined(Checks::ALL, 0, then).allowing(1, replayed, timeouts), WIDE);
    assert!(sound.complete && sound.violation.is_none(), "{sound:?}");
    let name = format!("{check:?} ({}) off", check.source());
    let found = run(&name, joined(Checks::ALL.without(check), 0, then).allowing(1, replayed, timeouts), WIDE);
    let violation = found.violation.expect("the attack wins without the check");
    assert!(violation.wrong.contains(goal), "{}", violation.wrong);
    assert!(violation.path.iter().any(|action| matches!(action, Action::Replay(_))), "{violation:?}");
}

#[test]
fn without_channel_numbers_an_old_poll_answer_hides_a_rekey() {
    needs(Check::ChannelNumber, &[Move::Rekey], &["RA-CL"], 1, "goes on with an older one");
}

#[test]
fn without_the_order_of_epochs_an_old_key_comes_back() {
    needs(Check::NewerEpoch, &[Move::Rekey, Move::Rekey], &["RA-R"], 0, "S5, A11");
}

#[test]
fn without_windows_a_text_is_delivered_twice() {
    needs(Check::DataNumber, &[Move::Say(0)], &["RA-D"], 0, "delivered twice");
}
