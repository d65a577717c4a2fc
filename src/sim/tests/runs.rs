//! Time, commands, endings, traces, schedules.

use super::*;
use crate::endpoint::WallClock;
use crate::error::{CommandError, Failure};

fn chatter(seed: u64, drain: Drain) -> World {
    let (mut world, nodes) = echoes(seed, 4, LinkConfig::DATAGRAM.faults(Faults::HARSH));
    nodes.iter().for_each(|node| world.set_drain(*node, drain).unwrap());
    for node in &nodes {
        say(&mut world, *node, b"good morning");
        world.run_for(100 * MS).unwrap();
    }
    let quiet = |world: &World| nodes.iter().all(|node| world.get(*node).unwrap().waiting() == 0);
    world.eventually(60 * SECOND, "all is echoed", quiet).unwrap();
    assert_eq!(nodes.iter().map(|node| world.get(*node).unwrap().heard()).collect::<Vec<_>>(), [3, 1, 1, 1]);
    world
}

#[test]
fn a_seed_decides_everything() {
    for drain in [Drain::Each, Drain::Batch { inputs: 4, within: 20 * MS }] {
        let (one, two, other) = (chatter(5, drain), chatter(5, drain), chatter(6, drain));
        assert_eq!(one.trace_digest(), two.trace_digest());
        assert!(one.trace().lines().eq(two.trace().lines()));
        assert_ne!(one.trace_digest(), other.trace_digest());
        assert!(one.net_stats().lost > 0 && one.net_stats().duplicated > 0, "{:?}", one.net_stats());
    }
}

#[test]
fn lines_are_bounded_and_do_not_change_the_digest() {
    let run = |keep| {
        let (mut world, nodes) = echoes(1, 2, LinkConfig::STREAM);
        world.trace_mut().keep(keep);
        say(&mut world, nodes[0], b"x");
        world.run_for(SECOND).unwrap();
        world
    };
    let (none, few, all) = (run(0), run(2), run(100));
    assert_eq!(none.trace_digest(), all.trace_digest());
    assert_eq!(few.trace().lines().len(), 2);
    assert!(few.trace().dropped() > 0 && none.trace().lines().len() == 0);
    assert_eq!(few.trace().tail(1).lines().count(), 1);
    assert!(all.trace().lines().any(|line| line.contains("e1: ? (10 B) on link 2")), "{}", all.trace().tail(100));
}

#[test]
fn machines_that_never_rest_are_found_out() {
    let run = |add: &dyn Fn(&mut World) -> Result<(), Stop>| {
        let mut world = World::new(1);
        world.limits().burst = 1_000;
        world.limits().steps = 50_000;
        let result = add(&mut world).and_then(|()| world.run_for(100 * SECOND));
        (result.map_err(|stop| stop.why), world)
    };
    // Asks to be woken at once, or every millisecond, and does nothing.
    for every in [Duration::ZERO, MS] {
        let (result, mut world) = run(&|world| {
            let spin = world.add("spin", Spin::every(every))?;
            // Started at the origin, it is due at once; give it a reason to be asked.
            world.with(spin, |_, _| ())
        });
        assert_eq!(result, Err(Why::Idling), "{every:?}");
        // A world that has stopped stays so.
        assert_eq!(world.run_for(MS).unwrap_err().why, Why::Idling);
    }
    // One that wakes every ten seconds may do so for ever.
    assert_eq!(run(&|world| world.add("slow", Spin::every(10 * SECOND)).map(|_| ())).0, Ok(()));
    for by_wakes in [false, true] {
        let (result, _) = run(&|world| {
            let flood = world.add("flood", Flood::new(by_wakes))?;
            let sink = world.add("sink", Puppet::default())?;
            world.connect(flood, sink, LinkConfig::STREAM).map(|_| ())
        });
        assert_eq!(result, Err(Why::Flooding));
    }
    // Two that answer each other for ever without any delay.
    let (result, _) = run(&|world| {
        let [a, b] = [(); 2].map(|()| world.add("parrot", Puppet { parrot: true, ..Puppet::default() }));
        let (a, b) = (a?, b?);
        let (link, _) = world.connect(a, b, LinkConfig::STREAM.delay(Duration::ZERO, Duration::ZERO))?;
        world.with(a, |a, _| a.send(link, b"x", Class::Data))
    });
    assert_eq!(result, Err(Why::Steps));
}

