//! Spread: random delays from one seed, so that members do not all speak at once. Nothing secret depends on it.

use core::time::Duration;

/// A small generator (SplitMix64).
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub(super) struct Jitter {
    state: u64,
}

fingerprint!(Jitter { state });

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A time below `span`, at most some hours.
    pub(super) fn below(&mut self, span: Duration) -> Duration {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX).min(1 << 34);
        if micros == 0 { Duration::ZERO } else { Duration::from_micros(self.next() % micros) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_stays_below_its_span_and_spreads() {
        let mut jitter = Jitter::new(1);
        let span = Duration::from_millis(10);
        let drawn: alloc::collections::BTreeSet<_> = (0..100).map(|_| jitter.below(span)).collect();
        assert!(drawn.iter().all(|time| *time < span) && drawn.len() > 90);
        assert_eq!(jitter.below(Duration::ZERO), Duration::ZERO);
    }
}
