//! How members come and go and how K_g changes: computed whole, then committed whole (report §3.2.2, §3.2.3).

use alloc::vec::Vec;

use bytes::Bytes;

use super::super::keys::GroupKey;
use super::peer::{Farewell, Peer, Timer, Unacked};
use super::{Leader, control};
use crate::enclaves::published::TRIES;
use crate::endpoint::{Class, Entropy, Instant, Link, To, Transmit};
use crate::error::{Failure, Reason};
use crate::event::{Cause, Causes, Event};
use crate::group::{Backoff, KeyUse};
use crate::identity::{MemberId, Name, Version};

/// How often EN-C2 is said again over a link that loses frames.
const FAREWELLS: u8 = 2;

/// A change of the group, ready.
#[derive(Debug)]
pub(super) struct Turn {
    removal: Option<(MemberId, Cause)>,
    /// EN-M- for those who stay.
    removed: Option<Bytes>,
    /// EN-M+ for those who are there.
    added: Option<Bytes>,
    key: Option<GroupKey>,
    causes: Causes,
}

impl Turn {
    /// The new key, if there is one.
    pub(super) fn key(&self) -> Option<&GroupKey> {
        self.key.as_ref()
    }
}

impl Leader {
    /// Computes a change: who comes, who goes, and a new key if `rekey` or the policy says so.
    pub(super) fn prepare(
        &self,
        rng: &mut dyn Entropy,
        newcomer: Option<&Name>,
        removal: Option<(MemberId, Cause)>,
        rekey: bool,
    ) -> Result<Turn, Reason> {
        let scheme = self.me.scheme();
        let leader = self.me.name.by_ref();
        let rekey_on = self.me.policy.rekey_on;
        let removed = removal.and_then(|(cid, _)| self.peers.get(&cid)).map(|peer| &peer.name);
        let notice = |added: bool, name: Option<&Name>| match (name, &self.key) {
            (Some(name), Some(key)) => scheme.notice(leader, key, added, name.by_ref()).map(Some),
            _ => Ok(None),
        };
        // Both under the key that all have now; a new one follows them.
        let (removed, added) = (notice(false, removed)?, notice(true, newcomer)?);
        let mut causes = self.due;
        let of_policy = [newcomer.map(|_| Cause::Join), removal.map(|(_, cause)| cause)];
        let mut rekey = rekey;
        for cause in of_policy.into_iter().flatten().filter(|cause| rekey_on.contains(*cause)) {
            causes = causes.with(cause);
            rekey = true;
        }
        let drawn = match (&self.key, rekey) {
            (Some(_), true) => Some(GroupKey::draw(scheme.suite, rng).map_err(Failure::from)?),
            _ => None,
        };
        Ok(Turn { removal, removed, added, key: drawn, causes })
    }

    /// Carries a change out. Gives who went.
    pub(super) fn commit(&mut self, now: Instant, turn: Turn, newcomer: Option<(MemberId, Peer)>) -> Option<Peer> {
        let Turn { removal, removed, added, key, causes } = turn;
        let mut gone = None;
        if let Some((cid, cause)) = removal {
            gone = self.take_out(cid);
            self.reconnect();
            if let Some(peer) = &gone {
                self.changes += 1;
                let (name, view) = (peer.name.clone(), Version(self.changes));
                let by = if cause == Cause::Eject { MemberId::LEADER } else { cid };
                self.out.event(Event::MemberRemoved { cid, name, cause, by, view });
            }
        }
        self.tell_all(removed);
        self.tell_all(added);
        if let Some((cid, peer)) = newcomer {
            self.changes += 1;
            self.out.event(Event::MemberAdded { cid, name: peer.name.clone(), view: Version(self.changes) });
            self.names.insert(peer.name.clone(), cid);
            self.peers.insert(cid, peer);
            self.work.insert(cid);
            self.reconnect();
        }
        if let Some(key) = key {
            self.install(now, key, causes);
        }
        gone
    }

    fn tell_all(&mut self, frame: Option<Bytes>) {
        if let Some(frame) = frame.filter(|_| !self.everybody.is_empty()) {
            self.out.send(Transmit { to: To::Many(self.everybody.clone()), frame, class: Class::Control });
        }
    }

    /// The first key, or a new one, which every member is owed (EN-NK).
    pub(super) fn install(&mut self, now: Instant, key: GroupKey, causes: Causes) {
        let epoch = key.number;
        let grace = self.me.policy.grace;
        let before = self.key.replace(key);
        self.previous = before.filter(|_| !grace.is_zero() && !causes.evict()).map(|before| (before, now + grace));
        self.timers.set(Timer::Grace, self.previous.as_ref().map(|(_, until)| *until));
        self.due = Causes::NONE;
        self.key_use = KeyUse::new(now);
        self.timers.set(Timer::KeyAge, self.key_use.ages_at(&self.me.policy));
        self.timers.set(Timer::Rekey, None);
        for (cid, peer) in &mut self.peers {
            peer.unacked = Some(Unacked { owed: true, backoff: None, left: TRIES });
            self.timers.set(Timer::Key(*cid), None);
            self.work.insert(*cid);
        }
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
    pub(super) fn take_out(&mut self, cid: MemberId) -> Option<Peer> {
        self.work.remove(&cid);
        self.timers.set(Timer::Key(cid), None);
        self.timers.set(Timer::Retry(cid), None);
        let peer = self.peers.remove(&cid)?;
        self.names.remove(&peer.name);
        Some(peer)
    }

    /// Says EN-C2 over `link`. Where frames may be lost and nothing follows, it is said a few times.
    pub(super) fn say_close(&mut self, now: Instant, link: Link, again: bool) {
        let frame = self.me.scheme().close(self.me.name.by_ref());
        self.out.send(control(link, frame));
        let lossy = self.links.get(&link).is_some_and(|info| !info.reliable);
        if again && lossy && self.farewells.len() < self.me.limits.lingering {
            let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
            self.timers.set(Timer::Farewell(link), Some(backoff.due()));
            self.farewells.insert(link, Farewell { backoff, left: FAREWELLS });
        }
    }

    /// Builds the set of everybody's links anew.
    pub(super) fn reconnect(&mut self) {
        let links: alloc::collections::BTreeSet<Link> = self.peers.values().filter_map(|peer| peer.link).collect();
        self.everybody = links.into_iter().collect::<Vec<_>>().into();
    }
}
