//! What a frame does to a leader. In each function: decode, authenticate as far as the edition of the part does, and only
//! then change anything.

use bytes::BytesMut;

use super::super::plane::from_number;
use super::joins::{Confirm, Offered, PendingId, Stage};
use super::{Leader, Peer, Timer};
use crate::antigone::failure::published as heartbeat;
use crate::antigone::join::published::Pair;
use crate::antigone::keys::published::Group;
use crate::antigone::leave::published as leave;
use crate::endpoint::{Class, Cx, Instant, Link, To, Transmit};
use crate::error::Reason;
use crate::event::{Cause, EndReason, Event};
use crate::group::channel::{Body, Channel, Heard, Refused, Side};
use crate::group::turn::Removal;
use crate::group::{Allowance, Probes};
use crate::identity::{MemberId, Name, NameRef};
use crate::policy::{Communication, Part, Protection};
use crate::wire::antigone::{Data, JoinRequest, KeyAnswer, MemberBody, MemberFrame, MemberRecord};
use crate::wire::bridges::BridgedData;
use crate::wire::published::{
    BothData, ClearData, IntegrityData, JoinConfirm, JoinWish, KeyWish, MemberBeat, PairAnswer,
    Removal as RemovalFrame, SecretData, StrongAnswer,
};
use crate::wire::{Edition, Field, Message as _};

impl Leader {
    pub(super) fn take_frame(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        frame: BytesMut,
    ) -> Result<(), Reason> {
        let info = self.links.get(&link).ok_or(Reason::Unknown)?;
        super::oversize(info, &frame)?;
        let (edition, code) = self.me.sides.code_of(&frame)?;
        match edition {
            Edition::AsPublished => match code {
                code if code == JoinWish::INFO.code => self.on_wish(cx, now, link, edition, &frame),
                code if code == PairAnswer::INFO.code => self.on_pair_answer(cx, now, false, &frame),
                code if code == StrongAnswer::INFO.code => self.on_pair_answer(cx, now, true, &frame),
                code if code == JoinConfirm::INFO.code => self.on_confirm(cx, now, link, &frame),
                code if code == RemovalFrame::INFO.code => self.on_removal(cx, now, &frame),
                code if code == MemberBeat::INFO.code => self.on_beat(now, link, &frame),
                code if code == KeyWish::INFO.code => self.on_key_wish(now, link, &frame),
                code if [IntegrityData::INFO, SecretData::INFO, BothData::INFO, ClearData::INFO]
                    .iter()
                    .any(|info| info.code == code) =>
                {
                    self.on_data(now, link, edition, code, frame)
                }
                _ => Err(Reason::Misdirected),
            },
            Edition::Repaired => match code {
                code if code == JoinRequest::INFO.code => self.on_wish(cx, now, link, edition, &frame),
                code if code == KeyAnswer::INFO.code => self.on_key_answer(cx, now, frame),
                code if code == MemberFrame::INFO.code => self.on_channel(cx, now, link, frame),
                code if code == Data::INFO.code || code == BridgedData::INFO.code => {
                    self.on_data(now, link, edition, code, frame)
                }
                _ => Err(Reason::Misdirected),
            },
        }
    }

    /// AN-J3: the join is confirmed, or its key has not arrived.
    fn on_confirm(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        self.me.sides.expect(Part::Join, Edition::AsPublished)?;
        if self.closed {
            return Err(Reason::Ended);
        }
        let name = JoinConfirm::parse(frame).map_err(|_| Reason::Malformed)?.message.member.to_name();
        let suite = self.me.sides.published.clone();
        let leader = self.me.name.clone();
        let offered = self.pendings.iter().find_map(|(id, pending)| match &pending.stage {
            Stage::Offered(offered) if pending.name == name => Some((*id, offered.clone_parts())),
            _ => None,
        });
        if let Some((id, (offered, Some(i2)))) = offered {
            let sigma = offered.sigma.as_ref().ok_or(Reason::Unknown)?;
            let pair = Pair { leader: leader.by_ref(), member: name.by_ref(), sigma };
            match pair.check_confirm(&*suite, &i2, frame) {
                Ok(()) => return self.admit_published(cx, now, link, id, offered, i2, frame),
                // It may confirm the session that there is.
                Err(why) if !self.names.contains_key(&name) => return Err(why),
                Err(_) => {}
            }
        }
        let cid = *self.names.get(&name).ok_or(Reason::Unknown)?;
        let peer = self.peers.get_mut(&cid).ok_or(Reason::Unknown)?;
        let i2 = peer.confirmed.as_ref().ok_or(Reason::Replayed)?;
        let sigma = peer.sigma.as_ref().ok_or(Reason::Unknown)?;
        Pair { leader: leader.by_ref(), member: name.by_ref(), sigma }.check_confirm(&*suite, i2, frame)?;
        if !peer.allowance.take(now) {
            return Err(Reason::Budget);
        }
        peer.key = true;
        self.work.insert(cid);
        self.find(cid, link);
        Ok(())
    }

