//! What a fuzzer's input does to a member, a leader or a third party: any frames, times and commands, in any state that a
//! session goes through. Shared by the fuzz targets and, on stable, by `tests/corpus_replay.rs`.
//!
//! An input is a snapshot's number (two bytes) and then deeds; see [`Deed`]. What must hold: no panic, no `Fatal`, output
//! ends, frames stay short, and a frame that is refused for a reason found before or by its authentication leaves the
//! state as it was (R1, R11, R25).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sodality::antigone::{Leader, Member};
use sodality::endpoint::{Cx, Endpoint, Instant, Link, LinkInfo, LinkTicket, Wake, WallClock};
use sodality::error::Reason;
use sodality::event::{Event, Port, Ticket};
use sodality::fingerprint::{Fingerprint, fingerprint_of};
use sodality::identity::{MemberId, Name};
use sodality::policy::Policy;
use sodality::sim::check::Checker;
use sodality::sim::enclaves_version_1::DAWN;
use sodality::sim::star::records;
use sodality::sim::{
    Draft, FailingEntropy, Faults, Input, LinkConfig, Node, Observed, SimRng, Star, StarConfig, Stop, Tables, World,
    shared,
};
use sodality::ttp::ThirdParty;
use sodality::wire::shape::Content;
use sodality::wire::{Edition, Value};

mod enclaves;
mod mixed;
mod yielding;

pub use enclaves::Enclaves;
pub use mixed::Mixed;
pub use yielding::{MASTER, yielding};

/// Deeds in one input, at most.
const DEEDS: usize = 64;
/// Frames and events that one deed may cause, at most: far more than any limit allows.
const BURST: usize = 100_000;
const MAX_FRAME: usize = 65_536;

/// What the bytes of an input ask for, by the first byte of each deed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Deed {
    /// A recorded frame as it is: link, frame. With the link's highest bit set, the time between comes first.
    Recorded = 0,
    /// A recorded frame with bytes changed: link, frame, seal, count, (offset of two bytes, value) of each.
    Patched = 1,
    /// Any bytes behind a header that is right: link, type, seal, length of two bytes, bytes.
    Composed = 2,
    /// Time passes: steps of 20 ms, squared.
    Time = 3,
    /// A command: which, argument.
    Command = 4,
    /// A link opens: link, kind.
    Opened = 5,
    /// A link closes: link.
    Closed = 6,
    /// The next draw of randomness fails.
    NoEntropy = 7,
}

impl Deed {
    fn of(byte: u8) -> Self {
        match byte & 7 {
            0 => Self::Recorded,
            1 => Self::Patched,
            2 => Self::Composed,
            3 => Self::Time,
            4 => Self::Command,
            5 => Self::Opened,
            6 => Self::Closed,
            _ => Self::NoEntropy,
        }
    }
}

/// A machine that inputs are tried on.
pub trait Subject: Endpoint + Fingerprint + Clone + 'static {
    /// Calls a command.
    fn command(&mut self, cx: &mut Cx<'_>, which: u8, argument: u8);
}

/// A machine of a repaired group.
pub trait InStar: Subject {
    /// Its node in the session.
    fn node(star: &Star) -> Node<Self>;
}

impl InStar for Member {
    fn node(star: &Star) -> Node<Self> {
        star.members[0]
    }
}

impl InStar for Leader {
    fn node(star: &Star) -> Node<Self> {
        star.leader
    }
}

impl InStar for ThirdParty {
    fn node(star: &Star) -> Node<Self> {
        star.third_party
    }
}

impl Subject for Member {
    fn command(&mut self, cx: &mut Cx<'_>, which: u8, argument: u8) {
        match which % 4 {
            3 => {
                let to = [MemberId(u64::from(argument & 7)), MemberId(u64::from(argument >> 3))];
                let _ = self.say_privately(cx, &to, Port::Application, &[argument; 64]);
            }
            0 => {
                let _ = self.join(cx);
            }
            1 => {
                let _ = self.send(cx, Port::Application, &[argument; 64]);
            }
            _ => {
                let _ = self.leave(cx);
            }
        }
    }
}

impl Subject for Leader {
    fn command(&mut self, cx: &mut Cx<'_>, which: u8, argument: u8) {
        match which % 4 {
            3 => {
                let to = [MemberId(u64::from(argument & 7)), MemberId(u64::from(argument >> 3))];
                let _ = self.say_privately(cx, &to, Port::Application, &[argument; 64]);
            }
            0 => {
                let _ = self.rekey(cx);
            }
            1 => {
                let _ = self.send(cx, Port::Application, &[argument; 64]);
            }
            _ => {
                let _ = self.admit(cx, Ticket(u64::from(argument >> 1)), argument & 1 == 1);
            }
        }
    }
}

