//! What a deadline does to a member.

use super::{Member, Phase, control};
use crate::endpoint::{Due, Instant, Wake};
use crate::event::Ending;

impl Member {
    pub(super) fn next_wake(&self) -> Wake {
        if !self.out.is_empty() {
            return Wake::Now(Due::Output);
        }
        let wish = self.wanted.wake(self.lacks_link());
        wish.earlier(match &self.phase {
            Phase::Idle => Wake::OnInput,
            Phase::Opening(asking) | Phase::Asking(_, asking) => {
                let repeat = Wake::at(asking.link.map(|_| asking.backoff.due()), Due::Join);
                repeat.earlier(Wake::At(asking.until, Due::JoinExpiry))
            }
            Phase::In(session) => {
                let show = session.show.as_ref().filter(|_| session.link.is_some());
                let show = Wake::at(show.map(|show| show.backoff.due()), Due::Join);
                show.earlier(Wake::at(session.previous.as_ref().map(|(_, until)| *until), Due::Grace))
            }
            Phase::Leaving(leaving) => Wake::At(leaving.backoff.due(), Due::Farewell),
        })
    }

    /// Does what is due. The caller has made sure that there is room.
    pub(super) fn take_time(&mut self, now: Instant) {
        self.want_leader(now);
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Opening(asking) | Phase::Asking(_, asking) => {
                if now >= asking.until {
                    self.give_up();
                } else if let Some(link) = asking.link.filter(|_| now >= asking.backoff.due()) {
                    asking.backoff.again(now, &mut self.jitter);
                    let frame = asking.frame.clone();
                    self.out.send(control(link, frame));
                }
            }
            Phase::In(session) => {
                session.previous.take_if(|(_, until)| *until <= now);
                if let Some(link) = session.link
                    && let Some(show) = session.show.as_mut().filter(|show| show.backoff.due() <= now)
                {
                    show.left = show.left.saturating_sub(1);
                    show.backoff.again(now, &mut self.jitter);
                    session.show.take_if(|show| show.left == 0);
                    let confirm = session.confirm.clone();
                    self.out.send(control(link, confirm));
                }
            }
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
        }
    }
}
