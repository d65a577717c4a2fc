//! A suite without security (feature `insecure-null`): for fuzzing, and for measuring everything but cryptography.
//!
//! Anybody can forge, and boxes are in the clear. What it keeps: a box, code or signature under another key or number,
//! or of another text, is refused, so protocols take the same turns as with a real suite.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use zeroize::Zeroizing;

use super::mix::Mix;
use super::{Aead, BoxNumber, FreshError, Hasher, Purpose, Secret, Sizes, Suite, SuiteError, SuiteId, VerifyError};
use crate::endpoint::Entropy;
use crate::wire::field::{Digest, Share, Signature, Tag, VerifyingKey};

const KEY: usize = 32;
const TAG: usize = 16;

/// The suite without security.
pub fn insecure_null() -> Arc<dyn Suite> {
    Arc::new(Null)
}

#[derive(Debug)]
struct Null;

impl Suite for Null {
    fn id(&self) -> SuiteId {
        SuiteId::NULL
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            long_term: KEY,
            group_key: KEY,
            nonce: 16,
            mac: TAG,
            aead_tag: TAG,
            digest: KEY,
            share: KEY,
            verifying_key: KEY,
            signature: 2 * KEY,
        }
    }

    fn hash(&self, parts: &[&[u8]]) -> Result<Digest, SuiteError> {
        Digest::new(&mixed(Mix::new("hash"), parts)).ok_or(SuiteError)
    }

    fn hasher(&self) -> Result<Box<dyn Hasher>, SuiteError> {
        Ok(Box::new(NullHasher(Mix::new("hash"))))
    }

    fn extract(&self, salt: &[u8], material: &[&Secret]) -> Result<Secret, SuiteError> {
        let mut mix = Mix::new("extract");
        mix.field(salt);
        material.iter().for_each(|secret| mix.update(secret.expose()));
        Ok(Secret::new(&mix.finish()))
    }

    fn expand(&self, prk: &Secret, info: &[&[u8]], _purpose: Purpose) -> Result<Secret, SuiteError> {
        Ok(Secret::new(&mixed(keyed("expand", prk)?, info)))
    }

    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        tag(&mixed(keyed("mac", key)?, parts))
    }

    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        refuse_unless(self.mac(key, parts)? == *tag)
    }

    fn aead(&self, key: &Secret) -> Result<Arc<dyn Aead>, SuiteError> {
        Ok(Arc::new(NullAead(key_bytes(key)?)))
    }

    fn seal(&self, key: &Secret, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        NullAead(key_bytes(key)?).seal(number, ad, text)
    }

    fn open(&self, key: &Secret, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        NullAead(key_bytes(key)?).open(number, ad, text, tag)
    }

    fn fresh_secret(&self, rng: &mut dyn Entropy, length: usize) -> Result<Secret, FreshError> {
        Ok(Secret::filled(length, |out| rng.fill(out))?)
    }

    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        let secret = self.fresh_secret(rng, KEY)?;
        let public = VerifyingKey::new(&keyed("public", &secret)?.finish()).ok_or(SuiteError)?;
        Ok((secret, public))
    }

    fn sign(&self, key: &Secret, parts: &[&[u8]]) -> Result<Signature, SuiteError> {
        signature(&keyed("public", key)?.finish(), parts)
    }

    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], given: &Signature) -> Result<(), VerifyError> {
        refuse_unless(signature(key.as_bytes(), parts)? == *given)
    }

    fn agreement_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, Share), FreshError> {
        let secret = self.fresh_secret(rng, KEY)?;
        let share = Share::new(&keyed("share", &secret)?.finish()).ok_or(SuiteError)?;
        Ok((secret, share))
    }

    // A function of both public shares, in order: it commutes, and everybody knows it.
    fn agree(&self, secret: &Secret, share: &Share) -> Result<Secret, VerifyError> {
        let mine = keyed("share", secret)?.finish();
        let theirs = share.as_bytes();
        refuse_unless(theirs.len() == KEY && theirs.iter().any(|byte| *byte != 0))?;
        let (first, second) = if mine.as_slice() < theirs { (&mine[..], theirs) } else { (theirs, &mine[..]) };
        Ok(Secret::new(&mixed(Mix::new("agree"), &[first, second])))
    }
}

fn mixed(mut mix: Mix, parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().for_each(|part| mix.update(part));
    mix.finish()
}

fn keyed(domain: &str, key: &Secret) -> Result<Mix, SuiteError> {
    let mut mix = Mix::new(domain);
    mix.update(&*key_bytes(key)?);
    Ok(mix)
}

fn key_bytes(secret: &Secret) -> Result<Zeroizing<[u8; KEY]>, SuiteError> {
    let mut bytes = Zeroizing::new([0; KEY]);
    if secret.len() != KEY {
        return Err(SuiteError);
    }
    bytes.copy_from_slice(secret.expose());
    Ok(bytes)
}

fn tag(mixed: &[u8; 32]) -> Result<Tag, SuiteError> {
    mixed.first_chunk::<TAG>().and_then(|tag| Tag::new(tag)).ok_or(SuiteError)
}

fn signature(public: &[u8], parts: &[&[u8]]) -> Result<Signature, SuiteError> {
    let mut mix = Mix::new("sign");
    mix.field(public);
    let half = mixed(mix, parts);
    let mut both = [0; 2 * KEY];
    both.iter_mut().zip(half.iter().chain(half.iter())).for_each(|(out, byte)| *out = *byte);
    Signature::new(&both).ok_or(SuiteError)
}

fn refuse_unless(right: bool) -> Result<(), VerifyError> {
    if right { Ok(()) } else { Err(VerifyError::Forged) }
}

struct NullHasher(Mix);

impl fmt::Debug for NullHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NullHasher(..)")
    }
}

impl Hasher for NullHasher {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self: Box<Self>) -> Result<Digest, SuiteError> {
        Digest::new(&self.0.finish()).ok_or(SuiteError)
    }

    fn fork(&self) -> Box<dyn Hasher> {
        Box::new(Self(self.0.clone()))
    }
}

struct NullAead(Zeroizing<[u8; KEY]>);

impl fmt::Debug for NullAead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NullAead(..)")
    }
}

impl NullAead {
    fn checksum(&self, number: BoxNumber, ad: &[u8], text: &[u8]) -> Result<Tag, SuiteError> {
        let mut mix = Mix::new("box");
        mix.update(&*self.0);
        mix.update(&number.domain.to_le_bytes());
        mix.update(&number.counter.to_le_bytes());
        mix.field(ad);
        mix.update(text);
        tag(&mix.finish())
    }
}

impl Aead for NullAead {
    fn seal(&self, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        self.checksum(number, ad, text)
    }

    fn open(&self, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        let right = self.checksum(number, ad, text)? == *tag;
        if !right {
            // The box was in the clear: after a refusal it is gone (R36).
            text.fill(0);
        }
        refuse_unless(right)
    }
}
