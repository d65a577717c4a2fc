//! What a frame of the leader or the group does to a member. In each function: decode, open, check the head, and only then
//! change anything.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};

use super::super::NO_INSTANCE;
use super::super::head::Pairing;
use super::super::keys::GroupKey;
use super::session::{Repeat, Session};
use super::{Member, OWN, Phase, control};
use crate::crypto::keys::role;
use crate::endpoint::{Cx, Entropy, Instant, Link};
use crate::error::{DecodeError, Reason};
use crate::event::{Cause, Causes, DirectEnd, Ending, Event, Refusal, Sender};
use crate::group::Backoff;
use crate::identity::{MemberId, Name, NameRef, Version};
use crate::wire::Message as _;
use crate::wire::enclaves::version_1::{
    Close, Data, DirectDenied, DirectKey, JoinRefused, JoinReply, LeaveAnswer, NewKey, Notice, PrivateDelivery,
    RefusalCode,
};

/// How often EN-1A is said again after EN-1K: for about as long as a join may take.
const FIRST_SHOWS: u8 = 5;

impl Member {
    pub(super) fn take_frame(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let info = self.links.get(&link).ok_or(Reason::Unknown)?;
        if frame.len() > info.max_frame {
            return Err(Reason::Oversize);
        }
        let code = self.me.scheme().header.code_of(frame).map_err(|error| match error {
            DecodeError::Header => Reason::Mismatch,
            _ => Reason::Malformed,
        })?;
        match code {
            code if code == JoinReply::INFO.code => self.on_reply(cx.rng, now, link, frame),
            code if code == JoinRefused::INFO.code => self.on_refused(now, frame),
            code if code == NewKey::INFO.code => self.on_new_key(cx.rng, now, link, frame),
            code if code == Notice::INFO.code => self.on_notice(cx.rng, now, link, frame),
            code if code == Data::INFO.code => self.on_data(now, frame),
            code if code == PrivateDelivery::INFO.code => self.on_private(now, frame),
            code if code == Close::INFO.code => self.on_close(now, frame),
            code if code == LeaveAnswer::INFO.code => self.on_left(now, frame),
            code if code == DirectKey::INFO.code => self.on_direct_key(cx.rng, now, link, frame),
            code if code == DirectDenied::INFO.code => self.on_direct_denied(now, frame),
            code => self.take_direct(cx.rng, now, link, code, frame),
        }
    }

    /// EN-1K: the member has its keys, and is in.
    fn on_reply(&mut self, rng: &mut dyn Entropy, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let Phase::Asking(asking) = &self.phase else { return Err(Reason::Unknown) };
        let (copies, link) = (asking.copies, asking.link.unwrap_or(link));
        let (scheme, own, leader) = (self.me.scheme(), self.me.name.by_ref(), self.me.leader.by_ref());
        let time = self.time(now);
        let (number, welcome) = scheme
            .read_join_reply::<role::PublishedSession, role::Group>(self.account.gate(leader, own, time), frame)?;
        // It answers a request of this attempt: a recorded one does not, even after a restart.
        if !(copies.0..=copies.1).contains(&welcome.answers) {
            return Err(Reason::Replayed);
        }
        let pair = Pairing::new(welcome.session);
        let line = pair.line(own, leader, time.millis);
        let here = scheme.here(rng, line, &self.me.hint)?;
        let pair = Pairing { said: line.stamp.sequence, ..pair };
        let epoch = welcome.epoch;
        self.account.heard = number;
        let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
        self.phase = Phase::In(Box::new(Session {
            link: Some(link),
            pair,
            show: Some(Repeat { backoff, left: FIRST_SHOWS }),
            key: GroupKey::new(welcome.group, epoch),
            previous: None,
            roster: BTreeSet::new(),
            changes: 0,
            wishes: BTreeMap::new(),
        }));
        self.out.send(control(link, here));
        self.out.event(Event::Installed { epoch, causes: Causes::NONE });
        self.out.event(Event::Joined { group: NO_INSTANCE, cid: OWN, epoch });
        Ok(())
    }

    /// EN-1E. Only the leader can have written it (E8), for a request of this attempt.
    fn on_refused(&mut self, now: Instant, frame: &[u8]) -> Result<(), Reason> {
        let Phase::Asking(asking) = &self.phase else { return Err(Reason::Unknown) };
        let gate = self.account.gate(self.me.leader.by_ref(), self.me.name.by_ref(), self.time(now));
        let (number, (answers, why)) = self.me.scheme().read_refusal(gate, frame)?;
        if !(asking.copies.0..=asking.copies.1).contains(&answers) {
            return Err(Reason::Replayed);
        }
        self.account.heard = number;
        self.end_phase(Event::JoinRefused(match why {
            RefusalCode::Denied => Refusal::Denied,
            RefusalCode::Busy => Refusal::Busy,
        }));
        Ok(())
    }

