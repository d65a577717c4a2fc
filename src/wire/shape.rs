//! What a declaration says, as data: [`Shape`]; and a concrete message taken apart by it: [`Value`].
//!
//! Whatever takes messages apart without knowing their meaning (charts, dissectors, adversaries, mutators, the layout
//! document) is built on these two, never on a second copy of the layout.

use alloc::vec::Vec;
use core::ops::Range;

use super::field::Reader;
use crate::error::DecodeError;
use crate::identity::NameRef;

/// The shape of a field: how it is written, and which values it has.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// One byte, from 0 to `max`.
    U8 {
        /// Largest value.
        max: u8,
    },
    /// Two bytes, big endian: a set. Each variant's code is the number of its bit, 0 the lowest; others are 0.
    Bits16 {
        /// The bits that stand for something.
        bits: &'static [VariantShape],
    },
    /// Four bytes, big endian.
    U32,
    /// Eight bytes, big endian.
    U64,
    /// So many bytes, without a length.
    Fixed(usize),
    /// A name: length in one byte, then 1–255 bytes of UTF-8 without control characters; or nothing where `optional`.
    Name {
        /// Whether the empty name ("none") is allowed.
        optional: bool,
    },
    /// Length in two bytes, then that many bytes.
    Opaque {
        /// Least length.
        min: usize,
        /// Greatest length.
        max: usize,
    },
    /// Length in four bytes, then that many bytes.
    Payload {
        /// Greatest length.
        max: usize,
    },
    /// All that is left, without a length: only as the last field of something that has one.
    Rest {
        /// Greatest length.
        max: usize,
    },
    /// The fields one after the other.
    Struct(&'static [FieldShape]),
    /// One byte that says which, then its fields.
    Choice(&'static [VariantShape]),
    /// Length in two bytes, then the inner value, which must fill it.
    Nested {
        /// What is inside.
        inner: &'static Shape,
        /// Greatest length.
        max: usize,
    },
    /// Count in four bytes, then that many items. Where `rising`, the first eight bytes of the items grow strictly.
    List {
        /// What each item is.
        item: &'static Shape,
        /// Greatest count.
        max: usize,
        /// Whether the items are ordered by their first eight bytes.
        rising: bool,
    },
}

/// A named field of a structure.
#[derive(Clone, Copy, Debug)]
pub struct FieldShape {
    /// Its name.
    pub name: &'static str,
    /// Its shape.
    pub shape: &'static Shape,
    /// What it means.
    pub doc: &'static str,
}

/// One alternative of a choice.
#[derive(Clone, Copy, Debug)]
pub struct VariantShape {
    /// Its code.
    pub code: u8,
    /// Its name.
    pub name: &'static str,
    /// What follows the code, if anything.
    pub shape: Option<&'static Shape>,
    /// What it means.
    pub doc: &'static str,
}

impl VariantShape {
    /// The bits that a set of these has.
    pub fn mask(bits: &[Self]) -> u16 {
        bits.iter().fold(0, |mask, bit| mask | 1u16.checked_shl(u32::from(bit.code)).unwrap_or(0))
    }
}

impl Shape {
    /// Length of the shortest encoding, in bytes.
    pub const fn min_len(&self) -> usize {
        match *self {
            Self::U8 { .. } => 1,
            Self::Bits16 { .. } => 2,
            Self::U32 => 4,
            Self::U64 => 8,
            Self::Fixed(length) => length,
            Self::Name { optional } => 1 + !optional as usize,
            Self::Opaque { min, .. } => 2 + min,
            Self::Payload { .. } | Self::List { .. } => 4,
            Self::Rest { .. } => 0,
            Self::Struct(mut fields) => {
                let mut sum = 0;
                while let [field, rest @ ..] = fields {
                    sum += field.shape.min_len();
                    fields = rest;
                }
                sum
            }
            Self::Choice(mut variants) => {
                let mut least = usize::MAX;
                while let [variant, rest @ ..] = variants {
                    let length = match variant.shape {
                        Some(shape) => 1 + shape.min_len(),
                        None => 1,
                    };
                    if length < least {
                        least = length;
                    }
                    variants = rest;
                }
                least
            }
            Self::Nested { inner, .. } => 2 + inner.min_len(),
        }
    }

    /// Length of the longest encoding, in bytes.
    pub const fn max_len(&self) -> usize {
        match *self {
            Self::U8 { .. } => 1,
            Self::Bits16 { .. } => 2,
            Self::U32 => 4,
            Self::U64 => 8,
            Self::Fixed(length) => length,
            Self::Name { .. } => 256,
            Self::Opaque { max, .. } => 2 + max,
            Self::Payload { max } => 4 + max,
            Self::Rest { max } => max,
            Self::Struct(mut fields) => {
                let mut sum = 0usize;
                while let [field, rest @ ..] = fields {
                    sum = sum.saturating_add(field.shape.max_len());
                    fields = rest;
                }
                sum
            }
            Self::Choice(mut variants) => {
                let mut most = 1;
                while let [variant, rest @ ..] = variants {
                    if let Some(shape) = variant.shape {
                        let length = shape.max_len().saturating_add(1);
                        if length > most {
                            most = length;
                        }
                    }
                    variants = rest;
                }
                most
            }
            Self::Nested { inner, max } => {
                let length = inner.max_len();
                2 + if length < max { length } else { max }
            }
            Self::List { item, max, .. } => item.max_len().saturating_mul(max).saturating_add(4),
        }
    }

    /// Whether the declaration makes sense: what makes each encoding the only one of its value, and bounds it. `last`
    /// tells whether nothing follows. Checked when the library is compiled, for each message. (Nesting is bounded because
    /// shapes are finite: a type that contained itself would have no constant shape, R41.)
    pub const fn is_sound(&self, last: bool) -> bool {
        match *self {
            Self::U8 { .. } | Self::U32 | Self::U64 | Self::Fixed(_) | Self::Name { .. } => true,
            Self::Bits16 { bits } => rising_codes(bits, 15),
            // 65535 is kept free: it is what `put_opaque` writes for what is too long.
            Self::Opaque { min, max } => min <= max && max < u16::MAX as usize,
            Self::Payload { max } => max < u32::MAX as usize,
            Self::Rest { .. } => last,
            Self::Struct(mut fields) => {
                while let [field, rest @ ..] = fields {
                    if !field.shape.is_sound(last && rest.is_empty()) {
                        return false;
                    }
                    fields = rest;
                }
                true
            }
            Self::Choice(mut variants) => {
                if variants.is_empty() || !rising_codes(variants, u8::MAX) {
                    return false;
                }
                while let [variant, rest @ ..] = variants {
                    if let Some(shape) = variant.shape
                        && !shape.is_sound(last)
                    {
                        return false;
                    }
                    variants = rest;
                }
                true
            }
            Self::Nested { inner, max } => inner.min_len() <= max && max < u16::MAX as usize && inner.is_sound(true),
            Self::List { item, max, rising } => {
                max < u32::MAX as usize
                    && item.min_len() > 0
                    && item.is_sound(false)
                    && (!rising || item.starts_with_u64())
            }
        }
    }

    const fn starts_with_u64(&self) -> bool {
        match *self {
            Self::U64 => true,
            Self::Struct([first, ..]) => first.shape.starts_with_u64(),
            _ => false,
        }
    }
}

const fn rising_codes(mut variants: &[VariantShape], max: u8) -> bool {
    let mut least = 0;
    while let [variant, rest @ ..] = variants {
        if (variant.code as u16) < least || variant.code > max {
            return false;
        }
        least = variant.code as u16 + 1;
        variants = rest;
    }
    true
}

/// A value of some shape, taken apart: which bytes of the message are which field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    /// The name of the field, or of the chosen alternative.
    pub name: &'static str,
    /// Where it stood in the bytes that were read.
    pub range: Range<usize>,
    /// What it is made of.
    pub content: Content,
}

