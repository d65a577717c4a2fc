//! Scenes: a group in the simulated world, the people in it, and an attacker on the network.
//!
//! | module | whose doings |
//! |---|---|
//! | [`people`] | what honest people ask of their own machines: join, leave, say, change the key, crash |
//! | [`wire`] | what the attacker does: record, withhold, alter, replay, inject |
//! | [`judge`] | what the victims told their applications |
//!
//! Rows are written over these three, so that most steps are the same for both editions, and for both systems.

pub(crate) mod enclaves;
pub mod judge;
pub mod people;
pub(crate) mod published;
pub(crate) mod repaired;
pub(crate) mod version_two;
pub mod wire;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use sodality::crypto::Key;
use sodality::crypto::keys::role;
use sodality::enclaves::version_2::GroupKey;
use sodality::endpoint::{Instant, Link};
use sodality::event::{Cause, Causes};
use sodality::group::View;
use sodality::identity::{Epoch, Name};
use sodality::policy::{Policy, Views};
use sodality::sim::wild::{Loot, Stolen};
use sodality::sim::{NodeId, SimRng, WireId, World};

use crate::row::{Edition, Failed, Ran, Setup, System};
use people::People;
use wire::Tap;

/// A second.
pub const SECOND: Duration = Duration::from_secs(1);
/// Long enough for a few frames to go to and fro.
pub const SOON: Duration = Duration::from_millis(100);
/// The period of heartbeats and polls in scenes.
pub const PERIOD: Duration = Duration::from_secs(5);
/// misses · period + RTO (S8).
pub const T_MAX: Duration = Duration::from_millis(15_500);

/// The first member: most often the victim.
pub const ANN: usize = 0;
/// The second.
pub const BOB: usize = 1;
/// The third.
pub const CYD: usize = 2;
/// The members' names, by number. One block of a DES cipher holds each (D2).
pub const NAMES: [&str; 6] = ["ann", "bob", "cyd", "dan", "eve", "fay"];

/// What a scene is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many members there are.
    pub members: usize,
    /// The leader's policy. In the published edition the scene adds which parts are as published: all.
    pub policy: Policy,
    /// Whether there is a shared link, on which all listen.
    pub shared: bool,
    /// Published edition: everybody is registered as a leader too, of some group of its own (D38).
    pub everybody_leads: bool,
    /// Published edition: the third party answers by AN-T2s.
    pub strong_reply: bool,
    /// Published edition: each heartbeat of the leader has a number of its own (D12).
    pub per_heartbeat: bool,
    /// Published edition: numbers of any length are taken, whatever the run says (D14).
    pub any_numbers: bool,
    /// Enclaves 2.0: the key changes when somebody comes or goes, which the report calls prudent.
    pub prudent: bool,
    /// Enclaves: the password that ann's key follows from; elsewhere keys are drawn.
    pub password: Option<&'static str>,
    /// What the members are called, if not by [`NAMES`].
    pub called: Vec<String>,
}

impl Plan {
    /// So many members under the default policy.
    pub fn of(members: usize) -> Self {
        Self {
            members,
            policy: Policy::default(),
            shared: false,
            everybody_leads: false,
            strong_reply: false,
            per_heartbeat: true,
            any_numbers: false,
            prudent: false,
            password: None,
            called: Vec::new(),
        }
    }

    /// The names of the members: the last of many have numbers.
    pub(crate) fn names(&self) -> Vec<String> {
        let usual = NAMES.iter().map(|name| (*name).to_owned()).skip(self.called.len());
        let more = (NAMES.len() + 1..).map(|n| format!("m{n}"));
        self.called.iter().cloned().chain(usual).chain(more).take(self.members).collect()
    }

    /// With another key whenever somebody comes or goes.
    #[must_use]
    pub fn prudent(self) -> Self {
        Self { prudent: true, ..self }
    }

    /// With a key of ann's that follows from this password.
    #[must_use]
    pub fn password(self, password: &'static str) -> Self {
        Self { password: Some(password), ..self }
    }

    /// With members that are called so.
    #[must_use]
    pub fn called(self, names: &[&str]) -> Self {
        Self { called: names.iter().map(|name| (*name).to_owned()).collect(), ..self }
    }

    /// With a shared link.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// With this change of the policy.
    #[must_use]
    pub fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    /// The key changes when the leader's application says so, and for nothing else: what the report calls optional.
    #[must_use]
    pub fn keeps_its_key(self) -> Self {
        self.policy(|policy| {
            policy.rekey_on = Causes::of(Cause::Open).with(Cause::Command);
            policy.views = Views::WithEachKey;
            policy.origin = false;
        })
    }

