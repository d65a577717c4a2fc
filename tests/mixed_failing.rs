//! R18 and "compute, then commit" where parts are as published: the random source, the modern suite or the published one
//! fails at its k-th call, for each k of a session. Nothing panics, what is refused for it changes nothing, and the session
//! is completed.
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/faulty_published.rs"]
mod faulty_published;
mod mixed;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use sodality::antigone::mixed::{Leader, Member};
use sodality::crypto::faulty::Faulty;
use sodality::crypto::published::des_md5_rsa;
use sodality::crypto::symbolic::symbolic;
use sodality::endpoint::{Cx, Instant};
use sodality::error::{CommandError, Failure, Misuse, Reason};
use sodality::event::{Cause, Causes, EjectVerdict, Event, Port};
use sodality::identity::Name;
use sodality::policy::{Editions, EjectRequests, Part};
use sodality::sim::mixed::{MixedConfig, MixedStar, leader_machine, member_machine};
use sodality::sim::{Checker, FailingEntropy, Input, NodeId, Observed, SimRng, Stop, World};
use sodality::ttp::ThirdParty;

use faulty_published::FaultyPublished;
use mixed::{SECOND, STEP, command, config_of, config_with, digest, main_mixes, report, some_mixes, with_policy};

const SEED: u64 = 11;

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

/// Runs until `wanted` members are in and all agree. Who is out and should not be asks again.
fn gather(world: &mut World, star: &MixedStar, wanted: &[usize]) -> Result<(), Stop> {
    for _ in 0..200 {
        for member in wanted.iter().map(|index| star.members[*index]) {
            if world.get(member).unwrap().is_idle() {
                command(world, member, |member, cx| member.join(cx))?;
            }
        }
        let complete = world.get(star.leader).unwrap().member_count() == wanted.len();
        let current = |index: &usize| world.get(star.members[*index]).unwrap().is_current();
        if complete && wanted.iter().all(current) && star.converged(world) {
            return Ok(());
        }
        world.run_for(STEP)?;
    }
    panic!("{wanted:?} do not come together\n{}", world.trace().tail(80));
}

/// Says something until everybody there has heard it: data is best effort.
fn spread(world: &mut World, star: &MixedStar, from: usize, others: &[usize], text: &str) -> Result<(), Stop> {
    let mut left = others.to_vec();
    for attempt in 0..4 {
        let text = format!("{text} {attempt}");
        let text = text.as_bytes();
        match star.members.get(from) {
            Some(member) => command(world, *member, |member, cx| member.send(cx, Port::Application, text))?,
            None => command(world, star.leader, |leader, cx| leader.send(cx, Port::Application, text))?,
        }
        world.run_for(STEP)?;
        left.retain(|other| MixedStar::heard(world, star.members[*other], text) == 0);
        if left.is_empty() {
            return Ok(());
        }
    }
    panic!("{from} is not heard\n{}", world.trace().tail(60));
}

/// Two join and talk; one leaves and comes back; the key is changed; one ejects the other, and heartbeats go to and fro.
fn session(
    world: &mut World,
    config: MixedConfig,
    arm: impl FnOnce(&mut World, &MixedStar) -> Result<(), Stop>,
) -> Result<(), Stop> {
    world.trace_mut().keep(300);
    let config = with_policy(config, |policy| policy.eject_requests = EjectRequests::Granted);
    let star = MixedStar::add(world, config, 2)?;
    arm(world, &star)?;
    gather(world, &star, &[0, 1])?;
    spread(world, &star, 0, &[1], "one")?;
    spread(world, &star, 9, &[0, 1], "two")?;
    let leaver = star.members[1];
    command(world, leaver, |member, cx| member.leave(cx))?;
    gather(world, &star, &[0])?;
    world.eventually(SECOND * 20, "the farewell is over", |world| world.get(leaver).unwrap().is_idle())?;
    gather(world, &star, &[0, 1])?;
    let before = world.get(star.leader).unwrap().epoch();
    command(world, star.leader, |leader, cx| leader.rekey(cx))?;
    world.eventually(SECOND * 20, "the key is changed", |world| {
        world.get(star.leader).unwrap().epoch() != before && star.converged(world)
    })?;
    spread(world, &star, 1, &[0], "four")?;
    world.run_for(SECOND * 8)?;
    // As published nothing answers, so whoever wants it asks again.
    let target = Name::new("m2").unwrap();
    for _ in 0..20 {
        if world.get(star.leader).unwrap().member_count() < 2 {
            break;
        }
        let asked = world.with(star.members[0], |member, cx| member.request_ejection(cx, &target))?;
        assert!(!matches!(asked, Err(CommandError::Misuse(Misuse::NotJoined))), "{asked:?}");
        world.run_for(SECOND)?;
    }
    assert_eq!(world.get(star.leader).unwrap().member_count(), 1, "{}", world.trace().tail(60));
    gather(world, &star, &[0])
}

