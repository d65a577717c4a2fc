//! The member of a mixed group.
//!
//! `joining.rs` holds the way in, `frames.rs` what an input frame does in a group, `keys.rs` which keys are taken,
//! `session.rs` what a member knows, `time.rs` what a deadline does, `output.rs` what the leader is owed.

mod frames;
mod joining;
mod keys;
mod output;
mod session;
mod time;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::faults::Faults;
use super::sides::Sides;
use crate::antigone::leave::Farewell;
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::{Key, Suite};
use crate::endpoint::{Class, Cx, Endpoint, Instant, Link, LinkInfo, To, Transmit};
use crate::error::{CommandError, Failure, Fatal, Misuse};
use crate::event::{EndReason, Ending, Event, JoinFailure, Peer, Port};
use crate::group::alike::{one_link_to_the_leader, outputs};
use crate::group::{Backoff, Jitter, Limits, Outbox, Wish};
use crate::identity::{Epoch, Instance, MemberId, Name};
use crate::policy::{Communication, Floor, Historic, Mix, Part, Policy};
use crate::ttp::schedule::MemberKeys;
use joining::Asking;
use session::Session;

/// The most frames that one input queues.
const FRAMES: usize = 3;
/// The most events that one input queues, apart from the changes of a roster.
const EVENTS: usize = 8;
/// How often AN-L is said: nothing answers it.
const FAREWELLS: u8 = 3;

/// Who a member of a mixed group is.
#[derive(Debug, Clone)]
pub struct MemberConfig {
    /// Says that this is known to protect nothing.
    pub historic: Historic,
    /// The suite of repaired parts.
    pub suite: Arc<dyn Suite>,
    /// The suite of published parts.
    pub published: Arc<dyn PublishedSuite>,
    /// Which parts are as published. The leader's policy must say the same: nothing is negotiated.
    pub mix: Mix,
    /// The application.
    pub app: Name,
    /// The leader to join.
    pub leader: Name,
    /// The own name, as registered at the third party.
    pub name: Name,
    /// The key shared with the third party. Published parts get a key that is derived from it (RA §2, I-8).
    pub key: Key<role::LongTerm>,
    /// What the leader's policy must at least be, apart from its editions.
    pub floor: Floor,
    /// Wrong rules: [`Faults::NONE`].
    pub faults: Faults,
    /// Bounds and times.
    pub limits: Limits,
}

/// The member of a group with parts as published.
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
    sides: Sides,
    name: Name,
    keys: MemberKeys,
    /// σ of a published exchange: the same in all sessions (A5).
    sigma: Key<role::Pair>,
    floor: Floor,
    faults: Faults,
    limits: Limits,
}

/// Where the member stands.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
enum Phase {
    Idle,
    Asking(Box<Asking>),
    In(Box<Session>),
    Leaving(Leaving),
    Ending(Box<Farewell>),
}

/// AN-L on its way.
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
            Self::Asking(asking) => {
                1u8.fingerprint(now, sink);
                asking.fingerprint(now, sink);
            }
            Self::In(session) => {
                2u8.fingerprint(now, sink);
                session.fingerprint(now, sink);
            }
            Self::Leaving(leaving) => {
                3u8.fingerprint(now, sink);
                leaving.fingerprint(now, sink);
            }
            Self::Ending(farewell) => {
                4u8.fingerprint(now, sink);
                farewell.fingerprint(now, sink);
            }
        }
    }
}

