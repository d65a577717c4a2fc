//! Enclaves 1.0 and 2.0 as published, each party a process of its own; and the demonstration in each edition.
#![cfg(all(unix, feature = "study"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

mod common;

use std::fs;
use std::process::Stdio;

use common::enclaves::{join_args, join_with, lead, lead_args, user, write_secret};
use common::{ANYWHERE, Party, Scratch, field, number, payload, sha256};

const FIRST: &[&str] = &["--edition", "1.0", "--as-published"];
const SECOND: &[&str] = &["--edition", "2.0", "--as-published"];

/// A policy of Antigone.
const MIX: &str = "[data]\norigin = false\n[members]\nviews = \"with-each-key\"\n[editions]\nsuite = \"des-md5-rsa\"\njoin = \"as-published\"\n";

/// A leader of that edition and these members, who all know of the last.
fn group(test: &str, edition: &[&str], members: &[&str]) -> (Scratch, Party, Vec<Party>) {
    let scratch = Scratch::new(test);
    members.iter().for_each(|name| user(&scratch, name));
    let mut lea = lead(&scratch, edition);
    let warned = lea.sees("historic", "");
    assert_eq!(field(&warned, "parts"), format!("Enclaves {}", edition[1]));
    let at = lea.address();
    let mut there: Vec<Party> = Vec::new();
    for name in members {
        let mut new = join_with(&scratch, name, &at, edition);
        assert!(new.seen.iter().any(|line| line.contains("\"what\":\"historic\"")), "{:?}", new.seen);
        lea.sees("member-added", &format!("\"name\":\"{name}\""));
        for other in &mut there {
            other.sees("member-added", &format!("\"name\":\"{name}\""));
        }
        for known in &members[..there.len()] {
            new.sees("member-added", &format!("\"name\":\"{known}\""));
        }
        there.push(new);
    }
    // A new key is on its way to each of them, and nothing tells a member whether it has the newest.
    std::thread::sleep(common::group::SETTLED);
    (scratch, lea, there)
}

/// Talk, private words, a file, and what the edition has not.
fn talks(scratch: &Scratch, lea: &mut Party, [ada, bob, cyd]: [&mut Party; 3]) {
    ada.type_line("good day");
    for party in [&mut *lea, &mut *bob, &mut *cyd] {
        let line = party.sees("heard", "good day");
        assert!(field(&line, "from") == "ada" && line.contains("\"signed\":false"), "{line}");
    }
    lea.type_line("good day to you");
    assert_eq!(field(&ada.sees("heard", "good day to you"), "from"), "lea");
    ada.type_line("/gossip bob the list is with me");
    ada.sees("gossips", "\"to\":\"bob\"");
    assert_eq!(field(&bob.sees("gossip", "the list is with me"), "from"), "ada");
    lea.type_line("/gossip cyd only cyd has this");
    cyd.sees("gossip", "only cyd has this");
    cyd.type_line("/gossip lea and only lea has that");
    assert_eq!(field(&lea.sees("gossip", "only lea has that"), "from"), "cyd");
    ada.type_line("/eject bob");
    ada.sees("error", "only the leader ejects");
    ada.type_line("/policy");
    ada.sees("error", "no message tells the policy");
    for party in [&mut *lea, &mut *ada] {
        party.type_line("/objects");
        party.sees("error", "only repaired Enclaves has shared objects");
    }
    let file = payload(120_001);
    fs::write(scratch.path("file.bin"), &file).unwrap();
    ada.type_line("/send file.bin");
    for party in [lea, bob, cyd] {
        assert_eq!(field(&party.sees("stored", "file.bin"), "sha256"), sha256(&file));
    }
}

