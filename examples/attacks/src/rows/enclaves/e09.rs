//! E9: a notice that somebody has joined comes again.

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::rows::shared::old_word;
use crate::scene::{ANN, CYD, NAMES, Plan, SECOND, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E9",
    system: System::Enclaves,
    section: "3.2.1",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "somebody who has left appears again",
    holds: "a recorded notice that cyd has joined",
    steps: &[
        "cyd leaves",
        "the attacker lets the notice come to ann again",
    ],
    reaches: "ann takes cyd for a member",
    defence: "notices are links of a chain: each names the number that the member made last (enclaves §4)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let ann = scene.node(ANN);
    let notice = scene.last("EN-M+", ann)?;
    scene.leave(CYD)?;
    scene.run(SECOND)?;
    let mark = scene.mark();
    scene.replay_all(&setup.give_all(vec![notice]))?;
    let won = scene.added(&mark, ann, NAMES[CYD]);
    Ok(setup.shows(won, "ann tells its application that cyd has joined, who is gone"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    old_word(setup, |scene| {
        scene.leave(CYD)?;
        scene.run(SECOND * 6)
    }, |scene, mark| scene.added(mark, scene.node(ANN), NAMES[CYD]))
}
