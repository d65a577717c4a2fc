//! Each part of Antigone as published by itself, without a leader or a member: the functions that write and check its
//! messages, under the suite of 1999 and under the modern ones.
#![cfg(all(feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)] // Helpers of tests, outside of test functions.

#[path = "../support/fixed.rs"]
mod fixed;

mod bridge;
mod data;
mod keys;
mod third_party;

use std::sync::Arc;

use fixed::Fixed;
use sodality::antigone::failure::published as heartbeat;
use sodality::antigone::join::published::{self as join, Pair, Welcome};
use sodality::antigone::keys::published::{Group, GroupKey};
use sodality::antigone::leave::published as leave;
use sodality::crypto::keys::role;
use sodality::crypto::published::{Modern, PublishedSuite, des_md5_rsa};
use sodality::crypto::{Key, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::error::Reason;
use sodality::event::Refusal;
use sodality::identity::{Instance, MemberId, Name, NameRef, Version};
use sodality::policy::Policy;
use sodality::wire::antigone::RefuseCode;
use sodality::wire::field::{Nonce, VerifyingKey};
use sodality::wire::frame::HEADER_BYTES;
use sodality::wire::published::{JoinError, JoinReply, MemberBeat, Removal};
use sodality::wire::{Edition, Header, Message as _, System};

pub(crate) const LEA: &str = "lea";
pub(crate) const ADA: &str = "ada";
pub(crate) const BOB: &str = "bob";

pub(crate) fn name(text: &str) -> NameRef<'_> {
    NameRef::new(text).unwrap()
}

pub(crate) fn suites() -> [Arc<dyn PublishedSuite>; 4] {
    [
        des_md5_rsa(),
        Arc::new(Modern::new(aes_128_gcm())),
        Arc::new(Modern::new(aes_256_gcm())),
        Arc::new(Modern::new(chacha20_poly1305())),
    ]
}

pub(crate) fn header(suite: &dyn PublishedSuite) -> Header {
    Header { system: System::Antigone, edition: Edition::AsPublished, suite: suite.id() }
}

pub(crate) fn key<R>(suite: &dyn PublishedSuite, seed: u64) -> Key<R> {
    Key::new(suite.fresh_key(&mut Fixed(seed)).unwrap())
}

pub(crate) fn number(suite: &dyn PublishedSuite, seed: u64) -> Nonce {
    suite.fresh_nonce(&mut Fixed(seed), suite.sizes().nonce).unwrap()
}

pub(crate) fn group_key(suite: &dyn PublishedSuite, seed: u64) -> GroupKey {
    GroupKey::draw(suite, &mut Fixed(seed), &Name::new("app").unwrap()).unwrap()
}

/// The frame with one bit of each byte turned, one after the other.
pub(crate) fn flips(frame: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..frame.len()).map(|at| {
        let mut changed = frame.to_vec();
        // Not the lowest bit: that one is parity in a DES key.
        changed[at] ^= 0x10;
        (at, changed)
    })
}

/// As [`flips`], without the header: that is compared by whoever looks for the type.
pub(crate) fn turned(frame: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    flips(frame).skip(HEADER_BYTES)
}

fn welcome(suite: &dyn PublishedSuite, group: &Group) -> Welcome {
    Welcome {
        group: group.clone(),
        i2: number(suite, 12),
        instance: Instance([7; 16]),
        cid: MemberId(3),
        policy_version: Version(1),
        policy: Policy::default().encode(),
        sequence: 9,
        leader_key: VerifyingKey::NONE,
        key: suite.signing_pair(&mut Fixed(13)).unwrap().1,
    }
}

/// The suite of 1999 has no authentication, so that what does not open may open after all, as something else.
fn is_1999(suite: &dyn PublishedSuite) -> bool {
    suite.id() == des_md5_rsa().id()
}

