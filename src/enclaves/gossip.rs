//! Private messages to some members (report §3.1.2, D29), without any state: how one is sealed, and in which form it travels.
//!
//! **Goal.** What somebody says to some members reaches these, and nobody but they and the leader reads it; they know who said it, and
//! take it once.
//!
//! **Assumes.** The chain between the leader and each member, by which keys travel.
//!
//! **Messages.** EN-R10, and what requests and AdminMsgs say of it.
//!
//! **Guarantees.** K' is used once, and a recipient forgets it with the first message that opens: a replay opens nothing (E5).
//! Group, sender and number are bound into the key. That it was this sender, the leader says. In the forms [`Form::Asked`] and
//! [`Form::Own`] the leader never touches the text, however long it is, and hands out a key of fixed length to each (E6). The message itself
//! is best effort; its key is not, so a recipient notices what is lost.

use bytes::{Bytes, BytesMut};

use super::auth::LABEL;
use crate::crypto::keys::role;
use crate::crypto::{BoxNumber, Key, Purpose, Secret, Suite, SuiteError};
use crate::error::{Failure, Reason};
use crate::event::Port;
use crate::identity::{Instance, MemberId};
use crate::wire::enclaves::repaired::{Gossip, GossipText};
use crate::wire::field::{Field, Rest};
use crate::wire::frame::split_frame;
use crate::wire::{Header, Message as _};

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

/// The code of a port on the wire.
pub(super) fn port_code(port: Port) -> u8 {
    match port {
        Port::Application => 0,
        Port::Transfer => 1,
    }
}

/// The port of this code.
pub(super) fn port_of(code: u8) -> Result<Port, Reason> {
    match code {
        0 => Ok(Port::Application),
        1 => Ok(Port::Transfer),
        _ => Err(Reason::Violation),
    }
}

/// The key of one private message's box.
fn box_key(
    suite: &dyn Suite,
    key: &Key<role::Gossip>,
    group: Instance,
    cid: MemberId,
    number: u64,
) -> Result<Secret, SuiteError> {
    let root = suite.extract(LABEL, &[key.secret()])?;
    let info: [&[u8]; 5] = [LABEL, b"gossip", &group.0, &cid.0.to_be_bytes(), &number.to_be_bytes()];
    suite.expand(&root, &info, Purpose::Aead)
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
    let sealing = box_key(suite, key, group, cid, number)?;
    let mut out = BytesMut::with_capacity(payload.len() + 128);
    let text = GossipText { port, payload: Rest(payload) };
    let seal = |ad: &[u8], text: &mut [u8]| suite.seal(&sealing, BoxNumber::ONLY, ad, text);
    Gossip { group, cid, number }.put_boxed(header, &mut out, |out| text.put(out), seal)?;
    Ok(out.freeze())
}

/// Opens EN-R10 with its key: port and text.
///
/// # Errors
/// [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`]; [`Reason::Violation`] for a text that is none.
pub fn open(suite: &dyn Suite, key: &Key<role::Gossip>, frame: &mut [u8]) -> Result<(Port, Bytes), Reason> {
    let parsed = Gossip::parse(frame).map_err(|_| Reason::Malformed)?;
    let Gossip { group, cid, number } = parsed.message;
    let (clear, text, tag) = (parsed.clear, parsed.text, parsed.tag);
    let opening = box_key(suite, key, group, cid, number)?;
    let (ad, sealed) = split_frame(frame, clear, &text);
    suite.open(&opening, BoxNumber::ONLY, ad, sealed, &tag)?;
    let text = GossipText::decode(sealed).map_err(|_| Reason::Violation)?;
    Ok((port_of(text.port)?, Bytes::copy_from_slice(text.payload.0)))
}
