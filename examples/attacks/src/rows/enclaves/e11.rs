//! E11: an old key comes again.

use crate::craft::version_two::Kit;
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::rows::shared::old_word;
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E11",
    system: System::Enclaves,
    section: "3.2.2",
    who: Who::Former,
    class: Class::Exploitable,
    title: "a former member brings back a key that it knows",
    holds: "a recorded key message to ann, and the key in it, from its own time",
    steps: &[
        "bob is expelled, and the key changes",
        "bob lets the key message of before come to ann again",
    ],
    reaches: "ann goes back to a key that bob knows",
    defence: "keys are links of a chain: each names the number that the member made last; and an epoch only grows (enclaves §4)",
    beyond_repair: false,
    published,
    repaired,
};

const WORDS: &[u8] = b"bob must not hear this";

fn published(setup: &Setup) -> Ran {
    let mut kit = Kit::new(setup);
    let mut scene = Scene::joined(setup, &Plan::of(3).prudent())?;
    let ann = scene.node(ANN);
    let old = scene.last("EN-NK", ann)?;
    // The key is bob's in the control run too: without the message it is of no use.
    let known = kit.insider(&Setup { withheld: false, ..*setup }, &scene, BOB)?;
    scene.eject(NAMES[BOB])?;
    scene.run(SECOND)?;
    let why = scene.replay_all(&setup.give_all(vec![old]))?;
    scene.say(ANN, WORDS)?;
    scene.run(SOON)?;
    let said = scene.last_from("EN-D1", ann)?;
    let won = kit.reads(&known, &said).is_some_and(|text| text == WORDS);
    let shown = format!("bob, who was expelled, reads what ann says; the old key message was {}", code(why));
    Ok(setup.shows(won, shown))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    old_word(setup, |scene| {
        scene.rekey()?;
        scene.run(SECOND * 6)?;
        scene.eject(NAMES[BOB])?;
        scene.run(SECOND * 6)
    }, |scene, mark| !scene.installed(mark, scene.node(ANN)).is_empty())
}
