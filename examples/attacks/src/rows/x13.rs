//! X13: two texts have one digest.

use sodality::antigone::data::published as data;
use sodality::antigone::keys::published::{Group, GroupKey as Held};
use sodality::crypto::Key;
use sodality::policy::Protection;
use sodality::wire::published::{GroupId, IntegrityData};
use sodality::wire::{Field as _, Message as _};

use crate::craft::published::{GroupKey, Kit};
use crate::row::{Class, Outcome, Ran, Row, Setup, Suite, System, Who};
use crate::scene::{BOB, NAMES};

/// The row.
pub static ROW: Row = Row {
    id: "X13",
    system: System::Antigone,
    section: "own",
    who: Who::Member,
    class: Class::Exploitable,
    title: "two texts have one digest",
    holds: "the group key, as every member does, and the time to find two texts of one MD5 digest after a given \
        beginning",
    steps: &[
        "bob says one of the two texts",
        "whoever helps it on the network gives ann the other one, with the same tag",
    ],
    reaches: "two versions of one message, both with the tag that bob made for one",
    defence: "MD5 is not used",
    beyond_repair: false,
    published,
    repaired,
};

/// The g of the group: bob knows it, and needs less than a second on one core to find two texts for it.
const GROUP: &[u8] = b"\x03sim\x00\x10sixteen numbers!";
/// What both texts begin with: as long as is missing of a block of MD5 after g, bob's name and the length of m.
const BEGINS: &[u8] = b"I, bob, owe cyd what stands here:";
/// How the first text goes on.
const BLOCKS: [u8; 128] = [
    0xe6, 0x08, 0x63, 0x94, 0x9a, 0xbe, 0xeb, 0xac, 0xdd, 0x69, 0xa5, 0xe5, 0xb8, 0xf3, 0xed, 0x11,
    0x36, 0xa2, 0x2a, 0x32, 0x37, 0x23, 0x01, 0x61, 0x62, 0xa2, 0x80, 0xb5, 0x6d, 0x06, 0x0a, 0x8e,
    0x06, 0x0c, 0x04, 0xc4, 0xea, 0xe5, 0x2c, 0x50, 0xe7, 0x2f, 0xd6, 0x63, 0x8e, 0xad, 0xfa, 0x22,
    0x87, 0xaf, 0x3d, 0x1d, 0xd2, 0x11, 0x8e, 0x34, 0x6f, 0xc2, 0x44, 0x72, 0xbb, 0x78, 0xfb, 0x59,
    0x45, 0x8f, 0x9a, 0x88, 0x9d, 0xfd, 0x6c, 0xcb, 0x0f, 0xff, 0x70, 0x84, 0xd6, 0xba, 0x8a, 0x26,
    0x80, 0xd4, 0xe6, 0x34, 0x7f, 0x9f, 0xc2, 0x3d, 0xf6, 0xa8, 0x23, 0xc7, 0x50, 0x5c, 0x21, 0xad,
    0xc5, 0xaf, 0x7e, 0xfa, 0x8f, 0x91, 0x24, 0x88, 0x66, 0x8d, 0x49, 0xda, 0x89, 0x84, 0xb6, 0x3e,
    0xc2, 0x98, 0xfa, 0x76, 0x77, 0xcf, 0x73, 0xeb, 0xb5, 0xe8, 0xd6, 0xe6, 0xf8, 0x73, 0x58, 0x9d,
];
/// Where one bit is another in the second text.
const FLIPS: [(usize, u8); 7] = [(19, 0x80), (45, 0x80), (46, 0x01), (59, 0x80), (83, 0x80), (109, 0x80), (123, 0x80)];

/// The receiver of AN-Di as ann's machine has it, on two frames that differ in a few bits of the text.
fn published(setup: &Setup) -> Ran {
    if setup.cell.suite == Suite::Modern {
        return Ok(Outcome::NotApplicable { why: "the modern suite has no MD5" });
    }
    let mut kit = Kit::new(setup)?;
    let key = GroupKey { group: GROUP.to_vec(), key: kit.wrong_key()? };
    let first = [BEGINS, &BLOCKS].concat();
    let mut second = first.clone();
    for (place, bits) in FLIPS {
        if let Some(byte) = second.get_mut(BEGINS.len() + place) {
            *byte ^= bits;
        }
    }
    if setup.withheld {
        // Two texts, and no such pair.
        second.clone_from(&first);
        second.iter_mut().take(1).for_each(|byte| *byte ^= 1);
    }
    let honest = kit.integrity(&key, NAMES[BOB], &first)?;
    let other = kit.integrity_with(&honest, &second)?;
    let held = Held { group: Group::of(&GroupId::decode(GROUP)?), key: Key::new(key.key.clone()) };
    let read = |frame: &[u8]| {
        let opened = data::open(kit.suite(), &held, Protection::Integrity, IntegrityData::INFO.code, frame).ok()?;
        Some(opened.payload)
    };
    let texts = (read(&honest), read(&other));
    let won = matches!(&texts, (Some(one), Some(two)) if one != two && **one == *first && **two == *second);
    let flips = FLIPS.len();
    Ok(setup.shows(won, format!("two frames of bob's, of {} bytes, with one digest: {flips} bytes of the texts differ",
        honest.len())))
}

fn repaired(_setup: &Setup) -> Ran {
    Ok(Outcome::NotApplicable { why: "MD5 is not used" })
}
