//! Who is in the group: a chain of changes, each with a version and a digest (RA §4.5).
//!
//! `D_0` is empty; `D_v = hash("sodality ra 1 view" ‖ G ‖ D_{v-1} ‖ v ‖ change)`. Members whose digests agree agree on
//! every change since they came, in its order, with its cause and who asked for it (S5, S6, R27).
//!
//! A change is computed first ([`View::prepare`] and its sisters, which change nothing) and committed then
//! ([`View::commit`], which cannot fail).

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::BytesMut;
use thiserror::Error;

use super::checks::{Check, Checks};
use crate::crypto::{Suite, SuiteError};
use crate::error::{Failure, Reason};
use crate::event::{Cause, Event};
use crate::identity::{Instance, MemberId, Name, Version};
use crate::wire::Field;
use crate::wire::field::{Digest, VerifyingKey};
use crate::wire::shared::{Added, Change, Removed};

const LABEL: &[u8] = b"sodality ra 1 view";

/// A member as the view shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// Its public origin key; empty if it signs nothing.
    pub origin_key: VerifyingKey,
}

fingerprint!(Entry { name, origin_key });

/// A change of the view, owned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChangeRecord {
    /// Somebody came.
    Add {
        /// Its number.
        cid: MemberId,
        /// Its name.
        name: Name,
        /// Its public origin key; empty if it signs nothing.
        origin_key: VerifyingKey,
    },
    /// Somebody went.
    Remove {
        /// Its number.
        cid: MemberId,
        /// Why.
        cause: Cause,
        /// Who asked for it.
        by: MemberId,
    },
}

impl ChangeRecord {
    /// The change as it is written into a frame.
    pub fn to_wire(&self) -> Change<'_> {
        match self {
            Self::Add { cid, name, origin_key } => {
                Change::Add(Added { cid: *cid, name: name.by_ref(), origin_key: *origin_key })
            }
            Self::Remove { cid, cause, by } => Change::Remove(Removed { cid: *cid, cause: *cause, by: *by }),
        }
    }

    /// Whom it is about.
    pub fn cid(&self) -> MemberId {
        match self {
            Self::Add { cid, .. } | Self::Remove { cid, .. } => *cid,
        }
    }
}

impl From<Change<'_>> for ChangeRecord {
    fn from(change: Change<'_>) -> Self {
        match change {
            Change::Add(added) => {
                Self::Add { cid: added.cid, name: added.name.to_name(), origin_key: added.origin_key }
            }
            Change::Remove(removed) => Self::Remove { cid: removed.cid, cause: removed.cause, by: removed.by },
        }
    }
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for ChangeRecord {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let mut bytes = BytesMut::new();
        self.to_wire().put(&mut bytes);
        bytes.fingerprint(now, sink);
    }
}

/// A change as it was applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ViewChange {
    /// The version that shows it first.
    pub version: Version,
    /// The name of the member it is about.
    pub name: Name,
    /// The change.
    pub change: ChangeRecord,
}

impl ViewChange {
    /// The event that tells the application.
    pub fn to_event(&self) -> Event {
        let (name, view) = (self.name.clone(), self.version);
        match self.change {
            ChangeRecord::Add { cid, .. } => Event::MemberAdded { cid, name, view },
            ChangeRecord::Remove { cid, cause, by } => Event::MemberRemoved { cid, name, cause, by, view },
        }
    }
}

/// Why changes do not apply. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ViewError {
    /// They start from another version than the one here, or lead to another than announced, or the count is used up.
    #[error("the changes do not start from the version here")]
    Gap,
    /// They lead to another digest than announced.
    #[error("the changes lead to another digest")]
    Digest,
    /// A removal of a member that is not in the view.
    #[error("no such member to remove")]
    Unknown,
    /// An addition of a member that is in the view.
    #[error("a member that is in the view already")]
    Duplicate,
    /// More members than the limit.
    #[error("more members than the limit")]
    Full,
    /// The back end gave an error.
    #[error(transparent)]
    Suite(#[from] SuiteError),
}

impl From<ViewError> for Reason {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Full => Self::Budget,
            ViewError::Suite(_) => Self::Suite,
            ViewError::Gap | ViewError::Digest | ViewError::Unknown | ViewError::Duplicate => Self::Violation,
        }
    }
}

impl ViewError {
    /// What of it is a failure of the surroundings, which may pass.
    pub fn failure(self) -> Option<Failure> {
        matches!(self, Self::Suite(_)).then_some(Failure::Suite)
    }
}

/// A step of the view, computed and not yet taken.
#[must_use = "a step does nothing until it is committed"]
#[derive(Debug)]
pub struct ViewStep {
    base: Version,
    version: Version,
    digest: Digest,
    changes: Vec<ViewChange>,
    /// The changes since `base` are known one by one, so that they may be told to others.
    chained: bool,
}

impl ViewStep {
    /// The version after it.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The digest after it.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What changes, in order: an event each.
    pub fn changes(&self) -> &[ViewChange] {
        &self.changes
    }
}

