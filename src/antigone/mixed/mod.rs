//! Antigone with parts as published: all of them, or any mix with repaired ones (A23; RA §2, mixed editions).
//!
//! The compositions in [`antigone`](crate::antigone) itself are of the repaired edition alone, built round one channel that
//! serves five parts at once. These here put each message where the edition of its part says, and hold what stands between
//! unlike neighbours: the bridges. They exist so that published flaws can be run and seen, part by part. **They protect
//! nothing that matters**, and it takes a [`Historic`] to make one.
//!
//! What is as published in a mix is the message and the check of it. What the report leaves to an implementer is done the
//! same way in all mixes: requests are repeated until they are answered, tables are bounded, a member whose first key does not
//! come asks again, and one that has had no current key for T_lost is out.
//!
//! In a mix nobody has numbered views: published messages name members. A member learns names from AN-K and AN-R, where the
//! policy says `with each key`, and gives them numbers of its own for its events.

pub mod bridges;
mod faults;
mod leader;
mod member;
mod plane;
mod private;
mod roles;
mod sides;

pub use crate::policy::Historic;
pub use faults::Faults;
pub use leader::{Leader, LeaderConfig};
pub use member::{Member, MemberConfig};
