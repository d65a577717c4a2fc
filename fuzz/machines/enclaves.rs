//! The same for Enclaves: leader and member of the repaired edition, of 2.0 and of 1.0, the published ones on the suite of
//! whose boxes anybody can make one that opens.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sodality::crypto::published::{Modern, PublishedSuite};
use sodality::enclaves::gossip::Form;
use sodality::enclaves::{self, version_1, version_2};
use sodality::endpoint::Cx;
use sodality::event::{Port, Ticket};
use sodality::identity::{MemberId, Name};
use sodality::policy::{EjectRequests, ObjectRule, Right};
use sodality::sim::enclaves::{EnclaveConfig, EnclaveStar};
use sodality::sim::enclaves_version_1::{VersionOneConfig, VersionOneStar};
use sodality::sim::enclaves_version_2::{VersionTwoConfig, VersionTwoStar};
use sodality::sim::{Node, Stop, World};

use super::{Scene, Subject, Witness, bad_link, quiet_world, yielding};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The others, by number.
fn some(argument: u8) -> Vec<MemberId> {
    (0..4).filter(|bit| argument >> bit & 1 == 1).map(MemberId).collect()
}

/// The others, by name.
fn named(argument: u8) -> Vec<Name> {
    ["lea", "m1", "m2", "m3"]
        .iter()
        .enumerate()
        .filter(|(bit, _)| argument >> bit & 1 == 1)
        .map(|(_, of)| name(of))
        .collect()
}

impl Subject for enclaves::Member {
    fn command(&mut self, cx: &mut Cx<'_>, which: u8, argument: u8) {
        match which % 6 {
            0 => drop(self.join(cx)),
            1 => drop(self.send(cx, Port::Application, &[argument; 64])),
            2 => {
                let form = [Form::Documented, Form::Asked, Form::Own][usize::from(argument >> 4) % 3];
                let _ = self.gossip(cx, form, &some(argument), Port::Application, &[argument; 64]);
            }
            3 => drop(self.put(cx, &name("plan"), None, Bytes::from(vec![argument; usize::from(argument) * 16]))),
            4 => drop(self.request_ejection(cx, MemberId(u64::from(argument)))),
            _ => drop(self.leave(cx)),
        }
    }
}

impl Subject for enclaves::Leader {
    fn command(&mut self, cx: &mut Cx<'_>, which: u8, argument: u8) {
        let (cid, ticket) = (MemberId(u64::from(argument)), Ticket(u64::from(argument >> 1)));
        match which % 8 {
            0 => drop(self.rekey(cx)),
            1 => drop(self.send(cx, Port::Application, &[argument; 64])),
            2 => drop(self.gossip(cx, &some(argument), Port::Application, &[argument; 64])),
            3 => drop(self.put(cx, &name("plan"), None, Bytes::from(vec![argument; usize::from(argument) * 16]))),
            4 => drop(self.admit(cx, ticket, argument & 1 == 1)),
            5 => drop(self.decide_ejection(cx, ticket, argument & 1 == 1)),
            6 => drop(self.eject(cx, cid)),
            _ => drop(self.close(cx)),
        }
    }
}

impl Subject for version_2::Member {
    fn command(&mut self, cx: &mut Cx<'_>, which: u8, argument: u8) {
        match which % 4 {
            0 => drop(self.join(cx)),
            1 => drop(self.send(cx, Port::Application, &[argument; 64])),
            2 => drop(self.gossip(cx, &named(argument), Port::Application, &[argument; 64])),
            _ => drop(self.leave(cx)),
        }
    }
}

impl Subject for version_2::Leader {
    fn command(&mut self, cx: &mut Cx<'_>, which: u8, argument: u8) {
        match which % 6 {
            0 => drop(self.rekey(cx)),
            1 => drop(self.send(cx, Port::Application, &[argument; 64])),
            2 => drop(self.gossip(cx, &named(argument), Port::Application, &[argument; 64])),
            3 => drop(self.admit(cx, Ticket(u64::from(argument >> 1)), argument & 1 == 1)),
            4 => drop(self.eject(cx, MemberId(u64::from(argument)))),
            _ => drop(self.close(cx)),
        }
    }
}

