//! The contract between the protocols and cryptography, and the back ends behind it.
//!
//! 1. Machines hold `Arc<dyn Suite>`; no file outside this folder names a cryptographic crate.
//! 2. Every hash, code, derivation, signature, agreement and comparison of secrets is a call of [`Suite`] or [`Aead`].
//! 3. Every call can fail.
//! 4. Keys, nonces, digests, tags, shares and ciphertexts are opaque: never sliced, truncated or indexed; their sizes
//!    come from [`Suite::sizes`].
//! 5. A box is sealed in place, keeps its length, and has a detached tag. [`Suite::aead`] prepares a key for many
//!    boxes; [`Suite::seal`] and [`Suite::open`] are for one.
//! 6. One request to the random source for each fresh name.
//!
//! So a suite may be a real one, one without security (`null`), one that only records or fails (`sim`), or one whose
//! values are terms (`symbolic`), and no protocol can tell.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt::Debug;

use thiserror::Error;

use crate::endpoint::{Entropy, EntropyError};
use crate::error::{Failure, Reason};
use crate::wire::field::{Digest, Share, Signature, Tag, VerifyingKey};

#[cfg(feature = "sim")]
pub mod conformance;
#[cfg(feature = "sim")]
pub mod faulty;
pub mod keys;
#[cfg(any(feature = "sim", feature = "insecure-null"))]
mod mix;
#[cfg(feature = "insecure-null")]
pub mod null;
#[cfg(feature = "opaque")]
pub mod opaque;
#[cfg(feature = "argon2")]
pub mod password;
#[cfg(feature = "historic")]
pub mod published;
#[cfg(feature = "rustcrypto")]
pub mod rustcrypto;
#[cfg(any(feature = "rustcrypto", feature = "historic"))]
mod scrub;
#[cfg(feature = "sim")]
pub mod symbolic;

pub use keys::{Key, Secret};
#[cfg(feature = "rustcrypto")]
pub use rustcrypto::{aes_128_gcm, aes_256_gcm, chacha20_poly1305};

/// The number of a suite in the header of each frame. Configured on both sides, never negotiated (R38).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SuiteId(pub u8);

impl SuiteId {
    /// AES-128-GCM, SHA-256, Ed25519, X25519.
    pub const AES_128_GCM: Self = Self(1);
    /// AES-256-GCM, SHA-256, Ed25519, X25519.
    pub const AES_256_GCM: Self = Self(2);
    /// ChaCha20-Poly1305, SHA-256, Ed25519, X25519.
    pub const CHACHA20_POLY1305: Self = Self(3);
    /// DES, MD5, RSA: what Antigone used in 1999. Published edition only (feature `historic`).
    pub const DES_MD5_RSA: Self = Self(0x10);
    /// No security at all: fuzzing and measurements (feature `insecure-null`).
    pub const NULL: Self = Self(0xF0);
    /// Terms instead of bits (feature `sim`).
    pub const SYMBOLIC: Self = Self(0xF1);
}

/// Lengths in bytes of what a suite makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// A long-term key.
    pub long_term: usize,
    /// A group key.
    pub group_key: usize,
    /// A number used once.
    pub nonce: usize,
    /// A message authentication code.
    pub mac: usize,
    /// The tag of a box.
    pub aead_tag: usize,
    /// A digest.
    pub digest: usize,
    /// A public share.
    pub share: usize,
    /// A public signature key.
    pub verifying_key: usize,
    /// A signature.
    pub signature: usize,
}

/// The back end gave an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the cryptographic suite failed")]
pub struct SuiteError;

impl From<SuiteError> for Failure {
    fn from(SuiteError: SuiteError) -> Self {
        Self::Suite
    }
}

impl From<SuiteError> for Reason {
    fn from(SuiteError: SuiteError) -> Self {
        Self::Suite
    }
}

/// Something did not verify, or could not be tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum VerifyError {
    /// The tag, box or signature is wrong.
    #[error("the tag, box or signature does not verify")]
    Forged,
    /// The back end gave an error.
    #[error(transparent)]
    Suite(#[from] SuiteError),
}

impl From<VerifyError> for Reason {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Forged => Self::Forged,
            VerifyError::Suite(_) => Self::Suite,
        }
    }
}

/// A fresh value could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum FreshError {
    /// The random source failed.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The back end gave an error.
    #[error(transparent)]
    Suite(#[from] SuiteError),
}

impl From<FreshError> for Failure {
    fn from(error: FreshError) -> Self {
        match error {
            FreshError::Entropy(_) => Self::Entropy,
            FreshError::Suite(_) => Self::Suite,
        }
    }
}

/// The number of a box under its key (RA §2): never used twice with one key for two different (associated data, text).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BoxNumber {
    /// Keeps kinds of boxes under one key apart.
    pub domain: u32,
    /// Counts inside the domain.
    pub counter: u64,
}

