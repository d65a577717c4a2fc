//! Parts as published in 1999, and Enclaves of before: what the command line says of them.

#[cfg(feature = "study")]
mod enclaves;
#[cfg(feature = "study")]
mod made;
#[cfg(not(feature = "study"))]
mod missing;
#[cfg(feature = "study")]
mod roles;

use std::sync::Arc;

use clap::ValueEnum;
use sodality::crypto::{Suite, SuiteId};
use sodality::group::Limits;
use sodality::policy::{Editions, Mix, Part, Policy, Views};
use sodality::ttp::ThirdParty;
use sodality::wire::Edition;

#[cfg(feature = "study")]
pub(crate) use enclaves::{Enclaves, Joining, Leading, Users};
#[cfg(feature = "study")]
pub(crate) use made::Past;
#[cfg(not(feature = "study"))]
pub(crate) use missing::{Enclaves, Past};

use crate::exit::Failed;
use crate::timeline::Fields;
use crate::verbs::system::{System, Version};

/// What is missing where nobody has said that it is known.
const CONSENT: &str = "parts as published in 1999 protect nothing: add --as-published if that is what you want";
/// The same of Enclaves.
const CONSENT_ENCLAVES: &str = "Enclaves as published protects nothing: add --as-published if that is what you want";
/// What is missing where nothing says which parts.
const WHICH: &str = "--as-published does not say which parts are: add --edition as-published, or --published PART,…";

/// Which parts are as published. All in a group say the same: nothing is negotiated.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PastArgs {
    /// The edition of every part; of Enclaves 1.0, 2.0, or repaired
    #[arg(long, value_enum, value_name = "EDITION", conflicts_with = "published")]
    edition: Option<EditionArg>,
    /// These parts as published in 1999, which protects nothing, and the others repaired. Any of: third-party, join, keys,
    /// leave, leader-heartbeat, member-heartbeat, key-request, data
    #[arg(
        long,
        value_name = "PART,…",
        value_delimiter = ',',
        hide_possible_values = true,
        value_parser = Part::ALL.map(Part::word)
    )]
    published: Vec<String>,
    /// The suite of the parts as published; des-md5-rsa if none is named
    #[arg(long, value_enum, value_name = "SUITE")]
    suite: Option<SuiteArg>,
    /// As published: the third party names the member in its answer (AN-T2s)
    #[arg(long)]
    strong_reply: bool,
    /// As published: the leader's heartbeats have the number of their key, and none of their own
    #[arg(long)]
    number_per_key: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum EditionArg {
    AsPublished,
    Repaired,
    /// Enclaves of 1996, as published
    #[value(name = "1.0")]
    Version1,
    /// Enclaves of 2000, as published
    #[value(name = "2.0")]
    Version2,
}

/// A suite of parts as published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum SuiteArg {
    #[default]
    #[value(name = "des-md5-rsa")]
    DesMd5Rsa,
    #[value(name = "aes-128-gcm")]
    Aes128Gcm,
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
    #[value(name = "chacha20-poly1305")]
    ChaCha20Poly1305,
}

impl SuiteArg {
    pub(crate) fn id(self) -> SuiteId {
        match self {
            Self::DesMd5Rsa => SuiteId::DES_MD5_RSA,
            Self::Aes128Gcm => SuiteId::AES_128_GCM,
            Self::Aes256Gcm => SuiteId::AES_256_GCM,
            Self::ChaCha20Poly1305 => SuiteId::CHACHA20_POLY1305,
        }
    }
}

/// The word of a suite on command lines.
pub(crate) fn suite_word(suite: SuiteId) -> String {
    let all = SuiteArg::value_variants().iter().find(|arg| arg.id() == suite);
    let word = all.and_then(ValueEnum::to_possible_value).map(|value| value.get_name().to_owned());
    word.unwrap_or_else(|| format!("suite {}", suite.0))
}

/// Which parts are as published, in words.
pub(crate) fn parts_text(editions: Editions) -> String {
    if editions == Editions::PUBLISHED {
        return "all parts".to_owned();
    }
    let published = Part::ALL.into_iter().filter(|part| editions.is_published(*part));
    published.map(Part::word).collect::<Vec<_>>().join(", ")
}

/// The one line that says what it means.
pub(crate) fn warning(mix: &Mix) -> (String, Fields) {
    let (parts, suite) = (parts_text(mix.editions), suite_word(mix.suite));
    let text = format!(
        "AS PUBLISHED IN 1999 ({parts}; {suite}): THIS PROTECTS NOTHING. It is here to be studied; what breaks it, and how, \
         shows `sodality attack list`"
    );
    (text, vec![("parts", parts.into()), ("suite", suite.into())])
}

/// A third party, for parts as published too if that was asked for.
pub(crate) fn third_party(suite: Arc<dyn Suite>, past: Option<&Past>) -> ThirdParty {
    let machine = ThirdParty::new(suite, Limits::default());
    match past {
        None => machine,
        Some(past) => past.third_party(machine),
    }
}

/// What a policy of parts as published cannot have is left out of it.
pub(crate) fn fit(policy: &mut Policy, mix: Mix) {
    policy.mix = Some(mix);
    policy.origin = false;
    if policy.views != Views::Hidden {
        policy.views = Views::WithEachKey;
    }
}

