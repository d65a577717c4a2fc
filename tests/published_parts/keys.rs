//! AN-K and AN-R: round trips, and what their digests cover.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use sodality::antigone::keys::published::{Delivered, Group, GroupKey, open_delivery, open_rekey};
use sodality::crypto::Key;
use sodality::crypto::keys::role;
use sodality::crypto::published::PublishedSuite;
use sodality::error::Reason;
use sodality::identity::{Epoch, Instance, Name, NameRef};
use sodality::wire::Message as _;
use sodality::wire::field::{Field, List, Tag, to_vec};
use sodality::wire::published::{KeyDelivery, Rekey};

use crate::{ADA, BOB, Fixed, group_key, header, key, name, suites, turned};

fn delivery(suite: &dyn PublishedSuite, held: &GroupKey, sigma: &Key<role::Pair>) -> Vec<u8> {
    let members = [name(ADA), name(BOB)];
    let to = (name(ADA), sigma);
    held.delivery(suite, header(suite), &mut Fixed(5), 7, to, &members).unwrap().to_vec()
}

fn rekey(suite: &dyn PublishedSuite, held: &GroupKey, of: &[(NameRef<'_>, &Key<role::Pair>)]) -> Vec<u8> {
    held.rekey(suite, header(suite), &mut Fixed(6), 8, of.iter().copied()).unwrap().to_vec()
}

fn same(read: &Delivered, held: &GroupKey) -> bool {
    read.key.group == held.group && read.key.key.secret().expose() == held.key.secret().expose()
}

fn names(read: &Delivered) -> Vec<&str> {
    read.members.iter().map(Name::as_str).collect()
}

/// `unsigned` with a digest that a holder of the key makes.
fn with_digest<'a>(suite: &dyn PublishedSuite, held: &GroupKey, unsigned: &impl Field<'a>) -> Tag {
    let mut covered = to_vec(unsigned);
    covered.truncate(covered.len() - 2);
    suite.mac(held.key.secret(), &[&covered]).unwrap()
}

#[test]
fn a_key_is_read_by_its_member_alone() {
    for suite in suites() {
        let suite = &*suite;
        let (of_ada, of_bob): (Key<role::Pair>, Key<role::Pair>) = (key(suite, 1), key(suite, 2));
        let held = group_key(suite, 3);
        let frame = delivery(suite, &held, &of_ada);
        let read = open_delivery(suite, name(ADA), &of_ada, &frame).unwrap();
        assert!(same(&read, &held) && read.leading == held.group && read.sequence == 7);
        assert_eq!(names(&read), [ADA, BOB]);
        assert_eq!(open_delivery(suite, name(BOB), &of_bob, &frame).unwrap_err(), Reason::Unknown);
        assert_eq!(open_delivery(suite, name(ADA), &of_bob, &frame).unwrap_err(), Reason::Forged);

        let frame = rekey(suite, &held, &[(name(ADA), &of_ada), (name(BOB), &of_bob)]);
        for (member, sigma) in [(ADA, &of_ada), (BOB, &of_bob)] {
            let read = open_rekey(suite, name(member), sigma, &frame).unwrap();
            assert!(same(&read, &held) && read.leading == held.group && read.sequence == 8);
            assert_eq!(names(&read), [ADA, BOB], "its blocks are the list of members");
        }
        assert_eq!(open_rekey(suite, name(ADA), &of_bob, &frame).unwrap_err(), Reason::Forged);
        assert_eq!(open_rekey(suite, name("eve"), &of_ada, &frame).unwrap_err(), Reason::Unknown);
        let nobody = rekey(suite, &held, &[]);
        assert_eq!(open_rekey(suite, name(ADA), &of_ada, &nobody).unwrap_err(), Reason::Unknown);
    }
}

#[test]
fn the_digests_cover_every_byte_behind_the_header() {
    for suite in suites() {
        let suite = &*suite;
        let (of_ada, of_bob): (Key<role::Pair>, Key<role::Pair>) = (key(suite, 1), key(suite, 2));
        let held = group_key(suite, 3);
        let k = delivery(suite, &held, &of_ada);
        let r = rekey(suite, &held, &[(name(ADA), &of_ada), (name(BOB), &of_bob)]);
        for (at, changed) in turned(&k) {
            let why = open_delivery(suite, name(ADA), &of_ada, &changed).map(drop);
            assert!(why.is_err(), "AN-K under {suite:?}: byte {at}");
        }
        for (at, changed) in turned(&r) {
            for (member, sigma) in [(ADA, &of_ada), (BOB, &of_bob)] {
                let why = open_rekey(suite, name(member), sigma, &changed).map(drop);
                assert!(why.is_err(), "AN-R under {suite:?}: byte {at}");
            }
        }
        for length in 0..k.len() {
            assert!(open_delivery(suite, name(ADA), &of_ada, &k[..length]).is_err());
        }
        for length in 0..r.len() {
            assert!(open_rekey(suite, name(ADA), &of_ada, &r[..length]).is_err());
        }
    }
}

/// A9, A12, A7: whoever has the group key writes S_SL, the leading g and the list of members anew, and nothing shows it.
#[test]
fn a_holder_of_the_key_alters_what_stands_beside_it() {
    for suite in suites() {
        let suite = &*suite;
        let (of_ada, of_bob): (Key<role::Pair>, Key<role::Pair>) = (key(suite, 1), key(suite, 2));
        let (held, other) = (group_key(suite, 3), group_key(suite, 4));
        let k = delivery(suite, &held, &of_ada);
        let before = KeyDelivery::parse(&k).unwrap().message;
        let (nobody, liar) = ([], [name("mal")]);
        for unsigned in [
            KeyDelivery { sequence: 1_000, digest: Tag::NONE, ..before },
            KeyDelivery { group: other.group.wire(), digest: Tag::NONE, ..before },
            KeyDelivery { members: List::of(&nobody), digest: Tag::NONE, ..before },
            KeyDelivery { members: List::of(&liar), digest: Tag::NONE, ..before },
        ] {
            let mut out = bytes::BytesMut::new();
            let digest = with_digest(suite, &held, &unsigned);
            KeyDelivery { digest, ..unsigned }.put_open(header(suite), &mut out);
            let read = open_delivery(suite, name(ADA), &of_ada, &out).unwrap();
            assert!(same(&read, &held), "what is under σ stands");
            assert_eq!(read.sequence, unsigned.sequence);
            assert!(
                read.leading == Group::of(&unsigned.group) && read.members.len() == unsigned.members.iter().count()
            );
            // Under any other key it is refused.
            let digest = with_digest(suite, &other, &unsigned);
            let mut out = bytes::BytesMut::new();
            KeyDelivery { digest, ..unsigned }.put_open(header(suite), &mut out);
            assert_eq!(open_delivery(suite, name(ADA), &of_ada, &out).unwrap_err(), Reason::Forged);
        }
        let r = rekey(suite, &held, &[(name(ADA), &of_ada), (name(BOB), &of_bob)]);
        let before = Rekey::parse(&r).unwrap().message;
        let blocks: Vec<_> = before.blocks.iter().take(1).collect();
        for unsigned in [
            Rekey { sequence: 1_000, digest: Tag::NONE, ..before },
            Rekey { blocks: List::of(&blocks), digest: Tag::NONE, ..before },
        ] {
            let mut out = bytes::BytesMut::new();
            let digest = with_digest(suite, &held, &unsigned);
            Rekey { digest, ..unsigned }.put_open(header(suite), &mut out);
            let read = open_rekey(suite, name(ADA), &of_ada, &out).unwrap();
            assert!(same(&read, &held) && read.sequence == unsigned.sequence);
        }
    }
}

/// A11: nothing in AN-R shows that it is of this session; the same σ opens what was recorded in another.
#[test]
fn a_rekey_of_another_session_is_read() {
    for suite in suites() {
        let suite = &*suite;
        let sigma: Key<role::Pair> = key(suite, 1);
        let (then, now) = (group_key(suite, 3), group_key(suite, 4));
        let old = rekey(suite, &then, &[(name(ADA), &sigma)]);
        let new = rekey(suite, &now, &[(name(ADA), &sigma)]);
        assert!(same(&open_rekey(suite, name(ADA), &sigma, &new).unwrap(), &now));
        assert!(same(&open_rekey(suite, name(ADA), &sigma, &old).unwrap(), &then));
    }
}

proptest! {
    #![proptest_config(Config { cases: 128, rng_seed: RngSeed::Fixed(0x60D), failure_persistence: None, ..Config::default() })]

    /// The g of a repaired epoch (RA §2, mixed editions): one for each, with the number of the epoch added to its second
    /// half.
    #[test]
    fn each_repaired_epoch_has_a_g_of_its_own(instance: [u8; 16], a: u64, b: u64, close in 0u64..4) {
        let app = Name::new("app").unwrap();
        let of = |epoch| Group::of_epoch(&app, Instance(instance), Epoch(epoch)).unwrap();
        let b = if close == 0 { b } else { a.wrapping_add(close) };
        prop_assert_eq!(of(a) == of(b), a == b);
        let group = of(a);
        let bytes = group.wire();
        prop_assert_eq!(&bytes.nonce.as_bytes()[..8], &instance[..8]);
        let half = u64::from_be_bytes(bytes.nonce.as_bytes()[8..].try_into().unwrap());
        prop_assert_eq!(half.wrapping_sub(a), u64::from_be_bytes(instance[8..].try_into().unwrap()));
        prop_assert!(of(a).number() != Epoch(0));
        prop_assert_eq!(Group::of(&of(a).wire()), of(a));
    }

    /// Any bytes at all.
    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), which in 0usize..4) {
        let suite = &*suites()[which];
        let sigma: Key<role::Pair> = key(suite, 1);
        let mut frame = bytes::BytesMut::new();
        for code in [0x08, 0x09] {
            frame.clear();
            header(suite).put(code, &mut frame);
            frame.extend_from_slice(&bytes);
            prop_assert!(open_delivery(suite, name(ADA), &sigma, &frame).is_err());
            prop_assert!(open_rekey(suite, name(ADA), &sigma, &frame).is_err());
        }
    }
}
