//! The four forms of data as published.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use sodality::antigone::data::published::{open, peek, seal};
use sodality::antigone::keys::published::GroupKey;
use sodality::crypto::published::PublishedSuite;
use sodality::error::Reason;
use sodality::event::Port;
use sodality::policy::Protection;
use sodality::wire::Message as _;
use sodality::wire::published::{ClearData, IntegrityData, SecretData};

use crate::{ADA, BOB, Fixed, group_key, header, is_1999, name, suites, turned};

fn say(suite: &dyn PublishedSuite, held: &GroupKey, protection: Protection, text: &[u8]) -> Vec<u8> {
    let rng = &mut Fixed(9);
    seal(suite, header(suite), rng, held, protection, name(ADA), Port::Application, text).unwrap().to_vec()
}

fn code(suite: &dyn PublishedSuite, frame: &[u8]) -> u8 {
    header(suite).code_of(frame).unwrap()
}

#[test]
fn each_form_is_read_under_its_policy_and_key_alone() {
    for suite in suites() {
        let suite = &*suite;
        let (held, other) = (group_key(suite, 1), group_key(suite, 2));
        for protection in Protection::ALL {
            let frame = say(suite, &held, protection, b"a word");
            let code = code(suite, &frame);
            let read = open(suite, &held, protection, code, &frame).unwrap();
            assert_eq!((read.sender.as_str(), &*read.payload), (ADA, b"a word".as_slice()));
            assert_eq!(read.port, Port::Application);
            assert!(open(suite, &held, protection, code, &frame).is_ok(), "A1: it can be played again");
            assert_eq!(peek(code, &frame).unwrap(), (held.group.clone(), protection));
            for wanted in Protection::ALL.into_iter().filter(|wanted| *wanted != protection) {
                assert_eq!(open(suite, &held, wanted, code, &frame).unwrap_err(), Reason::Protection);
            }
            assert_eq!(open(suite, &other, protection, code, &frame).unwrap_err(), Reason::OldEpoch);
            // The same g with another key.
            let wrong = GroupKey { group: held.group.clone(), key: other.key.clone() };
            let outcome = open(suite, &wrong, protection, code, &frame).map(drop);
            let right = if protection == Protection::None { Ok(()) } else { Err(Reason::Forged) };
            assert_eq!(outcome, right, "{suite:?} {protection:?}");
            for length in 0..frame.len() {
                assert!(
                    open(suite, &held, protection, code, &frame[..length]).is_err() || protection == Protection::None
                );
            }
            assert!(open(suite, &held, protection, 0x01, &frame).is_err());
        }
        let transfer =
            seal(suite, header(suite), &mut Fixed(9), &held, Protection::Both, name(ADA), Port::Transfer, b"x");
        let transfer = transfer.unwrap();
        let read = open(suite, &held, Protection::Both, code(suite, &transfer), &transfer).unwrap();
        assert_eq!(read.port, Port::Transfer);
    }
}

/// Every byte of AN-Di and AN-Db is under a digest. Of AN-Dn none is.
#[test]
fn the_digests_of_data_cover_every_byte() {
    for suite in suites() {
        let suite = &*suite;
        let held = group_key(suite, 1);
        for protection in [Protection::Integrity, Protection::Both, Protection::None] {
            let frame = say(suite, &held, protection, b"a word");
            let code = code(suite, &frame);
            let taken =
                turned(&frame).filter(|(_, changed)| open(suite, &held, protection, code, changed).is_ok()).count();
            assert_eq!(taken > 0, protection == Protection::None, "{suite:?} {protection:?}: {taken}");
        }
    }
}

/// A2: whoever has the key writes any sender's name.
#[test]
fn any_holder_of_the_key_speaks_for_any_other() {
    for suite in suites() {
        let suite = &*suite;
        let held = group_key(suite, 1);
        for protection in Protection::ALL {
            let rng = &mut Fixed(3);
            let frame =
                seal(suite, header(suite), rng, &held, protection, name(BOB), Port::Application, b"said by ada");
            let frame = frame.unwrap();
            let read = open(suite, &held, protection, code(suite, &frame), &frame).unwrap();
            assert_eq!(read.sender.as_str(), BOB);
        }
    }
}

