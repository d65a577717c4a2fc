//! What a transport and the driver see of each other.
//!
//! An adapter does three things:
//!
//! 1. It announces each link with [`Uplink::open`] and gets two halves. The driver numbers the links.
//! 2. It feeds what arrives into [`Incoming::feed`], one whole frame a call, and waits where that waits: this is how
//!    an endpoint, or an application that takes no events, slows its peers down.
//! 3. It sends what [`Outgoing::next`] or [`Outgoing::batch`] gives, one whole frame each, in order.
//!
//! A link ends when either half is closed or dropped, or when the driver ends it: then `feed` fails, `next` gives
//! `None`, and [`Incoming::over`] and [`Outgoing::over`] tell a task that is waiting for the network. When the driver
//! shuts down in order, `feed` fails at once while `next` still gives what is queued; an adapter closes its socket
//! after that and drops the half.
//!
//! A channel that many share (multicast) is one link more, with `LinkInfo::shared`; nothing assumes a star. What a
//! link carries is bounded on both sides by [`LinkLimits`]: an adapter needs no queue of its own.
//!
//! An adapter that can reach peers implements [`Connector`] too. Every task of an adapter that is not about one link
//! (a listener, an attempt to connect) holds a [`Guard`] and ends when [`Uplink::over`] returns, so that a shutdown
//! can wait for it.
//!
//! ```
//! use bytes::BytesMut;
//! use sodality::endpoint::LinkInfo;
//! use sodality_transports::transport::{CloseReason, Refused, Uplink};
//! use tokio::sync::mpsc;
//!
//! /// A transport over two channels: all that an adapter must do.
//! async fn channels(
//!     uplink: Uplink,
//!     mut from_peer: mpsc::Receiver<BytesMut>,
//!     to_peer: mpsc::Sender<BytesMut>,
//! ) -> Result<(), Refused> {
//!     let (mut incoming, mut outgoing) = uplink.open(LinkInfo::stream(1 << 16), "two channels").await?;
//!     tokio::spawn(async move {
//!         while let Some(frame) = outgoing.next().await {
//!             if to_peer.send(BytesMut::from(&frame[..])).await.is_err() {
//!                 break;
//!             }
//!         }
//!     });
//!     loop {
//!         let frame = tokio::select! {
//!             frame = from_peer.recv() => frame,
//!             () = incoming.over() => return Ok(()),
//!         };
//!         let Some(frame) = frame else { break };
//!         if incoming.feed(frame).await.is_err() {
//!             return Ok(());
//!         }
//!     }
//!     incoming.close(CloseReason::Peer);
//!     Ok(())
//! }
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sodality::endpoint::{Class, Link, LinkInfo, LinkTicket};
use sodality::event::Peer;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

pub use crate::queue::LinkLimits;
use crate::queue::{Phase, Queues, Which};
use crate::report::{Notice, Reporter};

/// Why a link closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed it.
    #[error("closed by the peer")]
    Peer,
    /// The network gave an error.
    #[error("network error: {0}")]
    Io(io::ErrorKind),
    /// The peer announced a longer frame than the link allows (R3).
    #[error("the peer announced a frame of {announced} bytes")]
    Oversize {
        /// The announced length, in bytes.
        announced: u64,
    },
    /// The peer began a frame and did not finish it in time, or took nothing for too long.
    #[error("the peer stalled")]
    Stalled,
    /// Nothing came for too long.
    #[error("nothing came for too long")]
    Idle,
    /// The queue could not hold a frame of class `Control`.
    #[error("the peer does not keep up with control frames")]
    Overflow,
    /// The adapter dropped its half.
    #[error("dropped by the adapter")]
    Abandoned,
    /// The endpoint did not learn in time, or in as many bytes as strangers may send, who the peer is (R2).
    #[error("the peer did not show who it is")]
    Stranger,
    /// The application closed it: [`Handle::close_link`](crate::driver::Handle::close_link).
    #[error("closed by the application")]
    Application,
}

