//! How sessions end: each member is told, authentically, until it has answered or time is over; and the end of the group, which is that for all.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::peer::Peer;
use super::{Leader, Timer, control};
use crate::enclaves::chain::{Asked, LeaderChain};
use crate::endpoint::{Cx, Instant, Link, Transmit};
use crate::error::{CommandError, Failure, Reason};
use crate::event::{EndReason, Ending, Event};
use crate::group::Backoff;
use crate::group::turn::Removal;
use crate::identity::MemberId;
use crate::wire::enclaves::repaired::EndText;

/// A session that has ended here, and of which the member has not said that it knows.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Lingering {
    chain: LeaderChain,
    pub(super) link: Option<Link>,
    /// EN-R7.
    frame: Bytes,
    /// It is repeated by itself until the member answers; not where the member asked for it.
    backoff: Option<Backoff>,
    owed: bool,
    until: Instant,
}

fingerprint!(Lingering { chain, link, frame, backoff, owed, until });

/// How far the close of a group has come.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Closing {
    /// Members that have not answered.
    untold: BTreeSet<MemberId>,
    /// The application has been told.
    ended: bool,
}

fingerprint!(Closing { untold, ended });

/// EN-R7 for one member, and whether it is repeated until it is answered.
pub(super) struct End {
    frame: Bytes,
    repeats: bool,
}

impl Leader {
    /// EN-R7 for each that goes: made before anything changes.
    pub(super) fn ends(&mut self, removals: &[Removal], reason: EndReason) -> Result<Vec<(MemberId, End)>, Failure> {
        let mut ends = Vec::with_capacity(removals.len());
        for Removal { cid, by, .. } in removals {
            let Some(peer) = self.peers.get(cid) else { continue };
            let frame = peer.chain.end(&mut self.out.pool, EndText { reason, by: *by })?;
            ends.push((*cid, End { frame, repeats: reason != EndReason::Left }));
        }
        Ok(ends)
    }

    /// The session of a member ends; what says so is kept for a while.
    pub(super) fn see_off(&mut self, now: Instant, cid: MemberId, end: End) {
        if let Some(peer) = self.take_out(cid) {
            self.keep_end(now, cid, peer, end);
        }
    }

    /// Keeps the end of a session, and says it.
    fn keep_end(&mut self, now: Instant, cid: MemberId, peer: Peer, End { frame, repeats }: End) {
        let until = now + self.me.limits.linger;
        let backoff = repeats.then(|| Backoff::start(self.me.limits.retry, now, &mut self.jitter));
        let due = backoff.as_ref().map_or(until, Backoff::due).min(until);
        let lingering = Lingering { chain: peer.chain, link: peer.link, frame, backoff, owed: true, until };
        if self.lingering.len() >= self.me.limits.lingering
            && let Some(oldest) = self.lingering.keys().next().copied()
        {
            self.forget_lingering(oldest);
        }
        self.lingering.insert(cid, lingering);
        self.timers.set(Timer::Linger(cid), Some(due));
        self.work.insert(cid);
    }

    /// Somebody who has confirmed its join has no place after all: it is told, and was never a member.
    pub(super) fn turn_away(&mut self, now: Instant, cid: MemberId, peer: Peer) -> Result<(), Failure> {
        let text = EndText { reason: EndReason::Busy, by: MemberId::LEADER };
        let frame = peer.chain.end(&mut self.out.pool, text)?;
        self.keep_end(now, cid, peer, End { frame, repeats: true });
        Ok(())
    }

    pub(super) fn produce_end(&mut self, cid: MemberId) -> Result<Option<Transmit>, Failure> {
        let Some(lingering) = self.lingering.get_mut(&cid).filter(|lingering| lingering.owed) else { return Ok(None) };
        let Some(link) = lingering.link else { return Ok(None) };
        lingering.owed = false;
        Ok(Some(control(link, lingering.frame.clone())))
    }

    /// EN-R6 of somebody who is out already: it knows, or asks again.
    pub(super) fn on_lingering(&mut self, cid: MemberId, link: Link, mut frame: BytesMut) -> Result<(), Reason> {
        let lingering = self.lingering.get_mut(&cid).ok_or(Reason::Unknown)?;
        lingering.chain.hear_close(&mut frame)?;
        if lingering.backoff.is_some() {
            // It was told, and this is its answer.
            self.forget_lingering(cid);
            self.heard_end(cid);
        } else {
            (lingering.link, lingering.owed) = (Some(link), true);
            self.work.insert(cid);
        }
        Ok(())
    }

