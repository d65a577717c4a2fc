//! The leader: the composition of the micro-protocols on the admitting side. It is a member too, number 0, and the
//! relay of a star.
//!
//! `frames.rs` holds what an input frame does, `data.rs` what data do and where they go, `joins.rs` what happens before `hello`, `rekey.rs` how members come and
//! go and keys change, `policy.rs` when keys are used up and how a policy changes, `suspicion.rs` who is taken for dead,
//! `ejection.rs`, `private.rs` and `closing.rs` what their names say, `output.rs` the cursor that gives each member what it is owed,
//! `shared.rs` what goes to all at once, `time.rs` what a deadline does.

mod closing;
mod data;
mod ejection;
mod frames;
mod joins;
#[cfg(any(test, feature = "sim"))]
mod label;
mod output;
mod peer;
mod policy;
mod private;
mod rekey;
mod shared;
mod suspicion;
mod time;
#[cfg(any(test, feature = "sim"))]
pub mod watch;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::antigone::failure::Beacon;
use crate::antigone::join::admitting::{Desk, PendingId, Pendings};
use crate::antigone::keys::Issue;
use crate::antigone::leave::Lingering;
use crate::crypto::keys::role;
use crate::crypto::{Key, Suite};
use crate::endpoint::{Class, Cx, Endpoint, Instant, Link, LinkInfo, To, Transmit};
use crate::error::{CommandError, Failure, Fatal, Misuse, Reason};
use crate::event::{Cause, Causes, Event, Suspicion, Ticket};
pub use crate::group::access::Access;
use crate::group::access::Verdicts;
use crate::group::alike::{leader_facts, leader_input, outputs};
use crate::group::private::Relays;
use crate::group::questions::Questions;
use crate::group::station::{Identity, Ruling, Station};
use crate::group::turn::Rekeys;
use crate::group::{Allowance, Jitter, KeyUse, Limits, Outbox, Timers, Wish};
use crate::identity::{Epoch, Instance, MemberId, Name, Version};
use crate::policy::Policy;
use crate::ttp::schedule::LeaderKeys;
use crate::wire::field::VerifyingKey;
use crate::wire::{Edition, Header, System};
use closing::Closing;
use peer::Peer;
use shared::Shared;

/// The most frames that one input queues: a relayed message, a repeated answer, a question to the third party.
const FRAMES: usize = 2;
/// The most events that one input queues, apart from the changes of a view.
const EVENTS: usize = 8;

/// Who a leader is, and what its group is like.
#[derive(Debug, Clone)]
pub struct LeaderConfig {
    /// The suite. The members' and the third party's must be the same.
    pub suite: Arc<dyn Suite>,
    /// The application.
    pub app: Name,
    /// The own name, as registered at the third party, flagged as a leader.
    pub name: Name,
    /// The key shared with the third party: uniformly random, never a password.
    pub key: Key<role::LongTerm>,
    /// What the group is like.
    pub policy: Policy,
    /// Who may join.
    pub access: Access,
    /// Bounds and times.
    pub limits: Limits,
}

/// The leader of a group of the repaired Antigone.
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
    /// What the current key has been used for.
    key_use: KeyUse,
    /// The policy to come. Boxed: empty room inside would keep old bytes of the stack.
    next_policy: Option<alloc::boxed::Box<Ruling>>,
    /// Nobody is taken for silent before: the policy's detection has just changed.
    watched_from: Instant,
    /// Members taken for dead, to be removed together, unless they make good before what they are taken for dead for.
    condemned: BTreeMap<MemberId, Suspicion>,
    /// Requests to eject that the application is to decide about.
    questions: Questions,
    /// Private words under way.
    relays: Relays,
    /// The number of the leader's own last one.
    words: u64,
    /// The group is being closed, or has been.
    closing: Option<Closing>,
    timers: Timers<Timer>,
    /// Members to whom something is owed: the cursor of [`Endpoint::poll_transmit`].
    work: BTreeSet<MemberId>,
    /// Where the cursor stands, so that it goes round.
    at: MemberId,
    /// The links of those to whom data go point to point: of all, or of those that hear no shared link. See
    /// [`Self::reconnect`].
    singly: Arc<[Link]>,
    /// What goes over shared links.
    shared: Shared,
}

fingerprint!(Leader {
    third_party, wanted, station, leader_key, issue, pendings, peers, names, verdicts, lingering, next_cid, rekeys,
    key_use, next_policy, watched_from, condemned, questions, relays, words, closing, timers, work, out, shared,
} skip { me, jitter, links, next_ticket, at, singly });

