//! G1: the leader abuses its rights.

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "G1",
    system: System::Antigone,
    section: "1.2, 4",
    who: Who::Leader,
    class: Class::Exploitable,
    title: "the leader abuses its rights",
    holds: "the leader's machine",
    steps: &[
        "ann says something; the leader reads it",
        "the leader ejects ann without a reason",
    ],
    reaches: "the leader reads everything, and expels whom it likes; members have no protection",
    defence: "none with one leader: several leaders with a threshold key are in enclaves.md §5",
    beyond_repair: true,
    published,
    repaired,
};

fn abused(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    scene.say(ANN, b"nothing against anybody")?;
    scene.run(SOON)?;
    let reads = scene.heard(leader, b"nothing against anybody") > 0;
    // The control run: the same wish, of somebody who is not the leader.
    match setup.give(()) {
        Some(()) => scene.eject(NAMES[ANN])?,
        None => scene.ask_to_eject(BOB, NAMES[ANN])?,
    }
    scene.run(SECOND * 2)?;
    scene.say(BOB, b"without ann")?;
    scene.run(SOON)?;
    let out = scene.heard(ann, b"without ann") == 0;
    Ok(match reads && out {
        true => Outcome::Impossible { shown: "the leader reads what ann says, and puts it out because it likes \
            to".into() },
        false => setup.shows(false, "an ordinary member asks in vain"),
    })
}

fn published(setup: &Setup) -> Ran {
    abused(setup)
}

fn repaired(setup: &Setup) -> Ran {
    abused(setup)
}
