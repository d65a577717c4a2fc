//! A group of the repaired edition.

use std::sync::Arc;

use sodality::antigone::{Leader, Member};
use sodality::crypto::keys::role;
use sodality::crypto::{Key, Suite, chacha20_poly1305};
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::event::Port;
use sodality::group::{Limits, View};
use sodality::identity::{Epoch, MemberId, Name};
use sodality::sim::star::{Star, StarConfig, leader_machine};
use sodality::sim::wild::Spy;
use sodality::sim::{LinkConfig, Node, NodeId, SimRng, WireId, World, shared};

use super::people::People;
use super::wire::Tap;
use super::{Plan, Scene};
use crate::row::{Failed, Ran, Setup};

/// The modern suite.
pub(crate) fn suite() -> Arc<dyn Suite> {
    chacha20_poly1305()
}

pub(super) fn open(setup: &Setup, plan: &Plan) -> Ran<Scene> {
    let mut world = World::new(setup.seed);
    let (spy, loot) = Spy::new();
    world.add_checker(spy);
    let tap = shared(Tap::default());
    world.set_adversary(tap.clone());
    let link = LinkConfig::DATAGRAM.max_frame(65_536);
    let config = StarConfig {
        policy: plan.policy.clone(),
        limits: Limits { checks: setup.checks(), ..Limits::default() },
        link,
        multicast: plan.shared.then_some(link),
        ..StarConfig::new(suite())
    };
    let star = Star::with_names(&mut world, config, &plan.names())?;
    let members = star.members.iter().map(|member| NodeId::from(*member)).collect();
    let rng = SimRng::new(setup.seed).fork(0xa77ac);
    Ok(Scene { world, tap, people: Box::new(Repaired { star, members }), loot, rng })
}

struct Repaired {
    star: Star,
    members: Vec<NodeId>,
}

impl Repaired {
    fn member(&self, member: usize) -> Ran<Node<Member>> {
        self.star.members.get(member).copied().ok_or_else(|| Failed::steps("there is no such member"))
    }
}

impl People for Repaired {
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
        let (member, name) = (self.member(member)?, Name::new(name)?);
        let cid = world.get(member).and_then(|member: &Member| member.view()?.find_name(&name));
        let cid = cid.ok_or_else(|| Failed::steps("nobody of that name is in the view"))?;
        Ok(world.command(member, &format!("eject {cid}"), |member, cx| member.request_ejection(cx, cid))??)
    }

    fn reopen(&self, world: &mut World) -> Ran<()> {
        let mut rng = SimRng::new(world.seed()).fork(0x1ead2);
        let leader = leader_machine(&self.star.config, &mut Cx::new(world.now(), &mut rng))?;
        Ok(world.restart_with(self.star.leader, leader)?)
    }

    fn own_secret(&self, world: &World, member: usize) -> Option<(Epoch, Key<role::DataBase>)> {
        let member = self.member(member).ok()?;
        let (epoch, secret) = world.get(member)?.epoch_secret()?;
        Some((epoch, Key::new(secret.clone())))
    }

    fn name_of(&self, world: &World, member: usize, cid: MemberId) -> Option<Name> {
        let member = self.member(member).ok()?;
        Some(world.get(member)?.view()?.get(cid)?.name.clone())
    }

    fn own_view(&self, world: &World, member: usize) -> Option<View> {
        let member = self.member(member).ok()?;
        world.get(member)?.view().cloned()
    }
}
