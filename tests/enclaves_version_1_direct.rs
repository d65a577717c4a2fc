//! Enclaves 1.0: direct links between two members, set up by the leader (enclaves §2.4).
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod version_1;

use sodality::enclaves::version_1::{DirectLinks, MAX_DIRECT};
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{DirectEnd, Event, Message, Peer, Port, Sender};
use sodality::identity::Epoch;
use sodality::sim::enclaves_version_1::VersionOneConfig;

use version_1::{Bench, SECOND, both, des, id_of, name, terms};

fn opened(bench: &Bench, who: usize) -> Vec<String> {
    let names = bench.events_of(who).into_iter().filter_map(|event| match event {
        Event::DirectOpened { name, .. } => Some(name.as_str().to_owned()),
        _ => None,
    });
    names.collect()
}

fn closed(bench: &Bench, who: usize) -> Vec<DirectEnd> {
    let ends = bench.events_of(who).into_iter().filter_map(|event| match event {
        Event::DirectClosed { why, .. } => Some(*why),
        _ => None,
    });
    ends.collect()
}

fn linked(suite: std::sync::Arc<dyn sodality::crypto::published::PublishedSuite>, members: usize) -> Bench {
    let mut bench = Bench::joined(&VersionOneConfig::new(suite), members);
    bench.link_directly(1, 2);
    bench
}

#[test]
fn a_direct_link_message_by_message() {
    for suite in both() {
        let mut bench = linked(suite, 3);
        assert_eq!(bench.ids(1, 0)[bench.ids(1, 0).len() - 2..], ["EN-1XR", "EN-1NA"]);
        assert_eq!(bench.ids(0, 1).last(), Some(&"EN-1XK"));
        assert_eq!(bench.ids(0, 2).last(), Some(&"EN-1XK"));
        assert_eq!(bench.ids(1, 2), ["EN-1XH"]);
        assert_eq!(bench.ids(2, 1), ["EN-1XW"]);
        assert_eq!((opened(&bench, 1), opened(&bench, 2)), (vec!["m2".to_owned()], vec!["m1".to_owned()]));
        let before = bench.wire.iter().filter(|(_, to, _)| *to == 0).count();
        bench.say_directly(1, 2, b"between us");
        bench.say_directly(2, 1, b"and back");
        assert_eq!(bench.heard(2).last(), Some(&("m1".into(), b"between us".to_vec())));
        assert_eq!(bench.heard(1).last(), Some(&("m2".into(), b"and back".to_vec())));
        assert_eq!(bench.wire.iter().filter(|(_, to, _)| *to == 0).count(), before, "nothing by way of the leader");
        assert!(bench.heard(3).is_empty() && bench.heard(0).is_empty());
        let direct = |event: &&&Event| {
            matches!(event, Event::Direct(Message { from: Sender::Pairwise(_), epoch: Epoch(0), .. }))
        };
        assert_eq!(bench.events_of(2).iter().filter(direct).count(), 1);
        let most = bench.machine(1).max_direct(&name("m2"));
        bench.say_directly(1, 2, &vec![7; most]);
        assert_eq!(bench.times(2, &vec![7; most]), 1, "the longest there is");
        let long = vec![7; most + 1];
        let to = name("m2");
        let said = bench.member(1, |machine, cx| machine.send_direct(cx, &to, Port::Application, &long));
        assert_eq!(said, Err(Misuse::TooLong.into()));
    }
}

/// They go on talking when the leader is killed, also after the window, and end by a wish.
#[test]
fn they_need_no_leader() {
    for suite in both() {
        let mut bench = linked(suite, 2);
        bench.kill(0);
        bench.pass(SECOND * 300);
        bench.say_directly(1, 2, b"still here");
        bench.say_directly(2, 1, b"so am I");
        assert_eq!((bench.times(2, b"still here"), bench.times(1, b"so am I")), (1, 1));
        let to = name("m2");
        bench.member(1, |machine, cx| machine.close_direct(cx, &to)).unwrap();
        bench.settle();
        assert_eq!((closed(&bench, 1), closed(&bench, 2)), (vec![DirectEnd::Closed], vec![DirectEnd::ByPeer]));
        let said = bench.member(1, |machine, cx| machine.send_direct(cx, &to, Port::Application, b"x"));
        assert_eq!(said, Err(Misuse::NoDirectLink.into()));
    }
}

/// Neither a leave nor an expulsion ends a direct link; the application is told who is gone, and decides.
#[test]
fn neither_leaves_nor_expulsions_end_them() {
    for leaves in [true, false] {
        let mut bench = linked(des(), 3);
        if leaves {
            bench.member(2, |machine, cx| machine.leave(cx)).unwrap();
        } else {
            let cid = bench.leader().number_of(&name("m2")).unwrap();
            bench.lead(|leader, cx| leader.eject(cx, cid)).unwrap();
        }
        bench.settle();
        assert!(bench.machine(2).is_idle());
        assert_eq!(bench.roster(1), ["lea", "m1", "m3"]);
        bench.pass(SECOND * 60);
        bench.say_directly(2, 1, b"outside");
        assert_eq!(bench.heard(1).last(), Some(&("m2".into(), b"outside".to_vec())), "under the same number as before");
        assert!(closed(&bench, 1).is_empty());
    }
}

