//! `{x}_K` of a declared text, as the published parts write it.

use alloc::vec::Vec;

use bytes::BytesMut;
use zeroize::Zeroizing;

use crate::crypto::Secret;
use crate::crypto::published::PublishedSuite;
use crate::endpoint::Entropy;
use crate::error::{Failure, Reason};
use crate::wire::Field;
use crate::wire::field::to_vec;

/// `{text}_key`.
pub(super) fn encrypt<'a>(
    suite: &dyn PublishedSuite,
    rng: &mut dyn Entropy,
    key: &Secret,
    text: &impl Field<'a>,
) -> Result<BytesMut, Reason> {
    let text = Zeroizing::new(to_vec(text));
    let mut sealed = BytesMut::with_capacity(text.len() + suite.sizes().sealing);
    suite.encrypt(rng, key, &text, &mut sealed).map_err(|error| Reason::from(Failure::from(error)))?;
    Ok(sealed)
}

/// What stands in `{…}_key`, not yet decoded.
pub(super) fn decrypt(suite: &dyn PublishedSuite, key: &Secret, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Reason> {
    Ok(suite.decrypt(key, sealed)?)
}
