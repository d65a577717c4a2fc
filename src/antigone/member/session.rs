//! What a member knows in a group: evidence, what is owed, what is awaited.

use alloc::collections::VecDeque;

use crate::antigone::failure::{Evidence, Hearing, Own};
use crate::antigone::keys::KeyBlock;
use crate::antigone::leave::{Farewell, member_end};
use crate::antigone::membership::Assembly;
use crate::endpoint::{Instant, Link};
use crate::event::{EndReason, Ending, Lacking};
use crate::group::alike::freshness;
use crate::group::channel::Channel;
use crate::group::private::Words;
use crate::group::station::{Ruling, Station};
use crate::group::{Allowance, Backoff, Check};
use crate::identity::MemberId;
use crate::policy::Views;
use crate::wire::field::VerifyingKey;

/// A member's session: from the accepted offer to the end.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Session {
    pub(super) station: Station,
    pub(super) channel: Channel,
    pub(super) link: Option<Link>,
    /// The leader's own entry in the view must hold it.
    pub(super) leader_key: VerifyingKey,
    /// A key is installed and has been known to be current: the join is complete.
    pub(super) joined: bool,
    /// Until when it must be.
    pub(super) until: Instant,
    /// A verified block whose prerequisites are missing: only the newest (RA §4.4 (4)).
    pub(super) held: Option<KeyBlock>,
    pub(super) pages: Option<Assembly>,
    /// Requests to eject that are not answered: the number of the record, and who should go.
    pub(super) requests: VecDeque<(u64, MemberId)>,
    /// Private words, its own and others'.
    pub(super) words: Words,
    /// The policy to come: only the newest. Boxed: what is empty inside a session would keep old bytes of the stack.
    pub(super) next_policy: Option<alloc::boxed::Box<Ruling>>,
    pub(super) evidence: Evidence,
    /// Since when the detection of failures is what it is: the leader is not lost by a measure that did not hold yet.
    pub(super) watched_since: Instant,
    /// What is heard on shared links.
    pub(super) hearing: Hearing,
    /// What comes over shared links without protection is anybody's: so much of it is taken.
    pub(super) clear: Allowance,
    pub(super) behind: bool,
    pub(super) stale: bool,
    /// When a frame is owed to the leader, and whether it asks for an answer.
    pub(super) owed: Option<Owed>,
    pub(super) poll_at: Option<Instant>,
    /// Without polls: repeats a frame that asks until a frame of the leader comes.
    pub(super) awaiting: Option<Backoff>,
    /// Frames that came before their key may open now.
    pub(super) early: bool,
    /// What the held block waits for. Means nothing while there is none.
    pub(super) lacks: Lacking,
    /// What was last told to be lacking, while behind.
    pub(super) told: Option<Lacking>,
}

fingerprint!(Session {
    station,
    channel,
    link,
    leader_key,
    joined,
    until,
    held,
    pages,
    requests,
    words,
    next_policy,
    watched_since,
    evidence,
    hearing,
    clear,
    behind,
    stale,
    owed,
    poll_at,
    awaiting,
    early,
} skip {
    // They decide what is told, and nothing else.
    lacks,
    told,
});

/// A frame that is owed to the leader.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owed {
    /// From when on: later than now after a failure.
    pub(super) at: Instant,
    /// Whether it asks for an answer (a poll), or only gives one.
    pub(super) ask: bool,
}

fingerprint!(Owed { at, ask });

impl Session {
    freshness!();

    /// Judges the newest frame of the leader again, after anything here has changed. True if the evidence moved.
    pub(super) fn judge(&mut self) -> bool {
        let own = Own {
            standing: self.station.standing(),
            holds_key: self.station.ring.current_epoch().is_some(),
            echo_epoch: self.station.checks.on(Check::EchoEpoch),
            exact: self.station.policy.views == Views::Exact,
        };
        let verdict = self.evidence.judge(own);
        self.behind = verdict.behind;
        verdict.moved
    }

    /// What a member that is behind lacks, if that has not been told.
    pub(super) fn newly_lacks(&mut self) -> Option<Lacking> {
        let lacks = self.behind.then_some(if self.held.is_some() { self.lacks } else { Lacking::Key });
        let new = lacks.filter(|_| self.told != lacks);
        self.told = lacks;
        new
    }

    /// A frame that asks for an answer is owed from `now` on.
    pub(super) fn ask(&mut self, now: Instant) {
        self.owed = Some(Owed { at: now, ask: true });
    }

    /// An answer is owed from `now` on.
    pub(super) fn reply(&mut self, now: Instant) {
        let ask = self.owed.is_some_and(|owed| owed.ask);
        self.owed = Some(Owed { at: now, ask });
    }

    /// Wipes the keys of the group and turns the session into a farewell.
    pub(super) fn farewell(
        self,
        reason: EndReason,
        said: Ending,
        backoff: Backoff,
        now: Instant,
        until: Instant,
    ) -> alloc::boxed::Box<Farewell> {
        let standing = self.station.standing();
        let body = member_end(reason, self.station.cid);
        let Self { channel, link, .. } = self;
        alloc::boxed::Box::new(Farewell { channel, link, standing, body, said, backoff, owed: Some(now), until })
    }
}
