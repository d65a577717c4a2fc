//! Suites around a suite (feature `sim`): one that fails when told to, one that watches for broken rules.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::{Aead, BoxNumber, FreshError, Hasher, Purpose, Secret, Sizes, Suite, SuiteError, SuiteId, VerifyError};
use crate::endpoint::Entropy;
use crate::wire::field::{Digest, Share, Signature, Tag, VerifyingKey};

#[cfg(feature = "std")]
mod recording;
#[cfg(feature = "std")]
pub use recording::{Recording, Violation};

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The calls of a suite that can fail.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Call {
            $($(#[$doc])* $name,)*
        }

        impl Call {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

calls! {
    /// [`Suite::hash`].
    Hash,
    /// [`Suite::hasher`].
    Hasher,
    /// [`Hasher::finish`].
    Finish,
    /// [`Suite::extract`].
    Extract,
    /// [`Suite::expand`].
    Expand,
    /// [`Suite::mac`].
    Mac,
    /// [`Suite::verify_mac`].
    VerifyMac,
    /// [`Suite::aead`].
    Aead,
    /// [`Suite::seal`] and [`Aead::seal`].
    Seal,
    /// [`Suite::open`] and [`Aead::open`].
    Open,
    /// [`Suite::fresh_secret`].
    FreshSecret,
    /// [`Suite::signing_pair`].
    SigningPair,
    /// [`Suite::sign`].
    Sign,
    /// [`Suite::verify`].
    Verify,
    /// [`Suite::agreement_pair`].
    AgreementPair,
    /// [`Suite::agree`].
    Agree,
}

const KINDS: usize = Call::ALL.len();

/// What a failed call leaves in the text of a box, which is then undefined.
const RUINED: u8 = 0xA5;

#[derive(Debug, Default)]
struct Plan {
    /// Calls until the failing one, that one included; 0 if none fails.
    left: AtomicUsize,
    failures: AtomicUsize,
    calls: [AtomicUsize; KINDS],
}

impl Plan {
    /// Counts a call, and says whether it goes through.
    fn call(&self, call: Call) -> Result<(), SuiteError> {
        if let Some(count) = self.calls.get(call as usize) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        let before = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if before == Ok(1) {
            self.failures.fetch_add(1, Ordering::SeqCst);
            return Err(SuiteError);
        }
        Ok(())
    }
}

/// A suite that fails at one call. All else goes to the suite within. Clones share the plan.
#[derive(Clone, Debug)]
pub struct Faulty {
    inner: Arc<dyn Suite>,
    plan: Arc<Plan>,
}

impl Faulty {
    /// Around `inner`, and disarmed.
    pub fn new(inner: Arc<dyn Suite>) -> Self {
        Self { inner, plan: Arc::default() }
    }

    /// The suite to give to a machine.
    pub fn suite(&self) -> Arc<dyn Suite> {
        Arc::new(self.clone())
    }

    /// Lets the `k`-th call from now fail, counted from 1, and only that one. 0 disarms.
    pub fn fail_at(&self, k: usize) {
        self.plan.left.store(k, Ordering::SeqCst);
    }

    /// Lets nothing fail any more.
    pub fn disarm(&self) {
        self.fail_at(0);
    }

    /// How often it has failed.
    pub fn failures(&self) -> usize {
        self.plan.failures.load(Ordering::SeqCst)
    }

    /// All calls so far, those that failed included.
    pub fn calls(&self) -> usize {
        Call::ALL.iter().map(|call| self.calls_of(*call)).sum()
    }

    /// The calls of one kind so far.
    pub fn calls_of(&self, call: Call) -> usize {
        self.plan.calls.get(call as usize).map_or(0, |count| count.load(Ordering::SeqCst))
    }
}

impl Suite for Faulty {
    fn id(&self) -> SuiteId {
        self.inner.id()
    }

    fn sizes(&self) -> Sizes {
        self.inner.sizes()
    }

    fn hash(&self, parts: &[&[u8]]) -> Result<Digest, SuiteError> {
        self.plan.call(Call::Hash)?;
        self.inner.hash(parts)
    }

    fn hasher(&self) -> Result<Box<dyn Hasher>, SuiteError> {
        self.plan.call(Call::Hasher)?;
        Ok(Box::new(FaultyHasher { inner: self.inner.hasher()?, plan: self.plan.clone() }))
    }

    fn extract(&self, salt: &[u8], material: &[&Secret]) -> Result<Secret, SuiteError> {
        self.plan.call(Call::Extract)?;
        self.inner.extract(salt, material)
    }

    fn expand(&self, prk: &Secret, info: &[&[u8]], purpose: Purpose) -> Result<Secret, SuiteError> {
        self.plan.call(Call::Expand)?;
        self.inner.expand(prk, info, purpose)
    }

    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        self.plan.call(Call::Mac)?;
        self.inner.mac(key, parts)
    }

    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        self.plan.call(Call::VerifyMac)?;
        self.inner.verify_mac(key, parts, tag)
    }

    fn aead(&self, key: &Secret) -> Result<Arc<dyn Aead>, SuiteError> {
        self.plan.call(Call::Aead)?;
        Ok(Arc::new(FaultyAead { inner: self.inner.aead(key)?, plan: self.plan.clone() }))
    }

    fn seal(&self, key: &Secret, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        ruin(self.plan.call(Call::Seal), text)?;
        self.inner.seal(key, number, ad, text)
    }

    fn open(&self, key: &Secret, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        ruin(self.plan.call(Call::Open), text)?;
        self.inner.open(key, number, ad, text, tag)
    }

    fn fresh_secret(&self, rng: &mut dyn Entropy, length: usize) -> Result<Secret, FreshError> {
        self.plan.call(Call::FreshSecret)?;
        self.inner.fresh_secret(rng, length)
    }

    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        self.plan.call(Call::SigningPair)?;
        self.inner.signing_pair(rng)
    }

    fn sign(&self, key: &Secret, parts: &[&[u8]]) -> Result<Signature, SuiteError> {
        self.plan.call(Call::Sign)?;
        self.inner.sign(key, parts)
    }

    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError> {
        self.plan.call(Call::Verify)?;
        self.inner.verify(key, parts, signature)
    }

    fn agreement_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, Share), FreshError> {
        self.plan.call(Call::AgreementPair)?;
        self.inner.agreement_pair(rng)
    }

    fn agree(&self, secret: &Secret, share: &Share) -> Result<Secret, VerifyError> {
        self.plan.call(Call::Agree)?;
        self.inner.agree(secret, share)
    }

    fn same(&self, a: &Secret, b: &Secret) -> bool {
        self.inner.same(a, b)
    }
}

