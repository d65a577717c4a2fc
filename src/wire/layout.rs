//! The layout document: all that another implementation of the format needs, written from the declarations. A test
//! compares it with `docs/wire-layout.md`, `docs/wire-layout-enclaves.md` and `docs/wire-layout-published.md`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::WIRE_VERSION;
use super::field::Signature;
use super::frame::{Guard, HEADER_BYTES, Header, MAX_TEXT, MessageInfo};
use super::mutate::{chosen, part_shape};
use super::shape::{Content, Shape, Value, VariantShape};
use crate::crypto::SuiteId;
use crate::error::DecodeError;

/// Bytes in one line of a dump.
const LINE: usize = 16;
/// Lines of one field in a dump before the rest is left out.
const LINES: usize = 6;

/// A frame to show, taken from a run.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The id of its message.
    pub id: &'static str,
    /// The frame.
    pub frame: Vec<u8>,
    /// Its text, opened, if it has a box.
    pub opened: Option<Vec<u8>>,
}

/// A structure that travels inside opaque fields, or is hashed: it needs a table too.
#[derive(Clone, Debug)]
pub struct Structure {
    /// Its name, and where it stands.
    pub title: &'static str,
    /// Its fields.
    pub shape: &'static Shape,
    /// Values of it to show, taken from a run.
    pub samples: Vec<Vec<u8>>,
}

/// Messages and structures that belong together, in a document about several.
#[derive(Clone, Debug)]
pub struct Section<'d> {
    /// What they are.
    pub title: &'d str,
    /// What holds for all of them.
    pub text: &'d str,
    /// The messages.
    pub messages: &'d [&'static MessageInfo],
    /// The structures.
    pub structures: &'d [Structure],
}

