//! Frames: the header, the clear fields, and what guards them.
//!
//! | guard | follows the clear fields | covers |
//! | --- | --- | --- |
//! | `Open` | nothing | nothing: each part guards itself |
//! | `Tagged` | a tag | header and clear fields |
//! | `Signed` | a signature | a label of the message's own, then header and clear fields |
//! | `Boxed` | text behind a length of four bytes, then a tag | the text; header and clear fields as associated data |
//!
//! The header is version, system, edition, suite, message type, a byte each. It is part of what every guard covers, so
//! that nothing opens as another type, edition, suite or system.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::{BufMut, BytesMut};

use super::WIRE_VERSION;
use super::field::{Field, Reader, Signature, Tag, put_opaque, to_vec};
use super::shape::{Shape, Value};
use crate::crypto::SuiteId;
use crate::error::DecodeError;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 5;

/// Longest text in a box, in bytes. Links and policies set lower limits.
pub const MAX_TEXT: usize = 1 << 20;

/// Which of the systems.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum System {
    /// Antigone.
    Antigone = 1,
    /// Enclaves, 2.0 as published or repaired.
    Enclaves = 2,
    /// Enclaves 1.0: only as published.
    FirstEnclaves = 3,
}

/// Which edition of a part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Edition {
    /// With its flaws, as the report describes it.
    AsPublished = 1,
    /// Repaired.
    Repaired = 2,
}

/// The configured part of the header: both sides must agree on it beforehand; nothing is negotiated (R38).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The system.
    pub system: System,
    /// The edition of the part that the message belongs to.
    pub edition: Edition,
    /// The suite of that part.
    pub suite: SuiteId,
}

impl Header {
    /// Appends the header of a message of type `code`.
    pub fn put(self, code: u8, out: &mut BytesMut) {
        out.put_slice(&[WIRE_VERSION, self.system as u8, self.edition as u8, self.suite.0, code]);
    }

    /// The message type of `frame`, whose header must be this one.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if there is no header, [`DecodeError::Header`] if it is another.
    pub fn code_of(self, frame: &[u8]) -> Result<u8, DecodeError> {
        let [version, system, edition, suite, code] = Reader::new(frame).array::<HEADER_BYTES>()?;
        if [version, system, edition, suite] == [WIRE_VERSION, self.system as u8, self.edition as u8, self.suite.0] {
            Ok(code)
        } else {
            Err(DecodeError::Header)
        }
    }
}

/// What guards a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// Nothing: each part guards itself.
    Open,
    /// A tag over all before it.
    Tagged,
    /// A signature over a label of the message's own and all before it.
    Signed,
    /// A box: text and tag, with all before them as associated data.
    Boxed,
}

/// Who sends a message to whom, by role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Direction {
    /// The sender's role.
    pub from: &'static str,
    /// The receiver's role.
    pub to: &'static str,
}

/// A declaration as data.
#[derive(Debug)]
pub struct MessageInfo {
    /// The system.
    pub system: System,
    /// The edition.
    pub edition: Edition,
    /// Message type in the header.
    pub code: u8,
    /// Its id in the specification.
    pub id: &'static str,
    /// Its name in the code.
    pub name: &'static str,
    /// Who sends it to whom.
    pub direction: Direction,
    /// What guards it.
    pub guard: Guard,
    /// The clear fields.
    pub clear: &'static Shape,
    /// The text inside the box.
    pub body: Option<&'static Shape>,
    /// What it is for.
    pub doc: &'static str,
    /// The typed decoder and encoder, for whatever treats all messages alike.
    pub typed: Typed,
}

/// What typed decoding of a frame gives, encoded again.
pub type RecodedFrame = Result<Recoded, DecodeError>;

/// What typed decoding of an opened text gives, encoded again.
pub type RecodedBody = Result<Vec<u8>, DecodeError>;

/// The typed decoders of one message, each followed by its encoder: the means to hold them against the declaration.
#[derive(Clone, Copy, Debug)]
pub struct Typed {
    /// Takes a frame, whose header the caller has checked.
    pub frame: fn(&[u8]) -> RecodedFrame,
    /// Takes an opened text, if the message has a box.
    pub body: Option<fn(&[u8]) -> RecodedBody>,
}

/// A frame, decoded with its type and encoded again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recoded {
    /// The clear fields, without header.
    pub clear: Vec<u8>,
    /// Where header and clear fields end.
    pub end: usize,
    /// Where the text stands.
    pub text: Range<usize>,
    /// The tag.
    pub tag: Tag,
}

/// A frame taken apart without keys: the clear fields, and where the guarded parts are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dissected {
    /// The clear fields; ranges count from the start of the frame.
    pub clear: Value,
    /// Where the text stands (boxed messages).
    pub text: Range<usize>,
    /// Where the bytes of the tag, or of the signature, stand, without their length.
    pub tag: Range<usize>,
}

