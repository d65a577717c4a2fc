//! A wish for a link: told to the driver, and told again for as long as no link answers it.

use core::time::Duration;

use crate::endpoint::{Due, Instant, LinkTicket, Wake};

/// At most one open wish, for one peer. A driver gives up after some attempts and tells nobody, so an open wish is told
/// again, under the same ticket: whichever attempt comes through answers it.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub struct Wish {
    open: Option<(LinkTicket, Instant)>,
    next: u64,
}

fingerprint!(Wish { open } skip { next });

impl Wish {
    /// None is open.
    pub const fn new() -> Self {
        Self { open: None, next: 1 }
    }

    /// None is open; its tickets are numbered from `first` on. A machine with several wishes keeps their numbers apart.
    pub const fn numbered_from(first: u64) -> Self {
        Self { open: None, next: first }
    }

    /// A link is wanted at `now`: the ticket to tell the driver, unless it was told less than `pace` ago.
    pub fn want(&mut self, now: Instant, pace: Duration) -> Option<LinkTicket> {
        let ticket = match self.open {
            Some((_, again)) if now < again => return None,
            Some((ticket, _)) => ticket,
            None => {
                self.next = self.next.saturating_add(1);
                LinkTicket(self.next - 1)
            }
        };
        self.open = Some((ticket, now + pace));
        Some(ticket)
    }

    /// Whether a link with these [`answers`](crate::endpoint::LinkInfo::answers) is the one that is wanted. Then none is
    /// any more.
    pub fn answered(&mut self, answers: Option<LinkTicket>) -> bool {
        let answered = self.open.is_some_and(|(ticket, _)| answers == Some(ticket));
        if answered {
            self.open = None;
        }
        answered
    }

    /// No link is wanted any more.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// When something is to be done for it: for whoever lacks a link, now, or when an open wish is to be told again.
    pub fn wake(&self, lacks_link: bool) -> Wake {
        match (lacks_link, self.again()) {
            (false, _) => Wake::OnInput,
            (true, Some(again)) => Wake::At(again, Due::Link),
            (true, None) => Wake::Now(Due::Link),
        }
    }

    /// When to tell an open wish again.
    pub fn again(&self) -> Option<Instant> {
        self.open.map(|(_, again)| again)
    }
}

impl Default for Wish {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_told_again_under_one_ticket_until_it_is_answered() {
        let (mut wish, pace) = (Wish::new(), Duration::from_secs(8));
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        assert_eq!(wish.want(at(0), pace), Some(LinkTicket(1)));
        assert_eq!(wish.want(at(7), pace), None);
        assert_eq!(wish.again(), Some(at(8)));
        assert_eq!(wish.want(at(8), pace), Some(LinkTicket(1)));
        assert!(!wish.answered(None) && !wish.answered(Some(LinkTicket(2))));
        assert!(wish.answered(Some(LinkTicket(1))));
        assert!(!wish.answered(Some(LinkTicket(1))), "once");
        assert_eq!(wish.again(), None);
        assert_eq!(wish.want(at(9), pace), Some(LinkTicket(2)));
        wish.close();
        assert!(!wish.answered(Some(LinkTicket(2))));
    }
}
