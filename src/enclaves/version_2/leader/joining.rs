//! The way in (report §3.2.1): pre-authentication in clear, then EN-A1 to EN-A3.
//!
//! The report does not say what a leader does with an EN-A1 of somebody who is a member already. Here **the newest attempt
//! counts**: a fresh EN-A2 goes out, and the session there was is gone. So a member that lost its state comes back, and so does
//! an EN-A1 that was recorded in an earlier session: it displaces a live one (X9).

use bytes::Bytes;

use super::super::Access;
use super::super::keys::{GroupKey, KeyWithIv};
use super::super::messages::Welcome;
use super::peer::{Attempt, AttemptId, Offered, Peer, Stage, Timer};
use super::{Leader, control};
use crate::crypto::Key;
use crate::endpoint::{Cx, Instant, Link};
use crate::error::{Failure, Reason};
use crate::event::{Cause, Causes, Event, Ticket};
use crate::group::Backoff;
use crate::identity::{MemberId, Name, NameRef};
use crate::wire::Message as _;
use crate::wire::enclaves::version_2::{AuthConfirm, AuthRequest, OpenRequest};

impl Leader {
    fn attempt_of(&self, name: NameRef<'_>) -> Option<(AttemptId, &Attempt)> {
        let (id, attempt) = self.attempts.iter().find(|(_, attempt)| attempt.name.by_ref() == name)?;
        Some((*id, attempt))
    }

    pub(super) fn drop_attempt(&mut self, id: AttemptId) {
        self.attempts.remove(&id);
        self.timers.set(Timer::Attempt(id), None);
        self.timers.set(Timer::Offer(id), None);
    }

    pub(super) fn drop_attempt_of(&mut self, name: NameRef<'_>) -> bool {
        let found = self.attempt_of(name).map(|(id, _)| id);
        found.into_iter().for_each(|id| self.drop_attempt(id));
        found.is_some()
    }

    fn answer_open(&mut self, link: Link, accepted: bool) {
        let frame = self.me.scheme().open_answer(self.me.name.by_ref(), accepted);
        self.out.send(control(link, frame));
    }

    /// EN-P1. Nothing shows who asks; the answer is as clear as the question (E8).
    pub(super) fn on_open(&mut self, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let name = OpenRequest::parse(frame).map_err(|_| Reason::Malformed)?.message.member;
        let own = self.own_link(link).ok_or(Reason::Unproven)?;
        if self.closed {
            return Err(Reason::Ended);
        }
        if name == self.me.name.by_ref() {
            return Err(Reason::Violation);
        }
        let known = self.me.pair(name).is_some();
        let name = name.to_name();
        let listed = match &self.me.access {
            Access::Registered | Access::Ask => true,
            Access::List(list) => list.contains(&name),
        };
        if !known || !listed {
            self.answer_open(own, false);
            return Ok(());
        }
        if let Some((id, _)) = self.attempt_of(name.by_ref())
            && let Some(attempt) = self.attempts.get_mut(&id)
        {
            attempt.link = Some(own);
            if !matches!(attempt.stage, Stage::Asked(_)) {
                self.answer_open(own, true);
            }
            return Ok(());
        }
        if self.attempts.len() >= self.me.limits.pending_joins {
            return Err(Reason::Budget);
        }
        let id = AttemptId(self.next_attempt);
        self.next_attempt += 1;
        let stage = if self.me.access == Access::Ask {
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            self.out.event(Event::AdmissionWanted { ticket, name: name.clone() });
            Stage::Asked(ticket)
        } else {
            self.answer_open(own, true);
            Stage::Open
        };
        // Whoever comes back over this link is not to hear that it was closed.
        self.farewells.remove(&own);
        self.timers.set(Timer::Farewell(own), None);
        self.timers.set(Timer::Attempt(id), Some(now + self.me.limits.pending_life));
        self.attempts.insert(id, Attempt { link: Some(own), name, stage });
        Ok(())
    }

