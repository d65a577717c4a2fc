//! A small group for [`super::search()`]: the real machines of a third party, a leader and some members, the frames
//! between them, and an adversary who decides which frame arrives next, how often, and when time passes.
//!
//! A frame that is never chosen is lost, so loss and reordering need no actions of their own. Frames between leader and
//! third party arrive at once: that exchange is searched on its own by who needs it. Time stands still but for
//! [`Action::Timeout`], which moves it to the next deadline of any machine.
//!
//! What is checked in each state is written down as it happens (`Past`): epochs only grow (S5), who installs an epoch
//! has the leader's view of it (S5, R27), nothing is delivered twice (S9), nobody is admitted more often than it asked
//! (S3) nor removed without a cause (S6), and who has been shown a newer epoch uses no older one (A17).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::craft::Tables;
use super::rng::{Mixer, SimRng};
use super::search::State;
use super::star::{self, StarConfig};
use crate::antigone::{Leader, Member};
use crate::endpoint::{Cx, Endpoint, Instant, Link, LinkInfo, LinkTicket, Transmit, Wake};
use crate::error::CommandError;
use crate::event::{Event, Peer, Port};
use crate::fingerprint::Fingerprint;
use crate::identity::{Epoch, MemberId, Name, Version};
use crate::ttp::ThirdParty;
use crate::wire::field::Digest;

mod watch;

/// Most timeouts in a row that work which is due now may take.
const AT_ONCE: usize = 64;
/// The link between leader and third party, at both.
const THIRD_PARTY: Link = Link(1_000);

/// Something that an application does. The script's moves happen in order, each at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// This member joins.
    Join(usize),
    /// This member leaves.
    Leave(usize),
    /// This member says the number of the move, if it can send.
    Say(usize),
    /// The leader changes the key.
    Rekey,
}

/// A frame, and where it arrives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// `None`: the leader.
    to: Option<usize>,
    link: Link,
    bytes: Bytes,
    id: &'static str,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Some(member) => write!(f, "{} to m{} ({:08x})", self.id, member + 1, Mixer::of(&self.bytes) as u32),
            None => write!(f, "{} to the leader ({:08x})", self.id, Mixer::of(&self.bytes) as u32),
        }
    }
}

/// One thing that can happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// A frame arrives for the first time.
    Deliver(Frame),
    /// A frame that arrived before arrives again.
    Replay(Frame),
    /// Time moves to the next deadline.
    Timeout,
    /// The next move of the script.
    Do(Move),
}

/// What a search may do, and what it has come across.
#[derive(Debug)]
pub struct Setting {
    config: StarConfig,
    tables: Tables,
    script: Vec<Move>,
    replayed: Vec<&'static str>,
    in_flight: usize,
    /// The highest epoch installed by a member in any state.
    pub epoch: AtomicUsize,
    /// Most members joined in one state.
    pub joined: AtomicUsize,
    /// Most messages delivered on one path.
    pub delivered: AtomicUsize,
    /// Frames refused, on all paths.
    pub refused: AtomicUsize,
}

/// What has happened, as far as the checks need it.
#[derive(Clone, Debug, Default)]
struct Past {
    wrong: Option<String>,
    /// Installed by each member in its present session.
    installed: Vec<Epoch>,
    /// The newest epoch that an authentic frame showed each member.
    shown: Vec<Epoch>,
    /// What each epoch of the leader said of the view.
    facts: BTreeMap<Epoch, (Version, Digest)>,
    joins: BTreeMap<Name, u64>,
    added: BTreeMap<Name, u64>,
    cids: BTreeMap<MemberId, Name>,
    left: BTreeSet<Name>,
    delivered: BTreeSet<(Option<usize>, Bytes)>,
}

/// The state of a small group.
#[derive(Clone, Debug)]
pub struct Model {
    setting: Arc<Setting>,
    now: Instant,
    third_party: ThirdParty,
    leader: Leader,
    members: Vec<Member>,
    draws: Vec<SimRng>,
    /// The oldest first.
    flight: Vec<Frame>,
    record: BTreeSet<Frame>,
    moves: usize,
    replays: u32,
    timeouts: u32,
    past: Past,
}

/// Link of member `n`, at the leader and at itself.
fn link_of(n: usize) -> Link {
    Link(n as u64 + 1)
}

