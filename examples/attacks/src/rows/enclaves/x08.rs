//! X8: insiders invent who comes and goes.

use sodality::group::Check;
use sodality::sim::star::LEADER;

use crate::craft::enclaves::notice;
use crate::craft::version_two::{Kit, called};
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, CYD, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X8",
    system: System::Enclaves,
    section: "own",
    who: Who::Former,
    class: Class::Exploitable,
    title: "joins and departures are invented",
    holds: "the group key, as members do, and those of whose time it still is",
    steps: &[
        "cyd leaves",
        "cyd tells ann, under the group key, that somebody has joined and that bob is gone",
    ],
    reaches: "ann's view is what cyd likes",
    defence: "what the leader tells is sealed for each member under its key of the session, as links of a chain (enclaves §4)",
    beyond_repair: false,
    published,
    repaired,
};

const GHOST: &str = "ghost";

fn published(setup: &Setup) -> Ran {
    let mut kit = Kit::new(setup);
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let ann = scene.node(ANN);
    let key = kit.insider(setup, &scene, CYD)?;
    scene.leave(CYD)?;
    scene.run(SECOND)?;
    let (line, mark) = (scene.line(scene.leader(), ann)?, scene.mark());
    for (added, who) in [(true, GHOST), (false, NAMES[BOB])] {
        let forged = kit.scheme().notice(called(LEADER)?, &key, added, called(who)?)?;
        scene.inject(line, forged)?;
    }
    let won = scene.added(&mark, ann, GHOST) && scene.removed(&mark, ann, NAMES[BOB]).is_some() && scene.is_in(BOB);
    Ok(setup.shows(won, "ann sees somebody of whom the leader knows nothing, and not bob, who is there"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let ann = scene.node(ANN);
    let (told, view) = (scene.last("EN-R4", ann)?, scene.own_view(BOB)?);
    let mark = scene.mark();
    let mut why = None;
    if let Some(forged) = setup.give(notice(&told, &view, GHOST)?) {
        why = scene.inject(told.to_link, forged)?;
    }
    scene.run(SOON)?;
    let won = scene.added(&mark, ann, GHOST);
    let by = "an AdminMsg is sealed under the leader's key for ann, and names the number that ann made last";
    let shown = format!("a notice of bob's making was {}", code(why));
    Ok(setup.judge_either(won, [Check::ChainBox, Check::AdminNonce], by, shown))
}
