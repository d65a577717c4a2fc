//! Contents that come in pieces, in order.

use bytes::{Bytes, BytesMut};

/// The pieces so far. Memory grows with what has come, never with what is announced.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Arriving<T> {
    /// What they are pieces of.
    pub of: T,
    size: u32,
    bytes: BytesMut,
}

#[cfg(any(test, feature = "sim"))]
impl<T: crate::fingerprint::Fingerprint> crate::fingerprint::Fingerprint for Arriving<T> {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let Self { of, size, bytes } = self;
        ((of, *size), bytes).fingerprint(now, sink);
    }
}

impl<T> Arriving<T> {
    /// The first piece is to come, of contents of `size` bytes.
    pub fn new(of: T, size: u32) -> Self {
        Self { of, size, bytes: BytesMut::new() }
    }

    /// Whether a piece is the next one: nothing is announced that does not fit, and only empty contents have an empty one.
    pub fn follows(&self, offset: u32, piece: &[u8]) -> bool {
        let left = (self.size as usize).saturating_sub(self.bytes.len());
        let empty = piece.is_empty() && self.size > 0;
        offset as usize == self.bytes.len() && piece.len() <= left && !empty
    }

    /// Takes a piece that [`Self::follows`]; the contents, if it was the last.
    pub fn take(&mut self, piece: &[u8]) -> Option<Bytes> {
        self.bytes.extend_from_slice(piece);
        (self.bytes.len() >= self.size as usize).then(|| core::mem::take(&mut self.bytes).freeze())
    }
}
