//! The notation of the published edition on a modern suite.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::BytesMut;
use zeroize::{Zeroize, Zeroizing};

use super::super::{BoxNumber, FreshError, Purpose, Secret, Suite, SuiteError, SuiteId, VerifyError};
use super::{PublishedSizes, PublishedSuite, as_published, bridged, draw_nonce, exclusive_or, prefix};
use crate::endpoint::Entropy;
use crate::identity::NameRef;
use crate::wire::field::{Nonce, Signature, Tag, VerifyingKey};

/// A random number in front of each box.
const FRONT: usize = 12;

/// Any suite in the notation of the published edition.
///
/// | form | what it is |
/// |---|---|
/// | a key K | [`Sizes::group_key`](super::super::Sizes::group_key) bytes (32 in the suites of this crate), never used itself: keys follow from it by HKDF, one for each of the next rows (D7, D8), two for the one with an IV |
/// | `{x}_K` | number\[12\] ‖ AEAD(x) ‖ tag, with a fresh random number and no associated data |
/// | `{x}_K` under the IV of K | number\[12\] ‖ AEAD(x) ‖ tag, with the IV as associated data, and the number made from IV and x by the suite's authentication code under a key of its own |
/// | `{H(x)}_K` | the suite's authentication code |
/// | `{B}_K`, a name | HKDF with the label "pair" ‖ lp(B) ‖ lp(owner of K); names of any length (D2) |
/// | `H(x)_{Pr_G}` | the suite's signature: Ed25519, and no randomness |
///
/// A fixed IV (D5) under an AEAD would be a repeated number, which breaks it outright. So the number follows from the text:
/// **equal texts look equal**, as under DES; texts that only begin alike do not, and that is where the likeness ends.
///
/// There is no form of it with bad numbers: a repeated number breaks an AEAD outright, and shows nothing about the protocol.
///
/// With random numbers of 96 bits, two of 2^32 boxes under one K share a number with probability 2^-33.
#[derive(Clone, Debug)]
pub struct Modern(Arc<dyn Suite>);

impl Modern {
    /// On `suite`.
    pub fn new(suite: Arc<dyn Suite>) -> Self {
        Self(suite)
    }

    fn key_length(&self) -> usize {
        self.0.sizes().group_key
    }

    /// A key that follows from K for one use.
    fn split(&self, key: &Secret, info: &[&[u8]], purpose: Purpose) -> Result<Secret, SuiteError> {
        if key.len() != self.key_length() {
            return Err(SuiteError);
        }
        let root = self.0.extract(b"sodality published key", &[key])?;
        self.0.expand(&root, info, purpose)
    }

    fn box_key(&self, key: &Secret) -> Result<Secret, SuiteError> {
        self.split(key, &[b"published seal"], Purpose::Aead)
    }

    fn fixed_key(&self, key: &Secret) -> Result<Secret, SuiteError> {
        self.split(key, &[b"published fixed seal"], Purpose::Aead)
    }

    fn iv_of<'a>(&self, iv: &'a Nonce) -> Result<&'a [u8], SuiteError> {
        if iv.as_bytes().len() == self.0.sizes().nonce { Ok(iv.as_bytes()) } else { Err(SuiteError) }
    }

    /// Appends number, box and tag.
    fn seal_with(
        &self,
        key: &Secret,
        front: [u8; FRONT],
        ad: &[u8],
        text: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), SuiteError> {
        // Apart from `out`, where a plaintext that failed to be sealed would stay.
        let mut sealed = Zeroizing::new(text.to_vec());
        let tag = self.0.seal(key, number(front), ad, &mut sealed)?;
        out.extend_from_slice(&front);
        out.extend_from_slice(&sealed);
        out.extend_from_slice(tag.as_bytes());
        Ok(())
    }

    fn open_with(&self, key: &Secret, ad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VerifyError> {
        let (front, rest) = sealed.split_first_chunk().ok_or(VerifyError::Forged)?;
        let length = rest.len().checked_sub(self.0.sizes().aead_tag).ok_or(VerifyError::Forged)?;
        let (text, tag) = rest.split_at_checked(length).ok_or(VerifyError::Forged)?;
        let tag = Tag::new(tag).ok_or(VerifyError::Forged)?;
        let mut text = Zeroizing::new(text.to_vec());
        match self.0.open(key, number(*front), ad, &mut text, &tag) {
            Ok(()) => Ok(text),
            Err(error) => {
                text.zeroize();
                Err(error)
            }
        }
    }

    fn mac_key(&self, key: &Secret) -> Result<Secret, SuiteError> {
        self.split(key, &[b"published mac"], Purpose::Mac)
    }

    /// Derived keys are used where keys are sent, so they must have their length.
    fn as_key(&self, derived: Secret) -> Result<Secret, SuiteError> {
        if derived.len() == self.key_length() { Ok(derived) } else { Err(SuiteError) }
    }
}

