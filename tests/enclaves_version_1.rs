//! Enclaves 1.0: each message and each step, with every frame in the hands of the test (enclaves §2).
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod version_1;

use std::time::Duration;

use sodality::crypto::published::des_key_of_password;
use sodality::crypto::{Key, Secret};
use sodality::enclaves::version_1::{Access, Historic, Leader, Member, MemberConfig, default_policy};
use sodality::endpoint::{Cx, Endpoint, Instant, Link, LinkInfo};
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Cause, Causes, EndReason, Ending, Event, Message, Port, Refusal, Sender, Suspicion};
use sodality::identity::{Epoch, MemberId, Name};
use sodality::policy::Policy;
use sodality::sim::SimRng;
use sodality::sim::enclaves_version_1::{DAWN, VersionOneConfig, leader_machine, member_machine};

use version_1::{Bench, Machine, SECOND, both, des, id_of, name, terms};

/// Who says what when three people join, talk, and one leaves.
#[test]
fn a_session_message_by_message() {
    for suite in both() {
        let mut bench = Bench::new(&VersionOneConfig::new(suite), 3);
        assert_eq!(bench.leader().epoch(), Epoch(0), "D27: no key before somebody is accepted");
        for member in 1..=3 {
            bench.join(member);
        }
        assert_eq!(bench.ids(3, 0), ["EN-1J", "EN-1A", "EN-1NA"]);
        assert_eq!(bench.ids(0, 3), ["EN-1K", "EN-1M"], "one notice with the whole roster");
        assert_eq!(bench.ids(0, 1), ["EN-1K", "EN-1M", "EN-1M", "EN-1M"], "and one for each who came later");
        for member in 1..=3 {
            assert_eq!(bench.roster(member), ["lea", "m1", "m2", "m3"]);
            assert_eq!(bench.machine(member).epoch(), Epoch(1));
        }
        assert!(bench.leader().all_acknowledged());
        bench.say(1, b"to all");
        bench.say(0, b"from the leader");
        for who in [0, 2, 3] {
            assert!(bench.heard(who).contains(&("m1".into(), b"to all".to_vec())), "{who}");
        }
        for member in 1..=3 {
            assert!(bench.heard(member).contains(&("lea".into(), b"from the leader".to_vec())));
        }
        assert_eq!(bench.times(1, b"to all"), 0, "nothing comes back");
        let relayed = bench.last("EN-1D", 0, 2);
        bench.say(1, b"again");
        assert_eq!(bench.last("EN-1D", 1, 0), bench.last("EN-1D", 0, 2), "relayed unchanged");
        assert_ne!(relayed, bench.last("EN-1D", 0, 2));

        bench.member(2, |machine, cx| machine.leave(cx)).unwrap();
        bench.settle();
        assert_eq!(bench.ids(2, 0).last(), Some(&"EN-1L"));
        assert_eq!(bench.ids(0, 2).last(), Some(&"EN-1LA"));
        assert!(bench.events_of(2).contains(&&Event::Ended(Ending::Left)));
        for member in [1, 3] {
            assert_eq!(bench.ids(0, member)[bench.ids(0, member).len() - 2..], ["EN-1N", "EN-1M"], "the key first");
            assert_eq!(bench.roster(member), ["lea", "m1", "m3"]);
            assert_eq!(bench.machine(member).epoch(), Epoch(2));
            let installed = Event::Installed { epoch: Epoch(2), causes: Causes::of(Cause::Leave) };
            assert!(bench.events_of(member).contains(&&installed));
        }
        bench.say(3, b"without you");
        assert_eq!((bench.times(1, b"without you"), bench.times(2, b"without you")), (1, 0));
    }
}

/// Nothing but the name in EN-1J is ever in clear: no frame holds a name, or what is said, otherwise.
#[test]
fn nothing_is_in_clear_but_the_name_of_who_asks() {
    for suite in both() {
        let mut bench = Bench::joined(&VersionOneConfig::new(suite), 2);
        bench.say(1, b"a text that is long enough to be found");
        bench.link_directly(1, 2);
        bench.say_directly(1, 2, b"a text that is long enough to be found");
        let to = name("m2");
        bench.member(1, |machine, cx| machine.send_to(cx, &to, Port::Application, b"long enough to be found")).unwrap();
        bench.settle();
        bench.member(1, |machine, cx| machine.leave(cx)).unwrap();
        bench.settle();
        let mut kinds = std::collections::BTreeSet::new();
        for (_, _, frame) in &bench.wire {
            kinds.insert(id_of(frame));
            let holds = |text: &[u8]| frame.windows(text.len()).any(|part| part == text);
            assert!(!holds(b"long enough") && !holds(b"lea"), "{}", id_of(frame));
            assert_eq!(holds(b"\x02m1") || holds(b"\x02m2"), id_of(frame) == "EN-1J", "{}", id_of(frame));
        }
        assert!(kinds.len() >= 14, "{kinds:?}");
    }
}

