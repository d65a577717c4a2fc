//! Words under way, step by step, without any machine.

use core::time::Duration;

use super::*;
use crate::crypto::chacha20_poly1305;
use crate::endpoint::Instant;
use crate::group::{Jitter, Limits};
use crate::wire::antigone::PrivateWord;
use crate::wire::enclaves::repaired::Gossip;
use crate::wire::field::Digest;
use crate::wire::{Edition, System};

const ANN: MemberId = MemberId(1);
const BOB: MemberId = MemberId(2);
const CYD: MemberId = MemberId(3);

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn key(byte: u8) -> Key<role::Gossip> {
    Key::new(Secret::new(&[byte; 32]))
}

fn digest_of(byte: u8) -> Digest {
    Digest::new(&[byte; 32]).unwrap()
}

fn limits() -> Limits {
    Limits { gossip: 2, gossip_time: Duration::from_secs(10), ..Limits::default() }
}

fn asked(frame: Option<&'static [u8]>) -> Asked {
    Asked { key: key(7), digest: Some(digest_of(9)), frame: frame.map(Bytes::from_static) }
}

fn begin(relays: &mut Relays, number: u64, to: &[MemberId]) {
    relays.begin(at(0), ANN, number, asked(None), to.iter().copied(), |cid| cid != CYD);
}

fn passing(relays: &mut Relays, number: u64) -> Option<(Bytes, Vec<MemberId>)> {
    relays.pass_on(ANN, number).map(|passing| (passing.frame, passing.to.into_iter().collect()))
}

#[test]
fn recipients_are_some_others_in_order() {
    assert_eq!(recipients(ANN, &[CYD, BOB, CYD]), Ok(alloc::vec![BOB, CYD]));
    assert_eq!(recipients(ANN, &[]), Err(Misuse::NoMember));
    assert_eq!(recipients(ANN, &[BOB, ANN]), Err(Misuse::Oneself));
    let many: Vec<MemberId> = (2..67).map(MemberId).collect();
    assert_eq!(recipients(ANN, &many), Err(Misuse::NoMember), "65");
    assert_eq!(recipients(ANN, &many[1..]).map(|to| to.len()), Ok(64));
}

/// Group, sender, number and system are bound; the longest payload fills the frame.
#[test]
fn a_word_opens_as_what_it_is() {
    let suite = &*chacha20_poly1305();
    let header = |system| Header { system, edition: Edition::Repaired, suite: suite.id() };
    let word = Word { group: Instance([5; 16]), cid: ANN, number: 4 };
    let longest = alloc::vec![3; max_payload(suite, 1_200)];
    let header = header(System::Antigone);
    let frame = seal::<PrivateWord>(suite, header, &key(7), word, 1, &longest).unwrap();
    assert_eq!((frame.len(), word_of::<PrivateWord>(&frame)), (1_200, Ok(word)));
    let opened = open::<PrivateWord>(suite, &key(7), &mut frame.to_vec());
    assert_eq!(opened, Ok((Port::Transfer, Bytes::from(longest))));
    assert_eq!(open::<PrivateWord>(suite, &key(8), &mut frame.to_vec()), Err(Reason::Forged));
    for (place, what) in [(0, "header"), (5, "group"), (28, "sender"), (36, "number"), (60, "text")] {
        let mut other = frame.to_vec();
        other[place] ^= 1;
        assert_eq!(open::<PrivateWord>(suite, &key(7), &mut other), Err(Reason::Forged), "{what}");
    }
    // The same fields under the same key in the other system: another label.
    let other = seal::<Gossip>(suite, header, &key(7), word, 1, b"text").unwrap();
    assert_eq!(open::<PrivateWord>(suite, &key(7), &mut other.to_vec()), Err(Reason::Forged));
    let odd = seal::<PrivateWord>(suite, header, &key(7), word, 2, b"text").unwrap();
    assert_eq!(open::<PrivateWord>(suite, &key(7), &mut odd.to_vec()), Err(Reason::Violation), "no such port");
    assert_eq!(open::<PrivateWord>(suite, &key(7), &mut [1, 2]), Err(Reason::Malformed));
}

