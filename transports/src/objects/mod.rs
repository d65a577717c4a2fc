//! Objects over a driven participant: [`sodality::transfer`] fed from the events of one, and sent through it.
//!
//! The state machine of `transfer` does no I/O; this is what runs it beside a driver. It knows a
//! [`Participant`] and nothing of any system. One task takes the participant's events, hands those of port `Transfer` and
//! the changes of the view to the machine, passes all others on, and sends what the machine gives for as long as the
//! participant takes it. Whatever may block (reading, writing and hashing what is stored) runs in the runtime's threads
//! for blocking work, a turn at a time, so that no other task waits for a disk.
//!
//! **Storage is the application's**: it offers anything that is a [`ReadAt`] and accepts into anything that is a
//! [`Store`]. What is dropped before [`Store::finish`] was never whole: it was interrupted, or given up. A store that
//! keeps what it has, and finds it again after a restart, goes on from there ([`Objects::resume`]).
//!
//! **Pressure.** While the application takes no [`Report`]s, no events are taken from the driver, which then stops
//! reading. What is on its way is bounded by [`transfer::Config::window`]: keep it below
//! [`LinkLimits::data_bytes`](crate::transport::LinkLimits::data_bytes) of the leader's driver, which relays it.

mod engine;
mod run;

use std::fmt;
use std::io;
use std::sync::Arc;

use sodality::crypto::Suite;
use sodality::event::Event;
use sodality::group::Participant;
use sodality::identity::{MemberId, Name};
use sodality::transfer::{self, Manifest, ObjectId, OfferEnd, Outcome, Progress, TransferError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::driver::{Events, Handle};
use engine::Engine;
use run::Run;

/// Something that is read at any place. May block.
pub trait ReadAt: Send {
    /// Fills `out` wholly with the bytes from `offset` on.
    ///
    /// # Errors
    /// Whatever the storage says; also if there are not so many bytes.
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

impl<R: ReadAt + ?Sized> ReadAt for Box<R> {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, out)
    }
}

/// Where an object that comes in is stored. May block. Dropping it means that the object was interrupted: what is there may
/// be kept, to be gone on with, or not.
pub trait Store: ReadAt {
    /// Stores `bytes` at `offset`. Pieces come in any order; after damage also twice.
    ///
    /// # Errors
    /// Whatever the storage says; the object is then given up.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// All is there and its digest is right: make it visible.
    ///
    /// # Errors
    /// Whatever the storage says; the object is then lost here.
    fn finish(self: Box<Self>) -> io::Result<()>;

    /// It will never be whole: it was given up, or is not what was offered. Nothing of it is to be kept.
    fn discard(self: Box<Self>) {}
}

/// How objects are run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The suite of the group: its digest names objects.
    pub suite: Arc<dyn Suite>,
    /// How objects are sent. `max_message` is that of the group, whatever stands here; a window of less than two such
    /// messages becomes that.
    pub transfer: transfer::Config,
    /// Reports held for the application, at least one.
    pub reports: usize,
}

impl Config {
    /// The defaults: a window of 768 KiB, which the queues of a default driver hold, and 256 reports.
    pub fn new(suite: Arc<dyn Suite>) -> Self {
        let transfer = transfer::Config { window: 768 << 10, ..transfer::Config::new(0) };
        Self { suite, transfer, reports: 256 }
    }
}

/// What happened, for the application.
#[derive(Debug)]
#[non_exhaustive]
pub enum Report {
    /// An event of the participant that is not about objects.
    Group(Event),
    /// A member offers an object: answer with [`Objects::accept`] or [`Objects::decline`], or not at all.
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
    /// More of an accepted object is here. Not for each chunk.
    Progress {
        /// The object.
        object: ObjectId,
        /// Bytes that are here.
        have: u64,
        /// Bytes in all.
        size: u64,
    },
    /// An object is whole, its digest is right, and its store has finished.
    Stored {
        /// What it is.
        manifest: Manifest,
    },
    /// An object was whole and not what was offered. It is fetched anew.
    Corrupt {
        /// The object.
        object: ObjectId,
    },
    /// An accepted object will not be stored here.
    Failed {
        /// The object.
        object: ObjectId,
        /// Why.
        why: Failure,
    },
    /// The sender of an accepted object is gone or silent.
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
    /// (Sender) Each member is finished with an object.
    AllReceived {
        /// The object.
        object: ObjectId,
    },
    /// (Sender) An object is no longer on offer.
    OfferEnded {
        /// The object.
        object: ObjectId,
        /// Why: its time is over, or it cannot be read.
        why: OfferEnd,
    },
}

/// Why an accepted object is not stored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Failure {
    /// It was never what was offered.
    #[error("its digest was wrong each time")]
    Corrupt,
    /// The storage failed.
    #[error("it cannot be stored: {0}")]
    Storage(io::Error),
    /// The suite failed.
    #[error("its digest cannot be computed")]
    Digest,
    /// The group allows shorter messages than before.
    #[error("the group's messages have become shorter")]
    Shorter,
}

