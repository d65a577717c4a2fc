//! Where ejections, removals for silence, changes of policy and the close of a group meet (RA §4.2 to §4.6; R30, R45).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

mod scene;

use std::time::Duration;

use sodality::antigone::Member;
use sodality::event::{Ending, Event, Suspicion};
use sodality::group::{Check, Checks};
use sodality::identity::MemberId;
use sodality::policy::{EjectRequests, OnSilence, Policy};
use sodality::sim::{Failing, Moment, NodeId};

use scene::{SECOND, Scene, T_MAX, config};

/// A group whose leader has room for no answer at all.
fn cramped(names: usize, events: usize) -> Scene {
    let policy = Policy { eject_requests: EjectRequests::Asked, ..Policy::default() };
    let mut config = config(policy, Checks::ALL);
    (config.limits.records, config.limits.out_events) = (0, events);
    let mut scene = Scene::open(config, &[]);
    scene.star.config.limits.records = 16;
    for n in 1..=names {
        scene.star.add_member(&mut scene.world, &format!("m{n}")).unwrap();
    }
    scene.settle();
    scene
}

fn request(scene: &mut Scene, asker: usize, target: MemberId) {
    let words = format!("eject {target}");
    let asked = scene.world.command(scene.star.members[asker], &words, |m, cx| m.request_ejection(cx, target));
    asked.unwrap().unwrap();
}

fn suspected(scene: &Scene, cid: MemberId, why: Suspicion) -> bool {
    scene.told(scene.star.leader, &Event::Suspected { cid, why })
}

/// All have answered, each in its own way: the leader knows without waiting for T_end.
#[test]
fn a_leave_that_crosses_the_close_is_an_answer() {
    let mut scene = Scene::under(Policy::default(), &["m1"]);
    scene.leave(0);
    scene.world.with(scene.star.leader, |leader, cx| leader.close(cx)).unwrap().unwrap();
    scene.run(SECOND * 2);
    assert!(scene.told(scene.star.leader, &Event::Ended(Ending::Closed)));
}

/// Whom the old policy only reported, the new one removes.
#[test]
fn a_policy_that_removes_looks_back() {
    let report = Policy { on_silence: OnSilence::Report, ..Policy::default() };
    let mut scene = Scene::under(report.clone(), &["m1", "m2"]);
    let dead = scene.member(0).cid().unwrap();
    scene.world.crash(scene.star.members[0]).unwrap();
    scene.run(SECOND * 30);
    assert!(suspected(&scene, dead, Suspicion::Silence));
    assert!(scene.leader().view().contains(dead));
    let remove = Policy { on_silence: OnSilence::Remove, ..report };
    scene.world.with(scene.star.leader, |leader, cx| leader.change_policy(cx, remove)).unwrap().unwrap();
    scene.run(SECOND * 2);
    assert!(!scene.leader().view().contains(dead));
}

/// The removal fails for want of randomness, and meanwhile the member falls silent for good: the leader waits for its
/// surroundings and does not spin.
#[test]
fn a_removal_that_fails_is_tried_again_in_peace() {
    // With a check off that plays no part here there are no checkers: one of them wants to hear that the member is silent,
    // and who is condemned for its key is not reported again.
    let checks = Checks::ALL.without(Check::ProvenLink);
    let mut scene = Scene::settled(config(Policy::default(), checks), &["m1", "m2"]);
    let cid = scene.member(0).cid().unwrap();
    let (node, leader): (NodeId, NodeId) = (scene.star.members[0].into(), scene.star.leader.into());
    scene.hold(move |frame, id| frame.to == node && id == "RA-R");
    scene.rekey();
    scene.run(T_MAX * 3 - SECOND * 2);
    scene.world.entropy(leader).unwrap().set(Failing::From(0));
    scene.run(SECOND * 6);
    assert!(suspected(&scene, cid, Suspicion::KeyNotTaken));
    assert!(scene.leader().view().contains(cid));
    scene.world.crash(scene.star.members[0]).unwrap();
    // A machine that spins stops the world.
    scene.run(SECOND * 60);
    scene.world.entropy(leader).unwrap().set(Failing::Never);
    scene.run(SECOND * 2);
    assert!(!scene.leader().view().contains(cid));
}

