//! Where keys may come from and go to, and where none is ever found (R34).
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::{Party, Scratch};

#[test]
fn a_key_may_come_by_the_standard_input_or_a_descriptor() {
    let scratch = Scratch::new("key-in");
    scratch.register(&["ada"]);
    let mut ttp = scratch.ttp();
    let mut lea = scratch.lead(&ttp.address(), &[]);
    let at = lea.address();
    // The first line is the key; what follows is said once the group is there.
    let mut ada = Party::start(&scratch, &Scratch::join_args("ada", "-", &at, &[]));
    ada.type_line(fs::read_to_string(scratch.path("ada.key")).unwrap().trim());
    ada.type_line("typed before");
    lea.sees("heard", "typed before");
    ada.type_line("/leave");
    assert_eq!(ada.ends(), (Some(0), String::new()));
    let args = Scratch::join_args("ada", "/dev/fd/0", &at, &["--wait", "10"]);
    let mut command = scratch.command(&args);
    command.stdin(fs::File::open(scratch.path("ada.key")).unwrap()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(shown.any(|line| line.unwrap().contains("\"what\":\"joined\"")));
    child.kill().unwrap();
    child.wait().unwrap();
}