    /// A member is found over `link` if it has none: what is as published moves nobody from one link to another, for it may
    /// be a replay.
    fn find(&mut self, cid: MemberId, link: Link) {
        let own = self.own_link(link);
        let Some(peer) = self.peers.get_mut(&cid).filter(|peer| peer.link.is_none()) else { return };
        peer.link = own;
        self.work.insert(cid);
        self.reconnect();
    }

    #[allow(clippy::too_many_arguments)]
    fn admit_published(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        id: PendingId,
        offered: Offered,
        i2: crate::wire::field::Nonce,
        confirm: &[u8],
    ) -> Result<(), Reason> {
        let pending = self.pendings.get(&id).ok_or(Reason::Unknown)?;
        let sides = &self.me.sides;
        let name = pending.name.clone();
        let sigma = offered.sigma.clone().ok_or(Reason::Unknown)?;
        let channel = if sides.has_channel() {
            let root = sides.channel_root(&sigma, [&pending.request, &offered.frame, confirm])?;
            let keys = crate::antigone::schedule::ChannelKeys::of_root(&*sides.modern, &root)?;
            let (seal, open) = keys.prepare(&*sides.modern)?;
            Some(self.new_channel(now, offered.cid, seal, open))
        } else {
            None
        };
        let own = self.own_link(link).or(pending.link);
        let mut peer = self.new_peer(now, name, own, Some(sigma), channel, offered.group);
        peer.confirmed = Some(i2);
        self.admit_peer(cx, now, offered.cid, peer)?;
        self.drop_pending(id);
        Ok(())
    }

    fn new_channel(
        &self,
        at: Instant,
        cid: MemberId,
        seal: alloc::sync::Arc<dyn crate::crypto::Aead>,
        open: alloc::sync::Arc<dyn crate::crypto::Aead>,
    ) -> Channel {
        let limits = &self.me.limits;
        let mut probes = Probes::first_and_newest();
        probes.sent(0, at);
        let (header, group) = (self.me.sides.repaired_header(), self.plane.station.group);
        Channel::new(Side::Leader, header, group, cid, seal, open, probes, limits.records).with_checks(limits.checks)
    }

    fn new_peer(
        &self,
        now: Instant,
        name: Name,
        link: Option<Link>,
        sigma: Option<crate::crypto::Key<crate::crypto::keys::role::Pair>>,
        channel: Option<Channel>,
        offered: Group,
    ) -> Peer {
        Peer {
            name,
            link,
            sigma,
            channel,
            confirmed: None,
            offered,
            keyed: false,
            sequence: 0,
            alive_as_of: now,
            suspected: false,
            key: true,
            answer: false,
            ask: false,
            allowance: Allowance::new(self.me.limits.answers_per_second, now),
            clear: Allowance::new(self.me.limits.clear_per_second, now),
        }
    }

    /// The confirmed member comes in; one of its name that is there goes.
    fn admit_peer(&mut self, cx: &mut Cx<'_>, now: Instant, cid: MemberId, peer: Peer) -> Result<(), Reason> {
        let live = self.names.get(&peer.name).copied();
        let removal = live.map(|old| Removal { cid: old, cause: Cause::Takeover, by: cid });
        for (removal, old) in self.turn(cx, now, Some((cid, peer)), removal.as_slice(), false)? {
            self.see_off(now, removal.cid, old, EndReason::TakenOver, cid);
        }
        Ok(())
    }

