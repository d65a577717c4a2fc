//! X6: a private message is taken for a key.

use sodality::crypto::published::PublishedSizes;
use sodality::crypto::{Key, Secret};
use sodality::enclaves::version_2::{GroupKey, KeyWithIv};
use sodality::sim::star::LEADER;
use sodality::wire::field::Nonce;

use crate::craft::version_two::Kit;
use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, NAMES, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X6",
    system: System::Enclaves,
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "a member's own private message comes back to it as a new key",
    holds: "a private message of ann's, of which it knows to whom it went, and the text",
    steps: &[
        "ann says something to one other in private",
        "the attacker puts another type in front, and sends it back to ann",
    ],
    reaches: "ann speaks under a key that is the list of recipients",
    defence: "a key for each direction, and the type of a message in what its tag covers (enclaves §4)",
    beyond_repair: false,
    published,
    repaired,
};

const WORDS: &[u8] = b"under whose key?";

/// A recipient whose name, alone in a list, makes that list as long as a key: a count of four bytes, a length, the name.
fn recipient(sizes: PublishedSizes) -> String {
    "bob".chars().chain(core::iter::repeat('b')).take(sizes.key - 5).collect()
}

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup);
    let sizes = kit.suite().sizes();
    let to = recipient(sizes);
    let mut scene = Scene::joined(setup, &Plan::of(2).called(&[NAMES[ANN], &to]))?;
    let ann = scene.node(ANN);
    // The low byte of the length of a vector (the port before it is the high one), and a vector.
    let length = u8::try_from(sizes.iv).map_err(Failed::steps)?;
    let iv = vec![0x42; sizes.iv];
    scene.gossip(ANN, &[&to], &[&[length], &*iv].concat())?;
    scene.run(SOON)?;
    let gossip = scene.last_from("EN-G1", ann)?;
    let line = scene.line(scene.leader(), ann)?;
    if let Some(forged) = setup.give(kit.as_new_key(&gossip, LEADER)?) {
        scene.inject(line, forged)?;
    }
    let name_length = u8::try_from(to.len()).map_err(Failed::steps)?;
    let list = [&[0, 0, 0, 1, name_length], to.as_bytes()].concat();
    let iv = Nonce::new(&iv).ok_or_else(|| Failed::steps("no vector"))?;
    let known = GroupKey::of(&**kit.suite(), KeyWithIv { key: Key::new(Secret::new(&list)), iv })?;
    scene.say(ANN, WORDS)?;
    scene.run(SOON)?;
    let said = scene.last_from("EN-D1", ann)?;
    let won = kit.reads(&known, &said).is_some_and(|text| text == WORDS);
    let shown = format!("ann speaks under a key of {} bytes that is the list of one name, of {} letters", sizes.key, to.len());
    Ok(setup.shows(won, shown))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    let line = scene.line(leader, ann)?;
    // All that went under ann's K_a, in both directions, as each of the things that ann takes under it.
    let mut other = Vec::new();
    for id in ["EN-R2", "EN-R3", "EN-R4", "EN-R5"] {
        let frames = [scene.frames(id, ann), scene.frames_from(id, ann)].concat();
        for frame in frames {
            for kind in [0x02, 0x04, 0x07] {
                let mut bytes = frame.bytes.to_vec();
                // The type of the message is the last byte of the header.
                if let Some(code) = bytes.get_mut(4).filter(|code| **code != kind || frame.from == ann) {
                    *code = kind;
                    other.push(bytes);
                }
            }
        }
    }
    let (mark, tried) = (scene.mark(), other.len());
    let mut accepted = 0;
    for bytes in setup.give_all(other) {
        accepted += usize::from(scene.inject(line, bytes)?.is_none());
    }
    let won = accepted > 0 || !scene.installed(&mark, ann).is_empty();
    let by = "nothing opens as another message than the one as which it was sealed, nor at the side that sealed it";
    Ok(setup.verdict(won, None, by, format!("{tried} frames under ann's K_a came back to it, with other types: {accepted} \
        accepted")))
}
