//! R8, R20, R38: policies of all kinds, generated. They survive the wire and files, mutants of them do no harm, and groups
//! under them go over from one to another in the middle of a session, under loss.
#![cfg(all(feature = "sim", feature = "toml"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "star/mod.rs"]
mod star;

use std::time::Duration;

use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use sodality::crypto::SuiteId;
use sodality::event::{Cause, Causes, Event};
use sodality::policy::{
    Communication, Detection, Editions, EjectRequests, Mix, Objects, OnSilence, Policy, Protection, Views,
};
use sodality::sim::star::StarConfig;
use sodality::sim::{Faults, LinkConfig, Stop, World};
use star::{SECOND, all_hear_all, config, everybody, explain, group, report, settled, traffic};

/// The same cases on each run.
fn fixed() -> Config {
    let (rng_seed, failure_persistence) = (RngSeed::Fixed(0x50DA), None);
    Config { cases: 512, rng_seed, failure_persistence, max_global_rejects: 1 << 20, ..Config::default() }
}

fn millis(most: u64) -> impl Strategy<Value = Duration> {
    (0..=most).prop_map(Duration::from_millis)
}

/// `cause` is among `causes` exactly if `there`.
fn with_measure(causes: Causes, cause: Cause, there: bool) -> Causes {
    let others = causes.iter().filter(|other| *other != cause).fold(Causes::NONE, Causes::with);
    if there { others.with(cause) } else { others }
}

/// Some parts as published, under a suite that has a word in files.
fn mix() -> impl Strategy<Value = Mix> {
    let suites = [SuiteId::DES_MD5_RSA, SuiteId::AES_128_GCM, SuiteId::AES_256_GCM, SuiteId::CHACHA20_POLY1305];
    (1..=u8::MAX, 0..suites.len(), any::<[bool; 2]>()).prop_map(move |(bits, suite, on)| Mix {
        editions: Editions::from_bits(bits),
        suite: suites[suite],
        strong_reply: on[0],
        per_heartbeat: on[1],
    })
}

/// Policies that pass [`Policy::check`]. The cause *open* is among those of all: files do not name it.
fn policy() -> impl Strategy<Value = Policy> {
    let causes = (0u16..1 << Cause::ALL.len()).prop_map(|bits| Causes::from_bits(bits).unwrap());
    // Half have all that exact views need, or these would be rare.
    let causes = (causes, any::<bool>())
        .prop_map(|(causes, usual)| Causes::from_bits(causes.bits() | if usual { 0x3e } else { 0 }).unwrap());
    let times = (millis(8_000), millis(2_000), option::of(millis(100_000)));
    let watch = option::of((10u64..9_000, 1u8..5));
    let counts = (option::of(1u64..50), option::of(1u64..u64::MAX));
    let words = (0..Protection::ALL.len(), 0..4usize, 0..3usize, 0..Communication::ALL.len());
    let switches = any::<[bool; 4]>();
    let link = (prop_oneof![1_200u32..(1 << 20), Just(1_200), Just(1 << 20)], "[ -~\\t\\n\"\\\\\u{e9}]{0,32}");
    (causes, times, watch, counts, words, switches, (link, option::of(mix())))
        .prop_map(
            |(causes, (grace, settle, key_lifetime), watch, (key_messages, key_bytes), words, on, (link, mix))| {
                let causes = with_measure(causes.with(Cause::Open), Cause::Period, key_lifetime.is_some());
                let causes = with_measure(causes, Cause::Messages, key_messages.is_some());
                Policy {
                    ephemeral: on[0],
                    rekey_on: with_measure(causes, Cause::Bytes, key_bytes.is_some()),
                    grace,
                    settle,
                    key_lifetime,
                    key_messages,
                    key_bytes,
                    protection: Protection::ALL[words.0],
                    // With parts as published, half of what follows would contradict itself.
                    origin: on[1] && mix.is_none(),
                    views: [Views::Hidden, Views::WithEachKey, Views::BestEffort, Views::Exact]
                        [if mix.is_some() { words.1 % 2 } else { words.1 }],
                    detection: watch
                        .map(|(period, misses)| Detection { period: Duration::from_millis(period), misses }),
                    on_silence: if on[2] { OnSilence::Remove } else { OnSilence::Report },
                    eject_requests: [EjectRequests::Refused, EjectRequests::Asked, EjectRequests::Granted][words.2],
                    takeover: on[3],
                    frame_limit: link.0,
                    hint: link.1.into_bytes().into(),
                    communication: Communication::ALL[words.3],
                    mix,
                    objects: Objects::none(),
                }
            },
        )
        .prop_filter("contradicts itself", |policy| policy.check().is_ok())
}

