//! A20: the heartbeats of a member that has stopped are played again.

use sodality::event::Event;
use sodality::group::Check;
use sodality::policy::OnSilence;

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, PERIOD, Plan, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A20",
    system: System::Antigone,
    section: "2.2.5",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "the heartbeats of a member that has stopped are played again",
    holds: "what ann said to the leader: recorded, or withheld on its way",
    steps: &[
        "the attacker holds back what ann says, and gives it slowly",
        "ann stops; the attacker goes on with what is left",
    ],
    reaches: "the leader does not notice that ann is gone; ann stays in the view",
    defence: "evidence counts from when the leader's own frame was sent, which ann's frame must echo (RA §4.3)",
    beyond_repair: false,
    published,
    repaired,
};

/// With one heartbeat for two periods, half of them are left when ann stops.
const GIVEN: u32 = 6;

fn missed(scene: &Scene, mark: &crate::scene::judge::Mark) -> bool {
    let leader = scene.leader();
    !scene.told(mark, leader, |event| matches!(event, Event::Suspected { .. } | Event::MemberRemoved { .. }))
}

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let ann = scene.node(ANN);
    let leader = scene.leader();
    let (mark, mut given) = (scene.mark(), 0);
    // Its numbers grow (D11), so each heartbeat counts once: the attacker saves them up.
    scene.hold(move |frame, id| frame.from == ann && frame.to == leader && id == "AN-HM");
    for turn in 0..2 * GIVEN {
        if turn == GIVEN {
            scene.crash(ann)?;
        }
        scene.run(PERIOD * 2)?;
        let kept = scene.take_held();
        if let Some(kept) = setup.give(kept).flatten() {
            given += u32::from(scene.replay(&kept)?.is_none());
        }
    }
    let shown = format!("{given} heartbeats, given ever later; ann stopped a minute ago, and the leader has not noticed");
    Ok(setup.shows(missed(&scene, &mark), shown))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    // Where the leader only reports it, the channel stays open to be attacked.
    let plan = Plan::of(2).policy(|policy| policy.on_silence = OnSilence::Report);
    let mut scene = Scene::joined(setup, &plan)?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    let recorded = scene.frames_from("RA-CM", ann);
    let (mark, mut given) = (scene.mark(), 0);
    scene.hold(move |frame, id| frame.from == ann && frame.to == leader && id == "RA-CM");
    for turn in 0..8 {
        if turn == 4 {
            scene.crash(ann)?;
        }
        scene.run(PERIOD * 3)?;
        let kept = scene.take_held();
        if let Some(kept) = setup.give(kept).flatten() {
            given += u32::from(scene.replay(&kept)?.is_none());
        }
        // Those that the leader has had, as well.
        for old in setup.give_all(recorded.clone()) {
            scene.replay(&old)?;
        }
    }
    let by = "a frame of ann's proves life at the time of the leader's frame that it echoes";
    let shown = format!("{given} frames of ann's, given ever later, were new and authentic; those of before were not");
    Ok(setup.judge(missed(&scene, &mark), Check::EvidenceTime, by, shown))
}
