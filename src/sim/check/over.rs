//! Which sessions are over on both sides.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::session::Session;
use crate::antigone::{Leader, Member};
use crate::event::Event;
use crate::identity::Instance;
use crate::sim::step::{Input, Observed};
use crate::sim::world::NodeId;

/// Follows sessions from the accepted offer to the end that both sides have seen. Crashes of either side are ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Over {
    open: BTreeSet<Session>,
    at: BTreeMap<NodeId, Session>,
    leads: BTreeMap<NodeId, Instance>,
    left: BTreeSet<Session>,
    removed: BTreeSet<Session>,
}

impl Over {
    /// Takes in one transition; gives the sessions that are over by it.
    pub(crate) fn step(&mut self, step: &Observed<'_>) -> Vec<Session> {
        if matches!(step.input, Input::Crashed)
            && let Some(group) = self.leads.remove(&step.node)
        {
            self.removed.extend(self.open.iter().filter(|session| session.group == group));
        }
        if let Some(leader) = step.machine::<Leader>() {
            let group = leader.group();
            self.leads.insert(step.node, group);
            for event in step.events {
                if let Event::MemberRemoved { cid, .. } = event {
                    self.removed.insert(Session { group, cid: *cid });
                }
            }
        } else {
            let channel = step.machine::<Member>().and_then(Member::channel);
            let now = channel.map(|channel| Session { group: channel.group(), cid: channel.cid() });
            self.open.extend(now);
            let before = match now {
                Some(session) => self.at.insert(step.node, session),
                None => self.at.remove(&step.node),
            };
            self.left.extend(before.filter(|before| Some(*before) != now));
        }
        let over: Vec<Session> = self.left.intersection(&self.removed).copied().collect();
        for session in &over {
            self.left.remove(session);
            self.open.remove(session);
        }
        over
    }
}
