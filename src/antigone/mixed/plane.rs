//! The group key in use at a participant, and data under it, in whichever editions both parts are.
//!
//! | keys | data | how |
//! |---|---|---|
//! | published | published | AN-D under K_g |
//! | published | repaired | RA-Dm: keys that follow from K_g, g and a salt |
//! | repaired | published | AN-D under a K_g that follows from `base`, with a g that follows from instance and epoch |
//! | repaired | repaired | RA-D, as always |

use alloc::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::bridges;
use super::sides::Sides;
use crate::antigone::data::bridge::{self, BridgeOpeners, BridgeSealer};
use crate::antigone::data::published;
use crate::antigone::keys::published::{Group, GroupKey};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::endpoint::{Cx, Entropy, Instant};
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::{Message, Port, Sender};
use crate::group::station::Station;
use crate::group::{EpochKeys, Outbox};
use crate::identity::{Epoch, Name, NameRef};
use crate::policy::{Part, Protection};
use crate::wire::antigone::Data;
use crate::wire::bridges::BridgedData;
use crate::wire::frame::MAX_TEXT;
use crate::wire::{Edition, Message as _};

/// The key in use, and the one before for as long as the policy's grace.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub(super) struct Plane {
    /// Repaired keys, the view, the policy.
    pub(super) station: Station,
    name: Name,
    current: Option<Held>,
    previous: Option<(Held, Instant)>,
    /// What was read under the last keys that are gone, without the keys.
    read: VecDeque<(Group, BridgeOpeners)>,
    senders: usize,
}

/// Keys that are gone of which a receiver remembers what it has read.
const REMEMBERED: usize = 2;

fingerprint!(Plane { station, current, previous } skip { name, read, senders });

/// A key, and what data under it need.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Held {
    key: GroupKey,
    epoch: Epoch,
    sealer: Option<BridgeSealer>,
    openers: BridgeOpeners,
}

fingerprint!(Held { key, epoch } skip { sealer, openers });

/// A key ready to be installed.
#[derive(Debug)]
pub(super) struct Ready {
    held: Held,
    repaired: Option<(EpochKeys, Epoch)>,
}

impl Ready {
    /// The key for published parts.
    pub(super) fn key(&self) -> &GroupKey {
        &self.held.key
    }

    /// Its number in events.
    pub(super) fn epoch(&self) -> Epoch {
        self.held.epoch
    }
}

/// A message as it came.
pub(super) struct Incoming {
    /// Who is named as the sender, where it is a name and no number.
    pub(super) sender: Option<Name>,
    /// With the number that stands in the frame, or else the leader's: put the sender's in its place.
    pub(super) message: Message,
}

impl Plane {
    pub(super) fn new(station: Station, name: Name, senders: usize) -> Self {
        Self { station, name, current: None, previous: None, read: VecDeque::new(), senders }
    }

    /// The key that published parts use.
    pub(super) fn key(&self) -> Option<&GroupKey> {
        self.current.as_ref().map(|held| &held.key)
    }

    /// The number of the key in use; 0 for none.
    pub(super) fn epoch(&self) -> Epoch {
        self.current.as_ref().map_or(Epoch(0), |held| held.epoch)
    }

    /// Readies a key that AN-K or AN-R brings.
    pub(super) fn ready_published(
        &self,
        sides: &Sides,
        rng: &mut dyn Entropy,
        key: GroupKey,
    ) -> Result<Ready, Failure> {
        let kind = self.station.policy.protection.kind();
        let sealer = if sides.is_published(Part::Data) {
            None
        } else {
            Some(BridgeSealer::new(&*sides.modern, rng, &key, kind, self.name.by_ref())?)
        };
        let epoch = key.group.number();
        Ok(Ready { held: Held { key, epoch, sealer, openers: BridgeOpeners::default() }, repaired: None })
    }

