//! G2: the leader's host is broken into, once.

use sodality::sim::enclaves_version_2::user_key;

use crate::craft::version_two::Kit;
use crate::row::{Class, Guard, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, SOON, Scene, enclaves, version_two};

/// The row.
pub static ROW: Row = Row {
    id: "G2",
    system: System::Enclaves,
    section: "1.2, 3.2",
    who: Who::Leader,
    class: Class::Exploitable,
    title: "the leader's host is broken into, once",
    holds: "all that the leader's machine stores of its users",
    steps: &[
        "the intruder takes the store along, and the leader's host is clean again",
        "it asks to join as ann, who is away",
    ],
    reaches: "ann can be impersonated, in all later sessions",
    defence: "public keys: the leader stores nothing with which a user shows who it is (enclaves-authentication)",
    beyond_repair: false,
    published,
    repaired,
};

const WORDS: &[u8] = b"ann, are you back?";

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup);
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    scene.leave(ANN)?;
    scene.run(SECOND)?;
    // What the leader stores of ann is P_a itself.
    let key = user_key(&**kit.suite(), if setup.withheld { "nobody" } else { NAMES[ANN] });
    let mark = scene.mark();
    let intruder = scene.world.add("intruder", version_two::member(kit.suite(), NAMES[ANN], key)?)?;
    scene.world.command(intruder, "join", |machine, cx| machine.join(cx))??;
    scene.run(SECOND)?;
    scene.say(BOB, WORDS)?;
    scene.run(SOON)?;
    let won = scene.added(&mark, scene.leader(), NAMES[ANN]) && scene.heard(intruder.into(), WORDS) == 1;
    Ok(setup.shows(won, "the leader lets the intruder in as ann, and it is given what bob says"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    scene.leave(ANN)?;
    scene.run(SECOND * 14)?;
    let credential =
        if setup.withheld { enclaves::no_credential(setup)? } else { enclaves::stolen(setup, NAMES[ANN])? };
    let mark = scene.mark();
    let intruder = scene.world.add("intruder", enclaves::member(NAMES[ANN], credential)?)?;
    scene.world.command(intruder, "join", |machine, cx| machine.join(cx))??;
    scene.run(SECOND * 6)?;
    scene.say(BOB, WORDS)?;
    scene.run(SOON)?;
    let won = scene.added(&mark, scene.leader(), NAMES[ANN]) && scene.heard(intruder.into(), WORDS) == 1;
    let by = "of users there are public keys only, and the leader's own key signs for the leader";
    let shown = if won { "the intruder is ann" } else { "nobody has joined as ann" };
    Ok(setup.verdict(won, Some(Guard::PublicKeys), by, format!("with what the leader stores, {shown}")))
}