fn ruin(outcome: Result<(), SuiteError>, text: &mut [u8]) -> Result<(), SuiteError> {
    outcome.inspect_err(|_| text.fill(RUINED))
}

struct FaultyHasher {
    inner: Box<dyn Hasher>,
    plan: Arc<Plan>,
}

impl fmt::Debug for FaultyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultyHasher").field(&self.inner).finish()
    }
}

impl Hasher for FaultyHasher {
    fn update(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
    }

    fn finish(self: Box<Self>) -> Result<Digest, SuiteError> {
        self.plan.call(Call::Finish)?;
        self.inner.finish()
    }

    fn fork(&self) -> Box<dyn Hasher> {
        Box::new(Self { inner: self.inner.fork(), plan: self.plan.clone() })
    }
}

#[derive(Debug)]
struct FaultyAead {
    inner: Arc<dyn Aead>,
    plan: Arc<Plan>,
}

impl Aead for FaultyAead {
    fn seal(&self, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        ruin(self.plan.call(Call::Seal), text)?;
        self.inner.seal(number, ad, text)
    }

    fn open(&self, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        ruin(self.plan.call(Call::Open), text)?;
        self.inner.open(number, ad, text, tag)
    }

    fn scrub(&self) {
        self.inner.scrub();
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::crypto::symbolic::symbolic;
    use crate::endpoint::EntropyError;

    struct Ones;

    impl Entropy for Ones {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.fill(1);
            Ok(())
        }
    }