impl BoxNumber {
    /// For a key that seals one text in its life.
    pub const ONLY: Self = Self { domain: 0, counter: 0 };
}

/// Which type of secret [`Suite::expand`] makes: its length comes from the suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A key for [`Suite::mac`].
    Mac,
    /// A key for boxes.
    Aead,
    /// A key to derive from.
    Derive,
}

/// A cryptographic suite.
pub trait Suite: Debug + Send + Sync {
    /// Its number in the header.
    fn id(&self) -> SuiteId;

    /// Lengths of what it makes.
    fn sizes(&self) -> Sizes;

    /// The digest of the concatenation of `parts`.
    ///
    /// # Errors
    /// [`SuiteError`]: the back end failed. So for all methods without another word.
    fn hash(&self, parts: &[&[u8]]) -> Result<Digest, SuiteError>;

    /// A digest to be fed piece by piece, for what is too long to hold.
    ///
    /// # Errors
    /// [`SuiteError`].
    fn hasher(&self) -> Result<Box<dyn Hasher>, SuiteError>;

    /// HKDF-Extract of the concatenation of `material`, with `salt`.
    ///
    /// # Errors
    /// [`SuiteError`].
    fn extract(&self, salt: &[u8], material: &[&Secret]) -> Result<Secret, SuiteError>;

    /// HKDF-Expand of `prk` with the concatenation of `info`.
    ///
    /// # Errors
    /// [`SuiteError`].
    fn expand(&self, prk: &Secret, info: &[&[u8]], purpose: Purpose) -> Result<Secret, SuiteError>;

    /// The authentication code of the concatenation of `parts`.
    ///
    /// # Errors
    /// [`SuiteError`].
    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError>;

    /// Checks an authentication code, in constant time.
    ///
    /// # Errors
    /// [`VerifyError`].
    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError>;

    /// Prepares `key` for many boxes.
    ///
    /// # Errors
    /// [`SuiteError`].
    fn aead(&self, key: &Secret) -> Result<Arc<dyn Aead>, SuiteError>;

    /// Seals one box in place.
    ///
    /// # Errors
    /// [`SuiteError`]; `text` is then undefined.
    fn seal(&self, key: &Secret, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        self.aead(key)?.seal(number, ad, text)
    }

    /// Opens one box in place.
    ///
    /// # Errors
    /// [`VerifyError`]; `text` then holds no plaintext (R36).
    fn open(&self, key: &Secret, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        self.aead(key)?.open(number, ad, text, tag)
    }

    /// A fresh secret of so many bytes (a group key).
    ///
    /// # Errors
    /// [`FreshError`]. So for the other fresh values.
    fn fresh_secret(&self, rng: &mut dyn Entropy, length: usize) -> Result<Secret, FreshError>;

    /// A fresh signature pair.
    ///
    /// # Errors
    /// [`FreshError`].
    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError>;

    /// Signs the concatenation of `parts`.
    ///
    /// # Errors
    /// [`SuiteError`].
    fn sign(&self, key: &Secret, parts: &[&[u8]]) -> Result<Signature, SuiteError>;

    /// Checks a signature of the concatenation of `parts`.
    ///
    /// # Errors
    /// [`VerifyError`].
    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError>;

    /// A fresh pair for an ephemeral exchange.
    ///
    /// # Errors
    /// [`FreshError`].
    fn agreement_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, Share), FreshError>;

    /// The result of an ephemeral exchange.
    ///
    /// # Errors
    /// [`VerifyError::Forged`] if the share is not one, or the result is the zero that any share of small order gives.
    fn agree(&self, secret: &Secret, share: &Share) -> Result<Secret, VerifyError>;

    /// Whether two secrets are the same, in constant time.
    fn same(&self, a: &Secret, b: &Secret) -> bool {
        a.same(b)
    }
}

/// A key prepared for boxes.
pub trait Aead: Debug + Send + Sync {
    /// Seals `text` in place and gives the tag. Allocates nothing.
    ///
    /// # Errors
    /// [`SuiteError`]; `text` is then undefined.
    fn seal(&self, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError>;

    /// Opens `text` in place. Allocates nothing.
    ///
    /// # Errors
    /// [`VerifyError`]; `text` then holds no plaintext (R36).
    fn open(&self, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError>;

    /// Overwrites what sealing and opening may have left behind on the stack, as far as that can be done. Called after
    /// control frames and key blocks, whose contents go into long-lived state; not after data, of which there is much.
    fn scrub(&self) {}
}

/// A digest fed piece by piece.
pub trait Hasher: Debug + Send {
    /// Feeds more.
    fn update(&mut self, bytes: &[u8]);

    /// The digest of all that was fed.
    ///
    /// # Errors
    /// [`SuiteError`].
    fn finish(self: Box<Self>) -> Result<Digest, SuiteError>;

    /// A hasher that has been fed the same.
    fn fork(&self) -> Box<dyn Hasher>;
}
