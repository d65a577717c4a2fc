//! The adversary against the repaired edition, with recorded, withheld and made-up frames: each attack by its id, the
//! reason by which it is refused, and that nothing but counters has changed (S10). Where a check can be left out, the
//! attack wins without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "scene/mod.rs"]
mod scene;

use bytes::BytesMut;
use sodality::antigone::Member;
use sodality::endpoint::{Cx, Endpoint};
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Ending, Event, Suspicion};
use sodality::fingerprint::Fingerprint;
use sodality::group::{Check, Checks};
use sodality::identity::MemberId;
use sodality::policy::{OnSilence, Policy, Protection};
use sodality::sim::star::Star;
use sodality::sim::{InTransit, Mixer, Node, NodeId, SimRng, Tables};

use scene::{SECOND, SOON, Scene, T_MAX, config, draft, number, number_in, strangers_link};

// ---- data ----

#[test]
fn a1_replayed_data_is_refused_by_its_number_and_then_by_its_key() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    scene.say(0, b"once").unwrap();
    scene.run(SOON);
    let (leader, other) = (scene.star.leader, scene.star.members[1]);
    let copies = [scene.last("RA-D", leader), scene.last("RA-D", other)];
    for copy in &copies {
        scene.refuses_again(copy, Reason::Replayed);
    }
    scene.rekey();
    scene.run(SOON);
    for copy in &copies {
        scene.refuses_again(copy, Reason::Replayed);
    }
    scene.run(SECOND * 6);
    for copy in &copies {
        scene.refuses_again(copy, Reason::OldEpoch);
    }
    assert_eq!(Star::heard(&scene.world, other, b"once"), 1);

    let mut scene = Scene::joined(Checks::ALL.without(Check::DataNumber), 2);
    scene.say(0, b"once").unwrap();
    scene.run(SOON);
    let copy = scene.last("RA-D", other);
    assert_eq!(scene.inject(copy.to_link, copy.bytes), None);
    assert_eq!(Star::heard(&scene.world, other, b"once"), 2, "without the window the replay is delivered");
}

#[test]
fn a15_who_left_opens_and_says_nothing_more() {
    let mut scene = Scene::joined(Checks::ALL, 3);
    scene.say(0, b"before").unwrap();
    scene.hold(|_, id| id == "RA-D");
    scene.say(0, b"withheld until it has left").unwrap();
    scene.leave(0);
    scene.run(SOON);
    let held = scene.release();
    // The evicting rekey ends the old key at once: grace is for plain ones.
    scene.refuses_again(&held[0], Reason::EvictedEpoch);
}

/// X12, R21: a member that missed an epoch holds the next block until it has the view; what comes under that key waits, and
/// keeps nobody awake.
#[test]
fn x12_early_frames_wait_while_a_block_is_held() {
    let mut scene = Scene::settled(config(Policy::default(), Checks::ALL), &["m1", "m2", "m3", "m4"]);
    let (lagging, epoch) = (scene.star.members[0], scene.member(0).epoch());
    let to: NodeId = lagging.into();
    // The block of one epoch is lost; that of the next comes after data under it, and every view later still.
    scene.hold(move |frame, id| frame.to == to && matches!(id, "RA-R" | "RA-CL"));
    scene.leave(2);
    scene.run(SOON / 4);
    scene.leave(3);
    scene.run(SOON);
    for text in [b"one", b"two", b"six"] {
        scene.say(1, text).unwrap();
    }
    scene.run(SOON);
    let newest = scene.tap.borrow().held.iter().rfind(|frame| Tables::default().id(&frame.bytes) == "RA-R").cloned();
    let newest = newest.unwrap();
    assert_eq!(scene.inject(newest.to_link, newest.bytes), None);
    scene.run(SECOND * 2);
    assert_eq!(scene.member(0).epoch(), epoch, "the block is held");
    assert_eq!(Star::heard(&scene.world, lagging, b"one"), 0);
    scene.release();
    scene.run(SECOND * 8);
    for text in [b"one", b"two", b"six"] {
        assert_eq!(Star::heard(&scene.world, lagging, text), 1, "{}", scene.world.trace().tail(60));
    }
    scene.star.members.truncate(2);
    scene.all_is_well();
}

// ---- sessions ----

