//! What a frame does to a leader. In each function: decode, authenticate, compare with the state, and only then change
//! it (R25).

use bytes::BytesMut;
use zeroize::Zeroize;

use super::peer::Peer;
use super::{Leader, Timer};
use crate::antigone::join::admitting::{Offered, PendingId};
use crate::antigone::leave::Lingering;
use crate::endpoint::{Cx, Instant, Link};
use crate::error::{DecodeError, Reason};
use crate::event::{Cause, EndReason};
use crate::group::channel::{Body, Channel, Heard, Refused, Side, Standing};
use crate::group::private::Whispers;
use crate::group::turn::Removal;
use crate::group::{Allowance, Backoff, Check, Probes};
use crate::identity::{Epoch, MemberId};
use crate::policy::{Communication, Views};
use crate::wire::antigone::{Data, JoinRequest, KeyAnswer, MemberBody, MemberFrame, MemberRecord, PrivateWord};
use crate::wire::{Field, Message as _};

impl Leader {
    pub(super) fn take_frame(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        mut frame: BytesMut,
    ) -> Result<(), Reason> {
        let info = self.links.get(&link).ok_or(Reason::Unknown)?;
        if frame.len() > info.max_frame {
            return Err(Reason::Oversize);
        }
        let code = self.station.header.code_of(&frame).map_err(|error| match error {
            DecodeError::Header => Reason::Mismatch,
            _ => Reason::Malformed,
        })?;
        match code {
            code if code == MemberFrame::INFO.code => {
                let done = self.on_channel(cx, now, link, &mut frame);
                // It may hold a key, opened in place (R32).
                frame.zeroize();
                done
            }
            code if code == PrivateWord::INFO.code => self.on_private(&frame),
            code if code == Data::INFO.code => self.on_data(now, link, frame),
            code if code == JoinRequest::INFO.code => self.on_request(cx, now, link, &frame),
            code if code == KeyAnswer::INFO.code => self.on_verdict(cx, now, frame),
            _ => Err(Reason::Misdirected),
        }
    }

    /// RA §4.2, receiver, at the leader.
    fn on_channel(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &mut [u8]) -> Result<(), Reason> {
        let message = MemberFrame::parse(frame).map_err(|_| Reason::Malformed)?.message;
        if message.group != self.station.group {
            return Err(Reason::Unknown);
        }
        let cid = message.cid;
        if self.lingering.contains_key(&cid) {
            return self.on_lingering(cid, link, frame);
        }
        if self.closing.is_some() {
            return Err(Reason::Ended);
        }
        if !self.peers.contains_key(&cid) {
            let (id, _, offered) = self.pendings.offered(cid).ok_or(Reason::Unknown)?;
            let offered = offered.clone();
            return self.on_hello(cx, now, link, id, &offered, frame);
        }
        let peer = self.peers.get_mut(&cid).ok_or(Reason::Unknown)?;
        let heard = match peer.channel.hear(frame) {
            Ok(heard) => heard,
            Err(Refused::Drop(why)) => return Err(why),
            Err(Refused::Violation) => return self.cut_off(cx, now, cid),
        };
        let (accepted, may_ask) = (peer.channel.accepted(), peer.allowance.has_one(now));
        let body = frame.get(heard.range.clone()).unwrap_or_default();
        let Ok(body) = MemberBody::decode(body) else { return self.cut_off(cx, now, cid) };
        if !self.may_stand(heard.standing) {
            return self.cut_off(cx, now, cid);
        }
        // What a new record does comes first: should it fail, the record is not accepted, and comes again.
        let mut answer = None;
        match (heard.body, body) {
            (Body::Record, MemberBody::Record(MemberRecord::Eject(request))) => {
                // Requests have the same rate as answers: else each answer would bring the next.
                if !may_ask {
                    return Err(Reason::Budget);
                }
                let rseq = accepted + 1;
                let name = request.name.to_name();
                let verdict = self.on_eject_request(cx, now, cid, rseq, request.cid, &name)?;
                answer = verdict.map(|verdict| (rseq, verdict));
            }
            (Body::Record, MemberBody::Record(MemberRecord::Wrap(wrap))) if !self.waits(cid) => {
                if !may_ask || !self.may_wrap(cid) {
                    return Err(Reason::Budget);
                }
                self.on_wrap(now, cid, accepted + 1, &wrap);
            }
            // `hello` came with the first frame; and who waits for its rekey has nobody to talk to.
            (Body::Record, _) => return self.cut_off(cx, now, cid),
            _ => {}
        }
        if heard.body == Body::End {
            let mut peer = self.remove(cx, now, Removal { cid, cause: Cause::Leave, by: cid })?;
            peer.channel.commit(&heard);
            peer.link = self.own_link(link).or(peer.link);
            self.see_off(cid, peer, EndReason::Left, cid, None, now);
            return Ok(());
        }
        if heard.body == Body::Record
            && let Some(peer) = self.peers.get_mut(&cid)
        {
            peer.allowance.take(now);
        }
        if let Some((rseq, verdict)) = answer {
            self.answer_request(now, cid, rseq, verdict);
        }
        self.hear(now, cid, link, &heard);
        if self.peers.get(&cid).is_some_and(|peer| peer.channel.exhausted()) {
            // The numbers of the channel are used up: the member joins again, under new keys.
            let removal = Removal { cid, cause: Cause::Eject, by: MemberId::LEADER };
            self.dismiss(cx, now, removal, EndReason::Exhausted)?;
        }
        Ok(())
    }

