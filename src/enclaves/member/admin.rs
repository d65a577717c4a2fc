//! What the leader tells a member (EN-R4): computed whole, answered, and then made whole.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::session::Session;
use super::{Me, Member, Phase, control};
use crate::crypto::{Key, Secret};
use crate::enclaves::chain::Heard;
use crate::endpoint::{Cx, Instant, Link};
use crate::error::Reason;
use crate::event::{Causes, EjectVerdict, Ending, Event, Shortfall};
use crate::group::channel::Standing;
use crate::group::following::{Announced, Follow, Named, Taken, follow_view, take_page, take_policy};
use crate::group::issue::KeyBlock;
use crate::group::station::Ruling;
use crate::group::{ChangeRecord, Check, EpochKeys, ViewStep};
use crate::identity::{Epoch, MemberId, Version};
use crate::wire::Field;
use crate::wire::enclaves::repaired::{AdminPayload, AdminText, GossipKey, NewKey};
use crate::wire::objects::ObjectNews;

/// What an AdminMsg does.
enum Effect<'f> {
    Nothing,
    Install(Box<Install>),
    View(Taken),
    Policy(Box<Ruling>),
    /// A policy below the own floor.
    Below(Shortfall),
    Ejection {
        number: u64,
        target: MemberId,
        verdict: EjectVerdict,
    },
    /// The key of a private message that is to come.
    GossipKey(GossipKey<'f>),
    /// An own private message, sealed with the key that was asked for.
    GossipGrant {
        number: u64,
        frame: Bytes,
    },
    Gossiped {
        number: u64,
        missed: Vec<MemberId>,
    },
    /// Something about shared objects, which may be told so.
    Object(ObjectNews<'f>),
}

/// An epoch that is about to be installed.
struct Install {
    keys: EpochKeys,
    epoch: Epoch,
    floor: Epoch,
    causes: Causes,
    step: Option<ViewStep>,
    /// The policy to come rules from it on.
    rules: bool,
}

impl Member {
    /// EN-R4.
    pub(super) fn on_admin(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        mut frame: BytesMut,
    ) -> Result<(), Reason> {
        let session = match &self.phase {
            Phase::In(session) => session,
            Phase::Ending(_) => return Err(Reason::Ended),
            Phase::Idle | Phase::Asking(_) => return Err(Reason::Unknown),
        };
        let new = match session.chain.hear(&mut frame) {
            Ok(Heard::New(new)) => new,
            Ok(Heard::Repeat(ack)) => {
                self.out.send(control(link, ack));
                return Ok(());
            }
            Err(Reason::Violation) => return self.break_off(now),
            Err(why) => return Err(why),
        };
        let text = AdminText::decode(frame.get(new.text.clone()).unwrap_or_default());
        let Ok(text) = text else { return self.break_off(now) };
        let AdminText { epoch, view, policy, taken, payload, .. } = text;
        let standing = Standing { epoch, view, policy, hears: false };
        let timely = self.me.limits.checks.on(Check::EvidenceTime);
        let proof = if timely { new.proof } else { now };
        let effect = match effect(&self.me, session, now, &payload, proof) {
            Ok(effect) => effect,
            Err(Reason::Suite) => return Err(Reason::Suite),
            Err(_) => return self.break_off(now),
        };
        let reply = session.chain.reply(&*self.me.suite, cx.rng, &mut self.out.pool, &new)?;
        // Nothing can fail from here on.
        let Phase::In(session) = &mut self.phase else { return Err(Reason::Unknown) };
        session.chain.commit(&new, &text, &reply, now);
        session.confirm = None;
        session.link = Some(link);
        session.requests.taken(taken);
        session.evidence.hear(standing, Some(proof));
        self.out.send(control(link, reply.ack));
        self.make(now, effect);
        self.settle_evidence(now);
        if let Phase::In(session) = &mut self.phase {
            session.gossips.follow(now, self.me.limits.retry, &mut self.jitter, taken);
        }
        // What it answers may let the next request go; one that fails goes with a timeout.
        let _ = self.ask_next(now);
        Ok(())
    }

    fn make(&mut self, now: Instant, effect: Effect<'_>) {
        let Phase::In(session) = &mut self.phase else { return };
        match effect {
            Effect::Nothing => {}
            Effect::Install(install) => self.install(now, *install),
            Effect::View(taken) => match taken {
                Taken::First(first) => session.pages = Some(first),
                Taken::Next(changes) => session.pages.iter_mut().for_each(|pages| pages.append(changes.clone())),
                Taken::Last(step) => {
                    session.pages = None;
                    step.into_iter().for_each(|step| self.commit_view(step));
                }
            },
            Effect::Policy(next) => session.next_policy = Some(next),
            Effect::Below(shortfall) => {
                // Should the suite fail, the leader is lost, or this side is for it.
                if self.part(now, Ending::BelowFloor(shortfall)).is_err() {
                    self.finish(Ending::BelowFloor(shortfall));
                }
            }
            Effect::Ejection { number, target, verdict } => {
                session.requests.answered(number);
                self.out.event(Event::EjectionAnswered { target, verdict });
            }
            Effect::GossipKey(gossip) => self.await_gossip(now, &gossip),
            Effect::GossipGrant { number, frame } => {
                session.gossips.sealed(now, self.me.limits.retry, &mut self.jitter, number, frame);
            }
            Effect::Gossiped { number, missed } => {
                session.gossips.answered(number);
                self.out.event(Event::GossipSent { number, missed });
            }
            // As many rights as there are objects may change at once.
            Effect::Object(news) => self.out.burst(session.objects.hear(&news).into_iter()),
        }
    }

    fn install(&mut self, now: Instant, install: Install) {
        let Install { keys, epoch, floor, causes, step, rules } = install;
        if rules {
            self.rule(now);
        }
        let Phase::In(session) = &mut self.phase else { return };
        let missed = session.station.ring.missed_by(epoch);
        let erased = session.station.install(keys, floor, now);
        let given_up = session.station.drop_unripe();
        session.early = session.station.has_early();
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
    }

    /// The policy to come rules from now on. Its keys are about to be installed.
    fn rule(&mut self, now: Instant) {
        let Phase::In(session) = &mut self.phase else { return };
        let Some(next) = session.next_policy.take() else { return };
        let (before, version) = (session.station.policy.detection, next.version);
        session.station.rule(*next);
        if session.station.policy.detection != before {
            // The leader counts as lost by the new measure from now on; evidence stays what it was (S8).
            session.watched_since = now;
        }
        self.out.event(Event::PolicyChanged { version });
    }

    fn commit_view(&mut self, step: ViewStep) {
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
        let moved = session.judge();
        match (session.staleness(rto), session.evidence.current_as_of) {
            (Some(bound), Some(since)) if moved => {
                session.station.ring.extend(since + bound);
                session.stale &= since + bound <= now;
            }
            (None, Some(_)) => session.stale = false,
            _ => {}
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

    /// The leader broke the protocol: leave.
    fn break_off(&mut self, now: Instant) -> Result<(), Reason> {
        if self.part(now, Ending::LeaderViolation).is_err() {
            self.finish(Ending::LeaderViolation);
        }
        Err(Reason::Violation)
    }
}

/// What `payload` does, changing nothing; `proof` is what the AdminMsg proves of the leader's life.
fn effect<'f>(
    me: &Me,
    session: &Session,
    now: Instant,
    payload: &AdminPayload<'f>,
    proof: Instant,
) -> Result<Effect<'f>, Reason> {
    let station = &session.station;
    Ok(match payload {
        AdminPayload::Ping => Effect::Nothing,
        AdminPayload::Key(new) => Effect::Install(prepare(me, session, now, new, proof)?.into()),
        AdminPayload::View(page) => {
            // A roster, or as many changes as a leader remembers.
            let most = me.limits.members + 1 + me.limits.view_history;
            Effect::View(take_page(station, session.leader_key, session.pages.as_ref(), page, most)?)
        }
        AdminPayload::Policy(change) => {
            match take_policy(station, session.next_policy.as_deref(), change, |policy| me.admits(policy))? {
                Announced::Kept(next) => Effect::Policy(next),
                Announced::Below(shortfall) => Effect::Below(shortfall),
            }
        }
        AdminPayload::Ejection(answer) => {
            let target = session.requests.asked(answer.rseq).ok_or(Reason::Violation)?;
            Effect::Ejection { number: answer.rseq, target, verdict: answer.verdict }
        }
        AdminPayload::GossipKey(gossip) if gossip.from != station.cid => Effect::GossipKey(*gossip),
        AdminPayload::GossipKey(_) => return Err(Reason::Violation),
        AdminPayload::GossipGrant(grant) => {
            let frame = session.seal_granted(grant.number, &Key::new(Secret::new(grant.key.0)))?;
            Effect::GossipGrant { number: grant.number, frame }
        }
        AdminPayload::Gossiped(answer) => {
            // One whose time was over may still be answered.
            Effect::Gossiped { number: answer.number, missed: answer.missed.iter().collect() }
        }
        AdminPayload::Object(news) => {
            session.objects.may_hear(news)?;
            Effect::Object(*news)
        }
    })
}

/// The epoch that a key brings, with all that belongs to it.
fn prepare(me: &Me, session: &Session, now: Instant, new: &NewKey<'_>, proof: Instant) -> Result<Install, Reason> {
    let (station, facts, rto) = (&session.station, new.common.value, me.limits.retry.first);
    if facts.epoch <= station.ring.installed() || facts.floor > facts.epoch {
        return Err(Reason::Violation);
    }
    // What it names came before, or is wrong: nothing overtakes in a chain.
    let (policy, rules) = match (station.named_policy(session.next_policy.as_deref(), &facts), &session.next_policy) {
        (Named::Next, Some(next)) => (&next.policy, true),
        (Named::InForce, _) => (&station.policy, false),
        _ => return Err(Reason::Violation),
    };
    let here = station.view.version();
    let step = match follow_view(station, &facts) {
        Ok(step) => step,
        Err(Follow::Suite) => return Err(Reason::Suite),
        // A newcomer's view is still to come; and a view may be ahead of the key that is on its way.
        Err(Follow::Missing) if here == Version(0) || here > facts.view => None,
        Err(Follow::Missing) => return Err(Reason::Violation),
    };
    let bound = policy.detection.filter(|_| station.checks.on(Check::Staleness));
    let lease = match bound {
        None => Instant::from_micros(u64::MAX),
        Some(detection) => session.evidence.current_as_of.unwrap_or(proof) + detection.staleness(rto),
    };
    // The older key of a member that is stale has been out of use at the leader for too long to go on in grace (S8).
    let stale = session.stale || session.outdated(rto, now);
    let floor = if stale { facts.epoch } else { facts.floor };
    let key = Key::new(Secret::new(new.key.0));
    let base = KeyBlock::new(Bytes::copy_from_slice(new.common.bytes.0), key).base(&*station.suite, station.group)?;
    let keys = station.prepare(policy, facts.epoch, base, lease)?;
    Ok(Install { keys, epoch: facts.epoch, floor, causes: facts.causes, step, rules })
}
