//! Hostile input changes nothing, and costs little.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use super::Checker;
use crate::antigone::{Leader, Member};
use crate::endpoint::{Cx, Endpoint, Instant, Wake};
use crate::error::Reason;
use crate::event::Event;
use crate::fingerprint::{Fingerprint, Sink};
use crate::sim::rng::{Mixer, SimRng};
use crate::sim::step::{Input, Machine, Observed};
use crate::ttp::ThirdParty;

/// S10, R1, R25: a frame that is refused changes nothing but counters, and nothing is sent for it.
///
/// It takes the digest of the state before and after. What the machine owed anyhow when the frame came is paid by a copy
/// first. A frame that is authentic and breaks the protocol ([`Reason::Violation`]) may end a session, and is not looked
/// at here. For nodes whose clocks show the world's time, and whose outputs are drained after each input. Of machines with
/// a large state every sixteenth frame is looked at.
#[derive(Clone)]
pub struct RefusalsChangeNothing {
    looks: Vec<Look>,
    before: Option<Quiet>,
    /// Frames that may pass unseen, because the last state was large.
    pass: u32,
    refused: BTreeMap<Reason, u64>,
}

/// A machine that owes nothing: the digest of its state, and how many frames it took to get there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Quiet {
    digest: u128,
    bytes: usize,
    frames: usize,
}

type Look = fn(&dyn Machine, Instant, bool) -> Option<Quiet>;

/// More frames than any machine of a test owes at once.
const ENOUGH: usize = 10_000;

/// A state of more bytes is large.
const LARGE: usize = 1 << 16;

/// The digest of a state, and its size.
#[derive(Default)]
struct Measure {
    mixer: Mixer,
    bytes: usize,
}

impl Sink for Measure {
    fn feed(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.mixer.feed(bytes);
    }
}

fn look<E: Endpoint + Clone + Fingerprint + Any>(machine: &dyn Machine, at: Instant, owes: bool) -> Option<Quiet> {
    let machine = machine.as_any().downcast_ref::<E>()?;
    let measured = |machine: &E, frames| {
        let mut measure = Measure::default();
        machine.fingerprint(at, &mut measure);
        Quiet { digest: measure.mixer.digest(), bytes: measure.bytes, frames }
    };
    let due = match machine.poll_timeout() {
        Wake::Now(_) => true,
        Wake::At(due, _) => due <= at,
        Wake::OnInput => false,
    };
    if !owes || !due {
        return Some(measured(machine, 0));
    }
    let (mut copy, mut rng) = (machine.clone(), SimRng::new(0));
    let mut frames = 0;
    while frames < ENOUGH && copy.poll_transmit(&mut Cx::new(at, &mut rng)).is_some() {
        frames += 1;
    }
    while copy.poll_event().is_some() {}
    Some(measured(&copy, frames))
}

impl fmt::Debug for RefusalsChangeNothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusalsChangeNothing").field("refused", &self.refused).finish_non_exhaustive()
    }
}

impl Default for RefusalsChangeNothing {
    fn default() -> Self {
        Self { looks: Vec::new(), before: None, pass: 0, refused: BTreeMap::new() }
            .watching::<Leader>()
            .watching::<Member>()
            .watching::<ThirdParty>()
    }
}

impl RefusalsChangeNothing {
    /// Watches machines of this type too.
    #[must_use]
    pub fn watching<E: Endpoint + Clone + Fingerprint + Any>(mut self) -> Self {
        self.looks.push(look::<E>);
        self
    }

    /// Refusals so far, by reason.
    pub fn refused(&self) -> &BTreeMap<Reason, u64> {
        &self.refused
    }

    fn look(&self, step: &Observed<'_>, owes: bool) -> Option<Quiet> {
        let machine = step.machine?;
        self.looks.iter().find_map(|look| look(machine, step.at, owes))
    }
}

impl Checker for RefusalsChangeNothing {
    fn name(&self) -> &'static str {
        "RefusalsChangeNothing"
    }

    fn foresee(&mut self, step: &Observed<'_>) {
        self.before = None;
        if self.pass > 0 {
            self.pass -= 1;
            return;
        }
        self.before = self.look(step, true);
        if self.before.is_some_and(|before| before.bytes > LARGE) {
            self.pass = 15;
        }
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        let Some(before) = self.before.take() else { return Ok(()) };
        let Input::Frame(frame) = step.input else { return Ok(()) };
        let [Event::Rejected { link, why, .. }] = step.events else { return Ok(()) };
        if *link != frame.to_link || *why == Reason::Violation {
            return Ok(());
        }
        *self.refused.entry(*why).or_default() += 1;
        let Some(now) = self.look(step, false) else { return Ok(()) };
        if step.sent.len() != before.frames {
            return Err(format!("a frame was refused ({why}), and something was sent for it"));
        }
        if now.digest != before.digest {
            return Err(format!("a frame was refused ({why}), and changed the state"));
        }
        Ok(())
    }
}

/// S10, R2: strangers cost a leader a bounded number of bytes.
#[derive(Clone, Debug, Default)]
pub struct StrangersAreBounded {
    most: usize,
}

/// What one pending join may cost: a name, RA-J1 twice (as it came, and in the question), RA-J2 with a policy.
const PENDING_BYTES: usize = 4096;

impl StrangersAreBounded {
    /// The most bytes that were held at once so far.
    pub fn most(&self) -> usize {
        self.most
    }
}

impl Checker for StrangersAreBounded {
    fn name(&self) -> &'static str {
        "StrangersAreBounded"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        let Some(leader) = step.machine::<Leader>() else { return Ok(()) };
        // The bytes are counted where they may have grown only.
        if !matches!(step.input, Input::Frame(_)) {
            return Ok(());
        }
        let limit = leader.limits().pending_joins;
        let (joins, bytes) = (leader.pending_joins(), leader.pending_bytes());
        self.most = self.most.max(bytes);
        if joins > limit || bytes > limit.saturating_mul(PENDING_BYTES) {
            return Err(format!("{joins} joins pend and hold {bytes} bytes; the limit is {limit}"));
        }
        Ok(())
    }
}
