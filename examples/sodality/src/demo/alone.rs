//! Enclaves as published in the demonstration: what members do when only their links tell them that the leader is gone, and
//! direct links, over which two of them go on.

use std::sync::{Arc, OnceLock};

use sodality::error::{CommandError, Misuse};
use sodality::event::{DirectEnd, Event};
use sodality::explain::Explained as _;
use sodality::identity::Name;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::SENDER;
use super::party::{ANSWER, Noticed, Part, WITHOUT, text};
use super::person::{Go, Person, RELAYED, SAY_ATTEMPTS, SAY_PAUSE};
use crate::verbs::role::Role;

/// What a member knows of that.
pub(super) struct Alone {
    /// A link of its driver has closed.
    closings: Option<mpsc::Receiver<()>>,
    /// It has a direct link.
    pub(super) linked: bool,
    /// Since when it knows that the leader is gone.
    noticed: Option<Instant>,
    /// What the leader relayed before has come.
    over: bool,
}

/// What the loss of the leader means now.
pub(super) enum Loss {
    /// It is noticed.
    Noticed,
    /// Nothing of the leader is on its way any more.
    Over,
}

impl Alone {
    pub(super) fn new(closings: Option<mpsc::Receiver<()>>) -> Self {
        Self { closings, linked: false, noticed: None, over: false }
    }

    /// Waits until a link closes and the leader was killed: one was to it. Then until all of it has come.
    pub(super) async fn lost(&mut self, killed: Arc<OnceLock<Instant>>) -> Loss {
        if let Some(noticed) = self.noticed {
            if self.over {
                std::future::pending::<()>().await;
            }
            sleep_until(noticed + RELAYED).await;
            self.over = true;
            return Loss::Over;
        }
        while let Some(closings) = &mut self.closings
            && closings.recv().await.is_some()
        {
            if killed.get().is_some() {
                self.noticed = Some(Instant::now());
                return Loss::Noticed;
            }
        }
        std::future::pending().await
    }
}

impl<M: Role + 'static> Person<M> {
    /// Those whom no event tells of, since every message names them.
    pub(super) async fn meet_known(&mut self) -> Result<(), String> {
        let known = self.handle.call(|machine, _| {
            let known = machine.known().into_iter();
            known.filter_map(|cid| Some((cid, machine.known_as(cid)?.as_str().to_owned()))).collect::<Vec<_>>()
        });
        self.names.extend(known.await.map_err(text)?);
        Ok(())
    }

    /// The link to the leader is gone, and nothing else tells it.
    pub(super) async fn left_alone(&mut self, loss: Loss) -> Result<Go, String> {
        match (loss, &self.part) {
            (Loss::Noticed, _) => {}
            (Loss::Over, _) if !M::LINKS => return Ok(Go::Out),
            (Loss::Over, Part::Stays) => return self.say_directly(SENDER, WITHOUT).await.map(|()| Go::On),
            (Loss::Over, _) => return Ok(Go::On),
        }
        let Some(lost) = self.since_killed() else { return Ok(Go::On) };
        let said = format!(
            "sees its link to {} close, {:.1} s after it was killed: no message of this edition would tell it",
            self.common.leader,
            lost as f64 / 1e6
        );
        self.tell.tell("lost", said, vec![("micros", lost.into())]).await;
        self.account.noticed = Some(Noticed { stale: None, lost });
        Ok(Go::On)
    }

    /// Microseconds since the leader was killed, if it was.
    fn since_killed(&self) -> Option<u64> {
        let killed = self.common.killed.get()?;
        Some(u64::try_from(killed.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Asks for a direct link to the sender, where there are any.
    pub(super) async fn ask_link(&self) -> Result<(), String> {
        if !M::LINKS {
            return Ok(());
        }
        let to = Name::new(SENDER).map_err(text)?;
        let said = format!("asks {} for a direct link to {SENDER}", self.common.leader);
        self.tell.tell("direct-asked", said, vec![("name", SENDER.into())]).await;
        self.handle.call(move |machine, cx| machine.ask_link(cx, &to)).await.map_err(text)?.map_err(text)
    }

    async fn say_directly(&self, to: &str, said: &'static str) -> Result<(), String> {
        let fields = vec![("to", to.into()), ("text", said.into())];
        self.tell.tell("says-directly", format!("says directly to {to}: \"{said}\""), fields).await;
        let to = Name::new(to).map_err(text)?;
        for _ in 0..SAY_ATTEMPTS {
            let peer = to.clone();
            let sent = self.handle.call(move |machine, cx| machine.say_directly(cx, &peer, said.as_bytes())).await;
            match sent.map_err(text)? {
                Err(CommandError::Full | CommandError::Misuse(Misuse::NotCurrent)) => sleep(SAY_PAUSE).await,
                other => return other.map_err(text),
            }
        }
        Err(format!("{} could not say anything directly: no room, or no link", self.account.name))
    }

    /// What happens on a direct link. It ends when both have spoken without the leader.
    pub(super) async fn direct(&mut self, event: Event) -> Result<Go, String> {
        match event {
            Event::DirectOpened { name, .. } => {
                let fields = vec![("name", name.as_str().into())];
                self.tell.tell("direct-opened", format!("has a direct link to {name}"), fields).await;
                self.alone.linked = true;
                if matches!(self.part, Part::Sends { .. }) {
                    self.done().await?;
                }
            }
            Event::Direct(message) => {
                let from = self.names.get(&message.from.claimed()).cloned().unwrap_or_default();
                let said = String::from_utf8_lossy(&message.payload).into_owned();
                let after = self.since_killed().ok_or("something came over a direct link before it was to")?;
                let fields = vec![("from", (&*from).into()), ("text", (&*said).into())];
                self.tell.tell("direct", format!("hears {from} directly: \"{said}\""), fields).await;
                self.account.direct.push((said, after));
                if matches!(self.part, Part::Sends { .. }) {
                    self.say_directly(&from, ANSWER).await?;
                } else {
                    self.handle.call(|machine, cx| machine.end_links(cx)).await.map_err(text)?;
                }
            }
            Event::DirectClosed { name, why, .. } => {
                let code = why.code();
                let ended = matches!(why, DirectEnd::Closed | DirectEnd::ByPeer) && self.since_killed().is_some();
                if !ended {
                    return Err(format!("{}: no direct link to {name}: {why:?} [{code}]", self.account.name));
                }
                let fields = vec![("name", name.as_str().into()), ("code", code.into())];
                self.tell
                    .tell("direct-closed", format!("has no direct link to {name} any more [{code}]"), fields)
                    .await;
                return Ok(Go::Out);
            }
            _ => {}
        }
        Ok(Go::On)
    }
}
