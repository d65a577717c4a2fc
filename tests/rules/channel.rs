//! Rules of the channel and of its end, each shown alone (RA §4.2, RA §4.6).

use sodality::error::{Misuse, Reason};
use sodality::event::{Cause, EndReason, Ending, Event};
use sodality::identity::MemberId;
use sodality::policy::Policy;
use sodality::sim::star::member_machine;
use sodality::sim::{InTransit, NodeId};
use sodality::wire::Value;

use crate::forge::{Forge, get, set};
use crate::scene::{SECOND, SOON, Scene, draft, number_in};

fn joined(members: &[&str]) -> (Forge, Scene) {
    let forge = Forge::new();
    let scene = forge.joined(Policy::default(), members);
    (forge, scene)
}

/// The newest RA-CM of a member.
fn polled(scene: &Scene, n: usize) -> InTransit {
    let from = NodeId::from(scene.star.members[n]);
    scene.frames("RA-CM", scene.star.leader).into_iter().rfind(|frame| frame.from == from).unwrap()
}

/// The newest RA-CL to a member.
fn answered(scene: &Scene, n: usize) -> InTransit {
    scene.last("RA-CL", scene.star.members[n])
}

fn sent(scene: &Scene, id: &str, to: impl Into<NodeId>) -> usize {
    scene.frames(id, to).len()
}

fn removed(scene: &Scene, who: MemberId) -> Option<(Cause, MemberId)> {
    scene.world.events(scene.star.leader).iter().find_map(|event| match event {
        Event::MemberRemoved { cid, cause, by, .. } if *cid == who => Some((*cause, *by)),
        _ => None,
    })
}

