//! Where a leader stands with somebody, in a word: for tables, charts and tests that must reach every state.

use super::Leader;
use crate::antigone::join::admitting::Stage;
use crate::identity::{MemberId, Name};

fn of_stage(stage: &Stage) -> &'static str {
    match stage {
        Stage::Waiting(_) => "waiting",
        Stage::Deciding(..) => "deciding",
        Stage::Offered(_) => "offered",
        Stage::Refused(_) => "refused",
    }
}

impl Leader {
    /// What became of the newest join of `name`: `waiting`, `deciding`, `offered`, `refused`; `member`; `unknown`.
    pub fn label_of_name(&self, name: &Name) -> &'static str {
        let newest = self.pendings.iter().filter(|(_, pending)| pending.name == *name).last();
        match newest {
            Some((_, pending)) => of_stage(&pending.stage),
            None if self.peers.values().any(|peer| peer.name == *name) => "member",
            None => "unknown",
        }
    }

    /// Where the channel of this number stands: `offered`, `admitted` (its epoch is still to come), `member`,
    /// `suspected`, `lingering`, `unknown`.
    pub fn label_of(&self, cid: MemberId) -> &'static str {
        match self.peers.get(&cid) {
            _ if self.lingering.contains_key(&cid) => "lingering",
            Some(peer) if peer.waits() => "admitted",
            Some(peer) if peer.suspected => "suspected",
            Some(_) => "member",
            None if self.pendings.offered(cid).is_some() => "offered",
            None => "unknown",
        }
    }
}
