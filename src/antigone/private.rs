//! Private words to some members (D29), without any state: what channel records say of them. What they share with the gossip of
//! Enclaves is in [`group::private`](crate::group::private).
//!
//! **Goal.** What somebody says to some members reaches these, and nobody but they and the leader reads it; they know who
//! said it, and take it once.
//!
//! **Assumes.** The channels between the leader and each member.
//!
//! **Messages.** RA-P; the records `wrap` (member), `wrapped` and `passed` (leader).
//!
//! **Guarantees.** Those of [`group::private`](crate::group::private). The sender itself names the digest of the sealed text, so
//! keys are handed out before the text is here. The leader hands out keys of fixed length and
//! passes the text on as it came (E6).

use bytes::{Bytes, BytesMut};

use crate::crypto::keys::role;
use crate::crypto::{Key, Secret};
use crate::group::private::{Frame, Word};
use crate::identity::MemberId;
use crate::wire::Field;
use crate::wire::antigone::{
    KeyBytes, LeaderBody, LeaderRecord, MAX_RECIPIENTS, MemberBody, MemberRecord, Passed, PrivateWord, Wrap, Wrapped,
};
use crate::wire::field::{Digest, List};

/// Room for the longest record of a private word, in bytes: what holds a key is never moved while it is written.
const ROOM: usize = 16 + 8 * MAX_RECIPIENTS + KeyBytes::LENGTHS.1 + Digest::MAX + 32;

impl Frame for PrivateWord {
    const LABEL: [&'static [u8]; 2] = [b"sodality ra 1 ", b"private"];

    fn of(word: Word) -> Self {
        let Word { group, cid, number } = word;
        Self { group, cid, number }
    }

    fn word(&self) -> Word {
        let Self { group, cid, number } = *self;
        Word { group, cid, number }
    }
}

/// The record by which a member asks that K' be handed out.
pub fn wrap(to: &[MemberId], key: &Key<role::Gossip>, digest: Digest) -> Bytes {
    let (to, key) = (List::of(to), KeyBytes(key.secret().expose()));
    wiped(&MemberBody::Record(MemberRecord::Wrap(Wrap { to, key, digest })))
}

/// The record by which a recipient gets K'.
pub fn wrapped(from: MemberId, number: u64, key: &Key<role::Gossip>, digest: Digest) -> Bytes {
    let key = KeyBytes(key.secret().expose());
    wiped(&LeaderBody::Record(LeaderRecord::Wrapped(Wrapped { from, number, key, digest })))
}

/// The record that says what became of a word.
pub fn passed(number: u64, missed: &[MemberId]) -> Bytes {
    let mut body = BytesMut::with_capacity(ROOM);
    LeaderBody::Record(LeaderRecord::Passed(Passed { number, missed: List::of(missed) })).put(&mut body);
    body.freeze()
}

/// A record with a key inside: wiped when it is acknowledged, or given up.
fn wiped<'a>(body: &impl Field<'a>) -> Bytes {
    struct Wiped(Secret);

    impl AsRef<[u8]> for Wiped {
        fn as_ref(&self) -> &[u8] {
            self.0.expose()
        }
    }

    let mut text = BytesMut::with_capacity(ROOM);
    body.put(&mut text);
    Bytes::from_owner(Wiped(Secret::take(&mut text)))
}
