//! What each check is there for: with it the attack is refused, without it the attack wins. The checks of joins, of the
//! channel, of epochs and of numbers are in the tests of the attacks themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "scene/mod.rs"]
mod scene;

use std::sync::Arc;

use bytes::BytesMut;
use sodality::antigone::data::{DataSealer, Members, Receiving, Sending, base};
use sodality::crypto::keys::role;
use sodality::crypto::{Key, symbolic::symbolic};
use sodality::endpoint::Instant;
use sodality::error::Reason;
use sodality::event::{Cause, Causes, Port, Sender};
use sodality::group::{ChangeRecord, Check, Checks, EpochKeys, KeyRing, Rules, SealLimits, View, ViewError};
use sodality::identity::{Epoch, Instance, MemberId, Name};
use sodality::policy::{Policy, Views};
use sodality::sim::SimRng;
use sodality::sim::star::Star;
use sodality::wire::antigone::Kind;
use sodality::wire::shape::Content;
use sodality::wire::{Edition, Header, System};

use scene::{SECOND, SOON, Scene, T_MAX, config, draft, number};

fn both(check: Check) -> [(Checks, bool); 2] {
    [(Checks::ALL, false), (Checks::ALL.without(check), true)]
}

fn joined(policy: Policy, checks: Checks, members: &[&str]) -> Scene {
    Scene::settled(config(policy, checks), members)
}

#[test]
fn a15_without_the_floor_others_go_on_under_a_key_that_somebody_took_along() {
    for (checks, wins) in both(Check::Floor) {
        let mut scene = Scene::joined(checks, 3);
        let last = scene.member(1).epoch();
        scene.leave(0);
        scene.run(SOON);
        scene.say(1, b"not for who left").unwrap();
        scene.run(SOON);
        let sent = draft(&scene.last("RA-D", scene.star.leader));
        let Content::Leaf(epoch) = &sent.clear.find("epoch").unwrap().content else { panic!("a number") };
        assert_eq!(epoch.as_slice() == last.0.to_be_bytes(), wins);
    }
}

#[test]
fn s8_without_staleness_a_dead_leaders_group_goes_on() {
    for (checks, wins) in both(Check::Staleness) {
        let mut scene = Scene::joined(checks, 2);
        let to = scene.star.members[0].into();
        scene.hold(move |frame, id| frame.to == to && id == "RA-D");
        scene.say(1, b"withheld").unwrap();
        scene.run(SOON);
        scene.world.crash(scene.star.leader).unwrap();
        scene.run(T_MAX + SECOND);
        let held = scene.release().remove(0);
        let why = scene.inject(held.to_link, held.bytes);
        // Later than T_max the number is still free; only the evidence is missing.
        assert_eq!(why, if wins { None } else { Some(Reason::NotCurrent) });
        assert_eq!(Star::heard(&scene.world, scene.star.members[0], b"withheld"), usize::from(wins));
    }
}

#[test]
fn s7_without_the_view_who_is_gone_still_speaks() {
    for (checks, wins) in both(Check::DataSender) {
        // A group that keeps its key when somebody goes.
        let policy = Policy {
            rekey_on: Causes::of(Cause::Open).with(Cause::Join),
            views: Views::WithEachKey,
            origin: false,
            ..Policy::default()
        };
        let mut scene = joined(policy, checks, &["m1", "m2"]);
        let to = scene.star.members[1].into();
        scene.hold(move |frame, id| frame.to == to && id == "RA-D");
        scene.say(0, b"withheld until it has gone").unwrap();
        scene.run(SOON);
        scene.leave(0);
        // The next poll brings the view.
        scene.run(SECOND * 6);
        let held = scene.release().remove(0);
        let why = scene.inject(held.to_link, held.bytes);
        assert_eq!(why, if wins { None } else { Some(Reason::NotMember) });
    }
}

