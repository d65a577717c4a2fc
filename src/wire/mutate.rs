//! Values of any shape from a random source, and mutants of values and bytes. Deterministic: the same source gives the
//! same mutants. Also [`exercise_decoders`], the harness that holds the typed decoders against the declarations.
//!
//! A source is a function that gives one number a call. Numbers near 0 lead to small values, a source of zeros to the
//! smallest: that is how a failing case shrinks.

use alloc::string::String;
use alloc::vec::Vec;

use super::TABLES;
use super::field::{Field, to_vec};
use super::frame::{Guard, HEADER_BYTES, MessageInfo};
use super::policy::PolicyForm;
use super::published::{ConfirmText, DataText, KeyText, PairText, RemovalText, ReplyText, StrongText, TargetText};
use super::shape::{Content, Shape, Value, VariantShape};
use super::shared::Change;
use super::transfer::{ObjectMessage, Saved};
use crate::error::DecodeError;
use crate::identity::MAX_NAME;

/// A source of numbers.
pub type Random<'r> = &'r mut dyn FnMut() -> u64;

/// Longest byte string that is made often, in bytes; the longest that a shape allows is made now and then.
const OFTEN: usize = 4096;

/// How often [`change_leaf`] tries.
const TRIES: usize = 48;

/// The next number of a small generator (an additive counter through a mixing function).
pub fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number below `bound`, or 0.
fn below(bound: usize, random: Random<'_>) -> usize {
    (random() % (bound as u64).max(1)) as usize
}

/// A valid encoding of `shape` of at most `budget` bytes (but never less than the shortest): extremes often.
pub fn arbitrary(shape: &Shape, budget: usize, random: Random<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    fill(shape, budget, random, &mut out);
    out
}

/// As [`arbitrary`], taken apart.
///
/// # Errors
/// Those of [`Value::read`]: only if this module is wrong.
pub fn arbitrary_value(name: &'static str, shape: &Shape, random: Random<'_>) -> Result<Value, DecodeError> {
    Value::read(name, shape, &arbitrary(shape, usize::MAX, random))
}

fn fill(shape: &Shape, budget: usize, random: Random<'_>, out: &mut Vec<u8>) {
    match *shape {
        Shape::U8 { max } => {
            let draw = random();
            out.push(match draw % 4 {
                0 => 0,
                1 => max,
                _ => ((draw >> 8) % (u64::from(max) + 1)) as u8,
            });
        }
        Shape::Bits16 { bits } => out.extend(((random() as u16) & VariantShape::mask(bits)).to_be_bytes()),
        Shape::U32 => out.extend((number(random) as u32).to_be_bytes()),
        Shape::U64 => out.extend(number(random).to_be_bytes()),
        Shape::Fixed(length) => noise(length, random, out),
        Shape::Name { optional } => {
            let length = length(usize::from(!optional), MAX_NAME.min(budget.saturating_sub(1)), random);
            name(length, random, out);
        }
        Shape::Opaque { min, max } => {
            let length = length(min, max.min(budget.saturating_sub(2)), random);
            out.extend((length as u16).to_be_bytes());
            noise(length, random, out);
        }
        Shape::Payload { max } => {
            let length = length(0, max.min(budget.saturating_sub(4)), random);
            out.extend((length as u32).to_be_bytes());
            noise(length, random, out);
        }
        Shape::Rest { max } => {
            let length = length(0, max.min(budget), random);
            noise(length, random, out);
        }
        Shape::Struct(fields) => {
            let end = out.len().saturating_add(budget);
            let mut later = shape.min_len();
            for field in fields {
                later -= field.shape.min_len();
                fill(field.shape, end.saturating_sub(out.len()).saturating_sub(later), random, out);
            }
        }
        Shape::Choice(variants) => {
            let fits = |variant: &&VariantShape| variant.shape.map_or(0, Shape::min_len) < budget;
            let fitting: Vec<_> = variants.iter().filter(fits).collect();
            if let Some(variant) = fitting.get(below(fitting.len(), random)).copied().or(variants.first()) {
                out.push(variant.code);
                if let Some(inner) = variant.shape {
                    fill(inner, budget.saturating_sub(1), random, out);
                }
            }
        }
        Shape::Nested { inner, max } => {
            let start = out.len();
            out.extend([0; 2]);
            fill(inner, max.min(budget.saturating_sub(2)), random, out);
            let length = (out.len() - start - 2) as u16;
            if let Some(place) = out.get_mut(start..start + 2) {
                place.copy_from_slice(&length.to_be_bytes());
            }
        }
        Shape::List { item, max, rising } => list(item, max, rising, budget, random, out),
    }
}

