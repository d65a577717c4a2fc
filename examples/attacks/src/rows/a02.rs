//! A2: a member speaks in another's name.

use sodality::event::Sender;
use sodality::group::Check;

use crate::craft::published::Kit;
use crate::craft::repaired::{data_as, no_secret};
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, CYD, NAMES, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A2",
    system: System::Antigone,
    section: "2.1",
    who: Who::Member,
    class: Class::Exploitable,
    title: "a member speaks in another's name",
    holds: "the group key, as every member does",
    steps: &[
        "bob seals a message under the group key and names ann as its sender",
        "it goes to cyd, who has heard nothing of ann",
    ],
    reaches: "cyd's application is given bob's words as ann's",
    defence: "each message carries its sender's signature, where the policy demands it (RA §5 (5)); where it does \
        not, the type of the sender says so",
    beyond_repair: false,
    published,
    repaired,
};

pub(super) const WORDS: &[u8] = b"ann owes bob ten";

pub(super) fn as_ann(scene: &Scene) -> bool {
    scene.heard_as(CYD, WORDS).as_deref() == Some(NAMES[ANN])
}

fn published(setup: &Setup) -> Ran {
    let mut kit = Kit::new(setup)?;
    let mut scene = Scene::joined(setup, &Plan::of(3).keeps_its_key())?;
    let (cyd, mut key) = (scene.node(CYD), kit.insider(&scene, BOB)?);
    if setup.withheld {
        key.key = kit.wrong_key()?;
    }
    let like = scene.last("AN-K", cyd)?;
    let forged = kit.both(&key, NAMES[ANN], WORDS)?;
    let why = scene.inject(like.to_link, forged)?;
    Ok(setup.shows(as_ann(&scene), format!("cyd was given bob's words as ann's; the frame was {}", code(why))))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    insider(setup, "RA-D")
}

/// Bob seals in ann's name, with all that a member has.
pub(super) fn insider(setup: &Setup, data: &str) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let cyd = scene.node(CYD);
    // A message of bob's own shows the group, and where cyd listens.
    scene.say(BOB, b"good morning")?;
    scene.run(SOON)?;
    let like = scene.last(data, cyd)?;
    let (mut secret, ann) = (scene.own_secret(BOB)?, scene.cid(ANN).unwrap_or_default());
    if setup.withheld {
        secret = no_secret(&secret);
    }
    let forged = data_as(&like, ann, &secret, WORDS, Some(&mut scene.rng))?;
    let why = scene.inject(like.to_link, forged)?;
    let won = as_ann(&scene) && scene.heard_from(cyd, WORDS) == Some(Sender::Signed(ann));
    let by = "the signature is not one of ann's key, which the view names";
    Ok(setup.judge(won, Check::DataOrigin, by, format!("bob's words in ann's name were {}", code(why))))
}
