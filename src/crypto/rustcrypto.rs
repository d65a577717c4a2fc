//! Suites on the RustCrypto and dalek crates (feature `rustcrypto`).
//!
//! HKDF and HMAC on SHA-256, Ed25519, X25519, and one of three AEADs. The nonce of a box is `u32 domain ‖ u64 counter`,
//! big endian (RA §2). A code is HMAC-SHA-256 cut to its first 16 bytes (RFC 2104 §5).
//!
//! On a failed [`Aead::open`] the text stays the ciphertext that it was: both AEAD crates check the tag before they
//! touch the buffer (R36; the crates' older releases did not, RUSTSEC-2023-0096).
//!
//! Boxes, codes and signatures are made and checked without an allocation.
//!
//! Keys inside the crates' contexts are wiped when they are dropped: the features that do it are turned on in this
//! crate's manifest, without defaults (R32). Copies that the compiler leaves on the stack are out of reach; what can be
//! overwritten there is, behind every use of a key but the boxes of prepared keys: those that need it ask by
//! [`Aead::scrub`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::array::Array;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use ed25519_dalek::SigningKey;
use ed25519_dalek::ed25519::signature::{MultipartSigner, MultipartVerifier};
use hkdf::{Hkdf, HkdfExtract};
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use super::scrub::{scrub, scrub_stack};
use super::{Aead, BoxNumber, FreshError, Hasher, Purpose, Secret, Sizes, Suite, SuiteError, SuiteId, VerifyError};
use crate::endpoint::Entropy;
use crate::wire::field::{Digest, Share, Signature, Tag, VerifyingKey};

/// AES-128-GCM, SHA-256, Ed25519, X25519.
pub fn aes_128_gcm() -> Arc<dyn Suite> {
    Arc::new(RustCrypto(Cipher::Aes128Gcm))
}

/// AES-256-GCM, SHA-256, Ed25519, X25519.
pub fn aes_256_gcm() -> Arc<dyn Suite> {
    Arc::new(RustCrypto(Cipher::Aes256Gcm))
}

/// ChaCha20-Poly1305, SHA-256, Ed25519, X25519.
pub fn chacha20_poly1305() -> Arc<dyn Suite> {
    Arc::new(RustCrypto(Cipher::ChaCha20Poly1305))
}

/// Keys to derive from, keys for codes, private signature keys, private halves of exchanges, digests.
const KEY: usize = 32;
const NONCE: usize = 16;
const TAG: usize = 16;
const SIGNATURE: usize = 64;

