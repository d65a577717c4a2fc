//! Who is thrown out, by whom, and who is not (RA §4.6 and the reaction of RA §4.3; S6, S7, A13, R24, R30).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

mod scene;

use std::cell::Cell;

use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Cause, EjectVerdict, EndReason, Ending, Event, Suspicion, Ticket};
use sodality::group::{Check, Checks};
use sodality::identity::MemberId;
use sodality::policy::{Detection, EjectRequests, OnSilence, Policy};
use sodality::sim::{DropMatching, InTransit, Star, Tables};

use scene::{SECOND, Scene, T_MAX, config};

const NAMES: [&str; 3] = ["m1", "m2", "m3"];

fn group(requests: EjectRequests, checks: Checks) -> Scene {
    let policy = Policy { eject_requests: requests, ..Policy::default() };
    Scene::settled(config(policy, checks), &NAMES)
}

fn cid(scene: &Scene, n: usize) -> MemberId {
    scene.member(n).cid().unwrap()
}

fn eject(scene: &mut Scene, target: MemberId) -> Result<(), CommandError> {
    scene.world.command(scene.star.leader, &format!("eject {target}"), |leader, cx| leader.eject(cx, target)).unwrap()
}

fn request(scene: &mut Scene, asker: usize, target: MemberId) -> Result<(), CommandError> {
    let words = format!("eject {target}");
    scene.world.command(scene.star.members[asker], &words, |member, cx| member.request_ejection(cx, target)).unwrap()
}

fn removed(scene: &Scene, at: usize, target: MemberId) -> Option<(Cause, MemberId)> {
    scene.world.events(scene.star.members[at]).iter().find_map(|event| match event {
        Event::MemberRemoved { cid, cause, by, .. } if *cid == target => Some((*cause, *by)),
        _ => None,
    })
}

fn answers(scene: &Scene, asker: usize) -> Vec<EjectVerdict> {
    let events = scene.world.events(scene.star.members[asker]).iter();
    events
        .filter_map(|event| match event {
            Event::EjectionAnswered { verdict, .. } => Some(*verdict),
            _ => None,
        })
        .collect()
}

fn question(scene: &Scene) -> Option<(Ticket, MemberId, MemberId)> {
    scene.world.events(scene.star.leader).iter().rev().find_map(|event| match event {
        Event::EjectionWanted { ticket, by, target, .. } => Some((*ticket, *by, *target)),
        _ => None,
    })
}

/// RA §4.6: view, key and the word to the target are one decision; others learn who made it. What is said afterwards is
/// not for the one who went (S7, A15, R19).
#[test]
fn whom_the_leader_ejects_is_told_and_reads_no_more() {
    let mut scene = group(EjectRequests::Refused, Checks::ALL);
    let (target, before) = (cid(&scene, 0), scene.leader().epoch());
    eject(&mut scene, target).unwrap();
    assert_eq!(scene.leader().epoch(), before.next().unwrap(), "in the same step (I-7)");
    assert!(!scene.leader().view().contains(target));
    scene.run(SECOND);
    assert!(scene.told(scene.star.members[0], &Event::Ended(Ending::ByLeader(EndReason::Ejected))));
    assert_eq!(removed(&scene, 1, target), Some((Cause::Eject, MemberId::LEADER)));
    scene.say(1, b"among us").unwrap();
    scene.run(SECOND);
    assert_eq!(Star::heard(&scene.world, scene.star.members[2], b"among us"), 1);
    assert_eq!(Star::heard(&scene.world, scene.star.members[0], b"among us"), 0);
    // Its machine is given the frame all the same.
    let frame = scene.last("RA-D", scene.star.members[2]);
    let to_first = scene.frames("RA-CL", scene.star.members[0]).pop().unwrap().to_link;
    assert_eq!(scene.inject(to_first, frame.bytes), Some(Reason::NotJoined));
    assert_eq!(eject(&mut scene, target), Err(Misuse::NoMember.into()));
    assert_eq!(eject(&mut scene, MemberId::LEADER), Err(Misuse::NoMember.into()));
}

