//! What a member does with links that many listen to (RA §4.3): the leader's signed heartbeat, which is advice; answers
//! that wait a while, so that not all come at once; and noticing that nothing arrives there (R47).

use core::time::Duration;

use bytes::BytesMut;

use super::session::{Owed, Session};
use super::{Member, Phase};
use crate::antigone::failure::heartbeat::Pace;
use crate::endpoint::{Instant, Link, LinkInfo};
use crate::error::Reason;
use crate::event::Event;
use crate::group::channel::Standing;
use crate::group::station::Station;
use crate::group::{ChangeRecord, Check, Jitter, ViewError, ViewStep};
use crate::identity::Epoch;
use crate::policy::{Communication, Views};
use crate::wire::Message as _;
use crate::wire::antigone::{Delta, Heartbeat, Rekey};

impl Session {
    /// How often the leader beats on shared links: never, without detection of failures.
    fn pace(&self) -> Option<Pace> {
        let detection = self.station.policy.detection?;
        Some(Pace { period: detection.period, misses: detection.misses })
    }

    /// When a shared link counts as silent next, and which.
    pub(super) fn next_silent(&self) -> Option<(Instant, Link)> {
        self.hearing.next_silent(self.pace()?, self.evidence.alive_as_of)
    }

    /// The newest epoch of which the key is here, be it that it waits for the view.
    fn newest_here(&self) -> Epoch {
        let held = self.held.as_ref().and_then(|held| held.facts().ok()).map_or(Epoch(0), |facts| facts.epoch);
        held.max(self.station.ring.installed())
    }

    /// A frame that asks for an answer is owed from `at` on, or from before if one is.
    fn ask_by(&mut self, at: Instant) {
        let at = self.owed.map_or(at, |owed| owed.at.min(at));
        self.owed = Some(Owed { at, ask: true });
    }
}

/// A random time below a quarter of a period.
fn delay(period: Duration, jitter: &mut Jitter) -> Duration {
    jitter.spread(period / 4, 100, 0)
}

impl Member {
    /// A link that proves nothing has opened. If it is a shared one, the leader is expected to be heard there.
    pub(super) fn listen(&mut self, now: Instant, link: Link, info: LinkInfo) {
        if let Phase::In(session) = &mut self.phase
            && info.shared
        {
            session.hearing.opened(now, link);
        }
    }

    /// A link has closed.
    pub(super) fn unlisten(&mut self, now: Instant, link: Link) {
        let before = self.heard_over();
        if let Phase::In(session) = &mut self.phase {
            session.hearing.closed(link);
        }
        self.tell_hearing(now, before);
    }

    /// The shared link over which the leader is heard, if it carries the policy's frames: of several the first. None without
    /// heartbeats: nothing would show that it is dead.
    pub(super) fn heard_over(&self) -> Option<Link> {
        let session = self.session().filter(|session| session.pace().is_some())?;
        let longest = session.station.policy.frame_limit as usize;
        let carries = |link: &Link| self.links.get(link).is_some_and(|info| info.max_frame >= longest);
        session.hearing.heard().find(carries)
    }

    /// Where data go over shared links, the leader has to know who hears it there: each frame of the channel says so. If that
    /// is another answer than `before`, one goes out after a random time, since many may have noticed the same (RA §5).
    fn tell_hearing(&mut self, now: Instant, before: Option<Link>) {
        let turned = self.heard_over().is_some() != before.is_some();
        let Phase::In(session) = &mut self.phase else { return };
        if turned
            && session.joined
            && session.station.policy.communication != Communication::Relay
            && let Some(pace) = session.pace()
        {
            session.ask_by(now + delay(pace.period, &mut self.jitter));
        }
    }

    /// RA §4.4, "A on RA-R". What came over a shared link came to many at once: the poll that shows the install, or asks
    /// for what is missing, waits a random time (RA §4.3).
    pub(super) fn on_rekey_over(&mut self, now: Instant, link: Link, frame: BytesMut) -> Result<(), Reason> {
        let owed = |phase: &Phase| match phase {
            Phase::In(session) => session.owed,
            _ => None,
        };
        let shared = self.links.get(&link).is_some_and(|info| info.shared);
        if let Phase::In(session) = &self.phase
            && shared
            && is_for_others(&session.station, &frame)
        {
            // Step (2): the own block is in another frame of the same rekey. That is no refusal.
            return Ok(());
        }
        let before = owed(&self.phase);
        self.on_rekey(now, frame)?;
        if let Phase::In(session) = &mut self.phase
            && shared
            && let (None, Some(owed), Some(pace)) = (before, session.owed, session.pace())
            && owed.ask
            && owed.at <= now
        {
            session.owed = Some(Owed { at: now + delay(pace.period, &mut self.jitter), ..owed });
        }
        Ok(())
    }