#[test]
fn i6_without_the_kind_a_stranger_speaks_in_clear() {
    for (checks, wins) in both(Check::DataKind) {
        let mut scene = joined(Policy { origin: false, ..Policy::default() }, checks, &["m1", "m2"]);
        scene.say(0, b"protected").unwrap();
        scene.run(SOON);
        let target = scene.star.members[1];
        let frame = scene.last("RA-D", target);
        let mut clear = draft(&frame);
        number(&mut clear, "counter", |n| n + 1);
        clear.clear.find_mut("kind").unwrap().content = Content::Leaf(vec![Kind::Clear as u8]);
        // No signature, the port of the application, a text.
        clear.text = [&[0, 0, 0], &b"made up"[..]].concat();
        clear.tag = Vec::new();
        let why = scene.inject(frame.to_link, clear.frame());
        assert_eq!(why, if wins { None } else { Some(Reason::Protection) });
        assert_eq!(Star::heard(&scene.world, target, b"made up"), usize::from(wins));
    }
}

/// With parts alone: whoever holds the group key may take another's number, but not sign as it.
#[test]
fn a2_without_signatures_an_insider_speaks_for_another() {
    let suite = symbolic().silent();
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
    let (group, ada, own, now) = (Instance([7; 16]), MemberId(1), MemberId(2), Instant::from_micros(1));
    let rng = &mut SimRng::new(1);
    let (_, hers) = suite.signing_pair(rng).unwrap();
    let (mallory, _) = suite.signing_pair(rng).unwrap();
    let key = Key::<role::Group>::new(suite.fresh_secret(rng, suite.sizes().group_key).unwrap());
    let base = base(&*suite, group, b"facts", &key).unwrap();
    let rules = Rules { kind: Kind::Both, origin: true };
    for (checks, wins) in both(Check::DataOrigin) {
        let mut view = View::new(10, 0);
        let add = ChangeRecord::Add { cid: ada, name: Name::new("ada").unwrap(), origin_key: hers };
        view.commit(view.prepare(&*suite, &group, [add]).unwrap());
        let mut ring = KeyRing::new(10).with_checks(checks);
        let keys = EpochKeys::new(Epoch(1), base.clone(), rules, None);
        ring.install(keys, Epoch(1), now, SECOND, SOON);
        let origin = Some(Key::new(mallory.clone()));
        let sending = Sending { suite: Arc::clone(&suite), header, group, cid: ada, label: None, origin };
        let forever = Instant::from_micros(u64::MAX);
        let sealer = sending.sealer(Epoch(1), &base, Kind::Both, SealLimits::default(), forever).unwrap();
        let mut frame = BytesMut::new();
        DataSealer::new(sending, sealer).seal(now, Port::Application, b"as Ada", &mut frame).unwrap();
        let receiving = Receiving { suite: &*suite, header, group, own, members: Members::View(&view), current: true };
        let from = receiving.open(&mut ring, frame, now).map(|message| message.from);
        assert_eq!(from, if wins { Ok(Sender::Signed(ada)) } else { Err(Reason::Forged) });
    }
}

/// With parts alone: two members who are told different things of one version.
#[test]
fn a10_without_the_digest_two_views_of_one_version_differ() {
    let (suite, group) = (symbolic().silent(), Instance([7; 16]));
    let add = |cid, name: &str| ChangeRecord::Add {
        cid: MemberId(cid),
        name: Name::new(name).unwrap(),
        origin_key: sodality::wire::field::VerifyingKey::NONE,
    };
    for (checks, wins) in both(Check::ViewDigest) {
        let view = View::new(10, 0).with_checks(checks);
        let stated = view.prepare(&*suite, &group, [add(1, "ann")]).unwrap();
        let told =
            view.prepare_delta(&*suite, &group, view.version(), stated.version(), &stated.digest(), [add(1, "bob")]);
        assert_eq!(told.err(), if wins { None } else { Some(ViewError::Digest) });
    }
}
