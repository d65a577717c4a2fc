//! What happens before `hello`: requests, the third party's answers, the application's decisions. Nothing here touches
//! a live member (R6, X9).

use bytes::BytesMut;

use super::{Access, Leader, Timer, control};
use crate::antigone::join::admitting::{PendingId, Repeat, Request, Stage, Welcome};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::endpoint::{Cx, Instant, Link};
use crate::error::{Failure, Reason};
use crate::event::{Event, Peer as PeerName, Refusal, Ticket};
use crate::group::Check;
use crate::identity::MemberId;
use crate::ttp::exchange::Verdict;
use crate::wire::Message as _;
use crate::wire::antigone::KeyAnswer;

impl Leader {
    /// RA §4.1, "L on RA-J1".
    pub(super) fn on_request(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        if self.closing.is_some() {
            return Err(Reason::Ended);
        }
        let info = self.links.get(&link).ok_or(Reason::Unknown)?;
        if (!info.proven || info.shared) && self.me.limits.checks.on(Check::ProvenLink) {
            return Err(Reason::Unproven);
        }
        let desk = Self::desk(&self.me, self.station.header);
        match self.pendings.request(desk, now, cx.rng, &mut self.jitter, link, frame)? {
            Request::Repeat(id, repeat) => {
                self.pendings.touch(id, now, link);
                match (repeat, self.third_party) {
                    (Repeat::Answer(frame), _) => self.out.send(control(link, frame)),
                    (Repeat::Question(frame), Some(third_party)) => self.out.send(control(third_party, frame)),
                    (Repeat::Question(_), None) => self.want_third_party(now),
                }
            }
            Request::New(pending, replaced) => {
                for replaced in replaced {
                    self.drop_pending(replaced);
                }
                let question = pending.question().frame.clone();
                let repeat = match &pending.stage {
                    Stage::Waiting(backoff) => Some(backoff.due()),
                    _ => None,
                };
                let id = self.pendings.insert(pending);
                self.timers.set(Timer::Question(id), repeat);
                self.timers.set(Timer::Pending(id), Some(now + self.me.limits.pending_life));
                match self.third_party {
                    Some(third_party) => self.out.send(control(third_party, question)),
                    None => self.want_third_party(now),
                }
            }
        }
        Ok(())
    }

    pub(super) fn want_third_party(&mut self, now: Instant) {
        let Some(ticket) = self.wanted.want(now, self.me.limits.retry.ceiling) else { return };
        self.out.event(Event::LinkWanted { ticket, peer: PeerName::ThirdParty, hint: bytes::Bytes::new() });
    }

    pub(super) fn take_ticket(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        ticket
    }

    /// RA §4.1, "L on RA-T2". Answers are believed by their box, whatever link they come over (R40).
    pub(super) fn on_verdict(&mut self, cx: &mut Cx<'_>, now: Instant, mut frame: BytesMut) -> Result<(), Reason> {
        let i1 = KeyAnswer::parse(&frame).map_err(|_| Reason::Malformed)?.message.i1;
        let (id, pending) = self.pendings.asked(&i1).ok_or(Reason::Unknown)?;
        let name = pending.name.clone();
        let verdict =
            pending.question().read_answer(&*self.me.suite, &self.me.keys, self.me.limits.checks, &mut frame)?;
        let answered = match verdict {
            Verdict::Refused(why) => {
                self.drop_pending(id);
                self.out.event(Event::NotVouched { name, why });
                Ok(())
            }
            Verdict::Vouched(session) => match &self.me.access {
                Access::Registered => self.answer(cx, now, id, &session, Ok(())),
                Access::List(list) => {
                    let verdict = if list.contains(&name) { Ok(()) } else { Err(Refusal::Denied) };
                    self.answer(cx, now, id, &session, verdict)
                }
                Access::Ask if self.verdicts.about(now, &name).is_some() => {
                    let admit = self.verdicts.about(now, &name).unwrap_or(false);
                    self.answer(cx, now, id, &session, if admit { Ok(()) } else { Err(Refusal::Denied) })
                }
                Access::Ask => {
                    // The application is asked once for a name; its verdict serves every pending join of that name.
                    let ticket = match self.pendings.question_about(&name) {
                        Some(ticket) => ticket,
                        None => {
                            let ticket = Ticket(self.take_ticket());
                            self.out.event(Event::AdmissionWanted { ticket, name });
                            ticket
                        }
                    };
                    let mut until = now;
                    if let Some(pending) = self.pendings.get_mut(id) {
                        pending.stage = Stage::Deciding(ticket, session);
                        let limits = &self.me.limits;
                        until = pending.since + limits.pending_life.min(limits.join_time) / 4 * 3;
                    }
                    // Silence refuses, while the member still waits to hear it.
                    self.timers.set(Timer::Question(id), Some(until));
                    Ok(())
                }
            },
        };
        if !matches!(answered, Ok(()) | Err(Reason::Entropy | Reason::Suite)) {
            // To ask again would not help.
            self.drop_pending(id);
        }
        answered
    }

