//! A17: rekeys are kept from a member.

use sodality::group::Check;

use crate::craft::published::Kit;
use crate::craft::repaired::{no_secret, read_data};
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, CYD, PERIOD, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A17",
    system: System::Antigone,
    section: "2.2.5",
    who: Who::Former,
    class: Class::Exploitable,
    title: "rekeys are kept from a member",
    holds: "the key of before, as somebody who has just left does; in the published edition recorded heartbeats too",
    steps: &[
        "cyd leaves, and the key changes",
        "cyd lets no rekey reach ann, and plays it old heartbeats or lets the answers to its questions pass",
        "ann says something",
    ],
    reaches: "ann goes on under a key that cyd knows",
    defence: "the answer to ann's own question names the leader's epoch, and a member that is behind stops at once \
        (RA §4.3, behind)",
    beyond_repair: false,
    published,
    repaired,
};

const WORDS: &[u8] = b"cyd must not hear this";

fn published(setup: &Setup) -> Ran {
    let mut kit = Kit::new(setup)?;
    let mut scene = Scene::joined(setup, &Plan::of(3).number_with_each_key())?;
    let ann = scene.node(ANN);
    scene.run(PERIOD * 2)?;
    let beat = scene.last("AN-HL", ann)?;
    let mut key = kit.insider(&scene, CYD)?;
    if setup.withheld {
        key.key = kit.wrong_key()?;
    }
    scene.suppress(move |frame, id| frame.to == ann && matches!(id, "AN-R" | "AN-K" | "AN-HL"));
    scene.leave(CYD)?;
    let mark = scene.mark();
    for _ in 0..8 {
        scene.run(PERIOD - SOON)?;
        scene.replay(&beat)?;
    }
    let noticed = scene.noticed(&mark, ANN);
    scene.tries_to_say(ANN, WORDS)?;
    scene.run(SOON)?;
    let said = scene.frames_from("AN-Db", ann).pop();
    let read = said.and_then(|said| kit.read_data(&key, &said)).is_some_and(|(_, text)| text == WORDS);
    Ok(setup.shows(read && !noticed, "eight periods after cyd left, ann speaks under the old key, and cyd reads it"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let ann = scene.node(ANN);
    let mut kept = scene.own_secret(CYD)?;
    if setup.withheld {
        kept = no_secret(&kept);
    }
    scene.suppress(move |frame, id| frame.to == ann && id == "RA-R");
    scene.leave(CYD)?;
    // One period, and the way there and back.
    scene.run(PERIOD + SOON)?;
    let spoke = scene.tries_to_say(ANN, WORDS)?;
    scene.run(SECOND)?;
    let said = scene.frames_from("RA-D", ann).pop();
    let won = said.and_then(|said| read_data(&said, &kept)).is_some_and(|text| text == WORDS);
    let by = "the leader's answer shows a newer epoch, and ann stops";
    let shown = format!("a period after cyd left, ann {}", if spoke { "still speaks" } else { "does not speak" });
    Ok(setup.judge(won, Check::EchoEpoch, by, shown))
}
