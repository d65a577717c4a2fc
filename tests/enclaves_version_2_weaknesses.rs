//! The published weaknesses of Enclaves 2.0, each as a fact: E1 to E4, E8 to E15, X6 to X10, and what a vector that belongs to a
//! key shows (D5). An attacker has the frames of the wire, and of keys only those that a test gives it.
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod version_2;

use std::sync::Arc;
use std::time::Duration;

use sodality::crypto::published::PublishedSuite;
use sodality::enclaves::version_2::{Access, GroupKey, SessionKey, default_policy, prudent_policy};
use sodality::endpoint::Endpoint;
use sodality::error::Reason;
use sodality::event::{EndReason, Ending, Event, JoinFailure, Port, Refusal};
use sodality::identity::NameRef;
use sodality::policy::Policy;
use sodality::sim::enclaves_version_2::VersionTwoConfig;
use sodality::wire::Message as _;
use sodality::wire::enclaves::version_2::{DataToLeader, DataToMember, NewKey};
use sodality::wire::frame::HEADER_BYTES;
use sodality::wire::published::Sealed;

use version_2::{Bench, SECOND, both, des, header, modern, name, scheme};

fn config(suite: &Arc<dyn PublishedSuite>) -> VersionTwoConfig {
    let policy = Policy { grace: Duration::ZERO, settle: Duration::ZERO, ..default_policy() };
    VersionTwoConfig { policy, grace: Duration::ZERO, ..VersionTwoConfig::new(suite.clone()) }
}

fn group_key(bench: &Bench, member: usize) -> GroupKey {
    bench.members[member - 1].group_key().unwrap().clone()
}

fn session_key(bench: &Bench, member: usize) -> SessionKey {
    bench.members[member - 1].session_key().unwrap().clone()
}

/// What EN-D2 says to somebody who has this key.
fn reads(suite: &dyn PublishedSuite, key: &GroupKey, frame: &[u8]) -> Option<Vec<u8>> {
    let data = DataToMember::parse(frame).unwrap().message;
    scheme(suite).read_data(key, data.sealed.bytes).ok().map(|opened| opened.payload.to_vec())
}

/// E1: by default K_g never changes, and who was thrown out reads the rest of the session. E15: and talks in it.
/// Where the policy changes it, neither.
#[test]
fn e1_e15_who_is_out_keeps_the_key() {
    for suite in both() {
        for prudent in [false, true] {
            let mut config = config(&suite);
            if prudent {
                config.policy.rekey_on = prudent_policy().rekey_on;
            }
            let mut bench = Bench::joined(&config, 3);
            let kept = group_key(&bench, 2);
            let cid = bench.leader.number_of(&name("m2")).unwrap();
            bench.lead(|leader, cx| leader.eject(cx, cid)).unwrap();
            bench.settle();
            bench.say(1, b"now that m2 is gone");
            let seen = bench.last("EN-D2", 0, 3);
            let read = reads(&*suite, &kept, &seen).is_some_and(|text| text == b"now that m2 is gone");
            assert_eq!(read, !prudent);
            let said = scheme(&*suite).data(name("m2").by_ref(), &kept, true, Port::Application, b"I am still here");
            bench.give_member(3, &said.unwrap());
            bench.settle();
            let heard = bench.heard(3).contains(&("m2".into(), b"I am still here".to_vec()));
            assert_eq!(heard, !prudent, "E15");
            if !prudent {
                let said = scheme(&*suite).data(name("m2").by_ref(), &kept, false, Port::Application, b"relay me");
                bench.give_leader(1, &said.unwrap());
                bench.settle();
                assert!(bench.heard(3).contains(&("m2".into(), b"relay me".to_vec())), "the leader relays it too");
            }
        }
    }
}

