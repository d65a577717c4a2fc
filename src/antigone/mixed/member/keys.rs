//! Which keys a member takes.

use bytes::BytesMut;

use super::super::plane::Ready;
use super::{Member, Phase};
use crate::antigone::keys;
use crate::antigone::keys::published::{self, Delivered};
use crate::endpoint::{Cx, Instant};
use crate::error::Reason;
use crate::event::{Causes, Event};
use crate::identity::Epoch;
use crate::policy::Part;
use crate::wire::Edition;

impl Member {
    /// AN-K. It is taken if the g under σ is the one that the offer named (D17). A member that has a key takes what answers
    /// its request, which names no g that it could compare with (D18): that of the last heartbeat, if there was one.
    pub(super) fn on_delivery(&mut self, cx: &mut Cx<'_>, now: Instant, frame: &[u8]) -> Result<(), Reason> {
        let sides = &self.me.sides;
        sides.expect(Part::Keys, Edition::AsPublished)?;
        let Phase::In(session) = &self.phase else { return Err(Reason::NotJoined) };
        let delivered = published::open_delivery(&*sides.published, self.me.name.by_ref(), &session.sigma, frame)?;
        let inner = &delivered.key.group;
        self.me.admits(inner)?;
        let held = session.plane.key().is_some_and(|held| held.group == *inner);
        let wanted = if self.me.faults.leading_group {
            *inner == delivered.leading
        } else if held {
            // Its number counts, whoever wrote it (A9).
            true
        } else if session.plane.key().is_none() {
            *inner == session.expected
        } else {
            session.wished && session.told.is_none_or(|told| told == inner.number())
        };
        if !wanted {
            return Err(Reason::OldEpoch);
        }
        self.take_published(cx, now, delivered)
    }

    /// AN-R. Nothing in it shows that it is fresh, or of this session (A11).
    pub(super) fn on_rekey(&mut self, cx: &mut Cx<'_>, now: Instant, frame: &[u8]) -> Result<(), Reason> {
        let sides = &self.me.sides;
        sides.expect(Part::Keys, Edition::AsPublished)?;
        let Phase::In(session) = &self.phase else { return Err(Reason::NotJoined) };
        let delivered = published::open_rekey(&*sides.published, self.me.name.by_ref(), &session.sigma, frame)?;
        self.me.admits(&delivered.key.group)?;
        self.take_published(cx, now, delivered)
    }

    fn take_published(&mut self, cx: &mut Cx<'_>, now: Instant, delivered: Delivered) -> Result<(), Reason> {
        let Phase::In(session) = &mut self.phase else { return Err(Reason::NotJoined) };
        let Delivered { key, sequence, members, .. } = delivered;
        // The key that is here already: its number counts all the same (A9, A12).
        if session.plane.key().is_some_and(|held| held.group == key.group) {
            session.sequence = sequence;
            (session.wish, session.wished) = (None, false);
            let events = session.take_roster(&self.me, &members);
            self.out.burst(events.into_iter());
            return Ok(());
        }
        let ready = session.plane.ready_published(&self.me.sides, cx.rng, key)?;
        session.sequence = sequence;
        let events = session.take_roster(&self.me, &members);
        self.install(now, ready, Causes::NONE);
        self.out.burst(events.into_iter());
        Ok(())
    }

    /// RA-R.
    pub(super) fn on_block(&mut self, now: Instant, frame: &BytesMut) -> Result<(), Reason> {
        let sides = &self.me.sides;
        sides.expect(Part::Keys, Edition::Repaired)?;
        let Phase::In(session) = &self.phase else { return Err(Reason::NotJoined) };
        let channel = session.channel.as_ref().ok_or(Reason::Unknown)?;
        let station = &session.plane.station;
        let installed = station.ring.installed();
        let block = keys::open_with(
            self.me.limits.checks,
            sides.repaired_header(),
            &*sides.modern,
            station.group,
            station.cid,
            // The key that is here may come once more: as the answer to a request.
            Epoch(installed.0.saturating_sub(1)),
            channel.opening_key(),
            frame,
        )?;
        let facts = block.facts()?;
        let (epoch, floor, causes) = (facts.epoch, facts.floor, facts.causes);
        if epoch == installed {
            if session.told.is_some_and(|told| told != epoch) {
                return Err(Reason::Replayed);
            }
            // The leader has no newer key than the one here: what asked for one was mistaken.
            if let Phase::In(session) = &mut self.phase {
                (session.wish, session.wished) = (None, false);
            }
            return Ok(());
        }
        if (facts.policy, facts.policy_digest) != (station.policy_version, station.policy_digest) {
            return Err(Reason::Violation);
        }
        let base = block.base(&*sides.modern, station.group)?;
        let ready = session.plane.ready_repaired(sides, epoch, floor, &base)?;
        self.install(now, ready, causes);
        Ok(())
    }

    /// A key is there.
    fn install(&mut self, now: Instant, ready: Ready, causes: Causes) {
        let Phase::In(session) = &mut self.phase else { return };
        let was_behind = session.behind();
        let epoch = ready.epoch();
        session.plane.install(ready, now, causes.evict());
        (session.wish, session.wished, session.confirming) = (None, false, None);
        session.judge();
        self.out.event(Event::Installed { epoch, causes });
        // Nothing says which of two published keys is newer: the one that came last counts until a heartbeat says else.
        // A repaired one that is newer than what a heartbeat has told is no reason to wait either.
        let older = self.me.sides.is_published(Part::Keys) || session.told < Some(epoch);
        if session.behind() && older {
            session.told = None;
        }
        if was_behind && !session.behind() {
            self.out.event(Event::Current { epoch });
        }
        if !session.joined {
            session.joined = true;
            session.current_as_of = session.current_as_of.or(Some(session.alive_as_of));
            let (group, cid) = (session.plane.station.group, session.plane.station.cid);
            self.out.event(Event::Joined { group, cid, epoch });
            if session.shows_names {
                let (view, leader) = (crate::identity::Version(0), crate::identity::MemberId::LEADER);
                self.out.event(Event::MemberAdded { cid: leader, name: self.me.sides.leader.clone(), view });
                self.out.event(Event::MemberAdded { cid, name: self.me.name.clone(), view });
            }
        }
    }
}
