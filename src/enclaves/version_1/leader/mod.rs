//! The leader of a group of Enclaves 1.0.
//!
//! `joining.rs` holds the way in, `frames.rs` what other frames do, `direct.rs` how two members are joined, `turn.rs` how
//! members come and go and K_g changes, `output.rs` what each member is told, `time.rs` what a deadline does.

mod direct;
mod frames;
mod joining;
mod output;
mod peer;
mod time;
mod turn;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::head::{Clock, Pairing, Time};
use super::keys::GroupKey;
use super::messages::Scheme;
use super::{Access, NO_INSTANCE, header, suits};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::enclaves::published::failure_of;
use crate::endpoint::{Class, Cx, Endpoint, Instant, Link, LinkInfo, To, Transmit};
use crate::error::{CommandError, Failure, Fatal, Misuse};
use crate::event::{Cause, Causes, EndReason, Ending, Event, Port, Ticket};
use crate::group::alike::outputs;
use crate::group::{Jitter, KeyUse, Limits, Outbox, Timers};
use crate::identity::{Epoch, MemberId, Name};
use crate::policy::{Historic, Policy};
use core::time::Duration;
use peer::{Account, Attempt, AttemptId, Farewell, Peer, Stage, Timer};

/// The most frames that one input queues: an answer, and data on their way.
const FRAMES: usize = 4;
/// The most events that one input queues: somebody goes, somebody comes, a key, data, a recipient that is none.
const EVENTS: usize = 8;

/// Whether members may have direct links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DirectLinks {
    /// Any two of them that ask.
    #[default]
    Granted,
    /// None.
    Denied,
}

/// Who a leader is, and what its group is like.
#[derive(Debug, Clone)]
pub struct LeaderConfig {
    /// Says that this is known not to protect.
    pub historic: Historic,
    /// The suite.
    pub suite: Arc<dyn PublishedSuite>,
    /// The own name.
    pub name: Name,
    /// P_a of each user: arranged beforehand. How one follows from a password is the application's business;
    /// [`des_key_of_password`](crate::crypto::published::des_key_of_password) is our choice for the suite of 1996 (D26).
    pub accounts: BTreeMap<Name, Key<role::PublishedUser>>,
    /// Who of them may join.
    pub access: Access,
    /// What the group is like: [`default_policy`](super::default_policy), or with more causes to change K_g, a grace after
    /// those that are no leave, and another length of frames. No message tells it.
    pub policy: Policy,
    /// Whether members may have direct links.
    pub direct: DirectLinks,
    /// How far the time of a message may be from the own clock (D30).
    pub window: Duration,
    /// Bounds and times.
    pub limits: Limits,
}

/// The leader of a group of Enclaves 1.0.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Leader {
    me: Me,
    clock: Clock,
    out: Outbox,
    /// Data on their way out. They follow what members are owed: a new key comes before what is said under it.
    data: VecDeque<Transmit>,
    jitter: Jitter,
    links: BTreeMap<Link, LinkInfo>,
    next_ticket: u64,
    accounts: BTreeMap<Name, Account>,
    /// K_g, from when the first member gets it (D27).
    key: Option<GroupKey>,
    /// Why it came to be, for who has still to get it.
    causes: Causes,
    /// The one before, and until when it opens.
    previous: Option<(GroupKey, Instant)>,
    key_use: KeyUse,
    due: Causes,
    attempts: BTreeMap<AttemptId, Attempt>,
    next_attempt: u64,
    peers: BTreeMap<MemberId, Peer>,
    names: BTreeMap<Name, MemberId>,
    /// Whose link a link is. One link serves one member.
    seats: BTreeMap<Link, MemberId>,
    /// Members whose link has closed.
    adrift: BTreeSet<MemberId>,
    next_cid: u64,
    farewells: BTreeMap<MemberId, Farewell>,
    changes: u64,
    closed: bool,
    timers: Timers<Timer>,
    work: BTreeSet<MemberId>,
    at: MemberId,
    everybody: Arc<[Link]>,
}

fingerprint!(Leader {
    accounts, key, causes, previous, key_use, due, attempts, peers, names, next_cid, farewells, changes, closed, timers, work,
    out, data,
} skip { me, clock, jitter, links, next_ticket, next_attempt, seats, adrift, at, everybody });

#[derive(Debug, Clone)]
struct Me {
    suite: Arc<dyn PublishedSuite>,
    name: Name,
    access: Access,
    policy: Policy,
    direct: DirectLinks,
    window: Duration,
    limits: Limits,
}

