//! Direct links: two members that the leader gave a key, and who talk without it from then on.
//!
//! Nothing here looks at the session. A direct link goes on when the leader is gone, when either end leaves the group, and
//! when either is thrown out of it. It ends when either end wishes it, and when nothing was heard for too long.

use bytes::Bytes;

use super::super::MAX_DIRECT;
use super::super::head::{Line, Pairing};
use super::super::messages::{DirectOffer, Scheme};
use super::session::Repeat;
use super::{Member, Phase, TRIES, control, failure_of};
use crate::crypto::keys::role;
use crate::endpoint::{Class, Cx, Due, Entropy, Instant, Link, LinkInfo, To, Transmit, Wake};
use crate::error::{CommandError, Misuse, Reason};
use crate::event::{DirectEnd, Event, Peer, Port, Sender};
use crate::group::retry::Retry;
use crate::group::{Backoff, Wish};
use crate::identity::{Epoch, MemberId, Name};
use crate::wire::Message as _;
use crate::wire::enclaves::version_1::{
    DirectAlive, DirectData, DirectEnd as DirectEndMessage, DirectHello, DirectWelcome,
};

/// Tickets of wishes for direct links begin here: those for the leader lie below.
pub(super) const TICKETS: u64 = 1 << 32;

/// Signs of life in the time of silence: a network that loses some of them ends no link.
const SIGNS: u32 = 5;

/// A direct link.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Direct {
    /// The own number of the other end.
    cid: MemberId,
    /// K_ab.
    pair: Pairing<role::PublishedDirect>,
    /// This end dials.
    dials: bool,
    /// How the other end is reached.
    hint: Bytes,
    pub(super) link: Option<Link>,
    wish: Wish,
    /// The other end was heard.
    open: bool,
    /// EN-1XH is said over this link, until the other end is heard on it.
    hello: Option<Repeat>,
    /// When something was heard last, or the key came.
    heard: Instant,
    /// When something was said last.
    said: Instant,
}

fingerprint!(Direct { cid, pair, dials, hint, link, wish, open, hello, heard, said });

impl Member {
    /// Asks the leader for a direct link to another member. `DirectOpened` tells when it is there, `DirectClosed` that it
    /// comes to nothing. If there is one, or one is on its way, nothing happens.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NotCurrent`] without a link to the leader; [`Misuse::NoMember`] for somebody who is
    /// none, as far as is known here, and [`Misuse::Oneself`]; [`CommandError::Full`], also while there are
    /// [`MAX_DIRECT`](super::super::MAX_DIRECT) of them; [`Failure`](crate::error::Failure).
    pub fn link_to(&mut self, cx: &mut Cx<'_>, name: &Name) -> Result<(), CommandError> {
        let now = self.tick(cx);
        let (session, link) = self.speak()?;
        if *name == self.me.name {
            return Err(Misuse::Oneself.into());
        }
        if !session.roster.contains(name) {
            return Err(Misuse::NoMember.into());
        }
        if self.directs.contains_key(name) || session.wishes.contains_key(name) {
            return Ok(());
        }
        if self.directs.len() + session.wishes.len() >= MAX_DIRECT {
            return Err(CommandError::Full);
        }
        let millis = self.clock.millis(now);
        let frame = self.to_leader(millis, |scheme, line| scheme.direct_request(cx.rng, line, name.by_ref()));
        let frame = frame.map_err(failure_of)?;
        let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
        if let Phase::In(session) = &mut self.phase {
            session.wishes.insert(name.clone(), Repeat { backoff, left: TRIES });
        }
        self.out.send(control(link, frame));
        Ok(())
    }

    /// Sends a message over a direct link.
    ///
    /// # Errors
    /// [`Misuse::NoDirectLink`]; [`Misuse::NotCurrent`] while the link is lost and not back; [`Misuse::TooLong`] for more
    /// than [`Self::max_direct`]; [`CommandError::Full`], [`Failure`](crate::error::Failure).
    pub fn send_direct(&mut self, cx: &mut Cx<'_>, to: &Name, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        let now = self.tick(cx);
        let direct = self.directs.get(to).filter(|direct| direct.open).ok_or(Misuse::NoDirectLink)?;
        let link = direct.link.ok_or(Misuse::NotCurrent)?;
        if payload.len() > self.max_direct(to) {
            return Err(Misuse::TooLong.into());
        }
        if !self.out.room(1, 0) {
            return Err(CommandError::Full);
        }
        let frame = self.direct_frame(now, to, |scheme, line| scheme.direct_data(cx.rng, line, port, payload));
        let frame = frame.map_err(failure_of)?;
        self.out.stats.sealed += 1;
        self.out.send(Transmit { to: To::Link(link), frame, class: Class::Data });
        Ok(())
    }

