//! What the application chooses about objects.

use core::time::Duration;

use super::TransferError;
use crate::wire::transfer::{CHUNK_OVERHEAD, MAX_CONTROL};

/// How objects are sent, repaired and remembered.
///
/// The defaults suit some dozens of members on paths of up to 100 ms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Longest message, in bytes: what `Participant::max_message` says. At least [`Self::LEAST_MESSAGE`].
    pub max_message: usize,
    /// Bytes of chunk messages, in all, that may be on their way while nobody has confirmed them. At most the queue that
    /// a relay keeps for one link, divided by the number of members that send at once; at least twice `max_message`.
    pub window: u64,
    /// How long an object is on offer.
    pub keep_for: Duration,
    /// The time between the first two announcements of an object; it doubles.
    pub announce_first: Duration,
    /// The longest time between announcements.
    pub announce_longest: Duration,
    /// Reports come within this time; more of it means fewer that say the same, and less throughput.
    pub report_delay: Duration,
    /// The least time between two demands for what is missing; there is up to as much of random delay on top. Longer than a
    /// round trip.
    pub repair_after: Duration,
    /// The longest that this time becomes while the sender is silent.
    pub repair_longest: Duration,
    /// After so many silent rounds an object is stalled.
    pub silent_rounds: u32,
    /// A chunk is not sent again within this time, however often it is asked for. About a round trip, and at most half of
    /// `repair_after`.
    pub hold: Duration,
    /// How long a shut window waits for a report before it is probed; that doubles.
    pub probe_after: Duration,
    /// After so many probes without an answer, sending stops until somebody asks.
    pub probes: u32,
    /// How often an object that proved corrupt is fetched anew.
    pub retries: u32,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds. What reaches one is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Own objects on offer.
    pub offers: usize,
    /// Objects being received.
    pub incoming: usize,
    /// Objects that others offer and the application has not answered.
    pub proposals: usize,
    /// Those of one member.
    pub proposals_per_member: usize,
    /// Bytes of an object.
    pub size: u64,
    /// Chunks of an object: a sender keeps three bits for each, a receiver two.
    pub chunks: u32,
    /// Events that wait for `poll_event`. A message that comes without room is dropped unread, as if it had been lost.
    pub events: usize,
}

impl Config {
    /// Least `max_message`, in bytes: room for every message but chunks, which fit themselves to it.
    pub const LEAST_MESSAGE: usize = 512;

    /// The defaults, for messages of `max_message` bytes.
    pub fn new(max_message: usize) -> Self {
        Self {
            max_message,
            window: (256 << 10).max(2 * max_message as u64),
            keep_for: Duration::from_secs(3600),
            announce_first: Duration::from_millis(250),
            announce_longest: Duration::from_secs(30),
            report_delay: Duration::from_millis(10),
            repair_after: Duration::from_millis(200),
            repair_longest: Duration::from_secs(5),
            silent_rounds: 8,
            hold: Duration::from_millis(100),
            probe_after: Duration::from_millis(500),
            probes: 8,
            retries: 2,
            limits: Limits {
                offers: 32,
                incoming: 32,
                proposals: 64,
                proposals_per_member: 8,
                size: 1 << 40,
                chunks: 1 << 22,
                events: 256,
            },
        }
    }

    /// # Errors
    /// [`TransferError::Config`] if messages are too short, the window is too small or a time is zero that must not be.
    pub fn check(&self) -> Result<(), TransferError> {
        let long_enough = self.max_message >= Self::LEAST_MESSAGE && self.window >= 2 * self.max_message as u64;
        let times = [self.repair_after, self.hold, self.probe_after, self.announce_first, self.announce_longest];
        if long_enough && times.iter().all(|time| !time.is_zero()) && self.limits.events >= super::EVENTS_PER_MESSAGE {
            Ok(())
        } else {
            Err(TransferError::Config)
        }
    }
}

/// The longest chunk that fits into messages of `max_message` bytes.
pub fn chunk_room(max_message: usize) -> usize {
    max_message.saturating_sub(CHUNK_OVERHEAD)
}

// A demand with all of its bits may be longer than the least message: it then carries fewer.
const _: () = assert!(MAX_CONTROL >= Config::LEAST_MESSAGE);
