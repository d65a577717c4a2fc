//! Files that are sent, and the safe storage of files that are received (R35).
//!
//! A received file first lives under a hidden name of its own, made with `create_new`. Only when it is whole and verified
//! does it get the name that its sender gave it, if that is plain; without consent never in the place of another file.
//! What is dropped before is removed, or, where that is asked for ([`Folder::resume`]), kept to be gone on with.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sodality::crypto::Suite;
use sodality::transfer::{Manifest, Progress, file_name_is_plain};
use sodality_transports::objects::{ReadAt, Store};

use crate::exit::Failed;
use crate::journal::{Found, Journal};

fn read_at(file: &mut File, offset: u64, out: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(out)
}

/// A file to be sent: read piece by piece, never as a whole.
#[derive(Debug)]
pub(crate) struct Outgoing {
    file: File,
    /// Its name, without the path.
    pub(crate) name: String,
    /// Its length in bytes.
    pub(crate) size: u64,
}

impl Outgoing {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// [`Failed::Input`]: there is no such file, it is none, or has a name that receivers would refuse.
    pub(crate) fn open(path: &Path) -> Result<Self, Failed> {
        let shown = path.display();
        let failed = |error: io::Error| {
            Failed::Input(match error.kind() {
                ErrorKind::NotFound => format!("{shown}: there is no such file; name one that exists"),
                ErrorKind::PermissionDenied => format!("{shown}: may not be read; check its permissions"),
                ErrorKind::InvalidInput => format!("{shown:?}: not the name of a file"),
                _ => format!("{shown}: cannot be read ({error})"),
            })
        };
        // Looked at before it is opened: opening a pipe would wait for its writer.
        let kind = fs::metadata(path).map_err(failed)?;
        if kind.is_dir() {
            return Err(Failed::Input(format!("{shown}: is a folder; name a file (an archive of it, for instance)")));
        }
        if !kind.is_file() {
            return Err(Failed::Input(format!("{shown}: is not a plain file; name one, its length must be known")));
        }
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| file_name_is_plain(name));
        let Some(name) = name else {
            return Err(Failed::Input(format!(
                "{shown:?}: receivers refuse this file name (hidden, special or unprintable); copy the file to a plain name"
            )));
        };
        Ok(Self { file, name: name.to_owned(), size })
    }
}

impl ReadAt for Outgoing {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        read_at(&mut self.file, offset, out)
    }
}

/// Something to be sent under a name.
pub(crate) struct Load {
    /// Its name, without a path.
    pub(crate) name: String,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Its bytes.
    pub(crate) bytes: Box<dyn ReadAt + Sync>,
}

impl From<Outgoing> for Load {
    fn from(file: Outgoing) -> Self {
        Self { name: file.name.clone(), size: file.size, bytes: Box::new(file) }
    }
}

impl Load {
    /// What the program wrote itself.
    pub(crate) fn text(name: &str, text: Vec<u8>) -> Self {
        Self { name: name.to_owned(), size: text.len() as u64, bytes: Box::new(Text(text)) }
    }
}

/// Bytes in memory that are sent as a file: for what the program writes itself.
#[derive(Debug)]
struct Text(Vec<u8>);

impl ReadAt for Text {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let piece = from.checked_add(out.len()).and_then(|to| self.0.get(from..to)).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(piece);
        Ok(())
    }
}

/// A folder that received files go to.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    force: bool,
}

