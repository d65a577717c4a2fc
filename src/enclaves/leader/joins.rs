//! What happens before EN-R3: requests, and the application's decisions. Nothing here touches a live member (R6, X9).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::{EVENTS, Leader, Timer, control};
use crate::enclaves::auth::Answered;
use crate::enclaves::chain::{JOIN, SessionKeys, fresh_nonce};
use crate::endpoint::{Cx, Instant, Link};
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::{Event, Refusal, Ticket};
use crate::group::Check;
use crate::group::access::{Access, Held, make_room};
use crate::identity::{MemberId, Name, Version};
use crate::wire::antigone::RefuseCode;
use crate::wire::enclaves::repaired::{Accept, AuthInitReq, AuthKeyDist, Offer};
use crate::wire::field::{Blob, Field, Nonce};
use crate::wire::{Header, Message as _};

/// Names a pending join inside the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct PendingId(pub(super) u64);

/// The pending joins of a leader.
#[derive(Debug, Default)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Pendings {
    table: BTreeMap<u64, Pending>,
    next: u64,
}

fingerprint!(Pendings { table } skip { next });

/// A join that is not confirmed yet. It touches nobody and expires.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Pending {
    pub(super) link: Option<Link>,
    pub(super) name: Name,
    /// EN-R1 as it came.
    request: Bytes,
    n1: Nonce,
    pub(super) n2: Nonce,
    since: Instant,
    /// When something was last sent for it: duplicates of EN-R1 get at most one answer an RTO.
    sent: Instant,
    pub(super) answered: Answered,
    pub(super) keys: SessionKeys,
    /// The body of EN-R2.
    body: Bytes,
    pub(super) stage: Stage,
}

fingerprint!(Pending { link, name, request, n1, n2, since, sent, answered, stage } skip { keys, body });

/// What a pending join waits for.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) enum Stage {
    /// For the application.
    Deciding(Ticket),
    /// For EN-R3: EN-R2 as it is sent and repeated, with the number and the version of the policy that it names.
    Offered(Bytes, MemberId, Version),
    /// For its end: a refusal.
    Refused(Bytes),
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Stage {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::Deciding(ticket) => (0u8, ticket.0).fingerprint(now, sink),
            Self::Offered(frame, cid, _) => (1u8, (frame.clone(), *cid)).fingerprint(now, sink),
            Self::Refused(frame) => (2u8, frame.clone()).fingerprint(now, sink),
        }
    }
}

impl Pendings {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn get(&self, id: PendingId) -> Option<&Pending> {
        self.table.get(&id.0)
    }

    /// The pending join whose EN-R2 brought this number.
    pub(super) fn offered(&self, n2: &Nonce) -> Option<(PendingId, &Pending)> {
        let offered = |pending: &Pending| matches!(pending.stage, Stage::Offered(..)) && pending.n2 == *n2;
        self.table.iter().find(|(_, pending)| offered(pending)).map(|(id, pending)| (PendingId(*id), pending))
    }

    /// What came over a link that is closed and must go: all but offers, since EN-R3 may come over another.
    pub(super) fn link_closed(&mut self, link: Link) -> Vec<PendingId> {
        let mut gone = Vec::new();
        for (id, pending) in self.table.iter_mut().filter(|(_, pending)| pending.link == Some(link)) {
            match pending.stage {
                Stage::Offered(..) => pending.link = None,
                _ => gone.push(PendingId(*id)),
            }
        }
        gone
    }

    /// This one, and those of the same name that came before it.
    pub(super) fn no_newer(&self, id: PendingId, name: &Name) -> Vec<PendingId> {
        let older = self.table.range(..=id.0).filter(|(_, pending)| pending.name == *name);
        older.map(|(id, _)| PendingId(*id)).collect()
    }

    fn insert(&mut self, pending: Pending) -> PendingId {
        let id = self.next;
        self.next += 1;
        self.table.insert(id, pending);
        PendingId(id)
    }

    fn deciding(&self, ticket: Ticket) -> Vec<PendingId> {
        let asked = |pending: &Pending| matches!(pending.stage, Stage::Deciding(of) if of == ticket);
        self.table.iter().filter(|(_, pending)| asked(pending)).map(|(id, _)| PendingId(*id)).collect()
    }

    fn question_about(&self, name: &Name) -> Option<Ticket> {
        self.table.values().find_map(|pending| match pending.stage {
            Stage::Deciding(ticket) if pending.name == *name => Some(ticket),
            _ => None,
        })
    }

    /// All of them.
    pub(super) fn ids(&self) -> Vec<PendingId> {
        self.table.keys().copied().map(PendingId).collect()
    }
}

