//! The same seed gives the same bytes on every target (R43): a whole simulated session, exported to WebAssembly.
//!
//! `scripts/wasm.sh` compares what the module says under Node with what `examples/digests.rs` says natively. The exports
//! take and give numbers only, so that no glue is needed.

use core::time::Duration;
use std::sync::Arc;

use sodality::crypto::null::insecure_null;
use sodality::crypto::{Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::policy::Policy;
use sodality::sim::{Faults, LinkConfig, Star, StarConfig, Stop, World};

/// How many suites [`suite`] knows.
pub const SUITES: u32 = 4;

const MINUTE: Duration = Duration::from_secs(60);
const LINK: LinkConfig = LinkConfig::DATAGRAM
    .delay(Duration::from_millis(5), Duration::from_millis(20))
    .faults(Faults { loss: 100, duplicate: 50, reorder: 100, corrupt: 10, reorder_by: Duration::from_millis(100) });

/// The suite of this number below [`SUITES`]: the one without security, then the real ones.
pub fn suite(number: u32) -> Arc<dyn Suite> {
    match number {
        0 => insecure_null(),
        1 => aes_128_gcm(),
        2 => aes_256_gcm(),
        _ => chacha20_poly1305(),
    }
}

/// The digest of a whole session: three members join over a bad network, everybody speaks, one leaves, the others speak
/// on.
///
/// # Errors
/// [`Stop`] if the session does not get there.
pub fn session(seed: u64, suite: Arc<dyn Suite>) -> Result<u128, Stop> {
    let mut world = World::new(seed);
    let policy = Policy { frame_limit: 1_200, ..Policy::default() };
    let star = Star::add(&mut world, StarConfig { policy, link: LINK, ..StarConfig::new(suite) }, 3)?;
    star.join_all(&mut world, MINUTE)?;
    world.run_for(Duration::from_secs(5))?;
    speak(&star, &mut world, &[0, 1, 2, usize::MAX])?;
    if let Some(leaver) = star.members.first() {
        // Under faults it may have become stale meanwhile; the leave is what counts.
        let _ = world.command(*leaver, "leave", |member, cx| member.leave(cx))?;
    }
    world.eventually(MINUTE, "the others agree", |world| {
        let left = world.get(star.leader).is_some_and(|leader| leader.view().members().len() == 3);
        left && star.converged(world)
    })?;
    speak(&star, &mut world, &[1, 2, usize::MAX])?;
    Ok(world.trace_digest())
}

fn speak(star: &Star, world: &mut World, who: &[usize]) -> Result<(), Stop> {
    for round in 0..10u8 {
        for from in who {
            // A member that is behind may not send: its refusal is a part of the session too.
            let _ = star.say(world, *from, &[round; 100])?;
            world.run_for(Duration::from_millis(50))?;
        }
    }
    Ok(())
}

/// Half of [`session`]'s digest: the upper 64 bits if `upper` is not 0. Traps if the session does not get there.
#[allow(unsafe_code, reason = "an export needs a name of its own; nothing else in the program has it")]
#[unsafe(no_mangle)]
pub extern "C" fn sodality_session(seed: u64, number: u32, upper: u32) -> u64 {
    let Ok(digest) = session(seed, suite(number)) else { std::process::abort() };
    let half = if upper == 0 { digest } else { digest >> 64 };
    half as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        for number in 0..SUITES {
            let first = session(7, suite(number)).unwrap();
            assert_eq!(session(7, suite(number)).unwrap(), first, "suite {number}");
            assert_ne!(session(8, suite(number)).unwrap(), first, "suite {number}");
        }
    }
}
