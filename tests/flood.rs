//! What strangers cost (R2, R5, R6, S10): ten thousand links full of half-open joins, in bytes and in peace.
#![allow(unsafe_code, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/heap.rs"]
mod heap;
mod scene;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sodality::antigone::Member;
use sodality::endpoint::{Cx, Endpoint, Link, LinkInfo};
use sodality::error::Reason;
use sodality::event::Event;
use sodality::group::{Checks, Limits};
use sodality::policy::Policy;
use sodality::sim::star::member_machine;
use sodality::sim::{SimRng, Star};

use scene::{SECOND, Scene, config, made_up};

const LINKS: u64 = 10_000;
const INFO: LinkInfo = LinkInfo { max_frame: 65_536, reliable: true, proven: true, shared: false, answers: None };

/// What `Limits` say that strangers may cost a leader: for each link, and for each pending join.
fn bound(limits: &Limits) -> usize {
    Limits::LINK_BYTES * limits.links.min(LINKS as usize) + Limits::PENDING_BYTES * limits.pending_joins
}

/// Ten thousand links, on each ten requests of made-up names with made-up tags; the third party answers none. The leader holds
/// no more than `Limits` say (R2), and refuses the rest for want of room.
#[test]
fn ten_thousand_links_of_half_open_joins_cost_what_is_stated() {
    let scene = Scene::joined(Checks::ALL, 2);
    let honest = scene.frames("RA-J1", scene.star.leader).remove(0);
    let (limits, now) = (scene.star.config.limits, scene.world.now());
    // A copy: what is sent goes nowhere.
    let mut leader = scene.leader().clone();
    let (mut rng, mut names) = (SimRng::new(9), SimRng::new(10));
    let frames: Vec<Bytes> = (0..LINKS * 10)
        .map(|n| made_up(&honest, &format!("a name as long as names may well be {n}"), &mut names))
        .collect();
    let before = heap::live();
    for (n, frames) in frames.chunks(10).enumerate() {
        let link = Link(1_000_000 + n as u64);
        let mut cx = Cx::new(now, &mut rng);
        leader.handle_link_opened(&mut cx, link, INFO).unwrap();
        for frame in frames {
            leader.handle_frame(&mut cx, link, BytesMut::from(&frame[..])).unwrap();
            while leader.poll_transmit(&mut cx).is_some() {}
            while leader.poll_event().is_some() {}
        }
    }
    let held = heap::held_since(before);
    let refused = leader.stats().rejected[&Reason::Budget];
    println!(
        "{LINKS} links with 10 requests each: {} joins pend, {refused} refused, {held} bytes held; stated {}",
        leader.pending_joins(),
        bound(&limits),
    );
    assert_eq!(leader.pending_joins(), limits.pending_joins);
    assert_eq!(refused, LINKS * 10 - limits.pending_joins as u64);
    assert!(held <= bound(&limits), "{held} bytes");
    // They expire, and what they cost is given back but for the links.
    let later = now + limits.pending_life + SECOND;
    let mut cx = Cx::new(later, &mut rng);
    for _ in 0..100 {
        leader.handle_timeout(&mut cx).unwrap();
        while leader.poll_transmit(&mut cx).is_some() {}
        while leader.poll_event().is_some() {}
    }
    assert_eq!(leader.pending_joins(), 0);
    let held = heap::held_since(before);
    println!("{held} bytes once the joins have expired");
    assert!(held <= Limits::LINK_BYTES * LINKS as usize);
}

/// The same at the third party, whose registry answers nothing: look-ups are bounded, in all and for a link.
#[test]
fn ten_thousand_links_of_questions_cost_the_third_party_what_is_stated() {
    let scene = Scene::joined(Checks::ALL, 1);
    let question = scene.frames("RA-T1", scene.star.third_party).remove(0);
    let (limits, now) = (scene.star.config.limits, scene.world.now());
    let mut third_party = scene.world.get(scene.star.third_party).unwrap().clone();
    let mut rng = SimRng::new(9);
    let before = heap::live();
    for n in 0..LINKS {
        let link = Link(1_000_000 + n);
        let mut cx = Cx::new(now, &mut rng);
        third_party.handle_link_opened(&mut cx, link, INFO).unwrap();
        for _ in 0..10 {
            third_party.handle_frame(&mut cx, link, BytesMut::from(&question.bytes[..])).unwrap();
            while third_party.poll_event().is_some() {}
        }
    }
    let held = heap::held_since(before);
    let stated = Limits::LINK_BYTES * LINKS as usize + Limits::LOOKUP_BYTES * limits.lookups;
    println!(
        "{LINKS} links with 10 questions each: {} look-ups open, {held} bytes held; stated {stated}",
        third_party.open_lookups()
    );
    assert_eq!(third_party.open_lookups(), limits.lookups);
    assert!(held <= stated, "{held} bytes");
}

/// An established group goes on undisturbed while ten thousand links are full of requests: every text arrives, nobody is
/// suspected or stale, a rekey takes no longer, and somebody honest comes in (R6).
#[test]
fn an_established_group_goes_on_undisturbed() {
    let mut config = config(Policy::default(), Checks::ALL);
    config.link = sodality::sim::LinkConfig::STREAM;
    let mut scene = Scene::open(config, &["m1", "m2", "m3"]);
    for n in [0, 1] {
        scene.join(n);
    }
    scene.run(SECOND * 8);
    let honest = scene.frames("RA-J1", scene.star.leader).remove(0);
    let stranger = scene.world.add("strangers", member_machine(&scene.star.config, "stranger").unwrap()).unwrap();
    let link = scene.star.config.link;
    let links: Vec<Link> =
        (0..LINKS).map(|_| scene.world.connect(stranger, scene.star.leader, link).unwrap().1).collect();
    let mut rng = SimRng::new(4);
    scene.tap.borrow_mut().frames.clear();
    let (epoch, view) = (scene.leader().epoch(), scene.leader().view().version());
    for second in 0u64..20 {
        // Five hundred requests a second: each reaches the third party, which knows none of the names.
        for n in 0..500 {
            let at = links[usize::try_from((second * 500 + n) % LINKS).unwrap()];
            let frame = made_up(&honest, &format!("nobody {second} {n}"), &mut rng);
            scene.world.inject(at, frame, Duration::from_micros(n * 2_000));
        }
        if second == 10 {
            scene.join(2);
        }
        let text = format!("text {second}");
        scene.say(usize::try_from(second % 2).unwrap(), text.as_bytes()).unwrap();
        scene.run(SECOND);
        let listener = scene.star.members[usize::try_from((second + 1) % 2).unwrap()];
        assert_eq!(Star::heard(&scene.world, listener, text.as_bytes()), 1, "{text}");
    }
    assert!(scene.member(2).is_current(), "an honest newcomer came in");
    assert_eq!(scene.leader().view().version().0, view.0 + 1);
    assert_eq!(scene.leader().epoch(), epoch.next().unwrap());
    for node in scene.star.members.iter().map(|node| node.id).chain([scene.star.leader.id]) {
        let harmed = |event: &&Event| matches!(event, Event::Suspected { .. } | Event::Stale | Event::Ended(_));
        assert_eq!(scene.world.events(node).iter().filter(harmed).count(), 0);
    }
    assert!(scene.world.get(scene.star.members[0]).is_some_and(Member::is_current));
    assert!(scene.leader().pending_joins() <= scene.star.config.limits.pending_joins);
}
