//! The sans-IO contract between a protocol object and whoever drives it.
//!
//! An [`Endpoint`] has four families of methods:
//!
//! * **input**: `handle_link_opened`, `handle_link_closed`, `handle_frame`, `handle_timeout`;
//! * **commands**: inherent methods of each machine (`join`, `send`, `leave`, …), all of which take a [`Cx`];
//! * **output**: `poll_transmit`, `poll_event`, `poll_timeout`;
//! * **view**: everything that takes `&self`.
//!
//! Any order of calls is correct and spurious calls are harmless. All that an input caused is visible to the output
//! methods at once. After each input or command, drain `poll_transmit` and `poll_event` until both give `None`, then
//! ask `poll_timeout`. The loop stands as a compiled example on the front page of this crate.
//!
//! Time and randomness are arguments (R44): a machine reads no clock and owns no generator, so the same calls with
//! the same [`Cx`] give the same bytes (R43).

use alloc::sync::Arc;
use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::error::{Failure, Fatal};
use crate::event::{Event, Stats};

/// Microseconds since an origin that the driver chose. Arithmetic is total: it saturates.
///
/// The clock behind it must not run slow and must count suspended time, or the staleness bound (S8) is void.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ORIGIN: Self = Self(0);

    /// The instant `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// Milliseconds since the Unix epoch, for what is stamped with wall time (D30). Never used for freshness in a repaired
/// edition (R12).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WallClock(pub u64);

/// A source of random bytes. Object safe, and fallible (R18): a failed draw leaves the machine that asked as it was.
///
/// Every `rand_core::TryCryptoRng` is one.
pub trait Entropy {
    /// Fills `out` wholly.
    ///
    /// # Errors
    /// [`EntropyError`] if the source has nothing to give; the contents of `out` are then not used.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError>;
}

/// The random source gave nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the random source failed")]
pub struct EntropyError;

impl From<EntropyError> for Failure {
    fn from(EntropyError: EntropyError) -> Self {
        Self::Entropy
    }
}

impl<R: rand_core::TryCryptoRng> Entropy for R {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.try_fill_bytes(out).map_err(|_| EntropyError)
    }
}

/// What a call brings along: the time, and a source of randomness.
pub struct Cx<'a> {
    /// The time of the input. If it lies before that of an earlier call it is taken as the earlier one and counted in
    /// [`Stats::clock_back`].
    pub now: Instant,
    /// Wall-clock time, for those editions that stamp messages with it.
    pub wall: Option<WallClock>,
    /// Randomness.
    pub rng: &'a mut dyn Entropy,
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("now", &self.now).field("wall", &self.wall).finish_non_exhaustive()
    }
}

impl<'a> Cx<'a> {
    /// A context without wall-clock time.
    pub fn new(now: Instant, rng: &'a mut dyn Entropy) -> Self {
        Self { now, wall: None, rng }
    }
}

/// A link: a number that the driver made. Never an address, never an identity (R40), never used twice by one driver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Link(pub u64);

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// What the driver knows of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkInfo {
    /// Longest frame, in bytes, that the link carries.
    pub max_frame: usize,
    /// Frames arrive once and in order while the link is open.
    pub reliable: bool,
    /// The peer's address has been shown to be its own (TCP, QUIC, a cookie over UDP).
    pub proven: bool,
    /// A multicast channel: frames come from anybody who listens there. A leader sends rekeys and heartbeats to all over it,
    /// and nothing that one member alone needs (RA §4.3, §4.4); data go there where the policy says so (RA §5, modes), and then
    /// members may send there too. That own frames come back is harmless.
    pub shared: bool,
    /// The wish that this link answers: the ticket of [`Event::LinkWanted`].
    pub answers: Option<LinkTicket>,
}

impl LinkInfo {
    /// A link over a stream: reliable, proven, point to point.
    pub const fn stream(max_frame: usize) -> Self {
        Self { max_frame, reliable: true, proven: true, shared: false, answers: None }
    }
}

/// Names one wish for a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkTicket(pub u64);

/// Who receives a frame. The core decides; a transport delivers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum To {
    /// One link.
    Link(Link),
    /// Many links. The set is built once for each view and shared.
    Many(Arc<[Link]>),
    /// Many links but for one: what a relay forwards goes to everybody but its sender.
    AllBut(Arc<[Link]>, Link),
}

impl To {
    /// The links, one after the other.
    pub fn links(&self) -> impl Iterator<Item = Link> {
        let (one, many, but) = match self {
            Self::Link(link) => (Some(*link), &[][..], None),
            Self::Many(links) => (None, &**links, None),
            Self::AllBut(links, but) => (None, &**links, Some(*but)),
        };
        one.into_iter().chain(many.iter().copied().filter(move |link| Some(*link) != but))
    }
}

/// What a transport under pressure gives up first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// Never dropped: a link that cannot hold it is closed.
    Control,
    /// Dropped when a queue is full: data is best effort (G6), objects repair themselves.
    Data,
}

