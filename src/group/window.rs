//! The replay window (R13, RA §5 (3)).

use crate::error::Reason;

/// How many numbers behind the highest one are still told apart.
pub const WIDTH: u64 = 1024;

const WORD: u64 = u64::BITS as u64;
const WORDS: usize = (WIDTH / WORD) as usize;

/// Which numbers of one sender in one epoch have been used. 136 bytes; nothing is allocated.
///
/// Look with [`Self::check`], verify the frame, and only then [`Self::mark`] (R13: no state moves before the tag has
/// verified).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    /// One above the highest number marked.
    next: u64,
    /// Bit n modulo the width stands for n, for the last [`WIDTH`] numbers below `next`; other bits are clear.
    bits: [u64; WORDS],
}

fingerprint!(Window { next, bits });

impl Window {
    /// Nothing used yet.
    pub const fn new() -> Self {
        Self { next: 0, bits: [0; WORDS] }
    }

    /// Whether `n` may still be used.
    ///
    /// # Errors
    /// [`Reason::Replayed`] if `n` was marked, lies [`WIDTH`] or more behind the highest number marked, or is the last
    /// number of all, which is never given (R16).
    pub fn check(&self, n: u64) -> Result<(), Reason> {
        let fresh = if n >= self.next {
            n < u64::MAX
        } else {
            self.next - n <= WIDTH && self.bits.get(word(n)).is_some_and(|word| word & bit(n) == 0)
        };
        if fresh { Ok(()) } else { Err(Reason::Replayed) }
    }

    /// Uses `n` up. Numbers that [`Self::check`] refuses change nothing.
    pub fn mark(&mut self, n: u64) {
        if self.check(n).is_err() {
            return;
        }
        if n >= self.next {
            if n - self.next >= WIDTH {
                self.bits = [0; WORDS];
            } else {
                // The numbers skipped take the places of numbers that fall out of the window.
                (self.next..=n).for_each(|skipped| self.put(skipped, false));
            }
            self.next = n + 1;
        }
        self.put(n, true);
    }

    fn put(&mut self, n: u64, used: bool) {
        if let Some(word) = self.bits.get_mut(word(n)) {
            if used {
                *word |= bit(n);
            } else {
                *word &= !bit(n);
            }
        }
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

fn word(n: u64) -> usize {
    (n % WIDTH / WORD) as usize
}

fn bit(n: u64) -> u64 {
    1 << (n % WORD)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_used_once() {
        let mut window = Window::new();
        assert_eq!(window.check(0), Ok(()));
        window.mark(0);
        assert_eq!(window.check(0), Err(Reason::Replayed));
        window.mark(5);
        assert_eq!(window.check(3), Ok(()));
        window.mark(3);
        assert_eq!(window.check(3), Err(Reason::Replayed));
        assert_eq!(window.check(4), Ok(()));
    }

    #[test]
    fn the_window_is_as_wide_as_it_says() {
        let mut window = Window::new();
        window.mark(WIDTH);
        assert_eq!(window.check(0), Err(Reason::Replayed));
        assert_eq!(window.check(1), Ok(()));
    }

    #[test]
    fn the_last_number_is_never_taken() {
        let mut window = Window::new();
        assert_eq!(window.check(u64::MAX), Err(Reason::Replayed));
        window.mark(u64::MAX - 1);
        assert_eq!(window.check(u64::MAX - 1), Err(Reason::Replayed));
        assert_eq!(window.check(u64::MAX), Err(Reason::Replayed));
    }

    proptest! {
        #![proptest_config(crate::group::testing::fixed())]

        /// The bitmap agrees with a set of all numbers ever marked.
        #[test]
        fn agrees_with_a_set(start in 0u64..u64::MAX - 100_000, steps in prop::collection::vec((0u64..5_000, any::<bool>()), 1..400)) {
            let mut window = Window::new();
            let mut used = BTreeSet::new();
            let mut at = start;
            for (distance, forward) in steps {
                let n = if forward { at + distance % 1_500 } else { at.saturating_sub(distance) };
                let model = !used.contains(&n) && used.last().is_none_or(|top| n > *top || top - n < WIDTH);
                prop_assert_eq!(window.check(n).is_ok(), model, "n = {}", n);
                if model {
                    window.mark(n);
                    used.insert(n);
                    at = at.max(n);
                } else {
                    let before = window.clone();
                    window.mark(n);
                    prop_assert_eq!(&window, &before);
                }
            }
        }
    }
}
