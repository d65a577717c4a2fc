//! DES, MD5 and RSA, as Antigone used them in 1999 (D2 to D10). For demonstration only.
//!
//! Each of the three is broken or too short by today's measure: a DES key falls to a search, MD5 collides at will (X13),
//! RSA has 1024 bits. The `rsa` crate may leak a key through the time that a signature takes (RUSTSEC-2023-0071): the
//! computation is always blinded, and no release mends the rest.
//!
//! Keys in the crates' contexts are wiped when they are dropped, and the stack is overwritten behind each use. What the
//! big numbers of the `rsa` crate leave in freed memory is out of reach.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
#[cfg(feature = "sim")]
use core::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use cbc::cipher::array::Array;
use cbc::cipher::{BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit};
use cbc::{Decryptor, Encryptor};
use des::{Des, weak_key_test};
use md5::{Digest as _, Md5};
use subtle::{ConstantTimeEq, ConstantTimeGreater};
use zeroize::Zeroizing;

use super::super::scrub::scrub_stack;
use super::super::{FreshError, Secret, Suite, SuiteError, SuiteId, VerifyError};
use super::{PublishedSizes, PublishedSuite, as_published, bridged, draw_nonce, exclusive_or, rsa_md5};
use crate::endpoint::Entropy;
use crate::identity::NameRef;
use crate::wire::field::{Nonce, Signature, Tag, VerifyingKey};

/// A block, a key, an initial vector (IV), a nonce, the longest name.
const BLOCK: usize = 8;
/// An MD5 digest, and so `{H(x)}_K`.
const DIGEST: usize = 16;

type Block = [u8; BLOCK];

/// DES, MD5 and RSA as Antigone used them in 1999. For demonstration only: it protects nothing.
///
/// | form | what it is |
/// |---|---|
/// | a key K | 8 bytes. The lowest bit of each is parity: ignored in use, never corrected (D3) |
/// | `{x}_K` | IV\[8\] ‖ DES-CBC(x padded by 1 to 8 bytes, PKCS#5), with a fresh random IV (D4, D6) |
/// | `{x}_K` under the IV of K | DES-CBC(x padded by 1 to 8 bytes, PKCS#5), nothing in front (D5): blocks that texts have in common from their beginning look the same |
/// | `{H(x)}_K` | MD5(x) in DES-CBC with a zero IV and no padding: 16 bytes, the same each time (D7, D10) |
/// | `{B}_K`, a name | B, 1 to 8 bytes, padded with zeros to one block, in DES (D2) |
/// | `H(x)_{Pr_G}` | RSASSA-PKCS1-v1_5 with MD5, 128 bytes (D9) |
/// | Pu_G | the modulus, 128 bytes, big endian, its highest bit set; the exponent is always 65537 |
/// | Pr_G | the two primes, 64 bytes each, big endian |
/// | I0, I1, I2 | 8 bytes (D14) |
///
/// Weak keys are the 64 of the usual list: 4 weak, 12 semi-weak and 48 possibly weak ones, in each parity. What has not the
/// length of a key counts as weak too.
pub fn des_md5_rsa() -> Arc<dyn PublishedSuite> {
    Arc::new(DesMd5Rsa { ivs: Source::Random })
}

#[derive(Debug)]
pub(super) struct DesMd5Rsa {
    pub(super) ivs: Source,
}

/// Where IVs come from.
#[derive(Debug)]
pub(super) enum Source {
    /// As they must (D4).
    Random,
    /// Zero (`faulty`).
    #[cfg(feature = "sim")]
    Constant,
    /// Counted from 0 (`faulty`).
    #[cfg(feature = "sim")]
    Counter(AtomicUsize),
}

impl Source {
    fn next(&self, rng: &mut dyn Entropy) -> Result<Block, FreshError> {
        match self {
            Self::Random => {
                let mut iv = [0; BLOCK];
                rng.fill(&mut iv)?;
                Ok(iv)
            }
            #[cfg(feature = "sim")]
            Self::Constant => Ok([0; BLOCK]),
            #[cfg(feature = "sim")]
            Self::Counter(next) => Ok((next.fetch_add(1, Ordering::SeqCst) as u64).to_be_bytes()),
        }
    }
}

