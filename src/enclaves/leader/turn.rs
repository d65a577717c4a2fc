//! How members come and go, and how keys change. The decision to change the membership and the new epoch are one step (I-7).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::peer::Peer;
use super::{Leader, Timer};
use crate::endpoint::{Cx, Instant};
use crate::error::Reason;
use crate::event::{Cause, EndReason, Event};
use crate::group::ChangeRecord;
use crate::group::alike::leader_rekeys;
use crate::group::turn::{Entry, Removal, Turn, Wanted};
use crate::identity::MemberId;

impl Leader {
    leader_rekeys!();

    /// A confirmed member comes in; `live` is the member of its name that it replaces. Nothing changes if it fails.
    pub(super) fn admit_peer(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        cid: MemberId,
        peer: Peer,
        live: Option<MemberId>,
    ) -> Result<(), Reason> {
        let Entry { removal, rekeys, later, waits } = self.entry(now, live);
        let newcomer = (!waits).then_some((cid, &peer));
        let turn = self.compute(cx, newcomer, removal.as_slice(), rekeys)?;
        let ends = self.ends(removal.as_slice(), EndReason::TakenOver)?;
        // Nothing can fail from here on.
        for (cid, end) in ends {
            self.see_off(now, cid, end);
        }
        self.names.insert(peer.name.clone(), cid);
        self.peers.insert(cid, peer);
        self.commit(turn, now, (!waits).then_some(cid));
        if later {
            self.plan(now, Cause::Join);
        }
        if let Some(cid) = live {
            self.settle_questions(now, cid);
        }
        // Whatever it is told next shows that it is in.
        if let Some(peer) = self.peers.get_mut(&cid) {
            peer.ping = true;
            self.work.insert(cid);
        }
        Ok(())
    }

    /// Members go at once: one change of the view, and one epoch. Each is told why. Nothing changes if it fails.
    pub(super) fn dismiss(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        removals: &[Removal],
        reason: EndReason,
    ) -> Result<(), Reason> {
        let turn = self.compute(cx, None, removals, false)?;
        let ends = self.ends(removals, reason)?;
        // Nothing can fail from here on.
        for (cid, end) in ends {
            self.see_off(now, cid, end);
        }
        self.commit(turn, now, None);
        for removal in removals {
            self.settle_questions(now, removal.cid);
        }
        Ok(())
    }

    /// Computes a change: who comes (besides those who wait, if there is a new epoch), who goes, and the epoch.
    fn compute(
        &self,
        cx: &mut Cx<'_>,
        newcomer: Option<(MemberId, &Peer)>,
        removals: &[Removal],
        rekey: bool,
    ) -> Result<Turn, Reason> {
        let evicting = removals.iter().filter(|removal| self.changes_key(removal));
        let joins = newcomer.is_some() && self.station.policy.rekey_on.contains(Cause::Join);
        let causes = self.rekeys.causes(evicting.map(|removal| removal.cause), rekey, joins);
        let goes: BTreeSet<MemberId> = removals.iter().map(|removal| removal.cid).collect();
        let waits = |cid: &MemberId, peer: &Peer| !causes.is_empty() && peer.waits() && !goes.contains(cid);
        let waiting = self.peers.iter().filter(|(cid, peer)| waits(cid, peer)).map(|(cid, peer)| (*cid, peer));
        let add = |(cid, peer): (MemberId, &Peer)| ChangeRecord::Add {
            cid,
            name: peer.name.clone(),
            origin_key: peer.origin_key,
        };
        let newcomers: Vec<ChangeRecord> = waiting.chain(newcomer).map(add).collect();
        let next = self.next_policy.as_deref();
        Turn::compute(&self.station, &self.issue, cx.rng, Wanted { newcomers, removals, causes, next })
    }

    /// Takes a member out of the table.
    pub(super) fn take_out(&mut self, cid: MemberId) -> Option<Peer> {
        self.work.remove(&cid);
        for timer in [Timer::Repeat(cid), Timer::Ping(cid), Timer::Silence(cid), Timer::Put(cid)] {
            self.timers.set(timer, None);
        }
        self.condemned.remove(&cid);
        self.relays.forget(cid);
        let mut peer = self.peers.remove(&cid)?;
        self.objects.forget(&mut peer.seat);
        self.names.remove(&peer.name);
        Some(peer)
    }

    /// Makes a computed change. `newcomer` came with it, besides those who waited.
    fn commit(&mut self, turn: Turn, now: Instant, newcomer: Option<MemberId>) {
        let Turn { step, epoch } = turn;
        let detection = self.station.policy.detection;
        let changes = self.station.view.commit(step);
        for change in &changes {
            if let ChangeRecord::Remove { cid, .. } = change.change {
                self.station.ring.forget(cid);
            }
        }
        let rekeyed = epoch.is_some();
        if let Some((issue, keys)) = epoch {
            self.rule();
            let erased = self.station.install(keys, issue.floor(), now);
            self.out.event(Event::Installed { epoch: issue.epoch(), causes: issue.causes() });
            for epoch in erased.iter() {
                self.out.event(Event::Erased { epoch });
            }
            self.issue = issue;
            self.rekeys.done(now);
            self.renew_key_use(now);
            self.timers.set(Timer::Rekey, None);
            self.timers.set(Timer::Ring, self.station.ring.next_deadline().map(|(at, _)| at));
        }
        self.out.burst(changes.iter().map(crate::group::ViewChange::to_event));
        let current = self.issue.epoch();
        for (cid, peer) in &mut self.peers {
            if (rekeyed && peer.waits()) || newcomer == Some(*cid) {
                peer.first = current;
                // What was overwritten while it waited is not for it.
                peer.seat = self.objects.seat(peer.name.clone());
            }
            self.work.insert(*cid);
        }
        self.reconnect();
        if self.station.policy.detection != detection {
            let members: Vec<MemberId> = self.peers.keys().copied().collect();
            members.into_iter().for_each(|cid| self.watch(now, cid));
        }
    }
}
