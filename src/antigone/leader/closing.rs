//! Closing the group (RA §4.6): every member is told, authentically, and the keys are gone at once.

use alloc::collections::BTreeSet;

use super::{Leader, Timer};
use crate::endpoint::Cx;
use crate::error::CommandError;
use crate::event::{EndReason, Ending, Event};
use crate::group::Backoff;
use crate::identity::MemberId;

/// How far the close of a group has come.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Closing {
    /// Members that have not answered.
    untold: BTreeSet<MemberId>,
    /// The application has been told.
    ended: bool,
}

fingerprint!(Closing { untold, ended });

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
        for timer in [Timer::Rekey, Timer::Ring, Timer::KeyAge, Timer::Condemned, Timer::Ejection, Timer::Word] {
            self.timers.set(timer, None);
        }
        self.verdicts.clear();
        self.condemned.clear();
        self.questions.clear();
        self.relays.clear();
        self.next_policy = None;
        self.station.erase(&self.me.limits);
        self.issue.erase();
        self.end_sharing();
        // However many they are: the channels move, and each says its end when it is polled.
        let untold: BTreeSet<MemberId> = self.peers.keys().copied().collect();
        for cid in untold.iter().copied() {
            if let Some(peer) = self.take_out(cid) {
                let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
                let farewell = self.farewell(peer, EndReason::Closing, MemberId::LEADER, Some(backoff), now);
                self.keep(cid, farewell);
            }
        }
        self.reconnect();
        self.timers.set(Timer::Closing, Some(now + self.me.limits.linger));
        self.closing = Some(Closing { untold, ended: false });
        self.end_if_all_are_told();
        Ok(())
    }

    /// Whether the group is closed, or about to be.
    pub fn is_closed(&self) -> bool {
        self.closing.is_some()
    }

    /// Somebody has said its own end, or is not waited for any more.
    pub(super) fn told(&mut self, cid: MemberId) {
        if let Some(closing) = &mut self.closing {
            closing.untold.remove(&cid);
            self.end_if_all_are_told();
        }
    }

    fn end_if_all_are_told(&mut self) {
        if self.closing.as_ref().is_some_and(|closing| closing.untold.is_empty()) {
            self.end_closing();
        }
    }

    /// The group has ended here: all have been told, or the time for it is over.
    pub(super) fn end_closing(&mut self) {
        let Some(closing) = self.closing.as_mut().filter(|closing| !closing.ended) else { return };
        closing.ended = true;
        self.timers.set(Timer::Closing, None);
        self.out.event(Event::Ended(Ending::Closed));
    }
}
