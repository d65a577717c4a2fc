//! The member of repaired Enclaves.
//!
//! ```text
//!            join()            EN-R2             key, view and evidence
//!   Idle ───────────▶ Asking ─────────▶ In(…) ────────────────────────▶ In(joined)
//!    ▲                  │ refusal, time    │ EN-R7, loss, violation       │ leave()
//!    └──────────────────┴──────────────────┴───────────◀── Ending ◀───────┘
//! ```
//!
//! `frames.rs` holds what an input frame does, `admin.rs` what the leader tells, `data.rs` what the member says and hears,
//! `gossip.rs` what it says to some, `objects.rs` what it shares, `requests.rs` what it asks for, `session.rs` what it knows in a group, `time.rs` what a deadline does.

mod admin;
mod data;
mod frames;
mod gossip;
mod objects;
mod requests;
mod session;
mod time;
#[cfg(any(test, feature = "sim"))]
mod watch;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::auth::{self, Credential, Scene};
use super::chain::{MemberChain, fresh_nonce};
use crate::crypto::Suite;
use crate::endpoint::{Class, Cx, Endpoint, Instant, Link, LinkInfo, To, Transmit, WallClock};
use crate::error::{CommandError, DecodeError, Failure, Fatal, Misuse, Reason};
use crate::event::{Ending, Event, JoinFailure, Peer, Shortfall};
use crate::group::alike::{member_facts, one_link_to_the_leader, outputs};
use crate::group::claims::claims;
use crate::group::{Backoff, Check, Jitter, Limits, Outbox, Wish};
use crate::identity::Name;
use crate::policy::{Floor, Policy};
use crate::wire::enclaves::repaired::AuthInitReq;
use crate::wire::field::{Blob, Nonce};
use crate::wire::{Edition, Header, Message as _, System};
use session::Session;

/// The most frames that one input queues: an Ack, a request, a private message.
const FRAMES: usize = 3;
/// The most events that one input queues, apart from the changes of a view.
const EVENTS: usize = 12;

/// What a member is made of.
#[derive(Debug, Clone)]
pub struct MemberConfig {
    /// The cryptographic suite, agreed on beforehand.
    pub suite: Arc<dyn Suite>,
    /// The application.
    pub app: Name,
    /// Whom to join.
    pub leader: Name,
    /// Who joins.
    pub name: Name,
    /// How it shows that.
    pub credential: Credential,
    /// What the leader's policy must offer at least.
    pub floor: Floor,
    /// Bounds and times.
    pub limits: Limits,
}

/// A member of a group of repaired Enclaves, or somebody who wants to be one.
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
    credential: Credential,
    floor: Floor,
    limits: Limits,
}

#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
enum Phase {
    Idle,
    Asking(Box<Asking>),
    In(Box<Session>),
    Ending(Box<Farewell>),
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Phase {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::Idle => 0u8.fingerprint(now, sink),
            Self::Asking(asking) => (1u8, asking).fingerprint(now, sink),
            Self::In(session) => (2u8, session).fingerprint(now, sink),
            Self::Ending(farewell) => (3u8, farewell).fingerprint(now, sink),
        }
    }
}

/// A request on its way.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Asking {
    asked: auth::Asked,
    n1: Nonce,
    frame: Bytes,
    link: Option<Link>,
    backoff: Backoff,
    until: Instant,
}

fingerprint!(Asking { asked, n1, frame, link, backoff, until });

/// The end on its way: EN-R6 is repeated until EN-R7 comes.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Farewell {
    chain: MemberChain,
    link: Option<Link>,
    frame: Bytes,
    said: Ending,
    backoff: Backoff,
    until: Instant,
}

fingerprint!(Farewell { chain, link, frame, backoff, until } skip { said });

