//! What happens in the group, as its participants are told.

use sodality::event::{Cause, EjectVerdict, EndReason, Ending, Event, Message, Suspicion, Ticket};
use sodality::identity::{MemberId, Name};
use sodality::policy::Part;
use tokio::time::Instant;

use super::{Go, MOST, Question, Room};
use crate::exit::Failed;
use crate::timeline::{cause_text, causes_text, heard, key_text};
use crate::verbs::over::Over;
use crate::verbs::refusal_text;
use crate::verbs::role::Role;

fn suspicion_text(why: Suspicion) -> &'static str {
    match why {
        Suspicion::Silence => "nothing fresh was heard of it",
        Suspicion::KeyNotTaken => "it does not take the new key",
        Suspicion::RecordsPileUp => "it acknowledges nothing",
        _ => "it seems dead",
    }
}

fn verdict_text(verdict: EjectVerdict) -> &'static str {
    match verdict {
        EjectVerdict::Ejected => "it is out",
        EjectVerdict::NotAllowed => "the policy does not let members ask",
        EjectVerdict::NoSuchMember => "there is no such member, or it is the leader",
        EjectVerdict::Denied => "the leader says no",
        EjectVerdict::Busy => "the leader has no room for the question now",
        _ => "another answer",
    }
}

impl<M: Role + 'static> Room<M> {
    pub(super) async fn event(&mut self, event: Event) -> Result<Go, Failed> {
        match event {
            Event::Joined { group, cid, epoch } => {
                (self.joined, self.stale, self.attempts, self.unreached) = (true, false, 0, None);
                self.keyed = Some(Instant::now());
                let said = if M::LEADS {
                    format!("opens group {group}, epoch {epoch}")
                } else {
                    format!("has joined group {group} as member {cid}, epoch {epoch}")
                };
                let fields =
                    vec![("group", group.to_string().into()), ("cid", cid.0.into()), ("epoch", epoch.0.into())];
                self.say("joined", said, fields).await;
                self.meet_known().await?;
            }
            Event::JoinRefused(why) => {
                return self.over(Over::of_refusal(&self.setup.leader, why, self.setup.shown)).await;
            }
            Event::JoinFailed(why) => {
                let over = Over::of_failure(&self.setup.leader, why, self.unreached.as_deref(), self.setup.shown);
                return self.over(over).await;
            }
            Event::Ended(ending) => return self.ended(ending).await,
            Event::AdmissionWanted { ticket, name } => self.admission(ticket, name).await,
            Event::EjectionWanted { ticket, by, target, name } => self.ejection(ticket, by, target, name).await,
            Event::EjectionAnswered { target, verdict } => {
                let name = self.requested.remove(&target).unwrap_or_else(|| self.name_of(target));
                let said = verdict_text(verdict);
                let fields = vec![("name", (&*name).into()), ("verdict", format!("{verdict:?}").to_lowercase().into())];
                self.say("ejection-answered", format!("about {name}: {said}"), fields).await;
            }
            Event::NotVouched { name, why } => {
                let why = refusal_text(why);
                let fields = vec![("name", name.as_str().into()), ("why", why.into())];
                self.say("not-vouched", format!("the third party does not vouch for {name}: {why}"), fields).await;
            }
            Event::MemberAdded { cid, name, view } => {
                self.names.insert(cid, name.as_str().to_owned());
                let fields = vec![("name", name.as_str().into()), ("cid", cid.0.into()), ("view", view.0.into())];
                self.say("member-added", format!("{name} is in the group, as member {cid}"), fields).await;
            }
            Event::MemberRemoved { cid, name, cause, by, view } => {
                let by = self.name_of(by);
                self.names.remove(&cid);
                let cause_shown = match cause {
                    Cause::Eject => format!("{}, asked for by {by}", cause_text(cause)),
                    _ => cause_text(cause).to_owned(),
                };
                let fields = vec![
                    ("name", name.as_str().into()),
                    ("cid", cid.0.into()),
                    ("cause", format!("{cause:?}").to_lowercase().into()),
                    ("by", by.into()),
                    ("view", view.0.into()),
                ];
                self.say("member-removed", format!("{name} is gone ({cause_shown})"), fields).await;
            }
            Event::Installed { epoch, causes } => {
                self.keyed = Some(Instant::now());
                let text = key_text(epoch, causes);
                let causes = causes_text(causes);
                self.say("installed", text, vec![("epoch", epoch.0.into()), ("causes", causes.into())]).await;
            }
            Event::Data(message) => self.heard(&message).await?,
            Event::Gossip(message) => self.heard_gossip(&message).await,
            Event::GossipSent { number, missed } => self.gossip_sent(number, &missed).await,
            Event::GossipMissed { from, .. } => self.gossip_missed(from).await,
            event @ (Event::Direct(_) | Event::DirectOpened { .. } | Event::DirectClosed { .. }) => {
                return self.direct_event(event).await;
            }
            event @ (Event::ObjectChanged { .. }
            | Event::ObjectTaken { .. }
            | Event::ObjectRefused { .. }
            | Event::ObjectRight { .. }) => self.object_event(event).await?,
            Event::Stale => {
                self.stale = true;
                self.say("stale", "has heard nothing fresh of the leader: sends and shows nothing", Vec::new()).await;
            }
            Event::Current { epoch } => {
                self.stale = false;
                let text = format!("the key of epoch {epoch} is the leader's");
                self.say("current", text, vec![("epoch", epoch.0.into())]).await;
            }
            Event::Behind { epoch, .. } => {
                let text = format!("waits for the key of epoch {epoch}");
                self.say("behind", text, vec![("epoch", epoch.0.into())]).await;
            }
            Event::Missed { first, last } => {
                let text = format!("cannot read what was said in the epochs {first} to {last}: those keys never came");
                self.say("missed", text, vec![("first", first.0.into()), ("last", last.0.into())]).await;
            }
            Event::PolicyChanged { version } => {
                let text = format!("the group has another policy now, version {version}; /policy shows it");
                self.say("policy-changed", text, vec![("version", version.0.into())]).await;
            }
            Event::Suspected { cid, why } => {
                let (name, why) = (self.name_of(cid), suspicion_text(why));
                let fields = vec![("name", (&*name).into()), ("why", why.into())];
                self.say("suspected", format!("takes {name} for dead: {why}"), fields).await;
            }
            Event::Hindered(why) => self.wrong(format!("{why}; it is tried again")).await,
            _ => {}
        }
        Ok(Go::On)
    }

    async fn ended(&mut self, ending: Ending) -> Result<Go, Failed> {
        let kind = format!("{ending:?}");
        match ending {
            Ending::Left | Ending::LeftUnconfirmed => {
                let known = ending == Ending::Left;
                let text = match (known, self.setup.is_published(Part::Leave)) {
                    (true, _) => "has left, and the leader knows",
                    (false, false) => "has left; the leader did not answer",
                    (false, true) => "has left; as published nothing confirms it, and the leader may not know",
                };
                self.say("left", text, vec![("confirmed", known.into())]).await;
                return Ok(Go::Out);
            }
            Ending::Closed | Ending::ByLeader(EndReason::Closing) => {
                let text = if M::LEADS { "has closed the group" } else { "the leader has closed the group" };
                self.say("ended", text, vec![("ending", kind.into())]).await;
                if M::LEADS {
                    return Ok(Go::Out);
                }
                self.joined = false;
                return Ok(if self.may_stay(None) { self.stay(None).await } else { Go::Out });
            }
            _ => {}
        }
        let over = Over::of_ending(&self.setup.leader, ending, self.setup.shown);
        self.say("ended", over.failed.to_string(), vec![("ending", kind.into())]).await;
        self.over(over).await
    }

    /// Those whom no event tells of, since every message names them.
    async fn meet_known(&mut self) -> Result<(), Failed> {
        let known = self
            .call(|machine, _| {
                let known = machine.known().into_iter();
                known.filter_map(|cid| Some((cid, machine.known_as(cid)?.as_str().to_owned()))).collect::<Vec<_>>()
            })
            .await?;
        self.names.extend(known);
        Ok(())
    }

    /// Remembers a question, and under which number it is answered.
    fn ask(&mut self, ticket: Ticket, question: Question) -> u64 {
        while self.asked.len() >= MOST {
            // The oldest has long been given up.
            self.asked.pop_first();
        }
        self.questions += 1;
        self.asked.insert(self.questions, (ticket, question));
        self.questions
    }

    async fn admission(&mut self, ticket: Ticket, name: Name) {
        let shown = name.as_str().to_owned();
        let number = self.ask(ticket, Question::Admission(shown.clone()));
        let text = format!("{shown} wants to join: /yes {number} or /no {number}");
        self.say("admission", text, vec![("name", shown.into()), ("number", number.into())]).await;
    }

    async fn ejection(&mut self, ticket: Ticket, by: MemberId, target: MemberId, name: Name) {
        let (by, shown) = (self.name_of(by), name.as_str().to_owned());
        let number = self.ask(ticket, Question::Ejection(shown.clone()));
        let text = format!("{by} wants {shown} (member {target}) out: /yes {number} or /no {number}");
        let fields =
            vec![("name", shown.into()), ("cid", target.0.into()), ("by", by.into()), ("number", number.into())];
        self.say("ejection", text, fields).await;
    }

    async fn heard(&mut self, message: &Message) -> Result<(), Failed> {
        let cid = message.from.claimed();
        let from = match self.names.get(&cid) {
            Some(name) => name.clone(),
            None => match self.call(move |machine, _| machine.known_as(cid)).await? {
                Some(name) => name.as_str().to_owned(),
                None => self.name_of(cid),
            },
        };
        let (said, signed, fields) = heard(&from, message);
        let doubt = if signed { "" } else { " (unsigned)" };
        self.say("heard", format!("{from}{doubt}: {said}"), fields).await;
        Ok(())
    }
}
