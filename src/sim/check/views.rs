//! Views agree, and nobody goes without a cause.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::Checker;
use super::session::{Session, Sessions, ends, over};
use crate::antigone::Member;
use crate::endpoint::Instant;
use crate::event::{Cause, Event};
use crate::identity::{Instance, MemberId, Name, Version};
use crate::sim::rng::Mixer;
use crate::sim::step::{Input, Observed};
use crate::sim::world::NodeId;

/// S5, R27: whoever shows the same version of the view of a group shows the same members.
///
/// A node's view is what its `MemberAdded` and `MemberRemoved` events add up to at the end of a transition, and its
/// version the highest that they name: a machine shows a version wholly within one transition or not at all.
#[derive(Clone, Debug, Default)]
pub struct ViewsAgree {
    sessions: Sessions,
    views: BTreeMap<NodeId, View>,
    known: BTreeMap<(Instance, Version), (NodeId, Sum)>,
}

/// A set of members: how many, and the sum of their digests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Sum {
    members: u64,
    digests: u128,
}

#[derive(Clone, Debug, Default)]
struct View {
    version: Version,
    members: BTreeMap<MemberId, Name>,
    sum: Sum,
}

fn digest(cid: MemberId, name: &Name) -> u128 {
    let mut mixer = Mixer::new();
    mixer.number(cid.0);
    mixer.text(name.as_str().as_bytes());
    mixer.digest()
}

impl View {
    fn add(&mut self, cid: MemberId, name: &Name) -> Result<(), String> {
        if self.members.insert(cid, name.clone()).is_some() {
            return Err(format!("member {cid} was added twice"));
        }
        self.sum.members += 1;
        self.sum.digests = self.sum.digests.wrapping_add(digest(cid, name));
        Ok(())
    }

    fn remove(&mut self, cid: MemberId, name: &Name) -> Result<(), String> {
        match self.members.remove(&cid) {
            Some(known) if known == *name => {
                self.sum.members -= 1;
                self.sum.digests = self.sum.digests.wrapping_sub(digest(cid, name));
                Ok(())
            }
            Some(known) => Err(format!("member {cid} was removed as {name:?} but added as {known:?}")),
            None => Err(format!("member {cid} was removed but is not in the view")),
        }
    }
}

impl Checker for ViewsAgree {
    fn name(&self) -> &'static str {
        "ViewsAgree"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        self.sessions.step(step);
        if over(step) {
            self.views.remove(&step.node);
        }
        let mut changed = false;
        for event in step.events {
            changed |= self.sessions.event(step.node, event);
            if ends(event) {
                self.views.remove(&step.node);
            }
            let (view, version) = match event {
                Event::MemberAdded { view, .. } | Event::MemberRemoved { view, .. } => {
                    (self.views.entry(step.node).or_default(), view)
                }
                _ => continue,
            };
            match event {
                Event::MemberAdded { cid, name, .. } => view.add(*cid, name)?,
                Event::MemberRemoved { cid, name, .. } => view.remove(*cid, name)?,
                _ => {}
            }
            view.version = view.version.max(*version);
            changed = true;
        }
        match (self.sessions.of(step.node), self.views.get(&step.node)) {
            (Some(session), Some(view)) if changed => {
                let (who, sum) = self.known.entry((session.group, view.version)).or_insert((step.node, view.sum));
                if *sum == view.sum {
                    return Ok(());
                }
                Err(format!(
                    "view {} has {} members here and {} at {who:?}, or others: {:?}",
                    view.version, view.sum.members, sum.members, view.members
                ))
            }
            _ => Ok(()),
        }
    }
}

/// S6: no removal without its cause.
///
/// * Everybody names the same cause and the same asker as the leader, and not before it.
/// * `Leave`: the member's application gave a command whose words begin with `leave` in that session; or, if the member
///   never came to say `Joined`, some application that was in no group did.
/// * `Eject`: some application gave the command `eject N` before, where N is the member number, or just `eject`; if it is
///   said that a member asked for it, that member's application was one of those.
/// * `Takeover`: a member of the same name was added too, under a higher number.
/// * `Failure`: if a limit is set, the leader was handed nothing by that member's node for so long.
#[derive(Clone, Debug, Default)]
pub struct RemovalHasCause {
    silence: Option<Duration>,
    sessions: Sessions,
    homes: BTreeMap<Session, NodeId>,
    names: BTreeMap<(Instance, Name), MemberId>,
    removed: BTreeMap<(Instance, MemberId), (Cause, MemberId)>,
    left: BTreeSet<Session>,
    left_early: bool,
    ejected: BTreeSet<MemberId>,
    ejects: bool,
    askers: BTreeSet<Session>,
    heard: BTreeMap<(NodeId, NodeId), Instant>,
}

