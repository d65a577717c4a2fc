//! Members that are taken for dead, and what follows by policy (RA §4.2 to §4.4, R30).
//!
//! Those whose time is over together go together: the first waits for an RTO, and all that are taken for dead by then make
//! one change of the view and one epoch. So the loss of a network with thousands of members behind it is few rekeys,
//! although their polls, and with them the ends of their time, are spread.

use alloc::vec::Vec;

use super::peer::Peer;
use super::rekey::Removal;
use super::{Leader, Timer};
use crate::endpoint::{Cx, Instant};
use crate::error::{Failure, Reason};
use crate::event::{Cause, EndReason, Event, Suspicion};
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

    /// The time of a member may be over.
    pub(super) fn suspect(&mut self, now: Instant, cid: MemberId) {
        let Some(peer) = self.peers.get(&cid).filter(|peer| !peer.suspected) else { return };
        let over = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if over(self.silent_at(peer)) {
            self.condemn(now, cid, Suspicion::Silence);
        } else if over(self.keyless_at(peer)) {
            self.condemn(now, cid, Suspicion::KeyNotTaken);
        }
        self.arm(now, cid);
    }

    /// Takes a member for dead. Where the policy says so, or where it cannot be served any more, it is removed, together
    /// with all whose time is over now.
    pub(super) fn condemn(&mut self, now: Instant, cid: MemberId, why: Suspicion) {
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        if self.condemned.contains_key(&cid) {
            return;
        }
        peer.suspected = true;
        // Reported once; judged again when as much time has passed.
        peer.behind_since = peer.behind_since.map(|_| now);
        self.out.event(Event::Suspected { cid, why });
        if self.station.policy.on_silence == OnSilence::Remove || why == Suspicion::RecordsPileUp {
            self.condemned.insert(cid, why == Suspicion::Silence);
            if self.timers.get(Timer::Condemned).is_none() {
                self.timers.set(Timer::Condemned, Some(now + self.me.limits.retry.first));
            }
        }
    }

    /// A member that was only silent has spoken in time.
    pub(super) fn spare(&mut self, cid: MemberId) {
        let speaks = self.peers.get(&cid).is_some_and(|peer| !peer.suspected);
        if speaks && self.condemned.get(&cid) == Some(&true) {
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
            Ok(()) => self.condemned.clear(),
            Err(why) => {
                let failure = if why == Reason::Entropy { Failure::Entropy } else { Failure::Suite };
                self.out.event(Event::Hindered(failure));
                self.timers.set(Timer::Condemned, Some(now + self.me.limits.retry.first));
            }
        }
    }
}
