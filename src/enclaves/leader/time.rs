//! What a deadline does to a leader.

use super::{EVENTS, FRAMES, Leader, Timer};
use crate::endpoint::{Cx, Due, Instant, Wake};
use crate::event::{Cause, EndReason, Event};
use crate::group::turn::Removal;
use crate::identity::MemberId;

/// The most deadlines that one call serves.
const AT_ONCE: usize = 256;

impl Leader {
    /// The earliest deadline and its reason.
    pub(super) fn next_wake(&self) -> Wake {
        if !self.out.is_empty() || !self.work.is_empty() {
            return Wake::Now(Due::Output);
        }
        let Some((at, timer)) = self.timers.next() else { return Wake::OnInput };
        let due = match timer {
            Timer::Pending(_) => Due::JoinExpiry,
            Timer::Repeat(_) => Due::Record,
            Timer::Ping(_) => Due::Poll,
            Timer::Silence(_) | Timer::Condemned => Due::Silence,
            Timer::Linger(_) | Timer::Closing => Due::Farewell,
            Timer::Rekey | Timer::KeyAge => Due::Rekey,
            Timer::Ring => self.station.ring.next_deadline().map_or(Due::Grace, |(_, due)| due),
            Timer::Ejection | Timer::Gossip | Timer::Put(_) => Due::Answer,
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
                Timer::Pending(id) => self.pending_time(now, id),
                Timer::Repeat(cid) => self.repeat(cx, now, cid),
                Timer::Ping(cid) => {
                    if let Some(peer) = self.peers.get_mut(&cid) {
                        peer.ping = true;
                        self.work.insert(cid);
                    }
                }
                Timer::Silence(cid) => self.suspect(now, cid),
                Timer::Condemned => self.remove_condemned(cx, now),
                Timer::Linger(cid) => self.linger(now, cid),
                Timer::Closing => self.end_closing(),
                Timer::Ejection => self.deny_by_silence(now),
                Timer::Gossip => self.gossip_time(now),
                Timer::Put(cid) => self.put_time(cid),
                Timer::KeyAge => self.plan(now, Cause::Period),
                Timer::Rekey => self.rekey_as_planned(cx, now),
                Timer::Ring => {
                    for epoch in self.station.ring.handle_time(now).iter() {
                        self.out.event(Event::Erased { epoch });
                    }
                    self.timers.set(Timer::Ring, self.station.ring.next_deadline().map(|(at, _)| at));
                }
            }
        }
    }

    /// The outstanding AdminMsg of a member is to be said again; or something failed, and is tried again.
    fn repeat(&mut self, cx: &mut Cx<'_>, now: Instant, cid: MemberId) {
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        if peer.chain.exhausted() && peer.chain.free() {
            // Join again, under new keys (R16).
            let removal = Removal { cid, cause: Cause::Failure, by: MemberId::LEADER };
            if self.dismiss(cx, now, &[removal], EndReason::Exhausted).is_err() {
                self.timers.set(Timer::Repeat(cid), Some(now + self.me.limits.retry.first));
            }
            return;
        }
        peer.again = true;
        if peer.link.is_some() {
            self.work.insert(cid);
        } else {
            self.timers.set(Timer::Repeat(cid), Some(now + self.me.limits.retry.ceiling));
        }
    }
}
