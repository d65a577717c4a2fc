//! Every suite passes the conformance checks, and for each check there is a broken suite that does not.
#![cfg(all(feature = "sim", feature = "std", feature = "rustcrypto"))]
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // Helpers of tests, outside of test functions.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use sodality::crypto::conformance::{CHECKS, check};
use sodality::crypto::faulty::{Faulty, Recording};
use sodality::crypto::symbolic::symbolic;
use sodality::crypto::{
    Aead, BoxNumber, FreshError, Hasher, Key, Purpose, Secret, Sizes, Suite, SuiteError, SuiteId, VerifyError,
    aes_128_gcm, aes_256_gcm, chacha20_poly1305, keys::role,
};
use sodality::endpoint::{Entropy, EntropyError};
use sodality::wire::field::{Digest, Share, Signature, Tag, VerifyingKey};

/// A fixed sequence (Steele, Lea and Flood's SplitMix64), the same in each run.
struct Fixed(u64);

impl Entropy for Fixed {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for bytes in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = self.0;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            bytes.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes()[..bytes.len()]);
        }
        Ok(())
    }
}

fn passes(suite: Arc<dyn Suite>) {
    if let Err(failed) = check(&*suite, &mut Fixed(1)) {
        panic!("{suite:?}: {failed}");
    }
}

#[test]
fn aes_128_gcm_conforms() {
    passes(aes_128_gcm());
}

#[test]
fn aes_256_gcm_conforms() {
    passes(aes_256_gcm());
}

#[test]
fn chacha20_poly1305_conforms() {
    passes(chacha20_poly1305());
}

#[test]
fn the_symbolic_suite_conforms() {
    passes(symbolic().suite());
    passes(symbolic().silent());
}

#[test]
#[cfg(feature = "insecure-null")]
fn the_suite_without_security_conforms() {
    passes(sodality::crypto::null::insecure_null());
}

#[test]
fn wrapped_suites_conform() {
    passes(Faulty::new(symbolic().suite()).suite());
    passes(Recording::new(symbolic().suite()).suite());
    passes(Broken::suite(Fault::None));
}

#[test]
fn for_each_check_some_broken_suite_fails_it() {
    let mut covered = BTreeSet::new();
    for (name, fault) in FAULTS {
        let (_, run) = CHECKS.iter().find(|(check, _)| check == name).unwrap_or_else(|| panic!("no check {name:?}"));
        let found = run(&*Broken::suite(*fault), &mut Fixed(2));
        assert!(found.is_err(), "{fault:?} passes {name:?}");
        assert!(check(&*Broken::suite(*fault), &mut Fixed(2)).is_err(), "{fault:?} passes");
        covered.insert(*name);
    }
    assert_eq!(covered, CHECKS.iter().map(|(name, _)| *name).collect());
}

#[test]
fn what_holds_secrets_prints_none() {
    let bytes: Vec<u8> = (0x91..0xB1).collect();
    let secret = Secret::new(&bytes);
    let key = Key::<role::Group>::new(secret.clone());
    let world = symbolic();
    let recording = Recording::new(world.suite());
    let faulty = Faulty::new(recording.suite());
    let suite = faulty.suite();
    let aead = suite.aead(&secret).unwrap();
    let mut hasher = suite.hasher().unwrap();
    hasher.update(&bytes);
    let (signing, _) = suite.signing_pair(&mut Repeats(&bytes)).unwrap();
    suite.sign(&signing, &[&bytes]).unwrap();
    assert!(recording.secrets().contains(&bytes), "the record holds the secret");
    let term = world.term(suite.extract(&bytes, &[&secret]).unwrap().expose()).unwrap();
    assert!(term.fields.contains(&bytes), "the term holds the secret");
    let shown = [
        format!("{secret:?} {key:?} {aead:?} {hasher:?} {suite:?}"),
        format!("{world:?} {recording:?} {faulty:?} {term:?}"),
        format!("{:?} {:?}", aes_128_gcm().aead(&Secret::new(&bytes[..16])), aes_256_gcm().aead(&secret)),
        format!("{:?} {:?}", chacha20_poly1305().aead(&secret), aes_128_gcm().hasher()),
    ];
    // Four bytes in a row, in each way that `Debug` writes them.
    for shown in shown {
        for run in bytes.windows(4) {
            for written in [format!("{run:?}"), format!("{run:x?}"), format!("{run:02X?}")] {
                assert!(!shown.contains(written.trim_matches(['[', ']'])), "{shown}");
            }
            let run: String = run.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!shown.to_lowercase().contains(&run), "{shown}");
        }
    }
}