#[test]
fn a5_a13_a_past_session_says_nothing_in_a_new_one() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let (leader, first) = (scene.star.leader, scene.star.members[0]);
    let past_cid = scene.member(0).cid().unwrap();
    scene.leave(0);
    scene.run(SOON);
    assert!(scene.told(first, &Event::Ended(Ending::Left)));
    let of = |scene: &Scene, to: NodeId| {
        let mut all = Vec::new();
        for id in ["RA-J2", "RA-CL", "RA-CM", "RA-R"] {
            let mine = |frame: &InTransit| frame.from == first.into() || frame.to == first.into();
            all.extend(scene.frames(id, to).into_iter().filter(mine));
        }
        all
    };
    let (to_leader, to_member) = (of(&scene, leader.into()), of(&scene, first.into()));
    assert!(to_leader.len() >= 4 && to_member.len() >= 4);
    scene.run(SECOND * 6);
    scene.join(0);
    scene.run(SECOND * 2);
    let (cid, epoch) = (scene.member(0).cid().unwrap(), scene.member(0).epoch());
    assert!(cid > past_cid);
    for frame in &to_leader {
        // The channel lingers and knows its numbers; the last of them is the leave (A13).
        scene.refuses_again(frame, Reason::Replayed);
    }
    for frame in &to_member {
        // A member in a group expects no RA-J2; the blocks and frames are of another number (A5, A7, A8).
        scene.refuses_again(frame, Reason::Unknown);
    }
    scene.run(SECOND * 12);
    for frame in &to_leader {
        scene.refuses_again(frame, Reason::Unknown);
    }
    assert_eq!((scene.member(0).cid(), scene.member(0).epoch()), (Some(cid), epoch));
    scene.all_is_well();
}

#[test]
fn a7_a8_a11_an_old_key_is_not_installed_again() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let first = scene.star.members[0];
    for _ in 0..2 {
        scene.rekey();
        scene.run(SECOND * 6);
    }
    let blocks = scene.frames("RA-R", first);
    assert!(blocks.len() >= 3);
    for block in &blocks {
        scene.refuses_again(block, Reason::Replayed);
    }
    let mut raised = draft(blocks.last().unwrap());
    let common = raised.clear.find_mut("common").unwrap();
    number_in(common, "epoch", |epoch| epoch + 1);
    scene.refuses(blocks[0].to_link, raised.frame(), Reason::Forged);

    let mut scene = Scene::joined(Checks::ALL.without(Check::NewerEpoch), 2);
    for _ in 0..2 {
        scene.rekey();
        scene.run(SECOND * 6);
    }
    let (blocks, newest) = (scene.frames("RA-R", first), scene.member(0).epoch());
    assert_eq!(scene.inject(blocks[blocks.len() - 2].to_link, blocks[blocks.len() - 2].bytes.clone()), None);
    assert!(scene.member(0).epoch() < newest, "without the check the old key is back");
}

#[test]
fn a17_a_withheld_rekey_stops_the_member_at_the_next_echo() {
    for (checks, stops) in [(Checks::ALL, true), (Checks::ALL.without(Check::EchoEpoch), false)] {
        let mut scene = Scene::joined(checks, 3);
        let first: NodeId = scene.star.members[0].into();
        scene.hold(move |frame, id| frame.to == first && id == "RA-R");
        scene.leave(2);
        // One period, and the way there and back.
        scene.run(SECOND * 5 + SOON);
        let behind = scene.say(0, b"under the old key");
        assert_eq!(behind == Err(CommandError::Misuse(Misuse::NotCurrent)), stops, "{behind:?}");
        scene.run(T_MAX);
        assert_eq!(scene.told(first, &Event::Stale), stops);
        if stops {
            // It goes on asking, and comes back with the block.
            scene.release();
            scene.run(SECOND * 10);
            assert!(scene.member(0).is_current());
            scene.all_is_well();
        }
    }
}

#[test]
fn a16_a18_a19_echoes_of_a_dead_leader_prove_nothing_later() {
    for (checks, stays_stale) in [(Checks::ALL, true), (Checks::ALL.without(Check::EvidenceTime), false)] {
        let mut scene = Scene::joined(checks, 2);
        let (first, leader) = (scene.star.members[0], scene.star.leader);
        let (to, old) = (NodeId::from(first), scene.frames("RA-CL", first));
        scene.say(1, b"withheld data").unwrap();
        // The leader answers two polls; the answers are withheld, and so is a text.
        scene.hold(move |frame, id| frame.to == to && matches!(id, "RA-CL" | "RA-R" | "RA-D"));
        scene.run(SECOND * 8);
        scene.say(1, b"more withheld data").unwrap();
        scene.run(SECOND * 2);
        scene.world.crash(leader).unwrap();
        scene.run(T_MAX - SECOND * 9);
        let held = scene.release();
        scene.run(SECOND * 9);
        assert!(scene.told(first, &Event::Stale) && !scene.member(0).is_current());
        assert_eq!(scene.say(0, b"x"), Err(Misuse::NotCurrent.into()));
        // What was used up.
        for frame in &old {
            assert_eq!(scene.inject(frame.to_link, frame.bytes.clone()), Some(Reason::Replayed));
        }
        // What was withheld, in order.
        let (data, echoes): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|frame| Tables::default().id(&frame.bytes) == "RA-D");
        assert!(echoes.len() >= 2 && !data.is_empty());
        for echo in &echoes {
            assert_eq!(scene.inject(echo.to_link, echo.bytes.clone()), None, "authentic and new");
        }
        assert_eq!(!scene.member(0).is_current(), stays_stale);
        for text in &data {
            let why = scene.inject(text.to_link, text.bytes.clone());
            assert_eq!(why == Some(Reason::NotCurrent), stays_stale, "{why:?}");
        }
        if stays_stale {
            scene.run(T_MAX * 2);
            assert!(scene.told(first, &Event::Ended(Ending::LeaderLost)));
        }
    }
}

