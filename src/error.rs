//! The four kinds of error, apart from one another because four different people must act on them:
//!
//! | kind | type | who acts |
//! | --- | --- | --- |
//! | the bytes do not parse | [`DecodeError`] | nobody: the frame is dropped, an event and a counter tell |
//! | the peer broke the protocol, or lies, or is late | [`Reason`] | nobody: as above; silence on the wire (R4, R46) |
//! | the caller misused the API | [`Misuse`] | the caller: each variant says what to do instead |
//! | our own bug | [`Fatal`] | us: the object is finished |
//!
//! What can fail in the surroundings, randomness and the cryptographic back end, is a [`Failure`]: the machine stays
//! as it was and the call may be repeated.

use thiserror::Error;

/// A text is not a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NameError {
    /// No bytes at all.
    #[error("a name needs at least one character")]
    Empty,
    /// More than 255 bytes of UTF-8.
    #[error("a name has at most 255 bytes of UTF-8")]
    TooLong,
    /// A control character.
    #[error("a name must not contain control characters")]
    Control,
    /// Not UTF-8 (only from the wire).
    #[error("a name must be UTF-8")]
    NotUtf8,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame ends inside a field.
    #[error("the frame ends inside a field")]
    Truncated,
    /// Bytes follow the last field (R9).
    #[error("bytes follow the last field")]
    Trailing,
    /// A length lies outside the field's stated limits.
    #[error("a length lies outside the field's limits")]
    Length,
    /// A number stands for nothing.
    #[error("a value stands for nothing")]
    Value,
    /// The text is not a name.
    #[error("not a name: {0}")]
    Name(#[from] NameError),
    /// A list is not in its one canonical order.
    #[error("a list is out of order")]
    Order,
    /// The header is of another version, system, edition, suite or message type.
    #[error("the header is not one of ours")]
    Header,
}

/// Why a frame that parsed was refused: a closed list. It stays local; the peer learns nothing (R46).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Error)]
#[non_exhaustive]
pub enum Reason {
    /// The bytes do not parse.
    #[error("the bytes do not parse")]
    Malformed,
    /// Another version, system, edition or suite than the one configured.
    #[error("another version, system, edition or suite")]
    Mismatch,
    /// A message type that this role never receives.
    #[error("a message for another role")]
    Misdirected,
    /// The group instance, member number, nonce or attempt is not known here.
    #[error("not for any group, member or attempt known here")]
    Unknown,
    /// The tag, box or signature does not verify.
    #[error("the tag, box or signature does not verify")]
    Forged,
    /// The number has been used up: a replay, or an overtaken frame.
    #[error("a number that was used already")]
    Replayed,
    /// A key that was held here and whose grace is over.
    #[error("sealed under a key whose grace is over")]
    OldEpoch,
    /// A key from before the latest eviction: it ended at once, for everybody (RA §4.4, floor).
    #[error("sealed under a key that ended with an eviction")]
    EvictedEpoch,
    /// A key from before the first one that came here.
    #[error("sealed under a key from before the own join")]
    BeforeJoin,
    /// A key that never came here: its epoch was jumped over (R23).
    #[error("sealed under a key that was missed")]
    MissedEpoch,
    /// A key that is not here yet. The frame has waited for it once, or it was not worth waiting.
    #[error("sealed under a key that is not here yet")]
    EarlyEpoch,
    /// A key that is not here yet, and no room to wait for it (RA §4.4, early frames).
    #[error("sealed under a key that is not here yet, and no room to wait for it")]
    EarlyOverflow,
    /// An epoch that does not exist: 0, or one that the leader itself never made.
    #[error("of an epoch that was never made")]
    NoSuchEpoch,
    /// Data of another instance of a group.
    #[error("data of another group instance")]
    OtherGroup,
    /// Data, while in no group.
    #[error("data, while in no group")]
    NotJoined,
    /// Own traffic that came back.
    #[error("own traffic that came back")]
    Echo,
    /// A protection that is not the policy's (R8, I-6).
    #[error("another protection than the policy demands")]
    Protection,
    /// The sender is not in the view.
    #[error("the sender is not in the view")]
    NotMember,
    /// Authentic, but against the rules of the protocol.
    #[error("authentic, but against the rules of the protocol")]
    Violation,
    /// A budget for unauthenticated or costly work is used up (R2, R5).
    #[error("the budget for work of this kind is used up")]
    Budget,
    /// The link is not proven to reach its peer (RA §4.1 (2)).
    #[error("the link is not proven")]
    Unproven,
    /// A longer frame than this link or policy allows.
    #[error("longer than the link allows")]
    Oversize,
    /// The receiver's evidence that its key is current is too old: it is stale and delivers nothing (S8).
    #[error("no fresh evidence here that the own key is current")]
    NotCurrent,
    /// The group ended here.
    #[error("the group has ended here")]
    Ended,
    /// It opens under a key of this machine, and its head names another recipient (Enclaves 1.0, D30).
    #[error("its head names another recipient")]
    OtherRecipient,
    /// Its time differs from the own clock by more than the window (Enclaves 1.0, D30).
    #[error("its time lies outside the window")]
    Untimely,
    /// The random source failed while the answer was made.
    #[error("the random source failed")]
    Entropy,
    /// The cryptographic back end failed.
    #[error("the cryptographic suite failed")]
    Suite,
}

