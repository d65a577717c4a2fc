//! Enclaves 2.0 as published: each message, whole sessions under both suites, over good and bad links, under each policy of
//! rekeying (report §3.1, §3.2).
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod version_2;

use std::time::Duration;

use sodality::enclaves::version_2::{Access, Member, prudent_policy};
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Cause, Causes, EndReason, Ending, Event, Port, Refusal, Sender, Suspicion};
use sodality::identity::{Epoch, MemberId, Name};
use sodality::policy::Policy;
use sodality::sim::LinkConfig;
use sodality::sim::Faults;
use sodality::sim::enclaves_version_2::{VersionTwoConfig, VersionTwoStar};

use version_2::{Bench, SECOND, both, des, joined, modern, name, terms};

/// Report §3.2.1 and §3.1: who says what when three people join and talk.
#[test]
fn a_session_message_by_message() {
    for suite in both() {
        let config = VersionTwoConfig::new(suite);
        let mut bench = Bench::new(&config, 3);
        assert_eq!(bench.leader.epoch(), Epoch(0), "D27: no key before somebody is accepted");
        for member in 1..=3 {
            bench.join(member);
        }
        let way_in = ["EN-P1", "EN-A1", "EN-A3"];
        assert_eq!(bench.ids(1, 0), way_in);
        assert_eq!(bench.ids(3, 0), way_in);
        // m single-name messages to each newcomer, one to each of the others (E10).
        assert_eq!(bench.ids(0, 1), ["EN-P2", "EN-A2", "EN-M+", "EN-M+"]);
        assert_eq!(bench.ids(0, 2), ["EN-P2", "EN-A2", "EN-M+", "EN-M+"]);
        assert_eq!(bench.ids(0, 3), ["EN-P2", "EN-A2", "EN-M+", "EN-M+"]);
        for member in 1..=3 {
            assert_eq!(bench.roster(member), ["lea", "m1", "m2", "m3"]);
            assert_eq!(bench.members[member - 1].epoch(), bench.leader.epoch());
        }
        bench.say(1, b"to all");
        bench.say(0, b"from the leader");
        for who in [0, 2, 3] {
            assert!(bench.heard(who).contains(&("m1".into(), b"to all".to_vec())), "{who}");
        }
        for member in 1..=3 {
            assert!(bench.heard(member).contains(&("lea".into(), b"from the leader".to_vec())));
        }
        assert!(!bench.heard(1).iter().any(|(_, text)| text == b"to all"), "nothing comes back");
    }
}

#[test]
fn in_a_world_over_streams() {
    for suite in both() {
        let (mut world, star) = joined(1, VersionTwoConfig::new(suite), 6);
        assert!(star.rosters_agree(&world));
        star.say(&mut world, 2, b"hello").unwrap().unwrap();
        world.run_for(SECOND).unwrap();
        for (at, member) in star.members.iter().enumerate() {
            assert_eq!(VersionTwoStar::heard(&world, *member, b"hello"), usize::from(at != 2));
        }
        assert_eq!(VersionTwoStar::heard(&world, star.leader, b"hello"), 1);
    }
}