impl Model {
    /// A group of `config` in which nobody has joined. See [`Self::allowing`] for what may happen to it.
    ///
    /// # Errors
    /// What the machines say to `config`.
    pub fn new(config: StarConfig, members: usize, script: &[Move]) -> Result<Self, CommandError> {
        let root = SimRng::new(0x5ea7);
        let mut draws: Vec<_> = (0..=members as u64).map(|label| root.fork(label)).collect();
        let now = Instant::from_micros(1_000_000);
        let mut opening = root.fork(0x1ead);
        let mut leader = star::leader_machine(&config, &mut Cx::new(now, &mut opening))?;
        let third_party = ThirdParty::new(config.suite.clone(), config.limits);
        let mut machines = Vec::new();
        for n in 0..members {
            machines.push(star::member_machine(&config, &format!("m{}", n + 1))?);
        }
        let info = LinkInfo::stream(config.link.max_frame);
        for (n, (machine, rng)) in machines.iter_mut().zip(&mut draws).enumerate() {
            // Opening a link cannot fail, and draws nothing.
            let _ = leader.handle_link_opened(&mut Cx::new(now, rng), link_of(n), info);
            let _ = machine.handle_link_opened(&mut Cx::new(now, rng), link_of(n), info);
        }
        let setting = Setting {
            config,
            tables: Tables::default(),
            script: script.to_vec(),
            replayed: Vec::new(),
            in_flight: 8,
            epoch: AtomicUsize::new(0),
            joined: AtomicUsize::new(0),
            delivered: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        };
        let mut model = Self {
            setting: Arc::new(setting),
            now,
            third_party,
            leader,
            members: machines,
            draws,
            flight: Vec::new(),
            record: BTreeSet::new(),
            moves: 0,
            replays: 0,
            timeouts: 0,
            past: Past {
                installed: alloc::vec![Epoch(0); members],
                shown: alloc::vec![Epoch(0); members],
                ..Past::default()
            },
        };
        model.settle_leader();
        Ok(model)
    }

