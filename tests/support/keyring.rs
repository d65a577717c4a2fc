//! A suite that remembers under which key everything was sealed, so that a test can change a field of a frame and make
//! it authentic again, as somebody who has the key would.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::BytesMut;
use sodality::antigone::data::data_key;
use sodality::crypto::{
    Aead, BoxNumber, FreshError, Hasher, Key, Purpose, Secret, Sizes, Suite, SuiteError, SuiteId, VerifyError,
};
use sodality::endpoint::Entropy;
use sodality::identity::MemberId;
use sodality::sim::{Draft, Tables};
use sodality::wire::antigone::Kind;
use sodality::wire::field::{Digest, Field, Share, Signature, Tag, VerifyingKey};
use sodality::wire::{Guard, Value};

#[derive(Default)]
struct Book {
    boxes: BTreeMap<Vec<u8>, (Vec<u8>, BoxNumber)>,
    macs: BTreeMap<Vec<u8>, Vec<u8>>,
    signatures: BTreeMap<Vec<u8>, Vec<u8>>,
    derived: BTreeMap<Vec<u8>, Derived>,
    /// What boxes held, by tag.
    texts: BTreeMap<Vec<u8>, Vec<u8>>,
    verified: usize,
}

/// Where a secret comes from.
#[derive(Clone)]
struct Derived {
    prk: Vec<u8>,
    info: Vec<Vec<u8>>,
}

/// The suite. Clones share what they remember.
#[derive(Clone)]
pub(crate) struct Keyring {
    inner: Arc<dyn Suite>,
    book: Arc<Mutex<Book>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    pub(crate) fn new(inner: Arc<dyn Suite>) -> Self {
        Self { inner, book: Arc::default() }
    }

    pub(crate) fn suite(&self) -> Arc<dyn Suite> {
        Arc::new(self.clone())
    }