/// X5: the sender's name stands in the first block of AN-Dc. A bit of the IV turned is a bit of the name turned, and the
/// rest stands; under an AEAD it is refused.
#[test]
fn x5_a_bit_of_the_iv_changes_the_sender_under_the_suite_of_1999() {
    for suite in suites() {
        let suite = &*suite;
        let held = group_key(suite, 1);
        let frame = say(suite, &held, Protection::Confidentiality, b"pay ten");
        let sealed = SecretData::parse(&frame).unwrap().message.sealed.bytes;
        let iv = frame.len() - sealed.len();
        // Behind the length byte of the name: "ada" becomes "bda".
        let mut changed = frame.clone();
        changed[iv + 1] ^= b'a' ^ b'b';
        let outcome = open(suite, &held, Protection::Confidentiality, code(suite, &frame), &changed);
        if is_1999(suite) {
            let read = outcome.unwrap();
            assert_eq!((read.sender.as_str(), &*read.payload), ("bda", b"pay ten".as_slice()));
        } else {
            assert_eq!(outcome.unwrap_err(), Reason::Forged, "{suite:?}");
        }
        // AN-Db has the same box, with a digest over it.
        let frame = say(suite, &held, Protection::Both, b"pay ten");
        for (at, changed) in turned(&frame) {
            let outcome = open(suite, &held, Protection::Both, code(suite, &frame), &changed);
            assert!(outcome.is_err(), "{suite:?}: byte {at}");
        }
    }
}

/// The byte in front of the text says for whom it is; others than two, and none, are refused.
#[test]
fn other_ports_are_refused() {
    for suite in suites() {
        let suite = &*suite;
        let held = group_key(suite, 1);
        for text in [&[][..], &[2], &[255, 1, 2]] {
            let mut clear = bytes::BytesMut::new();
            let (group, sender) = (held.group.wire(), name(ADA));
            let text = sodality::wire::Payload(text);
            ClearData { group, sender, text }.put_open(header(suite), &mut clear);
            let outcome = open(suite, &held, Protection::None, code(suite, &clear), &clear);
            assert_eq!(outcome.unwrap_err(), Reason::Forged);
            let unsigned = IntegrityData { group, sender, text, digest: sodality::wire::field::Tag::NONE };
            let mut covered = sodality::wire::field::to_vec(&unsigned);
            covered.truncate(covered.len() - 2);
            let digest = suite.mac(held.key.secret(), &[&covered]).unwrap();
            let mut whole = bytes::BytesMut::new();
            IntegrityData { digest, ..unsigned }.put_open(header(suite), &mut whole);
            let outcome = open(suite, &held, Protection::Integrity, code(suite, &whole), &whole);
            assert_eq!(outcome.unwrap_err(), Reason::Forged);
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 96, rng_seed: RngSeed::Fixed(0xDA7A), failure_persistence: None, ..Config::default() })]

    #[test]
    fn whatever_is_said_is_heard(
        which in 0usize..4, seed: u64, text in proptest::collection::vec(any::<u8>(), 0..1500), form in 0usize..4,
    ) {
        let suite = &*suites()[which];
        let held = group_key(suite, seed);
        let protection = Protection::ALL[form];
        let frame = say(suite, &held, protection, &text);
        let names = held.group.app().as_str().len() + ADA.len();
        prop_assert!(frame.len() <= text.len() + sodality::antigone::data::published::OVERHEAD + names + suite.sizes().sealing);
        let read = open(suite, &held, protection, code(suite, &frame), &frame).unwrap();
        prop_assert_eq!(&*read.payload, &text[..]);
    }

    #[test]
    fn any_bytes_are_refused_or_clear(
        which in 0usize..4, bytes in proptest::collection::vec(any::<u8>(), 0..200), form in 0usize..4,
    ) {
        let suite = &*suites()[which];
        let held = group_key(suite, 1);
        for code in 0u8..0x14 {
            let mut frame = bytes::BytesMut::new();
            header(suite).put(code, &mut frame);
            frame.extend_from_slice(&bytes);
            // That of a g that nobody drew.
            prop_assert!(open(suite, &held, Protection::ALL[form], code, &frame).is_err());
        }
    }
}