    /// EN-R8 of somebody who is out, and asks since it has not heard that: it is told where it is now.
    pub(super) fn on_late_request(&mut self, cid: MemberId, link: Link, mut frame: BytesMut) -> Result<(), Reason> {
        let lingering = self.lingering.get_mut(&cid).ok_or(Reason::Unknown)?;
        match lingering.chain.hear_request(&mut frame)? {
            Asked::New(number, _) => lingering.chain.commit_request(number),
            // It was taken, and what said so may be lost with its link.
            Asked::Repeat if lingering.link.is_none() => {}
            // A replay takes no link away.
            Asked::Repeat => return Err(Reason::Ended),
        }
        (lingering.link, lingering.owed) = (Some(link), true);
        self.work.insert(cid);
        Ok(())
    }

    /// A deadline of a lingering session.
    pub(super) fn linger(&mut self, now: Instant, cid: MemberId) {
        let Some(lingering) = self.lingering.get_mut(&cid) else { return };
        match &mut lingering.backoff {
            Some(backoff) if now < lingering.until => {
                backoff.again(now, &mut self.jitter);
                lingering.owed = true;
                let due = backoff.due().min(lingering.until);
                self.timers.set(Timer::Linger(cid), Some(due));
                self.work.insert(cid);
            }
            _ => {
                self.forget_lingering(cid);
                self.heard_end(cid);
            }
        }
    }

    fn forget_lingering(&mut self, cid: MemberId) {
        self.lingering.remove(&cid);
        self.timers.set(Timer::Linger(cid), None);
        self.work.remove(&cid);
    }

    /// Closes the group. Its keys are wiped now; members are told until they have answered, or for
    /// [`Limits::linger`](crate::group::Limits::linger), and [`Event::Ended`] with [`Ending::Closed`] comes then. From
    /// now on requests are met with silence, and commands are [`Misuse::Closed`](crate::error::Misuse::Closed).
    ///
    /// # Errors
    /// [`Misuse::Closed`](crate::error::Misuse::Closed) if it is closed already, [`CommandError::Full`], [`Failure::Suite`].
    pub fn close(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let all: Vec<Removal> = self
            .peers
            .keys()
            .map(|cid| Removal { cid: *cid, cause: crate::event::Cause::Eject, by: MemberId::LEADER })
            .collect();
        let ends = self.ends(&all, EndReason::Closing)?;
        for id in self.pendings.ids() {
            self.drop_pending(id);
        }
        for timer in [Timer::Rekey, Timer::Ring, Timer::KeyAge, Timer::Condemned, Timer::Ejection, Timer::Gossip] {
            self.timers.set(timer, None);
        }
        self.verdicts.clear();
        self.condemned.clear();
        self.questions.clear();
        self.relays.clear();
        self.next_policy = None;
        self.station.erase(&self.me.limits);
        self.issue.erase();
        let untold: BTreeSet<MemberId> = ends.iter().map(|(cid, _)| *cid).collect();
        for (cid, end) in ends {
            self.see_off(now, cid, end);
        }
        self.reconnect();
        self.timers.set(Timer::Closing, Some(now + self.me.limits.linger));
        self.closing = Some(Closing { untold, ended: false });
        self.end_if_all_are_told();
        Ok(())
    }

    /// Whether the group is closed, or about to be.
    pub fn is_closed(&self) -> bool {
        self.closing.is_some()
    }

    /// Somebody knows of its end, or is not waited for any more.
    fn heard_end(&mut self, cid: MemberId) {
        if let Some(closing) = &mut self.closing {
            closing.untold.remove(&cid);
            self.end_if_all_are_told();
        }
    }

    fn end_if_all_are_told(&mut self) {
        if self.closing.as_ref().is_some_and(|closing| closing.untold.is_empty()) {
            self.end_closing();
        }
    }

    /// The group has ended here: all have been told, or the time for it is over.
    pub(super) fn end_closing(&mut self) {
        self.timers.set(Timer::Closing, None);
        if let Some(closing) = self.closing.as_mut().filter(|closing| !closing.ended) {
            closing.ended = true;
            self.out.event(Event::Ended(Ending::Closed));
        }
    }
}
