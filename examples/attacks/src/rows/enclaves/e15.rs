//! E15: the group key stays when somebody is expelled.

use sodality::group::Check;

use crate::craft::repaired::{data_as, no_secret};
use crate::craft::version_two::Kit;
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, CYD, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E15",
    system: System::Enclaves,
    section: "3.2.3",
    who: Who::Former,
    class: Class::Exploitable,
    title: "who was expelled goes on talking",
    holds: "the group key of its time",
    steps: &[
        "bob is expelled",
        "bob seals something under the key of its time",
    ],
    reaches: "cyd is given what bob says, who is out",
    defence: "a removal changes the key, and who has the new one uses no older key from then on (RA §4.4, floor)",
    beyond_repair: false,
    published,
    repaired,
};

const WORDS: &[u8] = b"I am still here";

fn published(setup: &Setup) -> Ran {
    let mut kit = Kit::new(setup);
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let kept = kit.insider(setup, &scene, BOB)?;
    scene.eject(NAMES[BOB])?;
    scene.run(SECOND)?;
    // Over somebody else's line to the leader, who relays it.
    let line = scene.line(scene.node(ANN), scene.leader())?;
    scene.inject(line, kit.data_as(BOB, &kept, false, WORDS)?)?;
    scene.run(SOON)?;
    let heard = scene.heard(scene.node(CYD), WORDS);
    Ok(setup.shows(heard == 1, "bob was expelled, and the leader relays what it says to cyd"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    // Without signatures, so that an old key is all that it takes.
    let mut scene = Scene::joined(setup, &Plan::of(3).policy(|policy| policy.origin = false))?;
    let cyd = scene.node(CYD);
    // What the leader says shows the group; ann has said nothing, and none of its numbers is used.
    scene.leader_says(b"good morning")?;
    scene.run(SOON)?;
    let (like, kept) = (scene.last("EN-R9", cyd)?, scene.own_secret(BOB)?);
    let kept = if setup.withheld { no_secret(&kept) } else { kept };
    scene.eject(NAMES[BOB])?;
    scene.run(SOON)?;
    // As ann, whom cyd knows.
    let number = scene.cid(ANN).unwrap_or_default();
    let forged = data_as(&like, number, &kept, WORDS, None)?;
    let why = scene.inject(like.to_link, forged)?;
    let won = scene.heard(cyd, WORDS) > 0;
    let by = "the key of bob's time is erased with its removal";
    Ok(setup.judge(won, Check::Floor, by, format!("what bob says under the key of its time was {}", code(why))))
}