/// What a [`Value`] is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Bytes as they stand on the wire, with their length in front if the shape has one.
    Leaf(Vec<u8>),
    /// The parts of a structure, or code and content of a choice.
    Parts(Vec<Value>),
    /// The inner value of a `Nested`.
    Nested(Vec<Value>),
    /// The items of a list.
    Items(Vec<Value>),
}

impl Value {
    /// Takes `bytes` apart, all of them, as a value of `shape`.
    ///
    /// # Errors
    /// [`DecodeError`] wherever the typed decoder would fail too.
    pub fn read(name: &'static str, shape: &Shape, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::take(name, shape, &mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    /// Takes a value of `shape` from the front of `reader`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn take(name: &'static str, shape: &Shape, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = reader.position();
        let content = take_content(shape, reader)?;
        Ok(Self { name, range: start..reader.position(), content })
    }

    /// Writes the value: the inverse of reading, with all lengths and counts made anew, so that a changed part gives a
    /// well-formed whole.
    pub fn write(&self, out: &mut Vec<u8>) {
        match &self.content {
            Content::Leaf(bytes) => out.extend_from_slice(bytes),
            Content::Parts(parts) => parts.iter().for_each(|part| part.write(out)),
            Content::Nested(parts) => {
                let mut inner = Vec::new();
                parts.iter().for_each(|part| part.write(&mut inner));
                out.extend_from_slice(&u16::try_from(inner.len()).unwrap_or(u16::MAX).to_be_bytes());
                out.extend_from_slice(&inner);
            }
            Content::Items(items) => {
                out.extend_from_slice(&u32::try_from(items.len()).unwrap_or(u32::MAX).to_be_bytes());
                items.iter().for_each(|item| item.write(out));
            }
        }
    }

