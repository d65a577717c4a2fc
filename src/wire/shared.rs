//! What both systems write the same: changes of the view (RA §4.5; its digest is over this encoding), and protections of
//! data (RA §5).

use super::field::VerifyingKey;
use crate::event::Cause;
use crate::identity::{MemberId, NameRef};

choice! {
    /// A change of the view.
    pub enum Change<'a> {
        /// Somebody came.
        0 = Add(Added<'a>),
        /// Somebody went.
        1 = Remove(Removed),
    }
}

structure! {
    /// A member as the view shows it.
    pub struct Added<'a> {
        /// Its number.
        cid: MemberId,
        /// Its name.
        name: NameRef<'a>,
        /// Its public origin key, or none.
        origin_key: VerifyingKey,
    }
}

structure! {
    /// A removal, with its cause (S6).
    pub struct Removed {
        /// Its number.
        cid: MemberId,
        /// Why.
        cause: Cause,
        /// Who asked for it.
        by: MemberId,
    }
}

choice! {
    /// What protects a message.
    pub enum Kind {
        /// Nothing.
        0 = Clear,
        /// A tag; the text is readable.
        1 = Integrity,
        /// A box.
        2 = Confidentiality,
        /// A box; promised as both.
        3 = Both,
    }
}
