//! How old a key, and how long a silence, may be.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::Checker;
use super::session::{Session, Sessions};
use crate::antigone::{Leader, Member};
use crate::endpoint::Instant;
use crate::event::Event;
use crate::identity::{Epoch, Instance, MemberId};
use crate::sim::step::{Input, Observed};
use crate::sim::world::NodeId;
use crate::wire::Message as _;
use crate::wire::antigone::{Data, MemberFrame};
use crate::wire::frame::HEADER_BYTES;

/// S8: what a member sends or delivers at time t is under a key that was the leader's own at some time since t − T_max. A
/// leader that crashes has no key any more. Hence data of somebody who was removed are accepted for at most T_max after, if the
/// policy rekeys on it or shows views in the class exact.
///
/// By the world's clock: for nodes whose clocks do not run slow. Where a plain rekey ended the epoch, what is under it
/// counts for `grace` longer.
#[derive(Clone, Debug)]
pub struct StaleBound {
    bound: Duration,
    grace: Duration,
    sessions: Sessions,
    current: BTreeMap<Instance, Epoch>,
    ended: BTreeMap<(Instance, Epoch), Over>,
    leaders: BTreeMap<NodeId, Instance>,
    removed: BTreeMap<Session, Instant>,
    sent: u64,
    delivered: u64,
}

/// When an epoch ended, and whether something other than a plain rekey ended it.
#[derive(Clone, Copy, Debug)]
struct Over {
    at: Instant,
    at_once: bool,
}

impl StaleBound {
    /// With this T_max.
    pub fn new(bound: Duration) -> Self {
        Self {
            bound,
            grace: Duration::ZERO,
            sessions: Sessions::default(),
            current: BTreeMap::new(),
            ended: BTreeMap::new(),
            leaders: BTreeMap::new(),
            removed: BTreeMap::new(),
            sent: 0,
            delivered: 0,
        }
    }

    /// With this grace after plain rekeys.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Messages that members have sent, and those that anybody was delivered, so far.
    pub fn messages(&self) -> (u64, u64) {
        (self.sent, self.delivered)
    }

    fn judge(&self, at: Instant, group: Instance, epoch: Epoch, what: &str) -> Result<(), String> {
        let Some(over) = self.ended.get(&(group, epoch)) else { return Ok(()) };
        let late = at.since(over.at);
        let allowed = if over.at_once { self.bound } else { self.bound + self.grace };
        if late > allowed {
            return Err(format!("a text of epoch {epoch} was {what} {late:?} after its end"));
        }
        Ok(())
    }

    fn end(&mut self, at: Instant, group: Instance, epoch: Epoch, at_once: bool) {
        self.ended.entry((group, epoch)).or_insert(Over { at, at_once });
    }
}

impl Checker for StaleBound {
    fn name(&self) -> &'static str {
        "StaleBound"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        if matches!(step.input, Input::Crashed)
            && let Some(group) = self.leaders.remove(&step.node)
            && let Some(epoch) = self.current.remove(&group)
        {
            self.end(step.at, group, epoch, true);
        }
        self.sessions.step(step);
        for event in step.events {
            self.sessions.event(step.node, event);
            let Some(own) = self.sessions.of(step.node) else { continue };
            let evicting = matches!(event, Event::Installed { causes, .. } if causes.evict());
            match event {
                Event::Joined { epoch, .. } | Event::Installed { epoch, .. } if own.cid == MemberId::LEADER => {
                    self.leaders.insert(step.node, own.group);
                    if let Some(old) = self.current.insert(own.group, *epoch).filter(|old| old != epoch) {
                        self.end(step.at, own.group, old, evicting);
                    }
                }
                Event::MemberRemoved { cid, .. } if own.cid == MemberId::LEADER => {
                    self.removed.insert(Session { group: own.group, cid: *cid }, step.at);
                }
                Event::Data(message) => {
                    self.delivered += 1;
                    let cid = message.from.claimed();
                    let gone = self.removed.get(&Session { group: own.group, cid }).map(|gone| step.at.since(*gone));
                    if let Some(late) = gone.filter(|late| *late > self.bound) {
                        return Err(format!("a text of member {cid} was delivered {late:?} after its removal"));
                    }
                    self.judge(step.at, own.group, message.epoch, "delivered")?;
                }
                _ => {}
            }
        }
        for transmit in step.sent {
            if transmit.frame.get(HEADER_BYTES - 1) != Some(&Data::INFO.code) {
                continue;
            }
            let Ok(parsed) = Data::parse(&transmit.frame) else { continue };
            let Data { group, epoch, cid, .. } = parsed.message;
            // What a leader relays is another's.
            if step.machine::<Member>().is_some_and(|member| member.cid() == Some(cid)) {
                self.sent += 1;
                self.judge(step.at, group, epoch, "sent")?;
            }
        }
        Ok(())
    }
}

/// S8: a leader takes a member for dead, or has removed it, once the member has sent nothing for (misses + 1) periods + RTO,
/// whatever is delivered late or again meanwhile.
///
/// By the world's clock: for leaders whose clock does not run slow.
#[derive(Clone, Debug)]
pub struct DeadNoticed {
    bound: Duration,
    last: BTreeMap<Session, Instant>,
    noticed: u64,
}

impl DeadNoticed {
    /// With this limit for silence.
    pub fn new(bound: Duration) -> Self {
        Self { bound, last: BTreeMap::new(), noticed: 0 }
    }

    /// How often a leader has taken somebody for dead so far.
    pub fn noticed(&self) -> u64 {
        self.noticed
    }
}

impl Checker for DeadNoticed {
    fn name(&self) -> &'static str {
        "DeadNoticed"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        if let Some(leader) = step.machine::<Leader>() {
            let group = leader.group();
            for event in step.events {
                match event {
                    Event::Suspected { .. } => self.noticed += 1,
                    Event::MemberRemoved { cid, .. } => drop(self.last.remove(&Session { group, cid: *cid })),
                    _ => {}
                }
            }
            // At this very instant the deadline may be about to be served.
            let late = |last: Instant| step.at.since(last) > self.bound;
            let of_group =
                self.last.range(Session { group, cid: MemberId(0) }..=Session { group, cid: MemberId(u64::MAX) });
            for (Session { cid, .. }, last) in of_group.filter(|(_, last)| late(**last)) {
                if leader.channel(*cid).is_some() && !leader.suspects(*cid) {
                    let silent = step.at.since(*last);
                    return Err(format!("member {cid} has sent nothing for {silent:?} and is not taken for dead"));
                }
            }
            return Ok(());
        }
        for transmit in step.sent {
            if transmit.frame.get(HEADER_BYTES - 1) == Some(&MemberFrame::INFO.code)
                && let Ok(parsed) = MemberFrame::parse(&transmit.frame)
            {
                let MemberFrame { group, cid, .. } = parsed.message;
                self.last.insert(Session { group, cid }, step.at);
            }
        }
        Ok(())
    }
}
