//! Micro-protocol: failure detection (heartbeats).
//!
//! **Goal.** A member never sends or delivers under a key that was last known to be the leader's longer ago than
//! `T_max`, and notices within a bound that its leader is gone (S8); a leader notices within a bound that a member is.
//!
//! **Assumes.** The channel, whose every frame says what its sender has and echoes the highest number it has seen; a
//! clock that does not run slow and counts suspended time. Without such a clock S8 is void and all else holds.
//!
//! **Messages.** RA-H on shared links, which is advice only (see [`heartbeat`]). The evidence needs none of its own: a
//! member polls with an empty RA-CM that asks for an answer, once a period and after
//! each change; the RA-CL in answer is the leader's heartbeat. A poll whose epoch is behind is the key request.
//!
//! **Guarantees (repaired).** What counts is when the echoed number was *sent*
//! ([`Probes`](crate::group::Probes)), so heartbeats that are withheld and played later, even in order, move nothing
//! forward (A16, A18, A19, A20); a heartbeat makes a key current only together with the leader's epoch, so withholding
//! the rekey and letting heartbeats through does not help either (A17). It needs no leader and no member: a channel on
//! each side and [`Evidence`] will do, as in the test beside it.

pub mod heartbeat;
#[cfg(feature = "historic")]
pub mod published;

pub use heartbeat::{Beacon, Hearing};

pub use crate::group::judgement::{Evidence, Own, Verdict};
