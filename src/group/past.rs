//! Which epochs a participant has had, to say why it cannot read what belongs to another (RA §5, "What cannot be read").
//! Bounded: the first epoch, and the last few gaps.

use alloc::collections::VecDeque;

use crate::error::Reason;
use crate::identity::Epoch;

/// Gaps that are remembered. What lies in an older one is told as [`Reason::OldEpoch`] or [`Reason::EvictedEpoch`].
pub const GAPS: usize = 8;

/// The epochs that were installed here, as far as they are remembered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Past {
    /// The first epoch installed; 0 for none.
    first: Epoch,
    /// Epochs that were jumped over, from and to, the newest last: at most [`GAPS`].
    gaps: VecDeque<(Epoch, Epoch)>,
}

impl Past {
    /// Nothing has been installed yet.
    pub const fn new() -> Self {
        Self { first: Epoch(0), gaps: VecDeque::new() }
    }

    /// The epochs that an install of `epoch` jumps over, after `before` was the last. Before the first one there are none
    /// to miss.
    pub fn gap(before: Epoch, epoch: Epoch) -> Option<(Epoch, Epoch)> {
        let first = before.next().filter(|_| before.0 > 0)?;
        (first < epoch).then_some((first, Epoch(epoch.0 - 1)))
    }

    /// `epoch` is installed, after `before` was the last.
    pub fn install(&mut self, before: Epoch, epoch: Epoch) {
        if before.0 == 0 {
            self.first = epoch;
        }
        if let Some(gap) = Self::gap(before, epoch) {
            if self.gaps.len() >= GAPS {
                self.gaps.pop_front();
            }
            self.gaps.push_back(gap);
        }
    }

    /// Why nothing opens here that belongs to `epoch`, which is not newer than the last one installed: the first of these
    /// that is true. [`Reason::NoSuchEpoch`], [`Reason::BeforeJoin`], [`Reason::MissedEpoch`],
    /// [`Reason::EvictedEpoch`] (below `floor`), [`Reason::OldEpoch`].
    pub fn reason(&self, epoch: Epoch, floor: Epoch) -> Reason {
        if epoch.0 == 0 {
            Reason::NoSuchEpoch
        } else if epoch < self.first {
            Reason::BeforeJoin
        } else if self.gaps.iter().any(|(first, last)| (*first..=*last).contains(&epoch)) {
            Reason::MissedEpoch
        } else if epoch < floor {
            Reason::EvictedEpoch
        } else {
            Reason::OldEpoch
        }
    }
}

impl Default for Past {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(epochs: &[u64]) -> Past {
        let (mut past, mut before) = (Past::new(), Epoch(0));
        for epoch in epochs {
            past.install(before, Epoch(*epoch));
            before = Epoch(*epoch);
        }
        past
    }

    #[test]
    fn each_epoch_that_is_not_held_has_its_reason() {
        let past = past(&[4, 5, 8, 9]);
        let reasons = [
            (0, Reason::NoSuchEpoch),
            (1, Reason::BeforeJoin),
            (3, Reason::BeforeJoin),
            (4, Reason::EvictedEpoch),
            (5, Reason::EvictedEpoch),
            (6, Reason::MissedEpoch),
            (7, Reason::MissedEpoch),
            (8, Reason::OldEpoch),
        ];
        for (epoch, reason) in reasons {
            assert_eq!(past.reason(Epoch(epoch), Epoch(8)), reason, "epoch {epoch}");
        }
    }

    #[test]
    fn nothing_is_missed_before_the_first_key_nor_between_neighbours() {
        assert_eq!(Past::gap(Epoch(0), Epoch(7)), None);
        assert_eq!(Past::gap(Epoch(6), Epoch(7)), None);
        assert_eq!(Past::gap(Epoch(4), Epoch(7)), Some((Epoch(5), Epoch(6))));
        assert_eq!(Past::gap(Epoch(u64::MAX), Epoch(1)), None);
        assert_eq!(Past::gap(Epoch(7), Epoch(4)), None, "an older one, in a simulation without that check");
    }

    #[test]
    fn only_the_last_gaps_are_remembered() {
        let epochs: alloc::vec::Vec<u64> = (0..=GAPS as u64 + 1).map(|n| 1 + 2 * n).collect();
        let past = past(&epochs);
        assert_eq!(past.reason(Epoch(2), Epoch(0)), Reason::OldEpoch, "the oldest gap is forgotten");
        for missed in (4..20).step_by(2) {
            assert_eq!(past.reason(Epoch(missed), Epoch(0)), Reason::MissedEpoch, "epoch {missed}");
        }
    }
}
