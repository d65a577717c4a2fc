//! What the victims told their own applications, and what went over the wire: all that success is judged by.

use sodality::event::{Cause, Ending, Event, Sender};
use sodality::identity::{Epoch, MemberId};
use sodality::sim::NodeId;
use sodality::sim::star::LEADER;

use super::Scene;

/// A point in time, to look only at what came after it.
#[derive(Clone, Debug, Default)]
pub struct Mark {
    events: Vec<usize>,
    frames: usize,
}

impl Scene {
    /// Now.
    pub fn mark(&self) -> Mark {
        let events = self.world.nodes().map(|node| self.world.events(node).len()).collect();
        Mark { events, frames: self.tap.borrow().frames.len() }
    }

    /// What a node has told since.
    pub fn since(&self, mark: &Mark, node: NodeId) -> &[Event] {
        let from = mark.events.get(node.0 as usize).copied().unwrap_or(0);
        self.world.events(node).get(from..).unwrap_or_default()
    }

    /// Whether a node has told, since then, something of that kind.
    pub fn told(&self, mark: &Mark, node: NodeId, kind: impl Fn(&Event) -> bool) -> bool {
        self.since(mark, node).iter().any(kind)
    }

    /// How often a member's application was given `text`.
    pub fn heard(&self, node: NodeId, text: &[u8]) -> usize {
        let is = |event: &&Event| matches!(event, Event::Data(message) if message.payload == text);
        self.world.events(node).iter().filter(is).count()
    }

    /// How often a member's application was given `text` in private.
    pub fn heard_in_private(&self, node: NodeId, text: &[u8]) -> usize {
        let is = |event: &&Event| matches!(event, Event::Gossip(message) if message.payload == text);
        self.world.events(node).iter().filter(is).count()
    }

    /// As whose word a member's application was given `text`, the first time.
    pub fn heard_from(&self, node: NodeId, text: &[u8]) -> Option<Sender> {
        self.world.events(node).iter().find_map(|event| match event {
            Event::Data(message) if message.payload == text => Some(message.from),
            _ => None,
        })
    }

    /// In whose name a member's application was given `text`, the first time.
    pub fn heard_as(&self, member: usize, text: &[u8]) -> Option<String> {
        let from = self.heard_from(self.node(member), text)?.claimed();
        if from == MemberId::LEADER {
            return Some(LEADER.to_owned());
        }
        self.people.name_of(&self.world, member, from).map(|name| name.as_str().to_owned())
    }

    /// The epochs whose keys a node has installed since.
    pub fn installed(&self, mark: &Mark, node: NodeId) -> Vec<Epoch> {
        let epoch = |event: &Event| match event {
            Event::Installed { epoch, .. } => Some(*epoch),
            _ => None,
        };
        self.since(mark, node).iter().filter_map(epoch).collect()
    }

    /// The number under which a member has joined last.
    pub fn cid(&self, member: usize) -> Option<MemberId> {
        self.world.events(self.node(member)).iter().rev().find_map(|event| match event {
            Event::Joined { cid, .. } => Some(*cid),
            _ => None,
        })
    }

    /// Whether a member has told that it joined, and not since that it is out.
    pub fn is_in(&self, member: usize) -> bool {
        let last = self.world.events(self.node(member)).iter().rev().find(|event| {
            matches!(event, Event::Joined { .. } | Event::Ended(_) | Event::JoinFailed(_) | Event::JoinRefused(_))
        });
        matches!(last, Some(Event::Joined { .. }))
    }

    /// Whether a node has told, since then, that somebody of that name is gone, and why.
    pub fn removed(&self, mark: &Mark, node: NodeId, who: &str) -> Option<Cause> {
        self.since(mark, node).iter().find_map(|event| match event {
            Event::MemberRemoved { name, cause, .. } if name.as_str() == who => Some(*cause),
            _ => None,
        })
    }

    /// Whether a node has told, since then, that somebody of that name is there.
    pub fn added(&self, mark: &Mark, node: NodeId, who: &str) -> bool {
        self.told(mark, node, |event| matches!(event, Event::MemberAdded { name, .. } if name.as_str() == who))
    }

    /// Whether a node has told, since then, that its own session is over, and how.
    pub fn ended(&self, mark: &Mark, node: NodeId) -> Option<Ending> {
        self.since(mark, node).iter().find_map(|event| match event {
            Event::Ended(ending) => Some(*ending),
            _ => None,
        })
    }

    /// Whether a member has told, since then, that it no longer trusts its key or its leader.
    pub fn noticed(&self, mark: &Mark, member: usize) -> bool {
        self.told(mark, self.node(member), |event| matches!(event, Event::Stale | Event::Ended(_)))
    }

    /// How many frames of this kind a node has sent since, one for each receiver.
    pub fn sent(&self, mark: &Mark, from: NodeId, id: &str) -> usize {
        let tap = self.tap.borrow();
        let later = tap.frames.iter().skip(mark.frames);
        later.filter(|frame| frame.from == from && (id.is_empty() || tap.id(frame) == id)).count()
    }
}
