//! The messages of Antigone as published (report §2), field for field, declared once each.
//!
//! Nothing here is guarded as a whole: each message guards, or fails to guard, its own parts, as printed. What stands in
//! `{…}` is a [`Sealed`] field; the structures at the end say what is inside. A hash or a signature over `a, b, c` covers
//! the encoded fields one after the other, without the header: published messages have no types under their keys, and what
//! follows from that (X4) stays visible.

use core::fmt;
use core::marker::PhantomData;

use super::antigone::{MAX_BLOCKS, MAX_POLICY, RefuseCode};
use super::field::{Blob, Field, List, Nonce, Payload, Reader, Signature, Tag, VerifyingKey};
use super::frame::MAX_TEXT;
use super::shape::Shape;
use crate::error::DecodeError;
use crate::identity::{Instance, MemberId, NameRef, Version};

/// Longest application string in a group identifier, in bytes (D13).
pub const MAX_APP: usize = 200;
/// What sealing adds at most, in bytes: a fresh IV or nonce in front, and padding or a tag behind (D4, D6).
pub const MAX_SEALING: usize = 32;
/// Longest `{…}` that holds no application text, in bytes.
pub const MAX_SEALED: usize = 2_048;

messages! {
    /// All messages of Antigone as published.
    pub const MESSAGES: Antigone AsPublished;

    /// The leader asks for the key that it shares with a member: `SL, A, I1`, in clear.
    0x01 "AN-T1" Leader => ThirdParty, Open
    struct PairRequest<'a> {
        /// The leader.
        leader: NameRef<'a>,
        /// The member.
        member: NameRef<'a>,
        /// The leader's fresh number, I1.
        i1: Nonce,
    }

    /// The pair key: `{π, I1}_{K_SL}`.
    0x02 "AN-T2" ThirdParty => Leader, Open
    struct PairAnswer<'a> {
        /// Under the leader's long-term key.
        sealed: Sealed<'a, PairText<'a>, MAX_SEALED>,
    }

    /// The report's stronger reply: `{σ, A, I1}_{K_SL}`.
    0x03 "AN-T2s" ThirdParty => Leader, Open
    struct StrongAnswer<'a> {
        /// Under the leader's long-term key.
        sealed: Sealed<'a, StrongText<'a>, MAX_SEALED>,
    }

    /// A wishes to join: `A, I0`, in clear.
    0x04 "AN-J1" Member => Leader, Open
    struct JoinWish<'a> {
        /// The member.
        member: NameRef<'a>,
        /// The member's fresh number, I0.
        i0: Nonce,
    }

    /// The leader's answer: `SL, A, {g, A, I0, I2, …, Pu_G}_σ`.
    0x05 "AN-J2" Leader => Member, Open
    struct JoinReply<'a> {
        /// The leader.
        leader: NameRef<'a>,
        /// The member.
        member: NameRef<'a>,
        /// Under σ.
        sealed: Sealed<'a, ReplyText<'a>, MAX_SEALED>,
    }

    /// A confirms: `A, {A, I2}_σ`.
    0x06 "AN-J3" Member => Leader, Open
    struct JoinConfirm<'a> {
        /// The member.
        member: NameRef<'a>,
        /// Under σ.
        sealed: Sealed<'a, ConfirmText<'a>, MAX_SEALED>,
    }

    /// The error message for a refused join, in clear (report §2.2.2, D16).
    0x07 "AN-JE" Leader => Member, Open
    struct JoinError<'a> {
        /// The leader.
        leader: NameRef<'a>,
        /// The member.
        member: NameRef<'a>,
        /// Why.
        reason: RefuseCode,
    }

    /// The group key for one member: `g, S_SL, A, {g, K_g}_σ, {H(before)}_{K_g}`. Membership may be added.
    0x08 "AN-K" Leader => Member, Open
    struct KeyDelivery<'a> {
        /// The group identifier.
        group: GroupId<'a>,
        /// The leader's sequence number.
        sequence: u64,
        /// The member.
        member: NameRef<'a>,
        /// Under σ.
        sealed: Sealed<'a, KeyText<'a>, MAX_SEALED>,
        /// The members, where the policy tells them.
        members: List<'a, NameRef<'a>, MAX_BLOCKS>,
        /// The digest of all before, under the group key.
        digest: Tag,
    }

    /// A new group key for all: `g', S_SL, (A, {g', K_g'}_{σ_A}), …, {H(before)}_{K_g'}`. Its blocks are the member list.
    0x09 "AN-R" Leader => Members, Open
    struct Rekey<'a> {
        /// The new group identifier.
        group: GroupId<'a>,
        /// The leader's sequence number.
        sequence: u64,
        /// A block for each member.
        blocks: List<'a, KeyBlock<'a>, MAX_BLOCKS>,
        /// The digest of all before, under the new group key.
        digest: Tag,
    }

    /// A leaves, or asks that B be ejected (AN-E): `A, {g, A, {g, X}_{K_g}}_σ` with X = A or X = B.
    0x0A "AN-L" Member => Leader, Open
    struct Removal<'a> {
        /// The member that speaks.
        member: NameRef<'a>,
        /// Under σ.
        sealed: Sealed<'a, RemovalText<'a>, MAX_SEALED>,
    }

    /// The leader's heartbeat: `g, SL, S_SL, H(g, S_SL)_{Pr_G}`.
    0x0B "AN-HL" Leader => Members, Open
    struct LeaderBeat<'a> {
        /// The group identifier.
        group: GroupId<'a>,
        /// The leader.
        leader: NameRef<'a>,
        /// The leader's sequence number.
        sequence: u64,
        /// Over group identifier and sequence number.
        signature: Signature,
    }

    /// A member's heartbeat: `g, A, S_A, H(g, S_A)_σ`.
    0x0C "AN-HM" Member => Leader, Open
    struct MemberBeat<'a> {
        /// The group identifier.
        group: GroupId<'a>,
        /// The member.
        member: NameRef<'a>,
        /// The member's sequence number.
        sequence: u64,
        /// Over group identifier and sequence number, under σ.
        mac: Tag,
    }

    /// A asks for the key again: `g, A`, in clear.
    0x0D "AN-Q" Member => Leader, Open
    struct KeyWish<'a> {
        /// The group identifier that A uses.
        group: GroupId<'a>,
        /// The member.
        member: NameRef<'a>,
    }

    /// Data with integrity: `g, A, m, {H(g, A, m)}_{K_g}`.
    0x0E "AN-Di" Any => All, Open
    struct IntegrityData<'a> {
        /// The group identifier.
        group: GroupId<'a>,
        /// The sender.
        sender: NameRef<'a>,
        /// What is said.
        text: Payload<'a, MAX_TEXT>,
        /// The digest of all before, under the group key.
        digest: Tag,
    }

    /// Data with confidentiality: `g, {A, m}_{K_g}`.
    0x0F "AN-Dc" Any => All, Open
    struct SecretData<'a> {
        /// The group identifier.
        group: GroupId<'a>,
        /// Under the group key.
        sealed: Sealed<'a, DataText<'a>, MAX_TEXT>,
    }

    /// Data with both: `g, {A, m}_{K_g}, {H(g, {A, m}_{K_g})}_{K_g}`.
    0x10 "AN-Db" Any => All, Open
    struct BothData<'a> {
        /// The group identifier.
        group: GroupId<'a>,
        /// Under the group key.
        sealed: Sealed<'a, DataText<'a>, MAX_TEXT>,
        /// The digest of all before, under the group key.
        digest: Tag,
    }

    /// Data with neither: `g, A, m`.
    0x11 "AN-Dn" Any => All, Open
    struct ClearData<'a> {
        /// The group identifier.
        group: GroupId<'a>,
        /// The sender.
        sender: NameRef<'a>,
        /// What is said.
        text: Payload<'a, MAX_TEXT>,
    }
}

