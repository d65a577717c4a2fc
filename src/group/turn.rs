//! A change of a group (I-7): who comes, who goes, and the key that follows from it, computed whole and then made whole.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::BytesMut;

use super::issue::{Facts, Issue};
use super::keyring::EpochKeys;
use super::pages::Pages;
use super::station::{Ruling, Station};
use super::view::{ChangeRecord, View, ViewStep};
use crate::endpoint::{Entropy, Instant};
use crate::error::{Failure, Reason};
use crate::event::{Cause, Causes};
use crate::identity::{Epoch, MemberId, Version};
use crate::policy::Views;
use crate::wire::Field;
use crate::wire::antigone::{Change, Delta, DeltaChanges};
use crate::wire::field::{Digest, List};

/// How many bytes of changes `common` has room for.
pub(crate) const DELTA_BUDGET: usize = 360;

/// Draws the key of an epoch, with the facts that `step` leads to, under the policy `next` if one is to come.
pub(crate) fn issue(
    station: &Station,
    next: Option<&Ruling>,
    rng: &mut dyn Entropy,
    step: &ViewStep,
    epoch: Epoch,
    floor: Epoch,
    causes: Causes,
) -> Result<Issue, Failure> {
    let hidden = station.policy.views == Views::Hidden;
    let mut scratch = BytesMut::with_capacity(DELTA_BUDGET);
    let mut changes: Vec<Change<'_>> = Vec::new();
    if !hidden {
        for change in step.changes() {
            let change = change.change.to_wire();
            change.put(&mut scratch);
            if scratch.len() > DELTA_BUDGET {
                break;
            }
            changes.push(change);
        }
    }
    let delta = if hidden {
        Delta::Hidden
    } else if changes.len() < step.changes().len() {
        Delta::Fetch
    } else {
        Delta::Changes(DeltaChanges { from: station.view.version(), changes: List::of(&changes) })
    };
    let (view, view_digest) = if hidden { (Version(0), Digest::NONE) } else { (step.version(), step.digest()) };
    let ruling = (station.policy_version, station.policy_digest);
    let (policy, policy_digest) = next.map_or(ruling, |next| (next.version, next.digest));
    let facts = Facts { epoch, floor, causes, view, view_digest, policy, policy_digest, delta };
    Issue::draw(&*station.suite, rng, station.group, facts)
}

/// The pages that bring somebody from version `from` to the view of now.
pub(crate) fn pages(view: &mut View, from: Version) -> Option<Pages> {
    let (to, digest) = (view.version(), view.digest());
    if from >= to {
        return None;
    }
    if from.0 > 0
        && let Some(changes) = view.since(from)
    {
        return Some(Pages::new(changes.into(), from, to, digest));
    }
    Some(Pages::new(Arc::clone(&view.roster()), Version(0), to, digest))
}

/// Who goes, why, and who asked for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Removal {
    /// Who goes.
    pub(crate) cid: MemberId,
    /// Why.
    pub(crate) cause: Cause,
    /// Who asked for it.
    pub(crate) by: MemberId,
}

/// A change of the group, computed and not yet made.
pub(crate) struct Turn {
    /// What it does to the view.
    pub(crate) step: ViewStep,
    /// The new epoch, if there is one.
    pub(crate) epoch: Option<(Issue, EpochKeys)>,
}

/// What is to change.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// Who comes.
    pub(crate) newcomers: Vec<ChangeRecord>,
    /// Who goes.
    pub(crate) removals: &'a [Removal],
    /// The causes of a new epoch; none: the key stays.
    pub(crate) causes: Causes,
    /// The policy that rules from the new epoch on, if another does.
    pub(crate) next: Option<&'a Ruling>,
}

impl Turn {
    /// Computes a change from the epoch `issue` of now. Nothing has changed yet.
    ///
    /// # Errors
    /// [`Reason::Budget`]: epochs are used up, or the view is full. [`Reason::Entropy`], [`Reason::Suite`].
    pub(crate) fn compute(
        station: &Station,
        issue: &Issue,
        rng: &mut dyn Entropy,
        wanted: Wanted<'_>,
    ) -> Result<Self, Reason> {
        let Wanted { newcomers, removals, causes, next } = wanted;
        let seen = removals.iter().filter(|removal| station.view.contains(removal.cid));
        let gone = seen.map(|Removal { cid, cause, by }| ChangeRecord::Remove { cid: *cid, cause: *cause, by: *by });
        let changes = gone.chain(newcomers);
        let step = station.view.prepare(&*station.suite, &station.group, changes).map_err(Reason::from)?;
        if causes.is_empty() {
            return Ok(Self { step, epoch: None });
        }
        let epoch = issue.epoch().next().ok_or(Reason::Budget)?;
        let floor = if causes.evict() { epoch } else { issue.floor() };
        let issue = self::issue(station, next, rng, &step, epoch, floor, causes)?;
        let policy = next.map_or(&station.policy, |next| &next.policy);
        let keys = station.prepare(policy, epoch, issue.base().clone(), Instant::from_micros(u64::MAX))?;
        Ok(Self { step, epoch: Some((issue, keys)) })
    }
}
