//! The published theorem about the admin messages of repaired Enclaves, as a property of whole groups: what a member accepts
//! is a prefix of what the leader told it, in order, without duplicates, whatever somebody does who drops, holds back, replays,
//! reorders, alters and re-addresses frames; and once that stops, all of it arrives. It fails where the check of the numbers, that of
//! the order of Acks, or the rule of the repeated Ack is left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use sodality::crypto::chacha20_poly1305;
use sodality::group::{Check, Checks, Limits};
use sodality::policy::{MIN_FRAME, Policy};
use sodality::sim::check::AdminPrefix;
use sodality::sim::{
    Adversary, DropMatching, EnclaveConfig, EnclaveStar, InTransit, LinkConfig, Net, Stop, Tables, Verdict, Why, World,
    shared,
};

const ATTACK: Duration = Duration::from_secs(60);
const CALM: Duration = Duration::from_secs(40);

/// Does to frames of the chain, and of joins, whatever comes to its mind.
#[derive(Default)]
struct Wild {
    seen: Vec<InTransit>,
}

impl Adversary for Wild {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        let late = Duration::from_millis(net.rng.below(3_000));
        // Something old, to whom it was for: of this session or of another.
        if !self.seen.is_empty() && net.rng.below(3) == 0 {
            let old = &self.seen[net.rng.below(self.seen.len() as u64) as usize];
            net.inject(old.to_link, old.bytes.clone(), late);
        }
        // Something like it: altered at one place, cut, or said to another.
        if net.rng.below(3) == 0 {
            let mut bytes = frame.bytes.to_vec();
            let at = net.rng.below(bytes.len() as u64) as usize;
            match net.rng.below(4) {
                0 => bytes.truncate(at),
                // The number of the member, in front of which are header and group.
                1 if bytes.len() > 29 => bytes[28] ^= 1 + net.rng.below(3) as u8,
                _ => bytes[at] ^= 1 << net.rng.below(8),
            }
            net.inject(frame.to_link, bytes, late);
        }
        if self.seen.len() < 4_000 {
            self.seen.push(frame.clone());
        } else {
            let place = net.rng.below(4_000) as usize;
            self.seen[place] = frame.clone();
        }
        match net.rng.below(10) {
            0 | 1 => Verdict::Drop,
            2 => Verdict::Delay(late),
            3 => {
                net.inject(frame.to_link, frame.bytes.clone(), late);
                Verdict::Pass
            }
            _ => Verdict::Pass,
        }
    }
}

/// A group with much to tell, under attack; then calm, in which all must be told.
fn run(seed: u64, checks: Checks) -> Result<(World, Rc<RefCell<AdminPrefix>>), Stop> {
    let mut world = World::new(seed);
    let policy = Policy { frame_limit: MIN_FRAME as u32, ..Policy::default() };
    let limits = Limits { checks, ..Limits::default() };
    let link = LinkConfig::DATAGRAM.delay(Duration::from_millis(5), Duration::from_millis(40));
    let config = EnclaveConfig { policy, limits, link, ..EnclaveConfig::new(chacha20_poly1305()) };
    let star = EnclaveStar::add(&mut world, config, 4)?;
    let theorem = shared(AdminPrefix::default());
    world.add_checker(theorem.clone());
    world.set_adversary(Wild::default());
    star.join_always(&mut world)?;
    for second in 1..60_u64 {
        let leader = star.leader;
        world.after(Duration::from_secs(second), move |world| {
            world.with(leader, |leader, cx| {
                let _ = leader.rekey(cx);
            })
        });
        let member = star.members[second as usize % 4];
        if second % 9 == 0 {
            world.after(Duration::from_secs(second), move |world| {
                world.with(member, |member, cx| {
                    let _ = member.leave(cx);
                })
            });
        }
    }
    world.run_for(ATTACK)?;
    world.retire_adversary();
    world.run_for(Duration::from_secs(3))?;
    world.eventually(CALM, "all is told and all agree", |world| star.converged(world))?;
    // Something more to tell, and one Ack of each is lost: nobody is given up for that.
    let members =
        |world: &World| star.members.iter().map(|member| world.get(*member).unwrap().cid()).collect::<Vec<_>>();
    let (before, mut lost) = (members(&world), 0);
    world.set_adversary(DropMatching(move |frame: &InTransit, tables: &Tables| {
        let drops = lost < 4 && tables.id(&frame.bytes) == "EN-R5";
        lost += u32::from(drops);
        drops
    }));
    world.with(star.leader, |leader, cx| leader.rekey(cx))?.unwrap();
    let last = world.get(star.leader).unwrap().epoch().next().unwrap();
    world.eventually(CALM, "the last key arrives, and all are who they were", |world| {
        star.converged(world) && world.get(star.leader).unwrap().epoch() == last && members(world) == before
    })?;
    Ok((world, theorem))
}

#[test]
fn what_members_accept_is_a_prefix_of_what_they_were_told() {
    let (mut taken, mut replayed, mut forged) = (0, 0, 0);
    for seed in 0..12 {
        let (world, theorem) = run(seed, Checks::ALL).unwrap_or_else(|stop| panic!("{stop}"));
        let theorem = theorem.borrow();
        (taken, replayed, forged) = (taken + theorem.taken, replayed + theorem.replayed, forged + theorem.forged);
        drop(world);
    }
    println!("seeds 0 to 11: {taken} accepted, {replayed} replayed and refused, {forged} forged and refused");
    assert!(taken >= 1_000 && replayed >= 1_000 && forged >= 1_000, "{taken} {replayed} {forged}");
}

/// Each rule is there for something.
#[test]
fn the_theorem_fails_without_each_of_its_rules() {
    for (check, prefix) in [(Check::AdminNonce, true), (Check::AckOrder, true), (Check::AckRepeat, false)] {
        let found = (0..12).find_map(|seed| {
            let stop = run(seed, Checks::ALL.without(check)).err()?;
            match stop.why {
                Why::Check { checker: "AdminPrefix", text } if prefix => Some((seed, text)),
                // A lost Ack stops everything: the leader gives its member up.
                Why::NotInTime(text) if !prefix => Some((seed, text)),
                _ => None,
            }
        });
        let (seed, text) = found.unwrap_or_else(|| panic!("nothing fails without {check:?}"));
        println!("without {check:?}, seed {seed}: {text}");
    }
}
