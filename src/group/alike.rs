//! What machines of one kind say and do alike in every system, written once. Each has its own state and its own messages, and
//! fields of the same names; so these are macros, to be called inside an `impl`.

/// The rest of [`Endpoint`](crate::endpoint::Endpoint), which reads what the machine has made ready: events, deadline, counters.
macro_rules! outputs {
    () => {
        fn poll_event(&mut self) -> Option<$crate::event::Event> {
            self.out.pop_event()
        }

        fn poll_timeout(&self) -> $crate::endpoint::Wake {
            self.next_wake()
        }

        fn stats(&self) -> &$crate::event::Stats {
            &self.out.stats
        }
    };
}

/// The links of a member that has one at a time to its leader: any will do, and without one it says so.
macro_rules! one_link_to_the_leader {
    () => {
        fn handle_link_opened(
            &mut self,
            cx: &mut $crate::endpoint::Cx<'_>,
            link: $crate::endpoint::Link,
            info: $crate::endpoint::LinkInfo,
        ) -> Result<(), $crate::error::Fatal> {
            let now = self.out.tick(cx.now);
            if self.links.len() >= self.me.limits.links {
                self.out.stats.links_refused += 1;
                return Ok(());
            }
            self.links.insert(link, info);
            if info.proven && !info.shared {
                self.wanted.close();
                self.relink(now, link);
            }
            Ok(())
        }

        fn handle_link_closed(
            &mut self,
            cx: &mut $crate::endpoint::Cx<'_>,
            link: $crate::endpoint::Link,
        ) -> Result<(), $crate::error::Fatal> {
            let now = self.out.tick(cx.now);
            self.links.remove(&link);
            if let Some(slot) = self.link_slot() {
                slot.take_if(|of| *of == link);
            }
            match self.usable_link() {
                Some(other) => self.relink(now, other),
                // Without room for the wish now, the next timeout tells it.
                None if self.out.room(0, 1) => self.want_leader(now),
                None => {}
            }
            Ok(())
        }
    };
}

/// What a member of a repaired group knows of it.
macro_rules! member_facts {
    () => {
        /// Who is in the group, as far as the policy shows it.
        pub fn view(&self) -> Option<&$crate::group::View> {
            self.session().map(|session| &session.station.view)
        }

        /// The policy in force.
        pub fn policy(&self) -> Option<&$crate::policy::Policy> {
            self.session().map(|session| &session.station.policy)
        }

        /// The group instance.
        pub fn group(&self) -> Option<$crate::identity::Instance> {
            self.session().map(|session| session.station.group)
        }

        /// The own member number.
        pub fn cid(&self) -> Option<$crate::identity::MemberId> {
            self.session().map(|session| session.station.cid)
        }

        /// The installed epoch, 0 for none.
        pub fn epoch(&self) -> $crate::identity::Epoch {
            self.session().map_or($crate::identity::Epoch(0), |session| session.station.ring.installed())
        }

        /// Whether the join is complete and the key here is known to be current: [`Self::send`] would find one.
        pub fn is_current(&self) -> bool {
            self.session().is_some_and(|session| session.joined && session.current())
        }

        /// Whether it is in no group and on its way to or from none: [`Self::join`] may be called.
        pub fn is_idle(&self) -> bool {
            matches!(self.phase, Phase::Idle)
        }

        /// The own name.
        pub fn name(&self) -> &$crate::identity::Name {
            &self.me.name
        }
    };
}

