use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::crypto::{Secret, SuiteId, aes_128_gcm, chacha20_poly1305};
use crate::endpoint::{Entropy, EntropyError};
use crate::fingerprint::Fingerprint;
use crate::group::issue::base;
use crate::group::view::ChangeRecord;
use crate::wire::{Edition, System};

const GROUP: Instance = Instance([3; 16]);
const NOW: Instant = Instant::from_micros(7_000_000);
const FAR: Instant = Instant::from_micros(u64::MAX);
const KINDS: [Kind; 4] = [Kind::Clear, Kind::Integrity, Kind::Confidentiality, Kind::Both];

fn header(suite: SuiteId) -> Header {
    Header { system: System::Antigone, edition: Edition::Repaired, suite }
}

/// A generator of the tests: counts.
struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.iter_mut().for_each(|byte| {
            self.0 = self.0.wrapping_mul(5).wrapping_add(17);
            *byte = self.0;
        });
        Ok(())
    }
}

/// A group of three without a leader or a member object: keys, rules and a view.
struct World {
    suite: Arc<dyn Suite>,
    rules: Rules,
    origin: Vec<Key<role::Signing>>,
    view: View,
}

impl World {
    fn new(suite: Arc<dyn Suite>, kind: Kind, origin: bool) -> Self {
        let mut view = View::new(10, 0);
        let mut keys = Vec::new();
        let mut changes = Vec::new();
        for (cid, name) in (0..).zip(["lead", "ada", "bob"]) {
            let (secret, public) = suite.signing_pair(&mut Counting(cid as u8)).unwrap();
            keys.push(Key::new(secret));
            changes.push(ChangeRecord::Add { cid: MemberId(cid), name: Name::new(name).unwrap(), origin_key: public });
        }
        let step = view.prepare(&*suite, &GROUP, changes).unwrap();
        view.commit(step);
        Self { suite, rules: Rules { kind, origin }, origin: keys, view }
    }

    fn simple(kind: Kind) -> Self {
        Self::new(chacha20_poly1305(), kind, false)
    }

    fn base(&self, epoch: u64) -> Key<role::DataBase> {
        let key = Key::new(Secret::new(&[epoch as u8; 32]));
        base(&*self.suite, GROUP, &epoch.to_be_bytes(), &key).unwrap()
    }

    fn sending(&self, cid: u64) -> Sending {
        let origin = self.rules.origin.then(|| self.origin[cid as usize].clone());
        Sending {
            suite: self.suite.clone(),
            header: header(self.suite.id()),
            group: GROUP,
            cid: MemberId(cid),
            label: None,
            origin,
        }
    }

    fn sender(&self, cid: u64, epoch: u64) -> DataSealer {
        let sending = self.sending(cid);
        let base = self.base(epoch);
        let sealer = sending.sealer(Epoch(epoch), &base, self.rules.kind, SealLimits::default(), FAR).unwrap();
        DataSealer::new(sending, sealer)
    }

    fn ring(&self, epoch: u64) -> KeyRing {
        let mut ring = KeyRing::new(10);
        self.install(&mut ring, epoch);
        ring
    }

    fn install(&self, ring: &mut KeyRing, epoch: u64) {
        let keys = EpochKeys::new(Epoch(epoch), self.base(epoch), self.rules, None);
        assert!(ring.install(keys, Epoch(1), NOW, Duration::from_secs(5), Duration::ZERO).current);
    }

    fn receiving(&self, own: u64) -> Receiving<'_> {
        Receiving {
            suite: &*self.suite,
            header: header(self.suite.id()),
            group: GROUP,
            own: MemberId(own),
            members: Members::View(&self.view),
            current: true,
        }
    }
}

fn say(sender: &mut DataSealer, payload: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    sender.seal(NOW, Port::Application, payload, &mut frame).unwrap();
    frame
}

fn state(ring: &KeyRing) -> Vec<u8> {
    let mut bytes = Vec::new();
    ring.fingerprint(NOW, &mut bytes);
    bytes
}

