//! Private messages at a member: what it says, and what it hears.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::requests::Wanted;
use super::session::Session;
use super::{Member, Phase};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::enclaves::gossip::{self, Form, port_code};
use crate::endpoint::{Class, Cx, Instant, To, Transmit};
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::{Event, Message, Port, Sender};
use crate::group::Backoff;
use crate::identity::MemberId;
use crate::wire::Message as _;
use crate::wire::enclaves::repaired::{Gossip, MAX_RECIPIENTS};

/// The private messages of a session.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Gossips {
    /// Own ones that the leader has not answered, by number.
    sent: BTreeMap<u64, Sent>,
    /// Keys of others', whose messages have not come; oldest first.
    awaited: VecDeque<Awaited>,
}

fingerprint!(Gossips { sent, awaited });

#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Sent {
    stage: Stage,
    until: Instant,
}

fingerprint!(Sent { stage, until });

/// How far an own private message has come.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
enum Stage {
    /// The leader seals it.
    WithLeader,
    /// Its key is asked for.
    Keyless(u8, Bytes),
    /// It is sealed, and follows when the leader has taken the request.
    Sealed(Bytes),
    /// It is repeated until the leader has it.
    Flying(Bytes, Backoff),
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Stage {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        match self {
            Self::WithLeader => 0u8.fingerprint(now, sink),
            Self::Keyless(port, payload) => (1u8, (*port, payload.clone())).fingerprint(now, sink),
            Self::Sealed(frame) => (2u8, frame.clone()).fingerprint(now, sink),
            Self::Flying(frame, backoff) => {
                (3u8, frame.clone()).fingerprint(now, sink);
                backoff.fingerprint(now, sink);
            }
        }
    }
}

/// A private message that is to come.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Awaited {
    from: MemberId,
    number: u64,
    key: Key<role::Gossip>,
    until: Instant,
}

fingerprint!(Awaited { from, number, key, until });

impl Gossips {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self { sent: BTreeMap::new(), awaited: VecDeque::new() }
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        let awaited = self.awaited.front().map(|awaited| awaited.until);
        let sent = self.sent.values().map(|sent| match &sent.stage {
            Stage::Flying(_, backoff) => backoff.due().min(sent.until),
            _ => sent.until,
        });
        sent.chain(awaited).min()
    }

    /// The leader has answered.
    pub(super) fn answered(&mut self, number: u64) {
        self.sent.remove(&number);
    }
}

impl Session {
    /// The message that a granted key seals, computed before anything changes.
    pub(super) fn seal_granted(&self, number: u64, key: &Key<role::Gossip>) -> Result<Bytes, Reason> {
        let Some(Sent { stage: Stage::Keyless(port, payload), .. }) = self.gossips.sent.get(&number) else {
            return Err(Reason::Violation);
        };
        let station = &self.station;
        let (header, group, cid) = (station.header, station.group, station.cid);
        Ok(gossip::seal(&*station.suite, header, key, group, cid, number, *port, payload)?)
    }
}

impl Member {
    /// Says something to some members, by number, in this form. It gives the number of the message;
    /// [`Event::GossipSent`] tells when it is on its way, and who was not reached. Best effort.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NotCurrent`], [`Misuse::NoMember`] (nobody, or more than
    /// [`MAX_RECIPIENTS`]), [`Misuse::Oneself`], [`Misuse::TooLong`], [`Misuse::Unanswered`], [`CommandError::Full`], [`Failure`].
    pub fn gossip(
        &mut self,
        cx: &mut Cx<'_>,
        form: Form,
        to: &[MemberId],
        port: Port,
        payload: &[u8],
    ) -> Result<u64, CommandError> {
        let now = self.out.tick(cx.now);
        self.room()?;
        let (suite, limits) = (self.me.suite.clone(), self.me.limits);
        let longest = self.max_gossip(to.len());
        let Phase::In(session) = &mut self.phase else { return Err(Misuse::NotJoined.into()) };
        if !session.joined {
            return Err(Misuse::NotJoined.into());
        }
        if !session.current() {
            return Err(Misuse::NotCurrent.into());
        }
        let mut to: Vec<MemberId> = to.to_vec();
        to.sort_unstable();
        to.dedup();
        if to.is_empty() || to.len() > MAX_RECIPIENTS {
            return Err(Misuse::NoMember.into());
        }
        if to.contains(&session.station.cid) {
            return Err(Misuse::Oneself.into());
        }
        if payload.len() > longest {
            return Err(Misuse::TooLong.into());
        }
        if session.gossips.sent.len() >= limits.gossip || session.requests.open() >= limits.records {
            return Err(Misuse::Unanswered.into());
        }
        let number = session.requests.next();
        let (wanted, stage) = match form {
            Form::Documented => {
                (Wanted::Gossip(to, port_code(port), Bytes::copy_from_slice(payload)), Stage::WithLeader)
            }
            Form::Asked => (Wanted::GossipKey(to), Stage::Keyless(port_code(port), Bytes::copy_from_slice(payload))),
            Form::Own => {
                let drawn = suite.fresh_secret(cx.rng, suite.sizes().group_key).map_err(Failure::from)?;
                let (key, station) = (Key::new(drawn), &session.station);
                let (header, group, cid) = (station.header, station.group, station.cid);
                let frame = gossip::seal(&*suite, header, &key, group, cid, number, port_code(port), payload)?;
                (Wanted::GossipWrap(to, key), Stage::Sealed(frame))
            }
        };
        // Nothing can fail from here on.
        session.requests.want(wanted);
        session.gossips.sent.insert(number, Sent { stage, until: now + limits.gossip_time });
        // What cannot be sent now goes out with a timeout.
        let _ = self.ask_next(now);
        Ok(number)
    }