/// What the leader of a repaired group knows of it.
macro_rules! leader_facts {
    () => {
        /// Who is in the group.
        pub fn view(&self) -> &$crate::group::View {
            &self.station.view
        }

        /// The policy in force.
        pub fn policy(&self) -> &$crate::policy::Policy {
            &self.station.policy
        }

        /// The group instance.
        pub fn group(&self) -> $crate::identity::Instance {
            self.station.group
        }

        /// The current epoch.
        pub fn epoch(&self) -> $crate::identity::Epoch {
            self.issue.epoch()
        }

        /// The epoch that a member has shown to have installed; 0 for none yet.
        pub fn installed(&self, cid: $crate::identity::MemberId) -> Option<$crate::identity::Epoch> {
            self.peers.get(&cid).map(|peer| peer.shown.epoch)
        }

        /// The last instant at which a member lived for certain: when that was sent which it answered last.
        pub fn alive_as_of(&self, cid: $crate::identity::MemberId) -> Option<$crate::endpoint::Instant> {
            self.peers.get(&cid).map(|peer| peer.alive_as_of)
        }

        /// How many members have been given a place and a key, the leader not counted: also where the policy shows no view.
        pub fn member_count(&self) -> usize {
            self.peers.values().filter(|peer| !peer.waits()).count()
        }

        /// Joins that are not confirmed.
        pub fn pending_joins(&self) -> usize {
            self.pendings.len()
        }

        /// The own name.
        pub fn name(&self) -> &$crate::identity::Name {
            &self.me.name
        }
    };
}

/// What reaches the leader of a repaired group.
macro_rules! leader_input {
    () => {
        fn handle_frame(
            &mut self,
            cx: &mut $crate::endpoint::Cx<'_>,
            link: $crate::endpoint::Link,
            frame: bytes::BytesMut,
        ) -> Result<(), $crate::error::Fatal> {
            let now = self.out.tick(cx.now);
            self.out.stats.frames_in += 1;
            if !self.out.room(FRAMES, EVENTS) {
                self.out.overrun();
                return Ok(());
            }
            let claims = $crate::group::claims::claims(self.station.header, self.station.group, &frame);
            if let Err(why) = self.take_frame(cx, now, link, frame) {
                self.out.reject_data(link, why, claims);
            }
            Ok(())
        }

        fn handle_timeout(&mut self, cx: &mut $crate::endpoint::Cx<'_>) -> Result<(), $crate::error::Fatal> {
            let now = self.out.tick(cx.now);
            self.take_time(cx, now);
            Ok(())
        }
    };
}

/// How the leader of a repaired group comes to change its key (RA §4.4).
macro_rules! leader_rekeys {
    () => {
        /// Makes the epoch that `cause` demands as soon as it may be.
        pub(super) fn plan(&mut self, now: $crate::endpoint::Instant, cause: $crate::event::Cause) {
            let at = self.rekeys.plan(now, self.station.policy.grace, cause);
            self.timers.set(Timer::Rekey, Some(at));
        }

        /// A message was sealed under the current key, or came under it.
        pub(super) fn use_key(&mut self, now: $crate::endpoint::Instant, bytes: usize) {
            self.key_use.count(bytes);
            for cause in self.key_use.reached(&self.station.policy).iter() {
                if !self.rekeys.planned_for(cause) {
                    self.plan(now, cause);
                }
            }
        }

        /// A new key is in use from `now` on.
        pub(super) fn renew_key_use(&mut self, now: $crate::endpoint::Instant) {
            self.key_use = $crate::group::KeyUse::new(now);
            self.timers.set(Timer::KeyAge, self.key_use.ages_at(&self.station.policy));
        }

        /// The epoch that is due by plan.
        pub(super) fn rekey_now(
            &mut self,
            cx: &mut $crate::endpoint::Cx<'_>,
            now: $crate::endpoint::Instant,
        ) -> Result<(), $crate::error::Failure> {
            let turn = self.compute(cx, None, &[], true).map_err(|reason| match reason {
                $crate::error::Reason::Entropy => $crate::error::Failure::Entropy,
                _ => $crate::error::Failure::Suite,
            })?;
            self.commit(turn, now, None);
            Ok(())
        }

        /// The time of a planned rekey has come.
        pub(super) fn rekey_as_planned(&mut self, cx: &mut $crate::endpoint::Cx<'_>, now: $crate::endpoint::Instant) {
            // Whoever is to go now goes with it: what falls due together is one epoch.
            if self.timers.get(Timer::Condemned).is_some_and(|at| at <= now) {
                self.timers.set(Timer::Condemned, None);
                self.remove_condemned(cx, now);
            }
            if !self.rekeys.planned() {
                return;
            }
            if let Err(failure) = self.rekey_now(cx, now) {
                self.out.event($crate::event::Event::Hindered(failure));
                let again = now + self.me.limits.retry.first;
                self.rekeys.postpone(again);
                self.timers.set(Timer::Rekey, Some(again));
            }
        }

        /// Whether a removal changes the key: the policy says so, and the member has been given one.
        fn changes_key(&self, removal: &$crate::group::turn::Removal) -> bool {
            let held = self.peers.get(&removal.cid).is_some_and(|peer| !peer.waits());
            held && self.station.policy.rekey_on.contains(removal.cause)
        }

        /// How a member comes in at `now`; `live` is the member of its name that it replaces.
        fn entry(
            &self,
            now: $crate::endpoint::Instant,
            live: Option<$crate::identity::MemberId>,
        ) -> $crate::group::turn::Entry {
            let rekeys = self.station.policy.rekey_on.contains($crate::event::Cause::Join);
            let cause = $crate::event::Cause::Takeover;
            let removal = live.map(|cid| $crate::group::turn::Removal { cid, cause, by: cid });
            let replaces = removal.is_some_and(|removal| self.changes_key(&removal));
            let later = rekeys && self.rekeys.early(now, self.station.policy.grace) && !replaces;
            let waits = later && self.me.limits.checks.on($crate::group::Check::FirstEpoch);
            $crate::group::turn::Entry { removal, rekeys: rekeys && !later, later, waits }
        }
    };
}

