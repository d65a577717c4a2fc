//! Field types, each with its one canonical encoding.

use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, BytesMut};

pub use super::opaque::{Digest, Nonce, SealedKey, Share, Signature, Tag, VerifyingKey};
use super::shape::Shape;
use crate::error::DecodeError;
use crate::identity::{Epoch, INSTANCE_BYTES, Instance, MemberId, NameRef, Version};

/// A field: something with a shape, an encoding and a decoding. Decoding borrows from the frame and allocates nothing.
pub trait Field<'a>: Sized {
    /// How it is written.
    const SHAPE: Shape;

    /// Appends the encoding.
    fn put(&self, out: &mut BytesMut);

    /// Reads it from the front of `reader`.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a value.
    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Reads it from `bytes`, all of them (R9).
    ///
    /// # Errors
    /// As [`Self::take`].
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::take(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// The encoding of `value`.
pub fn to_vec<'a>(value: &impl Field<'a>) -> Vec<u8> {
    let mut out = BytesMut::new();
    value.put(&mut out);
    out.to_vec()
}

/// A position in bytes from outside. Every read is checked; nothing is allocated (R1, R3).
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the front.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, end: bytes.len() }
    }

    /// How far it has come.
    pub fn position(&self) -> usize {
        self.at
    }

    /// What was read since `start`.
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.at == self.end { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.end).ok_or(DecodeError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(DecodeError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.bytes(N)?.try_into().map_err(|_| DecodeError::Truncated)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`]; so for the other numbers.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    /// Two bytes, big endian.
    ///
    /// # Errors
    /// As [`Self::u8`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, big endian.
    ///
    /// # Errors
    /// As [`Self::u8`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big endian.
    ///
    /// # Errors
    /// As [`Self::u8`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A name, `None` for the empty one.
    ///
    /// # Errors
    /// [`DecodeError::Length`] for an empty name that is not `optional`, [`DecodeError::Name`] for a bad one.
    pub fn name(&mut self, optional: bool) -> Result<Option<NameRef<'a>>, DecodeError> {
        let length = usize::from(self.u8()?);
        let bytes = self.bytes(length)?;
        if length == 0 {
            return if optional { Ok(None) } else { Err(DecodeError::Length) };
        }
        let text = core::str::from_utf8(bytes).map_err(|_| crate::error::NameError::NotUtf8)?;
        Ok(Some(NameRef::new(text)?))
    }

    /// Bytes behind a length of two bytes.
    ///
    /// # Errors
    /// [`DecodeError::Length`] outside `min..=max`.
    pub fn opaque(&mut self, min: usize, max: usize) -> Result<&'a [u8], DecodeError> {
        let length = usize::from(self.u16()?);
        if !(min..=max).contains(&length) {
            return Err(DecodeError::Length);
        }
        self.bytes(length)
    }

    /// Bytes behind a length of four bytes.
    ///
    /// # Errors
    /// [`DecodeError::Length`] above `max`.
    pub fn payload(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.u32()?).map_err(|_| DecodeError::Length)?;
        if length > max {
            return Err(DecodeError::Length);
        }
        self.bytes(length)
    }

    /// All that is left.
    ///
    /// # Errors
    /// [`DecodeError::Length`] above `max`.
    pub fn rest(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.end - self.at;
        if length > max {
            return Err(DecodeError::Length);
        }
        self.bytes(length)
    }

    /// A reader of the bytes behind a length of two bytes.
    ///
    /// # Errors
    /// [`DecodeError::Length`] above `max`.
    pub fn nested(&mut self, max: usize) -> Result<Self, DecodeError> {
        let inner = self.opaque(0, max)?;
        Ok(Self { bytes: self.bytes, at: self.at - inner.len(), end: self.at })
    }

    /// The count of a list.
    ///
    /// # Errors
    /// [`DecodeError::Length`] above `max`.
    pub fn count(&mut self, max: usize) -> Result<usize, DecodeError> {
        usize::try_from(self.u32()?).ok().filter(|count| *count <= max).ok_or(DecodeError::Length)
    }
}

/// Writes bytes behind a length of two bytes. What is longer than any field may be is cut at 65535 bytes, a length that
/// every declaration excludes ([`Shape::is_sound`]): each decoder refuses it, none takes it for something else.
pub(super) fn put_opaque(bytes: &[u8], out: &mut BytesMut) {
    debug_assert!(bytes.len() < usize::from(u16::MAX));
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.put_u16(length);
    out.put_slice(bytes.get(..usize::from(length)).unwrap_or(bytes));
}

macro_rules! number_fields {
    ($($type:ty, $shape:expr, $value:ident => $put:expr, $reader:ident => $take:expr;)*) => {$(
        impl<'a> Field<'a> for $type {
            const SHAPE: Shape = $shape;

            fn put(&self, out: &mut BytesMut) {
                let $value = self;
                let put: &dyn Fn(&mut BytesMut) = &$put;
                put(out);
            }

            fn take($reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                $take
            }
        }
    )*};
}

number_fields! {
    u8, Shape::U8 { max: u8::MAX }, v => |out| out.put_u8(*v), r => r.u8();
    u32, Shape::U32, v => |out| out.put_u32(*v), r => r.u32();
    u64, Shape::U64, v => |out| out.put_u64(*v), r => r.u64();
    bool, Shape::U8 { max: 1 }, v => |out| out.put_u8(u8::from(*v)),
        r => match r.u8()? { 0 => Ok(false), 1 => Ok(true), _ => Err(DecodeError::Value) };
    Epoch, Shape::U64, v => |out| out.put_u64(v.0), r => r.u64().map(Self);
    MemberId, Shape::U64, v => |out| out.put_u64(v.0), r => r.u64().map(Self);
    Version, Shape::U64, v => |out| out.put_u64(v.0), r => r.u64().map(Self);
    Instance, Shape::Fixed(INSTANCE_BYTES), v => |out| out.put_slice(&v.0), r => r.array().map(Self);
}

impl<'a> Field<'a> for NameRef<'a> {
    const SHAPE: Shape = Shape::Name { optional: false };

    fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.as_str().len() as u8);
        out.put_slice(self.as_str().as_bytes());
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.name(false)?.ok_or(DecodeError::Length)
    }
}

/// A name or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaybeName<'a>(pub Option<NameRef<'a>>);

impl<'a> Field<'a> for MaybeName<'a> {
    const SHAPE: Shape = Shape::Name { optional: true };

    fn put(&self, out: &mut BytesMut) {
        match self.0 {
            Some(name) => name.put(out),
            None => out.put_u8(0),
        }
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.name(true).map(Self)
    }
}

/// Bytes of another message or text, `MIN` to `MAX` of them, behind a length of two bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Blob<'a, const MIN: usize, const MAX: usize>(pub &'a [u8]);

impl<const MIN: usize, const MAX: usize> fmt::Debug for Blob<'_, MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl<'a, const MIN: usize, const MAX: usize> Field<'a> for Blob<'a, MIN, MAX> {
    const SHAPE: Shape = Shape::Opaque { min: MIN, max: MAX };

    fn put(&self, out: &mut BytesMut) {
        put_opaque(self.0, out);
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.opaque(MIN, MAX).map(Self)
    }
}

/// Bytes of a longer text, at most `MAX` of them, behind a length of four bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a, const MAX: usize>(pub &'a [u8]);

impl<const MAX: usize> fmt::Debug for Payload<'_, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl<'a, const MAX: usize> Field<'a> for Payload<'a, MAX> {
    const SHAPE: Shape = Shape::Payload { max: MAX };

    fn put(&self, out: &mut BytesMut) {
        // What does not fit is far above every maximum: refused by each decoder, not misread.
        out.put_u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        out.put_slice(self.0);
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.payload(MAX).map(Self)
    }
}

/// All bytes to the end, at most `MAX`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rest<'a, const MAX: usize>(pub &'a [u8]);

impl<const MAX: usize> fmt::Debug for Rest<'_, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl<'a, const MAX: usize> Field<'a> for Rest<'a, MAX> {
    const SHAPE: Shape = Shape::Rest { max: MAX };

    fn put(&self, out: &mut BytesMut) {
        out.put_slice(self.0);
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.rest(MAX).map(Self)
    }
}

/// A structure behind its length, kept both as bytes (for digests) and decoded. What is encoded is the bytes: make it
/// with [`Nested::new`], so that both agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nested<'a, T, const MAX: usize> {
    /// The bytes of the inner value, without the length.
    pub bytes: Blob<'a, 0, MAX>,
    /// The inner value.
    pub value: T,
}

impl<'a, T: Field<'a>, const MAX: usize> Nested<'a, T, MAX> {
    /// Decodes `bytes`, the encoding of the inner value.
    ///
    /// # Errors
    /// As the inner value; [`DecodeError::Length`] above `MAX`.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX {
            return Err(DecodeError::Length);
        }
        Ok(Self { bytes: Blob(bytes), value: T::decode(bytes)? })
    }
}

impl<'a, T: Field<'a>, const MAX: usize> Field<'a> for Nested<'a, T, MAX> {
    const SHAPE: Shape = Shape::Nested { inner: &T::SHAPE, max: MAX };

    fn put(&self, out: &mut BytesMut) {
        self.bytes.put(out);
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::new(reader.opaque(0, MAX)?)
    }
}

/// A list: checked whole when it is decoded, read item by item afterwards, without allocation.
#[derive(Clone, Copy)]
pub struct List<'a, T, const MAX: usize, const RISING: bool = false>(Items<'a, T>);

#[derive(Clone, Copy)]
enum Items<'a, T> {
    /// Encoded and checked.
    Wire { count: usize, bytes: &'a [u8] },
    /// To be encoded.
    Slice(&'a [T]),
}

impl<'a, T: Field<'a> + Copy, const MAX: usize, const RISING: bool> List<'a, T, MAX, RISING> {
    /// The list of these items, to be encoded. It is the caller's duty that they are at most `MAX` and, where the
    /// declaration says so, rising: what breaks it is encoded all the same, and refused by each decoder.
    pub fn of(items: &'a [T]) -> Self {
        debug_assert!(items.len() <= MAX);
        Self(Items::Slice(items))
    }

    /// How many items.
    pub fn len(&self) -> usize {
        match self.0 {
            Items::Wire { count, .. } => count,
            Items::Slice(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T, MAX, RISING> {
        let (mut reader, slice) = match self.0 {
            Items::Wire { bytes, .. } => (Reader::new(bytes), &[][..]),
            Items::Slice(items) => (Reader::new(&[]), items),
        };
        let mut slice = slice.iter();
        // Decoding cannot fail here: `take` has checked each item.
        let items = core::iter::from_fn(move || slice.next().copied().or_else(|| T::take(&mut reader).ok()));
        items.take(self.len())
    }
}

impl<'a, T: Field<'a> + Copy + PartialEq, const MAX: usize, const RISING: bool> PartialEq for List<'a, T, MAX, RISING> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<'a, T: Field<'a> + Copy + Eq, const MAX: usize, const RISING: bool> Eq for List<'a, T, MAX, RISING> {}

impl<'a, T: Field<'a> + Copy + fmt::Debug, const MAX: usize, const RISING: bool> fmt::Debug
    for List<'a, T, MAX, RISING>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Field<'a> + Copy, const MAX: usize, const RISING: bool> Field<'a> for List<'a, T, MAX, RISING> {
    const SHAPE: Shape = Shape::List { item: &T::SHAPE, max: MAX, rising: RISING };

    fn put(&self, out: &mut BytesMut) {
        out.put_u32(u32::try_from(self.len()).unwrap_or(u32::MAX));
        match self.0 {
            Items::Wire { bytes, .. } => out.put_slice(bytes),
            Items::Slice(items) => items.iter().for_each(|item| item.put(out)),
        }
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = reader.count(MAX)?;
        let start = reader.position();
        let mut last = None;
        for _ in 0..count {
            if RISING {
                let key = { *reader }.u64()?;
                if last.is_some_and(|last| key <= last) {
                    return Err(DecodeError::Order);
                }
                last = Some(key);
            }
            T::take(reader)?;
        }
        Ok(Self(Items::Wire { count, bytes: reader.since(start) }))
    }
}
