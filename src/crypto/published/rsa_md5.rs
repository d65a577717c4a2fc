//! RSASSA-PKCS1-v1_5 with MD5, 1024 bits, e = 65537 (D9).

use alloc::boxed::Box;

use chacha20::ChaCha20Rng;
use md5::{Digest as _, Md5};
use rand_core::SeedableRng;
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BoxedUint, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};
use zeroize::{Zeroize, Zeroizing};

use super::super::scrub::scrub;
use super::super::{FreshError, Secret, SuiteError, VerifyError};
use crate::endpoint::Entropy;
use crate::wire::field::{Signature, VerifyingKey};

const BITS: usize = 1024;
/// A modulus, a signature, in bytes.
const MODULUS: usize = BITS / 8;
/// One of the two primes, in bytes.
const PRIME: usize = MODULUS / 2;
const EXPONENT: u64 = 65_537;

/// A generator seeded by one request: a search for primes takes an unknown number of draws, and none of them may fail half
/// way.
fn generator(rng: &mut dyn Entropy) -> Result<ChaCha20Rng, FreshError> {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill(&mut *seed)?;
    Ok(ChaCha20Rng::from_seed(*seed))
}

/// Computations with big numbers reach deep.
fn scrub_stack() {
    scrub::<2048>();
}

/// `value`, big endian, in all of `out`.
fn put(value: &BoxedUint, out: &mut [u8]) -> Result<(), SuiteError> {
    let bytes = Zeroizing::<Box<[u8]>>::new(value.to_be_bytes());
    if bytes.len() != out.len() {
        return Err(SuiteError);
    }
    out.copy_from_slice(&bytes);
    Ok(())
}

fn number(bytes: &[u8]) -> Result<BoxedUint, SuiteError> {
    let bits = u32::try_from(bytes.len().saturating_mul(8)).map_err(|_| SuiteError)?;
    BoxedUint::from_be_slice(bytes, bits).map_err(|_| SuiteError)
}

fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut state = Md5::new();
    parts.iter().for_each(|part| state.update(part));
    state.finalize().into()
}

fn private(key: &Secret) -> Result<RsaPrivateKey, SuiteError> {
    let (p, q) = key.expose().split_at_checked(PRIME).ok_or(SuiteError)?;
    if q.len() != PRIME {
        return Err(SuiteError);
    }
    let (mut p, mut q) = (number(p)?, number(q)?);
    let key = RsaPrivateKey::from_p_q(p.clone(), q.clone(), EXPONENT.into());
    p.zeroize();
    q.zeroize();
    key.ok().filter(|key| key.size() == MODULUS).ok_or(SuiteError)
}

/// The primes and the modulus of a new key. One request to `rng`.
pub(super) fn pair(rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
    let mut generator = generator(rng)?;
    let made = made(&mut generator);
    drop(generator);
    scrub_stack();
    Ok(made?)
}

fn made(generator: &mut ChaCha20Rng) -> Result<(Secret, VerifyingKey), SuiteError> {
    let key = RsaPrivateKey::new(generator, BITS).map_err(|_| SuiteError)?;
    let [p, q] = key.primes() else { return Err(SuiteError) };
    let secret = Secret::filled(MODULUS, |out| {
        let (of_p, of_q) = out.split_at_mut_checked(PRIME).ok_or(SuiteError)?;
        put(p, of_p)?;
        put(q, of_q)
    })?;
    let mut modulus = [0; MODULUS];
    put(key.n(), &mut modulus)?;
    Ok((secret, VerifyingKey::new(&modulus).ok_or(SuiteError)?))
}

/// A signature, blinded from `rng`. One request.
pub(super) fn sign(rng: &mut dyn Entropy, key: &Secret, parts: &[&[u8]]) -> Result<Signature, FreshError> {
    let mut generator = generator(rng)?;
    let signed = private(key).and_then(|key| {
        key.sign_with_rng(&mut generator, Pkcs1v15Sign::new::<Md5>(), &digest(parts)).map_err(|_| SuiteError)
    });
    drop(generator);
    scrub_stack();
    Ok(Signature::new(&signed?).filter(|signature| signature.as_bytes().len() == MODULUS).ok_or(SuiteError)?)
}

/// Checks one.
pub(super) fn verify(key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError> {
    let modulus: &[u8; MODULUS] = key.as_bytes().try_into().map_err(|_| VerifyError::Forged)?;
    // Refuses what is even or has fewer than 1024 bits.
    let key = RsaPublicKey::new(number(modulus)?, EXPONENT.into()).map_err(|_| VerifyError::Forged)?;
    key.verify(Pkcs1v15Sign::new::<Md5>(), &digest(parts), signature.as_bytes()).map_err(|_| VerifyError::Forged)
}
