//! A4: the name in a question to the third party is swapped.

use sodality::event::Event;
use sodality::group::Check;
use sodality::wire::shape::Content;

use crate::craft::{lettered, set};
use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::{code, draft};
use crate::scene::{ANN, BOB, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A4",
    system: System::Antigone,
    section: "2.2.1",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "the name in a question to the third party is swapped",
    holds: "nothing; it alters one frame",
    steps: &[
        "ann asks to join; the attacker puts bob's name in the leader's question to the third party, or gives the \
            leader the answer to a question about bob",
        "nothing else is altered or lost",
    ],
    reaches: "the leader derives a wrong key, ann's join fails, and nobody is told why",
    defence: "the answer opens under a key of this question, with both names in it (RA §2, h); what the third party \
        has to say is sealed, so that the leader can lay blame",
    beyond_repair: false,
    published,
    repaired,
};

/// Ann's join has failed, and the leader has told its operator nothing.
fn fails_in_silence(scene: &Scene) -> bool {
    let mark = Default::default();
    let failed = scene.told(&mark, scene.node(ANN), |event| matches!(event, Event::JoinFailed(_)));
    failed && !scene.told(&mark, scene.leader(), |event| matches!(event, Event::NotVouched { .. }))
}

fn published(setup: &Setup) -> Ran {
    let mut scene = Scene::open(setup, &Plan::of(2))?;
    if let Some(bob) = setup.give(lettered(NAMES[BOB])) {
        scene.alter_next(move |frame, id| {
            let mut draft = (id == "AN-T1").then(|| draft(frame).ok()).flatten()?;
            set(&mut draft.clear, "member", bob.clone()).ok()?;
            Some(draft.frame())
        });
    }
    scene.join(ANN)?;
    scene.run(SECOND * 20)?;
    Ok(setup.shows(fails_in_silence(&scene), "one name was altered: ann's join came to nothing, and nobody knows why"))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::open(setup, &Plan::of(2))?;
    let (mut tried, third_party) = (Vec::new(), scene.third_party());
    scene.hold(|_, id| id == "RA-T2");
    scene.join(ANN)?;
    scene.join(BOB)?;
    scene.run(SOON)?;
    let answers = scene.release();
    let [anns, bobs] = answers.as_slice() else { return Err(Failed::steps("two answers")) };
    // The question with another name in it: the leader's tag is over all of it.
    let question = scene.frames("RA-T1", third_party).into_iter().next().ok_or_else(|| Failed::steps("RA-T1"))?;
    let mut bytes = question.bytes.to_vec();
    let (ann, bob) = (lettered(NAMES[ANN]), lettered(NAMES[BOB]));
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes.get(*at..at + ann.len()) == Some(&ann)).collect();
    for at in places {
        bytes.iter_mut().skip(at).zip(&bob).for_each(|(byte, with)| *byte = *with);
    }
    if let Some(altered) = setup.give(bytes) {
        tried.push(code(scene.inject(question.to_link, altered)?));
    }
    // The answer about bob, as if it were the one about ann.
    let (of_ann, mut crossed) = (draft(anns)?, draft(bobs)?);
    if let Some(number) = crossed.clear.find_mut("i1") {
        number.content = of_ann.clear.find("i1").map_or(Content::Leaf(Vec::new()), |i1| i1.content.clone());
    }
    if let Some(crossed) = setup.give(crossed.frame()) {
        tried.push(code(scene.inject(anns.to_link, crossed)?));
    }
    scene.replay(anns)?;
    scene.replay(bobs)?;
    scene.run(SECOND * 20)?;
    let by = "an answer opens under the key of its own question alone, and the honest one still counts";
    let shown = format!("question and answer: {}", tried.join(", "));
    Ok(setup.judge(fails_in_silence(&scene), Check::AnswerBox, by, shown))
}
