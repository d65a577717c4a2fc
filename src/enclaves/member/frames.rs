//! What a frame does to a member. In each function: decode, authenticate, compare with the state, and only then change it
//! (R25).

use alloc::boxed::Box;

use bytes::{Bytes, BytesMut};

use super::requests::Requests;
use super::session::{Confirm, Session};
use super::{Asking, Member, Phase, control, reason_of};
use crate::crypto::keys::role;
use crate::crypto::{Key, Suite};
use crate::enclaves::auth::Shown;
use crate::enclaves::chain::{JOIN, MemberChain, Place, SessionKeys, fresh_nonce};
use crate::endpoint::{Cx, Instant, Link};
use crate::error::{Failure, Reason};
use crate::event::{EndReason, Ending, Event, JoinFailure, Refusal};
use crate::group::judgement::Evidence;
use crate::group::private::Words;
use crate::group::station::{Identity, Station};
use crate::group::{Backoff, Check};
use crate::objects::Guest;
use crate::policy::{MIN_FRAME, Policy};
use crate::wire::antigone::{Data, RefuseCode};
use crate::wire::enclaves::repaired::{
    Accept, AdminMsg, AuthAckKey, AuthKeyDist, Closed, Confirm as ConfirmText, Gossip, Offer,
};
use crate::wire::field::{Blob, Field, VerifyingKey};
use crate::wire::frame::split_frame;
use crate::wire::{Header, Message as _};

/// An offer that has opened, with the keys of the session.
struct Accepted<'f> {
    offer: Accept<'f>,
    keys: SessionKeys,
    proof: Bytes,
}

/// Opens EN-R2 with K_a.
fn open_offer<'f>(
    suite: &dyn Suite,
    checks: crate::group::Checks,
    shown: &Shown,
    frame: &'f mut [u8],
) -> Result<(Offer<'f>, SessionKeys), Reason> {
    let keys = SessionKeys::derive(suite, &shown.key)?;
    let parsed = AuthKeyDist::parse(frame).map_err(|_| Reason::Malformed)?;
    let (clear, text, tag) = (parsed.clear, parsed.text, parsed.tag);
    let (ad, sealed) = split_frame(frame, clear, &text);
    let opened = keys.leader.open(JOIN, ad, sealed, &tag);
    keys.leader.scrub();
    if opened.is_err() && checks.on(Check::OfferBox) {
        opened?;
    }
    let offer = Offer::decode(sealed).map_err(|_| Reason::Violation)?;
    Ok((offer, keys))
}

impl Member {
    pub(super) fn take_frame(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        frame: BytesMut,
    ) -> Result<(), Reason> {
        let info = self.links.get(&link).ok_or(Reason::Unknown)?;
        if frame.len() > info.max_frame {
            return Err(Reason::Oversize);
        }
        // Everything here is between two, or relayed by the leader.
        if info.shared {
            return Err(Reason::Misdirected);
        }
        let code = self.me.header().code_of(&frame).map_err(reason_of)?;
        match code {
            code if code == AuthKeyDist::INFO.code => self.on_answer(cx, now, link, frame),
            code if code == AdminMsg::INFO.code => self.on_admin(cx, now, link, frame),
            code if code == Closed::INFO.code => self.on_end(link, frame),
            code if code == Data::INFO.code => self.on_data(now, link, frame, true),
            code if code == Gossip::INFO.code => self.on_gossip(frame),
            _ => Err(Reason::Misdirected),
        }
    }

    /// EN-R2.
    fn on_answer(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, mut frame: BytesMut) -> Result<(), Reason> {
        let Phase::Asking(asking) = &self.phase else { return Err(Reason::Unknown) };
        let Asking { asked, n1, until, .. } = &**asking;
        let until = *until;
        let parsed = AuthKeyDist::parse(&frame).map_err(|_| Reason::Malformed)?.message;
        if parsed.n1 != *n1 {
            return Err(Reason::Unknown);
        }
        let (me, n2) = (&self.me, parsed.n2);
        let shown = asked.finish(&me.scene(cx.wall), &n2, parsed.answer.0)?;
        let (offer, keys) = open_offer(&*me.suite, me.limits.checks, &shown, &mut frame)?;
        let offer = match offer {
            Offer::Accept(offer) => offer,
            Offer::Refuse(why) => {
                let why = match why {
                    RefuseCode::Denied => Refusal::Denied,
                    RefuseCode::Busy => Refusal::Busy,
                };
                self.phase = Phase::Idle;
                self.wanted.close();
                self.out.event(Event::JoinRefused(why));
                return Ok(());
            }
        };
        // The offer is authentic: whatever is wrong with it now is the leader's doing, and ends the attempt.
        let Ok(policy) = Policy::decode(offer.policy.0) else {
            self.fail_join(JoinFailure::Ended(EndReason::Protocol));
            return Ok(());
        };
        if let Err(shortfall) = me.admits(&policy) {
            self.fail_join(JoinFailure::BelowFloor(shortfall));
            return Ok(());
        }
        let carries = self.links.get(&link).map_or(0, |info| info.max_frame);
        if carries < policy.frame_limit as usize || carries < MIN_FRAME {
            self.fail_join(JoinFailure::LinkTooSmall);
            return Ok(());
        }
        let accepted = Accepted { offer, keys, proof: shown.proof };
        let backoff = Backoff::start(me.limits.retry, now, &mut self.jitter);
        let (session, frame) = self.open_session(cx, now, link, until, policy, accepted, n2, backoff)?;
        self.out.send(control(link, frame));
        self.phase = Phase::In(Box::new(session));
        Ok(())
    }

