//! Rules of a join before `hello`, each shown alone (RA §4.1): what A asks, what L makes of it, and of what T says.

use std::time::Duration;

use bytes::Bytes;
use sodality::antigone::Access;
use sodality::endpoint::Endpoint;
use sodality::error::{Misuse, Reason};
use sodality::event::{Event, JoinFailure, Refusal, Ticket};
use sodality::group::Limits;
use sodality::policy::Policy;
use sodality::sim::star::StarConfig;
use sodality::sim::{InTransit, NodeId};
use sodality::wire::shape::Content;

use crate::forge::{Forge, get, set};
use crate::scene::{SECOND, SOON, Scene, draft, name, strangers_link, usual};

const MS: Duration = Duration::from_millis(1);

/// A join whose RA-J1 has arrived once, and waits for the third party; nothing more of A's requests arrives.
fn waiting() -> (Scene, InTransit) {
    let mut scene = Scene::open(usual(), &["m1"]);
    scene.hold(|_, id| id == "RA-T2");
    scene.join(0);
    while scene.leader().pending_joins() == 0 {
        scene.run(MS);
    }
    scene.hold(|_, id| matches!(id, "RA-T2" | "RA-J1"));
    let request = scene.last("RA-J1", scene.star.leader);
    (scene, request)
}

/// RA-J1 with another number, and another name if one is given. Nobody can check its tag but the third party.
fn another(request: &InTransit, number: u8, who: Option<&str>) -> Bytes {
    let mut made = draft(request);
    if let Some(who) = who {
        set(&mut made.clear, "member", &[&[who.len() as u8], who.as_bytes()].concat());
    }
    let Content::Leaf(i0) = &mut made.clear.find_mut("i0").unwrap().content else { panic!("bytes") };
    *i0.last_mut().unwrap() = number;
    made.frame()
}

fn asked(scene: &Scene) -> usize {
    let wanted = |event: &&Event| matches!(event, Event::AdmissionWanted { .. });
    scene.world.events(scene.star.leader).iter().filter(wanted).count()
}

fn newest_ticket(scene: &Scene) -> Ticket {
    let ticket = |event: &Event| match event {
        Event::AdmissionWanted { ticket, .. } => Some(*ticket),
        _ => None,
    };
    scene.world.events(scene.star.leader).iter().rev().find_map(ticket).unwrap()
}

/// RA §4.1 attempt: the same bytes until T_join is over, one attempt at a time, everything drawn anew for a second.
#[test]
fn an_attempt_repeats_its_bytes_and_a_second_one_draws_anew() {
    let mut scene = Scene::open(usual(), &["m1"]);
    scene.hold(|_, id| id == "RA-J1");
    scene.join(0);
    scene.run(SECOND);
    let member = scene.star.members[0];
    let again = scene.world.with(member, |member, cx| member.join(cx)).unwrap();
    assert_eq!(again, Err(Misuse::AlreadyJoined.into()));
    scene.run(SECOND * 14 - MS);
    assert!(!scene.told(member, &Event::JoinFailed(JoinFailure::Timeout)));
    scene.run(MS * 2);
    assert!(scene.told(member, &Event::JoinFailed(JoinFailure::Timeout)));
    let first = scene.frames("RA-J1", scene.star.leader);
    assert!(first.len() >= 4 && first.iter().all(|frame| frame.bytes == first[0].bytes));
    scene.join(0);
    scene.run(SOON);
    let (old, new) = (draft(&first[0]), draft(&scene.last("RA-J1", scene.star.leader)));
    for field in ["i0", "share"] {
        assert_ne!(old.clear.find(field), new.clear.find(field), "{field}");
    }
}

/// RA §4.1 L on RA-J1 (1): application and leader are L's own, and nobody asks under L's name. The suite too.
#[test]
fn a_request_for_another_application_or_leader_is_refused() {
    let (mut scene, request) = waiting();
    let changed = |field: &str, text: &[u8]| {
        let mut made = draft(&request);
        set(&mut made.clear, field, text);
        made.frame()
    };
    scene.refuses(request.to_link, changed("app", b"\x03sam"), Reason::Unknown);
    scene.refuses(request.to_link, changed("leader", b"\x03lee"), Reason::Unknown);
    scene.refuses(request.to_link, changed("member", b"\x03lea"), Reason::Violation);
    let mut other = draft(&request);
    other.header[3] ^= 1;
    scene.refuses(request.to_link, other.frame(), Reason::Mismatch);
    assert_eq!(scene.leader().pending_joins(), 1);
}