/// A violation, and the name of it.
type Breach = (&'static str, fn(&mut Value));

const COMMON: [Breach; 4] = [
    ("seen", |body| set(body, "seen", &u64::MAX.to_be_bytes())),
    ("ack", |body| set(body, "ack", &u64::MAX.to_be_bytes())),
    ("a body that is none", |body| set(body, "body", &[9])),
    ("more than a body", |body| set(body, "body", &[0, 0])),
];

// ---- receiver ----

/// RA §4.2 (0): what a member cannot have seen, or cannot have, ends its session: end(protocol), and a removal of cause
/// `eject` by the leader.
#[test]
fn a_member_that_breaks_the_protocol_is_out() {
    let above: [Breach; 4] = [
        ("epoch", |body| number_in(body, "epoch", |n| n + 1)),
        ("view", |body| number_in(body, "view", |n| n + 1)),
        ("policy", |body| number_in(body, "policy", |n| n + 1)),
        ("hello again", |body| {
            set(body, "rseq", &2u64.to_be_bytes());
            set(body, "body", &[1, 1, 0, 0]);
        }),
    ];
    for (what, breach) in COMMON.into_iter().chain(above) {
        let forge = Forge::new();
        let mut scene = forge.unwatched(Policy::default(), &["m1", "m2"]);
        let cid = scene.member(0).cid().unwrap();
        let poll = polled(&scene, 0);
        let forged = forge.next(&poll, 1, breach);
        assert_eq!(scene.inject(poll.to_link, forged), Some(Reason::Violation), "{what}");
        assert_eq!(removed(&scene, cid), Some((Cause::Eject, MemberId::LEADER)), "{what}");
        scene.run(SECOND);
        let told = Event::Ended(Ending::ByLeader(EndReason::Protocol));
        assert!(scene.told(scene.star.members[0], &told), "{what}");
        assert!(scene.member(1).is_current());
    }
}

/// RA §4.2 (0): a leader that breaks the protocol is left, with end(protocol).
#[test]
fn a_leader_that_breaks_the_protocol_is_left() {
    let gap: [Breach; 1] = [("a gap in rseq", |body| {
        number_in(body, "rseq", |n| n + 2);
        // A page of nothing.
        let page = [&[1, 1][..], &[0; 16], &[0, 0], &[1, 1, 0, 0]].concat();
        set(body, "body", &page);
    })];
    for (what, breach) in COMMON.into_iter().chain(gap) {
        let forge = Forge::new();
        let mut scene = forge.unwatched(Policy::default(), &["m1"]);
        let member = scene.star.members[0];
        let echo = answered(&scene, 0);
        assert_eq!(scene.inject(echo.to_link, forge.next(&echo, 1, breach)), Some(Reason::Violation), "{what}");
        let end = forge.body(&polled(&scene, 0));
        assert_eq!(end.find("reason").unwrap().to_bytes(), [EndReason::Protocol as u8], "{what}");
        scene.run(SECOND);
        assert!(scene.told(member, &Event::Ended(Ending::LeaderViolation)), "{what}");
    }
}

/// RA §4.2 (1), RA §6 (15): a number that is not the highest is dropped; the record of an overtaken frame comes again.
#[test]
fn an_overtaken_frame_is_dropped_and_harmless() {
    let (forge, mut scene) = joined(&["m1"]);
    let poll = polled(&scene, 0);
    let (one, two) = (forge.next(&poll, 1, |_| ()), forge.next(&poll, 2, |_| ()));
    assert_eq!(scene.inject(poll.to_link, two), None);
    scene.refuses(poll.to_link, one, Reason::Replayed);
    assert!(scene.member(0).is_current());
}

/// RA §4.2 (6): a member that shows itself behind gets its box, at most once an RTO however often it says so.
#[test]
fn who_is_behind_gets_its_box_at_most_once_an_rto() {
    let (forge, mut scene) = joined(&["m1", "m2"]);
    let member = scene.star.members[0];
    let poll = polled(&scene, 0);
    let behind = |on| forge.next(&poll, on, |body| number_in(body, "epoch", |n| n - 1));
    let before = sent(&scene, "RA-R", member);
    for on in 1..4 {
        assert_eq!(scene.inject(poll.to_link, behind(on)), None);
    }
    assert_eq!(sent(&scene, "RA-R", member), before + 1);
    scene.run(SECOND / 2 + SOON);
    let repeated = sent(&scene, "RA-R", member);
    assert!(repeated <= before + 2, "by the timer, once");
    // The member that shows the epoch gets none.
    let after = sent(&scene, "RA-R", member);
    scene.inject(poll.to_link, forge.next(&poll, 9, |_| ()));
    scene.run(SECOND * 3);
    assert_eq!(sent(&scene, "RA-R", member), after);
}

/// RA §4.2 (6): a member whose view is behind gets pages, at most once an RTO.
#[test]
fn who_has_an_older_view_gets_pages() {
    let (forge, mut scene) = joined(&["m1", "m2"]);
    let poll = polled(&scene, 0);
    let pages = |scene: &Scene| {
        let frames = scene.frames("RA-CL", scene.star.members[0]);
        frames.iter().filter(|frame| forge.body(frame).find("changes").is_some()).count()
    };
    let before = pages(&scene);
    for on in 1..4 {
        let older = forge.next(&poll, on, |body| number_in(body, "view", |n| n - 1));
        assert_eq!(scene.inject(poll.to_link, older), None);
    }
    let frames = scene.frames("RA-CL", scene.star.members[0]).split_off(0);
    let rseqs: std::collections::BTreeSet<u64> = frames
        .iter()
        .map(|frame| forge.body(frame))
        .filter(|body| body.find("changes").is_some())
        .map(|body| get(&body, "rseq"))
        .collect();
    assert!(pages(&scene) > before);
    let newest = rseqs.last().copied().unwrap();
    assert!(rseqs.contains(&(newest - 1)) && rseqs.len() as u64 == newest, "one more record: {rseqs:?}");
}

/// RA §4.2 (7), loops: a frame with R gets one frame back, without R; a frame without R gets none, on both sides.
#[test]
fn who_asks_gets_one_answer_and_who_does_not_gets_none() {
    let (forge, mut scene) = joined(&["m1"]);
    let (leader, member) = (scene.star.leader, scene.star.members[0]);
    let (poll, echo) = (polled(&scene, 0), answered(&scene, 0));
    assert_eq!(get(&forge.body(&poll), "flags"), 1);
    assert_eq!(get(&forge.body(&echo), "flags"), 0, "an answer asks for nothing");
    for (asks, answers) in [(1u8, 1), (0, 0)] {
        let (up, down) = (sent(&scene, "RA-CM", leader), sent(&scene, "RA-CL", member));
        let ask = |frame: &InTransit, on| forge.next(frame, on, |body| set(body, "flags", &[asks]));
        // Each with a number that the peer has not used, so that the true ones are dropped for a while.
        let on = 40 - u64::from(asks) * 20;
        assert_eq!(scene.inject(poll.to_link, ask(&poll, on)), None);
        assert_eq!(scene.inject(echo.to_link, ask(&echo, on)), None);
        assert_eq!(sent(&scene, "RA-CL", member) - down, answers, "from the leader, asked {asks}");
        assert_eq!(sent(&scene, "RA-CM", leader) - up, answers, "from the member, asked {asks}");
    }
}

/// RA §4.2 rate: twenty answers at once, and twenty a second.
#[test]
fn a_leader_answers_at_a_bounded_rate() {
    let (forge, mut scene) = joined(&["m1"]);
    let member = scene.star.members[0];
    let poll = polled(&scene, 0);
    scene.run(SECOND * 2);
    let poll = if polled(&scene, 0).number > poll.number { polled(&scene, 0) } else { poll };
    let before = sent(&scene, "RA-CL", member);
    for on in 1..=40 {
        assert_eq!(scene.inject(poll.to_link, forge.next(&poll, on, |_| ())), None, "taken in all the same");
    }
    assert_eq!(sent(&scene, "RA-CL", member) - before, 20);
    scene.run(SOON);
    for on in 41..=60 {
        scene.inject(poll.to_link, forge.next(&poll, on, |_| ()));
    }
    assert_eq!(sent(&scene, "RA-CL", member) - before, 22);
}

// ---- ends ----

/// RA §4.6 leave, repeat: a member that leaves has no key from then on; its end asks, and is repeated in new frames until
/// the leader's comes, or T_end is over.
#[test]
fn an_end_is_repeated_until_it_is_answered_or_for_t_end() {
    for answers in [false, true] {
        let (forge, mut scene) = joined(&["m1", "m2"]);
        let member = scene.star.members[0];
        let to = NodeId::from(member);
        scene.hold(move |frame, id| frame.to == to && id == "RA-CL");
        let before = sent(&scene, "RA-CM", scene.star.leader);
        scene.leave(0);
        assert_eq!(scene.say(0, b"x"), Err(Misuse::NotJoined.into()));
        scene.run(SECOND * 3);
        let from = |frame: &InTransit| frame.from == to;
        let ends: Vec<_> =
            scene.frames("RA-CM", scene.star.leader).split_off(before).into_iter().filter(from).collect();
        assert!(ends.len() >= 3);
        for (frame, next) in ends.iter().zip(&ends[1..]) {
            let body = forge.body(frame);
            assert_eq!((get(&body, "flags"), get(&body, "reason")), (1, EndReason::Left as u64));
            assert!(get(&draft(next).clear, "n") > get(&draft(frame).clear, "n"));
            assert!(next.sent.since(frame.sent) >= SECOND / 2);
        }
        if answers {
            scene.release();
        }
        scene.run(SECOND * 7 - SOON);
        assert_eq!(scene.told(member, &Event::Ended(Ending::Left)), answers);
        scene.run(SOON * 2);
        assert_eq!(scene.told(member, &Event::Ended(Ending::LeftUnconfirmed)), !answers);
    }
}

/// RA §4.6 answer, linger: while the leader lingers each frame of the peer that asks gets one end, which asks for
/// nothing; who does not ask gets none. After `linger` there is silence.
#[test]
fn a_leader_that_lingers_answers_once_and_then_forgets() {
    let (forge, mut scene) = joined(&["m1", "m2"]);
    let (leader, member) = (scene.star.leader, scene.star.members[0]);
    scene.leave(0);
    scene.run(SOON);
    let end = polled(&scene, 0);
    let before = sent(&scene, "RA-CL", member);
    assert_eq!(scene.inject(end.to_link, forge.next(&end, 1, |body| set(body, "flags", &[0]))), None);
    assert_eq!(sent(&scene, "RA-CL", member), before);
    for on in 2..5 {
        assert_eq!(scene.inject(end.to_link, forge.next(&end, on, |_| ())), None);
        assert_eq!(sent(&scene, "RA-CL", member), before + on as usize - 1);
        let body = forge.body(&answered(&scene, 0));
        assert_eq!((get(&body, "flags"), get(&body, "reason")), (0, EndReason::Left as u64));
    }
    scene.run(SECOND * 10);
    let (removals, sent_then) = (scene.leader().view().version(), sent(&scene, "RA-CL", member));
    scene.refuses(end.to_link, forge.next(&end, 9, |_| ()), Reason::Unknown);
    assert_eq!((scene.leader().view().version(), sent(&scene, "RA-CL", member)), (removals, sent_then));
    assert_eq!(scene.world.holder(end.to_link), Some(leader.into()));
}

/// RA §4.6 linger: the channels kept are bounded; the oldest is forgotten first.
#[test]
fn ended_channels_are_bounded() {
    let forge = Forge::new();
    let mut config = forge.config(Policy::default());
    config.limits.lingering = 1;
    let mut scene = Scene::settled(config, &["m1", "m2", "m3"]);
    scene.leave(0);
    scene.run(SOON);
    scene.leave(1);
    scene.run(SOON);
    let (first, second) = (polled(&scene, 0), polled(&scene, 1));
    scene.refuses(first.to_link, forge.next(&first, 1, |_| ()), Reason::Unknown);
    assert_eq!(scene.inject(second.to_link, forge.next(&second, 1, |_| ())), None);
}

/// RA §4.6 member, reasons: a member that is told of its end answers once, with the same reason, and forgets the channel;
/// the leader, answered, does not repeat.
#[test]
fn a_member_answers_an_end_once_and_forgets() {
    let (forge, mut scene) = joined(&["m1"]);
    let first = scene.star.members[0];
    let machine = member_machine(&scene.star.config, "m1").unwrap();
    let second = scene.world.add("m1 again", machine).unwrap();
    let to = NodeId::from(first);
    let before = sent(&scene, "RA-CM", scene.star.leader);
    scene.world.with(second, |member, cx| member.join(cx)).unwrap().unwrap();
    scene.run(SECOND * 8);
    assert!(scene.told(first, &Event::Ended(Ending::ByLeader(EndReason::TakenOver))));
    let ends = |frames: Vec<InTransit>| -> Vec<Value> {
        frames.iter().map(|frame| forge.body(frame)).filter(|body| body.find("reason").is_some()).collect()
    };
    let answers = scene.frames("RA-CM", scene.star.leader).split_off(before);
    let answers = ends(answers.into_iter().filter(|frame| frame.from == to).collect());
    assert_eq!(answers.len(), 1);
    assert_eq!((get(&answers[0], "flags"), get(&answers[0], "reason")), (0, EndReason::TakenOver as u64));
    assert_eq!(ends(scene.frames("RA-CL", first)).len(), 1);
    let told = scene.last("RA-CL", first);
    scene.refuses(told.to_link, forge.next(&told, 1, |_| ()), Reason::Unknown);
}

/// RA §4.6 late, RA §6 (7): a leave that comes after its member has joined again removes nobody.
#[test]
fn a_late_leave_removes_no_later_incarnation() {
    let (_, mut scene) = joined(&["m1", "m2"]);
    let member = scene.star.members[0];
    let past = scene.member(0).cid().unwrap();
    scene.hold(|_, id| id == "RA-CM");
    scene.leave(0);
    scene.run(SECOND * 11);
    assert!(scene.told(member, &Event::Ended(Ending::LeftUnconfirmed)));
    let from = NodeId::from(member);
    let late: Vec<_> = scene.release().into_iter().filter(|frame| frame.from == from).collect();
    assert!(scene.leader().view().contains(past), "the leave was lost");
    scene.join(0);
    scene.run(SECOND * 6);
    let (now, version) = (scene.member(0).cid().unwrap(), scene.leader().view().version());
    assert!(now > past && late.len() >= 3);
    for frame in late {
        // In its old channel, which lingers and hears it, and never in the new one.
        scene.inject(frame.to_link, frame.bytes);
    }
    assert_eq!((scene.leader().view().version(), scene.leader().view().contains(now)), (version, true));
    scene.run(SECOND * 6);
    assert_eq!(scene.member(0).cid(), Some(now));
    scene.all_is_well();
}

/// RA §4.6 end: an end is taken on any verified frame, though a record is outstanding, and is final.
#[test]
fn an_end_is_final_whatever_is_outstanding() {
    let forge = Forge::new();
    let mut scene = Scene::open(forge.config(Policy::default()), &["m1", "m2"]);
    let to = NodeId::from(scene.star.members[0]);
    // A page is outstanding at the leader: nothing of it arrives.
    scene.hold(move |frame, id| frame.to == to && id == "RA-CL");
    scene.join(0);
    scene.run(SECOND * 2);
    assert!(scene.frames("RA-CL", to).iter().any(|frame| forge.body(frame).find("changes").is_some()));
    let cid = scene.member(0).cid().unwrap();
    scene.leave(0);
    scene.run(SOON);
    assert_eq!(removed(&scene, cid), Some((Cause::Leave, cid)));
    // What comes of that channel now is nothing but ends.
    let before = sent(&scene, "RA-CL", to);
    scene.run(SECOND * 5);
    let later = scene.frames("RA-CL", to).split_off(before);
    assert!(later.iter().all(|frame| forge.body(frame).find("reason").is_some()));
}
