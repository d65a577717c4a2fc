//! What repaired Enclaves does when something happens: silence, takeover, rekeys, ejections, another policy, a sealer on its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use bytes::BytesMut;
use sodality::crypto::chacha20_poly1305;
use sodality::enclaves::Member;
use sodality::endpoint::Link;
use sodality::error::{CommandError, Misuse};
use sodality::event::{Cause, Causes, EjectVerdict, EndReason, Ending, Event, JoinFailure, Port, Refusal, Suspicion};
use sodality::identity::{MemberId, Version};
use sodality::policy::{Detection, EjectRequests, Floor, OnSilence, Policy, Protection};
use sodality::sim::enclaves::member_machine;
use sodality::sim::star::Star as Any;
use sodality::sim::{DropMatching, EnclaveConfig, EnclaveStar, InTransit, LinkConfig, Moment, Node, Tables, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn group(seed: u64, policy: Policy, members: usize) -> (World, EnclaveStar) {
    let mut world = World::new(seed);
    let config = EnclaveConfig {
        policy,
        link: LinkConfig::DATAGRAM.max_frame(65_536),
        ..EnclaveConfig::new(chacha20_poly1305())
    };
    let star = EnclaveStar::add(&mut world, config, members).unwrap();
    star.join_all(&mut world, MINUTE).unwrap_or_else(|stop| panic!("{stop}"));
    world.run_for(SECOND * 6).unwrap();
    (world, star)
}

fn removal(world: &World, star: &EnclaveStar, cid: MemberId) -> Option<(Cause, MemberId)> {
    world.events(star.leader).iter().find_map(|event| match event {
        Event::MemberRemoved { cid: gone, cause, by, .. } if *gone == cid => Some((*cause, *by)),
        _ => None,
    })
}

fn installs(world: &World, star: &EnclaveStar) -> Vec<Causes> {
    let causes = |event: &Event| match event {
        Event::Installed { causes, .. } => Some(*causes),
        _ => None,
    };
    world.events(star.leader).iter().filter_map(causes).collect()
}

fn cid(world: &World, member: Node<Member>) -> MemberId {
    world.get(member).unwrap().cid().unwrap()
}

#[test]
fn a_silent_member_is_removed_in_time_and_the_key_changes() {
    let (mut world, star) = group(1, Policy::default(), 3);
    let detection = Policy::default().detection.unwrap();
    let (lost, bound) = (star.members[2], detection.silence(SECOND / 2));
    let (number, before) = (cid(&world, lost), world.get(star.leader).unwrap().epoch());
    world.partition([lost]).unwrap();
    world.run_for(bound - SECOND * 4).unwrap();
    assert!(world.get(star.leader).unwrap().view().contains(number), "not before its time");
    // The leader may have heard it just now: it asks half a period later, and waits an RTO for others to go with it.
    world.run_for(SECOND * 5 + detection.period / 2).unwrap();
    assert_eq!(removal(&world, &star, number), Some((Cause::Failure, MemberId::LEADER)));
    assert!(world.get(star.leader).unwrap().epoch() > before);
    let suspected = Event::Suspected { cid: number, why: Suspicion::Silence };
    assert!(world.events(star.leader).contains(&suspected));
    // The member knows as soon that its key may be an old one (S8), and in the end that its leader is lost.
    assert!(world.events(lost).contains(&Event::Stale));
    let refused = world.with(lost, |member, cx| member.send(cx, Port::Application, b"x")).unwrap();
    assert_eq!(refused, Err(CommandError::Misuse(Misuse::NotCurrent)));
    world.run_for(MINUTE).unwrap();
    assert!(world.events(lost).contains(&Event::Ended(Ending::LeaderLost)));
}

#[test]
fn silence_may_be_reported_only_and_without_detection_an_unanswered_message_counts() {
    let policy = Policy { on_silence: OnSilence::Report, ..Policy::default() };
    let (mut world, star) = group(2, policy, 2);
    let number = cid(&world, star.members[1]);
    world.partition([star.members[1]]).unwrap();
    world.run_for(MINUTE).unwrap();
    assert!(world.get(star.leader).unwrap().view().contains(number), "reported, and kept");
    let suspected = Event::Suspected { cid: number, why: Suspicion::Silence };
    assert!(world.events(star.leader).contains(&suspected));
    // D33.
    let policy = Policy { detection: None, ..Policy::default() };
    let (mut world, star) = group(2, policy, 2);
    let number = cid(&world, star.members[1]);
    world.partition([star.members[1]]).unwrap();
    world.run_for(MINUTE).unwrap();
    assert!(world.get(star.leader).unwrap().view().contains(number), "nothing is owed to it");
    world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
    world.run_for(star.config.limits.silence + SECOND).unwrap();
    assert_eq!(removal(&world, &star, number), Some((Cause::Failure, MemberId::LEADER)));
}

#[test]
fn a_quiet_group_stays_current_for_an_hour() {
    for detection in [Detection { period: SECOND * 5, misses: 3 }, Detection { period: SECOND * 5, misses: 1 }] {
        let (mut world, star) = group(3, Policy { detection: Some(detection), ..Policy::default() }, 2);
        world.run_for(MINUTE * 60).unwrap();
        for member in &star.members {
            let bad = |event: &&Event| matches!(event, Event::Stale | Event::Rejected { .. } | Event::Behind { .. });
            let bad: Vec<_> = world.events(*member).iter().filter(bad).collect();
            assert!(bad.is_empty(), "{detection:?}: {bad:?}");
            assert!(world.get(*member).unwrap().is_current());
        }
    }
}

#[test]
fn a_second_join_takes_over_or_is_refused_by_policy() {
    for takeover in [true, false] {
        let (mut world, star) = group(4, Policy { takeover, ..Policy::default() }, 2);
        let old = cid(&world, star.members[0]);
        let second = world.add("again", member_machine(&star.config, "m1").unwrap()).unwrap();
        world.with(second, |member, cx| member.join(cx)).unwrap().unwrap();
        world.run_for(SECOND * 10).unwrap();
        assert_eq!(world.get(second).unwrap().is_current(), takeover);
        assert_eq!(world.get(star.members[0]).unwrap().is_current(), !takeover);
        if takeover {
            let ended = Event::Ended(Ending::ByLeader(EndReason::TakenOver));
            assert!(world.events(star.members[0]).contains(&ended), "{:?}", world.events(star.members[0]));
            assert_eq!(removal(&world, &star, old), Some((Cause::Takeover, old)));
        } else {
            let refused = |event: &Event| {
                matches!(
                    event,
                    Event::JoinRefused(Refusal::Busy) | Event::JoinFailed(JoinFailure::Ended(EndReason::Busy))
                )
            };
            assert!(world.events(second).iter().any(refused));
        }
    }
}

#[test]
fn each_cause_changes_the_key() {
    let builder = Policy::builder().rekey_every(SECOND * 30).rekey_after_messages(5).rekey_after_bytes(2_000);
    let (mut world, star) = group(5, builder.build().unwrap(), 3);
    for n in 0..5u8 {
        star.say(&mut world, 0, &[n]).unwrap().unwrap();
    }
    world.run_for(SECOND * 8).unwrap();
    star.say(&mut world, 1, &[0; 2_000]).unwrap().unwrap();
    world.run_for(SECOND * 8).unwrap();
    world.run_for(SECOND * 31).unwrap();
    world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
    world.run_for(SECOND * 8).unwrap();
    world.with(star.members[2], |member, cx| member.leave(cx)).unwrap().unwrap();
    world.run_for(SECOND * 2).unwrap();
    let number = cid(&world, star.members[1]);
    world.with(star.leader, |leader, cx| leader.eject(cx, number)).unwrap().unwrap();
    world.run_for(SECOND * 2).unwrap();
    assert!(world.events(star.members[1]).contains(&Event::Ended(Ending::ByLeader(EndReason::Ejected))));
    let all = installs(&world, &star);
    for cause in [Cause::Join, Cause::Messages, Cause::Bytes, Cause::Period, Cause::Command, Cause::Leave, Cause::Eject]
    {
        assert!(all.iter().any(|causes| causes.contains(cause)), "{cause:?}: {all:?}");
    }
    assert!(star.converged(&world));
    // Who went has no key that is in use now.
    star.say(&mut world, 0, b"among us").unwrap().unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(Any::heard(&world, star.members[1], b"among us"), 0);
    assert_eq!(Any::heard(&world, star.leader, b"among us"), 1);
}

#[test]
fn members_ask_for_ejections_as_the_policy_says() {
    let verdict = |requests, says: Option<bool>| {
        let (mut world, star) = group(6, Policy { eject_requests: requests, ..Policy::default() }, 3);
        if let Some(eject) = says {
            world
                .set_app(star.leader, move |leader, cx, moment| {
                    if let Moment::Event(Event::EjectionWanted { ticket, .. }) = moment {
                        leader.decide_ejection(cx, *ticket, eject).unwrap();
                    }
                })
                .unwrap();
        }
        let target = cid(&world, star.members[1]);
        world.with(star.members[0], |member, cx| member.request_ejection(cx, target)).unwrap().unwrap();
        world.run_for(SECOND * 65).unwrap();
        let gone = !world.get(star.leader).unwrap().view().contains(target);
        if gone {
            assert_eq!(removal(&world, &star, target), Some((Cause::Eject, cid(&world, star.members[0]))));
        }
        let answer = |event: &Event| match event {
            Event::EjectionAnswered { target: of, verdict } if *of == target => Some(*verdict),
            _ => None,
        };
        let answers: Vec<_> = world.events(star.members[0]).iter().filter_map(answer).collect();
        (answers, gone)
    };
    assert_eq!(verdict(EjectRequests::Refused, None), (vec![EjectVerdict::NotAllowed], false));
    assert_eq!(verdict(EjectRequests::Granted, None), (vec![EjectVerdict::Ejected], true));
    assert_eq!(verdict(EjectRequests::Asked, Some(true)), (vec![EjectVerdict::Ejected], true));
    assert_eq!(verdict(EjectRequests::Asked, Some(false)), (vec![EjectVerdict::Denied], false));
    assert_eq!(verdict(EjectRequests::Asked, None), (vec![EjectVerdict::Denied], false), "silence denies");
}

#[test]
fn another_policy_rules_from_the_next_key_and_who_cannot_bear_it_leaves() {
    let (mut world, star) = group(7, Policy::default(), 2);
    // One more, which insists on secrecy.
    let config =
        EnclaveConfig { floor: Floor { protection: Protection::Both, ..Floor::none() }, ..star.config.clone() };
    let strict = world.add("strict", member_machine(&config, "m2").unwrap()).unwrap();
    world.with(strict, |member, cx| member.join(cx)).unwrap().unwrap();
    world.run_for(SECOND * 8).unwrap();
    assert!(world.get(strict).unwrap().is_current(), "it took over from m2");
    let next = Policy { protection: Protection::Integrity, ..Policy::default() };
    world.with(star.leader, |leader, cx| leader.change_policy(cx, next.clone())).unwrap().unwrap();
    world.run_for(SECOND * 10).unwrap();
    let ended = |event: &Event| matches!(event, Event::Ended(Ending::BelowFloor(_)));
    assert!(world.events(strict).iter().any(ended));
    assert_eq!(world.get(star.members[0]).unwrap().policy(), Some(&next));
    assert!(world.events(star.members[0]).contains(&Event::PolicyChanged { version: Version(2) }));
    star.say(&mut world, 0, b"in the open").unwrap().unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(Any::heard(&world, star.leader, b"in the open"), 1);
}

#[test]
fn a_sealer_that_was_taken_seals_until_its_key_ends() {
    let (mut world, star) = group(8, Policy::default(), 2);
    let (sender, other) = (star.members[0], star.members[1]);
    let mut sealer = world.with(sender, |member, cx| member.take_sealer(cx)).unwrap().unwrap();
    let again = world.with(sender, |member, cx| member.send(cx, Port::Application, b"x")).unwrap();
    assert_eq!(again, Err(CommandError::Misuse(Misuse::SealerTaken)));
    sealer.extend(world.get(sender).unwrap().evidence_until().unwrap());
    let mut frame = BytesMut::new();
    sealer.seal(world.now(), Port::Application, b"by itself", &mut frame).unwrap();
    let link: Link = world.links_between(star.leader, sender)[0];
    world.inject(link, frame.freeze(), Duration::ZERO);
    world.run_for(SECOND).unwrap();
    assert_eq!(Any::heard(&world, other, b"by itself"), 1);
    let number = cid(&world, other);
    world.with(star.leader, |leader, cx| leader.eject(cx, number)).unwrap().unwrap();
    world.run_for(SECOND).unwrap();
    let ended = sealer.seal(world.now(), Port::Application, b"late", &mut BytesMut::new());
    assert_eq!(ended, Err(CommandError::Misuse(Misuse::NotCurrent)));
}

#[test]
fn a_member_that_loses_its_link_goes_on_over_another() {
    let mut world = World::new(9);
    let star = EnclaveStar::add(&mut world, EnclaveConfig::new(chacha20_poly1305()), 2).unwrap();
    star.join_all(&mut world, MINUTE).unwrap();
    let (member, number) = (star.members[0], cid(&world, star.members[0]));
    for link in world.links_of(member) {
        world.close(link).unwrap();
    }
    world.run_for(SECOND * 2).unwrap();
    world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
    world.run_for(SECOND * 8).unwrap();
    assert!(star.converged(&world));
    assert_eq!(cid(&world, member), number, "the same session");
}

/// What says that a request was taken is lost with the link: the member can say nothing new before it hears that, so the leader
/// answers the repeated request over the other link.
#[test]
fn a_request_that_was_taken_is_answered_over_another_link() {
    let mut world = World::new(10);
    let star = EnclaveStar::add(&mut world, EnclaveConfig::new(chacha20_poly1305()), 2).unwrap();
    star.join_all(&mut world, MINUTE).unwrap();
    world.run_for(SECOND * 6).unwrap();
    let (member, number, other) = (star.members[0], cid(&world, star.members[0]), cid(&world, star.members[1]));
    let to = member.id;
    // The second link drops as the first did.
    for _ in 0..2 {
        world.set_adversary(DropMatching(move |frame: &InTransit, tables: &Tables| {
            frame.to == to && tables.id(&frame.bytes) == "EN-R4"
        }));
        world.with(member, |member, cx| member.request_ejection(cx, other)).unwrap().unwrap();
        world.run_for(SECOND * 2).unwrap();
        for link in world.links_of(member) {
            world.close(link).unwrap();
        }
        world.set_adversary(DropMatching(|_: &InTransit, _: &Tables| false));
        world.run_for(SECOND * 9).unwrap();
        assert!(world.get(member).unwrap().is_current());
    }
    world.run_for(MINUTE).unwrap();
    assert!(world.get(star.leader).unwrap().view().contains(number), "it was not taken for lost");
    assert_eq!(cid(&world, member), number, "the same session");
    let answered = world.events(member).iter().filter(|event| matches!(event, Event::EjectionAnswered { .. })).count();
    assert_eq!(answered, 2);
    assert!(star.converged(&world));
}

#[test]
fn objects_have_a_port_of_their_own() {
    let (mut world, star) = group(10, Policy::default(), 2);
    world.with(star.members[0], |member, cx| member.send(cx, Port::Transfer, b"a piece")).unwrap().unwrap();
    world.run_for(SECOND).unwrap();
    let piece = |event: &Event| matches!(event, Event::Data(message) if message.port == Port::Transfer);
    assert_eq!(world.events(star.members[1]).iter().filter(|event| piece(event)).count(), 1);
    assert_eq!(world.events(star.leader).iter().filter(|event| piece(event)).count(), 1);
}