/// E2: a replayed message is a new one, to a member and to the leader, who relays it.
#[test]
fn e2_data_are_replayed() {
    for suite in both() {
        let mut bench = Bench::joined(&config(&suite), 3);
        bench.say(1, b"pay 10");
        let (to_leader, to_member) = (bench.last("EN-D1", 1, 0), bench.last("EN-D2", 0, 2));
        bench.give_member(2, &to_member);
        bench.give_leader(1, &to_leader);
        bench.settle();
        let count = |who: usize| bench.heard(who).iter().filter(|(_, text)| text == b"pay 10").count();
        assert_eq!((count(0), count(2), count(3)), (2, 3, 2));
    }
}

/// E3: the label is clear and bound to nothing.
#[test]
fn e3_anothers_label() {
    for suite in both() {
        let mut bench = Bench::joined(&config(&suite), 3);
        let forged =
            scheme(&*suite).data(name("m1").by_ref(), &group_key(&bench, 2), false, Port::Application, b"I quit");
        bench.give_leader(2, &forged.unwrap());
        bench.settle();
        for who in [0, 3] {
            assert!(bench.heard(who).contains(&("m1".into(), b"I quit".to_vec())));
        }
        // An outsider without any key puts another name in front of what was said.
        bench.say(1, b"yes");
        let frame = bench.last("EN-D2", 0, 3);
        let sealed = DataToMember::parse(&frame).unwrap().message.sealed.bytes.to_vec();
        let mut relabelled = bytes::BytesMut::new();
        let message = DataToMember { sender: NameRef::new("m2").unwrap(), sealed: Sealed::new(&sealed) };
        message.put_open(header(&*suite), &mut relabelled);
        bench.give_member(3, &relabelled);
        bench.settle();
        assert!(bench.heard(3).contains(&("m2".into(), b"yes".to_vec())));
    }
}

/// E4: under DES, what has no redundancy can be changed and nobody notices. A modern suite in the same notation notices.
#[test]
fn e4_data_are_changed() {
    for (suite, notices) in [(des(), false), (modern(), true)] {
        let mut bench = Bench::joined(&config(&suite), 2);
        let random: Vec<u8> = (0..31u8).map(|n| n.wrapping_mul(167).wrapping_add(13)).collect();
        bench.say(1, &random);
        let mut frame = bench.last("EN-D2", 0, 2);
        // The second block of the ciphertext: it comes out as noise, and one bit of the third is turned.
        let at = HEADER_BYTES + 3 + 4 + 8;
        frame[at] ^= 0x10;
        bench.give_member(2, &frame);
        bench.settle();
        let heard = bench.heard(2);
        assert_eq!(heard.len() == 1, notices);
        if !notices {
            let changed = &heard[1].1;
            assert_eq!(changed.len(), random.len());
            assert_eq!(changed[..7], random[..7], "the first block, with the port, as it was");
            assert_ne!(changed[7..15], random[7..15]);
            assert_eq!(changed[15], random[15] ^ 0x10, "one bit, as the attacker chose");
            assert_eq!(changed[16..], random[16..]);
        }
    }
}

/// E5: a private message is accepted again, by the leader and by its recipient.
#[test]
fn e5_gossip_is_replayed() {
    for suite in both() {
        let mut bench = Bench::joined(&config(&suite), 2);
        bench.member(1, |machine, cx| machine.gossip(cx, &[name("m2")], Port::Application, b"psst")).unwrap();
        bench.settle();
        let (first, second) = (bench.last("EN-G1", 1, 0), bench.last("EN-G2", 0, 2));
        bench.give_leader(1, &first);
        bench.give_member(2, &second);
        bench.settle();
        assert_eq!(bench.heard(2).len(), 3);
    }
}

/// E6: one frame of a member is work for every recipient at the leader; how many wait at once is bounded here.
#[test]
fn e6_gossip_is_work_for_the_leader() {
    let suite = des();
    let mut bench = Bench::joined(&config(&suite), 5);
    let all: Vec<_> = (2..=5).map(|n| name(&format!("m{n}"))).collect();
    bench.member(1, |machine, cx| machine.gossip(cx, &all, Port::Application, b"x")).unwrap();
    let frame = bench.take(1)[0].1.clone();
    for _ in 0..100 {
        bench.give_leader(1, &frame);
    }
    let sent = bench.take(0).into_iter().filter(|(_, frame)| version_2::id_of(frame) == "EN-G2").count();
    assert_eq!(sent, 64 * 4, "four frames for each that is taken");
    assert_eq!(bench.leader.stats().rejected[&Reason::Budget], 36);
}