impl Subject for version_1::Member {
    fn command(&mut self, cx: &mut Cx<'_>, which: u8, argument: u8) {
        let peer = name(["m1", "m2", "m3", "lea"][usize::from(argument) % 4]);
        match which % 7 {
            0 => drop(self.join(cx)),
            1 => drop(self.send(cx, Port::Application, &[argument; 64])),
            2 => drop(self.send_to(cx, &peer, Port::Application, &[argument; 64])),
            3 => drop(self.link_to(cx, &peer)),
            4 => drop(self.send_direct(cx, &peer, Port::Application, &[argument; 64])),
            5 => drop(self.close_direct(cx, &peer)),
            _ => drop(self.leave(cx)),
        }
    }
}

impl Subject for version_1::Leader {
    fn command(&mut self, cx: &mut Cx<'_>, which: u8, argument: u8) {
        let member = name(["m1", "m2", "m3", "lea"][usize::from(argument) % 4]);
        match which % 6 {
            0 => drop(self.rekey(cx)),
            1 => drop(self.send(cx, Port::Application, &[argument; 64])),
            2 => drop(self.send_to(cx, &member, Port::Application, &[argument; 64])),
            3 => drop(self.admit(cx, Ticket(u64::from(argument >> 1)), argument & 1 == 1)),
            4 => drop(self.eject(cx, MemberId(u64::from(argument)))),
            _ => drop(self.close(cx)),
        }
    }
}

/// A session of each edition, as its leader and as a member of it.
pub struct Enclaves {
    repaired: (Scene<enclaves::Leader>, Scene<enclaves::Member>),
    version_2: (Scene<version_2::Leader>, Scene<version_2::Member>),
    version_1: (Scene<version_1::Leader>, Scene<version_1::Member>),
}

impl Enclaves {
    /// Plays the sessions.
    pub fn new() -> Result<Self, Stop> {
        Ok(Self {
            repaired: (repaired(|star| star.leader)?, repaired(|star| star.members[0])?),
            version_2: (second(|star| star.leader)?, second(|star| star.members[0])?),
            version_1: (first(|star| star.leader)?, first(|star| star.members[0])?),
        })
    }

    /// Does what `input` says: its first byte says with which machine. Returns how many frames were not refused.
    pub fn play(&self, input: &[u8]) -> u64 {
        let Some((machine, rest)) = input.split_first() else { return 0 };
        match machine % 6 {
            0 => self.repaired.0.play(rest),
            1 => self.repaired.1.play(rest),
            2 => self.version_2.0.play(rest),
            3 => self.version_2.1.play(rest),
            4 => self.version_1.0.play(rest),
            _ => self.version_1.1.play(rest),
        }
    }

    /// Some inputs to start from.
    pub fn seeds(&self) -> Vec<(String, Vec<u8>)> {
        let all = [
            ("repaired-leader", super::seeds(&self.repaired.0)),
            ("repaired-member", super::seeds(&self.repaired.1)),
            ("2.0-leader", super::seeds(&self.version_2.0)),
            ("2.0-member", super::seeds(&self.version_2.1)),
            ("1.0-leader", super::seeds(&self.version_1.0)),
            ("1.0-member", super::seeds(&self.version_1.1)),
        ];
        let mut inputs = Vec::new();
        for (machine, (who, seeds)) in all.into_iter().enumerate() {
            for (kind, bytes) in seeds {
                inputs.push((format!("{who}-{kind}"), [&[machine as u8], &bytes[..]].concat()));
            }
        }
        inputs
    }
}

/// For how long a scene is given to come to something.
const PAUSE: Duration = Duration::from_millis(500);

/// Joins, words, private ones in each form, two changes of an object, a rekey, a request to eject, a leave.
fn repaired<M: Subject>(node: impl FnOnce(&EnclaveStar) -> Node<M>) -> Result<Scene<M>, Stop> {
    let mut config = EnclaveConfig { link: bad_link(), ..EnclaveConfig::new(yielding()) };
    (config.policy.frame_limit, config.policy.eject_requests) = (1_200, EjectRequests::Asked);
    let rule = ObjectRule::default().everybody(Right::Change).size(8_192);
    config.policy.objects.insert(name("plan"), rule);
    let mut world = quiet_world();
    let star = EnclaveStar::add(&mut world, config, 3)?;
    let witness = Witness::watch(&mut world, node(&star));
    star.join_all(&mut world, Duration::from_secs(60))?;
    for from in [0, 1, usize::MAX] {
        let _ = star.say(&mut world, from, b"a word")?;
        world.run_for(PAUSE)?;
    }
    let others: Vec<_> = star.members[1..].iter().filter_map(|other| world.get(*other)?.cid()).collect();
    for form in [Form::Documented, Form::Asked, Form::Own] {
        let _ =
            world.with(star.members[0], |member, cx| member.gossip(cx, form, &others, Port::Application, b"aside"))?;
        world.run_for(PAUSE)?;
    }
    for from in [0, 1] {
        let _ = world
            .with(star.members[from], |member, cx| member.put(cx, &name("plan"), None, Bytes::from(vec![7; 2_000])))?;
        world.run_for(PAUSE)?;
    }
    let _ = world.with(star.leader, |leader, cx| leader.rekey(cx))?;
    world.run_for(PAUSE * 10)?;
    let target = others[1];
    let _ = world.with(star.members[0], |member, cx| member.request_ejection(cx, target))?;
    world.run_for(PAUSE * 4)?;
    let _ = world.with(star.members[0], |member, cx| member.leave(cx))?;
    world.run_for(PAUSE * 10)?;
    Ok(Witness::scene(world, witness))
}

