//! [`Transfer`]: both halves behind one face.

use alloc::collections::VecDeque;

use bytes::Bytes;

use super::object::{Manifest, Progress, Source};
use super::receiver::Receiver;
use super::sender::Sender;
use super::window::Window;
use super::{Config, EVENTS_PER_MESSAGE, Event, TransferError, Turn, chunk_room};
use crate::endpoint::{Due, Entropy, Instant, Wake};
use crate::error::Reason;
use crate::group::Jitter;
use crate::identity::{MemberId, Name};
use crate::wire::field::{Digest, Field};
use crate::wire::transfer::{OBJECT_BYTES, ObjectId, ObjectMessage};

/// Objects of one member of one group: those that it offers and those that it receives. See the [module](super) for
/// how to drive it.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub struct Transfer {
    config: Config,
    /// The latest time of any input: time does not go back.
    now: Instant,
    jitter: Jitter,
    sender: Sender,
    receiver: Receiver,
    events: VecDeque<Event>,
    /// Messages dropped for want of room.
    overruns: u64,
}

fingerprint!(Transfer { now, jitter, sender, receiver, events } skip { config, overruns });

impl Transfer {
    /// A machine without objects. Draws its seed from `rng`, once.
    ///
    /// # Errors
    /// [`TransferError::Config`] or [`TransferError::Entropy`].
    pub fn new(config: Config, rng: &mut dyn Entropy) -> Result<Self, TransferError> {
        config.check()?;
        let mut seeds = [[0; 8]; 2];
        rng.fill(seeds.as_flattened_mut()).map_err(|_| TransferError::Entropy)?;
        let [origin, jitter] = seeds.map(u64::from_be_bytes);
        let window = Window::new(config.window, config.max_message as u64, origin, config.probe_after);
        Ok(Self {
            config,
            now: Instant::ORIGIN,
            jitter: Jitter::new(jitter),
            sender: Sender::new(window),
            receiver: Receiver::new(),
            events: VecDeque::new(),
            overruns: 0,
        })
    }

    // Commands of a sender.

    /// Offers an object of `size` bytes to the group, for [`Config::keep_for`]. `digest` is that of [`super::digest_of`].
    /// The bytes are read when somebody wants them and must not change.
    ///
    /// # Errors
    /// [`TransferError::Full`], [`TransferError::Manifest`] or [`TransferError::Entropy`].
    pub fn offer(
        &mut self,
        now: Instant,
        rng: &mut dyn Entropy,
        name: Name,
        size: u64,
        digest: Digest,
    ) -> Result<ObjectId, TransferError> {
        let mut id = [0; OBJECT_BYTES];
        rng.fill(&mut id).map_err(|_| TransferError::Entropy)?;
        let object = ObjectId(id);
        let chunk = u32::try_from(chunk_room(self.config.max_message)).unwrap_or(u32::MAX);
        self.offer_again(now, Manifest { object, name, size, chunk, digest })?;
        Ok(object)
    }

    /// Offers an object that has a manifest: after a restart, or one that was received and verified here.
    ///
    /// # Errors
    /// [`TransferError::Full`], [`TransferError::Manifest`] or [`TransferError::Taken`].
    pub fn offer_again(&mut self, now: Instant, manifest: Manifest) -> Result<(), TransferError> {
        if !manifest.fits(&self.config.limits, self.config.max_message) {
            return Err(TransferError::Manifest);
        }
        if self.sender.manifest(manifest.object).is_some() || self.receiver.get(manifest.object).is_some() {
            return Err(TransferError::Taken);
        }
        if self.sender.len() >= self.config.limits.offers {
            return Err(TransferError::Full);
        }
        let now = self.advance(now);
        self.sender.add(now, &self.config, manifest);
        Ok(())
    }

    /// Ends an offer and says so.
    ///
    /// # Errors
    /// [`TransferError::Unknown`].
    pub fn withdraw(&mut self, now: Instant, object: ObjectId) -> Result<(), TransferError> {
        self.advance(now);
        if self.sender.remove(object) { Ok(()) } else { Err(TransferError::Unknown) }
    }

    // Commands of a receiver.