proptest! {
    #![proptest_config(fixed())]

    #[test]
    fn what_passes_the_check_survives_the_wire(policy in policy()) {
        prop_assert_eq!(Policy::decode(&policy.encode()), Ok(policy));
    }

    #[test]
    fn what_passes_the_check_survives_a_file(policy in policy()) {
        prop_assert_eq!(Policy::from_toml(&policy.to_toml()), Ok(policy));
    }

    /// Whatever decodes is sound, and has no other encoding.
    #[test]
    fn mutants_are_refused_or_sound(
        policy in policy(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut mutant = policy.encode().to_vec();
        let (at, length) = (at.index(mutant.len()), cut.index(mutant.len()));
        mutant[at] = byte;
        prop_assert!(Policy::decode(&mutant[..length]).is_err(), "a prefix");
        if let Ok(policy) = Policy::decode(&mutant) {
            prop_assert_eq!(policy.check(), Ok(()));
            prop_assert_eq!(&policy.encode()[..], &mutant[..]);
        }
    }

    /// Whole milliseconds are all that the canonical form can say.
    #[test]
    fn parts_of_a_millisecond_are_refused(policy in policy(), which in 0..4usize, micros in 1u64..1_000) {
        let (mut cut, part) = (policy, Duration::from_micros(micros));
        match which {
            0 => cut.grace += part,
            1 => cut.settle += part,
            2 => cut.key_lifetime = cut.key_lifetime.map(|lifetime| lifetime + part),
            _ => cut.detection = cut.detection.map(|Detection { period, misses }| Detection { period: period + part, misses }),
        }
        let whole = (which == 2 && cut.key_lifetime.is_none()) || (which == 3 && cut.detection.is_none());
        prop_assert_eq!(cut.check().is_ok(), whole);
    }
}

/// A sound policy for a small simulated group: times and measures that matter within half a minute.
fn lively(policy: Policy, view: &Policy) -> Policy {
    let detection = policy.detection.map_or(Detection { period: SECOND * 2, misses: 4 }, |detection| Detection {
        period: detection.period.max(SECOND),
        misses: detection.misses.max(3),
    });
    let lifetime = |lifetime: Duration| lifetime.clamp(policy.grace + SECOND * 2, SECOND * 20);
    // What is clear has no replay window (RA §5), and over links that repeat frames it is delivered twice.
    let both = policy.key_messages.is_some() && policy.key_bytes.is_some();
    let protection = if policy.protection == Protection::None { Protection::Both } else { policy.protection };
    Policy {
        protection,
        key_lifetime: policy.key_lifetime.map(lifetime),
        // Where there are both, both are reached while `grace` keeps the epoch back, often enough.
        key_messages: policy.key_messages.map(|messages| if both { messages % 4 + 1 } else { messages }),
        key_bytes: policy.key_bytes.map(|bytes| bytes % if both { 40 } else { 400 } + 20),
        detection: Some(detection),
        views: view.views,
        origin: view.origin,
        frame_limit: view.frame_limit,
        // Groups of the repaired edition refuse the others.
        mix: None,
        ..policy
    }
}

/// How many epochs named each cause of a measure, and how many policies went into force at the leader.
#[derive(Default, Debug)]
struct Seen {
    period: usize,
    messages: usize,
    bytes: usize,
    together: usize,
    changes: usize,
}

/// People talk for half a minute under loss; after ten seconds, and again after twenty, the policy changes.
fn goes_over(world: &mut World, policies: &[Policy], seen: &mut Seen) -> Result<(), Stop> {
    let link = LinkConfig::DATAGRAM.faults(Faults::HARSH).delay(SECOND / 100, SECOND / 100);
    let multicast = world.seed().is_multiple_of(2).then_some(link);
    let star = group(world, StarConfig { multicast, ..config(policies[0].clone(), link) }, 3)?;
    star.join_always(world)?;
    traffic(world, &star, SECOND * 30, false);
    for next in &policies[1..] {
        world.run_for(SECOND * 10)?;
        let next = Policy { frame_limit: star.config.policy.frame_limit, ..next.clone() };
        world.with(star.leader, |leader, cx| leader.change_policy(cx, next))?.unwrap();
    }
    world.run_for(SECOND * 10)?;
    world.calm();
    let newest = policies.last().unwrap();
    world.eventually(SECOND * 240, "all are under the newest policy", |world| {
        let ruled = world.get(star.leader).map(|leader| leader.policy().clone());
        let same = |policy: &Policy| (policy.grace, policy.hint.clone()) == (newest.grace, newest.hint.clone());
        settled(world, &star)
            && ruled.as_ref().is_some_and(same)
            && star.members.iter().all(|member| world.get(*member).and_then(|member| member.policy()) == ruled.as_ref())
    })?;
    all_hear_all(world, &star)?;
    for node in everybody(&star) {
        assert!(
            world.events(node).iter().any(|event| matches!(event, Event::PolicyChanged { .. } | Event::Joined { .. }))
        );
    }
    for event in world.events(star.leader) {
        match event {
            Event::Installed { causes, .. } => {
                let measures = [Cause::Period, Cause::Messages, Cause::Bytes].map(|cause| causes.contains(cause));
                seen.period += usize::from(measures[0]);
                seen.messages += usize::from(measures[1]);
                seen.bytes += usize::from(measures[2]);
                seen.together += usize::from(measures.into_iter().filter(|named| *named).count() > 1);
            }
            Event::PolicyChanged { .. } => seen.changes += 1,
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn groups_under_policies_of_all_kinds_go_over_to_others_under_loss() {
    let mut runner = TestRunner::new(fixed());
    let mut draw = || policy().new_tree(&mut runner).unwrap().current();
    let (mut seen, runs) = (Seen::default(), 48);
    for seed in 1..=runs {
        let first = draw();
        // What is fixed while a group runs is that of the first; what contradicts itself with it is drawn again.
        // So does detection, by which a checker measures (its changes: `policy_changes.rs`).
        let start = lively(first.clone(), &first);
        let mut fitting = || loop {
            let next = Policy { detection: start.detection, ..lively(draw(), &first) };
            if next.check().is_ok() {
                break next;
            }
        };
        let policies = [start.clone(), fitting(), fitting()];
        let mut world = World::new(seed);
        if let Err(stop) = goes_over(&mut world, &policies, &mut seen) {
            println!("{policies:#?}");
            explain(&world, &stop);
        }
    }
    report(&format!("{runs} runs of three policies each: {seen:?}"));
    assert!(seen.period > 0 && seen.messages > 0 && seen.bytes > 0 && seen.together > 0, "{seen:?}");
    assert!(seen.changes > 0, "{seen:?}");
}