    /// EN-1NA for a message of this number, as it will be said.
    fn acknowledgement(
        &self,
        rng: &mut dyn Entropy,
        session: &Session,
        millis: u64,
        answers: u64,
    ) -> Result<(bytes::Bytes, u64), Reason> {
        let line = session.pair.line(self.me.name.by_ref(), self.me.leader.by_ref(), millis);
        Ok((self.me.scheme().acknowledgement(rng, line, answers)?, line.stamp.sequence))
    }

    /// The leader was heard under K_a: it knows that this member is there. Sends the answer.
    fn heard(&mut self, link: Link, number: u64, answer: Option<(bytes::Bytes, u64)>) {
        let Phase::In(session) = &mut self.phase else { return };
        session.pair.heard = number;
        session.show = None;
        if let Some((frame, said)) = answer {
            session.pair.said = said;
            let to = session.link.unwrap_or(link);
            self.out.send(control(to, frame));
        }
    }

    /// EN-1N. The same key again is acknowledged again, and changes nothing.
    fn on_new_key(&mut self, rng: &mut dyn Entropy, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let session = self.session().ok_or(Reason::NotJoined)?;
        let time = self.time(now);
        let gate = session.pair.gate(self.me.leader.by_ref(), self.me.name.by_ref(), time);
        let (number, (epoch, causes, key)) = self.me.scheme().read_new_key::<role::Group>(gate, frame)?;
        let answer = self.acknowledgement(rng, session, time.millis, number)?;
        // Its own number says that it is the newest: that of the key only tells it from a copy.
        let newer = epoch != session.key.epoch;
        let grace = self.me.grace;
        if newer && let Phase::In(session) = &mut self.phase {
            let before = core::mem::replace(&mut session.key, GroupKey::new(key, epoch));
            // Who is gone has the key before: it ends at once.
            let kept = !grace.is_zero() && !causes.evict();
            session.previous = kept.then_some((before, now + grace));
            self.out.event(Event::Installed { epoch, causes });
        }
        self.heard(link, number, Some(answer));
        Ok(())
    }

    /// EN-1M.
    fn on_notice(&mut self, rng: &mut dyn Entropy, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let session = self.session().ok_or(Reason::NotJoined)?;
        let time = self.time(now);
        let gate = session.pair.gate(self.me.leader.by_ref(), self.me.name.by_ref(), time);
        let (number, changes) = self.me.scheme().read_notice(gate, frame)?;
        let outsider = |(name, _): &(Name, bool)| *name == self.me.leader || *name == self.me.name;
        if changes.iter().any(outsider) {
            return Err(Reason::Violation);
        }
        let coming = changes.iter().filter(|(name, here)| *here && !session.roster.contains(name)).count();
        if session.roster.len() + coming > self.me.limits.members {
            return Err(Reason::Budget);
        }
        let answer = self.acknowledgement(rng, session, time.millis, number)?;
        for (name, here) in changes {
            self.apply(name, here);
        }
        self.tidy_numbers();
        self.heard(link, number, Some(answer));
        Ok(())
    }

    /// One line of a notice. What is known already changes nothing.
    fn apply(&mut self, name: Name, here: bool) {
        let Phase::In(session) = &mut self.phase else { return };
        let changed = if here { session.roster.insert(name.clone()) } else { session.roster.remove(&name) };
        if !changed {
            return;
        }
        session.changes += 1;
        let view = Version(session.changes);
        let cid = self.numbers.number(&name);
        self.out.event(if here {
            Event::MemberAdded { cid, name, view }
        } else {
            // The notice says that somebody went, and not why.
            Event::MemberRemoved { cid, name, cause: Cause::Missed, by: MemberId::LEADER, view }
        });
    }

    /// Numbers of names that nothing refers to any more are forgotten when there are many.
    pub(super) fn tidy_numbers(&mut self) {
        let roster = match &self.phase {
            Phase::In(session) => Some(&session.roster),
            _ => None,
        };
        let most = self.me.limits.members.saturating_mul(2).saturating_add(super::MAX_DIRECT);
        let directs = &self.directs;
        let needed = |name: &Name| roster.is_some_and(|roster| roster.contains(name)) || directs.contains_key(name);
        self.numbers.tidy(most, needed);
    }

