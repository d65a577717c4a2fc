//! Members that do not answer (D33): after a bound they are taken for dead. Those whose time is over together go together.

use alloc::vec::Vec;

use super::{Leader, Timer};
use crate::endpoint::{Cx, Instant};
use crate::error::{Failure, Reason};
use crate::event::{Cause, EndReason, Event, Suspicion};
use crate::group::turn::Removal;
use crate::identity::MemberId;
use crate::policy::OnSilence;

impl Leader {
    /// When something is to be done about a member: it is told something when it has heard nothing for half a period, so that
    /// its evidence is never older than one; and it is taken for dead when it does not acknowledge for too long.
    pub(super) fn watch(&mut self, now: Instant, cid: MemberId) {
        let Some(peer) = self.peers.get(&cid) else { return };
        let detection = self.station.policy.detection;
        let ping = detection.filter(|_| peer.chain.free()).map(|detection| now + detection.period / 2);
        let patience =
            detection.map_or(self.me.limits.silence, |detection| detection.silence(self.me.limits.retry.first));
        // Whom nothing can be told for want of a link owes its sign of life since then.
        let since = peer.chain.since().or(peer.unlinked);
        let over = since.filter(|_| !peer.suspected).map(|since| since + patience);
        self.timers.set(Timer::Ping(cid), ping);
        self.timers.set(Timer::Silence(cid), over);
    }

    /// The time of a member is over.
    pub(super) fn suspect(&mut self, now: Instant, cid: MemberId) {
        let Some(peer) = self.peers.get_mut(&cid).filter(|peer| !peer.chain.free() || peer.unlinked.is_some()) else {
            return;
        };
        let never_took = !peer.waits() && peer.shown.epoch.0 == 0;
        let why = if never_took { Suspicion::KeyNotTaken } else { Suspicion::Silence };
        self.condemn(now, cid, why);
    }

    /// Takes a member for dead. Where the policy says so, or where it cannot be served any more, it is removed, together with
    /// all whose time is over by then.
    pub(super) fn condemn(&mut self, now: Instant, cid: MemberId, why: Suspicion) {
        let Some(peer) = self.peers.get_mut(&cid).filter(|peer| !peer.suspected) else { return };
        peer.suspected = true;
        // As many as there are members may be found out in one turn.
        self.out.burst(core::iter::once(Event::Suspected { cid, why }));
        let watches = self.station.policy.detection.is_some();
        if watches && self.station.policy.on_silence == OnSilence::Report && why == Suspicion::Silence {
            return;
        }
        self.condemned.insert(cid, why);
        if self.timers.get(Timer::Condemned).is_none() {
            self.timers.set(Timer::Condemned, Some(now + self.me.limits.retry.first));
        }
    }

    /// A member has made good in time what it is condemned for.
    pub(super) fn spare(&mut self, cid: MemberId) {
        if let Some(peer) = self.peers.get_mut(&cid).filter(|peer| peer.suspected) {
            peer.suspected = false;
            self.condemned.remove(&cid);
        }
    }

    /// Removes all that are condemned by now, in one step.
    pub(super) fn remove_condemned(&mut self, cx: &mut Cx<'_>, now: Instant) {
        let condemned = core::mem::take(&mut self.condemned);
        let gone = condemned.keys().filter(|cid| self.peers.contains_key(cid));
        let removals: Vec<Removal> =
            gone.map(|cid| Removal { cid: *cid, cause: Cause::Failure, by: MemberId::LEADER }).collect();
        if removals.is_empty() {
            return;
        }
        if let Err(why) = self.dismiss(cx, now, &removals, EndReason::Failed) {
            let failure = if why == Reason::Entropy { Failure::Entropy } else { Failure::Suite };
            self.condemned = condemned;
            self.out.event(Event::Hindered(failure));
            self.timers.set(Timer::Condemned, Some(now + self.me.limits.retry.first));
        }
    }
}
