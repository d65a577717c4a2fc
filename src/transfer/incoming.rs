//! One object on its way in: what is here, and when to ask for what is not.
//!
//! A receiver asks in *rounds*. At the end of each, after some patience and a random delay, it looks at what it lacks:
//!
//! * New chunks came in this round: all that it lacks below the highest chunk that it has was lost or is queued, so it
//!   asks for that. What is above will still come.
//! * None came: it asks for everything. If the sender said nothing at all, the round was *silent*: patience doubles, and
//!   after a number of silent rounds the object is stalled and nothing more is asked until the sender shows itself.
//!
//! What others asked for in the same round, it does not ask for. Asking twice is harmless: a sender's answer is a set.

use alloc::collections::VecDeque;
use core::time::Duration;

use bytes::Bytes;

use super::bitmap::Bitmap;
use super::object::Manifest;
use super::sender::{check_want, wanted_bits};
use super::{Config, Event, Turn, encode, spread};
use crate::endpoint::Instant;
use crate::error::Reason;
use crate::identity::MemberId;
use crate::wire::field::Blob;
use crate::wire::transfer::{self as wire, MAX_WANT_BITS, ObjectMessage, WANT_OVERHEAD};

/// Demands sent in one round at most.
const WANTS_PER_ROUND: u8 = 4;
/// Demands of others heeded in one round at most, so that a flood of them costs little.
const OVERHEARD_PER_ROUND: u32 = 256;

/// Reports are spread over at most so many times the report delay.
const MAX_PACE: u32 = 64;

/// What became of asking an [`Incoming`] for output.
pub(super) enum Round {
    /// This is to be sent.
    Say(Bytes),
    /// Something happened: ask again.
    Again,
    /// Nothing to say now.
    Quiet,
}

/// Demands of a round that are still to be sent.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
struct Asking {
    /// The first chunk not looked at.
    from: u32,
    /// The first chunk not to be asked for.
    until: u32,
    /// How many messages at most.
    left: u8,
}

fingerprint!(Asking { from, until, left });

#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) manifest: Manifest,
    /// Who sends it. Chunks from others are refused.
    pub(super) source: Option<MemberId>,
    pub(super) have: Bitmap,
    /// What others asked for in this round.
    asked: Bitmap,
    /// One more than the highest chunk that arrived.
    high: u32,
    /// The highest mark of the source.
    mark: u64,
    /// When to report which mark.
    report: Option<(Instant, u64)>,
    /// The mark that was reported last, here or by another, and how often others said it again.
    reported: u64,
    again: u32,
    /// Over how many times the report delay reports are spread: it grows while others say the same, so that the first
    /// of many comes as soon as the one of few.
    pace: u32,
    /// The end of the round.
    round_at: Option<Instant>,
    asking: Option<Asking>,
    /// A new chunk came in this round.
    fresh: bool,
    /// The source said something in this round.
    alive: bool,
    /// Silent rounds in a row.
    silent: u32,
    stalled: bool,
    /// How often it was whole and corrupt.
    corrupt: u32,
    /// Demands of others that are still heeded in this round.
    budget: u32,
}

fingerprint!(Incoming {
    manifest,
    source,
    have,
    asked,
    high,
    mark,
    report,
    reported,
    again,
    pace,
    round_at,
    asking,
    fresh,
    alive,
    silent,
    stalled,
    corrupt,
    budget
});

impl Incoming {
    pub(super) fn new(manifest: Manifest, have: Option<Bitmap>) -> Self {
        let chunks = manifest.chunks();
        let have = have.unwrap_or_else(|| Bitmap::new(chunks));
        Self {
            high: have.end(),
            have,
            asked: Bitmap::new(chunks),
            manifest,
            source: None,
            mark: 0,
            report: None,
            reported: 0,
            again: 0,
            pace: 1,
            round_at: None,
            asking: None,
            fresh: false,
            alive: false,
            silent: 0,
            stalled: true,
            corrupt: 0,
            budget: OVERHEARD_PER_ROUND,
        }
    }

    /// All chunks are here; the digest is to be checked.
    pub(super) fn is_whole(&self) -> bool {
        self.have.is_full()
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled && !self.is_whole()
    }

