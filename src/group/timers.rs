//! Many deadlines, the earliest first.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::endpoint::Instant;

/// One deadline for each key. All operations take logarithmic time; deadlines of the same instant fall due by rising
/// key, so that the order depends on nothing but the contents (R43).
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub struct Timers<K: Ord + Copy> {
    of: BTreeMap<K, Instant>,
    order: BTreeSet<(Instant, K)>,
}

#[cfg(any(test, feature = "sim"))]
impl<K: Ord + Copy + crate::fingerprint::Fingerprint> crate::fingerprint::Fingerprint for Timers<K> {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        // `order` says the same again.
        let Self { of, order: _ } = self;
        of.fingerprint(now, sink);
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// No deadline.
    pub const fn new() -> Self {
        Self { of: BTreeMap::new(), order: BTreeSet::new() }
    }

    /// Sets, moves or (`None`) drops the deadline of `key`.
    pub fn set(&mut self, key: K, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.of.insert(key, at),
            None => self.of.remove(&key),
        };
        if let Some(before) = before {
            self.order.remove(&(before, key));
        }
        if let Some(at) = at {
            self.order.insert((at, key));
        }
    }

    /// The deadline of `key`.
    pub fn get(&self, key: K) -> Option<Instant> {
        self.of.get(&key).copied()
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<(Instant, K)> {
        self.order.first().copied()
    }

    /// Takes out the earliest deadline that is not after `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (_, key) = self.next().filter(|(at, _)| *at <= now)?;
        self.set(key, None);
        Some(key)
    }

    /// How many deadlines there are.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

impl<K: Ord + Copy> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn the_earliest_falls_due_first_and_once() {
        let mut timers = Timers::new();
        timers.set('b', Some(at(10)));
        timers.set('a', Some(at(10)));
        timers.set('c', Some(at(5)));
        timers.set('c', Some(at(20)));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.next(), Some((at(10), 'a')));
        assert_eq!(timers.pop_due(at(10)), Some('a'));
        assert_eq!(timers.pop_due(at(10)), Some('b'));
        assert_eq!(timers.pop_due(at(10)), None);
        assert_eq!(timers.get('c'), Some(at(20)));
        timers.set('c', None);
        assert!(timers.is_empty());
        assert_eq!(timers.next(), None);
    }

    proptest! {
        #![proptest_config(crate::group::testing::fixed())]

        /// Agrees with a plain list that is searched.
        #[test]
        fn agrees_with_a_list(steps in prop::collection::vec((0u8..8, prop::option::of(0u64..50), 0u64..60), 1..200)) {
            let mut timers = Timers::new();
            let mut list = alloc::vec::Vec::<(Instant, u8)>::new();
            for (key, when, now) in steps {
                timers.set(key, when.map(at));
                list.retain(|(_, other)| *other != key);
                list.extend(when.map(|when| (at(when), key)));
                list.sort();
                prop_assert_eq!(timers.next(), list.first().copied());
                prop_assert_eq!(timers.len(), list.len());
                if now % 3 == 0 {
                    let due = list.first().copied().filter(|(when, _)| *when <= at(now));
                    prop_assert_eq!(timers.pop_due(at(now)), due.map(|(_, key)| key));
                    list.retain(|item| Some(*item) != due);
                }
            }
        }
    }
}
