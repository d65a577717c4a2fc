//! How the program fails: one line that says what to do, and an exit status.

use thiserror::Error;

/// Why the program ends without having done what it was asked.
#[derive(Debug, Error)]
pub(crate) enum Failed {
    /// The group did not do what it should.
    #[error("{0}")]
    Group(String),
    /// The file to send cannot be used.
    #[error("{0}")]
    Input(String),
    /// The folder for received files cannot be used.
    #[error("{0}")]
    Output(String),
    /// Ctrl-C.
    #[error("interrupted; nothing that was not whole has been kept")]
    Interrupted,
}

impl Failed {
    /// The exit status, as `--help` says.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Group(_) => 1,
            Self::Input(_) => 3,
            Self::Output(_) => 4,
            Self::Interrupted => 130,
        }
    }
}
