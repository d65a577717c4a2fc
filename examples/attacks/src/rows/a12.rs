//! A12: the leader's number in AN-R is altered.

use crate::craft::published::Kit;
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::rows::shared::altered_epoch;
use crate::scene::{ANN, BOB, CYD, Plan, SECOND, SOON, Scene, T_MAX};

/// The row.
pub static ROW: Row = Row {
    id: "A12",
    system: System::Antigone,
    section: "2.2.3",
    who: Who::Member,
    class: Class::Exploitable,
    title: "the leader's number beside a key is altered on the way to all",
    holds: "the new group key, as every member does",
    steps: &[
        "the key changes",
        "bob raises the number beside the keys in the leader's message to all and makes the digest anew",
    ],
    reaches: "the others measure the leader's heartbeats against a number of bob's choice and take a live leader for \
        dead",
    defence: "no such number: an epoch and its facts are bound into each box that holds the key (RA §2, associated \
        data)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup)?;
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let victims = [scene.node(ANN), scene.node(CYD)];
    scene.hold(move |frame, id| victims.contains(&frame.to) && id == "AN-R");
    scene.rekey()?;
    scene.run(SOON)?;
    let key = kit.insider(&scene, BOB)?;
    for held in scene.release() {
        let raised = kit.rekey_with(&held, &key.key, u64::MAX / 2)?;
        scene.inject(held.to_link, setup.give(raised).unwrap_or(held.bytes))?;
    }
    scene.run(SECOND)?;
    let mark = scene.mark();
    scene.run(T_MAX * 2)?;
    let won = [ANN, CYD].into_iter().all(|member| scene.noticed(&mark, member));
    Ok(setup.shows(won, "the leader lives and is heard; ann and cyd take it for dead"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    altered_epoch(setup, 2)
}
