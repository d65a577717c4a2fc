//! RA §5, "What cannot be read": why a message cannot be read is told by one local reason, with what the message claims, and
//! what is expected is told apart from faults (R23, R46).
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod scene;

use bytes::{Bytes, BytesMut};
use scene::{SECOND, SOON, Scene, T_MAX, config, draft, number, strangers_link};
use sodality::crypto::faulty::Faulty;
use sodality::crypto::symbolic::symbolic;
use sodality::endpoint::{Cx, Endpoint, Link};
use sodality::error::{Failure, Reason};
use sodality::event::{Claims, Event, Lacking};
use sodality::explain::{Class, Explained};
use sodality::group::Checks;
use sodality::identity::{Epoch, MemberId};
use sodality::policy::Policy;
use sodality::sim::star::{Star, StarConfig};
use sodality::sim::{InTransit, NodeId, SimRng};

/// What was told of the newest refusal.
fn refusal(scene: &Scene, node: impl Into<NodeId>) -> (Reason, Option<Claims>) {
    let told = scene.world.events(node).iter().rev().find_map(|event| match event {
        Event::Rejected { why, claims, .. } => Some((*why, *claims)),
        _ => None,
    });
    told.expect("something was refused")
}

fn claims(sender: u64, epoch: Epoch) -> Option<Claims> {
    Some(Claims { sender: MemberId(sender), epoch })
}

/// The frame is refused for this reason, is told with what it claims, and nothing has changed.
#[track_caller]
fn unread(scene: &mut Scene, link: Link, frame: impl Into<Bytes>, why: Reason, claimed: Option<Claims>) {
    let node = scene.world.holder(link).unwrap();
    scene.refuses(link, frame, why);
    assert_eq!(refusal(scene, node), (why, claimed));
}

/// What the second member says under the key of now; `held` keeps it from the first.
fn said(scene: &mut Scene, text: &[u8]) -> InTransit {
    scene.say(1, text).unwrap();
    scene.run(SOON);
    let to = scene.star.members[0];
    scene.last("RA-D", to)
}

#[test]
fn what_was_said_before_the_join_is_expected_and_says_so() {
    let mut scene = Scene::open(config(Policy::default(), Checks::ALL), &["m1", "m2", "m3"]);
    scene.join(0);
    scene.join(1);
    scene.run(SECOND * 12);
    let before = said(&mut scene, b"among the two of us");
    let epoch = scene.leader().epoch();
    let newcomer = scene.star.members[2];
    scene.join(2);
    scene.run(SECOND * 12);
    let link = scene.last("RA-CL", newcomer).to_link;
    assert!(scene.member(2).is_current());
    unread(&mut scene, link, before.bytes, Reason::BeforeJoin, claims(2, epoch));
    assert_eq!(Reason::BeforeJoin.class(), Class::Expected);
    scene.all_is_well();
}

#[test]
fn what_an_eviction_has_ended_is_told_apart_from_a_grace_that_is_over() {
    let mut scene = Scene::joined(Checks::ALL, 3);
    let late = said(&mut scene, b"in time");
    let plain = scene.leader().epoch();
    scene.rekey();
    scene.run(SECOND * 6);
    let to = late.to_link;
    unread(&mut scene, to, late.bytes.clone(), Reason::OldEpoch, claims(2, plain));
    let withheld = said(&mut scene, b"before somebody went");
    let evicted = scene.leader().epoch();
    scene.leave(2);
    scene.run(SECOND * 2);
    unread(&mut scene, to, withheld.bytes, Reason::EvictedEpoch, claims(2, evicted));
    assert_eq!(Reason::EvictedEpoch.class(), Class::Expected);
    // At the leader as well.
    let leader = scene.star.leader;
    let here = scene.frames("RA-D", leader).pop().unwrap();
    unread(&mut scene, here.to_link, here.bytes, Reason::EvictedEpoch, claims(2, evicted));
    scene.all_is_well();
}