impl Member {
    /// A member that has not joined.
    ///
    /// # Errors
    /// [`Misuse::SameName`].
    pub fn new(config: MemberConfig) -> Result<Self, CommandError> {
        if config.leader == config.name {
            return Err(Misuse::SameName.into());
        }
        let out = Outbox::new(&config.limits);
        let MemberConfig { suite, app, leader, name, credential, floor, limits } = config;
        let me = Me { suite, app, leader, name, credential, floor, limits };
        Ok(Self { me, out, jitter: Jitter::none(), links: BTreeMap::new(), wanted: Wish::new(), phase: Phase::Idle })
    }

    /// Asks the leader to join. [`Event::Joined`], [`Event::JoinRefused`] or [`Event::JoinFailed`] tells what became of it.
    ///
    /// # Errors
    /// [`Misuse::AlreadyJoined`], [`CommandError::Full`], [`Failure`].
    pub fn join(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        if !matches!(self.phase, Phase::Idle) {
            return Err(Misuse::AlreadyJoined.into());
        }
        self.room()?;
        let mut seed = [0; 8];
        cx.rng.fill(&mut seed).map_err(Failure::from)?;
        let me = &self.me;
        let n1 = fresh_nonce(&*me.suite, cx.rng).map_err(Failure::from)?;
        let (body, asked) = me.credential.ask(&me.scene(cx.wall), &n1, cx.rng)?;
        let (app, leader, member) = (me.app.by_ref(), me.leader.by_ref(), me.name.by_ref());
        let mut frame = BytesMut::with_capacity(body.len() + 256);
        AuthInitReq { app, leader, member, n1, request: Blob(&body) }.put_open(me.header(), &mut frame);
        let frame = frame.freeze();
        self.jitter = Jitter::new(u64::from_be_bytes(seed));
        let backoff = Backoff::start(me.limits.retry, now, &mut self.jitter);
        let until = now + self.me.limits.join_time;
        let link = self.usable_link();
        if let Some(link) = link {
            self.out.send(control(link, frame.clone()));
        }
        self.phase = Phase::Asking(Box::new(Asking { asked, n1, frame, link, backoff, until }));
        self.want_leader(now);
        Ok(())
    }

    /// Leaves the group, or gives up joining it. [`Event::Ended`] tells when the leader has heard of it, or that it could not
    /// be told.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`CommandError::Full`], [`Failure::Suite`].
    pub fn leave(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        self.room()?;
        match &self.phase {
            Phase::Idle | Phase::Ending(_) => Err(Misuse::NotJoined.into()),
            Phase::Asking(_) => {
                self.finish(Ending::LeftUnconfirmed);
                Ok(())
            }
            Phase::In(_) => Ok(self.part(now, Ending::Left)?),
        }
    }

    member_facts!();

    /// How many AdminMsgs of this session have been accepted.
    pub fn accepted(&self) -> u64 {
        self.session().map_or(0, |session| session.chain.accepted())
    }

    fn session(&self) -> Option<&Session> {
        match &self.phase {
            Phase::In(session) => Some(session),
            _ => None,
        }
    }

    fn room(&self) -> Result<(), CommandError> {
        if self.out.room(FRAMES, EVENTS) { Ok(()) } else { Err(CommandError::Full) }
    }

    /// The newest link to the leader that is proven and carries what the group's frames need.
    fn usable_link(&self) -> Option<Link> {
        let least = self.session().map_or(0, |session| session.station.policy.frame_limit as usize);
        let fits = |info: &LinkInfo| info.proven && !info.shared && info.max_frame >= least;
        self.links.iter().rev().find(|(_, info)| fits(info)).map(|(link, _)| *link)
    }

    /// The link in use, where one is of use; `None` while idle.
    fn link_slot(&mut self) -> Option<&mut Option<Link>> {
        match &mut self.phase {
            Phase::Idle => None,
            Phase::Asking(asking) => Some(&mut asking.link),
            Phase::In(session) => Some(&mut session.link),
            Phase::Ending(farewell) => Some(&mut farewell.link),
        }
    }

