//! The leader of a group of Enclaves 2.0.
//!
//! `joining.rs` holds the way in, `frames.rs` what other frames do, `turn.rs` how members come and go and K_g changes,
//! `output.rs` what each member is owed, `time.rs` what a deadline does.

mod frames;
mod joining;
mod output;
mod peer;
mod time;
mod turn;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::keys::GroupKey;
use super::messages::{Opened, Pair, Scheme};
use super::suits;
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::enclaves::published::{Access, NO_INSTANCE, control, failure_of};
use crate::endpoint::{Class, Cx, Endpoint, Instant, Link, LinkInfo, To, Transmit};
use crate::error::{CommandError, Failure, Fatal, Misuse};
use crate::event::{Cause, Causes, Ending, Event, Port, Ticket};
use crate::group::alike::outputs;
use crate::group::{Jitter, KeyUse, Limits, Outbox, Strangers, Timers};
use crate::identity::{Epoch, MemberId, Name, NameRef};
use crate::policy::{Historic, Policy};
use crate::wire::{Edition, Header, System};
use peer::{Attempt, AttemptId, Delivery, Farewell, Peer, Stage, Timer};

/// The most frames that one input queues: two notices, an end, an answer.
const FRAMES: usize = 4;
/// The most events that one input queues: somebody goes, somebody comes, a key, data, and a recipient that is none.
const EVENTS: usize = 8;
/// Private messages on their way at once (E6: each costs the leader work for every recipient).
const GOSSIPS: usize = 64;

/// Who a leader is, and what its group is like.
#[derive(Debug, Clone)]
pub struct LeaderConfig {
    /// Says that this is known to protect nothing.
    pub historic: Historic,
    /// The suite.
    pub suite: Arc<dyn PublishedSuite>,
    /// The own name.
    pub name: Name,
    /// P_a of each user: arranged beforehand (report §3.2). How one follows from a password is the application's business;
    /// [`des_key_of_password`](crate::crypto::published::des_key_of_password) is our choice for the suite of 1996.
    pub accounts: BTreeMap<Name, Key<role::PublishedUser>>,
    /// Who of them may join.
    pub access: Access,
    /// What the group is like: [`default_policy`](super::default_policy), or with other causes to change K_g, another grace
    /// and another length of frames. It is the leader's alone: no message of 2.0 tells it.
    pub policy: Policy,
    /// Bounds and times.
    pub limits: Limits,
}

/// The leader of a group of Enclaves 2.0.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Leader {
    me: Me,
    out: Outbox,
    jitter: Jitter,
    links: BTreeMap<Link, LinkInfo>,
    next_ticket: u64,
    /// K_g, from when the first member gets it (D27).
    key: Option<GroupKey>,
    /// The one before, and until when it opens.
    previous: Option<(GroupKey, Instant)>,
    key_use: KeyUse,
    due: Causes,
    attempts: BTreeMap<AttemptId, Attempt>,
    next_attempt: u64,
    peers: BTreeMap<MemberId, Peer>,
    names: BTreeMap<Name, MemberId>,
    next_cid: u64,
    farewells: BTreeMap<Link, Farewell>,
    gossips: VecDeque<Delivery>,
    strangers: Strangers,
    changes: u64,
    closed: bool,
    timers: Timers<Timer>,
    work: BTreeSet<MemberId>,
    at: MemberId,
    everybody: Arc<[Link]>,
}

fingerprint!(Leader {
    key, previous, key_use, due, attempts, peers, names, next_cid, farewells, gossips, changes, closed, timers, work, out,
} skip { me, jitter, links, next_ticket, next_attempt, strangers, at, everybody });

#[derive(Debug, Clone)]
struct Me {
    suite: Arc<dyn PublishedSuite>,
    name: Name,
    accounts: BTreeMap<Name, Key<role::PublishedUser>>,
    access: Access,
    policy: Policy,
    limits: Limits,
}

/// The header of this edition under `suite`.
pub(super) fn header(suite: &dyn PublishedSuite) -> Header {
    Header { system: System::Enclaves, edition: Edition::AsPublished, suite: suite.id() }
}

