//! Key distribution, published edition (report §2.2.3): AN-K and AN-R.
//!
//! **Guarantees.** The key is under σ, so only its member reads it; the digest under K_g shows that whoever made the rest
//! held that key, which every member does: S_SL can be altered by any of them (A9, A12). AN-K is as fresh as the g of AN-J2
//! (D17, A7, A8), AN-R shows no freshness at all (A11). A rekey that falls between AN-J2 and AN-K makes an honest member
//! refuse the right key.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::published::sealing::{decrypt, encrypt};
use crate::crypto::{FreshError, Key, Secret};
use crate::endpoint::Entropy;
use crate::error::Reason;
use crate::identity::{Epoch, Instance, Name, NameRef};
use crate::wire::field::{Blob, Field, List, Nonce, to_vec};
use crate::wire::frame::HEADER_BYTES;
use crate::wire::published::{GroupId, KeyBlock, KeyDelivery, KeyText, Rekey, Sealed};
use crate::wire::{Header, Message};

/// Bytes of the number in g: two blocks of a cipher of eight bytes, so that g never fits into one (X2, D13).
pub const GROUP_NONCE: usize = 16;

/// The group identifier g.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    app: Name,
    nonce: Nonce,
}

impl Group {
    /// A new one, for a new key.
    ///
    /// # Errors
    /// [`FreshError`].
    pub fn draw(suite: &dyn PublishedSuite, rng: &mut dyn Entropy, app: &Name) -> Result<Self, FreshError> {
        Ok(Self { app: app.clone(), nonce: suite.fresh_nonce(rng, GROUP_NONCE)? })
    }

    /// That of a repaired epoch, for neighbours as published: the instance's number with the epoch's added to its second
    /// half (RA §2, mixed editions).
    pub fn of_epoch(app: &Name, instance: Instance, epoch: Epoch) -> Option<Self> {
        let (front, back) = instance.0.split_first_chunk::<8>()?;
        let back = u64::from_be_bytes(*back.first_chunk()?).wrapping_add(epoch.0);
        let mut nonce = [0; GROUP_NONCE];
        nonce.first_chunk_mut::<8>()?.copy_from_slice(front);
        nonce.last_chunk_mut::<8>()?.copy_from_slice(&back.to_be_bytes());
        Some(Self { app: app.clone(), nonce: Nonce::new(&nonce)? })
    }

    /// The epoch that this stands for in that instance, where keys are repaired: the inverse of [`Self::of_epoch`].
    pub fn epoch_in(&self, instance: Instance) -> Option<Epoch> {
        let (front, back) = instance.0.split_first_chunk::<8>()?;
        let (of, number) = self.nonce.as_bytes().split_first_chunk::<8>()?;
        let (back, number) = (u64::from_be_bytes(*back.first_chunk()?), u64::from_be_bytes(*number.first_chunk()?));
        (of == front).then_some(Epoch(number.wrapping_sub(back)))
    }

    /// As read from a frame.
    pub fn of(wire: &GroupId<'_>) -> Self {
        Self { app: wire.app.to_name(), nonce: wire.nonce }
    }

    /// As it stands in a frame.
    pub fn wire(&self) -> GroupId<'_> {
        GroupId { app: self.app.by_ref(), nonce: self.nonce }
    }

    /// Whether a frame names this one.
    pub fn is(&self, wire: &GroupId<'_>) -> bool {
        self.wire() == *wire
    }

    /// Whether it can be one of a group of this application: the string is its own, and the number has its length (D13).
    pub fn fits(&self, app: &Name) -> bool {
        self.app == *app && self.nonce.as_bytes().len() == GROUP_NONCE
    }

    /// The application.
    pub fn app(&self) -> &Name {
        &self.app
    }

    /// Stands for g where a number is wanted: in events, and as the epoch of channel frames beside published keys. Equal for
    /// equal g, never 0, and in no order.
    pub fn number(&self) -> Epoch {
        let bytes = self.nonce.as_bytes();
        let first = bytes.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first));
        Epoch(first.max(1))
    }
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Group {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let Self { app, nonce } = self;
        app.fingerprint(now, sink);
        nonce.fingerprint(now, sink);
    }
}

/// A group key with its identifier.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct GroupKey {
    /// g.
    pub group: Group,
    /// K_g.
    pub key: Key<role::Group>,
}

fingerprint!(GroupKey { group, key });

impl GroupKey {
    /// A new key under a new identifier.
    ///
    /// # Errors
    /// [`FreshError`].
    pub fn draw(suite: &dyn PublishedSuite, rng: &mut dyn Entropy, app: &Name) -> Result<Self, FreshError> {
        Ok(Self { group: Group::draw(suite, rng, app)?, key: Key::new(suite.fresh_key(rng)?) })
    }

