//! Groups with parts as published: what the runs of several test files share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use sodality::antigone::mixed::{Leader, Member};
use sodality::crypto::Suite;
use sodality::crypto::published::{Modern, PublishedSuite};
use sodality::crypto::symbolic::symbolic;
use sodality::endpoint::{Cx, Endpoint, Instant};
use sodality::error::CommandError;
use sodality::event::{Event, Port};
use sodality::fingerprint::Fingerprint;
use sodality::policy::{Editions, Mix, Part, Policy};
use sodality::sim::mixed::{MixedConfig, MixedStar, leader_machine, member_machine, third_party_machine};
use sodality::sim::{LinkConfig, Moment, Node, NodeId, SimRng, Stop, World};
use sodality::wire::Edition;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const STEP: Duration = Duration::from_millis(500);

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

/// Everything repaired but this part.
pub(crate) fn alone(part: Part) -> Editions {
    Editions::REPAIRED.with(part, Edition::AsPublished)
}

/// Everything as published but this part.
pub(crate) fn but(part: Part) -> Editions {
    Editions::PUBLISHED.with(part, Edition::Repaired)
}

/// All as published, and all repaired but one.
pub(crate) fn main_mixes() -> Vec<Editions> {
    std::iter::once(Editions::PUBLISHED).chain(Part::ALL.into_iter().map(alone)).collect()
}

/// Those, and some in which editions alternate.
pub(crate) fn some_mixes() -> Vec<Editions> {
    let mut all = main_mixes();
    all.extend([0b0101_0101, 0b1010_1010, 0b0011_0110, 0b1000_0100, 0b0000_0110].map(Editions::from_bits));
    all
}

/// A group whose published parts have the modern suite too.
pub(crate) fn config_of(suite: &Arc<dyn Suite>, editions: Editions) -> MixedConfig {
    let published: Arc<dyn PublishedSuite> = Arc::new(Modern::new(suite.clone()));
    config_with(suite, published, editions)
}

pub(crate) fn config_with(
    suite: &Arc<dyn Suite>,
    published: Arc<dyn PublishedSuite>,
    editions: Editions,
) -> MixedConfig {
    let mix = Mix { editions, ..Mix::published(published.id()) };
    MixedConfig::new(suite.clone(), published, mix)
}

/// Terms instead of bits: fast.
pub(crate) fn terms(editions: Editions) -> MixedConfig {
    config_of(&symbolic().silent(), editions)
}

/// With the policy changed by `change`.
pub(crate) fn with_policy(mut config: MixedConfig, change: impl FnOnce(&mut Policy)) -> MixedConfig {
    change(&mut config.policy);
    config.policy.check().unwrap();
    config
}

/// Over these links, with frames as long as they carry.
pub(crate) fn over(config: MixedConfig, link: LinkConfig) -> MixedConfig {
    let frame_limit = u32::try_from(link.max_frame).unwrap();
    MixedConfig { link, ..with_policy(config, |policy| policy.frame_limit = frame_limit) }
}

/// A group in a world of its own, that has come together.
pub(crate) fn joined(seed: u64, config: MixedConfig, members: usize) -> (World, MixedStar) {
    let mut world = World::new(seed);
    world.trace_mut().keep(400);
    let star = MixedStar::add(&mut world, config, members).unwrap();
    if let Err(stop) = star.join_all(&mut world, SECOND * 20) {
        panic!("{stop}\n{}", world.trace().tail(80));
    }
    (world, star)
}

/// Lets everybody crash and restart.
pub(crate) fn mortal(world: &mut World, star: &MixedStar) -> Result<(), Stop> {
    let (config, seed) = (star.config.clone(), world.seed());
    let third = config.clone();
    world.set_factory(star.third_party, move |_| third_party_machine(&third))?;
    for member in &star.members {
        let (config, name) = (config.clone(), world.name(*member).to_owned());
        world.set_factory(*member, move |_| member_machine(&config, &name).unwrap())?;
    }
    world.set_factory(star.leader, move |life| {
        let mut rng = SimRng::new(seed).fork(0x1ead_0000 | u64::from(life));
        leader_machine(&config, &mut Cx::new(Instant::ORIGIN, &mut rng)).unwrap()
    })
}