#[test]
fn a_group_of_enclaves_2() {
    let (scratch, mut lea, mut there) = group("editions-2", SECOND, &["ada", "bob", "cyd"]);
    let [ada, bob, cyd] = &mut there[..] else { panic!("three") };
    talks(&scratch, &mut lea, [ada, bob, cyd]);
    ada.type_line("/gossip bob,cyd to two of you");
    for party in [&mut *bob, &mut *cyd] {
        party.sees("gossip", "to two of you");
    }
    ada.type_line("/direct bob");
    ada.sees("error", "only members of Enclaves 1.0 have direct links");
    lea.type_line("/policy");
    lea.sees("policy", "\"protection\":\"confidentiality\"");
    lea.type_line("/status");
    lea.sees("status", "Enclaves 2.0 as published");

    let [ada, bob, mut cyd] = <[Party; 3]>::try_from(there).ok().unwrap();
    let mut bob = bob;
    bob.type_line("/leave");
    bob.sees("left", "\"confirmed\":true");
    assert_eq!(bob.ends(), (Some(0), String::new()));
    lea.sees("member-removed", "\"name\":\"bob\"");
    lea.type_line("/eject cyd");
    cyd.sees("ended", "");
    let (status, said) = cyd.ends();
    assert_eq!(status, Some(3));
    assert!(said.contains("2.0 says it in clear"), "{said}");
    // A leader that dies is missed by nobody but the network; who leaves then does not wait for it.
    lea.kill();
    let mut ada = ada;
    ada.sees("unreachable", "lea");
    ada.type_line("/quit");
    ada.sees("left", "\"confirmed\":false");
    assert_eq!(ada.ends(), (Some(0), String::new()));
}

#[test]
fn members_of_enclaves_1_go_on_without_their_leader() {
    let (scratch, mut lea, mut there) = group("editions-1", FIRST, &["ada", "bob", "cyd"]);
    let [ada, bob, cyd] = &mut there[..] else { panic!("three") };
    talks(&scratch, &mut lea, [ada, bob, cyd]);
    ada.type_line("/gossip bob,cyd to two of you");
    ada.sees("error", "a private message is for one");

    for (line, word) in [
        ("/direct bob too early", "no open direct link to bob"),
        ("/direct eve", "no direct link to eve"),
        ("/direct ada", "no direct link to oneself"),
        ("/direct", "/direct needs a name"),
    ] {
        ada.type_line(line);
        ada.sees("error", word);
    }
    lea.type_line("/direct ada");
    lea.sees("error", "the leader makes them and has none");
    ada.type_line("/direct bob");
    ada.sees("direct-asked", "\"name\":\"bob\"");
    ada.sees("direct-opened", "\"name\":\"bob\"");
    bob.sees("direct-opened", "\"name\":\"ada\"");
    ada.type_line("/direct bob");
    ada.sees("error", "there is a direct link to bob already");
    ada.type_line("/direct bob over our own link");
    ada.sees("says-directly", "over our own link");
    assert_eq!(field(&bob.sees("direct", "over our own link"), "from"), "ada");

    lea.kill();
    ada.sees("unreachable", "lea");
    bob.sees("unreachable", "lea");
    bob.type_line("/direct ada nobody leads any more");
    assert_eq!(field(&ada.sees("direct", "nobody leads any more"), "from"), "bob");
    ada.type_line("/direct bob and we go on");
    bob.sees("direct", "and we go on");
    bob.type_line("/direct cyd do you hear me");
    bob.sees("error", "no open direct link to cyd");
    bob.type_line("/quit");
    ada.sees("direct-closed", "\"name\":\"bob\"");
    assert!(!cyd.seen.iter().any(|line| line.contains("our own link")), "{:?}", cyd.seen);
    let mut there = there.into_iter();
    let (mut ada, bob) = (there.next().unwrap(), there.next().unwrap());
    assert_eq!(bob.ends(), (Some(0), String::new()));
    ada.type_line("/quit");
    assert_eq!(ada.ends(), (Some(0), String::new()));
}