    /// Whether a member may have what it says it has: nothing newer than the leader's own (RA §4.2 (0)).
    fn may_stand(&self, shown: Standing) -> bool {
        shown.epoch <= self.issue.epoch()
            && shown.view <= self.station.view.version()
            && shown.policy <= self.station.policy_version
    }

    /// `link`, if it can be that of one member: a shared one never is (RA §4.2).
    fn own_link(&self, link: Link) -> Option<Link> {
        self.links.get(&link).filter(|info| !info.shared).map(|_| link)
    }

    /// Takes in an authentic frame of a live member: steps (1) to (7).
    fn hear(&mut self, now: Instant, cid: MemberId, link: Link, heard: &Heard) {
        let limits = &self.me.limits;
        let own_link = self.own_link(link);
        let (current, version) = (self.issue.epoch(), self.view_due());
        let (shows_views, newest_policy) = (self.station.policy.views != Views::Hidden, self.newest_policy());
        let shares = self.station.policy.communication != Communication::Relay;
        let Some(peer) = self.peers.get_mut(&cid) else { return };
        peer.channel.commit(heard);
        let told = if heard.acknowledged { peer.telling.take() } else { None };
        let moved = own_link.is_some() && peer.link != own_link;
        if moved {
            peer.link = own_link;
        }
        let timely = limits.checks.on(Check::EvidenceTime);
        if let Some(proof) = if timely { heard.evidence } else { Some(now) } {
            peer.alive_as_of = peer.alive_as_of.max(proof);
            // An echo that comes late is no sign of life now.
            let silence = self.station.policy.detection.map(|detection| detection.silence(limits.retry.first));
            peer.suspected &= silence.is_some_and(|silence| now >= peer.alive_as_of + silence);
        }
        if heard.standing.epoch >= current {
            peer.behind_since = None;
        } else if heard.standing.epoch > peer.shown.epoch {
            peer.behind_since = Some(now);
        }
        let turned = peer.shown.hears != heard.standing.hears && shares;
        peer.shown = heard.standing;
        // (6) somebody behind gets its block and the view, each at most once an RTO.
        let behind = !peer.waits() && peer.shown.epoch < current;
        let unviewed = shows_views && !peer.waits() && peer.shown.view < version;
        if !behind && !unviewed {
            peer.repeat = None;
        } else if peer.repeat.as_ref().is_none_or(|repeat| repeat.due() <= now) {
            peer.block |= behind;
            peer.repeat = Some(Backoff::start(limits.retry, now, &mut self.jitter));
        }
        if unviewed && peer.may_fetch(version) && now >= peer.pages_again {
            peer.pages = crate::group::turn::pages(&mut self.station.view, peer.shown.view);
            peer.pages_again = now + limits.retry.first;
        }
        // (7) an answer, at a bounded rate.
        if heard.answer && peer.allowance.take(now) {
            peer.answer = true;
        }
        if peer.is_owed(newest_policy) {
            self.work.insert(cid);
        }
        self.spare(cid);
        self.arm(now, cid);
        if moved || turned {
            self.reconnect();
        }
        if let Some(word) = told {
            self.keyed(cid, word);
        }
    }