/// E8: a forged refusal keeps a user out. A forged `ack_open` only makes it begin too early.
#[test]
fn e8_a_forged_refusal() {
    for suite in both() {
        let mut bench = Bench::new(&config(&suite), 1);
        bench.member(1, |machine, cx| machine.join(cx)).unwrap();
        let denied = scheme(&*suite).open_answer(name("lea").by_ref(), false);
        bench.give_member(1, &denied);
        bench.settle();
        assert!(bench.members[0].is_idle());
        assert!(bench.events_of(1).contains(&&Event::JoinRefused(Refusal::Denied)));

        let list = VersionTwoConfig { access: Access::List([name("m2")].into_iter().collect()), ..config(&suite) };
        let mut bench = Bench::new(&list, 1);
        bench.member(1, |machine, cx| machine.join(cx)).unwrap();
        bench.give_member(1, &scheme(&*suite).open_answer(name("lea").by_ref(), true));
        bench.settle();
        bench.pass(SECOND * 20);
        assert!(bench.events_of(1).contains(&&Event::JoinFailed(JoinFailure::Timeout)), "the leader had not let it in");
        assert_eq!(bench.leader.member_count(), 0);
    }
}

/// E9: an old EN-M+ puts somebody who left back into a view. E13: an old EN-M- takes out who is there.
#[test]
fn e9_e13_notices_are_replayed() {
    for suite in both() {
        let mut bench = Bench::joined(&config(&suite), 3);
        let added = bench.last("EN-M+", 0, 1);
        bench.member(3, |machine, cx| machine.leave(cx)).unwrap();
        bench.settle();
        let removed = bench.last("EN-M-", 0, 1);
        assert_eq!(bench.roster(1), ["lea", "m1", "m2"]);
        bench.give_member(1, &added);
        bench.settle();
        assert_eq!(bench.roster(1), ["lea", "m1", "m2", "m3"], "E9: m3 is not there");
        bench.give_member(1, &removed);
        bench.join(3);
        assert_eq!(bench.roster(1), ["lea", "m1", "m2", "m3"]);
        bench.give_member(1, &removed);
        bench.settle();
        assert_eq!(bench.roster(1), ["lea", "m1", "m2"], "E13: m3 is there");
        assert_eq!(bench.leader.member_count(), 3);
    }
}

/// E10: the n-th member is told of the others by n − 1 messages of one name.
#[test]
fn e10_a_message_for_each_name() {
    let suite = des();
    let bench = Bench::joined(&config(&suite), 12);
    assert_eq!(bench.ids(0, 12).iter().filter(|id| **id == "EN-M+").count(), 11);
    assert_eq!(bench.ids(0, 1).iter().filter(|id| **id == "EN-M+").count(), 11);
}

/// E11: an old EN-NK of the same session brings an old key back, which an expelled member knows. Of another session it opens to
/// noise under DES: refused by luck of the padding, or a key that nobody has.
#[test]
fn e11_an_old_key_comes_back() {
    for suite in both() {
        let mut config = config(&suite);
        config.policy.rekey_on = prudent_policy().rekey_on;
        let mut bench = Bench::joined(&config, 3);
        let old = bench.last("EN-NK", 0, 1);
        let known = group_key(&bench, 2);
        let cid = bench.leader.number_of(&name("m2")).unwrap();
        bench.lead(|leader, cx| leader.eject(cx, cid)).unwrap();
        bench.settle();
        assert_ne!(bench.members[0].epoch(), known.number);
        bench.give_member(1, &old);
        assert_eq!(bench.members[0].epoch(), known.number, "back to the key that m2 has");
        // It is acknowledged, and the leader does not know the key any more.
        let answers = bench.take(1);
        assert_eq!(version_2::id_of(&answers[0].1), "EN-NKA");
        bench.give_leader(1, &answers[0].1);
        bench.member(1, |machine, cx| machine.send(cx, Port::Application, b"m2 is out, so")).unwrap();
        let said = bench.take(1).pop().unwrap().1;
        let data = DataToLeader::parse(&said).unwrap().message;
        let read = scheme(&*suite).read_data(&known, data.sealed.bytes).unwrap();
        assert_eq!(*read.payload, *b"m2 is out, so");

        // Another session: another K_a.
        bench.member(1, |machine, cx| machine.leave(cx)).unwrap();
        bench.settle();
        bench.join(1);
        let before = bench.members[0].epoch();
        bench.give_member(1, &old);
        bench.settle();
        assert_eq!(bench.members[0].epoch(), before, "the lengths inside are redundancy enough");
    }
}

