//! A recorded session as a file that other programs read: a JSON value in each line. The first names suite, edition and
//! long-term keys; each other one is a frame.

use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};
use sodality::crypto::{Suite, SuiteId};
use sodality::sim::star::long_term_key;
use sodality::sim::{Recorder, World};
use sodality::wire::Edition;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A session: what stands in front of the frames, then the frames.
pub(crate) struct Session {
    lines: Vec<Value>,
}

impl Session {
    /// A session of these parts, with the long-term keys that are told, as bytes.
    pub(crate) fn new<'k>(suite: SuiteId, edition: Edition, keys: impl Iterator<Item = (&'k str, Vec<u8>)>) -> Self {
        let keys: Map<_, _> = keys.map(|(name, key)| (name.to_string(), json!(hex(&key)))).collect();
        let edition = if edition == Edition::AsPublished { "published" } else { "repaired" };
        Self { lines: vec![json!({"suite": suite.0, "edition": edition, "long_term": keys})] }
    }

    /// What `tape` heard in `world`. Any world will do: one with a group of either edition, or of both. `keys` are the
    /// suite under which [`long_term_key`] makes the keys that are told, and the names of their holders.
    pub(crate) fn of_world(
        (suite, edition): (SuiteId, Edition),
        keys: (&dyn Suite, &[&str]),
        world: &World,
        tape: &Recorder,
    ) -> Self {
        let (modern, names) = keys;
        let keys = names.iter().map(|name| (*name, long_term_key(modern, name).secret().expose().to_vec()));
        let mut session = Self::new(suite, edition, keys);
        for frame in &tape.frames {
            let (from, to) = (world.name(frame.from), world.name(frame.to));
            session.frame(frame.sent.as_micros(), from, to, &frame.bytes);
        }
        session
    }

    /// Appends a frame.
    pub(crate) fn frame(&mut self, at: u64, from: &str, to: &str, bytes: &[u8]) {
        self.lines.push(json!({"at": at, "from": from, "to": to, "frame": hex(bytes)}));
    }

    /// Writes all of it.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        self.lines.iter().try_for_each(|line| writeln!(file, "{line}"))?;
        file.flush()
    }
}
