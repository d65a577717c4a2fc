//! E13: a notice that somebody has left comes again.

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::rows::shared::old_word;
use crate::scene::{ANN, CYD, NAMES, Plan, SECOND, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E13",
    system: System::Enclaves,
    section: "3.2.3",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "somebody who is there is taken for gone",
    holds: "a recorded notice that cyd has left",
    steps: &[
        "cyd comes back",
        "the attacker lets the notice come to ann again",
    ],
    reaches: "ann takes cyd for gone",
    defence: "notices are links of a chain: each names the number that the member made last (enclaves §4)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let ann = scene.node(ANN);
    scene.leave(CYD)?;
    scene.run(SECOND)?;
    let notice = scene.last("EN-M-", ann)?;
    scene.join(CYD)?;
    scene.run(SECOND)?;
    let mark = scene.mark();
    scene.replay_all(&setup.give_all(vec![notice]))?;
    let won = scene.removed(&mark, ann, NAMES[CYD]).is_some() && scene.is_in(CYD);
    Ok(setup.shows(won, "ann tells its application that cyd is gone, who is there"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    old_word(setup, |scene| {
        scene.leave(CYD)?;
        scene.run(SECOND * 14)?;
        scene.join(CYD)?;
        scene.run(SECOND * 6)
    }, |scene, mark| scene.removed(mark, scene.node(ANN), NAMES[CYD]).is_some())
}