/// A join: its three messages, and who refuses what.
#[test]
fn a_join_is_tied_to_both_numbers_both_names_and_one_key() {
    for suite in suites() {
        let suite = &*suite;
        let (sigma, other): (Key<role::Pair>, Key<role::Pair>) = (key(suite, 1), key(suite, 2));
        let (i0, group) = (number(suite, 11), group_key(suite, 3).group);
        let said = welcome(suite, &group);
        let pair = Pair { leader: name(LEA), member: name(ADA), sigma: &sigma };
        let reply = pair.reply(suite, header(suite), &mut Fixed(4), i0, &said).unwrap();
        let read = pair.read_reply(suite, &i0, &reply).unwrap();
        assert_eq!((read.group, read.i2, read.instance, read.cid), (group, said.i2, said.instance, said.cid));
        assert_eq!((read.policy, read.sequence, read.key), (said.policy, said.sequence, said.key));
        assert_eq!((read.policy_version, read.leader_key), (said.policy_version, said.leader_key));
        // Another I0: the answer to another wish.
        let stale = pair.read_reply(suite, &number(suite, 99), &reply).unwrap_err();
        assert_eq!(stale, Reason::Replayed);
        // From or for another: in front, and inside.
        for of in [Pair { leader: name(BOB), ..pair }, Pair { member: name(BOB), ..pair }] {
            assert_eq!(of.read_reply(suite, &i0, &reply).unwrap_err(), Reason::Unknown);
        }
        let inner = JoinReply::parse(&reply).unwrap().message.sealed;
        let mut renamed = bytes::BytesMut::new();
        JoinReply { leader: name(LEA), member: name(BOB), sealed: inner }.put_open(header(suite), &mut renamed);
        let bob = Pair { member: name(BOB), ..pair };
        assert_eq!(bob.read_reply(suite, &i0, &renamed).unwrap_err(), Reason::Forged);
        assert_eq!(Pair { sigma: &other, ..pair }.read_reply(suite, &i0, &reply).unwrap_err(), Reason::Forged);

        let confirm = pair.confirm(suite, header(suite), &mut Fixed(5), said.i2).unwrap();
        assert_eq!(pair.check_confirm(suite, &said.i2, &confirm), Ok(()));
        assert_eq!(pair.check_confirm(suite, &number(suite, 98), &confirm), Err(Reason::Replayed));
        assert_eq!(bob.check_confirm(suite, &said.i2, &confirm), Err(Reason::Forged));
        assert_eq!(Pair { sigma: &other, ..pair }.check_confirm(suite, &said.i2, &confirm), Err(Reason::Forged));
        for length in 0..reply.len() {
            assert!(pair.read_reply(suite, &i0, &reply[..length]).is_err());
        }
        for length in 0..confirm.len() {
            assert!(pair.check_confirm(suite, &said.i2, &confirm[..length]).is_err());
        }
    }
}

/// AN-J2 has nothing but its cipher: under CBC a flip garbles one block and turns a bit of the next, and the rest stands.
#[test]
fn a_changed_reply_is_read_under_the_suite_of_1999_alone() {
    for suite in suites() {
        let suite = &*suite;
        let sigma: Key<role::Pair> = key(suite, 1);
        let (i0, said) = (number(suite, 11), welcome(suite, &group_key(suite, 3).group));
        let pair = Pair { leader: name(LEA), member: name(ADA), sigma: &sigma };
        let reply = pair.reply(suite, header(suite), &mut Fixed(4), i0, &said).unwrap();
        let read: Vec<_> = turned(&reply)
            .filter_map(|(at, changed)| Some((at, pair.read_reply(suite, &i0, &changed).ok()?)))
            .collect();
        assert_eq!(!read.is_empty(), is_1999(suite), "{suite:?}: {} flips are read", read.len());
        // The name of the member and its number still stand there: the rest is what can be altered.
        for (at, read) in read {
            let same = read.group == said.group && read.i2 == said.i2 && read.policy == said.policy;
            let same = same && (read.instance, read.cid) == (said.instance, said.cid) && read.key == said.key;
            assert!(!same || read.sequence != said.sequence || read.policy_version != said.policy_version, "{at}");
        }
    }
}

/// X15: the refusal is clear, and says one of two things.
#[test]
fn a_refusal_is_in_clear() {
    for suite in suites() {
        for (why, code) in [
            (Refusal::Busy, RefuseCode::Busy),
            (Refusal::Denied, RefuseCode::Denied),
            (Refusal::Unknown, RefuseCode::Denied),
        ] {
            let frame = join::error(header(&*suite), name(LEA), name(ADA), why);
            let error = JoinError::parse(&frame).unwrap().message;
            assert_eq!((error.leader, error.member, error.reason), (name(LEA), name(ADA), code));
        }
    }
}

