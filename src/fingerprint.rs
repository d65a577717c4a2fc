//! The digest of a machine's state: what the rejected-frame tests and the exhaustive search compare.
//!
//! By exhaustive destructuring, so that a new field cannot be forgotten; with times relative to now, so that equal
//! situations at different times are equal; without statistics and without buffers that only save work.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::crypto::{Key, Secret};
use crate::endpoint::{Class, Instant, Link, LinkTicket, To, Transmit};
use crate::event::{Cause, Causes, EndReason, Suspicion, Ticket};
use crate::identity::{Epoch, Instance, MemberId, Name, Version};
use crate::wire::antigone::Kind;
use crate::wire::field::{Digest, Nonce, SealedKey, Share, Signature, Tag, VerifyingKey};

/// Takes in the bytes of a state, in order.
pub trait Sink {
    /// Takes in more bytes.
    fn feed(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn feed(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Something with a state.
pub trait Fingerprint {
    /// Feeds the state, injectively, with times relative to `now`.
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink);
}

/// The state of `of`, as bytes.
pub fn fingerprint_of(of: &impl Fingerprint, now: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    of.fingerprint(now, &mut bytes);
    bytes
}

/// Implements [`Fingerprint`] by exhaustive destructuring: `fingerprint!(Type { a, b } skip { c })`.
macro_rules! fingerprint {
    ($type:ty { $($field:ident),* $(,)? } $(skip { $($skipped:ident),* $(,)? })?) => {
        impl $crate::fingerprint::Fingerprint for $type {
            fn fingerprint(&self, now: $crate::endpoint::Instant, sink: &mut dyn $crate::fingerprint::Sink) {
                let Self { $($field,)* $($($skipped: _,)*)? } = self;
                $($crate::fingerprint::Fingerprint::fingerprint($field, now, sink);)*
                let _ = (now, sink);
            }
        }
    };
}

macro_rules! plain {
    ($($type:ty, $value:ident => $bytes:expr;)*) => {$(
        impl Fingerprint for $type {
            fn fingerprint(&self, _now: Instant, sink: &mut dyn Sink) {
                let $value = self;
                sink.feed($bytes);
            }
        }
    )*};
}

plain! {
    u8, v => &[*v];
    u16, v => &v.to_be_bytes();
    u32, v => &v.to_be_bytes();
    u64, v => &v.to_be_bytes();
    u128, v => &v.to_be_bytes();
    usize, v => &(*v as u64).to_be_bytes();
    bool, v => &[u8::from(*v)];
    crate::event::EjectVerdict, v => &[*v as u8];
    Duration, v => &v.as_micros().to_be_bytes();
    Epoch, v => &v.0.to_be_bytes();
    MemberId, v => &v.0.to_be_bytes();
    Version, v => &v.0.to_be_bytes();
    Link, v => &v.0.to_be_bytes();
    Instance, v => &v.0;
    LinkTicket, v => &v.0.to_be_bytes();
    Ticket, v => &v.0.to_be_bytes();
    Cause, v => &[*v as u8];
    Causes, v => &v.bits().to_be_bytes();
    Kind, v => &[*v as u8];
    Class, v => &[*v as u8];
    Suspicion, v => &[*v as u8];
    EndReason, v => &[*v as u8];
}

macro_rules! sized {
    ($($type:ty, $value:ident => $bytes:expr;)*) => {$(
        impl Fingerprint for $type {
            fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
                let $value = self;
                let bytes: &[u8] = $bytes;
                bytes.len().fingerprint(now, sink);
                sink.feed(bytes);
            }
        }
    )*};
}

sized! {
    Nonce, v => v.as_bytes();
    Tag, v => v.as_bytes();
    Digest, v => v.as_bytes();
    Share, v => v.as_bytes();
    VerifyingKey, v => v.as_bytes();
    Signature, v => v.as_bytes();
    SealedKey, v => v.as_bytes();
    Secret, v => v.expose();
    Name, v => v.as_str().as_bytes();
    str, v => v.as_bytes();
    Bytes, v => v;
    BytesMut, v => v;
}

impl Fingerprint for Instant {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        (*self > now).fingerprint(now, sink);
        self.since(now).fingerprint(now, sink);
        now.since(*self).fingerprint(now, sink);
    }
}

impl Fingerprint for AtomicBool {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        self.load(Ordering::Acquire).fingerprint(now, sink);
    }
}

impl Fingerprint for To {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        match self {
            Self::Link(link) => (0u8, link).fingerprint(now, sink),
            Self::Many(links) => (1u8, links).fingerprint(now, sink),
            Self::AllBut(links, but) => (2u8, (links, but)).fingerprint(now, sink),
        }
    }
}

fingerprint!(Transmit { to, frame, class });

impl<R> Fingerprint for Key<R> {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        self.secret().fingerprint(now, sink);
    }
}

impl<T: Fingerprint> Fingerprint for Option<T> {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        self.is_some().fingerprint(now, sink);
        if let Some(value) = self {
            value.fingerprint(now, sink);
        }
    }
}

impl<T: Fingerprint + ?Sized> Fingerprint for Box<T> {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        (**self).fingerprint(now, sink);
    }
}

impl<T: Fingerprint + ?Sized> Fingerprint for Arc<T> {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        (**self).fingerprint(now, sink);
    }
}

impl<T: Fingerprint + ?Sized> Fingerprint for &T {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        (**self).fingerprint(now, sink);
    }
}

impl<A: Fingerprint, B: Fingerprint> Fingerprint for (A, B) {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        self.0.fingerprint(now, sink);
        self.1.fingerprint(now, sink);
    }
}

impl<T: Fingerprint> Fingerprint for [T] {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        self.len().fingerprint(now, sink);
        self.iter().for_each(|item| item.fingerprint(now, sink));
    }
}

impl<T: Fingerprint, const N: usize> Fingerprint for [T; N] {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        self.as_slice().fingerprint(now, sink);
    }
}

impl<T: Fingerprint> Fingerprint for Vec<T> {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        self.as_slice().fingerprint(now, sink);
    }
}

impl<T: Fingerprint> Fingerprint for VecDeque<T> {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        self.len().fingerprint(now, sink);
        self.iter().for_each(|item| item.fingerprint(now, sink));
    }
}

impl<K: Fingerprint, V: Fingerprint> Fingerprint for BTreeMap<K, V> {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        self.len().fingerprint(now, sink);
        for (key, value) in self {
            key.fingerprint(now, sink);
            value.fingerprint(now, sink);
        }
    }
}

impl<K: Fingerprint> Fingerprint for BTreeSet<K> {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        self.len().fingerprint(now, sink);
        self.iter().for_each(|key| key.fingerprint(now, sink));
    }
}