/// RA §4.6: exclusion does not wait for the target, and its farewell is repeated for a while only.
#[test]
fn a_target_that_answers_nothing_holds_nobody_up() {
    let mut scene = group(EjectRequests::Refused, Checks::ALL);
    let (target, node) = (cid(&scene, 0), scene.star.members[0]);
    scene.world.crash(node).unwrap();
    eject(&mut scene, target).unwrap();
    scene.run(SECOND * 2);
    assert!(scene.member(1).is_current() && scene.member(1).epoch() == scene.leader().epoch());
    assert_eq!(scene.leader().label_of(target), "lingering");
    scene.run(SECOND * 10);
    assert_eq!(scene.leader().label_of(target), "unknown");
}

/// RA §4.6, eject request: the policy decides, and the answer comes by a record, whatever gets lost.
#[test]
fn a_request_is_answered_by_policy_under_loss() {
    for (requests, verdict) in
        [(EjectRequests::Refused, EjectVerdict::NotAllowed), (EjectRequests::Granted, EjectVerdict::Ejected)]
    {
        let mut scene = group(requests, Checks::ALL);
        let (asker, target) = (cid(&scene, 0), cid(&scene, 1));
        // Every other control frame is lost.
        let odd = Cell::new(false);
        scene.hold(move |_, id| {
            let control = id == "RA-CM" || id == "RA-CL";
            odd.set(odd.get() ^ control);
            control && odd.get()
        });
        request(&mut scene, 0, target).unwrap();
        scene.run(SECOND * 20);
        scene.release();
        scene.run(SECOND * 20);
        assert_eq!(answers(&scene, 0), [verdict], "{requests:?}");
        let gone = (verdict == EjectVerdict::Ejected).then_some((Cause::Eject, asker));
        assert_eq!(removed(&scene, 2, target), gone, "who asked is named (S6)");
    }
}

/// RA §4.6: the application may be asked; its silence denies, and so do targets that went meanwhile answer for themselves.
#[test]
fn the_application_decides_or_its_silence_denies() {
    let mut scene = group(EjectRequests::Asked, Checks::ALL);
    let targets = [cid(&scene, 1), cid(&scene, 2)];
    request(&mut scene, 0, targets[0]).unwrap();
    scene.run(SECOND);
    let (ticket, by, target) = question(&scene).unwrap();
    assert_eq!((by, target), (cid(&scene, 0), targets[0]));
    // The same again while it is open.
    request(&mut scene, 0, targets[0]).unwrap();
    scene.run(SECOND);
    assert_eq!(answers(&scene, 0), [EjectVerdict::Busy]);
    let decide = |scene: &mut Scene, ticket, eject| {
        scene.world.with(scene.star.leader, |leader, cx| leader.decide_ejection(cx, ticket, eject)).unwrap()
    };
    decide(&mut scene, ticket, false).unwrap();
    scene.run(SECOND);
    assert_eq!(decide(&mut scene, ticket, true), Err(Misuse::NoTicket.into()));
    assert_eq!(answers(&scene, 0), [EjectVerdict::Busy, EjectVerdict::Denied]);
    // Silence.
    request(&mut scene, 0, targets[0]).unwrap();
    scene.run(SECOND * 61);
    assert_eq!(answers(&scene, 0).last(), Some(&EjectVerdict::Denied));
    assert_eq!(answers(&scene, 0).len(), 3);
    // Granted at last.
    request(&mut scene, 0, targets[1]).unwrap();
    scene.run(SECOND);
    let (ticket, ..) = question(&scene).unwrap();
    decide(&mut scene, ticket, true).unwrap();
    scene.run(SECOND);
    assert_eq!(answers(&scene, 0).last(), Some(&EjectVerdict::Ejected));
    assert_eq!(removed(&scene, 1, targets[1]), Some((Cause::Eject, cid(&scene, 0))));
}