impl MessageInfo {
    /// Takes `frame`, whose header the caller has checked, apart.
    ///
    /// # Errors
    /// As the typed decoder.
    pub fn dissect(&self, frame: &[u8]) -> Result<Dissected, DecodeError> {
        let mut reader = Reader::new(frame);
        reader.bytes(HEADER_BYTES)?;
        let clear = Value::take(self.name, self.clear, &mut reader)?;
        let (text, tag) = take_guard(self, &mut reader)?;
        Ok(Dissected { clear, text, tag })
    }

    /// A frame of this type from its parts: clear fields and tag (or signature) as encoded, text as sealed. The inverse of
    /// [`Self::dissect`]. Nothing is checked; what the guard does not have is left out.
    pub fn compose(&self, header: Header, clear: &[u8], text: &[u8], tag: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + clear.len() + text.len() + tag.len() + 6);
        header.put(self.code, &mut out);
        out.put_slice(clear);
        if self.guard == Guard::Boxed {
            out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
            out.put_slice(text);
        }
        if self.guard != Guard::Open {
            put_opaque(tag, &mut out);
        }
        out.to_vec()
    }

    /// Length of the longest frame, in bytes.
    pub const fn max_len(&self) -> usize {
        let guard = match self.guard {
            Guard::Open => 0,
            Guard::Tagged => 2 + Tag::MAX,
            Guard::Signed => 2 + Signature::MAX,
            Guard::Boxed => 4 + self.max_text() + 2 + Tag::MAX,
        };
        HEADER_BYTES + self.clear.max_len() + guard
    }

    /// Length of the longest text, in bytes; 0 without a box.
    pub const fn max_text(&self) -> usize {
        match self.body {
            Some(body) if body.max_len() < MAX_TEXT => body.max_len(),
            Some(_) => MAX_TEXT,
            None => 0,
        }
    }

    /// Whether the declaration makes sense ([`Shape::is_sound`]), and has a body exactly if it has a box.
    pub const fn is_sound(&self) -> bool {
        let open = matches!(self.guard, Guard::Open);
        let body = match self.body {
            Some(body) => matches!(self.guard, Guard::Boxed) && body.is_sound(true) && self.typed.body.is_some(),
            None => !matches!(self.guard, Guard::Boxed),
        };
        body && self.clear.is_sound(open)
    }
}

fn take_guard(info: &MessageInfo, reader: &mut Reader<'_>) -> Result<(Range<usize>, Range<usize>), DecodeError> {
    let end = reader.position();
    let text = match info.guard {
        Guard::Boxed => {
            // Sealing keeps the length: what is longer than the longest text cannot be one.
            let text = reader.payload(info.max_text())?;
            reader.position() - text.len()..reader.position()
        }
        Guard::Open | Guard::Tagged | Guard::Signed => end..end,
    };
    let longest = match info.guard {
        Guard::Boxed | Guard::Tagged => Some(Tag::MAX),
        Guard::Signed => Some(Signature::MAX),
        Guard::Open => None,
    };
    let tag = match longest {
        Some(longest) => {
            let tag = reader.opaque(0, longest)?;
            reader.position() - tag.len()..reader.position()
        }
        None => end..end,
    };
    reader.finish()?;
    Ok((text, tag))
}

/// A declared message.
pub trait Message<'a>: Field<'a> + Copy {
    /// The declaration as data.
    const INFO: &'static MessageInfo;

    /// Decodes `frame`, whose header and type the caller has checked.
    ///
    /// # Errors
    /// [`DecodeError`] unless the frame is, wholly, the canonical encoding of such a message.
    fn parse(frame: &'a [u8]) -> Result<Boxed<Self>, DecodeError> {
        let mut reader = Reader::new(frame);
        reader.bytes(HEADER_BYTES)?;
        let message = Self::take(&mut reader)?;
        let clear = reader.position();
        let (text, tag) = take_guard(Self::INFO, &mut reader)?;
        let tag = if Self::INFO.guard == Guard::Signed { 0..0 } else { tag };
        let tag = Tag::new(frame.get(tag).unwrap_or_default()).ok_or(DecodeError::Length)?;
        Ok(Boxed { message, clear, text, tag })
    }

    /// Appends header and clear fields.
    fn put_clear(&self, header: Header, out: &mut BytesMut) {
        header.put(Self::INFO.code, out);
        self.put(out);
    }

    /// Appends the whole of an open message.
    fn put_open(&self, header: Header, out: &mut BytesMut) {
        debug_assert!(Self::INFO.guard == Guard::Open);
        self.put_clear(header, out);
    }

    /// Appends the whole of a tagged message; `tag` makes the tag of what it is given. Nothing is appended if it fails.
    ///
    /// # Errors
    /// That of `tag`.
    fn put_tagged<E>(
        &self,
        header: Header,
        out: &mut BytesMut,
        tag: impl FnOnce(&[u8]) -> Result<Tag, E>,
    ) -> Result<(), E> {
        debug_assert!(Self::INFO.guard == Guard::Tagged);
        let start = out.len();
        self.put_clear(header, out);
        match tag(out.get(start..).unwrap_or_default()) {
            Ok(tag) => tag.put(out),
            Err(error) => {
                out.truncate(start);
                return Err(error);
            }
        }
        Ok(())
    }

