//! Whole sessions under a suite of terms: what is on the wire, as an attacker could read it; and under all real suites
//! with a witness: no number is ever used twice under a key for two different things (RA §2).
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sodality::crypto::faulty::Recording;
use sodality::crypto::symbolic::{Symbolic, symbolic};
use sodality::crypto::{Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::event::Event;
use sodality::policy::{Policy, Protection};
use sodality::sim::check::Attacker;
use sodality::sim::star::{self, LEADER, Star, StarConfig, long_term_key};
use sodality::sim::{Faults, LinkConfig, Recorder, Stop, Tables, World, shared};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const SEED: u64 = 21;
const TEXTS: [&[u8]; 3] =
    [b"a payload that nobody may see", b"what the leader has to say here", b"and what is said after a leave"];

/// Joins, talk both ways, a leave, talk.
fn talk(world: &mut World, star: &Star) -> Result<(), Stop> {
    star.join_all(world, MINUTE)?;
    world.run_for(SECOND * 2)?;
    star.say(world, 0, TEXTS[0])?.unwrap();
    star.say(world, 9, TEXTS[1])?.unwrap();
    world.run_for(SECOND)?;
    world.with(star.members[1], |member, cx| member.leave(cx))?.unwrap();
    world.eventually(MINUTE, "the others agree", |world| star.converged(world))?;
    star.say(world, 0, TEXTS[2])?.unwrap();
    world.run_for(SECOND)
}

struct Heard {
    world: Symbolic,
    frames: Vec<Vec<u8>>,
    secrets: Vec<Vec<u8>>,
    violations: usize,
    long_term: Vec<Vec<u8>>,
}

fn listen(policy: Policy) -> Heard {
    let terms = symbolic();
    let record = Recording::new(terms.suite());
    let mut world = World::new(SEED);
    let ears = shared(Recorder::default());
    world.set_adversary(ears.clone());
    // What goes to all at once is heard too.
    let multicast = Some(LinkConfig::DATAGRAM.max_frame(65_536));
    let config = StarConfig { policy, multicast, ..StarConfig::new(record.suite()) };
    let star = Star::add(&mut world, config, 3).unwrap();
    if let Err(stop) = talk(&mut world, &star) {
        panic!("{stop}\n{}", world.trace().tail(60));
    }
    for text in &TEXTS[1..] {
        assert_eq!(Star::heard(&world, star.members[2], text), 1);
    }
    let mut frames: Vec<Vec<u8>> = ears.borrow().frames.iter().map(|frame| frame.bytes.to_vec()).collect();
    frames.sort();
    frames.dedup();
    let keys = [LEADER, "m1", "m2", "m3"].map(|name| long_term_key(&*record.suite(), name).secret().expose().to_vec());
    Heard {
        world: terms,
        frames,
        secrets: record.secrets(),
        violations: record.violations().len(),
        long_term: keys.to_vec(),
    }
}

fn every_protection() -> Vec<Policy> {
    let all = Protection::ALL.into_iter().flat_map(|protection| [false, true].map(|origin| (protection, origin)));
    let policies = all.map(|(protection, origin)| Policy { protection, origin, ..Policy::default() });
    policies.filter(|policy| policy.check().is_ok()).collect()
}

impl Heard {
    /// An attacker who has read all frames, with these secrets and all that follows.
    fn attacker(&self, leaked: &[Vec<u8>]) -> Attacker {
        let (tables, mut attacker) = (Tables::default(), Attacker::new(&self.world));
        for frame in &self.frames {
            attacker.reads_frame(&tables, frame);
        }
        leaked.iter().for_each(|secret| attacker.learns(&**secret));
        attacker.deduce(&self.secrets);
        attacker
    }

    /// The secrets that were drawn: group keys, private signature keys, ephemeral secrets.
    fn drawn(&self) -> Vec<Vec<u8>> {
        let fresh = |secret: &&Vec<u8>| self.world.term(secret).is_some_and(|term| term.kind == "fresh");
        self.secrets.iter().filter(fresh).cloned().collect()
    }

    /// The exponents among them: those whose share stands in a frame.
    fn exponents(&self) -> Vec<Vec<u8>> {
        let of = |secret: &Vec<u8>| {
            let agreed =
                self.secrets.iter().filter_map(|other| self.world.term(other)).filter(|term| term.kind == "agree");
            let shares: Vec<_> =
                agreed.flat_map(|term| term.fields).filter_map(|share| self.world.term(&share)).collect();
            shares.iter().any(|share| share.fields[0] == *secret)
        };
        self.drawn().into_iter().filter(of).collect()
    }
}

#[test]
fn public_frames_give_nothing_away() {
    for policy in every_protection() {
        let what = format!("{:?}, signed {}", policy.protection, policy.origin);
        let readable = !policy.protection.at_least(Protection::Confidentiality);
        let heard = listen(policy);
        assert_eq!(heard.violations, 0, "{what}");
        let attacker = heard.attacker(&[]);
        let known: Vec<_> = attacker.known().map(|secret| heard.world.explain(secret)).collect();
        assert!(known.is_empty(), "{what}: {known:?}");
        for text in TEXTS {
            assert_eq!(attacker.reads(text), readable, "{what}");
        }
        println!(
            "{what}: {} frames, {} boxes, {} secrets, none derivable",
            heard.frames.len(),
            attacker.closed(),
            heard.secrets.len()
        );
        assert!(heard.secrets.len() > 30 && attacker.closed() > 20);
    }
}

#[test]
fn long_term_keys_that_leak_later_open_nothing() {
    // S2: the ephemeral exchange is in each session.
    let heard = listen(Policy::default());
    let attacker = heard.attacker(&heard.long_term);
    assert!(TEXTS.iter().all(|text| !attacker.reads(text)));
    let drawn: Vec<_> = heard.drawn().into_iter().filter(|secret| attacker.knows(secret)).collect();
    assert_eq!(drawn.len(), 0, "no group key, no private key");
    // The session keys of the third party's answers do follow: that they did is what the exchange is for.
    println!("{} of {} secrets follow from all long-term keys", attacker.known().count(), heard.secrets.len());
    assert!(attacker.known().count() > heard.long_term.len() + 8);
}

/// The attacker above is no straw man: with the right secrets it reads everything.
#[test]
fn the_attacker_can_read_what_it_has_keys_for() {
    let heard = listen(Policy::default());
    let exponents = heard.exponents();
    assert_eq!(exponents.len(), 6, "two for each of three joins");
    // Exponents alone lack the session key; with the long-term keys all falls.
    let alone = heard.attacker(&exponents);
    assert!(TEXTS.iter().all(|text| !alone.reads(text)));
    let both = [heard.long_term.clone(), exponents].concat();
    let attacker = heard.attacker(&both);
    assert!(TEXTS.iter().all(|text| attacker.reads(text)));
    assert_eq!(attacker.closed(), 0, "every box opens");
    // A group key opens the data of its epoch, and no other's (S7).
    let mut opened = BTreeSet::new();
    for secret in heard.drawn() {
        let attacker = heard.attacker(&[secret]);
        opened.insert(TEXTS.map(|text| attacker.reads(text)));
    }
    println!("texts that one drawn secret opens: {opened:?}");
    assert!(opened.contains(&[true, true, false]) && opened.contains(&[false, false, true]));
    assert!(!opened.contains(&[true, true, true]));
}

/// Two sessions over bad links, in which people crash, come back, take over, leave and return; then the leader dies and a
/// second instance of the group begins under the same long-term keys.
fn eventful(suite: Arc<dyn Suite>, seed: u64, policy: Policy) -> World {
    let mut world = World::new(seed);
    world.trace_mut().keep(200);
    let run = || -> Result<(), Stop> {
        let faults = Faults { corrupt: 0, ..Faults::HARSH };
        let link = LinkConfig::DATAGRAM.max_frame(65_536).faults(faults);
        // Every other run has a multicast channel: blocks then go out in frames of many, and again in frames of one.
        let multicast = seed.is_multiple_of(2).then_some(link);
        let star = Star::add(&mut world, StarConfig { link, policy, multicast, ..StarConfig::new(suite) }, 3)?;
        let config = star.config.clone();
        for (member, name) in star.members.iter().zip(["m1", "m2", "m3"]) {
            let config = config.clone();
            world.set_factory(*member, move |_| star::member_machine(&config, name).unwrap())?;
        }
        star.join_always(&mut world)?;
        let together = |world: &World| {
            star.converged(world) && world.get(star.leader).is_some_and(|leader| leader.view().members().len() == 4)
        };
        for session in 0..2u8 {
            world.eventually(MINUTE * 5, "all are in", together)?;
            for (turn, from) in [0, 1, 2, 9, 0, 9].into_iter().enumerate() {
                let _ = star.say(&mut world, from, &[session, turn as u8])?;
                world.run_for(SECOND)?;
            }
            // Back under its name while it is still there.
            world.crash(star.members[0])?;
            world.restart(star.members[0])?;
            world.eventually(MINUTE * 5, "all are in after a takeover", together)?;
            let _ = star.say(&mut world, 0, b"again")?;
            let _ = world.with(star.members[1], |member, cx| member.leave(cx))?;
            world.run_for(SECOND * 3)?;
            let _ = world.with(star.leader, |leader, cx| leader.rekey(cx))?;
            world.eventually(MINUTE * 5, "all are in after a return", together)?;
            if session == 0 {
                world.crash(star.leader)?;
                let mut rng = world.entropy(star.leader)?.clone();
                let now = world.now();
                let leader = star::leader_machine(&config, &mut sodality::endpoint::Cx::new(now, &mut rng)).unwrap();
                world.restart_with(star.leader, leader)?;
                world.run_for(MINUTE)?;
            }
        }
        Ok(())
    };
    let outcome = run();
    if let Err(stop) = outcome {
        panic!("{stop}\n{}", world.trace().tail(80));
    }
    world
}

#[test]
fn no_number_is_used_twice_for_different_things() {
    for suite in [aes_128_gcm(), aes_256_gcm(), chacha20_poly1305(), symbolic().silent()] {
        let id = suite.id();
        for (seed, policy) in (30..).zip(every_protection()) {
            let record = Recording::new(suite.clone());
            let world = eventful(record.suite(), seed, policy);
            assert_eq!(record.violations(), [], "{id:?}, seed {seed}");
            let takeovers = world
                .nodes()
                .flat_map(|node| world.events(node))
                .filter(|event| matches!(event, Event::MemberRemoved { cause: sodality::event::Cause::Takeover, .. }));
            let takeovers = takeovers.count();
            println!(
                "{id:?}, seed {seed}: {} boxes, {takeovers} notices of takeovers, {:?}",
                record.boxes(),
                world.net_stats()
            );
            assert!(record.boxes() > 100 && takeovers > 0 && world.net_stats().lost > 20);
        }
    }
}
