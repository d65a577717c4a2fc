//! The way in: EN-1J is checked for validity, then the access list or the application says yes or no; EN-1K brings the keys, and
//! EN-1A makes its sender a member.
//!
//! A valid EN-1J of somebody who is a member already begins an attempt beside the session there is. Its EN-1A ends the old
//! session: so a member that lost its state comes back, and nobody else ends it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::super::Access;
use super::super::head::Pairing;
use super::super::keys::GroupKey;
use super::Leader;
use super::peer::{Attempt, AttemptId, Peer, Stage, Timer};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::enclaves::published::{TRIES, control};
use crate::endpoint::{Cx, Entropy, Instant, Link};
use crate::error::{Failure, Reason};
use crate::event::{Cause, Causes, Event, Ticket};
use crate::identity::{Epoch, MemberId, Name, NameRef};
use crate::wire::enclaves::version_1::RefusalCode;

/// EN-1A is tried under the keys of so many attempts, and of so many members whose link has closed.
pub(super) const TRIALS: usize = 64;

impl Leader {
    fn attempt_of(&self, name: NameRef<'_>) -> Option<(AttemptId, &Attempt)> {
        let (id, attempt) = self.attempts.iter().find(|(_, attempt)| attempt.name.by_ref() == name)?;
        Some((*id, attempt))
    }

    pub(super) fn drop_attempt(&mut self, id: AttemptId) -> Option<Attempt> {
        self.timers.set(Timer::Attempt(id), None);
        self.attempts.remove(&id)
    }

    /// EN-1J.
    pub(super) fn on_join(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let member = self.me.scheme().claimed(frame)?;
        let own = self.own_link(link).ok_or(Reason::Unproven)?;
        if self.closed {
            return Err(Reason::Ended);
        }
        let account = self.accounts.get(&member.to_name()).ok_or(Reason::Unknown)?;
        let gate = account.gate(member, self.me.name.by_ref(), self.time(now));
        let request = self.me.scheme().read_join_request(gate, frame)?;
        let name = member.to_name();
        let listed = match &self.me.access {
            Access::Registered | Access::Ask => true,
            Access::List(list) => list.contains(&name),
        };
        let pending = self.attempt_of(member).map(|(id, attempt)| (id, matches!(attempt.stage, Stage::Asked(_))));
        let full = pending.is_none()
            && (self.attempts.len() >= self.me.limits.pending_joins
                || (self.peers.len() >= self.me.limits.members && !self.names.contains_key(&name)));
        if !listed || full {
            let why = if listed { RefusalCode::Busy } else { RefusalCode::Denied };
            return self.refuse(cx.rng, now, own, (&name, request), why);
        }
        let ask = self.me.access == Access::Ask && !self.names.contains_key(&name);
        match pending {
            // Here the application has not answered yet.
            Some((id, true)) => self.note(id, own, request),
            Some((id, false)) => self.offer(cx.rng, now, id, (own, request))?,
            None if ask => {
                let ticket = Ticket(self.next_ticket);
                self.next_ticket += 1;
                self.out.event(Event::AdmissionWanted { ticket, name: name.clone() });
                self.begin(now, Attempt { link: Some(own), name: name.clone(), request, stage: Stage::Asked(ticket) });
            }
            None => {
                let key = Key::new(self.me.suite.fresh_key(cx.rng).map_err(Failure::from)?);
                let stage = Stage::Offered(Pairing::new(key), Epoch(0));
                let attempt = Attempt { link: Some(own), name: name.clone(), request, stage };
                self.offer_new(cx.rng, now, attempt)?;
            }
        }
        if let Some(account) = self.accounts.get_mut(&name) {
            account.heard = request;
        }
        Ok(())
    }

    fn begin(&mut self, now: Instant, attempt: Attempt) {
        let id = AttemptId(self.next_attempt);
        self.next_attempt += 1;
        self.timers.set(Timer::Attempt(id), Some(now + self.me.limits.pending_life));
        self.attempts.insert(id, attempt);
    }