#[test]
fn a_machine_without_a_wall_clock_does_not_start() {
    let config = VersionOneConfig::new(des());
    let mut rng = SimRng::new(1);
    let mut cx = Cx::new(Instant::ORIGIN, &mut rng);
    let opened = leader_machine(&config, &["m1".into()], &mut cx);
    assert_eq!(opened.unwrap_err(), CommandError::Misuse(Misuse::NoWallClock));
    let mut member = member_machine(&config, "m1").unwrap();
    assert_eq!(member.join(&mut cx), Err(Misuse::NoWallClock.into()));
    assert!(member.is_idle());
    member.join(&mut Cx { wall: Some(DAWN), ..cx }).unwrap();
    // Once it was told it goes on with the other clock.
    let later = Instant::from_micros(600_000_000);
    member.handle_link_opened(&mut Cx::new(later, &mut rng), Link(1), LinkInfo::stream(1 << 16)).unwrap();
    member.handle_timeout(&mut Cx::new(later, &mut rng)).unwrap();
}

#[test]
fn what_cannot_be_is_misuse() {
    let config = VersionOneConfig::new(des());
    let base = || MemberConfig {
        historic: Historic::i_know_that_this_protects_nothing(),
        suite: config.suite.clone(),
        leader: name("lea"),
        name: name("m1"),
        key: Key::new(des_key_of_password(b"secret")),
        hint: bytes::Bytes::new(),
        grace: Duration::ZERO,
        window: config.window,
        silence: config.silence,
        frame_limit: 1_200,
        limits: config.limits,
    };
    assert!(Member::new(base()).is_ok());
    let refused = |config| Member::new(config).unwrap_err();
    assert_eq!(refused(MemberConfig { leader: name("m1"), ..base() }), Misuse::SameName.into());
    assert_eq!(refused(MemberConfig { key: Key::new(Secret::new(&[1; 7])), ..base() }), Misuse::KeyLength.into());
    assert_eq!(refused(MemberConfig { frame_limit: 1_199, ..base() }), Misuse::Policy.into());
    assert_eq!(refused(MemberConfig { hint: vec![0; 65].into(), ..base() }), Misuse::Policy.into());
    assert_eq!(refused(MemberConfig { silence: Duration::ZERO, ..base() }), Misuse::Policy.into());

    // Every leave changes the key: a policy that does not say so is none of 1.0.
    for cause in [Cause::Leave, Cause::Eject, Cause::Failure, Cause::Takeover] {
        let kept = default_policy().rekey_on.iter().filter(|of| *of != cause).fold(Causes::NONE, Causes::with);
        let policy = Policy { rekey_on: kept, ..default_policy() };
        let config = VersionOneConfig { policy, ..VersionOneConfig::new(des()) };
        let mut rng = SimRng::new(1);
        let mut cx = Cx { wall: Some(DAWN), ..Cx::new(Instant::ORIGIN, &mut rng) };
        assert_eq!(leader_machine(&config, &[], &mut cx).unwrap_err(), Misuse::Policy.into(), "{cause:?}");
    }

    let mut bench = Bench::joined(&config, 2);
    let (other, nobody) = (name("m2"), name("nobody"));
    assert_eq!(bench.member(1, |machine, cx| machine.join(cx)), Err(Misuse::AlreadyJoined.into()));
    let to =
        |bench: &mut Bench, to: &Name| bench.member(1, |machine, cx| machine.send_to(cx, to, Port::Application, b"x"));
    assert_eq!(to(&mut bench, &name("m1")), Err(Misuse::Oneself.into()));
    let directly = |bench: &mut Bench, to: &Name| bench.member(1, |machine, cx| machine.link_to(cx, to));
    assert_eq!(directly(&mut bench, &name("m1")), Err(Misuse::Oneself.into()));
    assert_eq!(directly(&mut bench, &nobody), Err(Misuse::NoMember.into()));
    let said = bench.member(1, |machine, cx| machine.send_direct(cx, &other, Port::Application, b"x"));
    assert_eq!(said, Err(Misuse::NoDirectLink.into()));
    assert_eq!(bench.member(1, |machine, cx| machine.close_direct(cx, &other)), Err(Misuse::NoDirectLink.into()));
    let long = vec![0; bench.machine(1).max_message() + 1];
    let said = bench.member(1, |machine, cx| machine.send(cx, Port::Application, &long));
    assert_eq!(said, Err(Misuse::TooLong.into()));
    bench.say(1, &long[1..]);
    assert_eq!(bench.times(2, &long[1..]), 1, "the longest there is");
    let long = vec![7; bench.machine(1).max_private()];
    bench.member(1, |machine, cx| machine.send_to(cx, &other, Port::Transfer, &long)).unwrap();
    bench.settle();
    assert_eq!(bench.times(2, &long), 1, "the longest there is");
    assert_eq!(bench.lead(|leader, cx| leader.eject(cx, MemberId(9))), Err(Misuse::NoMember.into()));
    assert_eq!(
        bench.lead(|leader, cx| leader.send_to(cx, &nobody, Port::Application, b"x")),
        Err(Misuse::NoMember.into())
    );
}

