//! A participant at work: what its user types, and what happens in the group.

mod reasons;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sodality::endpoint::Cx;
use sodality::error::{CommandError, Misuse};
use sodality::event::{EndReason, Ending, Event, Message, Peer, Port, Sender, Ticket};
use sodality::explain::Explained;
use sodality::identity::{MemberId, Name};
use sodality::transfer::{Manifest, ObjectId, Outcome};
use sodality_transports::driver::Handle;
use sodality_transports::objects::{Objects, Report, Reports};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use self::reasons::Refusals;
use super::input::{HELP, Typed};
use super::over::Over;
use super::refusal_text;
use super::role::Role;
use crate::codes::with_code;
use crate::demo::party::hex;
use crate::exit::Failed;
use crate::files::{Folder, Load, Outgoing};
use crate::timeline::{Fields, Teller, bytes, cause_text, causes_text, policy_line};

/// How often, and after which pauses, something is said again that found no room or no current key.
const SAY_ATTEMPTS: u32 = 100;
const SAY_PAUSE: Duration = Duration::from_millis(20);
/// How long a leave may take when the program is interrupted.
const FAREWELL: Duration = Duration::from_secs(3);
/// Pauses before another attempt to join: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Questions and files that are remembered at the same time; further ones are declined.
const MOST: usize = 1024;

/// Whom the driver cannot reach, and why.
pub(super) type Unreached = mpsc::Receiver<(Peer, Arc<str>)>;

/// What a room is made for.
pub(super) struct Setup {
    /// Where received files go.
    pub(super) folder: Folder,
    /// The longest file that is accepted, in bytes.
    pub(super) max_file: u64,
    /// Whether a lost group is joined again.
    pub(super) rejoin: bool,
    /// Who leads.
    pub(super) leader: Name,
}

/// A participant and its user.
pub(super) struct Room<M> {
    setup: Setup,
    tell: Teller,
    handle: Handle<M>,
    objects: Objects,
    notes: Unreached,
    names: BTreeMap<MemberId, String>,
    awaited: BTreeMap<ObjectId, (String, PathBuf)>,
    offered: BTreeMap<ObjectId, String>,
    asked: BTreeMap<u64, (Ticket, Name)>,
    questions: u64,
    joined: bool,
    leaving: bool,
    /// Evidence that the key is current has become too old.
    stale: bool,
    /// Why the leader was not reached, as last told.
    unreached: Option<String>,
    /// Attempts to join again so far, and when the next is.
    attempts: u32,
    again: Option<Instant>,
    /// The codes of what is being told.
    code: Option<String>,
    refusals: Refusals,
}

/// Whether it goes on.
enum Go {
    On,
    Out,
}

