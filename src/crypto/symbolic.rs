//! A suite whose values are terms (feature `sim`): for exhaustive searches and for traces that explain themselves.
//!
//! A value is a *handle*: the mixed bytes of its term, such as `expand(extract(..), ..)`. Equal terms have equal
//! handles and different terms different ones, without any probability to think of; a party that works only through
//! [`Suite`] gets exactly what the algebra of terms allows. With feature `std`, a table keeps the term of each
//! handle, so that [`Symbolic::explain`] can say what a value is.
//!
//! Some lengths differ from those of the real suites on purpose: lengths come from [`Suite::sizes`], never from habit.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::mix::Mix;
use super::{Aead, BoxNumber, FreshError, Hasher, Purpose, Secret, Sizes, Suite, SuiteError, SuiteId, VerifyError};
use crate::endpoint::Entropy;
use crate::wire::field::{Digest, Share, Signature, Tag, VerifyingKey};

#[cfg(feature = "std")]
mod table;
#[cfg(feature = "std")]
pub use table::{Term, TermTable};

/// The table, where there is one.
#[cfg(not(feature = "std"))]
#[derive(Clone, Default)]
struct TermTable(());

const HANDLE: usize = 32;
const NONCE: usize = 24;
const MAC: usize = 24;
const TAG: usize = 16;
const SIGNATURE: usize = 48;

/// A world of terms.
pub fn symbolic() -> Symbolic {
    Symbolic { terms: Some(TermTable::default()) }
}

/// A world of terms: all suites taken from one share its table.
#[derive(Clone, Default)]
pub struct Symbolic {
    terms: Option<TermTable>,
}

impl fmt::Debug for Symbolic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Symbolic")
    }
}

impl Symbolic {
    /// The suite, which notes each term that it makes.
    pub fn suite(&self) -> Arc<dyn Suite> {
        Arc::new(self.clone())
    }

    /// The same suite without the table, which grows with each term: for long searches.
    pub fn silent(&self) -> Arc<dyn Suite> {
        Arc::new(Self { terms: None })
    }

    /// The term behind these bytes, written out: a whole value, or its first 16 bytes or more.
    #[cfg(feature = "std")]
    pub fn explain(&self, handle: &[u8]) -> Option<alloc::string::String> {
        self.terms.as_ref().and_then(|terms| terms.explain(handle))
    }

    /// The term behind these bytes, one level of it.
    #[cfg(feature = "std")]
    pub fn term(&self, handle: &[u8]) -> Option<Term> {
        self.terms.as_ref().and_then(|terms| terms.get(handle))
    }

    /// How many terms were made.
    #[cfg(feature = "std")]
    pub fn terms(&self) -> usize {
        self.terms.as_ref().map_or(0, TermTable::len)
    }

    fn note(&self, handle: &[u8], kind: &'static str, fields: &[&[&[u8]]]) {
        #[cfg(feature = "std")]
        if let Some(terms) = &self.terms {
            terms.note(handle, kind, fields);
        }
        #[cfg(not(feature = "std"))]
        let _ = (handle, kind, fields, &self.terms);
    }

    /// The handle of `kind(fields)`, noted as made.
    fn made(&self, kind: &'static str, fields: &[&[&[u8]]]) -> Zeroizing<[u8; HANDLE]> {
        let handle = handle(kind, fields);
        self.note(&*handle, kind, fields);
        handle
    }

    fn share_of(&self, secret: &Secret) -> Result<Zeroizing<[u8; HANDLE]>, SuiteError> {
        Ok(self.made("share", &[&[whole(secret)?]]))
    }

    fn public_of(&self, secret: &Secret) -> Result<Zeroizing<[u8; HANDLE]>, SuiteError> {
        Ok(self.made("public", &[&[whole(secret)?]]))
    }

    fn prepare(&self, key: &Secret) -> Result<Prepared, SuiteError> {
        whole(key)?;
        Ok(Prepared { world: self.clone(), key: key.clone() })
    }
}

