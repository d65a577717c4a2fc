//! X12: the parts of a rekey for one member are dropped.

use crate::craft::field;
use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::draft;
use crate::scene::{ANN, BOB, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X12",
    system: System::Antigone,
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "the parts of a rekey for one member are dropped",
    holds: "the shared link on its way to ann",
    steps: &[
        "the key changes",
        "the attacker drops ann's part of the rekey on the shared link, each time",
    ],
    reaches: "ann stays on the old key while the others move on",
    defence: "a block goes point to point when it was not taken; frames stand alone, and nothing is reassembled (RA \
        §4.4)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(3).shared())?;
    let (ann, bob) = (scene.node(ANN), scene.node(BOB));
    let dropped = !setup.withheld;
    scene.suppress(move |frame, id| dropped && frame.to == ann && matches!(id, "AN-R" | "AN-K" | "AN-HL"));
    scene.rekey()?;
    scene.run(SECOND * 6)?;
    scene.tries_to_say(ANN, b"under which key?")?;
    scene.tries_to_say(BOB, b"under which key?")?;
    scene.run(SOON)?;
    let group = |node| scene.last_from("AN-Db", node).and_then(|frame| field(&draft(&frame)?.clear, "group"));
    let apart = group(ann)? != group(bob)?;
    let length = scene.last("AN-R", bob)?.bytes.len();
    Ok(setup.shows(apart, format!("ann speaks under the old key, bob under the new one; the rekey of 3 had {length} \
        bytes")))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(3).shared())?;
    let ann = scene.node(ANN);
    let wire = scene.channel().ok_or_else(|| Failed::steps("no shared link"))?;
    let dropped = !setup.withheld;
    scene.hold(move |frame, id| dropped && frame.wire == wire && frame.to == ann && id == "RA-R");
    let mark = scene.mark();
    scene.rekey()?;
    scene.run(SECOND * 3)?;
    let lost = scene.release().len();
    let won = scene.installed(&mark, ann).is_empty();
    let by = "the block comes point to point";
    Ok(setup.verdict(won, None, by, format!("{lost} frames of a rekey dropped, and ann has the key within 3 s")))
}
