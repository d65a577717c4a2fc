//! proptest strategies for everything declared, made from the declarations: a new message has one without further work.
//!
//! Each strategy is a list of numbers that [`super::mutate`] turns into a value; fewer and smaller numbers give smaller
//! values, so that failing cases shrink, and whatever they shrink to is valid.

use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::frame::{Header, MAX_TEXT, MessageInfo};
use super::mutate::{arbitrary, change_leaf, leaves, mutate};
use super::shape::{Shape, Value};

/// How many numbers a case has at most; what needs more gets zeros.
const NUMBERS: usize = 96;

/// Seeds of numbers, and a source that gives them one after the other, then zeros.
fn numbers() -> impl Strategy<Value = Vec<u64>> {
    vec(any::<u64>(), 0..=NUMBERS)
}

fn source(numbers: Vec<u64>) -> impl FnMut() -> u64 {
    let mut numbers = numbers.into_iter();
    move || numbers.next().unwrap_or(0)
}

/// Valid encodings of `shape`: least and greatest lengths, absent values, rising lists, all alternatives.
pub fn encoding(shape: &'static Shape) -> BoxedStrategy<Vec<u8>> {
    numbers().prop_map(|numbers| arbitrary(shape, usize::MAX, &mut source(numbers))).boxed()
}

/// As [`encoding`], at most `budget` bytes where the shape allows.
pub fn encoding_within(shape: &'static Shape, budget: usize) -> BoxedStrategy<Vec<u8>> {
    numbers().prop_map(move |numbers| arbitrary(shape, budget, &mut source(numbers))).boxed()
}

/// Values of `shape`, taken apart.
pub fn value(name: &'static str, shape: &'static Shape) -> BoxedStrategy<Value> {
    encoding(shape).prop_filter_map("valid", move |bytes| Value::read(name, shape, &bytes).ok()).boxed()
}

/// Tags of the lengths that suites use, and of none.
pub fn tag() -> BoxedStrategy<Vec<u8>> {
    (prop_oneof![4 => Just(16usize), 1 => Just(0), 1 => Just(8), 1 => Just(32)], any::<u8>())
        .prop_flat_map(|(length, fill)| prop_oneof![Just(alloc::vec![fill; length]), vec(any::<u8>(), length)])
        .boxed()
}

/// Whole frames of one message: valid clear fields, a valid body as the text (unsealed), any tag.
pub fn frame(info: &'static MessageInfo, header: Header) -> BoxedStrategy<Vec<u8>> {
    let text = match info.body {
        Some(body) => encoding_within(body, MAX_TEXT),
        None => Just(Vec::new()).boxed(),
    };
    (encoding(info.clear), text, tag())
        .prop_map(move |(clear, text, tag)| info.compose(header, &clear, &text, &tag))
        .boxed()
}

/// `value` with exactly one leaf changed to another valid encoding ([`change_leaf`]). Leaves that have no other encoding
/// are passed over; a value of only such leaves gives no case.
pub fn with_one_leaf_changed(value: Value, shape: &'static Shape) -> BoxedStrategy<Value> {
    let all = leaves(&value);
    let numbers = vec(any::<u64>(), NUMBERS);
    (any::<prop::sample::Index>(), numbers)
        .prop_filter_map("one leaf with another encoding", move |(index, numbers)| {
            let first = if all.is_empty() { return None } else { index.index(all.len()) };
            let mut source = source(numbers);
            let turned = all.iter().cycle().skip(first).take(all.len());
            turned.into_iter().find_map(|leaf| change_leaf(&value, &leaf.path, shape, &mut source))
        })
        .boxed()
}

/// Mutants of `bytes`: bits turned, cut, lengthened, spliced with `other`, absurd lengths.
pub fn mutant(bytes: Vec<u8>, other: Vec<u8>) -> BoxedStrategy<Vec<u8>> {
    numbers().prop_map(move |numbers| mutate(&bytes, &other, &mut source(numbers))).boxed()
}
