//! Enclaves 2.0 as published (report §3, enclaves §3), for study: **it protects nothing that matters**, and it takes a
//! [`Historic`] to make one of its machines.
//!
//! **Goal.** A user who shows by a password that the leader knows it gets a key of its own, K_a, for one session, and the
//! group key, K_g. Members say things to all under K_g, and to some of them by way of the leader (gossip). The leader tells who
//! comes and goes, throws members out, and changes K_g when it likes.
//!
//! **Assumes.** The leader is honest and knows the password of each user. Every link goes to the leader. In the original links
//! are TCP connections: nothing is lost.
//!
//! **Messages.** EN-P1, EN-P2, EN-A1 to EN-A3, EN-M+, EN-M-, EN-NK, EN-NKA, EN-C1, EN-C2, EN-D1, EN-D2, EN-G1, EN-G2:
//! [`messages`] makes and opens them.
//!
//! **Guarantees.** N1 makes EN-A2 fresh for the member, N2 makes EN-A3 fresh for the leader, so an outsider who knows no
//! password gets no key by joining. That is nearly all. What is said in clear is believed: a refusal (E8), a wish to leave
//! (E12), the end (E14). What is under K_g or K_a shows neither when it was said, nor by whom, nor what it was meant as:
//! notices (E9, E13, X8), new keys (E11, X6) and their acknowledgements (X7), data (E2 to E4), gossip (E5). By default K_g never
//! changes, and who has left reads on (E1, E15). A replayed EN-A1 displaces a live session (X9); one whose EN-A3 is late is left
//! with an old key (X10).
//!
//! **What we add.** Over links that lose frames, what has an answer is repeated until it is answered: EN-P1, EN-A1 and EN-C1 by
//! the member, EN-A2 and EN-NK by the leader, byte for byte; EN-A3 until the leader is heard. Notices and data have no answer: they are said once, and a roster
//! may lack a name, or keep one. A repeated EN-NK that comes late undoes a newer one, as a replayed one does (E11). Tables are
//! bounded.
//!
//! Messages name members and the group has no identifier: all numbers in events are of the machine that tells them, the group
//! instance is always zero, and the number of an epoch stands for the key, in no order.

mod keys;
mod leader;
mod member;
pub mod messages;

use core::time::Duration;

pub use super::published::{Access, NO_INSTANCE};
pub use crate::policy::Historic;
pub use keys::{GroupKey, KeyWithIv, SessionKey};
pub use leader::{Leader, LeaderConfig};
pub use member::{Member, MemberConfig};

use crate::event::{Cause, Causes};
use crate::policy::{Communication, Policy, Protection, Views};

published_roles!(Leader, Member);

/// The policy of 2.0 as it is by default (report §3.1): all is encrypted, the leader relays, and K_g never changes but by
/// command.
pub fn default_policy() -> Policy {
    Policy {
        rekey_on: Causes::of(Cause::Open).with(Cause::Command),
        protection: Protection::Confidentiality,
        origin: false,
        ephemeral: false,
        views: Views::WithEachKey,
        detection: None,
        ..Policy::default()
    }
}

/// The same with a new K_g when somebody joins, leaves or is expelled: what the report calls prudent (§3.2.3).
pub fn prudent_policy() -> Policy {
    let changes = [Cause::Join, Cause::Leave, Cause::Eject, Cause::Takeover];
    let policy = default_policy();
    Policy { rekey_on: changes.into_iter().fold(policy.rekey_on, Causes::with), ..policy }
}

/// Whether 2.0 can do what the policy says: encrypt everything, relay, tell names, and nothing else. When to rekey, for how
/// long the old key opens and how long a frame is may be chosen.
fn suits(policy: &Policy) -> bool {
    policy.check().is_ok()
        && policy.mix.is_none()
        && policy.protection == Protection::Confidentiality
        && !policy.origin
        && !policy.ephemeral
        && policy.views == Views::WithEachKey
        && policy.detection.is_none()
        && policy.communication == Communication::Relay
        && policy.grace <= Duration::from_secs(10)
}
