//! What every participant, leader or member, has of a group: identity, policy, view, keys; and what it does with data.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::crypto::keys::role;
use crate::crypto::{Key, Suite};
use crate::endpoint::{Instant, Link};
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::{Claims, Message, Port};
use crate::group::channel::Standing;
use crate::group::claims::claims;
use crate::group::data::{Checked, DataSealer, Members, Receiving, Sending};
use crate::group::keyring::Rules;
use crate::group::sealer::SealLimits;
use crate::group::{Checks, EpochKeys, Erased, KeyRing, Limits, Pool, View};
use crate::identity::{Epoch, Instance, MemberId, Name, Version};
use crate::policy::{Policy, Views};
use crate::wire::antigone::{Data, Kind};
use crate::wire::field::{Digest, VerifyingKey};
use crate::wire::{Header, Message as _};

/// A participant's part of a group.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Station {
    /// The suite.
    pub suite: Arc<dyn Suite>,
    /// The header of all messages.
    pub header: Header,
    /// The group instance.
    pub group: Instance,
    /// The own number.
    pub cid: MemberId,
    /// The policy in force.
    pub policy: Policy,
    /// Its version.
    pub policy_version: Version,
    /// The digest of its canonical form.
    pub policy_digest: Digest,
    /// Who is in the group.
    pub view: View,
    /// The group keys.
    pub ring: KeyRing,
    /// The checks that are made.
    pub checks: Checks,
    sending: Sending,
    early: VecDeque<(Link, BytesMut)>,
    early_bytes: usize,
    most_early: usize,
    most_early_bytes: usize,
}

fingerprint!(Station { group, cid, policy_version, policy_digest, view, ring, sending, early } skip {
    suite, header, policy, checks, early_bytes, most_early, most_early_bytes,
});

/// A policy that is to rule from some epoch on.
#[derive(Debug, Clone)]
pub struct Ruling {
    /// The policy.
    pub policy: Policy,
    /// Its version.
    pub version: Version,
    /// The digest of its canonical form.
    pub digest: Digest,
}

fingerprint!(Ruling { version, digest } skip { policy });

impl Ruling {
    /// `policy` under its version.
    ///
    /// # Errors
    /// [`Failure::Suite`].
    pub fn new(suite: &dyn Suite, policy: Policy, version: Version) -> Result<Self, Failure> {
        let digest = suite.hash(&[&policy.encode()])?;
        Ok(Self { policy, version, digest })
    }
}

/// Who a participant is in its group.
#[derive(Debug)]
pub struct Identity {
    /// The group instance.
    pub group: Instance,
    /// The own number.
    pub cid: MemberId,
    /// The own name.
    pub name: Name,
    /// The own private origin key, where the policy demands signatures.
    pub origin: Option<Key<role::Signing>>,
}

impl Station {
    /// A participant without a key and with an empty view.
    ///
    /// # Errors
    /// [`Failure::Suite`].
    pub fn new(
        suite: Arc<dyn Suite>,
        header: Header,
        limits: &Limits,
        policy: Policy,
        policy_version: Version,
        identity: Identity,
        history: usize,
    ) -> Result<Self, Failure> {
        let policy_digest = suite.hash(&[&policy.encode()])?;
        let Identity { group, cid, name, origin } = identity;
        let label = (policy.views == Views::Hidden).then_some(name);
        let sending = Sending { suite: suite.clone(), header, group, cid, label, origin };
        Ok(Self {
            suite,
            header,
            group,
            cid,
            policy,
            policy_version,
            policy_digest,
            view: View::new(limits.members + 1, history).with_checks(limits.checks),
            ring: KeyRing::new(limits.senders).with_checks(limits.checks),
            checks: limits.checks,
            sending,
            early: VecDeque::new(),
            early_bytes: 0,
            most_early: limits.early_frames,
            most_early_bytes: limits.early_bytes,
        })
    }

    /// What this side says of itself on the channel, but for what it hears.
    pub fn standing(&self) -> Standing {
        let (epoch, view, policy) = (self.ring.installed(), self.view.version(), self.policy_version);
        Standing { epoch, view, policy, hears: false }
    }

    /// The keys of an epoch under `policy`, with the own sealer, ready to be installed. The sealer stops at `lease`.
    ///
    /// # Errors
    /// [`Failure::Suite`].
    pub fn prepare(
        &self,
        policy: &Policy,
        epoch: Epoch,
        base: Key<role::DataBase>,
        lease: Instant,
    ) -> Result<EpochKeys, Failure> {
        let kind = policy.protection.kind();
        let sealer = self.sending.sealer(epoch, &base, kind, SealLimits::default(), lease)?;
        Ok(EpochKeys::new(epoch, base, Rules { kind, origin: policy.origin }, Some(sealer)))
    }

    /// Another policy rules from now on. Keys that are held keep the rules that they came with.
    pub fn rule(&mut self, next: Ruling) {
        let Ruling { policy, version, digest } = next;
        (self.policy, self.policy_version, self.policy_digest) = (policy, version, digest);
    }

    /// Wipes all keys: group keys, and the own origin key. Nothing opens and nothing is sealed from now on.
    pub fn erase(&mut self, limits: &Limits) {
        self.ring = KeyRing::new(limits.senders).with_checks(limits.checks);
        self.sending.origin = None;
    }

    /// Whether a running session can go over to `next`. Views, signatures and the longest frame are fixed for an
    /// instance: members have shown their origin keys, or not, when they came, and links were taken or refused by what
    /// they carry.
    pub fn can_follow(&self, next: &Policy) -> bool {
        let Policy { views, origin, frame_limit, .. } = &self.policy;
        (*views, *origin, *frame_limit) == (next.views, next.origin, next.frame_limit)
    }

