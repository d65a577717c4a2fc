//! The leader of repaired Enclaves: it knows its users, admits them, tells each what it needs to know, and relays. It is a
//! member too, number 0.
//!
//! `joins.rs` holds what happens before EN-R3, `frames.rs` what an input frame does, `turn.rs` how members come and go and
//! keys change, `output.rs` what each member is told next, `data.rs` what data do, `gossip.rs` what is said to some, `objects.rs` what is shared,
//! `requests.rs` what members ask for, `silence.rs` who is taken for dead, `policy.rs` and `closing.rs` what their names say, `time.rs` what a deadline does.

mod closing;
mod data;
mod frames;
mod gossip;
mod joins;
mod objects;
mod output;
mod peer;
mod policy;
mod requests;
mod silence;
mod time;
mod turn;
#[cfg(any(test, feature = "sim"))]
mod watch;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::auth::{Account, Scene};
use crate::crypto::{Key, Suite};
use crate::endpoint::{Class, Cx, Endpoint, Instant, Link, LinkInfo, To, Transmit, WallClock};
use crate::error::{CommandError, Failure, Fatal, Misuse};
use crate::event::{Cause, Causes, Event, Suspicion};
use crate::group::access::{Access, Verdicts};
use crate::group::alike::{leader_facts, leader_input, outputs};
use crate::group::issue::Issue;
use crate::group::private::Relays;
use crate::group::questions::Questions;
use crate::group::station::{Identity, Ruling, Station};
use crate::group::turn::Rekeys;
use crate::group::{Jitter, KeyUse, Limits, Outbox, Timers};
use crate::identity::{Epoch, Instance, MemberId, Name, NameRef, Version};
use crate::objects::Host;
use crate::policy::Policy;
use crate::wire::field::VerifyingKey;
use crate::wire::{Edition, Header, System};
use closing::{Closing, Lingering};
use joins::{PendingId, Pendings};
use peer::Peer;

/// The most frames that one input queues: a relayed message, an answer, a private message.
const FRAMES: usize = 3;
/// The most events that one input queues, apart from the changes of a view.
const EVENTS: usize = 8;

/// Those whom a leader knows, and how each shows who it is.
pub type Accounts = BTreeMap<Name, Account>;

/// What a leader is made of.
#[derive(Debug, Clone)]
pub struct LeaderConfig {
    /// The cryptographic suite, agreed on beforehand.
    pub suite: Arc<dyn Suite>,
    /// The application.
    pub app: Name,
    /// The own name.
    pub name: Name,
    /// Its users.
    pub accounts: Accounts,
    /// What the group is like.
    pub policy: Policy,
    /// Which users may join.
    pub access: Access,
    /// Bounds and times.
    pub limits: Limits,
}

/// The leader of a group of repaired Enclaves.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Leader {
    me: Me,
    out: Outbox,
    jitter: Jitter,
    links: BTreeMap<Link, LinkInfo>,
    next_ticket: u64,
    station: Station,
    leader_key: VerifyingKey,
    issue: Issue,
    pendings: Pendings,
    peers: BTreeMap<MemberId, Peer>,
    /// The same, by name: a name has one live member.
    names: BTreeMap<Name, MemberId>,
    verdicts: Verdicts,
    lingering: BTreeMap<MemberId, Lingering>,
    next_cid: u64,
    rekeys: Rekeys,
    key_use: KeyUse,
    /// The policy to come.
    next_policy: Option<Box<Ruling>>,
    /// Members taken for dead, to be removed together.
    condemned: BTreeMap<MemberId, Suspicion>,
    questions: Questions,
    /// Private messages under way, and how many of them were the leader's own.
    relays: Relays,
    gossips: u64,
    objects: Host,
    /// The number of the leader's own last change of an object.
    puts: u64,
    closing: Option<Closing>,
    timers: Timers<Timer>,
    /// Members to whom something may be owed: the cursor of [`Endpoint::poll_transmit`].
    work: BTreeSet<MemberId>,
    /// Where the cursor stands, so that it goes round.
    at: MemberId,
    /// The links of those to whom data go.
    present: Arc<[Link]>,
}

fingerprint!(Leader {
    station, leader_key, issue, pendings, peers, names, verdicts, lingering, next_cid, rekeys, key_use, next_policy,
    condemned, questions, relays, gossips, objects, puts, closing, timers, work, out,
} skip { me, jitter, links, next_ticket, at, present });

