//! Rules of a member's keys, each shown alone (RA §4.4): what a box needs, what it ends, and what waits for it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sodality::endpoint::{Endpoint, Wake};
use sodality::error::{Misuse, Reason};
use sodality::event::Event;
use sodality::identity::Epoch;
use sodality::policy::{Policy, Views};
use sodality::sim::star::Star;
use sodality::sim::{InTransit, NodeId};

use crate::forge::{Forge, get};
use crate::scene::{SECOND, SOON, Scene, draft, number, number_in, usual};

const MS: Duration = Duration::from_millis(1);

fn epoch_of(frame: &InTransit) -> u64 {
    get(&draft(frame).clear, "epoch")
}

fn installed(scene: &Scene, node: impl Into<NodeId>) -> Vec<u64> {
    let epoch = |event: &Event| match event {
        Event::Installed { epoch, .. } => Some(epoch.0),
        _ => None,
    };
    scene.world.events(node).iter().filter_map(epoch).collect()
}

/// A message of another epoch, which anybody can write.
fn of_epoch(frame: &InTransit, epoch: u64, counter: u64) -> Bytes {
    let mut made = draft(frame);
    number(&mut made, "epoch", |_| epoch);
    number(&mut made, "counter", |_| counter);
    made.frame()
}

/// RA §4.4 A on RA-R (2): a frame without one's own number is ignored.
#[test]
fn a_box_for_somebody_else_is_ignored() {
    let mut scene = Scene::settled(usual(), &["m1", "m2"]);
    let link = scene.last("RA-R", scene.star.members[0]).to_link;
    let to = NodeId::from(scene.star.members[0]);
    scene.hold(move |frame, id| frame.to == to && id == "RA-R");
    scene.rekey();
    scene.run(SOON);
    let other = scene.last("RA-R", scene.star.members[1]);
    scene.refuses(link, other.bytes, Reason::Unknown);
}

/// RA §4.4 A on RA-R (3): a floor above the epoch itself is refused, though the box opens.
#[test]
fn a_floor_above_its_epoch_is_refused() {
    let forge = Forge::new();
    let mut scene = forge.joined(Policy::default(), &["m1", "m2"]);
    let to = NodeId::from(scene.star.members[0]);
    scene.hold(move |frame, id| frame.to == to && id == "RA-R");
    scene.rekey();
    scene.run(SOON);
    let block = scene.last("RA-R", to);
    let raised = forge.forge_clear(&block, |clear| {
        let epoch = get(clear, "epoch");
        number_in(clear.find_mut("common").unwrap(), "floor", |_| epoch + 1);
    });
    scene.refuses(block.to_link, raised, Reason::Violation);
    // The true one is taken: it is the floor that was wrong.
    assert_eq!(scene.inject(block.to_link, block.bytes.clone()), None);
    assert_eq!(scene.member(0).epoch(), scene.leader().epoch());
}

/// RA §4.4 A on RA-R (1), (3), (4), jump: what is below the floor is wiped though the install has to wait; only the newest
/// box is held; what is missing is asked for at once; what was missed is jumped over.
#[test]
fn the_floor_wipes_while_the_newest_box_waits() {
    let mut scene = Scene::settled(usual(), &["m1", "m2", "m3", "m4", "m5"]);
    let member = scene.star.members[0];
    let to = NodeId::from(member);
    let old = scene.member(0).epoch();
    scene.hold(move |frame, id| frame.to == to && matches!(id, "RA-R" | "RA-CL"));
    for gone in [2, 3, 4] {
        scene.leave(gone);
        scene.run(SOON / 4);
    }
    let blocks: Vec<_> = (1..4)
        .map(|on| scene.frames("RA-R", member).into_iter().find(|frame| epoch_of(frame) == old.0 + on).unwrap())
        .collect();
    let asked = scene.frames("RA-CM", scene.star.leader).len();
    assert_eq!(scene.inject(blocks[1].to_link, blocks[1].bytes.clone()), None);
    assert!(scene.told(member, &Event::Erased { epoch: old }), "at once");
    assert_eq!(scene.member(0).epoch(), old, "nothing newer is installed");
    assert_eq!(scene.say(0, b"x"), Err(Misuse::NotCurrent.into()));
    assert_eq!(scene.frames("RA-CM", scene.star.leader).len(), asked + 1, "asked for what is missing");
    // The one before fits the view here, and is too old all the same.
    scene.refuses_again(&blocks[0], Reason::Replayed);
    assert_eq!(scene.inject(blocks[2].to_link, blocks[2].bytes.clone()), None);
    scene.refuses_again(&blocks[1], Reason::Replayed);
    let before = installed(&scene, member).len();
    scene.release();
    scene.run(SECOND * 3);
    assert_eq!(installed(&scene, member).split_off(before), [old.0 + 3]);
    assert!(scene.member(0).is_current());
}

