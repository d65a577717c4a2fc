//! X4: a message under a shared key is taken for another.

use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, Who};
use crate::scene::{ANN, Plan, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X4",
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "a message under a shared key is taken for another",
    holds: "recorded frames",
    steps: &[
        "the attacker cuts off, or relabels, what was sealed as one message, and sends it as a key message",
    ],
    reaches: "ann installs a key that the attacker knows: its own name",
    defence: "the type is in the associated data of each box (RA §2)",
    beyond_repair: false,
    published,
    repaired,
};

/// The first blocks of AN-J2, `{g, A}`, as `{g, K_g}`: under a cipher whose prefixes stay, and a parser without lengths.
fn published(setup: &Setup) -> Ran {
    let scene = Scene::joined(setup, &Plan::of(1))?;
    drop(scene);
    Err(Failed::Absent("the prefix needs the suite"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(1).shared())?;
    let ann = scene.node(ANN);
    let mut relabelled = Vec::new();
    for id in ["RA-J2", "RA-CL"] {
        for frame in scene.frames(id, ann) {
            for kind in [0x04, 0x05, 0x07] {
                let mut bytes = frame.bytes.to_vec();
                // The type of the message is the last byte of the header.
                if let Some(code) = bytes.get_mut(4).filter(|code| **code != kind) {
                    *code = kind;
                    relabelled.push((frame.to_link, bytes));
                }
            }
        }
    }
    let (mark, tried) = (scene.mark(), relabelled.len());
    let mut accepted = 0;
    for (link, bytes) in setup.give_all(relabelled) {
        accepted += usize::from(scene.inject(link, bytes)?.is_none());
    }
    let won = accepted > 0 || !scene.installed(&mark, ann).is_empty();
    let by = "nothing opens as another message than the one as which it was sealed";
    Ok(setup.verdict(won, None, by, format!("{tried} frames under ann's key came with another type: {accepted} \
        accepted")))
}
