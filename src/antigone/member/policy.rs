//! A policy that follows another while the member is in the group: taken by a record, in force from the epoch whose facts
//! name it (RA §4.4).

use super::session::Session;
use super::{Me, Member, Phase};
use crate::endpoint::Instant;
use crate::error::Reason;
use crate::event::{EndReason, Ending, Event, Shortfall};
use crate::group::station::Ruling;
use crate::policy::Policy;
use crate::wire::antigone::{Common, PolicyChange};

/// What a policy record comes to.
pub(super) enum Announced {
    /// It is kept until an epoch names it.
    Kept(alloc::boxed::Box<Ruling>),
    /// It is below the own floor.
    Below(Shortfall),
}

/// Takes a policy record apart, changing nothing. Versions rise, and what is fixed in a running group stays as it is.
///
/// # Errors
/// [`Reason::Violation`], [`Reason::Suite`].
pub(super) fn take_policy(me: &Me, session: &Session, change: &PolicyChange<'_>) -> Result<Announced, Reason> {
    let station = &session.station;
    let newest = session.next_policy.as_ref().map_or(station.policy_version, |next| next.version);
    let policy = Policy::decode(change.policy.0).map_err(|_| Reason::Violation)?;
    if change.version <= newest || !station.can_follow(&policy) {
        return Err(Reason::Violation);
    }
    if let Err(shortfall) = me.admits(&policy) {
        return Ok(Announced::Below(shortfall));
    }
    Ok(Announced::Kept(Ruling::new(&*station.suite, policy, change.version)?.into()))
}

/// The policy that the facts of an epoch name, if its text is here: the one in force, or the one to come.
pub(super) enum Named {
    /// The one in force.
    InForce,
    /// The one to come.
    Next,
    /// Not here.
    Missing,
}

impl Session {
    /// Which policy an epoch is under.
    pub(super) fn named_policy(&self, facts: &Common<'_>) -> Named {
        let named = (facts.policy, facts.policy_digest);
        match &self.next_policy {
            Some(next) if named == (next.version, next.digest) => Named::Next,
            _ if named == (self.station.policy_version, self.station.policy_digest) => Named::InForce,
            _ => Named::Missing,
        }
    }
}

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
