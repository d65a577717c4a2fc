//! What each member is owed, sealed when it is polled, a frame a call: output that grows with the group is never queued.

use core::ops::Bound;

use super::peer::Peer;
use super::{Leader, Timer, control};
use crate::endpoint::{Instant, Link, Transmit};
use crate::error::Failure;
use crate::event::Event;
use crate::group::channel::{Carry, Standing};
use crate::identity::{Epoch, MemberId};

impl Leader {
    /// What the leader says of itself to this member: its epoch is 0 to one whose rekey waits (RA §4.1).
    fn standing_for(&self, peer: &Peer) -> Standing {
        let epoch = if peer.waits() { Epoch(0) } else { self.issue.epoch() };
        Standing { epoch, ..self.station.standing() }
    }

    /// The next frame that somebody is owed. Goes round, so that nobody waits for ever.
    pub(super) fn produce(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(transmit) = self.cast(now) {
            return Some(transmit);
        }
        // Each turn either gives a frame or takes somebody out of the set.
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
                Err(failure) => {
                    // The debt stays; it is tried again an RTO later.
                    self.work.remove(&cid);
                    let timer = if self.peers.contains_key(&cid) { Timer::Repeat(cid) } else { Timer::Linger(cid) };
                    self.timers.set(timer, Some(now + self.me.limits.retry.first));
                    if self.out.room(0, 1) {
                        self.out.event(Event::Hindered(failure));
                    }
                }
            }
        }
        None
    }

    fn produce_for(&mut self, now: Instant, cid: MemberId) -> Result<Option<Transmit>, Failure> {
        if let Some(lingering) = self.lingering.get_mut(&cid) {
            let Some(link) = lingering.link.filter(|_| lingering.owed) else { return Ok(None) };
            let standing = Standing { epoch: Epoch(0), ..self.station.standing() };
            let carry = Carry::End(&lingering.body);
            let asks = lingering.backoff.is_some();
            let frame = lingering.channel.seal(&mut self.out.pool, now, standing, asks, carry)?;
            lingering.owed = false;
            return Ok(Some(control(link, frame)));
        }
        let Some(peer) = self.peers.get(&cid) else { return Ok(None) };
        let Some(link) = peer.link else { return Ok(None) };
        if peer.block {
            return self.produce_block(now, cid, link).map(Some);
        }
        if peer.is_owed(self.newest_policy()) { self.produce_frame(now, cid, link).map(Some) } else { Ok(None) }
    }

    /// RA-R with this member's block alone: point to point, each gets its own.
    fn produce_block(&mut self, now: Instant, cid: MemberId, link: Link) -> Result<Transmit, Failure> {
        let (header, group) = (self.station.header, self.station.group);
        let peer = self.peers.get_mut(&cid).ok_or(Failure::Suite)?;
        let block = self.issue.block(header, group, cid, peer.channel.sealing_key())?;
        let frame = self.issue.frame(header, group, &[block], &mut self.out.pool)?;
        peer.block = false;
        self.arm(now, cid);
        Ok(control(link, frame))
    }

    /// Chooses the next record of a member whose channel is free: the policy, which is short and which a key may wait for,
    /// then private words, pages and answers in turn. Should sealing fail afterwards, it is outstanding and goes with the next frame.
    fn next_record(&mut self, now: Instant, cid: MemberId) {
        let (retry, frame_limit) = (self.me.limits.retry, self.station.policy.frame_limit as usize);
        let Some(peer) = self.peers.get(&cid).filter(|peer| peer.channel.free()) else { return };
        let others = peer.pages.is_some() || peer.channel.ready();
        let whispers = peer.whisper_next || !others;
        let policy = self.policy_record(peer);
        let word = if policy.is_none() && whispers { self.word_record(cid) } else { None };
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        if let Some((version, record)) = policy {
            peer.told_policy = version;
            peer.channel.put_first(record, retry, now, &mut self.jitter);
        } else if let Some((record, of)) = word {
            (peer.telling, peer.whisper_next) = (of, false);
            peer.channel.put_first(record, retry, now, &mut self.jitter);
        } else if let Some(pages) = peer.pages.take_if(|_| peer.page_next || !peer.channel.ready()) {
            let (body, left) = pages.page(frame_limit);
            (peer.pages, peer.page_next, peer.whisper_next) = (left, false, true);
            peer.channel.put_first(body, retry, now, &mut self.jitter);
        } else if peer.channel.advance(retry, now, &mut self.jitter) {
            (peer.page_next, peer.whisper_next) = (true, true);
        } else {
            return;
        }
        peer.answer = true;
    }

    /// RA-CL: the outstanding record, or the next page, or an answer alone.
    fn produce_frame(&mut self, now: Instant, cid: MemberId, link: Link) -> Result<Transmit, Failure> {
        self.next_record(now, cid);
        let standing = self.peers.get(&cid).map(|peer| self.standing_for(peer)).unwrap_or_default();
        let peer = self.peers.get_mut(&cid).ok_or(Failure::Suite)?;
        let frame = peer.channel.seal(&mut self.out.pool, now, standing, peer.ask, Carry::Due)?;
        (peer.ask, peer.answer) = (false, false);
        self.arm(now, cid);
        Ok(control(link, frame))
    }
}
