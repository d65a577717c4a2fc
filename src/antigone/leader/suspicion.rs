//! Members that are taken for dead, and what follows by policy (RA §4.2 to §4.4, R30).
//!
//! Those whose time is over together go together: the first waits for an RTO, and all that are taken for dead by then make
//! one change of the view and one epoch. So the loss of a network with thousands of members behind it is few rekeys,
//! although their polls, and with them the ends of their time, are spread.

use alloc::vec::Vec;

use super::peer::Peer;
use super::{Leader, Timer};
use crate::endpoint::{Cx, Instant};
use crate::error::{Failure, Reason};
use crate::event::{Cause, EndReason, Event, Suspicion};
use crate::group::turn::Removal;
use crate::identity::MemberId;
use crate::policy::OnSilence;

impl Leader {
    /// When a member counts as silent for too long, if nothing more is heard of it.
    pub(super) fn silent_at(&self, peer: &Peer) -> Option<Instant> {
        let detection = self.station.policy.detection?;
        Some((peer.alive_as_of + detection.silence(self.me.limits.retry.first)).max(self.watched_from))
    }

    /// When a member that speaks counts as dead all the same, since it does not take the key (T_dead = 3 · T_max).
    pub(super) fn keyless_at(&self, peer: &Peer) -> Option<Instant> {
        let detection = self.station.policy.detection?;
        let dead = detection.staleness(self.me.limits.retry.first).saturating_mul(3);
        peer.behind_since.map(|since| (since + dead).max(self.watched_from))
    }

    /// When something is to be done about the silence of a member: it is asked for an answer when `misses` polls have
    /// brought nothing fresh, again after half of what is left of its time each, and then its time is over. Its polls
    /// echo what the leader said a period ago; asked, it echoes at once.
    pub(super) fn silence_due(&self, now: Instant, peer: &Peer) -> Option<Instant> {
        let (over, detection) = (self.silent_at(peer)?, self.station.policy.detection?);
        let first = peer.alive_as_of + detection.period.saturating_mul(u32::from(detection.misses));
        if now < first {
            return Some(first.min(over));
        }
        Some((now + (over.since(now) / 2).max(self.me.limits.retry.first)).min(over))
    }

    /// The time of a member may be over.
    pub(super) fn suspect(&mut self, now: Instant, cid: MemberId) {
        let Some(peer) = self.peers.get(&cid).filter(|peer| !peer.suspected) else { return };
        let over = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if over(self.silent_at(peer)) {
            self.condemn(now, cid, Suspicion::Silence);
        } else if over(self.keyless_at(peer)) {
            self.condemn(now, cid, Suspicion::KeyNotTaken);
        } else if let Some(peer) = self.peers.get_mut(&cid) {
            peer.ask = true;
            self.work.insert(cid);
        }
        self.arm(now, cid);
    }

    /// Takes a member for dead. Where the policy says so, or where it cannot be served any more, it is removed, together
    /// with all whose time is over now.
    pub(super) fn condemn(&mut self, now: Instant, cid: MemberId, why: Suspicion) {
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        peer.suspected = true;
        if let Some(before) = self.condemned.get_mut(&cid) {
            // What it can make good is no excuse for what it cannot.
            *before = (*before).max(why);
            return;
        }
        // As many as there are members may be found out in one turn: one who went, say, about whom all had asked.
        self.out.burst(core::iter::once(Event::Suspected { cid, why }));
        if self.station.policy.on_silence == OnSilence::Remove || why == Suspicion::RecordsPileUp {
            self.doom(now, cid, why);
        } else {
            // Reported once; judged again when as much time has passed.
            peer.behind_since = peer.behind_since.map(|_| now);
        }
    }

    fn doom(&mut self, now: Instant, cid: MemberId, why: Suspicion) {
        self.condemned.insert(cid, why);
        self.timers.set(Timer::Silence(cid), None);
        if self.timers.get(Timer::Condemned).is_none() {
            self.timers.set(Timer::Condemned, Some(now + self.me.limits.retry.first));
        }
    }

    /// From now on the policy removes whom it has only reported so far.
    pub(super) fn condemn_suspected(&mut self, now: Instant) {
        let suspected: Vec<MemberId> =
            self.peers.iter().filter(|(_, peer)| peer.suspected).map(|(cid, _)| *cid).collect();
        suspected.into_iter().for_each(|cid| self.doom(now, cid, Suspicion::Silence));
    }

    /// A member has made good in time what it is condemned for: it speaks, or shows the key.
    pub(super) fn spare(&mut self, cid: MemberId) {
        let Some(peer) = self.peers.get(&cid).filter(|peer| !peer.suspected) else { return };
        let spared = match self.condemned.get(&cid) {
            Some(Suspicion::Silence) => true,
            Some(Suspicion::KeyNotTaken) => peer.behind_since.is_none(),
            _ => false,
        };
        if spared {
            self.condemned.remove(&cid);
        }
    }

    /// Removes all that are condemned by now, in one step.
    pub(super) fn remove_condemned(&mut self, cx: &mut Cx<'_>, now: Instant) {
        let condemned = self.condemned.keys().filter(|cid| self.peers.contains_key(cid));
        let removals: Vec<Removal> =
            condemned.map(|cid| Removal { cid: *cid, cause: Cause::Failure, by: MemberId::LEADER }).collect();
        if removals.is_empty() {
            self.condemned.clear();
            return;
        }
        match self.dismiss_all(cx, now, &removals, EndReason::Failed) {
            // Who is gone is condemned no more; their going may have condemned others.
            Ok(()) => {
                if !self.condemned.is_empty() {
                    self.timers.set(Timer::Condemned, Some(now + self.me.limits.retry.first));
                }
            }
            Err(why) => {
                let failure = if why == Reason::Entropy { Failure::Entropy } else { Failure::Suite };
                self.out.event(Event::Hindered(failure));
                self.timers.set(Timer::Condemned, Some(now + self.me.limits.retry.first));
            }
        }
    }
}
