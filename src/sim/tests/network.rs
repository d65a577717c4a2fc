//! Links and their faults.

use core::num::NonZeroU64;

use super::*;

#[test]
fn a_good_link_delivers_in_time_and_order() {
    for config in [LinkConfig::STREAM, LinkConfig::DATAGRAM] {
        let mut pair = Pair::new(1, config.delay(7 * MS, Duration::ZERO));
        assert_eq!(pair.count(50), (0..50).collect::<Vec<_>>());
        let seen = &pair.world.get(pair.b).unwrap().seen;
        assert_eq!(seen[0], (Instant::ORIGIN, Seen::Opened(pair.far, config.info(false, None))));
        assert_eq!(seen[1].0, Instant::from_micros(7_000));
    }
}

#[test]
fn datagrams_suffer_each_fault_and_streams_none() {
    let by = 20 * MS;
    let rate = Faults { reorder_by: by, ..Faults::NONE };
    let run = |config: LinkConfig, faults| {
        let mut pair = Pair::new(3, config);
        pair.world.set_faults(faults);
        let got = pair.count(200);
        (got, *pair.world.net_stats())
    };
    let sorted = |mut numbers: Vec<u8>| {
        numbers.sort_unstable();
        numbers
    };
    let all: Vec<u8> = (0..200).collect();
    let (got, stats) = run(LinkConfig::DATAGRAM, Faults { loss: 300, ..rate });
    assert!(got.is_sorted() && (120..160).contains(&got.len()) && stats.lost as usize == 200 - got.len());
    let (got, stats) = run(LinkConfig::DATAGRAM, Faults { duplicate: 300, ..rate });
    assert!(got.len() as u64 == 200 + stats.duplicated && (40..80).contains(&stats.duplicated));
    let (got, _) = run(LinkConfig::DATAGRAM, Faults { reorder: 300, ..rate });
    assert!(got != all && sorted(got) == all);
    let (got, stats) = run(LinkConfig::DATAGRAM, Faults { corrupt: 300, ..rate });
    let wrong = got.iter().zip(&all).filter(|(got, sent)| got != sent).count() as u64;
    assert!(wrong == stats.corrupted && (40..80).contains(&wrong));
    let (got, _) = run(LinkConfig::STREAM, Faults::HARSH);
    assert_eq!(got, all);
    // Jitter reorders datagrams, and delays streams.
    let jitter = |config: LinkConfig| run(config.delay(MS, by), Faults::NONE).0;
    assert!(jitter(LinkConfig::DATAGRAM) != all);
    assert_eq!(jitter(LinkConfig::STREAM), all);
}

#[test]
fn a_calm_world_has_no_faults() {
    let config = LinkConfig::DATAGRAM.faults(Faults { loss: 1000, ..Faults::NONE });
    let mut pair = Pair::new(1, config);
    let calmed = shared(false);
    let flag = calmed.clone();
    pair.world.on_calm(move || *flag.borrow_mut() = true);
    pair.world.set_adversary(DropMatching(|_: &InTransit, _: &Tables| true));
    pair.world.partition([pair.b]).unwrap();
    pair.world.block(pair.link, true).unwrap();
    pair.world.entropy(pair.a).unwrap().set(Failing::From(1));
    assert_eq!(pair.count(3), []);
    pair.world.calm();
    assert_eq!(pair.count(3), [0, 1, 2]);
    let drawn = pair.world.with(pair.a, |_, cx| cx.rng.fill(&mut [0; 4])).unwrap();
    assert!(drawn.is_ok() && *calmed.borrow());
}

#[test]
fn partitions_swallow_datagrams_and_break_streams() {
    let mut pair = Pair::new(1, LinkConfig::DATAGRAM);
    pair.world.partition([pair.b]).unwrap();
    assert_eq!(pair.count(2), []);
    pair.world.heal();
    assert_eq!(pair.count(2), [0, 1]);

    let mut pair = Pair::new(1, LinkConfig::STREAM);
    let (a, b) = (pair.a, pair.b);
    // Within an island all is well.
    pair.world.partition([a, b]).unwrap();
    assert_eq!(pair.count(1), [0]);
    pair.world.partition([b]).unwrap();
    assert_eq!(pair.count(1), [0]);
    assert_eq!(pair.seen(a).last(), Some(&Seen::Closed(pair.link)));
    assert_eq!(pair.seen(b).last(), Some(&Seen::Closed(pair.far)));
    assert!(matches!(pair.world.reopen(pair.link).unwrap_err().why, Why::Scenario(_)));
    pair.world.heal();
    (pair.link, pair.far) = pair.world.reopen(pair.link).unwrap();
    assert_eq!(pair.world.links_between(a, b), [pair.link]);
    assert_eq!(pair.count(1), [0, 0]);
}