#[test]
fn what_a_machine_must_not_do_ends_the_run() {
    let mut pair = Pair::new(1, LinkConfig::DATAGRAM);
    let far = pair.far;
    let stop = pair.world.with(pair.a, |a, _| a.send(far, b"x", Class::Data)).unwrap_err();
    assert_eq!(stop.why, Why::ForeignLink(far));
    assert_eq!(pair.world.run_for(MS), Err(stop));

    let mut pair = Pair::new(1, LinkConfig::DATAGRAM.max_frame(4));
    pair.send(b"four").unwrap();
    assert_eq!(pair.send(b"fiver").unwrap_err().why, Why::Oversize { link: pair.link, length: 5, max: 4 });

    let mut pair = Pair::new(9, LinkConfig::DATAGRAM);
    pair.world.with(pair.b, |b, _| b.fatal = true).unwrap();
    pair.send(b"x").unwrap();
    let stop = pair.world.run_for(SECOND).unwrap_err();
    assert!(matches!(stop.why, Why::Fatal(_)));
    assert_eq!((stop.seed, &*stop.node, stop.at), (9, "b", Instant::from_micros(1_000)));

    let mut pair = Pair::new(1, LinkConfig::DATAGRAM);
    pair.world.add_checker(check::Always::new("no frames", |step: &Observed<'_>| {
        let heard = step.machine::<Puppet>().is_some_and(|puppet| !puppet.frames().is_empty());
        if heard { Err("a frame".into()) } else { Ok(()) }
    }));
    pair.send(b"x").unwrap();
    let stop = pair.world.run_for(SECOND).unwrap_err();
    assert_eq!(stop.why, Why::Check { checker: "no frames", text: "a frame".into() });
}

#[test]
fn mistakes_of_the_scenario_are_errors_but_no_end() {
    let mut pair = Pair::new(1, LinkConfig::DATAGRAM);
    assert_eq!(pair.world.close(Link(99)).unwrap_err().why, Why::NoSuch);
    assert!(pair.world.typed::<Echo>(pair.a.id).is_none());
    assert!(pair.world.typed::<Puppet>(pair.a.id).is_some());
    pair.world.crash(pair.a).unwrap();
    assert_eq!(pair.world.crash(pair.a).unwrap_err().why, Why::NoMachine);
    assert_eq!(pair.send(b"x").unwrap_err().why, Why::NoMachine);
    assert!(matches!(pair.world.restart(pair.a).unwrap_err().why, Why::Scenario(_)));
    let stop = pair.world.eventually(SECOND, "a miracle", |_| false).unwrap_err();
    assert_eq!((stop.why, stop.at), (Why::NotInTime("a miracle".into()), Instant::ORIGIN + SECOND));
    pair.world.run_for(SECOND).unwrap();
    assert_eq!(pair.world.now(), Instant::ORIGIN + 2 * SECOND);
}

#[test]
fn tasks_happen_in_their_time() {
    let order = shared(Vec::new());
    let mut world = World::new(1);
    for (at, name) in [(30, 'c'), (10, 'a'), (20, 'b'), (10, 'A')] {
        let order = order.clone();
        world.after(at * MS, move |world| {
            order.borrow_mut().push((name, world.now().as_micros()));
            Ok(())
        });
    }
    world.run_for(20 * MS).unwrap();
    assert_eq!(*order.borrow(), [('a', 10_000), ('A', 10_000), ('b', 20_000)]);
    world.run_for(SECOND).unwrap();
    assert_eq!(order.borrow().len(), 4);
}

