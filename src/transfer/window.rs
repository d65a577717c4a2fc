//! The send window: how much may be on its way that nobody has confirmed.
//!
//! The sender counts the bytes of all chunk messages that it sent; each message carries that count as its *mark*. Who
//! reports a mark has received something that was sent when the count stood there, and since a relay's queue is first
//! in, first out, nothing older is queued any more (lost or not). So `sent - confirmed` bounds what the relay holds.
//! It never exceeds the window: where no report comes, the sender does not go on but probes, and halves the window.

use core::time::Duration;

use crate::endpoint::Instant;

/// The window of one sender, over all its objects: a relay's queue is one for all of them.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub(super) struct Window {
    /// Never more than this, in bytes.
    limit: u64,
    /// Never less than this: the longest message.
    floor: u64,
    /// What is used of it now.
    size: u64,
    /// Count of bytes sent, from a random origin: a report meant for an earlier life of this sender confirms nothing.
    sent: u64,
    /// The highest mark reported.
    confirmed: u64,
    /// The mark that last asked for a report.
    asked: u64,
    /// The first patience with reports.
    patience: Duration,
    /// When to probe, while the window is shut.
    probe_at: Option<Instant>,
    /// Probes since the last report.
    probes: u32,
}

fingerprint!(Window { limit, floor, size, sent, confirmed, asked, patience, probe_at, probes });

/// What one chunk message will say, if it is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Its mark.
    pub(super) mark: u64,
    /// Whether it asks for a report.
    pub(super) report: bool,
}

/// Each so-manieth part of the window asks for a report.
const REPORTS: u64 = 4;

impl Window {
    pub(super) fn new(limit: u64, floor: u64, origin: u64, patience: Duration) -> Self {
        // Half of the numbers are left for counting; zero means "no mark".
        let origin = (origin >> 1).max(1);
        Self {
            limit,
            floor,
            size: limit,
            sent: origin,
            confirmed: origin,
            asked: origin,
            patience,
            probe_at: None,
            probes: 0,
        }
    }

    /// Bytes sent that nobody has confirmed.
    pub(super) fn in_flight(&self) -> u64 {
        self.sent - self.confirmed
    }

    /// The mark of messages that do not count.
    pub(super) fn mark(&self) -> u64 {
        self.sent
    }

    /// When to probe.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        self.probe_at
    }

    /// Whether `length` more bytes fit.
    pub(super) fn fits(&self, length: u64) -> bool {
        self.in_flight() + length <= self.size
    }

    /// What a chunk message of `length` bytes will say; `last` if no other is waiting. `None` if it does not fit.
    pub(super) fn plan(&self, length: u64, last: bool) -> Option<Plan> {
        let mark = self.sent.checked_add(length)?;
        let report = last || mark - self.asked >= self.size / REPORTS || self.in_flight() + 2 * length > self.size;
        self.fits(length).then_some(Plan { mark, report })
    }

    /// It was sent.
    pub(super) fn commit(&mut self, plan: Plan) {
        self.sent = plan.mark;
        if plan.report {
            self.asked = plan.mark;
        }
    }

    /// Somebody reports `mark`. Marks that were never sent are none.
    pub(super) fn confirm(&mut self, mark: u64) {
        if mark > self.sent || mark <= self.confirmed {
            return;
        }
        let gained = mark - self.confirmed;
        self.confirmed = mark;
        self.size = self.size.saturating_add(gained / 4).min(self.limit);
        self.probes = 0;
        self.probe_at = None;
    }

    /// Something waits for the window to open: a probe is due after some patience.
    pub(super) fn wait(&mut self, now: Instant) {
        if self.probe_at.is_none() {
            self.probe_at = Some(now + self.patience);
        }
    }

    /// Nothing waits for it any more.
    pub(super) fn rest(&mut self) {
        self.probe_at = None;
        self.probes = 0;
    }

    /// A probe is sent now. How many have been since the last report.
    pub(super) fn probe(&mut self, now: Instant) -> u32 {
        self.size = (self.size / 2).max(self.floor);
        self.probes = self.probes.saturating_add(1);
        self.probe_at = Some(now + self.patience.saturating_mul(1 << self.probes.min(4)));
        self.probes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Send(u64),
        Confirm(u64),
        Probe,
    }

    proptest! {
        #[test]
        fn in_flight_never_exceeds_the_window(
            origin: u64,
            ops in prop::collection::vec(
                prop_oneof![
                    6 => (1..=500u64).prop_map(Op::Send),
                    1 => any::<u64>().prop_map(Op::Confirm),
                    2 => (0..3000u64).prop_map(Op::Confirm),
                    1 => Just(Op::Probe),
                ],
                0..200,
            ),
        ) {
            let mut window = Window::new(2000, 500, origin, Duration::from_millis(1));
            let start = window.mark();
            let mut sent = 0;
            for op in ops {
                match op {
                    Op::Send(length) => {
                        if let Some(plan) = window.plan(length, false) {
                            window.commit(plan);
                            sent += length;
                        }
                    }
                    // Small numbers are marks counted back from the last one.
                    Op::Confirm(back) => window.confirm(if back < 3000 { window.mark().saturating_sub(back) } else { back }),
                    Op::Probe => prop_assert!(window.probe(Instant::ORIGIN) > 0),
                }
                prop_assert!(window.in_flight() <= 2000);
                prop_assert!((500..=2000).contains(&window.size));
                prop_assert_eq!(window.mark() - start, sent);
            }
            window.confirm(window.mark());
            prop_assert!(window.fits(500), "a report of the last mark opens it");
        }
    }

    #[test]
    fn every_quarter_and_the_last_before_the_wall_ask() {
        let mut window = Window::new(1000, 100, 0, Duration::from_millis(1));
        let mut asked = alloc::vec::Vec::new();
        while let Some(plan) = window.plan(100, false) {
            asked.push(plan.report);
            window.commit(plan);
        }
        assert_eq!(asked, [false, false, true, false, false, true, false, false, true, true]);
        assert!(window.plan(1, false).is_none());
    }

    #[test]
    fn probes_become_rarer_and_the_window_smaller_until_somebody_reports() {
        let ms = Duration::from_millis;
        let mut window = Window::new(1000, 100, 7, ms(10));
        window.commit(window.plan(100, true).unwrap());
        window.wait(Instant::ORIGIN);
        assert_eq!(window.probe_at(), Some(Instant::ORIGIN + ms(10)));
        assert_eq!(window.probe(Instant::ORIGIN), 1);
        assert_eq!(window.probe_at(), Some(Instant::ORIGIN + ms(20)));
        assert_eq!(window.probe(Instant::ORIGIN), 2);
        assert_eq!(window.probe_at(), Some(Instant::ORIGIN + ms(40)));
        assert_eq!(window.size, 250);
        window.confirm(window.mark());
        assert_eq!((window.probe_at(), window.in_flight(), window.size), (None, 0, 275));
    }
}
