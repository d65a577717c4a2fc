//! From the wish to join to the offer: the exchange with the third party, admission, and AN-J2 or RA-J2.

use alloc::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Leader, Timer, control};
use crate::antigone::Access;
use crate::antigone::keys::published::Group;
use crate::crypto::keys::role;
use crate::crypto::{Aead, BoxNumber, Key, Secret};
use crate::endpoint::{Cx, Instant, Link};
use crate::error::{Failure, Reason};
use crate::event::{Event, Peer as PeerName, Refusal, Ticket};
use crate::group::Backoff;
use crate::identity::{MemberId, Name};
use crate::policy::Part;
use crate::ttp::exchange::{Question, Verdict};
use crate::ttp::published as exchange;
use crate::ttp::schedule::question_digest;
use crate::wire::antigone::{JoinRequest, KeyAnswer, Status};
use crate::wire::bridges::BridgedRequest;
use crate::wire::field::{Blob, Digest, Field, Nonce, Share};
use crate::wire::frame::split_frame;
use crate::wire::published::JoinWish;
use crate::wire::{Edition, Message as _};

/// Names a pending join.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct PendingId(pub(super) u64);

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for PendingId {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        self.0.fingerprint(now, sink);
    }
}

/// A join that is not confirmed.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Pending {
    pub(super) link: Option<Link>,
    pub(super) name: Name,
    /// AN-J1 or RA-J1 as it came.
    pub(super) request: Bytes,
    pub(super) i0: Nonce,
    pub(super) i1: Nonce,
    pub(super) share: Share,
    pub(super) question: Bytes,
    /// `h`: what a repaired join binds itself to.
    pub(super) digest: Digest,
    pub(super) since: Instant,
    pub(super) answered: Instant,
    pub(super) stage: Stage,
}

fingerprint!(Pending { link, name, request, i0, i1, share, question, since, stage } skip { digest, answered });

/// What a pending join waits for.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) enum Stage {
    /// For the third party.
    Waiting(Backoff),
    /// For the application, with what the third party gave.
    Deciding(Ticket, Vouched),
    /// For AN-J3 or `hello`.
    Offered(Offered),
    /// For its end.
    Refused(Bytes),
}

/// What the third party gave: σ for a join as published, the key of one join for a repaired one.
#[derive(Debug, Clone)]
pub(super) enum Vouched {
    Pair(Key<role::Pair>),
    Session(Key<role::Session>),
}

/// An offer on its way.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Offered {
    /// AN-J2 or RA-J2.
    pub(super) frame: Bytes,
    pub(super) cid: MemberId,
    pub(super) at: Instant,
    pub(super) confirm: Confirm,
    /// The g that the offer names.
    pub(super) group: Group,
    pub(super) sigma: Option<Key<role::Pair>>,
}

/// How the offer is taken.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) enum Confirm {
    /// By AN-J3 with this I2.
    Published(Nonce),
    /// By `hello` under these keys: seals and opens.
    Hello(Arc<dyn Aead>, Arc<dyn Aead>),
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Stage {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::Waiting(backoff) => {
                0u8.fingerprint(now, sink);
                backoff.fingerprint(now, sink);
            }
            Self::Deciding(ticket, _) => {
                1u8.fingerprint(now, sink);
                ticket.0.fingerprint(now, sink);
            }
            Self::Offered(Offered { frame, cid, .. }) => {
                2u8.fingerprint(now, sink);
                frame.fingerprint(now, sink);
                cid.fingerprint(now, sink);
            }
            Self::Refused(frame) => {
                3u8.fingerprint(now, sink);
                frame.fingerprint(now, sink);
            }
        }
    }
}

