//! What is refused, and what surroundings that fail or overdo it lead to: one rule each.

use super::*;

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