/// RA §4.1 L on RA-J1 (3): a duplicate gets what was sent last, at most once an RTO; RA §6 (1).
#[test]
fn a_duplicate_gets_the_same_bytes_at_most_once_an_rto() {
    let (mut scene, request) = waiting();
    let third_party = scene.star.third_party;
    let (link, bytes) = (request.to_link, request.bytes.clone());
    let questions = |scene: &Scene| scene.frames("RA-T1", third_party);
    scene.run(SECOND / 5);
    assert_eq!(scene.inject(link, bytes.clone()), Some(Reason::Budget), "within an RTO");
    scene.run(SECOND * 2);
    let before = questions(&scene).len();
    assert_eq!(scene.inject(link, bytes.clone()), None);
    let after = questions(&scene);
    assert_eq!(after.len(), before + 1);
    assert!(after.iter().all(|frame| frame.bytes == after[0].bytes), "I1 is the same");
    assert_eq!(scene.inject(link, bytes.clone()), Some(Reason::Budget), "and once more within an RTO");
    // With RA-J2 out: those bytes (I-4), and no question.
    let answer = scene.tap.borrow().held.iter().find(|frame| frame.to == NodeId::from(scene.star.leader)).cloned();
    let answer = answer.unwrap();
    scene.hold(|_, id| matches!(id, "RA-T2" | "RA-J1" | "RA-J2"));
    assert_eq!(scene.inject(answer.to_link, answer.bytes), None);
    let offered = scene.last("RA-J2", scene.star.members[0]);
    assert_eq!(scene.inject(link, bytes.clone()), Some(Reason::Budget));
    let questions_before = questions(&scene).len();
    scene.run(SECOND / 2);
    assert_eq!(scene.inject(link, bytes.clone()), None);
    let offers = scene.frames("RA-J2", scene.star.members[0]);
    assert_eq!(offers.len(), 2);
    assert_eq!(offers[1].bytes, offered.bytes);
    assert_eq!(questions(&scene).len(), questions_before);
    // Over another link it is the same request: what is sent for it goes there.
    let other = strangers_link(&mut scene);
    scene.run(SECOND / 2);
    assert_eq!(scene.inject(other, bytes), None);
    let last = scene.tap.borrow().frames.last().cloned().unwrap();
    assert_eq!((last.from_link, last.bytes), (other, offered.bytes));
    assert_eq!(scene.leader().pending_joins(), 1);
}

/// RA §4.1 L on RA-J1 (3): the same A and I0 with other bytes are dropped, over whatever link.
#[test]
fn the_same_number_with_other_bytes_is_dropped() {
    let (mut scene, request) = waiting();
    let mut other = draft(&request);
    other.tag[0] ^= 1;
    let stranger = strangers_link(&mut scene);
    for link in [request.to_link, stranger] {
        scene.refuses(link, other.frame(), Reason::Replayed);
        scene.run(SECOND);
    }
    assert_eq!(scene.leader().pending_joins(), 1);
}

/// RA §4.1 L on RA-J1 (3): nothing is repeated while the application decides.
#[test]
fn nothing_is_repeated_while_the_application_decides() {
    let mut scene = Scene::open(StarConfig { access: Access::Ask, ..usual() }, &["m1"]);
    scene.join(0);
    scene.run(SOON);
    assert_eq!(asked(&scene), 1);
    scene.hold(|_, id| id == "RA-J1");
    let request = scene.last("RA-J1", scene.star.leader);
    let sent = scene.leader().stats().frames_out;
    scene.run(SECOND * 2);
    for _ in 0..2 {
        scene.refuses(request.to_link, request.bytes.clone(), Reason::Budget);
        scene.run(SECOND);
    }
    assert_eq!(scene.leader().stats().frames_out, sent);
}

/// RA §4.1 L on RA-J1 (4): a full budget keeps the newcomer out until the oldest has had its T_min; then that one goes.
#[test]
fn the_oldest_that_had_its_time_makes_room() {
    let (mut scene, request) = waiting();
    let third_party = scene.star.third_party;
    let link = strangers_link(&mut scene);
    let who = |n: u8| another(&request, n, Some(&format!("n{n}")));
    for n in 0..8 {
        assert_eq!(scene.inject(link, who(n)), None, "{n}");
        scene.run(SOON);
    }
    assert_eq!(scene.inject(link, who(8)), Some(Reason::Budget), "eight for a link");
    scene.run(SECOND * 4 - SOON * 8 - MS);
    assert_eq!(scene.inject(link, who(8)), Some(Reason::Budget), "T_min is not over");
    scene.run(MS * 2);
    assert_eq!(scene.inject(link, who(8)), None);
    assert_eq!(scene.leader().pending_joins(), 9, "with the one on A's own link");
    // The oldest of this link went: its bytes are a new request now, with another I1; those of the third are not.
    scene.run(SECOND * 2);
    let number = |frame: &InTransit| draft(frame).clear.find("i1").cloned();
    let known: Vec<_> = scene.frames("RA-T1", third_party).iter().map(number).collect();
    assert_eq!(scene.inject(link, who(3)), None);
    assert!(known.contains(&number(&scene.last("RA-T1", third_party))));
    assert_eq!(scene.inject(link, who(0)), None);
    assert!(!known.contains(&number(&scene.last("RA-T1", third_party))));
}

