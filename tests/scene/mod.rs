//! A group, and an adversary who records, withholds and replays its frames: what the attacks of several test files share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use sodality::antigone::{Leader, Member};
use sodality::crypto::symbolic::symbolic;
use sodality::endpoint::Link;
use sodality::error::{CommandError, Reason};
use sodality::event::Event;
use sodality::fingerprint::Fingerprint;
use sodality::group::{Checks, Limits};
use sodality::identity::Name;
use sodality::policy::Policy;
use sodality::sim::check::Goals;
use sodality::sim::shared;
use sodality::sim::star::{Star, StarConfig, member_machine};
use sodality::sim::{Adversary, Draft, InTransit, LinkConfig, Mixer, Net, NodeId, SimRng, Tables, Verdict, World};
use sodality::wire::shape::{Content, Value};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const SOON: Duration = Duration::from_millis(100);
/// misses · period + RTO.
pub(crate) const T_MAX: Duration = Duration::from_millis(15_500);

pub(crate) type Holds = Box<dyn Fn(&InTransit, &str) -> bool>;

/// Writes all frames down, and withholds what it is told to.
#[derive(Default)]
pub(crate) struct Tap {
    pub(crate) frames: Vec<InTransit>,
    pub(crate) held: Vec<InTransit>,
    pub(crate) holds: Option<Holds>,
}

impl Adversary for Tap {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        self.frames.push(frame.clone());
        let id = net.tables.id(&frame.bytes);
        if self.holds.as_ref().is_some_and(|holds| holds(frame, id)) {
            self.held.push(frame.clone());
            return Verdict::Drop;
        }
        Verdict::Pass
    }
}

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) star: Star,
    pub(crate) tap: Rc<RefCell<Tap>>,
}

pub(crate) fn config(policy: Policy, checks: Checks) -> StarConfig {
    let limits = Limits { checks, ..Limits::default() };
    StarConfig { policy, limits, link: LinkConfig::DATAGRAM.max_frame(65_536), ..StarConfig::new(symbolic().silent()) }
}

