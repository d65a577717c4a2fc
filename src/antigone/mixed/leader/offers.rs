//! The leader's answer to a wish to join: AN-J2 or RA-J2, or a refusal, made once.

use super::joins::{Confirm, Offered, Pending, PendingId, Stage, Vouched};
use super::{Leader, Timer, control};
use crate::antigone::join::admitting::Asked;
use crate::antigone::join::published::{self, Pair, Welcome};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::endpoint::{Cx, Instant};
use crate::error::{Failure, Reason};
use crate::event::Refusal;
use crate::group::Check;
use crate::identity::MemberId;
use crate::wire::antigone::{Accept, Offer, RefuseCode};
use crate::wire::bridges::AcceptMixed;
use crate::wire::field::{Blob, VerifyingKey};

impl Leader {
    /// Makes AN-J2 or RA-J2, or the refusal, once, and sends it.
    pub(super) fn offer(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        id: PendingId,
        vouched: &Vouched,
        verdict: Result<(), Refusal>,
    ) -> Result<(), Reason> {
        let pending = self.pendings.get(&id).ok_or(Reason::Unknown)?;
        let live = self.names.get(&pending.name).and_then(|cid| self.peers.get(cid));
        let policy = &self.plane.station.policy;
        let taken = !policy.takeover && live.is_some_and(|peer| !peer.suspected);
        let full = live.is_none() && !self.has_room_for(pending.name.by_ref());
        let verdict = verdict.and(if taken || full { Err(Refusal::Busy) } else { Ok(()) });
        let stage = match vouched {
            Vouched::Pair(sigma) => self.published_offer(cx, now, pending, sigma, verdict)?,
            Vouched::Session(session) => self.repaired_offer(cx, now, pending, session, verdict)?,
        };
        let frame = match &stage {
            Stage::Offered(offered) => {
                self.next_cid = self.next_cid.checked_add(1).ok_or(Reason::Budget)?;
                offered.frame.clone()
            }
            Stage::Refused(frame) => frame.clone(),
            Stage::Waiting(_) | Stage::Deciding(..) => return Err(Reason::Unknown),
        };
        self.timers.set(Timer::Question(id), None);
        let Some(pending) = self.pendings.get_mut(&id) else { return Ok(()) };
        (pending.stage, pending.answered) = (stage, now);
        if let Some(link) = pending.link {
            self.out.send(control(link, frame));
        }
        Ok(())
    }

    fn published_offer(
        &self,
        cx: &mut Cx<'_>,
        now: Instant,
        pending: &Pending,
        sigma: &Key<role::Pair>,
        verdict: Result<(), Refusal>,
    ) -> Result<Stage, Reason> {
        let sides = &self.me.sides;
        let (leader, member) = (self.me.name.by_ref(), pending.name.by_ref());
        if let Err(why) = verdict {
            return Ok(Stage::Refused(published::error(sides.published_header(), leader, member, why)));
        }
        let suite = &*sides.published;
        let i2 = suite.fresh_nonce(cx.rng, suite.sizes().nonce).map_err(|error| Reason::from(Failure::from(error)))?;
        let (cid, station) = (MemberId(self.next_cid), &self.plane.station);
        let group = self.plane.key().ok_or(Reason::Ended)?.group.clone();
        let welcome = Welcome {
            group: group.clone(),
            i2,
            instance: station.group,
            cid,
            policy_version: station.policy_version,
            policy: self.policy.encode(),
            sequence: self.sequence,
            leader_key: VerifyingKey::NONE,
            key: self.signing.as_ref().map_or(VerifyingKey::NONE, |(_, public)| *public),
        };
        let pair = Pair { leader, member, sigma };
        let frame = pair.reply(suite, sides.published_header(), cx.rng, pending.i0, &welcome)?;
        let (confirm, sigma) = (Confirm::Published(i2), Some(sigma.clone()));
        Ok(Stage::Offered(Offered { frame, cid, at: now, confirm, group, sigma }))
    }

    fn repaired_offer(
        &self,
        cx: &mut Cx<'_>,
        now: Instant,
        pending: &Pending,
        session: &Key<role::Session>,
        verdict: Result<(), Refusal>,
    ) -> Result<Stage, Reason> {
        let sides = &self.me.sides;
        let station = &self.plane.station;
        let wanted = station.policy.ephemeral && self.me.limits.checks.on(Check::Ephemeral);
        let without = wanted && pending.share.is_empty();
        let verdict = verdict.and(if without { Err(Refusal::Denied) } else { Ok(()) });
        let cid = MemberId(self.next_cid);
        let policy = self.policy.encode();
        let group = self.plane.key().ok_or(Reason::Ended)?.group.clone();
        let offer = match verdict {
            Ok(()) => Offer::AcceptMixed(AcceptMixed {
                accept: Accept {
                    group: station.group,
                    cid,
                    leader_key: VerifyingKey::NONE,
                    policy_version: station.policy_version,
                    policy: Blob(&policy),
                },
                group: group.wire(),
                sequence: self.sequence,
                published_key: self.signing.as_ref().map_or(VerifyingKey::NONE, |(_, public)| *public),
            }),
            Err(Refusal::Busy) => Offer::Refuse(RefuseCode::Busy),
            Err(_) => Offer::Refuse(RefuseCode::Denied),
        };
        let asked = Asked { i0: pending.i0, i1: pending.i1, share: pending.share, digest: pending.digest };
        let sealed = asked.answer(&*sides.modern, sides.repaired_header(), cx.rng, session, &offer)?;
        if verdict.is_err() {
            return Ok(Stage::Refused(sealed.frame));
        }
        let sigma = Some(sides.session_sigma(&sealed.root)?);
        let confirm = Confirm::Hello(sealed.seal, sealed.open);
        Ok(Stage::Offered(Offered { frame: sealed.frame, cid, at: now, confirm, group, sigma }))
    }
}
