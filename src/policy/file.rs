//! Policies as TOML files (feature `toml`): every key must be known, and errors say line and column.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::{Contradiction, Detection, Policy, Protection, Views};
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Watch {
    enabled: Option<bool>,
    period_ms: Option<Spanned<u32>>,
    misses: Option<Spanned<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    frame_limit: Option<Spanned<u32>>,
    hint: Option<Spanned<String>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Trigger {
    Join,
    Leave,
    Eject,
    Failure,
    Takeover,
    Command,
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
    origin: Range<usize>,
    views: Range<usize>,
    detection: Range<usize>,
    frame_limit: Range<usize>,
    hint: Range<usize>,
}

impl Places {
    fn of(&self, contradiction: Contradiction) -> Range<usize> {
        let first = |ranges: [&Range<usize>; 2]| ranges.into_iter().find(|range| !range.is_empty()).cloned();
        match contradiction {
            Contradiction::SettleOutlastsGrace | Contradiction::TooLong | Contradiction::GraceWithoutDetection => {
                first([&self.settle, &self.grace])
            }
            Contradiction::ExactWithoutRekey
            | Contradiction::TriggerWithoutMeasure
            | Contradiction::MeasureWithoutTrigger
            | Contradiction::Lifetime => first([&self.on, &self.views]),
            Contradiction::OriginWithoutViews => first([&self.origin, &self.views]),
            Contradiction::OriginWithoutProtection => first([&self.origin, &self.origin]),
            Contradiction::FramesTooShort | Contradiction::FramesTooLong => {
                first([&self.frame_limit, &self.frame_limit])
            }
            Contradiction::Detection => first([&self.detection, &self.detection]),
            Contradiction::HintTooLong => first([&self.hint, &self.hint]),
        }
        .unwrap_or_default()
    }
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
                policy.rekey_on = on.get_ref().iter().fold(Causes::of(Cause::Open), |causes, trigger| {
                    causes.with(match trigger {
                        Trigger::Join => Cause::Join,
                        Trigger::Leave => Cause::Leave,
                        Trigger::Eject => Cause::Eject,
                        Trigger::Failure => Cause::Failure,
                        Trigger::Takeover => Cause::Takeover,
                        Trigger::Command => Cause::Command,
                    })
                });
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
        if let Some(views) = file.members.and_then(|members| members.views) {
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
        }
        policy.check().map_err(|found| error(text, places.of(found).start, found))?;
        Ok(policy)
    }

    /// One of the [`PRESETS`], by name.
    pub fn preset(name: &str) -> Option<Self> {
        let (_, text) = PRESETS.iter().find(|(preset, _)| *preset == name)?;
        Self::from_toml(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str) -> (usize, usize, String) {
        let FileError { line, column, what } = Policy::from_toml(text).unwrap_err();
        (line, column, what)
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Policy::from_toml("").unwrap(), Policy::default());
    }

    #[test]
    fn presets_are_sound_and_differ() {
        let presets: Vec<_> = PRESETS
            .iter()
            .map(|(name, text)| Policy::from_toml(text).unwrap_or_else(|error| panic!("{name}: {error}")))
            .collect();
        for (index, preset) in presets.iter().enumerate() {
            assert!(presets.iter().skip(index + 1).all(|other| other != preset));
            assert_eq!(Policy::decode(&preset.encode()).as_ref(), Ok(preset));
        }
        assert_eq!(Policy::preset("conference").as_ref(), presets.first());
        assert_eq!(Policy::preset("none such"), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_line_and_column() {
        let (line, column, what) = fails("[data]\nprotection = \"both\"\norigins = true\n");
        assert_eq!((line, column), (3, 1), "{what}");
        assert!(what.contains("origins"), "{what}");
        let (line, column, what) = fails("[data]\nprotection = \"some\"\n");
        assert_eq!((line, column), (2, 14), "{what}");
        let (line, _, what) = fails("[rekey\n");
        assert_eq!(line, 1, "{what}");
        let (line, column, what) = fails("[rekey]\ngrace_ms = 100\nsettle_ms = 100\n");
        assert_eq!((line, column), (3, 13), "{what}");
        assert!(what.contains("settle"), "{what}");
        let (line, _, what) = fails("[rekey]\non = [\"join\"]\n");
        assert_eq!(line, 2, "{what}");
        let (line, _, what) = fails("[link]\nframe_limit = 100\n");
        assert_eq!((line, what.contains("1200")), (2, true), "{what}");
        let (line, _, what) = fails("[members]\nviews = \"hidden\"\n");
        assert_eq!(line, 2, "{what}");
    }

    #[test]
    fn every_key_has_its_effect() {
        let text = "[join]\nephemeral = false\ntakeover = false\n[rekey]\non = [\"join\", \"command\"]\ngrace_ms = 7\n\
                    settle_ms = 3\n[data]\nprotection = \"integrity\"\norigin = false\n[members]\nviews = \
                    \"best-effort\"\n[detection]\nperiod_ms = 20\nmisses = 9\n[link]\nframe_limit = 1500\nhint = \"h\"\n";
        let policy = Policy::from_toml(text).unwrap();
        let millis = Duration::from_millis;
        assert_eq!(
            policy,
            Policy {
                ephemeral: false,
                takeover: false,
                rekey_on: Causes::of(Cause::Open).with(Cause::Join).with(Cause::Command),
                grace: millis(7),
                settle: millis(3),
                protection: Protection::Integrity,
                origin: false,
                views: Views::BestEffort,
                detection: Some(Detection { period: millis(20), misses: 9 }),
                frame_limit: 1500,
                hint: Bytes::from_static(b"h"),
                ..Policy::default()
            }
        );
        assert_eq!(Policy::from_toml("[detection]\nenabled = false\n").unwrap().detection, None);
    }
}