#[test]
fn one_direction_can_be_blocked() {
    let mut pair = Pair::new(1, LinkConfig::DATAGRAM);
    pair.world.block(pair.far, true).unwrap();
    pair.world.with(pair.b, |b, _| b.parrot = true).unwrap();
    assert_eq!(pair.count(1), [0]);
    assert_eq!(pair.world.get(pair.a).unwrap().frames().len(), 0);
    pair.world.block(pair.far, false).unwrap();
    pair.count(1);
    assert_eq!(pair.world.get(pair.a).unwrap().frames().len(), 1);
    let mut stream = Pair::new(1, LinkConfig::STREAM);
    assert_eq!(stream.world.block(stream.link, true).unwrap_err().why, Why::NoSuch);
}

#[test]
fn a_closed_stream_delivers_what_is_under_way() {
    let mut pair = Pair::new(1, LinkConfig::STREAM.delay(5 * MS, 50 * MS));
    for number in 0..10 {
        pair.send(&[number]).unwrap();
    }
    pair.world.close(pair.link).unwrap();
    // A machine may not have taken note of the end yet: what it sends is lost, no more.
    pair.send(b"late").unwrap();
    pair.world.run_for(SECOND).unwrap();
    let seen = pair.seen(pair.b);
    assert_eq!(seen.len(), 12);
    assert_eq!(seen.last(), Some(&Seen::Closed(pair.far)));
    assert_eq!(pair.world.net_stats().homeless, 1);
    // Of a closed datagram link the other side learns nothing.
    let mut pair = Pair::new(1, LinkConfig::DATAGRAM);
    pair.world.close(pair.link).unwrap();
    pair.world.run_for(SECOND).unwrap();
    assert_eq!((pair.seen(pair.a).len(), pair.seen(pair.b).len()), (2, 1));
}

#[test]
fn crash_and_restart() {
    for config in [LinkConfig::STREAM, LinkConfig::DATAGRAM] {
        let mut pair = Pair::new(1, config);
        let b = pair.b;
        pair.send(b"under way").unwrap();
        pair.world.crash(b).unwrap();
        assert!(!pair.world.is_up(b) && pair.world.get(b).is_none());
        pair.world.run_for(SECOND).unwrap();
        assert_eq!(pair.seen(pair.a).contains(&Seen::Closed(pair.link)), config.reliable);
        let before = pair.world.entropy(b).unwrap().clone();
        pair.world.set_factory(b, |life| Puppet { parrot: life == 2, ..Puppet::default() }).unwrap();
        pair.world.restart(b).unwrap();
        assert_ne!(pair.world.entropy(b).unwrap(), &before);
        if config.reliable {
            assert_eq!(pair.seen(b), []);
            (pair.link, pair.far) = pair.world.reopen(pair.link).unwrap();
        } else {
            // The peer sees the old link; the new machine has another number for its end.
            let [Seen::Opened(link, _)] = *pair.seen(b) else { panic!("{:?}", pair.seen(b)) };
            assert_ne!(link, pair.far);
            let old = pair.far;
            let stop = pair.world.clone_send(b, old);
            assert_eq!(stop, Why::ForeignLink(old));
            continue;
        }
        pair.count(1);
        assert_eq!(pair.world.get(pair.a).unwrap().frames(), [[0]]);
    }
}

impl World {
    /// Lets a puppet send on a link, which must end the run.
    fn clone_send(&mut self, node: Node<Puppet>, link: Link) -> Why {
        self.with(node, |puppet, _| puppet.send(link, b"x", Class::Data)).unwrap_err().why
    }
}

#[test]
fn a_restarted_node_talks_over_its_datagram_link_again() {
    let mut pair = Pair::new(1, LinkConfig::DATAGRAM);
    pair.world.crash(pair.b).unwrap();
    assert_eq!(pair.world.net_stats().homeless, 0);
    pair.send(b"to nobody").unwrap();
    assert_eq!(pair.world.net_stats().homeless, 1);
    pair.world.restart_with(pair.b, Puppet { parrot: true, ..Puppet::default() }).unwrap();
    assert_eq!(pair.count(3), [0, 1, 2]);
    assert_eq!(pair.world.get(pair.a).unwrap().frames().len(), 3);
}

#[test]
fn a_multicast_channel_reaches_all_others() {
    let mut world = World::new(1);
    let wire = world.multicast(LinkConfig::DATAGRAM);
    let nodes: Vec<_> = (0..5).map(|_| world.add("n", Puppet::default()).unwrap()).collect();
    let links: Vec<_> = nodes.iter().map(|node| world.attach(wire, *node).unwrap()).collect();
    world.with(nodes[2], |node, _| node.send(links[2], b"all", Class::Data)).unwrap();
    world.run_for(SECOND).unwrap();
    let heard: Vec<_> = nodes.iter().map(|node| world.get(*node).unwrap().frames().len()).collect();
    assert_eq!(heard, [1, 1, 0, 1, 1]);
    let Seen::Opened(_, info) = world.get(nodes[0]).unwrap().seen[0].1.clone() else { panic!() };
    assert!(info.shared && !info.proven && !info.reliable);
    world.crash(nodes[0]).unwrap();
    assert_eq!(world.attach(wire, nodes[0]).unwrap_err().why, Why::NoMachine);
    assert_eq!(world.attach(WireId(99), nodes[1]).unwrap_err().why, Why::NoSuch);
}