impl Subject for ThirdParty {
    fn command(&mut self, cx: &mut Cx<'_>, which: u8, argument: u8) {
        let leader = if which & 1 == 0 { "lea" } else { "m1" };
        let member = ["m1", "m2", "stranger", "disabled"][usize::from(which >> 1) % 4];
        let [leader, member] = [leader, member].map(|name| Name::new(name).unwrap());
        let _ = self.answer(cx, Ticket(u64::from(argument)), &records(&*yielding(), &leader, &member));
    }
}

/// A context that also tells the time of the day, for those who ask (D30).
fn at(now: Instant, rng: &mut FailingEntropy) -> Cx<'_> {
    let passed = u64::try_from(now.since(Instant::ORIGIN).as_millis()).unwrap_or(u64::MAX);
    Cx { wall: Some(WallClock(DAWN.0.saturating_add(passed))), ..Cx::new(now, rng) }
}

/// All that a session offers: the machine after each of its transitions, and the frames that it was given.
pub struct Scene<M> {
    /// With the time, and the number of the first frame that it has not been given yet.
    snapshots: Vec<(M, Instant, usize)>,
    frames: Vec<(Bytes, Instant)>,
    links: Vec<Link>,
}

/// Keeps what one node goes through.
struct Witness<M> {
    node: Node<M>,
    scene: Scene<M>,
}

impl<M: Subject> Checker for Witness<M> {
    fn name(&self) -> &'static str {
        "witness"
    }
    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        let Some(machine) = step.machine::<M>().filter(|_| step.node == self.node.id) else { return Ok(()) };
        match step.input {
            Input::Frame(frame) => self.scene.frames.push((frame.bytes.clone(), step.at)),
            Input::Opened(link, _) => self.scene.links.push(link),
            _ => {}
        }
        self.scene.snapshots.push((machine.clone(), step.at, self.scene.frames.len()));
        Ok(())
    }
}

impl<M: InStar> Scene<M> {
    /// A session of two members over a network that loses and repeats a little: joins, words to all and to some, a rekey, a leave.
    pub fn new() -> Result<Self, Stop> {
        let link = bad_link();
        let policy = Policy { frame_limit: 1_200, ..Policy::default() };
        let multicast = Some(link);
        let config = StarConfig { policy, link, multicast, ..StarConfig::new(yielding()) };
        let mut world = quiet_world();
        let star = Star::add(&mut world, config, 2)?;
        let witness = Witness::watch(&mut world, M::node(&star));
        star.join_all(&mut world, Duration::from_secs(60))?;
        for from in [0, 1, usize::MAX] {
            let _ = star.say(&mut world, from, b"a word")?;
            world.run_for(Duration::from_millis(200))?;
        }
        let cid = |world: &World, at: usize| star.members.get(at).and_then(|member| world.get(*member)?.cid());
        let (one, other) = (cid(&world, 0).unwrap_or_default(), cid(&world, 1).unwrap_or_default());
        for (from, to) in [(0, [MemberId::LEADER, other]), (1, [MemberId::LEADER, one]), (usize::MAX, [one, other])] {
            let _ = star.tell(&mut world, from, &to, b"a private word")?;
            world.run_for(Duration::from_millis(500))?;
        }
        let _ = world.with(star.leader, |leader, cx| leader.rekey(cx))?;
        world.run_for(Duration::from_secs(10))?;
        let _ = world.with(star.members[0], |member, cx| member.leave(cx))?;
        world.run_for(Duration::from_secs(3))?;
        Ok(Witness::scene(world, witness))
    }
}

/// It loses and repeats a little.
fn bad_link() -> LinkConfig {
    LinkConfig::DATAGRAM.faults(Faults { loss: 50, duplicate: 50, ..Faults::NONE })
}

fn quiet_world() -> World {
    let mut world = World::new(1);
    world.trace_mut().keep(0);
    world
}

impl<M: Subject> Witness<M> {
    fn watch(world: &mut World, node: Node<M>) -> Rc<RefCell<Self>> {
        let scene = Scene { snapshots: Vec::new(), frames: Vec::new(), links: Vec::new() };
        let witness = shared(Self { node, scene });
        world.add_checker(witness.clone());
        witness
    }

    /// What it has kept.
    fn scene(world: World, witness: Rc<RefCell<Self>>) -> Scene<M> {
        drop(world);
        let Ok(witness) = Rc::try_unwrap(witness) else { unreachable!("the world is gone") };
        witness.into_inner().scene
    }
}

impl<M: Subject> Scene<M> {
    /// How many snapshots there are.
    pub fn snapshots(&self) -> usize {
        self.snapshots.len()
    }

