//! How a group ends for its processes: closed by the leader, and by deaths without a word.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

mod common;

use std::thread;

use common::group::{Group, SETTLED};
use common::{Party, Scratch, complaint, field};

#[test]
fn a_leader_that_leaves_closes_the_group_and_all_end_well() {
    let mut group = Group::of_three("close", &["--rejoin"]);
    group.lea.type_line("/leave");
    group.lea.sees("closes", "");
    for mut party in [group.ada, group.bob] {
        let ended = party.sees("ended", "");
        assert!(["ByLeader(Closing)", "Closed"].contains(&field(&ended, "ending")), "{ended}");
        assert_eq!(party.ends(), (Some(0), String::new()));
    }
    group.lea.sees("ended", "\"ending\":\"Closed\"");
    assert_eq!(group.lea.ends(), (Some(0), String::new()));
}

#[test]
fn the_end_does_not_wait_for_the_dead() {
    let mut group = Group::of_three("close-dead", &[]);
    group.bob.kill();
    group.lea.type_line("/quit");
    assert_eq!(group.ada.ends(), (Some(0), String::new()));
    assert_eq!(group.lea.ends(), (Some(0), String::new()));
}

#[test]
fn a_member_that_is_killed_is_noticed_removed_and_may_come_back() {
    let mut group = Group::of_three("killed-member", &[]);
    group.bob.kill();
    let suspected = group.lea.sees("suspected", "\"name\":\"bob\"");
    assert_eq!(field(&suspected, "why"), "nothing fresh was heard of it");
    for party in [&mut group.lea, &mut group.ada] {
        let both = party.sees_all([("member-removed", "\"name\":\"bob\""), ("installed", "silent for too long")]);
        assert_eq!(field(&both[0], "cause"), "failure");
    }
    let mut bob = group.scratch.join("bob", &group.at, &[]);
    bob.sees("joined", "");
    group.ada.sees("member-added", "\"name\":\"bob\"");
    thread::sleep(SETTLED);
    bob.type_line("back again");
    group.ada.sees("heard", "back again");
}

#[test]
fn members_notice_that_the_leader_was_killed_and_find_the_next_one() {
    let mut group = Group::of_three("killed-leader", &["--rejoin"]);
    group.lea.kill();
    for party in [&mut group.ada, &mut group.bob] {
        party.sees("stale", "");
        party.sees("ended", "\"ending\":\"LeaderLost\"");
        party.sees("rejoins", "lea was lost");
    }
    // One does not wait for that.
    group.bob.kill();
    let args = Scratch::lead_args("lea", "lea.key", &group.ttp_at, &group.at, &["--policy", "quick.toml"]);
    let mut lea = Party::start(&group.scratch, &args);
    group.ada.sees("joined", "");
    let mut bob = group.scratch.join("bob", &group.at, &[]);
    bob.sees("joined", "");
    group.ada.sees("member-added", "\"name\":\"bob\"");
    thread::sleep(SETTLED);
    group.ada.type_line("a new group");
    for party in [&mut lea, &mut bob] {
        party.sees("heard", "a new group");
    }
    // Who does not come back by itself ends, and says why.
    lea.kill();
    let (status, said) = bob.ends();
    assert_eq!(status, Some(4), "{said}");
    assert!(complaint(said.as_bytes()).contains("lea was lost"), "{said}");
}
