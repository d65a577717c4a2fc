//! E1: the group key stays when somebody goes.

use crate::craft::version_two::Kit;
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::rows::a15;
use crate::scene::{ANN, BOB, CYD, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E1",
    system: System::Enclaves,
    section: "3.1",
    who: Who::Former,
    class: Class::Exploitable,
    title: "who has left keeps the key and reads on",
    holds: "the group key of its time",
    steps: &[
        "ann leaves",
        "bob speaks; ann opens what goes over the wire",
    ],
    reaches: "ann reads the rest of the session",
    defence: "a removal changes the key, and who has the new one uses no older key from then on (RA §4.4, floor)",
    beyond_repair: false,
    published,
    repaired,
};

const WORDS: &[u8] = b"now that ann is gone";

fn published(setup: &Setup) -> Ran {
    let mut kit = Kit::new(setup);
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let kept = kit.insider(setup, &scene, ANN)?;
    scene.leave(ANN)?;
    scene.run(SECOND)?;
    scene.say(BOB, WORDS)?;
    scene.run(SOON)?;
    let said = scene.last("EN-D2", scene.node(CYD))?;
    let won = kit.reads(&kept, &said).is_some_and(|text| text == WORDS);
    Ok(setup.shows(won, "ann has left, and reads what bob says: K_g is what it was"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    a15::listens(setup, "EN-R9")
}
