//! E6: private messages are work for the leader.

use std::collections::BTreeSet;

use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
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

const TIMES: usize = 40;
/// As many as the repaired machine says at once.
const UNANSWERED: usize = 16;

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

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(5))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    let others = NAMES.get(1..5).unwrap_or_default();
    let mark = scene.mark();
    let said = setup.give_all(vec![(); UNANSWERED]);
    for _ in &said {
        scene.gossip(ANN, others, b"x")?;
    }
    scene.run(SECOND)?;
    let own: BTreeSet<_> = scene.frames_from("EN-R10", ann).into_iter().map(|frame| frame.bytes.to_vec()).collect();
    let relayed = scene.frames_from("EN-R10", leader);
    let sealed = relayed.iter().filter(|frame| !own.contains(&frame.bytes[..])).count();
    let (asked, sent) = (scene.sent(&mark, ann, "EN-R8"), scene.sent(&mark, leader, "EN-R10"));
    if sent < said.len() * others.len() {
        return Err(Failed::steps("the leader has not passed on everything"));
    }
    let by = "the leader passes on what the sender sealed; a member has few messages without an answer (`Limits::gossip`)";
    let shown = format!("for {asked} requests of ann's the leader sealed {sealed} texts and passed on {sent} frames as they came");
    Ok(setup.verdict(sealed > 0, None, by, shown))
}
