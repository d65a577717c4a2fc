//! The leader of a mixed group.
//!
//! `frames.rs` holds what an input frame does, `joins.rs` how a wish to join gets to its verdict, `offers.rs` the answer, `turn.rs` how members
//! come and go and keys change, `output.rs` what each member is owed, `time.rs` what a deadline does.

mod ejection;
mod frames;
mod joins;
mod offers;
mod output;
mod peer;
mod time;
mod turn;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::BytesMut;

use super::faults::Faults;
use super::plane::Plane;
use super::sides::Sides;
use crate::antigone::Access;
use crate::antigone::keys::Issue;
use crate::antigone::leave::Lingering;
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::{Key, Suite};
use crate::endpoint::{Class, Cx, Endpoint, Instant, Link, LinkInfo, To, Transmit};
use crate::error::{CommandError, Failure, Fatal, Misuse, Reason};
use crate::event::{Cause, Causes, EndReason, Ending, Event, Port, Ticket};
use crate::group::alike::outputs;
use crate::group::questions::Questions;
use crate::group::station::{Identity, Station};
use crate::group::{Jitter, KeyUse, Limits, Outbox, Strangers, Timers, View, Wish};
use crate::identity::{Epoch, Instance, MemberId, Name, Version};
use crate::policy::{Communication, Historic, Part, Policy, Views};
use crate::ttp::schedule::LeaderKeys;
use crate::wire::field::VerifyingKey;
use joins::{Pending, PendingId};
use peer::{Peer, Timer};

/// The most frames that one input queues: a relayed message twice over, a rekey, a key, an answer.
const FRAMES: usize = 6;
/// The most events that one input queues, apart from the changes of a view.
const EVENTS: usize = 8;

/// Who a leader of a mixed group is, and what its group is like.
#[derive(Debug, Clone)]
pub struct LeaderConfig {
    /// Says that this is known to protect nothing.
    pub historic: Historic,
    /// The suite of repaired parts.
    pub suite: Arc<dyn Suite>,
    /// The suite of published parts: that which the policy's mix names.
    pub published: Arc<dyn PublishedSuite>,
    /// The application, at most 200 bytes.
    pub app: Name,
    /// The own name, as registered at the third party, flagged as a leader.
    pub name: Name,
    /// The key shared with the third party. Published parts get a key that is derived from it (RA §2, I-8).
    pub key: Key<role::LongTerm>,
    /// What the group is like. Its [`Policy::mix`] names the parts that are as published.
    pub policy: Policy,
    /// Who may join.
    pub access: Access,
    /// Wrong rules: [`Faults::NONE`].
    pub faults: Faults,
    /// Bounds and times.
    pub limits: Limits,
}

/// The leader of a group with parts as published.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Leader {
    me: Me,
    out: Outbox,
    jitter: Jitter,
    links: BTreeMap<Link, LinkInfo>,
    third_party: Option<Link>,
    wanted: Wish,
    next_ticket: u64,
    plane: Plane,
    /// As it was given: the plane's shows no numbered views.
    policy: Policy,
    /// The facts of the newest key, where keys are repaired.
    issue: Option<Issue>,
    /// S_SL (D11).
    sequence: u64,
    /// (Pu_G, Pr_G), where heartbeats are as published.
    signing: Option<(Key<role::Signing>, VerifyingKey)>,
    pendings: BTreeMap<PendingId, Pending>,
    next_pending: u64,
    peers: BTreeMap<MemberId, Peer>,
    names: BTreeMap<Name, MemberId>,
    lingering: BTreeMap<MemberId, Lingering>,
    next_cid: u64,
    /// Names of data that are of no member, with numbers for events.
    strangers: Strangers,
    due: Causes,
    key_use: KeyUse,
    questions: Questions,
    closed: bool,
    timers: Timers<Timer>,
    work: BTreeSet<MemberId>,
    at: MemberId,
    everybody: Arc<[Link]>,
    shared: Arc<[Link]>,
}

fingerprint!(Leader {
    third_party, wanted, plane, issue, sequence, pendings, peers, names, lingering, next_cid, due, key_use, questions, closed,
    timers, work, out,
} skip { me, strangers, jitter, links, next_ticket, policy, signing, next_pending, at, everybody, shared });

