//! What a member knows in a group.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::super::plane::Plane;
use super::{Me, Member};
use crate::antigone::keys::published::Group;
use crate::antigone::leave::{Farewell, member_end, published as leave};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::endpoint::{Cx, Instant, Link};
use crate::error::{CommandError, Misuse};
use crate::event::{Cause, EndReason, Ending, Event};
use crate::group::channel::{Channel, Standing};
use crate::group::{Backoff, Jitter};
use crate::identity::{Epoch, MemberId, Name, NameRef, Version};
use crate::policy::{Part, Policy};
use crate::wire::Field;
use crate::wire::antigone::{EjectRequest, MemberBody, MemberRecord};
use crate::wire::field::VerifyingKey;

/// A member's own numbers for names begin here: leaders do not get so far.
pub(super) const FIRST: u64 = 1 << 32;

/// A member's session: from the accepted offer to the end.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Session {
    pub(super) plane: Plane,
    /// As the leader sent it: the plane's shows no numbered views.
    pub(super) policy: Policy,
    pub(super) link: Option<Link>,
    /// Of the published exchange, or of this session behind a repaired join.
    pub(super) sigma: Key<role::Pair>,
    pub(super) channel: Option<Channel>,
    /// The g that the offer named: what AN-K is compared with (D17).
    pub(super) expected: Group,
    /// AN-J3, until the first key is here.
    pub(super) confirming: Option<Confirming>,
    pub(super) joined: bool,
    pub(super) until: Instant,
    /// S_SL, as last told.
    pub(super) sequence: u64,
    /// S_A.
    pub(super) own_sequence: u64,
    /// Pu_G.
    pub(super) published_key: VerifyingKey,
    pub(super) alive_as_of: Instant,
    pub(super) current_as_of: Option<Instant>,
    /// The number of the leader's key, as last told.
    pub(super) told: Option<Epoch>,
    pub(super) stale: bool,
    /// When to ask for the key (again).
    pub(super) wish: Option<Backoff>,
    /// A request for the key is not answered.
    pub(super) wished: bool,
    /// The next own heartbeat, and challenge to the leader.
    pub(super) beat_at: Option<Instant>,
    pub(super) owed: Owed,
    /// Names and this member's own numbers for them.
    pub(super) names: BTreeMap<Name, MemberId>,
    /// Those of them whom a list has named: they are in the group, as far as this member was told.
    pub(super) roster: BTreeSet<Name>,
    pub(super) next_number: u64,
    pub(super) rosters: u64,
    pub(super) shows_names: bool,
    /// Requests to eject that are not answered: the number of the record, and who should go.
    pub(super) requests: VecDeque<(u64, MemberId)>,
}

fingerprint!(Session {
    plane, link, sigma, channel, expected, confirming, joined, until, sequence, own_sequence, published_key, alive_as_of,
    current_as_of, told, stale, wish, wished, beat_at, owed, names, roster, requests,
} skip { policy, next_number, rosters, shows_names });

/// AN-J3 on its way.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Confirming {
    pub(super) frame: Bytes,
    pub(super) backoff: Backoff,
    pub(super) tries: u8,
}

fingerprint!(Confirming { frame, backoff, tries });

/// Frames of the channel that the leader is owed: each is a frame of its own, since each is of another part.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Owed {
    /// A record, new or again.
    pub(super) record: bool,
    /// An answer to the leader's challenge: this member's heartbeat.
    pub(super) reply: bool,
    /// A challenge: the leader's heartbeat is the answer.
    pub(super) challenge: bool,
    /// The request for the key.
    pub(super) key: bool,
    /// Not before: sealing has failed.
    pub(super) held: Option<Instant>,
}

fingerprint!(Owed { record, reply, challenge, key, held });

impl Owed {
    pub(super) fn any(&self) -> bool {
        self.record || self.reply || self.challenge || self.key
    }
}

impl Session {
    /// Whether the key here may be used: there is one, and nothing says that it is old.
    pub(super) fn current(&self) -> bool {
        self.plane.key().is_some() && !self.stale && !self.behind()
    }

    /// Whether the leader is known to have another key.
    pub(super) fn behind(&self) -> bool {
        self.told.is_some_and(|told| told != self.plane.epoch())
    }

    /// The staleness bound `T_max`, if the policy has one.
    pub(super) fn staleness(&self, rto: Duration) -> Option<Duration> {
        self.plane.station.policy.detection.map(|detection| detection.staleness(rto))
    }

    /// When the leader counts as lost (T_lost): nothing was heard of it, or its key does not come. As published nobody is
    /// told that it was removed, and may still hear heartbeats.
    pub(super) fn lost_at(&self, bound: Duration) -> Instant {
        let current = self.current_as_of.filter(|_| self.stale);
        current.unwrap_or(self.alive_as_of).min(self.alive_as_of) + bound.saturating_mul(2)
    }

    /// The leader has been heard: its key has this number, and it lived at `proof`. True if the key here is to be asked for.
    pub(super) fn hear_leader(&mut self, me: &Me, told: Epoch, proof: Option<Instant>) -> bool {
        // Repaired epochs grow; what stands for a published g does not.
        let older = !me.sides.is_published(Part::Keys) && told < self.plane.epoch();
        if let Some(proof) = proof {
            self.alive_as_of = self.alive_as_of.max(proof);
        }
        if told.0 != 0 && !older {
            self.told = Some(told);
        }
        self.judge();
        self.behind()
    }

