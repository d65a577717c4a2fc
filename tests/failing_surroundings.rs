//! R18 and "compute, then commit": the suite, or the random source, fails at its k-th call, for every k of a whole
//! session and in every role. Nothing panics, what is refused for it changes nothing, and the session is completed.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use sodality::antigone::{Leader, Member};
use sodality::crypto::faulty::{Call, Faulty};
use sodality::crypto::symbolic::symbolic;
use sodality::endpoint::{Cx, Endpoint, Instant};
use sodality::error::{CommandError, Failure, Reason};
use sodality::event::{Event, Peer, Port, Ticket};
use sodality::fingerprint::Fingerprint;
use sodality::group::Limits;
use sodality::identity::Name;
use sodality::sim::check::{EpochsGrow, NoDeliveryAfterRemoval, NoReplayDelivered, ViewsAgree};
use sodality::sim::star::{self, LEADER, Star, StarConfig};
use sodality::sim::{Checker, FailingEntropy, Input, LinkConfig, Moment, Node, NodeId, Observed, SimRng, Stop, World};
use sodality::transfer::{ObjectId, Source, SourceError, TransferError, digest_of};
use sodality::ttp::ThirdParty;

const SEED: u64 = 11;
const STEP: Duration = Duration::from_millis(500);
const SECOND: Duration = Duration::from_secs(1);

/// The suites by role: third party, leader, members.
struct Suites([Faulty; 3]);

const ROLES: [&str; 3] = ["third party", "leader", "members"];

impl Suites {
    fn new() -> Self {
        let world = symbolic();
        Self(std::array::from_fn(|_| Faulty::new(world.silent())))
    }
}

/// The state, with absolute times: nothing in it moves by itself.
fn digest<M: Fingerprint>(machine: &M) -> Vec<u8> {
    let mut out = Vec::new();
    machine.fingerprint(Instant::ORIGIN, &mut out);
    out
}

/// A frame that is refused since something failed here has changed nothing.
#[derive(Default)]
struct Unchanged {
    last: BTreeMap<NodeId, Vec<u8>>,
    seen: Rc<RefCell<BTreeMap<String, usize>>>,
}

impl Checker for Unchanged {
    fn name(&self) -> &'static str {
        "Unchanged"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        let third = step.machine::<ThirdParty>().map(digest);
        let now = third
            .or_else(|| step.machine::<Leader>().map(digest))
            .or_else(|| step.machine::<Member>().map(digest))
            .unwrap_or_default();
        let before = self.last.insert(step.node, now.clone());
        for event in step.events {
            let what = match event {
                Event::Rejected { why: why @ (Reason::Suite | Reason::Entropy), .. } => format!("refused: {why:?}"),
                Event::Hindered(failure) => format!("hindered: {failure:?}"),
                _ => continue,
            };
            let alone = step.sent.is_empty() && step.events.len() == 1 && matches!(step.input, Input::Frame(_));
            if what.starts_with("refused") && alone && before.as_ref() != Some(&now) {
                return Err(format!("{what}, but the state has changed, at {}", step.input));
            }
            *self.seen.borrow_mut().entry(what).or_default() += 1;
        }
        Ok(())
    }
}

/// Repeats what fails: the surroundings fail once, so the second time is good.
fn again<T>(mut act: impl FnMut() -> Result<T, CommandError>) -> T {
    match act() {
        Err(CommandError::Failure(_)) => act().unwrap(),
        other => other.unwrap(),
    }
}

