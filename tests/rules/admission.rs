//! Rules of the second half of a join, each shown alone (RA §4.1): what A makes of RA-J2, and L of `hello`.

use std::time::Duration;

use bytes::BytesMut;
use sodality::antigone::Access;
use sodality::antigone::join::asking::{Answer, Attempt, Parties};
use sodality::antigone::schedule::{ChannelKeys, transcript};
use sodality::crypto::{BoxNumber, chacha20_poly1305};
use sodality::error::Reason;
use sodality::event::{Cause, Causes, EndReason, Event, JoinFailure, Refusal};
use sodality::group::{Checks, Limits};
use sodality::identity::{Epoch, Instance, MemberId, NameRef, Version};
use sodality::policy::{Policy, Views};
use sodality::sim::star::{APP, LEADER, long_term_key, member_machine};
use sodality::sim::{InTransit, NodeId, SimRng, Tables};
use sodality::ttp::schedule::{MemberKeys, question_digest};
use sodality::wire::antigone::{Accept, JoinAnswer, KeyRequest, Offer};
use sodality::wire::field::{Blob, Nonce, Share, VerifyingKey};
use sodality::wire::{Edition, Field, Header, Message, System};

use crate::forge::{Forge, get, set};
use crate::scene::{SECOND, SOON, Scene, config, draft, usual};

const MS: Duration = Duration::from_millis(1);

/// A join whose RA-J2 has come, and whose first RA-CM is withheld.
fn confirming(forge: &Forge, policy: Policy) -> (Scene, InTransit) {
    let mut scene = Scene::open(forge.config(policy), &["m1"]);
    scene.hold(|_, id| id == "RA-CM");
    scene.join(0);
    scene.run(SOON);
    let first = scene.last("RA-CM", scene.star.leader);
    (scene, first)
}

fn lax() -> Policy {
    Policy { rekey_on: Causes::of(Cause::Open).with(Cause::Leave), views: Views::WithEachKey, ..Policy::default() }
}

// ---- A on RA-J2 ----

/// RA §4.1 A on RA-J2 (1), once: an answer is for the attempt that waits, and only the first that opens counts.
#[test]
fn only_the_first_answer_to_an_attempt_counts() {
    let (mut scene, held) = Scene::two_asking("RA-J2");
    let (mine, other) = (held[0].clone(), held[1].clone());
    scene.refuses(mine.to_link, other.bytes, Reason::Unknown);
    assert_eq!(scene.inject(mine.to_link, mine.bytes.clone()), None);
    let cid = scene.member(0).cid();
    scene.refuses_again(&mine, Reason::Unknown);
    assert_eq!(scene.member(0).cid(), cid);
    // And none when nothing was asked.
    let idle = scene.star.add_member(&mut scene.world, "m3").unwrap();
    let link = scene.world.connect(idle, scene.star.leader, scene.star.config.link).unwrap().0;
    scene.refuses(link, mine.bytes, Reason::Unknown);
}