/// EN-1J is checked for validity first, then the list or the application decides; the refusal is encrypted.
#[test]
fn admission_follows_validity() {
    for suite in both() {
        let list = Access::List([name("m1")].into());
        let config = VersionOneConfig { access: list, ..VersionOneConfig::new(suite.clone()) };
        let bench = Bench::joined(&config, 2);
        assert!(bench.machine(1).is_in());
        assert!(bench.events_of(2).contains(&&Event::JoinRefused(Refusal::Denied)));
        assert_eq!(bench.ids(0, 2), ["EN-1E"]);

        let config = VersionOneConfig { access: Access::Ask, ..VersionOneConfig::new(suite.clone()) };
        let mut bench = Bench::joined(&config, 2);
        let tickets: Vec<_> = bench
            .events_of(0)
            .iter()
            .filter_map(|event| match event {
                Event::AdmissionWanted { ticket, .. } => Some(*ticket),
                _ => None,
            })
            .collect();
        assert_eq!((tickets.len(), bench.ids(0, 1).len()), (2, 0), "nothing is said before the answer");
        bench.lead(|leader, cx| leader.admit(cx, tickets[0], true)).unwrap();
        bench.lead(|leader, cx| leader.admit(cx, tickets[1], false)).unwrap();
        assert_eq!(bench.lead(|leader, cx| leader.admit(cx, tickets[1], true)), Err(Misuse::NoTicket.into()));
        bench.settle();
        assert!(bench.machine(1).is_in() && bench.machine(2).is_idle());
        assert!(bench.events_of(2).contains(&&Event::JoinRefused(Refusal::Denied)));

        // Whoever does not know the password is not asked about.
        let mut config = VersionOneConfig::new(suite);
        config.access = Access::Ask;
        let mut bench = Bench::new(&config, 1);
        bench.member(1, |machine, cx| machine.join(cx)).unwrap();
        let mut frame = bench.take(1)[0].2.clone();
        let last = frame.len() - 1;
        frame[last] ^= 1;
        assert_eq!(bench.refused(1, 0, &frame), Some(Reason::Forged));
        assert!(!bench.events_of(0).iter().any(|event| matches!(event, Event::AdmissionWanted { .. })));
    }
}

#[test]
fn a_full_group_says_so() {
    let mut config = VersionOneConfig::new(des());
    config.limits.members = 1;
    let bench = Bench::joined(&config, 2);
    assert!(bench.machine(1).is_in());
    assert!(bench.events_of(2).contains(&&Event::JoinRefused(Refusal::Busy)));
}

