//! Frames that attackers make, with whatever keys their rows give them.

pub mod enclaves;
pub mod published;
pub mod repaired;
pub mod version_two;

use sodality::sim::Draft;
use sodality::wire::Value;
use sodality::wire::shape::Content;

use crate::row::{Failed, Ran};

/// The bytes of a field, as they stand on the wire.
///
/// # Errors
/// [`Failed`] if there is no such field.
pub fn field(value: &Value, name: &str) -> Ran<Vec<u8>> {
    let found = value.find(name).ok_or_else(|| Failed::steps(format_args!("no field {name}")))?;
    Ok(found.to_bytes())
}

/// Puts these bytes, as they stand on the wire, in place of a field.
///
/// # Errors
/// [`Failed`] if there is no such field.
pub fn set(value: &mut Value, name: &str, bytes: impl Into<Vec<u8>>) -> Ran<()> {
    let found = value.find_mut(name).ok_or_else(|| Failed::steps(format_args!("no field {name}")))?;
    found.content = Content::Leaf(bytes.into());
    Ok(())
}

/// A field that is a number.
///
/// # Errors
/// [`Failed`] if there is no such field.
pub fn number(value: &Value, name: &str) -> Ran<u64> {
    Ok(field(value, name)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Changes a number of eight bytes.
///
/// # Errors
/// [`Failed`] if there is no such field.
pub fn renumber(draft: &mut Draft, name: &str, change: impl FnOnce(u64) -> u64) -> Ran<()> {
    let now = number(&draft.clear, name)?;
    set(&mut draft.clear, name, change(now).to_be_bytes())
}

/// A name as it stands on the wire.
pub fn lettered(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