/// E12: who is named in a forged EN-C1 is out. E14: whoever hears a forged EN-C2 believes to be out.
#[test]
fn e12_e14_the_end_in_clear() {
    for suite in both() {
        let mut bench = Bench::joined(&config(&suite), 3);
        bench.give_leader(2, &scheme(&*suite).close_request(name("m1").by_ref()));
        bench.settle();
        assert_eq!(bench.leader.member_count(), 2, "E12");
        assert_eq!(bench.roster(3), ["lea", "m2", "m3"]);
        assert!(bench.members[0].is_idle(), "the answer reaches who never asked");

        bench.give_member(3, &scheme(&*suite).close(name("lea").by_ref()));
        bench.settle();
        assert!(bench.events_of(3).contains(&&Event::Ended(Ending::ByLeader(EndReason::Ejected))), "E14");
        assert_eq!(bench.leader.member_count(), 2, "the leader knows nothing of it");
    }
}

/// X6: what a member says in private under K_a is taken as a new key by itself, if an outsider sends it back with another type
/// in front. The key is then what the list of recipients looks like: no secret at all.
#[test]
fn x6_gossip_comes_back_as_a_key() {
    for suite in both() {
        let sizes = suite.sizes();
        // A list that is as long as a key: its count, and names with their lengths.
        let rest = sizes.key - 4;
        let names: Vec<String> = match rest {
            4 => vec!["bob".into()],
            _ => vec!["b".repeat(rest - 1)],
        };
        let config = config(&suite);
        let mut bench = Bench::with_names(&config, &["m1".into(), names[0].clone()]);
        bench.join(1);
        bench.join(2);
        let right = bench.members[0].epoch();
        // The text: the low byte of the length of a vector, the high one being the port, and a vector.
        let text: Vec<u8> = [vec![u8::try_from(sizes.iv).unwrap()], vec![0x42; sizes.iv]].concat();
        bench.member(1, |machine, cx| machine.gossip(cx, &[name(&names[0])], Port::Application, &text)).unwrap();
        bench.settle();
        assert_eq!(bench.heard(2)[0].1, text, "an ordinary private message");
        // No key is used: the label of the leader, the type of EN-NK, and the ciphertext as it was.
        let gossip = bench.last("EN-G1", 1, 0);
        let sealed = gossip[HEADER_BYTES + 3 + 4..].to_vec();
        let mut reflected = bytes::BytesMut::new();
        let message = NewKey { leader: NameRef::new("lea").unwrap(), sealed: Sealed::new(&sealed) };
        message.put_open(header(&*suite), &mut reflected);
        bench.give_member(1, &reflected);
        assert_ne!(bench.members[0].epoch(), right);
        let installed = group_key(&bench, 1);
        let known = [&[0, 0, 0, 1, u8::try_from(names[0].len()).unwrap()], names[0].as_bytes()].concat();
        assert_eq!(installed.held.key.secret().expose(), known, "K_g' is the list of recipients");
        assert_eq!(installed.held.iv.as_bytes(), vec![0x42; sizes.iv]);
    }
}

