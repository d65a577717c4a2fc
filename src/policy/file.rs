//! Policies as TOML files (feature `toml`): every key must be known, and errors say line and column.

mod editions;
mod objects;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::{Communication, Contradiction, Detection, EjectRequests, Floor, OnSilence, Policy, Protection, Views};
use crate::event::{Cause, Causes};

/// The presets, by name.
pub const PRESETS: [(&str, &str); 4] = [
    ("conference", include_str!("presets/conference.toml")),
    ("file-drop", include_str!("presets/file-drop.toml")),
    ("open-broadcast", include_str!("presets/open-broadcast.toml")),
    ("high-security", include_str!("presets/high-security.toml")),
];

/// Why a text is not a policy.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line}, column {column}: {what}")]
pub struct FileError {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    join: Option<Join>,
    rekey: Option<Rekey>,
    data: Option<Data>,
    members: Option<Members>,
    detection: Option<Watch>,
    link: Option<Link>,
    editions: Option<Spanned<editions::Table>>,
    #[serde(default)]
    objects: objects::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    ephemeral: Option<bool>,
    takeover: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rekey {
    on: Option<Spanned<Vec<Trigger>>>,
    grace_ms: Option<Spanned<u32>>,
    settle_ms: Option<Spanned<u32>>,
    period_ms: Option<Spanned<u32>>,
    messages: Option<Spanned<u64>>,
    bytes: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    protection: Option<Spanned<ProtectionWord>>,
    origin: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    views: Option<Spanned<ViewsWord>>,
    eject_requests: Option<EjectWord>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Watch {
    enabled: Option<bool>,
    period_ms: Option<Spanned<u32>>,
    misses: Option<Spanned<u8>>,
    on_silence: Option<SilenceWord>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    frame_limit: Option<Spanned<u32>>,
    hint: Option<Spanned<String>>,
    communication: Option<CommunicationWord>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Trigger {
    Join,
    Leave,
    Eject,
    Failure,
    Takeover,
    Policy,
    Period,
    Messages,
    Bytes,
    Command,
}

impl Trigger {
    /// Each with its word and its cause.
    const ALL: [(Self, &str, Cause); 10] = [
        (Self::Join, "join", Cause::Join),
        (Self::Leave, "leave", Cause::Leave),
        (Self::Eject, "eject", Cause::Eject),
        (Self::Failure, "failure", Cause::Failure),
        (Self::Takeover, "takeover", Cause::Takeover),
        (Self::Policy, "policy", Cause::Policy),
        (Self::Period, "period", Cause::Period),
        (Self::Messages, "messages", Cause::Messages),
        (Self::Bytes, "bytes", Cause::Bytes),
        (Self::Command, "command", Cause::Command),
    ];

    fn cause(self) -> Cause {
        Self::ALL.iter().find(|(trigger, ..)| *trigger == self).map_or(Cause::Command, |(_, _, cause)| *cause)
    }
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum EjectWord {
    Refused,
    Asked,
    Granted,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum CommunicationWord {
    Relay,
    Mixed,
    Symmetric,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum SilenceWord {
    Report,
    Remove,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum ProtectionWord {
    None,
    Integrity,
    Confidentiality,
    Both,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum ViewsWord {
    Hidden,
    WithEachKey,
    BestEffort,
    Exact,
}

/// Where in the file a contradiction is best mended.
#[derive(Default)]
struct Places {
    on: Range<usize>,
    grace: Range<usize>,
    settle: Range<usize>,
    period: Range<usize>,
    measure: Range<usize>,
    origin: Range<usize>,
    views: Range<usize>,
    detection: Range<usize>,
    frame_limit: Range<usize>,
    hint: Range<usize>,
    editions: Range<usize>,
    objects: Range<usize>,
}

impl Places {
    fn of(&self, contradiction: Contradiction) -> Range<usize> {
        let first = |ranges: [&Range<usize>; 2]| ranges.into_iter().find(|range| !range.is_empty()).cloned();
        match contradiction {
            // Files have no parts of a millisecond.
            Contradiction::SettleOutlastsGrace
            | Contradiction::TooLong
            | Contradiction::GraceWithoutDetection
            | Contradiction::PartOfMillisecond => first([&self.settle, &self.grace]),
            Contradiction::ExactWithoutRekey => first([&self.on, &self.views]),
            Contradiction::TriggerWithoutMeasure => first([&self.on, &self.measure]),
            Contradiction::MeasureWithoutTrigger => first([&self.measure, &self.on]),
            Contradiction::Lifetime => first([&self.period, &self.grace]),
            Contradiction::OriginWithoutViews => first([&self.origin, &self.views]),
            Contradiction::OriginWithoutProtection => first([&self.origin, &self.origin]),
            Contradiction::FramesTooShort | Contradiction::FramesTooLong => {
                first([&self.frame_limit, &self.frame_limit])
            }
            Contradiction::Detection => first([&self.detection, &self.detection]),
            // What is left at its default stands nowhere.
            Contradiction::MixedViews => first([&self.views, &self.origin]).or(Some(self.editions.clone())),
            Contradiction::EmptyMix => first([&self.editions, &self.editions]),
            Contradiction::HintTooLong => first([&self.hint, &self.hint]),
            Contradiction::TooManyObjects | Contradiction::ObjectSize | Contradiction::TooManyRights => {
                first([&self.objects, &self.objects])
            }
        }
        .unwrap_or_default()
    }
}

/// A text as a basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&alloc::format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn error(text: &str, at: usize, what: impl fmt::Display) -> FileError {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
    // One line: what follows the first in the reader's message is an excerpt of the file.
    let what = what.to_string().lines().next().unwrap_or_default().to_string();
    FileError { line, column, what }
}

impl Policy {
    /// Reads a policy from TOML. What the file leaves out is as in [`Policy::default`].
    ///
    /// # Errors
    /// [`FileError`]: not TOML, a key that is not known, a value of another kind, or a contradiction.
    pub fn from_toml(text: &str) -> Result<Self, FileError> {
        let file: File = toml::from_str(text)
            .map_err(|problem| error(text, problem.span().map_or(0, |span| span.start), problem.message()))?;
        let mut policy = Self::default();
        let mut places = Places::default();
        if let Some(join) = file.join {
            policy.ephemeral = join.ephemeral.unwrap_or(policy.ephemeral);
            policy.takeover = join.takeover.unwrap_or(policy.takeover);
        }
        if let Some(rekey) = file.rekey {
            let span = |millis: &Spanned<u32>| Duration::from_millis(u64::from(*millis.get_ref()));
            if let Some(on) = rekey.on {
                places.on = on.span();
                policy.rekey_on =
                    on.get_ref().iter().fold(Causes::of(Cause::Open), |causes, trigger| causes.with(trigger.cause()));
            }
            if let Some(period) = rekey.period_ms {
                (places.period, places.measure) = (period.span(), period.span());
                policy.key_lifetime = Some(span(&period));
            }
            if let Some(messages) = rekey.messages {
                places.measure = messages.span();
                policy.key_messages = Some(*messages.get_ref());
            }
            if let Some(bytes) = rekey.bytes {
                places.measure = bytes.span();
                policy.key_bytes = Some(*bytes.get_ref());
            }
            if let Some(grace) = rekey.grace_ms {
                places.grace = grace.span();
                policy.grace = span(&grace);
            }
            if let Some(settle) = rekey.settle_ms {
                places.settle = settle.span();
                policy.settle = span(&settle);
            }
        }
        if let Some(data) = file.data {
            if let Some(protection) = data.protection {
                policy.protection = match protection.get_ref() {
                    ProtectionWord::None => Protection::None,
                    ProtectionWord::Integrity => Protection::Integrity,
                    ProtectionWord::Confidentiality => Protection::Confidentiality,
                    ProtectionWord::Both => Protection::Both,
                };
                places.origin = protection.span();
            }
            if let Some(origin) = data.origin {
                places.origin = origin.span();
                policy.origin = *origin.get_ref();
            }
        }
        let (views, eject_requests) =
            file.members.map_or((None, None), |members| (members.views, members.eject_requests));
        if let Some(word) = eject_requests {
            policy.eject_requests = match word {
                EjectWord::Refused => EjectRequests::Refused,
                EjectWord::Asked => EjectRequests::Asked,
                EjectWord::Granted => EjectRequests::Granted,
            };
        }
        if let Some(views) = views {
            places.views = views.span();
            policy.views = match views.get_ref() {
                ViewsWord::Hidden => Views::Hidden,
                ViewsWord::WithEachKey => Views::WithEachKey,
                ViewsWord::BestEffort => Views::BestEffort,
                ViewsWord::Exact => Views::Exact,
            };
        }
        if let Some(watch) = file.detection {
            let mut detection = Detection { period: Duration::from_secs(5), misses: 3 };
            if let Some(misses) = watch.misses {
                places.detection = misses.span();
                detection.misses = *misses.get_ref();
            }
            if let Some(period) = watch.period_ms {
                places.detection = period.span();
                detection.period = Duration::from_millis(u64::from(*period.get_ref()));
            }
            policy.detection = watch.enabled.unwrap_or(true).then_some(detection);
            if let Some(word) = watch.on_silence {
                policy.on_silence = match word {
                    SilenceWord::Report => OnSilence::Report,
                    SilenceWord::Remove => OnSilence::Remove,
                };
            }
        }
        if let Some(link) = file.link {
            if let Some(frame_limit) = link.frame_limit {
                places.frame_limit = frame_limit.span();
                policy.frame_limit = *frame_limit.get_ref();
            }
            if let Some(hint) = link.hint {
                places.hint = hint.span();
                policy.hint = Bytes::copy_from_slice(hint.get_ref().as_bytes());
            }
            if let Some(word) = link.communication {
                policy.communication = match word {
                    CommunicationWord::Relay => Communication::Relay,
                    CommunicationWord::Mixed => Communication::Mixed,
                    CommunicationWord::Symmetric => Communication::Symmetric,
                };
            }
        }
        if let Some(table) = &file.editions {
            let (mix, span) = editions::read(table);
            (policy.mix, places.editions) = (Some(mix), span);
        }
        policy.objects = objects::read(&file.objects).map_err(|(span, wrong)| error(text, span.start, wrong))?;
        policy.check().map_err(|found| {
            places.objects = objects::place(&file.objects, found).unwrap_or_default();
            error(text, places.of(found).start, found)
        })?;
        Ok(policy)
    }

    /// The policy as TOML, whole: [`Self::from_toml`] reads it back, but for hints that are no text and suites of published
    /// parts that have no word; and the cause *open*, which
    /// files do not name and which changes no key, is among those that it reads.
    pub fn to_toml(&self) -> String {
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        let on: Vec<String> = Trigger::ALL
            .iter()
            .filter(|(_, _, cause)| self.rekey_on.contains(*cause))
            .map(|(_, word, _)| alloc::format!("\"{word}\""))
            .collect();
        let mut out = alloc::format!(
            "[join]\nephemeral = {}\ntakeover = {}\n\n[rekey]\non = [{}]\ngrace_ms = {}\nsettle_ms = {}\n",
            self.ephemeral,
            self.takeover,
            on.join(", "),
            millis(self.grace),
            millis(self.settle),
        );
        let measures = [
            ("period_ms", self.key_lifetime.map(|lifetime| u64::from(millis(lifetime)))),
            ("messages", self.key_messages),
            ("bytes", self.key_bytes),
        ];
        for (key, value) in measures {
            out.extend(value.map(|value| alloc::format!("{key} = {value}\n")));
        }
        let protection = match self.protection {
            Protection::None => "none",
            Protection::Integrity => "integrity",
            Protection::Confidentiality => "confidentiality",
            Protection::Both => "both",
        };
        let views = match self.views {
            Views::Hidden => "hidden",
            Views::WithEachKey => "with-each-key",
            Views::BestEffort => "best-effort",
            Views::Exact => "exact",
        };
        let eject_requests = match self.eject_requests {
            EjectRequests::Refused => "refused",
            EjectRequests::Asked => "asked",
            EjectRequests::Granted => "granted",
        };
        let on_silence = if self.on_silence == OnSilence::Remove { "remove" } else { "report" };
        out.push_str(&alloc::format!(
            "\n[data]\nprotection = \"{protection}\"\norigin = {}\n\n[members]\nviews = \"{views}\"\neject_requests = \
             \"{eject_requests}\"\n\n[detection]\nenabled = {}\n",
            self.origin,
            self.detection.is_some(),
        ));
        if let Some(Detection { period, misses }) = self.detection {
            out.push_str(&alloc::format!("period_ms = {}\nmisses = {misses}\n", millis(period)));
        }
        let communication = match self.communication {
            Communication::Relay => "relay",
            Communication::Mixed => "mixed",
            Communication::Symmetric => "symmetric",
        };
        out.push_str(&alloc::format!(
            "on_silence = \"{on_silence}\"\n\n[link]\ncommunication = \"{communication}\"\nframe_limit = {}\n",
            self.frame_limit
        ));
        if let Ok(hint) = core::str::from_utf8(&self.hint)
            && !hint.is_empty()
        {
            out.push_str(&alloc::format!("hint = {}\n", quoted(hint)));
        }
        if let Some(mix) = &self.mix {
            editions::write(mix, &mut out);
        }
        objects::write(&self.objects, &mut out);
        out
    }

    /// One of the [`PRESETS`], by name.
    pub fn preset(name: &str) -> Option<Self> {
        let (_, text) = PRESETS.iter().find(|(preset, _)| *preset == name)?;
        Self::from_toml(text).ok()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FloorFile {
    floor: FloorTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FloorTable {
    ephemeral: Option<bool>,
    protection: Option<ProtectionWord>,
    origin: Option<bool>,
    detection: Option<bool>,
    staleness_ms: Option<u32>,
    rekey_on_leave: Option<bool>,
    key_lifetime_ms: Option<u32>,
    exact_views: Option<bool>,
    no_free_ejection: Option<bool>,
}

impl Floor {
    /// Reads a floor from TOML: a table `[floor]`. What it leaves out is as in [`Floor::default`].
    ///
    /// # Errors
    /// [`FileError`]: not TOML, a key that is not known, or a value of another kind.
    pub fn from_toml(text: &str) -> Result<Self, FileError> {
        let FloorFile { floor: file } = toml::from_str(text)
            .map_err(|problem| error(text, problem.span().map_or(0, |span| span.start), problem.message()))?;
        let usual = Self::default();
        let span = |millis: u32| Duration::from_millis(u64::from(millis));
        Ok(Self {
            ephemeral: file.ephemeral.unwrap_or(usual.ephemeral),
            protection: file.protection.map_or(usual.protection, |word| match word {
                ProtectionWord::None => Protection::None,
                ProtectionWord::Integrity => Protection::Integrity,
                ProtectionWord::Confidentiality => Protection::Confidentiality,
                ProtectionWord::Both => Protection::Both,
            }),
            origin: file.origin.unwrap_or(usual.origin),
            detection: file.detection.unwrap_or(usual.detection),
            staleness: file.staleness_ms.map(span).or(usual.staleness),
            rekey_on_leave: file.rekey_on_leave.unwrap_or(usual.rekey_on_leave),
            key_lifetime: file.key_lifetime_ms.map(span).or(usual.key_lifetime),
            exact_views: file.exact_views.unwrap_or(usual.exact_views),
            no_free_ejection: file.no_free_ejection.unwrap_or(usual.no_free_ejection),
        })
    }
}

#[cfg(test)]
mod tests;
