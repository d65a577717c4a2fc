//! The admitting side, repaired edition: the table of pending joins.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::asking::fresh_nonce;
use crate::antigone::schedule::{ChannelKeys, channel_root, transcript};
use crate::crypto::keys::role;
use crate::crypto::{Aead, BoxNumber, Key, Suite};
use crate::endpoint::{Entropy, Instant, Link};
use crate::error::{Failure, Reason};
use crate::event::{Refusal, Ticket};
use crate::group::access::{Held, make_room};
use crate::group::jitter::Jitter;
use crate::group::limits::Limits;
use crate::group::retry::Backoff;
use crate::identity::{Instance, MemberId, Name, NameRef, Version};
use crate::ttp::exchange::Question;
use crate::ttp::schedule::LeaderKeys;
use crate::wire::antigone::{Accept, JoinAnswer, JoinRequest, Offer, RefuseCode};
use crate::wire::field::{Blob, Digest, Field, Nonce, Share, VerifyingKey};
use crate::wire::{Header, Message};

/// Names a pending join inside the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PendingId(pub u64);

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for PendingId {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        self.0.fingerprint(now, sink);
    }
}

/// A join that is not confirmed yet. It touches nobody and expires.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Pending {
    /// Where it came from; none once that link is closed.
    pub link: Option<Link>,
    /// Who asks.
    pub name: Name,
    /// RA-J1 as it came.
    request: Bytes,
    i0: Nonce,
    share: Share,
    question: Question,
    /// When it came.
    pub since: Instant,
    /// When something was last sent for it: duplicates of RA-J1 get at most one answer an RTO.
    answered: Instant,
    /// What it waits for.
    pub stage: Stage,
}

fingerprint!(Pending { link, name, request, i0, share, question, since, answered, stage });

/// What a pending join waits for.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub enum Stage {
    /// For the third party.
    Waiting(Backoff),
    /// For the application.
    Deciding(Ticket, Key<role::Session>),
    /// For `hello`: RA-J2 as it is sent and repeated (I-4), and the channel that it opened.
    Offered(Offered),
    /// For its end: a sealed refusal.
    Refused(Bytes),
}

/// An offer on its way. Copies share the prepared keys.
#[derive(Debug, Clone)]
pub struct Offered {
    /// RA-J2.
    pub frame: Bytes,
    /// The member number offered.
    pub cid: MemberId,
    /// When RA-J2 was first sent: what it proves when it is echoed counts from then.
    pub at: Instant,
    /// Seals the leader's frames.
    pub seal: Arc<dyn Aead>,
    /// Opens the member's.
    pub open: Arc<dyn Aead>,
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Stage {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::Waiting(backoff) => {
                0u8.fingerprint(now, sink);
                backoff.fingerprint(now, sink);
            }
            Self::Deciding(ticket, key) => {
                1u8.fingerprint(now, sink);
                ticket.0.fingerprint(now, sink);
                key.fingerprint(now, sink);
            }
            Self::Offered(Offered { frame, cid, at, seal: _, open: _ }) => {
                2u8.fingerprint(now, sink);
                frame.fingerprint(now, sink);
                cid.fingerprint(now, sink);
                at.fingerprint(now, sink);
            }
            Self::Refused(frame) => {
                3u8.fingerprint(now, sink);
                frame.fingerprint(now, sink);
            }
        }
    }
}

/// The pending joins of a leader.
#[derive(Debug, Default)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Pendings {
    table: BTreeMap<PendingId, Pending>,
    next: u64,
}

fingerprint!(Pendings { table } skip { next });

/// What RA-J1 leads to.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "taken apart at once, never kept")]
pub enum Request {
    /// A new pending join; those that it replaces where a budget is full.
    New(Pending, Vec<PendingId>),
    /// A duplicate: repeat what was sent for it.
    Repeat(PendingId, Repeat),
}