/// With the default policy and all checks.
pub(crate) fn usual() -> StarConfig {
    config(Policy::default(), Checks::ALL)
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl Scene {
    /// A group in which nobody has asked yet.
    pub(crate) fn open(config: StarConfig, members: &[&str]) -> Self {
        let mut world = World::new(11);
        if config.limits.checks == Checks::ALL {
            Goals::watch(&mut world, &config);
        }
        Self::within(world, config, members)
    }

    /// As [`Self::open`], in this world.
    pub(crate) fn within(mut world: World, config: StarConfig, members: &[&str]) -> Self {
        let tap = shared(Tap::default());
        world.set_adversary(tap.clone());
        let names: Vec<String> = members.iter().map(|name| (*name).to_owned()).collect();
        let star = Star::with_names(&mut world, config, &names).unwrap();
        Self { world, star, tap }
    }

    /// A group in which all have joined and their last rekey has settled.
    pub(crate) fn settled(config: StarConfig, members: &[&str]) -> Self {
        let mut scene = Self::open(config, members);
        scene.settle();
        scene
    }

    /// As [`Self::settled`], under this policy.
    pub(crate) fn under(policy: Policy, members: &[&str]) -> Self {
        Self::settled(config(policy, Checks::ALL), members)
    }

    /// As [`Self::settled`], with the default policy.
    pub(crate) fn joined(checks: Checks, members: usize) -> Self {
        Self::settled(config(Policy::default(), checks), &["m1", "m2", "m3"][..members])
    }

    /// Two that have just joined at once, and what of this kind was withheld meanwhile.
    pub(crate) fn two_asking(withheld: &'static str) -> (Self, Vec<InTransit>) {
        let mut scene = Self::open(usual(), &["m1", "m2"]);
        scene.hold(move |_, id| id == withheld);
        scene.join(0);
        scene.join(1);
        scene.run(SOON);
        let held = scene.release();
        (scene, held)
    }

    /// Lets all join, and their last rekey settle.
    pub(crate) fn settle(&mut self) {
        self.star.join_all(&mut self.world, SECOND * 120).unwrap();
        self.run(SECOND * 6);
    }

    pub(crate) fn run(&mut self, span: Duration) {
        self.world.run_for(span).unwrap_or_else(|stop| panic!("{stop}\n{}", self.world.trace().tail(60)));
    }

    pub(crate) fn member(&self, n: usize) -> &Member {
        self.world.get(self.star.members[n]).unwrap()
    }

    pub(crate) fn leader(&self) -> &Leader {
        self.world.get(self.star.leader).unwrap()
    }

    pub(crate) fn join(&mut self, n: usize) {
        let member = self.star.members[n];
        self.world.command(member, "join", |member, cx| member.join(cx)).unwrap().unwrap();
    }

    pub(crate) fn leave(&mut self, n: usize) {
        let member = self.star.members[n];
        self.world.command(member, "leave", |member, cx| member.leave(cx)).unwrap().unwrap();
    }

    pub(crate) fn rekey(&mut self) {
        self.world.with(self.star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
    }

    pub(crate) fn say(&mut self, n: usize, text: &[u8]) -> Result<(), CommandError> {
        self.star.say(&mut self.world, n, text).unwrap()
    }

    /// The recorded frames of this kind to that node, oldest first.
    pub(crate) fn frames(&self, id: &str, to: impl Into<NodeId>) -> Vec<InTransit> {
        let (tables, to) = (Tables::default(), to.into());
        let wanted = |frame: &&InTransit| frame.to == to && tables.id(&frame.bytes) == id;
        self.tap.borrow().frames.iter().filter(wanted).cloned().collect()
    }

    pub(crate) fn last(&self, id: &str, to: impl Into<NodeId>) -> InTransit {
        self.frames(id, to).pop().expect("such a frame was sent")
    }

    pub(crate) fn hold(&mut self, holds: impl Fn(&InTransit, &str) -> bool + 'static) {
        self.tap.borrow_mut().holds = Some(Box::new(holds));
    }

    /// Holds nothing back any more, and gives what was held.
    pub(crate) fn release(&mut self) -> Vec<InTransit> {
        let mut tap = self.tap.borrow_mut();
        tap.holds = None;
        std::mem::take(&mut tap.held)
    }

    pub(crate) fn digest(&self, node: NodeId) -> u128 {
        let (now, mut mixer) = (self.world.now(), Mixer::new());
        if let Some(member) = self.world.typed::<Member>(node) {
            self.world.get(member).unwrap().fingerprint(now, &mut mixer);
        } else {
            self.leader().fingerprint(now, &mut mixer);
        }
        mixer.digest()
    }

    /// Lets `bytes` come to the holder of `link` now. Why it was refused, if it was.
    pub(crate) fn inject(&mut self, link: Link, bytes: impl Into<Bytes>) -> Option<Reason> {
        let node = self.world.holder(link).unwrap();
        let before = self.world.events(node).len();
        self.world.inject(link, bytes, Duration::ZERO);
        self.run(Duration::ZERO);
        self.world.events(node)[before..].iter().find_map(|event| match event {
            Event::Rejected { why, .. } => Some(*why),
            _ => None,
        })
    }

    /// Such a frame is refused for this reason, and nothing has changed but counters.
    #[track_caller]
    pub(crate) fn refuses(&mut self, link: Link, bytes: impl Into<Bytes>, why: Reason) {
        let node = self.world.holder(link).unwrap();
        let before = self.digest(node);
        assert_eq!(self.inject(link, bytes), Some(why));
        assert_eq!(self.digest(node), before, "a refused frame changed the state");
    }

    #[track_caller]
    pub(crate) fn refuses_again(&mut self, frame: &InTransit, why: Reason) {
        self.refuses(frame.to_link, frame.bytes.clone(), why);
    }

    pub(crate) fn told(&self, node: impl Into<NodeId>, event: &Event) -> bool {
        self.world.events(node).contains(event)
    }

    #[track_caller]
    pub(crate) fn all_is_well(&mut self) {
        assert!(self.star.converged(&self.world), "{}", self.world.trace().tail(30));
    }
}

pub(crate) fn number(draft: &mut Draft, field: &str, change: impl Fn(u64) -> u64) {
    let Content::Leaf(bytes) = &mut draft.clear.find_mut(field).unwrap().content else { panic!("{field} is a number") };
    let value = u64::from_be_bytes(bytes.as_slice().try_into().unwrap());
    *bytes = change(value).to_be_bytes().to_vec();
}

pub(crate) fn draft(frame: &InTransit) -> Draft {
    Draft::of(&Tables::default(), &frame.bytes).unwrap()
}

/// A link to the leader that a stranger holds.
pub(crate) fn strangers_link(scene: &mut Scene) -> Link {
    let stranger = member_machine(&scene.star.config, "stranger").unwrap();
    let node = scene.world.add("stranger", stranger).unwrap();
    let link = scene.star.config.link;
    scene.world.connect(node, scene.star.leader, link).unwrap().1
}

pub(crate) fn number_in(value: &mut Value, field: &str, change: impl Fn(u64) -> u64) {
    let Content::Leaf(bytes) = &mut value.find_mut(field).unwrap().content else { panic!("{field} is a number") };
    *bytes = change(u64::from_be_bytes(bytes.as_slice().try_into().unwrap())).to_be_bytes().to_vec();
}

/// RA-J1 of that name, with nonce and tag made up.
pub(crate) fn made_up(honest: &InTransit, who: &str, rng: &mut SimRng) -> Bytes {
    let mut made = draft(honest);
    let mut lettered = vec![who.len() as u8];
    lettered.extend_from_slice(who.as_bytes());
    made.clear.find_mut("member").unwrap().content = Content::Leaf(lettered);
    if let Content::Leaf(bytes) = &mut made.clear.find_mut("i0").unwrap().content {
        let length = bytes.len();
        bytes[length - 8..].copy_from_slice(&rng.draw().to_be_bytes());
    }
    made.frame()
}