/// Each message of a join, lost, is made good; each copy has a number of its own.
#[test]
fn a_join_survives_the_loss_of_each_message() {
    for suite in both() {
        for lost in ["EN-1J", "EN-1K", "EN-1A", "EN-1M", "EN-1NA"] {
            let mut bench = Bench::new(&VersionOneConfig::new(suite.clone()), 2);
            bench.join(1);
            let mut left = 2;
            let mut lose = |_: usize, _: usize, frame: &[u8]| {
                let loses = id_of(frame) == lost && left > 0;
                left -= usize::from(loses);
                loses
            };
            bench.member(2, |machine, cx| machine.join(cx)).unwrap();
            bench.settle_but(&mut lose);
            bench.pass_but(SECOND * 6, &mut lose);
            assert_eq!(left, 0, "{lost}");
            assert!(bench.machine(2).is_in() && bench.leader().member_count() == 2, "{lost}");
            assert_eq!(bench.roster(1), bench.roster(2), "{lost}");
            assert!(bench.leader().all_acknowledged(), "{lost}");
            let copies: Vec<_> = bench.wire.iter().filter(|(_, _, frame)| id_of(frame) == lost).collect();
            assert!(copies.windows(2).all(|pair| pair[0].2 != pair[1].2), "{lost}: each copy is another message");
        }
    }
}

/// An attempt that was given K_g and never shows itself has the key: as after a leave, it changes.
#[test]
fn an_attempt_that_is_never_confirmed_costs_its_key() {
    let mut bench = Bench::new(&VersionOneConfig::new(des()), 2);
    bench.join(1);
    bench.member(2, |machine, cx| machine.join(cx)).unwrap();
    let silent = |from: usize, _: usize, frame: &[u8]| from == 2 && id_of(frame) == "EN-1A";
    bench.settle_but(silent);
    assert!(bench.machine(2).is_in(), "as far as it knows");
    bench.pass_but(SECOND * 30, silent);
    assert!(bench.events_of(2).contains(&&Event::Ended(Ending::LeaderLost)), "and then it knows better");
    let failure = Event::Installed { epoch: Epoch(2), causes: Causes::of(Cause::Failure) };
    assert!(bench.events_of(1).contains(&&failure));
    assert_eq!(bench.leader().member_count(), 1);
}

/// A key that changes between EN-1K and EN-1A does not leave the newcomer with the old one (X10).
#[test]
fn a_rekey_during_a_join_reaches_the_newcomer() {
    for suite in both() {
        let mut bench = Bench::new(&VersionOneConfig::new(suite), 2);
        bench.join(1);
        bench.member(2, |machine, cx| machine.join(cx)).unwrap();
        let mut held = Vec::new();
        bench.settle_but(|from, _, frame| {
            let holds = from == 2 && id_of(frame) == "EN-1A";
            if holds {
                held = frame.to_vec();
            }
            holds
        });
        bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        bench.settle();
        assert_eq!((bench.machine(1).epoch(), bench.machine(2).epoch()), (Epoch(2), Epoch(1)));
        bench.give(2, 0, &held);
        bench.settle();
        assert_eq!(bench.machine(2).epoch(), Epoch(2));
        bench.say(2, b"under the new key");
        assert_eq!(bench.times(1, b"under the new key"), 1);
    }
}

/// EN-1N, lost and its acknowledgement lost: repeated until it is acknowledged, and the same key twice changes nothing.
#[test]
fn a_new_key_is_repeated_until_it_is_acknowledged() {
    for suite in both() {
        let mut bench = Bench::joined(&VersionOneConfig::new(suite), 2);
        bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        let mut left = (2, 2);
        let mut lose = |_: usize, _: usize, frame: &[u8]| match id_of(frame) {
            "EN-1N" if left.0 > 0 => {
                left.0 -= 1;
                true
            }
            "EN-1NA" if left.1 > 0 => {
                left.1 -= 1;
                true
            }
            _ => false,
        };
        bench.settle_but(&mut lose);
        bench.pass_but(SECOND * 10, &mut lose);
        assert!(bench.leader().all_acknowledged());
        for member in [1, 2] {
            assert_eq!(bench.machine(member).epoch(), Epoch(2));
            let two = |event: &&&Event| matches!(event, Event::Installed { epoch: Epoch(2), .. });
            assert_eq!(bench.events_of(member).iter().filter(two).count(), 1);
        }
    }
}

