//! How members come and go, and how keys change: computed whole, then committed whole.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::super::plane::Ready;
use super::{Leader, Peer, Timer};
use crate::antigone::keys::published::{GROUP_NONCE, GroupKey};
use crate::antigone::keys::{Facts, Issue};
use crate::antigone::leave::{Lingering, leader_end};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::endpoint::{Class, Cx, Entropy, Instant, To, Transmit};
use crate::error::{Failure, Reason};
use crate::event::{Cause, Causes, EndReason, Event};
use crate::group::turn::Removal;
use crate::group::{Backoff, ChangeRecord, KeyUse};
use crate::identity::{Epoch, MemberId, NameRef, Version};
use crate::policy::Part;
use crate::wire::antigone::Delta;
use crate::wire::field::{Digest, VerifyingKey};
use crate::wire::frame::HEADER_BYTES;

impl Leader {
    /// Draws the next key, not yet installed.
    pub(super) fn draw_key(&self, rng: &mut dyn Entropy, causes: Causes) -> Result<(Ready, Option<Issue>), Failure> {
        let (sides, station) = (&self.me.sides, &self.plane.station);
        if sides.is_published(Part::Keys) {
            let key = GroupKey::draw(&*sides.published, rng, &sides.app)?;
            return Ok((self.plane.ready_published(sides, rng, key)?, None));
        }
        let last = self.issue.as_ref().map_or(Epoch(0), Issue::epoch);
        let epoch = last.next().ok_or(Failure::Suite)?;
        let floor = match &self.issue {
            Some(issue) if !causes.evict() => issue.floor(),
            _ => epoch,
        };
        let facts = Facts {
            epoch,
            floor,
            causes,
            view: Version(0),
            view_digest: Digest::NONE,
            policy: station.policy_version,
            policy_digest: station.policy_digest,
            delta: Delta::Hidden,
        };
        let issue = Issue::draw(&*sides.modern, rng, station.group, facts)?;
        let ready = self.plane.ready_repaired(sides, epoch, floor, issue.base())?;
        Ok((ready, Some(issue)))
    }

    /// Whether AN-R with a block for `newcomer` too still fits a frame: it is one message, and is not cut (X12).
    pub(super) fn has_room_for(&self, newcomer: NameRef<'_>) -> bool {
        if self.peers.len() >= self.me.limits.members {
            return false;
        }
        let sides = &self.me.sides;
        if !sides.is_published(Part::Keys) {
            return true;
        }
        let sizes = sides.published.sizes();
        let group = 1 + sides.app.as_str().len() + 2 + GROUP_NONCE;
        let text = group + 2 + sizes.key;
        let block = |name: usize| 1 + name + 4 + text + sizes.sealing;
        let names = self.peers.values().map(|peer| block(peer.name.as_str().len()));
        let blocks = names.sum::<usize>() + block(newcomer.as_str().len());
        let frame = HEADER_BYTES + group + 8 + 4 + blocks + 2 + sizes.mac;
        frame <= self.policy.frame_limit as usize
    }

    /// A change of the group: who comes, who goes, and a new key if `rekey` or the policy says so. Nothing changes if it
    /// fails. Gives those who went.
    pub(super) fn turn(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        newcomer: Option<(MemberId, Peer)>,
        removals: &[Removal],
        rekey: bool,
    ) -> Result<Vec<(Removal, Peer)>, Reason> {
        if let Some((_, peer)) = &newcomer
            && !self.names.contains_key(&peer.name)
            && !self.has_room_for(peer.name.by_ref())
        {
            return Err(Reason::Budget);
        }
        let rekey_on = self.plane.station.policy.rekey_on;
        let gone = removals.iter().map(|removal| removal.cause).filter(|cause| rekey_on.contains(*cause));
        let mut causes = gone.fold(Causes::NONE, Causes::with);
        let joins = newcomer.is_some() && rekey_on.contains(Cause::Join);
        let rekey = rekey || joins || !causes.is_empty();
        if joins {
            causes = causes.with(Cause::Join);
        }
        causes = self.due.iter().fold(causes, Causes::with);
        let mut changes = Vec::new();
        for Removal { cid, cause, by } in removals {
            if self.plane.station.view.contains(*cid) {
                changes.push(ChangeRecord::Remove { cid: *cid, cause: *cause, by: *by });
            }
        }
        if let Some((cid, peer)) = &newcomer {
            changes.push(ChangeRecord::Add { cid: *cid, name: peer.name.clone(), origin_key: VerifyingKey::NONE });
        }
        let modern = &*self.me.sides.modern;
        let group = self.plane.station.group;
        let step = self.plane.station.view.prepare(modern, &group, changes).map_err(Reason::from)?;
        let drawn = if rekey {
            let (ready, issue) = self.draw_key(cx.rng, causes)?;
            let frame = self.rekey_frame(cx, &ready, newcomer.as_ref(), removals)?;
            Some((ready, issue, frame))
        } else {
            None
        };
        // Nothing can fail from here on.
        let mut went = Vec::new();
        for removal in removals {
            if let Some(peer) = self.take_out(removal.cid) {
                went.push((*removal, peer));
            }
        }
        let came = newcomer.as_ref().map(|(cid, _)| *cid);
        if let Some((cid, peer)) = newcomer {
            self.names.insert(peer.name.clone(), cid);
            self.peers.insert(cid, peer);
        }
        let changes = self.plane.station.view.commit(step);
        self.reconnect();
        let rekeyed = drawn.is_some();
        if let Some((ready, issue, frame)) = drawn {
            let epoch = ready.epoch();
            self.plane.install(ready, now, causes.evict());
            self.out.event(Event::Installed { epoch, causes });
            self.timers.set(Timer::Grace, self.plane.next_deadline());
            (self.issue, self.due) = (issue, Causes::NONE);
            self.sequence = self.sequence.saturating_add(1);
            self.key_use = KeyUse::new(now);
            self.timers.set(Timer::KeyAge, self.key_use.ages_at(&self.plane.station.policy));
            self.timers.set(Timer::Rekey, None);
            match frame {
                Some(frame) => {
                    let to = To::Many(self.control_links());
                    self.out.send(Transmit { to, frame, class: Class::Control });
                }
                // Repaired keys go to each member by itself.
                None if !self.me.sides.is_published(Part::Keys) => {
                    for (cid, peer) in &mut self.peers {
                        peer.key = true;
                        self.work.insert(*cid);
                    }
                }
                None => {}
            }
        }
        if let Some(cid) = came
            && let Some(peer) = self.peers.get_mut(&cid)
        {
            // AN-R has a block for the newcomer too.
            peer.key = !(rekeyed && self.me.sides.is_published(Part::Keys));
            self.work.insert(cid);
            self.arm(now, cid);
        }
        self.out.burst(changes.iter().map(crate::group::ViewChange::to_event));
        for (removal, _) in &went {
            self.settle_questions(now, removal.cid);
        }
        Ok(went)
    }

