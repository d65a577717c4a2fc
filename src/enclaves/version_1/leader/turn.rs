//! How members come and go and how K_g changes: computed whole, then committed whole. All of it happens here, at the leader:
//! that is what puts it in one order.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::super::keys::GroupKey;
use super::Leader;
use super::peer::{Farewell, Owed, Peer, Timer};
use crate::crypto::Key;
use crate::enclaves::published::TRIES;
use crate::endpoint::{Entropy, Instant, Link};
use crate::error::{Failure, Reason};
use crate::event::{Cause, Causes, EndReason, Event};
use crate::group::KeyUse;
use crate::identity::{Epoch, MemberId, Version};

/// How often EN-1C is said again over a link that loses frames.
const CLOSES: u8 = 2;

/// A change of the group, ready.
#[derive(Debug)]
pub(super) struct Turn {
    removal: Option<(MemberId, Cause)>,
    key: Option<GroupKey>,
    causes: Causes,
}

impl Leader {
    /// Computes a change: who goes, and a new key if anybody does or `causes` has others.
    pub(super) fn prepare(
        &self,
        rng: &mut dyn Entropy,
        removal: Option<(MemberId, Cause)>,
        causes: Causes,
    ) -> Result<Turn, Reason> {
        let causes = removal.iter().fold(causes, |causes, (_, cause)| causes.with(*cause));
        let key = match &self.key {
            Some(key) if !causes.is_empty() => {
                let fresh = self.me.suite.fresh_key(rng).map_err(Failure::from)?;
                Some(GroupKey::new(Key::new(fresh), Epoch(key.epoch.0.saturating_add(1))))
            }
            _ => None,
        };
        Ok(Turn { removal, key, causes: self.due.iter().fold(causes, Causes::with) })
    }

    /// Carries a change out. Gives who went.
    pub(super) fn commit(&mut self, now: Instant, turn: Turn, newcomer: Option<(MemberId, Peer)>) -> Option<Peer> {
        let Turn { removal, key, causes } = turn;
        let mut gone = None;
        if let Some((cid, cause)) = removal {
            gone = self.take_out(cid);
            if let Some(peer) = &gone {
                self.changes += 1;
                let (name, view) = (peer.name.clone(), Version(self.changes));
                let by = if cause == Cause::Eject { MemberId::LEADER } else { cid };
                // Who comes back under its name at once is not told of as gone.
                let replaced = newcomer.as_ref().is_some_and(|(_, new)| new.name == peer.name);
                if !replaced {
                    let word = (false, Owed::NEW);
                    for other in self.peers.values_mut() {
                        other.roster.insert(name.clone(), word);
                    }
                    self.work.extend(self.peers.keys());
                }
                self.out.event(Event::MemberRemoved { cid, name, cause, by, view });
            }
        }
        if let Some((cid, mut peer)) = newcomer {
            self.changes += 1;
            self.out.event(Event::MemberAdded { cid, name: peer.name.clone(), view: Version(self.changes) });
            for other in self.peers.values_mut() {
                other.roster.insert(peer.name.clone(), (true, Owed::NEW));
                peer.roster.insert(other.name.clone(), (true, Owed::NEW));
            }
            self.work.extend(self.peers.keys());
            self.names.insert(peer.name.clone(), cid);
            self.peers.insert(cid, peer);
            self.work.insert(cid);
        }
        if let Some(key) = key {
            self.install(now, key, causes);
        }
        gone
    }

    /// The first key, or a new one, which every member is told (EN-1N).
    pub(super) fn install(&mut self, now: Instant, key: GroupKey, causes: Causes) {
        let epoch = key.epoch;
        let grace = self.me.policy.grace;
        let before = self.key.replace(key);
        self.causes = causes;
        self.previous = before.filter(|_| !grace.is_zero() && !causes.evict()).map(|before| (before, now + grace));
        self.timers.set(Timer::Grace, self.previous.as_ref().map(|(_, until)| *until));
        self.due = Causes::NONE;
        self.key_use = KeyUse::new(now);
        self.timers.set(Timer::KeyAge, self.key_use.ages_at(&self.me.policy));
        self.timers.set(Timer::Rekey, None);
        self.peers.values_mut().for_each(|peer| peer.key = Some(Owed::NEW));
        self.work.extend(self.peers.keys());
        self.out.event(Event::Installed { epoch, causes });
    }

