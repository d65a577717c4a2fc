//! One rule each.

use alloc::vec::Vec;

use proptest::prelude::*;

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

#[test]
fn each_refused_message_leaves_the_machine_as_it_was() {
    let object = manifest(1, 10 * ROOM as u64);
    let mut machine = receiver(&object);
    let (full, short) = ([7; ROOM], [7; ROOM - 1]);
    let huge = Manifest { size: u64::MAX, ..manifest(2, 0) };
    let many = Manifest { size: 1 << 30, chunk: 1, ..manifest(3, 0) };
    let zero = Manifest { chunk: 0, ..manifest(4, 5) };
    let wide = Manifest { chunk: ROOM as u32 + 1, ..manifest(5, 5) };
    let bare = Manifest { digest: Digest::NONE, ..manifest(6, 5) };
    let other = Manifest { size: 1, ..object.clone() };
    let stranger = manifest(7, ROOM as u64);
    let mut trailing = want(&object, 0, false, &[1]).to_vec();
    trailing.push(0);
    for (why, from, message) in [
        (Reason::Malformed, ADA, Bytes::new()),
        (Reason::Malformed, ADA, Bytes::from_static(&[6])),
        (Reason::Malformed, ADA, Bytes::from(trailing)),
        (Reason::Unknown, EVE, chunk(&object, 0, 1, false, &full)),
        (Reason::Unknown, ADA, chunk(&stranger, 0, 1, false, &full)),
        (Reason::Violation, ADA, chunk(&object, 10, 1, false, &full)),
        (Reason::Violation, ADA, chunk(&object, u32::MAX, 1, false, &full)),
        (Reason::Violation, ADA, chunk(&object, 0, 1, false, &short)),
        (Reason::Violation, ADA, chunk(&object, 0, 1, false, &[])),
        (Reason::Violation, EVE, announce(&huge, 1)),
        (Reason::Violation, EVE, announce(&many, 1)),
        (Reason::Violation, EVE, announce(&zero, 1)),
        (Reason::Violation, EVE, announce(&wide, 1)),
        (Reason::Violation, EVE, announce(&bare, 1)),
        (Reason::Violation, ADA, announce(&other, 1)),
        (Reason::Violation, EVE, announce(&other, 1)),
        // Ada is there: nobody takes her place.
        (Reason::Unknown, EVE, announce(&object, 1)),
        (Reason::Violation, EVE, want(&object, 11, true, &[])),
        (Reason::Violation, EVE, want(&object, 9, false, &[2])),
        (Reason::Violation, EVE, want(&object, u32::MAX, false, &[1])),
    ] {
        let before = state(&machine);
        assert_eq!(machine.handle_message(at(1), from, &message), Err(why), "{message:?}");
        assert!(state(&machine) == before, "{message:?}");
    }
    machine.handle_message(at(1), ADA, &chunk(&object, 0, 1, false, &full)).unwrap();
    assert_eq!(events(&mut machine).len(), 1);
}

#[test]
fn floods_of_announcements_are_bounded_for_each_member_and_spare_the_others() {
    let mut machine = machine(1);
    let flood = (0..200).map(|id| machine.handle_message(at(1), EVE, &announce(&manifest(id, 1), 1)).is_ok());
    assert_eq!(flood.filter(|taken| *taken).count(), 8);
    machine.handle_message(at(1), ADA, &announce(&manifest(0, 9), 1)).unwrap();
    assert_eq!(events(&mut machine).len(), 9);
    // The object of the same number and another manifest is another offer.
    machine.accept(at(1), ObjectId([0; 16]), ADA).unwrap();
    assert_eq!(machine.accept(at(1), ObjectId([0; 16]), EVE), Err(TransferError::Taken));
    machine.member_left(at(2), EVE);
    assert_eq!(events(&mut machine).len(), 8);
    assert_eq!(machine.accept(at(2), ObjectId([1; 16]), EVE), Err(TransferError::Unknown));
}

