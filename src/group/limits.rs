//! Every bound, and every default time that is not a matter of policy, in one place (RA §4.7, R2, R30).

use core::time::Duration;

use super::checks::Checks;
use super::retry::Retry;

/// Bounds of one machine. What reaches a bound is refused or dropped and counted; nothing grows beyond it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Frames that wait for `poll_transmit`. An input that may need more room than is left is dropped unread (R45).
    pub out_frames: usize,
    /// Events that wait for `poll_event`.
    pub out_events: usize,
    /// Links open at once. A further link is ignored.
    pub links: usize,

    /// Pending joins in all: each costs at most [`Self::PENDING_BYTES`].
    pub pending_joins: usize,
    /// Pending joins on one link.
    pub pending_joins_per_link: usize,
    /// Pending joins of one name.
    pub pending_joins_per_name: usize,
    /// How long a pending join lives (T_pend).
    pub pending_life: Duration,
    /// How long a pending join is safe from being replaced by a newer one (T_min, R6).
    pub pending_guard: Duration,
    /// How long a member tries to join (T_join).
    pub join_time: Duration,

    /// Members of a group, the leader not counted.
    pub members: usize,
    /// Senders for which one epoch keeps a prepared key and a window (about 1 KiB each).
    pub senders: usize,
    /// Changes of the view that a leader remembers for members that missed some; older gaps get the whole roster.
    pub view_history: usize,

    /// Frames kept that came before their key.
    pub early_frames: usize,
    /// Bytes of frames kept that came before their key.
    pub early_bytes: usize,
    /// Early frames opened in one call of `handle_timeout`.
    pub early_at_once: usize,

    /// Signatures of heartbeats on shared links that a member looks at in a period.
    pub heartbeat_signatures: u32,

    /// Records that wait for acknowledgement on one channel. A member that lets them pile up is taken as failed (R30).
    pub records: usize,
    /// (Enclaves) Without failure detection, how long a member may leave unacknowledged what it is told (D33).
    pub silence: Duration,
    /// Private words under way: of one member at the leader, and at a member those sent and those awaited.
    pub gossip: usize,
    /// How long one of them may be under way.
    pub gossip_time: Duration,
    /// (Enclaves) Changes of shared objects that a leader remembers, for members that keep up; others get the newest contents.
    pub object_log: usize,
    /// (Enclaves) Bytes of contents in these.
    pub object_log_bytes: usize,
    /// (Enclaves) Changes of shared objects that arrive at a leader at once, at most one of each member.
    pub object_puts: usize,
    /// (Enclaves) How long such a change may be arriving for each [`Self::OBJECT_STEP`] bytes that it announced, the last ones as
    /// much as all others; then it is refused as busy, and its place is free.
    pub object_put_time: Duration,
    /// Requests to eject that wait for the application's decision.
    pub ejection_questions: usize,
    /// How long the application may take to decide about one: silence denies.
    pub decision_time: Duration,
    /// Answers to one member's frames in a second; as many may come at once.
    pub answers_per_second: u32,
    /// Messages without protection that a leader relays for one member in a second; as many may come at once.
    pub clear_per_second: u32,
    /// Ended channels that are kept to repeat the farewell.
    pub lingering: usize,
    /// How long an ended channel is kept, and how long a farewell is repeated (`linger`, T_end).
    pub linger: Duration,

    /// (Third party) Look-ups open at once.
    pub lookups: usize,
    /// Look-ups that one link may have open.
    pub lookups_per_link: usize,
    /// (Third party) Requests of one leader in a second; as many may come at once.
    pub requests_per_second: u32,

    /// The pace of repetition (RTO and its ceiling).
    pub retry: Retry,

    /// The checks that are made: all of them. Only the test kit can leave one out.
    pub checks: Checks,
}

impl Limits {
    /// Bytes that an open link costs a machine at most, beside what comes over it. A flood test measures it.
    pub const LINK_BYTES: usize = 128;
    /// Bytes that a pending join costs a leader at most: its name, RA-J1, RA-T1 and RA-J2 as they are sent, two prepared
    /// channel keys once it is offered a place, deadlines and places in tables. So joins of strangers cost `LINK_BYTES · links + PENDING_BYTES · pending_joins` in all (R2).
    pub const PENDING_BYTES: usize = 6 * 1024;
    /// Bytes of a shared object for which a change has [`Self::object_put_time`].
    pub const OBJECT_STEP: u32 = 64 << 10;
    /// Bytes that an open look-up costs a third party at most.
    pub const LOOKUP_BYTES: usize = 2 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            out_frames: 256,
            out_events: 1024,
            links: 16_384,
            pending_joins: 1024,
            pending_joins_per_link: 8,
            pending_joins_per_name: 4,
            pending_life: Duration::from_secs(20),
            pending_guard: Duration::from_secs(4),
            join_time: Duration::from_secs(15),
            members: 10_000,
            senders: 10_001,
            view_history: 1024,
            early_frames: 64,
            early_bytes: 256 * 1024,
            early_at_once: 8,
            heartbeat_signatures: 10,
            records: 16,
            silence: Duration::from_secs(60),
            gossip: 16,
            gossip_time: Duration::from_secs(10),
            object_log: 256,
            object_log_bytes: 1 << 20,
            object_puts: 64,
            object_put_time: Duration::from_secs(60),
            ejection_questions: 64,
            decision_time: Duration::from_secs(60),
            answers_per_second: 20,
            clear_per_second: 1000,
            lingering: 1024,
            linger: Duration::from_secs(10),
            lookups: 4096,
            lookups_per_link: 1024,
            requests_per_second: 1000,
            retry: Retry::default(),
            checks: Checks::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_agree_with_one_another() {
        let limits = Limits::default();
        assert!(limits.pending_guard < limits.pending_life);
        assert!(limits.join_time < limits.pending_life);
        assert!(limits.pending_joins_per_link <= limits.pending_joins);
        assert!(limits.retry.first <= limits.retry.ceiling);
        assert!(limits.senders > limits.members);
        assert!(limits.early_at_once <= limits.early_frames);
        assert!(limits.links > limits.members);
    }
}
