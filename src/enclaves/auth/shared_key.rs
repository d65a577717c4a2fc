//! By a key that user and leader share: P_a, from a password (D26) or drawn. It is EN-A1 and EN-A2 of the report, each under a
//! key of its own, and with an exchange of ephemeral shares inside.
//!
//! **Guarantees.** Both hold K_a only if both hold P_a. With the exchange, which is on by default, somebody who learns P_a later
//! opens no recorded session. Somebody who records one message can try passwords against it (X3): nothing but another way
//! helps against that.

use bytes::{Bytes, BytesMut};
use zeroize::Zeroizing;

use super::{Answered, LABEL, Scene, Shown};
use crate::crypto::keys::role;
use crate::crypto::{BoxNumber, Key, Purpose, Secret, Suite, SuiteError};
use crate::endpoint::Entropy;
use crate::error::{Failure, Reason};
use crate::wire::Field;
use crate::wire::enclaves::auth::{SealedPart, SharedAnswer, SharedAsk};
use crate::wire::field::{Nonce, Rest, Share};
use crate::wire::shared::KeyBytes;

/// P_a, and whether shares are exchanged: both sides must agree on that beforehand.
#[derive(Clone, Debug)]
pub struct SharedKey {
    key: Key<role::User>,
    ephemeral: bool,
}

impl SharedKey {
    /// With forward secrecy. The key is at least 16 bytes long.
    pub fn new(key: Key<role::User>) -> Self {
        Self { key, ephemeral: true }
    }

    /// Without: cheaper, and whoever learns P_a later opens recorded sessions.
    #[must_use]
    pub fn without_forward_secrecy(self) -> Self {
        Self { ephemeral: false, ..self }
    }

    /// P_a.
    pub fn key(&self) -> &Key<role::User> {
        &self.key
    }

    pub(super) fn ask(&self, scene: &Scene<'_>, n1: &Nonce, rng: &mut dyn Entropy) -> Result<(Bytes, Asked), Failure> {
        let suite = scene.suite;
        let (secret, share) = if self.ephemeral {
            let (secret, share) = suite.agreement_pair(rng)?;
            (Some(Key::new(secret)), share)
        } else {
            (None, Share::NONE)
        };
        let key = part_key(suite, &self.key, b"request", &[n1.as_bytes()])?;
        let body = seal(suite, &key, &scene.bytes(), &SharedAsk { share })?;
        Ok((body.clone(), Asked { key: self.key.clone(), n1: *n1, secret, request: body }))
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
        let key = part_key(suite, &self.key, b"request", &[n1.as_bytes()])?;
        let text = open(suite, &key, &scene.bytes(), request)?;
        let SharedAsk { share: theirs } = SharedAsk::decode(&text).map_err(|_| Reason::Malformed)?;
        if theirs.is_empty() == self.ephemeral {
            return Err(Reason::Violation);
        }
        let failed = |error| Reason::from(Failure::from(error));
        let (agreed, share) = if self.ephemeral {
            let (secret, share) = suite.agreement_pair(rng).map_err(failed)?;
            (Some(suite.agree(&secret, &theirs)?), share)
        } else {
            (None, Share::NONE)
        };
        let fresh = suite.fresh_secret(rng, suite.sizes().long_term).map_err(failed)?;
        let key = part_key(suite, &self.key, b"answer", &[n1.as_bytes(), n2.as_bytes()])?;
        let body =
            seal(suite, &key, &answer_ad(scene, request)?, &SharedAnswer { share, fresh: KeyBytes(fresh.expose()) })?;
        let transcript = scene.transcript(n1, n2, request, &body)?;
        let session = scene.session_key(&transcript, &agreed_on(&fresh, agreed.as_ref()))?;
        Ok((body, Answered::Keyed(session)))
    }
}

/// A user that has asked.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Asked {
    key: Key<role::User>,
    n1: Nonce,
    secret: Option<Key<role::Ephemeral>>,
    request: Bytes,
}

fingerprint!(Asked { key, n1, secret, request });

impl Asked {
    pub(super) fn finish(&self, scene: &Scene<'_>, n2: &Nonce, answer: &[u8]) -> Result<Shown, Reason> {
        let suite = scene.suite;
        let key = part_key(suite, &self.key, b"answer", &[self.n1.as_bytes(), n2.as_bytes()])?;
        let text = open(suite, &key, &answer_ad(scene, &self.request)?, answer)?;
        let SharedAnswer { share, fresh } = SharedAnswer::decode(&text).map_err(|_| Reason::Malformed)?;
        let agreed = match &self.secret {
            Some(secret) => Some(suite.agree(secret.secret(), &share)?),
            None if share.is_empty() => None,
            None => return Err(Reason::Violation),
        };
        let fresh = Secret::new(fresh.0);
        let transcript = scene.transcript(&self.n1, n2, &self.request, answer)?;
        let key = scene.session_key(&transcript, &agreed_on(&fresh, agreed.as_ref()))?;
        Ok(Shown { key, proof: Bytes::new() })
    }
}

