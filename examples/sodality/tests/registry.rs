//! The registry: what it keeps, who may read it, and what becomes of a damaged one.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use common::{ANYWHERE, Party, Scratch, complaint, mode};

#[test]
fn the_registry_keeps_what_it_is_told() {
    let scratch = Scratch::new("registry");
    scratch.register(&["ada"]);
    for file in ["reg", "lea.key", "ada.key"] {
        assert_eq!(mode(&scratch.path(file)), 0o600, "{file}");
    }
    let key = fs::read_to_string(scratch.path("ada.key")).unwrap();
    assert!(key.starts_with("sodality-key-1 ") && key.trim().len() == 15 + 64, "{key}");
    assert_ne!(key, fs::read_to_string(scratch.path("lea.key")).unwrap());
    let reg = |args: &[&str]| scratch.good(&[&["register", "--registry", "reg"], args].concat());
    assert_eq!(reg(&["--list"]), "member  enabled   ada\nleader  enabled   lea\n");
    reg(&["--disable", "ada"]);
    assert_eq!(reg(&["--list"]), "member  disabled  ada\nleader  enabled   lea\n");
    let json = reg(&["--list", "--json"]);
    assert!(json.contains("\"what\":\"principal\",\"name\":\"ada\",\"leader\":false,\"disabled\":true"), "{json}");
    assert!(!json.contains(&key[15..40]), "keys are not shown");

    let bad = |args: &[&str], status, words: &[&str]| {
        scratch.bad(&[&["register", "--registry", "reg"], args].concat(), status, words);
    };
    bad(&["ada"], 5, &["registered already", "--rotate"]);
    bad(&["bob", "--key-out", "ada.key"], 6, &["ada.key", "--key-out"]);
    bad(&["--rotate", "ada"], 6, &["ada.key", "--key-out"]);
    bad(&["--revoke", "bob"], 5, &["not registered", "--list"]);
    bad(&["a/b"], 2, &["--key-out"]);
    bad(&[""], 2, &["no name"]);
    assert_eq!(fs::read_to_string(scratch.path("ada.key")).unwrap(), key, "untouched");
    reg(&["--revoke", "ada"]);
    assert_eq!(reg(&["--list"]), "leader  enabled   lea\n", "what failed has changed nothing");
    scratch.bad(&["register", "--list", "--registry", "none"], 5, &["there is no registry"]);
    scratch.bad(&["register", "x", "--registry", "none/reg"], 6, &["--registry"]);
}

