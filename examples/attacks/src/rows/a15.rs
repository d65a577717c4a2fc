//! A15: who has left goes on listening.

use sodality::group::Check;

use crate::craft::published::Kit;
use crate::craft::repaired::{no_secret, read_data};
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, BOB, CYD, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A15",
    system: System::Antigone,
    section: "2.2.4",
    who: Who::Former,
    class: Class::Exploitable,
    title: "who has left goes on listening",
    holds: "the group key of its time",
    steps: &[
        "ann leaves",
        "bob speaks; ann opens what it recorded, and says something itself",
    ],
    reaches: "ann reads what bob says after it has left",
    defence: "a removal changes the key, and who has the new one uses no older key from then on (RA §4.4, floor)",
    beyond_repair: false,
    published,
    repaired,
};

const WORDS: &[u8] = b"not for who has left";

fn published(setup: &Setup) -> Ran {
    let mut kit = Kit::new(setup)?;
    let mut scene = Scene::joined(setup, &Plan::of(3).keeps_its_key())?;
    let (bob, cyd) = (scene.node(BOB), scene.node(CYD));
    let mut key = kit.insider(&scene, ANN)?;
    if setup.withheld {
        key.key = kit.wrong_key()?;
    }
    scene.leave(ANN)?;
    scene.run(SECOND * 6)?;
    scene.say(BOB, WORDS)?;
    scene.run(SOON)?;
    let said = scene.last_from("AN-Db", bob)?;
    let read = kit.read_data(&key, &said).is_some_and(|(_, text)| text == WORDS);
    // It also speaks, as bob.
    let forged = kit.both(&key, NAMES[BOB], b"and still here")?;
    let line = scene.last("AN-Db", cyd)?.to_link;
    scene.inject(line, forged)?;
    let spoke = scene.heard(cyd, b"and still here") > 0;
    Ok(setup.shows(read && spoke, "ann reads what bob says, and cyd hears ann speak as bob"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    listens(setup, "RA-D")
}

/// Ann has left, and tries the secret of its time on what bob says.
pub(super) fn listens(setup: &Setup, data: &str) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let bob = scene.node(BOB);
    let mut kept = scene.own_secret(ANN)?;
    if setup.withheld {
        kept = no_secret(&kept);
    }
    scene.leave(ANN)?;
    scene.run(SOON)?;
    scene.say(BOB, WORDS)?;
    scene.run(SOON)?;
    let said = scene.last_from(data, bob)?;
    let won = read_data(&said, &kept).is_some_and(|text| text == WORDS);
    let by = "the key has changed with the removal, and nobody waits to use the new one";
    let shown = format!("ann's key {} what bob says", if won { "opens" } else { "does not open" });
    Ok(setup.judge(won, Check::Floor, by, shown))
}