#[derive(Clone, Copy, Debug)]
enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Cipher {
    /// Length of its keys, in bytes.
    fn key(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct RustCrypto(Cipher);

impl Suite for RustCrypto {
    fn id(&self) -> SuiteId {
        match self.0 {
            Cipher::Aes128Gcm => SuiteId::AES_128_GCM,
            Cipher::Aes256Gcm => SuiteId::AES_256_GCM,
            Cipher::ChaCha20Poly1305 => SuiteId::CHACHA20_POLY1305,
        }
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            long_term: KEY,
            group_key: KEY,
            nonce: NONCE,
            mac: TAG,
            aead_tag: TAG,
            digest: KEY,
            share: KEY,
            verifying_key: KEY,
            signature: SIGNATURE,
        }
    }

    fn hash(&self, parts: &[&[u8]]) -> Result<Digest, SuiteError> {
        let mut state = Sha256::new();
        parts.iter().for_each(|part| state.update(part));
        digest(state)
    }

    fn hasher(&self) -> Result<Box<dyn Hasher>, SuiteError> {
        Ok(Box::new(Sha256Hasher(Sha256::new())))
    }

    fn extract(&self, salt: &[u8], material: &[&Secret]) -> Result<Secret, SuiteError> {
        let mut state = HkdfExtract::<Sha256>::new(Some(salt));
        material.iter().for_each(|secret| state.input_ikm(secret.expose()));
        let (mut prk, _) = state.finalize();
        let secret = Secret::new(&prk);
        prk.as_mut_slice().zeroize();
        scrub_stack();
        Ok(secret)
    }

    fn expand(&self, prk: &Secret, info: &[&[u8]], purpose: Purpose) -> Result<Secret, SuiteError> {
        let length = match purpose {
            Purpose::Aead => self.0.key(),
            Purpose::Mac | Purpose::Derive => KEY,
        };
        let expanded = if prk.len() == KEY { expand(prk, info, length) } else { Err(SuiteError) };
        scrub_stack();
        expanded
    }

    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        let code = code(key, parts);
        scrub_stack();
        let code = code?;
        code.get(..TAG).and_then(Tag::new).ok_or(SuiteError)
    }

    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        let right = self.mac(key, parts)?;
        // Both are cut to their length, so a shorter or longer tag is unequal (`ct_eq` of slices compares lengths).
        if bool::from(right.as_bytes().ct_eq(tag.as_bytes())) { Ok(()) } else { Err(VerifyError::Forged) }
    }

    fn aead(&self, key: &Secret) -> Result<Arc<dyn Aead>, SuiteError> {
        // A context is made on the stack and moved to the heap, with whatever stood between its parts.
        scrub_stack();
        let prepared = match self.0 {
            Cipher::Aes128Gcm => prepared::<Aes128Gcm>(key),
            Cipher::Aes256Gcm => prepared::<Aes256Gcm>(key),
            Cipher::ChaCha20Poly1305 => prepared::<ChaCha20Poly1305>(key),
        };
        scrub_stack();
        prepared
    }

    // One box: the context stays on the stack.
    fn seal(&self, key: &Secret, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        let sealed = match self.0 {
            Cipher::Aes128Gcm => context::<Aes128Gcm>(key)?.seal(number, ad, text),
            Cipher::Aes256Gcm => context::<Aes256Gcm>(key)?.seal(number, ad, text),
            Cipher::ChaCha20Poly1305 => context::<ChaCha20Poly1305>(key)?.seal(number, ad, text),
        };
        scrub_stack();
        sealed
    }

    fn open(&self, key: &Secret, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        let opened = match self.0 {
            Cipher::Aes128Gcm => context::<Aes128Gcm>(key)?.open(number, ad, text, tag),
            Cipher::Aes256Gcm => context::<Aes256Gcm>(key)?.open(number, ad, text, tag),
            Cipher::ChaCha20Poly1305 => context::<ChaCha20Poly1305>(key)?.open(number, ad, text, tag),
        };
        scrub_stack();
        opened
    }

    fn fresh_secret(&self, rng: &mut dyn Entropy, length: usize) -> Result<Secret, FreshError> {
        Ok(Secret::filled(length, |out| rng.fill(out))?)
    }

    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        let secret = self.fresh_secret(rng, KEY)?;
        let public = signing_key(&secret)?.verifying_key();
        Ok((secret, VerifyingKey::new(public.as_bytes()).ok_or(SuiteError)?))
    }

    fn sign(&self, key: &Secret, parts: &[&[u8]]) -> Result<Signature, SuiteError> {
        let signature = signing_key(key)?.try_multipart_sign(parts).map_err(|_| SuiteError)?;
        Signature::new(&signature.to_bytes()).ok_or(SuiteError)
    }

    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError> {
        let key = key.as_bytes().try_into().map_err(|_| VerifyError::Forged)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| VerifyError::Forged)?;
        let signature = signature.as_bytes().try_into().map_err(|_| VerifyError::Forged)?;
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        // Strict: neither the key nor R may be of small order, so that a signature binds one text (RFC 8032 §8.9). The
        // crate's own strict check takes a text in one piece only; R is a point like a key.
        let r = ed25519_dalek::VerifyingKey::from_bytes(signature.r_bytes()).map_err(|_| VerifyError::Forged)?;
        if key.is_weak() || r.is_weak() {
            return Err(VerifyError::Forged);
        }
        key.multipart_verify(parts, &signature).map_err(|_| VerifyError::Forged)
    }

    fn agreement_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, Share), FreshError> {
        let secret = self.fresh_secret(rng, KEY)?;
        let share = PublicKey::from(&agreement_key(&secret)?);
        Ok((secret, Share::new(share.as_bytes()).ok_or(SuiteError)?))
    }

    fn agree(&self, secret: &Secret, share: &Share) -> Result<Secret, VerifyError> {
        let share: [u8; KEY] = share.as_bytes().try_into().map_err(|_| VerifyError::Forged)?;
        let shared = agreement_key(secret)?.diffie_hellman(&PublicKey::from(share));
        // RFC 7748 §6.1: abort on the all-zero result.
        if shared.was_contributory() { Ok(Secret::new(shared.as_bytes())) } else { Err(VerifyError::Forged) }
    }
}

