//! Frames that come before their key (RA §4.4): kept within bounds, opened when it is here, and no work meanwhile (R11).
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use sodality::crypto::chacha20_poly1305;
use sodality::sim::star::{Star, StarConfig};
use sodality::sim::{Draft, DropMatching, InTransit, Stop, Tables, World};
use sodality::wire::shape::Content;

const SECOND: Duration = Duration::from_secs(1);

fn finish(world: &World, outcome: Result<(), Stop>) {
    outcome.unwrap_or_else(|stop| panic!("{stop}\n{}", world.trace().tail(30)));
}

fn joined(world: &mut World, change: impl FnOnce(&mut StarConfig)) -> Result<Star, Stop> {
    let mut config = StarConfig::new(chacha20_poly1305());
    change(&mut config);
    let star = Star::add(world, config, 2)?;
    star.join_all(world, SECOND * 60)?;
    world.run_for(SECOND * 6)?;
    Ok(star)
}

#[test]
fn frames_of_an_epoch_that_never_comes_make_no_work() {
    let mut world = World::new(1);
    let mut run = || -> Result<(), Stop> {
        let star = joined(&mut world, |_| {})?;
        let link = world.links_between(star.members[0], star.leader)[0];
        // Anybody who knows the number of the group can write these: nothing about them is proven.
        let frames = sodality::sim::shared(sodality::sim::Recorder::default());
        world.set_adversary(frames.clone());
        star.say(&mut world, 1, b"text")?.unwrap();
        world.run_for(SECOND)?;
        let data = frames.borrow().of(&Tables::default(), "RA-D").next().unwrap().bytes.clone();
        for n in 0..100u64 {
            let mut forged = Draft::of(&Tables::default(), &data).unwrap();
            forged.clear.find_mut("epoch").unwrap().content = Content::Leaf((7 + n % 3).to_be_bytes().to_vec());
            forged.clear.find_mut("counter").unwrap().content = Content::Leaf(n.to_be_bytes().to_vec());
            world.inject(link, forged.frame(), Duration::ZERO);
        }
        let before = world.steps();
        world.run_for(SECOND * 60)?;
        println!("{} steps in a minute", world.steps() - before);
        assert!(world.steps() - before < 1000, "a hundred frames and a minute of polls");
        star.say(&mut world, 1, b"still here")?.unwrap();
        world.run_for(SECOND)?;
        assert_eq!(Star::heard(&world, star.members[0], b"still here"), 1);
        Ok(())
    };
    let outcome = run();
    finish(&world, outcome);
}

#[test]
fn frames_that_come_before_their_key_are_delivered_with_it() {
    let mut world = World::new(2);
    let mut run = || -> Result<(), Stop> {
        let star = joined(&mut world, |config| config.policy.settle = Duration::ZERO)?;
        let to = star.members[0].id;
        let keys = move |frame: &InTransit, tables: &Tables| frame.to == to && tables.id(&frame.bytes) == "RA-R";
        world.set_adversary(DropMatching(keys));
        world.with(star.leader, |leader, cx| leader.rekey(cx))?.unwrap();
        world.run_for(SECOND / 10)?;
        for n in 0..9u8 {
            star.say(&mut world, usize::from(n % 2) * 8 + 1, &[n])?.unwrap();
        }
        world.run_for(SECOND / 10)?;
        assert_eq!(Star::heard(&world, star.members[0], &[0]), 0);
        world.retire_adversary();
        world.run_for(SECOND * 3)?;
        for n in 0..9u8 {
            assert_eq!(Star::heard(&world, star.members[0], &[n]), 1, "{n}");
        }
        Ok(())
    };
    let outcome = run();
    finish(&world, outcome);
}
