//! A star and a multicast channel (RA §4.3, §4.4): rekeys to all at once, in frames that fit, and the signed heartbeat.
//! Whatever is lost there comes point to point (X12, R47).
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "scene/mod.rs"]
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sodality::endpoint::{Endpoint, Link};
use sodality::event::{Causes, Event};
use sodality::group::Checks;
use sodality::policy::{Policy, Views};
use sodality::sim::star::{Star, StarConfig};
use sodality::sim::{InTransit, LinkConfig, NodeId, Tables};
use sodality::wire::Message as _;
use sodality::wire::antigone::Rekey;

use scene::{SECOND, SOON, Scene, T_MAX, config};

const CHANNEL: LinkConfig = LinkConfig::DATAGRAM;
const PERIOD: Duration = Duration::from_secs(5);

/// A group with datagram links and a multicast channel, all of 1,200 bytes.
fn shared(policy: Policy) -> StarConfig {
    let policy = Policy { frame_limit: 1_200, ..policy };
    StarConfig { link: LinkConfig::DATAGRAM, multicast: Some(CHANNEL), ..config(policy, Checks::ALL) }
}

fn joined(config: StarConfig, members: usize) -> Scene {
    let names: Vec<String> = (1..=members).map(|n| format!("m{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut scene = Scene::settled(config, &names);
    scene.run(SECOND);
    scene
}

/// Views only where the policy has a new key for them: nobody joins or goes by a rekey.
fn few_rekeys(views: Views) -> Policy {
    let rekey_on = Causes::of(sodality::event::Cause::Leave);
    Policy { rekey_on, views, origin: false, ..Policy::default() }
}

fn of<'f>(frames: &'f [InTransit], id: &'f str) -> impl Iterator<Item = &'f InTransit> {
    frames.iter().filter(move |frame| Tables::default().id(&frame.bytes) == id)
}

/// The frames sent since `from`, of this kind, over the channel (or, if not, point to point).
fn since(scene: &Scene, from: usize, id: &str, channel: bool) -> Vec<InTransit> {
    let wire = scene.star.multicast.unwrap();
    let tap = scene.tap.borrow();
    of(&tap.frames[from..], id).filter(|frame| (frame.wire == wire) == channel).cloned().collect()
}

fn mark(scene: &Scene) -> usize {
    scene.tap.borrow().frames.len()
}

/// How many frames members have refused.
fn refused(scene: &Scene) -> u64 {
    scene.star.members.iter().map(|member| scene.world.get(*member).unwrap().stats().rejections()).sum()
}

fn ear(scene: &Scene, node: impl Into<NodeId>) -> Link {
    scene.star.ear(&scene.world, node).unwrap()
}

#[test]
fn a_rekey_of_many_goes_out_in_frames_that_fit() {
    for members in [1, 25, 26, 300] {
        let mut scene = joined(shared(few_rekeys(Views::WithEachKey)), members);
        let (from, before) = (mark(&scene), refused(&scene));
        scene.rekey();
        scene.run(PERIOD);
        let frames = since(&scene, from, "RA-R", true);
        let distinct: BTreeMap<&[u8], &InTransit> = frames.iter().map(|frame| (&*frame.bytes, frame)).collect();
        let mut numbers = Vec::new();
        let mut sizes = Vec::new();
        let mut facts = BTreeSet::new();
        for bytes in frames.iter().filter(|frame| frame.to == scene.star.members[0].into()).map(|frame| &frame.bytes) {
            let rekey = Rekey::parse(bytes).unwrap().message;
            numbers.extend(rekey.blocks.iter().map(|block| block.cid.0));
            facts.insert(rekey.common.bytes.0.to_vec());
            sizes.push(bytes.len());
        }
        println!("{members} members: {} frames of {sizes:?} bytes", sizes.len());
        assert!(sizes.iter().all(|size| *size <= 1_200));
        assert_eq!(distinct.len(), sizes.len(), "each frame once");
        assert_eq!(facts.len(), 1, "I-2: one `common` for each epoch");
        let all: Vec<u64> = scene.leader().view().members().keys().map(|cid| cid.0).filter(|cid| *cid > 0).collect();
        assert_eq!(numbers, all, "the block of each, by rising number, once");
        // All but the last are full.
        assert!(sizes.iter().rev().skip(1).all(|size| *size > 1_200 - 60));
        assert_eq!(since(&scene, from, "RA-R", false).len(), 0, "nothing was lost, and nobody needs it again");
        assert_eq!(refused(&scene), before, "frames with blocks for others are no attack");
        scene.all_is_well();
    }
}

#[test]
fn frames_of_a_rekey_are_made_as_they_are_polled_and_an_older_one_stops() {
    let policy = Policy { grace: Duration::ZERO, settle: Duration::ZERO, ..few_rekeys(Views::WithEachKey) };
    let mut scene = joined(shared(policy), 40);
    let leader = scene.star.leader;
    let epochs = scene.world.with(leader, |leader, cx| {
        let mut polled = Vec::new();
        let mut poll = |leader: &mut sodality::antigone::Leader, cx: &mut sodality::endpoint::Cx<'_>| {
            let transmit = leader.poll_transmit(cx)?;
            let rekey = Rekey::parse(&transmit.frame).ok()?.message;
            polled.push((rekey.common.value.epoch.0, rekey.blocks.iter().next().unwrap().cid.0));
            Some(())
        };
        leader.rekey(cx).unwrap();
        leader.handle_timeout(cx).unwrap();
        poll(leader, cx).unwrap();
        leader.rekey(cx).unwrap();
        leader.handle_timeout(cx).unwrap();
        while poll(leader, cx).is_some() {}
        polled
    });
    let epochs = epochs.unwrap();
    let (first, next) = (epochs[0], epochs[1]);
    assert_eq!((next.0, next.1), (first.0 + 1, first.1), "the newer one begins, and the older one does not go on");
    assert!(epochs[1..].iter().all(|(epoch, _)| *epoch == next.0) && epochs.len() >= 4, "{epochs:?}");
}

/// X12: the parts for one member are lost, all of them, every time.
#[test]
fn x12_who_loses_all_multicast_gets_its_block_point_to_point() {
    let mut scene = joined(shared(Policy::default()), 4);
    let (wire, to) = (scene.star.multicast.unwrap(), NodeId::from(scene.star.members[0]));
    scene.hold(move |frame, id| frame.wire == wire && frame.to == to && id == "RA-R");
    for _ in 0..3 {
        let from = mark(&scene);
        scene.rekey();
        // A quarter period, in which an answer may wait, an RTO with its jitter, and the way.
        scene.run(PERIOD / 4 + SECOND * 11 / 20 + SOON);
        assert_eq!(scene.member(0).epoch(), scene.leader().epoch());
        let singly = since(&scene, from, "RA-R", false);
        assert_eq!(singly.len(), 1, "its block alone, once");
        assert!(singly.iter().all(|frame| frame.to == to));
        assert!(!scene.told(to, &Event::Stale));
        scene.run(SECOND * 6);
    }
    assert!(!scene.release().is_empty());
    scene.all_is_well();
}

#[test]
fn answers_to_a_rekey_of_all_come_spread_over_a_quarter_period() {
    let mut scene = joined(shared(few_rekeys(Views::WithEachKey)), 40);
    // Between two rounds of polls.
    let from = mark(&scene);
    scene.rekey();
    let start = scene.world.now();
    scene.run(PERIOD / 4 + SOON);
    let answers = since(&scene, from, "RA-CM", false);
    let epoch = scene.leader().epoch();
    let shown: BTreeSet<_> = scene.star.members.iter().map(|member| member.id).collect();
    assert!(scene.star.members.iter().all(|member| scene.world.get(*member).unwrap().epoch() == epoch));
    let senders: BTreeSet<NodeId> = answers.iter().map(|frame| frame.from).collect();
    assert_eq!(senders, shown, "each shows its install within a quarter period");
    let early = answers.iter().filter(|frame| frame.sent.since(start) < PERIOD / 40).count();
    println!("{} answers, {early} in the first tenth", answers.len());
    assert!(early < answers.len() / 4, "not all at once");
    scene.run(SECOND * 3);
    assert_eq!(since(&scene, from, "RA-R", false).len(), 0, "the leader waits as long before it sends again");
}

#[test]
fn a_dead_channel_is_noticed_and_the_group_goes_on() {
    let mut scene = joined(shared(Policy::default()), 3);
    let (wire, to) = (scene.star.multicast.unwrap(), NodeId::from(scene.star.members[0]));
    let link = ear(&scene, to);
    let (silent, heard) = (Event::MulticastSilent { link }, Event::MulticastHeard { link });
    scene.run(SECOND * 60);
    assert!(!scene.told(to, &silent) && !scene.told(to, &heard), "a channel that works is not mentioned");
    scene.hold(move |frame, _| frame.wire == wire && frame.to == to);
    let dead = scene.world.now();
    for turn in 0..5u8 {
        scene.rekey();
        scene.run(SECOND * 6);
        scene.say(0, &[turn]).unwrap();
        scene.run(SOON);
        assert_eq!(Star::heard(&scene.world, scene.star.members[1], &[turn]), 1);
    }
    // (misses + 1) periods after the last heartbeat.
    assert!(scene.world.now().since(dead) > PERIOD * 5);
    let times = scene.world.events(to).iter().filter(|event| **event == silent).count();
    assert_eq!(times, 1, "told once");
    assert!(!scene.told(to, &Event::Stale) && scene.member(0).is_current());
    assert!(!scene.world.events(scene.star.members[1]).iter().any(|e| matches!(e, Event::MulticastSilent { .. })));
    scene.release();
    scene.run(PERIOD + SOON);
    assert!(scene.told(to, &heard));
    scene.all_is_well();
}

/// The channel is there, and not everybody listens to it.
#[test]
fn who_does_not_listen_gets_every_block_point_to_point() {
    let mut scene = joined(shared(Policy::default()), 3);
    let deaf = scene.star.members[0];
    let link = ear(&scene, deaf);
    scene.world.close(link).unwrap();
    for _ in 0..3 {
        let from = mark(&scene);
        scene.rekey();
        scene.run(PERIOD / 4 + SECOND * 11 / 20 + SOON);
        let singly = since(&scene, from, "RA-R", false);
        assert_eq!((singly.len(), singly[0].to), (1, deaf.into()));
        assert_eq!(scene.member(0).epoch(), scene.leader().epoch());
        scene.run(SECOND * 6);
    }
    assert!(!scene.world.events(deaf).iter().any(|event| matches!(event, Event::MulticastSilent { .. })));
    scene.all_is_well();
}

#[test]
fn of_two_channels_each_shows_by_itself_that_it_works() {
    let mut scene = joined(shared(Policy::default()), 2);
    let (first, wire) = (scene.star.members[0], scene.world.multicast(CHANNEL));
    scene.world.attach(wire, scene.star.leader).unwrap();
    let other = scene.world.attach(wire, first).unwrap();
    scene.run(PERIOD * 12);
    assert!(!scene.world.events(first).iter().any(|event| matches!(event, Event::MulticastSilent { .. })));
    scene.hold(move |frame, _| frame.wire == wire);
    scene.run(PERIOD * 5 + SECOND);
    let silent: Vec<Link> = scene
        .world
        .events(first)
        .iter()
        .filter_map(|event| match event {
            Event::MulticastSilent { link } => Some(*link),
            _ => None,
        })
        .collect();
    assert_eq!(silent, [other]);
    scene.all_is_well();
}

#[test]
fn a_dead_leader_makes_no_channel_silent() {
    let mut scene = joined(shared(Policy::default()), 2);
    scene.world.crash(scene.star.leader).unwrap();
    scene.run(T_MAX * 2 + SECOND);
    let first = scene.star.members[0];
    assert!(scene.told(first, &Event::Stale));
    assert!(!scene.world.events(first).iter().any(|event| matches!(event, Event::MulticastSilent { .. })));
}

/// S8: heartbeats are no evidence. What comes point to point is lost; the channel works.
#[test]
fn s8_heartbeats_keep_no_member_current() {
    let mut scene = joined(shared(Policy::default()), 2);
    let (wire, to) = (scene.star.multicast.unwrap(), NodeId::from(scene.star.members[0]));
    let from = mark(&scene);
    scene.hold(move |frame, _| frame.wire != wire && frame.to == to);
    scene.run(T_MAX + SOON);
    assert!(scene.told(to, &Event::Stale) && !scene.member(0).is_current());
    let beats = since(&scene, from, "RA-H", true);
    assert!(beats.iter().filter(|frame| frame.to == to).count() >= 3, "they went on all the time");
    scene.release();
    scene.run(SECOND * 6);
    scene.all_is_well();
}

#[test]
fn a_heartbeat_tells_of_an_epoch_whose_block_was_lost() {
    let mut scene = joined(shared(Policy::default()), 2);
    let to = NodeId::from(scene.star.members[0]);
    let first = scene.star.members[0];
    // No block and no answer to polls; so only the heartbeat can tell.
    scene.hold(move |frame, id| frame.to == to && matches!(id, "RA-R" | "RA-CL"));
    scene.rekey();
    let from = mark(&scene);
    let polls = |scene: &Scene| since(scene, from, "RA-CM", false).iter().filter(|f| f.from == first.id).count();
    scene.run(PERIOD * 2);
    // One poll a period, and one more for each heartbeat.
    assert!(polls(&scene) >= 4, "{}", polls(&scene));
    scene.release();
    scene.run(SECOND * 9);
    scene.all_is_well();
}

#[test]
fn best_effort_views_converge_by_heartbeats_alone() {
    for (views, alone) in [(Views::BestEffort, true), (Views::WithEachKey, false)] {
        let mut scene = joined(shared(few_rekeys(views)), 3);
        let to = NodeId::from(scene.star.members[0]);
        // No page of a view, whatever comes.
        scene.hold(move |frame, id| frame.to == to && id == "RA-CL" && frame.bytes.len() > 120);
        // Without heartbeats that tell, nothing comes but pages: the first is enough to see it.
        for name in ["n1", "n2", "n3"].into_iter().take(if alone { 3 } else { 1 }) {
            scene.star.add_member(&mut scene.world, name).unwrap();
            scene.join(scene.star.members.len() - 1);
            scene.run(PERIOD * 2);
            let (here, there) = (scene.member(0).view().unwrap(), scene.leader().view());
            assert_eq!((here.version(), here.digest()) == (there.version(), there.digest()), alone);
        }
        assert_eq!(scene.release().is_empty(), alone, "the leader had no need to send a page");
        assert_eq!(scene.leader().epoch().0, 1, "all under the first key");
    }
}

#[test]
fn best_effort_views_come_by_pages_where_no_heartbeat_arrives() {
    let mut scene = joined(shared(few_rekeys(Views::BestEffort)), 2);
    let (wire, to) = (scene.star.multicast.unwrap(), NodeId::from(scene.star.members[0]));
    scene.hold(move |frame, _| frame.wire == wire && frame.to == to);
    scene.star.add_member(&mut scene.world, "n1").unwrap();
    scene.join(2);
    // Two heartbeats that it could have taken it from, and its next poll.
    scene.run(PERIOD * 4);
    scene.all_is_well();
}

#[test]
fn without_detection_rekeys_go_to_all_and_there_are_no_heartbeats() {
    let mut scene = joined(shared(Policy { detection: None, ..few_rekeys(Views::WithEachKey) }), 3);
    let from = mark(&scene);
    scene.rekey();
    scene.run(PERIOD * 4);
    assert!(!since(&scene, from, "RA-R", true).is_empty());
    assert_eq!(since(&scene, 0, "RA-H", true).len(), 0);
    scene.all_is_well();
}

#[test]
fn a_channel_too_small_for_the_policys_frames_is_not_used() {
    let config = StarConfig { link: LinkConfig::DATAGRAM.max_frame(4_096), ..shared(Policy::default()) };
    let policy = Policy { frame_limit: 4_096, ..Policy::default() };
    let mut scene = joined(StarConfig { policy, ..config }, 2);
    scene.rekey();
    scene.run(PERIOD * 2);
    assert_eq!(since(&scene, 0, "RA-H", true).len() + since(&scene, 0, "RA-R", true).len(), 0);
    scene.all_is_well();
}

/// The channel goes while frames of a rekey wait to be polled: they come point to point.
#[test]
fn a_channel_that_closes_in_the_middle_of_a_rekey_loses_nothing() {
    let mut scene = joined(shared(few_rekeys(Views::WithEachKey)), 40);
    let leader = scene.star.leader;
    let link = ear(&scene, leader);
    scene
        .world
        .with(leader, |leader, cx| {
            leader.rekey(cx).unwrap();
            leader.handle_timeout(cx).unwrap();
            leader.poll_transmit(cx).expect("the first frame, which is lost");
            leader.handle_link_closed(cx, link).unwrap();
        })
        .unwrap();
    // Before most of them poll by themselves.
    scene.run(PERIOD / 4 + SECOND * 11 / 20 + SOON);
    scene.all_is_well();
}
