//! What every suite must do (feature `sim`): run it on a back end of your own.
//!
//! ```
//! # #[cfg(feature = "rustcrypto")] {
//! # use sodality::crypto::{aes_128_gcm, conformance};
//! # struct Counting(u64);
//! # impl sodality::endpoint::Entropy for Counting {
//! #     fn fill(&mut self, out: &mut [u8]) -> Result<(), sodality::endpoint::EntropyError> {
//! #         self.0 += 1;
//! #         out.iter_mut().zip(self.0.to_le_bytes().iter().cycle()).for_each(|(out, byte)| *out = *byte);
//! #         Ok(())
//! #     }
//! # }
//! # let mut rng = Counting(0);
//! conformance::check(&*aes_128_gcm(), &mut rng).unwrap();
//! # }
//! ```

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use super::{BoxNumber, FreshError, Secret, Suite, SuiteError, VerifyError};
use crate::endpoint::{Entropy, EntropyError};

mod boxes;
mod keys;
mod public;
#[cfg(feature = "historic")]
pub mod published;

/// A check that did not hold.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{check}: {found}")]
pub struct Failed {
    /// Name of the check.
    pub check: &'static str,
    /// What was found.
    pub found: String,
}

/// A check by name.
pub type Check = (&'static str, fn(&dyn Suite, &mut dyn Entropy) -> Result<(), String>);

/// All checks. Each makes its own keys, and each can be run alone.
pub const CHECKS: &[Check] = &[
    ("sizes", keys::sizes),
    ("hash", keys::hash),
    ("hasher", keys::hasher),
    ("extract", keys::extract),
    ("expand", keys::expand),
    ("mac", keys::mac),
    ("mac refuses", keys::mac_refuses),
    ("fresh", keys::fresh),
    ("entropy fails", keys::entropy_fails),
    ("same", keys::same),
    ("key lengths", keys::key_lengths),
    ("debug", keys::debug),
    ("boxes open", boxes::open),
    ("boxes in one shot", boxes::one_shot),
    ("boxes refuse", boxes::refuse),
    ("boxes hide", boxes::hide),
    ("refused boxes show nothing", boxes::refused),
    ("signatures verify", public::verifies),
    ("signatures refuse", public::refuses),
    ("agreements agree", public::agrees),
    ("agreements refuse", public::bad_shares),
];

/// Runs all checks, up to the first that does not hold.
///
/// # Errors
/// [`Failed`]: that check.
pub fn check(suite: &dyn Suite, rng: &mut dyn Entropy) -> Result<(), Failed> {
    CHECKS.iter().try_for_each(|(name, run)| run(suite, rng).map_err(|found| Failed { check: name, found }))
}

type Outcome = Result<(), String>;

const NUMBER: BoxNumber = BoxNumber { domain: 0x0102_0304, counter: 0x0506_0708_090A_0B0C };

fn ensure(holds: bool, otherwise: &str) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn done<T>(result: Result<T, SuiteError>, what: &str) -> Result<T, String> {
    result.map_err(|_| format!("{what} failed"))
}

fn made<T>(result: Result<T, FreshError>, what: &str) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

fn forged<T>(result: Result<T, VerifyError>, what: &str) -> Outcome {
    match result {
        Err(VerifyError::Forged) => Ok(()),
        Err(VerifyError::Suite(_)) => Err(format!("{what}: an error of the suite in place of a refusal")),
        Ok(_) => Err(format!("{what}: taken")),
    }
}

/// Each change of one bit of `bytes`.
fn each_bit(bytes: &[u8], mut test: impl FnMut(&[u8], usize) -> Outcome) -> Outcome {
    (0..bytes.len() * 8).try_for_each(|bit| test(&flipped(bytes, bit), bit))
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    if let Some(byte) = changed.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    changed
}

fn shorter(bytes: &[u8]) -> &[u8] {
    bytes.split_last().map_or(bytes, |(_, rest)| rest)
}

fn longer(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0]].concat()
}

/// `length` bytes that do not repeat early.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 256 + 1) as u8).collect()
}

/// A key to derive from.
fn derive_key(suite: &dyn Suite, rng: &mut dyn Entropy) -> Result<Secret, String> {
    let fresh = made(suite.fresh_secret(rng, suite.sizes().group_key), "a fresh secret")?;
    done(suite.extract(b"conformance", &[&fresh]), "extract")
}

/// Counts requests, and refuses them when told to.
struct Counted<'a> {
    inner: &'a mut dyn Entropy,
    requests: usize,
    refuse: bool,
}

impl Entropy for Counted<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.requests += 1;
        if self.refuse { Err(EntropyError) } else { self.inner.fill(out) }
    }
}
