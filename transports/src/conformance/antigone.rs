//! The repaired Antigone under the scenarios.

use std::sync::Arc;

use sodality::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
use sodality::crypto::keys::role;
use sodality::crypto::{Key, Suite};
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::event::Event;
use sodality::identity::Name;
use sodality::policy::Floor;
use sodality::ttp::{LeaderRecord, MemberRecord, Records, ThirdParty};

use super::settings::{LEADER, limits, name, policy, secret};
use super::{System, Terms};

/// The repaired Antigone under some suite, with a third party that knows everybody.
#[derive(Clone, Debug)]
pub struct Antigone {
    suite: Arc<dyn Suite>,
}

impl Antigone {
    /// Under `suite`.
    pub fn new(suite: Arc<dyn Suite>) -> Self {
        Self { suite }
    }

    /// A key that follows from the name: fit for tests alone.
    fn key(&self, name: &Name) -> Key<role::LongTerm> {
        Key::new(secret(name, self.suite.sizes().long_term))
    }
}

impl System for Antigone {
    type Leader = Leader;
    type Member = Member;
    type Helper = ThirdParty;

    fn leader(&self, terms: &Terms, cx: &mut Cx<'_>) -> Result<Leader, CommandError> {
        let name_of_leader = name(LEADER)?;
        let config = LeaderConfig {
            suite: self.suite.clone(),
            app: name("conformance")?,
            key: self.key(&name_of_leader),
            name: name_of_leader,
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
            key: self.key(&who),
            name: who,
            floor: Floor::none(),
            limits: limits(),
        })
    }

    fn helper(&self) -> Option<ThirdParty> {
        Some(ThirdParty::new(self.suite.clone(), limits()))
    }

    fn help(&self, helper: &mut ThirdParty, cx: &mut Cx<'_>, event: &Event) {
        let Event::LookupWanted { ticket, leader, member } = event else { return };
        let records = Records {
            leader: (leader.as_str() == LEADER).then(|| LeaderRecord { key: self.key(leader) }),
            member: Some(MemberRecord { key: self.key(member), disabled: false }),
        };
        // What is refused here is asked again.
        let _ = helper.answer(cx, *ticket, &records);
    }

    fn join(member: &mut Member, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        member.join(cx)
    }

    fn leave(member: &mut Member, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        member.leave(cx)
    }
}
