//! Members that are put out, and members that ask for it (RA §4.6).
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

mod common;

use std::thread;

use common::group::{Group, SETTLED};
use common::{complaint, field};

#[test]
fn the_leader_ejects_a_member_and_the_others_go_on_under_another_key() {
    let group = Group::of_three("eject", &["--rejoin"]);
    let Group { mut lea, mut ada, bob, .. } = group;

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
    let mut group = Group::of_three("ask-eject", &[]);
    let (ada, bob) = (&mut group.ada, &mut group.bob);
    // By default the policy does not let members ask.
    ada.type_line("/eject bob");
    ada.sees("ejection-asked", "\"name\":\"bob\"");
    let answer = ada.sees("ejection-answered", "\"name\":\"bob\"");
    assert_eq!(field(&answer, "verdict"), "notallowed");
    ada.type_line("/eject lea");
    ada.sees("error", "lea leads the group");
    thread::sleep(SETTLED);
    bob.type_line("still here");
    ada.sees("heard", "still here");
}