    /// How many boxes have opened, and how many codes and signatures have verified, so far.
    pub(crate) fn verified(&self) -> usize {
        self.book().verified
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    fn checked<E>(&self, outcome: Result<(), E>) -> Result<(), E> {
        self.book().verified += usize::from(outcome.is_ok());
        outcome
    }

    /// The frame with its text in clear; `None` if nobody here has sealed it.
    pub(crate) fn open(&self, tables: &Tables, frame: &[u8]) -> Option<Opened> {
        let mut draft = Draft::of(tables, frame).ok()?;
        let tag = draft.tag.clone();
        let by = match draft.info.guard {
            Guard::Tagged => By::Mac(self.book().macs.get(&tag)?.clone()),
            Guard::Signed => By::Signature(self.book().signatures.get(&tag)?.clone()),
            Guard::Open => By::Blocks,
            Guard::Boxed if tag.is_empty() => By::Nobody,
            Guard::Boxed => {
                let (key, number) = self.book().boxes.get(&tag)?.clone();
                let aead = self.inner.aead(&Secret::new(&key)).ok()?;
                if kind_of(&draft) == Some(Kind::Integrity) {
                    aead.open(number, &readable(&draft), &mut [], &Tag::new(&tag)?).ok()?;
                } else {
                    draft.open(|ad, text, tag| aead.open(number, ad, text, &Tag::new(tag).unwrap())).ok()?;
                }
                By::Box(key, number)
            }
        };
        Some(Opened { draft, by })
    }

    /// The key of what another sender, or another protection, of the same epoch would be sealed under.
    fn data_key(&self, key: &[u8], draft: &Draft) -> Vec<u8> {
        let base = self.book().derived.get(key).map(|derived| derived.prk.clone());
        let sender = number(&draft.clear, "cid").map(MemberId);
        let derived = match (base, sender, kind_of(draft)) {
            (Some(base), Some(cid), Some(kind)) => data_key(&*self.inner, &Key::new(Secret::new(&base)), kind, cid)
                .map(|key| key.secret().expose().to_vec()),
            _ => Err(SuiteError),
        };
        derived.unwrap_or_else(|_| key.to_vec())
    }

    /// The changed message, authentic again as far as who has the keys can make it.
    pub(crate) fn close(&self, opened: &Opened) -> Option<Vec<u8>> {
        let Opened { draft, by } = opened;
        match by {
            By::Nobody => Some(draft.frame().to_vec()),
            By::Mac(key) => draft.tagged(|covered| self.inner.mac(&Secret::new(key), &[covered])).ok().map(Vec::from),
            By::Signature(key) => {
                let sign = |covered: &[u8]| self.inner.sign(&Secret::new(key), &[HEARTBEAT, covered]);
                draft.signed(sign).ok().map(Vec::from)
            }
            By::Blocks => self.close_blocks(draft),
            By::Box(key, number_then) => {
                let counter = match draft.info.id {
                    "RA-CL" | "RA-CM" => number(&draft.clear, "n")?,
                    "RA-D" => number(&draft.clear, "counter")?,
                    _ => number_then.counter,
                };
                let key = match draft.info.id {
                    "RA-D" => self.data_key(key, draft),
                    "RA-T2" => self.answer_key(key, draft)?,
                    _ => key.clone(),
                };
                let aead = self.inner.aead(&Secret::new(&key)).ok()?;
                let sealing = BoxNumber { counter, ..*number_then };
                match kind_of(draft) {
                    Some(Kind::Clear) => Some(draft.frame().to_vec()),
                    Some(Kind::Integrity) => {
                        let tag = aead.seal(sealing, &readable(draft), &mut []).ok()?;
                        let closed = Draft { tag: tag.as_bytes().to_vec(), ..draft.clone() };
                        Some(closed.frame().to_vec())
                    }
                    _ => draft.sealed(|ad, text| aead.seal(sealing, ad, text)).ok().map(Vec::from),
                }
            }
        }
    }

    /// The key of an answer of the third party with another status (I-3).
    fn answer_key(&self, key: &[u8], draft: &Draft) -> Option<Vec<u8>> {
        let Derived { prk, mut info } = self.book().derived.get(key).cloned()?;
        *info.get_mut(2)? = draft.clear.find("status")?.to_bytes();
        let info: Vec<&[u8]> = info.iter().map(|part| &**part).collect();
        self.inner.expand(&Secret::new(&prk), &info, Purpose::Aead).ok().map(|key| key.expose().to_vec())
    }

    /// Key blocks of a changed rekey, sealed anew with the group keys that they held (RA §2, §4.4).
    fn close_blocks(&self, draft: &Draft) -> Option<Vec<u8>> {
        let mut draft = draft.clone();
        let mut clear = draft.clear.clone();
        let epoch = number(&clear, "epoch")?;
        let group = clear.find("group")?.to_bytes();
        let common = clear.find("common")?.to_bytes();
        let digest = self.inner.hash(&[common.get(2..)?]).ok()?;
        let header = draft.header;
        for block in match &mut clear.find_mut("blocks")?.content {
            sodality::wire::shape::Content::Items(items) => items.iter_mut(),
            _ => return None,
        } {
            let tag = block.find("tag")?.to_bytes();
            let Some((key, number_then)) = self.book().boxes.get(tag.get(2..)?).cloned() else { continue };
            let aead = self.inner.aead(&Secret::new(&key)).ok()?;
            let ad = |epoch: u64, digest: &Digest, cid: &[u8]| {
                let mut out = BytesMut::from(&header[..]);
                out.extend_from_slice(&group);
                out.extend_from_slice(&epoch.to_be_bytes());
                digest.put(&mut out);
                out.extend_from_slice(cid);
                out
            };
            let Some(mut text) = self.block_key(&tag) else { continue };
            let cid = block.find("cid")?.to_bytes();
            let sealing = BoxNumber { counter: epoch, ..number_then };
            let fresh = aead.seal(sealing, &ad(epoch, &digest, &cid), &mut text).ok()?;
            let lp = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
            block.find_mut("key")?.content = sodality::wire::shape::Content::Leaf(lp(&text));
            block.find_mut("tag")?.content = sodality::wire::shape::Content::Leaf(lp(fresh.as_bytes()));
        }
        draft.clear = clear;
        Some(draft.frame().to_vec())
    }

    /// What a box held that was sealed with this tag (length in front).
    fn block_key(&self, tag: &[u8]) -> Option<Vec<u8>> {
        self.book().texts.get(tag.get(2..)?).cloned()
    }

    /// A signature by the same key as `signature`, over other bytes.
    pub(crate) fn sign_again(&self, signature: &[u8], parts: &[&[u8]]) -> Option<Signature> {
        let key = self.book().signatures.get(signature)?.clone();
        self.inner.sign(&Secret::new(&key), parts).ok()
    }
}

/// The label of the one signed message.
const HEARTBEAT: &[u8] = b"sodality ra 1 heartbeat";

/// A frame that is open.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) draft: Draft,
    pub(crate) by: By,
}

