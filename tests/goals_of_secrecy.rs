//! The goals S1, S2 and S7 of RA §1 as far as they are about what an attacker can work out: whole runs under the suite of
//! terms, with a listener that deduces what follows from all frames, from the keys of those who work with it, and, for S2,
//! from all long-term keys afterwards. With all checks it learns nothing; without the named check it does.
#![cfg(all(feature = "sim", feature = "std"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "scene/mod.rs"]
mod scene;
#[path = "star/mod.rs"]
mod star;

use std::cell::RefCell;
use std::rc::Rc;

use sodality::antigone::{Member, MemberConfig};
use sodality::crypto::keys::role;
use sodality::crypto::{Key, Secret};
use sodality::group::{Check, Checks};
use sodality::identity::MemberId;
use sodality::policy::{Policy, Views};
use sodality::sim::check::{Counts, JoinsAgree, Secrecy};
use sodality::sim::star::{APP, LEADER, StarConfig, long_term_key};
use sodality::sim::{Chaos, Checker, Faults, LinkConfig, Schedule, Spy, Stop, Why, Wild, Wildness, World, shared};
use sodality::ttp::schedule::{MemberKeys, question_digest};
use sodality::wire::shape::Content;

use scene::{SECOND, SOON, Scene, config, draft, name};

const NAMES: [&str; 3] = ["m1", "m2", "m3"];
const WORD: &[u8] = b"said to the second and the leader alone";
const TEXTS: [&[u8]; 2] = [b"said while there are two of them", b"said when there are three"];

fn key_of(config: &StarConfig, who: &str) -> Vec<u8> {
    long_term_key(&*config.suite, who).secret().expose().to_vec()
}

/// A scene under terms, with its listener.
fn listen(policy: Policy, checks: Checks) -> (Scene, Rc<RefCell<Secrecy>>) {
    let secrecy = shared(Secrecy::new());
    let suite = secrecy.borrow().suite();
    let mut world = World::new(11);
    world.add_checker(secrecy.clone());
    let config = StarConfig { suite, ..config(policy, checks) };
    (Scene::within(world, config, &NAMES), secrecy)
}

#[track_caller]
fn objects(outcome: Result<(), Stop>, checker: &str, words: &str) {
    match outcome.expect_err("something must go wrong without the check").why {
        Why::Check { checker: by, text } => {
            println!("{by}: {text}");
            assert_eq!(by, checker, "{text}");
            assert!(text.contains(words), "{text}");
        }
        other => panic!("{other}"),
    }
}

/// Joins, texts, a leave, a rekey.
fn talk(scene: &mut Scene) -> Result<(), Stop> {
    for n in 0..2 {
        scene.join(n);
        scene.world.run_for(SECOND * 7)?;
    }
    scene.say(0, TEXTS[0]).unwrap();
    let to = [scene.world.get(scene.star.members[1]).unwrap().cid().unwrap(), MemberId::LEADER];
    scene.star.tell(&mut scene.world, 0, &to, WORD)?.unwrap();
    scene.world.run_for(SECOND)?;
    scene.join(2);
    scene.world.run_for(SECOND * 7)?;
    scene.say(9, TEXTS[1]).unwrap();
    scene.leave(1);
    scene.world.run_for(SECOND * 7)?;
    scene.rekey();
    scene.world.run_for(SECOND * 7)
}

/// Judges once more, as a checker does.
fn judged(scene: &Scene, secrecy: &Rc<RefCell<Secrecy>>, outcome: Result<(), Stop>) -> Result<(), Stop> {
    outcome?;
    let world = &scene.world;
    let verdict = secrecy.borrow_mut().judge();
    verdict.map_err(|text| Stop {
        seed: world.seed(),
        step: world.steps(),
        at: world.now(),
        node: "-".into(),
        why: Why::Check { checker: secrecy.borrow().name(), text },
    })
}

/// A stranger who runs a member of its own making under the name of an honest one that is registered, and answers the
/// leader's question in the third party's place: with the session key that its own key leads to.
fn a_stranger_vouches_for_itself(
    scene: &mut Scene,
    rogue: sodality::sim::Node<Member>,
    key: &Key<role::LongTerm>,
) -> Result<(), Stop> {
    scene.join(1);
    scene.world.run_for(SECOND * 7)?;
    scene.hold(|_, id| id == "RA-T2");
    scene.world.command(rogue, "join", |member, cx| member.join(cx))?.unwrap();
    scene.world.run_for(SOON)?;
    let answer = scene.release().remove(0);
    let question = draft(&scene.last("RA-T1", scene.star.third_party));
    let suite = scene.star.config.suite.clone();
    let keys = MemberKeys::derive(&*suite, key, name("m1").by_ref()).unwrap();
    let digest = question_digest(&*suite, &question.covered()).unwrap();
    let mut forged = draft(&answer);
    forged.clear.find_mut("status").unwrap().content = Content::Leaf(vec![0]);
    forged.text = keys.session_key(&*suite, &digest).unwrap().secret().expose().to_vec();
    scene.world.inject(answer.to_link, forged.frame(), std::time::Duration::ZERO);
    scene.world.run_for(SECOND * 7)
}