#[test]
fn without_room_for_events_a_message_is_dropped_unread() {
    let object = manifest(1, 400 * ROOM as u64);
    let mut machine = receiver(&object);
    for index in 0..400 {
        let _ = machine.handle_message(at(2), ADA, &chunk(&object, index, 1, false, &[7; ROOM]));
    }
    let (have, _) = machine.received(object.object).unwrap();
    assert_eq!(events(&mut machine).len(), have as usize);
    assert_eq!((u64::from(have) + machine.overruns(), machine.overruns() > 100), (400, true));
}

#[test]
fn a_flood_of_demands_costs_one_sending_in_a_hold_time() {
    let (mut machine, mut memory, manifest) = sender(20 * ROOM);
    let flood = (0..1000).filter(|_| machine.handle_message(at(2), EVE, &want(&manifest, 0, true, &[])).is_ok());
    assert_eq!(flood.count(), 32, "one member's share");
    // Others are still served, until all have had theirs.
    let others = (100..200u64).map(|cid| {
        let asked =
            (0..50).filter(|_| machine.handle_message(at(2), MemberId(cid), &want(&manifest, 0, true, &[])).is_ok());
        asked.count()
    });
    assert_eq!(others.collect::<Vec<_>>()[..8], [32, 32, 32, 32, 32, 32, 32, 0]);
    let first = messages(&mut machine, at(2), &mut memory);
    assert_eq!(chunks_of(&first), (0..20).collect::<Vec<_>>());
    machine.handle_message(at(102), BOB, &want(&manifest, 3, false, &[1])).unwrap();
    assert!(messages(&mut machine, at(102), &mut memory).is_empty(), "sent less than a hold time ago");
    machine.handle_message(at(202), BOB, &want(&manifest, 3, false, &[0b101])).unwrap();
    machine.handle_message(at(202), EVE, &want(&manifest, 4, false, &[0b111])).unwrap();
    assert_eq!(chunks_of(&messages(&mut machine, at(202), &mut memory)), [3, 4, 5, 6], "one answer for both");
}

#[test]
fn the_window_shuts_and_a_report_opens_it_but_no_lie_does() {
    let config = Config { window: 4 * 512, ..Config::new(512) };
    let mut machine = Transfer::new(config, &mut Rng(1)).unwrap();
    let manifest = manifest(1, 100 * ROOM as u64);
    machine.offer_again(at(1), manifest.clone()).unwrap();
    let mut memory = Memory(content(100 * ROOM, 3));
    machine.handle_message(at(1), BOB, &want(&manifest, 0, true, &[])).unwrap();
    let sent = messages(&mut machine, at(1), &mut memory);
    assert_eq!((chunks_of(&sent).len(), machine.in_flight()), (4, 2048));
    let ObjectMessage::Chunk(last) = ObjectMessage::decode(sent.last().unwrap()).unwrap() else { panic!() };
    assert!(last.report);
    let report = |mark| encode(&ObjectMessage::Progress(wire::Progress { object: manifest.object, mark }));
    for lie in [0, 1, last.mark + 1, u64::MAX] {
        machine.handle_message(at(2), EVE, &report(lie)).unwrap();
        assert_eq!(machine.in_flight(), 2048);
    }
    machine.handle_message(at(2), BOB, &report(last.mark - 512)).unwrap();
    assert_eq!(machine.in_flight(), 512);
    assert_eq!(chunks_of(&messages(&mut machine, at(2), &mut memory)).len(), 3);
    // Nobody reports any more: probes, ever rarer, then silence.
    let mut probes = Vec::new();
    while let Wake::At(time, _) = machine.poll_timeout() {
        if time > at(3_000_000) {
            break;
        }
        machine.handle_timeout(time);
        let said = messages(&mut machine, time, &mut memory);
        assert!(chunks_of(&said).is_empty());
        if !said.is_empty() {
            probes.push(time.since(at(0)).as_millis());
        }
    }
    assert!(probes.len() < 140, "{probes:?}");
    assert_eq!(machine.in_flight(), 2048);
}

