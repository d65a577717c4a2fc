//! A whole Antigone group in a world: third party, leader, members, registry and addresses, ready to run.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::net::{LinkConfig, WireId};
use super::step::{Stop, Why};
use super::world::{Moment, Node, NodeId, World};
use crate::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
use crate::crypto::keys::role;
use crate::crypto::{Key, Secret, Suite};
use crate::endpoint::{Cx, Link};
use crate::error::CommandError;
use crate::event::{Event, Peer, Port};
use crate::group::Limits;
use crate::identity::{MemberId, Name};
use crate::policy::{Floor, Policy, Views};
use crate::ttp::{LeaderRecord, MemberRecord, Records, ThirdParty};

/// What a group is made of.
#[derive(Debug, Clone)]
pub struct StarConfig {
    /// The suite of all.
    pub suite: Arc<dyn Suite>,
    /// The policy of the leader.
    pub policy: Policy,
    /// Who may join.
    pub access: Access,
    /// What members insist on.
    pub floor: Floor,
    /// Bounds and times of all.
    pub limits: Limits,
    /// What links are like.
    pub link: LinkConfig,
    /// What the multicast channel is like on which the leader and all members listen, if there is one.
    pub multicast: Option<LinkConfig>,
}

impl StarConfig {
    /// A group under `suite` with the default policy, over good streams.
    pub fn new(suite: Arc<dyn Suite>) -> Self {
        Self {
            suite,
            policy: Policy::default(),
            access: Access::Registered,
            floor: Floor::none(),
            limits: Limits::default(),
            link: LinkConfig::STREAM,
            multicast: None,
        }
    }
}

/// A third party, a leader and members. The leader's group is open; nobody has joined yet.
#[derive(Debug)]
pub struct Star {
    /// What it was made of.
    pub config: StarConfig,
    /// The third party. Its application answers look-ups from a registry that knows everybody by [`long_term_key`].
    pub third_party: Node<ThirdParty>,
    /// The leader, named `lea`.
    pub leader: Node<Leader>,
    /// The members.
    pub members: Vec<Node<Member>>,
    /// The multicast channel, if there is one.
    pub multicast: Option<WireId>,
}

/// The name of the leader.
pub const LEADER: &str = "lea";
/// The name of the application.
pub const APP: &str = "sim";

/// The key that `name` shares with the third party in simulations.
pub fn long_term_key(suite: &dyn Suite, name: &str) -> Key<role::LongTerm> {
    let length = suite.sizes().long_term;
    let mut bytes: Vec<u8> = name.bytes().chain(core::iter::repeat(0x5a)).take(length).collect();
    Key::new(Secret::take(&mut bytes))
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|_| unreachable_name())
}

/// Scenarios choose their names: one that is not a name becomes this one.
fn unreachable_name() -> Name {
    Name::new("not-a-name").unwrap_or_else(|_| unreachable_name())
}

/// The machine of a member of a simulated group.
///
/// # Errors
/// As [`Member::new`].
pub fn member_machine(config: &StarConfig, member: &str) -> Result<Member, CommandError> {
    Member::new(MemberConfig {
        suite: config.suite.clone(),
        app: name(APP),
        leader: name(LEADER),
        name: name(member),
        key: long_term_key(&*config.suite, member),
        floor: config.floor.clone(),
        limits: config.limits,
    })
}

/// The machine of the leader of a simulated group.
///
/// # Errors
/// As [`Leader::open`].
pub fn leader_machine(config: &StarConfig, cx: &mut Cx<'_>) -> Result<Leader, CommandError> {
    let config = LeaderConfig {
        suite: config.suite.clone(),
        app: name(APP),
        name: name(LEADER),
        key: long_term_key(&*config.suite, LEADER),
        policy: config.policy.clone(),
        access: config.access.clone(),
        limits: config.limits,
    };
    Leader::open(config, cx)
}

/// What the registry of a simulated third party says.
pub fn records(suite: &dyn Suite, leader: &Name, member: &Name) -> Records {
    let leads = leader.as_str() == LEADER;
    Records {
        leader: leads.then(|| LeaderRecord { key: long_term_key(suite, leader.as_str()) }),
        member: (!member.as_str().starts_with("stranger")).then(|| MemberRecord {
            key: long_term_key(suite, member.as_str()),
            disabled: member.as_str().starts_with("disabled"),
        }),
    }
}

impl Star {
    /// Adds a group to `world`: members `m1`, `m2`, … The third party knows everybody but those whose name begins with
    /// `stranger`; those whose name begins with `disabled` are disabled.
    ///
    /// # Errors
    /// [`Stop`]; the machines' own failures are a [`Why::Scenario`].
    pub fn add(world: &mut World, config: StarConfig, members: usize) -> Result<Self, Stop> {
        let names: Vec<String> = (1..=members).map(|n| alloc::format!("m{n}")).collect();
        Self::with_names(world, config, &names)
    }

