//! What a deadline does to a leader.

use super::{EVENTS, FRAMES, Leader, Timer, control};
use crate::antigone::join::admitting::Stage;
use crate::endpoint::{Cx, Due, Instant, Wake};
use crate::event::{Cause, Event};
use crate::identity::MemberId;
use crate::policy::Views;

/// The most deadlines that one call serves.
const AT_ONCE: usize = 256;

impl Leader {
    /// The earliest deadline and its reason.
    pub(super) fn next_wake(&self) -> Wake {
        if !self.out.is_empty() || !self.work.is_empty() || self.shared.has_work() {
            return Wake::Now(Due::Output);
        }
        let Some((at, timer)) = self.timers.next() else { return Wake::OnInput };
        let due = match timer {
            Timer::Question(_) => Due::ThirdParty,
            Timer::Pending(_) => Due::JoinExpiry,
            Timer::Repeat(cid) => self.repeats(cid, at),
            Timer::Silence(_) => Due::Silence,
            Timer::Linger(_) => Due::Farewell,
            Timer::Rekey => Due::Rekey,
            Timer::Beat => Due::Heartbeat,
            Timer::Cast => Due::KeyRepeat,
            Timer::Ring => self.station.ring.next_deadline().map_or(Due::Grace, |(_, due)| due),
            Timer::KeyAge => Due::Rekey,
            Timer::Condemned => Due::Silence,
            Timer::Ejection | Timer::Word => Due::Answer,
            Timer::Closing => Due::Farewell,
        };
        Wake::At(at, due)
    }

    /// What is repeated at `at`: the outstanding record, or the key block.
    fn repeats(&self, cid: MemberId, at: Instant) -> Due {
        let record = self.peers.get(&cid).and_then(|peer| peer.channel.repeat_at());
        if record == Some(at) { Due::Record } else { Due::KeyRepeat }
    }

    pub(super) fn take_time(&mut self, cx: &mut Cx<'_>, now: Instant) {
        for _ in 0..AT_ONCE {
            if !self.out.room(FRAMES, EVENTS) {
                return;
            }
            let Some(timer) = self.timers.pop_due(now) else { return };
            match timer {
                Timer::Question(id) if self.pendings.is_deciding(id) => self.decide_by_silence(cx, now, id),
                Timer::Question(id) => self.repeat_question(now, id),
                Timer::Pending(id) => self.drop_pending(id),
                Timer::Repeat(cid) => self.repeat(now, cid),
                Timer::Silence(cid) => self.suspect(now, cid),
                Timer::Linger(cid) => self.repeat_end(now, cid),
                Timer::Beat => self.beat(now),
                Timer::Cast => self.resume_cast(),
                Timer::Rekey => self.rekey_as_planned(cx, now),
                Timer::Condemned => self.remove_condemned(cx, now),
                Timer::Ejection => self.deny_by_silence(now),
                Timer::Word => self.word_time(now),
                Timer::Closing => self.end_closing(),
                Timer::KeyAge => self.plan(now, Cause::Period),
                Timer::Ring => {
                    for epoch in self.station.ring.handle_time(now).iter() {
                        self.out.event(Event::Erased { epoch });
                    }
                    self.timers.set(Timer::Ring, self.station.ring.next_deadline().map(|(at, _)| at));
                }
            }
        }
    }

    fn repeat_question(&mut self, now: Instant, id: crate::antigone::join::admitting::PendingId) {
        let Some(pending) = self.pendings.get_mut(id) else { return };
        let question = pending.question().frame.clone();
        let Stage::Waiting(backoff) = &mut pending.stage else { return };
        backoff.again(now, &mut self.jitter);
        let due = backoff.due();
        self.timers.set(Timer::Question(id), Some(due));
        match self.third_party {
            Some(link) => self.out.send(control(link, question)),
            None => self.want_third_party(now),
        }
    }

    /// Sets the deadlines of a member anew, from what it is owed and what was heard of it.
    pub(super) fn arm(&mut self, now: Instant, cid: MemberId) {
        let Some(peer) = self.peers.get(&cid) else { return };
        let record = peer.channel.repeat_at();
        // A member that is silent for too long is not sent keys any more until it speaks.
        let block = peer.repeat.as_ref().filter(|_| !peer.suspected).map(|repeat| repeat.due());
        let at = [record.filter(|_| !peer.suspected), block].into_iter().flatten().min();
        self.timers.set(Timer::Repeat(cid), at);
        let over = [self.silence_due(now, peer), self.keyless_at(peer)].into_iter().flatten().min();
        let judged = peer.suspected || self.condemned.contains_key(&cid);
        self.timers.set(Timer::Silence(cid), over.filter(|_| !judged).map(|at| at.max(now)));
    }

    /// Repeats the outstanding record, or the key block of somebody who does not show the epoch.
    fn repeat(&mut self, now: Instant, cid: MemberId) {
        let (current, version) = (self.issue.epoch(), self.view_due());
        let (shows_views, newest_policy) = (self.station.policy.views != Views::Hidden, self.newest_policy());
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        if peer.channel.repeat_at().is_some_and(|at| at <= now) {
            peer.channel.repeated(now, &mut self.jitter);
            peer.answer = true;
        }
        let behind = peer.shown.epoch < current && !peer.waits();
        let unviewed = shows_views && peer.shown.view < version && !peer.waits();
        if let Some(repeat) = &mut peer.repeat
            && repeat.due() <= now
        {
            if behind || unviewed {
                repeat.again(now, &mut self.jitter);
                // The block alone does not help somebody who missed changes of the view: it holds the block.
                super::rekey::owe(peer, &mut self.station.view, behind, unviewed);
            } else {
                peer.repeat = None;
            }
        }
        if peer.is_owed(newest_policy) {
            self.work.insert(cid);
        }
        self.arm(now, cid);
    }

    fn repeat_end(&mut self, now: Instant, cid: MemberId) {
        let Some(lingering) = self.lingering.get_mut(&cid) else { return };
        let Some(next) = lingering.handle_time(now, &mut self.jitter) else {
            self.lingering.remove(&cid);
            self.work.remove(&cid);
            self.told(cid);
            return;
        };
        if lingering.owed {
            self.work.insert(cid);
        }
        self.timers.set(Timer::Linger(cid), Some(next));
    }
}
