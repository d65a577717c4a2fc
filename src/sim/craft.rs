//! Taking frames apart and putting others together, by the declared layouts and with whatever keys the scenario gives.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::error::DecodeError;
use crate::wire::field::{Signature, Tag};
use crate::wire::frame::{Dissected, HEADER_BYTES};
use crate::wire::{Field, Guard, MessageInfo, TABLES, Value};

/// The layouts that a world knows.
#[derive(Clone, Debug)]
pub struct Tables(Vec<&'static [&'static MessageInfo]>);

impl Default for Tables {
    fn default() -> Self {
        Self(TABLES.to_vec())
    }
}

impl Tables {
    /// Adds the messages of another system or edition.
    pub fn add(&mut self, table: &'static [&'static MessageInfo]) {
        self.0.push(table);
    }

    /// The declaration of the message that the header of `frame` names.
    pub fn find(&self, frame: &[u8]) -> Option<&'static MessageInfo> {
        let [_version, system, edition, _suite, code] = *frame.first_chunk::<HEADER_BYTES>()?;
        let wanted =
            |info: &&MessageInfo| (info.system as u8, info.edition as u8, info.code) == (system, edition, code);
        self.0.iter().copied().flatten().copied().find(wanted)
    }

    /// The id of that message, or `"?"`.
    pub fn id(&self, frame: &[u8]) -> &'static str {
        self.find(frame).map_or("?", |info| info.id)
    }

    /// The frame taken apart without keys.
    pub fn dissect(&self, frame: &[u8]) -> Option<(&'static MessageInfo, Dissected)> {
        let info = self.find(frame)?;
        info.dissect(frame).ok().map(|parts| (info, parts))
    }
}

/// A message in parts: change what you like, then put it together again.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The declaration.
    pub info: &'static MessageInfo,
    /// Version, system, edition, suite, type.
    pub header: [u8; HEADER_BYTES],
    /// The clear fields.
    pub clear: Value,
    /// The text of the box: as it stands in the frame until [`Self::open`], afterwards in clear.
    pub text: Vec<u8>,
    /// The tag as it stands in the frame.
    pub tag: Vec<u8>,
}

impl Draft {
    /// Takes `frame` apart.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not, wholly, a message of one of `tables`.
    pub fn of(tables: &Tables, frame: &[u8]) -> Result<Self, DecodeError> {
        let info = tables.find(frame).ok_or(DecodeError::Header)?;
        let header = *frame.first_chunk::<HEADER_BYTES>().ok_or(DecodeError::Truncated)?;
        let parts = info.dissect(frame)?;
        let text = frame.get(parts.text).unwrap_or_default().to_vec();
        let tag = frame.get(parts.tag).unwrap_or_default().to_vec();
        Ok(Self { info, header, clear: parts.clear, text, tag })
    }

    /// Header and clear fields: what a tag covers, and what a box has as associated data.
    pub fn covered(&self) -> Vec<u8> {
        let mut out = self.header.to_vec();
        self.clear.write(&mut out);
        out
    }

