//! Rules of evidence, staleness and silence, each shown alone (RA §4.3).

use std::time::Duration;

use sodality::endpoint::Instant;
use sodality::error::{Misuse, Reason};
use sodality::event::{Ending, Event, Suspicion};
use sodality::group::Checks;
use sodality::policy::{OnSilence, Policy};
use sodality::sim::star::{Star, StarConfig};
use sodality::sim::{InTransit, NodeId, Tables};

use crate::forge::{Forge, get};
use crate::scene::{SECOND, SOON, Scene, config};

const MS: Duration = Duration::from_millis(1);
/// How finely events are timed here.
const STEP: Duration = Duration::from_millis(10);

/// Silence is reported, and nobody is removed for it.
fn reporting() -> StarConfig {
    config(Policy { on_silence: OnSilence::Report, ..Policy::default() }, Checks::ALL)
}

/// The polls of a member, oldest first.
fn polls(scene: &Scene, n: usize) -> Vec<InTransit> {
    let from = NodeId::from(scene.star.members[n]);
    scene.frames("RA-CM", scene.star.leader).into_iter().filter(|frame| frame.from == from).collect()
}

/// Runs until a node says so, and gives the time.
#[track_caller]
fn when(scene: &mut Scene, node: impl Into<NodeId>, within: Duration, said: impl Fn(&Event) -> bool) -> Instant {
    let (node, until) = (node.into(), scene.world.now() + within);
    let before = scene.world.events(node).len();
    while scene.world.now() < until {
        if scene.world.events(node)[before..].iter().any(&said) {
            return scene.world.now();
        }
        scene.run(STEP);
    }
    panic!("not within {within:?}: {:?}", &scene.world.events(node)[before..]);
}

#[track_caller]
fn about(at: Instant, expected: Instant) {
    assert!(at >= expected && at <= expected + STEP * 2, "at {at:?}, expected {expected:?}");
}

/// RA §4.3 probes: a member keeps the last misses + 2, and no more: what answers an older one proves nothing.
#[test]
fn a_member_keeps_misses_and_two_probes() {
    for (answered, counts) in [(1, false), (2, true)] {
        let mut scene = Scene::settled(reporting(), &["m1"]);
        let member = scene.star.members[0];
        let to = NodeId::from(member);
        let begun = polls(&scene, 0).len();
        let last_proof = polls(&scene, 0)[begun - 1].sent;
        scene.hold(move |frame, id| frame.to == to && id == "RA-CL");
        while polls(&scene, 0).len() < begun + 6 {
            scene.run(STEP);
        }
        let (asked, answers) = (polls(&scene, 0).split_off(begun), scene.tap.borrow().held.clone());
        let answer = &answers[answered - 1];
        assert_eq!(scene.inject(answer.to_link, answer.bytes.clone()), None);
        // Lost at twice T_max after the newest proof (RA §4.3 lost).
        let lost = when(&mut scene, member, SECOND * 40, |event| *event == Event::Ended(Ending::LeaderLost));
        about(lost, if counts { asked[answered - 1].sent } else { last_proof } + SECOND * 31);
    }
}

/// RA §4.3 polls: once a period, at most a tenth earlier; and at once after an install.
#[test]
fn a_member_polls_once_a_period_and_after_an_install() {
    let mut scene = Scene::settled(reporting(), &["m1"]);
    let begun = polls(&scene, 0).len();
    scene.run(SECOND * 60);
    let calm = polls(&scene, 0).split_off(begun);
    let gaps: Vec<_> = calm.windows(2).map(|pair| pair[1].sent.since(pair[0].sent)).collect();
    assert!(gaps.len() >= 11 && gaps.iter().all(|gap| *gap >= SECOND * 45 / 10 && *gap <= SECOND * 5), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap < SECOND * 5 - MS), "spread");
    let before = polls(&scene, 0).len();
    scene.rekey();
    scene.run(MS * 3);
    assert_eq!(polls(&scene, 0).len(), before + 1);
    assert_eq!(scene.leader().installed(scene.member(0).cid().unwrap()), Some(scene.leader().epoch()));
}

/// RA §4.3 polls: an RA-CL with a newer epoch and no box within an RTO is followed by a question, without waiting for the
/// next period.
#[test]
fn a_newer_epoch_without_its_box_is_asked_for_within_an_rto() {
    let forge = Forge::new();
    let mut scene = forge.joined(Policy::default(), &["m1", "m2"]);
    let to = NodeId::from(scene.star.members[0]);
    scene.hold(move |frame, id| frame.to == to && id == "RA-R");
    scene.rekey();
    let behind = when(&mut scene, to, SECOND * 6, |event| matches!(event, Event::Behind { .. }));
    let before = polls(&scene, 0).len();
    scene.run(SECOND / 2 + SOON);
    let asked = polls(&scene, 0).split_off(before);
    assert_eq!(asked.len(), 1, "after {behind:?}");
    let body = forge.body(&asked[0]);
    assert_eq!((get(&body, "flags"), get(&body, "epoch")), (1, scene.leader().epoch().0 - 1), "the key request");
}

