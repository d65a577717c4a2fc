//! E5: private messages are delivered again.

use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, BOB, NAMES, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E5",
    system: System::Enclaves,
    section: "3.1.2",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "a private message is delivered again",
    holds: "a recorded private message",
    steps: &[
        "ann says something to bob alone",
        "the attacker lets it come again, to the leader and to bob",
    ],
    reaches: "bob's application is given it more than once",
    defence: "sender, recipient and a counter are bound into each (D29)",
    beyond_repair: false,
    published,
    repaired,
};

const WORDS: &[u8] = b"psst";

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, bob) = (scene.node(ANN), scene.node(BOB));
    scene.gossip(ANN, &[NAMES[BOB]], WORDS)?;
    scene.run(SOON)?;
    let copies = vec![scene.last_from("EN-G1", ann)?, scene.last("EN-G2", bob)?];
    scene.replay_all(&setup.give_all(copies))?;
    scene.run(SOON)?;
    let heard = scene.heard_in_private(bob, WORDS);
    Ok(setup.shows(heard > 1, format!("ann said it once, and bob was given it {heard} times")))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, bob) = (scene.node(ANN), scene.node(BOB));
    scene.gossip(ANN, &[NAMES[BOB]], WORDS)?;
    scene.run(SOON)?;
    // The request and the message at the leader, the key and the message at bob.
    let copies = vec![
        scene.last_from("EN-R8", ann)?,
        scene.last_from("EN-R10", ann)?,
        scene.last("EN-R4", bob)?,
        scene.last("EN-R10", bob)?,
    ];
    scene.replay_all(&setup.give_all(copies))?;
    scene.run(SOON)?;
    let heard = scene.heard_in_private(bob, WORDS);
    if heard == 0 {
        return Err(Failed::steps("bob was not given it at all"));
    }
    let by = "requests are numbered, and a key that has opened its message is gone";
    Ok(setup.verdict(heard > 1, None, by, format!("ann said it once, and bob was given it {heard} times")))
}
