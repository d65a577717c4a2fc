//! A13: an old request to leave or to eject counts again.

use sodality::event::Cause;
use sodality::group::Check;
use sodality::policy::EjectRequests;

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A13",
    system: System::Antigone,
    section: "2.2.4",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "an old request to leave or to eject counts again",
    holds: "a recorded request",
    steps: &[
        "ann leaves, or is to be ejected at a member's wish, and is in the group again",
        "the attacker lets the request of before come to the leader",
    ],
    reaches: "ann, who has come back, is removed",
    defence: "a request is under the key of its session, counts once, and names the number of who should go, not the \
        name (RA §4.6)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let plan = Plan::of(2).keeps_its_key().policy(|policy| policy.eject_requests = EjectRequests::Granted);
    let mut scene = Scene::joined(setup, &plan)?;
    let (ann, bob, leader) = (scene.node(ANN), scene.node(BOB), scene.leader());
    scene.leave(ANN)?;
    scene.run(SECOND * 12)?;
    // It was sent more than once; one is enough.
    let leave = scene.last_from("AN-L", ann)?;
    scene.join(ANN)?;
    scene.run(SECOND * 12)?;
    scene.ask_to_eject(BOB, NAMES[ANN])?;
    scene.run(SECOND)?;
    // Both forms have one type (report §2.2.4).
    let eject = scene.last_from("AN-L", bob)?;
    let (mut whys, mut causes) = (Vec::new(), Vec::new());
    for request in [leave, eject] {
        // Ann notices that she is out by what she does not hear.
        if scene.is_in(ANN) {
            scene.leave(ANN)?;
        }
        scene.run(SECOND * 12)?;
        scene.join(ANN)?;
        scene.run(SECOND * 12)?;
        let mark = scene.mark();
        whys.push(code(scene.replay_all(&setup.give_all(vec![request]))?));
        scene.run(SOON)?;
        causes.extend(scene.removed(&mark, leader, NAMES[ANN]));
    }
    let won = causes == [Cause::Leave, Cause::Eject];
    let whys = whys.join(", bob's old request ");
    let shown = format!("ann is back, each time: her old wish to leave was {whys}");
    Ok(setup.shows(won, shown))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let plan = Plan::of(2).policy(|policy| policy.eject_requests = EjectRequests::Granted);
    let mut scene = Scene::joined(setup, &plan)?;
    let (ann, bob, leader) = (scene.node(ANN), scene.node(BOB), scene.leader());
    // Bob asks that ann go; the attacker keeps the request, which has never been counted, and its repeats.
    scene.hold(move |frame, id| id == "RA-CM" && frame.from == bob);
    scene.ask_to_eject(BOB, NAMES[ANN])?;
    scene.run(SECOND)?;
    let request = scene.take_held();
    scene.leave(ANN)?;
    scene.run(SECOND)?;
    let leaves = scene.frames_from("RA-CM", ann);
    scene.join(ANN)?;
    scene.run(SECOND * 6)?;
    let mark = scene.mark();
    // Ann's own leave, then bob's request.
    let left = scene.replay_all(&setup.give_all(leaves))?;
    let asked = scene.replay_all(&setup.give_all(request.into_iter().collect()))?;
    scene.run(SECOND * 8)?;
    let won = scene.removed(&mark, leader, NAMES[ANN]) == Some(Cause::Eject);
    let by = "the request names the number of an earlier incarnation, which is gone";
    let shown = format!("ann's old wish to leave: {}; bob's old request: {}", code(left), code(asked));
    Ok(setup.judge(won, Check::EjectTarget, by, shown))
}