/// A question ends with its asker, and is answered when its target goes by itself.
#[test]
fn questions_end_with_those_they_are_about() {
    let mut scene = group(EjectRequests::Asked, Checks::ALL);
    let target = cid(&scene, 1);
    request(&mut scene, 0, target).unwrap();
    request(&mut scene, 2, target).unwrap();
    scene.run(SECOND);
    scene.leave(2);
    scene.run(SECOND);
    scene.leave(1);
    scene.run(SECOND);
    assert_eq!(answers(&scene, 0), [EjectVerdict::Ejected], "it is gone");
    let (ticket, ..) = question(&scene).unwrap();
    let late = scene.world.with(scene.star.leader, |leader, cx| leader.decide_ejection(cx, ticket, true)).unwrap();
    assert_eq!(late, Err(Misuse::NoTicket.into()));
}

/// What a member is told before it asks.
#[test]
fn requests_that_make_no_sense_are_refused_at_home() {
    let mut scene = group(EjectRequests::Granted, Checks::ALL);
    let own = cid(&scene, 0);
    assert_eq!(request(&mut scene, 0, own), Err(Misuse::Oneself.into()));
    assert_eq!(request(&mut scene, 0, MemberId::LEADER), Err(Misuse::NoMember.into()));
    assert_eq!(request(&mut scene, 0, MemberId(99)), Err(Misuse::NoMember.into()));
    scene.world.partition([scene.star.members[0]]).unwrap();
    let target = cid(&scene, 1);
    let asked = (0..40).map_while(|_| request(&mut scene, 0, target).ok()).count();
    assert_eq!(asked, 16, "as many as may wait");
    assert_eq!(request(&mut scene, 0, target), Err(Misuse::Unanswered.into()));
}

/// Two that would have each other thrown out: the first to be heard wins, and the group goes on.
#[test]
fn of_two_that_eject_each_other_one_stays() {
    let mut scene = group(EjectRequests::Granted, Checks::ALL);
    let (a, b) = (cid(&scene, 0), cid(&scene, 1));
    request(&mut scene, 0, b).unwrap();
    request(&mut scene, 1, a).unwrap();
    scene.run(SECOND * 10);
    let view = scene.leader().view();
    assert_eq!((view.contains(a), view.contains(b)), (true, false));
    assert!(scene.told(scene.star.members[1], &Event::Ended(Ending::ByLeader(EndReason::Ejected))));
    assert_eq!(removed(&scene, 2, b), Some((Cause::Eject, a)));
}

/// A member is out and back when the request to eject its former self arrives.
fn late_request(checks: Checks) -> (bool, Vec<EjectVerdict>) {
    let mut scene = group(EjectRequests::Granted, checks);
    let (former, asker) = (cid(&scene, 1), scene.star.members[0]);
    scene.hold(move |frame, id| id == "RA-CM" && frame.from == asker.into());
    request(&mut scene, 0, former).unwrap();
    scene.run(SECOND);
    let held = scene.release();
    // The network is slow with it.
    scene.hold(move |frame, id| id == "RA-CM" && frame.from == asker.into());
    scene.leave(1);
    scene.run(SECOND);
    scene.join(1);
    scene.run(SECOND * 8);
    scene.release();
    let request = &held[0];
    scene.inject(request.to_link, request.bytes.clone());
    scene.run(SECOND * 8);
    let stays = scene.member(1).is_current() && cid_of(&scene, 1) != Some(former);
    (stays, answers(&scene, 0))
}

fn cid_of(scene: &Scene, n: usize) -> Option<MemberId> {
    scene.member(n).cid()
}

/// A13, RA §4.6: number and name together; a request that comes late hits no later incarnation.
#[test]
fn a_late_request_hits_no_later_incarnation() {
    assert_eq!(late_request(Checks::ALL), (true, vec![EjectVerdict::NoSuchMember]));
    // Without the number, the name alone decides, and the wrong one is out.
    let (stays, answers) = late_request(Checks::ALL.without(Check::EjectTarget));
    assert_eq!((stays, answers), (false, vec![EjectVerdict::Ejected]));
}

