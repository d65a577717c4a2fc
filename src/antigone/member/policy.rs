//! A policy that follows another while the member is in the group: taken by a record, in force from the epoch whose facts
//! name it (RA §4.4).

use super::{Member, Phase};
use crate::endpoint::Instant;
use crate::event::{EndReason, Ending, Event, Shortfall};

impl Member {
    /// The leader goes over to a policy below the own floor: leave, and say why here.
    pub(super) fn refuse_policy(&mut self, now: Instant, shortfall: Shortfall) {
        if let Phase::In(session) = core::mem::replace(&mut self.phase, Phase::Idle) {
            self.part(session, now, EndReason::Policy, Ending::BelowFloor(shortfall));
        }
    }

    /// The policy to come rules from now on. Its keys are about to be installed.
    pub(super) fn rule(&mut self, now: Instant) {
        let Phase::In(session) = &mut self.phase else { return };
        let Some(next) = session.next_policy.take() else { return };
        let (before, version) = (session.station.policy.detection, next.version);
        session.station.rule(*next);
        let detection = session.station.policy.detection;
        if before != detection {
            // The leader counts as lost by the new measure from now on; evidence stays what it was (S8).
            session.watched_since = now;
            session.channel.remember_probes(super::probes_for(detection));
            session.poll_at = detection.map(|detection| now + self.jitter.spread(detection.period, 10, 0));
            session.awaiting = None;
        }
        self.out.event(Event::PolicyChanged { version });
    }
}