impl Leader {
    /// AN-J1 or RA-J1.
    pub(super) fn on_wish(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        edition: Edition,
        frame: &[u8],
    ) -> Result<(), Reason> {
        self.me.sides.expect(Part::Join, edition)?;
        if self.closed {
            return Err(Reason::Ended);
        }
        let none = Share::new(&[]).ok_or(Reason::Suite)?;
        let (name, i0, share) = if edition == Edition::AsPublished {
            let wish = JoinWish::parse(frame).map_err(|_| Reason::Malformed)?.message;
            (wish.member.to_name(), wish.i0, none)
        } else {
            let join = JoinRequest::parse(frame).map_err(|_| Reason::Malformed)?.message;
            if join.app != self.me.sides.app.by_ref() || join.leader != self.me.name.by_ref() {
                return Err(Reason::Unknown);
            }
            (join.member.to_name(), join.i0, join.share)
        };
        let (published, modern) = (self.me.sides.published.sizes().nonce, self.me.sides.modern.sizes().nonce);
        let length = if edition == Edition::AsPublished { published } else { modern };
        if i0.as_bytes().len() != length && !self.me.faults.any_numbers {
            // A longer one would hold a whole key, and the answer would be its box (X2).
            return Err(Reason::Malformed);
        }
        if name == self.me.name {
            return Err(Reason::Violation);
        }
        if !self.me.sides.published.admits(name.by_ref()) {
            return Err(Reason::Unknown);
        }
        let own = self.own_link(link).ok_or(Reason::Unproven)?;
        let limits = self.me.limits;
        let repaired = edition == Edition::Repaired;
        if repaired && self.links.get(&link).is_none_or(|info| !info.proven) {
            return Err(Reason::Unproven);
        }
        let known = self.pendings.iter_mut().find(|(_, pending)| pending.name == name && pending.i0 == i0);
        if let Some((id, pending)) = known {
            if *pending.request != *frame {
                return Err(Reason::Replayed);
            }
            if now.since(pending.answered) < limits.retry.first / 2 {
                return Err(Reason::Budget);
            }
            (pending.answered, pending.link) = (now, Some(own));
            match &pending.stage {
                Stage::Waiting(_) => self.timers.set(Timer::Question(*id), Some(now)),
                Stage::Deciding(..) => {}
                Stage::Offered(Offered { frame, .. }) | Stage::Refused(frame) => {
                    let frame = frame.clone();
                    self.out.send(control(own, frame));
                }
            }
            return Ok(());
        }
        let replaced = self.make_room(now, own, &name, repaired)?;
        let pending = self.question(cx, now, own, name, i0, share, frame)?;
        if let Some(id) = replaced {
            self.drop_pending(id);
        }
        let id = PendingId(self.next_pending);
        self.next_pending += 1;
        self.timers.set(Timer::Pending(id), Some(now + limits.pending_life));
        // Sent, or wished for, by the timeout that is due now.
        self.timers.set(Timer::Question(id), Some(now));
        self.pendings.insert(id, pending);
        self.ask_third_party(now, id, false);
        Ok(())
    }

    /// Room for one more wish of `name` over `link`: the pending join that it replaces, if any. As published the newest wish
    /// of a name counts. A repaired one has budgets and its protected time (RA §4.1).
    fn make_room(&self, now: Instant, link: Link, name: &Name, repaired: bool) -> Result<Option<PendingId>, Reason> {
        let limits = &self.me.limits;
        let of_name = || self.pendings.iter().filter(|(_, pending)| pending.name == *name);
        let over = of_name().find(|(_, pending)| !repaired || pending.link == Some(link));
        let many = of_name().count() >= limits.pending_joins_per_name;
        let oldest = || of_name().min_by_key(|(id, pending)| (pending.since, **id));
        if let Some((id, pending)) = over.or_else(|| oldest().filter(|_| many)) {
            let guarded = repaired && now.since(pending.since) < limits.pending_guard;
            return if guarded { Err(Reason::Budget) } else { Ok(Some(*id)) };
        }
        let of_link = self.pendings.values().filter(|pending| pending.link == Some(link)).count();
        if self.pendings.len() >= limits.pending_joins || of_link >= limits.pending_joins_per_link {
            return Err(Reason::Budget);
        }
        Ok(None)
    }

