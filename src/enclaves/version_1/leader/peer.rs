//! What a leader knows of users, of attempts to join, and of members.

use alloc::collections::BTreeMap;

use bytes::Bytes;

use super::super::head::Pairing;
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::endpoint::Link;
use crate::event::{EndReason, Ticket};
use crate::group::Backoff;
use crate::identity::{Epoch, MemberId, Name};

/// A user: P_a, with the last number of each end.
pub(super) type Account = Pairing<role::PublishedUser>;

/// Names an attempt to join.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct AttemptId(pub(super) u64);

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for AttemptId {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        self.0.fingerprint(now, sink);
    }
}

/// An attempt to join: its EN-1J was valid.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Attempt {
    pub(super) link: Option<Link>,
    pub(super) name: Name,
    /// The number of its last EN-1J.
    pub(super) request: u64,
    pub(super) stage: Stage,
}

fingerprint!(Attempt { link, name, request, stage });

/// What an attempt waits for.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) enum Stage {
    /// For the application.
    Asked(Ticket),
    /// For EN-1A under this key. The last K_g that went with it has this number.
    Offered(Pairing<role::PublishedSession>, Epoch),
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Stage {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::Asked(ticket) => (0u8, *ticket).fingerprint(now, sink),
            Self::Offered(pair, epoch) => (1u8, (pair, *epoch)).fingerprint(now, sink),
        }
    }
}

/// Something that a member is told until it acknowledges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Owed {
    /// The number under which it was said last.
    pub(super) said: Option<u64>,
    /// It is to be said now.
    pub(super) now: bool,
}

fingerprint!(Owed { said, now });

impl Owed {
    /// Not said yet.
    pub(super) const NEW: Self = Self { said: None, now: true };
}

/// A live member.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Peer {
    pub(super) name: Name,
    pub(super) link: Option<Link>,
    /// How others reach it directly, in its own words.
    pub(super) hint: Bytes,
    pub(super) pair: Pairing<role::PublishedSession>,
    /// EN-1N.
    pub(super) key: Option<Owed>,
    /// EN-1M: who is here, and who is gone. A newer word about somebody takes the place of an older one.
    pub(super) roster: BTreeMap<Name, (bool, Owed)>,
    /// EN-1XK.
    pub(super) directs: BTreeMap<Name, Offer>,
    /// EN-1A is to be answered by an EN-1M, whatever is in it.
    pub(super) greet: bool,
    /// When what is not acknowledged is said again.
    pub(super) backoff: Option<Backoff>,
    /// How often.
    pub(super) left: u8,
}

fingerprint!(Peer { name, link, hint, pair, key, roster, directs, greet, backoff, left });

/// A key for a direct link that one end has not acknowledged.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Offer {
    pub(super) key: Key<role::PublishedDirect>,
    pub(super) dials: bool,
    pub(super) hint: Bytes,
    pub(super) owed: Owed,
}

fingerprint!(Offer { key, dials, hint, owed });

impl Peer {
    /// All that it is told and has not acknowledged.
    pub(super) fn owed(&mut self) -> impl Iterator<Item = &mut Owed> {
        let roster = self.roster.values_mut().map(|(_, owed)| owed);
        self.key.iter_mut().chain(roster).chain(self.directs.values_mut().map(|offer| &mut offer.owed))
    }

    /// Whether everything is acknowledged.
    pub(super) fn is_settled(&self) -> bool {
        self.key.is_none() && self.roster.is_empty() && self.directs.is_empty()
    }

    /// What was said last under this number has come.
    pub(super) fn acknowledge(&mut self, number: u64) {
        let said = |owed: &Owed| owed.said == Some(number);
        self.key.take_if(|owed| said(owed));
        self.roster.retain(|_, (_, owed)| !said(owed));
        self.directs.retain(|_, offer| !said(&offer.owed));
    }
}

/// Somebody who is a member no more: K_a is kept for a while, to say so and to answer an EN-1L that comes again.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Farewell {
    pub(super) name: Name,
    pub(super) link: Option<Link>,
    pub(super) pair: Pairing<role::PublishedSession>,
    /// EN-1C is to be said, so often, for this reason.
    pub(super) close: Option<(EndReason, u8)>,
    pub(super) backoff: Option<Backoff>,
}

fingerprint!(Farewell { name, link, pair, close, backoff });

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// An attempt is over.
    Attempt(AttemptId),
    /// What is not acknowledged is said again.
    Owed(MemberId),
    /// Try again what failed.
    Retry(MemberId),
    /// EN-1C is said again.
    Close(MemberId),
    /// The key of one who is gone is forgotten.
    Linger(MemberId),
    Rekey,
    KeyAge,
    Grace,
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Timer {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let (kind, number) = match self {
            Self::Attempt(id) => (0u8, id.0),
            Self::Owed(cid) => (1, cid.0),
            Self::Retry(cid) => (2, cid.0),
            Self::Close(cid) => (3, cid.0),
            Self::Linger(cid) => (4, cid.0),
            Self::Rekey => (5, 0),
            Self::KeyAge => (6, 0),
            Self::Grace => (7, 0),
        };
        (kind, number).fingerprint(now, sink);
    }
}