fn digest(state: Sha256) -> Result<Digest, SuiteError> {
    Digest::new(&state.finalize()).ok_or(SuiteError)
}

fn expand(prk: &Secret, info: &[&[u8]], length: usize) -> Result<Secret, SuiteError> {
    let state = Hkdf::<Sha256>::from_prk(prk.expose()).map_err(|_| SuiteError)?;
    Secret::filled(length, |out| state.expand_multi_info(info, out).map_err(|_| SuiteError))
}

fn code(key: &Secret, parts: &[&[u8]]) -> Result<[u8; KEY], SuiteError> {
    if key.len() == KEY { hmac(key.expose(), parts) } else { Err(SuiteError) }
}

/// The whole code, under a key of any length.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Result<[u8; KEY], SuiteError> {
    let mut state = <Hmac<Sha256> as KeyInit>::new_from_slice(key).map_err(|_| SuiteError)?;
    parts.iter().for_each(|part| state.update(part));
    Ok(state.finalize().into_bytes().into())
}

fn key_bytes(secret: &Secret) -> Result<Zeroizing<[u8; KEY]>, SuiteError> {
    let mut bytes = Zeroizing::new([0; KEY]);
    if secret.len() != KEY {
        return Err(SuiteError);
    }
    bytes.copy_from_slice(secret.expose());
    Ok(bytes)
}

fn signing_key(secret: &Secret) -> Result<SigningKey, SuiteError> {
    Ok(SigningKey::from_bytes(&*key_bytes(secret)?))
}

fn agreement_key(secret: &Secret) -> Result<StaticSecret, SuiteError> {
    Ok(StaticSecret::from(*key_bytes(secret)?))
}

struct Sha256Hasher(Sha256);

impl fmt::Debug for Sha256Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256Hasher(..)")
    }
}

impl Hasher for Sha256Hasher {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(mut self: Box<Self>) -> Result<Digest, SuiteError> {
        // Not moved out of its box: that would leave the last bytes fed in memory that is freed unwiped.
        Digest::new(&self.0.finalize_reset()).ok_or(SuiteError)
    }

    fn fork(&self) -> Box<dyn Hasher> {
        Box::new(Self(self.0.clone()))
    }
}

struct Context<C>(C);

fn context<C: KeyInit>(key: &Secret) -> Result<Context<C>, SuiteError> {
    C::new_from_slice(key.expose()).map(Context).map_err(|_| SuiteError)
}

fn prepared<C>(key: &Secret) -> Result<Arc<dyn Aead>, SuiteError>
where
    C: KeyInit + AeadInOut<NonceSize = U12, TagSize = U16> + Send + Sync + 'static,
{
    Ok(Arc::new(context::<C>(key)?))
}

impl<C> fmt::Debug for Context<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context(..)")
    }
}

impl<C: AeadInOut<NonceSize = U12, TagSize = U16> + Send + Sync> Aead for Context<C> {
    fn seal(&self, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        let tag = self.0.encrypt_inout_detached(&nonce(number), ad, text.into()).map_err(|_| SuiteError)?;
        Tag::new(&tag).ok_or(SuiteError)
    }

    fn open(&self, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        let tag: &[u8; TAG] = tag.as_bytes().try_into().map_err(|_| VerifyError::Forged)?;
        self.0
            .decrypt_inout_detached(&nonce(number), ad, text.into(), &Array::from(*tag))
            .map_err(|_| VerifyError::Forged)
    }

    fn scrub(&self) {
        // The vector code of ciphers reaches deep.
        scrub::<2048>();
    }
}

fn nonce(number: BoxNumber) -> Array<u8, U12> {
    let [d0, d1, d2, d3] = number.domain.to_be_bytes();
    let [c0, c1, c2, c3, c4, c5, c6, c7] = number.counter.to_be_bytes();
    Array([d0, d1, d2, d3, c0, c1, c2, c3, c4, c5, c6, c7])
}

#[cfg(test)]
#[path = "rustcrypto_vectors.rs"]
mod vectors;
