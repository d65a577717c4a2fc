//! What frames do to a leader, but for those of a join. In each function: decode, authenticate as far as 2.0 does, and only
//! then change anything.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::super::messages::Opened;
use super::peer::Delivery;
use super::{GOSSIPS, Leader};
use crate::crypto::Key;
use crate::endpoint::{Class, Cx, Entropy, Instant, Link, To, Transmit};
use crate::error::{DecodeError, Failure, Reason};
use crate::event::{Cause, Event, Sender};
use crate::identity::{MemberId, Name};
use crate::wire::Message as _;
use crate::wire::enclaves::version_2::{
    AuthConfirm, AuthRequest, CloseRequest, DataToLeader, GossipToLeader, NewKeyAck, OpenRequest,
};

impl Leader {
    pub(super) fn take_frame(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let info = self.links.get(&link).ok_or(Reason::Unknown)?;
        if frame.len() > info.max_frame {
            return Err(Reason::Oversize);
        }
        let code = self.me.scheme().header.code_of(frame).map_err(|error| match error {
            DecodeError::Header => Reason::Mismatch,
            _ => Reason::Malformed,
        })?;
        match code {
            code if code == OpenRequest::INFO.code => self.on_open(now, link, frame),
            code if code == AuthRequest::INFO.code => self.on_request(cx, now, link, frame),
            code if code == AuthConfirm::INFO.code => self.on_confirm(cx, now, link, frame),
            code if code == NewKeyAck::INFO.code => self.on_new_key_ack(frame),
            code if code == CloseRequest::INFO.code => self.on_close(cx, now, link, frame),
            code if code == DataToLeader::INFO.code => self.on_data(now, link, frame),
            code if code == GossipToLeader::INFO.code => self.on_gossip(cx, frame),
            _ => Err(Reason::Misdirected),
        }
    }

    /// EN-NKA. Any holder of K_g can have made it (X7).
    fn on_new_key_ack(&mut self, frame: &[u8]) -> Result<(), Reason> {
        let name = NewKeyAck::parse(frame).map_err(|_| Reason::Malformed)?.message.member;
        let (cid, peer) = self.peer_named(name).ok_or(Reason::Unknown)?;
        let key = self.key.as_ref().ok_or(Reason::Unknown)?;
        self.me.scheme().check_new_key_ack(key, frame)?;
        if peer.unacked.is_none() {
            return Err(Reason::Replayed);
        }
        self.timers.set(super::Timer::Key(cid), None);
        if let Some(peer) = self.peers.get_mut(&cid) {
            peer.unacked = None;
        }
        // The rest of the roster may wait for it.
        self.work.insert(cid);
        Ok(())
    }

    /// EN-C1: whoever is named is gone (E12).
    fn on_close(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let name = CloseRequest::parse(frame).map_err(|_| Reason::Malformed)?.message.member;
        if self.me.pair(name).is_none() {
            return Err(Reason::Unknown);
        }
        let answered = match self.peer_named(name).map(|(cid, _)| cid) {
            Some(cid) => {
                let turn = self.prepare(cx.rng, None, Some((cid, Cause::Leave)), false)?;
                self.commit(now, turn, None).and_then(|peer| peer.link)
            }
            None => None,
        };
        self.drop_attempt_of(name);
        // Also to somebody who is gone already: the first answer may be lost.
        if let Some(link) = answered.or_else(|| self.own_link(link)) {
            self.say_close(now, link, false);
        }
        Ok(())
    }