/// What is repeated for a duplicate of RA-J1.
#[derive(Debug)]
pub enum Repeat {
    /// RA-T1, to the third party.
    Question(Bytes),
    /// RA-J2, to the member.
    Answer(Bytes),
}

/// Who this leader is, for RA-J1.
#[derive(Clone, Copy, Debug)]
pub struct Desk<'a> {
    /// The suite.
    pub suite: &'a dyn Suite,
    /// The header of the edition and suite.
    pub header: Header,
    /// The application.
    pub app: NameRef<'a>,
    /// The leader.
    pub leader: NameRef<'a>,
    /// Its keys with the third party.
    pub keys: &'a LeaderKeys,
    /// Limits and times.
    pub limits: &'a Limits,
}

impl Pendings {
    /// RA-J1 from `link`: RA §4.1, steps (1), (3), (4) and (5); the caller has checked that the link is proven (2).
    ///
    /// # Errors
    /// [`Reason`].
    pub fn request(
        &self,
        desk: Desk<'_>,
        now: Instant,
        rng: &mut dyn Entropy,
        jitter: &mut Jitter,
        link: Link,
        frame: &[u8],
    ) -> Result<Request, Reason> {
        let request = JoinRequest::parse(frame).map_err(|_| Reason::Malformed)?.message;
        if request.app != desk.app || request.leader != desk.leader {
            return Err(Reason::Unknown);
        }
        if request.member == desk.leader {
            return Err(Reason::Violation);
        }
        let limits = desk.limits;
        let name = request.member.to_name();
        for (id, pending) in &self.table {
            if pending.name == name && pending.i0 == request.i0 {
                // The same bytes over another link are the same request: whose link has closed may ask again, and a copy
                // that came first elsewhere holds nobody up (R40).
                if *pending.request != *frame {
                    return Err(Reason::Replayed);
                }
                if now.since(pending.answered) < limits.retry.first {
                    return Err(Reason::Budget);
                }
                let repeat = match &pending.stage {
                    Stage::Waiting(_) => Repeat::Question(pending.question.frame.clone()),
                    Stage::Deciding(..) => return Err(Reason::Budget),
                    Stage::Offered(Offered { frame, .. }) | Stage::Refused(frame) => Repeat::Answer(frame.clone()),
                };
                return Ok(Request::Repeat(*id, repeat));
            }
        }
        let replaced = self.make_room(limits, now, link, &name)?;
        let i1 = fresh_nonce(desk.suite, rng).map_err(|error| Reason::from(Failure::from(error)))?;
        let question = Question::new(desk.suite, desk.header, desk.keys, i1, frame).map_err(Reason::from)?;
        let pending = Pending {
            link: Some(link),
            name,
            request: Bytes::copy_from_slice(frame),
            i0: request.i0,
            share: request.share,
            question,
            since: now,
            answered: now,
            stage: Stage::Waiting(Backoff::start(limits.retry, now, jitter)),
        };
        Ok(Request::New(pending, replaced))
    }

    /// Budgets (4).
    fn make_room(&self, limits: &Limits, now: Instant, link: Link, name: &Name) -> Result<Vec<PendingId>, Reason> {
        let held: Vec<_> = self
            .table
            .iter()
            .map(|(id, pending)| Held { id: *id, link: pending.link, name: &pending.name, since: pending.since })
            .collect();
        make_room(&held, limits, now, link, name)
    }

    /// Enters a new pending join.
    pub fn insert(&mut self, pending: Pending) -> PendingId {
        let id = PendingId(self.next);
        self.next += 1;
        self.table.insert(id, pending);
        id
    }

    /// Something was sent for it, or is being sent over `link`, from which it was asked for.
    pub fn touch(&mut self, id: PendingId, now: Instant, link: Link) {
        if let Some(pending) = self.table.get_mut(&id) {
            pending.link = Some(link);
            pending.answered = now;
        }
    }