    /// The longest payload of [`Self::send_direct`], in bytes; 0 without a direct link.
    pub fn max_direct(&self, to: &Name) -> usize {
        let most = || self.me.scheme().max_message(self.me.name.by_ref(), Some(to.by_ref()), self.me.frame_limit);
        self.directs.get(to).filter(|direct| direct.open).map_or(0, |_| most())
    }

    /// Ends a direct link, or a wish for one. EN-1XE is said once: if it is lost, the other end learns it by silence.
    ///
    /// # Errors
    /// [`Misuse::NoDirectLink`], [`CommandError::Full`], [`Failure`](crate::error::Failure).
    pub fn close_direct(&mut self, cx: &mut Cx<'_>, name: &Name) -> Result<(), CommandError> {
        let now = self.tick(cx);
        if !self.out.room(1, 1) {
            return Err(CommandError::Full);
        }
        if let Phase::In(session) = &mut self.phase
            && session.wishes.remove(name).is_some()
        {
            let peer = self.numbers.number(name);
            self.out.event(Event::DirectClosed { peer, name: name.clone(), why: DirectEnd::Closed });
            return Ok(());
        }
        let direct = self.directs.get(name).ok_or(Misuse::NoDirectLink)?;
        if let Some(link) = direct.link {
            let frame = self.direct_frame(now, name, |scheme, line| scheme.direct_end(cx.rng, line));
            let frame = frame.map_err(failure_of)?;
            self.out.send(control(link, frame));
        }
        self.end_direct(name, DirectEnd::Closed);
        Ok(())
    }

    /// The members to whom there is an open direct link.
    pub fn direct_links(&self) -> impl Iterator<Item = (MemberId, &Name)> {
        self.directs.iter().filter(|(_, direct)| direct.open).map(|(name, direct)| (direct.cid, name))
    }

    /// K_ab, for scenes of an attack.
    #[cfg(any(test, feature = "sim"))]
    pub fn direct_key(&self, name: &Name) -> Option<&crate::crypto::Key<role::PublishedDirect>> {
        self.directs.get(name).map(|direct| &direct.pair.key)
    }

    /// Makes a message under K_ab, and uses up its number.
    fn direct_frame(
        &mut self,
        now: Instant,
        name: &Name,
        make: impl FnOnce(&Scheme<'_>, Line<'_>) -> Result<Bytes, Reason>,
    ) -> Result<Bytes, Reason> {
        let direct = self.directs.get(name).ok_or(Reason::Unknown)?;
        let line = direct.pair.line(self.me.name.by_ref(), name.by_ref(), self.clock.millis(now));
        let frame = make(&self.me.scheme(), line)?;
        let said = line.stamp.sequence;
        if let Some(direct) = self.directs.get_mut(name) {
            direct.pair.said = said;
            direct.said = now;
        }
        Ok(frame)
    }

    /// A direct link, or what should have become one, is over.
    fn end_direct(&mut self, name: &Name, why: DirectEnd) {
        if let Some(direct) = self.directs.remove(name) {
            self.out.event(Event::DirectClosed { peer: direct.cid, name: name.clone(), why });
        }
    }

    /// The leader has given this member a key and a side.
    pub(super) fn begin_direct(&mut self, now: Instant, offer: DirectOffer<role::PublishedDirect>) {
        let DirectOffer { peer: name, dials, key, hint } = offer;
        let same = self.directs.get(&name).is_some_and(|direct| direct.pair.key.secret().same(key.secret()));
        if same {
            // Said again: the acknowledgement was lost.
            return;
        }
        self.end_direct(&name, DirectEnd::Replaced);
        let cid = self.numbers.number(&name);
        // Each link has tickets of its own: no answer to a wish of before is taken for one of it.
        let wish = Wish::numbered_from(TICKETS.saturating_mul(self.next_direct));
        self.next_direct = self.next_direct.saturating_add(1);
        let direct = Direct {
            cid,
            pair: Pairing::new(key),
            dials,
            hint,
            link: None,
            wish,
            open: false,
            hello: None,
            heard: now,
            said: now,
        };
        self.directs.insert(name.clone(), direct);
        self.want_direct(now, &name);
    }