structure! {
    /// The group identifier g: the application's string and a number that changes with every group key (D13). Its number
    /// alone is two blocks of a cipher, so that g never fits into one (X2).
    pub struct GroupId<'a> {
        /// The application, at most 200 bytes.
        app: NameRef<'a>,
        /// Drawn with the key.
        nonce: Nonce,
    }
}

structure! {
    /// The text of AN-T2.
    pub struct PairText<'a> {
        /// π: what A's name and SL's name come to under the two long-term keys, one over the other.
        pair: Blob<'a, 8, 64>,
        /// I1 of the question.
        i1: Nonce,
    }
}

structure! {
    /// The text of AN-T2s.
    pub struct StrongText<'a> {
        /// σ.
        key: Blob<'a, 8, 64>,
        /// The member.
        member: NameRef<'a>,
        /// I1 of the question.
        i1: Nonce,
    }
}

structure! {
    /// The text of AN-J2.
    pub struct ReplyText<'a> {
        /// The group identifier.
        group: GroupId<'a>,
        /// The member.
        member: NameRef<'a>,
        /// I0 of the wish.
        i0: Nonce,
        /// The leader's fresh number, I2.
        i2: Nonce,
        /// "…": other data about the session (D15).
        more: More<'a>,
        /// Pu_G: the leader's public signature key.
        key: VerifyingKey,
    }
}

