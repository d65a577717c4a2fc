//! Enclaves 2.0 as published: each message, whole sessions under both suites, over good and bad links, under each policy of
//! rekeying (report §3.1, §3.2).
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod version_2;

use std::time::Duration;

use sodality::enclaves::version_2::{Access, Member, prudent_policy};
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Cause, Causes, EndReason, Ending, Event, Port, Refusal, Sender, Suspicion};
use sodality::identity::{Epoch, MemberId};
use sodality::policy::Policy;
use sodality::sim::Faults;
use sodality::sim::LinkConfig;
use sodality::sim::enclaves_version_2::{VersionTwoConfig, VersionTwoStar};

use version_2::{Bench, SECOND, both, des, joined, modern, name, terms};

/// Report §3.2.1 and §3.1: who says what when three people join and talk.
#[test]
fn a_session_message_by_message() {
    for suite in both() {
        let config = VersionTwoConfig::new(suite);
        let mut bench = Bench::new(&config, 3);
        assert_eq!(bench.leader.epoch(), Epoch(0), "D27: no key before somebody is accepted");
        for member in 1..=3 {
            bench.join(member);
        }
        let way_in = ["EN-P1", "EN-A1", "EN-A3"];
        assert_eq!(bench.ids(1, 0), way_in);
        assert_eq!(bench.ids(3, 0), way_in);
        // m single-name messages to each newcomer, one to each of the others (E10).
        assert_eq!(bench.ids(0, 1), ["EN-P2", "EN-A2", "EN-M+", "EN-M+"]);
        assert_eq!(bench.ids(0, 2), ["EN-P2", "EN-A2", "EN-M+", "EN-M+"]);
        assert_eq!(bench.ids(0, 3), ["EN-P2", "EN-A2", "EN-M+", "EN-M+"]);
        for member in 1..=3 {
            assert_eq!(bench.roster(member), ["lea", "m1", "m2", "m3"]);
            assert_eq!(bench.members[member - 1].epoch(), bench.leader.epoch());
        }
        bench.say(1, b"to all");
        bench.say(0, b"from the leader");
        for who in [0, 2, 3] {
            assert!(bench.heard(who).contains(&("m1".into(), b"to all".to_vec())), "{who}");
        }
        for member in 1..=3 {
            assert!(bench.heard(member).contains(&("lea".into(), b"from the leader".to_vec())));
        }
        assert!(!bench.heard(1).iter().any(|(_, text)| text == b"to all"), "nothing comes back");
    }
}

#[test]
fn in_a_world_over_streams() {
    for suite in both() {
        let (mut world, star) = joined(1, VersionTwoConfig::new(suite), 6);
        assert!(star.rosters_agree(&world));
        star.say(&mut world, 2, b"hello").unwrap().unwrap();
        world.run_for(SECOND).unwrap();
        for (at, member) in star.members.iter().enumerate() {
            assert_eq!(VersionTwoStar::heard(&world, *member, b"hello"), usize::from(at != 2));
        }
        assert_eq!(VersionTwoStar::heard(&world, star.leader, b"hello"), 1);
    }
}