/// What never changes, but for the accounts.
#[derive(Debug, Clone)]
struct Me {
    suite: Arc<dyn Suite>,
    app: Name,
    name: Name,
    accounts: Accounts,
    /// For users that it does not know: see [`Leader::answer_strangers`].
    strangers: Option<Account>,
    access: Access,
    limits: Limits,
}

impl Me {
    fn scene<'a>(&'a self, header: Header, member: NameRef<'a>, wall: Option<WallClock>) -> Scene<'a> {
        Scene { suite: &*self.suite, header, app: self.app.by_ref(), leader: self.name.by_ref(), member, wall }
    }
}

/// What a timer of the leader is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Nobody decided about a pending join, or it expires.
    Pending(PendingId),
    /// Repeat the outstanding AdminMsg of a member, or try again what failed.
    Repeat(MemberId),
    /// A member has been told nothing for a while.
    Ping(MemberId),
    /// A member has not answered for too long (D33).
    Silence(MemberId),
    /// Repeat or forget the end of a session.
    Linger(MemberId),
    /// Change the key.
    Rekey,
    /// Something of the key ring.
    Ring,
    /// The key is old enough.
    KeyAge,
    /// Nobody decided about a request to eject.
    Ejection,
    /// The group has been closed for long enough.
    Closing,
    /// Members that are taken for dead go.
    Condemned,
    /// A private message is under way for too long.
    Gossip,
    /// A change of a shared object arrives for too long.
    Put(MemberId),
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Timer {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let (kind, number) = match self {
            Self::Pending(id) => (0u8, id.0),
            Self::Repeat(cid) => (1, cid.0),
            Self::Ping(cid) => (2, cid.0),
            Self::Silence(cid) => (3, cid.0),
            Self::Linger(cid) => (4, cid.0),
            Self::Rekey => (5, 0),
            Self::Ring => (6, 0),
            Self::KeyAge => (7, 0),
            Self::Ejection => (8, 0),
            Self::Closing => (9, 0),
            Self::Condemned => (10, 0),
            Self::Gossip => (11, 0),
            Self::Put(cid) => (12, cid.0),
        };
        (kind, number).fingerprint(now, sink);
    }
}

impl Leader {
    /// Opens a group: draws the instance, the signature pair and the first key. The leader is its first member.
    ///
    /// # Errors
    /// [`Misuse::Policy`] if the policy contradicts itself, [`Misuse::AsPublished`] if it names parts as published,
    /// [`Misuse::SameName`] if a user has the leader's name, [`Failure`].
    pub fn open(config: LeaderConfig, cx: &mut Cx<'_>) -> Result<Self, CommandError> {
        let LeaderConfig { suite, app, name, accounts, policy, access, limits } = config;
        if policy.check().is_err() {
            return Err(Misuse::Policy.into());
        }
        if policy.mix.is_some() {
            return Err(Misuse::AsPublished.into());
        }
        if accounts.contains_key(&name) {
            return Err(Misuse::SameName.into());
        }
        let header = Header { system: System::Enclaves, edition: Edition::Repaired, suite: suite.id() };
        let mut group = Instance([0; 16]);
        cx.rng.fill(&mut group.0).map_err(Failure::from)?;
        let mut seed = [0; 8];
        cx.rng.fill(&mut seed).map_err(Failure::from)?;
        let (signing, leader_key) = suite.signing_pair(cx.rng).map_err(Failure::from)?;
        let origin = policy.origin.then(|| Key::new(signing));
        let identity = Identity { group, cid: MemberId::LEADER, name: name.clone(), origin };
        let history = limits.view_history;
        let mut station = Station::new(suite.clone(), header, &limits, policy, Version(1), identity, history)?;
        let entry = Station::leader_entry(&name, leader_key);
        let step = station.view.prepare(&*suite, &group, [entry]).map_err(|_| Failure::Suite)?;
        let causes = Causes::of(Cause::Open);
        let issue = crate::group::turn::issue(&station, None, cx.rng, &step, Epoch(1), Epoch(1), causes)?;
        let forever = Instant::from_micros(u64::MAX);
        let own = station.prepare(&station.policy, issue.epoch(), issue.base().clone(), forever)?;
        let objects = objects::host(&station.policy, &limits);
        let mut out = Outbox::new(&limits);
        let now = out.tick(cx.now);
        let changes = station.view.commit(step);
        station.install(own, issue.floor(), now);
        out.event(Event::Joined { group, cid: MemberId::LEADER, epoch: issue.epoch() });
        // The view is what its events add up to, here as at a member.
        out.burst(changes.iter().map(crate::group::ViewChange::to_event));
        let key_use = KeyUse::new(now);
        let mut timers = Timers::new();
        timers.set(Timer::KeyAge, key_use.ages_at(&station.policy));
        Ok(Self {
            me: Me { suite, app, name, accounts, strangers: None, access, limits },
            out,
            jitter: Jitter::new(u64::from_be_bytes(seed)),
            links: BTreeMap::new(),
            next_ticket: 1,
            station,
            leader_key,
            issue,
            pendings: Pendings::default(),
            peers: BTreeMap::new(),
            names: BTreeMap::new(),
            verdicts: Verdicts::default(),
            lingering: BTreeMap::new(),
            next_cid: 1,
            rekeys: Rekeys::NONE,
            key_use,
            next_policy: None,
            condemned: BTreeMap::new(),
            questions: Questions::new(limits.ejection_questions),
            relays: Relays::new(&limits),
            gossips: 0,
            objects,
            puts: 0,
            closing: None,
            timers,
            work: BTreeSet::new(),
            at: MemberId::LEADER,
            present: Arc::new([]),
        })
    }

