//! Modes of communication (RA §5): data by way of the leader, over a shared link by way of the leader, or from everybody over
//! the shared link. Each message is on the shared link once, whoever does not hear it gets it point to point, and a leader that
//! is gone is missed by nobody's data until the evidence is.
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "scene/mod.rs"]
mod scene;

use std::collections::BTreeMap;
use std::time::Duration;

use sodality::endpoint::{Endpoint, Link, To};
use sodality::error::Reason;
use sodality::event::{Event, Port, Sender};
use sodality::group::Checks;
use sodality::policy::{Communication, Policy, Protection, Views};
use sodality::sim::star::{Star, StarConfig};
use sodality::sim::{Faults, InTransit, LinkConfig, NodeId, Tables, World, shared};

use scene::{SECOND, SOON, Scene, T_MAX, Tap, config, draft, number};

const PERIOD: Duration = Duration::from_secs(5);

fn over(communication: Communication, policy: Policy) -> StarConfig {
    let policy = Policy { frame_limit: 1_200, communication, ..policy };
    let link = LinkConfig::DATAGRAM;
    StarConfig { link, multicast: Some(link), ..config(policy, Checks::ALL) }
}

/// A group in which all have joined, have heard the leader on the channel, and have told it.
fn joined(config: StarConfig, members: usize) -> Scene {
    let names: Vec<String> = (1..=members).map(|n| format!("m{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut scene = Scene::open(config, &names);
    all_join(&mut scene);
    scene
}

fn all_join(scene: &mut Scene) {
    scene.star.join_all(&mut scene.world, SECOND * 120).unwrap();
    scene.run(PERIOD * 2);
}

fn group(communication: Communication, members: usize) -> Scene {
    joined(over(communication, Policy::default()), members)
}

fn everybody(scene: &Scene) -> Vec<NodeId> {
    scene.star.members.iter().map(|member| (*member).into()).chain([scene.star.leader.into()]).collect()
}

/// The frames of data that this one message made: who sent them over the channel, and from whom to whom they went singly.
#[derive(Debug, PartialEq, Eq)]
struct Ways {
    channel: Vec<NodeId>,
    singly: Vec<(NodeId, NodeId)>,
}

/// Somebody says something, and everybody else hears it once.
fn say(scene: &mut Scene, speaker: usize, text: &[u8]) -> Ways {
    let from = scene.tap.borrow().frames.len();
    scene.say(speaker, text).unwrap();
    scene.run(SOON);
    for (listener, node) in everybody(scene).into_iter().enumerate() {
        if scene.world.is_up(node) {
            let heard = Star::heard(&scene.world, node, text);
            assert_eq!(heard, usize::from(listener != speaker.min(scene.star.members.len())), "{text:?} at {listener}");
        }
    }
    ways(scene, from)
}

fn ways(scene: &Scene, from: usize) -> Ways {
    let wire = scene.star.multicast;
    let tap = scene.tap.borrow();
    let data = tap.frames[from..].iter().filter(|frame| Tables::default().id(&frame.bytes) == "RA-D");
    let (channel, singly): (Vec<&InTransit>, Vec<&InTransit>) = data.partition(|frame| Some(frame.wire) == wire);
    // A frame on the channel is in transit once for each that listens, and was sent once: by one sender at one time.
    let mut sent: BTreeMap<(u64, Link), usize> = BTreeMap::new();
    let mut senders = Vec::new();
    for frame in channel {
        let times = sent.entry((frame.sent.as_micros(), frame.from_link)).or_default();
        if *times == 0 {
            senders.push(frame.from);
        }
        *times += 1;
    }
    let listeners = scene.star.members.len();
    assert!(sent.values().all(|times| *times <= listeners), "{sent:?}");
    let mut singly: Vec<_> = singly.into_iter().map(|frame| (frame.from, frame.to)).collect();
    singly.sort();
    Ways { channel: senders, singly }
}

fn refused(scene: &Scene, node: impl Into<NodeId>) -> Vec<Reason> {
    let why = |event: &Event| match event {
        // Before the join, heartbeats of a group that is not known yet.
        Event::Rejected { why, .. } if *why != Reason::Unknown => Some(*why),
        _ => None,
    };
    scene.world.events(node).iter().filter_map(why).collect()
}

fn ear(scene: &Scene, node: impl Into<NodeId>) -> Link {
    scene.star.ear(&scene.world, node).unwrap()
}

#[test]
fn a_relay_sends_to_each_though_there_is_a_channel() {
    let mut scene = group(Communication::Relay, 3);
    let (leader, members) = (NodeId::from(scene.star.leader), scene.star.members.clone());
    let [a, b, c] = [0, 1, 2].map(|n: usize| NodeId::from(members[n]));
    let mut expected = vec![(a, leader), (leader, b), (leader, c)];
    expected.sort();
    assert_eq!(say(&mut scene, 0, b"to each"), Ways { channel: vec![], singly: expected });
    assert_eq!(
        say(&mut scene, 9, b"the leader's"),
        Ways { channel: vec![], singly: [a, b, c].map(|to| (leader, to)).to_vec() }
    );
    scene.all_is_well();
}

#[test]
fn mixed_goes_to_the_leader_and_from_it_over_the_channel_once() {
    let mut scene = group(Communication::Mixed, 4);
    let (leader, a) = (NodeId::from(scene.star.leader), NodeId::from(scene.star.members[0]));
    assert_eq!(say(&mut scene, 0, b"mixed"), Ways { channel: vec![leader], singly: vec![(a, leader)] });
    // RA §5 (0): its own, which it hears again.
    assert_eq!(refused(&scene, a), [Reason::Echo]);
    assert_eq!(say(&mut scene, 9, b"the leader's"), Ways { channel: vec![leader], singly: vec![] });
    assert!(refused(&scene, leader).is_empty());
    assert_eq!(scene.leader().stats().relayed, 1);
    scene.all_is_well();
}

#[test]
fn symmetric_goes_over_the_channel_once_and_the_leader_relays_nothing() {
    let mut scene = group(Communication::Symmetric, 4);
    let leader = NodeId::from(scene.star.leader);
    for n in 0..4 {
        let speaker = NodeId::from(scene.star.members[n]);
        assert_eq!(say(&mut scene, n, &[n as u8]), Ways { channel: vec![speaker], singly: vec![] });
    }
    assert_eq!(say(&mut scene, 9, b"the leader's"), Ways { channel: vec![leader], singly: vec![] });
    assert_eq!((scene.leader().stats().relayed, scene.leader().stats().delivered), (0, 4));
    scene.all_is_well();
}

/// The leader is not on the way: what members say reaches the others until they have no evidence any more (S8).
#[test]
fn symmetric_goes_on_without_the_leader_until_the_evidence_is_too_old() {
    for (communication, goes_on) in [(Communication::Symmetric, true), (Communication::Mixed, false)] {
        let mut scene = group(communication, 3);
        scene.world.crash(scene.star.leader).unwrap();
        for turn in 0..4u8 {
            scene.say(0, &[turn]).unwrap();
            scene.run(SECOND * 2);
            assert_eq!(Star::heard(&scene.world, scene.star.members[1], &[turn]), usize::from(goes_on));
        }
        scene.run(T_MAX);
        assert!(scene.told(scene.star.members[0], &Event::Stale));
        assert!(scene.say(0, b"too old").is_err());
    }
}

#[test]
fn without_a_channel_every_mode_is_relay() {
    for communication in Communication::ALL {
        let config = StarConfig { multicast: None, ..over(communication, Policy::default()) };
        let mut scene = joined(config, 3);
        let Ways { channel, singly } = say(&mut scene, 0, b"singly");
        assert_eq!((channel.len(), singly.len()), (0, 3));
        scene.all_is_well();
    }
}

/// Nothing would show that the channel is dead, so no data are left to it.
#[test]
fn without_heartbeats_every_mode_is_relay() {
    for communication in Communication::ALL {
        let mut scene = joined(over(communication, Policy { detection: None, ..Policy::default() }), 3);
        let Ways { channel, singly } = say(&mut scene, 0, b"singly");
        assert_eq!((channel.len(), singly.len()), (0, 3));
        scene.all_is_well();
    }
}

/// R47: one member is not on the channel. It is served point to point, what it says goes over the channel, and the others do not
/// notice.
#[test]
fn r47_who_does_not_listen_is_served_by_the_leader() {
    for communication in [Communication::Mixed, Communication::Symmetric] {
        let mut scene = group(communication, 3);
        let leader = NodeId::from(scene.star.leader);
        let [deaf, b] = [0, 1].map(|n: usize| NodeId::from(scene.star.members[n]));
        scene.world.close(ear(&scene, deaf)).unwrap();
        // It says so within a quarter period.
        scene.run(PERIOD / 4 + SOON);
        let of_deaf = say(&mut scene, 0, b"of the deaf");
        assert_eq!(of_deaf, Ways { channel: vec![leader], singly: vec![(deaf, leader)] });
        let (channel, up) = match communication {
            Communication::Symmetric => (b, None),
            _ => (leader, Some((b, leader))),
        };
        let mut singly: Vec<_> = up.into_iter().chain([(leader, deaf)]).collect();
        singly.sort();
        assert_eq!(say(&mut scene, 1, b"of a hearer"), Ways { channel: vec![channel], singly });
        assert_eq!(say(&mut scene, 9, b"the leader's"), Ways { channel: vec![leader], singly: vec![(leader, deaf)] });
        assert!(scene.star.members.iter().all(|member| !refused(&scene, *member).contains(&Reason::Replayed)));
        // It listens again, and is heard to say so.
        scene.star.attach(&mut scene.world, deaf).unwrap();
        scene.run(PERIOD * 2);
        assert_eq!(say(&mut scene, 9, b"to all"), Ways { channel: vec![leader], singly: vec![] });
        scene.all_is_well();
    }
}

/// R47: the channel dies for one, who notices by the heartbeats that do not come.
#[test]
fn r47_a_channel_that_dies_for_one_is_noticed_and_told() {
    for communication in [Communication::Mixed, Communication::Symmetric] {
        let mut scene = group(communication, 3);
        let (wire, to) = (scene.star.multicast.unwrap(), NodeId::from(scene.star.members[0]));
        scene.hold(move |frame, _| frame.wire == wire && frame.to == to);
        scene.say(1, b"lost, as data may be").unwrap();
        scene.run(PERIOD * 5 + PERIOD / 4 + SOON);
        assert!(scene.world.events(to).iter().any(|event| matches!(event, Event::MulticastSilent { .. })));
        assert_eq!(Star::heard(&scene.world, to, b"lost, as data may be"), 0);
        say(&mut scene, 1, b"point to point");
        say(&mut scene, 0, b"of the deaf");
        scene.release();
        scene.run(PERIOD * 2);
        assert!(say(&mut scene, 9, b"over the channel").singly.is_empty());
        scene.all_is_well();
    }
}

/// Two channels of which each member hears one: the leader carries from the one to the other.
#[test]
fn the_leader_carries_between_two_channels() {
    let mut scene = Scene::open(over(Communication::Symmetric, Policy::default()), &["m1", "m2"]);
    let (first, second, leader) = (scene.star.members[0], scene.star.members[1], scene.star.leader);
    let wire = scene.world.multicast(LinkConfig::DATAGRAM);
    scene.world.attach(wire, leader).unwrap();
    scene.world.close(ear(&scene, second)).unwrap();
    scene.world.attach(wire, second).unwrap();
    all_join(&mut scene);
    for (speaker, from) in [(0, first), (1, second)] {
        let at = scene.tap.borrow().frames.len();
        let text = [speaker as u8];
        scene.say(speaker, &text).unwrap();
        scene.run(SOON);
        let other = if speaker == 0 { second } else { first };
        assert_eq!((Star::heard(&scene.world, other, &text), Star::heard(&scene.world, leader, &text)), (1, 1));
        let tap = scene.tap.borrow();
        let data: Vec<_> =
            tap.frames[at..].iter().filter(|frame| Tables::default().id(&frame.bytes) == "RA-D").collect();
        let sent: Vec<_> = data.iter().map(|frame| (frame.from, frame.to)).collect();
        let (from, other, leader) = (from.id, other.id, leader.id);
        assert_eq!(sent, [(from, leader), (leader, other)]);
    }
}

#[test]
fn what_is_replayed_on_the_channel_is_delivered_once() {
    for communication in [Communication::Mixed, Communication::Symmetric] {
        let mut scene = group(communication, 3);
        say(&mut scene, 0, b"once");
        let b = NodeId::from(scene.star.members[1]);
        let over_channel = scene.last("RA-D", b);
        let own = scene.last("RA-CL", b).to_link;
        let at_leader = scene.last("RA-D", scene.star.leader);
        for link in [ear(&scene, b), own] {
            scene.refuses(link, over_channel.bytes.clone(), Reason::Replayed);
        }
        let relayed = scene.leader().stats().relayed;
        for link in [ear(&scene, scene.star.leader), at_leader.to_link] {
            scene.refuses(link, at_leader.bytes.clone(), Reason::Replayed);
        }
        assert_eq!(scene.leader().stats().relayed, relayed, "and it is not relayed again");
        // RA §5 (0), on whatever link.
        let a = NodeId::from(scene.star.members[0]);
        scene.refuses(ear(&scene, a), over_channel.bytes.clone(), Reason::Echo);
        assert_eq!(Star::heard(&scene.world, b, b"once"), 1);
        scene.all_is_well();
    }
}

/// RA §5 none: over a shared link nothing says who it was. It is anybody's, at the rate of one link.
#[test]
fn what_is_clear_on_the_channel_is_anybodys_at_a_limited_rate() {
    for communication in [Communication::Symmetric, Communication::Mixed, Communication::Relay] {
        let policy = Policy { protection: Protection::None, origin: false, ..Policy::default() };
        let mut config = over(communication, policy);
        config.limits.clear_per_second = 3;
        let mut world = World::new(12);
        let tap = shared(Tap::default());
        world.set_adversary(tap.clone());
        let star = Star::add(&mut world, config, 2).unwrap();
        let mut scene = Scene { world, star, tap };
        all_join(&mut scene);
        say(&mut scene, 0, b"clear");
        scene.run(SECOND * 2);
        let (up, b, leader) = (scene.last("RA-D", scene.star.leader), scene.star.members[1], scene.star.leader);
        let from =
            |event: &Event| matches!(event, Event::Data(message) if matches!(message.from, Sender::Unauthenticated(_)));
        assert!(scene.world.events(b).iter().any(from));
        let next = |n: u64| {
            let mut made = draft(&up);
            number(&mut made, "counter", |counter| counter + n);
            made.frame()
        };
        let (leaders, members) = (ear(&scene, leader), ear(&scene, b));
        for (link, takes) in
            [(leaders, communication == Communication::Symmetric), (members, communication != Communication::Relay)]
        {
            if !takes {
                scene.refuses(link, next(1), Reason::NotMember);
                continue;
            }
            for n in 1..=3 {
                assert_eq!(scene.inject(link, next(n)), None, "{communication:?} {n}");
            }
            scene.refuses(link, next(4), Reason::Budget);
        }
        // That uses up nothing of what the member may say over its own link.
        if communication != Communication::Symmetric {
            assert_eq!(scene.inject(up.to_link, next(5)), None);
        }
    }
}

/// The mode may change while the group runs: it holds with the epoch that brings it.
#[test]
fn the_mode_changes_with_the_policy() {
    let mut scene = group(Communication::Relay, 3);
    let modes = [Communication::Symmetric, Communication::Relay, Communication::Mixed, Communication::Symmetric];
    for (turn, communication) in (0u8..).zip(modes) {
        let policy = Policy { communication, ..scene.leader().policy().clone() };
        scene.world.with(scene.star.leader, |leader, cx| leader.change_policy(cx, policy)).unwrap().unwrap();
        // Grace, the install and its echo.
        scene.run(PERIOD * 3);
        let Ways { channel, singly } = say(&mut scene, 1, &[turn]);
        let expected = match communication {
            Communication::Relay => (0, 3),
            Communication::Mixed => (1, 1),
            Communication::Symmetric => (1, 0),
        };
        assert_eq!((channel.len(), singly.len()), expected, "{communication:?}");
    }
    scene.all_is_well();
}

/// S6, S8: on the channel nobody stands between a member that was ejected and the others. Its messages end with their installs,
/// the latest of which is within T_max.
#[test]
fn s7_who_was_ejected_is_not_heard_after_the_install() {
    let mut scene = group(Communication::Symmetric, 3);
    let (out, b) = (scene.star.members[0], scene.star.members[1]);
    say(&mut scene, 0, b"before");
    let cid = scene.member(0).cid().unwrap();
    // It does not hear that it is out, and goes on with its key.
    let to = NodeId::from(out);
    scene.hold(move |frame, id| frame.to == to && id != "RA-D");
    let eject = format!("eject {cid}");
    scene.world.command(scene.star.leader, &eject, |leader, cx| leader.eject(cx, cid)).unwrap().unwrap();
    scene.run(SOON);
    scene.say(0, b"after").unwrap();
    scene.run(SOON);
    assert_eq!(Star::heard(&scene.world, b, b"after"), 0);
    assert_eq!(refused(&scene, b), [Reason::EvictedEpoch]);
    assert_eq!(refused(&scene, scene.star.leader), [Reason::EvictedEpoch]);
}

/// What is sealed apart from the machine goes where the machine says.
#[test]
fn the_ways_of_data_are_told() {
    let mut scene = group(Communication::Symmetric, 2);
    let (a, leader) = (scene.star.members[0], scene.star.leader);
    let (own, leaders) = (ear(&scene, a), ear(&scene, leader));
    assert_eq!(scene.member(0).data_link(), Some(own));
    assert_eq!(scene.leader().data_ways().collect::<Vec<_>>(), [To::Many([leaders].into())]);
    scene.world.close(own).unwrap();
    scene.run(PERIOD / 4 + SOON);
    let up = scene.last("RA-CL", a).to_link;
    let down = scene.last("RA-CM", leader).to_link;
    assert_eq!(scene.member(0).data_link(), Some(up));
    let ways: Vec<_> = scene.leader().data_ways().collect();
    assert_eq!(ways, [To::Many([leaders].into()), To::Many([down].into())]);
    let sealed = scene
        .world
        .command(a, "say apart", |member, cx| {
            let mut out = bytes::BytesMut::new();
            member.take_sealer(cx).unwrap().seal(cx.now, Port::Application, b"apart", &mut out).unwrap();
            out.freeze()
        })
        .unwrap();
    assert_eq!(scene.inject(down, sealed), None);
    scene.run(SOON);
    assert_eq!(Star::heard(&scene.world, scene.star.members[1], b"apart"), 1);
}

/// Under loss: nothing is delivered twice or out of a false mouth (the checkers look on), most arrives, and once it is calm all
/// does.
#[test]
fn under_loss_messages_come_once_or_not_at_all() {
    for communication in Communication::ALL {
        for views in [Views::Exact, Views::BestEffort] {
            let link = LinkConfig::DATAGRAM.faults(Faults::HARSH).delay(SECOND / 100, SECOND / 100);
            let policy = Policy { views, ..Policy::default() };
            let config = StarConfig { link, multicast: Some(link), ..over(communication, policy) };
            let mut scene = Scene::open(config, &["m1", "m2", "m3"]);
            scene.star.join_always(&mut scene.world).unwrap();
            scene.run(SECOND * 30);
            let (mut said, mut heard) = (0, 0);
            for turn in 0..60u32 {
                let text = turn.to_be_bytes();
                let speaker = (turn % 4) as usize;
                if scene.say(speaker, &text).is_ok() {
                    scene.run(SECOND);
                    said += 3;
                    heard +=
                        everybody(&scene).into_iter().map(|node| Star::heard(&scene.world, node, &text)).sum::<usize>();
                }
                if turn % 20 == 10 {
                    scene.rekey();
                }
            }
            println!("{communication:?}: {heard} of {said}");
            assert!(heard * 10 > said * 5 && heard <= said, "{heard} of {said}");
            scene.world.calm();
            scene.run(SECOND * 60);
            for n in 0..4 {
                say(&mut scene, n, format!("at last, from {n}").as_bytes());
            }
            scene.all_is_well();
        }
    }
}