/// Rekeys happen where the policy says so, and only there.
#[test]
fn each_policy_of_rekeying() {
    let quiet = VersionTwoConfig::new(terms()).policy;
    let on = |cause: Cause| Policy { rekey_on: quiet.rekey_on.with(cause), ..quiet.clone() };
    let period = Policy { key_lifetime: Some(SECOND * 30), ..on(Cause::Period) };
    let messages = Policy { key_messages: Some(3), ..on(Cause::Messages) };
    let bytes = Policy { key_bytes: Some(100), ..on(Cause::Bytes) };
    let cases = [
        ("none", quiet.clone(), vec![]),
        ("join", on(Cause::Join), vec![Cause::Join]),
        ("leave", on(Cause::Leave), vec![Cause::Leave]),
        ("eject", on(Cause::Eject), vec![Cause::Eject]),
        ("period", period, vec![Cause::Period]),
        ("messages", messages, vec![Cause::Messages]),
        ("bytes", bytes, vec![Cause::Bytes]),
        ("prudent", prudent_policy(), vec![Cause::Join, Cause::Leave, Cause::Eject]),
    ];
    for suite in both() {
        for (what, policy, expected) in &cases {
            let policy = Policy { grace: Duration::ZERO, settle: Duration::ZERO, ..policy.clone() };
            let mut config =
                VersionTwoConfig { policy, users: vec!["late".into()], ..VersionTwoConfig::new(suite.clone()) };
            config.grace = Duration::ZERO;
            let (mut world, mut star) = joined(3, config, 4);
            let late = star.add_member(&mut world, "late").unwrap();
            world.with(late, |member, cx| member.join(cx)).unwrap().unwrap();
            world.run_for(SECOND * 2).unwrap();
            assert!(star.converged(&world) && star.rosters_agree(&world), "{what}");
            for text in [&[1u8; 40], &[2; 40], &[3; 40]] {
                star.say(&mut world, 0, text).unwrap().unwrap();
                world.run_for(SECOND).unwrap();
            }
            world.with(star.members[0], |member, cx| member.leave(cx)).unwrap().unwrap();
            world.run_for(SECOND * 2).unwrap();
            assert!(star.converged(&world) && star.rosters_agree(&world), "{what}");
            let cid = world.get(star.leader).unwrap().number_of(&name("m2")).unwrap();
            world.with(star.leader, |leader, cx| leader.eject(cx, cid)).unwrap().unwrap();
            world.run_for(SECOND * 40).unwrap();
            assert!(star.converged(&world) && star.rosters_agree(&world), "{what}");
            let ends =
                |member: usize| world.events(star.members[member]).iter().any(|event| matches!(event, Event::Ended(_)));
            assert!(ends(0) && ends(1) && !ends(2) && !ends(3));
            let causes = |event: &Event| match event {
                Event::Installed { causes, .. } => Some(*causes),
                _ => None,
            };
            let installed: Vec<Causes> = world.events(star.leader).iter().filter_map(causes).collect();
            assert!(installed[0].contains(Cause::Open), "{what}");
            for cause in Cause::ALL.into_iter().filter(|cause| *cause != Cause::Open) {
                let seen = installed[1..].iter().any(|causes| causes.contains(cause));
                assert_eq!(seen, expected.contains(&cause), "{what}: {cause:?} in {installed:?}");
            }
            // Whatever happened, the rest still talk, and by command the key changes under every policy.
            let before = world.get(star.leader).unwrap().epoch();
            world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
            world.run_for(SECOND).unwrap();
            assert!(star.converged(&world) && world.get(star.leader).unwrap().epoch() != before, "{what}");
            star.say(&mut world, 3, b"after all").unwrap().unwrap();
            world.run_for(SECOND).unwrap();
            assert_eq!(VersionTwoStar::heard(&world, late, b"after all"), 1, "{what}");
            assert_eq!(VersionTwoStar::heard(&world, star.leader, b"after all"), 1, "{what}");
        }
    }
}

/// Report §3.2.2: EN-NK to each, and an acknowledgement from each, `{K_g'}_{K_g'}`; the roster of a newcomer waits for it.
#[test]
fn a_new_key_is_repeated_until_it_is_acknowledged() {
    for suite in both() {
        let config = VersionTwoConfig::new(suite);
        let mut bench = Bench::joined(&config, 2);
        bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        // The way to m2 is cut.
        bench.settle_but(|_, to, _| to == 2);
        assert_eq!(bench.members[0].epoch(), bench.leader.epoch());
        assert_ne!(bench.members[1].epoch(), bench.leader.epoch());
        assert!(!bench.leader.all_acknowledged());
        bench.pass(SECOND);
        assert!(bench.leader.all_acknowledged());
        assert_eq!(bench.members[1].epoch(), bench.leader.epoch());
        let repeats = bench.ids(0, 2).iter().filter(|id| **id == "EN-NK").count();
        assert_eq!(repeats, 2, "byte for byte the same key");
        let sent: Vec<&[u8]> = bench
            .wire
            .iter()
            .filter(|(_, to, frame)| *to == 2 && version_2::id_of(frame) == "EN-NK")
            .map(|(_, _, frame)| &frame[..])
            .collect();
        assert_eq!(sent[0], sent[1], "the fixed vector makes the repeat the same bytes");
        assert!(bench.heard(1).is_empty());
    }
}

