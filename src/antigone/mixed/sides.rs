//! What all parties of a mixed group agree on beforehand.

use alloc::sync::Arc;

use super::bridges;
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::{Key, Suite};
use crate::error::{DecodeError, Failure, Reason};
use crate::identity::Name;
use crate::policy::{Mix, Part};
use crate::wire::field::Digest;
use crate::wire::{Edition, Header, System};

/// Suites, editions and names.
#[derive(Debug, Clone)]
pub(super) struct Sides {
    pub(super) modern: Arc<dyn Suite>,
    pub(super) published: Arc<dyn PublishedSuite>,
    pub(super) mix: Mix,
    pub(super) app: Name,
    pub(super) leader: Name,
}

impl Sides {
    pub(super) fn repaired_header(&self) -> Header {
        Header { system: System::Antigone, edition: Edition::Repaired, suite: self.modern.id() }
    }

    pub(super) fn published_header(&self) -> Header {
        Header { system: System::Antigone, edition: Edition::AsPublished, suite: self.published.id() }
    }

    pub(super) fn is_published(&self, part: Part) -> bool {
        self.mix.editions.is_published(part)
    }

    /// Whether leader and member have a channel: some repaired part that speaks over it, or seals under its keys.
    pub(super) fn has_channel(&self) -> bool {
        use Part::{Join, KeyRequest, Keys, LeaderHeartbeat, Leave, MemberHeartbeat};
        [Join, Keys, Leave, LeaderHeartbeat, MemberHeartbeat, KeyRequest]
            .into_iter()
            .any(|part| !self.is_published(part))
    }

    /// Edition and type of a frame.
    pub(super) fn code_of(&self, frame: &[u8]) -> Result<(Edition, u8), Reason> {
        match self.published_header().code_of(frame) {
            Ok(code) => return Ok((Edition::AsPublished, code)),
            Err(DecodeError::Header) => {}
            Err(_) => return Err(Reason::Malformed),
        }
        match self.repaired_header().code_of(frame) {
            Ok(code) => Ok((Edition::Repaired, code)),
            Err(DecodeError::Header) => Err(Reason::Mismatch),
            Err(_) => Err(Reason::Malformed),
        }
    }

    /// A frame of this part must be of the edition that was chosen for it.
    pub(super) fn expect(&self, part: Part, edition: Edition) -> Result<(), Reason> {
        if self.mix.editions.of(part) == edition { Ok(()) } else { Err(Reason::Mismatch) }
    }

    /// σ for published parts behind a repaired join: for this session only.
    pub(super) fn session_sigma(&self, root: &Key<role::ChannelRoot>) -> Result<Key<role::Pair>, Failure> {
        Ok(bridges::session_sigma(&*self.modern, &*self.published, root)?)
    }

    /// `Z` behind a published join: from σ and all three messages.
    pub(super) fn channel_root(
        &self,
        sigma: &Key<role::Pair>,
        messages: [&[u8]; 3],
    ) -> Result<Key<role::ChannelRoot>, Failure> {
        Ok(bridges::channel_root(&*self.modern, sigma, messages)?)
    }

    /// The digest of the question, and k, for a repaired join behind a third party as published.
    pub(super) fn bridged_session(
        &self,
        sigma: &Key<role::Pair>,
        question: &[u8],
        join: &[u8],
    ) -> Result<(Digest, Key<role::Session>), Failure> {
        Ok(bridges::session(&*self.modern, sigma, question, join)?)
    }
}