fn number(front: [u8; FRONT]) -> BoxNumber {
    let [d0, d1, d2, d3, c0, c1, c2, c3, c4, c5, c6, c7] = front;
    BoxNumber {
        domain: u32::from_be_bytes([d0, d1, d2, d3]),
        counter: u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
    }
}

impl PublishedSuite for Modern {
    fn id(&self) -> SuiteId {
        self.0.id()
    }

    fn sizes(&self) -> PublishedSizes {
        let sizes = self.0.sizes();
        PublishedSizes {
            key: sizes.group_key,
            nonce: sizes.nonce,
            mac: sizes.mac,
            sealing: FRONT.saturating_add(sizes.aead_tag),
            iv: sizes.nonce,
        }
    }

    fn admits(&self, _name: NameRef<'_>) -> bool {
        true
    }

    fn name_under(&self, key: &Secret, named: NameRef<'_>, owner: NameRef<'_>) -> Result<Secret, SuiteError> {
        let (of_named, of_owner) = (prefix(named), prefix(owner));
        let info = [b"pair".as_slice(), &of_named, named.as_str().as_bytes(), &of_owner, owner.as_str().as_bytes()];
        self.as_key(self.split(key, &info, Purpose::Derive)?)
    }

    fn xor(&self, a: &Secret, b: &Secret) -> Result<Secret, SuiteError> {
        exclusive_or(a, b, self.key_length())
    }

    fn is_weak(&self, _key: &Secret) -> bool {
        false
    }

    fn encrypt(&self, rng: &mut dyn Entropy, key: &Secret, text: &[u8], out: &mut BytesMut) -> Result<(), FreshError> {
        let mut front = [0; FRONT];
        rng.fill(&mut front)?;
        Ok(self.seal_with(&self.box_key(key)?, front, &[], text, out)?)
    }

    fn decrypt(&self, key: &Secret, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VerifyError> {
        self.open_with(&self.box_key(key)?, &[], sealed)
    }

    fn encrypt_fixed(&self, key: &Secret, iv: &Nonce, text: &[u8], out: &mut BytesMut) -> Result<(), SuiteError> {
        let iv = self.iv_of(iv)?;
        let numbers = self.split(key, &[b"published fixed number"], Purpose::Mac)?;
        let code = self.0.mac(&numbers, &[iv, text])?;
        let front = *code.as_bytes().first_chunk().ok_or(SuiteError)?;
        self.seal_with(&self.fixed_key(key)?, front, iv, text, out)
    }

    fn decrypt_fixed(&self, key: &Secret, iv: &Nonce, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VerifyError> {
        self.open_with(&self.fixed_key(key)?, self.iv_of(iv)?, sealed)
    }

    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        self.0.mac(&self.mac_key(key)?, parts)
    }

    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        self.0.verify_mac(&self.mac_key(key)?, parts, tag)
    }

    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        self.0.signing_pair(rng)
    }

    fn sign(&self, _rng: &mut dyn Entropy, key: &Secret, parts: &[&[u8]]) -> Result<Signature, FreshError> {
        Ok(self.0.sign(key, parts)?)
    }

    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError> {
        self.0.verify(key, parts, signature)
    }

    fn fresh_key(&self, rng: &mut dyn Entropy) -> Result<Secret, FreshError> {
        self.0.fresh_secret(rng, self.key_length())
    }

    fn fresh_nonce(&self, rng: &mut dyn Entropy, length: usize) -> Result<Nonce, FreshError> {
        draw_nonce(rng, length)
    }

    fn long_term(&self, modern: &dyn Suite, long_term: &Secret, name: NameRef<'_>) -> Result<Secret, SuiteError> {
        self.as_key(as_published(modern, long_term, self.id(), name)?)
    }

    fn derive(&self, modern: &dyn Suite, root: &Secret, label: &[u8]) -> Result<Secret, SuiteError> {
        self.as_key(bridged(modern, root, self.id(), label)?)
    }
}
