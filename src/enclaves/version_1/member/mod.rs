//! A member of a group of Enclaves 1.0.
//!
//! `frames.rs` holds what a frame of the leader or the group does, `direct.rs` the direct links, which know nothing of the
//! session, `links.rs` which link leads to the leader, `session.rs` what a member knows in a group, `time.rs` what a deadline
//! does.

mod direct;
mod frames;
mod links;
mod numbers;
mod session;
mod time;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::head::{Clock, Pairing, Time};
use super::messages::Scheme;
use super::{MAX_DIRECT, MAX_HINT, header};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::enclaves::published::{OWN, TRIES, control, failed, failure_of};
use crate::endpoint::{Class, Cx, Endpoint, Instant, Link, LinkInfo, To, Transmit};
use crate::error::{CommandError, Failure, Fatal, Misuse, Reason};
use crate::event::{Ending, Event, JoinFailure, Port};
use crate::group::alike::outputs;
use crate::group::{Backoff, Jitter, Limits, Outbox, Wish};
use crate::identity::{Epoch, MemberId, Name};
use crate::policy::Historic;
use direct::Direct;
use numbers::Numbers;
use session::{Repeat, Session};

/// The most frames that one input queues.
const FRAMES: usize = 4;
/// The most events that one input queues, but for those of a notice.
const EVENTS: usize = 8;

/// Who a member is.
#[derive(Debug, Clone)]
pub struct MemberConfig {
    /// Says that this is known not to protect.
    pub historic: Historic,
    /// The suite.
    pub suite: Arc<dyn PublishedSuite>,
    /// The leader to join.
    pub leader: Name,
    /// The own name.
    pub name: Name,
    /// P_a: known to the leader too.
    pub key: Key<role::PublishedUser>,
    /// How other members reach this one directly, in words that their drivers understand: at most
    /// [`MAX_HINT`](super::MAX_HINT) bytes, empty if not at all. The leader passes it on to whom it grants a direct link.
    pub hint: Bytes,
    /// For how long the group key before the one in use still opens, if it was not changed for somebody who is gone.
    pub grace: Duration,
    /// How far the time of a message may be from the own clock (D30).
    pub window: Duration,
    /// For how long nothing may be heard over a direct link.
    pub silence: Duration,
    /// Longest frame to send, in bytes.
    pub frame_limit: u32,
    /// Bounds and times.
    pub limits: Limits,
}

/// A member of a group of Enclaves 1.0.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Member {
    me: Me,
    clock: Clock,
    out: Outbox,
    jitter: Jitter,
    links: BTreeMap<Link, LinkInfo>,
    /// P_a, with the last number of each end.
    account: Pairing<role::PublishedUser>,
    wanted: Wish,
    phase: Phase,
    directs: BTreeMap<Name, Direct>,
    /// Links over which another member has shown itself, or that were opened to one: none of them leads to the leader.
    elsewhere: BTreeSet<Link>,
    next_direct: u64,
    numbers: Numbers,
}

fingerprint!(Member { account, wanted, phase, directs, numbers, out } skip { me, clock, jitter, links, elsewhere, next_direct });

#[derive(Debug, Clone)]
struct Me {
    suite: Arc<dyn PublishedSuite>,
    leader: Name,
    name: Name,
    hint: Bytes,
    grace: Duration,
    window: Duration,
    silence: Duration,
    frame_limit: usize,
    limits: Limits,
}

impl Me {
    fn scheme(&self) -> Scheme<'_> {
        Scheme { suite: &*self.suite, header: header(&*self.suite) }
    }
}

/// Where the member stands.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
enum Phase {
    Idle,
    /// EN-1J is on its way.
    Asking(Asking),
    In(Box<Session>),
    Leaving(Leaving),
}

/// EN-1J on its way: each copy has a number of its own.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Asking {
    link: Option<Link>,
    /// The numbers of the first and the last copy.
    copies: (u64, u64),
    backoff: Backoff,
    until: Instant,
}

fingerprint!(Asking { link, copies, backoff, until });

/// EN-1L on its way.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Leaving {
    link: Option<Link>,
    pair: Pairing<role::PublishedSession>,
    /// The numbers of the first and the last copy.
    copies: (u64, u64),
    repeat: Repeat,
}

