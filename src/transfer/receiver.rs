//! The receiving half: what others offer, what of it is here, and asking for the rest.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use bytes::Bytes;

use super::incoming::{Incoming, Round};
use super::object::{Manifest, Progress};
use super::{Event, TransferError, Turn, encode, spread};
use crate::endpoint::Instant;
use crate::error::Reason;
use crate::identity::MemberId;
use crate::wire::field::Digest;
use crate::wire::transfer::{self as wire, Done, ObjectId, ObjectMessage, Outcome};

/// Objects remembered after their end, so that an announcement is answered and not offered to the application again.
const FINISHED: usize = 64;

/// An object that is finished here.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
struct Finished {
    manifest: Manifest,
    outcome: Outcome,
    /// When to say so.
    say_at: Option<Instant>,
    /// Not before this again.
    rest_until: Instant,
}

fingerprint!(Finished { manifest, outcome, say_at, rest_until });

#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub(super) struct Receiver {
    /// Offered to the application, which has not answered.
    proposals: BTreeMap<(ObjectId, MemberId), Manifest>,
    incoming: BTreeMap<ObjectId, Incoming>,
    finished: VecDeque<Finished>,
}

fingerprint!(Receiver { proposals, incoming, finished });

impl Receiver {
    pub(super) fn new() -> Self {
        Self { proposals: BTreeMap::new(), incoming: BTreeMap::new(), finished: VecDeque::new() }
    }

    pub(super) fn get(&self, object: ObjectId) -> Option<&Incoming> {
        self.incoming.get(&object)
    }

    // Commands.

    pub(super) fn accept(
        &mut self,
        turn: &mut Turn<'_>,
        object: ObjectId,
        from: MemberId,
    ) -> Result<(), TransferError> {
        let manifest = self.proposals.get(&(object, from)).ok_or(TransferError::Unknown)?;
        if self.incoming.contains_key(&object) {
            return Err(TransferError::Taken);
        }
        if self.incoming.len() >= turn.config.limits.incoming {
            return Err(TransferError::Full);
        }
        let mut incoming = Incoming::new(manifest.clone(), None);
        self.proposals.retain(|_, other| *other != incoming.manifest);
        incoming.adopt(turn, from, 0);
        incoming.check_whole(turn.events);
        self.incoming.insert(object, incoming);
        Ok(())
    }

    pub(super) fn resume(&mut self, turn: &mut Turn<'_>, progress: Progress) -> Result<(), TransferError> {
        let Progress { manifest, have } = progress;
        let object = manifest.object;
        if !manifest.fits(&turn.config.limits, turn.config.max_message) || manifest.chunks() != have.len() {
            return Err(TransferError::Manifest);
        }
        if self.incoming.contains_key(&object) {
            return Err(TransferError::Taken);
        }
        if self.incoming.len() >= turn.config.limits.incoming {
            return Err(TransferError::Full);
        }
        let mut incoming = Incoming::new(manifest, Some(have));
        let from = self.proposals.iter().find(|(_, other)| **other == incoming.manifest).map(|((_, from), _)| *from);
        self.proposals.retain(|_, other| *other != incoming.manifest);
        if let Some(from) = from {
            incoming.adopt(turn, from, 0);
        }
        incoming.check_whole(turn.events);
        self.incoming.insert(object, incoming);
        Ok(())
    }

    pub(super) fn decline(&mut self, now: Instant, object: ObjectId, from: MemberId) -> Result<(), TransferError> {
        let manifest = self.proposals.remove(&(object, from)).ok_or(TransferError::Unknown)?;
        self.finish(now, Duration::ZERO, manifest, Outcome::Declined);
        Ok(())
    }

    pub(super) fn abandon(&mut self, now: Instant, object: ObjectId) -> Result<(), TransferError> {
        let incoming = self.incoming.remove(&object).ok_or(TransferError::Unknown)?;
        self.finish(now, Duration::ZERO, incoming.manifest, Outcome::Declined);
        Ok(())
    }

    pub(super) fn verify(
        &mut self,
        turn: &mut Turn<'_>,
        object: ObjectId,
        digest: &Digest,
    ) -> Result<bool, TransferError> {
        let incoming = self.incoming.get_mut(&object).ok_or(TransferError::Unknown)?;
        if !incoming.is_whole() {
            return Err(TransferError::NotWhole);
        }
        let good = *digest == incoming.manifest.digest;
        if !good && incoming.restart(turn) {
            turn.events.push_back(Event::Corrupt { object, again: true });
            return Ok(false);
        }
        let Some(Incoming { manifest, .. }) = self.incoming.remove(&object) else { return Err(TransferError::Unknown) };
        let (event, outcome) = if good {
            (Event::Verified { manifest: manifest.clone() }, Outcome::Verified)
        } else {
            (Event::Corrupt { object, again: false }, Outcome::Corrupt)
        };
        turn.events.push_back(event);
        self.finish(turn.now, spread(turn.jitter, turn.config.report_delay), manifest, outcome);
        Ok(good)
    }

