//! E4: data are changed on the way.

use sodality::event::Event;
use sodality::wire::Message as _;
use sodality::wire::enclaves::version_2::DataToMember;

use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, Suite, System, Who};
use crate::rows::x05;
use crate::scene::{ANN, BOB, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "E4",
    system: System::Enclaves,
    section: "3.1.1",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "bits of a message are flipped on the way",
    holds: "nothing; it alters frames",
    steps: &[
        "ann says something in which nothing is redundant",
        "the attacker flips a bit of bob's copy",
    ],
    reaches: "bob is given words that ann did not say",
    defence: "every bit of a message is covered by the tag of its box (D34)",
    beyond_repair: false,
    published,
    repaired,
};

/// Of DES.
const BLOCK: usize = 8;

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let bob = scene.node(BOB);
    let said: Vec<u8> = (0..31u8).map(|n| n.wrapping_mul(167).wrapping_add(13)).collect();
    scene.hold(move |frame, id| frame.to == bob && id == "EN-D2");
    scene.say(ANN, &said)?;
    scene.run(SOON)?;
    let held = scene.release().pop().ok_or_else(|| Failed::steps("nothing was said"))?;
    let sealed = DataToMember::parse(&held.bytes)?.message.sealed.bytes.len();
    // In the second block: that one comes out as noise, and one bit of the third is turned.
    let at = held.bytes.len().saturating_sub(sealed) + BLOCK;
    let mut bytes = held.bytes.to_vec();
    if let (Some(byte), false) = (bytes.get_mut(at), setup.withheld) {
        *byte ^= 0x10;
    }
    let mark = scene.mark();
    scene.inject(held.to_link, bytes)?;
    let another = |event: &Event| matches!(event, Event::Data(message) if message.payload != said[..]);
    let won = scene.told(&mark, bob, another);
    if setup.cell.suite == Suite::Modern && !won {
        let by = "every bit of the text is covered by the tag of a modern cipher";
        return Ok(setup.verdict(false, None, by, "bob is given nothing else"));
    }
    Ok(setup.shows(won, "bob is given other words, as long, with one block of noise and one bit of the attacker's choice"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    x05::flipped(setup, "EN-R9")
}