impl Me {
    fn scheme(&self) -> Scheme<'_> {
        Scheme { suite: &*self.suite, header: header(&*self.suite) }
    }
}

impl Leader {
    /// Opens a group. It has no key until somebody is accepted (D27).
    ///
    /// # Errors
    /// [`Misuse::NoWallClock`] without [`Cx::wall`]; [`Misuse::Policy`] for a policy that 1.0 cannot have;
    /// [`Misuse::KeyLength`], [`Misuse::SameName`] for an account of the leader's own name; [`Failure`].
    pub fn open(config: LeaderConfig, cx: &mut Cx<'_>) -> Result<Self, CommandError> {
        let LeaderConfig { historic: _, suite, name, accounts, access, policy, direct, window, limits } = config;
        if cx.wall.is_none() {
            return Err(Misuse::NoWallClock.into());
        }
        if !suits(&policy) {
            return Err(Misuse::Policy.into());
        }
        if accounts.contains_key(&name) {
            return Err(Misuse::SameName.into());
        }
        let length = suite.sizes().key;
        if accounts.values().any(|key| key.secret().len() != length) {
            return Err(Misuse::KeyLength.into());
        }
        let mut seed = [0; 8];
        cx.rng.fill(&mut seed).map_err(Failure::from)?;
        let mut out = Outbox::new(&limits);
        let now = out.tick(cx.now);
        out.event(Event::Joined { group: NO_INSTANCE, cid: MemberId::LEADER, epoch: Epoch(0) });
        let mut clock = Clock::default();
        clock.tick(now, cx.wall);
        Ok(Self {
            me: Me { suite, name, access, policy, direct, window, limits },
            clock,
            out,
            data: VecDeque::new(),
            jitter: Jitter::new(u64::from_be_bytes(seed)),
            links: BTreeMap::new(),
            next_ticket: 1,
            accounts: accounts.into_iter().map(|(name, key)| (name, Pairing::new(key))).collect(),
            key: None,
            causes: Causes::NONE,
            previous: None,
            key_use: KeyUse::new(now),
            due: Causes::NONE,
            attempts: BTreeMap::new(),
            next_attempt: 0,
            peers: BTreeMap::new(),
            names: BTreeMap::new(),
            seats: BTreeMap::new(),
            adrift: BTreeSet::new(),
            next_cid: 1,
            farewells: BTreeMap::new(),
            changes: 0,
            closed: false,
            timers: Timers::new(),
            work: BTreeSet::new(),
            at: MemberId::LEADER,
            everybody: Arc::new([]),
        })
    }

