//! A participant at work: what its user types, and what happens in the group.

mod commands;
mod direct;
mod files;
mod gossip;
mod group;
mod multicast;
mod objects;
mod reasons;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::event::{Peer, Ticket};
use sodality::identity::{MemberId, Name};
use sodality::policy::{Mix, Part};
use sodality::transfer::ObjectId;
use sodality_transports::driver::Handle;
use sodality_transports::objects::{Objects, Report, Reports};
use sodality_transports::udp::multicast::Channel;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::input::Typed;
use super::over::Over;
use super::role::Role;
use super::system::Shown;
use crate::codes::with_code;
use crate::exit::Failed;
use crate::files::Folder;
use crate::timeline::{Fields, Teller};
use files::Awaited;
use reasons::Refusals;

/// How often, and after which pauses, something is said again that found no room or no current key.
const SAY_ATTEMPTS: u32 = 100;
const SAY_PAUSE: Duration = Duration::from_millis(20);
/// How long a leave may take when the program is interrupted, and the end of a group at its leader.
const FAREWELL: Duration = Duration::from_secs(3);
/// Pauses before another attempt to join: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Questions and files that are remembered at the same time; further ones are declined.
const MOST: usize = 1024;

/// Whom the driver cannot reach, and why.
pub(super) type Unreached = mpsc::Receiver<(Peer, Arc<str>)>;

/// How others are reached.
pub(super) struct Ways {
    /// Who is not.
    pub(super) notes: Unreached,
    /// The channel that all share, if there is one.
    pub(super) channel: Option<Channel>,
}

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
    /// Which parts are as published, if any.
    pub(super) mix: Option<Mix>,
    /// How members show who they are.
    pub(super) shown: Shown,
}

impl Setup {
    /// Whether this part is as published.
    fn is_published(&self, part: Part) -> bool {
        self.mix.is_some_and(|mix| mix.editions.is_published(part))
    }
}

/// A participant and its user.
pub(super) struct Room<M> {
    setup: Setup,
    tell: Teller,
    handle: Handle<M>,
    objects: Objects,
    ways: Ways,
    names: BTreeMap<MemberId, String>,
    awaited: BTreeMap<ObjectId, Awaited>,
    offered: BTreeMap<ObjectId, String>,
    /// Questions to the user, by number.
    asked: BTreeMap<u64, (Ticket, Question)>,
    questions: u64,
    /// To whom own private messages go of which it is not known what became of them, by number.
    whispers: BTreeMap<u64, Vec<String>>,
    /// Who is at the other end of a direct link.
    directs: BTreeMap<MemberId, String>,
    /// The group is over, and this one has stayed for them.
    after: Option<After>,
    /// How long the contents are of changes of objects that are not answered, by number.
    puts: BTreeMap<u64, u64>,
    /// Whom the leader was asked to eject.
    requested: BTreeMap<MemberId, String>,
    joined: bool,
    leaving: bool,
    /// When it ends, whatever is still to come.
    deadline: Option<Instant>,
    /// Since when the key is in use.
    keyed: Option<Instant>,
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

/// What the user is asked, about whom.
enum Question {
    Admission(String),
    Ejection(String),
}

/// What comes when the last direct link is over: a failure, if the group did not end well.
struct After(Option<Over>);

/// Whether it goes on.
enum Go {
    On,
    Out,
}

impl<M: Role + 'static> Room<M> {
    pub(super) fn new(setup: Setup, tell: Teller, handle: Handle<M>, objects: Objects, ways: Ways) -> Self {
        Self {
            setup,
            tell,
            handle,
            objects,
            ways,
            names: BTreeMap::new(),
            awaited: BTreeMap::new(),
            offered: BTreeMap::new(),
            asked: BTreeMap::new(),
            questions: 0,
            whispers: BTreeMap::new(),
            directs: BTreeMap::new(),
            after: None,
            puts: BTreeMap::new(),
            requested: BTreeMap::new(),
            joined: false,
            leaving: false,
            deadline: None,
            keyed: None,
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
        let mut interrupted = false;
        let result = loop {
            let (again, deadline) = (self.again, self.deadline);
            let go = tokio::select! {
                () = &mut stop, if !interrupted => {
                    interrupted = true;
                    self.deadline = Some(Instant::now() + FAREWELL);
                    if self.again.is_some() { Ok(Go::Out) } else { self.leave().await }
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.late().await,
                report = reports.recv() => match report {
                    None => Err(Failed::Group("the driver ended; please report it".into())),
                    Some(Report::Group(event)) => self.coded(event).await,
                    Some(report) => self.object(report).await,
                },
                Some((peer, why)) = self.ways.notes.recv() => {
                    self.unreachable(&peer, &why).await;
                    Ok(Go::On)
                }
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => self.join_again().await,
                // What is typed before the group is there is for the group.
                Some(typed) = lines.recv(), if self.joined || self.again.is_some() || self.after.is_some() => self.typed(typed).await,
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
            Peer::Leader(name) | Peer::Member(name) => name.to_string(),
            _ => "a peer".to_owned(),
        };
        let text = format!("cannot reach {whom}: {why}; tries again");
        if self.unreached.as_deref() != Some(why) {
            self.unreached = Some(why.to_owned());
            self.say("unreachable", text, vec![("peer", whom.into()), ("why", why.into())]).await;
        }
    }

    /// The time for a farewell is over.
    async fn late(&mut self) -> Result<Go, Failed> {
        if M::LEADS {
            let text = "ends; some members have not confirmed the end, and will notice by silence";
            self.say("ended", text, vec![("ending", "Unconfirmed".into())]).await;
        } else {
            self.say("left", "has left; the leader did not answer", vec![("confirmed", false.into())]).await;
        }
        Ok(Go::Out)
    }

    async fn leave(&mut self) -> Result<Go, Failed> {
        if self.leaving {
            return Ok(Go::On);
        }
        if !self.directs.is_empty() {
            self.call(|machine, cx| machine.end_links(cx)).await?;
        }
        if self.after.is_some() {
            return Ok(Go::Out);
        }
        match self.call(|machine, cx| machine.leave(cx)).await? {
            Ok(()) => {
                self.leaving = true;
                if M::LEADS {
                    self.deadline.get_or_insert(Instant::now() + FAREWELL);
                    let text = if self.setup.is_published(Part::Leave) {
                        "closes the group; as published no message says so: members notice by silence"
                    } else {
                        "closes the group, and waits for the members to confirm it"
                    };
                    self.say("closes", text, Vec::new()).await;
                } else {
                    if self.setup.shown.version().is_some() {
                        // As published nothing tells a member that its leader is gone.
                        self.deadline.get_or_insert(Instant::now() + FAREWELL);
                    }
                    self.say("leaves", "leaves the group", Vec::new()).await;
                }
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
        let leader = self.setup.leader.as_str();
        self.say("asks", format!("asks {leader} again"), vec![("leader", leader.into())]).await;
        match self.call(|machine, cx| machine.join(cx)).await? {
            Ok(()) => Ok(Go::On),
            Err(error) => self.over(Over { failed: Failed::Group(error.to_string()), again: true }).await,
        }
    }

    /// The group, or the attempt to join it, is over.
    async fn over(&mut self, over: Over) -> Result<Go, Failed> {
        self.joined = false;
        self.stale = false;
        self.keyed = None;
        self.names.clear();
        self.requested.clear();
        self.whispers.clear();
        self.puts.clear();
        if self.leaving {
            return Ok(Go::Out);
        }
        if self.may_stay(Some(&over)) {
            return Ok(self.stay(Some(over)).await);
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
}