#[test]
fn what_is_sealed_opens_with_what_it_is_worth() {
    for suite in [aes_128_gcm(), chacha20_poly1305()] {
        for (kind, origin) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            let world = World::new(suite.clone(), kind, origin);
            let (mut sender, mut ring) = (world.sender(1, 1), world.ring(1));
            for payload in [&b""[..], b"x", b"a longer text, longer than a block of any cipher here"] {
                let mut frame = BytesMut::from(&b"before"[..]);
                sender.seal(NOW, Port::Transfer, payload, &mut frame).unwrap();
                let frame = frame.split_off(6);
                assert_eq!(frame.len(), payload.len() + sender.overhead(), "{kind:?} {origin}");
                let readable = payload.is_empty() || frame.windows(payload.len()).any(|part| part == payload);
                if payload.len() > 1 {
                    assert_eq!(readable, matches!(kind, Kind::Clear | Kind::Integrity));
                }
                let message = world.receiving(2).open(&mut ring, frame, NOW).unwrap();
                let from = match (kind, origin) {
                    (Kind::Clear, _) => Sender::Unauthenticated(MemberId(1)),
                    (_, true) => Sender::Signed(MemberId(1)),
                    (_, false) => Sender::AnyMember(MemberId(1)),
                };
                let expected =
                    Message { from, epoch: Epoch(1), port: Port::Transfer, payload: payload.to_vec().into() };
                assert_eq!(message, expected);
            }
        }
    }
}

#[test]
fn a_replay_is_refused_but_for_what_is_clear() {
    for kind in KINDS {
        let world = World::simple(kind);
        let (mut sender, mut ring) = (world.sender(1, 1), world.ring(1));
        let (first, second) = (say(&mut sender, b"1"), say(&mut sender, b"2"));
        let mut open = |frame: &BytesMut| world.receiving(2).open(&mut ring, frame.clone(), NOW).map(|m| m.payload);
        assert_eq!(open(&second).unwrap(), b"2"[..]);
        assert_eq!(open(&first).unwrap(), b"1"[..], "order does not matter");
        let again = open(&first).map(drop);
        assert_eq!(again, if kind == Kind::Clear { Ok(()) } else { Err(Reason::Replayed) });
    }
}

/// Equal counters of two senders meet under different keys (R17).
#[test]
fn senders_share_no_numbers() {
    let world = World::simple(Kind::Both);
    let (mut ada, mut bob, mut ring) = (world.sender(1, 1), world.sender(2, 1), world.ring(1));
    let (one, two) = (say(&mut ada, b"the same text"), say(&mut bob, b"the same text"));
    let tail = one.len() - 40;
    assert_ne!(one[tail..], two[tail..]);
    for frame in [one, two] {
        world.receiving(0).open(&mut ring, frame, NOW).unwrap();
    }
}

#[test]
fn each_bit_counts_and_a_refused_frame_changes_nothing() {
    for (kind, origin) in KINDS.into_iter().skip(1).flat_map(|kind| [(kind, false), (kind, true)]) {
        let world = World::new(chacha20_poly1305(), kind, origin);
        let (mut sender, mut ring) = (world.sender(1, 1), world.ring(1));
        world.receiving(2).open(&mut ring, say(&mut sender, b"first"), NOW).unwrap();
        let before = state(&ring);
        let frame = say(&mut sender, b"second");
        for bit in 0..frame.len() * 8 {
            let mut bent = frame.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(world.receiving(2).open(&mut ring, bent, NOW).is_err(), "{kind:?} bit {bit}");
            assert_eq!(state(&ring), before, "{kind:?} bit {bit}");
        }
        for length in 0..frame.len() {
            assert!(world.receiving(2).open(&mut ring, BytesMut::from(&frame[..length]), NOW).is_err());
        }
        let mut longer = frame.clone();
        longer.extend_from_slice(b"x");
        assert_eq!(world.receiving(2).open(&mut ring, longer, NOW).unwrap_err(), Reason::Malformed);
        assert_eq!(state(&ring), before);
        assert!(world.receiving(2).open(&mut ring, frame, NOW).is_ok(), "nothing of it was used up");
    }
}