    /// How many frames there are.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Does what `input` says. Returns how many frames were not refused.
    ///
    /// # Panics
    /// If something does not hold.
    pub fn play(&self, input: &[u8]) -> u64 {
        let mut bytes = Cursor(input);
        let (Some(number), false) = (bytes.u16(), self.snapshots.is_empty()) else { return 0 };
        let (machine, now, next) = &self.snapshots[usize::from(number) % self.snapshots.len()];
        let before = taken(machine);
        let rng = FailingEntropy::new(SimRng::new(9));
        let mut play = Play { machine: machine.clone(), now: *now, next: *next, rng };
        for _ in 0..DEEDS {
            if play.deed(self, &mut bytes).is_none() {
                break;
            }
            play.drain();
        }
        taken(&play.machine) - before
    }

    fn link(&self, byte: u8) -> Link {
        // One link that nobody has announced.
        self.links.get(usize::from(byte) % (self.links.len() + 1)).copied().unwrap_or(Link(u64::MAX))
    }
}

fn taken(machine: &impl Endpoint) -> u64 {
    let stats = machine.stats();
    stats.frames_in.saturating_sub(stats.rejections())
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }
    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, back) = self.0.split_at_checked(count)?;
        self.0 = back;
        Some(front)
    }
}

struct Play<M> {
    machine: M,
    now: Instant,
    next: usize,
    rng: FailingEntropy,
}

impl<M: Subject> Play<M> {
    /// The next deed, if the input has one.
    fn deed(&mut self, scene: &Scene<M>, bytes: &mut Cursor<'_>) -> Option<()> {
        let deed = Deed::of(bytes.u8()?);
        let argument = bytes.u8()?;
        match deed {
            Deed::Recorded => {
                let (frame, at) = self.recorded(scene, bytes)?;
                if argument & 0x80 != 0 {
                    self.wait(at);
                }
                self.frame(scene.link(argument & 0x7f), &frame);
            }
            Deed::Patched => {
                let mut frame = self.recorded(scene, bytes)?.0.to_vec();
                let (seal, count) = (bytes.u8()?, bytes.u8()?);
                for _ in 0..count % 16 {
                    let (at, value) = (usize::from(bytes.u16()?), bytes.u8()?);
                    let length = frame.len().max(1);
                    if let Some(byte) = frame.get_mut(at % length) {
                        *byte = value;
                    }
                }
                self.frame(scene.link(argument), &sealed(&frame, seal));
            }
            Deed::Composed => {
                let (code, seal, length) = (bytes.u8()?, bytes.u8()?, bytes.u16()?);
                let body = bytes.take(usize::from(length).min(bytes.0.len()))?;
                // Where there are frames of two editions, of either.
                let header = scene.frames.get(usize::from(code) % scene.frames.len().max(1))?.0.get(..4)?;
                let frame = [header, &[code], body].concat();
                self.frame(scene.link(argument), &sealed(&frame, seal));
            }
            Deed::Time => {
                let steps = u64::from(argument);
                self.now = self.now + Duration::from_millis(20 * steps * steps);
                self.machine.handle_timeout(&mut at(self.now, &mut self.rng)).unwrap();
            }
            Deed::Command => {
                let value = bytes.u8()?;
                self.machine.command(&mut at(self.now, &mut self.rng), argument, value);
            }
            Deed::Opened => {
                let kind = bytes.u8()?;
                let info = LinkInfo {
                    max_frame: if kind & 1 == 0 { 1_200 } else { MAX_FRAME },
                    reliable: kind & 2 == 0,
                    proven: kind & 4 == 0,
                    shared: kind & 8 != 0,
                    answers: (kind & 16 == 0).then_some(LinkTicket(u64::from(kind >> 5))),
                };
                let link = Link(1_000 + u64::from(argument));
                self.machine.handle_link_opened(&mut at(self.now, &mut self.rng), link, info).unwrap();
            }
            Deed::Closed => {
                let link = scene.link(argument);
                self.machine.handle_link_closed(&mut at(self.now, &mut self.rng), link).unwrap();
            }
            Deed::NoEntropy => self.rng.arm(u64::from(argument)),
        }
        Some(())
    }

    /// Lets all deadlines up to `until` come.
    fn wait(&mut self, until: Instant) {
        for _ in 0..DEEDS {
            match self.machine.poll_timeout() {
                Wake::At(at, _) if at <= until => self.now = self.now.max(at),
                Wake::Now(_) => {}
                Wake::At(..) | Wake::OnInput => break,
            }
            self.machine.handle_timeout(&mut at(self.now, &mut self.rng)).unwrap();
            self.drain();
        }
        self.now = self.now.max(until);
    }

