//! The repaired Antigone under the scenarios.

use std::sync::Arc;
use std::time::Duration;

use sodality::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
use sodality::crypto::keys::role;
use sodality::crypto::{Key, Secret, Suite};
use sodality::endpoint::Cx;
use sodality::error::{CommandError, Misuse};
use sodality::event::Event;
use sodality::group::{Limits, Retry};
use sodality::identity::Name;
use sodality::policy::{Communication, Detection, Floor, Policy};
use sodality::ttp::{LeaderRecord, MemberRecord, Records, ThirdParty};

use super::{System, Terms};

/// The repaired Antigone under some suite, with a third party that knows everybody.
#[derive(Clone, Debug)]
pub struct Antigone {
    suite: Arc<dyn Suite>,
}

const LEADER: &str = "lea";

impl Antigone {
    /// Under `suite`.
    pub fn new(suite: Arc<dyn Suite>) -> Self {
        Self { suite }
    }

    fn limits() -> Limits {
        let retry = Retry { first: Duration::from_millis(60), ceiling: Duration::from_millis(500) };
        // 64 may join at once on a machine that has much else to do.
        let (join_time, pending_life) = (Duration::from_secs(50), Duration::from_secs(55));
        Limits { retry, join_time, pending_life, ..Limits::default() }
    }

    /// A key that follows from the name: fit for tests alone.
    fn key(&self, name: &Name) -> Key<role::LongTerm> {
        let length = self.suite.sizes().long_term;
        let mut bytes: Vec<u8> = name.as_str().bytes().chain(std::iter::repeat(0x5a)).take(length).collect();
        Key::new(Secret::take(&mut bytes))
    }
}

fn name(text: &str) -> Result<Name, CommandError> {
    Name::new(text).map_err(|_| Misuse::SameName.into())
}

impl System for Antigone {
    type Leader = Leader;
    type Member = Member;
    type Helper = ThirdParty;

    fn leader(&self, terms: &Terms, cx: &mut Cx<'_>) -> Result<Leader, CommandError> {
        let name_of_leader = name(LEADER)?;
        let frame_limit = u32::try_from(terms.max_frame.min(256 << 10)).unwrap_or(u32::MAX);
        let policy = Policy {
            grace: Duration::from_millis(200),
            settle: Duration::from_millis(50),
            detection: Some(Detection { period: terms.period, misses: terms.misses }),
            frame_limit,
            communication: if terms.multicast { Communication::Mixed } else { Communication::Relay },
            ..Policy::default()
        };
        let config = LeaderConfig {
            suite: self.suite.clone(),
            app: name("conformance")?,
            key: self.key(&name_of_leader),
            name: name_of_leader,
            policy,
            access: Access::Registered,
            limits: Self::limits(),
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
            limits: Self::limits(),
        })
    }

    fn helper(&self) -> Option<ThirdParty> {
        Some(ThirdParty::new(self.suite.clone(), Self::limits()))
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
