//! Objects (files, states) over best-effort messages (RA §5, port 1).
//!
//! **Goal.** Each member that accepts an object gets all of its bytes and knows that they are those that were offered.
//!
//! **Assumes.** Messages that arrive come from members of the group and are unaltered (the group's job), but may be
//! lost, doubled, late and out of order; member numbers change when somebody joins again; keys change at any time. What
//! is known of the sender of a message is what the group knows: where any insider can write in another's name (A2),
//! an insider can spoil chunks. Then the digest is wrong, the object is fetched anew [`Config::retries`] times, and
//! nothing is delivered. A policy with signed origin excludes that for as long as the sender is there; so may the
//! application, by passing on signed messages only. Whoever announces an object that has stalled becomes its sender, and
//! is an insider too.
//!
//! **Messages.** [`crate::wire::transfer`]: `Announce`, `Chunk`, `Want`, `Progress`, `Done`, `Withdraw`.
//!
//! **Guarantees.**
//! * Nothing is sent but on demand: an object that nobody accepted costs its announcements.
//! * [`Event::Verified`] comes only after the application has compared the digest of what it stored
//!   ([`Transfer::verify`]).
//! * At most [`Config::window`] bytes of chunks are on their way without a confirmation, always, so that a relay's
//!   queue is not overrun. The fastest receiver opens the window; slower ones repair later and stall nobody.
//! * Many receivers that lack the same ask about once; a chunk is answered at most once in a hold time.
//! * Loss, doubling, reordering, rekeys, restarts and re-joins on both sides delay an object and do not harm it. A sender
//!   that joined again has another member number: it takes the place of the old one once that is gone or silent.
//! * Memory and work for each message are bounded ([`Limits`]).
//!
//! # How to drive it
//!
//! [`Transfer`] is a pure state machine: time and randomness are arguments, it does no I/O and knows no group.
//!
//! * Hand it the payload of each message of port `Transfer` ([`Transfer::handle_message`]), changes of the view
//!   ([`Transfer::member_joined`], [`Transfer::member_left`]; after an own re-join [`Transfer::rejoined`], then all
//!   members), and call [`Transfer::handle_timeout`] when [`Transfer::poll_timeout`] says so.
//! * After each input, drain [`Transfer::poll_event`], and ask [`Transfer::poll_message`] for as long as the group
//!   takes messages, until both give `None`. What it gives is to be sent to the whole group once, and may be lost. A caller whose group has no room
//!   stops asking, ignores `Wake::Now`, and asks again when there is room.
//! * Bytes are neither held nor stored here: the sender's come from a [`Source`] when a chunk goes out, the receiver's
//!   leave as [`Event::Write`].
//!
//! Two machines and no group at all:
//!
//! ```
//! use sodality::endpoint::{Entropy, EntropyError, Instant};
//! use sodality::identity::{MemberId, Name};
//! use sodality::transfer::{Config, Event, NoSource, ObjectId, Source, SourceError, Transfer};
//! use sodality::wire::field::Digest;
//!
//! # struct Dice(u8);
//! # impl Entropy for Dice {
//! #     fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
//! #         self.0 += 1;
//! #         out.fill(self.0);
//! #         Ok(())
//! #     }
//! # }
//! struct Poem(&'static [u8]);
//! impl Source for Poem {
//!     fn read(&mut self, _object: ObjectId, offset: u64, out: &mut [u8]) -> Result<(), SourceError> {
//!         let from = offset as usize;
//!         out.copy_from_slice(self.0.get(from..from + out.len()).ok_or(SourceError)?);
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (ada, bob) = (MemberId(1), MemberId(2));
//! let mut sender = Transfer::new(Config::new(1200), &mut Dice(1))?;
//! let mut receiver = Transfer::new(Config::new(1200), &mut Dice(2))?;
//! let mut now = Instant::ORIGIN;
//!
//! let mut poem = Poem(b"Tyger Tyger, burning bright");
//! let digest = Digest::new(&[42; 32]).unwrap(); // of the suite: see `digest_of`
//! sender.offer(now, &mut Dice(3), Name::new("tyger.txt")?, 27, digest)?;
//!
//! let mut stored = [0; 27];
//! let whole = 'run: loop {
//!     while let Some(message) = sender.poll_message(now, &mut poem) {
//!         let _ = receiver.handle_message(now, ada, &message);
//!     }
//!     while let Some(event) = receiver.poll_event() {
//!         match event {
//!             Event::Offered { from, manifest } => receiver.accept(now, manifest.object, from)?,
//!             Event::Write { offset, bytes, .. } => stored[offset as usize..][..bytes.len()].copy_from_slice(&bytes),
//!             Event::Complete { object } => drop(receiver.verify(now, object, &digest)?),
//!             Event::Verified { manifest } => break 'run manifest,
//!             _ => {}
//!         }
//!     }
//!     while let Some(message) = receiver.poll_message(now, &mut NoSource) {
//!         let _ = sender.handle_message(now, bob, &message);
//!     }
//!     now = now + std::time::Duration::from_millis(1);
//! };
//! assert_eq!((whole.name.as_str(), &stored[..]), ("tyger.txt", poem.0));
//! # Ok(())
//! # }
//! ```

