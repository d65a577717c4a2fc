//! How the program fails: one line that says what to do, and an exit status.

use thiserror::Error;

/// The exit statuses, as `--help` says them.
pub(crate) const EXIT_CODES: &str = "\
Exit status:
  0    all went well
  1    failed: the group ended otherwise than asked, somebody did not get what was sent, or nothing moved any more
  2    the command line is wrong
  3    refused: by the leader or the third party, or the leader's policy is below the own floor
  4    not reachable: no answer in time, or the leader was lost
  5    what was given cannot be used: a file to send, a key, a password, a policy, a registry, users, an address to listen at
  6    what should be written cannot be: the folder for what is received, or a file that exists already
  130  interrupted (Ctrl-C)";

/// Why the program ends without having done what it was asked.
#[derive(Debug, Error)]
pub(crate) enum Failed {
    /// The group did not do what it should.
    #[error("{0}")]
    Group(String),
    /// The command line is wrong in a way that only shows when it is used.
    #[error("{0}; see sodality --help")]
    Usage(String),
    /// Somebody refuses, or the own floor does.
    #[error("{0}")]
    Refused(String),
    /// Nobody answers.
    #[error("{0}")]
    Unreachable(String),
    /// Something given cannot be used.
    #[error("{0}")]
    Input(String),
    /// Something cannot be written.
    #[error("{0}")]
    Output(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Failed {
    /// The same, with the code of the reason behind it.
    pub(crate) fn coded(self, code: &str) -> Self {
        let with = |text: String| format!("{text} [{code}]");
        match self {
            Self::Group(text) => Self::Group(with(text)),
            Self::Usage(text) => Self::Usage(with(text)),
            Self::Refused(text) => Self::Refused(with(text)),
            Self::Unreachable(text) => Self::Unreachable(with(text)),
            Self::Input(text) => Self::Input(with(text)),
            Self::Output(text) => Self::Output(with(text)),
            Self::Interrupted => Self::Interrupted,
        }
    }

    /// The exit status, as `--help` says.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Group(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Unreachable(_) => 4,
            Self::Input(_) => 5,
            Self::Output(_) => 6,
            Self::Interrupted => 130,
        }
    }
}
