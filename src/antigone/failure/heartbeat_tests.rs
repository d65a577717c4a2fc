use alloc::vec::Vec;

use super::*;
use crate::crypto::{SuiteId, chacha20_poly1305};
use crate::endpoint::{Entropy, EntropyError};
use crate::fingerprint::fingerprint_of;
use crate::wire::{Edition, System};

const GROUP: Instance = Instance([3; 16]);
const PERIOD: Duration = Duration::from_secs(5);
const PACE: Pace = Pace { period: PERIOD, misses: 3 };
const ONE: Link = Link(1);
const TWO: Link = Link(2);

struct Fixed(u8);

impl Entropy for Fixed {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(self.0);
        Ok(())
    }
}

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

/// A leader's beacon and a member's ears, without a leader and without a member.
struct Pair {
    beacon: Beacon,
    hearing: Hearing,
    key: VerifyingKey,
    checks: Checks,
}

impl Pair {
    fn new() -> Self {
        let (signing, key) = chacha20_poly1305().signing_pair(&mut Fixed(7)).unwrap();
        let hearing = Hearing::new(at(0), [ONE, TWO].into_iter());
        Self { beacon: Beacon::new(Key::new(signing)), hearing, key, checks: Checks::ALL }
    }

    fn beat(&mut self) -> Vec<u8> {
        self.beat_of(GROUP)
    }

    fn beat_of(&mut self, group: Instance) -> Vec<u8> {
        let suite = chacha20_poly1305();
        let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
        let said = Said { epoch: Epoch(4), view: Version(0), view_digest: Digest::NONE, delta: Delta::Hidden };
        self.beacon.frame(&*suite, header, group, said, &mut Pool::new()).unwrap().to_vec()
    }

    /// The number of the heartbeat, 0 for one that was heard before over another link.
    fn hear(&mut self, now: Instant, link: Link, frame: &[u8]) -> Result<u64, Reason> {
        let Self { hearing, key, checks, .. } = self;
        let before = fingerprint_of(hearing, at(0));
        let heard = hearing.check(&*chacha20_poly1305(), *checks, GROUP, key, (PERIOD, 10), now, link, frame);
        assert_eq!(fingerprint_of(hearing, at(0)), before, "checking changes nothing but the budget");
        let heard = heard?;
        hearing.commit(now, link, heard.as_ref());
        Ok(heard.map_or(0, |verified| verified.heartbeat.beat))
    }
}

#[test]
fn each_beat_is_taken_once_on_each_link() {
    let mut pair = Pair::new();
    let beats = [pair.beat(), pair.beat(), pair.beat()];
    assert_eq!(pair.hear(at(1), ONE, &beats[0]), Ok(1));
    assert_eq!(pair.hear(at(1), TWO, &beats[0]), Ok(0));
    for link in [ONE, TWO] {
        assert_eq!(pair.hear(at(1), link, &beats[0]), Err(Reason::Replayed));
    }
    assert_eq!(pair.hear(at(2), ONE, &beats[2]), Ok(3), "one was lost");
    assert_eq!(pair.hear(at(2), TWO, &beats[1]), Err(Reason::Replayed), "and comes too late");
    assert_eq!(pair.hear(at(2), Link(9), &beats[2]), Err(Reason::Misdirected), "not a shared link");
}

#[test]
fn another_group_another_key_and_any_changed_byte_are_refused() {
    let mut pair = Pair::new();
    let foreign = pair.beat_of(Instance([4; 16]));
    assert_eq!(pair.hear(at(1), ONE, &foreign), Err(Reason::Unknown));
    let beat = pair.beat();
    for place in 0..beat.len() {
        let mut changed = beat.clone();
        changed[place] ^= 1;
        pair.hearing.budget.spent = 0;
        let refused = pair.hear(at(1), ONE, &changed).unwrap_err();
        // The machine looks at the header before; here it is part of what is signed.
        assert!(matches!(refused, Reason::Forged | Reason::Unknown | Reason::Malformed), "byte {place}: {refused:?}");
    }
    pair.hearing.budget.spent = 0;
    let suite = chacha20_poly1305();
    let (other, _) = suite.signing_pair(&mut Fixed(8)).unwrap();
    let parsed = Heartbeat::parse(&beat).unwrap();
    let mut forged = bytes::BytesMut::new();
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: SuiteId::CHACHA20_POLY1305 };
    parsed.message.put_signed(header, &mut forged, |covered| suite.sign(&other, &[LABEL, covered])).unwrap();
    assert_eq!(pair.hear(at(1), ONE, &forged), Err(Reason::Forged));
    let mut unlabelled = bytes::BytesMut::new();
    let signing = pair.beacon.signing.clone();
    parsed.message.put_signed(header, &mut unlabelled, |covered| suite.sign(signing.secret(), &[covered])).unwrap();
    assert_eq!(pair.hear(at(1), ONE, &unlabelled), Err(Reason::Forged), "the label is part of it");
    assert_eq!(pair.hear(at(1), ONE, &beat), Ok(2));
}

#[test]
fn so_many_signatures_a_period_and_then_none() {
    let mut pair = Pair::new();
    let mut forged = pair.beat();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for turn in 0..100 {
        let why = if turn < 10 { Reason::Forged } else { Reason::Budget };
        assert_eq!(pair.hear(at(6), ONE, &forged), Err(why));
    }
    assert_eq!(pair.hearing.spent(), 10);
    let beat = pair.beat();
    assert_eq!(pair.hear(at(10), ONE, &beat), Err(Reason::Budget), "advice is lost in a flood, and no more than that");
    assert_eq!(pair.hear(at(11), ONE, &beat), Ok(2), "the next period");
    pair.checks = Checks::ALL.without(Check::HeartbeatBudget);
    let mut forged = pair.beat();
    forged[last] ^= 1;
    let forged: Vec<_> = (0..100).map(|_| pair.hear(at(12), ONE, &forged)).collect();
    assert!(forged.iter().all(|why| *why == Err(Reason::Forged)), "without the budget each costs a signature");
}

#[test]
fn a_link_is_silent_only_while_the_leader_certainly_lives() {
    let mut pair = Pair::new();
    // Nothing of the leader since 14 s: it may be dead.
    assert_eq!(pair.hearing.next_silent(PACE, at(14)), None);
    // It lived at 15 s: three beats were lost; the fourth may still come.
    assert_eq!(pair.hearing.next_silent(PACE, at(15)), Some((at(20), ONE)));
    let beat = pair.beat();
    pair.hear(at(16), ONE, &beat).unwrap();
    assert_eq!(pair.hearing.next_silent(PACE, at(16)), Some((at(20), TWO)), "each link by itself");
    pair.hearing.reported(TWO);
    assert_eq!(pair.hearing.next_silent(PACE, at(30)), None, "told once");
    assert_eq!(pair.hearing.next_silent(PACE, at(31)), Some((at(36), ONE)));
    assert!(pair.hearing.commit(at(32), TWO, None), "it had been silent");
    assert!(!pair.hearing.commit(at(33), TWO, None));
    pair.hearing.closed(ONE);
    pair.hearing.closed(TWO);
    assert_eq!(pair.hearing.next_silent(PACE, at(99)), None);
    pair.hearing.opened(at(99), ONE);
    assert_eq!(pair.hearing.next_silent(PACE, at(114)), Some((at(119), ONE)), "counted from when it opened");
}