/// A command that fails leaves the machine as it was, and is repeated.
fn command<M: Endpoint + Fingerprint + 'static>(
    world: &mut World,
    node: Node<M>,
    mut act: impl FnMut(&mut M, &mut Cx<'_>) -> Result<(), CommandError>,
) -> Result<(), Stop> {
    for _ in 0..2 {
        let outcome = world.with(node, |machine, cx| {
            let before = digest(machine);
            let outcome = act(machine, cx);
            let after = digest(machine);
            // A number whose box failed may have been used: it is given up (R16). That is all that may move.
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            let same = before.len() == after.len() && moved <= 2;
            assert!(outcome.is_ok() || same, "{outcome:?} has changed {moved} bytes of the state");
            outcome
        })?;
        match outcome {
            Err(CommandError::Failure(_)) => {}
            Ok(()) => return Ok(()),
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("it failed twice");
}

fn build(world: &mut World, suites: &Suites) -> Result<Star, Stop> {
    let [third, leader, members] = &suites.0;
    let third = world.add("ttp", ThirdParty::new(third.suite(), Limits::default()))?;
    let plain = symbolic().silent();
    let mut open: Vec<(Ticket, Name, Name)> = Vec::new();
    world.set_app(third, move |machine: &mut ThirdParty, cx, moment| {
        if let Moment::Event(Event::LookupWanted { ticket, leader, member }) = moment {
            open.push((*ticket, leader.clone(), member.clone()));
        }
        // What failed is answered again when anything happens: the leader will have asked again.
        open.retain(|(ticket, leader, member)| {
            let answer = machine.answer(cx, *ticket, &star::records(&*plain, leader, member));
            matches!(answer, Err(CommandError::Failure(_)))
        });
    })?;
    let mut config = StarConfig::new(leader.suite());
    let mut rng = SimRng::new(SEED);
    let machine = again(|| star::leader_machine(&config, &mut Cx::new(Instant::ORIGIN, &mut rng)));
    let leader = world.add(LEADER, machine)?;
    world.set_address(Peer::ThirdParty, third, config.link);
    world.set_address(Peer::Leader(Name::new(LEADER).unwrap()), leader, config.link);
    config.suite = members.suite();
    // Rekeys go to all at once, and there are heartbeats: they fail too.
    let channel = Some(world.multicast(LinkConfig::DATAGRAM.max_frame(65_536)));
    let mut star = Star { config, third_party: third, leader, members: Vec::new(), multicast: channel };
    star.attach(world, leader)?;
    for name in ["m1", "m2", "m3"] {
        let machine = again(|| star::member_machine(&star.config, name));
        let member = world.add(name, machine)?;
        star.members.push(member);
        star.attach(world, member)?;
    }
    Ok(star)
}

/// Runs until `wanted` members are in and all agree. Who is out and should not be asks again.
fn gather(world: &mut World, star: &Star, wanted: &[usize]) -> Result<(), Stop> {
    for _ in 0..200 {
        for member in wanted.iter().map(|index| star.members[*index]) {
            if world.get(member).unwrap().is_idle() {
                command(world, member, |member, cx| member.join(cx))?;
            }
        }
        let complete = world.get(star.leader).unwrap().view().members().len() == wanted.len() + 1;
        if complete && star.converged(world) {
            return Ok(());
        }
        world.run_for(STEP)?;
    }
    panic!("{wanted:?} do not come together\n{}", world.trace().tail(80));
}

/// Says something until everybody there has heard it: data is best effort.
fn spread(world: &mut World, star: &Star, from: usize, others: &[usize], text: &str) -> Result<(), Stop> {
    world.run_for(SECOND * 2)?;
    let mut left = others.to_vec();
    for attempt in 0..4 {
        let text = format!("{text} {attempt}");
        let text = text.as_bytes();
        match star.members.get(from) {
            Some(member) => command(world, *member, |member, cx| member.send(cx, Port::Application, text))?,
            None => command(world, star.leader, |leader, cx| leader.send(cx, Port::Application, text))?,
        }
        world.run_for(STEP)?;
        left.retain(|other| Star::heard(world, star.members[*other], text) == 0);
        if left.is_empty() {
            return Ok(());
        }
    }
    panic!("{from} is not heard\n{}", world.trace().tail(60));
}

/// Three join, talk; one leaves, comes back; the key is changed; another leaves.
fn session(
    world: &mut World,
    suites: &Suites,
    arm: impl FnOnce(&mut World, &Star) -> Result<(), Stop>,
) -> Result<Star, Stop> {
    world.trace_mut().keep(400);
    world.add_checker(EpochsGrow::default());
    world.add_checker(ViewsAgree::default());
    world.add_checker(NoReplayDelivered::default());
    world.add_checker(NoDeliveryAfterRemoval::default());
    let star = build(world, suites)?;
    arm(world, &star)?;
    gather(world, &star, &[0, 1, 2])?;
    spread(world, &star, 0, &[1, 2], "one")?;
    spread(world, &star, 9, &[0, 1, 2], "two")?;
    let leaver = star.members[1];
    world.with(leaver, |member, cx| member.leave(cx))?.unwrap();
    gather(world, &star, &[0, 2])?;
    spread(world, &star, 2, &[0], "three")?;
    assert_eq!(Star::heard(world, leaver, b"three 0"), 0);
    world.eventually(SECOND * 20, "the farewell is over", |world| world.get(leaver).unwrap().is_idle())?;
    gather(world, &star, &[0, 1, 2])?;
    let before = world.get(star.leader).unwrap().epoch();
    command(world, star.leader, |leader, cx| leader.rekey(cx))?;
    world.eventually(SECOND * 20, "the key is changed", |world| {
        world.get(star.leader).unwrap().epoch() > before && star.converged(world)
    })?;
    spread(world, &star, 1, &[0, 2], "four")?;
    world.with(star.members[2], |member, cx| member.leave(cx))?.unwrap();
    gather(world, &star, &[0, 1])?;
    world.run_for(SECOND * 12)?;
    assert!(star.converged(world));
    Ok(star)
}

fn run(
    suites: &Suites,
    seen: &Rc<RefCell<BTreeMap<String, usize>>>,
    arm: impl FnOnce(&mut World, &Star) -> Result<(), Stop>,
) -> World {
    let mut world = World::new(SEED);
    world.add_checker(Unchanged { seen: seen.clone(), ..Unchanged::default() });
    if let Err(stop) = session(&mut world, suites, arm) {
        panic!("{stop}\n{}", world.trace().tail(80));
    }
    world
}

#[test]
fn the_suite_fails_at_every_call() {
    let seen = Rc::default();
    let counted = Suites::new();
    run(&counted, &seen, |_, _| Ok(()));
    assert!(seen.borrow().is_empty(), "nothing fails yet");
    println!("seed {SEED}");
    let mut all = 0;
    for (role, name) in ROLES.iter().enumerate() {
        let calls = counted.0[role].calls();
        let kinds: Vec<_> = Call::ALL.iter().map(|call| (*call, counted.0[role].calls_of(*call))).collect();
        println!("{name}: {calls} calls: {:?}", kinds.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>());
        for k in 1..=calls {
            let suites = Suites::new();
            suites.0[role].fail_at(k);
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&suites, &seen, |_, _| Ok(()))));
            assert!(caught.is_ok(), "{name}: the suite failed at call {k}");
            assert_eq!(suites.0[role].failures(), 1, "{name}: call {k} is made");
        }
        all += calls;
    }
    let hit: Vec<_> = Call::ALL
        .iter()
        .map(|call| (*call, counted.0.iter().map(|suite| suite.calls_of(*call)).sum::<usize>()))
        .collect();
    println!("{all} calls in all: {hit:?}\nseen: {:?}", seen.borrow());
    assert!(all >= 300, "a whole session makes more calls than {all}");
    let never: Vec<_> = hit.iter().filter(|(_, count)| *count == 0).map(|(call, _)| *call).collect();
    // Objects are not part of this session: see below.
    assert_eq!(never, [Call::Hasher, Call::Finish], "calls that are never made");
}

