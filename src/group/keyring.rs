//! The group keys held now (RA §4.4): at most two epochs (I-5), the current one and an older one in its grace.
//!
//! * *floor*: every epoch below it is wiped at once, since somebody who must be out has its key;
//! * *grace*: an older epoch that is not below the floor still opens what was sealed before others had the new key;
//! * *settle*: if that older epoch is the one just before, sending stays with it until others had the time to install
//!   the new one (R21).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

use super::checks::{Check, Checks};
use super::past::Past;
use super::sealer::{Sealer, Slot};
use super::window::Window;
use crate::crypto::keys::role;
use crate::crypto::{Aead, Key};
use crate::endpoint::{Due, Instant};
use crate::error::{Misuse, Reason};
use crate::identity::{Epoch, MemberId};
use crate::wire::shared::Kind;

/// What the policy that rules an epoch says of data (I-6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// The protection: no other is accepted.
    pub kind: Kind,
    /// Whether each message carries its sender's signature: no other is accepted.
    pub origin: bool,
}

fingerprint!(Rules { kind, origin });

/// What opens the data of one sender in one epoch: the prepared key and the window.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub(crate) struct Opener {
    aead: Arc<dyn Aead>,
    window: Window,
}

// The prepared key follows from the epoch's base and the number of the sender.
fingerprint!(Opener { window } skip { aead });

/// One epoch as it is held.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub struct EpochKeys {
    /// Its number.
    pub epoch: Epoch,
    /// The key that the data keys of all senders are derived from.
    pub base: Key<role::DataBase>,
    /// What the policy that rules this epoch says of data.
    pub rules: Rules,
    slot: Slot,
    /// By sender; made by the first frame that verified.
    openers: BTreeMap<MemberId, Opener>,
}

fingerprint!(EpochKeys { epoch, base, rules, slot, openers });

impl EpochKeys {
    /// An epoch with the own sealer, or without one for who never sends.
    pub fn new(epoch: Epoch, base: Key<role::DataBase>, rules: Rules, sealer: Option<Sealer>) -> Self {
        Self { epoch, base, rules, slot: Slot::new(sealer), openers: BTreeMap::new() }
    }

    /// The own sealer.
    ///
    /// # Errors
    /// [`Misuse::SealerTaken`] if it was moved out, [`Misuse::NotCurrent`] if there never was one.
    pub fn sealer(&self) -> Result<&Sealer, Misuse> {
        self.slot.get()
    }

    /// The prepared key of this sender, if one of its frames has verified.
    pub fn opener(&self, sender: MemberId) -> Option<&Arc<dyn Aead>> {
        self.openers.get(&sender).map(|opener| &opener.aead)
    }

    /// Whether number `n` of this sender is unused (R13).
    ///
    /// # Errors
    /// [`Reason::Replayed`].
    pub fn check(&self, sender: MemberId, n: u64) -> Result<(), Reason> {
        self.openers.get(&sender).map_or(Window::new().check(n), |opener| opener.window.check(n))
    }
}

/// What a verified frame uses up, to be committed with [`KeyRing::mark`].
#[must_use = "a number that is not marked can be replayed"]
#[derive(Debug)]
pub struct Mark {
    /// The epoch of the frame.
    pub epoch: Epoch,
    /// Its sender.
    pub sender: MemberId,
    /// Its number.
    pub counter: u64,
    /// The prepared key of the sender.
    pub aead: Arc<dyn Aead>,
}

/// Epochs that were wiped by one step, oldest first: at most two are ever held, and one step may refuse a third.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Erased([Option<Epoch>; 2]);

