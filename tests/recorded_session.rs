//! A session in the simulator, written to a file and read by the reference in Python with the long-term keys alone: every
//! frame is parsed; without an ephemeral exchange all that was said comes out, with one nothing does (S2).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/session_file.rs"]
mod session_file;

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use session_file::Session;
use sodality::crypto::{Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::group::{Check, Checks, Limits};
use sodality::policy::{Policy, Protection, Views};
use sodality::sim::star::{LEADER, Star, StarConfig};
use sodality::sim::{LinkConfig, Recorder, World, shared};
use sodality::wire::Edition;

const SEED: u64 = 2000;
const SAID: [&str; 3] = ["to the group, from m1", "to the group, from the leader", "without m2"];

/// The reader, if this machine can run it; else what is missing.
fn reader() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/read_session.py");
    let probe = Command::new("python3").args(["-c", "import cryptography"]).output();
    match probe {
        Err(error) => Err(format!("no python3: {error}")),
        Ok(probe) if !probe.status.success() => {
            Err("python3 has no package `cryptography` (pip install cryptography)".into())
        }
        Ok(_) => Ok(script),
    }
}

/// Runs a session and has it read. `None` if there is nobody to read it, which is said loudly.
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
    world.run_for(Duration::from_secs(7)).unwrap();
    world.with(star.members[1], |member, cx| member.leave(cx)).unwrap().unwrap();
    world.run_for(Duration::from_secs(7)).unwrap();
    star.say(&mut world, 0, SAID[2].as_bytes()).unwrap().unwrap();
    world.run_for(Duration::from_secs(2)).unwrap();
    assert_eq!(Star::heard(&world, star.leader, SAID[2].as_bytes()), 1);

    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.jsonl"));
    let session = Session { suite: suite.id(), edition: Edition::Repaired, keys: (&**suite, &[LEADER, "m1", "m2"]) };
    session_file::write(&path, &session, &world, &tape.borrow()).unwrap();
    match reader() {
        Ok(script) => {
            let output = Command::new("python3").arg(script).arg(&path).output().unwrap();
            println!(
                "{}: {}",
                path.display(),
                String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or("nothing")
            );
            Some(output)
        }
        Err(missing) => {
            println!("SKIPPED: {} is written and not read: {missing}", path.display());
            None
        }
    }
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
    assert!(SAID.iter().all(|text| !said.contains(text)), "{said}");
    for id in ["RA-J2", "RA-CL", "RA-CM", "RA-R", "RA-D"] {
        let opened = said.lines().any(|line| line.contains(&format!(" {id}: ")) && !line.contains(": shut: "));
        assert!(!opened, "{id} was opened\n{said}");
    }
}
