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
    /// Two bytes, big endian; only the bits of `mask` may be set.
    Bits16 {
        /// The bits that stand for something.
        mask: u16,
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
        Shape::Bits16 { mask } => {
            if reader.u16()? & !mask != 0 {
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
                let before = *reader;
                items.push(Value::take("item", item, reader)?);
                if rising {
                    let key = { before }.u64()?;
                    if last.is_some_and(|last| key <= last) {
                        return Err(DecodeError::Order);
                    }
                    last = Some(key);
                }
            }
            return Ok(Content::Items(items));
        }
    }
    Ok(Content::Leaf(reader.since(start).to_vec()))
}
