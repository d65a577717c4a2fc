//! Groups with parts as published under loss: whatever the links do, and whoever crashes and leaves meanwhile, once they
//! are calm everybody has the leader's key within a stated time, and data flow.
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod mixed;

use std::time::Duration;

use sodality::antigone::mixed::Member;
use sodality::crypto::published::des_md5_rsa;
use sodality::crypto::symbolic::symbolic;
use sodality::error::Reason;
use sodality::event::{Cause, Causes, Ending, Event};
use sodality::policy::{Communication, Editions, Part};
use sodality::sim::mixed::{MixedConfig, MixedStar};
use sodality::sim::{Faults, LinkConfig, SimRng, Stop, World};

use mixed::{
    SECOND, all_hear_all, bound, config_with, joined, mortal, over, persist, report, seeds, settled, some_mixes, terms,
    told, with_policy,
};

/// How long faults last.
const CHAOS: Duration = Duration::from_secs(30);

fn explain(world: &World, stop: &Stop) -> ! {
    panic!("{stop}\n{}", world.trace().tail(100))
}

/// Leaves, rekeys, crashes and words at random times.
fn deeds(world: &mut World, star: &MixedStar) {
    let mut rng = SimRng::new(world.seed()).fork(0xdeed);
    for _ in 0..10 {
        let member = star.members[rng.below(star.members.len() as u64) as usize];
        let (leader, which) = (star.leader, rng.below(8));
        let at = rng.span(CHAOS - SECOND * 3);
        world.after(at, move |world| match which {
            0 | 1 if world.get(member).is_some() => world.with(member, |member, cx| {
                let _ = member.leave(cx);
            }),
            2 | 3 if world.get(leader).is_some() => world.with(leader, |leader, cx| {
                let _ = leader.rekey(cx);
            }),
            4 | 5 if world.get(member).is_some() => {
                world.crash(member)?;
                world.after(SECOND * 2, move |world| world.restart(member));
                Ok(())
            }
            6 if world.get(leader).is_some() => {
                world.crash(leader)?;
                world.after(SECOND, move |world| world.restart(leader));
                Ok(())
            }
            _ => Ok(()),
        });
    }
    for second in 1..CHAOS.as_secs() {
        for from in 0..=star.members.len() {
            let (members, leader) = (star.members.clone(), star.leader);
            world.after(SECOND * u32::try_from(second).unwrap(), move |world| {
                use sodality::event::Port::Application;
                match members.get(from) {
                    Some(member) if world.get(*member).is_some() => world.with(*member, |member, cx| {
                        let _ = member.send(cx, Application, b"a word");
                    }),
                    None if world.get(leader).is_some() => world.with(leader, |leader, cx| {
                        let _ = leader.send(cx, Application, b"a word");
                    }),
                    _ => Ok(()),
                }
            });
        }
    }
}

/// Faults, then calm: how long it takes until everybody has the leader's key.
fn recovers(world: &mut World, config: MixedConfig, members: usize) -> Result<Duration, Stop> {
    world.trace_mut().keep(400);
    let time = bound(&config);
    let star = MixedStar::add(world, config, members)?;
    mortal(world, &star)?;
    persist(world, &star, CHAOS + time)?;
    deeds(world, &star);
    world.run_for(CHAOS)?;
    world.calm();
    // As published a group may look whole and not be so: AN-R of the session before brings a key too (A11), and then the
    // leader does not know the heartbeats of the new one. So the last time counts when it was not whole.
    let mut took = Duration::ZERO;
    for second in 1..=u32::try_from(time.as_secs() + 1).unwrap() {
        world.run_for(SECOND)?;
        if !settled(world, &star) {
            took = SECOND * second;
        }
    }
    assert!(took <= time, "not whole {took:?} after the faults\n{}", world.trace().tail(100));
    all_hear_all(world, &star)?;
    Ok(took)
}

