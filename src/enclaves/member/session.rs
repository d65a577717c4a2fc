//! What a member knows in a group.

use alloc::boxed::Box;

use bytes::Bytes;

use super::requests::Requests;
use crate::enclaves::chain::MemberChain;
use crate::endpoint::{Instant, Link};
use crate::event::Lacking;
use crate::group::alike::freshness;
use crate::group::judgement::{Evidence, Own};
use crate::group::pages::Assembly;
use crate::group::private::Words;
use crate::group::station::{Ruling, Station};
use crate::group::{Backoff, Check};
use crate::objects::Guest;
use crate::policy::Views;
use crate::wire::field::VerifyingKey;

/// A member's session: from the accepted offer to the end.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Session {
    pub(super) station: Station,
    pub(super) chain: MemberChain,
    pub(super) link: Option<Link>,
    /// The leader's own entry in the view must hold it.
    pub(super) leader_key: VerifyingKey,
    /// EN-R3, repeated until the first AdminMsg.
    pub(super) confirm: Option<Confirm>,
    /// Key and view are here and have been known to be current: the join is complete.
    pub(super) joined: bool,
    /// Until when it must be.
    pub(super) until: Instant,
    pub(super) pages: Option<Assembly>,
    /// The policy to come: only the newest.
    pub(super) next_policy: Option<Box<Ruling>>,
    pub(super) evidence: Evidence,
    /// Since when the detection of failures is what it is.
    pub(super) watched_since: Instant,
    pub(super) behind: bool,
    pub(super) stale: bool,
    /// Frames that came before their key may open now.
    pub(super) early: bool,
    pub(super) requests: Requests,
    pub(super) gossips: Words,
    pub(super) objects: Guest,
    /// What was last told to be lacking, while behind.
    pub(super) told: Option<Lacking>,
}

fingerprint!(Session {
    station, chain, link, leader_key, confirm, joined, until, pages, next_policy, evidence, watched_since, behind, stale, early,
    requests, gossips, objects,
} skip { told });

/// EN-R3 on its way.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Confirm {
    pub(super) frame: Bytes,
    pub(super) backoff: Backoff,
}

fingerprint!(Confirm { frame, backoff });

impl Session {
    freshness!();

    /// Judges the newest word of the leader again. True if the evidence moved.
    pub(super) fn judge(&mut self) -> bool {
        let own = Own {
            standing: self.station.standing(),
            holds_key: self.station.ring.current_epoch().is_some(),
            echo_epoch: self.station.checks.on(Check::EchoEpoch),
            // Until the roster is complete nothing is (the join); after that the chain itself brings what is missing.
            exact: self.station.policy.views != Views::Hidden && !self.joined,
        };
        let verdict = self.evidence.judge(own);
        self.behind = verdict.behind;
        verdict.moved
    }

    /// What is to be told about a key that is lacking, once.
    pub(super) fn newly_lacks(&mut self) -> Option<Lacking> {
        let lacks = self.behind.then_some(Lacking::Key);
        let new = lacks.filter(|_| self.told != lacks);
        self.told = lacks;
        new
    }

    /// There is another way to the leader: it is shown there, by whatever is next to be said. A confirmation says nothing to a
    /// leader that has it already, so a request follows it.
    pub(super) fn show_up(&mut self, now: Instant) {
        if let Some(confirm) = &mut self.confirm {
            confirm.backoff.hurry(now);
        }
        self.requests.show_up(now);
    }
}