/// What a command answers when it did nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// Not in a group yet.
    #[error("not in a group yet: wait for `Joined`")]
    NotJoined,
    /// As the state machine says.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] io::Error),
    /// The task has ended: the driver has, or a [`ReadAt`] or [`Store`] panicked.
    #[error("the driver has ended")]
    Gone,
}

type Answer<T> = oneshot::Sender<Result<T, ObjectError>>;
type Open = Box<dyn FnOnce() -> io::Result<Box<dyn Store>> + Send>;
type OpenAgain = Box<dyn FnOnce() -> io::Result<(Box<dyn Store>, Progress)> + Send>;

pub(crate) enum Command {
    Offer { name: Name, size: u64, source: Box<dyn ReadAt>, answer: Answer<Manifest> },
    Withdraw { object: ObjectId, answer: Answer<()> },
    Accept { object: ObjectId, from: MemberId, open: Open, answer: Answer<()> },
    Resume { open: OpenAgain, answer: Answer<u64> },
    Decline { object: ObjectId, from: MemberId, answer: Answer<()> },
    Abandon { object: ObjectId, answer: Answer<()> },
    Release { object: ObjectId, answer: Answer<()> },
}

/// Speaks to the task. When the last one is dropped the task ends, and the stores of objects that are not whole are dropped.
///
/// An answer comes when the task has had its turn; reports may be full meanwhile.
#[derive(Clone)]
pub struct Objects {
    commands: mpsc::Sender<Command>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

impl Objects {
    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, ObjectError> {
        let (answer, result) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| ObjectError::Gone)?;
        result.await.map_err(|_| ObjectError::Gone)?
    }

    /// Offers `size` bytes of `source` to the group, which must not change. They are read once for their digest.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn offer(&self, name: Name, size: u64, source: impl ReadAt + 'static) -> Result<Manifest, ObjectError> {
        self.ask(|answer| Command::Offer { name, size, source: Box::new(source), answer }).await
    }

    /// Ends an offer.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn withdraw(&self, object: ObjectId) -> Result<(), ObjectError> {
        self.ask(|answer| Command::Withdraw { object, answer }).await
    }

    /// Accepts what `from` offers, into the store that `open` makes. It is called where it may block.
    ///
    /// # Errors
    /// [`ObjectError`]: nothing was accepted; the store, if there is one, is dropped.
    pub async fn accept<S: Store + 'static>(
        &self,
        object: ObjectId,
        from: MemberId,
        open: impl FnOnce() -> io::Result<S> + Send + 'static,
    ) -> Result<(), ObjectError> {
        let open: Open = Box::new(move || open().map(|store| Box::new(store) as Box<dyn Store>));
        self.ask(|answer| Command::Accept { object, from, open, answer }).await
    }

    /// Goes on with an object that was interrupted: `open` gives what is stored of it and says which chunks that are. It is
    /// called where it may block, and does well to verify each chunk by a digest of its own: what is wrong shows only when
    /// all is there, and then all is fetched anew. An offer of the object that waits for an answer is accepted by this; if
    /// there is none, the next one is. The answer is how many bytes are there.
    ///
    /// # Errors
    /// [`ObjectError`]: nothing was accepted; the store, if there is one, is dropped.
    pub async fn resume<S: Store + 'static>(
        &self,
        open: impl FnOnce() -> io::Result<(S, Progress)> + Send + 'static,
    ) -> Result<u64, ObjectError> {
        let open: OpenAgain =
            Box::new(move || open().map(|(store, progress)| (Box::new(store) as Box<dyn Store>, progress)));
        self.ask(|answer| Command::Resume { open, answer }).await
    }

    /// Refuses what `from` offers, for good.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn decline(&self, object: ObjectId, from: MemberId) -> Result<(), ObjectError> {
        self.ask(|answer| Command::Decline { object, from, answer }).await
    }

    /// Gives up an accepted object, for good; what is stored is discarded.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn abandon(&self, object: ObjectId) -> Result<(), ObjectError> {
        self.ask(|answer| Command::Abandon { object, answer }).await
    }

    /// Gives up an accepted object, for good, but drops its store like that of an interrupted one: what is there may serve
    /// another object with the same bytes.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn release(&self, object: ObjectId) -> Result<(), ObjectError> {
        self.ask(|answer| Command::Release { object, answer }).await
    }
}

/// The reports for the application. Not taking them stops the driver from reading; dropping this throws them away.
#[derive(Debug)]
pub struct Reports(mpsc::Receiver<Report>);

impl Reports {
    /// The next report; `None` once the driver has ended and all are taken. Loses nothing if the future is dropped.
    pub async fn recv(&mut self) -> Option<Report> {
        self.0.recv().await
    }
}

/// Starts the task, in the runtime of the caller. The participant may be in a group already: it is asked.
///
/// # Panics
/// Outside a tokio runtime with time enabled.
pub fn spawn<M: Participant + 'static>(handle: Handle<M>, events: Events, config: Config) -> (Objects, Reports) {
    let (commands, commands_in) = mpsc::channel(16);
    let (reports_out, reports) = mpsc::channel(config.reports.max(1));
    let engine = Engine::new(config);
    tokio::spawn(Run::new(handle, events, commands_in, reports_out, engine).run());
    (Objects { commands }, Reports(reports))
}