impl Member {
    /// A member that is in no group yet.
    ///
    /// # Errors
    /// [`Misuse::SameName`], [`Misuse::KeyLength`]; [`Misuse::Policy`] for a mix of another suite than the one given or of
    /// nothing, or a name that is none under it (D2); [`Failure::Suite`].
    pub fn new(config: MemberConfig) -> Result<Self, CommandError> {
        let MemberConfig { historic: _, suite, published, mix, app, leader, name, key, floor, faults, limits } = config;
        if leader == name {
            return Err(Misuse::SameName.into());
        }
        if key.secret().len() != suite.sizes().long_term {
            return Err(Misuse::KeyLength.into());
        }
        let named = published.admits(name.by_ref()) && published.admits(leader.by_ref());
        let fits = app.as_str().len() <= crate::wire::published::MAX_APP;
        if mix.suite != published.id() || mix.editions == crate::policy::Editions::REPAIRED || !named || !fits {
            return Err(Misuse::Policy.into());
        }
        let keys = MemberKeys::derive(&*suite, &key, name.by_ref()).map_err(Failure::from)?;
        let long_term = published.long_term(&*suite, key.secret(), name.by_ref()).map_err(Failure::from)?;
        let long_term = Key::new(long_term);
        let sigma = crate::ttp::published::own_pair_key(&*published, &long_term, leader.by_ref(), name.by_ref())?;
        let sides = Sides { modern: suite, published, mix, app, leader };
        Ok(Self {
            out: Outbox::new(&limits),
            me: Me { sides, name, keys, sigma, floor, faults, limits },
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
        let mut jitter = Jitter::new(u64::from_be_bytes(seed));
        let until = now + self.me.limits.join_time;
        let asking = self.me.ask(cx, now, until, &mut jitter)?;
        self.jitter = jitter;
        self.begin(now, asking);
        Ok(())
    }

    /// Sends a message to the group.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NotCurrent`], [`Misuse::TooLong`], [`Misuse::KeyExhausted`],
    /// [`CommandError::Full`], [`Failure`].
    pub fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        let Phase::In(session) = &mut self.phase else { return Err(Misuse::NotJoined.into()) };
        if !session.joined {
            return Err(Misuse::NotJoined.into());
        }
        let shared = self.links.iter().find(|(_, info)| info.shared).map(|(link, _)| *link);
        let symmetric = session.plane.station.policy.communication == Communication::Symmetric;
        let link = shared.filter(|_| symmetric).or(session.link).ok_or(Misuse::NotCurrent)?;
        if !session.current() {
            return Err(Misuse::NotCurrent.into());
        }
        if !self.out.room(1, 0) {
            return Err(CommandError::Full);
        }
        let frame = session.plane.seal(&self.me.sides, cx, &mut self.out, now, port, payload)?;
        self.out.stats.sealed += 1;
        self.out.send(Transmit { to: To::Link(link), frame, class: Class::Data });
        Ok(())
    }

    /// The longest payload of [`Self::send`], in bytes; 0 outside a group.
    pub fn max_message(&self) -> usize {
        self.session().map_or(0, |session| session.plane.max_message(&self.me.sides))
    }

    /// Asks the leader to eject the member of this name. As published nothing answers.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::Oneself`], [`Misuse::Unanswered`], [`CommandError::Full`], [`Failure`].
    pub fn request_ejection(&mut self, cx: &mut Cx<'_>, target: &Name) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        if *target == self.me.name {
            return Err(Misuse::Oneself.into());
        }
        if !self.out.room(FRAMES, EVENTS) {
            return Err(CommandError::Full);
        }
        let Phase::In(session) = &mut self.phase else { return Err(Misuse::NotJoined.into()) };
        if self.me.sides.is_published(Part::Leave) {
            let frame = session.removal(&self.me, cx, target.by_ref())?;
            let link = session.link.ok_or(Misuse::NotCurrent)?;
            self.out.send(control(link, frame));
            return Ok(());
        }
        session.ask_to_eject(&self.me, now, target, &mut self.jitter)
    }

    /// Leaves the group, or gives a join up. Keys are wiped at once. As published nothing confirms it: AN-L is said a few
    /// times, and [`Event::Ended`] says that it is unconfirmed.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`CommandError::Full`], [`Failure`].
    pub fn leave(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        if !self.out.room(FRAMES, EVENTS) {
            return Err(CommandError::Full);
        }
        match &self.phase {
            Phase::Idle | Phase::Leaving(_) | Phase::Ending(_) => return Err(Misuse::NotJoined.into()),
            Phase::Asking(_) => self.finish(Ending::LeftUnconfirmed),
            Phase::In(session) if self.me.sides.is_published(Part::Leave) => {
                if session.plane.key().is_none() {
                    self.finish(Ending::LeftUnconfirmed);
                    return Ok(());
                }
                let frame = session.removal(&self.me, cx, self.me.name.by_ref())?;
                let link = session.link;
                if let Some(link) = link {
                    self.out.send(control(link, frame.clone()));
                }
                let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
                self.phase = Phase::Leaving(Leaving { frame, link, backoff, left: FAREWELLS - 1 });
            }
            Phase::In(_) => {
                if let Phase::In(session) = core::mem::replace(&mut self.phase, Phase::Idle) {
                    self.part(session, now, EndReason::Left, Ending::Left);
                }
            }
        }
        Ok(())
    }

