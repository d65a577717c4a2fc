//! The registry of a third party: an embedded transactional store of names and long-term keys, for its owner alone.
//!
//! It is opened for each piece of work and closed again, so that the third party sees what another process has changed
//! meanwhile, and neither keeps the other out.

use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::thread::sleep;
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{Builder, Database, Error, ReadOnlyDatabase, ReadableDatabase, ReadableTable, TableDefinition};
use sodality::crypto::Secret;
use sodality::identity::Name;
use zeroize::Zeroizing;

use super::key::KEY_BYTES;
use crate::exit::Failed;

/// Name → form (1), flags, key.
const PRINCIPALS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sodality-principals-1");
const FORM: u8 = 1;
const LEADS: u8 = 1;
const DISABLED: u8 = 2;

/// How often, and after which pauses, a store is tried again that another process has open.
const ATTEMPTS: u32 = 150;
const PAUSE: Duration = Duration::from_millis(20);

/// What is known of a principal.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    /// It may lead groups (D38).
    pub(super) leads: bool,
    /// Its joins are refused for now.
    pub(super) disabled: bool,
    /// Its long-term key.
    pub(super) key: Secret,
}

impl Principal {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let flags = (u8::from(self.leads) * LEADS) | (u8::from(self.disabled) * DISABLED);
        let mut out = Zeroizing::new(Vec::with_capacity(2 + KEY_BYTES));
        out.extend_from_slice(&[FORM, flags]);
        out.extend_from_slice(self.key.expose());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        match bytes {
            [FORM, flags, key @ ..] if key.len() == KEY_BYTES && *flags <= (LEADS | DISABLED) => {
                Ok(Self { leads: flags & LEADS != 0, disabled: flags & DISABLED != 0, key: Secret::new(key) })
            }
            _ => Err(Error::Corrupted("a record is not one of ours".into())),
        }
    }
}

/// A registry.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    path: PathBuf,
}