fingerprint!(Leaving { link, pair, copies, repeat });

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Phase {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::Idle => 0u8.fingerprint(now, sink),
            Self::Asking(asking) => (1u8, asking).fingerprint(now, sink),
            Self::In(session) => (2u8, session).fingerprint(now, sink),
            Self::Leaving(leaving) => (3u8, leaving).fingerprint(now, sink),
        }
    }
}

impl Member {
    /// A member that is in no group yet.
    ///
    /// # Errors
    /// [`Misuse::SameName`], [`Misuse::KeyLength`]; [`Misuse::Policy`] for frames shorter than
    /// [`MIN_FRAME`](crate::policy::MIN_FRAME), a longer hint than [`MAX_HINT`](super::MAX_HINT), or no silence at all.
    pub fn new(config: MemberConfig) -> Result<Self, CommandError> {
        let MemberConfig { historic: _, suite, leader, name, key, hint, grace, window, silence, frame_limit, limits } =
            config;
        if leader == name {
            return Err(Misuse::SameName.into());
        }
        if key.secret().len() != suite.sizes().key {
            return Err(Misuse::KeyLength.into());
        }
        let frame_limit = frame_limit as usize;
        if frame_limit < crate::policy::MIN_FRAME || hint.len() > MAX_HINT || silence < Duration::from_millis(5) {
            return Err(Misuse::Policy.into());
        }
        Ok(Self {
            out: Outbox::new(&limits),
            me: Me { suite, leader, name, hint, grace, window, silence, frame_limit, limits },
            clock: Clock::default(),
            jitter: Jitter::none(),
            links: BTreeMap::new(),
            account: Pairing::new(key),
            wanted: Wish::new(),
            phase: Phase::Idle,
            directs: BTreeMap::new(),
            elsewhere: BTreeSet::new(),
            next_direct: 1,
            numbers: Numbers::new(),
        })
    }

    /// Asks the leader to join. What follows is told by events.
    ///
    /// # Errors
    /// [`Misuse::NoWallClock`] if no call has brought [`Cx::wall`]; [`Misuse::AlreadyJoined`], [`CommandError::Full`],
    /// [`Failure`].
    pub fn join(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.tick(cx);
        if !matches!(self.phase, Phase::Idle) {
            return Err(Misuse::AlreadyJoined.into());
        }
        if cx.wall.is_none() {
            return Err(Misuse::NoWallClock.into());
        }
        if !self.out.room(FRAMES, EVENTS) {
            return Err(CommandError::Full);
        }
        let mut seed = [0; 8];
        cx.rng.fill(&mut seed).map_err(Failure::from)?;
        let line = self.account.line(self.me.name.by_ref(), self.me.leader.by_ref(), self.clock.millis(now));
        let frame = self.me.scheme().join_request(cx.rng, line).map_err(failure_of)?;
        let said = line.stamp.sequence;
        self.account.said = said;
        self.jitter = Jitter::new(u64::from_be_bytes(seed));
        let link = self.usable_link();
        if let Some(link) = link {
            self.out.send(control(link, frame));
        }
        let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
        let until = now + self.me.limits.join_time;
        self.phase = Phase::Asking(Asking { link, copies: (said, said), backoff, until });
        self.want_leader(now);
        Ok(())
    }