    /// The policy of the group.
    pub fn policy(&self) -> Option<&Policy> {
        self.session().map(|session| &session.policy)
    }

    /// The group instance.
    pub fn group(&self) -> Option<Instance> {
        self.session().map(|session| session.plane.station.group)
    }

    /// The own number, as the leader counts.
    pub fn cid(&self) -> Option<MemberId> {
        self.session().map(|session| session.plane.station.cid)
    }

    /// The number of the key in use, 0 for none: the epoch, or what stands for g.
    pub fn epoch(&self) -> Epoch {
        self.session().map_or(Epoch(0), |session| session.plane.epoch())
    }

    /// Whether [`Self::send`] would find a key that is not known to be old.
    pub fn is_current(&self) -> bool {
        self.session().is_some_and(|session| session.joined && session.current())
    }

    /// Whether it is in no group and on its way to or from none.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Whether it asks to join, or waits for its first key.
    pub fn is_joining(&self) -> bool {
        match &self.phase {
            Phase::Asking(_) => true,
            Phase::In(session) => !session.joined,
            Phase::Idle | Phase::Leaving(_) | Phase::Ending(_) => false,
        }
    }

    /// The own name.
    pub fn name(&self) -> &Name {
        &self.me.name
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

    fn lacks_link(&self) -> bool {
        match &self.phase {
            Phase::Idle => false,
            Phase::Asking(asking) => asking.link.is_none(),
            Phase::In(session) => session.link.is_none(),
            Phase::Leaving(leaving) => leaving.link.is_none(),
            Phase::Ending(farewell) => farewell.link.is_none(),
        }
    }

    fn want_leader(&mut self, now: Instant) {
        if !self.lacks_link() {
            return;
        }
        let hint = self.session().map(|session| session.plane.station.policy.hint.clone()).unwrap_or_default();
        if let Some(ticket) = self.wanted.want(now, self.me.limits.retry.ceiling) {
            let peer = Peer::Leader(self.me.sides.leader.clone());
            self.out.event(Event::LinkWanted { ticket, peer, hint });
        }
    }

    fn link_slot(&mut self) -> Option<&mut Option<Link>> {
        match &mut self.phase {
            Phase::Idle => None,
            Phase::Asking(asking) => Some(&mut asking.link),
            Phase::In(session) => Some(&mut session.link),
            Phase::Leaving(leaving) => Some(&mut leaving.link),
            Phase::Ending(farewell) => Some(&mut farewell.link),
        }
    }

    /// `link` serves if one is missing: what is under way goes over it at once.
    fn relink(&mut self, now: Instant, link: Link) {
        let Some(slot) = self.link_slot().filter(|slot| slot.is_none()) else { return };
        *slot = Some(link);
        match &mut self.phase {
            Phase::Asking(asking) => asking.backoff.hurry(now),
            Phase::In(session) => {
                session.beat_at = session.beat_at.map(|_| now);
                let sides = &self.me.sides;
                let beats = sides.is_published(Part::MemberHeartbeat) || !sides.is_published(Part::LeaderHeartbeat);
                // Where no heartbeat shows the leader the new way, the request for the key does.
                if session.joined && (session.beat_at.is_none() || !beats) {
                    session.want_key(&self.me, now, &mut self.jitter);
                }
            }
            Phase::Leaving(leaving) => leaving.backoff.hurry(now),
            Phase::Ending(farewell) => farewell.owed = Some(now),
            Phase::Idle => {}
        }
    }

    /// Says the end over the channel, and wipes the keys.
    fn part(&mut self, session: Box<Session>, now: Instant, reason: EndReason, said: Ending) {
        let limits = &self.me.limits;
        let backoff = Backoff::start(limits.retry, now, &mut self.jitter);
        match session.farewell(reason, said, backoff, now, now + limits.linger) {
            Some(farewell) => self.phase = Phase::Ending(farewell),
            None => self.finish(said),
        }
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

fn control(link: Link, frame: Bytes) -> Transmit {
    Transmit { to: To::Link(link), frame, class: Class::Control }
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
        if let Err(why) = self.take_frame(cx, now, link, frame) {
            self.out.reject(link, why);
        }
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        if self.out.room(FRAMES, EVENTS) {
            self.take_time(cx, now);
        }
        Ok(())
    }

    fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<Transmit> {
        let now = self.out.tick(cx.now);
        self.out.pop_frame().or_else(|| self.pay(now))
    }

    outputs!();
}
