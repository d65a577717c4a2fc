//! The one sealer of the own number in one epoch (R16, R17, S8).
//!
//! The data plane is separable: the sealer may be moved out of the machine, to seal on another thread. It then stops by
//! itself: at the policy's limits, at the end of its lease (the staleness bound, renewed by whoever asks the machine),
//! and at a flag that the machine raises when the key ends.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::crypto::{Aead, BoxNumber, SuiteError};
use crate::endpoint::Instant;
use crate::error::{Failure, Misuse};
use crate::identity::{Epoch, MemberId};
use crate::wire::field::Tag;
use crate::wire::shared::Kind;

/// Numbers under one data key end here, whatever the policy says (RA §2).
pub const HARD_LIMIT: u64 = 1 << 32;

/// How much one key may seal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealLimits {
    /// Messages; never more than [`HARD_LIMIT`].
    pub messages: u64,
    /// Bytes of text.
    pub bytes: u64,
}

impl Default for SealLimits {
    /// As much as the key can bear.
    fn default() -> Self {
        Self { messages: HARD_LIMIT, bytes: u64::MAX }
    }
}

fingerprint!(SealLimits { messages, bytes });

/// Seals what one sender says in one epoch. There is one for each (epoch, sender, kind): it cannot be copied, its
/// counter does not wrap, and a number is used up by the attempt, whether or not it succeeds.
#[derive(Debug)]
pub struct Sealer {
    epoch: Epoch,
    cid: MemberId,
    kind: Kind,
    /// None where the protection is none: the counter then only counts.
    aead: Option<Arc<dyn Aead>>,
    next: u64,
    bytes: u64,
    limits: SealLimits,
    valid_until: Instant,
    revoked: Arc<AtomicBool>,
}

fingerprint!(Sealer { epoch, cid, kind, next, bytes, limits, valid_until, revoked } skip { aead });

/// A copied machine shares no flag with the first: each ends its own sealers only.
#[cfg(any(test, feature = "sim"))]
impl Clone for Sealer {
    fn clone(&self) -> Self {
        Self {
            aead: self.aead.clone(),
            revoked: Arc::new(AtomicBool::new(self.revoked.load(Ordering::Acquire))),
            ..*self
        }
    }
}

impl Sealer {
    /// The sealer of sender `cid` in `epoch`, from number 0; `aead` is its prepared data key, none for [`Kind::Clear`].
    /// It seals nothing at or after `valid_until`.
    pub fn new(
        epoch: Epoch,
        cid: MemberId,
        kind: Kind,
        aead: Option<Arc<dyn Aead>>,
        limits: SealLimits,
        valid_until: Instant,
    ) -> Self {
        let revoked = Arc::new(AtomicBool::new(false));
        Self { epoch, cid, kind, aead, next: 0, bytes: 0, limits, valid_until, revoked }
    }

    /// The epoch of its key.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whose it is.
    pub fn cid(&self) -> MemberId {
        self.cid
    }

    /// What it protects with.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many messages it has sealed, or tried to.
    pub fn messages(&self) -> u64 {
        self.next
    }

    /// How many bytes of text it has sealed, or tried to.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Until when it may seal.
    pub fn valid_until(&self) -> Instant {
        self.valid_until
    }

    /// Renews the lease: fresh evidence has come. It never ends earlier than before.
    pub fn extend(&mut self, until: Instant) {
        self.valid_until = self.valid_until.max(until);
    }

    /// The flag that ends this sealer for good, for the machine that lets it go.
    pub fn revoker(&self) -> Revoker {
        Revoker(self.revoked.clone())
    }

    /// The number that the next [`Self::seal`] of `length` bytes will use, for the clear fields of the frame.
    ///
    /// # Errors
    /// [`Misuse::NotCurrent`] if the lease has run out or the key has ended, [`Misuse::KeyExhausted`] at a limit.
    pub fn ready(&self, now: Instant, length: usize) -> Result<u64, Misuse> {
        if self.revoked.load(Ordering::Acquire) || now >= self.valid_until {
            return Err(Misuse::NotCurrent);
        }
        let bytes = u64::try_from(length).ok().and_then(|length| self.bytes.checked_add(length));
        let room = self.next < self.limits.messages.min(HARD_LIMIT);
        if room && bytes.is_some_and(|bytes| bytes <= self.limits.bytes) {
            Ok(self.next)
        } else {
            Err(Misuse::KeyExhausted)
        }
    }