    /// Installs an epoch: RA §4.4 (5).
    pub fn install(&mut self, keys: EpochKeys, floor: Epoch, now: Instant) -> Erased {
        self.ring.install(keys, floor, now, self.policy.grace, self.policy.settle).erased
    }

    /// The longest payload of a message, in bytes.
    pub fn max_message(&self) -> usize {
        self.sending.max_message(self.policy.protection.kind(), self.policy.frame_limit as usize)
    }

    /// Seals a message to the group.
    ///
    /// # Errors
    /// [`Misuse::TooLong`], [`Misuse::NotCurrent`], [`Misuse::SealerTaken`], [`Misuse::KeyExhausted`],
    /// [`Failure::Suite`].
    pub fn seal(&mut self, pool: &mut Pool, now: Instant, port: Port, payload: &[u8]) -> Result<Bytes, CommandError> {
        let sealer = self.ring.sealer(now)?;
        // By the protection of the key that seals: a new policy may have another.
        if payload.len() > self.sending.max_message(sealer.kind(), self.policy.frame_limit as usize) {
            return Err(Misuse::TooLong.into());
        }
        let reserve = payload.len() + self.sending.overhead(sealer.kind());
        let sending = &self.sending;
        pool.compose(reserve, |out| sending.seal(sealer, now, port, payload, out))
    }

    /// Whether a message that is sealed now uses up the newest key: it would be neither under the one before nor in clear
    /// (RA §4.4).
    pub fn seals_with_newest(&mut self, now: Instant) -> bool {
        let newest = self.ring.installed();
        self.ring.sealer(now).is_ok_and(|sealer| sealer.epoch() == newest && sealer.kind() != Kind::Clear)
    }

    /// Moves the sealer of the epoch that seals now out of the machine, with all it needs.
    ///
    /// # Errors
    /// [`Misuse::NotCurrent`] without a key, [`Misuse::SealerTaken`] if it was moved out before.
    pub fn take_sealer(&mut self, now: Instant) -> Result<DataSealer, Misuse> {
        Ok(DataSealer::new(self.sending.clone(), self.ring.take_sealer(now)?))
    }

    fn receiving(&self, current: bool) -> Receiving<'_> {
        Receiving {
            suite: &*self.suite,
            header: self.header,
            group: self.group,
            own: self.cid,
            members: if self.policy.views == Views::Hidden { Members::Hidden } else { Members::View(&self.view) },
            current,
        }
    }

    /// Checks a message: RA §5, steps (0) to (4). Opens in place; changes nothing.
    ///
    /// # Errors
    /// [`Reason`].
    pub fn check(&self, now: Instant, frame: BytesMut, current: bool) -> Result<Checked, Reason> {
        self.receiving(current).check(&self.ring, frame, now)
    }

    /// Uses up the number of a checked frame and delivers it: steps (5) and (6).
    ///
    /// # Errors
    /// [`Reason`]: the signature, or what stands inside, is wrong; nothing has changed then.
    pub fn deliver(&mut self, mut checked: Checked) -> Result<Message, Reason> {
        let mark = checked.relayed();
        let message = checked.deliver(&*self.suite)?;
        if let Some(mark) = mark {
            self.ring.mark(mark);
        }
        Ok(message)
    }

    /// Keeps a frame whose key is not here yet, within its bounds.
    pub fn keep_early(&mut self, link: Link, frame: BytesMut) -> Result<(), Reason> {
        if self.early.len() >= self.most_early || self.early_bytes + frame.len() > self.most_early_bytes {
            return Err(Reason::EarlyOverflow);
        }
        self.early_bytes += frame.len();
        // A copy of its own: a slice would hold the whole block that a driver reads into (R2).
        self.early.push_back((link, BytesMut::from(&*frame)));
        Ok(())
    }

    /// Whether kept frames wait whose key is here, or has been here, by now.
    pub fn has_early(&self) -> bool {
        self.ripe().is_some()
    }

    /// Where the oldest kept frame stands whose key does not have to be waited for any more.
    fn ripe(&self) -> Option<usize> {
        let installed = self.ring.installed();
        let waits = |frame: &BytesMut| Data::parse(frame).is_ok_and(|data| data.message.epoch > installed);
        self.early.iter().position(|(_, frame)| !waits(frame))
    }

    /// After an install: gives up the frames whose key is still not here, so that forged ones do not hold the room of
    /// those to come. Tells the links that they came over, and what they claimed.
    pub fn drop_unripe(&mut self) -> alloc::vec::Vec<(Link, Option<Claims>)> {
        let (header, group) = (self.header, self.group);
        let (installed, mut freed) = (self.ring.installed(), 0);
        let mut dropped = alloc::vec::Vec::new();
        self.early.retain(|(link, frame)| {
            let waits = Data::parse(frame).is_ok_and(|data| data.message.epoch > installed);
            if waits {
                freed += frame.len();
                dropped.push((*link, claims(header, group, frame)));
            }
            !waits
        });
        self.early_bytes -= freed;
        dropped
    }

    /// The oldest kept frame whose key does not have to be waited for any more.
    pub fn take_early(&mut self) -> Option<(Link, BytesMut)> {
        let (link, frame) = self.early.remove(self.ripe()?)?;
        self.early_bytes -= frame.len();
        Some((link, frame))
    }

    /// The leader's entry of the first view: its name and the key that signs what it says.
    pub fn leader_entry(name: &Name, key: VerifyingKey) -> crate::group::ChangeRecord {
        crate::group::ChangeRecord::Add { cid: MemberId::LEADER, name: name.clone(), origin_key: key }
    }
}