    /// A recorded frame, counted from the first that is still to come.
    fn recorded(&self, scene: &Scene<M>, bytes: &mut Cursor<'_>) -> Option<(Bytes, Instant)> {
        let number = self.next + usize::from(bytes.u16()?);
        scene.frames.get(number % scene.frames.len().max(1)).cloned()
    }

    fn frame(&mut self, link: Link, frame: &[u8]) {
        let before = fingerprint_of(&self.machine, self.now);
        self.machine.handle_frame(&mut at(self.now, &mut self.rng), link, BytesMut::from(frame)).unwrap();
        let mut after = None;
        let mut seen = 0;
        while let Some(event) = self.machine.poll_event() {
            // The event itself takes room in the queue, which is a part of the state: so look when it is out.
            seen += 1;
            after = Some(event);
        }
        if let (Some(Event::Rejected { why, .. }), 1) = (after, seen) {
            let early = matches!(
                why,
                Reason::Malformed | Reason::Mismatch | Reason::Misdirected | Reason::Forged | Reason::Oversize
            );
            if early {
                assert_eq!(fingerprint_of(&self.machine, self.now), before, "refused as {why:?}, but changed");
            }
        }
    }

    fn drain(&mut self) {
        for _ in 0..BURST {
            let transmit = self.machine.poll_transmit(&mut at(self.now, &mut self.rng));
            if let Some(transmit) = &transmit {
                assert!(transmit.frame.len() <= MAX_FRAME);
            }
            let event = self.machine.poll_event();
            if transmit.is_none() && event.is_none() {
                return;
            }
        }
        panic!("output without end");
    }
}

/// The frame with tags that verify, if `seal` is odd and it is one: its own, those of key blocks, and those of a frame
/// inside.
fn sealed(frame: &[u8], seal: u8) -> Vec<u8> {
    let Ok(mut draft) = Draft::of(&Tables::default(), frame) else { return frame.to_vec() };
    if seal & 1 == 0 {
        return frame.to_vec();
    }
    // Published messages have no tag of the whole.
    if draft.info.edition == Edition::Repaired {
        draft.tag = MASTER.to_vec();
    }
    retag(&mut draft.clear);
    draft.frame().to_vec()
}

fn retag(value: &mut Value) {
    let name = value.name;
    match &mut value.content {
        Content::Leaf(bytes) if name == "tag" => {
            *bytes = [&16u16.to_be_bytes()[..], &MASTER].concat();
        }
        // As published: codes, signatures and boxes, each in its place.
        Content::Leaf(bytes) if matches!(name, "digest" | "mac" | "signature") && bytes.len() >= 18 => {
            bytes[2..18].copy_from_slice(&MASTER);
        }
        Content::Leaf(bytes) if name == "sealed" && bytes.len() >= 20 => {
            let from = bytes.len() - 16;
            bytes[from..].copy_from_slice(&MASTER);
        }
        Content::Leaf(bytes) if name == "join" => {
            let inner = sealed(bytes.get(2..).unwrap_or_default(), 1);
            if let Ok(length) = u16::try_from(inner.len()) {
                *bytes = [&length.to_be_bytes()[..], &inner].concat();
            }
        }
        Content::Leaf(_) => {}
        Content::Parts(parts) | Content::Nested(parts) | Content::Items(parts) => parts.iter_mut().for_each(retag),
    }
}

/// Some inputs to start from: the frames that come next, with and without changes, and all other deeds.
pub fn seeds<M: Subject>(scene: &Scene<M>) -> Vec<(String, Vec<u8>)> {
    let snapshots = scene.snapshots();
    let mut all = Vec::new();
    for part in 0..8usize {
        let snapshot = ((snapshots * part / 8) as u16).to_be_bytes();
        let mut input = snapshot.to_vec();
        for offset in 0..6u8 {
            input.extend([Deed::Recorded as u8, 0x80]);
            input.extend([0, offset]);
        }
        all.push((format!("recorded-{part}"), input));
        let mut input = snapshot.to_vec();
        for offset in 0..6u8 {
            input.extend([Deed::Patched as u8, 0]);
            input.extend([0, offset]);
            // In frames of the channel that is the end of their number: a higher one, sealed again.
            input.extend([1, 1, 0, 36, 0xf0 + offset]);
        }
        all.push((format!("patched-{part}"), input));
        let mut input = snapshot.to_vec();
        for step in 0..6u8 {
            input.extend([Deed::Time as u8, step * 6]);
            input.extend([Deed::Command as u8, step, part as u8]);
            input.extend([Deed::NoEntropy as u8, 1]);
        }
        input.extend([Deed::Opened as u8, 1, 0, Deed::Closed as u8, 0]);
        input.extend([Deed::Composed as u8, 0, 1 + part as u8, 1, 0, 40]);
        input.extend([0; 40]);
        all.push((format!("deeds-{part}"), input));
    }
    all
}
