//! The third party in whole groups (RA §4.1): late, slow, silent, repeating itself, serving many; and a registry that changes.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod hall;

use std::time::Duration;

use hall::Hall;
use hall::scene::{SECOND, SOON, draft, name};
use sodality::antigone::Member;
use sodality::error::Reason;
use sodality::event::{Event, JoinFailure, Port, Refusal};
use sodality::sim::{Node, star::Star};
use sodality::wire::shape::Content;

const TIMEOUT: Event = Event::JoinFailed(JoinFailure::Timeout);

fn say(hall: &mut Hall, from: Node<Member>, text: &[u8]) {
    hall.world.with(from, |member, cx| member.send(cx, Port::Application, text)).unwrap().unwrap();
    hall.run(SOON);
}

#[test]
fn a_slow_database_delays_a_join_and_no_more() {
    let mut hall = Hall::new(1);
    let leader = hall.leader("lea");
    let members = ["ada", "bob", "cyd"].map(|name| hall.member(name, "lea"));
    hall.takes = Some(SECOND * 5);
    members.iter().for_each(|member| hall.join(*member));
    hall.run(SECOND * 4);
    assert_eq!(hall.world.get(hall.third_party).unwrap().open_lookups(), 3);
    // The leader asks again meanwhile; what is being looked up is not looked up twice.
    assert!(hall.frames("RA-T1", hall.third_party).len() > 3);
    assert!(hall.refused(hall.third_party, Reason::Replayed) > 0);
    assert!(members.iter().all(|member| hall.all_to(*member) == 0), "silence until it is known who asks (R4)");
    hall.run(SECOND * 10);
    assert!(members.iter().all(|member| hall.current(*member)));
    assert!(hall.answered.iter().all(Result::is_ok), "{:?}", hall.answered);
    assert_eq!(hall.refused(leader, Reason::Unknown), 0);
}

#[test]
fn a_silent_third_party_is_asked_again_and_the_join_ends_in_time() {
    let mut hall = Hall::new(2);
    let leader = hall.leader("lea");
    let member = hall.member("ada", "lea");
    hall.takes = None;
    hall.join(member);
    hall.run(SECOND * 30);
    let asked = hall.frames("RA-T1", hall.third_party);
    assert!((5..20).contains(&asked.len()), "{} questions at RTO, doubling", asked.len());
    assert!(asked.iter().all(|frame| frame.bytes == asked[0].bytes), "the same bytes each time");
    assert!(hall.told(member, &TIMEOUT));
    assert_eq!(hall.all_to(member), 0, "who is not vouched for hears nothing (R4)");
    assert!(!hall.world.events(leader).iter().any(|event| matches!(event, Event::NotVouched { .. })), "no blame");
    // Nothing of it is left, and the next join is as any.
    assert_eq!(hall.world.get(hall.third_party).unwrap().open_lookups(), 0);
    hall.takes = Some(Duration::ZERO);
    hall.join(member);
    hall.run(SECOND * 3);
    assert!(hall.current(member));
}

/// A database that answers when the look-up has expired gets told so, and an answer that comes when the join is over counts
/// for nothing.
#[test]
fn what_comes_too_late_is_refused_at_both_ends() {
    let mut hall = Hall::new(3);
    let leader = hall.leader("lea");
    let member = hall.member("ada", "lea");
    hall.takes = Some(SECOND * 11);
    hall.join(member);
    hall.run(SECOND * 40);
    assert!(hall.told(member, &TIMEOUT));
    assert!(hall.expired() > 0 && hall.expired() == hall.answered.len(), "{:?}", hall.answered);

    hall.takes = Some(Duration::ZERO);
    hall.tap.borrow_mut().holds = Some(Box::new(|_, id| id == "RA-T2"));
    hall.join(member);
    // T_pend is 20 s.
    hall.run(SECOND * 21);
    let late = hall.tap.borrow_mut().held.remove(0);
    hall.tap.borrow_mut().holds = None;
    let before = hall.refused(leader, Reason::Unknown);
    hall.world.inject(late.to_link, late.bytes, Duration::ZERO);
    hall.run(SECOND * 2);
    assert_eq!(hall.refused(leader, Reason::Unknown), before + 1, "its I1 has expired");
    assert!(hall.all_to(member) == 0 && !hall.current(member));
}

