//! What repaired parts of Antigone say where a neighbour is as published (RA §2, mixed editions). None of it occurs in a
//! group whose parts are all of one edition.

use super::antigone::{Accept, Content};
use super::field::{Blob, Nonce, VerifyingKey};
use super::published::GroupId;
use super::shared::Kind;
use crate::identity::NameRef;

/// Longest AN-J1, in bytes: what RA-T1m has room for.
pub const MAX_WISH: usize = 320;

messages! {
    /// The bridging messages of repaired parts.
    pub const MESSAGES: Antigone Repaired;

    /// The leader asks the third party for the static key of a join as published. AN-J1 does not name the leader, so this
    /// does. The tag is under the leader's request key.
    0x0A "RA-T1m" Leader => ThirdParty, Tagged
    struct BridgedRequest<'a> {
        /// The leader.
        leader: NameRef<'a>,
        /// The leader's fresh number, I1.
        i1: Nonce,
        /// The whole AN-J1.
        join: Blob<'a, 1, MAX_WISH>,
    }

    /// A message to the group where keys are distributed as published: the group identifier and the sender's name take
    /// the place of epoch, instance and member number, and a salt that each sealer draws keeps its keys apart.
    0x0B "RA-Dm" Any => All, Boxed(Content<'a>)
    struct BridgedData<'a> {
        /// The group identifier.
        group: GroupId<'a>,
        /// The sender.
        sender: NameRef<'a>,
        /// Drawn by the sender when it took the key.
        salt: Nonce,
        /// The sender's counter under this key, from 0.
        counter: u64,
        /// The protection: never another than the policy's (I-6).
        kind: Kind,
    }
}

structure! {
    /// What RA-J2 tells a newcomer where later parts are as published.
    pub struct AcceptMixed<'a> {
        /// As always.
        accept: Accept<'a>,
        /// The group identifier.
        group: GroupId<'a>,
        /// The leader's sequence number.
        sequence: u64,
        /// The key that signs heartbeats as published, or none.
        published_key: VerifyingKey,
    }
}