impl Erased {
    fn add(&mut self, keys: Option<EpochKeys>) {
        if let (Some(keys), Some(place)) = (keys, self.0.iter_mut().find(|place| place.is_none())) {
            *place = Some(keys.epoch);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The epochs, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Epoch> + use<> {
        self.0.into_iter().flatten()
    }
}

impl IntoIterator for Erased {
    type Item = Epoch;
    type IntoIter = core::iter::Flatten<core::array::IntoIter<Option<Epoch>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

/// What [`KeyRing::install`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Installed {
    /// Whether the epoch is the current one now. It is not if it was not newer than each one before (S5), or below the
    /// floor.
    pub current: bool,
    /// The epochs that this wiped.
    pub erased: Erased,
}

#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
struct Old {
    keys: EpochKeys,
    /// When its grace ends.
    until: Instant,
    /// When sending leaves it, if it has not.
    settle: Option<Instant>,
}

fingerprint!(Old { keys, until, settle });

/// The group keys held now.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub struct KeyRing {
    current: Option<EpochKeys>,
    old: Option<Old>,
    /// The newest epoch ever installed; 0 for none. It stays when the key itself is wiped (S5).
    installed: Epoch,
    /// The highest floor ever seen.
    floor: Epoch,
    /// It decides what a refusal is called, and nothing else.
    past: Past,
    senders: usize,
    checks: Checks,
}

fingerprint!(KeyRing { current, old, installed, floor, senders } skip { past, checks });

impl KeyRing {
    /// No key. `senders` bounds the openers of one epoch ([`Limits::senders`](super::Limits::senders)).
    pub const fn new(senders: usize) -> Self {
        let (installed, floor) = (Epoch(0), Epoch(0));
        Self { current: None, old: None, installed, floor, past: Past::new(), senders, checks: Checks::ALL }
    }

    /// With these checks: all of them, but in a simulation.
    #[must_use]
    pub fn with_checks(self, checks: Checks) -> Self {
        Self { checks, ..self }
    }

    /// The checks that are made.
    pub fn checks(&self) -> Checks {
        self.checks
    }

    /// Installs a newer epoch: RA §4.4 (5). Everything below `floor` is wiped at once. What was current, if it is not
    /// below, opens for `grace` more; if it is the epoch just before, sending stays with it for `settle`, else it moves
    /// at once. What was older than that is wiped.
    pub fn install(
        &mut self,
        keys: EpochKeys,
        floor: Epoch,
        now: Instant,
        grace: Duration,
        settle: Duration,
    ) -> Installed {
        let mut erased = self.wipe_below(floor);
        let stale = keys.epoch <= self.installed && self.checks.on(Check::NewerEpoch);
        if keys.epoch < self.floor || stale {
            return Installed { current: false, erased };
        }
        // Only one older epoch is ever kept (I-5).
        if let Some(current) = self.current.take() {
            erased.add(self.old.take().map(|old| old.keys));
            if grace.is_zero() {
                erased.add(Some(current));
            } else {
                let settles = current.epoch.next() == Some(keys.epoch) && !settle.is_zero();
                if !settles {
                    current.slot.revoke();
                }
                let settle = settles.then(|| now + settle.min(grace));
                self.old = Some(Old { keys: current, until: now + grace, settle });
            }
        }
        self.past.install(self.installed, keys.epoch);
        self.installed = keys.epoch;
        self.current = Some(keys);
        Installed { current: true, erased }
    }

    /// Wipes every epoch below `floor`, at once: also while an install waits for what it needs (RA §4.4).
    pub fn wipe_below(&mut self, floor: Epoch) -> Erased {
        if self.checks.on(Check::Floor) {
            self.floor = self.floor.max(floor);
        }
        let floor = self.floor;
        let mut erased = Erased::default();
        erased.add(self.old.take_if(|old| old.keys.epoch < floor).map(|old| old.keys));
        erased.add(self.current.take_if(|keys| keys.epoch < floor));
        erased
    }

    /// Wipes all: the group has ended here.
    pub fn wipe_all(&mut self) -> Erased {
        let mut erased = Erased::default();
        erased.add(self.old.take().map(|old| old.keys));
        erased.add(self.current.take());
        erased
    }

    /// The newest epoch ever installed, 0 for none, also if its key has been wiped since.
    pub fn installed(&self) -> Epoch {
        self.installed
    }

    /// The epochs, from and to, that an install of `epoch` jumps over: what was said under their keys cannot be read here
    /// (R23).
    pub fn missed_by(&self, epoch: Epoch) -> Option<(Epoch, Epoch)> {
        Past::gap(self.installed, epoch)
    }

    /// The current epoch, if its key is held.
    pub fn current_epoch(&self) -> Option<Epoch> {
        self.current.as_ref().map(|keys| keys.epoch)
    }

    /// The newest key that is held, with its epoch.
    #[cfg(any(test, feature = "sim"))]
    pub fn newest(&self) -> Option<(Epoch, &Key<role::DataBase>)> {
        self.current.as_ref().map(|keys| (keys.epoch, &keys.base))
    }

