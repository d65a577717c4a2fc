//! What it means for the user that the group, or an attempt to join it, is over.

use sodality::event::{EndReason, Ending, JoinFailure, Refusal, Shortfall};
use sodality::explain::Explained;
use sodality::identity::Name;

use super::refusal_text;
use super::system::{Shown, Version};
use crate::exit::Failed;

/// What ended, and whether another attempt could help.
pub(super) struct Over {
    /// How the program fails, if there is none.
    pub(super) failed: Failed,
    /// Whether there may be one.
    pub(super) again: bool,
}

impl Over {
    /// After this ending.
    pub(super) fn of_ending(leader: &Name, ending: Ending, shown: Shown) -> Self {
        let (failed, again) = match ending {
            Ending::ByLeader(EndReason::Ejected) if shown.version() == Some(Version::Second) => {
                let text = format!(
                    "{leader} has put this member out, or closed the group, or somebody else wrote that: 2.0 says it in clear (E14)"
                );
                (Failed::Refused(text), false)
            }
            Ending::LeaderLost => (
                Failed::Unreachable(format!("{leader} was lost: nothing was heard of it for too long; join again")),
                true,
            ),
            Ending::Exhausted | Ending::ByLeader(EndReason::Exhausted) => {
                (Failed::Group("the numbers of the session are used up; join again".into()), true)
            }
            Ending::ByLeader(EndReason::Failed) => {
                (Failed::Unreachable(format!("{leader} took this member for dead; join again")), true)
            }
            Ending::ByLeader(EndReason::TakenOver) => (
                Failed::Group(
                    "somebody joined under this name, with its key; rotate the key if that was not you".into(),
                ),
                false,
            ),
            Ending::ByLeader(EndReason::Busy) => {
                (Failed::Refused(format!("{leader} has a live member of this name; end that one, or wait")), true)
            }
            Ending::ByLeader(EndReason::Ejected | EndReason::Policy) => {
                (Failed::Refused(format!("{leader} has put this member out; ask it why")), false)
            }
            Ending::LeaderViolation | Ending::ByLeader(EndReason::Protocol) => {
                (Failed::Group(format!("the session with {leader} broke the protocol; join again")), true)
            }
            other => (Failed::Group(format!("the group ended: {other:?}")), false),
        };
        Self { failed: failed.coded(ending.code()), again }
    }

    /// After a refused join.
    pub(super) fn of_refusal(leader: &Name, why: Refusal, shown: Shown) -> Self {
        let clear = if shown.version() == Some(Version::Second) {
            " (or somebody else does: 2.0 says it in clear, E8)"
        } else {
            ""
        };
        let text = format!("{}{clear}", refusal_text(why));
        Self {
            failed: Failed::Refused(format!("{leader} refuses: {text}; ask whoever leads the group")).coded(why.code()),
            again: why == Refusal::Busy,
        }
    }

    /// After a join that came to nothing; `unreached` says why there was no link, `shown` by what the member showed who it is.
    pub(super) fn of_failure(leader: &Name, why: JoinFailure, unreached: Option<&str>, shown: Shown) -> Self {
        let mixed = shown == Shown::AsPublished;
        let (failed, again) = match (why, unreached) {
            (JoinFailure::BelowFloor(shortfall), _) => {
                let what = match shortfall {
                    Shortfall::ForwardSecrecy => "has no forward secrecy (forward-secrecy)",
                    Shortfall::Protection => "protects data less",
                    Shortfall::Origin => "has no signed origin (origin)",
                    Shortfall::FailureDetection => "does not detect failures (detection)",
                    Shortfall::RekeyOnLeave => "keeps the key when somebody goes (rekey-on-leave)",
                    Shortfall::Staleness => "notices failures later (staleness_ms)",
                    Shortfall::KeyLifetime => "lets keys get older (key_lifetime_ms)",
                    Shortfall::Views => "has no exact roster (exact_views)",
                    Shortfall::FreeEjection => "lets any member throw out any other (no_free_ejection)",
                    _ => "falls short",
                };
                let text = format!("{leader}'s policy {what} than --floor demands; lower that if you trust it");
                (Failed::Refused(text.replace(") than --floor demands", "), and --floor demands it")), false)
            }
            (JoinFailure::Timeout, Some(unreached)) => {
                (Failed::Unreachable(format!("cannot reach {leader}: {unreached}; check --at, and that it runs")), true)
            }
            (JoinFailure::Timeout, None) if mixed => (
                Failed::Unreachable(format!(
                    "{leader} did not answer in time; nothing is negotiated: check that it and its third party say the same \
                     --edition or --published, and the same --suite, and --app, the own name and key"
                )),
                true,
            ),
            (JoinFailure::Ended(EndReason::Protocol), _) if mixed => (
                Failed::Group(format!("{leader}'s policy has other parts as published; say the same as it does")),
                false,
            ),
            (JoinFailure::Timeout, None) if shown.version().is_some() => {
                let clock = if shown.version() == Some(Version::First) { ", or a clock is wrong" } else { "" };
                let text = format!(
                    "{leader} did not answer in time; the password or key may be wrong, or {leader} does not know the own name, or \
                     --leader, --edition or --suite is another one{clock}: whoever cannot show who it is gets no answer"
                );
                (Failed::Unreachable(text), true)
            }
            (JoinFailure::Timeout, None) if shown != Shown::Registered => {
                let secret = if shown == Shown::Password { "password" } else { "key" };
                let text = format!(
                    "{leader} did not answer in time; the {secret} may be wrong, or {leader} does not know the own name, or --leader or \
                     --app is another one: whoever cannot show who it is gets no answer"
                );
                (Failed::Unreachable(text), true)
            }
            (JoinFailure::Timeout, None) => (
                Failed::Unreachable(format!(
                    "{leader} did not answer in time; check --leader, --app, the own name and key, and that its third party runs"
                )),
                true,
            ),
            (JoinFailure::LinkTooSmall, _) => {
                (Failed::Group(format!("{leader}'s policy has longer frames than the link carries")), false)
            }
            (JoinFailure::Ended(EndReason::Busy), _) => {
                (Failed::Refused(format!("{leader} has a live member of this name; end that one, or wait")), true)
            }
            (JoinFailure::Ended(reason), _) => {
                (Failed::Unreachable(format!("{leader} ended the join ({reason:?}); try again")), true)
            }
            (other, _) => (Failed::Group(format!("the join failed: {other:?}")), false),
        };
        Self { failed: failed.coded(why.code()), again }
    }
}
