//! Evidence of life (RA §4.3): a peer that echoes a number was alive after that number was *sent*.
//!
//! The time that counts is that of sending, not of receiving: whatever is withheld and played later, even in order,
//! moves nothing forward (A16, A18, A20, R15).

use alloc::collections::VecDeque;

use crate::endpoint::Instant;

/// The own frames whose echo would prove something: numbers and the times at which they were sent.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub struct Probes {
    sent: VecDeque<(u64, Instant)>,
    keep: usize,
    /// Which of too many probes goes: the oldest, or the newest so far, to which the one to be added succeeds.
    first_stays: bool,
}

fingerprint!(Probes { sent, keep, first_stays });

impl Probes {
    /// Remembers the last `capacity` probes (a member: misses + 2); at least one.
    pub fn many(capacity: usize) -> Self {
        let keep = capacity.max(1);
        Self { sent: VecDeque::with_capacity(keep), keep, first_stays: false }
    }

    /// Remembers the first probe since the last evidence, and the newest: what a leader has room for, for each of many
    /// members. Sound, only slower. The first alone would not do: if it was lost long ago, the next echo proves no more
    /// than life at that time, and a member that answers every poll counts as silent.
    pub fn first_and_newest() -> Self {
        Self { sent: VecDeque::with_capacity(2), keep: 2, first_stays: true }
    }

    /// Remembers the last `capacity` probes from now on; the oldest go if there are more.
    pub fn keep_last(&mut self, capacity: usize) {
        self.keep = capacity.max(1);
        while self.sent.len() > self.keep {
            self.sent.pop_front();
        }
    }

    /// The own frame `n` was sent at `now`. Numbers grow; one that does not is ignored.
    pub fn sent(&mut self, n: u64, now: Instant) {
        if self.sent.back().is_some_and(|(last, _)| n <= *last) {
            return;
        }
        if self.sent.len() >= self.keep {
            let goes = if self.first_stays { self.sent.pop_back() } else { self.sent.pop_front() };
            debug_assert!(goes.is_some(), "`keep` is at least one");
        }
        self.sent.push_back((n, now));
    }

    /// What a verified frame with this `seen` proves: that its sender lived after this time. The time of the newest
    /// probe with a number up to `seen`, or nothing.
    pub fn evidence(&self, seen: u64) -> Option<Instant> {
        self.sent.iter().rev().find(|(n, _)| *n <= seen).map(|(_, at)| *at)
    }

    /// As [`Self::evidence`]; the probes that have served are dropped, so that none counts twice.
    pub fn confirm(&mut self, seen: u64) -> Option<Instant> {
        let proof = self.evidence(seen);
        while self.sent.front().is_some_and(|(n, _)| *n <= seen) {
            self.sent.pop_front();
        }
        proof
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_time_of_sending_counts() {
        let mut probes = Probes::many(5);
        probes.sent(1, at(10));
        probes.sent(2, at(15));
        assert_eq!(probes.evidence(0), None);
        assert_eq!(probes.evidence(1), Some(at(10)));
        assert_eq!(probes.confirm(1), Some(at(10)));
        assert_eq!(probes.confirm(1), None, "one probe proves once");
        assert_eq!(probes.confirm(2), Some(at(15)));
    }

    /// A leader dies after it echoed 1 and 2. The adversary withholds both echoes and plays them in order, as late as
    /// it likes: no evidence newer than the probes that were answered.
    #[test]
    fn withheld_and_replayed_later_moves_nothing_forward() {
        let mut probes = Probes::many(5);
        for n in 1..=4 {
            probes.sent(n, at(5 * n));
        }
        assert_eq!(probes.confirm(1), Some(at(5)));
        assert_eq!(probes.confirm(2), Some(at(10)));
        assert_eq!(probes.confirm(2), None);
        assert_eq!(probes.confirm(1), None);
    }

    #[test]
    fn a_leader_remembers_the_first_since_the_last_evidence_and_the_newest() {
        let mut probes = Probes::first_and_newest();
        (1..=3).for_each(|n| probes.sent(n, at(n)));
        assert_eq!(probes.evidence(0), None);
        assert_eq!(probes.confirm(2), Some(at(1)), "sound, only slower");
        assert_eq!(probes.confirm(3), Some(at(3)));
        probes.sent(4, at(4));
        assert_eq!(probes.confirm(4), Some(at(4)));
    }

    /// A frame of the leader is lost, and then the member answers each poll: it is not silent.
    #[test]
    fn a_probe_lost_long_ago_hides_no_answer() {
        let mut probes = Probes::first_and_newest();
        probes.sent(1, at(1)); // lost
        probes.sent(2, at(20));
        assert_eq!(probes.confirm(2), Some(at(20)));
    }

    #[test]
    fn a_member_forgets_the_oldest() {
        let mut probes = Probes::many(2);
        for n in 1..=3 {
            probes.sent(n, at(n));
        }
        assert_eq!(probes.evidence(1), None);
        assert_eq!(probes.evidence(2), Some(at(2)));
        probes.sent(3, at(9));
        assert_eq!(probes.evidence(3), Some(at(3)), "a number is sent once");
    }

    proptest! {
        #![proptest_config(crate::group::testing::fixed())]

        /// Whatever is echoed in whatever order: evidence only grows, and is never newer than the newest probe sent
        /// with a number up to the echo, whose time it is the peer's answering that it proves.
        #[test]
        fn evidence_is_monotone_and_sound(single: bool, steps in prop::collection::vec((any::<bool>(), 0u64..40), 1..200)) {
            let mut probes = if single { Probes::first_and_newest() } else { Probes::many(5) };
            let mut log = Vec::new();
            let mut last = None;
            let mut n = 0;
            for (time, (send, echo)) in (0u64..).zip(steps) {
                if send {
                    n += 1;
                    probes.sent(n, at(time));
                    log.push((n, at(time)));
                } else if let Some(proof) = probes.confirm(echo) {
                    let bound = log.iter().rev().find(|(n, _)| *n <= echo).map(|(_, at)| *at);
                    prop_assert!(Some(proof) <= bound);
                    prop_assert!(last < Some(proof));
                    last = Some(proof);
                }
            }
        }
    }
}