    /// Sends a message to the group.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NotCurrent`] without a link, [`Misuse::TooLong`], [`CommandError::Full`],
    /// [`Failure`].
    pub fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        let now = self.tick(cx);
        let (session, link) = self.speak()?;
        if payload.len() > self.max_message() {
            return Err(Misuse::TooLong.into());
        }
        let line = session.key.line(self.me.name.by_ref(), self.clock.millis(now));
        let frame = self.me.scheme().data(cx.rng, line, port, payload).map_err(failure_of)?;
        let said = line.stamp.sequence;
        if let Phase::In(session) = &mut self.phase {
            session.key.said = said;
        }
        self.out.stats.sealed += 1;
        self.out.send(Transmit { to: To::Link(link), frame, class: Class::Data });
        Ok(())
    }

    /// The longest payload of [`Self::send`], in bytes; 0 outside a group.
    pub fn max_message(&self) -> usize {
        let most = || self.me.scheme().max_message(self.me.name.by_ref(), None, self.me.frame_limit);
        self.session().map_or(0, |_| most())
    }

    /// Sends a message to one member, or to the leader, by way of the leader, who reads it: each half of the way is under the
    /// key of its two ends. Nobody says whether it came: the leader drops what is for nobody.
    ///
    /// # Errors
    /// As [`Self::send`], the bound being [`Self::max_private`]; [`Misuse::Oneself`].
    pub fn send_to(&mut self, cx: &mut Cx<'_>, to: &Name, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        let now = self.tick(cx);
        let (_, link) = self.speak()?;
        if *to == self.me.name {
            return Err(Misuse::Oneself.into());
        }
        if payload.len() > self.max_private() {
            return Err(Misuse::TooLong.into());
        }
        let millis = self.clock.millis(now);
        let frame = self.for_leader(millis, |scheme, line| scheme.private(cx.rng, line, to.by_ref(), (port, payload)));
        let frame = frame.map_err(failure_of)?;
        self.out.stats.sealed += 1;
        self.out.send(Transmit { to: To::Link(link), frame, class: Class::Data });
        Ok(())
    }

    /// The longest payload of [`Self::send_to`], in bytes; 0 outside a group.
    pub fn max_private(&self) -> usize {
        self.session().map_or(0, |_| self.me.scheme().max_private(self.me.frame_limit))
    }

    /// Leaves the group, or gives a join up. K_g is wiped at once. EN-1L is repeated until EN-1LA answers it or it was said
    /// often enough. Direct links stay: see [`Self::close_direct`].
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`CommandError::Full`], [`Failure`].
    pub fn leave(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.tick(cx);
        if !self.out.room(FRAMES, EVENTS) {
            return Err(CommandError::Full);
        }
        let (link, pair) = match &self.phase {
            Phase::Idle | Phase::Leaving(_) => return Err(Misuse::NotJoined.into()),
            // The leader's attempt ends by itself.
            Phase::Asking(_) => {
                self.finish(Ending::LeftUnconfirmed);
                return Ok(());
            }
            Phase::In(session) => (session.link, session.pair.clone()),
        };
        let line = pair.line(self.me.name.by_ref(), self.me.leader.by_ref(), self.clock.millis(now));
        let frame = self.me.scheme().leave_request(cx.rng, line).map_err(failure_of)?;
        let said = line.stamp.sequence;
        if let Some(link) = link {
            self.out.send(control(link, frame));
        }
        let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
        let (pair, repeat) = (Pairing { said, ..pair }, Repeat { backoff, left: TRIES - 1 });
        self.drop_wishes();
        self.phase = Phase::Leaving(Leaving { link, pair, copies: (said, said), repeat });
        Ok(())
    }

    /// The own number in the own events, if in a group.
    pub fn cid(&self) -> Option<MemberId> {
        self.session().map(|_| OWN)
    }

    /// The number of the group key in use, 0 for none.
    pub fn epoch(&self) -> Epoch {
        self.session().map_or(Epoch(0), |session| session.key.epoch)
    }

    /// Whether it is in a group, as far as it knows.
    pub fn is_in(&self) -> bool {
        matches!(self.phase, Phase::In(_))
    }

    /// Whether it is in no group and on its way to or from none.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Whether it asks to join.
    pub fn is_joining(&self) -> bool {
        matches!(self.phase, Phase::Asking(_))
    }

    /// The own name.
    pub fn name(&self) -> &Name {
        &self.me.name
    }

    /// Who is in the group as far as it was told, by the own numbers: leader and oneself among them.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, &Name)> {
        let both = [(MemberId::LEADER, &self.me.leader), (OWN, &self.me.name)];
        let session = self.session();
        let roster = session.into_iter().flat_map(|session| session.roster.iter());
        let others = roster.filter_map(|name| Some((self.numbers.get(name)?, name)));
        both.into_iter().filter(move |_| session.is_some()).chain(others)
    }

    /// The name behind a number of this member's events.
    pub fn name_of(&self, cid: MemberId) -> Option<&Name> {
        match cid {
            MemberId::LEADER => Some(&self.me.leader),
            OWN => Some(&self.me.name),
            other => self.numbers.name_of(other),
        }
    }

    /// K_g, for scenes of an attack.
    #[cfg(any(test, feature = "sim"))]
    pub fn group_key(&self) -> Option<&Key<role::Group>> {
        self.session().map(|session| &session.key.key)
    }

    /// K_a, for scenes of an attack.
    #[cfg(any(test, feature = "sim"))]
    pub fn session_key(&self) -> Option<&Key<role::PublishedSession>> {
        self.session().map(|session| &session.pair.key)
    }

    /// Entries of all tables, to see that they are bounded.
    #[cfg(any(test, feature = "sim"))]
    pub fn table_entries(&self) -> usize {
        let session =
            self.session().map_or(0, |session| session.roster.len() + session.wishes.len() + session.key.heard.len());
        session + self.directs.len() + self.numbers.len()
    }

    fn tick(&mut self, cx: &Cx<'_>) -> Instant {
        let now = self.out.tick(cx.now);
        self.clock.tick(now, cx.wall);
        now
    }

    fn time(&self, now: Instant) -> Time {
        Time { millis: self.clock.millis(now), window: self.me.window, checks: self.me.limits.checks }
    }

    /// The session and its link, with room for one frame.
    fn speak(&self) -> Result<(&Session, Link), CommandError> {
        let session = self.session().ok_or(Misuse::NotJoined)?;
        let link = session.link.ok_or(Misuse::NotCurrent)?;
        if !self.out.room(1, 0) {
            return Err(CommandError::Full);
        }
        Ok((session, link))
    }

    fn session(&self) -> Option<&Session> {
        match &self.phase {
            Phase::In(session) => Some(session),
            _ => None,
        }
    }

    /// Makes a message to the leader under K_a, and uses up its number.
    fn for_leader(
        &mut self,
        millis: u64,
        make: impl FnOnce(&Scheme<'_>, super::head::Line<'_>) -> Result<Bytes, Reason>,
    ) -> Result<Bytes, Reason> {
        let session = self.session().ok_or(Reason::NotJoined)?;
        let line = session.pair.line(self.me.name.by_ref(), self.me.leader.by_ref(), millis);
        let frame = make(&self.me.scheme(), line)?;
        let said = line.stamp.sequence;
        if let Phase::In(session) = &mut self.phase {
            session.pair.said = said;
        }
        Ok(frame)
    }

    fn drop_wishes(&mut self) {
        if let Phase::In(session) = &mut self.phase {
            session.wishes.clear();
        }
    }

    fn finish(&mut self, ending: Ending) {
        self.end_phase(Event::Ended(ending));
    }

    fn end_phase(&mut self, event: Event) {
        self.phase = Phase::Idle;
        self.wanted.close();
        self.out.event(event);
    }

    fn give_up(&mut self) {
        self.end_phase(Event::JoinFailed(JoinFailure::Timeout));
    }

    fn hindered(&mut self, why: Reason) {
        if self.out.room(0, 1) {
            self.out.event(Event::Hindered(failed(why)));
        }
    }
}

impl Endpoint for Member {
    fn handle_link_opened(&mut self, cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal> {
        let now = self.tick(cx);
        self.link_opened(now, link, info);
        Ok(())
    }

    fn handle_link_closed(&mut self, cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        let now = self.tick(cx);
        self.link_lost(now, link);
        Ok(())
    }

    fn handle_frame(&mut self, cx: &mut Cx<'_>, link: Link, frame: BytesMut) -> Result<(), Fatal> {
        let now = self.tick(cx);
        self.out.stats.frames_in += 1;
        // A notice tells of several members at once.
        if !self.out.room(FRAMES, EVENTS + crate::wire::enclaves::version_1::MAX_CHANGES) {
            self.out.overrun();
            return Ok(());
        }
        if let Err(why) = self.take_frame(cx, now, link, &frame) {
            self.out.reject(link, why);
        }
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        let now = self.tick(cx);
        if self.out.room(FRAMES, EVENTS) {
            self.take_time(cx.rng, now);
        }
        self.direct_time(cx.rng, now);
        Ok(())
    }

    fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<Transmit> {
        self.tick(cx);
        self.out.pop_frame()
    }

    outputs!();
}
