//! An eavesdropper on one link, and what can be told from its record without any key.
//!
//! `wire.rs` has the record, and the proxy over loopback that copies what passes and records it: bytes of TCP, and datagrams
//! (`datagrams.rs`).

mod datagrams;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read};

use sodality::wire::frame::HEADER_BYTES;
use sodality::wire::shape::Content;
use sodality::wire::{FieldShape, MessageInfo, Shape, TABLES, Value};

use wire::BLOCK;
pub(crate) use wire::{Record, Tap};

/// The frames of one kind in one direction.
#[derive(Debug, Default)]
pub(crate) struct Kind {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// Of these bytes, those that are sealed.
    pub(crate) sealed: u64,
}

/// What the record shows.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By message id and direction (towards the leader or from it).
    pub(crate) kinds: BTreeMap<(&'static str, bool), Kind>,
    /// Frames that are no declared message.
    pub(crate) strange: u64,
    /// Frames and bytes in all, lengths in front included.
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// Data frames by the key that they name, in the order in which those occur: first from the leader, then to it.
    pub(crate) keys: Vec<KeySeen>,
    /// Whom data say to be from: numbers, or names.
    pub(crate) senders: BTreeSet<String>,
    /// In which kinds of frames each of the words that were searched for occurs in clear, and how often.
    pub(crate) words: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// How many times a piece of the known plaintexts was found, and how many pieces were searched for.
    pub(crate) found: u64,
    /// Data frames of the latest key, some of them.
    pub(crate) latest: Vec<Vec<u8>>,
    /// What passed is under TLS: whole datagrams were recorded, and no frame can be told from another.
    pub(crate) opaque: bool,
}

/// Data frames under one key.
#[derive(Debug, Default)]
pub(crate) struct KeySeen {
    /// The epoch, or what stands for g in the events of machines; 0 where frames do not tell it.
    pub(crate) epoch: u64,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

/// Bytes of the number in g.
const GROUP_NONCE: usize = 16;

/// How many frames of the latest key are kept.
const KEPT: usize = 32;

/// What stands for an epoch where frames do not tell it, and how many of the last frames are kept then: what the leader says
/// when the last member was put out, and what the sender says after that.
const UNTOLD: u64 = 0;
const LAST: usize = 2;

/// Takes the record apart. May block.
pub(crate) fn read(record: &Record, words: &[String], needles: &Needles) -> io::Result<Seen> {
    let mut seen = Seen { opaque: record.opaque, ..Seen::default() };
    // What the leader relays has all keys, in their order.
    for up in [false, true] {
        let mut stream = BufReader::with_capacity(BLOCK, File::open(record.path(up))?);
        let mut scan = needles.scan();
        while let Some(frame) = next_frame(&mut stream)? {
            seen.frames += 1;
            seen.bytes += frame.len() as u64 + 4;
            // As it went over the wire, so that nothing is missed where frames meet.
            scan.feed(&u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes());
            scan.feed(&frame);
            if seen.opaque {
                continue;
            }
            take_apart(frame, up, words, &mut seen);
        }
        seen.found += scan.found;
    }
    Ok(seen)
}

fn next_frame(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut prefix = [0; 4];
    match stream.read_exact(&mut prefix) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u64::from(u32::from_be_bytes(prefix));
    let mut frame = Vec::new();
    stream.take(length).read_to_end(&mut frame)?;
    // A frame that was cut off at the end of the link is none.
    Ok((frame.len() as u64 == length).then_some(frame))
}

fn declared(frame: &[u8]) -> Option<&'static MessageInfo> {
    let [_, system, edition, _, code] = *frame.first_chunk::<HEADER_BYTES>()?;
    let is = |info: &&MessageInfo| (info.system as u8, info.edition as u8, info.code) == (system, edition, code);
    TABLES.into_iter().flatten().copied().find(is)
}

