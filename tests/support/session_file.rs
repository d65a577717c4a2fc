//! A recorded session as a file that other programs read: a JSON value in each line. The first names suite, edition and
//! long-term keys; each other one is a frame.

use std::io::Write;
use std::path::Path;

use serde_json::json;
use sodality::crypto::{Suite, SuiteId};
use sodality::sim::star::long_term_key;
use sodality::sim::{Recorder, World};
use sodality::wire::Edition;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What stands in front of the frames.
pub(crate) struct Session<'s> {
    /// The suite of the parts in question.
    pub(crate) suite: SuiteId,
    /// Their edition.
    pub(crate) edition: Edition,
    /// Whose long-term keys are told, as [`long_term_key`] makes them under this suite.
    pub(crate) keys: (&'s dyn Suite, &'s [&'s str]),
}

/// Writes what `tape` heard in `world` to `path`. Any world will do: one with a group of either edition, or of both.
pub(crate) fn write(path: &Path, session: &Session<'_>, world: &World, tape: &Recorder) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let (suite, names) = session.keys;
    let key = |name: &&str| (name.to_string(), json!(hex(long_term_key(suite, name).secret().expose())));
    let keys: serde_json::Map<_, _> = names.iter().map(key).collect();
    let edition = if session.edition == Edition::AsPublished { "published" } else { "repaired" };
    writeln!(file, "{}", json!({"suite": session.suite.0, "edition": edition, "long_term": keys}))?;
    for frame in &tape.frames {
        let (from, to) = (world.name(frame.from), world.name(frame.to));
        let line = json!({"at": frame.sent.as_micros(), "from": from, "to": to, "frame": hex(&frame.bytes)});
        writeln!(file, "{line}")?;
    }
    file.flush()
}
