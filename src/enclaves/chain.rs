//! The chain between a leader and one member (enclaves §4.3): what the leader tells, one thing at a time, each bound to the
//! number that the other made last.
//!
//! **Goal.** What a member accepts is a prefix of what the leader told it, in order, without duplicates; each side knows
//! until when the other was alive for certain.
//!
//! **Assumes.** K_a, fresh for this session, which nobody else has.
//!
//! **Messages.** EN-R4 AdminMsg and EN-R5 Ack; EN-R6 to EN-R8 under the same keys, in domains of their own.
//!
//! **Guarantees.** An AdminMsg names the number that the member made last, N_{2i+1}, and brings a fresh one, N_{2i+2}; the
//! Ack names that and brings N_{2i+3}. So an old one is accepted by neither (E9, E11, E13). What is lost is repeated as the same bytes, and
//! the AdminMsg accepted last is answered with the same Ack again (D31): no term appears that the proof does not know.

use alloc::sync::Arc;
use core::ops::Range;

use bytes::Bytes;

use crate::crypto::keys::role;
use crate::crypto::{Aead, BoxNumber, FreshError, Key, Purpose, Suite, SuiteError, VerifyError};
use crate::enclaves::auth::LABEL;
use crate::endpoint::{Entropy, Instant};
use crate::error::{Failure, Reason};
use crate::group::channel::{LAST_NUMBER, Standing};
use crate::group::{Backoff, Check, Checks, Jitter, Pool};
use crate::identity::{Instance, MemberId, NameRef};
use crate::wire::enclaves::repaired::{
    Ack, AckText, AdminMsg, AdminPayload, AdminText, CloseText, Closed, EndText, ReqClose, Request, RequestText,
};
use crate::wire::field::{Field, Nonce};
use crate::wire::frame::split_frame;
use crate::wire::{Boxed, Header, Message};

/// AdminMsg under the leader's key, Ack under the member's: numbered by `seq`.
const CHAIN: u32 = 0;
/// Requests, numbered.
const REQUESTS: u32 = 1;
/// The end: one text for each side in a session.
const END: BoxNumber = BoxNumber { domain: 2, counter: 0 };
/// EN-R2 and EN-R3: one text for each side in a session.
pub const JOIN: BoxNumber = BoxNumber { domain: 3, counter: 0 };

/// A fresh number as long as the suite makes them.
pub(super) fn fresh_nonce(suite: &dyn Suite, rng: &mut dyn Entropy) -> Result<Nonce, FreshError> {
    let mut bytes = [0; Nonce::MAX];
    let drawn = bytes.get_mut(..suite.sizes().nonce).ok_or(SuiteError)?;
    rng.fill(drawn)?;
    Ok(Nonce::new(drawn).ok_or(SuiteError)?)
}

/// The two keys of a session, by direction.
#[derive(Debug, Clone)]
pub struct SessionKeys {
    /// Sealed with by the leader alone.
    pub leader: Arc<dyn Aead>,
    /// Sealed with by the member alone.
    pub member: Arc<dyn Aead>,
}

impl SessionKeys {
    /// From K_a.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn derive(suite: &dyn Suite, key: &Key<role::Enclave>) -> Result<Self, SuiteError> {
        let prepare = |label: &[u8]| suite.aead(&suite.expand(key.secret(), &[LABEL, label], Purpose::Aead)?);
        Ok(Self { leader: prepare(b"leader to member")?, member: prepare(b"member to leader")? })
    }
}

/// Which session.
#[derive(Debug, Clone)]
pub struct Place {
    /// The header of all messages.
    pub header: Header,
    /// The group instance.
    pub group: Instance,
    /// The member.
    pub cid: MemberId,
    /// The keys of both directions.
    pub keys: SessionKeys,
    /// What is checked; all of it, but in tests of attacks.
    pub checks: Checks,
}

impl Place {
    fn mine(&self, group: Instance, cid: MemberId) -> Result<(), Reason> {
        if group == self.group && cid == self.cid { Ok(()) } else { Err(Reason::Unknown) }
    }