impl Folder {
    /// The folder at `path`, made if need be. With `force`, files of the same name are replaced.
    ///
    /// # Errors
    /// [`Failed::Output`]: it is no folder, or cannot be made or written to.
    pub(crate) fn open(path: &Path, force: bool) -> Result<Self, Failed> {
        let shown = path.display();
        let unusable = |error: io::Error| {
            Failed::Output(match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    format!("{shown}: may not be written to; choose another folder with --out")
                }
                ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                    format!("{shown}: is, or lies below, a file; name a folder with --out")
                }
                _ => format!("{shown}: cannot be used as a folder ({error}); choose another with --out"),
            })
        };
        fs::create_dir_all(path).map_err(unusable)?;
        // Whether it can be written to is best found by writing.
        let (_, probe) = hidden(path).map_err(unusable)?;
        fs::remove_file(&probe).map_err(unusable)?;
        Ok(Self { path: path.to_owned(), force })
    }

    /// A new temporary folder that nobody else may look into.
    ///
    /// # Errors
    /// [`Failed::Output`].
    pub(crate) fn temporary() -> Result<PathBuf, Failed> {
        let place = std::env::temp_dir();
        let failed = |error: io::Error| {
            Failed::Output(format!("{}: no folder can be made there ({error}); choose one with --out", place.display()))
        };
        for _ in 0..ATTEMPTS {
            let path = place.join(format!("sodality-{}", random().map_err(failed)?));
            let mut builder = fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            match builder.create(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => return made.map(|()| path).map_err(failed),
            }
        }
        Err(failed(ErrorKind::AlreadyExists.into()))
    }

    /// Where a file of that name goes.
    ///
    /// # Errors
    /// The name is not plain: it could mean another place, or not show as what it is.
    pub(crate) fn place(&self, name: &str) -> io::Result<PathBuf> {
        if file_name_is_plain(name) {
            Ok(self.path.join(name))
        } else {
            Err(io::Error::new(ErrorKind::InvalidInput, "the sender gave it a name that is not plain"))
        }
    }

    /// Whether a file of that name may be written. It is asked again at the end, so this is for early words only.
    ///
    /// # Errors
    /// [`Failed::Output`]: there is one already, and no consent to replace it.
    pub(crate) fn check(&self, name: &str) -> Result<(), Failed> {
        let place = self.place(name).map_err(|error| Failed::Output(error.to_string()))?;
        if !self.force && place.symlink_metadata().is_ok() {
            let shown = place.display();
            return Err(Failed::Output(format!(
                "{shown}: exists already; use --force to replace it, or another --out"
            )));
        }
        Ok(())
    }

    /// Begins a file that is to get that name.
    ///
    /// # Errors
    /// The name is not plain or taken; or as the system says.
    pub(crate) fn begin(&self, name: &str) -> io::Result<Incoming> {
        let target = self.target(name)?;
        let (file, hidden) = hidden(&self.path)?;
        Ok(Incoming { file, hidden: Some(hidden), target, force: self.force, journal: None })
    }

    fn target(&self, name: &str) -> io::Result<PathBuf> {
        let target = self.place(name)?;
        if !self.force && target.symlink_metadata().is_ok() { Err(taken()) } else { Ok(target) }
    }

    /// Begins the file of an object, or goes on with what an interrupted run has left of it; says which chunks are there.
    ///
    /// # Errors
    /// The name is not plain or taken; or as the system says.
    pub(crate) fn resume(&self, suite: &Arc<dyn Suite>, manifest: &Manifest) -> io::Result<(Incoming, Progress)> {
        let target = self.target(manifest.name.as_str())?;
        match Journal::open(&self.path, suite, manifest) {
            Ok(Found { journal, part: (file, hidden), progress }) => {
                let (hidden, journal) = (Some(hidden), Some(journal));
                Ok((Incoming { file, hidden, target, force: self.force, journal }, progress))
            }
            // Somebody else fetches the same into this folder: then without a journal.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Ok((self.begin(manifest.name.as_str())?, Progress::claim(manifest.clone(), [])))
            }
            Err(error) => Err(error),
        }
    }
}

fn taken() -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, "there is a file of that name")
}

/// Names are random, so a second attempt is rare.
const ATTEMPTS: usize = 16;

fn random() -> io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| io::Error::other("the random source failed"))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// A new file of a hidden name.
fn hidden(folder: &Path) -> io::Result<(File, PathBuf)> {
    for _ in 0..ATTEMPTS {
        let path = folder.join(format!(".sodality-{}.part", random()?));
        match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (file, path)),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// A file on its way in.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: File,
    /// Where it lives until it is whole.
    hidden: Option<PathBuf>,
    target: PathBuf,
    force: bool,
    /// What is noted of it, if it is kept when it is interrupted.
    journal: Option<Journal>,
}

impl ReadAt for Incoming {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        read_at(&mut self.file, offset, out)
    }
}

impl Store for Incoming {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(bytes)?;
        self.journal.as_mut().map_or(Ok(()), |journal| journal.note(offset, bytes))
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.file.sync_all()?;
        self.settle()?;
        if let Some(journal) = self.journal.take() {
            journal.close();
        }
        Ok(())
    }

    fn discard(mut self: Box<Self>) {
        if let Some(journal) = self.journal.take() {
            journal.discard();
        }
    }
}

impl Incoming {
    /// Gives the whole file its name.
    fn settle(&mut self) -> io::Result<()> {
        let Some(hidden) = &self.hidden else { return Ok(()) };
        if self.force {
            fs::rename(hidden, &self.target)?;
            self.hidden = None;
            return Ok(());
        }
        // A link is made only where nothing stands. The hidden name goes when `self` does.
        match fs::hard_link(hidden, &self.target) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(taken()),
            Err(_) => {
                // No links here: take the name with an empty file of our own, and replace that.
                OpenOptions::new().write(true).create_new(true).open(&self.target)?;
                let renamed = fs::rename(hidden, &self.target);
                match renamed {
                    Ok(()) => self.hidden = None,
                    Err(_) => fs::remove_file(&self.target)?,
                }
                renamed
            }
            Ok(()) => Ok(()),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let kept = self.journal.is_some();
        if let Some(hidden) = self.hidden.take().filter(|_| !kept) {
            // There is nobody to tell, and nothing else to try.
            let _ = fs::remove_file(hidden);
        }
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