/// A member that never acknowledges is told of to the application, and is not asked for ever.
#[test]
fn acknowledgements_are_waited_for_a_bounded_time() {
    let config = VersionTwoConfig::new(des());
    let mut bench = Bench::joined(&config, 2);
    bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
    for _ in 0..1_000 {
        bench.now = bench.now + Duration::from_millis(100);
        bench.lead(|leader, cx| sodality::endpoint::Endpoint::handle_timeout(leader, cx)).unwrap();
        bench.settle_but(|_, to, _| to == 2);
    }
    let cid = bench.leader.number_of(&name("m2")).unwrap();
    let suspected = Event::Suspected { cid, why: Suspicion::KeyNotTaken };
    assert_eq!(bench.events_of(0).into_iter().filter(|event| **event == suspected).count(), 1);
    assert_eq!(bench.ids(0, 2).iter().filter(|id| **id == "EN-NK").count(), 9, "once, and eight times again");
    assert_eq!(bench.leader.member_count(), 2, "2.0 says nothing of throwing it out");
}

/// Report §3.2.3.
#[test]
fn leaving_and_expelling() {
    for suite in both() {
        let config = VersionTwoConfig::new(suite);
        let mut bench = Bench::joined(&config, 4);
        bench.member(2, |machine, cx| machine.leave(cx)).unwrap();
        bench.settle();
        assert_eq!(bench.ids(2, 0).last(), Some(&"EN-C1"));
        assert_eq!(bench.ids(0, 2).last(), Some(&"EN-C2"));
        for member in [1, 3, 4] {
            assert_eq!(bench.ids(0, member).last(), Some(&"EN-M-"));
            assert!(!bench.roster(member).contains(&"m2".to_owned()));
        }
        assert!(bench.events_of(2).contains(&&Event::Ended(Ending::Left)));
        assert!(bench.members[1].is_idle());

        let cid = bench.leader.number_of(&name("m3")).unwrap();
        bench.lead(|leader, cx| leader.eject(cx, cid)).unwrap();
        bench.settle();
        assert_eq!(bench.ids(0, 3).last(), Some(&"EN-C2"));
        assert!(bench.events_of(3).contains(&&Event::Ended(Ending::ByLeader(EndReason::Ejected))));
        let removed = bench.events_of(0).into_iter().any(|event| matches!(event, Event::MemberRemoved { cid: of, cause: Cause::Eject, by: MemberId::LEADER, .. } if *of == cid));
        assert!(removed);
        assert_eq!(bench.roster(1), ["lea", "m1", "m4"]);
        let gone = bench.lead(|leader, cx| leader.eject(cx, cid));
        assert_eq!(gone, Err(CommandError::Misuse(Misuse::NoMember)));

        // Both come back, with new numbers at the leader.
        bench.join(3);
        bench.join(2);
        assert_eq!(bench.roster(1), ["lea", "m1", "m2", "m3", "m4"]);
        assert_ne!(bench.leader.number_of(&name("m3")), Some(cid));

        bench.lead(|leader, cx| leader.close(cx)).unwrap();
        bench.settle();
        assert!(bench.members.iter().all(Member::is_idle));
        assert!(bench.leader.is_closed());
    }
}

