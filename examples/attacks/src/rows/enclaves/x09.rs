//! X9: an old request to join.

use sodality::group::Check;

use crate::craft::version_two::{Kit, called};
use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X9",
    system: System::Enclaves,
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "an old request to join ends a live session",
    holds: "a recorded request of an earlier session of ann's",
    steps: &[
        "ann leaves, and comes back",
        "the attacker lets the request of before come again",
    ],
    reaches: "the leader has forgotten ann's session, and ann does not know",
    defence: "a live session ends only when the new one is confirmed, which takes its key (D32)",
    beyond_repair: false,
    published,
    repaired,
};

const WORDS: &[u8] = b"who hears me?";

/// Ann is back, and its request of before is in the attacker's hands.
fn again(setup: &Setup, id: &str) -> Ran<(Scene, sodality::sim::InTransit)> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let old = scene.last_from(id, scene.node(ANN))?;
    scene.leave(ANN)?;
    scene.run(SECOND * 14)?;
    scene.join(ANN)?;
    scene.run(SECOND * 6)?;
    if !scene.is_in(ANN) || scene.last_from(id, scene.node(ANN))?.bytes == old.bytes {
        return Err(Failed::steps("ann is not back by a request of its own"));
    }
    Ok((scene, old))
}

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup);
    let (mut scene, old) = again(setup, "EN-A1")?;
    let (leader, bob) = (scene.leader(), scene.node(BOB));
    let (line, mark) = (scene.line(bob, leader)?, scene.mark());
    // Pre-authentication comes first, which anybody can write.
    scene.inject(line, kit.scheme().open_request(called(NAMES[ANN])?))?;
    if let Some(old) = setup.give(old) {
        scene.inject(line, old.bytes)?;
    }
    scene.run(SOON)?;
    let gone = scene.removed(&mark, leader, NAMES[ANN]).is_some() && scene.removed(&mark, bob, NAMES[ANN]).is_some();
    let unaware = scene.is_in(ANN) && scene.since(&mark, scene.node(ANN)).is_empty();
    scene.rekey()?;
    scene.run(SECOND)?;
    scene.say(BOB, WORDS)?;
    scene.run(SOON)?;
    let deaf = scene.heard(scene.node(ANN), WORDS) == 0;
    Ok(setup.shows(gone && unaware && deaf, "leader and bob take ann for gone; ann knows nothing of it, and gets no new key"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let (mut scene, old) = again(setup, "EN-R1")?;
    let (leader, ann) = (scene.leader(), scene.node(ANN));
    let line = scene.line(ann, leader)?;
    let mut why = None;
    if let Some(old) = setup.give(old) {
        why = scene.inject(line, old.bytes)?;
    }
    scene.run(SOON)?;
    scene.tries_to_say(ANN, WORDS)?;
    scene.run(SOON)?;
    let won = scene.heard(leader, WORDS) == 0;
    let by = "the offer that answers it can be taken only with the key of the new session";
    let heard = if won { "does not hear ann any more" } else { "goes on hearing ann" };
    Ok(setup.judge(won, Check::LiveSession, by, format!("the old request was {}, and the leader {heard}", code(why))))
}