    /// EN-1D: by a holder of K_g, who may be another than the sender that the head names (E3).
    fn on_data(&mut self, now: Instant, frame: &[u8]) -> Result<(), Reason> {
        let session = self.session().ok_or(Reason::NotJoined)?;
        let (scheme, time) = (self.me.scheme(), self.time(now));
        let read = |key: &GroupKey| {
            let heard = |name: NameRef<'_>| {
                let own = name == self.me.name.by_ref();
                let known = own || name == self.me.leader.by_ref() || session.roster.contains(&name.to_name());
                known.then(|| if own { 0 } else { key.heard_of(name) })
            };
            scheme.read_data(key.gate(&heard, time), frame)
        };
        let (number, (name, opened), old) = match (read(&session.key), session.before(now)) {
            (Ok((number, what)), _) => (number, what, false),
            (Err(Reason::Forged), Some(key)) => {
                let (number, what) = read(key)?;
                (number, what, true)
            }
            (Err(why), _) => return Err(why),
        };
        if name == self.me.name {
            return Err(Reason::Echo);
        }
        let cid = if name == self.me.leader { MemberId::LEADER } else { self.numbers.number(&name) };
        let Phase::In(session) = &mut self.phase else { return Err(Reason::NotJoined) };
        let key = if old { session.previous.as_mut().map(|(key, _)| key) } else { Some(&mut session.key) };
        let key = key.ok_or(Reason::NotJoined)?;
        key.heard.insert(name, number);
        let epoch = key.epoch;
        self.out.stats.delivered += 1;
        self.out.event(Event::Data(opened.into_message(Sender::AnyMember(cid), epoch)));
        Ok(())
    }

    /// EN-1PD: the leader says from whom it is.
    fn on_private(&mut self, now: Instant, frame: &[u8]) -> Result<(), Reason> {
        let session = self.session().ok_or(Reason::NotJoined)?;
        let gate = session.pair.gate(self.me.leader.by_ref(), self.me.name.by_ref(), self.time(now));
        let (number, (from, opened)) = self.me.scheme().read_delivery(gate, frame)?;
        if from == self.me.name {
            return Err(Reason::Violation);
        }
        let epoch = session.key.epoch;
        let cid = if from == self.me.leader { MemberId::LEADER } else { self.numbers.number(&from) };
        self.tidy_numbers();
        if let Phase::In(session) = &mut self.phase {
            session.pair.heard = number;
            session.show = None;
        }
        self.out.stats.delivered += 1;
        self.out.event(Event::Gossip(opened.into_message(Sender::Pairwise(cid), epoch)));
        Ok(())
    }

    /// EN-1C.
    fn on_close(&mut self, now: Instant, frame: &[u8]) -> Result<(), Reason> {
        let pair = match &self.phase {
            Phase::In(session) => &session.pair,
            Phase::Leaving(leaving) => &leaving.pair,
            Phase::Idle | Phase::Asking(_) => return Err(Reason::Unknown),
        };
        let gate = pair.gate(self.me.leader.by_ref(), self.me.name.by_ref(), self.time(now));
        let (_, why) = self.me.scheme().read_close(gate, frame)?;
        self.finish(Ending::ByLeader(why));
        Ok(())
    }

    /// EN-1LA.
    fn on_left(&mut self, now: Instant, frame: &[u8]) -> Result<(), Reason> {
        let Phase::Leaving(leaving) = &self.phase else { return Err(Reason::Unknown) };
        let gate = leaving.pair.gate(self.me.leader.by_ref(), self.me.name.by_ref(), self.time(now));
        let (_, answers) = self.me.scheme().read_leave_answer(gate, frame)?;
        if !(leaving.copies.0..=leaving.copies.1).contains(&answers) {
            return Err(Reason::Replayed);
        }
        self.finish(Ending::Left);
        Ok(())
    }

    /// EN-1XK: the key and the side of a direct link.
    fn on_direct_key(&mut self, rng: &mut dyn Entropy, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let session = self.session().ok_or(Reason::NotJoined)?;
        let time = self.time(now);
        let gate = session.pair.gate(self.me.leader.by_ref(), self.me.name.by_ref(), time);
        let (number, offer) = self.me.scheme().read_direct_key::<role::PublishedDirect>(gate, frame)?;
        if offer.peer == self.me.name || offer.peer == self.me.leader {
            return Err(Reason::Violation);
        }
        let known = self.directs.contains_key(&offer.peer);
        if !known && self.directs.len() >= super::MAX_DIRECT {
            return Err(Reason::Budget);
        }
        let answer = self.acknowledgement(rng, session, time.millis, number)?;
        if let Phase::In(session) = &mut self.phase {
            session.wishes.remove(&offer.peer);
        }
        self.begin_direct(now, offer);
        self.heard(link, number, Some(answer));
        Ok(())
    }

    /// EN-1XD.
    fn on_direct_denied(&mut self, now: Instant, frame: &[u8]) -> Result<(), Reason> {
        let session = self.session().ok_or(Reason::NotJoined)?;
        let gate = session.pair.gate(self.me.leader.by_ref(), self.me.name.by_ref(), self.time(now));
        let (number, name) = self.me.scheme().read_direct_denied(gate, frame)?;
        let Phase::In(session) = &mut self.phase else { return Err(Reason::NotJoined) };
        session.pair.heard = number;
        session.show = None;
        if session.wishes.remove(&name).is_some() {
            let peer = self.numbers.number(&name);
            self.out.event(Event::DirectClosed { peer, name, why: DirectEnd::Denied });
        }
        Ok(())
    }
}
