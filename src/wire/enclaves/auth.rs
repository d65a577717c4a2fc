//! What the ways of authentication put into EN-R1 to EN-R3: no messages, but the parts inside them.

use crate::wire::enclaves::repaired::KeyBytes;
use crate::wire::field::{Rest, Share, Tag};

/// The longest text in a part of the way by shared key, in bytes.
pub const MAX_TEXT: usize = 256;

structure! {
    /// A box of one part: text, then tag. The key seals this one text in its life.
    pub struct SealedPart<'a> {
        /// Its tag.
        tag: Tag,
        /// The sealed text.
        text: Rest<'a, MAX_TEXT>,
    }
}

structure! {
    /// The text in EN-R1 by shared key.
    pub struct SharedAsk {
        /// The user's ephemeral share, or none.
        share: Share,
    }
}

structure! {
    /// The text in EN-R2 by shared key.
    pub struct SharedAnswer<'a> {
        /// The leader's ephemeral share; none exactly if the user sent none.
        share: Share,
        /// A fresh secret of the leader.
        fresh: KeyBytes<'a>,
    }
}
