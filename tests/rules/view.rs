//! Rules of views, each shown alone (RA §4.5).

use std::sync::Arc;

use sodality::antigone::membership::{Assembly, Pages};
use sodality::error::Reason;
use sodality::event::{Cause, Ending, Event};
use sodality::group::pages::Paged;
use sodality::group::{ChangeRecord, Limits};
use sodality::identity::{MemberId, Name, Version};
use sodality::policy::{Policy, Views};
use sodality::sim::star::{StarConfig, member_machine};
use sodality::sim::{InTransit, NodeId};
use sodality::wire::Field;
use sodality::wire::antigone::{LeaderBody, LeaderRecord, ViewPage};
use sodality::wire::field::{Digest, VerifyingKey};
use sodality::wire::shape::Content;

use crate::forge::{Forge, get, set};
use crate::scene::{SECOND, SOON, Scene, draft};

/// RA §4.5 none: `common` says version 0, no digest and "hidden"; no page goes out, and nobody is told who is there.
#[test]
fn where_views_are_hidden_nothing_is_told_of_them() {
    let forge = Forge::new();
    let policy = Policy { views: Views::Hidden, origin: false, ..Policy::default() };
    let scene = forge.joined(policy, &["m1", "m2"]);
    for member in &scene.star.members {
        for block in scene.frames("RA-R", *member) {
            let clear = draft(&block).clear;
            assert_eq!((get(&clear, "view"), get(&clear, "view_digest"), get(&clear, "delta")), (0, 0, 0));
            assert_eq!(clear.find("delta").unwrap().to_bytes(), [0], "hidden");
        }
        let pages = scene.frames("RA-CL", *member);
        assert!(!pages.is_empty() && pages.iter().all(|page| forge.body(page).find("changes").is_none()));
        let tells = |event: &Event| matches!(event, Event::MemberAdded { .. } | Event::MemberRemoved { .. });
        assert!(!scene.world.events(*member).iter().any(tells));
    }
}

/// RA §4.5 with each key, best effort: the change travels with the key, and pages only to whom it does not serve.
#[test]
fn the_change_travels_with_the_key() {
    for views in [Views::WithEachKey, Views::BestEffort, Views::Exact] {
        let forge = Forge::new();
        let mut scene = forge.joined(Policy { views, ..Policy::default() }, &["m1", "m2", "m3"]);
        let first = scene.star.members[0];
        let pages = |scene: &Scene| {
            let frames = scene.frames("RA-CL", first);
            frames.iter().filter(|frame| forge.body(frame).find("changes").is_some()).count()
        };
        let (before, gone) = (pages(&scene), scene.member(2).cid().unwrap());
        scene.leave(2);
        scene.run(SOON);
        let block = draft(&scene.last("RA-R", first)).clear;
        let changes = block.find("changes").unwrap();
        assert_eq!((get(changes, "cid"), get(&block, "from") + 1), (gone.0, get(&block, "view")));
        assert!(!scene.member(0).view().unwrap().contains(gone));
        scene.run(SECOND * 6);
        assert_eq!(pages(&scene), before, "{views:?}");
    }
}

fn change(n: u64, text: &str) -> ChangeRecord {
    ChangeRecord::Add { cid: MemberId(n), name: Name::new(text).unwrap(), origin_key: VerifyingKey::NONE }
}

/// RA §4.5 pages: a page fits its frame; all of a set say the same of where they lead; the first of another set drops an
/// unfinished one, and what belongs to none is refused; there are no more entries than agreed.
#[test]
fn pages_add_up_and_belong_together() {
    let changes: Arc<[ChangeRecord]> = (0..40).map(|n| change(n, &format!("{n}{}", "x".repeat(100)))).collect();
    let digest = Digest::new(&[5; 32]).unwrap();
    let collect = |to| {
        let mut cursor = Some(Pages::new(changes.clone(), Version(0), Version(to), digest));
        let mut pages = Vec::new();
        while let Some(pages_left) = cursor {
            let (body, left) = pages_left.page(1200);
            assert!(body.len() <= 1200 - 200, "with the frame around it: {}", body.len());
            pages.push(body);
            cursor = left;
        }
        pages
    };
    fn page(body: &[u8]) -> ViewPage<'_> {
        let Ok(LeaderBody::Record(LeaderRecord::View(page))) = LeaderBody::decode(body) else { panic!("a page") };
        page
    }
    let (set, newer) = (collect(40), collect(41));
    assert!(set.len() > 3);
    let add = |so_far: Option<&Assembly>, body: &[u8], most| Assembly::add(so_far, &page(body), most);
    let mut so_far: Option<Assembly> = None;
    for (n, body) in set.iter().enumerate() {
        let page = page(body);
        assert_eq!((page.from, page.to, page.digest), (Version(0), Version(40), digest));
        assert_eq!((page.first, page.last), (n == 0, n + 1 == set.len()));
        match add(so_far.as_ref(), body, 40).unwrap() {
            Paged::First(first) => so_far = Some(first),
            Paged::Next(more) => so_far.as_mut().unwrap().append(more),
            Paged::Whole(whole) => assert_eq!(whole.changes[..], changes[..]),
        }
    }
    // An unfinished set.
    let Some(Paged::First(begun)) = add(None, &set[0], 40) else { panic!("the first") };
    assert_eq!(add(None, &set[1], 40), None, "nothing was begun");
    assert_eq!(add(Some(&begun), &newer[1], 40), None, "it belongs to another set");
    let restarted = add(Some(&begun), &newer[0], 40);
    assert!(matches!(restarted, Some(Paged::First(first)) if first.to == Version(41)));
    assert_eq!(add(Some(&begun), &set[1], begun.changes.len()), None, "more than agreed");
}

