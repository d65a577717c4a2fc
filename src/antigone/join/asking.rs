//! The joining side, repaired edition.

use alloc::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::antigone::schedule::{ChannelKeys, channel_root, transcript};
use crate::crypto::keys::role;
use crate::crypto::{Aead, BoxNumber, FreshError, Key, Suite};
use crate::endpoint::Entropy;
use crate::error::{Failure, Reason};
use crate::event::Refusal;
use crate::group::{Check, Checks};
use crate::identity::{Instance, MemberId, NameRef, Version};
use crate::ttp::schedule::{MemberKeys, question_digest};
use crate::wire::antigone::{JoinAnswer, JoinRequest, KeyRequest, Offer, RefuseCode};
use crate::wire::field::{Blob, Digest, Field, Nonce, Share, VerifyingKey};
use crate::wire::frame::split_frame;
use crate::wire::{Header, Message};

/// A join that waits for the leader's answer. A second attempt draws everything anew.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Attempt {
    i0: Nonce,
    ephemeral: Option<Key<role::Ephemeral>>,
    checks: Checks,
    /// RA-J1 as it is sent, and repeated as the same bytes.
    pub frame: Bytes,
}

fingerprint!(Attempt { i0, ephemeral, frame } skip { checks });

/// Who joins whom.
#[derive(Clone, Copy, Debug)]
pub struct Parties<'a> {
    /// The application.
    pub app: NameRef<'a>,
    /// The leader.
    pub leader: NameRef<'a>,
    /// The member.
    pub member: NameRef<'a>,
}

/// The leader's answer.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "taken apart at once, never kept")]
pub enum Answer {
    /// Welcome.
    Accepted(Accepted),
    /// No.
    Refused(Refusal),
}

/// What a newcomer has learnt.
#[derive(Debug)]
pub struct Accepted {
    /// The group instance.
    pub group: Instance,
    /// The member number.
    pub cid: MemberId,
    /// The leader's signature key.
    pub leader_key: VerifyingKey,
    /// The version of the policy.
    pub policy_version: Version,
    /// The policy in its canonical form.
    pub policy: Bytes,
    /// Seals own frames.
    pub seal: Arc<dyn Aead>,
    /// Opens the leader's.
    pub open: Arc<dyn Aead>,
}

/// A fresh number of the suite's length.
///
/// # Errors
/// [`FreshError`].
pub(super) fn fresh_nonce(suite: &dyn Suite, rng: &mut dyn Entropy) -> Result<Nonce, FreshError> {
    let mut bytes = [0; Nonce::MAX];
    let drawn = bytes.get_mut(..suite.sizes().nonce).ok_or(crate::crypto::SuiteError)?;
    rng.fill(drawn)?;
    Nonce::new(drawn).ok_or(FreshError::Suite(crate::crypto::SuiteError))
}

