//! A suite that watches.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::mix::Mix;
use super::super::{
    Aead, BoxNumber, FreshError, Hasher, Purpose, Secret, Sizes, Suite, SuiteError, SuiteId, VerifyError,
};
use crate::endpoint::Entropy;
use crate::wire::field::{Digest, Share, Signature, Tag, VerifyingKey};

/// One key and number sealed two different (associated data, text) (RA §2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The number of the box.
    pub number: BoxNumber,
    /// How long the associated data and the text were that came first, in bytes.
    pub first: (usize, usize),
    /// The same of what came second.
    pub second: (usize, usize),
}

#[derive(Default)]
struct Log {
    boxes: BTreeMap<([u8; 32], BoxNumber), Sealed>,
    violations: Vec<Violation>,
    secrets: BTreeSet<Vec<u8>>,
    ephemeral: BTreeSet<Vec<u8>>,
}

#[derive(Clone, Copy)]
struct Sealed {
    mixed: [u8; 32],
    lengths: (usize, usize),
}

/// A suite that lets every call through, and keeps what it saw: whether no key and number ever sealed two different
/// texts, and all secrets that came by. Clones share the record. It holds secrets: for tests only.
#[derive(Clone)]
pub struct Recording {
    inner: Arc<dyn Suite>,
    log: Arc<Mutex<Log>>,
}

impl core::fmt::Debug for Recording {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Recording").field(&self.inner).finish()
    }
}

impl Recording {
    /// Around `inner`.
    pub fn new(inner: Arc<dyn Suite>) -> Self {
        Self { inner, log: Arc::default() }
    }

    /// The suite to give to a machine.
    pub fn suite(&self) -> Arc<dyn Suite> {
        Arc::new(self.clone())
    }

    /// Every number that was used twice with one key for different things.
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    /// All secrets that went in or came out, each once, in order of their bytes.
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        self.lock().secrets.iter().cloned().collect()
    }

    /// The private halves of all ephemeral exchanges, each once, in order of their bytes.
    pub fn ephemeral_secrets(&self) -> Vec<Vec<u8>> {
        self.lock().ephemeral.iter().cloned().collect()
    }

    /// How many different boxes were sealed.
    pub fn boxes(&self) -> usize {
        self.lock().boxes.len()
    }

    /// Forgets all secrets, so that memory may be searched for them elsewhere. Boxes and violations stay.
    pub fn forget_secrets(&self) {
        let mut log = self.lock();
        log.secrets.clear();
        log.ephemeral.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        // Each change is one insertion, so a panic elsewhere leaves it whole.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, secret: &Secret) {
        let mut log = self.lock();
        if !log.secrets.contains(secret.expose()) {
            log.secrets.insert(secret.expose().to_vec());
        }
    }

    fn made<E>(&self, secret: Result<Secret, E>) -> Result<Secret, E> {
        secret.inspect(|secret| self.saw(secret))
    }

    /// Notes a box that was made.
    fn sealed(&self, key: [u8; 32], number: BoxNumber, now: Sealed) {
        let mut log = self.lock();
        let before = *log.boxes.entry((key, number)).or_insert(now);
        if before.mixed != now.mixed {
            log.violations.push(Violation { number, first: before.lengths, second: now.lengths });
        }
    }
}

impl Sealed {
    fn new(ad: &[u8], text: &[u8]) -> Self {
        let mut mix = Mix::new("recorded");
        mix.field(ad);
        mix.field(text);
        Self { mixed: mix.finish(), lengths: (ad.len(), text.len()) }
    }
}

fn name(key: &Secret) -> [u8; 32] {
    let mut mix = Mix::new("key");
    mix.field(key.expose());
    mix.finish()
}

impl Suite for Recording {
    fn id(&self) -> SuiteId {
        self.inner.id()
    }

    fn sizes(&self) -> Sizes {
        self.inner.sizes()
    }

    fn hash(&self, parts: &[&[u8]]) -> Result<Digest, SuiteError> {
        self.inner.hash(parts)
    }

    fn hasher(&self) -> Result<Box<dyn Hasher>, SuiteError> {
        self.inner.hasher()
    }

    fn extract(&self, salt: &[u8], material: &[&Secret]) -> Result<Secret, SuiteError> {
        material.iter().for_each(|secret| self.saw(secret));
        self.made(self.inner.extract(salt, material))
    }

