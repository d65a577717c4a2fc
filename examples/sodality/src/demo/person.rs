//! What the user of a participant does in the demonstration when something happens.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use sodality::endpoint::Instant;
use sodality::error::{CommandError, Misuse};
use sodality::event::{EndReason, Ending, Event, Message, Port};
use sodality::explain::Explained;
use sodality::identity::{Epoch, MemberId, Name};
use sodality::policy;
use sodality::transfer::{Manifest, ObjectId, Outcome, Source, SourceError, digest_of};
use sodality_transports::clock::Clock;
use sodality_transports::driver::Handle;
use sodality_transports::objects::{Objects, ReadAt, Report, Reports};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::alone::Alone;
use super::party::{
    Account, Arrival, Common, Ended, LAST_SECRET, Noticed, Part, SECRET, WHISPER, hex, late_text, text,
};
use super::{EJECTED, LEAVER, MEMBERS, SENDER, receivers};
use crate::codes::{of_causes, with_code};
use crate::files::{Folder, Load, Outgoing};
use crate::timeline::{Teller, bytes, cause_text, causes_text, heard, key_text};
use crate::verbs::role::Role;

/// How often, and after which pauses, something is said again that found no room or no current key.
pub(super) const SAY_ATTEMPTS: u32 = 100;
pub(super) const SAY_PAUSE: Duration = Duration::from_millis(20);

/// How long what a leader relays needs at most to be out of its queues, before it is killed.
pub(super) const RELAYED: Duration = Duration::from_millis(300);

/// What members tell one another.
const ALL_ARE_HERE: &[u8] = b"everybody is here: ada may begin";
const ONE_HAS_LEFT: &[u8] = b"bob is gone, and the key is another one";
const ONE_IS_OUT: &[u8] = b"dan is out, and the key is another one";
const ALL_HAVE_IT: &[u8] = b"everybody has the file: who has to go may go";
const ALL_IS_SENT: &[u8] = b"that was all: dan has to go now";

/// An accepted object.
#[derive(Debug)]
struct Awaited {
    manifest: Manifest,
    since: Instant,
    place: PathBuf,
}

/// A participant's user: what it does when something happens.
pub(super) struct Person<M> {
    pub(super) common: Common,
    pub(super) tell: Teller,
    folder: Folder,
    pub(super) part: Part,
    pub(super) handle: Handle<M>,
    objects: Objects,
    clock: Clock,
    pub(super) names: BTreeMap<MemberId, String>,
    awaited: BTreeMap<ObjectId, Awaited>,
    offered: BTreeMap<ObjectId, String>,
    /// The file after the leave is on offer.
    late: bool,
    /// Who has confirmed what is on offer.
    confirmed: BTreeSet<MemberId>,
    /// Since when it hears nothing fresh of the leader.
    stale: Option<tokio::time::Instant>,
    pub(super) alone: Alone,
    pub(super) account: Account,
}

/// Whether the part is over.
pub(super) enum Go {
    On,
    Out,
}