    /// Readies a key that RA-R brings.
    pub(super) fn ready_repaired(
        &self,
        sides: &Sides,
        epoch: Epoch,
        floor: Epoch,
        base: &Key<role::DataBase>,
    ) -> Result<Ready, Failure> {
        let group = Group::of_epoch(&sides.app, self.station.group, epoch).ok_or(Failure::Suite)?;
        let key = bridges::data_key(&*sides.modern, &*sides.published, base)?;
        let keys = self.station.prepare(&self.station.policy, epoch, base.clone(), Instant::from_micros(u64::MAX))?;
        let held = Held { key: GroupKey { group, key }, epoch, sealer: None, openers: BridgeOpeners::default() };
        Ok(Ready { held, repaired: Some((keys, floor)) })
    }

    /// Installs a key. The one before opens for as long as the policy's grace, unless somebody is to be shut out.
    pub(super) fn install(&mut self, ready: Ready, now: Instant, evicts: bool) {
        let grace = self.station.policy.grace;
        let mut evicts = evicts;
        if let Some((keys, floor)) = ready.repaired {
            // The floor decides, and not the cause of this one epoch (RA §4.4).
            evicts |= self.epoch() < floor;
            self.station.install(keys, floor, now);
        }
        let mut held = ready.held;
        // A key that comes back finds what was read under it.
        self.retire();
        if let Some(at) = self.read.iter().position(|(group, _)| *group == held.key.group)
            && let Some((_, openers)) = self.read.remove(at)
        {
            held.openers = openers;
        }
        let epoch = held.epoch;
        let before = self.current.replace(held).filter(|before| before.epoch != epoch);
        self.previous = before.map(|before| (before, now + grace));
        if evicts || grace.is_zero() {
            self.retire();
        }
    }

    /// The key before opens nothing any more; what was read under it is remembered.
    fn retire(&mut self) {
        let Some((Held { key, mut openers, .. }, _)) = self.previous.take() else { return };
        openers.forget_keys();
        if self.read.len() >= REMEMBERED {
            self.read.pop_front();
        }
        self.read.push_back((key.group, openers));
    }

    /// Wipes all keys.
    pub(super) fn erase(&mut self, limits: &crate::group::Limits) {
        (self.current, self.previous) = (None, None);
        self.read.clear();
        self.station.erase(limits);
    }

