//! The contract between Antigone and Enclaves as published and cryptography (D2 to D10, D13, D14): the report's notation, one method
//! for each form that occurs in it.
//!
//! It is a contract of its own, beside [`Suite`]: the published messages need ciphers without authentication,
//! the exclusive or of two keys and a key that is a name under another key, which no repaired message may ever touch.
//! [`des_md5_rsa`] is what the paper used; [`Modern`] puts the same notation on any [`Suite`]:
//! `{x}_K` is then an AEAD with a fresh random nonce in front and no associated data, so that the structure of the
//! messages, and what can be confused in it, stays as published.

use alloc::vec::Vec;
use core::fmt::Debug;

use bytes::BytesMut;
use zeroize::Zeroizing;

use super::{FreshError, Purpose, Secret, Suite, SuiteError, SuiteId, VerifyError};
use crate::endpoint::Entropy;
use crate::identity::NameRef;
use crate::wire::field::{Nonce, Signature, Tag, VerifyingKey};

mod des_md5_rsa;
#[cfg(feature = "sim")]
pub mod faulty;
mod modern;
mod rsa_md5;
pub(crate) mod sealing;

pub use des_md5_rsa::{des_key_of_password, des_md5_rsa};
pub use modern::Modern;

/// Lengths in bytes of what a published suite makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublishedSizes {
    /// A long-term key, a pair key, a group key.
    pub key: usize,
    /// I0, I1, I2.
    pub nonce: usize,
    /// `{H(x)}_K`.
    pub mac: usize,
    /// What `{x}_K` adds to `x` at most.
    pub sealing: usize,
    /// An initialization vector that travels with a key (D5).
    pub iv: usize,
}

/// A suite of the published edition.
pub trait PublishedSuite: Debug + Send + Sync {
    /// Its number in the header.
    fn id(&self) -> SuiteId;

    /// Lengths of what it makes.
    fn sizes(&self) -> PublishedSizes;

