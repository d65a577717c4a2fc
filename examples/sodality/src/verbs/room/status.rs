//! How the group stands: what `/status` shows.

use std::collections::BTreeMap;
use std::time::Duration;

use sodality::endpoint::Cx;
use sodality::error::Reason;
use sodality::identity::{Epoch, Instance, MemberId};
use sodality::policy::Policy;

use super::Room;
use crate::exit::Failed;
use crate::timeline::millis;
use crate::verbs::role::{Freshness, Role, Watched};

/// What the machine knows.
struct Standing {
    group: Option<Instance>,
    policy: Option<Policy>,
    epoch: Epoch,
    view: u64,
    members: u64,
    current: bool,
    freshness: Freshness,
    refused: BTreeMap<Reason, u64>,
    watched: Vec<(MemberId, Watched)>,
}

impl Standing {
    fn of<M: Role>(machine: &M, cx: &Cx<'_>) -> Self {
        let view = machine.view();
        Self {
            group: machine.group(),
            policy: machine.policy().cloned(),
            epoch: machine.epoch(),
            view: view.map_or(0, |view| view.version().0),
            members: machine.known().len() as u64,
            current: machine.is_current(),
            freshness: machine.freshness(cx.now),
            refused: machine.stats().rejected.clone(),
            watched: machine.watched(cx.now),
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

impl<M: Role + 'static> Room<M> {
    pub(super) async fn status(&mut self) -> Result<(), Failed> {
        let stands = self.call(|machine, cx| Standing::of(machine, cx)).await?;
        let Standing { group, policy, epoch, view, members, current, freshness, refused, watched } = stands;
        let current = current && !self.stale;
        let policy = policy.as_ref().map(|policy| self.setup.shown.policy_line(policy)).unwrap_or_default();
        let (fresh, left) = match freshness {
            Freshness::Own => ("the key is the own one".to_owned(), None),
            _ if !current => ("NO fresh evidence that the key is the leader's".to_owned(), Some(Duration::ZERO)),
            Freshness::For(left) => (
                format!("fresh evidence that the key is the leader's, good for {} without more", seconds(left)),
                Some(left),
            ),
            Freshness::Unfounded => (
                "the leader was heard lately; as published nothing shows when what was heard was made".to_owned(),
                None,
            ),
            Freshness::Unwatched => ("the policy demands no evidence that the key is the leader's".to_owned(), None),
        };
        let age = self.keyed.map_or(Duration::ZERO, |since| since.elapsed());
        let group = group.map_or_else(String::new, |group| group.to_string());
        let driver = self.handle.stats();
        let links = driver.links_opened.saturating_sub(driver.links_closed);
        let total: u64 = refused.values().sum();
        let text = format!(
            "group {group}, epoch {epoch}, view {view}, {members} in the group; {policy}; key {} old; {fresh}; {links} \
             links; {total} frames refused",
            seconds(age)
        );
        let mut fields = vec![
            ("group", group.into()),
            ("epoch", epoch.0.into()),
            ("view", view.into()),
            ("members", members.into()),
            ("policy", policy.into()),
            ("key_age_ms", millis(age).into()),
            ("current", current.into()),
            ("links", links.into()),
            ("refused", total.into()),
        ];
        if let Some(left) = left {
            fields.push(("evidence_ms", millis(left).into()));
        }
        self.say("status", text, fields).await;
        for (why, count) in refused {
            let text = format!("  refused {count}: {why}");
            self.say("refused", text, vec![("why", why.to_string().into()), ("count", count.into())]).await;
        }
        for (cid, Watched { epoch, silent }) in watched {
            let name = self.name_of(cid);
            let has = if epoch == Epoch(0) { "no key yet".to_owned() } else { format!("the key of epoch {epoch}") };
            let text = format!("  {name} (member {cid}) has {has}; last sign of life {} ago", seconds(silent));
            let fields = vec![
                ("name", name.into()),
                ("cid", cid.0.into()),
                ("epoch", epoch.0.into()),
                ("silent_ms", millis(silent).into()),
            ];
            self.say("member", text, fields).await;
        }
        Ok(())
    }
}