#[test]
fn a_text_goes_to_whom_has_its_key_and_to_nobody_twice() {
    let mut relays = Relays::new(&limits());
    begin(&mut relays, 1, &[BOB, CYD, MemberId(4)]);
    assert_eq!(passing(&mut relays, 1), None, "the text is not here");
    relays.keyed(BOB, ANN, 1);
    relays.keyed(CYD, ANN, 1);
    assert_eq!(relays.get(ANN, 1).unwrap().missed(), [CYD]);
    assert!(relays.awaiting(ANN, 1).is_ok());
    assert_eq!(relays.awaiting(BOB, 1).map(drop), Err(Reason::Unknown));
    relays.arrived(ANN, 1, Bytes::from_static(b"sealed"), digest_of(9));
    assert_eq!(relays.awaiting(ANN, 1).map(drop), Err(Reason::Replayed));
    assert_eq!(
        passing(&mut relays, 1),
        Some((Bytes::from_static(b"sealed"), alloc::vec![BOB])),
        "who was missed has no key"
    );
    assert_eq!(passing(&mut relays, 1).unwrap().1, []);
    relays.keyed(MemberId(4), ANN, 1);
    relays.keyed(BOB, ANN, 1);
    assert_eq!(passing(&mut relays, 1).unwrap().1, [MemberId(4)]);
    assert!(relays.get(ANN, 1).is_some(), "its sender is still to hear what became of it");
    relays.answered(ANN, 1);
    assert!(relays.get(ANN, 1).is_none() && relays.next().is_none());
}

#[test]
fn the_leader_reads_along_where_it_is_named() {
    let mut relays = Relays::new(&limits());
    begin(&mut relays, 1, &[MemberId::LEADER]);
    let relay = relays.get(ANN, 1).unwrap();
    assert!(relay.listens() && !relay.is_done() && relay.missed().is_empty());
    relays.answered(ANN, 1);
    assert!(relays.get(ANN, 1).is_some());
    relays.arrived(ANN, 1, Bytes::from_static(b"sealed"), digest_of(9));
    assert!(passing(&mut relays, 1).is_some() && relays.get(ANN, 1).is_none());
    // One that came whole waits for the leader to hear it.
    relays.begin(at(0), ANN, 2, asked(Some(b"sealed")), [MemberId::LEADER].into_iter(), |_| true);
    assert!(relays.get(ANN, 2).unwrap().listens());
    relays.heard(ANN, 2);
    assert!(relays.get(ANN, 2).unwrap().is_done());
}

#[test]
fn few_of_each_sender_for_a_while() {
    let mut relays = Relays::new(&limits());
    begin(&mut relays, 1, &[BOB]);
    assert!(relays.has_room(ANN));
    begin(&mut relays, 2, &[BOB]);
    assert!(!relays.has_room(ANN) && relays.has_room(BOB));
    begin(&mut relays, 3, &[BOB, ANN, MemberId::LEADER]);
    let third = relays.get(ANN, 3).unwrap();
    assert!(third.is_done() && !third.listens(), "nobody is reached");
    assert_eq!(third.missed(), [MemberId::LEADER, BOB], "and oneself never is");
    // Whoever goes is not waited for; what it said stays.
    relays.forget(BOB);
    relays.forget(ANN);
    assert!(relays.get(ANN, 1).unwrap().is_done());
    assert_eq!(relays.next(), Some(at(10)));
    relays.expire(at(9));
    assert!(relays.get(ANN, 1).is_some());
    relays.expire(at(10));
    assert!(relays.get(ANN, 1).is_none() && relays.has_room(ANN));
    // A leader's own are forgotten as soon as they are passed on.
    relays.begin(at(0), MemberId::LEADER, 1, asked(Some(b"sealed")), [BOB].into_iter(), |_| true);
    relays.keyed(BOB, MemberId::LEADER, 1);
    assert!(relays.pass_on(MemberId::LEADER, 1).is_some() && relays.get(MemberId::LEADER, 1).is_none());
}