fn harsh() -> LinkConfig {
    let spread = Duration::from_millis(20);
    LinkConfig::DATAGRAM.delay(spread, spread).faults(Faults::HARSH)
}

/// Joins by rekey or not, in turn.
fn config(editions: Editions, seed: u64) -> MixedConfig {
    let config = over(terms(editions), harsh());
    with_policy(config, |policy| {
        if seed.is_multiple_of(2) {
            let stays = policy.rekey_on.iter().filter(|cause| *cause != Cause::Join);
            policy.rekey_on = stays.fold(Causes::NONE, Causes::with);
        }
    })
}

fn runs(editions: Editions, seeds: std::ops::Range<u64>, took: &mut Vec<Duration>) {
    for seed in seeds {
        let mut world = World::new(seed);
        let time = recovers(&mut world, config(editions, seed), 3 + (seed % 2) as usize);
        took.push(time.unwrap_or_else(|stop| {
            println!("{editions:?}");
            explain(&world, &stop)
        }));
    }
}

fn tell(what: &str, seeds: &std::ops::Range<u64>, took: &mut [Duration]) {
    took.sort();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    let time = bound(&config(Editions::PUBLISHED, 1));
    report(&format!(
        "{what}: harsh links, seeds {seeds:?}: agreement after {median:?} (median), {longest:?} (longest), T = {time:?}"
    ));
}

#[test]
fn a_group_as_published_comes_together_after_harsh_links() {
    let (mut took, seeds) = (Vec::new(), seeds(100));
    runs(Editions::PUBLISHED, seeds.clone(), &mut took);
    tell("all as published", &seeds, &mut took);
}

#[test]
fn mixed_groups_come_together_after_harsh_links() {
    let (mut took, seeds) = (Vec::new(), seeds(12));
    let mixes = some_mixes();
    for editions in &mixes[1..] {
        let mut of_mix = Vec::new();
        runs(*editions, seeds.clone(), &mut of_mix);
        tell(&format!("{:#010b}", editions.bits()), &seeds, &mut of_mix);
        took.extend(of_mix);
    }
    tell(&format!("{} mixes", mixes.len() - 1), &seeds, &mut took);
}

/// The same under the suite of 1999, which does not notice what a bad link does to AN-J2 and AN-Dc.
#[test]
fn a_group_of_1999_comes_together_after_harsh_links() {
    let (mut took, seeds) = (Vec::new(), seeds(25));
    for seed in seeds.clone() {
        let mut world = World::new(seed);
        let config = over(config_with(&symbolic().silent(), des_md5_rsa(), Editions::PUBLISHED), harsh());
        took.push(recovers(&mut world, config, 3).unwrap_or_else(|stop| explain(&world, &stop)));
    }
    tell("the suite of 1999", &seeds, &mut took);
}

/// The same with a multicast channel that is as bad, in the two modes that use it.
#[test]
fn mixed_groups_on_a_shared_link_come_together_after_harsh_links() {
    let (mut took, seeds) = (Vec::new(), seeds(10));
    for editions in [Editions::PUBLISHED, mixed::alone(Part::Keys), mixed::but(Part::Keys), mixed::but(Part::Data)] {
        for communication in [Communication::Mixed, Communication::Symmetric] {
            for seed in seeds.clone() {
                let config = with_policy(config(editions, seed), |policy| policy.communication = communication);
                let channel = LinkConfig { max_frame: config.link.max_frame, ..harsh() };
                let mut world = World::new(seed);
                let time = recovers(&mut world, MixedConfig { multicast: Some(channel), ..config }, 3);
                took.push(time.unwrap_or_else(|stop| explain(&world, &stop)));
            }
        }
    }
    tell("on a shared link", &seeds, &mut took);
}

