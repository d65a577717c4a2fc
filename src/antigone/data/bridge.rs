//! Repaired data where keys are distributed as published (RA §2, mixed editions): RA-Dm.
//!
//! **Guarantees.** As repaired data without signed origin, inside one key: no replay, no change, by outsiders. The salt that
//! each sender draws when it takes a key keeps its numbers from meeting the same key twice, whatever AN-R is played again.
//! A receiver remembers what it has read under the key in use and under the one before: where AN-R of older keys is played
//! again, so may be their data. Which key is current is as uncertain as key distribution as published makes it (A11).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::antigone::keys::published::GroupKey;
use crate::crypto::{Aead, BoxNumber, Purpose, Suite, SuiteError};
use crate::endpoint::Entropy;
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::Port;
use crate::group::{Pool, Window};
use crate::identity::{Name, NameRef};
use crate::ttp::schedule::LABEL;
use crate::wire::antigone::{Content, Kind};
use crate::wire::bridges::BridgedData;
use crate::wire::field::{Field, Nonce, Rest, Signature, to_vec};
use crate::wire::frame::{MAX_TEXT, split_frame};
use crate::wire::{Header, Message as _};

/// Bytes of a salt.
pub const SALT: usize = 16;
/// Salts of one sender under one key for which a receiver keeps a window: each time that a sender takes the key it draws one.
const SALTS: usize = 4;
/// Older salts that are remembered so that they open nothing any more.
const RETIRED: usize = 1024;
/// Messages under one key and salt (RA §2).
const MOST: u64 = 1 << 32;
/// What a frame adds to its payload at most, names and the application's string not counted, in bytes.
pub const OVERHEAD: usize = 96;

fn data_key(
    suite: &dyn Suite,
    key: &GroupKey,
    kind: Kind,
    sender: NameRef<'_>,
    salt: &Nonce,
) -> Result<Arc<dyn Aead>, SuiteError> {
    let group = suite.hash(&[&to_vec(&key.group.wire())])?;
    let root = suite.extract(group.as_bytes(), &[key.key.secret()])?;
    let info: [&[u8]; 5] = [LABEL, b"data", &[kind as u8], &to_vec(&sender), salt.as_bytes()];
    suite.aead(&suite.expand(&root, &info, Purpose::Aead)?)
}

/// The own sealer under one key.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct BridgeSealer {
    aead: Option<Arc<dyn Aead>>,
    salt: Nonce,
    counter: u64,
    kind: Kind,
}

impl BridgeSealer {
    /// For the holder of `key` named `sender`. Draws a salt.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn new(
        suite: &dyn Suite,
        rng: &mut dyn Entropy,
        key: &GroupKey,
        kind: Kind,
        sender: NameRef<'_>,
    ) -> Result<Self, Failure> {
        let mut salt = [0; SALT];
        rng.fill(&mut salt)?;
        let salt = Nonce::new(&salt).ok_or(Failure::Suite)?;
        let aead = match kind {
            Kind::Clear => None,
            _ => Some(data_key(suite, key, kind, sender, &salt)?),
        };
        Ok(Self { aead, salt, counter: 0, kind })
    }

    /// RA-Dm. Its number is used up even if that fails.
    ///
    /// # Errors
    /// [`Misuse::KeyExhausted`], [`Failure::Suite`].
    pub fn seal(
        &mut self,
        header: Header,
        pool: &mut Pool,
        key: &GroupKey,
        sender: NameRef<'_>,
        port: Port,
        payload: &[u8],
    ) -> Result<Bytes, CommandError> {
        let counter = self.counter;
        if counter >= MOST {
            return Err(Misuse::KeyExhausted.into());
        }
        self.counter = counter + 1;
        let data = BridgedData { group: key.group.wire(), sender, salt: self.salt, counter, kind: self.kind };
        let port = match port {
            Port::Application => 0,
            Port::Transfer => 1,
        };
        let content = Content { origin: Signature::NONE, port, payload: Rest(payload) };
        let number = BoxNumber { domain: 0, counter };
        let frame = pool.compose(payload.len() + OVERHEAD + 512, |out| {
            data.put_boxed_whole(
                header,
                out,
                |out, _| {
                    content.put(out);
                    Ok::<_, SuiteError>(())
                },
                |frame, clear, text| match (&self.aead, self.kind) {
                    (None, _) => Ok(crate::wire::field::Tag::NONE),
                    (Some(aead), Kind::Integrity) => {
                        aead.seal(number, frame.get(..text.end).unwrap_or_default(), &mut [])
                    }
                    (Some(aead), _) => {
                        let (ad, text) = split_frame(frame, clear, &text);
                        aead.seal(number, ad, text)
                    }
                },
            )
        });
        frame.map_err(|_| Failure::Suite.into())
    }
}