#[test]
fn a_receiver_asks_for_everything_then_for_gaps_then_for_the_tail_then_stalls() {
    let object = manifest(1, 10 * ROOM as u64);
    let mut machine = receiver(&object);
    let said = messages(&mut machine, at(60), &mut NoSource);
    let [all] = wants_of(&said)[..] else { panic!("{said:?}") };
    assert_eq!((all.base, all.rest, all.bits.0, all.mark), (0, true, &[][..], 0));
    for index in [0, 1, 3, 6] {
        machine.handle_message(at(61), ADA, &chunk(&object, index, 200, false, &[7; ROOM])).unwrap();
    }
    assert!(messages(&mut machine, at(200), &mut NoSource).is_empty(), "patience");
    let said = messages(&mut machine, at(500), &mut NoSource);
    let [gaps] = wants_of(&said)[..] else { panic!("{said:?}") };
    assert_eq!((gaps.base, gaps.rest, gaps.bits.0, gaps.mark), (2, false, &[0b1101][..], 200));
    let said = messages(&mut machine, at(1000), &mut NoSource);
    let [tail] = wants_of(&said)[..] else { panic!("{said:?}") };
    assert_eq!((tail.base, tail.rest, tail.bits.0), (2, false, &[0b1110_1101][..]), "up to 10, the last");
    // Silence: rarer and rarer, then no more.
    events(&mut machine);
    let mut times = Vec::new();
    while let Wake::At(time, _) = machine.poll_timeout() {
        machine.handle_timeout(time);
        times.extend(messages(&mut machine, time, &mut NoSource).iter().map(|_| time.since(at(0)).as_millis()));
        if let Some(event) = machine.poll_event() {
            assert_eq!(event, Event::Stalled { object: object.object });
        }
    }
    assert!((6..=8).contains(&times.len()) && machine.is_stalled(object.object), "{times:?}");
    assert!(times.windows(2).any(|pair| pair[1] - pair[0] > 3000));
    // The sender shows itself.
    machine.handle_message(at(90_000), ADA, &announce(&object, 300)).unwrap();
    assert_eq!(events(&mut machine), [Event::Resumed { object: object.object, from: ADA }]);
    assert_eq!(wants_of(&messages(&mut machine, at(90_100), &mut NoSource)).len(), 1);
}

#[test]
fn what_others_asked_for_is_not_asked_again_in_that_round() {
    let object = manifest(1, 10 * ROOM as u64);
    let mut machine = receiver(&object);
    machine.handle_message(at(1), BOB, &want(&object, 0, true, &[])).unwrap();
    assert!(wants_of(&messages(&mut machine, at(60), &mut NoSource)).is_empty(), "suppressed");
    machine.handle_message(at(61), BOB, &want(&object, 0, false, &[0x0f])).unwrap();
    let said = messages(&mut machine, at(1000), &mut NoSource);
    let [rest] = wants_of(&said)[..] else { panic!("{said:?}") };
    assert_eq!((rest.base, rest.rest), (4, true));
    let said = messages(&mut machine, at(3000), &mut NoSource);
    assert_eq!(wants_of(&said)[0].base, 0, "a round later it asks itself");
}

#[test]
fn a_report_is_said_once_and_not_if_another_said_it() {
    let object = manifest(1, 10 * ROOM as u64);
    let mut machine = receiver(&object);
    messages(&mut machine, at(100), &mut NoSource);
    let reports = |said: Vec<Bytes>| said.iter().filter(|message| message[0] == 3).count();
    let report = |mark| encode(&ObjectMessage::Progress(wire::Progress { object: object.object, mark }));
    machine.handle_message(at(101), ADA, &chunk(&object, 0, 1000, true, &[7; ROOM])).unwrap();
    assert_eq!(reports(messages(&mut machine, at(112), &mut NoSource)), 1);
    assert_eq!(reports(messages(&mut machine, at(122), &mut NoSource)), 0);
    machine.handle_message(at(123), ADA, &chunk(&object, 1, 2000, true, &[7; ROOM])).unwrap();
    machine.handle_message(at(123), BOB, &report(2000)).unwrap();
    assert_eq!(reports(messages(&mut machine, at(140), &mut NoSource)), 0);
    // A mark that was never sent silences nobody, nor does an older one.
    machine.handle_message(at(141), ADA, &chunk(&object, 2, 3000, true, &[7; ROOM])).unwrap();
    machine.handle_message(at(141), EVE, &report(u64::MAX)).unwrap();
    machine.handle_message(at(141), EVE, &report(2999)).unwrap();
    assert_eq!(reports(messages(&mut machine, at(160), &mut NoSource)), 1);
}

