//! R12, R44: clocks that go back, jump ahead or stand still. Time is an argument of each call and nothing is fresh by it,
//! but for the bound on staleness (S8).
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use sodality::crypto::chacha20_poly1305;
use sodality::crypto::symbolic::symbolic;
use sodality::endpoint::Endpoint;
use sodality::event::Event;
use sodality::sim::check::{EpochsGrow, NoDeliveryAfterRemoval, NoReplayDelivered, RemovalHasCause, ViewsAgree};
use sodality::sim::star::{Star, StarConfig};
use sodality::sim::{Faults, LinkConfig, NodeId, ReplayAll, SimRng, Stop, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// As slow as the simulator's clocks get: a second of it is two weeks.
const FROZEN: i32 = -999_999;

fn checked(seed: u64) -> World {
    let mut world = World::new(seed);
    world.trace_mut().keep(200);
    world.add_checker(EpochsGrow::default());
    world.add_checker(ViewsAgree::default());
    world.add_checker(NoReplayDelivered::default());
    world.add_checker(NoDeliveryAfterRemoval::default());
    world
}

fn finish<T>(world: &World, outcome: Result<T, Stop>) -> T {
    outcome.unwrap_or_else(|stop| panic!("{stop}\n{}", world.trace().tail(80)))
}

fn clock_back(world: &World, star: &Star) -> u64 {
    let members: u64 = star.members.iter().filter_map(|member| world.get(*member)).map(|m| m.stats().clock_back).sum();
    members
        + world.get(star.leader).unwrap().stats().clock_back
        + world.get(star.third_party).unwrap().stats().clock_back
}

#[test]
fn clocks_that_jump_never_panic_and_nothing_unsafe_follows() {
    let (mut jumps, mut held) = (0, 0);
    for seed in 1..=24 {
        let mut world = checked(seed);
        let mut rng = SimRng::new(seed);
        let link = LinkConfig::DATAGRAM.max_frame(65_536).faults(Faults { corrupt: 0, ..Faults::HARSH });
        let config = StarConfig { link, ..StarConfig::new(symbolic().silent()) };
        let star = Star::add(&mut world, config, 3).unwrap();
        star.join_always(&mut world).unwrap();
        let nodes: Vec<NodeId> = world.nodes().collect();
        let mut run = || -> Result<(), Stop> {
            for turn in 0..60 {
                let node = *rng.pick(&nodes).unwrap();
                // Now and then one stands still for a while, or runs half as fast again.
                world.drift_clock(*rng.pick(&nodes).unwrap(), *rng.pick(&[FROZEN, 0, 0, 500_000]).unwrap())?;
                let by = match rng.below(6) {
                    0 => -(rng.below(3_000_000) as i64),
                    1 => -(rng.below(600_000_000) as i64),
                    2 => rng.below(3_000_000) as i64,
                    3 => rng.below(600_000_000) as i64,
                    4 => i64::MIN,
                    // Ten years, a few times over: clocks saturate and then never move.
                    _ if turn > 50 => 315_360_000_000_000,
                    _ => 1,
                };
                world.shift_clock(node, by)?;
                jumps += 1;
                world.run_for(Duration::from_millis(rng.below(900)))?;
                let _ = star.say(&mut world, rng.below(4) as usize, format!("text {turn}").as_bytes())?;
                if turn % 20 == 19 {
                    let member = *rng.pick(&star.members).unwrap();
                    let _ = world.with(member, |member, cx| member.leave(cx))?;
                }
            }
            Ok(())
        };
        let outcome = run();
        finish(&world, outcome);
        held += clock_back(&world, &star);
    }
    println!("seeds 1 to 24: {jumps} jumps, {held} calls with a clock held");
    assert!(held > 1000, "{held}");
}

/// A clock that was set back stands still for the machine until it has caught up. Whatever small step back: everything
/// goes on.
#[test]
fn time_that_goes_back_is_held_and_counted() {
    let mut world = checked(5);
    let star = Star::add(&mut world, StarConfig::new(chacha20_poly1305()), 2).unwrap();
    let mut run = || -> Result<(), Stop> {
        star.join_all(&mut world, MINUTE)?;
        assert_eq!(clock_back(&world, &star), 0);
        world.run_for(SECOND * 2)?;
        for round in 0..20u32 {
            for node in world.nodes().collect::<Vec<_>>() {
                world.shift_clock(node, -1_500_000)?;
            }
            star.say(&mut world, 0, format!("round {round}").as_bytes())?.unwrap();
            world.run_for(SECOND)?;
            let text = format!("round {round}");
            assert_eq!(Star::heard(&world, star.members[1], text.as_bytes()), 1);
        }
        world.with(star.members[0], |member, cx| member.leave(cx))?.unwrap();
        world.eventually(MINUTE, "the rest agrees", |world| star.converged(world))
    };
    let outcome = run();
    finish(&world, outcome);
    let held = clock_back(&world, &star);
    println!("seed 5: {held} calls with a clock held");
    assert!(held >= 60, "each of 20 rounds reached three machines: {held}");
}

/// RA §4.3, "without a clock": no timer fires and S8 is void. Joins, rekeys, views, data, leaves and the refusal of replays
/// need numbers only.
#[test]
fn with_frozen_clocks_all_but_staleness_holds() {
    let mut world = checked(6);
    world.add_checker(RemovalHasCause::new());
    let star = Star::add(&mut world, StarConfig::new(chacha20_poly1305()), 3).unwrap();
    let mut run = || -> Result<(), Stop> {
        for node in world.nodes().collect::<Vec<_>>() {
            world.drift_clock(node, FROZEN)?;
        }
        // Everything comes a second time, much later: numbers, not times, must refuse it.
        world.set_adversary(ReplayAll { after: SECOND * 90, times: 1 });
        // The first rekey may be at once; the others wait for `grace`, which never passes. So the first join is complete,
        // and the others are admitted with the next eviction.
        world.with(star.members[0], |member, cx| member.join(cx))?.unwrap();
        world.eventually(MINUTE, "the first is in", |world| world.get(star.members[0]).unwrap().is_current())?;
        for member in &star.members[1..] {
            world.with(*member, |member, cx| member.join(cx))?.unwrap();
        }
        world.run_for(MINUTE)?;
        let leader = world.get(star.leader).unwrap();
        assert_eq!(leader.view().members().len(), 2, "who waits is in no view");
        world.command(star.members[0], "leave", |member, cx| member.leave(cx))?.unwrap();
        world.eventually(MINUTE, "the others are in", |world| star.converged(world))?;
        let leader = world.get(star.leader).unwrap();
        assert_eq!(leader.view().members().len(), 3);
        for (from, text) in [(1, b"one"), (2, b"two"), (9, b"the")] {
            star.say(&mut world, from, text)?.unwrap();
            world.run_for(SECOND)?;
        }
        // S8 is void: nobody is stale however long nothing is heard.
        world.partition([star.members[1]])?;
        world.run_for(MINUTE * 10)?;
        world.run_for(MINUTE * 3)
    };
    let outcome = run();
    finish(&world, outcome);
    let events = |node: NodeId| world.events(node).to_vec();
    for member in &star.members[1..] {
        let told = events(member.id);
        assert!(!told.iter().any(|event| matches!(event, Event::Stale)), "no timer fires");
    }
    assert_eq!(Star::heard(&world, star.members[2], b"one"), 1, "once, though it came twice");
    assert_eq!(Star::heard(&world, star.members[0], b"one"), 0, "who has left hears nothing");
    assert_eq!(Star::heard(&world, star.leader, b"two"), 1);
    let leader = world.get(star.leader).unwrap();
    println!("seed 6: the leader refused {:?}", leader.stats().rejected);
    assert!(leader.stats().rejections() > 10, "replays were refused");
}

/// With one frozen clock and no evidence from outside the group still ends for nobody else: the others are stale after
/// T_max when the leader falls silent, the one without a clock is not. It shows that S8 needs the clock, and only S8.
#[test]
fn who_has_a_clock_becomes_stale_and_who_has_none_does_not() {
    let mut world = checked(7);
    let star = Star::add(&mut world, StarConfig::new(symbolic().silent()), 2).unwrap();
    let mut run = || -> Result<(), Stop> {
        star.join_all(&mut world, MINUTE)?;
        world.run_for(SECOND * 6)?;
        world.drift_clock(star.members[0], FROZEN)?;
        world.crash(star.leader)?;
        world.run_for(SECOND * 20)
    };
    let outcome = run();
    finish(&world, outcome);
    let stale = |index: usize| world.events(star.members[index]).iter().any(|event| matches!(event, Event::Stale));
    assert!(stale(1), "with a clock");
    assert!(!stale(0), "without a clock");
}
