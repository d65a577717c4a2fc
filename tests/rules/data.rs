//! Rules of data, and the situations that no other file of rules holds (RA §5, RA §6).

use std::cell::Cell;
use std::rc::Rc;

use sodality::endpoint::Endpoint;
use sodality::error::Reason;
use sodality::event::{Event, Refusal, Sender};
use sodality::group::Checks;
use sodality::policy::{Policy, Protection};
use sodality::sim::Moment;
use sodality::sim::star::{Star, records};
use sodality::ttp::{MemberRecord, ThirdParty};

use crate::forge::{Forge, get, set};
use crate::scene::{SECOND, SOON, Scene, config, draft, name, number, number_in, strangers_link, usual};

/// RA §5 (0): what comes back to its sender is an echo, counted and nothing more.
#[test]
fn own_messages_that_come_back_are_echoes() {
    let mut scene = Scene::settled(usual(), &["m1", "m2"]);
    scene.say(0, b"mine").unwrap();
    scene.run(SOON);
    let (mine, own) = (scene.last("RA-D", scene.star.leader), scene.last("RA-CL", scene.star.members[0]).to_link);
    scene.refuses(own, mine.bytes.clone(), Reason::Echo);
    scene.say(9, b"the leader's").unwrap();
    scene.run(SOON);
    let leaders = scene.last("RA-D", scene.star.members[0]);
    scene.refuses(mine.to_link, leaders.bytes, Reason::Echo);
}

/// RA §5 relay, (5), (6): the leader forwards the bytes as they came, once, and not back; it forwards nothing that fails a
/// check of its own, the signature among them, and such a frame uses up no number.
#[test]
fn the_leader_forwards_what_it_has_checked() {
    let forge = Forge::new();
    let mut scene = forge.joined(Policy::default(), &["m1", "m2", "m3"]);
    scene.say(0, b"first").unwrap();
    scene.run(SOON);
    let up = scene.last("RA-D", scene.star.leader);
    for n in 1..3 {
        assert_eq!(scene.last("RA-D", scene.star.members[n]).bytes, up.bytes, "the same bytes");
    }
    assert!(scene.frames("RA-D", scene.star.members[0]).is_empty(), "not to its sender");
    let relayed = scene.leader().stats().relayed;
    // Somebody who has the key writes under m1's number, and cannot sign.
    let forged = forge.forge(&up, |clear, body| {
        number_in(clear, "counter", |n| n + 1);
        set(body, "payload", b"forged");
    });
    scene.refuses(up.to_link, forged, Reason::Forged);
    scene.refuses_again(&up, Reason::Replayed);
    assert_eq!(scene.leader().stats().relayed, relayed);
    scene.say(0, b"second").unwrap();
    scene.run(SOON);
    let next = scene.last("RA-D", scene.star.leader);
    assert_eq!(get(&draft(&next).clear, "counter"), 1);
    assert_eq!(Star::heard(&scene.world, scene.star.members[2], b"second"), 1, "the number was still free");
}

/// RA §5 port: ports that are not known are refused, whoever vouches for the rest.
#[test]
fn unknown_ports_are_refused() {
    let forge = Forge::new();
    let mut scene = forge.joined(Policy { origin: false, ..Policy::default() }, &["m1", "m2"]);
    scene.say(0, b"text").unwrap();
    scene.run(SOON);
    let up = scene.last("RA-D", scene.star.leader);
    let on = |port: u8, on: u64| {
        forge.forge(&up, |clear, body| {
            number_in(clear, "counter", |n| n + on);
            set(body, "port", &[port]);
        })
    };
    assert_eq!(scene.inject(up.to_link, on(1, 1)), None);
    for port in [2, 255] {
        scene.refuses(up.to_link, on(port, 2), Reason::Violation);
    }
}

