//! G6: a relay that does its best orders nothing.

use std::time::Duration;

use sodality::event::Event;
use sodality::sim::NodeId;

use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::Fate;
use crate::scene::{ANN, BOB, CYD, Plan, SECOND, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "G6",
    system: System::Antigone,
    section: "1.1",
    who: Who::Nobody,
    class: Class::Weakness,
    title: "a relay that does its best orders nothing",
    holds: "nothing",
    steps: &[
        "ann and bob speak at once; the network is slow with ann's words to one, and with bob's to another",
    ],
    reaches: "members get the same messages in different orders",
    defence: "none: order between senders is not promised (RA §1); put an ordered multicast on top where it is needed",
    beyond_repair: true,
    published,
    repaired,
};

fn order(scene: &Scene, node: NodeId) -> String {
    let text = |event: &Event| match event {
        Event::Data(message) => String::from_utf8(message.payload.to_vec()).ok(),
        _ => None,
    };
    scene.since(&Default::default(), node).iter().filter_map(text).collect::<Vec<_>>().join(", then ")
}

fn measured(setup: &Setup, id: &'static str) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(4).keeps_its_key())?;
    let (cyd, dan, mut count) = (scene.node(CYD), scene.node(CYD + 1), [0u8; 2]);
    scene.intercept(move |frame, seen| {
        // Cyd's first message of the two is late, and dan's second.
        let place = if frame.to == cyd { 0 } else { 1 };
        match count.get_mut(place).filter(|_| seen == id && (frame.to == cyd || frame.to == dan)) {
            Some(seen) => {
                *seen += 1;
                if (frame.to == cyd) == (*seen == 1) { Fate::Late(Duration::from_millis(400)) } else { Fate::Passes }
            }
            None => Fate::Passes,
        }
    });
    scene.say(ANN, b"yes")?;
    scene.say(BOB, b"no")?;
    scene.run(SECOND)?;
    let (cyds, dans) = (order(&scene, cyd), order(&scene, dan));
    Ok(Outcome::Measured { text: format!("cyd hears {cyds}; dan hears {dans}") })
}

fn published(setup: &Setup) -> Ran {
    measured(setup, "AN-Db")
}

fn repaired(setup: &Setup) -> Ran {
    measured(setup, "RA-D")
}