    /// Opens `frame` in place; gives where its text stands.
    fn open<M>(
        &self,
        key: &dyn Aead,
        number: BoxNumber,
        frame: &mut [u8],
        parsed: Parsed<M>,
    ) -> Result<Range<usize>, Reason> {
        let Parsed { clear, text, tag, .. } = parsed;
        let (ad, sealed) = split_frame(frame, clear, &text);
        let opened = key.open(number, ad, sealed, &tag);
        key.scrub();
        match opened {
            Err(VerifyError::Forged) if !self.checks.on(Check::ChainBox) => {}
            opened => opened?,
        }
        Ok(text)
    }
}

/// A parsed frame without its borrow.
struct Parsed<M> {
    message: M,
    clear: usize,
    text: Range<usize>,
    tag: crate::wire::field::Tag,
}

impl<M> From<Boxed<M>> for Parsed<M> {
    fn from(Boxed { message, clear, text, tag }: Boxed<M>) -> Self {
        Self { message, clear, text, tag }
    }
}

/// What was told, or accepted, in its order: for checkers. It holds nothing but in the test kit.
#[derive(Debug, Clone, Default)]
pub(super) struct Diary {
    #[cfg(any(test, feature = "sim"))]
    entries: alloc::vec::Vec<u64>,
}

impl Diary {
    /// Notes an AdminMsg by its text, the fresh numbers among it: no two are alike.
    #[cfg_attr(not(any(test, feature = "sim")), expect(unused_variables, reason = "nobody reads it"))]
    fn note(&mut self, text: &AdminText<'_>) {
        #[cfg(any(test, feature = "sim"))]
        {
            let mut bytes = bytes::BytesMut::new();
            text.put(&mut bytes);
            let digest = |digest: u64, byte: &u8| (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            self.entries.push(bytes.iter().fold(0xcbf2_9ce4_8422_2325, digest));
        }
    }

    /// The entries: digests.
    #[cfg(any(test, feature = "sim"))]
    pub(super) fn entries(&self) -> &[u64] {
        &self.entries
    }
}

/// The leader's end.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct LeaderChain {
    /// Which session.
    pub place: Place,
    /// N_{2i+1}: what the member made last.
    last: Nonce,
    seq: u64,
    outstanding: Option<Outstanding>,
    /// The number of the last request taken.
    requests: u64,
    /// What was told.
    pub(super) told: Diary,
    /// How many Acks have counted.
    pub(super) acked: u64,
}

fingerprint!(LeaderChain { last, seq, outstanding, requests } skip { place, told, acked });

/// An AdminMsg that is not acknowledged.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Outstanding {
    frame: Bytes,
    next: Nonce,
    since: Instant,
    backoff: Backoff,
}

fingerprint!(Outstanding { frame, next, since, backoff });

/// What a verified request is to the leader.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// The next one; its text stands there.
    New(u64, Range<usize>),
    /// The last one again.
    Repeat,
}

impl LeaderChain {
    /// After EN-R3, which brought `n3`.
    pub fn new(place: Place, n3: Nonce) -> Self {
        Self { place, last: n3, seq: 0, outstanding: None, requests: 0, told: Diary::default(), acked: 0 }
    }

    /// Whether something may be told: nothing is outstanding.
    pub fn free(&self) -> bool {
        self.outstanding.is_none()
    }

    /// Since when the outstanding AdminMsg is.
    pub fn since(&self) -> Option<Instant> {
        self.outstanding.as_ref().map(|outstanding| outstanding.since)
    }

    /// When the outstanding AdminMsg is to be repeated.
    pub fn due(&self) -> Option<Instant> {
        self.outstanding.as_ref().map(|outstanding| outstanding.backoff.due())
    }

    /// Whether the numbers are used up (R16).
    pub fn exhausted(&self) -> bool {
        self.seq >= LAST_NUMBER || self.requests >= LAST_NUMBER
    }

