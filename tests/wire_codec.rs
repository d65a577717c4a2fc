//! Encoding and decoding, for every declared message and every body: each value has one encoding, each encoding one value,
//! and the typed decoders do what the declarations say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sodality::crypto::SuiteId;
use sodality::error::DecodeError;
use sodality::wire::frame::HEADER_BYTES;
use sodality::wire::mutate::{self, STRUCTURES, exercise_body, exercise_decoders, exercise_frame, leaves, mix};
use sodality::wire::shape::Content;
use sodality::wire::{
    Edition, Guard, Header, MessageInfo, Reader, Shape, System, TABLES, Value, VariantShape, strategy,
};

const SEED: [u8; 32] = *b"sodality wire codec, fixed seed.";
const CASES: u32 = 192;
/// Longest byte string that is made to try a limit: the bits of a stored object may be half a gigabyte.
const TRIED: usize = 1 << 21;
/// Positions tried in one frame; longer frames are sampled.
const POSITIONS: usize = 160;

/// Every declared message.
fn messages() -> impl Iterator<Item = &'static MessageInfo> {
    TABLES.into_iter().flatten().copied()
}

fn header(info: &MessageInfo) -> Header {
    Header { system: info.system, edition: info.edition, suite: SuiteId(1) }
}

fn run<S: Strategy>(what: &str, strategy: S, mut check: impl FnMut(S::Value) -> Result<(), TestCaseError>)
where
    S::Value: Debug,
{
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &SEED));
    let check = std::cell::RefCell::new(&mut check);
    if let Err(error) = runner.run(&strategy, |value| (check.borrow_mut())(value)) {
        panic!("{what}, seed {:?}: {error}", core::str::from_utf8(&SEED).unwrap());
    }
}

/// At most `POSITIONS` numbers below `length`, spread, the first and the last ones always.
fn positions(length: usize) -> impl Iterator<Item = usize> {
    let step = (length / POSITIONS).max(1);
    (0..length).filter(move |at| at.is_multiple_of(step) || at + 8 >= length || *at < 16)
}

/// Each byte changed, each cut, one byte more, and mutants: how many were tried, and how many were accepted.
fn vary(bytes: &[u8], seed: u64, mut accept: impl FnMut(&[u8]) -> bool, prefixes_fail: bool) -> (usize, usize) {
    let (mut tried, mut accepted, mut state) = (0, 0, seed);
    let mut count = |yes: bool| {
        tried += 1;
        accepted += usize::from(yes);
    };
    for at in positions(bytes.len()) {
        let mut changed = bytes.to_vec();
        changed[at] ^= (mix(&mut state) % 255 + 1) as u8;
        count(accept(&changed));
        let prefix = accept(&bytes[..at]);
        assert!(!(prefix && prefixes_fail), "a prefix of {at} bytes was accepted");
        count(prefix);
    }
    for _ in 0..16 {
        count(accept(&mutate::mutate(bytes, bytes, &mut || mix(&mut state))));
    }
    (tried, accepted)
}

#[test]
fn frames_have_one_encoding() {
    println!("seed {:?}", core::str::from_utf8(&SEED).unwrap());
    for info in messages() {
        let (mut tried, mut accepted, mut longest) = (0, 0, 0);
        let cases = (strategy::frame(info, header(info)), any::<u64>(), vec(any::<u8>(), 0..64));
        run(info.id, cases, |(frame, seed, random)| {
            prop_assert_eq!(header(info).code_of(&frame), Ok(info.code));
            prop_assert!(exercise_frame(info, &frame), "refused: {:?}", info.dissect(&frame));
            let mut more = frame.clone();
            more.push(seed as u8);
            prop_assert_eq!(info.dissect(&more).err(), Some(DecodeError::Trailing));
            prop_assert!(!exercise_frame(info, &more));
            let (t, a) = vary(&frame, seed, |bytes| exercise_frame(info, bytes), true);
            exercise_decoders(&frame);
            exercise_decoders(&random);
            longest = longest.max(frame.len());
            tried += t + 3;
            accepted += a + 1;
            Ok(())
        });
        println!("{:6} {CASES} frames, {tried} variants, {accepted} accepted, longest {longest} bytes", info.id);
        assert!(accepted > CASES as usize && accepted < tried, "{}: the variants say nothing", info.id);
    }
}

