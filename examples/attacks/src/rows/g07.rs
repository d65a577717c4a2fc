//! G7: systems of the Rampart and SecureRing kind.

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};

/// The row.
pub static ROW: Row = Row {
    id: "G7",
    system: System::Antigone,
    section: "1.2",
    who: Who::Member,
    class: Class::Weakness,
    title: "systems of the Rampart and SecureRing kind meet limits of their own",
    holds: "a place in such a system",
    steps: &[
        "it fails in ways that a detector cannot see",
    ],
    reaches: "exclusion may fail, at a high cost",
    defence: "outside this library",
    beyond_repair: false,
    published,
    repaired,
};

const WHY: &str = "outside this library: it has no agreement among peers";

fn published(_setup: &Setup) -> Ran {
    Ok(Outcome::NotApplicable { why: WHY })
}

fn repaired(_setup: &Setup) -> Ran {
    Ok(Outcome::NotApplicable { why: WHY })
}
