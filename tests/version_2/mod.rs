//! Groups of Enclaves 2.0: what the runs of several test files share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use sodality::crypto::Suite;
#[cfg(feature = "rustcrypto")]
use sodality::crypto::chacha20_poly1305;
use sodality::crypto::published::{Modern, PublishedSuite, des_md5_rsa};
use sodality::crypto::symbolic::symbolic;
use sodality::enclaves::version_2::messages::Scheme;
use sodality::enclaves::version_2::{Leader, Member};
use sodality::endpoint::{Endpoint, Instant, Link, LinkInfo};
use sodality::event::{Event, Port};
use sodality::fingerprint::Fingerprint;
use sodality::identity::Name;
use sodality::sim::enclaves_version_2::{VersionTwoConfig, VersionTwoStar, leader_machine, member_machine};
use sodality::sim::{SimRng, World};
use sodality::wire::{Edition, Header, MessageInfo, System};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How many seeds a test of `usual` many shall run: `SODALITY_SEEDS` for long runs.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let read = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = read("SODALITY_FIRST_SEED").unwrap_or(1);
    first..first + read("SODALITY_SEEDS").unwrap_or(usual)
}

pub(crate) fn des() -> Arc<dyn PublishedSuite> {
    des_md5_rsa()
}

#[cfg(feature = "rustcrypto")]
pub(crate) fn modern() -> Arc<dyn PublishedSuite> {
    Arc::new(Modern::new(chacha20_poly1305()))
}

/// Terms instead of bits: fast.
pub(crate) fn terms() -> Arc<dyn PublishedSuite> {
    let suite: Arc<dyn Suite> = symbolic().silent();
    Arc::new(Modern::new(suite))
}

#[cfg(feature = "rustcrypto")]
pub(crate) fn both() -> [Arc<dyn PublishedSuite>; 2] {
    [des(), modern()]
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn header(suite: &dyn PublishedSuite) -> Header {
    Header { system: System::Enclaves, edition: Edition::AsPublished, suite: suite.id() }
}

/// What makes and reads messages, as anybody can who has the keys.
pub(crate) fn scheme(suite: &dyn PublishedSuite) -> Scheme<'_> {
    Scheme { suite, header: header(suite) }
}

/// A group in a world of its own, that has come together.
pub(crate) fn joined(seed: u64, config: VersionTwoConfig, members: usize) -> (World, VersionTwoStar) {
    let mut world = World::new(seed);
    world.trace_mut().keep(400);
    let star = VersionTwoStar::add(&mut world, config, members).unwrap();
    if let Err(stop) = star.join_all(&mut world, SECOND * 20) {
        panic!("{stop}\n{}", world.trace().tail(80));
    }
    world.run_for(SECOND).unwrap();
    (world, star)
}

pub(crate) fn digest(machine: &impl Fingerprint) -> Vec<u8> {
    sodality::fingerprint::fingerprint_of(machine, Instant::ORIGIN)
}

/// The declaration of a message by its id.
pub(crate) fn info(id: &str) -> &'static MessageInfo {
    let messages = sodality::wire::enclaves::version_2::MESSAGES;
    messages.iter().find(|info| info.id == id).unwrap()
}

/// The id of a frame.
pub(crate) fn id_of(frame: &[u8]) -> &'static str {
    let messages = sodality::wire::enclaves::version_2::MESSAGES;
    messages.iter().find(|info| info.code == frame[4]).unwrap().id
}

/// A machine of either kind.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // A few hundred of them.
pub(crate) enum Machine {
    Leader(Leader),
    Member(Member),
}

impl Machine {
    pub(crate) fn end(&mut self) -> &mut dyn Endpoint {
        match self {
            Self::Leader(machine) => machine,
            Self::Member(machine) => machine,
        }
    }

    pub(crate) fn digest_at(&self, now: Instant) -> Vec<u8> {
        match self {
            Self::Leader(machine) => sodality::fingerprint::fingerprint_of(machine, now),
            Self::Member(machine) => sodality::fingerprint::fingerprint_of(machine, now),
        }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> &'static str {
        match self {
            Self::Leader(machine) if machine.is_closed() => "L closed",
            Self::Leader(machine) if machine.member_count() == 0 => "L alone",
            Self::Leader(machine) if !machine.all_acknowledged() => "L waits",
            Self::Leader(_) => "L",
            Self::Member(machine) if machine.is_idle() => "M idle",
            Self::Member(machine) if machine.is_joining() => "M joining",
            Self::Member(machine) if machine.is_in() => "M in",
            Self::Member(_) => "M leaving",
        }
    }
}

