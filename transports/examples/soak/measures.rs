//! What is counted and measured, and what must hold.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Failed;

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident: $floor:expr,)*) => {
        /// What happened in all rounds.
        #[derive(Default)]
        pub(crate) struct Tally {
            $($(#[$doc])* pub(crate) $name: AtomicU64,)*
            /// Objects that were not what was offered.
            pub(crate) corrupt: AtomicU64,
        }

        impl Tally {
            /// Name, count, and how many there must be in a minute.
            pub(crate) fn rows(&self) -> Vec<(&'static str, u64, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed), $floor),)*]
            }
        }
    };
}

// The floors are what a machine that is busy otherwise reaches easily: a tenth to a third of what one does that is not.
tally! {
    /// Joins that were complete.
    joined: 30,
    /// Members that left, as they heard themselves.
    left: 5,
    /// Members that crashed.
    crashed: 3,
    /// Members that the leader threw out.
    ejected: 3,
    /// Links that were cut.
    cut: 20,
    /// Leaders that crashed, and came back at the same place.
    leaders_crashed: 2,
    /// Members that noticed that.
    leader_lost: 6,
    /// Keys that were installed, by all together.
    keys: 100,
    /// Messages that were sent.
    said: 500,
    /// Messages that were heard, by all together.
    heard: 1_500,
    /// Objects that were offered.
    offered: 20,
    /// Objects that arrived whole.
    stored: 30,
    /// Times at which all agreed on view and key, and each heard each.
    agreed: 2,
}

impl Tally {
    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

/// Resident memory of this process, in bytes.
pub(crate) fn resident() -> Result<u64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kib << 10)
}

/// What the process has open, sockets among it.
pub(crate) fn descriptors() -> Result<Vec<String>, Failed> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        // The one of this directory is gone when it is looked at.
        if let Ok(to) = std::fs::read_link(entry?.path()) {
            open.push(to.display().to_string());
        }
    }
    open.retain(|to| !to.ends_with("/fd"));
    Ok(open)
}

/// Threads of this process.
pub(crate) fn threads() -> Result<usize, Failed> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Resident memory at a moment at which everything has ended.
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) bytes: u64,
}

/// By how many bytes memory grew from the first of these samples to the last, by the line with the median of all slopes between
/// two of them (Theil and Sen): steps that come and go do not tilt it. `None` if there are too few.
pub(crate) fn growth(samples: &[Sample]) -> Option<f64> {
    let (first, last) = (samples.first()?, samples.last()?);
    let mut slopes = Vec::new();
    for (number, from) in samples.iter().enumerate() {
        for to in samples.iter().skip(number + 1) {
            let seconds = to.at.saturating_sub(from.at).as_secs_f64();
            if seconds > 0.0 {
                slopes.push((to.bytes as f64 - from.bytes as f64) / seconds);
            }
        }
    }
    if samples.len() < LEAST_SAMPLES {
        return None;
    }
    slopes.sort_by(f64::total_cmp);
    let median = *slopes.get(slopes.len() / 2)?;
    Some(median * last.at.saturating_sub(first.at).as_secs_f64())
}

/// Of fewer nothing can be said.
pub(crate) const LEAST_SAMPLES: usize = 4;

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end.max(1) as u64).unwrap_or(0)
    }

    /// One of these.
    pub(crate) fn choose<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len())).copied()
    }
}
