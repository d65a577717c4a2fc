//! What cannot be used, and peers that speak nonsense: a line, an exit status, and nobody else's end.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

mod common;

use std::net::TcpListener;

use common::{Scratch, set_mode};

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