    /// RA §4.1, "L on the first RA-CM": the join is confirmed.
    fn on_hello(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        id: PendingId,
        offered: &Offered,
        frame: &mut [u8],
    ) -> Result<(), Reason> {
        let (cid, limits) = (offered.cid, &self.me.limits);
        let mut probes = Probes::first_and_newest();
        probes.sent(0, offered.at);
        let (seal, open) = (offered.seal.clone(), offered.open.clone());
        let (header, group) = (self.station.header, self.station.group);
        let channel = Channel::new(Side::Leader, header, group, cid, seal, open, probes, limits.records)
            .with_checks(limits.checks);
        let heard = match channel.hear(frame) {
            Ok(heard) => heard,
            Err(Refused::Drop(why)) => return Err(why),
            Err(Refused::Violation) => {
                self.drop_pending(id);
                return Err(Reason::Violation);
            }
        };
        let body = MemberBody::decode(frame.get(heard.range.clone()).unwrap_or_default());
        let hello = match (heard.body, body) {
            (Body::Record, Ok(MemberBody::Record(MemberRecord::Hello(hello)))) => hello,
            (Body::End, Ok(_)) => {
                self.drop_pending(id);
                return Ok(());
            }
            _ => {
                self.drop_pending(id);
                return Err(Reason::Violation);
            }
        };
        let pending = self.pendings.get(id).ok_or(Reason::Unknown)?;
        let name = pending.name.clone();
        let own = self.own_link(link).or(pending.link.and_then(|link| self.own_link(link)));
        let signs = self.station.policy.origin;
        if hello.origin_key.is_empty() == signs || !self.may_stand(heard.standing) {
            self.drop_pending(id);
            return Err(Reason::Violation);
        }
        let live = self.names.get(&name).copied();
        let busy = match live.and_then(|cid| self.peers.get(&cid)) {
            // As when RA-J2 was made: a name is not lost to a member that has fallen silent.
            Some(peer) => !self.station.policy.takeover && !peer.suspected,
            None => self.peers.len() >= limits.members,
        };
        let mut peer = Peer {
            name: name.clone(),
            origin_key: hello.origin_key,
            link: own,
            channel,
            first: Epoch(0),
            told_policy: heard.standing.policy,
            shown: Standing::default(),
            alive_as_of: offered.at,
            suspected: false,
            behind_since: None,
            pages: None,
            pages_again: now,
            page_next: true,
            whispers: Whispers::new(),
            whisper_next: true,
            telling: None,
            ask: false,
            answer: false,
            block: false,
            repeat: None,
            allowance: Allowance::new(limits.answers_per_second, now),
            clear: Allowance::new(limits.clear_per_second, now),
        };
        if busy {
            peer.channel.commit(&heard);
            self.drop_pending(id);
            let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
            self.see_off(cid, peer, EndReason::Busy, MemberId::LEADER, Some(backoff), now);
            return Ok(());
        }
        // Computed: from here on the member is there, with or without its rekey.
        let older: alloc::vec::Vec<_> = self
            .pendings
            .iter()
            .filter(|(other, pending)| pending.name == name && *other <= id)
            .map(|(other, _)| other)
            .collect();
        self.admit_peer(cx, now, cid, peer, live)?;
        for other in older {
            self.drop_pending(other);
        }
        self.hear(now, cid, link, &heard);
        Ok(())
    }

    /// A frame of somebody whose channel has ended.
    fn on_lingering(&mut self, cid: MemberId, link: Link, frame: &mut [u8]) -> Result<(), Reason> {
        let own = self.own_link(link);
        let lingering = self.lingering.get_mut(&cid).ok_or(Reason::Unknown)?;
        let heard = match lingering.channel.hear(frame) {
            Ok(heard) => heard,
            Err(Refused::Drop(why)) => return Err(why),
            Err(Refused::Violation) => return Err(Reason::Violation),
        };
        lingering.hear(&heard, own);
        if lingering.owed {
            self.work.insert(cid);
        }
        if heard.body == Body::End {
            self.told(cid);
        }
        Ok(())
    }

    /// A member broke the protocol: it is out.
    fn cut_off(&mut self, cx: &mut Cx<'_>, now: Instant, cid: MemberId) -> Result<(), Reason> {
        self.dismiss(cx, now, Removal { cid, cause: Cause::Eject, by: MemberId::LEADER }, EndReason::Protocol)?;
        Err(Reason::Violation)
    }

    /// Keeps an ended channel for a while.
    pub(super) fn linger(&mut self, cid: MemberId, lingering: Lingering) {
        if self.lingering.len() >= self.me.limits.lingering
            && let Some((oldest, _)) = self.lingering.pop_first()
        {
            self.timers.set(Timer::Linger(oldest), None);
            self.work.remove(&oldest);
        }
        self.keep(cid, lingering);
    }

    /// The same, however many there are.
    pub(super) fn keep(&mut self, cid: MemberId, lingering: Lingering) {
        self.timers.set(Timer::Linger(cid), Some(lingering.deadline()));
        self.lingering.insert(cid, lingering);
        self.work.insert(cid);
    }
}
