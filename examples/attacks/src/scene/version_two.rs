//! A group of Enclaves 2.0, as published.

use std::sync::Arc;

use sodality::crypto::keys::role;
use sodality::crypto::published::{PublishedSuite, des_key_of_password};
use sodality::crypto::{Key, password};
use sodality::enclaves::version_2::{
    Access, GroupKey, Historic, Leader, LeaderConfig, Member, MemberConfig, default_policy, prudent_policy,
};
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::event::{Peer, Port};
use sodality::group::Limits;
use sodality::identity::{MemberId, Name};
use sodality::policy::Policy;
use sodality::sim::enclaves_version_2 as usual;
use sodality::sim::star::LEADER;
use sodality::sim::wild::Spy;
use sodality::sim::{LinkConfig, Node, NodeId, SimRng, World, shared};

use super::people::People;
use super::wire::Tap;
use super::{ANN, Plan, Scene, name, published};
use crate::row::{Failed, Ran, Setup, Suite};

const SAID: Historic = Historic::i_know_that_this_protects_nothing();

/// A group whose links are streams, as those of the original are.
pub(super) fn open(setup: &Setup, plan: &Plan) -> Ran<Scene> {
    let mut world = World::new(setup.seed);
    let (spy, loot) = Spy::new();
    world.add_checker(spy);
    let tap = shared(Tap::default());
    world.set_adversary(tap.clone());
    let policy = if plan.prudent { prudent_policy() } else { default_policy() };
    let policy = Policy { grace: std::time::Duration::ZERO, settle: std::time::Duration::ZERO, ..policy };
    let names = plan.names();
    let config = Config { suite: published::suite(setup), policy, plan: plan.clone(), suite_of_run: setup.cell.suite };
    let leader = config.leader(&names, &mut Cx::new(world.now(), &mut SimRng::new(setup.seed).fork(0x1ead)))?;
    let leader = world.add(LEADER, leader)?;
    world.set_address(Peer::Leader(name(LEADER)?), leader, LinkConfig::STREAM.max_frame(65_536));
    let mut people = VersionTwo { config, names: Vec::new(), leader, nodes: Vec::new(), members: Vec::new() };
    for name in &names {
        people.add(&mut world, name)?;
    }
    let rng = SimRng::new(setup.seed).fork(0xa77ac);
    Ok(Scene { world, tap, people: Box::new(people), loot, rng })
}

/// P_a of ann's password: its first bytes under DES (D26); by Argon2id, at no cost to speak of, under a modern suite.
pub(crate) fn key_of_password(setup: Suite, words: &str, who: &str) -> Ran<Key<role::PublishedUser>> {
    Ok(match setup {
        Suite::DesMd5Rsa => Key::new(des_key_of_password(words.as_bytes())),
        Suite::Modern => {
            let (suite, leader, who) = (sodality::crypto::aes_128_gcm(), name(LEADER)?, name(who)?);
            let (cost, words) = (password::Cost::CHEAP, words.as_bytes());
            let made = password::user_key(&*suite, cost, words, leader.by_ref(), who.by_ref());
            Key::new(made.map_err(Failed::steps)?.secret().clone())
        }
    })
}

struct Config {
    suite: Arc<dyn PublishedSuite>,
    suite_of_run: Suite,
    policy: Policy,
    plan: Plan,
}

impl Config {
    fn user_key(&self, at: usize, who: &str) -> Ran<Key<role::PublishedUser>> {
        match self.plan.password {
            Some(words) if at == ANN => key_of_password(self.suite_of_run, words, who),
            _ => Ok(usual::user_key(&*self.suite, who)),
        }
    }

    fn leader(&self, names: &[String], cx: &mut Cx<'_>) -> Ran<Leader> {
        let accounts = names.iter().enumerate().map(|(at, who)| Ok((name(who)?, self.user_key(at, who)?)));
        Ok(Leader::open(
            LeaderConfig {
                historic: SAID,
                suite: self.suite.clone(),
                name: name(LEADER)?,
                accounts: accounts.collect::<Ran<_>>()?,
                access: Access::Registered,
                policy: self.policy.clone(),
                limits: Limits::default(),
            },
            cx,
        )?)
    }
}

/// The machine of a member with this key, be it that of its user or of somebody who took it.
pub(crate) fn member(suite: &Arc<dyn PublishedSuite>, who: &str, key: Key<role::PublishedUser>) -> Ran<Member> {
    Ok(Member::new(MemberConfig {
        historic: SAID,
        suite: suite.clone(),
        leader: name(LEADER)?,
        name: name(who)?,
        key,
        grace: std::time::Duration::ZERO,
        frame_limit: default_policy().frame_limit,
        limits: Limits::default(),
    })?)
}

struct VersionTwo {
    config: Config,
    names: Vec<String>,
    leader: Node<Leader>,
    members: Vec<Node<Member>>,
    nodes: Vec<NodeId>,
}

impl VersionTwo {
    fn member(&self, member: usize) -> Ran<Node<Member>> {
        self.members.get(member).copied().ok_or_else(|| Failed::steps("there is no such member"))
    }
}

impl People for VersionTwo {
    fn leader(&self) -> NodeId {
        self.leader.into()
    }

    fn members(&self) -> &[NodeId] {
        &self.nodes
    }

    fn add(&mut self, world: &mut World, name: &str) -> Ran<()> {
        let key = self.config.user_key(self.members.len(), name)?;
        let node = world.add(name, member(&self.config.suite, name, key)?)?;
        self.names.push(name.to_owned());
        self.nodes.push(node.into());
        self.members.push(node);
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
            None => world.command(self.leader, "say", |leader, cx| leader.send(cx, Port::Application, text))?,
        })
    }

    fn gossip(&self, world: &mut World, member: usize, to: &[Name], text: &[u8]) -> Ran<()> {
        let member = self.member(member)?;
        Ok(world.command(member, "gossip", |member, cx| member.gossip(cx, to, Port::Application, text))??)
    }

    fn rekey(&self, world: &mut World) -> Ran<()> {
        Ok(world.command(self.leader, "rekey", |leader, cx| leader.rekey(cx))??)
    }

    fn eject(&self, world: &mut World, name: &str) -> Ran<()> {
        let name = Name::new(name)?;
        let cid = world.get(self.leader).and_then(|leader| leader.number_of(&name));
        let cid = cid.ok_or_else(|| Failed::steps("nobody of that name is in the group"))?;
        Ok(world.command(self.leader, &format!("eject {name}"), |leader, cx| leader.eject(cx, cid))??)
    }

    fn reopen(&self, world: &mut World) -> Ran<()> {
        let mut rng = SimRng::new(world.seed()).fork(0x1ead2);
        let leader = self.config.leader(&self.names, &mut Cx::new(world.now(), &mut rng))?;
        Ok(world.restart_with(self.leader, leader)?)
    }

    fn group_key(&self, world: &World, member: usize) -> Option<GroupKey> {
        let member = self.member(member).ok()?;
        world.get(member)?.group_key().cloned()
    }

    fn name_of(&self, world: &World, member: usize, cid: MemberId) -> Option<Name> {
        let member = self.member(member).ok()?;
        world.get(member)?.name_of(cid).cloned()
    }
}
