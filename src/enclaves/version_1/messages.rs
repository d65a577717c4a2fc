//! The messages of Enclaves 1.0: functions that make and open them, without any state (enclaves §2).
//!
//! A [`Line`] says under which key, from whom and to whom a message goes, with which number and time; a [`Gate`] what must be
//! so that it is taken. A function that reads gives the number of what it read: the caller moves its count to it when, and
//! only when, it takes the message.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use zeroize::Zeroizing;

use super::head::{Gate, Line};
use crate::crypto::published::PublishedSuite;
use crate::crypto::published::sealing::{USUAL, decrypt, secret_text};
use crate::crypto::{Key, Secret};
use crate::endpoint::Entropy;
use crate::error::{Failure, Reason};
use crate::event::{Causes, EndReason, Message as Received, Port, Sender};
use crate::identity::{Epoch, Name, NameRef};
use crate::wire::enclaves::version_1::{
    Acknowledgement, AnswerText, Change, Close, CloseText, Data, DataText, DirectAlive, DirectData, DirectDenied,
    DirectEnd, DirectHello, DirectKey, DirectKeyText, DirectRequest, DirectRequestText, DirectWelcome, Here, HereText,
    JoinRefused, JoinReply, JoinRequest, KeysText, LeaveAnswer, LeaveRequest, MAX_NOTICE, NewKey, NewKeyText, Notice,
    NoticeText, PlainText, Presence, PrivateData, PrivateDelivery, PrivateText, RefusalCode, RefusalText, Side,
};
use crate::wire::field::{Blob, List, Rest};
use crate::wire::frame::{HEADER_BYTES, MAX_TEXT};
use crate::wire::published::Sealed;
use crate::wire::{Field, Header, Message};

/// Bytes of a data frame beside the payload and the sender's name, without what sealing adds: header, length, head and port.
const DATA_OVERHEAD: usize = HEADER_BYTES + 4 + HEAD_BYTES + 1;
/// Bytes of a head beside its two names.
const HEAD_BYTES: usize = 2 + 8 + 8 + 1;

/// Suite and header: what every message needs.
#[derive(Clone, Copy, Debug)]
pub struct Scheme<'a> {
    /// The suite.
    pub suite: &'a dyn PublishedSuite,
    /// The header of this edition and suite.
    pub header: Header,
}

/// Something read, and the number of the message it came in.
pub type Numbered<T> = Result<(u64, T), Reason>;

/// What EN-1K gives a newcomer.
#[derive(Debug)]
pub struct Welcome<R, G> {
    /// The number of the request that it answers.
    pub answers: u64,
    /// K_a.
    pub session: Key<R>,
    /// The number of K_g.
    pub epoch: Epoch,
    /// K_g.
    pub group: Key<G>,
}

/// Data as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// For whom inside the application.
    pub port: Port,
    /// What is said.
    pub payload: Bytes,
}

impl Opened {
    /// What the application is given.
    pub(super) fn into_message(self, from: Sender, epoch: Epoch) -> Received {
        let Self { port, payload } = self;
        Received { from, epoch, port, payload }
    }
}

/// EN-1XK as it was read.
#[derive(Debug)]
pub struct DirectOffer<R> {
    /// Who is at the other end.
    pub peer: Name,
    /// Whether this end dials.
    pub dials: bool,
    /// K_ab.
    pub key: Key<R>,
    /// How the other end is reached.
    pub hint: Bytes,
}

fn malformed<E>(_: E) -> Reason {
    Reason::Malformed
}

/// What was encrypted is not what it should be. Under a cipher without authentication this is all that notices a forgery (D6).
fn forged<E>(_: E) -> Reason {
    Reason::Forged
}

