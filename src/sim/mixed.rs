//! A whole group with parts as published in a world (feature `historic`): third party, leader, members, registry and
//! addresses, ready to run. What [`Star`](super::star::Star) is for the repaired edition.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::net::{LinkConfig, WireId};
use super::star::{APP, LEADER, long_term_key, name, records};
use super::step::{Stop, Why};
use super::world::{Moment, Node, NodeId, World};
use crate::antigone::Access;
use crate::antigone::mixed::{Faults, Historic, Leader, LeaderConfig, Member, MemberConfig};
use crate::crypto::Suite;
use crate::crypto::published::PublishedSuite;
use crate::endpoint::Cx;
use crate::error::CommandError;
use crate::event::{Event, Peer, Port};
use crate::group::Limits;
use crate::policy::{Floor, Mix, Policy, Views};
use crate::ttp::ThirdParty;

/// What a group with parts as published is made of.
#[derive(Debug, Clone)]
pub struct MixedConfig {
    /// The suite of repaired parts.
    pub suite: Arc<dyn Suite>,
    /// The suite of published parts.
    pub published: Arc<dyn PublishedSuite>,
    /// The policy of the leader. Its mix is that of all.
    pub policy: Policy,
    /// Who may join.
    pub access: Access,
    /// What members insist on.
    pub floor: Floor,
    /// Wrong rules of all.
    pub faults: Faults,
    /// Bounds and times of all.
    pub limits: Limits,
    /// What links are like.
    pub link: LinkConfig,
    /// What the multicast channel is like on which the leader and all members listen, if there is one.
    pub multicast: Option<LinkConfig>,
}

impl MixedConfig {
    /// A group of this mix over good streams: the default policy, with what a mix cannot have left out.
    pub fn new(suite: Arc<dyn Suite>, published: Arc<dyn PublishedSuite>, mix: Mix) -> Self {
        let policy = Policy { origin: false, views: Views::WithEachKey, mix: Some(mix), ..Policy::default() };
        Self {
            suite,
            published,
            policy,
            access: Access::Registered,
            floor: Floor::none(),
            faults: Faults::NONE,
            limits: Limits::default(),
            link: LinkConfig::STREAM,
            multicast: None,
        }
    }

    fn mix(&self) -> Mix {
        self.policy.mix.unwrap_or(Mix::published(self.published.id()))
    }
}

/// A third party, a leader and members. The leader's group is open; nobody has joined yet.
#[derive(Debug)]
pub struct MixedStar {
    /// What it was made of.
    pub config: MixedConfig,
    /// The third party. Its application answers look-ups from a registry that knows everybody by
    /// [`long_term_key`].
    pub third_party: Node<ThirdParty>,
    /// The leader, named `lea`.
    pub leader: Node<Leader>,
    /// The members.
    pub members: Vec<Node<Member>>,
    /// The multicast channel, if there is one.
    pub multicast: Option<WireId>,
}

const SAID: Historic = Historic::i_know_that_this_protects_nothing();

/// The machine of a member.
///
/// # Errors
/// As [`Member::new`].
pub fn member_machine(config: &MixedConfig, member: &str) -> Result<Member, CommandError> {
    Member::new(MemberConfig {
        historic: SAID,
        suite: config.suite.clone(),
        published: config.published.clone(),
        mix: config.mix(),
        app: name(APP),
        leader: name(LEADER),
        name: name(member),
        key: long_term_key(&*config.suite, member),
        floor: config.floor.clone(),
        faults: config.faults,
        limits: config.limits,
    })
}

/// The machine of the leader.
///
/// # Errors
/// As [`Leader::open`].
pub fn leader_machine(config: &MixedConfig, cx: &mut Cx<'_>) -> Result<Leader, CommandError> {
    let config = LeaderConfig {
        historic: SAID,
        suite: config.suite.clone(),
        published: config.published.clone(),
        app: name(APP),
        name: name(LEADER),
        key: long_term_key(&*config.suite, LEADER),
        policy: config.policy.clone(),
        access: config.access.clone(),
        faults: config.faults,
        limits: config.limits,
    };
    Leader::open(config, cx)
}

/// The machine of the third party.
pub fn third_party_machine(config: &MixedConfig) -> ThirdParty {
    let strong = config.mix().strong_reply;
    let machine =
        ThirdParty::new(config.suite.clone(), config.limits).with_published(SAID, config.published.clone(), strong);
    if config.faults.takes_any_numbers() { machine.with_any_numbers() } else { machine }
}