/// What never changes.
#[derive(Debug, Clone)]
struct Me {
    suite: Arc<dyn Suite>,
    app: Name,
    name: Name,
    keys: LeaderKeys,
    access: Access,
    limits: Limits,
}

/// What a timer of the leader is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Repeat the question to the third party.
    Question(PendingId),
    /// A pending join expires.
    Pending(PendingId),
    /// Repeat the outstanding record, or the key block, of a member; or try again what failed.
    Repeat(MemberId),
    /// A member has been silent for too long.
    Silence(MemberId),
    /// Repeat or forget the end of a channel.
    Linger(MemberId),
    /// Change the key.
    Rekey,
    /// Something of the key ring.
    Ring,
    /// The key is old enough.
    KeyAge,
    /// Nobody decided about a request to eject.
    Ejection,
    /// A private word has been under way for too long.
    Word,
    /// The group has been closed for long enough.
    Closing,
    /// Members that are taken for dead go.
    Condemned,
    /// The next heartbeat on shared links.
    Beat,
    /// Go on with a rekey over shared links.
    Cast,
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Timer {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let (kind, number) = match self {
            Self::Question(id) => (0u8, id.0),
            Self::Pending(id) => (1, id.0),
            Self::Repeat(cid) => (2, cid.0),
            Self::Silence(cid) => (3, cid.0),
            Self::Linger(cid) => (4, cid.0),
            Self::Rekey => (5, 0),
            Self::Ring => (6, 0),
            Self::KeyAge => (7, 0),
            Self::Ejection => (8, 0),
            Self::Closing => (9, 0),
            Self::Condemned => (10, 0),
            Self::Word => (11, 0),
            Self::Beat => (16, 0),
            Self::Cast => (17, 0),
        };
        (kind, number).fingerprint(now, sink);
    }
}

impl Leader {
    /// Opens a group: draws the instance, the signature pair and the first key. The leader is its first member.
    ///
    /// # Errors
    /// [`Misuse::Policy`] if the policy contradicts itself, [`Misuse::AsPublished`] if it names parts as published,
    /// [`Misuse::SharedObjects`] if it names some,
    /// [`Misuse::KeyLength`], [`Failure`].
    pub fn open(config: LeaderConfig, cx: &mut Cx<'_>) -> Result<Self, CommandError> {
        let LeaderConfig { suite, app, name, key, policy, access, limits } = config;
        if policy.check().is_err() {
            return Err(Misuse::Policy.into());
        }
        if policy.mix.is_some() {
            return Err(Misuse::AsPublished.into());
        }
        if !policy.objects.is_empty() {
            return Err(Misuse::SharedObjects.into());
        }
        if key.secret().len() != suite.sizes().long_term {
            return Err(Misuse::KeyLength.into());
        }
        let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
        let keys = LeaderKeys::derive(&*suite, &key, name.by_ref()).map_err(Failure::from)?;
        let mut group = Instance([0; 16]);
        cx.rng.fill(&mut group.0).map_err(Failure::from)?;
        let mut seed = [0; 8];
        cx.rng.fill(&mut seed).map_err(Failure::from)?;
        let (signing, leader_key) = suite.signing_pair(cx.rng).map_err(Failure::from)?;
        let signing = Key::new(signing);
        let beacon = Beacon::new(signing.clone());
        let origin = policy.origin.then_some(signing);
        let identity = Identity { group, cid: MemberId::LEADER, name: name.clone(), origin };
        let history = limits.view_history;
        let mut station = Station::new(suite.clone(), header, &limits, policy, Version(1), identity, history)?;
        let entry = Station::leader_entry(&name, leader_key);
        let step = station.view.prepare(&*suite, &group, [entry]).map_err(|_| Failure::Suite)?;
        let issue =
            crate::group::turn::issue(&station, None, cx.rng, &step, Epoch(1), Epoch(1), Causes::of(Cause::Open))?;
        let own =
            station.prepare(&station.policy, issue.epoch(), issue.base().clone(), Instant::from_micros(u64::MAX))?;
        let mut out = Outbox::new(&limits);
        let now = out.tick(cx.now);
        let changes = station.view.commit(step);
        let shared = Shared::new(beacon, station.view.version(), Allowance::new(limits.clear_per_second, now));
        station.install(own, issue.floor(), now);
        out.event(Event::Joined { group, cid: MemberId::LEADER, epoch: issue.epoch() });
        // The view is what its events add up to, here as at a member.
        out.burst(changes.iter().map(crate::group::ViewChange::to_event));
        let key_use = KeyUse::new(now);
        let mut timers = Timers::new();
        timers.set(Timer::KeyAge, key_use.ages_at(&station.policy));
        Ok(Self {
            me: Me { suite, app, name, keys, access, limits },
            out,
            jitter: Jitter::new(u64::from_be_bytes(seed)),
            links: BTreeMap::new(),
            third_party: None,
            wanted: Wish::new(),
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
            watched_from: Instant::ORIGIN,
            condemned: BTreeMap::new(),
            questions: Questions::new(limits.ejection_questions),
            relays: Relays::new(&limits),
            words: 0,
            closing: None,
            timers,
            work: BTreeSet::new(),
            at: MemberId::LEADER,
            singly: Arc::new([]),
            shared,
        })
    }

