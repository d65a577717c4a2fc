//! Private words to some members (D29), as both systems have them: the sender makes a key K' and seals the text once; the
//! leader hands K' out to the recipients and passes the sealed text on.
//!
//! **Goal.** What somebody says to some members reaches these, and nobody but they and the leader reads it; they know who
//! said it, and take it once.
//!
//! **Assumes.** Between the leader and each member a channel or a chain that delivers keys in order, once each.
//!
//! **Messages.** RA-P and EN-R10; what the two systems say of them in records and requests is their own.
//!
//! **Guarantees.** K' is used once, and a recipient forgets it with the first word that opens: a replay opens nothing (A1, E5).
//! Group, sender and number are bound into the key of the box, and with the key goes the digest of the sealed text: a recipient
//! cannot put another text under the sender's name (A2). That it was this sender, the leader says. The word itself is
//! best effort; its key is not, so a recipient notices what is lost.
//!
//! [`relay`] holds what a leader keeps of words under way, [`words`] what a member keeps of those that it says and hears.

pub mod relay;
pub mod words;

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

pub use relay::{Asked, Passing, Relay, Relays, Whisper, Whispers};
pub use words::{Awaited, Stage, Words};

use crate::crypto::keys::role;
use crate::crypto::{BoxNumber, Key, Purpose, Secret, Suite, SuiteError};
use crate::error::{Failure, Misuse, Reason};
use crate::event::Port;
use crate::identity::{INSTANCE_BYTES, Instance, MemberId};
use crate::wire::field::{Digest, Field, Rest};
use crate::wire::frame::{HEADER_BYTES, MAX_TEXT, split_frame};
use crate::wire::shared::{MAX_RECIPIENTS, PrivateText};
use crate::wire::{Header, Message};

/// Bytes of a frame that are neither payload nor tag: header, group, sender, number, length of text, port, length of tag.
const FIXED: usize = HEADER_BYTES + INSTANCE_BYTES + 8 + 8 + 4 + 1 + 2;

/// What a private word says of itself in clear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word {
    /// The group instance.
    pub group: Instance,
    /// The sender.
    pub cid: MemberId,
    /// Its number among those of the sender.
    pub number: u64,
}

/// The message that carries private words in one of the systems.
pub trait Frame: for<'a> Message<'a> {
    /// The system's label, and the word for keys of this kind.
    const LABEL: [&'static [u8]; 2];

    /// The message that says this of itself.
    fn of(word: Word) -> Self;

    /// What it says of itself.
    fn word(&self) -> Word;
}

/// The code of a port on the wire.
pub const fn port_code(port: Port) -> u8 {
    match port {
        Port::Application => 0,
        Port::Transfer => 1,
    }
}

/// The port of this code.
///
/// # Errors
/// [`Reason::Violation`].
pub const fn port_of(code: u8) -> Result<Port, Reason> {
    match code {
        0 => Ok(Port::Application),
        1 => Ok(Port::Transfer),
        _ => Err(Reason::Violation),
    }
}

/// The recipients of a word of `own`, by rising number.
///
/// # Errors
/// [`Misuse::NoMember`]: nobody, or more than [`MAX_RECIPIENTS`]. [`Misuse::Oneself`].
pub fn recipients(own: MemberId, to: &[MemberId]) -> Result<Vec<MemberId>, Misuse> {
    let mut to = to.to_vec();
    to.sort_unstable();
    to.dedup();
    match to.len() {
        1..=MAX_RECIPIENTS if to.contains(&own) => Err(Misuse::Oneself),
        1..=MAX_RECIPIENTS => Ok(to),
        _ => Err(Misuse::NoMember),
    }
}

/// The longest payload of a word in a frame of `frame_limit` bytes.
pub fn max_payload(suite: &dyn Suite, frame_limit: usize) -> usize {
    frame_limit.saturating_sub(FIXED + suite.sizes().aead_tag).min(MAX_TEXT - 1)
}

/// The key of the box of one word.
fn box_key<M: Frame>(suite: &dyn Suite, key: &Key<role::Gossip>, word: Word) -> Result<Secret, SuiteError> {
    let [label, kind] = M::LABEL;
    let root = suite.extract(label, &[key.secret()])?;
    let info: [&[u8]; 5] = [label, kind, &word.group.0, &word.cid.0.to_be_bytes(), &word.number.to_be_bytes()];
    suite.expand(&root, &info, Purpose::Aead)
}

/// The frame of a word. The port is a code: 0 the application, 1 objects.
///
/// # Errors
/// [`Failure::Suite`].
pub fn seal<M: Frame>(
    suite: &dyn Suite,
    header: Header,
    key: &Key<role::Gossip>,
    word: Word,
    port: u8,
    payload: &[u8],
) -> Result<Bytes, Failure> {
    let sealing = box_key::<M>(suite, key, word)?;
    let mut out = BytesMut::with_capacity(payload.len() + 128);
    let text = PrivateText { port, payload: Rest(payload) };
    let seal = |ad: &[u8], text: &mut [u8]| suite.seal(&sealing, BoxNumber::ONLY, ad, text);
    M::of(word).put_boxed(header, &mut out, |out| text.put(out), seal)?;
    Ok(out.freeze())
}

/// What a frame says of itself in clear.
///
/// # Errors
/// [`Reason::Malformed`].
pub fn word_of<M: Frame>(frame: &[u8]) -> Result<Word, Reason> {
    M::parse(frame).map(|parsed| parsed.message.word()).map_err(|_| Reason::Malformed)
}

/// The digest of a sealed word, which goes with its key.
///
/// # Errors
/// [`Failure::Suite`].
pub fn digest(suite: &dyn Suite, frame: &[u8]) -> Result<Digest, Failure> {
    Ok(suite.hash(&[frame])?)
}

/// Whether this is the word that was named.
///
/// # Errors
/// [`Reason::Forged`] if not, [`Reason::Suite`].
pub fn is_named(suite: &dyn Suite, named: &Digest, frame: &[u8]) -> Result<(), Reason> {
    if *named == digest(suite, frame)? { Ok(()) } else { Err(Reason::Forged) }
}

/// Opens a word with its key: port and text.
///
/// # Errors
/// [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`]; [`Reason::Violation`] for a text that is none.
pub fn open<M: Frame>(suite: &dyn Suite, key: &Key<role::Gossip>, frame: &mut [u8]) -> Result<(Port, Bytes), Reason> {
    let parsed = M::parse(frame).map_err(|_| Reason::Malformed)?;
    let word = parsed.message.word();
    let (clear, text, tag) = (parsed.clear, parsed.text, parsed.tag);
    let opening = box_key::<M>(suite, key, word)?;
    let (ad, sealed) = split_frame(frame, clear, &text);
    suite.open(&opening, BoxNumber::ONLY, ad, sealed, &tag)?;
    let text = PrivateText::decode(sealed).map_err(|_| Reason::Violation)?;
    Ok((port_of(text.port)?, Bytes::copy_from_slice(text.payload.0)))
}

#[cfg(test)]
#[cfg(feature = "rustcrypto")]
mod tests;
