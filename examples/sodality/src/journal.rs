//! What is known of a file that came in only in part, kept beside it, so that a later run goes on where this one ended.
//!
//! A journal has a line for each chunk that was written: its number and its digest. Who goes on reads each chunk again and
//! takes those whose digest is right: what a crash left out, or somebody changed, is fetched anew. The digest of the whole is
//! compared at the end in any case. A journal is locked while it is written, so that two processes never share one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sodality::crypto::Suite;
use sodality::transfer::{Manifest, Progress};

/// Begins each journal.
const HEAD: &[u8] = b"sodality-part-1\n";
/// Unfinished files that a folder keeps; the oldest go first.
const KEPT: usize = 32;
/// A journal with more entries than so many for each chunk is begun anew.
const ENTRIES_PER_CHUNK: u64 = 8;

/// The names of both files begin with this, and end with one of these.
const BEGIN: &str = ".sodality-";
const PART: &str = ".part";
const STATE: &str = ".state";

/// An unfinished file, and what is known of it.
#[derive(Debug)]
pub(crate) struct Journal {
    suite: Arc<dyn Suite>,
    state: PathBuf,
    file: File,
    chunk: u32,
    size: u64,
}

/// What was found of a file.
pub(crate) struct Found {
    pub(crate) journal: Journal,
    /// The file, and where it lives until it is whole.
    pub(crate) part: (File, PathBuf),
    /// The chunks of it that are there and right.
    pub(crate) progress: Progress,
}

fn failed(_: impl Sized) -> io::Error {
    io::Error::other("its digest cannot be computed")
}

/// The file at `path`, made if there is none. Links and the like are not followed.
fn plain(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match path.symlink_metadata() {
        Ok(kind) if !kind.is_file() => Err(ErrorKind::AlreadyExists.into()),
        Ok(_) => options.open(path),
        Err(_) => options.create_new(true).open(path),
    }
}

/// Makes room for another unfinished file, where there are too many: the oldest that nobody writes go.
fn prune(folder: &Path) -> io::Result<()> {
    let mut states = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(BEGIN) && name.ends_with(STATE)) {
            states.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    states.sort();
    let surplus = (states.len() + 1).saturating_sub(KEPT);
    for (_, state) in states.into_iter().take(surplus) {
        if plain(&state)?.try_lock().is_ok() {
            remove(&state);
        }
    }
    Ok(())
}

/// Removes a journal and its file.
fn remove(state: &Path) {
    // What cannot be removed is found again, and checked like everything else.
    let _ = fs::remove_file(state.with_extension("part"));
    let _ = fs::remove_file(state);
}

impl Journal {
    /// Opens what `folder` has of this object, which may be nothing.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`]: another process, or another object of this one, writes it. Else as the system says.
    pub(crate) fn open(folder: &Path, suite: &Arc<dyn Suite>, manifest: &Manifest) -> io::Result<Found> {
        let digest = manifest.digest.as_bytes();
        // The content names it, not the object: a sender that has begun anew offers another object with the same bytes.
        let key: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let (state, part) = (folder.join(format!("{BEGIN}{key}{STATE}")), folder.join(format!("{BEGIN}{key}{PART}")));
        if state.symlink_metadata().is_err() {
            prune(folder)?;
        }
        let mut file = plain(&state)?;
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => ErrorKind::WouldBlock.into(),
            fs::TryLockError::Error(error) => error,
        })?;
        let mut head = HEAD.to_vec();
        head.extend_from_slice(&manifest.size.to_be_bytes());
        head.extend_from_slice(&manifest.chunk.to_be_bytes());
        head.extend_from_slice(digest);
        let mut bytes = plain(&part)?;
        let noted = noted(&mut file, &head, manifest, suite.sizes().digest)?;
        let mut held = Vec::new();
        let mut piece = Vec::new();
        for (index, wanted) in &noted {
            piece.resize(manifest.chunk_len(*index), 0);
            bytes.seek(SeekFrom::Start(manifest.offset(*index)))?;
            let read = bytes.read_exact(&mut piece).is_ok();
            if read && suite.hash(&[&piece]).map_err(failed)?.as_bytes() == wanted {
                held.push(*index);
            }
        }
        if held.is_empty() {
            // Nothing to go on with: whatever stands there is not ours.
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&head)?;
            bytes.set_len(0)?;
        }
        file.seek(SeekFrom::End(0))?;
        let journal = Self { suite: suite.clone(), state, file, chunk: manifest.chunk, size: manifest.size };
        Ok(Found { journal, part: (bytes, part), progress: Progress::claim(manifest.clone(), held) })
    }

    /// Notes that `bytes` stand at `offset` now.
    ///
    /// # Errors
    /// As the system says, or the suite.
    pub(crate) fn note(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let whole = u64::from(self.chunk).min(self.size.saturating_sub(offset)) == bytes.len() as u64;
        let (Some(0), true) = (offset.checked_rem(u64::from(self.chunk)), whole) else { return Ok(()) };
        let Some(Ok(index)) = offset.checked_div(u64::from(self.chunk)).map(u32::try_from) else { return Ok(()) };
        let mut entry = index.to_be_bytes().to_vec();
        entry.extend_from_slice(self.suite.hash(&[bytes]).map_err(failed)?.as_bytes());
        // At once: what a killed process has noted is in the hands of the system.
        self.file.write_all(&entry)
    }

    /// The file is whole, and has moved: nothing is to be gone on with.
    pub(crate) fn close(self) {
        // As in `remove`.
        let _ = fs::remove_file(&self.state);
    }

    /// Nothing of the file is wanted any more.
    pub(crate) fn discard(self) {
        remove(&self.state);
    }
}

/// The chunks that a journal names, with the digest that was noted last. An entry that was cut off is cut away. No entries if
/// the journal is of something else.
fn noted(file: &mut File, head: &[u8], manifest: &Manifest, digest: usize) -> io::Result<BTreeMap<u32, Vec<u8>>> {
    let (chunks, entry) = (manifest.chunks(), digest + 4);
    let longest = u64::from(chunks).saturating_mul(ENTRIES_PER_CHUNK).saturating_mul(entry as u64);
    let mut text = Vec::new();
    file.rewind()?;
    file.take(longest.saturating_add(head.len() as u64 + 1)).read_to_end(&mut text)?;
    let mut noted = BTreeMap::new();
    let Some(entries) = text.strip_prefix(head) else { return Ok(noted) };
    if entries.len() as u64 > longest {
        return Ok(noted);
    }
    let entries = entries.chunks_exact(entry);
    file.set_len((text.len() - entries.remainder().len()) as u64)?;
    for entry in entries {
        let Some((index, digest)) = entry.split_first_chunk() else { continue };
        let index = u32::from_be_bytes(*index);
        if index < chunks {
            noted.insert(index, digest.to_vec());
        }
    }
    Ok(noted)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
