//! Every suite of the published edition passes the conformance checks, and for each check there is a broken one that does
//! not.
#![cfg(all(feature = "sim", feature = "historic", feature = "std", feature = "rustcrypto"))]
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)] // Helpers of tests, outside of test functions.

#[path = "support/fixed.rs"]
mod fixed;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::BytesMut;
use fixed::Fixed;
use sodality::crypto::conformance::published::{CHECKS, check};
use sodality::crypto::faulty::Recording;
use sodality::crypto::published::faulty::{Ivs, des_md5_rsa_with_bad_ivs};
use sodality::crypto::published::{Modern, PublishedSizes, PublishedSuite, des_md5_rsa};
use sodality::crypto::symbolic::symbolic;
use sodality::crypto::{
    FreshError, Secret, Suite, SuiteError, SuiteId, VerifyError, aes_128_gcm, aes_256_gcm, chacha20_poly1305,
};
use sodality::endpoint::Entropy;
use sodality::identity::NameRef;
use sodality::wire::field::{Nonce, Signature, Tag, VerifyingKey};
use zeroize::Zeroizing;

fn passes(suite: &dyn PublishedSuite) {
    if let Err(failed) = check(suite, &mut Fixed(1)) {
        panic!("{suite:?}: {failed}");
    }
}

#[test]
fn des_md5_rsa_conforms() {
    passes(&*des_md5_rsa());
    passes(&*des_md5_rsa_with_bad_ivs(Ivs::Random));
}

#[test]
fn the_modern_suites_conform() {
    for suite in [aes_128_gcm(), aes_256_gcm(), chacha20_poly1305()] {
        passes(&Modern::new(suite));
    }
}

// The exclusive or of two handles is no term, so a world cannot explain a pair key. But it is what the algebra asks for:
// it cancels, and differs for different keys.
#[test]
fn the_symbolic_suite_conforms() {
    passes(&Modern::new(symbolic().suite()));
    passes(&Modern::new(symbolic().silent()));
}

#[test]
#[cfg(feature = "insecure-null")]
fn the_suite_without_security_hides_nothing_and_conforms_otherwise() {
    let suite = Modern::new(sodality::crypto::null::insecure_null());
    for (name, run) in CHECKS {
        let found = run(&suite, &mut Fixed(1));
        assert_eq!(found.is_err(), *name == "sealed hides", "{name}: {found:?}");
    }
}

#[test]
fn a_recorded_suite_conforms_and_never_uses_a_number_twice() {
    let recording = Recording::new(aes_128_gcm());
    passes(&Modern::new(recording.suite()));
    assert!(recording.boxes() > 50);
    assert_eq!(recording.violations(), []);
}

#[test]
fn repeated_randomness_under_one_key_is_seen_by_a_recording() {
    let recording = Recording::new(aes_128_gcm());
    let suite = Modern::new(recording.suite());
    let key = suite.fresh_key(&mut Fixed(1)).unwrap();
    let seal = |seed: u64, text: &[u8]| suite.encrypt(&mut Fixed(seed), &key, text, &mut BytesMut::new()).unwrap();
    seal(2, b"one text");
    seal(3, b"another");
    seal(2, b"one text");
    assert_eq!(recording.violations(), []);
    seal(2, b"another");
    assert_eq!(recording.violations().len(), 1);
}