    /// With one number for all heartbeats under a key (D12).
    #[must_use]
    pub fn number_with_each_key(self) -> Self {
        Self { per_heartbeat: false, ..self }
    }

    /// With everybody registered as a leader too.
    #[must_use]
    pub fn everybody_leads(self) -> Self {
        Self { everybody_leads: true, ..self }
    }

    /// With machines that take numbers of any length.
    #[must_use]
    pub fn any_numbers(self) -> Self {
        Self { any_numbers: true, ..self }
    }

    /// With the third party's stronger reply.
    #[must_use]
    pub fn strong_reply(self) -> Self {
        Self { strong_reply: true, ..self }
    }
}

/// A group, and an attacker who owns the network.
pub struct Scene {
    pub(crate) world: World,
    pub(crate) tap: Rc<RefCell<Tap>>,
    pub(crate) people: Box<dyn People>,
    pub(crate) loot: Loot,
    /// The attacker's own randomness.
    pub(crate) rng: SimRng,
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("world", &self.world).finish_non_exhaustive()
    }
}

impl Scene {
    /// A group in which nobody has asked yet.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn open(setup: &Setup, plan: &Plan) -> Ran<Self> {
        match (setup.cell.system, setup.cell.edition) {
            (System::Antigone, Edition::AsPublished) => published::open(setup, plan),
            (System::Antigone, Edition::Repaired) => repaired::open(setup, plan),
            (System::Enclaves, Edition::AsPublished) => version_two::open(setup, plan),
            (System::Enclaves, Edition::Repaired) => enclaves::open(setup, plan),
        }
    }

    /// A group in which all have joined and their last rekey has settled.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn joined(setup: &Setup, plan: &Plan) -> Ran<Self> {
        let mut scene = Self::open(setup, plan)?;
        for member in 0..plan.members {
            scene.join(member)?;
        }
        scene.run(SECOND * 12)?;
        if !(0..plan.members).all(|member| scene.is_in(member)) {
            return Err(Failed::steps(format_args!("not all have joined:\n{}", scene.world.trace().tail(40))));
        }
        scene.run(SECOND * 6)?;
        Ok(scene)
    }

    /// Lets so much time pass.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn run(&mut self, span: Duration) -> Ran<()> {
        Ok(self.world.run_for(span)?)
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// The third party; nobody in Enclaves.
    pub fn third_party(&self) -> NodeId {
        self.people.third_party()
    }

    /// The leader.
    pub fn leader(&self) -> NodeId {
        self.people.leader()
    }

    /// A member.
    pub fn node(&self, member: usize) -> NodeId {
        self.people.members().get(member).copied().unwrap_or(NodeId(u32::MAX))
    }

    /// The shared link that all listen on, if there is one.
    pub fn channel(&self) -> Option<WireId> {
        self.people.channel()
    }

    /// The end of the shared link at a node.
    ///
    /// # Errors
    /// [`Failed`] if there is none.
    pub fn ear(&self, node: NodeId) -> Ran<Link> {
        let wire = self.channel();
        let mut links = self.world.links_of(node).into_iter();
        links
            .find(|link| wire.is_some() && self.world.wire_of(*link) == wire)
            .ok_or_else(|| Failed::steps("there is no shared link"))
    }

    /// Keys of sessions of the repaired edition that have ended on both sides: the assumptions hand them to the attacker
    /// (RA §1).
    pub fn stolen(&self) -> Vec<Stolen> {
        self.loot.borrow().clone()
    }

    /// What a corrupt member of the repaired edition knows of the epoch that it has installed: the secret that all data keys
    /// derive from. It reads its own machine.
    ///
    /// # Errors
    /// [`Failed`] if it has none.
    pub fn own_secret(&self, member: usize) -> Ran<(Epoch, Key<role::DataBase>)> {
        self.people.own_secret(&self.world, member).ok_or_else(|| Failed::steps("that member holds no key"))
    }

    /// K_g of Enclaves 2.0, as a member's machine holds it: a corrupt member, or one that has left, takes it along.
    ///
    /// # Errors
    /// [`Failed`] if it has none.
    pub fn group_key(&self, member: usize) -> Ran<GroupKey> {
        self.people.group_key(&self.world, member).ok_or_else(|| Failed::steps("that member holds no key"))
    }

    /// What a corrupt member is shown of the group.
    ///
    /// # Errors
    /// [`Failed`] if it is in none.
    pub fn own_view(&self, member: usize) -> Ran<View> {
        self.people.own_view(&self.world, member).ok_or_else(|| Failed::steps("that member has no view"))
    }
}

/// A name of a scene.
///
/// # Errors
/// [`Failed`] if it is none.
pub fn name(text: &str) -> Ran<Name> {
    Ok(Name::new(text)?)
}
