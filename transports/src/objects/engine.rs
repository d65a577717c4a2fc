//! The state machine and the stores beside it: everything that may block, a step at a time.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use sodality::crypto::Hasher;
use sodality::endpoint::{Instant, Wake};
use sodality::identity::{MemberId, Name};
use sodality::transfer::{
    self, Event, Manifest, ObjectId, OfferEnd, Source, SourceError, Transfer, TransferError, digest_of,
};
use sodality::wire::field::Digest;

use super::{Command, Config, Failure, ObjectError, Open, OpenAgain, ReadAt, Report, Store};
use crate::clock::Clock;

/// The least time between two reports of progress on one object.
const PROGRESS: Duration = Duration::from_millis(50);

/// Bytes read at once for a digest.
const BLOCK: usize = 64 << 10;

pub(super) enum Input {
    /// In a group, under this number, with these others.
    Joined {
        own: MemberId,
        others: Vec<MemberId>,
        max_message: usize,
    },
    /// In none any more.
    Ended,
    Added(MemberId),
    Removed(MemberId),
    Message {
        from: MemberId,
        payload: Bytes,
    },
    Command(Command),
}

/// What a step came to.
pub(super) struct Turnout {
    pub(super) messages: Vec<Bytes>,
    pub(super) reports: Vec<Report>,
    pub(super) wake: Wake,
}

pub(super) struct Engine {
    config: Config,
    clock: Clock,
    transfer: Option<Transfer>,
    own: Option<MemberId>,
    sources: Sources,
    stores: BTreeMap<ObjectId, Incoming>,
}

#[derive(Default)]
struct Sources(BTreeMap<ObjectId, Box<dyn ReadAt>>);

impl Source for Sources {
    fn read(&mut self, object: ObjectId, offset: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let source = self.0.get_mut(&object).ok_or(SourceError)?;
        source.read_at(offset, out).map_err(|_| SourceError)
    }
}

/// What an object has no number for yet.
struct Unnumbered<'a>(&'a mut dyn ReadAt);

impl Source for Unnumbered<'_> {
    fn read(&mut self, _object: ObjectId, offset: u64, out: &mut [u8]) -> Result<(), SourceError> {
        self.0.read_at(offset, out).map_err(|_| SourceError)
    }
}

/// An accepted object. Its digest is computed as far as its bytes come in order, and the rest read again at the end.
struct Incoming {
    store: Box<dyn Store>,
    size: u64,
    have: u64,
    hasher: Option<Box<dyn Hasher>>,
    hashed: u64,
    told: Option<(Instant, u64)>,
}

impl Incoming {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.store.write_at(offset, bytes)?;
        self.have = self.have.saturating_add(bytes.len() as u64);
        if offset == self.hashed
            && let Some(hasher) = &mut self.hasher
        {
            hasher.update(bytes);
            self.hashed += bytes.len() as u64;
        }
        Ok(())
    }

    fn digest(&mut self) -> Result<Digest, Failure> {
        let mut hasher = self.hasher.take().ok_or(Failure::Digest)?;
        let mut block = vec![0; BLOCK];
        while self.hashed < self.size {
            let length = (self.size - self.hashed).min(BLOCK as u64);
            let piece = block.get_mut(..usize::try_from(length).unwrap_or(BLOCK)).unwrap_or_default();
            self.store.read_at(self.hashed, piece).map_err(Failure::Storage)?;
            hasher.update(piece);
            self.hashed += length;
        }
        hasher.finish().map_err(|_| Failure::Digest)
    }
}

