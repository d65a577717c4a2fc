//! Keys of one join (RA §2).

use alloc::sync::Arc;

use crate::crypto::keys::role;
use crate::crypto::{Aead, Key, Purpose, Secret, Suite, SuiteError};
use crate::ttp::schedule::LABEL;
use crate::wire::field::Digest;

/// `TH`: the digest of the question to the third party and of the clear part of the answer to the member.
///
/// # Errors
/// [`SuiteError`].
pub fn transcript(suite: &dyn Suite, question: &Digest, clear: &[u8]) -> Result<Digest, SuiteError> {
    suite.hash(&[question.as_bytes(), clear])
}

/// `Z`: what the keys of a channel derive from.
///
/// # Errors
/// [`SuiteError`].
pub fn channel_root(
    suite: &dyn Suite,
    session: &Key<role::Session>,
    exchanged: Option<&Secret>,
    transcript: &Digest,
) -> Result<Key<role::ChannelRoot>, SuiteError> {
    let root = match exchanged {
        Some(exchanged) => suite.extract(transcript.as_bytes(), &[session.secret(), exchanged])?,
        None => suite.extract(transcript.as_bytes(), &[session.secret()])?,
    };
    Ok(Key::new(root))
}

/// The two keys of a channel, by direction.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct ChannelKeys {
    /// `k_LA`: sealed by the leader alone.
    pub leader: Key<role::LeaderChannel>,
    /// `k_AL`: sealed by the member alone.
    pub member: Key<role::MemberChannel>,
}

fingerprint!(ChannelKeys { leader, member });

/// The keys of a channel, prepared: the leader's, then the member's.
pub type Prepared = (Arc<dyn Aead>, Arc<dyn Aead>);

impl ChannelKeys {
    /// From the session key, the result of the ephemeral exchange if there was one, and the transcript.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn derive(
        suite: &dyn Suite,
        session: &Key<role::Session>,
        exchanged: Option<&Secret>,
        transcript: &Digest,
    ) -> Result<Self, SuiteError> {
        Self::of_root(suite, &channel_root(suite, session, exchanged, transcript)?)
    }

    /// From what [`channel_root`] made, or a bridge in its place.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn of_root(suite: &dyn Suite, root: &Key<role::ChannelRoot>) -> Result<Self, SuiteError> {
        let root = root.secret();
        Ok(Self {
            leader: Key::new(suite.expand(root, &[LABEL, b"leader to member"], Purpose::Aead)?),
            member: Key::new(suite.expand(root, &[LABEL, b"member to leader"], Purpose::Aead)?),
        })
    }

    /// Both, prepared: leader's, then member's.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn prepare(&self, suite: &dyn Suite) -> Result<Prepared, SuiteError> {
        Ok((suite.aead(self.leader.secret())?, suite.aead(self.member.secret())?))
    }
}
