//! A recorded session as a file that other programs read: a JSON value in each line. The first names suite, edition and
//! long-term keys; each other one is a frame.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Map, Value, json};
use sodality::crypto::{Suite, SuiteId};
use sodality::sim::star::long_term_key;
use sodality::sim::{Recorder, World};

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A session: what stands in front of the frames, then the frames.
pub(crate) struct Session {
    lines: Vec<Value>,
}

impl Session {
    /// A session of these parts (`published`, `repaired` or `mixed`), with the long-term keys that are told, as bytes.
    pub(crate) fn new<'k>(suite: SuiteId, edition: &str, keys: impl Iterator<Item = (&'k str, Vec<u8>)>) -> Self {
        let keys: Map<_, _> = keys.map(|(name, key)| (name.to_string(), json!(hex(&key)))).collect();
        Self { lines: vec![json!({"suite": suite.0, "edition": edition, "long_term": keys})] }
    }

    /// What `tape` heard in `world`. Any world will do: one with a group of either edition, or of both. `keys` are the
    /// suite under which [`long_term_key`] makes the keys that are told, and the names of their holders.
    #[allow(dead_code, reason = "not every file that records has these keys")]
    pub(crate) fn of_world(
        (suite, edition): (SuiteId, &str),
        keys: (&dyn Suite, &[&str]),
        world: &World,
        tape: &Recorder,
    ) -> Self {
        let (modern, names) = keys;
        let keys = names.iter().map(|name| (*name, long_term_key(modern, name).secret().expose().to_vec()));
        let mut session = Self::new(suite, edition, keys);
        session.hear(world, tape);
        session
    }

    /// Appends what `tape` heard in `world`.
    pub(crate) fn hear(&mut self, world: &World, tape: &Recorder) {
        for frame in &tape.frames {
            let (from, to) = (world.name(frame.from), world.name(frame.to));
            self.frame(frame.sent.as_micros(), from, to, &frame.bytes);
        }
    }

    /// Tells something more in front: keys beside the long-term ones.
    #[allow(dead_code, reason = "not every file that records tells more")]
    pub(crate) fn tell(&mut self, what: &str, value: Value) {
        if let Some(first) = self.lines.first_mut() {
            first[what] = value;
        }
    }

    /// Appends a frame.
    pub(crate) fn frame(&mut self, at: u64, from: &str, to: &str, bytes: &[u8]) {
        self.lines.push(json!({"at": at, "from": from, "to": to, "frame": hex(bytes)}));
    }

    /// Appends the last frame once more, with its last bit turned.
    #[allow(dead_code, reason = "not every file that records forges")]
    pub(crate) fn forge(&mut self) {
        let Some(mut last) = self.lines.last().cloned() else { return };
        let Some(digits) = last["frame"].as_str().map(str::to_string) else { return };
        let (rest, digit) = digits.split_at(digits.len() - 1);
        let turned = u8::from_str_radix(digit, 16).unwrap_or_default() ^ 1;
        last["frame"] = json!(format!("{rest}{turned:x}"));
        self.lines.push(last);
    }

    /// Writes all of it.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        self.lines.iter().try_for_each(|line| writeln!(file, "{line}"))?;
        file.flush()
    }
}

/// The reader, if this machine can run it; else what is missing.
fn reader() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/read_session.py");
    let probe = Command::new("python3").args(["-c", "import cryptography"]).output();
    match probe {
        Err(error) => Err(format!("no python3: {error}")),
        Ok(probe) if !probe.status.success() => {
            Err("python3 has no package `cryptography` (pip install cryptography)".into())
        }
        Ok(_) => Ok(script),
    }
}

/// Has a session read. `None` if there is nobody to read it, which is said loudly, and in CI is a failure.
pub(crate) fn read(name: &str, session: &Session) -> Option<Output> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.jsonl"));
    session.write(&path).unwrap();
    match reader() {
        Ok(script) => {
            let output = Command::new("python3").arg(script).arg(&path).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            println!("{}: {}", path.display(), said.lines().last().unwrap_or("nothing"));
            Some(output)
        }
        Err(missing) => {
            // Past the harness, which keeps what tests that pass have printed.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {} is written and not read: {missing}", path.display());
            assert!(std::env::var_os("CI").is_none(), "{missing}");
            None
        }
    }
}