    /// Asks the driver for a link to the other end, if it is for this end to dial.
    fn want_direct(&mut self, now: Instant, name: &Name) {
        let pace = self.me.limits.retry.ceiling;
        let Some(direct) = self.directs.get_mut(name).filter(|direct| direct.dials && direct.link.is_none()) else {
            return;
        };
        if let Some(ticket) = direct.wish.want(now, pace) {
            let (peer, hint) = (Peer::Member(name.clone()), direct.hint.clone());
            self.out.event(Event::LinkWanted { ticket, peer, hint });
        }
    }

    /// Whether `link` answers a wish for a direct one. Then EN-1XH goes over it at once.
    pub(super) fn direct_opened(&mut self, now: Instant, link: Link, info: LinkInfo) -> bool {
        // Several of them fall into the time that the other end waits.
        let ceiling = self.me.limits.retry.ceiling.min(self.me.silence / SIGNS);
        let (retry, jitter) = (Retry { ceiling, ..self.me.limits.retry }, &mut self.jitter);
        for direct in self.directs.values_mut() {
            if direct.wish.answered(info.answers) {
                let mut backoff = Backoff::start(retry, now, jitter);
                backoff.hurry(now);
                direct.link = Some(link);
                direct.hello = Some(Repeat { backoff, left: u8::MAX });
                return true;
            }
        }
        false
    }

    pub(super) fn direct_lost(&mut self, now: Instant, link: Link) {
        let names: alloc::vec::Vec<Name> = {
            let on = self.directs.iter_mut().filter(|(_, direct)| direct.link == Some(link));
            on.map(|(name, direct)| {
                (direct.link, direct.hello) = (None, None);
                name.clone()
            })
            .collect()
        };
        for name in names {
            if self.out.room(0, 1) {
                self.want_direct(now, &name);
            }
        }
    }

    /// Frames of direct links. Nothing in clear says which of them: that of the link is tried first, and for EN-1XH all on
    /// which this end waits.
    pub(super) fn take_direct(
        &mut self,
        rng: &mut dyn Entropy,
        now: Instant,
        link: Link,
        code: u8,
        frame: &[u8],
    ) -> Result<(), Reason> {
        let known = [
            DirectHello::INFO.code,
            DirectWelcome::INFO.code,
            DirectData::INFO.code,
            DirectAlive::INFO.code,
            DirectEndMessage::INFO.code,
        ];
        if !known.contains(&code) {
            return Err(Reason::Misdirected);
        }
        if code == DirectHello::INFO.code {
            return self.on_hello(rng, now, link, frame);
        }
        let on_link = |(_, direct): &(&Name, &Direct)| direct.link == Some(link);
        let (name, direct) = self.directs.iter().find(on_link).ok_or(Reason::Unknown)?;
        let (scheme, name) = (self.me.scheme(), name.clone());
        let gate = direct.pair.gate(name.by_ref(), self.me.name.by_ref(), self.time(now));
        match code {
            code if code == DirectWelcome::INFO.code => {
                let (number, _) = scheme.read_direct_welcome(gate, frame)?;
                self.direct_heard(now, &name, number);
            }
            code if code == DirectData::INFO.code => {
                let (number, (_, opened)) = scheme.read_direct_data(gate, frame)?;
                let cid = direct.cid;
                self.direct_heard(now, &name, number);
                self.out.stats.delivered += 1;
                self.out.event(Event::Direct(opened.into_message(Sender::Pairwise(cid), Epoch(0))));
            }
            code if code == DirectAlive::INFO.code => {
                let number = scheme.read_direct_alive(gate, frame)?;
                self.direct_heard(now, &name, number);
            }
            _ => {
                scheme.read_direct_end(gate, frame)?;
                self.end_direct(&name, DirectEnd::ByPeer);
            }
        }
        Ok(())
    }