impl Registry {
    /// The registry at `path`, which must be there.
    ///
    /// # Errors
    /// [`Failed::Input`]: there is none, it is damaged, or others may read it.
    pub(super) fn open(path: &Path) -> Result<Self, Failed> {
        let shown = path.display();
        let kind = fs::metadata(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                Failed::Input(format!("{shown}: there is no registry; make one with sodality register NAME"))
            }
            _ => Failed::Input(format!("{shown}: cannot be read ({error})")),
        })?;
        if !kind.is_file() {
            return Err(Failed::Input(format!("{shown}: is no file; name the file of a registry")));
        }
        super::key::check_private(path, &kind)?;
        let registry = Self { path: path.to_owned() };
        registry.list()?;
        Ok(registry)
    }

    /// The registry at `path`, made if there is none.
    ///
    /// # Errors
    /// As [`Self::open`]; [`Failed::Output`] if it cannot be made.
    pub(super) fn open_or_make(path: &Path) -> Result<Self, Failed> {
        if path.symlink_metadata().is_ok() {
            return Self::open(path);
        }
        let failed = |error: io::Error| {
            Failed::Output(format!(
                "{}: no registry can be made there ({error}); name another file with --registry",
                path.display()
            ))
        };
        // Made under another name: nobody sees half a registry, and none is left behind by a crash.
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| failed(io::Error::other("no random bytes")))?;
        let mut unique = path.as_os_str().to_owned();
        unique.push(format!(".{:016x}.new", u64::from_be_bytes(random)));
        let new = PathBuf::from(unique);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&new).map_err(failed)?;
        let registry = Self { path: path.to_owned() };
        let made = registry.guarded(|| {
            let store = Builder::new().create_with_backend(FileBackend::new(file)?)?;
            let transaction = store.begin_write()?;
            transaction.open_table(PRINCIPALS)?;
            Ok(transaction.commit()?)
        });
        // A link is made only where nothing stands: who comes second takes what the first has made.
        let placed = made.and_then(|()| match fs::hard_link(&new, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(_) => fs::rename(&new, path).map_err(failed),
            Ok(()) => Ok(()),
        });
        // It has its name by now, or is not wanted.
        let _ = fs::remove_file(&new);
        placed?;
        Self::open(path)
    }

    /// All principals, by name.
    pub(super) fn list(&self) -> Result<Vec<(String, Principal)>, Failed> {
        self.read(|table| {
            let mut found = Vec::new();
            for entry in table.iter()? {
                let (name, record) = entry?;
                found.push((name.value().to_owned(), Principal::decode(record.value())?));
            }
            Ok(found)
        })
    }

    /// What is known of these principals.
    pub(super) fn find(&self, names: [&Name; 2]) -> Result<[Option<Principal>; 2], Failed> {
        self.read(|table| {
            let [first, second] = names.map(|name| {
                let found = table.get(name.as_str())?;
                found.map(|record| Principal::decode(record.value())).transpose()
            });
            Ok([first?, second?])
        })
    }

    /// Changes what is known of `name`: `change` is given what is known, and says what is to be known. All or nothing.
    pub(super) fn change(
        &self,
        name: &Name,
        change: impl FnOnce(Option<Principal>) -> Result<Option<Principal>, Failed>,
    ) -> Result<(), Failed> {
        let changed = self.guarded(|| {
            let store = patiently(|| Builder::new().open(&self.path))?;
            let transaction = store.begin_write()?;
            let result = {
                let mut table = transaction.open_table(PRINCIPALS)?;
                let known = table.get(name.as_str())?.map(|record| Principal::decode(record.value())).transpose()?;
                let next = change(known);
                match &next {
                    Ok(Some(principal)) => drop(table.insert(name.as_str(), principal.encode().as_slice())?),
                    Ok(None) => drop(table.remove(name.as_str())?),
                    Err(_) => {}
                }
                next
            };
            match result {
                Ok(_) => transaction.commit()?,
                Err(failed) => return Ok(Err(failed)),
            }
            Ok(Ok(()))
        });
        changed?
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&redb::ReadOnlyTable<&'static str, &'static [u8]>) -> Result<T, Error>,
    ) -> Result<T, Failed> {
        self.guarded(|| {
            let read_only = || patiently(|| ReadOnlyDatabase::open(&self.path));
            let store = match read_only() {
                // Somebody died while it was open: opening it for writing mends it.
                Err(Error::RepairAborted) => {
                    drop(patiently(|| Database::open(&self.path))?);
                    read_only()?
                }
                opened => opened?,
            };
            // The store closes when it is dropped: it outlives what is read from it.
            let transaction = store.begin_read()?;
            work(&transaction.open_table(PRINCIPALS)?)
        })
    }

    /// Runs `work`; what goes wrong, be it a panic over a damaged file, becomes one line.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Failed> {
        hush();
        QUIET.set(true);
        let done = panic::catch_unwind(AssertUnwindSafe(work));
        QUIET.set(false);
        let shown = self.path.display();
        let damaged = |why: &str| {
            let why = why.lines().next().unwrap_or_default();
            Failed::Input(format!("{shown}: is no registry or is damaged ({why}); restore a copy of it"))
        };
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Error::DatabaseAlreadyOpen)) => {
                Err(Failed::Input(format!("{shown}: another process holds it open; try again when that has ended")))
            }
            Ok(Err(Error::UpgradeRequired(_))) => {
                Err(Failed::Input(format!("{shown}: is of another version of this program; use that one")))
            }
            Ok(Err(Error::Io(error))) if error.kind() == ErrorKind::PermissionDenied => {
                Err(Failed::Input(format!("{shown}: may not be read and written; check its owner")))
            }
            Ok(Err(error)) => Err(damaged(&error.to_string())),
            Err(_) => Err(damaged("it contradicts itself")),
        }
    }
}

/// Tries again for a while what another process keeps from being opened.
fn patiently<T>(open: impl Fn() -> Result<T, redb::DatabaseError>) -> Result<T, Error> {
    for _ in 0..ATTEMPTS {
        match open() {
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => sleep(PAUSE),
            done => return done.map_err(Error::from),
        }
    }
    Err(Error::DatabaseAlreadyOpen)
}

thread_local! {
    /// A panic of this thread is caught and told otherwise.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Makes panics of quiet threads silent; all others stay as they are.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
}