    /// The pending join that this RA-T2 answers.
    pub fn asked(&self, i1: &Nonce) -> Option<(PendingId, &Pending)> {
        let mut waiting = self.table.iter().filter(|(_, pending)| matches!(pending.stage, Stage::Waiting(_)));
        waiting.find(|(_, pending)| pending.question.i1 == *i1).map(|(id, pending)| (*id, pending))
    }

    /// The pending join that was offered this member number.
    pub fn offered(&self, cid: MemberId) -> Option<(PendingId, &Pending, &Offered)> {
        self.table.iter().find_map(|(id, pending)| match &pending.stage {
            Stage::Offered(offered) if offered.cid == cid => Some((*id, pending, offered)),
            _ => None,
        })
    }

    /// The pending joins that await the application's answer to this ticket.
    pub fn deciding(&self, ticket: Ticket) -> Vec<PendingId> {
        let asked = |pending: &Pending| matches!(pending.stage, Stage::Deciding(of, _) if of == ticket);
        self.table.iter().filter(|(_, pending)| asked(pending)).map(|(id, _)| *id).collect()
    }

    /// Whether this pending join awaits the application.
    pub fn is_deciding(&self, id: PendingId) -> bool {
        self.table.get(&id).is_some_and(|pending| matches!(pending.stage, Stage::Deciding(..)))
    }

    /// The open question about `name`, if the application has been asked already: it is asked once for a name.
    pub fn question_about(&self, name: &Name) -> Option<Ticket> {
        self.table.values().find_map(|pending| match pending.stage {
            Stage::Deciding(ticket, _) if pending.name == *name => Some(ticket),
            _ => None,
        })
    }

    /// One pending join.
    pub fn get(&self, id: PendingId) -> Option<&Pending> {
        self.table.get(&id)
    }

    /// One pending join, to move it on.
    pub fn get_mut(&mut self, id: PendingId) -> Option<&mut Pending> {
        self.table.get_mut(&id)
    }

    /// Drops a pending join.
    pub fn remove(&mut self, id: PendingId) -> Option<Pending> {
        self.table.remove(&id)
    }

    /// What came over a link that is closed and must go: all but offers, since `hello` may come over another.
    pub fn link_closed(&mut self, link: Link) -> Vec<PendingId> {
        let mut gone = Vec::new();
        for (id, pending) in self.table.iter_mut().filter(|(_, pending)| pending.link == Some(link)) {
            match pending.stage {
                Stage::Offered(_) => pending.link = None,
                _ => gone.push(*id),
            }
        }
        gone
    }

    /// Pending joins by age.
    pub fn iter(&self) -> impl Iterator<Item = (PendingId, &Pending)> {
        self.table.iter().map(|(id, pending)| (*id, pending))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes of their frames and records, without prepared keys and without what tables and spare room cost: for the whole
    /// see [`Limits::PENDING_BYTES`] (R2).
    pub fn bytes(&self) -> usize {
        let of = |pending: &Pending| {
            let answer = match &pending.stage {
                Stage::Offered(offered) => offered.frame.len(),
                Stage::Refused(frame) => frame.len(),
                Stage::Waiting(_) | Stage::Deciding(..) => 0,
            };
            size_of::<Pending>() + pending.request.len() + pending.question.frame.len() + answer
        };
        self.table.values().map(of).sum()
    }
}

/// What the leader tells a newcomer.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// The group instance.
    pub group: Instance,
    /// The member number.
    pub cid: MemberId,
    /// The leader's signature key.
    pub leader_key: VerifyingKey,
    /// The version of the policy.
    pub policy_version: Version,
    /// The policy in its canonical form.
    pub policy: &'a [u8],
}

impl Pending {
    /// RA-J1 as it came.
    pub fn request(&self) -> &Bytes {
        &self.request
    }

    /// The question to the third party.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Whether the request carries an ephemeral share.
    pub fn is_ephemeral(&self) -> bool {
        !self.share.is_empty()
    }