    /// After anything has changed: is the key here the leader's?
    pub(super) fn judge(&mut self) {
        if self.plane.key().is_some() && self.told == Some(self.plane.epoch()) {
            self.current_as_of = self.current_as_of.max(Some(self.alive_as_of));
        }
    }

    /// The number of a name; a new one for a name that was not known, as long as there is room.
    pub(super) fn number(&mut self, name: &Name, most: usize) -> Option<MemberId> {
        if let Some(cid) = self.names.get(name) {
            return Some(*cid);
        }
        if self.names.len() > most {
            // One that no list has named goes: anybody may have invented it.
            let invented =
                |of: &&Name| !self.roster.contains(*of) && self.names.get(*of).is_some_and(|cid| cid.0 >= FIRST);
            let goes = self.names.keys().find(invented).cloned()?;
            self.names.remove(&goes);
        }
        let cid = MemberId(self.next_number);
        self.next_number += 1;
        self.names.insert(name.clone(), cid);
        Some(cid)
    }

    /// Takes in the list of members of AN-K or AN-R. Gives what has changed.
    pub(super) fn take_roster(&mut self, me: &Me, members: &[Name]) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.shows_names || members.is_empty() {
            return events;
        }
        self.rosters += 1;
        let view = Version(self.rosters);
        let others = || members.iter().filter(|name| **name != me.sides.leader && **name != me.name);
        let gone: Vec<Name> = self.roster.iter().filter(|name| !members.contains(name)).cloned().collect();
        for name in gone {
            self.roster.remove(&name);
            if let Some(cid) = self.names.remove(&name) {
                // The list says who is there, and not why somebody is not.
                events.push(Event::MemberRemoved { cid, name, cause: Cause::Missed, by: MemberId::LEADER, view });
            }
        }
        for name in others() {
            if !self.roster.contains(name)
                && self.roster.len() < me.limits.members
                && let Some(cid) = self.number(name, me.limits.members)
            {
                self.roster.insert(name.clone());
                events.push(Event::MemberAdded { cid, name: name.clone(), view });
            }
        }
        events
    }

    /// A key is wanted: asks at once, and again until it comes.
    pub(super) fn want_key(&mut self, me: &Me, now: Instant, jitter: &mut Jitter) {
        if self.wish.is_none() {
            let mut backoff = Backoff::start(me.limits.retry, now, jitter);
            backoff.hurry(now);
            self.wish = Some(backoff);
        }
    }

    /// The record by which a member asks to eject another. In a mix members have no numbers of each other: the name counts.
    pub(super) fn ask_to_eject(
        &mut self,
        me: &Me,
        now: Instant,
        target: &Name,
        jitter: &mut Jitter,
    ) -> Result<(), CommandError> {
        let most = me.limits.records;
        let channel = self.channel.as_mut().ok_or(Misuse::NotJoined)?;
        if !channel.has_room() || self.requests.len() >= most {
            return Err(Misuse::Unanswered.into());
        }
        let mut body = BytesMut::with_capacity(300);
        let request = EjectRequest { cid: MemberId::LEADER, name: target.by_ref() };
        MemberBody::Record(MemberRecord::Eject(request)).put(&mut body);
        let rseq = channel.queue(body.freeze());
        channel.advance(me.limits.retry, now, jitter);
        let number = self.number(target, me.limits.members).unwrap_or(MemberId(u64::MAX));
        self.requests.push_back((rseq, number));
        self.owed.record = true;
        Ok(())
    }

    /// Turns the session into a farewell over its channel.
    pub(super) fn farewell(
        self: Box<Self>,
        reason: EndReason,
        said: Ending,
        backoff: Backoff,
        now: Instant,
        until: Instant,
    ) -> Option<Box<Farewell>> {
        let body = member_end(reason, self.plane.station.cid);
        let Self { channel, link, .. } = *self;
        let (channel, standing) = (channel?, Standing::default());
        Some(Box::new(Farewell { channel, link, standing, body, said, backoff, owed: Some(now), until }))
    }
}

/// AN-L or AN-E of a session.
impl Session {
    pub(super) fn removal(&self, me: &Me, cx: &mut Cx<'_>, target: NameRef<'_>) -> Result<Bytes, CommandError> {
        let key = self.plane.key().ok_or(Misuse::NotCurrent)?;
        let sides = &me.sides;
        let from = (me.name.by_ref(), &self.sigma);
        leave::removal(&*sides.published, sides.published_header(), cx.rng, key, from, target)
            .map_err(super::super::plane::failure_of)
    }
}

impl Member {
    /// The name behind a number of this member's events.
    pub fn name_of(&self, cid: MemberId) -> Option<&Name> {
        self.session()?.names.iter().find(|(_, of)| **of == cid).map(|(name, _)| name)
    }

    /// The numbers of those who are known to be in the group, by this member's own count.
    pub fn numbers(&self) -> impl Iterator<Item = MemberId> {
        self.session().into_iter().flat_map(|session| session.names.values().copied())
    }
}
