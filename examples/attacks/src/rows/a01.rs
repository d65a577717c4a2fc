//! A1: an application message comes again.

use sodality::group::Check;

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A1",
    system: System::Antigone,
    section: "2.1",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "a message to the group is delivered again",
    holds: "a recorded message",
    steps: &["ann says something", "the attacker lets bob's copy come again, a moment later and under the same key"],
    reaches: "bob's application is given the message twice",
    defence: "a window of numbers for each sender and epoch, under a key of that sender and epoch (RA §5 (3))",
    beyond_repair: false,
    published,
    repaired,
};

/// Copies of ann's message come again to bob: how often it was given it, and what became of the last copy.
pub(super) fn again(setup: &Setup, plan: &Plan, ids: &[&str]) -> Ran<(usize, &'static str)> {
    let mut scene = Scene::joined(setup, plan)?;
    let bob = scene.node(BOB);
    scene.say(ANN, b"pay ten")?;
    scene.run(SOON)?;
    let copies: Vec<_> = ids.iter().flat_map(|id| scene.frames(id, bob)).collect();
    let why = scene.replay_all(&setup.give_all(copies))?;
    scene.run(SOON)?;
    Ok((scene.heard(bob, b"pay ten"), code(why)))
}

fn published(setup: &Setup) -> Ran {
    let (heard, _) = again(setup, &Plan::of(2).keeps_its_key(), &["AN-Di", "AN-Dc", "AN-Db", "AN-Dn"])?;
    Ok(setup.shows(heard > 1, format!("bob was given it {heard} times")))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    copied(setup, "RA-D")
}

/// A copy of ann's message comes to bob.
pub(super) fn copied(setup: &Setup, data: &str) -> Ran<Outcome> {
    let (heard, why) = again(setup, &Plan::of(2), &[data])?;
    let by = "each number of a sender is taken once in an epoch";
    Ok(setup.judge(heard > 1, Check::DataNumber, by, format!("bob was given it {heard} times; the copy was {why}")))
}
