//! The adversary against the signed heartbeat on shared links (RA-H, RA §4.3): forged, repeated, withheld and played later,
//! from another instance, in floods. Where a check can be left out, the attack wins without it.
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "scene/mod.rs"]
mod scene;

use std::time::Duration;

use sodality::antigone::Member;
use sodality::crypto::faulty::{Call, Faulty};
use sodality::crypto::symbolic::symbolic;
use sodality::crypto::{Secret, Suite};
use sodality::endpoint::Link;
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Cause, Causes, Event};
use sodality::group::{ChangeRecord, Check, Checks, View};
use sodality::identity::{MemberId, Name};
use sodality::policy::{Policy, Views};
use sodality::sim::star::StarConfig;
use sodality::sim::{InTransit, LinkConfig, Node, NodeId, SimRng};
use sodality::wire::antigone::{Delta, DeltaChanges, Heartbeat};
use sodality::wire::field::{List, VerifyingKey};
use sodality::wire::{Edition, Header, Message as _, System};

use scene::{SECOND, SOON, Scene, T_MAX, config, draft, number};

const PERIOD: Duration = Duration::from_secs(5);

fn shared(policy: Policy, checks: Checks) -> StarConfig {
    StarConfig { multicast: Some(LinkConfig::DATAGRAM.max_frame(65_536)), ..config(policy, checks) }
}

fn joined(config: StarConfig) -> Scene {
    let mut scene = Scene::settled(config, &["m1", "m2"]);
    scene.run(SECOND);
    scene
}

fn both(check: Check) -> [(Checks, bool); 2] {
    [(Checks::ALL, false), (Checks::ALL.without(check), true)]
}

fn ear(scene: &Scene, node: Node<Member>) -> Link {
    scene.star.ear(&scene.world, node).unwrap()
}

/// The next heartbeat, which nobody has got yet.
fn withheld(scene: &mut Scene) -> InTransit {
    let to = NodeId::from(scene.star.members[0]);
    scene.hold(move |frame, id| id == "RA-H" && frame.to == to);
    scene.run(PERIOD + SOON);
    scene.release().remove(0)
}

#[test]
fn repeated_and_changed_heartbeats_are_refused_and_change_nothing() {
    let mut scene = joined(shared(Policy::default(), Checks::ALL));
    let first = scene.star.members[0];
    let (leader_link, own_link) = {
        let cm = scene.last("RA-CM", scene.star.leader);
        (cm.to_link, scene.last("RA-CL", first).to_link)
    };
    for beat in scene.frames("RA-H", first) {
        scene.refuses_again(&beat, Reason::Replayed);
    }
    let beat = withheld(&mut scene);
    for field in ["beat", "epoch", "view"] {
        let mut forged = draft(&beat);
        number(&mut forged, field, |n| n + 1);
        scene.refuses(beat.to_link, forged.frame(), Reason::Forged);
    }
    // A heartbeat is nothing on a link of two, and nothing to a leader.
    scene.refuses(own_link, beat.bytes.clone(), Reason::Misdirected);
    scene.refuses(leader_link, beat.bytes.clone(), Reason::Misdirected);
    assert_eq!(scene.inject(beat.to_link, beat.bytes.clone()), None, "the true one is taken");
    scene.refuses_again(&beat, Reason::Replayed);
    scene.all_is_well();
}

#[test]
fn a_heartbeat_of_an_earlier_instance_is_not_known() {
    let mut scene = joined(shared(Policy::default(), Checks::ALL));
    let first = scene.star.members[0];
    let beat = scene.last("RA-H", first);
    let later = withheld(&mut scene);
    scene.world.crash(scene.star.leader).unwrap();
    let mut rng = SimRng::new(77);
    let now = scene.world.now();
    let mut cx = sodality::endpoint::Cx::new(now, &mut rng);
    let leader = sodality::sim::star::leader_machine(&scene.star.config, &mut cx).unwrap();
    scene.world.restart_with(scene.star.leader, leader).unwrap();
    // The old session is lost; then the member joins the new instance.
    scene.run(T_MAX * 2 + SECOND);
    scene.join(0);
    scene.run(SECOND * 2);
    assert!(scene.member(0).is_current());
    for old in [&beat, &later] {
        scene.refuses(ear(&scene, first), old.bytes.clone(), Reason::Unknown);
    }
}

/// R5: what a flood costs is bounded.
#[test]
fn a_flood_of_forged_heartbeats_stays_within_its_budget() {
    for (checks, wins) in both(Check::HeartbeatBudget) {
        let faulty = Faulty::new(symbolic().silent());
        let mut scene = joined(StarConfig { suite: faulty.suite(), ..shared(Policy::default(), checks) });
        let first = scene.star.members[0];
        let beat = withheld(&mut scene);
        // The budget of the period in which the flood begins.
        scene.run(PERIOD);
        let verified = faulty.calls_of(Call::Verify);
        let before = scene.digest(first.into());
        for turn in 0..1_000 {
            let mut forged = draft(&beat);
            number(&mut forged, "beat", |n| n + 1_000 + turn);
            let why = scene.inject(beat.to_link, forged.frame()).unwrap();
            assert!(matches!(why, Reason::Forged | Reason::Budget));
        }
        assert_eq!(scene.digest(first.into()), before, "nothing has changed but counters");
        let cost = faulty.calls_of(Call::Verify) - verified;
        println!("1,000 forged heartbeats: {cost} signatures looked at");
        assert_eq!(cost > 10, wins, "{cost}");
        scene.run(SECOND * 12);
        scene.all_is_well();
    }
}