    /// RA §4.3, "A on RA-H".
    pub(super) fn on_heartbeat(&mut self, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let limits = &self.me.limits;
        let Phase::In(session) = &mut self.phase else { return Err(Reason::Unknown) };
        let pace = session.pace().ok_or(Reason::Misdirected)?;
        let (station, most) = (&session.station, limits.heartbeat_signatures);
        let (suite, checks, budget) = (&*station.suite, limits.checks, (pace.period, most));
        let verified =
            session.hearing.check(suite, checks, station.group, &session.leader_key, budget, now, link, frame)?;
        let step = match &verified {
            Some(verified) => advised_view(station, &verified.heartbeat)?,
            None => None,
        };
        // Nothing can fail from here on.
        let before = self.heard_over();
        let Phase::In(session) = &mut self.phase else { return Ok(()) };
        if session.hearing.commit(now, link, verified.as_ref()) {
            self.out.event(Event::MulticastHeard { link });
        }
        self.tell_hearing(now, before);
        let Some(heartbeat) = verified.map(|verified| verified.heartbeat) else { return Ok(()) };
        let (epoch, view) = (heartbeat.epoch, heartbeat.view);
        if let Some(step) = step {
            self.commit_view(step);
        }
        let Phase::In(session) = &mut self.phase else { return Ok(()) };
        let station = &session.station;
        let behind = epoch > session.newest_here();
        let unviewed = station.policy.views == Views::BestEffort && view > station.view.version();
        if session.joined && (behind || unviewed) {
            session.ask_by(now + delay(pace.period, &mut self.jitter));
        }
        if !self.me.limits.checks.on(Check::HeartbeatAdvice) {
            let policy = session.station.policy_version;
            session.evidence.hear(Standing { epoch, view, policy, hears: false }, Some(now));
            self.settle_evidence(now);
        }
        Ok(())
    }

    /// Reports a shared link over which nothing comes though the leader lives.
    pub(super) fn note_silence(&mut self, now: Instant) {
        let before = self.heard_over();
        let Phase::In(session) = &mut self.phase else { return };
        if let Some((_, link)) = session.next_silent().filter(|(at, _)| *at <= now) {
            session.hearing.reported(link);
            self.out.event(Event::MulticastSilent { link });
            self.tell_hearing(now, before);
        }
    }
}

/// Whether this is a frame of the own group with blocks for others only.
fn is_for_others(station: &Station, frame: &[u8]) -> bool {
    Rekey::parse(frame).is_ok_and(|parsed| {
        let rekey = parsed.message;
        rekey.group == station.group && rekey.blocks.iter().all(|block| block.cid != station.cid)
    })
}

/// The step that a heartbeat's delta makes, if there is one to take: it must not start after the version here, and what is
/// here of it already is passed over.
fn advised_view(station: &Station, heartbeat: &Heartbeat<'_>) -> Result<Option<ViewStep>, Reason> {
    let (own, Delta::Changes(delta)) = (station.view.version(), heartbeat.delta) else { return Ok(None) };
    if station.policy.views != Views::BestEffort || heartbeat.view <= own {
        return Ok(None);
    }
    let here = own.0.checked_sub(delta.from.0).and_then(|here| usize::try_from(here).ok());
    let Some(here) = here else { return Ok(None) };
    let changes = delta.changes.iter().skip(here).map(ChangeRecord::from);
    let (to, digest) = (heartbeat.view, &heartbeat.view_digest);
    match station.view.prepare_delta(&*station.suite, &station.group, own, to, digest, changes) {
        Ok(step) => Ok(Some(step)),
        Err(ViewError::Suite(_)) => Err(Reason::Suite),
        // The pages will bring it.
        Err(_) => Ok(None),
    }
}
