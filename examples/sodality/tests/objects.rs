//! Shared objects of repaired Enclaves, from the command line: who may do what, and what is said where something is missing.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

mod common;

use std::fs;

use common::enclaves::{POLICY, join_with, lead_args, user};
use common::{Party, Scratch, field, number, payload};

/// Ada changes the plan, everybody else reads it; nobody but the leader has anything of the diary.
const OBJECTS: &str =
    "[objects.plan]\neverybody = \"read\"\nsize = 4096\nmembers = { ada = \"change\" }\n[objects.diary]\n";

/// It is told what it may do with the plan: before it is told that it is in, or after.
fn has_right(party: &mut Party, right: &str) {
    let word = format!("\"right\":\"{right}\"");
    let told = |line: &String| line.contains("\"what\":\"object-right\"") && line.contains(&word);
    if !party.seen.iter().any(told) {
        party.sees("object-right", &word);
    }
}

#[test]
fn objects_are_changed_fetched_and_refused() {
    let scratch = Scratch::new("objects");
    user(&scratch, "ada");
    user(&scratch, "bob");
    fs::write(scratch.path("policy.toml"), format!("{POLICY}{OBJECTS}")).unwrap();
    let mut lea = Party::start(&scratch, &lead_args(&["--policy", "policy.toml"]));
    let at = lea.address();
    let mut ada = join_with(&scratch, "ada", &at, &[]);
    let mut bob = join_with(&scratch, "bob", &at, &["--force"]);
    for party in [&mut lea, &mut ada] {
        party.sees("member-added", "\"name\":\"bob\"");
    }

    for (party, right) in [(&mut ada, "change"), (&mut bob, "read")] {
        has_right(party, right);
    }
    bob.type_line("/get plan");
    bob.sees("error", "holds nothing yet");
    let first = payload(3000);
    fs::write(scratch.path("first.txt"), &first).unwrap();
    ada.type_line("/put plan first.txt");
    assert_eq!(number(&ada.sees("puts", "plan"), "size"), 3000);
    let version = number(&ada.sees("put-taken", "plan"), "version");
    for party in [&mut lea, &mut bob] {
        let changed = party.sees("object-changed", "plan");
        assert!(field(&changed, "by") == "ada" && number(&changed, "version") == version, "{changed}");
    }
    bob.type_line("/get plan");
    let got = bob.sees("got", "plan");
    assert_eq!((number(&got, "version"), number(&got, "size"), field(&got, "by")), (version, 3000, "ada"));
    assert_eq!(fs::read(scratch.path("received-bob/plan")).unwrap(), first);

    // The leader keeps all objects, and may change each.
    fs::write(scratch.path("second.txt"), "at noon, in the reading room").unwrap();
    lea.type_line("/put plan second.txt");
    lea.sees("put-taken", "plan");
    let changed = bob.sees("object-changed", "plan");
    assert!(number(&changed, "version") > version && field(&changed, "by") == "lea", "{changed}");
    bob.type_line("/get plan");
    bob.sees("got", "plan");
    assert_eq!(fs::read_to_string(scratch.path("received-bob/plan")).unwrap(), "at noon, in the reading room");
    bob.type_line("/objects");
    let shown = bob.sees("object", "\"object\":\"plan\"");
    assert_eq!((field(&shown, "right"), number(&shown, "longest"), number(&shown, "size")), ("read", 4096, 28));
    lea.type_line("/objects");
    for object in ["diary", "plan"] {
        assert_eq!(field(&lea.sees("object", &format!("\"object\":\"{object}\"")), "right"), "change");
    }

    // What is missing is said, and nothing changes.
    bob.type_line("/put plan first.txt");
    let refused = bob.sees("put-refused", "plan");
    assert!(field(&refused, "why").contains("the right change is missing; the right here is read"), "{refused}");
    bob.type_line("/put diary first.txt");
    assert!(field(&bob.sees("put-refused", "diary"), "why").contains("the right here is none"));
    for party in [&mut ada, &mut lea] {
        party.type_line("/put map first.txt");
        assert!(field(&party.sees("put-refused", "map"), "why").contains("no such object"));
    }
    fs::write(scratch.path("long.txt"), payload(4097)).unwrap();
    ada.type_line("/put plan long.txt");
    assert!(field(&ada.sees("put-refused", "plan"), "why").contains("more than the policy allows"));
    for (line, word) in [
        ("/get diary", "the right read of it is missing"),
        ("/get map", "there is no such object"),
        ("/put plan none.txt", "none.txt: cannot be read"),
        ("/put plan", "/put needs an object and a file"),
    ] {
        bob.type_line(line);
        bob.sees("error", word);
    }
    lea.type_line("/get map");
    lea.sees("error", "the policy names no such object");
    // A file that is there is replaced with --force alone.
    ada.type_line("/get plan");
    assert_eq!(number(&ada.sees("got", "plan"), "size"), 28);
    ada.type_line("/get plan");
    ada.sees("error", "--force");
}

#[test]
fn antigone_has_no_shared_objects() {
    let mut group = common::group::Group::of_three("objects-antigone", &[]);
    for line in ["/objects", "/get plan", "/put plan quick.toml"] {
        group.ada.type_line(line);
        group.ada.sees("error", "only repaired Enclaves has shared objects");
    }
    group.lea.type_line("/direct ada");
    group.lea.sees("error", "only members of Enclaves 1.0 have direct links");
}
