//! Rules of the repaired Antigone that no larger scenario pins down.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use core::time::Duration;

use bytes::BytesMut;
use sodality::antigone::Access;
use sodality::crypto::chacha20_poly1305;
use sodality::endpoint::{Endpoint, Instant};
use sodality::error::Misuse;
use sodality::event::{Event, Port, Refusal};
use sodality::policy::{Detection, Policy};
use sodality::sim::star::{Star, StarConfig};
use sodality::sim::{LinkConfig, Recorder, World, shared};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn star(world: &mut World, members: usize, change: impl FnOnce(&mut StarConfig)) -> Star {
    let mut config = StarConfig::new(chacha20_poly1305());
    change(&mut config);
    config.policy.check().unwrap();
    Star::add(world, config, members).unwrap()
}

/// The data plane is separable: what the taken sealer makes is what the machine would have made; it ends with
/// its key, and a second take is misuse.
#[test]
fn the_sealer_can_be_moved_out_once_for_each_epoch() {
    let mut world = World::new(31);
    let star = star(&mut world, 2, |_| ());
    star.join_all(&mut world, MINUTE).unwrap();
    world.run_for(SECOND * 10).unwrap();
    let (sender, receiver) = (star.members[0], star.members[1]);
    let mut sealer = world.with(sender, |member, cx| member.take_sealer(cx)).unwrap().unwrap();
    let again = world.with(sender, |member, cx| member.take_sealer(cx).map(|_| ())).unwrap();
    assert_eq!(again, Err(Misuse::SealerTaken));
    let refused = world.with(sender, |member, cx| member.send(cx, Port::Application, b"no")).unwrap();
    assert_eq!(refused, Err(Misuse::SealerTaken.into()));
    let link = world.links_of(star.leader)[0];
    let own = world.links_between(star.leader, sender)[0];
    assert_eq!(world.holder(link), Some(star.leader.into()));
    let until = world.get(sender).unwrap().evidence_until().unwrap();
    let mut frame = BytesMut::new();
    sealer.seal(world.now(), Port::Application, b"sealed elsewhere", &mut frame).unwrap();
    world.inject(own, frame.freeze(), Duration::ZERO);
    world.run_for(SECOND).unwrap();
    assert_eq!(Star::heard(&world, receiver, b"sealed elsewhere"), 1);
    // The lease: without new evidence it stops where the member's own would have.
    let mut late = BytesMut::new();
    let stopped = sealer.seal(until, Port::Application, b"late", &mut late);
    assert_eq!(stopped, Err(Misuse::NotCurrent.into()));
    // The key ends, and the sealer with it; the next epoch has one of its own.
    world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
    world.run_for(SECOND * 10).unwrap();
    sealer.extend(Instant::from_micros(u64::MAX));
    assert_eq!(sealer.seal(world.now(), Port::Application, b"old", &mut late), Err(Misuse::NotCurrent.into()));
    star.say(&mut world, 0, b"in the next epoch").unwrap().unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(Star::heard(&world, receiver, b"in the next epoch"), 1);
}

/// RA §4.1: "silence refuses", and the refusal is sealed; the verdict serves every join of that name for T_pend.
#[test]
fn an_application_is_asked_once_and_its_silence_refuses() {
    let mut world = World::new(32);
    let star = star(&mut world, 1, |config| config.access = Access::Ask);
    let member = star.members[0];
    let asked = |world: &World| {
        world.events(star.leader).iter().filter(|event| matches!(event, Event::AdmissionWanted { .. })).count()
    };
    world.with(member, |member, cx| member.join(cx)).unwrap().unwrap();
    world.run_for(SECOND * 16).unwrap();
    assert_eq!(asked(&world), 1);
    let refused = |event: &Event| *event == Event::JoinRefused(Refusal::Denied);
    assert!(world.events(member).iter().any(refused), "{:?}", world.events(member));
    // Asked again, and now it says yes; a second join within T_pend is not asked about.
    world.run_for(MINUTE).unwrap();
    world.with(member, |member, cx| member.join(cx)).unwrap().unwrap();
    world.run_for(SECOND).unwrap();
    let ticket = world.events(star.leader).iter().rev().find_map(|event| match event {
        Event::AdmissionWanted { ticket, .. } => Some(*ticket),
        _ => None,
    });
    world.with(star.leader, |leader, cx| leader.admit(cx, ticket.unwrap(), true)).unwrap().unwrap();
    world.eventually(SECOND * 5, "it is in", |world| star.converged(world)).unwrap();
    world.with(member, |member, cx| member.leave(cx)).unwrap().unwrap();
    world.run_for(SECOND).unwrap();
    world.with(member, |member, cx| member.join(cx)).unwrap().unwrap();
    world.eventually(SECOND * 10, "it is in again", |world| star.converged(world)).unwrap();
    assert_eq!(asked(&world), 2);
}

/// A join that the leader lets wait for a rekey is not given up while the leader lives (RA §4.1, epoch 0).
#[test]
fn a_newcomer_waits_for_a_long_grace() {
    let mut world = World::new(33);
    let grace = SECOND * 40;
    let star = star(&mut world, 2, |config| config.policy = Policy { grace, ..Policy::default() });
    assert!(grace > star.config.limits.join_time * 2);
    star.join_all(&mut world, MINUTE).unwrap();
    let failed = |event: &Event| matches!(event, Event::JoinFailed(_));
    assert!(!star.members.iter().any(|member| world.events(*member).iter().any(failed)));
}