    /// A message came, or went, under the key in use.
    pub(super) fn use_key(&mut self, now: Instant, bytes: usize) {
        self.key_use.count(bytes);
        let reached = self.key_use.reached(&self.me.policy);
        if !reached.is_empty() {
            self.due = reached.iter().fold(self.due, Causes::with);
            self.timers.set(Timer::Rekey, Some(now));
        }
    }

    /// Takes a member out of the tables.
    fn take_out(&mut self, cid: MemberId) -> Option<Peer> {
        self.work.remove(&cid);
        self.timers.set(Timer::Owed(cid), None);
        self.timers.set(Timer::Retry(cid), None);
        let peer = self.peers.remove(&cid)?;
        self.names.remove(&peer.name);
        self.adrift.remove(&cid);
        if let Some(link) = peer.link.filter(|link| self.seats.get(link) == Some(&cid)) {
            self.seats.remove(&link);
        }
        self.reconnect();
        Some(peer)
    }

    /// Keeps K_a of one who is gone for a while. With a reason, EN-1C is said.
    pub(super) fn part(&mut self, now: Instant, cid: MemberId, peer: Peer, why: Option<EndReason>) {
        let lossy = peer.link.and_then(|link| self.links.get(&link)).is_some_and(|info| !info.reliable);
        if self.farewells.len() >= self.me.limits.lingering && !self.closed {
            // The oldest number is that of who came first.
            if let Some((oldest, _)) = self.farewells.pop_first() {
                self.forget_timers(oldest);
            }
        }
        let close = why.map(|why| (why, if lossy { CLOSES + 1 } else { 1 }));
        let Peer { name, link, pair, .. } = peer;
        self.farewells.insert(cid, Farewell { name, link, pair, close, backoff: None });
        self.timers.set(Timer::Linger(cid), Some(now + self.me.limits.linger));
        if close.is_some() {
            self.work.insert(cid);
        }
    }

    /// The key of one who is gone is forgotten.
    pub(super) fn forget(&mut self, cid: MemberId) {
        self.farewells.remove(&cid);
        self.forget_timers(cid);
    }

    fn forget_timers(&mut self, cid: MemberId) {
        self.work.remove(&cid);
        for timer in [Timer::Close(cid), Timer::Linger(cid), Timer::Retry(cid)] {
            self.timers.set(timer, None);
        }
    }

    /// `link` is that of this member now, and of no other.
    pub(super) fn seat(&mut self, cid: MemberId, link: Link) {
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        if let Some(before) = peer.link.replace(link).filter(|before| *before != link) {
            self.seats.remove(&before);
        }
        self.adrift.remove(&cid);
        if let Some(other) = self.seats.insert(link, cid).filter(|other| *other != cid)
            && let Some(peer) = self.peers.get_mut(&other)
        {
            peer.link = None;
            self.adrift.insert(other);
        }
        self.work.insert(cid);
        self.reconnect();
    }

    /// All that a member has not acknowledged is said at once: it has shown that it lives.
    pub(super) fn say_again(&mut self, cid: MemberId) {
        if let Some(peer) = self.peers.get_mut(&cid) {
            peer.owed().for_each(|owed| owed.now = true);
            (peer.backoff, peer.left) = (None, TRIES);
        }
        self.timers.set(Timer::Owed(cid), None);
        self.work.insert(cid);
    }

    /// Builds the set of everybody's links anew.
    pub(super) fn reconnect(&mut self) {
        let links: BTreeSet<Link> = self.peers.values().filter_map(|peer| peer.link).collect();
        self.everybody = links.into_iter().collect::<Vec<_>>().into();
    }
}