#[derive(Debug, Clone)]
struct Me {
    sides: Sides,
    name: Name,
    keys: LeaderKeys,
    published_key: Key<role::PublishedLongTerm>,
    access: Access,
    faults: Faults,
    limits: Limits,
}

impl Leader {
    /// Opens a group: draws the instance, the signature pair and the first key. The leader is its first member.
    ///
    /// # Errors
    /// [`Misuse::Policy`] if the policy contradicts itself, names no part as published, or another suite than the one
    /// given, or if a name is none under that suite (D2); [`Misuse::KeyLength`], [`Failure`].
    pub fn open(config: LeaderConfig, cx: &mut Cx<'_>) -> Result<Self, CommandError> {
        let LeaderConfig { historic: _, suite, published, app, name, key, policy, access, faults, limits } = config;
        let mix = policy.mix.filter(|mix| mix.suite == published.id()).ok_or(Misuse::Policy)?;
        let fits = published.admits(name.by_ref()) && app.as_str().len() <= crate::wire::published::MAX_APP;
        if policy.check().is_err() || !fits {
            return Err(Misuse::Policy.into());
        }
        if !policy.objects.is_empty() {
            return Err(Misuse::SharedObjects.into());
        }
        if key.secret().len() != suite.sizes().long_term {
            return Err(Misuse::KeyLength.into());
        }
        let sides = Sides { modern: suite, published, mix, app, leader: name.clone() };
        let modern = &*sides.modern;
        let keys = LeaderKeys::derive(modern, &key, name.by_ref()).map_err(Failure::from)?;
        let published_key =
            Key::new(sides.published.long_term(modern, key.secret(), name.by_ref()).map_err(Failure::from)?);
        let mut group = Instance([0; 16]);
        cx.rng.fill(&mut group.0).map_err(Failure::from)?;
        let mut seed = [0; 8];
        cx.rng.fill(&mut seed).map_err(Failure::from)?;
        let signing = if sides.is_published(Part::LeaderHeartbeat) {
            let (secret, public) = sides.published.signing_pair(cx.rng).map_err(Failure::from)?;
            Some((Key::new(secret), public))
        } else {
            None
        };
        let identity = Identity { group, cid: MemberId::LEADER, name: name.clone(), origin: None };
        // The leader numbers members for itself; nobody else sees numbers.
        let hidden = Policy { views: Views::Hidden, ..policy.clone() };
        let header = sides.repaired_header();
        let mut station = Station::new(sides.modern.clone(), header, &limits, hidden, Version(1), identity, 0)?;
        station.policy_digest = modern.hash(&[&policy.encode()]).map_err(Failure::from)?;
        let entry = Station::leader_entry(&name, VerifyingKey::NONE);
        let step = station.view.prepare(modern, &group, [entry]).map_err(|_| Failure::Suite)?;
        let mut out = Outbox::new(&limits);
        let now = out.tick(cx.now);
        let changes = station.view.commit(step);
        let key_use = KeyUse::new(now);
        let mut leader = Self {
            plane: Plane::new(station, name.clone(), limits.senders),
            policy,
            me: Me { sides, name, keys, published_key, access, faults, limits },
            out,
            jitter: Jitter::new(u64::from_be_bytes(seed)),
            links: BTreeMap::new(),
            third_party: None,
            wanted: Wish::new(),
            next_ticket: 1,
            issue: None,
            sequence: 0,
            signing,
            pendings: BTreeMap::new(),
            next_pending: 0,
            peers: BTreeMap::new(),
            names: BTreeMap::new(),
            lingering: BTreeMap::new(),
            next_cid: 1,
            strangers: Strangers::default(),
            due: Causes::NONE,
            key_use,
            questions: Questions::new(limits.ejection_questions),
            closed: false,
            timers: Timers::new(),
            work: BTreeSet::new(),
            at: MemberId::LEADER,
            everybody: Arc::new([]),
            shared: Arc::new([]),
        };
        let (ready, issue) = leader.draw_key(cx.rng, Causes::of(Cause::Open))?;
        let epoch = ready.epoch();
        leader.plane.install(ready, now, false);
        (leader.issue, leader.sequence) = (issue, 1);
        leader.timers.set(Timer::KeyAge, leader.key_use.ages_at(&leader.plane.station.policy));
        leader.arm_beat(now);
        leader.out.event(Event::Joined { group, cid: MemberId::LEADER, epoch });
        leader.out.burst(changes.iter().map(crate::group::ViewChange::to_event));
        Ok(leader)
    }

