//! Enclaves 1.0: what the head of each message stops (D30), and what it does not. Each attack is made twice: it fails, and
//! without the check that stops it it succeeds (E2, E3, E5, E8, E9, E11 to E14, X6, X9).
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod version_1;

use std::time::Duration;

use sodality::crypto::Secret;
use sodality::enclaves::version_1::head::{Line, Stamp};
use sodality::error::Reason;
use sodality::event::{DirectEnd, Ending, Event, Port};
use sodality::group::{Check, Checks};
use sodality::identity::Epoch;
use sodality::sim::enclaves_version_1::VersionOneConfig;

use version_1::{Bench, SECOND, both, code_of, des, id_of, name, scheme};

const CHECKS: [Check; 3] = [Check::HeadPlace, Check::HeadNumber, Check::HeadTime];

fn without(
    suite: &std::sync::Arc<dyn sodality::crypto::published::PublishedSuite>,
    off: Option<Check>,
) -> VersionOneConfig {
    let mut config = VersionOneConfig::new(suite.clone());
    config.limits.checks = off.map_or(Checks::ALL, |off| Checks::ALL.without(off));
    config
}

/// E2: data played back, to the leader and to members, at once and later.
#[test]
fn replayed_data_are_heard_once() {
    for suite in both() {
        for off in [None, Some(Check::HeadNumber), Some(Check::HeadTime)] {
            let mut bench = Bench::joined(&without(&suite, off), 2);
            bench.say(1, b"pay ten");
            let (sent, relayed) = (bench.last("EN-1D", 1, 0), bench.last("EN-1D", 0, 2));
            let refusals = (bench.refused(1, 0, &sent), bench.refused(0, 2, &relayed));
            let wins = off == Some(Check::HeadNumber);
            let refused = if wins { None } else { Some(Reason::Replayed) };
            assert_eq!(refusals, (refused, refused), "{off:?}");
            bench.settle();
            assert_eq!(bench.times(2, b"pay ten") > 1, wins, "{off:?}");
            // Later than the window, the time stops it too.
            bench.pass(SECOND * 121);
            let late = match off {
                Some(Check::HeadNumber) => Some(Reason::Untimely),
                _ => Some(Reason::Replayed),
            };
            assert_eq!(bench.refused(0, 2, &relayed), late, "{off:?}");
        }
    }
}

/// What was held back and never came before has a fresh number: only its time betrays it.
#[test]
fn data_that_are_held_back_come_in_time_or_not_at_all() {
    for suite in both() {
        for (off, wait, refused) in [
            (None, 119, None),
            (None, 121, Some(Reason::Untimely)),
            (Some(Check::HeadNumber), 121, Some(Reason::Untimely)),
            (Some(Check::HeadTime), 3_600, None),
        ] {
            let mut bench = Bench::joined(&without(&suite, off), 2);
            bench.member(1, |machine, cx| machine.send(cx, Port::Application, b"now")).unwrap();
            let held = bench.take(1)[0].2.clone();
            bench.pass(SECOND * wait);
            assert_eq!(bench.refused(1, 0, &held), refused, "{off:?} {wait}");
        }
    }
}

/// What is overtaken is not taken: the last number counts.
#[test]
fn overtaken_data_are_lost() {
    for suite in both() {
        let mut bench = Bench::joined(&without(&suite, None), 2);
        for text in [b"one", b"two"] {
            bench.member(1, |machine, cx| machine.send(cx, Port::Application, text)).unwrap();
        }
        let frames = bench.take(1);
        assert_eq!(bench.refused(1, 0, &frames[1].2), None);
        assert_eq!(bench.refused(1, 0, &frames[0].2), Some(Reason::Replayed));
        assert_eq!((bench.times(0, b"one"), bench.times(0, b"two")), (0, 1));
    }
}