fn list(item: &Shape, max: usize, rising: bool, budget: usize, random: Random<'_>, out: &mut Vec<u8>) {
    let draw = random();
    let wanted = match draw % 8 {
        0 => 0,
        1 => 1,
        2 if (draw >> 8).is_multiple_of(64) => max,
        _ => (draw >> 8) as usize % max.min(12).saturating_add(1),
    };
    let start = out.len();
    let end = start.saturating_add(budget);
    out.extend([0; 4]);
    let (mut count, mut least) = (0u32, 0u64);
    for left in (0..wanted as u64).rev() {
        let room = end.saturating_sub(out.len());
        if room < item.min_len() {
            break;
        }
        let at = out.len();
        fill(item, room, random, out);
        if rising {
            // Leave a number for each item to come.
            let space = (u64::MAX - least).saturating_sub(left);
            let draw = random();
            let gap = match draw % 4 {
                0 => 0,
                1 => space / (left + 1),
                _ => (draw >> 8) % 1000.min(space).saturating_add(1),
            };
            let key = least.saturating_add(gap);
            if let Some(place) = out.get_mut(at..at + 8) {
                place.copy_from_slice(&key.to_be_bytes());
            }
            least = key.saturating_add(1);
        }
        count += 1;
    }
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&count.to_be_bytes());
    }
}

fn number(random: Random<'_>) -> u64 {
    let draw = random();
    match draw % 8 {
        0 => 0,
        1 => u64::MAX,
        2 => u64::from(u32::MAX) + ((draw >> 8) & 1),
        3..=5 => (draw >> 8) % 1000,
        _ => random(),
    }
}

fn length(min: usize, max: usize, random: Random<'_>) -> usize {
    let draw = random();
    let span = max.saturating_sub(min);
    min + match draw % 8 {
        0 => 0,
        1 if span <= OFTEN || (draw >> 8).is_multiple_of(64) => span,
        2 => 1.min(span),
        _ => (draw >> 8) as usize % span.min(48).saturating_add(1),
    }
}

fn noise(length: usize, random: Random<'_>, out: &mut Vec<u8>) {
    let mut state = if length == 0 { 0 } else { random() };
    match state % 8 {
        0 => out.resize(out.len() + length, 0),
        1 => out.resize(out.len() + length, 0xff),
        _ => out.extend((0..length).map(|_| mix(&mut state) as u8)),
    }
}

