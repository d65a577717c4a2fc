//! Links that many listen to (RA §4.3, §4.4; report §2.2.5): a rekey goes out there once, with the blocks of all, a frame a
//! poll; and once a period a signed heartbeat. Whoever does not show the epoch in time gets its block point to point, as
//! always: a flow on a shared link never is the only one (R47).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::BytesMut;

use super::{Leader, Timer};
use crate::antigone::failure::Beacon;
use crate::antigone::failure::heartbeat::Said;
use crate::endpoint::{Class, Instant, Link, To, Transmit};
use crate::error::Failure;
use crate::event::Event;
use crate::group::turn::DELTA_BUDGET;
use crate::group::{Allowance, Backoff};
use crate::identity::{MemberId, Version};
use crate::policy::Views;
use crate::wire::Field;
use crate::wire::antigone::{Change, Delta, DeltaChanges};
use crate::wire::field::{Digest, List};

/// What a leader keeps for its shared links.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Shared {
    /// Those with room for the longest frame of the policy (RA §4.4, sizes).
    pub(super) links: Arc<[Link]>,
    /// Those over which data go now: all of them, or none.
    pub(super) data: Arc<[Link]>,
    /// What comes over them without protection is anybody's: so much of it is taken.
    pub(super) clear: Allowance,
    beacon: Beacon,
    cast: Option<Cast>,
    /// The version of the view in the facts of the current epoch: where the delta of heartbeats starts.
    since: Version,
    /// The version of the view in the newest heartbeat, and in the one before.
    told: Version,
    told_before: Version,
}

fingerprint!(Shared { links, clear, beacon, cast, since, told, told_before } skip { data });

/// A rekey on its way to all: the cursor.
#[derive(Debug, Clone, Copy)]
struct Cast {
    /// The lowest number whose block has not gone out.
    next: MemberId,
    /// The suite has failed: the timer goes on with it.
    paused: bool,
}

fingerprint!(Cast { next, paused });

impl Shared {
    pub(super) fn new(beacon: Beacon, since: Version, clear: Allowance) -> Self {
        let none = Version(0);
        let links: Arc<[Link]> = Arc::new([]);
        Self { links: links.clone(), data: links, clear, beacon, cast: None, since, told: none, told_before: none }
    }

    /// Whether blocks wait to be polled.
    pub(super) fn has_work(&self) -> bool {
        self.cast.is_some_and(|cast| !cast.paused)
    }
}

impl Leader {
    /// Finds the shared links anew, after one has opened or closed (or the policy has changed).
    pub(super) fn share(&mut self, now: Instant) {
        if self.is_closed() {
            return;
        }
        let longest = self.station.policy.frame_limit as usize;
        let usable = self.links.iter().filter(|(_, info)| info.shared && info.max_frame >= longest);
        self.shared.links = usable.map(|(link, _)| *link).collect::<Vec<_>>().into();
        let beats = !self.shared.links.is_empty() && self.station.policy.detection.is_some();
        if !beats {
            self.timers.set(Timer::Beat, None);
        } else if self.timers.get(Timer::Beat).is_none() {
            self.timers.set(Timer::Beat, Some(now));
        }
        if self.shared.links.is_empty() {
            self.end_cast(now);
        }
        self.reconnect();
    }

    /// The group is closed: nothing goes to all any more, and the key that signs heartbeats is gone.
    pub(super) fn end_sharing(&mut self) {
        (self.shared.links, self.shared.data, self.shared.cast) = (Arc::new([]), Arc::new([]), None);
        self.shared.beacon.erase();
        self.timers.set(Timer::Beat, None);
        self.timers.set(Timer::Cast, None);
    }

    /// For how long members that have their block over a shared link may wait before they show the epoch: a quarter of a
    /// period, so that they do not all answer at once (RA §4.3).
    fn patience(&self) -> Duration {
        let period = self.station.policy.detection.map(|detection| detection.period);
        period.filter(|_| !self.shared.links.is_empty()).unwrap_or_default() / 4
    }

    /// There is a new epoch. Whether its blocks go out over shared links first; then from when the wait for an answer
    /// counts.
    pub(super) fn begin_cast(&mut self, now: Instant) -> Option<Instant> {
        self.shared.since = self.station.view.version();
        // What is left of the epoch before is not sent any more (RA §6).
        self.shared.cast = None;
        self.timers.set(Timer::Cast, None);
        if self.shared.links.is_empty() {
            return None;
        }
        self.shared.cast = Some(Cast { next: MemberId(1), paused: false });
        Some(now + self.patience())
    }

    /// All blocks have gone out, or there is no link for them any more: who has none gets it point to point.
    fn end_cast(&mut self, now: Instant) {
        let Some(Cast { next, .. }) = self.shared.cast.take() else { return };
        self.timers.set(Timer::Cast, None);
        let left: Vec<MemberId> = self.peers.range(next..).map(|(cid, _)| *cid).collect();
        left.into_iter().for_each(|cid| self.arm(now, cid));
    }

