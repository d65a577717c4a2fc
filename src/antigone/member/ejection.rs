//! A member's request that another be ejected, and the leader's answer (RA §4.6).

use super::{EVENTS, FRAMES, Member, Phase};
use crate::antigone::leave::requests;
use crate::endpoint::Cx;
use crate::error::{CommandError, Misuse};
use crate::event::Event;
use crate::identity::{MemberId, Name};
use crate::policy::Views;
use crate::wire::antigone::RequestAnswer;

use super::session::Session;

impl Member {
    /// Asks the leader to eject a member that the view shows. [`Event::EjectionAnswered`] tells what became of it.
    ///
    /// # Errors
    /// As [`Self::request_ejection_of`].
    pub fn request_ejection(&mut self, cx: &mut Cx<'_>, target: MemberId) -> Result<(), CommandError> {
        let session = self.session().filter(|session| session.joined).ok_or(Misuse::NotJoined)?;
        let name = session.station.view.get(target).map(|entry| entry.name.clone()).ok_or(Misuse::NoMember)?;
        self.request_ejection_of(cx, target, &name)
    }

    /// As [`Self::request_ejection`], by number and name: for groups that show no view.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NoMember`] (it is the leader, or not in the view), [`Misuse::Oneself`],
    /// [`Misuse::Unanswered`], [`CommandError::Full`].
    pub fn request_ejection_of(&mut self, cx: &mut Cx<'_>, target: MemberId, name: &Name) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        let Phase::In(session) = &mut self.phase else { return Err(Misuse::NotJoined.into()) };
        if !session.joined {
            return Err(Misuse::NotJoined.into());
        }
        if target == session.station.cid {
            return Err(Misuse::Oneself.into());
        }
        let shown = session.station.view.get(target).is_some_and(|entry| entry.name == *name);
        if target == MemberId::LEADER || (session.station.policy.views != Views::Hidden && !shown) {
            return Err(Misuse::NoMember.into());
        }
        if session.requests.len() >= self.me.limits.records || !session.channel.has_room() {
            return Err(Misuse::Unanswered.into());
        }
        if !self.out.room(FRAMES, EVENTS) {
            return Err(CommandError::Full);
        }
        let rseq = session.channel.queue(requests::request(target, name));
        session.requests.push_back((rseq, target));
        session.channel.advance(self.me.limits.retry, now, &mut self.jitter);
        session.ask(now);
        Ok(())
    }
}

/// The target that an answer is about: that of a request which is not answered yet.
pub(super) fn asked_about(session: &Session, answer: &RequestAnswer) -> Option<MemberId> {
    session.requests.iter().find(|(rseq, _)| *rseq == answer.rseq).map(|(_, target)| *target)
}

/// Takes the answer in, and tells the application.
pub(super) fn take_answer(session: &mut Session, answer: RequestAnswer, target: MemberId) -> Event {
    session.requests.retain(|(rseq, _)| *rseq != answer.rseq);
    Event::EjectionAnswered { target, verdict: answer.verdict }
}
