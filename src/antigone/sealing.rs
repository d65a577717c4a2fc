//! `{x}_K` of a declared text, as the published parts write it.

use alloc::vec::Vec;

use bytes::BytesMut;
use zeroize::Zeroizing;

use crate::crypto::Secret;
use crate::crypto::published::PublishedSuite;
use crate::endpoint::Entropy;
use crate::error::{Failure, Reason};
use crate::wire::Field;

/// `{text}_key`.
pub(super) fn encrypt<'a>(
    suite: &dyn PublishedSuite,
    rng: &mut dyn Entropy,
    key: &Secret,
    text: &impl Field<'a>,
) -> Result<BytesMut, Reason> {
    let text = secret_text(text, USUAL);
    let mut sealed = BytesMut::with_capacity(text.len() + suite.sizes().sealing);
    suite.encrypt(rng, key, text.expose(), &mut sealed).map_err(|error| Reason::from(Failure::from(error)))?;
    Ok(sealed)
}

/// Bytes that every text without application data has room in.
const USUAL: usize = 2_048;

/// `text` as encoded, wiped when it is dropped. `room` is how many bytes it takes at most: in a buffer that had to grow, its
/// beginning would stay behind.
pub(super) fn secret_text<'a>(text: &impl Field<'a>, room: usize) -> Secret {
    let mut out = BytesMut::with_capacity(room);
    text.put(&mut out);
    Secret::take(&mut out)
}

/// What stands in `{…}_key`, not yet decoded.
pub(super) fn decrypt(suite: &dyn PublishedSuite, key: &Secret, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Reason> {
    Ok(suite.decrypt(key, sealed)?)
}