/// One frame on its way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Who receives it.
    pub to: To,
    /// The bytes.
    pub frame: Bytes,
    /// What it is worth under pressure.
    pub class: Class,
}

/// When to call `handle_timeout`, and why: a deadline that carries its reason explains itself in a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// At once: work is left over from the last input.
    Now(Due),
    /// At this instant, if nothing else happens before.
    At(Instant, Due),
    /// Only on the next input.
    OnInput,
}

impl Wake {
    /// The earlier of two wishes.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now(_), _) | (_, Self::OnInput) => self,
            (_, Self::Now(_)) | (Self::OnInput, _) => other,
            (Self::At(a, _), Self::At(b, _)) => {
                if b < a {
                    other
                } else {
                    self
                }
            }
        }
    }

    /// A wish for `at`, or none.
    pub fn at(at: Option<Instant>, due: Due) -> Self {
        at.map_or(Self::OnInput, |at| Self::At(at, due))
    }
}

/// The reason of a deadline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Due {
    /// Frames or events are queued.
    Output,
    /// Frames that came before their key are opened, a few at a time.
    EarlyFrames,
    /// A request to the third party is repeated.
    ThirdParty,
    /// A join is repeated.
    Join,
    /// A join, or the time in which it may be answered, is over.
    JoinExpiry,
    /// A record of the channel is repeated.
    Record,
    /// A key block or a view page is repeated.
    KeyRepeat,
    /// The next poll (heartbeat) is due.
    Poll,
    /// A heartbeat on shared links goes out, or one is missing.
    Heartbeat,
    /// Evidence that the key is current is about to be too old.
    Staleness,
    /// The peer has been silent for too long.
    Silence,
    /// The old key ends.
    Grace,
    /// Sending moves to the new key.
    Settle,
    /// A batch of membership changes is turned into one epoch.
    Rekey,
    /// The farewell is repeated, or its time is over.
    Farewell,
    /// An application's answer is overdue.
    Answer,
    /// A link is wanted, again.
    Link,
    /// An object is announced, asked for or reported (`transfer`).
    Object,
}

/// A protocol object: a leader, a member or a third party. Object safe; the driver needs no type parameter for it.
pub trait Endpoint: fmt::Debug + Send {
    /// A link has opened.
    ///
    /// # Errors
    /// [`Fatal`]: a bug of this library; the object is finished. So for the other input methods.
    fn handle_link_opened(&mut self, cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal>;

    /// A link has closed. Nothing sent to it arrives any more. Closing is never a leave.
    ///
    /// # Errors
    /// As `handle_link_opened`.
    fn handle_link_closed(&mut self, cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal>;

    /// A frame has arrived. Hostile, stale and damaged frames are an [`Event::Rejected`] and a counter, not an error.
    ///
    /// # Errors
    /// As `handle_link_opened`.
    fn handle_frame(&mut self, cx: &mut Cx<'_>, link: Link, frame: BytesMut) -> Result<(), Fatal>;

    /// The instant of [`Self::poll_timeout`] has come. Too early and too late are both harmless.
    ///
    /// # Errors
    /// As `handle_link_opened`.
    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal>;

    /// The next frame to send. Output that grows with the group is made here, a frame a call.
    fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<Transmit>;

    /// The next event for the application.
    fn poll_event(&mut self) -> Option<Event>;

    /// When to call `handle_timeout`. `Wake::Now` while frames or events are queued.
    fn poll_timeout(&self) -> Wake;

    /// Counters.
    fn stats(&self) -> &Stats;

    /// Whether a peer has shown on this link who it is. Drivers ask, to bound how many strangers they hold, for how long and
    /// at what cost (R2). It is no identity (R40), and nothing that an endpoint does depends on it. `true` from an endpoint that
    /// does not judge.
    fn knows(&self, link: Link) -> bool {
        let _ = link;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_on_time_is_total() {
        let late = Instant::from_micros(u64::MAX - 1);
        assert_eq!(late + Duration::from_secs(1), Instant::from_micros(u64::MAX));
        assert_eq!(Instant::ORIGIN - Duration::from_secs(1), Instant::ORIGIN);
        assert_eq!(Instant::ORIGIN.since(late), Duration::ZERO);
        assert_eq!(Instant::ORIGIN + Duration::MAX, Instant::from_micros(u64::MAX));
    }

    #[test]
    fn the_earlier_wish_wins() {
        let soon = Wake::At(Instant::from_micros(1), Due::Poll);
        let later = Wake::At(Instant::from_micros(2), Due::Join);
        assert_eq!(later.earlier(soon), soon);
        assert_eq!(soon.earlier(Wake::OnInput), soon);
        assert_eq!(Wake::OnInput.earlier(later), later);
        assert_eq!(soon.earlier(Wake::Now(Due::Output)), Wake::Now(Due::Output));
    }
}