/// A message of the leader of a repaired group to all, sealed.
macro_rules! leader_seals {
    () => {
        fn seal_data(
            &mut self,
            cx: &$crate::endpoint::Cx<'_>,
            port: $crate::event::Port,
            payload: &[u8],
        ) -> Result<bytes::Bytes, $crate::error::CommandError> {
            let now = self.out.tick(cx.now);
            if self.closing.is_some() {
                return Err($crate::error::Misuse::Closed.into());
            }
            if !self.out.room(FRAMES, 0) {
                return Err($crate::error::CommandError::Full);
            }
            let newest = self.station.seals_with_newest(now);
            let frame = self.station.seal(&mut self.out.pool, now, port, payload)?;
            self.out.stats.sealed += 1;
            if newest {
                self.use_key(now, payload.len());
            }
            Ok(frame)
        }
    };
}

/// How fresh what a member's session has from its leader is (RA §4.3).
macro_rules! freshness {
    () => {
        /// After how long without evidence the key here may not be the leader's any more, if the policy bounds that.
        pub(super) fn staleness(&self, rto: core::time::Duration) -> Option<core::time::Duration> {
            let bounded = self.station.checks.on($crate::group::Check::Staleness);
            self.station.policy.detection.filter(|_| bounded).map(|detection| detection.staleness(rto))
        }

        /// Whether the evidence that the key here is current is too old at `now`.
        pub(super) fn outdated(&self, rto: core::time::Duration, now: $crate::endpoint::Instant) -> bool {
            self.staleness(rto).is_some_and(|bound| self.evidence.outdated(bound, now))
        }

        /// When the leader counts as lost (T_lost), if nothing more is heard.
        pub(super) fn lost_at(&self, bound: core::time::Duration) -> $crate::endpoint::Instant {
            self.evidence.lost_at(bound).max(self.watched_since + bound.saturating_mul(2))
        }

        /// Whether the key here may be used: there is one, none newer is known, and the evidence is fresh enough.
        pub(super) fn current(&self) -> bool {
            let holds = self.station.ring.current_epoch().is_some();
            holds && self.evidence.current_as_of.is_some() && !self.behind && !self.stale
        }

        /// Until when the join must be complete. While the leader lets it wait for a rekey (its epoch is 0 to it, RA §4.1),
        /// each sign of life gives it as long again.
        pub(super) fn join_until(&self, join_time: core::time::Duration) -> $crate::endpoint::Instant {
            let waits = self.evidence.newest.is_some_and(|newest| newest.epoch.0 == 0);
            if waits { self.until.max(self.evidence.alive_as_of + join_time) } else { self.until }
        }
    };
}

pub(crate) use {
    freshness, leader_facts, leader_input, leader_rekeys, leader_seals, member_facts, one_link_to_the_leader, outputs,
};
