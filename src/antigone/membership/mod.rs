//! Micro-protocol: membership dissemination.
//!
//! **Goal.** Members that the policy tells of each other agree on who is in the group: at one version the same list
//! (S5, S6), each removal with its cause and who asked for it.
//!
//! **Assumes.** The channel, for pages; key distribution, for deltas and for the digest in every epoch.
//!
//! **Messages.** The delta in `common` of RA-R; `view` records of RA-CL, in pages.
//!
//! **Guarantees (repaired).** A change is applied only onto the version it starts from, and only if it leads to the
//! digest that the leader states; what cannot be applied is fetched. Views come through the channel or with a verified
//! block, never under the group key: insiders cannot invent joins and departures (A10, X8).

pub use crate::group::pages::{Assembly, Pages};
