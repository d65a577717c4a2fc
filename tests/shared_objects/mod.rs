//! A group of repaired Enclaves with shared objects.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use core::time::Duration;

use bytes::Bytes;
use sodality::crypto::chacha20_poly1305;
use sodality::enclaves::Member;
use sodality::error::CommandError;
use sodality::event::{Event, ObjectRefusal};
use sodality::identity::{MemberId, Name, Version};
use sodality::policy::{MIN_FRAME, ObjectRule, Objects, Policy, Right};
use sodality::sim::{EnclaveConfig, EnclaveStar, Node, World};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const SMALL: u32 = MIN_FRAME as u32;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A member's own right.
pub(crate) type OwnRight<'r> = (&'r str, Right);

/// Objects, each with the rights of some members and of everybody else.
pub(crate) fn rules(all: &[(&str, Right, &[OwnRight<'_>])]) -> Objects {
    let rule = |everybody, members: &[OwnRight<'_>]| ObjectRule {
        everybody,
        members: members.iter().map(|(member, right)| (name(member), *right)).collect(),
        size: 2 << 20,
    };
    all.iter().map(|(object, everybody, members)| (name(object), rule(*everybody, members))).collect()
}

pub(crate) fn all_change(objects: &[&str]) -> Objects {
    rules(&objects.iter().map(|object| (*object, Right::Change, &[][..])).collect::<Vec<_>>())
}

pub(crate) fn config(objects: Objects) -> EnclaveConfig {
    EnclaveConfig { policy: Policy { objects, ..Policy::default() }, ..EnclaveConfig::new(chacha20_poly1305()) }
}

pub(crate) struct Bench {
    pub world: World,
    pub star: EnclaveStar,
}

impl Bench {
    pub(crate) fn new(seed: u64, config: EnclaveConfig, members: usize) -> Self {
        let mut world = World::new(seed);
        let star = EnclaveStar::add(&mut world, config, members).unwrap();
        if star.config.link.reliable {
            star.join_all(&mut world, MINUTE).unwrap();
        } else {
            // A join may fail there.
            star.join_always(&mut world).unwrap();
            let all =
                |world: &World| star.converged(world) && world.get(star.leader).unwrap().member_count() == members;
            world.eventually(MINUTE * 5, "all are in", all).unwrap();
        }
        Self { world, star }
    }

    pub(crate) fn node(&self, at: usize) -> Node<Member> {
        self.star.members[at]
    }

    pub(crate) fn member(&self, at: usize) -> &Member {
        self.world.get(self.node(at)).unwrap()
    }

    pub(crate) fn cid(&self, at: usize) -> MemberId {
        self.member(at).cid().unwrap()
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.world.run_for(time).unwrap();
    }

    /// A member's change; the leader's where there is no such member.
    pub(crate) fn put(
        &mut self,
        at: usize,
        object: &str,
        expected: Option<u64>,
        contents: &[u8],
    ) -> Result<u64, CommandError> {
        let (object, contents) = (name(object), Bytes::copy_from_slice(contents));
        let expected = expected.map(Version);
        match self.star.members.get(at).copied() {
            Some(member) => self.world.with(member, |member, cx| member.put(cx, &object, expected, contents)).unwrap(),
            None => {
                self.world.with(self.star.leader, |leader, cx| leader.put(cx, &object, expected, contents)).unwrap()
            }
        }
    }

    pub(crate) fn events(&self, at: usize) -> &[Event] {
        match self.star.members.get(at) {
            Some(member) => self.world.events(*member),
            None => self.world.events(self.star.leader),
        }
    }

    /// What became of a change: its version, or why not and at which version.
    pub(crate) fn answer(&self, at: usize, number: u64) -> Option<Result<u64, (ObjectRefusal, u64)>> {
        self.events(at).iter().find_map(|event| match event {
            Event::ObjectTaken { number: of, version, .. } if *of == number => Some(Ok(version.0)),
            Event::ObjectRefused { number: of, why, version, .. } if *of == number => Some(Err((*why, version.0))),
            _ => None,
        })
    }

    /// Puts, and waits for the answer.
    pub(crate) fn puts(
        &mut self,
        at: usize,
        object: &str,
        expected: Option<u64>,
        contents: &[u8],
    ) -> Result<u64, (ObjectRefusal, u64)> {
        let number = self.put(at, object, expected, contents).unwrap();
        self.run(SECOND * 5);
        self.answer(at, number).expect("an answer")
    }

    /// The changes that one has seen: version, object, who.
    pub(crate) fn changes(&self, at: usize) -> Vec<(u64, String, MemberId)> {
        let seen = self.events(at).iter().filter_map(|event| match event {
            Event::ObjectChanged { object, version, by } => Some((version.0, object.as_str().to_owned(), *by)),
            _ => None,
        });
        seen.collect()
    }

    pub(crate) fn here(&self, at: usize, object: &str) -> Option<(u64, Bytes)> {
        let view = match self.star.members.get(at) {
            Some(member) => self.world.get(*member).unwrap().get(&name(object)),
            None => self.world.get(self.star.leader).unwrap().get(&name(object)),
        };
        view.map(|view| (view.version.0, view.contents.clone()))
    }
}
