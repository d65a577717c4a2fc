//! Repaired data where keys are distributed as published (RA §2, mixed editions): RA-Dm.
//!
//! **Guarantees.** As repaired data without signed origin, inside one key: no replay, no change, by outsiders. The salt that
//! each sender draws when it takes a key keeps its numbers from meeting the same key twice, whatever AN-R is played again.
//! Which key is current is as uncertain as key distribution as published makes it (A11).

use alloc::collections::BTreeMap;
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
/// Salts of one sender under one key for which a receiver keeps a window: each join of a sender draws one.
const SALTS: usize = 4;
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
#[derive(Debug, Clone)]
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
        self.counter = counter.checked_add(1).ok_or(Misuse::KeyExhausted)?;
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
    aead: Arc<dyn Aead>,
    window: Window,
}

/// What a receiver keeps of the senders under one key.
#[derive(Debug, Clone, Default)]
pub struct BridgeOpeners {
    of: BTreeMap<(Name, Nonce), Opener>,
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
                Some(opener) => opener.clone(),
                None => Opener { aead: data_key(suite, key, kind, sender, &salt)?, window: Window::new() },
            };
            opener.window.check(counter)?;
            let number = BoxNumber { domain: 0, counter };
            if kind == Kind::Integrity {
                opener.aead.open(number, frame.get(..text.end).unwrap_or_default(), &mut [], &tag)?;
            } else {
                let (ad, text) = split_frame(&mut frame, clear, &text);
                opener.aead.open(number, ad, text, &tag)?;
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
            let own_salts = self.of.keys().filter(|(of, _)| *of == name).count();
            if !self.of.contains_key(&at) && (own_salts >= SALTS || self.of.len() >= senders) {
                return Err(Reason::Budget);
            }
            opener.window.mark(counter);
            self.of.insert(at, opener);
        }
        Ok(Bridged { sender: name, port, payload })
    }
}

/// The longest payload of a frame of `frame_limit` bytes.
pub fn max_message(key: &GroupKey, sender: NameRef<'_>, frame_limit: usize) -> usize {
    let names = key.group.app().as_str().len() + sender.as_str().len();
    frame_limit.saturating_sub(OVERHEAD + SALT + names + 32).min(MAX_TEXT - 3)
}