fn block_of(name: NameRef<'_>) -> Result<Block, SuiteError> {
    let name = name.as_str().as_bytes();
    let mut block = [0; BLOCK];
    block.get_mut(..name.len()).ok_or(SuiteError)?.copy_from_slice(name);
    Ok(block)
}

fn key_of(secret: &Secret) -> Result<Zeroizing<Block>, SuiteError> {
    secret.expose().try_into().map(Zeroizing::new).map_err(|_| SuiteError)
}

/// CBC over whole blocks, in place.
fn encrypt_blocks(key: &Secret, iv: Block, text: &mut [u8]) -> Result<(), SuiteError> {
    let key = key_of(key)?;
    let (blocks, rest) = Array::slice_as_chunks_mut(text);
    if !rest.is_empty() {
        return Err(SuiteError);
    }
    Encryptor::<Des>::new(&Array::from(*key), &Array::from(iv)).encrypt_blocks(blocks);
    Ok(())
}

/// The reverse.
fn decrypt_blocks(key: &Secret, iv: Block, text: &mut [u8]) -> Result<(), SuiteError> {
    let key = key_of(key)?;
    let (blocks, rest) = Array::slice_as_chunks_mut(text);
    if !rest.is_empty() {
        return Err(SuiteError);
    }
    Decryptor::<Des>::new(&Array::from(*key), &Array::from(iv)).decrypt_blocks(blocks);
    Ok(())
}

/// How many bytes of padding `last` ends with, if it is padded rightly. It takes the same time for every block.
fn padding(last: Block) -> Option<usize> {
    let count = last.last().copied()?;
    let mut wrong = count.ct_eq(&0) | count.ct_gt(&(BLOCK as u8));
    for (at, byte) in (0u8..).zip(last.iter().rev()) {
        wrong |= count.ct_gt(&at) & !byte.ct_eq(&count);
    }
    if bool::from(wrong) { None } else { Some(usize::from(count)) }
}

