//! Keys that are old or used enough change, and a policy is followed by another while the group runs (RA §4.4).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

mod scene;

use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Cause, Causes, Ending, Event, Shortfall};
use sodality::group::{Check, Checks};
use sodality::identity::Version;
use sodality::policy::{Detection, Floor, Policy, Protection, Views};
use sodality::sim::Star;

use scene::{SECOND, Scene, config};

const NAMES: [&str; 3] = ["m1", "m2", "m3"];

fn group(policy: Policy, checks: Checks, floor: Floor) -> Scene {
    let mut config = config(policy, checks);
    config.floor = floor;
    Scene::settled(config, &NAMES)
}

fn change(scene: &mut Scene, policy: Policy) -> Result<(), CommandError> {
    scene.world.with(scene.star.leader, |leader, cx| leader.change_policy(cx, policy)).unwrap()
}

fn causes(scene: &Scene) -> Vec<Causes> {
    let events = scene.world.events(scene.star.leader).iter();
    events
        .filter_map(|event| match event {
            Event::Installed { causes, .. } => Some(*causes),
            _ => None,
        })
        .collect()
}

fn agree(scene: &Scene) {
    assert!(scene.star.converged(&scene.world));
    for member in &scene.star.members {
        let member = scene.world.get(*member).unwrap();
        assert_eq!(member.policy(), Some(scene.leader().policy()));
    }
}

/// RA §4.4, period: a key gets only so old.
#[test]
fn a_key_that_is_old_enough_changes() {
    let rekey_on = Policy::default().rekey_on.with(Cause::Period);
    let policy = Policy { rekey_on, key_lifetime: Some(SECOND * 30), ..Policy::default() };
    let mut scene = group(policy, Checks::ALL, Floor::default());
    let before = scene.leader().epoch().0;
    scene.run(SECOND * 95);
    assert_eq!(scene.leader().epoch().0, before + 3);
    assert!(causes(&scene).iter().rev().take(3).all(|causes| *causes == Causes::of(Cause::Period)));
    agree(&scene);
}

/// RA §4.4, messages and bytes: of all senders together, as the leader counts them; no faster than grace, and what falls
/// due meanwhile goes along.
#[test]
fn a_key_that_has_sealed_enough_changes() {
    let rekey_on = Policy::default().rekey_on.with(Cause::Messages).with(Cause::Bytes);
    let policy = Policy { rekey_on, key_messages: Some(4), key_bytes: Some(1000), ..Policy::default() };
    let mut scene = group(policy, Checks::ALL, Floor::default());
    scene.run(SECOND * 6);
    let before = scene.leader().epoch().0;
    for n in [0, 1, 9] {
        scene.say(n, format!("text of {n}").as_bytes()).unwrap();
        scene.run(SECOND);
    }
    assert_eq!(scene.leader().epoch().0, before, "three");
    scene.say(2, b"the fourth").unwrap();
    scene.run(SECOND);
    assert_eq!(scene.leader().epoch().0, before + 1);
    assert_eq!(causes(&scene).last(), Some(&Causes::of(Cause::Messages)));
    // Bytes, within grace of the last: the key waits, and the messages that come meanwhile are a cause as well.
    scene.run(SECOND * 2);
    scene.say(0, &[7; 1000]).unwrap();
    scene.run(SECOND / 2);
    assert_eq!(scene.leader().epoch().0, before + 1, "no faster than grace");
    for n in 0..3 {
        scene.say(1, &[n; 4]).unwrap();
        scene.run(SECOND / 10);
    }
    scene.run(SECOND * 3);
    assert_eq!(scene.leader().epoch().0, before + 2);
    assert_eq!(causes(&scene).last(), Some(&Causes::of(Cause::Messages).with(Cause::Bytes)));
    agree(&scene);
}

