//! The adversary against joins of the repaired edition: swapped names, forged answers, floods, and who is not let in. Each
//! attack by its id, the reason by which it is refused, and, where a check can be left out, that it wins without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "scene/mod.rs"]
mod scene;

use sodality::antigone::{Access, Member, MemberConfig};
use sodality::error::Reason;
use sodality::event::{Cause, Causes, Event, JoinFailure, Refusal, Shortfall};
use sodality::group::{Check, Checks, Limits};
use sodality::policy::{Floor, Policy, Protection, Views};
use sodality::sim::star::{APP, LEADER, Star, StarConfig, long_term_key};
use sodality::sim::{NodeId, SimRng};
use sodality::wire::shape::Content;

use scene::{SECOND, SOON, Scene, config, draft, made_up, name, strangers_link};

#[test]
fn a4_a_swapped_name_is_refused_and_the_blame_is_sealed() {
    // In RA-J1, on its way to the leader: the third party says so, under a key of this question and status.
    let mut scene = Scene::open(config(Policy::default(), Checks::ALL), &["m1", "m2"]);
    scene.hold(|_, id| id == "RA-J1");
    scene.join(0);
    scene.run(SOON);
    let honest = scene.release().remove(0);
    let mut swapped = draft(&honest);
    swapped.clear.find_mut("member").unwrap().content = Content::Leaf(b"\x02m2".to_vec());
    assert_eq!(scene.inject(honest.to_link, swapped.frame()), None, "a leader cannot tell yet");
    scene.run(SOON);
    let (leader, first) = (scene.star.leader, scene.star.members[0]);
    assert!(scene.told(leader, &Event::NotVouched { name: name("m2"), why: Refusal::BadTag }));
    assert!(scene.frames("RA-J2", first).is_empty(), "silence to whoever asked (R46)");
    // In RA-T1: the leader's tag.
    let third_party = scene.star.third_party;
    scene.run(SECOND * 2);
    let question = scene.last("RA-T1", third_party);
    let mut bytes = question.bytes.to_vec();
    let at = bytes.windows(3).rposition(|part| part == b"\x02m1").unwrap();
    bytes[at + 2] = b'2';
    assert_eq!(scene.inject(question.to_link, bytes), Some(Reason::Forged));
    // The honest join is not disturbed.
    scene.run(SECOND * 2);
    assert!(scene.member(0).is_current());
}

#[test]
fn a4_an_answer_for_another_join_is_refused() {
    let (mut scene, held) = Scene::two_asking("RA-T2");
    let (first, second) = (draft(&held[0]), draft(&held[1]));
    // The key of the one in the answer to the other.
    let mut crossed = second.clone();
    *crossed.clear.find_mut("i1").unwrap() = first.clear.find("i1").unwrap().clone();
    scene.refuses(held[0].to_link, crossed.frame(), Reason::Forged);
    let mut refused = first.clone();
    refused.clear.find_mut("status").unwrap().content = second.clear.find("status").unwrap().content.clone();
    assert_eq!(scene.inject(held[0].to_link, refused.frame()), None, "the true answer still counts");
    // Each I1 is used once.
    scene.refuses_again(&held[0], Reason::Unknown);
    scene.run(SECOND * 10);
    scene.all_is_well();
}

#[test]
fn x15_e8_a_forged_refusal_is_noise() {
    let (mut scene, held) = Scene::two_asking("RA-J2");
    let mut forged = draft(&held[0]);
    forged.text = vec![1, 0];
    scene.refuses(held[0].to_link, forged.frame(), Reason::Forged);
    // Somebody else's answer, and that one with the nonce of this attempt.
    scene.refuses(held[0].to_link, held[1].bytes.clone(), Reason::Unknown);
    let mut crossed = draft(&held[1]);
    *crossed.clear.find_mut("i0").unwrap() = draft(&held[0]).clear.find("i0").unwrap().clone();
    scene.refuses(held[0].to_link, crossed.frame(), Reason::Forged);
    scene.run(SECOND * 12);
    scene.all_is_well();
}

#[test]
fn d17_a_rekey_while_somebody_joins_is_no_race() {
    let mut scene = Scene::joined(Checks::ALL, 3);
    scene.leave(2);
    scene.run(SECOND * 6);
    let joining: NodeId = scene.star.members[2].into();
    scene.hold(move |frame, id| frame.to == joining && id != "RA-J2");
    scene.join(2);
    scene.run(SOON);
    scene.rekey();
    scene.run(SECOND * 6);
    let held = scene.release();
    let newest = scene.leader().epoch();
    // The blocks of two epochs, the older one last.
    for frame in held.iter().rev() {
        scene.inject(frame.to_link, frame.bytes.clone());
    }
    scene.run(SECOND * 3);
    assert_eq!(scene.member(2).epoch(), newest);
    scene.all_is_well();
}