#[test]
fn bad_ivs_fail_the_checks_that_ask_for_good_ones() {
    for (ivs, expected) in
        [(Ivs::Constant, &["sealed hides", "fresh", "entropy fails"][..]), (Ivs::Counter, &["fresh", "entropy fails"])]
    {
        let failed: Vec<_> = CHECKS
            .iter()
            .filter(|(_, run)| run(&*des_md5_rsa_with_bad_ivs(ivs), &mut Fixed(1)).is_err())
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(failed, expected, "{ivs:?}");
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    KeyTooLong,
    CutsNames,
    KeyedXor,
    OrForXor,
    AllWeak,
    ForgetsLastByte,
    OpensAnything,
    NoCipher,
    MacOfFirstPart,
    TakesAnyMac,
    RefusesSignatures,
    TakesAnySignature,
    DrawsTwice,
    KeyWithoutEntropy,
    TakesLongKeys,
    LongTermItself,
    VectorInFront,
    ForgetsTheIv,
}

const FAULTS: &[(&str, Fault)] = &[
    ("sizes", Fault::KeyTooLong),
    ("names", Fault::CutsNames),
    ("pair key", Fault::KeyedXor),
    ("exclusive or", Fault::OrForXor),
    ("weak keys", Fault::AllWeak),
    ("sealed opens", Fault::ForgetsLastByte),
    ("sealed refuses lengths", Fault::OpensAnything),
    ("sealed hides", Fault::NoCipher),
    ("fixed vectors", Fault::VectorInFront),
    ("fixed vectors differ", Fault::ForgetsTheIv),
    ("mac", Fault::MacOfFirstPart),
    ("mac refuses", Fault::TakesAnyMac),
    ("signatures verify", Fault::RefusesSignatures),
    ("signatures refuse", Fault::TakesAnySignature),
    ("fresh", Fault::DrawsTwice),
    ("entropy fails", Fault::KeyWithoutEntropy),
    ("key lengths", Fault::TakesLongKeys),
    ("long-term keys", Fault::LongTermItself),
];

#[test]
fn for_each_check_some_broken_suite_fails_it() {
    let mut covered = BTreeSet::new();
    for (name, fault) in FAULTS {
        let (_, run) = CHECKS.iter().find(|(check, _)| check == name).unwrap_or_else(|| panic!("no check {name:?}"));
        let broken = Broken { inner: Modern::new(symbolic().silent()), fault: *fault };
        assert!(run(&broken.inner, &mut Fixed(2)).is_ok(), "without a fault {name:?} fails");
        assert!(run(&broken, &mut Fixed(2)).is_err(), "{fault:?} passes {name:?}");
        assert!(check(&broken, &mut Fixed(2)).is_err(), "{fault:?} passes");
        covered.insert(*name);
    }
    assert_eq!(covered, CHECKS.iter().map(|(name, _)| *name).collect());
}

#[derive(Debug)]
struct Broken {
    inner: Modern,
    fault: Fault,
}

impl Broken {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

impl PublishedSuite for Broken {
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
        let cut = if self.has(Fault::CutsNames) { named.as_str().len().min(4) } else { named.as_str().len() };
        self.inner.name_under(key, NameRef::new(&named.as_str()[..cut]).map_err(|_| SuiteError)?, owner)
    }

    fn xor(&self, a: &Secret, b: &Secret) -> Result<Secret, SuiteError> {
        let right = self.inner.xor(a, b)?;
        match self.fault {
            Fault::KeyedXor => self.inner.name_under(&right, NameRef::new("x").unwrap(), NameRef::new("y").unwrap()),
            Fault::OrForXor => {
                Ok(Secret::new(&a.expose().iter().zip(b.expose()).map(|(a, b)| a | b).collect::<Vec<_>>()))
            }
            _ => Ok(right),
        }
    }

    fn is_weak(&self, key: &Secret) -> bool {
        self.has(Fault::AllWeak) || self.inner.is_weak(key)
    }

    fn encrypt(&self, rng: &mut dyn Entropy, key: &Secret, text: &[u8], out: &mut BytesMut) -> Result<(), FreshError> {
        match self.fault {
            Fault::ForgetsLastByte => {
                self.inner.encrypt(rng, key, text.split_last().map_or(text, |(_, rest)| rest), out)
            }
            Fault::NoCipher => {
                out.extend_from_slice(text);
                Ok(())
            }
            Fault::DrawsTwice => {
                self.inner.fresh_key(rng)?;
                self.inner.encrypt(rng, key, text, out)
            }
            _ => self.inner.encrypt(rng, key, text, out),
        }
    }

    fn decrypt(&self, key: &Secret, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VerifyError> {
        let opened = self.inner.decrypt(key, sealed);
        if self.has(Fault::OpensAnything) { Ok(opened.unwrap_or_default()) } else { opened }
    }

    fn encrypt_fixed(&self, key: &Secret, iv: &Nonce, text: &[u8], out: &mut BytesMut) -> Result<(), SuiteError> {
        match self.fault {
            Fault::VectorInFront => self.inner.encrypt(&mut Fixed(3), key, text, out).map_err(|_| SuiteError),
            Fault::ForgetsTheIv => {
                let zero = Nonce::new(&vec![0; iv.as_bytes().len()]).ok_or(SuiteError)?;
                self.inner.encrypt_fixed(key, &zero, text, out)
            }
            _ => self.inner.encrypt_fixed(key, iv, text, out),
        }
    }

    fn decrypt_fixed(&self, key: &Secret, iv: &Nonce, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VerifyError> {
        match self.fault {
            Fault::ForgetsTheIv => {
                let zero = Nonce::new(&vec![0; iv.as_bytes().len()]).ok_or(SuiteError)?;
                self.inner.decrypt_fixed(key, &zero, sealed)
            }
            _ => self.inner.decrypt_fixed(key, iv, sealed),
        }
    }

    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        let parts = if self.has(Fault::MacOfFirstPart) { &parts[..1] } else { parts };
        if self.has(Fault::TakesLongKeys) && key.len() > self.sizes().key {
            return self.inner.mac(&Secret::new(&key.expose()[..self.sizes().key]), parts);
        }
        self.inner.mac(key, parts)
    }

    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        if self.has(Fault::TakesAnyMac) {
            return Ok(());
        }
        self.inner.verify_mac(key, parts, tag)
    }

    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        self.inner.signing_pair(rng)
    }

    fn sign(&self, rng: &mut dyn Entropy, key: &Secret, parts: &[&[u8]]) -> Result<Signature, FreshError> {
        self.inner.sign(rng, key, parts)
    }

    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError> {
        match self.fault {
            Fault::RefusesSignatures => Err(VerifyError::Forged),
            Fault::TakesAnySignature => Ok(()),
            _ => self.inner.verify(key, parts, signature),
        }
    }

    fn fresh_key(&self, rng: &mut dyn Entropy) -> Result<Secret, FreshError> {
        match (self.fault, self.inner.fresh_key(rng)) {
            (Fault::KeyTooLong, Ok(key)) => Ok(Secret::new(&[key.expose(), b"more"].concat())),
            (Fault::KeyWithoutEntropy, Err(_)) => Ok(Secret::new(&vec![7; self.sizes().key])),
            (_, drawn) => drawn,
        }
    }

    fn fresh_nonce(&self, rng: &mut dyn Entropy, length: usize) -> Result<Nonce, FreshError> {
        self.inner.fresh_nonce(rng, length)
    }

    fn long_term(&self, modern: &dyn Suite, long_term: &Secret, name: NameRef<'_>) -> Result<Secret, SuiteError> {
        if self.has(Fault::LongTermItself) {
            return Ok(long_term.clone());
        }
        self.inner.long_term(modern, long_term, name)
    }

    fn derive(&self, modern: &dyn Suite, root: &Secret, label: &[u8]) -> Result<Secret, SuiteError> {
        self.inner.derive(modern, root, label)
    }
}