impl From<&io::Error> for CloseReason {
    fn from(error: &io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// The link takes nothing more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the link is over")]
pub struct LinkOver;

/// The driver takes no link now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refused {
    /// As many links as the configuration allows.
    #[error("as many links as the configuration allows")]
    Full,
    /// The driver is gone or about to go.
    #[error("the driver is gone")]
    Gone,
}

/// Held by each task of an adapter: a shutdown waits until all are dropped.
#[derive(Clone, Debug)]
pub struct Guard(#[expect(dead_code, reason = "held for the moment of its drop")] pub(crate) mpsc::Sender<Never>);

/// No value of this type exists.
#[derive(Debug)]
pub(crate) enum Never {}

pub(crate) struct OpenRequest {
    pub(crate) info: LinkInfo,
    pub(crate) origin: Arc<str>,
    pub(crate) reply: oneshot::Sender<Result<(Incoming, Outgoing), Refused>>,
}

/// Where an adapter announces links. Cheap to clone; holding one keeps nothing alive.
#[derive(Clone)]
pub struct Uplink {
    pub(crate) opens: mpsc::Sender<OpenRequest>,
    pub(crate) guards: mpsc::WeakSender<Never>,
    pub(crate) reporter: Reporter,
}

impl fmt::Debug for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uplink").field("reporter", &self.reporter).finish_non_exhaustive()
    }
}

impl Uplink {
    /// Announces a link and waits until the endpoint has been told. `origin` is for humans only.
    ///
    /// Waits while the driver has stopped reading. If the future is dropped the link closes by itself.
    ///
    /// # Errors
    /// [`Refused`]: close what was to be the link.
    pub async fn open(&self, info: LinkInfo, origin: &str) -> Result<(Incoming, Outgoing), Refused> {
        let (reply, answer) = oneshot::channel();
        let request = OpenRequest { info, origin: Arc::from(origin), reply };
        self.opens.send(request).await.map_err(|_| Refused::Gone)?;
        answer.await.unwrap_or(Err(Refused::Gone))
    }

    /// A guard for a task, or `None` if the driver is gone or about to go: then do not start it.
    pub fn guard(&self) -> Option<Guard> {
        if self.opens.is_closed() { None } else { self.guards.upgrade().map(Guard) }
    }

    /// Returns once the driver is gone or about to go.
    pub async fn over(&self) {
        self.opens.closed().await;
    }

    /// Counts a connection that the adapter itself closed since it has as many as it may, and tells the observer.
    pub fn refused(&self, origin: &str) {
        self.reporter.count(|c| &c.links_refused);
        self.reporter.tell(|| Notice::Refused { origin: Arc::from(origin) });
    }

    /// Tells the observer of the driver, if there is one, and counts failed attempts.
    pub fn notice(&self, notice: &Notice) {
        if matches!(notice, Notice::Unreachable { .. }) {
            self.reporter.count(|c| &c.unreachable);
        }
        if let Some(observer) = &self.reporter.observer {
            observer(notice);
        }
    }
}

/// The half of a link into which the adapter feeds what arrives.
pub struct Incoming {
    queues: Arc<Queues>,
    reporter: Reporter,
    _guard: Guard,
}

/// Another way into a link, for frames that need not be in order with those of its [`Incoming`]: several tasks may each
/// have one. It keeps nothing open.
#[derive(Clone)]
pub struct Feeder {
    queues: Arc<Queues>,
    reporter: Reporter,
}

/// The half of a link from which the adapter takes what it sends.
pub struct Outgoing {
    queues: Arc<Queues>,
    which: Which,
    reporter: Reporter,
    guard: Guard,
}

