//! X3: a list of words.

use sodality::enclaves::auth::{Account, SharedKey};
use sodality::enclaves::version_2::messages::Pair;
use sodality::sim::star::{APP, LEADER};
use sodality::wire::Message as _;
use sodality::wire::enclaves::repaired::AuthInitReq;

use crate::craft::enclaves::header;
use crate::craft::version_two::{Kit, called};
use crate::row::{Class, Guard, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::repaired::suite;
use crate::scene::{ANN, NAMES, Plan, SECOND, Scene, enclaves, version_two};

/// The row.
pub static ROW: Row = Row {
    id: "X3",
    system: System::Enclaves,
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "a password is guessed from a recorded join",
    holds: "a recording of ann's join, and a list of words",
    steps: &[
        "ann joins; its key follows from a password",
        "the attacker tries each word on the recording, and asks nobody",
    ],
    reaches: "the password",
    defence: "public keys: there is nothing to guess (enclaves-authentication); with keys from passwords nothing stops it",
    beyond_repair: false,
    published,
    repaired,
};

const PASSWORD: &str = "sunshine";
const WORDS: [&str; 6] = ["123456", "qwerty", "dragon", "sunshine", "princess", "letmein"];

fn shown(found: &[&str]) -> String {
    let tried = WORDS.len();
    match found {
        [] => format!("{tried} words tried: none fits"),
        [word] => format!("{tried} words tried: \"{word}\" fits"),
        more => format!("{tried} words tried: {} fit", more.len()),
    }
}

fn recorded(setup: &Setup) -> Ran<Scene> {
    let mut scene = Scene::open(setup, &Plan::of(1).password(PASSWORD))?;
    scene.join(ANN)?;
    scene.run(SECOND * 6)?;
    Ok(scene)
}

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup);
    let scene = recorded(setup)?;
    let (leader, member) = (called(LEADER)?, called(NAMES[ANN])?);
    let seen = setup.give(scene.last_from("EN-A1", scene.node(ANN))?);
    let mut found = Vec::new();
    for word in WORDS {
        let user = version_two::key_of_password(setup.cell.suite, word, NAMES[ANN])?;
        // The names inside are known: they are in clear in front.
        let pair = Pair { leader, member, user: &user };
        if seen.as_ref().is_some_and(|seen| kit.scheme().read_request(pair, &seen.bytes).is_ok()) {
            found.push(word);
        }
    }
    Ok(setup.shows(found == [PASSWORD], shown(&found)))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = recorded(setup)?;
    let seen = setup.give(scene.last_from("EN-R1", scene.node(ANN))?);
    let (suite, app, leader, member) = (suite(), called(APP)?, called(LEADER)?, called(NAMES[ANN])?);
    let around: sodality::enclaves::auth::Scene<'_> =
        sodality::enclaves::auth::Scene { suite: &*suite, header: header(), app, leader, member, wall: None };
    let mut found = Vec::new();
    for word in WORDS {
        let guess = Account::SharedKey(SharedKey::new(enclaves::key_of_password(word)?));
        let Some(seen) = &seen else { continue };
        let AuthInitReq { n1, request, .. } = AuthInitReq::parse(&seen.bytes)?.message;
        // What the leader would do with it, if ann's key were this one.
        if guess.answer(&around, &n1, &n1, request.0, &mut scene.rng).is_ok() {
            found.push(word);
        }
    }
    let by = "a signature says nothing of any password";
    Ok(setup.verdict(found == [PASSWORD], Some(Guard::PublicKeys), by, shown(&found)))
}
