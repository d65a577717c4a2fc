use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::crypto::{BoxNumber, Secret, SuiteError, VerifyError};
use crate::fingerprint::Fingerprint;
use crate::group::sealer::SealLimits;
use crate::wire::field::Tag;

const GRACE: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn keys(epoch: u64) -> EpochKeys {
    let rules = Rules { kind: Kind::Both, origin: false };
    let far = Instant::from_micros(u64::MAX);
    let sealer = Sealer::new(Epoch(epoch), MemberId(1), Kind::Both, None, SealLimits::default(), far);
    EpochKeys::new(Epoch(epoch), Key::new(Secret::new(&epoch.to_be_bytes())), rules, Some(sealer))
}

fn ring() -> KeyRing {
    KeyRing::new(3)
}

fn put(ring: &mut KeyRing, epoch: u64, floor: u64, now: Instant) -> Installed {
    ring.install(keys(epoch), Epoch(floor), now, GRACE, SETTLE)
}

fn erased(erased: Erased) -> Vec<u64> {
    erased.iter().map(|epoch| epoch.0).collect()
}

fn sending(ring: &KeyRing, now: Instant) -> Option<u64> {
    ring.sending(now).map(|keys| keys.epoch.0)
}

#[derive(Debug)]
struct NoAead;

impl Aead for NoAead {
    fn seal(&self, _: BoxNumber, _: &[u8], _: &mut [u8]) -> Result<Tag, SuiteError> {
        Err(SuiteError)
    }

    fn open(&self, _: BoxNumber, _: &[u8], _: &mut [u8], _: &Tag) -> Result<(), VerifyError> {
        Err(VerifyError::Forged)
    }
}

fn mark(epoch: u64, sender: u64, counter: u64) -> Mark {
    Mark { epoch: Epoch(epoch), sender: MemberId(sender), counter, aead: Arc::new(NoAead) }
}

#[test]
fn the_next_epoch_settles_and_the_old_one_has_grace() {
    let mut ring = ring();
    assert!(put(&mut ring, 1, 1, at(0)).current);
    assert_eq!(put(&mut ring, 2, 1, at(10)), Installed { current: true, erased: Erased::default() });
    assert_eq!(sending(&ring, at(10)), Some(1));
    assert_eq!(ring.next_deadline(), Some((at(11), Due::Settle)));
    assert_eq!(sending(&ring, at(11)), Some(2), "by the time, also if no timer has fired");
    assert!(ring.handle_time(at(11)).is_empty());
    assert_eq!(ring.next_deadline(), Some((at(15), Due::Grace)));
    assert!(ring.opening(Epoch(1), at(14)).is_ok());
    assert_eq!(ring.opening(Epoch(1), at(15)).unwrap_err(), Reason::OldEpoch);
    assert_eq!(erased(ring.handle_time(at(15))), [1]);
    assert_eq!(ring.next_deadline(), None);
}

#[test]
fn after_a_missed_epoch_sending_moves_at_once() {
    let mut ring = ring();
    put(&mut ring, 1, 1, at(0));
    let taken = ring.take_sealer(at(0)).unwrap();
    put(&mut ring, 3, 1, at(10));
    assert_eq!(sending(&ring, at(10)), Some(3));
    assert_eq!(taken.ready(at(10), 0), Err(Misuse::NotCurrent), "also outside the machine");
    assert!(ring.opening(Epoch(1), at(10)).is_ok());
    assert_eq!(ring.next_deadline(), Some((at(15), Due::Grace)));
}

/// The floor and not the cause of the last epoch decides: an eviction may lie in an epoch that was missed (RA §9).
#[test]
fn below_the_floor_nothing_stays() {
    let mut ring = ring();
    put(&mut ring, 1, 1, at(0));
    let taken = ring.take_sealer(at(0)).unwrap();
    // Epoch 2 evicted somebody and was missed; epoch 3 is a plain one.
    let installed = put(&mut ring, 3, 2, at(10));
    assert_eq!((installed.current, erased(installed.erased)), (true, [1].to_vec()));
    assert_eq!(ring.opening(Epoch(1), at(10)).unwrap_err(), Reason::EvictedEpoch);
    assert_eq!(ring.opening(Epoch(2), at(10)).unwrap_err(), Reason::MissedEpoch);
    assert_eq!(taken.ready(at(10), 0), Err(Misuse::NotCurrent), "the sealer outside ends too");
}

