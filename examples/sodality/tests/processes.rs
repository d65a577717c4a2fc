//! Each party a process of its own, on loopback, driven as a user drives it: by what is typed and what is shown.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::{Party, QUICK, Scratch, complaint, field, interrupt, number, sha256};

#[test]
fn a_group_of_four_processes() {
    let scratch = Scratch::new("group");
    fs::write(scratch.path("quick.toml"), QUICK).unwrap();
    scratch.register(&["ada", "bob"]);
    let mut ttp = scratch.ttp();
    let mut lea = scratch.lead(&ttp.address(), &["--policy", "quick.toml"]);
    let at = lea.address();
    lea.sees("joined", "");

    let mut ada = scratch.join("ada", &at, &[]);
    ada.sees("joined", "");
    let mut bob = scratch.join("bob", &at, &[]);
    bob.sees("joined", "");
    ttp.sees("vouched", "\"member\":\"bob\"");
    ada.sees("member-added", "\"name\":\"bob\"");
    lea.sees("member-added", "\"name\":\"bob\"");

    // Chat, in both directions.
    thread::sleep(Duration::from_millis(300));
    ada.type_line("good day \"all\"");
    for party in [&mut lea, &mut bob] {
        let line = party.sees("heard", "good day");
        assert_eq!(field(&line, "from"), "ada");
        assert!(line.contains("\"signed\":true") && line.contains("good day \\\"all\\\""), "{line}");
    }
    lea.type_line("and to you");
    ada.sees("heard", "and to you");
    // To one alone, and to the leader.
    ada.type_line("/gossip bob,lea the list is with me");
    for party in [&mut lea, &mut bob] {
        assert_eq!(field(&party.sees("gossip", "the list is with me"), "from"), "ada");
    }
    assert_eq!(field(&ada.sees("gossip-sent", "bob,lea"), "missed"), "");
    lea.type_line("/gossip bob only bob has this");
    assert_eq!(field(&bob.sees("gossip", "only bob has this"), "from"), "lea");
    bob.type_line("/who");
    bob.sees("who", "\"name\":\"ada\"");
    bob.type_line("/status");
    let status = bob.sees("status", "");
    assert!(status.contains("\"members\":3") && status.contains("\"current\":true"), "{status}");
    assert!(number(&status, "evidence_ms") <= 1_100 && number(&status, "links") == 1, "{status}");
    // The same policy at both ends, as the file says it.
    for party in [&mut lea, &mut bob] {
        party.type_line("/policy");
        let policy = party.sees("policy", "\"protection\":\"both\"");
        assert_eq!((field(&policy, "views"), field(&policy, "eject_requests")), ("exact", "refused"));
        assert_eq!(
            (number(&policy, "grace_ms"), number(&policy, "period_ms"), number(&policy, "misses")),
            (200, 200, 3)
        );
    }
    // The leader knows how each member is.
    lea.type_line("/status");
    let status = lea.sees("status", "");
    assert_eq!((number(&status, "members"), number(&status, "links")), (3, 3), "two members and the third party");
    for name in ["ada", "bob"] {
        let member = lea.sees("member", &format!("\"name\":\"{name}\""));
        assert!(
            number(&member, "epoch") == number(&status, "epoch") && number(&member, "silent_ms") < 60_000,
            "{member}"
        );
    }
    bob.type_line("/rekey");
    bob.sees("error", "only the leader");
    bob.type_line("/send none");
    bob.sees("error", "no such file");

    // A new key, asked for.
    lea.type_line("/rekey");
    ada.sees("installed", "asked for");

    // A file, to all.
    let file: Vec<u8> = (0..3_000_001_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    fs::write(scratch.path("a file.bin"), &file).unwrap();
    ada.type_line("/send a file.bin");
    let digest = field(&ada.sees("offers", "a file.bin"), "sha256").to_owned();
    assert_eq!(digest, sha256(&file));
    for (party, name) in [(&mut lea, "lea"), (&mut bob, "bob")] {
        assert_eq!(field(&party.sees("stored", "a file.bin"), "sha256"), digest, "{name}");
        assert_eq!(sha256(&fs::read(scratch.path(&format!("received-{name}/a file.bin"))).unwrap()), digest, "{name}");
    }
    ada.sees("delivered", "a file.bin");

    // A second time it is declined: nothing is overwritten.
    ada.type_line("/send a file.bin");
    bob.sees("declines", "exists already");

    // A member dies, and joins again under its name: a takeover, or a failure that was noticed before.
    bob.kill();
    let mut bob = scratch.join("bob", &at, &[]);
    bob.sees("joined", "");
    lea.sees("member-removed", "\"name\":\"bob\"");
    lea.sees("member-added", "\"name\":\"bob\"");
    thread::sleep(Duration::from_millis(300));
    bob.type_line("here again");
    ada.sees("heard", "here again");

    // A member leaves.
    bob.type_line("/leave");
    bob.sees("left", "\"confirmed\":true");
    assert_eq!(bob.ends(), (Some(0), String::new()));
    let removed = lea.sees("member-removed", "\"name\":\"bob\"");
    assert_eq!(field(&removed, "cause"), "leave");
    assert_eq!(field(&removed, "code"), "cause.leave");
    let mut bob = scratch.join("bob", &at, &[]);
    bob.sees("joined", "");

    // The leader dies: the members notice within the policy's bound, here (3 + 1) · 200 ms and one round trip.
    let mut cyd = scratch.join("bob", &at, &["--rejoin"]);
    cyd.sees("joined", "");
    let (status, said) = bob.ends();
    assert_eq!(status, Some(1));
    assert!(complaint(said.as_bytes()).contains("joined under this name"), "{said}");
    lea.kill();
    let killed = Instant::now();
    ada.sees("stale", "");
    ada.sees("ended", "\"code\":\"ended.leader-lost\"");
    assert!(killed.elapsed() < Duration::from_secs(8), "{:?}", killed.elapsed());
    let (status, said) = ada.ends();
    assert_eq!(status, Some(4));
    assert!(complaint(said.as_bytes()).contains("lea was lost"), "{said}");

    // Who wants to joins again, as soon as there is a leader at that address.
    cyd.sees("rejoins", "lea was lost");
    let ttp_at = field(&ttp.seen[0], "address").to_owned();
    let args = Scratch::lead_args("lea", "lea.key", &ttp_at, &at, &[]);
    let mut lea = Party::start(&scratch, &args);
    cyd.sees("joined", "");
    lea.sees("member-added", "\"name\":\"bob\"");

    // An interrupt is a leave.
    interrupt(&cyd.child);
    let (status, said) = cyd.ends();
    assert_eq!(status, Some(130), "{said}");
    lea.sees("member-removed", "\"cause\":\"leave\"");
    lea.type_line("/quit");
    assert_eq!(lea.ends(), (Some(0), String::new()));
    interrupt(&ttp.child);
    assert_eq!(ttp.ends().0, Some(130));
}

/// The lines of the README, as they stand but for the addresses.
#[test]
fn the_readme_makes_a_group() {
    let scratch = Scratch::new("readme");
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let password = scratch.path("ada.password");
    fs::write(&password, "the long password of ada\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let mut ttp: Option<(Party, String)> = None;
    let mut lea: Option<(Party, String)> = None;
    let mut joined = 0;
    for line in readme.lines().filter_map(|line| line.strip_prefix("sodality ")) {
        let words = line.split_once('#').map_or(line, |(line, _)| line).split_whitespace();
        let address = |party: &Option<(Party, String)>| party.as_ref().unwrap().1.clone();
        let words: Vec<String> = words
            .map(|word| match word {
                "0.0.0.0:7400" | "0.0.0.0:7401" => "127.0.0.1:0".to_owned(),
                "ttp.example:7400" => address(&ttp),
                "lea.example:7401" => address(&lea),
                other => other.to_owned(),
            })
            .chain(["--json".to_owned()])
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let "register" | "user" = words[0] {
            scratch.good(&words);
            continue;
        }
        let mut party = Party::start(&scratch, &words);
        if words[0] == "join" {
            party.sees("joined", "");
            joined += 1;
            continue;
        }
        let address = party.address();
        *if words[0] == "ttp" { &mut ttp } else { &mut lea } = Some((party, address));
    }
    assert_eq!(joined, 2, "one of Antigone, one of Enclaves");
}
