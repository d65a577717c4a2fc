//! A5: a key obtained once serves for ever.

use sodality::event::EndReason;
use sodality::group::Check;
use sodality::identity::MemberId;

use crate::craft::published::Kit;
use crate::craft::repaired::{Words, next_frame};
use crate::row::{Class, Outcome, Ran, Row, Setup, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A5",
    section: "2.2.1, 2.3",
    who: Who::Former,
    class: Class::Exploitable,
    title: "a key obtained once opens later sessions",
    holds: "σ of ann and the leader, obtained once; in the repaired edition all keys of a session of ann's that is \
        over",
    steps: &[
        "ann leaves and comes back",
        "the attacker speaks as ann with the key of before, and reads what is said",
    ],
    reaches: "it is taken for ann, or reads the later session",
    defence: "a key for each join, from fresh numbers of both sides and an ephemeral exchange (RA §2: k, dh)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    pose(setup)
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    speak(setup)
}

/// Joins as ann with a σ of before.
pub(super) fn pose(setup: &Setup) -> Ran {
    let mut kit = Kit::new(setup)?;
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    let line = scene.last_from("AN-J1", ann)?.to_link;
    scene.leave(ANN)?;
    scene.run(SECOND * 6)?;
    let sigma = if setup.withheld { kit.wrong_key()? } else { kit.sigma(NAMES[ANN])? };
    let mark = scene.mark();
    // Ann is away; the attacker has its line.
    scene.hold(move |frame, _| frame.to == ann);
    let key = kit.join_as(&mut scene, &sigma, NAMES[ANN], line)?;
    scene.run(SECOND * 6)?;
    let posed = scene.told(&mark, leader, |event| {
        matches!(event, sodality::event::Event::MemberAdded { name, .. } if name.as_str() == NAMES[ANN])
    });
    scene.say(BOB, b"not for strangers")?;
    scene.run(SOON)?;
    // The newest key that came for ann's name.
    let key = scene.frames("AN-R", ann).iter().rev().find_map(|frame| kit.key_for(&sigma, NAMES[ANN], frame)).or(key);
    let said = scene.frames_from("AN-Db", scene.node(BOB)).pop();
    let read = key.zip(said).and_then(|(key, said)| kit.read_data(&key, &said));
    let read = read.is_some_and(|(_, text)| text == b"not for strangers");
    Ok(setup.shows(posed && read, "the leader admitted the attacker as ann, and it read what bob said"))
}

/// Speaks as ann with the channel keys of a session that is over.
pub(super) fn speak(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    scene.leave(ANN)?;
    scene.run(SECOND * 14)?;
    let stolen = scene.stolen();
    scene.join(ANN)?;
    scene.run(SECOND * 12)?;
    let mark = scene.mark();
    let live = scene.last_from("RA-CM", ann)?;
    let words = Words::end(EndReason::Left, scene.cid(ANN).unwrap_or(MemberId::LEADER));
    let mut tried = Vec::new();
    for keys in setup.give_all(stolen) {
        let sealed = next_frame(&live, 50, words, Some(&*keys.member))?;
        let clear = next_frame(&live, 51, words, None)?;
        // In clear first: where boxes are not opened, what is sealed under another key breaks off the channel.
        for bytes in [clear, sealed] {
            tried.push(code(scene.inject(live.to_link, bytes)?));
        }
    }
    scene.run(SECOND)?;
    let left = scene.removed(&mark, leader, NAMES[ANN]).is_some();
    let by = "the channel keys of a join come from both sides' fresh numbers and an ephemeral exchange";
    let tried = tried.join(", ");
    let shown = format!("\"I leave\" in ann's name, under the keys of its last session and in clear: {tried}");
    Ok(setup.judge(left, Check::ChannelBox, by, shown))
}
