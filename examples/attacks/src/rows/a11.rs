//! A11: a former member brings back a key that it knows.

use sodality::group::Check;
use sodality::policy::Views;

use crate::craft::published::Kit;
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A11",
    system: System::Antigone,
    section: "2.2.3",
    who: Who::Former,
    class: Class::Exploitable,
    title: "a former member brings back a key that it knows",
    holds: "a recorded rekey of its own time, and the key in it",
    steps: &[
        "bob leaves, and the key changes",
        "bob lets the rekey of before come to ann again",
    ],
    reaches: "ann goes back to a key that bob knows",
    defence: "a key block opens under the key of this session, and only for a later epoch (RA §4.4)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup)?;
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let ann = scene.node(ANN);
    scene.rekey()?;
    scene.run(SECOND * 6)?;
    let old = scene.frames("AN-R", ann).pop();
    let sigma = kit.sigma(NAMES[BOB])?;
    let key = old.as_ref().and_then(|frame| kit.key_for(&sigma, NAMES[BOB], frame));
    scene.leave(BOB)?;
    scene.run(SECOND * 6)?;
    let why = scene.replay_all(&setup.give_all(old.into_iter().collect()))?;
    scene.run(SOON)?;
    scene.tries_to_say(ANN, b"bob must not hear this")?;
    scene.run(SOON)?;
    let said = scene.last_from("AN-Db", ann)?;
    let read = key.and_then(|key| kit.read_data(&key, &said));
    let won = read.is_some_and(|(_, text)| text == b"bob must not hear this");
    Ok(setup.shows(won, format!("bob, who has left, reads what ann says; the old rekey was {}", code(why))))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    // Where views are exact, an old key is of an old view too and is not installed without it.
    let plan = Plan::of(3).policy(|policy| policy.views = Views::WithEachKey);
    let mut scene = Scene::joined(setup, &plan)?;
    let (ann, bob) = (scene.node(ANN), scene.node(BOB));
    scene.rekey()?;
    scene.run(SECOND * 6)?;
    let (old, known) = (scene.frames("RA-R", ann), scene.installed(&Default::default(), bob));
    scene.leave(BOB)?;
    scene.run(SECOND * 6)?;
    let mark = scene.mark();
    let why = scene.replay_all(&setup.give_all(old))?;
    let back = scene.installed(&mark, ann);
    let won = back.iter().any(|epoch| known.contains(epoch));
    let by = "an epoch only grows at a member";
    let shown = format!("the rekeys of bob's time came to ann again: {}", code(why));
    Ok(setup.judge(won, Check::NewerEpoch, by, shown))
}
