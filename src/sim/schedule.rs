//! Random faults from a seed, as data: what a property test runs a world under.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use super::net::Faults;
use super::rng::SimRng;
use super::step::{Stop, Why};
use super::world::{NodeId, World};
use crate::endpoint::Link;

/// One fault, or the end of one. What does not apply (a crash of a node that is down) does nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// Datagram links get these faults besides their own.
    Faults(Faults),
    /// These nodes are cut off from all others.
    Partition(Vec<NodeId>),
    /// All partitions end.
    Heal,
    /// The node crashes.
    Crash(NodeId),
    /// The node restarts, if it has a factory.
    Restart(NodeId),
    /// The n-th open link of the node closes (counted round if it has fewer).
    Close(NodeId, u64),
    /// As [`Self::Close`], and is joined anew.
    Reopen(NodeId, u64),
    /// The node's clock moves by so many microseconds.
    Clock(NodeId, i64),
    /// The node's k-th draw of randomness from now fails.
    Entropy(NodeId, u64),
    /// Every node that has crashed restarts, and all faults end for good.
    Calm,
}

/// What may happen, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chaos {
    /// When it ends: with [`Op::Calm`].
    pub span: Duration,
    /// How many faults.
    pub ops: usize,
    /// Who may be cut off, closed, mistimed and starved of randomness.
    pub nodes: Vec<NodeId>,
    /// Who may crash. Nodes without a factory stay down.
    pub mortal: Vec<NodeId>,
    /// The worst of the datagram faults.
    pub faults: Faults,
    /// Whether links close. Of a datagram link the other side is not told, and nobody opens it again unless a machine
    /// asks for it.
    pub closes: bool,
    /// How far a clock jumps at most.
    pub clock: Duration,
    /// Whether randomness fails.
    pub entropy: bool,
}

impl Chaos {
    /// Everything but clocks that jump, for these nodes, who all may crash.
    pub fn new(span: Duration, nodes: Vec<NodeId>) -> Self {
        Self {
            span,
            ops: 12,
            mortal: nodes.clone(),
            nodes,
            faults: Faults::HARSH,
            closes: true,
            clock: Duration::ZERO,
            entropy: true,
        }
    }

    fn draw(&self, rng: &mut SimRng) -> Option<Op> {
        let node = rng.pick(&self.nodes).copied()?;
        let share = |rng: &mut SimRng, most: u16| rng.below(u64::from(most) + 1) as u16;
        Some(match rng.below(9) {
            0 | 1 => Op::Faults(Faults {
                loss: share(rng, self.faults.loss),
                duplicate: share(rng, self.faults.duplicate),
                reorder: share(rng, self.faults.reorder),
                corrupt: share(rng, self.faults.corrupt),
                reorder_by: self.faults.reorder_by,
            }),
            2 => {
                let cut: BTreeSet<NodeId> = self.nodes.iter().copied().filter(|_| rng.chance(400)).collect();
                Op::Partition(cut.into_iter().chain([node]).collect::<BTreeSet<_>>().into_iter().collect())
            }
            3 => Op::Heal,
            4 => Op::Crash(rng.pick(&self.mortal).copied()?),
            5 => Op::Restart(rng.pick(&self.mortal).copied()?),
            6 if self.closes => {
                if rng.chance(500) {
                    Op::Close(node, rng.draw())
                } else {
                    Op::Reopen(node, rng.draw())
                }
            }
            7 if !self.clock.is_zero() => {
                let jump = i64::try_from(rng.span(self.clock).as_micros()).ok()?;
                Op::Clock(node, if rng.chance(500) { jump } else { -jump })
            }
            8 if self.entropy => Op::Entropy(node, 1 + rng.below(4)),
            _ => return None,
        })
    }
}

/// Faults and their times, counted from when the schedule is applied.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Schedule {
    /// The faults, in order of time.
    pub ops: Vec<(Duration, Op)>,
}

