//! A change of a group (I-7): who comes, who goes, and the key that follows from it, computed whole and then made whole.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

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

/// When the next plain rekey comes, and what for. They come no faster than `grace`, so that at most two epochs are held (I-5).
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(crate) struct Rekeys {
    /// Causes of the epoch to come.
    due: Causes,
    /// When it comes.
    at: Option<Instant>,
    /// When the last one was.
    last: Option<Instant>,
}

fingerprint!(Rekeys { due, at, last });

impl Rekeys {
    /// None yet, and none to come.
    pub(crate) const NONE: Self = Self { due: Causes::NONE, at: None, last: None };

    /// A rekey for `cause` comes as soon as it may. Gives when.
    pub(crate) fn plan(&mut self, now: Instant, grace: Duration, cause: Cause) -> Instant {
        self.due = self.due.with(cause);
        let earliest = self.last.map_or(now, |last| last + grace).max(now);
        let at = self.at.map_or(earliest, |at| at.min(earliest));
        self.at = Some(at);
        at
    }

    /// It failed, and is tried again then.
    pub(crate) fn postpone(&mut self, at: Instant) {
        self.at = Some(at);
    }

    /// The key has changed, for everything that was due.
    pub(crate) fn done(&mut self, now: Instant) {
        *self = Self { due: Causes::NONE, at: None, last: Some(now) };
    }

    /// Whether one is to come.
    pub(crate) const fn planned(&self) -> bool {
        self.at.is_some()
    }

    /// Whether one is to come for this cause.
    pub(crate) fn planned_for(&self, cause: Cause) -> bool {
        self.due.contains(cause)
    }

    /// Whether a plain rekey would come too early now.
    pub(crate) fn early(&self, now: Instant, grace: Duration) -> bool {
        self.last.is_some_and(|last| now < last + grace)
    }

    /// The causes of a change: none if it leaves the key as it is. `evicting` are those of removals that change the key,
    /// `rekey` asks for a new one in any case, `joins` says that a newcomer is a cause too.
    pub(crate) fn causes(&self, evicting: impl Iterator<Item = Cause>, rekey: bool, joins: bool) -> Causes {
        let causes = evicting.fold(Causes::NONE, Causes::with);
        if !rekey && causes.is_empty() {
            return causes;
        }
        let causes = self.due.iter().fold(causes, Causes::with);
        if joins { causes.with(Cause::Join) } else { causes }
    }
}

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

/// How a member comes in.
pub(crate) struct Entry {
    /// Whom it replaces.
    pub(crate) removal: Option<Removal>,
    /// The key changes with it.
    pub(crate) rekeys: bool,
    /// The key changes for it, and not yet.
    pub(crate) later: bool,
    /// It waits for that: it would hold a key from before its admission (S7).
    pub(crate) waits: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_micros(10);

    fn at(time: u64) -> Instant {
        Instant::from_micros(time)
    }

    #[test]
    fn plain_rekeys_come_no_faster_than_grace() {
        let mut rekeys = Rekeys::NONE;
        assert!(!rekeys.planned() && !rekeys.early(at(1), GRACE));
        assert_eq!(rekeys.plan(at(1), GRACE, Cause::Join), at(1), "the first comes at once");
        rekeys.done(at(1));
        assert!(!rekeys.planned() && rekeys.early(at(10), GRACE) && !rekeys.early(at(11), GRACE));
        assert_eq!(rekeys.plan(at(4), GRACE, Cause::Leave), at(11));
        assert_eq!(rekeys.plan(at(5), GRACE, Cause::Period), at(11), "one for both");
        assert!(rekeys.planned_for(Cause::Leave) && rekeys.planned_for(Cause::Period));
    }

    #[test]
    fn what_failed_is_tried_again_when_said() {
        let mut rekeys = Rekeys::NONE;
        rekeys.plan(at(1), GRACE, Cause::Command);
        rekeys.postpone(at(30));
        assert_eq!(rekeys.plan(at(2), GRACE, Cause::Command), at(2), "or with the next wish");
        rekeys.postpone(at(30));
        assert_eq!(rekeys.plan(at(40), GRACE, Cause::Command), at(30), "and not put off by it");
    }

    #[test]
    fn a_change_of_the_key_is_for_all_that_was_due() {
        let mut rekeys = Rekeys::NONE;
        rekeys.plan(at(1), GRACE, Cause::Period);
        let none = core::iter::empty;
        assert!(rekeys.causes(none(), false, true).is_empty(), "a join alone leaves the key as it is");
        let all = [Cause::Period, Cause::Eject, Cause::Join].into_iter().fold(Causes::NONE, Causes::with);
        assert_eq!(rekeys.causes(core::iter::once(Cause::Eject), false, true), all);
        assert_eq!(rekeys.causes(none(), true, false), Causes::NONE.with(Cause::Period));
        rekeys.done(at(2));
        assert!(rekeys.causes(none(), false, false).is_empty());
    }
}
