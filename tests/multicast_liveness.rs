//! Whole sessions on a star and a multicast channel, both of which lose, repeat, hold back and turn bits, while nodes crash,
//! restart and are cut off: nothing bad happens, and once it stops all agree within a stated time (R47, R48).
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "star/mod.rs"]
mod star;

use std::time::Duration;

use sodality::event::{Cause, Causes};
use sodality::policy::{Communication, Policy, Views};
use sodality::sim::star::StarConfig;
use sodality::sim::{Chaos, Faults, LinkConfig, Recorder, Schedule, Stop, Tables, WireId, World, shared};
use star::{SECOND, all_hear_all, config, everybody, explain, group, persist, seeds, settled, traffic};

const CHAOS: Duration = Duration::from_secs(40);
/// As in `tests/liveness.rs`, and a quarter period in which an answer to a rekey of all may wait.
const T: Duration = Duration::from_secs(31 + 15 + 4 + 9 + 5 + 1 + 2);

fn policy(seed: u64) -> Policy {
    let communication = Communication::ALL[(seed / 3 % 3) as usize];
    let policy = match seed % 3 {
        0 => Policy::default(),
        1 => Policy { views: Views::WithEachKey, ..Policy::default() },
        // Views that heartbeats carry: nobody's join changes the key.
        _ => {
            let evicting = [Cause::Leave, Cause::Eject, Cause::Failure, Cause::Takeover];
            let rekey_on = evicting.into_iter().fold(Causes::NONE, Causes::with);
            Policy { views: Views::BestEffort, rekey_on, ..Policy::default() }
        }
    };
    Policy { communication, ..policy }
}

fn recovers(world: &mut World, seed: u64) -> Result<(Duration, Option<WireId>), Stop> {
    let spread = Duration::from_millis(20);
    let link = LinkConfig::DATAGRAM.delay(spread, spread).faults(Faults::HARSH);
    let config = StarConfig { multicast: Some(link), ..config(policy(seed), link) };
    let star = group(world, config, 3 + (seed % 4) as usize)?;
    persist(world, &star, CHAOS + T)?;
    Schedule::random(seed, &Chaos { ops: 14, closes: false, ..Chaos::new(CHAOS, everybody(&star)) }).apply(world);
    traffic(world, &star, CHAOS, true);
    for turn in 1..8 {
        let leader = star.leader;
        world.after(SECOND * 5 * turn, move |world| {
            if world.is_up(leader) {
                world.with(leader, |leader, cx| leader.rekey(cx))?.unwrap();
            }
            Ok(())
        });
    }
    world.run_for(CHAOS)?;
    let calm = world.now();
    world.eventually(T, "all live members agree", |world| settled(world, &star))?;
    let took = world.now().since(calm);
    all_hear_all(world, &star)?;
    Ok((took, star.multicast))
}

#[test]
fn after_faults_all_agree_and_data_flow() {
    let mut took = Vec::new();
    let (mut rekeys, mut beats, mut shared_data) = (0, 0, 0);
    for seed in seeds(45) {
        let mut world = World::new(seed);
        let tape = shared(Recorder::default());
        world.set_adversary(tape.clone());
        let (time, channel) = recovers(&mut world, seed).unwrap_or_else(|stop| explain(&world, &stop));
        took.push(time);
        let tables = Tables::default();
        let of = |id| tape.borrow().of(&tables, id).count();
        (rekeys, beats) = (rekeys + of("RA-R"), beats + of("RA-H"));
        shared_data += tape.borrow().of(&tables, "RA-D").filter(|frame| Some(frame.wire) == channel).count();
    }
    took.sort();
    println!("{rekeys} frames with keys, {beats} heartbeats, {shared_data} with data on the channel");
    println!("agreement after {:?} (median), {:?} (longest), T = {T:?}", took[took.len() / 2], took[took.len() - 1]);
    assert!(rekeys > 0 && beats > 0 && shared_data > 0);
}