    /// Seals `text` in place under the number that [`Self::ready`] gave, and uses it up. Allocates nothing.
    /// `length` is what counts towards the limit of bytes. [`Kind::Clear`] gives the empty tag.
    ///
    /// # Errors
    /// [`SealError::Misuse`] as [`Self::ready`]: nothing has changed. [`SealError::Failure`]: the back end failed; the
    /// number is used up all the same, since nobody knows what the back end has done with it (R16).
    pub fn seal(&mut self, now: Instant, length: usize, ad: &[u8], text: &mut [u8]) -> Result<Tag, SealError> {
        let counter = self.ready(now, length)?;
        self.next = counter + 1;
        self.bytes = self.bytes.saturating_add(length as u64);
        match &self.aead {
            Some(aead) => Ok(aead.seal(BoxNumber { domain: 0, counter }, ad, text)?),
            None => Ok(Tag::NONE),
        }
    }
}

/// Why a sealer did not seal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// It may not.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// The back end failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<SuiteError> for SealError {
    fn from(error: SuiteError) -> Self {
        Self::Failure(error.into())
    }
}

impl From<SealError> for crate::error::CommandError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Misuse(misuse) => Self::Misuse(misuse),
            SealError::Failure(failure) => Self::Failure(failure),
        }
    }
}

/// Ends a sealer that has been moved out.
#[derive(Debug)]
pub struct Revoker(Arc<AtomicBool>);