    /// Sends a message to the group.
    ///
    /// # Errors
    /// [`Misuse::TooLong`], [`Misuse::Closed`], [`Misuse::KeyExhausted`], [`CommandError::Full`], [`Failure`].
    pub fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let frame = self.plane.seal(&self.me.sides, cx, &mut self.out, now, port, payload)?;
        self.out.stats.sealed += 1;
        self.use_key(now, payload.len());
        let to = self.data_links();
        if !to.is_empty() {
            self.out.send(Transmit { to: To::Many(to), frame, class: Class::Data });
        }
        Ok(())
    }

    /// The longest payload of [`Self::send`], in bytes.
    pub fn max_message(&self) -> usize {
        self.plane.max_message(&self.me.sides)
    }

    /// Changes the group key.
    ///
    /// # Errors
    /// [`Misuse::Closed`], [`CommandError::Full`], [`Failure`].
    pub fn rekey(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let due = self.due;
        self.due = due.with(Cause::Command);
        let turned = self.turn(cx, now, None, &[], true);
        // Nothing has changed if it failed.
        turned.map(drop).inspect_err(|_| self.due = due).map_err(super::plane::failure_of)
    }

    /// Answers [`Event::AdmissionWanted`].
    ///
    /// # Errors
    /// [`Misuse::NoTicket`], [`Misuse::Closed`], [`CommandError::Full`], [`Failure`].
    pub fn admit(&mut self, cx: &mut Cx<'_>, ticket: Ticket, admit: bool) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let id = self.deciding(ticket).ok_or(Misuse::NoTicket)?;
        self.decide(cx, now, id, admit).map_err(super::plane::failure_of)
    }

    /// Closes the group. Where leaving is repaired, members are told; as published there is no message for it, and they
    /// notice by silence.
    ///
    /// # Errors
    /// [`Misuse::Closed`], [`CommandError::Full`].
    pub fn close(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let members: Vec<MemberId> = self.peers.keys().copied().collect();
        for cid in members {
            if let Some(peer) = self.take_out(cid) {
                self.see_off(now, cid, peer, EndReason::Closing, MemberId::LEADER);
            }
        }
        let pendings: Vec<PendingId> = self.pendings.keys().copied().collect();
        pendings.into_iter().for_each(|id| self.drop_pending(id));
        for timer in [Timer::Rekey, Timer::KeyAge, Timer::Beat, Timer::Grace, Timer::Ejection] {
            self.timers.set(timer, None);
        }
        self.questions.clear();
        self.plane.erase(&self.me.limits);
        (self.issue, self.signing) = (None, None);
        self.closed = true;
        self.wanted.close();
        self.reconnect();
        self.out.event(Event::Ended(Ending::Closed));
        Ok(())
    }

    /// Whether the group is closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Who is in the group, by the leader's own numbers.
    pub fn view(&self) -> &View {
        &self.plane.station.view
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The group instance.
    pub fn group(&self) -> Instance {
        self.plane.station.group
    }

    /// The number of the key in use: the epoch, or what stands for g.
    pub fn epoch(&self) -> Epoch {
        self.plane.epoch()
    }

    /// The own name.
    pub fn name(&self) -> &Name {
        &self.me.name
    }

    /// S_SL, as the next members will hear it.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Live members, the leader not counted.
    pub fn member_count(&self) -> usize {
        self.peers.len()
    }

    /// What every command begins with.
    fn command(&mut self, cx: &Cx<'_>) -> Result<Instant, CommandError> {
        let now = self.out.tick(cx.now);
        if self.closed {
            return Err(Misuse::Closed.into());
        }
        if !self.out.room(FRAMES, EVENTS) {
            return Err(CommandError::Full);
        }
        Ok(now)
    }

    fn take_ticket(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        ticket
    }

    /// Builds the set of everybody's links anew.
    fn reconnect(&mut self) {
        let links: BTreeSet<Link> = self.peers.values().filter_map(|peer| peer.link).collect();
        self.everybody = links.into_iter().collect::<Vec<_>>().into();
    }

    /// Where messages go that are for all: the shared links, or each member's own.
    fn control_links(&self) -> Arc<[Link]> {
        if self.shared.is_empty() { self.everybody.clone() } else { self.shared.clone() }
    }

    /// Where data of the leader go (report §2.1).
    fn data_links(&self) -> Arc<[Link]> {
        match self.plane.station.policy.communication {
            Communication::Relay => self.everybody.clone(),
            Communication::Mixed | Communication::Symmetric => self.control_links(),
        }
    }
}

