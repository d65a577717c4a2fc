//! Private messages to some members (report §3.1.2, D29), without any state: in which form one travels. What they share with
//! the private words of Antigone is in [`group::private`](crate::group::private).
//!
//! **Messages.** EN-R10, and what requests and AdminMsgs say of it.
//!
//! **Guarantees.** Those of private words. In the forms [`Form::Asked`] and [`Form::Own`] the leader seals no text, however long it
//! is: it opens it once, to see that it is its sender's, passes it on as it came, and hands out a key of fixed length to each (E6).
//! It does so once the text is here: until then its sender alone has K', so nobody else can have sealed it.

use bytes::Bytes;

use super::auth::LABEL;
use crate::crypto::keys::role;
use crate::crypto::{Key, Suite};
use crate::error::{Failure, Reason};
use crate::event::Port;
use crate::group::private::{self, Frame, Word};
use crate::identity::{Instance, MemberId};
use crate::wire::Header;
use crate::wire::enclaves::repaired::Gossip;

/// Who seals a private message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The leader, as documented: it reads the message, and seals it under a key that it makes.
    Documented,
    /// The sender, under a key that the leader makes when asked.
    Asked,
    /// The sender, under a key of its own, which the leader only hands out.
    Own,
}

impl Frame for Gossip {
    const LABEL: [&'static [u8]; 2] = [LABEL, b"gossip"];

    fn of(word: Word) -> Self {
        let Word { group, cid, number } = word;
        Self { group, cid, number }
    }

    fn word(&self) -> Word {
        let Self { group, cid, number } = *self;
        Word { group, cid, number }
    }
}

/// EN-R10. The port is a code: 0 the application, 1 objects.
///
/// # Errors
/// [`Failure::Suite`].
#[allow(clippy::too_many_arguments, reason = "what a message is, by its parts")]
pub fn seal(
    suite: &dyn Suite,
    header: Header,
    key: &Key<role::Gossip>,
    group: Instance,
    cid: MemberId,
    number: u64,
    port: u8,
    payload: &[u8],
) -> Result<Bytes, Failure> {
    private::seal::<Gossip>(suite, header, key, Word { group, cid, number }, port, payload)
}

/// Opens EN-R10 with its key: port and text.
///
/// # Errors
/// [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`]; [`Reason::Violation`] for a text that is none.
pub fn open(suite: &dyn Suite, key: &Key<role::Gossip>, frame: &mut [u8]) -> Result<(Port, Bytes), Reason> {
    private::open::<Gossip>(suite, key, frame)
}