/// Makes a message that is one sealed text.
macro_rules! seal {
    ($scheme:expr, $rng:expr, $line:expr, $message:ident, $text:ident { $($field:ident: $value:expr),* $(,)? }) => {
        seal!($scheme, $rng, $line, $message, $text { $($field: $value),* }, USUAL)
    };
    ($scheme:expr, $rng:expr, $line:expr, $message:ident, $text:ident { $($field:ident: $value:expr),* $(,)? }, $room:expr) => {{
        let head = $line.head(<$message<'_> as Message<'_>>::INFO.code);
        let sealed = $scheme.seal($rng, $line.key, &$text { head, $($field: $value),* }, $room)?;
        Ok($scheme.frame(&$message { sealed: Sealed::new(&sealed) }, sealed.len()))
    }};
}

/// Opens such a message and checks its head; binds its text.
macro_rules! open {
    ($scheme:expr, $gate:expr, $frame:expr, $message:ident, $text:ident => $name:ident) => {
        let sealed = $message::parse($frame).map_err(malformed)?.message.sealed.bytes;
        let opened = $scheme.open($gate.key, sealed)?;
        let $name = $text::decode(&opened).map_err(forged)?;
        $gate.check(&$name.head, <$message<'_> as Message<'_>>::INFO.code)?;
    };
}