#[test]
fn r8_r38_a_policy_below_the_floor_is_refused_by_name() {
    let weaker = Policy::default();
    let none = Floor::none();
    let cases = [
        (
            Policy { ephemeral: false, ..weaker.clone() },
            Floor { ephemeral: true, ..none.clone() },
            Shortfall::ForwardSecrecy,
        ),
        (
            Policy { protection: Protection::Integrity, ..weaker.clone() },
            Floor { protection: Protection::Both, ..none.clone() },
            Shortfall::Protection,
        ),
        (Policy { origin: false, ..weaker.clone() }, Floor { origin: true, ..none.clone() }, Shortfall::Origin),
        (
            Policy { detection: None, ..weaker.clone() },
            Floor { detection: true, ..none.clone() },
            Shortfall::FailureDetection,
        ),
        (
            Policy { rekey_on: Causes::of(Cause::Open), views: Views::WithEachKey, ..weaker },
            Floor { rekey_on_leave: true, ..none },
            Shortfall::RekeyOnLeave,
        ),
    ];
    for (policy, floor, shortfall) in cases {
        for (checks, joins) in [(Checks::ALL, false), (Checks::ALL.without(Check::PolicyFloor), true)] {
            let config = StarConfig { floor: floor.clone(), ..config(policy.clone(), checks) };
            let mut scene = Scene::open(config, &["m1"]);
            scene.join(0);
            scene.run(SECOND * 2);
            let refused = scene.told(scene.star.members[0], &Event::JoinFailed(JoinFailure::BelowFloor(shortfall)));
            assert_eq!((scene.member(0).is_current(), refused), (joins, !joins), "{shortfall:?}");
        }
    }
}

#[test]
fn refusals_by_list_and_by_application_are_sealed() {
    let listed = Access::List([name("m1")].into());
    for access in [listed, Access::Ask] {
        let config = StarConfig { access: access.clone(), ..config(Policy::default(), Checks::ALL) };
        let mut scene = Scene::open(config, &["m1", "m2"]);
        scene.join(0);
        scene.join(1);
        scene.run(SOON);
        let leader = scene.star.leader;
        for event in scene.world.take_events(leader) {
            if let Event::AdmissionWanted { ticket, name } = event {
                let admit = name.as_str() == "m1";
                scene.world.with(leader, |leader, cx| leader.admit(cx, ticket, admit)).unwrap().unwrap();
            }
        }
        scene.run(SECOND * 10);
        let outsider = scene.star.members[1];
        assert!(scene.member(0).is_current());
        assert!(scene.told(outsider, &Event::JoinRefused(Refusal::Denied)), "{access:?}");
        // On the wire it is an RA-J2 like another, whose box opens for nobody else.
        assert!(!scene.frames("RA-J2", outsider).is_empty());
        assert_eq!(scene.leader().view().members().len(), 2);
    }
}

#[test]
fn who_is_not_vouched_for_meets_silence() {
    let mut scene = Scene::open(config(Policy::default(), Checks::ALL), &["stranger1", "disabled1"]);
    let suite = scene.star.config.suite.clone();
    let liar = Member::new(MemberConfig {
        suite: suite.clone(),
        app: name(APP),
        leader: name(LEADER),
        name: name("m9"),
        key: long_term_key(&*suite, "another"),
        floor: Floor::none(),
        limits: Limits::default(),
    });
    let liar = scene.world.add("m9", liar.unwrap()).unwrap();
    scene.star.members.push(liar);
    for n in 0..3 {
        scene.join(n);
    }
    scene.run(SECOND * 16);
    let leader = scene.star.leader;
    for (n, who, why) in
        [(0, "stranger1", Refusal::Unknown), (1, "disabled1", Refusal::Disabled), (2, "m9", Refusal::BadTag)]
    {
        let node = scene.star.members[n];
        assert!(scene.told(leader, &Event::NotVouched { name: name(who), why }), "{who}");
        assert!(scene.told(node, &Event::JoinFailed(JoinFailure::Timeout)), "{who}");
        let node = NodeId::from(node);
        assert!(scene.tap.borrow().frames.iter().all(|frame| frame.to != node), "silence to {who}");
    }
    assert_eq!(scene.leader().view().members().len(), 1);
}

