//! What a frame does to a member. In each function: decode, authenticate, compare with the state, and only then change
//! it (R25).

use alloc::collections::VecDeque;

use bytes::BytesMut;
use zeroize::Zeroize;

use super::ejection::{asked_about, take_answer};
use super::session::{Owed, Session};
use super::{Asking, Member, Phase, control, reason_of};
use crate::antigone::failure::{Evidence, Hearing};
use crate::antigone::join::asking::{Accepted, Answer};
use crate::antigone::keys;
use crate::antigone::leave::member_end;
use crate::crypto::Key;
use crate::endpoint::{Cx, Instant, Link};
use crate::error::{Failure, Reason};
use crate::event::{EndReason, Ending, Event, JoinFailure, Lacking};
use crate::group::channel::{Body, Carry, Channel, Refused, Side, Standing};
use crate::group::following::{Announced, Follow, Named, Taken, follow_view, take_page, take_policy};
use crate::group::private::Words;
use crate::group::station::{Identity, Station};
use crate::group::{Allowance, Backoff, ChangeRecord, Check, Probes, ViewStep};
use crate::identity::Epoch;
use crate::policy::{MIN_FRAME, Policy, Views};
use crate::wire::Field;
use crate::wire::Message as _;
use crate::wire::antigone::{
    Data, Heartbeat, Hello, JoinAnswer, LeaderBody, LeaderFrame, LeaderRecord, MemberBody, MemberRecord, PrivateWord,
    Rekey,
};
use crate::wire::field::VerifyingKey;