/// R23: jumped over, told at the install, and what was said meanwhile has a reason of its own.
#[test]
fn missed_epochs_are_told_and_what_was_said_in_them_cannot_be_read() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let (member, first) = (scene.star.members[0], scene.member(0).epoch());
    scene.hold(move |frame, id| frame.to == member.id && (id == "RA-R" || id == "RA-D"));
    for text in [&b"one"[..], b"two"] {
        scene.rekey();
        scene.run(SECOND * 6);
        scene.say(1, text).unwrap();
        scene.run(SOON);
    }
    scene.rekey();
    scene.run(SOON);
    let held: Vec<_> = scene.release();
    scene.run(SECOND * 8);
    assert_eq!(scene.member(0).epoch(), Epoch(first.0 + 3));
    let missed = Event::Missed { first: Epoch(first.0 + 1), last: Epoch(first.0 + 2) };
    let events = scene.world.events(member);
    let at = events.iter().position(|event| *event == missed).expect("it is told which epochs were missed");
    assert!(
        matches!(events[at - 1], Event::Installed { epoch, .. } if epoch.0 == first.0 + 3),
        "at the install that jumps over them"
    );
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Missed { .. })).count(), 1);
    let data: Vec<_> = held.iter().filter(|frame| scene::draft(frame).info.id == "RA-D").collect();
    assert_eq!(data.len(), 2);
    for (frame, n) in data.iter().zip(1..) {
        unread(&mut scene, frame.to_link, frame.bytes.clone(), Reason::MissedEpoch, claims(2, Epoch(first.0 + n)));
    }
    // Who had every key missed nothing.
    let other = scene.star.members[1];
    assert!(!scene.world.events(other).iter().any(|event| matches!(event, Event::Missed { .. })));
    scene.all_is_well();
}

#[test]
fn a_member_that_is_behind_says_what_it_lacks() {
    let mut scene = Scene::open(config(Policy::default(), Checks::ALL), &["m1", "m2", "m3", "m4", "m5"]);
    for n in 0..2 {
        scene.join(n);
    }
    scene.run(SECOND * 12);
    let (lagging, epoch) = (scene.star.members[0], scene.member(0).epoch());
    let behind = |scene: &Scene| -> Vec<(u64, Lacking)> {
        let told = scene.world.events(lagging).iter().filter_map(|event| match event {
            Event::Behind { epoch: shown, lacks } => Some((shown.0 - epoch.0, *lacks)),
            _ => None,
        });
        told.collect()
    };
    let before = behind(&scene).len();
    // No key comes.
    scene.hold(move |frame, id| frame.to == lagging.id && id == "RA-R");
    scene.join(2);
    scene.run(SECOND * 8);
    assert_eq!(behind(&scene)[before..], [(1, Lacking::Key)]);
    // Two more epochs pass unseen. Then the last key comes, and the view that belongs to it does not: the change that comes
    // with it starts from a view that never came.
    scene.hold(move |frame, id| frame.to == lagging.id && (id == "RA-R" || id == "RA-CL"));
    for n in 3..5 {
        scene.join(n);
        scene.run(SECOND * 6);
    }
    scene.hold(move |frame, id| frame.to == lagging.id && id == "RA-CL");
    scene.run(SECOND * 3);
    assert_eq!(behind(&scene)[before..], [(1, Lacking::Key), (1, Lacking::View)], "told once more, for another reason");
    scene.release();
    scene.run(SECOND * 8);
    assert!(scene.member(0).is_current());
    assert!(scene.told(lagging, &Event::Missed { first: Epoch(epoch.0 + 1), last: Epoch(epoch.0 + 2) }));
    scene.all_is_well();
}

/// With a copy of a true frame that claims another epoch; nothing else about it is changed, and its box is as it was.
fn claiming(frame: &InTransit, epoch: u64, counter: u64) -> Bytes {
    let mut forged = draft(frame);
    number(&mut forged, "epoch", |_| epoch);
    number(&mut forged, "counter", |_| counter);
    forged.frame()
}