type Seen = Rc<RefCell<BTreeMap<String, usize>>>;

fn run(seen: &Seen, config: MixedConfig, arm: impl FnOnce(&mut World, &MixedStar) -> Result<(), Stop>) -> World {
    let mut world = World::new(SEED);
    world.add_checker(Unchanged { seen: seen.clone(), ..Unchanged::default() });
    if let Err(stop) = session(&mut world, config, arm) {
        panic!("{stop}\n{}", world.trace().tail(80));
    }
    world
}

#[test]
fn the_random_source_fails_at_every_draw_of_a_mixed_session() {
    let (seen, mut all) = (Seen::default(), 0);
    for editions in some_mixes() {
        let suite = symbolic().silent();
        let mut world = run(&seen, config_of(&suite, editions), |_, _| Ok(()));
        let nodes: Vec<NodeId> = world.nodes().collect();
        for id in nodes {
            let draws = world.entropy(id).unwrap().draws();
            for k in 1..=draws {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    run(&seen, config_of(&symbolic().silent(), editions), |world, _| {
                        world.entropy(id)?.arm(k);
                        Ok(())
                    })
                }));
                let mut after = caught.unwrap_or_else(|_| panic!("{editions:?}: {id:?} failed at draw {k}"));
                assert_eq!(after.entropy(id).unwrap().failed(), 1, "{editions:?}: {id:?}: draw {k} is made");
            }
            all += draws;
        }
    }
    report(&format!("{all} draws in all\nseen: {:?}", seen.borrow()));
    assert!(all >= 400, "{all}");
}

#[test]
fn the_modern_suite_fails_at_every_call_of_a_mixed_session() {
    let (seen, mut all) = (Seen::default(), 0);
    for editions in main_mixes() {
        let counted = Faulty::new(symbolic().silent());
        let mut opening = 0;
        run(&seen, config_of(&counted.suite(), editions), |_, _| {
            opening = counted.calls();
            Ok(())
        });
        let calls = counted.calls() - opening;
        for k in 1..=calls {
            let suite = Faulty::new(symbolic().silent());
            let caught = catch_unwind(AssertUnwindSafe(|| {
                run(&seen, config_of(&suite.suite(), editions), |_, _| {
                    suite.fail_at(k);
                    Ok(())
                })
            }));
            assert!(caught.is_ok(), "{editions:?}: the suite failed at call {k} of {calls}");
            assert_eq!(suite.failures(), 1, "{editions:?}: call {k} is made");
        }
        all += calls;
    }
    report(&format!("{all} calls in all\nseen: {:?}", seen.borrow()));
    assert!(all >= 1_000, "{all}");
}

#[test]
fn the_suite_of_1999_fails_at_every_call_of_a_session_as_published() {
    let seen = Seen::default();
    let modern = symbolic().silent();
    let counted = FaultyPublished::new(des_md5_rsa());
    let mut opening = 0;
    let config = |suite: &FaultyPublished| config_with(&modern, suite.suite(), Editions::PUBLISHED);
    run(&seen, config(&counted), |_, _| {
        opening = counted.calls();
        Ok(())
    });
    let calls = counted.calls() - opening;
    for k in 1..=calls {
        let suite = FaultyPublished::new(des_md5_rsa());
        let caught = catch_unwind(AssertUnwindSafe(|| {
            run(&seen, config(&suite), |_, _| {
                suite.fail_at(k);
                Ok(())
            })
        }));
        assert!(caught.is_ok(), "the suite failed at call {k} of {calls}");
        assert_eq!(suite.failures(), 1, "call {k} is made");
    }
    report(&format!("{calls} calls\nseen: {:?}", seen.borrow()));
    assert!(calls >= 60, "{calls}");
}