/// The view of one group instance.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub struct View {
    version: Version,
    digest: Digest,
    members: BTreeMap<MemberId, Entry>,
    /// The same, by name.
    names: BTreeSet<(Name, MemberId)>,
    /// The last changes, the newest last.
    history: VecDeque<ChangeRecord>,
    most_members: usize,
    most_history: usize,
    /// The roster of this version, once somebody asked for it.
    roster: Option<Arc<[ChangeRecord]>>,
    checks: Checks,
}

fingerprint!(View { version, digest, members, history, most_members, most_history } skip { names, roster, checks });

impl View {
    /// No view yet: version 0, the empty digest. It will hold at most `members` entries and remember `history` changes
    /// (a leader: [`Limits::view_history`](super::Limits::view_history); a member: 0).
    pub fn new(members: usize, history: usize) -> Self {
        Self {
            version: Version(0),
            digest: Digest::NONE,
            members: BTreeMap::new(),
            names: BTreeSet::new(),
            history: VecDeque::new(),
            most_members: members,
            most_history: history,
            roster: None,
            checks: Checks::ALL,
        }
    }

    /// With these checks: all of them, but in a simulation.
    #[must_use]
    pub fn with_checks(self, checks: Checks) -> Self {
        Self { checks, ..self }
    }

    /// The number of changes so far; 0 for none.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The digest of all changes so far; empty for none.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The members by number, the leader (0) among them.
    pub fn members(&self) -> &BTreeMap<MemberId, Entry> {
        &self.members
    }

    /// The member of that number.
    pub fn get(&self, cid: MemberId) -> Option<&Entry> {
        self.members.get(&cid)
    }

    /// Whether that number is in the view.
    pub fn contains(&self, cid: MemberId) -> bool {
        self.members.contains_key(&cid)
    }

    /// The member of that name; the newest, while a takeover is under way.
    pub fn find_name(&self, name: &Name) -> Option<MemberId> {
        let range = (name.clone(), MemberId(0))..=(name.clone(), MemberId(u64::MAX));
        self.names.range(range).next_back().map(|(_, cid)| *cid)
    }

    /// Computes the step that `changes` make, in order, a version each.
    ///
    /// # Errors
    /// [`ViewError`]: one of them does not apply, or the suite failed.
    pub fn prepare(
        &self,
        suite: &dyn Suite,
        group: &Instance,
        changes: impl IntoIterator<Item = ChangeRecord>,
    ) -> Result<ViewStep, ViewError> {
        let mut step = ViewStep {
            base: self.version,
            version: self.version,
            digest: self.digest,
            changes: Vec::new(),
            chained: true,
        };
        let mut shadow = Shadow { view: self, changed: BTreeMap::new(), count: self.members.len() };
        for change in changes {
            let name = shadow.apply(&change)?;
            step.version = step.version.next().ok_or(ViewError::Gap)?;
            step.digest = chain(suite, group, &step.digest, step.version, &change)?;
            step.changes.push(ViewChange { version: step.version, name, change });
        }
        Ok(step)
    }

    /// Computes the step of a delta: it must start from the version here and lead to `to` with `digest` (RA §4.5).
    ///
    /// # Errors
    /// [`ViewError`]; [`ViewError::Gap`] asks for the missing changes, or for the roster.
    pub fn prepare_delta(
        &self,
        suite: &dyn Suite,
        group: &Instance,
        from: Version,
        to: Version,
        digest: &Digest,
        changes: impl IntoIterator<Item = ChangeRecord>,
    ) -> Result<ViewStep, ViewError> {
        if from != self.version {
            return Err(ViewError::Gap);
        }
        let step = self.prepare(suite, group, changes)?;
        if step.version != to {
            return Err(ViewError::Gap);
        }
        if step.digest != *digest && self.checks.on(Check::ViewDigest) {
            return Err(ViewError::Digest);
        }
        Ok(step)
    }

    /// Computes the step to a whole roster: `entries` are all additions; version and digest are taken on the leader's
    /// word, since a newcomer does not know the chain behind them (RA §10).
    ///
    /// Who was here and is not on the roster went for a cause that is not known any more ([`Cause::Missed`]).
    ///
    /// # Errors
    /// [`ViewError::Gap`] if the version is not newer, [`ViewError::Unknown`] if an entry is a removal,
    /// [`ViewError::Duplicate`], [`ViewError::Full`].
    pub fn prepare_full(
        &self,
        version: Version,
        digest: Digest,
        entries: impl IntoIterator<Item = ChangeRecord>,
    ) -> Result<ViewStep, ViewError> {
        if version <= self.version {
            return Err(ViewError::Gap);
        }
        let mut listed = BTreeMap::new();
        for entry in entries {
            if matches!(entry, ChangeRecord::Remove { .. }) {
                return Err(ViewError::Unknown);
            }
            if listed.insert(entry.cid(), entry).is_some() {
                return Err(ViewError::Duplicate);
            }
            if listed.len() > self.most_members {
                return Err(ViewError::Full);
            }
        }
        let gone = self.members.iter().filter(|(cid, _)| !listed.contains_key(cid)).map(|(cid, entry)| {
            let change = ChangeRecord::Remove { cid: *cid, cause: Cause::Missed, by: MemberId::LEADER };
            ViewChange { version, name: entry.name.clone(), change }
        });
        let mut changes: Vec<_> = gone.collect();
        for (cid, change) in listed {
            let ChangeRecord::Add { name, origin_key, .. } = &change else { continue };
            let name = name.clone();
            match self.members.get(&cid) {
                Some(entry) if entry.name == name && entry.origin_key == *origin_key => {}
                // A number stands for one name and one key as long as the group lives (I-1).
                Some(_) => return Err(ViewError::Duplicate),
                None => changes.push(ViewChange { version, name, change }),
            }
        }
        Ok(ViewStep { base: self.version, version, digest, changes, chained: false })
    }

