//! A session in the simulator, written to a file and read by the reference in Python with the long-term keys alone: every
//! frame is parsed; without an ephemeral exchange all that was said comes out, with one nothing does (S2).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/session_file.rs"]
mod session_file;

use core::time::Duration;
use std::process::Output;
use std::sync::Arc;

use serde_json::Value;
use session_file::{Session, read};
use sodality::crypto::{Suite, SuiteId, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::event::Port;
use sodality::group::{Check, Checks, Limits};
use sodality::identity::MemberId;
use sodality::policy::{Policy, Protection, Views};
use sodality::sim::star::{LEADER, Star, StarConfig};
use sodality::sim::{LinkConfig, Recorder, World, shared};

const SEED: u64 = 2000;
const SAID: [&str; 3] = ["to the group, from m1", "to the group, from the leader", "without m2"];
const PRIVATE: [&str; 2] = ["to m2 and the leader alone", "to m1 alone, from the leader"];

/// Runs a session of the repaired edition and has it read.
fn read_back(name: &str, suite: &Arc<dyn Suite>, policy: Policy, multicast: bool) -> Option<Output> {
    let mut world = World::new(SEED);
    let tape = shared(Recorder::default());
    world.set_adversary(tape.clone());
    let multicast = multicast.then(|| LinkConfig::DATAGRAM.max_frame(65_536));
    // A member offers a share whatever the policy says, since it does not know it yet.
    let checks = if policy.ephemeral { Checks::ALL } else { Checks::ALL.without(Check::Ephemeral) };
    let limits = Limits { checks, ..Limits::default() };
    let config = StarConfig { policy, multicast, limits, ..StarConfig::new(suite.clone()) };
    let star = Star::add(&mut world, config, 2).unwrap();
    star.join_all(&mut world, Duration::from_secs(60)).unwrap();
    world.run_for(Duration::from_secs(10)).unwrap();
    star.say(&mut world, 0, SAID[0].as_bytes()).unwrap().unwrap();
    star.say(&mut world, usize::MAX, SAID[1].as_bytes()).unwrap().unwrap();
    let [one, other] = [0, 1].map(|at| world.get(star.members[at]).unwrap().cid().unwrap());
    let (text, to) = (PRIVATE[0].as_bytes(), [other, MemberId::LEADER]);
    world.with(star.members[0], |m1, cx| m1.say_privately(cx, &to, Port::Application, text)).unwrap().unwrap();
    let text = PRIVATE[1].as_bytes();
    world.with(star.leader, |lea, cx| lea.say_privately(cx, &[one], Port::Application, text)).unwrap().unwrap();
    world.run_for(Duration::from_secs(7)).unwrap();
    world.with(star.members[1], |member, cx| member.leave(cx)).unwrap().unwrap();
    world.run_for(Duration::from_secs(7)).unwrap();
    star.say(&mut world, 0, SAID[2].as_bytes()).unwrap().unwrap();
    world.run_for(Duration::from_secs(2)).unwrap();
    assert_eq!(Star::heard(&world, star.leader, SAID[2].as_bytes()), 1);

    let names = [LEADER, "m1", "m2"];
    let parts = (suite.id(), "repaired");
    read(name, &Session::of_world(parts, (&**suite, &names), &world, &tape.borrow()))
}

fn policy(ephemeral: bool) -> Policy {
    Policy { ephemeral, ..Policy::default() }
}

#[test]
fn long_term_keys_open_sessions_without_an_ephemeral_exchange() {
    let plain = policy(false);
    let unsigned = Policy { origin: false, views: Views::WithEachKey, ..plain.clone() };
    let hidden = Policy { views: Views::Hidden, origin: false, protection: Protection::Integrity, ..plain.clone() };
    let best_effort = Policy { views: Views::BestEffort, ..plain.clone() };
    for (name, suite, policy, multicast) in [
        ("plain", aes_128_gcm(), plain, false),
        ("unsigned", aes_256_gcm(), unsigned, false),
        ("hidden", chacha20_poly1305(), hidden, false),
        ("best-effort", aes_128_gcm(), best_effort, true),
    ] {
        let Some(output) = read_back(name, &suite, policy, multicast) else { continue };
        let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{name}: {said}\n{complaints}");
        for (from, text) in [("m1", SAID[0]), (LEADER, SAID[1]), ("m1", SAID[2])] {
            assert!(said.contains(&format!("said: {from}: '{text}'")), "{name}: {text:?} did not come out\n{said}");
        }
        for (from, text) in [("m1", PRIVATE[0]), (LEADER, PRIVATE[1])] {
            let word = format!("said: {from}, to some alone,: '{text}'");
            assert!(said.contains(&word), "{name}: {text:?} did not come out\n{said}");
        }
        let read = said.lines().filter(|line| line.contains(" → ")).count();
        assert!(read > 30 && said.contains(&format!("{read} opened, 0 shut, 0 wrong")), "{name}: {said}");
        assert_eq!(said.contains(" RA-H: heartbeat"), multicast, "{name}");
    }
}

#[test]
fn long_term_keys_open_nothing_after_an_ephemeral_exchange() {
    let Some(output) = read_back("ephemeral", &aes_128_gcm(), policy(true), false) else { return };
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("shut: lea and m1 made the keys of this session by an ephemeral exchange"), "{said}");
    assert!(said.contains("the long-term keys do not open it") && said.contains(", 0 wrong"), "{said}");
    assert!(SAID.iter().chain(&PRIVATE).all(|text| !said.contains(text)), "{said}");
    for id in ["RA-J2", "RA-CL", "RA-CM", "RA-R", "RA-D", "RA-P"] {
        let opened = said.lines().any(|line| line.contains(&format!(" {id}: ")) && !line.contains(": shut: "));
        assert!(!opened, "{id} was opened\n{said}");
    }
}