#[test]
fn wiping_waits_for_no_install_and_goes_not_back() {
    let mut ring = ring();
    put(&mut ring, 4, 1, at(0));
    assert_eq!(erased(ring.wipe_below(Epoch(6))), [4]);
    assert_eq!(ring.current_epoch(), None);
    assert_eq!(ring.installed(), Epoch(4));
    assert_eq!(sending(&ring, at(0)), None);
    assert_eq!(ring.sealer(at(0)).unwrap_err(), Misuse::NotCurrent);
    assert!(!put(&mut ring, 4, 1, at(1)).current, "used up (S5)");
    assert!(!put(&mut ring, 5, 1, at(1)).current, "below the highest floor seen");
    assert!(put(&mut ring, 6, 6, at(1)).current);
}

#[test]
fn at_most_two_epochs() {
    let mut ring = ring();
    put(&mut ring, 1, 1, at(0));
    put(&mut ring, 2, 1, at(1));
    assert_eq!(erased(put(&mut ring, 3, 1, at(2)).erased), [1]);
    assert!(ring.opening(Epoch(2), at(2)).is_ok());
    let both = ring.install(keys(4), Epoch(1), at(3), Duration::ZERO, Duration::ZERO);
    assert_eq!(erased(both.erased), [2, 3]);
    put(&mut ring, 5, 1, at(4));
    assert_eq!(erased(ring.wipe_all()), [4, 5]);
    assert!(!put(&mut ring, 5, 1, at(4)).current, "an epoch is installed once");
}

#[test]
fn early_and_old_are_told_apart() {
    let mut ring = ring();
    assert_eq!(ring.opening(Epoch(1), at(0)).unwrap_err(), Reason::EarlyEpoch);
    put(&mut ring, 5, 1, at(0));
    assert_eq!(ring.opening(Epoch(4), at(0)).unwrap_err(), Reason::BeforeJoin);
    assert_eq!(ring.opening(Epoch(0), at(0)).unwrap_err(), Reason::NoSuchEpoch);
    assert_eq!(ring.opening(Epoch(6), at(0)).unwrap_err(), Reason::EarlyEpoch);
    assert!(ring.opening(Epoch(5), at(0)).is_ok());
}

#[test]
fn one_sealer_for_each_epoch() {
    let mut ring = ring();
    put(&mut ring, 1, 1, at(0));
    let first = ring.take_sealer(at(0)).unwrap();
    assert_eq!(ring.take_sealer(at(0)).unwrap_err(), Misuse::SealerTaken);
    assert_eq!(ring.sealer(at(0)).unwrap_err(), Misuse::SealerTaken);
    put(&mut ring, 2, 1, at(10));
    assert_eq!(ring.take_sealer(at(10)).unwrap_err(), Misuse::SealerTaken, "sending has not moved yet");
    assert!(first.ready(at(10), 0).is_ok());
    ring.handle_time(at(11));
    assert_eq!(first.ready(at(11), 0), Err(Misuse::NotCurrent), "sending has moved");
    assert_eq!(ring.take_sealer(at(11)).unwrap().epoch(), Epoch(2));
}

#[test]
fn a_lease_is_renewed_while_the_sealer_is_here() {
    let mut ring = ring();
    let rules = Rules { kind: Kind::Clear, origin: false };
    let sealer = Sealer::new(Epoch(1), MemberId(1), Kind::Clear, None, SealLimits::default(), at(1));
    let keys = EpochKeys::new(Epoch(1), Key::new(Secret::new(b"base")), rules, Some(sealer));
    ring.install(keys, Epoch(1), at(0), GRACE, SETTLE);
    assert_eq!(ring.sealer(at(1)).unwrap().ready(at(1), 0), Err(Misuse::NotCurrent));
    ring.extend(at(2));
    assert_eq!(ring.sealer(at(1)).unwrap().ready(at(1), 0), Ok(0));
}

#[test]
fn windows_are_for_each_sender_and_epoch() {
    let mut ring = ring();
    put(&mut ring, 1, 1, at(0));
    put(&mut ring, 2, 1, at(0));
    ring.mark(mark(1, 7, 3));
    let check =
        |ring: &KeyRing, epoch, sender, n| ring.opening(Epoch(epoch), at(0)).unwrap().check(MemberId(sender), n);
    assert_eq!(check(&ring, 1, 7, 3), Err(Reason::Replayed));
    assert_eq!(check(&ring, 1, 7, 4), Ok(()));
    assert_eq!(check(&ring, 1, 8, 3), Ok(()));
    assert_eq!(check(&ring, 2, 7, 3), Ok(()));
    ring.mark(mark(9, 7, 3));
    assert!(ring.opening(Epoch(1), at(0)).unwrap().opener(MemberId(7)).is_some());
    ring.forget(MemberId(7));
    assert!(ring.opening(Epoch(1), at(0)).unwrap().opener(MemberId(7)).is_none());
}

