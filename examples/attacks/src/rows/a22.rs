//! A22: an insider speaks for the leader.

use sodality::event::Event;
use sodality::group::Check;
use sodality::policy::Views;
use sodality::event::{Cause, Causes};

use crate::craft::published::Kit;
use crate::craft::repaired::heartbeat_with;
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, CYD, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A22",
    system: System::Antigone,
    section: "2.3",
    who: Who::Member,
    class: Class::Weakness,
    title: "an insider speaks for the leader",
    holds: "the group key, as every member does",
    steps: &[
        "published: cyd adds a name to the list of members in ann's key message and makes the digest anew",
        "repaired: cyd says in a heartbeat of the leader's that somebody has joined",
    ],
    reaches: "ann believes what the leader never said",
    defence: "what the leader says to one is under a key of two, and what it says to all is signed (RA §2, §4.3)",
    beyond_repair: false,
    published,
    repaired,
};

const NOBODY: &str = "mallory";

fn believes(scene: &Scene, who: &str) -> bool {
    let ann = scene.node(ANN);
    scene.told(&Default::default(), ann, |event| {
        matches!(event, Event::MemberAdded { name, .. } if name.as_str() == who)
    })
}

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup)?;
    let mut scene = Scene::open(setup, &Plan::of(2).keeps_its_key())?;
    let ann = scene.node(ANN);
    scene.join(BOB)?;
    scene.run(SECOND * 12)?;
    let key = kit.insider(&scene, BOB)?;
    scene.hold(move |frame, id| frame.to == ann && id == "AN-K");
    scene.join(ANN)?;
    scene.run(SOON)?;
    for held in scene.release() {
        // One block of a DES cipher holds this name.
        let altered = kit.delivery_listing(&held, &key.key, &["lea", NAMES[ANN], NAMES[BOB], "eve"])?;
        scene.inject(held.to_link, setup.give(altered).unwrap_or(held.bytes))?;
    }
    scene.run(SECOND)?;
    Ok(setup.shows(believes(&scene, "eve"), "ann's view shows somebody of whom the leader knows nothing"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let plan = Plan::of(3).shared().policy(|policy| {
        policy.rekey_on = Causes::of(Cause::Leave);
        policy.views = Views::BestEffort;
        policy.origin = false;
    });
    let mut scene = Scene::joined(setup, &plan)?;
    let ear = scene.ear(scene.node(ANN))?;
    let view = scene.own_view(CYD)?;
    let like = scene.last("RA-H", scene.node(CYD))?;
    let forged = heartbeat_with(&like, &view, NOBODY, &mut scene.rng)?;
    let mut why = None;
    if let Some(forged) = setup.give(forged) {
        why = scene.inject(ear, forged)?;
    }
    let by = "a heartbeat is signed by the leader";
    let shown = format!("a heartbeat in the leader's name was {}", code(why));
    Ok(setup.judge(believes(&scene, NOBODY), Check::HeartbeatSignature, by, shown))
}
