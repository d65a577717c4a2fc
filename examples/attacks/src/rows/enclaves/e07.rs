//! E7: what the code of 1996 did with private messages.

use std::collections::BTreeSet;

use sodality::wire::Message as _;
use sodality::wire::enclaves::version_2::GossipToMember;

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, BOB, CYD, NAMES, Plan, SECOND, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E7",
    system: System::Enclaves,
    section: "3.1.2",
    who: Who::Nobody,
    class: Class::Weakness,
    title: "the code of private messages was not what the document says",
    holds: "nothing",
    steps: &[
        "ann says the same to bob and cyd in private, twice",
    ],
    reaches: "what the document says, done: here as there",
    defence: "implement what is documented",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(4))?;
    let mark = scene.mark();
    for _ in 0..2 {
        scene.gossip(ANN, &[NAMES[BOB], NAMES[CYD]], b"not for all")?;
    }
    scene.run(SECOND)?;
    let (mut keys, mut texts) = (BTreeSet::new(), BTreeSet::new());
    for to in [BOB, CYD] {
        for frame in scene.frames("EN-G2", scene.node(to)) {
            let GossipToMember { key, sealed, .. } = GossipToMember::parse(&frame.bytes)?.message;
            keys.insert(key.bytes.to_vec());
            texts.insert(sealed.bytes.to_vec());
        }
    }
    let sent = scene.sent(&mark, scene.leader(), "EN-G2");
    let (keys, texts) = (keys.len(), texts.len());
    let text = format!(
        "2 private messages to 2 of 3 others: {sent} frames of the leader, {texts} texts under a K' of their own, {keys} \
        boxes with a K' under the K_a of a recipient: as documented, and not as coded in 1996"
    );
    Ok(Outcome::Measured { text })
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(4))?;
    for _ in 0..2 {
        scene.gossip(ANN, &[NAMES[BOB], NAMES[CYD]], b"not for all")?;
    }
    scene.run(SECOND)?;
    let frames = [scene.frames("EN-R10", scene.node(BOB)), scene.frames("EN-R10", scene.node(CYD))].concat();
    let sent = frames.len();
    let texts = frames.into_iter().map(|frame| frame.bytes.to_vec()).collect::<BTreeSet<_>>().len();
    let text = format!(
        "2 private messages to 2 of 3 others: {sent} frames of the leader, {texts} texts under a K' of their own, and each K' told \
        under the K_a of a recipient: as documented"
    );
    Ok(Outcome::Measured { text })
}
