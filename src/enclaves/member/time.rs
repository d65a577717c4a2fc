//! What a deadline does to a member.

use super::{Member, Phase, control};
use crate::endpoint::{Due, Instant, Wake};
use crate::event::{Ending, Event, JoinFailure};
use crate::group::claims::claims;

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
                if session.early {
                    return Wake::Now(Due::EarlyFrames);
                }
                let linked = |at: Option<Instant>| session.link.and(at);
                let confirm = session.confirm.as_ref().map(|confirm| confirm.backoff.due());
                let asks = session.requests.due();
                let mut wake = Wake::at(linked(confirm), Due::Join).earlier(Wake::at(linked(asks), Due::Record));
                wake = wake.earlier(Wake::at(session.gossips.due(), Due::Record));
                if !session.joined {
                    wake = wake.earlier(Wake::At(session.join_until(self.me.limits.join_time), Due::JoinExpiry));
                }
                if let Some((at, due)) = session.station.ring.next_deadline() {
                    wake = wake.earlier(Wake::At(at, due));
                }
                if let Some(bound) = session.staleness(rto) {
                    if !session.stale {
                        wake = wake.earlier(Wake::at(session.evidence.stale_at(bound), Due::Staleness));
                    }
                    wake = wake.earlier(Wake::At(session.lost_at(bound), Due::Silence));
                }
                wake
            }
            Phase::Ending(farewell) => {
                let repeat = Wake::at(farewell.link.map(|_| farewell.backoff.due()), Due::Farewell);
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
                } else if let Some(link) = asking.link.filter(|_| now >= asking.backoff.due()) {
                    asking.backoff.again(now, &mut self.jitter);
                    let frame = asking.frame.clone();
                    self.out.send(control(link, frame));
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
                } else if let Some(link) = farewell.link.filter(|_| now >= farewell.backoff.due()) {
                    farewell.backoff.again(now, &mut self.jitter);
                    let frame = farewell.frame.clone();
                    self.out.send(control(link, frame));
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
        if let Some(link) = session.link {
            if let Some(confirm) = session.confirm.as_mut().filter(|confirm| now >= confirm.backoff.due()) {
                confirm.backoff.again(now, &mut self.jitter);
                let frame = confirm.frame.clone();
                self.out.send(control(link, frame));
            } else if let Some(frame) = session.requests.repeat(now, &mut self.jitter) {
                self.out.send(control(link, frame));
            } else if let Err(failure) = self.ask_next(now) {
                self.out.event(Event::Hindered(failure));
            }
        }
        self.gossip_time(now);
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
            session.early = session.station.has_early();
            let claims = claims(session.station.header, session.station.group, &frame);
            if let Err(why) = self.on_data(now, link, frame, false) {
                self.out.reject_data(link, why, claims);
            }
        }
    }
}
