//! What a deadline does to a leader.

use super::peer::{AttemptId, Stage, Timer};
use super::{EVENTS, FRAMES, Leader, control};
use crate::endpoint::{Cx, Due, Instant, Link, Wake};
use crate::event::Cause;

/// The most deadlines that one call serves.
const AT_ONCE: usize = 256;

impl Leader {
    pub(super) fn next_wake(&self) -> Wake {
        if !self.out.is_empty() || !self.work.is_empty() || self.has_gossip() {
            return Wake::Now(Due::Output);
        }
        let Some((at, timer)) = self.timers.next() else { return Wake::OnInput };
        let due = match timer {
            Timer::Attempt(_) => Due::JoinExpiry,
            Timer::Offer(_) => Due::Join,
            Timer::Key(_) => Due::KeyRepeat,
            Timer::Retry(_) | Timer::Gossip => Due::Output,
            Timer::Farewell(_) => Due::Farewell,
            Timer::Rekey | Timer::KeyAge => Due::Rekey,
            Timer::Grace => Due::Grace,
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
                Timer::Attempt(id) => self.drop_attempt(id),
                Timer::Offer(id) => self.repeat_offer(now, id),
                Timer::Key(cid) => self.repeat_key(now, cid),
                Timer::Retry(cid) => {
                    self.work.insert(cid);
                }
                Timer::Farewell(link) => self.repeat_close(now, link),
                // It was held, and is no more.
                Timer::Gossip => {}
                Timer::KeyAge => {
                    self.due = self.due.with(Cause::Period);
                    self.timers.set(Timer::Rekey, Some(now));
                }
                Timer::Rekey => match self.prepare(cx.rng, None, None, true) {
                    Ok(turn) => {
                        self.commit(now, turn, None);
                    }
                    Err(why) => {
                        self.hindered(why);
                        self.timers.set(Timer::Rekey, Some(now + self.me.limits.retry.first));
                    }
                },
                Timer::Grace => self.previous = None,
            }
        }
    }

    /// EN-A2 again, byte for byte: nothing else would show that EN-A3 is lost.
    fn repeat_offer(&mut self, now: Instant, id: AttemptId) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let Stage::Offered(offered) = &mut attempt.stage else { return };
        offered.backoff.again(now, &mut self.jitter);
        self.timers.set(Timer::Offer(id), Some(offered.backoff.due()));
        if let Some(link) = attempt.link {
            let frame = offered.frame.clone();
            self.out.send(control(link, frame));
        }
    }

    fn repeat_close(&mut self, now: Instant, link: Link) {
        let Some(farewell) = self.farewells.get_mut(&link) else { return };
        farewell.left = farewell.left.saturating_sub(1);
        farewell.backoff.again(now, &mut self.jitter);
        if farewell.left == 0 {
            self.farewells.remove(&link);
        } else {
            self.timers.set(Timer::Farewell(link), Some(farewell.backoff.due()));
        }
        let frame = self.me.scheme().close(self.me.name.by_ref());
        self.out.send(control(link, frame));
    }
}
