//! How a member's station follows its leader's: views by pages or with a key, policies by announcement. All of it computes and
//! changes nothing.

use alloc::vec::Vec;

use super::pages::{Assembly, Paged};
use super::station::{Ruling, Station};
use super::view::{ChangeRecord, ViewError, ViewStep};
use crate::error::Reason;
use crate::event::Shortfall;
use crate::identity::{MemberId, Version};
use crate::policy::{Policy, Views};
use crate::wire::antigone::{Common, Delta, PolicyChange, ViewPage};
use crate::wire::field::{Digest, VerifyingKey};

/// What a page does.
pub(crate) enum Taken {
    /// It is kept for the pages to come.
    First(Assembly),
    /// So are its changes.
    Next(Vec<ChangeRecord>),
    /// It was the last: the step of the view, if there is one to take.
    Last(Option<ViewStep>),
}

/// Takes a page of the view in, changing nothing: `so_far` are those before it, `leader_key` is what the leader's own entry
/// must hold, `most` bounds the changes.
///
/// # Errors
/// [`Reason::Violation`]: the leader breaks the protocol. [`Reason::Suite`].
pub(crate) fn take_page(
    station: &Station,
    leader_key: VerifyingKey,
    so_far: Option<&Assembly>,
    page: &ViewPage<'_>,
    most: usize,
) -> Result<Taken, Reason> {
    let view = &station.view;
    let whole = match Assembly::add(so_far, page, most) {
        None => return Err(Reason::Violation),
        Some(Paged::First(first)) => return Ok(Taken::First(first)),
        Some(Paged::Next(changes)) => return Ok(Taken::Next(changes)),
        Some(Paged::Whole(whole)) => whole,
    };
    // The leader's own entry must hold the key that the offer named.
    let forged = |change: &ChangeRecord| matches!(change, ChangeRecord::Add { cid: MemberId::LEADER, origin_key, .. } if *origin_key != leader_key);
    if whole.changes.iter().any(forged) {
        return Err(Reason::Violation);
    }
    // A delta or a newer page set may have brought it here meanwhile.
    if whole.to <= view.version() {
        return Ok(Taken::Last(None));
    }
    let step = if whole.from == Version(0) {
        view.prepare_full(whole.to, whole.digest, whole.changes)
    } else {
        let (from, to) = (whole.from, whole.to);
        match view.prepare_delta(&*station.suite, &station.group, from, to, &whole.digest, whole.changes) {
            // It starts from a version that was here when it was sent: the next status shows where this side is.
            Err(ViewError::Gap) => return Ok(Taken::Last(None)),
            step => step,
        }
    };
    Ok(Taken::Last(Some(step.map_err(Reason::from)?)))
}

/// Why a view does not follow the facts of an epoch.
pub(crate) enum Follow {
    /// The changes are not all here.
    Missing,
    /// The back end failed.
    Suite,
}

/// The step that brings the view to where the facts of an epoch are, if there is one to take.
pub(crate) fn follow_view(station: &Station, facts: &Common<'_>) -> Result<Option<ViewStep>, Follow> {
    let here: (Version, Digest) = (station.view.version(), station.view.digest());
    if station.policy.views == Views::Hidden || here == (facts.view, facts.view_digest) {
        return Ok(None);
    }
    let Delta::Changes(delta) = facts.delta else { return Err(Follow::Missing) };
    let changes = delta.changes.iter().map(ChangeRecord::from);
    let step = station.view.prepare_delta(
        &*station.suite,
        &station.group,
        delta.from,
        facts.view,
        &facts.view_digest,
        changes,
    );
    match step {
        Ok(step) => Ok(Some(step)),
        Err(ViewError::Suite(_)) => Err(Follow::Suite),
        Err(_) => Err(Follow::Missing),
    }
}

/// What a policy record comes to.
pub(crate) enum Announced {
    /// It is kept until an epoch names it.
    Kept(alloc::boxed::Box<Ruling>),
    /// It is below the own floor.
    Below(Shortfall),
}

/// Takes a policy record apart, changing nothing: `next` is one to come that is known already, `admits` the own floor. Versions rise, and what is fixed in a running group stays as it is.
///
/// # Errors
/// [`Reason::Violation`], [`Reason::Suite`].
pub(crate) fn take_policy(
    station: &Station,
    next: Option<&Ruling>,
    change: &PolicyChange<'_>,
    admits: impl FnOnce(&Policy) -> Result<(), Shortfall>,
) -> Result<Announced, Reason> {
    let newest = next.map_or(station.policy_version, |next| next.version);
    let policy = Policy::decode(change.policy.0).map_err(|_| Reason::Violation)?;
    if change.version <= newest || !station.can_follow(&policy) {
        return Err(Reason::Violation);
    }
    if let Err(shortfall) = admits(&policy) {
        return Ok(Announced::Below(shortfall));
    }
    Ok(Announced::Kept(Ruling::new(&*station.suite, policy, change.version)?.into()))
}

/// The policy that the facts of an epoch name, if its text is here: the one in force, or the one to come.
pub(crate) enum Named {
    /// The one in force.
    InForce,
    /// The one to come.
    Next,
    /// Not here.
    Missing,
}

impl Station {
    /// Which policy an epoch is under; `next` is one to come.
    pub(crate) fn named_policy(&self, next: Option<&Ruling>, facts: &Common<'_>) -> Named {
        let named = (facts.policy, facts.policy_digest);
        match next {
            Some(next) if named == (next.version, next.digest) => Named::Next,
            _ if named == (self.policy_version, self.policy_digest) => Named::InForce,
            _ => Named::Missing,
        }
    }
}
