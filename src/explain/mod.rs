//! What each reason means, and what to do: a stable code and two sentences for each reason that this crate ever gives.
//!
//! **Codes are for programs and for search engines.** A code is given once and is never changed or given again; texts may be
//! improved. `tests/reasons.rs` holds the list of all codes ever given, and `docs/reasons.md` is made from the table here.
//!
//! **Reasons stay local** (R4, R46). Nothing here is ever sent: a peer that is refused hears nothing, whatever the reason.
//!
//! ```
//! use sodality::error::Reason;
//! use sodality::explain::{self, Class, Explained};
//!
//! assert_eq!(Reason::BeforeJoin.code(), "reject.before-join");
//! assert_eq!(Reason::BeforeJoin.class(), Class::Expected);
//! assert_eq!(Reason::Forged.class(), Class::Fault);
//! let found = explain::lookup("join.below-floor.protection").expect("a code that was given");
//! println!("{found}");
//! ```
//!
//! Nothing in the core needs this module: it knows the lists of the others, and none of them knows it. That each variant has a
//! code is checked by the compiler.

use core::fmt;

mod table;

pub use table::GROUPS;

/// Whether a reason is a cause for concern.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Class {
    /// It follows from how groups work, or from what somebody decided. Nothing is wrong.
    Expected,
    /// The network, or strangers on it. Harmless; worth a look if there is much of it.
    Network,
    /// A fault or an attack: correct peers, over a network that neither damages nor repeats frames, never cause it.
    Fault,
    /// The own side: the caller, its configuration, or the machine that it runs on.
    Own,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 4] = [Self::Expected, Self::Network, Self::Fault, Self::Own];

    /// Its name, as stable as a code.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::Network => "network",
            Self::Fault => "fault",
            Self::Own => "own",
        }
    }

    /// What it means.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Expected => "It follows from how groups work, or somebody decided it. Nothing is wrong.",
            Self::Network => "The network, or strangers on it. Harmless; worth a look if there is much of it.",
            Self::Fault => {
                "A fault or an attack. Correct peers over a network that neither damages nor repeats frames \
                            never cause it."
            }
            Self::Own => "The own side: the caller, its configuration, or the machine that it runs on.",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a reason means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The code: words in lower case, joined by `-`, in parts joined by `.`. It never changes.
    pub code: &'static str,
    /// Whether it is a cause for concern.
    pub class: Class,
    /// What happened.
    pub happened: &'static str,
    /// What to do.
    pub advice: &'static str,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {} {}", self.code, self.class, self.happened, self.advice)
    }
}

/// A list of reasons, all with one prefix.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Group {
    /// The type in this crate.
    pub name: &'static str,
    /// Where its reasons are told.
    pub told: &'static str,
    /// The reasons of this list; those of a list inside it stand with that one.
    pub all: &'static [Explanation],
}

/// A reason that has a code.
pub trait Explained {
    /// What this reason means. For a reason inside a reason (a shortfall inside a failed join), what the inner one means.
    fn explanation(&self) -> &'static Explanation;

    /// The code.
    fn code(&self) -> &'static str {
        self.explanation().code
    }

    /// Whether it is a cause for concern.
    fn class(&self) -> Class {
        self.explanation().class
    }
}

/// All reasons, list by list.
pub fn all() -> impl Iterator<Item = &'static Explanation> {
    GROUPS.iter().flat_map(|group| group.all)
}

/// What the reason of that code means, if there is one.
pub fn lookup(code: &str) -> Option<&'static Explanation> {
    all().find(|explanation| explanation.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{CommandError, Failure, Misuse, Reason};
    use crate::event::{EndReason, Ending, JoinFailure, Shortfall};

    #[test]
    fn a_code_stands_for_one_reason() {
        let mut codes: alloc::vec::Vec<_> = all().map(|explanation| explanation.code).collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
        for explanation in all() {
            assert_eq!(lookup(explanation.code), Some(explanation));
        }
        assert_eq!(lookup("reject"), None);
        assert_eq!(lookup(""), None);
    }

    #[test]
    fn a_reason_inside_another_is_told_by_the_inner_one() {
        assert_eq!(JoinFailure::BelowFloor(Shortfall::Protection).code(), "join.below-floor.protection");
        assert_eq!(JoinFailure::Ended(EndReason::Busy).code(), "end.busy");
        assert_eq!(Ending::ByLeader(EndReason::Ejected).code(), "end.ejected");
        assert_eq!(CommandError::Misuse(Misuse::TooLong).code(), "misuse.too-long");
        assert_eq!(CommandError::Failure(Failure::Entropy).code(), "failure.entropy");
        assert_eq!(CommandError::Full.code(), "command.full");
    }

    /// What a user asks of a message that cannot be read: is that how it should be?
    #[test]
    fn expected_causes_are_told_apart_from_faults() {
        let class = |why: Reason| why.class();
        for why in [
            Reason::BeforeJoin,
            Reason::EvictedEpoch,
            Reason::MissedEpoch,
            Reason::OldEpoch,
            Reason::EarlyEpoch,
            Reason::EarlyOverflow,
            Reason::NotCurrent,
            Reason::Ended,
            Reason::NotJoined,
        ] {
            assert_eq!(class(why), Class::Expected, "{why:?}");
        }
        for why in [
            Reason::Forged,
            Reason::Protection,
            Reason::NotMember,
            Reason::Replayed,
            Reason::NoSuchEpoch,
            Reason::Violation,
        ] {
            assert_eq!(class(why), Class::Fault, "{why:?}");
        }
    }
}
