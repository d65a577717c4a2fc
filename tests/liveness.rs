//! Whatever the network does: nothing bad happens; and once it stops, all live members come to one view and one epoch
//! within a stated time, and data flow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "star/mod.rs"]
mod star;

use std::time::Duration;

use sodality::event::{Cause, Ending, Event};
use sodality::policy::Policy;
use sodality::sim::check::Counts;
use sodality::sim::{Chaos, Faults, LinkConfig, Schedule, Stop, World};
use star::{
    SECOND, all_hear_all, bound, config, everybody, explain, group, persist, report, seeds, settled, traffic, watched,
};

/// How long faults last.
const CHAOS: Duration = Duration::from_secs(40);

/// The bound T of the default policy and limits, for single cases; runs compute theirs.
const T: Duration = Duration::from_millis(64_800);

#[test]
fn the_bound_is_what_policy_and_limits_say() {
    assert_eq!(bound(&config(Policy::default(), LinkConfig::STREAM)), T);
}

fn links(seed: u64) -> LinkConfig {
    let spread = Duration::from_millis(20);
    match seed % 2 {
        0 => LinkConfig::STREAM.delay(spread, spread),
        _ => LinkConfig::DATAGRAM.delay(spread, spread).faults(Faults::HARSH),
    }
}

/// Chaos, calm, agreement. Gives how long the agreement took, and what the checkers have looked at.
fn recovers(world: &mut World, seed: u64) -> Result<(Duration, Counts), Stop> {
    let config = config(Policy::default(), links(seed));
    let time = bound(&config);
    let (star, goals) = watched(world, config, 3 + (seed % 3) as usize)?;
    persist(world, &star, CHAOS + time)?;
    let mut nodes = everybody(&star);
    nodes.push(star.third_party.into());
    // One side of a datagram link closing is for the transport to notice: nobody tells the other machine.
    let closes = links(seed).reliable;
    Schedule::random(seed, &Chaos { ops: 14, closes, ..Chaos::new(CHAOS, nodes) }).apply(world);
    traffic(world, &star, CHAOS, true);
    world.run_for(CHAOS)?;
    let calm = world.now();
    world.eventually(time, "all live members agree", |world| settled(world, &star))?;
    let took = world.now().since(calm);
    all_hear_all(world, &star)?;
    Ok((took, goals.counts()))
}

#[test]
fn after_faults_all_agree_and_data_flow() {
    let (mut took, mut counts, seeds) = (Vec::new(), Counts::default(), seeds(120));
    for seed in seeds.clone() {
        let mut world = World::new(seed);
        let (time, seen) = recovers(&mut world, seed).unwrap_or_else(|stop| explain(&world, &stop));
        took.push(time);
        counts = counts.and(seen);
    }
    took.sort();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    report(&format!(
        "faults that end, seeds {seeds:?}: agreement after {median:?} (median), {longest:?} (longest), T = {T:?}"
    ));
    report(&format!("  {counts:?}"));
    assert!(counts.joins > 0 && counts.records > 0 && counts.installs > 0 && counts.delivered > 0, "{counts:?}");
}

#[test]
fn nothing_bad_happens_while_faults_go_on() {
    let (mut counts, seeds) = (Counts::default(), seeds(60));
    for seed in seeds.clone() {
        let mut world = World::new(seed);
        let mut run = || {
            let (star, goals) = watched(&mut world, config(Policy::default(), links(seed)), 4)?;
            persist(&mut world, &star, CHAOS * 2)?;
            let mut schedule = Schedule::random(seed, &Chaos { ops: 24, ..Chaos::new(CHAOS * 2, everybody(&star)) });
            // No calm at the end.
            schedule.ops.pop();
            schedule.apply(&mut world);
            traffic(&mut world, &star, CHAOS * 2, true);
            world.run_for(CHAOS * 2)?;
            Ok(goals.counts())
        };
        counts = counts.and(run().unwrap_or_else(|stop: Stop| explain(&world, &stop)));
    }
    report(&format!("faults that go on, seeds {seeds:?}: {counts:?}"));
    let runs = seeds.end - seeds.start;
    assert!(counts.delivered > 30 * runs && counts.joins > runs && counts.refused > runs, "{counts:?}");
}

fn ended(world: &World, node: impl Into<sodality::sim::NodeId>, how: Ending) -> bool {
    world.events(node).contains(&Event::Ended(how))
}

#[test]
fn a_leader_that_restarts_is_missed_and_joined_anew() {
    for link in [LinkConfig::STREAM, LinkConfig::DATAGRAM] {
        let mut world = World::new(5);
        let mut run = || {
            let star = group(&mut world, config(Policy::default(), link), 3)?;
            persist(&mut world, &star, CHAOS * 2)?;
            world.eventually(T, "all have joined", |world| settled(world, &star))?;
            let before = world.get(star.leader).unwrap().group();
            world.crash(star.leader)?;
            world.run_for(SECOND)?;
            world.restart(star.leader)?;
            world.run_for(SECOND)?;
            world.eventually(T, "all have joined the new instance", |world| settled(world, &star))?;
            assert_ne!(world.get(star.leader).unwrap().group(), before);
            for member in &star.members {
                assert!(ended(&world, *member, Ending::LeaderLost), "{link:?}");
            }
            all_hear_all(&mut world, &star)
        };
        run().unwrap_or_else(|stop| explain(&world, &stop));
    }
}