/// The link that a direct one came over is not taken for one to the leader, by a member that joins again.
#[test]
fn a_link_of_another_member_does_not_lead_to_the_leader() {
    let mut bench = linked(des(), 2);
    let to = name("m1");
    bench.member(2, |machine, cx| machine.close_direct(cx, &to)).unwrap();
    bench.settle();
    bench.member(2, |machine, cx| machine.leave(cx)).unwrap();
    bench.settle();
    bench.join(2);
    assert!(bench.machine(2).is_in());
    assert!(!bench.ids(2, 1).contains(&"EN-1J"));
}

/// A peer that crashes is noticed by its silence, at both ends' own time; signs of life keep a link on which nothing is said.
#[test]
fn a_peer_that_crashes_is_noticed() {
    for suite in both() {
        let mut bench = linked(suite, 2);
        bench.pass(SECOND * 120);
        assert!(closed(&bench, 1).is_empty(), "signs of life keep it");
        assert!(bench.ids(1, 2).contains(&"EN-1XA") && bench.ids(2, 1).contains(&"EN-1XA"));
        bench.kill(2);
        bench.pass(SECOND * 14);
        assert!(closed(&bench, 1).is_empty());
        let to = name("m2");
        let said = bench.member(1, |machine, cx| machine.send_direct(cx, &to, Port::Application, b"x"));
        assert_eq!(said, Err(Misuse::NotCurrent.into()), "its link is gone");
        bench.pass(SECOND * 3);
        assert_eq!(closed(&bench, 1), [DirectEnd::Silence]);
    }
}

/// A forged dial: without K_ab nobody is taken for the other end, nor whoever plays back what was said.
#[test]
fn a_forged_dial_opens_nothing() {
    for suite in both() {
        let mut bench = Bench::joined(&VersionOneConfig::new(suite), 3);
        bench.link_directly(1, 3);
        let foreign = bench.last("EN-1XH", 1, 3);
        bench.dials = false;
        let to = name("m2");
        bench.member(1, |machine, cx| machine.link_to(cx, &to)).unwrap();
        bench.settle();
        let line = bench.connect(3, 2, None);
        for frame in [foreign, bench.last("EN-1XK", 0, 1), vec![1, 3, 1, 1, 0x11, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]] {
            bench.give_over(line, 2, &frame);
        }
        bench.settle();
        assert!(opened(&bench, 2).is_empty());
        let refused = bench.events_of(2).iter().filter(|event| matches!(event, Event::Rejected { .. })).count();
        assert_eq!(refused, 3);

        // Now the real one, and then its recording over another link: it takes no link away.
        let wanted = bench.events_of(1).iter().rev().find_map(|event| match event {
            Event::LinkWanted { ticket, peer: Peer::Member(_), .. } => Some(*ticket),
            _ => None,
        });
        bench.connect(1, 2, wanted);
        bench.pass(SECOND);
        assert_eq!(opened(&bench, 2), ["m1"]);
        let recorded = bench.last("EN-1XH", 1, 2);
        let before = bench.wire.len();
        bench.give_over(line, 2, &recorded);
        bench.settle();
        assert!(bench.wire[before..].iter().all(|(_, _, frame)| id_of(frame) != "EN-1XW"), "it is not answered");
        let replayed = |event: &&Event| matches!(event, Event::Rejected { why: Reason::Replayed, .. });
        assert!(bench.events_of(2).iter().any(|event| replayed(&event)));
        bench.say_directly(2, 1, b"to the right one");
        assert_eq!(bench.times(1, b"to the right one"), 1);
    }
}

/// Each message of the way to a direct link, lost, is made good.
#[test]
fn each_message_may_be_lost() {
    for lost in ["EN-1XR", "EN-1XK", "EN-1NA", "EN-1XH", "EN-1XW"] {
        let mut bench = Bench::joined(&VersionOneConfig::new(des()), 2);
        let to = name("m2");
        bench.member(1, |machine, cx| machine.link_to(cx, &to)).unwrap();
        bench.member(1, |machine, cx| machine.link_to(cx, &to)).unwrap();
        let mut left = 3;
        let mut lose = |_: usize, _: usize, frame: &[u8]| {
            let loses = id_of(frame) == lost && left > 0;
            left -= usize::from(loses);
            loses
        };
        bench.settle_but(&mut lose);
        bench.pass_but(SECOND * 9, &mut lose);
        assert_eq!(left, 0, "{lost}");
        assert_eq!((opened(&bench, 1).len(), opened(&bench, 2).len()), (1, 1), "{lost}");
        assert!(bench.leader().all_acknowledged(), "{lost}");
    }
}

