//! A21: anybody asks for the key in a member's name.

use sodality::event::EndReason;
use sodality::group::Check;
use sodality::identity::MemberId;
use sodality::wire::antigone::MemberBody;

use crate::craft::field;
use crate::craft::published::Kit;
use crate::craft::repaired::{Words, next_frame};
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::wire::{code, draft};
use crate::scene::{ANN, NAMES, Plan, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A21",
    system: System::Antigone,
    section: "2.2.5",
    who: Who::Outsider,
    class: Class::Exploitable,
    title: "anybody asks for the key in a member's name",
    holds: "nothing: the request is in clear",
    steps: &[
        "the attacker asks the leader for ann's key, many times",
    ],
    reaches: "the leader seals and sends a key message for each request, and does not know who asked",
    defence: "a request is an authentic frame of the member's channel or nothing, and answers to one member are at a \
        bounded rate (RA §4.2)",
    beyond_repair: false,
    published,
    repaired,
};

const REQUESTS: u64 = 10;

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup)?;
    let mut scene = Scene::joined(setup, &Plan::of(2).keeps_its_key())?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    let group = field(&draft(&scene.last("AN-K", ann)?)?.clear, "group")?;
    let line = scene.last_from("AN-J1", ann)?.to_link;
    let mark = scene.mark();
    for _ in 0..REQUESTS {
        if let Some(wish) = setup.give(kit.key_wish(&group, NAMES[ANN])?) {
            scene.inject(line, wish)?;
        }
    }
    scene.run(SOON)?;
    let sent = scene.sent(&mark, leader, "AN-K");
    Ok(setup.shows(sent > 0, format!("{REQUESTS} requests that nobody signed: the leader sent {sent} key messages")))
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(2))?;
    let (ann, leader) = (scene.node(ANN), scene.leader());
    let live = scene.last_from("RA-CM", ann)?;
    let wish = Words { body: MemberBody::Nothing, ..Words::end(EndReason::Left, MemberId::LEADER) };
    let (mark, mut why) = (scene.mark(), None);
    for on in 1..=REQUESTS {
        if let Some(wish) = setup.give(next_frame(&live, on, wish, None)?) {
            why = scene.inject(live.to_link, wish)?;
        }
    }
    scene.run(SOON / 2)?;
    let sent = scene.sent(&mark, leader, "");
    let by = "a request that is not sealed under the key of the channel is nothing";
    let shown = format!("{REQUESTS} requests in ann's name: {}; the leader sent {sent} frames", code(why));
    Ok(setup.judge(sent > 0, Check::ChannelBox, by, shown))
}
