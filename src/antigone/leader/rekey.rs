//! How members come and go, and how keys change (RA §4.4). The decision to change the membership and the new epoch are
//! one step (I-7): computed whole, then committed whole.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::peer::Peer;
use super::{Leader, Timer};
use crate::antigone::leave::{Lingering, leader_end};
use crate::endpoint::{Cx, Instant};
use crate::error::Reason;
use crate::event::{Cause, EndReason, Event};
use crate::group::alike::leader_rekeys;
use crate::group::turn::{Entry, Removal, Turn, Wanted, pages};
use crate::group::{Backoff, ChangeRecord, View};
use crate::identity::{MemberId, Version};
use crate::policy::Views;

/// Somebody is behind with the key or with the view: it is owed what it lacks.
pub(super) fn owe(peer: &mut Peer, view: &mut View, behind: bool, unviewed: bool) {
    peer.block |= behind;
    if unviewed && peer.may_fetch(view.version()) {
        peer.pages = pages(view, peer.shown.view);
    }
}

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
        // Nothing can fail from here on.
        let replaced = removal.and_then(|removal| self.take_out(removal.cid));
        self.names.insert(peer.name.clone(), cid);
        self.peers.insert(cid, peer);
        self.commit(turn, now, (!waits).then_some(cid));
        if later {
            self.plan(now, Cause::Join);
        }
        if let (Some(cid), Some(replaced)) = (live, replaced) {
            let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
            self.see_off(cid, replaced, EndReason::TakenOver, cid, Some(backoff), now);
            self.settle_questions(now, cid);
        }
        Ok(())
    }

    /// A member goes; its channel is given back for the farewell. Nothing changes if it fails.
    pub(super) fn remove(&mut self, cx: &mut Cx<'_>, now: Instant, removal: Removal) -> Result<Peer, Reason> {
        if !self.peers.contains_key(&removal.cid) {
            return Err(Reason::Unknown);
        }
        let turn = self.compute(cx, None, &[removal], false)?;
        let peer = self.take_out(removal.cid).ok_or(Reason::Unknown)?;
        self.commit(turn, now, None);
        self.settle_questions(now, removal.cid);
        Ok(peer)
    }

    /// Several members go at once: one change of the view, and one epoch. Nothing changes if it fails.
    pub(super) fn dismiss_all(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        removals: &[Removal],
        reason: EndReason,
    ) -> Result<(), Reason> {
        let turn = self.compute(cx, None, removals, false)?;
        let gone: Vec<_> = removals.iter().map(|removal| (removal, self.take_out(removal.cid))).collect();
        self.commit(turn, now, None);
        for (removal, peer) in gone {
            self.settle_questions(now, removal.cid);
            if let Some(peer) = peer {
                let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
                self.see_off(removal.cid, peer, reason, removal.by, Some(backoff), now);
            }
        }
        Ok(())
    }

    /// The leader ends a member's session.
    pub(super) fn dismiss(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        removal: Removal,
        reason: EndReason,
    ) -> Result<(), Reason> {
        let peer = self.remove(cx, now, removal)?;
        let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
        self.see_off(removal.cid, peer, reason, removal.by, Some(backoff), now);
        Ok(())
    }

    /// Keeps the channel of somebody who is gone for a while, to say so.
    pub(super) fn see_off(
        &mut self,
        cid: MemberId,
        peer: Peer,
        reason: EndReason,
        by: MemberId,
        backoff: Option<Backoff>,
        now: Instant,
    ) {
        let farewell = self.farewell(peer, reason, by, backoff, now);
        self.linger(cid, farewell);
    }

    /// The channel of somebody who is gone, with its end still to be said.
    pub(super) fn farewell(
        &self,
        peer: Peer,
        reason: EndReason,
        by: MemberId,
        backoff: Option<Backoff>,
        now: Instant,
    ) -> Lingering {
        let until = now + self.me.limits.linger;
        let Peer { channel, link, .. } = peer;
        Lingering { channel, link, body: leader_end(reason, by), backoff, owed: true, until }
    }

    /// Computes a change: who comes (besides those who wait, if there is a new epoch), who goes, and the epoch.
    fn compute(
        &self,
        cx: &mut Cx<'_>,
        newcomer: Option<(MemberId, &Peer)>,
        removals: &[Removal],
        rekey: bool,
    ) -> Result<Turn, Reason> {
        let station = &self.station;
        let evicting = removals.iter().filter(|removal| self.changes_key(removal));
        let joins = newcomer.is_some() && station.policy.rekey_on.contains(Cause::Join);
        let causes = self.rekeys.causes(evicting.map(|removal| removal.cause), rekey, joins);
        let rekey = !causes.is_empty();
        let goes: BTreeSet<MemberId> = removals.iter().map(|removal| removal.cid).collect();
        let waiting = self.peers.iter().filter(|(cid, peer)| rekey && peer.waits() && !goes.contains(cid));
        let comes = waiting.map(|(cid, peer)| (*cid, peer)).chain(newcomer);
        let newcomers = comes
            .map(|(cid, peer)| ChangeRecord::Add { cid, name: peer.name.clone(), origin_key: peer.origin_key })
            .collect();
        let next = self.next_policy.as_deref();
        Turn::compute(station, &self.issue, cx.rng, Wanted { newcomers, removals, causes, next })
    }

    /// Takes a member out of the table.
    pub(super) fn take_out(&mut self, cid: MemberId) -> Option<Peer> {
        self.work.remove(&cid);
        self.timers.set(Timer::Repeat(cid), None);
        self.timers.set(Timer::Silence(cid), None);
        self.condemned.remove(&cid);
        self.relays.forget(cid);
        let peer = self.peers.remove(&cid)?;
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
            self.rule(now);
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
        let (current, shows_views) = (self.issue.epoch(), self.station.policy.views != Views::Hidden);
        let cast = rekeyed.then(|| self.begin_cast(now)).flatten();
        for (cid, peer) in &mut self.peers {
            let comes = (rekeyed && peer.waits()) || newcomer == Some(*cid);
            if comes {
                peer.first = current;
                if shows_views {
                    peer.pages = pages(&mut self.station.view, Version(0));
                    peer.pages_again = now + self.me.limits.retry.first;
                }
            }
            if (rekeyed || comes) && !peer.waits() {
                peer.behind_since = peer.behind_since.or(Some(now));
                // Over shared links all together; a newcomer, who has shown no epoch yet, point to point (RA §3).
                let together = cast.filter(|_| !comes && peer.shown.epoch.0 > 0);
                peer.block = together.is_none();
                peer.repeat = Some(Backoff::start(self.me.limits.retry, together.unwrap_or(now), &mut self.jitter));
                if peer.block {
                    self.work.insert(*cid);
                }
            }
        }
        self.reconnect();
        if self.station.policy.detection != detection {
            self.share(now);
            let members: Vec<MemberId> = self.peers.keys().copied().collect();
            members.into_iter().for_each(|cid| self.arm(now, cid));
        }
    }
}
