//! X2: the leader encrypts under σ for anybody.

use sodality::event::{Event, Refusal};
use sodality::wire::shape::Content;

use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, Who};
use crate::scene::wire::draft;
use crate::scene::{ANN, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "X2",
    section: "own",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "the leader encrypts under σ for anybody",
    holds: "nothing: whoever claims to be ann chooses I0",
    steps: &[
        "the attacker asks to join in ann's name, with numbers that it computes from the answers",
        "it puts a key message together from the blocks",
    ],
    reaches: "ann installs a key that the attacker knows",
    defence: "a request carries the member's tag, and the key of the answer depends on the numbers of both sides and \
        an exchange (RA §2)",
    beyond_repair: false,
    published,
    repaired,
};

/// The leader replaces pending joins of a name only after a while: few at once are enough to see.
const TRIES: u8 = 4;

/// With a constant IV (D4) and aligned fields: two forged joins for each block of `{g, K*}` under σ.
fn published(setup: &Setup) -> Ran {
    let scene = Scene::joined(setup, &Plan::of(1))?;
    drop(scene);
    Err(Failed::Absent("the oracle needs the suite"))
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
