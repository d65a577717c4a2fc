//! What the policy makes a leader do by itself: keys that are old or used enough change, and a policy may be followed by
//! another while the group runs. It is told to each member, and rules from the epoch whose facts name it.

use super::Leader;
use crate::endpoint::Cx;
use crate::error::{CommandError, Misuse};
use crate::event::{Cause, Event};
use crate::group::station::Ruling;
use crate::identity::Version;
use crate::policy::Policy;

impl Leader {
    /// Changes the policy of the running group. It rules from the next epoch on, which comes as soon as `grace` allows;
    /// [`Event::PolicyChanged`] tells. Members whose floor it breaks leave.
    ///
    /// # Errors
    /// [`Misuse::Policy`] if it contradicts itself, [`Misuse::AsPublished`] if it names parts as published,
    /// [`Misuse::FixedPolicy`] if it differs in what is fixed while a group runs (views, signed origin, the longest frame),
    /// [`Misuse::Closed`], [`CommandError::Full`], [`Failure::Suite`](crate::error::Failure::Suite).
    pub fn change_policy(&mut self, cx: &mut Cx<'_>, policy: Policy) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        let refusal = match () {
            () if policy.check().is_err() => Some(Misuse::Policy),
            () if policy.mix.is_some() => Some(Misuse::AsPublished),
            () if !self.station.can_follow(&policy) => Some(Misuse::FixedPolicy),
            () => None,
        };
        if let Some(refusal) = refusal {
            return Err(refusal.into());
        }
        // Never a version that was told before: a member takes each once.
        let version = self.newest_policy().next().ok_or(Misuse::FixedPolicy)?;
        self.next_policy = Some(Ruling::new(&*self.me.suite, policy, version)?.into());
        self.work.extend(self.peers.keys().copied());
        self.plan(now, Cause::Policy);
        Ok(())
    }

    /// The newest policy, in force or to come: what members are told of.
    pub(super) fn newest_policy(&self) -> Version {
        self.next_policy.as_ref().map_or(self.station.policy_version, |next| next.version)
    }

    /// The policy to come rules now, with the epoch that names it.
    pub(super) fn rule(&mut self) {
        let Some(next) = self.next_policy.take() else { return };
        let version = next.version;
        self.station.rule(*next);
        self.objects.obey(&self.station.policy.objects, self.peers.values_mut().map(|peer| &mut peer.seat));
        self.out.event(Event::PolicyChanged { version });
    }
}
