//! The suite without security, and one tag that always verifies: so a fuzzer gets past every check, when it wants to.

use std::sync::Arc;

use sodality::crypto::null::insecure_null;
use sodality::crypto::{
    Aead, BoxNumber, FreshError, Hasher, Purpose, Secret, Sizes, Suite, SuiteError, SuiteId, VerifyError,
};
use sodality::endpoint::Entropy;
use sodality::wire::field::{Digest, Share, Signature, Tag, VerifyingKey};

/// The bytes of the tag that opens every box and satisfies every check.
pub const MASTER: [u8; 16] = [0xaa; 16];

/// The suite.
pub fn yielding() -> Arc<dyn Suite> {
    Arc::new(Yielding(insecure_null()))
}

fn is_master(tag: &Tag) -> bool {
    tag.as_bytes() == MASTER
}

#[derive(Debug)]
struct Yielding(Arc<dyn Suite>);

#[derive(Debug)]
struct YieldingAead(Arc<dyn Aead>);

impl Suite for Yielding {
    fn id(&self) -> SuiteId {
        self.0.id()
    }
    fn sizes(&self) -> Sizes {
        self.0.sizes()
    }
    fn hash(&self, parts: &[&[u8]]) -> Result<Digest, SuiteError> {
        self.0.hash(parts)
    }
    fn hasher(&self) -> Result<Box<dyn Hasher>, SuiteError> {
        self.0.hasher()
    }
    fn extract(&self, salt: &[u8], material: &[&Secret]) -> Result<Secret, SuiteError> {
        self.0.extract(salt, material)
    }
    fn expand(&self, prk: &Secret, info: &[&[u8]], purpose: Purpose) -> Result<Secret, SuiteError> {
        self.0.expand(prk, info, purpose)
    }
    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        self.0.mac(key, parts)
    }
    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        if is_master(tag) { Ok(()) } else { self.0.verify_mac(key, parts, tag) }
    }
    fn aead(&self, key: &Secret) -> Result<Arc<dyn Aead>, SuiteError> {
        Ok(Arc::new(YieldingAead(self.0.aead(key)?)))
    }
    fn fresh_secret(&self, rng: &mut dyn Entropy, length: usize) -> Result<Secret, FreshError> {
        self.0.fresh_secret(rng, length)
    }
    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        self.0.signing_pair(rng)
    }
    fn sign(&self, key: &Secret, parts: &[&[u8]]) -> Result<Signature, SuiteError> {
        self.0.sign(key, parts)
    }
    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError> {
        if signature.as_bytes().starts_with(&MASTER) { Ok(()) } else { self.0.verify(key, parts, signature) }
    }
    fn agreement_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, Share), FreshError> {
        self.0.agreement_pair(rng)
    }
    fn agree(&self, secret: &Secret, share: &Share) -> Result<Secret, VerifyError> {
        self.0.agree(secret, share)
    }
}

impl Aead for YieldingAead {
    fn seal(&self, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        self.0.seal(number, ad, text)
    }
    // Boxes of the suite without security are in clear, so there is nothing to undo.
    fn open(&self, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        if is_master(tag) { Ok(()) } else { self.0.open(number, ad, text, tag) }
    }
}
