//! Shared objects with access rights (report §1.2): what members work on together, kept by the leader, who lets each read and
//! change what the policy says.
//!
//! **Goal.** Whoever may read an object sees its contents and each change, all in the one order that the leader put them in;
//! nobody else gets a byte of it; whoever may not change it is refused with a reason.
//!
//! **Assumes.** A channel between the leader and each member that nobody else reads, and that brings what the leader says in
//! order, once, and as long as the session lives. The group key is not that: all members have it.
//!
//! **Guarantees.**
//! * Each change of any object takes the next [`Version`], so versions of all objects make one order.
//! * What a reader is told has rising versions. One that keeps up is told every change of what it may read ([`Store`] keeps a
//!   log); one that lags, has just come, or was let wait through a change of rights, is told the newest contents instead, and
//!   goes on from there. So what was overwritten before somebody got the right to read is never shown to it.
//! * A change may name the version that it replaces. Of two that name the same, one is taken and one is refused as a conflict.
//! * Memory is bounded: contents by the policy, the log by count and bytes, changes on their way by count. A reader keeps a
//!   number for its place in a version, not a copy.
//! * The work for each frame is bounded by its length.
//!
//! **Not guaranteed.** Contents are kept from other members, not from the leader. Who loses the right to read keeps what it
//! had and hears no more. While an object is changed faster than a reader's link carries it, that reader sees no change of
//! it.
//!
//! [`Host`] is the leader's side and [`Guest`] a member's, both whole: what they say stands in [`crate::wire::objects`]. They are
//! made of the [`Store`], a [`Reader`] for each member, the member's [`Replicas`], and [`Arriving`] for what comes in pieces. All
//! are pure: what computes a step does not change, and what commits it does not fail.

mod arriving;
mod guest;
mod host;
mod reader;
mod replicas;
mod store;

pub use arriving::Arriving;
pub use guest::Guest;
pub use host::{Host, Seat};
pub use reader::{Reader, RightTold, Say};
pub use replicas::{Piece, Replicas};
pub use store::{PutStep, Store, StoreLimits};

use core::fmt;

use bytes::Bytes;

use crate::identity::{MemberId, Version};

/// An object as it is at one place. Printed for debugging it shows how long the contents are, not the contents (R33).
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectView {
    /// The number of its last change, in the one order of all changes of all objects.
    pub version: Version,
    /// Who made that.
    pub by: MemberId,
    /// What it holds.
    pub contents: Bytes,
}

fingerprint!(ObjectView { version, by, contents });

impl fmt::Debug for ObjectView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, by, contents } = self;
        let contents = format_args!("{} bytes", contents.len());
        f.debug_struct("ObjectView").field("version", version).field("by", by).field("contents", &contents).finish()
    }
}

#[cfg(test)]
mod tests;
