//! A14: a layer under the group key inside a request that has its own.

use sodality::wire::Message as _;
use sodality::wire::field::Field as _;
use sodality::wire::published::{Removal, RemovalText};

use crate::craft::published::Kit;
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, NAMES, Plan, SECOND, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A14",
    system: System::Antigone,
    section: "2.2.4",
    who: Who::Nobody,
    class: Class::Weakness,
    title: "a layer under the group key inside a request that has its own",
    holds: "nothing",
    steps: &[
        "ann leaves",
    ],
    reaches: "a second encryption whose purpose nobody states",
    defence: "one box under the key of the session (RA §4.6)",
    beyond_repair: false,
    published,
    repaired,
};

fn leave(setup: &Setup) -> Ran<Scene> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    scene.leave(ANN)?;
    scene.run(SECOND)?;
    Ok(scene)
}

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup)?;
    let scene = leave(setup)?;
    let frame = scene.last_from("AN-L", scene.node(ANN))?;
    let sealed = Removal::parse(&frame.bytes)?.message.sealed.bytes;
    let text = kit.suite().decrypt(&kit.sigma(NAMES[ANN])?, sealed)?;
    let inner = RemovalText::decode(&text)?.inner.bytes.len();
    let length = frame.bytes.len();
    Ok(Outcome::Measured { text: format!("a leave takes {length} bytes, {inner} of them for the inner layer") })
}

fn repaired(setup: &Setup) -> Ran {
    let scene = leave(setup)?;
    let length = scene.last_from("RA-CM", scene.node(ANN))?.bytes.len();
    Ok(Outcome::Measured { text: format!("a leave is one frame of the channel, {length} bytes, in one box") })
}