    #[allow(clippy::too_many_arguments)]
    fn question(
        &self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        name: Name,
        i0: Nonce,
        share: Share,
        join: &[u8],
    ) -> Result<Pending, Reason> {
        let sides = &self.me.sides;
        let modern = &*sides.modern;
        let published_join = sides.is_published(Part::Join);
        let fresh = |error: crate::crypto::FreshError| Reason::from(Failure::from(error));
        let (question, i1, digest) = if sides.is_published(Part::ThirdParty) {
            let i1 = sides.published.fresh_nonce(cx.rng, sides.published.sizes().nonce).map_err(fresh)?;
            let frame = exchange::question(sides.published_header(), self.me.name.by_ref(), name.by_ref(), i1);
            (frame, i1, Digest::NONE)
        } else {
            let i1 = sides.published.fresh_nonce(cx.rng, modern.sizes().nonce).map_err(fresh)?;
            if published_join {
                let mut out = BytesMut::with_capacity(256);
                let mut digest = Digest::NONE;
                BridgedRequest { leader: self.me.name.by_ref(), i1, join: Blob(join) }.put_tagged(
                    sides.repaired_header(),
                    &mut out,
                    |covered| {
                        digest = question_digest(modern, covered)?;
                        modern.mac(self.me.keys.request.secret(), &[covered])
                    },
                )?;
                (out.freeze(), i1, digest)
            } else {
                let question = Question::new(modern, sides.repaired_header(), &self.me.keys, i1, join)?;
                (question.frame, i1, question.digest)
            }
        };
        let mut jitter = self.jitter.clone();
        let stage = Stage::Waiting(Backoff::start(self.me.limits.retry, now, &mut jitter));
        Ok(Pending {
            link: Some(link),
            name,
            request: Bytes::copy_from_slice(join),
            i0,
            i1,
            share,
            question,
            digest,
            since: now,
            answered: now,
            stage,
        })
    }

    /// Sends the question of a pending join, `again` if it has been sent before.
    pub(super) fn ask_third_party(&mut self, now: Instant, id: PendingId, again: bool) {
        let Some(pending) = self.pendings.get_mut(&id) else { return };
        let frame = pending.question.clone();
        let Stage::Waiting(backoff) = &mut pending.stage else { return };
        if again {
            backoff.again(now, &mut self.jitter);
        }
        let due = backoff.due();
        self.timers.set(Timer::Question(id), Some(due));
        match self.third_party {
            Some(link) => self.out.send(control(link, frame)),
            None => {
                if let Some(ticket) = self.wanted.want(now, self.me.limits.retry.ceiling) {
                    self.out.event(Event::LinkWanted { ticket, peer: PeerName::ThirdParty, hint: Bytes::new() });
                }
            }
        }
    }

    /// AN-T2 or AN-T2s.
    pub(super) fn on_pair_answer(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        strong: bool,
        frame: &[u8],
    ) -> Result<(), Reason> {
        let sides = &self.me.sides;
        sides.expect(Part::ThirdParty, Edition::AsPublished)?;
        if strong != sides.mix.strong_reply {
            return Err(Reason::Mismatch);
        }
        let (suite, key) = (&*sides.published, &self.me.published_key);
        let answer = exchange::Answer::open(suite, key, strong, frame)?;
        let waiting = |pending: &&Pending| matches!(pending.stage, Stage::Waiting(_)) && pending.i1 == answer.i1;
        let found = self.pendings.iter().find(|(_, pending)| waiting(pending));
        let (id, pending) = found.map(|(id, pending)| (*id, pending)).ok_or(Reason::Unknown)?;
        let sigma = answer.pair_key(suite, key, self.me.name.by_ref(), pending.name.by_ref())?;
        let vouched = if sides.is_published(Part::Join) {
            Vouched::Pair(sigma)
        } else {
            let (digest, session) = sides.bridged_session(&sigma, &pending.question, &pending.request)?;
            if let Some(pending) = self.pendings.get_mut(&id) {
                pending.digest = digest;
            }
            Vouched::Session(session)
        };
        self.vouched(cx, now, id, vouched)
    }

