//! Repeating the same bytes until they are answered (RA §4.7).

use core::time::Duration;

use super::jitter::Jitter;
use crate::endpoint::Instant;

/// Percent by which a retry comes later than due, at most: members that asked together do not repeat together.
const LATER: u32 = 10;

/// How repetition is paced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// The first wait (RTO), before jitter.
    pub first: Duration,
    /// The longest wait, before jitter.
    pub ceiling: Duration,
}

impl Default for Retry {
    /// 0.5 s, doubling to 8 s.
    fn default() -> Self {
        Self { first: Duration::from_millis(500), ceiling: Duration::from_secs(8) }
    }
}

/// One repetition on its way: waits double from `first` to `ceiling`, each 0 … 10 % longer.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub struct Backoff {
    wait: Duration,
    ceiling: Duration,
    due: Instant,
}

fingerprint!(Backoff { wait, ceiling, due });

impl Backoff {
    /// Something was sent for the first time at `now`.
    pub fn start(config: Retry, now: Instant, jitter: &mut Jitter) -> Self {
        let wait = config.first.min(config.ceiling);
        Self { wait, ceiling: config.ceiling, due: now + jitter.spread(wait, 0, LATER) }
    }

    /// When to send it again.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// It is to be sent at `now`: what it waited for is there.
    pub fn hurry(&mut self, now: Instant) {
        self.due = now;
    }

    /// It was sent again at `now`.
    pub fn again(&mut self, now: Instant, jitter: &mut Jitter) {
        self.wait = self.wait.saturating_mul(2).min(self.ceiling);
        self.due = now + jitter.spread(self.wait, 0, LATER);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn doubles_to_the_ceiling() {
        let mut jitter = Jitter::none();
        let mut backoff = Backoff::start(Retry::default(), Instant::ORIGIN, &mut jitter);
        let mut waits = Vec::new();
        let mut now = Instant::ORIGIN;
        for _ in 0..7 {
            waits.push(backoff.due().since(now).as_millis());
            now = backoff.due();
            backoff.again(now, &mut jitter);
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
    }

    #[test]
    fn never_earlier_than_due_and_a_tenth_later_at_most() {
        for seed in 0..200 {
            let mut jitter = Jitter::new(seed);
            let mut backoff = Backoff::start(Retry::default(), Instant::ORIGIN, &mut jitter);
            let first = backoff.due().since(Instant::ORIGIN);
            assert!((500..=550).contains(&first.as_millis()), "seed {seed}");
            backoff.again(Instant::ORIGIN, &mut jitter);
            let second = backoff.due().since(Instant::ORIGIN);
            assert!((1000..=1100).contains(&second.as_millis()), "seed {seed}");
        }
    }
}