/// A frame, and the machine that it is about to reach.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) frame: Vec<u8>,
    pub(crate) link: Link,
    pub(crate) at: Instant,
    pub(crate) machine: Machine,
}

/// Machines without a world: every frame in the hands of the test.
pub(crate) struct Bench {
    pub(crate) suite: Arc<dyn PublishedSuite>,
    pub(crate) rng: SimRng,
    pub(crate) now: Instant,
    pub(crate) leader: Leader,
    pub(crate) members: Vec<Member>,
    /// All frames: who sent them (0 for the leader), to whom, the bytes.
    pub(crate) wire: Vec<(usize, usize, Vec<u8>)>,
    pub(crate) events: Vec<(usize, Event)>,
    /// Everything that is delivered, with its receiver as it was.
    pub(crate) samples: Option<Vec<Sample>>,
}

impl Bench {
    /// A leader and members `m1`, `m2`, …, each over link n, which has the same number at both ends.
    pub(crate) fn new(config: &VersionTwoConfig, members: usize) -> Self {
        let names: Vec<String> = (1..=members).map(|n| format!("m{n}")).collect();
        Self::with_names(config, &names)
    }

    pub(crate) fn with_names(config: &VersionTwoConfig, names: &[String]) -> Self {
        let mut rng = SimRng::new(7);
        let now = Instant::from_micros(1_000_000);
        let mut cx = sodality::endpoint::Cx::new(now, &mut rng);
        let mut leader = leader_machine(config, names, &mut cx).unwrap();
        let mut members: Vec<Member> = names.iter().map(|name| member_machine(config, name).unwrap()).collect();
        for (at, member) in members.iter_mut().enumerate() {
            let link = Link(at as u64 + 1);
            leader.handle_link_opened(&mut cx, link, LinkInfo::stream(1 << 20)).unwrap();
            member.handle_link_opened(&mut cx, link, LinkInfo::stream(1 << 20)).unwrap();
        }
        let suite = config.suite.clone();
        let mut bench = Self { suite, rng, now, leader, members, wire: Vec::new(), events: Vec::new(), samples: None };
        bench.settle();
        bench
    }

    /// All of them have joined.
    pub(crate) fn joined(config: &VersionTwoConfig, members: usize) -> Self {
        let mut bench = Self::new(config, members);
        for member in 1..=members {
            bench.join(member);
        }
        bench
    }

    pub(crate) fn join(&mut self, member: usize) {
        self.member(member, |machine, cx| machine.join(cx)).unwrap();
        self.settle();
    }

