//! What a member has of the shared objects: its rights, and the contents of those that it may read.

use alloc::collections::BTreeMap;

use bytes::Bytes;

use super::{Arriving, ObjectView, RightTold};
use crate::identity::{MemberId, Name, Version};
use crate::policy::{MAX_OBJECT_BYTES, MAX_OBJECTS, Right};

/// A member's objects. They live as long as its session does.
#[derive(Debug, Default)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Replicas {
    rights: BTreeMap<Name, (Right, u32)>,
    views: BTreeMap<Name, ObjectView>,
    arriving: Option<Arriving<Coming>>,
}

fingerprint!(Replicas { rights, views, arriving });

/// Which change is coming.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Coming {
    object: Name,
    version: Version,
    by: MemberId,
}

fingerprint!(Coming { object, version, by });

/// The facts of a piece.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// The object.
    pub object: &'a Name,
    /// The number of the change.
    pub version: Version,
    /// Who made it.
    pub by: MemberId,
    /// How long the contents are, in bytes.
    pub size: u32,
    /// Where the piece stands.
    pub offset: u32,
    /// The piece.
    pub bytes: &'a [u8],
}

impl Replicas {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { rights: BTreeMap::new(), views: BTreeMap::new(), arriving: None }
    }

    /// What may be done with an object, as the leader has told.
    pub fn right(&self, object: &Name) -> Right {
        self.rights.get(object).map_or(Right::None, |(right, _)| *right)
    }

    /// The objects that may be read, with the longest contents of each in bytes.
    pub fn rights(&self) -> impl Iterator<Item = (&Name, Right, u32)> {
        self.rights.iter().map(|(object, (right, size))| (object, *right, *size))
    }

    /// An object as it was told last. One that may be read no longer stays as it was then.
    pub fn get(&self, object: &Name) -> Option<&ObjectView> {
        self.views.get(object)
    }

    /// Whether rights may be told so: within the bounds of policies.
    pub fn may_hear(&self, told: &[RightTold]) -> bool {
        let known = |object: &Name| self.rights.contains_key(object);
        let more = told.iter().filter(|(object, right, _)| right.reads() && !known(object)).count();
        let lost = told.iter().filter(|(object, right, _)| !right.reads() && known(object)).count();
        let sized = told.iter().all(|(_, right, size)| !right.reads() || (1..=MAX_OBJECT_BYTES).contains(size));
        // A leader takes away before it gives.
        sized && self.rights.len() + more <= MAX_OBJECTS + lost
    }

    /// Takes rights that [`Self::may_hear`].
    pub fn hear(&mut self, told: impl IntoIterator<Item = RightTold>) {
        for (object, right, size) in told {
            if right.reads() {
                self.rights.insert(object, (right, size));
            } else {
                self.rights.remove(&object);
                self.arriving.take_if(|arriving| arriving.of.object == object);
            }
        }
    }

    /// Whether a piece may come so: of an object that may be read, no longer than that may be, no older than what is here,
    /// and the next of its version or the first of another.
    pub fn may_take(&self, piece: &Piece<'_>) -> bool {
        let Some((_, longest)) = self.rights.get(piece.object) else { return false };
        let here = self.get(piece.object).map_or(Version(0), |view| view.version);
        if piece.size > *longest || piece.version < here || piece.version.0 == 0 {
            return false;
        }
        match &self.arriving {
            Some(arriving) if piece.offset > 0 => {
                let Coming { object, version, by } = &arriving.of;
                (object, *version, *by) == (piece.object, piece.version, piece.by)
                    && arriving.follows(piece.offset, piece.bytes)
            }
            _ => Arriving::new((), piece.size).follows(piece.offset, piece.bytes),
        }
    }

    /// Takes a piece that [`Self::may_take`]. True if the object has changed by it.
    pub fn take(&mut self, piece: &Piece<'_>) -> bool {
        let Piece { object, version, by, size, offset, bytes } = *piece;
        if offset == 0 {
            self.arriving = Some(Arriving::new(Coming { object: object.clone(), version, by }, size));
        }
        let Some(contents) = self.arriving.as_mut().and_then(|arriving| arriving.take(bytes)) else { return false };
        self.arriving = None;
        self.keep(object, ObjectView { version, by, contents });
        true
    }

    fn keep(&mut self, object: &Name, view: ObjectView) {
        if self.views.len() >= MAX_OBJECTS && !self.views.contains_key(object) {
            // What may be read no longer makes room: there are at most as many as that with a right.
            let gone = self.views.keys().find(|kept| !self.rights.contains_key(*kept)).cloned();
            gone.and_then(|gone| self.views.remove(&gone));
        }
        self.views.insert(object.clone(), view);
    }

    /// The bytes of all contents here.
    pub fn bytes(&self) -> usize {
        self.views.values().map(|view| Bytes::len(&view.contents)).sum()
    }
}
