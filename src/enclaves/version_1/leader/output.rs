//! What each member is told, made when it is polled, a frame a call.

use alloc::vec::Vec;
use core::ops::Bound;

use super::Leader;
use super::peer::Timer;
use crate::enclaves::published::{control, failed};
use crate::endpoint::{Entropy, Instant, Transmit};
use crate::error::Reason;
use crate::event::{Event, Suspicion};
use crate::group::Backoff;
use crate::identity::{MemberId, Name, NameRef};
use crate::wire::enclaves::version_1::MAX_CHANGES;

/// Bytes of names that one notice has at most, so that it fits in the shortest frame that a policy may have.
const NAMES: usize = 320;

/// One thing to say to a member.
enum Word {
    Key,
    Notice(Vec<(Name, bool)>),
    Direct(Name),
}

impl Leader {
    /// The next frame that somebody is owed.
    pub(super) fn produce(&mut self, rng: &mut dyn Entropy, now: Instant) -> Option<Transmit> {
        for _ in 0..self.work.len() {
            let after = self.work.range((Bound::Excluded(self.at), Bound::Unbounded)).next();
            let cid = *after.or_else(|| self.work.first())?;
            self.at = cid;
            let made = match self.peers.contains_key(&cid) {
                true => self.produce_for(rng, now, cid),
                false => self.close_for(rng, now, cid),
            };
            match made {
                Ok(Some(transmit)) => return Some(transmit),
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
        None
    }

    pub(super) fn hindered(&mut self, why: Reason) {
        if self.out.room(0, 1) {
            self.out.event(Event::Hindered(failed(why)));
        }
    }

    /// What a member is told next: the key before all else.
    fn next_word(peer: &super::Peer) -> Option<Word> {
        if peer.key.is_some_and(|owed| owed.now) {
            return Some(Word::Key);
        }
        let mut bytes = 0;
        let open = peer.roster.iter().filter(|(_, (_, owed))| owed.now);
        let some = open.take_while(|(name, _)| {
            let first = bytes == 0;
            bytes += name.as_str().len() + 2;
            first || bytes <= NAMES
        });
        let changes: Vec<(Name, bool)> =
            some.take(MAX_CHANGES).map(|(name, (here, _))| (name.clone(), *here)).collect();
        if !changes.is_empty() || peer.greet {
            return Some(Word::Notice(changes));
        }
        peer.directs.iter().find(|(_, offer)| offer.owed.now).map(|(name, _)| Word::Direct(name.clone()))
    }

    fn produce_for(&mut self, rng: &mut dyn Entropy, now: Instant, cid: MemberId) -> Result<Option<Transmit>, Reason> {
        let scheme = self.me.scheme();
        let Some(peer) = self.peers.get(&cid) else { return Ok(None) };
        let (Some(link), Some(word)) = (peer.link, Self::next_word(peer)) else { return Ok(None) };
        let line = peer.pair.line(self.me.name.by_ref(), peer.name.by_ref(), self.clock.millis(now));
        let frame = match &word {
            Word::Key => {
                let key = self.key.as_ref().ok_or(Reason::Suite)?;
                scheme.new_key(rng, line, (key.epoch, self.causes, &key.key))?
            }
            Word::Notice(changes) => {
                let changes: Vec<(NameRef<'_>, bool)> =
                    changes.iter().map(|(name, here)| (name.by_ref(), *here)).collect();
                scheme.notice(rng, line, &changes)?
            }
            Word::Direct(name) => {
                let offer = peer.directs.get(name).ok_or(Reason::Suite)?;
                scheme.direct_key(rng, line, name.by_ref(), (offer.dials, &offer.key, &offer.hint))?
            }
        };
        let said = line.stamp.sequence;
        let Some(peer) = self.peers.get_mut(&cid) else { return Ok(None) };
        peer.pair.said = said;
        let told = super::peer::Owed { said: Some(said), now: false };
        match word {
            Word::Key => peer.key = Some(told),
            Word::Notice(changes) => {
                peer.greet = false;
                for (name, _) in changes {
                    if let Some((_, owed)) = peer.roster.get_mut(&name) {
                        *owed = told;
                    }
                }
            }
            Word::Direct(name) => peer.directs.get_mut(&name).into_iter().for_each(|offer| offer.owed = told),
        }
        if !peer.is_settled() {
            self.await_acknowledgement(now, cid);
        }
        Ok(Some(control(link, frame)))
    }

    /// EN-1C.
    fn close_for(&mut self, rng: &mut dyn Entropy, now: Instant, cid: MemberId) -> Result<Option<Transmit>, Reason> {
        let Some(farewell) = self.farewells.get(&cid) else { return Ok(None) };
        let (Some(link), Some((why, left))) = (farewell.link, farewell.close) else { return Ok(None) };
        let line = farewell.pair.line(self.me.name.by_ref(), farewell.name.by_ref(), self.clock.millis(now));
        let frame = self.me.scheme().close(rng, line, why)?;
        let said = line.stamp.sequence;
        let (retry, jitter) = (self.me.limits.retry, &mut self.jitter);
        let Some(farewell) = self.farewells.get_mut(&cid) else { return Ok(None) };
        farewell.pair.said = said;
        farewell.close = Some((why, left - 1)).filter(|(_, left)| *left > 0);
        if farewell.close.is_some() {
            match &mut farewell.backoff {
                Some(backoff) => backoff.again(now, jitter),
                None => farewell.backoff = Some(Backoff::start(retry, now, jitter)),
            }
        }
        let due = farewell.close.and(farewell.backoff.as_ref()).map(Backoff::due);
        self.timers.set(Timer::Close(cid), due);
        self.work.remove(&cid);
        Ok(Some(control(link, frame)))
    }

    /// What a member has not acknowledged is said again, for as long as it is a member. If it was in vain often enough, the
    /// application is told, once: it may throw the member out.
    pub(super) fn repeat(&mut self, now: Instant, cid: MemberId) {
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        if peer.is_settled() {
            peer.backoff = None;
            return;
        }
        if peer.left == 1 {
            let why = if peer.key.is_some() { Suspicion::KeyNotTaken } else { Suspicion::RecordsPileUp };
            self.out.event(Event::Suspected { cid, why });
        }
        peer.left = peer.left.saturating_sub(1);
        peer.owed().for_each(|owed| owed.now = true);
        if let Some(backoff) = &mut peer.backoff {
            backoff.again(now, &mut self.jitter);
            self.timers.set(Timer::Owed(cid), Some(backoff.due()));
        }
        self.work.insert(cid);
    }
}