/// A member that never acknowledges stays; the application is told, once, and may throw it out.
#[test]
fn a_member_that_never_acknowledges_is_told_of() {
    let mut bench = Bench::joined(&VersionOneConfig::new(terms()), 2);
    bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
    let deaf = |_: usize, to: usize, _: &[u8]| to == 2;
    bench.settle_but(deaf);
    bench.pass_but(SECOND * 120, deaf);
    let cid = bench.leader().number_of(&name("m2")).unwrap();
    let suspected = Event::Suspected { cid, why: Suspicion::KeyNotTaken };
    assert_eq!(bench.events_of(0).iter().filter(|event| ***event == suspected).count(), 1);
    assert_eq!(bench.leader().member_count(), 2);
    bench.pass(SECOND * 10);
    assert!(bench.leader().all_acknowledged(), "it is never given up");
    assert_eq!(bench.machine(2).epoch(), Epoch(2));
}

/// Data of the leader follow the key that they are under, also where both wait to be sent.
#[test]
fn a_new_key_goes_out_before_what_is_said_under_it() {
    for suite in both() {
        let mut bench = Bench::joined(&VersionOneConfig::new(suite), 3);
        bench.lead(|leader, cx| {
            leader.rekey(cx).unwrap();
            leader.send(cx, Port::Application, b"under the new one").unwrap();
        });
        bench.settle();
        for member in 1..=3 {
            assert_eq!(bench.times(member, b"under the new one"), 1);
        }
    }
}

/// With a grace, what was on its way when the key changed by command is still heard; after a leave it is not.
#[test]
fn grace_is_not_for_leaves() {
    for (leaves, hears) in [(false, 1), (true, 0)] {
        let mut config = VersionOneConfig::new(des());
        config.policy.grace = SECOND * 5;
        config.grace = SECOND * 5;
        let mut bench = Bench::joined(&config, 3);
        bench.member(1, |machine, cx| machine.send(cx, Port::Application, b"on its way")).unwrap();
        let said = bench.take(1)[0].2.clone();
        if leaves {
            bench.member(3, |machine, cx| machine.leave(cx)).unwrap();
        } else {
            bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        }
        bench.settle();
        bench.give(1, 0, &said);
        bench.settle();
        assert_eq!((bench.times(0, b"on its way"), bench.times(2, b"on its way")), (hears, hears));
    }
}

/// EN-1L repeated; EN-1LA repeated; K_a is kept for that, and for a while only.
#[test]
fn a_leave_survives_loss() {
    for lost in ["EN-1L", "EN-1LA"] {
        let mut bench = Bench::joined(&VersionOneConfig::new(des()), 2);
        bench.member(1, |machine, cx| machine.leave(cx)).unwrap();
        let mut left = 3;
        let mut lose = |_: usize, _: usize, frame: &[u8]| {
            let loses = id_of(frame) == lost && left > 0;
            left -= usize::from(loses);
            loses
        };
        bench.settle_but(&mut lose);
        bench.pass_but(SECOND * 8, &mut lose);
        assert!(bench.events_of(1).contains(&&Event::Ended(Ending::Left)), "{lost}");
        assert_eq!(
            (bench.leader().member_count(), bench.machine(2).epoch()),
            (1, Epoch(2)),
            "{lost}: one leave, one rekey"
        );
    }
    let mut bench = Bench::joined(&VersionOneConfig::new(des()), 2);
    bench.member(1, |machine, cx| machine.leave(cx)).unwrap();
    bench.settle_but(|_, _, frame| id_of(frame) == "EN-1L");
    bench.pass_but(SECOND * 60, |_, _, frame| id_of(frame) == "EN-1L");
    assert!(bench.events_of(1).contains(&&Event::Ended(Ending::LeftUnconfirmed)));
}

#[test]
fn an_expelled_member_is_told_and_reads_nothing_more() {
    for suite in both() {
        let mut bench = Bench::joined(&VersionOneConfig::new(suite), 3);
        let cid = bench.leader().number_of(&name("m2")).unwrap();
        bench.lead(|leader, cx| leader.eject(cx, cid)).unwrap();
        bench.settle();
        assert_eq!(bench.ids(0, 2).last(), Some(&"EN-1C"));
        assert!(bench.events_of(2).contains(&&Event::Ended(Ending::ByLeader(EndReason::Ejected))));
        assert_eq!(bench.roster(1), ["lea", "m1", "m3"]);
        bench.say(1, b"among us");
        assert_eq!((bench.times(3, b"among us"), bench.times(2, b"among us")), (1, 0));
        bench.lead(|leader, cx| leader.close(cx)).unwrap();
        bench.settle();
        for member in [1, 3] {
            assert!(bench.events_of(member).contains(&&Event::Ended(Ending::ByLeader(EndReason::Closing))));
        }
        assert_eq!(bench.lead(|leader, cx| leader.rekey(cx)), Err(Misuse::Closed.into()));
    }
}