    /// Opens the box: `open` gets the associated data, the text to open in place, and the tag.
    ///
    /// # Errors
    /// That of `open`. The draft is then as it was.
    pub fn open<E>(&mut self, open: impl FnOnce(&[u8], &mut [u8], &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut text = self.text.clone();
        open(&self.covered(), &mut text, &self.tag)?;
        self.text = text;
        Ok(())
    }

    /// The text in parts, once it is open.
    ///
    /// # Errors
    /// [`DecodeError`] if the text is not what the declaration says, or there is no box.
    pub fn body(&self) -> Result<Value, DecodeError> {
        Value::read("body", self.info.body.ok_or(DecodeError::Header)?, &self.text)
    }

    /// Puts `body` in place of the text.
    pub fn set_body(&mut self, body: &Value) {
        self.text = body.to_bytes();
    }

    /// The frame with text and tag as they are.
    pub fn frame(&self) -> Bytes {
        self.assemble(&self.text, &self.tag)
    }

    /// The frame with a tag that `tag` makes of what it covers.
    ///
    /// # Errors
    /// That of `tag`.
    pub fn tagged<E>(&self, tag: impl FnOnce(&[u8]) -> Result<Tag, E>) -> Result<Bytes, E> {
        tag(&self.covered()).map(|tag| self.assemble(&[], tag.as_bytes()))
    }

    /// The frame with a signature that `sign` makes of what it covers; the message's label goes in front of that.
    ///
    /// # Errors
    /// That of `sign`.
    pub fn signed<E>(&self, sign: impl FnOnce(&[u8]) -> Result<Signature, E>) -> Result<Bytes, E> {
        sign(&self.covered()).map(|signature| self.assemble(&[], signature.as_bytes()))
    }

    /// The frame with its text sealed by `seal`, which gets the associated data and the text to seal in place.
    ///
    /// # Errors
    /// That of `seal`.
    pub fn sealed<E>(&self, seal: impl FnOnce(&[u8], &mut [u8]) -> Result<Tag, E>) -> Result<Bytes, E> {
        let mut text = self.text.clone();
        let tag = seal(&self.covered(), &mut text)?;
        Ok(self.assemble(&text, tag.as_bytes()))
    }

    fn assemble(&self, text: &[u8], tag: &[u8]) -> Bytes {
        let mut out = BytesMut::from(&*self.covered());
        if self.info.guard == Guard::Boxed {
            out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(text);
        }
        match (self.info.guard, Tag::new(tag), Signature::new(tag)) {
            (Guard::Boxed | Guard::Tagged, Some(tag), _) => tag.put(&mut out),
            (Guard::Signed, _, Some(signature)) => signature.put(&mut out),
            _ => {}
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use super::*;
    use crate::crypto::SuiteId;
    use crate::identity::{Instance, MemberId};
    use crate::wire::antigone::{JoinRequest, LeaderFrame};
    use crate::wire::field::{Nonce, Share};
    use crate::wire::frame::{Edition, Header, Message, System};
    use crate::wire::shape::Content;

    const HEADER: Header = Header { system: System::Antigone, edition: Edition::Repaired, suite: SuiteId::NULL };

    fn name(text: &str) -> crate::identity::NameRef<'_> {
        crate::identity::NameRef::new(text).unwrap()
    }

    fn hello() -> BytesMut {
        let message = JoinRequest {
            app: name("app"),
            leader: name("lea"),
            member: name("ann"),
            i0: Nonce::new(&[7; 16]).unwrap(),
            share: Share::new(&[]).unwrap(),
        };
        let mut out = BytesMut::new();
        message.put_tagged(HEADER, &mut out, |_| Ok::<_, Infallible>(Tag::new(&[1; 16]).unwrap())).unwrap();
        out
    }

    #[test]
    fn a_draft_gives_the_frame_back() {
        let frame = hello();
        let tables = Tables::default();
        let draft = Draft::of(&tables, &frame).unwrap();
        assert_eq!(draft.frame(), frame);
        assert_eq!(tables.id(&frame), "RA-J1");
        assert_eq!(tables.id(b"\x01\x01\x02\xf0\xff"), "?");
        assert_eq!(Draft::of(&tables, b"nonsense").unwrap_err(), DecodeError::Header);
    }

    #[test]
    fn a_changed_name_gives_a_well_formed_other_frame() {
        let mut draft = Draft::of(&Tables::default(), &hello()).unwrap();
        draft.clear.find_mut("member").unwrap().content = Content::Leaf(b"\x05mally".to_vec());
        let forged =
            draft.tagged(|covered| Ok::<_, Infallible>(Tag::new(&[covered.len() as u8; 16]).unwrap())).unwrap();
        let parsed = JoinRequest::parse(&forged).unwrap();
        assert_eq!(parsed.message.member.as_str(), "mally");
        assert_eq!(parsed.tag.as_bytes(), [parsed.clear as u8; 16]);
    }

    #[test]
    fn boxes_are_opened_and_sealed_again() {
        // A toy box: every byte of the text is inverted.
        let invert = |text: &mut [u8]| text.iter_mut().for_each(|byte| *byte = !*byte);
        let message = LeaderFrame { group: Instance([3; 16]), cid: MemberId(4), n: 5 };
        let mut out = BytesMut::new();
        let write = |out: &mut BytesMut| out.extend_from_slice(b"text");
        let seal = |_: &[u8], text: &mut [u8]| {
            invert(text);
            Ok::<_, Infallible>(Tag::new(&[9; 16]).unwrap())
        };
        message.put_boxed(HEADER, &mut out, write, seal).unwrap();
        let mut draft = Draft::of(&Tables::default(), &out).unwrap();
        assert!(draft.open(|_, _, _| Err(())).is_err());
        draft.open(|_, text, tag| (tag == [9; 16]).then(|| invert(text)).ok_or(())).unwrap();
        assert_eq!(draft.text, b"text");
        assert_eq!(draft.sealed(seal).unwrap(), out);
    }
}
