//! Which link leads to the leader: one that was opened at this member's wish, or one that it may be while no other is known.

use bytes::Bytes;

use super::session::Repeat;
use super::{Asking, Member, Phase, TRIES};
use crate::endpoint::{Instant, Link, LinkInfo};
use crate::event::{Event, Peer};
use crate::group::Backoff;

impl Member {
    pub(super) fn link_opened(&mut self, now: Instant, link: Link, info: LinkInfo) {
        if self.links.len() >= self.me.limits.links {
            self.out.stats.links_refused += 1;
            return;
        }
        self.links.insert(link, info);
        if info.shared {
            return;
        }
        if self.direct_opened(now, link, info) {
            self.elsewhere.insert(link);
            return;
        }
        // Who dials this member comes over a link that answers nothing. It may be the leader's only where none is known.
        let hoped = info.answers.is_none() && matches!(self.phase, Phase::Asking(Asking { link: None, .. }));
        if info.proven && (self.wanted.answered(info.answers) || hoped) {
            self.relink(now, link);
        }
    }

    pub(super) fn link_lost(&mut self, now: Instant, link: Link) {
        self.links.remove(&link);
        self.elsewhere.remove(&link);
        self.direct_lost(now, link);
        if let Some(slot) = self.link_slot() {
            slot.take_if(|of| *of == link);
        }
        if self.out.room(0, 1) {
            self.want_leader(now);
        }
    }

    /// A link that may lead to the leader.
    pub(super) fn usable_link(&self) -> Option<Link> {
        let usable = |(link, info): &(&Link, &LinkInfo)| info.proven && !info.shared && !self.elsewhere.contains(link);
        self.links.iter().rev().find(usable).map(|(link, _)| *link)
    }

    pub(super) fn link_slot(&mut self) -> Option<&mut Option<Link>> {
        match &mut self.phase {
            Phase::Idle => None,
            Phase::Asking(asking) => Some(&mut asking.link),
            Phase::In(session) => Some(&mut session.link),
            Phase::Leaving(leaving) => Some(&mut leaving.link),
        }
    }

    pub(super) fn lacks_link(&self) -> bool {
        match &self.phase {
            Phase::Idle => false,
            Phase::Asking(asking) => asking.link.is_none(),
            Phase::In(session) => session.link.is_none(),
            Phase::Leaving(leaving) => leaving.link.is_none(),
        }
    }

    pub(super) fn want_leader(&mut self, now: Instant) {
        if !self.lacks_link() {
            return;
        }
        if let Some(ticket) = self.wanted.want(now, self.me.limits.retry.ceiling) {
            let peer = Peer::Leader(self.me.leader.clone());
            self.out.event(Event::LinkWanted { ticket, peer, hint: Bytes::new() });
        }
    }

    /// `link` leads to the leader: what is under way goes over it at once.
    pub(super) fn relink(&mut self, now: Instant, link: Link) {
        let Some(slot) = self.link_slot() else { return };
        *slot = Some(link);
        match &mut self.phase {
            Phase::Asking(asking) => asking.backoff.hurry(now),
            // EN-1A shows the leader the new way.
            Phase::In(session) => {
                let mut backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
                backoff.hurry(now);
                session.show = Some(Repeat { backoff, left: TRIES });
            }
            Phase::Leaving(leaving) => leaving.repeat.backoff.hurry(now),
            Phase::Idle => {}
        }
    }
}
