//! Repaired Enclaves under the scenarios.

use std::sync::Arc;

use sodality::crypto::{Key, Suite};
use sodality::enclaves::auth::{Account, Credential, SharedKey};
use sodality::enclaves::{Accounts, Leader, LeaderConfig, Member, MemberConfig};
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::event::Event;
use sodality::group::access::Access;
use sodality::identity::Name;
use sodality::policy::{Communication, Floor};

use super::settings::{LEADER, limits, name, policy, secret};
use super::{Nobody, System, Terms};

/// Users `m0`, `m1` and so on, as the scenarios call their members.
const USERS: usize = 80;

/// Repaired Enclaves under some suite, by keys that leader and user share. The leader knows its users itself: there is no
/// third party. It relays everything, also over a transport with a shared link.
#[derive(Clone, Debug)]
pub struct Enclaves {
    suite: Arc<dyn Suite>,
}

impl Enclaves {
    /// Under `suite`.
    pub fn new(suite: Arc<dyn Suite>) -> Self {
        Self { suite }
    }

    fn key(&self, name: &Name) -> SharedKey {
        SharedKey::new(Key::new(secret(name, self.suite.sizes().long_term)))
    }

    fn accounts(&self) -> Result<Accounts, CommandError> {
        (0..USERS)
            .map(|number| {
                let name = name(&format!("m{number}"))?;
                let account = Account::SharedKey(self.key(&name));
                Ok((name, account))
            })
            .collect()
    }
}

impl System for Enclaves {
    type Leader = Leader;
    type Member = Member;
    type Helper = Nobody;

    fn leader(&self, terms: &Terms, cx: &mut Cx<'_>) -> Result<Leader, CommandError> {
        let config = LeaderConfig {
            suite: self.suite.clone(),
            app: name("conformance")?,
            name: name(LEADER)?,
            accounts: self.accounts()?,
            policy: policy(terms),
            access: Access::Registered,
            limits: limits(),
        };
        Leader::open(config, cx)
    }

    fn member(&self, _terms: &Terms, who: Name) -> Result<Member, CommandError> {
        Member::new(MemberConfig {
            suite: self.suite.clone(),
            app: name("conformance")?,
            leader: name(LEADER)?,
            credential: Credential::SharedKey(self.key(&who)),
            name: who,
            floor: Floor::none(),
            limits: limits(),
        })
    }

    fn communication(&self, _offered: Communication) -> Communication {
        Communication::Relay
    }

    fn helper(&self) -> Option<Nobody> {
        None
    }

    fn help(&self, helper: &mut Nobody, _cx: &mut Cx<'_>, _event: &Event) {
        match *helper {}
    }

    fn join(member: &mut Member, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        member.join(cx)
    }

    fn leave(member: &mut Member, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        member.leave(cx)
    }
}
