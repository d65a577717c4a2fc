//! Who is in a group, and from which epoch on, by what its leader says.

use alloc::collections::{BTreeMap, BTreeSet};

use super::session::Session;
use crate::antigone::Leader;
use crate::event::{Cause, Event};
use crate::identity::{Epoch, Instance, MemberId, Name};
use crate::sim::step::Observed;

/// What leaders have said of their groups: instances that are over stay.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    /// The newest epoch of each instance.
    pub(super) current: BTreeMap<Instance, Epoch>,
    /// Who is in the view now.
    present: BTreeMap<Instance, BTreeSet<MemberId>>,
    /// Who was in the view at some time while the epoch was the newest.
    during: BTreeMap<(Instance, Epoch), BTreeSet<MemberId>>,
    /// The first epoch that a member may hold: the one that its admission made, or, where the policy does not rekey on
    /// join, the one that was the newest.
    pub(super) first: BTreeMap<Session, Epoch>,
    /// The names of all members that ever were.
    pub(super) names: BTreeMap<Session, Name>,
}

impl Roster {
    /// Takes in one transition, if it is one of a leader.
    pub(super) fn step(&mut self, step: &Observed<'_>) {
        let Some(leader) = step.machine::<Leader>() else { return };
        let group = leader.group();
        let made = step.events.iter().find_map(|event| match event {
            Event::Joined { epoch, .. } | Event::Installed { epoch, .. } => Some(*epoch),
            _ => None,
        });
        if let Some(epoch) = made {
            self.current.insert(group, epoch);
        }
        let current = self.current.get(&group).copied().unwrap_or_default();
        let rekeys = leader.policy().rekey_on.contains(Cause::Join);
        let present = self.present.entry(group).or_default();
        for event in step.events {
            match event {
                Event::MemberAdded { cid, name, .. } => {
                    let session = Session { group, cid: *cid };
                    let later = rekeys && made.is_none();
                    self.first.insert(session, if later { current.next().unwrap_or(current) } else { current });
                    self.names.insert(session, name.clone());
                    present.insert(*cid);
                }
                Event::MemberRemoved { cid, .. } => drop(present.remove(cid)),
                _ => {}
            }
        }
        if step
            .events
            .iter()
            .any(|event| matches!(event, Event::Joined { .. } | Event::Installed { .. } | Event::MemberAdded { .. }))
        {
            self.during.entry((group, current)).or_default().extend(present.iter().copied());
        }
    }

    /// Whether the member was in the view while this epoch was the newest.
    pub(super) fn was_in(&self, session: Session, epoch: Epoch) -> bool {
        self.during.get(&(session.group, epoch)).is_some_and(|members| members.contains(&session.cid))
    }

    /// Who may hold the key of this epoch: the members of that time, from their first epoch on.
    #[cfg(feature = "std")]
    pub(super) fn holders(&self, group: Instance, epoch: Epoch) -> impl Iterator<Item = Session> {
        let members = self.during.get(&(group, epoch)).into_iter().flatten();
        let sessions = members.map(move |cid| Session { group, cid: *cid });
        sessions.filter(move |session| self.first.get(session).is_some_and(|first| *first <= epoch))
    }
}
