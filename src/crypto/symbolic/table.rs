//! The terms behind handles.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How deep an explanation goes.
const DEPTH: usize = 12;
/// How long one gets before it is cut short, in bytes.
const ENOUGH: usize = 1 << 16;
/// The shortest prefix by which a handle is recognised, in bytes.
const SHORTEST: usize = 16;
/// The longest part of a value that names it, in bytes.
const LONGEST: usize = 32;

/// A function and what it was applied to.
#[derive(Clone, PartialEq, Eq)]
pub struct Term {
    /// The function: `fresh`, `hash`, `extract`, `expand`, `mac`, `box`, `public`, `sign`, `share`, `agree`.
    pub kind: &'static str,
    /// Its arguments: bytes, in which handles of other terms may stand.
    pub fields: Vec<Vec<u8>>,
}

impl core::fmt::Debug for Term {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}({} fields)", self.kind, self.fields.len())
    }
}

/// The terms of one world. Grows with each new term.
#[derive(Clone, Default)]
pub struct TermTable(Arc<Mutex<BTreeMap<Vec<u8>, Term>>>);

impl core::fmt::Debug for TermTable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "TermTable({} terms)", self.lock().len())
    }
}

impl TermTable {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Term>> {
        // Each change is one insertion, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn note(&self, handle: &[u8], kind: &'static str, fields: &[&[&[u8]]]) {
        let fields = fields.iter().map(|parts| parts.concat()).collect();
        let handle = handle.get(..LONGEST).unwrap_or(handle).to_vec();
        let mut terms = self.lock();
        match terms.get(&handle) {
            // Of two ways to the same handle, keep the one that says more.
            Some(known) if !known.fields.is_empty() => {}
            _ => {
                terms.insert(handle, Term { kind, fields });
            }
        }
    }

    pub(super) fn get(&self, handle: &[u8]) -> Option<Term> {
        find(&self.lock(), handle).map(|(_, term)| term.clone())
    }

    pub(super) fn explain(&self, handle: &[u8]) -> Option<String> {
        let terms = self.lock();
        let (handle, term) = find(&terms, handle)?;
        let mut out = String::new();
        write_term(&terms, handle, term, DEPTH, &mut out);
        Some(out)
    }
}

fn find<'t>(terms: &'t BTreeMap<Vec<u8>, Term>, handle: &[u8]) -> Option<(&'t Vec<u8>, &'t Term)> {
    let handle = handle.get(..LONGEST).unwrap_or(handle);
    if handle.len() < SHORTEST {
        return None;
    }
    terms.range(handle.to_vec()..).next().filter(|(known, _)| known.starts_with(handle))
}

fn write_term(terms: &BTreeMap<Vec<u8>, Term>, handle: &[u8], term: &Term, depth: usize, out: &mut String) {
    out.push_str(term.kind);
    if term.kind == "fresh" {
        out.push(':');
        handle.iter().take(4).for_each(|byte| _ = write!(out, "{byte:02x}"));
        return;
    }
    out.push('(');
    for (at, field) in term.fields.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        if depth == 0 || out.len() > ENOUGH {
            out.push('…');
        } else {
            write_bytes(terms, field, depth - 1, out);
        }
    }
    out.push(')');
}

/// Bytes, with the handles in them written out.
fn write_bytes(terms: &BTreeMap<Vec<u8>, Term>, mut bytes: &[u8], depth: usize, out: &mut String) {
    let mut plain = Vec::new();
    let mut first = true;
    while let Some((byte, rest)) = bytes.split_first() {
        match embedded(terms, bytes) {
            Some((handle, term, length)) => {
                flush(&mut plain, &mut first, out);
                separate(&mut first, out);
                write_term(terms, handle, term, depth, out);
                bytes = bytes.get(length..).unwrap_or_default();
            }
            None => {
                plain.push(*byte);
                bytes = rest;
            }
        }
    }
    flush(&mut plain, &mut first, out);
    if first {
        out.push_str("\"\"");
    }
}

/// The handle, cut or whole, at the front of `bytes`, and how many bytes of it stand there.
fn embedded<'t>(terms: &'t BTreeMap<Vec<u8>, Term>, bytes: &[u8]) -> Option<(&'t Vec<u8>, &'t Term, usize)> {
    let (handle, term) = find(terms, bytes.get(..SHORTEST)?)?;
    let length = handle.iter().zip(bytes).take_while(|(known, byte)| known == byte).count();
    Some((handle, term, length))
}

fn separate(first: &mut bool, out: &mut String) {
    if !core::mem::take(first) {
        out.push_str(" ‖ ");
    }
}

fn flush(plain: &mut Vec<u8>, first: &mut bool, out: &mut String) {
    if plain.is_empty() {
        return;
    }
    separate(first, out);
    match core::str::from_utf8(plain) {
        Ok(text) if !text.chars().any(char::is_control) => _ = write!(out, "{text:?}"),
        _ => {
            out.push_str("0x");
            plain.iter().for_each(|byte| _ = write!(out, "{byte:02x}"));
        }
    }
    plain.clear();
}
