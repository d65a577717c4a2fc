//! Micro-protocol: join.
//!
//! **Goal.** The leader admits A under a member number exactly if A asked to join this leader and application with
//! these nonces and ephemerals, and both then hold the same two channel keys, group, policy and signature key (S3).
//!
//! **Assumes.** The third-party exchange gives the leader the key of one join; a fresh number on each side.
//!
//! **Messages.** RA-J1 (A asks), RA-J2 (the leader offers or refuses, sealed); the confirmation is the first record,
//! `hello`, of the channel.
//!
//! **Guarantees (repaired).** Nothing of a live member is touched before `hello` (X9, R6). A refusal is sealed (E8, X15,
//! D16). With the ephemeral exchange, long-term keys that leak later open nothing (S2). A flood of requests holds a
//! bounded number of bytes, and cannot push out a request that is younger than `T_min` (R2, D32). Keys come only after
//! the confirmation (X10).

pub mod admitting;
pub mod asking;
#[cfg(feature = "historic")]
pub mod published;
