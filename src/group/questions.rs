//! Requests to eject somebody that the leader's application is to decide about (RA §4.6).

use alloc::collections::BTreeMap;

use crate::endpoint::Instant;
use crate::event::Ticket;
use crate::identity::MemberId;

/// A request that the leader's application is to decide about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// Who asks.
    pub asker: MemberId,
    /// The number of the record or message that holds the request.
    pub rseq: u64,
    /// Who should go.
    pub target: MemberId,
    /// Until when it may be decided: silence denies.
    pub until: Instant,
}

fingerprint!(Question { asker, rseq, target, until });

/// Open questions, at most as many as are allowed; one for each pair of asker and target.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Questions {
    open: BTreeMap<Ticket, Question>,
    most: usize,
}

fingerprint!(Questions { open, most });

impl Questions {
    /// None yet; at most `most`.
    pub const fn new(most: usize) -> Self {
        Self { open: BTreeMap::new(), most }
    }

    /// Whether this question may be opened: there is room, a quarter of it at most for one asker, and it is not open
    /// already.
    pub fn has_room(&self, asker: MemberId, target: MemberId) -> bool {
        let same = |open: &Question| (open.asker, open.target) == (asker, target);
        let own = self.open.values().filter(|open| open.asker == asker).count();
        self.open.len() < self.most && own < self.most.div_ceil(4) && !self.open.values().any(same)
    }

    /// Opens a question. Ask [`Self::has_room`] first.
    pub fn open(&mut self, ticket: Ticket, question: Question) {
        self.open.insert(ticket, question);
    }

    /// An open question.
    pub fn get(&self, ticket: Ticket) -> Option<&Question> {
        self.open.get(&ticket)
    }

    /// Takes a question out: it is answered.
    pub fn close(&mut self, ticket: Ticket) -> Option<Question> {
        self.open.remove(&ticket)
    }

    /// Somebody is gone: its questions are moot, and those about it answered. Gives the latter.
    pub fn forget(&mut self, gone: MemberId) -> alloc::vec::Vec<Question> {
        self.open.retain(|_, question| question.asker != gone);
        let about: alloc::vec::Vec<Ticket> =
            self.open.iter().filter(|(_, question)| question.target == gone).map(|(ticket, _)| *ticket).collect();
        about.into_iter().filter_map(|ticket| self.open.remove(&ticket)).collect()
    }

    /// Nothing is to be decided any more.
    pub fn clear(&mut self) {
        self.open.clear();
    }

    /// Takes out the first question whose time is over: nobody decided.
    pub fn overdue(&mut self, now: Instant) -> Option<Question> {
        let (_, ticket) = self.next().filter(|(until, _)| *until <= now)?;
        self.close(ticket)
    }

    /// The question whose time ends first.
    pub fn next(&self) -> Option<(Instant, Ticket)> {
        self.open.iter().map(|(ticket, question)| (question.until, *ticket)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(asker: u64, target: u64, until: u64) -> Question {
        Question { asker: MemberId(asker), rseq: 2, target: MemberId(target), until: Instant::from_micros(until) }
    }

    #[test]
    fn questions_are_bounded_and_one_for_each_pair() {
        let mut questions = Questions::new(2);
        questions.open(Ticket(1), question(1, 2, 50));
        assert!(!questions.has_room(MemberId(1), MemberId(2)), "the same again");
        assert!(!questions.has_room(MemberId(1), MemberId(3)), "its share is used up");
        assert!(questions.has_room(MemberId(2), MemberId(3)));
        questions.open(Ticket(2), question(3, 2, 40));
        assert!(!questions.has_room(MemberId(4), MemberId(5)), "full");
        assert_eq!(questions.next(), Some((Instant::from_micros(40), Ticket(2))));
    }

    #[test]
    fn who_is_gone_asks_nothing_and_needs_no_more_decision() {
        let mut questions = Questions::new(9);
        questions.open(Ticket(1), question(1, 2, 50));
        questions.open(Ticket(2), question(2, 3, 50));
        questions.open(Ticket(3), question(3, 4, 50));
        assert_eq!(questions.forget(MemberId(2)), [question(1, 2, 50)]);
        assert_eq!(questions.get(Ticket(2)), None, "its asker is gone");
        assert_eq!(questions.close(Ticket(3)), Some(question(3, 4, 50)));
        assert_eq!(questions.next(), None);
    }
}