    /// Sends a message to the group.
    ///
    /// # Errors
    /// [`Misuse::TooLong`], [`Misuse::Closed`], [`Misuse::NotCurrent`] before the first member is accepted,
    /// [`CommandError::Full`], [`Failure`].
    pub fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        if payload.len() > self.max_message() {
            return Err(Misuse::TooLong.into());
        }
        let key = self.key.as_ref().ok_or(Misuse::NotCurrent)?;
        let line = key.line(self.me.name.by_ref(), self.clock.millis(now));
        let frame = self.me.scheme().data(cx.rng, line, port, payload).map_err(failure_of)?;
        let said = line.stamp.sequence;
        if let Some(key) = &mut self.key {
            key.said = said;
        }
        self.out.stats.sealed += 1;
        self.use_key(now, payload.len());
        if !self.everybody.is_empty() {
            self.data.push_back(Transmit { to: To::Many(self.everybody.clone()), frame, class: Class::Data });
        }
        Ok(())
    }

    /// The longest payload of [`Self::send`], in bytes.
    pub fn max_message(&self) -> usize {
        self.me.scheme().max_message(self.me.name.by_ref(), None, self.me.policy.frame_limit as usize)
    }

    /// Sends a message to one member, under the key of the two ends (EN-1PD).
    ///
    /// # Errors
    /// [`Misuse::NoMember`], [`Misuse::NotCurrent`] if it has no link now; [`Misuse::TooLong`] for more than
    /// [`Self::max_private`]; [`Misuse::Closed`], [`CommandError::Full`], [`Failure`].
    pub fn send_to(&mut self, cx: &mut Cx<'_>, to: &Name, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let cid = *self.names.get(to).ok_or(Misuse::NoMember)?;
        let peer = self.peers.get(&cid).ok_or(Misuse::NoMember)?;
        let link = peer.link.ok_or(Misuse::NotCurrent)?;
        if payload.len() > self.max_private() {
            return Err(Misuse::TooLong.into());
        }
        let leader = self.me.name.by_ref();
        let line = peer.pair.line(leader, peer.name.by_ref(), self.clock.millis(now));
        let frame = self.me.scheme().delivery(cx.rng, line, leader, (port, payload)).map_err(failure_of)?;
        let said = line.stamp.sequence;
        self.said(cid, said);
        self.out.stats.sealed += 1;
        self.out.send(Transmit { to: To::Link(link), frame, class: Class::Data });
        Ok(())
    }

    /// The longest payload of [`Self::send_to`], in bytes.
    pub fn max_private(&self) -> usize {
        self.me.scheme().max_private(self.me.policy.frame_limit as usize)
    }

    /// Changes the group key.
    ///
    /// # Errors
    /// [`Misuse::Closed`], [`Misuse::NotCurrent`] before the first member is accepted, [`CommandError::Full`], [`Failure`].
    pub fn rekey(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        if self.key.is_none() {
            return Err(Misuse::NotCurrent.into());
        }
        let turn = self.prepare(cx.rng, None, Causes::of(Cause::Command)).map_err(failure_of)?;
        self.commit(now, turn, None);
        Ok(())
    }

    /// Throws a member out: EN-1C to it, and a new key for the others. Its direct links are not the leader's to end.
    ///
    /// # Errors
    /// [`Misuse::NoMember`], [`Misuse::Closed`], [`CommandError::Full`], [`Failure`].
    pub fn eject(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        if !self.peers.contains_key(&cid) {
            return Err(Misuse::NoMember.into());
        }
        let turn = self.prepare(cx.rng, Some((cid, Cause::Eject)), Causes::NONE).map_err(failure_of)?;
        if let Some(peer) = self.commit(now, turn, None) {
            self.part(now, cid, peer, Some(EndReason::Ejected));
        }
        Ok(())
    }

    /// Answers [`Event::AdmissionWanted`].
    ///
    /// # Errors
    /// [`Misuse::NoTicket`], [`Misuse::Closed`], [`CommandError::Full`], [`Failure`].
    pub fn admit(&mut self, cx: &mut Cx<'_>, ticket: Ticket, admit: bool) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let asked = |attempt: &Attempt| matches!(attempt.stage, Stage::Asked(of) if of == ticket);
        let found = self.attempts.iter().find(|(_, attempt)| asked(attempt)).map(|(id, _)| *id);
        self.decide(cx.rng, now, found.ok_or(Misuse::NoTicket)?, admit).map_err(failure_of)
    }

    /// Closes the group: EN-1C to everybody.
    ///
    /// # Errors
    /// [`Misuse::Closed`], [`CommandError::Full`].
    pub fn close(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        (self.key, self.previous) = (None, None);
        self.attempts.clear();
        self.data.clear();
        self.timers = Timers::new();
        self.closed = true;
        for (cid, peer) in core::mem::take(&mut self.peers) {
            self.part(now, cid, peer, Some(EndReason::Closing));
        }
        // Those who left before keep their time.
        let until = now + self.me.limits.linger;
        for cid in self.farewells.keys() {
            self.timers.set(Timer::Linger(*cid), Some(until));
        }
        self.names.clear();
        self.adrift.clear();
        self.seats.clear();
        self.reconnect();
        self.out.event(Event::Ended(Ending::Closed));
        Ok(())
    }

    /// Whether the group is closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The members, by the leader's own numbers; the leader is not among them.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, &Name)> {
        self.peers.iter().map(|(cid, peer)| (*cid, &peer.name))
    }

    /// The number of the live member of this name.
    pub fn number_of(&self, name: &Name) -> Option<MemberId> {
        self.names.get(name).copied()
    }

    /// The name behind a number of this leader's events, while it is a member or was one a moment ago.
    pub fn name_of(&self, cid: MemberId) -> Option<&Name> {
        let own = (cid == MemberId::LEADER).then_some(&self.me.name);
        let gone = || self.farewells.get(&cid).map(|farewell| &farewell.name);
        own.or_else(|| self.peers.get(&cid).map(|peer| &peer.name)).or_else(gone)
    }

    /// How many members there are, the leader not counted.
    pub fn member_count(&self) -> usize {
        self.peers.len()
    }

    /// Whether every member has acknowledged all that it was told.
    pub fn all_acknowledged(&self) -> bool {
        self.peers.values().all(Peer::is_settled)
    }

    /// The number of the key in use; 0 for none.
    pub fn epoch(&self) -> Epoch {
        self.key.as_ref().map_or(Epoch(0), |key| key.epoch)
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.me.policy
    }

    /// The own name.
    pub fn name(&self) -> &Name {
        &self.me.name
    }

    /// K_g, for scenes of an attack.
    #[cfg(any(test, feature = "sim"))]
    pub fn group_key(&self) -> Option<&Key<role::Group>> {
        self.key.as_ref().map(|key| &key.key)
    }

    /// Entries of all tables, to see that they are bounded.
    #[cfg(any(test, feature = "sim"))]
    pub fn table_entries(&self) -> usize {
        let owed = |peer: &Peer| peer.roster.len() + peer.directs.len();
        let peers: usize = self.peers.values().map(owed).sum();
        let heard = self.key.iter().chain(self.previous.iter().map(|(key, _)| key)).map(|key| key.heard.len());
        peers + self.peers.len() + self.attempts.len() + self.farewells.len() + self.data.len() + heard.sum::<usize>()
    }

    /// What every command begins with.
    fn command(&mut self, cx: &Cx<'_>) -> Result<Instant, CommandError> {
        let now = self.tick(cx);
        if self.closed {
            return Err(Misuse::Closed.into());
        }
        if !self.room() {
            return Err(CommandError::Full);
        }
        Ok(now)
    }

    fn tick(&mut self, cx: &Cx<'_>) -> Instant {
        let now = self.out.tick(cx.now);
        self.clock.tick(now, cx.wall);
        now
    }

    fn room(&self) -> bool {
        self.out.room(FRAMES, EVENTS) && self.data.len() < self.me.limits.out_frames
    }

    fn time(&self, now: Instant) -> Time {
        Time { millis: self.clock.millis(now), window: self.me.window, checks: self.me.limits.checks }
    }

    /// Something was said to a member under this number.
    fn said(&mut self, cid: MemberId, number: u64) {
        if let Some(peer) = self.peers.get_mut(&cid) {
            peer.pair.said = number;
        }
    }

    /// `link`, if it is that of one member.
    fn own_link(&self, link: Link) -> Option<Link> {
        self.links.get(&link).filter(|info| !info.shared).map(|_| link)
    }
}

