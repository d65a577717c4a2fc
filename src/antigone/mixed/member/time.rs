//! What a deadline does to a member.

use super::{Member, Phase, control};
use crate::antigone::failure::published as heartbeat;
use crate::endpoint::{Cx, Due, Instant, Wake};
use crate::error::Failure;
use crate::event::{Ending, Event, JoinFailure};
use crate::group::Backoff;
use crate::policy::Part;

/// After so many AN-J3 without a key that can be taken, the member asks anew: a rekey between AN-J2 and AN-K makes every
/// AN-K the wrong one (D17).
const CONFIRMS: u8 = 4;

impl Member {
    pub(super) fn next_wake(&self) -> Wake {
        if !self.out.is_empty() {
            return Wake::Now(Due::Output);
        }
        self.wanted.wake(self.lacks_link()).earlier(self.next_due())
    }

    fn next_due(&self) -> Wake {
        let rto = self.me.limits.retry.first;
        match &self.phase {
            Phase::Idle => Wake::OnInput,
            Phase::Asking(asking) => {
                let repeat = Wake::at(asking.link.map(|_| asking.backoff.due()), Due::Join);
                repeat.earlier(Wake::At(asking.until, Due::JoinExpiry))
            }
            Phase::In(session) => {
                let linked = |at: Option<Instant>| at.filter(|_| session.link.is_some());
                let mut wake = Wake::OnInput;
                if session.owed.any() && session.link.is_some() && session.channel.is_some() {
                    wake = session.owed.held.map_or(Wake::Now(Due::Output), |held| Wake::At(held, Due::Output));
                }
                let record = session.channel.as_ref().and_then(|channel| channel.repeat_at());
                wake = wake.earlier(Wake::at(linked(record), Due::Record));
                wake = wake.earlier(Wake::at(session.wish.as_ref().map(Backoff::due), Due::KeyRepeat));
                wake = wake.earlier(Wake::at(session.beat_at, Due::Heartbeat));
                wake = wake.earlier(Wake::at(session.plane.next_deadline(), Due::Grace));
                let confirm = session.confirming.as_ref().map(|confirming| confirming.backoff.due());
                wake = wake.earlier(Wake::at(confirm, Due::Join));
                if !session.joined {
                    wake = wake.earlier(Wake::At(session.until, Due::JoinExpiry));
                }
                if let Some(bound) = session.staleness(rto) {
                    if !session.stale
                        && let Some(since) = session.current_as_of
                    {
                        wake = wake.earlier(Wake::At(since + bound, Due::Staleness));
                    }
                    wake = wake.earlier(Wake::At(session.lost_at(bound), Due::Silence));
                }
                wake
            }
            Phase::Leaving(leaving) => Wake::At(leaving.backoff.due(), Due::Farewell),
            Phase::Ending(farewell) => {
                let owed = farewell.owed.unwrap_or_else(|| farewell.backoff.due());
                let repeat = Wake::at(farewell.link.map(|_| owed), Due::Farewell);
                repeat.earlier(Wake::At(farewell.until, Due::Farewell))
            }
        }
    }

