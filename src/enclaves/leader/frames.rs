//! What a frame does to a leader. In each function: decode, authenticate, compare with the state, and only then change it
//! (R25).

use alloc::collections::VecDeque;

use bytes::BytesMut;

use super::peer::Peer;
use super::{Leader, Timer};
use crate::enclaves::chain::{Asked, JOIN, LeaderChain, Place};
use crate::endpoint::{Cx, Instant, Link};
use crate::error::{DecodeError, Reason};
use crate::event::{Cause, EndReason};
use crate::group::channel::Standing;
use crate::group::private::Whispers;
use crate::group::turn::Removal;
use crate::group::{Allowance, Check};
use crate::identity::{Epoch, Instance, MemberId, Version};
use crate::wire::antigone::Data;
use crate::wire::enclaves::repaired::{Ack, AuthAckKey, AuthInitReq, Confirm, Gossip, ReqClose, Request, RequestText};
use crate::wire::frame::split_frame;
use crate::wire::{Field, Message as _};

impl Leader {
    pub(super) fn take_frame(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        frame: BytesMut,
    ) -> Result<(), Reason> {
        let info = self.links.get(&link).ok_or(Reason::Unknown)?;
        if frame.len() > info.max_frame {
            return Err(Reason::Oversize);
        }
        if info.shared {
            return Err(Reason::Misdirected);
        }
        let code = self.station.header.code_of(&frame).map_err(|error| match error {
            DecodeError::Header => Reason::Mismatch,
            _ => Reason::Malformed,
        })?;
        match code {
            code if code == Ack::INFO.code => self.on_ack(now, link, frame),
            code if code == Data::INFO.code => self.on_data(now, link, frame),
            code if code == Gossip::INFO.code => self.on_gossip(frame),
            code if code == Request::INFO.code => self.on_member_request(cx, now, link, frame),
            code if code == AuthInitReq::INFO.code => self.on_request(cx, now, link, &frame),
            code if code == AuthAckKey::INFO.code => self.on_confirm(cx, now, link, frame),
            code if code == ReqClose::INFO.code => self.on_close(cx, now, link, frame),
            _ => Err(Reason::Misdirected),
        }
    }

    /// EN-R3: on it the leader accepts. The live session of that name, if there is one, ends only now (D32).
    fn on_confirm(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, mut frame: BytesMut) -> Result<(), Reason> {
        if self.closing.is_some() {
            return Err(Reason::Ended);
        }
        let parsed = AuthAckKey::parse(&frame).map_err(|_| Reason::Malformed)?;
        let (n2, clear, text, tag) = (parsed.message.n2, parsed.clear, parsed.text, parsed.tag);
        let (id, pending) = self.pendings.offered(&n2).ok_or(Reason::Unknown)?;
        let super::joins::Stage::Offered(_, cid, policy) = pending.stage else { return Err(Reason::Unknown) };
        let (ad, sealed) = split_frame(&mut frame, clear, &text);
        let opened = pending.keys.member.open(JOIN, ad, sealed, &tag);
        pending.keys.member.scrub();
        if opened.is_err() && self.me.limits.checks.on(Check::ChainBox) {
            opened?;
        }
        let Confirm { n3, proof, origin_key } = Confirm::decode(sealed).map_err(|_| Reason::Violation)?;
        pending.answered.confirm(proof.0)?;
        if origin_key.is_empty() == self.station.policy.origin {
            self.drop_pending(id);
            return Err(Reason::Violation);
        }
        let (name, header, group) = (pending.name.clone(), self.station.header, self.station.group);
        let seat = self.objects.seat(name.clone());
        let live = self.names.get(&name).copied();
        let busy = match live.and_then(|cid| self.peers.get(&cid)) {
            // As when EN-R2 was made: a name is not lost to a member that has fallen silent.
            Some(peer) => !self.station.policy.takeover && !peer.suspected,
            None => self.peers.len() >= self.me.limits.members,
        };
        let checks = self.me.limits.checks;
        let place = Place { header, group, cid, keys: pending.keys.clone(), checks };
        let peer = Peer {
            name: name.clone(),
            origin_key,
            link: Some(link),
            unlinked: None,
            chain: LeaderChain::new(place, n3),
            first: Epoch(0),
            shown: Standing { epoch: Epoch(0), view: Version(0), policy, hears: false },
            telling: None,
            // It made N3 after it had N2, which was made for this join.
            alive_as_of: now,
            suspected: false,
            pages: None,
            answers: VecDeque::new(),
            whispers: Whispers::new(),
            seat,
            ping: false,
            again: false,
            beside: None,
            beside_from: now,
            clear: Allowance::new(self.me.limits.clear_per_second, now),
        };
        if busy {
            self.turn_away(now, cid, peer)?;
            self.drop_pending(id);
            return Ok(());
        }
        // A confirmation of an older attempt that comes late must not end this session.
        let older = self.pendings.no_newer(id, &name);
        self.admit_peer(cx, now, cid, peer, live)?;
        older.into_iter().for_each(|id| self.drop_pending(id));
        Ok(())
    }

