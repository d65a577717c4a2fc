//! Groups of Enclaves, each party a process of its own: users by passwords and keys, private messages, and what is refused.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use common::enclaves::{join, join_args, lead, lead_args, user, write_secret};
use common::{ANYWHERE, Party, Scratch, complaint, field, number, set_mode, sha256};

#[test]
fn a_group_by_passwords_and_keys() {
    let scratch = Scratch::new("enclaves");
    user(&scratch, "ada");
    user(&scratch, "bob");
    let shown = scratch.good(&["user", "cyd", "--users", "users", "--leader", "lea", "--json"]);
    common::page::check(shown.trim());
    assert_eq!((field(&shown, "by"), field(&shown, "key_file")), ("key", "cyd.key"));
    for file in ["users", "cyd.key"] {
        assert_eq!(fs::metadata(scratch.path(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let users = fs::read_to_string(scratch.path("users")).unwrap();
    assert!(users.starts_with("sodality-users-1 lea\n") && !users.contains("password"), "{users}");

    let mut lea = lead(&scratch, &[]);
    let at = lea.address();
    let mut ada = join(&scratch, "ada", &at);
    // A password may be typed; what follows is said once the group is there.
    let mut bob = Party::start(&scratch, &join_args("bob", &at, &["--password", "-"], &[]));
    bob.give_line("the long password of bob");
    bob.sees("joined", "");
    let mut cyd = Party::start(&scratch, &join_args("cyd", &at, &["--key", "cyd.key"], &[]));
    cyd.sees("joined", "");
    for party in [&mut lea, &mut ada, &mut bob] {
        party.sees("member-added", "\"name\":\"cyd\"");
    }
    std::thread::sleep(common::group::SETTLED);

    ada.type_line("good day");
    for party in [&mut lea, &mut bob, &mut cyd] {
        let line = party.sees("heard", "good day");
        assert!(field(&line, "from") == "ada" && line.contains("\"signed\":true"), "{line}");
    }
    ada.type_line("/policy");
    ada.sees("policy", "\"protection\":\"both\"");
    bob.type_line("/status");
    let status = bob.sees("status", "repaired Enclaves");
    assert!(status.contains("\"members\":4") && status.contains("\"current\":true"), "{status}");
    lea.type_line("/status");
    let member = lea.sees("member", "\"name\":\"cyd\"");
    assert!(number(&member, "epoch") > 0, "{member}");

    // To two alone, of whom one leads.
    ada.type_line("/gossip bob,lea the list is with me");
    for party in [&mut lea, &mut bob] {
        assert_eq!(field(&party.sees("gossip", "the list is with me"), "from"), "ada");
    }
    ada.sees("gossips", "\"to\":\"bob,lea\"");
    assert_eq!(field(&ada.sees("gossip-sent", "bob,lea"), "missed"), "");
    lea.type_line("/gossip cyd only cyd has this");
    cyd.sees("gossip", "only cyd has this");
    ada.type_line("/gossip bob,eve nobody gets this");
    ada.sees("error", "eve not in the group");
    ada.type_line("/gossip bob");
    ada.sees("error", "/gossip needs names");
    ada.type_line("/gossip ada to myself");
    ada.sees("error", "not said");

    // A file, to all.
    let file: Vec<u8> = (0..700_001_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    fs::write(scratch.path("file.bin"), &file).unwrap();
    ada.type_line("/send file.bin");
    for (party, name) in [(&mut lea, "lea"), (&mut bob, "bob"), (&mut cyd, "cyd")] {
        assert_eq!(field(&party.sees("stored", "file.bin"), "sha256"), sha256(&file), "{name}");
    }

    // A leave, an ejection, and a leader that dies.
    bob.type_line("/leave");
    bob.sees("left", "\"confirmed\":true");
    assert!(!bob.seen.iter().any(|line| line.contains("only cyd has this") || line.contains("nobody gets this")));
    assert_eq!(bob.ends(), (Some(0), String::new()));
    assert_eq!(field(&lea.sees("member-removed", "\"name\":\"bob\""), "cause"), "leave");
    lea.type_line("/eject cyd");
    let (status, said) = cyd.ends();
    assert_eq!(status, Some(3));
    assert!(said.contains("has put this member out") && said.contains("[end.ejected]"), "{said}");
    ada.sees("member-removed", "\"name\":\"cyd\"");
    lea.kill();
    ada.sees("stale", "");
    let (status, said) = ada.ends();
    assert_eq!(status, Some(4));
    assert!(said.contains("lea was lost") && said.contains("[ended.leader-lost]"), "{said}");
}

#[test]
fn who_is_not_let_in_is_told_what_may_be_wrong() {
    let scratch = Scratch::new("enclaves-out");
    user(&scratch, "ada");
    user(&scratch, "bob");
    let mut lea = lead(&scratch, &["--allow", "ada"]);
    let at = lea.address();
    write_secret(&scratch, "wrong", "another password");
    let short = ["--wait", "2"];
    let bad = |name: &str, secret: &[&str], status, words: &[&str]| {
        scratch.bad(&join_args(name, &at, secret, &short), status, words);
    };
    bad("ada", &["--password", "wrong"], 4, &["the password may be wrong", "[join.timeout]"]);
    // A name that nobody has looks the same.
    bad("eve", &["--password", "wrong"], 4, &["the password may be wrong", "[join.timeout]"]);
    scratch.good(&["user", "cyd", "--users", "others", "--leader", "lea"]);
    bad("ada", &["--key", "cyd.key"], 4, &["the key may be wrong", "[join.timeout]"]);
    bad("bob", &["--password", "bob.password"], 3, &["lea refuses", "the leader does not admit it"]);
    // All that ends nobody: who is let in is let in.
    let mut ada = join(&scratch, "ada", &at);
    ada.type_line("/leave");
    ada.sees("left", "\"confirmed\":true");
    lea.type_line("/quit");
    assert_eq!(lea.ends(), (Some(0), String::new()));
}

#[test]
fn what_cannot_be_used_is_said_in_one_line() {
    let scratch = Scratch::new("enclaves-bad");
    user(&scratch, "ada");
    let users = ["--users", "users", "--leader", "lea"];
    let bad_user = |args: &[&str], status, words: &[&str]| {
        scratch.bad(&[&["user"], args, &users[..]].concat(), status, words);
    };
    bad_user(&["ada"], 5, &["ada is a user", "--replace"]);
    bad_user(&["eve", "--replace"], 5, &["eve is no user"]);
    bad_user(&["eve", "--remove"], 5, &["eve is no user"]);
    bad_user(&["lea"], 2, &["different names"]);
    bad_user(&["eve", "--password", "none"], 5, &["none: there is no such password"]);
    write_secret(&scratch, "empty", "\n");
    bad_user(&["eve", "--password", "empty"], 5, &["1 to 1024 bytes"]);
    write_secret(&scratch, "long", &"x".repeat(1025));
    bad_user(&["eve", "--password", "long"], 5, &["1 to 1024 bytes"]);
    write_secret(&scratch, "two", "a\nb\n");
    bad_user(&["eve", "--password", "two"], 5, &["several lines"]);
    set_mode(&scratch.path("two"), 0o644);
    bad_user(&["eve", "--password", "two"], 5, &["chmod 600 two"]);
    scratch.bad(&["user", "eve", "--users", "users", "--leader", "other"], 5, &["has the users of lea, not of other"]);
    fs::write(scratch.path(".users.new"), "").unwrap();
    bad_user(&["ada", "--remove"], 6, &[".users.new"]);
    fs::remove_file(scratch.path(".users.new")).unwrap();
    assert!(!scratch.path("eve.key").exists(), "no key for nobody");

    // What is of one system is not of the other.
    scratch.bad(&lead_args(&["--ttp", "127.0.0.1:1"]), 2, &["--ttp"]);
    scratch.bad(&lead_args(&["--key", "k"]), 2, &["--key"]);
    scratch.bad(&lead_args(&["--edition", "as-published"]), 2, &["of Antigone"]);
    scratch.bad(&lead_args(&["--published", "join", "--as-published"]), 2, &["--published"]);
    let other = ["lead", "other", "--system", "enclaves", "--app", "tea", "--listen", ANYWHERE];
    scratch.bad(&other, 2, &["--users"]);
    scratch.bad(&[&other[..], &["--users", "users"]].concat(), 5, &["has the users of lea, not of other"]);
    scratch.bad(&[&other[..], &["--users", "none"]].concat(), 5, &["none: there is no such file"]);
    scratch.bad(&["lead", "lea", "--app", "tea", "--key", "k", "--listen", ANYWHERE], 2, &["--ttp"]);
    scratch.bad(&["lead", "lea", "--app", "tea", "--users", "users", "--listen", ANYWHERE], 2, &["--ttp"]);
    scratch.bad(&join_args("ada", ANYWHERE, &[], &[]), 2, &["--password"]);
    let antigone = ["join", "ada", "--leader", "lea", "--app", "tea", "--at", ANYWHERE, "--password", "ada.password"];
    scratch.bad(&antigone, 2, &["--system enclaves"]);

    // A file that was mended by hand, and wrongly.
    let good = fs::read_to_string(scratch.path("users")).unwrap();
    fs::write(scratch.path("users"), good.replace("sodality-key-1", "sodality-key-2")).unwrap();
    scratch.bad(&lead_args(&[]), 5, &["users:2:", "does not begin with a key"]);
    set_mode(&scratch.path("users"), 0o640);
    scratch.bad(&lead_args(&[]), 5, &["chmod 600 users"]);
}

/// The same name gets another password, and is removed: both hold for the next leader.
#[test]
fn users_change() {
    let scratch = Scratch::new("enclaves-users");
    user(&scratch, "ada");
    user(&scratch, "bob");
    let before = fs::read_to_string(scratch.path("users")).unwrap();
    let users = ["--users", "users", "--leader", "lea", "--json"];
    write_secret(&scratch, "new", "another password");
    let shown = scratch.good(&[&["user", "ada", "--replace", "--password", "new"], &users[..]].concat());
    common::page::check(shown.trim());
    let shown = scratch.good(&[&["user", "bob", "--remove"], &users[..]].concat());
    common::page::check(shown.trim());
    let after = fs::read_to_string(scratch.path("users")).unwrap();
    assert_eq!((before.lines().count(), after.lines().count()), (3, 2));
    assert_ne!(before.lines().nth(1), after.lines().nth(1));
    // The same password again is the same key again: whoever types it on another machine has it too.
    scratch.good(&[&["user", "ada", "--replace", "--password", "ada.password"], &users[..]].concat());
    let again = fs::read_to_string(scratch.path("users")).unwrap();
    assert_eq!(before.lines().nth(1), again.lines().nth(1));
    // A key to the standard output, and nothing else.
    let key = scratch.good(&["user", "cyd", "--users", "users", "--leader", "lea", "--key-out", "-"]);
    assert!(key.starts_with("sodality-key-1 ") && key.trim().len() == 15 + 64, "one line");
    assert!(fs::read_to_string(scratch.path("users")).unwrap().contains(&format!("{} cyd\n", key.trim())));
}

#[test]
fn the_demo_has_no_third_party() {
    let scratch = Scratch::new("enclaves-demo");
    let mut command = scratch.command(&["demo", "--system", "enclaves", "--json", "--out", "out"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    shown.lines().for_each(common::page::check);
    let line = |what: &str, word: &str| {
        let of = format!("\"what\":\"{what}\"");
        shown
            .lines()
            .find(|line| line.contains(&of) && line.contains(word))
            .unwrap_or_else(|| panic!("{what}: {shown}"))
    };
    assert!(!shown.contains("vouch"), "{shown}");
    assert_eq!(number(line("users", ""), "count"), 4);
    // Cyd said it, ada has it, and nobody else.
    assert_eq!(field(line("gossip", ""), "who"), "ada");
    assert_eq!(field(line("whispered", ""), "members"), "ada");
    assert_eq!(shown.lines().filter(|line| line.contains("\"what\":\"arrival\"")).count(), 7);
    for id in ["EN-R1", "EN-R4", "EN-R9", "EN-R10"] {
        line("seen", &format!("\"id\":\"{id}\""));
    }
    let search = line("search", "");
    assert!(number(search, "found") == 0 && number(search, "control") > 0, "{search}");
    for who in ["bob", "dan"] {
        let gone = line("keyless", &format!("\"name\":\"{who}\""));
        assert!(number(gone, "frames") > 0 && number(gone, "opened") == 0, "{gone}");
    }
    for who in ["ada", "cyd"] {
        let noticed = line("noticed", &format!("\"member\":\"{who}\""));
        assert!(number(noticed, "stale_micros") < number(noticed, "lost_micros"), "{noticed}");
    }
    line("result", "\"ok\":true");
    // For people too.
    let shown = scratch.good(&["demo", "--system", "enclaves", "--out", "out", "--force"]);
    for part in ["repaired Enclaves", "cyd     says to ada alone", "Who has read what cyd said to ada alone", "EN-R9"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(complaint(&scratch.run(&["demo", "--system", "enclaves", "--out", "out"]).stderr).lines().count(), 1);
}
