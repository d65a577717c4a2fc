//! The table `[editions]`: which parts are as published.

use alloc::string::{String, ToString};
use core::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::crypto::SuiteId;
use crate::policy::{Editions, Mix, Part};
use crate::wire::Edition;

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum EditionWord {
    AsPublished,
    Repaired,
}

#[derive(Deserialize, Clone, Copy)]
enum SuiteWord {
    #[serde(rename = "des-md5-rsa")]
    DesMd5Rsa,
    #[serde(rename = "aes-128-gcm")]
    Aes128Gcm,
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
}

impl SuiteWord {
    fn id(self) -> SuiteId {
        match self {
            Self::DesMd5Rsa => SuiteId::DES_MD5_RSA,
            Self::Aes128Gcm => SuiteId::AES_128_GCM,
            Self::Aes256Gcm => SuiteId::AES_256_GCM,
            Self::ChaCha20Poly1305 => SuiteId::CHACHA20_POLY1305,
        }
    }
}

/// The word of a suite, if it has one in files.
fn suite_word(suite: SuiteId) -> Option<&'static str> {
    match suite {
        SuiteId::DES_MD5_RSA => Some("des-md5-rsa"),
        SuiteId::AES_128_GCM => Some("aes-128-gcm"),
        SuiteId::AES_256_GCM => Some("aes-256-gcm"),
        SuiteId::CHACHA20_POLY1305 => Some("chacha20-poly1305"),
        _ => None,
    }
}

/// The keys of parts are their words: see [`Part::word`]. A part that is not named is repaired.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    suite: SuiteWord,
    strong_reply: Option<bool>,
    per_heartbeat: Option<bool>,
    #[serde(rename = "third-party")]
    third_party: Option<EditionWord>,
    join: Option<EditionWord>,
    keys: Option<EditionWord>,
    leave: Option<EditionWord>,
    #[serde(rename = "leader-heartbeat")]
    leader_heartbeat: Option<EditionWord>,
    #[serde(rename = "member-heartbeat")]
    member_heartbeat: Option<EditionWord>,
    #[serde(rename = "key-request")]
    key_request: Option<EditionWord>,
    data: Option<EditionWord>,
}

impl Table {
    fn word(&self, part: Part) -> Option<EditionWord> {
        match part {
            Part::ThirdParty => self.third_party,
            Part::Join => self.join,
            Part::Keys => self.keys,
            Part::Leave => self.leave,
            Part::LeaderHeartbeat => self.leader_heartbeat,
            Part::MemberHeartbeat => self.member_heartbeat,
            Part::KeyRequest => self.key_request,
            Part::Data => self.data,
        }
    }
}

/// What the table says, and where it stands.
pub(super) fn read(table: &Spanned<Table>) -> (Mix, Range<usize>) {
    let said = table.get_ref();
    let published = |part: &Part| matches!(said.word(*part), Some(EditionWord::AsPublished));
    let parts = Part::ALL.into_iter().filter(published);
    let editions = parts.fold(Editions::REPAIRED, |editions, part| editions.with(part, Edition::AsPublished));
    let mix = Mix {
        editions,
        suite: said.suite.id(),
        strong_reply: said.strong_reply.unwrap_or(false),
        per_heartbeat: said.per_heartbeat.unwrap_or(true),
    };
    (mix, table.span())
}

/// The table, whole.
pub(super) fn write(mix: &Mix, out: &mut String) {
    out.push_str("\n[editions]\n");
    if let Some(word) = suite_word(mix.suite) {
        out.push_str(&alloc::format!("suite = \"{word}\"\n"));
    }
    for part in Part::ALL {
        let edition = if mix.editions.is_published(part) { "as-published" } else { "repaired" };
        out.push_str(&alloc::format!("{} = \"{edition}\"\n", part.word()));
    }
    let switches = [("strong_reply", mix.strong_reply), ("per_heartbeat", mix.per_heartbeat)];
    out.extend(switches.map(|(key, on)| key.to_string() + if on { " = true\n" } else { " = false\n" }));
}