    /// Changes the group key as soon as the policy's `grace` allows.
    ///
    /// # Errors
    /// [`Misuse::Closed`], [`CommandError::Full`].
    pub fn rekey(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        self.plan(now, Cause::Command);
        Ok(())
    }

    /// Knows a user from now on, or by another account. Its live session goes on.
    ///
    /// # Errors
    /// [`Misuse::SameName`].
    pub fn enrol(&mut self, name: Name, account: Account) -> Result<(), CommandError> {
        if name == self.me.name {
            return Err(Misuse::SameName.into());
        }
        self.me.accounts.insert(name, account);
        Ok(())
    }

    /// Knows a user no longer. Its live session goes on: [`Self::eject`] ends it.
    pub fn forget(&mut self, name: &Name) -> bool {
        self.me.accounts.remove(name).is_some()
    }

    /// From now on users that nobody knows are answered by this account, one that nobody can log in to
    /// (with OPAQUE, `OpaqueAccount::stranger`): whether a name has an account stays unknown. Otherwise they meet silence.
    pub fn answer_strangers(&mut self, account: Option<Account>) {
        self.me.strangers = account;
    }

    /// The longest payload of [`Self::send`], in bytes.
    pub fn max_message(&self) -> usize {
        self.station.max_message()
    }

    leader_facts!();

    fn take_ticket(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        ticket
    }

    /// What every command begins with: the time, an open group, and room for what it may queue.
    fn command(&mut self, cx: &Cx<'_>) -> Result<Instant, CommandError> {
        let now = self.out.tick(cx.now);
        if self.closing.is_some() {
            return Err(Misuse::Closed.into());
        }
        if !self.out.room(FRAMES, EVENTS) {
            return Err(CommandError::Full);
        }
        Ok(now)
    }

    /// Finds anew where data go: a member has come, gone or moved. Who waits for its rekey could open nothing yet.
    fn reconnect(&mut self) {
        let present = self.peers.values().filter(|peer| !peer.waits());
        let links: BTreeSet<Link> = present.filter_map(|peer| peer.link).collect();
        self.present = links.into_iter().collect::<Vec<_>>().into();
    }
}

fn control(link: Link, frame: Bytes) -> Transmit {
    Transmit { to: To::Link(link), frame, class: Class::Control }
}

impl Endpoint for Leader {
    fn handle_link_opened(&mut self, cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal> {
        self.out.tick(cx.now);
        if self.links.len() >= self.me.limits.links {
            self.out.stats.links_refused += 1;
        } else {
            self.links.insert(link, info);
        }
        Ok(())
    }

    fn handle_link_closed(&mut self, cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        self.links.remove(&link);
        for id in self.pendings.link_closed(link) {
            self.drop_pending(id);
        }
        let mut moved = Vec::new();
        for (cid, peer) in &mut self.peers {
            peer.beside.take_if(|of| *of == link);
            if peer.link.take_if(|of| *of == link).is_some() {
                peer.unlinked = Some(now);
                moved.push(*cid);
            }
        }
        for lingering in self.lingering.values_mut() {
            lingering.link.take_if(|of| *of == link);
        }
        if !moved.is_empty() {
            self.reconnect();
        }
        moved.into_iter().for_each(|cid| self.watch(now, cid));
        Ok(())
    }

    leader_input!();

    fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<Transmit> {
        let now = self.out.tick(cx.now);
        self.out.pop_frame().or_else(|| self.produce(cx, now))
    }

    outputs!();

    fn knows(&self, link: Link) -> bool {
        self.peers.values().any(|peer| peer.link == Some(link))
    }
}