/// Functions for a message that says all by its type.
macro_rules! plain {
    ($($(#[$doc:meta])* $make:ident $read:ident $message:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Reason::Entropy`], [`Reason::Suite`].
        pub fn $make(&self, rng: &mut dyn Entropy, line: Line<'_>) -> Result<Bytes, Reason> {
            seal!(self, rng, line, $message, PlainText {})
        }

        /// Reads it.
        ///
        /// # Errors
        /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
        pub fn $read(&self, gate: Gate<'_>, frame: &[u8]) -> Result<u64, Reason> {
            open!(self, gate, frame, $message, PlainText => text);
            Ok(text.head.sequence)
        }
    )*};
}

/// Functions for a message that only answers another.
macro_rules! answer {
    ($($(#[$doc:meta])* $make:ident $read:ident $message:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Reason::Entropy`], [`Reason::Suite`].
        pub fn $make(&self, rng: &mut dyn Entropy, line: Line<'_>, answers: u64) -> Result<Bytes, Reason> {
            seal!(self, rng, line, $message, AnswerText { answers: answers })
        }

        /// Reads it: gives the number of what it answers.
        ///
        /// # Errors
        /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
        pub fn $read(&self, gate: Gate<'_>, frame: &[u8]) -> Numbered<u64> {
            open!(self, gate, frame, $message, AnswerText => text);
            Ok((text.head.sequence, text.answers))
        }
    )*};
}

/// Functions for data: of the group, and of a direct link.
macro_rules! data {
    ($($(#[$doc:meta])* $make:ident $read:ident $message:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Reason::Entropy`], [`Reason::Suite`].
        pub fn $make(&self, rng: &mut dyn Entropy, line: Line<'_>, port: Port, payload: &[u8]) -> Result<Bytes, Reason> {
            let room = payload.len() + USUAL;
            seal!(self, rng, line, $message, DataText { port: code_of(port), text: Rest(payload) }, room)
        }

        /// Reads it: gives its sender too.
        ///
        /// # Errors
        /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
        pub fn $read(&self, gate: Gate<'_>, frame: &[u8]) -> Numbered<(Name, Opened)> {
            open!(self, gate, frame, $message, DataText => text);
            let data = Opened { port: port_of(text.port)?, payload: Bytes::copy_from_slice(text.text.0) };
            Ok((text.head.sequence, (text.head.sender.to_name(), data)))
        }
    )*};
}

/// Functions for data of two ends on one half of their way.
macro_rules! private {
    ($($(#[$doc:meta])* $make:ident $read:ident $message:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// The far end is `other`.
        ///
        /// # Errors
        /// [`Reason::Entropy`], [`Reason::Suite`].
        pub fn $make(
            &self,
            rng: &mut dyn Entropy,
            line: Line<'_>,
            other: NameRef<'_>,
            data: (Port, &[u8]),
        ) -> Result<Bytes, Reason> {
            let (port, payload) = data;
            let text = Rest(payload);
            seal!(self, rng, line, $message, PrivateText { other: other, port: code_of(port), text: text }, payload.len() + USUAL)
        }

        /// Reads it: gives who is at the far end too.
        ///
        /// # Errors
        /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
        pub fn $read(&self, gate: Gate<'_>, frame: &[u8]) -> Numbered<(Name, Opened)> {
            open!(self, gate, frame, $message, PrivateText => text);
            let data = Opened { port: port_of(text.port)?, payload: Bytes::copy_from_slice(text.text.0) };
            Ok((text.head.sequence, (text.other.to_name(), data)))
        }
    )*};
}

/// Functions for a message that names one member.
macro_rules! naming {
    ($($(#[$doc:meta])* $make:ident $read:ident $message:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Reason::Entropy`], [`Reason::Suite`].
        pub fn $make(&self, rng: &mut dyn Entropy, line: Line<'_>, peer: NameRef<'_>) -> Result<Bytes, Reason> {
            seal!(self, rng, line, $message, DirectRequestText { peer: peer })
        }

        /// Reads it: gives who is named.
        ///
        /// # Errors
        /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
        pub fn $read(&self, gate: Gate<'_>, frame: &[u8]) -> Numbered<Name> {
            open!(self, gate, frame, $message, DirectRequestText => text);
            Ok((text.head.sequence, text.peer.to_name()))
        }
    )*};
}

impl Scheme<'_> {
    fn frame<'a>(&self, message: &impl Message<'a>, room: usize) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + 8 + room);
        message.put_open(self.header, &mut out);
        out.freeze()
    }

    fn seal<'t>(
        &self,
        rng: &mut dyn Entropy,
        key: &Secret,
        text: &impl Field<'t>,
        room: usize,
    ) -> Result<BytesMut, Reason> {
        let text = secret_text(text, room);
        let mut sealed = BytesMut::with_capacity(text.len() + self.suite.sizes().sealing);
        let failed = |error| Reason::from(Failure::from(error));
        self.suite.encrypt(rng, key, text.expose(), &mut sealed).map_err(failed)?;
        Ok(sealed)
    }

    fn open(&self, key: &Secret, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Reason> {
        decrypt(self.suite, key, sealed)
    }

    /// A key as it was read; it must have the length of the suite.
    fn key<R>(&self, bytes: &[u8]) -> Result<Key<R>, Reason> {
        let fits = bytes.len() == self.suite.sizes().key;
        fits.then(|| Key::new(Secret::new(bytes))).ok_or(Reason::Forged)
    }

    /// EN-1J.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn join_request(&self, rng: &mut dyn Entropy, line: Line<'_>) -> Result<Bytes, Reason> {
        let head = line.head(JoinRequest::INFO.code);
        let sealed = self.seal(rng, line.key, &PlainText { head }, USUAL)?;
        Ok(self.frame(&JoinRequest { member: line.sender, sealed: Sealed::new(&sealed) }, sealed.len() + 256))
    }

    /// Who is named in clear in EN-1J.
    ///
    /// # Errors
    /// [`Reason::Malformed`].
    pub fn claimed<'f>(&self, frame: &'f [u8]) -> Result<NameRef<'f>, Reason> {
        Ok(JoinRequest::parse(frame).map_err(malformed)?.message.member)
    }

    /// Reads EN-1J.
    ///
    /// # Errors
    /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_join_request(&self, gate: Gate<'_>, frame: &[u8]) -> Result<u64, Reason> {
        open!(self, gate, frame, JoinRequest, PlainText => text);
        Ok(text.head.sequence)
    }

    /// EN-1K.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn join_reply<R, G>(
        &self,
        rng: &mut dyn Entropy,
        line: Line<'_>,
        welcome: (u64, &Key<R>, Epoch, &Key<G>),
    ) -> Result<Bytes, Reason> {
        let (answers, session, epoch, group) = welcome;
        let (session, group) = (Blob(session.secret().expose()), Blob(group.secret().expose()));
        seal!(self, rng, line, JoinReply, KeysText { answers: answers, session: session, epoch: epoch, group: group })
    }

    /// Reads EN-1K.
    ///
    /// # Errors
    /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_join_reply<R, G>(&self, gate: Gate<'_>, frame: &[u8]) -> Numbered<Welcome<R, G>> {
        open!(self, gate, frame, JoinReply, KeysText => text);
        let KeysText { head, answers, session, epoch, group } = text;
        Ok((head.sequence, Welcome { answers, session: self.key(session.0)?, epoch, group: self.key(group.0)? }))
    }

    /// EN-1E.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn refusal(
        &self,
        rng: &mut dyn Entropy,
        line: Line<'_>,
        answers: u64,
        why: RefusalCode,
    ) -> Result<Bytes, Reason> {
        seal!(self, rng, line, JoinRefused, RefusalText { answers: answers, why: why })
    }

    /// Reads EN-1E: gives which request is refused, and why.
    ///
    /// # Errors
    /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_refusal(&self, gate: Gate<'_>, frame: &[u8]) -> Numbered<(u64, RefusalCode)> {
        open!(self, gate, frame, JoinRefused, RefusalText => text);
        Ok((text.head.sequence, (text.answers, text.why)))
    }

    /// EN-1A.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn here(&self, rng: &mut dyn Entropy, line: Line<'_>, hint: &[u8]) -> Result<Bytes, Reason> {
        seal!(self, rng, line, Here, HereText { hint: Blob(hint) })
    }

    /// Reads EN-1A: gives the hint.
    ///
    /// # Errors
    /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_here(&self, gate: Gate<'_>, frame: &[u8]) -> Numbered<Bytes> {
        open!(self, gate, frame, Here, HereText => text);
        Ok((text.head.sequence, Bytes::copy_from_slice(text.hint.0)))
    }

    /// EN-1C.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn close(&self, rng: &mut dyn Entropy, line: Line<'_>, why: EndReason) -> Result<Bytes, Reason> {
        seal!(self, rng, line, Close, CloseText { why: why })
    }

    /// Reads EN-1C.
    ///
    /// # Errors
    /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_close(&self, gate: Gate<'_>, frame: &[u8]) -> Numbered<EndReason> {
        open!(self, gate, frame, Close, CloseText => text);
        Ok((text.head.sequence, text.why))
    }

    /// EN-1N.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn new_key<G>(
        &self,
        rng: &mut dyn Entropy,
        line: Line<'_>,
        key: (Epoch, Causes, &Key<G>),
    ) -> Result<Bytes, Reason> {
        let (epoch, causes, group) = key;
        let group = Blob(group.secret().expose());
        seal!(self, rng, line, NewKey, NewKeyText { epoch: epoch, causes: causes, group: group })
    }

    /// Reads EN-1N.
    ///
    /// # Errors
    /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_new_key<G>(&self, gate: Gate<'_>, frame: &[u8]) -> Numbered<(Epoch, Causes, Key<G>)> {
        open!(self, gate, frame, NewKey, NewKeyText => text);
        Ok((text.head.sequence, (text.epoch, text.causes, self.key(text.group.0)?)))
    }

    /// EN-1M. True for who is here, false for who is gone.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn notice(
        &self,
        rng: &mut dyn Entropy,
        line: Line<'_>,
        changes: &[(NameRef<'_>, bool)],
    ) -> Result<Bytes, Reason> {
        let presence = |here| if here { Presence::Here } else { Presence::Gone };
        let changes: Vec<Change<'_>> =
            changes.iter().map(|(name, here)| Change { name: *name, presence: presence(*here) }).collect();
        seal!(self, rng, line, Notice, NoticeText { changes: List::of(&changes) }, MAX_NOTICE)
    }

    /// Reads EN-1M.
    ///
    /// # Errors
    /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_notice(&self, gate: Gate<'_>, frame: &[u8]) -> Numbered<Vec<(Name, bool)>> {
        open!(self, gate, frame, Notice, NoticeText => text);
        let changes = text.changes.iter().map(|line| (line.name.to_name(), line.presence == Presence::Here));
        Ok((text.head.sequence, changes.collect()))
    }

    /// EN-1XK.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn direct_key<R>(
        &self,
        rng: &mut dyn Entropy,
        line: Line<'_>,
        peer: NameRef<'_>,
        offer: (bool, &Key<R>, &[u8]),
    ) -> Result<Bytes, Reason> {
        let (dials, key, hint) = offer;
        let side = if dials { Side::Dials } else { Side::Waits };
        let (key, hint) = (Blob(key.secret().expose()), Blob(hint));
        seal!(self, rng, line, DirectKey, DirectKeyText { peer: peer, side: side, key: key, hint: hint })
    }

    /// Reads EN-1XK.
    ///
    /// # Errors
    /// What [`Gate`] refuses; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_direct_key<R>(&self, gate: Gate<'_>, frame: &[u8]) -> Numbered<DirectOffer<R>> {
        open!(self, gate, frame, DirectKey, DirectKeyText => text);
        let offer = DirectOffer {
            peer: text.peer.to_name(),
            dials: text.side == Side::Dials,
            key: self.key(text.key.0)?,
            hint: Bytes::copy_from_slice(text.hint.0),
        };
        Ok((text.head.sequence, offer))
    }

    plain! {
        /// EN-1L.
        leave_request read_leave_request LeaveRequest;
        /// EN-1XH.
        direct_hello read_direct_hello DirectHello;
        /// EN-1XA.
        direct_alive read_direct_alive DirectAlive;
        /// EN-1XE.
        direct_end read_direct_end DirectEnd;
    }

    answer! {
        /// EN-1LA.
        leave_answer read_leave_answer LeaveAnswer;
        /// EN-1NA.
        acknowledgement read_acknowledgement Acknowledgement;
        /// EN-1XW.
        direct_welcome read_direct_welcome DirectWelcome;
    }

    naming! {
        /// EN-1XR.
        direct_request read_direct_request DirectRequest;
        /// EN-1XD.
        direct_denied read_direct_denied DirectDenied;
    }

    data! {
        /// EN-1D.
        data read_data Data;
        /// EN-1XP.
        direct_data read_direct_data DirectData;
    }

    private! {
        /// EN-1P.
        private read_private PrivateData;
        /// EN-1PD.
        delivery read_delivery PrivateDelivery;
    }

    /// The longest payload in a frame of `limit` bytes from a sender of this name to `recipient`, or the group.
    pub fn max_message(&self, sender: NameRef<'_>, recipient: Option<NameRef<'_>>, limit: usize) -> usize {
        let names = sender.as_str().len() + recipient.map_or(0, |name| name.as_str().len());
        limit.saturating_sub(DATA_OVERHEAD + names + self.suite.sizes().sealing).min(MAX_TEXT - USUAL)
    }

    /// The same for what goes to one member by way of the leader: it fits whatever the names on both halves of the way.
    pub fn max_private(&self, limit: usize) -> usize {
        limit.saturating_sub(DATA_OVERHEAD + 3 * 256 + self.suite.sizes().sealing).min(MAX_TEXT - USUAL)
    }
}

fn code_of(port: Port) -> u8 {
    match port {
        Port::Application => 0,
        Port::Transfer => 1,
    }
}

fn port_of(code: u8) -> Result<Port, Reason> {
    match code {
        0 => Ok(Port::Application),
        1 => Ok(Port::Transfer),
        _ => Err(Reason::Forged),
    }
}