#[test]
fn structures_have_one_encoding() {
    for info in STRUCTURES {
        let (mut tried, mut accepted, mut longest) = (0, 0, 0);
        run(info.name, (strategy::encoding(info.shape), any::<u64>()), |(bytes, seed)| {
            prop_assert!((info.exercise)(&bytes), "refused: {:?}", Value::read("value", info.shape, &bytes));
            prop_assert!(bytes.len() <= info.shape.max_len(), "longer than its longest");
            // What ends in bytes without a length takes more of them; a text that is sealed never ends so.
            let ends = info.name.ends_with("Text");
            let more = [&bytes[..], &[seed as u8]].concat();
            prop_assert!(!(ends && (info.exercise)(&more)), "a byte more was accepted");
            let (t, a) = vary(&bytes, seed, info.exercise, ends);
            longest = longest.max(bytes.len());
            tried += t + 2;
            accepted += a + 1;
            Ok(())
        });
        println!("{:13} {CASES} values, {tried} variants, {accepted} accepted, longest {longest} bytes", info.name);
        assert!(accepted > CASES as usize && accepted < tried, "{}: the variants say nothing", info.name);
    }
}

#[test]
fn bodies_have_one_encoding() {
    for info in messages() {
        let Some(shape) = info.body else { continue };
        let (mut tried, mut accepted) = (0, 0);
        run(info.id, (strategy::encoding(shape), any::<u64>()), |(text, seed)| {
            prop_assert!(exercise_body(info, &text), "refused: {:?}", Value::read("text", shape, &text));
            let (t, a) = vary(&text, seed, |bytes| exercise_body(info, bytes), false);
            tried += t + 1;
            accepted += a + 1;
            Ok(())
        });
        println!("{:6} {CASES} texts, {tried} variants, {accepted} accepted", info.id);
        assert!(accepted > CASES as usize, "{}: the variants say nothing", info.id);
    }
}

/// All shapes: clear fields and texts of the messages, and the structures.
fn shapes() -> impl Iterator<Item = (&'static str, &'static str, &'static Shape)> {
    let clear = messages().map(|info| (info.id, "clear", info.clear));
    let texts = messages().filter_map(|info| Some((info.id, "text", info.body?)));
    let structures = STRUCTURES.iter().map(|info| (info.name, "value", info.shape));
    clear.chain(texts).chain(structures)
}

#[test]
fn different_values_have_different_bytes() {
    for (id, part, shape) in shapes() {
        let mut changes = 0;
        // Each change writes and reads the whole value: lists of thousands would take minutes.
        let values = strategy::encoding_within(shape, 8_192);
        let values = values.prop_filter_map("valid", move |bytes| Value::read("value", shape, &bytes).ok());
        let pairs = values.prop_flat_map(move |value| {
            let changed = strategy::with_one_leaf_changed(value.clone(), shape);
            (Just(value), changed)
        });
        run(id, pairs, |(one, other)| {
            prop_assert_ne!(one.to_bytes(), other.to_bytes());
            prop_assert_eq!(Value::read("value", shape, &other.to_bytes()), Ok(other.clone()));
            let (before, after) = (leaves(&one), leaves(&other));
            let same_paths = before.iter().map(|leaf| &leaf.path).eq(after.iter().map(|leaf| &leaf.path));
            let bytes = |value: &Value, path: &[usize]| {
                path.iter().fold(value.clone(), |value, index| value.parts()[*index].clone()).to_bytes()
            };
            let differ: Vec<_> = before
                .iter()
                .filter(|leaf| same_paths && bytes(&one, &leaf.path) != bytes(&other, &leaf.path))
                .map(|leaf| leaf.name.clone())
                .collect();
            // Only where a choice changed may more than one leaf differ.
            let code = differ.first().is_some_and(|name| name.ends_with("code"));
            prop_assert!(!same_paths || differ.len() == 1 || code, "{:?}", differ);
            changes += 1;
            Ok(())
        });
        println!("{id:6} {part}: {changes} single changes");
    }
}