/// Joins, words, gossip, a rekey, an expulsion, a leave.
fn second<M: Subject>(node: impl FnOnce(&VersionTwoStar) -> Node<M>) -> Result<Scene<M>, Stop> {
    let mut config = VersionTwoConfig { link: bad_link(), ..VersionTwoConfig::new(published()) };
    config.policy.frame_limit = 1_200;
    let mut world = quiet_world();
    let star = VersionTwoStar::add(&mut world, config, 3)?;
    let witness = Witness::watch(&mut world, node(&star));
    star.join_all(&mut world, Duration::from_secs(60))?;
    for from in [0, 1, usize::MAX] {
        let _ = star.say(&mut world, from, b"a word")?;
        world.run_for(PAUSE)?;
    }
    let others = [name("m2"), name("m3")];
    let _ = world.with(star.members[0], |member, cx| member.gossip(cx, &others, Port::Application, b"aside"))?;
    world.run_for(PAUSE)?;
    let _ = world.with(star.members[1], |member, cx| member.gossip(cx, &[name("m1")], Port::Application, b"back"))?;
    world.run_for(PAUSE)?;
    let _ = world.with(star.leader, |leader, cx| leader.rekey(cx))?;
    world.run_for(PAUSE * 10)?;
    let _ = world.with(star.leader, |leader, cx| leader.number_of(&name("m3")).map(|cid| leader.eject(cx, cid)))?;
    world.run_for(PAUSE * 4)?;
    let _ = world.with(star.members[0], |member, cx| member.leave(cx))?;
    world.run_for(PAUSE * 10)?;
    Ok(Witness::scene(world, witness))
}

/// Joins, words, a private one, a direct link and words over it, a rekey, an expulsion, a leave.
fn first<M: Subject>(node: impl FnOnce(&VersionOneStar) -> Node<M>) -> Result<Scene<M>, Stop> {
    let mut config = VersionOneConfig { link: bad_link(), ..VersionOneConfig::new(published()) };
    config.policy.frame_limit = 1_200;
    let mut world: World = quiet_world();
    let star = VersionOneStar::add(&mut world, config, 3)?;
    let witness = Witness::watch(&mut world, node(&star));
    star.join_all(&mut world, Duration::from_secs(60))?;
    for from in [0, 1, usize::MAX] {
        let _ = star.say(&mut world, from, b"a word")?;
        world.run_for(PAUSE)?;
    }
    let other = name("m2");
    let _ = world.with(star.members[0], |member, cx| member.send_to(cx, &other, Port::Application, b"aside"))?;
    let _ = world.with(star.members[0], |member, cx| member.link_to(cx, &other))?;
    world.run_for(PAUSE * 8)?;
    let _ = world.with(star.members[0], |member, cx| member.send_direct(cx, &other, Port::Application, b"direct"))?;
    let _ =
        world.with(star.members[1], |member, cx| member.send_direct(cx, &name("m1"), Port::Application, b"back"))?;
    world.run_for(PAUSE)?;
    let _ = world.with(star.leader, |leader, cx| leader.rekey(cx))?;
    world.run_for(PAUSE * 10)?;
    let _ = world.with(star.leader, |leader, cx| leader.number_of(&name("m3")).map(|cid| leader.eject(cx, cid)))?;
    world.run_for(PAUSE * 4)?;
    let _ = world.with(star.members[0], |member, cx| member.leave(cx))?;
    world.run_for(PAUSE * 10)?;
    Ok(Witness::scene(world, witness))
}

fn published() -> Arc<dyn PublishedSuite> {
    Arc::new(Modern::new(yielding()))
}
