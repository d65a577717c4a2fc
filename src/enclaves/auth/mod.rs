//! How a user and the leader show each other who they are (report §3.2): a small contract, and a file for each way.
//!
//! **Goal.** After three messages both hold one fresh secret, which nobody else has; the leader knows that the user of that
//! name asked for it just now, the user that the leader gave it. Later loss of long-term keys does not open what was said
//! (forward secrecy, where the exchange of shares is on).
//!
//! **Assumes.** Each knows beforehand what the way needs of the other: a key from a password, public keys, or (OPAQUE) the
//! leader a record that is no password.
//!
//! **Messages.** The bodies of EN-R1 `AuthInitReq`, EN-R2 `AuthKeyDist` and EN-R3 `AuthAckKey` (enclaves §4). This module makes
//! and reads those bodies; the machines send, repeat and bound them.
//!
//! | step | who | function | gives |
//! |---|---|---|---|
//! | 1 | member | [`Credential::ask`] | the body of EN-R1, and [`Asked`] |
//! | 2 | leader | [`Account::answer`] | the body of EN-R2, and [`Answered`], with K_a |
//! | 3 | member | [`Asked::finish`] | [`Shown`]: K_a, and the proof that goes into EN-R3 |
//! | 4 | leader | [`Answered::confirm`] | nothing; after it the user is accepted |
//!
//! N1, N2, N3 and the names are the machines' own and come in as [`Scene`], which every way binds into all it makes.

use bytes::{Bytes, BytesMut};

use crate::crypto::keys::role;
use crate::crypto::{Key, Secret, Suite, SuiteError};
use crate::endpoint::{Entropy, WallClock};
use crate::error::{Failure, Reason};
use crate::identity::NameRef;
use crate::wire::field::{Digest, Nonce};
use crate::wire::{Field, Header};

#[cfg(feature = "sim")]
pub mod conformance;
#[cfg(feature = "opaque")]
pub mod opaque;
pub mod public_key;
pub mod shared_key;

pub use public_key::{Identity, PublicKey, Trust};
pub use shared_key::SharedKey;

/// In front of all labels of this system.
pub(crate) const LABEL: &[u8] = b"sodality enclaves 1 ";

/// Who authenticates to whom, where, and when: bound into all that is made here.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The suite.
    pub suite: &'a dyn Suite,
    /// The header of all messages.
    pub header: Header,
    /// The application.
    pub app: NameRef<'a>,
    /// The leader.
    pub leader: NameRef<'a>,
    /// The user.
    pub member: NameRef<'a>,
    /// Wall-clock time, for certificates that end.
    pub wall: Option<WallClock>,
}

impl Scene<'_> {
    /// Header and names, in a form that can be taken apart in one way only (D1).
    pub(crate) fn bytes(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(64);
        self.header.put(0, &mut out);
        self.app.put(&mut out);
        self.leader.put(&mut out);
        self.member.put(&mut out);
        out
    }

    /// The digest of the whole exchange: scene, both numbers, request and answer.
    pub(crate) fn transcript(
        &self,
        n1: &Nonce,
        n2: &Nonce,
        request: &[u8],
        answer: &[u8],
    ) -> Result<Digest, SuiteError> {
        let request = self.suite.hash(&[request])?;
        let answer = self.suite.hash(&[answer])?;
        let parts: [&[u8]; 6] =
            [LABEL, &self.bytes(), n1.as_bytes(), n2.as_bytes(), request.as_bytes(), answer.as_bytes()];
        self.suite.hash(&parts)
    }

    /// K_a, from what the way has agreed on.
    pub(crate) fn session_key(
        &self,
        transcript: &Digest,
        agreed: &[&Secret],
    ) -> Result<Key<role::Enclave>, SuiteError> {
        self.suite.extract(transcript.as_bytes(), agreed).map(Key::new)
    }
}

/// What a user authenticates with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credential {
    /// A key that user and leader share: from a password, or drawn.
    SharedKey(SharedKey),
    /// Public keys of both sides.
    PublicKey(PublicKey),
    /// A password that only the user has (feature `opaque`).
    #[cfg(feature = "opaque")]
    Opaque(opaque::Password),
}

/// What the leader has of a user.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Account {
    /// A key that user and leader share.
    SharedKey(SharedKey),
    /// Public keys of both sides.
    PublicKey(PublicKey),
    /// A record that is no password (feature `opaque`).
    #[cfg(feature = "opaque")]
    Opaque(opaque::OpaqueAccount),
}