#[test]
fn an_answer_that_comes_twice_counts_once() {
    let mut hall = Hall::new(4);
    let leader = hall.leader("lea");
    let member = hall.member("ada", "lea");
    hall.join(member);
    hall.run(SECOND * 3);
    assert!(hall.current(member));
    let answer = hall.frames("RA-T2", leader).remove(0);
    hall.world.inject(answer.to_link, answer.bytes, Duration::ZERO);
    hall.run(SECOND);
    assert_eq!(hall.refused(leader, Reason::Unknown), 1, "each I1 is used once");
    assert_eq!(hall.frames("RA-J2", member).len(), 1);
    // The leader that asks again in the same words gets the same bytes (I-3).
    let asked = hall.frames("RA-T1", hall.third_party).remove(0);
    hall.world.inject(asked.to_link, asked.bytes, Duration::ZERO);
    hall.run(SECOND);
    let answers = hall.frames("RA-T2", leader);
    assert_eq!(answers[answers.len() - 1].bytes, answers[0].bytes);
    assert_eq!(hall.refused(leader, Reason::Unknown), 2);
}

#[test]
fn one_third_party_serves_many_leaders_at_once_and_keeps_them_apart() {
    let mut hall = Hall::new(5);
    let leaders = ["lea", "max", "zoe"].map(|leader| (leader, hall.leader(leader)));
    hall.takes = Some(SECOND);
    let mut members = Vec::new();
    for (leader, _) in leaders {
        // The same principals in each group.
        members.push(["ada", "bob"].map(|member| hall.member(member, leader)));
    }
    members.iter().flatten().for_each(|member| hall.join(*member));
    hall.run(SECOND * 12);
    assert!(members.iter().flatten().all(|member| hall.current(*member)));
    for (n, (leader, node)) in leaders.iter().enumerate() {
        for member in ["ada", "bob"] {
            assert!(hall.told(hall.third_party, &Event::Vouched { leader: name(leader), member: name(member) }));
        }
        let text = format!("to the group of {leader}");
        say(&mut hall, members[n][0], text.as_bytes());
        for (m, group) in members.iter().enumerate() {
            let heard = Star::heard(&hall.world, group[1], text.as_bytes());
            assert_eq!(heard, usize::from(m == n), "what is said in one group stays there");
        }
        assert_eq!(hall.world.get(*node).unwrap().view().members().len(), 3);
    }
}

#[test]
fn an_answer_to_another_leader_opens_for_nobody_else() {
    let mut hall = Hall::new(6);
    let (lea, max) = (hall.leader("lea"), hall.leader("max"));
    let (at_lea, at_max) = (hall.member("ada", "lea"), hall.member("ada", "max"));
    hall.tap.borrow_mut().holds = Some(Box::new(|_, id| id == "RA-T2"));
    hall.join(at_lea);
    hall.join(at_max);
    hall.run(SOON);
    hall.tap.borrow_mut().holds = None;
    let held = std::mem::take(&mut hall.tap.borrow_mut().held);
    let to = |node: sodality::sim::NodeId| held.iter().find(|frame| frame.to == node).unwrap();
    let (for_lea, for_max) = (to(lea.into()), to(max.into()));
    hall.world.inject(for_lea.to_link, for_max.bytes.clone(), Duration::ZERO);
    hall.run(Duration::ZERO);
    assert_eq!(hall.refused(lea, Reason::Unknown), 1, "it has asked nothing under that I1");
    // Under the number that it did ask under, the box does not open: it is made for one leader and one question (S3).
    let mut crossed = draft(for_max);
    *crossed.clear.find_mut("i1").unwrap() = draft(for_lea).clear.find("i1").unwrap().clone();
    hall.world.inject(for_lea.to_link, crossed.frame(), Duration::ZERO);
    hall.run(Duration::ZERO);
    assert_eq!(hall.refused(lea, Reason::Forged), 1);
    hall.run(SECOND * 3);
    assert!(hall.current(at_lea) && hall.current(at_max), "the true answers still count");
}

