//! Which of the two systems a group is of.

use clap::ValueEnum;
use sodality::policy::Policy;

use crate::timeline::policy_line;

/// A system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum System {
    /// With a third party that vouches for members
    #[default]
    Antigone,
    /// The leader knows its users itself, most often by passwords
    Enclaves,
}

impl System {
    /// Its name in what is told.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Antigone => "Antigone",
            Self::Enclaves => "Enclaves",
        }
    }
}

/// An edition of Enclaves as published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Version {
    /// 1.0, of 1996.
    First,
    /// 2.0, of 2000.
    Second,
}

impl Version {
    /// Its number.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::First => "1.0",
            Self::Second => "2.0",
        }
    }

    /// Its name in what is told.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::First => "Enclaves 1.0",
            Self::Second => "Enclaves 2.0",
        }
    }
}

/// By what a member shows who it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    /// A key that the third party has.
    Registered,
    /// The same, where parts are as published.
    AsPublished,
    /// A password, from which the leader has a key.
    Password,
    /// A key that the leader has.
    SharedKey,
    /// Either of these, to a leader of Enclaves as published.
    #[cfg_attr(not(feature = "study"), expect(dead_code, reason = "nothing is as published"))]
    Published(Version),
}

impl Shown {
    /// The system where this is done.
    pub(crate) fn system(self) -> System {
        match self {
            Self::Registered | Self::AsPublished => System::Antigone,
            Self::Password | Self::SharedKey | Self::Published(_) => System::Enclaves,
        }
    }

    /// A policy of such a group in one line.
    pub(crate) fn policy_line(self, policy: &Policy) -> String {
        policy_line(self.system(), self.version(), policy)
    }

    /// Which edition of Enclaves as published it is, if any.
    pub(crate) fn version(self) -> Option<Version> {
        match self {
            Self::Published(version) => Some(version),
            _ => None,
        }
    }
}