#[test]
fn nothing_is_delivered_before_its_digest_is_right() {
    let bytes = content(2 * ROOM, 1);
    let object = Manifest { digest: toy_digest(&bytes), ..manifest(1, 2 * ROOM as u64) };
    let mut machine = receiver(&object);
    assert_eq!(machine.verify(at(2), object.object, &object.digest), Err(TransferError::NotWhole));
    for corrupt in 1..=3 {
        for index in [1, 0] {
            machine.handle_message(at(10), ADA, &chunk(&object, index, 1, false, &[7; ROOM])).unwrap();
        }
        assert_eq!(events(&mut machine).last(), Some(&Event::Complete { object: object.object }));
        assert_eq!(machine.verify(at(10), object.object, &toy_digest(&[7])), Ok(false));
        assert_eq!(events(&mut machine), [Event::Corrupt { object: object.object, again: corrupt < 3 }]);
    }
    let said = messages(&mut machine, at(100), &mut NoSource);
    assert_eq!(said, [encode(&ObjectMessage::Done(Done { manifest: object.by_ref(), outcome: Outcome::Corrupt }))]);
    assert_eq!(machine.verify(at(2), object.object, &object.digest), Err(TransferError::Unknown));
    assert_eq!(machine.handle_message(at(101), ADA, &announce(&object, 1)), Ok(()));
    assert!(events(&mut machine).is_empty(), "not offered again");
}

#[test]
fn done_is_said_again_when_an_announcement_shows_that_it_was_lost_but_not_for_each() {
    let object = manifest(1, 5);
    let mut machine = machine(2);
    machine.handle_message(at(1), ADA, &announce(&object, 100)).unwrap();
    machine.decline(at(1), object.object, ADA).unwrap();
    let done = [encode(&ObjectMessage::Done(Done { manifest: object.by_ref(), outcome: Outcome::Declined }))];
    assert_eq!(messages(&mut machine, at(1), &mut NoSource), done);
    let mut said = 0;
    for ms in 0..10_000 {
        machine.handle_message(at(ms), ADA, &announce(&object, 100)).unwrap();
        said += messages(&mut machine, at(ms), &mut NoSource).len();
    }
    assert!((5..=15).contains(&said), "{said}");
}

#[test]
fn another_member_with_the_same_object_takes_over_only_where_the_source_is_gone() {
    let object = manifest(1, 3 * ROOM as u64);
    let mut machine = receiver(&object);
    machine.handle_message(at(2), ADA, &chunk(&object, 0, 150, false, &[7; ROOM])).unwrap();
    machine.member_left(at(3), ADA);
    assert_eq!(events(&mut machine).last(), Some(&Event::Stalled { object: object.object }));
    assert!(messages(&mut machine, at(9000), &mut NoSource).is_empty(), "there is nobody to ask");
    assert_eq!(machine.handle_message(at(9000), ADA, &chunk(&object, 1, 1, false, &[7; ROOM])), Err(Reason::Unknown));
    machine.handle_message(at(9000), BOB, &announce(&object, 7)).unwrap();
    assert_eq!(events(&mut machine), [Event::Resumed { object: object.object, from: BOB }]);
    let said = messages(&mut machine, at(9100), &mut NoSource);
    let [want] = wants_of(&said)[..] else { panic!("{said:?}") };
    assert_eq!((want.base, want.rest, want.mark), (1, true, 7), "only what it lacks, with the marks of the new one");
    machine.handle_message(at(9101), BOB, &chunk(&object, 1, 8, false, &[7; ROOM])).unwrap();
    machine
        .handle_message(at(9101), BOB, &encode(&ObjectMessage::Withdraw(Withdraw { object: object.object })))
        .unwrap();
    assert!(machine.is_stalled(object.object));
}