    /// The value as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Calls `visit` for this value and everything inside it, outermost first, with the depth.
    pub fn walk<'v>(&'v self, depth: usize, visit: &mut dyn FnMut(usize, &'v Self)) {
        visit(depth, self);
        for part in self.parts() {
            part.walk(depth + 1, visit);
        }
    }

    /// The values directly inside this one.
    pub fn parts(&self) -> &[Self] {
        match &self.content {
            Content::Leaf(_) => &[],
            Content::Parts(parts) | Content::Nested(parts) | Content::Items(parts) => parts,
        }
    }

    /// The part of that name, at any depth, outermost first.
    pub fn find(&self, name: &str) -> Option<&Self> {
        self.parts()
            .iter()
            .find(|part| part.name == name)
            .or_else(|| self.parts().iter().find_map(|part| part.find(name)))
    }

    /// As [`Self::find`], to change it.
    pub fn find_mut(&mut self, name: &str) -> Option<&mut Self> {
        let parts = match &mut self.content {
            Content::Leaf(_) => return None,
            Content::Parts(parts) | Content::Nested(parts) | Content::Items(parts) => parts,
        };
        match parts.iter().position(|part| part.name == name) {
            Some(at) => parts.get_mut(at),
            None => parts.iter_mut().find_map(|part| part.find_mut(name)),
        }
    }
}

fn take_content(shape: &Shape, reader: &mut Reader<'_>) -> Result<Content, DecodeError> {
    let start = reader.position();
    match *shape {
        Shape::U8 { max } => {
            if reader.u8()? > max {
                return Err(DecodeError::Value);
            }
        }
        Shape::Bits16 { bits } => {
            if reader.u16()? & !VariantShape::mask(bits) != 0 {
                return Err(DecodeError::Value);
            }
        }
        Shape::U32 => drop(reader.u32()?),
        Shape::U64 => drop(reader.u64()?),
        Shape::Fixed(length) => drop(reader.bytes(length)?),
        Shape::Name { optional } => drop(reader.name(optional)?.map(NameRef::as_str)),
        Shape::Opaque { min, max } => drop(reader.opaque(min, max)?),
        Shape::Payload { max } => drop(reader.payload(max)?),
        Shape::Rest { max } => drop(reader.rest(max)?),
        Shape::Struct(fields) => {
            let parts = fields.iter().map(|field| Value::take(field.name, field.shape, reader));
            return parts.collect::<Result<_, _>>().map(Content::Parts);
        }
        Shape::Choice(variants) => {
            let code = reader.u8()?;
            let variant = variants.iter().find(|variant| variant.code == code).ok_or(DecodeError::Value)?;
            let head = Value { name: "code", range: start..start + 1, content: Content::Leaf([code].to_vec()) };
            let body = variant.shape.map(|shape| Value::take(variant.name, shape, reader)).transpose()?;
            return Ok(Content::Parts(core::iter::once(head).chain(body).collect()));
        }
        Shape::Nested { inner, max } => {
            let mut within = reader.nested(max)?;
            let value = Value::take("content", inner, &mut within)?;
            within.finish()?;
            return Ok(Content::Nested([value].to_vec()));
        }
        Shape::List { item, max, rising } => {
            let count = reader.count(max)?;
            let mut items = Vec::new();
            let mut last = None;
            for _ in 0..count {
                if rising {
                    let key = { *reader }.u64()?;
                    if last.is_some_and(|last| key <= last) {
                        return Err(DecodeError::Order);
                    }
                    last = Some(key);
                }
                items.push(Value::take("item", item, reader)?);
            }
            return Ok(Content::Items(items));
        }
    }
    Ok(Content::Leaf(reader.since(start).to_vec()))
}
