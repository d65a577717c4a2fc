//! Antigone as published, and every mix of the editions, as whole sessions in the simulator (A23; RA §2, mixed editions).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use sodality::crypto::aes_128_gcm;
use sodality::crypto::published::des_md5_rsa;
use sodality::policy::Mix;
use sodality::sim::World;
use sodality::sim::mixed::{MixedConfig, MixedStar};

#[test]
fn a_session_as_published() {
    let published = des_md5_rsa();
    let mix = Mix::published(published.id());
    let mut world = World::new(1);
    let star = MixedStar::add(&mut world, MixedConfig::new(aes_128_gcm(), published, mix), 3).unwrap();
    let result = star.join_all(&mut world, Duration::from_secs(20));
    if let Err(stop) = &result {
        println!("{}", world.trace().tail(80));
        panic!("{stop}");
    }
    star.say(&mut world, 0, b"hello").unwrap().unwrap();
    world.run_for(Duration::from_secs(1)).unwrap();
    assert_eq!(MixedStar::heard(&world, star.members[1], b"hello"), 1);
    assert_eq!(MixedStar::heard(&world, star.leader, b"hello"), 1);
}
