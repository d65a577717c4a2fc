//! What an object is, and how far a receiver has come with it.

use alloc::vec::Vec;

use bytes::BytesMut;

use super::bitmap::Bitmap;
use super::{Limits, TransferError};
use crate::crypto::{Suite, SuiteError};
use crate::error::DecodeError;
use crate::identity::Name;
use crate::wire::field::{Digest, Field, Rest};
use crate::wire::transfer::{ManifestRef, ObjectId, Saved};

/// What an object is. It never changes: another content is another object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// The object.
    pub object: ObjectId,
    /// Its name. Before it becomes a file name, see [`file_name_is_plain`].
    pub name: Name,
    /// Its length in bytes.
    pub size: u64,
    /// The length of each chunk but the last, in bytes.
    pub chunk: u32,
    /// The digest of the whole, by the group's suite.
    pub digest: Digest,
}

fingerprint!(Manifest { object, name, size, chunk, digest });

impl Manifest {
    /// How many chunks it has; `u32::MAX` stands for too many as well.
    pub fn chunks(&self) -> u32 {
        u32::try_from(self.size.div_ceil(u64::from(self.chunk.max(1)))).unwrap_or(u32::MAX)
    }

    /// Where chunk `index` starts, in bytes.
    pub fn offset(&self, index: u32) -> u64 {
        u64::from(index) * u64::from(self.chunk)
    }

    /// Length of chunk `index` in bytes; 0 if there is no such chunk.
    pub fn chunk_len(&self, index: u32) -> usize {
        self.size.saturating_sub(self.offset(index)).min(u64::from(self.chunk)) as usize
    }

    /// Whether it keeps the limits and its chunks fit into messages of `max_message` bytes.
    pub(super) fn fits(&self, limits: &Limits, max_message: usize) -> bool {
        self.chunk > 0
            && self.chunk as usize <= super::chunk_room(max_message)
            && self.size <= limits.size
            && self.chunks() <= limits.chunks.min(u32::MAX - 1)
            && !self.digest.is_empty()
    }

    pub(super) fn by_ref(&self) -> ManifestRef<'_> {
        ManifestRef {
            object: self.object,
            name: self.name.by_ref(),
            size: self.size,
            chunk: self.chunk,
            digest: self.digest,
        }
    }

    pub(super) fn from_ref(wire: &ManifestRef<'_>) -> Self {
        let ManifestRef { object, name, size, chunk, digest } = *wire;
        Self { object, name: name.to_name(), size, chunk, digest }
    }
}

/// How far a receiver has come with an object: what to store in order to go on after a restart.
///
/// It claims what was handed out as [`super::Event::Write`]: store it after those pieces.
#[derive(PartialEq, Eq, Debug)]
pub struct Progress {
    pub(super) manifest: Manifest,
    pub(super) have: Bitmap,
}

impl Progress {
    /// These chunks of the object are there: what a receiver has found in its storage, and verified, after a restart. Others
    /// than the object has are left out. Memory: a bit a chunk.
    pub fn claim(manifest: Manifest, chunks: impl IntoIterator<Item = u32>) -> Self {
        let mut have = Bitmap::new(manifest.chunks());
        for index in chunks {
            have.insert(index);
        }
        Self { manifest, have }
    }

    /// What the object is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How many of how many chunks are there.
    pub fn chunks(&self) -> (u32, u32) {
        (self.have.count(), self.have.len())
    }

    /// How many bytes are there.
    pub fn bytes(&self) -> u64 {
        let whole = u64::from(self.have.count()).saturating_mul(u64::from(self.manifest.chunk));
        match self.have.len().checked_sub(1).filter(|last| self.have.contains(*last)) {
            // The last chunk may be shorter.
            Some(last) => {
                let short = u64::from(self.manifest.chunk).saturating_sub(self.manifest.chunk_len(last) as u64);
                whole.saturating_sub(short)
            }
            None => whole,
        }
    }

    /// As bytes: about 400, and one bit a chunk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = BytesMut::new();
        Saved { manifest: self.manifest.by_ref(), bits: Rest(&self.have.to_bytes()) }.put(&mut out);
        out.to_vec()
    }

    /// From what [`Self::to_bytes`] made.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are anything else. Memory is bounded by the length of `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let saved = Saved::decode(bytes)?;
        let manifest = Manifest::from_ref(&saved.manifest);
        if manifest.chunk == 0 {
            return Err(DecodeError::Value);
        }
        let have = Bitmap::from_bytes(manifest.chunks(), saved.bits.0).ok_or(DecodeError::Length)?;
        Ok(Self { manifest, have })
    }
}

/// Where the bytes of objects come from: the sender's storage. So an object is never in memory as a whole.
pub trait Source {
    /// Fills `out` wholly with the bytes of `object` from `offset` on.
    ///
    /// # Errors
    /// [`SourceError`] if that cannot be: the object is then withdrawn.
    fn read(&mut self, object: ObjectId, offset: u64, out: &mut [u8]) -> Result<(), SourceError>;
}

/// The source cannot give what it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the bytes of the object cannot be read")]
pub struct SourceError;

/// The source of who offers nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSource;

impl Source for NoSource {
    fn read(&mut self, _object: ObjectId, _offset: u64, _out: &mut [u8]) -> Result<(), SourceError> {
        Err(SourceError)
    }
}

/// The digest of an object of `size` bytes: what a sender offers and what a receiver verifies. Reads `source` once,
/// 16 KiB at a time; the number of an object that has none yet is of no account.
///
/// # Errors
/// [`TransferError::Source`] or [`TransferError::Suite`].
pub fn digest_of(
    suite: &dyn Suite,
    object: ObjectId,
    size: u64,
    source: &mut dyn Source,
) -> Result<Digest, TransferError> {
    let failed = |SuiteError: SuiteError| TransferError::Suite;
    let mut hasher = suite.hasher().map_err(failed)?;
    let mut block = alloc::vec![0; 1 << 14];
    let mut offset = 0;
    while offset < size {
        let length = (size - offset).min(block.len() as u64);
        let piece = block.get_mut(..length as usize).unwrap_or_default();
        source.read(object, offset, piece).map_err(|SourceError| TransferError::Source)?;
        hasher.update(piece);
        offset += length;
    }
    hasher.finish().map_err(failed)
}

/// Whether a name may become the name of a file in a folder, as it is (R35): one plain component that means the same
/// on all common systems and shows as it is written.
///
/// No separators, no leading dot (so neither `.` nor `..` nor hidden files), no trailing dot or space, no character or
/// device name that some system treats apart, no control or text-direction characters. The folder, consent and
/// overwriting are the application's business.
pub fn file_name_is_plain(name: &str) -> bool {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
            || c == '\u{61c}'
    };
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let device = DEVICES.iter().enumerate().any(|(at, device)| {
        stem.strip_prefix(device).is_some_and(|rest| match at {
            0..4 => rest.is_empty(),
            _ => matches!(rest, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"),
        })
    });
    !name.is_empty()
        && name.len() <= crate::identity::MAX_NAME
        && !name.starts_with(['.', ' '])
        && !name.ends_with(['.', ' '])
        && !name.contains(odd)
        && !device
}