    fn text(&self) -> KeyText<'_> {
        KeyText { group: self.group.wire(), key: Blob(self.key.secret().expose()) }
    }

    /// AN-K for one member; `members` is what the policy lets it know of the group.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn delivery(
        &self,
        suite: &dyn PublishedSuite,
        header: Header,
        rng: &mut dyn Entropy,
        sequence: u64,
        to: (NameRef<'_>, &Key<role::Pair>),
        members: &[NameRef<'_>],
    ) -> Result<Bytes, Reason> {
        let (member, sigma) = to;
        let sealed = encrypt(suite, rng, sigma.secret(), &self.text())?;
        let (group, sealed) = (self.group.wire(), Sealed::new(&sealed));
        let members = List::of(members);
        let unsigned = KeyDelivery { group, sequence, member, sealed, members, digest: crate::wire::field::Tag::NONE };
        let digest = suite.mac(self.key.secret(), &[&covered(&unsigned)])?;
        let mut out = BytesMut::with_capacity(256);
        KeyDelivery { digest, ..unsigned }.put_open(header, &mut out);
        Ok(out.freeze())
    }

    /// AN-R for these members.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn rekey<'m>(
        &self,
        suite: &dyn PublishedSuite,
        header: Header,
        rng: &mut dyn Entropy,
        sequence: u64,
        members: impl Iterator<Item = (NameRef<'m>, &'m Key<role::Pair>)>,
    ) -> Result<Bytes, Reason> {
        let mut sealed = Vec::new();
        for (member, sigma) in members {
            sealed.push((member, encrypt(suite, rng, sigma.secret(), &self.text())?));
        }
        let blocks: Vec<_> =
            sealed.iter().map(|(member, sealed)| KeyBlock { member: *member, sealed: Sealed::new(sealed) }).collect();
        let (group, blocks) = (self.group.wire(), List::of(&blocks));
        let unsigned = Rekey { group, sequence, blocks, digest: crate::wire::field::Tag::NONE };
        let digest = suite.mac(self.key.secret(), &[&covered(&unsigned)])?;
        let mut out = BytesMut::with_capacity(64 + 96 * sealed.len());
        Rekey { digest, ..unsigned }.put_open(header, &mut out);
        Ok(out.freeze())
    }
}

/// What the digest of AN-K and AN-R covers: all fields before it. `unsigned` ends with an empty digest, two zero bytes.
fn covered<'a>(unsigned: &impl Field<'a>) -> Vec<u8> {
    let mut bytes = to_vec(unsigned);
    bytes.truncate(bytes.len().saturating_sub(2));
    bytes
}

/// The same in a frame that came: between header and digest.
fn covered_in<'f>(frame: &'f [u8], digest: &crate::wire::field::Tag) -> &'f [u8] {
    let end = frame.len().saturating_sub(digest.as_bytes().len() + 2);
    frame.get(HEADER_BYTES..end).unwrap_or_default()
}

/// A group key as a member reads it out of AN-K or AN-R. Whether it is to be taken is not said here.
#[derive(Debug)]
pub struct Delivered {
    /// g as it stands in front of the message, where anybody can put another.
    pub leading: Group,
    /// g and K_g from under σ.
    pub key: GroupKey,
    /// S_SL, which any holder of K_g can alter.
    pub sequence: u64,
    /// The members that it names.
    pub members: Vec<Name>,
}

/// Opens AN-K: under σ, and the digest under the key inside.
///
/// # Errors
/// [`Reason::Unknown`] if it is for another; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
pub fn open_delivery(
    suite: &dyn PublishedSuite,
    member: NameRef<'_>,
    sigma: &Key<role::Pair>,
    frame: &[u8],
) -> Result<Delivered, Reason> {
    let delivery = KeyDelivery::parse(frame).map_err(|_| Reason::Malformed)?.message;
    if delivery.member != member {
        return Err(Reason::Unknown);
    }
    let key = read(suite, sigma, delivery.sealed.bytes)?;
    suite.verify_mac(key.key.secret(), &[covered_in(frame, &delivery.digest)], &delivery.digest)?;
    let members = delivery.members.iter().map(NameRef::to_name).collect();
    Ok(Delivered { leading: Group::of(&delivery.group), key, sequence: delivery.sequence, members })
}

/// Opens AN-R: the own block under σ, and the digest under the key inside.
///
/// # Errors
/// [`Reason::Unknown`] if it has no block for this member; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
pub fn open_rekey(
    suite: &dyn PublishedSuite,
    member: NameRef<'_>,
    sigma: &Key<role::Pair>,
    frame: &[u8],
) -> Result<Delivered, Reason> {
    let rekey = Rekey::parse(frame).map_err(|_| Reason::Malformed)?.message;
    let block = rekey.blocks.iter().find(|block| block.member == member).ok_or(Reason::Unknown)?;
    let key = read(suite, sigma, block.sealed.bytes)?;
    suite.verify_mac(key.key.secret(), &[covered_in(frame, &rekey.digest)], &rekey.digest)?;
    let members = rekey.blocks.iter().map(|block| block.member.to_name()).collect();
    Ok(Delivered { leading: Group::of(&rekey.group), key, sequence: rekey.sequence, members })
}

fn read(suite: &dyn PublishedSuite, sigma: &Key<role::Pair>, sealed: &[u8]) -> Result<GroupKey, Reason> {
    let text = decrypt(suite, sigma.secret(), sealed)?;
    let text = KeyText::decode(&text).map_err(|_| Reason::Forged)?;
    if text.key.0.len() != suite.sizes().key {
        return Err(Reason::Forged);
    }
    Ok(GroupKey { group: Group::of(&text.group), key: Key::new(Secret::new(text.key.0)) })
}