/// X8, A22: an insider, or a stranger on the path, says in the leader's name that somebody has joined.
#[test]
fn x8_without_the_signature_a_heartbeat_of_anybody_brings_a_member_into_the_view() {
    for (checks, wins) in both(Check::HeartbeatSignature) {
        let policy =
            Policy { rekey_on: Causes::of(Cause::Leave), views: Views::BestEffort, origin: false, ..Policy::default() };
        let mut scene = joined(shared(policy, checks));
        let first = scene.star.members[0];
        let suite = scene.star.config.suite.clone();
        let (leader, view) = (scene.leader(), scene.leader().view());
        let mallory = ChangeRecord::Add {
            cid: MemberId(66),
            name: Name::new("mallory").unwrap(),
            origin_key: VerifyingKey::NONE,
        };
        // All that a digest of the view is made of is on the wire.
        let step = view.prepare(&*suite, &leader.group(), [mallory.clone()]).unwrap();
        let changes = [mallory.to_wire()];
        let forged = Heartbeat {
            group: leader.group(),
            beat: 1_000,
            epoch: leader.epoch(),
            view: step.version(),
            view_digest: step.digest(),
            delta: Delta::Changes(DeltaChanges { from: view.version(), changes: List::of(&changes) }),
        };
        let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
        let (mallorys, _) = suite.signing_pair(&mut SimRng::new(666)).unwrap();
        let mut frame = bytes::BytesMut::new();
        forged.put_signed(header, &mut frame, |covered| sign(&*suite, &mallorys, covered)).unwrap();
        let why = scene.inject(ear(&scene, first), frame.freeze());
        assert_eq!(why, if wins { None } else { Some(Reason::Forged) });
        let shows = |view: &View| view.contains(MemberId(66));
        assert_eq!(shows(scene.member(0).view().unwrap()), wins);
    }
}

fn sign(
    suite: &dyn Suite,
    key: &Secret,
    covered: &[u8],
) -> Result<sodality::wire::field::Signature, sodality::crypto::SuiteError> {
    suite.sign(key, &[b"sodality ra 1 heartbeat", covered])
}

/// R47: the channel is dead, and the adversary hides it by playing an old heartbeat.
#[test]
fn r47_without_its_number_an_old_heartbeat_hides_a_dead_channel() {
    for (checks, wins) in both(Check::HeartbeatNumber) {
        let mut scene = joined(shared(Policy::default(), checks));
        let (first, wire) = (scene.star.members[0], scene.star.multicast.unwrap());
        let link = ear(&scene, first);
        let old = scene.last("RA-H", first);
        scene.hold(move |frame, _| frame.wire == wire);
        for _ in 0..7 {
            scene.run(SECOND * 4);
            let why = scene.inject(old.to_link, old.bytes.clone());
            assert_eq!(why, if wins { None } else { Some(Reason::Replayed) });
        }
        assert_eq!(!scene.told(first, &Event::MulticastSilent { link }), wins);
    }
}

/// A16, A17: heartbeats are withheld, the leader dies, and they are played one a period.
#[test]
fn a16_a17_if_heartbeats_were_evidence_a_dead_leader_would_live_on() {
    for (checks, wins) in both(Check::HeartbeatAdvice) {
        let mut scene = joined(shared(Policy::default(), checks));
        let first = scene.star.members[0];
        let to = NodeId::from(first);
        scene.hold(move |frame, id| id == "RA-H" && frame.to == to);
        scene.run(PERIOD * 8);
        let withheld = scene.release();
        assert!(withheld.len() >= 7);
        scene.world.crash(scene.star.leader).unwrap();
        let mut said = Ok(());
        for beat in withheld.iter().take(5) {
            scene.run(PERIOD - SOON);
            assert_eq!(scene.inject(beat.to_link, beat.bytes.clone()), None, "authentic, and new");
            said = scene.say(0, b"is anybody there?");
        }
        assert_eq!(said, if wins { Ok(()) } else { Err(CommandError::Misuse(Misuse::NotCurrent)) });
        assert_eq!(scene.told(first, &Event::Stale), !wins);
    }
}

/// A17: a rekey is withheld while heartbeats of before are played. An epoch in a heartbeat makes none current.
#[test]
fn a17_heartbeats_do_not_hide_a_withheld_rekey() {
    let mut scene = joined(shared(Policy::default(), Checks::ALL));
    let first = scene.star.members[0];
    let to = NodeId::from(first);
    scene.hold(move |frame, id| id == "RA-H" && frame.to == to);
    scene.run(PERIOD * 5);
    let withheld = scene.release();
    scene.hold(move |frame, id| frame.to == to && matches!(id, "RA-R" | "RA-H"));
    scene.rekey();
    for beat in withheld.iter().take(4) {
        assert_eq!(scene.inject(beat.to_link, beat.bytes.clone()), None);
        scene.run(PERIOD);
        assert_eq!(scene.say(0, b"under the old key"), Err(CommandError::Misuse(Misuse::NotCurrent)));
    }
    assert!(scene.told(first, &Event::Stale));
    scene.release();
    scene.run(SECOND * 10);
    scene.all_is_well();
}