    /// The longest payload of [`Self::send`], in bytes.
    pub fn max_message(&self) -> usize {
        self.station.max_message()
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

    /// Answers [`Event::AdmissionWanted`], for every pending join of that name, and for those that come within
    /// [`Limits::pending_life`].
    ///
    /// # Errors
    /// [`Misuse::NoTicket`], [`Misuse::Closed`], [`CommandError::Full`]; [`Failure`]: some of the pending joins are not answered yet, so
    /// answer again.
    pub fn admit(&mut self, cx: &mut Cx<'_>, ticket: Ticket, admit: bool) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        if self.closing.is_some() {
            return Err(Misuse::Closed.into());
        }
        let asked = self.pendings.deciding(ticket);
        if asked.is_empty() {
            return Err(Misuse::NoTicket.into());
        }
        if !self.out.room(asked.len(), EVENTS) {
            return Err(CommandError::Full);
        }
        if let Some(name) = asked.first().and_then(|id| self.pendings.get(*id)).map(|pending| pending.name.clone()) {
            self.verdicts.remember(&self.me.limits, now, name, admit);
        }
        for id in asked {
            match self.decide(cx, now, id, admit) {
                Ok(()) => {}
                Err(Reason::Entropy) => return Err(Failure::Entropy.into()),
                Err(Reason::Suite) => return Err(Failure::Suite.into()),
                Err(_) => self.drop_pending(id),
            }
        }
        Ok(())
    }

    leader_facts!();

    /// Bytes of the frames and records of joins that are not confirmed. Without the prepared keys of those that are offered
    /// a place, and without what tables and spare room cost: for the whole see
    /// [`Limits::PENDING_BYTES`] (R2).
    pub fn pending_bytes(&self) -> usize {
        self.pendings.bytes()
    }

    fn desk(me: &Me, header: Header) -> Desk<'_> {
        Desk {
            suite: &*me.suite,
            header,
            app: me.app.by_ref(),
            leader: me.name.by_ref(),
            keys: &me.keys,
            limits: &me.limits,
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
        if info.shared {
            self.share(now);
        }
        if self.wanted.answered(info.answers) {
            self.third_party = Some(link);
            // Questions that waited for the link go out now.
            let waiting: Vec<_> = self.pendings.iter().map(|(id, _)| id).collect();
            for id in waiting {
                if self.timers.get(Timer::Question(id)).is_some() {
                    self.timers.set(Timer::Question(id), Some(now));
                }
            }
        }
        Ok(())
    }

    fn handle_link_closed(&mut self, cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        if self.links.remove(&link).is_some_and(|info| info.shared) {
            self.share(now);
        }
        if self.third_party == Some(link) {
            self.third_party = None;
        }
        for id in self.pendings.link_closed(link) {
            self.drop_pending(id);
        }
        let mut moved = false;
        for peer in self.peers.values_mut().filter(|peer| peer.link == Some(link)) {
            peer.link = None;
            moved = true;
        }
        for lingering in self.lingering.values_mut().filter(|lingering| lingering.link == Some(link)) {
            lingering.link = None;
        }
        if moved {
            self.reconnect();
        }
        Ok(())
    }

    leader_input!();

    fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<Transmit> {
        let now = self.out.tick(cx.now);
        self.out.pop_frame().or_else(|| self.produce(now))
    }

    outputs!();

    /// A member, or the third party. Whoever has sent a join is a stranger still.
    fn knows(&self, link: Link) -> bool {
        self.third_party == Some(link) || self.peers.values().any(|peer| peer.link == Some(link))
    }
}