/// E5: private data played back, and E9, E13: notices.
#[test]
fn replayed_private_data_and_notices_do_nothing() {
    for suite in both() {
        for off in [None, Some(Check::HeadNumber)] {
            let mut bench = Bench::joined(&without(&suite, off), 3);
            let to = name("m2");
            bench.member(1, |machine, cx| machine.send_to(cx, &to, Port::Application, b"quietly")).unwrap();
            bench.settle();
            let (private, added) = (bench.last("EN-1PD", 0, 2), bench.last("EN-1M", 0, 2));
            bench.member(3, |machine, cx| machine.leave(cx)).unwrap();
            bench.settle();
            let removed = bench.last("EN-1M", 0, 2);
            assert_eq!(bench.roster(2), ["lea", "m1", "m2"]);
            let wins = off.is_some();
            let refused = if wins { None } else { Some(Reason::Replayed) };
            assert_eq!(bench.refused(0, 2, &private), refused, "E5 {off:?}");
            assert_eq!(bench.times(2, b"quietly"), 1 + usize::from(wins));
            assert_eq!(bench.refused(0, 2, &added), refused, "E9 {off:?}");
            assert_eq!(bench.roster(2).contains(&"m3".into()), wins, "E9 {off:?}");
            assert_eq!(bench.refused(0, 2, &removed), refused, "E13 {off:?}");
            assert!(!bench.roster(2).contains(&"m3".into()));
        }
    }
}

/// E11: an old EN-1N.
#[test]
fn a_replayed_key_does_nothing() {
    for suite in both() {
        for off in [None, Some(Check::HeadNumber)] {
            let mut bench = Bench::joined(&without(&suite, off), 1);
            for _ in 0..2 {
                bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
                bench.settle();
            }
            let old =
                bench.wire.iter().find(|(from, _, frame)| *from == 0 && id_of(frame) == "EN-1N").unwrap().2.clone();
            let refused = if off.is_none() { Some(Reason::Replayed) } else { None };
            assert_eq!(bench.refused(0, 1, &old), refused, "{off:?}");
            assert_eq!(bench.machine(1).epoch(), if off.is_none() { Epoch(3) } else { Epoch(2) }, "{off:?}");
        }
    }
}

/// E12, E14, E8: without K_a or P_a nobody writes a wish to leave, an end or a refusal; what was recorded is of no use.
#[test]
fn nobody_else_ends_a_membership() {
    for suite in both() {
        let mut bench = Bench::joined(&without(&suite, None), 2);
        // An outsider has any key but the right one.
        let scheme = scheme(&*suite);
        let key = Secret::new(&vec![0x11; suite.sizes().key]);
        let (lea, one) = (name("lea"), name("m1"));
        let stamp = Stamp { sequence: u64::MAX, timestamp: bench.wall(0).0 };
        let to_leader = Line { key: &key, sender: one.by_ref(), recipient: Some(lea.by_ref()), stamp };
        let to_member = Line { key: &key, sender: lea.by_ref(), recipient: Some(one.by_ref()), stamp };
        let leave = scheme.leave_request(&mut bench.rng, to_leader).unwrap();
        let end = scheme.close(&mut bench.rng, to_member, sodality::event::EndReason::Ejected).unwrap();
        let refusal = sodality::wire::enclaves::version_1::RefusalCode::Denied;
        let denied = scheme.refusal(&mut bench.rng, to_member, 0, refusal).unwrap();
        assert_eq!(bench.refused(1, 0, &leave), Some(Reason::Forged));
        assert_eq!(bench.refused(0, 1, &end), Some(Reason::Forged));
        assert_eq!(bench.refused(0, 1, &denied), Some(Reason::Unknown));
        assert!(bench.machine(1).is_in() && bench.leader().member_count() == 2);
        // The own real wish of an earlier session, played back in the next.
        bench.member(1, |machine, cx| machine.leave(cx)).unwrap();
        bench.settle();
        let leave = bench.last("EN-1L", 1, 0);
        bench.join(1);
        assert_eq!(bench.refused(1, 0, &leave), Some(Reason::Replayed), "of the session before");
        bench.pass(SECOND * 11);
        assert_eq!(bench.refused(1, 0, &leave), Some(Reason::Forged), "whose K_a is forgotten");
        assert!(bench.machine(1).is_in() && bench.leader().member_count() == 2);
        // A refusal forged while somebody asks.
        let mut bench = Bench::new(&without(&suite, None), 1);
        bench.member(1, |machine, cx| machine.join(cx)).unwrap();
        assert_eq!(bench.refused(0, 1, &denied), Some(Reason::Forged), "E8");
    }
}