    /// Takes a step that was computed from this version; one that was computed from another is not taken. Gives what
    /// changed, in order.
    pub fn commit(&mut self, step: ViewStep) -> Vec<ViewChange> {
        debug_assert!(step.base == self.version, "a step from another version");
        if step.base != self.version {
            return Vec::new();
        }
        if step.version != self.version {
            self.roster = None;
        }
        self.version = step.version;
        self.digest = step.digest;
        if !step.chained {
            self.history.clear();
        }
        for changed in &step.changes {
            match &changed.change {
                ChangeRecord::Add { cid, name, origin_key } => {
                    self.members.insert(*cid, Entry { name: name.clone(), origin_key: *origin_key });
                    self.names.insert((name.clone(), *cid));
                }
                ChangeRecord::Remove { cid, .. } => {
                    self.members.remove(cid);
                    self.names.remove(&(changed.name.clone(), *cid));
                }
            }
            if step.chained && self.most_history > 0 {
                if self.history.len() >= self.most_history {
                    self.history.pop_front();
                }
                self.history.push_back(changed.change.clone());
            }
        }
        step.changes
    }

    /// Computes and takes the step to a whole roster: see [`Self::prepare_full`].
    ///
    /// # Errors
    /// As [`Self::prepare_full`]; nothing has changed then.
    pub fn install_full(
        &mut self,
        version: Version,
        digest: Digest,
        entries: impl IntoIterator<Item = ChangeRecord>,
    ) -> Result<Vec<ViewChange>, ViewError> {
        let step = self.prepare_full(version, digest, entries)?;
        Ok(self.commit(step))
    }

    /// The changes after `version`, oldest first, or `None` if they are not remembered or `version` is not one of ours:
    /// then the roster serves.
    pub fn since(&self, version: Version) -> Option<Vec<ChangeRecord>> {
        let missing = usize::try_from(self.version.0.checked_sub(version.0)?).ok()?;
        let skip = self.history.len().checked_sub(missing)?;
        Some(self.history.iter().skip(skip).cloned().collect())
    }

    /// The whole roster of this version as additions by rising number: one copy, shared by all who page through it.
    pub fn roster(&mut self) -> Arc<[ChangeRecord]> {
        let members = &self.members;
        let build = || {
            let add = |(cid, entry): (&MemberId, &Entry)| ChangeRecord::Add {
                cid: *cid,
                name: entry.name.clone(),
                origin_key: entry.origin_key,
            };
            members.iter().map(add).collect()
        };
        self.roster.get_or_insert_with(build).clone()
    }
}

fn chain(
    suite: &dyn Suite,
    group: &Instance,
    before: &Digest,
    version: Version,
    change: &ChangeRecord,
) -> Result<Digest, SuiteError> {
    let mut encoded = BytesMut::new();
    change.to_wire().put(&mut encoded);
    suite.hash(&[LABEL, &group.0, before.as_bytes(), &version.0.to_be_bytes(), &encoded])
}

/// The members as they would be, without a copy of them all.
struct Shadow<'a> {
    view: &'a View,
    /// What differs from the view: the name of who came, `None` for who went.
    changed: BTreeMap<MemberId, Option<Name>>,
    count: usize,
}

impl Shadow<'_> {
    /// Applies a change and gives the name of the member it is about.
    fn apply(&mut self, change: &ChangeRecord) -> Result<Name, ViewError> {
        let cid = change.cid();
        let here = match self.changed.get(&cid) {
            Some(name) => name.clone(),
            None => self.view.get(cid).map(|entry| entry.name.clone()),
        };
        match (change, here) {
            (ChangeRecord::Add { .. }, Some(_)) => Err(ViewError::Duplicate),
            (ChangeRecord::Add { .. }, None) if self.count >= self.view.most_members => Err(ViewError::Full),
            (ChangeRecord::Add { name, .. }, None) => {
                self.count += 1;
                self.changed.insert(cid, Some(name.clone()));
                Ok(name.clone())
            }
            (ChangeRecord::Remove { .. }, None) => Err(ViewError::Unknown),
            (ChangeRecord::Remove { .. }, Some(name)) => {
                self.count -= 1;
                self.changed.insert(cid, None);
                Ok(name)
            }
        }
    }
}

#[cfg(test)]
#[cfg(feature = "rustcrypto")]
#[path = "view_tests.rs"]
mod tests;