impl Leader {
    /// EN-R1.
    pub(super) fn on_request(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        if self.closing.is_some() {
            return Err(Reason::Ended);
        }
        let info = self.links.get(&link).ok_or(Reason::Unknown)?;
        if (!info.proven || info.shared) && self.me.limits.checks.on(Check::ProvenLink) {
            return Err(Reason::Unproven);
        }
        let asked = AuthInitReq::parse(frame).map_err(|_| Reason::Malformed)?.message;
        let (me, header) = (&self.me, self.station.header);
        if asked.app != me.app.by_ref() || asked.leader != me.name.by_ref() {
            return Err(Reason::Unknown);
        }
        let name = asked.member.to_name();
        let known = self.pendings.table.iter().find(|(_, pending)| pending.name == name && pending.n1 == asked.n1);
        if let Some((id, pending)) = known {
            return self.repeat_answer(now, link, PendingId(*id), *pending.request == *frame);
        }
        let held = self.pendings.table.iter().map(|(id, pending)| {
            let Pending { link, name, since, .. } = pending;
            Held { id: *id, link: *link, name, since: *since }
        });
        let held: Vec<_> = held.collect();
        let replaced = make_room(&held, &me.limits, now, link, &name)?;
        // A name that nobody has gets silence, or what others get: whether it exists is nobody's business.
        let known = me.accounts.get(&name);
        let account = known.or(me.strangers.as_ref()).ok_or(Reason::Unknown)?;
        let stranger = known.is_none();
        let n2 = fresh_nonce(&*me.suite, cx.rng).map_err(|error| Reason::from(Failure::from(error)))?;
        let scene = me.scene(header, asked.member, cx.wall);
        let (body, answered) = account.answer(&scene, &asked.n1, &n2, asked.request.0, cx.rng)?;
        let keys = SessionKeys::derive(&*me.suite, answered.key())?;
        let pending = Pending {
            link: Some(link),
            request: Bytes::copy_from_slice(frame),
            n1: asked.n1,
            n2,
            since: now,
            sent: now,
            answered,
            keys,
            body,
            stage: Stage::Deciding(Ticket(0)),
            name: name.clone(),
        };
        let (verdict, asks) = match &me.access {
            Access::Registered => (Ok(()), false),
            Access::List(list) if list.contains(&name) => (Ok(()), false),
            Access::List(_) => (Err(Refusal::Denied), false),
            Access::Ask => match self.verdicts.about(now, &name) {
                Some(true) => (Ok(()), false),
                Some(false) => (Err(Refusal::Denied), false),
                None => (Ok(()), true),
            },
        };
        let made = if asks { None } else { Some(self.answer(header, &pending, verdict)?) };
        // Nothing can fail from here on.
        for id in replaced {
            self.drop_pending(PendingId(id));
        }
        if !self.me.limits.checks.on(Check::LiveSession)
            && let Some(live) = self.names.get(&name).copied()
        {
            // The mistake that X9 needs: a request that anybody may replay ends the live session.
            self.take_out(live);
        }
        let limits = self.me.limits;
        match made {
            Some((stage, frame)) => {
                let id = self.pendings.insert(Pending { stage, ..pending });
                self.timers.set(Timer::Pending(id), Some(now + limits.pending_life));
                self.out.send(control(link, frame));
            }
            None => {
                // The application is asked once for a name; its verdict serves every pending join of that name.
                let ticket = self.pendings.question_about(&name).unwrap_or_else(|| {
                    let ticket = Ticket(self.take_ticket());
                    // About nobody the application is not asked, and its silence refuses.
                    if !stranger {
                        self.out.event(Event::AdmissionWanted { ticket, name });
                    }
                    ticket
                });
                let id = self.pendings.insert(Pending { stage: Stage::Deciding(ticket), ..pending });
                // Silence refuses, while the user still waits to hear it.
                let until = now + limits.pending_life.min(limits.join_time) / 4 * 3;
                self.timers.set(Timer::Pending(id), Some(until));
            }
        }
        Ok(())
    }

    /// The same EN-R1 again: the same EN-R2 again, at most once an RTO.
    fn repeat_answer(&mut self, now: Instant, link: Link, id: PendingId, same: bool) -> Result<(), Reason> {
        let first = self.me.limits.retry.first;
        let pending = self.pendings.table.get_mut(&id.0).ok_or(Reason::Unknown)?;
        if !same {
            return Err(Reason::Replayed);
        }
        if now.since(pending.sent) < first {
            return Err(Reason::Budget);
        }
        let (Stage::Offered(frame, ..) | Stage::Refused(frame)) = &pending.stage else { return Err(Reason::Budget) };
        // A copy that came first elsewhere holds nobody up (R40).
        (pending.link, pending.sent) = (Some(link), now);
        self.out.send(control(link, frame.clone()));
        Ok(())
    }

