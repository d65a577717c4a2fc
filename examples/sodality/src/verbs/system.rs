//! Which of the two systems a group is of.

use clap::ValueEnum;

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
}

impl Shown {
    /// The system where this is done.
    pub(crate) fn system(self) -> System {
        match self {
            Self::Registered | Self::AsPublished => System::Antigone,
            Self::Password | Self::SharedKey => System::Enclaves,
        }
    }
}
