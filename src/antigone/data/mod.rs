//! Messages to the group (RA-D): the micro-protocol of data.
//!
//! **Goal.** What a member says reaches the others under the protection that the policy states, never less and never
//! another (I-6, S9): no outsider reads it (confidentiality), writes or changes it, or plays it again (integrity); with
//! origin signatures no other member does either.
//!
//! **Assumes.** All members of an epoch hold its `base`, and nobody else does (key distribution); each has its own
//! number, which stands for one person for good (I-1); with origin signatures, a view with everybody's public key
//! (membership). Whether the key is current is said by the caller (failure detection).
//!
//! **Messages.** RA-D.
//!
//! **Guarantees.**
//!
//! | protection | what a receiver knows |
//! | --- | --- |
//! | [`Kind::Clear`](crate::wire::antigone::Kind) | nothing: [`Sender::Unauthenticated`](crate::event::Sender), replays included |
//! | integrity, confidentiality, both | some holder of the epoch's key sent it, once, under this number: [`Sender::AnyMember`](crate::event::Sender). An insider may have used another's number (A2) and so moved its window |
//! | with origin | this member sent it: [`Sender::Signed`](crate::event::Sender) |
//!
//! Each (epoch, sender, kind) has a key of its own and a counter from 0, so that no two senders share numbers (R17) and
//! a replay fails by the window inside an epoch (A1) and by the key across epochs and incarnations. Delivery is best
//! effort: nothing is repeated or ordered here (G6).
//!
//! In the repaired edition *confidentiality* and *both* are the same bytes but for their code: there is no encryption
//! without authentication (RA §5).
//!
//! The parts need no leader and no member: see the example `data_alone`.

#[cfg(feature = "historic")]
pub mod bridge;
#[cfg(feature = "historic")]
pub mod published;

pub use crate::group::data::{Checked, DataSealer, Members, Receiving, Sending, data_key};
pub use crate::group::issue::base;