#[test]
fn the_order_of_the_checks() {
    let world = World::simple(Kind::Both);
    let mut ring = world.ring(2);
    let frame = |cid, epoch| say(&mut world.sender(cid, epoch), b"x");
    let refused = |receiving: Receiving<'_>, ring: &mut KeyRing, frame| receiving.open(ring, frame, NOW).unwrap_err();
    let here = world.receiving(2);
    let stale = Receiving { current: false, ..here };
    assert_eq!(refused(stale, &mut ring, frame(2, 9)), Reason::Echo);
    assert_eq!(refused(stale, &mut ring, frame(1, 9)), Reason::NotCurrent);
    assert_eq!(refused(here, &mut ring, frame(1, 3)), Reason::EarlyEpoch);
    assert_eq!(refused(here, &mut ring, frame(1, 1)), Reason::BeforeJoin);
    let other = Receiving { group: Instance([4; 16]), ..here };
    assert_eq!(refused(other, &mut ring, frame(1, 2)), Reason::OtherGroup);
    let other = Receiving { header: header(SuiteId::AES_128_GCM), ..here };
    assert_eq!(refused(other, &mut ring, frame(1, 2)), Reason::Mismatch);
    let none = View::new(10, 0);
    let strange = Receiving { members: Members::View(&none), ..here };
    assert_eq!(refused(strange, &mut ring, frame(1, 2)), Reason::NotMember);
    let hidden = Receiving { members: Members::Hidden, ..here };
    assert!(hidden.open(&mut ring, frame(1, 2), NOW).is_ok());
    assert_eq!(refused(here, &mut ring, frame(1, 2)), Reason::Replayed);
    let mut heartbeat = frame(1, 2);
    heartbeat[4] = 6;
    assert_eq!(refused(here, &mut ring, heartbeat), Reason::Misdirected);
    assert_eq!(refused(here, &mut ring, BytesMut::from(&b"abc"[..])), Reason::Malformed);
}

/// Never less, never another (I-6, R8): a kind that the policy does not name is refused, also a stronger one.
#[test]
fn only_the_protection_of_the_policy() {
    for theirs in KINDS {
        let frame = say(&mut World::simple(theirs).sender(1, 1), b"x");
        for ours in KINDS.into_iter().filter(|ours| *ours != theirs) {
            let world = World::simple(ours);
            assert_eq!(
                world.receiving(2).open(&mut world.ring(1), frame.clone(), NOW).unwrap_err(),
                Reason::Protection
            );
        }
    }
    for ours in [false, true] {
        let frame = say(&mut World::new(chacha20_poly1305(), Kind::Both, !ours).sender(1, 1), b"x");
        let world = World::new(chacha20_poly1305(), Kind::Both, ours);
        assert_eq!(world.receiving(2).open(&mut world.ring(1), frame, NOW).unwrap_err(), Reason::Protection);
    }
}

/// A2: without signatures an insider speaks under any number, and the type says so; with them it does not.
#[test]
fn an_insider_speaks_for_another_unless_origin_is_signed() {
    for origin in [false, true] {
        let world = World::new(chacha20_poly1305(), Kind::Both, origin);
        // Bob has the base of the epoch, as everybody has, and his own origin key.
        let mut sending = world.sending(2);
        sending.cid = MemberId(1);
        let sealer = sending.sealer(Epoch(1), &world.base(1), Kind::Both, SealLimits::default(), FAR).unwrap();
        let frame = say(&mut DataSealer::new(sending, sealer), b"I am Ada");
        let opened = world.receiving(0).open(&mut world.ring(1), frame, NOW).map(|message| message.from);
        assert_eq!(opened, if origin { Err(Reason::Forged) } else { Ok(Sender::AnyMember(MemberId(1))) });
    }
}

/// Members with different facts of an epoch cannot talk (R27).
#[test]
fn other_facts_are_another_key() {
    let world = World::simple(Kind::Integrity);
    let key = Key::new(Secret::new(&[1; 32]));
    let base = base(&*world.suite, GROUP, b"another view", &key).unwrap();
    let mut ring = KeyRing::new(10);
    let _ =
        ring.install(EpochKeys::new(Epoch(1), base, world.rules, None), Epoch(1), NOW, Duration::ZERO, Duration::ZERO);
    let frame = say(&mut world.sender(1, 1), b"x");
    assert_eq!(world.receiving(2).open(&mut ring, frame, NOW).unwrap_err(), Reason::Forged);
}

