//! The channel between a leader and one member (RA §4.2).
//!
//! **Goal.** Records of either side arrive at the other in order, once each (S4), and each side knows until when the
//! other was certainly alive and what it then had (S8), over links that lose, repeat and reorder.
//!
//! **Assumes.** Two keys, one for each direction, fresh from both sides.
//!
//! **Messages.** RA-CL, RA-CM: status (`seen`, `ack`, epoch, view, policy, answer, `rseq`) and a body.
//!
//! **Guarantees.** Each frame has a number of its own, retransmissions included, so no frame is accepted twice (A13,
//! A19, A20). `seen` is challenge and echo at once: what it proves counts from the time at which the echoed frame was
//! *sent*, so that what is withheld and replayed later moves nothing forward (A16, A17). One record is outstanding at
//! most; it is repeated as the same bytes in a new frame.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;

use bytes::{Bytes, BytesMut};

use super::checks::{Check, Checks};
use super::evidence::Probes;
use super::jitter::Jitter;
use super::outbox::Pool;
use super::retry::{Backoff, Retry};
use crate::crypto::{Aead, BoxNumber, VerifyError};
use crate::endpoint::Instant;
use crate::error::{Failure, Reason};
use crate::identity::{Epoch, Instance, MemberId, Version};
use crate::wire::antigone::{ChannelStatus, Flags, LeaderFrame, MemberFrame};
use crate::wire::field::{Field, Reader};
use crate::wire::frame::split_frame;
use crate::wire::{Boxed, Header, Message};

/// The numbers of a channel stop here, long before they wrap (R16, RA §2).
pub const LAST_NUMBER: u64 = (1 << 48) - 1;

/// What a side says of itself in each frame: leader, what is current; member, what is installed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// The epoch; 0 for none.
    pub epoch: Epoch,
    /// The version of the view.
    pub view: Version,
    /// The version of the policy.
    pub policy: Version,
    /// A member hears its leader over a shared link. A leader never says so.
    pub hears: bool,
}

/// Which end of the channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Sends RA-CL, receives RA-CM.
    Leader,
    /// Sends RA-CM, receives RA-CL.
    Member,
}

/// One end of a channel.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Channel {
    side: Side,
    header: Header,
    group: Instance,
    cid: MemberId,
    seal: Arc<dyn Aead>,
    open: Arc<dyn Aead>,
    sent: u64,
    seen: u64,
    probes: Probes,
    accepted: u64,
    rseq: u64,
    outstanding: Option<Outstanding>,
    waiting: VecDeque<Record>,
    capacity: usize,
    checks: Checks,
}

/// The encoding of a record, with the code of the body in front. It may hold a key: printed, it shows its length (R33).
#[derive(Clone)]
struct Record(Bytes);

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} bytes)", self.0.len())
    }
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Record {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        self.0.fingerprint(now, sink);
    }
}

/// The record that awaits its acknowledgement.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Outstanding {
    body: Record,
    backoff: Backoff,
}

fingerprint!(Outstanding { body, backoff });

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Channel {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let Self { side: _, header: _, group, cid, seal: _, open: _, sent, seen, probes, .. } = self;
        let Self { accepted, rseq, outstanding, waiting, capacity: _, checks: _, .. } = self;
        for part in [&cid.0, sent, seen, accepted, rseq] {
            part.fingerprint(now, sink);
        }
        group.fingerprint(now, sink);
        probes.fingerprint(now, sink);
        outstanding.fingerprint(now, sink);
        waiting.fingerprint(now, sink);
    }
}

/// What an authentic, new frame says. Nothing has changed yet: see [`Channel::commit`].
#[derive(Debug)]
pub struct Heard {
    /// The peer's standing.
    pub standing: Standing,
    /// The peer asks for an answer.
    pub answer: bool,
    /// The peer lived after this instant: the sending time of the newest own frame that it has seen.
    pub evidence: Option<Instant>,
    /// The outstanding record is acknowledged by this frame.
    pub acknowledged: bool,
    /// What the body is to this side.
    pub body: Body,
    /// Where the body stands in the frame.
    pub range: Range<usize>,
    n: u64,
    seen: u64,
}

/// What the body of a frame is to its receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// Nothing, or a record that was accepted before.
    Nothing,
    /// The next record.
    Record,
    /// The end of the channel.
    End,
}

/// Why a frame is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It is not authentic, or not new: drop it.
    Drop(Reason),
    /// It is authentic and breaks the protocol: end the channel.
    Violation,
}

impl From<VerifyError> for Refused {
    fn from(error: VerifyError) -> Self {
        Self::Drop(error.into())
    }
}

/// What a sealed frame carries.
#[derive(Clone, Copy, Debug)]
pub enum Carry<'b> {
    /// The outstanding record, or else nothing.
    Due,
    /// The end: it may overtake an unacknowledged record.
    End(&'b [u8]),
}