/// A user between request and answer.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub enum Asked {
    /// By shared key.
    SharedKey(shared_key::Asked),
    /// By public keys.
    PublicKey(public_key::Asked),
    /// By OPAQUE.
    #[cfg(feature = "opaque")]
    Opaque(opaque::Asked),
}

/// What the answer gave the user.
#[derive(Debug)]
pub struct Shown {
    /// K_a.
    pub key: Key<role::Enclave>,
    /// What goes into EN-R3; empty where K_a itself is the proof.
    pub proof: Bytes,
}

/// A leader between answer and confirmation.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub enum Answered {
    /// K_a, which nobody has who is not that user: sealing EN-R3 with it is proof enough.
    Keyed(Key<role::Enclave>),
    /// K_a, and what the third message of OPAQUE must show.
    #[cfg(feature = "opaque")]
    Opaque(Key<role::Enclave>, alloc::boxed::Box<opaque::Confirming>),
}

impl Credential {
    /// The body of EN-R1, and what is to be remembered until EN-R2 comes.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn ask(&self, scene: &Scene<'_>, n1: &Nonce, rng: &mut dyn Entropy) -> Result<(Bytes, Asked), Failure> {
        match self {
            Self::SharedKey(key) => key.ask(scene, n1, rng).map(|(body, asked)| (body, Asked::SharedKey(asked))),
            Self::PublicKey(key) => key.ask(scene, n1, rng).map(|(body, asked)| (body, Asked::PublicKey(asked))),
            #[cfg(feature = "opaque")]
            Self::Opaque(password) => password.ask(n1, rng).map(|(body, asked)| (body, Asked::Opaque(asked))),
        }
    }
}

impl Account {
    /// Reads the body of EN-R1 and makes that of EN-R2, with K_a.
    ///
    /// # Errors
    /// [`Reason::Forged`]: not by this user. [`Reason::Malformed`], [`Reason::Entropy`], [`Reason::Suite`].
    pub fn answer(
        &self,
        scene: &Scene<'_>,
        n1: &Nonce,
        n2: &Nonce,
        request: &[u8],
        rng: &mut dyn Entropy,
    ) -> Result<(Bytes, Answered), Reason> {
        match self {
            Self::SharedKey(key) => key.answer(scene, n1, n2, request, rng),
            Self::PublicKey(key) => key.answer(scene, n1, n2, request, rng),
            #[cfg(feature = "opaque")]
            Self::Opaque(account) => account.answer(scene, n1, n2, request, rng),
        }
    }
}

impl Asked {
    /// Reads the body of EN-R2.
    ///
    /// # Errors
    /// [`Reason::Forged`]: not by the leader, not for this request, or under another key (a wrong password among the causes).
    /// [`Reason::Malformed`], [`Reason::Suite`].
    pub fn finish(&self, scene: &Scene<'_>, n2: &Nonce, answer: &[u8]) -> Result<Shown, Reason> {
        match self {
            Self::SharedKey(asked) => asked.finish(scene, n2, answer),
            Self::PublicKey(asked) => asked.finish(scene, n2, answer),
            #[cfg(feature = "opaque")]
            Self::Opaque(asked) => asked.finish(scene, n2, answer),
        }
    }
}

impl Answered {
    /// K_a.
    pub fn key(&self) -> &Key<role::Enclave> {
        match self {
            Self::Keyed(key) => key,
            #[cfg(feature = "opaque")]
            Self::Opaque(key, _) => key,
        }
    }

    /// Checks the proof in EN-R3, whose box has opened under [`Self::key`].
    ///
    /// # Errors
    /// [`Reason::Forged`].
    pub fn confirm(&self, proof: &[u8]) -> Result<(), Reason> {
        match self {
            Self::Keyed(_) if proof.is_empty() => Ok(()),
            Self::Keyed(_) => Err(Reason::Violation),
            #[cfg(feature = "opaque")]
            Self::Opaque(_, confirming) => confirming.confirm(proof),
        }
    }
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Asked {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::SharedKey(asked) => asked.fingerprint(now, sink),
            Self::PublicKey(asked) => asked.fingerprint(now, sink),
            #[cfg(feature = "opaque")]
            Self::Opaque(asked) => asked.fingerprint(now, sink),
        }
    }
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Answered {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::Keyed(key) => key.fingerprint(now, sink),
            #[cfg(feature = "opaque")]
            Self::Opaque(key, confirming) => {
                key.fingerprint(now, sink);
                confirming.fingerprint(now, sink);
            }
        }
    }
}