pub(crate) fn halves(queues: &Arc<Queues>, reporter: &Reporter, guard: Guard) -> (Incoming, Outgoing) {
    let incoming = Incoming { queues: queues.clone(), reporter: reporter.clone(), _guard: guard.clone() };
    let outgoing = Outgoing { queues: queues.clone(), which: Which::Both, reporter: reporter.clone(), guard };
    (incoming, outgoing)
}

/// What crossed the network, as an adapter counts it. Only for reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wire {
    /// Whole frames.
    pub frames: u64,
    /// Packets; over a stream, reads or writes.
    pub packets: u64,
    /// Bytes, with what the adapter adds to frames.
    pub bytes: u64,
}

impl Incoming {
    /// The link's number.
    pub fn link(&self) -> Link {
        self.queues.link
    }

    /// Hands a whole frame on, and waits while the link's queue is full. If the future is dropped the frame may be
    /// lost.
    ///
    /// # Errors
    /// [`LinkOver`]: nothing more is taken in on this link.
    pub async fn feed(&mut self, frame: BytesMut) -> Result<(), LinkOver> {
        self.queues.feed(frame).await.map_err(|()| LinkOver)
    }

    /// Counts what has come from the network ([`DriverStats`](crate::report::DriverStats)).
    pub fn received(&self, wire: Wire) {
        count_in(&self.reporter, wire);
    }

    /// Whether the endpoint is known to know the peer: `Endpoint::knows`. It is looked at now and then as frames come, and
    /// when [`Self::ask_known`] asks. Once it does, that is for good.
    pub fn is_known(&self) -> bool {
        self.queues.is_known()
    }

    /// Returns once [`Self::is_known`].
    pub async fn known(&self) {
        self.queues.known().await;
    }

    /// Asks whether the endpoint knows the peer by now, with all that was fed. Waits while the driver has stopped reading.
    /// An adapter that bounds strangers closes a link with [`CloseReason::Stranger`] if not.
    pub async fn ask_known(&self) -> bool {
        self.queues.ask_known().await
    }

    /// Hands a whole frame on if there is room now, and says whether there was. For datagrams: where nobody waits, a frame
    /// without room is dropped, as the network might have dropped it, and no link waits for another.
    ///
    /// # Errors
    /// [`LinkOver`]: nothing more is taken in on this link.
    pub fn offer(&mut self, frame: BytesMut) -> Result<bool, LinkOver> {
        self.queues.offer(frame).map(|back| back.is_none()).map_err(|()| LinkOver)
    }

    /// Another way in.
    pub fn feeder(&self) -> Feeder {
        Feeder { queues: self.queues.clone(), reporter: self.reporter.clone() }
    }

    /// Returns once nothing more is taken in.
    pub async fn over(&self) {
        self.queues.reached(Phase::Draining).await;
    }

    /// Returns once all that was queued has gone out or never will. A stream reads on until then, and for a moment
    /// longer: closing it with unread bytes would destroy what is on its way to the peer.
    pub async fn flushed(&self) {
        self.queues.reached(Phase::Flushed).await;
    }

    /// Returns once neither half is of use.
    pub async fn dead(&self) {
        self.queues.reached(Phase::Dead).await;
    }

    /// Closes the link, saying why. What was fed before is still taken in.
    pub fn close(self, why: CloseReason) {
        close(&self.queues, why);
    }
}

impl Feeder {
    /// As [`Incoming::feed`].
    ///
    /// # Errors
    /// [`LinkOver`]: nothing more is taken in on this link.
    pub async fn feed(&self, frame: BytesMut) -> Result<(), LinkOver> {
        self.queues.feed(frame).await.map_err(|()| LinkOver)
    }

    /// As [`Incoming::received`].
    pub fn received(&self, wire: Wire) {
        count_in(&self.reporter, wire);
    }

    /// As [`Incoming::is_known`].
    pub fn is_known(&self) -> bool {
        self.queues.is_known()
    }

    /// Returns once nothing more is taken in.
    pub async fn over(&self) {
        self.queues.reached(Phase::Draining).await;
    }