#[test]
fn whispers_come_once_each_and_not_without_end() {
    let mut whispers = Whispers::new();
    for number in 0..8 {
        assert!(whispers.has_room(&limits()), "{number}");
        whispers.push(Whisper::Key(ANN, number));
        whispers.push(Whisper::Key(ANN, number));
    }
    assert!(!whispers.has_room(&limits()), "four times as many as one may have under way");
    for number in 0..8 {
        assert_eq!(whispers.front(), Some(Whisper::Key(ANN, number)));
        whispers.pop();
    }
    assert!(whispers.is_empty() && whispers.front().is_none());
}

#[test]
fn an_own_word_follows_its_record_and_is_repeated_until_it_is_answered() {
    let (retry, mut jitter) = (Limits::default().retry, Jitter::none());
    let mut words = Words::new(&limits());
    words.say(at(0), 3, Stage::Sealed(Bytes::from_static(b"three")));
    words.say(at(0), 5, Stage::Sealed(Bytes::from_static(b"five")));
    assert!(!words.has_room());
    words.follow(at(1), retry, &mut jitter, 2);
    assert_eq!(words.repeat(at(1), &mut jitter), None, "the record is not acknowledged");
    words.follow(at(1), retry, &mut jitter, 3);
    assert_eq!(words.due(), Some(at(1)));
    assert_eq!(words.repeat(at(1), &mut jitter), Some(Bytes::from_static(b"three")));
    assert_eq!(words.repeat(at(1), &mut jitter), None);
    assert_eq!(words.repeat(at(2), &mut jitter), Some(Bytes::from_static(b"three")), "again");
    words.follow(at(2), retry, &mut jitter, 5);
    words.answered(3);
    assert_eq!(words.repeat(at(2), &mut jitter), Some(Bytes::from_static(b"five")));
    assert!(words.has_room());
    assert_eq!(words.repeat(at(10), &mut jitter), None, "given up");
    assert_eq!(words.due(), None);
}

#[test]
fn a_word_whose_key_is_asked_for_is_sealed_when_it_comes() {
    let (retry, mut jitter) = (Limits::default().retry, Jitter::none());
    let mut words = Words::new(&limits());
    words.say(at(0), 1, Stage::Keyless(1, Bytes::from_static(b"plain")));
    words.say(at(0), 2, Stage::WithLeader);
    assert_eq!(words.keyless(1), Some((1, &Bytes::from_static(b"plain"))));
    assert_eq!((words.keyless(2), words.keyless(9)), (None, None));
    words.follow(at(0), retry, &mut jitter, 2);
    assert_eq!(words.repeat(at(0), &mut jitter), None);
    words.sealed(at(0), retry, &mut jitter, 1, Bytes::from_static(b"sealed"));
    assert_eq!(words.repeat(at(0), &mut jitter), Some(Bytes::from_static(b"sealed")));
}

#[test]
fn an_expected_word_is_heard_once_or_given_up() {
    let mut words = Words::new(&limits());
    assert_eq!(words.expect(at(0), ANN, 1, key(1), digest_of(0)), None);
    assert_eq!(words.expect(at(1), BOB, 1, key(2), digest_of(4)), None);
    assert_eq!(words.expected(BOB, 1).unwrap().digest, digest_of(4));
    assert!(words.expected(BOB, 2).is_none() && words.expected(CYD, 1).is_none());
    words.heard(BOB, 1);
    assert!(words.expected(BOB, 1).is_none(), "its key is gone");
    words.expect(at(2), BOB, 2, key(3), digest_of(0));
    assert_eq!(words.expect(at(3), BOB, 3, key(4), digest_of(0)), Some((ANN, 1)), "the oldest gives way");
    assert_eq!((words.lost(at(11)), words.due()), (None, Some(at(12))));
    assert_eq!(words.lost(at(12)), Some((BOB, 2)));
    assert_eq!(words.lost(at(12)), None);
    assert_eq!(words.lost(at(13)), Some((BOB, 3)));
    assert_eq!(words.due(), None);
}