#[test]
fn a_sender_announces_until_all_members_are_finished() {
    let (mut machine, mut memory, manifest) = sender(ROOM);
    machine.member_joined(at(2), BOB);
    machine.member_joined(at(2), EVE);
    let done = |outcome| encode(&ObjectMessage::Done(Done { manifest: manifest.by_ref(), outcome }));
    machine.handle_message(at(3), BOB, &done(Outcome::Verified)).unwrap();
    machine.handle_message(at(3), BOB, &done(Outcome::Verified)).unwrap();
    machine.handle_message(at(3), MemberId(77), &done(Outcome::Verified)).unwrap();
    let received = |member, outcome| Event::Received { object: manifest.object, member, outcome };
    assert_eq!(events(&mut machine), [received(BOB, Outcome::Verified)]);
    assert_eq!(messages(&mut machine, at(300), &mut memory).len(), 1);
    machine.member_left(at(400), EVE);
    assert_eq!(events(&mut machine), [Event::AllReceived { object: manifest.object }]);
    assert!(messages(&mut machine, at(100_000), &mut memory).is_empty());
    machine.member_joined(at(100_000), MemberId(4));
    assert_eq!(messages(&mut machine, at(100_200), &mut memory).len(), 1, "a newcomer is told");
    machine.handle_timeout(at(3_600_001));
    assert_eq!(events(&mut machine), [Event::OfferEnded { object: manifest.object, why: OfferEnd::Expired }]);
    let farewell = encode(&ObjectMessage::Withdraw(Withdraw { object: manifest.object }));
    assert_eq!(messages(&mut machine, at(3_600_001), &mut memory), [farewell]);
    assert_eq!(machine.poll_timeout(), Wake::OnInput);
}

#[test]
fn failures_of_the_surroundings_leave_the_machine_as_it_was_or_end_the_offer() {
    assert_eq!(Transfer::new(Config::new(512), &mut Dry).unwrap_err(), TransferError::Entropy);
    assert_eq!(Transfer::new(Config::new(511), &mut Rng(1)).unwrap_err(), TransferError::Config);
    let mut machine = machine(1);
    let before = state(&machine);
    let name = || Name::new("x").unwrap();
    assert_eq!(machine.offer(at(1), &mut Dry, name(), 1, toy_digest(&[1])), Err(TransferError::Entropy));
    assert_eq!(machine.offer(at(1), &mut Rng(1), name(), u64::MAX, toy_digest(&[1])), Err(TransferError::Manifest));
    assert!(state(&machine) == before);
    let object = manifest(1, 2 * ROOM as u64);
    machine.offer_again(at(1), object.clone()).unwrap();
    assert_eq!(machine.offer_again(at(1), object.clone()), Err(TransferError::Taken));
    machine.handle_message(at(1), BOB, &want(&object, 0, true, &[])).unwrap();
    // The source has only the first chunk.
    let said = messages(&mut machine, at(1), &mut Memory(content(ROOM, 1)));
    assert_eq!(chunks_of(&said), [0]);
    assert_eq!(events(&mut machine), [Event::OfferEnded { object: object.object, why: OfferEnd::Source }]);
    assert_eq!(messages(&mut machine, at(1), &mut NoSource).len(), 1, "a farewell");
}

#[test]
fn spurious_calls_and_a_clock_that_goes_back_are_harmless() {
    let object = manifest(1, 10 * ROOM as u64);
    let mut machine = receiver(&object);
    messages(&mut machine, at(1000), &mut NoSource);
    let before = state(&machine);
    for ms in [0, 1000, 500] {
        machine.handle_timeout(at(ms));
        assert!(machine.poll_message(at(ms), &mut NoSource).is_none() && machine.poll_event().is_none());
    }
    assert!(state(&machine) == before);
}