#[test]
fn printing_a_suite_prints_no_secret() {
    let (modern, historic) = (Modern::new(aes_128_gcm()), des_md5_rsa());
    let (secret, _) = historic.signing_pair(&mut Fixed(1)).unwrap();
    let under = |key: &Secret| historic.name_under(key, NameRef::new("lead").unwrap(), NameRef::new("alice").unwrap());
    let derived = under(&historic.fresh_key(&mut Fixed(2)).unwrap()).unwrap();
    for (shown, right) in [
        (format!("{historic:?}"), "DesMd5Rsa { ivs: Random }"),
        (format!("{modern:?}"), "Modern(RustCrypto(Aes128Gcm))"),
        (format!("{secret:?}"), "Secret(..)"),
        (format!("{derived:?}"), "Secret(..)"),
    ] {
        assert_eq!(shown, right);
    }
}

#[test]
fn published_keys_are_none_of_the_repaired_editions_and_differ_between_suites() {
    let suite: Arc<dyn Suite> = aes_128_gcm();
    let long_term = suite.fresh_secret(&mut Fixed(1), 32).unwrap();
    let alice = NameRef::new("alice").unwrap();
    let published: [Arc<dyn PublishedSuite>; 4] = [
        des_md5_rsa(),
        Arc::new(Modern::new(aes_128_gcm())),
        Arc::new(Modern::new(aes_256_gcm())),
        Arc::new(Modern::new(chacha20_poly1305())),
    ];
    let mut seen = BTreeSet::from([long_term.expose()[..8].to_vec()]);
    for published in published {
        let key = published.long_term(&*suite, &long_term, alice).unwrap();
        assert!(seen.insert(key.expose()[..8].to_vec()), "{published:?}");
    }
}