    /// RA-CM.
    fn on_channel(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, mut frame: BytesMut) -> Result<(), Reason> {
        let message = MemberFrame::parse(&frame).map_err(|_| Reason::Malformed)?.message;
        if message.group != self.plane.station.group {
            return Err(Reason::Unknown);
        }
        let (cid, own) = (message.cid, self.own_link(link));
        if let Some(lingering) = self.lingering.get_mut(&cid) {
            let heard = lingering.channel.hear(&mut frame).map_err(why)?;
            lingering.hear(&heard, own);
            if lingering.owed {
                self.work.insert(cid);
            }
            return Ok(());
        }
        if self.closed {
            return Err(Reason::Ended);
        }
        let Some(peer) = self.peers.get_mut(&cid) else { return self.on_hello(cx, now, link, cid, frame) };
        let channel = peer.channel.as_ref().ok_or(Reason::Unknown)?;
        let heard = match channel.hear(&mut frame) {
            Ok(heard) => heard,
            Err(Refused::Drop(why)) => return Err(why),
            Err(Refused::Violation) => return self.cut_off(cx, now, cid),
        };
        let rseq = channel.accepted() + 1;
        let may_ask = peer.allowance.has_one(now);
        let body = frame.get(heard.range.clone()).unwrap_or_default();
        let Ok(body) = MemberBody::decode(body) else { return self.cut_off(cx, now, cid) };
        // Also one that was accepted before: its acknowledgement may be lost.
        let record = matches!(body, MemberBody::Record(_));
        match (heard.body, body) {
            (Body::End, _) => {
                self.me.sides.expect(Part::Leave, Edition::Repaired)?;
                for (removal, mut peer) in
                    self.turn(cx, now, None, &[Removal { cid, cause: Cause::Leave, by: cid }], false)?
                {
                    if let Some(channel) = &mut peer.channel {
                        channel.commit(&heard);
                    }
                    peer.link = own.or(peer.link);
                    self.see_off(now, removal.cid, peer, EndReason::Left, cid);
                }
                return Ok(());
            }
            (Body::Record, MemberBody::Record(MemberRecord::Eject(request))) => {
                self.me.sides.expect(Part::Leave, Edition::Repaired)?;
                if !may_ask {
                    return Err(Reason::Budget);
                }
                let target = request.name.to_name();
                let verdict = self.on_eject_request(cx, now, cid, rseq, &target)?;
                self.hear(now, cid, own, &heard, record);
                if let Some(verdict) = verdict {
                    self.answer_request(now, cid, rseq, verdict);
                }
                return Ok(());
            }
            (Body::Record, _) => return self.cut_off(cx, now, cid),
            (Body::Nothing, _) => {}
        }
        self.hear(now, cid, own, &heard, record);
        Ok(())
    }

    /// Takes in an authentic frame of a live member.
    fn hear(&mut self, now: Instant, cid: MemberId, own: Option<Link>, heard: &Heard, record: bool) {
        let sides = &self.me.sides;
        let answers = !sides.is_published(Part::LeaderHeartbeat);
        let requests = !sides.is_published(Part::KeyRequest);
        let counts = !sides.is_published(Part::MemberHeartbeat);
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        let Some(channel) = &mut peer.channel else { return };
        channel.commit(heard);
        peer.keyed |= heard.standing.epoch.0 != 0;
        peer.confirmed.take_if(|_| peer.keyed);
        let moved = own.is_some() && peer.link != own;
        peer.link = own.or(peer.link);
        if let Some(proof) = heard.evidence.filter(|_| counts) {
            peer.alive_as_of = peer.alive_as_of.max(proof);
            peer.suspected = false;
        }
        // RA §2, mixed editions: epoch 0 in a frame without a body and without R is the request for the key.
        let asks_key = !record && !heard.answer && heard.standing.epoch.0 == 0 && requests;
        if (record || (heard.answer && answers) || asks_key) && peer.allowance.take(now) {
            peer.answer |= record || (heard.answer && answers);
            peer.key |= asks_key;
            self.work.insert(cid);
        }
        self.arm(now, cid);
        if moved {
            // What it was owed while it had no link goes out now.
            self.work.insert(cid);
            self.reconnect();
        }
    }