struct Repeats<'a>(&'a [u8]);

impl Entropy for Repeats<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.copy_from_slice(&self.0[..out.len()]);
        Ok(())
    }
}

/// One thing that a broken suite does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    LongerTags,
    ShorterDigests,
    FramedHash,
    CutHash,
    ForkForgets,
    PiecesMatter,
    NoSalt,
    FirstMaterialOnly,
    NoInfo,
    FirstInfoOnly,
    FramedMac,
    VerifiesNoMac,
    VerifiesAnyMac,
    VerifiesPrefixes,
    DrawsTwice,
    SameKeyAgain,
    SwallowsFailures,
    ComparesAPrefix,
    PadsKeys,
    PrintsKeys,
    OpensNothingEmpty,
    OneShotElsewhere,
    IgnoresData,
    IgnoresNumberHalf,
    IgnoresDomain,
    ShowsText,
    SameMask,
    LeavesPlaintext,
    VerifiesNoSignature,
    VerifiesAnySignature,
    SignsFirstPart,
    NoAgreement,
    ConstantAgreement,
    AgreesWithAll,
    RefusesAsItsOwnFailure,
}

const FAULTS: &[(&str, Fault)] = &[
    ("sizes", Fault::LongerTags),
    ("sizes", Fault::ShorterDigests),
    ("hash", Fault::FramedHash),
    ("hash", Fault::CutHash),
    ("hasher", Fault::ForkForgets),
    ("hasher", Fault::PiecesMatter),
    ("extract", Fault::NoSalt),
    ("extract", Fault::FirstMaterialOnly),
    ("expand", Fault::NoInfo),
    ("expand", Fault::FirstInfoOnly),
    ("mac", Fault::FramedMac),
    ("mac", Fault::VerifiesNoMac),
    ("mac refuses", Fault::VerifiesAnyMac),
    ("mac refuses", Fault::VerifiesPrefixes),
    ("fresh", Fault::DrawsTwice),
    ("fresh", Fault::SameKeyAgain),
    ("entropy fails", Fault::SwallowsFailures),
    ("same", Fault::ComparesAPrefix),
    ("key lengths", Fault::PadsKeys),
    ("debug", Fault::PrintsKeys),
    ("boxes open", Fault::OpensNothingEmpty),
    ("boxes in one shot", Fault::OneShotElsewhere),
    ("boxes refuse", Fault::IgnoresData),
    ("boxes refuse", Fault::IgnoresNumberHalf),
    ("boxes refuse", Fault::IgnoresDomain),
    ("boxes hide", Fault::ShowsText),
    ("boxes hide", Fault::SameMask),
    ("refused boxes show nothing", Fault::LeavesPlaintext),
    ("signatures verify", Fault::VerifiesNoSignature),
    ("signatures verify", Fault::SignsFirstPart),
    ("signatures refuse", Fault::VerifiesAnySignature),
    ("agreements agree", Fault::NoAgreement),
    ("agreements agree", Fault::ConstantAgreement),
    ("agreements refuse", Fault::AgreesWithAll),
    ("agreements refuse", Fault::RefusesAsItsOwnFailure),
];

/// AES-128-GCM with one fault.
#[derive(Clone)]
struct Broken {
    inner: Arc<dyn Suite>,
    fault: Fault,
    /// The last text sealed, for the fault that leaves it behind.
    last: Arc<Mutex<Vec<u8>>>,
}

impl std::fmt::Debug for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Broken({:?})", self.fault)
    }
}

