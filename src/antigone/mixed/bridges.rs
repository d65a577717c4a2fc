//! What stands in for a neighbour's keys where editions meet (RA §2, mixed editions). Two bridges are elsewhere:
//! [`Group::of_epoch`](crate::antigone::keys::published::Group::of_epoch) is the g of a repaired epoch, and
//! [`bridge`](crate::antigone::data::bridge) is repaired data under a published key.

use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::{Key, Purpose, Suite, SuiteError};
use crate::ttp::schedule::LABEL;
use crate::wire::field::Digest;

/// σ for published parts behind a repaired join: for this session only.
///
/// # Errors
/// [`SuiteError`].
pub fn session_sigma(
    modern: &dyn Suite,
    published: &dyn PublishedSuite,
    root: &Key<role::ChannelRoot>,
) -> Result<Key<role::Pair>, SuiteError> {
    published.derive(modern, root.secret(), b"sigma").map(Key::new)
}

/// K_g for published data where repaired keys are distributed.
///
/// # Errors
/// [`SuiteError`].
pub fn data_key(
    modern: &dyn Suite,
    published: &dyn PublishedSuite,
    base: &Key<role::DataBase>,
) -> Result<Key<role::Group>, SuiteError> {
    published.derive(modern, base.secret(), b"published data").map(Key::new)
}

/// `Z` behind a published join: from σ and all three messages, each as a whole frame.
///
/// # Errors
/// [`SuiteError`].
pub fn channel_root(
    modern: &dyn Suite,
    sigma: &Key<role::Pair>,
    messages: [&[u8]; 3],
) -> Result<Key<role::ChannelRoot>, SuiteError> {
    let transcript = modern.hash(&messages)?;
    modern.extract(transcript.as_bytes(), &[sigma.secret()]).map(Key::new)
}

/// `h` and `k` of a repaired join behind a third party as published: from σ, AN-T1 and RA-J1, each as a whole frame.
///
/// # Errors
/// [`SuiteError`].
pub fn session(
    modern: &dyn Suite,
    sigma: &Key<role::Pair>,
    question: &[u8],
    join: &[u8],
) -> Result<(Digest, Key<role::Session>), SuiteError> {
    let digest = modern.hash(&[question, join])?;
    let root = modern.extract(b"bridge", &[sigma.secret()])?;
    let info = [LABEL, b"session", digest.as_bytes()];
    Ok((digest, Key::new(modern.expand(&root, &info, Purpose::Derive)?)))
}