    /// The longest payload of [`Self::gossip`] to so many, in bytes; 0 outside a group.
    pub fn max_gossip(&self, recipients: usize) -> usize {
        // In the documented form text and recipients go into one request.
        self.max_message().saturating_sub(128 + 8 * recipients)
    }

    /// A key for a message that is to come.
    pub(super) fn await_gossip(&mut self, now: Instant, from: MemberId, number: u64, key: Key<role::Gossip>) {
        let limits = self.me.limits;
        let Phase::In(session) = &mut self.phase else { return };
        let gossips = &mut session.gossips;
        if gossips.awaited.len() >= limits.gossip
            && let Some(oldest) = gossips.awaited.pop_front()
        {
            self.out.event(Event::GossipMissed { from: oldest.from, number: oldest.number });
        }
        gossips.awaited.push_back(Awaited { from, number, key, until: now + limits.gossip_time });
    }

    /// The key that was asked for: the message is sealed with it.
    pub(super) fn grant_gossip(&mut self, now: Instant, number: u64, frame: Bytes) {
        self.fly(now, number, Some(frame));
    }

    /// The leader has taken the requests up to this number: sealed messages follow.
    pub(super) fn follow_up(&mut self, now: Instant, taken: u64) {
        let Phase::In(session) = &self.phase else { return };
        let sealed = |(number, sent): (&u64, &Sent)| {
            (*number <= taken && matches!(sent.stage, Stage::Sealed(_))).then_some(*number)
        };
        if let Some(number) = session.gossips.sent.iter().find_map(sealed) {
            self.fly(now, number, None);
        }
    }

    fn fly(&mut self, now: Instant, number: u64, frame: Option<Bytes>) {
        let retry = self.me.limits.retry;
        let Phase::In(session) = &mut self.phase else { return };
        let Some(sent) = session.gossips.sent.get_mut(&number) else { return };
        let frame = match (&sent.stage, frame) {
            (_, Some(frame)) => frame,
            (Stage::Sealed(frame), None) => frame.clone(),
            _ => return,
        };
        let mut backoff = Backoff::start(retry, now, &mut self.jitter);
        // The first time with the next timeout, which is due now: what is queued at once is bounded.
        backoff.hurry(now);
        sent.stage = Stage::Flying(frame, backoff);
    }

    /// What is due of private messages: one frame at most.
    pub(super) fn gossip_time(&mut self, now: Instant) {
        let Phase::In(session) = &mut self.phase else { return };
        let link = session.link;
        while let Some(gone) = session.gossips.awaited.pop_front_if(|awaited| awaited.until <= now) {
            if !self.out.room(0, 1) {
                session.gossips.awaited.push_front(gone);
                return;
            }
            self.out.event(Event::GossipMissed { from: gone.from, number: gone.number });
        }
        // What the leader never answered: it may have gone out or not, and nobody is known to have been missed.
        session.gossips.sent.retain(|_, sent| sent.until > now);
        let flying = session.gossips.sent.values_mut().find_map(|sent| match &mut sent.stage {
            Stage::Flying(frame, backoff) if backoff.due() <= now => Some((frame.clone(), backoff)),
            _ => None,
        });
        if let Some((frame, backoff)) = flying {
            backoff.again(now, &mut self.jitter);
            if let Some(link) = link {
                self.out.send(Transmit { to: To::Link(link), frame, class: Class::Data });
            }
        }
    }

    /// EN-R10.
    pub(super) fn on_gossip(&mut self, mut frame: BytesMut) -> Result<(), Reason> {
        let session = match &mut self.phase {
            Phase::In(session) => session,
            Phase::Ending(_) => return Err(Reason::Ended),
            Phase::Idle | Phase::Asking(_) => return Err(Reason::NotJoined),
        };
        let Gossip { group, cid, number } = Gossip::parse(&frame).map_err(|_| Reason::Malformed)?.message;
        if group != session.station.group {
            return Err(Reason::OtherGroup);
        }
        let awaited = session.gossips.awaited.iter().position(|one| (one.from, one.number) == (cid, number));
        let at = awaited.ok_or(Reason::Unknown)?;
        let key = session.gossips.awaited.get(at).map(|awaited| &awaited.key).ok_or(Reason::Unknown)?;
        let (port, payload) = gossip::open(&*session.station.suite, key, &mut frame)?;
        // The key goes with the first message that opens (E5).
        session.gossips.awaited.remove(at);
        let epoch = session.station.ring.installed();
        self.out.stats.delivered += 1;
        self.out.event(Event::Gossip(Message { from: Sender::Vouched(cid), epoch, port, payload }));
        Ok(())
    }
}
