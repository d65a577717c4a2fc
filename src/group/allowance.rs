//! A bounded rate.

use crate::endpoint::Instant;

/// A token bucket: so many a second, and as many at once.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub struct Allowance {
    rate: u64,
    /// What may be taken now, in millionths.
    millionths: u64,
    at: Instant,
}

fingerprint!(Allowance { rate, millionths, at });

const ONE: u64 = 1_000_000;

impl Allowance {
    /// A full bucket of `rate` a second.
    pub fn new(rate: u32, now: Instant) -> Self {
        let rate = u64::from(rate);
        Self { rate, millionths: rate * ONE, at: now }
    }

    fn gain(&mut self, now: Instant) {
        let micros = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX).min(ONE);
        self.millionths = (self.millionths + micros * self.rate).min(self.rate * ONE);
        self.at = self.at.max(now);
    }

    /// Whether there is one. Changes nothing.
    pub fn has_one(&self, now: Instant) -> bool {
        let micros = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX).min(ONE);
        self.rate > 0 && self.millionths + micros * self.rate >= ONE
    }

    /// Takes one, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.gain(now);
        let taken = self.millionths.checked_sub(ONE);
        self.millionths = taken.unwrap_or(self.millionths);
        taken.is_some()
    }

    /// Whether it is full again: then nothing is lost by forgetting it.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.gain(now);
        self.millionths == self.rate * ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn so_many_at_once_and_so_many_a_second() {
        let mut allowance = Allowance::new(20, at(0));
        let burst = (0..100).filter(|_| allowance.take(at(0))).count();
        assert_eq!(burst, 20);
        assert!(!allowance.take(at(49)));
        assert!(allowance.take(at(50)));
        assert!(!allowance.take(at(51)));
        let second = (0..10_000u64).filter(|n| allowance.take(at(100 + n / 10))).count();
        assert!((19..=21).contains(&second), "{second}");
        assert!(!allowance.is_full(at(1_100)));
        assert!(allowance.is_full(at(2_200)));
        // A clock that goes back gives nothing.
        assert!((0..21).filter(|_| allowance.take(at(0))).count() == 20);
    }
}