    /// The epoch that seals now.
    pub fn sending(&self, now: Instant) -> Option<&EpochKeys> {
        match &self.old {
            Some(old) if old.settle.is_some_and(|settle| now < settle) => Some(&old.keys),
            _ => self.current.as_ref(),
        }
    }

    fn sending_mut(&mut self, now: Instant) -> Option<&mut EpochKeys> {
        match &mut self.old {
            Some(old) if old.settle.is_some_and(|settle| now < settle) => Some(&mut old.keys),
            _ => self.current.as_mut(),
        }
    }

    /// The sealer of the epoch that seals now, to seal one message.
    ///
    /// # Errors
    /// [`Misuse::NotCurrent`] without a key, [`Misuse::SealerTaken`] if it was moved out.
    pub fn sealer(&mut self, now: Instant) -> Result<&mut Sealer, Misuse> {
        self.sending_mut(now).ok_or(Misuse::NotCurrent)?.slot.get_mut()
    }

    /// Moves the sealer of the epoch that seals now out of the machine. It ends when its key does.
    ///
    /// # Errors
    /// As [`Self::sealer`].
    pub fn take_sealer(&mut self, now: Instant) -> Result<Sealer, Misuse> {
        self.sending_mut(now).ok_or(Misuse::NotCurrent)?.slot.take()
    }

    /// Renews the lease of the sealers that are still here.
    pub fn extend(&mut self, until: Instant) {
        let old = self.old.as_mut().map(|old| &mut old.keys);
        for keys in self.current.iter_mut().chain(old) {
            if let Ok(sealer) = keys.slot.get_mut() {
                sealer.extend(until);
            }
        }
    }

    /// The keys that open `epoch` now.
    ///
    /// # Errors
    /// [`Reason::EarlyEpoch`] if it is newer than what was installed last; otherwise why it is not held, or not any more:
    /// [`Past::reason`].
    pub fn opening(&self, epoch: Epoch, now: Instant) -> Result<&EpochKeys, Reason> {
        match (&self.current, &self.old) {
            (Some(keys), _) if keys.epoch == epoch => Ok(keys),
            (_, Some(old)) if old.keys.epoch == epoch && now < old.until => Ok(&old.keys),
            _ if epoch > self.installed => Err(Reason::EarlyEpoch),
            _ => Err(self.past.reason(epoch, self.floor)),
        }
    }

    /// Whether a frame of this sender can be taken in: there is room for its opener.
    ///
    /// # Errors
    /// [`Reason::Budget`]. Only where no view bounds the senders can an insider bring that about.
    pub fn admits(&self, keys: &EpochKeys, sender: MemberId) -> Result<(), Reason> {
        if keys.openers.len() < self.senders || keys.openers.contains_key(&sender) {
            Ok(())
        } else {
            Err(Reason::Budget)
        }
    }

    /// Uses up the number of a verified frame; the sender's first one makes its opener. Cannot fail: an epoch that has
    /// gone meanwhile needs no window any more.
    pub fn mark(&mut self, mark: Mark) {
        let old = self.old.as_mut().map(|old| &mut old.keys);
        let Some(keys) = self.current.iter_mut().chain(old).find(|keys| keys.epoch == mark.epoch) else { return };
        let opener = keys.openers.entry(mark.sender).or_insert(Opener { aead: mark.aead, window: Window::new() });
        opener.window.mark(mark.counter);
    }

    /// A member is gone from the view: what opened its data is wiped. Its number never comes back (I-1).
    pub fn forget(&mut self, sender: MemberId) {
        let old = self.old.as_mut().map(|old| &mut old.keys);
        for keys in self.current.iter_mut().chain(old) {
            keys.openers.remove(&sender);
        }
    }

    /// When [`Self::handle_time`] has something to do.
    pub fn next_deadline(&self) -> Option<(Instant, Due)> {
        let old = self.old.as_ref()?;
        Some(old.settle.map_or((old.until, Due::Grace), |settle| (settle, Due::Settle)))
    }

    /// Moves sending to the new key when it has settled, and wipes the old one when its grace is over.
    pub fn handle_time(&mut self, now: Instant) -> Erased {
        let mut erased = Erased::default();
        if let Some(old) = &mut self.old
            && old.settle.is_some_and(|settle| settle <= now)
        {
            old.settle = None;
            old.keys.slot.revoke();
        }
        erased.add(self.old.take_if(|old| old.until <= now).map(|old| old.keys));
        erased
    }
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
