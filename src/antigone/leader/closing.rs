//! Closing the group (RA §4.6): every member is told, authentically, and the keys are gone at once.

use super::{Leader, Timer};
use crate::endpoint::{Cx, Instant};
use crate::error::CommandError;
use crate::event::{EndReason, Ending, Event};
use crate::group::{Backoff, KeyRing};
use crate::identity::MemberId;

impl Leader {
    /// Closes the group. Its keys are wiped now; members are told until they have answered, or for
    /// [`Limits::linger`](crate::group::Limits::linger), and [`Event::Ended`] with [`Ending::Closed`] comes then. From
    /// now on requests are met with silence, and commands are [`Misuse::Closed`](crate::error::Misuse::Closed).
    ///
    /// # Errors
    /// [`Misuse::Closed`](crate::error::Misuse::Closed) if it is closed already, [`CommandError::Full`].
    pub fn close(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let pending: alloc::vec::Vec<_> = self.pendings.iter().map(|(id, _)| id).collect();
        pending.into_iter().for_each(|id| self.drop_pending(id));
        self.wanted.close();
        for timer in [Timer::Rekey, Timer::Ring, Timer::KeyAge, Timer::Condemned, Timer::Ejection] {
            self.timers.set(timer, None);
        }
        self.verdicts.clear();
        self.condemned.clear();
        self.questions.clear();
        self.next_policy = None;
        self.station.ring = KeyRing::new(self.me.limits.senders);
        self.issue.erase();
        // However many they are: the channels move, and each says its end when it is polled.
        let members: alloc::vec::Vec<MemberId> = self.peers.keys().copied().collect();
        for cid in members {
            if let Some(peer) = self.take_out(cid) {
                let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
                let farewell = self.farewell(peer, EndReason::Closing, MemberId::LEADER, Some(backoff), now);
                self.keep(cid, farewell);
            }
        }
        self.reconnect();
        self.closing = Some(now + self.me.limits.linger);
        self.settle_closing(now);
        Ok(())
    }

    /// Whether the group is closed, or about to be.
    pub fn is_closed(&self) -> bool {
        self.closing.is_some()
    }

    /// Once nobody is left to be told, or the time for it is over, the group has ended here.
    pub(super) fn settle_closing(&mut self, now: Instant) {
        let Some(until) = self.closing.filter(|_| !self.closed) else { return };
        let told = self.lingering.values().all(|lingering| lingering.backoff.is_none() && !lingering.owed);
        if !told && now < until {
            self.timers.set(Timer::Closing, Some(until));
            return;
        }
        self.closed = true;
        self.timers.set(Timer::Closing, None);
        self.out.event(Event::Ended(Ending::Closed));
    }
}
