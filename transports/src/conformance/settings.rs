//! What the systems of this suite are set to, whichever it is.

use std::time::Duration;

use sodality::crypto::Secret;
use sodality::error::{CommandError, Misuse};
use sodality::group::{Limits, Retry};
use sodality::identity::Name;
use sodality::policy::{Detection, Policy};

use super::Terms;

/// Who leads.
pub(super) const LEADER: &str = "lea";

pub(super) fn name(text: &str) -> Result<Name, CommandError> {
    Name::new(text).map_err(|_| Misuse::SameName.into())
}

pub(super) fn limits() -> Limits {
    let retry = Retry { first: Duration::from_millis(60), ceiling: Duration::from_millis(500) };
    // 64 may join at once on a machine that has much else to do.
    let (join_time, pending_life) = (Duration::from_secs(100), Duration::from_secs(110));
    Limits { retry, join_time, pending_life, ..Limits::default() }
}

pub(super) fn policy(terms: &Terms) -> Policy {
    let frame_limit = u32::try_from(terms.max_frame.min(256 << 10)).unwrap_or(u32::MAX);
    Policy {
        grace: Duration::from_millis(200),
        settle: Duration::from_millis(50),
        detection: Some(Detection { period: terms.period, misses: terms.misses }),
        frame_limit,
        communication: terms.communication,
        ..Policy::default()
    }
}

/// A secret of so many bytes that follows from the name: fit for tests alone.
pub(super) fn secret(name: &Name, length: usize) -> Secret {
    let mut bytes: Vec<u8> = name.as_str().bytes().chain(std::iter::repeat(0x5a)).take(length).collect();
    Secret::take(&mut bytes)
}
