//! E10: the others are told one by one.

use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E10",
    system: System::Enclaves,
    section: "3.2.1",
    who: Who::Nobody,
    class: Class::Weakness,
    title: "a newcomer is told of the others one by one",
    holds: "nothing",
    steps: &[
        "twelve join, one after the other",
    ],
    reaches: "one message with one name for each member that is there already",
    defence: "one list, in as few messages as hold it (enclaves §4)",
    beyond_repair: false,
    published,
    repaired,
};

const MEMBERS: usize = 12;

fn published(setup: &Setup) -> Ran {
    let scene = Scene::joined(setup, &Plan::of(MEMBERS))?;
    let told = scene.frames("EN-M+", scene.node(MEMBERS - 1));
    let bytes: usize = told.iter().map(|frame| frame.bytes.len()).sum();
    let count = told.len();
    Ok(Outcome::Measured { text: format!("member {MEMBERS} was told of the others by {count} messages, {bytes} bytes in \
        all") })
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::open(setup, &Plan::of(MEMBERS))?;
    for member in 0..MEMBERS - 1 {
        scene.join(member)?;
        scene.run(SECOND * 3)?;
    }
    let last = MEMBERS - 1;
    scene.join(last)?;
    // Until it has the key, and knows all of them and the leader.
    let mut steps = 0..50;
    while !(scene.is_in(last) && scene.own_view(last)?.members().len() == MEMBERS + 1) {
        steps.next().ok_or_else(|| Failed::steps("the newcomer does not know all"))?;
        scene.run(SOON)?;
    }
    let told = scene.frames("EN-R4", scene.node(last));
    let (count, bytes) = (told.len(), told.iter().map(|frame| frame.bytes.len()).sum::<usize>());
    let text = format!(
        "member {MEMBERS} had the key, and knew all others and the leader, after {count} messages, {bytes} bytes in all"
    );
    Ok(Outcome::Measured { text })
}
