//! What a leader keeps for each member.

use crate::antigone::membership::Pages;
use crate::endpoint::{Instant, Link};
use crate::group::channel::{Channel, Standing};
use crate::group::private::Whispers;
use crate::group::{Allowance, Backoff};
use crate::identity::{Epoch, MemberId, Name, Version};
use crate::wire::field::VerifyingKey;

/// A live member.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Peer {
    pub(super) name: Name,
    pub(super) origin_key: VerifyingKey,
    pub(super) link: Option<Link>,
    pub(super) channel: Channel,
    /// The epoch that its admission made: no block below is ever sealed for it (S7). 0 while its rekey waits.
    pub(super) first: Epoch,
    /// The newest policy that it was told of: by RA-J2, or by a record.
    pub(super) told_policy: Version,
    /// What it has shown to have.
    pub(super) shown: Standing,
    /// It lived after this instant.
    pub(super) alive_as_of: Instant,
    pub(super) suspected: bool,
    /// Since when it has not come nearer to the current epoch; none if it shows it.
    pub(super) behind_since: Option<Instant>,
    /// Pages of the view that it still has to get.
    pub(super) pages: Option<Pages>,
    /// From when on it may be given pages again, should it still show an older view: at most once an RTO.
    pub(super) pages_again: Instant,
    /// The next record is a page, if one waits, and else an answer to a request: they take turns.
    pub(super) page_next: bool,
    /// What it is to be told of private words.
    pub(super) whispers: Whispers,
    /// The next record is one of these, if one waits: they take turns with pages and answers.
    pub(super) whisper_next: bool,
    /// The word whose key the outstanding record holds.
    pub(super) telling: Option<(MemberId, u64)>,
    /// A frame that asks for an answer is owed.
    pub(super) ask: bool,
    /// A frame without a record is owed: an answer.
    pub(super) answer: bool,
    /// Its key block is owed.
    pub(super) block: bool,
    /// When the block is repeated, while it does not show the epoch.
    pub(super) repeat: Option<Backoff>,
    /// Answers are given at a bounded rate.
    pub(super) allowance: Allowance,
    /// So are its messages without protection.
    pub(super) clear: Allowance,
}

fingerprint!(Peer {
    name,
    origin_key,
    link,
    channel,
    first,
    told_policy,
    shown,
    alive_as_of,
    suspected,
    behind_since,
    pages,
    pages_again,
    page_next,
    whispers,
    whisper_next,
    telling,
    ask,
    answer,
    block,
    repeat,
    allowance,
    clear,
});

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Standing {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let Self { epoch, view, policy, hears } = self;
        epoch.fingerprint(now, sink);
        view.fingerprint(now, sink);
        policy.fingerprint(now, sink);
        hears.fingerprint(now, sink);
    }
}

impl Peer {
    /// Whether it waits for the rekey that its admission makes: until then it is in no view and gets no key.
    pub(super) fn waits(&self) -> bool {
        self.first.0 == 0
    }

    /// Whether pages that lead to `version` may be begun: none that do are under way.
    pub(super) fn may_fetch(&self, version: Version) -> bool {
        self.channel.free() && self.pages.as_ref().is_none_or(|pages| pages.to() < version)
    }

    /// Whether a record is to tell it of the policy of that version.
    pub(super) fn owes_policy(&self, newest: Version) -> bool {
        self.told_policy < newest && self.channel.free()
    }

    /// Whether something is to be sent to it; `newest` is the newest policy.
    pub(super) fn is_owed(&self, newest: Version) -> bool {
        self.answer
            || self.ask
            || self.block
            || self.channel.ready()
            || self.owes_policy(newest)
            || ((self.pages.is_some() || !self.whispers.is_empty()) && self.channel.free())
    }
}