#[test]
fn an_old_epoch_opens_within_its_grace() {
    let world = World::simple(Kind::Both);
    let (mut old, mut ring) = (world.sender(1, 1), world.ring(1));
    world.install(&mut ring, 2);
    assert!(world.receiving(2).open(&mut ring, say(&mut old, b"late"), NOW + Duration::from_secs(4)).is_ok());
    let later = world.receiving(2).open(&mut ring, say(&mut old, b"too late"), NOW + Duration::from_secs(5));
    assert_eq!(later.unwrap_err(), Reason::OldEpoch);
    // The same number under the new key is another number.
    assert!(world.receiving(2).open(&mut ring, say(&mut world.sender(1, 2), b"new"), NOW).is_ok());
}

#[test]
fn a_relay_checks_forwards_once_and_delivers() {
    let world = World::new(chacha20_poly1305(), Kind::Both, true);
    let (mut relay, mut member) = (world.ring(1), world.ring(1));
    let frame = say(&mut world.sender(1, 1), b"to all");
    let kept = frame.clone();
    let mut checked = world.receiving(0).check(&relay, frame.clone(), NOW).unwrap();
    assert_eq!(checked.cid(), MemberId(1));
    relay.mark(checked.relayed().unwrap());
    assert_eq!(checked.deliver(&*world.suite).unwrap().payload, b"to all"[..]);
    assert_eq!(world.receiving(0).check(&relay, frame, NOW).unwrap_err(), Reason::Replayed);
    assert!(world.receiving(2).open(&mut member, kept, NOW).is_ok(), "the same bytes");
}

#[test]
fn a_failed_seal_appends_nothing() {
    let world = World::new(chacha20_poly1305(), Kind::Both, true);
    let mut sending = world.sending(1);
    let limits = SealLimits { messages: 1, bytes: u64::MAX };
    let mut sealer = sending.sealer(Epoch(1), &world.base(1), Kind::Both, limits, FAR).unwrap();
    let mut out = BytesMut::from(&b"before"[..]);
    let mut seal = |sending: &Sending, now, payload: &[u8]| {
        let result = sending.seal(&mut sealer, now, Port::Application, payload, &mut out);
        let kept = out.len();
        if result.is_err() {
            assert_eq!(out, b"before"[..]);
        } else {
            out.truncate(6);
        }
        (result, kept, sealer.messages())
    };
    let long = alloc::vec![0; MAX_TEXT];
    assert_eq!(seal(&sending, NOW, &long), (Err(Misuse::TooLong.into()), 6, 0));
    assert_eq!(seal(&sending, FAR, b"x"), (Err(Misuse::NotCurrent.into()), 6, 0));
    let good = sending.origin.replace(Key::new(Secret::new(b"no key")));
    let failed = CommandError::Failure(crate::error::Failure::Suite);
    assert_eq!(seal(&sending, NOW, b"x"), (Err(failed), 6, 0), "a failed signature uses no number up");
    sending.origin = good;
    assert_eq!(seal(&sending, NOW, b"x").0, Ok(()));
    assert_eq!(seal(&sending, NOW, b"x"), (Err(Misuse::KeyExhausted.into()), 6, 1));
}

#[test]
fn the_longest_message_fills_the_frame() {
    for origin in [false, true] {
        let world = World::new(chacha20_poly1305(), Kind::Integrity, origin);
        let sending = world.sending(1);
        let payload = alloc::vec![9; sending.max_message(Kind::Integrity, 1200)];
        assert_eq!(say(&mut world.sender(1, 1), &payload).len(), 1200);
        assert_eq!(sending.max_message(Kind::Integrity, 10), 0);
        let longest = alloc::vec![9; sending.max_message(Kind::Integrity, usize::MAX)];
        let frame = say(&mut world.sender(1, 1), &longest);
        assert!(world.receiving(2).open(&mut world.ring(1), frame, NOW).is_ok());
    }
}

