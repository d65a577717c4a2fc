//! Where a member stands, in a word: for tables, charts and tests that must reach every state.

use super::{Member, Phase};

impl Member {
    /// `idle`, `asking`, `confirming`, `held` (a key block waits for its prerequisites), `paging` (part of a view is here),
    /// `in`, `stale`, `behind`, `ending`.
    pub fn label(&self) -> &'static str {
        match &self.phase {
            Phase::Idle => "idle",
            Phase::Asking(_) => "asking",
            Phase::Ending(_) => "ending",
            Phase::In(session) if session.pages.is_some() => "paging",
            Phase::In(session) if session.held.is_some() => "held",
            Phase::In(session) if !session.joined => "confirming",
            Phase::In(session) if session.stale => "stale",
            Phase::In(session) if session.behind => "behind",
            Phase::In(_) => "in",
        }
    }
}
