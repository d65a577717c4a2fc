//! E12: a wish to leave in clear.

use sodality::group::Check;
use sodality::sim::star::LEADER;

use crate::craft::enclaves::close_request;
use crate::craft::version_two::{Kit, called};
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, NAMES, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E12",
    system: System::Enclaves,
    section: "3.2.3",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "somebody is signed off by others",
    holds: "nothing",
    steps: &[
        "the attacker tells the leader in ann's name that it leaves",
    ],
    reaches: "any member is thrown out",
    defence: "the wish to leave is sealed under the member's key of the session (enclaves §4)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup);
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (leader, mark) = (scene.leader(), scene.mark());
    let line = scene.line(scene.node(BOB), leader)?;
    if let Some(forged) = setup.give(kit.scheme().close_request(called(NAMES[ANN])?)) {
        scene.inject(line, forged)?;
    }
    scene.run(SOON)?;
    let won = scene.removed(&mark, leader, NAMES[ANN]).is_some() && scene.removed(&mark, scene.node(BOB), NAMES[ANN]).is_some();
    Ok(setup.shows(won, "leader and bob take ann for gone, who never asked"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (leader, mark) = (scene.leader(), scene.mark());
    let told = scene.last("EN-R4", scene.node(ANN))?;
    let line = scene.line(scene.node(ANN), leader)?;
    let mut why = None;
    if let Some(forged) = setup.give(close_request(&told, NAMES[ANN], LEADER)?) {
        why = scene.inject(line, forged)?;
    }
    scene.run(SOON)?;
    let won = scene.removed(&mark, leader, NAMES[ANN]).is_some();
    let by = "what is not sealed under ann's key of the session is no word of ann's";
    Ok(setup.judge(won, Check::ChainBox, by, format!("\"I leave\" in ann's name was {}", code(why))))
}