/// X7: any holder of K_g' acknowledges it for another, who never got it; and the leader stops repeating.
#[test]
fn x7_anybody_acknowledges() {
    for suite in both() {
        let mut bench = Bench::joined(&config(&suite), 2);
        bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        bench.settle_but(|_, to, _| to == 1);
        assert!(!bench.leader.all_acknowledged());
        let forged = scheme(&*suite).new_key_ack(name("m1").by_ref(), &group_key(&bench, 2)).unwrap();
        bench.give_leader(2, &forged);
        assert!(bench.leader.all_acknowledged());
        bench.pass(SECOND * 20);
        assert_ne!(bench.members[0].epoch(), bench.leader.epoch(), "m1 has the old key for good");
    }
}

/// X8: whoever has K_g invents joins and departures, also after it was thrown out.
#[test]
fn x8_members_invent_notices() {
    for suite in both() {
        let mut bench = Bench::joined(&config(&suite), 3);
        let key = group_key(&bench, 3);
        bench.member(3, |machine, cx| machine.leave(cx)).unwrap();
        bench.settle();
        let lea = name("lea");
        bench.give_member(1, &scheme(&*suite).notice(lea.by_ref(), &key, true, name("ghost").by_ref()).unwrap());
        bench.give_member(1, &scheme(&*suite).notice(lea.by_ref(), &key, false, name("m2").by_ref()).unwrap());
        bench.settle();
        assert_eq!(bench.roster(1), ["ghost", "lea", "m1"]);
    }
}

/// X9: an EN-A1 of an earlier session, replayed behind a forged EN-P1, displaces the live one. The member is told nothing: it
/// goes on with a K_a that the leader has forgotten.
#[test]
fn x9_an_old_request_displaces_a_session() {
    for suite in both() {
        let mut bench = Bench::joined(&config(&suite), 2);
        let old = bench.last("EN-A1", 1, 0);
        bench.member(1, |machine, cx| machine.leave(cx)).unwrap();
        bench.settle();
        bench.join(1);
        assert_eq!(bench.leader.member_count(), 2);
        // A repeat of the request of this very session changes nothing.
        let own = bench.last("EN-A1", 1, 0);
        assert_ne!(own, old);
        bench.give_leader(2, &own);
        assert_eq!(bench.leader.member_count(), 2);

        bench.give_leader(2, &scheme(&*suite).open_request(name("m1").by_ref()));
        bench.give_leader(2, &old);
        bench.settle();
        assert_eq!(bench.leader.member_count(), 1, "the live session is gone");
        assert!(bench.members[0].is_in(), "and its member does not know");
        assert_eq!(bench.roster(2), ["lea", "m2"]);
        bench.member(1, |machine, cx| machine.gossip(cx, &[name("m2")], Port::Application, b"psst")).unwrap();
        bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        bench.settle();
        assert!(bench.heard(2).is_empty(), "its K_a opens nothing any more");
        assert_ne!(bench.members[0].epoch(), bench.leader.epoch(), "and no new key reaches it");
        // The half-open attempt is gone after its time, and the member comes back if it thinks of leaving.
        bench.pass(SECOND * 25);
        bench.member(1, |machine, cx| machine.leave(cx)).unwrap();
        bench.settle();
        bench.join(1);
        assert_eq!(bench.roster(2), ["lea", "m1", "m2"]);
    }
}

/// X10: K_g changes between EN-A2 and EN-A3: the newcomer is a member with a key that nobody uses.
#[test]
fn x10_a_key_that_is_late() {
    for suite in both() {
        let mut bench = Bench::joined(&config(&suite), 2);
        bench.member(2, |machine, cx| machine.leave(cx)).unwrap();
        bench.settle();
        bench.member(2, |machine, cx| machine.join(cx)).unwrap();
        let mut held = Vec::new();
        bench.settle_but(|_, _, frame| {
            let late = version_2::id_of(frame) == "EN-A3";
            if late {
                held.push(frame.to_vec());
            }
            late
        });
        bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        bench.settle();
        bench.give_leader(2, &held[0]);
        bench.settle();
        assert_eq!(bench.leader.member_count(), 2);
        assert!(bench.members[1].is_in());
        assert_ne!(bench.members[1].epoch(), bench.leader.epoch());
        bench.pass(SECOND * 30);
        assert_ne!(bench.members[1].epoch(), bench.leader.epoch(), "nobody tells it");
        bench.say(1, b"can you hear me?");
        assert!(!bench.heard(2).iter().any(|(_, text)| text == b"can you hear me?"));
        bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        bench.settle();
        assert_eq!(bench.members[1].epoch(), bench.leader.epoch(), "the next change mends it");
    }
}