#[test]
fn clocks_may_differ_jump_and_drift() {
    let mut pair = Pair::new(1, LinkConfig::DATAGRAM);
    let a = pair.a;
    let wake = |pair: &mut Pair, at: Instant| pair.world.with(a, |a, _| a.wake = Some(at)).unwrap();
    let woken = |pair: &Pair| {
        let puppet = pair.world.get(a).unwrap();
        puppet.seen.iter().filter(|(_, seen)| *seen == Seen::Timeout).map(|(at, _)| *at).collect::<Vec<_>>()
    };
    pair.world.shift_clock(a, 5_000_000).unwrap();
    wake(&mut pair, Instant::from_micros(6_000_000));
    pair.world.run_for(SECOND).unwrap();
    assert_eq!(woken(&pair), [Instant::from_micros(6_000_000)]);
    // Back by three seconds: the next deadline moves away.
    wake(&mut pair, Instant::from_micros(6_500_000));
    pair.world.shift_clock(a, -3_000_000).unwrap();
    pair.world.run_for(3_400 * MS).unwrap();
    assert_eq!(woken(&pair).len(), 1);
    pair.world.run_for(100 * MS).unwrap();
    assert_eq!(woken(&pair)[1], Instant::from_micros(6_500_000));
    // Half as fast.
    pair.world.drift_clock(a, -500_000).unwrap();
    wake(&mut pair, Instant::from_micros(7_500_000));
    pair.world.run_for(1_999 * MS).unwrap();
    assert_eq!(woken(&pair).len(), 2);
    pair.world.run_for(MS).unwrap();
    assert_eq!(woken(&pair).len(), 3);
    for (ppm, local) in [(0, 7), (333, 1_000_003), (-333_333, 77_777), (1_000_000, 5)] {
        pair.world.drift_clock(a, ppm).unwrap();
        let clock = pair.world.nodes[0].clock;
        let shown = clock.local(pair.world.now()) + Duration::from_micros(local);
        let world = clock.world(shown);
        assert!(clock.local(world) >= shown && clock.local(world - Duration::from_micros(1)) < shown);
    }
}

#[test]
fn wall_clocks_run_with_the_node() {
    let mut pair = Pair::new(1, LinkConfig::DATAGRAM);
    let wall = |pair: &mut Pair| pair.world.with(pair.a, |_, cx| cx.wall).unwrap();
    assert_eq!(wall(&mut pair), None);
    pair.world.set_wall(pair.a, Some(WallClock(1_000_000))).unwrap();
    pair.world.run_for(2 * SECOND).unwrap();
    assert_eq!(wall(&mut pair), Some(WallClock(1_002_000)));
    assert_eq!(pair.world.with(pair.b, |_, cx| cx.wall).unwrap(), None);
}

#[test]
fn every_draw_can_fail() {
    let run = |k: Option<u64>| -> Result<u64, Stop> {
        let (mut world, nodes) = echoes(1, 2, LinkConfig::STREAM);
        if let Some(k) = k {
            world.entropy(nodes[0])?.arm(k);
        }
        for turn in 1..=3 {
            let said = world.with(nodes[0], |echo, cx| echo.say(cx, b"x"))?;
            let failed = said == Err(CommandError::Failure(Failure::Entropy));
            assert_eq!(failed, k == Some(turn));
            assert_eq!(said.is_err(), failed);
        }
        world.run_for(SECOND)?;
        assert_eq!(world.get(nodes[1]).unwrap().heard(), if k.is_some() { 2 } else { 3 });
        Ok(world.entropy(nodes[0])?.draws())
    };
    assert_eq!(every_failure(run), Ok(3));
    assert_eq!(every_failure(|k| if k == Some(2) { Err("second") } else { Ok(5) }), Err((Some(2), "second")));
}