/// RA §4.5 pages, entry: a newcomer gets the whole list at once after its admission, the leader's own entry first; a list
/// in which that entry has another key than `accept` named is a breach.
#[test]
fn the_leaders_entry_holds_the_key_of_the_offer() {
    for breaks in [false, true] {
        let forge = Forge::new();
        let mut scene = forge.unwatched(Policy::default(), &["m1"]);
        let newcomer = scene.star.add_member(&mut scene.world, "m2").unwrap();
        let to = NodeId::from(newcomer);
        scene.hold(move |frame, id| frame.to == to && id == "RA-CL");
        scene.join(1);
        scene.run(SOON);
        let is_page = |frame: &&InTransit| forge.body(frame).find("changes").is_some();
        let held = scene.tap.borrow().held.clone();
        let page = held.iter().find(is_page).expect("at once, not after a poll").clone();
        let body = forge.body(&page);
        assert_eq!((get(&body, "from"), get(body.find("changes").unwrap(), "cid")), (0, 0));
        let forged = forge.forge(&page, |_, body| {
            if breaks && let Content::Leaf(key) = &mut body.find_mut("origin_key").unwrap().content {
                *key.last_mut().unwrap() ^= 1;
            }
        });
        assert_eq!(scene.inject(page.to_link, forged), breaks.then_some(Reason::Violation));
        scene.release();
        scene.run(SECOND * 8);
        assert_eq!(scene.told(newcomer, &Event::Ended(Ending::LeaderViolation)), breaks);
        assert_eq!(scene.member(1).is_current(), !breaks);
    }
}

/// RA §4.5 unfit: a page that continues nothing, and a delta that does not lead to its digest, are breaches.
#[test]
fn pages_that_cannot_be_applied_are_a_breach() {
    type Breach = (&'static str, fn(&mut sodality::wire::Value));
    let breaches: [Breach; 2] = [
        ("continues nothing", |body| set(body, "first", &[0])),
        ("another digest", |body| {
            if let Content::Leaf(digest) = &mut body.find_mut("digest").unwrap().content {
                *digest.last_mut().unwrap() ^= 1;
            }
        }),
    ];
    for (what, breach) in breaches {
        let forge = Forge::new();
        let mut scene = forge.unwatched(Policy::default(), &["m1", "m2", "m3", "m4"]);
        let member = scene.star.members[0];
        let to = NodeId::from(member);
        // It misses a change, and is given the missing part of the list.
        scene.hold(move |frame, id| frame.to == to && matches!(id, "RA-R" | "RA-CL"));
        scene.leave(2);
        scene.run(SOON / 4);
        scene.leave(3);
        scene.run(SECOND * 3);
        let is_page =
            |frame: &&InTransit| draft(frame).info.id == "RA-CL" && forge.body(frame).find("changes").is_some();
        let held = scene.tap.borrow().held.clone();
        let page = held.iter().find(is_page).unwrap().clone();
        assert!(get(&forge.body(&page), "from") > 0, "a delta");
        let forged = forge.forge(&page, |_, body| breach(body));
        assert_eq!(scene.inject(page.to_link, forged), Some(Reason::Violation), "{what}");
        scene.run(SECOND);
        assert!(scene.member(0).group().is_none(), "{what}");
    }
}

/// RA §4.5 unfit: a roster above the member's own limit is a breach.
#[test]
fn a_roster_above_the_own_limit_is_a_breach() {
    for (members, fits) in [(3, true), (2, false)] {
        let mut scene = Forge::new().unwatched(Policy::default(), &["m1", "m2"]);
        let limits = Limits { members, view_history: 0, ..Limits::default() };
        let small = StarConfig { limits, ..scene.star.config.clone() };
        let small = scene.world.add("small", member_machine(&small, "small").unwrap()).unwrap();
        scene.world.with(small, |member, cx| member.join(cx)).unwrap().unwrap();
        scene.run(SECOND * 5);
        assert_eq!(scene.world.get(small).unwrap().is_current(), fits);
        assert_eq!(scene.told(small, &Event::Ended(Ending::LeaderViolation)), !fits);
    }
}

/// RA §4.5 history, missed: who lacks a change that the leader has forgotten gets the whole list, and is told of departures
/// with the cause `Missed`, which nobody ever sends.
#[test]
fn who_lacks_a_forgotten_change_gets_the_whole_list() {
    for (history, whole) in [(1024, false), (2, true)] {
        let forge = Forge::new();
        let mut config = forge.config(Policy::default());
        config.limits.view_history = history;
        let mut scene = Scene::settled(config, &["m1", "m2", "m3", "m4", "m5"]);
        let member = scene.star.members[0];
        let to = NodeId::from(member);
        let before = scene.frames("RA-CL", member).len();
        scene.hold(move |frame, _| frame.to == to);
        for gone in [2, 3, 4] {
            scene.leave(gone);
            scene.run(SOON);
        }
        scene.release();
        scene.run(SECOND * 8);
        assert!(scene.member(0).is_current());
        let later = scene.frames("RA-CL", member).split_off(before);
        let from: Vec<_> =
            later.iter().map(|frame| forge.body(frame)).filter(|body| body.find("changes").is_some()).collect();
        assert_eq!(get(from.last().unwrap(), "from") == 0, whole);
        let causes = |cause: Cause| {
            let is = |event: &&Event| matches!(event, Event::MemberRemoved { cause: of, .. } if *of == cause);
            scene.world.events(member).iter().filter(is).count()
        };
        assert_eq!((causes(Cause::Missed), causes(Cause::Leave)), if whole { (3, 0) } else { (0, 3) });
    }
    assert!(Cause::decode(&[Cause::Missed as u8]).is_err(), "no receiver takes it");
    assert!(Cause::decode(&[Cause::Leave as u8]).is_ok());
}
