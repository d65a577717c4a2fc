//! What happened, as it happens: lines for people, bars where there is a terminal, or JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use sodality::endpoint::Instant;
use sodality::event::{Cause, Causes, Message, Sender};
use sodality::identity::Epoch;
use sodality::policy::{Part, Policy, Protection};
use sodality_transports::clock::Clock;
use tokio::sync::mpsc;

use crate::past::{parts_text, suite_word};
use crate::verbs::system::{System, Version};

/// How what happens is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    /// A timeline for people.
    Human,
    /// JSON, a line each.
    Json,
    /// The summary only.
    Quiet,
}

/// The value of a field.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

pub(crate) type Fields = Vec<(&'static str, Value)>;

/// One thing that happened.
#[derive(Debug)]
pub(crate) struct Line {
    /// To whom.
    pub(crate) who: String,
    /// What.
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum What {
    /// Something to tell: its kind and fields for machines, its text for people.
    Told { kind: &'static str, text: String, fields: Fields },
    /// A file on its way to somebody.
    Progress { file: String, have: u64, size: u64 },
}

/// Where a party tells what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    who: String,
    lines: mpsc::Sender<Line>,
}

impl Teller {
    pub(crate) fn new(who: &str, lines: mpsc::Sender<Line>) -> Self {
        Self { who: who.to_owned(), lines }
    }

    async fn send(&self, what: What) {
        // Without a printer there is nobody to tell.
        let _ = self.lines.send(Line { who: self.who.clone(), what }).await;
    }

    pub(crate) async fn tell(&self, kind: &'static str, text: impl Into<String>, fields: Fields) {
        self.send(What::Told { kind, text: text.into(), fields }).await;
    }

    pub(crate) async fn progress(&self, file: &str, have: u64, size: u64) {
        self.send(What::Progress { file: file.to_owned(), have, size }).await;
    }
}

/// What a message says, whether it is signed, and the fields of the line that tells of it.
pub(crate) fn heard(from: &str, message: &Message) -> (String, bool, Fields) {
    let said = String::from_utf8_lossy(&message.payload).into_owned();
    let signed = matches!(message.from, Sender::Signed(_));
    let fields = vec![
        ("from", from.into()),
        ("epoch", message.epoch.0.into()),
        ("signed", signed.into()),
        ("text", said.clone().into()),
    ];
    (said, signed, fields)
}

/// Characters that could mean something to a terminal become harmless ones.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") }
}

/// `text` as JSON, quotes included.
fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                // Writing into a string does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn json(at: Duration, who: &str, kind: &str, fields: &Fields) -> String {
    let mut out = format!("{{\"t\":{:.6},\"who\":{},\"what\":{}", at.as_secs_f64(), quote(who), quote(kind));
    for (name, value) in fields {
        let value = match value {
            Value::Text(text) => quote(text),
            Value::Number(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
        };
        // As above.
        let _ = write!(out, ",{}:{value}", quote(name));
    }
    out.push('}');
    out
}

/// A bar, or where there is no terminal the next quarter that is told.
struct Way {
    bar: Option<ProgressBar>,
    quarter: u64,
}

/// Prints lines to the standard output.
pub(crate) struct Printer {
    style: Style,
    bars: Option<MultiProgress>,
    colour: bool,
    width: usize,
    clock: Clock,
    start: Instant,
    ways: BTreeMap<(String, String), Way>,
    /// The standard output is gone: nothing more is printed.
    gone: bool,
}

impl Printer {
    pub(crate) fn new(style: Style) -> Self {
        let terminal = io::stdout().is_terminal();
        let bars =
            (terminal && style == Style::Human).then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout()));
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let clock = Clock::new();
        let colour = terminal && !plain && style != Style::Json;
        Self { style, bars, colour, width: 6, clock, start: clock.now(), ways: BTreeMap::new(), gone: false }
    }

    /// Whether machines read it.
    pub(crate) fn is_json(&self) -> bool {
        self.style == Style::Json
    }

    fn now(&self) -> Duration {
        self.clock.now().since(self.start)
    }

    fn put(&mut self, line: &str) {
        if self.gone {
            return;
        }
        let put = match &self.bars {
            Some(bars) => bars.suspend(|| writeln!(io::stdout().lock(), "{line}")),
            None => writeln!(io::stdout().lock(), "{line}"),
        };
        // A reader that went away (`| head`) is no reason to stop the group.
        self.gone = put.is_err();
    }

    /// Prints a line of the timeline.
    pub(crate) fn line(&mut self, line: &Line) {
        match &line.what {
            What::Told { kind, text, fields } => self.told(&line.who, kind, text, fields),
            What::Progress { file, have, size } => self.progress(&line.who, file, *have, *size),
        }
    }

    fn told(&mut self, who: &str, kind: &str, text: &str, fields: &Fields) {
        let at = self.now();
        match self.style {
            Style::Quiet => {}
            Style::Json => self.put(&json(at, who, kind, fields)),
            Style::Human => {
                let (at, who, text) = (at.as_secs_f64(), printable(who), printable(text));
                let (dim, bold, plain) = self.paint();
                let width = self.width;
                self.put(&format!("{dim}{at:>8.3} s{plain}  {bold}{who:<width$}{plain}  {text}"));
            }
        }
    }

    fn paint(&self) -> (&'static str, &'static str, &'static str) {
        if self.colour { ("\u{1b}[2m", "\u{1b}[1m", "\u{1b}[0m") } else { ("", "", "") }
    }

    fn progress(&mut self, who: &str, file: &str, have: u64, size: u64) {
        let key = (who.to_owned(), file.to_owned());
        let quarters = have.saturating_mul(4).checked_div(size).unwrap_or(4);
        let way = self.ways.entry(key).or_insert_with(|| {
            let bar = self.bars.as_ref().map(|bars| {
                let bar = bars.add(ProgressBar::new(size));
                let style = ProgressStyle::with_template(
                    "            {prefix:<6}  [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec}",
                );
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
                bar.set_prefix(printable(who));
                bar
            });
            Way { bar, quarter: 1 }
        });
        if let Some(bar) = &way.bar {
            bar.set_position(have);
            if have >= size {
                bar.finish_and_clear();
            }
            return;
        }
        match self.style {
            Style::Json => {
                let fields = vec![("file", file.into()), ("have", have.into()), ("size", size.into())];
                self.told(who, "progress", "", &fields);
            }
            // The last quarter is told by what follows.
            Style::Human if quarters >= way.quarter && quarters < 4 => {
                way.quarter = quarters + 1;
                let text = format!("has {} % of {file}", quarters * 25);
                self.told(who, "progress", &text, &Fields::new());
            }
            Style::Human | Style::Quiet => {}
        }
    }

    /// Prints what belongs to the summary.
    pub(crate) fn closing(&mut self, kind: &'static str, text: &str, fields: &Fields) {
        self.plain("summary", kind, text, fields);
    }

    /// Prints `text` for people as it stands, without time and name.
    pub(crate) fn plain(&mut self, who: &str, kind: &'static str, text: &str, fields: &Fields) {
        match self.style {
            Style::Json => {
                let at = self.now();
                self.put(&json(at, who, kind, fields));
            }
            Style::Human | Style::Quiet => self.put(&printable(text)),
        }
    }

    /// Prints the heading of a part of the summary.
    pub(crate) fn heading(&mut self, text: &str) {
        if self.style != Style::Json {
            let (_, bold, plain) = self.paint();
            self.put("");
            self.put(&format!("{bold}{text}{plain}"));
        }
    }

    /// Ends the bars: whatever is left of them goes.
    pub(crate) fn clear(&mut self) {
        for way in self.ways.values() {
            if let Some(bar) = &way.bar {
                bar.finish_and_clear();
            }
        }
        self.ways.clear();
    }
}

