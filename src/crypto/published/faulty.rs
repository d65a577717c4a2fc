//! The suite of 1999 with a mistake in it (feature `sim`), for attacks that need one (X1, X2). Never for use.

use alloc::sync::Arc;
use core::sync::atomic::AtomicUsize;

use super::PublishedSuite;
use super::des_md5_rsa::{DesMd5Rsa, Source};

/// Where the IV of `{x}_K` comes from (D4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ivs {
    /// Fresh and random: no mistake, and the same as [`des_md5_rsa`](super::des_md5_rsa).
    Random,
    /// Eight zero bytes each time. Nothing is drawn.
    Constant,
    /// The number of encryptions so far with this suite object, 8 bytes, big endian: never repeated, and known beforehand.
    /// Nothing is drawn. Give each principal an object of its own.
    Counter,
}

/// DES, MD5 and RSA with IVs of this kind. It looks the same on the wire: IVs stand in front of what they belong to.
pub fn des_md5_rsa_with_bad_ivs(ivs: Ivs) -> Arc<dyn PublishedSuite> {
    let ivs = match ivs {
        Ivs::Random => Source::Random,
        Ivs::Constant => Source::Constant,
        Ivs::Counter => Source::Counter(AtomicUsize::new(0)),
    };
    Arc::new(DesMd5Rsa { ivs })
}
