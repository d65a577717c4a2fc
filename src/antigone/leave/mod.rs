//! Micro-protocol: leaving, and being dismissed.
//!
//! **Goal.** A session ends on both sides, for a reason that both know, and nobody is ended by anyone but the peer
//! itself (S6); who is gone, or is to be gone, cannot hold the other up.
//!
//! **Assumes.** The channel: its *end* is a body, not a record, and may overtake one.
//!
//! **Messages.** The body *end* of RA-CM (a member leaves) and of RA-CL (the leader dismisses, or answers); the records
//! `eject` of RA-CM and `answer` of RA-CL.
//!
//! **Guarantees (repaired).** An end of an earlier session, or of somebody else, does not open (A13). Whoever begins
//! repeats its end until the peer's own comes, or for a bounded time: a lost answer costs a wait and nothing else, and
//! a leave that is suppressed for good is noticed by silence (X11, failure detection). Keys are wiped, and the group is
//! rekeyed where the policy says so, at the decision, without waiting for the peer (I-7, A15: key distribution).
//!
//! **Ejecting (repaired).** A leader ejects by its own decision, or at a member's request where the policy honours it: a
//! record of the asker's channel, of this session and in order (A13), which names number and name of its target and so
//! hits no later incarnation. Nobody is removed by anyone but the leader (R24); the view says who asked.
//!
//! [`Lingering`] needs no leader: a channel will do. So does [`requests`].

#[cfg(feature = "historic")]
pub mod published;
pub mod repaired;
pub mod requests;

pub use repaired::{Farewell, Lingering, leader_end, member_end};
