//! Repaired Enclaves with a failing suite and failing randomness: what fails changes nothing and is tried again (R18), the session is
//! completed, private messages among it, and no number of a box is used for two texts (R16).
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use sodality::crypto::faulty::{Faulty, Recording};
use sodality::crypto::symbolic::symbolic;
use sodality::enclaves::gossip::Form;
use sodality::enclaves::{Leader, Member};
use sodality::endpoint::{Cx, Endpoint, Instant};
use sodality::error::{CommandError, Reason};
use sodality::event::{Event, Peer, Port};
use sodality::fingerprint::Fingerprint;
use sodality::identity::{MemberId, Name};
use sodality::sim::check::{AdminPrefix, EpochsGrow, NoDeliveryAfterRemoval, NoReplayDelivered, ViewsAgree};
use sodality::sim::enclaves::{leader_machine, member_machine};
use sodality::sim::star::LEADER;
use sodality::sim::{Checker, EnclaveConfig, EnclaveStar, Input, Node, NodeId, Observed, SimRng, Stop, World};

const SECOND: Duration = Duration::from_secs(1);
const SEED: u64 = 12;

/// The state, with absolute times: nothing in it moves by itself.
fn digest<M: Fingerprint>(machine: &M) -> Vec<u8> {
    let mut out = Vec::new();
    machine.fingerprint(Instant::ORIGIN, &mut out);
    out
}

/// What was refused or hindered since something failed.
type Seen = Rc<RefCell<BTreeMap<String, usize>>>;

/// A frame that is refused since something failed here has changed nothing.
struct Unchanged {
    last: BTreeMap<NodeId, Vec<u8>>,
    seen: Seen,
}