/// Leave and eject have one form; only the inner name differs.
#[test]
fn leaving_and_ejecting_are_tied_to_their_speaker_and_to_g() {
    for suite in suites() {
        let suite = &*suite;
        let (sigma, other): (Key<role::Pair>, Key<role::Pair>) = (key(suite, 1), key(suite, 2));
        let (held, next) = (group_key(suite, 3), group_key(suite, 4));
        let say = |target: &str| {
            let from = (name(ADA), &sigma);
            leave::removal(suite, header(suite), &mut Fixed(5), &held, from, name(target)).unwrap()
        };
        let read = |frame: &[u8]| leave::open_removal(suite, &held, (name(ADA), &sigma), frame);
        assert_eq!(read(&say(ADA)).unwrap().as_str(), ADA);
        assert_eq!(read(&say(BOB)).unwrap().as_str(), BOB);
        let frame = say(ADA);
        // Of another speaker, though it has the same key.
        assert_eq!(leave::open_removal(suite, &held, (name(BOB), &sigma), &frame), Err(Reason::Forged));
        assert_eq!(leave::open_removal(suite, &held, (name(ADA), &other), &frame), Err(Reason::Forged));
        // A13: of this g it may be said again; of another not.
        assert_eq!(read(&frame).unwrap().as_str(), ADA);
        assert_eq!(leave::open_removal(suite, &next, (name(ADA), &sigma), &frame), Err(Reason::OldEpoch));
        // The name in front is not looked at here: it says under which key to look.
        let sealed = Removal::parse(&frame).unwrap().message.sealed;
        let mut renamed = bytes::BytesMut::new();
        Removal { member: name(BOB), sealed }.put_open(header(suite), &mut renamed);
        assert_eq!(leave::open_removal(suite, &held, (name(BOB), &sigma), &renamed), Err(Reason::Forged));
        // A14: the inner box is checked as printed. One of another key, and one of another g, are refused.
        let mixed = GroupKey { group: held.group.clone(), key: next.key.clone() };
        let from = (name(ADA), &sigma);
        let inside = leave::removal(suite, header(suite), &mut Fixed(6), &mixed, from, name(ADA)).unwrap();
        assert!(matches!(read(&inside), Err(Reason::Forged | Reason::OldEpoch)));
        for (at, changed) in flips(&frame).filter(|(at, _)| *at >= HEADER_BYTES + 1 + ADA.len()) {
            let outcome = read(&changed);
            assert!(is_1999(suite) || outcome.is_err(), "{suite:?}: byte {at}: {outcome:?}");
        }
        assert!((0..frame.len()).all(|length| read(&frame[..length]).is_err()));
    }
}

#[test]
fn heartbeats_cover_g_and_their_number_and_not_the_name_in_front() {
    for suite in suites() {
        let suite = &*suite;
        let (secret, public) = suite.signing_pair(&mut Fixed(1)).unwrap();
        let (_, another) = suite.signing_pair(&mut Fixed(2)).unwrap();
        let (signing, group) = (Key::new(secret), group_key(suite, 3).group);
        let beat = heartbeat::leader_beat(suite, header(suite), &mut Fixed(4), &signing, &group, name(LEA), 5).unwrap();
        let open = |frame: &[u8]| heartbeat::open_leader_beat(suite, &public, name(LEA), frame);
        assert_eq!(open(&beat).unwrap(), (group.clone(), 5));
        assert_eq!(open(&beat).unwrap(), (group.clone(), 5), "A16: it can be played again");
        assert_eq!(heartbeat::open_leader_beat(suite, &another, name(LEA), &beat), Err(Reason::Forged));
        assert_eq!(heartbeat::open_leader_beat(suite, &public, name(BOB), &beat), Err(Reason::Unknown));
        // A few flips only: a signature takes its time.
        for (at, changed) in turned(&beat).step_by(3) {
            assert!(open(&changed).is_err(), "{suite:?}: byte {at}");
        }
        let sigma: Key<role::Pair> = key(suite, 6);
        let other: Key<role::Pair> = key(suite, 7);
        let beat = heartbeat::member_beat(suite, header(suite), sigma.secret(), &group, name(ADA), 8).unwrap();
        let open = |frame: &[u8]| heartbeat::open_member_beat(suite, sigma.secret(), frame);
        assert_eq!(open(&beat).unwrap(), (group.clone(), 8));
        assert_eq!(heartbeat::open_member_beat(suite, other.secret(), &beat), Err(Reason::Forged));
        let mut named = Vec::new();
        for (at, changed) in turned(&beat) {
            match open(&changed) {
                Ok(read) => {
                    assert_eq!(read, (group.clone(), 8));
                    named.push(at);
                }
                Err(why) => assert!(matches!(why, Reason::Malformed | Reason::Forged), "byte {at}: {why:?}"),
            }
        }
        // A's name stands outside the MAC; σ says whose it is.
        let from = HEADER_BYTES + beat[HEADER_BYTES..].windows(3).position(|bytes| bytes == ADA.as_bytes()).unwrap();
        assert_eq!(named, (from..from + 3).collect::<Vec<_>>(), "{suite:?}");
        assert_eq!(MemberBeat::parse(&beat).unwrap().message.member, name(ADA));
        // A21: anybody can write AN-Q.
        assert_eq!(
            heartbeat::key_wish(header(suite), &group, name(ADA)),
            heartbeat::key_wish(header(suite), &group, name(ADA))
        );
    }
}