/// D38: who is not flagged as a leader gets silence, whatever it asks, and so learns nothing of anybody.
#[test]
fn a_principal_that_is_no_leader_gets_silence() {
    let mut hall = Hall::new(7);
    let leader = hall.leader("lea");
    let member = hall.member("ada", "lea");
    hall.registry.borrow_mut().get_mut("lea").unwrap().leads = false;
    hall.join(member);
    hall.run(SECOND * 16);
    assert!(hall.refused(hall.third_party, Reason::Unknown) > 3, "asked again and again");
    assert_eq!(hall.all_to(leader), hall.frames("RA-J1", leader).len(), "no answer of any kind");
    assert!(hall.told(member, &TIMEOUT));
    hall.registry.borrow_mut().get_mut("lea").unwrap().leads = true;
    hall.join(member);
    hall.run(SECOND * 3);
    assert!(hall.current(member), "what is changed in the registry holds for the next join");
}

/// RA §6, "K_A is revoked or changed at T".
#[test]
fn a_key_that_is_changed_disabled_or_revoked_joins_no_more_and_its_session_goes_on() {
    type Change = fn(&mut Hall);
    let changes: [(Change, Refusal); 3] = [
        (|hall| hall.registry.borrow_mut().get_mut("ada").unwrap().key = "ada's new one".into(), Refusal::BadTag),
        (|hall| hall.registry.borrow_mut().get_mut("ada").unwrap().disabled = true, Refusal::Disabled),
        (|hall| drop(hall.registry.borrow_mut().remove("ada")), Refusal::Unknown),
    ];
    for (change, why) in changes {
        let mut hall = Hall::new(8);
        let leader = hall.leader("lea");
        let (ada, bob) = (hall.member("ada", "lea"), hall.member("bob", "lea"));
        hall.join(ada);
        hall.join(bob);
        hall.run(SECOND * 12);
        change(&mut hall);
        // The live session goes on: T tells L nothing, and new keys reach it as before.
        hall.world.with(leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
        hall.run(SECOND * 8);
        assert!(hall.current(ada) && hall.current(bob), "{why:?}");
        say(&mut hall, ada, b"still here");
        assert_eq!(Star::heard(&hall.world, bob, b"still here"), 1);
        // A new join under the old key comes to nothing, and takes no place from the live session.
        let again = hall.member_with("ada", "lea", "ada");
        hall.join(again);
        hall.run(SECOND * 16);
        let blamed = Event::NotVouched { name: name("ada"), why };
        assert!(hall.told(leader, &blamed) && hall.told(hall.third_party, &blamed), "{why:?}");
        assert!(hall.told(again, &TIMEOUT) && hall.all_to(again) == 0, "silence to whoever asks ({why:?})");
        assert!(hall.current(ada), "{why:?}");
        // Under the new key it is welcome, where there is one.
        if why == Refusal::BadTag {
            let renewed = hall.member_with("ada", "lea", "ada's new one");
            hall.join(renewed);
            hall.run(SECOND * 8);
            assert!(hall.current(renewed) && !hall.current(ada), "it takes its own place");
        }
    }
}

/// An answer is for one question: with the status or the I1 of another it opens nothing (I-3).
#[test]
fn a_no_cannot_be_turned_into_a_yes() {
    let mut hall = Hall::new(9);
    let leader = hall.leader("lea");
    let member = hall.member("ada", "lea");
    hall.registry.borrow_mut().get_mut("ada").unwrap().disabled = true;
    hall.tap.borrow_mut().holds = Some(Box::new(|_, id| id == "RA-T2"));
    hall.join(member);
    hall.run(SOON);
    let no = hall.tap.borrow_mut().held.remove(0);
    hall.tap.borrow_mut().holds = None;
    let mut turned = draft(&no);
    turned.clear.find_mut("status").unwrap().content = Content::Leaf(vec![0]);
    hall.world.inject(no.to_link, turned.frame(), Duration::ZERO);
    hall.run(Duration::ZERO);
    assert_eq!(hall.refused(leader, Reason::Forged), 1);
    hall.world.inject(no.to_link, no.bytes, Duration::ZERO);
    hall.run(SECOND);
    assert!(hall.told(leader, &Event::NotVouched { name: name("ada"), why: Refusal::Disabled }));
    assert_eq!(hall.all_to(member), 0);
}