#[test]
fn a_narrow_link_takes_its_time_and_overflows() {
    let narrow =
        |reliable| LinkConfig { bandwidth: NonZeroU64::new(1_000), backlog: 1_000, reliable, ..LinkConfig::DATAGRAM };
    let mut pair = Pair::new(1, narrow(true));
    for _ in 0..3 {
        pair.send(&[7; 400]).unwrap();
    }
    pair.world.run_for(10 * SECOND).unwrap();
    // 400 bytes at 1000 a second, and a millisecond of latency; the third found no room.
    let times: Vec<_> = pair.world.get(pair.b).unwrap().seen[1..].iter().map(|(at, _)| at.as_micros()).collect();
    assert_eq!(times, [401_000, 801_000]);
    let link = pair.link;
    for reliable in [true, false] {
        let mut pair = Pair::new(1, narrow(reliable));
        let control = |pair: &mut Pair| pair.world.with(pair.a, |a, _| a.send(link, &[7; 600], Class::Control));
        control(&mut pair).unwrap();
        control(&mut pair).unwrap();
        pair.world.run_for(10 * SECOND).unwrap();
        // A stream that cannot hold control traffic is closed.
        assert_eq!(pair.seen(pair.b).contains(&Seen::Closed(pair.far)), reliable);
        assert_eq!(pair.world.get(pair.b).unwrap().frames().len(), 1);
    }
}

fn want(world: &mut World, node: Node<Puppet>, ticket: u64) {
    let peer = Peer::Leader(Name::new("lea").unwrap());
    let wish = Event::LinkWanted { ticket: LinkTicket(ticket), peer, hint: Bytes::from_static(b"hint") };
    world.with(node, |puppet, _| puppet.events.push_back(wish)).unwrap();
}

fn tickets(world: &World, node: Node<Puppet>) -> Vec<u64> {
    let seen = world.get(node).unwrap().seen.iter();
    let opened = seen.filter_map(|(_, seen)| match seen {
        Seen::Opened(_, info) => info.answers,
        _ => None,
    });
    opened.map(|ticket| ticket.0).collect()
}

#[test]
fn wanted_links_are_opened_as_soon_as_the_peer_is_there() {
    let mut world = World::new(1);
    let [lea, ann] = ["lea", "ann"].map(|name| world.add(name, Puppet::default()).unwrap());
    want(&mut world, ann, 1);
    world.run_for(SECOND).unwrap();
    assert_eq!(tickets(&world, ann), [] as [u64; 0], "nobody knows the address");
    assert!(world.trace().tail(9).contains("no address"));

    world.set_address(Peer::Leader(Name::new("lea").unwrap()), lea, LinkConfig::STREAM);
    want(&mut world, ann, 2);
    world.run_for(SECOND).unwrap();
    assert_eq!((tickets(&world, ann), tickets(&world, lea)), ([2].into(), [].into()));
    assert_eq!(world.links_between(ann, lea).len(), 1);

    // The leader is down, then away; only the newer of two wishes is answered, and only once.
    world.crash(lea).unwrap();
    want(&mut world, ann, 3);
    want(&mut world, ann, 4);
    world.run_for(SECOND).unwrap();
    world.restart_with(lea, Puppet::default()).unwrap();
    world.partition([ann]).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(tickets(&world, ann), [2]);
    world.heal();
    world.run_for(SECOND).unwrap();
    assert_eq!(tickets(&world, ann), [2, 4]);

    // The leader goes down while the link opens.
    want(&mut world, ann, 5);
    world.run_for(Duration::from_micros(1_500)).unwrap();
    world.crash(lea).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(tickets(&world, ann), [2, 4]);
    world.restart_with(lea, Puppet::default()).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(tickets(&world, ann), [2, 4, 5]);
    // A wish dies with the machine that had it.
    world.crash(lea).unwrap();
    want(&mut world, ann, 6);
    world.crash(ann).unwrap();
    world.restart_with(ann, Puppet::default()).unwrap();
    world.restart_with(lea, Puppet::default()).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(tickets(&world, ann), [] as [u64; 0]);
}

#[test]
fn a_resolver_comes_before_addresses() {
    let mut world = World::new(1);
    let [lea, ann, other] = ["lea", "ann", "other"].map(|name| world.add(name, Puppet::default()).unwrap());
    world.set_address(Peer::Leader(Name::new("lea").unwrap()), lea, LinkConfig::STREAM);
    world.set_resolver(move |from, _peer, hint| {
        assert_eq!((from, hint), (ann.id, &b"hint"[..]));
        Some(Route { to: other.id, config: LinkConfig::DATAGRAM })
    });
    want(&mut world, ann, 1);
    world.run_for(SECOND).unwrap();
    assert_eq!((world.links_between(ann, lea).len(), world.links_between(ann, other).len()), (0, 1));
}