/// R24: an ordinary member removes nobody where the policy does not let it.
#[test]
fn without_the_right_an_insider_throws_others_out() {
    for (checks, goes) in [(Checks::ALL, false), (Checks::ALL.without(Check::EjectRight), true)] {
        let mut scene = group(EjectRequests::Refused, checks);
        let target = cid(&scene, 1);
        request(&mut scene, 0, target).unwrap();
        scene.run(SECOND * 2);
        assert_eq!(!scene.leader().view().contains(target), goes);
    }
}

/// A13: a request of an earlier session is nothing in the next, and one that was answered is nothing when it is repeated.
#[test]
fn a_request_counts_once_and_in_its_session_only() {
    let mut scene = group(EjectRequests::Granted, Checks::ALL);
    let target = cid(&scene, 1);
    request(&mut scene, 0, target).unwrap();
    scene.run(SECOND);
    let frames: Vec<InTransit> = scene
        .frames("RA-CM", scene.star.leader)
        .into_iter()
        .filter(|f| f.from == scene.star.members[0].into())
        .collect();
    scene.join(1);
    scene.run(SECOND * 8);
    for frame in &frames {
        scene.refuses_again(frame, Reason::Replayed);
    }
    scene.leave(0);
    scene.run(SECOND * 2);
    scene.join(0);
    scene.run(SECOND * 20);
    for frame in &frames {
        assert!(matches!(scene.inject(frame.to_link, frame.bytes.clone()), Some(Reason::Unknown)));
    }
    assert!(scene.member(1).is_current());
    assert_eq!(scene.leader().view().members().len(), 4);
}

/// RA §4.3, reaction: who is silent for too long is removed, told, and comes back under another number.
#[test]
fn the_silent_are_removed_and_may_come_back() {
    let mut scene = group(EjectRequests::Refused, Checks::ALL);
    let (silent, node) = (cid(&scene, 0), scene.star.members[0]);
    scene.world.partition([node]).unwrap();
    scene.run(T_MAX + SECOND * 6);
    assert!(scene.told(scene.star.leader, &Event::Suspected { cid: silent, why: Suspicion::Silence }));
    assert_eq!(removed(&scene, 1, silent), Some((Cause::Failure, MemberId::LEADER)));
    scene.world.heal();
    scene.run(SECOND * 3);
    assert!(scene.told(node, &Event::Ended(Ending::ByLeader(EndReason::Failed))), "within linger");
    scene.join(0);
    scene.run(SECOND * 8);
    assert!(scene.member(0).is_current());
    assert_ne!(scene.member(0).cid(), Some(silent));
}

/// RA §4.3: where the policy says so, silence is reported and nobody is removed.
#[test]
fn silence_is_only_reported_where_the_policy_says_so() {
    let policy = Policy { on_silence: OnSilence::Report, ..Policy::default() };
    let mut scene = Scene::open(config(policy, Checks::ALL), &NAMES);
    scene.star.join_all(&mut scene.world, SECOND * 60).unwrap();
    let silent = cid(&scene, 0);
    scene.world.crash(scene.star.members[0]).unwrap();
    scene.run(SECOND * 60);
    assert!(scene.told(scene.star.leader, &Event::Suspected { cid: silent, why: Suspicion::Silence }));
    assert!(scene.leader().view().contains(silent));
}

