//! What a deadline does to a leader.

use super::peer::Timer;
use super::{EVENTS, FRAMES, Leader};
use crate::endpoint::{Cx, Due, Instant, Wake};
use crate::event::Cause;

/// The most deadlines that one call serves.
const AT_ONCE: usize = 256;

impl Leader {
    pub(super) fn next_wake(&self) -> Wake {
        if !self.out.is_empty() || !self.work.is_empty() || !self.data.is_empty() {
            return Wake::Now(Due::Output);
        }
        let Some((at, timer)) = self.timers.next() else { return Wake::OnInput };
        let due = match timer {
            Timer::Attempt(_) => Due::JoinExpiry,
            Timer::Owed(_) => Due::KeyRepeat,
            Timer::Retry(_) => Due::Output,
            Timer::Close(_) | Timer::Linger(_) => Due::Farewell,
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
                Timer::Attempt(id) => {
                    if let Err(why) = self.expire(cx.rng, now, id) {
                        self.hindered(why);
                        self.timers.set(timer, Some(now + self.me.limits.retry.first));
                    }
                }
                Timer::Owed(cid) => self.repeat(now, cid),
                Timer::Retry(cid) | Timer::Close(cid) => {
                    self.work.insert(cid);
                }
                Timer::Linger(cid) => self.forget(cid),
                Timer::KeyAge => {
                    self.due = self.due.with(Cause::Period);
                    self.timers.set(Timer::Rekey, Some(now));
                }
                Timer::Rekey => match self.prepare(cx.rng, None, self.due) {
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
}