/// Without polls, a question that is lost is asked again until the leader answers.
#[test]
fn without_detection_a_lost_question_is_repeated() {
    let mut world = World::new(34);
    let star = star(&mut world, 1, |config| {
        config.policy = Policy { detection: None, frame_limit: 1_200, ..Policy::default() };
        config.link = LinkConfig::DATAGRAM;
    });
    star.join_all(&mut world, MINUTE).unwrap();
    let member = star.members[0];
    world.run_for(SECOND * 10).unwrap();
    // What the member says is lost for a while: the leader never hears that the new key is installed.
    let uplink = world.links_between(member, star.leader)[0];
    assert_eq!(world.holder(uplink), Some(member.into()));
    world.block(uplink, true).unwrap();
    world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
    world.run_for(SECOND * 3).unwrap();
    let (cid, epoch) = (world.get(member).unwrap().cid().unwrap(), world.get(star.leader).unwrap().epoch());
    assert_eq!(world.get(member).unwrap().epoch(), epoch);
    assert_ne!(world.get(star.leader).unwrap().installed(cid), Some(epoch));
    world.block(uplink, false).unwrap();
    world.run_for(SECOND * 10).unwrap();
    assert_eq!(world.get(star.leader).unwrap().installed(cid), Some(epoch));
    assert!(world.get(member).unwrap().is_current());
    // And then there is silence: nothing is asked without end.
    let before = world.get(member).unwrap().stats().frames_out;
    world.run_for(MINUTE * 5).unwrap();
    assert_eq!(world.get(member).unwrap().stats().frames_out, before);
}

/// RA §4.6: an end that asks is answered, so that the leader need not repeat it until T_end.
#[test]
fn a_member_answers_the_leaders_end() {
    let mut world = World::new(35);
    let tape = shared(Recorder::default());
    world.set_adversary(tape.clone());
    let mut star = star(&mut world, 1, |_| ());
    star.join_all(&mut world, MINUTE).unwrap();
    world.run_for(SECOND * 10).unwrap();
    // Another machine of the same name takes over: the first one is told, and answers.
    let first = star.members[0];
    let second = sodality::sim::star::member_machine(&star.config, "m1").unwrap();
    let second = world.add("m1 again", second).unwrap();
    star.members.push(second);
    world.with(second, |member, cx| member.join(cx)).unwrap().unwrap();
    world.run_for(SECOND * 20).unwrap();
    assert!(world.events(first).iter().any(|event| matches!(event, Event::Ended(_))));
    assert!(world.get(second).unwrap().is_current());
    let after = tape.borrow().frames.len();
    let to_first: Vec<_> = tape.borrow().frames[..after]
        .iter()
        .filter(|frame| frame.to == first.into() && frame.sent > world.now() - SECOND * 20)
        .map(|frame| frame.sent)
        .collect();
    let last = to_first.last().copied().unwrap();
    assert!(world.now().since(last) > SECOND * 15, "the end was repeated although it was answered");
}

/// RA §4.4: a link that carries less than the policy's frames is not used, also when it comes later.
#[test]
fn a_link_that_is_too_small_is_not_used() {
    let mut world = World::new(36);
    let star = star(&mut world, 1, |config| {
        config.policy.detection = Some(Detection { period: SECOND, misses: 3 });
    });
    star.join_all(&mut world, MINUTE).unwrap();
    let member = star.members[0];
    let old = world.links_between(star.leader, member)[0];
    let small = LinkConfig::STREAM.max_frame(2_000);
    world.connect(member, star.leader, small).unwrap();
    world.close(old).unwrap();
    world.run_for(SECOND * 10).unwrap();
    // It asked for another link instead, and goes on over that.
    assert!(world.get(member).unwrap().is_current());
    assert!(star.converged(&world));
}

/// R40: a copy of a frame that comes first over another's link neither holds up a join nor keeps a message from anybody.
#[test]
fn a_copy_that_comes_first_elsewhere_harms_nobody() {
    let mut world = World::new(37);
    let tape = shared(Recorder::default());
    world.set_adversary(tape.clone());
    let mut star = star(&mut world, 2, |config| {
        config.policy = Policy { frame_limit: 1_200, grace: SECOND, settle: SECOND / 2, ..Policy::default() };
        config.link = LinkConfig::DATAGRAM;
    });
    star.join_all(&mut world, MINUTE).unwrap();
    world.run_for(SECOND * 5).unwrap();
    let late = star.add_member(&mut world, "late").unwrap();
    world.with(late, |member, cx| member.join(cx)).unwrap().unwrap();
    world.run_for(Duration::from_millis(5)).unwrap();
    let own = world.links_between(late, star.leader)[0];
    let elsewhere = world.links_between(star.leader, star.members[1])[0];
    // What it says is lost; a copy reaches the leader over another's link.
    world.block(own, true).unwrap();
    world.with(late, |member, cx| member.leave(cx)).unwrap().unwrap();
    world.with(late, |member, cx| member.join(cx)).unwrap().unwrap();
    world.run_for(Duration::from_millis(5)).unwrap();
    let request = tape.borrow().frames.iter().rev().find(|frame| frame.from_link == own).unwrap().bytes.clone();
    world.inject(elsewhere, request, Duration::ZERO);
    world.run_for(Duration::from_millis(100)).unwrap();
    world.block(own, false).unwrap();
    world.eventually(SECOND * 5, "it has joined", |world| star.converged(world)).unwrap();

    world.run_for(SECOND * 2).unwrap();
    let sender = world.links_between(star.members[0], star.leader)[0];
    world.block(sender, true).unwrap();
    star.say(&mut world, 0, b"to all").unwrap().unwrap();
    let message = tape.borrow().frames.iter().rev().find(|frame| frame.from_link == sender).unwrap().bytes.clone();
    world.inject(elsewhere, message, Duration::ZERO);
    world.run_for(SECOND).unwrap();
    for member in [star.members[1], late] {
        assert_eq!(Star::heard(&world, member, b"to all"), 1);
    }
}