impl RemovalHasCause {
    /// Without a limit for silence.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one: a member may be taken for dead only after so long a silence. For networks that neither duplicate nor
    /// hold back: a late copy looks like a sign of life here, and to the machine it is none.
    #[must_use]
    pub fn with_silence(silence: Duration) -> Self {
        Self { silence: Some(silence), ..Self::default() }
    }

    fn judge(
        &self,
        at: Instant,
        leader: NodeId,
        session: Session,
        name: &Name,
        (cause, by): (Cause, MemberId),
    ) -> Result<(), String> {
        let cid = session.cid;
        match cause {
            Cause::Leave if self.left.contains(&session) => Ok(()),
            Cause::Leave if self.left_early && !self.homes.contains_key(&session) => Ok(()),
            Cause::Leave => Err(format!("member {cid} did not leave")),
            Cause::Eject if !self.ejects && !self.ejected.contains(&cid) => {
                Err(format!("nobody asked to eject member {cid}"))
            }
            Cause::Eject if by != MemberId::LEADER && !self.askers.contains(&Session { cid: by, ..session }) => {
                Err(format!("member {by} did not ask to eject member {cid}"))
            }
            Cause::Takeover if self.names.get(&(session.group, name.clone())).is_none_or(|newest| *newest <= cid) => {
                Err(format!("nobody took over from member {cid}"))
            }
            Cause::Failure => {
                let home = self.homes.get(&session);
                let heard = home.and_then(|home| self.heard.get(&(leader, *home))).map(|last| at.since(*last));
                match (self.silence, heard) {
                    (Some(limit), Some(silent)) if silent < limit => {
                        Err(format!("member {cid} was silent for {silent:?} only"))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Checker for RemovalHasCause {
    fn name(&self) -> &'static str {
        "RemovalHasCause"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        match step.input {
            Input::Command(words) if words.starts_with("leave") => match self.sessions.of(step.node) {
                Some(session) => drop(self.left.insert(session)),
                None => self.left_early = true,
            },
            Input::Command(words) => {
                let ejected = words.strip_prefix("eject").map(|cid| cid.trim().parse());
                if ejected.is_some() {
                    self.askers.extend(self.sessions.of(step.node));
                }
                match ejected {
                    Some(Ok(cid)) => drop(self.ejected.insert(MemberId(cid))),
                    Some(Err(_)) => self.ejects = true,
                    None => {}
                }
            }
            Input::Frame(frame) if !frame.injected && self.silence.is_some() => {
                self.heard.insert((step.node, frame.from), step.at);
            }
            _ => {}
        }
        // An end of its own accord: by a policy below its floor, say.
        if step.machine::<Member>().is_some_and(|member| member.label() == "ending") {
            self.left.extend(self.sessions.of(step.node));
        }
        self.sessions.step(step);
        // Names first: a takeover removes and adds within one transition, in either order.
        let mut sessions = self.sessions.clone_of(step.node);
        for event in step.events {
            sessions.event(step.node, event);
            if let (Some(session), Event::MemberAdded { cid, name, .. }) = (sessions.of(step.node), event) {
                let newest = self.names.entry((session.group, name.clone())).or_insert(*cid);
                *newest = (*newest).max(*cid);
            }
        }
        for event in step.events {
            if self.sessions.event(step.node, event)
                && let Some(session) = self.sessions.of(step.node)
            {
                self.homes.insert(session, step.node);
            }
            let Event::MemberRemoved { cid, name, cause, by, .. } = event else { continue };
            let Some(own) = self.sessions.of(step.node) else { continue };
            let session = Session { group: own.group, cid: *cid };
            if own.cid == MemberId::LEADER {
                self.judge(step.at, step.node, session, name, (*cause, *by))?;
                self.removed.insert((own.group, *cid), (*cause, *by));
                continue;
            }
            match self.removed.get(&(own.group, *cid)) {
                None => return Err(format!("member {cid} is gone here, but not at the leader")),
                // A whole roster does not say why somebody is not on it.
                Some(_) if *cause == Cause::Missed => {}
                Some(known) if *known != (*cause, *by) => {
                    return Err(format!("member {cid} went by {cause:?} of {by}, at the leader by {known:?}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