    fn finish(&mut self, now: Instant, delay: Duration, manifest: Manifest, outcome: Outcome) {
        self.finished.retain(|other| other.manifest != manifest);
        if self.finished.len() >= FINISHED {
            self.finished.pop_front();
        }
        self.finished.push_back(Finished { manifest, outcome, say_at: Some(now + delay), rest_until: now });
    }

    pub(super) fn member_left(&mut self, member: MemberId, events: &mut VecDeque<Event>) {
        self.drop_proposals(|_, from| from == member, events);
        for incoming in self.incoming.values_mut() {
            if incoming.source == Some(member) {
                incoming.orphan(events);
            }
        }
    }

    /// Own re-join: member numbers may mean others now.
    pub(super) fn rejoined(&mut self, events: &mut VecDeque<Event>) {
        self.drop_proposals(|_, _| true, events);
        self.incoming.values_mut().for_each(|incoming| incoming.orphan(events));
    }

    fn drop_proposals(&mut self, which: impl Fn(ObjectId, MemberId) -> bool, events: &mut VecDeque<Event>) {
        self.proposals.retain(|(object, from), _| {
            let drop = which(*object, *from);
            if drop {
                events.push_back(Event::Withdrawn { object: *object, from: *from });
            }
            !drop
        });
    }

    // Messages.

    pub(super) fn handle_announce(
        &mut self,
        turn: &mut Turn<'_>,
        from: MemberId,
        announce: &wire::Announce<'_>,
    ) -> Result<(), Reason> {
        let manifest = Manifest::from_ref(&announce.manifest);
        let object = manifest.object;
        if !manifest.fits(&turn.config.limits, turn.config.max_message) {
            return Err(Reason::Violation);
        }
        if let Some(incoming) = self.incoming.get_mut(&object) {
            if incoming.manifest != manifest {
                return Err(Reason::Violation);
            }
            return incoming.handle_announce(turn, from, announce.mark);
        }
        if let Some(finished) = self.finished.iter_mut().find(|finished| finished.manifest == manifest) {
            if finished.say_at.is_none() {
                // Its word was lost, or the sender has begun anew.
                let soon = turn.now + spread(turn.jitter, turn.config.repair_after);
                finished.say_at = Some(soon.max(finished.rest_until));
            }
            return Ok(());
        }
        if let Some(known) = self.proposals.get(&(object, from)) {
            return if *known == manifest { Ok(()) } else { Err(Reason::Violation) };
        }
        let limits = &turn.config.limits;
        if self.proposals.len() >= limits.proposals
            || self.proposals.keys().filter(|(_, by)| *by == from).count() >= limits.proposals_per_member
        {
            return Err(Reason::Budget);
        }
        turn.events.push_back(Event::Offered { from, manifest: manifest.clone() });
        self.proposals.insert((object, from), manifest);
        Ok(())
    }

    pub(super) fn handle_chunk(
        &mut self,
        turn: &mut Turn<'_>,
        from: MemberId,
        chunk: &wire::Chunk<'_>,
        payload: &Bytes,
    ) -> Result<(), Reason> {
        let incoming = self.incoming.get_mut(&chunk.object).ok_or(Reason::Unknown)?;
        incoming.handle_chunk(turn, from, chunk, payload)
    }

    pub(super) fn overhear_want(&mut self, want: &wire::Want<'_>) -> Result<(), Reason> {
        match self.incoming.get_mut(&want.object) {
            Some(incoming) => incoming.overhear_want(want),
            None => Ok(()),
        }
    }

    pub(super) fn overhear_progress(&mut self, object: ObjectId, mark: u64) {
        if let Some(incoming) = self.incoming.get_mut(&object) {
            incoming.overhear_mark(mark);
        }
    }

    pub(super) fn handle_withdraw(&mut self, from: MemberId, object: ObjectId, events: &mut VecDeque<Event>) {
        self.drop_proposals(|other, by| (other, by) == (object, from), events);
        if let Some(incoming) = self.incoming.get_mut(&object)
            && incoming.source == Some(from)
        {
            incoming.orphan(events);
        }
    }

    // Output.

    /// The next word of a receiver: what it lacks, how far it came, or that it is finished.
    pub(super) fn poll_control(&mut self, turn: &mut Turn<'_>) -> Option<Bytes> {
        for incoming in self.incoming.values_mut() {
            loop {
                match incoming.poll(turn) {
                    Round::Say(message) => return Some(message),
                    Round::Again => {}
                    Round::Quiet => break,
                }
            }
        }
        let finished = self.finished.iter_mut().find(|finished| finished.say_at.is_some_and(|at| at <= turn.now))?;
        finished.say_at = None;
        finished.rest_until = turn.now + turn.config.announce_first.saturating_mul(4);
        let Finished { manifest, outcome, .. } = finished;
        Some(encode(&ObjectMessage::Done(Done { manifest: manifest.by_ref(), outcome: *outcome })))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let incoming = self.incoming.values().filter_map(Incoming::deadline);
        incoming.chain(self.finished.iter().filter_map(|finished| finished.say_at)).min()
    }
}