impl<M: Role + 'static> Person<M> {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        name: String,
        common: Common,
        tell: Teller,
        folder: Folder,
        part: Part,
        handle: Handle<M>,
        objects: Objects,
        closings: Option<mpsc::Receiver<()>>,
    ) -> Self {
        Self {
            common,
            tell,
            folder,
            part,
            handle,
            objects,
            clock: Clock::new(),
            names: BTreeMap::new(),
            awaited: BTreeMap::new(),
            offered: BTreeMap::new(),
            late: false,
            confirmed: BTreeSet::new(),
            stale: None,
            alone: Alone::new(closings),
            account: Account::of(name),
        }
    }

    pub(super) async fn live(mut self, mut reports: Reports, mut stop: watch::Receiver<bool>) -> Ended {
        loop {
            let happened = tokio::select! {
                biased;
                loss = self.alone.lost(self.common.killed.clone()), if self.common.version().is_some() => Err(loss),
                report = reports.recv() => Ok(report.ok_or_else(|| format!("{}: the driver ended", self.account.name))?),
                _ = stop.wait_for(|stop| *stop) => return Err("stopped".into()),
            };
            let go = match happened {
                Err(loss) => self.left_alone(loss).await?,
                Ok(Report::Group(event)) => self.event(event).await?,
                Ok(other) => self.object(other).await?,
            };
            if matches!(go, Go::Out) {
                return Ok(self.account);
            }
        }
    }

    fn name_of(&self, cid: MemberId) -> String {
        self.names.get(&cid).cloned().unwrap_or_else(|| format!("member {cid}"))
    }

    async fn event(&mut self, event: Event) -> Result<Go, String> {
        match event {
            Event::Joined { group, cid, epoch } => {
                let said = if matches!(self.part, Part::Leads) {
                    format!("opens group {group}, epoch {epoch}")
                } else {
                    format!("has joined group {group} as member {cid}, epoch {epoch}")
                };
                let fields =
                    vec![("group", group.to_string().into()), ("cid", cid.0.into()), ("epoch", epoch.0.into())];
                self.tell.tell("joined", said, fields).await;
                self.epoch(epoch);
                self.meet_known().await?;
            }
            Event::JoinRefused(why) => {
                return Err(format!("{} may not join: {why:?} [{}]", self.account.name, why.code()));
            }
            Event::JoinFailed(why) => {
                return Err(format!("{} could not join: {why:?} [{}]", self.account.name, why.code()));
            }
            Event::MemberAdded { cid, name, view } => {
                self.names.insert(cid, name.as_str().to_owned());
                if cid != MemberId::LEADER && matches!(self.part, Part::Leads) {
                    let fields = vec![("name", name.as_str().into()), ("cid", cid.0.into()), ("view", view.0.into())];
                    self.tell.tell("admitted", format!("admits {name} as member {cid}: view {view}"), fields).await;
                    if self.names.len() > MEMBERS.len() {
                        self.announce(ALL_ARE_HERE).await?;
                    }
                }
            }
            Event::MemberRemoved { cid, name, cause, view, .. } => {
                self.names.remove(&cid);
                let fields = vec![
                    ("name", name.as_str().into()),
                    ("cid", cid.0.into()),
                    ("cause", format!("{cause:?}").into()),
                    ("view", view.0.into()),
                    ("code", cause.code().into()),
                ];
                let said = format!("sees {name} go ({}): view {view} [{}]", cause_text(cause), cause.code());
                self.tell.tell("removed", said, fields).await;
                match name.as_str() {
                    LEAVER if matches!(self.part, Part::Leads) => self.announce(ONE_HAS_LEFT).await?,
                    EJECTED if matches!(self.part, Part::Leads) => self.announce(ONE_IS_OUT).await?,
                    _ => {}
                }
            }
            Event::Installed { epoch, causes } => {
                self.epoch(epoch);
                let (said, code) = (causes_text(causes), of_causes(causes));
                let (text, fields) =
                    (key_text(epoch, causes), vec![("epoch", epoch.0.into()), ("causes", said.into())]);
                let (text, fields) = with_code(Some(&code), text, fields);
                self.tell.tell("installed", text, fields).await;
            }
            Event::Data(message) => return self.heard(&message).await,
            Event::Gossip(message) => self.heard_whisper(&message).await?,
            Event::GossipSent { missed, .. } if !missed.is_empty() => {
                return Err(format!("{}: what was said to {SENDER} alone did not reach it", self.account.name));
            }
            Event::GossipMissed { .. } => {
                return Err(format!("{}: something said to it alone was lost", self.account.name));
            }
            Event::Ended(Ending::Left) => {
                self.tell.tell("left", "has left, and the leader knows", Vec::new()).await;
                return Ok(Go::Out);
            }
            Event::Ended(Ending::LeftUnconfirmed) if self.is_published(policy::Part::Leave) => {
                self.tell.tell("left", "has left; as published nothing confirms it", Vec::new()).await;
                return Ok(Go::Out);
            }
            Event::Ended(Ending::LeaderLost)
                if matches!(self.part, Part::IsEjected) && self.is_published(policy::Part::Leave) =>
            {
                let text = "is put out of the group; as published nobody told it, and it takes the leader for dead";
                self.tell.tell("ejected", text, Vec::new()).await;
                return Ok(Go::Out);
            }
            Event::Ended(Ending::ByLeader(EndReason::Ejected)) if matches!(self.part, Part::IsEjected) => {
                self.tell.tell("ejected", "is put out of the group by the leader", Vec::new()).await;
                return Ok(Go::Out);
            }
            Event::Ended(Ending::ByLeader(_))
                if matches!(self.part, Part::IsEjected) && self.common.version().is_some() =>
            {
                self.tell.tell("ejected", "is put out of the group, or somebody says so in clear", Vec::new()).await;
                return Ok(Go::Out);
            }
            event @ (Event::DirectOpened { .. } | Event::Direct(_) | Event::DirectClosed { .. }) => {
                return self.direct(event).await;
            }
            Event::Ended(Ending::LeaderLost) if self.common.killed.get().is_some() => {
                self.lost().await;
                return Ok(Go::Out);
            }
            Event::Ended(ending) => {
                return Err(format!("the group ended for {}: {ending:?} [{}]", self.account.name, ending.code()));
            }
            Event::Stale => {
                self.stale = Some(tokio::time::Instant::now());
                let text = "has heard nothing fresh of the leader for too long: sends and shows nothing";
                self.tell.tell("stale", text, Vec::new()).await;
            }
            Event::Current { .. } => self.stale = None,
            Event::Suspected { cid, why } => {
                let (name, code) = (self.name_of(cid), why.code());
                let text = format!("suspects that {name} has failed [{code}]");
                self.tell.tell("suspected", text, vec![("code", code.into())]).await;
            }
            Event::Hindered(failure) => return Err(format!("{}: {failure} [{}]", self.account.name, failure.code())),
            _ => {}
        }
        Ok(Go::On)
    }

    fn epoch(&mut self, epoch: Epoch) {
        if self.account.epochs.last() != Some(&epoch.0) {
            self.account.epochs.push(epoch.0);
        }
    }

    async fn heard(&mut self, message: &Message) -> Result<Go, String> {
        let from = self.name_of(message.from.claimed());
        let (said, signed, fields) = heard(&from, message);
        let worth = if signed { ", signed" } else { "" };
        self.tell.tell("heard", format!("hears {from} (epoch {}{worth}): \"{said}\"", message.epoch), fields).await;
        match &mut self.part {
            Part::Sends { file } if message.payload == ALL_ARE_HERE => {
                let Some(file) = file.take() else { return Ok(Go::On) };
                self.offer(file).await?;
            }
            Part::Sends { .. } if message.payload == ONE_HAS_LEFT => self.after_the_leave().await?,
            Part::Sends { .. } if message.payload == ONE_IS_OUT => self.say(LAST_SECRET.as_bytes()).await?,
            Part::Stays if M::GOSSIPS && message.payload == ONE_HAS_LEFT => {
                self.whisper().await?;
                self.ask_link().await?;
            }
            Part::Leaves if message.payload == ALL_HAVE_IT => self.leave().await?,
            Part::Leads if message.payload == ALL_IS_SENT => self.eject().await?,
            Part::Leads if message.payload == LAST_SECRET.as_bytes() => {
                // What it relays is on its way by then.
                sleep(RELAYED).await;
                let now = tokio::time::Instant::now();
                // Nobody else sets it.
                let _ = self.common.killed.set(now);
                self.tell.tell("killed", "is killed: no farewell, its sockets are gone", Vec::new()).await;
                return Ok(Go::Out);
            }
            _ => {}
        }
        Ok(Go::On)
    }

    /// The leader puts somebody out.
    async fn eject(&self) -> Result<(), String> {
        let cid = self.names.iter().find_map(|(cid, name)| (name == EJECTED).then_some(*cid));
        let cid = cid.ok_or_else(|| format!("{EJECTED} is not in the group"))?;
        let fields = vec![("name", EJECTED.into()), ("cid", cid.0.into())];
        self.tell.tell("ejects", format!("puts {EJECTED} out of the group"), fields).await;
        self.handle.call(move |machine, cx| machine.put_out(cx, cid)).await.map_err(text)?.map_err(text)
    }

    /// The leader was killed, and is taken for dead now.
    async fn lost(&mut self) {
        let Some(killed) = self.common.killed.get().copied() else { return };
        let after = |at: tokio::time::Instant| u64::try_from((at - killed).as_micros()).unwrap_or(u64::MAX);
        let lost = after(tokio::time::Instant::now());
        let said = format!("takes {} for dead, {:.1} s after it was killed", self.common.leader, lost as f64 / 1e6);
        self.tell.tell("lost", said, vec![("micros", lost.into())]).await;
        self.account.noticed = self.stale.map(|stale| Noticed { stale: Some(after(stale)), lost });
    }

    async fn leave(&self) -> Result<(), String> {
        self.tell.tell("leaves", "leaves the group", Vec::new()).await;
        self.handle.call(|machine, cx| machine.leave(cx)).await.map_err(text)?.map_err(text)
    }

    async fn say(&self, said: &'static [u8]) -> Result<(), String> {
        let shown = String::from_utf8_lossy(said);
        self.tell.tell("says", format!("says to the group: \"{shown}\""), vec![("text", (&*shown).into())]).await;
        for _ in 0..SAY_ATTEMPTS {
            let sent =
                self.handle.call(move |machine, cx| machine.send(cx, Port::Application, said)).await.map_err(text)?;
            match sent {
                Err(CommandError::Full | CommandError::Misuse(Misuse::NotCurrent)) => sleep(SAY_PAUSE).await,
                other => return other.map_err(text),
            }
        }
        Err(format!("{} could not say anything: no room, or no current key", self.account.name))
    }

    /// The leader says how the group stands.
    async fn announce(&self, said: &'static [u8]) -> Result<(), String> {
        // For so long sending stays with the old key, which the newest members never had: they would miss what is sent.
        sleep(self.common.settle.saturating_mul(2)).await;
        self.say(said).await
    }

    fn is_published(&self, part: policy::Part) -> bool {
        self.common.past.as_ref().is_some_and(|past| past.mix().editions.is_published(part))
    }

    async fn offer(&mut self, load: Load) -> Result<(), String> {
        let Load { name, size, bytes: source } = load;
        let plain = Name::new(&name).map_err(text)?;
        let manifest = self.objects.offer(plain, size, source).await;
        let manifest = manifest.map_err(|error| format!("{name} cannot be offered: {error}"))?;
        let digest = hex(manifest.digest.as_bytes());
        let said =
            format!("offers {name}, {} in {} chunks, sha-256 {}…", bytes(size), manifest.chunks(), short(&digest));
        let fields = vec![("file", (&*name).into()), ("size", size.into()), ("sha256", digest.clone().into())];
        self.tell.tell("offers", said, fields).await;
        self.confirmed.clear();
        self.offered.insert(manifest.object, name.clone());
        self.account.sent.push((name, size, digest));
        Ok(())
    }

    /// Somebody has gone and the key is new: the sender sends what that one must not read.
    async fn after_the_leave(&mut self) -> Result<(), String> {
        self.late = true;
        self.say(SECRET.as_bytes()).await?;
        self.offer(Load::text(self.common.late, late_text())).await
    }

    /// Everybody who is still here has the late file; and where there are private messages, that for this member has come.
    pub(super) async fn done(&mut self) -> Result<(), String> {
        let all = self.late && self.confirmed.len() + 1 == receivers().count();
        let missing = (M::GOSSIPS && self.account.whispers.is_empty()) || (M::LINKS && !self.alone.linked);
        if all && !missing { self.say(ALL_IS_SENT).await } else { Ok(()) }
    }

    /// Says something to the sender alone.
    async fn whisper(&self) -> Result<(), String> {
        let cid = self.names.iter().find_map(|(cid, name)| (name == SENDER).then_some(*cid));
        let cid = cid.ok_or_else(|| format!("{SENDER} is not in the group"))?;
        let fields = vec![("to", SENDER.into()), ("text", WHISPER.into())];
        self.tell.tell("gossips", format!("says to {SENDER} alone: \"{WHISPER}\""), fields).await;
        for _ in 0..SAY_ATTEMPTS {
            let sent = self.handle.call(move |machine, cx| machine.gossip(cx, &[cid], WHISPER.as_bytes())).await;
            match sent.map_err(text)? {
                Err(CommandError::Full | CommandError::Misuse(Misuse::NotCurrent)) => sleep(SAY_PAUSE).await,
                other => return other.map(drop).map_err(text),
            }
        }
        Err(format!("{} could not say anything: no room, or no current key", self.account.name))
    }

    /// Something was said to this one, and to nobody else.
    async fn heard_whisper(&mut self, message: &Message) -> Result<(), String> {
        let (from, said) = (self.name_of(message.from.claimed()), String::from_utf8_lossy(&message.payload));
        let fields = vec![("from", (&*from).into()), ("text", (&*said).into())];
        self.tell.tell("gossip", format!("hears {from} privately: \"{said}\""), fields).await;
        self.account.whispers.push(message.payload.to_vec());
        if matches!(self.part, Part::Sends { .. }) { self.done().await } else { Ok(()) }
    }

    async fn object(&mut self, report: Report) -> Result<Go, String> {
        match report {
            Report::Offered { from, manifest } => self.offered_by(from, manifest).await?,
            Report::Progress { object, have, size } => {
                if let Some(awaited) = self.awaited.get(&object) {
                    self.tell.progress(awaited.manifest.name.as_str(), have, size).await;
                }
            }
            Report::Stored { manifest } => self.stored(&manifest).await?,
            Report::Failed { object, why } => {
                let name =
                    self.awaited.remove(&object).map_or_else(String::new, |awaited| awaited.manifest.name.to_string());
                return Err(format!("{} did not get {name}: {why}", self.account.name));
            }
            Report::Corrupt { object } => {
                let name = self.awaited.get(&object).map_or("an object", |awaited| awaited.manifest.name.as_str());
                self.tell.tell("corrupt", format!("finds {name} corrupt, and fetches it anew"), Vec::new()).await;
            }
            Report::Received { object, member, outcome } => {
                let (who, name) = (self.name_of(member), self.offered.get(&object).cloned().unwrap_or_default());
                if outcome != Outcome::Verified {
                    return Err(format!("{who} did not take {name}: {outcome:?}"));
                }
                let fields = vec![("member", who.clone().into()), ("file", name.clone().into())];
                self.tell.tell("confirmed", format!("hears that {who} has verified {name}"), fields).await;
                // Not everybody who is here is known in every edition: so they are counted.
                self.confirmed.insert(member);
                match (self.late, self.confirmed.len()) {
                    (false, count) if count == receivers().count() => self.say(ALL_HAVE_IT).await?,
                    (true, _) => self.done().await?,
                    _ => {}
                }
            }
            Report::OfferEnded { object, why } => {
                let name = self.offered.get(&object).cloned().unwrap_or_default();
                return Err(format!("{name} is not on offer any more ({why:?}): did it change while it was sent?"));
            }
            Report::Stalled { object } => {
                let name = self.awaited.get(&object).map_or("an object", |awaited| awaited.manifest.name.as_str());
                self.tell.tell("stalled", format!("hears nothing more of {name}"), Vec::new()).await;
            }
            _ => {}
        }
        Ok(Go::On)
    }

    async fn offered_by(&mut self, from: MemberId, manifest: Manifest) -> Result<(), String> {
        let who = self.name_of(from);
        let (name, object) = (manifest.name.clone(), manifest.object);
        let place = match self.folder.place(name.as_str()) {
            Ok(place) => place,
            Err(error) => {
                self.tell.tell("declines", format!("declines what {who} offers: {error}"), Vec::new()).await;
                return self.objects.decline(object, from).await.map_err(text);
            }
        };
        let fields = vec![
            ("file", name.as_str().into()),
            ("from", who.clone().into()),
            ("size", manifest.size.into()),
            ("place", place.display().to_string().into()),
        ];
        self.tell.tell("accepts", format!("accepts {name} from {who}"), fields).await;
        let since = self.clock.now();
        self.awaited.insert(object, Awaited { manifest, since, place });
        let folder = self.folder.clone();
        let opened = self.objects.accept(object, from, move || folder.begin(name.as_str())).await;
        opened.map_err(|error| format!("{} cannot store what {who} sends: {error}", self.account.name))
    }

    async fn stored(&mut self, manifest: &Manifest) -> Result<(), String> {
        let Some(awaited) = self.awaited.remove(&manifest.object) else { return Ok(()) };
        let took = self.clock.now().since(awaited.since);
        let (name, size) = (manifest.name.as_str().to_owned(), manifest.size);
        // Not what was written, but what is there under its name now.
        let (suite, object, place) = (self.common.suite.clone(), manifest.object, awaited.place.clone());
        let found = tokio::task::spawn_blocking(move || {
            let mut file = Outgoing::open(&place).map_err(text)?;
            let size = file.size;
            digest_of(&*suite, object, size, &mut Reading(&mut file)).map_err(text).map(|digest| (digest, size))
        });
        let (digest, found_size) = found.await.map_err(text)??;
        let hash_ok = digest == manifest.digest && found_size == size;
        let rate = size as f64 / took.as_secs_f64().max(1e-6) / 1e6;
        let said = format!(
            "has {name} whole: {} in {:.3} s ({rate:.1} MB/s), sha-256 {}",
            bytes(size),
            took.as_secs_f64(),
            if hash_ok { "ok" } else { "WRONG" },
        );
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let fields = vec![
            ("file", (&*name).into()),
            ("size", size.into()),
            ("micros", micros.into()),
            ("hash_ok", hash_ok.into()),
            ("place", awaited.place.display().to_string().into()),
        ];
        self.tell.tell("stored", said, fields).await;
        let digest = hex(digest.as_bytes());
        self.account.arrivals.push(Arrival { file: name, size, micros, hash_ok, digest });
        Ok(())
    }
}

/// A [`ReadAt`] as a source of the library.
struct Reading<'a>(&'a mut Outgoing);

impl Source for Reading<'_> {
    fn read(&mut self, _: ObjectId, offset: u64, out: &mut [u8]) -> Result<(), SourceError> {
        self.0.read_at(offset, out).map_err(|_| SourceError)
    }
}

pub(crate) fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}
