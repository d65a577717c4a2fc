//! Sessions that meet every situation, and what is kept of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use sodality::antigone::{Access, Member};
use sodality::crypto::chacha20_poly1305;
use sodality::endpoint::Cx;
use sodality::event::{Cause, Causes, EndReason, Event, JoinFailure, Port};
use sodality::identity::MemberId;
use sodality::policy::{EjectRequests, OnSilence, Policy, Protection, Views};
use sodality::sim::star::{self, Star, StarConfig};
use sodality::sim::{
    Checker, DropMatching, Gang, InTransit, Input, LinkConfig, Moment, Observed, ReplayAll, Stop, Tables, World, shared,
};
use sodality::ttp::ThirdParty;

use crate::SEED;
use crate::keyring::Keyring;
use crate::machine::{Machine, Sample};

/// Frames kept of each (message, state), and one more that comes a second time.
const KEPT: usize = 2;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A message, and the state of its receiver.
pub(crate) type Cell = (&'static str, String);

/// Keeps samples of all situations.
#[derive(Default)]
struct Catcher {
    last: BTreeMap<sodality::sim::NodeId, Machine>,
    samples: BTreeMap<Cell, Vec<Sample>>,
    ring: Option<Keyring>,
    tables: Tables,
}

impl Checker for Catcher {
    fn name(&self) -> &'static str {
        "Catcher"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        if let (Input::Frame(frame), Some(before)) = (step.input, self.last.get(&step.node)) {
            let cell = (self.tables.id(&frame.bytes), before.state(&frame.bytes, &self.tables));
            let kept = self.samples.entry(cell).or_default();
            let alike = kept.iter().filter(|sample| sample.replayed == frame.injected).count();
            let most = if frame.injected { 1 } else { KEPT };
            if alike < most && !kept.iter().any(|sample| sample.frame == frame.bytes) {
                let replayed = frame.injected;
                let (frame, link) = (frame.bytes.to_vec(), frame.to_link);
                let ring = self.ring.clone().unwrap();
                kept.push(Sample { frame, link, at: step.at, machine: before.clone(), ring, replayed });
            }
        }
        match Machine::of(step) {
            Some(machine) => self.last.insert(step.node, machine),
            None => self.last.remove(&step.node),
        };
        Ok(())
    }
}

/// What frames an adversary loses: for so many of each id, between whom.
fn lose(ids: &'static [(&'static str, usize)]) -> DropMatching<impl FnMut(&InTransit, &Tables) -> bool> {
    let mut left: BTreeMap<_, _> = ids.iter().copied().collect();
    DropMatching(move |frame: &InTransit, tables: &Tables| match left.get_mut(tables.id(&frame.bytes)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    })
}

/// Runs a scripted session and keeps what it meets.
fn play(
    catcher: &Rc<RefCell<Catcher>>,
    change: impl FnOnce(&mut StarConfig),
    names: &[&str],
    script: impl FnOnce(&mut World, &Star) -> Result<(), Stop>,
) {
    let ring = Keyring::new(chacha20_poly1305());
    let mut world = World::new(SEED);
    let mut config = StarConfig::new(ring.suite());
    change(&mut config);
    {
        let mut catcher = catcher.borrow_mut();
        catcher.ring = Some(ring);
        catcher.last.clear();
    }
    world.add_checker(catcher.clone());
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let star = Star::with_names(&mut world, config, &names).unwrap();
    if let Err(stop) = script(&mut world, &star) {
        panic!("{stop}\n{}", world.trace().tail(60));
    }
}

fn policy(change: impl FnOnce(&mut Policy)) -> impl FnOnce(&mut StarConfig) {
    |config| change(&mut config.policy)
}

fn join(world: &mut World, star: &Star, index: usize) -> Result<(), Stop> {
    world.with(star.members[index], |member, cx| member.join(cx))?.unwrap();
    Ok(())
}