/// RA §5 none: nothing is authenticated and the message says so; it has no window; a relay takes it from the member's own
/// link only, and at a limited rate.
#[test]
fn what_is_clear_is_relayed_from_the_own_link_at_a_limited_rate() {
    let policy = Policy { protection: Protection::None, origin: false, ..Policy::default() };
    let mut config = config(policy, Checks::ALL);
    config.limits.clear_per_second = 3;
    let mut scene = Forge::unwatched_in(config, &["m1", "m2"]);
    scene.say(0, b"clear").unwrap();
    scene.run(SOON);
    let (up, other) = (scene.last("RA-D", scene.star.leader), scene.star.members[1]);
    let from =
        |event: &Event| matches!(event, Event::Data(message) if matches!(message.from, Sender::Unauthenticated(_)));
    assert!(scene.world.events(other).iter().any(from));
    let stranger = strangers_link(&mut scene);
    scene.refuses(stranger, up.bytes.clone(), Reason::NotMember);
    scene.run(SECOND);
    let next = |n: u64| {
        let mut made = draft(&up);
        number(&mut made, "counter", |counter| counter + n);
        made.frame()
    };
    for n in 1..=3 {
        assert_eq!(scene.inject(up.to_link, next(n)), None, "{n}");
    }
    scene.refuses(up.to_link, next(4), Reason::Budget);
    scene.run(SECOND / 2);
    assert_eq!(scene.inject(up.to_link, next(5)), None, "half a second later there is room for one");
}

/// RA §6 (11): a key that is disabled at the third party ends no live session, and lets nobody in any more.
#[test]
fn a_key_that_is_disabled_ends_no_session_and_opens_none() {
    let mut scene = Scene::settled(usual(), &["m1", "m2"]);
    let (suite, disabled) = (scene.star.config.suite.clone(), Rc::new(Cell::new(false)));
    let seen = disabled.clone();
    let app = move |machine: &mut ThirdParty, cx: &mut sodality::endpoint::Cx<'_>, moment: Moment<'_>| {
        if let Moment::Event(Event::LookupWanted { ticket, leader, member }) = moment {
            let mut found = records(&*suite, leader, member);
            found.member = found.member.map(|record| MemberRecord { disabled: seen.get(), ..record });
            machine.answer(cx, *ticket, &found).unwrap();
        }
    };
    scene.world.set_app(scene.star.third_party, app).unwrap();
    disabled.set(true);
    scene.run(SECOND * 30);
    scene.say(0, b"still here").unwrap();
    scene.run(SOON);
    assert_eq!(Star::heard(&scene.world, scene.star.members[1], b"still here"), 1);
    scene.leave(0);
    scene.run(SECOND);
    scene.join(0);
    scene.run(SECOND * 2);
    assert!(scene.told(scene.star.leader, &Event::NotVouched { name: name("m1"), why: Refusal::Disabled }));
    assert!(scene.member(0).cid().is_none());
}

/// RA §6 (8): after a restart the leader has another G and no old channel: what comes of the old group meets silence.
#[test]
fn a_leader_that_restarts_answers_nothing_of_its_past() {
    let mut scene = Scene::settled(usual(), &["m1", "m2"]);
    scene.say(0, b"of the old group").unwrap();
    scene.run(SECOND * 6);
    let (leader, past) = (scene.star.leader, scene.leader().group());
    let (poll, data) = (scene.last("RA-CM", leader), scene.last("RA-D", leader));
    scene.world.crash(leader).unwrap();
    let machine = sodality::sim::star::leader_machine(
        &scene.star.config,
        &mut sodality::endpoint::Cx::new(scene.world.now(), &mut sodality::sim::SimRng::new(99)),
    );
    scene.world.restart_with(leader, machine.unwrap()).unwrap();
    assert_ne!(scene.leader().group(), past);
    let link = strangers_link(&mut scene);
    scene.refuses(link, poll.bytes.clone(), Reason::Unknown);
    scene.refuses(link, data.bytes.clone(), Reason::OtherGroup);
    assert_eq!(scene.leader().view().members().len(), 1);
}