    /// The session that an offer opens, and EN-R3. Nothing has changed yet.
    #[allow(clippy::too_many_arguments, reason = "what an offer comes to, by its parts")]
    fn open_session(
        &self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        until: Instant,
        policy: Policy,
        accepted: Accepted<'_>,
        n2: crate::wire::field::Nonce,
        backoff: Backoff,
    ) -> Result<(Session, Bytes), Reason> {
        let (me, header) = (&self.me, self.me.header());
        let suite = &*me.suite;
        let Accepted { offer, keys, proof } = accepted;
        let fresh = |error| Reason::from(Failure::from(error));
        let (origin, origin_key) = if policy.origin {
            let (secret, public) = suite.signing_pair(cx.rng).map_err(fresh)?;
            (Some(Key::<role::Signing>::new(secret)), public)
        } else {
            (None, VerifyingKey::NONE)
        };
        let n3 = fresh_nonce(suite, cx.rng).map_err(fresh)?;
        let Accept { group, cid, leader_key, policy_version, .. } = offer;
        let identity = Identity { group, cid, name: me.name.clone(), origin };
        let station = Station::new(me.suite.clone(), header, &me.limits, policy, policy_version, identity, 0)?;
        // Last of all that can fail: another attempt draws another N3, and this number of the box has one text (R16).
        let frame = confirm(header, &keys, n2, &ConfirmText { n3, proof: Blob(&proof), origin_key })?;
        let place = Place { header, group, cid, keys, checks: me.limits.checks };
        let session = Session {
            station,
            chain: MemberChain::new(place, n3, now),
            link: Some(link),
            leader_key,
            confirm: Some(Confirm { frame: frame.clone(), backoff }),
            joined: false,
            until,
            pages: None,
            next_policy: None,
            evidence: Evidence::new(now),
            watched_since: now,
            behind: false,
            stale: false,
            early: false,
            requests: Requests::new(),
            gossips: Words::new(&self.me.limits),
            objects: Guest::new(),
            told: None,
        };
        Ok((session, frame))
    }

    /// EN-R7: the leader has ended the session, or has heard that this side has.
    fn on_end(&mut self, link: Link, mut frame: BytesMut) -> Result<(), Reason> {
        match &self.phase {
            Phase::Ending(farewell) => {
                farewell.chain.hear_end(&mut frame)?;
                let said = farewell.said;
                self.finish(said);
            }
            Phase::In(session) => {
                let end = session.chain.hear_end(&mut frame)?;
                let joined = session.joined;
                // One answer, at once: nothing is left here to give another. Should the suite fail, the leader lingers.
                let (member, leader) = (self.me.name.by_ref(), self.me.leader.by_ref());
                if let Ok(close) = session.chain.close(&mut self.out.pool, member, leader) {
                    self.out.send(control(link, close));
                }
                if joined {
                    self.finish(Ending::ByLeader(end.reason));
                } else {
                    self.fail_join(JoinFailure::Ended(end.reason));
                }
            }
            Phase::Idle | Phase::Asking(_) => return Err(Reason::Unknown),
        }
        Ok(())
    }
}

/// EN-R3.
fn confirm(
    header: Header,
    keys: &SessionKeys,
    n2: crate::wire::field::Nonce,
    text: &ConfirmText<'_>,
) -> Result<Bytes, Failure> {
    let mut out = BytesMut::with_capacity(512);
    AuthAckKey { n2 }.put_boxed(header, &mut out, |out| text.put(out), |ad, text| keys.member.seal(JOIN, ad, text))?;
    Ok(out.freeze())
}