/// RA §4.5 with each key, exact: in the one class an install does not wait for the view, in the other it does.
#[test]
fn an_install_waits_for_the_view_in_class_exact_only() {
    for (views, waits) in [(Views::WithEachKey, false), (Views::BestEffort, false), (Views::Exact, true)] {
        let mut scene = Scene::under(Policy { views, ..Policy::default() }, &["m1", "m2", "m3", "m4"]);
        let member = scene.star.members[0];
        let to = NodeId::from(member);
        let old = scene.member(0).epoch();
        scene.hold(move |frame, id| frame.to == to && matches!(id, "RA-R" | "RA-CL"));
        scene.leave(2);
        scene.run(SOON / 4);
        scene.leave(3);
        scene.run(SOON);
        let newest = scene.last("RA-R", member);
        assert_eq!(scene.inject(newest.to_link, newest.bytes), None);
        assert_eq!(scene.member(0).epoch(), if waits { old } else { Epoch(old.0 + 2) }, "{views:?}");
    }
}

/// RA §4.4 grace: an old key that is not below the floor opens for `grace` after the install, and no longer.
#[test]
fn an_old_key_opens_for_grace() {
    let mut scene = Scene::settled(usual(), &["m1", "m2"]);
    let to = NodeId::from(scene.star.members[1]);
    scene.hold(move |frame, id| frame.to == to && id == "RA-D");
    for text in [b"1", b"2"] {
        scene.say(0, text).unwrap();
    }
    scene.run(SOON);
    let held = scene.release();
    let old = scene.member(1).epoch();
    scene.rekey();
    scene.run(SECOND * 5 - MS * 5);
    assert_eq!(scene.inject(held[0].to_link, held[0].bytes.clone()), None);
    scene.run(MS * 10);
    scene.refuses_again(&held[1], Reason::OldEpoch);
    assert!(scene.told(to, &Event::Erased { epoch: old }));
}

/// RA §4.4 settle: sending moves to the next epoch after `settle`, and at once to one that is not the next.
#[test]
fn sending_moves_after_settle_and_at_once_after_a_gap() {
    let mut scene = Scene::settled(usual(), &["m1", "m2"]);
    let (leader, to) = (scene.star.leader, NodeId::from(scene.star.members[0]));
    let said = |scene: &mut Scene, text: &[u8]| {
        scene.say(0, text).unwrap();
        epoch_of(&scene.last("RA-D", leader))
    };
    let old = scene.member(0).epoch().0;
    scene.rekey();
    scene.run(MS * 5);
    assert_eq!(scene.member(0).epoch().0, old + 1);
    assert_eq!(said(&mut scene, b"at once"), old);
    scene.run(SECOND - MS * 10);
    assert_eq!(said(&mut scene, b"just before"), old);
    scene.run(MS * 10);
    assert_eq!(said(&mut scene, b"just after"), old + 1);
    // The leader too (RA §4.4: it seals by the same rule).
    scene.run(SECOND * 6);
    scene.rekey();
    scene.run(MS * 5);
    scene.say(9, b"from the leader").unwrap();
    assert_eq!(epoch_of(&scene.last("RA-D", to)), old + 1);
    scene.run(SECOND);
    scene.say(9, b"from the leader, later").unwrap();
    assert_eq!(epoch_of(&scene.last("RA-D", to)), old + 2);
    // One epoch is missed.
    scene.run(SECOND * 5);
    scene.hold(move |frame, id| frame.to == to && id == "RA-R");
    scene.rekey();
    scene.run(MS * 5);
    scene.rekey();
    scene.run(SECOND * 5);
    let newest = scene.last("RA-R", to);
    assert_eq!(epoch_of(&newest), old + 4);
    assert_eq!(scene.inject(newest.to_link, newest.bytes), None);
    scene.release();
    scene.run(MS * 5);
    assert_eq!(said(&mut scene, b"after a gap"), old + 4);
}