impl Engine {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            clock: Clock::new(),
            transfer: None,
            own: None,
            sources: Sources::default(),
            stores: BTreeMap::new(),
        }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Takes the inputs in and gives at most `room` messages.
    pub(super) fn step(&mut self, inputs: Vec<Input>, room: usize) -> Turnout {
        let mut reports = Vec::new();
        for input in inputs {
            self.take(input, &mut reports);
            // Each input, before the next: an event that is not taken means messages dropped.
            self.drain(&mut reports);
        }
        let mut messages = Vec::new();
        let now = self.clock.now();
        if let Some(transfer) = &mut self.transfer {
            transfer.handle_timeout(now);
            while messages.len() < room {
                let Some(message) = transfer.poll_message(now, &mut self.sources) else { break };
                messages.push(message);
            }
        }
        self.drain(&mut reports);
        self.progress(now, &mut reports);
        // Outside a group nothing can be sent, and joining is an input.
        let wake = self.transfer.as_ref().filter(|_| self.own.is_some()).map_or(Wake::OnInput, Transfer::poll_timeout);
        Turnout { messages, reports, wake }
    }

    fn take(&mut self, input: Input, reports: &mut Vec<Report>) {
        let now = self.clock.now();
        match input {
            Input::Joined { own, others, max_message } => self.joined(own, &others, max_message, reports),
            Input::Ended => {
                self.own = None;
                if let Some(transfer) = &mut self.transfer {
                    transfer.rejoined(now);
                }
            }
            Input::Added(member) => {
                if let (Some(transfer), Some(own)) = (&mut self.transfer, self.own)
                    && own != member
                {
                    transfer.member_joined(now, member);
                }
            }
            Input::Removed(member) => {
                if let Some(transfer) = &mut self.transfer {
                    transfer.member_left(now, member);
                }
            }
            Input::Message { from, payload } => {
                if let Some(transfer) = &mut self.transfer {
                    // Refusals are common: chunks of objects that nobody accepted here.
                    let _ = transfer.handle_message(now, from, &payload);
                }
            }
            Input::Command(command) => self.command(now, command),
        }
    }

    fn joined(&mut self, own: MemberId, others: &[MemberId], max_message: usize, reports: &mut Vec<Report>) {
        let now = self.clock.now();
        if self.transfer.is_none() || max_message < self.config.transfer.max_message {
            for (object, _) in std::mem::take(&mut self.stores) {
                reports.push(Report::Failed { object, why: Failure::Shorter });
            }
            for (object, _) in std::mem::take(&mut self.sources.0) {
                reports.push(Report::OfferEnded { object, why: OfferEnd::Source });
            }
            let window = self.config.transfer.window.max(2 * max_message as u64);
            self.config.transfer = transfer::Config { max_message, window, ..self.config.transfer };
            // Without a machine commands answer `NotJoined`: the configuration, or randomness, is at fault.
            self.transfer = Transfer::new(self.config.transfer, &mut getrandom::SysRng).ok();
        }
        self.own = Some(own);
        if let Some(transfer) = &mut self.transfer {
            transfer.rejoined(now);
            for member in others.iter().filter(|member| **member != own) {
                transfer.member_joined(now, *member);
            }
        }
    }

    fn command(&mut self, now: Instant, command: Command) {
        // Whoever asked may have stopped waiting.
        match command {
            Command::Offer { name, size, source, answer } => drop(answer.send(self.offer(now, name, size, source))),
            Command::Withdraw { object, answer } => {
                self.sources.0.remove(&object);
                drop(answer.send(self.with(|transfer| transfer.withdraw(now, object))));
            }
            Command::Accept { object, from, open, answer } => drop(answer.send(self.accept(now, object, from, open))),
            Command::Resume { open, answer } => drop(answer.send(self.resume(now, open))),
            Command::Decline { object, from, answer } => {
                drop(answer.send(self.with(|transfer| transfer.decline(now, object, from))));
            }
            Command::Abandon { object, answer } => {
                if let Some(incoming) = self.stores.remove(&object) {
                    incoming.store.discard();
                }
                drop(answer.send(self.with(|transfer| transfer.abandon(now, object))));
            }
            Command::Release { object, answer } => {
                self.stores.remove(&object);
                drop(answer.send(self.with(|transfer| transfer.abandon(now, object))));
            }
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Transfer) -> Result<T, TransferError>) -> Result<T, ObjectError> {
        let transfer = self.transfer.as_mut().ok_or(ObjectError::NotJoined)?;
        Ok(act(transfer)?)
    }

    fn offer(
        &mut self,
        now: Instant,
        name: Name,
        size: u64,
        mut source: Box<dyn ReadAt>,
    ) -> Result<Manifest, ObjectError> {
        let transfer = self.transfer.as_mut().ok_or(ObjectError::NotJoined)?;
        let unnumbered = ObjectId([0; 16]);
        let digest = digest_of(&*self.config.suite, unnumbered, size, &mut Unnumbered(&mut *source))?;
        let object = transfer.offer(now, &mut getrandom::SysRng, name, size, digest)?;
        self.sources.0.insert(object, source);
        transfer.offered(object).cloned().ok_or(ObjectError::Transfer(TransferError::Unknown))
    }

    fn accept(&mut self, now: Instant, object: ObjectId, from: MemberId, open: Open) -> Result<(), ObjectError> {
        let transfer = self.transfer.as_mut().ok_or(ObjectError::NotJoined)?;
        if self.stores.contains_key(&object) {
            return Err(TransferError::Taken.into());
        }
        let store = open()?;
        let hasher = self.config.suite.hasher().map_err(|_| TransferError::Suite)?;
        transfer.accept(now, object, from)?;
        let size = transfer.progress(object).map_or(0, |progress| progress.manifest().size);
        self.stores.insert(object, Incoming { store, size, have: 0, hasher: Some(hasher), hashed: 0, told: None });
        Ok(())
    }

    fn resume(&mut self, now: Instant, open: OpenAgain) -> Result<u64, ObjectError> {
        let transfer = self.transfer.as_mut().ok_or(ObjectError::NotJoined)?;
        let (store, progress) = open()?;
        let (object, size, have) = (progress.manifest().object, progress.manifest().size, progress.bytes());
        if self.stores.contains_key(&object) {
            return Err(TransferError::Taken.into());
        }
        let hasher = self.config.suite.hasher().map_err(|_| TransferError::Suite)?;
        transfer.resume(now, progress)?;
        self.stores.insert(object, Incoming { store, size, have, hasher: Some(hasher), hashed: 0, told: None });
        Ok(have)
    }

    fn drain(&mut self, reports: &mut Vec<Report>) {
        while let Some(event) = self.transfer.as_mut().and_then(Transfer::poll_event) {
            self.event(event, reports);
        }
    }

    fn event(&mut self, event: Event, reports: &mut Vec<Report>) {
        match event {
            Event::Offered { from, manifest } => reports.push(Report::Offered { from, manifest }),
            Event::Withdrawn { object, from } => reports.push(Report::Withdrawn { object, from }),
            Event::Write { object, offset, bytes } => {
                let written = self.stores.get_mut(&object).map_or(Ok(()), |incoming| incoming.write(offset, &bytes));
                if let Err(error) = written {
                    self.give_up(object, Failure::Storage(error), reports);
                }
            }
            Event::Complete { object } => match self.stores.get_mut(&object).map(Incoming::digest) {
                Some(Ok(digest)) => {
                    let now = self.clock.now();
                    // What it says comes as an event.
                    let _ = self.with(|transfer| transfer.verify(now, object, &digest));
                }
                Some(Err(why)) => self.give_up(object, why, reports),
                None => {}
            },
            Event::Verified { manifest } => {
                let object = manifest.object;
                let Some(incoming) = self.stores.remove(&object) else { return };
                let size = incoming.size;
                reports.push(Report::Progress { object, have: size, size });
                reports.push(match incoming.store.finish() {
                    Ok(()) => Report::Stored { manifest },
                    Err(error) => Report::Failed { object, why: Failure::Storage(error) },
                });
            }
            Event::Corrupt { object, again: true } => {
                if let Some(incoming) = self.stores.get_mut(&object) {
                    incoming.hasher = self.config.suite.hasher().ok();
                    incoming.hashed = 0;
                    incoming.have = 0;
                }
                reports.push(Report::Corrupt { object });
            }
            Event::Corrupt { object, again: false } => {
                if let Some(incoming) = self.stores.remove(&object) {
                    incoming.store.discard();
                }
                reports.push(Report::Failed { object, why: Failure::Corrupt });
            }
            Event::Stalled { object } => reports.push(Report::Stalled { object }),
            Event::Resumed { object, from } => reports.push(Report::Resumed { object, from }),
            Event::Received { object, member, outcome } => reports.push(Report::Received { object, member, outcome }),
            Event::AllReceived { object } => reports.push(Report::AllReceived { object }),
            Event::OfferEnded { object, why } => {
                self.sources.0.remove(&object);
                reports.push(Report::OfferEnded { object, why });
            }
            _ => {}
        }
    }

    fn give_up(&mut self, object: ObjectId, why: Failure, reports: &mut Vec<Report>) {
        let now = self.clock.now();
        self.stores.remove(&object);
        // It may have ended meanwhile.
        let _ = self.with(|transfer| transfer.abandon(now, object));
        reports.push(Report::Failed { object, why });
    }

    fn progress(&mut self, now: Instant, reports: &mut Vec<Report>) {
        for (object, incoming) in &mut self.stores {
            let due = incoming.told.is_none_or(|(at, have)| have != incoming.have && now.since(at) >= PROGRESS);
            if due {
                incoming.told = Some((now, incoming.have));
                reports.push(Report::Progress { object: *object, have: incoming.have, size: incoming.size });
            }
        }
    }
}
