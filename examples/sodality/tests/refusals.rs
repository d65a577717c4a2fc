//! What cannot be used, and peers that speak nonsense: a line, an exit status, and nobody else's end.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use common::{Scratch, complaint, set_mode};

#[test]
fn what_cannot_be_used_is_said_in_one_line() {
    let scratch = Scratch::new("bad");
    scratch.register(&["ada"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let join = |key: &str, more: &[&str], status, words: &[&str]| {
        scratch.bad(&Scratch::join_args("ada", key, &free, more), status, words);
    };
    join("none.key", &[], 5, &["none.key: there is no such key"]);
    join("reg", &[], 5, &["is no key"]);
    join("-", &[], 5, &["standard input: is no key"]);
    join("ada.key", &["--out", "ada.key"], 6, &["--out"]);
    join("ada.key", &["--wait", "1"], 4, &["cannot reach lea", "--at"]);
    join("ada.key", &["--floor", "high"], 2, &["high", "--help"]);
    scratch.bad(&Scratch::join_args("lea", "lea.key", &free, &[]), 2, &["different names"]);
    scratch.bad(&Scratch::join_args("ada", "ada.key", "nowhere", &[]), 2, &["HOST:PORT"]);
    scratch.bad(&["join", "ada"], 2, &["--help"]);
    // Secrets are no arguments.
    scratch.bad(&["join", "ada", "--key", "sodality-key-1 00"], 2, &["--help"]);
    scratch.bad(&["register", "--registry", "reg"], 2, &["--help"]);
    scratch.bad(&["register", "a", "--list", "--registry", "reg"], 2, &["--help"]);

    // What others may read holds no secrets any more.
    set_mode(&scratch.path("ada.key"), 0o644);
    join("ada.key", &[], 5, &["chmod 600 ada.key"]);
    set_mode(&scratch.path("reg"), 0o640);
    scratch.bad(&["ttp", "--registry", "reg", "--listen", &free], 5, &["chmod 600 reg"]);
}

const NONSENSE: [&[u8]; 5] =
    [b"GET / HTTP/1.1\r\n\r\n", &[0xff; 4096], &[0, 0, 0, 4, 1, 2, 3, 4], &[0, 0, 0, 0, 0, 0, 0, 0], b""];

/// Speaks nonsense to whoever listens there, and waits until it is hung up or a moment is over.
fn babble(listener: &str) {
    for nonsense in NONSENSE {
        let mut stream = TcpStream::connect(listener).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        // It may be closed before all is written, or stay open without an answer.
        let _ = stream.write_all(nonsense);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"", "strangers get no answer");
    }
}

#[test]
fn peers_that_speak_nonsense_end_nobody() {
    let scratch = Scratch::new("nonsense");
    scratch.register(&["ada"]);
    let mut ttp = scratch.ttp();
    let ttp_at = ttp.address();
    let mut lea = scratch.lead(&ttp_at, &[]);
    let at = lea.address();
    let mut ada = scratch.join("ada", &at, &[]);
    ada.sees("joined", "");
    for listener in [&at, &ttp_at] {
        babble(listener);
    }
    lea.type_line("/status");
    let status = lea.sees("status", "");
    assert!(!status.contains("\"refused\":0"), "{status}");
    lea.sees("refused", "\"why\":");
    lea.sees("member", "\"name\":\"ada\"");
    // All goes on, also joins.
    ada.type_line("/leave");
    ada.sees("left", "\"confirmed\":true");
    assert_eq!(ada.ends(), (Some(0), String::new()));
    let mut ada = scratch.join("ada", &at, &[]);
    ada.sees("joined", "");
}

/// Answers everybody with nonsense.
fn babbler() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    // It ends with the process of the test.
    thread::spawn(move || {
        for (stream, nonsense) in listener.incoming().zip(NONSENSE.iter().cycle()) {
            // Whoever is gone hears nothing.
            let _ = stream.and_then(|mut stream| stream.write_all(nonsense));
        }
    });
    at
}

#[test]
fn who_meets_nonsense_says_that_nobody_answers() {
    let scratch = Scratch::new("babbler");
    scratch.register(&["ada"]);
    // In the place of the leader.
    let at = babbler();
    let output = scratch.run(&Scratch::join_args("ada", "ada.key", &at, &["--wait", "2"]));
    let said = complaint(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("did not answer in time") || said.contains("cannot reach lea"), "{said}");
    // In the place of the third party: the leader lives on, and nobody is admitted.
    let mut lea = scratch.lead(&babbler(), &[]);
    let at = lea.address();
    scratch.bad(&Scratch::join_args("ada", "ada.key", &at, &["--wait", "2"]), 4, &["lea did not answer in time"]);
    lea.type_line("/who");
    lea.sees("who", "\"name\":\"lea\"");
}

#[test]
fn an_unreachable_third_party_is_told_and_tried_again() {
    let scratch = Scratch::new("no-ttp");
    scratch.register(&["ada"]);
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = place.local_addr().unwrap().to_string();
    drop(place);
    let mut lea = scratch.lead(&free, &[]);
    let at = lea.address();
    let mut ada = scratch.join("ada", &at, &["--wait", "60"]);
    lea.sees("unreachable", "the third party");
    // Once it is there, the join goes through: nobody has to ask anew.
    let mut ttp = common::Party::start(&scratch, &["ttp", "--registry", "reg", "--listen", &free, "--json"]);
    ttp.sees("listening", &free);
    ada.sees("joined", "");
}

/// A policy is read up to a bound, and a pipe in its place is refused or read, never waited for beyond it.
#[test]
fn a_policy_file_without_end_is_refused() {
    let scratch = Scratch::new("policy-bound");
    scratch.register(&[]);
    fs::write(scratch.path("long.toml"), "# a comment\n".repeat(200_000)).unwrap();
    let args = ["lead", "lea", "--app", "tea", "--key", "lea.key", "--ttp", "127.0.0.1:1", "--listen", "127.0.0.1:0"];
    scratch.bad(&[&args[..], &["--policy", "long.toml"]].concat(), 5, &["long.toml", "longer than"]);
    scratch.bad(&[&args[..], &["--policy", "."]].concat(), 5, &["cannot be read"]);
    scratch.bad(&[&args[..], &["--policy", "none"]].concat(), 5, &["there is no such policy"]);
    scratch.bad(&[&args[..], &["--preset", "none"]].concat(), 2, &["none", "--help"]);
}