#[test]
fn applications_are_started_and_told() {
    let mut pair = Pair::new(1, LinkConfig::DATAGRAM);
    let log = shared(Vec::new());
    let (a, link, mine) = (pair.a, pair.link, log.clone());
    // The application answers an event with a command; what that gives is drained in the same step.
    pair.world
        .set_app(a, move |puppet, _cx, moment| match moment {
            Moment::Started => {
                mine.borrow_mut().push("started");
                puppet.events.push_back(Event::Stale);
            }
            Moment::Event(Event::Stale) => {
                mine.borrow_mut().push("stale");
                puppet.send(link, b"answer", Class::Data);
                puppet.events.push_back(Event::Hindered(crate::error::Failure::Suite));
            }
            Moment::Event(_) => mine.borrow_mut().push("other"),
        })
        .unwrap();
    assert_eq!(*log.borrow(), ["started", "stale", "other"]);
    assert_eq!(pair.world.events(a).len(), 2);
    assert_eq!(pair.world.take_events(a).len(), 2);
    assert!(pair.world.events(a).is_empty());
    pair.world.run_for(SECOND).unwrap();
    assert_eq!(pair.world.get(pair.b).unwrap().frames(), [b"answer"]);
}

fn chaos(seed: u64, config: LinkConfig, schedule: impl FnOnce(&World) -> Schedule) -> Result<World, Stop> {
    let (mut world, nodes) = echoes(seed, 5, config.delay(5 * MS, 5 * MS));
    for node in &nodes[1..] {
        world.set_factory(*node, |_| Echo::new())?;
    }
    schedule(&world).apply(&mut world);
    for _ in 0..20 {
        // Without links or randomness there is nothing to say.
        let _ = world.with(nodes[0], |echo, cx| echo.say(cx, b"ping"))?;
        world.run_for(500 * MS)?;
    }
    let arrived = |world: &World| world.get(nodes[0]).is_some_and(|echo| echo.waiting() == 0);
    world.eventually(30 * SECOND, "everything is echoed", arrived)?;
    Ok(world)
}

#[test]
fn after_random_chaos_everybody_arrives() {
    let mut crashes = 0;
    for seed in 0..40 {
        let config = if seed % 2 == 0 { LinkConfig::DATAGRAM } else { LinkConfig::STREAM };
        let plan = |world: &World| {
            let nodes: Vec<NodeId> = world.nodes().collect();
            let (mortal, clock, closes) = (nodes[1..].to_vec(), 200 * MS, config.reliable);
            Schedule::random(seed, &Chaos { mortal, clock, closes, ..Chaos::new(10 * SECOND, nodes) })
        };
        let world = chaos(seed, config, plan).unwrap_or_else(|stop| panic!("{stop}"));
        assert!(world.is_calm());
        crashes += world.trace().lines().filter(|line| line.ends_with("crashed")).count();
        assert_eq!(world.trace_digest(), chaos(seed, config, plan).unwrap().trace_digest(), "seed {seed}");
    }
    assert!(crashes > 10, "{crashes}");
}

#[test]
fn schedules_shrink_to_what_matters() {
    let nodes: Vec<NodeId> = (0..4).map(NodeId).collect();
    let schedule = Schedule::random(4, &Chaos { ops: 40, ..Chaos::new(SECOND, nodes) });
    assert!(schedule.ops.len() > 20 && schedule.ops.is_sorted_by_key(|(at, _)| *at));
    let has = |schedule: &Schedule, wanted: fn(&Op) -> bool| schedule.ops.iter().any(|(_, op)| wanted(op));
    let fails = |schedule: &Schedule| {
        has(schedule, |op| matches!(op, Op::Crash(_))) && has(schedule, |op| matches!(op, Op::Partition(_)))
    };
    assert!(fails(&schedule));
    let least = schedule.minimise(fails);
    assert!(fails(&least));
    assert_eq!(least.ops.len(), 3, "{least:?}");
    assert_eq!(least.ops.last().unwrap().1, Op::Calm);
}

#[test]
fn ten_thousand_endpoints_are_feasible() {
    let (mut world, nodes) = echoes(1, 10_000, LinkConfig::DATAGRAM.delay(5 * MS, 5 * MS));
    world.trace_mut().keep(0);
    say(&mut world, nodes[0], b"hello all");
    world.run_for(SECOND).unwrap();
    assert!(nodes[1..].iter().all(|node| world.get(*node).unwrap().heard() == 1));
    assert_eq!(world.get(nodes[0]).unwrap().waiting(), 0);
    assert_eq!(world.net_stats().delivered, 2 * 9_999);
}