/// RA §4.1 A on RA-J2 (2): X_L is there exactly if X_A was, whoever says otherwise under whatever key; and dh is not zero.
/// With the third party's help a leader could seal an answer without the exchange, and it would open.
#[test]
fn an_answer_without_the_exchange_is_refused() {
    let suite = chacha20_poly1305();
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
    let name = |text| NameRef::new(text).unwrap();
    let keys = MemberKeys::derive(&*suite, &long_term_key(&*suite, "m1"), name("m1")).unwrap();
    let parties = Parties { app: name(APP), leader: name(LEADER), member: name("m1") };
    let nonce = Nonce::new(&[7; 16]).unwrap();
    let mut rng = SimRng::new(3);
    let (secret, honest) = suite.agreement_pair(&mut rng).unwrap();
    let zero = Share::new(&[0; 32]).unwrap();
    for asks in [true, false] {
        let attempt = Attempt::new(&*suite, header, &mut rng, &keys, parties, asks).unwrap();
        let asked = draft_of(&attempt.frame);
        let (i0, share) = (nonce_in(&asked, "i0"), Share::new(&asked.find("share").unwrap().to_bytes()[2..]).unwrap());
        let mut question = BytesMut::new();
        KeyRequest { i1: nonce, join: Blob(&attempt.frame) }.put_clear(header, &mut question);
        let question = question_digest(&*suite, &question).unwrap();
        let session = keys.session_key(&*suite, &question).unwrap();
        for (answered, mixed) in [(honest, true), (Share::NONE, false), (zero, false), (honest, false)] {
            let answer = JoinAnswer { i0, i1: nonce, share: answered };
            let mut clear = BytesMut::new();
            answer.put_clear(header, &mut clear);
            let transcript = transcript(&*suite, &question, &clear).unwrap();
            let dh = (mixed && asks).then(|| suite.agree(&secret, &share).unwrap());
            let channel = ChannelKeys::derive(&*suite, &session, dh.as_ref(), &transcript).unwrap();
            let (seal, _) = channel.prepare(&*suite).unwrap();
            let offer = Offer::Accept(Accept {
                group: Instance([3; 16]),
                cid: MemberId(1),
                leader_key: VerifyingKey::NONE,
                policy_version: Version(1),
                policy: Blob(b"policy"),
            });
            let mut frame = BytesMut::new();
            let number = BoxNumber { domain: 0, counter: 0 };
            answer
                .put_boxed(header, &mut frame, |text| offer.put(text), |ad, text| seal.seal(number, ad, text))
                .unwrap();
            let read = attempt.read(&*suite, header, &keys, &mut frame);
            let sound = if asks { answered == honest && mixed } else { answered.is_empty() };
            match read {
                Ok(Answer::Accepted(_)) => assert!(sound, "asks {asks}, {answered:?}, mixed {mixed}"),
                Ok(Answer::Refused(why)) => panic!("{why:?}"),
                Err(why) => assert!(!sound && why == Reason::Forged, "asks {asks}, {answered:?}, mixed {mixed}: {why}"),
            }
        }
    }
}

fn draft_of(frame: &[u8]) -> sodality::wire::Value {
    sodality::sim::Draft::of(&Tables::default(), frame).unwrap().clear
}

fn nonce_in(clear: &sodality::wire::Value, field: &str) -> Nonce {
    Nonce::new(&clear.find(field).unwrap().to_bytes()[2..]).unwrap()
}

/// RA §4.1 A on RA-J2 (3): a refusal, which is sealed, ends the attempt; its keys are gone.
#[test]
fn a_refusal_ends_the_attempt() {
    let mut config = usual();
    config.access = Access::List([].into());
    let mut scene = Scene::open(config, &["m1"]);
    scene.join(0);
    scene.run(SECOND);
    let member = scene.star.members[0];
    assert!(scene.told(member, &Event::JoinRefused(Refusal::Denied)));
    assert!(scene.member(0).is_idle());
    let answer = scene.last("RA-J2", member);
    scene.refuses_again(&answer, Reason::Unknown);
}

/// RA §4.1 A on RA-J2 (4), RA §4.4 frame_limit: the link must carry the policy's frames.
#[test]
fn a_join_over_a_link_that_is_too_small_fails() {
    for (carries, joins) in [(65_535, false), (65_536, true)] {
        let mut config = usual();
        config.link = config.link.max_frame(carries);
        let mut scene = Scene::open(config, &["m1"]);
        scene.join(0);
        scene.run(SECOND);
        let member = scene.star.members[0];
        assert_eq!(scene.told(member, &Event::JoinFailed(JoinFailure::LinkTooSmall)), !joins);
        assert_eq!(scene.member(0).is_current(), joins);
    }
}

