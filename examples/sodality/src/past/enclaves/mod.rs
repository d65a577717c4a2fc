//! Groups of Enclaves as published, once somebody has asked for them.
//!
//! The file of a leader's users is that of the repaired edition. P_a as published follows from the key that stands there, and
//! never is that key (RA I-8): what a cipher of 1996 gives away opens no group of the repaired edition.

mod roles;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sodality::crypto::keys::role;
use sodality::crypto::published::PublishedSuite;
use sodality::crypto::{Key, Secret, SuiteId};
use sodality::enclaves::{version_1, version_2};
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::group::Limits;
use sodality::group::access::Access;
use sodality::identity::Name;
use sodality::policy::{Historic, Policy};

use super::{made, suite_word};
use crate::exit::Failed;
use crate::timeline::Fields;
use crate::verbs::system::Version;

/// No more than this is possible as published.
const MAX_GRACE: std::time::Duration = std::time::Duration::from_secs(10);

/// An edition of Enclaves as published that the command line has asked for.
#[derive(Clone, Debug)]
pub(crate) struct Enclaves {
    historic: Historic,
    version: Version,
    suite: Arc<dyn PublishedSuite>,
}

/// P_a of each user.
pub(crate) type Users = BTreeMap<Name, Key<role::PublishedUser>>;

/// Who leads, and what its group is like.
pub(crate) struct Leading {
    pub(crate) name: Name,
    pub(crate) accounts: Users,
    pub(crate) access: Access,
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
}

/// Who joins whom.
pub(crate) struct Joining {
    pub(crate) leader: Name,
    pub(crate) name: Name,
    pub(crate) key: Key<role::PublishedUser>,
    pub(crate) limits: Limits,
}

impl Enclaves {
    /// The command line has said it.
    pub(super) fn said(version: Version, suite: SuiteId) -> Result<Self, Failed> {
        Ok(Self { historic: made::consent(), version, suite: made::suite(suite)? })
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The one line that says what it means.
    pub(crate) fn warning(&self) -> (String, Fields) {
        let suite = suite_word(self.suite.id());
        let (name, year, broken) = match self.version {
            Version::First => {
                ("ENCLAVES 1.0", 1996, "insiders write under any name (E3), and passwords can be searched for (X3)")
            }
            Version::Second => {
                ("ENCLAVES 2.0", 2000, "what breaks it, and how, shows `sodality attack list --system enclaves`")
            }
        };
        let text = format!(
            "{name} AS PUBLISHED ({year}; {suite}): THIS PROTECTS NOTHING. It is here to be studied; no --floor holds, and {broken}"
        );
        (text, vec![("parts", self.version.name().into()), ("suite", suite.into())])
    }

    /// P_a of that user as published, from the key that it has with the leader.
    ///
    /// # Errors
    /// [`Failed::Group`].
    pub(crate) fn user_key(&self, key: &Secret, user: &Name) -> Result<Key<role::PublishedUser>, Failed> {
        let key = self.suite.long_term(&*crate::verbs::suite(), key, user.by_ref());
        key.map(Key::new).map_err(|error| Failed::Group(format!("no key for {user}: {error}")))
    }

    /// The policy if none was given: as it was by default.
    pub(crate) fn usual(&self) -> Policy {
        match self.version {
            Version::First => version_1::default_policy(),
            Version::Second => version_2::default_policy(),
        }
    }

    /// What can be chosen as published, as that policy has it: when the key is changed, for how long the old one opens, and
    /// how long frames are. The rest is as it was.
    pub(crate) fn fit(&self, policy: &Policy) -> Policy {
        let usual = self.usual();
        let (grace, settle) = if policy.grace > MAX_GRACE {
            (MAX_GRACE, policy.settle.min(MAX_GRACE / 2))
        } else {
            (policy.grace, policy.settle)
        };
        let rekey_on = policy.rekey_on.iter().fold(usual.rekey_on, |all, cause| all.with(cause));
        let (key_lifetime, key_messages, key_bytes) = (policy.key_lifetime, policy.key_messages, policy.key_bytes);
        let frame_limit = policy.frame_limit;
        Policy { rekey_on, grace, settle, key_lifetime, key_messages, key_bytes, frame_limit, ..usual }
    }

    /// A leader of 1.0. `cx` has the wall-clock time.
    ///
    /// # Errors
    /// As [`version_1::Leader::open`].
    pub(crate) fn first_leader(&self, leading: Leading, cx: &mut Cx<'_>) -> Result<version_1::Leader, CommandError> {
        let Leading { name, accounts, access, policy, limits } = leading;
        let (historic, suite, direct) = (self.historic, self.suite.clone(), version_1::DirectLinks::Granted);
        let window = version_1::DEFAULT_WINDOW;
        let config =
            version_1::LeaderConfig { historic, suite, name, accounts, access, policy, direct, window, limits };
        version_1::Leader::open(config, cx)
    }

    /// A leader of 2.0.
    ///
    /// # Errors
    /// As [`version_2::Leader::open`].
    pub(crate) fn second_leader(&self, leading: Leading, cx: &mut Cx<'_>) -> Result<version_2::Leader, CommandError> {
        let Leading { name, accounts, access, policy, limits } = leading;
        let (historic, suite) = (self.historic, self.suite.clone());
        version_2::Leader::open(version_2::LeaderConfig { historic, suite, name, accounts, access, policy, limits }, cx)
    }

    /// A member of 1.0, whom others reach where `hint` says.
    ///
    /// # Errors
    /// As [`version_1::Member::new`].
    pub(crate) fn first_member(&self, joining: Joining, hint: Bytes) -> Result<version_1::Member, CommandError> {
        let Joining { leader, name, key, limits } = joining;
        let (historic, suite, Policy { grace, frame_limit, .. }) = (self.historic, self.suite.clone(), self.usual());
        let (window, silence) = (version_1::DEFAULT_WINDOW, version_1::DEFAULT_SILENCE);
        version_1::Member::new(version_1::MemberConfig {
            historic,
            suite,
            leader,
            name,
            key,
            hint,
            grace,
            window,
            silence,
            frame_limit,
            limits,
        })
    }

    /// A member of 2.0.
    ///
    /// # Errors
    /// As [`version_2::Member::new`].
    pub(crate) fn second_member(&self, joining: Joining) -> Result<version_2::Member, CommandError> {
        let Joining { leader, name, key, limits } = joining;
        let (historic, suite, Policy { grace, frame_limit, .. }) = (self.historic, self.suite.clone(), self.usual());
        version_2::Member::new(version_2::MemberConfig {
            historic,
            suite,
            leader,
            name,
            key,
            grace,
            frame_limit,
            limits,
        })
    }
}
