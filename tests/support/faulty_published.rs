//! A suite of the published edition that fails at one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use sodality::crypto::published::{PublishedSizes, PublishedSuite};
use sodality::crypto::{FreshError, Secret, Suite, SuiteError, SuiteId, VerifyError};
use sodality::endpoint::Entropy;
use sodality::identity::NameRef;
use sodality::wire::field::{Nonce, Signature, Tag, VerifyingKey};
use zeroize::Zeroizing;

/// Around another suite; clones share the plan.
#[derive(Clone, Debug)]
pub(crate) struct FaultyPublished {
    inner: Arc<dyn PublishedSuite>,
    plan: Arc<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    left: AtomicUsize,
    calls: AtomicUsize,
    failures: AtomicUsize,
}

impl FaultyPublished {
    pub(crate) fn new(inner: Arc<dyn PublishedSuite>) -> Self {
        Self { inner, plan: Arc::default() }
    }

    pub(crate) fn suite(&self) -> Arc<dyn PublishedSuite> {
        Arc::new(self.clone())
    }

    /// Lets the `k`-th call from now fail, and only that one.
    pub(crate) fn fail_at(&self, k: usize) {
        self.plan.left.store(k, Ordering::SeqCst);
    }

    pub(crate) fn calls(&self) -> usize {
        self.plan.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn failures(&self) -> usize {
        self.plan.failures.load(Ordering::SeqCst)
    }

    fn call(&self) -> Result<(), SuiteError> {
        self.plan.calls.fetch_add(1, Ordering::SeqCst);
        let left = self.plan.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left == Ok(1) {
            self.plan.failures.fetch_add(1, Ordering::SeqCst);
            return Err(SuiteError);
        }
        Ok(())
    }
}

impl PublishedSuite for FaultyPublished {
    fn id(&self) -> SuiteId {
        self.inner.id()
    }

    fn sizes(&self) -> PublishedSizes {
        self.inner.sizes()
    }

    fn admits(&self, name: NameRef<'_>) -> bool {
        self.inner.admits(name)
    }

    fn name_under(&self, key: &Secret, named: NameRef<'_>, owner: NameRef<'_>) -> Result<Secret, SuiteError> {
        self.call()?;
        self.inner.name_under(key, named, owner)
    }

    fn xor(&self, a: &Secret, b: &Secret) -> Result<Secret, SuiteError> {
        self.call()?;
        self.inner.xor(a, b)
    }

    fn is_weak(&self, key: &Secret) -> bool {
        self.inner.is_weak(key)
    }

    fn encrypt(&self, rng: &mut dyn Entropy, key: &Secret, text: &[u8], out: &mut BytesMut) -> Result<(), FreshError> {
        self.call()?;
        self.inner.encrypt(rng, key, text, out)
    }

    fn decrypt(&self, key: &Secret, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VerifyError> {
        self.call()?;
        self.inner.decrypt(key, sealed)
    }

    fn encrypt_fixed(&self, key: &Secret, iv: &Nonce, text: &[u8], out: &mut BytesMut) -> Result<(), SuiteError> {
        self.call()?;
        self.inner.encrypt_fixed(key, iv, text, out)
    }

    fn decrypt_fixed(&self, key: &Secret, iv: &Nonce, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VerifyError> {
        self.call()?;
        self.inner.decrypt_fixed(key, iv, sealed)
    }

    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        self.call()?;
        self.inner.mac(key, parts)
    }

    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        self.call()?;
        self.inner.verify_mac(key, parts, tag)
    }

    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        self.call()?;
        self.inner.signing_pair(rng)
    }

    fn sign(&self, rng: &mut dyn Entropy, key: &Secret, parts: &[&[u8]]) -> Result<Signature, FreshError> {
        self.call()?;
        self.inner.sign(rng, key, parts)
    }

    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError> {
        self.call()?;
        self.inner.verify(key, parts, signature)
    }

    fn fresh_key(&self, rng: &mut dyn Entropy) -> Result<Secret, FreshError> {
        self.call()?;
        self.inner.fresh_key(rng)
    }

    fn fresh_nonce(&self, rng: &mut dyn Entropy, length: usize) -> Result<Nonce, FreshError> {
        self.call()?;
        self.inner.fresh_nonce(rng, length)
    }

    fn long_term(&self, modern: &dyn Suite, long_term: &Secret, name: NameRef<'_>) -> Result<Secret, SuiteError> {
        self.call()?;
        self.inner.long_term(modern, long_term, name)
    }

    fn derive(&self, modern: &dyn Suite, root: &Secret, label: &[u8]) -> Result<Secret, SuiteError> {
        self.call()?;
        self.inner.derive(modern, root, label)
    }
}
