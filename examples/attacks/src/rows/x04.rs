//! X4: a message under a shared key is taken for another.

use cbc::cipher::array::Array;
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use des::Des;
use sodality::crypto::Secret;
use sodality::wire::Message as _;
use sodality::wire::published::JoinReply;

use crate::craft::field;
use crate::craft::published::{GroupKey, Kit};
use crate::row::{Class, Failed, Fault, Guard, Outcome, Ran, Row, Setup, Suite, System, Who};
use crate::scene::wire::draft;
use crate::scene::{ANN, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X4",
    system: System::Antigone,
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "a message under a shared key is taken for another",
    holds: "recorded frames",
    steps: &[
        "the attacker cuts off, or relabels, what was sealed as one message, and sends it as a key message",
    ],
    reaches: "ann installs a key that the attacker knows: its own name",
    defence: "the type is in the associated data of each box (RA §2)",
    beyond_repair: false,
    published,
    repaired,
};

/// What ann says once she has a key.
const WORDS: &[u8] = b"under whose key?";
/// Of DES.
const BLOCK: usize = 8;

/// The first blocks of AN-J2, `{g, A}`, as the `{g, K_g}` of AN-K: K_g is then ann's name, with which the attacker makes the
/// digest. It tries all beginnings of the box, while ann waits for her key.
fn published(setup: &Setup) -> Ran {
    if setup.has_fault(Fault::NakedCodec) {
        return hasty(setup);
    }
    let kit = Kit::new(setup)?;
    let mut scene = Scene::open(setup, &Plan::of(1).keeps_its_key())?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    scene.hold(move |frame, id| frame.to == ann && id == "AN-K");
    scene.join(ANN)?;
    scene.run(SECOND)?;
    let (reply, key) = (scene.last_from("AN-J2", leader)?, scene.last("AN-K", ann)?);
    // g is in clear in front of every key message.
    let group = field(&draft(&key)?.clear, "group")?;
    let mut name = NAMES[ANN].as_bytes().to_vec();
    name.resize(kit.suite().sizes().key, 0);
    let as_key = GroupKey { group, key: Secret::new(&name) };
    let sealed = JoinReply::parse(&reply.bytes)?.message.sealed.bytes;
    let mark = scene.mark();
    let (mut tried, mut accepted) = (0, 0);
    for end in (2 * BLOCK..sealed.len()).step_by(BLOCK) {
        let cut = sealed.get(..end).unwrap_or_default();
        let forged = [kit.delivery_from(&as_key, 1, NAMES[ANN], cut)?, kit.rekey_from(&as_key, 1, NAMES[ANN], cut)?];
        for forged in setup.give_all(forged.to_vec()) {
            tried += 1;
            accepted += u32::from(scene.inject(key.to_link, forged)?.is_none());
        }
    }
    scene.tries_to_say(ANN, WORDS)?;
    scene.run(SOON)?;
    let said = scene.last_from("AN-Db", ann).ok();
    let read = said.and_then(|said| kit.read_data(&as_key, &said)).is_some_and(|(_, text)| text == WORDS);
    let won = read && !scene.installed(&mark, ann).is_empty();
    let (guard, by) = match setup.cell.suite {
        Suite::DesMd5Rsa => (Some(Guard::Decision(Fault::NakedCodec)), "no beginning has the lengths and the padding"),
        Suite::Modern => (None, "no beginning of an AEAD's box opens"),
    };
    let shown = format!("{tried} key messages round beginnings of AN-J2: {accepted} accepted");
    Ok(setup.verdict(won, guard, by, shown))
}

/// DES in CBC, as bare as it comes: no padding on the way in, and none looked for on the way out.
fn bare(key: &Secret, iv: [u8; BLOCK], text: &[u8], encrypt: bool) -> Option<Vec<u8>> {
    let key: [u8; BLOCK] = key.expose().try_into().ok()?;
    let mut out = text.to_vec();
    let (blocks, rest) = Array::slice_as_chunks_mut(&mut out);
    if !rest.is_empty() {
        return None;
    }
    let (key, iv) = (Array::from(key), Array::from(iv));
    if encrypt {
        cbc::Encryptor::<Des>::new(&key, &iv).encrypt_blocks(blocks);
    } else {
        cbc::Decryptor::<Des>::new(&key, &iv).decrypt_blocks(blocks);
    }
    Some(out)
}

/// A leader and a member whose fields have no lengths, and whose boxes have no padding: names fill a block with zeros, g is two
/// blocks, K_g is one. No machine of this library is like that. The member checks what the report says: the inner g is that of
/// AN-J2 (D17), and the digest is right.
fn hasty(setup: &Setup) -> Ran {
    let mut kit = Kit::new(setup)?;
    let failed = || Failed::steps("whole blocks");
    let sigma = kit.sigma(NAMES[ANN])?;
    let group = [kit.draw()?, kit.draw()?].concat();
    let mut name = NAMES[ANN].as_bytes().to_vec();
    name.resize(BLOCK, 0);
    let (iv, numbers) = (kit.draw()?, [kit.draw()?, kit.draw()?].concat());
    // AN-J2: IV, then {g, A, I0, I2} under σ.
    let text = [&*group, &name, &numbers].concat();
    let reply = [&iv, &*bare(&sigma, iv, &text, true).ok_or_else(failed)?].concat();
    // The attacker: AN-K is g, S_SL, A, box, digest. In the control run it lacks the recorded AN-J2.
    let recorded = if setup.withheld { [&kit.draw()?, &*numbers, &*numbers].concat() } else { reply };
    let cut = recorded.get(..BLOCK + group.len() + BLOCK).unwrap_or_default();
    let sequence = 1u64.to_be_bytes();
    let digest = kit.suite().mac(&Secret::new(&name), &[&group, &sequence, &name, cut])?;
    // Ann.
    let (first, rest) = cut.split_first_chunk().ok_or_else(failed)?;
    let opened = bare(&sigma, *first, rest, false).ok_or_else(failed)?;
    let (inner, key) = opened.split_at_checked(group.len()).ok_or_else(failed)?;
    let digest_holds = kit.suite().verify_mac(&Secret::new(key), &[&group, &sequence, &name, cut], &digest).is_ok();
    let won = inner == group && digest_holds && key == name;
    Ok(setup.shows(won, "a member without lengths and padding takes the beginning of AN-J2 for AN-K, and its own name for \
        the group key"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(1).shared())?;
    let ann = scene.node(ANN);
    let mut relabelled = Vec::new();
    for id in ["RA-J2", "RA-CL"] {
        for frame in scene.frames(id, ann) {
            for kind in [0x04, 0x05, 0x07] {
                let mut bytes = frame.bytes.to_vec();
                // The type of the message is the last byte of the header.
                if let Some(code) = bytes.get_mut(4).filter(|code| **code != kind) {
                    *code = kind;
                    relabelled.push((frame.to_link, bytes));
                }
            }
        }
    }
    let (mark, tried) = (scene.mark(), relabelled.len());
    let mut accepted = 0;
    for (link, bytes) in setup.give_all(relabelled) {
        accepted += usize::from(scene.inject(link, bytes)?.is_none());
    }
    let won = accepted > 0 || !scene.installed(&mark, ann).is_empty();
    let by = "nothing opens as another message than the one as which it was sealed";
    Ok(setup.verdict(won, None, by, format!("{tried} frames under ann's key came with another type: {accepted} \
        accepted")))
}