structure! {
    /// The "…" of AN-J2: the policy, and what repaired neighbours need to know (D15; RA §2, mixed editions).
    pub struct More<'a> {
        /// The group instance.
        instance: Instance,
        /// The newcomer's member number.
        cid: MemberId,
        /// The version of the policy.
        policy_version: Version,
        /// The policy in its canonical form.
        policy: Blob<'a, 1, MAX_POLICY>,
        /// The leader's sequence number.
        sequence: u64,
        /// The key that signs repaired heartbeats, or none.
        leader_key: VerifyingKey,
    }
}

structure! {
    /// The text of AN-J3.
    pub struct ConfirmText<'a> {
        /// The member.
        member: NameRef<'a>,
        /// I2 of the reply.
        i2: Nonce,
    }
}

structure! {
    /// What AN-K and each block of AN-R hold for their member.
    pub struct KeyText<'a> {
        /// The group identifier.
        group: GroupId<'a>,
        /// The group key.
        key: Blob<'a, 8, 64>,
    }
}

structure! {
    /// A block of AN-R.
    pub struct KeyBlock<'a> {
        /// The member.
        member: NameRef<'a>,
        /// Under that member's σ.
        sealed: Sealed<'a, KeyText<'a>, MAX_SEALED>,
    }
}

structure! {
    /// What a leave and a request to eject hold under σ.
    pub struct RemovalText<'a> {
        /// The group identifier.
        group: GroupId<'a>,
        /// The member that speaks.
        member: NameRef<'a>,
        /// Under the group key.
        inner: Sealed<'a, TargetText<'a>, MAX_SEALED>,
    }
}

structure! {
    /// Who goes: the speaker itself, or another.
    pub struct TargetText<'a> {
        /// The group identifier.
        group: GroupId<'a>,
        /// Who goes.
        target: NameRef<'a>,
    }
}

structure! {
    /// What AN-Dc and AN-Db hold under the group key.
    pub struct DataText<'a> {
        /// The sender.
        sender: NameRef<'a>,
        /// What is said.
        text: Payload<'a, MAX_TEXT>,
    }
}

/// `{x}_K` for an `x` of type `T`: opaque without the key, at most `MAX` bytes behind a length of four.
pub struct Sealed<'a, T, const MAX: usize> {
    /// The sealed bytes.
    pub bytes: &'a [u8],
    text: PhantomData<fn() -> T>,
}

impl<'a, T, const MAX: usize> Sealed<'a, T, MAX> {
    /// These sealed bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, text: PhantomData }
    }
}

impl<T, const MAX: usize> Clone for Sealed<'_, T, MAX> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, const MAX: usize> Copy for Sealed<'_, T, MAX> {}

impl<T, const MAX: usize> PartialEq for Sealed<'_, T, MAX> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T, const MAX: usize> Eq for Sealed<'_, T, MAX> {}

impl<T, const MAX: usize> fmt::Debug for Sealed<'_, T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{} bytes}}", self.bytes.len())
    }
}

impl<'a, T, const MAX: usize> Field<'a> for Sealed<'a, T, MAX> {
    const SHAPE: Shape = Shape::Payload { max: MAX };

    fn put(&self, out: &mut bytes::BytesMut) {
        Payload::<'a, MAX>(self.bytes).put(out);
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.payload(MAX).map(Self::new)
    }
}