/// Replaces the leaf at `path` by `bytes`.
fn replaced(value: &Value, path: &[usize], bytes: Vec<u8>) -> Vec<u8> {
    let mut value = value.clone();
    let mut place = &mut value;
    for index in path {
        let (Content::Parts(parts) | Content::Nested(parts) | Content::Items(parts)) = &mut place.content else {
            panic!("no such path");
        };
        place = &mut parts[*index];
    }
    place.content = Content::Leaf(bytes);
    value.to_bytes()
}

/// The shape of the leaf at `path`; the choice itself for its code.
fn shape_at(value: &Value, path: &[usize], shape: &'static Shape) -> &'static Shape {
    let (mut value, mut shape) = (value, shape);
    for index in path {
        let Some(inner) = mutate::part_shape(value, shape, *index) else { return shape };
        value = &value.parts()[*index];
        shape = inner;
    }
    shape
}

fn lengthy(prefix: &[u8], length: usize) -> Vec<u8> {
    [prefix, &vec![b'x'; length]].concat()
}

/// Encodings of a field just outside its limits.
fn outside(shape: &Shape) -> Vec<Vec<u8>> {
    match *shape {
        Shape::Rest { max } if max > TRIED => Vec::new(),
        Shape::U8 { max } => (max..u8::MAX).map(|below| vec![below + 1]).collect(),
        Shape::Bits16 { bits } => {
            let spare = !VariantShape::mask(bits);
            (0..16)
                .map(|bit| 1u16 << bit)
                .filter(|bit| bit & spare != 0)
                .map(|bit| bit.to_be_bytes().to_vec())
                .collect()
        }
        Shape::Choice(variants) => {
            let unknown = (0..=u8::MAX).filter(|code| variants.iter().all(|variant| variant.code != *code));
            unknown.map(|code| vec![code]).collect()
        }
        Shape::Name { optional } => {
            let mut bad = vec![vec![1, 0], vec![1, 0x7f], vec![2, 0xc2, 0x85], vec![1, 0xff], vec![2, 0xc0, 0x80]];
            bad.push(vec![3, 0xed, 0xa0, 0x80]);
            if !optional {
                bad.push(vec![0]);
            }
            bad
        }
        Shape::Opaque { min, max } => {
            let long = Some(lengthy(&(max as u16 + 1).to_be_bytes(), max + 1));
            let short = min.checked_sub(1).map(|length| lengthy(&(length as u16).to_be_bytes(), length));
            long.into_iter().chain(short).collect()
        }
        Shape::Payload { max } => vec![lengthy(&(max as u32 + 1).to_be_bytes(), max + 1), vec![0xff; 4]],
        Shape::Rest { max } => vec![lengthy(&[], max + 1)],
        _ => Vec::new(),
    }
}

/// Encodings of a field just inside its limits.
fn inside(shape: &Shape) -> Vec<Vec<u8>> {
    match *shape {
        Shape::Rest { max } if max > TRIED => vec![Vec::new()],
        Shape::U8 { max } => vec![vec![0], vec![max]],
        Shape::Name { .. } => vec![lengthy(&[1], 1), lengthy(&[255], 255)],
        Shape::Opaque { min, max } => [min, max].map(|length| lengthy(&(length as u16).to_be_bytes(), length)).to_vec(),
        Shape::Payload { max } => vec![vec![0; 4], lengthy(&(max as u32).to_be_bytes(), max)],
        Shape::Rest { max } => vec![Vec::new(), lengthy(&[], max)],
        _ => Vec::new(),
    }
}

/// Typed verdict on the bytes of one part of a message.
fn accepts(id: &str, part: &str, bytes: &[u8]) -> bool {
    if let Some(structure) = STRUCTURES.iter().find(|structure| structure.name == id) {
        return (structure.exercise)(bytes);
    }
    let info = find(id);
    if part == "text" {
        return exercise_body(info, bytes);
    }
    let tag = [7; 16];
    exercise_frame(info, &info.compose(header(info), bytes, &[], &tag))
}

#[test]
fn stated_limits_hold() {
    for (id, part, shape) in shapes() {
        let (mut refused, mut accepted, mut state) = (0, 0, 1);
        for _ in 0..24 {
            let value = mutate::arbitrary_value("value", shape, &mut || mix(&mut state)).unwrap();
            for leaf in leaves(&value) {
                let limits = shape_at(&value, &leaf.path, shape);
                for bytes in outside(limits) {
                    let whole = replaced(&value, &leaf.path, bytes);
                    assert!(!accepts(id, part, &whole), "{id} {}: beyond its limits, and accepted", leaf.name);
                    refused += 1;
                }
                for bytes in inside(limits) {
                    let whole = replaced(&value, &leaf.path, bytes);
                    // Inside a nested value its own limit may refuse what the field's allows.
                    let nested = leaf.name.split('.').any(|part| part == "common");
                    let verdict = accepts(id, part, &whole);
                    assert!(verdict || nested, "{id} {}: within its limits, and refused", leaf.name);
                    accepted += usize::from(verdict);
                }
            }
        }
        println!("{id:6} {part}: {refused} beyond a limit, {accepted} at a limit");
        let chain = ["EN-R4", "EN-R5", "EN-R6", "EN-R7", "EN-R8", "EN-R10"];
        let numbers = matches!(id, "RA-CL" | "RA-CM" | "RA-P") || chain.contains(&id);
        if !(part == "clear" && numbers || (id, part) == ("EN-R7", "text")) {
            // Those have numbers and codes only, each of which stands for something.
            assert!(refused > 0 && accepted > 0, "{id} {part}: nothing was tried");
        }
    }
}

fn find(id: &str) -> &'static MessageInfo {
    messages().find(|info| info.id == id).unwrap()
}