/// RA §4.1 A on RA-J2 (4): a policy that is none, or that contradicts itself, ends the join with a word of what is wrong.
#[test]
fn a_policy_that_is_none_ends_the_join() {
    let unsound = Policy { settle: SECOND * 9, ..Policy::default() };
    assert!(unsound.check().is_err());
    for bytes in [b"no policy".to_vec(), unsound.encode().to_vec()] {
        let forge = Forge::new();
        let mut scene = Scene::open(forge.config(Policy::default()), &["m1"]);
        scene.hold(|_, id| id == "RA-J2");
        scene.join(0);
        scene.run(SOON);
        let answer = scene.release().remove(0);
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        let forged = forge.forge(&answer, |_, body| set(body, "policy", &[&length[..], &bytes].concat()));
        assert_eq!(scene.inject(answer.to_link, forged), None);
        let failed = Event::JoinFailed(JoinFailure::Ended(EndReason::Protocol));
        assert!(scene.told(scene.star.members[0], &failed), "{:?}", scene.world.events(scene.star.members[0]));
        assert!(scene.member(0).is_idle());
    }
}

/// RA §4.1 A on RA-J2 (5), RA §4.2 n, RA §4.2 record: the first RA-CM is number 1, asks for an answer and holds `hello`,
/// which is record 1; each later frame has a number of its own and the same record, until it is acknowledged.
#[test]
fn every_frame_carries_hello_until_it_is_acknowledged() {
    let forge = Forge::new();
    let mut scene = Scene::open(forge.config(Policy::default()), &["m1"]);
    let to = NodeId::from(scene.star.members[0]);
    scene.hold(move |frame, id| frame.to == to && id == "RA-CL");
    scene.join(0);
    scene.run(SECOND * 4);
    let said = scene.frames("RA-CM", scene.star.leader);
    assert!(said.len() >= 3);
    let first = forge.body(&said[0]);
    for (n, frame) in (1..).zip(&said) {
        let body = forge.body(frame);
        assert_eq!(get(&draft(frame).clear, "n"), n, "every frame has the next number");
        assert_eq!((get(&body, "rseq"), get(&body, "flags")), (1, 1));
        assert_eq!(body.find("body"), first.find("body"), "the same record");
        assert!(body.find("origin_key").is_some());
    }
    scene.release();
    scene.run(SECOND * 12);
    assert!(forge.body(&scene.last("RA-CM", scene.star.leader)).find("origin_key").is_none(), "acknowledged");
}

/// RA §4.1 T_join: it runs on after RA-J2, until `Joined`; then the keys are wiped.
#[test]
fn a_join_that_is_not_complete_in_time_fails_and_wipes() {
    let forge = Forge::new();
    let (mut scene, _) = confirming(&forge, Policy::default());
    let member = scene.star.members[0];
    let began = scene.frames("RA-J1", scene.star.leader)[0].sent;
    assert!(scene.member(0).cid().is_some());
    scene.run(SECOND * 15 - scene.world.now().since(began) - SOON);
    assert!(scene.member(0).cid().is_some());
    scene.run(SOON * 2);
    assert!(scene.told(member, &Event::JoinFailed(JoinFailure::Timeout)));
    assert!(scene.member(0).is_idle() && scene.member(0).cid().is_none());
}

/// RA §4.1 Joined: a key is not enough; A must know it to be current.
#[test]
fn joined_needs_a_key_and_evidence() {
    for withheld in ["RA-R", "RA-CL"] {
        let mut scene =
            Scene::open(config(Policy { views: Views::WithEachKey, ..Policy::default() }, Checks::ALL), &["m1"]);
        let member = scene.star.members[0];
        let to = NodeId::from(member);
        let joined = |event: &Event| matches!(event, Event::Joined { .. });
        scene.hold(move |frame, id| frame.to == to && id == withheld);
        scene.join(0);
        scene.run(SECOND * 2);
        assert_eq!(scene.member(0).epoch() == Epoch(0), withheld == "RA-R");
        assert!(!scene.world.events(member).iter().any(joined), "without {withheld}");
        scene.release();
        scene.run(SECOND * 8);
        assert!(scene.world.events(member).iter().any(joined));
    }
}

// ---- L on the first RA-CM ----