/// Report §3.1.2: the recipients can read it, nobody else can, and the leader drops who is no member (D29).
#[test]
fn gossip_reaches_its_recipients_and_nobody_else() {
    for suite in both() {
        let config = VersionTwoConfig { users: vec!["out".into()], ..VersionTwoConfig::new(suite.clone()) };
        let mut bench = Bench::joined(&config, 5);
        let to = [name("m3"), name("m5"), name("out"), name("m3"), name("lea")];
        bench.member(1, |machine, cx| machine.gossip(cx, &to, Port::Application, b"psst")).unwrap();
        bench.settle();
        for member in [3, 5, 0] {
            assert_eq!(bench.heard(member), [("m1".to_owned(), b"psst".to_vec())], "{member}");
        }
        for member in [1, 2, 4] {
            assert_eq!(bench.heard(member), []);
            assert!(!bench.ids(0, member).contains(&"EN-G2"));
        }
        let from = bench.leader.number_of(&name("m1")).unwrap();
        let dropped = |event: &&&Event| matches!(event, Event::GossipDropped { .. });
        let all: Vec<&Event> = bench.events_of(0);
        let all: Vec<&&Event> = all.iter().filter(dropped).collect();
        assert_eq!(all, [&&Event::GossipDropped { from, to: name("out") }]);
        let sender = bench.events_of(3).into_iter().find_map(|event| match event {
            Event::Gossip(message) => Some(message.from),
            _ => None,
        });
        assert!(matches!(sender, Some(Sender::Unauthenticated(_))), "the label proves nothing");

        // With every key of a member that is no recipient, none of the frames opens: not EN-G1, not EN-G2.
        let scheme = version_2::scheme(&*suite);
        let spy = &bench.members[3];
        let (spy_key, group) = (spy.session_key().unwrap(), spy.group_key().unwrap());
        assert!(scheme.read_gossip(spy_key, &bench.last("EN-G1", 1, 0)).is_err());
        let frame = bench.last("EN-G2", 0, 3);
        let message =
            <sodality::wire::enclaves::version_2::GossipToMember<'_> as sodality::wire::Message<'_>>::parse(&frame)
                .unwrap()
                .message;
        let readable = |read: Result<_, Reason>| {
            read.is_ok_and(|opened: sodality::enclaves::version_2::messages::Opened| *opened.payload == *b"psst")
        };
        assert!(!readable(scheme.read_gossip_for(name("m3").by_ref(), spy_key, &message)));
        assert!(!readable(scheme.read_data(group, message.sealed.bytes)));
        let recipient = bench.members[2].session_key().unwrap();
        assert!(readable(scheme.read_gossip_for(name("m3").by_ref(), recipient, &message)));
        // K' is used once: the same words again are under another.
        let to = [name("m3")];
        bench.member(1, |machine, cx| machine.gossip(cx, &to, Port::Application, b"psst")).unwrap();
        bench.settle();
        assert_ne!(bench.last("EN-G2", 0, 3), frame);

        bench.lead(|leader, cx| leader.gossip(cx, &[name("m2"), name("m4")], Port::Application, b"you two")).unwrap();
        bench.settle();
        assert_eq!(bench.heard(2), [("lea".to_owned(), b"you two".to_vec())]);
        assert!(!bench.heard(3).iter().any(|(_, text)| text == b"you two"));
        let none = bench.lead(|leader, cx| leader.gossip(cx, &[name("out")], Port::Application, b"x"));
        assert_eq!(none, Err(CommandError::Misuse(Misuse::NoMember)));
    }
}