/// EN-1C is said again where frames are lost.
#[test]
fn a_lost_end_is_said_again() {
    let mut config = VersionOneConfig::new(des());
    config.limits.linger = SECOND * 30;
    let mut bench = Bench::new(&config, 1);
    let link = bench.link(1, 0);
    bench.cut(link);
    bench.info = LinkInfo { reliable: false, ..LinkInfo::stream(1 << 16) };
    bench.connect(1, 0, None);
    bench.join(1);
    let cid = bench.leader().number_of(&name("m1")).unwrap();
    bench.lead(|leader, cx| leader.eject(cx, cid)).unwrap();
    let mut left = 2;
    let mut lose = |_: usize, _: usize, frame: &[u8]| {
        let loses = id_of(frame) == "EN-1C" && left > 0;
        left -= usize::from(loses);
        loses
    };
    bench.settle_but(&mut lose);
    bench.pass_but(SECOND * 10, &mut lose);
    assert!(bench.events_of(1).contains(&&Event::Ended(Ending::ByLeader(EndReason::Ejected))));
}

/// Private data: under the key of the two ends on each half of the way; the leader reads them; whom it does not know it drops.
#[test]
fn private_data_go_to_one() {
    for suite in both() {
        let mut bench = Bench::joined(&VersionOneConfig::new(suite), 3);
        let say = |bench: &mut Bench, from: usize, to: &str, text: &[u8]| {
            let to = name(to);
            bench.member(from, |machine, cx| machine.send_to(cx, &to, Port::Application, text)).unwrap();
            bench.settle();
        };
        say(&mut bench, 1, "m2", b"for you");
        say(&mut bench, 1, "lea", b"for the leader");
        say(&mut bench, 1, "nobody", b"for nobody");
        assert_eq!(bench.heard(2), [("m1".into(), b"for you".to_vec())]);
        assert_eq!(bench.heard(0), [("m1".into(), b"for the leader".to_vec())]);
        assert!(bench.heard(3).is_empty() && bench.heard(1).is_empty());
        assert!(
            bench
                .events_of(0)
                .iter()
                .any(|event| matches!(event, Event::GossipDropped { to, .. } if to.as_str() == "nobody"))
        );
        let (sent, delivered) = (bench.last("EN-1P", 1, 0), bench.last("EN-1PD", 0, 2));
        assert_ne!(sent[5..], delivered[5..]);
        let to = name("m3");
        bench.lead(|leader, cx| leader.send_to(cx, &to, Port::Application, b"from the leader")).unwrap();
        bench.settle();
        assert_eq!(bench.heard(3), [("lea".into(), b"from the leader".to_vec())]);
        let proof = |event: &&Event| match event {
            Event::Gossip(Message { from, .. }) => Some(matches!(from, Sender::Pairwise(_))),
            _ => None,
        };
        assert!(bench.events_of(2).iter().filter_map(proof).all(|pairwise| pairwise));
    }
}

/// A link that breaks is replaced, and the session goes on: EN-1A shows the leader the new one. A link that nobody asked for
/// is not taken for it.
#[test]
fn a_session_goes_over_to_another_link() {
    for suite in both() {
        let mut bench = Bench::joined(&VersionOneConfig::new(suite), 2);
        let link = bench.link(1, 0);
        bench.cut(link);
        bench.settle();
        let wanted = |event: &&Event| match event {
            Event::LinkWanted { ticket, .. } => Some(*ticket),
            _ => None,
        };
        let ticket = bench.events_of(1).iter().rev().find_map(wanted).expect("it wants another");
        // What the leader says meanwhile is owed.
        bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        bench.settle();
        assert_eq!((bench.machine(1).epoch(), bench.machine(2).epoch()), (Epoch(1), Epoch(2)));
        bench.connect(1, 0, None);
        bench.pass(SECOND * 2);
        assert_eq!(bench.machine(1).epoch(), Epoch(1), "nobody asked for that link");
        bench.connect(1, 0, Some(ticket));
        bench.pass(SECOND);
        assert_eq!(bench.ids(1, 0).iter().filter(|id| **id == "EN-1A").count(), 2);
        assert_eq!(bench.machine(1).epoch(), Epoch(2));
        bench.say(1, b"back");
        assert_eq!(bench.times(2, b"back"), 1);
        assert_eq!(bench.leader().epoch(), Epoch(2), "no leave");
    }
}