    /// Makes EN-R2, once: an offer or a refusal. Nothing has changed yet.
    fn answer(
        &mut self,
        header: Header,
        pending: &Pending,
        verdict: Result<(), Refusal>,
    ) -> Result<(Stage, Bytes), Reason> {
        let policy = &self.station.policy;
        let live = self.names.get(&pending.name).and_then(|cid| self.peers.get(cid));
        // Who takes over needs no more room.
        let full = live.is_none() && self.peers.len() >= self.me.limits.members;
        let taken = !policy.takeover && live.is_some_and(|peer| !peer.suspected);
        let verdict = if full || taken { verdict.and(Err(Refusal::Busy)) } else { verdict };
        let (cid, encoded) = (MemberId(self.next_cid), policy.encode());
        let offer = match verdict {
            Ok(()) => Offer::Accept(Accept {
                group: self.station.group,
                cid,
                leader_key: self.leader_key,
                policy_version: self.station.policy_version,
                policy: Blob(&encoded),
            }),
            Err(Refusal::Busy) => Offer::Refuse(RefuseCode::Busy),
            Err(_) => Offer::Refuse(RefuseCode::Denied),
        };
        let mut frame = BytesMut::with_capacity(encoded.len() + pending.body.len() + 512);
        let message = AuthKeyDist { n1: pending.n1, n2: pending.n2, answer: Blob(&pending.body) };
        let seal = |ad: &[u8], text: &mut [u8]| pending.keys.leader.seal(JOIN, ad, text);
        message.put_boxed(header, &mut frame, |out| offer.put(out), seal)?;
        let frame = frame.freeze();
        if verdict.is_err() {
            return Ok((Stage::Refused(frame.clone()), frame));
        }
        // Numbers are never used twice (I-1), whether or not the offer is taken.
        self.next_cid = self.next_cid.checked_add(1).ok_or(Reason::Budget)?;
        Ok((Stage::Offered(frame.clone(), cid, self.station.policy_version), frame))
    }

    /// Answers [`Event::AdmissionWanted`], for every pending join of that name, and for those that come within
    /// [`Limits::pending_life`](crate::group::Limits::pending_life).
    ///
    /// # Errors
    /// [`Misuse::NoTicket`], [`Misuse::Closed`], [`CommandError::Full`]; [`Failure`]: some of the pending joins are not answered yet, so
    /// answer again.
    pub fn admit(&mut self, cx: &mut Cx<'_>, ticket: Ticket, admit: bool) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let asked = self.pendings.deciding(ticket);
        let Some(first) = asked.first().and_then(|id| self.pendings.get(*id)) else {
            return Err(Misuse::NoTicket.into());
        };
        if !self.out.room(asked.len(), EVENTS) {
            return Err(CommandError::Full);
        }
        let name = first.name.clone();
        self.verdicts.remember(&self.me.limits, now, name, admit);
        for id in asked {
            match self.decide(now, id, admit) {
                Err(Reason::Suite) => return Err(Failure::Suite.into()),
                Err(_) => self.drop_pending(id),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// The application's verdict on one pending join.
    fn decide(&mut self, now: Instant, id: PendingId, admit: bool) -> Result<(), Reason> {
        let header = self.station.header;
        let Some(pending) = self.pendings.table.remove(&id.0) else { return Err(Reason::Unknown) };
        let made = self.answer(header, &pending, if admit { Ok(()) } else { Err(Refusal::Denied) });
        let (link, since) = (pending.link, pending.since);
        match made {
            Ok((stage, frame)) => {
                self.pendings.table.insert(id.0, Pending { stage, sent: now, ..pending });
                self.timers.set(Timer::Pending(id), Some(since + self.me.limits.pending_life));
                if let Some(link) = link {
                    self.out.send(control(link, frame));
                }
                Ok(())
            }
            Err(why) => {
                self.pendings.table.insert(id.0, pending);
                Err(why)
            }
        }
    }

    /// The time of a pending join is over: silence refuses, and then it goes.
    pub(super) fn pending_time(&mut self, now: Instant, id: PendingId) {
        let deciding = self.pendings.get(id).is_some_and(|pending| matches!(pending.stage, Stage::Deciding(_)));
        if !deciding {
            return self.drop_pending(id);
        }
        if self.decide(now, id, false).is_err() {
            self.out.event(Event::Hindered(Failure::Suite));
            self.timers.set(Timer::Pending(id), Some(now + self.me.limits.retry.first));
        }
    }

    pub(super) fn drop_pending(&mut self, id: PendingId) {
        self.pendings.table.remove(&id.0);
        self.timers.set(Timer::Pending(id), None);
    }
}
