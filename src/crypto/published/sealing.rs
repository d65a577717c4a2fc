//! `{x}_K` of a declared text, as the published parts of both systems write it.

use alloc::vec::Vec;

use bytes::BytesMut;
use zeroize::Zeroizing;

use super::super::Secret;
use super::PublishedSuite;
use crate::endpoint::Entropy;
use crate::error::{Failure, Reason};
use crate::wire::Field;
use crate::wire::field::Nonce;

/// `{text}_key`.
pub(crate) fn encrypt<'a>(
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
pub(crate) const USUAL: usize = 2_048;

/// `text` as encoded, wiped when it is dropped. `room` is how many bytes it takes at most: in a buffer that had to grow, its
/// beginning would stay behind.
pub(crate) fn secret_text<'a>(text: &impl Field<'a>, room: usize) -> Secret {
    let mut out = BytesMut::with_capacity(room);
    text.put(&mut out);
    Secret::take(&mut out)
}

/// What stands in `{…}_key`, not yet decoded.
pub(crate) fn decrypt(suite: &dyn PublishedSuite, key: &Secret, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Reason> {
    Ok(suite.decrypt(key, sealed)?)
}

/// `{text}_key` under the initialization vector of the key (D5). `room` as in [`secret_text`].
pub(crate) fn encrypt_fixed<'a>(
    suite: &dyn PublishedSuite,
    key: &Secret,
    iv: &Nonce,
    text: &impl Field<'a>,
    room: usize,
) -> Result<BytesMut, Reason> {
    let text = secret_text(text, room);
    let mut sealed = BytesMut::with_capacity(text.len() + suite.sizes().sealing);
    suite.encrypt_fixed(key, iv, text.expose(), &mut sealed)?;
    Ok(sealed)
}

/// The reverse, not yet decoded.
pub(crate) fn decrypt_fixed(
    suite: &dyn PublishedSuite,
    key: &Secret,
    iv: &Nonce,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Reason> {
    Ok(suite.decrypt_fixed(key, iv, sealed)?)
}
