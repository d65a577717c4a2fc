//! What leader and members say about shared objects, inside whatever brings it: one form for what the leader tells, one for
//! what a member asks (enclaves §4, shared objects).

use crate::event::ObjectRefusal;
use crate::identity::{MemberId, NameRef, Version};
use crate::policy::{MAX_OBJECTS, Right};
use crate::wire::field::{List, Payload};

/// Longest piece of contents, in bytes: what the longest frame carries.
pub const MAX_PIECE: usize = 1 << 20;
/// What a frame needs besides the piece of contents that it carries, rounded up, in bytes.
pub const PIECE_OVERHEAD: usize = 640;

choice! {
    /// What the leader tells a member about shared objects.
    pub enum ObjectNews<'a> {
        /// Rights of this member that are other than it knows.
        0 = Rights(ObjectRights<'a>),
        /// A piece of the contents of an object.
        1 = Piece(ObjectPiece<'a>),
        /// What became of a change that this member asked for.
        2 = Answer(PutAnswer),
    }
}

structure! {
    /// Rights of one member.
    pub struct ObjectRights<'a> {
        /// The objects.
        rights: List<'a, ObjectRight<'a>, MAX_OBJECTS>,
    }
}

structure! {
    /// What a member may do with one object.
    pub struct ObjectRight<'a> {
        /// The object.
        object: NameRef<'a>,
        /// What may be done.
        right: Right,
        /// The longest contents, in bytes; 0 where nothing may be done.
        size: u32,
    }
}

structure! {
    /// A piece of one version of an object. Pieces of a version come in order, without a gap.
    pub struct ObjectPiece<'a> {
        /// The object.
        object: NameRef<'a>,
        /// The number of the change, in the order of all changes of all objects.
        version: Version,
        /// Who made it.
        by: MemberId,
        /// How long the contents are, in bytes.
        size: u32,
        /// Where the piece stands. 0: it is the first, and what was begun before is void.
        offset: u32,
        /// The piece.
        bytes: Payload<'a, MAX_PIECE>,
    }
}

structure! {
    /// A piece of contents that a member wants to put into an object, in the place of what is there.
    pub struct PutPiece<'a> {
        /// The number of the change, as the member counts those that it asks for.
        number: u64,
        /// The object.
        object: NameRef<'a>,
        /// Which version is to be replaced.
        expected: Expected,
        /// How long the contents are, in bytes.
        size: u32,
        /// Where the piece stands. 0: it is the first, and what was begun before is void.
        offset: u32,
        /// The piece.
        bytes: Payload<'a, MAX_PIECE>,
    }
}

choice! {
    /// Which version a change replaces.
    pub enum Expected {
        /// Whatever is there.
        0 = Any,
        /// This one, or it is refused as a conflict. 0: there are no contents yet.
        1 = Exactly(Version),
    }
}

structure! {
    /// What became of a change.
    pub struct PutAnswer {
        /// The number of the change, as the member counts.
        number: u64,
        /// The answer.
        verdict: PutVerdict,
    }
}

choice! {
    /// Whether a change was made.
    pub enum PutVerdict {
        /// It was, under this number.
        0 = Taken(Version),
        /// It was not.
        1 = Refused(PutRefused),
    }
}

structure! {
    /// Why a change was not made.
    pub struct PutRefused {
        /// Why.
        why: ObjectRefusal,
        /// The version of the object, where that is why; else 0.
        version: Version,
    }
}