    /// Takes `from` as its source, whose marks stand at `mark`.
    pub(super) fn adopt(&mut self, turn: &mut Turn<'_>, from: MemberId, mark: u64) {
        self.source = Some(from);
        self.mark = mark;
        self.report = None;
        self.wake(turn);
    }

    /// The source is there (again): a round ends soon.
    fn wake(&mut self, turn: &mut Turn<'_>) {
        self.stalled = false;
        self.silent = 0;
        self.alive = true;
        self.fresh = false;
        if !self.is_whole() {
            let soon = turn.now + spread(turn.jitter, turn.config.repair_after / 4);
            self.round_at = Some(self.round_at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// The source is gone; another may take its place.
    pub(super) fn orphan(&mut self, events: &mut VecDeque<Event>) {
        self.source = None;
        self.stall(events);
    }

    fn stall(&mut self, events: &mut VecDeque<Event>) {
        self.report = None;
        self.round_at = None;
        self.asking = None;
        if !core::mem::replace(&mut self.stalled, true) && !self.is_whole() {
            events.push_back(Event::Stalled { object: self.manifest.object });
        }
    }

    /// If it is whole, tells the application to check it.
    pub(super) fn check_whole(&mut self, events: &mut VecDeque<Event>) {
        if self.is_whole() {
            self.report = None;
            self.round_at = None;
            self.asking = None;
            events.push_back(Event::Complete { object: self.manifest.object });
        }
    }

    /// Throws all away and begins anew; `false` if that was done often enough.
    pub(super) fn restart(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.corrupt >= turn.config.retries || self.manifest.chunks() == 0 {
            return false;
        }
        self.corrupt += 1;
        self.have.clear();
        self.high = 0;
        if self.source.is_some() {
            self.wake(turn);
        }
        true
    }

    pub(super) fn handle_announce(&mut self, turn: &mut Turn<'_>, from: MemberId, mark: u64) -> Result<(), Reason> {
        if self.source != Some(from) {
            // Another one has the same object. It is taken only where the source is gone or silent: else any member
            // could put itself in its place.
            if !self.stalled {
                return Err(Reason::Unknown);
            }
            self.resumed(from, turn.events);
            self.adopt(turn, from, mark);
        } else if self.stalled {
            self.resumed(from, turn.events);
            self.wake(turn);
        }
        self.alive = true;
        self.heard_mark(turn, mark, true);
        Ok(())
    }

    fn resumed(&self, from: MemberId, events: &mut VecDeque<Event>) {
        if !self.is_whole() {
            events.push_back(Event::Resumed { object: self.manifest.object, from });
        }
    }

    pub(super) fn handle_chunk(
        &mut self,
        turn: &mut Turn<'_>,
        from: MemberId,
        chunk: &wire::Chunk<'_>,
        payload: &Bytes,
    ) -> Result<(), Reason> {
        if self.source != Some(from) {
            return Err(Reason::Unknown);
        }
        if chunk.index >= self.have.len() || chunk.bytes.0.len() != self.manifest.chunk_len(chunk.index) {
            return Err(Reason::Violation);
        }
        if self.is_whole() {
            return Ok(());
        }
        if self.stalled {
            self.resumed(from, turn.events);
            self.wake(turn);
        }
        self.alive = true;
        self.silent = 0;
        self.high = self.high.max(chunk.index + 1);
        self.heard_mark(turn, chunk.mark, chunk.report);
        if self.have.insert(chunk.index) {
            self.fresh = true;
            let (object, offset) = (self.manifest.object, self.manifest.offset(chunk.index));
            turn.events.push_back(Event::Write { object, offset, bytes: payload.slice_ref(chunk.bytes.0) });
            self.check_whole(turn.events);
        }
        Ok(())
    }

    fn heard_mark(&mut self, turn: &mut Turn<'_>, mark: u64, report: bool) {
        self.mark = self.mark.max(mark);
        if report && !self.is_whole() {
            let at = match self.report {
                Some((at, _)) => at,
                None => {
                    self.pace = match self.again {
                        0 => (self.pace - self.pace / 4).max(1),
                        1 | 2 => self.pace,
                        _ => (2 * self.pace).min(MAX_PACE),
                    };
                    self.again = 0;
                    turn.now + spread(turn.jitter, turn.config.report_delay.saturating_mul(self.pace))
                }
            };
            self.report = Some((at, self.mark));
        }
    }

    /// Another receiver reported `mark`: what it says need not be said again. A mark that was not seen here may be a
    /// lie and silences nobody.
    pub(super) fn overhear_mark(&mut self, mark: u64) {
        if mark == self.reported {
            self.again = self.again.saturating_add(1);
        }
        if self.report.is_some_and(|(_, own)| (own..=self.mark).contains(&mark)) {
            self.report = None;
            self.reported = mark;
        }
    }

    /// Another receiver lacks chunks: what it asks for need not be asked for again in this round.
    pub(super) fn overhear_want(&mut self, want: &wire::Want<'_>) -> Result<(), Reason> {
        let after = check_want(want, self.have.len())?;
        if self.is_whole() || self.round_at.is_none() {
            return Ok(());
        }
        self.budget = self.budget.checked_sub(1).ok_or(Reason::Budget)?;
        self.overhear_mark(want.mark);
        for index in wanted_bits(want) {
            self.asked.insert(index);
        }
        if want.rest {
            self.asked.fill_from(after, [None; 2]);
        }
        Ok(())
    }

    /// The next thing to do or to say.
    pub(super) fn poll(&mut self, turn: &mut Turn<'_>) -> Round {
        if let Some(message) = self.next_want(turn.config) {
            return Round::Say(message);
        }
        if self.round_at.is_some_and(|at| at <= turn.now) {
            self.end_round(turn);
            return Round::Again;
        }
        match self.report {
            Some((at, mark)) if at <= turn.now => {
                self.report = None;
                self.reported = mark;
                let progress = wire::Progress { object: self.manifest.object, mark };
                Round::Say(encode(&ObjectMessage::Progress(progress)))
            }
            _ => Round::Quiet,
        }
    }

    fn end_round(&mut self, turn: &mut Turn<'_>) {
        if self.alive {
            self.silent = 0;
        } else {
            self.silent = self.silent.saturating_add(1);
            if self.silent > turn.config.silent_rounds {
                return self.stall(turn.events);
            }
        }
        let until = if self.fresh { self.high } else { self.have.len() };
        self.asking = Some(Asking { from: 0, until, left: WANTS_PER_ROUND });
        self.fresh = false;
        self.alive = false;
        let doubled = turn.config.repair_after.saturating_mul(1 << self.silent.min(10));
        let patience: Duration = doubled.min(turn.config.repair_longest.max(turn.config.repair_after));
        self.round_at = Some(turn.now + patience + spread(turn.jitter, patience));
    }

    /// The next demand of this round. After the last, a new round begins.
    fn next_want(&mut self, config: &Config) -> Option<Bytes> {
        let Asking { from, until, left } = self.asking.take()?;
        let base = self.have.next_in_neither(&self.asked, from).filter(|base| *base < until && left > 0);
        let Some(base) = base else {
            self.asked.clear();
            self.budget = OVERHEARD_PER_ROUND;
            return None;
        };
        let room = config.max_message.saturating_sub(WANT_OVERHEAD).min(MAX_WANT_BITS);
        // Where all is asked for and nothing at or above `high` is here, "the rest" says it in one bit.
        let rest_from = if until == self.have.len() { self.have.end().max(base) } else { until };
        let bytes = rest_from.saturating_sub(base).div_ceil(8).min(room as u32);
        let mut bits = alloc::vec![0u8; bytes as usize];
        let after = base + 8 * bytes;
        let mut next = Some(base);
        while let Some(index) = next.filter(|index| *index < after.min(until)) {
            if let Some(byte) = bits.get_mut(((index - base) / 8) as usize) {
                *byte |= 1 << ((index - base) % 8);
            }
            next = self.have.next_in_neither(&self.asked, index + 1);
        }
        let rest = until == self.have.len() && after >= rest_from && next.is_some();
        if !rest {
            self.asking = Some(Asking { from: after, until, left: left - 1 });
        } else {
            self.asked.clear();
            self.budget = OVERHEARD_PER_ROUND;
        }
        let object = self.manifest.object;
        Some(encode(&ObjectMessage::Want(wire::Want { object, mark: self.mark, base, rest, bits: Blob(&bits) })))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let asking = self.asking.as_ref().map(|_| Instant::ORIGIN);
        [asking, self.round_at, self.report.map(|(at, _)| at)].into_iter().flatten().min()
    }
}