impl Checker for Unchanged {
    fn name(&self) -> &'static str {
        "Unchanged"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        let leader = step.machine::<Leader>().map(digest);
        let now = leader.or_else(|| step.machine::<Member>().map(digest)).unwrap_or_default();
        let before = self.last.insert(step.node, now.clone());
        for event in step.events {
            let what = match event {
                Event::Rejected { why: why @ (Reason::Suite | Reason::Entropy), .. } => format!("refused: {why:?}"),
                Event::Hindered(failure) => format!("hindered: {failure:?}"),
                _ => continue,
            };
            let alone = step.sent.is_empty() && step.events.len() == 1 && matches!(step.input, Input::Frame(_));
            // A pending join whose answer fails is given up before it was there for anybody.
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

fn command<M: Endpoint + 'static>(
    world: &mut World,
    node: Node<M>,
    mut act: impl FnMut(&mut M, &mut Cx<'_>) -> Result<(), CommandError>,
) -> Result<(), Stop> {
    for _ in 0..2 {
        match world.with(node, &mut act)? {
            Err(CommandError::Failure(_)) => {}
            Ok(()) => return Ok(()),
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("it failed twice");
}

/// The suites of leader and members, which fail when told to, and what they were used for.
struct Suites([Faulty; 2], Recording);

impl Suites {
    fn new() -> Self {
        let record = Recording::new(symbolic().silent());
        Self(std::array::from_fn(|_| Faulty::new(record.suite())), record)
    }
}

fn build(world: &mut World, suites: &Suites) -> Result<EnclaveStar, Stop> {
    let [leader, members] = &suites.0;
    let mut config = EnclaveConfig::new(leader.suite());
    let names = ["m1", "m2"].map(String::from);
    let mut rng = SimRng::new(SEED);
    let machine = again(|| leader_machine(&config, &names, &mut Cx::new(Instant::ORIGIN, &mut rng)));
    let leader = world.add(LEADER, machine)?;
    world.set_address(Peer::Leader(Name::new(LEADER).unwrap()), leader, config.link);
    config.suite = members.suite();
    let mut star = EnclaveStar { config, leader, members: Vec::new() };
    for name in &names {
        let machine = again(|| member_machine(&star.config, name));
        star.members.push(world.add(name, machine)?);
    }
    Ok(star)
}

/// Runs until these are in and all agree. Who is out and should not be asks again.
fn gather(world: &mut World, star: &EnclaveStar, wanted: &[usize]) -> Result<(), Stop> {
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
        world.run_for(SECOND / 2)?;
    }
    panic!("{wanted:?} do not come together\n{}", world.trace().tail(80));
}

/// One says something to the other and the leader, in each form, until it has come; so does the leader. A private message is best effort.
fn whisper(world: &mut World, star: &EnclaveStar) -> Result<(), Stop> {
    for form in [Form::Documented, Form::Asked, Form::Own] {
        for attempt in 0..4_u8 {
            gather(world, star, &[0, 1])?;
            let to = [world.get(star.members[1]).unwrap().cid().unwrap(), MemberId::LEADER];
            let text = [b"psst".as_slice(), &[form as u8, attempt]].concat();
            let said =
                |member: &mut Member, cx: &mut Cx<'_>| member.gossip(cx, form, &to, Port::Application, &text).map(drop);
            command(world, star.members[0], said)?;
            world.run_for(SECOND)?;
            let is = |event: &Event| matches!(event, Event::Gossip(message) if message.payload == text[..]);
            if world.events(star.members[1]).iter().any(is) {
                break;
            }
            assert!(attempt < 3, "{form:?} is not heard\n{}", world.trace().tail(60));
        }
    }
    let to = [world.get(star.members[0]).unwrap().cid().unwrap()];
    command(world, star.leader, |leader, cx| leader.gossip(cx, &to, Port::Application, b"you").map(drop))?;
    world.run_for(SECOND)
}

/// Two join and talk; one says something to some; one asks that the other go, and is refused; one leaves and comes back; the key changes; the group closes.
fn session(
    world: &mut World,
    suites: &Suites,
    arm: impl FnOnce(&mut World, &EnclaveStar) -> Result<(), Stop>,
) -> Result<(), Stop> {
    world.add_checker(EpochsGrow::default());
    world.add_checker(ViewsAgree::default());
    world.add_checker(AdminPrefix::default());
    world.add_checker(NoReplayDelivered::default());
    world.add_checker(NoDeliveryAfterRemoval::default());
    let star = build(world, suites)?;
    arm(world, &star)?;
    gather(world, &star, &[0, 1])?;
    let (one, two) = (star.members[0], star.members[1]);
    world.run_for(SECOND * 2)?;
    command(world, one, |member, cx| member.send(cx, Port::Application, b"one"))?;
    command(world, star.leader, |leader, cx| leader.send(cx, Port::Application, b"two"))?;
    let target = world.get(two).unwrap().cid().unwrap();
    if world.get(one).unwrap().is_current() {
        command(world, one, |member, cx| member.request_ejection(cx, target))?;
    }
    world.run_for(SECOND * 2)?;
    whisper(world, &star)?;
    command(world, two, |member, cx| member.leave(cx))?;
    gather(world, &star, &[0])?;
    world.eventually(SECOND * 20, "the farewell is over", |world| world.get(two).unwrap().is_idle())?;
    gather(world, &star, &[0, 1])?;
    let before = world.get(star.leader).unwrap().epoch();
    command(world, star.leader, |leader, cx| leader.rekey(cx))?;
    world.eventually(SECOND * 20, "the key is changed", |world| {
        world.get(star.leader).unwrap().epoch() > before && star.converged(world)
    })?;
    world.run_for(SECOND * 6)?;
    gather(world, &star, &[0, 1])?;
    command(world, star.leader, |leader, cx| leader.close(cx))?;
    world.eventually(SECOND * 60, "all are out", |world| {
        star.members.iter().all(|member| world.get(*member).unwrap().is_idle())
    })
}

fn run(suites: &Suites, seen: &Seen, arm: impl FnOnce(&mut World, &EnclaveStar) -> Result<(), Stop>) -> World {
    let mut world = World::new(SEED);
    world.add_checker(Unchanged { last: BTreeMap::new(), seen: seen.clone() });
    if let Err(stop) = session(&mut world, suites, arm) {
        panic!("{stop}\n{}", world.trace().tail(60));
    }
    assert!(suites.1.violations().is_empty(), "{:?}", suites.1.violations());
    assert!(suites.1.boxes() > 30, "{}", suites.1.boxes());
    world
}

#[test]
fn the_suite_fails_at_every_call() {
    let seen = Seen::default();
    let counted = Suites::new();
    run(&counted, &seen, |_, _| Ok(()));
    assert!(seen.borrow().is_empty(), "nothing fails yet");
    let mut all = 0;
    for (role, name) in ["leader", "members"].iter().enumerate() {
        let calls = counted.0[role].calls();
        for k in 1..=calls {
            let suites = Suites::new();
            suites.0[role].fail_at(k);
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&suites, &seen, |_, _| Ok(()))));
            assert!(caught.is_ok(), "{name}: the suite failed at call {k}");
            assert_eq!(suites.0[role].failures(), 1, "{name}: call {k} is made");
        }
        all += calls;
    }
    println!("{all} calls in all; seen: {:?}", seen.borrow());
    assert!(all >= 200 && seen.borrow().len() >= 2, "{all} {:?}", seen.borrow());
}

#[test]
fn the_random_source_fails_at_every_draw() {
    let seen = Seen::default();
    let mut world = run(&Suites::new(), &seen, |_, _| Ok(()));
    let nodes: Vec<NodeId> = world.nodes().collect();
    let mut all = 0;
    for id in nodes {
        let (name, draws) = (world.name(id).to_string(), world.entropy(id).unwrap().draws());
        for k in 1..=draws {
            let mut after = run(&Suites::new(), &seen, |world, _| {
                world.entropy(id)?.arm(k);
                Ok(())
            });
            assert_eq!(after.entropy(id).unwrap().failed(), 1, "{name}: draw {k} is made");
        }
        all += draws;
    }
    println!("{all} draws in all; seen: {:?}", seen.borrow());
    assert!(all >= 50, "{all}");
}
