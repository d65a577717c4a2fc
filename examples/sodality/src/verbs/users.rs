//! The file of a leader of Enclaves: who its users are, each with P_a. For the leader alone: whoever has it can join as any of
//! them.
//!
//! The first line is `sodality-users-1` and the name of the leader; then there is a line for each user, its key as text and its
//! name. Empty lines, and those that begin with `#`, say nothing; a change leaves them out.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use sodality::crypto::keys::role;
use sodality::crypto::{Key, Secret};
use sodality::enclaves::Accounts;
use sodality::enclaves::auth::{Account, SharedKey};
use sodality::identity::Name;
use zeroize::Zeroizing;

use super::key;
use crate::exit::Failed;

/// Begins the file.
const HEAD: &str = "sodality-users-1 ";
/// A file is not longer than this.
const LONGEST: u64 = 16 << 20;

/// Who the users of a leader are.
pub(super) struct Users {
    pub(super) leader: Name,
    pub(super) keys: BTreeMap<Name, Secret>,
}

impl Users {
    /// Nobody yet.
    pub(super) fn of(leader: Name) -> Self {
        Self { leader, keys: BTreeMap::new() }
    }

    /// Reads the file; `None` if there is none.
    ///
    /// # Errors
    /// [`Failed::Input`].
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Failed> {
        let shown = path.display();
        let failed = |error: io::Error| Failed::Input(format!("{shown}: the users cannot be read ({error})"));
        let kind = match fs::metadata(path) {
            Ok(kind) => kind,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        key::check_private(path, &kind)?;
        // One byte more than is told, so that it does not grow and leave copies.
        let length = usize::try_from(kind.len().min(LONGEST)).unwrap_or(0);
        let mut text = Zeroizing::new(Vec::with_capacity(length + 1));
        File::open(path).map_err(failed)?.take(LONGEST + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > LONGEST {
            return Err(Failed::Input(format!("{shown}: is longer than {} MiB", LONGEST >> 20)));
        }
        let parsed = Self::parse(&text);
        parsed.map(Some).map_err(|(line, what)| Failed::Input(format!("{shown}:{line}: {what}; mend it there")))
    }

    fn parse(text: &[u8]) -> Result<Self, (usize, String)> {
        let mut users: Option<Self> = None;
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let wrong = |what: &str| (at + 1, what.to_owned());
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() || line.starts_with(b"#") {
                continue;
            }
            let Some(users) = &mut users else {
                let leader = line.strip_prefix(HEAD.as_bytes()).and_then(as_name);
                let leader =
                    leader.ok_or_else(|| wrong("is no file of users; it begins with \"sodality-users-1 LEADER\""))?;
                users = Some(Self::of(leader));
                continue;
            };
            let digits = key::HEAD.len() + 2 * key::KEY_BYTES;
            let key = line.get(..digits).and_then(key::parse);
            let key = key.ok_or_else(|| {
                wrong("does not begin with a key, which is \"sodality-key-1 \" and 64 hexadecimal digits")
            })?;
            let rest = line.get(digits..).unwrap_or_default();
            let name = rest.strip_prefix(b" ").and_then(as_name).ok_or_else(|| wrong("has no name after the key"))?;
            if name == users.leader {
                return Err(wrong("a user and its leader need different names"));
            }
            if users.keys.insert(name, key).is_some() {
                return Err(wrong("the same user a second time"));
            }
        }
        users.ok_or_else(|| (1, "is no file of users; it begins with \"sodality-users-1 LEADER\"".to_owned()))
    }

    /// Writes the file for its owner alone: it has happened, or not.
    ///
    /// # Errors
    /// [`Failed::Output`].
    pub(super) fn write(&self, path: &Path) -> Result<(), Failed> {
        let shown = path.display();
        let Some(file) = path.file_name() else {
            return Err(Failed::Output(format!("{shown}: is no name of a file; name one with --users")));
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(file);
        hidden.push(".new");
        let new: PathBuf = path.with_file_name(hidden);
        let failed = |error: io::Error| Failed::Output(format!("{shown}: cannot be written ({error})"));
        let mut options = OpenOptions::new();
        // Nobody else writes one meanwhile.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = options.open(&new).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failed::Output(format!(
                "{}: is there: another process changes {shown}, or did not come to its end; then remove it",
                new.display()
            )),
            _ => failed(error),
        })?;
        let written = self.put(&mut out).and_then(|()| out.sync_all()).and_then(|()| fs::rename(&new, path));
        written.map_err(|error| {
            // Half a file is worth nothing.
            let _ = fs::remove_file(&new);
            failed(error)
        })
    }

    fn put(&self, out: &mut File) -> io::Result<()> {
        writeln!(out, "{HEAD}{}", self.leader)?;
        for (name, key) in &self.keys {
            let text = key::text(key);
            out.write_all(text.trim_end().as_bytes())?;
            writeln!(out, " {name}")?;
        }
        Ok(())
    }

    /// What a leader is configured with.
    pub(super) fn accounts(self) -> Accounts {
        let account = |key: Secret| Account::SharedKey(SharedKey::new(Key::<role::User>::new(key)));
        self.keys.into_iter().map(|(name, key)| (name, account(key))).collect()
    }
}

fn as_name(text: &[u8]) -> Option<Name> {
    std::str::from_utf8(text).ok().and_then(|text| Name::new(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_users() {
        let key = format!("sodality-key-1 {}", "0f".repeat(key::KEY_BYTES));
        let good = format!("# of the tea\nsodality-users-1 lea\n\n{key} ada\n{key} bob the other\r\n");
        let users = Users::parse(good.as_bytes()).unwrap();
        assert_eq!(users.leader.as_str(), "lea");
        assert_eq!(users.keys.keys().map(Name::as_str).collect::<Vec<_>>(), ["ada", "bob the other"]);
        for (bad, line, word) in [
            (String::new(), 1, "no file of users"),
            (format!("{key} ada\n"), 1, "no file of users"),
            (format!("sodality-users-1 lea\n{key}\n"), 2, "no name"),
            (format!("sodality-users-1 lea\n{key}ada\n"), 2, "no name"),
            (format!("sodality-users-1 lea\n{} ada\n", &key[..40]), 2, "does not begin with a key"),
            (format!("sodality-users-1 lea\n{key} lea\n"), 2, "different names"),
            (format!("sodality-users-1 lea\n{key} ada\n{key} ada\n"), 3, "a second time"),
        ] {
            let (at, what) = Users::parse(bad.as_bytes()).err().unwrap();
            assert!(at == line && what.contains(word), "{bad}: {at}, {what}");
        }
    }
}