    /// Closes the link, saying why.
    pub fn close(&self, why: CloseReason) {
        close(&self.queues, why);
    }
}

fn count_in(reporter: &Reporter, wire: Wire) {
    reporter.add(|c| &c.wire_in_frames, wire.frames);
    reporter.add(|c| &c.wire_in_packets, wire.packets);
    reporter.add(|c| &c.wire_in_bytes, wire.bytes);
}

impl Drop for Incoming {
    fn drop(&mut self) {
        close(&self.queues, CloseReason::Abandoned);
    }
}

/// During a shutdown the end of the incoming half is no end of the outgoing one.
fn close(queues: &Queues, why: CloseReason) {
    if queues.phase() == Phase::Open {
        queues.end(why);
    }
}

impl Outgoing {
    /// The link's number.
    pub fn link(&self) -> Link {
        self.queues.link
    }

    /// The next frame, as soon as there is one; `None` once there will be none. Loses nothing if dropped.
    pub async fn next(&mut self) -> Option<Bytes> {
        let mut one = Vec::with_capacity(1);
        self.batch(&mut one, 0).await;
        one.pop()
    }

    /// Appends queued frames to `batch`, as soon as there is one: up to `most_bytes` together, but at least one.
    /// `false` once there will be none. Loses nothing if dropped.
    pub async fn batch(&mut self, batch: &mut Vec<Bytes>, most_bytes: usize) -> bool {
        self.queues.take_out(self.which, batch, most_bytes).await
    }

    /// Counts what was given to the network ([`DriverStats`](crate::report::DriverStats)).
    pub fn sent(&self, wire: Wire) {
        self.reporter.add(|c| &c.wire_out_frames, wire.frames);
        self.reporter.add(|c| &c.wire_out_packets, wire.packets);
        self.reporter.add(|c| &c.wire_out_bytes, wire.bytes);
    }

    /// Takes the two classes apart: the first part gives frames of class `Control`, the second those of class `Data`, so that data
    /// that wait delay no control. Each ends as the whole would.
    #[must_use]
    pub fn split(mut self) -> (Self, Self) {
        let (queues, reporter, guard) = (self.queues.clone(), self.reporter.clone(), self.guard.clone());
        let data = Self { queues, which: Which::Only(Class::Data), reporter, guard };
        self.which = Which::Only(Class::Control);
        (self, data)
    }

    /// Returns once the link is over at once, and what is queued is not sent any more.
    pub async fn over(&self) {
        self.queues.reached(Phase::Dead).await;
    }

    /// Closes the link, saying why. What is queued is not sent.
    pub fn close(self, why: CloseReason) {
        self.queues.end(why);
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.queues.end_out(self.which, CloseReason::Abandoned);
    }
}

impl fmt::Debug for Feeder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Feeder").field(&self.queues.link).finish()
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incoming").field(&self.queues.link).finish()
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outgoing").field(&self.queues.link).finish()
    }
}

/// The endpoint wants a link to a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Names the wish: goes into `LinkInfo::answers`.
    pub ticket: LinkTicket,
    /// Whom to reach.
    pub peer: Peer,
    /// A communication hint from the policy, or empty.
    pub hint: Bytes,
}

/// An adapter that can reach peers.
///
/// Called inside the driver's task, in its runtime: it must not block, and starts a task for whatever takes time.
/// Wishes may repeat; an adapter has at most one attempt for a peer under way and answers the latest ticket.
pub trait Connector: Send + 'static {
    /// Begins to reach the peer and returns `true`; or returns `false` if this adapter knows no way, and the next
    /// connector is asked.
    fn connect(&mut self, wish: &Wish, uplink: &Uplink) -> bool;
}

impl<C: Connector + ?Sized> Connector for Box<C> {
    fn connect(&mut self, wish: &Wish, uplink: &Uplink) -> bool {
        (**self).connect(wish, uplink)
    }
}