/// The vectors of the published edition are a session too: a join, keys, beats, data, a leave. The long-term keys open all
/// of it, whatever the suite.
#[test]
fn long_term_keys_open_everything_as_published() {
    let vectors = include_str!("vectors/antigone.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let bytes = |value: &Value| -> Vec<u8> {
        let digits = value.as_str().unwrap().strip_prefix("0x").unwrap();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    };
    for suite in [SuiteId::DES_MD5_RSA, SuiteId::AES_128_GCM, SuiteId::AES_256_GCM, SuiteId::CHACHA20_POLY1305] {
        let all = vectors["vectors"].as_array().unwrap().iter();
        let own = all.filter(|vector| vector["edition"] == "published" && vector["suite"] == suite.0);
        let keys = own.clone().filter(|vector| vector["id"] == "I-8").map(|vector| {
            let inputs = &vector["inputs"];
            (inputs["name"].as_str().unwrap(), bytes(&inputs["long_term"]))
        });
        let mut session = Session::new(suite, "published", keys);
        let frames: Vec<_> = own.filter(|vector| vector["id"].as_str().unwrap().starts_with("AN-")).collect();
        for (at, vector) in frames.iter().enumerate() {
            session.frame(at as u64, "somebody", "somebody", &bytes(&vector["bytes"]));
        }
        let Some(output) = read(&format!("published-{}", suite.0), &session) else { continue };
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(&format!("{} opened, 0 shut, 0 wrong", frames.len())), "{said}");
        for id in ["AN-Di", "AN-Dc", "AN-Db", "AN-Dn"] {
            assert!(said.contains(&format!("{id}: ada says 'hello, all'")), "{id}: {said}");
        }
        assert!(said.contains("AN-L: ada leaves") && said.contains("AN-L: ada asks that bob go"), "{said}");
        // A reader that takes everything would pass this too: one bit of a digest turned is noticed.
        let digested = frames.iter().rfind(|vector| vector["id"] == "AN-Di").unwrap();
        let mut forged = bytes(&digested["bytes"]);
        *forged.last_mut().unwrap() ^= 1;
        session.frame(99, "somebody", "somebody", &forged);
        let output = read(&format!("published-{}-forged", suite.0), &session).unwrap();
        assert!(output.status.code() == Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