/// The longest message of each kind passes every link, and one more byte is refused.
#[test]
fn the_longest_messages() {
    for suite in both() {
        let config = VersionTwoConfig::new(suite.clone());
        let mut bench = Bench::joined(&config, 3);
        let limit = config.policy.frame_limit as usize;
        let most = bench.members[0].max_message();
        bench.say(1, &vec![7; most]);
        assert_eq!(bench.heard(2)[0].1.len(), most);
        let long = bench.member(1, |machine, cx| machine.send(cx, Port::Application, &vec![7; most + 1]));
        assert_eq!(long, Err(CommandError::Misuse(Misuse::TooLong)));
        let to = [name("m2"), name("m3")];
        let scheme = version_2::scheme(&*suite);
        let refs = [to[0].by_ref(), to[1].by_ref()];
        let most = scheme.max_gossip(name("m1").by_ref(), &refs, limit);
        bench.member(1, |machine, cx| machine.gossip(cx, &to, Port::Application, &vec![8; most])).unwrap();
        bench.settle();
        assert_eq!(bench.heard(3).last().unwrap().1.len(), most);
        let long = bench.member(1, |machine, cx| machine.gossip(cx, &to, Port::Application, &vec![8; most + 1]));
        assert_eq!(long, Err(CommandError::Misuse(Misuse::TooLong)));
        let longest = bench.wire.iter().map(|(_, _, frame)| frame.len()).max().unwrap();
        assert!(longest <= limit && longest > limit - 400, "{longest}");
    }
}