impl Member {
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
        let code = self.me.header().code_of(&frame).map_err(reason_of)?;
        match code {
            code if code == JoinAnswer::INFO.code => self.on_answer(cx, now, link, frame),
            code if code == LeaderFrame::INFO.code => {
                let done = self.on_channel(now, link, &mut frame);
                // It may hold a key, opened in place (R32).
                frame.zeroize();
                done
            }
            code if code == PrivateWord::INFO.code => self.on_private(now, frame),
            code if code == Rekey::INFO.code => self.on_rekey_over(now, link, frame),
            code if code == Heartbeat::INFO.code => self.on_heartbeat(now, link, &frame),
            code if code == Data::INFO.code => self.on_data(now, link, frame, true),
            _ => Err(Reason::Misdirected),
        }
    }

    /// RA §4.1, "A on RA-J2".
    fn on_answer(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, mut frame: BytesMut) -> Result<(), Reason> {
        let Phase::Asking(Asking { attempt, until, link: asked_on, .. }) = &self.phase else {
            return Err(Reason::Unknown);
        };
        let (until, me) = (*until, &self.me);
        let suite = &*me.suite;
        let accepted = match attempt.read(suite, me.header(), &me.keys, &mut frame)? {
            Answer::Refused(why) => {
                self.phase = Phase::Idle;
                self.wanted.close();
                self.out.event(Event::JoinRefused(why));
                return Ok(());
            }
            Answer::Accepted(accepted) => accepted,
        };
        // The offer is authentic: whatever is wrong with it now is the leader's doing, and ends the attempt.
        let Ok(policy) = Policy::decode(&accepted.policy) else {
            self.fail_join(JoinFailure::Ended(EndReason::Protocol));
            return Ok(());
        };
        if let Err(shortfall) = me.admits(&policy) {
            self.fail_join(JoinFailure::BelowFloor(shortfall));
            return Ok(());
        }
        let carries = self.links.get(&link).map_or(0, |info| info.max_frame);
        if carries < policy.frame_limit as usize || carries < MIN_FRAME {
            self.fail_join(JoinFailure::LinkTooSmall);
            return Ok(());
        }
        // What is for the leader alone never goes over a shared link (RA §4.2).
        let shared = self.links.get(&link).is_none_or(|info| info.shared);
        let link = if shared { *asked_on } else { Some(link) };
        let session = self.open_session(cx, now, link, until, policy, accepted)?;
        self.phase = Phase::In(session.into());
        Ok(())
    }

    fn open_session(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Option<Link>,
        until: Instant,
        policy: Policy,
        accepted: Accepted,
    ) -> Result<Session, Reason> {
        let me = &self.me;
        let suite = &*me.suite;
        let Accepted { group, cid, leader_key, policy_version, policy: _, seal, open } = accepted;
        let (origin, origin_key) = if policy.origin {
            let (secret, public) = suite.signing_pair(cx.rng).map_err(|error| Reason::from(Failure::from(error)))?;
            (Some(Key::new(secret)), public)
        } else {
            (None, VerifyingKey::NONE)
        };
        let probes = Probes::many(super::probes_for(policy.detection));
        let identity = Identity { group, cid, name: me.name.clone(), origin };
        let station = Station::new(me.suite.clone(), me.header(), &me.limits, policy, policy_version, identity, 0)?;
        let mut channel = Channel::new(Side::Member, me.header(), group, cid, seal, open, probes, me.limits.records)
            .with_checks(me.limits.checks);
        let mut hello = BytesMut::with_capacity(64);
        MemberBody::Record(MemberRecord::Hello(Hello { origin_key })).put(&mut hello);
        channel.queue(hello.freeze());
        channel.advance(me.limits.retry, now, &mut self.jitter);
        let poll_at = station.policy.detection.map(|detection| now + self.jitter.spread(detection.period, 10, 0));
        let shared = self.links.iter().filter(|(_, info)| info.shared).map(|(link, _)| *link);
        let mut session = Session {
            station,
            channel,
            link,
            leader_key,
            joined: false,
            until,
            held: None,
            pages: None,
            requests: VecDeque::new(),
            words: Words::new(&me.limits),
            next_policy: None,
            watched_since: now,
            evidence: Evidence::new(now),
            hearing: Hearing::new(now, shared),
            clear: Allowance::new(me.limits.clear_per_second, now),
            behind: false,
            stale: false,
            owed: None,
            poll_at,
            awaiting: None,
            early: false,
            lacks: Lacking::Key,
            told: None,
        };
        session.ask(now);
        Ok(session)
    }

    /// RA §4.2, receiver, at the member.
    fn on_channel(&mut self, now: Instant, link: Link, frame: &mut [u8]) -> Result<(), Reason> {
        match &mut self.phase {
            Phase::In(_) => {}
            Phase::Ending(farewell) => {
                // Any verified end of the leader is the answer to ours.
                return match farewell.channel.hear(frame) {
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
            Phase::Idle | Phase::Asking(_) => return Err(Reason::Unknown),
        }
        let shared = self.links.get(&link).is_none_or(|info| info.shared);
        // A roster, or as many changes as a leader remembers: causes are told with changes only (S6).
        let most = self.me.limits.members + 1 + self.me.limits.view_history;
        let Phase::In(session) = &mut self.phase else { return Err(Reason::Unknown) };
        let heard = match session.channel.hear(frame) {
            Ok(heard) => heard,
            Err(Refused::Drop(why)) => return Err(why),
            Err(Refused::Violation) => return self.break_off(now),
        };
        let body = frame.get(heard.range.clone()).unwrap_or_default();
        let Ok(body) = LeaderBody::decode(body) else { return self.break_off(now) };
        // Compute what a record does before anything changes.
        let (mut paged, mut policy, mut answered, mut word) = (None, None, None, None);
        match (heard.body, body) {
            (Body::Record, LeaderBody::Record(LeaderRecord::View(page))) => {
                match take_page(&session.station, session.leader_key, session.pages.as_ref(), &page, most) {
                    Ok(taken) => paged = Some(taken),
                    Err(Reason::Suite) => return Err(Reason::Suite),
                    Err(_) => return self.break_off(now),
                }
            }
            (Body::Record, LeaderBody::Record(LeaderRecord::Policy(change))) => {
                match take_policy(&session.station, session.next_policy.as_deref(), &change, |policy| {
                    self.me.admits(policy)
                }) {
                    Ok(taken) => policy = Some(taken),
                    Err(Reason::Suite) => return Err(Reason::Suite),
                    Err(_) => return self.break_off(now),
                }
            }
            (Body::Record, LeaderBody::Record(LeaderRecord::Answer(answer))) => match asked_about(session, &answer) {
                Some(target) => answered = Some((answer, target)),
                None => return self.break_off(now),
            },
            (Body::Record, LeaderBody::Record(LeaderRecord::Wrapped(wrapped)))
                if wrapped.from == session.station.cid =>
            {
                return self.break_off(now);
            }
            (Body::Record, LeaderBody::Record(record @ (LeaderRecord::Wrapped(_) | LeaderRecord::Passed(_)))) => {
                word = Some(record);
            }
            (Body::End, LeaderBody::End(end)) => {
                session.channel.commit(&heard);
                let joined = session.joined;
                if heard.answer {
                    // One answer, at once: nothing is left here to give another (RA §4.6). Should the suite fail, the
                    // leader lingers a little longer.
                    let (body, standing) = (member_end(end.reason, end.by), Standing::default());
                    let pool = &mut self.out.pool;
                    if let Ok(frame) = session.channel.seal(pool, now, standing, false, Carry::End(&body)) {
                        self.out.send(control(link, frame));
                    }
                }
                if joined {
                    self.finish(Ending::ByLeader(end.reason));
                } else {
                    self.fail_join(JoinFailure::Ended(end.reason));
                }
                return Ok(());
            }
            _ => {}
        }
        session.channel.commit(&heard);
        if !shared {
            session.link = Some(link);
        }
        let timely = self.me.limits.checks.on(Check::EvidenceTime);
        let proof = if timely { heard.evidence } else { Some(now) };
        let rose = session.evidence.hear(heard.standing, proof);
        session.awaiting = None;
        if heard.answer {
            session.reply(now);
        }
        if let Some((answer, target)) = answered {
            session.reply(now);
            self.out.event(take_answer(session, answer, target));
        }
        if session.channel.ready() {
            session.ask(now);
        }
        session.words.follow(now, self.me.limits.retry, &mut self.jitter, session.channel.acknowledged());
        match word {
            Some(LeaderRecord::Wrapped(wrapped)) => self.on_wrapped(now, &wrapped),
            Some(LeaderRecord::Passed(passed)) => self.on_passed(&passed),
            _ => {}
        }
        let Phase::In(session) = &mut self.phase else { return Ok(()) };
        match policy {
            Some(Announced::Kept(next)) => {
                session.reply(now);
                session.next_policy = Some(next);
            }
            Some(Announced::Below(shortfall)) => {
                self.refuse_policy(now, shortfall);
                return Ok(());
            }
            None => {}
        }
        if let Some(taken) = paged {
            session.reply(now);
            match taken {
                Taken::First(first) => session.pages = Some(first),
                Taken::Next(changes) => session.pages.iter_mut().for_each(|pages| pages.append(changes.clone())),
                Taken::Last(step) => {
                    session.pages = None;
                    step.into_iter().for_each(|step| self.commit_view(step));
                }
            }
        }
        // A newer epoch without its block: the key request is a poll (RA §4.3), if no block comes within an RTO.
        let rto = self.me.limits.retry.first;
        if let Phase::In(session) = &mut self.phase
            && rose
            && heard.standing.epoch > session.station.ring.installed()
            && session.owed.is_none()
        {
            session.poll_at = session.poll_at.map(|at| at.min(now + rto)).or(Some(now + rto));
        }
        self.try_install(now);
        self.settle_evidence(now);
        Ok(())
    }

    /// Installs the held block if it can be. A failing suite leaves it held, and it is tried again with the next answer
    /// of the leader, which is asked for an RTO later.
    fn try_install(&mut self, now: Instant) {
        let installed = self.install_held(now);
        let at = now + self.me.limits.retry.first;
        if let (Err(_), Phase::In(session)) = (installed, &mut self.phase) {
            session.lacks = Lacking::Suite;
            session.owed = Some(Owed { at, ask: true });
            self.out.event(Event::Hindered(Failure::Suite));
        }
    }

    /// The leader broke the protocol: say so, and leave.
    fn break_off(&mut self, now: Instant) -> Result<(), Reason> {
        if let Phase::In(session) = core::mem::replace(&mut self.phase, Phase::Idle) {
            self.part(session, now, EndReason::Protocol, Ending::LeaderViolation);
        }
        Err(Reason::Violation)
    }

    /// RA §4.4, "A on RA-R".
    pub(super) fn on_rekey(&mut self, now: Instant, frame: BytesMut) -> Result<(), Reason> {
        let Phase::In(session) = &mut self.phase else { return Err(Reason::Unknown) };
        let station = &session.station;
        let installed = match &session.held {
            Some(held) => held.facts()?.epoch,
            None if self.me.limits.checks.on(Check::NewerEpoch) => station.ring.installed(),
            None => Epoch(0),
        };
        let key = session.channel.opening_key();
        let (checks, suite) = (self.me.limits.checks, &*station.suite);
        let (header, group, cid) = (station.header, station.group, station.cid);
        let block = keys::open_with(checks, header, suite, group, cid, installed, key, &frame)?;
        let floor = block.facts()?.floor;
        // Verified: what is below the floor goes now, even if the install must wait.
        let erased = session.station.ring.wipe_below(floor);
        session.held = Some(block);
        for epoch in erased.iter() {
            self.out.event(Event::Erased { epoch });
        }
        self.try_install(now);
        if let Phase::In(session) = &mut self.phase
            && session.held.is_some()
            && session.owed.is_none_or(|owed| !owed.ask)
        {
            // Prerequisites are missing: ask for them.
            session.ask(now);
        }
        self.settle_evidence(now);
        Ok(())
    }

    /// Installs the held block if its prerequisites are here: RA §4.4 (4), (5).
    fn install_held(&mut self, now: Instant) -> Result<(), Reason> {
        let rto = self.me.limits.retry.first;
        let Phase::In(session) = &mut self.phase else { return Ok(()) };
        let Some(held) = &session.held else { return Ok(()) };
        let station = &session.station;
        let facts = held.facts()?;
        let named = station.named_policy(session.next_policy.as_deref(), &facts);
        let policy = match (&named, &session.next_policy) {
            (Named::Next, Some(next)) => &next.policy,
            (Named::InForce, _) => &station.policy,
            _ => {
                session.lacks = Lacking::Policy;
                return Ok(());
            }
        };
        let step = match follow_view(station, &facts) {
            Ok(step) => step,
            Err(Follow::Suite) => return Err(Reason::Suite),
            Err(Follow::Missing) if station.policy.views == Views::Exact => {
                session.lacks = Lacking::View;
                return Ok(());
            }
            Err(Follow::Missing) => None,
        };
        let (epoch, floor, causes) = (facts.epoch, facts.floor, facts.causes);
        // By the detection that will hold.
        let bound = policy.detection.filter(|_| session.station.checks.on(Check::Staleness));
        let bound = bound.map(|detection| detection.staleness(rto));
        let lease = match (bound, session.evidence.current_as_of) {
            (None, _) => Instant::from_micros(u64::MAX),
            (Some(bound), Some(since)) => since + bound,
            // No evidence yet: the first gives the sealer its lease.
            (Some(_), None) => Instant::ORIGIN,
        };
        // The older key of a member that is stale has been out of use at the leader for too long to go on in grace (S8).
        let stale = session.stale || session.outdated(rto, now);
        let floor = if stale { epoch } else { floor };
        let keys = station.prepare(policy, epoch, held.base(&*station.suite, station.group)?, lease)?;
        // Nothing can fail from here on.
        let missed = station.ring.missed_by(epoch);
        session.held = None;
        if matches!(named, Named::Next) {
            self.rule(now);
        }
        let Phase::In(session) = &mut self.phase else { return Ok(()) };
        let erased = session.station.install(keys, floor, now);
        let given_up = session.station.drop_unripe();
        session.early = session.station.has_early();
        session.ask(now);
        self.out.event(Event::Installed { epoch, causes });
        if let Some((first, last)) = missed {
            self.out.event(Event::Missed { first, last });
        }
        for epoch in erased.iter() {
            self.out.event(Event::Erased { epoch });
        }
        if let Some(step) = step {
            self.commit_view(step);
        }
        for (link, claims) in given_up {
            self.out.reject_data(link, Reason::EarlyEpoch, claims);
        }
        Ok(())
    }

    pub(super) fn commit_view(&mut self, step: ViewStep) {
        let Phase::In(session) = &mut self.phase else { return };
        let changes = session.station.view.commit(step);
        for change in &changes {
            if let ChangeRecord::Remove { cid, .. } = change.change {
                session.station.ring.forget(cid);
            }
        }
        self.out.burst(changes.iter().map(crate::group::ViewChange::to_event));
    }

    /// Judges the evidence again and tells what has changed by it.
    pub(super) fn settle_evidence(&mut self, now: Instant) {
        let rto = self.me.limits.retry.first;
        let Phase::In(session) = &mut self.phase else { return };
        let was_current = session.current();
        if session.judge()
            && let (Some(since), Some(bound)) = (session.evidence.current_as_of, session.staleness(rto))
        {
            session.station.ring.extend(since + bound);
            if since + bound > now {
                session.stale = false;
            }
        } else if session.staleness(rto).is_none() && session.evidence.current_as_of.is_some() {
            session.stale = false;
        }
        // What came before the evidence may be opened now.
        if session.current() {
            session.early = session.station.has_early();
        }
        let epoch = session.station.ring.installed();
        if let Some(lacks) = session.newly_lacks() {
            let epoch = session.evidence.newest.map_or(epoch, |newest| newest.epoch);
            self.out.event(Event::Behind { epoch, lacks });
        }
        if session.current() && !session.joined {
            session.joined = true;
            let (group, cid) = (session.station.group, session.station.cid);
            self.out.event(Event::Joined { group, cid, epoch });
        } else if session.current() && !was_current {
            self.out.event(Event::Current { epoch });
        }
    }

    /// Repeats RA-J1, as the same bytes.
    pub(super) fn repeat_request(&mut self, now: Instant) {
        let Phase::Asking(asking) = &mut self.phase else { return };
        asking.backoff.again(now, &mut self.jitter);
        if let Some(link) = asking.link {
            self.out.send(control(link, asking.attempt.frame.clone()));
        }
    }

    /// Seals and hands out what is owed to the leader. If the suite fails, the debt stays and is tried again an RTO
    /// later.
    pub(super) fn pay(&mut self, now: Instant) -> Option<crate::endpoint::Transmit> {
        if let Phase::In(session) = &self.phase
            && session.channel.exhausted()
        {
            // One number is left, for the end; then join again, under new keys.
            if let Phase::In(session) = core::mem::replace(&mut self.phase, Phase::Idle) {
                self.part(session, now, EndReason::Exhausted, Ending::Exhausted);
            }
        }
        let hears = self.heard_over().is_some();
        let (retry, pool) = (self.me.limits.retry, &mut self.out.pool);
        let (link, sealed) = match &mut self.phase {
            Phase::In(session) => {
                let owed = session.owed.filter(|owed| owed.at <= now)?;
                let link = session.link?;
                let standing = Standing { hears, ..session.station.standing() };
                session.channel.advance(retry, now, &mut self.jitter);
                let sealed = session.channel.seal(pool, now, standing, owed.ask, Carry::Due);
                session.owed = if sealed.is_ok() { None } else { Some(Owed { at: now + retry.first, ..owed }) };
                if owed.ask && session.poll_at.is_none() && session.awaiting.is_none() {
                    // Nothing polls by itself here: an ask that is lost is repeated.
                    session.awaiting = Some(Backoff::start(retry, now, &mut self.jitter));
                }
                (link, sealed)
            }
            Phase::Ending(farewell) => {
                farewell.owed.filter(|at| *at <= now)?;
                let link = farewell.link?;
                let sealed = farewell.channel.seal(pool, now, farewell.standing, true, Carry::End(&farewell.body));
                farewell.owed = if sealed.is_ok() { None } else { Some(now + retry.first) };
                (link, sealed)
            }
            Phase::Idle | Phase::Asking(_) => return None,
        };
        match sealed {
            Ok(frame) => {
                self.out.stats.frames_out += 1;
                Some(control(link, frame))
            }
            Err(failure) => {
                if self.out.room(0, 1) {
                    self.out.event(Event::Hindered(failure));
                }
                None
            }
        }
    }
}
