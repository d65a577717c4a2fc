//! Members that are put out, and members that ask for it (RA §4.6).
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

mod common;

use std::fs;
use std::thread;
use std::time::Duration;

use common::{QUICK, Scratch, complaint, field};

#[test]
fn the_leader_ejects_a_member_and_the_others_go_on_under_another_key() {
    let scratch = Scratch::new("eject");
    fs::write(scratch.path("quick.toml"), QUICK).unwrap();
    scratch.register(&["ada", "bob"]);
    let mut ttp = scratch.ttp();
    let mut lea = scratch.lead(&ttp.address(), &["--policy", "quick.toml"]);
    let at = lea.address();
    let mut ada = scratch.join("ada", &at, &[]);
    ada.sees("joined", "");
    let mut bob = scratch.join("bob", &at, &["--rejoin"]);
    bob.sees("joined", "");
    lea.sees("member-added", "\"name\":\"bob\"");
    ada.sees("member-added", "\"name\":\"bob\"");

    lea.type_line("/eject eve");
    lea.sees("error", "eve is not in the group");
    lea.type_line("/eject lea");
    lea.sees("error", "lea leads the group");
    lea.type_line("/eject bob");
    for party in [&mut lea, &mut ada] {
        let both = party.sees_all([("member-removed", "\"name\":\"bob\""), ("installed", "ejected")]);
        assert_eq!((field(&both[0], "cause"), field(&both[0], "by")), ("eject", "lea"));
    }
    // Who is put out does not come back by itself, whatever it was started with.
    let (status, said) = bob.ends();
    assert_eq!(status, Some(3), "{said}");
    assert!(complaint(said.as_bytes()).contains("lea has put this member out"), "{said}");
    ada.type_line("among ourselves");
    lea.sees("heard", "among ourselves");
    assert!(lea.seen.iter().any(|line| line.contains("\"what\":\"ejects\"") && line.contains("bob")));
    lea.type_line("/eject bob");
    lea.sees("error", "bob is not in the group");
    lea.type_line("/who");
    lea.sees("who", "\"name\":\"ada\"");
}

#[test]
fn a_member_that_asks_hears_what_became_of_it() {
    let scratch = Scratch::new("ask-eject");
    fs::write(scratch.path("quick.toml"), QUICK).unwrap();
    scratch.register(&["ada", "bob"]);
    let mut ttp = scratch.ttp();
    let mut lea = scratch.lead(&ttp.address(), &["--policy", "quick.toml"]);
    let at = lea.address();
    let mut ada = scratch.join("ada", &at, &[]);
    ada.sees("joined", "");
    let mut bob = scratch.join("bob", &at, &[]);
    bob.sees("joined", "");
    ada.sees("member-added", "\"name\":\"bob\"");
    // By default the policy does not let members ask.
    ada.type_line("/eject bob");
    ada.sees("ejection-asked", "\"name\":\"bob\"");
    let answer = ada.sees("ejection-answered", "\"name\":\"bob\"");
    assert_eq!(field(&answer, "verdict"), "notallowed");
    ada.type_line("/eject lea");
    ada.sees("error", "lea leads the group");
    thread::sleep(Duration::from_millis(300));
    bob.type_line("still here");
    ada.sees("heard", "still here");
}