#[test]
fn a_mixed_leader_that_restarts_is_missed_and_joined_anew() {
    for editions in some_mixes() {
        let (mut world, star) = joined(5, terms(editions), 2);
        mortal(&mut world, &star).unwrap();
        let time = bound(&star.config);
        persist(&mut world, &star, time * 2).unwrap();
        world.run_for(SECOND * 6).unwrap();
        let before = mixed::leader(&world, &star).group();
        world.crash(star.leader).unwrap();
        world.run_for(SECOND).unwrap();
        world.restart(star.leader).unwrap();
        world.run_for(SECOND).unwrap();
        let back = world.eventually(time, "all have joined the new instance", |world| settled(world, &star));
        back.unwrap_or_else(|stop| explain(&world, &stop));
        assert_ne!(mixed::leader(&world, &star).group(), before);
        for member in &star.members {
            let lost = told(&world, *member, |event| (*event == Event::Ended(Ending::LeaderLost)).then_some(()));
            assert_eq!(lost.len(), 1, "{editions:?}");
        }
        all_hear_all(&mut world, &star).unwrap();
    }
}

#[test]
fn a_mixed_member_that_restarts_takes_its_own_place() {
    for editions in some_mixes() {
        let (mut world, star) = joined(6, terms(editions), 2);
        mortal(&mut world, &star).unwrap();
        persist(&mut world, &star, SECOND * 60).unwrap();
        world.run_for(SECOND).unwrap();
        let victim = star.members[1];
        world.crash(victim).unwrap();
        world.run_for(SECOND).unwrap();
        world.restart(victim).unwrap();
        world.run_for(SECOND).unwrap();
        let back = world.eventually(SECOND * 10, "it is back", |world| settled(world, &star));
        back.unwrap_or_else(|stop| explain(&world, &stop));
        let taken = told(&world, star.leader, |event| match event {
            Event::MemberRemoved { cause: Cause::Takeover, name, .. } => Some(name.as_str().to_owned()),
            _ => None,
        });
        assert_eq!(taken, ["m2"], "{editions:?}");
        all_hear_all(&mut world, &star).unwrap();
    }
}

/// A link opened again is announced, also where nobody sends heartbeats.
#[test]
fn a_mixed_member_whose_link_closes_goes_on_over_another() {
    for detection in [true, false] {
        for editions in some_mixes() {
            let config = with_policy(terms(editions), |policy| {
                if !detection {
                    policy.detection = None;
                }
            });
            let (mut world, star) = joined(9, config, 2);
            world.run_for(SECOND * 6).unwrap();
            let member = star.members[0];
            let first = world.links_between(member, star.leader)[0];
            world.connect(member, star.leader, LinkConfig::STREAM).unwrap();
            world.close(first).unwrap();
            world.run_for(SECOND * 2).unwrap();
            let before = mixed::leader(&world, &star).epoch();
            world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
            let known = world.eventually(SECOND * 2, "the key comes over the other link", |world| {
                mixed::leader(world, &star).epoch() != before && settled(world, &star)
            });
            known.unwrap_or_else(|stop| {
                println!("{editions:?}, detection {detection}");
                explain(&world, &stop)
            });
        }
    }
}

/// A new key is as current as the one before it: nobody has to wait for a heartbeat to say something.
#[test]
fn a_member_speaks_as_soon_as_it_has_the_new_key() {
    for editions in some_mixes() {
        let (mut world, star) = joined(2, terms(editions), 2);
        // So that the leader's heartbeats have told of the key before.
        world.run_for(SECOND * 12).unwrap();
        world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
        world.run_for(SECOND / 10).unwrap();
        assert!(settled(&world, &star), "{editions:?}\n{}", world.trace().tail(30));
        star.say(&mut world, 0, b"at once").unwrap().unwrap();
        world.run_for(SECOND / 10).unwrap();
        assert_eq!(MixedStar::heard(&world, star.members[1], b"at once"), 1, "{editions:?}");
    }
}

