//! X13: two texts have one digest.

use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, Suite, Who};
use crate::scene::{Plan, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X13",
    section: "own",
    who: Who::Member,
    class: Class::Exploitable,
    title: "two texts have one digest",
    holds: "the group key, as every member does, and the time to find two texts of one MD5 digest after a given \
        beginning",
    steps: &[
        "bob says one of the two texts",
        "whoever helps it on the network gives ann the other one, with the same tag",
    ],
    reaches: "two versions of one message, both with the tag that bob made for one",
    defence: "MD5 is not used",
    beyond_repair: false,
    published,
    repaired,
};

/// An identical-prefix collision after the encoded `g, A` and the length of m, for the g of this seed.
fn published(setup: &Setup) -> Ran {
    if setup.cell.suite == Suite::Modern {
        return Ok(Outcome::NotApplicable { why: "the modern suite has no MD5" });
    }
    let scene = Scene::joined(setup, &Plan::of(2).keeps_its_key())?;
    drop(scene);
    Err(Failed::Absent("the two texts are not there yet"))
}

fn repaired(_setup: &Setup) -> Ran {
    Ok(Outcome::NotApplicable { why: "MD5 is not used" })
}
