//! What frames do to a leader, but for those of a join. In each function: decode, open, check the head, and only then change
//! anything.
//!
//! Nothing in clear says whose a frame is. The link tells which key to try: it is a hint, and proves nothing.

use bytes::Bytes;

use super::Leader;
use super::joining::{TRIALS, worse};
use crate::enclaves::published::control;
use crate::endpoint::{Class, Cx, Instant, Link, To, Transmit};
use crate::error::{DecodeError, Reason};
use crate::event::{Cause, Causes, Event, Sender};
use crate::group::Backoff;
use crate::identity::{MemberId, NameRef};
use crate::wire::Message as _;
use crate::wire::enclaves::version_1::{
    Acknowledgement, Data, DirectRequest, Here, JoinRequest, LeaveRequest, PrivateData,
};

impl Leader {
    pub(super) fn take_frame(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        frame: &Bytes,
    ) -> Result<(), Reason> {
        let info = self.links.get(&link).ok_or(Reason::Unknown)?;
        if frame.len() > info.max_frame {
            return Err(Reason::Oversize);
        }
        let code = self.me.scheme().header.code_of(frame).map_err(|error| match error {
            DecodeError::Header => Reason::Mismatch,
            _ => Reason::Malformed,
        })?;
        match code {
            code if code == JoinRequest::INFO.code => self.on_join(cx, now, link, frame),
            code if code == Here::INFO.code => self.on_here(cx, now, link, frame),
            code if code == Acknowledgement::INFO.code => self.on_acknowledgement(now, link, frame),
            code if code == LeaveRequest::INFO.code => self.on_leave(cx, now, link, frame),
            code if code == Data::INFO.code => self.on_data(now, link, frame),
            code if code == PrivateData::INFO.code => self.on_private(cx, now, link, frame),
            code if code == DirectRequest::INFO.code => self.on_direct_request(cx, now, link, frame),
            _ => Err(Reason::Misdirected),
        }
    }

    /// The member whose link this is.
    pub(super) fn seated(&self, link: Link) -> Result<(MemberId, &super::Peer), Reason> {
        let cid = *self.seats.get(&link).ok_or(Reason::Unknown)?;
        Ok((cid, self.peers.get(&cid).ok_or(Reason::Unknown)?))
    }

    /// A message of a member was taken: its number is used up.
    pub(super) fn heard(&mut self, cid: MemberId, number: u64) {
        if let Some(peer) = self.peers.get_mut(&cid) {
            peer.pair.heard = number;
        }
    }

    /// EN-1NA. Of what was said again only the last copy counts; the others are acknowledged for nothing.
    fn on_acknowledgement(&mut self, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let (cid, peer) = self.seated(link)?;
        let gate = peer.pair.gate(peer.name.by_ref(), self.me.name.by_ref(), self.time(now));
        let (number, answers) = self.me.scheme().read_acknowledgement(gate, frame)?;
        self.heard(cid, number);
        let Some(peer) = self.peers.get_mut(&cid) else { return Ok(()) };
        peer.acknowledge(answers);
        peer.left = crate::enclaves::published::TRIES;
        if peer.is_settled() {
            peer.backoff = None;
            self.timers.set(super::Timer::Owed(cid), None);
        }
        Ok(())
    }

    /// EN-1L: the member is gone, and K_g changes.
    fn on_leave(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let (scheme, leader, time) = (self.me.scheme(), self.me.name.by_ref(), self.time(now));
        let own = self.own_link(link);
        let mut why = Reason::Unknown;
        for cid in self.candidates(link) {
            let Some(peer) = self.peers.get(&cid) else { continue };
            let name = peer.name.by_ref();
            match scheme.read_leave_request(peer.pair.gate(name, leader, time), frame) {
                Ok(number) => {
                    let line = peer.pair.line(leader, name, time.millis);
                    let answer = scheme.leave_answer(cx.rng, line, number)?;
                    let said = line.stamp.sequence;
                    let turn = self.prepare(cx.rng, Some((cid, Cause::Leave)), Causes::NONE)?;
                    if let Some(mut peer) = self.commit(now, turn, None) {
                        (peer.pair.heard, peer.pair.said) = (number, said);
                        peer.link = own;
                        self.part(now, cid, peer, None);
                    }
                    own.into_iter().for_each(|link| self.out.send(control(link, answer.clone())));
                    return Ok(());
                }
                Err(refused) => why = worse(why, refused),
            }
        }
        // It comes again: the answer was lost.
        let mut found = None;
        for (cid, farewell) in
            self.farewells.iter().filter(|(_, farewell)| farewell.link.is_none_or(|of| of == link)).take(TRIALS)
        {
            let name = farewell.name.by_ref();
            match scheme.read_leave_request(farewell.pair.gate(name, leader, time), frame) {
                Ok(number) => {
                    let line = farewell.pair.line(leader, name, time.millis);
                    let answer = scheme.leave_answer(cx.rng, line, number)?;
                    found = Some((*cid, number, line.stamp.sequence, answer));
                    break;
                }
                Err(refused) => why = worse(why, refused),
            }
        }
        let (cid, number, said, answer) = found.ok_or(why)?;
        if let Some(farewell) = self.farewells.get_mut(&cid) {
            (farewell.pair.heard, farewell.pair.said) = (number, said);
            farewell.link = own;
            // It knows, or wanted, that it is out.
            farewell.close = None;
        }
        self.timers.set(super::Timer::Close(cid), None);
        own.into_iter().for_each(|link| self.out.send(control(link, answer.clone())));
        Ok(())
    }

