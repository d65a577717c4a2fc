//! What a leader keeps for each member and each attempt to join, and what its timers are for.

use alloc::collections::VecDeque;

use bytes::Bytes;

use super::super::keys::SessionKey;
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::endpoint::Link;
use crate::event::Ticket;
use crate::group::Backoff;
use crate::identity::{MemberId, Name};
use crate::wire::field::Nonce;

/// Names an attempt to join.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct AttemptId(pub(super) u64);

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for AttemptId {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        self.0.fingerprint(now, sink);
    }
}

/// An attempt to join that is not confirmed.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Attempt {
    pub(super) link: Option<Link>,
    pub(super) name: Name,
    pub(super) stage: Stage,
}

fingerprint!(Attempt { link, name, stage });

/// What an attempt waits for.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) enum Stage {
    /// For the application.
    Asked(Ticket),
    /// For EN-A1: the leader has said `ack_open`.
    Open,
    /// For EN-A3.
    Offered(Offered),
}

/// EN-A2 on its way.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Offered {
    /// EN-A1 as it came.
    pub(super) request: Bytes,
    /// EN-A2.
    pub(super) frame: Bytes,
    pub(super) n2: Nonce,
    pub(super) session: SessionKey,
    pub(super) backoff: Backoff,
}

fingerprint!(Offered { request, frame, n2, session, backoff });

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Stage {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::Asked(ticket) => (0u8, *ticket).fingerprint(now, sink),
            Self::Open => 1u8.fingerprint(now, sink),
            Self::Offered(offered) => (2u8, offered).fingerprint(now, sink),
        }
    }
}

/// A live member.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Peer {
    pub(super) name: Name,
    pub(super) link: Option<Link>,
    pub(super) session: SessionKey,
    /// EN-A1 of this session: when it comes again it is a repeat, and no other attempt.
    pub(super) request: Bytes,
    /// N2, for EN-A3 that comes again.
    pub(super) n2: Nonce,
    /// EN-NK that is not acknowledged.
    pub(super) unacked: Option<Unacked>,
    /// It has still to hear of the members between this one and itself, one message each (E10).
    pub(super) told: Option<MemberId>,
}

fingerprint!(Peer { name, link, session, request, n2, unacked, told });

/// EN-NK to one member.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Unacked {
    /// It is to be sent now.
    pub(super) owed: bool,
    /// When it is repeated.
    pub(super) backoff: Option<Backoff>,
    /// How often it is still repeated.
    pub(super) left: u8,
}

fingerprint!(Unacked { owed, backoff, left });

/// Gossip on its way to its recipients. K' is used for it alone.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Delivery {
    pub(super) sender: Name,
    pub(super) key: Key<role::PublishedGossip>,
    /// `{data}_{K'}`.
    pub(super) data: Bytes,
    pub(super) to: VecDeque<MemberId>,
}

fingerprint!(Delivery { sender, key, data, to });

/// EN-C2 that nothing answers, said again over a link that loses frames.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Farewell {
    pub(super) backoff: Backoff,
    pub(super) left: u8,
}

fingerprint!(Farewell { backoff, left });

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// An attempt is over.
    Attempt(AttemptId),
    /// EN-A2 is repeated.
    Offer(AttemptId),
    /// EN-NK is repeated.
    Key(MemberId),
    /// Try again what failed.
    Retry(MemberId),
    Farewell(Link),
    /// Gossip could not be made: try again.
    Gossip,
    Rekey,
    KeyAge,
    Grace,
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Timer {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let (kind, number) = match self {
            Self::Attempt(id) => (0u8, id.0),
            Self::Offer(id) => (1, id.0),
            Self::Key(cid) => (2, cid.0),
            Self::Retry(cid) => (3, cid.0),
            Self::Farewell(link) => (4, link.0),
            Self::Gossip => (5, 0),
            Self::Rekey => (6, 0),
            Self::KeyAge => (7, 0),
            Self::Grace => (8, 0),
        };
        (kind, number).fingerprint(now, sink);
    }
}
