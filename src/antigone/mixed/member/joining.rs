//! The way in: the wish, the leader's answer, and the confirmation.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::session::{Confirming, Owed, Session};
use super::{Me, Member, Phase, control};
use crate::antigone::join::asking::{Attempt, Parties};
use crate::antigone::join::published::{self, Pair};
use crate::antigone::keys::published::Group;
use crate::antigone::schedule::ChannelKeys;
use crate::crypto::keys::role;
use crate::crypto::{Aead, Key};
use crate::endpoint::{Cx, Instant, Link};
use crate::error::{Failure, Reason};
use crate::event::{EndReason, Event, JoinFailure, Refusal};
use crate::group::channel::{Channel, Side};
use crate::group::station::{Identity, Station};
use crate::group::{Backoff, Check, Jitter, Probes};
use crate::identity::{Instance, MemberId, Version};
use crate::policy::{Part, Policy, Views};
use crate::ttp::schedule::question_digest;
use crate::wire::antigone::{Accept, Hello, KeyRequest, MemberBody, MemberRecord, Offer, RefuseCode};
use crate::wire::bridges::AcceptMixed;
use crate::wire::field::{Blob, Nonce, VerifyingKey};
use crate::wire::published::JoinError;
use crate::wire::{Edition, Field, Message as _};

use super::super::plane::Plane;

/// A join under way.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Asking {
    attempt: Wish,
    pub(super) link: Option<Link>,
    pub(super) backoff: Backoff,
    pub(super) until: Instant,
}

fingerprint!(Asking { attempt, link, backoff, until });

#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
enum Wish {
    /// AN-J1 with this I0.
    Published(Nonce, Bytes),
    /// RA-J1.
    Repaired(Box<Attempt>),
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Wish {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        self.frame().fingerprint(now, sink);
    }
}

impl Wish {
    fn frame(&self) -> &Bytes {
        match self {
            Self::Published(_, frame) => frame,
            Self::Repaired(attempt) => &attempt.frame,
        }
    }
}

/// What every accepted offer comes to, whatever its edition.
struct Welcomed {
    instance: Instance,
    cid: MemberId,
    version: Version,
    policy: Bytes,
    group: Group,
    sequence: u64,
    published_key: VerifyingKey,
    sigma: Key<role::Pair>,
    /// Seals and opens, where there is a channel.
    channel: Option<(Arc<dyn Aead>, Arc<dyn Aead>)>,
    /// AN-J3.
    confirm: Option<Bytes>,
}

impl Me {
    /// A g is of the own application, with a number of its length (D13).
    pub(super) fn admits(&self, group: &Group) -> Result<(), Reason> {
        if group.fits(&self.sides.app) || self.faults.any_numbers { Ok(()) } else { Err(Reason::Violation) }
    }

    /// Draws a new wish to join.
    pub(super) fn ask(
        &self,
        cx: &mut Cx<'_>,
        now: Instant,
        until: Instant,
        jitter: &mut Jitter,
    ) -> Result<Asking, Failure> {
        let sides = &self.sides;
        let attempt = if sides.is_published(Part::Join) {
            let i0 = sides.published.fresh_nonce(cx.rng, sides.published.sizes().nonce)?;
            Wish::Published(i0, published::wish(sides.published_header(), self.name.by_ref(), i0))
        } else {
            let parties =
                Parties { app: sides.app.by_ref(), leader: sides.leader.by_ref(), member: self.name.by_ref() };
            let header = sides.repaired_header();
            // The exchange costs little and a leader that does not want it cannot forbid it (floor).
            let ephemeral = self.limits.checks.on(Check::Ephemeral);
            Wish::Repaired(Box::new(Attempt::new(&*sides.modern, header, cx.rng, &self.keys, parties, ephemeral)?))
        };
        Ok(Asking { attempt, link: None, backoff: Backoff::start(self.limits.retry, now, jitter), until })
    }
}

impl Member {
    /// Sends a wish that was drawn, or wishes for a link to send it over.
    pub(super) fn begin(&mut self, now: Instant, mut asking: Asking) {
        asking.link = self.usable_link();
        if let Some(link) = asking.link {
            self.out.send(control(link, asking.attempt.frame().clone()));
        }
        self.phase = Phase::Asking(Box::new(asking));
        self.want_leader(now);
    }

