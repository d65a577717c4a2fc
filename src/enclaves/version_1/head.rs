//! The head of each message (D30): who counts how, and what its receiver checks.

use core::time::Duration;

use crate::crypto::{Key, Secret};
use crate::endpoint::{Instant, WallClock};
use crate::error::Reason;
use crate::group::{Check, Checks};
use crate::identity::NameRef;
use crate::wire::enclaves::version_1::Head;
use crate::wire::field::MaybeName;

/// The wall clock, as the driver told it last. Where a call brings none it goes on with the driver's other clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock(Option<(Instant, WallClock)>);

impl Clock {
    /// What a call brings.
    pub fn tick(&mut self, now: Instant, wall: Option<WallClock>) {
        if let Some(wall) = wall {
            self.0 = Some((now, wall));
        }
    }

    /// Whether it was ever told.
    pub fn runs(&self) -> bool {
        self.0.is_some()
    }

    /// The time at `now`, in milliseconds since the Unix epoch.
    pub fn millis(&self, now: Instant) -> u64 {
        let Some((at, wall)) = self.0 else { return 0 };
        wall.0.saturating_add(u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX))
    }
}

/// Number and time of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The number.
    pub sequence: u64,
    /// The time, in milliseconds since the Unix epoch.
    pub timestamp: u64,
}

impl Stamp {
    /// That of the message after number `said`, at this time: one more, and at least the time itself. So the numbers under a
    /// key that outlives a machine's memory, P_a or K_g, go on rising after a restart.
    pub fn after(said: u64, millis: u64) -> Self {
        Self { sequence: said.saturating_add(1).max(millis), timestamp: millis }
    }
}

/// A key of two ends, with the last number of each.
#[derive(Debug)]
pub struct Pairing<R> {
    /// The key.
    pub key: Key<R>,
    /// The last own number.
    pub said: u64,
    /// The last number accepted from the other end.
    pub heard: u64,
}

impl<R> Clone for Pairing<R> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), said: self.said, heard: self.heard }
    }
}

#[cfg(any(test, feature = "sim"))]
impl<R> crate::fingerprint::Fingerprint for Pairing<R> {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let Self { key, said, heard } = self;
        key.fingerprint(now, sink);
        (*said, *heard).fingerprint(now, sink);
    }
}

impl<R> Pairing<R> {
    /// A key under which nothing was said yet.
    pub fn new(key: Key<R>) -> Self {
        Self { key, said: 0, heard: 0 }
    }

    /// What is said next under it.
    pub fn line<'a>(&'a self, from: NameRef<'a>, to: NameRef<'a>, millis: u64) -> Line<'a> {
        let stamp = Stamp::after(self.said, millis);
        Line { key: self.key.secret(), sender: from, recipient: Some(to), stamp }
    }

    /// What is taken next under it.
    pub fn gate<'a>(&'a self, from: NameRef<'a>, to: NameRef<'a>, time: Time) -> Gate<'a> {
        Gate { key: self.key.secret(), from: From::One(from, self.heard), to: Some(to), time }
    }
}

/// Under which key something is said, by whom, to whom, and as which message.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// The key.
    pub key: &'a Secret,
    /// The sender.
    pub sender: NameRef<'a>,
    /// The recipient; none for the group.
    pub recipient: Option<NameRef<'a>>,
    /// Number and time.
    pub stamp: Stamp,
}

impl core::fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Line").field("sender", &self.sender).field("recipient", &self.recipient).finish_non_exhaustive()
    }
}

impl<'a> Line<'a> {
    /// The head of a message of type `kind`.
    pub(super) fn head(&self, kind: u8) -> Head<'a> {
        let Stamp { sequence, timestamp } = self.stamp;
        Head { sender: self.sender, recipient: MaybeName(self.recipient), sequence, timestamp, kind }
    }
}

/// The own time, and how far from it that of a message may be.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    /// The own time, in milliseconds since the Unix epoch.
    pub millis: u64,
    /// The window.
    pub window: Duration,
    /// The checks that are made.
    pub checks: Checks,
}

/// Who may have sent a message, and the last number that was accepted.
#[derive(Clone, Copy)]
pub enum From<'a> {
    /// This one.
    One(NameRef<'a>, u64),
    /// A member of the group: gives the last number, or nothing for somebody who is none.
    Group(&'a dyn Fn(NameRef<'_>) -> Option<u64>),
}

/// What a message must be to be taken.
#[derive(Clone, Copy)]
pub struct Gate<'a> {
    /// The key.
    pub key: &'a Secret,
    /// The sender.
    pub from: From<'a>,
    /// The recipient; none for the group.
    pub to: Option<NameRef<'a>>,
    /// The time.
    pub time: Time,
}

impl core::fmt::Debug for Gate<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Gate").field("to", &self.to).field("time", &self.time).finish_non_exhaustive()
    }
}