/// The code of an empty body, of a record, and of the end, in both directions.
const NOTHING: u8 = 0;
const RECORD: u8 = 1;
const END: u8 = 2;

impl Channel {
    /// A new channel. RA-J2 counts as the leader's frame 0: the leader's `probes` hold it as such. At most `capacity`
    /// records wait.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        side: Side,
        header: Header,
        group: Instance,
        cid: MemberId,
        seal: Arc<dyn Aead>,
        open: Arc<dyn Aead>,
        probes: Probes,
        capacity: usize,
    ) -> Self {
        Self {
            side,
            header,
            group,
            cid,
            seal,
            open,
            sent: 0,
            seen: 0,
            probes,
            accepted: 0,
            rseq: 0,
            outstanding: None,
            waiting: VecDeque::new(),
            capacity,
            checks: Checks::ALL,
        }
    }

    /// With these checks: all of them, but in a simulation.
    #[must_use]
    pub fn with_checks(self, checks: Checks) -> Self {
        Self { checks, ..self }
    }

    /// The member's number.
    pub fn cid(&self) -> MemberId {
        self.cid
    }

    /// The group instance.
    pub fn group(&self) -> Instance {
        self.group
    }

    /// The key that this side seals with: key blocks are sealed under it too, in a domain of their own (RA §2).
    pub fn sealing_key(&self) -> &dyn Aead {
        &*self.seal
    }

    /// The key that the peer seals with.
    pub fn opening_key(&self) -> &dyn Aead {
        &*self.open
    }

    /// The keys, the own one and the peer's: whoever has both can do what this channel can.
    #[cfg(any(test, feature = "sim"))]
    pub fn keys(&self) -> (Arc<dyn Aead>, Arc<dyn Aead>) {
        (self.seal.clone(), self.open.clone())
    }

    /// Opens a frame of the peer in place: steps (0) to (5) of RA §4.2, changing nothing.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn hear(&self, frame: &mut [u8]) -> Result<Heard, Refused> {
        let (n, clear, text, tag) = match self.side {
            Side::Leader => {
                let Boxed { message, clear, text, tag } = MemberFrame::parse(frame).map_err(malformed)?;
                self.mine(message.group, message.cid)?;
                (message.n, clear, text, tag)
            }
            Side::Member => {
                let Boxed { message, clear, text, tag } = LeaderFrame::parse(frame).map_err(malformed)?;
                self.mine(message.group, message.cid)?;
                (message.n, clear, text, tag)
            }
        };
        let (ad, sealed) = split_frame(frame, clear, &text);
        let opened = self.open.open(BoxNumber { domain: 0, counter: n }, ad, sealed, &tag);
        self.open.scrub();
        if opened.is_err() && self.checks.on(Check::ChannelBox) {
            opened?;
        }
        let mut reader = Reader::new(sealed);
        let status = ChannelStatus::take(&mut reader).map_err(|_| Refused::Violation)?;
        let code = { reader }.u8().map_err(|_| Refused::Violation)?;
        let range = text.start + reader.position()..text.end;
        // (0) nothing may be acknowledged that was not sent
        if n == 0 || status.seen > self.sent || status.ack > self.rseq {
            return Err(Refused::Violation);
        }
        if status.flags.hears && self.side == Side::Member {
            return Err(Refused::Violation);
        }
        let body = match code {
            NOTHING => Body::Nothing,
            RECORD if !self.checks.on(Check::RecordOrder) => Body::Record,
            RECORD if status.rseq == 0 || status.rseq > self.accepted + 1 => return Err(Refused::Violation),
            RECORD if status.rseq == self.accepted + 1 => Body::Record,
            RECORD => Body::Nothing,
            END => Body::End,
            _ => return Err(Refused::Violation),
        };
        // (1) numbers are used once
        if n <= self.seen && self.checks.on(Check::ChannelNumber) {
            return Err(Refused::Drop(Reason::Replayed));
        }
        Ok(Heard {
            standing: Standing {
                epoch: status.epoch,
                view: status.view,
                policy: status.policy,
                hears: status.flags.hears,
            },
            answer: status.flags.answer,
            evidence: self.probes.evidence(status.seen),
            acknowledged: self.outstanding.is_some() && status.ack == self.rseq,
            body,
            range,
            n,
            seen: status.seen,
        })
    }

    fn mine(&self, group: Instance, cid: MemberId) -> Result<(), Refused> {
        if group == self.group && cid == self.cid { Ok(()) } else { Err(Refused::Drop(Reason::Unknown)) }
    }

    /// Takes in what [`Self::hear`] found. The caller has checked the body: a record counts as accepted from now on.
    pub fn commit(&mut self, heard: &Heard) {
        self.seen = heard.n;
        self.probes.confirm(heard.seen);
        if heard.body == Body::Record {
            self.accepted += 1;
        }
        if heard.acknowledged {
            self.outstanding = None;
        }
    }

    /// Seals a frame that is sent at `now`. Its number is used up even if that fails, since nobody knows what the back
    /// end has done with it (R16).
    ///
    /// # Errors
    /// [`Failure::Suite`]; also when the numbers are used up (see [`Self::exhausted`]).
    pub fn seal(
        &mut self,
        pool: &mut Pool,
        now: Instant,
        standing: Standing,
        answer: bool,
        carry: Carry<'_>,
    ) -> Result<Bytes, Failure> {
        if self.sent >= LAST_NUMBER {
            return Err(Failure::Suite);
        }
        self.sent += 1;
        let n = self.sent;
        let body: &[u8] = match (carry, &self.outstanding) {
            (Carry::End(end), _) => end,
            (Carry::Due, Some(outstanding)) => &outstanding.body.0,
            (Carry::Due, None) => &[NOTHING],
        };
        let status = ChannelStatus {
            seen: self.seen,
            ack: self.accepted,
            epoch: standing.epoch,
            view: standing.view,
            policy: standing.policy,
            flags: Flags {
                // A record always asks for an answer.
                answer: answer || (matches!(carry, Carry::Due) && self.outstanding.is_some()),
                hears: standing.hears,
            },
            rseq: self.rseq,
        };
        let write = |out: &mut BytesMut| {
            status.put(out);
            out.extend_from_slice(body);
        };
        let number = BoxNumber { domain: 0, counter: n };
        let seal = |ad: &[u8], text: &mut [u8]| self.seal.seal(number, ad, text);
        let (group, cid) = (self.group, self.cid);
        let frame = pool.compose(256 + body.len(), |out| match self.side {
            Side::Leader => LeaderFrame { group, cid, n }.put_boxed(self.header, out, write, seal),
            Side::Member => MemberFrame { group, cid, n }.put_boxed(self.header, out, write, seal),
        })?;
        self.probes.sent(n, now);
        Ok(frame)
    }

    /// From now on the last `capacity` own frames are remembered as probes. Only for a channel that remembers the last
    /// ones, a member's.
    pub fn remember_probes(&mut self, capacity: usize) {
        self.probes.keep_last(capacity);
    }

    /// Whether a record could be queued.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < self.capacity
    }

    /// Whether no record is outstanding or queued.
    pub fn idle(&self) -> bool {
        self.outstanding.is_none() && self.waiting.is_empty()
    }

    /// Whether a queued record can become the outstanding one.
    pub fn ready(&self) -> bool {
        self.outstanding.is_none() && !self.waiting.is_empty()
    }

    /// Whether a record may go out next: none is outstanding.
    pub fn free(&self) -> bool {
        self.outstanding.is_none()
    }

    /// Makes `body` the outstanding record, ahead of those that wait. Only while the channel is [`Self::free`].
    pub fn put_first(&mut self, body: Bytes, retry: Retry, now: Instant, jitter: &mut Jitter) {
        debug_assert!(body.first() == Some(&RECORD) && self.free());
        self.waiting.push_front(Record(body));
        self.advance(retry, now, jitter);
    }

    /// The number of the last record accepted from the peer, that is how many have been.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Queues a record: `body` is its encoding with the code of the body in front. Check [`Self::has_room`] first.
    /// Gives the number that it will have.
    pub fn queue(&mut self, body: Bytes) -> u64 {
        debug_assert!(body.first() == Some(&RECORD));
        let number = self.next_record();
        self.waiting.push_back(Record(body));
        number
    }

    /// The number that the next queued record will have. Only where no record is ever [put first](Self::put_first).
    pub fn next_record(&self) -> u64 {
        self.rseq + self.waiting.len() as u64 + 1
    }

    /// The number of the last own record that the peer has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.rseq - u64::from(self.outstanding.is_some())
    }

    /// Makes the next queued record the outstanding one, if none is. It goes out with the next sealed frame; its first
    /// repetition is due after an RTO.
    pub fn advance(&mut self, retry: Retry, now: Instant, jitter: &mut Jitter) -> bool {
        if self.outstanding.is_some() {
            return false;
        }
        let Some(body) = self.waiting.pop_front() else { return false };
        self.rseq += 1;
        self.outstanding = Some(Outstanding { body, backoff: Backoff::start(retry, now, jitter) });
        true
    }

    /// When the outstanding record is to be repeated.
    pub fn repeat_at(&self) -> Option<Instant> {
        self.outstanding.as_ref().map(|outstanding| outstanding.backoff.due())
    }

    /// The outstanding record is being repeated: sets the next time.
    pub fn repeated(&mut self, now: Instant, jitter: &mut Jitter) {
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.backoff.again(now, jitter);
        }
    }

    /// Whether the numbers are nearly used up: end the channel and join again.
    pub fn exhausted(&self) -> bool {
        self.sent >= LAST_NUMBER - 1
    }
}

fn malformed(_: crate::error::DecodeError) -> Refused {
    Refused::Drop(Reason::Malformed)
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