    /// Does what is due. The caller has made sure that there is room.
    pub(super) fn take_time(&mut self, cx: &mut Cx<'_>, now: Instant) {
        self.want_leader(now);
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Asking(asking) => {
                if now >= asking.until {
                    self.fail_join(JoinFailure::Timeout);
                } else if now >= asking.backoff.due() {
                    self.repeat_wish(now);
                }
            }
            Phase::In(_) => self.session_time(cx, now),
            Phase::Leaving(leaving) => {
                if now >= leaving.backoff.due() {
                    if leaving.left == 0 {
                        self.finish(Ending::LeftUnconfirmed);
                        return;
                    }
                    leaving.left -= 1;
                    leaving.backoff.again(now, &mut self.jitter);
                    if let Some(link) = leaving.link {
                        let frame = leaving.frame.clone();
                        self.out.send(control(link, frame));
                    }
                }
            }
            Phase::Ending(farewell) => {
                if now >= farewell.until {
                    let said = match farewell.said {
                        Ending::Left => Ending::LeftUnconfirmed,
                        other => other,
                    };
                    self.finish(said);
                } else if farewell.owed.is_none() && now >= farewell.backoff.due() {
                    farewell.backoff.again(now, &mut self.jitter);
                    farewell.owed = Some(now);
                }
            }
        }
    }

    fn session_time(&mut self, cx: &mut Cx<'_>, now: Instant) {
        let rto = self.me.limits.retry.first;
        let Phase::In(session) = &mut self.phase else { return };
        if !session.joined && now >= session.until {
            return self.fail_join(JoinFailure::Timeout);
        }
        if let Some(bound) = session.staleness(rto) {
            if now >= session.lost_at(bound) {
                return if session.joined {
                    self.finish(Ending::LeaderLost);
                } else {
                    self.fail_join(JoinFailure::Timeout);
                };
            }
            if !session.stale && session.current_as_of.is_some_and(|since| now >= since + bound) {
                session.stale = true;
                self.out.event(Event::Stale);
            }
        }
        session.plane.handle_time(now);
        if let Some(channel) = &mut session.channel
            && channel.repeat_at().is_some_and(|at| now >= at)
        {
            channel.repeated(now, &mut self.jitter);
            session.owed.record = true;
        }
        self.beat(now);
        self.ask_for_key(now);
        self.confirm_again(cx, now);
    }

    /// The own heartbeat, and the challenge that the leader's answers.
    fn beat(&mut self, now: Instant) {
        let sides = &self.me.sides;
        let Phase::In(session) = &mut self.phase else { return };
        if session.beat_at.is_none_or(|at| now < at) {
            return;
        }
        let period = session.plane.station.policy.detection.map(|detection| detection.period);
        session.beat_at = period.map(|period| now + self.jitter.spread(period, 10, 0));
        if !sides.is_published(Part::LeaderHeartbeat) {
            session.owed.challenge = true;
        }
        if sides.is_published(Part::MemberHeartbeat)
            && let (Some(key), Some(link)) = (session.plane.key(), session.link)
        {
            let sequence = session.own_sequence.saturating_add(1);
            let (suite, header) = (&*sides.published, sides.published_header());
            let name = self.me.name.by_ref();
            match heartbeat::member_beat(suite, header, session.sigma.secret(), &key.group, name, sequence) {
                Ok(frame) => {
                    session.own_sequence = sequence;
                    self.out.send(control(link, frame));
                }
                Err(_) => self.out.event(Event::Hindered(Failure::Suite)),
            }
        }
    }

    /// AN-Q, or its repaired form.
    fn ask_for_key(&mut self, now: Instant) {
        let sides = &self.me.sides;
        let Phase::In(session) = &mut self.phase else { return };
        let Some(wish) = session.wish.as_mut().filter(|wish| now >= wish.due()) else { return };
        wish.again(now, &mut self.jitter);
        session.wished = true;
        if !sides.is_published(Part::KeyRequest) {
            session.owed.key = true;
        } else if let Some(link) = session.link {
            let group = session.plane.key().map_or(&session.expected, |key| &key.group);
            let frame = heartbeat::key_wish(sides.published_header(), group, self.me.name.by_ref());
            self.out.send(control(link, frame));
        }
    }

    /// AN-J3 again, while no key that can be taken has come.
    fn confirm_again(&mut self, cx: &mut Cx<'_>, now: Instant) {
        let Phase::In(session) = &mut self.phase else { return };
        let until = session.until;
        let link = session.link;
        let Some(confirming) = session.confirming.as_mut().filter(|confirming| now >= confirming.backoff.due()) else {
            return;
        };
        if confirming.tries < CONFIRMS {
            confirming.tries += 1;
            confirming.backoff.again(now, &mut self.jitter);
            if let Some(link) = link {
                let frame = confirming.frame.clone();
                self.out.send(control(link, frame));
            }
            return;
        }
        let mut jitter = self.jitter.clone();
        match self.me.ask(cx, now, until, &mut jitter) {
            Ok(asking) => {
                self.jitter = jitter;
                self.begin(now, asking);
            }
            Err(failure) => {
                confirming.backoff.again(now, &mut self.jitter);
                self.out.event(Event::Hindered(failure));
            }
        }
    }
}