impl Broken {
    fn suite(fault: Fault) -> Arc<dyn Suite> {
        Arc::new(Self { inner: aes_128_gcm(), fault, last: Arc::default() })
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn padded(&self, key: &Secret, length: usize) -> Secret {
        if !self.has(Fault::PadsKeys) {
            return key.clone();
        }
        let mut bytes = key.expose().to_vec();
        bytes.resize(length, 0);
        Secret::new(&bytes)
    }
}

fn framed(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [&part.len().to_be_bytes()[..], part].concat()).collect()
}

impl Suite for Broken {
    fn id(&self) -> SuiteId {
        self.inner.id()
    }

    fn sizes(&self) -> Sizes {
        let mut sizes = self.inner.sizes();
        sizes.mac += usize::from(self.has(Fault::LongerTags));
        sizes.digest -= usize::from(self.has(Fault::ShorterDigests));
        sizes
    }

    fn hash(&self, parts: &[&[u8]]) -> Result<Digest, SuiteError> {
        match self.fault {
            Fault::FramedHash => self.inner.hash(&[&framed(parts)]),
            Fault::CutHash => self.inner.hash(&[&parts.concat().into_iter().take(64).collect::<Vec<_>>()]),
            _ => self.inner.hash(parts),
        }
    }

    fn hasher(&self) -> Result<Box<dyn Hasher>, SuiteError> {
        Ok(Box::new(BrokenHasher { inner: self.inner.hasher()?, suite: self.clone() }))
    }

    fn extract(&self, salt: &[u8], material: &[&Secret]) -> Result<Secret, SuiteError> {
        match self.fault {
            Fault::NoSalt => self.inner.extract(b"", material),
            Fault::FirstMaterialOnly => self.inner.extract(salt, &material[..material.len().min(1)]),
            _ => self.inner.extract(salt, material),
        }
    }

    fn expand(&self, prk: &Secret, info: &[&[u8]], purpose: Purpose) -> Result<Secret, SuiteError> {
        match self.fault {
            Fault::NoInfo => self.inner.expand(prk, &[], purpose),
            Fault::FirstInfoOnly => self.inner.expand(prk, &info[..info.len().min(1)], purpose),
            _ => self.inner.expand(prk, info, purpose),
        }
    }

    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        match self.fault {
            Fault::FramedMac => self.inner.mac(key, &[&framed(parts)]),
            _ => self.inner.mac(&self.padded(key, 32), parts),
        }
    }

    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        match self.fault {
            Fault::VerifiesNoMac => Err(VerifyError::Forged),
            Fault::VerifiesAnyMac => Ok(()),
            Fault::VerifiesPrefixes if self.mac(key, parts)?.as_bytes().starts_with(tag.as_bytes()) => Ok(()),
            _ => self.inner.verify_mac(key, parts, tag),
        }
    }

    fn aead(&self, key: &Secret) -> Result<Arc<dyn Aead>, SuiteError> {
        let key = self.padded(key, 16);
        Ok(Arc::new(BrokenAead { inner: self.inner.aead(&key)?, suite: self.clone(), key }))
    }

    fn seal(&self, key: &Secret, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        let counter = number.counter ^ u64::from(self.has(Fault::OneShotElsewhere));
        self.aead(key)?.seal(BoxNumber { counter, ..number }, ad, text)
    }

    fn fresh_secret(&self, rng: &mut dyn Entropy, length: usize) -> Result<Secret, FreshError> {
        match self.fault {
            Fault::DrawsTwice => {
                self.inner.fresh_secret(rng, length)?;
            }
            Fault::SameKeyAgain => {
                self.inner.fresh_secret(rng, length)?;
                return Ok(Secret::new(&vec![7; length]));
            }
            _ => {}
        }
        let fresh = self.inner.fresh_secret(rng, length);
        if self.has(Fault::SwallowsFailures) { fresh.or_else(|_| Ok(Secret::new(&vec![0; length]))) } else { fresh }
    }

    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        self.inner.signing_pair(rng)
    }

    fn sign(&self, key: &Secret, parts: &[&[u8]]) -> Result<Signature, SuiteError> {
        match self.fault {
            Fault::SignsFirstPart => self.inner.sign(key, &parts[..parts.len().min(1)]),
            _ => self.inner.sign(&self.padded(key, 32), parts),
        }
    }

    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError> {
        match self.fault {
            Fault::VerifiesNoSignature => Err(VerifyError::Forged),
            Fault::VerifiesAnySignature => Ok(()),
            _ => self.inner.verify(key, parts, signature),
        }
    }

    fn agreement_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, Share), FreshError> {
        self.inner.agreement_pair(rng)
    }

    fn agree(&self, secret: &Secret, share: &Share) -> Result<Secret, VerifyError> {
        match self.fault {
            Fault::NoAgreement => Ok(secret.clone()),
            Fault::ConstantAgreement => Ok(Secret::new(&[7; 32])),
            Fault::AgreesWithAll => Ok(self.inner.agree(secret, share).unwrap_or_else(|_| secret.clone())),
            Fault::RefusesAsItsOwnFailure => self.inner.agree(secret, share).map_err(|_| SuiteError.into()),
            _ => self.inner.agree(&self.padded(secret, 32), share),
        }
    }

    fn same(&self, a: &Secret, b: &Secret) -> bool {
        if self.has(Fault::ComparesAPrefix) { a.expose().starts_with(b.expose()) } else { self.inner.same(a, b) }
    }
}

