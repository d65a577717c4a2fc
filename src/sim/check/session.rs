//! Which group a node is in, from its events.

use alloc::collections::BTreeMap;

use crate::event::Event;
use crate::identity::{Instance, MemberId};
use crate::sim::step::Observed;
use crate::sim::world::NodeId;

/// What a node is in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Session {
    /// The group instance.
    pub group: Instance,
    /// The node's member number.
    pub cid: MemberId,
}

/// The sessions of all nodes. A session begins with `Joined` and ends with `Ended` or a crash.
#[derive(Clone, Debug, Default)]
pub struct Sessions(BTreeMap<NodeId, Session>);

impl Sessions {
    /// The session of a node.
    pub fn of(&self, node: NodeId) -> Option<Session> {
        self.0.get(&node).copied()
    }

    /// A copy of what is known of one node.
    pub(super) fn clone_of(&self, node: NodeId) -> Self {
        Self(self.0.get(&node).map(|session| (node, *session)).into_iter().collect())
    }

    /// Takes in the end of a life. Call it first for each transition.
    pub fn step(&mut self, step: &Observed<'_>) {
        if over(step) {
            self.0.remove(&step.node);
        }
    }

    /// Takes in one event. True if it begins or ends a session.
    pub fn event(&mut self, node: NodeId, event: &Event) -> bool {
        match event {
            Event::Joined { group, cid, .. } => {
                self.0.insert(node, Session { group: *group, cid: *cid });
                true
            }
            Event::Ended(_) => self.0.remove(&node).is_some(),
            _ => false,
        }
    }
}

/// Whether a life of the node ended or began.
pub(super) fn over(step: &Observed<'_>) -> bool {
    matches!(step.input, crate::sim::Input::Crashed | crate::sim::Input::Started)
}

/// Whether what was known of a join no longer counts.
pub(super) fn ends(event: &Event) -> bool {
    matches!(event, Event::Ended(_) | Event::JoinFailed(_) | Event::JoinRefused(_))
}
