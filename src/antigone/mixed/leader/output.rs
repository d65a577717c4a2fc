//! What each member is owed, made when it is polled, a frame a call.

use core::ops::Bound;

use bytes::Bytes;

use super::{Leader, Timer, control};
use crate::endpoint::{Cx, Instant, Transmit};
use crate::error::{Failure, Reason};
use crate::event::{Cause, Event};
use crate::group::channel::{Carry, Standing};
use crate::identity::{Epoch, MemberId};
use crate::policy::Part;

impl Leader {
    /// The next frame that somebody is owed.
    pub(super) fn produce(&mut self, cx: &mut Cx<'_>, now: Instant) -> Option<Transmit> {
        for _ in 0..self.work.len() {
            let after = self.work.range((Bound::Excluded(self.at), Bound::Unbounded)).next();
            let cid = *after.or_else(|| self.work.first())?;
            self.at = cid;
            match self.produce_for(cx, now, cid) {
                Ok(Some(transmit)) => {
                    self.out.stats.frames_out += 1;
                    return Some(transmit);
                }
                Ok(None) => {
                    self.work.remove(&cid);
                }
                Err(why) => {
                    self.work.remove(&cid);
                    self.timers.set(Timer::Retry(cid), Some(now + self.me.limits.retry.first));
                    if self.out.room(0, 1) {
                        let failure = if why == Reason::Entropy { Failure::Entropy } else { Failure::Suite };
                        self.out.event(Event::Hindered(failure));
                    }
                }
            }
        }
        None
    }

    /// What the leader says of itself: the number of its key.
    fn standing(&self) -> Standing {
        Standing { epoch: self.plane.epoch(), policy: self.plane.station.policy_version, ..Standing::default() }
    }

    fn produce_for(&mut self, cx: &mut Cx<'_>, now: Instant, cid: MemberId) -> Result<Option<Transmit>, Reason> {
        let standing = self.standing();
        if let Some(lingering) = self.lingering.get_mut(&cid) {
            let Some(link) = lingering.link.filter(|_| lingering.owed) else { return Ok(None) };
            let (carry, asks) = (Carry::End(&lingering.body), lingering.backoff.is_some());
            let standing = Standing { epoch: Epoch(0), ..standing };
            let frame = lingering.channel.seal(&mut self.out.pool, now, standing, asks, carry)?;
            lingering.owed = false;
            return Ok(Some(control(link, frame)));
        }
        let Some(peer) = self.peers.get(&cid) else { return Ok(None) };
        let Some(link) = peer.link else { return Ok(None) };
        if peer.key {
            let frame = self.key_for(cx, cid)?;
            if let Some(peer) = self.peers.get_mut(&cid) {
                peer.key = false;
            }
            if let Some(frame) = frame {
                return Ok(Some(control(link, frame)));
            }
        }
        let Some(peer) = self.peers.get_mut(&cid) else { return Ok(None) };
        let Some(channel) = peer.channel.as_mut().filter(|_| peer.answer || peer.ask) else { return Ok(None) };
        // A challenge and an answer are frames of different parts: one says R, the other does not.
        let asks = !peer.answer;
        let frame = channel.seal(&mut self.out.pool, now, standing, asks, Carry::Due)?;
        if asks {
            peer.ask = false;
        } else {
            peer.answer = false;
        }
        self.arm(now, cid);
        Ok(Some(control(link, frame)))
    }

    /// AN-K or RA-R for one member.
    fn key_for(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<Option<Bytes>, Reason> {
        if !self.me.sides.is_published(Part::Keys) {
            return Ok(self.block_for(cid)?);
        }
        let sides = &self.me.sides;
        let (Some(key), Some(peer)) = (self.plane.key(), self.peers.get(&cid)) else { return Ok(None) };
        let Some(sigma) = &peer.sigma else { return Ok(None) };
        // Where joins rekey, a newcomer's key comes with AN-R: AN-K would name another g than its offer did (D17).
        let rekeys = self.policy.rekey_on.contains(Cause::Join);
        if rekeys && !peer.keyed && key.group != peer.offered {
            let blocks = self.peers.values().filter_map(|peer| Some((peer.name.by_ref(), peer.sigma.as_ref()?)));
            return key.rekey(&*sides.published, sides.published_header(), cx.rng, self.sequence, blocks).map(Some);
        }
        // One counter for all that carries S_SL (D11).
        let sequence = if sides.mix.per_heartbeat { self.sequence.saturating_add(1) } else { self.sequence };
        let (to, roster) = ((peer.name.by_ref(), sigma), self.roster());
        let frame = key.delivery(&*sides.published, sides.published_header(), cx.rng, sequence, to, &roster)?;
        self.sequence = sequence;
        Ok(Some(frame))
    }
}