impl Revoker {
    /// Ends it, at once and for good.
    pub fn revoke(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Where the sealer of an epoch is. Dropping the slot ends the sealer, wherever it is by then.
#[derive(Debug)]
pub(crate) struct Slot {
    here: Option<Sealer>,
    revoked: Option<Arc<AtomicBool>>,
}

fingerprint!(Slot { here, revoked });

#[cfg(any(test, feature = "sim"))]
impl Clone for Slot {
    fn clone(&self) -> Self {
        match &self.here {
            Some(sealer) => Self::new(Some(sealer.clone())),
            // The sealer that was taken belongs to the first machine; this one has none to end.
            None => Self { here: None, revoked: self.revoked.as_ref().map(|_| Arc::default()) },
        }
    }
}

impl Slot {
    /// A slot with a sealer, or without one for who never sends.
    pub(crate) fn new(sealer: Option<Sealer>) -> Self {
        let revoked = sealer.as_ref().map(|sealer| sealer.revoked.clone());
        Self { here: sealer, revoked }
    }

    fn gone(&self) -> Misuse {
        if self.revoked.is_some() { Misuse::SealerTaken } else { Misuse::NotCurrent }
    }

    /// The sealer, if it is here.
    pub(crate) fn get(&self) -> Result<&Sealer, Misuse> {
        self.here.as_ref().ok_or(self.gone())
    }

    /// The sealer, if it is here.
    pub(crate) fn get_mut(&mut self) -> Result<&mut Sealer, Misuse> {
        let gone = self.gone();
        self.here.as_mut().ok_or(gone)
    }

    /// Moves the sealer out.
    pub(crate) fn take(&mut self) -> Result<Sealer, Misuse> {
        self.here.take().ok_or(self.gone())
    }

    /// Ends the sealer.
    pub(crate) fn revoke(&self) {
        if let Some(revoked) = &self.revoked {
            revoked.store(true, Ordering::Release);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.revoke();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::VerifyError;

    /// Records the numbers it is asked to seal under; fails where told.
    #[derive(Debug, Default)]
    struct Recorder {
        numbers: std::sync::Mutex<alloc::vec::Vec<BoxNumber>>,
        fails: AtomicBool,
    }

    impl Aead for Recorder {
        fn seal(&self, number: BoxNumber, _: &[u8], _: &mut [u8]) -> Result<Tag, SuiteError> {
            self.numbers.lock().unwrap().push(number);
            if self.fails.load(Ordering::Relaxed) { Err(SuiteError) } else { Ok(Tag::NONE) }
        }

        fn open(&self, _: BoxNumber, _: &[u8], _: &mut [u8], _: &Tag) -> Result<(), VerifyError> {
            Err(VerifyError::Forged)
        }
    }

    const NOW: Instant = Instant::from_micros(1_000);
    const END: Instant = Instant::from_micros(2_000);

    fn sealer(limits: SealLimits) -> (Arc<Recorder>, Sealer) {
        let aead = Arc::new(Recorder::default());
        (aead.clone(), Sealer::new(Epoch(1), MemberId(1), Kind::Both, Some(aead), limits, END))
    }

    #[test]
    fn no_number_is_used_twice_even_if_the_suite_fails() {
        let (aead, mut sealer) = sealer(SealLimits::default());
        assert_eq!(sealer.seal(NOW, 1, b"", &mut []), Ok(Tag::NONE));
        aead.fails.store(true, Ordering::Relaxed);
        assert_eq!(sealer.seal(NOW, 1, b"", &mut []), Err(SealError::Failure(Failure::Suite)));
        aead.fails.store(false, Ordering::Relaxed);
        assert_eq!(sealer.ready(NOW, 1), Ok(2));
        assert_eq!(sealer.seal(NOW, 1, b"", &mut []), Ok(Tag::NONE));
        let counters: alloc::vec::Vec<_> = aead.numbers.lock().unwrap().iter().map(|n| (n.domain, n.counter)).collect();
        assert_eq!(counters, [(0, 0), (0, 1), (0, 2)]);
    }

    #[test]
    fn stops_at_the_limit_of_messages() {
        let (_, mut sealer) = sealer(SealLimits { messages: 2, bytes: u64::MAX });
        assert!(sealer.seal(NOW, 9, b"", &mut []).is_ok());
        assert!(sealer.seal(NOW, 9, b"", &mut []).is_ok());
        assert_eq!(sealer.seal(NOW, 0, b"", &mut []), Err(SealError::Misuse(Misuse::KeyExhausted)));
    }

    #[test]
    fn stops_at_the_limit_of_bytes() {
        let (_, mut sealer) = sealer(SealLimits { messages: 9, bytes: 10 });
        assert!(sealer.seal(NOW, 9, b"", &mut []).is_ok());
        assert_eq!(sealer.ready(NOW, 2), Err(Misuse::KeyExhausted));
        assert_eq!(sealer.ready(NOW, usize::MAX), Err(Misuse::KeyExhausted));
        assert!(sealer.seal(NOW, 1, b"", &mut []).is_ok());
    }

    #[test]
    fn the_hard_limit_is_above_every_policy() {
        let (aead, mut sealer) = sealer(SealLimits { messages: u64::MAX, bytes: u64::MAX });
        sealer.next = HARD_LIMIT - 1;
        assert!(sealer.seal(NOW, 0, b"", &mut []).is_ok());
        assert_eq!(sealer.seal(NOW, 0, b"", &mut []), Err(SealError::Misuse(Misuse::KeyExhausted)));
        assert_eq!(aead.numbers.lock().unwrap().len(), 1);
    }

    #[test]
    fn stops_when_its_lease_ends_and_goes_on_when_it_is_renewed() {
        let (_, mut sealer) = sealer(SealLimits::default());
        assert_eq!(sealer.ready(END, 0), Err(Misuse::NotCurrent));
        sealer.extend(END + core::time::Duration::from_micros(1));
        assert_eq!(sealer.ready(END, 0), Ok(0));
        sealer.extend(NOW);
        assert_eq!(sealer.ready(END, 0), Ok(0), "a lease never ends earlier than before");
    }

    #[test]
    fn a_slot_ends_its_sealer_wherever_it_is() {
        let (_, sealer) = sealer(SealLimits::default());
        let mut slot = Slot::new(Some(sealer));
        let taken = slot.take().unwrap();
        assert_eq!(slot.take().unwrap_err(), Misuse::SealerTaken);
        assert_eq!(slot.get().unwrap_err(), Misuse::SealerTaken);
        assert_eq!(taken.ready(NOW, 0), Ok(0));
        drop(slot.clone());
        assert_eq!(taken.ready(NOW, 0), Ok(0), "a copied machine ends only its own");
        drop(slot);
        assert_eq!(taken.ready(NOW, 0), Err(Misuse::NotCurrent));
        assert_eq!(Slot::new(None).take().unwrap_err(), Misuse::NotCurrent);
    }

    #[test]
    fn its_revoker_ends_it_too() {
        let (_, sealer) = sealer(SealLimits::default());
        sealer.revoker().revoke();
        assert_eq!(sealer.ready(NOW, 0), Err(Misuse::NotCurrent));
    }
}