impl<M: Role + 'static> Room<M> {
    pub(super) fn new(setup: Setup, tell: Teller, handle: Handle<M>, objects: Objects, notes: Unreached) -> Self {
        Self {
            setup,
            tell,
            handle,
            objects,
            notes,
            names: BTreeMap::new(),
            awaited: BTreeMap::new(),
            offered: BTreeMap::new(),
            asked: BTreeMap::new(),
            questions: 0,
            joined: false,
            leaving: false,
            stale: false,
            unreached: None,
            attempts: 0,
            again: None,
            code: None,
            refusals: Refusals::default(),
        }
    }

    /// Goes on until the user or the group ends it.
    ///
    /// # Errors
    /// [`Failed`].
    pub(super) async fn live(mut self, mut reports: Reports, mut lines: mpsc::Receiver<Typed>) -> Result<(), Failed> {
        let stop = super::stopped();
        tokio::pin!(stop);
        let (mut interrupted, mut deadline) = (false, None);
        let result = loop {
            let again = self.again;
            let go = tokio::select! {
                () = &mut stop, if !interrupted => {
                    interrupted = true;
                    deadline = Some(Instant::now() + FAREWELL);
                    if self.again.is_some() { Ok(Go::Out) } else { self.leave().await }
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Ok(Go::Out),
                report = reports.recv() => match report {
                    None => Err(Failed::Group("the driver ended; please report it".into())),
                    Some(Report::Group(event)) => self.coded(event).await,
                    Some(report) => self.object(report).await,
                },
                Some((peer, why)) = self.notes.recv() => {
                    self.unreachable(&peer, &why).await;
                    Ok(Go::On)
                }
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => self.join_again().await,
                // What is typed before the group is there is for the group.
                Some(typed) = lines.recv(), if self.joined || self.again.is_some() => self.typed(typed).await,
            };
            match go {
                Ok(Go::On) => {}
                Ok(Go::Out) => break Ok(()),
                Err(failed) => break Err(failed),
            }
        };
        // What is queued goes out; it has ended if this fails.
        let _ = self.handle.shutdown().await;
        if interrupted { Err(Failed::Interrupted) } else { result }
    }

    async fn say(&self, kind: &'static str, text: impl Into<String>, fields: Fields) {
        let (text, fields) = with_code(self.code.as_deref(), text.into(), fields);
        self.tell.tell(kind, text, fields).await;
    }

    /// Tells that a command did not do what it should; the group goes on.
    async fn wrong(&self, why: impl Into<String>) {
        let why = why.into();
        self.say("error", why.clone(), vec![("why", why.into())]).await;
    }

    fn name_of(&self, cid: MemberId) -> String {
        self.names.get(&cid).cloned().unwrap_or_else(|| format!("member {cid}"))
    }

    async fn call<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut M, &mut Cx<'_>) -> R + Send + 'static,
    ) -> Result<R, Failed> {
        self.handle.call(call).await.map_err(|_| Failed::Group("the driver ended; please report it".into()))
    }

    async fn unreachable(&mut self, peer: &Peer, why: &str) {
        let whom = match peer {
            Peer::ThirdParty => "the third party".to_owned(),
            Peer::Leader(name) => name.to_string(),
            _ => "a peer".to_owned(),
        };
        let text = format!("cannot reach {whom}: {why}; tries again");
        if self.unreached.as_deref() != Some(why) {
            self.unreached = Some(why.to_owned());
            self.say("unreachable", text, vec![("peer", whom.into()), ("why", why.into())]).await;
        }
    }

    async fn leave(&mut self) -> Result<Go, Failed> {
        if M::LEADS {
            self.say("ended", "ends; members notice that the leader is gone", Vec::new()).await;
            return Ok(Go::Out);
        }
        if self.leaving {
            return Ok(Go::On);
        }
        match self.call(|machine, cx| machine.leave(cx)).await? {
            Ok(()) => {
                self.leaving = true;
                self.say("leaves", "leaves the group", Vec::new()).await;
                Ok(Go::On)
            }
            // Not in any.
            Err(CommandError::Misuse(_)) => Ok(Go::Out),
            Err(error) => {
                self.wrong_by("cannot leave now", &error).await;
                Ok(Go::On)
            }
        }
    }

    async fn join_again(&mut self) -> Result<Go, Failed> {
        self.again = None;
        self.say("asks", format!("asks {} again", self.setup.leader), Vec::new()).await;
        match self.call(|machine, cx| machine.join(cx)).await? {
            Ok(()) => Ok(Go::On),
            Err(error) => self.over(Over { failed: Failed::Group(error.to_string()), again: true }).await,
        }
    }

    /// The group, or the attempt to join it, is over.
    async fn over(&mut self, over: Over) -> Result<Go, Failed> {
        self.joined = false;
        self.stale = false;
        self.names.clear();
        if self.leaving {
            return Ok(Go::Out);
        }
        if !self.setup.rejoin || !over.again {
            return Err(over.failed);
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.attempts)).min(LONGEST_PAUSE);
        // So that those who lost the same leader do not come back at the same moment.
        let random = getrandom::u32().unwrap_or(0);
        let pause = pause + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX));
        self.attempts = self.attempts.saturating_add(1);
        self.again = Some(Instant::now() + pause);
        let why = over.failed.to_string();
        let text = format!("{why}; asks again in {:.1} s", pause.as_secs_f64());
        let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.say("rejoins", text, vec![("why", why.into()), ("pause_ms", millis.into())]).await;
        Ok(Go::On)
    }

    async fn event(&mut self, event: Event) -> Result<Go, Failed> {
        match event {
            Event::Joined { group, cid, epoch } => {
                (self.joined, self.stale, self.attempts, self.unreached) = (true, false, 0, None);
                let said = if M::LEADS {
                    format!("opens group {group}, epoch {epoch}")
                } else {
                    format!("has joined group {group} as member {cid}, epoch {epoch}")
                };
                let fields =
                    vec![("group", group.to_string().into()), ("cid", cid.0.into()), ("epoch", epoch.0.into())];
                self.say("joined", said, fields).await;
            }
            Event::JoinRefused(why) => return self.over(Over::of_refusal(&self.setup.leader, why)).await,
            Event::JoinFailed(why) => {
                let over = Over::of_failure(&self.setup.leader, why, self.unreached.as_deref());
                return self.over(over).await;
            }
            Event::Ended(ending) => return self.ended(ending).await,
            Event::AdmissionWanted { ticket, name } => self.question(ticket, name).await?,
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
            Event::MemberRemoved { cid, name, cause, view, .. } => {
                self.names.remove(&cid);
                let cause_shown = cause_text(cause);
                let fields = vec![
                    ("name", name.as_str().into()),
                    ("cid", cid.0.into()),
                    ("cause", format!("{cause:?}").to_lowercase().into()),
                    ("view", view.0.into()),
                ];
                self.say("member-removed", format!("{name} is gone ({cause_shown})"), fields).await;
            }
            Event::Installed { epoch, causes } => {
                let causes = causes_text(causes);
                let text = format!("has the key of epoch {epoch} ({causes})");
                self.say("installed", text, vec![("epoch", epoch.0.into()), ("causes", causes.into())]).await;
            }
            Event::Data(message) => self.heard(&message).await,
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
            Event::Suspected { cid, .. } => {
                let name = self.name_of(cid);
                self.say("suspected", format!("hears nothing of {name}"), vec![("name", name.into())]).await;
            }
            Event::Missed { first, last } => {
                let text = format!("cannot read what was said in the epochs {first} to {last}: those keys never came");
                self.say("missed", text, vec![("first", first.0.into()), ("last", last.0.into())]).await;
            }
            Event::Hindered(why) => self.wrong(format!("{why}; it is tried again")).await,
            _ => {}
        }
        Ok(Go::On)
    }

    async fn ended(&mut self, ending: Ending) -> Result<Go, Failed> {
        match ending {
            Ending::Left | Ending::LeftUnconfirmed => {
                let known = ending == Ending::Left;
                let text = if known { "has left, and the leader knows" } else { "has left; the leader did not answer" };
                self.say("left", text, vec![("confirmed", known.into())]).await;
                return Ok(Go::Out);
            }
            Ending::Closed | Ending::ByLeader(EndReason::Closing) => {
                self.say("ended", "the leader has closed the group", Vec::new()).await;
                return Ok(Go::Out);
            }
            _ => {}
        }
        let over = Over::of_ending(&self.setup.leader, ending);
        let kind = format!("{ending:?}");
        self.say("ended", over.failed.to_string(), vec![("ending", kind.into())]).await;
        self.over(over).await
    }

    async fn question(&mut self, ticket: Ticket, name: Name) -> Result<(), Failed> {
        while self.asked.len() >= MOST {
            // The oldest has long been given up.
            self.asked.pop_first();
        }
        self.questions += 1;
        let number = self.questions;
        let text = format!("{name} wants to join: /yes {number} or /no {number}");
        let fields = vec![("name", name.as_str().into()), ("number", number.into())];
        self.asked.insert(number, (ticket, name));
        self.say("admission", text, fields).await;
        Ok(())
    }

    async fn heard(&mut self, message: &Message) {
        let from = self.name_of(message.from.claimed());
        let said = String::from_utf8_lossy(&message.payload).into_owned();
        let signed = matches!(message.from, Sender::Signed(_));
        let fields = vec![
            ("from", from.clone().into()),
            ("epoch", message.epoch.0.into()),
            ("signed", signed.into()),
            ("text", said.clone().into()),
        ];
        let doubt = if signed { "" } else { " (unsigned)" };
        self.say("heard", format!("{from}{doubt}: {said}"), fields).await;
    }

    async fn typed(&mut self, typed: Typed) -> Result<Go, Failed> {
        match typed {
            Typed::Leave => return self.leave().await,
            Typed::Help => {
                for line in HELP {
                    self.say("help", *line, vec![("text", (*line).into())]).await;
                }
            }
            Typed::Wrong(why) => self.wrong(why).await,
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
            Typed::Rekey if !M::LEADS => self.wrong("only the leader changes the key").await,
            Typed::Rekey => {
                if let Err(error) = self.call(|machine, cx| machine.rekey(cx)).await? {
                    self.wrong_by("no new key", &error).await;
                }
            }
            Typed::Admit(number, admit) => {
                let Some((ticket, name)) = self.asked.remove(&number) else {
                    self.wrong(format!("nobody asked under the number {number}")).await;
                    return Ok(Go::On);
                };
                if let Err(error) = self.call(move |machine, cx| machine.admit(cx, ticket, admit)).await? {
                    self.wrong_by(&format!("{name} has given up or cannot be answered now"), &error).await;
                } else {
                    let (kind, text) = if admit { ("admits", "admits") } else { ("denies", "does not admit") };
                    self.say(kind, format!("{text} {name}"), vec![("name", name.as_str().into())]).await;
                }
            }
        }
        Ok(Go::On)
    }

    async fn chat(&mut self, line: String) -> Result<(), Failed> {
        let text: Arc<str> = line.into();
        for _ in 0..SAY_ATTEMPTS {
            let sent = text.clone();
            let sent = self.call(move |machine, cx| machine.send(cx, Port::Application, sent.as_bytes())).await?;
            match sent {
                Ok(()) => {
                    self.say("said", format!("you: {text}"), vec![("text", (&*text).into())]).await;
                    return Ok(());
                }
                Err(CommandError::Full | CommandError::Misuse(Misuse::NotCurrent)) => sleep(SAY_PAUSE).await,
                Err(CommandError::Misuse(Misuse::TooLong)) => {
                    self.wrong("not said: too long for a message; put it into a file and /send that").await;
                    return Ok(());
                }
                Err(error) => {
                    self.wrong_by("not said", &error).await;
                    return Ok(());
                }
            }
        }
        self.wrong("not said: no fresh key or no room; try again").await;
        Ok(())
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

    async fn status(&mut self) -> Result<(), Failed> {
        let look = |machine: &mut M, _: &mut Cx<'_>| {
            let view = machine.view().map(|view| (view.version().0, view.members().len() as u64));
            let policy = machine.policy().map(policy_line).unwrap_or_default();
            (policy, machine.epoch().0, view.unwrap_or((0, 0)), machine.is_current(), machine.stats().rejections())
        };
        let (policy, epoch, (view, members), current, rejected) = self.call(look).await?;
        let current = current && !self.stale;
        let fresh = if M::LEADS {
            "the key is the own one"
        } else if current {
            "fresh evidence that the key is the leader's"
        } else {
            "NO fresh evidence that the key is the leader's"
        };
        let text =
            format!("{policy}; epoch {epoch}, view {view}, {members} in the group; {fresh}; {rejected} frames refused");
        let fields = vec![
            ("policy", policy.into()),
            ("epoch", epoch.into()),
            ("view", view.into()),
            ("members", members.into()),
            ("current", current.into()),
            ("rejected", rejected.into()),
        ];
        self.say("status", text, fields).await;
        Ok(())
    }

    async fn object(&mut self, report: Report) -> Result<Go, Failed> {
        match report {
            Report::Offered { from, manifest } => self.offered_by(from, manifest).await,
            Report::Progress { object, have, size } => {
                if let Some((name, _)) = self.awaited.get(&object) {
                    self.tell.progress(name, have, size).await;
                }
            }
            Report::Stored { manifest } => {
                let Some((name, place)) = self.awaited.remove(&manifest.object) else { return Ok(Go::On) };
                let (digest, place) = (hex(manifest.digest.as_bytes()), place.display().to_string());
                let text = format!("has {name} whole ({}), in {place}, sha-256 {digest}", bytes(manifest.size));
                let fields = vec![
                    ("file", name.into()),
                    ("size", manifest.size.into()),
                    ("sha256", digest.into()),
                    ("place", place.into()),
                ];
                self.say("stored", text, fields).await;
            }
            Report::Failed { object, why } => {
                let name = self.awaited.remove(&object).map_or_else(|| "a file".to_owned(), |(name, _)| name);
                let fields = vec![("file", (&*name).into()), ("why", why.to_string().into())];
                self.say("not-stored", format!("did not get {name}: {why}"), fields).await;
            }
            Report::Withdrawn { object, .. } => {
                if let Some((name, _)) = self.awaited.get(&object) {
                    self.say("withdrawn", format!("{name} is no longer on offer"), vec![("file", (&**name).into())])
                        .await;
                }
            }
            Report::Corrupt { object } => {
                let name = self.awaited.get(&object).map_or("a file", |(name, _)| name);
                self.say("corrupt", format!("finds {name} damaged, and fetches it anew"), vec![("file", name.into())])
                    .await;
            }
            Report::Stalled { object } => {
                let name = self.awaited.get(&object).map_or("a file", |(name, _)| name);
                self.say("stalled", format!("hears nothing more of {name}"), vec![("file", name.into())]).await;
            }
            Report::Resumed { object, from } => {
                let name = self.awaited.get(&object).map_or("a file", |(name, _)| name);
                let text = format!("gets {name} again, from {}", self.name_of(from));
                self.say("resumed", text, vec![("file", name.into())]).await;
            }
            Report::Received { object, member, outcome } => {
                let (who, name) = (self.name_of(member), self.offered.get(&object).cloned().unwrap_or_default());
                let (kind, verb) = match outcome {
                    Outcome::Verified => ("confirmed", "has"),
                    Outcome::Declined => ("declined", "does not want"),
                    Outcome::Corrupt => ("declined", "could not get"),
                };
                let fields = vec![("member", (&*who).into()), ("file", (&*name).into())];
                self.say(kind, format!("{who} {verb} {name}"), fields).await;
            }
            Report::AllReceived { object } => {
                let name = self.offered.get(&object).cloned().unwrap_or_default();
                self.say("delivered", format!("everybody has answered for {name}"), vec![("file", name.into())]).await;
            }
            Report::OfferEnded { object, why } => {
                let name = self.offered.remove(&object).unwrap_or_default();
                let text = format!("{name} is no longer on offer ({why:?}) [{}]", why.code());
                self.say("offer-ended", text, vec![("file", name.into()), ("code", why.code().into())]).await;
            }
            _ => {}
        }
        Ok(Go::On)
    }

    async fn offered_by(&mut self, from: MemberId, manifest: Manifest) {
        let (who, name, object) = (self.name_of(from), manifest.name.as_str().to_owned(), manifest.object);
        let place = match self.setup.folder.place(&name) {
            Err(error) => Err(error.to_string()),
            Ok(_) if manifest.size > self.setup.max_file => Err("longer than --max-file allows".to_owned()),
            Ok(_) if self.awaited.len() >= MOST => Err("too many files at once".to_owned()),
            Ok(_) if self.awaited.values().any(|(other, _)| *other == name) => {
                Err("a file of that name is on its way already".to_owned())
            }
            Ok(place) => self.setup.folder.check(&name).map(|()| place).map_err(|error| error.to_string()),
        };
        let refused = match place {
            Err(why) => why,
            Ok(place) => {
                let folder = self.setup.folder.clone();
                self.awaited.insert(object, (name.clone(), place));
                let fields = vec![("file", (&*name).into()), ("from", (&*who).into()), ("size", manifest.size.into())];
                self.say("accepts", format!("accepts {name} ({}) from {who}", bytes(manifest.size)), fields).await;
                let plain = name.clone();
                let Err(error) = self.objects.accept(object, from, move || folder.begin(&plain)).await else { return };
                self.awaited.remove(&object);
                error.to_string()
            }
        };
        let fields = vec![("file", (&*name).into()), ("from", (&*who).into()), ("why", (&*refused).into())];
        self.say("declines", format!("declines {name} from {who}: {refused}"), fields).await;
        // Then it is not asked for, which comes to the same.
        let _ = self.objects.decline(object, from).await;
    }
}