    /// Lets a member do something; its frames stay queued.
    pub(crate) fn member<R>(
        &mut self,
        member: usize,
        act: impl FnOnce(&mut Member, &mut sodality::endpoint::Cx<'_>) -> R,
    ) -> R {
        act(&mut self.members[member - 1], &mut sodality::endpoint::Cx::new(self.now, &mut self.rng))
    }

    pub(crate) fn lead<R>(&mut self, act: impl FnOnce(&mut Leader, &mut sodality::endpoint::Cx<'_>) -> R) -> R {
        act(&mut self.leader, &mut sodality::endpoint::Cx::new(self.now, &mut self.rng))
    }

    fn sample(&mut self, link: usize, frame: &[u8], machine: Machine) {
        let (link, frame, at) = (Link(link as u64), frame.to_vec(), self.now);
        if let Some(samples) = &mut self.samples {
            samples.push(Sample { frame, link, at, machine });
        }
    }

    /// A frame to the leader over the link of a member.
    pub(crate) fn give_leader(&mut self, over: usize, frame: &[u8]) {
        let machine = Machine::Leader(self.leader.clone());
        self.sample(over, frame, machine);
        self.lead(|leader, cx| leader.handle_frame(cx, Link(over as u64), frame.into())).unwrap();
    }

    /// A frame to a member.
    pub(crate) fn give_member(&mut self, member: usize, frame: &[u8]) {
        let machine = Machine::Member(self.members[member - 1].clone());
        self.sample(member, frame, machine);
        self.member(member, |machine, cx| machine.handle_frame(cx, Link(member as u64), frame.into())).unwrap();
    }

    /// The frames that somebody has to send, taken and not delivered: to whom, and what.
    pub(crate) fn take(&mut self, from: usize) -> Vec<(usize, Vec<u8>)> {
        let mut frames = Vec::new();
        loop {
            let mut cx = sodality::endpoint::Cx::new(self.now, &mut self.rng);
            let next = match from {
                0 => self.leader.poll_transmit(&mut cx),
                member => self.members[member - 1].poll_transmit(&mut cx),
            };
            let Some(transmit) = next else { break };
            for link in transmit.to.links() {
                let to = if from == 0 { link.0 as usize } else { 0 };
                self.wire.push((from, to, transmit.frame.to_vec()));
                frames.push((to, transmit.frame.to_vec()));
            }
        }
        loop {
            let next = match from {
                0 => self.leader.poll_event(),
                member => self.members[member - 1].poll_event(),
            };
            let Some(event) = next else { break };
            self.events.push((from, event));
        }
        frames
    }

    /// Delivers everything until nothing is left.
    pub(crate) fn settle(&mut self) {
        self.settle_but(|_, _, _| false);
    }

    /// The same, but for what is lost.
    pub(crate) fn settle_but(&mut self, mut lost: impl FnMut(usize, usize, &[u8]) -> bool) {
        for _ in 0..1_000 {
            let mut quiet = true;
            for from in 0..=self.members.len() {
                for (to, frame) in self.take(from) {
                    quiet = false;
                    if lost(from, to, &frame) {
                        continue;
                    }
                    match to {
                        0 => self.give_leader(from, &frame),
                        member => self.give_member(member, &frame),
                    }
                }
            }
            if quiet {
                return;
            }
        }
        panic!("no end of frames");
    }

    /// Time passes, a tenth of a second at a time.
    pub(crate) fn pass(&mut self, span: Duration) {
        for _ in 0..span.as_millis() / 100 {
            self.now = self.now + Duration::from_millis(100);
            self.lead(|leader, cx| leader.handle_timeout(cx)).unwrap();
            for member in 1..=self.members.len() {
                self.member(member, |machine, cx| machine.handle_timeout(cx)).unwrap();
            }
            self.settle();
        }
    }

    /// Ids of all frames so far from one to the other.
    pub(crate) fn ids(&self, from: usize, to: usize) -> Vec<&'static str> {
        self.wire.iter().filter(|(of, at, _)| (*of, *at) == (from, to)).map(|(_, _, frame)| id_of(frame)).collect()
    }

    /// The last frame of this id from one to the other.
    pub(crate) fn last(&self, id: &str, from: usize, to: usize) -> Vec<u8> {
        let is = |(of, at, frame): &&(usize, usize, Vec<u8>)| (*of, *at) == (from, to) && id_of(frame) == id;
        self.wire.iter().rev().find(is).unwrap_or_else(|| panic!("no {id}")).2.clone()
    }

    pub(crate) fn events_of(&self, who: usize) -> Vec<&Event> {
        self.events.iter().filter(|(of, _)| *of == who).map(|(_, event)| event).collect()
    }

    /// What somebody's application was given, with the sender's name: to all and in private.
    pub(crate) fn heard(&self, who: usize) -> Vec<(String, Vec<u8>)> {
        let text = |event: &&Event| match event {
            Event::Data(message) | Event::Gossip(message) => {
                let cid = message.from.claimed();
                let name = match who {
                    0 => self.leader.name_of(cid),
                    member => self.members[member - 1].name_of(cid),
                };
                Some((name.map_or("?", Name::as_str).to_owned(), message.payload.to_vec()))
            }
            _ => None,
        };
        self.events_of(who).iter().filter_map(text).collect()
    }

    pub(crate) fn say(&mut self, who: usize, text: &[u8]) {
        match who {
            0 => self.lead(|leader, cx| leader.send(cx, Port::Application, text)),
            member => self.member(member, |machine, cx| machine.send(cx, Port::Application, text)),
        }
        .unwrap();
        self.settle();
    }

    /// The names that a member believes to be in the group.
    pub(crate) fn roster(&self, member: usize) -> Vec<String> {
        let mut names: Vec<String> =
            self.members[member - 1].members().map(|(_, name)| name.as_str().to_owned()).collect();
        names.sort();
        names
    }
}
