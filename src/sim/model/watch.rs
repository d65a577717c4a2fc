//! What a model writes down as it happens, and what it objects to.

use alloc::format;
use core::sync::atomic::Ordering;

use bytes::Bytes;

use super::Model;
use crate::antigone::Member;
use crate::event::{Cause, Event};
use crate::identity::Epoch;
use crate::sim::star;

impl Model {
    pub(super) fn note_leader(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::MemberAdded { cid, name, .. } => {
                    let times = self.past.added.entry(name.clone()).or_default();
                    *times += 1;
                    if *times > self.past.joins.get(name).copied().unwrap_or_default() && name.as_str() != star::LEADER
                    {
                        self.wrong(format!("{name:?} was admitted more often than it asked (S3)"));
                    }
                    if self.past.cids.insert(*cid, name.clone()).is_some() {
                        self.wrong(format!("number {cid} was given twice (I-1)"));
                    }
                }
                Event::MemberRemoved { cid, name, cause, .. } => {
                    let caused = match cause {
                        Cause::Leave => self.past.left.contains(name),
                        Cause::Takeover => self.past.joins.get(name).is_some_and(|joins| *joins > 1),
                        _ => false,
                    };
                    if !caused {
                        self.wrong(format!("{name:?} ({cid}) was removed by {cause:?}, for no cause (S6)"));
                    }
                }
                Event::Data(message) => self.note_text(None, &message.payload),
                _ => {}
            }
        }
        let facts = (self.leader.view().version(), self.leader.view().digest());
        self.past.facts.entry(self.leader.epoch()).or_insert(facts);
    }

    fn note_text(&mut self, who: Option<usize>, text: &Bytes) {
        if !self.past.delivered.insert((who, text.clone())) {
            self.wrong(format!("{text:?} was delivered twice (S9)"));
        }
        self.setting.delivered.fetch_max(self.past.delivered.len(), Ordering::Relaxed);
    }

    pub(super) fn note_member(&mut self, n: usize, event: &Event) {
        match event {
            Event::Installed { epoch, .. } => {
                let before = self.past.installed.get(n).copied().unwrap_or_default();
                if *epoch <= before {
                    self.wrong(format!("{} installed epoch {epoch} after {before} (S5, A11)", Self::name(n)));
                }
                if let Some(installed) = self.past.installed.get_mut(n) {
                    *installed = *epoch;
                }
                self.setting.epoch.fetch_max(usize::try_from(epoch.0).unwrap_or(usize::MAX), Ordering::Relaxed);
                let here = self.members.get(n).and_then(Member::view).map(|view| (view.version(), view.digest()));
                if self.past.facts.get(epoch).copied() != here {
                    self.wrong(format!("{} has another view at epoch {epoch} than the leader (S5)", Self::name(n)));
                }
            }
            Event::Behind { epoch, .. } => {
                if let Some(shown) = self.past.shown.get_mut(n) {
                    *shown = (*shown).max(*epoch);
                }
            }
            Event::Joined { cid, .. } => {
                if self.past.cids.get(cid).is_none_or(|name| name.as_str() != Self::name(n)) {
                    self.wrong(format!("{} joined as {cid}, which the leader never gave it (S3)", Self::name(n)));
                }
                let joined = self.members.iter().filter(|member| member.is_current()).count();
                self.setting.joined.fetch_max(joined, Ordering::Relaxed);
            }
            Event::Ended(_) | Event::JoinFailed(_) | Event::JoinRefused(_) => {
                if let (Some(installed), Some(shown)) = (self.past.installed.get_mut(n), self.past.shown.get_mut(n)) {
                    (*installed, *shown) = (Epoch(0), Epoch(0));
                }
            }
            Event::Data(message) => self.note_text(Some(n), &message.payload),
            _ => {}
        }
    }

    pub(super) fn judge_member(&mut self, n: usize) {
        let shown = self.past.shown.get(n).copied().unwrap_or_default();
        let uses_old = self.members.get(n).is_some_and(|member| member.is_current() && member.epoch() < shown);
        if uses_old {
            self.wrong(format!("{} was shown epoch {shown} and goes on with an older one (RA §4.3)", Self::name(n)));
        }
    }
}