impl Schedule {
    /// A schedule from a seed. It ends with [`Op::Calm`] at [`Chaos::span`].
    pub fn random(seed: u64, chaos: &Chaos) -> Self {
        let mut rng = SimRng::new(seed).fork(3 << 40);
        let mut ops: Vec<_> =
            (0..chaos.ops).filter_map(|_| Some((rng.span(chaos.span), chaos.draw(&mut rng)?))).collect();
        ops.sort_by_key(|(at, _)| *at);
        ops.push((chaos.span, Op::Calm));
        Self { ops }
    }

    /// Puts all of it on the agenda of `world`.
    pub fn apply(&self, world: &mut World) {
        for (at, op) in self.ops.iter().cloned() {
            world.after(at, move |world| world.perform_op(&op));
        }
    }

    /// The fewest of these faults with which `fails` still holds, by leaving out one after another until none can be
    /// spared. `Calm` stays.
    #[must_use]
    pub fn minimise(&self, mut fails: impl FnMut(&Self) -> bool) -> Self {
        let mut least = self.clone();
        loop {
            let before = least.ops.len();
            for at in (0..before).rev() {
                let mut fewer = least.clone();
                if fewer.ops.get(at).is_some_and(|(_, op)| *op != Op::Calm) {
                    fewer.ops.remove(at);
                    if fails(&fewer) {
                        least = fewer;
                    }
                }
            }
            if least.ops.len() == before {
                return least;
            }
        }
    }
}

impl World {
    /// Does one thing of a schedule now.
    ///
    /// # Errors
    /// As [`Self::with`], but only what is final: an op that does not apply does nothing.
    pub fn perform_op(&mut self, op: &Op) -> Result<(), Stop> {
        let result = match op {
            Op::Faults(faults) => {
                self.set_faults(*faults);
                Ok(())
            }
            Op::Partition(nodes) => self.partition(nodes.iter().copied()),
            Op::Heal => {
                self.heal();
                Ok(())
            }
            Op::Crash(node) => self.crash(*node),
            Op::Restart(node) => self.restart(*node),
            Op::Close(node, n) => self.nth_link(*node, *n).map_or(Ok(()), |link| self.close(link)),
            Op::Reopen(node, n) => self.nth_link(*node, *n).map_or(Ok(()), |link| self.reopen(link).map(|_| ())),
            Op::Clock(node, by) => self.shift_clock(*node, *by),
            Op::Entropy(node, k) => self.entropy(*node).map(|source| source.arm(*k)),
            Op::Calm => {
                self.calm();
                self.nodes().try_for_each(|node| ignore(if self.is_up(node) { Ok(()) } else { self.restart(node) }))
            }
        };
        ignore(result)
    }

    fn nth_link(&self, node: NodeId, n: u64) -> Option<Link> {
        let links = self.links_of(node);
        let at = n.checked_rem(links.len() as u64)?;
        usize::try_from(at).ok().and_then(|at| links.get(at)).copied()
    }
}

/// Runs a scenario once without a failure and then once for each of its calls that can fail (R18): `run` is given the
/// number of the call that shall fail, counted from 1, and answers how many calls were made. Whether the calls are draws
/// of randomness ([`super::FailingEntropy::arm`]), calls of a suite, or anything else is up to `run`. Gives how many
/// calls were made to fail.
///
/// # Errors
/// The first error of `run`, with the number of the call.
pub fn every_failure<E>(mut run: impl FnMut(Option<u64>) -> Result<u64, E>) -> Result<u64, (Option<u64>, E)> {
    let calls = run(None).map_err(|error| (None, error))?;
    (1..=calls).try_for_each(|k| run(Some(k)).map(drop).map_err(|error| (Some(k), error)))?;
    Ok(calls)
}

/// Only what ends the run is an error.
fn ignore(result: Result<(), Stop>) -> Result<(), Stop> {
    match result {
        Err(stop) if Why::is_final(&stop.why) => Err(stop),
        _ => Ok(()),
    }
}
