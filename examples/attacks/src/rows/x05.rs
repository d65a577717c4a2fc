//! X5: bits of a message are flipped on the way.

use sodality::event::Event;
use sodality::group::Check;
use sodality::policy::Protection;
use sodality::wire::Message as _;
use sodality::wire::published::SecretData;

use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, Suite, System, Who};
use crate::scene::{ANN, BOB, CYD, NAMES, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X5",
    system: System::Antigone,
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "bits of a message are flipped on the way",
    holds: "nothing; it alters frames",
    steps: &[
        "ann says something to the group",
        "the attacker flips bits of bob's copy; where the first block of the text is the sender's name, its IV \
            chooses that",
    ],
    reaches: "bob is given words in the name of somebody who did not say them",
    defence: "every bit of a message is covered by the tag of its box (RA §5)",
    beyond_repair: false,
    published,
    repaired,
};

const WORDS: &[u8] = b"I agree";

fn published(setup: &Setup) -> Ran {
    let plan = Plan::of(3).keeps_its_key().policy(|policy| policy.protection = Protection::Confidentiality);
    let mut scene = Scene::joined(setup, &plan)?;
    let bob = scene.node(BOB);
    scene.hold(move |frame, id| frame.to == bob && id == "AN-Dc");
    scene.say(ANN, WORDS)?;
    scene.run(SOON)?;
    let held = scene.release().pop().ok_or_else(|| Failed::steps("nothing was said"))?;
    let mut bytes = held.bytes.to_vec();
    // `{A, m}`: an IV, then blocks; the first begins with the length of the name and the name (D1, D4).
    let sealed = SecretData::parse(&held.bytes)?.message.sealed.bytes.len();
    let iv = bytes.len().saturating_sub(sealed);
    let names = NAMES[ANN].bytes().zip(NAMES[CYD].bytes());
    for (byte, (is, should)) in bytes.iter_mut().skip(iv + 1).zip(names) {
        *byte ^= is ^ should;
    }
    scene.inject(held.to_link, setup.give(bytes).unwrap_or_else(|| held.bytes.to_vec()))?;
    let won = scene.heard_as(BOB, WORDS).as_deref() == Some(NAMES[CYD]);
    if setup.cell.suite == Suite::Modern && !won {
        let by = "every bit of the text is covered by the tag of a modern cipher";
        return Ok(setup.verdict(false, None, by, "bob is given nothing"));
    }
    Ok(setup.shows(won, "ann's words reach bob as cyd's, without anybody's key"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    flipped(setup, "RA-D")
}

/// Each bit of ann's message is flipped on its way to bob.
pub(super) fn flipped(setup: &Setup, data: &'static str) -> Ran<Outcome> {
    // Where the text is in clear, and nothing but the tag stands against it.
    let plan = Plan::of(3).policy(|policy| (policy.protection, policy.origin) = (Protection::Integrity, false));
    let mut scene = Scene::joined(setup, &plan)?;
    let bob = scene.node(BOB);
    scene.hold(move |frame, id| frame.to == bob && id == data);
    scene.say(ANN, WORDS)?;
    scene.run(SOON)?;
    let held = scene.release().pop().ok_or_else(|| Failed::steps("nothing was said"))?;
    let mark = scene.mark();
    let (mut flips, mut waits) = (0, 0);
    // The words first, then all the rest.
    let place = held.bytes.windows(WORDS.len()).position(|part| part == WORDS).unwrap_or_default() * 8;
    for bit in setup.give_all((place..held.bytes.len() * 8).chain(0..place).collect()) {
        let mut bytes = held.bytes.to_vec();
        if let Some(byte) = bytes.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        flips += 1;
        waits += usize::from(scene.inject(held.to_link, bytes)?.is_none());
    }
    let given = scene.told(&mark, bob, |event| matches!(event, Event::Data(said) if said.payload != WORDS));
    scene.replay(&held)?;
    if !given && scene.heard(bob, WORDS) != 1 {
        return Err(Failed::steps("the true message is not given"));
    }
    let by = "every bit is covered by the tag, and the true message still counts";
    let shown = match given {
        true => "bob is given words that ann did not say".to_owned(),
        false => format!("{flips} flips of one bit: {waits} give a frame that waits for a key to come, all others are \
            refused"),
    };
    Ok(setup.judge(given, Check::DataBox, by, shown))
}
