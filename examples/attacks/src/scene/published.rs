//! A group of the edition as published.

use std::sync::Arc;

use sodality::antigone::mixed::{Faults, Leader, Member};
use sodality::crypto::aes_128_gcm;
use sodality::crypto::published::faulty::{Ivs, des_md5_rsa_with_bad_ivs};
use sodality::crypto::published::{Modern, PublishedSuite, des_md5_rsa};
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::event::{Event, Port};
use sodality::identity::{MemberId, Name};
use sodality::policy::{Editions, Mix, Policy, Views};
use sodality::sim::mixed::{MixedConfig, MixedStar, leader_machine};
use sodality::sim::star::{long_term_key, records};
use sodality::sim::wild::Spy;
use sodality::sim::{LinkConfig, Moment, Node, NodeId, SimRng, WireId, World, shared};
use sodality::ttp::{LeaderRecord, Records, ThirdParty};

use super::people::People;
use super::repaired;
use super::wire::Tap;
use super::{Plan, Scene};
use crate::row::{Failed, Fault, Ran, Setup, Suite};

/// A group whose parts are all as published, under the suite of the cell, with the fault that the run has.
pub(super) fn open(setup: &Setup, plan: &Plan) -> Ran<Scene> {
    let mut world = World::new(setup.seed);
    let (spy, loot) = Spy::new();
    world.add_checker(spy);
    let tap = shared(Tap::default());
    world.set_adversary(tap.clone());
    let link = LinkConfig::DATAGRAM.max_frame(65_536);
    let published = suite(setup);
    let mix = Mix {
        editions: Editions::PUBLISHED,
        suite: published.id(),
        strong_reply: plan.strong_reply,
        per_heartbeat: plan.per_heartbeat,
    };
    let faults = if setup.has_fault(Fault::LeadingGroup) {
        Faults::taking_the_leading_group()
    } else if plan.any_numbers || setup.has_fault(Fault::AnyNumbers) {
        Faults::taking_any_numbers()
    } else {
        Faults::NONE
    };
    let config = MixedConfig {
        policy: Policy { origin: false, views: Views::WithEachKey, mix: Some(mix), ..plan.policy.clone() },
        faults,
        link,
        multicast: plan.shared.then_some(link),
        ..MixedConfig::new(repaired::suite(), published, mix)
    };
    let star = MixedStar::with_names(&mut world, config, &plan.names())?;
    if plan.everybody_leads {
        let suite = star.config.suite.clone();
        world.set_app(star.third_party, move |machine: &mut ThirdParty, cx, moment| {
            if let Moment::Event(Event::LookupWanted { ticket, leader, member }) = moment {
                let leads = LeaderRecord { key: long_term_key(&*suite, leader.as_str()) };
                let found = Records { leader: Some(leads), ..records(&*suite, leader, member) };
                // Full or failing: the leader asks again.
                let _ = machine.answer(cx, *ticket, &found);
            }
        })?;
    }
    let members = star.members.iter().map(|member| NodeId::from(*member)).collect();
    let rng = SimRng::new(setup.seed).fork(0xa77ac);
    Ok(Scene { world, tap, people: Box::new(Published { star, members }), loot, rng })
}

/// The suite of the cell, with the fault that the run has.
pub(crate) fn suite(setup: &Setup) -> Arc<dyn PublishedSuite> {
    match setup.cell.suite {
        Suite::DesMd5Rsa if setup.has_fault(Fault::ConstantIv) => des_md5_rsa_with_bad_ivs(Ivs::Constant),
        Suite::DesMd5Rsa => des_md5_rsa(),
        Suite::Modern => Arc::new(Modern::new(aes_128_gcm())),
    }
}

struct Published {
    star: MixedStar,
    members: Vec<NodeId>,
}

impl Published {
    fn member(&self, member: usize) -> Ran<Node<Member>> {
        self.star.members.get(member).copied().ok_or_else(|| Failed::steps("there is no such member"))
    }
}

impl People for Published {
    fn third_party(&self) -> NodeId {
        self.star.third_party.into()
    }

    fn leader(&self) -> NodeId {
        self.star.leader.into()
    }

    fn members(&self) -> &[NodeId] {
        &self.members
    }

    fn channel(&self) -> Option<WireId> {
        self.star.multicast
    }

    fn add(&mut self, world: &mut World, name: &str) -> Ran<()> {
        let node = self.star.add_member(world, name)?;
        self.members.push(node.into());
        Ok(())
    }

    fn join(&self, world: &mut World, member: usize) -> Ran<()> {
        Ok(world.command(self.member(member)?, "join", |member, cx| member.join(cx))??)
    }

    fn leave(&self, world: &mut World, member: usize) -> Ran<()> {
        Ok(world.command(self.member(member)?, "leave", |member, cx| member.leave(cx))??)
    }

    fn say(&self, world: &mut World, member: Option<usize>, text: &[u8]) -> Ran<Result<(), CommandError>> {
        Ok(match member {
            Some(member) => {
                let member = self.member(member)?;
                world.command(member, "say", |member, cx| member.send(cx, Port::Application, text))?
            }
            None => world.command(self.star.leader, "say", |leader, cx| leader.send(cx, Port::Application, text))?,
        })
    }

    fn rekey(&self, world: &mut World) -> Ran<()> {
        Ok(world.command(self.star.leader, "rekey", |leader, cx| leader.rekey(cx))??)
    }

    fn eject(&self, world: &mut World, name: &str) -> Ran<()> {
        let name = Name::new(name)?;
        let cid = world.get(self.star.leader).and_then(|leader: &Leader| leader.view().find_name(&name));
        let cid = cid.ok_or_else(|| Failed::steps("nobody of that name is in the group"))?;
        Ok(world.command(self.star.leader, &format!("eject {cid}"), |leader, cx| leader.eject(cx, cid))??)
    }

    fn ask_to_eject(&self, world: &mut World, member: usize, name: &str) -> Ran<()> {
        let (member, target) = (self.member(member)?, Name::new(name)?);
        let words = format!("eject {name}");
        Ok(world.command(member, &words, |member, cx| member.request_ejection(cx, &target))??)
    }

    fn reopen(&self, world: &mut World) -> Ran<()> {
        let mut rng = SimRng::new(world.seed()).fork(0x1ead2);
        let leader = leader_machine(&self.star.config, &mut Cx::new(world.now(), &mut rng))?;
        Ok(world.restart_with(self.star.leader, leader)?)
    }

    fn name_of(&self, world: &World, member: usize, cid: MemberId) -> Option<Name> {
        let member = self.member(member).ok()?;
        world.get(member)?.name_of(cid).cloned()
    }
}
