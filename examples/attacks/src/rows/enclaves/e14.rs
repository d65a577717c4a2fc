//! E14: the end in clear.

use sodality::event::{EndReason, Ending};
use sodality::group::Check;
use sodality::sim::star::LEADER;

use crate::craft::enclaves::closed;
use crate::craft::version_two::{Kit, called};
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::judge::Mark;
use crate::scene::wire::code;
use crate::scene::{ANN, NAMES, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E14",
    system: System::Enclaves,
    section: "3.2.3",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "a member is made to believe that it was expelled",
    holds: "nothing",
    steps: &[
        "the attacker tells ann in the leader's name that the connection is closed",
    ],
    reaches: "ann believes that it was expelled, and is out",
    defence: "the end of a session is sealed under the leader's key of it (enclaves §4)",
    beyond_repair: false,
    published,
    repaired,
};

/// Ann believes it, and the leader has not said it.
fn expelled(scene: &Scene, mark: &Mark) -> bool {
    scene.ended(mark, scene.node(ANN)) == Some(Ending::ByLeader(EndReason::Ejected))
}

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup);
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (line, mark) = (scene.line(scene.leader(), scene.node(ANN))?, scene.mark());
    if let Some(forged) = setup.give(kit.scheme().close(called(LEADER)?)) {
        scene.inject(line, forged)?;
    }
    scene.run(SOON)?;
    let still = scene.removed(&mark, scene.leader(), NAMES[ANN]).is_none();
    Ok(setup.shows(expelled(&scene, &mark) && still, "ann takes itself for expelled, and the leader still counts it"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let told = scene.last("EN-R4", scene.node(ANN))?;
    let mark = scene.mark();
    let mut why = None;
    if let Some(forged) = setup.give(closed(&told)?) {
        why = scene.inject(told.to_link, forged)?;
    }
    scene.run(SOON)?;
    let by = "what is not sealed under the leader's key of the session is no word of the leader's";
    let shown = format!("\"you are expelled\" in the leader's name was {}", code(why));
    Ok(setup.judge(expelled(&scene, &mark), Check::ChainBox, by, shown))
}
