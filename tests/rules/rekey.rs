//! Rules of rekeying at the leader, each shown alone (RA §4.4).

use std::time::Duration;

use sodality::event::{Cause, Causes, Event};
use sodality::group::Checks;
use sodality::identity::{Epoch, MemberId, Version};
use sodality::policy::Policy;
use sodality::sim::{InTransit, NodeId};

use crate::forge::{Forge, get};
use crate::scene::{SECOND, SOON, Scene, config, draft, name, usual};

const MS: Duration = Duration::from_millis(1);

/// The epochs that the leader made, and why.
fn epochs(scene: &Scene) -> Vec<(Epoch, Causes)> {
    let made = |event: &Event| match event {
        Event::Installed { epoch, causes } => Some((*epoch, *causes)),
        _ => None,
    };
    scene.world.events(scene.star.leader).iter().filter_map(made).collect()
}

fn field(frame: &InTransit, field: &str) -> u64 {
    get(&draft(frame).clear, field)
}

fn of(causes: &[Cause]) -> Causes {
    causes.iter().fold(Causes::NONE, |causes, cause| causes.with(*cause))
}

/// RA §4 opening: G is drawn; view version 1 adds the leader; epoch 1 has the cause `open` and is its own floor.
#[test]
fn a_group_opens_with_its_leader_in_view_one_and_epoch_one() {
    let scene = Scene::open(usual(), &["m1"]);
    let leader = scene.leader();
    assert_eq!((leader.epoch(), leader.view().version()), (Epoch(1), Version(1)));
    let view: Vec<_> = leader.view().members().keys().copied().collect();
    assert_eq!(view, [MemberId::LEADER]);
    assert_eq!(leader.view().get(MemberId::LEADER).unwrap().name, name("lea"));
    let other = sodality::sim::star::leader_machine(
        &scene.star.config,
        &mut sodality::endpoint::Cx::new(scene.world.now(), &mut sodality::sim::SimRng::new(77)),
    );
    assert_ne!(other.unwrap().group(), leader.group());
    // The first newcomer, where joins do not rekey, is told of that epoch.
    let lax = Policy {
        rekey_on: Causes::of(Cause::Open).with(Cause::Leave),
        views: sodality::policy::Views::WithEachKey,
        ..Policy::default()
    };
    let mut scene = Scene::open(config(lax, Checks::ALL), &["m1"]);
    scene.join(0);
    scene.run(SECOND);
    let block = scene.last("RA-R", scene.star.members[0]);
    assert_eq!((field(&block, "epoch"), field(&block, "floor")), (1, 1));
    assert!(scene.told(scene.star.members[0], &Event::Installed { epoch: Epoch(1), causes: Causes::of(Cause::Open) }));
}

/// RA §4.4 triggers, pace: several causes that wait are one epoch, `grace` after the one before, whatever that one's cause.
#[test]
fn causes_that_wait_make_one_epoch_after_grace() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    scene.star.add_member(&mut scene.world, "m4").unwrap();
    scene.leave(0);
    scene.run(SOON);
    let began = scene.world.now();
    let before = epochs(&scene).len();
    scene.rekey();
    scene.join(2);
    scene.run(SECOND);
    scene.rekey();
    scene.run(SECOND * 5 - SOON - SECOND - MS * 10);
    assert_eq!(epochs(&scene).len(), before, "grace is not over");
    scene.run(SOON * 2);
    let made = epochs(&scene).split_off(before);
    assert_eq!(made.iter().map(|(_, causes)| *causes).collect::<Vec<_>>(), [of(&[Cause::Join, Cause::Command])]);
    scene.run(SECOND * 8);
    assert_eq!(epochs(&scene).len(), before + 1, "since {began:?}");
}

/// RA §4.4 evicting, pace: an evicting cause comes at once, takes along what waited, and makes its epoch the floor.
#[test]
fn an_evicting_cause_comes_at_once_and_takes_along_what_waited() {
    let mut scene = Scene::joined(Checks::ALL, 3);
    scene.rekey();
    scene.run(SOON);
    let floor = field(&scene.last("RA-R", scene.star.members[1]), "floor");
    scene.rekey();
    scene.run(SOON);
    let before = epochs(&scene).len();
    scene.leave(0);
    scene.run(SOON);
    let made = epochs(&scene).split_off(before);
    assert_eq!(made.iter().map(|(_, causes)| *causes).collect::<Vec<_>>(), [of(&[Cause::Leave, Cause::Command])]);
    assert!(made[0].1.evict());
    let block = scene.last("RA-R", scene.star.members[1]);
    assert_eq!((field(&block, "epoch"), field(&block, "floor")), (made[0].0.0, made[0].0.0));
    assert!(floor < made[0].0.0);
    // A plain one leaves the floor where it is, and waits again.
    scene.rekey();
    scene.run(SECOND * 5 - SOON * 2);
    assert_eq!(epochs(&scene).len(), before + 1);
    scene.run(SECOND);
    let plain = scene.last("RA-R", scene.star.members[1]);
    assert_eq!((field(&plain, "epoch"), field(&plain, "floor")), (made[0].0.0 + 1, made[0].0.0));
}

/// RA §4.4 L (1): what members are told of an epoch is one text, and never changes while boxes of it are sealed.
#[test]
fn an_epoch_has_one_text_for_all_and_for_ever() {
    let mut scene = Scene::joined(Checks::ALL, 3);
    let to = NodeId::from(scene.star.members[0]);
    scene.hold(move |frame, id| frame.to == to && id == "RA-R");
    scene.rekey();
    scene.run(SECOND * 4);
    let common = |frame: &InTransit| draft(frame).clear.find("common").unwrap().to_bytes();
    let mut texts = std::collections::BTreeSet::new();
    for n in 0..3 {
        let frames = scene.frames("RA-R", scene.star.members[n]);
        let newest = scene.leader().epoch().0;
        texts.extend(frames.iter().filter(|frame| field(frame, "epoch") == newest).map(common));
    }
    assert_eq!(texts.len(), 1);
}

