//! Groups of Enclaves: users by password, a leader, members.

use std::fs;

use super::{ANYWHERE, Party, Scratch, set_mode};

/// A loss shows within some seconds; a busy machine is none.
pub(crate) const POLICY: &str = "[rekey]\ngrace_ms = 200\nsettle_ms = 50\n[detection]\nperiod_ms = 500\nmisses = 8\n";

/// A file for its owner alone.
pub(crate) fn write_secret(scratch: &Scratch, file: &str, text: &str) {
    fs::write(scratch.path(file), text).unwrap();
    set_mode(&scratch.path(file), 0o600);
}

/// Adds a user whose password is that of `NAME.password`.
pub(crate) fn user(scratch: &Scratch, name: &str) {
    let file = format!("{name}.password");
    write_secret(scratch, &file, &format!("the long password of {name}\n"));
    scratch.good(&["user", name, "--users", "users", "--leader", "lea", "--password", &file]);
}

/// The arguments of a leader.
pub(crate) fn lead_args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let args =
        ["lead", "lea", "--system", "enclaves", "--app", "tea", "--users", "users", "--listen", ANYWHERE, "--json"];
    [&args, more].concat()
}

/// A leader `lea`.
pub(crate) fn lead(scratch: &Scratch, more: &[&str]) -> Party {
    fs::write(scratch.path("policy.toml"), POLICY).unwrap();
    Party::start(scratch, &lead_args(&[&["--policy", "policy.toml"], more].concat()))
}

/// The arguments of a member.
pub(crate) fn join_args<'a>(name: &'a str, at: &'a str, secret: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let args = ["join", name, "--system", "enclaves", "--leader", "lea", "--app", "tea", "--at", at, "--json"];
    [&args, secret, more].concat()
}

/// A member that is in.
pub(crate) fn join(scratch: &Scratch, name: &str, at: &str) -> Party {
    join_with(scratch, name, at, &[])
}

/// The same with more arguments.
pub(crate) fn join_with(scratch: &Scratch, name: &str, at: &str, more: &[&str]) -> Party {
    let file = format!("{name}.password");
    let mut party = Party::start(scratch, &join_args(name, at, &["--password", &file], more));
    party.sees("joined", "");
    party
}