/// Who may join, and that a refusal is no more than a word in clear (D16).
#[test]
fn admission() {
    let list = [name("m1")].into_iter().collect();
    let config = VersionTwoConfig { access: Access::List(list), ..VersionTwoConfig::new(des()) };
    let bench = Bench::joined(&config, 2);
    assert!(bench.members[0].is_in() && bench.members[1].is_idle());
    assert!(bench.events_of(2).contains(&&Event::JoinRefused(Refusal::Denied)));

    // The leader does not know the third one.
    let config = VersionTwoConfig::new(des());
    let mut bench = Bench::with_names(&config, &["m1".into(), "m2".into()]);
    bench.members[1] = sodality::sim::enclaves_version_2::member_machine(&config, "stranger").unwrap();
    bench
        .member(2, |machine, cx| {
            sodality::endpoint::Endpoint::handle_link_opened(
                machine,
                cx,
                sodality::endpoint::Link(2),
                sodality::endpoint::LinkInfo::stream(1 << 20),
            )
        })
        .unwrap();
    bench.join(2);
    assert!(bench.events_of(2).contains(&&Event::JoinRefused(Refusal::Denied)));
    assert_eq!(bench.leader.epoch(), Epoch(0));

    let config = VersionTwoConfig { access: Access::Ask, ..VersionTwoConfig::new(des()) };
    let mut bench = Bench::joined(&config, 2);
    let tickets: Vec<_> = bench
        .events_of(0)
        .into_iter()
        .filter_map(|event| match event {
            Event::AdmissionWanted { ticket, name } => Some((*ticket, name.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(tickets.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["m1", "m2"]);
    assert!(bench.members.iter().all(Member::is_joining));
    bench.lead(|leader, cx| leader.admit(cx, tickets[0].0, true)).unwrap();
    bench.lead(|leader, cx| leader.admit(cx, tickets[1].0, false)).unwrap();
    bench.settle();
    assert!(bench.members[0].is_in() && bench.members[1].is_idle());
    let again = bench.lead(|leader, cx| leader.admit(cx, tickets[0].0, true));
    assert_eq!(again, Err(CommandError::Misuse(Misuse::NoTicket)));
}

/// A wrong password: nothing opens on either side, and the join comes to nothing.
#[test]
fn a_wrong_password_opens_nothing() {
    for suite in both() {
        let config = VersionTwoConfig::new(suite.clone());
        let mut bench = Bench::new(&config, 2);
        let mut wrong = sodality::enclaves::version_2::MemberConfig {
            historic: sodality::enclaves::version_2::Historic::i_know_that_this_protects_nothing(),
            suite: suite.clone(),
            leader: name("lea"),
            name: name("m1"),
            key: sodality::sim::enclaves_version_2::user_key(&*suite, "m2"),
            grace: Duration::ZERO,
            frame_limit: 65_536,
            limits: config.limits,
        };
        bench.members[0] = Member::new(wrong.clone()).unwrap();
        bench
            .member(1, |machine, cx| {
                sodality::endpoint::Endpoint::handle_link_opened(
                    machine,
                    cx,
                    sodality::endpoint::Link(1),
                    sodality::endpoint::LinkInfo::stream(1 << 20),
                )
            })
            .unwrap();
        bench.join(1);
        bench.pass(SECOND * 20);
        assert_eq!(bench.leader.member_count(), 0);
        assert!(bench.events_of(1).iter().any(|event| matches!(event, Event::JoinFailed(_))));
        let refused = sodality::endpoint::Endpoint::stats(&bench.leader).rejected.get(&Reason::Forged).copied();
        assert!(refused.unwrap_or(0) > 1);
        wrong.key = sodality::crypto::Key::new(sodality::crypto::Secret::new(b"short"));
        assert_eq!(Member::new(wrong).unwrap_err(), CommandError::Misuse(Misuse::KeyLength));
    }
}

/// What 2.0 cannot do, its leader does not promise.
#[test]
fn policies_that_it_cannot_have() {
    let config = VersionTwoConfig::new(des());
    let open = |change: fn(&mut Policy)| {
        let mut config = config.clone();
        change(&mut config.policy);
        let mut rng = sodality::sim::SimRng::new(1);
        let mut cx = sodality::endpoint::Cx::new(sodality::endpoint::Instant::ORIGIN, &mut rng);
        sodality::sim::enclaves_version_2::leader_machine(&config, &[], &mut cx).map(drop)
    };
    assert_eq!(open(|_| {}), Ok(()));
    let refused = Err(CommandError::Misuse(Misuse::Policy));
    assert_eq!(open(|policy| *policy = Policy::default()), refused);
    assert_eq!(open(|policy| policy.protection = sodality::policy::Protection::Integrity), refused, "E16");
    assert_eq!(open(|policy| policy.detection = Policy::default().detection), refused, "E16");
    assert_eq!(open(|policy| policy.ephemeral = true), refused);
    assert_eq!(open(|policy| policy.origin = true), refused);
    assert_eq!(open(|policy| policy.communication = sodality::policy::Communication::Mixed), refused);
}

/// Over links that lose a quarter of all frames everybody still gets in, is told the key, and gets out. Notices and data have no
/// answer: what is lost of them stays lost.
#[test]
fn over_links_that_lose_frames() {
    for suite in both() {
        for seed in 1..=6 {
            let link = LinkConfig::DATAGRAM.faults(Faults { loss: 250, ..Faults::NONE });
            let policy = Policy { frame_limit: 1_200, ..prudent_policy() };
            // Five requests in a row may be lost.
            let limits = sodality::group::Limits { join_time: SECOND * 60, ..Default::default() };
            let config = VersionTwoConfig { link, policy, limits, ..VersionTwoConfig::new(suite.clone()) };
            let mut world = sodality::sim::World::new(seed);
            world.trace_mut().keep(400);
            let star = VersionTwoStar::add(&mut world, config, 4).unwrap();
            if let Err(stop) = star.join_all(&mut world, SECOND * 60) {
                panic!("{stop}\n{}", world.trace().tail(80));
            }
            for round in 0u8..20 {
                star.say(&mut world, usize::from(round) % 5, &[round; 20]).unwrap().unwrap();
                world.run_for(SECOND / 4).unwrap();
            }
            let heard: usize =
                (0u8..20).map(|round| VersionTwoStar::heard(&world, star.members[0], &[round; 20])).sum();
            assert!(heard > 4, "{heard}");
            world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
            world.eventually(SECOND * 60, "all have the new key", |world| star.converged(world)).unwrap();
            world.with(star.members[3], |member, cx| member.leave(cx)).unwrap().unwrap();
            world.eventually(SECOND * 90, "it is out", |world| world.get(star.members[3]).unwrap().is_idle()).unwrap();
            world.eventually(SECOND * 60, "the others have the new key", |world| star.converged(world)).unwrap();
            let left = world.events(star.members[3]).contains(&Event::Ended(Ending::Left));
            assert!(left, "seed {seed}: EN-C1 is repeated until it is answered");
        }
    }
}

/// A link that breaks is no leave: EN-A3 over the next one shows the leader the new way.
#[test]
fn a_broken_link_is_replaced() {
    for suite in both() {
        let (mut world, star) = joined(5, VersionTwoConfig::new(suite), 2);
        let link = world.links_of(star.members[0])[0];
        world.close(link).unwrap();
        world.run_for(SECOND * 20).unwrap();
        star.say(&mut world, 1, b"still there?").unwrap().unwrap();
        world.run_for(SECOND).unwrap();
        assert_eq!(VersionTwoStar::heard(&world, star.members[0], b"still there?"), 1);
        assert_eq!(world.get(star.leader).unwrap().member_count(), 2);
    }
}

/// The same seed gives the same run.
#[test]
fn runs_repeat() {
    let run = |seed| {
        let (mut world, star) = joined(seed, VersionTwoConfig::new(modern()), 3);
        star.say(&mut world, 0, b"x").unwrap().unwrap();
        world.run_for(SECOND).unwrap();
        world.trace_digest()
    };
    assert_eq!(run(9), run(9));
    assert_ne!(run(9), run(10));
}

/// A bad network: frames are lost, doubled, held back, damaged. Nothing panics, the tables stay bounded, and when it is over the
/// next change of the key brings everybody who is in to it. (Until then an old EN-NK may have undone a newer one, E11.)
#[test]
fn after_a_storm_the_next_key_is_everybodys() {
    for suite in both() {
        for seed in 1..=4 {
            let link = LinkConfig::DATAGRAM.faults(Faults::HARSH);
            let policy = Policy { frame_limit: 1_200, ..prudent_policy() };
            let config = VersionTwoConfig { link, policy, ..VersionTwoConfig::new(suite.clone()) };
            let mut world = sodality::sim::World::new(seed);
            world.trace_mut().keep(400);
            let star = VersionTwoStar::add(&mut world, config, 4).unwrap();
            star.join_always(&mut world).unwrap();
            for member in &star.members {
                world.with(*member, |member, cx| member.join(cx)).unwrap().ok();
            }
            for round in 0u8..60 {
                let _ = star.say(&mut world, usize::from(round) % 5, &[round; 20]).unwrap();
                if round % 7 == 0 {
                    let _ = world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap();
                }
                let to = [name("m1"), name("m3")];
                let _ =
                    world.with(star.members[1], |member, cx| member.gossip(cx, &to, Port::Application, &[round; 9]));
                world.run_for(SECOND).unwrap();
            }
            world.calm();
            world.run_for(SECOND * 40).unwrap();
            world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
            let all = world.eventually(SECOND * 30, "all have the new key", |world| {
                star.converged(world) && star.members.iter().all(|member| world.get(*member).is_some_and(Member::is_in))
            });
            if let Err(stop) = all {
                panic!("{stop}\n{}", world.trace().tail(60));
            }
            star.say(&mut world, 9, b"calm").unwrap().unwrap();
            world.run_for(SECOND).unwrap();
            assert!(
                star.members.iter().all(|member| VersionTwoStar::heard(&world, *member, b"calm") == 1),
                "seed {seed}"
            );
        }
    }
}

/// Every way out of a join, and what the machines refuse to do where they stand.
#[test]
fn ways_out_of_a_join() {
    let config = VersionTwoConfig::new(terms());
    let mut bench = Bench::new(&config, 2);
    let not_joined = Err(CommandError::Misuse(Misuse::NotJoined));
    assert_eq!(bench.member(1, |machine, cx| machine.leave(cx)), not_joined);
    assert_eq!(bench.member(1, |machine, cx| machine.send(cx, Port::Application, b"x")), not_joined);
    let not_yet = bench.lead(|leader, cx| leader.send(cx, Port::Application, b"x"));
    assert_eq!(not_yet, Err(CommandError::Misuse(Misuse::NotCurrent)), "D27: no key yet");
    assert_eq!(bench.lead(|leader, cx| leader.rekey(cx)), Err(CommandError::Misuse(Misuse::NotCurrent)));

    // Given up before anything was answered.
    bench.member(1, |machine, cx| machine.join(cx)).unwrap();
    let twice = bench.member(1, |machine, cx| machine.join(cx));
    assert_eq!(twice, Err(CommandError::Misuse(Misuse::AlreadyJoined)));
    bench.member(1, |machine, cx| machine.leave(cx)).unwrap();
    bench.settle();
    assert!(bench.events_of(1).contains(&&Event::Ended(Ending::LeftUnconfirmed)));

    // Given up between EN-A1 and EN-A2: EN-C1 ends the attempt at the leader.
    bench.member(1, |machine, cx| machine.join(cx)).unwrap();
    bench.settle_but(|from, _, frame| from == 0 && version_2::id_of(frame) == "EN-A2");
    assert!(bench.members[0].is_joining());
    bench.member(1, |machine, cx| machine.leave(cx)).unwrap();
    bench.settle();
    assert!(bench.events_of(1).contains(&&Event::Ended(Ending::Left)));
    bench.pass(SECOND * 5);
    assert_eq!(bench.ids(0, 1).iter().filter(|id| **id == "EN-A2").count(), 1, "it is not repeated any more");

    // Nobody answers.
    bench.member(2, |machine, cx| machine.join(cx)).unwrap();
    for _ in 0..200 {
        bench.now = bench.now + Duration::from_millis(100);
        bench.member(2, |machine, cx| sodality::endpoint::Endpoint::handle_timeout(machine, cx)).unwrap();
        bench.take(2);
    }
    assert!(bench.members[1].is_idle());
    assert!(bench.events_of(2).iter().any(|event| matches!(event, Event::JoinFailed(_))));

    // EN-A3 never arrives: the attempt ends at the leader, and the member believes to be in, as in 2.0 it must.
    bench.member(2, |machine, cx| machine.join(cx)).unwrap();
    for _ in 0..300 {
        bench.settle_but(|_, _, frame| version_2::id_of(frame) == "EN-A3");
        bench.now = bench.now + Duration::from_millis(100);
        bench.lead(|leader, cx| sodality::endpoint::Endpoint::handle_timeout(leader, cx)).unwrap();
    }
    assert_eq!(bench.leader.member_count(), 0);
    assert!(bench.members[1].is_in());
    let asked = bench.ids(0, 2).iter().filter(|id| **id == "EN-A2").count();
    assert!((4..12).contains(&asked), "{asked}");
    // Leaving, it gets an answer all the same, and comes back.
    bench.member(2, |machine, cx| machine.leave(cx)).unwrap();
    bench.settle();
    bench.join(2);
    assert_eq!(bench.leader.member_count(), 1);
}

/// E16: nobody notices that the leader is gone, and what was said is lost without a word.
#[test]
fn a_leader_that_crashes_is_not_noticed() {
    let (mut world, star) = joined(6, VersionTwoConfig::new(des()), 3);
    world.crash(star.leader).unwrap();
    world.run_for(SECOND * 600).unwrap();
    for member in &star.members {
        assert!(world.get(*member).unwrap().is_in());
        let ended = world.events(*member).iter().any(|event| matches!(event, Event::Ended(_) | Event::Stale));
        assert!(!ended);
    }
}