    /// The application's verdict.
    pub(super) fn decide(&mut self, id: AttemptId, admit: bool) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        attempt.stage = Stage::Open;
        let link = attempt.link;
        if !admit {
            self.drop_attempt(id);
        }
        if let Some(link) = link {
            self.answer_open(link, admit);
        }
    }

    /// EN-A1.
    pub(super) fn on_request(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let member = AuthRequest::parse(frame).map_err(|_| Reason::Malformed)?.message.member;
        let own = self.own_link(link).ok_or(Reason::Unproven)?;
        if self.closed {
            return Err(Reason::Ended);
        }
        let pair = self.me.pair(member).ok_or(Reason::Unknown)?;
        let live = self.names.iter().find(|(name, _)| name.by_ref() == member).map(|(_, cid)| *cid);
        // The request that began the live session comes again: late, or a replay. It changes nothing.
        if live.and_then(|cid| self.peers.get(&cid)).is_some_and(|peer| *peer.request == *frame) {
            return Err(Reason::Replayed);
        }
        let (id, attempt) = self.attempt_of(member).ok_or(Reason::Unknown)?;
        match &attempt.stage {
            Stage::Asked(_) => return Err(Reason::Unknown),
            Stage::Offered(offered) if *offered.request == *frame => {
                let frame = offered.frame.clone();
                self.out.send(control(own, frame));
                return Ok(());
            }
            Stage::Open | Stage::Offered(_) => {}
        }
        let scheme = self.me.scheme();
        let n1 = scheme.read_request(pair, frame)?;
        let turn = match live {
            Some(cid) => Some(self.prepare(cx.rng, None, Some((cid, Cause::Takeover)), false)?),
            None => None,
        };
        let fresh = |error| Reason::from(Failure::from(error));
        let first = match &self.key {
            Some(_) => None,
            // D27: the group has a key from when its first member gets it.
            None => Some(GroupKey::draw(scheme.suite, cx.rng).map_err(fresh)?),
        };
        let turned = turn.as_ref().and_then(|turn| turn.key());
        let group = turned.or(self.key.as_ref()).or(first.as_ref()).ok_or(Reason::Suite)?.clone();
        let n2 = scheme.suite.fresh_nonce(cx.rng, scheme.suite.sizes().nonce).map_err(fresh)?;
        let key = Key::new(scheme.suite.fresh_key(cx.rng).map_err(fresh)?);
        let session = KeyWithIv { key, iv: group.held.iv };
        let reply = scheme.reply(cx.rng, pair, n1, &Welcome { n2, session: session.clone(), group })?;
        // Nothing can fail from here on.
        if let Some(turn) = turn {
            self.commit(now, turn, None);
        }
        if let Some(first) = first {
            self.install(now, first, Causes::of(Cause::Open));
        }
        let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
        self.timers.set(Timer::Offer(id), Some(backoff.due()));
        self.timers.set(Timer::Attempt(id), Some(now + self.me.limits.pending_life));
        let request = Bytes::copy_from_slice(frame);
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.link = Some(own);
            attempt.stage = Stage::Offered(Offered { request, frame: reply.clone(), n2, session, backoff });
        }
        self.out.send(control(own, reply));
        Ok(())
    }

    /// EN-A3: the member is in.
    pub(super) fn on_confirm(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let member = AuthConfirm::parse(frame).map_err(|_| Reason::Malformed)?.message.member;
        if self.closed {
            return Err(Reason::Ended);
        }
        let scheme = self.me.scheme();
        let offered = self.attempt_of(member).and_then(|(id, attempt)| match &attempt.stage {
            Stage::Offered(offered) => Some((id, attempt, offered)),
            _ => None,
        });
        if let Some((id, attempt, offered)) = offered {
            scheme.check_confirm(&offered.session, &offered.n2, frame)?;
            if self.peers.len() >= self.me.limits.members {
                return Err(Reason::Budget);
            }
            let peer = Peer {
                name: attempt.name.clone(),
                link: self.own_link(link).or(attempt.link),
                session: offered.session.clone(),
                request: offered.request.clone(),
                n2: offered.n2,
                unacked: None,
                told: Some(MemberId::LEADER),
            };
            // What K_g was when EN-A2 was made is forgotten here: if it has changed since, nobody tells the member (X10).
            let turn = self.prepare(cx.rng, Some(&peer.name), None, false)?;
            let cid = MemberId(self.next_cid);
            self.next_cid += 1;
            self.drop_attempt(id);
            self.commit(now, turn, Some((cid, peer)));
            return Ok(());
        }
        // It comes again, because EN-A2 did; or the member has another link, and shows it this way.
        let cid = self.names.iter().find(|(name, _)| name.by_ref() == member).map(|(_, cid)| *cid);
        let cid = cid.ok_or(Reason::Unknown)?;
        let peer = self.peers.get(&cid).ok_or(Reason::Unknown)?;
        scheme.check_confirm(&peer.session, &peer.n2, frame)?;
        let own = self.own_link(link);
        // It moves nobody from one link to another: it may be a replay.
        match self.peers.get_mut(&cid).filter(|peer| peer.link.is_none() && own.is_some()) {
            Some(peer) => peer.link = own,
            None => return Err(Reason::Replayed),
        }
        self.work.insert(cid);
        self.reconnect();
        Ok(())
    }

    /// The live member of that name.
    pub(super) fn peer_named(&self, name: NameRef<'_>) -> Option<(MemberId, &Peer)> {
        let name: Name = name.to_name();
        let cid = *self.names.get(&name)?;
        Some((cid, self.peers.get(&cid)?))
    }
}
