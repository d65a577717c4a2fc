//! Reasons, as the user sees them: each line that tells one carries its code, and messages that cannot be read are told without
//! letting strangers fill the screen.

use std::collections::BTreeMap;
use std::fmt::Display;

use sodality::error::Reason;
use sodality::event::{Claims, Event};
use sodality::explain::{Class, Explained};

use super::{Go, Room};
use crate::codes;
use crate::exit::Failed;
use crate::timeline::Fields;
use crate::verbs::role::Role;

/// How often each reason was met. It is told at the first time, the tenth, the hundredth and so on: so a flood of any length
/// costs a few lines (R46).
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Reason, u64>);

impl Refusals {
    /// Counts one. How many there have been, if that is told.
    fn count(&mut self, why: Reason, claims: Option<Claims>) -> Option<u64> {
        // What strangers and networks do all day is in the number that `/status` shows.
        if claims.is_none() && !matches!(why.class(), Class::Fault | Class::Own) {
            return None;
        }
        let count = self.0.entry(why).or_default();
        *count = count.saturating_add(1);
        is_power_of_ten(*count).then_some(*count)
    }
}

fn is_power_of_ten(mut count: u64) -> bool {
    while count >= 10 && count.is_multiple_of(10) {
        count /= 10;
    }
    count == 1
}

impl<M: Role + 'static> Room<M> {
    /// What happened in the group: told with the code of its reason.
    pub(super) async fn coded(&mut self, event: Event) -> Result<Go, Failed> {
        self.code = codes::of_event(&event);
        if let Event::Rejected { why, claims, .. } = &event {
            self.refused(*why, *claims).await;
        }
        let go = self.event(event).await;
        self.code = None;
        go
    }

    /// Tells that a command did not do what it should, for this reason.
    pub(super) async fn wrong_by(&mut self, what: &str, error: &(impl Explained + Display)) {
        self.code = Some(error.code().to_owned());
        self.wrong(format!("{what}: {error}")).await;
        self.code = None;
    }

    async fn refused(&mut self, why: Reason, claims: Option<Claims>) {
        let Some(count) = self.refusals.count(why, claims) else { return };
        let name = claims.map(|claims| self.name_of(claims.sender));
        let (kind, text, fields) = line(why, claims.zip(name), count);
        self.say(kind, text, fields).await;
    }
}

/// What is told of a refusal, the `count`-th of its reason.
fn line(why: Reason, claims: Option<(Claims, String)>, count: u64) -> (&'static str, String, Fields) {
    let (class, happened) = (why.class(), why.explanation().happened);
    let mut fields: Fields = vec![("class", class.name().into()), ("count", count.into()), ("why", happened.into())];
    let (kind, what) = match claims {
        None => ("refuses", "a frame".to_owned()),
        Some((claims, name)) => {
            // Nothing of it is proven.
            fields.push(("claimed_from", (&*name).into()));
            fields.push(("claimed_epoch", claims.epoch.0.into()));
            ("unreadable", format!("a message that claims to be of {name}, epoch {}", claims.epoch))
        }
    };
    let judged = match class {
        Class::Expected => "this is to be expected",
        Class::Fault => "A FAULT OR AN ATTACK",
        Class::Own => "this side is at fault",
        _ => "the network, or strangers",
    };
    let times = if count > 1 { format!(" ({count} times now)") } else { String::new() };
    (kind, format!("cannot take {what}{times}: {judged}. {happened}"), fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sodality::identity::{Epoch, MemberId};

    #[test]
    fn a_flood_costs_a_few_lines() {
        let mut refusals = Refusals::default();
        let claims = Some(Claims { sender: MemberId(3), epoch: Epoch(7) });
        let told = (0..12_345).filter_map(|_| refusals.count(Reason::Forged, claims)).collect::<Vec<_>>();
        assert_eq!(told, [1, 10, 100, 1_000, 10_000]);
        assert_eq!(refusals.count(Reason::BeforeJoin, claims), Some(1), "each reason is counted by itself");
        assert_eq!(refusals.count(Reason::Malformed, None), None, "noise is only counted by the machine");
    }

    #[test]
    fn what_is_expected_reads_otherwise_than_a_fault() {
        let claims = Claims { sender: MemberId(3), epoch: Epoch(7) };
        let (kind, text, fields) = line(Reason::BeforeJoin, Some((claims, "ada".into())), 1);
        assert_eq!(kind, "unreadable");
        assert!(text.starts_with("cannot take a message that claims to be of ada, epoch 7: this is to be expected."));
        assert_eq!(
            fields.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["class", "count", "why", "claimed_from", "claimed_epoch"]
        );
        let (kind, text, _) = line(Reason::Forged, None, 100);
        assert_eq!(kind, "refuses");
        assert!(text.starts_with("cannot take a frame (100 times now): A FAULT OR AN ATTACK."), "{text}");
    }
}