#[test]
fn openers_are_bounded() {
    let mut ring = ring();
    put(&mut ring, 1, 1, at(0));
    (1..=3).for_each(|sender| ring.mark(mark(1, sender, 0)));
    let keys = ring.opening(Epoch(1), at(0)).unwrap();
    assert_eq!(ring.admits(keys, MemberId(4)), Err(Reason::Budget));
    assert_eq!(ring.admits(keys, MemberId(3)), Ok(()));
}

#[test]
fn nothing_secret_is_printed() {
    let mut ring = ring();
    let rules = Rules { kind: Kind::Clear, origin: false };
    let secret = Key::new(Secret::new(b"a secret of thirty-two bytes ..."));
    ring.install(EpochKeys::new(Epoch(1), secret, rules, None), Epoch(1), at(0), GRACE, SETTLE);
    let text = alloc::format!("{ring:?}");
    assert!(text.contains("Key(..)") && !text.contains("secret of") && !text.contains("97, 32, 115"));
}

proptest! {
    #![proptest_config(crate::group::testing::fixed())]

    /// Whatever is installed, wiped and waited for: epochs only grow, at most two are held, nothing below the floor is
    /// held, each is erased once, and the deadline given is never in the past after it was handled.
    #[test]
    fn invariants_hold(steps in prop::collection::vec((0u8..4, 1u64..40, 0u64..40, 0u64..8), 1..120)) {
        let mut ring = KeyRing::new(8);
        let (mut now, mut floor, mut last) = (0, 0, 0);
        let (mut held, mut gone, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for (what, epoch, below, wait) in steps {
            now += wait;
            let wiped = match what {
                0 | 1 => {
                    floor = floor.max(below);
                    let installed = put(&mut ring, epoch, below, at(now));
                    prop_assert_eq!(installed.current, epoch > last && epoch >= floor);
                    if installed.current {
                        last = epoch;
                        held.push(epoch);
                        all.push(epoch);
                    }
                    installed.erased
                }
                2 => {
                    floor = floor.max(below);
                    ring.wipe_below(Epoch(below))
                }
                _ => {
                    let wiped = ring.handle_time(at(now));
                    prop_assert!(ring.next_deadline().is_none_or(|(due, _)| due > at(now)));
                    wiped
                }
            };
            for epoch in wiped {
                prop_assert!(held.contains(&epoch.0) && !gone.contains(&epoch.0));
                held.retain(|other| *other != epoch.0);
                gone.push(epoch.0);
            }
            prop_assert!(held.len() <= 2);
            prop_assert!(held.iter().all(|epoch| *epoch >= floor));
            prop_assert_eq!(ring.installed(), Epoch(last));
            for epoch in 0..40 {
                let opens = ring.opening(Epoch(epoch), at(now));
                prop_assert!(opens.is_err() || held.contains(&epoch));
                if let Err(why) = opens {
                    prop_assert_eq!(why == Reason::EarlyEpoch, epoch > last, "epoch {}: {}", epoch, why);
                    let before = all.first().is_some_and(|first| (1..*first).contains(&epoch));
                    prop_assert_eq!(why == Reason::BeforeJoin, before, "epoch {}: {}", epoch, why);
                    let had = all.contains(&epoch);
                    if why == Reason::MissedEpoch {
                        prop_assert!(!had, "epoch {} came here", epoch);
                    } else if had {
                        let reason = if epoch < floor { Reason::EvictedEpoch } else { Reason::OldEpoch };
                        prop_assert_eq!(why, reason, "epoch {}", epoch);
                    }
                }
            }
            if let Some(keys) = ring.sending(at(now)) {
                prop_assert!(held.contains(&keys.epoch.0));
                prop_assert!(keys.sealer().unwrap().ready(at(now), 0).is_ok());
            }
        }
    }

    /// A refused install leaves the state as it was, but for what the floor wipes.
    #[test]
    fn a_refused_install_changes_nothing(epoch in 1u64..10) {
        let mut ring = KeyRing::new(8);
        put(&mut ring, 10, 1, at(0));
        let state = |ring: &KeyRing| {
            let mut bytes = Vec::new();
            ring.fingerprint(at(0), &mut bytes);
            bytes
        };
        let before = state(&ring);
        put(&mut ring, epoch, 1, at(0));
        prop_assert_eq!(state(&ring), before);
    }
}