    /// When something of the keys is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let ring = self.station.ring.next_deadline().map(|(at, _)| at);
        [ring, self.previous.as_ref().map(|(_, until)| *until)].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn handle_time(&mut self, now: Instant) {
        self.station.ring.handle_time(now);
        if self.previous.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.retire();
        }
    }

    /// The longest payload of a message, in bytes.
    pub(super) fn max_message(&self, sides: &Sides) -> usize {
        let limit = self.station.policy.frame_limit as usize;
        match (&self.current, sides.is_published(Part::Data), sides.is_published(Part::Keys)) {
            (_, false, false) => self.station.max_message(),
            (Some(held), false, true) => bridge::max_message(&held.key, self.name.by_ref(), limit),
            _ => {
                let names = sides.app.as_str().len() + self.name.as_str().len();
                let sealing = sides.published.sizes().sealing;
                limit.saturating_sub(published::OVERHEAD + names + sealing).min(MAX_TEXT - 512)
            }
        }
    }

    /// Seals a message under the key in use.
    pub(super) fn seal(
        &mut self,
        sides: &Sides,
        cx: &mut Cx<'_>,
        out: &mut Outbox,
        now: Instant,
        port: Port,
        payload: &[u8],
    ) -> Result<Bytes, CommandError> {
        if payload.len() > self.max_message(sides) {
            return Err(Misuse::TooLong.into());
        }
        let name = self.name.by_ref();
        if sides.is_published(Part::Data) {
            let held = self.current.as_ref().ok_or(Misuse::NotCurrent)?;
            let protection = self.station.policy.protection;
            let header = sides.published_header();
            return published::seal(&*sides.published, header, cx.rng, &held.key, protection, name, port, payload)
                .map_err(failure_of);
        }
        if sides.is_published(Part::Keys) {
            let held = self.current.as_mut().ok_or(Misuse::NotCurrent)?;
            let sealer = held.sealer.as_mut().ok_or(Misuse::NotCurrent)?;
            return sealer.seal(sides.repaired_header(), &mut out.pool, &held.key, name, port, payload);
        }
        self.station.seal(&mut out.pool, now, port, payload)
    }

    /// Reads a message of edition and code as in its header.
    pub(super) fn open(
        &mut self,
        sides: &Sides,
        now: Instant,
        edition: Edition,
        code: u8,
        frame: BytesMut,
    ) -> Result<Incoming, Reason> {
        if edition != sides.mix.editions.of(Part::Data) {
            return Err(Reason::Mismatch);
        }
        let protection = self.station.policy.protection;
        let own = self.name.clone();
        match edition {
            Edition::AsPublished => {
                let (group, _) = published::peek(code, &frame)?;
                let held = self.held_for(&group, now)?;
                let opened = published::open(&*sides.published, &held.key, protection, code, &frame)?;
                if opened.sender == own {
                    return Err(Reason::Echo);
                }
                let epoch = held.epoch;
                Ok(named(opened.sender, protection, epoch, opened.port, opened.payload))
            }
            Edition::Repaired if code == BridgedData::INFO.code && sides.is_published(Part::Keys) => {
                let group = Group::of(&BridgedData::parse(&frame).map_err(|_| Reason::Malformed)?.message.group);
                let senders = self.senders;
                let held = self.held_for(&group, now)?;
                let Held { key, openers, epoch, .. } = held;
                let epoch = *epoch;
                let opened = openers.open(&*sides.modern, key, protection.kind(), own.by_ref(), senders, frame)?;
                Ok(named(opened.sender, protection, epoch, opened.port, opened.payload))
            }
            Edition::Repaired if code == Data::INFO.code && !sides.is_published(Part::Keys) => {
                let sender = Data::parse(&frame).map_err(|_| Reason::Malformed)?.message.label.0.map(NameRef::to_name);
                let checked = self.station.check(now, frame, true)?;
                let message = self.station.deliver(checked)?;
                Ok(Incoming { sender, message })
            }
            Edition::Repaired => Err(Reason::Misdirected),
        }
    }

    fn held_for(&mut self, group: &Group, now: Instant) -> Result<&mut Held, Reason> {
        if let Some(held) = self.current.as_mut().filter(|held| held.key.group == *group) {
            return Ok(held);
        }
        match self.previous.as_mut().filter(|(_, until)| now < *until) {
            Some((held, _)) if held.key.group == *group => Ok(held),
            // Nothing says whether it is older or newer.
            _ => Err(Reason::MissedEpoch),
        }
    }
}

fn named(sender: Name, protection: Protection, epoch: Epoch, port: Port, payload: Bytes) -> Incoming {
    let leader = crate::identity::MemberId::LEADER;
    let from = match protection {
        Protection::None => Sender::Unauthenticated(leader),
        _ => Sender::AnyMember(leader),
    };
    Incoming { sender: Some(sender), message: Message { from, epoch, port, payload } }
}

/// `message` from this number.
pub(super) fn from_number(message: Message, cid: crate::identity::MemberId) -> Message {
    let from = match message.from {
        Sender::Unauthenticated(_) => Sender::Unauthenticated(cid),
        Sender::AnyMember(_) => Sender::AnyMember(cid),
        Sender::Pairwise(_) => Sender::Pairwise(cid),
        Sender::Signed(_) => Sender::Signed(cid),
        Sender::Vouched(_) => Sender::Vouched(cid),
    };
    Message { from, ..message }
}

/// What a command answers when sealing failed.
pub(super) fn failure_of(reason: Reason) -> CommandError {
    match reason {
        Reason::Entropy => Failure::Entropy.into(),
        Reason::Suite => Failure::Suite.into(),
        _ => Misuse::NotCurrent.into(),
    }
}
