//! Rules of who receives an object, one each.

use super::*;

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
