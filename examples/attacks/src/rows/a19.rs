//! A19: heartbeats are collected, and played later in order.

use sodality::group::Check;

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, PERIOD, Plan, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A19",
    system: System::Antigone,
    section: "2.2.5",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "heartbeats are collected, and played later in order",
    holds: "what the leader said, withheld on its way to ann",
    steps: &[
        "the attacker gives ann every second sign of life of the leader at half the pace, and keeps the others",
        "the leader stops",
        "the attacker goes on with those that it has kept",
    ],
    reaches: "ann does not notice that the leader is gone",
    defence: "what an answer proves counts from when the question was sent (RA §4.3, alive_as_of)",
    beyond_repair: false,
    published,
    repaired,
};

/// Signs of life that ann is given before and after the leader stops.
const GIVEN: u32 = 6;

fn slow(setup: &Setup, id: &'static str) -> Ran<(bool, u32)> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    let (mark, mut given) = (scene.mark(), 0);
    scene.hold(move |frame, held| frame.to == ann && held == id);
    for turn in 0..GIVEN * 2 {
        if turn == GIVEN {
            scene.crash(leader)?;
        }
        scene.run(PERIOD * 2)?;
        let kept = scene.take_held();
        if let Some(kept) = setup.give(kept).flatten() {
            given += u32::from(scene.replay(&kept)?.is_none());
        }
    }
    Ok((!scene.noticed(&mark, ANN), given))
}

fn published(setup: &Setup) -> Ran {
    let (won, given) = slow(setup, "AN-HL")?;
    Ok(setup.shows(won, format!("{given} heartbeats, each later than the one before; the leader stopped a minute ago")))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let (won, given) = slow(setup, "RA-CL")?;
    let by = "an answer proves life at the time of its question, however late it comes";
    let shown = format!("{given} answers of the leader, given ever later, were new and authentic");
    Ok(setup.judge(won, Check::EvidenceTime, by, shown))
}