    /// As [`Self::add`], with these members.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn with_names(world: &mut World, config: StarConfig, members: &[String]) -> Result<Self, Stop> {
        let suite = config.suite.clone();
        let third_party = world.add("ttp", ThirdParty::new(suite.clone(), config.limits))?;
        world.set_app(third_party, move |machine: &mut ThirdParty, cx, moment| {
            if let Moment::Event(Event::LookupWanted { ticket, leader, member }) = moment {
                // Full or failing: the leader asks again.
                let _ = machine.answer(cx, *ticket, &records(&*suite, leader, member));
            }
        })?;
        let mut rng = world.root.fork(0x1ead);
        let machine = leader_machine(&config, &mut Cx::new(world.now(), &mut rng));
        let leader = world.add(LEADER, machine.map_err(|error| world.stop(None, Why::Scenario(error.to_string())))?)?;
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
        let machine =
            member_machine(&self.config, member).map_err(|error| world.stop(None, Why::Scenario(error.to_string())))?;
        let node = world.add(member, machine)?;
        self.members.push(node);
        self.attach(world, node)?;
        Ok(node)
    }

    /// Lets a node listen on the multicast channel, if there is one. (One that restarts listens again by itself.)
    ///
    /// # Errors
    /// As [`World::attach`].
    pub fn attach(&self, world: &mut World, node: impl Into<NodeId>) -> Result<Option<Link>, Stop> {
        self.multicast.map(|wire| world.attach(wire, node)).transpose()
    }

    /// The link of a node on the multicast channel.
    pub fn ear(&self, world: &World, node: impl Into<NodeId>) -> Option<Link> {
        let links = world.links_of(node);
        links.into_iter().find(|link| world.wire_of(*link) == self.multicast && self.multicast.is_some())
    }

    /// Lets everybody ask to join, and again whenever a join or a session comes to nothing.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn join_always(&self, world: &mut World) -> Result<(), Stop> {
        self.members.iter().try_for_each(|member| {
            world.set_app(*member, |machine: &mut Member, cx, moment| {
                let again = matches!(
                    moment,
                    Moment::Started | Moment::Event(Event::JoinFailed(_) | Event::JoinRefused(_) | Event::Ended(_))
                );
                if again {
                    let _ = machine.join(cx);
                }
            })
        })
    }

    /// Lets everybody join once and runs until they all have.
    ///
    /// # Errors
    /// [`Stop`], also if they have not within `time`.
    pub fn join_all(&self, world: &mut World, time: Duration) -> Result<(), Stop> {
        for member in &self.members {
            let joined = world.with(*member, |member, cx| member.join(cx))?;
            joined.map_err(|error| world.stop(None, Why::Scenario(error.to_string())))?;
        }
        world.eventually(time, "everybody has joined and agrees", |world| self.converged(world))?;
        Ok(())
    }

    /// Whether all members that are up and not on their way out are joined, current, and agree with the leader on
    /// epoch and view (where the policy shows views).
    pub fn converged(&self, world: &World) -> bool {
        let Some(leader) = world.get(self.leader) else { return false };
        let hidden = leader.policy().views == Views::Hidden;
        let mut present = 1;
        let agree = self.members.iter().filter_map(|member| world.get(*member)).all(|member| {
            if member.is_idle() {
                return true;
            }
            present += 1;
            member.is_current()
                && member.epoch() == leader.epoch()
                && (hidden
                    || member.view().is_some_and(|view| {
                        view.version() == leader.view().version() && view.digest() == leader.view().digest()
                    }))
        });
        agree && leader.view().members().len() == present
    }

    /// Sends `text` from a member to the group, or from the leader, for checkers that want to know who said what.
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

    /// Says `text` to some members alone, from a member or from the leader, for checkers that want to know for whom it was.
    ///
    /// # Errors
    /// [`Stop`] of the world; the command's own answer inside.
    pub fn tell(
        &self,
        world: &mut World,
        from: usize,
        to: &[MemberId],
        text: &[u8],
    ) -> Result<Result<u64, CommandError>, Stop> {
        let port = Port::Application;
        let named: Vec<String> = to.iter().map(ToString::to_string).collect();
        let words = alloc::format!("tell {}: {}", named.join(","), String::from_utf8_lossy(text));
        match self.members.get(from) {
            Some(member) => world.command(*member, &words, |member, cx| member.say_privately(cx, to, port, text)),
            None => world.command(self.leader, &words, |leader, cx| leader.say_privately(cx, to, port, text)),
        }
    }

    /// How often a node's application was given `text`.
    pub fn heard(world: &World, node: impl Into<super::world::NodeId>, text: &[u8]) -> usize {
        let is = |event: &&Event| matches!(event, Event::Data(message) if message.payload == text);
        world.events(node).iter().filter(is).count()
    }
}
