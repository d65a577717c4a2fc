//! By public keys: each side signs with a key that the other knows, or that an issuer vouches for, and K_a comes from an
//! exchange of ephemeral shares.
//!
//! **Guarantees.** The leader keeps no secret of a user: who breaks in reads no user's key (G2), and there is no password to guess
//! (X3). Forward secrecy cannot be off, since K_a is the result of the exchange and of nothing else. The user signs its share
//! with N1; the leader signs both shares and numbers. A replayed request is answered, but its sender lacks the private half of
//! the share, hence K_a, and cannot seal EN-R3: opening EN-R3 under K_a is the proof, and there is no second one.
//!
//! **Does not guarantee.** Identities are hidden from nobody: names and certificates stand in clear, and a signature shows to
//! everybody that its maker took part. Who steals the private half of a share takes over that one session.

use bytes::{Bytes, BytesMut};

use super::{Answered, LABEL, Scene, Shown};
use crate::crypto::keys::role;
use crate::crypto::{Key, Suite, SuiteError};
use crate::endpoint::{Entropy, WallClock};
use crate::error::{Failure, Reason};
use crate::identity::NameRef;
use crate::wire::Field;
use crate::wire::enclaves::auth::{Certificate, Evidence, Signed};
use crate::wire::field::{Nonce, Share, Signature, VerifyingKey};

/// What one signs with.
#[derive(Clone, Debug)]
pub struct Identity {
    signing: Key<role::Signing>,
    certificate: Option<Bytes>,
}

impl Identity {
    /// A key whose public half the other side knows.
    pub fn known(signing: Key<role::Signing>) -> Self {
        Self { signing, certificate: None }
    }

    /// A key with a certificate that [`issue`] made. `None` if those bytes are no certificate.
    pub fn certified(signing: Key<role::Signing>, certificate: &[u8]) -> Option<Self> {
        Certificate::decode(certificate).ok()?;
        Some(Self { signing, certificate: Some(Bytes::copy_from_slice(certificate)) })
    }

    fn evidence(&self) -> Evidence<'_> {
        // The bytes were checked where they came in.
        let certificate = self.certificate.as_deref().and_then(|bytes| Certificate::decode(bytes).ok());
        certificate.map_or(Evidence::Known, Evidence::Certified)
    }
}

/// How one knows the other side's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// It is this one.
    Key(VerifyingKey),
    /// A certificate by the holder of this key says so, for the name that the scene has. It needs wall-clock time.
    Issuer(VerifyingKey),
}

impl Trust {
    /// The key of `name` by this evidence.
    fn key(&self, scene: &Scene<'_>, name: NameRef<'_>, evidence: &Evidence<'_>) -> Result<VerifyingKey, Reason> {
        match (self, evidence) {
            (Self::Key(key), Evidence::Known) => Ok(*key),
            (Self::Issuer(issuer), Evidence::Certified(certificate)) => {
                scene.suite.verify(issuer, &[LABEL, b"certificate ", &vouched(certificate)], &certificate.signature)?;
                let WallClock(now) = scene.wall.ok_or(Reason::Violation)?;
                let holds = (certificate.not_before..=certificate.not_after).contains(&now);
                if holds && certificate.name == name { Ok(certificate.key) } else { Err(Reason::Violation) }
            }
            // What was agreed on beforehand is not chosen by the peer.
            _ => Err(Reason::Violation),
        }
    }
}

/// A certificate by the holder of `issuer`, in its canonical form: the holder of `key` is `name`, from `not_before` to
/// `not_after`, both included.
///
/// # Errors
/// [`SuiteError`].
pub fn issue(
    suite: &dyn Suite,
    issuer: &Key<role::Signing>,
    name: NameRef<'_>,
    key: VerifyingKey,
    not_before: WallClock,
    not_after: WallClock,
) -> Result<Bytes, SuiteError> {
    let unsigned =
        Certificate { name, key, not_before: not_before.0, not_after: not_after.0, signature: Signature::NONE };
    let signature = suite.sign(issuer.secret(), &[LABEL, b"certificate ", &vouched(&unsigned)])?;
    Ok(encoded(&Certificate { signature, ..unsigned }))
}

/// What the issuer signs: all but the signature.
fn vouched(certificate: &Certificate<'_>) -> Bytes {
    encoded(&Certificate { signature: Signature::NONE, ..*certificate })
}

/// What a side signs with, and whom it trusts. The same on both sides.
#[derive(Clone, Debug)]
pub struct PublicKey {
    own: Identity,
    peer: Trust,
}

impl PublicKey {
    /// Own identity, and how the other side's key is known. At the leader, one with [`Trust::Issuer`] fits every user: the name
    /// in the certificate must be that of the scene.
    pub fn new(own: Identity, peer: Trust) -> Self {
        Self { own, peer }
    }

