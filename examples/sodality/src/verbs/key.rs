//! Long-term keys as text, and passwords, from a file, a descriptor, the standard input or a terminal; never from arguments or the
//! environment, which others may see.

use std::fmt::Write as _;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};
use std::path::Path;

use sodality::crypto::password::MAX_PASSWORD;
use sodality::crypto::{Key, Secret};
use zeroize::Zeroizing;

use crate::exit::Failed;

/// Length of a long-term key in bytes.
pub(super) const KEY_BYTES: usize = 32;
/// Begins a key as text.
pub(super) const HEAD: &str = "sodality-key-1 ";
/// A key as text is shorter than this.
const LONGEST: u64 = 256;

/// A new random key.
///
/// # Errors
/// [`Failed::Group`]: the system has no randomness.
pub(super) fn fresh() -> Result<Secret, Failed> {
    Secret::filled(KEY_BYTES, getrandom::fill)
        .map_err(|_| Failed::Group("the system gives no random bytes; try again later".into()))
}

/// `key` as text, with the end of its line.
pub(super) fn text(key: &Secret) -> Zeroizing<String> {
    // Long enough from the start, so that it leaves no copies by growing.
    let mut text = Zeroizing::new(String::with_capacity(HEAD.len() + 2 * KEY_BYTES + 1));
    text.push_str(HEAD);
    for byte in key.expose() {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    text
}

/// Writes `key` to the standard output: only where the user asked for that.
fn show(key: &Secret) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    out.write_all(text(key).as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failed::Output(format!("the key cannot be written to the standard output ({error})")))
}

/// Writes `key` into a new file that only its owner may read; `-` means the standard output.
///
/// # Errors
/// [`Failed::Output`]: there is such a file, or it cannot be written.
pub(super) fn write(path: &Path, key: &Secret) -> Result<(), Failed> {
    if path == Path::new("-") {
        return show(key);
    }
    let shown = path.display();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| {
        Failed::Output(match error.kind() {
            ErrorKind::AlreadyExists => format!("{shown}: exists already; name another file with --key-out"),
            _ => format!("{shown}: cannot be written ({error}); name another file with --key-out"),
        })
    })?;
    file.write_all(text(key).as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        // Half a key is worth nothing.
        let _ = fs::remove_file(path);
        Failed::Output(format!("{shown}: cannot be written ({error}); name another file with --key-out"))
    })
}

/// Refuses a plain file that others than its owner may read or write.
///
/// # Errors
/// [`Failed::Input`].
pub(crate) fn check_private(path: &Path, kind: &Metadata) -> Result<(), Failed> {
    #[cfg(unix)]
    if kind.is_file() && std::os::unix::fs::PermissionsExt::mode(&kind.permissions()) & 0o077 != 0 {
        let shown = path.display();
        return Err(Failed::Input(format!("{shown}: holds secrets and others may use it; say chmod 600 {shown}")));
    }
    Ok(())
}

/// Reads a key from `path`, or, if that is `-`, from a line of the standard input.
///
/// # Errors
/// [`Failed::Input`].
pub(super) fn read<R>(path: &Path) -> Result<Key<R>, Failed> {
    let text = read_secret(path, "key", "make it with sodality register or sodality user", LONGEST)?;
    parse(&text).map(Key::new).ok_or_else(|| {
        Failed::Input(format!(
            "{}: is no key; one is a line \"{HEAD}\" and 64 hexadecimal digits, from sodality register or sodality user",
            shown(path)
        ))
    })
}