    /// The member that a frame names, if it is live here.
    fn live(&self, group: Instance, cid: MemberId) -> Result<&Peer, Reason> {
        if group != self.station.group {
            return Err(Reason::Unknown);
        }
        if self.closing.is_some() || self.lingering.contains_key(&cid) {
            return Err(Reason::Ended);
        }
        self.peers.get(&cid).ok_or(Reason::Unknown)
    }

    /// EN-R5.
    fn on_ack(&mut self, now: Instant, link: Link, mut frame: BytesMut) -> Result<(), Reason> {
        let Ack { group, cid, .. } = Ack::parse(&frame).map_err(|_| Reason::Malformed)?.message;
        let peer = self.live(group, cid)?;
        let next = peer.chain.hear_ack(&mut frame)?;
        let Some(peer) = self.peers.get_mut(&cid) else { return Err(Reason::Unknown) };
        let proof = peer.chain.since().unwrap_or(now);
        peer.chain.commit_ack(next);
        peer.alive_as_of = peer.alive_as_of.max(proof);
        self.arrive(now, cid, link);
        self.spare(cid);
        self.told(now, cid);
        Ok(())
    }

    /// A fresh frame of a member came over `link`: that is where it is now.
    fn arrive(&mut self, now: Instant, cid: MemberId, link: Link) {
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        if peer.link == Some(link) {
            return;
        }
        (peer.link, peer.unlinked) = (Some(link), None);
        peer.again = true;
        if !peer.chain.free() {
            self.timers.set(Timer::Repeat(cid), Some(now));
        }
        self.work.insert(cid);
        self.watch(now, cid);
        self.reconnect();
    }

    /// EN-R8.
    fn on_member_request(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        mut frame: BytesMut,
    ) -> Result<(), Reason> {
        let Request { group, cid, .. } = Request::parse(&frame).map_err(|_| Reason::Malformed)?.message;
        if group == self.station.group && self.lingering.contains_key(&cid) {
            return self.on_late_request(cid, link, frame);
        }
        let peer = self.live(group, cid)?;
        match peer.chain.hear_request(&mut frame)? {
            Asked::Repeat => self.answer_beside(now, cid, link),
            Asked::New(number, text) => {
                let text = frame.get(text).unwrap_or_default();
                let text = RequestText::decode(text).map_err(|_| Reason::Violation)?;
                self.on_wish(cx, now, cid, number, &text)?;
                if let Some(peer) = self.peers.get_mut(&cid) {
                    peer.chain.commit_request(number);
                }
                self.arrive(now, cid, link);
            }
        }
        // The next AdminMsg says that it was taken.
        if let Some(peer) = self.peers.get_mut(&cid) {
            peer.ping = true;
            self.work.insert(cid);
        }
        Ok(())
    }

    /// A request came again, over another link than the member's: what says that it was taken may be lost with that. It is said
    /// over this link too, at most once an RTO. It may be a replay: only the answer to it moves the member.
    fn answer_beside(&mut self, now: Instant, cid: MemberId, link: Link) {
        let rto = self.me.limits.retry.first;
        if let Some(peer) = self.peers.get_mut(&cid)
            && peer.link != Some(link)
            && now >= peer.beside_from
        {
            (peer.beside, peer.beside_from) = (Some(link), now + rto);
        }
    }

    /// EN-R6.
    fn on_close(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, mut frame: BytesMut) -> Result<(), Reason> {
        let ReqClose { group, cid } = ReqClose::parse(&frame).map_err(|_| Reason::Malformed)?.message;
        if group != self.station.group {
            return Err(Reason::Unknown);
        }
        if self.lingering.contains_key(&cid) {
            return self.on_lingering(cid, link, frame);
        }
        let peer = self.live(group, cid)?;
        peer.chain.hear_close(&mut frame)?;
        let removal = Removal { cid, cause: Cause::Leave, by: cid };
        self.dismiss(cx, now, &[removal], EndReason::Left)?;
        if let Some(lingering) = self.lingering.get_mut(&cid) {
            lingering.link = Some(link);
        }
        Ok(())
    }
}
