//! What a frame does to a member in a group.

use bytes::BytesMut;

use super::super::plane::from_number;
use super::{Member, Phase};
use crate::antigone::failure::published as heartbeat;
use crate::antigone::leave::member_end;
use crate::endpoint::{Cx, Instant, Link};
use crate::error::Reason;
use crate::event::{EndReason, Ending, Event, JoinFailure, Lacking};
use crate::group::channel::{Body, Carry, Refused, Standing};
use crate::policy::Part;
use crate::wire::antigone::{Data, JoinAnswer, LeaderBody, LeaderFrame, LeaderRecord, Rekey};
use crate::wire::bridges::BridgedData;
use crate::wire::published::{
    BothData, ClearData, IntegrityData, JoinError, JoinReply, KeyDelivery, LeaderBeat, Rekey as PublishedRekey,
    SecretData,
};
use crate::wire::{Edition, Field, Message as _};

impl Member {
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
        let (edition, code) = self.me.sides.code_of(&frame)?;
        match edition {
            Edition::AsPublished => match code {
                code if code == JoinReply::INFO.code => self.on_reply(cx, now, link, &frame),
                code if code == JoinError::INFO.code => self.on_error(&frame),
                code if code == KeyDelivery::INFO.code => self.on_delivery(cx, now, &frame),
                code if code == PublishedRekey::INFO.code => self.on_rekey(cx, now, &frame),
                code if code == LeaderBeat::INFO.code => self.on_beat(now, &frame),
                code if [IntegrityData::INFO, SecretData::INFO, BothData::INFO, ClearData::INFO]
                    .iter()
                    .any(|info| info.code == code) =>
                {
                    self.on_data(now, edition, code, frame)
                }
                _ => Err(Reason::Misdirected),
            },
            Edition::Repaired => match code {
                code if code == JoinAnswer::INFO.code => self.on_answer(now, link, frame),
                code if code == LeaderFrame::INFO.code => self.on_channel(now, link, frame),
                code if code == Rekey::INFO.code => self.on_block(now, &frame),
                code if code == Data::INFO.code || code == BridgedData::INFO.code => {
                    self.on_data(now, edition, code, frame)
                }
                _ => Err(Reason::Misdirected),
            },
        }
    }

    /// AN-HL. It counts from when it comes: nothing shows when it was made (A16, A19).
    fn on_beat(&mut self, now: Instant, frame: &[u8]) -> Result<(), Reason> {
        let sides = &self.me.sides;
        sides.expect(Part::LeaderHeartbeat, Edition::AsPublished)?;
        let Phase::In(session) = &mut self.phase else { return Err(Reason::NotJoined) };
        let leader = sides.leader.by_ref();
        let (group, sequence) = heartbeat::open_leader_beat(&*sides.published, &session.published_key, leader, frame)?;
        let seen = if sides.mix.per_heartbeat { sequence <= session.sequence } else { sequence < session.sequence };
        if seen {
            return Err(Reason::Replayed);
        }
        let told = if sides.is_published(Part::Keys) {
            group.number()
        } else {
            group.epoch_in(session.plane.station.group).ok_or(Reason::OtherGroup)?
        };
        session.sequence = sequence;
        let behind = session.hear_leader(&self.me, told, Some(now));
        self.heard(now, behind);
        Ok(())
    }

    /// What follows when the leader has been heard.
    fn heard(&mut self, now: Instant, behind: bool) {
        let rto = self.me.limits.retry.first;
        let Phase::In(session) = &mut self.phase else { return };
        let bound = session.staleness(rto);
        if session.plane.key().is_some() && session.told == Some(session.plane.epoch()) {
            // Whatever made it ask: the key here is the leader's.
            (session.wish, session.wished) = (None, false);
        }
        let fresh = session.current_as_of.is_some_and(|since| bound.is_none_or(|bound| now < since + bound));
        if session.stale && fresh {
            session.stale = false;
            self.out.event(Event::Current { epoch: session.plane.epoch() });
        }
        if behind && session.joined {
            if session.wish.is_none()
                && let Some(epoch) = session.told
            {
                self.out.event(Event::Behind { epoch, lacks: Lacking::Key });
            }
            session.want_key(&self.me, now, &mut self.jitter);
        }
    }

    /// RA-CL.
    fn on_channel(&mut self, now: Instant, link: Link, mut frame: BytesMut) -> Result<(), Reason> {
        let session = match &mut self.phase {
            Phase::In(session) => session,
            Phase::Ending(farewell) => {
                return match farewell.channel.hear(&mut frame) {
                    Ok(heard) if heard.body == Body::End => {
                        let said = farewell.said;
                        self.finish(said);
                        Ok(())
                    }
                    Ok(_) => Err(Reason::Ended),
                    Err(Refused::Drop(why)) => Err(why),
                    Err(Refused::Violation) => Err(Reason::Violation),
                };
            }
            _ => return Err(Reason::Unknown),
        };
        let channel = session.channel.as_mut().ok_or(Reason::Unknown)?;
        let heard = match channel.hear(&mut frame) {
            Ok(heard) => heard,
            Err(Refused::Drop(why)) => return Err(why),
            Err(Refused::Violation) => return self.break_off(now),
        };
        let Ok(body) = LeaderBody::decode(frame.get(heard.range.clone()).unwrap_or_default()) else {
            return self.break_off(now);
        };
        // Also one that was accepted before: its acknowledgement may be lost.
        let record = matches!(body, LeaderBody::Record(_));
        let mut answered = None;
        match (heard.body, body) {
            (Body::End, LeaderBody::End(end)) => {
                channel.commit(&heard);
                if heard.answer {
                    let (body, standing) = (member_end(end.reason, end.by), Standing::default());
                    let said = channel.seal(&mut self.out.pool, now, standing, false, Carry::End(&body));
                    if let Ok(frame) = said {
                        self.out.send(super::control(link, frame));
                    }
                }
                if session.joined {
                    self.finish(Ending::ByLeader(end.reason));
                } else {
                    self.fail_join(JoinFailure::Ended(end.reason));
                }
                return Ok(());
            }
            (Body::Record, LeaderBody::Record(LeaderRecord::Answer(answer))) => {
                let at = session.requests.iter().position(|(rseq, _)| *rseq == answer.rseq);
                let Some(at) = at else { return self.break_off(now) };
                answered = session.requests.remove(at).map(|(_, target)| (target, answer.verdict));
            }
            (Body::Record, _) => return self.break_off(now),
            _ => {}
        }
        channel.commit(&heard);
        if channel.ready() {
            channel.advance(self.me.limits.retry, now, &mut self.jitter);
            session.owed.record = true;
        }
        if self.links.get(&link).is_some_and(|info| !info.shared) {
            session.link = Some(link);
        }
        session.owed.record |= record;
        if let Some((target, verdict)) = answered {
            self.out.event(Event::EjectionAnswered { target, verdict });
        } else if heard.answer
            && !record
            && !self.me.sides.is_published(Part::MemberHeartbeat)
            && session.plane.key().is_some()
        {
            session.owed.reply = true;
        }
        // Only what answers the own challenge is evidence.
        let proof = heard.evidence.filter(|_| !self.me.sides.is_published(Part::LeaderHeartbeat));
        let behind = session.hear_leader(&self.me, heard.standing.epoch, proof);
        self.heard(now, behind);
        Ok(())
    }

    /// The leader broke the protocol: say so, and leave.
    fn break_off(&mut self, now: Instant) -> Result<(), Reason> {
        if let Phase::In(session) = core::mem::replace(&mut self.phase, Phase::Idle) {
            if self.me.sides.is_published(Part::Leave) {
                // There is no word for it.
                self.finish(Ending::LeaderViolation);
            } else {
                self.part(session, now, EndReason::Protocol, Ending::LeaderViolation);
            }
        }
        Err(Reason::Violation)
    }

    /// Data.
    fn on_data(&mut self, now: Instant, edition: Edition, code: u8, frame: BytesMut) -> Result<(), Reason> {
        let Phase::In(session) = &mut self.phase else { return Err(Reason::NotJoined) };
        if edition == Edition::Repaired && session.stale {
            return Err(Reason::NotCurrent);
        }
        let incoming = match session.plane.open(&self.me.sides, now, edition, code, frame) {
            Ok(incoming) => incoming,
            Err(why @ (Reason::MissedEpoch | Reason::EarlyEpoch)) => {
                // Somebody has a key that is not here: ask for it.
                if session.joined {
                    session.want_key(&self.me, now, &mut self.jitter);
                }
                return Err(why);
            }
            Err(why) => return Err(why),
        };
        let message = match &incoming.sender {
            Some(name) => {
                let known = session.names.contains_key(name);
                let cid = session.number(name, self.me.limits.members).ok_or(Reason::Budget)?;
                // Beside repaired keys no list names anybody: who speaks is there.
                if !known && session.shows_names && !self.me.sides.is_published(Part::Keys) {
                    let view = crate::identity::Version(session.rosters);
                    self.out.event(Event::MemberAdded { cid, name: name.clone(), view });
                }
                from_number(incoming.message, cid)
            }
            None => incoming.message,
        };
        self.out.stats.delivered += 1;
        self.out.event(Event::Data(message));
        Ok(())
    }
}
