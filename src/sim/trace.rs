//! What happened, as lines for people and as a digest for machines.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt::{self, Write};

use super::craft::Tables;
use super::rng::Mixer;
use super::step::{Input, Observed};
use crate::endpoint::{Instant, To};
use crate::fingerprint::Sink;

/// Longest text of one event in a line, in characters.
const EVENT_TEXT: usize = 160;

/// The record of a run. The digest covers every input, frame and event, byte for byte; the lines are bounded.
#[derive(Clone, Debug)]
pub struct Trace {
    lines: VecDeque<String>,
    keep: usize,
    dropped: u64,
    digest: Mixer,
}

impl Default for Trace {
    fn default() -> Self {
        Self { lines: VecDeque::new(), keep: 10_000, dropped: 0, digest: Mixer::new() }
    }
}

impl Trace {
    /// Keeps the last `lines` lines; 0 saves the work of writing any. The digest is always kept.
    pub fn keep(&mut self, lines: usize) {
        self.keep = lines;
        while self.lines.len() > lines {
            self.lines.pop_front();
            self.dropped += 1;
        }
    }

    /// The kept lines, the oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.lines.iter().map(String::as_str)
    }

    /// How many lines were let go.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The digest of the whole run so far: the same for the same seed and scenario, on every target (R43).
    pub fn digest(&self) -> u128 {
        self.digest.digest()
    }

    /// The last `count` lines as one text.
    pub fn tail(&self, count: usize) -> String {
        let skip = self.lines.len().saturating_sub(count);
        self.lines.iter().skip(skip).fold(String::new(), |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        })
    }

    fn push(&mut self, line: String) {
        if self.lines.len() >= self.keep {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line);
    }

    /// Notes what no machine saw: a fault of the network, a deed of the scenario.
    pub(super) fn note(&mut self, at: Instant, text: fmt::Arguments<'_>) {
        self.digest.number(at.as_micros());
        // Writing to the digest cannot fail.
        let _ = self.digest.write_fmt(text);
        if self.keep > 0 {
            let mut line = stamp(at);
            let _ = write!(line, " ~ {text}");
            self.push(line);
        }
    }

    pub(super) fn step(&mut self, seen: &Observed<'_>, name: &str, tables: &Tables) {
        self.digest_step(seen);
        if self.keep == 0 {
            return;
        }
        let mut line = stamp(seen.at);
        // Writing to a string cannot fail.
        let _ = write!(line, " #{} {name}: ", seen.step);
        let _ = match seen.input {
            Input::Frame(frame) => {
                write!(line, "{} ({} B) on {}", tables.id(&frame.bytes), frame.bytes.len(), frame.to_link)
            }
            ref other => write!(line, "{other}"),
        };
        for transmit in seen.sent {
            let _ = write!(line, " → {} ({} B) ", tables.id(&transmit.frame), transmit.frame.len());
            let _ = match &transmit.to {
                To::Link(link) => write!(line, "on {link}"),
                many => write!(line, "on {} links", many.links().count()),
            };
        }
        for event in seen.events {
            line.push_str(" ! ");
            let start = line.len();
            let _ = write!(line, "{event:?}");
            if let Some((cut, _)) = line.get(start..).and_then(|text| text.char_indices().nth(EVENT_TEXT)) {
                line.truncate(start + cut);
                line.push('…');
            }
        }
        self.push(line);
    }

    fn digest_step(&mut self, seen: &Observed<'_>) {
        let digest = &mut self.digest;
        digest.number(seen.at.as_micros());
        digest.number(u64::from(seen.node.0));
        let _ = write!(digest, "{}", seen.input);
        if let Input::Frame(frame) = seen.input {
            digest.text(&frame.bytes);
        }
        for transmit in seen.sent {
            transmit.to.links().for_each(|link| digest.number(link.0));
            digest.feed(&[transmit.class as u8]);
            digest.text(&transmit.frame);
        }
        for event in seen.events {
            let _ = write!(digest, "{event:?}");
        }
    }
}

fn stamp(at: Instant) -> String {
    let micros = at.as_micros();
    alloc::format!("{:>4}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