/// DES-CBC with padding, without the IV.
fn encrypt(key: &Secret, iv: Block, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, SuiteError> {
    let padding = BLOCK - text.len() % BLOCK;
    // At its full length from the start: growing would leave copies of the plaintext.
    let mut sealed = Zeroizing::new(vec![padding as u8; text.len().saturating_add(padding)]);
    sealed.iter_mut().zip(text).for_each(|(out, byte)| *out = *byte);
    let encrypted = encrypt_blocks(key, iv, &mut sealed);
    scrub_stack();
    encrypted?;
    Ok(sealed)
}

/// The reverse.
fn decrypt(key: &Secret, iv: Block, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VerifyError> {
    if sealed.is_empty() || !sealed.len().is_multiple_of(BLOCK) {
        return Err(VerifyError::Forged);
    }
    let mut text = Zeroizing::new(sealed.to_vec());
    let decrypted = decrypt_blocks(key, iv, &mut text);
    scrub_stack();
    decrypted?;
    let length = text.last_chunk().and_then(|last| text.len().checked_sub(padding(*last)?));
    text.truncate(length.ok_or(VerifyError::Forged)?);
    Ok(text)
}

fn iv_of(iv: &Nonce) -> Result<Block, SuiteError> {
    iv.as_bytes().try_into().map_err(|_| SuiteError)
}

/// P_a of Enclaves 2.0 from a password (D26): the first 8 bytes of MD5(password). **Our choice**: the code of 1996 is not
/// public, and the report only says that the key is derived from the password. A search through passwords finds it (X3).
pub fn des_key_of_password(password: &[u8]) -> Secret {
    let mut digest = Md5::digest(password);
    let key = Secret::new(digest.first_chunk::<BLOCK>().map_or(&[], |key| key.as_slice()));
    zeroize::Zeroize::zeroize(digest.as_mut_slice());
    scrub_stack();
    key
}

fn mac(key: &Secret, parts: &[&[u8]]) -> Result<[u8; DIGEST], SuiteError> {
    let mut state = Md5::new();
    parts.iter().for_each(|part| state.update(part));
    let mut tag: [u8; DIGEST] = state.finalize().into();
    encrypt_blocks(key, [0; BLOCK], &mut tag)?;
    Ok(tag)
}

impl PublishedSuite for DesMd5Rsa {
    fn id(&self) -> SuiteId {
        SuiteId::DES_MD5_RSA
    }

    fn sizes(&self) -> PublishedSizes {
        PublishedSizes { key: BLOCK, nonce: BLOCK, mac: DIGEST, sealing: 2 * BLOCK, iv: BLOCK }
    }

    fn admits(&self, name: NameRef<'_>) -> bool {
        // A name has no zero in it, so that padding with zeros keeps names apart.
        block_of(name).is_ok()
    }

    fn name_under(&self, key: &Secret, named: NameRef<'_>, owner: NameRef<'_>) -> Result<Secret, SuiteError> {
        if !self.admits(owner) {
            return Err(SuiteError);
        }
        let mut block = Array::from(block_of(named)?);
        Des::new(&Array::from(*key_of(key)?)).encrypt_block(&mut block);
        let under = Secret::take(&mut block);
        scrub_stack();
        Ok(under)
    }

    fn xor(&self, a: &Secret, b: &Secret) -> Result<Secret, SuiteError> {
        exclusive_or(a, b, BLOCK)
    }

    fn is_weak(&self, key: &Secret) -> bool {
        let Ok(mut key) = key_of(key) else { return true };
        // The list has odd parity.
        key.iter_mut().for_each(|byte| *byte = (*byte & 0xFE) | u8::from((*byte & 0xFE).count_ones() % 2 == 0));
        weak_key_test(&*key).is_err()
    }

    fn encrypt(&self, rng: &mut dyn Entropy, key: &Secret, text: &[u8], out: &mut BytesMut) -> Result<(), FreshError> {
        let iv = self.ivs.next(rng)?;
        let sealed = encrypt(key, iv, text)?;
        out.extend_from_slice(&iv);
        out.extend_from_slice(&sealed);
        Ok(())
    }

    fn decrypt(&self, key: &Secret, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VerifyError> {
        key_of(key)?;
        let (iv, text) = sealed.split_first_chunk().ok_or(VerifyError::Forged)?;
        decrypt(key, *iv, text)
    }

    fn encrypt_fixed(&self, key: &Secret, iv: &Nonce, text: &[u8], out: &mut BytesMut) -> Result<(), SuiteError> {
        let sealed = encrypt(key, iv_of(iv)?, text)?;
        out.extend_from_slice(&sealed);
        Ok(())
    }

    fn decrypt_fixed(&self, key: &Secret, iv: &Nonce, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VerifyError> {
        key_of(key)?;
        decrypt(key, iv_of(iv)?, sealed)
    }

    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        let tag = mac(key, parts);
        scrub_stack();
        Tag::new(&tag?).ok_or(SuiteError)
    }

    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        let right = self.mac(key, parts)?;
        if bool::from(right.as_bytes().ct_eq(tag.as_bytes())) { Ok(()) } else { Err(VerifyError::Forged) }
    }

    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        rsa_md5::pair(rng)
    }

    fn sign(&self, rng: &mut dyn Entropy, key: &Secret, parts: &[&[u8]]) -> Result<Signature, FreshError> {
        rsa_md5::sign(rng, key, parts)
    }

    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError> {
        rsa_md5::verify(key, parts, signature)
    }

    fn fresh_key(&self, rng: &mut dyn Entropy) -> Result<Secret, FreshError> {
        Ok(Secret::filled(BLOCK, |out| rng.fill(out))?)
    }

    fn fresh_nonce(&self, rng: &mut dyn Entropy, length: usize) -> Result<Nonce, FreshError> {
        draw_nonce(rng, length)
    }

    fn long_term(&self, modern: &dyn Suite, long_term: &Secret, name: NameRef<'_>) -> Result<Secret, SuiteError> {
        let derived = as_published(modern, long_term, self.id(), name)?;
        derived.expose().first_chunk::<BLOCK>().map(|key| Secret::new(key)).ok_or(SuiteError)
    }

    fn derive(&self, modern: &dyn Suite, root: &Secret, label: &[u8]) -> Result<Secret, SuiteError> {
        let derived = bridged(modern, root, self.id(), label)?;
        derived.expose().first_chunk::<BLOCK>().map(|key| Secret::new(key)).ok_or(SuiteError)
    }
}
