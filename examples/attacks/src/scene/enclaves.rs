//! A group of the repaired edition of Enclaves.

use std::sync::Arc;

use sodality::crypto::keys::role;
use sodality::crypto::{Key, password};
use sodality::enclaves::auth::public_key::{Identity, Trust};
use sodality::enclaves::auth::{Account, Credential, PublicKey, SharedKey};
use sodality::enclaves::gossip::Form;
use sodality::enclaves::{Leader, Member, MemberConfig};
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::event::Port;
use sodality::group::{Limits, View};
use sodality::identity::{Epoch, MemberId, Name};
use sodality::policy::Floor;
use sodality::sim::enclaves::{Ways, leader_machine, user_key};
use sodality::sim::star::{APP, LEADER};
use sodality::sim::wild::Spy;
use sodality::sim::{EnclaveConfig, EnclaveStar, LinkConfig, Node, NodeId, SimRng, World, shared};
use sodality::wire::field::VerifyingKey;

use super::people::People;
use super::repaired::suite;
use super::wire::Tap;
use super::{NAMES, Plan, Scene, name};
use crate::row::{Failed, Ran, Setup};

pub(super) fn open(setup: &Setup, plan: &Plan) -> Ran<Scene> {
    let mut world = World::new(setup.seed);
    let (spy, loot) = Spy::new();
    world.add_checker(spy);
    let tap = shared(Tap::default());
    world.set_adversary(tap.clone());
    let config = EnclaveConfig {
        policy: plan.policy.clone(),
        ways: ways(setup, plan),
        limits: Limits { checks: setup.checks(), ..Limits::default() },
        link: LinkConfig::DATAGRAM.max_frame(65_536),
        ..EnclaveConfig::new(suite())
    };
    let users = plan.names();
    let star = EnclaveStar::with_users(&mut world, config, &users)?;
    let members = star.members.iter().map(|member| NodeId::from(*member)).collect();
    let rng = SimRng::new(setup.seed).fork(0xa77ac);
    Ok(Scene { world, tap, people: Box::new(Repaired { star, users, members }), loot, rng })
}

/// P_a of ann's password, at no cost to speak of.
pub(crate) fn key_of_password(words: &str) -> Ran<Key<role::User>> {
    let (suite, leader, ann) = (suite(), name(LEADER)?, name(NAMES[super::ANN])?);
    let made = password::user_key(&*suite, password::Cost::CHEAP, words.as_bytes(), leader.by_ref(), ann.by_ref());
    made.map_err(Failed::steps)
}

/// A pair of signature keys of `who`, the same each time.
fn pair(who: &str) -> Option<(Key<role::Signing>, VerifyingKey)> {
    let seed = who.bytes().fold(0x51, |seed: u64, byte| seed << 7 ^ u64::from(byte));
    let (secret, public) = suite().signing_pair(&mut SimRng::new(seed)).ok()?;
    Some((Key::new(secret), public))
}

/// Public keys of both sides, where the run does not share keys; a key that follows from ann's password, or was drawn, where it
/// does.
fn ways(setup: &Setup, plan: &Plan) -> Ways {
    let (shares, words) = (setup.shares_keys(), plan.password);
    Arc::new(move |user| {
        if !shares && let (Some(own), Some(leader)) = (pair(user), pair(LEADER)) {
            let credential = PublicKey::new(Identity::known(own.0), Trust::Key(leader.1));
            let account = PublicKey::new(Identity::known(leader.0), Trust::Key(own.1));
            return (Credential::PublicKey(credential), Account::PublicKey(account));
        }
        let from_words = words.filter(|_| user == NAMES[super::ANN]).and_then(|words| key_of_password(words).ok());
        let key = SharedKey::new(from_words.unwrap_or_else(|| user_key(&*suite(), user)));
        (Credential::SharedKey(key.clone()), Account::SharedKey(key))
    })
}

/// All that the store of a leader gives somebody who would be `who`: its key, where the two share one; where they do not, the
/// leader's own signature key, which signs for the leader.
pub(crate) fn stolen(setup: &Setup, who: &str) -> Ran<Credential> {
    let config = (ways(setup, &Plan::of(0)))(who);
    match config.1 {
        Account::SharedKey(key) => Ok(Credential::SharedKey(key)),
        _ => {
            let leader = pair(LEADER).ok_or_else(|| Failed::steps("no pair of keys"))?;
            Ok(Credential::PublicKey(PublicKey::new(Identity::known(leader.0), Trust::Key(leader.1))))
        }
    }
}

/// A credential that fits nothing: for control runs.
pub(crate) fn no_credential(setup: &Setup) -> Ran<Credential> {
    if setup.shares_keys() {
        return Ok(Credential::SharedKey(SharedKey::new(user_key(&*suite(), "nobody"))));
    }
    let (nobody, leader) = pair("nobody").zip(pair(LEADER)).ok_or_else(|| Failed::steps("no pair of keys"))?;
    Ok(Credential::PublicKey(PublicKey::new(Identity::known(nobody.0), Trust::Key(leader.1))))
}

/// A machine that shows by this that it is `who`.
pub(crate) fn member(who: &str, credential: Credential) -> Ran<Member> {
    Ok(Member::new(MemberConfig {
        suite: suite(),
        app: name(APP)?,
        leader: name(LEADER)?,
        name: name(who)?,
        credential,
        floor: Floor::none(),
        limits: Limits::default(),
    })?)
}

struct Repaired {
    star: EnclaveStar,
    users: Vec<String>,
    members: Vec<NodeId>,
}

impl Repaired {
    fn member(&self, member: usize) -> Ran<Node<Member>> {
        self.star.members.get(member).copied().ok_or_else(|| Failed::steps("there is no such member"))
    }
}

impl People for Repaired {
    fn leader(&self) -> NodeId {
        self.star.leader.into()
    }

    fn members(&self) -> &[NodeId] {
        &self.members
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

    /// In the form in which the sender seals, and the leader hands out the key.
    fn gossip(&self, world: &mut World, member: usize, to: &[Name], text: &[u8]) -> Ran<()> {
        let member = self.member(member)?;
        let view = world.get(member).and_then(Member::view).ok_or_else(|| Failed::steps("it is no member"))?;
        let to: Option<Vec<MemberId>> = to.iter().map(|name| view.find_name(name)).collect();
        let to = to.ok_or_else(|| Failed::steps("nobody of that name is in the group"))?;
        let said = |member: &mut Member, cx: &mut Cx<'_>| member.gossip(cx, Form::Own, &to, Port::Application, text);
        world.command(member, "gossip", said)??;
        Ok(())
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

    fn reopen(&self, world: &mut World) -> Ran<()> {
        let mut rng = SimRng::new(world.seed()).fork(0x1ead2);
        let leader = leader_machine(&self.star.config, &self.users, &mut Cx::new(world.now(), &mut rng))?;
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
