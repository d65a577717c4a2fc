//! Failure detection, published edition (report §2.2.5): AN-HL, AN-HM, and the request for the key, AN-Q.
//!
//! **Guarantees.** The signature shows that the leader made AN-HL once, the MAC that A made AN-HM once. Nothing shows when:
//! what was withheld can be played later, in order (A16 to A20). AN-Q is clear: anybody can write it (A21).

use bytes::{Bytes, BytesMut};

use crate::antigone::keys::published::Group;
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::{Key, Secret};
use crate::endpoint::Entropy;
use crate::error::{Failure, Reason};
use crate::identity::NameRef;
use crate::wire::field::{Field, VerifyingKey};
use crate::wire::published::{GroupId, KeyWish, LeaderBeat, MemberBeat};
use crate::wire::{Header, Message};

/// `g, S`: what is hashed.
fn covered(group: &GroupId<'_>, sequence: u64) -> BytesMut {
    let mut out = BytesMut::with_capacity(64);
    group.put(&mut out);
    sequence.put(&mut out);
    out
}

/// AN-HL.
///
/// # Errors
/// [`Reason::Entropy`], [`Reason::Suite`].
pub fn leader_beat(
    suite: &dyn PublishedSuite,
    header: Header,
    rng: &mut dyn Entropy,
    key: &Key<role::Signing>,
    group: &Group,
    leader: NameRef<'_>,
    sequence: u64,
) -> Result<Bytes, Reason> {
    let group = group.wire();
    let signature = suite
        .sign(rng, key.secret(), &[&covered(&group, sequence)])
        .map_err(|error| Reason::from(Failure::from(error)))?;
    let mut out = BytesMut::with_capacity(256);
    LeaderBeat { group, leader, sequence, signature }.put_open(header, &mut out);
    Ok(out.freeze())
}

/// Checks the signature of AN-HL; gives g and S_SL. SL stands outside the signature (D9) and is compared.
///
/// # Errors
/// [`Reason::Unknown`] from another leader; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
pub fn open_leader_beat(
    suite: &dyn PublishedSuite,
    key: &VerifyingKey,
    leader: NameRef<'_>,
    frame: &[u8],
) -> Result<(Group, u64), Reason> {
    let beat = LeaderBeat::parse(frame).map_err(|_| Reason::Malformed)?.message;
    if beat.leader != leader {
        return Err(Reason::Unknown);
    }
    suite.verify(key, &[&covered(&beat.group, beat.sequence)], &beat.signature)?;
    Ok((Group::of(&beat.group), beat.sequence))
}

/// AN-HM.
///
/// # Errors
/// [`Reason::Suite`].
pub fn member_beat(
    suite: &dyn PublishedSuite,
    header: Header,
    sigma: &Secret,
    group: &Group,
    member: NameRef<'_>,
    sequence: u64,
) -> Result<Bytes, Reason> {
    let group = group.wire();
    let mac = suite.mac(sigma, &[&covered(&group, sequence)])?;
    let mut out = BytesMut::with_capacity(128);
    MemberBeat { group, member, sequence, mac }.put_open(header, &mut out);
    Ok(out.freeze())
}

/// Checks the MAC of AN-HM; gives g and S_A.
///
/// # Errors
/// [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
pub fn open_member_beat(suite: &dyn PublishedSuite, sigma: &Secret, frame: &[u8]) -> Result<(Group, u64), Reason> {
    let beat = MemberBeat::parse(frame).map_err(|_| Reason::Malformed)?.message;
    suite.verify_mac(sigma, &[&covered(&beat.group, beat.sequence)], &beat.mac)?;
    Ok((Group::of(&beat.group), beat.sequence))
}

/// AN-Q.
pub fn key_wish(header: Header, group: &Group, member: NameRef<'_>) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    KeyWish { group: group.wire(), member }.put_open(header, &mut out);
    out.freeze()
}
