//! RA §4.2: the link of a peer is that of its newest verified frame, and never a shared one. What is for one member does not
//! go to whoever listens.
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use sodality::crypto::chacha20_poly1305;
use sodality::endpoint::Link;
use sodality::sim::star::{Star, StarConfig};
use sodality::sim::{InTransit, LinkConfig, Mallory, Net, Stop, Verdict, World};

const SECOND: Duration = Duration::from_secs(1);

/// Lets the frames of a member reach the leader over the multicast channel only, while `taken` says so.
fn redirect(world: &mut World, star: &Star, shared: Link, until: Duration) {
    let (from, end) = (star.members[0].id, world.now() + until);
    world.set_adversary(Mallory(move |frame: &InTransit, net: &mut Net<'_>| {
        if frame.from != from || net.tables.id(&frame.bytes) != "RA-CM" || net.now > end {
            return Verdict::Pass;
        }
        net.inject(shared, frame.bytes.clone(), Duration::ZERO);
        Verdict::Drop
    }));
}

#[test]
fn a_frame_over_a_shared_link_moves_no_peer_there() {
    let mut world = World::new(4);
    let mut run = || -> Result<(), Stop> {
        let star = Star::add(&mut world, StarConfig::new(chacha20_poly1305()), 2)?;
        let wire = world.multicast(LinkConfig::DATAGRAM.max_frame(65_536));
        let shared = world.attach(wire, star.leader)?;
        let listener = world.attach(wire, star.members[1])?;
        // The confirmation of a join; polls; a farewell, and its repetition.
        redirect(&mut world, &star, shared, SECOND / 10);
        star.join_all(&mut world, SECOND * 60)?;
        world.run_for(SECOND * 6)?;
        redirect(&mut world, &star, shared, SECOND * 6);
        world.run_for(SECOND * 7)?;
        redirect(&mut world, &star, shared, SECOND * 3);
        world.with(star.members[0], |member, cx| member.leave(cx))?.unwrap();
        world.eventually(SECOND * 20, "the farewell is over", |world| world.get(star.members[0]).unwrap().is_idle())?;
        let all = world.trace().tail(10_000);
        let sent: Vec<&str> = all
            .lines()
            .filter(|line| {
                line.contains(&format!("lea: RA-CM (144 B) on {shared} "))
                    || line.contains(&format!("lea: RA-CM (109 B) on {shared} "))
            })
            .collect();
        assert!(sent.len() > 2, "frames came over the shared link");
        let answered = |line: &str| {
            let sent = line.split(" → ").skip(1).map(|out| out.split(" ! ").next().unwrap_or_default().trim_end());
            sent.into_iter().any(|out| out.ends_with(&format!(" on {shared}")))
        };
        let out: Vec<&str> = all.lines().filter(|line| answered(line)).collect();
        assert!(out.is_empty(), "{out:#?}");
        let _ = listener;
        Ok(())
    };
    let outcome = run();
    outcome.unwrap_or_else(|stop| panic!("{stop}\n{}", world.trace().tail(40)));
}