    /// The first RA-CM of a repaired join.
    fn on_hello(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        cid: MemberId,
        mut frame: BytesMut,
    ) -> Result<(), Reason> {
        let found = self.pendings.iter().find_map(|(id, pending)| match &pending.stage {
            Stage::Offered(Offered { cid: offered, confirm: Confirm::Hello(seal, open), sigma, at, group, .. })
                if *offered == cid =>
            {
                let keys = (seal.clone(), open.clone(), sigma.clone());
                Some((*id, pending.name.clone(), pending.link, keys, *at, group.clone()))
            }
            _ => None,
        });
        let (id, name, last, (seal, open, sigma), at, group) = found.ok_or(Reason::Unknown)?;
        let mut channel = self.new_channel(at, cid, seal, open);
        let heard = channel.hear(&mut frame).map_err(why)?;
        let body = MemberBody::decode(frame.get(heard.range.clone()).unwrap_or_default());
        let confirmed = matches!((heard.body, body), (Body::Record, Ok(MemberBody::Record(MemberRecord::Hello(_)))));
        if !confirmed {
            self.drop_pending(id);
            return if heard.body == Body::End { Ok(()) } else { Err(Reason::Violation) };
        }
        channel.commit(&heard);
        let link = self.own_link(link).or(last);
        let mut peer = self.new_peer(now, name, link, sigma, Some(channel), group);
        // `hello` is acknowledged.
        peer.answer = true;
        self.admit_peer(cx, now, cid, peer)?;
        self.drop_pending(id);
        Ok(())
    }

    /// A member broke the protocol of its channel: it is out.
    fn cut_off(&mut self, cx: &mut Cx<'_>, now: Instant, cid: MemberId) -> Result<(), Reason> {
        self.dismiss(cx, now, Removal { cid, cause: Cause::Eject, by: MemberId::LEADER })?;
        Err(Reason::Violation)
    }

    /// The live member of that name.
    fn peer_named(&self, name: NameRef<'_>) -> Option<(MemberId, &Peer)> {
        let (cid, peer) = self.peers.iter().find(|(_, peer)| peer.name.by_ref() == name)?;
        Some((*cid, peer))
    }

    /// AN-L and AN-E.
    fn on_removal(&mut self, cx: &mut Cx<'_>, now: Instant, frame: &[u8]) -> Result<(), Reason> {
        self.me.sides.expect(Part::Leave, Edition::AsPublished)?;
        let member = RemovalFrame::parse(frame).map_err(|_| Reason::Malformed)?.message.member;
        let (cid, peer) = self.peer_named(member).ok_or(Reason::Unknown)?;
        let sigma = peer.sigma.as_ref().ok_or(Reason::Unknown)?;
        let key = self.plane.key().ok_or(Reason::Ended)?;
        let target = leave::open_removal(&*self.me.sides.published, key, (member, sigma), frame)?;
        if target.by_ref() == member {
            return self.dismiss(cx, now, Removal { cid, cause: Cause::Leave, by: cid });
        }
        self.on_eject_request(cx, now, cid, 0, &target).map(drop)
    }

    /// AN-HM.
    fn on_beat(&mut self, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        self.me.sides.expect(Part::MemberHeartbeat, Edition::AsPublished)?;
        let member = MemberBeat::parse(frame).map_err(|_| Reason::Malformed)?.message.member;
        let (cid, peer) = self.peer_named(member).ok_or(Reason::Unknown)?;
        let sigma = peer.sigma.as_ref().ok_or(Reason::Unknown)?;
        let sides = &self.me.sides;
        let (_, sequence) = heartbeat::open_member_beat(&*sides.published, sigma.secret(), frame)?;
        // Whether numbers seen before count again is not specified: both readings of D12, as for the leader's.
        if sides.mix.per_heartbeat && sequence <= peer.sequence {
            return Err(Reason::Replayed);
        }
        let Some(peer) = self.peers.get_mut(&cid) else { return Ok(()) };
        (peer.sequence, peer.alive_as_of, peer.suspected) = (sequence, now, false);
        (peer.keyed, peer.confirmed) = (true, None);
        self.arm(now, cid);
        self.find(cid, link);
        Ok(())
    }