#[test]
fn only_plain_names_become_file_names() {
    for good in ["a", "report.pdf", "Übersicht 2.txt", "console.txt", "com.txt", "lpt10", "x..y", "日本語"] {
        assert!(file_name_is_plain(good), "{good}");
    }
    for bad in [
        "",
        ".",
        "..",
        ".bashrc",
        "a/b",
        "a\\b",
        "/etc",
        "C:x",
        "a\0b",
        "a\nb",
        "\x1b[2J",
        "x\u{202e}fdp.exe",
        " a",
        "a ",
        "a.",
        "con",
        "CON.txt",
        "nul .x",
        "Com1.log",
        "lpt9",
        "a*b",
        "a?b",
        "a|b",
        "a<b",
        "a\"b",
        "x\u{200b}",
    ] {
        assert!(!file_name_is_plain(bad), "{bad:?}");
    }
    assert!(!file_name_is_plain(&"x".repeat(256)));
}

#[cfg(feature = "rustcrypto")]
#[test]
fn the_digest_of_a_source_is_that_of_its_bytes() {
    let suite = crate::crypto::aes_128_gcm();
    for size in [0, 1, 16_383, 16_384, 16_385, 100_000] {
        let bytes = content(size, 1);
        let digest = digest_of(&*suite, ObjectId([0; 16]), size as u64, &mut Memory(bytes.clone())).unwrap();
        assert_eq!(digest, suite.hash(&[&bytes]).unwrap());
    }
    assert_eq!(digest_of(&*suite, ObjectId([0; 16]), 9, &mut NoSource), Err(TransferError::Source));
}

proptest! {
    #[test]
    fn no_bytes_from_outside_do_more_than_their_message(
        payload in prop::collection::vec(any::<u8>(), 0..200), code in 0..7u8, known: bool,
    ) {
        let object = manifest(1, 5 * ROOM as u64);
        let mut machine = receiver(&object);
        machine.offer_again(at(1), manifest(2, 9 * ROOM as u64)).unwrap();
        let mut bytes = alloc::vec![code];
        if known {
            bytes.extend_from_slice(&[1 + code % 2; 16]);
        }
        bytes.extend_from_slice(&payload);
        let before = state(&machine);
        if machine.handle_message(at(1), ADA, &Bytes::from(bytes)).is_err() {
            prop_assert!(state(&machine) == before);
        }
        prop_assert!(events(&mut machine).len() <= EVENTS_PER_MESSAGE);
    }

    /// Whatever is missing: the demands of one round name it, all of it, and nothing else.
    #[test]
    fn demands_name_what_is_missing(have in prop::collection::btree_set(0..3000u32, 0..200), dense: bool) {
        let object = Manifest { chunk: 1, ..manifest(1, 3000) };
        let mut bits = super::bitmap::Bitmap::new(3000);
        for index in 0..3000 {
            if have.contains(&index) != dense {
                bits.insert(index);
            }
        }
        let missing: Vec<u32> = (0..3000).filter(|index| !bits.contains(*index)).collect();
        prop_assume!(!missing.is_empty());
        let mut machine = machine(1);
        machine.resume(at(0), Progress { manifest: object.clone(), have: bits }).unwrap();
        machine.handle_message(at(0), ADA, &announce(&object, 1)).unwrap();
        let said = messages(&mut machine, at(60), &mut NoSource);
        let wants = wants_of(&said);
        prop_assert!(wants.len() <= 2);
        let mut named: Vec<u32> = Vec::new();
        for want in &wants {
            named.extend(super::sender::wanted_bits(want));
            if want.rest {
                named.extend(want.base + 8 * want.bits.0.len() as u32..3000);
            }
        }
        prop_assert_eq!(named, missing);
    }

    #[test]
    fn what_is_stored_of_an_object_is_read_back(size in 0..5000u64, have in prop::collection::btree_set(0..5000u32, 0..50), noise in any::<(usize, u8)>()) {
        let object = Manifest { chunk: 3, ..manifest(1, size) };
        let held: Vec<u32> = have.into_iter().filter(|index| *index < object.chunks()).collect();
        let there: usize = held.iter().map(|index| object.chunk_len(*index)).sum();
        // Twice, and one that the object does not have: neither counts.
        let claimed = held.iter().copied().chain(held.first().copied()).chain([object.chunks()]);
        let progress = Progress::claim(object, claimed);
        prop_assert_eq!((progress.chunks().0 as usize, progress.bytes()), (held.len(), there as u64));
        let mut bytes = progress.to_bytes();
        prop_assert_eq!(Progress::from_bytes(&bytes).unwrap(), progress);
        let at = noise.0 % bytes.len();
        bytes[at] ^= noise.1;
        if let Ok(other) = Progress::from_bytes(&bytes) {
            prop_assert_eq!(other.to_bytes(), bytes);
        }
    }
}

