//! Whole sessions of repaired Enclaves in the simulator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use core::time::Duration;
use std::sync::Arc;

use sodality::crypto::{Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::event::{EndReason, Ending, Event, JoinFailure, Refusal};
use sodality::group::access::Access;
use sodality::identity::Name;
use sodality::policy::{MIN_FRAME, Policy, Protection, Views};
use sodality::sim::{EnclaveConfig, EnclaveStar, Faults, LinkConfig, Star, Stop, World};

const MINUTE: Duration = Duration::from_secs(60);

fn run(config: EnclaveConfig, seed: u64) -> Result<(), Stop> {
    let mut world = World::new(seed);
    let settle = config.policy.settle;
    let star = EnclaveStar::add(&mut world, config, 3)?;
    star.join_all(&mut world, MINUTE)?;
    // Sending stays with the old key for a while, which the newest members never had (RA §4.4).
    world.run_for(settle)?;
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
    let ended = |event: &Event| *event == Event::Ended(Ending::Left);
    world.eventually(MINUTE, "the leader has heard of it", |world| world.events(leaver).iter().any(ended))?;
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
    let suites: [Arc<dyn Suite>; 3] = [aes_128_gcm(), aes_256_gcm(), chacha20_poly1305()];
    for suite in suites {
        run(EnclaveConfig::new(suite), 1).unwrap_or_else(|stop| panic!("{stop:?}"));
    }
}

/// The same policy words as in Antigone: what Enclaves 2.0 has not (E16).
#[test]
fn a_session_under_each_protection_and_with_each_option() {
    for protection in Protection::ALL {
        for (origin, views, detection) in
            [(false, Views::Exact, true), (true, Views::Exact, true), (false, Views::Hidden, false)]
        {
            let detection = Policy::default().detection.filter(|_| detection);
            let policy = Policy { protection, origin, views, detection, ..Policy::default() };
            if policy.check().is_ok() && views != Views::Hidden {
                let config = EnclaveConfig { policy, ..EnclaveConfig::new(chacha20_poly1305()) };
                run(config, 2).unwrap_or_else(|stop| panic!("{protection:?} {origin}: {stop:?}"));
            }
        }
    }
}

#[test]
fn a_session_over_a_bad_network() {
    for seed in 0..20 {
        let faults = Faults::HARSH;
        let mut world = World::new(seed);
        let link = LinkConfig { faults, ..LinkConfig::DATAGRAM };
        let policy = Policy { frame_limit: MIN_FRAME as u32, ..Policy::default() };
        let config = EnclaveConfig { link, policy, ..EnclaveConfig::new(aes_128_gcm()) };
        let star = EnclaveStar::add(&mut world, config, 4).unwrap();
        star.join_always(&mut world).unwrap_or_else(|stop| panic!("seed {seed}: {stop:?}"));
        world
            .eventually(MINUTE * 2, "all agree", |world| star.converged(world))
            .unwrap_or_else(|stop| panic!("seed {seed}: {stop:?}\n{}", world.trace().tail(60)));
    }
}

#[test]
fn forty_join_at_once() {
    let mut world = World::new(3);
    let star = EnclaveStar::add(&mut world, EnclaveConfig::new(aes_128_gcm()), 40).unwrap();
    star.join_all(&mut world, MINUTE).unwrap_or_else(|stop| panic!("{stop:?}\n{}", world.trace().tail(40)));
    assert_eq!(world.get(star.leader).unwrap().view().members().len(), 41);
}

#[test]
fn refusals_ejections_and_the_end_are_told() {
    let mut world = World::new(5);
    let access = Access::List(["m1", "m2"].into_iter().map(|name| Name::new(name).unwrap()).collect());
    let mut star =
        EnclaveStar::add(&mut world, EnclaveConfig { access, ..EnclaveConfig::new(aes_128_gcm()) }, 3).unwrap();
    let (m1, m2, m3) = (star.members[0], star.members[1], star.members[2]);
    star.members.truncate(2);
    star.join_all(&mut world, MINUTE).unwrap();
    world.with(m3, |member, cx| member.join(cx)).unwrap().unwrap();
    world.run_for(MINUTE).unwrap();
    assert!(world.events(m3).contains(&Event::JoinRefused(Refusal::Denied)));
    // Somebody whom the leader does not know hears nothing.
    let stranger = star.add_member(&mut world, "stranger").unwrap();
    world.with(stranger, |member, cx| member.join(cx)).unwrap().unwrap();
    world.run_for(MINUTE).unwrap();
    assert!(world.events(stranger).contains(&Event::JoinFailed(JoinFailure::Timeout)));
    let cid = world.get(m1).unwrap().cid().unwrap();
    world.with(star.leader, |leader, cx| leader.eject(cx, cid)).unwrap().unwrap();
    world.run_for(MINUTE).unwrap();
    assert!(world.events(m1).contains(&Event::Ended(Ending::ByLeader(EndReason::Ejected))));
    assert_eq!(world.get(star.leader).unwrap().lingering_sessions(), 0);
    world.with(star.leader, |leader, cx| leader.close(cx)).unwrap().unwrap();
    world.run_for(MINUTE).unwrap();
    assert!(world.events(m2).contains(&Event::Ended(Ending::ByLeader(EndReason::Closing))));
    assert!(world.events(star.leader).contains(&Event::Ended(Ending::Closed)));
}
