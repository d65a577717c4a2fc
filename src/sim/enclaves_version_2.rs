//! A whole group of Enclaves 2.0 as published in a world (feature `historic`): a leader who knows everybody's password, and
//! members. What [`Star`](super::star::Star) is for the repaired Antigone.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::enclaves_published::{published_star, scenario};
use super::net::LinkConfig;
use super::star::{LEADER, name};
use super::step::Stop;
use super::world::{Moment, Node, World};
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::{Key, Secret};
use crate::enclaves::version_2::{Access, Historic, Leader, LeaderConfig, Member, MemberConfig, default_policy};
use crate::endpoint::Cx;
use crate::error::CommandError;
use crate::event::{Event, Peer, Port};
use crate::group::Limits;
use crate::policy::Policy;

/// What a group is made of.
#[derive(Debug, Clone)]
pub struct VersionTwoConfig {
    /// The suite of all.
    pub suite: Arc<dyn PublishedSuite>,
    /// The policy of the leader. Members take the length of frames from it, and their own grace.
    pub policy: Policy,
    /// Who may join.
    pub access: Access,
    /// For how long an old key opens at members.
    pub grace: Duration,
    /// Bounds and times of all.
    pub limits: Limits,
    /// What links are like.
    pub link: LinkConfig,
    /// Users beside the first members, whom the leader knows too.
    pub users: Vec<String>,
}

impl VersionTwoConfig {
    /// A group with the default policy of 2.0, over good streams.
    pub fn new(suite: Arc<dyn PublishedSuite>) -> Self {
        let policy = default_policy();
        Self {
            suite,
            grace: policy.grace,
            policy,
            access: Access::Registered,
            limits: Limits::default(),
            link: LinkConfig::STREAM,
            users: Vec::new(),
        }
    }
}

/// A leader and members. The group is open; nobody has joined yet.
#[derive(Debug)]
pub struct VersionTwoStar {
    /// What it was made of.
    pub config: VersionTwoConfig,
    /// The leader, named `lea`.
    pub leader: Node<Leader>,
    /// The members.
    pub members: Vec<Node<Member>>,
}

const SAID: Historic = Historic::i_know_that_this_protects_nothing();

/// P_a of `name` in simulations.
pub fn user_key(suite: &dyn PublishedSuite, name: &str) -> Key<role::PublishedUser> {
    let length = suite.sizes().key;
    let mut bytes: Vec<u8> = name.bytes().chain(core::iter::repeat(0xa5)).take(length).collect();
    Key::new(Secret::take(&mut bytes))
}

/// The machine of a member.
///
/// # Errors
/// As [`Member::new`].
pub fn member_machine(config: &VersionTwoConfig, member: &str) -> Result<Member, CommandError> {
    Member::new(MemberConfig {
        historic: SAID,
        suite: config.suite.clone(),
        leader: name(LEADER),
        name: name(member),
        key: user_key(&*config.suite, member),
        grace: config.grace,
        frame_limit: config.policy.frame_limit,
        limits: config.limits,
    })
}

/// The machine of the leader, who knows these users.
///
/// # Errors
/// As [`Leader::open`].
pub fn leader_machine(config: &VersionTwoConfig, members: &[String], cx: &mut Cx<'_>) -> Result<Leader, CommandError> {
    let users = members.iter().chain(&config.users);
    let accounts = users.map(|user| (name(user), user_key(&*config.suite, user))).collect();
    let config = LeaderConfig {
        historic: SAID,
        suite: config.suite.clone(),
        name: name(LEADER),
        accounts,
        access: config.access.clone(),
        policy: config.policy.clone(),
        limits: config.limits,
    };
    Leader::open(config, cx)
}

impl VersionTwoStar {
    /// Adds a group to `world`: members `m1`, `m2`, …, and `users` whom the leader knows and who are not there yet.
    ///
    /// # Errors
    /// [`Stop`]; the machines' own failures are a [`Scenario`](crate::sim::Why::Scenario).
    pub fn add(world: &mut World, config: VersionTwoConfig, members: usize) -> Result<Self, Stop> {
        let names: Vec<String> = (1..=members).map(|n| alloc::format!("m{n}")).collect();
        Self::with_names(world, config, &names)
    }

    /// As [`Self::add`], with these members.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn with_names(world: &mut World, config: VersionTwoConfig, members: &[String]) -> Result<Self, Stop> {
        let mut rng = world.root.fork(0x1ead);
        let machine = leader_machine(&config, members, &mut Cx::new(world.now(), &mut rng));
        let leader = world.add(LEADER, machine.map_err(|error| scenario(world, &error))?)?;
        world.set_address(Peer::Leader(name(LEADER)), leader, config.link);
        let mut star = Self { config, leader, members: Vec::new() };
        for member in members {
            star.add_member(world, member)?;
        }
        Ok(star)
    }

    /// Adds another member: one of the names that the star was made with, or of [`VersionTwoConfig::users`].
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_member(&mut self, world: &mut World, member: &str) -> Result<Node<Member>, Stop> {
        let machine = member_machine(&self.config, member).map_err(|error| scenario(world, &error))?;
        let node = world.add(member, machine)?;
        self.members.push(node);
        Ok(node)
    }
}

published_star!(VersionTwoStar, Member);