    /// Nobody decided in time.
    pub(super) fn decide_by_silence(&mut self, cx: &mut Cx<'_>, now: Instant, id: PendingId) {
        if let Err(why) = self.decide(cx, now, id, false) {
            let failure = if why == Reason::Entropy { Failure::Entropy } else { Failure::Suite };
            self.out.event(Event::Hindered(failure));
            self.timers.set(Timer::Question(id), Some(now + self.me.limits.retry.first));
        }
    }

    /// The application's verdict.
    pub(super) fn decide(&mut self, cx: &mut Cx<'_>, now: Instant, id: PendingId, admit: bool) -> Result<(), Reason> {
        let session = match self.pendings.get(id).map(|pending| &pending.stage) {
            Some(Stage::Deciding(_, session)) => session.clone(),
            _ => return Err(Reason::Unknown),
        };
        self.answer(cx, now, id, &session, if admit { Ok(()) } else { Err(Refusal::Denied) })
    }

    /// Makes RA-J2 and sends it.
    fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        id: PendingId,
        session: &Key<role::Session>,
        verdict: Result<(), Refusal>,
    ) -> Result<(), Reason> {
        let pending = self.pendings.get(id).ok_or(Reason::Unknown)?;
        let policy = &self.station.policy;
        let live = self.names.get(&pending.name).and_then(|cid| self.peers.get(cid));
        // Who takes over needs no more room.
        let full = live.is_none() && self.peers.len() >= self.me.limits.members;
        let taken = !policy.takeover && live.is_some_and(|peer| !peer.suspected);
        let verdict = match verdict {
            Ok(()) if full || taken => Err(Refusal::Busy),
            // A member without an ephemeral share below a policy that demands one is not admitted.
            Ok(()) if policy.ephemeral && !pending.is_ephemeral() && self.me.limits.checks.on(Check::Ephemeral) => {
                Err(Refusal::Denied)
            }
            verdict => verdict,
        };
        let cid = MemberId(self.next_cid);
        let encoded = policy.encode();
        let welcome = verdict.map(|()| Welcome {
            group: self.station.group,
            cid,
            leader_key: self.leader_key,
            policy_version: self.station.policy_version,
            policy: &encoded,
        });
        let stage = pending.answer(&*self.me.suite, self.station.header, cx.rng, session, now, welcome)?;
        let frame = match &stage {
            Stage::Offered(offered) => {
                // Numbers are never used twice (I-1), whether or not the offer is taken.
                self.next_cid = self.next_cid.checked_add(1).ok_or(Reason::Budget)?;
                offered.frame.clone()
            }
            Stage::Refused(frame) => frame.clone(),
            Stage::Waiting(_) | Stage::Deciding(..) => return Err(Reason::Unknown),
        };
        let link = pending.link.ok_or(Reason::Unknown)?;
        if let Some(pending) = self.pendings.get_mut(id) {
            pending.stage = stage;
        }
        self.pendings.touch(id, now, link);
        self.timers.set(Timer::Question(id), None);
        self.out.send(control(link, frame));
        Ok(())
    }

    pub(super) fn drop_pending(&mut self, id: PendingId) {
        self.pendings.remove(id);
        self.timers.set(Timer::Question(id), None);
        self.timers.set(Timer::Pending(id), None);
    }
}