    /// EN-D1: the leader is a receiver like the others, and relays what it can read. The label proves nothing: whoever is
    /// named is believed, also one that is gone or never was (E3, E15).
    fn on_data(&mut self, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let data = DataToLeader::parse(frame).map_err(|_| Reason::Malformed)?.message;
        if self.closed {
            return Err(Reason::Ended);
        }
        if data.sender == self.me.name.by_ref() {
            return Err(Reason::Echo);
        }
        let scheme = self.me.scheme();
        let current = self.key.as_ref().ok_or(Reason::NotJoined)?;
        let previous = self.previous.as_ref().filter(|(_, until)| now < *until).map(|(key, _)| key);
        let (opened, epoch) = match (scheme.read_data(current, data.sealed.bytes), previous) {
            (Ok(opened), _) => (opened, current.number),
            // Nothing says which key it is under.
            (Err(Reason::Forged), Some(key)) => (scheme.read_data(key, data.sealed.bytes)?, key.number),
            (Err(why), _) => return Err(why),
        };
        let relayed = scheme.relay(&data);
        if relayed.len() > self.me.policy.frame_limit as usize {
            return Err(Reason::Oversize);
        }
        let cid = self.number(&data.sender.to_name());
        self.use_key(now, opened.payload.len());
        let to = To::AllBut(self.everybody.clone(), link);
        if to.links().next().is_some() {
            self.out.relay(Transmit { to, frame: relayed, class: Class::Data });
        }
        self.out.stats.delivered += 1;
        self.out.event(Event::Data(opened.into_message(Sender::AnyMember(cid), epoch)));
        Ok(())
    }

    /// The number of a name in data.
    fn number(&mut self, name: &Name) -> MemberId {
        self.names.get(name).copied().unwrap_or_else(|| self.strangers.number(name))
    }

    /// EN-G1, as it is documented (report §3.1.2; the code of 1996 did not do it properly, E7): the leader reads it, and
    /// encrypts it anew under a key that is used once.
    fn on_gossip(&mut self, cx: &mut Cx<'_>, frame: &[u8]) -> Result<(), Reason> {
        let sender = GossipToLeader::parse(frame).map_err(|_| Reason::Malformed)?.message.sender;
        if self.closed {
            return Err(Reason::Ended);
        }
        let (from, peer) = self.peer_named(sender).ok_or(Reason::NotMember)?;
        let gossip = self.me.scheme().read_gossip(&peer.session, frame)?;
        if self.gossips.len() >= GOSSIPS {
            return Err(Reason::Budget);
        }
        let named: BTreeSet<&Name> = gossip.recipients.iter().filter(|name| **name != peer.name).collect();
        let own = named.contains(&self.me.name);
        let others = || named.iter().filter(|name| ***name != self.me.name);
        let to: BTreeSet<MemberId> = others().filter_map(|name| self.names.get(*name).copied()).collect();
        let dropped: Vec<Name> =
            others().filter(|name| !self.names.contains_key(**name)).map(|name| (*name).clone()).collect();
        // Each event that is to be told needs its room.
        if !self.out.room(0, dropped.len() + super::EVENTS) {
            return Err(Reason::Budget);
        }
        let delivery = match to.is_empty() {
            true => None,
            false => Some(self.delivery(cx.rng, peer.name.clone(), to, &gossip.data)?),
        };
        self.out.stats.relayed += u64::from(delivery.is_some());
        self.gossips.extend(delivery);
        for to in dropped {
            self.out.event(Event::GossipDropped { from, to });
        }
        if own {
            self.out.stats.delivered += 1;
            let epoch = self.epoch();
            self.out.event(Event::Gossip(gossip.data.into_message(Sender::AnyMember(from), epoch)));
        }
        Ok(())
    }

    /// Gossip for these members, under a fresh K'.
    pub(super) fn delivery(
        &self,
        rng: &mut dyn Entropy,
        sender: Name,
        to: BTreeSet<MemberId>,
        data: &Opened,
    ) -> Result<Delivery, Reason> {
        let scheme = self.me.scheme();
        let key = Key::new(scheme.suite.fresh_key(rng).map_err(|error| Reason::from(Failure::from(error)))?);
        let data = scheme.gossip_data(rng, &key, data)?;
        Ok(Delivery { sender, key, data, to: to.into_iter().collect() })
    }
}