    /// Another EN-1J of an attempt.
    fn note(&mut self, id: AttemptId, link: Link, request: u64) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            (attempt.link, attempt.request) = (Some(link), request);
        }
    }

    /// EN-1E. It answers EN-1J, whose number is used up with it.
    fn refuse(
        &mut self,
        rng: &mut dyn Entropy,
        now: Instant,
        link: Link,
        request: (&Name, u64),
        why: RefusalCode,
    ) -> Result<(), Reason> {
        let (name, request) = request;
        let account = self.accounts.get(name).ok_or(Reason::Unknown)?;
        let line = account.line(self.me.name.by_ref(), name.by_ref(), self.clock.millis(now));
        let frame = self.me.scheme().refusal(rng, line, request, why)?;
        let said = line.stamp.sequence;
        if let Some(account) = self.accounts.get_mut(name) {
            account.said = said;
            account.heard = account.heard.max(request);
        }
        self.out.send(control(link, frame));
        Ok(())
    }

    /// EN-1K for a new attempt.
    fn offer_new(&mut self, rng: &mut dyn Entropy, now: Instant, attempt: Attempt) -> Result<(), Reason> {
        let id = AttemptId(self.next_attempt);
        let Attempt { link: Some(link), request, .. } = attempt else { return Err(Reason::Unknown) };
        self.attempts.insert(id, attempt);
        let offered = self.offer(rng, now, id, (link, request));
        match offered {
            Ok(()) => self.next_attempt += 1,
            // As it was.
            Err(_) => drop(self.attempts.remove(&id)),
        }
        offered
    }

    /// EN-1K with the K_a of this attempt, and K_g as it is now.
    fn offer(&mut self, rng: &mut dyn Entropy, now: Instant, id: AttemptId, answer: (Link, u64)) -> Result<(), Reason> {
        let (link, request) = answer;
        let attempt = self.attempts.get(&id).ok_or(Reason::Unknown)?;
        let Stage::Offered(pair, _) = &attempt.stage else { return Err(Reason::Unknown) };
        let account = self.accounts.get(&attempt.name).ok_or(Reason::Unknown)?;
        let drawn = match &self.key {
            Some(_) => None,
            // D27: the group has a key from when its first member gets it.
            None => {
                let key = self.me.suite.fresh_key(rng).map_err(Failure::from)?;
                Some(GroupKey::new(Key::new(key), Epoch(1)))
            }
        };
        let group = self.key.as_ref().or(drawn.as_ref()).ok_or(Reason::Suite)?;
        let line = account.line(self.me.name.by_ref(), attempt.name.by_ref(), self.clock.millis(now));
        let welcome = (request, &pair.key, group.epoch, &group.key);
        let frame = self.me.scheme().join_reply(rng, line, welcome)?;
        let (said, epoch, name) = (line.stamp.sequence, group.epoch, attempt.name.clone());
        // Nothing can fail from here on.
        if let Some(first) = drawn {
            self.install(now, first, Causes::of(Cause::Open));
        }
        if let Some(account) = self.accounts.get_mut(&name) {
            account.said = said;
        }
        self.note(id, link, request);
        if let Some(Attempt { stage: Stage::Offered(_, last), .. }) = self.attempts.get_mut(&id) {
            *last = epoch;
        }
        self.timers.set(Timer::Attempt(id), Some(now + self.me.limits.pending_life));
        self.out.send(control(link, frame));
        Ok(())
    }

    /// The application's verdict.
    pub(super) fn decide(
        &mut self,
        rng: &mut dyn Entropy,
        now: Instant,
        id: AttemptId,
        admit: bool,
    ) -> Result<(), Reason> {
        let attempt = self.attempts.get_mut(&id).ok_or(Reason::Unknown)?;
        let (link, request) = (attempt.link, attempt.request);
        if !admit {
            let name = attempt.name.clone();
            if let Some(link) = link {
                self.refuse(rng, now, link, (&name, request), RefusalCode::Denied)?;
            }
            self.drop_attempt(id);
            return Ok(());
        }
        let key = Key::new(self.me.suite.fresh_key(rng).map_err(Failure::from)?);
        let asked = core::mem::replace(&mut attempt.stage, Stage::Offered(Pairing::new(key), Epoch(0)));
        // Without a link the next EN-1J brings one, and is answered.
        let Some(link) = link else { return Ok(()) };
        let offered = self.offer(rng, now, id, (link, request));
        if offered.is_err()
            && let Some(attempt) = self.attempts.get_mut(&id)
        {
            attempt.stage = asked;
        }
        offered
    }

    /// EN-1A: its sender has the keys, or has another link.
    pub(super) fn on_here(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let own = self.own_link(link).ok_or(Reason::Unproven)?;
        if self.closed {
            return Err(Reason::Ended);
        }
        let (scheme, leader, time) = (self.me.scheme(), self.me.name.by_ref(), self.time(now));
        let on_link = self.attempts.iter().filter(|(_, attempt)| attempt.link.is_none_or(|of| of == link));
        let mut why = Reason::Unknown;
        for (id, attempt) in on_link.take(TRIALS) {
            let Stage::Offered(pair, _) = &attempt.stage else { continue };
            match scheme.read_here(pair.gate(attempt.name.by_ref(), leader, time), frame) {
                Ok((number, hint)) => {
                    let pair = Pairing { heard: number, ..pair.clone() };
                    return self.enter(cx.rng, now, own, *id, (pair, hint));
                }
                Err(Reason::Suite) => return Err(Reason::Suite),
                Err(refused) => why = worse(why, refused),
            }
        }
        for cid in self.candidates(link) {
            let Some(peer) = self.peers.get(&cid) else { continue };
            match scheme.read_here(peer.pair.gate(peer.name.by_ref(), leader, time), frame) {
                Ok((number, hint)) => {
                    if let Some(peer) = self.peers.get_mut(&cid) {
                        peer.pair.heard = number;
                        peer.hint = hint;
                        peer.greet = true;
                    }
                    self.seat(cid, own);
                    self.say_again(cid);
                    return Ok(());
                }
                Err(Reason::Suite) => return Err(Reason::Suite),
                Err(refused) => why = worse(why, refused),
            }
        }
        Err(why)
    }

    /// Who may speak over this link: the member whose link it is, and those who have lost theirs. Where many have, each repeat
    /// is tried under the keys of others.
    pub(super) fn candidates(&self, link: Link) -> Vec<MemberId> {
        let (before, after) = (self.adrift.range(..self.at), self.adrift.range(self.at..));
        self.seats.get(&link).into_iter().chain(after.chain(before).take(TRIALS)).copied().collect()
    }

    /// A newcomer is in. Who has a session under its name is out.
    fn enter(
        &mut self,
        rng: &mut dyn Entropy,
        now: Instant,
        link: Link,
        id: AttemptId,
        with: (Pairing<role::PublishedSession>, bytes::Bytes),
    ) -> Result<(), Reason> {
        let (pair, hint) = with;
        let attempt = self.attempts.get(&id).ok_or(Reason::Unknown)?;
        let Stage::Offered(_, epoch) = attempt.stage else { return Err(Reason::Unknown) };
        let name = attempt.name.clone();
        let live = self.names.get(&name).copied();
        if live.is_none() && self.peers.len() >= self.me.limits.members {
            return Err(Reason::Budget);
        }
        let joined = if self.me.policy.rekey_on.contains(Cause::Join) { Causes::of(Cause::Join) } else { Causes::NONE };
        let turn = self.prepare(rng, live.map(|cid| (cid, Cause::Takeover)), joined)?;
        // If K_g has changed since EN-1K, it gets the new one now (X10).
        let key = (epoch != self.epoch()).then_some(super::peer::Owed::NEW);
        let peer = Peer {
            name,
            link: None,
            hint,
            pair,
            key,
            roster: BTreeMap::new(),
            directs: BTreeMap::new(),
            greet: true,
            backoff: None,
            left: TRIES,
        };
        let cid = MemberId(self.next_cid);
        self.next_cid += 1;
        self.drop_attempt(id);
        self.commit(now, turn, Some((cid, peer)));
        self.seat(cid, link);
        Ok(())
    }

    /// An attempt is over. It was given K_g, and is no member: as after a leave, K_g changes, unless the member of that name
    /// has it anyway or it has changed already.
    pub(super) fn expire(&mut self, rng: &mut dyn Entropy, now: Instant, id: AttemptId) -> Result<(), Reason> {
        let Some(attempt) = self.attempts.get(&id) else { return Ok(()) };
        let holds = matches!(attempt.stage, Stage::Offered(_, epoch) if epoch == self.epoch() && epoch != Epoch(0));
        let turn = match holds && !self.names.contains_key(&attempt.name) {
            true => Some(self.prepare(rng, None, Causes::of(Cause::Failure))?),
            false => None,
        };
        self.drop_attempt(id);
        if let Some(turn) = turn {
            self.commit(now, turn, None);
        }
        Ok(())
    }
}

/// What is told of a message that was tried under several keys: the one it opened under counts.
pub(super) fn worse(so_far: Reason, refused: Reason) -> Reason {
    match (so_far, refused) {
        (Reason::Unknown, _) | (_, Reason::Replayed | Reason::Untimely | Reason::OtherRecipient | Reason::Echo) => {
            refused
        }
        _ => so_far,
    }
}
