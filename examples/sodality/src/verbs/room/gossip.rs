//! What is said to some members alone (D29).

use std::sync::Arc;

use sodality::event::{Message, Port};
use sodality::identity::MemberId;

use super::{MOST, Room};
use crate::exit::Failed;
use crate::verbs::role::Role;

impl<M: Role + 'static> Room<M> {
    /// Says something to these alone. If one of them is not there, nobody is told anything.
    pub(super) async fn gossip(&mut self, names: Vec<String>, text: String) -> Result<(), Failed> {
        let (mut to, mut unknown) = (Vec::new(), Vec::new());
        for name in &names {
            match self.names.iter().find(|(_, other)| *other == name) {
                Some((cid, _)) => to.push(*cid),
                None => unknown.push(name.as_str()),
            }
        }
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            self.wrong(format!(
                "not said to anybody: {unknown} not in the group, as far as is known here; /who shows who is"
            ))
            .await;
            return Ok(());
        }
        let (to, text): (Arc<[MemberId]>, Arc<str>) = (to.into(), text.into());
        let said = text.clone();
        let number = self.sends(move |machine, cx| machine.gossip(cx, &to, said.as_bytes())).await?;
        let Some(number) = number else { return Ok(()) };
        let shown = names.join(",");
        let fields = vec![("to", (&*shown).into()), ("text", (&*text).into())];
        self.say("gossips", format!("you, to {shown} alone: {text}"), fields).await;
        while self.whispers.len() >= MOST {
            self.whispers.pop_first();
        }
        self.whispers.insert(number, names);
        Ok(())
    }

    /// Somebody said something to this one, and perhaps to some others, alone.
    pub(super) async fn heard_gossip(&mut self, message: &Message) {
        // The file transfer says nothing in this way.
        if message.port != Port::Application {
            return;
        }
        let (from, text) = (self.name_of(message.from.claimed()), String::from_utf8_lossy(&message.payload));
        let fields = vec![("from", (&*from).into()), ("text", (&*text).into())];
        self.say("gossip", format!("{from}, privately: {text}"), fields).await;
    }

    /// The own one of this number is on its way, but not to `missed`.
    pub(super) async fn gossip_sent(&mut self, number: u64, missed: &[MemberId]) {
        let Some(names) = self.whispers.remove(&number) else { return };
        let missed: Vec<_> = missed.iter().map(|cid| self.name_of(*cid)).collect();
        let (to, missed) = (names.join(","), missed.join(","));
        let text = if missed.is_empty() {
            format!("what was said to {to} alone is on its way")
        } else {
            format!("what was said to {to} alone did not reach {missed}")
        };
        self.say("gossip-sent", text, vec![("to", to.into()), ("missed", missed.into())]).await;
    }

    /// The key of one came, and the message did not.
    pub(super) async fn gossip_missed(&mut self, from: MemberId) {
        let from = self.name_of(from);
        let text = format!("{from} has said something privately, and it was lost");
        self.say("gossip-missed", text, vec![("from", from.into())]).await;
    }
}
