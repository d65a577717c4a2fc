//! What a frame does to a member. In each function: decode, authenticate as far as 2.0 does, and only then change anything.

use alloc::boxed::Box;

use bytes::Bytes;

use super::super::NO_INSTANCE;
use super::session::{Session, Show};
use super::{Asking, Member, OWN, Phase, control};
use crate::endpoint::{Cx, Instant, Link};
use crate::error::{DecodeError, Failure, Reason};
use crate::event::{Cause, Causes, EndReason, Ending, Event, Refusal, Sender};
use crate::group::Backoff;
use crate::identity::{MemberId, NameRef, Version};
use crate::wire::Message as _;
use crate::wire::enclaves::version_2::{
    AuthReply, Close, DataToMember, GossipToMember, MemberAdded, MemberRemoved, NewKey, OpenAnswer, OpenVerdict,
};

impl Member {
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
            code if code == OpenAnswer::INFO.code => self.on_open_answer(cx, now, frame),
            code if code == AuthReply::INFO.code => self.on_reply(now, link, frame),
            code if code == MemberAdded::INFO.code => self.on_notice(now, true, frame),
            code if code == MemberRemoved::INFO.code => self.on_notice(now, false, frame),
            code if code == NewKey::INFO.code => self.on_new_key(now, link, frame),
            code if code == Close::INFO.code => self.on_close(frame),
            code if code == DataToMember::INFO.code => self.on_data(now, frame),
            code if code == GossipToMember::INFO.code => self.on_gossip(frame),
            _ => Err(Reason::Misdirected),
        }
    }

    /// The clear label of what the leader sends.
    fn expect_leader(&self, label: NameRef<'_>) -> Result<(), Reason> {
        if label == self.me.leader.by_ref() { Ok(()) } else { Err(Reason::Unknown) }
    }

    /// EN-P2, whoever wrote it (E8).
    fn on_open_answer(&mut self, cx: &mut Cx<'_>, now: Instant, frame: &[u8]) -> Result<(), Reason> {
        let OpenAnswer { leader, answer } = OpenAnswer::parse(frame).map_err(|_| Reason::Malformed)?.message;
        self.expect_leader(leader)?;
        let Phase::Opening(Asking { link, until, .. }) = &self.phase else { return Err(Reason::Unknown) };
        let (link, until) = (*link, *until);
        if answer == OpenVerdict::Denied {
            self.fail_join(Event::JoinRefused(Refusal::Denied));
            return Ok(());
        }
        let scheme = self.me.scheme();
        let n1 = scheme.suite.fresh_nonce(cx.rng, scheme.suite.sizes().nonce);
        let n1 = n1.map_err(|error| Reason::from(Failure::from(error)))?;
        let frame = scheme.request(cx.rng, self.me.pair(), n1)?;
        let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
        if let Some(link) = link {
            self.out.send(control(link, frame.clone()));
        }
        self.phase = Phase::Asking(n1, Asking { frame, link, backoff, until });
        Ok(())
    }

    /// EN-A2: the member has its keys, and is in.
    fn on_reply(&mut self, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let leader = AuthReply::parse(frame).map_err(|_| Reason::Malformed)?.message.leader;
        self.expect_leader(leader)?;
        match &mut self.phase {
            Phase::Asking(n1, asking) => {
                let link = asking.link.or(Some(link));
                let (suite, header) = (&*self.me.suite, super::header(&*self.me.suite));
                let scheme = super::Scheme { suite, header };
                let welcome = scheme.read_reply(self.me.pair(), n1, frame)?;
                let confirm = scheme.confirm(self.me.name.by_ref(), &welcome.session, welcome.n2)?;
                let epoch = welcome.group.number;
                if let Some(link) = link {
                    self.out.send(control(link, confirm.clone()));
                }
                let reply = Bytes::copy_from_slice(frame);
                let mut session = Session::new(link, welcome.session, welcome.group, reply, confirm);
                let lossy = link.and_then(|link| self.links.get(&link)).is_some_and(|info| !info.reliable);
                if lossy {
                    let backoff = Backoff::start(self.me.limits.retry, now, &mut self.jitter);
                    session.show = Some(Show { backoff, left: super::TRIES });
                }
                self.phase = Phase::In(Box::new(session));
                self.out.event(Event::Installed { epoch, causes: Causes::NONE });
                self.out.event(Event::Joined { group: NO_INSTANCE, cid: OWN, epoch });
                Ok(())
            }
            Phase::In(session) if *session.reply == *frame => {
                let Some(link) = session.link else { return Err(Reason::Replayed) };
                let confirm = session.confirm.clone();
                self.out.send(control(link, confirm));
                Ok(())
            }
            _ => Err(Reason::Unknown),
        }
    }

    /// EN-M+ and EN-M-, also those that are replayed (E9, E13) or made by a member (X8).
    fn on_notice(&mut self, now: Instant, added: bool, frame: &[u8]) -> Result<(), Reason> {
        let malformed = |_| Reason::Malformed;
        let leader = if added {
            MemberAdded::parse(frame).map_err(malformed)?.message.leader
        } else {
            MemberRemoved::parse(frame).map_err(malformed)?.message.leader
        };
        self.expect_leader(leader)?;
        let scheme = self.me.scheme();
        let session = self.session().ok_or(Reason::NotJoined)?;
        let name = match (scheme.read_notice(&session.key, added, frame), session.before(now)) {
            (Err(Reason::Forged), Some(key)) => scheme.read_notice(key, added, frame)?,
            (read, _) => read?,
        };
        if name == self.me.leader || name == self.me.name {
            return Err(Reason::Violation);
        }
        let most = self.me.limits.members;
        let Phase::In(session) = &mut self.phase else { return Err(Reason::NotJoined) };
        let event = match (added, session.roster.get(&name).copied()) {
            (true, None) if session.roster.len() < most => {
                let cid = MemberId(session.next_number);
                session.next_number += 1;
                session.changes += 1;
                session.roster.insert(name.clone(), cid);
                Event::MemberAdded { cid, name, view: Version(session.changes) }
            }
            (true, None) => return Err(Reason::Budget),
            (false, Some(cid)) => {
                session.changes += 1;
                session.roster.remove(&name);
                // The notice says that somebody went, and not why.
                let view = Version(session.changes);
                Event::MemberRemoved { cid, name, cause: Cause::Missed, by: MemberId::LEADER, view }
            }
            (true, Some(_)) | (false, None) => return Err(Reason::Replayed),
        };
        session.show = None;
        self.out.event(event);
        Ok(())
    }

    /// EN-NK: taken whenever it opens under K_a (E11, X6), and acknowledged.
    fn on_new_key(&mut self, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let leader = NewKey::parse(frame).map_err(|_| Reason::Malformed)?.message.leader;
        self.expect_leader(leader)?;
        let scheme = self.me.scheme();
        let session = self.session().ok_or(Reason::NotJoined)?;
        let key = scheme.read_new_key(&session.keys, frame)?;
        let ack = scheme.new_key_ack(self.me.name.by_ref(), &key)?;
        let to = session.link.unwrap_or(link);
        let epoch = key.number;
        let Phase::In(session) = &mut self.phase else { return Err(Reason::NotJoined) };
        session.show = None;
        if session.install(&self.me, now, key) {
            self.out.event(Event::Installed { epoch, causes: Causes::NONE });
        }
        self.out.send(control(to, ack));
        Ok(())
    }

    /// EN-C2, whoever wrote it (E14).
    fn on_close(&mut self, frame: &[u8]) -> Result<(), Reason> {
        let leader = Close::parse(frame).map_err(|_| Reason::Malformed)?.message.leader;
        self.expect_leader(leader)?;
        match &self.phase {
            Phase::In(_) => self.finish(Ending::ByLeader(EndReason::Ejected)),
            Phase::Leaving(_) => self.finish(Ending::Left),
            // Before there is a session there is nothing to close: it may answer an EN-C1 of before.
            Phase::Idle | Phase::Opening(_) | Phase::Asking(..) => return Err(Reason::Unknown),
        }
        Ok(())
    }

    /// EN-D2: by whoever holds K_g (E3), whenever it was said (E2).
    fn on_data(&mut self, now: Instant, frame: &[u8]) -> Result<(), Reason> {
        let data = DataToMember::parse(frame).map_err(|_| Reason::Malformed)?.message;
        if data.sender == self.me.name.by_ref() {
            return Err(Reason::Echo);
        }
        let scheme = self.me.scheme();
        let session = self.session().ok_or(Reason::NotJoined)?;
        let (opened, epoch) = match (scheme.read_data(&session.key, data.sealed.bytes), session.before(now)) {
            (Err(Reason::Forged), Some(key)) => (scheme.read_data(key, data.sealed.bytes)?, key.number),
            (read, _) => (read?, session.key.number),
        };
        let Phase::In(session) = &mut self.phase else { return Err(Reason::NotJoined) };
        session.show = None;
        let cid = session.number(&self.me, &data.sender.to_name());
        self.out.stats.delivered += 1;
        self.out.event(Event::Data(opened.into_message(Sender::AnyMember(cid), epoch)));
        Ok(())
    }

    /// EN-G2. Its label is not bound to anything.
    fn on_gossip(&mut self, frame: &[u8]) -> Result<(), Reason> {
        let gossip = GossipToMember::parse(frame).map_err(|_| Reason::Malformed)?.message;
        let scheme = self.me.scheme();
        let session = self.session().ok_or(Reason::NotJoined)?;
        let opened = scheme.read_gossip_for(self.me.name.by_ref(), &session.keys, &gossip)?;
        let Phase::In(session) = &mut self.phase else { return Err(Reason::NotJoined) };
        session.show = None;
        let cid = session.number(&self.me, &gossip.sender.to_name());
        let epoch = session.key.number;
        self.out.stats.delivered += 1;
        self.out.event(Event::Gossip(opened.into_message(Sender::Unauthenticated(cid), epoch)));
        Ok(())
    }
}