    /// Accepts what `from` offers. Memory for it is taken now: two bits a chunk.
    ///
    /// # Errors
    /// [`TransferError::Unknown`], [`TransferError::Taken`] or [`TransferError::Full`].
    pub fn accept(&mut self, now: Instant, object: ObjectId, from: MemberId) -> Result<(), TransferError> {
        let (sender, receiver, mut turn) = self.turn(now);
        if sender.manifest(object).is_some() {
            return Err(TransferError::Taken);
        }
        receiver.accept(&mut turn, object, from)
    }

    /// Goes on with an object after a restart: whoever announces it is asked for the rest.
    ///
    /// # Errors
    /// [`TransferError::Manifest`], [`TransferError::Taken`] or [`TransferError::Full`].
    pub fn resume(&mut self, now: Instant, progress: Progress) -> Result<(), TransferError> {
        let (sender, receiver, mut turn) = self.turn(now);
        if sender.manifest(progress.manifest.object).is_some() {
            return Err(TransferError::Taken);
        }
        receiver.resume(&mut turn, progress)
    }

    /// Refuses what `from` offers, for good.
    ///
    /// # Errors
    /// [`TransferError::Unknown`].
    pub fn decline(&mut self, now: Instant, object: ObjectId, from: MemberId) -> Result<(), TransferError> {
        let now = self.advance(now);
        self.receiver.decline(now, object, from)
    }

    /// Gives up an accepted object, for good.
    ///
    /// # Errors
    /// [`TransferError::Unknown`].
    pub fn abandon(&mut self, now: Instant, object: ObjectId) -> Result<(), TransferError> {
        let now = self.advance(now);
        self.receiver.abandon(now, object)
    }

    /// Takes the digest of what is stored of a complete object. Whether it is the right one; an event says so too, and
    /// what follows.
    ///
    /// # Errors
    /// [`TransferError::Unknown`] or [`TransferError::NotWhole`].
    pub fn verify(&mut self, now: Instant, object: ObjectId, digest: &Digest) -> Result<bool, TransferError> {
        let (_, receiver, mut turn) = self.turn(now);
        receiver.verify(&mut turn, object, digest)
    }

    // Inputs.

    /// A member is in the view: objects are announced to it and it is waited for.
    pub fn member_joined(&mut self, now: Instant, member: MemberId) {
        let now = self.advance(now);
        self.sender.member_joined(now, &self.config, &mut self.jitter, member);
    }

    /// A member is gone from the view: nothing is expected of it any more.
    pub fn member_left(&mut self, now: Instant, member: MemberId) {
        self.advance(now);
        self.sender.member_left(member, &mut self.events);
        self.receiver.member_left(member, &mut self.events);
    }

    /// The own member has joined again. All members are forgotten, since their numbers may mean others now: name them
    /// again. Objects stay.
    pub fn rejoined(&mut self, now: Instant) {
        let now = self.advance(now);
        self.sender.rejoined(now, &self.config);
        self.receiver.rejoined(&mut self.events);
    }

    /// Takes in the payload of a message of another member.
    ///
    /// # Errors
    /// [`Reason`] why it was refused; nothing has changed. [`Reason::Unknown`] is common: objects that nobody accepted here.
    pub fn handle_message(&mut self, now: Instant, from: MemberId, payload: &Bytes) -> Result<(), Reason> {
        self.advance(now);
        if self.events.len() + EVENTS_PER_MESSAGE > self.config.limits.events {
            self.overruns = self.overruns.saturating_add(1);
            return Err(Reason::Budget);
        }
        let (sender, receiver, mut turn) = self.turn(now);
        match ObjectMessage::decode(payload).map_err(|_| Reason::Malformed)? {
            ObjectMessage::Announce(announce) => {
                if sender.manifest(announce.manifest.object).is_some() {
                    // Two members offer the same: there is nothing to receive.
                    return Err(Reason::Unknown);
                }
                receiver.handle_announce(&mut turn, from, &announce)
            }
            ObjectMessage::Chunk(chunk) => receiver.handle_chunk(&mut turn, from, &chunk, payload),
            ObjectMessage::Want(want) => {
                sender.handle_want(turn.now, turn.config, from, &want)?;
                receiver.overhear_want(&want)
            }
            ObjectMessage::Progress(progress) => {
                sender.handle_progress(progress.object, progress.mark);
                receiver.overhear_progress(progress.object, progress.mark);
                Ok(())
            }
            ObjectMessage::Done(done) => {
                sender.handle_done(from, &done, turn.events);
                Ok(())
            }
            ObjectMessage::Withdraw(withdraw) => {
                receiver.handle_withdraw(from, withdraw.object, turn.events);
                Ok(())
            }
        }
    }

