//! Enclaves 2.0 as published: each message and each step, with every frame in the hands of the test (report §3.1, §3.2).
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod version_2;

use std::time::Duration;

use sodality::crypto::{Key, Secret};
use sodality::enclaves::version_2::messages::Opened;
use sodality::enclaves::version_2::{Access, Historic, Leader, Member, MemberConfig};
use sodality::endpoint::{Cx, Endpoint, Instant, Link, LinkInfo};
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Cause, EndReason, Ending, Event, Port, Refusal, Sender, Suspicion};
use sodality::identity::{Epoch, MemberId};
use sodality::policy::{Communication, Policy, Protection};
use sodality::sim::SimRng;
use sodality::sim::enclaves_version_2::{VersionTwoConfig, leader_machine, member_machine, user_key};
use sodality::wire::Message;
use sodality::wire::enclaves::version_2::GossipToMember;

use version_2::{Bench, SECOND, both, des, name, terms};

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
        bench.lead(Leader::handle_timeout).unwrap();
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
        let message = <GossipToMember<'_> as Message<'_>>::parse(&frame).unwrap().message;
        let readable = |read: Result<_, Reason>| read.is_ok_and(|opened: Opened| *opened.payload == *b"psst");
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
    bench.members[1] = member_machine(&config, "stranger").unwrap();
    bench
        .member(2, |machine, cx| Endpoint::handle_link_opened(machine, cx, Link(2), LinkInfo::stream(1 << 20)))
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
        let mut wrong = MemberConfig {
            historic: Historic::i_know_that_this_protects_nothing(),
            suite: suite.clone(),
            leader: name("lea"),
            name: name("m1"),
            key: user_key(&*suite, "m2"),
            grace: Duration::ZERO,
            frame_limit: 65_536,
            limits: config.limits,
        };
        bench.members[0] = Member::new(wrong.clone()).unwrap();
        bench
            .member(1, |machine, cx| Endpoint::handle_link_opened(machine, cx, Link(1), LinkInfo::stream(1 << 20)))
            .unwrap();
        bench.join(1);
        bench.pass(SECOND * 20);
        assert_eq!(bench.leader.member_count(), 0);
        assert!(bench.events_of(1).iter().any(|event| matches!(event, Event::JoinFailed(_))));
        let refused = Endpoint::stats(&bench.leader).rejected.get(&Reason::Forged).copied();
        assert!(refused.unwrap_or(0) > 1);
        wrong.key = Key::new(Secret::new(b"short"));
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
        let mut rng = SimRng::new(1);
        let mut cx = Cx::new(Instant::ORIGIN, &mut rng);
        leader_machine(&config, &[], &mut cx).map(drop)
    };
    assert_eq!(open(|_| {}), Ok(()));
    let refused = Err(CommandError::Misuse(Misuse::Policy));
    assert_eq!(open(|policy| *policy = Policy::default()), refused);
    assert_eq!(open(|policy| policy.protection = Protection::Integrity), refused, "E16");
    assert_eq!(open(|policy| policy.detection = Policy::default().detection), refused, "E16");
    assert_eq!(open(|policy| policy.ephemeral = true), refused);
    assert_eq!(open(|policy| policy.origin = true), refused);
    assert_eq!(open(|policy| policy.communication = Communication::Mixed), refused);
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
        bench.member(2, Member::handle_timeout).unwrap();
        bench.take(2);
    }
    assert!(bench.members[1].is_idle());
    assert!(bench.events_of(2).iter().any(|event| matches!(event, Event::JoinFailed(_))));

    // EN-A3 never arrives: the attempt ends at the leader, and the member believes to be in, as in 2.0 it must.
    bench.member(2, |machine, cx| machine.join(cx)).unwrap();
    for _ in 0..300 {
        bench.settle_but(|_, _, frame| version_2::id_of(frame) == "EN-A3");
        bench.now = bench.now + Duration::from_millis(100);
        bench.lead(Leader::handle_timeout).unwrap();
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
