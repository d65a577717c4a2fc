//! A whole group of repaired Enclaves in a world: a leader who knows its users, and members. What
//! [`Star`](super::star::Star) is for Antigone.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::net::LinkConfig;
use super::star::{APP, LEADER, name};
use super::step::{Stop, Why};
use super::world::{Moment, Node, World};
use crate::crypto::keys::role;
use crate::crypto::{Key, Secret, Suite};
use crate::enclaves::auth::{Account, Credential, SharedKey};
use crate::enclaves::{Leader, LeaderConfig, Member, MemberConfig};
use crate::endpoint::Cx;
use crate::error::CommandError;
use crate::event::{Event, Peer, Port};
use crate::group::Limits;
use crate::group::access::Access;
use crate::policy::{Floor, Policy, Views};

/// How the users of a simulated group show who they are.
pub type Ways = Arc<dyn Fn(&str) -> (Credential, Account) + Send + Sync>;

/// What a group is made of.
#[derive(Clone)]
pub struct EnclaveConfig {
    /// The suite of all.
    pub suite: Arc<dyn Suite>,
    /// The policy of the leader.
    pub policy: Policy,
    /// Which users may join.
    pub access: Access,
    /// How each user shows who it is, and what the leader has of it.
    pub ways: Ways,
    /// What members insist on.
    pub floor: Floor,
    /// Bounds and times of all.
    pub limits: Limits,
    /// What links are like.
    pub link: LinkConfig,
}

impl core::fmt::Debug for EnclaveConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EnclaveConfig").field("policy", &self.policy).field("link", &self.link).finish_non_exhaustive()
    }
}

impl EnclaveConfig {
    /// A group under `suite` with the default policy, users with keys that they share with the leader, over good streams.
    pub fn new(suite: Arc<dyn Suite>) -> Self {
        let of = suite.clone();
        Self {
            suite,
            policy: Policy::default(),
            access: Access::Registered,
            ways: Arc::new(move |user| {
                let key = SharedKey::new(user_key(&*of, user));
                (Credential::SharedKey(key.clone()), Account::SharedKey(key))
            }),
            floor: Floor::none(),
            limits: Limits::default(),
            link: LinkConfig::STREAM,
        }
    }
}

/// A leader and members. The group is open; nobody has joined yet.
#[derive(Debug)]
pub struct EnclaveStar {
    /// What it was made of.
    pub config: EnclaveConfig,
    /// The leader, named `lea`.
    pub leader: Node<Leader>,
    /// The members.
    pub members: Vec<Node<Member>>,
}

/// P_a of `user` in simulations.
pub fn user_key(suite: &dyn Suite, user: &str) -> Key<role::User> {
    let length = suite.sizes().long_term;
    let mut bytes: Vec<u8> = user.bytes().chain(core::iter::repeat(0x3c)).take(length).collect();
    Key::new(Secret::take(&mut bytes))
}

/// The machine of a member of a simulated group.
///
/// # Errors
/// As [`Member::new`].
pub fn member_machine(config: &EnclaveConfig, user: &str) -> Result<Member, CommandError> {
    Member::new(MemberConfig {
        suite: config.suite.clone(),
        app: name(APP),
        leader: name(LEADER),
        name: name(user),
        credential: (config.ways)(user).0,
        floor: config.floor.clone(),
        limits: config.limits,
    })
}

/// The machine of the leader of a simulated group, who knows these users.
///
/// # Errors
/// As [`Leader::open`].
pub fn leader_machine(config: &EnclaveConfig, users: &[String], cx: &mut Cx<'_>) -> Result<Leader, CommandError> {
    let accounts = users.iter().map(|user| (name(user), (config.ways)(user).1)).collect();
    let config = LeaderConfig {
        suite: config.suite.clone(),
        app: name(APP),
        name: name(LEADER),
        accounts,
        policy: config.policy.clone(),
        access: config.access.clone(),
        limits: config.limits,
    };
    Leader::open(config, cx)
}

impl EnclaveStar {
    /// Adds a group to `world`: members `m1`, `m2`, …
    ///
    /// # Errors
    /// [`Stop`]; the machines' own failures are a [`Why::Scenario`].
    pub fn add(world: &mut World, config: EnclaveConfig, members: usize) -> Result<Self, Stop> {
        let users: Vec<String> = (1..=members).map(|n| alloc::format!("m{n}")).collect();
        Self::with_users(world, config, &users)
    }

    /// As [`Self::add`], with these members.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn with_users(world: &mut World, config: EnclaveConfig, users: &[String]) -> Result<Self, Stop> {
        let mut rng = world.root.fork(0x1ead);
        let machine = leader_machine(&config, users, &mut Cx::new(world.now(), &mut rng));
        let leader = world.add(LEADER, machine.map_err(|error| world.stop(None, Why::Scenario(error.to_string())))?)?;
        world.set_address(Peer::Leader(name(LEADER)), leader, config.link);
        let mut star = Self { config, leader, members: Vec::new() };
        for user in users {
            star.add_member(world, user)?;
        }
        Ok(star)
    }

    /// Adds the machine of another user, whom the leader knows or not.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_member(&mut self, world: &mut World, user: &str) -> Result<Node<Member>, Stop> {
        let machine = member_machine(&self.config, user);
        let machine = machine.map_err(|error| world.stop(None, Why::Scenario(error.to_string())))?;
        let node = world.add(user, machine)?;
        self.members.push(node);
        Ok(node)
    }

    /// Lets everybody ask to join, and again whenever a join or a session comes to nothing.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn join_always(&self, world: &mut World) -> Result<(), Stop> {
        use Event::{Ended, JoinFailed, JoinRefused};
        self.members.iter().try_for_each(|member| {
            world.set_app(*member, |machine: &mut Member, cx, moment| {
                if matches!(moment, Moment::Started | Moment::Event(JoinFailed(_) | JoinRefused(_) | Ended(_))) {
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

    /// Whether all members that are up and not on their way out are joined, current, and agree with the leader on epoch and
    /// view (where the policy shows views).
    pub fn converged(&self, world: &World) -> bool {
        let Some(leader) = world.get(self.leader) else { return false };
        let hidden = leader.policy().views == Views::Hidden;
        let present: Vec<&Member> = self.members.iter().filter_map(|member| world.get(*member)).collect();
        let present = present.into_iter().filter(|member| !member.is_idle());
        let (version, digest) = (leader.view().version(), leader.view().digest());
        let agrees = |member: &Member| {
            let sees = member.view().is_some_and(|view| (view.version(), view.digest()) == (version, digest));
            member.is_current() && member.epoch() == leader.epoch() && (hidden || sees)
        };
        let (count, agree) = present.fold((1, true), |(count, agree), member| (count + 1, agree && agrees(member)));
        agree && leader.view().members().len() == count
    }

    /// Sends `text` from a member to the group, or from the leader.
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
}
