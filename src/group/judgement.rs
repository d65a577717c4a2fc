//! What a member knows of its leader, repaired edition (RA §4.3): plain data and comparisons, no timer of its own.

use core::time::Duration;

use crate::endpoint::Instant;
use crate::group::channel::Standing;

/// Until when the leader certainly lived, and until when the key here was certainly the leader's.
#[derive(Debug, Clone, Copy)]
pub struct Evidence {
    /// The leader lived after this instant.
    pub alive_as_of: Instant,
    /// The key, the policy and (class exact) the view here were the leader's at some time after this instant.
    pub current_as_of: Option<Instant>,
    /// What the newest RA-CL said, judged again at each install.
    pub newest: Option<Standing>,
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Evidence {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let Self { alive_as_of, current_as_of, newest } = self;
        alive_as_of.fingerprint(now, sink);
        current_as_of.fingerprint(now, sink);
        newest.map(|newest| (newest.epoch, (newest.view, newest.policy))).fingerprint(now, sink);
    }
}

/// What a member has, as far as the judgement needs it.
#[derive(Debug, Clone, Copy)]
pub struct Own {
    /// Installed epoch, view, policy.
    pub standing: Standing,
    /// The key of that epoch is held: it has not been wiped below the floor.
    pub holds_key: bool,
    /// An echo counts for the epoch here only (always, but in a simulation that wants to see A17 succeed).
    pub echo_epoch: bool,
    /// The view must be the leader's too (class exact).
    pub exact: bool,
}

/// What the evidence comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The leader has a newer key: nothing may be sent under the one here.
    pub behind: bool,
    /// [`Evidence::current_as_of`] has moved forward.
    pub moved: bool,
}

impl Evidence {
    /// At the start of a session: the leader answered at `now`, and nothing is known of any key.
    pub const fn new(now: Instant) -> Self {
        Self { alive_as_of: now, current_as_of: None, newest: None }
    }

    /// A verified, new frame of the leader: what it says the leader has, and the instant that it proves life after
    /// ([`Heard::evidence`](crate::group::channel::Heard::evidence)). True if it shows a newer epoch than any before.
    pub fn hear(&mut self, standing: Standing, proof: Option<Instant>) -> bool {
        let rose = self.newest.is_none_or(|newest| standing.epoch > newest.epoch);
        self.newest = Some(standing);
        if let Some(proof) = proof {
            self.alive_as_of = self.alive_as_of.max(proof);
        }
        rose
    }

    /// Judges the newest frame again: after each frame, each install and each change of the view here. Epochs of a
    /// leader only grow, so what was current when it spoke was current after the probe that it echoed.
    pub fn judge(&mut self, own: Own) -> Verdict {
        let Some(newest) = self.newest else { return Verdict { behind: false, moved: false } };
        let behind = own.echo_epoch && newest.epoch > own.standing.epoch;
        let viewed = !own.exact || newest.view == own.standing.view;
        // Epoch 0: the leader's rekey for this member is still to come.
        if !own.holds_key || newest.epoch.0 == 0 || behind || newest.policy != own.standing.policy || !viewed {
            return Verdict { behind, moved: false };
        }
        let before = self.current_as_of;
        self.current_as_of = before.max(Some(self.alive_as_of));
        Verdict { behind, moved: self.current_as_of != before }
    }

    /// Whether the key here was last known to be current `bound` (T_max) ago or longer.
    pub fn outdated(&self, bound: Duration, now: Instant) -> bool {
        self.stale_at(bound).is_some_and(|at| now >= at)
    }

    /// When that will be, if nothing more is heard; never, before the key was first known to be current.
    pub fn stale_at(&self, bound: Duration) -> Option<Instant> {
        self.current_as_of.map(|since| since + bound)
    }

    /// When the leader counts as lost (T_lost), if nothing more is heard.
    pub fn lost_at(&self, bound: Duration) -> Instant {
        self.alive_as_of + bound.saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Probes;
    use crate::identity::{Epoch, Version};

    const BOUND: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn has(epoch: u64) -> Standing {
        Standing { epoch: Epoch(epoch), view: Version(epoch), policy: Version(1), hears: false }
    }

    fn own(epoch: u64) -> Own {
        Own { standing: has(epoch), holds_key: true, echo_epoch: true, exact: true }
    }

    /// Heartbeats alone: polls are numbered and remembered, answers echo the number and say the leader's epoch.
    #[test]
    fn withheld_answers_do_not_keep_a_key_alive() {
        let (mut probes, mut evidence) = (Probes::many(5), Evidence::new(at(0)));
        for n in 1..=3 {
            probes.sent(n, at(5 * n));
        }
        evidence.hear(has(1), probes.confirm(1));
        assert_eq!(evidence.judge(own(1)), Verdict { behind: false, moved: true });
        assert_eq!(evidence.current_as_of, Some(at(5)));
        // The answers to polls 2 and 3 are withheld until now: they prove no more than when those were sent.
        evidence.hear(has(1), probes.confirm(2));
        evidence.hear(has(1), probes.confirm(3));
        evidence.judge(own(1));
        assert!(!evidence.outdated(BOUND, at(29)));
        assert!(evidence.outdated(BOUND, at(30)));
        assert_eq!(evidence.lost_at(BOUND), at(45));
        evidence.hear(has(1), probes.confirm(3));
        assert!(!evidence.judge(own(1)).moved, "a number proves once");
    }

    #[test]
    fn an_echo_makes_current_only_with_the_leaders_epoch() {
        let mut evidence = Evidence::new(at(0));
        evidence.hear(has(1), Some(at(1)));
        evidence.judge(own(1));
        assert!(evidence.hear(has(2), Some(at(9))), "a newer epoch shows");
        assert_eq!(evidence.judge(own(1)), Verdict { behind: true, moved: false });
        assert_eq!((evidence.alive_as_of, evidence.current_as_of), (at(9), Some(at(1))));
        // The key comes after the echo: the same, judged again.
        assert_eq!(evidence.judge(own(2)), Verdict { behind: false, moved: true });
        assert_eq!(evidence.current_as_of, Some(at(9)));
    }

    #[test]
    fn nothing_is_current_without_key_policy_view_or_a_rekey_that_waits() {
        let judged = |said: Standing, own: Own| {
            let mut evidence = Evidence::new(at(0));
            evidence.hear(said, Some(at(1)));
            evidence.judge(own);
            evidence.current_as_of.is_some()
        };
        assert!(judged(has(2), own(2)));
        assert!(!judged(has(0), own(2)));
        assert!(!judged(has(2), Own { holds_key: false, ..own(2) }));
        let older = Standing { view: Version(1), ..has(2) };
        assert!(!judged(older, own(2)));
        assert!(judged(older, Own { exact: false, ..own(2) }));
        assert!(!judged(Standing { policy: Version(2), ..has(2) }, own(2)));
        let mut silent = Evidence::new(at(0));
        assert_eq!(silent.judge(own(2)), Verdict { behind: false, moved: false });
        assert_eq!(silent.stale_at(BOUND), None);
    }
}