/// What failed in the surroundings. The machine is as it was; the call may be repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Failure {
    /// The random source gave nothing (R18).
    #[error("the random source failed")]
    Entropy,
    /// The cryptographic back end gave an error.
    #[error("the cryptographic suite failed")]
    Suite,
}

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Entropy => Self::Entropy,
            Failure::Suite => Self::Suite,
        }
    }
}

/// The caller asked for what cannot be had now, or ever. Nothing has changed. Each text says what to do instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Misuse {
    /// Not in a group.
    #[error("not in a group: join, and wait for `Joined`")]
    NotJoined,
    /// Already joining or joined.
    #[error("already joining or joined: leave first, and wait for `Ended`")]
    AlreadyJoined,
    /// No current key: sending waits for the next install.
    #[error("no current key: wait for `Installed` or `Current`")]
    NotCurrent,
    /// The message is longer than `max_message()`.
    #[error("the message is longer than `max_message()`: send an object through `transfer`")]
    TooLong,
    /// The link is unknown or closed.
    #[error("the link is unknown or closed: pass links that `handle_link_opened` announced")]
    NoLink,
    /// The ticket is unknown, answered or expired.
    #[error("the ticket is unknown, answered or expired: answer each `…Wanted` event once, in time")]
    NoTicket,
    /// The one sealer of this epoch has been taken.
    #[error("the sealer of this epoch has been taken already: use that one, or wait for the next epoch")]
    SealerTaken,
    /// This key has sealed as much as it may.
    #[error("this key has sealed as much as it may: wait for the next epoch")]
    KeyExhausted,
    /// A key of a length that the suite does not take.
    #[error("the suite does not take keys of that length: see `Suite::sizes`")]
    KeyLength,
    /// The policy contradicts itself or the suite.
    #[error("the policy contradicts itself: see `Policy::check`")]
    Policy,
    /// No live member has that number.
    #[error("no live member has that number: see the view, and that the leader cannot be ejected")]
    NoMember,
    /// The caller itself.
    #[error("a member does not eject itself: leave")]
    Oneself,
    /// As many requests as may be are not answered yet.
    #[error("as many requests as may be are not answered yet: wait for `EjectionAnswered`, or `GossipSent`")]
    Unanswered,
    /// The group is closed.
    #[error("the group is closed: open another")]
    Closed,
    /// A policy that a running group cannot go over to.
    #[error("views, signed origin and the frame limit are fixed while a group runs: open another group for others")]
    FixedPolicy,
    /// A policy with parts as published, which groups of the repaired edition do not take.
    #[error("this policy names parts as published: use `antigone::mixed`")]
    AsPublished,
    /// A policy with shared objects, which groups of Antigone do not have.
    #[error("this policy names shared objects: groups of Enclaves have them")]
    SharedObjects,
    /// A private word, in a group that has none.
    #[error("a group with parts as published has no private words: open one of the repaired edition")]
    NoPrivateWords,
    /// The name of another role or of the caller itself.
    #[error("a member and its leader need different names")]
    SameName,
    /// No wall-clock time, in a system whose messages carry it.
    #[error("this system stamps its messages with wall-clock time: set `Cx::wall`")]
    NoWallClock,
    /// There is no open direct link to that member.
    #[error("no open direct link to that member: ask for one, and wait for `DirectOpened`")]
    NoDirectLink,
}

/// What a command answers when it did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum CommandError {
    /// The outgoing queues lack room; nothing has changed. Drain `poll_transmit` and `poll_event`, then call again
    /// (R45).
    #[error("the outgoing queues are full: drain `poll_transmit` and `poll_event`, then call again")]
    Full,
    /// The caller's mistake.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// The surroundings failed; nothing has changed, but that the number of a message may be used up (R16).
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// A bug of this library, found by one of its own checks. The object that returned it is finished: drop it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("internal error in Sodality: {0}")]
pub struct Fatal(pub(crate) &'static str);
