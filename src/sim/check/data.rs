//! What is delivered, by whom, and when.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use super::Checker;
use super::session::{Session, Sessions, ends, over};
use crate::event::{Event, Port};
use crate::identity::{Epoch, Instance, MemberId};
use crate::sim::rng::Mixer;
use crate::sim::step::{Input, Observed};
use crate::sim::world::NodeId;

/// S9, A1: no node delivers a message twice, in whatever life, session or epoch. The scenario sends each text of the
/// application only once.
#[derive(Clone, Debug, Default)]
pub struct NoReplayDelivered {
    seen: BTreeMap<(NodeId, u128), (MemberId, Epoch)>,
}

impl NoReplayDelivered {
    /// Deliveries so far: a run that delivered nothing has shown nothing.
    pub fn deliveries(&self) -> usize {
        self.seen.len()
    }
}

impl Checker for NoReplayDelivered {
    fn name(&self) -> &'static str {
        "NoReplayDelivered"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        for event in step.events {
            let Event::Data(message) = event else { continue };
            if message.port != Port::Application {
                continue;
            }
            let (cid, epoch) = (message.from.claimed(), message.epoch);
            let key = (step.node, Mixer::of(&message.payload));
            if let Some((first, at)) = self.seen.insert(key, (cid, epoch)) {
                return Err(format!(
                    "a text of member {cid} in epoch {epoch} was delivered before, as of member {first} in epoch {at}"
                ));
            }
        }
        Ok(())
    }
}

/// S9, A2: a text is delivered as of the member that said it.
///
/// It knows who said what from commands with the words `say …` ([`Star::say`](crate::sim::Star::say) gives them); each text
/// is said by one member only.
#[derive(Clone, Debug, Default)]
pub struct SendersAreTrue {
    sessions: Sessions,
    said: BTreeMap<u128, Session>,
    deliveries: u64,
}

impl SendersAreTrue {
    /// Deliveries so far.
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }
}

impl Checker for SendersAreTrue {
    fn name(&self) -> &'static str {
        "SendersAreTrue"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        if let Input::Command(words) = step.input
            && let (Some(text), Some(session)) = (words.strip_prefix("say "), self.sessions.of(step.node))
        {
            self.said.insert(Mixer::of(text.as_bytes()), session);
        }
        self.sessions.step(step);
        for event in step.events {
            self.sessions.event(step.node, event);
            let (Event::Data(message), Some(own)) = (event, self.sessions.of(step.node)) else { continue };
            if message.port != Port::Application {
                continue;
            }
            self.deliveries += 1;
            let claimed = Session { group: own.group, cid: message.from.claimed() };
            match self.said.get(&Mixer::of(&message.payload)) {
                Some(said) if *said == claimed => {}
                Some(said) => {
                    return Err(format!("a text of member {} was delivered as of member {}", said.cid, claimed.cid));
                }
                None => return Err(format!("a text was delivered as of member {} that nobody said", claimed.cid)),
            }
        }
        Ok(())
    }
}

/// S7, A15: after a removal nothing more passes between the removed member and the group.
///
/// * A node that has shown a removal delivers nothing more of that member.
/// * A removed member delivers nothing of an epoch that the leader installed after the removal.
#[derive(Clone, Debug, Default)]
pub struct NoDeliveryAfterRemoval {
    sessions: Sessions,
    shown: BTreeMap<NodeId, BTreeSet<MemberId>>,
    gone: BTreeMap<(Instance, MemberId), Epoch>,
    current: BTreeMap<Instance, Epoch>,
}

impl Checker for NoDeliveryAfterRemoval {
    fn name(&self) -> &'static str {
        "NoDeliveryAfterRemoval"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        self.sessions.step(step);
        if over(step) {
            self.shown.remove(&step.node);
        }
        for event in step.events {
            self.sessions.event(step.node, event);
            if ends(event) {
                self.shown.remove(&step.node);
            }
            let session = self.sessions.of(step.node);
            let leads = session.filter(|session| session.cid == MemberId::LEADER);
            match event {
                Event::Joined { group, epoch, .. } if leads.is_some() => {
                    self.current.insert(*group, *epoch);
                }
                Event::Installed { epoch, .. } => {
                    if let Some(own) = leads {
                        self.current.insert(own.group, *epoch);
                    }
                }
                Event::MemberRemoved { cid, .. } => {
                    self.shown.entry(step.node).or_default().insert(*cid);
                    if let Some(own) = leads {
                        // The removal and the new epoch are one step (I-7), whose events come in either order.
                        let before = self.epoch_before(step, own.group);
                        self.gone.insert((own.group, *cid), before);
                    }
                }
                Event::Data(message) => {
                    let (cid, epoch) = (message.from.claimed(), message.epoch);
                    if self.shown.get(&step.node).is_some_and(|shown| shown.contains(&cid)) {
                        return Err(format!("a text of member {cid} was delivered after its removal"));
                    }
                    let own = session.and_then(|own| self.gone.get(&(own.group, own.cid)));
                    if let Some(last) = own.filter(|last| epoch > **last) {
                        return Err(format!("a removed member reads epoch {epoch}; its last was {last}"));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl NoDeliveryAfterRemoval {
    /// The epoch of the group before this transition of its leader.
    fn epoch_before(&self, step: &Observed<'_>, group: Instance) -> Epoch {
        let now = self.current.get(&group).copied().unwrap_or_default();
        let installed = step.events.iter().filter_map(|event| match event {
            Event::Installed { epoch, .. } => Some(*epoch),
            _ => None,
        });
        installed.min().map_or(now, |first| now.min(Epoch(first.0.saturating_sub(1))))
    }
}
