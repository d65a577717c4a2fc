//! Direct links between two members (Enclaves 1.0): the leader makes them, and they go on without it.

use std::sync::Arc;

use sodality::error::{CommandError, Misuse};
use sodality::event::{DirectEnd, Event, Message, Port};
use sodality::explain::Explained as _;
use sodality::identity::Name;

use super::{After, Go, Room};
use crate::exit::Failed;
use crate::verbs::over::Over;
use crate::verbs::role::Role;
use crate::verbs::system::System;

/// What the user of a participant without direct links is told.
pub(super) fn none(system: System, leads: bool) -> String {
    let only = "only members of Enclaves 1.0 have direct links (--system enclaves --edition 1.0)";
    match (system, leads) {
        (System::Enclaves, true) => format!("{only}; the leader makes them and has none"),
        _ => only.to_owned(),
    }
}

fn end_text(why: DirectEnd) -> &'static str {
    match why {
        DirectEnd::Closed => "ended here",
        DirectEnd::ByPeer => "ended at the other end",
        DirectEnd::Silence => "nothing was heard of the other end for too long",
        DirectEnd::Denied => "the leader grants none to that member, or it is none",
        DirectEnd::NoAnswer => "the leader, or the other end, did not answer in time",
        DirectEnd::Replaced => "the leader has given both ends a new key",
        _ => "for another reason",
    }
}

impl<M: Role + 'static> Room<M> {
    /// Asks for a direct link, or says something over one.
    pub(super) async fn direct(&mut self, name: String, text: Option<String>) -> Result<(), Failed> {
        let Ok(to) = Name::new(&name) else {
            self.wrong(format!("{name:?} is no name; /who shows who is in the group")).await;
            return Ok(());
        };
        match text {
            None => self.ask_link(to).await,
            Some(text) => self.say_directly(to, text.into()).await,
        }
    }

    async fn ask_link(&mut self, to: Name) -> Result<(), Failed> {
        let wanted = to.clone();
        let linked = self.call(move |machine, _| machine.linked().contains(&wanted)).await?;
        if linked {
            self.wrong(format!("there is a direct link to {to} already: /direct {to} TEXT says something over it"))
                .await;
            return Ok(());
        }
        if !self.joined {
            self.wrong(format!("there is no leader any more that could make a direct link to {to}")).await;
            return Ok(());
        }
        let wanted = to.clone();
        match self.call(move |machine, cx| machine.ask_link(cx, &wanted)).await? {
            Ok(()) => {
                let text = format!("asks {} for a direct link to {to}", self.setup.leader);
                self.say("direct-asked", text, vec![("name", to.as_str().into())]).await;
            }
            Err(error @ CommandError::Misuse(Misuse::NoMember)) => {
                self.wrong_by(&format!("no direct link to {to}, who is no member as far as is known here"), &error)
                    .await;
            }
            Err(error @ CommandError::Misuse(Misuse::Oneself)) => {
                self.wrong_by("no direct link to oneself", &error).await;
            }
            Err(error) => self.wrong_by(&format!("no direct link to {to}"), &error).await,
        }
        Ok(())
    }

    async fn say_directly(&mut self, to: Name, text: Arc<str>) -> Result<(), Failed> {
        let (peer, said) = (to.clone(), text.clone());
        let linked = self.call(move |machine, _| machine.linked().contains(&peer)).await?;
        if !linked {
            let hint = if self.joined { format!(": /direct {to} asks for one") } else { String::new() };
            self.wrong(format!("not said: there is no open direct link to {to}{hint}")).await;
            return Ok(());
        }
        let peer = to.clone();
        let sent = self.sends(move |machine, cx| machine.say_directly(cx, &peer, said.as_bytes())).await?;
        if sent.is_some() {
            let fields = vec![("to", to.as_str().into()), ("text", (&*text).into())];
            self.say("says-directly", format!("you, directly to {to}: {text}"), fields).await;
        }
        Ok(())
    }

    /// What happens on direct links.
    pub(super) async fn direct_event(&mut self, event: Event) -> Result<Go, Failed> {
        match event {
            Event::DirectOpened { name, peer } => {
                self.directs.insert(peer, name.as_str().to_owned());
                let text = format!("has a direct link to {name}, which needs no leader: /direct {name} TEXT");
                self.say("direct-opened", text, vec![("name", name.as_str().into())]).await;
            }
            Event::DirectClosed { name, peer, why } => {
                self.directs.remove(&peer);
                let (text, code) =
                    (format!("no direct link to {name}: {} [{}]", end_text(why), why.code()), why.code());
                let fields = vec![("name", name.as_str().into()), ("code", code.into())];
                self.say("direct-closed", text, fields).await;
                return self.last_link().await;
            }
            Event::Direct(message) => self.heard_directly(&message).await,
            _ => {}
        }
        Ok(Go::On)
    }

    async fn heard_directly(&mut self, message: &Message) {
        if message.port != Port::Application {
            return;
        }
        let peer = message.from.claimed();
        let from = self.directs.get(&peer).cloned().unwrap_or_else(|| self.name_of(peer));
        let text = String::from_utf8_lossy(&message.payload);
        let fields = vec![("from", (&*from).into()), ("text", (&*text).into())];
        self.say("direct", format!("{from}, directly: {text}"), fields).await;
    }

    /// Whether there is something to stay for although the group is over: direct links, unless it is joined again.
    pub(super) fn may_stay(&self, over: Option<&Over>) -> bool {
        let again = self.setup.rejoin && over.is_some_and(|over| over.again);
        !self.leaving && !self.directs.is_empty() && !again
    }

    /// Stays for direct links. What ended the group counts when the last of them is over.
    pub(super) async fn stay(&mut self, over: Option<Over>) -> Go {
        let names = self.directs.values().map(String::as_str).collect::<Vec<_>>().join(", ");
        let text = format!("stays for the direct links to {names}, which need no leader: /direct NAME TEXT, or /quit");
        self.say("stays", text, vec![("names", names.into())]).await;
        self.after = Some(After(over));
        Go::On
    }

    /// Whether it stayed only for a link that is over.
    async fn last_link(&mut self) -> Result<Go, Failed> {
        if !self.directs.is_empty() {
            return Ok(Go::On);
        }
        match self.after.take() {
            Some(After(Some(over))) => self.over(over).await,
            Some(After(None)) => Ok(Go::Out),
            None => Ok(Go::On),
        }
    }
}
