//! A7: an old key message is taken for the current one.

use sodality::group::Check;

use crate::craft::field;
use crate::row::{Class, Fault, Guard, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::{code, draft};
use crate::scene::{ANN, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A7",
    system: System::Antigone,
    section: "2.2.3",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "an old key message is taken for the current one",
    holds: "a recorded key message of before",
    steps: &[
        "published: ann leaves, the key changes, ann joins again; the attacker gives her the key message of before in \
            place of the true one",
        "repaired: the key changes, and the old key message comes again",
    ],
    reaches: "ann uses an old key",
    defence: "a key block opens under the key of this session, and only for a later epoch (RA §4.4, A on RA-R (1))",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(2).keeps_its_key())?;
    let ann = scene.node(ANN);
    let old = scene.frames("AN-K", ann);
    scene.leave(ANN)?;
    scene.run(SECOND * 12)?;
    scene.rekey()?;
    scene.run(SECOND * 6)?;
    scene.hold(move |frame, id| frame.to == ann && matches!(id, "AN-K" | "AN-HL"));
    scene.join(ANN)?;
    scene.run(SOON)?;
    let why = scene.replay_all(&setup.give_all(old.clone()))?;
    // If the old one was taken, the attacker keeps the true one.
    if !scene.is_in(ANN) {
        let honest = scene.release();
        scene.replay_all(&honest)?;
    }
    scene.run(SECOND * 2)?;
    scene.tries_to_say(ANN, b"under which key?")?;
    scene.run(SOON)?;
    // The g in front of what ann says tells which key it uses.
    let said = scene.last_from("AN-Db", ann).and_then(|frame| field(&draft(&frame)?.clear, "group"));
    let olds: Vec<_> = old.iter().filter_map(|frame| field(&draft(frame).ok()?.clear, "group").ok()).collect();
    let won = said.is_ok_and(|group| olds.contains(&group));
    let guard = Some(Guard::Decision(Fault::LeadingGroup));
    let by = "the inner g is compared with that of AN-J2";
    Ok(setup.verdict(won, guard, by, format!("ann was given the key of an earlier session: {}", code(why))))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let ann = scene.node(ANN);
    for _ in 0..2 {
        scene.rekey()?;
        scene.run(SECOND * 6)?;
    }
    let mut blocks = scene.frames("RA-R", ann);
    let newest = scene.installed(&Default::default(), ann).into_iter().max();
    blocks.pop();
    let mark = scene.mark();
    let why = scene.replay_all(&setup.give_all(blocks))?;
    let won = scene.installed(&mark, ann).into_iter().any(|epoch| Some(epoch) < newest);
    let by = "an epoch only grows at a member";
    Ok(setup.judge(won, Check::NewerEpoch, by, format!("all earlier key blocks came again: {}", code(why))))
}