fn control(link: Link, frame: bytes::Bytes) -> Transmit {
    Transmit { to: To::Link(link), frame, class: Class::Control }
}

impl Endpoint for Leader {
    fn handle_link_opened(&mut self, cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        if self.links.len() >= self.me.limits.links {
            self.out.stats.links_refused += 1;
            return Ok(());
        }
        self.links.insert(link, info);
        self.share();
        if self.wanted.answered(info.answers) {
            self.third_party = Some(link);
            let waiting: Vec<PendingId> = self.pendings.keys().copied().collect();
            for id in waiting {
                if self.timers.get(Timer::Question(id)).is_some() {
                    self.timers.set(Timer::Question(id), Some(now));
                }
            }
        }
        Ok(())
    }

    fn handle_link_closed(&mut self, cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        self.out.tick(cx.now);
        self.links.remove(&link);
        self.share();
        if self.third_party == Some(link) {
            self.third_party = None;
        }
        for pending in self.pendings.values_mut().filter(|pending| pending.link == Some(link)) {
            pending.link = None;
        }
        for peer in self.peers.values_mut().filter(|peer| peer.link == Some(link)) {
            peer.link = None;
        }
        for lingering in self.lingering.values_mut().filter(|lingering| lingering.link == Some(link)) {
            lingering.link = None;
        }
        self.reconnect();
        Ok(())
    }

    fn handle_frame(&mut self, cx: &mut Cx<'_>, link: Link, frame: BytesMut) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        self.out.stats.frames_in += 1;
        if !self.out.room(FRAMES, EVENTS) {
            self.out.overrun();
            return Ok(());
        }
        if let Err(why) = self.take_frame(cx, now, link, frame) {
            self.out.reject(link, why);
        }
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        self.take_time(cx, now);
        Ok(())
    }

    fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<Transmit> {
        let now = self.out.tick(cx.now);
        self.out.pop_frame().or_else(|| self.produce(cx, now))
    }

    outputs!();

    /// A member, or the third party. Whoever has sent a join is a stranger still.
    fn knows(&self, link: Link) -> bool {
        self.third_party == Some(link) || self.peers.values().any(|peer| peer.link == Some(link))
    }
}

impl Leader {
    fn share(&mut self) {
        let links = self.links.iter().filter(|(_, info)| info.shared).map(|(link, _)| *link);
        self.shared = links.collect::<Vec<_>>().into();
    }

    /// `link`, if it can be that of one member.
    fn own_link(&self, link: Link) -> Option<Link> {
        self.links.get(&link).filter(|info| !info.shared).map(|_| link)
    }

    /// A reason that ends a member's session, said to it where leaving is repaired.
    fn reason_of(cause: Cause) -> EndReason {
        match cause {
            Cause::Failure => EndReason::Failed,
            Cause::Takeover => EndReason::TakenOver,
            Cause::Leave => EndReason::Left,
            _ => EndReason::Ejected,
        }
    }
}

/// A frame that its link cannot carry is none.
fn oversize(info: &LinkInfo, frame: &BytesMut) -> Result<(), Reason> {
    if frame.len() > info.max_frame { Err(Reason::Oversize) } else { Ok(()) }
}