/// X9: EN-1J played back, at once, later, and in the place of its sender.
#[test]
fn a_replayed_request_to_join_begins_nothing() {
    for suite in both() {
        for off in [None, Some(Check::HeadNumber)] {
            let mut bench = Bench::joined(&without(&suite, off), 2);
            let request = bench.last("EN-1J", 1, 0);
            let before = bench.ids(0, 2).len();
            let refused = if off.is_none() { Some(Reason::Replayed) } else { None };
            assert_eq!(bench.refused(2, 0, &request), refused, "{off:?}");
            bench.settle();
            assert_eq!(bench.ids(0, 2).len() - before, usize::from(off.is_some()), "{off:?}: EN-1K goes out");
            bench.pass(SECOND * 121);
            let late = if off.is_none() { Reason::Replayed } else { Reason::Untimely };
            assert_eq!(bench.refused(2, 0, &request), Some(late));
            assert_eq!((bench.leader().member_count(), bench.leader().epoch()), (2, Epoch(1)), "{off:?}");
        }
    }
}

/// EN-1K played back to a member that lost its memory, and so the number it would have to be greater than: it answers another
/// request.
#[test]
fn a_replayed_reply_answers_no_request() {
    for suite in both() {
        let config = without(&suite, None);
        let mut bench = Bench::joined(&config, 1);
        let reply = bench.last("EN-1K", 0, 1);
        let fresh = sodality::sim::enclaves_version_1::member_machine(&config, "m1").unwrap();
        bench.machines[1] = Some(version_1::Machine::Member(fresh));
        bench.now = bench.now + Duration::from_millis(5);
        let link = bench.link(1, 0);
        let info = bench.info;
        bench.call(1, |end, cx| end.handle_link_opened(cx, link, info)).unwrap();
        bench.member(1, |machine, cx| machine.join(cx)).unwrap();
        assert_eq!(bench.refused(0, 1, &reply), Some(Reason::Replayed));
    }
}

/// A message of one kind does not pass for another under the same key (X6), nor for one to somebody else, nor comes back to
/// its sender: each frame of a session, under each message type.
#[test]
fn no_message_passes_for_another() {
    for suite in both() {
        let mut bench = Bench::joined(&without(&suite, None), 3);
        bench.link_directly(1, 2);
        bench.say(1, b"a text");
        bench.say_directly(1, 2, b"a text");
        bench.samples = Some(Vec::new());
        bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        let to = name("m2");
        bench.member(1, |machine, cx| machine.send_to(cx, &to, Port::Application, b"a text")).unwrap();
        bench.settle();
        bench.say(1, b"a text");
        bench.say_directly(2, 1, b"a text");
        bench.member(3, |machine, cx| machine.leave(cx)).unwrap();
        bench.settle();
        let samples = bench.samples.take().unwrap();
        let mut tried = 0;
        for sample in &samples {
            for code in 1..=0x15u8 {
                if code == sample.frame[4] {
                    continue;
                }
                let mut frame = sample.frame.clone();
                frame[4] = code;
                let mut machine = sample.machine.clone();
                let before = machine.digest_at(sample.at);
                let mut rng = sodality::sim::SimRng::new(3);
                let wall = Some(bench.wall(0));
                let mut cx = sodality::endpoint::Cx { wall, ..sodality::endpoint::Cx::new(sample.at, &mut rng) };
                machine.end().handle_frame(&mut cx, sample.link, frame.as_slice().into()).unwrap();
                while machine.end().poll_event().is_some() {}
                let mut clean = sample.machine.clone();
                while clean.end().poll_event().is_some() {}
                let clean = clean.digest_at(sample.at);
                assert!(
                    machine.digest_at(sample.at) == clean || before == clean,
                    "{} as {code:#x}",
                    id_of(&sample.frame)
                );
                assert_eq!(machine.digest_at(sample.at), clean, "{} as {code:#x}", id_of(&sample.frame));
                tried += 1;
            }
        }
        assert!(tried > 300, "{tried}");
    }
}