/// The leader closes the group, and throws one of two out before: their link stays.
#[test]
fn a_direct_link_outlives_the_group() {
    let (_scratch, mut lea, mut there) = group("editions-after", FIRST, &["ada", "bob"]);
    let [ada, bob] = &mut there[..] else { panic!("two") };
    ada.type_line("/direct bob");
    ada.sees("direct-opened", "\"name\":\"bob\"");
    bob.sees("direct-opened", "\"name\":\"ada\"");
    lea.type_line("/eject bob");
    bob.sees("stays", "\"names\":\"ada\"");
    ada.sees("member-removed", "\"name\":\"bob\"");
    bob.type_line("to nobody");
    bob.sees("error", "the group is over");
    bob.type_line("/direct cyd");
    bob.sees("error", "there is no leader any more");
    bob.type_line("/direct ada still here");
    ada.sees("direct", "still here");
    lea.type_line("/quit");
    assert_eq!(lea.ends(), (Some(0), String::new()));
    ada.sees("stays", "\"names\":\"bob\"");
    ada.type_line("/direct bob so am I");
    assert_eq!(field(&bob.sees("direct", "so am I"), "from"), "ada");
    ada.type_line("/quit");
    bob.sees("direct-closed", "\"name\":\"ada\"");
    let mut there = there.into_iter();
    assert_eq!(there.next().unwrap().ends(), (Some(0), String::new()));
    // It was put out, and has nothing to stay for any more.
    let (status, said) = there.next().unwrap().ends();
    assert_eq!(status, Some(3));
    assert!(said.contains("has put this member out"), "{said}");
}

#[test]
fn who_is_not_let_in_as_published_is_told_what_may_be_wrong() {
    for (edition, test) in [(FIRST, "editions-out-1"), (SECOND, "editions-out-2")] {
        let scratch = Scratch::new(test);
        user(&scratch, "ada");
        user(&scratch, "bob");
        let mut lea = lead(&scratch, &[edition, &["--allow", "ada"]].concat());
        let at = lea.address();
        write_secret(&scratch, "wrong", "another password");
        let bad = |name: &str, secret: &str, more: &[&str], status, words: &[&str]| {
            let more = [edition, &["--wait", "2"], more].concat();
            scratch.bad(&join_args(name, &at, &["--password", secret], &more), status, words);
        };
        bad("ada", "wrong", &[], 4, &["the password or key may be wrong", "[join.timeout]"]);
        bad("ada", "ada.password", &["--suite", "aes-256-gcm"], 4, &["--suite is another one"]);
        bad("bob", "bob.password", &[], 3, &["lea refuses"]);
        // All that ends nobody.
        let mut ada = join_with(&scratch, "ada", &at, edition);
        ada.type_line("/leave");
        ada.sees("left", "\"confirmed\":true");
        assert_eq!(ada.ends(), (Some(0), String::new()));
    }
}

/// What these editions cannot have is refused before anything begins.
#[test]
fn what_is_not_of_the_edition_is_said_in_one_line() {
    let scratch = Scratch::new("editions-bad");
    user(&scratch, "ada");
    fs::write(scratch.path("objects.toml"), "[objects.plan]\neverybody = \"read\"\n").unwrap();
    fs::write(scratch.path("mix.toml"), MIX).unwrap();
    for edition in [FIRST, SECOND] {
        let bad = |more: &[&str], words: &[&str]| scratch.bad(&lead_args(&[edition, more].concat()), 2, words);
        bad(&["--policy", "objects.toml"], &["shared objects are of repaired Enclaves"]);
        bad(&["--policy", "mix.toml"], &["is of Antigone"]);
        bad(&["--strong-reply"], &["of Antigone"]);
    }
    for edition in ["1.0", "2.0"] {
        scratch.bad(&lead_args(&["--edition", edition]), 2, &["protects nothing", "--as-published"]);
        let wanted = ["--password", "ada.password", "--edition", edition];
        scratch.bad(&join_args("ada", ANYWHERE, &wanted, &[]), 2, &["protects nothing", "--as-published"]);
        scratch.bad(&["demo", "--edition", edition], 2, &["--system enclaves"]);
    }
    scratch.bad(&lead_args(&["--suite", "aes-256-gcm"]), 2, &["--suite", "--edition 1.0"]);
    let direct = ["--password", "ada.password", "--direct-listen", ANYWHERE];
    scratch.bad(&join_args("ada", ANYWHERE, &direct, &[]), 2, &["Enclaves 1.0"]);
    let published = ["--edition", "2.0", "--as-published"];
    scratch.bad(&join_args("ada", ANYWHERE, &direct, &published), 2, &["Enclaves 1.0"]);
    let args = ["join", "ada", "--system", "enclaves", "--leader", "lea", "--app", "tea", "--at", ANYWHERE];
    scratch.bad(&[&args[..], FIRST].concat(), 2, &["--password"]);
}

