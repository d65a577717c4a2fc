//! Micro-protocol: leaving, and being dismissed.
//!
//! **Goal.** A session ends on both sides, for a reason that both know, and nobody is ended by anyone but the peer
//! itself (S6); who is gone, or is to be gone, cannot hold the other up.
//!
//! **Assumes.** The channel: its *end* is a body, not a record, and may overtake one.
//!
//! **Messages.** The body *end* of RA-CM (a member leaves) and of RA-CL (the leader dismisses, or answers).
//!
//! **Guarantees (repaired).** An end of an earlier session, or of somebody else, does not open (A13). Whoever begins
//! repeats its end until the peer's own comes, or for a bounded time: a lost answer costs a wait and nothing else, and
//! a leave that is suppressed for good is noticed by silence (X11, failure detection). Keys are wiped, and the group is
//! rekeyed where the policy says so, at the decision, without waiting for the peer (I-7, A15: key distribution).
//!
//! [`Lingering`] needs no leader: a channel will do.

pub mod repaired;

pub use repaired::{Farewell, Lingering, leader_end, member_end};
