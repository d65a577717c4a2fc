//! Authentication and join, published edition (report §2.2.2): AN-J1, AN-J2, AN-J3, and the clear error message.
//!
//! **Guarantees.** I0 and I2 make both sides fresh to each other under σ, which never changes (A5). The refusal is clear:
//! anybody can write it (X15). I0 is chosen by whoever claims to be A (X2).

use bytes::{Bytes, BytesMut};

use crate::antigone::keys::published::Group;
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::published::sealing::{decrypt, encrypt};
use crate::endpoint::Entropy;
use crate::error::Reason;
use crate::event::Refusal;
use crate::identity::{Instance, MemberId, NameRef, Version};
use crate::wire::antigone::RefuseCode;
use crate::wire::field::{Blob, Field, Nonce, VerifyingKey};
use crate::wire::published::{ConfirmText, JoinConfirm, JoinError, JoinReply, JoinWish, More, ReplyText, Sealed};
use crate::wire::{Header, Message};

/// AN-J1.
pub fn wish(header: Header, member: NameRef<'_>, i0: Nonce) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    JoinWish { member, i0 }.put_open(header, &mut out);
    out.freeze()
}

/// What AN-J2 says to a newcomer.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// The group identifier.
    pub group: Group,
    /// The leader's fresh number.
    pub i2: Nonce,
    /// The group instance.
    pub instance: Instance,
    /// The newcomer's number.
    pub cid: MemberId,
    /// The version of the policy.
    pub policy_version: Version,
    /// The policy in its canonical form.
    pub policy: Bytes,
    /// The leader's sequence number.
    pub sequence: u64,
    /// The key that signs repaired heartbeats, or none.
    pub leader_key: VerifyingKey,
    /// Pu_G.
    pub key: VerifyingKey,
}

/// The two that speak.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The leader.
    pub leader: NameRef<'a>,
    /// The member.
    pub member: NameRef<'a>,
    /// σ.
    pub sigma: &'a Key<role::Pair>,
}

impl Pair<'_> {
    /// AN-J2.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn reply(
        &self,
        suite: &dyn PublishedSuite,
        header: Header,
        rng: &mut dyn Entropy,
        i0: Nonce,
        welcome: &Welcome,
    ) -> Result<Bytes, Reason> {
        let text = ReplyText {
            group: welcome.group.wire(),
            member: self.member,
            i0,
            i2: welcome.i2,
            more: More {
                instance: welcome.instance,
                cid: welcome.cid,
                policy_version: welcome.policy_version,
                policy: Blob(&welcome.policy),
                sequence: welcome.sequence,
                leader_key: welcome.leader_key,
            },
            key: welcome.key,
        };
        let sealed = encrypt(suite, rng, self.sigma.secret(), &text)?;
        let mut out = BytesMut::with_capacity(sealed.len() + 64);
        JoinReply { leader: self.leader, member: self.member, sealed: Sealed::new(&sealed) }.put_open(header, &mut out);
        Ok(out.freeze())
    }

    /// Reads AN-J2: it opens under σ, names A, and holds the I0 of this attempt.
    ///
    /// # Errors
    /// [`Reason::Unknown`] if it is for or from somebody else; [`Reason::Forged`]; [`Reason::Replayed`] for another I0.
    pub fn read_reply(&self, suite: &dyn PublishedSuite, i0: &Nonce, frame: &[u8]) -> Result<Welcome, Reason> {
        let reply = JoinReply::parse(frame).map_err(|_| Reason::Malformed)?.message;
        if reply.leader != self.leader || reply.member != self.member {
            return Err(Reason::Unknown);
        }
        let text = decrypt(suite, self.sigma.secret(), reply.sealed.bytes)?;
        let text = ReplyText::decode(&text).map_err(|_| Reason::Forged)?;
        if text.member != self.member {
            return Err(Reason::Forged);
        }
        if text.i0 != *i0 {
            return Err(Reason::Replayed);
        }
        Ok(Welcome {
            group: Group::of(&text.group),
            i2: text.i2,
            instance: text.more.instance,
            cid: text.more.cid,
            policy_version: text.more.policy_version,
            policy: Bytes::copy_from_slice(text.more.policy.0),
            sequence: text.more.sequence,
            leader_key: text.more.leader_key,
            key: text.key,
        })
    }

    /// AN-J3.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn confirm(
        &self,
        suite: &dyn PublishedSuite,
        header: Header,
        rng: &mut dyn Entropy,
        i2: Nonce,
    ) -> Result<Bytes, Reason> {
        let sealed = encrypt(suite, rng, self.sigma.secret(), &ConfirmText { member: self.member, i2 })?;
        let mut out = BytesMut::with_capacity(sealed.len() + 64);
        JoinConfirm { member: self.member, sealed: Sealed::new(&sealed) }.put_open(header, &mut out);
        Ok(out.freeze())
    }

    /// Checks AN-J3: it opens under σ, names A, and holds the leader's I2.
    ///
    /// # Errors
    /// [`Reason::Forged`]; [`Reason::Replayed`] for another I2.
    pub fn check_confirm(&self, suite: &dyn PublishedSuite, i2: &Nonce, frame: &[u8]) -> Result<(), Reason> {
        let confirm = JoinConfirm::parse(frame).map_err(|_| Reason::Malformed)?.message;
        let text = decrypt(suite, self.sigma.secret(), confirm.sealed.bytes)?;
        let text = ConfirmText::decode(&text).map_err(|_| Reason::Forged)?;
        if text.member != self.member {
            return Err(Reason::Forged);
        }
        if text.i2 == *i2 { Ok(()) } else { Err(Reason::Replayed) }
    }
}

/// The clear error message (D16).
pub fn error(header: Header, leader: NameRef<'_>, member: NameRef<'_>, why: Refusal) -> Bytes {
    let reason = if why == Refusal::Busy { RefuseCode::Busy } else { RefuseCode::Denied };
    let mut out = BytesMut::with_capacity(64);
    JoinError { leader, member, reason }.put_open(header, &mut out);
    out.freeze()
}
