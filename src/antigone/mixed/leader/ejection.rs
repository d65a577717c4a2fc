//! Ejecting, by command and at a member's request where the policy honours it (report §2.2.4, RA §4.6).

use super::{Leader, Timer};
use crate::antigone::leave::requests;
use crate::endpoint::{Cx, Instant};
use crate::error::{CommandError, Misuse, Reason};
use crate::event::{Cause, EjectVerdict, Event, Ticket};
use crate::group::questions::Question;
use crate::group::turn::Removal;
use crate::identity::{MemberId, Name};
use crate::policy::EjectRequests;

impl Leader {
    /// Throws a member out.
    ///
    /// # Errors
    /// [`Misuse::NoMember`], [`Misuse::Closed`], [`CommandError::Full`], [`Failure`](crate::error::Failure).
    pub fn eject(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        if !self.peers.contains_key(&cid) {
            return Err(Misuse::NoMember.into());
        }
        let removal = Removal { cid, cause: Cause::Eject, by: MemberId::LEADER };
        self.dismiss(cx, now, removal).map_err(super::super::plane::failure_of)
    }

    /// Answers [`Event::EjectionWanted`].
    ///
    /// # Errors
    /// [`Misuse::NoTicket`], [`Misuse::Closed`], [`CommandError::Full`], [`Failure`](crate::error::Failure).
    pub fn decide_ejection(&mut self, cx: &mut Cx<'_>, ticket: Ticket, eject: bool) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let Question { asker, rseq, target, .. } = *self.questions.get(ticket).ok_or(Misuse::NoTicket)?;
        if eject {
            let removal = Removal { cid: target, cause: Cause::Eject, by: asker };
            return self.dismiss(cx, now, removal).map_err(super::super::plane::failure_of);
        }
        self.questions.close(ticket);
        self.set_question_timer();
        self.answer_request(now, asker, rseq, EjectVerdict::Denied);
        Ok(())
    }

    /// A member's request. `rseq` is the number of its record, 0 for AN-E, to which there is no answer. Removing comes
    /// first: if it fails, nothing has changed, and the record is repeated. Gives what to answer now.
    pub(super) fn on_eject_request(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        asker: MemberId,
        rseq: u64,
        name: &Name,
    ) -> Result<Option<EjectVerdict>, Reason> {
        let target = self.names.get(name).copied().filter(|target| *target != asker);
        let verdict = match (self.plane.station.policy.eject_requests, target) {
            (EjectRequests::Refused, _) => EjectVerdict::NotAllowed,
            (_, None) => EjectVerdict::NoSuchMember,
            (EjectRequests::Granted, Some(cid)) => {
                self.dismiss(cx, now, Removal { cid, cause: Cause::Eject, by: asker })?;
                EjectVerdict::Ejected
            }
            (EjectRequests::Asked, Some(target)) if self.questions.has_room(asker, target) => {
                let ticket = Ticket(self.take_ticket());
                let until = now + self.me.limits.decision_time;
                self.questions.open(ticket, Question { asker, rseq, target, until });
                self.set_question_timer();
                self.out.event(Event::EjectionWanted { ticket, by: asker, target, name: name.clone() });
                return Ok(None);
            }
            (EjectRequests::Asked, Some(_)) => EjectVerdict::Busy,
        };
        Ok(Some(verdict))
    }

    pub(super) fn answer_request(&mut self, now: Instant, asker: MemberId, rseq: u64, verdict: EjectVerdict) {
        let retry = self.me.limits.retry;
        let Some(channel) = self.peers.get_mut(&asker).and_then(|peer| peer.channel.as_mut()) else { return };
        if rseq == 0 || !channel.has_room() {
            return;
        }
        channel.queue(requests::answer(rseq, verdict));
        channel.advance(retry, now, &mut self.jitter);
        if let Some(peer) = self.peers.get_mut(&asker) {
            peer.answer = true;
        }
        self.work.insert(asker);
        self.arm(now, asker);
    }

    /// Somebody is gone: questions of it are moot, and those about it are answered.
    pub(super) fn settle_questions(&mut self, now: Instant, gone: MemberId) {
        for question in self.questions.forget(gone) {
            self.answer_request(now, question.asker, question.rseq, EjectVerdict::Ejected);
        }
        self.set_question_timer();
    }

    /// Nobody decided in time.
    pub(super) fn deny_by_silence(&mut self, now: Instant) {
        while let Some(question) = self.questions.overdue(now) {
            self.answer_request(now, question.asker, question.rseq, EjectVerdict::Denied);
        }
        self.set_question_timer();
    }

    fn set_question_timer(&mut self) {
        self.timers.set(Timer::Ejection, self.questions.next().map(|(until, _)| until));
    }
}
