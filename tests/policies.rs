//! Groups under every class of view, with and without a rekey on join, failure detection and signed origin: under faults,
//! with joins, leaves, crashes and data, every checker on; then all agree and all hear all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "star/mod.rs"]
mod star;

use std::time::Duration;

use sodality::event::{Cause, Causes};
use sodality::policy::{Policy, Protection, Views};
use sodality::sim::star::StarConfig;
use sodality::sim::{Chaos, Faults, LinkConfig, Schedule, Stop, World};
use star::{SECOND, all_hear_all, config, everybody, explain, group, persist, seeds, settled, traffic};

const CHAOS: Duration = Duration::from_secs(30);

/// As in `liveness`, and a quarter period in which an answer to a rekey by multicast may wait.
const T: Duration = Duration::from_secs(65 + 2);

fn all() -> Vec<Policy> {
    let mut all = Vec::new();
    let usual = Policy::default();
    let no_join: Causes = usual.rekey_on.iter().filter(|cause| *cause != Cause::Join).fold(Causes::NONE, Causes::with);
    for views in [Views::Hidden, Views::WithEachKey, Views::BestEffort, Views::Exact] {
        for rekey_on in [usual.rekey_on, no_join] {
            for detection in [usual.detection, None] {
                for (protection, origin) in [
                    (Protection::Both, true),
                    (Protection::Confidentiality, false),
                    (Protection::Integrity, true),
                    (Protection::Integrity, false),
                ] {
                    all.push(Policy { views, rekey_on, detection, protection, origin, ..usual.clone() });
                }
            }
        }
    }
    all.retain(|policy| policy.check().is_ok());
    all
}

fn recovers(world: &mut World, policy: &Policy, link: LinkConfig, multicast: Option<LinkConfig>) -> Result<(), Stop> {
    let star = group(world, StarConfig { multicast, ..config(policy.clone(), link) }, 3)?;
    persist(world, &star, CHAOS + T)?;
    let nodes = everybody(&star);
    let mut mortal = nodes.clone();
    if policy.detection.is_none() {
        // Without failure detection nobody misses a leader that restarts: that is what switching it off means.
        mortal.retain(|node| *node != star.leader.into());
    }
    let chaos = Chaos { mortal, closes: link.reliable, ..Chaos::new(CHAOS, nodes) };
    Schedule::random(world.seed(), &chaos).apply(world);
    traffic(world, &star, CHAOS, true);
    if policy.detection.is_none() && !policy.rekey_on.contains(Cause::Join) {
        // Without polls nobody asks for a view, and without a rekey none is told: it comes with the next key.
        let leader = star.leader;
        world.after(CHAOS + SECOND * 25, move |world| {
            world.with(leader, |leader, cx| {
                // There is room: the network is calm.
                let _ = leader.rekey(cx);
            })
        });
    }
    world.run_for(CHAOS)?;
    world.eventually(T, "all live members agree", |world| settled(world, &star))?;
    all_hear_all(world, &star)
}

#[test]
fn every_policy_recovers_from_faults() {
    let policies = all();
    println!("{} policies", policies.len());
    for (number, policy) in policies.iter().enumerate() {
        for seed in seeds(6) {
            let link = match seed % 2 {
                0 => LinkConfig::STREAM,
                _ => LinkConfig::DATAGRAM.faults(Faults::HARSH),
            };
            let mut world = World::new(seed + 1_000 * number as u64);
            let link = link.delay(SECOND / 100, SECOND / 100);
            // Every third run has a multicast channel, as bad as a datagram link.
            let channel = LinkConfig { max_frame: link.max_frame, ..LinkConfig::DATAGRAM.faults(Faults::HARSH) };
            let multicast = (seed % 3 == 0).then_some(channel);
            if let Err(stop) = recovers(&mut world, policy, link, multicast) {
                println!("{policy:?}");
                explain(&world, &stop);
            }
        }
    }
}
