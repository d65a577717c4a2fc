//! What a deadline does to a member.

use super::{Member, Phase};
use crate::endpoint::{Due, Instant, Wake};
use crate::event::{Ending, Event, JoinFailure};
use crate::group::Backoff;
use crate::group::claims::claims;

impl Member {
    /// The earliest deadline and its reason.
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
                if session.early {
                    return Wake::Now(Due::EarlyFrames);
                }
                let linked = |at: Option<Instant>| if session.link.is_some() { at } else { None };
                let due = if session.owed.is_some_and(|owed| owed.ask) { Due::Poll } else { Due::Output };
                let mut wake = Wake::at(linked(session.owed.map(|owed| owed.at)), due);
                wake = wake.earlier(Wake::at(linked(session.channel.repeat_at()), Due::Record));
                wake = wake.earlier(Wake::at(session.words.due(), Due::Record));
                wake = wake.earlier(Wake::at(session.poll_at, Due::Poll));
                wake = wake.earlier(Wake::at(session.awaiting.as_ref().map(Backoff::due), Due::Poll));
                if !session.joined {
                    wake = wake.earlier(Wake::At(session.join_until(self.me.limits.join_time), Due::JoinExpiry));
                }
                wake = wake.earlier(Wake::at(session.next_silent().map(|(at, _)| at), Due::Heartbeat));
                if let Some((at, due)) = session.station.ring.next_deadline() {
                    wake = wake.earlier(Wake::At(at, due));
                }
                if let Some(bound) = session.staleness(rto) {
                    if !session.stale
                        && let Some(since) = session.evidence.current_as_of
                    {
                        wake = wake.earlier(Wake::At(since + bound, Due::Staleness));
                    }
                    wake = wake.earlier(Wake::At(session.lost_at(bound), Due::Silence));
                }
                wake
            }
            Phase::Ending(farewell) => {
                let owed = farewell.owed.unwrap_or_else(|| farewell.backoff.due());
                let repeat = Wake::at(farewell.link.map(|_| owed), Due::Farewell);
                repeat.earlier(Wake::At(farewell.until, Due::Farewell))
            }
        }
    }

    /// Does what is due. The caller has made sure that there is room.
    pub(super) fn take_time(&mut self, now: Instant) {
        self.want_leader(now);
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Asking(asking) => {
                if now >= asking.until {
                    self.fail_join(JoinFailure::Timeout);
                } else if now >= asking.backoff.due() {
                    self.repeat_request(now);
                }
            }
            Phase::In(_) => self.session_time(now),
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

    fn session_time(&mut self, now: Instant) {
        let rto = self.me.limits.retry.first;
        let Phase::In(session) = &mut self.phase else { return };
        if !session.joined && now >= session.join_until(self.me.limits.join_time) {
            return self.fail_join(JoinFailure::Timeout);
        }
        let bound = session.staleness(rto);
        if bound.is_some_and(|bound| now >= session.lost_at(bound)) {
            return if session.joined { self.finish(Ending::LeaderLost) } else { self.fail_join(JoinFailure::Timeout) };
        }
        if !session.stale && session.outdated(rto, now) {
            session.stale = true;
            self.out.event(Event::Stale);
        }
        for epoch in session.station.ring.handle_time(now).iter() {
            self.out.event(Event::Erased { epoch });
        }
        if session.channel.repeat_at().is_some_and(|at| now >= at) {
            session.channel.repeated(now, &mut self.jitter);
            session.ask(now);
        }
        if let Some(awaiting) = &mut session.awaiting
            && now >= awaiting.due()
        {
            awaiting.again(now, &mut self.jitter);
            session.ask(now);
        }
        if session.poll_at.is_some_and(|at| now >= at) {
            session.ask(now);
            let period = session.station.policy.detection.map(|detection| detection.period);
            session.poll_at = period.map(|period| now + self.jitter.spread(period, 10, 0));
        }
        self.note_silence(now);
        self.word_time(now);
        self.open_early(now);
    }

    /// Opens a few of the frames that came before their key (RA §4.4).
    fn open_early(&mut self, now: Instant) {
        for _ in 0..self.me.limits.early_at_once.max(1) {
            let Phase::In(session) = &mut self.phase else { return };
            if !session.early || session.evidence.current_as_of.is_none() {
                session.early = false;
                return;
            }
            if !self.out.room(0, 2) {
                return;
            }
            let Some((link, frame)) = session.station.take_early() else {
                session.early = false;
                return;
            };
            let kept = session.station.has_early();
            session.early = kept;
            let claims = claims(session.station.header, session.station.group, &frame);
            if let Err(why) = self.on_data(now, link, frame, false) {
                self.out.reject_data(link, why, claims);
            }
        }
    }
}
