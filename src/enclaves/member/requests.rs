//! What a member asks its leader for (EN-R8): one request at a time, numbered, repeated as the same bytes until the leader has
//! taken it. Being numbered it is fresh, so it also shows the leader on which link the member is now.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::objects::Put;
use super::{Member, Phase};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::endpoint::{Cx, Instant};
use crate::error::{CommandError, Failure, Misuse};
use crate::group::{Backoff, Jitter, Retry};
use crate::identity::{MemberId, Name};
use crate::policy::Views;
use crate::wire::antigone::EjectRequest;
use crate::wire::enclaves::repaired::{GossipText, GossipTo, GossipWhole, GossipWrap, KeyBytes, RequestText};
use crate::wire::field::{List, Rest};

/// The requests of a session.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Requests {
    /// The number of the last one. It is given when the request is made up, and its text is fixed by then: sealing it again
    /// after a failure seals the same.
    last: u64,
    under_way: Option<UnderWay>,
    waiting: VecDeque<(u64, Wanted)>,
    /// Those about an ejection that the leader has not answered, with their numbers.
    ejections: VecDeque<(u64, MemberId)>,
    /// Nothing new is sealed before: the suite has failed.
    not_before: Instant,
}

fingerprint!(Requests { last, under_way, waiting, ejections, not_before });

#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct UnderWay {
    number: u64,
    frame: Bytes,
    backoff: Backoff,
}

fingerprint!(UnderWay { number, frame, backoff });

/// What is to be asked for.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// Nothing: the leader is to see on which link the member is.
    Here,
    /// Another member should go.
    Eject(MemberId, Name),
    /// A private message that the leader seals.
    Gossip(Vec<MemberId>, u8, Bytes),
    /// A key for a private message.
    GossipKey(Vec<MemberId>),
    /// The key of a private message is to be handed out.
    GossipWrap(Vec<MemberId>, Key<role::Gossip>),
    /// A piece of what a shared object is to hold.
    Put(Put),
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Wanted {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        self.text(|text| crate::wire::field::to_vec(text).fingerprint(now, sink));
    }
}

impl Wanted {
    /// The text of the request.
    fn text<R>(&self, put: impl FnOnce(&RequestText<'_>) -> R) -> R {
        match self {
            Self::Here => put(&RequestText::Here),
            Self::Eject(target, name) => put(&RequestText::Eject(EjectRequest { cid: *target, name: name.by_ref() })),
            Self::Gossip(to, port, payload) => put(&RequestText::Gossip(GossipWhole {
                to: List::of(to),
                text: GossipText { port: *port, payload: Rest(payload) },
            })),
            Self::GossipKey(to) => put(&RequestText::GossipKey(GossipTo { to: List::of(to) })),
            Self::GossipWrap(to, key) => {
                let key = KeyBytes(key.secret().expose());
                put(&RequestText::GossipWrap(GossipWrap { to: List::of(to), key }))
            }
            Self::Put(piece) => put(&RequestText::Put(piece.wire())),
        }
    }
}

impl Requests {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self {
            last: 0,
            under_way: None,
            waiting: VecDeque::new(),
            ejections: VecDeque::new(),
            not_before: Instant::ORIGIN,
        }
    }

    /// How many the leader has not taken or answered.
    pub(super) fn open(&self) -> usize {
        // A piece of an object is counted with its change.
        let waiting = self.waiting.iter().filter(|(_, wanted)| !matches!(wanted, Wanted::Put(_))).count();
        waiting + self.ejections.len()
    }

    /// Whether a piece of an object waits: there is one at most.
    pub(super) fn has_piece(&self) -> bool {
        self.waiting.iter().any(|(_, wanted)| matches!(wanted, Wanted::Put(_)))
    }

    /// The number that the next one will have.
    pub(super) fn next(&self) -> u64 {
        self.last + 1
    }

    /// Makes up a request, to be sent when those before it have been taken. Gives its number.
    pub(super) fn want(&mut self, wanted: Wanted) -> u64 {
        self.last += 1;
        self.waiting.push_back((self.last, wanted));
        self.last
    }

    /// The leader is to see on which link the member is: by what is under way, or by a request of its own.
    pub(super) fn show_up(&mut self, now: Instant) {
        match &mut self.under_way {
            Some(under_way) => under_way.backoff.hurry(now),
            None if self.waiting.is_empty() => drop(self.want(Wanted::Here)),
            None => {}
        }
    }