#[test]
fn many_register_at_once_and_none_is_lost() {
    let scratch = Scratch::new("at-once");
    let names: Vec<String> = (0..12).map(|number| format!("m{number:02}")).collect();
    let running: Vec<Child> = names
        .iter()
        .map(|name| scratch.command(&["register", name, "--registry", "reg"]).stdout(Stdio::null()).spawn().unwrap())
        .collect();
    for mut child in running {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let listed = scratch.good(&["register", "--list", "--registry", "reg"]);
    let expected: String = names.iter().map(|name| format!("member  enabled   {name}\n")).collect();
    assert_eq!(listed, expected);
    let left = fs::read_dir(&scratch.0).unwrap().count();
    assert_eq!(left, 13, "the registry and twelve keys, and nothing else");
}

/// Killed at any moment, a registration has happened or it has not.
#[test]
fn a_killed_registration_damages_nothing() {
    let scratch = Scratch::new("killed");
    scratch.register(&[]);
    let mut before = 1;
    for round in 0..25_u64 {
        let name = format!("m{round:02}");
        let args = ["register", &name, "--registry", "reg"];
        let mut child = scratch.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(700 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let listed = scratch.good(&["register", "--list", "--registry", "reg"]);
        let after = listed.lines().count();
        assert!(after == before || after == before + 1, "{listed}");
        assert!(after == before || scratch.path(&format!("{name}.key")).exists(), "no principal without its key");
        before = after;
    }
}

/// Whatever a damaged file holds: one line and a status, never a panic.
#[test]
fn a_damaged_registry_is_told_and_nothing_else() {
    let scratch = Scratch::new("damaged");
    scratch.register(&["ada"]);
    let whole = fs::read(scratch.path("reg")).unwrap();
    let mut pieces: Vec<(String, Vec<u8>)> = Vec::new();
    for length in [0, 1, 64, 320, 4096, 5000, whole.len() / 2, whole.len() - 1] {
        pieces.push((format!("{length} bytes of it"), whole[..length].to_vec()));
    }
    pieces.push(("other bytes".into(), b"no registry, a letter\n".repeat(1000)));
    pieces.push(("no bytes but zeroes".into(), vec![0; whole.len()]));
    let (mut refused, mut report) = (0, String::new());
    for (what, bytes) in &pieces {
        fs::write(scratch.path("reg"), bytes).unwrap();
        for args in [&["register", "--list", "--registry", "reg"][..], &["register", "x", "--registry", "reg"]] {
            let output = scratch.run(args);
            let code = output.status.code();
            writeln!(report, "{what}: {code:?} {}", String::from_utf8_lossy(&output.stderr).trim_end()).unwrap();
            assert_eq!(code, Some(5), "{report}");
            assert!(complaint(&output.stderr).contains("reg: is no registry or is damaged"), "{report}");
            refused += 1;
        }
        scratch.bad(
            &["ttp", "--registry", "reg", "--listen", "127.0.0.1:0"],
            5,
            &["reg: is no registry or is damaged"],
        );
        assert!(fs::read(scratch.path("reg")).unwrap() == *bytes, "{what}: it is left as it was");
    }
    assert_eq!(refused, 2 * pieces.len());
    assert!(!scratch.path("x.key").exists(), "no key without its principal");
    // A few bytes that are others: it is told, or they were of no importance.
    let mut seed = 0x5eed_0001_u32;
    for _ in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..8 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = seed as usize % bytes.len().min(16 << 10);
            bytes[at] ^= 1 << (seed >> 29);
        }
        fs::write(scratch.path("reg"), &bytes).unwrap();
        let output = scratch.run(&["register", "--list", "--registry", "reg"]);
        match output.status.code() {
            Some(0) => assert_eq!(output.stderr, b""),
            Some(5) => drop(complaint(&output.stderr)),
            other => panic!("{other:?} {seed:#x} {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
    fs::write(scratch.path("reg"), &whole).unwrap();
    scratch.good(&["register", "x", "--registry", "reg"]);
}

/// The third party need not be told of anything: each look-up sees what is there.
#[test]
fn a_third_party_serves_several_groups_while_the_registry_changes() {
    let scratch = Scratch::new("live");
    let names: Vec<String> = (0..8).map(|number| format!("m{number}")).collect();
    scratch.register(&names.iter().map(String::as_str).collect::<Vec<_>>());
    scratch.good(&["register", "max", "--leader", "--registry", "reg"]);
    let mut ttp = scratch.ttp();
    let ttp_at = ttp.address();
    let mut lea = scratch.lead(&ttp_at, &[]);
    let args = Scratch::lead_args("max", "max.key", &ttp_at, ANYWHERE, &[]);
    let mut max = Party::start(&scratch, &args);
    let places = [("lea", lea.address()), ("max", max.address())];

    // Everybody joins both groups while others are registered, one after the other.
    let mut members = Vec::new();
    thread::scope(|scope| {
        let changes = scope.spawn(|| {
            for number in 0..20 {
                scratch.good(&["register", &format!("x{number:02}"), "--registry", "reg"]);
            }
        });
        for name in &names {
            let key = format!("{name}.key");
            for (leader, at) in &places {
                let args = ["join", name, "--leader", leader, "--app", "tea", "--key", &key, "--at", at, "--json"];
                let out = format!("in-{name}-{leader}");
                members.push(Party::start(&scratch, &[&args[..], &["--out", &out]].concat()));
            }
        }
        for member in &mut members {
            member.sees("joined", "");
        }
        changes.join().unwrap();
    });
    assert_eq!(scratch.good(&["register", "--list", "--registry", "reg"]).lines().count(), 30);
    let mut vouched = 0;
    while vouched < members.len() {
        ttp.sees("vouched", "");
        vouched += 1;
    }
    assert!(!ttp.seen.iter().any(|line| line.contains("registry-error")), "{:#?}", ttp.seen);

    // What is changed holds for the next join, and touches nobody who is in.
    let change = |args: &[&str]| drop(scratch.good(&[&["register", "--registry", "reg"], args].concat()));
    change(&["--revoke", "m0"]);
    change(&["--disable", "m2"]);
    change(&["--rotate", "lea", "--key-out", "lea2.key"]);
    members[0].type_line("still here");
    lea.sees("heard", "still here");
    members[4].type_line("here as well");
    lea.sees("heard", "here as well");
    members[0].type_line("/leave");
    lea.sees("member-removed", "\"name\":\"m0\"");
    let join = |name: &str, leader: &str, at: &str, why: &str| {
        let key = format!("{name}.key");
        let args = ["join", name, "--leader", leader, "--app", "tea", "--key", &key, "--at", at, "--wait", "2"];
        scratch.bad(&args, 4, &["did not answer", why]);
    };
    let [(_, lea_at), (_, max_at)] = &places;
    join("m0", "max", max_at, "name and key");
    max.sees("not-vouched", "not registered");
    join("m2", "max", max_at, "name and key");
    max.sees("not-vouched", "disabled");
    // The key of a leader has changed under it: it opens no joins until it is started with the new one.
    join("x00", "lea", lea_at, "its third party");
    let mut x00 = Party::start(
        &scratch,
        &["join", "x00", "--leader", "max", "--app", "tea", "--key", "x00.key", "--at", max_at, "--json"],
    );
    x00.sees("joined", "");
    change(&["--disable", "max"]);
    x00.type_line("a word");
    max.sees("heard", "a word");
    join("x01", "max", max_at, "its third party");
    change(&["--enable", "max"]);
    let args = ["join", "x01", "--leader", "max", "--app", "tea", "--key", "x01.key", "--at", max_at, "--json"];
    Party::start(&scratch, &args).sees("joined", "");
}