/// Which key a message to the group names: its epoch, or what stands for g in events; `None` for other messages.
fn key_of(id: &str, clear: &Value) -> Option<u64> {
    match id {
        // Nothing in clear says it.
        "EN-D1" | "EN-D2" | "EN-1D" => Some(UNTOLD),
        "RA-D" | "EN-R9" => Some(number(clear.find("epoch")).unwrap_or(0)),
        "AN-Di" | "AN-Dc" | "AN-Db" | "AN-Dn" | "RA-Dm" => match &clear.find("group")?.find("nonce")?.content {
            Content::Leaf(nonce) => {
                // In the encoded field a length of two bytes stands in front.
                let first = nonce.last_chunk::<GROUP_NONCE>()?.first_chunk::<8>()?;
                Some(u64::from_be_bytes(*first).max(1))
            }
            _ => None,
        },
        _ => None,
    }
}

fn number(value: Option<&Value>) -> Option<u64> {
    match &value?.content {
        Content::Leaf(bytes) => bytes.as_slice().try_into().ok().map(u64::from_be_bytes),
        _ => None,
    }
}

fn take_apart(frame: Vec<u8>, up: bool, words: &[String], seen: &mut Seen) {
    let Some((info, parts)) = declared(&frame).and_then(|info| Some((info, info.dissect(&frame).ok()?))) else {
        seen.strange += 1;
        return;
    };
    let kind = seen.kinds.entry((info.id, up)).or_default();
    kind.frames += 1;
    kind.bytes += frame.len() as u64;
    kind.sealed += parts.text.len() as u64 + sealed(info.id, &parts.clear);
    let mut clear = frame.clone();
    clear.truncate(parts.clear.range.end);
    hide_sealed(info.id, &parts.clear, &mut clear);
    let clear = clear.get(parts.clear.range.start..).unwrap_or_default();
    for word in words {
        let count = clear.windows(word.len().max(1)).filter(|piece| *piece == word.as_bytes()).count() as u64;
        if count > 0 {
            *seen.words.entry(word.clone()).or_default().entry(info.id).or_default() += count;
        }
    }
    let Some(epoch) = key_of(info.id, &parts.clear) else { return };
    seen.senders.extend(number(parts.clear.find("cid")).map(|cid| format!("member {cid}")));
    seen.senders.extend(parts.clear.find("sender").and_then(name_in));
    let at = seen.keys.iter().position(|key| key.epoch == epoch).unwrap_or_else(|| {
        seen.latest.clear();
        seen.keys.push(KeySeen { epoch, ..KeySeen::default() });
        seen.keys.len() - 1
    });
    let latest = at + 1 == seen.keys.len();
    if let Some(key) = seen.keys.get_mut(at) {
        key.frames += 1;
        key.bytes += frame.len() as u64;
    }
    if epoch == UNTOLD && !up {
        // The last ones are what is known to be under the latest key.
        seen.latest.insert(0, frame);
        seen.latest.truncate(LAST);
    } else if epoch != UNTOLD && latest && seen.latest.len() < KEPT {
        seen.latest.push(frame);
    }
}

/// The text of a name, which has a length in front.
fn name_in(value: &Value) -> Option<String> {
    match &value.content {
        Content::Leaf(bytes) => Some(String::from_utf8_lossy(bytes.get(1..)?).into_owned()),
        _ => None,
    }
}

/// The names of a message's clear fields, in their order, and of what is inside those that have parts.
pub(crate) fn clear_fields(id: &str) -> String {
    TABLES.into_iter().flatten().find(|info| info.id == id).map_or_else(String::new, |info| names(info.clear, 1))
}

fn names(shape: &Shape, depth: u8) -> String {
    match shape {
        Shape::Struct(fields) => {
            let name = |field: &FieldShape| match names(field.shape, depth.saturating_sub(1)) {
                inner if inner.is_empty() || depth == 0 => field.name.to_owned(),
                inner => format!("{} ({inner})", field.name),
            };
            // What is sealed stands among the clear fields of messages as published.
            fields.iter().filter(|field| field.name != SEALED).map(name).collect::<Vec<_>>().join(", ")
        }
        Shape::Nested { inner, .. } => names(inner, depth),
        Shape::List { item, .. } => names(item, depth),
        _ => String::new(),
    }
}

/// The name of a field that is `{…}` in the report.
const SEALED: &str = "sealed";