/// Whoever cannot be reached dials; if both can be reached, the one that asked.
#[test]
fn who_cannot_be_reached_dials() {
    for (hidden, dials) in [(vec![], 1), (vec!["m1"], 1), (vec!["m2"], 2)] {
        let mut config = VersionOneConfig::new(des());
        config.hidden = hidden.iter().map(|name| (*name).to_owned()).collect();
        let mut bench = Bench::joined(&config, 2);
        bench.link_directly(1, 2);
        assert_eq!(bench.ids(dials, 3 - dials), ["EN-1XH"], "{hidden:?}");
        assert_eq!((opened(&bench, 1).len(), opened(&bench, 2).len()), (1, 1), "{hidden:?}");
    }
}

#[test]
fn a_leader_may_deny_them() {
    let config = VersionOneConfig { direct: DirectLinks::Denied, ..VersionOneConfig::new(des()) };
    let mut bench = Bench::joined(&config, 2);
    bench.link_directly(1, 2);
    assert_eq!(bench.ids(0, 1).last(), Some(&"EN-1XD"));
    assert_eq!(closed(&bench, 1), [DirectEnd::Denied]);
    assert!(!bench.ids(0, 2).contains(&"EN-1XK"));
}

/// A wish that nobody answers, and a key for which nobody shows up.
#[test]
fn what_comes_to_nothing_is_told() {
    let mut bench = Bench::joined(&VersionOneConfig::new(terms()), 2);
    let to = name("m2");
    bench.member(1, |machine, cx| machine.link_to(cx, &to)).unwrap();
    let deaf = |_: usize, to: usize, _: &[u8]| to == 0;
    bench.settle_but(deaf);
    bench.pass_but(SECOND * 70, deaf);
    assert_eq!(closed(&bench, 1), [DirectEnd::NoAnswer]);

    let mut bench = Bench::joined(&VersionOneConfig::new(terms()), 2);
    bench.dials = false;
    bench.link_directly(1, 2);
    bench.pass(SECOND * 20);
    assert_eq!((closed(&bench, 1), closed(&bench, 2)), (vec![DirectEnd::NoAnswer], vec![DirectEnd::NoAnswer]));
    let wishes = bench.events_of(1).into_iter().filter(|event| matches!(event, Event::LinkWanted { .. })).count();
    assert!((2..5).contains(&wishes), "told again, at a calm pace: {wishes}");

    // Given up before anything came.
    let mut bench = Bench::joined(&VersionOneConfig::new(terms()), 2);
    bench.member(1, |machine, cx| machine.link_to(cx, &to)).unwrap();
    bench.member(1, |machine, cx| machine.close_direct(cx, &to)).unwrap();
    bench.take(1);
    assert_eq!(closed(&bench, 1), [DirectEnd::Closed]);
}

/// Both ask at once: one key, one link. A member that forgot everything asks again: both ends get a newer key.
#[test]
fn two_wishes_make_one_link() {
    for suite in both() {
        let config = VersionOneConfig::new(suite);
        let mut bench = Bench::joined(&config, 2);
        let (one, two) = (name("m1"), name("m2"));
        bench.member(1, |machine, cx| machine.link_to(cx, &two)).unwrap();
        bench.member(2, |machine, cx| machine.link_to(cx, &one)).unwrap();
        bench.settle();
        bench.pass(SECOND * 3);
        assert_eq!((opened(&bench, 1).len(), opened(&bench, 2).len()), (1, 1));
        assert!(closed(&bench, 1).is_empty() && closed(&bench, 2).is_empty());
        bench.say_directly(1, 2, b"one link");
        assert_eq!(bench.times(2, b"one link"), 1);

        let fresh = sodality::sim::enclaves_version_1::member_machine(&config, "m1").unwrap();
        bench.kill(1);
        bench.machines[1] = Some(version_1::Machine::Member(fresh));
        bench.connect(1, 0, None);
        bench.pass(SECOND);
        bench.join(1);
        bench.link_directly(1, 2);
        assert_eq!(closed(&bench, 2), [DirectEnd::Replaced]);
        bench.say_directly(2, 1, b"again");
        assert_eq!(bench.times(1, b"again"), 1);
    }
}

/// There are so many direct links, and no more.
#[test]
fn they_are_bounded() {
    let mut bench = Bench::joined(&VersionOneConfig::new(terms()), MAX_DIRECT + 2);
    for other in 2..MAX_DIRECT + 2 {
        bench.link_directly(1, other);
    }
    assert_eq!(bench.machine(1).direct_links().count(), MAX_DIRECT);
    let to = name(&format!("m{}", MAX_DIRECT + 2));
    assert_eq!(bench.member(1, |machine, cx| machine.link_to(cx, &to)), Err(CommandError::Full));
    // Nor by the wish of others.
    bench.link_directly(MAX_DIRECT + 2, 1);
    assert_eq!(bench.machine(1).direct_links().count(), MAX_DIRECT);
    assert!(bench.events_of(1).iter().any(|event| matches!(event, Event::Rejected { why: Reason::Budget, .. })));
}