/// With these checks, and with the listener or the checker of joins.
fn rogue_run(checks: Checks, listens: bool) -> Result<(), Stop> {
    let (mut scene, secrecy) = listen(Policy::default(), checks);
    if !listens {
        // Another world without the listener: whoever objects first ends the run.
        scene = Scene::within(World::new(11), scene.star.config.clone(), &NAMES);
    }
    let key = Key::<role::LongTerm>::new(Secret::new(&[0x66; 32]));
    let config = &scene.star.config;
    let member = Member::new(MemberConfig {
        suite: config.suite.clone(),
        app: name(APP),
        leader: name(LEADER),
        name: name("m1"),
        key: key.clone(),
        floor: config.floor.clone(),
        limits: config.limits,
    });
    let rogue = scene.world.add("rogue", member.unwrap())?;
    secrecy.borrow_mut().runs(key.secret().expose(), rogue.into());
    if !listens {
        scene.world.add_checker(JoinsAgree::default().rogues([rogue.into()]));
    }
    let outcome = a_stranger_vouches_for_itself(&mut scene, rogue, &key);
    if listens { judged(&scene, &secrecy, outcome) } else { outcome }
}

#[test]
fn s1_the_network_learns_no_key_of_a_group() {
    let (mut scene, secrecy) = listen(Policy::default(), Checks::ALL);
    let outcome = talk(&mut scene);
    assert_eq!(judged(&scene, &secrecy, outcome), Ok(()));
    let (epochs, channels, judged) = secrecy.borrow().watched();
    assert_eq!((epochs, channels), (6, 6), "an epoch for each of five changes, two keys for each of three members");
    assert!(judged >= 6);
    assert!(TEXTS.iter().chain([&WORD]).all(|text| !secrecy.borrow().reads(text)));
    assert_eq!(secrecy.borrow().words(), 1);
    assert_eq!(secrecy.borrow().repeated_numbers(), 0);
    // Somebody who answers in the third party's place.
    assert_eq!(rogue_run(Checks::ALL, true), Ok(()));
    objects(rogue_run(Checks::ALL.without(Check::AnswerBox), true), "Secrecy", "the attacker has the key of epoch 3");
}

#[test]
fn s3_nobody_is_admitted_on_the_word_of_a_stranger() {
    assert_eq!(rogue_run(Checks::ALL, false), Ok(()));
    let fell = rogue_run(Checks::ALL.without(Check::AnswerBox), false);
    objects(fell, "JoinsAgree", "was admitted as \"m1\", who took no such offer");
}

#[test]
fn s2_long_term_keys_that_leak_later_open_no_session() {
    for (checks, holds) in [(Checks::ALL, true), (Checks::ALL.without(Check::Ephemeral), false)] {
        let (mut scene, secrecy) = listen(Policy::default(), checks);
        let config = scene.star.config.clone();
        secrecy.borrow_mut().leaks_later([LEADER, "m1", "m2", "m3"].map(|who| key_of(&config, who)));
        let told = talk(&mut scene);
        let outcome = judged(&scene, &secrecy, told);
        if holds {
            assert_eq!(outcome, Ok(()));
            assert_eq!(secrecy.borrow().watched().1, 6);
        } else {
            objects(outcome, "Secrecy", "once all long-term keys have leaked, the attacker has the key of epoch 2");
        }
    }
}

/// The second member works with the attacker and joins while the key may not be changed yet.
fn a_traitor_joins(checks: Checks, views: Views) -> (Result<(), Stop>, Rc<RefCell<Secrecy>>) {
    let (mut scene, secrecy) = listen(Policy { views, ..Policy::default() }, checks);
    let traitor = scene.star.members[1];
    let key = key_of(&scene.star.config, "m2");
    secrecy.borrow_mut().corrupts(name("m2"), &key, traitor.into());
    let mut story = || {
        scene.join(0);
        scene.world.run_for(SECOND)?;
        scene.say(0, TEXTS[0]).unwrap();
        scene.join(1);
        scene.world.run_for(SECOND * 12)?;
        scene.say(0, TEXTS[1]).unwrap();
        scene.leave(1);
        scene.world.run_for(SECOND * 7)?;
        scene.say(0, b"said when the traitor was gone").unwrap();
        scene.world.run_for(SECOND)
    };
    let told = story();
    (judged(&scene, &secrecy, told), secrecy)
}

