//! The member: the composition of the micro-protocols on the joining side.
//!
//! ```text
//!            join()            RA-J2             key and evidence
//!   Idle ───────────▶ Asking ─────────▶ In(…) ────────────────────▶ In(joined)
//!    ▲                  │ refusal, time    │ end, loss, violation      │ leave()
//!    └──────────────────┴──────────────────┴───────────◀── Ending ◀────┘
//! ```
//!
//! `frames.rs` holds what an input frame does, `data.rs` what it says and hears of data, `shared.rs` what comes over links that many listen to, `policy.rs` how a policy
//! follows another, `ejection.rs` how a member asks for an ejection, `private.rs` what it says to some, `session.rs` what a member knows in a group, `time.rs`
//! what a deadline does. Channel frames are owed, and sealed when they are polled: a suite that fails leaves the debt.

mod data;
mod ejection;
mod frames;
#[cfg(any(test, feature = "sim"))]
mod label;
mod policy;
mod private;
mod session;
mod shared;
mod time;
#[cfg(any(test, feature = "sim"))]
mod watch;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::antigone::join::asking::{Attempt, Parties};
use crate::antigone::leave::Farewell;
use crate::crypto::keys::role;
use crate::crypto::{Key, Suite};
use crate::endpoint::{Class, Cx, Endpoint, Instant, Link, LinkInfo, To, Transmit};
use crate::error::{CommandError, Failure, Fatal, Misuse, Reason};
use crate::event::{EndReason, Ending, Event, JoinFailure, Peer, Shortfall};
use crate::group::alike::{member_facts, outputs};
use crate::group::claims::claims;
use crate::group::{Backoff, Check, Jitter, Limits, Outbox, Wish};
use crate::identity::Name;
use crate::policy::{Floor, Policy};
use crate::ttp::schedule::MemberKeys;
use crate::wire::{Edition, Header, System};
use session::Session;

/// The most frames that one input queues.
const FRAMES: usize = 1;
/// The most events that one input queues, apart from the changes of a view.
const EVENTS: usize = 12;

/// Who a member is, and what it insists on.
#[derive(Debug, Clone)]
pub struct MemberConfig {
    /// The suite. The leader's and the third party's must be the same.
    pub suite: Arc<dyn Suite>,
    /// The application.
    pub app: Name,
    /// The leader to join.
    pub leader: Name,
    /// The own name, as registered at the third party.
    pub name: Name,
    /// The key shared with the third party: uniformly random, never a password.
    pub key: Key<role::LongTerm>,
    /// What the leader's policy must at least be.
    pub floor: Floor,
    /// Bounds and times.
    pub limits: Limits,
}

/// A member of a group of the repaired Antigone.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Member {
    me: Me,
    out: Outbox,
    jitter: Jitter,
    links: BTreeMap<Link, LinkInfo>,
    wanted: Wish,
    phase: Phase,
}

fingerprint!(Member { wanted, phase, out } skip { me, jitter, links });

/// What never changes.
#[derive(Debug, Clone)]
struct Me {
    suite: Arc<dyn Suite>,
    app: Name,
    leader: Name,
    name: Name,
    keys: MemberKeys,
    floor: Floor,
    limits: Limits,
}

/// Where the member stands.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
enum Phase {
    Idle,
    Asking(Asking),
    In(alloc::boxed::Box<Session>),
    Ending(alloc::boxed::Box<Farewell>),
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Phase {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::Idle => 0u8.fingerprint(now, sink),
            Self::Asking(asking) => {
                1u8.fingerprint(now, sink);
                asking.fingerprint(now, sink);
            }
            Self::In(session) => {
                2u8.fingerprint(now, sink);
                session.fingerprint(now, sink);
            }
            Self::Ending(farewell) => {
                3u8.fingerprint(now, sink);
                farewell.fingerprint(now, sink);
            }
        }
    }
}

/// A join under way.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Asking {
    attempt: Attempt,
    link: Option<Link>,
    backoff: Backoff,
    until: Instant,
}

fingerprint!(Asking { attempt, link, backoff, until });

