//! X1: the third party encrypts for anybody.

use sodality::wire::shape::Content;

use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, Who};
use crate::scene::wire::{code, draft};
use crate::scene::{ANN, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X1",
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "the third party encrypts for anybody",
    holds: "nothing: the question to the third party is in clear, and takes a number of the asker's choice",
    steps: &[
        "the attacker asks the third party in a leader's name, twice, with numbers that it computes from the answers",
    ],
    reaches: "σ of ann and the leader stands among the blocks of the second answer",
    defence: "questions and requests are tagged, and each purpose has a key of its own (RA §2; D38)",
    beyond_repair: false,
    published,
    repaired,
};

const TRIES: u8 = 20;

/// With a constant IV (D4): ask once, read the cipher block C before the number; ask again with the number SL ⊕ C. Its block
/// is then {SL} under the asker's key, which is σ. For that the third party must serve ann as an asker, and take a number
/// longer than its own.
fn published(setup: &Setup) -> Ran {
    let scene = Scene::joined(setup, &Plan::of(1))?;
    drop(scene);
    Err(Failed::Absent("the oracle needs the suite, and a third party that serves a second leader"))
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
