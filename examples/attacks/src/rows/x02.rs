//! X2: the leader encrypts under σ for anybody.

use sodality::event::{Event, Refusal};
use sodality::wire::Message as _;
use sodality::wire::published::JoinReply;
use sodality::wire::shape::Content;

use crate::craft::published::{GroupKey, Kit};
use crate::craft::{field, lettered};
use crate::row::{Class, Failed, Fault, Guard, Outcome, Ran, Row, Setup, Suite, System, Who};
use crate::scene::wire::{code, draft};
use crate::scene::{ANN, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X2",
    system: System::Antigone,
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "the leader encrypts under σ for anybody",
    holds: "nothing: whoever claims to be a member chooses I0",
    steps: &[
        "the attacker asks to join in a member's name, with a number of its choice",
        "published: the number is a key and its g; the attacker cuts its blocks out of the answer, and puts a key message \
            round them",
    ],
    reaches: "she installs a key that the attacker knows",
    defence: "a request carries the member's tag, and the key of the answer depends on the numbers of both sides and \
        an exchange (RA §2)",
    beyond_repair: false,
    published,
    repaired,
};

/// The leader replaces pending joins of a name only after a while: few at once are enough to see.
const TRIES: u8 = 4;

/// Her name and the application's leave I0 whole blocks, as every name of seven letters does here.
const VICTIM: &str = "barbara";
const WORDS: &[u8] = b"under whose key?";
/// Of DES.
const BLOCK: usize = 8;
/// As long as a number may be.
const NUMBER: usize = 32;

/// I0 of 32 bytes holds all of `{g, K*}`, its padding too, and stands in AN-J2 in blocks of its own. The cipher block before it
/// is the IV under which they open: random IVs (D4) and padding (D6) do not matter. Whether she took the key, and what the leader
/// and she said to what came.
fn splice(setup: &Setup, length: usize) -> Ran<(bool, [&'static str; 2])> {
    let mut kit = Kit::new(setup)?;
    let plan = match setup.cell.suite {
        Suite::DesMd5Rsa => Plan::of(1),
        // For the cipher alone to stop it.
        Suite::Modern => Plan::of(1).any_numbers(),
    };
    let mut scene = Scene::joined(setup, &plan)?;
    let member = scene.add(VICTIM)?;
    let (victim, leader) = (scene.node(member), scene.leader());
    scene.join(member)?;
    scene.run(SECOND * 12)?;
    let (line, rekey) = (scene.last_from("AN-J1", victim)?.to_link, scene.last("AN-R", victim)?);
    let open = field(&draft(&rekey)?.clear, "group")?;
    // A g of the attacker's own, of another application with a short name.
    let mut group = lettered("x");
    group.extend_from_slice(&[0, 16]);
    group.extend_from_slice(&[b'x'; 16]);
    let key = GroupKey { group, key: kit.wrong_key()? };
    let mut number = kit.key_text(&key)?;
    let padding = NUMBER.saturating_sub(number.len()).max(1);
    number.resize(length, u8::try_from(padding).unwrap_or_default());
    let asked = scene.inject(line, kit.join_wish(VICTIM, &number)?)?;
    scene.run(SOON)?;
    let reply = scene.last_from("AN-J2", leader)?;
    let sealed = JoinReply::parse(&reply.bytes)?.message.sealed.bytes;
    // In front of I0: g, the member's name, a length. One block further than in the text, for the IV; one less, for the block
    // before.
    let place = open.len() + 1 + VICTIM.len() + 2;
    let block = sealed.get(place..place + BLOCK + length).unwrap_or_default();
    let (forged, mark) = (kit.rekey_from(&key, 1, VICTIM, block)?, scene.mark());
    let mut why = None;
    if let Some(forged) = setup.give(forged) {
        why = scene.inject(rekey.to_link, forged)?;
    }
    let installed = !scene.installed(&mark, victim).is_empty();
    scene.tries_to_say(member, WORDS)?;
    scene.run(SOON)?;
    let said = scene.last_from("AN-Db", victim).ok();
    let read = said.and_then(|said| kit.read_data(&key, &said)).is_some_and(|(_, text)| text == WORDS);
    Ok((installed && read, [code(asked), code(why)]))
}

fn published(setup: &Setup) -> Ran {
    let own = Kit::new(setup)?.suite().sizes().nonce;
    let ((long, [asked, why]), (short, _)) = (splice(setup, NUMBER)?, splice(setup, own)?);
    let (guard, by) = match setup.cell.suite {
        Suite::DesMd5Rsa => (
            Some(Guard::Decision(Fault::AnyNumbers)),
            "I0 has the length of D14, which holds no key, and g is of the own application (D13)",
        ),
        Suite::Modern => (None, "what is cut out of an AEAD's box does not open"),
    };
    let shown = match (long, short) {
        (true, false) => format!("{VICTIM} speaks under a key of the attacker's choice, out of one AN-J2 with I0 of {NUMBER} \
            bytes, though IVs are random (D4) and texts padded (D6); with I0 of {own} she does not"),
        (_, true) => format!("{VICTIM} speaks under a key of the attacker's choice, out of one AN-J2 with I0 of {own} bytes"),
        (false, false) => format!("with I0 of {NUMBER} bytes, the wish was {asked} at the leader, and the rekey {why} at \
            {VICTIM}; with I0 of {own} she speaks under no such key either"),
    };
    Ok(setup.verdict(long || short, guard, by, shown))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(1))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    scene.leave(ANN)?;
    scene.run(SECOND)?;
    let (request, mark) = (scene.last_from("RA-J1", ann)?, scene.mark());
    for number in setup.give_all((0..TRIES).collect()) {
        let mut asked = draft(&request)?;
        let i0 = asked.clear.find_mut("i0").ok_or_else(|| Failed::steps("RA-J1 without its number"))?;
        let length = i0.to_bytes().len();
        let mut chosen = u16::try_from(length.saturating_sub(2)).unwrap_or_default().to_be_bytes().to_vec();
        chosen.resize(length, number);
        i0.content = Content::Leaf(chosen);
        scene.inject(request.to_link, asked.frame())?;
        scene.run(SOON)?;
    }
    let answers = scene.sent(&mark, leader, "RA-J2");
    let blamed = |event: &&Event| matches!(event, Event::NotVouched { why: Refusal::BadTag, .. });
    let blamed = scene.since(&mark, leader).iter().filter(blamed).count();
    let by = "the third party does not vouch for a request without ann's tag";
    let shown = format!("{TRIES} requests with numbers of the attacker's choice: {answers} answers, {blamed} times \
        `join.bad-tag` at the leader");
    Ok(setup.verdict(answers > 0, None, by, shown))
}
