//! The messages of `transfer`, declared once each. They are payloads of port `Transfer`: the group protects them, so
//! they have neither header nor guard of their own.
//!
//! Chunks are named by their index. A set of chunks is written as bits, since what random loss leaves behind is not
//! made of runs: chunk `base + 8 * i + j` stands in byte `i` as the bit of value `1 << j`.

use core::fmt;

use bytes::{BufMut, BytesMut};

use super::field::{Blob, Digest, Field, Reader, Rest};
use super::frame::MAX_TEXT;
use super::shape::Shape;
use crate::error::DecodeError;
use crate::identity::NameRef;

/// Bytes of an object's number.
pub const OBJECT_BYTES: usize = 16;
/// Bytes of a chunk message besides the chunk itself.
pub const CHUNK_OVERHEAD: usize = 1 + OBJECT_BYTES + 4 + 8 + 1;
/// Bytes of a [`Want`] besides its bits.
pub const WANT_OVERHEAD: usize = 1 + OBJECT_BYTES + 8 + 4 + 1 + 2;
/// Most bytes of bits in one [`Want`]: each stands for eight chunks.
pub const MAX_WANT_BITS: usize = 512;
/// Most bytes of bits in one [`Saved`].
pub const MAX_SAVED_BITS: usize = 1 << 29;
/// No message but a chunk is longer than this, in bytes.
pub const MAX_CONTROL: usize = WANT_OVERHEAD + MAX_WANT_BITS;

/// An object: 16 random bytes that its first sender draws. It outlives member numbers, epochs and group instances.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub [u8; OBJECT_BYTES]);

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<'a> Field<'a> for ObjectId {
    const SHAPE: Shape = Shape::Fixed(OBJECT_BYTES);

    fn put(&self, out: &mut BytesMut) {
        out.put_slice(&self.0);
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.array().map(Self)
    }
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for ObjectId {
    fn fingerprint(&self, _now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        sink.feed(&self.0);
    }
}

choice! {
    /// What `transfer` says.
    pub enum ObjectMessage<'a> {
        /// An object can be had here.
        0 = Announce(Announce<'a>),
        /// A piece of an object.
        1 = Chunk(Chunk<'a>),
        /// A receiver lacks chunks.
        2 = Want(Want<'a>),
        /// A receiver got this far: the answer to a chunk that asks for a report.
        3 = Progress(Progress),
        /// A receiver is finished with an object.
        4 = Done(Done<'a>),
        /// An object can no longer be had here.
        5 = Withdraw(Withdraw),
    }
}

structure! {
    /// What an object is. It never changes: another content is another object.
    pub struct ManifestRef<'a> {
        /// The object.
        object: ObjectId,
        /// Its name. Nothing says that it is fit for a file system.
        name: NameRef<'a>,
        /// Its length in bytes.
        size: u64,
        /// The length of each chunk but the last, in bytes.
        chunk: u32,
        /// The digest of the whole, by the group's suite.
        digest: Digest,
    }
}

structure! {
    /// An object can be had here.
    pub struct Announce<'a> {
        /// What it is.
        manifest: ManifestRef<'a>,
        /// How much the sender has sent; whoever lacks chunks reports it back.
        mark: u64,
    }
}

structure! {
    /// A piece of an object.
    pub struct Chunk<'a> {
        /// The object.
        object: ObjectId,
        /// Which chunk, from 0.
        index: u32,
        /// How much the sender has sent, this message included, in bytes from an origin of its own.
        mark: u64,
        /// Whether receivers shall report `mark` back.
        report: bool,
        /// The piece. Its length follows from manifest and index.
        bytes: Rest<'a, MAX_TEXT>,
    }
}

structure! {
    /// A receiver lacks chunks.
    pub struct Want<'a> {
        /// The object.
        object: ObjectId,
        /// The highest mark that it saw, 0 for none.
        mark: u64,
        /// The chunk of the first bit.
        base: u32,
        /// Whether it lacks all chunks after the bits too.
        rest: bool,
        /// The chunks that it lacks: the bit of value `1 << j` in byte `i` stands for chunk `base + 8 * i + j`.
        bits: Blob<'a, 0, MAX_WANT_BITS>,
    }
}

