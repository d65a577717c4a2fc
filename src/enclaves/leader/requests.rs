//! What members ask for: that somebody else goes; and ejection by command.

use super::{Leader, Timer};
use crate::endpoint::{Cx, Instant};
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::{Cause, EjectVerdict, EndReason, Event, Suspicion, Ticket};
use crate::group::Check;
use crate::group::questions::Question;
use crate::group::turn::Removal;
use crate::identity::{MemberId, Name};
use crate::policy::EjectRequests;
use crate::wire::enclaves::repaired::RequestText;

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
        self.dismiss(cx, now, &[removal], EndReason::Ejected).map_err(refusal)
    }

    /// Answers [`Event::EjectionWanted`].
    ///
    /// # Errors
    /// [`Misuse::NoTicket`], [`Misuse::Closed`], [`CommandError::Full`], [`Failure`] (the question stays open).
    pub fn decide_ejection(&mut self, cx: &mut Cx<'_>, ticket: Ticket, eject: bool) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let Question { asker, rseq, target, .. } = *self.questions.get(ticket).ok_or(Misuse::NoTicket)?;
        if eject {
            // Closes the question, and answers it.
            let removal = Removal { cid: target, cause: Cause::Eject, by: asker };
            return self.dismiss(cx, now, &[removal], EndReason::Ejected).map_err(refusal);
        }
        self.questions.close(ticket);
        self.set_question_timer();
        self.answer_ejection(now, asker, rseq, EjectVerdict::Denied);
        Ok(())
    }

    /// What a new request asks for. If it fails, nothing has changed, and the request is repeated.
    pub(super) fn on_wish(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        asker: MemberId,
        number: u64,
        text: &RequestText<'_>,
    ) -> Result<(), Reason> {
        let verdict = match text {
            RequestText::Here => return Ok(()),
            RequestText::Gossip(_) | RequestText::GossipKey(_) | RequestText::GossipWrap(_) => {
                return self.on_gossip_request(cx, now, asker, number, text);
            }
            RequestText::Put(piece) => return self.on_put(now, asker, piece),
            RequestText::Eject(request) => {
                self.on_ejection(cx, now, asker, number, request.cid, &request.name.to_name())?
            }
        };
        if let Some(verdict) = verdict {
            self.answer_ejection(now, asker, number, verdict);
        }
        Ok(())
    }

    fn on_ejection(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        asker: MemberId,
        rseq: u64,
        target: MemberId,
        name: &Name,
    ) -> Result<Option<EjectVerdict>, Reason> {
        let checks = self.me.limits.checks;
        // Who waits for its own rekey is in no view yet: nobody would know who asked (S6).
        if self.peers.get(&asker).is_none_or(super::peer::Peer::waits) {
            return Ok(Some(EjectVerdict::Busy));
        }
        let rule = self.station.policy.eject_requests;
        if rule == EjectRequests::Refused && checks.on(Check::EjectRight) {
            return Ok(Some(EjectVerdict::NotAllowed));
        }
        // Number and name of one live member: a request that comes late hits no later incarnation.
        let named = self.peers.get(&target).filter(|peer| peer.name == *name).map(|_| target);
        let found = if checks.on(Check::EjectTarget) { named } else { self.names.get(name).copied() };
        let Some(target) = found.filter(|target| *target != asker) else {
            return Ok(Some(EjectVerdict::NoSuchMember));
        };
        if rule == EjectRequests::Asked {
            if !self.questions.has_room(asker, target) {
                return Ok(Some(EjectVerdict::Busy));
            }
            let ticket = Ticket(self.take_ticket());
            let until = now + self.me.limits.decision_time;
            self.questions.open(ticket, Question { asker, rseq, target, until });
            self.set_question_timer();
            self.out.event(Event::EjectionWanted { ticket, by: asker, target, name: name.clone() });
            return Ok(None);
        }
        let removal = Removal { cid: target, cause: Cause::Eject, by: asker };
        self.dismiss(cx, now, &[removal], EndReason::Ejected)?;
        Ok(Some(EjectVerdict::Ejected))
    }

    /// Owes the asker its answer. Who lets them pile up is taken for dead (R30).
    fn answer_ejection(&mut self, now: Instant, asker: MemberId, number: u64, verdict: EjectVerdict) {
        let most = self.me.limits.records;
        let Some(peer) = self.peers.get_mut(&asker) else { return };
        if peer.answers.len() >= most {
            return self.condemn(now, asker, Suspicion::RecordsPileUp);
        }
        peer.answers.push_back((number, verdict));
        self.work.insert(asker);
    }

    /// Somebody is gone: questions of it are moot, and those about it are answered.
    pub(super) fn settle_questions(&mut self, now: Instant, gone: MemberId) {
        for question in self.questions.forget(gone) {
            self.answer_ejection(now, question.asker, question.rseq, EjectVerdict::Ejected);
        }
        self.set_question_timer();
    }

    /// Nobody decided in time.
    pub(super) fn deny_by_silence(&mut self, now: Instant) {
        while let Some(question) = self.questions.overdue(now) {
            self.answer_ejection(now, question.asker, question.rseq, EjectVerdict::Denied);
        }
        self.set_question_timer();
    }

    fn set_question_timer(&mut self) {
        self.timers.set(Timer::Ejection, self.questions.next().map(|(until, _)| until));
    }
}

/// What a command answers when its transition was refused.
fn refusal(reason: Reason) -> CommandError {
    match reason {
        Reason::Entropy => Failure::Entropy.into(),
        Reason::Suite => Failure::Suite.into(),
        // Epochs or versions are used up.
        _ => Misuse::KeyExhausted.into(),
    }
}
