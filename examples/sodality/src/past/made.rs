//! Groups with parts as published, once somebody has asked for them.

use std::sync::Arc;

use sodality::antigone::mixed::{self, Faults};
use sodality::antigone::{LeaderConfig, MemberConfig};
use sodality::crypto::published::{Modern, PublishedSuite, des_md5_rsa};
use sodality::crypto::{SuiteId, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::identity::Name;
use sodality::policy::{Historic, Mix};
use sodality::ttp::ThirdParty;
use sodality::wire::published::MAX_APP;

use super::suite_word;
use crate::exit::Failed;

/// Parts as published that the command line has asked for.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    historic: Historic,
    mix: Mix,
    suite: Arc<dyn PublishedSuite>,
}

/// The only place where the program says so: an option asked for it.
pub(super) fn consent() -> Historic {
    Historic::i_know_that_this_protects_nothing()
}

/// The suite of that number, for parts as published.
pub(super) fn suite(id: SuiteId) -> Result<Arc<dyn PublishedSuite>, Failed> {
    Ok(match id {
        SuiteId::DES_MD5_RSA => des_md5_rsa(),
        SuiteId::AES_128_GCM => Arc::new(Modern::new(aes_128_gcm())),
        SuiteId::AES_256_GCM => Arc::new(Modern::new(aes_256_gcm())),
        SuiteId::CHACHA20_POLY1305 => Arc::new(Modern::new(chacha20_poly1305())),
        other => return Err(Failed::Usage(format!("{}: no suite of parts as published", suite_word(other)))),
    })
}

impl Past {
    /// The command line has said it.
    pub(super) fn said(mix: Mix) -> Result<Self, Failed> {
        Ok(Self { historic: consent(), mix, suite: suite(mix.suite)? })
    }

    pub(crate) fn mix(&self) -> Mix {
        self.mix
    }

    /// Names that the suite takes (D2), and an application.
    ///
    /// # Errors
    /// [`Failed::Usage`].
    pub(crate) fn admits<'n>(&self, app: &Name, names: impl IntoIterator<Item = &'n Name>) -> Result<(), Failed> {
        if let Some(name) = names.into_iter().find(|name| !self.suite.admits(name.by_ref())) {
            return Err(Failed::Usage(format!(
                "{name}: too long a name; under {} a name is a block of the cipher, 1 to 8 bytes",
                suite_word(self.mix.suite)
            )));
        }
        if app.as_str().len() > MAX_APP {
            return Err(Failed::Usage(format!(
                "--app has more than {MAX_APP} bytes, the most that is possible as published"
            )));
        }
        Ok(())
    }

    /// That third party, for parts as published too.
    pub(crate) fn third_party(&self, machine: ThirdParty) -> ThirdParty {
        machine.with_published(self.historic, self.suite.clone(), self.mix.strong_reply)
    }

    /// That leader, with these parts as published.
    ///
    /// # Errors
    /// As [`mixed::Leader::open`].
    pub(crate) fn leader(&self, config: LeaderConfig, cx: &mut Cx<'_>) -> Result<mixed::Leader, CommandError> {
        let LeaderConfig { suite, app, name, key, policy, access, limits } = config;
        let (historic, published, faults) = (self.historic, self.suite.clone(), Faults::NONE);
        mixed::Leader::open(
            mixed::LeaderConfig { historic, suite, published, app, name, key, policy, access, faults, limits },
            cx,
        )
    }

    /// That member, with these parts as published.
    ///
    /// # Errors
    /// As [`mixed::Member::new`].
    pub(crate) fn member(&self, config: MemberConfig) -> Result<mixed::Member, CommandError> {
        let MemberConfig { suite, app, leader, name, key, floor, limits } = config;
        let (historic, published, mix, faults) = (self.historic, self.suite.clone(), self.mix, Faults::NONE);
        let config =
            mixed::MemberConfig { historic, suite, published, mix, app, leader, name, key, floor, faults, limits };
        mixed::Member::new(config)
    }
}