/// RA §4.3 polls, RA §6 (16): a link that opens again is polled over; its closing was no leave.
#[test]
fn a_link_that_opens_again_is_polled_over() {
    let mut scene = Scene::settled(reporting(), &["m1"]);
    let (member, leader) = (scene.star.members[0], scene.star.leader);
    let version = scene.leader().view().version();
    let link = scene.world.links_between(member, leader)[0];
    let before = polls(&scene, 0).len();
    scene.world.reopen(link).unwrap();
    scene.run(MS * 5);
    assert!(polls(&scene, 0).len() > before);
    scene.run(SECOND * 6);
    assert_eq!(scene.leader().view().version(), version);
    scene.all_is_well();
}

/// RA §4.3 behind: it sends nothing, still delivers what opens, and its question brings the box.
#[test]
fn a_member_that_is_behind_delivers_and_does_not_send() {
    let mut scene = Scene::settled(reporting(), &["m1", "m2"]);
    let member = scene.star.members[0];
    let to = NodeId::from(member);
    scene.hold(move |frame, id| frame.to == to && matches!(id, "RA-D" | "RA-R"));
    scene.say(1, b"under the old key").unwrap();
    scene.run(SOON);
    scene.rekey();
    when(&mut scene, member, SECOND * 6, |event| matches!(event, Event::Behind { .. }));
    assert_eq!(scene.say(0, b"x"), Err(Misuse::NotCurrent.into()));
    let held = scene.release();
    let data = held.iter().find(|frame| Tables::default().id(&frame.bytes) == "RA-D").unwrap();
    assert_eq!(scene.inject(data.to_link, data.bytes.clone()), None);
    assert_eq!(Star::heard(&scene.world, member, b"under the old key"), 1);
    scene.run(SECOND * 6);
    assert!(scene.member(0).is_current());
}

/// RA §4.3 stale, RTO: at misses · period + the initial RTO after the last evidence; nothing is sent or delivered then,
/// polls go on, and the next evidence ends it.
#[test]
fn a_member_is_stale_at_t_max_and_recovers() {
    for rto in [Duration::from_millis(500), SECOND * 2] {
        let mut config = reporting();
        config.limits.retry.first = rto;
        let mut scene = Scene::settled(config, &["m1", "m2"]);
        let member = scene.star.members[0];
        let to = NodeId::from(member);
        let proof = polls(&scene, 0).last().unwrap().sent;
        scene.hold(move |frame, _| frame.to == to);
        scene.say(1, b"withheld").unwrap();
        let stale = when(&mut scene, member, SECOND * 30, |event| *event == Event::Stale);
        about(stale, proof + SECOND * 15 + rto);
        assert_eq!(scene.say(0, b"x"), Err(Misuse::NotCurrent.into()));
        let held = scene.tap.borrow().held.clone();
        let data = held.iter().find(|frame| Tables::default().id(&frame.bytes) == "RA-D").unwrap();
        scene.refuses(data.to_link, data.bytes.clone(), Reason::NotCurrent);
        let before = polls(&scene, 0).len();
        scene.run(SECOND * 6);
        assert!(polls(&scene, 0).len() > before, "it goes on polling");
        scene.release();
        when(&mut scene, member, SECOND * 6, |event| matches!(event, Event::Current { .. }));
        scene.say(0, b"back").unwrap();
    }
}

/// RA §4.3 silence: suspected at (misses + 1) · period + RTO after the last evidence, which is the sending of the oldest
/// own frame that was echoed; no box is repeated to it from then on, until it is heard again.
#[test]
fn a_silent_member_is_suspected_and_gets_each_box_once() {
    let mut scene = Scene::settled(reporting(), &["m1", "m2"]);
    let (leader, member) = (scene.star.leader, scene.star.members[0]);
    let cid = scene.member(0).cid().unwrap();
    scene.run(SECOND * 20);
    let from = NodeId::from(member);
    let heard = polls(&scene, 0).pop().unwrap();
    // The last poll echoes the answer to the one before.
    let echoed = scene.frames("RA-CL", member).into_iter().rfind(|answer| answer.sent < heard.sent).unwrap();
    scene.hold(move |frame, _| frame.from == from);
    let suspected =
        when(&mut scene, leader, SECOND * 30, |event| *event == Event::Suspected { cid, why: Suspicion::Silence });
    about(suspected, echoed.sent + SECOND * 41 / 2);
    let boxes = scene.frames("RA-R", member).len();
    scene.rekey();
    scene.run(SECOND * 12);
    assert_eq!(scene.frames("RA-R", member).len(), boxes + 1, "once, and not again");
    scene.release();
    // It is stale, or lost its leader: it asks, or joins, and is served.
    scene.run(SECOND * 6);
    assert!(scene.member(0).is_current(), "heard again");
}