/// RA §4.3: the polls of a member echo what it heard a period ago. Before its time is over it is asked, and echoes at
/// once: nobody is removed for answers that were lost on the way to it.
#[test]
fn who_lives_is_asked_before_its_time_is_over() {
    let mut scene = group(EjectRequests::Refused, Checks::ALL);
    let (deaf, node) = (cid(&scene, 0), scene.star.members[0]);
    let to_node = move |frame: &InTransit, _: &Tables| frame.to == node.id;
    scene.world.set_adversary(DropMatching(to_node));
    scene.run(SECOND * 17);
    scene.world.retire_adversary();
    scene.run(SECOND * 30);
    assert!(!scene.told(scene.star.leader, &Event::Suspected { cid: deaf, why: Suspicion::Silence }));
    assert!(scene.leader().view().contains(deaf) && scene.member(0).is_current());
}

/// RA §4.4, a batch: a network with many behind it is lost, and the rest go through one rekey.
#[test]
fn all_that_fall_silent_together_go_in_one_epoch() {
    let names: Vec<String> = (1..=40).map(|n| format!("m{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let policy = Policy { detection: Some(Detection { period: SECOND, misses: 2 }), ..Policy::default() };
    let mut scene = Scene::under(policy, &names);
    scene.run(SECOND * 4);
    let before = scene.leader().epoch().0;
    let lost: Vec<_> = scene.star.members[..30].to_vec();
    scene.world.partition(lost).unwrap();
    scene.run(SECOND * 20);
    assert_eq!(scene.leader().view().members().len(), 11);
    let epochs = scene.leader().epoch().0 - before;
    println!("30 members fell silent: {epochs} epochs");
    // Their polls are spread, and so are the ends of their time: whoever follows within an RTO goes along.
    assert!(epochs <= 4, "{epochs}");
    assert!(scene.member(35).is_current() && scene.member(35).epoch() == scene.leader().epoch());
}

/// RA §4.4, T_dead: a member that answers and never takes the key is no member.
#[test]
fn who_never_takes_the_key_is_taken_for_dead() {
    let mut scene = group(EjectRequests::Refused, Checks::ALL);
    let (deaf, node) = (cid(&scene, 0), scene.star.members[0]);
    let is_key = move |frame: &InTransit, tables: &Tables| frame.to == node.id && tables.id(&frame.bytes) == "RA-R";
    scene.world.set_adversary(DropMatching(is_key));
    scene.rekey();
    scene.run(T_MAX * 3 - SECOND);
    assert!(scene.leader().view().contains(deaf), "it speaks: it has three times T_max");
    scene.run(SECOND * 3);
    assert!(scene.told(scene.star.leader, &Event::Suspected { cid: deaf, why: Suspicion::KeyNotTaken }));
    assert_eq!(removed(&scene, 1, deaf), Some((Cause::Failure, MemberId::LEADER)));
}

/// R30: answers that nobody takes do not pile up. Here the leader has room for none at all; that takes a member that
/// acknowledges nothing and asks on, which the machines of this library do not do.
#[test]
fn who_lets_records_pile_up_is_removed_whatever_the_policy_says() {
    let policy = Policy { eject_requests: EjectRequests::Asked, on_silence: OnSilence::Report, ..Policy::default() };
    let mut config = config(policy, Checks::ALL);
    config.limits.records = 0;
    let mut scene = Scene::open(config, &[]);
    scene.star.config.limits.records = 16;
    for name in ["m1", "m2"] {
        scene.star.add_member(&mut scene.world, name).unwrap();
    }
    scene.settle();
    let (asker, target) = (cid(&scene, 0), cid(&scene, 1));
    request(&mut scene, 0, target).unwrap();
    scene.run(SECOND);
    let (ticket, ..) = question(&scene).unwrap();
    scene.world.with(scene.star.leader, |leader, cx| leader.decide_ejection(cx, ticket, false)).unwrap().unwrap();
    scene.run(SECOND);
    assert!(scene.told(scene.star.leader, &Event::Suspected { cid: asker, why: Suspicion::RecordsPileUp }));
    assert_eq!(removed(&scene, 1, asker), Some((Cause::Failure, MemberId::LEADER)));
    assert!(scene.told(scene.star.members[0], &Event::Ended(Ending::ByLeader(EndReason::Failed))));
}