/// Bytes that stand sealed among the clear fields: keys in the blocks of RA-R and in EN-G2, and all that is `{…}` as published.
fn sealed(id: &str, value: &Value) -> u64 {
    let is = is_sealed(id, value);
    u64::from(is) * value.range.len() as u64 + value.parts().iter().map(|part| sealed(id, part)).sum::<u64>()
}

fn is_sealed(id: &str, value: &Value) -> bool {
    value.name == SEALED || (matches!(id, "RA-R" | "EN-G2") && value.name == "key")
}

/// Blanks these bytes: in a long ciphertext a short word stands by chance.
fn hide_sealed(id: &str, value: &Value, frame: &mut [u8]) {
    if is_sealed(id, value) {
        frame.get_mut(value.range.clone()).unwrap_or_default().fill(0);
    }
    value.parts().iter().for_each(|part| hide_sealed(id, part, frame));
}

/// Bytes of each piece of plaintext that is searched for: long enough that none occurs by chance.
pub(crate) const NEEDLE: usize = 24;

/// Pieces of known plaintexts.
#[derive(Debug, Default)]
pub(crate) struct Needles {
    pieces: Vec<[u8; NEEDLE]>,
    /// For each pair of first bytes whether a piece begins so: most places are passed over at once.
    first: Vec<bool>,
}

impl Needles {
    /// With these pieces.
    pub(crate) fn new(mut pieces: Vec<[u8; NEEDLE]>) -> Self {
        pieces.sort_unstable();
        pieces.dedup();
        let mut first = vec![false; 1 << 16];
        for piece in &pieces {
            if let Some(mark) = first.get_mut(pair(piece)) {
                *mark = true;
            }
        }
        Self { pieces, first }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Looks for them in a stream.
    pub(crate) fn scan(&self) -> Scan<'_> {
        Scan { needles: self, tail: Vec::new(), found: 0 }
    }
}

fn pair(bytes: &[u8]) -> usize {
    match bytes {
        [a, b, ..] => usize::from(u16::from_be_bytes([*a, *b])),
        _ => 0,
    }
}

/// A search through a stream that comes in pieces.
pub(crate) struct Scan<'a> {
    needles: &'a Needles,
    tail: Vec<u8>,
    /// How many places hold one of the needles.
    pub(crate) found: u64,
}

impl Scan<'_> {
    /// The next bytes of the stream.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        for place in self.tail.windows(NEEDLE) {
            let may = self.needles.first.get(pair(place)).is_some_and(|mark| *mark);
            if may && self.needles.pieces.binary_search_by(|piece| piece.as_slice().cmp(place)).is_ok() {
                self.found += 1;
            }
        }
        let keep = self.tail.len().min(NEEDLE - 1);
        self.tail.drain(..self.tail.len() - keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needles_are_found_across_the_pieces_of_a_stream() {
        let text: Vec<u8> = (0..200u8).collect();
        let needles =
            Needles::new(vec![text[50..50 + NEEDLE].try_into().unwrap(), text[100..100 + NEEDLE].try_into().unwrap()]);
        for cut in 1..200 {
            let mut scan = needles.scan();
            text.chunks(cut).for_each(|piece| scan.feed(piece));
            assert_eq!(scan.found, 2, "cut into pieces of {cut}");
        }
        let mut scan = needles.scan();
        scan.feed(&[0; 500]);
        assert_eq!(scan.found, 0);
    }

    #[test]
    fn a_cut_frame_at_the_end_is_none() {
        let mut stream: &[u8] = &[0, 0, 0, 2, 7, 7, 0, 0, 0, 9, 1];
        assert_eq!(next_frame(&mut stream).unwrap().unwrap(), [7, 7]);
        assert!(next_frame(&mut stream).unwrap().is_none());
    }

    #[test]
    fn clear_fields_are_those_of_the_declarations() {
        assert_eq!(clear_fields("RA-J1"), "app, leader, member, i0, share");
        let rekey = clear_fields("RA-R");
        assert!(
            rekey.starts_with("group, common (epoch, floor, causes") && rekey.ends_with("blocks (cid, key, tag)"),
            "{rekey}"
        );
    }
}
