//! Groups of Enclaves 1.0: what the runs of several test files share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "rustcrypto")]
use sodality::crypto::chacha20_poly1305;
use sodality::crypto::published::{Modern, PublishedSuite, des_md5_rsa};
use sodality::crypto::symbolic::symbolic;
use sodality::enclaves::version_1::messages::Scheme;
use sodality::enclaves::version_1::{Leader, Member};
use sodality::endpoint::{Cx, Endpoint, Instant, Link, LinkInfo, WallClock};
use sodality::event::{Event, Peer, Port};
use sodality::identity::Name;
use sodality::sim::enclaves_version_1::{DAWN, VersionOneConfig, VersionOneStar, leader_machine, member_machine};
use sodality::sim::{SimRng, World};
use sodality::wire::{Edition, Header, System};

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

/// Terms instead of bits: fast.
pub(crate) fn terms() -> Arc<dyn PublishedSuite> {
    Arc::new(Modern::new(symbolic().silent()))
}

#[cfg(feature = "rustcrypto")]
pub(crate) fn both() -> [Arc<dyn PublishedSuite>; 2] {
    [des(), Arc::new(Modern::new(chacha20_poly1305()))]
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// What makes and reads messages, as anybody can who has the keys.
pub(crate) fn scheme(suite: &dyn PublishedSuite) -> Scheme<'_> {
    let header = Header { system: System::FirstEnclaves, edition: Edition::AsPublished, suite: suite.id() };
    Scheme { suite, header }
}

/// A group in a world of its own, that has come together.
pub(crate) fn joined(seed: u64, config: VersionOneConfig, members: usize) -> (World, VersionOneStar) {
    let mut world = World::new(seed);
    world.trace_mut().keep(400);
    let star = VersionOneStar::add(&mut world, config, members).unwrap();
    if let Err(stop) = star.join_all(&mut world, SECOND * 30) {
        panic!("{stop}\n{}", world.trace().tail(80));
    }
    world.run_for(SECOND).unwrap();
    (world, star)
}

/// The id of a frame.
pub(crate) fn id_of(frame: &[u8]) -> &'static str {
    let messages = sodality::wire::enclaves::version_1::MESSAGES;
    messages.iter().find(|info| info.code == frame[4]).map_or("?", |info| info.id)
}

