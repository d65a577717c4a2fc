//! X15: a refusal is forged.

use sodality::event::Event;
use sodality::group::Check;

use crate::craft::published::Kit;
use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::{code, draft};
use crate::scene::{ANN, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X15",
    system: System::Antigone,
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "a refusal is forged",
    holds: "nothing: the published refusal is in clear",
    steps: &[
        "ann asks to join",
        "the attacker answers in the leader's name that it may not",
    ],
    reaches: "ann is kept out of a group that would have it",
    defence: "a refusal is sealed under the key of the join, like any other answer (RA §4.1)",
    beyond_repair: false,
    published,
    repaired,
};

pub(super) fn kept_out(scene: &Scene) -> bool {
    scene.told(&Default::default(), scene.node(ANN), |event| matches!(event, Event::JoinRefused(_)))
}

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup)?;
    let mut scene = Scene::open(setup, &Plan::of(1))?;
    let ann = scene.node(ANN);
    scene.hold(move |frame, id| frame.to == ann && id == "AN-J2");
    scene.join(ANN)?;
    scene.run(SOON)?;
    let held = scene.release().into_iter().next().ok_or_else(|| Failed::steps("no answer"))?;
    if let Some(refusal) = setup.give(kit.join_error(NAMES[ANN])?) {
        scene.inject(held.to_link, refusal)?;
    }
    scene.replay(&held)?;
    scene.run(SECOND * 12)?;
    Ok(setup.shows(kept_out(&scene) && !scene.is_in(ANN), "ann has given up, and the leader would have had it"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    refused(setup, "RA-J2")
}

/// A refusal in clear takes the place of what the leader says.
pub(super) fn refused(setup: &Setup, answer: &'static str) -> Ran<Outcome> {
    let mut scene = Scene::open(setup, &Plan::of(1))?;
    let ann = scene.node(ANN);
    scene.hold(move |frame, id| frame.to == ann && id == answer);
    scene.join(ANN)?;
    scene.run(SOON)?;
    let held = scene.release().into_iter().next().ok_or_else(|| Failed::steps("no answer"))?;
    // "No", in clear, under the numbers of this join.
    let mut refusal = draft(&held)?;
    refusal.text = vec![1, 0];
    let mut why = None;
    if let Some(refusal) = setup.give(refusal.frame()) {
        why = scene.inject(held.to_link, refusal)?;
    }
    scene.replay(&held)?;
    scene.run(SECOND * 12)?;
    let joined = if scene.is_in(ANN) { "ann is in" } else { "ann is out" };
    let by = "a refusal that is not sealed under the key of this join is nothing";
    let shown = format!("a refusal in the leader's name was {}, and {joined}", code(why));
    Ok(setup.judge(kept_out(&scene), Check::OfferBox, by, shown))
}