/// A member that forgot everything joins anew: its old session ends, and only when the new one is confirmed (X9).
#[test]
fn a_newer_session_takes_the_place_of_an_older_one() {
    for suite in both() {
        let config = VersionOneConfig::new(suite);
        let mut bench = Bench::joined(&config, 2);
        let old = bench.leader().number_of(&name("m1")).unwrap();
        bench.machines[1] = Some(Machine::Member(member_machine(&config, "m1").unwrap()));
        bench.now = bench.now + SECOND;
        let link = bench.link(1, 0);
        bench.call(1, |end, cx| end.handle_link_opened(cx, link, LinkInfo::stream(1 << 16))).unwrap();
        bench.member(1, |machine, cx| machine.join(cx)).unwrap();
        bench.settle_but(|from, _, frame| from == 1 && id_of(frame) == "EN-1A");
        assert_eq!(bench.leader().number_of(&name("m1")), Some(old), "EN-1J alone ends nothing");
        bench.pass(SECOND);
        let new = bench.leader().number_of(&name("m1")).unwrap();
        assert!(new > old);
        let removed =
            |event: &&Event| matches!(event, Event::MemberRemoved { cid, cause: Cause::Takeover, .. } if *cid == old);
        assert!(bench.events_of(0).iter().any(|event| removed(&event)));
        assert_eq!((bench.machine(1).epoch(), bench.machine(2).epoch()), (Epoch(2), Epoch(2)));
        assert_eq!(bench.roster(2), ["lea", "m1", "m2"]);
        bench.say(1, b"here again");
        assert_eq!(bench.times(2, b"here again"), 1);
    }
}

/// Numbers and times of the key: by period, by messages, by bytes, and by join where the policy adds that.
#[test]
fn other_causes_change_the_key_where_the_policy_says_so() {
    let quiet = default_policy();
    let on = |cause| Policy { rekey_on: quiet.rekey_on.with(cause), ..quiet.clone() };
    let cases = [
        (Cause::Join, on(Cause::Join)),
        (Cause::Period, Policy { key_lifetime: Some(SECOND * 30), ..on(Cause::Period) }),
        (Cause::Messages, Policy { key_messages: Some(3), ..on(Cause::Messages) }),
        (Cause::Bytes, Policy { key_bytes: Some(20), ..on(Cause::Bytes) }),
    ];
    for (cause, policy) in cases {
        let config = VersionOneConfig { policy, ..VersionOneConfig::new(terms()) };
        let mut bench = Bench::joined(&config, 2);
        (0..3).for_each(|_| bench.say(1, b"0123456789"));
        bench.pass(SECOND * 31);
        let by = |event: &&Event| matches!(event, Event::Installed { causes, .. } if causes.contains(cause));
        assert!(bench.events_of(2).iter().any(|event| by(&event)), "{cause:?}");
        assert!(bench.leader().all_acknowledged());
    }
}

#[test]
fn the_traits_of_both_systems_fit() {
    use sodality::group::roles::{Convener, Participant};
    fn talk(machine: &mut dyn Participant, cx: &mut Cx<'_>) -> usize {
        machine.send(cx, Port::Application, b"through the trait").unwrap();
        machine.known().len()
    }
    let mut bench = Bench::joined(&VersionOneConfig::new(des()), 2);
    assert_eq!(bench.member(1, |machine, cx| talk(machine, cx)), 3);
    assert_eq!(bench.lead(|leader, cx| talk(leader, cx)), 3);
    bench.settle();
    assert_eq!((bench.times(2, b"through the trait"), bench.times(1, b"through the trait")), (2, 1));
    let convene = |leader: &mut Leader, cx: &mut Cx<'_>| Convener::rekey(leader, cx);
    bench.lead(convene).unwrap();
    bench.settle();
    assert_eq!(bench.machine(2).epoch(), Epoch(2));
}
