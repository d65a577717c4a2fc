//! Inputs of a vector. Whatever cannot be read is an error and no panic: altered inputs come through here too.

use core::fmt::Debug;

use serde_json::Value;
use sodality::crypto::{Key, Secret};
use sodality::endpoint::{Entropy, EntropyError};
use sodality::identity::{Instance, MemberId, NameRef, Version};
use sodality::wire::field::{Digest, Nonce, VerifyingKey};

/// Bytes, or what went wrong.
pub(crate) type Made = Result<Vec<u8>, String>;

/// Any error as text.
pub(crate) fn no<E: Debug>(error: E) -> String {
    format!("{error:?}")
}

/// Whether what a frame opens to is what went in.
pub(crate) fn same(same: bool) -> Result<(), String> {
    if same { Ok(()) } else { Err("opens to something else".to_string()) }
}

/// Fields of a JSON object.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'v>(pub(crate) &'v Value);

impl<'v> Fields<'v> {
    pub(crate) fn get(self, name: &str) -> Result<&'v Value, String> {
        self.0.get(name).ok_or_else(|| format!("no {name}"))
    }

    pub(crate) fn at(self, name: &str) -> Result<Self, String> {
        self.get(name).map(Self)
    }

    pub(crate) fn list(self, name: &str) -> Result<impl Iterator<Item = Self>, String> {
        Ok(self.get(name)?.as_array().ok_or("no list")?.iter().map(Self))
    }

    pub(crate) fn text(self, name: &str) -> Result<&'v str, String> {
        self.get(name)?.as_str().ok_or_else(|| format!("{name} is no text"))
    }

    pub(crate) fn name(self, name: &str) -> Result<NameRef<'v>, String> {
        NameRef::new(self.text(name)?).map_err(no)
    }

    pub(crate) fn number(self, name: &str) -> Result<u64, String> {
        self.get(name)?.as_u64().ok_or_else(|| format!("{name} is no number"))
    }

    pub(crate) fn short(self, name: &str) -> Result<u32, String> {
        u32::try_from(self.number(name)?).map_err(no)
    }

    pub(crate) fn bytes(self, name: &str) -> Made {
        hex(self.get(name)?)
    }

    pub(crate) fn secret(self, name: &str) -> Result<Secret, String> {
        Ok(Secret::new(&self.bytes(name)?))
    }

    pub(crate) fn key<R>(self, name: &str) -> Result<Key<R>, String> {
        self.secret(name).map(Key::new)
    }

    pub(crate) fn nonce(self, name: &str) -> Result<Nonce, String> {
        Nonce::new(&self.bytes(name)?).ok_or_else(|| format!("{name} is no nonce"))
    }

    pub(crate) fn digest(self, name: &str) -> Result<Digest, String> {
        Digest::new(&self.bytes(name)?).ok_or_else(|| format!("{name} is no digest"))
    }

    pub(crate) fn verifying_key(self, name: &str) -> Result<VerifyingKey, String> {
        VerifyingKey::new(&self.bytes(name)?).ok_or_else(|| format!("{name} is no key"))
    }

    pub(crate) fn instance(self, name: &str) -> Result<Instance, String> {
        self.bytes(name)?.try_into().map(Instance).map_err(no)
    }

    pub(crate) fn cid(self, name: &str) -> Result<MemberId, String> {
        self.number(name).map(MemberId)
    }

    /// A list of member numbers.
    pub(crate) fn cids(self, name: &str) -> Result<Vec<MemberId>, String> {
        let numbers = self.list(name)?.map(|number| number.0.as_u64().ok_or_else(|| format!("{name}: no number")));
        numbers.map(|number| number.map(MemberId)).collect()
    }

    pub(crate) fn version(self, name: &str) -> Result<Version, String> {
        self.number(name).map(Version)
    }

    /// Of a choice: which alternative, and what is inside.
    pub(crate) fn choice(self, name: &str) -> Result<(&'v str, Self), String> {
        chosen(self.get(name)?)
    }
}

/// As [`Fields::choice`].
pub(crate) fn chosen(value: &Value) -> Result<(&str, Fields<'_>), String> {
    if let Some(name) = value.as_str() {
        return Ok((name, Fields(&Value::Null)));
    }
    let (name, inner) = value.as_object().and_then(|object| object.iter().next()).ok_or("no choice")?;
    Ok((name, Fields(inner)))
}

/// Bytes as the vectors write them.
pub(crate) fn hex(value: &Value) -> Made {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).ok_or("no bytes")?;
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2).unwrap_or("-"), 16).map_err(no))
        .collect()
}

/// A random source that says what it was told to, and fails afterwards.
pub(crate) struct Script(pub(crate) Vec<Vec<u8>>);

impl Script {
    pub(crate) fn new<const N: usize>(draws: [Vec<u8>; N]) -> Self {
        Self(draws.into_iter().rev().collect())
    }
}

impl Entropy for Script {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        match self.0.pop() {
            Some(draw) if draw.len() == out.len() => out.copy_from_slice(&draw),
            _ => return Err(EntropyError),
        }
        Ok(())
    }
}

/// A random source for what does not show in any bytes: the blinding of a signature.
pub(crate) struct Blinding;

impl Entropy for Blinding {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(0x5a);
        Ok(())
    }
}
