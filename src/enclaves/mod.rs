//! Enclaves: a leader in the centre of a star, who knows each user, and no third party.
//!
//! [`Leader`] and [`Member`] are of the repaired edition (enclaves §4). With the feature `historic`, `version_1` and
//! `version_2` are Enclaves 1.0 and 2.0 as published.
//!
//! [`auth`] is how a user and the leader show each other who they are; everything after that is the same. [`chain`] is the
//! protocol between the leader and one member after it.

pub mod auth;
pub mod chain;
pub mod gossip;
pub mod leader;
pub mod member;
mod roles;
#[cfg(feature = "historic")]
#[macro_use]
mod published;
#[cfg(feature = "historic")]
pub mod version_1;
#[cfg(feature = "historic")]
pub mod version_2;

pub use leader::{Accounts, Leader, LeaderConfig};
pub use member::{Member, MemberConfig};