impl Suite for Symbolic {
    fn id(&self) -> SuiteId {
        SuiteId::SYMBOLIC
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            long_term: HANDLE,
            group_key: HANDLE,
            nonce: NONCE,
            mac: MAC,
            aead_tag: TAG,
            digest: HANDLE,
            share: HANDLE,
            verifying_key: HANDLE,
            signature: SIGNATURE,
        }
    }

    fn hash(&self, parts: &[&[u8]]) -> Result<Digest, SuiteError> {
        let mut mix = Mix::new("hash");
        parts.iter().for_each(|part| mix.update(part));
        let handle = mix.finish();
        self.note(&handle, "hash", &[parts]);
        Digest::new(&handle).ok_or(SuiteError)
    }

    fn hasher(&self) -> Result<Box<dyn Hasher>, SuiteError> {
        Ok(Box::new(SymbolicHasher { world: self.clone(), mix: Mix::new("hash") }))
    }

    fn extract(&self, salt: &[u8], material: &[&Secret]) -> Result<Secret, SuiteError> {
        let material: Vec<&[u8]> = material.iter().map(|secret| secret.expose()).collect();
        Ok(Secret::new(&*self.made("extract", &[&[salt], &material])))
    }

    // As in HKDF, the purpose is no part of the term: only the label in `info` keeps roles apart.
    fn expand(&self, prk: &Secret, info: &[&[u8]], _purpose: Purpose) -> Result<Secret, SuiteError> {
        Ok(Secret::new(&*self.made("expand", &[&[whole(prk)?], info])))
    }

    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        cut::<MAC>(&self.made("mac", &[&[whole(key)?], parts]))
    }

    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        refuse_unless(cut::<MAC>(&handle("mac", &[&[whole(key)?], parts]))? == *tag)
    }

    fn aead(&self, key: &Secret) -> Result<Arc<dyn Aead>, SuiteError> {
        Ok(Arc::new(self.prepare(key)?))
    }

    fn fresh_secret(&self, rng: &mut dyn Entropy, length: usize) -> Result<Secret, FreshError> {
        let secret = Secret::filled(length, |out| rng.fill(out))?;
        self.note(secret.expose(), "fresh", &[]);
        Ok(secret)
    }

    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        let secret = self.fresh_secret(rng, HANDLE)?;
        let public = VerifyingKey::new(&*self.public_of(&secret)?).ok_or(SuiteError)?;
        Ok((secret, public))
    }

    fn sign(&self, key: &Secret, parts: &[&[u8]]) -> Result<Signature, SuiteError> {
        signature(&self.made("sign", &[&[&*self.public_of(key)?], parts]))
    }

    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], given: &Signature) -> Result<(), VerifyError> {
        refuse_unless(signature(&handle("sign", &[&[key.as_bytes()], parts]))? == *given)
    }

    fn agreement_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, Share), FreshError> {
        let secret = self.fresh_secret(rng, HANDLE)?;
        let share = Share::new(&*self.share_of(&secret)?).ok_or(SuiteError)?;
        Ok((secret, share))
    }

    // g^xy is the unordered pair of g^x and g^y; this method makes it only for who has x or y.
    fn agree(&self, secret: &Secret, share: &Share) -> Result<Secret, VerifyError> {
        let mine = self.share_of(secret)?;
        let theirs = share.as_bytes();
        refuse_unless(theirs.len() == HANDLE && theirs.iter().any(|byte| *byte != 0))?;
        let (first, second) = if mine.as_slice() < theirs { (&mine[..], theirs) } else { (theirs, &mine[..]) };
        Ok(Secret::new(&*self.made("agree", &[&[first], &[second]])))
    }
}

/// The handle of `kind(fields)`. Each field is a concatenation.
fn handle(kind: &str, fields: &[&[&[u8]]]) -> Zeroizing<[u8; HANDLE]> {
    let mut mix = Mix::new(kind);
    for field in fields {
        mix.update(&field.iter().fold(0u64, |sum, part| sum.wrapping_add(part.len() as u64)).to_le_bytes());
        field.iter().for_each(|part| mix.update(part));
    }
    Zeroizing::new(mix.finish())
}

fn signature(handle: &[u8; HANDLE]) -> Result<Signature, SuiteError> {
    let mut bytes = [0; SIGNATURE];
    bytes.iter_mut().zip(handle.iter().chain(handle.iter().rev())).for_each(|(out, byte)| *out = *byte);
    Signature::new(&bytes).ok_or(SuiteError)
}

fn cut<const N: usize>(handle: &[u8; HANDLE]) -> Result<Tag, SuiteError> {
    handle.first_chunk::<N>().and_then(|tag| Tag::new(tag)).ok_or(SuiteError)
}

fn whole(key: &Secret) -> Result<&[u8], SuiteError> {
    if key.len() == HANDLE { Ok(key.expose()) } else { Err(SuiteError) }
}

fn refuse_unless(right: bool) -> Result<(), VerifyError> {
    if right { Ok(()) } else { Err(VerifyError::Forged) }
}

struct SymbolicHasher {
    world: Symbolic,
    mix: Mix,
}

impl fmt::Debug for SymbolicHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymbolicHasher(..)")
    }
}

impl Hasher for SymbolicHasher {
    fn update(&mut self, bytes: &[u8]) {
        self.mix.update(bytes);
    }

    fn finish(self: Box<Self>) -> Result<Digest, SuiteError> {
        let handle = self.mix.finish();
        // Fed piece by piece, since it is too long to hold: the table knows that it is a digest, not of what.
        self.world.note(&handle, "hash of pieces", &[]);
        Digest::new(&handle).ok_or(SuiteError)
    }

    fn fork(&self) -> Box<dyn Hasher> {
        Box::new(Self { world: self.world.clone(), mix: self.mix.clone() })
    }
}

struct Prepared {
    world: Symbolic,
    key: Secret,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared(..)")
    }
}

impl Prepared {
    /// The term of a box. `noted` where it is made; what others say is a box is none until it opens.
    fn tag(&self, number: BoxNumber, ad: &[u8], text: &[u8], noted: bool) -> Result<Tag, SuiteError> {
        let (domain, counter) = (number.domain.to_be_bytes(), number.counter.to_be_bytes());
        let fields: [&[&[u8]]; 5] = [&[self.key.expose()], &[&domain], &[&counter], &[ad], &[text]];
        let handle = if noted { self.world.made("box", &fields) } else { handle("box", &fields) };
        cut::<TAG>(&handle)
    }

