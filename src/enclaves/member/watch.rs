//! What checkers of the test kit ask a member, and what no event tells.

use super::{Member, Phase};
use crate::crypto::{Aead, Secret};
use crate::endpoint::Instant;
use crate::identity::Epoch;
use alloc::sync::Arc;

impl Member {
    /// The two keys of the session, the leader's first: whoever has both can do what this session can.
    pub fn session_keys(&self) -> Option<(Arc<dyn Aead>, Arc<dyn Aead>)> {
        let session = self.session()?;
        let keys = &session.chain.place.keys;
        Some((keys.leader.clone(), keys.member.clone()))
    }

    /// The epoch installed here, and the secret that its data keys derive from.
    pub fn epoch_secret(&self) -> Option<(Epoch, &Secret)> {
        let (epoch, base) = self.session()?.station.ring.newest()?;
        Some((epoch, base.secret()))
    }

    /// What has been accepted in this session so far, by digests.
    pub fn told(&self) -> &[u64] {
        self.session().map_or(&[], |session| session.chain.diary.entries())
    }

    /// Until when the key here was known to be the leader's.
    pub fn current_as_of(&self) -> Option<Instant> {
        self.session().and_then(|session| session.evidence.current_as_of)
    }

    /// Of how many private messages the key is here, and the text is not.
    pub fn words_awaited(&self) -> usize {
        self.session().map_or(0, |session| session.gossips.awaited())
    }

    /// In words: which phase.
    pub fn phase(&self) -> &'static str {
        match &self.phase {
            Phase::Idle => "idle",
            Phase::Asking(_) => "asking",
            Phase::In(session) if session.confirm.is_some() => "confirming",
            Phase::In(session) if !session.joined => "joining",
            Phase::In(_) => "in",
            Phase::Ending(_) => "ending",
        }
    }
}