impl Endpoint for Leader {
    fn handle_link_opened(&mut self, cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal> {
        self.tick(cx);
        if self.links.len() >= self.me.limits.links {
            self.out.stats.links_refused += 1;
            return Ok(());
        }
        self.links.insert(link, info);
        Ok(())
    }

    fn handle_link_closed(&mut self, cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        self.tick(cx);
        self.links.remove(&link);
        for attempt in self.attempts.values_mut().filter(|attempt| attempt.link == Some(link)) {
            attempt.link = None;
        }
        for farewell in self.farewells.values_mut().filter(|farewell| farewell.link == Some(link)) {
            farewell.link = None;
        }
        if let Some(cid) = self.seats.remove(&link)
            && let Some(peer) = self.peers.get_mut(&cid)
        {
            peer.link = None;
            self.adrift.insert(cid);
            self.reconnect();
        }
        Ok(())
    }

    fn handle_frame(&mut self, cx: &mut Cx<'_>, link: Link, frame: BytesMut) -> Result<(), Fatal> {
        let now = self.tick(cx);
        self.out.stats.frames_in += 1;
        if !self.room() {
            self.out.overrun();
            return Ok(());
        }
        let frame: Bytes = frame.freeze();
        if let Err(why) = self.take_frame(cx, now, link, &frame) {
            self.out.reject(link, why);
        }
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        let now = self.tick(cx);
        self.take_time(cx, now);
        Ok(())
    }

    fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<Transmit> {
        let now = self.tick(cx);
        if let Some(transmit) = self.out.pop_frame() {
            return Some(transmit);
        }
        // What is made under a K_a goes out in the order in which it is made, or its number is taken for a replay: the queue
        // is empty here.
        let transmit = self.produce(cx.rng, now).or_else(|| self.data.pop_front())?;
        self.out.stats.frames_out += 1;
        Some(transmit)
    }

    outputs!();

    fn knows(&self, link: Link) -> bool {
        self.seats.contains_key(&link)
    }
}