/// RA §4.4 early: frames of a key to come wait in a buffer of bounded number and bytes; a full one takes no more. At the
/// leader nothing is early.
#[test]
fn early_frames_are_bounded_and_a_leader_keeps_none() {
    for (bytes, most) in [(256 * 1024, 64), (1000, 0)] {
        let mut config = usual();
        config.limits.early_bytes = bytes;
        let mut scene = Scene::settled(config, &["m1", "m2"]);
        scene.say(1, b"a text to copy").unwrap();
        scene.run(SOON);
        let (frame, up) = (scene.last("RA-D", scene.star.members[0]), scene.last("RA-D", scene.star.leader));
        let epoch = scene.leader().epoch().0 + 1;
        let most = if most == 0 { bytes / frame.bytes.len() } else { most };
        for n in 0..70 {
            let refused = scene.inject(frame.to_link, of_epoch(&frame, epoch, n));
            assert_eq!(refused, if (n as usize) < most { None } else { Some(Reason::EarlyOverflow) }, "{n} of {most}");
        }
        scene.refuses(up.to_link, of_epoch(&up, epoch, 0), Reason::NoSuchEpoch);
        // At the next install that is higher than theirs they are given up, and there is room again.
        scene.rekey();
        scene.run(SECOND * 6);
        assert_eq!(scene.inject(frame.to_link, of_epoch(&frame, epoch + 1, 0)), None);
    }
}

/// RA §4.4 early: before A's first evidence every epoch is early, also the one that is installed.
#[test]
fn before_the_first_evidence_everything_is_early() {
    let mut scene = Scene::under(Policy { views: Views::WithEachKey, ..Policy::default() }, &["m1"]);
    let newcomer = scene.star.add_member(&mut scene.world, "m2").unwrap();
    let to = NodeId::from(newcomer);
    scene.hold(move |frame, id| frame.to == to && id == "RA-CL");
    scene.join(1);
    scene.run(SECOND * 2);
    let epoch = scene.leader().epoch();
    assert_eq!((scene.member(1).epoch(), scene.member(1).is_current()), (epoch, false));
    scene.say(0, b"to the newcomer").unwrap();
    scene.run(SOON);
    assert_eq!(epoch_of(&scene.last("RA-D", newcomer)), epoch.0);
    assert_eq!(Star::heard(&scene.world, newcomer, b"to the newcomer"), 0);
    scene.release();
    scene.run(SECOND * 8);
    assert!(scene.member(1).is_current());
    assert_eq!(Star::heard(&scene.world, newcomer, b"to the newcomer"), 1);
}

/// RA §4.4 ripe: after an install a few are opened in each call, and the machine asks to be called at once; what is of a
/// higher epoch still is given up at that install.
#[test]
fn early_frames_are_opened_a_few_at_a_time() {
    let mut scene = Scene::under(Policy { settle: Duration::ZERO, ..Policy::default() }, &["m1", "m2"]);
    let member = scene.star.members[0];
    let to = NodeId::from(member);
    scene.hold(move |frame, id| frame.to == to && matches!(id, "RA-R" | "RA-CL"));
    scene.rekey();
    scene.run(SOON);
    for n in 0..20u8 {
        scene.say(1, &[n]).unwrap();
    }
    scene.run(SOON);
    let frame = scene.last("RA-D", member);
    let later = of_epoch(&frame, scene.leader().epoch().0 + 1, 0);
    assert_eq!(scene.inject(frame.to_link, later), None);
    let block = scene.last("RA-R", member);
    let calls = scene.world.with(member, |member, cx| {
        member.handle_frame(cx, block.to_link, BytesMut::from(&*block.bytes)).unwrap();
        let mut said: Vec<_> = std::iter::from_fn(|| member.poll_event()).collect();
        let given_up = |event: &Event| matches!(event, Event::Rejected { why: Reason::EarlyEpoch, .. });
        assert_eq!(said.iter().filter(|event| given_up(event)).count(), 1);
        let mut calls = Vec::new();
        while matches!(member.poll_timeout(), Wake::Now(_)) {
            member.handle_timeout(cx).unwrap();
            while member.poll_transmit(cx).is_some() {}
            said = std::iter::from_fn(|| member.poll_event()).collect();
            calls.push(said.iter().filter(|event| matches!(event, Event::Data(_))).count());
        }
        calls
    });
    let calls: Vec<_> = calls.unwrap().into_iter().filter(|count| *count > 0).collect();
    assert_eq!(calls, [8, 8, 4]);
}