/// RA §4.1 L on RA-J1 (4): one pending join for each (link, name), so that replays over a link hold one place.
#[test]
fn a_name_has_one_pending_join_for_each_link() {
    let (mut scene, request) = waiting();
    let (link, other) = (request.to_link, strangers_link(&mut scene));
    assert_eq!(scene.inject(link, another(&request, 1, None)), Some(Reason::Budget));
    assert_eq!(scene.inject(other, another(&request, 1, None)), None, "over another link it is another place");
    scene.run(SECOND * 4);
    assert_eq!(scene.inject(link, another(&request, 2, None)), None);
    assert_eq!(scene.leader().pending_joins(), 2, "it took the place of the first");
}

/// RA §4.1 L on RA-J1 (5): the question to the third party is repeated as the same bytes, ever more slowly from an RTO on.
#[test]
fn the_question_is_repeated_as_the_same_bytes() {
    let mut scene = Scene::open(usual(), &["m1", "m2"]);
    // The link to the third party is there before the second asks.
    scene.join(0);
    scene.run(SECOND * 6);
    scene.hold(|_, id| id == "RA-T2");
    let before = scene.frames("RA-T1", scene.star.third_party).len();
    scene.join(1);
    scene.run(SOON);
    scene.hold(|_, id| matches!(id, "RA-T2" | "RA-J1"));
    scene.run(SECOND * 12);
    let asked = scene.frames("RA-T1", scene.star.third_party).split_off(before);
    let gaps: Vec<_> = asked.windows(2).map(|pair| pair[1].sent.since(pair[0].sent)).collect();
    assert!(gaps.len() >= 4 && asked.iter().all(|frame| frame.bytes == asked[0].bytes), "{gaps:?}");
    let allowed = [500, 1000, 2000, 4000].map(Duration::from_millis);
    for (gap, least) in gaps.iter().zip(allowed) {
        assert!(*gap >= least && *gap <= least * 11 / 10, "{gaps:?}");
    }
}

/// RA §4.1 expiry: a pending join is forgotten after T_pend, with everything that was sent for it.
#[test]
fn a_pending_join_expires() {
    let (mut scene, _) = waiting();
    let began = scene.world.now();
    scene.run(SECOND * 20 - MS * 2);
    assert_eq!(scene.leader().pending_joins(), 1);
    scene.run(MS * 4);
    assert_eq!(scene.leader().pending_joins(), 0, "{began:?}");
    let answer = scene.release().into_iter().find(|frame| frame.to == NodeId::from(scene.star.leader)).unwrap();
    scene.refuses_again(&answer, Reason::Unknown);
}

/// RA §4.1 L on RA-T2 (4): the application is asked once for a name, its verdict serves every pending join of that name
/// and those that come within T_pend.
#[test]
fn a_verdict_serves_every_join_of_its_name() {
    let mut scene = Scene::open(StarConfig { access: Access::Ask, ..usual() }, &["m1"]);
    scene.join(0);
    scene.run(SOON);
    // A copy of an older attempt, say: another pending join of the same name, over another link.
    let second = scene.star.add_member(&mut scene.world, "m1").unwrap();
    scene.world.with(second, |member, cx| member.join(cx)).unwrap().unwrap();
    scene.run(SOON);
    assert_eq!((scene.leader().pending_joins(), asked(&scene)), (2, 1));
    let (leader, ticket) = (scene.star.leader, newest_ticket(&scene));
    scene.hold(|_, id| id == "RA-CM");
    scene.world.with(leader, |leader, cx| leader.admit(cx, ticket, true)).unwrap().unwrap();
    scene.run(SOON);
    for n in 0..2 {
        assert_eq!(scene.frames("RA-J2", scene.star.members[n]).len(), 1, "{n}");
    }
    // Within T_pend it is not asked about; afterwards it is.
    for (wait, questions) in [(SECOND * 19, 1), (SECOND * 2, 2)] {
        scene.run(wait);
        let third = scene.star.add_member(&mut scene.world, "m1").unwrap();
        scene.world.with(third, |member, cx| member.join(cx)).unwrap().unwrap();
        scene.run(SOON);
        assert_eq!(asked(&scene), questions);
    }
}

