//! A8: a key message does not tell its age.

use sodality::event::Event;

use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, Plan, SECOND, SOON, Scene, T_MAX};

/// The row.
pub static ROW: Row = Row {
    id: "A8",
    system: System::Antigone,
    section: "2.2.3, note 5",
    who: Who::Outsider,
    class: Class::Weakness,
    title: "a key message does not tell its age",
    holds: "a recorded or withheld key message",
    steps: &[
        "published: the key message of a session that is over comes in the next one, while g is the same",
        "repaired: the key changes, and whatever says so is held back",
    ],
    reaches: "a member takes a key of whatever age within the lifetime of g",
    defence: "a key is used only on evidence that it is the leader's now, which is T_max old at most (RA §4.3)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(2).keeps_its_key())?;
    let ann = scene.node(ANN);
    let old = scene.last("AN-K", ann)?;
    scene.leave(ANN)?;
    scene.run(SECOND * 600)?;
    scene.hold(move |frame, id| frame.to == ann && id == "AN-K");
    scene.join(ANN)?;
    scene.run(SOON)?;
    let why = code(scene.replay(&old)?);
    let joined = if scene.is_in(ANN) { "in with it" } else { "not in" };
    Ok(Outcome::Measured {
        text: format!("the key message of a session that ended ten minutes ago is {why} in the next one, and ann is {joined}: \
            it lasts as long as g"),
    })
}

fn repaired(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let ann = scene.node(ANN);
    scene.hold(move |frame, id| frame.to == ann && matches!(id, "RA-R" | "RA-CL"));
    scene.rekey()?;
    let (mark, from) = (scene.mark(), scene.now());
    // In steps, so that the time is known to a tenth of a second.
    for _ in 0..400 {
        scene.run(SOON)?;
        if scene.told(&mark, ann, |event| matches!(event, Event::Stale)) {
            break;
        }
    }
    let after = scene.now().since(from);
    if after > T_MAX {
        return Err(Failed::steps("it used its key for longer than T_max"));
    }
    Ok(Outcome::Measured {
        text: format!(
            "cut off at the moment of a rekey, ann gives up its key after {:.1} s; the bound is {:.1} s",
            after.as_secs_f32(),
            T_MAX.as_secs_f32()
        ),
    })
}
