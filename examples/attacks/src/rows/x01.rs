//! X1: the third party encrypts for anybody.

use sodality::crypto::Secret;
use sodality::sim::InTransit;
use sodality::sim::star::LEADER;
use sodality::wire::Message as _;
use sodality::wire::published::{PairAnswer, StrongAnswer};
use sodality::wire::shape::Content;

use crate::craft::published::Kit;
use crate::row::{Class, Failed, Fault, Guard, Outcome, Ran, Row, Setup, Suite, System, Who};
use crate::scene::wire::{code, draft};
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X1",
    system: System::Antigone,
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "the third party encrypts for anybody",
    holds: "nothing: the question to the third party is in clear, and takes a number of the asker's choice",
    steps: &[
        "published: ann leads a group of her own elsewhere; the attacker asks the third party in her name, twice, the second \
            time with a number that it computes from the first answer",
        "repaired: it asks in the leader's name, with numbers of its choice",
    ],
    reaches: "σ of ann and the leader stands among the blocks of the second answer, and opens the leader's group",
    defence: "questions and requests are tagged, and each purpose has a key of its own (RA §2; D38)",
    beyond_repair: false,
    published,
    repaired,
};

const TRIES: u8 = 20;

/// Of DES.
const BLOCK: usize = 8;

/// What ann's key, or what stands for it, reads of the rest.
const WORDS: &[u8] = b"for ann and bob";

/// Ann leads a group of her own, so the third party serves her as an asker. Under a constant IV (D4) the same beginning gives
/// the same blocks: ask about bob, and read the cipher block C in front of a block of the number; ask again with {SL} ⊕ C there,
/// and its cipher block is {SL} under ann's key, which is σ. Whether something in the answers was σ. A number of the length of
/// D14 has a block for itself only if the fields before it happen to end with one.
fn asks(setup: &Setup, plan: &Plan, id: &str, before: usize) -> Ran<bool> {
    let kit = Kit::new(setup)?;
    let mut scene = Scene::joined(setup, &plan.clone().everybody_leads())?;
    let (ann, third_party, key) = (scene.node(ANN), scene.third_party(), kit.suite().sizes().key);
    let line = scene.last("AN-T1", third_party)?.to_link;
    let rekey = scene.last("AN-R", ann)?;
    scene.say(BOB, WORDS)?;
    scene.run(SOON)?;
    let said = scene.last("AN-Db", ann)?;
    // Where the number has a block for itself.
    let place = before.next_multiple_of(BLOCK);
    let length = if plan.any_numbers { place - before + BLOCK } else { kit.suite().sizes().nonce };
    let mut block = [0; BLOCK];
    block.iter_mut().zip(LEADER.bytes()).for_each(|(byte, letter)| *byte = letter);
    for turn in 0..TRIES {
        let mut number = vec![turn; length];
        scene.inject(line, kit.pair_request(NAMES[ANN], NAMES[BOB], &number)?)?;
        scene.run(SOON)?;
        let first = sealed(&scene.last_from(id, third_party)?)?;
        let chosen = number.iter_mut().skip(place - before);
        // One block further than in the text, for the IV; one less, for the block before.
        let before = first.get(place..).unwrap_or_default();
        chosen.zip(block.iter().zip(before)).for_each(|(byte, (name, cipher))| *byte = name ^ cipher);
        if let Some(second) = setup.give(kit.pair_request(NAMES[ANN], NAMES[BOB], &number)?) {
            scene.inject(line, second)?;
            scene.run(SOON)?;
        }
        let answer = sealed(&scene.last_from(id, third_party)?)?;
        let found = answer.windows(key).any(|sigma| {
            let key = kit.key_for(&Secret::new(sigma), NAMES[ANN], &rekey);
            key.and_then(|key| kit.read_data(&key, &said)).is_some_and(|(_, text)| text == WORDS)
        });
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn sealed(frame: &InTransit) -> Ran<Vec<u8>> {
    Ok(match StrongAnswer::parse(&frame.bytes) {
        Ok(answer) if frame.bytes.get(4) == Some(&StrongAnswer::INFO.code) => answer.message.sealed.bytes.to_vec(),
        _ => PairAnswer::parse(&frame.bytes)?.message.sealed.bytes.to_vec(),
    })
}

fn published(setup: &Setup) -> Ran {
    // Lengths of two bytes before π or σ, and before the number; of one byte before the name.
    let key = Kit::new(setup)?.suite().sizes().key;
    let (before, before_strong) = (2 + key + 2, 2 + key + 1 + NAMES[BOB].len() + 2);
    let strong = asks(setup, &Plan::of(2).strong_reply(), "AN-T2s", before_strong)?;
    let plain = asks(setup, &Plan::of(2), "AN-T2", before)?;
    let any = asks(setup, &Plan::of(2).any_numbers(), "AN-T2", before)?;
    let (guard, by) = match setup.cell.suite {
        Suite::DesMd5Rsa => (Some(Guard::Decision(Fault::ConstantIv)), "each ciphertext has a random IV"),
        Suite::Modern => (None, "σ and the box are made under keys of their own (D38)"),
    };
    let works = |works| if works { "gives σ" } else { "gives nothing" };
    let (with_name, with_pair, with_any) = (works(strong), works(plain), works(any));
    let length = Kit::new(setup)?.suite().sizes().nonce;
    let shown = format!("in {TRIES} tries at most, the stronger AN-T2s {with_name}, where the name of three letters puts a \
        number of {length} bytes (D14) where blocks begin; AN-T2 {with_pair} for such a number, and {with_any} for one of any \
        length");
    Ok(setup.verdict(plain || strong, guard, by, shown))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::open(setup, &Plan::of(1))?;
    let third_party = scene.third_party();
    scene.join(ANN)?;
    scene.run(SECOND)?;
    let (question, mark) = (scene.last("RA-T1", third_party)?, scene.mark());
    let mut whys = Vec::new();
    for number in setup.give_all((0..TRIES).collect()) {
        let mut asked = draft(&question)?;
        let i1 = asked.clear.find_mut("i1").ok_or_else(|| Failed::steps("RA-T1 without its number"))?;
        let length = i1.to_bytes().len();
        let mut chosen = u16::try_from(length.saturating_sub(2)).unwrap_or_default().to_be_bytes().to_vec();
        chosen.resize(length, number);
        i1.content = Content::Leaf(chosen);
        whys.push(code(scene.inject(question.to_link, asked.frame())?));
    }
    scene.run(SOON)?;
    let answers = scene.sent(&mark, third_party, "RA-T2");
    whys.dedup();
    let by = "the third party answers questions that a leader has tagged, and nobody else";
    let (who, why) = (NAMES[ANN], whys.join(", "));
    let shown = format!("{TRIES} questions in the leader's name about {who}: {answers} answers, {why}");
    Ok(setup.verdict(answers > 0, None, by, shown))
}