/// A line of that kind that has `word`.
fn line<'a>(shown: &'a str, what: &str, word: &str) -> &'a str {
    let of = format!("\"what\":\"{what}\"");
    let found = shown.lines().find(|line| line.contains(&of) && line.contains(word));
    found.unwrap_or_else(|| panic!("{what}, {word}: {shown}"))
}

/// A whole session of that edition, with a small file.
fn demo(edition: &str) -> String {
    let scratch = Scratch::new(&format!("editions-demo-{edition}"));
    fs::write(scratch.path("file.bin"), payload(200_000)).unwrap();
    let args = ["demo", "--system", "enclaves", "--edition", edition, "--json", "--out", "out", "file.bin"];
    let output = scratch.command(&args).stdin(Stdio::null()).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    shown.lines().for_each(common::page::check);
    assert_eq!(field(line(&shown, "historic", ""), "parts"), format!("Enclaves {edition}"));
    assert_eq!(field(line(&shown, "whispered", ""), "members"), "ada");
    assert_eq!(shown.lines().filter(|line| line.contains("\"what\":\"arrival\"")).count(), 7);
    for who in ["bob", "dan"] {
        let gone = line(&shown, "keyless", &format!("\"name\":\"{who}\",\"last_epoch\""));
        assert!(number(gone, "frames") > 0 && number(gone, "opened") == 0, "{gone}");
    }
    for who in ["ada", "cyd"] {
        let noticed = line(&shown, "noticed", &format!("\"member\":\"{who}\""));
        assert!(!noticed.contains("stale_micros"), "nothing counts as stale as published: {noticed}");
    }
    let search = line(&shown, "search", "");
    assert!(number(search, "found") == 0 && number(search, "control") > 0, "{search}");
    line(&shown, "result", "\"ok\":true");
    shown
}

#[test]
fn the_demo_of_enclaves_2() {
    let shown = demo("2.0");
    for id in ["EN-P1", "EN-A2", "EN-D1", "EN-D2", "EN-C2"] {
        // What only the network's other links carry is not seen on this one: cyd is never put out.
        let seen = shown.lines().any(|line| line.contains("\"what\":\"seen\"") && line.contains(id));
        assert_eq!(seen, id != "EN-C2", "{id}: {shown}");
    }
    // Names are in clear in all that is said.
    line(&shown, "name", "\"name\":\"ada\"");
    assert!(!shown.contains("direct-opened"), "{shown}");
}

#[test]
fn the_demo_of_enclaves_1_goes_on_without_its_leader() {
    let shown = demo("1.0");
    for id in ["EN-1J", "EN-1K", "EN-1D", "EN-1XR", "EN-1XK"] {
        line(&shown, "seen", &format!("\"id\":\"{id}\""));
    }
    // No name but that of who asks to join is ever in clear, and what the two say directly never comes by the leader.
    assert!(
        !shown.lines().any(|line| line.contains("\"what\":\"name\"") && !line.contains("\"name\":\"cyd\"")),
        "{shown}"
    );
    assert!(!shown.contains("EN-1XD\""), "{shown}");
    for (who, from) in [("ada", "cyd"), ("cyd", "ada")] {
        let went_on = line(&shown, "went-on", &format!("\"member\":\"{who}\""));
        assert!(field(went_on, "from") == from && number(went_on, "micros") > 0, "{went_on}");
    }
    let place = |what: &str| shown.lines().position(|line| line.contains(&format!("\"what\":\"{what}\""))).unwrap();
    assert!(place("direct-opened") < place("killed") && place("killed") < place("direct"), "{shown}");
}