/// What the old key sealed does not count for the new one, and what does not open counts for none.
#[test]
fn strangers_and_replays_use_no_key_up() {
    let rekey_on = Policy::default().rekey_on.with(Cause::Messages);
    let mut scene =
        group(Policy { rekey_on, key_messages: Some(3), ..Policy::default() }, Checks::ALL, Floor::default());
    scene.run(SECOND * 6);
    let before = scene.leader().epoch();
    scene.say(0, b"text").unwrap();
    scene.run(SECOND);
    let text = scene.last("RA-D", scene.star.leader);
    for _ in 0..20 {
        assert_eq!(scene.inject(text.to_link, text.bytes.clone()), Some(Reason::Replayed));
    }
    scene.run(SECOND * 6);
    assert_eq!(scene.leader().epoch(), before);
}

/// RA §4.4: what is clear uses up no key, whoever says it.
#[test]
fn messages_in_clear_use_no_key_up() {
    for (protection, changes) in [(Protection::None, false), (Protection::Integrity, true)] {
        let rekey_on = Policy::default().rekey_on.with(Cause::Messages);
        let policy = Policy { rekey_on, key_messages: Some(3), protection, origin: false, ..Policy::default() };
        for speaker in [0, NAMES.len()] {
            let mut scene = group(policy.clone(), Checks::ALL, Floor::none());
            scene.run(SECOND * 6);
            let before = scene.leader().epoch();
            for n in 0..3 {
                scene.say(speaker, &[n; 5]).unwrap();
                scene.run(SECOND);
            }
            scene.run(SECOND * 6);
            assert_eq!(scene.leader().epoch() > before, changes, "{protection:?}, {speaker}");
        }
    }
}

/// RA §4.4: while sending stays with the key before, what the leader says uses up that one.
#[test]
fn what_the_leader_seals_under_the_key_before_does_not_count() {
    let rekey_on = Policy::default().rekey_on.with(Cause::Messages);
    let policy = Policy { rekey_on, key_messages: Some(3), ..Policy::default() };
    for (pause, changes) in [(SECOND / 10, false), (SECOND * 2, true)] {
        let mut scene = group(policy.clone(), Checks::ALL, Floor::none());
        scene.run(SECOND * 6);
        scene.rekey();
        scene.run(pause);
        let before = scene.leader().epoch();
        for n in 0..3 {
            scene.say(NAMES.len(), &[n; 5]).unwrap();
        }
        scene.run(SECOND * 8);
        assert_eq!(scene.leader().epoch() > before, changes, "{pause:?} after the install");
    }
}

/// RA §4.4: the policy of an epoch is the one that its facts name; everybody goes over with that epoch. Its text may get
/// lost as often as it likes.
#[test]
fn all_go_over_to_another_policy_together() {
    let mut scene = group(Policy::default(), Checks::ALL, Floor::none());
    let next = Policy {
        protection: Protection::Integrity,
        grace: SECOND * 2,
        detection: Some(Detection { period: SECOND * 2, misses: 2 }),
        ..Policy::default()
    };
    // The texts of the first two seconds are lost: blocks wait for them.
    scene.hold(|_, id| id == "RA-CL");
    change(&mut scene, next.clone()).unwrap();
    scene.run(SECOND * 2);
    assert_eq!(scene.leader().policy(), &next, "with the epoch, which nothing delayed");
    assert_eq!(scene.member(0).policy(), Some(&Policy::default()));
    assert_eq!(scene.member(0).label(), "held");
    scene.release();
    scene.run(SECOND * 10);
    agree(&scene);
    for node in scene.star.members.clone() {
        assert!(scene.told(node, &Event::PolicyChanged { version: Version(2) }));
    }
    assert!(causes(&scene).last().unwrap().contains(Cause::Policy));
    scene.say(0, b"under the new one").unwrap();
    scene.run(SECOND);
    assert_eq!(Star::heard(&scene.world, scene.star.members[1], b"under the new one"), 1);
    // It is the new pace that finds out who is silent.
    scene.world.crash(scene.star.members[2]).unwrap();
    scene.run(SECOND * 9);
    assert!(scene.leader().view().find_name(&scene::name("m3")).is_none());
}

