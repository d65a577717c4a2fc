//! Every mix of the editions of the eight parts, as a whole session in the simulator under loss (A23; RA §2, mixed
//! editions): each part speaks in the edition chosen for it and in no other, and no (key, number) pair of a box meets two
//! different (associated data, text) over two sessions of everybody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod witness;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sodality::antigone::mixed::Member;
use sodality::crypto::faulty::Recording;
use sodality::crypto::null::insecure_null;
use sodality::crypto::published::{Modern, PublishedSuite, des_md5_rsa};
use sodality::crypto::{Suite, aes_128_gcm};
use sodality::event::{Cause, Ending, Event};
use sodality::policy::{Detection, Editions, EjectRequests, Mix, Part, Policy, Protection};
use sodality::sim::mixed::{MixedConfig, MixedStar};

use sodality::sim::{Faults, InTransit, LinkConfig, Moment, Net, NodeId, Star, StarConfig, Stop, Verdict, World};
use sodality::wire::Edition;
use witness::Witness;

const SECOND: Duration = Duration::from_secs(1);

/// What the network does to every link: one frame in ten is lost, one comes late, one in twenty comes twice.
const LOSS: Faults =
    Faults { loss: 100, duplicate: 50, reorder: 100, corrupt: 0, reorder_by: Duration::from_millis(60) };

/// Writes the frames down, and drops the next key that goes to somebody.
#[derive(Default)]
struct Tap {
    frames: Vec<InTransit>,
    starve: Option<NodeId>,
}

impl sodality::sim::Adversary for Tap {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        self.frames.push(frame.clone());
        let rekey = ["AN-R", "RA-R"].contains(&net.tables.id(&frame.bytes));
        if rekey && self.starve == Some(frame.to) {
            self.starve = None;
            return Verdict::Drop;
        }
        Verdict::Pass
    }
}

struct Run {
    world: World,
    star: MixedStar,
    tap: Rc<RefCell<Tap>>,
}

impl Run {
    fn new(
        seed: u64,
        suite: Arc<dyn Suite>,
        published: Arc<dyn PublishedSuite>,
        mix: Mix,
        protection: Protection,
    ) -> Self {
        let mut config = MixedConfig::new(suite, published, mix);
        config.link = LinkConfig::DATAGRAM.faults(LOSS);
        config.policy = Policy {
            frame_limit: 1_200,
            protection,
            detection: Some(Detection { period: SECOND, misses: 4 }),
            eject_requests: EjectRequests::Granted,
            grace: Duration::from_secs(1),
            settle: Duration::ZERO,
            ..config.policy
        };
        config.policy.check().unwrap();
        let mut world = World::new(seed);
        let tap = Rc::new(RefCell::new(Tap::default()));
        world.set_adversary(tap.clone());
        let star = MixedStar::add(&mut world, config, 3).unwrap();
        for member in &star.members {
            world
                .set_app(*member, |machine: &mut Member, cx, moment| {
                    let again = matches!(
                        moment,
                        Moment::Started | Moment::Event(Event::JoinFailed(_) | Event::JoinRefused(_) | Event::Ended(_))
                    );
                    if again {
                        let _ = machine.join(cx);
                    }
                })
                .unwrap();
        }
        Self { world, star, tap }
    }

    fn all_there(&self) -> bool {
        let member = |node| self.world.get(node).is_some_and(|member: &Member| member.is_current());
        self.star.converged(&self.world) && self.star.members.iter().all(|node| member(*node))
    }

    fn settle(&mut self, what: &str) -> Result<(), Stop> {
        let star = &self.star;
        self.world.eventually(SECOND * 90, what, |world| {
            let there = |node| world.get(node).is_some_and(|member: &Member| member.is_current());
            star.converged(world) && star.members.iter().all(|node| there(*node))
        })
    }

    /// Everybody says something until everybody else has heard it.
    fn talk(&mut self, round: &str) -> Result<(), Stop> {
        for from in 0..=3 {
            let text = format!("{round} of {from}").into_bytes();
            let star = &self.star;
            let heard = |world: &World, text: &[u8]| {
                let members = star.members.iter().enumerate().filter(|(index, _)| *index != from);
                members.into_iter().all(|(_, node)| MixedStar::heard(world, *node, text) > 0)
                    && (from == 3 || MixedStar::heard(world, star.leader, text) > 0)
            };
            for _ in 0..60 {
                if heard(&self.world, &text) {
                    break;
                }
                // Somebody without a current key says it later.
                let _ = star.say(&mut self.world, from, &text)?;
                self.world.run_for(SECOND / 2)?;
            }
            if !heard(&self.world, &text) {
                println!("{}", self.world.trace().tail(40));
                panic!("{round}: what {from} says is not heard");
            }
        }
        Ok(())
    }

    fn removed_for(&self, cause: Cause) -> bool {
        removed_for(&self.world, &self.star, cause)
    }

