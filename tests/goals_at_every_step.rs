//! R48: the leader, a member and the third party crash and come back at each step of a session, one after the other: all
//! checkers look on, and within T all live members agree and hear one another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "star/mod.rs"]
mod star;

use std::time::Duration;

use sodality::event::{Ending, Event};
use sodality::policy::Policy;
use sodality::sim::check::Counts;
use sodality::sim::{LinkConfig, NodeId, Star, Stop, World};
use star::{SECOND, all_hear_all, bound, config, explain, persist, report, settled, watched};

/// Joins, a text, a leave and a return, a rekey. Long enough for all of it to have settled.
const SESSION: Duration = Duration::from_secs(21);

#[derive(Clone, Copy, Debug)]
enum Victim {
    Leader,
    Member,
    ThirdParty,
}

impl Victim {
    fn of(self, star: &Star) -> NodeId {
        match self {
            Self::Leader => star.leader.into(),
            Self::Member => star.members[0].into(),
            Self::ThirdParty => star.third_party.into(),
        }
    }
}

fn script(world: &mut World, star: &Star) {
    let (leader, members, star) = (star.leader, star.members.clone(), [star.members[0], star.members[1]]);
    world.after(SECOND * 7, move |world| {
        world.command(members[0], "say hello", |member, cx| {
            // Who is in no group then says nothing.
            let _ = member.send(cx, sodality::event::Port::Application, b"hello");
        })
    });
    world.after(SECOND * 8, move |world| {
        world.command(star[1], "leave", |member, cx| {
            let _ = member.leave(cx);
        })
    });
    world.after(SECOND * 15, move |world| {
        world.command(leader, "rekey", |leader, cx| {
            let _ = leader.rekey(cx);
        })
    });
}

/// The session, in which `act` happens after so many steps, if there are as many.
fn session_with(
    world: &mut World,
    link: LinkConfig,
    step: u64,
    act: impl FnOnce(&mut World, &Star) -> Result<(), Stop>,
) -> Result<Option<(Star, Counts)>, Stop> {
    let config = config(Policy::default(), link);
    let time = bound(&config);
    let (star, goals) = watched(world, config, 2)?;
    persist(world, &star, SESSION + time + SECOND * 10)?;
    script(world, &star);
    let end = world.now() + SESSION;
    if !world.run_until(end, |world| world.steps() >= step)? {
        return Ok(None);
    }
    act(world, &star)?;
    world.run_until(end, |_| false)?;
    world.eventually(time, "all live members agree", |world| settled(world, &star))?;
    all_hear_all(world, &star)?;
    Ok(Some((star, goals.counts())))
}

/// With a crash and a restart.
fn crashed_at(world: &mut World, link: LinkConfig, victim: Victim, step: u64) -> Result<Option<Counts>, Stop> {
    let done = session_with(world, link, step, |world, star| {
        let node = victim.of(star);
        world.crash(node)?;
        world.restart(node)
    });
    Ok(done?.map(|(_, counts)| counts))
}

/// With another link in place of the one between two of them.
fn cut_at(world: &mut World, link: LinkConfig, victim: Victim, step: u64) -> Result<Option<Counts>, Stop> {
    let done = session_with(world, link, step, |world, star| {
        let between = world.links_between(victim.of(star), star.leader);
        between.first().map_or(Ok(()), |link| world.reopen(*link).map(drop))
    });
    let Some((star, counts)) = done? else { return Ok(None) };
    for member in star.members.iter().copied() {
        let failed = |event: &&Event| {
            matches!(event, Event::JoinFailed(_) | Event::JoinRefused(_) | Event::Ended(Ending::LeaderLost))
        };
        let failed: Vec<&Event> = world.events(member).iter().filter(failed).collect();
        assert!(failed.is_empty(), "{victim:?}, step {step}: {failed:?}\n{}", world.trace().tail(60));
    }
    Ok(Some(counts))
}

/// A session for each kind of links, each victim and each step; gives how many there were.
fn at_every_step<R>(victims: &[Victim], run: R) -> (u64, Counts)
where
    R: Fn(&mut World, LinkConfig, Victim, u64) -> Result<Option<Counts>, Stop>,
{
    let (mut runs, mut counts) = (0, Counts::default());
    for link in [LinkConfig::STREAM, LinkConfig::DATAGRAM] {
        for victim in victims.iter().copied() {
            // The first steps set the group up.
            for step in 10.. {
                let mut world = World::new(48);
                match run(&mut world, link, victim, step) {
                    Ok(Some(seen)) => counts = counts.and(seen),
                    Ok(None) => break,
                    Err(stop) => {
                        println!("{victim:?} at step {step}, {link:?}");
                        explain(&world, &stop)
                    }
                }
                runs += 1;
            }
        }
    }
    report(&format!("at every step, {runs} runs: {counts:?}"));
    (runs, counts)
}

/// Whatever is under way is lost with the link, and goes on over the next one: no join fails for it, nobody is taken for lost.
#[test]
fn whichever_link_drops_at_whatever_step_nothing_fails() {
    let (runs, counts) = at_every_step(&[Victim::Member, Victim::ThirdParty], cut_at);
    assert!(runs > 200 && counts.joins > 2 * runs, "{runs} {counts:?}");
}

#[test]
fn whoever_crashes_at_whatever_step_all_agree_again() {
    let (runs, counts) = at_every_step(&[Victim::Leader, Victim::Member, Victim::ThirdParty], crashed_at);
    assert!(runs > 300 && counts.joins > 2 * runs && counts.delivered > runs, "{runs} {counts:?}");
}