#[test]
fn the_random_source_fails_at_every_draw() {
    let seen = Rc::default();
    let mut world = run(&Suites::new(), &seen, |_, _| Ok(()));
    let nodes: Vec<NodeId> = world.nodes().collect();
    let mut all = 0;
    for id in nodes {
        let (name, draws) = (world.name(id).to_string(), world.entropy(id).unwrap().draws());
        println!("{name}: {draws} draws");
        for k in 1..=draws {
            let mut after = run(&Suites::new(), &seen, |world, _| {
                world.entropy(id)?.arm(k);
                Ok(())
            });
            assert_eq!(after.entropy(id).unwrap().failed(), 1, "{name}: draw {k} is made");
        }
        all += draws;
    }
    // The third party draws nothing (I-3).
    println!("{all} draws in all\nseen: {:?}", seen.borrow());
    assert!(all >= 20, "{all}");
}

/// A source of zeros that reads as often as it likes.
struct Zeros;

impl Source for Zeros {
    fn read(&mut self, _: ObjectId, _: u64, out: &mut [u8]) -> Result<(), SourceError> {
        out.fill(0);
        Ok(())
    }
}

#[test]
fn the_digest_of_an_object_fails_with_the_suite() {
    let suite = Faulty::new(symbolic().silent());
    let inner = suite.suite();
    let digest = || digest_of(&*inner, ObjectId([0; 16]), 100_000, &mut Zeros);
    let right = digest().unwrap();
    let calls = suite.calls();
    assert!(suite.calls_of(Call::Hasher) > 0 && suite.calls_of(Call::Finish) > 0);
    for k in 1..=calls {
        suite.fail_at(k);
        assert_eq!(digest(), Err(TransferError::Suite), "call {k}");
        assert_eq!(digest(), Ok(right), "it can be repeated");
    }
}

#[test]
fn opening_a_group_fails_with_its_surroundings() {
    let suite = Faulty::new(symbolic().silent());
    let config = StarConfig::new(suite.suite());
    let open = |rng: &mut FailingEntropy| star::leader_machine(&config, &mut Cx::new(Instant::ORIGIN, rng)).map(drop);
    let mut k = 0;
    let draws = loop {
        k += 1;
        let mut rng = FailingEntropy::new(SimRng::new(SEED));
        rng.arm(k);
        match open(&mut rng) {
            Ok(()) => break k - 1,
            Err(error) => assert_eq!(error, CommandError::Failure(Failure::Entropy), "draw {k}"),
        }
    };
    let mut k = 0;
    let calls = loop {
        k += 1;
        suite.fail_at(k);
        match open(&mut FailingEntropy::new(SimRng::new(SEED))) {
            Ok(()) => break k - 1,
            Err(error) => assert_eq!(error, CommandError::Failure(Failure::Suite), "call {k}"),
        }
    };
    println!("{draws} draws, {calls} calls");
    assert!(draws >= 4 && calls >= 8);
}