structure! {
    /// A message of this mark arrived.
    pub struct Progress {
        /// The object that it was about.
        object: ObjectId,
        /// The mark.
        mark: u64,
    }
}

structure! {
    /// A receiver is finished with an object.
    pub struct Done<'a> {
        /// What the object was to this receiver: anybody can announce something else under the same number.
        manifest: ManifestRef<'a>,
        /// How that ended.
        outcome: Outcome,
    }
}

structure! {
    /// An object can no longer be had here.
    pub struct Withdraw {
        /// The object.
        object: ObjectId,
    }
}

choice! {
    /// How an object ended at a receiver.
    pub enum Outcome {
        /// It is whole, and its digest is that of the manifest.
        0 = Verified,
        /// It is whole, but its digest is another, each time that it was tried.
        1 = Corrupt,
        /// The receiver does not want it.
        2 = Declined,
    }
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Outcome {
    fn fingerprint(&self, _now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        sink.feed(&[*self as u8]);
    }
}

structure! {
    /// What a receiver stores in order to go on after a restart. Not a message.
    pub struct Saved<'a> {
        /// What the object is.
        manifest: ManifestRef<'a>,
        /// The chunks that are stored.
        bits: Rest<'a, MAX_SAVED_BITS>,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::Value;

    fn encoded(message: &ObjectMessage<'_>) -> Vec<u8> {
        let mut out = BytesMut::new();
        message.put(&mut out);
        out.to_vec()
    }

    #[test]
    fn the_stated_lengths_are_those_of_the_longest_messages() {
        let object = ObjectId([1; OBJECT_BYTES]);
        let chunk = Chunk { object, index: 0, mark: 0, report: false, bytes: Rest(&[]) };
        assert_eq!(encoded(&ObjectMessage::Chunk(chunk)).len(), CHUNK_OVERHEAD);
        let want = Want { object, mark: 0, base: 0, rest: false, bits: Blob(&[0; MAX_WANT_BITS]) };
        assert_eq!(encoded(&ObjectMessage::Want(want)).len(), MAX_CONTROL);
        let (name, digest) = ("n".repeat(255), Digest::new(&[1; Digest::MAX]).unwrap());
        let name = NameRef::new(&name).unwrap();
        let manifest = ManifestRef { object, name, size: 0, chunk: 0, digest };
        assert_eq!(encoded(&ObjectMessage::Announce(Announce { manifest, mark: 0 })).len(), 359);
    }

    proptest! {
        #[test]
        fn messages_are_read_as_they_are_written_and_the_tree_of_fields_agrees(
            code in 0..7u8, object: [u8; 16], numbers: (u64, u64, u32), flag: bool, name in "[a-z]{1,20}",
            bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0..200usize,
        ) {
            let (object, name) = (ObjectId(object), NameRef::new(&name).unwrap());
            let digest = Digest::new(&bytes).unwrap();
            let (mark, size, index) = numbers;
            let message = match code {
                0 => {
                    let manifest = ManifestRef { object, name, size, chunk: index, digest };
                    ObjectMessage::Announce(Announce { manifest, mark })
                }
                1 => ObjectMessage::Chunk(Chunk { object, index, mark, report: flag, bytes: Rest(&bytes) }),
                2 => ObjectMessage::Want(Want { object, mark, base: index, rest: flag, bits: Blob(&bytes) }),
                3 => ObjectMessage::Progress(Progress { object, mark }),
                4 => {
                    let manifest = ManifestRef { object, name, size, chunk: index, digest };
                    ObjectMessage::Done(Done { manifest, outcome: Outcome::Corrupt })
                }
                _ => ObjectMessage::Withdraw(Withdraw { object }),
            };
            let out = encoded(&message);
            prop_assert_eq!(ObjectMessage::decode(&out), Ok(message));
            let cut = out.get(..cut).unwrap_or(&out);
            let tree = Value::read("message", &ObjectMessage::SHAPE, cut);
            prop_assert_eq!(ObjectMessage::decode(cut).err(), tree.err());
        }
    }
}
