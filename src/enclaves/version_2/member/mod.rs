//! A member of a group of Enclaves 2.0.
//!
//! `frames.rs` holds what an input frame does, `session.rs` what a member knows in a group, `time.rs` what a deadline does.

mod frames;
mod session;
mod time;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::leader::header;
use super::messages::{Pair, Scheme};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::enclaves::published::{OWN, TRIES, control, failure_of};
use crate::endpoint::{Class, Cx, Endpoint, Instant, Link, LinkInfo, To, Transmit};
use crate::error::{CommandError, Failure, Fatal, Misuse};
use crate::event::{Ending, Event, JoinFailure, Peer, Port};
use crate::group::alike::{one_link_to_the_leader, outputs};
use crate::group::{Backoff, Jitter, Limits, Outbox, Wish};
use crate::identity::{Epoch, MemberId, Name, NameRef};
use crate::policy::Historic;
use crate::wire::field::Nonce;
use session::{Session, Show};

/// The most frames that one input queues.
const FRAMES: usize = 2;
/// The most events that one input queues.
const EVENTS: usize = 4;

/// Who a member is.
#[derive(Debug, Clone)]
pub struct MemberConfig {
    /// Says that this is known to protect nothing.
    pub historic: Historic,
    /// The suite.
    pub suite: Arc<dyn PublishedSuite>,
    /// The leader to join.
    pub leader: Name,
    /// The own name.
    pub name: Name,
    /// P_a: known to the leader too.
    pub key: Key<role::PublishedUser>,
    /// For how long the group key before the one in use still opens. 2.0 says nothing of it, nor does any message tell why
    /// a key was changed: with more than zero, who was thrown out may be heard a little longer.
    pub grace: Duration,
    /// Longest frame to send, in bytes.
    pub frame_limit: u32,
    /// Bounds and times.
    pub limits: Limits,
}

/// A member of a group of Enclaves 2.0.
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

#[derive(Debug, Clone)]
struct Me {
    suite: Arc<dyn PublishedSuite>,
    leader: Name,
    name: Name,
    key: Key<role::PublishedUser>,
    grace: Duration,
    frame_limit: usize,
    limits: Limits,
}

impl Me {
    fn scheme(&self) -> Scheme<'_> {
        Scheme { suite: &*self.suite, header: header(&*self.suite) }
    }

    fn pair(&self) -> Pair<'_> {
        Pair { leader: self.leader.by_ref(), member: self.name.by_ref(), user: &self.key }
    }
}

/// Where the member stands.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
enum Phase {
    Idle,
    /// EN-P1 is on its way.
    Opening(Asking),
    /// EN-A1 is on its way, with this N1.
    Asking(Nonce, Asking),
    In(Box<Session>),
    Leaving(Leaving),
}

/// A request on its way.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Asking {
    frame: Bytes,
    link: Option<Link>,
    backoff: Backoff,
    until: Instant,
}

fingerprint!(Asking { frame, link, backoff, until });

/// EN-C1 on its way.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Leaving {
    frame: Bytes,
    link: Option<Link>,
    backoff: Backoff,
    left: u8,
}

fingerprint!(Leaving { frame, link, backoff, left });

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Phase {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::Idle => 0u8.fingerprint(now, sink),
            Self::Opening(asking) => (1u8, asking).fingerprint(now, sink),
            Self::Asking(n1, asking) => (2u8, (n1, asking)).fingerprint(now, sink),
            Self::In(session) => (3u8, session).fingerprint(now, sink),
            Self::Leaving(leaving) => (4u8, leaving).fingerprint(now, sink),
        }
    }
}

impl Member {
    /// A member that is in no group yet.
    ///
    /// # Errors
    /// [`Misuse::SameName`], [`Misuse::KeyLength`]; [`Misuse::Policy`] for frames shorter than
    /// [`MIN_FRAME`](crate::policy::MIN_FRAME).
    pub fn new(config: MemberConfig) -> Result<Self, CommandError> {
        let MemberConfig { historic: _, suite, leader, name, key, grace, frame_limit, limits } = config;
        if leader == name {
            return Err(Misuse::SameName.into());
        }
        if key.secret().len() != suite.sizes().key {
            return Err(Misuse::KeyLength.into());
        }
        let frame_limit = frame_limit as usize;
        if frame_limit < crate::policy::MIN_FRAME {
            return Err(Misuse::Policy.into());
        }
        Ok(Self {
            out: Outbox::new(&limits),
            me: Me { suite, leader, name, key, grace, frame_limit, limits },
            jitter: Jitter::none(),
            links: BTreeMap::new(),
            wanted: Wish::new(),
            phase: Phase::Idle,
        })
    }