/// Appends a name of exactly `length` bytes, of letters and of longer characters where they fit.
fn name(length: usize, random: Random<'_>, out: &mut Vec<u8>) {
    const CHARACTERS: [char; 10] = ['a', 'Z', '7', ' ', '/', 'é', '\u{a0}', '漢', '\u{feff}', '\u{10ffff}'];
    let mut state = if length == 0 { 0 } else { random() };
    let plain = state == 0;
    out.push(length as u8);
    let end = out.len() + length;
    while out.len() < end {
        let wanted = if plain { 0 } else { mix(&mut state) as usize % CHARACTERS.len() };
        let fits = |character: &char| character.len_utf8() <= end - out.len();
        let character = CHARACTERS.get(wanted).copied().filter(fits).unwrap_or('a');
        out.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// A leaf: something that can change by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// Where it is: at each level the index among [`Value::parts`].
    pub path: Vec<usize>,
    /// Its name, with those around it: `common.delta.Changes.changes.0.Add.cid`.
    pub name: String,
}

/// All leaves of `value` in the order of the bytes. The code of a choice is one of them.
pub fn leaves(value: &Value) -> Vec<Leaf> {
    let mut all = Vec::new();
    gather(value, &mut Vec::new(), &mut String::new(), &mut all);
    all
}

fn gather(value: &Value, path: &mut Vec<usize>, name: &mut String, all: &mut Vec<Leaf>) {
    if matches!(value.content, Content::Leaf(_)) {
        all.push(Leaf { path: path.clone(), name: name.clone() });
    }
    for (index, part) in value.parts().iter().enumerate() {
        let length = name.len();
        path.push(index);
        if !matches!(value.content, Content::Nested(_)) {
            if length > 0 {
                name.push('.');
            }
            match value.content {
                Content::Items(_) => name.push_str(&alloc::format!("{index}")),
                _ => name.push_str(part.name),
            }
        }
        gather(part, path, name, all);
        name.truncate(length);
        path.pop();
    }
}

/// The shape of the part of `value`, of `shape`, with that index; `None` for the code of a choice.
pub fn part_shape(value: &Value, shape: &'static Shape, index: usize) -> Option<&'static Shape> {
    match *shape {
        Shape::Struct(fields) => fields.get(index).map(|field| field.shape),
        Shape::Choice(variants) if index > 0 => {
            let code = chosen(value)?;
            variants.iter().find(|variant| variant.code == code)?.shape
        }
        Shape::Nested { inner, .. } => Some(inner),
        Shape::List { item, .. } => Some(item),
        _ => None,
    }
}

/// The code that a choice begins with.
pub fn chosen(value: &Value) -> Option<u8> {
    match &value.parts().first()?.content {
        Content::Leaf(bytes) => bytes.first().copied(),
        _ => None,
    }
}

/// `value`, of `shape`, with the leaf at `path` changed to another valid encoding, lengths and counts around it made anew.
/// Where the leaf is the code of a choice, another alternative is chosen, with content of its own unless the old one has
/// the same shape. `None` if there is no other encoding (a choice of one, say), or none was found.
pub fn change_leaf(value: &Value, path: &[usize], shape: &'static Shape, random: Random<'_>) -> Option<Value> {
    let before = value.to_bytes();
    (0..TRIES).find_map(|_| {
        let mut changed = value.clone();
        change(&mut changed, path, shape, random)?;
        let after = changed.to_bytes();
        // Reading anew refuses what breaks a limit or an order further out.
        Value::read(value.name, shape, &after).ok().filter(|_| after != before)
    })
}

fn change(value: &mut Value, path: &[usize], shape: &'static Shape, random: Random<'_>) -> Option<()> {
    let Some((&index, deeper)) = path.split_first() else {
        let Content::Leaf(bytes) = &mut value.content else { return None };
        let new = another(bytes, shape, random);
        // Valid by itself: else a changed length would swallow what follows.
        Value::read(value.name, shape, &new).ok()?;
        *bytes = new;
        return Some(());
    };
    if let (Shape::Choice(variants), 0) = (shape, index) {
        let old = chosen(value)?;
        let others: Vec<_> = variants.iter().filter(|variant| variant.code != old).collect();
        let variant = others.get(below(others.len(), random))?;
        let mut bytes = [variant.code].to_vec();
        let kept = part_shape(value, shape, 1);
        match variant.shape {
            Some(inner) if kept.is_some_and(|kept| core::ptr::eq(kept, inner)) => {
                value.parts().get(1)?.write(&mut bytes)
            }
            Some(inner) => fill(inner, OFTEN, random, &mut bytes),
            None => {}
        }
        *value = Value::read(value.name, shape, &bytes).ok()?;
        return Some(());
    }
    let inner = part_shape(value, shape, index)?;
    match &mut value.content {
        Content::Leaf(_) => None,
        Content::Parts(parts) | Content::Nested(parts) | Content::Items(parts) => {
            change(parts.get_mut(index)?, deeper, inner, random)
        }
    }
}

/// Another encoding of a leaf: a neighbour, a bit turned, or any.
fn another(bytes: &[u8], shape: &Shape, random: Random<'_>) -> Vec<u8> {
    let mut new = bytes.to_vec();
    match random() % 4 {
        0 => step(&mut new, 1),
        1 => step(&mut new, u8::MAX),
        2 => flip(&mut new, random),
        _ => new = arbitrary(shape, usize::MAX, random),
    }
    new
}

/// Adds 1, or takes 1 away, as if `bytes` were one big-endian number.
fn step(bytes: &mut [u8], by: u8) {
    for byte in bytes.iter_mut().rev() {
        let old = *byte;
        *byte = old.wrapping_add(by);
        if (by == 1 && old != u8::MAX) || (by != 1 && old != 0) {
            return;
        }
    }
}

/// Turns one bit.
pub fn flip(bytes: &mut [u8], random: Random<'_>) {
    let at = below(bytes.len(), random);
    let bit = random() % 8;
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

/// Cuts off at least one byte.
pub fn truncate(bytes: &mut Vec<u8>, random: Random<'_>) {
    let length = below(bytes.len(), random);
    bytes.truncate(length);
}

/// Appends 1 to 16 bytes.
pub fn extend(bytes: &mut Vec<u8>, random: Random<'_>) {
    let more = 1 + below(16, random);
    noise(more, random, bytes);
}

/// The front of `one` followed by the back of `other`.
pub fn splice(one: &[u8], other: &[u8], random: Random<'_>) -> Vec<u8> {
    let front = one.get(..below(one.len() + 1, random)).unwrap_or_default();
    let back = other.get(below(other.len() + 1, random)..).unwrap_or_default();
    [front, back].concat()
}

/// Any of the above on one frame, `other` being what to splice with.
pub fn mutate(bytes: &[u8], other: &[u8], random: Random<'_>) -> Vec<u8> {
    let mut new = bytes.to_vec();
    match random() % 8 {
        0 => truncate(&mut new, random),
        1 => extend(&mut new, random),
        2 => new = splice(bytes, other, random),
        3 => {
            let at = below(new.len(), random);
            // A length field that claims the utmost.
            if let Some(place) = new.get_mut(at..at + 4) {
                place.fill(0xff);
            }
        }
        _ => (0..=random() % 3).for_each(|_| flip(&mut new, random)),
    }
    new
}

/// Takes `bytes` as every message and every opened text in turn, and holds the typed decoder against the declaration:
/// both must agree on the verdict and on every position, and whatever is accepted must be encoded to the same bytes.
/// Returns how many of the decoders accepted. For fuzzing and for property tests.
///
/// # Panics
/// If one of these is violated.
pub fn exercise_decoders(bytes: &[u8]) -> usize {
    TABLES
        .into_iter()
        .flatten()
        .map(|info| usize::from(exercise_frame(info, bytes)) + usize::from(exercise_body(info, bytes)))
        .sum::<usize>()
        + STRUCTURES.iter().map(|structure| usize::from((structure.exercise)(bytes))).sum::<usize>()
}

/// A structure that is no message: what travels inside opaque fields and payloads, is sealed, hashed or stored.
#[derive(Clone, Copy, Debug)]
pub struct StructureInfo {
    /// Its name in the code.
    pub name: &'static str,
    /// Its fields.
    pub shape: &'static Shape,
    /// [`exercise_structure`] for it.
    pub exercise: fn(&[u8]) -> bool,
}

macro_rules! structures {
    ($($name:ident $(<$lt:lifetime>)?,)*) => {
        &[$(StructureInfo {
            name: stringify!($name),
            shape: &<$name $(<$lt>)? as Field<'_>>::SHAPE,
            exercise: {
                #[allow(clippy::extra_unused_lifetimes, single_use_lifetimes)]
                fn exercise<'a>(bytes: &'a [u8]) -> bool {
                    exercise_structure::<'a, $name $(<$lt>)?>(bytes)
                }
                exercise
            },
        },)*]
    };
}

/// Every structure that is no message and no part of one.
pub const STRUCTURES: &[StructureInfo] = structures! {
    Change<'_>,
    PolicyForm<'_>,
    ObjectMessage<'_>,
    Saved<'_>,
    PairText<'_>,
    StrongText<'_>,
    ReplyText<'_>,
    ConfirmText<'_>,
    KeyText<'_>,
    RemovalText<'_>,
    TargetText<'_>,
    DataText<'_>,
};

/// As [`exercise_frame`], for what travels inside opaque fields and payloads, or is stored.
///
/// # Panics
/// As [`exercise_decoders`].
pub fn exercise_structure<'a, T: Field<'a>>(bytes: &'a [u8]) -> bool {
    let (typed, taken) = match (T::decode(bytes), Value::read("value", &T::SHAPE, bytes)) {
        (Ok(typed), Ok(taken)) => (typed, taken),
        (typed, taken) => {
            assert_eq!(typed.is_ok(), taken.is_ok(), "typed decoder and declaration disagree");
            return false;
        }
    };
    assert_eq!(to_vec(&typed), bytes, "accepted, but encoded otherwise");
    assert_eq!(taken.to_bytes(), bytes, "taken apart, but put together otherwise");
    true
}

/// As [`exercise_decoders`], for frames of one message; the header is not looked at. Returns whether it was accepted.
///
/// # Panics
/// As [`exercise_decoders`].
pub fn exercise_frame(info: &MessageInfo, bytes: &[u8]) -> bool {
    let (typed, taken) = match ((info.typed.frame)(bytes), info.dissect(bytes)) {
        (Err(typed), Err(taken)) => {
            assert_eq!(typed, taken, "{}: refused for different reasons", info.id);
            return false;
        }
        (Ok(typed), Ok(taken)) => (typed, taken),
        (typed, taken) => {
            assert_eq!(typed.err(), taken.err(), "{}: typed decoder and declaration disagree", info.id);
            return false;
        }
    };
    let clear = bytes.get(HEADER_BYTES..typed.end);
    assert_eq!(Some(&*typed.clear), clear, "{}: accepted, but encoded otherwise", info.id);
    assert_eq!(taken.clear.range, HEADER_BYTES..typed.end, "{}", info.id);
    assert_eq!(Some(&*taken.clear.to_bytes()), clear, "{}: taken apart, but put together otherwise", info.id);
    assert_eq!(typed.text, taken.text, "{}", info.id);
    if info.guard == Guard::Signed {
        assert_eq!((typed.end + 2..bytes.len(), typed.tag.is_empty()), (taken.tag, true), "{}", info.id);
    } else {
        assert_eq!(bytes.get(taken.tag), Some(typed.tag.as_bytes()), "{}", info.id);
    }
    assert!(bytes.len() <= info.max_len(), "{}: longer than its longest", info.id);
    true
}

/// As [`exercise_frame`], for opened texts.
///
/// # Panics
/// As [`exercise_decoders`].
pub fn exercise_body(info: &MessageInfo, bytes: &[u8]) -> bool {
    let (Some(shape), Some(typed)) = (info.body, info.typed.body) else { return false };
    let (typed, taken) = match (typed(bytes), Value::read("text", shape, bytes)) {
        (Err(typed), Err(taken)) => {
            assert_eq!(typed, taken, "{}: refused for different reasons", info.id);
            return false;
        }
        (Ok(typed), Ok(taken)) => (typed, taken),
        (typed, taken) => {
            assert_eq!(typed.err(), taken.err(), "{}: typed decoder and declaration disagree", info.id);
            return false;
        }
    };
    assert_eq!(typed, bytes, "{}: accepted, but encoded otherwise", info.id);
    assert_eq!(taken.to_bytes(), bytes, "{}: taken apart, but put together otherwise", info.id);
    assert!(bytes.len() <= shape.max_len(), "{}: longer than its longest", info.id);
    true
}