/// RA §4.4 L (2), (3): point to point each member gets its own box; who does not show the epoch gets the same bytes again,
/// from an RTO on, and the others do not.
#[test]
fn a_box_is_repeated_to_who_does_not_show_the_epoch() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let (first, second) = (scene.star.members[0], scene.star.members[1]);
    let from = NodeId::from(first);
    let before = [first, second].map(|member| scene.frames("RA-R", member).len());
    // It installs; that it did is not heard.
    scene.hold(move |frame, id| frame.from == from && id == "RA-CM");
    scene.rekey();
    scene.run(SECOND * 8);
    let [mine, other] = [(first, before[0]), (second, before[1])]
        .map(|(member, before)| scene.frames("RA-R", member).split_off(before));
    assert_eq!(other.len(), 1);
    assert!(mine.len() >= 4 && mine.iter().all(|frame| frame.bytes == mine[0].bytes));
    let gaps: Vec<_> = mine.windows(2).map(|pair| pair[1].sent.since(pair[0].sent)).collect();
    for (gap, least) in gaps.iter().zip([500, 1000, 2000].map(Duration::from_millis)) {
        assert!(*gap >= least && *gap <= least * 11 / 10 + MS, "{gaps:?}");
    }
    for (frames, n) in [(&mine, 0), (&other, 1)] {
        let blocks = draft(&frames[0]).clear.find("blocks").unwrap().clone();
        let cid = scene.member(n).cid().unwrap();
        assert_eq!(get(&blocks, "cid"), cid.0);
    }
    let sent = mine.len();
    scene.release();
    scene.run(SECOND * 6);
    let end = scene.frames("RA-R", first).len() - before[0];
    scene.run(SECOND * 10);
    assert!(end >= sent);
    assert_eq!(scene.frames("RA-R", first).len() - before[0], end, "it shows the epoch now");
}

/// RA §6 (10): a change while a rekey is being repeated is one more epoch; the older one is not sent any more.
#[test]
fn a_change_during_a_rekey_ends_its_repetition() {
    let mut scene = Scene::joined(Checks::ALL, 3);
    let member = scene.star.members[0];
    let to = NodeId::from(member);
    scene.hold(move |frame, id| frame.to == to && id == "RA-R");
    scene.rekey();
    scene.run(SECOND);
    let older = scene.leader().epoch();
    scene.leave(2);
    scene.run(SOON);
    let newer = scene.leader().epoch();
    assert_eq!(Some(newer), older.next());
    let before = scene.frames("RA-R", member).len();
    scene.run(SECOND * 8);
    let later = scene.frames("RA-R", member).split_off(before);
    assert!(!later.is_empty() && later.iter().all(|frame| field(frame, "epoch") == newer.0));
    scene.release();
    scene.run(SECOND * 10);
    assert_eq!(scene.member(0).epoch(), newer);
}

/// RA §2 nonces: RA-CL and RA-CM count from 1, data of a key from 0, and no frame of a direction has the number of another.
#[test]
fn numbers_count_from_where_the_specification_says() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    for n in 0..2 {
        let from = NodeId::from(scene.star.members[n]);
        let up = scene.frames("RA-CM", scene.star.leader).into_iter().filter(|frame| frame.from == from);
        let up: Vec<_> = up.map(|frame| field(&frame, "n")).collect();
        let down: Vec<_> = scene.frames("RA-CL", from).iter().map(|frame| field(frame, "n")).collect();
        for numbers in [up, down] {
            assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
        }
    }
    let other = scene.star.members[1];
    for epoch in 0..2u8 {
        for counter in 0..3u8 {
            scene.say(0, &[epoch, counter]).unwrap();
            scene.run(SOON);
            assert_eq!(field(&scene.last("RA-D", other), "counter"), u64::from(counter), "epoch {epoch}");
        }
        scene.rekey();
        scene.run(SECOND * 6);
    }
}

/// RA §4.3 again: RA-R before RA-CL and RA-R after RA-CL come to the same.
#[test]
fn the_order_of_box_and_answer_makes_no_difference() {
    let outcome = |box_first: bool| {
        let forge = Forge::new();
        let mut scene = forge.joined(Policy::default(), &["m1", "m2"]);
        let to = NodeId::from(scene.star.members[0]);
        scene.hold(move |frame, id| frame.to == to && matches!(id, "RA-R" | "RA-CL"));
        scene.rekey();
        // Until the answer to a poll that came after the rekey is held.
        let answer = |scene: &Scene| {
            let held = scene.tap.borrow().held.clone();
            held.into_iter().find(|frame| draft(frame).info.id == "RA-CL")
        };
        while answer(&scene).is_none() {
            scene.run(MS);
        }
        let answer = answer(&scene).unwrap();
        let block = scene.last("RA-R", to);
        let order = if box_first { [&block, &answer] } else { [&answer, &block] };
        for frame in order {
            assert_eq!(scene.inject(frame.to_link, frame.bytes.clone()), None);
        }
        let member = scene.member(0);
        (member.epoch(), member.is_current(), member.evidence_until())
    };
    assert_eq!(outcome(true), outcome(false));
    assert!(outcome(true).1);
}
