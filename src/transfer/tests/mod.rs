//! Rules of the transfer of objects, and what their tests share.

mod properties;
mod receiving;
mod refusing;
mod sending;

use alloc::vec::Vec;

use super::*;
use crate::endpoint::{Entropy, EntropyError, Instant, Wake};
use crate::error::Reason;
use crate::fingerprint::Fingerprint;
use crate::identity::Name;
use crate::wire::field::{Blob, Digest, Rest};
use crate::wire::transfer::{self as wire, Announce, Chunk, Done, Want, Withdraw};

/// A generator for tests (SplitMix64).
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn percent(&mut self, of: u64) -> bool {
        self.next() % 100 < of
    }
}

impl Entropy for Rng {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.iter_mut().for_each(|byte| *byte = self.next() as u8);
        Ok(())
    }
}

/// A source of randomness that has none.
struct Dry;

impl Entropy for Dry {
    fn fill(&mut self, _out: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError)
    }
}

pub(super) fn content(size: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng(seed);
    (0..size).map(|_| rng.next() as u8).collect()
}

/// No cryptography: these tests are about everything else.
pub(super) fn toy_digest(bytes: &[u8]) -> Digest {
    let sum = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    Digest::new(&sum.to_be_bytes()).unwrap()
}

struct Memory(Vec<u8>);

impl Source for Memory {
    fn read(&mut self, _object: ObjectId, offset: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let at = offset as usize;
        out.copy_from_slice(self.0.get(at..at + out.len()).ok_or(SourceError)?);
        Ok(())
    }
}

const ADA: MemberId = MemberId(1);
const BOB: MemberId = MemberId(2);
const EVE: MemberId = MemberId(3);
const ROOM: usize = 482;

fn at(ms: u64) -> Instant {
    Instant::from_micros(1000 * ms)
}

fn machine(seed: u64) -> Transfer {
    Transfer::new(Config::new(512), &mut Rng(seed)).unwrap()
}

fn state(machine: &Transfer) -> Vec<u8> {
    let mut bytes = Vec::new();
    machine.fingerprint(at(0), &mut bytes);
    bytes
}

fn manifest(id: u8, size: u64) -> Manifest {
    let name = Name::new("notes").unwrap();
    Manifest { object: ObjectId([id; 16]), name, size, chunk: ROOM as u32, digest: toy_digest(&[id]) }
}

fn announce(manifest: &Manifest, mark: u64) -> Bytes {
    encode(&ObjectMessage::Announce(Announce { manifest: manifest.by_ref(), mark }))
}

fn chunk(manifest: &Manifest, index: u32, mark: u64, report: bool, bytes: &[u8]) -> Bytes {
    encode(&ObjectMessage::Chunk(Chunk { object: manifest.object, index, mark, report, bytes: Rest(bytes) }))
}

fn want(manifest: &Manifest, base: u32, rest: bool, bits: &[u8]) -> Bytes {
    encode(&ObjectMessage::Want(Want { object: manifest.object, mark: 0, base, rest, bits: Blob(bits) }))
}

fn events(machine: &mut Transfer) -> Vec<Event> {
    core::iter::from_fn(|| machine.poll_event()).collect()
}

fn messages(machine: &mut Transfer, now: Instant, source: &mut dyn Source) -> Vec<Bytes> {
    core::iter::from_fn(|| machine.poll_message(now, source)).collect()
}

fn chunks_of(messages: &[Bytes]) -> Vec<u32> {
    let index = |message: &Bytes| match ObjectMessage::decode(message).unwrap() {
        ObjectMessage::Chunk(chunk) => Some(chunk.index),
        _ => None,
    };
    messages.iter().filter_map(index).collect()
}

fn wants_of(messages: &[Bytes]) -> Vec<Want<'_>> {
    let want = |message| match ObjectMessage::decode(message).unwrap() {
        ObjectMessage::Want(want) => Some(want),
        _ => None,
    };
    messages.iter().filter_map(|message| want(message)).collect()
}

/// A receiver that has accepted Ada's object.
fn receiver(manifest: &Manifest) -> Transfer {
    let mut machine = machine(9);
    machine.handle_message(at(1), ADA, &announce(manifest, 100)).unwrap();
    assert_eq!(events(&mut machine), [Event::Offered { from: ADA, manifest: manifest.clone() }]);
    machine.accept(at(1), manifest.object, ADA).unwrap();
    machine
}

/// A sender that offers `size` bytes, announced at 1 ms.
fn sender(size: usize) -> (Transfer, Memory, Manifest) {
    let mut machine = machine(5);
    let manifest = manifest(1, size as u64);
    machine.offer_again(at(1), manifest.clone()).unwrap();
    let mut memory = Memory(content(size, 3));
    assert_eq!(messages(&mut machine, at(1), &mut memory).len(), 1);
    (machine, memory, manifest)
}