#[test]
fn opening_a_mixed_group_fails_with_its_surroundings() {
    for editions in main_mixes() {
        let suite = Faulty::new(symbolic().silent());
        let config = config_of(&suite.suite(), editions);
        let open = |rng: &mut FailingEntropy| leader_machine(&config, &mut Cx::new(Instant::ORIGIN, rng)).map(drop);
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
        suite.disarm();
        assert!(draws >= 3 && calls >= 4, "{editions:?}: {draws} draws, {calls} calls");
        for k in 1.. {
            suite.fail_at(k);
            match member_machine(&config, "m1") {
                Ok(_) => break,
                Err(error) => assert_eq!(error, CommandError::Failure(Failure::Suite), "call {k}"),
            }
        }
    }
}

/// A request that cannot be served now is not acknowledged: it is repeated, and answered.
#[test]
fn an_ejection_that_fails_is_asked_for_again_and_answered() {
    for editions in [Part::Keys, Part::Join, Part::Data].map(mixed::alone) {
        let suite = symbolic().silent();
        let config = with_policy(config_of(&suite, editions), |policy| policy.eject_requests = EjectRequests::Granted);
        let (mut world, star) = mixed::joined(SEED, config, 2);
        world.run_for(SECOND).unwrap();
        world.entropy(star.leader).unwrap().arm(1);
        let target = Name::new("m2").unwrap();
        let asker = star.members[0];
        world.with(asker, |member, cx| member.request_ejection(cx, &target)).unwrap().unwrap();
        world.run_for(SECOND * 5).unwrap();
        assert_eq!(world.entropy(star.leader).unwrap().failed(), 1);
        assert_eq!(world.get(star.leader).unwrap().member_count(), 1, "{editions:?}");
        let answers = mixed::told(&world, asker, |event| match event {
            Event::EjectionAnswered { verdict, .. } => Some(*verdict),
            _ => None,
        });
        assert_eq!(answers, [EjectVerdict::Ejected], "{editions:?}");
    }
}

/// A rekey that failed is not the cause of a later one.
#[test]
fn a_rekey_that_fails_leaves_no_trace() {
    for editions in [Editions::PUBLISHED, mixed::alone(Part::Join)] {
        let (mut world, star) = mixed::joined(SEED, config_of(&symbolic().silent(), editions), 2);
        world.run_for(SECOND).unwrap();
        world.entropy(star.leader).unwrap().arm(1);
        let before = digest(world.get(star.leader).unwrap());
        let failed = world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap();
        assert_eq!(failed, Err(Failure::Entropy.into()));
        assert!(digest(world.get(star.leader).unwrap()) == before, "{editions:?}");
        command(&mut world, star.members[0], |member, cx| member.leave(cx)).unwrap();
        world.run_for(SECOND).unwrap();
        let causes = mixed::told(&world, star.leader, |event| match event {
            Event::Installed { causes, .. } => Some(*causes),
            _ => None,
        });
        assert_eq!(causes.last(), Some(&Causes::of(Cause::Leave)), "{editions:?}");
    }
}

#[test]
fn the_wrapper_fails_when_told_to() {
    let suite = FaultyPublished::new(des_md5_rsa());
    let inner: Arc<_> = suite.suite();
    let mut rng = SimRng::new(1);
    suite.fail_at(2);
    assert!(
        inner.fresh_key(&mut rng).is_ok() && inner.fresh_key(&mut rng).is_err() && inner.fresh_key(&mut rng).is_ok()
    );
    assert_eq!((suite.calls(), suite.failures()), (3, 1));
}
