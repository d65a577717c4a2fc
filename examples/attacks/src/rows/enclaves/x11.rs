//! X11: a wish to leave is suppressed.

use std::time::Duration;

use sodality::group::Limits;
use sodality::policy::{OnSilence, Policy};

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X11",
    system: System::Enclaves,
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "who has left is still counted",
    holds: "nothing; it drops messages",
    steps: &[
        "ann leaves, and its words never arrive",
    ],
    reaches: "the leader goes on counting ann, and so do the others",
    defence: "who acknowledges nothing for a time is removed (D33)",
    beyond_repair: false,
    published,
    repaired,
};

const LONG: Duration = Duration::from_secs(600);

/// After how many seconds leader and bob know that ann is gone, if they do in ten minutes. With `tells`, the leader has
/// something to say, which is a new key.
fn ghost(setup: &Setup, plan: &Plan, id: &'static str, tells: bool) -> Ran<Option<u64>> {
    let mut scene = Scene::joined(setup, plan)?;
    let (ann, bob, leader) = (scene.node(ANN), scene.node(BOB), scene.leader());
    if !setup.withheld {
        scene.suppress(move |frame, kind| frame.from == ann && kind == id);
    }
    let mark = scene.mark();
    scene.leave(ANN)?;
    if tells {
        scene.rekey()?;
    }
    for second in 1..=LONG.as_secs() {
        scene.run(SECOND)?;
        if scene.removed(&mark, leader, NAMES[ANN]).is_some() && scene.removed(&mark, bob, NAMES[ANN]).is_some() {
            return Ok(Some(second));
        }
    }
    Ok(None)
}

fn published(setup: &Setup) -> Ran {
    let seconds = ghost(setup, &Plan::of(2), "EN-C1", false)?;
    Ok(setup.shows(seconds.is_none(), "ten minutes after ann has left, leader and bob still count it"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let (limits, detection) = (Limits::default(), Policy::default().detection);
    let rto = limits.retry.first;
    // When it acknowledged last is up to half a period before; what is removed together waits an RTO for that.
    let bound = detection.map_or(limits.silence, |detection| detection.period / 2 + detection.silence(rto)) + rto * 2 + SECOND;
    let watched = ghost(setup, &Plan::of(2), "EN-R6", false)?;
    let plan = Plan::of(2).policy(|policy| (policy.detection, policy.on_silence) = (None, OnSilence::Remove));
    let alone = ghost(setup, &plan, "EN-R6", true)?;
    let within = |seconds: Option<u64>, bound: Duration| seconds.is_some_and(|seconds| Duration::from_secs(seconds) <= bound);
    let won = !within(watched, bound) || !within(alone, limits.silence + rto * 2 + SECOND);
    let after = |seconds: Option<u64>| seconds.map_or("more than ten minutes".to_owned(), |seconds| format!("{seconds} s"));
    let by = "silence is bounded";
    let shown = format!("leader and bob know after {} that ann is gone; without failure detection {} after the next thing \
        that the leader has to tell", after(watched), after(alone));
    Ok(setup.verdict(won, None, by, shown))
}