    /// What the adversary may do from here: replay so many frames of these kinds, and let time pass so many times. At most
    /// eight frames are under way; older ones are lost, or arrive by replay.
    #[must_use]
    pub fn allowing(mut self, replays: u32, replayed: &[&'static str], timeouts: u32) -> Self {
        let old = &self.setting;
        self.setting = Arc::new(Setting {
            config: old.config.clone(),
            tables: old.tables.clone(),
            script: old.script.clone(),
            replayed: replayed.to_vec(),
            in_flight: old.in_flight,
            epoch: AtomicUsize::new(0),
            joined: AtomicUsize::new(0),
            delivered: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        (self.replays, self.timeouts) = (replays, timeouts);
        self.record.retain(|frame| replayed.contains(&frame.id));
        self
    }

    /// What the search has come across, so that a test can tell a search from standing still.
    pub fn setting(&self) -> Arc<Setting> {
        self.setting.clone()
    }

    /// Plays the next `moves` moves of the script over a good network, each to its end: the start of a search for what
    /// happens afterwards.
    #[must_use]
    pub fn played(mut self, moves: usize) -> Self {
        for _ in 0..moves {
            self.make_move();
            // Everything arrives, oldest first, until the last rekey of the move has been made and its grace is over.
            let until = self.now + self.setting.config.policy.grace.saturating_mul(2) + Duration::from_millis(600);
            loop {
                if let Some(frame) = self.flight.first().cloned() {
                    self.arrive(&frame);
                } else if self.next_deadline().is_none_or(|(at, _)| at > until) {
                    break;
                } else {
                    self.pass_time();
                }
            }
        }
        self
    }

    /// A member's machine.
    pub fn member(&self, n: usize) -> Option<&Member> {
        self.members.get(n)
    }

    fn name(n: usize) -> String {
        format!("m{}", n + 1)
    }

    // ---- what happens ----

    fn make_move(&mut self) {
        let Some(step) = self.setting.script.get(self.moves).copied() else { return };
        self.moves += 1;
        let now = self.now;
        match step {
            Move::Rekey => {
                if let Some(rng) = self.draws.last_mut() {
                    let _ = self.leader.rekey(&mut Cx::new(now, rng));
                }
                self.settle_leader();
            }
            Move::Join(n) | Move::Leave(n) | Move::Say(n) => {
                let (Some(member), Some(rng)) = (self.members.get_mut(n), self.draws.get_mut(n)) else { return };
                let cx = &mut Cx::new(now, rng);
                let name = member.name().clone();
                // What is not possible now does nothing.
                match step {
                    Move::Join(_) => {
                        if member.join(cx).is_ok() {
                            *self.past.joins.entry(name).or_default() += 1;
                        }
                    }
                    Move::Leave(_) => {
                        if member.leave(cx).is_ok() {
                            self.past.left.insert(name);
                        }
                    }
                    _ => drop(member.send(cx, Port::Application, format!("text {}", self.moves).as_bytes())),
                }
                self.settle_member(n);
            }
        }
    }

    fn arrive(&mut self, frame: &Frame) {
        self.flight.retain(|other| other != frame);
        if self.setting.replayed.is_empty() || self.setting.replayed.contains(&frame.id) {
            self.record.insert(frame.clone());
        }
        let (now, bytes) = (self.now, BytesMut::from(&*frame.bytes));
        match frame.to {
            None => {
                if let Some(rng) = self.draws.last_mut() {
                    let result = self.leader.handle_frame(&mut Cx::new(now, rng), frame.link, bytes);
                    self.fatal(result.err());
                }
                self.settle_leader();
            }
            Some(n) => {
                if let (Some(member), Some(rng)) = (self.members.get_mut(n), self.draws.get_mut(n)) {
                    let result = member.handle_frame(&mut Cx::new(now, rng), frame.link, bytes);
                    self.fatal(result.err());
                }
                self.settle_member(n);
            }
        }
    }

    fn fatal(&mut self, fatal: Option<crate::error::Fatal>) {
        if let Some(fatal) = fatal {
            self.wrong(fatal.to_string());
        }
    }

    fn wrong(&mut self, text: String) {
        self.past.wrong.get_or_insert(text);
    }

    /// The next deadline and whose it is.
    fn next_deadline(&self) -> Option<(Instant, Option<usize>)> {
        let at = |wake: Wake| match wake {
            Wake::At(at, _) => Some(at),
            Wake::Now(_) => Some(self.now),
            Wake::OnInput => None,
        };
        let members = self.members.iter().enumerate().map(|(n, member)| (at(member.poll_timeout()), Some(n)));
        let all = members.chain([(at(self.leader.poll_timeout()), None)]);
        all.filter_map(|(at, who)| Some((at?, who))).min()
    }

    fn pass_time(&mut self) {
        let Some((at, who)) = self.next_deadline() else { return };
        self.now = self.now.max(at);
        match who {
            Some(n) => self.settle_member(n),
            None => self.settle_leader(),
        }
    }

    /// Lets a machine do what is due now, and takes its outputs.
    fn settle_member(&mut self, n: usize) {
        let now = self.now;
        let (Some(member), Some(rng)) = (self.members.get_mut(n), self.draws.get_mut(n)) else { return };
        let mut cx = Cx::new(now, rng);
        let (sent, events, fatal) = settle(member, &mut cx);
        self.fatal(fatal);
        for transmit in sent {
            self.launch(false, &transmit);
        }
        let refused = events.iter().filter(|event| matches!(event, Event::Rejected { .. })).count();
        self.setting.refused.fetch_add(refused, Ordering::Relaxed);
        for event in &events {
            self.note_member(n, event);
        }
        self.judge_member(n);
    }

    fn settle_leader(&mut self) {
        let now = self.now;
        for _ in 0..AT_ONCE {
            let Some(rng) = self.draws.last_mut() else { return };
            let (sent, events, fatal) = settle(&mut self.leader, &mut Cx::new(now, rng));
            self.fatal(fatal);
            self.note_leader(&events);
            let mut again = false;
            for transmit in sent {
                if transmit.to.links().any(|link| link == THIRD_PARTY) {
                    again |= self.ask_third_party(&transmit.frame);
                } else {
                    self.launch(true, &transmit);
                }
            }
            for event in events {
                if let Event::LinkWanted { ticket, peer: Peer::ThirdParty, .. } = event {
                    self.open_third_party(ticket);
                    again = true;
                }
            }
            if !again {
                return;
            }
        }
    }

    fn open_third_party(&mut self, ticket: LinkTicket) {
        let info = LinkInfo { answers: Some(ticket), ..LinkInfo::stream(self.setting.config.link.max_frame) };
        let now = self.now;
        if let Some(rng) = self.draws.last_mut() {
            let cx = &mut Cx::new(now, rng);
            let _ = self.leader.handle_link_opened(cx, THIRD_PARTY, info);
            let _ = self.third_party.handle_link_opened(cx, THIRD_PARTY, info);
        }
    }

    /// A whole exchange with the third party, at once. True if the leader was given an answer.
    fn ask_third_party(&mut self, frame: &[u8]) -> bool {
        let (now, suite) = (self.now, self.setting.config.suite.clone());
        let Some(rng) = self.draws.last_mut() else { return false };
        let cx = &mut Cx::new(now, rng);
        let _ = self.third_party.handle_frame(cx, THIRD_PARTY, BytesMut::from(frame));
        while let Some(event) = self.third_party.poll_event() {
            if let Event::LookupWanted { ticket, leader, member } = event {
                let _ = self.third_party.answer(cx, ticket, &star::records(&*suite, &leader, &member));
            }
        }
        let mut answered = false;
        while let Some(transmit) = self.third_party.poll_transmit(cx) {
            let _ = self.leader.handle_frame(cx, THIRD_PARTY, BytesMut::from(&*transmit.frame));
            answered = true;
        }
        answered
    }

    /// Puts what a machine sent on its way.
    fn launch(&mut self, outwards: bool, transmit: &Transmit) {
        for link in transmit.to.links() {
            let member = usize::try_from(link.0).ok().and_then(|link| link.checked_sub(1));
            let id = self.setting.tables.id(&transmit.frame);
            let frame = Frame { to: member.filter(|_| outwards), link, bytes: transmit.frame.clone(), id };
            if !self.flight.contains(&frame) {
                self.flight.push(frame);
            }
        }
        let over = self.flight.len().saturating_sub(self.setting.in_flight);
        let late: Vec<_> = self.flight.drain(..over).collect();
        self.record.extend(late.into_iter().filter(|frame| self.setting.replayed.contains(&frame.id)));
    }
}

/// Lets a machine do what is due, and takes its outputs.
fn settle(machine: &mut dyn Endpoint, cx: &mut Cx<'_>) -> (Vec<Transmit>, Vec<Event>, Option<crate::error::Fatal>) {
    let (mut sent, mut events) = (Vec::new(), Vec::new());
    for _ in 0..AT_ONCE {
        while let Some(transmit) = machine.poll_transmit(cx) {
            sent.push(transmit);
        }
        while let Some(event) = machine.poll_event() {
            events.push(event);
        }
        let due = match machine.poll_timeout() {
            Wake::Now(_) => true,
            Wake::At(at, _) => at <= cx.now,
            Wake::OnInput => false,
        };
        if !due {
            break;
        }
        if let Err(fatal) = machine.handle_timeout(cx) {
            return (sent, events, Some(fatal));
        }
    }
    (sent, events, None)
}

impl State for Model {
    type Action = Action;

    fn actions(&self) -> Vec<Action> {
        let mut actions: Vec<_> =
            self.setting.script.get(self.moves).map(|step| Action::Do(*step)).into_iter().collect();
        actions.extend(self.flight.iter().cloned().map(Action::Deliver));
        if self.replays > 0 {
            actions.extend(self.record.iter().cloned().map(Action::Replay));
        }
        if self.timeouts > 0 {
            actions.push(Action::Timeout);
        }
        actions
    }

    fn apply(&self, action: &Action) -> Option<Self> {
        let mut next = self.clone();
        match action {
            Action::Do(_) => next.make_move(),
            Action::Deliver(frame) => next.arrive(frame),
            Action::Replay(frame) => {
                next.replays -= 1;
                next.arrive(frame);
            }
            Action::Timeout => {
                next.next_deadline()?;
                next.timeouts -= 1;
                next.pass_time();
            }
        }
        if next.replays == 0 {
            next.record.clear();
        }
        Some(next)
    }

    fn digest(&self) -> u128 {
        let mut mixer = Mixer::new();
        self.third_party.fingerprint(self.now, &mut mixer);
        self.leader.fingerprint(self.now, &mut mixer);
        for member in &self.members {
            member.fingerprint(self.now, &mut mixer);
        }
        let flight: BTreeSet<_> = self.flight.iter().cloned().collect();
        for (place, frames) in [(1, &flight), (2, &self.record)] {
            mixer.number(place);
            mixer.number(frames.len() as u64);
            for frame in frames {
                mixer.number(frame.to.map_or(u64::MAX, |to| to as u64));
                mixer.number(frame.link.0);
                mixer.text(&frame.bytes);
            }
        }
        for number in [self.moves as u64, u64::from(self.replays), u64::from(self.timeouts)] {
            mixer.number(number);
        }
        let past = &self.past;
        for epoch in past.installed.iter().chain(&past.shown) {
            mixer.number(epoch.0);
        }
        for (who, text) in &past.delivered {
            mixer.number(who.map_or(u64::MAX, |who| who as u64));
            mixer.text(text);
        }
        mixer.number(u64::from(past.wrong.is_some()));
        for rng in &self.draws {
            // The next draws are part of the state; a copy gives one of them.
            mixer.number(rng.clone().draw());
        }
        mixer.digest()
    }

    fn check(&self) -> Result<(), String> {
        self.past.wrong.clone().map_or(Ok(()), Err)
    }
}