impl Attempt {
    /// Draws I0 and, with `ephemeral`, X_A, and makes RA-J1.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn new(
        suite: &dyn Suite,
        header: Header,
        rng: &mut dyn Entropy,
        keys: &MemberKeys,
        parties: Parties<'_>,
        ephemeral: bool,
    ) -> Result<Self, Failure> {
        let i0 = fresh_nonce(suite, rng)?;
        let (secret, share) = if ephemeral {
            let (secret, share) = suite.agreement_pair(rng)?;
            (Some(Key::new(secret)), share)
        } else {
            (None, Share::new(&[]).ok_or(Failure::Suite)?)
        };
        let request = JoinRequest { app: parties.app, leader: parties.leader, member: parties.member, i0, share };
        let mut out = BytesMut::with_capacity(256);
        request.put_tagged(header, &mut out, |covered| suite.mac(keys.tag.secret(), &[covered]))?;
        Ok(Self { i0, ephemeral: secret, checks: Checks::ALL, frame: out.freeze() })
    }

    /// With these checks: all of them, but in a simulation.
    pub(in crate::antigone) fn with_checks(self, checks: Checks) -> Self {
        Self { checks, ..self }
    }

    /// Reads RA-J2: steps (1) to (3) of RA §4.1. Only the first that opens counts: drop the attempt then, and with it
    /// the ephemeral secret.
    ///
    /// # Errors
    /// [`Reason`]: it is not the answer to this attempt.
    pub fn read(
        &self,
        suite: &dyn Suite,
        header: Header,
        keys: &MemberKeys,
        frame: &mut [u8],
    ) -> Result<Answer, Reason> {
        let opened = self.open_answer(suite, frame, |i1| {
            let mut question = BytesMut::with_capacity(self.frame.len() + 64);
            KeyRequest { i1: *i1, join: Blob(&self.frame) }.put_clear(header, &mut question);
            let question = question_digest(suite, &question)?;
            let session = keys.session_key(suite, &question)?;
            Ok((question, session))
        })?;
        let (seal, open) = (opened.seal, opened.open);
        match opened.offer {
            Offer::Refuse(RefuseCode::Denied) => Ok(Answer::Refused(Refusal::Denied)),
            Offer::Refuse(RefuseCode::Busy) => Ok(Answer::Refused(Refusal::Busy)),
            Offer::Accept(accept) if accept.cid == MemberId::LEADER => Err(Reason::Violation),
            // A group with parts as published: nothing that was configured here.
            Offer::AcceptMixed(_) => Err(Reason::Mismatch),
            Offer::Accept(accept) => Ok(Answer::Accepted(Accepted {
                group: accept.group,
                cid: accept.cid,
                leader_key: accept.leader_key,
                policy_version: accept.policy_version,
                policy: Bytes::copy_from_slice(accept.policy.0),
                seal,
                open,
            })),
        }
    }

    /// Opens RA-J2, whatever stands inside. `session_of` gives, for the leader's number, the digest of the question and
    /// the key of this join: from the own long-term key, or over a bridge (RA §2, mixed editions).
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(in crate::antigone) fn open_answer<'f>(
        &self,
        suite: &dyn Suite,
        frame: &'f mut [u8],
        session_of: impl FnOnce(&Nonce) -> Result<(Digest, Key<role::Session>), Reason>,
    ) -> Result<OpenedAnswer<'f>, Reason> {
        let parsed = JoinAnswer::parse(frame).map_err(|_| Reason::Malformed)?;
        let (message, clear, text, tag) = (parsed.message, parsed.clear, parsed.text, parsed.tag);
        if message.i0 != self.i0 {
            return Err(Reason::Unknown);
        }
        let exchanged = match (&self.ephemeral, message.share.is_empty()) {
            (Some(secret), false) => Some(suite.agree(secret.secret(), &message.share)?),
            (None, true) => None,
            _ => return Err(Reason::Forged),
        };
        let (question, session) = session_of(&message.i1)?;
        let (ad, text) = split_frame(frame, clear, &text);
        let transcript = transcript(suite, &question, ad)?;
        let root = channel_root(suite, &session, exchanged.as_ref(), &transcript)?;
        let (open, seal) = ChannelKeys::of_root(suite, &root)?.prepare(suite)?;
        let opened = open.open(BoxNumber { domain: 0, counter: 0 }, ad, text, &tag);
        if opened.is_err() && self.checks.on(Check::OfferBox) {
            opened?;
        }
        let offer = Offer::decode(text).map_err(|_| Reason::Violation)?;
        Ok(OpenedAnswer { offer, root, seal, open })
    }
}

/// RA-J2, opened.
#[derive(Debug)]
pub(in crate::antigone) struct OpenedAnswer<'f> {
    pub(in crate::antigone) offer: Offer<'f>,
    /// `Z`. Only a bridge needs it.
    #[cfg_attr(not(feature = "historic"), allow(dead_code))]
    pub(in crate::antigone) root: Key<role::ChannelRoot>,
    pub(in crate::antigone) seal: Arc<dyn Aead>,
    pub(in crate::antigone) open: Arc<dyn Aead>,
}
