//! Spreading deadlines, so that many members do not speak at once.

use core::time::Duration;

/// A small deterministic generator for spreading deadlines. It guards no secret: it exists so that a timer needs no
/// random source and therefore cannot fail (R18).
#[derive(Clone, Debug)]
pub struct Jitter {
    /// The state; `None` never spreads.
    state: Option<u64>,
}

fingerprint!(Jitter { state });

impl Jitter {
    /// Spreads by a sequence that `seed` decides. Give each machine another one.
    pub const fn new(seed: u64) -> Self {
        Self { state: Some(seed) }
    }

    /// Never spreads: deadlines fall where they are set. For exhaustive search.
    pub const fn none() -> Self {
        Self { state: None }
    }

    /// A span from `less` percent below `base` to `more` percent above it.
    pub fn spread(&mut self, base: Duration, less: u32, more: u32) -> Duration {
        let Some(state) = &mut self.state else { return base };
        let micros = u64::try_from(base.as_micros()).unwrap_or(u64::MAX);
        let part = |percent: u32| u64::try_from(u128::from(micros) * u128::from(percent) / 100).unwrap_or(u64::MAX);
        let low = micros.saturating_sub(part(less));
        let room = micros.saturating_add(part(more)) - low;
        // The high half of a product is as even as a generator of 64 bits allows, without a division.
        let drawn = (u128::from(step(state)) * (u128::from(room) + 1)) >> 64;
        Duration::from_micros(low.saturating_add(u64::try_from(drawn).unwrap_or(room)))
    }
}

/// SplitMix64: one addition and a mixing of bits; its period is 2^64.
fn step(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(crate::group::testing::fixed())]

        #[test]
        fn stays_within_its_bounds(seed: u64, micros in 0u64..1 << 50, less in 0u32..=100, more in 0u32..=300) {
            let base = Duration::from_micros(micros);
            let span = Jitter::new(seed).spread(base, less, more);
            prop_assert!(span >= base - base * less / 100 - Duration::from_micros(0).min(base));
            prop_assert!(span <= base + base * more / 100);
        }
    }

    #[test]
    fn spreads_and_repeats_with_its_seed() {
        let draw = |seed| {
            let mut jitter = Jitter::new(seed);
            (0..100).map(|_| jitter.spread(Duration::from_secs(1), 10, 10)).collect::<BTreeSet<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert!(draw(7).len() > 90);
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).first().unwrap() < &Duration::from_millis(950));
        assert!(draw(7).last().unwrap() > &Duration::from_millis(1050));
    }

    #[test]
    fn none_spreads_nothing() {
        assert_eq!(Jitter::none().spread(Duration::from_secs(3), 50, 50), Duration::from_secs(3));
        assert_eq!(Jitter::new(1).spread(Duration::MAX, 0, 100), Duration::from_micros(u64::MAX));
    }
}
