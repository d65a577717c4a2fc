//! Ejecting: by command, and at a member's request where the policy honours it (RA §4.6, S6, D24).

use super::{EVENTS, FRAMES, Leader, Timer};
use crate::antigone::leave::requests;
use crate::endpoint::{Cx, Instant};
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::{Cause, EjectVerdict, EndReason, Event, Suspicion, Ticket};
use crate::group::Check;
use crate::group::questions::Question;
use crate::group::turn::Removal;
use crate::identity::{MemberId, Name};
use crate::policy::EjectRequests;

/// What becomes of a request, as far as it is decided at once.
enum Judged {
    /// It is answered now, with nothing else done.
    Answer(EjectVerdict),
    /// The target goes.
    Eject(MemberId),
    /// The application is asked.
    Ask,
}

impl Leader {
    /// Throws a member out: it leaves the view and the keys change in one step (I-7). It is told, and nothing waits for
    /// it to hear that.
    ///
    /// # Errors
    /// [`Misuse::NoMember`], [`Misuse::Closed`], [`CommandError::Full`], [`Failure`].
    pub fn eject(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        if !self.peers.contains_key(&cid) {
            return Err(Misuse::NoMember.into());
        }
        let removal = Removal { cid, cause: Cause::Eject, by: MemberId::LEADER };
        self.dismiss(cx, now, removal, EndReason::Ejected).map_err(refusal)
    }

    /// Answers [`Event::EjectionWanted`].
    ///
    /// # Errors
    /// [`Misuse::NoTicket`], [`Misuse::Closed`], [`CommandError::Full`], [`Failure`] (the question stays open).
    pub fn decide_ejection(&mut self, cx: &mut Cx<'_>, ticket: Ticket, eject: bool) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let question = *self.questions.get(ticket).ok_or(Misuse::NoTicket)?;
        let Question { asker, rseq, target, .. } = question;
        if eject {
            let removal = Removal { cid: target, cause: Cause::Eject, by: asker };
            // Closes the question, and answers it.
            return self.dismiss(cx, now, removal, EndReason::Ejected).map_err(refusal);
        }
        self.questions.close(ticket);
        self.set_question_timer();
        self.answer_request(now, asker, rseq, EjectVerdict::Denied);
        Ok(())
    }

    /// The request that a record of `asker` holds. Removing comes first: if it fails, nothing has changed, and the
    /// record is repeated.
    pub(super) fn on_eject_request(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        asker: MemberId,
        rseq: u64,
        target: MemberId,
        name: &Name,
    ) -> Result<Option<EjectVerdict>, Reason> {
        match self.judge(asker, target, name) {
            Judged::Answer(verdict) => Ok(Some(verdict)),
            Judged::Eject(target) => {
                self.dismiss(cx, now, Removal { cid: target, cause: Cause::Eject, by: asker }, EndReason::Ejected)?;
                Ok(Some(EjectVerdict::Ejected))
            }
            Judged::Ask => {
                let ticket = Ticket(self.take_ticket());
                let until = now + self.me.limits.decision_time;
                self.questions.open(ticket, Question { asker, rseq, target, until });
                self.set_question_timer();
                self.out.event(Event::EjectionWanted { ticket, by: asker, target, name: name.clone() });
                Ok(None)
            }
        }
    }

    fn judge(&self, asker: MemberId, target: MemberId, name: &Name) -> Judged {
        let checks = self.me.limits.checks;
        // Who waits for its own rekey is in no view yet: nobody would know who asked (S6).
        if self.peers.get(&asker).is_none_or(super::peer::Peer::waits) {
            return Judged::Answer(EjectVerdict::Busy);
        }
        if self.station.policy.eject_requests == EjectRequests::Refused && checks.on(Check::EjectRight) {
            return Judged::Answer(EjectVerdict::NotAllowed);
        }
        // Number and name of one live member: a request that comes late hits no later incarnation.
        let found = if checks.on(Check::EjectTarget) {
            self.peers.get(&target).filter(|peer| peer.name == *name).map(|_| target)
        } else {
            self.names.get(name).copied()
        };
        let Some(target) = found.filter(|target| *target != asker) else {
            return Judged::Answer(EjectVerdict::NoSuchMember);
        };
        match self.station.policy.eject_requests {
            EjectRequests::Asked if !self.questions.has_room(asker, target) => Judged::Answer(EjectVerdict::Busy),
            EjectRequests::Asked => Judged::Ask,
            EjectRequests::Refused | EjectRequests::Granted => Judged::Eject(target),
        }
    }

    /// Owes the asker its answer. Who lets them pile up is taken for dead (R30).
    pub(super) fn answer_request(&mut self, now: Instant, asker: MemberId, rseq: u64, verdict: EjectVerdict) {
        let Some(peer) = self.peers.get_mut(&asker) else { return };
        if !peer.channel.has_room() {
            self.condemn(now, asker, Suspicion::RecordsPileUp);
            return;
        }
        peer.channel.queue(requests::answer(rseq, verdict));
        self.work.insert(asker);
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

    /// What every command begins with: the time, an open group, and room for what it may queue.
    pub(super) fn command(&mut self, cx: &Cx<'_>) -> Result<Instant, CommandError> {
        let now = self.out.tick(cx.now);
        if self.closing.is_some() {
            return Err(Misuse::Closed.into());
        }
        if !self.out.room(FRAMES, EVENTS) {
            return Err(CommandError::Full);
        }
        Ok(now)
    }
}

/// What a command answers when its transition was refused.
pub(super) fn refusal(reason: Reason) -> CommandError {
    match reason {
        Reason::Entropy => Failure::Entropy.into(),
        Reason::Suite => Failure::Suite.into(),
        // Epochs or versions are used up.
        _ => Misuse::KeyExhausted.into(),
    }
}
