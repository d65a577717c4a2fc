//! The certificate of a leader's host, from a file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use sodality_transports::quic::{Identity, IdentityError};
use zeroize::Zeroizing;

use crate::exit::Failed;
use crate::verbs::key::check_private;

/// No file of certificates is longer than this.
const LONGEST: u64 = 1 << 20;

/// Who this host is.
#[derive(Debug)]
pub(crate) struct Server {
    pub(super) identity: Identity,
}

impl Server {
    /// Reads certificate and key.
    pub(super) fn read(path: &Path) -> Result<Self, Failed> {
        let shown = path.display();
        let text = text(path)?;
        check_private(path, &fs::metadata(path).map_err(|error| cannot(path, &error))?)?;
        let identity = Identity::from_pem(&text).map_err(|error| {
            let why = match error {
                IdentityError::Key => "has no private key",
                _ => "has no certificate",
            };
            Failed::Input(format!("{shown}: {why}; name a file with both, in PEM, with --certificate"))
        })?;
        Ok(Self { identity })
    }
}

/// What is in the file.
pub(super) fn text(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failed> {
    let read = || {
        let file = File::open(path)?;
        let mut text =
            Zeroizing::new(Vec::with_capacity(usize::try_from(file.metadata()?.len().min(LONGEST)).unwrap_or(0) + 1));
        file.take(LONGEST + 1).read_to_end(&mut text)?;
        Ok::<_, io::Error>(text)
    };
    let text = read().map_err(|error| cannot(path, &error))?;
    if text.len() as u64 > LONGEST {
        return Err(Failed::Input(format!("{}: longer than a MiB", path.display())));
    }
    Ok(text)
}

fn cannot(path: &Path, error: &io::Error) -> Failed {
    Failed::Input(format!("{}: cannot be read ({error})", path.display()))
}