    /// Joins, data, a rekey that one member misses, a leave and an ejection, each with a new join after it.
    fn session(&mut self) -> Result<(), Stop> {
        self.settle("all have joined")?;
        self.talk("first")?;
        let [m1, m2, m3] = [0, 1, 2].map(|at| self.star.members[at]);
        self.tap.borrow_mut().starve = Some(m1.into());
        self.world.with(self.star.leader, |leader, cx| leader.rekey(cx).unwrap())?;
        self.settle("all have the new key")?;
        assert_eq!(self.tap.borrow().starve, None, "a key was withheld");
        self.talk("second")?;
        // As published nothing confirms a leave: each time that it is said may be lost.
        for _ in 0..4 {
            self.world.with(m2, |member, cx| member.leave(cx).unwrap())?;
            self.world.run_for(SECOND)?;
            self.settle("who left is back")?;
            if self.removed_for(Cause::Leave) {
                break;
            }
        }
        let target = self.world.get(m1).unwrap().name().clone();
        let cid = self.world.get(m1).unwrap().cid().unwrap();
        let there = |world: &World, leader| {
            world.get(leader).is_some_and(|leader: &sodality::antigone::mixed::Leader| leader.view().contains(cid))
        };
        for _ in 0..20 {
            if !there(&self.world, self.star.leader) {
                break;
            }
            let _ = self.world.with(m3, |member, cx| member.request_ejection(cx, &target))?;
            self.world.run_for(SECOND * 2)?;
        }
        if there(&self.world, self.star.leader) {
            println!("{}", self.world.trace().tail(300));
            panic!("m1 was not ejected");
        }
        // As published nobody tells it: it goes by itself, and comes again.
        if self.world.get(m1).unwrap().cid() == Some(cid) {
            let _ = self.world.with(m1, |member, cx| member.leave(cx))?;
        }
        self.world.run_for(SECOND)?;
        self.settle("who was ejected is back")?;
        self.talk("third")?;
        self.world.run_for(SECOND * 4)?;
        for cause in [Cause::Leave, Cause::Eject] {
            if !self.removed_for(cause) {
                println!("{:?}\n{}", self.star.config.policy.mix, self.world.trace().tail(1000));
                panic!("nobody went for the cause {cause:?}");
            }
        }
        // Who crashes is noticed by the leader, and the leader's crash by the others.
        self.world.crash(m3)?;
        let star = &self.star;
        self.world.eventually(SECOND * 30, "the crash of a member is noticed", |world| {
            removed_for(world, star, Cause::Failure)
        })?;
        self.world.crash(self.star.leader)?;
        self.world.eventually(SECOND * 60, "the crash of the leader is noticed", |world| {
            let lost = |event: &Event| matches!(event, Event::Ended(Ending::LeaderLost));
            [m1, m2].iter().all(|node| world.events(*node).iter().any(lost))
        })
    }
}

/// Whether the leader has seen somebody go for that cause.
fn removed_for(world: &World, star: &MixedStar, wanted: Cause) -> bool {
    let is = |event: &Event| matches!(event, Event::MemberRemoved { cause, .. } if *cause == wanted);
    world.events(star.leader).iter().any(is)
}

/// The protection of data varies with the mix, so that all four occur under both editions.
fn protection(editions: Editions) -> Protection {
    Protection::ALL[usize::from(editions.bits() % 4)]
}

#[test]
fn every_mix_runs_a_whole_session_and_each_part_speaks_in_its_own_edition() {
    let mut ran = vec![Editions::REPAIRED];
    run_repaired();
    for editions in Editions::all().filter(|editions| *editions != Editions::REPAIRED) {
        let recording = Recording::new(insecure_null());
        let suite = recording.suite();
        let published = Arc::new(Modern::new(suite.clone()));
        let per_heartbeat = editions.bits() & 3 != 1;
        let mix = Mix { editions, suite: suite.id(), strong_reply: editions.bits() & 4 != 0, per_heartbeat };
        let seed = 0x1999_0000 + u64::from(editions.bits());
        let mut run = Run::new(seed, suite, published, mix, protection(editions));
        let words: Vec<&str> =
            Part::ALL.into_iter().filter(|part| editions.is_published(*part)).map(Part::word).collect();
        if let Err(stop) = run.session() {
            println!("{}", run.world.trace().tail(60));
            panic!("seed {seed:#x}, as published {words:?}, all there: {}: {stop}", run.all_there());
        }
        let mut witness = Witness::default();
        run.tap.borrow().frames.iter().for_each(|frame| witness.see(&frame.bytes));
        for part in Part::ALL {
            let (own, other) = match editions.of(part) {
                Edition::AsPublished => (witness.published(part), witness.repaired(part)),
                Edition::Repaired => (witness.repaired(part), witness.published(part)),
            };
            assert!(own > 0, "seed {seed:#x}, as published {words:?}: nothing of {part:?} on the wire");
            assert_eq!(other, 0, "seed {seed:#x}, as published {words:?}: {part:?} in the other edition");
        }
        assert_eq!(recording.violations(), Vec::new(), "seed {seed:#x}, as published {words:?}");
        ran.push(editions);
    }
    println!("{} combinations ran, {} refused", ran.len(), 256 - ran.len());
    the_page_is_current(&ran);
}