    /// EN-1XH: the other end shows that it has the key. It is answered, each time: the answer may be lost.
    fn on_hello(&mut self, rng: &mut dyn Entropy, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let (scheme, own, time) = (self.me.scheme(), self.me.name.by_ref(), self.time(now));
        let mut why = Reason::Unknown;
        let mut found = None;
        for (name, direct) in self.directs.iter().filter(|(_, direct)| !direct.dials) {
            match scheme.read_direct_hello(direct.pair.gate(name.by_ref(), own, time), frame) {
                Ok(number) => {
                    found = Some((name.clone(), number));
                    break;
                }
                Err(Reason::Suite) => return Err(Reason::Suite),
                // One under another key opens to nothing: what the right one says counts.
                Err(refused) if why == Reason::Unknown || refused != Reason::Forged => why = refused,
                Err(_) => {}
            }
        }
        let (name, number) = found.ok_or(why)?;
        let welcome = self.direct_frame(now, &name, |scheme, line| scheme.direct_welcome(rng, line, number))?;
        if let Some(direct) = self.directs.get_mut(&name) {
            // A fresh number under the key: this is where the other end is now.
            direct.link = Some(link);
        }
        // Whatever was hoped of this link: it is not the leader's.
        self.elsewhere.insert(link);
        if let Some(slot) = self.link_slot() {
            slot.take_if(|of| *of == link);
        }
        self.direct_heard(now, &name, number);
        self.out.send(control(link, welcome));
        Ok(())
    }

    /// Something fresh was heard of the other end.
    fn direct_heard(&mut self, now: Instant, name: &Name, number: u64) {
        let Some(direct) = self.directs.get_mut(name) else { return };
        direct.pair.heard = number;
        direct.heard = now;
        direct.hello = None;
        if !direct.open {
            direct.open = true;
            self.out.event(Event::DirectOpened { peer: direct.cid, name: name.clone() });
        }
    }

    pub(super) fn direct_wake(&self) -> Wake {
        let pause = self.me.silence / SIGNS;
        self.directs.values().fold(Wake::OnInput, |wake, direct| {
            let silent = Wake::At(direct.heard + self.me.silence, Due::Silence);
            let wanted = match (direct.dials && direct.link.is_none(), direct.wish.again()) {
                (false, _) => Wake::OnInput,
                (true, Some(again)) => Wake::At(again, Due::Link),
                (true, None) => Wake::Now(Due::Link),
            };
            let linked = direct.link.is_some();
            let hello = direct.hello.as_ref().filter(|_| linked).map(|hello| hello.backoff.due());
            let alive = (direct.open && linked && direct.hello.is_none()).then_some(direct.said + pause);
            let said = Wake::at(hello, Due::Join).earlier(Wake::at(alive, Due::Poll));
            wake.earlier(silent).earlier(wanted).earlier(said)
        })
    }

    /// Does what is due on direct links, each as there is room.
    pub(super) fn direct_time(&mut self, rng: &mut dyn Entropy, now: Instant) {
        let pause = self.me.silence / SIGNS;
        let names: alloc::vec::Vec<Name> = self.directs.keys().cloned().collect();
        for name in names {
            if !self.out.room(1, 2) {
                return;
            }
            self.want_direct(now, &name);
            let Some(direct) = self.directs.get_mut(&name) else { continue };
            if now >= direct.heard + self.me.silence {
                let why = if direct.open { DirectEnd::Silence } else { DirectEnd::NoAnswer };
                self.end_direct(&name, why);
                continue;
            }
            let Some(link) = direct.link else { continue };
            let hello = match &mut direct.hello {
                Some(hello) if hello.backoff.due() <= now => {
                    hello.backoff.again(now, &mut self.jitter);
                    true
                }
                None if direct.open && direct.said + pause <= now => {
                    // Also if it cannot be made: it is tried again after another pause.
                    direct.said = now;
                    false
                }
                _ => continue,
            };
            let made = self.direct_frame(now, &name, |scheme, line| match hello {
                true => scheme.direct_hello(rng, line),
                false => scheme.direct_alive(rng, line),
            });
            match made {
                Ok(frame) => self.out.send(control(link, frame)),
                Err(why) => self.hindered(why),
            }
        }
    }
}