pub(crate) fn sessions() -> BTreeMap<Cell, Vec<Sample>> {
    let catcher = shared(Catcher::default());
    let nothing = |_: &mut StarConfig| {};
    let three = &["m1", "m2", "m3"][..];

    // Everything arrives twice; two join within the grace of the first rekey; data; a leave.
    play(&catcher, nothing, three, |world, star| {
        world.set_adversary(ReplayAll { after: Duration::from_millis(1700), times: 1 });
        star.join_all(world, MINUTE)?;
        world.run_for(SECOND * 3)?;
        star.say(world, 0, b"hello")?.unwrap();
        star.say(world, 9, b"welcome")?.unwrap();
        world.run_for(SECOND * 7)?;
        world.with(star.members[1], |member, cx| member.leave(cx))?.unwrap();
        world.run_for(SECOND * 8)
    });
    // Answers are lost, so requests come again.
    for ids in [&[("RA-T1", 2)][..], &[("RA-T2", 2)], &[("RA-J2", 2)], &[("RA-CM", 3)], &[("RA-R", 2)], &[("RA-CL", 3)]]
    {
        play(&catcher, nothing, &["m1"], |world, star| {
            world.set_adversary(lose(ids));
            star.join_all(world, MINUTE)
        });
    }
    // The application takes its time to decide.
    play(
        &catcher,
        |config| config.access = Access::Ask,
        &["m1"],
        |world, star| {
            world.set_adversary(ReplayAll { after: Duration::from_millis(600), times: 2 });
            join(world, star, 0)?;
            world.run_for(SECOND * 2)?;
            let asked = world.events(star.leader).iter().find_map(|event| match event {
                Event::AdmissionWanted { ticket, .. } => Some(*ticket),
                _ => None,
            });
            world.with(star.leader, |leader, cx| leader.admit(cx, asked.unwrap(), true))?.unwrap();
            world.run_for(SECOND * 4)
        },
    );
    // Nobody is on the list.
    play(
        &catcher,
        |config| config.access = Access::List(BTreeSet::new()),
        &["m1"],
        |world, star| {
            world.set_adversary(Gang(vec![Box::new(lose(&[("RA-J2", 1)]))]));
            join(world, star, 0)?;
            world.run_for(SECOND * 4)
        },
    );
    // The third party's database is slow; it does not know everybody.
    play(&catcher, nothing, &["m1", "stranger"], |world, star| {
        let waiting = shared(Vec::new());
        let tickets = waiting.clone();
        world.set_app(star.third_party, move |_: &mut ThirdParty, _, moment| {
            if let Moment::Event(Event::LookupWanted { ticket, leader, member }) = moment {
                tickets.borrow_mut().push((*ticket, leader.clone(), member.clone()));
            }
        })?;
        join(world, star, 0)?;
        join(world, star, 1)?;
        world.run_for(SECOND)?;
        let suite = star.config.suite.clone();
        for (ticket, leader, member) in waiting.borrow_mut().drain(..) {
            let records = star::records(&*suite, &leader, &member);
            world.with(star.third_party, |third, cx| third.answer(cx, ticket, &records))?.unwrap();
        }
        world.run_for(SECOND * 2)
    });
    // A roster of several pages.
    let long: Vec<String> = (0..8).map(|n| format!("{n}{}", "x".repeat(200))).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let datagrams = |config: &mut StarConfig| {
        config.link = LinkConfig::DATAGRAM;
        config.policy.frame_limit = 1200;
    };
    play(&catcher, datagrams, &long, |world, star| star.join_all(world, MINUTE));
    // A key does not arrive, and the member notices; later ones find it with its view too old.
    play(&catcher, policy(|policy| policy.grace = SECOND * 2), three, |world, star| {
        join(world, star, 0)?;
        join(world, star, 1)?;
        world.run_for(SECOND * 9)?;
        let to = star.members[0].id;
        let keys = move |frame: &InTransit, tables: &Tables| frame.to == to && tables.id(&frame.bytes) == "RA-R";
        world.set_adversary(DropMatching(keys));
        join(world, star, 2)?;
        world.run_for(SECOND * 6)?;
        star.say(world, 9, b"early")?.unwrap();
        world.with(star.leader, |leader, cx| leader.rekey(cx))?.unwrap();
        world.run_for(SECOND * 3)?;
        star.say(world, 9, b"earlier")?.unwrap();
        world.retire_adversary();
        world.run_for(SECOND * 10)
    });
    // A newcomer has its key and waits for the view; a newer key comes, and data.
    play(
        &catcher,
        policy(|policy| (policy.grace, policy.settle) = (Duration::ZERO, Duration::ZERO)),
        three,
        |world, star| {
            join(world, star, 0)?;
            world.run_for(SECOND * 3)?;
            let to = star.members[1].id;
            let pages = move |frame: &InTransit, tables: &Tables| frame.to == to && tables.id(&frame.bytes) == "RA-CL";
            world.set_adversary(DropMatching(pages));
            join(world, star, 1)?;
            world.run_for(SECOND)?;
            star.say(world, 0, b"to the newcomer")?.unwrap();
            world.with(star.leader, |leader, cx| leader.rekey(cx))?.unwrap();
            world.run_for(SECOND)?;
            world.retire_adversary();
            world.run_for(SECOND * 8)
        },
    );
    // Nothing arrives, until the member is stale; then everything does.
    play(&catcher, nothing, three, |world, star| {
        join(world, star, 0)?;
        join(world, star, 1)?;
        world.run_for(SECOND * 8)?;
        let to = star.members[0].id;
        world.set_adversary(DropMatching(move |frame: &InTransit, _: &Tables| frame.to == to));
        world.run_for(Duration::from_millis(15_900))?;
        world.retire_adversary();
        star.say(world, 9, b"to the stale")?.unwrap();
        world.with(star.leader, |leader, cx| leader.rekey(cx))?.unwrap();
        world.run_for(SECOND * 6)
    });
    // Nothing comes from a member, until it is suspected.
    play(&catcher, policy(|policy| policy.on_silence = OnSilence::Report), &["m1"], |world, star| {
        star.join_all(world, MINUTE)?;
        let from = star.members[0].id;
        world.set_adversary(DropMatching(move |frame: &InTransit, _: &Tables| frame.from == from));
        world.run_for(Duration::from_millis(22_000))?;
        world.retire_adversary();
        world.run_for(SECOND * 6)
    });
    // Members ask that others go; the policy changes; the leader closes.
    play(&catcher, policy(|policy| policy.eject_requests = EjectRequests::Granted), three, |world, star| {
        star.join_all(world, MINUTE)?;
        world.run_for(SECOND * 6)?;
        let targets = [1, 2].map(|n| world.get(star.members[n]).unwrap().cid().unwrap());
        for target in targets {
            world.with(star.members[0], |member, cx| member.request_ejection(cx, target))?.unwrap();
        }
        world.run_for(SECOND)?;
        let calmer = Policy { grace: SECOND * 9, ..star.config.policy.clone() };
        world.with(star.leader, |leader, cx| leader.change_policy(cx, calmer))?.unwrap();
        world.run_for(SECOND * 6)?;
        world.with(star.leader, |leader, cx| leader.close(cx))?.unwrap();
        world.run_for(SECOND * 6)
    });
    // A farewell gets lost, and its answer.
    play(&catcher, nothing, &["m1", "m2"], |world, star| {
        star.join_all(world, MINUTE)?;
        world.run_for(SECOND * 6)?;
        star.say(world, 1, b"before")?.unwrap();
        let leaver = star.members[0];
        let from =
            move |frame: &InTransit, tables: &Tables| frame.from == leaver.id && tables.id(&frame.bytes) == "RA-CM";
        let to = move |frame: &InTransit, tables: &Tables| frame.to == leaver.id && tables.id(&frame.bytes) == "RA-CL";
        world.set_adversary(DropMatching(from));
        world.with(leaver, |member, cx| member.leave(cx))?.unwrap();
        world.with(star.leader, |leader, cx| leader.rekey(cx))?.unwrap();
        star.say(world, 1, b"after")?.unwrap();
        world.run_for(SECOND)?;
        world.set_adversary(DropMatching(to));
        world.run_for(SECOND * 6)?;
        world.retire_adversary();
        world.run_for(SECOND * 9)
    });
    // A member is back under its name while it is still there: by crash, with and without the policy's consent.
    for takeover in [true, false] {
        play(&catcher, policy(move |policy| policy.takeover = takeover), &["m1", "m2"], |world, star| {
            star.join_all(world, MINUTE)?;
            let config = star.config.clone();
            world.set_factory(star.members[0], move |_| star::member_machine(&config, "m1").unwrap())?;
            world.crash(star.members[0])?;
            world.restart(star.members[0])?;
            join(world, star, 0)?;
            world.run_for(SECOND * 12)
        });
    }
    // Two of one name are offered a place at once, and the policy lets none replace the other.
    play(&catcher, policy(|policy| policy.takeover = false), &["m1", "m1"], |world, star| {
        join(world, star, 0)?;
        join(world, star, 1)?;
        world.run_for(SECOND * 2)?;
        let busy = Event::JoinFailed(JoinFailure::Ended(EndReason::Busy));
        assert!(world.events(star.members[1]).contains(&busy), "RA §4.1: end(busy)");
        world.run_for(SECOND * 12)
    });
    // Each protection, and views hidden.
    for protection in Protection::ALL {
        for (origin, views) in [(true, Views::Exact), (false, Views::Exact), (false, Views::Hidden)] {
            let wanted = Policy { protection, origin, views, ..Policy::default() };
            if wanted.check().is_ok() {
                play(&catcher, policy(|policy| *policy = wanted), &["m1", "m2"], |world, star| {
                    star.join_all(world, MINUTE)?;
                    world.run_for(SECOND * 2)?;
                    star.say(world, 0, b"one")?.unwrap();
                    star.say(world, 9, b"two")?.unwrap();
                    world.run_for(SECOND)
                });
            }
        }
    }
    // Heartbeats on a shared link: to members that are in, behind, on their way out, and gone.
    let channel = |config: &mut StarConfig| {
        config.policy.rekey_on = Causes::of(Cause::Leave);
        config.policy.views = Views::BestEffort;
    };
    play(&catcher, channel, three, |world, star| {
        join(world, star, 0)?;
        join(world, star, 1)?;
        world.run_for(SECOND * 3)?;
        let wire = world.multicast(LinkConfig::DATAGRAM.max_frame(65_536));
        world.attach(wire, star.leader)?;
        world.attach(wire, star.members[0])?;
        join(world, star, 2)?;
        world.run_for(SECOND * 6)?;
        let at = star.members[0].id;
        world.with(star.leader, |leader, cx| leader.rekey(cx))?.unwrap();
        world.set_adversary(DropMatching(move |frame: &InTransit, tables: &Tables| {
            frame.to == at && tables.id(&frame.bytes) == "RA-R"
        }));
        world.run_for(SECOND * 11)?;
        world.set_adversary(DropMatching(move |frame: &InTransit, tables: &Tables| {
            frame.from == at && tables.id(&frame.bytes) == "RA-CM"
        }));
        world.with(star.members[0], |member, cx| member.leave(cx))?.unwrap();
        world.run_for(SECOND * 6)?;
        world.retire_adversary();
        world.run_for(SECOND * 12)
    });
    // No detection, no rekey on join: other paths of the same.
    let lax = |policy: &mut Policy| {
        *policy = Policy { detection: None, views: Views::WithEachKey, rekey_on: Causes::NONE, ..Policy::default() };
    };
    play(&catcher, policy(lax), &["m1"], |world, star| star.join_all(world, MINUTE));
    let mut samples = catcher.take().samples;
    for (cell, kept) in private_words() {
        samples.entry(cell).or_default().extend(kept);
    }
    samples
}

/// What a private word makes leader and members say, each frame twice. Only the first frames after it count: records of words
/// are among them.
fn private_words() -> BTreeMap<Cell, Vec<Sample>> {
    let catcher = shared(Catcher::default());
    play(
        &catcher,
        |_| {},
        &["m1", "m2", "m3"],
        |world, star| {
            star.join_all(world, MINUTE)?;
            world.run_for(SECOND * 6)?;
            world.set_adversary(ReplayAll { after: Duration::from_millis(300), times: 1 });
            catcher.borrow_mut().samples.clear();
            let mut to: Vec<MemberId> = (1..3).map(|at| world.get(star.members[at]).unwrap().cid().unwrap()).collect();
            to.push(MemberId::LEADER);
            let say = |member: &mut Member, cx: &mut Cx<'_>| member.say_privately(cx, &to, Port::Application, b"psst");
            world.with(star.members[0], say)?.unwrap();
            world.run_for(SECOND)?;
            let heard = |event: &Event| matches!(event, Event::Gossip(message) if message.payload == b"psst"[..]);
            assert!(star.members[1..].iter().all(|member| world.events(*member).iter().any(heard)));
            Ok(())
        },
    );
    catcher.take().samples
}
