//! Who may join, what the application has decided lately, and how many may be on their way.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::checks::Check;
use super::limits::Limits;
use crate::endpoint::{Instant, Link};
use crate::error::Reason;
use crate::identity::Name;

/// Who may join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody who is known: in Antigone those whom the third party vouches for, in Enclaves the leader's users.
    Registered,
    /// Those on the list, if they are known.
    List(BTreeSet<Name>),
    /// The application is asked by [`Event::AdmissionWanted`](crate::event::Event::AdmissionWanted).
    Ask,
}

/// What the application has decided lately, so that replays of a request do not ask it again (RA §4.1).
#[derive(Debug, Default)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(crate) struct Verdicts {
    of: BTreeMap<Name, Verdict>,
}

fingerprint!(Verdicts { of });

#[derive(Debug, Clone, Copy)]
struct Verdict {
    admit: bool,
    until: Instant,
}

fingerprint!(Verdict { admit, until });

impl Verdicts {
    /// What the application has decided about `name`, if not too long ago.
    pub(crate) fn about(&self, now: Instant, name: &Name) -> Option<bool> {
        self.of.get(name).filter(|verdict| now < verdict.until).map(|verdict| verdict.admit)
    }

    /// Keeps a decision for as long as a join may pend. There are no more of them than pending joins.
    pub(crate) fn remember(&mut self, limits: &Limits, now: Instant, name: Name, admit: bool) {
        self.of.retain(|_, verdict| now < verdict.until);
        if self.of.len() < limits.pending_joins {
            self.of.insert(name, Verdict { admit, until: now + limits.pending_life });
        }
    }

    /// Nothing is decided any more.
    pub(crate) fn clear(&mut self) {
        self.of.clear();
    }
}

/// What counts of a pending join against the budgets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'a, Id> {
    /// Which.
    pub(crate) id: Id,
    /// Where it came from; none once that link is closed.
    pub(crate) link: Option<Link>,
    /// Who asks.
    pub(crate) name: &'a Name,
    /// When it came.
    pub(crate) since: Instant,
}

/// Budgets of pending joins (RA §4.1 (4), D32): for this link and name, for the link, for the name, and in all. Where one is
/// full, the oldest that has had its protected time goes, else the newcomer. Gives those that go.
///
/// # Errors
/// [`Reason::Budget`].
pub(crate) fn make_room<'a, Id: Copy + Ord + 'a>(
    held: &[Held<'a, Id>],
    limits: &Limits,
    now: Instant,
    link: Link,
    name: &Name,
) -> Result<Vec<Id>, Reason> {
    let both = |held: &Held<'a, Id>| held.link == Some(link) && held.name == name;
    let of_link = |held: &Held<'a, Id>| held.link == Some(link);
    let of_name = |held: &Held<'a, Id>| held.name == name;
    let all = |_: &Held<'a, Id>| true;
    type Among<'f, 'a, Id> = &'f dyn Fn(&Held<'a, Id>) -> bool;
    let budgets: [(Among<'_, 'a, Id>, usize); 4] = [
        (&both, 1),
        (&of_link, limits.pending_joins_per_link),
        (&of_name, limits.pending_joins_per_name),
        (&all, limits.pending_joins),
    ];
    let guarded = limits.checks.on(Check::PendingGuard);
    let mut replaced = Vec::new();
    for (counts, limit) in budgets {
        let among = || held.iter().filter(|held| counts(held) && !replaced.contains(&held.id));
        if among().count() >= limit && limits.checks.on(Check::PendingBudget) {
            let oldest = among().min_by_key(|held| (held.since, held.id));
            match oldest.filter(|held| !guarded || now.since(held.since) >= limits.pending_guard) {
                Some(held) => replaced.push(held.id),
                None => return Err(Reason::Budget),
            }
        }
    }
    Ok(replaced)
}
