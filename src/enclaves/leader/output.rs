//! What each member is told next, sealed when it is polled: nothing that grows with the group is ever queued. What is told is
//! what a member lacks at that moment, so what was overtaken is never sent.

use core::ops::Bound;

use super::peer::{Peer, Telling};
use super::{Leader, Timer, control};
use crate::enclaves::chain::LeaderChain;
use crate::endpoint::{Cx, Instant, Link, Transmit};
use crate::error::Failure;
use crate::event::Event;
use crate::group::Backoff;
use crate::group::channel::Standing;
use crate::group::private::{Relay, Whisper};
use crate::identity::{Epoch, MemberId, Version};
use crate::objects;
use crate::policy::Views;
use crate::wire::antigone::{Common, Delta, PolicyChange, RequestAnswer};
use crate::wire::enclaves::repaired::{AdminPayload, GossipGrant, GossipKey, Gossiped, KeyBytes, NewKey};
use crate::wire::field::{Blob, Field, List, Nested};

impl Leader {
    /// The next frame that somebody is owed. Goes round, so that nobody waits for ever.
    pub(super) fn produce(&mut self, cx: &mut Cx<'_>, now: Instant) -> Option<Transmit> {
        // Each turn either gives a frame or takes somebody out of the set.
        for _ in 0..self.work.len() {
            let after = self.work.range((Bound::Excluded(self.at), Bound::Unbounded)).next();
            let cid = *after.or_else(|| self.work.first())?;
            self.at = cid;
            self.work.remove(&cid);
            match self.produce_for(cx, now, cid) {
                Ok(Some(transmit)) => {
                    self.out.stats.frames_out += 1;
                    return Some(transmit);
                }
                Ok(None) => {}
                Err(failure) => {
                    // It is tried again an RTO later.
                    self.timers.set(Timer::Repeat(cid), Some(now + self.me.limits.retry.first));
                    if self.out.room(0, 1) {
                        self.out.event(Event::Hindered(failure));
                    }
                }
            }
        }
        None
    }

    fn produce_for(&mut self, cx: &mut Cx<'_>, now: Instant, cid: MemberId) -> Result<Option<Transmit>, Failure> {
        if self.lingering.contains_key(&cid) {
            return self.produce_end(cid);
        }
        let Some(peer) = self.peers.get_mut(&cid) else { return Ok(None) };
        let beside = peer.beside.take();
        if !peer.chain.free() {
            if let Some(beside) = beside {
                if peer.again {
                    self.work.insert(cid);
                }
                return Ok(peer.chain.outstanding().map(|frame| control(beside, frame)));
            }
            let Some(link) = peer.link.filter(|_| peer.again) else { return Ok(None) };
            peer.again = false;
            let frame = peer.chain.repeat(now, &mut self.jitter);
            self.timers.set(Timer::Repeat(cid), peer.chain.due());
            return Ok(frame.map(|frame| control(link, frame)));
        }
        let Some(link) = peer.link.or(beside) else { return Ok(None) };
        self.tell(cx, now, cid, link)
    }

    /// The leader's standing to this member: its epoch is 0 to one whose rekey waits.
    fn standing_for(&self, peer: &Peer) -> Standing {
        let epoch = if peer.waits() { Epoch(0) } else { self.issue.epoch() };
        let view = if self.station.policy.views == Views::Hidden { Version(0) } else { self.station.view.version() };
        Standing { epoch, view, ..self.station.standing() }
    }

