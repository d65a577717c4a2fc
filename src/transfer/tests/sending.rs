//! Rules of who offers an object, one each.

use super::*;

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