mod bitmap;
mod config;
mod incoming;
mod machine;
mod object;
mod receiver;
mod sender;
mod window;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use core::time::Duration;

use bytes::{Bytes, BytesMut};

pub use self::config::{Config, Limits, chunk_room};
pub use self::machine::Transfer;
pub use self::object::{Manifest, NoSource, Progress, Source, SourceError, digest_of, file_name_is_plain};
pub use crate::wire::transfer::{ObjectId, Outcome};

use crate::endpoint::Instant;
use crate::group::Jitter;
use crate::identity::MemberId;
use crate::wire::field::Field;
use crate::wire::transfer::ObjectMessage;

/// The most events that one message causes.
const EVENTS_PER_MESSAGE: usize = 4;

/// What happened, for the application.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A member offers an object: answer with [`Transfer::accept`] or [`Transfer::decline`], or not at all.
    Offered {
        /// Who offers it.
        from: MemberId,
        /// What it is.
        manifest: Manifest,
    },
    /// Such an offer is void.
    Withdrawn {
        /// The object.
        object: ObjectId,
        /// Who offered it.
        from: MemberId,
    },
    /// Store these bytes of an accepted object.
    Write {
        /// The object.
        object: ObjectId,
        /// Where they belong, in bytes from its start.
        offset: u64,
        /// The bytes: a slice of the message.
        bytes: Bytes,
    },
    /// All bytes were handed out: compute the digest of what is stored ([`digest_of`]) and call [`Transfer::verify`].
    /// Until then nothing is known of them.
    Complete {
        /// The object.
        object: ObjectId,
    },
    /// The object is whole and its digest is right.
    Verified {
        /// What it is.
        manifest: Manifest,
    },
    /// The object is whole and its digest is wrong.
    Corrupt {
        /// The object.
        object: ObjectId,
        /// Whether it is fetched anew; else this was its end.
        again: bool,
    },
    /// The sender is gone or silent. Nothing is asked until it, or another with the same object, announces it.
    Stalled {
        /// The object.
        object: ObjectId,
    },
    /// A stalled object goes on.
    Resumed {
        /// The object.
        object: ObjectId,
        /// Who sends it now.
        from: MemberId,
    },
    /// (Sender) A member is finished with an object.
    Received {
        /// The object.
        object: ObjectId,
        /// Who.
        member: MemberId,
        /// How that ended.
        outcome: Outcome,
    },
    /// (Sender) Each member is finished with an object. It stays on offer for who comes later.
    AllReceived {
        /// The object.
        object: ObjectId,
    },
    /// (Sender) An object is no longer on offer.
    OfferEnded {
        /// The object.
        object: ObjectId,
        /// Why.
        why: OfferEnd,
    },
}

/// Why an object is no longer on offer, where that was not the application's wish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OfferEnd {
    /// [`Config::keep_for`] is over.
    Expired,
    /// Its source failed.
    Source,
}

/// What a command answers when it did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A limit is reached.
    #[error("as many objects as the limits allow: withdraw, abandon or wait")]
    Full,
    /// No such object.
    #[error("no such object, or not in a state for this: take objects from events")]
    Unknown,
    /// That object is on offer, or being received, already.
    #[error("that object is on offer or being received already")]
    Taken,
    /// A manifest outside the limits.
    #[error("the object is too long, in chunks or in bytes, or has no digest")]
    Manifest,
    /// The object is not whole yet.
    #[error("the object is not whole yet: wait for `Complete`")]
    NotWhole,
    /// The configuration contradicts itself.
    #[error("messages too short, a window smaller than two messages, or a time of zero")]
    Config,
    /// The source cannot be read.
    #[error("the bytes of the object cannot be read")]
    Source,
    /// The random source failed.
    #[error("the random source failed")]
    Entropy,
    /// The cryptographic suite failed.
    #[error("the cryptographic suite failed")]
    Suite,
}

/// What each step needs, besides the state that it is about.
struct Turn<'a> {
    now: Instant,
    config: &'a Config,
    jitter: &'a mut Jitter,
    events: &'a mut VecDeque<Event>,
}

fn encode(message: &ObjectMessage<'_>) -> Bytes {
    let mut out = BytesMut::new();
    message.put(&mut out);
    out.freeze()
}

/// A random time up to `span`.
fn spread(jitter: &mut Jitter, span: Duration) -> Duration {
    jitter.spread(span, 100, 0)
}