pub(crate) fn cause_text(cause: Cause) -> &'static str {
    match cause {
        Cause::Open => "the group opens",
        Cause::Join => "somebody joined",
        Cause::Leave => "a leave",
        Cause::Eject => "ejected",
        Cause::Failure => "silent for too long",
        Cause::Takeover => "joined again",
        Cause::Policy => "another policy",
        Cause::Period => "the key was old",
        Cause::Messages | Cause::Bytes => "the key was used up",
        Cause::Command => "asked for",
        Cause::Missed => "no longer named as a member",
        _ => "another cause",
    }
}

/// That there is a new key.
pub(crate) fn key_text(epoch: Epoch, causes: Causes) -> String {
    // As published no cause is told, and what stands for an epoch is a number drawn with the key.
    if causes.is_empty() {
        format!("has the key {epoch}")
    } else {
        format!("has the key of epoch {epoch} ({})", causes_text(causes))
    }
}

pub(crate) fn causes_text(causes: Causes) -> String {
    causes.iter().map(cause_text).collect::<Vec<_>>().join(", ")
}

/// Milliseconds of a time.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A word of a policy as its file spells it.
fn word(value: impl std::fmt::Debug) -> String {
    let mut out = String::new();
    for c in format!("{value:?}").chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// Whether joins are forward secret. As published none is, whatever the policy says.
fn is_forward_secret(policy: &Policy) -> bool {
    policy.ephemeral && !policy.mix.is_some_and(|mix| mix.editions.is_published(Part::Join))
}

/// The policy for machines.
pub(crate) fn policy_fields(policy: &Policy) -> Fields {
    let causes: Vec<_> = policy.rekey_on.iter().map(word).collect();
    let mut fields = vec![
        ("protection", word(policy.protection).into()),
        ("origin", policy.origin.into()),
        ("forward_secrecy", is_forward_secret(policy).into()),
        ("views", word(policy.views).into()),
        ("rekey_on", causes.join(" ").into()),
        ("grace_ms", millis(policy.grace).into()),
        ("settle_ms", millis(policy.settle).into()),
        ("detection", policy.detection.is_some().into()),
        ("on_silence", word(policy.on_silence).into()),
        ("eject_requests", word(policy.eject_requests).into()),
        ("takeover", policy.takeover.into()),
        ("frame_limit", u64::from(policy.frame_limit).into()),
    ];
    if let Some(polls) = policy.detection {
        fields.push(("period_ms", millis(polls.period).into()));
        fields.push(("misses", u64::from(polls.misses).into()));
    }
    if let Some(mix) = &policy.mix {
        fields.push(("published", parts_text(mix.editions).into()));
        fields.push(("published_suite", suite_word(mix.suite).into()));
    }
    let measures = [
        ("key_lifetime_ms", policy.key_lifetime.map(millis)),
        ("key_messages", policy.key_messages),
        ("key_bytes", policy.key_bytes),
    ];
    fields.extend(measures.into_iter().filter_map(|(name, measure)| Some((name, measure?.into()))));
    fields
}

/// The policy of a group of that system in one line, or of one of the editions of Enclaves as published.
pub(crate) fn policy_line(system: System, version: Option<Version>, policy: &Policy) -> String {
    let causes: Vec<_> = policy.rekey_on.iter().map(|cause| format!("{cause:?}").to_lowercase()).collect();
    let polls =
        policy.detection.map_or_else(|| "no polls".to_owned(), |polls| format!("polls each {:?}", polls.period));
    let rest = format!(
        "{}{} origin, {} views, {} joins; new key on {}; grace {:?}, settle {:?}, {polls}",
        match policy.protection {
            Protection::None => "no protection, ",
            Protection::Integrity => "integrity, ",
            Protection::Confidentiality => "confidentiality, ",
            Protection::Both => "confidentiality and integrity, ",
        },
        if policy.origin { "signed" } else { "unsigned" },
        word(policy.views).replace('-', " "),
        if is_forward_secret(policy) { "forward-secret" } else { "plain" },
        causes.join("/"),
        policy.grace,
        policy.settle,
    );
    let which = match (&policy.mix, version) {
        (_, Some(version)) => format!("{} as published", version.name()),
        (None, None) => format!("repaired {}", system.name()),
        (Some(mix), None) => {
            format!("Antigone with {} as published ({})", parts_text(mix.editions), suite_word(mix.suite))
        }
    };
    format!("{which}: {}", rest.to_lowercase())
}