    /// RA-T2.
    pub(super) fn on_key_answer(&mut self, cx: &mut Cx<'_>, now: Instant, mut frame: BytesMut) -> Result<(), Reason> {
        let sides = &self.me.sides;
        sides.expect(Part::ThirdParty, Edition::Repaired)?;
        let i1 = KeyAnswer::parse(&frame).map_err(|_| Reason::Malformed)?.message.i1;
        let waiting = |pending: &&Pending| matches!(pending.stage, Stage::Waiting(_)) && pending.i1 == i1;
        let found = self.pendings.iter().find(|(_, pending)| waiting(pending));
        let (id, pending) = found.map(|(id, pending)| (*id, pending)).ok_or(Reason::Unknown)?;
        let question = Question { i1, frame: pending.question.clone(), digest: pending.digest };
        let name = pending.name.clone();
        let (modern, keys, checks) = (&*sides.modern, &self.me.keys, self.me.limits.checks);
        let vouched = if sides.is_published(Part::Join) {
            read_pair(&question, modern, keys, &mut frame)?.map(Vouched::Pair)
        } else {
            match question.read_answer(modern, keys, checks, &mut frame)? {
                Verdict::Vouched(session) => Ok(Vouched::Session(session)),
                Verdict::Refused(why) => Err(why),
            }
        };
        match vouched {
            Ok(vouched) => self.vouched(cx, now, id, vouched),
            Err(why) => {
                self.drop_pending(id);
                self.out.event(Event::NotVouched { name, why });
                Ok(())
            }
        }
    }

    /// The third party vouches: who decides?
    fn vouched(&mut self, cx: &mut Cx<'_>, now: Instant, id: PendingId, vouched: Vouched) -> Result<(), Reason> {
        let Some(pending) = self.pendings.get_mut(&id) else { return Err(Reason::Unknown) };
        let name = pending.name.clone();
        match &self.me.access {
            Access::Registered => self.offer(cx, now, id, &vouched, Ok(())),
            Access::List(list) => {
                let verdict = if list.contains(&name) { Ok(()) } else { Err(Refusal::Denied) };
                self.offer(cx, now, id, &vouched, verdict)
            }
            Access::Ask => {
                let ticket = Ticket(self.next_ticket);
                self.next_ticket += 1;
                pending.stage = Stage::Deciding(ticket, vouched);
                self.timers.set(Timer::Question(id), None);
                self.out.event(Event::AdmissionWanted { ticket, name });
                Ok(())
            }
        }
    }

    /// The pending join that this ticket asks about.
    pub(super) fn deciding(&self, ticket: Ticket) -> Option<PendingId> {
        let asked = |pending: &Pending| matches!(pending.stage, Stage::Deciding(of, _) if of == ticket);
        self.pendings.iter().find(|(_, pending)| asked(pending)).map(|(id, _)| *id)
    }

    /// The application's verdict.
    pub(super) fn decide(&mut self, cx: &mut Cx<'_>, now: Instant, id: PendingId, admit: bool) -> Result<(), Reason> {
        let Some(Stage::Deciding(_, vouched)) = self.pendings.get(&id).map(|pending| &pending.stage) else {
            return Err(Reason::Unknown);
        };
        let vouched = vouched.clone();
        self.offer(cx, now, id, &vouched, if admit { Ok(()) } else { Err(Refusal::Denied) })
    }

    pub(super) fn drop_pending(&mut self, id: PendingId) {
        self.pendings.remove(&id);
        self.timers.set(Timer::Question(id), None);
        self.timers.set(Timer::Pending(id), None);
    }
}

/// σ out of the answer to RA-T1m.
fn read_pair(
    question: &Question,
    modern: &dyn crate::crypto::Suite,
    keys: &crate::ttp::schedule::LeaderKeys,
    frame: &mut [u8],
) -> Result<Result<Key<role::Pair>, Refusal>, Reason> {
    let parsed = KeyAnswer::parse(frame).map_err(|_| Reason::Malformed)?;
    let (status, clear, text, tag) = (parsed.message.status, parsed.clear, parsed.text, parsed.tag);
    let mut code = BytesMut::with_capacity(1);
    status.put(&mut code);
    let key = keys.answer_box(modern, code.first().copied().unwrap_or_default(), &question.digest)?;
    let (ad, text) = split_frame(frame, clear, &text);
    modern.open(key.secret(), BoxNumber::ONLY, ad, text, &tag)?;
    Ok(match status {
        Status::Vouched if text.is_empty() => return Err(Reason::Violation),
        Status::Vouched => Ok(Key::new(Secret::take(text))),
        Status::Unknown => Err(Refusal::Unknown),
        Status::BadTag => Err(Refusal::BadTag),
        Status::Disabled => Err(Refusal::Disabled),
        Status::Busy => Err(Refusal::Busy),
    })
}