/// The same under one key, made to fit: EN-1XA and EN-1XE hold the same fields, and so do EN-1L and others. Only the type in
/// the head tells them apart.
#[test]
fn the_type_in_the_head_is_what_tells_them_apart() {
    for suite in both() {
        for off in [None, Some(Check::HeadPlace)] {
            let mut bench = Bench::joined(&without(&suite, off), 2);
            bench.link_directly(1, 2);
            bench.dials = false;
            bench.pass_but(SECOND * 4, |from, to, _| (from, to) == (1, 2));
            let mut alive = bench.last("EN-1XA", 1, 2);
            alive[4] = code_of("EN-1XE");
            let refused = if off.is_none() { Some(Reason::Forged) } else { None };
            assert_eq!(bench.refused(1, 2, &alive), refused, "{off:?}");
            let ended = |event: &&Event| matches!(event, Event::DirectClosed { why: DirectEnd::ByPeer, .. });
            assert_eq!(bench.events_of(2).iter().any(|event| ended(&event)), off.is_some(), "{off:?}");
        }
    }
}

/// A message of the group does not pass for one to a single member, nor one member's for another's: the recipient is named.
#[test]
fn the_recipient_is_named() {
    for suite in both() {
        for off in [None, Some(Check::HeadPlace)] {
            let mut bench = Bench::joined(&without(&suite, off), 2);
            // An insider has K_g, and writes what is for one of them.
            let key = bench.leader().group_key().unwrap().clone();
            let (one, two) = (name("m1"), name("m2"));
            let millis = bench.wall(0).0;
            let stamp = Stamp { sequence: millis + 10, timestamp: millis };
            let line = Line { key: key.secret(), sender: one.by_ref(), recipient: Some(two.by_ref()), stamp };
            let frame = scheme(&*suite).data(&mut bench.rng, line, Port::Application, b"for m2").unwrap();
            let refused = if off.is_none() { Some(Reason::OtherRecipient) } else { None };
            assert_eq!(bench.refused(2, 0, &frame), refused, "{off:?}");
        }
    }
}

/// **E3: the head does not stop an insider.** Whoever has K_g writes under another's name, with number and time as they must be.
#[test]
fn an_insider_writes_under_the_name_of_another() {
    for suite in both() {
        let mut bench = Bench::joined(&without(&suite, None), 3);
        let key = bench.machine(3).group_key().unwrap().clone();
        let one = name("m1");
        let millis = bench.wall(0).0;
        let line = |sequence| {
            let stamp = Stamp { sequence, timestamp: millis };
            Line { key: key.secret(), sender: one.by_ref(), recipient: None, stamp }
        };
        let forged = scheme(&*suite).data(&mut bench.rng, line(millis + 10), Port::Application, b"I resign").unwrap();
        assert_eq!(bench.refused(3, 0, &forged), None);
        bench.settle();
        for who in [0, 2] {
            assert_eq!(bench.heard(who), [("m1".into(), b"I resign".to_vec())], "{who}");
        }
        // What is more, it silences the real one: no number is above the highest.
        let last = scheme(&*suite).data(&mut bench.rng, line(u64::MAX), Port::Application, b"and goodbye").unwrap();
        assert_eq!(bench.refused(3, 0, &last), None);
        bench.say(1, b"I did not");
        assert_eq!(bench.times(2, b"I did not"), 0);
        // Somebody who is no member has no name to lend, and the leader's is not taken by the leader.
        for (sender, why) in [("nobody", Reason::NotMember), ("lea", Reason::Echo)] {
            let sender = name(sender);
            let line = Line { sender: sender.by_ref(), ..line(millis + 20) };
            let frame = scheme(&*suite).data(&mut bench.rng, line, Port::Application, b"x").unwrap();
            assert_eq!(bench.refused(3, 0, &frame), Some(why));
        }
    }
}