    /// AN-Q: anybody can have written it (A21).
    fn on_key_wish(&mut self, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        self.me.sides.expect(Part::KeyRequest, Edition::AsPublished)?;
        let wish = KeyWish::parse(frame).map_err(|_| Reason::Malformed)?.message;
        let (cid, _) = self.peer_named(wish.member).ok_or(Reason::Unknown)?;
        let Some(peer) = self.peers.get_mut(&cid) else { return Ok(()) };
        if !peer.allowance.take(now) {
            return Err(Reason::Budget);
        }
        peer.key = true;
        self.work.insert(cid);
        self.find(cid, link);
        Ok(())
    }

    /// Data: the leader checks, relays by the mode of communication, and is a receiver like the others.
    fn on_data(&mut self, now: Instant, link: Link, edition: Edition, code: u8, frame: BytesMut) -> Result<(), Reason> {
        if self.closed {
            return Err(Reason::Ended);
        }
        let copy = Self::copy_of(&frame);
        let incoming = self.plane.open(&self.me.sides, now, edition, code, frame)?;
        let cid = match &incoming.sender {
            // As published whoever is named is believed, also one that is gone or never was (A2, A15).
            Some(name) => self.names.get(name).copied().unwrap_or_else(|| self.strangers.number(name)),
            None => incoming.message.from.claimed(),
        };
        let message = if incoming.sender.is_some() { from_number(incoming.message, cid) } else { incoming.message };
        let over_shared = self.shared.contains(&link);
        // Repaired data without protection: the link is all there is, and the rate is limited (RA §5).
        if edition == Edition::Repaired && self.plane.station.policy.protection == Protection::None {
            let peer = self.peers.get_mut(&cid).ok_or(Reason::NotMember)?;
            if !over_shared && peer.link != Some(link) {
                return Err(Reason::NotMember);
            }
            if !peer.clear.take(now) {
                return Err(Reason::Budget);
            }
        }
        self.use_key(now, message.payload.len());
        let own = self.peers.get(&cid).and_then(|peer| peer.link).unwrap_or(link);
        let to = match self.plane.station.policy.communication {
            Communication::Relay => To::AllBut(self.everybody.clone(), own),
            _ if self.shared.is_empty() => To::AllBut(self.everybody.clone(), own),
            Communication::Mixed | Communication::Symmetric => To::AllBut(self.shared.clone(), link),
        };
        if !over_shared && to.links().next().is_some() {
            self.out.relay(Transmit { to, frame: copy, class: Class::Data });
        }
        self.out.stats.delivered += 1;
        self.out.event(Event::Data(message));
        Ok(())
    }

    /// Sets the deadlines of a member anew.
    pub(super) fn arm(&mut self, now: Instant, cid: MemberId) {
        let Some(peer) = self.peers.get(&cid) else { return };
        let record = peer.channel.as_ref().and_then(Channel::repeat_at);
        self.timers.set(Timer::Record(cid), record);
        let rto = self.me.limits.retry.first;
        let silence = self.plane.station.policy.detection.map(|detection| detection.silence(rto));
        let over = silence.filter(|_| !peer.suspected).map(|silence| (peer.alive_as_of + silence).max(now));
        self.timers.set(Timer::Silence(cid), over);
    }
}

impl Offered {
    /// The offer, and its I2 if it is as published.
    fn clone_parts(&self) -> (Self, Option<crate::wire::field::Nonce>) {
        let (confirm, i2) = match &self.confirm {
            Confirm::Published(i2) => (Confirm::Published(*i2), Some(*i2)),
            Confirm::Hello(seal, open) => (Confirm::Hello(seal.clone(), open.clone()), None),
        };
        let Self { frame, cid, at, group, sigma, .. } = self;
        (Self { frame: frame.clone(), cid: *cid, at: *at, confirm, group: group.clone(), sigma: sigma.clone() }, i2)
    }
}

fn why(refused: Refused) -> Reason {
    match refused {
        Refused::Drop(why) => why,
        Refused::Violation => Reason::Violation,
    }
}