    fn expand(&self, prk: &Secret, info: &[&[u8]], purpose: Purpose) -> Result<Secret, SuiteError> {
        self.saw(prk);
        self.made(self.inner.expand(prk, info, purpose))
    }

    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        self.saw(key);
        self.inner.mac(key, parts)
    }

    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        self.saw(key);
        self.inner.verify_mac(key, parts, tag)
    }

    fn aead(&self, key: &Secret) -> Result<Arc<dyn Aead>, SuiteError> {
        self.saw(key);
        Ok(Arc::new(RecordingAead { inner: self.inner.aead(key)?, record: self.clone(), key: name(key) }))
    }

    fn seal(&self, key: &Secret, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        self.saw(key);
        let sealed = Sealed::new(ad, text);
        let tag = self.inner.seal(key, number, ad, text)?;
        self.sealed(name(key), number, sealed);
        Ok(tag)
    }

    fn open(&self, key: &Secret, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        self.saw(key);
        self.inner.open(key, number, ad, text, tag)
    }

    fn fresh_secret(&self, rng: &mut dyn Entropy, length: usize) -> Result<Secret, FreshError> {
        self.made(self.inner.fresh_secret(rng, length))
    }

    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        self.inner.signing_pair(rng).inspect(|(secret, _)| self.saw(secret))
    }

    fn sign(&self, key: &Secret, parts: &[&[u8]]) -> Result<Signature, SuiteError> {
        self.saw(key);
        self.inner.sign(key, parts)
    }

    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError> {
        self.inner.verify(key, parts, signature)
    }

    fn agreement_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, Share), FreshError> {
        let pair = self.inner.agreement_pair(rng);
        pair.inspect(|(secret, _)| {
            self.saw(secret);
            self.lock().ephemeral.insert(secret.expose().to_vec());
        })
    }

    fn agree(&self, secret: &Secret, share: &Share) -> Result<Secret, VerifyError> {
        self.saw(secret);
        self.made(self.inner.agree(secret, share))
    }

    fn same(&self, a: &Secret, b: &Secret) -> bool {
        self.inner.same(a, b)
    }
}

struct RecordingAead {
    inner: Arc<dyn Aead>,
    record: Recording,
    key: [u8; 32],
}

impl core::fmt::Debug for RecordingAead {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("RecordingAead").field(&self.inner).finish()
    }
}

impl Aead for RecordingAead {
    fn seal(&self, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        let sealed = Sealed::new(ad, text);
        let tag = self.inner.seal(number, ad, text)?;
        self.record.sealed(self.key, number, sealed);
        Ok(tag)
    }

    fn open(&self, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        self.inner.open(number, ad, text, tag)
    }

    fn scrub(&self) {
        self.inner.scrub();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::symbolic::symbolic;

    const NUMBER: BoxNumber = BoxNumber { domain: 1, counter: 7 };

    #[test]
    fn a_number_used_twice_for_different_texts_is_seen() {
        let record = Recording::new(symbolic().suite());
        let suite = record.suite();
        let (key, other) = (Secret::new(&[1; 32]), Secret::new(&[2; 32]));
        let prepared = suite.aead(&key).unwrap();
        // The same again, other numbers and other keys are no violation.
        for _ in 0..2 {
            prepared.seal(NUMBER, b"ad", &mut [0; 3]).unwrap();
            suite.seal(&key, NUMBER, b"ad", &mut [0; 3]).unwrap();
        }
        prepared.seal(BoxNumber { domain: 2, ..NUMBER }, b"", &mut [0; 4]).unwrap();
        prepared.seal(BoxNumber { counter: 8, ..NUMBER }, b"", &mut [0; 4]).unwrap();
        suite.seal(&other, NUMBER, b"", &mut [0; 4]).unwrap();
        assert_eq!((record.violations(), record.boxes()), (Vec::new(), 4));

        suite.seal(&key, NUMBER, b"ad", &mut [1; 3]).unwrap();
        assert_eq!(record.violations(), [Violation { number: NUMBER, first: (2, 3), second: (2, 3) }]);
        suite.aead(&key).unwrap().seal(NUMBER, b"a", &mut [0; 4]).unwrap();
        prepared.seal(NUMBER, b"ad\0", &mut [0; 2]).unwrap();
        assert_eq!(record.violations().len(), 3);
    }

    #[test]
    fn secrets_are_kept_until_they_are_forgotten() {
        let record = Recording::new(symbolic().suite());
        let suite = record.suite();
        let key = Secret::new(&[1; 32]);
        let prk = suite.extract(b"", &[&key]).unwrap();
        let mac = suite.expand(&prk, &[], Purpose::Mac).unwrap();
        suite.mac(&mac, &[]).unwrap();
        let mut all = [key.expose().to_vec(), prk.expose().to_vec(), mac.expose().to_vec()];
        all.sort();
        assert_eq!(record.secrets(), all);
        record.forget_secrets();
        assert_eq!(record.secrets(), Vec::<Vec<u8>>::new());
    }
}