/// Reads a password from `path`, or, if that is `-`, from a line of the standard input. The end of its line is no part of it.
///
/// # Errors
/// [`Failed::Input`].
pub(super) fn read_password(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failed> {
    // One byte more than allowed, and the end of the line.
    let mut text = read_secret(path, "password", "write it into a file for its owner alone", MAX_PASSWORD as u64 + 3)?;
    let length = text.strip_suffix(b"\n").map_or(text.len(), |line| line.strip_suffix(b"\r").unwrap_or(line).len());
    text.truncate(length);
    if text.is_empty() || text.len() > MAX_PASSWORD {
        return Err(Failed::Input(format!("{}: a password is one line of 1 to {MAX_PASSWORD} bytes", shown(path))));
    }
    if text.contains(&b'\n') {
        return Err(Failed::Input(format!("{}: has several lines; a password is one line", shown(path))));
    }
    Ok(text)
}

/// A path as messages name it.
fn shown(path: &Path) -> String {
    if is_standard_input(path) { "standard input".into() } else { path.display().to_string() }
}

pub(super) fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// The first `most` bytes of the file, or of a line of the standard input, which a terminal does not show.
fn read_secret(path: &Path, what: &str, make: &str, most: u64) -> Result<Zeroizing<Vec<u8>>, Failed> {
    let shown = shown(path);
    let failed = |error: io::Error| {
        Failed::Input(match error.kind() {
            ErrorKind::NotFound => format!("{shown}: there is no such {what}; {make}"),
            _ => format!("{shown}: the {what} cannot be read ({error})"),
        })
    };
    // Long enough from the start, so that it leaves no copies by growing.
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(most).unwrap_or(2048) + 1));
    if is_standard_input(path) {
        let _silent = Silence::begin(what);
        io::stdin().lock().take(most).read_until(b'\n', &mut text).map_err(failed)?;
    } else {
        check_private(path, &fs::metadata(path).map_err(failed)?)?;
        File::open(path).map_err(failed)?.take(most).read_to_end(&mut text).map_err(failed)?;
    }
    Ok(text)
}

/// Reads a key from a descriptor that the caller of this program has opened.
///
/// # Errors
/// [`Failed::Input`].
pub(super) fn read_descriptor<R>(number: u32) -> Result<Key<R>, Failed> {
    let path = Path::new("/dev/fd").join(number.to_string());
    if fs::metadata(&path).is_err() {
        return Err(Failed::Input(format!("--key-fd {number}: no such descriptor is open; open it, or use --key")));
    }
    read(&path)
}

/// The key in a text, and nothing else.
pub(super) fn parse(text: &[u8]) -> Option<Secret> {
    let digits = text.trim_ascii().strip_prefix(HEAD.as_bytes())?;
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Secret::filled(KEY_BYTES, |out| {
        for (out, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return Err(()) };
            *out = digit(*high).ok_or(())? << 4 | digit(*low).ok_or(())?;
        }
        Ok(())
    })
    .ok()
}

/// While it lives, a terminal does not show what is typed.
struct Silence {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl Silence {
    /// Asks for `what`, where somebody types it: once nothing that is typed is shown any more, and not before.
    fn begin(what: &str) -> Self {
        let begun = Self::hush();
        if io::stdin().is_terminal() {
            eprint!("{what}: ");
        }
        begun
    }

    #[cfg(unix)]
    fn hush() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin()).ok().filter(|_| io::stdin().is_terminal());
        if let Some(mut modes) = before.clone() {
            modes.local_modes.remove(LocalModes::ECHO);
            // Then it is shown, to who types it.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
        }
        Self { before }
    }

    #[cfg(not(unix))]
    fn hush() -> Self {
        Self {}
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(before) = &self.before {
            // As above.
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, before);
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_key_is_one() {
        let good = format!("{HEAD}{}\n", "0f".repeat(KEY_BYTES));
        assert_eq!(parse(good.as_bytes()).map(|key| key.expose().to_vec()), Some(vec![0x0f; KEY_BYTES]));
        for bad in ["", "sodality-key-1 ", "0f0f", &good.replace("0f", "0g"), &good.replace("-1", "-2"), &good[..70]] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(parse(format!("{HEAD}{}", "0f".repeat(33)).as_bytes()).is_none());
    }
}
