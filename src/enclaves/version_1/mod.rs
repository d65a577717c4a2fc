//! Enclaves 1.0 (Gong 1996, report §3.3, enclaves §2), for study: it takes a [`Historic`] to make one of its machines.
//!
//! **Goal.** A user who shows by a password that the leader knows it gets a key of its own, K_a, for one session, and the group
//! key, K_g. Members say things to all under K_g, and to one of them by way of the leader. The leader puts all that changes the
//! group in one order, tells who comes and goes, throws members out, and **changes K_g whenever somebody leaves**. For what is
//! not crucial it joins two members directly.
//!
//! **Assumes.** The leader is honest and knows the password of each user. All have clocks that differ by less than a window.
//!
//! **Messages.** EN-1J, EN-1K, EN-1E, EN-1A (join), EN-1L, EN-1LA, EN-1C (end), EN-1N, EN-1NA (keys), EN-1M (notices), EN-1D
//! (data), EN-1P, EN-1PD (data for one), EN-1XR, EN-1XK, EN-1XD, EN-1XH, EN-1XW, EN-1XP, EN-1XA, EN-1XE (direct links):
//! [`messages`] makes and opens them, [`head`] has the header that all of them share (D30).
//!
//! **Guarantees.** Nothing but the name of who asks to join is ever in clear, and all that is encrypted says from whom to whom
//! it goes, with a number that rises under each key, and when it was said. So what defeats 2.0 fails here: replays of data
//! (E2), of private data (E5), of notices (E9, E13), of keys (E11); forged refusals (E8), wishes to leave (E12) and ends (E14);
//! messages taken for others (X6); replayed requests to join (X9); and who leaves reads nothing that follows (E1, E15). What
//! remains: **an insider who has K_g writes data under any member's name** (E3, half of it); whoever joins may be played back
//! what was said under the same key before, within the window; under DES-CBC integrity rests on redundancy, and data has none
//! (E4); passwords can be searched for (X3); there is no forward secrecy, no mode for integrity alone and no failure detection
//! (E16). A leader that lost its memory takes a recorded EN-1J within the window, and the attempt comes to nothing.
//!
//! **Direct links** do not depend on the session: they go on without the leader, and neither a leave nor an expulsion ends
//! them. The application is told who is gone, and may close them. They end by a wish of either end, or by silence.
//!
//! **What we add.** Repeats over links that lose frames: each is a new message, with a number and a time of its own.
//! Acknowledgements of keys, notices and keys for direct links. The order of fields is ours. State for a newcomer goes through
//! [`transfer`](crate::transfer), over EN-1D or EN-1PD.

pub mod head;
mod keys;
mod leader;
mod member;
pub mod messages;

use core::time::Duration;

use crate::event::{Cause, Causes};
use crate::policy::{Communication, Policy, Protection, Views};
use crate::wire::{Edition, Header, System};

pub use super::published::{Access, NO_INSTANCE};
pub use crate::policy::Historic;
pub use keys::GroupKey;
pub use leader::{DirectLinks, Leader, LeaderConfig};
pub use member::{Member, MemberConfig};

published_roles!(Leader, Member);

/// How far the time of a message may be from the own clock, by default (D30).
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(120);
/// For how long nothing may be heard over a direct link, by default. A fifth of it after the last word, a sign of life follows.
pub const DEFAULT_SILENCE: Duration = Duration::from_secs(15);
/// Direct links of one member, and keys for them that a member has not acknowledged.
pub const MAX_DIRECT: usize = 64;
/// Longest hint how to reach a member, in bytes.
pub const MAX_HINT: usize = crate::wire::enclaves::version_1::MAX_HINT;

/// Causes that always change K_g: nobody who is gone reads on.
const LEAVES: [Cause; 4] = [Cause::Leave, Cause::Eject, Cause::Failure, Cause::Takeover];

/// The header of this edition under `suite`.
fn header(suite: &dyn crate::crypto::published::PublishedSuite) -> Header {
    Header { system: System::FirstEnclaves, edition: Edition::AsPublished, suite: suite.id() }
}

/// The policy of 1.0: all is encrypted, the leader relays, and K_g changes whenever somebody leaves, and by command.
pub fn default_policy() -> Policy {
    Policy {
        rekey_on: LEAVES.into_iter().fold(Causes::of(Cause::Open).with(Cause::Command), Causes::with),
        protection: Protection::Confidentiality,
        origin: false,
        ephemeral: false,
        views: Views::WithEachKey,
        detection: None,
        ..Policy::default()
    }
}

/// Whether 1.0 can do what the policy says: encrypt everything, relay, tell names, and change K_g on every leave. When else to
/// change it, for how long the old key then opens and how long a frame is may be chosen.
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
        && LEAVES.iter().all(|cause| policy.rekey_on.contains(*cause))
}
