//! Who may join which group, and what a member insists on.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

mod common;

use std::fs;

use common::{ANYWHERE, Party, Scratch, complaint};

#[test]
fn who_may_join_is_the_leaders_and_the_registrys_choice() {
    let scratch = Scratch::new("admission");
    scratch.register(&["ada", "bob"]);
    let mut ttp = scratch.ttp();
    let ttp_at = ttp.address();

    // A list.
    let mut lea = scratch.lead(&ttp_at, &["--allow", "ada,nobody"]);
    let at = lea.address();
    scratch.bad(&Scratch::join_args("bob", "bob.key", &at, &[]), 3, &["lea refuses", "does not admit"]);
    let mut ada = scratch.join("ada", &at, &[]);
    ada.sees("joined", "");

    // A wrong key, a name that nobody knows, one that is disabled: the leader hears why, the stranger no word.
    let quick = ["--wait", "2"];
    scratch.bad(&Scratch::join_args("bob", "ada.key", &at, &quick), 4, &["did not answer", "key"]);
    lea.sees("not-vouched", "its key is not the registered one");
    scratch.bad(&Scratch::join_args("eve", "ada.key", &at, &quick), 4, &["did not answer", "name"]);
    lea.sees("not-vouched", "not registered");
    // What is changed in the registry holds at once.
    scratch.good(&["register", "--disable", "bob", "--registry", "reg"]);
    scratch.bad(&Scratch::join_args("bob", "bob.key", &at, &quick), 4, &["did not answer"]);
    lea.sees("not-vouched", "disabled");
    scratch.good(&["register", "--enable", "bob", "--registry", "reg"]);
    scratch.good(&["register", "--rotate", "bob", "--registry", "reg", "--key-out", "bob2.key"]);
    scratch.bad(&Scratch::join_args("bob", "bob2.key", &at, &[]), 3, &["does not admit"]);

    // A second leader with the same third party: it asks its user.
    scratch.good(&["register", "max", "--leader", "--registry", "reg"]);
    let args = Scratch::lead_args("max", "max.key", &ttp_at, ANYWHERE, &["--ask"]);
    let mut max = Party::start(&scratch, &args);
    let at = max.address();
    let join = |name: &'static str, key: &'static str| {
        let args = ["join", name, "--leader", "max", "--app", "tea", "--key", key, "--at", &at, "--json"];
        Party::start(&scratch, &args)
    };
    let mut bob = join("bob", "bob2.key");
    max.sees("admission", "\"name\":\"bob\",\"number\":1");
    max.type_line("/yes 7");
    max.sees("error", "nobody asked");
    max.type_line("/yes 1");
    bob.sees("joined", "");
    let lea2 = join("lea", "lea.key");
    max.sees("admission", "\"name\":\"lea\",\"number\":2");
    max.type_line("/no 2");
    let (status, said) = lea2.ends();
    assert_eq!(status, Some(3), "{said}");
    assert!(complaint(said.as_bytes()).contains("max refuses"), "{said}");

    // A principal that is not registered as a leader gets no answers.
    let args = Scratch::lead_args("ada", "ada.key", &ttp_at, ANYWHERE, &[]);
    let mut false_leader = Party::start(&scratch, &args);
    let at = false_leader.address();
    let args = ["join", "bob", "--leader", "ada", "--app", "tea", "--key", "bob2.key", "--at", &at, "--wait", "2"];
    scratch.bad(&args, 4, &["ada did not answer"]);
}

#[test]
fn floors_and_policies() {
    let scratch = Scratch::new("policy");
    scratch.register(&["ada"]);
    let mut ttp = scratch.ttp();
    let ttp_at = ttp.address();
    let mut lea = scratch.lead(&ttp_at, &["--preset", "open-broadcast"]);
    let at = lea.address();
    scratch.bad(&Scratch::join_args("ada", "ada.key", &at, &[]), 3, &["protects data less", "--floor"]);
    let mut ada = scratch.join("ada", &at, &["--floor", "integrity,origin"]);
    ada.sees("joined", "");
    ada.type_line("/status");
    ada.sees("status", "integrity");

    let lead = |policy: &str, status, words: &[&str]| {
        fs::write(scratch.path("policy.toml"), policy).unwrap();
        let more = ["--policy", "policy.toml"];
        scratch.bad(&Scratch::lead_args("lea", "lea.key", &ttp_at, &at, &more), status, words);
    };
    lead("[data]\nprotection = \"some\"\n", 5, &["policy.toml:2:14:"]);
    lead("[rekey\n", 5, &["policy.toml:1:"]);
    lead("[data]\norigins = true\n", 5, &["policy.toml:2:1:", "origins"]);
    lead("[rekey]\ngrace_ms = 100\nsettle_ms = 100\n", 5, &["policy.toml:3:13:", "settle"]);
    // The port is taken.
    lead("", 5, &[&at, "another program listens", "--listen"]);
    scratch.bad(&["ttp", "--registry", "reg", "--listen", &at], 5, &["another program listens", "--listen"]);
}
