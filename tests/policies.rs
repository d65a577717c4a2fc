//! Groups under every class of view, with and without a rekey on join, failure detection and signed origin: under faults,
//! with joins, leaves, crashes and data, every checker on; then all agree and all hear all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "star/mod.rs"]
mod star;

use std::time::Duration;

use sodality::event::Cause;
use sodality::policy::Policy;
use sodality::sim::check::Counts;
use sodality::sim::star::StarConfig;
use sodality::sim::{Chaos, Faults, LinkConfig, Schedule, Stop, World};
use star::{
    SECOND, all_hear_all, bound, config, every_policy, everybody, explain, persist, report, seeds, settled, traffic,
    watched,
};

const CHAOS: Duration = Duration::from_secs(30);

fn recovers(
    world: &mut World,
    policy: &Policy,
    link: LinkConfig,
    multicast: Option<LinkConfig>,
) -> Result<Counts, Stop> {
    let config = StarConfig { multicast, ..config(policy.clone(), link) };
    // Without failure detection a lost question is asked again at a falling pace, and nothing else waits longer.
    let time = bound(&config);
    let (star, goals) = watched(world, config, 3)?;
    persist(world, &star, CHAOS + time)?;
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
    world.eventually(time, "all live members agree", |world| settled(world, &star))?;
    all_hear_all(world, &star)?;
    Ok(goals.counts())
}

#[test]
fn every_policy_recovers_from_faults() {
    let policies = every_policy();
    let (mut counts, seeds) = (Counts::default(), seeds(6));
    for (number, policy) in policies.iter().enumerate() {
        for seed in seeds.clone() {
            let link = match seed % 2 {
                0 => LinkConfig::STREAM,
                _ => LinkConfig::DATAGRAM.faults(Faults::HARSH),
            };
            let mut world = World::new(seed + 1_000 * number as u64);
            let link = link.delay(SECOND / 100, SECOND / 100);
            // Every third run has a multicast channel, as bad as a datagram link.
            let channel = LinkConfig { max_frame: link.max_frame, ..LinkConfig::DATAGRAM.faults(Faults::HARSH) };
            let multicast = (seed % 3 == 0).then_some(channel);
            match recovers(&mut world, policy, link, multicast) {
                Ok(seen) => counts = counts.and(seen),
                Err(stop) => {
                    println!("{policy:?}");
                    explain(&world, &stop);
                }
            }
        }
    }
    report(&format!("{} policies, seeds {seeds:?} of each: {counts:?}", policies.len()));
    assert!(counts.joins > 0 && counts.records > 0 && counts.installs > 0 && counts.delivered > 0, "{counts:?}");
}
