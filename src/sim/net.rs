//! What a network is made of: links and what may go wrong on them.

use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

use bytes::Bytes;

use super::world::NodeId;
use crate::endpoint::{Class, Instant, Link, LinkInfo, LinkTicket};

/// What goes wrong with datagrams, each in so many of a thousand cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// A frame is lost.
    pub loss: u16,
    /// A frame arrives twice.
    pub duplicate: u16,
    /// A frame is held back by up to [`Self::reorder_by`], so that later ones overtake it.
    pub reorder: u16,
    /// One bit of a frame is flipped.
    pub corrupt: u16,
    /// How long a frame is held back at most.
    pub reorder_by: Duration,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self { loss: 0, duplicate: 0, reorder: 0, corrupt: 0, reorder_by: Duration::ZERO };
    /// A bad day.
    pub const HARSH: Self =
        Self { loss: 200, duplicate: 100, reorder: 200, corrupt: 20, reorder_by: Duration::from_millis(400) };

    /// The worse of the two in each respect.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        Self {
            loss: self.loss.max(other.loss),
            duplicate: self.duplicate.max(other.duplicate),
            reorder: self.reorder.max(other.reorder),
            corrupt: self.corrupt.max(other.corrupt),
            reorder_by: self.reorder_by.max(other.reorder_by),
        }
    }
}

/// What a link is like. Whether it is shared follows from how it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkConfig {
    /// Longest frame, in bytes. A machine that sends a longer one stops the run.
    pub max_frame: usize,
    /// Like TCP: in order, no faults of [`Self::faults`]; a partition or a crash breaks it, and both sides are told.
    /// Otherwise like UDP: nobody is told anything.
    pub reliable: bool,
    /// The peer's address is shown to be its own.
    pub proven: bool,
    /// The least time that a frame takes.
    pub latency: Duration,
    /// What is added to it at most, evenly spread.
    pub jitter: Duration,
    /// What goes wrong; for datagrams only.
    pub faults: Faults,
    /// Bytes a second in each direction, if limited.
    pub bandwidth: Option<NonZeroU64>,
    /// Most bytes that wait for a limited bandwidth. Beyond that, data is dropped; control too on a datagram link,
    /// while a reliable link that cannot hold it is closed.
    pub backlog: u64,
}

impl LinkConfig {
    /// A good stream: 64 KiB frames, a millisecond.
    pub const STREAM: Self = Self {
        max_frame: 65_536,
        reliable: true,
        proven: true,
        latency: Duration::from_millis(1),
        jitter: Duration::ZERO,
        faults: Faults::NONE,
        bandwidth: None,
        backlog: 1 << 20,
    };
    /// A good datagram link whose peer has proved its address: 1200 bytes, a millisecond.
    pub const DATAGRAM: Self = Self { max_frame: 1_200, reliable: false, ..Self::STREAM };

    /// With this latency and jitter.
    #[must_use]
    pub const fn delay(mut self, latency: Duration, jitter: Duration) -> Self {
        self.latency = latency;
        self.jitter = jitter;
        self
    }

    /// With these faults.
    #[must_use]
    pub const fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// With this longest frame.
    #[must_use]
    pub const fn max_frame(mut self, bytes: usize) -> Self {
        self.max_frame = bytes;
        self
    }

    /// What a machine is told of it.
    pub fn info(&self, shared: bool, answers: Option<LinkTicket>) -> LinkInfo {
        LinkInfo { max_frame: self.max_frame, reliable: self.reliable, proven: self.proven && !shared, shared, answers }
    }
}

/// The number of a wire: what joins two ends, or, when shared, any number of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WireId(pub u64);

/// A frame on its way to one receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InTransit {
    /// Counts all frames of the run, a frame for many once for each receiver.
    pub number: u64,
    /// When it was sent.
    pub sent: Instant,
    /// Who sent it: as the network sees it, which proves nothing.
    pub from: NodeId,
    /// The sender's link. An injected frame names the link it pretends to come from.
    pub from_link: Link,
    /// Who will receive it.
    pub to: NodeId,
    /// The receiver's link.
    pub to_link: Link,
    /// The wire.
    pub wire: WireId,
    /// The bytes.
    pub bytes: Bytes,
    /// What it is worth under pressure.
    pub class: Class,
    /// Whether an adversary made or altered it.
    pub injected: bool,
}

impl fmt::Display for InTransit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {} of {} bytes, {} to {}", self.number, self.bytes.len(), self.from_link, self.to_link)
    }
}

/// What happened to frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NetStats {
    /// Sent, once for each receiver.
    pub sent: u64,
    /// Handed to a machine.
    pub delivered: u64,
    /// Lost by a fault, a partition, a block or an overflow.
    pub lost: u64,
    /// Delivered once more.
    pub duplicated: u64,
    /// Delivered with a flipped bit.
    pub corrupted: u64,
    /// Came to a closed link, or was sent on one.
    pub homeless: u64,
    /// Dropped by the adversary.
    pub intercepted: u64,
    /// Made or altered by the adversary.
    pub injected: u64,
}