#[test]
fn times_and_windows_without_end_overflow_nothing() {
    let endless = Config {
        window: u64::MAX,
        keep_for: Duration::MAX,
        announce_first: Duration::MAX,
        announce_longest: Duration::MAX,
        ..Config::new(512)
    };
    let mut sender = Transfer::new(endless, &mut Rng(1)).unwrap();
    let mut receiver = Transfer::new(endless, &mut Rng(2)).unwrap();
    let bytes = content(10 * ROOM, 3);
    let mut source = Memory(bytes.clone());
    let name = Name::new("notes").unwrap();
    let object = sender.offer(at(1), &mut Rng(4), name, bytes.len() as u64, toy_digest(&bytes)).unwrap();
    // The next announcement would come after twice the longest time.
    let said = messages(&mut sender, at(1), &mut source);
    assert_eq!(said.len(), 1);
    // A report widens a window that is as wide as can be.
    let manifest = sender.offered(object).unwrap().clone();
    sender.handle_message(at(2), BOB, &want(&manifest, 0, true, &[])).unwrap();
    let chunks = messages(&mut sender, at(2), &mut source);
    assert_eq!(chunks.len(), 10);
    let Ok(ObjectMessage::Chunk(last)) = ObjectMessage::decode(&chunks[9]) else { panic!("a chunk") };
    let progress = encode(&ObjectMessage::Progress(wire::Progress { object, mark: last.mark }));
    sender.handle_message(at(3), BOB, &progress).unwrap();
    assert_eq!(sender.in_flight(), 0);
    // A receiver that is finished rests for four times that time.
    receiver.handle_message(at(4), ADA, &said[0]).unwrap();
    receiver.decline(at(4), object, ADA).unwrap();
    assert_eq!(messages(&mut receiver, at(4), &mut NoSource).len(), 1);
}

#[test]
fn what_is_said_of_another_object_of_that_number_is_no_receipt() {
    let mut ada = machine(1);
    ada.member_joined(at(0), BOB);
    let bytes = content(100, 1);
    let object = ada.offer(at(0), &mut Rng(2), Name::new("notes").unwrap(), 100, toy_digest(&bytes)).unwrap();
    let right = ada.offered(object).unwrap().clone();
    // Eve announces her own under Ada's number; Bob takes that one and says that he has it.
    let mut eves = Memory(content(100, 9));
    let wrong = Manifest { digest: toy_digest(&eves.0), ..right.clone() };
    let (mut eve, mut bob) = (machine(3), machine(4));
    eve.offer_again(at(0), wrong.clone()).unwrap();
    let mut said = messages(&mut eve, at(1), &mut eves);
    bob.handle_message(at(1), EVE, &said.remove(0)).unwrap();
    bob.accept(at(1), object, EVE).unwrap();
    let now = at(1_000);
    for message in messages(&mut bob, now, &mut NoSource) {
        eve.handle_message(now, BOB, &message).unwrap();
    }
    for message in messages(&mut eve, now, &mut eves) {
        bob.handle_message(now, EVE, &message).unwrap();
    }
    assert_eq!(bob.verify(now, object, &wrong.digest), Ok(true));
    let done = messages(&mut bob, at(2_000), &mut NoSource);
    assert_eq!(done.len(), 1);
    events(&mut ada);
    ada.handle_message(at(2_000), BOB, &done[0]).unwrap();
    assert_eq!(events(&mut ada), []);
    let true_one = encode(&ObjectMessage::Done(Done { manifest: right.by_ref(), outcome: Outcome::Verified }));
    ada.handle_message(at(2_001), BOB, &true_one).unwrap();
    let received = Event::Received { object, member: BOB, outcome: Outcome::Verified };
    assert_eq!(events(&mut ada), [received, Event::AllReceived { object }]);
}