/// Within grace of the last rekey the new policy waits; a newer one takes its place, and is the only one that ever rules.
#[test]
fn a_policy_that_waits_is_replaced_by_a_newer_one() {
    let mut scene = group(Policy::default(), Checks::ALL, Floor::none());
    scene.rekey();
    scene.run(SECOND / 2);
    change(&mut scene, Policy { grace: SECOND * 3, ..Policy::default() }).unwrap();
    scene.run(SECOND / 2);
    change(&mut scene, Policy { grace: SECOND * 4, ..Policy::default() }).unwrap();
    assert_eq!(scene.leader().policy(), &Policy::default());
    scene.run(SECOND * 10);
    assert_eq!(scene.leader().policy().grace, SECOND * 4);
    agree(&scene);
    assert!(scene.told(scene.star.members[0], &Event::PolicyChanged { version: Version(3) }));
    assert!(!scene.told(scene.star.members[0], &Event::PolicyChanged { version: Version(2) }));
}

/// An eviction does not wait for the policy, and takes it along.
#[test]
fn an_eviction_takes_a_waiting_policy_along() {
    let mut scene = group(Policy::default(), Checks::ALL, Floor::none());
    scene.rekey();
    scene.run(SECOND / 2);
    change(&mut scene, Policy { grace: SECOND * 3, ..Policy::default() }).unwrap();
    scene.leave(2);
    scene.run(SECOND * 2);
    assert_eq!(causes(&scene).last(), Some(&Causes::of(Cause::Leave).with(Cause::Policy)));
    agree_but(&scene, 2);
}

fn agree_but(scene: &Scene, gone: usize) {
    for (n, member) in scene.star.members.iter().enumerate().filter(|(n, _)| *n != gone) {
        let member = scene.world.get(*member).unwrap();
        assert!(member.is_current(), "{n}");
        assert_eq!(member.policy(), Some(scene.leader().policy()));
    }
}

/// A newcomer is offered the policy that rules, and goes over like the others; RA-J2 is built once (I-4).
#[test]
fn a_newcomer_in_the_middle_arrives_under_the_new_policy() {
    let mut scene = group(Policy::default(), Checks::ALL, Floor::none());
    scene.star.add_member(&mut scene.world, "m4").unwrap();
    scene.hold(|_, id| id == "RA-J2");
    scene.join(3);
    scene.run(SECOND);
    let next = Policy { protection: Protection::Confidentiality, ..Policy::default() };
    change(&mut scene, next).unwrap();
    scene.run(SECOND);
    scene.release();
    scene.run(SECOND * 12);
    agree(&scene);
    assert_eq!(scene.leader().view().members().len(), 5);
}

/// R23: who was away for two changes finds back to the newest, by one text.
#[test]
fn who_was_cut_off_for_two_changes_takes_the_newest() {
    let patient = Policy { detection: Some(Detection { period: SECOND * 5, misses: 9 }), ..Policy::default() };
    let mut scene = group(patient.clone(), Checks::ALL, Floor::none());
    scene.world.partition([scene.star.members[0]]).unwrap();
    for grace in [3, 4] {
        change(&mut scene, Policy { grace: SECOND * grace, ..patient.clone() }).unwrap();
        scene.run(SECOND * 6);
    }
    scene.world.heal();
    scene.run(SECOND * 20);
    agree(&scene);
    assert_eq!(scene.member(0).policy().unwrap().grace, SECOND * 4);
}

/// RA §4.4: a member whose floor the new policy breaks leaves, and says to its application what falls short.
#[test]
fn below_the_own_floor_a_member_leaves() {
    for (checks, stays) in [(Checks::ALL, false), (Checks::ALL.without(Check::PolicyFloor), true)] {
        let mut scene = group(Policy::default(), checks, Floor::default());
        change(&mut scene, Policy { protection: Protection::Integrity, ..Policy::default() }).unwrap();
        scene.run(SECOND * 4);
        let left = Event::Ended(Ending::BelowFloor(Shortfall::Protection));
        assert_eq!(scene.told(scene.star.members[0], &left), !stays);
        assert_eq!(scene.leader().view().members().len(), if stays { 4 } else { 1 });
    }
}