impl MixedStar {
    /// Adds a group to `world`: members `m1`, `m2`, … as [`Star::add`](super::star::Star::add) does.
    ///
    /// # Errors
    /// [`Stop`]; the machines' own failures are a [`Why::Scenario`].
    pub fn add(world: &mut World, config: MixedConfig, members: usize) -> Result<Self, Stop> {
        let names: Vec<String> = (1..=members).map(|n| alloc::format!("m{n}")).collect();
        Self::with_names(world, config, &names)
    }

    /// As [`Self::add`], with these members.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn with_names(world: &mut World, config: MixedConfig, members: &[String]) -> Result<Self, Stop> {
        let suite = config.suite.clone();
        let third_party = world.add("ttp", third_party_machine(&config))?;
        world.set_app(third_party, move |machine: &mut ThirdParty, cx, moment| {
            if let Moment::Event(Event::LookupWanted { ticket, leader, member }) = moment {
                // Full or failing: the leader asks again.
                let _ = machine.answer(cx, *ticket, &records(&*suite, leader, member));
            }
        })?;
        let mut rng = world.root.fork(0x1ead);
        let machine = leader_machine(&config, &mut Cx::new(world.now(), &mut rng));
        let leader = world.add(LEADER, machine.map_err(|error| scenario(world, &error))?)?;
        world.set_address(Peer::ThirdParty, third_party, config.link);
        world.set_address(Peer::Leader(name(LEADER)), leader, config.link);
        let multicast = config.multicast.map(|config| world.multicast(config));
        let mut star = Self { config, third_party, leader, members: Vec::new(), multicast };
        star.attach(world, leader)?;
        for member in members {
            star.add_member(world, member)?;
        }
        Ok(star)
    }

    /// Adds another member.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_member(&mut self, world: &mut World, member: &str) -> Result<Node<Member>, Stop> {
        let machine = member_machine(&self.config, member).map_err(|error| scenario(world, &error))?;
        let node = world.add(member, machine)?;
        self.members.push(node);
        self.attach(world, node)?;
        Ok(node)
    }

    fn attach(&self, world: &mut World, node: impl Into<NodeId>) -> Result<(), Stop> {
        if let Some(wire) = self.multicast {
            world.attach(wire, node)?;
        }
        Ok(())
    }

    /// Lets everybody join once and runs until they all have.
    ///
    /// # Errors
    /// [`Stop`], also if they have not within `time`.
    pub fn join_all(&self, world: &mut World, time: Duration) -> Result<(), Stop> {
        for member in &self.members {
            let joined = world.with(*member, |member, cx| member.join(cx))?;
            joined.map_err(|error| scenario(world, &error))?;
        }
        world.eventually(time, "everybody has joined and has the leader's key", |world| {
            self.converged(world) && self.members.iter().all(|member| !world.get(*member).is_none_or(Member::is_idle))
        })?;
        Ok(())
    }

    /// Whether all members that are up and in the group have the leader's key, and the leader counts as many.
    pub fn converged(&self, world: &World) -> bool {
        let Some(leader) = world.get(self.leader) else { return false };
        let mut present = 0;
        let agree = self.members.iter().filter_map(|member| world.get(*member)).all(|member| {
            if member.is_idle() || (member.policy().is_none() && member.epoch().0 == 0 && !member.is_joining()) {
                return true;
            }
            present += 1;
            member.is_current() && member.epoch() == leader.epoch()
        });
        agree && leader.member_count() == present
    }

    /// Sends `text` from a member to the group, or from the leader (any other number).
    ///
    /// # Errors
    /// [`Stop`] of the world; the command's own answer inside.
    pub fn say(&self, world: &mut World, from: usize, text: &[u8]) -> Result<Result<(), CommandError>, Stop> {
        let words = alloc::format!("say {}", String::from_utf8_lossy(text));
        match self.members.get(from) {
            Some(member) => world.command(*member, &words, |member, cx| member.send(cx, Port::Application, text)),
            None => world.command(self.leader, &words, |leader, cx| leader.send(cx, Port::Application, text)),
        }
    }

    /// How often a node's application was given `text`.
    pub fn heard(world: &World, node: impl Into<NodeId>, text: &[u8]) -> usize {
        super::star::Star::heard(world, node, text)
    }
}

fn scenario(world: &World, error: &CommandError) -> Stop {
    world.stop(None, Why::Scenario(error.to_string()))
}
