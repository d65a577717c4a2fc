//! What a later run finds of a file: what was noted and is still there, and nothing else.

use sodality::crypto::aes_256_gcm;
use sodality::identity::Name;
use sodality::transfer::ObjectId;

use super::*;
use crate::files::Folder;

const CHUNK: usize = 1000;

struct Scratch(PathBuf, Arc<dyn Suite>);

impl Scratch {
    fn new() -> Self {
        Self(Folder::temporary().unwrap(), aes_256_gcm())
    }

    fn open(&self, manifest: &Manifest) -> io::Result<Found> {
        Journal::open(&self.0, &self.1, manifest)
    }

    fn manifest(&self, bytes: &[u8], object: u8) -> Manifest {
        Manifest {
            object: ObjectId([object; 16]),
            name: Name::new("file").unwrap(),
            size: bytes.len() as u64,
            chunk: CHUNK as u32,
            digest: self.1.hash(&[bytes]).unwrap(),
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn path(&self, end: &str) -> PathBuf {
        self.0.join(self.names().into_iter().find(|name| name.ends_with(end)).unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn bytes() -> Vec<u8> {
    (0..4_321_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn write(found: &mut Found, bytes: &[u8], chunks: &[usize]) {
    for index in chunks {
        let (from, to) = (index * CHUNK, bytes.len().min((index + 1) * CHUNK));
        found.part.0.seek(SeekFrom::Start(from as u64)).unwrap();
        found.part.0.write_all(&bytes[from..to]).unwrap();
        found.journal.note(from as u64, &bytes[from..to]).unwrap();
    }
}

/// Which chunks are claimed: the bits at the end of a stored claim.
fn held(found: &Found) -> Vec<u32> {
    let chunks = found.progress.manifest().chunks();
    let stored = found.progress.to_bytes();
    let bits = &stored[stored.len() - (chunks as usize).div_ceil(8)..];
    (0..chunks).filter(|index| bits[*index as usize / 8] >> (index % 8) & 1 == 1).collect()
}

#[test]
fn what_was_noted_is_found_again_by_its_content() {
    let (scratch, bytes) = (Scratch::new(), bytes());
    let mut found = scratch.open(&scratch.manifest(&bytes, 1)).unwrap();
    assert_eq!(held(&found), []);
    write(&mut found, &bytes, &[4, 0, 2]);
    drop(found);
    // Another object with the same bytes: its sender has begun anew.
    let mut found = scratch.open(&scratch.manifest(&bytes, 2)).unwrap();
    assert_eq!((held(&found), found.progress.bytes()), (vec![0, 2, 4], 2321));
    write(&mut found, &bytes, &[1]);
    drop(found);
    let found = scratch.open(&scratch.manifest(&bytes, 2)).unwrap();
    assert_eq!(held(&found), [0, 1, 2, 4]);
    found.journal.discard();
    assert_eq!(scratch.names(), Vec::<String>::new());
}

#[test]
fn a_chunk_that_is_not_what_was_noted_is_not_claimed() {
    let (scratch, bytes) = (Scratch::new(), bytes());
    let manifest = scratch.manifest(&bytes, 1);
    let mut found = scratch.open(&manifest).unwrap();
    write(&mut found, &bytes, &[0, 1, 2, 3, 4]);
    drop(found);
    let part = scratch.path(PART);
    let mut stored = fs::read(&part).unwrap();
    assert_eq!(stored, bytes);
    stored[1500] ^= 1;
    // And the end never reached the disk.
    stored.truncate(4100);
    fs::write(&part, &stored).unwrap();
    assert_eq!(held(&scratch.open(&manifest).unwrap()), [0, 2, 3]);
    // The file is gone, and what was noted stays: nothing is there.
    fs::remove_file(&part).unwrap();
    assert_eq!(held(&scratch.open(&manifest).unwrap()), []);
}

#[test]
fn of_a_journal_that_was_cut_off_the_whole_entries_count() {
    let (scratch, bytes) = (Scratch::new(), bytes());
    let manifest = scratch.manifest(&bytes, 1);
    let mut found = scratch.open(&manifest).unwrap();
    write(&mut found, &bytes, &[3, 1, 0]);
    drop(found);
    let state = scratch.path(STATE);
    let text = fs::read(&state).unwrap();
    fs::write(&state, &text[..text.len() - 5]).unwrap();
    let mut found = scratch.open(&manifest).unwrap();
    assert_eq!(held(&found), [1, 3]);
    write(&mut found, &bytes, &[2]);
    drop(found);
    assert_eq!(held(&scratch.open(&manifest).unwrap()), [1, 2, 3], "what follows stands where it belongs");
    // Whatever else stands there is begun anew.
    for text in [b"".to_vec(), b"no journal".to_vec(), vec![0xff; 10_000], text[..20].to_vec()] {
        fs::write(&state, &text).unwrap();
        assert_eq!(held(&scratch.open(&manifest).unwrap()), []);
    }
    let other = Manifest { chunk: 500, ..manifest };
    let found = scratch.open(&other).unwrap();
    assert_eq!(held(&found), [], "other chunks, other claims");
}

#[test]
fn what_one_writes_another_leaves_alone() {
    let (scratch, bytes) = (Scratch::new(), bytes());
    let manifest = scratch.manifest(&bytes, 1);
    let first = scratch.open(&manifest).unwrap();
    assert_eq!(scratch.open(&manifest).map(drop).unwrap_err().kind(), ErrorKind::WouldBlock);
    // Who comes second fetches it without a journal.
    let folder = Folder::open(&scratch.0, false).unwrap();
    let (second, progress) = folder.resume(&scratch.1, &manifest).unwrap();
    assert_eq!(progress.bytes(), 0);
    assert_eq!(scratch.names().len(), 3);
    drop(second);
    assert_eq!(scratch.names().len(), 2);
    drop(first);
}

#[test]
fn a_folder_keeps_a_bounded_number_of_unfinished_files() {
    let scratch = Scratch::new();
    let first = scratch.open(&scratch.manifest(&[0], 1)).unwrap();
    for number in 1..=2 * KEPT as u8 {
        let bytes = vec![number; CHUNK];
        write(&mut scratch.open(&scratch.manifest(&bytes, 1)).unwrap(), &bytes, &[0]);
    }
    let states = scratch.names().iter().filter(|name| name.ends_with(STATE)).count();
    assert!(states <= KEPT + 1, "{states}");
    assert_eq!(scratch.names().len(), 2 * states, "no file without its journal");
    // What is being written is never removed.
    assert!(first.journal.state.exists());
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_an_unfinished_file_is_not_followed() {
    let (scratch, bytes) = (Scratch::new(), bytes());
    let manifest = scratch.manifest(&bytes, 1);
    drop(scratch.open(&manifest).unwrap());
    let outside = scratch.0.join("outside");
    fs::write(&outside, b"precious").unwrap();
    for end in [PART, STATE] {
        let path = scratch.path(end);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&outside, &path).unwrap();
        assert_eq!(scratch.open(&manifest).map(drop).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&outside).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
        drop(scratch.open(&manifest).unwrap());
    }
}
