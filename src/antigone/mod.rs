//! Antigone: micro-protocols composed by policy.

pub mod data;
pub mod failure;
pub mod join;
pub mod keys;
pub mod leader;
pub mod leave;
pub mod member;
pub mod membership;
#[cfg(feature = "historic")]
pub mod mixed;
pub mod private;
mod roles;
pub mod schedule;

pub use leader::{Access, Leader, LeaderConfig};
pub use member::{Member, MemberConfig};
