//! A9: the leader's number in AN-K is altered.

use crate::craft::published::Kit;
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::rows::shared::altered_epoch;
use crate::scene::{ANN, BOB, Plan, SECOND, SOON, Scene, T_MAX};

/// The row.
pub static ROW: Row = Row {
    id: "A9",
    system: System::Antigone,
    section: "2.2.3",
    who: Who::Member,
    class: Class::Exploitable,
    title: "the leader's number beside a key is altered on the way to a newcomer",
    holds: "the group key, as every member does (or did, where the key has not changed)",
    steps: &[
        "ann joins a group whose key bob knows",
        "bob raises the number beside the key in ann's key message and makes the digest anew",
    ],
    reaches: "ann measures the leader's heartbeats against a number of bob's choice and takes a live leader for dead",
    defence: "no such number: an epoch and its facts are bound into the box that holds the key (RA §2, associated \
        data)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup)?;
    let mut scene = Scene::open(setup, &Plan::of(2).keeps_its_key())?;
    let ann = scene.node(ANN);
    scene.join(BOB)?;
    scene.run(SECOND * 12)?;
    let key = kit.insider(&scene, BOB)?;
    scene.hold(move |frame, id| frame.to == ann && id == "AN-K");
    scene.join(ANN)?;
    scene.run(SOON)?;
    for held in scene.release() {
        let raised = kit.delivery_with(&held, &key.key, u64::MAX / 2)?;
        scene.inject(held.to_link, setup.give(raised).unwrap_or(held.bytes))?;
    }
    scene.run(SECOND)?;
    let mark = scene.mark();
    scene.run(T_MAX * 2)?;
    let won = scene.noticed(&mark, ANN);
    Ok(setup.shows(won, "the leader lives and is heard; ann takes it for dead"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    altered_epoch(setup, 1)
}
