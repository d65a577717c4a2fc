//! The clock behind a driver.
//!
//! The staleness bound needs a clock that goes on while the machine sleeps. On Linux, Android, Fuchsia and OpenBSD this
//! is `CLOCK_BOOTTIME`, on Apple's systems `CLOCK_MONOTONIC` (which counts sleep there), and on Windows
//! `std::time::Instant`, whose performance counter counts it too. Elsewhere `std::time::Instant` may stop during
//! suspension: [`Clock::COUNTS_SUSPENSION`] says which it is.
//!
//! The timers of the runtime do stop during suspension. The driver therefore never sleeps for longer than a second
//! while a deadline is pending, so that it notices a lapsed one within a second of waking up.

use sodality::endpoint::{Instant, WallClock};

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "fuchsia",
    target_os = "openbsd",
    target_vendor = "apple"
))]
mod source {
    use rustix::time::{ClockId, clock_gettime};

    #[cfg(target_vendor = "apple")]
    const ID: ClockId = ClockId::Monotonic;
    #[cfg(not(target_vendor = "apple"))]
    const ID: ClockId = ClockId::Boottime;

    pub(super) const COUNTS_SUSPENSION: bool = true;

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Origin(u64);

    fn micros() -> u64 {
        let time = clock_gettime(ID);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000)
    }

    impl Origin {
        pub(super) fn now() -> Self {
            Self(micros())
        }

        pub(super) fn elapsed_micros(self) -> u64 {
            micros().saturating_sub(self.0)
        }
    }
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "fuchsia",
    target_os = "openbsd",
    target_vendor = "apple"
)))]
#[allow(clippy::disallowed_types, reason = "this module is where time comes from")]
mod source {
    pub(super) const COUNTS_SUSPENSION: bool = cfg!(windows);

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Origin(std::time::Instant);

    impl Origin {
        pub(super) fn now() -> Self {
            Self(std::time::Instant::now())
        }

        pub(super) fn elapsed_micros(self) -> u64 {
            u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
        }
    }
}

/// A monotonic clock with an origin. Copies share the origin: give one to several drivers and their times compare.
#[derive(Clone, Copy, Debug)]
pub struct Clock(source::Origin);

impl Clock {
    /// Whether this clock goes on while the machine is suspended.
    pub const COUNTS_SUSPENSION: bool = source::COUNTS_SUSPENSION;

    /// A clock whose origin is now.
    pub fn new() -> Self {
        Self(source::Origin::now())
    }

    /// The time, in microseconds since the origin.
    pub fn now(&self) -> Instant {
        Instant::from_micros(self.0.elapsed_micros())
    }

    /// Wall-clock time, or `None` if it stands before the Unix epoch.
    #[expect(clippy::disallowed_types, reason = "this module is where time comes from")]
    pub fn wall(&self) -> Option<WallClock> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
        u64::try_from(since.as_millis()).ok().map(WallClock)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_clock_goes_on_at_the_right_rate() {
        let clock = Clock::new();
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(20));
        let passed = clock.now().since(before);
        assert!(passed >= Duration::from_millis(20), "{passed:?}");
        assert!(passed < Duration::from_secs(5), "{passed:?}");
        // Later than 2020, so that the unit is right.
        assert!(clock.wall().unwrap().0 > 1_577_836_800_000);
    }
}