#[derive(Debug, Clone)]
struct Opener {
    /// Made anew when it is wanted, once it was forgotten.
    aead: Option<Arc<dyn Aead>>,
    window: Window,
    /// Counts the salts: the lowest is the oldest.
    since: u64,
}

/// What a receiver keeps of the senders under one key.
#[derive(Debug, Clone, Default)]
pub struct BridgeOpeners {
    of: BTreeMap<(Name, Nonce), Opener>,
    retired: BTreeSet<Nonce>,
    next: u64,
}

/// A message as read.
#[derive(Debug)]
pub struct Bridged {
    /// Whom it names as its sender.
    pub sender: Name,
    /// For whom inside the application.
    pub port: Port,
    /// What is said.
    pub payload: Bytes,
}

impl BridgeOpeners {
    /// Opens RA-Dm under `key`, which its group identifier must name; at most `senders` senders are known.
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::OldEpoch`], [`Reason::Echo`], [`Reason::Protection`], [`Reason::Replayed`],
    /// [`Reason::Forged`], [`Reason::Budget`], [`Reason::Suite`]. Nothing has changed then.
    #[allow(clippy::too_many_arguments)]
    pub fn open(
        &mut self,
        suite: &dyn Suite,
        key: &GroupKey,
        kind: Kind,
        own: NameRef<'_>,
        senders: usize,
        mut frame: BytesMut,
    ) -> Result<Bridged, Reason> {
        let parsed = BridgedData::parse(&frame).map_err(|_| Reason::Malformed)?;
        let BridgedData { group, sender, salt, counter, kind: form } = parsed.message;
        if !key.group.is(&group) {
            return Err(Reason::OldEpoch);
        }
        if sender == own {
            return Err(Reason::Echo);
        }
        if form != kind {
            return Err(Reason::Protection);
        }
        let (clear, text, tag) = (parsed.clear, parsed.text, parsed.tag);
        let name = sender.to_name();
        let at = (name.clone(), salt);
        let mut known = None;
        if kind == Kind::Clear {
            if !tag.is_empty() {
                return Err(Reason::Malformed);
            }
        } else {
            let opener = match self.of.get(&at) {
                Some(Opener { aead: None, window, since }) => {
                    let aead = Some(data_key(suite, key, kind, sender, &salt)?);
                    Opener { aead, window: window.clone(), since: *since }
                }
                Some(opener) => opener.clone(),
                None if self.retired.contains(&salt) => return Err(Reason::Replayed),
                None => {
                    let aead = Some(data_key(suite, key, kind, sender, &salt)?);
                    Opener { aead, window: Window::new(), since: self.next }
                }
            };
            opener.window.check(counter)?;
            let aead = opener.aead.clone().ok_or(Reason::Suite)?;
            let number = BoxNumber { domain: 0, counter };
            if kind == Kind::Integrity {
                aead.open(number, frame.get(..text.end).unwrap_or_default(), &mut [], &tag)?;
            } else {
                let (ad, text) = split_frame(&mut frame, clear, &text);
                aead.open(number, ad, text, &tag)?;
            }
            known = Some(opener);
        }
        let content = Content::decode(frame.get(text).unwrap_or_default()).map_err(|_| Reason::Malformed)?;
        let port = match content.port {
            0 => Port::Application,
            1 => Port::Transfer,
            _ => return Err(Reason::Violation),
        };
        let payload = Bytes::copy_from_slice(content.payload.0);
        if let Some(mut opener) = known {
            if !self.of.contains_key(&at) {
                self.make_room(&name, senders)?;
                self.next += 1;
            }
            opener.window.mark(counter);
            self.of.insert(at, opener);
        }
        Ok(Bridged { sender: name, port, payload })
    }
}

impl BridgeOpeners {
    /// The keys go; what was read is remembered.
    pub fn forget_keys(&mut self) {
        self.of.values_mut().for_each(|opener| opener.aead = None);
    }

    /// Room for one more salt of `name`: its oldest goes if it has many, and is never opened again.
    fn make_room(&mut self, name: &Name, senders: usize) -> Result<(), Reason> {
        let own = self.of.iter().filter(|((of, _), _)| of == name);
        if own.clone().count() < SALTS {
            return if self.of.len() < senders { Ok(()) } else { Err(Reason::Budget) };
        }
        let oldest = own.min_by_key(|(_, opener)| opener.since).map(|(at, _)| at.clone());
        let Some(oldest) = oldest.filter(|_| self.retired.len() < RETIRED) else { return Err(Reason::Budget) };
        self.retired.insert(oldest.1);
        self.of.remove(&oldest);
        Ok(())
    }
}

/// The longest payload of a frame of `frame_limit` bytes.
pub fn max_message(key: &GroupKey, sender: NameRef<'_>, frame_limit: usize) -> usize {
    let names = key.group.app().as_str().len() + sender.as_str().len();
    frame_limit.saturating_sub(OVERHEAD + SALT + names + 32).min(MAX_TEXT - 3)
}