    /// Covers or uncovers `text`: nobody shall mistake a box for its text.
    fn mask(&self, number: BoxNumber, text: &mut [u8]) {
        for (block, bytes) in text.chunks_mut(HANDLE).enumerate() {
            let mut mix = Mix::new("mask");
            mix.update(self.key.expose());
            mix.update(&number.domain.to_be_bytes());
            mix.update(&number.counter.to_be_bytes());
            mix.update(&(block as u64).to_be_bytes());
            bytes.iter_mut().zip(mix.finish()).for_each(|(byte, mask)| *byte ^= mask);
        }
    }
}

impl Aead for Prepared {
    fn seal(&self, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        let tag = self.tag(number, ad, text, true)?;
        self.mask(number, text);
        Ok(tag)
    }

    fn open(&self, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        self.mask(number, text);
        let right = self.tag(number, ad, text, false).map(|right| right == *tag);
        if right != Ok(true) {
            self.mask(number, text);
        }
        refuse_unless(right?)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    struct Count(u8);

    impl Entropy for Count {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), crate::endpoint::EntropyError> {
            self.0 += 1;
            out.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn a_world_explains_what_was_made_in_it() {
        let world = symbolic();
        let suite = world.suite();
        let long_term = suite.fresh_secret(&mut Count(0), 32).unwrap();
        let prk = suite.extract(b"salt", &[&long_term]).unwrap();
        let key = suite.expand(&prk, &[b"label"], Purpose::Mac).unwrap();
        let tag = suite.mac(&key, &[b"text"]).unwrap();
        let explained = world.explain(tag.as_bytes()).unwrap();
        assert_eq!(explained, r#"mac(expand(extract("salt", fresh:01010101), "label"), "text")"#);
        assert_eq!(world.term(key.expose()).unwrap().kind, "expand");
        assert_eq!(world.explain(&[7; 32]), None);
        assert_eq!(symbolic().explain(tag.as_bytes()), None, "worlds are apart");
    }

    #[test]
    fn the_same_calls_give_the_same_bytes_with_and_without_a_table() {
        let world = symbolic();
        let run = |suite: Arc<dyn Suite>| {
            let mut rng = Count(0);
            let (x, gx) = suite.agreement_pair(&mut rng).unwrap();
            let (y, gy) = suite.agreement_pair(&mut rng).unwrap();
            let key = suite.agree(&x, &gy).unwrap();
            assert!(suite.same(&key, &suite.agree(&y, &gx).unwrap()));
            let mut text = *b"a text";
            let tag = suite.seal(&key, BoxNumber::ONLY, b"ad", &mut text).unwrap();
            (tag, text)
        };
        assert_eq!(run(world.suite()), run(symbolic().suite()));
        assert_eq!(run(world.suite()), run(world.silent()));
    }

    #[test]
    fn terms_inside_bytes_are_found() {
        let world = symbolic();
        let suite = world.suite();
        let inner = suite.hash(&[b"inner"]).unwrap();
        let outer = suite.hash(&[b"<", inner.as_bytes(), b">"]).unwrap();
        assert_eq!(world.explain(outer.as_bytes()).unwrap(), r#"hash("<" ‖ hash("inner") ‖ ">")"#);
    }

    #[test]
    fn explanations_end() {
        let world = symbolic();
        let suite = world.suite();
        let mut digest = suite.hash(&[b"start"]).unwrap();
        for _ in 0..40 {
            digest = suite.hash(&[&[digest.as_bytes(); 40].concat()]).unwrap();
        }
        let explained = world.explain(digest.as_bytes()).unwrap();
        assert!((1 << 16..1 << 20).contains(&explained.len()), "{} bytes", explained.len());
    }

    #[test]
    fn only_what_was_made_is_noted() {
        let world = symbolic();
        let suite = world.suite();
        let key = suite.fresh_secret(&mut Count(0), 32).unwrap();
        let number = BoxNumber { domain: 1, counter: 2 };
        let mut text = *b"hello";
        let tag = suite.seal(&key, number, b"", &mut text).unwrap();
        let terms = world.terms();
        let explained = world.explain(tag.as_bytes()).unwrap();
        assert_eq!(explained, r#"box(fresh:01010101, 0x00000001, 0x0000000000000002, "", "hello")"#);

        assert_eq!(suite.open(&key, number, b"other", &mut text.clone(), &tag), Err(VerifyError::Forged));
        assert_eq!(suite.verify_mac(&key, &[b"text"], &tag), Err(VerifyError::Forged));
        let (public, signature) = (VerifyingKey::new(&[1; 32]).unwrap(), Signature::new(&[1; 48]).unwrap());
        assert_eq!(suite.verify(&public, &[b"text"], &signature), Err(VerifyError::Forged));
        assert_eq!(world.terms(), terms);
    }
}
