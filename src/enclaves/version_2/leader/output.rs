//! What each member is owed, made when it is polled, a frame a call.

use core::ops::Bound;

use super::peer::Timer;
use super::{Leader, control};
use crate::enclaves::published::{TRIES, failed};
use crate::endpoint::{Class, Instant, To, Transmit};
use crate::error::Reason;
use crate::event::Event;
use crate::group::Backoff;
use crate::identity::MemberId;

impl Leader {
    /// Whether gossip can be made now: it failed and is tried again later, otherwise.
    pub(super) fn has_gossip(&self) -> bool {
        !self.gossips.is_empty() && self.timers.get(Timer::Gossip).is_none()
    }

    /// The next frame that somebody is owed.
    pub(super) fn produce(&mut self, now: Instant) -> Option<Transmit> {
        for _ in 0..self.work.len() {
            let after = self.work.range((Bound::Excluded(self.at), Bound::Unbounded)).next();
            let cid = *after.or_else(|| self.work.first())?;
            self.at = cid;
            match self.produce_for(now, cid) {
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
                    self.hindered(why);
                }
            }
        }
        while self.has_gossip() {
            match self.gossip_frame() {
                Ok(Some(transmit)) => {
                    self.out.stats.frames_out += 1;
                    return Some(transmit);
                }
                Ok(None) => {}
                Err(why) => {
                    self.timers.set(Timer::Gossip, Some(now + self.me.limits.retry.first));
                    self.hindered(why);
                }
            }
        }
        None
    }

    pub(super) fn hindered(&mut self, why: Reason) {
        if self.out.room(0, 1) {
            self.out.event(Event::Hindered(failed(why)));
        }
    }

    /// EN-NK if it is owed; else the next EN-M+ of the roster, once the key is acknowledged.
    fn produce_for(&mut self, now: Instant, cid: MemberId) -> Result<Option<Transmit>, Reason> {
        let scheme = self.me.scheme();
        let leader = self.me.name.by_ref();
        let (Some(key), Some(peer)) = (&self.key, self.peers.get(&cid)) else { return Ok(None) };
        let Some(link) = peer.link else { return Ok(None) };
        if let Some(unacked) = &peer.unacked {
            if !unacked.owed {
                return Ok(None);
            }
            let frame = scheme.new_key(leader, &peer.session, key)?;
            let Some(unacked) = self.peers.get_mut(&cid).and_then(|peer| peer.unacked.as_mut()) else {
                return Ok(None);
            };
            unacked.owed = false;
            let (retry, jitter) = (self.me.limits.retry, &mut self.jitter);
            let backoff = unacked.backoff.get_or_insert_with(|| Backoff::start(retry, now, jitter));
            self.timers.set(Timer::Key(cid), Some(backoff.due()));
            return Ok(Some(control(link, frame)));
        }
        let Some(after) = peer.told else { return Ok(None) };
        let before = self.peers.range((Bound::Excluded(after), Bound::Excluded(cid.max(MemberId(after.0 + 1))))).next();
        let Some((other, known)) = before else {
            if let Some(peer) = self.peers.get_mut(&cid) {
                peer.told = None;
            }
            return Ok(None);
        };
        let other = *other;
        let frame = scheme.notice(leader, key, true, known.name.by_ref())?;
        if let Some(peer) = self.peers.get_mut(&cid) {
            peer.told = Some(other);
        }
        Ok(Some(control(link, frame)))
    }

    /// EN-G2 for the next recipient; `None` if that one is gone.
    fn gossip_frame(&mut self) -> Result<Option<Transmit>, Reason> {
        let Some(delivery) = self.gossips.front() else { return Ok(None) };
        let Some(cid) = delivery.to.front() else {
            // K' is wiped.
            self.gossips.pop_front();
            return Ok(None);
        };
        let recipient = self.peers.get(cid).and_then(|peer| Some((peer, peer.link?)));
        let frame = match recipient {
            Some((peer, link)) => {
                let to = (peer.name.by_ref(), &peer.session);
                let frame = self.me.scheme().gossip_for(delivery.sender.by_ref(), to, &delivery.key, &delivery.data)?;
                Some(Transmit { to: To::Link(link), frame, class: Class::Data })
            }
            None => None,
        };
        if let Some(delivery) = self.gossips.front_mut() {
            delivery.to.pop_front();
            if delivery.to.is_empty() {
                self.gossips.pop_front();
            }
        }
        Ok(frame)
    }

    /// EN-NK is due again, or given up: the member stays, and the application is told.
    pub(super) fn repeat_key(&mut self, now: Instant, cid: MemberId) {
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        let Some(unacked) = &mut peer.unacked else { return };
        if unacked.left == 0 {
            peer.unacked = None;
            self.work.insert(cid);
            self.out.event(Event::Suspected { cid, why: crate::event::Suspicion::KeyNotTaken });
            return;
        }
        unacked.left = unacked.left.min(TRIES) - 1;
        if let Some(backoff) = &mut unacked.backoff {
            backoff.again(now, &mut self.jitter);
        }
        unacked.owed = true;
        self.work.insert(cid);
    }
}