#[test]
fn s7_a_member_knows_the_keys_of_its_own_time_only() {
    for views in [Views::Exact, Views::WithEachKey] {
        let (outcome, secrecy) = a_traitor_joins(Checks::ALL, views);
        assert_eq!(outcome, Ok(()), "{views:?}");
        // The attacker is no straw man: what the traitor may read it reads.
        let reads = |text: &[u8]| secrecy.borrow().reads(text);
        assert!(!reads(TEXTS[0]) && reads(TEXTS[1]) && !reads(b"said when the traitor was gone"), "{views:?}");
        let (fell, _) = a_traitor_joins(Checks::ALL.without(Check::FirstEpoch), views);
        objects(fell, "Secrecy", "the attacker has the key of epoch 2");
    }
}

/// The third member works with the attacker: it holds the keys of the group, and reads no private word that is for others,
/// be it that it is told one itself.
#[test]
fn s1_a_private_word_is_for_the_named() {
    let (mut scene, secrecy) = listen(Policy::default(), Checks::ALL);
    let traitor = scene.star.members[2];
    let key = key_of(&scene.star.config, "m3");
    secrecy.borrow_mut().corrupts(name("m3"), &key, traitor.into());
    let mut story = || {
        for n in 0..3 {
            scene.join(n);
            scene.world.run_for(SECOND * 7)?;
        }
        let [_, second, third] = [0, 1, 2].map(|n| scene.world.get(scene.star.members[n]).unwrap().cid().unwrap());
        scene.say(0, TEXTS[1]).unwrap();
        scene.star.tell(&mut scene.world, 0, &[second, MemberId::LEADER], WORD)?.unwrap();
        scene.star.tell(&mut scene.world, 9, &[second], b"from the leader to the second")?.unwrap();
        scene.star.tell(&mut scene.world, 0, &[third], b"to the third, who is not to be trusted")?.unwrap();
        scene.world.run_for(SECOND * 7)?;
        scene.rekey();
        scene.world.run_for(SECOND * 7)
    };
    let told = story();
    assert_eq!(judged(&scene, &secrecy, told), Ok(()));
    let reads = |text: &[u8]| secrecy.borrow().reads(text);
    assert!(reads(TEXTS[1]) && !reads(WORD) && !reads(b"from the leader to the second"));
    assert!(reads(b"to the third, who is not to be trusted"), "the attacker is no straw man");
    assert_eq!(secrecy.borrow().words(), 3);
}

/// Ordinary runs under faults and against the adversary without a plan, with crashes, leaves and returns, all checkers on. The
/// keys of sessions that are over are handed out; at the end everything leaks.
#[test]
fn secrecy_holds_in_ordinary_runs_under_faults() {
    let (mut epochs, mut channels, mut spent, mut words) = (0, 0, 0, 0);
    let (mut counts, seeds) = (Counts::default(), star::seeds(12));
    for seed in seeds.clone() {
        let mut world = World::new(seed);
        let secrecy = shared(Secrecy::new());
        world.add_checker(secrecy.clone());
        let suite = secrecy.borrow().suite();
        let link = LinkConfig::DATAGRAM.delay(SOON / 5, SOON / 5).faults(Faults::HARSH);
        let config = StarConfig { suite, ..star::config(Policy::default(), link) };
        secrecy.borrow_mut().leaks_later([LEADER, "m1", "m2", "m3"].map(|who| key_of(&config, who)));
        secrecy.borrow_mut().hands_over_sessions();
        let (spy, loot) = Spy::new();
        world.add_checker(spy);
        if seed.is_multiple_of(2) {
            // Without the suite, whose draws the listener would take for secrets of the group.
            world.set_adversary(Wild::new(Wildness::default(), loot));
        }
        let mut run = || {
            let (group, goals) = star::watched(&mut world, config.clone(), 3)?;
            star::persist(&mut world, &group, SECOND * 40)?;
            let chaos = Chaos { closes: false, ..Chaos::new(SECOND * 30, star::everybody(&group)) };
            Schedule::random(seed, &chaos).apply(&mut world);
            star::traffic(&mut world, &group, SECOND * 30, true);
            world.run_for(SECOND * 40)?;
            Ok(goals.counts())
        };
        counts = counts.and(run().unwrap_or_else(|stop: Stop| star::explain(&world, &stop)));
        let verdict = secrecy.borrow_mut().judge();
        assert_eq!(verdict, Ok(()), "seed {seed}");
        let watched = secrecy.borrow().watched();
        (epochs, channels) = (epochs + watched.0, channels + watched.1);
        spent += secrecy.borrow().spent();
        words += secrecy.borrow().words();
        assert_eq!(secrecy.borrow().repeated_numbers(), 0, "seed {seed}");
    }
    star::report(&format!(
        "secrecy, seeds {seeds:?}: {epochs} keys of epochs, {words} of private words and {channels} of channels, of which the attacker knows those of \
         {spent} sessions that are over; {} joins, {} messages",
        counts.joins, counts.delivered
    ));
    let runs = (seeds.end - seeds.start) as usize;
    assert!(epochs > 4 * runs && channels > 6 * runs && spent > runs, "{epochs} {channels} {spent}");
    assert!(counts.joins > 0 && counts.delivered > 0 && counts.words > 0 && words > runs, "{words} {counts:?}");
}
