//! Frames of the channel that the leader is owed, made when they are polled.

use super::{Member, Phase, control};
use crate::endpoint::{Instant, Transmit};
use crate::error::Failure;
use crate::event::Event;
use crate::group::channel::{Carry, Standing};
use crate::identity::Epoch;

impl Member {
    /// The next owed frame. RA §2, mixed editions: a challenge says R; a heartbeat does not; the request for the key does
    /// not, and says epoch 0.
    pub(super) fn pay(&mut self, now: Instant) -> Option<Transmit> {
        match &mut self.phase {
            Phase::In(session) => {
                let link = session.link?;
                let channel = session.channel.as_mut()?;
                if session.owed.held.is_some_and(|held| now < held) {
                    return None;
                }
                let owed = &mut session.owed;
                let (flag, asks, epoch) = if owed.record {
                    (&mut owed.record, false, session.plane.epoch())
                } else if owed.key {
                    (&mut owed.key, false, Epoch(0))
                } else if owed.reply {
                    (&mut owed.reply, false, session.plane.epoch())
                } else if owed.challenge {
                    (&mut owed.challenge, true, session.plane.epoch())
                } else {
                    return None;
                };
                let policy = session.plane.station.policy_version;
                let standing = Standing { epoch, policy, ..Standing::default() };
                match channel.seal(&mut self.out.pool, now, standing, asks, Carry::Due) {
                    Ok(frame) => {
                        *flag = false;
                        owed.held = None;
                        self.out.stats.frames_out += 1;
                        Some(control(link, frame))
                    }
                    Err(_) => {
                        owed.held = Some(now + self.me.limits.retry.first);
                        if self.out.room(0, 1) {
                            self.out.event(Event::Hindered(Failure::Suite));
                        }
                        None
                    }
                }
            }
            Phase::Ending(farewell) => {
                let link = farewell.link?;
                farewell.owed.filter(|owed| *owed <= now)?;
                let carry = Carry::End(&farewell.body);
                match farewell.channel.seal(&mut self.out.pool, now, farewell.standing, true, carry) {
                    Ok(frame) => {
                        farewell.owed = None;
                        self.out.stats.frames_out += 1;
                        Some(control(link, frame))
                    }
                    Err(_) => {
                        farewell.owed = Some(now + self.me.limits.retry.first);
                        None
                    }
                }
            }
            _ => None,
        }
    }
}
