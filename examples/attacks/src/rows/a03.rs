//! A3: the group key is used twice on a message.

use sodality::policy::Protection;

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, BOB, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A3",
    system: System::Antigone,
    section: "2.1",
    who: Who::Nobody,
    class: Class::Weakness,
    title: "the group key is used twice on a message",
    holds: "nothing",
    steps: &[
        "ann says 100 bytes under each protection",
    ],
    reaches: "a second pass over the digest, under the same key",
    defence: "one box does both (RA §5)",
    beyond_repair: false,
    published,
    repaired,
};

fn length(setup: &Setup, protection: Protection, ids: &[&str]) -> Ran<usize> {
    let plan = Plan::of(2).keeps_its_key().policy(|policy| policy.protection = protection);
    let mut scene = Scene::joined(setup, &plan)?;
    scene.say(ANN, &[b'x'; 100])?;
    scene.run(SOON)?;
    let bob = scene.node(BOB);
    let frames = ids.iter().flat_map(|id| scene.frames(id, bob));
    Ok(frames.map(|frame| frame.bytes.len()).max().unwrap_or_default())
}

fn measured(setup: &Setup, ids: &[&str], what: &str) -> Ran {
    let alone = length(setup, Protection::Confidentiality, ids)?;
    let both = length(setup, Protection::Both, ids)?;
    Ok(Outcome::Measured {
        text: format!("100 bytes take {alone} bytes with confidentiality and {both} with integrity as well: {what}"),
    })
}

fn published(setup: &Setup) -> Ran {
    let what = "the digest is made, and encrypted under the same key once more: it is the MAC (D8)";
    measured(setup, &["AN-Dc", "AN-Db"], what)
}

fn repaired(setup: &Setup) -> Ran {
    measured(setup, &["RA-D"], "one pass, one tag")
}
