//! E8: a refusal in clear.

use crate::craft::version_two::{Kit, called};
use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::rows::x15;
use crate::scene::{ANN, Plan, SECOND, SOON, Scene};
use sodality::sim::star::LEADER;

/// The row.
pub static ROW: Row = Row {
    id: "E8",
    system: System::Enclaves,
    section: "3.2.1",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "a refusal is forged",
    holds: "nothing",
    steps: &[
        "ann asks to join",
        "the attacker answers first: connection denied",
    ],
    reaches: "ann is kept out of a group that would have it",
    defence: "no pre-authentication; a refusal is sealed under the key of the join, like any other answer (enclaves §4)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup);
    let mut scene = Scene::open(setup, &Plan::of(1))?;
    let ann = scene.node(ANN);
    scene.hold(move |frame, id| frame.to == ann && id == "EN-P2");
    scene.join(ANN)?;
    scene.run(SOON)?;
    let held = scene.release().into_iter().next().ok_or_else(|| Failed::steps("no answer"))?;
    if let Some(refusal) = setup.give(kit.scheme().open_answer(called(LEADER)?, false)) {
        scene.inject(held.to_link, refusal)?;
    }
    scene.replay(&held)?;
    scene.run(SECOND * 12)?;
    let won = x15::kept_out(&scene) && !scene.is_in(ANN);
    Ok(setup.shows(won, "ann has given up, and the leader would have had it"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    x15::refused(setup, "EN-R2")
}