/// Old frames of a member that is to be removed for its key change nothing about it.
#[test]
fn an_old_echo_of_a_condemned_member_makes_no_work() {
    let mut scene = Scene::under(Policy::default(), &["m1", "m2"]);
    let cid = scene.member(0).cid().unwrap();
    let (node, leader): (NodeId, NodeId) = (scene.star.members[0].into(), scene.star.leader.into());
    scene.hold(move |frame, id| frame.to == node && id == "RA-R");
    scene.rekey();
    scene.run(Duration::from_millis(25_000));
    let keys = move |to: NodeId, id: &str| to == node && id == "RA-R";
    scene.hold(move |frame, id| keys(frame.to, id) || (frame.from == node && frame.to == leader));
    for _ in 0..4_000 {
        scene.run(Duration::from_millis(10));
        let held = std::mem::take(&mut scene.tap.borrow_mut().held);
        if suspected(&scene, cid, Suspicion::KeyNotTaken) || suspected(&scene, cid, Suspicion::Silence) {
            for frame in held.iter().filter(|frame| frame.from == node) {
                scene.inject(frame.to_link, frame.bytes.clone());
            }
        } else {
            scene.tap.borrow_mut().held = held;
        }
    }
    assert!(!scene.leader().view().contains(cid));
}

/// The going of one may show that another takes no answers: it goes as well (R30).
#[test]
fn an_overflow_that_a_removal_brings_to_light_is_not_forgotten() {
    let mut scene = cramped(3, 1024);
    let (asker, target) = (scene.member(0).cid().unwrap(), scene.member(1).cid().unwrap());
    request(&mut scene, 0, target);
    scene.run(SECOND);
    scene.world.crash(scene.star.members[1]).unwrap();
    scene.run(SECOND * 45);
    assert!(!scene.leader().view().contains(target));
    assert!(suspected(&scene, asker, Suspicion::RecordsPileUp));
    assert!(!scene.leader().view().contains(asker));
}

/// Many are found out in one turn: their events find room, and the machine goes on (R45).
#[test]
fn many_overflows_at_once_have_room() {
    let mut scene = cramped(13, 16);
    let target = scene.member(0).cid().unwrap();
    for n in 1..=12 {
        request(&mut scene, n, target);
    }
    scene.run(SECOND * 61);
    let askers = (1..=12).filter(|n| {
        let node = scene.star.members[*n];
        scene.world.get(node).is_some_and(Member::is_idle)
    });
    assert_eq!(askers.count(), 12, "all are out");
}

/// Whoever asks again at each answer gets answers at a bounded rate, and policy and view all the same (RA §4.2).
#[test]
fn asking_on_and_on_starves_nothing() {
    let mut scene = Scene::under(Policy::default(), &["m1", "m2"]);
    let (target, m1) = (scene.member(1).cid().unwrap(), scene.star.members[0]);
    let asks = move |member: &mut Member, cx: &mut sodality::endpoint::Cx<'_>, moment: Moment<'_>| {
        if let Moment::Event(Event::EjectionAnswered { .. }) = moment {
            let _ = member.request_ejection(cx, target);
        }
    };
    scene.world.set_app(m1, asks).unwrap();
    request(&mut scene, 0, target);
    request(&mut scene, 0, target);
    scene.run(SECOND);
    let next = Policy { grace: SECOND * 4, ..Policy::default() };
    scene.world.with(scene.star.leader, |leader, cx| leader.change_policy(cx, next)).unwrap().unwrap();
    scene.run(SECOND * 10);
    assert!(scene.member(0).is_current() && scene.member(0).epoch() == scene.leader().epoch());
    let answers = scene.world.events(m1).iter().filter(|event| matches!(event, Event::EjectionAnswered { .. })).count();
    println!("{answers} answers in 11 s");
    assert!((20..=250).contains(&answers), "{answers}");
}
