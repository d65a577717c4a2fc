//! What a deadline does to a member.

use alloc::vec::Vec;

use super::{Member, Phase, control};
use crate::endpoint::{Due, Entropy, Instant, Wake};
use crate::event::{DirectEnd, Ending, Event};
use crate::identity::Name;

impl Member {
    pub(super) fn next_wake(&self) -> Wake {
        if !self.out.is_empty() {
            return Wake::Now(Due::Output);
        }
        let wish = self.wanted.wake(self.lacks_link());
        let phase = match &self.phase {
            Phase::Idle => Wake::OnInput,
            Phase::Asking(asking) => {
                let repeat = Wake::at(asking.link.map(|_| asking.backoff.due()), Due::Join);
                repeat.earlier(Wake::At(asking.until, Due::JoinExpiry))
            }
            Phase::In(session) => {
                let linked = session.link.is_some();
                let show = session.show.as_ref().filter(|show| linked || show.left == 0);
                let show = show.map(|show| show.backoff.due());
                let wishes = session.wishes.values().map(|wish| wish.backoff.due()).min();
                let grace = session.previous.as_ref().map(|(_, until)| *until);
                Wake::at(show, Due::Join).earlier(Wake::at(wishes, Due::Record)).earlier(Wake::at(grace, Due::Grace))
            }
            Phase::Leaving(leaving) => Wake::At(leaving.repeat.backoff.due(), Due::Farewell),
        };
        wish.earlier(phase).earlier(self.direct_wake())
    }

    /// Does what is due. The caller has made sure that there is room.
    pub(super) fn take_time(&mut self, rng: &mut dyn Entropy, now: Instant) {
        self.want_leader(now);
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Asking(asking) => {
                if now >= asking.until {
                    self.give_up();
                } else if let Some(link) = asking.link.filter(|_| now >= asking.backoff.due()) {
                    asking.backoff.again(now, &mut self.jitter);
                    self.ask_again(rng, now, link);
                }
            }
            Phase::In(session) => {
                session.previous.take_if(|(_, until)| *until <= now);
                // Never heard under K_a: it is not the leader's, or not any more. Where a cipher lets a bit of K_a be flipped
                // on the way (E4), this is how it is noticed.
                let due = session.show.as_ref().is_some_and(|show| show.left == 0 && show.backoff.due() <= now);
                if due && session.pair.heard == 0 {
                    self.drop_wishes();
                    self.finish(Ending::LeaderLost);
                    return;
                }
                if let Some(link) = session.link
                    && let Some(show) = session.show.as_mut().filter(|show| show.backoff.due() <= now)
                {
                    // Once it was heard, this is said until it is heard again.
                    show.left = show.left.saturating_sub(u8::from(session.pair.heard == 0));
                    show.backoff.again(now, &mut self.jitter);
                    let (hint, millis) = (self.me.hint.clone(), self.clock.millis(now));
                    match self.for_leader(millis, |scheme, line| scheme.here(rng, line, &hint)) {
                        Ok(frame) => self.out.send(control(link, frame)),
                        Err(why) => self.hindered(why),
                    }
                }
                self.wish_again(rng, now);
            }
            Phase::Leaving(leaving) => {
                if now < leaving.repeat.backoff.due() {
                    return;
                }
                if leaving.repeat.left == 0 {
                    self.finish(Ending::LeftUnconfirmed);
                    return;
                }
                leaving.repeat.left -= 1;
                leaving.repeat.backoff.again(now, &mut self.jitter);
                self.leave_again(rng, now);
            }
        }
    }

    /// EN-1J again, with a number of its own.
    fn ask_again(&mut self, rng: &mut dyn Entropy, now: Instant, link: crate::endpoint::Link) {
        let line = self.account.line(self.me.name.by_ref(), self.me.leader.by_ref(), self.clock.millis(now));
        match self.me.scheme().join_request(rng, line) {
            Ok(frame) => {
                let said = line.stamp.sequence;
                self.account.said = said;
                if let Phase::Asking(asking) = &mut self.phase {
                    asking.copies.1 = said;
                }
                self.out.send(control(link, frame));
            }
            Err(why) => self.hindered(why),
        }
    }

    /// EN-1L again, with a number of its own.
    fn leave_again(&mut self, rng: &mut dyn Entropy, now: Instant) {
        let Phase::Leaving(leaving) = &self.phase else { return };
        let Some(link) = leaving.link else { return };
        let line = leaving.pair.line(self.me.name.by_ref(), self.me.leader.by_ref(), self.clock.millis(now));
        match self.me.scheme().leave_request(rng, line) {
            Ok(frame) => {
                let said = line.stamp.sequence;
                if let Phase::Leaving(leaving) = &mut self.phase {
                    leaving.pair.said = said;
                    leaving.copies.1 = said;
                }
                self.out.send(control(link, frame));
            }
            Err(why) => self.hindered(why),
        }
    }

    /// EN-1XR again, or its end: as many as there is room for.
    fn wish_again(&mut self, rng: &mut dyn Entropy, now: Instant) {
        let Phase::In(session) = &mut self.phase else { return };
        let due = session.wishes.iter().filter(|(_, wish)| wish.backoff.due() <= now);
        let due: Vec<Name> = due.map(|(name, _)| name.clone()).collect();
        for name in due {
            if !self.out.room(1, 1) {
                return;
            }
            let Phase::In(session) = &mut self.phase else { return };
            let link = session.link;
            let Some(wish) = session.wishes.get_mut(&name) else { continue };
            if wish.left == 0 {
                session.wishes.remove(&name);
                let peer = self.numbers.number(&name);
                self.out.event(Event::DirectClosed { peer, name, why: DirectEnd::NoAnswer });
                continue;
            }
            wish.left -= 1;
            wish.backoff.again(now, &mut self.jitter);
            let Some(link) = link else { continue };
            let millis = self.clock.millis(now);
            match self.for_leader(millis, |scheme, line| scheme.direct_request(rng, line, name.by_ref())) {
                Ok(frame) => self.out.send(control(link, frame)),
                Err(why) => self.hindered(why),
            }
        }
    }
}
