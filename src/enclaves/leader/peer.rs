//! What a leader keeps for each member.

use alloc::collections::VecDeque;

use crate::enclaves::chain::LeaderChain;
use crate::endpoint::{Instant, Link};
use crate::event::EjectVerdict;
use crate::group::Allowance;
use crate::group::channel::Standing;
use crate::group::pages::Pages;
use crate::group::private::Whispers;
use crate::identity::{Epoch, MemberId, Name, Version};
use crate::objects::Seat;
use crate::wire::field::VerifyingKey;

/// A live member.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Peer {
    pub(super) name: Name,
    pub(super) origin_key: VerifyingKey,
    pub(super) link: Option<Link>,
    /// Since when it has no link: it cannot be told anything, and that counts as silence (D33).
    pub(super) unlinked: Option<Instant>,
    pub(super) chain: LeaderChain,
    /// The epoch that its admission made; 0 while its rekey waits. No older key is ever told to it (S7).
    pub(super) first: Epoch,
    /// What it has acknowledged: key, view, policy.
    pub(super) shown: Standing,
    /// What the outstanding AdminMsg tells.
    pub(super) telling: Option<Telling>,
    /// It lived after this instant.
    pub(super) alive_as_of: Instant,
    pub(super) suspected: bool,
    /// Pages of the view that it still has to get.
    pub(super) pages: Option<Pages>,
    /// What became of its requests to eject.
    pub(super) answers: VecDeque<(u64, EjectVerdict)>,
    /// What it is to be told of private messages.
    pub(super) whispers: Whispers,
    /// What it knows, and asks for, of shared objects.
    pub(super) seat: Seat,
    /// It is to be told something, be it only that the leader lives.
    pub(super) ping: bool,
    /// The outstanding AdminMsg is to be said again.
    pub(super) again: bool,
    /// Where a request came again whose answer it may have lost with its link: it is told there once.
    pub(super) beside: Option<Link>,
    /// Not before then is it told so again.
    pub(super) beside_from: Instant,
    /// Its messages without protection come at a bounded rate.
    pub(super) clear: Allowance,
}

fingerprint!(Peer {
    name,
    origin_key,
    link,
    unlinked,
    chain,
    first,
    shown,
    telling,
    alive_as_of,
    suspected,
    pages,
    answers,
    whispers,
    seat,
    ping,
    again,
    beside,
    beside_from,
    clear,
});

/// What an AdminMsg tells, for when it is acknowledged.
#[derive(Debug, Clone)]
pub(super) enum Telling {
    Nothing,
    /// The key of this epoch, and the view of this version with it, if it brings one.
    Key(Epoch, Option<Version>),
    /// A page; with the last one, the view is of this version.
    View(Option<Version>),
    Policy(Version),
    Ejection,
    /// The key of a private message.
    GossipKey(MemberId, u64),
    Whisper,
    /// Something about shared objects: the seat knows what.
    Object,
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Telling {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::Nothing => 0u8.fingerprint(now, sink),
            Self::Key(epoch, view) => (1u8, (*epoch, *view)).fingerprint(now, sink),
            Self::View(view) => (2u8, *view).fingerprint(now, sink),
            Self::Policy(version) => (3u8, *version).fingerprint(now, sink),
            Self::Ejection => 4u8.fingerprint(now, sink),
            Self::GossipKey(from, number) => (5u8, (from.0, *number)).fingerprint(now, sink),
            Self::Whisper => 6u8.fingerprint(now, sink),
            Self::Object => 7u8.fingerprint(now, sink),
        }
    }
}

impl Peer {
    /// Whether it waits for the rekey that its admission makes: until then it is in no view and gets no key.
    pub(super) fn waits(&self) -> bool {
        self.first.0 == 0
    }
}
