//! What a driver tells about itself: counters, and notices on links. Neither is part of any protocol.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sodality::endpoint::{Link, LinkInfo};
use sodality::event::Peer;

use crate::transport::CloseReason;

/// What happened to links, for logs and diagnosis. Origins are for humans: an address identifies nobody (R40).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A link has opened.
    Opened {
        /// Its number.
        link: Link,
        /// What is known of it.
        info: LinkInfo,
        /// Where it leads, as the adapter describes it.
        origin: Arc<str>,
    },
    /// A link has closed.
    Closed {
        /// Its number.
        link: Link,
        /// Why.
        why: CloseReason,
        /// Frames of class `Data` that were dropped on it for lack of room, in all its life.
        dropped: u64,
    },
    /// A link that there was no room for, in the driver or in the adapter.
    Refused {
        /// Where it would have led.
        origin: Arc<str>,
    },
    /// An attempt to reach a peer failed.
    Unreachable {
        /// Whom.
        peer: Peer,
        /// What failed.
        why: Arc<str>,
        /// Whether there will be another attempt for this wish.
        again: bool,
    },
    /// What a multicast channel tried, and what came of it (R47).
    Multicast {
        /// Its link.
        link: Link,
        /// Group, interface, reach and counts, in words.
        report: Arc<str>,
    },
}

/// Receives notices, inside tasks of the driver and its adapters: it must be quick and must not block.
pub type Observer = Arc<dyn Fn(&Notice) + Send + Sync>;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one driver and its links, at one moment.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        #[non_exhaustive]
        pub struct DriverStats {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> DriverStats {
                DriverStats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Links opened.
    links_opened,
    /// Links closed.
    links_closed,
    /// Links refused since there were as many as the configuration allows, in all or to one address.
    links_refused,
    /// Frames that the endpoint took in.
    frames_in,
    /// Frames put into a link's queue; a frame to many links counts once for each.
    frames_out,
    /// Frames of class `Data` dropped since the link's queue was full.
    data_dropped,
    /// Links closed since they could not hold a frame of class `Control`.
    control_overflows,
    /// Frames that were longer than their link allows, or for no open link.
    undeliverable,
    /// Times at which the driver stopped reading since the application did not take its events.
    pauses,
    /// Wishes for a link that no connector took.
    wishes_untaken,
    /// Attempts to reach a peer that failed.
    unreachable,
    /// Times at which an endpoint asked to be called at once but had nothing to show for many calls (R11).
    spins,
    /// Frames that the adapters say they gave to the network.
    wire_out_frames,
    /// Packets, or writes, that these took.
    wire_out_packets,
    /// Bytes of these, with what the adapter adds.
    wire_out_bytes,
    /// Whole frames that the adapters say came from the network.
    wire_in_frames,
    /// Packets, or reads, in which these came.
    wire_in_packets,
    /// Bytes of these, with what the adapter adds.
    wire_in_bytes,
}

/// What the driver, its links and its adapters share for reporting.
#[derive(Clone)]
pub(crate) struct Reporter {
    pub(crate) counters: Arc<Counters>,
    pub(crate) observer: Option<Observer>,
}

impl Reporter {
    pub(crate) fn count(&self, counter: impl FnOnce(&Counters) -> &AtomicU64) {
        self.add(counter, 1);
    }

    pub(crate) fn add(&self, counter: impl FnOnce(&Counters) -> &AtomicU64, by: u64) {
        counter(&self.counters).fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn tell(&self, notice: impl FnOnce() -> Notice) {
        if let Some(observer) = &self.observer {
            observer(&notice());
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("stats", &self.counters.snapshot()).finish_non_exhaustive()
    }
}
