//! What a participant's user types.

use std::path::Path;
use std::sync::Arc;

use sodality::endpoint::Cx;
use sodality::error::{CommandError, Misuse};
use sodality::event::Port;
use sodality::identity::{MemberId, Name};
use sodality::policy::Part;
use tokio::time::sleep;

use super::{Go, MOST, Question, Room, SAY_ATTEMPTS, SAY_PAUSE, direct, objects};
use crate::demo::party::hex;
use crate::exit::Failed;
use crate::files::{Load, Outgoing};
use crate::timeline::{bytes, policy_fields};
use crate::verbs::input::{HELP, Typed};
use crate::verbs::role::Role;
use crate::verbs::system::Version;

impl<M: Role + 'static> Room<M> {
    pub(super) async fn typed(&mut self, typed: Typed) -> Result<Go, Failed> {
        match typed {
            Typed::Leave => return self.leave().await,
            Typed::Help => {
                for line in HELP {
                    self.say("help", *line, vec![("text", (*line).into())]).await;
                }
            }
            Typed::Wrong(why) => self.wrong(why).await,
            _ if self.leaving => self.wrong("on the way out already").await,
            Typed::Direct(name, text) if self.after.is_some() => self.direct(name, text).await?,
            _ if self.after.is_some() => {
                self.wrong("the group is over; there are only direct links, /direct NAME TEXT, and /quit").await
            }
            _ if !self.joined => self.wrong("not in the group now; wait until it is joined again").await,
            Typed::Say(line) => self.chat(line).await?,
            Typed::Send(path) => self.send(&path).await,
            Typed::Who => {
                for (cid, name) in &self.names {
                    let text = format!("member {cid}: {name}");
                    self.say("who", text, vec![("name", (&**name).into()), ("cid", cid.0.into())]).await;
                }
            }
            Typed::Status => self.status().await?,
            Typed::Policy => {
                let Some(policy) = self.call(|machine, _| machine.policy().cloned()).await? else {
                    self.wrong("in this edition no message tells the policy").await;
                    return Ok(Go::On);
                };
                self.say("policy", self.setup.shown.policy_line(&policy), policy_fields(&policy)).await;
            }
            Typed::Rekey if !M::LEADS => self.wrong("only the leader changes the key").await,
            Typed::Rekey => {
                if let Err(error) = self.call(|machine, cx| machine.rekey(cx)).await? {
                    self.wrong_by("no new key", &error).await;
                }
            }
            Typed::Eject(_) if !M::LEADS && self.setup.shown.version().is_some() => {
                self.wrong("in this edition only the leader ejects, and no member can ask for it").await;
            }
            Typed::Eject(name) => self.eject(name).await?,
            Typed::Gossip(..) if !M::GOSSIPS => {
                self.wrong("only Enclaves has private messages (--system enclaves)").await
            }
            Typed::Gossip(names, _) if names.len() > 1 && self.setup.shown.version() == Some(Version::First) => {
                self.wrong("not said to anybody: in Enclaves 1.0 a private message is for one; name one").await;
            }
            Typed::Gossip(names, text) => self.gossip(names, text).await?,
            Typed::Direct(..) if !M::LINKS => {
                self.wrong(direct::none(self.setup.shown.system(), M::LEADS)).await;
            }
            Typed::Direct(name, text) => self.direct(name, text).await?,
            Typed::Put(..) | Typed::Get(_) | Typed::Objects if !M::SHARES => self.wrong(objects::NONE).await,
            Typed::Put(object, file) => self.put(object, file).await?,
            Typed::Get(object) => self.get(object).await?,
            Typed::Objects => self.objects().await?,
            Typed::Answer(number, yes) => self.answer(number, yes).await?,
        }
        Ok(Go::On)
    }

    /// Ejects somebody, or asks the leader to.
    async fn eject(&mut self, name: String) -> Result<(), Failed> {
        let Some(cid) = self.names.iter().find_map(|(cid, other)| (*other == name).then_some(*cid)) else {
            self.wrong(format!("{name} is not in the group, as far as is known here; /who shows who is")).await;
            return Ok(());
        };
        if cid == MemberId::LEADER {
            self.wrong(format!("{name} leads the group and cannot be ejected; /leave leaves it")).await;
            return Ok(());
        }
        if let Err(error) = self.call(move |machine, cx| machine.put_out(cx, cid)).await? {
            self.wrong_by(&format!("{name} is not ejected"), &error).await;
            return Ok(());
        }
        let fields = vec![("name", (&*name).into()), ("cid", cid.0.into())];
        let published = self.setup.is_published(Part::Leave);
        if M::LEADS {
            let note = if published { "; as published nobody tells it: it gets no more keys" } else { "" };
            self.say("ejects", format!("ejects {name}{note}"), fields).await;
        } else if published {
            let text = format!("asks {} to eject {name}; as published nothing answers", self.setup.leader);
            self.say("ejection-asked", text, fields).await;
        } else {
            while self.requested.len() >= MOST {
                self.requested.pop_first();
            }
            self.say("ejection-asked", format!("asks {} to eject {name}", self.setup.leader), fields).await;
            self.requested.insert(cid, name);
        }
        Ok(())
    }

    /// Answers a question.
    async fn answer(&mut self, number: u64, yes: bool) -> Result<(), Failed> {
        let Some((ticket, question)) = self.asked.remove(&number) else {
            self.wrong(format!("nobody asked under the number {number}")).await;
            return Ok(());
        };
        let (answered, kind, text, name) = match question {
            Question::Admission(name) => {
                let answered = self.call(move |machine, cx| machine.admit(cx, ticket, yes)).await?;
                let (kind, text) = if yes { ("admits", "admits") } else { ("denies", "does not admit") };
                (answered, kind, text, name)
            }
            Question::Ejection(name) => {
                let answered = self.call(move |machine, cx| machine.decide(cx, ticket, yes)).await?;
                let (kind, text) = if yes { ("ejects", "ejects") } else { ("keeps", "does not eject") };
                (answered, kind, text, name)
            }
        };
        match answered {
            Ok(()) => self.say(kind, format!("{text} {name}"), vec![("name", (&*name).into())]).await,
            Err(error) => self.wrong_by(&format!("the question about {name} cannot be answered now"), &error).await,
        }
        Ok(())
    }

    async fn chat(&mut self, line: String) -> Result<(), Failed> {
        let text: Arc<str> = line.into();
        let sent = text.clone();
        let sent = self.sends(move |machine, cx| machine.send(cx, Port::Application, sent.as_bytes())).await?;
        if sent.is_some() {
            self.say("said", format!("you: {text}"), vec![("text", (&*text).into())]).await;
        }
        Ok(())
    }

    /// Has the machine send something, also where it finds no room or no current key for a moment. What it gave, or `None`
    /// where it was told why nothing was sent.
    pub(super) async fn sends<R: Send + 'static>(
        &mut self,
        send: impl Fn(&mut M, &mut Cx<'_>) -> Result<R, CommandError> + Clone + Send + 'static,
    ) -> Result<Option<R>, Failed> {
        for _ in 0..SAY_ATTEMPTS {
            match self.call(send.clone()).await? {
                Ok(sent) => return Ok(Some(sent)),
                Err(CommandError::Full | CommandError::Misuse(Misuse::NotCurrent)) => sleep(SAY_PAUSE).await,
                Err(CommandError::Misuse(Misuse::TooLong)) => {
                    self.wrong("not said: too long for a message; put it into a file and /send that").await;
                    return Ok(None);
                }
                Err(error) => {
                    self.wrong_by("not said", &error).await;
                    return Ok(None);
                }
            }
        }
        self.wrong("not said: no fresh key or no room; try again").await;
        Ok(None)
    }

    async fn send(&mut self, path: &Path) {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || Outgoing::open(&path)).await;
        let Load { name, size, bytes: source } = match opened {
            Ok(Ok(file)) => file.into(),
            Ok(Err(failed)) => return self.wrong(failed.to_string()).await,
            Err(_) => return,
        };
        let Ok(plain) = Name::new(&name) else { return self.wrong(format!("{name}: no name for a file")).await };
        match self.objects.offer(plain, size, source).await {
            Ok(manifest) => {
                let digest = hex(manifest.digest.as_bytes());
                let said = format!("offers {name} ({}), sha-256 {digest}", bytes(size));
                let fields = vec![("file", (&*name).into()), ("size", size.into()), ("sha256", digest.into())];
                self.say("offers", said, fields).await;
                self.offered.insert(manifest.object, name);
            }
            Err(error) => self.wrong(format!("{name} is not sent: {error}")).await,
        }
    }
}