    pub(super) fn repeat_wish(&mut self, now: Instant) {
        let Phase::Asking(asking) = &mut self.phase else { return };
        asking.backoff.again(now, &mut self.jitter);
        if let Some(link) = asking.link {
            self.out.send(control(link, asking.attempt.frame().clone()));
        }
    }

    /// The clear error message: anybody can have written it (X15).
    pub(super) fn on_error(&mut self, frame: &[u8]) -> Result<(), Reason> {
        self.me.sides.expect(Part::Join, Edition::AsPublished)?;
        let Phase::Asking(_) = &self.phase else { return Err(Reason::Unknown) };
        let error = JoinError::parse(frame).map_err(|_| Reason::Malformed)?.message;
        if error.leader != self.me.sides.leader.by_ref() || error.member != self.me.name.by_ref() {
            return Err(Reason::Unknown);
        }
        self.refused(match error.reason {
            RefuseCode::Busy => Refusal::Busy,
            RefuseCode::Denied => Refusal::Denied,
        });
        Ok(())
    }

    fn refused(&mut self, why: Refusal) {
        self.phase = Phase::Idle;
        self.wanted.close();
        self.out.event(Event::JoinRefused(why));
    }

    /// AN-J2.
    pub(super) fn on_reply(&mut self, cx: &mut Cx<'_>, now: Instant, link: Link, frame: &[u8]) -> Result<(), Reason> {
        let sides = &self.me.sides;
        sides.expect(Part::Join, Edition::AsPublished)?;
        let Phase::Asking(asking) = &self.phase else { return Err(Reason::Unknown) };
        let Wish::Published(i0, wish) = &asking.attempt else { return Err(Reason::Unknown) };
        let (suite, sigma) = (&*sides.published, &self.me.sigma);
        let pair = Pair { leader: sides.leader.by_ref(), member: self.me.name.by_ref(), sigma };
        let welcome = pair.read_reply(suite, i0, frame)?;
        if welcome.i2.as_bytes().len() != suite.sizes().nonce && !self.me.faults.any_numbers {
            return Err(Reason::Violation);
        }
        self.me.admits(&welcome.group)?;
        let confirm = pair.confirm(suite, sides.published_header(), cx.rng, welcome.i2)?;
        let channel = if sides.has_channel() {
            let root = sides.channel_root(sigma, [wish, frame, &confirm])?;
            let (open, seal) = ChannelKeys::of_root(&*sides.modern, &root)?.prepare(&*sides.modern)?;
            Some((seal, open))
        } else {
            None
        };
        let welcomed = Welcomed {
            instance: welcome.instance,
            cid: welcome.cid,
            version: welcome.policy_version,
            policy: welcome.policy,
            group: welcome.group,
            sequence: welcome.sequence,
            published_key: welcome.key,
            sigma: sigma.clone(),
            channel,
            confirm: Some(confirm),
        };
        let until = asking.until;
        self.enter(now, link, until, welcomed)
    }

    /// RA-J2.
    pub(super) fn on_answer(&mut self, now: Instant, link: Link, mut frame: BytesMut) -> Result<(), Reason> {
        let (sides, keys) = (&self.me.sides, &self.me.keys);
        sides.expect(Part::Join, Edition::Repaired)?;
        let Phase::Asking(asking) = &self.phase else { return Err(Reason::Unknown) };
        let Wish::Repaired(attempt) = &asking.attempt else { return Err(Reason::Unknown) };
        let until = asking.until;
        let modern = &*sides.modern;
        let bridged = sides.is_published(Part::ThirdParty);
        let opened = attempt.open_answer(modern, &mut frame, |i1| {
            if bridged {
                let (leader, member) = (sides.leader.by_ref(), self.me.name.by_ref());
                let question = crate::ttp::published::question(sides.published_header(), leader, member, *i1);
                return Ok(sides.bridged_session(&self.me.sigma, &question, &attempt.frame)?);
            }
            let mut question = BytesMut::with_capacity(attempt.frame.len() + 64);
            KeyRequest { i1: *i1, join: Blob(&attempt.frame) }.put_clear(sides.repaired_header(), &mut question);
            let question = question_digest(modern, &question)?;
            let session = keys.session_key(modern, &question)?;
            Ok((question, session))
        })?;
        let AcceptMixed { accept, group, sequence, published_key } = match opened.offer {
            Offer::AcceptMixed(accept) => accept,
            Offer::Refuse(RefuseCode::Denied) => {
                self.refused(Refusal::Denied);
                return Ok(());
            }
            Offer::Refuse(RefuseCode::Busy) => {
                self.refused(Refusal::Busy);
                return Ok(());
            }
            Offer::Accept(_) => return Err(Reason::Mismatch),
        };
        let group = Group::of(&group);
        self.me.admits(&group)?;
        let Accept { group: instance, cid, leader_key: _, policy_version: version, policy } = accept;
        let welcomed = Welcomed {
            instance,
            cid,
            version,
            policy: Bytes::copy_from_slice(policy.0),
            group,
            sequence,
            published_key,
            sigma: sides.session_sigma(&opened.root)?,
            channel: Some((opened.seal, opened.open)),
            confirm: None,
        };
        self.enter(now, link, until, welcomed)
    }

