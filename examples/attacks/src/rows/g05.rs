//! G5: the network was built against accidents.

use std::time::Duration;

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::Fate;
use crate::scene::{ANN, BOB, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "G5",
    system: System::Antigone,
    section: "1.1",
    who: Who::Outsider,
    class: Class::Weakness,
    title: "the network was built against accidents",
    holds: "the network",
    steps: &[
        "every fifth frame is lost, every third comes late, and each message comes again",
    ],
    reaches: "the guarantees of an ordinary reliable multicast are gone",
    defence: "nothing is assumed of the network but that something arrives; nothing is delivered twice, and nothing \
        forged (RA §1)",
    beyond_repair: false,
    published,
    repaired,
};

const MESSAGES: u8 = 30;

fn measured(setup: &Setup, id: &str) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(2).keeps_its_key())?;
    let bob = scene.node(BOB);
    let mut count = 0u32;
    scene.intercept(move |_, _| {
        count += 1;
        match count {
            n if n.is_multiple_of(5) => Fate::Lost,
            n if n.is_multiple_of(3) => Fate::Late(Duration::from_millis(350)),
            _ => Fate::Passes,
        }
    });
    for text in 0..MESSAGES {
        scene.tries_to_say(ANN, &[text])?;
        scene.run(SOON * 2)?;
        for copy in scene.frames(id, bob).into_iter().rev().take(1) {
            scene.replay(&copy)?;
        }
    }
    scene.run(SOON * 10)?;
    let mut heard = [0; 3];
    for text in 0..MESSAGES {
        if let Some(place) = heard.get_mut(scene.heard(bob, &[text]).min(2)) {
            *place += 1;
        }
    }
    let [none, once, more] = heard;
    Ok(Outcome::Measured {
        text: format!("of {MESSAGES} messages of ann's, bob was given {once} once, {more} more than once and {none} \
            not at all"),
    })
}

fn published(setup: &Setup) -> Ran {
    measured(setup, "AN-Db")
}

fn repaired(setup: &Setup) -> Ran {
    measured(setup, "RA-D")
}