/// The combination in which nothing is as published is the repaired edition, which has machines of its own.
fn run_repaired() {
    let mut config = StarConfig::new(aes_128_gcm());
    config.link = LinkConfig::DATAGRAM.faults(LOSS);
    config.policy = Policy {
        frame_limit: 1_200,
        detection: Some(Detection { period: SECOND, misses: 4 }),
        grace: Duration::ZERO,
        settle: Duration::ZERO,
        ..config.policy
    };
    let mut world = World::new(0x1999_0000);
    let star = Star::add(&mut world, config, 3).unwrap();
    star.join_always(&mut world).unwrap();
    let settled = |world: &mut World| {
        let there = |world: &World| {
            star.converged(world) && star.members.iter().all(|node| world.get(*node).unwrap().is_current())
        };
        world.eventually(SECOND * 90, "all are there", there).unwrap();
    };
    settled(&mut world);
    world.with(star.leader, |leader, cx| leader.rekey(cx).unwrap()).unwrap();
    settled(&mut world);
    world.with(star.members[1], |member, cx| member.leave(cx).unwrap()).unwrap();
    world.run_for(SECOND).unwrap();
    settled(&mut world);
    let text = b"said under loss";
    for _ in 0..20 {
        let _ = star.say(&mut world, 0, text).unwrap();
        world.run_for(SECOND / 2).unwrap();
    }
    assert!(Star::heard(&world, star.members[1], text) > 0);
}

/// docs/mixed-editions.md says which combinations ran. After an intended change:
/// `SODALITY_UPDATE=1 cargo test --test mixed_editions`.
fn the_page_is_current(ran: &[Editions]) {
    let mut page = String::from(
        "# Which combinations of editions run\n\nMade by `tests/mixed_editions.rs`, which runs each combination as a whole \
         session under loss: three members join, talk, miss a key and ask for it, leave, are ejected, and join again. It looks \
         at every frame: each part speaks in the edition chosen for it, and in no other. What stands between unlike neighbours \
         is in [specification/antigone-repaired.md](specification/antigone-repaired.md#mixed-editions).\n\nThe parts, each with \
         its bit:\n\n| bit | part |\n| --- | --- |\n",
    );
    for (bit, part) in Part::ALL.into_iter().enumerate() {
        page += &format!("| {bit} | {} |\n", part.word());
    }
    let (all, of) = (ran.len(), 256);
    page += &format!("\n{all} of {of} combinations ran, {} are refused. ", of - all);
    page += "A bit that is set means *as published*: rows are the bits 7 to 4, columns the bits 3 to 0.\n\n|  |";
    (0..16).for_each(|low| page += &format!(" {low:04b} |"));
    page += "\n| --- |";
    (0..16).for_each(|_| page += " --- |");
    for high in 0..16u8 {
        page += &format!("\n| **{high:04b}** |");
        for low in 0..16u8 {
            page += if ran.contains(&Editions::from_bits(high << 4 | low)) { " ran |" } else { " refused |" };
        }
    }
    page += "\n\n`0000 0000` is the repaired edition, which has machines of its own; `1111 1111` is Antigone as published.\n";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mixed-editions.md");
    if std::env::var_os("SODALITY_UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == page, "docs/mixed-editions.md is not what ran: SODALITY_UPDATE=1, and read what changed");
}

/// The same under the cipher of 1999, for the mixes of which one part alone is as published or repaired, and for all.
#[test]
fn mixes_under_des_run_too() {
    let alone = Part::ALL.into_iter().map(|part| Editions::REPAIRED.with(part, Edition::AsPublished));
    let but_one = Part::ALL.into_iter().map(|part| Editions::PUBLISHED.with(part, Edition::Repaired));
    for editions in alone.chain(but_one).chain([Editions::PUBLISHED]) {
        let published = des_md5_rsa();
        let mix = Mix { editions, ..Mix::published(published.id()) };
        let seed = 0xde5_0000 + u64::from(editions.bits());
        let mut run = Run::new(seed, aes_128_gcm(), published, mix, protection(editions));
        if let Err(stop) = run.session() {
            println!("{}", run.world.trace().tail(60));
            panic!("seed {seed:#x}, {editions:?}: {stop}");
        }
    }
}

/// A repaired key that comes before the next heartbeat of the leader is used at once: it is newer than the one that the last
/// heartbeat told of.
#[test]
fn a_new_key_waits_for_no_heartbeat() {
    let published = des_md5_rsa();
    let editions = Editions::REPAIRED.with(Part::Join, Edition::AsPublished);
    let mix = Mix { editions, ..Mix::published(published.id()) };
    let mut world = World::new(0x6e0);
    let mut config = MixedConfig::new(aes_128_gcm(), published, mix);
    config.policy.settle = Duration::ZERO;
    let star = MixedStar::add(&mut world, config, 2).unwrap();
    star.join_all(&mut world, SECOND * 20).unwrap();
    // The leader has answered a challenge of each member, and says which epoch it has.
    world.run_for(SECOND * 12).unwrap();
    world.with(star.leader, |leader, cx| leader.rekey(cx).unwrap()).unwrap();
    world.run_for(SECOND / 10).unwrap();
    for member in &star.members {
        assert!(world.get(*member).unwrap().is_current());
    }
}
