//! G2: the leader's host is broken into, once.

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::rows::a05;

/// The row.
pub static ROW: Row = Row {
    id: "G2",
    system: System::Antigone,
    section: "1.2, 3.2",
    who: Who::Leader,
    class: Class::Exploitable,
    title: "the leader's host is broken into, once",
    holds: "all keys of members that the leader's machine held during an earlier session of ann's",
    steps: &[
        "ann's session ends, and the leader's host is clean again",
        "the intruder poses as ann with what it took along",
    ],
    reaches: "ann can be impersonated in later sessions",
    defence: "the leader holds keys of sessions only; long-term keys are at a third party, and do not follow from \
        them (RA §2, S2)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    // What the leader computes for ann is σ, today and for ever.
    a05::pose(setup)
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    // What it held are the channel keys of a session that is over.
    a05::speak(setup)
}
