//! What a deadline does to a leader.

use super::{EVENTS, FRAMES, Leader, Timer};
use crate::antigone::failure::published as heartbeat;
use crate::endpoint::{Class, Cx, Due, Instant, To, Transmit, Wake};
use crate::error::{Failure, Reason};
use crate::event::{Cause, Event, Suspicion};
use crate::group::channel::Channel;
use crate::group::turn::Removal;
use crate::identity::MemberId;
use crate::policy::{OnSilence, Part};

/// The most deadlines that one call serves.
const AT_ONCE: usize = 256;

impl Leader {
    pub(super) fn next_wake(&self) -> Wake {
        if !self.out.is_empty() || !self.work.is_empty() {
            return Wake::Now(Due::Output);
        }
        let Some((at, timer)) = self.timers.next() else { return Wake::OnInput };
        let due = match timer {
            Timer::Question(_) => Due::ThirdParty,
            Timer::Pending(_) => Due::JoinExpiry,
            Timer::Record(_) => Due::Record,
            Timer::Retry(_) => Due::Output,
            Timer::Silence(_) => Due::Silence,
            Timer::Linger(_) => Due::Farewell,
            Timer::Rekey | Timer::KeyAge => Due::Rekey,
            Timer::Beat => Due::Heartbeat,
            Timer::Grace => Due::Grace,
            Timer::Ejection => Due::Answer,
        };
        Wake::At(at, due)
    }

    pub(super) fn take_time(&mut self, cx: &mut Cx<'_>, now: Instant) {
        for _ in 0..AT_ONCE {
            if !self.out.room(FRAMES, EVENTS) {
                return;
            }
            let Some(timer) = self.timers.pop_due(now) else { return };
            match timer {
                Timer::Question(id) => self.ask_third_party(now, id, true),
                Timer::Pending(id) => self.drop_pending(id),
                Timer::Record(cid) => self.repeat(now, cid),
                Timer::Retry(cid) => {
                    self.work.insert(cid);
                }
                Timer::Silence(cid) => self.suspect(cx, now, cid),
                Timer::Linger(cid) => self.repeat_end(now, cid),
                Timer::KeyAge => {
                    self.due = self.due.with(Cause::Period);
                    self.timers.set(Timer::Rekey, Some(now));
                }
                Timer::Rekey => {
                    if let Err(why) = self.turn(cx, now, None, &[], true) {
                        self.hindered(why);
                        self.timers.set(Timer::Rekey, Some(now + self.me.limits.retry.first));
                    }
                }
                Timer::Beat => self.beat(cx, now),
                Timer::Grace => {
                    self.plane.handle_time(now);
                    self.timers.set(Timer::Grace, self.plane.next_deadline());
                }
                Timer::Ejection => self.deny_by_silence(now),
            }
        }
    }

    fn hindered(&mut self, why: Reason) {
        let failure = if why == Reason::Entropy { Failure::Entropy } else { Failure::Suite };
        self.out.event(Event::Hindered(failure));
    }

    /// The next heartbeat, by the policy's period.
    pub(super) fn arm_beat(&mut self, now: Instant) {
        let period = self.plane.station.policy.detection.map(|detection| detection.period);
        self.timers.set(Timer::Beat, period.map(|period| now + self.jitter.spread(period, 10, 0)));
    }

    /// AN-HL to all, and challenges to members whose heartbeat is repaired.
    fn beat(&mut self, cx: &mut Cx<'_>, now: Instant) {
        if let Some((key, _)) = &self.signing
            && let Some(current) = self.plane.key()
        {
            let sides = &self.me.sides;
            // S_SL changes with each heartbeat, or with the key alone (D12).
            let sequence = if sides.mix.per_heartbeat { self.sequence.saturating_add(1) } else { self.sequence };
            let (suite, header) = (&*sides.published, sides.published_header());
            let made =
                heartbeat::leader_beat(suite, header, cx.rng, key, &current.group, self.me.name.by_ref(), sequence);
            match made {
                Ok(frame) => {
                    self.sequence = sequence;
                    let links = self.control_links();
                    if !links.is_empty() {
                        self.out.send(Transmit { to: To::Many(links), frame, class: Class::Control });
                    }
                }
                Err(why) => self.hindered(why),
            }
        }
        if !self.me.sides.is_published(Part::MemberHeartbeat) {
            for (cid, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.channel.is_some()) {
                peer.ask = true;
                self.work.insert(*cid);
            }
        }
        self.arm_beat(now);
    }

    /// Repeats the outstanding record, or tries again what failed.
    fn repeat(&mut self, now: Instant, cid: MemberId) {
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        if let Some(channel) = &mut peer.channel
            && channel.repeat_at().is_some_and(|at| at <= now)
        {
            channel.repeated(now, &mut self.jitter);
            peer.answer = true;
        }
        if peer.key || peer.answer || peer.ask || peer.channel.as_ref().is_some_and(Channel::ready) {
            self.work.insert(cid);
        }
        self.arm(now, cid);
    }

    fn repeat_end(&mut self, now: Instant, cid: MemberId) {
        let Some(lingering) = self.lingering.get_mut(&cid) else { return };
        match lingering.handle_time(now, &mut self.jitter) {
            Some(next) => {
                if lingering.owed {
                    self.work.insert(cid);
                }
                self.timers.set(Timer::Linger(cid), Some(next));
            }
            None => {
                self.lingering.remove(&cid);
                self.work.remove(&cid);
            }
        }
    }

    /// Nothing was heard of a member for too long.
    fn suspect(&mut self, cx: &mut Cx<'_>, now: Instant, cid: MemberId) {
        let Some(detection) = self.plane.station.policy.detection else { return };
        let silence = detection.silence(self.me.limits.retry.first);
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        if peer.alive_as_of + silence > now {
            self.arm(now, cid);
            return;
        }
        if !core::mem::replace(&mut peer.suspected, true) {
            self.out.event(Event::Suspected { cid, why: Suspicion::Silence });
        }
        if self.plane.station.policy.on_silence == OnSilence::Remove {
            let removal = Removal { cid, cause: Cause::Failure, by: MemberId::LEADER };
            if let Err(why) = self.dismiss(cx, now, removal) {
                self.hindered(why);
                self.timers.set(Timer::Silence(cid), Some(now + self.me.limits.retry.first));
            }
        }
    }
}