impl PastArgs {
    /// What the options ask for, if it is of that system.
    ///
    /// # Errors
    /// [`Failed::Usage`].
    pub(crate) fn of_system(&self, system: System) -> Result<&Self, Failed> {
        let refused = match (system, self.edition) {
            (System::Antigone, Some(EditionArg::Version1 | EditionArg::Version2)) => {
                "--edition 1.0 and 2.0 are of Enclaves; add --system enclaves"
            }
            (System::Enclaves, Some(EditionArg::AsPublished)) => {
                "Enclaves has the editions repaired, 2.0 and 1.0; as-published is of Antigone"
            }
            (System::Enclaves, _) if !self.published.is_empty() => "--published names parts of Antigone; leave it away",
            (System::Enclaves, _) if self.strong_reply || self.number_per_key => {
                "--strong-reply and --number-per-key are of Antigone as published; leave them away"
            }
            (System::Enclaves, None | Some(EditionArg::Repaired)) if self.suite.is_some() => {
                "--suite is of Enclaves as published; add --edition 1.0 or 2.0, or leave it away"
            }
            _ => return Ok(self),
        };
        Err(Failed::Usage(refused.into()))
    }

    /// The edition of Enclaves as published that the options ask for, where they alone are enough.
    ///
    /// # Errors
    /// [`Failed::Usage`].
    pub(crate) fn enclaves(&self, system: System) -> Result<Option<Enclaves>, Failed> {
        let version = match (self.of_system(system)?.edition, system) {
            (Some(EditionArg::Version1), System::Enclaves) => Version::First,
            (Some(EditionArg::Version2), System::Enclaves) => Version::Second,
            _ => return Ok(None),
        };
        Enclaves::said(version, self.suite.unwrap_or_default().id()).map(Some)
    }

    /// The same, where it must also be said that this is known to protect nothing.
    ///
    /// # Errors
    /// [`Failed::Usage`].
    pub(crate) fn consented_enclaves(&self, system: System, consents: bool) -> Result<Option<Enclaves>, Failed> {
        let asked = self.enclaves(system)?;
        if asked.is_some() && !consents {
            return Err(Failed::Usage(CONSENT_ENCLAVES.into()));
        }
        Ok(asked)
    }

    /// The mix that the options name, if they name any.
    fn mix(&self) -> Result<Option<Mix>, Failed> {
        let editions = match self.edition {
            Some(EditionArg::AsPublished) => Editions::PUBLISHED,
            // Those of Enclaves have no parts.
            Some(EditionArg::Version1 | EditionArg::Version2) => return Ok(None),
            _ => self
                .published
                .iter()
                .filter_map(|word| Part::of_word(word))
                .fold(Editions::REPAIRED, |all, part| all.with(part, Edition::AsPublished)),
        };
        if editions != Editions::REPAIRED {
            let suite = self.suite.unwrap_or_default().id();
            let (strong_reply, per_heartbeat) = (self.strong_reply, !self.number_per_key);
            return Ok(Some(Mix { editions, suite, strong_reply, per_heartbeat }));
        }
        for (given, option) in [
            (self.suite.is_some(), "--suite"),
            (self.strong_reply, "--strong-reply"),
            (self.number_per_key, "--number-per-key"),
        ] {
            if given {
                let text =
                    format!("{option} is of parts as published; name some: --edition as-published, or --published");
                return Err(Failed::Usage(text));
            }
        }
        Ok(None)
    }

    /// What the options ask for, where they alone are enough: nothing of anybody's is at stake.
    ///
    /// # Errors
    /// [`Failed::Usage`].
    pub(crate) fn asked(&self) -> Result<Option<Past>, Failed> {
        self.mix()?.map(Past::said).transpose()
    }

    /// What the options ask for, where it must also be said that this is known to protect nothing.
    ///
    /// # Errors
    /// [`Failed::Usage`].
    pub(crate) fn consented(&self, as_published: bool) -> Result<Option<Past>, Failed> {
        match (self.mix()?, as_published) {
            (None, false) => Ok(None),
            (None, true) => Err(Failed::Usage(WHICH.into())),
            (Some(_), false) => Err(Failed::Usage(CONSENT.into())),
            (Some(mix), true) => Past::said(mix).map(Some),
        }
    }

    /// The same at a leader, whose policy may name parts as well.
    ///
    /// # Errors
    /// [`Failed::Usage`].
    pub(crate) fn of_policy(&self, as_published: bool, policy: &mut Policy) -> Result<Option<Past>, Failed> {
        let Some(mix) = policy.mix else {
            let past = self.consented(as_published)?;
            if let Some(past) = &past {
                fit(policy, past.mix());
            }
            return Ok(past);
        };
        if self.edition.is_some() || !self.published.is_empty() || self.suite.is_some() || self.strong_reply {
            let text =
                "the policy has a table [editions]; leave --edition, --published, --suite and --strong-reply away";
            return Err(Failed::Usage(text.into()));
        }
        if as_published { Past::said(mix).map(Some) } else { Err(Failed::Usage(CONSENT.into())) }
    }
}