/// Everybody asks to join, at once whenever it is out, and every second if that was not possible.
pub(crate) fn persist(world: &mut World, star: &MixedStar, span: Duration) -> Result<(), Stop> {
    for member in star.members.iter().copied() {
        world.set_app(member, |machine: &mut Member, cx, moment| {
            let again = matches!(
                moment,
                Moment::Started | Moment::Event(Event::JoinFailed(_) | Event::JoinRefused(_) | Event::Ended(_))
            );
            if again {
                let _ = machine.join(cx);
            }
        })?;
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

/// Whether everybody is in, with the leader's key.
pub(crate) fn settled(world: &World, star: &MixedStar) -> bool {
    let Some(leader) = world.get(star.leader) else { return false };
    let current = |member: &Node<Member>| {
        world.get(*member).is_some_and(|member| member.is_current() && member.epoch() == leader.epoch())
    };
    star.members.iter().all(current) && leader.member_count() == star.members.len()
}

/// How long after the last fault everybody has the leader's key at the latest: as in the repaired edition, T_lost, T_join,
/// T_min, the longest pause between repeats, `grace` and a second (docs/verification.md); and once more T_join, since a
/// member that keeps missing the key that its offer named begins anew (D17).
pub(crate) fn bound(config: &MixedConfig) -> Duration {
    let MixedConfig { policy, limits, .. } = config;
    let lost = policy.detection.map(|detection| detection.staleness(limits.retry.first) * 2).unwrap_or_default();
    let slowest = limits.retry.ceiling * 11 / 10;
    lost + limits.join_time * 2 + limits.pending_guard + slowest + policy.grace + SECOND
}

/// Each says something, and all the others hear it.
pub(crate) fn all_hear_all(world: &mut World, star: &MixedStar) -> Result<(), Stop> {
    for from in 0..=star.members.len() {
        let mut missing: Vec<NodeId> = star.members.iter().map(|member| (*member).into()).collect();
        missing.push(star.leader.into());
        missing.remove(from.min(missing.len() - 1));
        // Data are best effort.
        for attempt in 0..8 {
            let text = format!("{from} says {attempt} at {:?}", world.now());
            let said = star.say(world, from, text.as_bytes())?;
            world.run_for(SECOND)?;
            if said.is_ok() {
                missing.retain(|node| MixedStar::heard(world, *node, text.as_bytes()) == 0);
            }
            if missing.is_empty() {
                break;
            }
        }
        assert!(missing.is_empty(), "{from} is not heard by {missing:?}\n{}", world.trace().tail(60));
    }
    Ok(())
}

/// The state, with absolute times: nothing in it moves by itself.
pub(crate) fn digest<M: Fingerprint>(machine: &M) -> Vec<u8> {
    let mut out = Vec::new();
    machine.fingerprint(Instant::ORIGIN, &mut out);
    out
}

/// A command that fails with its surroundings leaves the machine as it was, and is repeated.
pub(crate) fn command<M: Endpoint + Fingerprint + 'static>(
    world: &mut World,
    node: Node<M>,
    mut act: impl FnMut(&mut M, &mut Cx<'_>) -> Result<(), CommandError>,
) -> Result<(), Stop> {
    for _ in 0..2 {
        let outcome = world.with(node, |machine, cx| {
            let before = digest(machine);
            let outcome = act(machine, cx);
            let after = digest(machine);
            // A number whose box failed may have been used: it is given up (R16). That is all that may move.
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            let same = before.len() == after.len() && moved <= 2;
            assert!(outcome.is_ok() || same, "{outcome:?} has changed {moved} bytes of the state");
            outcome
        })?;
        match outcome {
            Err(CommandError::Failure(_)) => {}
            Ok(()) => return Ok(()),
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("it failed twice");
}

/// The events of a node that `pick` picks.
pub(crate) fn told<T>(world: &World, node: impl Into<NodeId>, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
    world.events(node).iter().filter_map(pick).collect()
}

pub(crate) fn leader<'w>(world: &'w World, star: &MixedStar) -> &'w Leader {
    world.get(star.leader).unwrap()
}

pub(crate) fn member<'w>(world: &'w World, star: &MixedStar, index: usize) -> &'w Member {
    world.get(star.members[index]).unwrap()
}

pub(crate) fn say_ok(world: &mut World, star: &MixedStar, from: usize, text: &[u8]) {
    match star.members.get(from) {
        Some(node) => world.with(*node, |machine, cx| machine.send(cx, Port::Application, text)),
        None => world.with(star.leader, |machine, cx| machine.send(cx, Port::Application, text)),
    }
    .unwrap()
    .unwrap();
}