/// As published nobody is told that it was removed, and over a shared link it goes on to hear the leader's heartbeats: it
/// gives up once it has had no current key for T_lost.
#[test]
fn who_was_removed_without_a_word_finds_out() {
    for editions in some_mixes() {
        let channel = Some(LinkConfig::DATAGRAM.max_frame(65_536));
        let (mut world, star) = joined(4, MixedConfig { multicast: channel, ..terms(editions) }, 2);
        world.run_for(SECOND * 6).unwrap();
        let cid = world.get(star.members[0]).unwrap().cid().unwrap();
        world.with(star.leader, |leader, cx| leader.eject(cx, cid)).unwrap().unwrap();
        let out = world.eventually(bound(&star.config), "it is out", |world| {
            world.get(star.members[0]).is_some_and(Member::is_idle)
        });
        out.unwrap_or_else(|stop| {
            println!("{editions:?}");
            explain(&world, &stop)
        });
        assert!(mixed::member(&world, &star, 1).is_current());
    }
}

/// D17: a rekey between AN-J2 and AN-K. The member refuses the right key, since it is not the one that its offer named;
/// asks anew; and gets in.
#[test]
fn d17_a_rekey_between_offer_and_key_makes_a_member_ask_anew() {
    for editions in [Editions::PUBLISHED, mixed::but(Part::Data), mixed::but(Part::ThirdParty)] {
        // Joins do not rekey, so that AN-K brings the newcomer its key.
        let config = with_policy(terms(editions), |policy| {
            policy.rekey_on = Causes::of(Cause::Leave).with(Cause::Eject);
        });
        let (mut world, mut star) = joined(3, config, 1);
        let newcomer = star.add_member(&mut world, "m2").unwrap();
        world.with(newcomer, |member, cx| member.join(cx)).unwrap().unwrap();
        // Until it has its offer: AN-J3 is then on its way.
        world
            .eventually(SECOND, "it has its offer", |world| world.get(newcomer).is_some_and(|m| m.policy().is_some()))
            .unwrap();
        let offered = mixed::leader(&world, &star).epoch();
        world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
        world.run_for(SECOND).unwrap();
        let newest = mixed::leader(&world, &star).epoch();
        assert_ne!(offered, newest);
        let refusals = told(&world, newcomer, |event| match event {
            Event::Rejected { why: Reason::OldEpoch, .. } => Some(()),
            _ => None,
        });
        assert!(!refusals.is_empty(), "{editions:?}: the right key is refused\n{}", world.trace().tail(40));
        assert!(!world.get(newcomer).is_some_and(Member::is_current));
        let first = mixed::leader(&world, &star).member_count();
        assert_eq!(first, 2, "the leader takes it for a member");
        let got_in =
            world.eventually(star.config.limits.join_time, "it asks anew and gets in", |world| settled(world, &star));
        got_in.unwrap_or_else(|stop| explain(&world, &stop));
        let joins = told(&world, newcomer, |event| matches!(event, Event::Joined { .. }).then_some(()));
        assert_eq!(joins.len(), 1);
        all_hear_all(&mut world, &star).unwrap();
    }
}

/// With the wrong reading of the report, which compares with the g in front of the same message, the race is not there.
#[test]
fn d17_the_wrong_reading_takes_whatever_key_comes() {
    let config = with_policy(terms(Editions::PUBLISHED), |policy| {
        policy.rekey_on = Causes::of(Cause::Leave);
    });
    let faults = sodality::antigone::mixed::Faults::taking_the_leading_group();
    let (mut world, mut star) = joined(3, MixedConfig { faults, ..config }, 1);
    let newcomer = star.add_member(&mut world, "m2").unwrap();
    world.with(newcomer, |member, cx| member.join(cx)).unwrap().unwrap();
    world
        .eventually(SECOND, "it has its offer", |world| world.get(newcomer).is_some_and(|m| m.policy().is_some()))
        .unwrap();
    world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
    world.eventually(SECOND, "it is in at once", |world| settled(world, &star)).unwrap();
}