/// RA §4.1 hello: anything but `hello` with an origin key, exactly if the policy signs, drops the pending join.
#[test]
fn what_is_not_hello_drops_the_pending_join() {
    for origin in [true, false] {
        let forge = Forge::new();
        let (mut scene, first) = confirming(&forge, Policy { origin, ..Policy::default() });
        let key = forge.body(&first);
        assert_eq!(key.find("origin_key").unwrap().to_bytes().len() > 2, origin);
        let wrong_key: Vec<u8> = if origin { vec![0, 0] } else { [vec![0, 32], vec![9; 32]].concat() };
        let forged = forge.next(&first, 0, |body| set(body, "origin_key", &wrong_key));
        assert_eq!(scene.inject(first.to_link, forged), Some(Reason::Violation));
        assert_eq!((scene.leader().pending_joins(), scene.leader().view().members().len()), (0, 1));
        scene.refuses_again(&first, Reason::Unknown);
    }
    // A frame with nothing in it.
    let forge = Forge::new();
    let (mut scene, first) = confirming(&forge, Policy::default());
    let empty = forge.next(&first, 0, |body| set(body, "body", &[0]));
    assert_eq!(scene.inject(first.to_link, empty), Some(Reason::Violation));
    assert_eq!(scene.leader().pending_joins(), 0);
}

/// RA §4 early end: an end before `hello` drops the pending join, and nothing more.
#[test]
fn an_end_before_hello_drops_the_pending_join() {
    let forge = Forge::new();
    let (mut scene, first) = confirming(&forge, Policy::default());
    let before = scene.leader().view().version();
    scene.leave(0);
    scene.run(SOON);
    let end = scene.last("RA-CM", scene.star.leader);
    assert_eq!(scene.inject(end.to_link, end.bytes), None);
    assert_eq!((scene.leader().pending_joins(), scene.leader().view().version()), (0, before));
    assert_eq!(scene.inject(first.to_link, first.bytes), Some(Reason::Unknown), "too late");
}

/// RA §4.1 hello: if the group is full by now, the second of two that were offered a place is told so by an end.
#[test]
fn who_finds_the_group_full_at_hello_is_told_by_an_end() {
    let mut config = usual();
    config.limits = Limits { members: 1, ..config.limits };
    let mut scene = Scene::open(config, &["m1", "m2"]);
    scene.hold(|_, id| id == "RA-CM");
    scene.join(0);
    scene.join(1);
    scene.run(SOON);
    assert_eq!(scene.leader().pending_joins(), 2);
    scene.release();
    scene.run(SECOND * 6);
    let busy = Event::JoinFailed(JoinFailure::Ended(EndReason::Busy));
    let refused: Vec<_> = (0..2).filter(|n| scene.told(scene.star.members[*n], &busy)).collect();
    assert_eq!(refused.len(), 1);
    assert!(scene.member(1 - refused[0]).is_current());
    assert_eq!(scene.leader().view().members().len(), 2);
}

/// RA §4.1 L on the first RA-CM (1), (2), RA §6 (3): the hello of the older of two joins of a name leaves the newer one
/// pending; that one's hello takes over, by an evicting rekey. The hello of the newer one drops the older.
#[test]
fn of_two_joins_of_a_name_the_newer_one_stays() {
    for newer_first in [false, true] {
        let mut scene = Scene::open(usual(), &["m1", "m1"]);
        scene.hold(|_, id| id == "RA-CM");
        scene.join(0);
        scene.run(SOON);
        scene.join(1);
        scene.run(SOON);
        let from = |scene: &Scene, n: usize| {
            let from = NodeId::from(scene.star.members[n]);
            let all = scene.frames("RA-CM", scene.star.leader);
            all.into_iter().find(|frame| frame.from == from).unwrap()
        };
        let (older, newer) = (from(&scene, 0), from(&scene, 1));
        assert_eq!(scene.leader().pending_joins(), 2);
        if newer_first {
            assert_eq!(scene.inject(newer.to_link, newer.bytes), None);
            assert_eq!(scene.leader().pending_joins(), 0);
            scene.refuses_again(&older, Reason::Unknown);
            continue;
        }
        assert_eq!(scene.inject(older.to_link, older.bytes), None);
        assert_eq!(scene.leader().pending_joins(), 1, "the newer one may still come");
        let first = scene.member(0).cid().unwrap();
        assert_eq!(scene.inject(newer.to_link, newer.bytes), None);
        let events = scene.world.events(scene.star.leader);
        let takeover =
            |event: &Event| matches!(event, Event::MemberRemoved { cid, cause: Cause::Takeover, .. } if *cid == first);
        assert!(events.iter().any(takeover));
        let evicts = |event: &Event| matches!(event, Event::Installed { causes, .. } if causes.contains(Cause::Takeover) && causes.evict());
        assert!(events.iter().any(evicts), "at once, whatever grace says");
        assert_eq!(scene.leader().view().members().len(), 2);
    }
}