    pub(super) fn ask(&self, scene: &Scene<'_>, n1: &Nonce, rng: &mut dyn Entropy) -> Result<(Bytes, Asked), Failure> {
        let (secret, share) = scene.suite.agreement_pair(rng)?;
        let request = self.signed(scene, share, |unsigned| (b"request ", request_parts(n1, unsigned)))?;
        Ok((request.clone(), Asked { secret: Key::new(secret), n1: *n1, request, peer: self.peer }))
    }

    pub(super) fn answer(
        &self,
        scene: &Scene<'_>,
        n1: &Nonce,
        n2: &Nonce,
        request: &[u8],
        rng: &mut dyn Entropy,
    ) -> Result<(Bytes, Answered), Reason> {
        let suite = scene.suite;
        let asked = Signed::decode(request).map_err(|_| Reason::Malformed)?;
        let theirs = self.peer.key(scene, scene.member, &asked.evidence)?;
        verify(scene, &theirs, b"request ", &request_parts(n1, &asked), &asked.signature)?;
        let (secret, share) = suite.agreement_pair(rng).map_err(|error| Reason::from(Failure::from(error)))?;
        let agreed = suite.agree(&secret, &asked.share)?;
        let answer = self.signed(scene, share, |unsigned| (b"answer ", answer_parts(n1, n2, request, unsigned)))?;
        let transcript = scene.transcript(n1, n2, request, &answer)?;
        let key = scene.session_key(&transcript, &[&agreed])?;
        Ok((answer, Answered::Keyed(key)))
    }

    /// Share, evidence, and the signature under a label of what `parts` makes of the two.
    fn signed<const N: usize>(
        &self,
        scene: &Scene<'_>,
        share: Share,
        parts: impl FnOnce(&Signed<'_>) -> (&'static [u8; N], Bytes),
    ) -> Result<Bytes, SuiteError> {
        let unsigned = Signed { share, evidence: self.own.evidence(), signature: Signature::NONE };
        let (label, parts) = parts(&unsigned);
        let said: [&[u8]; 4] = [LABEL, label, &scene.bytes(), &parts];
        let signature = scene.suite.sign(self.own.signing.secret(), &said)?;
        Ok(encoded(&Signed { signature, ..unsigned }))
    }
}

/// A user that has asked.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Asked {
    secret: Key<role::Ephemeral>,
    n1: Nonce,
    request: Bytes,
    peer: Trust,
}

fingerprint!(Asked { secret, n1, request } skip { peer });

impl Asked {
    pub(super) fn finish(&self, scene: &Scene<'_>, n2: &Nonce, answer: &[u8]) -> Result<Shown, Reason> {
        let answered = Signed::decode(answer).map_err(|_| Reason::Malformed)?;
        let theirs = self.peer.key(scene, scene.leader, &answered.evidence)?;
        let parts = answer_parts(&self.n1, n2, &self.request, &answered);
        verify(scene, &theirs, b"answer ", &parts, &answered.signature)?;
        let agreed = scene.suite.agree(self.secret.secret(), &answered.share)?;
        let transcript = scene.transcript(&self.n1, n2, &self.request, answer)?;
        let key = scene.session_key(&transcript, &[&agreed])?;
        Ok(Shown { key, proof: Bytes::new() })
    }
}

fn verify(
    scene: &Scene<'_>,
    key: &VerifyingKey,
    label: &[u8],
    parts: &[u8],
    signature: &Signature,
) -> Result<(), Reason> {
    let said: [&[u8]; 4] = [LABEL, label, &scene.bytes(), parts];
    Ok(scene.suite.verify(key, &said, signature)?)
}

/// N1, then share and evidence.
fn request_parts(n1: &Nonce, unsigned: &Signed<'_>) -> Bytes {
    let mut out = BytesMut::with_capacity(128);
    n1.put(&mut out);
    Signed { signature: Signature::NONE, ..*unsigned }.put(&mut out);
    out.freeze()
}

/// N1 and N2, share and evidence, then the whole request.
fn answer_parts(n1: &Nonce, n2: &Nonce, request: &[u8], unsigned: &Signed<'_>) -> Bytes {
    let mut out = BytesMut::with_capacity(256 + request.len());
    n1.put(&mut out);
    n2.put(&mut out);
    Signed { signature: Signature::NONE, ..*unsigned }.put(&mut out);
    out.extend_from_slice(request);
    out.freeze()
}

fn encoded<'a>(value: &impl Field<'a>) -> Bytes {
    let mut out = BytesMut::with_capacity(128);
    value.put(&mut out);
    out.freeze()
}
