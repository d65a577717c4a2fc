//! By a password that only the user has (OPAQUE, RFC 9807): the leader keeps a record that is no password and no key of the
//! user, and neither a recorded session (X3) nor a stolen record without the leader's own keys (G2) lets anybody try passwords.
//!
//! **Guarantees.** K_a comes from the session key of OPAQUE, so only who has the password gets it, and only from this leader; scene,
//! N1 and N2 are the context of the exchange. Forward secrecy is OPAQUE's own, and always on. A user that the leader does not know is
//! answered like one that it knows ([`OpaqueAccount::stranger`]): what comes of it fails at the user.

use bytes::Bytes;

use super::{Answered, Scene, Shown};
use crate::crypto::opaque::{OpaqueAnswered, OpaqueLogin, OpaqueRecord, OpaqueServer};
use crate::crypto::password::{Cost, MAX_PASSWORD, PasswordError};
use crate::crypto::{Secret, VerifyError};
use crate::endpoint::Entropy;
use crate::error::{Failure, Reason};
use crate::identity::Name;
use crate::wire::field::Nonce;

/// A user's password.
#[derive(Clone, Debug)]
pub struct Password {
    password: Secret,
    cost: Cost,
}

impl Password {
    /// With the cost at which the user enrolled.
    ///
    /// # Errors
    /// [`PasswordError::Length`].
    pub fn new(password: &[u8], cost: Cost) -> Result<Self, PasswordError> {
        if password.is_empty() || password.len() > MAX_PASSWORD {
            return Err(PasswordError::Length);
        }
        Ok(Self { password: Secret::new(password), cost })
    }

    pub(super) fn ask(&self, n1: &Nonce, rng: &mut dyn Entropy) -> Result<(Bytes, Asked), Failure> {
        let (first, login) = OpaqueLogin::start(&self.password, self.cost, rng)?;
        Ok((first.clone(), Asked { n1: *n1, first, login }))
    }
}

/// What a leader has of a user: its own keys, and the user's record; or no record, where there is no such user.
#[derive(Clone, Debug)]
pub struct OpaqueAccount {
    server: OpaqueServer,
    record: Option<OpaqueRecord>,
}

impl OpaqueAccount {
    /// Of a user that has enrolled.
    pub fn new(server: OpaqueServer, record: OpaqueRecord) -> Self {
        Self { server, record: Some(record) }
    }

    /// For everybody else.
    pub fn stranger(server: OpaqueServer) -> Self {
        Self { server, record: None }
    }

    pub(super) fn answer(
        &self,
        scene: &Scene<'_>,
        n1: &Nonce,
        n2: &Nonce,
        request: &[u8],
        rng: &mut dyn Entropy,
    ) -> Result<(Bytes, Answered), Reason> {
        let context = context(scene, n1, n2);
        let (leader, member) = (scene.leader, scene.member);
        let (second, login) = self.server.answer(self.record.as_ref(), leader, member, &context, request, rng)?;
        let transcript = scene.transcript(n1, n2, request, &second)?;
        let key = scene.session_key(&transcript, &[&login.session_key()?])?;
        let (leader, member) = (leader.to_name(), member.to_name());
        Ok((second, Answered::Opaque(key, Confirming { login, leader, member }.into())))
    }
}

/// Scene and numbers.
fn context(scene: &Scene<'_>, n1: &Nonce, n2: &Nonce) -> bytes::BytesMut {
    let mut context = scene.bytes();
    context.extend_from_slice(n1.as_bytes());
    context.extend_from_slice(n2.as_bytes());
    context
}

/// A user that has asked.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Asked {
    n1: Nonce,
    first: Bytes,
    login: OpaqueLogin,
}

fingerprint!(Asked { n1, first, login });

impl Asked {
    pub(super) fn finish(&self, scene: &Scene<'_>, n2: &Nonce, answer: &[u8]) -> Result<Shown, Reason> {
        let context = context(scene, &self.n1, n2);
        let (proof, agreed) = self.login.finish(scene.leader, scene.member, &context, answer)?;
        let transcript = scene.transcript(&self.n1, n2, &self.first, answer)?;
        Ok(Shown { key: scene.session_key(&transcript, &[&agreed])?, proof })
    }
}

/// A leader that waits for the third message.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Confirming {
    login: OpaqueAnswered,
    leader: Name,
    member: Name,
}

fingerprint!(Confirming { login, leader, member });

impl Confirming {
    pub(super) fn confirm(&self, proof: &[u8]) -> Result<(), Reason> {
        self.login.confirm(self.leader.by_ref(), self.member.by_ref(), proof).map_err(|error| match error {
            VerifyError::Forged => Reason::Forged,
            VerifyError::Suite(_) => Reason::Suite,
        })
    }
}