#[test]
fn x9_half_open_floods_are_bounded_and_touch_nobody() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let honest = scene.frames("RA-J1", scene.star.leader).remove(0);
    let mut rng = SimRng::new(4);
    // The third party is out of reach: every request stays pending.
    scene.hold(|_, id| id == "RA-T1");
    let before = (scene.leader().view().version(), scene.leader().epoch());
    let (mut most, mut refused) = ((0, 0), 0);
    for flood in 0..200 {
        let link = strangers_link(&mut scene);
        for one in 0..10 {
            let frame = made_up(&honest, &format!("name {flood} {one}"), &mut rng);
            refused += usize::from(scene.inject(link, frame) == Some(Reason::Budget));
        }
        most = most.max((scene.leader().pending_bytes(), scene.leader().pending_joins()));
    }
    println!("a flood of 2000 requests: at most {} pending joins in {} bytes; {refused} refused", most.1, most.0);
    assert_eq!(most.1, 1024);
    assert!(most.0 < 1024 * 3 * 1024 && refused == 2000 - 1024, "{most:?} {refused}");
    // Live members are untouched, and an honest newcomer still comes in once T_min is over.
    assert_eq!((scene.leader().view().version(), scene.leader().epoch()), before);
    scene.release();
    scene.run(SECOND);
    assert!(scene.member(0).is_current() && scene.member(1).is_current());
    let newcomer = scene.star.add_member(&mut scene.world, "m3").unwrap();
    scene.world.with(newcomer, |member, cx| member.join(cx)).unwrap().unwrap();
    scene.run(SECOND * 14);
    assert!(scene.member(2).is_current());
    // What the flood left expires.
    scene.run(SECOND * 20);
    assert_eq!(scene.leader().pending_joins(), 0);
    scene.all_is_well();
}

#[test]
fn x9_a_young_join_is_not_pushed_out_by_others_of_its_name() {
    for (checks, stays) in [(Checks::ALL, true), (Checks::ALL.without(Check::PendingGuard), false)] {
        let mut scene = Scene::open(config(Policy::default(), checks), &["m1"]);
        scene.hold(|_, id| id == "RA-T2");
        scene.join(0);
        scene.run(SOON);
        let answer = scene.release().remove(0);
        let honest = scene.frames("RA-J1", scene.star.leader).remove(0);
        let mut rng = SimRng::new(5);
        let mut reasons = Vec::new();
        for _ in 0..6 {
            let link = strangers_link(&mut scene);
            reasons.push(scene.inject(link, made_up(&honest, "m1", &mut rng)));
        }
        // Four of a name, the honest one among them (RA §4.7).
        let kept = if stays { 3 } else { 6 };
        assert_eq!(reasons.iter().filter(|reason| reason.is_none()).count(), kept, "{reasons:?}");
        let verdict = scene.inject(answer.to_link, answer.bytes.clone());
        assert_eq!(verdict, if stays { None } else { Some(Reason::Unknown) });
    }
}

#[test]
fn x9_a_replayed_request_of_a_live_member_comes_to_nothing() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let old = scene.frames("RA-J1", scene.star.leader).remove(0);
    let before = (scene.leader().view().version(), scene.leader().epoch(), scene.member(0).cid());
    let link = strangers_link(&mut scene);
    assert_eq!(scene.inject(link, old.bytes.clone()), None, "it cannot be told from a new attempt");
    scene.run(SECOND * 2);
    assert_eq!(scene.leader().pending_joins(), 1, "offered, and nobody can take it");
    scene.say(0, b"still here").unwrap();
    scene.run(SECOND * 19);
    assert_eq!(Star::heard(&scene.world, scene.star.members[1], b"still here"), 1);
    assert_eq!(scene.leader().pending_joins(), 0);
    assert_eq!((scene.leader().view().version(), scene.leader().epoch(), scene.member(0).cid()), before);
    scene.all_is_well();
}

#[test]
fn requests_over_links_that_prove_nothing_are_refused() {
    for (checks, why) in [(Checks::ALL, Some(Reason::Unproven)), (Checks::ALL.without(Check::ProvenLink), None)] {
        let mut scene = Scene::joined(checks, 1);
        let honest = scene.frames("RA-J1", scene.star.leader).remove(0);
        scene.star.config.link.proven = false;
        let link = strangers_link(&mut scene);
        let frame = made_up(&honest, "m2", &mut SimRng::new(6));
        assert_eq!(scene.inject(link, frame), why);
    }
}
