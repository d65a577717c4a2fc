//! Secrets, and keys by role.

use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Secret bytes: on the heap, so that moving them leaves no copy; wiped on drop (R32); never printed (R33); compared
/// in constant time and only through [`crate::crypto::Suite::same`].
pub struct Secret(Zeroizing<Box<[u8]>>);

impl Secret {
    /// Takes a copy of `bytes`. The caller wipes its own.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// Takes `bytes` and wipes the place where they stood.
    pub fn take(bytes: &mut [u8]) -> Self {
        let secret = Self::new(bytes);
        bytes.zeroize();
        secret
    }

    /// A secret of `length` bytes that `fill` writes in place.
    ///
    /// # Errors
    /// That of `fill`.
    pub fn filled<E>(length: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut bytes = Zeroizing::new(alloc::vec![0u8; length].into_boxed_slice());
        fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The bytes, for suites and for sealing a key into a block.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self::new(self.expose())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A key that only fits its role: keys of different roles are different types and cannot be mixed up.
pub struct Key<R>(Secret, PhantomData<fn() -> R>);

impl<R> Key<R> {
    /// Gives `secret` its role.
    pub fn new(secret: Secret) -> Self {
        Self(secret, PhantomData)
    }

    /// The secret, for a suite.
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

impl<R> Clone for Key<R> {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl<R> fmt::Debug for Key<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The roles.
pub mod role {
    macro_rules! roles {
        ($($(#[$doc:meta])* $name:ident;)*) => {$(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}
        )*};
    }

    roles! {
        /// `K_X`: shared by a principal and the third party.
        LongTerm;
        /// `K_X` of the published edition: derived from the one above, never the same (RA §2, I-8).
        PublishedLongTerm;
        /// σ: shared by a member and its leader; in the published edition for good.
        Pair;
        /// `tag_X`: a member's RA-J1.
        MemberTag;
        /// `ses_X`: session keys of a member.
        MemberSession;
        /// `req_X`: a leader's RA-T1.
        LeaderRequest;
        /// `rep_X`: answers to a leader.
        LeaderReply;
        /// `box2`: one RA-T2.
        AnswerBox;
        /// `k`: one join.
        Session;
        /// `Z`: the keys of one channel.
        ChannelRoot;
        /// `k_LA`: leader to member.
        LeaderChannel;
        /// `k_AL`: member to leader.
        MemberChannel;
        /// `K_g`: one epoch.
        Group;
        /// `base`: one epoch and its facts.
        DataBase;
        /// `d[cid, kind]`: one sender in one epoch.
        DataKey;
        /// A private signature key.
        Signing;
        /// A private half of an ephemeral exchange.
        Ephemeral;
        /// `P_a` of repaired Enclaves: a user and the leader, for good.
        User;
        /// `K_a` of repaired Enclaves: a member and the leader, for one session.
        Enclave;
        /// `K'` of both repaired systems: one private word.
        Gossip;
        /// `P_a` of Enclaves as published: a user and the leader, for good.
        PublishedUser;
        /// `K_a` of Enclaves as published: a member and the leader, for one session.
        PublishedSession;
        /// `K'` of Enclaves as published: one private message.
        PublishedGossip;
        /// `K_ab` of Enclaves 1.0: two members and the leader who made it, for one direct link.
        PublishedDirect;
    }
}