/// The message type of an id.
pub(crate) fn code_of(id: &str) -> u8 {
    let messages = sodality::wire::enclaves::version_1::MESSAGES;
    messages.iter().find(|info| info.id == id).unwrap().code
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

    pub(crate) fn member(&mut self) -> &mut Member {
        match self {
            Self::Member(machine) => machine,
            Self::Leader(_) => panic!("the leader"),
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

/// Machines without a world: every frame in the hands of the test. The leader is number 0, members are 1, 2, …
pub(crate) struct Bench {
    pub(crate) suite: Arc<dyn PublishedSuite>,
    pub(crate) rng: SimRng,
    pub(crate) now: Instant,
    /// What the wall clock of each is ahead, in milliseconds.
    pub(crate) ahead: Vec<i64>,
    pub(crate) machines: Vec<Option<Machine>>,
    /// Links, with the two that they join.
    pub(crate) cables: BTreeMap<Link, (usize, usize)>,
    /// What links are like from now on.
    pub(crate) info: LinkInfo,
    /// Wishes for direct links are carried out.
    pub(crate) dials: bool,
    /// All frames: who sent them, to whom, the bytes.
    pub(crate) wire: Vec<(usize, usize, Vec<u8>)>,
    pub(crate) events: Vec<(usize, Event)>,
    /// Everything that is delivered, with its receiver as it was.
    pub(crate) samples: Option<Vec<Sample>>,
    next_link: u64,
}

impl Bench {
    /// A leader and members `m1`, `m2`, …, each with a link.
    pub(crate) fn new(config: &VersionOneConfig, members: usize) -> Self {
        let names: Vec<String> = (1..=members).map(|n| format!("m{n}")).collect();
        let mut rng = SimRng::new(7);
        let now = Instant::from_micros(1_000_000);
        let wall = Some(WallClock(DAWN.0 + 1_000));
        let leader = leader_machine(config, &names, &mut Cx { wall, ..Cx::new(now, &mut rng) }).unwrap();
        let mut machines = vec![Some(Machine::Leader(leader))];
        machines.extend(names.iter().map(|name| Some(Machine::Member(member_machine(config, name).unwrap()))));
        let mut bench = Self {
            suite: config.suite.clone(),
            rng,
            now,
            ahead: vec![0; members + 1],
            machines,
            cables: BTreeMap::new(),
            info: LinkInfo::stream(1 << 20),
            dials: true,
            wire: Vec::new(),
            events: Vec::new(),
            samples: None,
            next_link: 1,
        };
        for member in 1..=members {
            bench.connect(member, 0, None);
        }
        bench.settle();
        bench
    }

    /// All of them have joined.
    pub(crate) fn joined(config: &VersionOneConfig, members: usize) -> Self {
        let mut bench = Self::new(config, members);
        for member in 1..=members {
            bench.join(member);
        }
        bench
    }

    /// A link; at the end of `from` it answers this wish.
    pub(crate) fn connect(&mut self, from: usize, to: usize, answers: Option<sodality::endpoint::LinkTicket>) -> Link {
        let link = Link(self.next_link);
        self.next_link += 1;
        self.cables.insert(link, (from, to));
        let info = self.info;
        self.call(to, |end, cx| end.handle_link_opened(cx, link, info)).unwrap();
        self.call(from, |end, cx| end.handle_link_opened(cx, link, LinkInfo { answers, ..info })).unwrap();
        link
    }

    /// Both ends close, or what there is of them.
    pub(crate) fn cut(&mut self, link: Link) {
        let (a, b) = self.cables.remove(&link).unwrap();
        for who in [a, b] {
            if self.machines[who].is_some() {
                self.call(who, |end, cx| end.handle_link_closed(cx, link)).unwrap();
            }
        }
    }

    /// A machine is gone, and its links close at the other ends.
    pub(crate) fn kill(&mut self, who: usize) {
        self.machines[who] = None;
        let links: Vec<Link> =
            self.cables.iter().filter(|(_, ends)| ends.0 == who || ends.1 == who).map(|(link, _)| *link).collect();
        links.into_iter().for_each(|link| self.cut(link));
    }

    pub(crate) fn call<R>(&mut self, who: usize, act: impl FnOnce(&mut dyn Endpoint, &mut Cx<'_>) -> R) -> R {
        let wall = self.wall(who);
        let mut cx = Cx { wall: Some(wall), ..Cx::new(self.now, &mut self.rng) };
        act(self.machines[who].as_mut().unwrap().end(), &mut cx)
    }

    /// What the wall clock of somebody shows.
    pub(crate) fn wall(&self, who: usize) -> WallClock {
        let right = DAWN.0 + self.now.as_micros() / 1_000;
        WallClock(right.checked_add_signed(self.ahead[who]).unwrap())
    }

    pub(crate) fn leader(&self) -> &Leader {
        match self.machines[0].as_ref().unwrap() {
            Machine::Leader(leader) => leader,
            Machine::Member(_) => panic!("a member"),
        }
    }

    pub(crate) fn machine(&self, member: usize) -> &Member {
        match self.machines[member].as_ref().unwrap() {
            Machine::Member(member) => member,
            Machine::Leader(_) => panic!("the leader"),
        }
    }

    /// Lets a member do something; its frames stay queued.
    pub(crate) fn member<R>(&mut self, member: usize, act: impl FnOnce(&mut Member, &mut Cx<'_>) -> R) -> R {
        let wall = self.wall(member);
        let mut cx = Cx { wall: Some(wall), ..Cx::new(self.now, &mut self.rng) };
        act(self.machines[member].as_mut().unwrap().member(), &mut cx)
    }

    pub(crate) fn lead<R>(&mut self, act: impl FnOnce(&mut Leader, &mut Cx<'_>) -> R) -> R {
        let wall = self.wall(0);
        let mut cx = Cx { wall: Some(wall), ..Cx::new(self.now, &mut self.rng) };
        let Some(Machine::Leader(leader)) = &mut self.machines[0] else { panic!("no leader") };
        act(leader, &mut cx)
    }

    pub(crate) fn join(&mut self, member: usize) {
        self.member(member, |machine, cx| machine.join(cx)).unwrap();
        self.settle();
    }

    /// The link between the two, the newest if there are several.
    pub(crate) fn link(&self, a: usize, b: usize) -> Link {
        let joins = |(_, ends): &(&Link, &(usize, usize))| **ends == (a, b) || **ends == (b, a);
        *self.cables.iter().rev().find(joins).expect("no link").0
    }

    /// A frame to somebody over a link.
    pub(crate) fn give_over(&mut self, link: Link, who: usize, frame: &[u8]) {
        let machine = self.machines[who].clone().unwrap();
        let (frame, at) = (frame.to_vec(), self.now);
        if let Some(samples) = &mut self.samples {
            samples.push(Sample { frame: frame.clone(), link, at, machine });
        }
        self.call(who, |end, cx| end.handle_frame(cx, link, frame.as_slice().into())).unwrap();
    }

    /// A frame to the second over the link of the two.
    pub(crate) fn give(&mut self, from: usize, to: usize, frame: &[u8]) {
        let link = self.link(from, to);
        self.give_over(link, to, frame);
    }

    /// What giving this frame is refused for. `None` if it is taken.
    pub(crate) fn refused(&mut self, from: usize, to: usize, frame: &[u8]) -> Option<sodality::error::Reason> {
        self.take_events(to);
        let before = self.events.len();
        self.give(from, to, frame);
        self.take_events(to);
        self.events[before..].iter().find_map(|(who, event)| match event {
            Event::Rejected { why, .. } if *who == to => Some(*why),
            _ => None,
        })
    }

    /// The frames that somebody has to send, taken and not delivered: over which link, to whom, and what.
    pub(crate) fn take(&mut self, from: usize) -> Vec<(Link, usize, Vec<u8>)> {
        let mut frames = Vec::new();
        while let Some(transmit) = self.call(from, |end, cx| end.poll_transmit(cx)) {
            for link in transmit.to.links() {
                let Some((a, b)) = self.cables.get(&link).copied() else { continue };
                let to = if a == from { b } else { a };
                self.wire.push((from, to, transmit.frame.to_vec()));
                frames.push((link, to, transmit.frame.to_vec()));
            }
        }
        self.take_events(from);
        frames
    }

    fn take_events(&mut self, who: usize) {
        while let Some(event) = self.call(who, |end, _| end.poll_event()) {
            self.events.push((who, event));
        }
    }

    /// Delivers everything until nothing is left.
    pub(crate) fn settle(&mut self) {
        self.settle_but(|_, _, _| false);
    }

    /// The same, but for what is lost.
    pub(crate) fn settle_but(&mut self, mut lost: impl FnMut(usize, usize, &[u8]) -> bool) {
        for _ in 0..1_000 {
            let mut quiet = true;
            for from in 0..self.machines.len() {
                if self.machines[from].is_none() {
                    continue;
                }
                let seen = self.events.len();
                for (link, to, frame) in self.take(from) {
                    quiet = false;
                    if !lost(from, to, &frame) && self.machines[to].is_some() && self.cables.contains_key(&link) {
                        self.give_over(link, to, &frame);
                    }
                }
                for (who, event) in self.events[seen..].to_vec() {
                    if let Event::LinkWanted { ticket, peer: Peer::Member(name), hint } = event
                        && self.dials
                    {
                        assert_eq!(hint, name.as_str().as_bytes(), "the hint is what the other end announced");
                        let to: usize = name.as_str()[1..].parse().unwrap();
                        if self.machines[to].is_some() {
                            self.connect(who, to, Some(ticket));
                            quiet = false;
                        }
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
        self.pass_but(span, |_, _, _| false);
    }

    pub(crate) fn pass_but(&mut self, span: Duration, mut lost: impl FnMut(usize, usize, &[u8]) -> bool) {
        for _ in 0..span.as_millis() / 100 {
            self.now = self.now + Duration::from_millis(100);
            for who in 0..self.machines.len() {
                if self.machines[who].is_some() {
                    self.call(who, |end, cx| end.handle_timeout(cx)).unwrap();
                }
            }
            self.settle_but(&mut lost);
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

    /// What somebody's application was given, with the sender's name: to all, in private, and directly.
    pub(crate) fn heard(&self, who: usize) -> Vec<(String, Vec<u8>)> {
        let text = |event: &&Event| match event {
            Event::Data(message) | Event::Gossip(message) | Event::Direct(message) => {
                let cid = message.from.claimed();
                let name = match who {
                    0 => self.leader().name_of(cid),
                    member => self.machine(member).name_of(cid),
                };
                Some((name.map_or("?", Name::as_str).to_owned(), message.payload.to_vec()))
            }
            _ => None,
        };
        self.events_of(who).iter().filter_map(text).collect()
    }

    /// How often somebody's application was given this text.
    pub(crate) fn times(&self, who: usize, text: &[u8]) -> usize {
        self.heard(who).iter().filter(|(_, said)| said == text).count()
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
        let mut names: Vec<String> = self.machine(member).members().map(|(_, name)| name.as_str().to_owned()).collect();
        names.sort();
        names
    }

    /// A direct link between the two, asked for by the first.
    pub(crate) fn link_directly(&mut self, from: usize, to: usize) {
        let other = name(&format!("m{to}"));
        self.member(from, |machine, cx| machine.link_to(cx, &other)).unwrap();
        self.settle();
        self.pass(Duration::from_millis(200));
    }

    pub(crate) fn say_directly(&mut self, from: usize, to: usize, text: &[u8]) {
        let other = name(&format!("m{to}"));
        self.member(from, |machine, cx| machine.send_direct(cx, &other, Port::Application, text)).unwrap();
        self.settle();
    }
}