    /// The offer is authentic, as far as its edition goes: whatever is wrong with it now ends the attempt.
    fn enter(&mut self, now: Instant, link: Link, until: Instant, welcomed: Welcomed) -> Result<(), Reason> {
        let me = &self.me;
        let sides = &me.sides;
        let agreed = Policy::decode(&welcomed.policy).ok().filter(|policy| policy.mix == Some(sides.mix));
        let Some(policy) = agreed else {
            self.fail_join(JoinFailure::Ended(EndReason::Protocol));
            return Ok(());
        };
        if let Err(shortfall) = me.floor.admits(&Policy { mix: None, ..policy.clone() }) {
            self.fail_join(JoinFailure::BelowFloor(shortfall));
            return Ok(());
        }
        let own = self.links.get(&link).filter(|info| !info.shared).map(|_| link).or_else(|| self.usable_link());
        let Welcomed { instance, cid, version, group, sequence, published_key, sigma, channel, confirm, .. } = welcomed;
        let views = policy.views;
        let detection = policy.detection;
        let identity = Identity { group: instance, cid, name: me.name.clone(), origin: None };
        let hidden = Policy { views: Views::Hidden, ..policy.clone() };
        let header = sides.repaired_header();
        let mut station = Station::new(sides.modern.clone(), header, &me.limits, hidden, version, identity, 0)?;
        // The policy as it was offered: what the leader binds into its keys.
        station.policy_digest = sides.modern.hash(&[&welcomed.policy])?;
        let probes = Probes::many(detection.map_or(2, |detection| usize::from(detection.misses) + 2));
        let mut channel = channel.map(|(seal, open)| {
            Channel::new(Side::Member, header, instance, cid, seal, open, probes, me.limits.records)
                .with_checks(me.limits.checks)
        });
        let mut owed = Owed::default();
        if confirm.is_none()
            && let Some(channel) = &mut channel
        {
            let mut hello = BytesMut::with_capacity(64);
            MemberBody::Record(MemberRecord::Hello(Hello { origin_key: VerifyingKey::NONE })).put(&mut hello);
            channel.queue(hello.freeze());
            channel.advance(me.limits.retry, now, &mut self.jitter);
            owed.record = true;
        }
        let retry = me.limits.retry;
        let confirming = match confirm {
            Some(frame) => {
                if let Some(link) = own {
                    self.out.send(control(link, frame.clone()));
                }
                Some(Confirming { frame, backoff: Backoff::start(retry, now, &mut self.jitter), tries: 1 })
            }
            None => None,
        };
        let names = BTreeMap::from([(sides.leader.clone(), MemberId::LEADER), (me.name.clone(), cid)]);
        let session = Session {
            plane: Plane::new(station, me.name.clone(), me.limits.senders),
            policy,
            link: own,
            sigma,
            channel,
            expected: group,
            confirming,
            joined: false,
            until,
            sequence,
            own_sequence: 0,
            published_key,
            alive_as_of: now,
            current_as_of: None,
            told: None,
            stale: false,
            wish: Some(Backoff::start(retry, now, &mut self.jitter)),
            wished: false,
            beat_at: detection.map(|detection| now + self.jitter.spread(detection.period, 10, 0)),
            owed,
            names,
            roster: BTreeSet::new(),
            next_number: super::session::FIRST,
            rosters: 0,
            shows_names: views != Views::Hidden,
            requests: VecDeque::new(),
        };
        self.phase = Phase::In(Box::new(session));
        self.want_leader(now);
        Ok(())
    }
}