impl Member {
    /// A member that is in no group yet.
    ///
    /// # Errors
    /// [`Misuse::SameName`] if it would lead itself, [`Misuse::KeyLength`], [`Failure::Suite`].
    pub fn new(config: MemberConfig) -> Result<Self, CommandError> {
        if config.leader == config.name {
            return Err(Misuse::SameName.into());
        }
        if config.key.secret().len() != config.suite.sizes().long_term {
            return Err(Misuse::KeyLength.into());
        }
        let keys = MemberKeys::derive(&*config.suite, &config.key, config.name.by_ref()).map_err(Failure::from)?;
        let out = Outbox::new(&config.limits);
        let MemberConfig { suite, app, leader, name, key: _, floor, limits } = config;
        let me = Me { suite, app, leader, name, keys, floor, limits };
        Ok(Self { me, out, jitter: Jitter::none(), links: BTreeMap::new(), wanted: Wish::new(), phase: Phase::Idle })
    }

    /// Asks the leader to join. What follows is told by events: [`Event::Joined`], [`Event::JoinRefused`] or
    /// [`Event::JoinFailed`].
    ///
    /// # Errors
    /// [`Misuse::AlreadyJoined`], [`CommandError::Full`], [`Failure`].
    pub fn join(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        if !matches!(self.phase, Phase::Idle) {
            return Err(Misuse::AlreadyJoined.into());
        }
        if !self.out.room(FRAMES, EVENTS) {
            return Err(CommandError::Full);
        }
        let mut seed = [0; 8];
        cx.rng.fill(&mut seed).map_err(Failure::from)?;
        let me = &self.me;
        let parties = Parties { app: me.app.by_ref(), leader: me.leader.by_ref(), member: me.name.by_ref() };
        // The exchange costs little and a leader that does not want it cannot forbid it (floor).
        let ephemeral = me.limits.checks.on(Check::Ephemeral);
        let attempt = Attempt::new(&*me.suite, me.header(), cx.rng, &me.keys, parties, ephemeral)?;
        let attempt = attempt.with_checks(me.limits.checks);
        self.jitter = Jitter::new(u64::from_be_bytes(seed));
        let backoff = Backoff::start(me.limits.retry, now, &mut self.jitter);
        let until = now + me.limits.join_time;
        let link = self.usable_link();
        if let Some(link) = link {
            self.out.send(control(link, attempt.frame.clone()));
        }
        self.phase = Phase::Asking(Asking { attempt, link, backoff, until });
        if link.is_none() {
            self.want_link(now, Bytes::new());
        }
        Ok(())
    }

    /// Leaves the group, or gives a join up. Keys are wiped at once; [`Event::Ended`] tells when the leader knows.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`CommandError::Full`].
    pub fn leave(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        if !self.out.room(FRAMES, EVENTS) {
            return Err(CommandError::Full);
        }
        match core::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => Err(Misuse::NotJoined.into()),
            Phase::Ending(farewell) => {
                self.phase = Phase::Ending(farewell);
                Err(Misuse::NotJoined.into())
            }
            Phase::Asking(_) => {
                self.wanted.close();
                self.out.event(Event::Ended(Ending::LeftUnconfirmed));
                Ok(())
            }
            Phase::In(session) => {
                self.part(session, now, EndReason::Left, Ending::Left);
                Ok(())
            }
        }
    }

    member_facts!();

    fn session(&self) -> Option<&Session> {
        match &self.phase {
            Phase::In(session) => Some(session),
            _ => None,
        }
    }

    /// What a link must at least carry: in a group, the longest frame of its policy (RA §4.4).
    fn least_frame(&self) -> usize {
        self.session().map_or(0, |session| session.station.policy.frame_limit as usize)
    }

    fn usable_link(&self) -> Option<Link> {
        let fits = |info: &LinkInfo| info.proven && !info.shared && info.max_frame >= self.least_frame();
        self.links.iter().rev().find(|(_, info)| fits(info)).map(|(link, _)| *link)
    }

    fn want_link(&mut self, now: Instant, hint: Bytes) {
        let Some(ticket) = self.wanted.want(now, self.me.limits.retry.ceiling) else { return };
        self.out.event(Event::LinkWanted { ticket, peer: Peer::Leader(self.me.leader.clone()), hint });
    }

    /// Whether a link is missing.
    fn lacks_link(&self) -> bool {
        match &self.phase {
            Phase::Idle => false,
            Phase::Asking(asking) => asking.link.is_none(),
            Phase::In(session) => session.link.is_none(),
            Phase::Ending(farewell) => farewell.link.is_none(),
        }
    }

    /// Wishes for a link if one is missing, and again while none comes.
    fn want_leader(&mut self, now: Instant) {
        if self.lacks_link() {
            let hint = self.session().map(|session| session.station.policy.hint.clone()).unwrap_or_default();
            self.want_link(now, hint);
        }
    }

    /// `link` is gone.
    fn unlink(&mut self, link: Link) {
        let slot = match &mut self.phase {
            Phase::Idle => return,
            Phase::Asking(asking) => &mut asking.link,
            Phase::In(session) => &mut session.link,
            Phase::Ending(farewell) => &mut farewell.link,
        };
        slot.take_if(|of| *of == link);
    }

    /// `link` serves if one is missing: what is under way goes over it at once.
    fn relink(&mut self, now: Instant, link: Link) {
        match &mut self.phase {
            Phase::Asking(asking) if asking.link.is_none() => {
                asking.link = Some(link);
                // Sent by the next timeout, which is due now.
                asking.backoff.hurry(now);
            }
            Phase::In(session) if session.link.is_none() => {
                session.link = Some(link);
                session.ask(now);
            }
            Phase::Ending(farewell) if farewell.link.is_none() => {
                farewell.link = Some(link);
                farewell.owed = Some(now);
            }
            _ => {}
        }
    }

    /// Wipes the keys of the group and tells the leader. `said` is reported when the leader has confirmed.
    fn part(&mut self, session: alloc::boxed::Box<Session>, now: Instant, reason: EndReason, said: Ending) {
        let limits = &self.me.limits;
        let backoff = Backoff::start(limits.retry, now, &mut self.jitter);
        self.phase = Phase::Ending(session.farewell(reason, said, backoff, now, now + limits.linger));
    }

    /// The group has ended here.
    fn finish(&mut self, ending: Ending) {
        self.phase = Phase::Idle;
        self.wanted.close();
        self.out.event(Event::Ended(ending));
    }

    fn fail_join(&mut self, why: JoinFailure) {
        self.phase = Phase::Idle;
        self.wanted.close();
        self.out.event(Event::JoinFailed(why));
    }
}