impl Gate<'_> {
    /// Whether a text of type `kind` with this head is for here, of now, and new (D30).
    pub(super) fn check(&self, head: &Head<'_>, kind: u8) -> Result<(), Reason> {
        let checks = self.time.checks;
        if self.to.is_some() && self.to == Some(head.sender) {
            return Err(Reason::Echo);
        }
        if checks.on(Check::HeadPlace) {
            if head.kind != kind {
                return Err(Reason::Forged);
            }
            if head.recipient.0 != self.to {
                return Err(Reason::OtherRecipient);
            }
        }
        let heard = match self.from {
            From::One(name, heard) if name == head.sender => heard,
            From::One(..) => return Err(Reason::Forged),
            From::Group(heard) => heard(head.sender).ok_or(Reason::NotMember)?,
        };
        if checks.on(Check::HeadNumber) && head.sequence <= heard {
            return Err(Reason::Replayed);
        }
        let apart = Duration::from_millis(self.time.millis.abs_diff(head.timestamp));
        if checks.on(Check::HeadTime) && apart > self.time.window {
            return Err(Reason::Untimely);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Name;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_clock_that_is_told_once_goes_on() {
        let mut clock = Clock::default();
        assert!(!clock.runs());
        clock.tick(at(5), None);
        assert!(!clock.runs());
        clock.tick(at(5), Some(WallClock(1_000_000)));
        clock.tick(at(6), None);
        assert_eq!((clock.runs(), clock.millis(at(7))), (true, 1_002_000));
        clock.tick(at(8), Some(WallClock(500)));
        assert_eq!(clock.millis(at(8)), 500, "what the driver says counts");
    }

    #[test]
    fn numbers_rise_with_the_time_and_without_it() {
        assert_eq!(Stamp::after(0, 1_000), Stamp { sequence: 1_000, timestamp: 1_000 });
        assert_eq!(Stamp::after(1_000, 1_000), Stamp { sequence: 1_001, timestamp: 1_000 });
        assert_eq!(Stamp::after(5_000, 10).sequence, 5_001, "a clock that went back");
        assert_eq!(Stamp::after(u64::MAX, 10).sequence, u64::MAX, "does not wrap");
    }

    /// Each field of the head, alone wrong, and each check, alone off.
    #[test]
    fn each_field_of_a_head_is_checked_by_its_check() {
        let (lea, ann, bob) = (name("lea"), name("ann"), name("bob"));
        let secret = Secret::new(&[7; 8]);
        let right = Head {
            sender: lea.by_ref(),
            recipient: MaybeName(Some(ann.by_ref())),
            sequence: 11,
            timestamp: 1_000_000,
            kind: 3,
        };
        let verdict = |head: Head<'_>, millis: u64, checks: Checks| {
            let time = Time { millis, window: Duration::from_secs(120), checks };
            let from = From::One(lea.by_ref(), 10);
            Gate { key: &secret, from, to: Some(ann.by_ref()), time }.check(&head, 3)
        };
        assert_eq!(verdict(right, 1_000_000, Checks::ALL), Ok(()));
        assert_eq!(verdict(right, 1_120_000, Checks::ALL), Ok(()), "the edge of the window");
        assert_eq!(verdict(right, 880_000, Checks::ALL), Ok(()), "the other edge");
        assert_eq!(verdict(right, 1_120_001, Checks::ALL), Err(Reason::Untimely));
        assert_eq!(verdict(right, 879_999, Checks::ALL), Err(Reason::Untimely));
        let wrong = [
            (Head { kind: 4, ..right }, Reason::Forged, Some(Check::HeadPlace)),
            (
                Head { recipient: MaybeName(Some(bob.by_ref())), ..right },
                Reason::OtherRecipient,
                Some(Check::HeadPlace),
            ),
            (Head { recipient: MaybeName(None), ..right }, Reason::OtherRecipient, Some(Check::HeadPlace)),
            (Head { sequence: 10, ..right }, Reason::Replayed, Some(Check::HeadNumber)),
            (Head { timestamp: 0, ..right }, Reason::Untimely, Some(Check::HeadTime)),
            (Head { sender: bob.by_ref(), ..right }, Reason::Forged, None),
            (Head { sender: ann.by_ref(), ..right }, Reason::Echo, None),
        ];
        for (head, why, check) in wrong {
            assert_eq!(verdict(head, 1_000_000, Checks::ALL), Err(why), "{head:?}");
            for off in [Check::HeadPlace, Check::HeadNumber, Check::HeadTime] {
                let expected = if Some(off) == check { Ok(()) } else { Err(why) };
                assert_eq!(verdict(head, 1_000_000, Checks::ALL.without(off)), expected, "{head:?} without {off:?}");
            }
        }
    }
}