/// X3: P_a follows from a password, EN-A1 has known names in it: a list of words finds it, without a word to anybody.
#[test]
fn x3_a_list_of_words() {
    use sodality::crypto::Key;
    use sodality::crypto::published::des_key_of_password;
    use sodality::enclaves::version_2::messages::Pair;
    let suite = des();
    let (lea, ann) = (name("lea"), name("ann"));
    let user = Key::new(des_key_of_password(b"sunshine"));
    let mut rng = sodality::sim::SimRng::new(3);
    let n1 = suite.fresh_nonce(&mut rng, suite.sizes().nonce).unwrap();
    let pair = Pair { leader: lea.by_ref(), member: ann.by_ref(), user: &user };
    let seen = scheme(&*suite).request(&mut rng, pair, n1).unwrap();
    let words = ["123456", "qwerty", "dragon", "sunshine", "princess"];
    let found: Vec<&str> = words
        .into_iter()
        .filter(|word| {
            let user = Key::new(des_key_of_password(word.as_bytes()));
            scheme(&*suite).read_request(Pair { user: &user, ..pair }, &seen).is_ok()
        })
        .collect();
    assert_eq!(found, ["sunshine"]);
}

/// D5: under DES, texts that begin alike look alike from their beginning, in whole blocks; under a modern suite only equal texts
/// do. Under P_a and K', where a random vector stands in front, nothing does.
#[test]
fn what_the_vector_of_a_key_shows() {
    for (suite, prefixes) in [(des(), true), (modern(), false)] {
        let mut bench = Bench::joined(&config(&suite), 2);
        let mut sealed = Vec::new();
        for text in
            [&b"attack at dawn, by the river"[..], b"attack at dawn, by the bridge", b"attack at dawn, by the river"]
        {
            bench.say(1, text);
            let frame = bench.last("EN-D1", 1, 0);
            sealed.push(DataToLeader::parse(&frame).unwrap().message.sealed.bytes.to_vec());
        }
        assert_eq!(sealed[0], sealed[2], "equal texts look equal");
        let common = sealed[0].iter().zip(&sealed[1]).take_while(|(a, b)| a == b).count();
        assert_eq!(common >= 16, prefixes, "{common}");
        assert_ne!(sealed[0], sealed[1]);

        // The same text in private, to the same recipient: the key is fresh, and so is what stands in front.
        let mut data = Vec::new();
        for _ in 0..2 {
            bench
                .member(1, |machine, cx| machine.gossip(cx, &[name("m2")], Port::Application, b"attack at dawn"))
                .unwrap();
            bench.settle();
            let frame = bench.last("EN-G2", 0, 2);
            let message = sodality::wire::enclaves::version_2::GossipToMember::parse(&frame).unwrap().message;
            data.push((message.key.bytes.to_vec(), message.sealed.bytes.to_vec()));
        }
        assert_ne!(data[0].1[..8], data[1].1[..8]);
        // EN-A2 has the vector that serves K_a and K_g, until the first new key, which brings its own.
        assert_eq!(session_key(&bench, 1).iv, group_key(&bench, 1).held.iv);
        assert_eq!(session_key(&bench, 1).iv, session_key(&bench, 2).iv, "it is that of K_g, the same for all");
        let before = session_key(&bench, 1).iv;
        bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        bench.settle();
        assert_ne!(group_key(&bench, 1).held.iv, before);
        assert_eq!(session_key(&bench, 1).iv, before, "K_a keeps the vector that it came with");
    }
}
