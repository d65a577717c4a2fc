//! E3: the label of data is clear.

use crate::craft::version_two::Kit;
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::rows::a02;
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E3",
    system: System::Enclaves,
    section: "3.1.1",
    who: Who::Member,
    class: Class::Exploitable,
    title: "a member speaks in another's name",
    holds: "the group key, as every member does",
    steps: &[
        "bob seals something under the group key, with ann's name in front",
    ],
    reaches: "cyd's application is given bob's words as ann's",
    defence: "each message carries its sender's signature, where the policy demands it (D34); where it does not, the type of the \
        sender says so",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let mut kit = Kit::new(setup);
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let key = kit.insider(setup, &scene, BOB)?;
    let line = scene.line(scene.node(BOB), scene.leader())?;
    let why = scene.inject(line, kit.data_as(ANN, &key, false, a02::WORDS)?)?;
    scene.run(SOON)?;
    let shown = format!("cyd is given bob's words as ann's; at the leader they were {}", code(why));
    Ok(setup.shows(a02::as_ann(&scene), shown))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    a02::insider(setup, "EN-R9")
}