/// An RA-R with blocks of these members.
fn rekey(members: &[u64]) -> Vec<u8> {
    let info = find("RA-R");
    let mut clear = mutate::arbitrary(info.clear, 0, &mut || 0);
    assert_eq!(clear[clear.len() - 4..], [0; 4], "the smallest RA-R ends in an empty list");
    let at = clear.len() - 4;
    clear[at..].copy_from_slice(&(members.len() as u32).to_be_bytes());
    for cid in members {
        clear.extend(cid.to_be_bytes());
        clear.extend([0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
    }
    info.compose(header(info), &clear, &[], &[])
}

#[test]
fn lists_have_one_order() {
    let info = find("RA-R");
    let verdict = |members: &[u64]| info.dissect(&rekey(members)).map(drop);
    for good in [&[][..], &[0], &[1, 2, 3], &[0, u64::MAX], &[5, 500, 5_000_000_000]] {
        assert_eq!(verdict(good), Ok(()), "{good:?}");
        assert!(exercise_frame(info, &rekey(good)));
    }
    for bad in [&[1, 1][..], &[2, 1], &[0, 5, 5], &[u64::MAX, 0]] {
        assert_eq!(verdict(bad), Err(DecodeError::Order), "{bad:?}");
        assert!(!exercise_frame(info, &rekey(bad)));
    }
    let full: Vec<u64> = (1..=16_384).collect();
    assert_eq!(verdict(&full), Ok(()));
    assert!(exercise_frame(info, &rekey(&full)));
    assert_eq!(verdict(&(1..=16_385).collect::<Vec<_>>()), Err(DecodeError::Length));
}

#[test]
fn lengths_are_checked_before_they_are_believed() {
    let empty = rekey(&[]);
    let at = empty.len() - 4;
    let claim = |count: u32| [&empty[..at], &count.to_be_bytes()].concat();
    let info = find("RA-R");
    // Work follows the bytes that are there: a hundred thousand absurd claims take no time and no memory.
    for _ in 0..100_000 {
        assert_eq!(info.dissect(&claim(u32::MAX)).err(), Some(DecodeError::Length));
    }
    for _ in 0..100_000 {
        assert_eq!(info.dissect(&claim(16_384)).err(), Some(DecodeError::Truncated));
    }
    assert_eq!((info.typed.frame)(&claim(u32::MAX)).err(), Some(DecodeError::Length));
    assert_eq!((info.typed.frame)(&claim(16_384)).err(), Some(DecodeError::Truncated));

    let info = find("RA-D");
    let frame = info.compose(header(info), &mutate::arbitrary(info.clear, 0, &mut || 0), &[], &[]);
    let text = info.dissect(&frame).unwrap().text.start - 4;
    for (length, error) in
        [(u32::MAX, DecodeError::Length), (1 << 20, DecodeError::Truncated), (3, DecodeError::Trailing)]
    {
        let mut frame = frame.clone();
        frame[text..text + 4].copy_from_slice(&length.to_be_bytes());
        let expected = if length == 3 { DecodeError::Truncated } else { error };
        assert_eq!((info.typed.frame)(&frame).err(), Some(expected), "{length}");
    }
}

#[test]
fn headers_of_others_are_refused() {
    for info in messages() {
        let ours = header(info);
        let frame = info.compose(ours, &mutate::arbitrary(info.clear, 0, &mut || 0), &[], &[]);
        assert_eq!(ours.code_of(&frame), Ok(info.code), "{}", info.id);
        for at in 0..4 {
            for change in 1..=u8::MAX {
                let mut other = frame.clone();
                other[at] ^= change;
                assert_eq!(ours.code_of(&other), Err(DecodeError::Header), "{} byte {at}", info.id);
            }
        }
        for length in 0..HEADER_BYTES {
            assert_eq!(ours.code_of(&frame[..length]), Err(DecodeError::Truncated));
        }
        let edition = if ours.edition == Edition::Repaired { Edition::AsPublished } else { Edition::Repaired };
        let system = if ours.system == System::Enclaves { System::Antigone } else { System::Enclaves };
        for theirs in [Header { system, ..ours }, Header { edition, ..ours }, Header { suite: SuiteId(2), ..ours }] {
            assert_eq!(theirs.code_of(&frame), Err(DecodeError::Header), "{} {theirs:?}", info.id);
        }
    }
}

#[test]
fn message_types_and_ids_are_unique() {
    let mut seen = std::collections::BTreeSet::new();
    for table in TABLES {
        assert!(table.is_sorted_by(|one, other| one.code < other.code), "codes must rise within a table");
        for info in table {
            let place = (info.system as u8, info.edition as u8, info.code);
            assert!(seen.insert(place), "{}: two of that type in one edition", info.id);
            assert_eq!(messages().filter(|other| other.id == info.id).count(), 1, "{}", info.id);
            assert_eq!(info.guard == Guard::Boxed, info.body.is_some(), "{}", info.id);
            let own = match (info.system, info.edition) {
                (System::Antigone, Edition::Repaired) => "RA-",
                (System::Antigone, Edition::AsPublished) => "AN-",
                (System::Enclaves | System::FirstEnclaves, _) => "EN",
            };
            assert!(info.id.starts_with(own), "{}: of the other edition", info.id);
        }
    }
    let join = find("RA-J1");
    assert!(join.max_len() <= sodality::wire::antigone::MAX_JOIN, "the longest RA-J1 fits into RA-T1");
    let bridged = sodality::wire::bridges::MAX_WISH;
    assert!(find("AN-J1").max_len() <= bridged, "the longest AN-J1 fits into RA-T1m");
}

#[test]
fn longest_values_are_as_long_as_stated() {
    for (id, part, shape) in shapes() {
        let bounded = shape.max_len() < 1 << 17;
        if !bounded {
            continue;
        }
        let bytes = longest(shape);
        assert_eq!(bytes.len(), shape.max_len(), "{id} {part}");
        assert!(accepts(id, part, &bytes), "{id} {part}: the longest value is refused");
    }
}

/// The longest encoding of a shape. Items of a list that rises begin with a number.
fn longest(shape: &Shape) -> Vec<u8> {
    match *shape {
        Shape::U8 { max } => vec![max],
        Shape::Bits16 { bits } => VariantShape::mask(bits).to_be_bytes().to_vec(),
        Shape::U32 => vec![0xff; 4],
        Shape::U64 => vec![0xff; 8],
        Shape::Fixed(length) => vec![0xff; length],
        Shape::Name { .. } => lengthy(&[255], 255),
        Shape::Opaque { max, .. } => lengthy(&(max as u16).to_be_bytes(), max),
        Shape::Payload { max } => lengthy(&(max as u32).to_be_bytes(), max),
        Shape::Rest { max } => lengthy(&[], max),
        Shape::Struct(fields) => fields.iter().flat_map(|field| longest(field.shape)).collect(),
        Shape::Choice(variants) => {
            let length = |variant: &&VariantShape| variant.shape.map_or(0, Shape::max_len);
            let most = variants.iter().max_by_key(length).unwrap();
            [vec![most.code], most.shape.map(longest).unwrap_or_default()].concat()
        }
        Shape::Nested { inner, .. } => {
            let inner = longest(inner);
            [&(inner.len() as u16).to_be_bytes()[..], &inner].concat()
        }
        Shape::List { item, max, rising } => {
            let item = longest(item);
            let numbered = |at: usize| [&(at as u64).to_be_bytes(), &item[8..]].concat();
            let items = (0..max).flat_map(|at| if rising { numbered(at) } else { item.clone() }).collect();
            [(max as u32).to_be_bytes().to_vec(), items].concat()
        }
    }
}

#[test]
fn mutants_follow_their_seed() {
    let frame = rekey(&[1, 2, 3]);
    let mutants = |seed: u64| {
        let mut state = seed;
        (0..64).map(|_| mutate::mutate(&frame, &frame, &mut || mix(&mut state))).collect::<Vec<_>>()
    };
    assert_eq!(mutants(1), mutants(1));
    assert_ne!(mutants(1), mutants(2));
    let mut state = 3;
    for _ in 0..64 {
        let mut cut = frame.clone();
        mutate::truncate(&mut cut, &mut || mix(&mut state));
        assert!(cut.len() < frame.len() && frame.starts_with(&cut));
        let mut long = frame.clone();
        mutate::extend(&mut long, &mut || mix(&mut state));
        assert!(long.len() > frame.len() && long.starts_with(&frame));
        let mut turned = frame.clone();
        mutate::flip(&mut turned, &mut || mix(&mut state));
        let bits: u32 = frame.iter().zip(&turned).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!(bits, 1);
    }
}

/// Whether there is no other member number for the item of that index between its neighbours'.
fn wedged(items: &[Value], index: usize) -> bool {
    let cid = |index: usize| items.get(index).map(|item| Reader::new(&item.to_bytes()).u64().unwrap());
    let after = index.checked_sub(1).and_then(cid).map_or(0, |cid| cid + 1);
    let before = cid(index + 1).unwrap_or(u64::MAX);
    before - after <= 1
}

#[test]
fn every_leaf_with_an_alternative_changes() {
    for (id, part, shape) in shapes() {
        let (mut changed, mut fixed, mut state) = (0, std::collections::BTreeSet::new(), 5);
        for _ in 0..24 {
            let value = mutate::arbitrary_value("value", shape, &mut || mix(&mut state)).unwrap();
            for leaf in leaves(&value) {
                match mutate::change_leaf(&value, &leaf.path, shape, &mut || mix(&mut state)) {
                    Some(other) => {
                        assert_ne!(other, value, "{id} {}", leaf.name);
                        changed += 1;
                    }
                    // A number between two others that leave no room.
                    None if leaf.name.starts_with("blocks.")
                        && wedged(value.find("blocks").unwrap().parts(), leaf.path[1]) => {}
                    None if ["Gossip.to.", "body.Record.Wrap.to."].iter().any(|list| leaf.name.starts_with(list)) => {
                        let (index, list) = leaf.path.split_last().unwrap();
                        let to = list.iter().fold(&value, |value, part| &value.parts()[*part]);
                        assert!(wedged(to.parts(), *index), "{id} {}", leaf.name);
                    }
                    None => drop(fixed.insert(leaf.name)),
                }
            }
        }
        println!("{id:6} {part}: {changed} changed; without another encoding: {fixed:?}");
        // Only choices of one alternative have no other code.
        assert!(fixed.iter().all(|name| name.ends_with("Record.code")), "{id} {part}: {fixed:?}");
        assert!(changed > 0);
    }
}

#[test]
fn readers_stop_at_the_end() {
    let mut reader = Reader::new(&[0, 2, 1]);
    assert_eq!(reader.opaque(0, 9), Err(DecodeError::Truncated));
    assert_eq!(Reader::new(&[]).u8(), Err(DecodeError::Truncated));
    assert_eq!(Reader::new(&[1, 2]).bytes(usize::MAX), Err(DecodeError::Truncated));
    let mut reader = Reader::new(&[0, 1, 9, 8]);
    let mut inner = reader.nested(4).unwrap();
    assert_eq!(inner.u16(), Err(DecodeError::Truncated), "a nested reader ends with its value");
    assert_eq!((inner.u8(), inner.finish(), reader.u8()), (Ok(9), Ok(()), Ok(8)));
}