/// Half of E2 remains: who joins has heard nothing yet, and may be played back what was said under the same key before, as long
/// as the window is. A policy that changes the key on every join ends that.
#[test]
fn a_newcomer_may_be_played_back_what_was_said_before() {
    for suite in both() {
        for rekeys in [false, true] {
            let mut config = VersionOneConfig { grace: Duration::ZERO, ..without(&suite, None) };
            if rekeys {
                config.policy.rekey_on = config.policy.rekey_on.with(sodality::event::Cause::Join);
            }
            let mut bench = Bench::new(&config, 3);
            (1..=2).for_each(|member| bench.join(member));
            bench.say(1, b"before your time");
            let recorded = bench.last("EN-1D", 0, 2);
            bench.join(3);
            let refused = if rekeys { Some(Reason::Forged) } else { None };
            assert_eq!(bench.refused(0, 3, &recorded), refused);
            bench.pass(SECOND * 121);
            assert!(bench.refused(0, 3, &recorded).is_some(), "the window is over");
        }
    }
}

/// E4 remains under DES-CBC: a flipped bit garbles one block and flips the same bit of the next, and data have nothing that
/// would show it. Keys neither: whoever meddles with EN-1N leaves a member with a key that nobody has, until the next one.
#[test]
fn a_flipped_bit_of_a_key() {
    for suite in both() {
        let des = suite.id() == des().id();
        let mut bench = Bench::joined(&without(&suite, None), 2);
        bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        let mut frames: Vec<_> = bench.take(0).into_iter().filter(|(_, to, _)| *to == 1).collect();
        let frame = &mut frames[0].2;
        assert_eq!(id_of(frame), "EN-1N");
        // The last three blocks are the number of the key; causes, length and half of the key; the other half and padding.
        // The first of them is garbled, and a bit of the key is flipped.
        let at = frame.len() - 24 + 4;
        frame[at] ^= 1;
        let frame = frame.clone();
        assert_eq!(bench.refused(0, 1, &frame), if des { None } else { Some(Reason::Forged) });
        let key = |bench: &Bench, of: usize| match of {
            0 => bench.leader().group_key().unwrap().secret().expose().to_vec(),
            member => bench.machine(member).group_key().unwrap().secret().expose().to_vec(),
        };
        let bits = |a: Vec<u8>, b: Vec<u8>| a.iter().zip(&b).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
        if des {
            assert_eq!(bits(key(&bench, 0), key(&bench, 1)), 1, "one bit of the key");
            assert_ne!(bench.machine(1).epoch(), bench.leader().epoch());
        }
        bench.settle();
        bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
        bench.settle();
        assert_eq!(bits(key(&bench, 0), key(&bench, 1)), 0, "the next one is right");
    }
}

/// The checks are independent: each attack names the one that stops it, and no session needs one of them off.
#[test]
fn sessions_run_without_each_check() {
    for off in CHECKS {
        let mut bench = Bench::joined(&without(&des(), Some(off)), 3);
        bench.say(1, b"hello");
        bench.member(2, |machine, cx| machine.leave(cx)).unwrap();
        bench.settle();
        assert!(bench.events_of(2).contains(&&Event::Ended(Ending::Left)));
        assert_eq!(bench.times(3, b"hello"), 1, "{off:?}");
    }
}