#[test]
fn what_comes_before_its_key_waits_overflows_or_is_given_up() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let frame = said(&mut scene, b"something true");
    let (member, now) = (scene.star.members[0], scene.member(0).epoch());
    let most = scene.star.config.limits.early_frames as u64;
    for n in 0..most {
        let early = claiming(&frame, now.0 + 7, n);
        assert_eq!(scene.inject(frame.to_link, early), None, "it waits");
    }
    let overflow = claiming(&frame, now.0 + 7, most);
    unread(&mut scene, frame.to_link, overflow, Reason::EarlyOverflow, claims(2, Epoch(now.0 + 7)));
    let before = scene.world.events(member).len();
    scene.rekey();
    scene.run(SECOND);
    let given_up =
        Event::Rejected { link: frame.to_link, why: Reason::EarlyEpoch, claims: claims(2, Epoch(now.0 + 7)) };
    let told = scene.world.events(member)[before..].iter().filter(|event| **event == given_up).count();
    assert_eq!(told as u64, most, "given up at the install, each with its claim");
    // The leader makes the keys: to it no key is early.
    let leader = scene.star.leader;
    let here = scene.last("RA-D", leader);
    let never = claiming(&here, now.0 + 7, 0);
    unread(&mut scene, here.to_link, never, Reason::NoSuchEpoch, claims(2, Epoch(now.0 + 7)));
    let zero = claiming(&frame, 0, 0);
    unread(&mut scene, frame.to_link, zero, Reason::NoSuchEpoch, claims(2, Epoch(0)));
    assert_eq!((Reason::EarlyEpoch.class(), Reason::NoSuchEpoch.class()), (Class::Expected, Class::Fault));
}

#[test]
fn a_stale_member_says_that_the_cause_is_its_own() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let frame = said(&mut scene, b"something true");
    let (member, epoch) = (scene.star.members[0], scene.member(0).epoch());
    scene.hold(move |frame, _| frame.to == member.id);
    scene.run(T_MAX + SECOND);
    assert!(scene.told(member, &Event::Stale));
    let fresh = claiming(&frame, epoch.0, 40);
    unread(&mut scene, frame.to_link, fresh, Reason::NotCurrent, claims(2, epoch));
    assert_eq!(Reason::NotCurrent.class(), Class::Expected);
}

#[test]
fn faults_are_told_as_faults() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let frame = said(&mut scene, b"something true");
    let (epoch, link) = (scene.member(0).epoch(), frame.to_link);
    unread(&mut scene, link, frame.bytes.clone(), Reason::Replayed, claims(2, epoch));
    let forged = claiming(&frame, epoch.0, 40);
    unread(&mut scene, link, forged, Reason::Forged, claims(2, epoch));
    let mut stranger = draft(&frame);
    number(&mut stranger, "cid", |_| 99);
    unread(&mut scene, link, stranger.frame(), Reason::NotMember, claims(99, epoch));
    let mut weaker = draft(&frame);
    weaker.clear.find_mut("kind").unwrap().content = sodality::wire::shape::Content::Leaf(vec![1]);
    unread(&mut scene, link, weaker.frame(), Reason::Protection, claims(2, epoch));
    for why in [Reason::Replayed, Reason::Forged, Reason::NotMember, Reason::Protection] {
        assert_eq!(why.class(), Class::Fault, "{why:?}");
    }
    // Of another group: nothing is told of what it claims, since that means nothing here.
    let mut foreign = draft(&frame);
    foreign.clear.find_mut("group").unwrap().content = sodality::wire::shape::Content::Leaf(vec![7; 16]);
    unread(&mut scene, link, foreign.frame(), Reason::OtherGroup, None);
    // What is no data claims nothing.
    unread(&mut scene, link, &b"abc"[..], Reason::Malformed, None);
    let channel = scene.last("RA-CL", scene.star.members[0]);
    unread(&mut scene, link, channel.bytes, Reason::Replayed, None);
    scene.all_is_well();
}

#[test]
fn a_member_on_its_way_out_reads_nothing_and_says_so() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let frame = said(&mut scene, b"something true");
    let member = scene.star.members[0];
    scene.hold(move |frame, _| frame.from == member.id);
    scene.leave(0);
    scene.run(SOON);
    unread(&mut scene, frame.to_link, frame.bytes.clone(), Reason::Ended, None);
    scene.run(SECOND * 30);
    unread(&mut scene, frame.to_link, frame.bytes, Reason::NotJoined, None);
}

