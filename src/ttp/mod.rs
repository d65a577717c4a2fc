//! The third party, and its exchange with a leader (RA-T1, RA-T2).
//!
//! **Goal.** A leader obtains a key for one join that, besides itself and the third party, only the named member can
//! compute, and learns with certainty if the third party does not vouch for that member (S1, S3, R29).
//!
//! **Assumes.** The leader and the third party share a long-term key, and so do the member and the third party; the
//! leader's I1 is fresh.
//!
//! **Messages.** RA-T1 (leader to third party, wraps RA-J1), RA-T2 (the answer).
//!
//! **Guarantees.** The key depends on both names, both nonces, the ephemeral share, the suite and the edition: swapping
//! a name gives an answer that does not open (A4). A question in clear gets no answer unless it is tagged by a
//! registered leader, and about a member only if the member asked itself: the third party is no oracle (X1, D38). The
//! third party keeps nothing between questions, draws nothing, and answers a repeated question with the same bytes
//! (I-3).

pub mod exchange;
#[cfg(feature = "historic")]
mod historic;
#[cfg(feature = "historic")]
pub mod published;
pub mod schedule;
mod third_party;

#[cfg(test)]
mod tests;

pub use third_party::{LeaderRecord, MemberRecord, Records, ThirdParty};