#[derive(Clone)]
pub(crate) enum By {
    Nobody,
    Mac(Vec<u8>),
    Signature(Vec<u8>),
    Blocks,
    Box(Vec<u8>, BoxNumber),
}

/// A number in the clear fields.
pub(crate) fn number(clear: &Value, name: &str) -> Option<u64> {
    clear.find(name)?.to_bytes().try_into().ok().map(u64::from_be_bytes)
}

fn kind_of(draft: &Draft) -> Option<Kind> {
    let kind = draft.clear.find("kind").filter(|_| draft.info.id == "RA-D")?.to_bytes();
    match kind[..] {
        [0] => Some(Kind::Clear),
        [1] => Some(Kind::Integrity),
        [2] => Some(Kind::Confidentiality),
        _ => Some(Kind::Both),
    }
}

/// All before the tag of a frame whose text is readable.
fn readable(draft: &Draft) -> Vec<u8> {
    let mut ad = draft.covered();
    ad.extend((draft.text.len() as u32).to_be_bytes());
    ad.extend(&draft.text);
    ad
}

impl Suite for Keyring {
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
        self.inner.extract(salt, material)
    }

    fn expand(&self, prk: &Secret, info: &[&[u8]], purpose: Purpose) -> Result<Secret, SuiteError> {
        let out = self.inner.expand(prk, info, purpose)?;
        let derived = Derived { prk: prk.expose().to_vec(), info: info.iter().map(|part| part.to_vec()).collect() };
        self.book().derived.insert(out.expose().to_vec(), derived);
        Ok(out)
    }

    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        let tag = self.inner.mac(key, parts)?;
        self.book().macs.insert(tag.as_bytes().to_vec(), key.expose().to_vec());
        Ok(tag)
    }

    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        self.checked(self.inner.verify_mac(key, parts, tag))
    }

    fn aead(&self, key: &Secret) -> Result<Arc<dyn Aead>, SuiteError> {
        Ok(Arc::new(RingAead { inner: self.inner.aead(key)?, ring: self.clone(), key: key.clone() }))
    }

    fn fresh_secret(&self, rng: &mut dyn Entropy, length: usize) -> Result<Secret, FreshError> {
        self.inner.fresh_secret(rng, length)
    }

    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        self.inner.signing_pair(rng)
    }

    fn sign(&self, key: &Secret, parts: &[&[u8]]) -> Result<Signature, SuiteError> {
        let signature = self.inner.sign(key, parts)?;
        self.book().signatures.insert(signature.as_bytes().to_vec(), key.expose().to_vec());
        Ok(signature)
    }

    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError> {
        self.checked(self.inner.verify(key, parts, signature))
    }

    fn agreement_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, Share), FreshError> {
        self.inner.agreement_pair(rng)
    }

    fn agree(&self, secret: &Secret, share: &Share) -> Result<Secret, VerifyError> {
        self.inner.agree(secret, share)
    }
}

struct RingAead {
    inner: Arc<dyn Aead>,
    ring: Keyring,
    key: Secret,
}

impl fmt::Debug for RingAead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RingAead")
    }
}

impl Aead for RingAead {
    fn seal(&self, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        let clear = text.to_vec();
        let tag = self.inner.seal(number, ad, text)?;
        let mut book = self.ring.book();
        book.texts.insert(tag.as_bytes().to_vec(), clear);
        book.boxes.insert(tag.as_bytes().to_vec(), (self.key.expose().to_vec(), number));
        Ok(tag)
    }

    fn open(&self, number: BoxNumber, ad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), VerifyError> {
        self.ring.checked(self.inner.open(number, ad, text, tag))
    }
}