    /// Makes RA-J2, once (I-4): an offer with `welcome`, a refusal without. The ephemeral secret lives in here only.
    ///
    /// # Errors
    /// [`Reason::Forged`] if the member's share is not one; [`Reason::Entropy`], [`Reason::Suite`].
    pub fn answer(
        &self,
        suite: &dyn Suite,
        header: Header,
        rng: &mut dyn Entropy,
        session: &Key<role::Session>,
        now: Instant,
        welcome: Result<Welcome<'_>, Refusal>,
    ) -> Result<Stage, Reason> {
        let offer = match welcome {
            Ok(welcome) => Offer::Accept(Accept {
                group: welcome.group,
                cid: welcome.cid,
                leader_key: welcome.leader_key,
                policy_version: welcome.policy_version,
                policy: Blob(welcome.policy),
            }),
            Err(Refusal::Busy) => Offer::Refuse(RefuseCode::Busy),
            Err(_) => Offer::Refuse(RefuseCode::Denied),
        };
        let asked = Asked { i0: self.i0, i1: self.question.i1, share: self.share, digest: self.question.digest };
        let SealedOffer { frame, seal, open, .. } = asked.answer(suite, header, rng, session, &offer)?;
        Ok(match welcome {
            Ok(Welcome { cid, .. }) => Stage::Offered(Offered { frame, cid, at: now, seal, open }),
            Err(_) => Stage::Refused(frame),
        })
    }
}

/// What RA-J2 answers.
#[derive(Clone, Copy, Debug)]
pub(in crate::antigone) struct Asked {
    /// I0 of the request.
    pub(in crate::antigone) i0: Nonce,
    /// The leader's number.
    pub(in crate::antigone) i1: Nonce,
    /// X_A, or none.
    pub(in crate::antigone) share: Share,
    /// The digest of the question to the third party.
    pub(in crate::antigone) digest: Digest,
}

/// RA-J2, with the keys that it opens.
#[derive(Debug)]
pub(in crate::antigone) struct SealedOffer {
    pub(in crate::antigone) frame: Bytes,
    /// `Z`. Only a bridge needs it.
    #[cfg_attr(not(feature = "historic"), allow(dead_code))]
    pub(in crate::antigone) root: Key<role::ChannelRoot>,
    pub(in crate::antigone) seal: Arc<dyn Aead>,
    pub(in crate::antigone) open: Arc<dyn Aead>,
}

impl Asked {
    /// Makes RA-J2 with this offer.
    ///
    /// # Errors
    /// As [`Pending::answer`].
    pub(in crate::antigone) fn answer(
        &self,
        suite: &dyn Suite,
        header: Header,
        rng: &mut dyn Entropy,
        session: &Key<role::Session>,
        offer: &Offer<'_>,
    ) -> Result<SealedOffer, Reason> {
        let (share, exchanged) = if self.share.is_empty() {
            (Share::new(&[]).ok_or(Reason::Suite)?, None)
        } else {
            let (secret, share) = suite.agreement_pair(rng).map_err(|error| Reason::from(Failure::from(error)))?;
            (share, Some(suite.agree(&secret, &self.share)?))
        };
        let answer = JoinAnswer { i0: self.i0, i1: self.i1, share };
        let mut clear = BytesMut::with_capacity(128);
        answer.put_clear(header, &mut clear);
        let transcript = transcript(suite, &self.digest, &clear)?;
        let root = channel_root(suite, session, exchanged.as_ref(), &transcript)?;
        let (seal, open) = ChannelKeys::of_root(suite, &root)?.prepare(suite)?;
        let mut out = BytesMut::with_capacity(1024);
        let number = BoxNumber { domain: 0, counter: 0 };
        answer.put_boxed(header, &mut out, |text| offer.put(text), |ad, text| seal.seal(number, ad, text))?;
        Ok(SealedOffer { frame: out.freeze(), root, seal, open })
    }
}