/// RA §4.1 L on the first RA-CM (3), (4): a policy without a rekey on join gives the current key, alone; a newcomer gets
/// an answer. RA §4.1 first: it gets nothing older.
#[test]
fn without_a_rekey_on_join_the_newcomer_gets_the_current_key() {
    for rekeys in [false, true] {
        let policy = if rekeys { Policy::default() } else { lax() };
        let mut scene = Scene::open(config(policy, Checks::ALL), &["m1", "m2"]);
        scene.join(0);
        scene.run(SECOND * 6);
        let before = scene.leader().epoch();
        scene.join(1);
        scene.run(SOON * 2);
        let epoch = scene.leader().epoch();
        assert_eq!(epoch, if rekeys { before.next().unwrap() } else { before });
        assert_eq!(scene.member(1).epoch(), epoch);
        let blocks = scene.frames("RA-R", scene.star.members[1]);
        assert!(blocks.iter().all(|block| get(&draft(block).clear, "epoch") >= epoch.0));
        assert!(!scene.frames("RA-CL", scene.star.members[1]).is_empty());
    }
}

/// RA §4.1 first: while the rekey for a join has to wait, the newcomer is in no view, has neither box nor page, and hears
/// of epoch 0.
#[test]
fn a_newcomer_whose_rekey_waits_is_nowhere_yet() {
    let forge = Forge::new();
    let mut scene = Scene::open(forge.config(Policy::default()), &["m1", "m2"]);
    scene.join(0);
    scene.run(SECOND);
    let (members, epoch) = (scene.leader().view().members().len(), scene.leader().epoch());
    scene.join(1);
    scene.run(SECOND * 3);
    let second = scene.star.members[1];
    assert_eq!((scene.leader().view().members().len(), scene.leader().epoch()), (members, epoch));
    assert!(scene.frames("RA-R", second).is_empty());
    let heard = scene.frames("RA-CL", second);
    assert!(!heard.is_empty());
    for frame in &heard {
        let body = forge.body(frame);
        assert_eq!((get(&body, "epoch"), body.find("changes").is_some()), (0, false));
    }
    assert_eq!(scene.member(1).epoch(), Epoch(0));
    scene.run(SECOND * 3);
    assert!(scene.member(1).is_current());
    assert_eq!(scene.leader().view().members().len(), members + 1);
}

/// RA §4.1 attempt, RA §6 (7): a member that crashed joins again with new numbers, keys and cid, and replaces itself.
#[test]
fn a_member_that_crashed_starts_anew() {
    let mut scene = Scene::settled(usual(), &["m1", "m2"]);
    let (first, past) = (scene.star.members[0], scene.member(0).cid().unwrap());
    scene.world.crash(first).unwrap();
    let machine = member_machine(&scene.star.config, "m1").unwrap();
    scene.world.restart_with(first, machine).unwrap();
    scene.join(0);
    scene.run(SECOND + MS);
    assert!(scene.member(0).cid().unwrap() > past);
    assert!(!scene.leader().view().contains(past));
    scene.say(0, b"numbers start anew").unwrap();
    scene.run(SOON);
    assert_eq!(get(&draft(&scene.last("RA-D", scene.star.members[1])).clear, "counter"), 0);
}