#[test]
fn a_label_stands_only_where_no_view_does() {
    let world = World::simple(Kind::Both);
    let mut sending = world.sending(1);
    sending.label = Some(Name::new("ada").unwrap());
    let sealer = sending.sealer(Epoch(1), &world.base(1), Kind::Both, SealLimits::default(), FAR).unwrap();
    let mut sender = DataSealer::new(sending, sealer);
    let frame = say(&mut sender, b"x");
    assert_eq!(frame.len(), 1 + sender.overhead());
    let here = world.receiving(2);
    assert_eq!(here.open(&mut world.ring(1), frame.clone(), NOW).unwrap_err(), Reason::Violation);
    let hidden = Receiving { members: Members::Hidden, ..here };
    assert!(hidden.open(&mut world.ring(1), frame, NOW).is_ok());
}

/// The suite fails at its k-th call, for every k of a session: what fails leaves nothing behind but a number that is
/// used up, both sides go on, and no number ever meets two texts.
#[cfg(feature = "sim")]
#[test]
fn a_suite_that_fails_at_any_call_stops_nobody() {
    use crate::crypto::faulty::{Faulty, Recording};
    let total = {
        let faulty = Faulty::new(chacha20_poly1305());
        let world = World::new(faulty.suite(), Kind::Both, true);
        let (mut sender, mut ring) = (world.sender(1, 1), world.ring(1));
        let before = faulty.calls();
        (0..3).for_each(|_| drop(world.receiving(2).open(&mut ring, say(&mut sender, b"x"), NOW).unwrap()));
        faulty.calls() - before
    };
    assert!(total >= 12);
    for k in 1..=total {
        let recording = Recording::new(chacha20_poly1305());
        let faulty = Faulty::new(recording.suite());
        let world = World::new(faulty.suite(), Kind::Both, true);
        let (mut sender, mut ring) = (world.sender(1, 1), world.ring(1));
        faulty.fail_at(k);
        let (mut sealed, mut opened) = (0, 0);
        for round in 0..4u8 {
            let mut frame = BytesMut::new();
            let Ok(()) = sender.seal(NOW, Port::Application, &[round], &mut frame) else {
                assert!(frame.is_empty(), "k = {k}");
                continue;
            };
            sealed += 1;
            let before = state(&ring);
            match world.receiving(2).open(&mut ring, frame.clone(), NOW) {
                Ok(message) => {
                    opened += 1;
                    assert_eq!(message.payload, [round][..]);
                }
                Err(why) => {
                    assert_eq!((why, state(&ring)), (Reason::Suite, before), "k = {k}");
                    assert!(world.receiving(2).open(&mut ring, frame, NOW).is_ok(), "k = {k}");
                }
            }
        }
        assert_eq!(faulty.failures(), 1, "k = {k}");
        assert_eq!(sealed + opened, if sealed == 4 { 7 } else { 6 }, "k = {k}");
        assert!(recording.violations().is_empty(), "k = {k}: {:?}", recording.violations());
    }
}

proptest! {
    #![proptest_config(crate::group::testing::fixed())]

    /// Bytes from nowhere, and frames with a patch: no panic, no change.
    #[test]
    fn strangers_change_nothing(noise in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..120, kind in 0usize..4) {
        let world = World::simple(KINDS[kind]);
        let mut ring = world.ring(1);
        let before = state(&ring);
        let mut patched = say(&mut world.sender(1, 1), b"a text of some length");
        let original = patched.clone();
        let end = patched.len().min(at + noise.len());
        if at < end {
            patched[at..end].copy_from_slice(&noise[..end - at]);
        }
        prop_assert!(world.receiving(2).open(&mut ring, BytesMut::from(&noise[..]), NOW).is_err());
        let opened = world.receiving(2).open(&mut ring, patched.clone(), NOW);
        if patched != original && kind != 0 {
            prop_assert!(opened.is_err());
            prop_assert_eq!(state(&ring), before);
        }
    }
}
