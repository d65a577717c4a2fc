//! The leader's store: the newest contents of each object, and the last changes.

use alloc::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::ObjectView;
use crate::event::ObjectRefusal;
use crate::identity::{MemberId, Name, Version};
use crate::policy::{Objects, Right};

/// How much of the past a store remembers, for readers that keep up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreLimits {
    /// The most changes in the log.
    pub changes: usize,
    /// The most bytes of contents in the log. Contents that are the newest are counted too.
    pub bytes: usize,
}

/// All objects of a group.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Store {
    limits: StoreLimits,
    objects: BTreeMap<Name, ObjectView>,
    /// The last changes: those of the versions after [`Self::forgotten`], without a gap.
    log: VecDeque<(Name, ObjectView)>,
    log_bytes: usize,
    last: Version,
}

fingerprint!(Store { objects, log, last } skip { limits, log_bytes });

/// A change that may be made.
#[derive(Debug)]
#[must_use = "a step does nothing until it is committed"]
pub struct PutStep {
    object: Name,
    view: ObjectView,
}

impl Store {
    /// Without contents.
    pub const fn new(limits: StoreLimits) -> Self {
        Self { limits, objects: BTreeMap::new(), log: VecDeque::new(), log_bytes: 0, last: Version(0) }
    }

    /// Whether who has `right` may put `length` bytes in the place of version `expected` of `object`; 0 is "no contents
    /// yet". What it answers may change until the contents are here: [`Self::prepare`] asks again.
    ///
    /// # Errors
    /// [`ObjectRefusal`], but for [`ObjectRefusal::Busy`].
    pub fn permits(
        &self,
        rules: &Objects,
        right: Right,
        object: &Name,
        expected: Option<Version>,
        length: u64,
    ) -> Result<(), ObjectRefusal> {
        let rule = rules.get(object).ok_or(ObjectRefusal::NoSuchObject)?;
        if !right.changes() {
            return Err(ObjectRefusal::NotAllowed);
        }
        if length > u64::from(rule.size) {
            return Err(ObjectRefusal::TooLong);
        }
        if expected.is_some_and(|expected| expected != self.version(object)) {
            return Err(ObjectRefusal::Conflict);
        }
        Ok(())
    }

    /// The change of `object` to `contents` by `by`.
    ///
    /// # Errors
    /// As [`Self::permits`]; [`ObjectRefusal::Busy`] if versions are used up (R16).
    pub fn prepare(
        &self,
        rules: &Objects,
        (by, right): (MemberId, Right),
        object: Name,
        expected: Option<Version>,
        contents: Bytes,
    ) -> Result<PutStep, ObjectRefusal> {
        self.permits(rules, right, &object, expected, contents.len() as u64)?;
        let version = self.last.next().ok_or(ObjectRefusal::Busy)?;
        Ok(PutStep { object, view: ObjectView { version, by, contents } })
    }

    /// Makes a change. `step` was prepared after the last one.
    pub fn commit(&mut self, step: PutStep) -> Version {
        let PutStep { object, view } = step;
        let version = view.version;
        self.last = version;
        self.log_bytes += view.contents.len();
        self.objects.insert(object.clone(), view.clone());
        self.log.push_back((object, view));
        while self.log.len() > self.limits.changes || self.log_bytes > self.limits.bytes {
            let Some((_, gone)) = self.log.pop_front() else { break };
            self.log_bytes -= gone.contents.len();
        }
        version
    }

    /// Other rules are in force: objects that they do not name, or whose contents they find too long, are no more. The log
    /// ends, so that nobody who has just got a right reads from it what was overwritten before.
    pub fn obey(&mut self, rules: &Objects) {
        let keeps = |object: &Name, view: &ObjectView| {
            rules.get(object).is_some_and(|rule| view.contents.len() as u64 <= u64::from(rule.size))
        };
        self.objects.retain(|object, view| keeps(object, view));
        self.log.clear();
        self.log_bytes = 0;
    }

    /// An object, if it has contents.
    pub fn get(&self, object: &Name) -> Option<&ObjectView> {
        self.objects.get(object)
    }

    /// The version of an object; 0 if it has no contents.
    pub fn version(&self, object: &Name) -> Version {
        self.get(object).map_or(Version(0), |view| view.version)
    }

    /// The number of the last change.
    pub fn last(&self) -> Version {
        self.last
    }

    /// The last change that is not in the log.
    pub(super) fn forgotten(&self) -> Version {
        Version(self.last.0 - self.log.len() as u64)
    }

    /// The contents of an object at one version, while they are kept.
    pub(super) fn find(&self, object: &Name, version: Version) -> Option<&ObjectView> {
        let newest = self.get(object).filter(|view| view.version == version);
        newest.or_else(|| {
            let at = version.0.checked_sub(self.forgotten().0 + 1)?;
            self.log.get(usize::try_from(at).ok()?).filter(|(of, _)| of == object).map(|(_, view)| view)
        })
    }

    /// The changes in the log after version `seen`.
    pub(super) fn changes_after(&self, seen: Version) -> impl Iterator<Item = (&Name, &ObjectView)> {
        let skip = usize::try_from(seen.0.saturating_sub(self.forgotten().0)).unwrap_or(usize::MAX);
        self.log.iter().skip(skip).map(|(object, view)| (object, view))
    }

    /// The newest of each object.
    pub(super) fn newest(&self) -> impl Iterator<Item = (&Name, &ObjectView)> {
        self.objects.iter()
    }
}
