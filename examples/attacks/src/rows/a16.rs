//! A16: the heartbeat of a leader that has stopped is played again.

use sodality::group::Check;

use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, PERIOD, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A16",
    system: System::Antigone,
    section: "2.2.5",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "the heartbeat of a leader that has stopped is played again",
    holds: "recorded heartbeats",
    steps: &[
        "the leader stops",
        "the attacker plays a heartbeat of before once a period (repaired edition: one that it withheld, since no \
            other counts)",
    ],
    reaches: "nobody notices that the leader is gone",
    defence: "only an answer to a member's own question is evidence; a heartbeat is advice (RA §4.3)",
    beyond_repair: false,
    published,
    repaired,
};

/// How many periods the leader has been gone in the end: longer than T_lost.
const PERIODS: u32 = 8;

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(2).number_with_each_key())?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    scene.run(PERIOD * 2)?;
    let beat = scene.last("AN-HL", ann)?;
    scene.crash(leader)?;
    let mark = scene.mark();
    for _ in 0..PERIODS {
        scene.run(PERIOD - SOON)?;
        if let Some(beat) = setup.give(&beat) {
            scene.replay(beat)?;
        }
    }
    let won = !scene.noticed(&mark, ANN);
    Ok(setup.shows(won, format!("the leader has been gone for {PERIODS} periods, and ann has not noticed")))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2).shared())?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    scene.hold(move |frame, id| frame.to == ann && id == "RA-H");
    scene.run(PERIOD * (PERIODS + 1))?;
    let withheld = setup.give_all(scene.release());
    scene.crash(leader)?;
    let mark = scene.mark();
    let mut accepted = 0;
    for beat in 0..PERIODS as usize {
        scene.run(PERIOD - SOON)?;
        if let Some(beat) = withheld.get(beat) {
            accepted += u32::from(scene.replay(beat)?.is_none());
        }
    }
    if !setup.withheld && accepted == 0 {
        return Err(Failed::steps("no heartbeat was taken"));
    }
    let won = !scene.noticed(&mark, ANN);
    let by = "a heartbeat moves no clock";
    let shown = format!("of {PERIODS} heartbeats of before, played after the leader stopped, {accepted} were new and \
        authentic");
    Ok(setup.judge(won, Check::HeartbeatAdvice, by, shown))
}
