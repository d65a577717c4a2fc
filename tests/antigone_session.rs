//! Whole sessions of the repaired Antigone in the simulator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use core::time::Duration;

use sodality::crypto::{Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::event::Event;
use sodality::policy::{Policy, Protection};
use sodality::sim::star::{Star, StarConfig};
use sodality::sim::{Stop, World};
use std::sync::Arc;

const MINUTE: Duration = Duration::from_secs(60);

fn run(suite: Arc<dyn Suite>, policy: Policy, seed: u64) -> Result<(), Stop> {
    let mut world = World::new(seed);
    let config = StarConfig { policy: policy.clone(), ..StarConfig::new(suite) };
    let star = Star::add(&mut world, config, 3)?;
    star.join_all(&mut world, MINUTE)?;
    // Sending stays with the old key for a while, which the newest members never had (RA §4.4).
    world.run_for(policy.settle)?;
    let before = world.get(star.leader).unwrap().epoch();
    star.say(&mut world, 0, b"from a member")?.unwrap();
    star.say(&mut world, usize::MAX, b"from the leader")?.unwrap();
    world.run_for(Duration::from_secs(1))?;
    for member in &star.members {
        let own = usize::from(world.name(*member) != "m1");
        assert_eq!(Star::heard(&world, *member, b"from a member"), own);
        assert_eq!(Star::heard(&world, *member, b"from the leader"), 1);
    }
    assert_eq!(Star::heard(&world, star.leader, b"from a member"), 1);
    let leaver = star.members[1];
    world.with(leaver, |member, cx| member.leave(cx))?.unwrap();
    world.eventually(MINUTE, "the others agree", |world| star.converged(world))?;
    assert!(world.events(leaver).iter().any(|event| matches!(event, Event::Ended(_))));
    let after = world.get(star.leader).unwrap().epoch();
    assert!(after > before, "{before} {after}");
    star.say(&mut world, 0, b"after the leave")?.unwrap();
    world.run_for(Duration::from_secs(1))?;
    assert_eq!(Star::heard(&world, leaver, b"after the leave"), 0);
    assert_eq!(Star::heard(&world, star.members[2], b"after the leave"), 1);
    Ok(())
}

#[test]
fn a_session_under_each_suite() {
    for suite in [aes_128_gcm(), aes_256_gcm(), chacha20_poly1305()] {
        run(suite, Policy::default(), 1).unwrap_or_else(|stop| panic!("{stop:?}"));
    }
}

#[test]
fn a_session_under_each_protection() {
    for protection in Protection::ALL {
        for origin in [false, true] {
            let policy = Policy { protection, origin, ..Policy::default() };
            if policy.check().is_ok() {
                run(chacha20_poly1305(), policy, 2).unwrap_or_else(|stop| panic!("{protection:?} {origin}: {stop:?}"));
            }
        }
    }
}

#[test]
fn a_member_fetches_a_change_that_does_not_fit_a_key() {
    // A batch of joins makes more changes than `common` has room for: who is in already must ask for them.
    let mut world = World::new(3);
    let names: Vec<String> = (1..=40).map(|n| format!("m{n}")).collect();
    let config = StarConfig::new(chacha20_poly1305());
    let mut star = Star::with_names(&mut world, config, &names[..1]).unwrap();
    star.join_all(&mut world, MINUTE).unwrap();
    for name in &names[1..] {
        star.add_member(&mut world, name).unwrap();
    }
    star.join_always(&mut world).unwrap_or_else(|stop| panic!("{stop:?}"));
    world.eventually(Duration::from_secs(10), "all agree", |world| star.converged(world)).unwrap();
    assert_eq!(world.get(star.leader).unwrap().view().members().len(), 41);
    assert_eq!(world.get(star.leader).unwrap().epoch().0, 3, "one epoch for the batch");
}

#[test]
fn many_join_at_once_and_the_change_fits_in_no_key_frame() {
    let mut world = World::new(3);
    let star = Star::add(&mut world, StarConfig::new(aes_128_gcm()), 40).unwrap();
    star.join_all(&mut world, MINUTE).unwrap_or_else(|stop| panic!("{stop:?}\n{}", world.trace().tail(40)));
    assert_eq!(world.get(star.leader).unwrap().view().members().len(), 41);
}
