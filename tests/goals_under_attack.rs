//! The goals S3 to S10 of RA §1 against an adversary without a plan: frames are dropped, held back, replayed, altered and
//! forged at random, also under the keys of sessions that are over, while people come, go, crash and come back. Nothing bad
//! happens; and once the adversary has gone, all agree within T. The same adversary wins where a check is left out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "star/mod.rs"]
mod star;

use std::time::Duration;

use sodality::group::{Check, Checks, Limits};
use sodality::policy::Policy;
use sodality::sim::check::Counts;
use sodality::sim::star::StarConfig;
use sodality::sim::{Chaos, LinkConfig, Schedule, Spy, Stop, Why, Wild, Wildness, World, shared};
use star::{
    SECOND, all_hear_all, bound, config, every_policy, everybody, explain, persist, report, seeds, settled, traffic,
    watched,
};

/// How long the adversary is there.
const ATTACK: Duration = Duration::from_secs(60);

/// What a run was like.
#[derive(Default, Debug)]
struct Run {
    counts: Counts,
    deeds: u64,
    forged: u64,
    stolen: usize,
}

fn attacked(world: &mut World, policy: &Policy, checks: Checks, run: &mut Run) -> Result<(), Stop> {
    let spread = Duration::from_millis(20);
    let link =
        if world.seed().is_multiple_of(2) { LinkConfig::STREAM } else { LinkConfig::DATAGRAM }.delay(spread, spread);
    let limits = Limits { checks, ..Limits::default() };
    let config = StarConfig { limits, ..config(policy.clone(), link) };
    let time = bound(&config);
    let (star, goals) = watched(world, config, 3)?;
    let (spy, loot) = Spy::new();
    world.add_checker(spy);
    let suite = star.config.suite.clone();
    let wild = shared(Wild::new(Wildness::default(), loot.clone()).with_suite(suite));
    world.set_adversary(wild.clone());
    persist(world, &star, ATTACK + time)?;
    let mut nodes = everybody(&star);
    nodes.push(star.third_party.into());
    let mut mortal = nodes.clone();
    if policy.detection.is_none() {
        // Nobody would miss a leader that restarts.
        mortal.retain(|node| *node != star.leader.into());
    }
    Schedule::random(world.seed(), &Chaos { ops: 8, closes: false, mortal, ..Chaos::new(ATTACK, nodes) }).apply(world);
    traffic(world, &star, ATTACK, true);
    if policy.detection.is_none() {
        // Without polls nobody asks for a view, and without a rekey none is told: it comes with the next key.
        let leader = star.leader;
        world.after(ATTACK + Wildness::default().late + SECOND, move |world| {
            world.with(leader, |leader, cx| {
                // There is room: nobody sends.
                let _ = leader.rekey(cx);
            })
        });
    }
    world.run_for(ATTACK)?;
    world.retire_adversary();
    (run.deeds, run.forged) = wild.borrow().deeds();
    run.stolen = loot.borrow().len();
    // What it has sent on its way still arrives.
    world.eventually(Wildness::default().late + time, "all live members agree", |world| settled(world, &star))?;
    all_hear_all(world, &star)?;
    run.counts = goals.counts();
    Ok(())
}

#[test]
fn the_goals_hold_against_whatever_comes_to_its_mind() {
    let (mut sum, seeds) = (Run::default(), seeds(40));
    for seed in seeds.clone() {
        let (mut world, mut run) = (World::new(seed), Run::default());
        attacked(&mut world, &Policy::default(), Checks::ALL, &mut run).unwrap_or_else(|stop| explain(&world, &stop));
        sum.counts = sum.counts.and(run.counts);
        (sum.deeds, sum.forged, sum.stolen) = (sum.deeds + run.deeds, sum.forged + run.forged, sum.stolen + run.stolen);
    }
    report(&format!("an adversary without a plan, seeds {seeds:?}: {sum:?}"));
    let Run { counts, deeds, forged, stolen } = sum;
    assert!(deeds > 5_000 && forged > 500 && stolen > 40, "{deeds} {forged} {stolen}");
    assert!(counts.admissions > 150 && counts.joins > 100 && counts.records > 300 && counts.installs > 300);
    assert!(counts.sent > 500 && counts.delivered > 1_000 && counts.refused > 2_000 && counts.suspected > 0);
}

/// R50: whatever policy the group has.
#[test]
fn the_goals_hold_under_every_policy() {
    let (policies, mut counts, seeds) = (every_policy(), Counts::default(), seeds(2));
    for (number, policy) in policies.iter().enumerate() {
        for seed in seeds.clone() {
            let (mut world, mut run) = (World::new(seed + 1_000 * number as u64), Run::default());
            if let Err(stop) = attacked(&mut world, policy, Checks::ALL, &mut run) {
                println!("{policy:?}");
                explain(&world, &stop);
            }
            counts = counts.and(run.counts);
        }
    }
    report(&format!("the same, {} policies, seeds {seeds:?} of each: {counts:?}", policies.len()));
    assert!(counts.joins > 0 && counts.records > 0 && counts.installs > 0 && counts.delivered > 0, "{counts:?}");
}

/// Without each of these checks the same adversary makes one of these checkers object.
#[test]
fn it_wins_where_a_check_is_left_out() {
    let table: [(Check, &[&str]); 5] = [
        (Check::DataNumber, &["NoReplayDelivered"]),
        (Check::NewerEpoch, &["EpochsGrow", "EpochsAgree"]),
        // A leader that takes `hello` again throws its sender out.
        (Check::RecordOrder, &["RecordsInOrder", "RemovalHasCause"]),
        (Check::BlockBox, &["EpochsAgree"]),
        (Check::EvidenceTime, &["DeadNoticed", "StaleBound"]),
    ];
    for (check, checkers) in table {
        let found = (1..60).find_map(|seed| {
            let mut world = World::new(seed);
            let (policy, checks) = (Policy::default(), Checks::ALL.without(check));
            match attacked(&mut world, &policy, checks, &mut Run::default()).err()?.why {
                Why::Check { checker, text } => Some((seed, checker, text)),
                _ => None,
            }
        });
        let (seed, checker, text) = found.unwrap_or_else(|| panic!("nothing without {check:?}"));
        println!("without {check:?}, seed {seed}: {checker}: {text}");
        assert!(checkers.contains(&checker), "without {check:?}, {checker}: {text}");
    }
}