impl Me {
    fn header(&self) -> Header {
        Header { system: System::Antigone, edition: Edition::Repaired, suite: self.suite.id() }
    }

    /// Whether this member takes part under `policy`: not with parts as published, whatever its floor.
    fn admits(&self, policy: &Policy) -> Result<(), Shortfall> {
        if policy.mix.is_some() {
            return Err(Shortfall::AsPublished);
        }
        if self.limits.checks.on(Check::PolicyFloor) { self.floor.admits(policy) } else { Ok(()) }
    }
}

/// How many probes a member remembers (RA §4.3).
fn probes_for(detection: Option<crate::policy::Detection>) -> usize {
    detection.map_or(2, |detection| usize::from(detection.misses) + 2)
}

fn control(link: Link, frame: Bytes) -> Transmit {
    Transmit { to: To::Link(link), frame, class: Class::Control }
}

impl Endpoint for Member {
    fn handle_link_opened(&mut self, cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        if self.links.len() >= self.me.limits.links {
            self.out.stats.links_refused += 1;
            return Ok(());
        }
        self.links.insert(link, info);
        if info.shared || !info.proven {
            self.listen(now, link, info);
            return Ok(());
        }
        // Any link to the leader will do.
        self.wanted.close();
        self.relink(now, link);
        Ok(())
    }

    fn handle_link_closed(&mut self, cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        self.unlisten(now, link);
        self.links.remove(&link);
        self.unlink(link);
        match self.usable_link() {
            Some(other) => self.relink(now, other),
            // Without room for the wish now, the next timeout tells it.
            None if self.out.room(0, 1) => self.want_leader(now),
            None => {}
        }
        Ok(())
    }

    fn handle_frame(&mut self, cx: &mut Cx<'_>, link: Link, frame: BytesMut) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        self.out.stats.frames_in += 1;
        if !self.out.room(FRAMES, EVENTS) {
            self.out.overrun();
            return Ok(());
        }
        let claims = match &self.phase {
            Phase::In(session) => claims(session.station.header, session.station.group, &frame),
            _ => None,
        };
        if let Err(why) = self.take_frame(cx, now, link, frame) {
            self.out.reject_data(link, why, claims);
        }
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        if self.out.room(FRAMES, EVENTS) {
            self.take_time(now);
        }
        Ok(())
    }

    fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<Transmit> {
        let now = self.out.tick(cx.now);
        self.out.pop_frame().or_else(|| self.pay(now))
    }

    outputs!();
}

/// Why a link, or a peer on it, is not to be believed.
fn reason_of(error: crate::error::DecodeError) -> Reason {
    match error {
        crate::error::DecodeError::Header => Reason::Mismatch,
        _ => Reason::Malformed,
    }
}
