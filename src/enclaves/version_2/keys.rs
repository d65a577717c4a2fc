//! The keys of Enclaves 2.0, each with the initialization vector that travels with it (D5).

use alloc::vec::Vec;

use bytes::BytesMut;
use zeroize::Zeroizing;

use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::published::sealing::{self, USUAL};
use crate::crypto::{FreshError, Key, Secret, SuiteError};
use crate::endpoint::Entropy;
use crate::error::Reason;
use crate::identity::Epoch;
use crate::wire::Field;
use crate::wire::field::Nonce;

/// A key and its initialization vector. All that the key encrypts begins with this vector: texts that begin alike look alike
/// from their beginning, as far as whole blocks go (D5).
#[derive(Debug)]
pub struct KeyWithIv<R> {
    /// The key.
    pub key: Key<R>,
    /// The vector.
    pub iv: Nonce,
}

/// K_a with the vector of EN-A2.
pub type SessionKey = KeyWithIv<role::PublishedSession>;

impl<R> Clone for KeyWithIv<R> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), iv: self.iv }
    }
}

#[cfg(any(test, feature = "sim"))]
impl<R> crate::fingerprint::Fingerprint for KeyWithIv<R> {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let Self { key, iv } = self;
        key.fingerprint(now, sink);
        iv.fingerprint(now, sink);
    }
}

impl<R> KeyWithIv<R> {
    /// A key as it was read out of a message; it must have the lengths of the suite.
    pub(super) fn read(suite: &dyn PublishedSuite, key: &[u8], iv: Nonce) -> Option<Self> {
        let sizes = suite.sizes();
        let fits = key.len() == sizes.key && iv.as_bytes().len() == sizes.iv;
        fits.then(|| Self { key: Key::new(Secret::new(key)), iv })
    }

    /// `{text}_K`.
    ///
    /// # Errors
    /// [`Reason::Suite`].
    pub(super) fn encrypt<'a>(&self, suite: &dyn PublishedSuite, text: &impl Field<'a>) -> Result<BytesMut, Reason> {
        self.encrypt_long(suite, text, USUAL)
    }

    /// The same for a text of at most `room` bytes.
    pub(super) fn encrypt_long<'a>(
        &self,
        suite: &dyn PublishedSuite,
        text: &impl Field<'a>,
        room: usize,
    ) -> Result<BytesMut, Reason> {
        sealing::encrypt_fixed(suite, self.key.secret(), &self.iv, text, room)
    }

    /// What stands in `{…}_K`, not yet decoded.
    ///
    /// # Errors
    /// [`Reason::Forged`], [`Reason::Suite`].
    pub(super) fn decrypt(&self, suite: &dyn PublishedSuite, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Reason> {
        sealing::decrypt_fixed(suite, self.key.secret(), &self.iv, sealed)
    }
}

/// K_g with its vector, and a number that stands for it in events.
#[derive(Debug, Clone)]
pub struct GroupKey {
    /// The key and its vector.
    pub held: KeyWithIv<role::Group>,
    /// Equal for equal keys, never 0, and in no order: nothing in 2.0 says which of two keys is newer (E11).
    pub number: Epoch,
}

fingerprint!(GroupKey { held, number });

impl GroupKey {
    /// A new key with a new vector.
    ///
    /// # Errors
    /// [`FreshError`].
    pub fn draw(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Result<Self, FreshError> {
        let key = Key::new(suite.fresh_key(rng)?);
        let iv = suite.fresh_nonce(rng, suite.sizes().iv)?;
        Ok(Self::of(suite, KeyWithIv { key, iv })?)
    }

    /// This key, numbered.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn of(suite: &dyn PublishedSuite, held: KeyWithIv<role::Group>) -> Result<Self, SuiteError> {
        let code = suite.mac(held.key.secret(), &[b"number of a group key"])?;
        let first = code.as_bytes().first_chunk::<8>().ok_or(SuiteError)?;
        Ok(Self { held, number: Epoch(u64::from_be_bytes(*first).max(1)) })
    }
}
