//! X7: a member acknowledges a key for another that never got it.

use sodality::group::Check;
use sodality::identity::{Epoch, Version};
use sodality::wire::antigone::MemberBody;

use crate::craft::number;
use crate::craft::repaired::{Words, next_frame};
use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::{code, draft};
use crate::scene::{ANN, BOB, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X7",
    system: System::Antigone,
    section: "own",
    who: Who::Member,
    class: Class::Exploitable,
    title: "a member acknowledges a key for another that never got it",
    holds: "the group key, as every member does",
    steps: &[
        "the key changes; bob keeps the rekey from ann, and ann's frames from the leader",
        "bob tells the leader, as ann, that the key is installed",
    ],
    reaches: "the leader believes the rekey complete, and sends ann nothing more",
    defence: "what is installed is reported under the key of the member's own channel (RA §4.2)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(_setup: &Setup) -> Ran {
    Ok(Outcome::NotApplicable { why: "Antigone as published has no acknowledgement of a key (the row is Enclaves' \
        EN-NKA)" })
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, bob) = (scene.node(ANN), scene.node(BOB));
    let live = scene.last_from("RA-CM", ann)?;
    scene.suppress(move |frame, id| (frame.to == ann && id == "RA-R") || (frame.from == ann && id == "RA-CM"));
    scene.rekey()?;
    scene.run(SOON)?;
    // What bob knows of the new epoch stands in clear in its own copy.
    let copy = draft(&scene.last("RA-R", bob)?)?;
    let common = copy.clear.find("common").ok_or_else(|| Failed::steps("RA-R without its facts"))?;
    let words = Words {
        epoch: Epoch(number(common, "epoch")?),
        view: Version(number(common, "view")?),
        policy: Version(number(common, "policy")?),
        answer: false,
        body: MemberBody::Nothing,
    };
    let mut why = None;
    if let Some(forged) = setup.give(next_frame(&live, 50, words, None)?) {
        why = scene.inject(live.to_link, forged)?;
    }
    let before = scene.frames("RA-R", ann).len();
    scene.run(SECOND * 4)?;
    let again = scene.frames("RA-R", ann).len() - before;
    let by = "only what is sealed under ann's channel key reports what ann has";
    let shown = format!("\"ann has the key\" was {}; in the next 4 s the leader sent it {again} times more", code(why));
    Ok(setup.judge(again == 0, Check::ChannelBox, by, shown))
}
