//! X10: a rekey while somebody joins.

use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, BOB, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X10",
    system: System::Enclaves,
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "a newcomer is left with an old key",
    holds: "nothing; it delays a message",
    steps: &[
        "bob joins; its last message is held back",
        "the key changes, and then that message arrives",
    ],
    reaches: "bob is a member with a key that nobody uses",
    defence: "the key is told after the acceptance, as the first link of the chain (enclaves §4)",
    beyond_repair: false,
    published,
    repaired,
};

const WORDS: &[u8] = b"can you hear me?";

/// Bob's last message arrives after a rekey; in the control run before. Whether it is in, and not given what ann says.
fn late(setup: &Setup, id: &'static str) -> Ran<(Scene, bool)> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let bob = scene.node(BOB);
    scene.leave(BOB)?;
    scene.run(SECOND * 14)?;
    if !setup.withheld {
        scene.hold(move |frame, kind| frame.from == bob && kind == id);
    }
    scene.join(BOB)?;
    scene.run(SOON)?;
    scene.rekey()?;
    scene.run(SOON)?;
    let held = scene.release();
    if held.is_empty() != setup.withheld {
        return Err(Failed::steps("the last message of the join was not said"));
    }
    if let Some(first) = held.first() {
        scene.replay(first)?;
    }
    scene.run(SECOND * 12)?;
    scene.say(ANN, WORDS)?;
    scene.run(SOON)?;
    if !scene.is_in(BOB) {
        return Err(Failed::steps("bob is not in"));
    }
    let deaf = scene.heard(bob, WORDS) == 0;
    Ok((scene, deaf))
}

fn published(setup: &Setup) -> Ran {
    let (_, deaf) = late(setup, "EN-A3")?;
    Ok(setup.shows(deaf, "bob is in, and 12 s later it is not given what ann says"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let (_, deaf) = late(setup, "EN-R3")?;
    let by = "no key is told before EN-R3, and the newest one after it";
    Ok(setup.verdict(deaf, None, by, "bob is in, and is given what ann says"))
}
