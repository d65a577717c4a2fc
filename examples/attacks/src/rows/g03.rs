//! G3: one leader is a single point of failure.

use sodality::event::Event;

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "G3",
    system: System::Antigone,
    section: "1.2",
    who: Who::Outsider,
    class: Class::Weakness,
    title: "one leader is a single point of failure",
    holds: "nothing, or the leader's line",
    steps: &[
        "the leader stops",
        "it comes back with an empty memory, and the members join again",
    ],
    reaches: "the session ends",
    defence: "members notice within T_max, and may join again when a leader returns (RA §4.3, §6 (8))",
    beyond_repair: false,
    published,
    repaired,
};

fn measured(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    scene.crash(leader)?;
    let (mark, from) = (scene.mark(), scene.now());
    let (mut stale, mut over) = (None, None);
    for _ in 0..1_000 {
        scene.run(SOON)?;
        let now = scene.now().since(from).as_secs_f32();
        stale = stale.or(scene.told(&mark, ann, |event| matches!(event, Event::Stale)).then_some(now));
        over = over.or(scene.told(&mark, ann, |event| matches!(event, Event::Ended(_))).then_some(now));
        if over.is_some() {
            break;
        }
    }
    scene.reopen()?;
    scene.join(ANN)?;
    scene.run(SECOND * 12)?;
    let again = if scene.is_in(ANN) { "is in the leader's next group 12 s after it asks" } else { "does not come in \
        again" };
    let time = |time: Option<f32>| time.map_or_else(|| "never".to_owned(), |time| format!("after {time:.1} s"));
    let (stale, over) = (time(stale), time(over));
    Ok(Outcome::Measured { text: format!("ann trusts its key no longer {stale}, its leader {over}, and {again}") })
}

fn published(setup: &Setup) -> Ran {
    measured(setup)
}

fn repaired(setup: &Setup) -> Ran {
    measured(setup)
}
