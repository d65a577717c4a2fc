//! The vectors of the reference in Python (`tests/reference`), made again and opened by the library: byte for byte, and
//! each input counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "vectors/enclaves_first.rs"]
mod enclaves_first;
#[path = "vectors/enclaves_published.rs"]
mod enclaves_published;
#[path = "vectors/enclaves_repaired.rs"]
mod enclaves_repaired;
#[path = "vectors/json.rs"]
mod json;
#[path = "vectors/mixed.rs"]
mod mixed;
#[path = "vectors/published.rs"]
mod published;
#[path = "vectors/repaired.rs"]
mod repaired;
#[path = "vectors/shared.rs"]
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use json::{Fields, Made, hex};
use serde_json::Value;
use sodality::crypto::{Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::wire::TABLES;

fn modern(id: u8) -> Arc<dyn Suite> {
    match id {
        1 => aes_128_gcm(),
        2 => aes_256_gcm(),
        3 => chacha20_poly1305(),
        other => panic!("no modern suite {other}"),
    }
}

fn vectors() -> Vec<Value> {
    ["antigone", "enclaves", "enclaves_first"].into_iter().flat_map(vectors_of).collect()
}

fn vectors_of(file: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the vectors are there: python3 tests/reference/make_vectors.py");
    let all: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    all["vectors"].as_array().expect("a list of vectors").clone()
}

/// What a vector is called in messages.
fn title(vector: &Value) -> String {
    format!("{} ({}, suite {}) {}", vector["id"], vector["edition"], vector["suite"], vector["note"])
}

fn make(vector: &Value) -> Made {
    let (id, suite) = (vector["id"].as_str().unwrap(), vector["suite"].as_u64().unwrap() as u8);
    let (inputs, opening) = (Fields(&vector["inputs"]), Fields(&vector["opening"]));
    match vector["edition"].as_str() {
        Some("published") => published::make(id, suite, inputs),
        Some("mixed") => mixed::make(id, suite, inputs),
        Some("repaired") => repaired::make(id, suite, inputs, opening),
        Some("enclaves 1.0") => enclaves_first::make(id, suite, inputs),
        Some("enclaves 2.0") => enclaves_published::make(id, suite, inputs),
        Some("enclaves") => enclaves_repaired::make(id, suite, inputs),
        other => Err(format!("edition {other:?}")),
    }
}

fn open(vector: &Value, frame: &[u8]) -> Result<(), String> {
    let (id, suite) = (vector["id"].as_str().unwrap(), vector["suite"].as_u64().unwrap() as u8);
    let (inputs, opening) = (Fields(&vector["inputs"]), Fields(&vector["opening"]));
    match vector["edition"].as_str() {
        Some("published") => published::open(id, suite, inputs, opening, frame),
        // Keys: nobody opens them.
        Some("mixed") => Ok(()),
        Some("repaired") => repaired::open(id, suite, inputs, opening, frame),
        Some("enclaves 1.0") => enclaves_first::open(id, suite, inputs, frame),
        Some("enclaves 2.0") => enclaves_published::open(id, suite, inputs, frame),
        Some("enclaves") => enclaves_repaired::open(id, suite, inputs, opening, frame),
        other => Err(format!("edition {other:?}")),
    }
}

/// The comparison: whether what the library makes of the inputs is what the vector says.
fn compare(vector: &Value, made: &Made) -> Result<(), String> {
    let (stored, made) = (hex(&vector["bytes"])?, made.as_ref()?);
    if stored == *made {
        return Ok(());
    }
    let at = stored.iter().zip(made).position(|(one, other)| one != other).unwrap_or(stored.len().min(made.len()));
    Err(format!("differs from byte {at}: {} and {} bytes", stored.len(), made.len()))
}

fn agrees(vector: &Value) -> Result<(), String> {
    compare(vector, &make(vector))
}

#[test]
fn the_library_makes_what_the_reference_makes() {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for vector in vectors() {
        wrong.extend(agrees(&vector).err().map(|error| format!("{}: {error}", title(&vector))));
        let edition = vector["edition"].as_str().unwrap().to_string();
        *counts.entry((edition, vector["id"].as_str().unwrap().to_string())).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for ((edition, id), count) in &counts {
        println!("{edition:12} {id:13} {count} vectors");
    }
    let ids: BTreeSet<_> = counts.keys().map(|(_, id)| id.as_str()).collect();
    for info in TABLES.into_iter().flatten() {
        assert!(ids.contains(info.id), "{}: no vector", info.id);
    }
}

#[test]
fn the_library_opens_what_the_reference_makes() {
    let mut wrong = Vec::new();
    let mut opened = 0;
    for vector in vectors() {
        let frame = hex(&vector["bytes"]).unwrap();
        wrong.extend(open(&vector, &frame).err().map(|error| format!("{}: {error}", title(&vector))));
        opened += 1;
        if let Some(info) = TABLES.into_iter().flatten().find(|info| info.id == vector["id"]) {
            let parts = info.dissect(&frame).unwrap();
            assert_eq!(parts.clear.to_bytes(), frame[parts.clear.range], "{}", title(&vector));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{opened} vectors opened");
}

/// Paths to all leaves of `value` that can be altered.
fn leaves(value: &Value, path: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(name, inner)| leaves(inner, &format!("{path}/{name}"), all)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, inner)| leaves(inner, &format!("{path}/{at}"), all))
        }
        Value::String(text) if text != "0x" && !text.is_empty() => all.push(path.to_string()),
        Value::Number(_) | Value::Bool(_) => all.push(path.to_string()),
        _ => {}
    }
}

/// Alters a leaf a little: a bit in the middle of bytes (no bit of parity of a DES key), a letter, a number.
fn alter(leaf: &mut Value) {
    *leaf = match leaf {
        Value::Bool(yes) => Value::Bool(!*yes),
        Value::Number(number) => Value::from(number.as_u64().unwrap() + 1),
        Value::String(text) if text.starts_with("0x") => {
            let at = 2 + (text.len() / 2 - 1) / 2 * 2;
            let byte = u8::from_str_radix(&text[at..at + 2], 16).unwrap() ^ 0x10;
            Value::from(format!("{}{byte:02x}{}", &text[..at], &text[at + 2..]))
        }
        Value::String(text) => {
            let first = if text.starts_with('x') { 'y' } else { 'x' };
            let rest: String = text.chars().skip(1).collect();
            Value::from(format!("{first}{rest}"))
        }
        other => panic!("no leaf: {other}"),
    };
}

#[test]
fn an_altered_vector_is_noticed() {
    let (mut inputs, mut bytes) = (0, 0);
    for vector in vectors() {
        let mut all = Vec::new();
        leaves(&vector["inputs"], "/inputs", &mut all);
        assert!(!all.is_empty(), "{}: without inputs", title(&vector));
        for path in all {
            let mut altered = vector.clone();
            alter(altered.pointer_mut(&path).unwrap());
            assert!(agrees(&altered).is_err(), "{}: {path} has no part in it", title(&vector));
            inputs += 1;
        }
        let (length, made) = (hex(&vector["bytes"]).unwrap().len(), make(&vector));
        for at in 0..length {
            let mut altered = vector.clone();
            let Value::String(text) = &mut altered["bytes"] else { panic!("no bytes") };
            let old = text.remove(3 + 2 * at);
            text.insert(3 + 2 * at, if old == '0' { '1' } else { '0' });
            assert!(compare(&altered, &made).is_err(), "{}: byte {at}", title(&vector));
            bytes += 1;
        }
    }
    println!("{inputs} inputs altered, {bytes} bytes");
}
