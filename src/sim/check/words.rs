//! Private words: for whom they are, and whose.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use super::Checker;
use super::session::{Session, Sessions};
use crate::event::Event;
use crate::identity::MemberId;
use crate::sim::rng::Mixer;
use crate::sim::step::{Input, Observed};
use crate::sim::world::NodeId;

/// S1, S9, D29: a private word is delivered to those that its sender has named, as of that sender, once each; and never to the
/// group.
///
/// It knows who said what to whom from commands with the words `tell 1,2: …` ([`Star::tell`](crate::sim::Star::tell) gives
/// them); each text is said once.
#[derive(Clone, Debug, Default)]
pub struct WordsReachTheNamed {
    sessions: Sessions,
    told: BTreeMap<u128, (Session, BTreeSet<MemberId>)>,
    heard: BTreeSet<(NodeId, u128)>,
}

impl WordsReachTheNamed {
    /// Deliveries so far: a run without one has shown nothing.
    pub fn deliveries(&self) -> u64 {
        self.heard.len() as u64
    }
}

/// For whom a word is, and what it says.
fn read(words: &str) -> Option<(BTreeSet<MemberId>, &str)> {
    let (named, text) = words.strip_prefix("tell ")?.split_once(": ")?;
    let named = named.split(',').map(|cid| cid.parse().map(MemberId)).collect::<Result<_, _>>().ok()?;
    Some((named, text))
}

impl Checker for WordsReachTheNamed {
    fn name(&self) -> &'static str {
        "WordsReachTheNamed"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        if let Input::Command(words) = step.input
            && let (Some((named, text)), Some(session)) = (read(words), self.sessions.of(step.node))
        {
            self.told.insert(Mixer::of(text.as_bytes()), (session, named));
        }
        self.sessions.step(step);
        for event in step.events {
            self.sessions.event(step.node, event);
            let (Event::Gossip(message) | Event::Data(message)) = event else { continue };
            let Some(own) = self.sessions.of(step.node) else { continue };
            let (from, text) = (message.from.claimed(), Mixer::of(&message.payload));
            match (event, self.told.get(&text)) {
                (Event::Data(_), None) => {}
                (Event::Data(_), Some((by, _))) => {
                    return Err(format!("a private word of member {} was delivered to the group", by.cid));
                }
                (_, None) => return Err(format!("a word was delivered as of member {from} that nobody said")),
                (_, Some((by, named))) => {
                    if *by != (Session { group: own.group, cid: from }) {
                        return Err(format!("a word of member {} was delivered as of member {from}", by.cid));
                    }
                    if !named.contains(&own.cid) {
                        return Err(format!(
                            "a word of member {from} was delivered to member {}, who is not named",
                            own.cid
                        ));
                    }
                    if !self.heard.insert((step.node, text)) {
                        return Err(format!("a word of member {from} was delivered twice to member {}", own.cid));
                    }
                }
            }
        }
        Ok(())
    }
}