/// RA §4.1 L on RA-T2 (4): no verdict means refuse, at three quarters of T_join after RA-J1 came, while A still waits.
#[test]
fn silence_refuses_while_the_member_still_waits() {
    let mut scene = Scene::open(StarConfig { access: Access::Ask, ..usual() }, &["m1"]);
    scene.join(0);
    scene.run(SOON / 2);
    let member = scene.star.members[0];
    assert_eq!(asked(&scene), 1);
    let asked_at = scene.frames("RA-J1", scene.star.leader)[0].sent;
    scene.run(SECOND * 12);
    let answers = scene.frames("RA-J2", member);
    let late = answers[0].sent.since(asked_at);
    assert!(late >= SECOND * 45 / 4 && late < SECOND * 45 / 4 + SOON, "{late:?}");
    assert!(scene.told(member, &Event::JoinRefused(Refusal::Denied)));
}

/// RA §4.1 L on RA-T2 (3): what the third party does not vouch for is dropped, blamed, and not answered.
#[test]
fn who_is_not_vouched_for_leaves_nothing_pending() {
    let mut scene = Scene::open(usual(), &["stranger1"]);
    scene.join(0);
    scene.run(SOON);
    assert!(scene.told(scene.star.leader, &Event::NotVouched { name: name("stranger1"), why: Refusal::Unknown }));
    assert_eq!(scene.leader().pending_joins(), 0);
    assert!(scene.frames("RA-J2", scene.star.members[0]).is_empty());
}

/// RA §4.1 L on RA-T2 (5): a refusal uses up no member number, and its bytes are kept for duplicates until T_pend.
#[test]
fn a_refusal_uses_no_number_and_is_repeated() {
    let mut scene = Scene::open(StarConfig { access: Access::List([name("m2")].into()), ..usual() }, &["m1", "m2"]);
    let out = scene.star.members[0];
    scene.hold(|_, id| id == "RA-J2");
    scene.join(0);
    scene.run(SECOND * 3);
    let refusals = scene.frames("RA-J2", out);
    assert!(refusals.len() > 1 && refusals.iter().all(|frame| frame.bytes == refusals[0].bytes));
    scene.release();
    scene.run(SECOND * 3);
    assert!(scene.told(out, &Event::JoinRefused(Refusal::Denied)) && scene.member(0).is_idle());
    scene.join(1);
    scene.run(SECOND * 6);
    assert_eq!(scene.member(1).cid().unwrap().0, 1);
}

/// RA §4.1 L on RA-T2 (5): busy, if the group has as many members as it may; somebody who takes over needs no room.
#[test]
fn a_full_group_is_busy() {
    let limits = Limits { members: 1, ..Limits::default() };
    let mut scene = Scene::open(StarConfig { limits, ..usual() }, &["m1", "m2"]);
    scene.join(0);
    scene.run(SECOND * 6);
    scene.join(1);
    scene.run(SECOND);
    assert!(scene.told(scene.star.members[1], &Event::JoinRefused(Refusal::Busy)));
    assert!(scene.member(0).is_current());
}

/// RA §4.1 L on RA-T2 (5): a policy that demands the ephemeral exchange refuses whoever brings no share, as denied.
#[test]
fn without_a_share_there_is_no_entry_where_one_is_demanded() {
    for (ephemeral, outcome) in [(true, "RefuseCode"), (false, "Accept")] {
        let forge = Forge::new();
        let mut scene = Scene::open(forge.config(Policy { ephemeral, ..Policy::default() }), &["m1"]);
        scene.hold(|_, id| id == "RA-J1");
        scene.join(0);
        scene.run(SOON);
        let request = scene.release().remove(0);
        scene.hold(|_, id| id == "RA-J1");
        let bare = forge.forge_clear(&request, |clear| set(clear, "share", &[0, 0]));
        assert_eq!(scene.inject(request.to_link, bare), None);
        scene.run(SOON);
        let answer = scene.last("RA-J2", scene.star.members[0]);
        let said = forge.body(&answer);
        assert_eq!(said.find("group").is_some(), outcome == "Accept", "{said:?}");
        if ephemeral {
            assert_eq!(said.to_bytes(), [1, 0], "refuse(denied)");
        } else {
            assert_eq!(get(&said, "cid"), 1);
        }
    }
}