    /// When something is to be sent, if there is a link.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.under_way {
            Some(under_way) => Some(under_way.backoff.due()),
            None => (!self.waiting.is_empty()).then_some(self.not_before),
        }
    }

    /// The leader says that it has taken those up to this number.
    pub(super) fn taken(&mut self, number: u64) {
        if self.under_way.as_ref().is_some_and(|under_way| under_way.number <= number) {
            self.under_way = None;
        }
    }

    /// Whether the leader may answer this one: an ejection was asked for by it.
    pub(super) fn asked(&self, number: u64) -> Option<MemberId> {
        self.ejections.iter().find(|(of, _)| *of == number).map(|(_, target)| *target)
    }

    /// It is answered.
    pub(super) fn answered(&mut self, number: u64) {
        self.ejections.retain(|(of, _)| *of != number);
    }

    /// What is under way, if it is due, again.
    pub(super) fn repeat(&mut self, now: Instant, jitter: &mut Jitter) -> Option<Bytes> {
        let under_way = self.under_way.as_mut().filter(|under_way| under_way.backoff.due() <= now)?;
        under_way.backoff.again(now, jitter);
        Some(under_way.frame.clone())
    }

    /// What is to be sealed now.
    fn ready(&self, now: Instant) -> Option<&(u64, Wanted)> {
        self.waiting.front().filter(|_| self.under_way.is_none() && self.not_before <= now)
    }

    fn begin(&mut self, frame: Bytes, retry: Retry, now: Instant, jitter: &mut Jitter) {
        let Some((number, wanted)) = self.waiting.pop_front() else { return };
        if let Wanted::Eject(target, _) = wanted {
            self.ejections.push_back((number, target));
        }
        let backoff = Backoff::start(retry, now, jitter);
        self.under_way = Some(UnderWay { number, frame, backoff });
    }
}

impl Member {
    /// Asks the leader to eject a member that the view shows. [`Event::EjectionAnswered`](crate::event::Event::EjectionAnswered) tells what became of it.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NoMember`] (it is the leader, or not in the view), [`Misuse::Oneself`],
    /// [`Misuse::Unanswered`], [`CommandError::Full`].
    pub fn request_ejection(&mut self, cx: &mut Cx<'_>, target: MemberId) -> Result<(), CommandError> {
        let session = self.session().filter(|session| session.joined).ok_or(Misuse::NotJoined)?;
        let name = session.station.view.get(target).map(|entry| entry.name.clone()).ok_or(Misuse::NoMember)?;
        self.request_ejection_of(cx, target, &name)
    }

    /// As [`Self::request_ejection`], by number and name: for groups that show no view.
    ///
    /// # Errors
    /// As [`Self::request_ejection`].
    pub fn request_ejection_of(&mut self, cx: &mut Cx<'_>, target: MemberId, name: &Name) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        self.room()?;
        let most = self.me.limits.records;
        let Phase::In(session) = &mut self.phase else { return Err(Misuse::NotJoined.into()) };
        if !session.joined {
            return Err(Misuse::NotJoined.into());
        }
        if target == session.station.cid {
            return Err(Misuse::Oneself.into());
        }
        let shown = session.station.view.get(target).is_some_and(|entry| entry.name == *name);
        if target == MemberId::LEADER || (session.station.policy.views != Views::Hidden && !shown) {
            return Err(Misuse::NoMember.into());
        }
        if session.requests.open() >= most {
            return Err(Misuse::Unanswered.into());
        }
        session.requests.want(Wanted::Eject(target, name.clone()));
        // What cannot be sent now goes out with a timeout.
        let _ = self.ask_next(now);
        Ok(())
    }

    /// Sends the next request, if none is under way and there is a link.
    pub(super) fn ask_next(&mut self, now: Instant) -> Result<(), Failure> {
        let Phase::In(session) = &mut self.phase else { return Ok(()) };
        session.want_piece();
        let Some(link) = session.link else { return Ok(()) };
        let Some((number, wanted)) = session.requests.ready(now) else { return Ok(()) };
        let sealed = wanted.text(|text| session.chain.request(&mut self.out.pool, *number, text));
        match sealed {
            Ok(frame) => {
                session.requests.begin(frame.clone(), self.me.limits.retry, now, &mut self.jitter);
                self.out.send(super::control(link, frame));
                Ok(())
            }
            Err(failure) => {
                session.requests.not_before = now + self.me.limits.retry.first;
                Err(failure)
            }
        }
    }
}