    /// Tells the next thing. Its number is used up even if that fails (R16).
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::Suite`] also while something is outstanding, or the numbers are used up.
    #[allow(clippy::too_many_arguments, reason = "what a machine has, by its parts")]
    pub fn tell(
        &mut self,
        suite: &dyn Suite,
        rng: &mut dyn Entropy,
        pool: &mut Pool,
        now: Instant,
        backoff: Backoff,
        standing: Standing,
        payload: AdminPayload<'_>,
    ) -> Result<Bytes, Failure> {
        if self.exhausted() || !self.free() {
            return Err(Failure::Suite);
        }
        let next = fresh_nonce(suite, rng)?;
        self.seq += 1;
        let Place { header, group, cid, keys, .. } = &self.place;
        let Standing { epoch, view, policy, .. } = standing;
        let text = AdminText { last: self.last, next, epoch, view, policy, taken: self.requests, payload };
        let number = BoxNumber { domain: CHAIN, counter: self.seq };
        let frame = pool.compose(1_024, |out| {
            let message = AdminMsg { group: *group, cid: *cid, seq: self.seq };
            message.put_boxed(*header, out, |out| text.put(out), |ad, text| keys.leader.seal(number, ad, text))
        })?;
        self.told.note(&text);
        // A copy of its own: what waits for a member must not hold whole blocks.
        let frame = Bytes::copy_from_slice(&frame);
        self.outstanding = Some(Outstanding { frame: frame.clone(), next, since: now, backoff });
        Ok(frame)
    }

    /// The outstanding AdminMsg again, as the same bytes.
    pub fn repeat(&mut self, now: Instant, jitter: &mut Jitter) -> Option<Bytes> {
        let outstanding = self.outstanding.as_mut()?;
        outstanding.backoff.again(now, jitter);
        Some(outstanding.frame.clone())
    }

    /// The outstanding AdminMsg, if there is one.
    pub fn outstanding(&self) -> Option<Bytes> {
        self.outstanding.as_ref().map(|outstanding| outstanding.frame.clone())
    }

    /// Reads an Ack: N_{2i+3}, if it answers what is outstanding. Changes nothing.
    ///
    /// # Errors
    /// [`Reason::Malformed`]; [`Reason::Unknown`] for another session; [`Reason::Forged`], [`Reason::Suite`];
    /// [`Reason::Violation`] for a text that is none; [`Reason::Replayed`] for an Ack of something else.
    pub fn hear_ack(&self, frame: &mut [u8]) -> Result<Nonce, Reason> {
        let parsed: Parsed<Ack> = Ack::parse(frame).map_err(|_| Reason::Malformed)?.into();
        let Ack { group, cid, seq } = parsed.message;
        self.place.mine(group, cid)?;
        let number = BoxNumber { domain: CHAIN, counter: seq };
        let text = self.place.open(&*self.place.keys.member, number, frame, parsed)?;
        let text = AckText::decode(frame.get(text).unwrap_or_default()).map_err(|_| Reason::Violation)?;
        match &self.outstanding {
            Some(outstanding) if outstanding.next == text.last => Ok(text.next),
            Some(_) if !self.place.checks.on(Check::AckOrder) => Ok(text.next),
            _ => Err(Reason::Replayed),
        }
    }

    /// What is outstanding has been accepted.
    pub fn commit_ack(&mut self, next: Nonce) {
        self.last = next;
        self.outstanding = None;
        self.acked += 1;
    }

    /// Reads a request. Changes nothing.
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Unknown`], [`Reason::Forged`], [`Reason::Suite`]; [`Reason::Replayed`] for one before the last.
    pub fn hear_request(&self, frame: &mut [u8]) -> Result<Asked, Reason> {
        let parsed: Parsed<Request> = Request::parse(frame).map_err(|_| Reason::Malformed)?.into();
        let Request { group, cid, number } = parsed.message;
        self.place.mine(group, cid)?;
        let sealed = BoxNumber { domain: REQUESTS, counter: number };
        let text = self.place.open(&*self.place.keys.member, sealed, frame, parsed)?;
        match number.checked_sub(self.requests) {
            Some(1) => Ok(Asked::New(number, text)),
            Some(0) => Ok(Asked::Repeat),
            // One at a time: a member does not go on before the last was taken.
            Some(_) => Err(Reason::Violation),
            None => Err(Reason::Replayed),
        }
    }

    /// The request of this number has been taken.
    pub fn commit_request(&mut self, number: u64) {
        self.requests = number;
    }

    /// Whether this is the member's authentic wish to close.
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Unknown`], [`Reason::Forged`], [`Reason::Suite`], [`Reason::Violation`].
    pub fn hear_close(&self, frame: &mut [u8]) -> Result<(), Reason> {
        let parsed: Parsed<ReqClose> = ReqClose::parse(frame).map_err(|_| Reason::Malformed)?.into();
        self.place.mine(parsed.message.group, parsed.message.cid)?;
        let text = self.place.open(&*self.place.keys.member, END, frame, parsed)?;
        CloseText::decode(frame.get(text).unwrap_or_default()).map(drop).map_err(|_| Reason::Violation)
    }

    /// EN-R7, once in a session: it is kept and repeated.
    ///
    /// # Errors
    /// [`Failure::Suite`].
    pub fn end(&self, pool: &mut Pool, text: EndText) -> Result<Bytes, Failure> {
        let Place { header, group, cid, keys, .. } = &self.place;
        let frame = pool.compose(128, |out| {
            let message = Closed { group: *group, cid: *cid };
            message.put_boxed(*header, out, |out| text.put(out), |ad, text| keys.leader.seal(END, ad, text))
        })?;
        Ok(Bytes::copy_from_slice(&frame))
    }
}

/// The member's end.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct MemberChain {
    /// Which session.
    pub place: Place,
    /// N_{2i+1}: the own number that the next AdminMsg must name.
    last: Nonce,
    /// When it was first sent: whatever names it was made after that.
    made: Instant,
    answered: Option<Answered>,
    accepted: u64,
    /// What was accepted.
    pub(super) diary: Diary,
}

fingerprint!(MemberChain { last, made, answered, accepted } skip { place, diary });

/// The AdminMsg that was accepted last, and the Ack to it.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Answered {
    seq: u64,
    last: Nonce,
    ack: Bytes,
}

fingerprint!(Answered { seq, last, ack });

/// What a verified AdminMsg is to the member.
#[derive(Debug)]
pub enum Heard {
    /// The next one.
    New(New),
    /// The one accepted last: the same Ack again.
    Repeat(Bytes),
}

/// The next AdminMsg. Nothing has changed yet.
#[derive(Debug)]
pub struct New {
    /// The leader lived after this instant.
    pub proof: Instant,
    /// Where the text stands.
    pub text: Range<usize>,
    seq: u64,
    next: Nonce,
}

/// An Ack that is made and not sent.
#[derive(Debug)]
pub struct Reply {
    /// EN-R5.
    pub ack: Bytes,
    next: Nonce,
}

impl MemberChain {
    /// After EN-R3, which brings `n3` at `now`.
    pub fn new(place: Place, n3: Nonce, now: Instant) -> Self {
        Self { place, last: n3, made: now, answered: None, accepted: 0, diary: Diary::default() }
    }

    /// How many AdminMsgs have been accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Reads an AdminMsg, changing nothing.
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Unknown`], [`Reason::Forged`], [`Reason::Suite`], [`Reason::Violation`]; [`Reason::Replayed`] for one
    /// that names another number than the own last one.
    pub fn hear(&self, frame: &mut [u8]) -> Result<Heard, Reason> {
        let parsed: Parsed<AdminMsg> = AdminMsg::parse(frame).map_err(|_| Reason::Malformed)?.into();
        let AdminMsg { group, cid, seq } = parsed.message;
        self.place.mine(group, cid)?;
        let number = BoxNumber { domain: CHAIN, counter: seq };
        let text = self.place.open(&*self.place.keys.leader, number, frame, parsed)?;
        let decoded = AdminText::decode(frame.get(text.clone()).unwrap_or_default()).map_err(|_| Reason::Violation)?;
        let (last, next) = (decoded.last, decoded.next);
        if last == self.last || !self.place.checks.on(Check::AdminNonce) {
            return Ok(Heard::New(New { proof: self.made, text, seq, next }));
        }
        let again = self.answered.as_ref().filter(|answered| (answered.seq, answered.last) == (seq, last));
        let again = again.filter(|_| self.place.checks.on(Check::AckRepeat));
        again.map(|answered| Heard::Repeat(answered.ack.clone())).ok_or(Reason::Replayed)
    }

    /// The Ack to `new`, made and not sent.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn reply(
        &self,
        suite: &dyn Suite,
        rng: &mut dyn Entropy,
        pool: &mut Pool,
        new: &New,
    ) -> Result<Reply, Failure> {
        let next = fresh_nonce(suite, rng)?;
        let Place { header, group, cid, keys, .. } = &self.place;
        let number = BoxNumber { domain: CHAIN, counter: new.seq };
        let text = AckText { last: new.next, next };
        let ack = pool.compose(256, |out| {
            let message = Ack { group: *group, cid: *cid, seq: new.seq };
            message.put_boxed(*header, out, |out| text.put(out), |ad, text| keys.member.seal(number, ad, text))
        })?;
        Ok(Reply { ack: Bytes::copy_from_slice(&ack), next })
    }

    /// Accepts `new`; `reply` is sent at `now`.
    pub fn commit(&mut self, new: &New, text: &AdminText<'_>, reply: &Reply, now: Instant) {
        self.diary.note(text);
        self.answered = Some(Answered { seq: new.seq, last: self.last, ack: reply.ack.clone() });
        self.last = reply.next;
        self.made = now;
        self.accepted += 1;
    }

    /// EN-R8.
    ///
    /// # Errors
    /// [`Failure::Suite`].
    pub fn request(&self, pool: &mut Pool, number: u64, text: &RequestText<'_>) -> Result<Bytes, Failure> {
        let Place { header, group, cid, keys, .. } = &self.place;
        let sealed = BoxNumber { domain: REQUESTS, counter: number };
        let frame = pool.compose(512, |out| {
            let message = Request { group: *group, cid: *cid, number };
            message.put_boxed(*header, out, |out| text.put(out), |ad, text| keys.member.seal(sealed, ad, text))
        })?;
        Ok(Bytes::copy_from_slice(&frame))
    }

    /// EN-R6: the same bytes each time.
    ///
    /// # Errors
    /// [`Failure::Suite`].
    pub fn close(&self, pool: &mut Pool, member: NameRef<'_>, leader: NameRef<'_>) -> Result<Bytes, Failure> {
        let Place { header, group, cid, keys, .. } = &self.place;
        let text = CloseText { member, leader };
        let frame = pool.compose(640, |out| {
            let message = ReqClose { group: *group, cid: *cid };
            message.put_boxed(*header, out, |out| text.put(out), |ad, text| keys.member.seal(END, ad, text))
        })?;
        Ok(Bytes::copy_from_slice(&frame))
    }

    /// Reads EN-R7.
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Unknown`], [`Reason::Forged`], [`Reason::Suite`], [`Reason::Violation`].
    pub fn hear_end(&self, frame: &mut [u8]) -> Result<EndText, Reason> {
        let parsed: Parsed<Closed> = Closed::parse(frame).map_err(|_| Reason::Malformed)?.into();
        self.place.mine(parsed.message.group, parsed.message.cid)?;
        let text = self.place.open(&*self.place.keys.leader, END, frame, parsed)?;
        EndText::decode(frame.get(text).unwrap_or_default()).map_err(|_| Reason::Violation)
    }
}