#[test]
fn a_member_that_restarts_takes_its_own_place() {
    for link in [LinkConfig::STREAM, LinkConfig::DATAGRAM] {
        let mut world = World::new(6);
        let mut run = || {
            let star = group(&mut world, config(Policy::default(), link), 3)?;
            persist(&mut world, &star, CHAOS * 2)?;
            world.eventually(T, "all have joined", |world| settled(world, &star))?;
            let (victim, other) = (star.members[1], star.members[0]);
            let before = world.get(victim).unwrap().cid();
            world.crash(victim)?;
            world.run_for(SECOND)?;
            world.restart(victim)?;
            world.run_for(SECOND)?;
            world.eventually(T, "all agree", |world| settled(world, &star))?;
            assert!(world.get(victim).unwrap().cid() > before, "numbers are used once (I-1)");
            let replaced = |event: &Event| matches!(event, Event::MemberRemoved { cid, cause: Cause::Takeover, .. } if Some(*cid) == before);
            assert!(world.events(other).iter().any(replaced), "{:?}", world.events(other));
            all_hear_all(&mut world, &star)
        };
        run().unwrap_or_else(|stop| explain(&world, &stop));
    }
}

/// RA §4.4: an epoch whose view cannot be followed is held, and the view is fetched.
#[test]
fn a_member_that_missed_an_epoch_fetches_the_view() {
    let mut world = World::new(8);
    let mut run = || {
        let star = group(&mut world, config(Policy::default(), LinkConfig::DATAGRAM), 4)?;
        star.join_all(&mut world, T)?;
        world.run_for(SECOND * 6)?;
        let (first, second, lagging) = (star.members[0], star.members[1], star.members[2]);
        let deaf = world.links_between(star.leader, lagging)[0];
        world.block(deaf, true)?;
        world.command(first, "leave", |member, cx| member.leave(cx))?.unwrap();
        world.run_for(Duration::from_millis(50))?;
        world.block(deaf, false)?;
        world.command(second, "leave", |member, cx| member.leave(cx))?.unwrap();
        world.eventually(SECOND * 2, "all agree", |world| star.converged(world))
    };
    run().unwrap_or_else(|stop| explain(&world, &stop));
}

/// RA §4.3: a link opened again is announced, also where nobody polls.
#[test]
fn a_member_whose_link_closes_goes_on_over_another() {
    let mut world = World::new(9);
    let mut run = || {
        let policy = Policy { detection: None, ..Policy::default() };
        let star = group(&mut world, config(policy, LinkConfig::STREAM), 2)?;
        star.join_all(&mut world, T)?;
        world.run_for(SECOND * 6)?;
        let member = star.members[0];
        let first = world.links_between(member, star.leader)[0];
        world.connect(member, star.leader, LinkConfig::STREAM)?;
        world.close(first)?;
        world.run_for(SECOND)?;
        let before = world.get(star.leader).unwrap().epoch();
        world.with(star.leader, |leader, cx| leader.rekey(cx))?.unwrap();
        world.eventually(SECOND, "the key comes over the other link", |world| {
            world.get(star.leader).unwrap().epoch() > before && star.converged(world)
        })
    };
    run().unwrap_or_else(|stop| explain(&world, &stop));
}

#[test]
fn a_member_behind_a_partition_is_stale_and_comes_back() {
    for link in [LinkConfig::STREAM, LinkConfig::DATAGRAM] {
        let mut world = World::new(7);
        let mut run = || {
            let star = group(&mut world, config(Policy::default(), link), 3)?;
            persist(&mut world, &star, CHAOS * 2)?;
            world.eventually(T, "all have joined", |world| settled(world, &star))?;
            let (far, staleness) = (star.members[2], Duration::from_millis(15_500));
            world.partition([far])?;
            // The key changes meanwhile.
            world.command(star.members[0], "leave", |member, cx| member.leave(cx))?.unwrap();
            world.run_for(staleness + SECOND)?;
            assert!(world.events(far).contains(&Event::Stale), "stale within T_max (S8)");
            assert!(!world.get(far).unwrap().is_current());
            world.heal();
            world.eventually(T, "all agree", |world| settled(world, &star))?;
            assert!(!ended(&world, far, Ending::LeaderLost), "it was away for less than T_lost");
            all_hear_all(&mut world, &star)
        };
        run().unwrap_or_else(|stop| explain(&world, &stop));
    }
}
