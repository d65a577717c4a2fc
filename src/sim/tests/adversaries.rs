//! Whoever owns the network.

use super::*;

#[test]
fn a_recorder_sees_every_frame_even_lost_ones() {
    let mut pair = Pair::new(1, LinkConfig::DATAGRAM.faults(Faults { loss: 1000, ..Faults::NONE }));
    let recorder = shared(Recorder::default());
    pair.world.set_adversary(recorder.clone());
    assert_eq!(pair.count(3), []);
    let frames = &recorder.borrow().frames;
    assert_eq!(frames.iter().map(|frame| frame.bytes[0]).collect::<Vec<_>>(), [0, 1, 2]);
    let frame = &frames[1];
    assert_eq!((frame.from, frame.to, frame.from_link, frame.to_link), (pair.a.id, pair.b.id, pair.link, pair.far));
    assert_eq!(frame.sent, Instant::from_micros(1_000));
    assert_eq!(recorder.borrow().of(&Tables::default(), "RA-J1").count(), 0);
}

#[test]
fn replays_arrive_and_are_told_from_the_real_thing() {
    let mut pair = Pair::new(1, LinkConfig::STREAM);
    pair.world.set_adversary(ReplayAll { after: SECOND, times: 2 });
    assert_eq!(pair.count(2), [0, 1, 0, 1, 0, 1]);
    assert_eq!(pair.world.net_stats().injected, 4);
    // A machine that minds does not report twice.
    let (mut world, nodes) = echoes(1, 2, LinkConfig::STREAM);
    world.set_adversary(ReplayAll { after: SECOND, times: 2 });
    let deliveries = shared(check::NoReplayDelivered::default());
    world.add_checker(deliveries.clone());
    say(&mut world, nodes[0], b"once");
    world.run_for(5 * SECOND).unwrap();
    // A text, its echo, and the echoes of two replays: each comes twice more.
    assert_eq!((deliveries.borrow().deliveries(), world.net_stats().injected), (1, 8));
}

#[test]
fn picked_frames_are_dropped() {
    let mut pair = Pair::new(1, LinkConfig::STREAM);
    pair.world.set_adversary(DropMatching(|frame: &InTransit, _: &Tables| frame.bytes[0] % 2 == 1));
    assert_eq!(pair.count(6), [0, 2, 4]);
    assert_eq!(pair.world.net_stats().intercepted, 3);
    pair.world.retire_adversary();
    assert_eq!(pair.count(2), [0, 2, 4, 0, 1]);
}

#[test]
fn mallory_replaces_delays_injects_and_closes() {
    let mut pair = Pair::new(1, LinkConfig::STREAM);
    pair.world.set_adversary(Mallory(|frame: &InTransit, net: &mut Net<'_>| match frame.bytes[0] {
        0 => Verdict::Replace(Bytes::from_static(&[100])),
        1 => Verdict::Delay(SECOND),
        2 => {
            assert_eq!((net.name(frame.from), net.name(frame.to)), ("a", "b"));
            assert!(net.links_of(frame.to).eq([frame.to_link]));
            net.inject(frame.to_link, Bytes::from_static(&[101]), Duration::ZERO);
            Verdict::Pass
        }
        4 => {
            net.close(frame.from_link);
            Verdict::Drop
        }
        _ => Verdict::Pass,
    }));
    assert_eq!(pair.count(5), [100, 101, 2, 3, 1][..4].to_vec(), "what was held back came after the end of the link");
    assert_eq!(pair.seen(pair.a).last(), Some(&Seen::Closed(pair.link)));
    assert_eq!(pair.seen(pair.b).last(), Some(&Seen::Closed(pair.far)));
}

/// Holds everything back and lets it go, backwards, when its hour has come.
#[derive(Default)]
struct Hoarder(Vec<InTransit>);

impl Adversary for Hoarder {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        if self.0.is_empty() {
            net.wake(7, SECOND);
        }
        self.0.push(frame.clone());
        Verdict::Drop
    }

    fn on_wake(&mut self, token: u64, net: &mut Net<'_>) {
        assert_eq!(token, 7);
        self.0.drain(..).rev().for_each(|frame| net.inject(frame.to_link, frame.bytes, Duration::ZERO));
    }
}

#[test]
fn an_adversary_can_wait() {
    let mut pair = Pair::new(1, LinkConfig::STREAM);
    pair.world.set_adversary(Hoarder::default());
    assert_eq!(pair.count(4), [3, 2, 1, 0]);
}

#[test]
fn a_gang_works_together() {
    let recorder = shared(Recorder::default());
    let drop = DropMatching(|frame: &InTransit, _: &Tables| frame.bytes[0] == 1);
    let mut pair = Pair::new(1, LinkConfig::STREAM);
    let members: [Box<dyn Adversary>; 3] =
        [Box::new(recorder.clone()), Box::new(drop), Box::new(ReplayAll { after: SECOND, times: 1 })];
    pair.world.set_adversary(Gang(members.into()));
    assert_eq!(pair.count(3), [0, 2, 0, 1, 2]);
    assert_eq!(recorder.borrow().frames.len(), 3);
}

#[test]
fn the_scenario_can_inject_too() {
    let mut pair = Pair::new(1, LinkConfig::DATAGRAM);
    pair.world.inject(pair.far, &b"forged"[..], SECOND);
    pair.world.inject(Link(99), &b"nowhere"[..], SECOND);
    pair.world.run_for(2 * SECOND).unwrap();
    assert_eq!(pair.world.get(pair.b).unwrap().frames(), [b"forged"]);
}

#[test]
fn the_adversary_does_not_change_what_machines_draw() {
    let draws = |adversary: bool| {
        let mut pair = Pair::new(1, LinkConfig::DATAGRAM);
        if adversary {
            pair.world.set_adversary(Mallory(|_: &InTransit, net: &mut Net<'_>| {
                net.rng.draw();
                Verdict::Pass
            }));
        }
        pair.count(3);
        let mut out = [0; 8];
        pair.world.with(pair.a, |_, cx| cx.rng.fill(&mut out)).unwrap().unwrap();
        out
    };
    assert_eq!(draws(true), draws(false));
}
