//! A5: a key obtained once serves for ever.

use sodality::event::{EndReason, Event};
use sodality::group::Check;
use sodality::identity::MemberId;

use crate::craft::published::Kit;
use crate::craft::repaired::{Words, next_frame, opens_block};
use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::code;
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A5",
    system: System::Antigone,
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

const WORDS: [&[u8]; 2] = [b"not for strangers", b"in another session"];

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
        matches!(event, Event::MemberAdded { name, .. } if name.as_str() == NAMES[ANN])
    });
    scene.say(BOB, WORDS[0])?;
    scene.run(SOON)?;
    // The newest key that came for ann's name.
    let key = scene.frames("AN-R", ann).iter().rev().find_map(|frame| kit.key_for(&sigma, NAMES[ANN], frame)).or(key);
    let said = scene.last_from("AN-Db", scene.node(BOB))?;
    let read = key.and_then(|key| kit.read_data(&key, &said)).is_some_and(|(_, text)| text == WORDS[0]);
    // The leader's next group, of which the attacker has a recording and nothing else.
    scene.release();
    scene.crash(leader)?;
    scene.run(SECOND * 40)?;
    scene.reopen()?;
    let before = scene.mark();
    scene.join(ANN)?;
    scene.join(BOB)?;
    scene.run(SECOND * 12)?;
    scene.say(BOB, WORDS[1])?;
    scene.run(SOON)?;
    let rekey = scene.last("AN-R", ann)?;
    let said = scene.last_from("AN-Db", scene.node(BOB))?;
    let key = kit.key_for(&sigma, NAMES[ANN], &rekey);
    let later = key.and_then(|key| kit.read_data(&key, &said)).is_some_and(|(_, text)| text == WORDS[1]);
    let heard = scene.told(&before, ann, |event| matches!(event, Event::Data(message) if message.payload == WORDS[1]));
    if !heard {
        return Err(Failed::steps("ann is not in the leader's next group"));
    }
    let shown = "the leader admitted the attacker as ann, and it read what bob said; of the leader's next group it reads a \
        recording";
    Ok(setup.shows(posed && read && later, shown))
}

/// Speaks as ann with the channel keys of a session that is over.
pub(super) fn speak(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    scene.leave(ANN)?;
    scene.run(SECOND * 14)?;
    let (stolen, back) = (scene.stolen(), scene.now());
    scene.join(ANN)?;
    scene.run(SECOND * 12)?;
    let mark = scene.mark();
    let live = scene.last_from("RA-CM", ann)?;
    let words = Words::end(EndReason::Left, scene.cid(ANN).unwrap_or(MemberId::LEADER));
    // Reading: the rekeys of ann's session that is over, and of the one that is on.
    let rekeys = scene.frames("RA-R", ann);
    let opens = |old: bool| {
        let of = rekeys.iter().filter(|rekey| (rekey.sent < back) == old);
        of.filter(|rekey| stolen.iter().any(|keys| opens_block(rekey, &*keys.leader))).count()
    };
    let (before, now) = (opens(true), opens(false));
    if before == 0 {
        return Err(Failed::steps("the keys of the session that is over do not open its rekeys"));
    }
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
    let shown = format!("the keys of ann's last session open {before} rekeys of it, and {now} of the next; \"I leave\" in \
        ann's name, under them and in clear: {tried}");
    Ok(setup.judge(left || now > 0, Check::ChannelBox, by, shown))
}