    /// The next frame of the rekey on its way: the blocks of the next members.
    pub(super) fn cast(&mut self, now: Instant) -> Option<Transmit> {
        let Cast { next, .. } = self.shared.cast.filter(|cast| !cast.paused)?;
        let (header, group, epoch) = (self.station.header, self.station.group, self.issue.epoch());
        let limit = self.station.policy.frame_limit as usize;
        // Newcomers, who have shown no epoch at all, get theirs point to point.
        let lacking = self
            .peers
            .range(next..)
            .filter(|(_, peer)| !peer.waits() && peer.shown.epoch.0 > 0 && peer.shown.epoch < epoch);
        let members = lacking.map(|(cid, peer)| (*cid, peer.channel.sealing_key()));
        match self.issue.frame_for_many(header, group, limit, members, &mut self.out.pool) {
            Ok(Some((frame, numbers))) => {
                let (from, retry) = (now + self.patience(), self.me.limits.retry);
                for cid in &numbers {
                    if let Some(peer) = self.peers.get_mut(cid) {
                        peer.repeat = Some(Backoff::start(retry, from, &mut self.jitter));
                    }
                    self.arm(now, *cid);
                }
                let last = numbers.last().copied().unwrap_or(next);
                match last.0.checked_add(1) {
                    Some(after) => self.shared.cast = Some(Cast { next: MemberId(after), paused: false }),
                    None => self.shared.cast = None,
                }
                self.out.stats.frames_out += 1;
                Some(self.to_shared(frame))
            }
            Ok(None) => {
                self.end_cast(now);
                None
            }
            Err(failure) => {
                // The cursor stands; an RTO later it goes on.
                self.shared.cast = Some(Cast { next, paused: true });
                self.timers.set(Timer::Cast, Some(now + self.me.limits.retry.first));
                self.hindered(failure);
                None
            }
        }
    }

    /// The suite had failed: the cursor goes on.
    pub(super) fn resume_cast(&mut self) {
        if let Some(cast) = &mut self.shared.cast {
            cast.paused = false;
        }
    }

    fn to_shared(&self, frame: bytes::Bytes) -> Transmit {
        Transmit { to: To::Many(self.shared.links.clone()), frame, class: Class::Control }
    }

    fn hindered(&mut self, failure: Failure) {
        if self.out.room(0, 1) {
            self.out.event(Event::Hindered(failure));
        }
    }

    /// The heartbeat that is due. The caller has made sure that there is room.
    pub(super) fn beat(&mut self, now: Instant) {
        let period = self.station.policy.detection.map(|detection| detection.period);
        let Some(period) = period.filter(|_| !self.shared.links.is_empty()) else { return };
        let next = match self.heartbeat() {
            Ok(frame) => {
                let transmit = self.to_shared(frame);
                self.out.send(transmit);
                (self.shared.told_before, self.shared.told) = (self.shared.told, self.station.view.version());
                now + period
            }
            Err(failure) => {
                self.hindered(failure);
                now + self.me.limits.retry.first
            }
        };
        self.timers.set(Timer::Beat, Some(next));
    }

    fn heartbeat(&mut self) -> Result<bytes::Bytes, Failure> {
        let (station, since) = (&self.station, self.shared.since);
        let changes = match station.policy.views {
            Views::BestEffort => station.view.since(since),
            _ => None,
        };
        let wire: Option<Vec<Change<'_>>> =
            changes.as_ref().map(|changes| changes.iter().map(|change| change.to_wire()).collect());
        let mut scratch = BytesMut::new();
        let fits = wire.as_ref().is_some_and(|changes| {
            changes.iter().all(|change| {
                change.put(&mut scratch);
                scratch.len() <= DELTA_BUDGET
            })
        });
        let hidden = station.policy.views == Views::Hidden;
        let delta = match &wire {
            _ if hidden => Delta::Hidden,
            Some(changes) if fits => Delta::Changes(DeltaChanges { from: since, changes: List::of(changes) }),
            _ => Delta::Fetch,
        };
        let (view, view_digest) =
            if hidden { (Version(0), Digest::NONE) } else { (station.view.version(), station.view.digest()) };
        let said = Said { epoch: self.issue.epoch(), view, view_digest, delta };
        self.shared.beacon.frame(&*station.suite, station.header, station.group, said, &mut self.out.pool)
    }

    /// The version of the view from which on a member is not behind. Where heartbeats carry changes (class best effort),
    /// it has a period's time to take them from there.
    pub(super) fn view_due(&self) -> Version {
        let version = self.station.view.version();
        if self.station.policy.views != Views::BestEffort || self.timers.get(Timer::Beat).is_none() {
            return version;
        }
        self.shared.since.max(self.shared.told_before)
    }
}
