//! What the policy makes a leader do by itself: keys that are old or used enough change (RA §4.4), and a policy may be
//! followed by another while the group runs.
//!
//! A policy to come is told to each member by a record, and rules from the epoch whose facts name it. It comes with the
//! next epoch, which `grace` may delay; until then it may be replaced by a newer one.

use bytes::{Bytes, BytesMut};

use super::Leader;
use super::peer::Peer;
use crate::endpoint::{Cx, Instant};
use crate::error::{CommandError, Misuse};
use crate::event::{Cause, Event};
use crate::group::station::Ruling;
use crate::identity::Version;
use crate::policy::{OnSilence, Policy};
use crate::wire::Field;
use crate::wire::antigone::{LeaderBody, LeaderRecord, PolicyChange};
use crate::wire::field::Blob;

impl Leader {
    /// Changes the policy of the running group. It rules from the next epoch on, which comes as soon as `grace` allows;
    /// [`Event::PolicyChanged`] tells. Members whose floor it breaks leave.
    ///
    /// # Errors
    /// [`Misuse::Policy`] if it contradicts itself, [`Misuse::AsPublished`] if it names parts as published,
    /// [`Misuse::SharedObjects`] if it names some,
    /// [`Misuse::FixedPolicy`] if it differs in what is fixed while a group
    /// runs (views, signed origin, the longest frame), [`Misuse::Closed`],
    /// [`CommandError::Full`], [`Failure::Suite`](crate::error::Failure::Suite).
    pub fn change_policy(&mut self, cx: &mut Cx<'_>, policy: Policy) -> Result<(), CommandError> {
        let now = self.command(cx)?;
        if policy.check().is_err() {
            return Err(Misuse::Policy.into());
        }
        if policy.mix.is_some() {
            return Err(Misuse::AsPublished.into());
        }
        if !policy.objects.is_empty() {
            return Err(Misuse::SharedObjects.into());
        }
        if !self.station.can_follow(&policy) {
            return Err(Misuse::FixedPolicy.into());
        }
        // Never a version that was told before: a member takes each once.
        let newest = self.next_policy.as_ref().map_or(self.station.policy_version, |next| next.version);
        let version = newest.next().ok_or(Misuse::FixedPolicy)?;
        self.next_policy = Some(Ruling::new(&*self.me.suite, policy, version)?.into());
        for (cid, peer) in &self.peers {
            if peer.owes_policy(version) {
                self.work.insert(*cid);
            }
        }
        self.plan(now, Cause::Policy);
        Ok(())
    }

    /// The newest policy, in force or to come: what members are told of.
    pub(super) fn newest_policy(&self) -> Version {
        self.next_policy.as_ref().map_or(self.station.policy_version, |next| next.version)
    }

    /// The policy record for a member, if it has not been told of the newest.
    pub(super) fn policy_record(&self, peer: &Peer) -> Option<(Version, Bytes)> {
        let version = self.newest_policy();
        if peer.told_policy >= version {
            return None;
        }
        let policy = self.next_policy.as_ref().map_or(&self.station.policy, |next| &next.policy).encode();
        let record = LeaderRecord::Policy(PolicyChange { version, policy: Blob(&policy) });
        let mut body = BytesMut::with_capacity(policy.len() + 16);
        LeaderBody::Record(record).put(&mut body);
        Some((version, body.freeze()))
    }

    /// The policy to come rules now, with the epoch that names it.
    pub(super) fn rule(&mut self, now: Instant) {
        let Some(next) = self.next_policy.take() else { return };
        let rto = self.me.limits.retry.first;
        let silence = |policy: &Policy| policy.detection.map(|detection| detection.silence(rto)).unwrap_or_default();
        // Members poll at the old pace until they have installed: nobody is silent before the longer of both is over.
        let patience = silence(&self.station.policy).max(silence(&next.policy));
        if self.station.policy.detection != next.policy.detection {
            self.watched_from = now + patience;
        }
        let (version, reported) = (next.version, self.station.policy.on_silence);
        self.station.rule(*next);
        if reported == OnSilence::Report && self.station.policy.on_silence == OnSilence::Remove {
            self.condemn_suspected(now);
        }
        self.out.event(Event::PolicyChanged { version });
    }
}
