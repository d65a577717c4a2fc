//! E6: private messages are work for the leader.

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, NAMES, Plan, SECOND, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E6",
    system: System::Enclaves,
    section: "3.1.2",
    who: Who::Member,
    class: Class::Exploitable,
    title: "a member keeps the leader busy with private messages",
    holds: "nothing; it is a member",
    steps: &[
        "ann says something to all others in private, many times",
    ],
    reaches: "each of its frames costs the leader 1 + 1 + m operations, and m frames",
    defence: "the sender encrypts, and the leader only wraps a key (D29)",
    beyond_repair: false,
    published,
    repaired,
};

const NONE_YET: &str = "the repaired edition has no private messages";

const TIMES: usize = 40;

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(5))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    let others = NAMES.get(1..5).unwrap_or_default();
    let mark = scene.mark();
    for _ in setup.give_all(vec![(); TIMES]) {
        scene.gossip(ANN, others, b"x")?;
    }
    scene.run(SECOND)?;
    let (asked, sent) = (scene.sent(&mark, ann, "EN-G1"), scene.sent(&mark, leader, "EN-G2"));
    let shown = format!("for {asked} frames of ann's the leader opened {asked}, encrypted {asked} texts and {sent} keys, \
        and sent {sent} frames");
    Ok(setup.shows(asked == TIMES && sent == TIMES * others.len(), shown))
}

fn repaired(_setup: &Setup) -> Ran<Outcome> {
    Ok(Outcome::NotApplicable { why: NONE_YET })
}