impl Me {
    fn scheme(&self) -> Scheme<'_> {
        Scheme { suite: &*self.suite, header: header(&*self.suite) }
    }

    /// The leader and this user, if there is one of that name.
    fn pair<'a>(&'a self, member: NameRef<'a>) -> Option<Pair<'a>> {
        let (_, user) = self.accounts.iter().find(|(name, _)| name.by_ref() == member)?;
        Some(Pair { leader: self.name.by_ref(), member, user })
    }
}

impl Leader {
    /// Opens a group. It has no key until somebody is accepted (D27).
    ///
    /// # Errors
    /// [`Misuse::Policy`] for a policy that 2.0 cannot have; [`Misuse::KeyLength`], [`Misuse::SameName`] for an account of
    /// the leader's own name; [`Failure`].
    pub fn open(config: LeaderConfig, cx: &mut Cx<'_>) -> Result<Self, CommandError> {
        let LeaderConfig { historic: _, suite, name, accounts, access, policy, limits } = config;
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
        Ok(Self {
            me: Me { suite, name, accounts, access, policy, limits },
            out,
            jitter: Jitter::new(u64::from_be_bytes(seed)),
            links: BTreeMap::new(),
            next_ticket: 1,
            key: None,
            previous: None,
            key_use: KeyUse::new(now),
            due: Causes::NONE,
            attempts: BTreeMap::new(),
            next_attempt: 0,
            peers: BTreeMap::new(),
            names: BTreeMap::new(),
            next_cid: 1,
            farewells: BTreeMap::new(),
            gossips: VecDeque::new(),
            strangers: Strangers::default(),
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
        let frame = self.me.scheme().data(self.me.name.by_ref(), key, true, port, payload).map_err(failure_of)?;
        self.out.stats.sealed += 1;
        self.use_key(now, payload.len());
        if !self.everybody.is_empty() {
            self.out.send(Transmit { to: To::Many(self.everybody.clone()), frame, class: Class::Data });
        }
        Ok(())
    }

    /// The longest payload of [`Self::send`], in bytes.
    pub fn max_message(&self) -> usize {
        self.me.scheme().max_message(self.me.name.by_ref(), self.me.policy.frame_limit as usize)
    }

    /// Sends a private message to these members (gossip, report §3.1.2).
    ///
    /// # Errors
    /// [`Misuse::NoMember`] if one of them is none; [`Misuse::TooLong`], also for more recipients than a message holds;
    /// [`Misuse::Closed`], [`CommandError::Full`], [`Failure`].
    pub fn gossip(&mut self, cx: &mut Cx<'_>, to: &[Name], port: Port, payload: &[u8]) -> Result<(), CommandError> {
        self.command(cx)?;
        let recipients: Vec<NameRef<'_>> = to.iter().map(Name::by_ref).collect();
        let limit = self.me.policy.frame_limit as usize;
        let most = self.me.scheme().max_gossip(self.me.name.by_ref(), &recipients, limit);
        if payload.len() > most || to.len() > crate::wire::enclaves::version_2::MAX_RECIPIENTS {
            return Err(Misuse::TooLong.into());
        }
        let known = to.iter().map(|name| self.names.get(name).copied().ok_or(Misuse::NoMember));
        let known = known.collect::<Result<BTreeSet<_>, _>>()?;
        if self.gossips.len() >= GOSSIPS {
            return Err(CommandError::Full);
        }
        let data = Opened { port, payload: Bytes::copy_from_slice(payload) };
        let delivery = self.delivery(cx.rng, self.me.name.clone(), known, &data).map_err(failure_of)?;
        self.out.stats.sealed += 1;
        self.gossips.push_back(delivery);
        Ok(())
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
        let due = self.due;
        self.due = due.with(Cause::Command);
        // Nothing has changed if it failed.
        let turn = self.prepare(cx.rng, None, None, true);
        let turn = turn.inspect_err(|_| self.due = due).map_err(failure_of)?;
        self.commit(now, turn, None);
        Ok(())
    }

    /// Throws a member out: EN-C2 alone (report §3.2.3).
    ///
    /// # Errors
    /// [`Misuse::NoMember`], [`Misuse::Closed`], [`CommandError::Full`], [`Failure`].
    pub fn eject(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        if !self.peers.contains_key(&cid) {
            return Err(Misuse::NoMember.into());
        }
        let turn = self.prepare(cx.rng, None, Some((cid, Cause::Eject)), false).map_err(failure_of)?;
        if let Some(link) = self.commit(now, turn, None).and_then(|peer| peer.link) {
            self.say_close(now, link, true);
        }
        Ok(())
    }

    /// Answers [`Event::AdmissionWanted`].
    ///
    /// # Errors
    /// [`Misuse::NoTicket`], [`Misuse::Closed`], [`CommandError::Full`].
    pub fn admit(&mut self, cx: &mut Cx<'_>, ticket: Ticket, admit: bool) -> Result<(), CommandError> {
        self.command(cx)?;
        let asked = |attempt: &Attempt| matches!(attempt.stage, Stage::Asked(of) if of == ticket);
        let found = self.attempts.iter().find(|(_, attempt)| asked(attempt)).map(|(id, _)| *id);
        self.decide(found.ok_or(Misuse::NoTicket)?, admit);
        Ok(())
    }

    /// Closes the group: EN-C2 to everybody.
    ///
    /// # Errors
    /// [`Misuse::Closed`], [`CommandError::Full`].
    pub fn close(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        self.command(cx)?;
        if !self.everybody.is_empty() {
            let frame = self.me.scheme().close(self.me.name.by_ref());
            self.out.send(Transmit { to: To::Many(self.everybody.clone()), frame, class: Class::Control });
        }
        (self.key, self.previous) = (None, None);
        self.peers.clear();
        self.names.clear();
        self.attempts.clear();
        self.gossips.clear();
        self.farewells.clear();
        self.work.clear();
        self.timers = Timers::new();
        self.reconnect();
        self.closed = true;
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

    /// The name behind a number of this leader's events.
    pub fn name_of(&self, cid: MemberId) -> Option<&Name> {
        let own = (cid == MemberId::LEADER).then_some(&self.me.name);
        own.or_else(|| self.peers.get(&cid).map(|peer| &peer.name)).or_else(|| self.strangers.name_of(cid))
    }

    /// How many members there are, the leader not counted.
    pub fn member_count(&self) -> usize {
        self.peers.len()
    }

    /// Whether no acknowledgement of the key in use is waited for: all have come, as far as EN-NKA shows that (X7), or were
    /// given up.
    pub fn all_acknowledged(&self) -> bool {
        self.peers.values().all(|peer| peer.unacked.is_none())
    }

    /// What stands for the key in use; 0 for none.
    pub fn epoch(&self) -> Epoch {
        self.key.as_ref().map_or(Epoch(0), |key| key.number)
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
    pub fn group_key(&self) -> Option<&GroupKey> {
        self.key.as_ref()
    }

    /// K_a of a member, for scenes of an attack.
    #[cfg(any(test, feature = "sim"))]
    pub fn session_key(&self, cid: MemberId) -> Option<&super::SessionKey> {
        self.peers.get(&cid).map(|peer| &peer.session)
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

    /// `link`, if it is that of one member.
    fn own_link(&self, link: Link) -> Option<Link> {
        self.links.get(&link).filter(|info| !info.shared).map(|_| link)
    }
}

impl Endpoint for Leader {
    fn handle_link_opened(&mut self, cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal> {
        self.out.tick(cx.now);
        if self.links.len() >= self.me.limits.links {
            self.out.stats.links_refused += 1;
            return Ok(());
        }
        self.links.insert(link, info);
        Ok(())
    }

    fn handle_link_closed(&mut self, cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        self.out.tick(cx.now);
        self.links.remove(&link);
        for attempt in self.attempts.values_mut().filter(|attempt| attempt.link == Some(link)) {
            attempt.link = None;
        }
        for peer in self.peers.values_mut().filter(|peer| peer.link == Some(link)) {
            peer.link = None;
        }
        self.farewells.remove(&link);
        self.timers.set(Timer::Farewell(link), None);
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
        if let Err(why) = self.take_frame(cx, now, link, &frame) {
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
        self.out.pop_frame().or_else(|| self.produce(now))
    }

    outputs!();

    fn knows(&self, link: Link) -> bool {
        self.peers.values().any(|peer| peer.link == Some(link))
    }
}