    /// The instant of [`Self::poll_timeout`] has come. Ask [`Self::poll_message`] and [`Self::poll_event`] after it.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    // Output.

    /// The next message for the group, at most [`Config::max_message`] bytes; `None` if there is nothing to say now.
    /// Ask only while the group takes messages. Chunks are read from `source`.
    pub fn poll_message(&mut self, now: Instant, source: &mut dyn Source) -> Option<Bytes> {
        let (sender, receiver, mut turn) = self.turn(now);
        sender
            .poll_control(&mut turn)
            .or_else(|| receiver.poll_control(&mut turn))
            .or_else(|| sender.poll_chunk(&mut turn, source))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`]. `Wake::Now` while there are messages or events.
    pub fn poll_timeout(&self) -> Wake {
        let deadline = [self.sender.deadline(self.now), self.receiver.deadline()].into_iter().flatten().min();
        if !self.events.is_empty() || deadline.is_some_and(|at| at <= self.now) {
            return Wake::Now(Due::Output);
        }
        Wake::at(deadline, Due::Object)
    }

    // View.

    /// How far an object has come: for display, and to be stored for [`Self::resume`]. Drain [`Self::poll_event`] and
    /// store what it gave first. Costs a bit a chunk.
    pub fn progress(&self, object: ObjectId) -> Option<Progress> {
        let incoming = self.receiver.get(object)?;
        Some(Progress { manifest: incoming.manifest.clone(), have: incoming.have.copy() })
    }

    /// How many of how many chunks of an object are here. Costs nothing.
    pub fn received(&self, object: ObjectId) -> Option<(u32, u32)> {
        self.receiver.get(object).map(|incoming| (incoming.have.count(), incoming.have.len()))
    }

    /// Whether nothing is asked for since the sender of an object is gone or silent.
    pub fn is_stalled(&self, object: ObjectId) -> bool {
        self.receiver.get(object).is_some_and(super::incoming::Incoming::is_stalled)
    }

    /// The manifest of an own offer.
    pub fn offered(&self, object: ObjectId) -> Option<&Manifest> {
        self.sender.manifest(object)
    }

    /// Bytes of chunks on their way that nobody has confirmed: never more than [`Config::window`].
    pub fn in_flight(&self) -> u64 {
        self.sender.window.in_flight()
    }

    /// Messages dropped unread since events were not taken.
    pub fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Both halves, and what a step of them needs.
    fn turn(&mut self, now: Instant) -> (&mut Sender, &mut Receiver, Turn<'_>) {
        let now = self.advance(now);
        let Self { config, jitter, sender, receiver, events, .. } = self;
        (sender, receiver, Turn { now, config, jitter, events })
    }

    /// Moves the clock on, never back.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.sender.advance(self.now, &mut self.events);
        self.now
    }
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Event {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let code = |code: u8, sink: &mut dyn crate::fingerprint::Sink| sink.feed(&[code]);
        match self {
            Self::Offered { from, manifest } => {
                code(0, sink);
                (from, manifest).fingerprint(now, sink);
            }
            Self::Withdrawn { object, from } => {
                code(1, sink);
                (object, from).fingerprint(now, sink);
            }
            Self::Write { object, offset, bytes } => {
                code(2, sink);
                ((object, offset), bytes).fingerprint(now, sink);
            }
            Self::Complete { object } => {
                code(3, sink);
                object.fingerprint(now, sink);
            }
            Self::Verified { manifest } => {
                code(4, sink);
                manifest.fingerprint(now, sink);
            }
            Self::Corrupt { object, again } => {
                code(5, sink);
                (object, again).fingerprint(now, sink);
            }
            Self::Stalled { object } => {
                code(6, sink);
                object.fingerprint(now, sink);
            }
            Self::Resumed { object, from } => {
                code(7, sink);
                (object, from).fingerprint(now, sink);
            }
            Self::Received { object, member, outcome } => {
                code(8, sink);
                ((object, member), outcome).fingerprint(now, sink);
            }
            Self::AllReceived { object } => {
                code(9, sink);
                object.fingerprint(now, sink);
            }
            Self::OfferEnded { object, why } => {
                code(10, sink);
                (object, &(*why == super::OfferEnd::Source)).fingerprint(now, sink);
            }
        }
    }
}