/// R46: a flood costs a bounded number of events, whatever it claims, and each frame is counted.
#[test]
fn a_flood_of_claims_is_counted_and_its_events_are_bounded() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let frame = said(&mut scene, b"something true");
    let here = scene.star.leader;
    let at_leader = scene.last("RA-D", here);
    let link = strangers_link(&mut scene);
    let (now, epoch) = (scene.world.now(), scene.member(0).epoch().0);
    let (mut member, mut leader) = (scene.member(0).clone(), scene.leader().clone());
    let limits = scene.star.config.limits;
    let mut rng = SimRng::new(46);
    for (machine, copy, link) in
        [(&mut member as &mut dyn Endpoint, &frame, frame.to_link), (&mut leader, &at_leader, link)]
    {
        // What the world has not drained yet is none of the flood's.
        while machine.poll_event().is_some() {}
        let before = machine.stats().rejections() + machine.stats().overruns;
        for n in 0..5_000u64 {
            // Old, early, never made, forged; under ever new names and numbers.
            let mut forged = draft(copy);
            number(&mut forged, "epoch", |_| [1, epoch, epoch + 1 + n, 0][(n % 4) as usize]);
            number(&mut forged, "cid", |_| 10 + n);
            number(&mut forged, "counter", |_| n);
            machine.handle_frame(&mut Cx::new(now, &mut rng), link, BytesMut::from(&*forged.frame())).unwrap();
        }
        let refused = machine.stats().rejections() + machine.stats().overruns - before;
        assert!(refused >= 5_000 - limits.early_frames as u64, "{refused} of 5,000 were refused and counted");
        let told: Vec<_> = std::iter::from_fn(|| machine.poll_event()).collect();
        assert!(!told.is_empty() && told.len() <= limits.out_events, "{} events", told.len());
        assert!(told.iter().all(|event| matches!(event, Event::Rejected { .. })), "strangers cause no other event");
        assert!(machine.poll_transmit(&mut Cx::new(now, &mut rng)).is_none(), "silence on the wire (R4)");
    }
    assert_eq!(Star::heard(&scene.world, scene.star.members[0], b"something true"), 1);
}

/// A suite that fails while the key is installed: the member says so, tries again, and is current in the end.
#[test]
fn a_member_whose_suite_fails_says_that_the_cause_is_its_own() {
    let faulty = Faulty::new(symbolic().silent());
    let config = StarConfig { suite: faulty.suite(), ..config(Policy::default(), Checks::ALL) };
    let mut scene = Scene::settled(config, &["m1", "m2"]);
    let member = scene.star.members[0];
    scene.hold(move |frame, id| frame.to == member.id && id == "RA-R");
    scene.rekey();
    scene.run(SECOND * 6);
    let key = scene.last("RA-R", member);
    let shown = scene.leader().epoch();
    assert!(scene.told(member, &Event::Behind { epoch: shown, lacks: Lacking::Key }));
    let (now, mut rng) = (scene.world.now(), SimRng::new(9));
    let mut told = 0;
    for k in 1..20 {
        let mut copy = scene.member(0).clone();
        faulty.fail_at(k);
        copy.handle_frame(&mut Cx::new(now, &mut rng), key.to_link, BytesMut::from(&*key.bytes)).unwrap();
        faulty.disarm();
        let events: Vec<_> = std::iter::from_fn(|| copy.poll_event()).collect();
        let lacks = Event::Behind { epoch: shown, lacks: Lacking::Suite };
        assert_eq!(events.contains(&lacks), events.contains(&Event::Hindered(Failure::Suite)), "{k}: {events:?}");
        told += usize::from(events.contains(&lacks));
    }
    assert!(told > 0, "no call failed between the key and its install");
    assert_eq!(Lacking::Suite.class(), Class::Own);
    scene.release();
    scene.run(SECOND * 8);
    scene.all_is_well();
}