    /// As [`Self::put_tagged`], for a signed message; `sign` puts the message's label in front of what it is given.
    ///
    /// # Errors
    /// That of `sign`.
    fn put_signed<E>(
        &self,
        header: Header,
        out: &mut BytesMut,
        sign: impl FnOnce(&[u8]) -> Result<Signature, E>,
    ) -> Result<(), E> {
        debug_assert!(Self::INFO.guard == Guard::Signed);
        let start = out.len();
        self.put_clear(header, out);
        match sign(out.get(start..).unwrap_or_default()) {
            Ok(signature) => signature.put(out),
            Err(error) => {
                out.truncate(start);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Appends the whole of a boxed message: `write` appends the text, `seal` seals it in place, given the associated
    /// data, and makes the tag. Nothing is appended if it fails.
    ///
    /// # Errors
    /// That of `seal`.
    fn put_boxed<E>(
        &self,
        header: Header,
        out: &mut BytesMut,
        write: impl FnOnce(&mut BytesMut),
        seal: impl FnOnce(&[u8], &mut [u8]) -> Result<Tag, E>,
    ) -> Result<(), E> {
        debug_assert!(Self::INFO.guard == Guard::Boxed);
        let start = out.len();
        self.put_clear(header, out);
        let clear = out.len() - start;
        out.put_u32(0);
        let at = out.len();
        write(out);
        let length = out.len() - at;
        debug_assert!(length <= Self::INFO.max_text());
        if let Some(place) = out.get_mut(at - 4..at) {
            // What does not fit is far above `MAX_TEXT`: refused, not misread.
            place.copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
        let text = clear + 4..clear + 4 + length;
        let (ad, text) = split_frame(out.get_mut(start..).unwrap_or_default(), clear, &text);
        match seal(ad, text) {
            Ok(tag) => tag.put(out),
            Err(error) => {
                out.truncate(start);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Appends the whole of a boxed message whose text or guard depends on the bytes before it: `write` appends the text,
    /// given where header and clear fields stand in the buffer; `seal` makes the tag of the frame so far, given it, the
    /// length of header and clear fields, and where the text stands. Nothing is appended if either fails.
    ///
    /// # Errors
    /// That of `write` or `seal`.
    fn put_boxed_whole<E>(
        &self,
        header: Header,
        out: &mut BytesMut,
        write: impl FnOnce(&mut BytesMut, Range<usize>) -> Result<(), E>,
        seal: impl FnOnce(&mut [u8], usize, Range<usize>) -> Result<Tag, E>,
    ) -> Result<(), E> {
        debug_assert!(Self::INFO.guard == Guard::Boxed);
        let start = out.len();
        self.put_clear(header, out);
        let clear = start..out.len();
        out.put_u32(0);
        let at = out.len();
        let tag = write(out, clear.clone()).and_then(|()| {
            let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
            if let Some(place) = out.get_mut(at - 4..at) {
                place.copy_from_slice(&length.to_be_bytes());
            }
            let text = at - start..out.len() - start;
            seal(out.get_mut(start..).unwrap_or_default(), clear.len(), text)
        });
        match tag {
            Ok(tag) => tag.put(out),
            Err(error) => {
                out.truncate(start);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// A decoded frame: the message, and where its guarded parts are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Boxed<M> {
    /// The clear fields.
    pub message: M,
    /// How many bytes the guard covers as associated data (boxed) or at all (tagged, signed): header and clear fields.
    pub clear: usize,
    /// Where the text stands; empty if the message has no box.
    pub text: Range<usize>,
    /// The tag; empty if the message has none. (For a signature, see [`Self::signature`].)
    pub tag: Tag,
}

impl<'a, M: Message<'a>> Boxed<M> {
    /// The clear fields encoded again, beside the places of the rest.
    pub fn recode(&self) -> Recoded {
        Recoded { clear: to_vec(&self.message), end: self.clear, text: self.text.clone(), tag: self.tag }
    }

    /// The signature of a signed message that was decoded from `frame`; empty if the message has none.
    pub fn signature(&self, frame: &[u8]) -> Signature {
        let place = if M::INFO.guard == Guard::Signed { frame.get(self.clear..) } else { None };
        place.and_then(|place| Signature::decode(place).ok()).unwrap_or(Signature::NONE)
    }
}

/// Splits a boxed frame into associated data and text, to seal or open in place.
pub fn split_frame<'f>(frame: &'f mut [u8], clear: usize, text: &Range<usize>) -> (&'f [u8], &'f mut [u8]) {
    let (ad, rest) = frame.split_at_mut_checked(clear).unwrap_or_default();
    let from = text.start.saturating_sub(clear);
    let to = text.end.saturating_sub(clear);
    (ad, rest.get_mut(from..to).unwrap_or_default())
}
