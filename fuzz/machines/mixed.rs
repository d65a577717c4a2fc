//! The same for groups with parts as published: leader and member of some mixes, the published parts on the suite of whose
//! boxes anybody can make one that opens.

use std::sync::Arc;
use std::time::Duration;

use sodality::antigone::mixed::{Leader, Member};
use sodality::crypto::published::Modern;
use sodality::endpoint::Cx;
use sodality::event::{Port, Ticket};
use sodality::identity::{MemberId, Name};
use sodality::policy::{Editions, EjectRequests, Mix};
use sodality::sim::mixed::{MixedConfig, MixedStar};
use sodality::sim::{Node, Stop};

use super::{Scene, Subject, Witness, bad_link, quiet_world, yielding};

/// All as published; keys alone; all but keys; two in which editions alternate; join and keys.
const MIXES: [u8; 6] = [0xff, 0x04, 0xfb, 0x55, 0xaa, 0x06];

impl Subject for Member {
    fn command(&mut self, cx: &mut Cx<'_>, which: u8, argument: u8) {
        match which % 4 {
            0 => {
                let _ = self.join(cx);
            }
            1 => {
                let _ = self.send(cx, Port::Application, &[argument; 64]);
            }
            2 => {
                let _ = self.request_ejection(cx, &Name::new("m2").unwrap());
            }
            _ => {
                let _ = self.leave(cx);
            }
        }
    }
}

impl Subject for Leader {
    fn command(&mut self, cx: &mut Cx<'_>, which: u8, argument: u8) {
        let ticket = Ticket(u64::from(argument >> 1));
        match which % 6 {
            0 => {
                let _ = self.rekey(cx);
            }
            1 => {
                let _ = self.send(cx, Port::Application, &[argument; 64]);
            }
            2 => {
                let _ = self.admit(cx, ticket, argument & 1 == 1);
            }
            3 => {
                let _ = self.decide_ejection(cx, ticket, argument & 1 == 1);
            }
            4 => {
                let _ = self.eject(cx, MemberId(u64::from(argument)));
            }
            _ => {
                let _ = self.close(cx);
            }
        }
    }
}

/// A session of each mix, as its leader and as a member of it.
pub struct Mixed(Vec<(Scene<Leader>, Scene<Member>)>);

impl Mixed {
    /// Plays the sessions.
    pub fn new() -> Result<Self, Stop> {
        let of = |bits: &u8| Ok((scene(*bits, |star| star.leader)?, scene(*bits, |star| star.members[0])?));
        MIXES.iter().map(of).collect::<Result<_, _>>().map(Self)
    }

    /// Does what `input` says: its first byte says with which machine. Returns how many frames were not refused.
    pub fn play(&self, input: &[u8]) -> u64 {
        let Some((first, rest)) = input.split_first() else { return 0 };
        let (leader, member) = &self.0[usize::from(first >> 1) % self.0.len()];
        if first & 1 == 0 { leader.play(rest) } else { member.play(rest) }
    }

    /// Some inputs to start from.
    pub fn seeds(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        for (number, (leader, member)) in self.0.iter().enumerate() {
            let number = number as u8;
            for (role, first, seeds) in
                [("leader", number << 1, super::seeds(leader)), ("member", number << 1 | 1, super::seeds(member))]
            {
                // Every third, in turn: six mixes with two roles are many.
                for (name, bytes) in seeds.into_iter().skip(usize::from(number) % 3).step_by(3) {
                    let name = format!("{:02x}-{role}-{name}", MIXES[usize::from(number)]);
                    all.push((name, [&[first], &bytes[..]].concat()));
                }
            }
        }
        all
    }
}

/// Joins, words, a rekey, a request to eject, a leave.
fn scene<M: Subject>(bits: u8, node: impl FnOnce(&MixedStar) -> Node<M>) -> Result<Scene<M>, Stop> {
    let published = Arc::new(Modern::new(yielding()));
    let mix = Mix { editions: Editions::from_bits(bits), ..Mix::published(yielding().id()) };
    let mut config = MixedConfig::new(yielding(), published, mix);
    (config.policy.frame_limit, config.policy.eject_requests) = (1_200, EjectRequests::Asked);
    let link = bad_link();
    let config = MixedConfig { link, multicast: Some(link), ..config };
    let mut world = quiet_world();
    let star = MixedStar::add(&mut world, config, 2)?;
    let witness = Witness::watch(&mut world, node(&star));
    star.join_all(&mut world, Duration::from_secs(60))?;
    for from in [0, 1, usize::MAX] {
        let _ = star.say(&mut world, from, b"a word")?;
        world.run_for(Duration::from_millis(200))?;
    }
    let _ = world.with(star.leader, |leader, cx| leader.rekey(cx))?;
    world.run_for(Duration::from_secs(8))?;
    let target = Name::new("m2").unwrap();
    let _ = world.with(star.members[0], |member, cx| member.request_ejection(cx, &target))?;
    world.run_for(Duration::from_secs(2))?;
    let _ = world.with(star.members[0], |member, cx| member.leave(cx))?;
    world.run_for(Duration::from_secs(5))?;
    Ok(Witness::scene(world, witness))
}
