//! G4: an insider misbehaves within its rights.

use sodality::event::Event;
use sodality::sim::InTransit;

use crate::craft::published::Kit;
use crate::craft::repaired::{no_secret, read_data};
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, CYD, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "G4",
    system: System::Antigone,
    section: "4",
    who: Who::Member,
    class: Class::Exploitable,
    title: "an insider misbehaves within its rights",
    holds: "what every member holds",
    steps: &[
        "cyd gives what it hears, and the key, to somebody outside",
    ],
    reaches: "nobody notices; the group learns of it elsewhere, if at all",
    defence: "none in the protocol: once it is known, the leader ejects, and the key changes (RA §4.6)",
    beyond_repair: true,
    published,
    repaired,
};

const WORDS: [&[u8]; 2] = [b"between us", b"between those who are left"];

/// Ann speaks, cyd is ejected, and ann speaks again. Whether `reads` read each, and whether any machine told of it.
fn leaks(scene: &mut Scene, id: &str, reads: &dyn Fn(&InTransit, &[u8]) -> bool) -> Ran<([bool; 2], bool)> {
    let (ann, mark) = (scene.node(ANN), scene.mark());
    scene.say(ANN, WORDS[0])?;
    scene.run(SECOND)?;
    let first = reads(&scene.last_from(id, ann)?, WORDS[0]);
    let suspects = |event: &Event| matches!(event, Event::Rejected { .. } | Event::Suspected { .. });
    let noticed = [ann, scene.leader()].into_iter().any(|node| scene.told(&mark, node, suspects));
    scene.eject(NAMES[CYD])?;
    scene.run(SECOND * 6)?;
    scene.say(ANN, WORDS[1])?;
    scene.run(SOON)?;
    let second = reads(&scene.last_from(id, ann)?, WORDS[1]);
    Ok(([first, second], noticed))
}

fn verdict(setup: &Setup, read: [bool; 2], noticed: bool) -> Outcome {
    match (read, noticed) {
        ([true, false], false) => Outcome::Impossible {
            shown: "an outsider reads with cyd's key, and no machine notices; after cyd's ejection it reads no \
                more".into(),
        },
        _ => setup.shows(read[0] && !noticed, "an outsider reads with cyd's key"),
    }
}

fn published(setup: &Setup) -> Ran {
    let mut kit = Kit::new(setup)?;
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let mut key = kit.insider(&scene, CYD)?;
    if setup.withheld {
        key.key = kit.wrong_key()?;
    }
    let reads = |frame: &InTransit, text: &[u8]| kit.read_data(&key, frame).is_some_and(|(_, read)| read == text);
    let (read, noticed) = leaks(&mut scene, "AN-Db", &reads)?;
    Ok(verdict(setup, read, noticed))
}

fn repaired(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let mut kept = scene.own_secret(CYD)?;
    if setup.withheld {
        kept = no_secret(&kept);
    }
    let reads = |frame: &InTransit, text: &[u8]| read_data(frame, &kept).is_some_and(|read| read == text);
    let (read, noticed) = leaks(&mut scene, "RA-D", &reads)?;
    Ok(verdict(setup, read, noticed))
}
