//! What the ways of authentication put into EN-R1 to EN-R3: no messages, but the parts inside them.

use crate::identity::NameRef;
use crate::wire::field::{Rest, Share, Signature, Tag, VerifyingKey};
use crate::wire::shared::KeyBytes;

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

structure! {
    /// What an issuer says of a key: the holder of that key has that name, for a time.
    pub struct Certificate<'a> {
        /// Whose key it is.
        name: NameRef<'a>,
        /// The key.
        key: VerifyingKey,
        /// The first moment at which it holds, in milliseconds since the Unix epoch.
        not_before: u64,
        /// The last moment at which it holds.
        not_after: u64,
        /// The issuer's signature of all before it.
        signature: Signature,
    }
}

choice! {
    /// Which key a side signs with.
    pub enum Evidence<'a> {
        /// The one that the other side knows already.
        0 = Known,
        /// The one of this certificate.
        1 = Certified(Certificate<'a>),
    }
}

structure! {
    /// The part of EN-R1, and that of EN-R2, by public keys.
    pub struct Signed<'a> {
        /// The sender's ephemeral share.
        share: Share,
        /// Which key it signs with.
        evidence: Evidence<'a>,
        /// Its signature.
        signature: Signature,
    }
}
