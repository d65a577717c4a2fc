//! Micro-protocol: key distribution.
//!
//! **Goal.** Every member installs the group keys that the leader issued for it, with the facts that belong to them
//! (epoch, floor, causes, digests of view and policy), in growing epochs only (S5); nobody else can compute them (S7).
//!
//! **Assumes.** A key between the leader and each member, fresh in this session, that seals blocks in a domain of its
//! own; a digest of view and policy on both sides.
//!
//! **Messages.** RA-R: the facts (`common`) in clear, and a sealed block for each member named.
//!
//! **Guarantees (repaired).** An old RA-R, of this or of another session, installs nothing (A7, A8, A11): the block is
//! sealed under a key of this session, and epochs only grow. All numbers are bound into the block (A9, A12). Members
//! with different facts derive different data keys (R27). A member's own block is all it needs: frames stand alone
//! (X12). The facts of an epoch are fixed when its key is drawn, so that no (key, number) pair seals under two
//! associated data (I-2).

mod many;
#[cfg(feature = "historic")]
pub mod published;
pub mod repaired;

pub use crate::group::issue::{Facts, Issue, KeyBlock};
pub use repaired::open;
pub(crate) use repaired::open_with;