/// I-6: what was enough under the old policy is not under the new one.
#[test]
fn an_older_protection_is_refused_under_the_new_policy() {
    for checks in [Checks::ALL, Checks::ALL.without(Check::DataKind)] {
        let open = Policy { protection: Protection::None, origin: false, ..Policy::default() };
        let mut scene = group(open, checks, Floor::none());
        scene.say(0, b"in clear").unwrap();
        scene.run(SECOND);
        let clear = scene.last("RA-D", scene.star.members[1]);
        change(&mut scene, Policy { origin: false, ..Policy::default() }).unwrap();
        scene.run(SECOND * 12);
        let why = scene.inject(clear.to_link, clear.bytes.clone());
        // Its epoch is over. The header of the new one is public, though.
        assert_eq!(why, Some(Reason::OldEpoch));
        let epoch = scene.leader().epoch().0;
        let mut forged = scene::draft(&clear);
        scene::number(&mut forged, "epoch", |_| epoch);
        let why = scene.inject(clear.to_link, forged.frame());
        assert_eq!(why, if checks == Checks::ALL { Some(Reason::Protection) } else { None });
    }
}

/// What is fixed while a group runs, and what contradicts itself.
#[test]
fn some_changes_are_refused() {
    let mut scene = group(Policy::default(), Checks::ALL, Floor::none());
    let fixed = Err(Misuse::FixedPolicy.into());
    let usual = Policy::default();
    assert_eq!(change(&mut scene, Policy { views: Views::WithEachKey, ..usual.clone() }), fixed);
    assert_eq!(change(&mut scene, Policy { origin: false, ..usual.clone() }), fixed);
    assert_eq!(change(&mut scene, Policy { frame_limit: 1200, ..usual.clone() }), fixed);
    assert_eq!(change(&mut scene, Policy { settle: SECOND * 9, ..usual.clone() }), Err(Misuse::Policy.into()));
    // Members would read another policy than this, and here one that contradicts itself.
    let (grace, settle) = (SECOND + SECOND / 10_000 * 7, SECOND + SECOND / 10_000 * 2);
    assert_eq!(change(&mut scene, Policy { grace, settle, ..usual.clone() }), Err(Misuse::Policy.into()));
    scene.run(SECOND * 10);
    assert_eq!(scene.leader().policy(), &usual);
}

/// A policy that is told again, from this or an earlier session, is nothing.
#[test]
fn an_old_policy_does_not_come_back() {
    let mut scene = group(Policy::default(), Checks::ALL, Floor::none());
    change(&mut scene, Policy { protection: Protection::Integrity, ..Policy::default() }).unwrap();
    scene.run(SECOND * 10);
    let told = scene.frames("RA-CL", scene.star.members[0]);
    change(&mut scene, Policy::default()).unwrap();
    scene.run(SECOND * 10);
    for frame in &told {
        scene.refuses_again(frame, Reason::Replayed);
    }
    scene.leave(0);
    scene.run(SECOND * 2);
    scene.join(0);
    scene.run(SECOND * 8);
    let link = scene.frames("RA-CL", scene.star.members[0]).pop().unwrap().to_link;
    for frame in &told {
        assert_eq!(scene.inject(link, frame.bytes.clone()), Some(Reason::Unknown));
    }
    assert_eq!(scene.member(0).policy(), Some(&Policy::default()));
}

/// Detection is switched on and off: nobody is taken for dead by a measure that did not hold yet, and both sides find out
/// who is dead by the one that does.
#[test]
fn detection_may_come_and_go() {
    let off = Policy { detection: None, ..Policy::default() };
    let mut scene = group(off.clone(), Checks::ALL, Floor::none());
    scene.run(SECOND * 600);
    let quick = Policy { detection: Some(Detection { period: SECOND, misses: 2 }), ..Policy::default() };
    change(&mut scene, quick).unwrap();
    scene.run(SECOND * 30);
    agree(&scene);
    let gone = |event: &Event| matches!(event, Event::Ended(_) | Event::Suspected { .. });
    for node in scene.star.members.iter().map(|node| node.id).chain([scene.star.leader.id]) {
        assert!(!scene.world.events(node).iter().any(gone), "{}", scene.world.name(node));
    }
    change(&mut scene, off).unwrap();
    scene.run(SECOND * 600);
    agree(&scene);
}
