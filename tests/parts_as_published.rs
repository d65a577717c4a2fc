//! R38: a group of the repaired edition takes no policy with parts as published, and a member of it takes part in none, whatever
//! its floor and whoever vouches for it.
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "scene/forge.rs"]
mod forge;
#[path = "support/keyring.rs"]
#[allow(dead_code, reason = "this file uses a part of it")]
mod keyring;
#[path = "scene/mod.rs"]
mod scene;

use sodality::crypto::SuiteId;
use sodality::endpoint::{Cx, Instant};
use sodality::error::{CommandError, Misuse};
use sodality::event::{EndReason, Ending, Event, JoinFailure, Shortfall};
use sodality::group::Check;
use sodality::policy::{Mix, Policy, Views};
use sodality::sim::star::leader_machine;
use sodality::sim::{InTransit, SimRng};
use sodality::wire::Value;

use forge::{Forge, get, set};
use scene::{SECOND, SOON};

/// A policy that goes over to one with parts as published without a change of what is fixed.
fn plain() -> Policy {
    Policy { views: Views::WithEachKey, origin: false, ..Policy::default() }
}

fn mixed() -> Policy {
    Policy { mix: Some(Mix::published(SuiteId::DES_MD5_RSA)), ..plain() }
}

/// A policy as an opaque field.
fn field(policy: &Policy) -> Vec<u8> {
    let text = policy.encode();
    let mut out = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(&text);
    out
}

#[test]
fn a_repaired_group_is_not_opened_under_it_and_does_not_go_over_to_it() {
    mixed().check().unwrap();
    let forge = Forge::new();
    let mut rng = SimRng::new(1);
    let opened = leader_machine(&forge.config(mixed()), &mut Cx::new(Instant::ORIGIN, &mut rng));
    assert_eq!(opened.err(), Some(CommandError::Misuse(Misuse::AsPublished)));
    let mut scene = forge.joined(plain(), &["m1"]);
    let leader = scene.star.leader;
    let before = scene.digest(leader.into());
    let answered = scene.world.with(leader, |leader, cx| leader.change_policy(cx, mixed())).unwrap();
    assert_eq!(answered, Err(Misuse::AsPublished.into()));
    assert_eq!(scene.digest(leader.into()), before);
}

/// A leader that offers it: what the member gets is authentic.
#[test]
fn a_member_takes_no_such_offer_whatever_its_floor() {
    for floor_checked in [true, false] {
        let forge = Forge::new();
        let mut config = forge.config(plain());
        if !floor_checked {
            // What a simulation may switch off is the floor, and not this.
            config.limits.checks = config.limits.checks.without(Check::PolicyFloor);
        }
        let mut scene = scene::Scene::within(sodality::sim::World::new(3), config, &["m1"]);
        scene.hold(|_, id| id == "RA-J2");
        scene.join(0);
        scene.run(SECOND / 10);
        let offer: InTransit = scene.release().pop().expect("an offer was made");
        let offered = forge.forge(&offer, |_, body| set(body, "policy", &field(&mixed())));
        assert_eq!(scene.inject(offer.to_link, offered), None);
        let member = scene.star.members[0];
        assert!(scene.told(member, &Event::JoinFailed(JoinFailure::BelowFloor(Shortfall::AsPublished))));
        assert!(scene.member(0).is_idle());
    }
}

#[test]
fn a_member_leaves_when_the_group_goes_over_to_it() {
    let forge = Forge::new();
    let mut scene = forge.unwatched(plain(), &["m1"]);
    scene.hold(|_, id| id == "RA-CL");
    let next = Policy { takeover: false, ..plain() };
    scene.world.with(scene.star.leader, |leader, cx| leader.change_policy(cx, next)).unwrap().unwrap();
    scene.run(SOON);
    let record: InTransit = scene.release().into_iter().next().expect("the record was sent");
    // Not that of the status, which is a version.
    let change = |text: &mut Value| set(text.find_mut("body").unwrap(), "policy", &field(&mixed()));
    let forged = forge.forge(&record, |_, text| change(text));
    let _ = scene.inject(record.to_link, forged);
    // It has left, and the leader has been told why.
    let farewell = scene.last("RA-CM", scene.star.leader);
    assert_eq!(get(&forge.body(&farewell), "reason"), EndReason::Policy as u64);
    scene.run(SECOND);
    let member = scene.star.members[0];
    assert!(scene.told(member, &Event::Ended(Ending::BelowFloor(Shortfall::AsPublished))));
}