#[test]
fn a20_a_dead_member_is_suspected_whatever_is_replayed() {
    // Where the leader only reports it, its channel is still there to be attacked.
    let policy = Policy { on_silence: OnSilence::Report, ..Policy::default() };
    let mut scene = Scene::under(policy, &["m1", "m2"]);
    scene.run(SECOND * 10);
    let (first, leader) = (scene.star.members[0], scene.star.leader);
    let from = |scene: &Scene| -> Vec<InTransit> {
        scene.frames("RA-CM", leader).into_iter().filter(|frame| frame.from == first.into()).collect()
    };
    let frames = from(&scene);
    let cid = scene.member(0).cid().unwrap();
    scene.world.crash(first).unwrap();
    for _ in 0..26 {
        for frame in &frames {
            scene.refuses_again(frame, Reason::Replayed);
        }
        scene.run(SECOND);
    }
    // (misses + 1) · period + RTO after the last of its frames that echoes a probe.
    assert!(scene.told(leader, &Event::Suspected { cid, why: Suspicion::Silence }));
}

#[test]
fn a21_r7_a_stranger_cannot_speak_for_a_member_or_a_leader() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    scene.say(0, b"text").unwrap();
    scene.run(SECOND * 6);
    let (leader, first) = (scene.star.leader, scene.star.members[0]);
    for (id, to, field) in
        [("RA-CM", NodeId::from(leader), "n"), ("RA-CL", first.into(), "n"), ("RA-D", leader.into(), "counter")]
    {
        let frame = scene.last(id, to);
        let mut forged = draft(&frame);
        number(&mut forged, field, |n| n + 1);
        scene.refuses(frame.to_link, forged.frame(), Reason::Forged);
        // A leave or an end without the key (R7): the right form, and a box that nobody sealed.
        forged.text = vec![0; forged.text.len()];
        scene.refuses(frame.to_link, forged.frame(), Reason::Forged);
    }
    scene.all_is_well();
}

#[test]
fn x6_a_reflected_frame_is_refused() {
    let mut scene = Scene::joined(Checks::ALL, 1);
    scene.run(SECOND * 6);
    let (leader, first) = (scene.star.leader, scene.star.members[0]);
    let (up, down) = (scene.last("RA-CM", leader), scene.last("RA-CL", first));
    for (frame, back) in [(&up, &down), (&down, &up)] {
        scene.refuses(back.to_link, frame.bytes.clone(), Reason::Misdirected);
        // With the type, and with a number that is still free.
        let mut turned = draft(frame);
        turned.header = draft(back).header;
        number(&mut turned, "n", |n| n + 50);
        scene.refuses(back.to_link, turned.frame(), Reason::Forged);
    }
    scene.all_is_well();
}

#[test]
fn x7_a_frame_of_one_member_is_nothing_on_the_channel_of_another() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let leader = scene.star.leader;
    scene.hold(move |_, id| id == "RA-CM");
    scene.run(SECOND * 5);
    let held = scene.release();
    let mine: Vec<_> = scene.star.members.iter().map(|member| NodeId::from(*member)).collect();
    let of = |node: NodeId| held.iter().find(|frame| frame.from == node).unwrap();
    let (one, other) = (of(mine[0]), of(mine[1]));
    let cid = scene.member(1).cid().unwrap();
    let mut turned = draft(one);
    number(&mut turned, "cid", |_| cid.0);
    scene.refuses(other.to_link, turned.frame(), Reason::Forged);
    assert_eq!(scene.inject(other.to_link, other.bytes.clone()), None, "the true one is taken");
    assert_eq!(scene.world.holder(other.to_link), Some(leader.into()));
}

