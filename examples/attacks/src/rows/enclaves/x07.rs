//! X7: an acknowledgement in another's name.

use sodality::group::Check;

use crate::craft::enclaves::ack;
use crate::craft::version_two::{Kit, called};
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X7",
    system: System::Enclaves,
    section: "own",
    who: Who::Member,
    class: Class::Exploitable,
    title: "a member acknowledges a key for another that never got it",
    holds: "the group key, as every member does",
    steps: &[
        "the key changes; bob keeps the key message from ann",
        "bob acknowledges it in ann's name",
    ],
    reaches: "the leader believes the rekey complete, and does not repeat it",
    defence: "an acknowledgement is sealed under the member's key of the session, and answers a number of the leader's (enclaves §4)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let mut kit = Kit::new(setup);
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    scene.suppress(move |frame, id| frame.to == ann && id == "EN-NK");
    scene.rekey()?;
    scene.run(SOON)?;
    let key = kit.insider(setup, &scene, BOB)?;
    let line = scene.line(scene.node(BOB), leader)?;
    let why = scene.inject(line, kit.scheme().new_key_ack(called(NAMES[ANN])?, &key)?)?;
    let mark = scene.mark();
    scene.run(SECOND * 4)?;
    let again = scene.sent(&mark, leader, "EN-NK");
    let shown = format!("\"I have it\" in ann's name was {}; the leader sent it {again} times more in 4 s", code(why));
    Ok(setup.shows(again == 0, shown))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    scene.suppress(move |frame, id| frame.to == ann && id == "EN-R4");
    scene.rekey()?;
    scene.run(SOON)?;
    let told = scene.last("EN-R4", ann)?;
    let line = scene.line(ann, leader)?;
    let mut why = None;
    if let Some(forged) = setup.give(ack(&told)?) {
        why = scene.inject(line, forged)?;
    }
    let before = scene.now();
    scene.run(SECOND * 4)?;
    let later = scene.frames("EN-R4", ann);
    let again = later.iter().filter(|frame| frame.sent > before && frame.bytes == told.bytes).count();
    let by = "an Ack is sealed under ann's key, and names a number that only who opened the key message knows";
    let shown = format!("\"I have it\" in ann's name was {}; in the next 4 s the leader said it {again} times more", code(why));
    Ok(setup.judge_either(again == 0, [Check::ChainBox, Check::AckOrder], by, shown))
}
