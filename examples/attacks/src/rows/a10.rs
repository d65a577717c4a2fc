//! A10: nothing says how the group learns of a newcomer.

use sodality::event::Event;

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A10",
    system: System::Antigone,
    section: "2.2.3",
    who: Who::Nobody,
    class: Class::Weakness,
    title: "nothing says how the group learns of a newcomer",
    holds: "nothing",
    steps: &[
        "ann is in the group; bob joins, and the key does not change",
        "bob says something",
    ],
    reaches: "views differ: a member hears somebody whom it was not told of",
    defence: "each change of the view is told and bound into the data keys by its digest (RA §4.5)",
    beyond_repair: false,
    published,
    repaired,
};

fn measured(setup: &Setup) -> Ran {
    let mut scene = Scene::open(setup, &Plan::of(2).keeps_its_key())?;
    scene.join(ANN)?;
    scene.run(SECOND * 12)?;
    let (mark, ann) = (scene.mark(), scene.node(ANN));
    scene.join(BOB)?;
    scene.run(SECOND * 6)?;
    let told = scene.told(&mark, ann, |event| {
        matches!(event, Event::MemberAdded { name, .. } if name.as_str() == NAMES[BOB])
    });
    scene.say(BOB, b"here I am")?;
    scene.run(SOON)?;
    let heard = scene.heard(ann, b"here I am") > 0;
    let (told, heard) = (if told { "was" } else { "was not" }, if heard { "hears" } else { "does not hear" });
    Ok(Outcome::Measured { text: format!("ann {told} told within 6 s that bob has joined, and {heard} what it says") })
}

fn published(setup: &Setup) -> Ran {
    measured(setup)
}

fn repaired(setup: &Setup) -> Ran {
    measured(setup)
}