    /// AN-R for those who stay and come, if keys are as published and anybody is there.
    fn rekey_frame(
        &self,
        cx: &mut Cx<'_>,
        ready: &Ready,
        newcomer: Option<&(MemberId, Peer)>,
        removals: &[Removal],
    ) -> Result<Option<Bytes>, Reason> {
        let sides = &self.me.sides;
        if !sides.is_published(Part::Keys) {
            return Ok(None);
        }
        let goes = |cid: MemberId| removals.iter().any(|removal| removal.cid == cid);
        let stay = self.peers.iter().filter(|(cid, _)| !goes(**cid)).map(|(_, peer)| peer);
        let all = stay.chain(newcomer.map(|(_, peer)| peer));
        let blocks: Vec<(NameRef<'_>, &Key<role::Pair>)> =
            all.filter_map(|peer| Some((peer.name.by_ref(), peer.sigma.as_ref()?))).collect();
        if blocks.is_empty() {
            return Ok(None);
        }
        let sequence = self.sequence.saturating_add(1);
        let header = sides.published_header();
        ready.key().rekey(&*sides.published, header, cx.rng, sequence, blocks.into_iter()).map(Some)
    }

    /// A message came, or went, under the key in use.
    pub(super) fn use_key(&mut self, now: Instant, bytes: usize) {
        self.key_use.count(bytes);
        let reached = self.key_use.reached(&self.plane.station.policy);
        if !reached.is_empty() {
            self.due = reached.iter().fold(self.due, Causes::with);
            self.timers.set(Timer::Rekey, Some(now));
        }
    }

    /// Takes a member out of the tables.
    pub(super) fn take_out(&mut self, cid: MemberId) -> Option<Peer> {
        self.work.remove(&cid);
        self.timers.set(Timer::Record(cid), None);
        self.timers.set(Timer::Retry(cid), None);
        self.timers.set(Timer::Silence(cid), None);
        let peer = self.peers.remove(&cid)?;
        self.names.remove(&peer.name);
        Some(peer)
    }

    /// Members go, and are told where leaving is repaired.
    pub(super) fn dismiss(&mut self, cx: &mut Cx<'_>, now: Instant, removal: Removal) -> Result<(), Reason> {
        for (removal, peer) in self.turn(cx, now, None, &[removal], false)? {
            self.see_off(now, removal.cid, peer, Self::reason_of(removal.cause), removal.by);
        }
        Ok(())
    }

    /// Says the end to somebody who is gone. As published there is no such message.
    pub(super) fn see_off(&mut self, now: Instant, cid: MemberId, peer: Peer, reason: EndReason, by: MemberId) {
        let Peer { channel: Some(channel), link, .. } = peer else { return };
        if self.me.sides.is_published(Part::Leave) {
            return;
        }
        if self.lingering.len() >= self.me.limits.lingering
            && let Some((oldest, _)) = self.lingering.pop_first()
        {
            self.timers.set(Timer::Linger(oldest), None);
        }
        let until = now + self.me.limits.linger;
        // To a member's own end there is one answer; everything else is repeated.
        let backoff = (reason != EndReason::Left).then(|| Backoff::start(self.me.limits.retry, now, &mut self.jitter));
        let lingering = Lingering { channel, link, body: leader_end(reason, by), backoff, owed: true, until };
        self.timers.set(Timer::Linger(cid), Some(lingering.deadline()));
        self.lingering.insert(cid, lingering);
        self.work.insert(cid);
    }

    /// The names of the group, for AN-K, where the policy tells them.
    pub(super) fn roster(&self) -> Vec<NameRef<'_>> {
        if self.policy.views == crate::policy::Views::Hidden {
            return Vec::new();
        }
        self.peers.values().map(|peer| peer.name.by_ref()).collect()
    }

    /// RA-R with the block of this member alone.
    pub(super) fn block_for(&mut self, cid: MemberId) -> Result<Option<Bytes>, Failure> {
        let (header, group) = (self.me.sides.repaired_header(), self.plane.station.group);
        let Some(issue) = &self.issue else { return Ok(None) };
        let Some(channel) = self.peers.get(&cid).and_then(|peer| peer.channel.as_ref()) else { return Ok(None) };
        let block = issue.block(header, group, cid, channel.sealing_key())?;
        issue.frame(header, group, &[block], &mut self.out.pool).map(Some)
    }

    /// A buffer that is freed at once.
    pub(super) fn copy_of(frame: &BytesMut) -> Bytes {
        Bytes::copy_from_slice(frame)
    }
}