#[test]
fn x5_every_flipped_bit_is_refused_and_changes_nothing() {
    const KINDS: [&str; 6] = ["RA-T2", "RA-J2", "RA-CM", "RA-R", "RA-CL", "RA-D"];
    let mut scene = Scene::open(config(Policy::default(), Checks::ALL), &["m1", "m2"]);
    let mut flips = std::collections::BTreeMap::new();
    scene.hold(|_, id| KINDS.contains(&id));
    scene.join(0);
    for step in 0..700 {
        scene.run(SOON / 10);
        if step == 600 {
            scene.say(0, b"a text of some length").unwrap();
        }
        let held = std::mem::take(&mut scene.tap.borrow_mut().held);
        for frame in held {
            // The first frame of each kind, before it arrives.
            flips.entry(Tables::default().id(&frame.bytes)).or_insert_with(|| {
                match scene.world.typed::<Member>(frame.to) {
                    Some(node) => flip_all(&scene, node, &frame),
                    None => flip_all(&scene, scene.star.leader, &frame),
                }
            });
            scene.inject(frame.to_link, frame.bytes);
        }
    }
    println!("flipped bits: {flips:?}");
    assert_eq!(flips.len(), KINDS.len());
    assert!(scene.member(0).is_current());
}

/// Flips each bit of `frame` for a copy of its receiver. Gives how many.
fn flip_all<E>(scene: &Scene, node: Node<E>, frame: &InTransit) -> usize
where
    E: Endpoint + Clone + Fingerprint + 'static,
{
    let (machine, now, mut rng) = (scene.world.get(node).unwrap(), scene.world.now(), SimRng::new(7));
    let digest = |machine: &E| {
        let mut mixer = Mixer::new();
        machine.fingerprint(now, &mut mixer);
        mixer.digest()
    };
    let before = digest(machine);
    let mut copy = machine.clone();
    for bit in 0..frame.bytes.len() * 8 {
        let mut bytes = BytesMut::from(&*frame.bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let refused = copy.stats().rejections();
        copy.handle_frame(&mut Cx::new(now, &mut rng), frame.to_link, bytes).unwrap();
        assert_eq!(copy.stats().rejections(), refused + 1, "bit {bit}");
        while let Some(event) = copy.poll_event() {
            assert!(matches!(event, Event::Rejected { .. }), "bit {bit}: {event:?}");
        }
        assert_eq!(digest(&copy), before, "bit {bit} changed the state");
    }
    // The frame itself is taken.
    copy.handle_frame(&mut Cx::new(now, &mut rng), frame.to_link, BytesMut::from(&*frame.bytes)).unwrap();
    assert_ne!(digest(&copy), before);
    frame.bytes.len() * 8
}

#[test]
fn r40_only_a_fresh_authentic_frame_moves_a_link() {
    let mut scene = Scene::joined(Checks::ALL, 1);
    let (leader, first) = (scene.star.leader, scene.star.members[0]);
    let usual = scene.last("RA-CM", leader);
    let other = strangers_link(&mut scene);
    let answers_go_to = |scene: &mut Scene| {
        scene.rekey();
        scene.run(SECOND * 5);
        let tables = Tables::default();
        let tap = scene.tap.borrow();
        let last =
            tap.frames.iter().rev().find(|frame| frame.from == leader.into() && tables.id(&frame.bytes) == "RA-R");
        last.unwrap().from_link
    };
    // Neither a copy of what was used up, nor a forgery, nor plain data.
    scene.refuses(other, usual.bytes.clone(), Reason::Replayed);
    let mut forged = draft(&usual);
    number(&mut forged, "n", |n| n + 1);
    scene.refuses(other, forged.frame(), Reason::Forged);
    assert_eq!(answers_go_to(&mut scene), usual.to_link);
    // A frame that arrives there first does, until the member's next frame (RA §10).
    scene.hold(|_, id| id == "RA-CM");
    while scene.tap.borrow().held.is_empty() {
        scene.run(SOON);
    }
    let fresh = scene.release().remove(0);
    assert_eq!(scene.inject(other, fresh.bytes.clone()), None);
    scene.refuses_again(&fresh, Reason::Replayed);
    scene.rekey();
    scene.run(SOON);
    scene.run(SECOND * 6);
    assert_eq!(answers_go_to(&mut scene), usual.to_link, "the next frame brings it back");
    assert!(scene.world.get(first).unwrap().is_current());
    assert_ne!(MemberId::LEADER, scene.member(0).cid().unwrap());
    scene.say(0, b"still here").unwrap();
    scene.all_is_well();
}

#[test]
fn without_protection_only_the_members_own_link_speaks_for_it() {
    let policy = Policy { protection: Protection::None, origin: false, ..Policy::default() };
    let mut scene = Scene::under(policy, &["m1", "m2"]);
    scene.say(0, b"clear").unwrap();
    scene.run(SOON);
    let frame = scene.last("RA-D", scene.star.leader);
    let other = strangers_link(&mut scene);
    scene.refuses(other, frame.bytes, Reason::NotMember);
}
