//! A whole group under faults: what the runs of several test files share.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod deeds;

use std::time::Duration;

use sodality::antigone::Member;
use sodality::crypto::{chacha20_poly1305, symbolic::symbolic};
use sodality::endpoint::{Cx, Instant};
use sodality::event::{Cause, Causes};
use sodality::policy::{Policy, Protection, Views};
use sodality::sim::check::Goals;
use sodality::sim::star::{LEADER, Star, StarConfig, leader_machine, member_machine};
use sodality::sim::{LinkConfig, NodeId, SimRng, Stop, World};
use sodality::ttp::ThirdParty;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How many seeds a test of `usual` many shall run: `SODALITY_SEEDS` for long runs.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let read = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = read("SODALITY_FIRST_SEED").unwrap_or(1);
    first..first + read("SODALITY_SEEDS").unwrap_or(usual)
}

/// Says which seeds ran and what came of them, also where tests run without `--nocapture`.
pub(crate) fn report(line: &str) {
    use std::io::Write as _;
    // Nobody to tell is no failure.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The bound T of liveness: how long after the last fault all live members agree at the latest. A member that believes in a
/// dead leader finds out after T_lost; a join that the faults spoilt goes on for T_join; what it left pending at the leader
/// gives way after T_min; repeats that have slowed down wait for the ceiling of the RTO, with its jitter; a plain rekey waits
/// for `grace`; and a join that failed here is tried again in a second. Without failure detection nobody misses a leader
/// that is dead, so T_lost is not in it.
pub(crate) fn bound(config: &StarConfig) -> Duration {
    let StarConfig { policy, limits, .. } = config;
    let lost = policy.detection.map(|detection| detection.staleness(limits.retry.first) * 2).unwrap_or_default();
    let slowest = limits.retry.ceiling * 11 / 10;
    lost + limits.join_time + limits.pending_guard + slowest + policy.grace + SECOND
}

/// Every class of view, with and without a rekey on join, failure detection and signed origin, under several protections: what
/// of it may be combined.
pub(crate) fn every_policy() -> Vec<Policy> {
    let mut all = Vec::new();
    let usual = Policy::default();
    let no_join: Causes = usual.rekey_on.iter().filter(|cause| *cause != Cause::Join).fold(Causes::NONE, Causes::with);
    for views in [Views::Hidden, Views::WithEachKey, Views::BestEffort, Views::Exact] {
        for rekey_on in [usual.rekey_on, no_join] {
            for detection in [usual.detection, None] {
                for (protection, origin) in [
                    (Protection::Both, true),
                    (Protection::Confidentiality, false),
                    (Protection::Integrity, true),
                    (Protection::Integrity, false),
                ] {
                    all.push(Policy { views, rekey_on, detection, protection, origin, ..usual.clone() });
                }
            }
        }
    }
    all.retain(|policy| policy.check().is_ok());
    all
}

/// A group over streams or over datagrams, by the policy's own frame limit.
pub(crate) fn config(policy: Policy, link: LinkConfig) -> StarConfig {
    let frame_limit = u32::try_from(link.max_frame).unwrap();
    let policy = Policy { frame_limit, ..policy };
    // Terms instead of bits: what a run shows here does not depend on the suite, and this one is fast.
    StarConfig { policy, link, ..StarConfig::new(symbolic().silent()) }
}

/// As [`config`], under a real suite.
pub(crate) fn real(policy: Policy, link: LinkConfig) -> StarConfig {
    StarConfig { suite: chacha20_poly1305(), ..config(policy, link) }
}

/// A group of which everybody may crash and restart, and that asks to join whenever it is out; the checkers of all goals
/// look on.
pub(crate) fn group(world: &mut World, config: StarConfig, members: usize) -> Result<Star, Stop> {
    watched(world, config, members).map(|(star, _)| star)
}

/// As [`group`], with the checkers, to ask them what they have looked at.
pub(crate) fn watched(world: &mut World, config: StarConfig, members: usize) -> Result<(Star, Goals), Stop> {
    world.trace_mut().keep(400);
    let goals = Goals::watch(world, &config);
    let star = Star::add(world, config, members)?;
    mortal(world, &star)?;
    Ok((star, goals))
}

fn mortal(world: &mut World, star: &Star) -> Result<(), Stop> {
    let (config, seed) = (star.config.clone(), world.seed());
    let (suite, limits) = (config.suite.clone(), config.limits);
    world.set_factory(star.third_party, move |_| ThirdParty::new(suite.clone(), limits))?;
    for member in &star.members {
        let (config, name) = (config.clone(), world.name(*member).to_owned());
        world.set_factory(*member, move |_| member_machine(&config, &name).unwrap())?;
    }
    world.set_factory(star.leader, move |life| {
        let mut rng = SimRng::new(seed).fork(0x1ead_0000 | u64::from(life));
        leader_machine(&config, &mut Cx::new(Instant::ORIGIN, &mut rng)).unwrap()
    })
}

/// Everybody asks to join, at once whenever it is out, and every second if that was not possible (a join needs
/// randomness, which may fail).
pub(crate) fn persist(world: &mut World, star: &Star, span: Duration) -> Result<(), Stop> {
    star.join_always(world)?;
    for member in star.members.iter().copied() {
        for second in 1..=span.as_secs() {
            world.after(SECOND * u32::try_from(second).unwrap(), move |world| {
                if world.get(member).is_some_and(Member::is_idle) {
                    world.with(member, |member, cx| {
                        let _ = member.join(cx);
                    })?;
                }
                Ok(())
            });
        }
    }
    Ok(())
}

/// Everybody of the group but the third party.
pub(crate) fn everybody(star: &Star) -> Vec<NodeId> {
    star.members.iter().map(|member| (*member).into()).chain([star.leader.into()]).collect()
}

/// Whether all members are joined and current, and agree with the leader on epoch and view. Where the policy shows no
/// views, the epoch alone.
pub(crate) fn settled(world: &World, star: &Star) -> bool {
    let Some(leader) = world.get(star.leader) else { return false };
    let shows = star.config.policy.views != Views::Hidden;
    let agrees = |member: &Member| {
        let view = member.view().map(|view| (view.version(), view.digest()));
        member.is_current()
            && member.epoch() == leader.epoch()
            && (!shows || view == Some((leader.view().version(), leader.view().digest())))
    };
    star.members.iter().all(|member| world.get(*member).is_some_and(agrees))
        && leader.view().members().len() == star.members.len() + 1
}

/// People talk for so long, and, with `comes_and_goes`, they also leave, come back, crash and change the key.
pub(crate) fn traffic(world: &mut World, star: &Star, span: Duration, comes_and_goes: bool) {
    let habits = match (comes_and_goes, star.config.policy.detection) {
        (false, _) => deeds::TALK,
        (true, Some(_)) => deeds::COME_AND_GO,
        (true, None) => deeds::COME_AND_GO_UNWATCHED,
    };
    deeds::live(world, star, span, habits);
}

/// Everybody says something, and everybody else hears it once.
pub(crate) fn all_hear_all(world: &mut World, star: &Star) -> Result<(), Stop> {
    // Sending has moved to the newest key everywhere.
    world.run_for(star.config.policy.grace + SECOND)?;
    for speaker in 0..=star.members.len() {
        let text = format!("at last, from {speaker}");
        star.say(world, speaker, text.as_bytes())?.unwrap_or_else(|error| panic!("{speaker}: {error}"));
        world.run_for(SECOND)?;
        for (listener, node) in everybody(star).into_iter().enumerate() {
            let heard = Star::heard(world, node, text.as_bytes());
            assert_eq!(
                heard,
                usize::from(listener != speaker),
                "seed {}: {} of {text:?}",
                world.seed(),
                world.name(node)
            );
        }
    }
    Ok(())
}

/// Fails with the seed and with what happened last.
pub(crate) fn explain(world: &World, stop: &Stop) -> ! {
    panic!("{stop}\nthe last of {LEADER}'s group:\n{}", world.trace().tail(400))
}
