//! Files over a group of processes: whole, and gone on with after interruptions of either side.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Party, Scratch, field, interrupt, number, payload, sha256};

/// Data fill the buffers of sockets, and polls wait behind them: nobody is taken for dead for that.
const PATIENT: &str = "[rekey]\ngrace_ms = 200\nsettle_ms = 50\n[detection]\nperiod_ms = 2000\nmisses = 4\n";

/// What is sent whole, and what is interrupted on its way.
const LARGE: usize = 50_000_003;
const SIZE: usize = 24_000_003;

/// A third party, a leader, and members; all have joined.
struct Group {
    scratch: Scratch,
    at: String,
    _ttp: Party,
    lea: Party,
}

impl Group {
    fn new(test: &str, members: &[&str]) -> Self {
        let scratch = Scratch::new(test);
        fs::write(scratch.path("patient.toml"), PATIENT).unwrap();
        scratch.register(members);
        let mut ttp = scratch.ttp();
        let mut lea = scratch.lead(&ttp.address(), &["--policy", "patient.toml"]);
        let at = lea.address();
        Self { scratch, at, _ttp: ttp, lea }
    }

    fn join(&self, name: &str) -> Party {
        let mut party = self.scratch.join(name, &self.at, &[]);
        party.sees("joined", "");
        party
    }

    /// The hidden files of a receiver.
    fn hidden(&self, name: &str) -> Vec<PathBuf> {
        let folder = self.scratch.path(&format!("received-{name}"));
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut hidden: Vec<_> =
            entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with('.')).collect();
        hidden.sort();
        hidden
    }

    fn received(&self, name: &str, file: &str) -> Vec<u8> {
        fs::read(self.scratch.path(&format!("received-{name}")).join(file)).unwrap()
    }
}

/// Waits until some of the file is there, and not all.
fn sees_some(party: &mut Party, at_least: u64) -> u64 {
    loop {
        let line = party.sees("progress", "");
        let (have, size) = (number(&line, "have"), number(&line, "size"));
        assert!(have < size, "it was through before it could be interrupted: {line}");
        if have >= at_least {
            return have;
        }
    }
}

#[test]
fn fifty_megabytes_arrive_as_they_were() {
    let mut group = Group::new("fifty", &["ada", "bob"]);
    let (mut ada, mut bob) = (group.join("ada"), group.join("bob"));
    let bytes = payload(LARGE);
    fs::write(group.scratch.path("large.bin"), &bytes).unwrap();
    let digest = sha256(&bytes);
    ada.type_line("/send large.bin");
    assert_eq!(field(&ada.sees("offers", "large.bin"), "sha256"), digest);
    for party in [&mut bob, &mut group.lea] {
        assert_eq!(field(&party.sees("stored", "large.bin"), "sha256"), digest);
    }
    for name in ["bob", "lea"] {
        assert_eq!(sha256(&group.received(name, "large.bin")), digest, "{name}");
        assert_eq!(group.hidden(name), Vec::<PathBuf>::new(), "{name}");
    }
    ada.sees("delivered", "large.bin");
}

#[test]
fn a_receiver_that_was_killed_goes_on_where_it_was() {
    let group = Group::new("killed-receiver", &["ada", "bob"]);
    let (mut ada, mut bob) = (group.join("ada"), group.join("bob"));
    let bytes = payload(SIZE);
    fs::write(group.scratch.path("large.bin"), &bytes).unwrap();
    ada.type_line("/send large.bin");
    let had = sees_some(&mut bob, 5_000_000);
    bob.kill();
    assert_eq!(group.hidden("bob").len(), 2, "a file and its journal");

    let mut bob = group.join("bob");
    let line = bob.sees("continues", "large.bin");
    let have = number(&line, "have");
    // What it had told was written and noted before: nothing of it is fetched again.
    assert!(have >= had && have < SIZE as u64, "{have} {had}");
    // And a second time, by an interrupt.
    let had = sees_some(&mut bob, have + 2_000_000);
    interrupt(&bob.child);
    assert_eq!(bob.ends().0, Some(130));

    // Meanwhile somebody writes over a part of it.
    let part = group.hidden("bob").into_iter().find(|path| path.to_str().unwrap().ends_with(".part")).unwrap();
    let mut stored = fs::read(&part).unwrap();
    stored[1_000_000] ^= 1;
    fs::write(&part, &stored).unwrap();
    let mut bob = group.join("bob");
    let have = number(&bob.sees("continues", "large.bin"), "have");
    assert!(have >= had - 100_000 && have < SIZE as u64, "all but the piece that is wrong: {have} {had}");
    let stored = bob.sees("stored", "large.bin");
    assert_eq!(field(&stored, "sha256"), sha256(&bytes));
    assert!(!bob.seen.iter().any(|line| line.contains("\"what\":\"corrupt\"")), "the wrong piece was not used");
    assert!(group.received("bob", "large.bin") == bytes);
    assert_eq!(group.hidden("bob"), Vec::<PathBuf>::new());
}

#[test]
fn a_sender_that_was_killed_offers_again_and_only_the_rest_is_sent() {
    let group = Group::new("killed-sender", &["ada", "bob"]);
    let (mut ada, mut bob) = (group.join("ada"), group.join("bob"));
    let bytes = payload(SIZE);
    fs::write(group.scratch.path("large.bin"), &bytes).unwrap();
    ada.type_line("/send large.bin");
    let had = sees_some(&mut bob, 5_000_000);
    ada.kill();
    let mut ada = group.join("ada");
    // The silence of the old one is noticed, or the new one takes over.
    bob.sees("stalled", "large.bin");
    ada.type_line("/send large.bin");
    let have = number(&bob.sees("continues", "large.bin"), "have");
    assert!(have >= had && have < SIZE as u64, "{have} {had}");
    assert_eq!(field(&bob.sees("stored", "large.bin"), "sha256"), sha256(&bytes));
    assert!(group.received("bob", "large.bin") == bytes);
    assert_eq!(group.hidden("bob"), Vec::<PathBuf>::new());
}