    /// Asks the leader to join. What follows is told by events.
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
        self.jitter = Jitter::new(u64::from_be_bytes(seed));
        let frame = self.me.scheme().open_request(self.me.name.by_ref());
        let link = self.usable_link();
        let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
        let until = now + self.me.limits.join_time;
        if let Some(link) = link {
            self.out.send(control(link, frame.clone()));
        }
        self.phase = Phase::Opening(Asking { frame, link, backoff, until });
        self.want_leader(now);
        Ok(())
    }

    /// Sends a message to the group.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NotCurrent`] without a link, [`Misuse::TooLong`], [`CommandError::Full`],
    /// [`Failure`].
    pub fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        self.out.tick(cx.now);
        let (session, link) = self.speak()?;
        if payload.len() > self.max_message() {
            return Err(Misuse::TooLong.into());
        }
        let scheme = self.me.scheme();
        let frame = scheme.data(self.me.name.by_ref(), &session.key, false, port, payload).map_err(failure_of)?;
        self.out.stats.sealed += 1;
        self.out.send(Transmit { to: To::Link(link), frame, class: Class::Data });
        Ok(())
    }

    /// The longest payload of [`Self::send`], in bytes; 0 outside a group.
    pub fn max_message(&self) -> usize {
        self.session().map_or(0, |_| self.me.scheme().max_message(self.me.name.by_ref(), self.me.frame_limit))
    }

    /// Sends a private message to these members by way of the leader, who reads it (gossip, report §3.1.2). Nobody says
    /// whether they got it: the leader drops names of no member.
    ///
    /// # Errors
    /// As [`Self::send`]; [`Misuse::TooLong`] also for more recipients than a message holds.
    pub fn gossip(&mut self, cx: &mut Cx<'_>, to: &[Name], port: Port, payload: &[u8]) -> Result<(), CommandError> {
        self.out.tick(cx.now);
        let (session, link) = self.speak()?;
        let recipients: Vec<NameRef<'_>> = to.iter().map(Name::by_ref).collect();
        let scheme = self.me.scheme();
        let most = scheme.max_gossip(self.me.name.by_ref(), &recipients, self.me.frame_limit);
        if payload.len() > most || to.len() > crate::wire::enclaves::version_2::MAX_RECIPIENTS {
            return Err(Misuse::TooLong.into());
        }
        let frame = scheme.gossip(self.me.name.by_ref(), &session.keys, &recipients, port, payload);
        let frame = frame.map_err(failure_of)?;
        self.out.stats.sealed += 1;
        self.out.send(Transmit { to: To::Link(link), frame, class: Class::Data });
        Ok(())
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

    /// Leaves the group, or gives a join up. Keys are wiped at once. EN-C1 is repeated until EN-C2 answers it or it was said
    /// often enough.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`CommandError::Full`].
    pub fn leave(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        if !self.out.room(FRAMES, EVENTS) {
            return Err(CommandError::Full);
        }
        let link = match &self.phase {
            Phase::Idle | Phase::Leaving(_) => return Err(Misuse::NotJoined.into()),
            Phase::Opening(_) => {
                self.finish(Ending::LeftUnconfirmed);
                return Ok(());
            }
            Phase::Asking(_, asking) => asking.link,
            Phase::In(session) => session.link,
        };
        let frame = self.me.scheme().close_request(self.me.name.by_ref());
        if let Some(link) = link {
            self.out.send(control(link, frame.clone()));
        }
        let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
        self.phase = Phase::Leaving(Leaving { frame, link, backoff, left: TRIES - 1 });
        Ok(())
    }

    /// The own number in the own events, if in a group.
    pub fn cid(&self) -> Option<MemberId> {
        self.session().map(|_| OWN)
    }

    /// What stands for the group key in use, 0 for none.
    pub fn epoch(&self) -> Epoch {
        self.session().map_or(Epoch(0), |session| session.key.number)
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
        matches!(self.phase, Phase::Opening(_) | Phase::Asking(..))
    }

    /// The own name.
    pub fn name(&self) -> &Name {
        &self.me.name
    }

    /// Who is in the group as far as it was told, by the own numbers: leader and oneself among them.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, &Name)> {
        let both = [(MemberId::LEADER, &self.me.leader), (OWN, &self.me.name)];
        let session = self.session();
        let others = session.into_iter().flat_map(|session| session.roster.iter().map(|(name, cid)| (*cid, name)));
        both.into_iter().filter(move |_| session.is_some()).chain(others)
    }

    /// The name behind a number of this member's events.
    pub fn name_of(&self, cid: MemberId) -> Option<&Name> {
        let known = self.members().find(|(of, _)| *of == cid).map(|(_, name)| name);
        known.or_else(|| self.session()?.strangers.name_of(cid))
    }

    /// K_a, for scenes of an attack.
    #[cfg(any(test, feature = "sim"))]
    pub fn session_key(&self) -> Option<&super::SessionKey> {
        self.session().map(|session| &session.keys)
    }

    /// K_g, for scenes of an attack.
    #[cfg(any(test, feature = "sim"))]
    pub fn group_key(&self) -> Option<&super::GroupKey> {
        self.session().map(|session| &session.key)
    }

    fn session(&self) -> Option<&Session> {
        match &self.phase {
            Phase::In(session) => Some(session),
            _ => None,
        }
    }

    fn usable_link(&self) -> Option<Link> {
        self.links.iter().rev().find(|(_, info)| info.proven && !info.shared).map(|(link, _)| *link)
    }

    fn link_slot(&mut self) -> Option<&mut Option<Link>> {
        match &mut self.phase {
            Phase::Idle => None,
            Phase::Opening(asking) | Phase::Asking(_, asking) => Some(&mut asking.link),
            Phase::In(session) => Some(&mut session.link),
            Phase::Leaving(leaving) => Some(&mut leaving.link),
        }
    }

    fn lacks_link(&self) -> bool {
        match &self.phase {
            Phase::Idle => false,
            Phase::Opening(asking) | Phase::Asking(_, asking) => asking.link.is_none(),
            Phase::In(session) => session.link.is_none(),
            Phase::Leaving(leaving) => leaving.link.is_none(),
        }
    }

    fn want_leader(&mut self, now: Instant) {
        if !self.lacks_link() {
            return;
        }
        if let Some(ticket) = self.wanted.want(now, self.me.limits.retry.ceiling) {
            let peer = Peer::Leader(self.me.leader.clone());
            self.out.event(Event::LinkWanted { ticket, peer, hint: Bytes::new() });
        }
    }

    /// `link` serves if one is missing: what is under way goes over it at once.
    fn relink(&mut self, now: Instant, link: Link) {
        let Some(slot) = self.link_slot().filter(|slot| slot.is_none()) else { return };
        *slot = Some(link);
        match &mut self.phase {
            Phase::Opening(asking) | Phase::Asking(_, asking) => asking.backoff.hurry(now),
            // EN-A3 shows the leader the new way: nothing else in 2.0 would.
            Phase::In(session) => {
                let mut backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
                backoff.hurry(now);
                let reliable = self.links.get(&link).is_some_and(|info| info.reliable);
                session.show = Some(Show { backoff, left: if reliable { 1 } else { TRIES } });
            }
            Phase::Leaving(leaving) => leaving.backoff.hurry(now),
            Phase::Idle => {}
        }
    }

    fn finish(&mut self, ending: Ending) {
        self.phase = Phase::Idle;
        self.wanted.close();
        self.out.event(Event::Ended(ending));
    }

    fn fail_join(&mut self, event: Event) {
        self.phase = Phase::Idle;
        self.wanted.close();
        self.out.event(event);
    }

    fn give_up(&mut self) {
        self.fail_join(Event::JoinFailed(JoinFailure::Timeout));
    }
}

impl Endpoint for Member {
    one_link_to_the_leader!();

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
        if self.out.room(FRAMES, EVENTS) {
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