    /// One call of each kind, and whether it failed.
    fn each(suite: &Arc<dyn Suite>, with: &Arc<dyn Suite>) -> Vec<(Call, bool)> {
        let key = with.fresh_secret(&mut Ones, 32).unwrap();
        let (signing, public) = with.signing_pair(&mut Ones).unwrap();
        let (secret, share) = with.agreement_pair(&mut Ones).unwrap();
        let mac = with.mac(&key, &[]).unwrap();
        let signature = with.sign(&signing, &[]).unwrap();
        let mut sealed = *b"text";
        let tag = with.seal(&key, BoxNumber::ONLY, &[], &mut sealed).unwrap();
        let mut opened = sealed;
        let ruined = [RUINED; 4];
        let mut seal = *b"text";
        let sealing = suite.seal(&key, BoxNumber::ONLY, &[], &mut seal).is_err();
        assert_eq!(sealing, seal == ruined);
        let opening = suite.open(&key, BoxNumber::ONLY, &[], &mut opened, &tag).is_err();
        assert_eq!(opening, opened == ruined);
        let hasher = suite.hasher();
        let hashing = hasher.is_err();
        let finish = hasher.or_else(|_| with.hasher()).unwrap().fork().finish().is_err();
        let prepared = suite.aead(&key);
        let preparing = prepared.is_err();
        let prepared = prepared.or_else(|_| with.aead(&key)).unwrap();
        alloc::vec![
            (Call::Seal, sealing),
            (Call::Open, opening),
            (Call::Hasher, hashing),
            (Call::Finish, finish),
            (Call::Aead, preparing),
            (Call::Seal, prepared.seal(BoxNumber::ONLY, &[], &mut [0; 4]).is_err()),
            (Call::Open, prepared.open(BoxNumber::ONLY, &[], &mut sealed, &tag).is_err()),
            (Call::Hash, suite.hash(&[]).is_err()),
            (Call::Extract, suite.extract(&[], &[&key]).is_err()),
            (Call::Expand, suite.expand(&key, &[], Purpose::Mac).is_err()),
            (Call::Mac, suite.mac(&key, &[]).is_err()),
            (Call::VerifyMac, suite.verify_mac(&key, &[], &mac).is_err()),
            (Call::FreshSecret, suite.fresh_secret(&mut Ones, 32).is_err()),
            (Call::SigningPair, suite.signing_pair(&mut Ones).is_err()),
            (Call::Sign, suite.sign(&signing, &[]).is_err()),
            (Call::Verify, suite.verify(&public, &[], &signature).is_err()),
            (Call::AgreementPair, suite.agreement_pair(&mut Ones).is_err()),
            (Call::Agree, suite.agree(&secret, &share).is_err()),
        ]
    }

    #[test]
    fn the_kth_call_and_no_other_fails() {
        let with = symbolic().suite();
        let faulty = Faulty::new(with.clone());
        let calls = each(&faulty.suite(), &with);
        assert!(calls.iter().all(|(_, failed)| !failed), "disarmed");
        assert_eq!(faulty.calls(), calls.len());
        for call in Call::ALL {
            assert_eq!(faulty.calls_of(*call), calls.iter().filter(|(made, _)| made == call).count(), "{call:?}");
        }
        for k in 1..=calls.len() {
            let faulty = Faulty::new(with.clone());
            faulty.fail_at(k);
            let failed: Vec<_> = each(&faulty.suite(), &with).iter().map(|(_, failed)| *failed).collect();
            // A prepared key, or a hasher, that could not be made is replaced, and its own calls go elsewhere.
            assert_eq!(failed.iter().position(|failed| *failed), Some(k - 1));
            assert_eq!(failed.iter().filter(|failed| **failed).count(), 1);
            assert_eq!(faulty.failures(), 1);
        }
        faulty.fail_at(1);
        faulty.disarm();
        assert!(each(&faulty.suite(), &with).iter().all(|(_, failed)| !failed), "disarmed again");
    }
}
