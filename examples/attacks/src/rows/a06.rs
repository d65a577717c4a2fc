//! A6: the third party hides a key that it could simply send.

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, Plan, SECOND, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A6",
    system: System::Antigone,
    section: "2.2.1",
    who: Who::Nobody,
    class: Class::Weakness,
    title: "the third party hides a key that it could simply send",
    holds: "nothing",
    steps: &[
        "ann joins",
    ],
    reaches: "a step of computation at both ends, and an answer that does not name the member",
    defence: "the third party sends the key of this one join in a box of this one question (RA §2)",
    beyond_repair: false,
    published,
    repaired,
};

fn answer(setup: &Setup, plan: &Plan, id: &str) -> Ran<usize> {
    let mut scene = Scene::open(setup, plan)?;
    scene.join(ANN)?;
    scene.run(SECOND)?;
    Ok(scene.last(id, scene.leader())?.bytes.len())
}

fn published(setup: &Setup) -> Ran {
    let plain = answer(setup, &Plan::of(1), "AN-T2")?;
    let strong = answer(setup, &Plan::of(1).strong_reply(), "AN-T2s")?;
    Ok(Outcome::Measured {
        text: format!(
            "π in {plain} bytes, of which both ends compute σ; σ itself with the member's name takes {strong} bytes"
        ),
    })
}

fn repaired(setup: &Setup) -> Ran {
    let length = answer(setup, &Plan::of(1), "RA-T2")?;
    Ok(Outcome::Measured { text: format!("the key of the join in {length} bytes; there is no pair key") })
}
