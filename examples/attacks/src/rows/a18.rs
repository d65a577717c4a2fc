//! A18: heartbeats are held against a number of the attacker's choice.

use sodality::event::Event;
use sodality::group::Check;

use crate::craft::published::Kit;
use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, CYD, PERIOD, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A18",
    system: System::Antigone,
    section: "2.2.5",
    who: Who::Member,
    class: Class::Exploitable,
    title: "heartbeats are held against a number of the attacker's choice",
    holds: "recorded heartbeats; in the published edition the group key, and a key message with it",
    steps: &[
        "published: cyd lets the key message come again with a lower number beside the key, then plays the recorded \
            heartbeats, after the leader has stopped",
        "repaired: the shared link is dead for ann, and the attacker plays it an old heartbeat",
    ],
    reaches: "old heartbeats count as new: nobody notices that the leader, or the link, is dead",
    defence: "the number of a heartbeat is under the leader's signature and only grows; members do not learn it from \
        anywhere else (RA §4.3, A on RA-H)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup)?;
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    scene.rekey()?;
    scene.run(PERIOD * 9)?;
    let (rekey, beats) = (scene.last("AN-R", ann)?, scene.frames("AN-HL", ann));
    let recent: Vec<_> = beats.into_iter().filter(|beat| beat.number > rekey.number).collect();
    let key = kit.insider(&scene, CYD)?;
    scene.crash(leader)?;
    let mark = scene.mark();
    let lowered = kit.rekey_with(&rekey, &key.key, 0)?;
    if let Some(lowered) = setup.give(lowered) {
        scene.inject(rekey.to_link, lowered)?;
    }
    for beat in recent.iter().take(8) {
        scene.run(PERIOD - SOON)?;
        scene.replay(beat)?;
    }
    let won = !scene.noticed(&mark, ANN);
    Ok(setup.shows(won, "eight periods after the leader stopped, ann takes recorded heartbeats for new ones"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2).shared())?;
    let ann = scene.node(ANN);
    let wire = scene.channel().ok_or_else(|| Failed::steps("no shared link"))?;
    scene.run(PERIOD)?;
    let old = scene.last("RA-H", ann)?;
    let (mark, mut why) = (scene.mark(), None);
    scene.suppress(move |frame, _| frame.wire == wire && frame.to == ann);
    for _ in 0..7 {
        scene.run(SECOND * 4)?;
        if let Some(old) = setup.give(&old) {
            why = scene.replay(old)?;
        }
    }
    let won = !scene.told(&mark, ann, |event| matches!(event, Event::MulticastSilent { .. }));
    let by = "the number of a heartbeat only grows, and is signed";
    Ok(setup.judge(won, Check::HeartbeatNumber, by, format!("an old heartbeat on a dead link was {}", code(why))))
}