    /// EN-1D: the leader is a receiver like the others, and relays what it takes. Any holder of K_g can have written it under
    /// any member's name (E3).
    fn on_data(&mut self, now: Instant, link: Link, frame: &Bytes) -> Result<(), Reason> {
        if self.closed {
            return Err(Reason::Ended);
        }
        let (scheme, time) = (self.me.scheme(), self.time(now));
        let current = self.key.as_ref().ok_or(Reason::NotJoined)?;
        let own = self.me.name.by_ref();
        let previous = self.previous.as_ref().filter(|(_, until)| now < *until).map(|(key, _)| key);
        let read = |key: &super::GroupKey| {
            let heard = |name: NameRef<'_>| {
                let known = name == own || self.names.contains_key(&name.to_name());
                known.then(|| key.heard_of(name))
            };
            scheme.read_data(key.gate(&heard, time), frame)
        };
        // Nothing says which key it is under.
        let (number, (name, opened), old) = match (read(current), previous) {
            (Ok((number, what)), _) => (number, what, false),
            (Err(Reason::Forged), Some(key)) => {
                let (number, what) = read(key)?;
                (number, what, true)
            }
            (Err(why), _) => return Err(why),
        };
        if name == self.me.name {
            return Err(Reason::Echo);
        }
        if frame.len() > self.me.policy.frame_limit as usize {
            return Err(Reason::Oversize);
        }
        let cid = *self.names.get(&name).ok_or(Reason::NotMember)?;
        let key = if old { self.previous.as_mut().map(|(key, _)| key) } else { self.key.as_mut() };
        let key = key.ok_or(Reason::NotJoined)?;
        key.heard.insert(name, number);
        let epoch = key.epoch;
        self.use_key(now, opened.payload.len());
        let to = To::AllBut(self.everybody.clone(), link);
        if to.links().next().is_some() {
            self.out.stats.relayed += 1;
            self.data.push_back(Transmit { to, frame: frame.clone(), class: Class::Data });
        }
        self.out.stats.delivered += 1;
        self.out.event(Event::Data(opened.into_message(Sender::AnyMember(cid), epoch)));
        Ok(())
    }

    /// EN-1P: read, and said again under the key of the other end (EN-1PD).
    fn on_private(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let (from, peer) = self.seated(link)?;
        let (scheme, leader, time) = (self.me.scheme(), self.me.name.by_ref(), self.time(now));
        let (number, (to, data)) = scheme.read_private(peer.pair.gate(peer.name.by_ref(), leader, time), frame)?;
        if to == peer.name {
            return Err(Reason::Violation);
        }
        if to == self.me.name {
            self.heard(from, number);
            self.out.stats.delivered += 1;
            let epoch = self.epoch();
            self.out.event(Event::Gossip(data.into_message(Sender::Pairwise(from), epoch)));
            return Ok(());
        }
        let other = self.names.get(&to).and_then(|cid| Some((*cid, self.peers.get(cid)?)));
        let Some((cid, other)) = other else {
            self.heard(from, number);
            self.out.event(Event::GossipDropped { from, to });
            return Ok(());
        };
        if data.payload.len() > self.max_private() {
            return Err(Reason::Oversize);
        }
        let line = other.pair.line(leader, to.by_ref(), time.millis);
        let delivery = scheme.delivery(cx.rng, line, peer.name.by_ref(), (data.port, &data.payload))?;
        let (said, at) = (line.stamp.sequence, other.link);
        self.heard(from, number);
        // Who has no link now does not get it: best effort.
        if let Some(at) = at {
            self.said(cid, said);
            self.out.relay(Transmit { to: To::Link(at), frame: delivery, class: Class::Data });
        }
        Ok(())
    }

    /// Starts the clock of what is not acknowledged.
    pub(super) fn await_acknowledgement(&mut self, now: Instant, cid: MemberId) {
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        let (retry, jitter) = (self.me.limits.retry, &mut self.jitter);
        let backoff = peer.backoff.get_or_insert_with(|| Backoff::start(retry, now, jitter));
        self.timers.set(super::Timer::Owed(cid), Some(backoff.due()));
    }
}