    fn lacks_link(&self) -> bool {
        match &self.phase {
            Phase::Idle => false,
            Phase::Asking(asking) => asking.link.is_none(),
            Phase::In(session) => session.link.is_none(),
            Phase::Ending(farewell) => farewell.link.is_none(),
        }
    }

    fn want_leader(&mut self, now: Instant) {
        if !self.lacks_link() {
            return;
        }
        let hint = self.session().map(|session| session.station.policy.hint.clone()).unwrap_or_default();
        if let Some(ticket) = self.wanted.want(now, self.me.limits.retry.ceiling) {
            self.out.event(Event::LinkWanted { ticket, peer: Peer::Leader(self.me.leader.clone()), hint });
        }
    }

    /// Goes on over `link` if there is none in use. What waits for an answer goes out with the next timeout, which is due now.
    fn relink(&mut self, now: Instant, link: Link) {
        if self.lacks_link()
            && let Some(slot) = self.link_slot()
        {
            *slot = Some(link);
            match &mut self.phase {
                Phase::Idle => {}
                Phase::Asking(asking) => asking.backoff.hurry(now),
                Phase::In(session) => session.show_up(now),
                Phase::Ending(farewell) => farewell.backoff.hurry(now),
            }
        }
    }

    /// Leaves with EN-R6, and says `said` when the leader has heard of it.
    fn part(&mut self, now: Instant, said: Ending) -> Result<(), Failure> {
        let Phase::In(session) = &self.phase else { return Ok(()) };
        let frame = session.chain.close(&mut self.out.pool, self.me.name.by_ref(), self.me.leader.by_ref())?;
        let Phase::In(session) = core::mem::replace(&mut self.phase, Phase::Idle) else { return Ok(()) };
        let Session { chain, link, .. } = *session;
        let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
        let until = now + self.me.limits.linger;
        if let Some(link) = link {
            self.out.send(control(link, frame.clone()));
        }
        self.phase = Phase::Ending(Box::new(Farewell { chain, link, frame, said, backoff, until }));
        self.want_leader(now);
        Ok(())
    }

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
        Header { system: System::Enclaves, edition: Edition::Repaired, suite: self.suite.id() }
    }

    fn scene(&self, wall: Option<WallClock>) -> Scene<'_> {
        Scene {
            suite: &*self.suite,
            header: self.header(),
            app: self.app.by_ref(),
            leader: self.leader.by_ref(),
            member: self.name.by_ref(),
            wall,
        }
    }

    /// Whether this side takes part under `policy`.
    fn admits(&self, policy: &Policy) -> Result<(), Shortfall> {
        if policy.mix.is_some() {
            return Err(Shortfall::AsPublished);
        }
        if self.limits.checks.on(Check::PolicyFloor) { self.floor.admits(policy) } else { Ok(()) }
    }
}

fn control(link: Link, frame: Bytes) -> Transmit {
    Transmit { to: To::Link(link), frame, class: Class::Control }
}

impl Endpoint for Member {
    one_link_to_the_leader!();

    fn handle_frame(&mut self, cx: &mut Cx<'_>, link: Link, frame: BytesMut) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        self.out.stats.frames_in += 1;
        if self.room().is_err() {
            self.out.overrun();
            return Ok(());
        }
        let claims = self.session().and_then(|session| claims(session.station.header, session.station.group, &frame));
        if let Err(why) = self.take_frame(cx, now, link, frame) {
            self.out.reject_data(link, why, claims);
        }
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        if self.room().is_ok() {
            self.take_time(now);
        }
        Ok(())
    }

    fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<Transmit> {
        self.out.tick(cx.now);
        self.out.pop_frame()
    }

    outputs!();
}

fn reason_of(error: DecodeError) -> Reason {
    match error {
        DecodeError::Header => Reason::Mismatch,
        _ => Reason::Malformed,
    }
}