#[derive(Debug)]
struct BrokenHasher {
    inner: Box<dyn Hasher>,
    suite: Broken,
}

impl Hasher for BrokenHasher {
    fn update(&mut self, bytes: &[u8]) {
        if self.suite.has(Fault::PiecesMatter) {
            self.inner.update(&[bytes.len() as u8]);
        }
        self.inner.update(bytes);
    }

    fn finish(self: Box<Self>) -> Result<Digest, SuiteError> {
        self.inner.finish()
    }

    fn fork(&self) -> Box<dyn Hasher> {
        match self.suite.fault {
            Fault::ForkForgets => self.suite.hasher().unwrap(),
            _ => Box::new(Self { inner: self.inner.fork(), suite: self.suite.clone() }),
        }
    }
}

struct BrokenAead {
    inner: Arc<dyn Aead>,
    suite: Broken,
    key: Secret,
}

impl std::fmt::Debug for BrokenAead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.suite.fault {
            Fault::PrintsKeys => write!(f, "BrokenAead({:?})", self.key.expose()),
            _ => write!(f, "BrokenAead"),
        }
    }
}

impl BrokenAead {
    fn taken<'a>(&self, number: BoxNumber, ad: &'a [u8]) -> (BoxNumber, &'a [u8]) {
        match self.suite.fault {
            Fault::IgnoresData => (number, &[]),
            Fault::IgnoresNumberHalf => (BoxNumber { counter: number.counter & 0xFFFF_FFFF, ..number }, ad),
            Fault::IgnoresDomain => (BoxNumber { domain: 0, ..number }, ad),
            Fault::SameMask => (BoxNumber::ONLY, ad),
            _ => (number, ad),
        }
    }
}

impl Aead for BrokenAead {
    fn seal(&self, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        let (number, ad) = self.taken(number, ad);
        *self.suite.last.lock().unwrap() = text.to_vec();
        match self.suite.fault {
            Fault::ShowsText => self.inner.seal(number, ad, &mut text.to_vec()),
            _ => self.inner.seal(number, ad, text),
        }
    }

    fn open(&self, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        let (number, ad) = self.taken(number, ad);
        if self.suite.has(Fault::OpensNothingEmpty) && text.is_empty() {
            return Err(VerifyError::Forged);
        }
        let outcome = self.inner.open(number, ad, text, tag);
        if self.suite.has(Fault::LeavesPlaintext) && outcome.is_err() {
            let last = self.suite.last.lock().unwrap();
            text.iter_mut().zip(last.iter()).for_each(|(out, byte)| *out = *byte);
        }
        outcome
    }
}