    /// Whether this may be the name of a principal (D2: with DES, 1 to 8 bytes, since a name is one block).
    fn admits(&self, name: NameRef<'_>) -> bool;

    /// `{named}_K`, where `owner` is the principal whose key `K` is: for σ = `{SL}_{K_A}`, `named` is the leader and `owner`
    /// the member (D2).
    ///
    /// # Errors
    /// [`SuiteError`]: the back end failed, or the name cannot be one here. So for all methods without another word.
    fn name_under(&self, key: &Secret, named: NameRef<'_>, owner: NameRef<'_>) -> Result<Secret, SuiteError>;

    /// `a ⊕ b`, for keys of one length, on their raw bytes (D3).
    ///
    /// # Errors
    /// [`SuiteError`] also if the lengths differ.
    fn xor(&self, a: &Secret, b: &Secret) -> Result<Secret, SuiteError>;

    /// Whether the cipher has this key as a weak one: the third party refuses to make it a pair key (D3).
    fn is_weak(&self, key: &Secret) -> bool;

    /// Appends `{text}_K` to `out`. Nothing is appended if it fails.
    ///
    /// # Errors
    /// [`FreshError`].
    fn encrypt(&self, rng: &mut dyn Entropy, key: &Secret, text: &[u8], out: &mut BytesMut) -> Result<(), FreshError>;

    /// Decrypts `{x}_K`. One failure for all that can be wrong with padding, length or tag (D6); under a cipher without
    /// authentication, success says nothing about who made it.
    ///
    /// # Errors
    /// [`VerifyError`].
    fn decrypt(&self, key: &Secret, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VerifyError>;

    /// Appends `{text}_K` under the initialization vector that belongs to K (D5): Enclaves 2.0 sends one with each key and
    /// uses it for all that the key encrypts. The same text gives the same bytes, each time. Nothing is appended if it
    /// fails.
    ///
    /// # Errors
    /// [`SuiteError`] also if `iv` has not [`PublishedSizes::iv`] bytes.
    fn encrypt_fixed(&self, key: &Secret, iv: &Nonce, text: &[u8], out: &mut BytesMut) -> Result<(), SuiteError>;

    /// The reverse, with one failure as [`Self::decrypt`].
    ///
    /// # Errors
    /// [`VerifyError`]; [`VerifyError::Suite`] also if `iv` has not its length.
    fn decrypt_fixed(&self, key: &Secret, iv: &Nonce, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VerifyError>;

    /// `{H(x)}_K`, also printed `H(x)_K` for a key that is not an asymmetric one (D7, D10).
    ///
    /// # Errors
    /// [`SuiteError`].
    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError>;

    /// Checks `{H(x)}_K` in constant time.
    ///
    /// # Errors
    /// [`VerifyError`].
    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError>;

    /// (Pu_G, Pr_G): the private half, and the public one as it stands in AN-J2.
    ///
    /// # Errors
    /// [`FreshError`].
    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError>;

    /// `H(x)_{Pr_G}`: a signature (D9). `rng` blinds the computation, where the algorithm needs that.
    ///
    /// # Errors
    /// [`FreshError`].
    fn sign(&self, rng: &mut dyn Entropy, key: &Secret, parts: &[&[u8]]) -> Result<Signature, FreshError>;

    /// Checks a signature.
    ///
    /// # Errors
    /// [`VerifyError`].
    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError>;

    /// A fresh key of [`PublishedSizes::key`] bytes.
    ///
    /// # Errors
    /// [`FreshError`].
    fn fresh_key(&self, rng: &mut dyn Entropy) -> Result<Secret, FreshError>;

    /// A fresh number of `length` bytes, [`PublishedSizes::nonce`] for I0, I1, I2.
    ///
    /// # Errors
    /// [`FreshError`].
    fn fresh_nonce(&self, rng: &mut dyn Entropy, length: usize) -> Result<Nonce, FreshError>;

    /// The key of `name` in the published edition, from the key that it has with the third party: published and repaired
    /// edition never share one (RA §2, I-8). `long_term` is that key under the modern suite.
    ///
    /// # Errors
    /// [`SuiteError`].
    fn long_term(&self, modern: &dyn super::Suite, long_term: &Secret, name: NameRef<'_>)
    -> Result<Secret, SuiteError>;

    /// A key for parts as published, from a secret of a repaired one (RA §2, mixed editions).
    ///
    /// # Errors
    /// [`SuiteError`].
    fn derive(&self, modern: &dyn Suite, root: &Secret, label: &[u8]) -> Result<Secret, SuiteError>;
}

/// What [`PublishedSuite::long_term`] derives, before it is cut (RA §2, I-8): for `name`, under the published suite `id`.
fn as_published(modern: &dyn Suite, long_term: &Secret, id: SuiteId, name: NameRef<'_>) -> Result<Secret, SuiteError> {
    // The root and the label are those of the repaired edition, so that this is one more use of K_X beside its own.
    let root = modern.extract(b"sodality ra 1 long-term", &[long_term])?;
    let info = [b"sodality ra 1 as published".as_slice(), &[id.0], &prefix(name), name.as_str().as_bytes()];
    modern.expand(&root, &info, Purpose::Derive)
}

/// What [`PublishedSuite::derive`] derives, before it is cut.
fn bridged(modern: &dyn Suite, root: &Secret, id: SuiteId, label: &[u8]) -> Result<Secret, SuiteError> {
    modern.expand(root, &[b"sodality ra 1 ".as_slice(), label, &[id.0]], Purpose::Derive)
}

/// The length byte in front of a name (D1).
fn prefix(name: NameRef<'_>) -> [u8; 1] {
    [name.as_str().len() as u8]
}

/// `a ⊕ b`.
fn exclusive_or(a: &Secret, b: &Secret, length: usize) -> Result<Secret, SuiteError> {
    if a.len() != length || b.len() != length {
        return Err(SuiteError);
    }
    Secret::filled(length, |out| {
        let pairs = a.expose().iter().zip(b.expose());
        out.iter_mut().zip(pairs).for_each(|(out, (a, b))| *out = a ^ b);
        Ok(())
    })
}

/// A fresh number of `length` bytes, by one request.
fn draw_nonce(rng: &mut dyn Entropy, length: usize) -> Result<Nonce, FreshError> {
    let mut bytes = [0; Nonce::MAX];
    let drawn = bytes.get_mut(..length).ok_or(SuiteError)?;
    rng.fill(drawn)?;
    Ok(Nonce::new(drawn).ok_or(SuiteError)?)
}