    /// Chooses and says the next thing.
    fn tell(&mut self, cx: &mut Cx<'_>, now: Instant, cid: MemberId, link: Link) -> Result<Option<Transmit>, Failure> {
        let common = Common::decode(self.issue.common()).map_err(|_| Failure::Suite)?;
        let shows = self.station.policy.views != Views::Hidden;
        let (current, newest) = (self.issue.epoch(), self.newest_policy());
        let view = self.station.view.version();
        let Some(peer) = self.peers.get_mut(&cid) else { return Ok(None) };
        let standing_at = peer.shown.view;
        // With the key go the changes of the view that it came with, if they start where the member is.
        let brings = match common.delta {
            Delta::Changes(delta) if shows && delta.from == standing_at => Some(common.view),
            _ => None,
        };
        let behind = !peer.waits() && peer.shown.epoch < current;
        // A newcomer's key comes first of all; to others, the view that it belongs to.
        let ripe = !shows || brings.is_some() || standing_at >= common.view || peer.shown.epoch.0 == 0;
        let ripe = behind && ripe && peer.pages.is_none();
        let unviewed = shows && !peer.waits() && standing_at < view;
        if !ripe && unviewed && peer.pages.is_none() && (peer.shown.epoch.0 > 0 || !behind) {
            peer.pages = crate::group::turn::pages(&mut self.station.view, standing_at);
        }
        let standing = self.peers.get(&cid).map(|peer| self.standing_for(peer)).unwrap_or_default();
        let Some(peer) = self.peers.get_mut(&cid) else { return Ok(None) };
        let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
        let (suite, pool) = (&*self.me.suite, &mut self.out.pool);
        let say = |chain: &mut LeaderChain, payload: AdminPayload<'_>| {
            chain.tell(suite, cx.rng, pool, now, backoff, standing, payload)
        };
        // The policy in force goes before a key that names it; one to come after it, since a member keeps only one to come.
        let in_force = self.station.policy_version;
        let lags = peer.shown.policy < in_force;
        let owes = !peer.waits() && (lags || (!behind && peer.shown.policy < newest));
        let (frame, telling) = if owes {
            let next = self.next_policy.as_ref().filter(|_| !lags);
            let (version, policy) = next.map_or((in_force, &self.station.policy), |next| (next.version, &next.policy));
            let encoded = policy.encode();
            let change = PolicyChange { version, policy: Blob(&encoded) };
            (say(&mut peer.chain, AdminPayload::Policy(change))?, Telling::Policy(version))
        } else if ripe {
            let common = Nested::new(self.issue.common()).map_err(|_| Failure::Suite)?;
            let key = KeyBytes(self.issue.key().expose());
            (say(&mut peer.chain, AdminPayload::Key(NewKey { common, key }))?, Telling::Key(current, brings))
        } else if let Some(pages) = peer.pages.take() {
            let limit = self.station.policy.frame_limit as usize;
            let (frame, left) = pages.page_for(limit, |page| say(&mut peer.chain, AdminPayload::View(page)));
            let told = left.is_none().then(|| pages.to());
            // Should it fail, the same page is said again.
            peer.pages = if frame.is_ok() { left } else { Some(pages) };
            (frame?, Telling::View(told))
        } else if let Some((rseq, verdict)) = peer.answers.front().copied() {
            let frame = say(&mut peer.chain, AdminPayload::Ejection(RequestAnswer { rseq, verdict }))?;
            peer.answers.pop_front();
            (frame, Telling::Ejection)
        } else if let Some(whisper) = peer.whispers.front() {
            let of = match whisper {
                Whisper::Key(from, number) => (from, number),
                Whisper::Grant(number) | Whisper::Answer(number) => (cid, number),
            };
            let relay = self.relays.get(of.0, of.1);
            let told = match (whisper, relay) {
                // It is handed out once the text is here, which has a digest then.
                (Whisper::Key(from, number), Some(Relay { key, digest: Some(digest), .. })) => {
                    let key = KeyBytes(key.secret().expose());
                    let gossip = GossipKey { from, number, key, digest: *digest };
                    let frame = say(&mut peer.chain, AdminPayload::GossipKey(gossip))?;
                    (frame, Telling::GossipKey(from, number))
                }
                (Whisper::Grant(number), Some(relay)) => {
                    let key = KeyBytes(relay.key.secret().expose());
                    (say(&mut peer.chain, AdminPayload::GossipGrant(GossipGrant { number, key }))?, Telling::Whisper)
                }
                (Whisper::Answer(number), relay) => {
                    let missed = relay.map(Relay::missed).unwrap_or_default();
                    let answer = Gossiped { number, missed: List::of(&missed) };
                    (say(&mut peer.chain, AdminPayload::Gossiped(answer))?, Telling::Whisper)
                }
                // Its time is over: something is said all the same, and the next one follows.
                (Whisper::Key(..) | Whisper::Grant(_), _) => {
                    (say(&mut peer.chain, AdminPayload::Ping)?, Telling::Nothing)
                }
            };
            peer.whispers.pop();
            if let Whisper::Answer(number) = whisper {
                self.relays.answered(cid, number);
            }
            told
        } else if peer.shown.epoch.0 > 0 && self.objects.owes(&peer.seat) {
            // Not before it is in: who waits for its rekey hears of no object.
            let room = objects::room(&self.station.policy);
            let Peer { seat, chain, .. } = peer;
            let told = self.objects.tell(seat, room, |news| say(chain, AdminPayload::Object(news)))?;
            let Some(frame) = told else { return Ok(None) };
            (frame, Telling::Object)
        } else if peer.ping {
            (say(&mut peer.chain, AdminPayload::Ping)?, Telling::Nothing)
        } else {
            return Ok(None);
        };
        (peer.telling, peer.ping, peer.again) = (Some(telling), false, false);
        self.timers.set(Timer::Repeat(cid), peer.chain.due());
        self.timers.set(Timer::Ping(cid), None);
        self.watch(now, cid);
        Ok(Some(control(link, frame)))
    }

    /// A member has acknowledged what it was told.
    pub(super) fn told(&mut self, now: Instant, cid: MemberId) {
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        match peer.telling.take() {
            Some(Telling::Key(epoch, view)) => {
                peer.shown.epoch = epoch;
                peer.shown.view = view.unwrap_or(peer.shown.view).max(peer.shown.view);
            }
            Some(Telling::View(Some(version))) => peer.shown.view = version,
            Some(Telling::Policy(version)) => peer.shown.policy = version,
            Some(Telling::GossipKey(from, number)) => self.keyed(cid, from, number),
            Some(Telling::Object) => peer.seat.told(),
            Some(Telling::View(None) | Telling::Nothing | Telling::Ejection | Telling::Whisper) | None => {}
        }
        self.timers.set(Timer::Repeat(cid), None);
        self.work.insert(cid);
        self.watch(now, cid);
    }
}
