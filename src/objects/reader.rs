//! What a leader keeps for each member: which rights and which versions it has been told, and what comes next.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use super::{ObjectView, Store};
use crate::identity::{MemberId, Name, Version};
use crate::policy::{Objects, Right, rights_of};

/// A right as it is told: the object, what may be done, and how long its contents may be, in bytes.
pub type RightTold = (Name, Right, u32);

/// One member as a reader.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Reader {
    name: Name,
    /// Up to here the newest contents are told, and changes only after it.
    base: Version,
    /// What it may read of the changes up to here has been told, or is owed.
    seen: Version,
    /// Objects of versions up to `seen` that it may read only since then.
    owed: BTreeSet<Name>,
    /// The rights that it knows of.
    rights: BTreeMap<Name, (Right, u32)>,
    /// What is told in pieces.
    telling: Option<Place>,
}

fingerprint!(Reader { name, base, seen, owed, rights, telling });

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Right {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        (*self as u8).fingerprint(now, sink);
    }
}

/// A place in the contents of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    object: Name,
    version: Version,
    offset: u32,
}

fingerprint!(Place { object, version, offset });

/// What a member is told next. Nothing of it is committed before the member has acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// Rights that are other than it knows.
    Rights(Vec<RightTold>),
    /// A piece of the contents of an object.
    Piece {
        /// The object.
        object: Name,
        /// The number of the change.
        version: Version,
        /// Who made it.
        by: MemberId,
        /// How long the contents are, in bytes.
        size: u32,
        /// Where the piece stands.
        offset: u32,
        /// The piece.
        bytes: Bytes,
    },
}

impl Reader {
    /// A member of this name, which comes now.
    pub fn new(name: Name, store: &Store) -> Self {
        Self {
            name,
            base: store.last(),
            seen: Version(0),
            owed: BTreeSet::new(),
            rights: BTreeMap::new(),
            telling: None,
        }
    }

    /// What it may do with an object.
    pub fn right(&self, rules: &Objects, object: &Name) -> Right {
        rules.right(object, &self.name)
    }

    /// Other rules are in force; `before` are those that were. What it may read only now, it is owed.
    pub fn obey(&mut self, store: &Store, before: &Objects, rules: &Objects) {
        for (object, view) in store.newest() {
            let (was, is) = (before.right(object, &self.name).reads(), rules.right(object, &self.name).reads());
            // A later version than what has been, or is being, told comes in its turn.
            let passed = self.telling.as_ref().map_or(self.seen, |place| self.seen.max(place.version));
            if is && !was && view.version <= passed {
                self.owed.insert(object.clone());
            }
        }
        // Should it get the right back, it begins anew: it has dropped its pieces with the right.
        self.telling.take_if(|place| !rules.right(&place.object, &self.name).reads());
        self.owed.retain(|object| rules.right(object, &self.name).reads() && store.get(object).is_some());
    }

    /// What it is to be told next, if anything: at most `room` bytes of names or of contents, but one right at least.
    pub fn next(&self, store: &Store, rules: &Objects, room: usize) -> Option<Say> {
        let rights = self.rights_to_tell(rules, room);
        if !rights.is_empty() {
            return Some(Say::Rights(rights));
        }
        let Place { object, version, offset } = self.place(store, rules)?;
        let ObjectView { version, by, contents } = store.find(&object, version)?.clone();
        let from = (offset as usize).min(contents.len());
        let bytes = contents.slice(from..contents.len().min(from.saturating_add(room)));
        let size = u32::try_from(contents.len()).unwrap_or(u32::MAX);
        Some(Say::Piece { object, version, by, size, offset, bytes })
    }

    fn rights_to_tell(&self, rules: &Objects, room: usize) -> Vec<RightTold> {
        let news = rights_of(rules, &self.name)
            .filter(|(object, right, size)| self.rights.get(*object) != Some(&(*right, *size)))
            .map(|(object, right, size)| (object.clone(), right, size));
        let lost = self.rights.keys().filter(|object| !rules.right(object, &self.name).reads());
        let mut left = room;
        // What is taken away first: nobody is to count on it.
        let all = lost.map(|object| (object.clone(), Right::None, 0)).chain(news);
        let fits = |(at, (object, ..)): &(usize, RightTold)| {
            let length = object.as_str().len() + 8;
            let fits = *at == 0 || length <= left;
            left = left.saturating_sub(length);
            fits
        };
        all.take(crate::policy::MAX_OBJECTS).enumerate().take_while(fits).map(|(_, told)| told).collect()
    }

    /// Which piece comes next.
    fn place(&self, store: &Store, rules: &Objects) -> Option<Place> {
        let goes_on = |place: &&Place| {
            rules.right(&place.object, &self.name).reads() && store.find(&place.object, place.version).is_some()
        };
        if let Some(place) = self.telling.as_ref().filter(goes_on) {
            return Some(place.clone());
        }
        let start =
            |(object, view): (&Name, &ObjectView)| Place { object: object.clone(), version: view.version, offset: 0 };
        let readable = |(object, _): &(&Name, &ObjectView)| rules.right(object, &self.name).reads();
        let owed = self.owed.iter().filter_map(|object| Some((object, store.get(object)?)));
        let owed = owed.filter(|(_, view)| view.version <= self.seen).find(readable);
        if let Some(owed) = owed {
            return Some(start(owed));
        }
        // The newest of each up to where the log, and what it has been here for, begins; after that each change.
        let base = self.base.max(store.forgotten());
        let lacks = store.newest().filter(|(_, view)| view.version > self.seen && view.version <= base);
        let oldest = lacks.filter(readable).min_by_key(|(_, view)| view.version);
        oldest.or_else(|| store.changes_after(self.seen.max(base)).find(readable)).map(start)
    }

    /// It has acknowledged `said`. True if that was all of a change.
    pub fn told(&mut self, said: Say) -> bool {
        match said {
            Say::Rights(rights) => {
                for (object, right, size) in rights {
                    if right.reads() {
                        self.rights.insert(object, (right, size));
                    } else {
                        self.rights.remove(&object);
                    }
                }
                false
            }
            Say::Piece { object, version, size, offset, bytes, .. } => {
                let offset = offset.saturating_add(bytes.len() as u32);
                if offset < size {
                    self.telling = Some(Place { object, version, offset });
                    return false;
                }
                self.telling = None;
                self.owed.remove(&object);
                self.seen = self.seen.max(version);
                true
            }
        }
    }
}
