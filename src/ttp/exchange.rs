//! The leader's side of the exchange: one question for each join.

use bytes::{Bytes, BytesMut};

use super::schedule::{LeaderKeys, question_digest};
use crate::crypto::keys::role;
use crate::crypto::{BoxNumber, Key, Secret, Suite};
use crate::error::{Failure, Reason};
use crate::event::Refusal;
use crate::group::{Check, Checks};
use crate::wire::antigone::{KeyAnswer, KeyRequest, Status};
use crate::wire::field::{Blob, Digest, Field, Nonce};
use crate::wire::frame::split_frame;
use crate::wire::{Header, Message};

/// An open question. Its bytes are fixed: repeats are identical, and the third party answers them identically.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Question {
    /// Names it.
    pub i1: Nonce,
    /// RA-T1 as it is sent.
    pub frame: Bytes,
    /// `h`.
    pub digest: Digest,
}

fingerprint!(Question { i1, frame, digest });

/// What the third party says.
#[derive(Debug)]
pub enum Verdict {
    /// It vouches for the member: `k`.
    Vouched(Key<role::Session>),
    /// It does not.
    Refused(Refusal),
}

impl Question {
    /// Asks about `join`, a whole RA-J1.
    ///
    /// # Errors
    /// [`Failure::Suite`].
    pub fn new(suite: &dyn Suite, header: Header, keys: &LeaderKeys, i1: Nonce, join: &[u8]) -> Result<Self, Failure> {
        let mut out = BytesMut::with_capacity(join.len() + 128);
        let mut digest = None;
        KeyRequest { i1, join: Blob(join) }.put_tagged(header, &mut out, |covered| {
            digest = Some(question_digest(suite, covered)?);
            suite.mac(keys.request.secret(), &[covered])
        })?;
        let digest = digest.ok_or(Failure::Suite)?;
        Ok(Self { i1, frame: out.freeze(), digest })
    }

    /// Reads RA-T2. Its key is of this leader and this question alone, so that an answer to another question does not
    /// open (R29).
    ///
    /// # Errors
    /// [`Reason`]: the answer is not one to this question.
    pub fn read_answer(
        &self,
        suite: &dyn Suite,
        keys: &LeaderKeys,
        checks: Checks,
        frame: &mut [u8],
    ) -> Result<Verdict, Reason> {
        let parsed = KeyAnswer::parse(frame).map_err(|_| Reason::Malformed)?;
        let (status, clear, text, tag) = (parsed.message.status, parsed.clear, parsed.text, parsed.tag);
        if parsed.message.i1 != self.i1 {
            return Err(Reason::Unknown);
        }
        let key = keys.answer_box(suite, code(status), &self.digest)?;
        let (ad, text) = split_frame(frame, clear, &text);
        let opened = suite.open(key.secret(), BoxNumber::ONLY, ad, text, &tag);
        if opened.is_err() && checks.on(Check::AnswerBox) {
            opened?;
        }
        let refusal = match status {
            Status::Vouched if text.is_empty() => return Err(Reason::Violation),
            Status::Vouched => return Ok(Verdict::Vouched(Key::new(Secret::take(text)))),
            Status::Unknown => Refusal::Unknown,
            Status::BadTag => Refusal::BadTag,
            Status::Disabled => Refusal::Disabled,
            Status::Busy => Refusal::Busy,
        };
        Ok(Verdict::Refused(refusal))
    }
}

/// The status as it stands on the wire.
pub(super) fn code(status: Status) -> u8 {
    let mut out = BytesMut::with_capacity(1);
    status.put(&mut out);
    out.first().copied().unwrap_or_default()
}