/// The whole document. `source` says in a sentence where the frames come from.
///
/// # Errors
/// [`DecodeError`] if a recorded frame, its text or a sample is not what it claims to be.
pub fn render(
    messages: &[&'static MessageInfo],
    structures: &[Structure],
    source: &str,
    recorded: &[Recorded],
) -> Result<String, DecodeError> {
    let mut out = String::new();
    introduction(&mut out);
    summary(messages, &mut out);
    all(messages, structures, source, recorded, &mut out)?;
    Ok(out)
}

/// A document beside [`render`]'s, whose rules hold here too: sections of messages and structures. A message without a
/// recorded frame is shown without one.
///
/// # Errors
/// As [`render`].
pub fn render_sections(
    introduction: &str,
    sections: &[Section<'_>],
    source: &str,
    recorded: &[Recorded],
) -> Result<String, DecodeError> {
    let mut out = introduction.to_string();
    for section in sections {
        out.push_str(&format!("\n# {}\n\n{}\n", section.title, section.text));
        if !section.messages.is_empty() {
            summary(section.messages, &mut out);
        }
        all(section.messages, section.structures, source, recorded, &mut out)?;
    }
    Ok(out)
}

fn all(
    messages: &[&'static MessageInfo],
    structures: &[Structure],
    source: &str,
    recorded: &[Recorded],
    out: &mut String,
) -> Result<(), DecodeError> {
    for info in messages {
        message(info, out);
        for record in recorded.iter().filter(|record| record.id == info.id) {
            out.push_str(&format!("\n**A frame.** {source}\n\n```text\n"));
            out.push_str(&dump(info, record)?);
            out.push_str("```\n");
        }
    }
    for structure in structures {
        out.push_str(&format!("\n## {}\n\nAt most {} bytes.\n\n", structure.title, structure.shape.max_len()));
        table(structure.shape, "value", usize::MAX, out);
        for sample in &structure.samples {
            let value = Value::read("value", structure.shape, sample)?;
            out.push_str(&format!("\n**A value**, of {} bytes.\n\n```text\n", sample.len()));
            let root = if matches!(structure.shape, Shape::Struct(_)) { "" } else { "value" };
            field(&value, structure.shape, root, sample, out);
            out.push_str("```\n");
        }
    }
    Ok(())
}

fn introduction(out: &mut String) {
    out.push_str(&format!(
        "\
# Wire layout

<!-- Generated from the declarations in src/wire. After a change: SODALITY_UPDATE=1 cargo test --test wire_layout -->

This document is enough to write and read the format in another language. It says what the bytes are; what they mean and
which keys guard them is the protocol's business. The messages of repaired Enclaves are in
[wire-layout-enclaves.md](wire-layout-enclaves.md), those of all that is as published, and those that repaired parts send
beside it, in [wire-layout-published.md](wire-layout-published.md).

## Rules

* A frame is a byte string of known length: the link below keeps frames apart.
* Numbers are unsigned, big endian.
* Fields stand one after the other in the order of the tables, without names, alignment or padding.
* Every value has exactly one encoding. A decoder refuses whatever it would not have written itself: a length, a count or
  a number outside its limits, a list out of order, a name that breaks the rules below, and any byte after the last field.
* A decoder checks each length and count against its limit before it uses it, and against the bytes that are left before
  it reads. It allocates nothing by a claimed length.
* Greatest lengths below are those of the format. Links and policies set lower ones.

## Header

Each frame begins with {HEADER_BYTES} bytes:

| byte | what | values |
| --- | --- | --- |
| 0 | version of the format | {WIRE_VERSION} |
| 1 | system | 1 Antigone, 2 Enclaves, 3 Enclaves 1.0 |
| 2 | edition of the part that the message belongs to | 1 as published, 2 repaired |
| 3 | suite of that part | {} AES-128-GCM, {} AES-256-GCM, {} ChaCha20-Poly1305, each with SHA-256, Ed25519 and X25519; {} DES, MD5 and RSA, as published only |
| 4 | message type | the codes below |

Both sides are configured with the first four; nothing is negotiated. A frame with another value is dropped without an
answer.

## Guards

After the header come the message's clear fields, then what its guard adds:

| guard | what follows the clear fields | what it covers |
| --- | --- | --- |
| Open | nothing | nothing: the parts guard themselves |
| Tagged | tag | header and clear fields |
| Signed | signature | a label of the message's own, then header and clear fields |
| Boxed | length of the text (4 bytes), the sealed text, tag | the text; header and clear fields as associated data |

*Tag* is a length (2 bytes) from 0 to 32, then that many bytes; *signature* the same, up to {}. The suite says how long
both are. Sealing keeps the length of the text. A text has at most {MAX_TEXT} bytes, and at most as many as its longest
encoding.

## Encodings

| encoding | bytes |
| --- | --- |
| `u8` | one byte; where a limit is given, values above it are refused. A yes or no is 1 or 0 |
| `set16` | two bytes; bit *n* (0 the lowest) stands for the entry with code *n*; bits that stand for nothing must be 0 |
| `u32`, `u64` | four bytes, eight bytes |
| `bytes[n]` | *n* bytes without a length |
| `name` | length in one byte, then 1 to 255 bytes of UTF-8 (shortest form, no surrogates) without control characters (U+0000–U+001F, U+007F–U+009F). Compared byte for byte. *Or none*: the length 0 stands for no name |
| `opaque[a..b]` | length in two bytes, from *a* to *b*, then that many bytes |
| `payload[..b]` | length in four bytes, at most *b*, then that many bytes |
| `rest[..b]` | all bytes that are left, at most *b*, without a length |
| `choice` | one byte, the code; then the fields of that alternative. Codes that are not listed are refused |
| `nested[..b]` | length in two bytes, at most *b*; then the fields inside, which must fill it |
| `list[..n]` | count in four bytes, at most *n*; then that many items. *Rising*: the first eight bytes of the items, as numbers, grow strictly |

In the tables a dot goes into a structure, `[]` into the items of a list, and `=` precedes an alternative of a choice.
*Bytes* is the length of the whole field, lengths and counts included, as far as what surrounds it leaves room.
",
        SuiteId::AES_128_GCM.0,
        SuiteId::AES_256_GCM.0,
        SuiteId::CHACHA20_POLY1305.0,
        SuiteId::DES_MD5_RSA.0,
        Signature::MAX,
    ));
}

fn summary(messages: &[&'static MessageInfo], out: &mut String) {
    out.push_str("\n## Messages\n\n| id | type | name | from → to | guard | system, edition | longest frame |\n");
    out.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    for info in messages {
        out.push_str(&format!(
            "| {} | 0x{:02x} | {} | {} → {} | {:?} | {:?}, {:?} | {} |\n",
            info.id,
            info.code,
            info.name,
            info.direction.from,
            info.direction.to,
            info.guard,
            info.system,
            info.edition,
            info.max_len(),
        ));
    }
}

fn message(info: &MessageInfo, out: &mut String) {
    out.push_str(&format!("\n## {}: {}\n\n{}\n\n", info.id, info.name, info.doc.trim()));
    out.push_str(&format!(
        "Type 0x{:02x}, {} → {}, {:?}. At most {} bytes.\n\nClear fields:\n\n",
        info.code,
        info.direction.from,
        info.direction.to,
        info.guard,
        info.max_len(),
    ));
    table(info.clear, "clear", usize::MAX, out);
    if let Some(body) = info.body {
        out.push_str(&format!("\nText, at most {} bytes:\n\n", info.max_text()));
        table(body, "text", info.max_text(), out);
    }
}

/// What fields stand in: their path, and how many bytes there is room for.
#[derive(Clone, Copy)]
struct Place<'p> {
    path: &'p str,
    room: usize,
}

/// The table of one shape; `root` names it where it is not a structure.
fn table(shape: &Shape, root: &str, room: usize, out: &mut String) {
    out.push_str("| field | encoding | bytes | meaning |\n| --- | --- | --- | --- |\n");
    match *shape {
        Shape::Struct(_) => inside(shape, Place { path: "", room }, out),
        _ => row(shape, Place { path: root, room }, "All of it.", out),
    }
}

/// The row of a field, then those of what is inside it.
fn row(shape: &Shape, place: Place<'_>, doc: &str, out: &mut String) {
    let bytes = span(shape.min_len(), shape.max_len().min(place.room));
    let doc = match *shape {
        Shape::Bits16 { bits } => format!("{} {}", doc.trim(), codes(bits)),
        _ => doc.trim().to_string(),
    };
    out.push_str(&format!("| {} | {} | {bytes} | {doc} |\n", place.path, encoding(shape)));
    inside(shape, place, out);
}

fn inside(shape: &Shape, Place { path, room }: Place<'_>, out: &mut String) {
    match *shape {
        Shape::Struct(fields) => {
            for field in fields {
                let path = if path.is_empty() { field.name.to_string() } else { format!("{path}.{}", field.name) };
                let others = shape.min_len() - field.shape.min_len();
                row(field.shape, Place { path: &path, room: room.saturating_sub(others) }, field.doc, out);
            }
        }
        Shape::Choice(variants) => {
            for variant in variants {
                let path = format!("{path}={}", variant.name);
                let (least, most) = variant.shape.map_or((0, 0), |shape| (shape.min_len(), shape.max_len()));
                let bytes = span(least + 1, most.saturating_add(1).min(room));
                let then = variant.shape.map_or(String::new(), |shape| format!(", then {}", encoding(shape)));
                let (code, doc) = (variant.code, variant.doc.trim());
                out.push_str(&format!("| {path} | code {code}{then} | {bytes} | {doc} |\n"));
                if let Some(shape) = variant.shape {
                    inside(shape, Place { path: &path, room: room.saturating_sub(1) }, out);
                }
            }
        }
        Shape::Nested { inner, max } => inside(inner, Place { path, room: max.min(room.saturating_sub(2)) }, out),
        Shape::List { item, .. } => {
            inside(item, Place { path: &format!("{path}[]"), room: room.saturating_sub(4) }, out);
        }
        _ => {}
    }
}

fn span(least: usize, most: usize) -> String {
    if least == most { least.to_string() } else { format!("{least}–{most}") }
}

fn codes(variants: &[VariantShape]) -> String {
    let all: Vec<_> = variants.iter().map(|variant| format!("{} {}", variant.code, variant.name)).collect();
    format!("Bits: {}.", all.join(", "))
}

fn encoding(shape: &Shape) -> String {
    match *shape {
        Shape::U8 { max: u8::MAX } => "`u8`".to_string(),
        Shape::U8 { max } => format!("`u8`, at most {max}"),
        Shape::Bits16 { .. } => "`set16`".to_string(),
        Shape::U32 => "`u32`".to_string(),
        Shape::U64 => "`u64`".to_string(),
        Shape::Fixed(length) => format!("`bytes[{length}]`"),
        Shape::Name { optional: false } => "`name`".to_string(),
        Shape::Name { optional: true } => "`name` or none".to_string(),
        Shape::Opaque { min, max } => format!("`opaque[{min}..{max}]`"),
        Shape::Payload { max } => format!("`payload[..{max}]`"),
        Shape::Rest { max } => format!("`rest[..{max}]`"),
        Shape::Struct(_) => "fields".to_string(),
        Shape::Choice(_) => "`choice`".to_string(),
        Shape::Nested { inner, max } => format!("`nested[..{max}]` of {}", encoding(inner)),
        Shape::List { item, max, rising } => {
            format!("`list[..{max}]`{} of {}", if rising { ", rising," } else { "" }, encoding(item))
        }
    }
}

/// A dump of one frame, field by field: offset, bytes, field, meaning; then the opened text likewise, from 0.
///
/// # Errors
/// [`DecodeError`] if the frame or its text is not that message.
pub fn dump(info: &MessageInfo, record: &Recorded) -> Result<String, DecodeError> {
    let frame = &record.frame;
    let [version, system, edition, suite, code] =
        frame.first_chunk::<HEADER_BYTES>().copied().ok_or(DecodeError::Truncated)?;
    let header = Header { system: info.system, edition: info.edition, suite: SuiteId(suite) };
    if header.code_of(frame)? != info.code {
        return Err(DecodeError::Header);
    }
    let parts = info.dissect(frame)?;
    let mut out = format!("{} bytes\n", frame.len());
    line(0, &[version], "version", "", &mut out);
    line(1, &[system], "system", &format!("{:?}", info.system), &mut out);
    line(2, &[edition], "edition", &format!("{:?}", info.edition), &mut out);
    line(3, &[suite], "suite", "", &mut out);
    line(4, &[code], "type", info.id, &mut out);
    field(&parts.clear, info.clear, "", frame, &mut out);
    if info.guard == Guard::Boxed {
        let start = parts.text.start;
        let meaning = format!("{} bytes", parts.text.len());
        line(start - 4, part(frame, start - 4, start), "length of the text", &meaning, &mut out);
        line(start, part(frame, start, parts.text.end), "text, sealed", "", &mut out);
    }
    if info.guard != Guard::Open {
        let start = parts.tag.start;
        let meaning = format!("{} bytes", parts.tag.len());
        let name = if info.guard == Guard::Signed { "signature" } else { "tag" };
        line(start - 2, part(frame, start - 2, start), &format!("length of the {name}"), &meaning, &mut out);
        line(start, part(frame, start, parts.tag.end), name, "", &mut out);
    }
    if let (Some(shape), Some(text)) = (info.body, &record.opened) {
        let value = Value::read("text", shape, text)?;
        out.push_str(&format!("\nthe text, opened: {} bytes\n", text.len()));
        let root = if matches!(shape, Shape::Struct(_)) { "" } else { "text" };
        field(&value, shape, root, text, &mut out);
    }
    Ok(out)
}

fn part(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).unwrap_or_default()
}

fn field(value: &Value, shape: &'static Shape, path: &str, bytes: &[u8], out: &mut String) {
    let start = value.range.start;
    let first = value.parts().first().map_or(value.range.end, |first| first.range.start);
    match &value.content {
        Content::Leaf(leaf) => return line(start, leaf, path, &meaning(leaf, shape), out),
        Content::Parts(_) => {}
        Content::Nested(_) => {
            let meaning = format!("{} bytes inside", value.range.end - first);
            line(start, part(bytes, start, first), &format!("{path}, length"), &meaning, out);
        }
        Content::Items(items) => {
            let meaning = format!("{} items", items.len());
            line(start, part(bytes, start, first), &format!("{path}, count"), &meaning, out);
        }
    }
    for (index, part) in value.parts().iter().enumerate() {
        match (shape, part_shape(value, shape, index)) {
            (Shape::Choice(variants), None) => {
                let variant = variants.iter().find(|variant| Some(variant.code) == chosen(value));
                line(start, &part.to_bytes(), path, variant.map_or("", |variant| variant.name), out);
            }
            (Shape::List { .. }, Some(shape)) => field(part, shape, &format!("{path}[{index}]"), bytes, out),
            (Shape::Nested { .. }, Some(shape)) => field(part, shape, path, bytes, out),
            (Shape::Choice(_), Some(shape)) => field(part, shape, &format!("{path}={}", part.name), bytes, out),
            (_, Some(shape)) if path.is_empty() => field(part, shape, part.name, bytes, out),
            (_, Some(shape)) => field(part, shape, &format!("{path}.{}", part.name), bytes, out),
            (_, None) => {}
        }
    }
}

fn line(at: usize, bytes: &[u8], name: &str, meaning: &str, out: &mut String) {
    if bytes.is_empty() {
        out.push_str(&format!("{at:5}  {:47}  {name}: nothing\n", ""));
    }
    for (index, chunk) in bytes.chunks(LINE).take(LINES).enumerate() {
        let hex: Vec<_> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let note = match (index, meaning) {
            (0, "") => name.to_string(),
            (0, _) => format!("{name}: {meaning}"),
            _ => String::new(),
        };
        out.push_str(format!("{:5}  {:47}  {note}", at + index * LINE, hex.join(" ")).trim_end());
        out.push('\n');
    }
    if bytes.len() > LINE * LINES {
        out.push_str(&format!("       … {} more\n", bytes.len() - LINE * LINES));
    }
}

fn meaning(bytes: &[u8], shape: &Shape) -> String {
    let number = || bytes.iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    match *shape {
        Shape::U8 { max: 1 } => if number() == 1 { "yes" } else { "no" }.to_string(),
        Shape::U8 { .. } | Shape::U32 | Shape::U64 => number().to_string(),
        Shape::Bits16 { bits } => {
            let set = bits.iter().filter(|bit| number() >> bit.code & 1 == 1).map(|bit| bit.name);
            let set: Vec<_> = set.collect();
            if set.is_empty() { "none".to_string() } else { set.join(", ") }
        }
        Shape::Name { .. } => match bytes.get(1..).map(core::str::from_utf8) {
            Some(Ok("")) | None | Some(Err(_)) => "none".to_string(),
            Some(Ok(text)) => format!("{text:?}"),
        },
        Shape::Opaque { .. } => counted(bytes.len().saturating_sub(2)),
        Shape::Payload { .. } => counted(bytes.len().saturating_sub(4)),
        Shape::Rest { .. } | Shape::Fixed(_) => counted(bytes.len()),
        Shape::Struct(_) | Shape::Choice(_) | Shape::Nested { .. } | Shape::List { .. } => String::new(),
    }
}

fn counted(length: usize) -> String {
    if length == 0 { "none".to_string() } else { format!("{length} bytes") }
}
