//! What both systems write the same: changes of the view (RA §4.5; its digest is over this encoding), protections of
//! data (RA §5), and private words (D29).

use core::fmt;

use bytes::BytesMut;

use super::field::{Field, Reader, Rest, VerifyingKey, put_opaque};
use super::frame::MAX_TEXT;
use super::shape::Shape;
use crate::error::DecodeError;
use crate::event::Cause;
use crate::identity::{MemberId, NameRef};

/// Most recipients of one private word.
pub const MAX_RECIPIENTS: usize = 64;

choice! {
    /// A change of the view.
    pub enum Change<'a> {
        /// Somebody came.
        0 = Add(Added<'a>),
        /// Somebody went.
        1 = Remove(Removed),
    }
}

structure! {
    /// A member as the view shows it.
    pub struct Added<'a> {
        /// Its number.
        cid: MemberId,
        /// Its name.
        name: NameRef<'a>,
        /// Its public origin key, or none.
        origin_key: VerifyingKey,
    }
}

structure! {
    /// A removal, with its cause (S6).
    pub struct Removed {
        /// Its number.
        cid: MemberId,
        /// Why.
        cause: Cause,
        /// Who asked for it.
        by: MemberId,
    }
}

choice! {
    /// What protects a message.
    pub enum Kind {
        /// Nothing.
        0 = Clear,
        /// A tag; the text is readable.
        1 = Integrity,
        /// A box.
        2 = Confidentiality,
        /// A box; promised as both.
        3 = Both,
    }
}

structure! {
    /// The text of a private word: of RA-P and EN-R10.
    pub struct PrivateText<'a> {
        /// For whom inside the application: 0 the application, 1 objects.
        port: u8,
        /// What is said.
        payload: Rest<'a, MAX_TEXT>,
    }
}

/// A key inside a box. Its length comes from the suite; it is not printed (R33).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyBytes<'a>(pub &'a [u8]);

impl KeyBytes<'_> {
    /// Shortest and longest, in bytes.
    pub const LENGTHS: (usize, usize) = (8, 64);
}

impl fmt::Debug for KeyBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes(..)")
    }
}

impl<'a> Field<'a> for KeyBytes<'a> {
    const SHAPE: Shape = Shape::Opaque { min: Self::LENGTHS.0, max: Self::LENGTHS.1 };

    fn put(&self, out: &mut BytesMut) {
        put_opaque(self.0, out);
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.opaque(Self::LENGTHS.0, Self::LENGTHS.1).map(Self)
    }
}