/// What an answer is bound to beside its key: the scene and the request, so that an answer to another request does not open.
fn answer_ad(scene: &Scene<'_>, request: &[u8]) -> Result<BytesMut, SuiteError> {
    let mut ad = scene.bytes();
    scene.suite.hash(&[request])?.put(&mut ad);
    Ok(ad)
}

fn agreed_on<'s>(fresh: &'s Secret, agreed: Option<&'s Secret>) -> alloc::vec::Vec<&'s Secret> {
    core::iter::once(fresh).chain(agreed).collect()
}

/// The key of one part: it seals one text in its life, since N1 or N2 are fresh.
fn part_key(suite: &dyn Suite, key: &Key<role::User>, part: &[u8], numbers: &[&[u8]]) -> Result<Secret, SuiteError> {
    let root = suite.extract(LABEL, &[key.secret()])?;
    let mut info = alloc::vec![LABEL, b"shared key ", part];
    info.extend(numbers);
    suite.expand(&root, &info, Purpose::Aead)
}

fn seal<'a>(suite: &dyn Suite, key: &Secret, ad: &[u8], text: &impl Field<'a>) -> Result<Bytes, SuiteError> {
    // As long as it can become: a text that grew would leave copies behind.
    let mut plain = BytesMut::with_capacity(crate::wire::enclaves::auth::MAX_TEXT);
    text.put(&mut plain);
    let tag = suite.seal(key, BoxNumber::ONLY, ad, &mut plain)?;
    let mut out = BytesMut::with_capacity(plain.len() + 64);
    SealedPart { tag, text: Rest(&plain) }.put(&mut out);
    Ok(out.freeze())
}

fn open(suite: &dyn Suite, key: &Secret, ad: &[u8], part: &[u8]) -> Result<Zeroizing<alloc::vec::Vec<u8>>, Reason> {
    let part = SealedPart::decode(part).map_err(|_| Reason::Malformed)?;
    let mut text = Zeroizing::new(part.text.0.to_vec());
    suite.open(key, BoxNumber::ONLY, ad, &mut text, &part.tag)?;
    Ok(text)
}

#[cfg(all(test, feature = "rustcrypto"))]
#[allow(clippy::unwrap_used)] // Helpers of tests, outside of test functions.
mod tests {
    use super::*;
    use crate::crypto::{SuiteId, aes_128_gcm};
    use crate::identity::NameRef;
    use crate::sim::rng::SimRng;
    use crate::wire::{Edition, Header, System};

    /// What somebody computes who has recorded a login and learns P_a afterwards, and K_a.
    fn learned_later(way: SharedKey) -> (Secret, Secret) {
        let suite = aes_128_gcm();
        let header = Header { system: System::Enclaves, edition: Edition::Repaired, suite: SuiteId::AES_128_GCM };
        let name = |text| NameRef::new(text).unwrap();
        let (app, leader, member) = (name("app"), name("leader"), name("member"));
        let scene = Scene { suite: &*suite, header, app, leader, member, wall: None };
        let (n1, n2) = (Nonce::new(&[1; 16]).unwrap(), Nonce::new(&[2; 16]).unwrap());
        let mut rng = SimRng::new(1);
        let (request, _) = way.ask(&scene, &n1, &mut rng).unwrap();
        let (answer, answered) = way.answer(&scene, &n1, &n2, &request, &mut rng).unwrap();
        let key = part_key(&*suite, way.key(), b"answer", &[n1.as_bytes(), n2.as_bytes()]).unwrap();
        let text = open(&*suite, &key, &answer_ad(&scene, &request).unwrap(), &answer).unwrap();
        let fresh = Secret::new(SharedAnswer::decode(&text).unwrap().fresh.0);
        let transcript = scene.transcript(&n1, &n2, &request, &answer).unwrap();
        let guess = scene.session_key(&transcript, &[&fresh]).unwrap();
        (guess.secret().clone(), answered.key().secret().clone())
    }

    #[test]
    fn who_learns_the_key_later_opens_recorded_sessions_only_without_the_exchange() {
        let way = SharedKey::new(Key::new(Secret::new(&[7; 32])));
        let (guess, key) = learned_later(way.clone());
        assert!(!guess.same(&key));
        let (guess, key) = learned_later(way.without_forward_secrecy());
        assert!(guess.same(&key));
    }
}
