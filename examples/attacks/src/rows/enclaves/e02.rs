//! E2: data are delivered again.

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::rows::a01;
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E2",
    system: System::Enclaves,
    section: "3.1.1",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "a message to the group is delivered again",
    holds: "a recorded message",
    steps: &[
        "ann says something",
        "the attacker lets it come again, to bob and to the leader, who relays it",
    ],
    reaches: "bob's application is given the message more than once",
    defence: "a window of numbers for each sender and epoch, under a key of that sender and epoch (D34)",
    beyond_repair: false,
    published,
    repaired,
};

const WORDS: &[u8] = b"pay ten";

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, bob) = (scene.node(ANN), scene.node(BOB));
    scene.say(ANN, WORDS)?;
    scene.run(SOON)?;
    let copies = vec![scene.last("EN-D2", bob)?, scene.last_from("EN-D1", ann)?];
    let why = scene.replay_all(&setup.give_all(copies))?;
    scene.run(SOON)?;
    let (bob, leader) = (scene.heard(bob, WORDS), scene.heard(scene.leader(), WORDS));
    let shown = format!("bob was given it {bob} times, and the leader {leader} times; the copy was {}", code(why));
    Ok(setup.shows(bob > 1 && leader > 1, shown))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    a01::copied(setup, "EN-R9")
}
