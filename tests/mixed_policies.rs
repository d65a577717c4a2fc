//! The policies of report §2.2.3 to §2.2.5 where parts are as published: when the key is changed, what becomes of requests to
//! eject, of silence, of views, and how data go.
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod mixed;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use sodality::antigone::mixed::Member;
use sodality::crypto::Key;
use sodality::endpoint::Endpoint as _;
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Cause, Causes, EjectVerdict, Event, Port};
use sodality::group::private::{self, Word};
use sodality::identity::{MemberId, Name};
use sodality::policy::{Communication, Editions, EjectRequests, Mix, OnSilence, Part, Policy, Protection, Views};
use sodality::sim::mixed::{MixedConfig, MixedStar};
use sodality::sim::{Checker, LinkConfig, NodeId, Observed, SimRng, Tables, World};
use sodality::wire::antigone::PrivateWord;
use sodality::wire::published::{KeyDelivery, LeaderBeat, Rekey};
use sodality::wire::{Edition, Header, Message as _, System};

use mixed::{
    SECOND, all_hear_all, alone, but, command, joined, leader, member, say_ok, settled, terms, told, with_policy,
};

/// Long enough for silence to be noticed: three misses and one, of five seconds, and the pace of repetition.
const SILENCE: Duration = Duration::from_secs(24);

/// All as published, each key distribution beside the other of everything else, and two between.
fn mixes() -> [Editions; 5] {
    [
        Editions::PUBLISHED,
        alone(Part::Keys),
        but(Part::Keys),
        Editions::from_bits(0b0101_0101),
        Editions::from_bits(0b1010_1010),
    ]
}

/// Who sent what: the id of the message, and the frame.
type Sent = (NodeId, &'static str, Vec<u8>);

/// What went over the wire.
#[derive(Clone, Default)]
struct Wire(Rc<RefCell<Vec<Sent>>>);

impl Checker for Wire {
    fn name(&self) -> &'static str {
        "Wire"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        let tables = Tables::default();
        for transmit in step.sent {
            self.0.borrow_mut().push((step.node, tables.id(&transmit.frame), transmit.frame.to_vec()));
        }
        Ok(())
    }
}

impl Wire {
    fn of(&self, id: &str) -> Vec<Vec<u8>> {
        self.0.borrow().iter().filter(|(_, of, _)| *of == id).map(|(.., frame)| frame.clone()).collect()
    }

    fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    fn count(&self) -> usize {
        self.0.borrow().len()
    }
}

fn watched(seed: u64, config: MixedConfig, members: usize) -> (World, MixedStar, Wire) {
    let mut world = World::new(seed);
    world.trace_mut().keep(300);
    let wire = Wire::default();
    world.add_checker(wire.clone());
    let star = MixedStar::add(&mut world, config, members).unwrap();
    star.join_all(&mut world, SECOND * 20).unwrap();
    (world, star, wire)
}

/// What the leader installed since, by cause.
fn causes(world: &mut World, star: &MixedStar) -> Vec<Causes> {
    let events = world.take_events(star.leader);
    let installed = |event: Event| match event {
        Event::Installed { causes, .. } => Some(causes),
        _ => None,
    };
    events.into_iter().filter_map(installed).collect()
}

/// Whether all who should be in are, with the leader's key.
fn whole(world: &World, star: &MixedStar, within: &[usize]) -> bool {
    let lea = leader(world, star);
    lea.member_count() == within.len()
        && within.iter().all(|index| {
            let member = member(world, star, *index);
            member.is_current() && member.epoch() == lea.epoch()
        })
}

fn becomes_whole(world: &mut World, star: &MixedStar, within: &[usize], what: &str) {
    if let Err(stop) = world.eventually(SECOND * 8, what, |world| whole(world, star, within)) {
        panic!("{stop}\n{}", world.trace().tail(60));
    }
}

/// One joins, one leaves, one is ejected, one falls silent, one takes its own place: the key changes where the policy says
/// so, and nowhere else.
#[test]
fn the_key_changes_for_the_causes_of_the_policy_and_no_others() {
    const ALL: [Cause; 5] = [Cause::Join, Cause::Leave, Cause::Eject, Cause::Failure, Cause::Takeover];
    let sets = ALL.into_iter().map(Causes::of).chain([Causes::NONE, ALL.into_iter().fold(Causes::NONE, Causes::with)]);
    for rekey_on in sets {
        for editions in mixes() {
            let config = with_policy(terms(editions), |policy| policy.rekey_on = rekey_on);
            let (mut world, mut star) = joined(1, config, 4);
            let first = leader(&world, &star).epoch();
            causes(&mut world, &star);
            let check = |world: &mut World, star: &MixedStar, cause: Cause| {
                let installed = causes(world, star);
                let right = if rekey_on.contains(cause) { vec![Causes::of(cause)] } else { Vec::new() };
                assert_eq!(installed, right, "{editions:?}: {cause:?} under {rekey_on:?}");
            };
            let newcomer = star.add_member(&mut world, "m5").unwrap();
            command(&mut world, newcomer, Member::join).unwrap();
            becomes_whole(&mut world, &star, &[0, 1, 2, 3, 4], "one has joined");
            check(&mut world, &star, Cause::Join);
            command(&mut world, star.members[0], Member::leave).unwrap();
            becomes_whole(&mut world, &star, &[1, 2, 3, 4], "one has left");
            check(&mut world, &star, Cause::Leave);
            let cid = member(&world, &star, 1).cid().unwrap();
            command(&mut world, star.leader, |leader, cx| leader.eject(cx, cid)).unwrap();
            becomes_whole(&mut world, &star, &[2, 3, 4], "one is ejected");
            check(&mut world, &star, Cause::Eject);
            world.crash(star.members[2]).unwrap();
            world.run_for(SILENCE).unwrap();
            becomes_whole(&mut world, &star, &[3, 4], "one is silent");
            check(&mut world, &star, Cause::Failure);
            world.crash(star.members[3]).unwrap();
            let again = sodality::sim::mixed::member_machine(&star.config, "m4").unwrap();
            world.restart_with(star.members[3], again).unwrap();
            command(&mut world, star.members[3], Member::join).unwrap();
            becomes_whole(&mut world, &star, &[3, 4], "one takes its own place");
            let installed = causes(&mut world, &star);
            let both = [Cause::Join, Cause::Takeover].into_iter().filter(|cause| rekey_on.contains(*cause));
            let both = both.fold(Causes::NONE, Causes::with);
            assert_eq!(installed, if both.is_empty() { vec![] } else { vec![both] }, "{editions:?} {rekey_on:?}");
            // One key for the whole session, if nothing changes it.
            assert_eq!(leader(&world, &star).epoch() == first, rekey_on.is_empty());
            command(&mut world, star.leader, |leader, cx| leader.rekey(cx)).unwrap();
            becomes_whole(&mut world, &star, &[3, 4], "the key is changed by command");
            assert_eq!(causes(&mut world, &star), [Causes::of(Cause::Command)]);
            assert_ne!(leader(&world, &star).epoch(), first);
        }
    }
}

#[test]
fn the_key_changes_by_age_by_messages_and_by_bytes() {
    let only = |cause: Cause, change: fn(&mut Policy)| {
        move |policy: &mut Policy| {
            policy.rekey_on = Causes::of(cause);
            change(policy);
        }
    };
    for editions in mixes() {
        let aged = only(Cause::Period, |policy| policy.key_lifetime = Some(SECOND * 10));
        let (mut world, star) = joined(2, with_policy(terms(editions), aged), 2);
        causes(&mut world, &star);
        world.run_for(SECOND * 35).unwrap();
        assert_eq!(causes(&mut world, &star), [Causes::of(Cause::Period); 3], "{editions:?}");
        assert!(settled(&world, &star));

        let counted = only(Cause::Messages, |policy| policy.key_messages = Some(4));
        let (mut world, star) = joined(2, with_policy(terms(editions), counted), 2);
        causes(&mut world, &star);
        for n in 0..9u8 {
            say_ok(&mut world, &star, usize::from(n % 3), &[n]);
            world.run_for(SECOND / 2).unwrap();
        }
        assert_eq!(causes(&mut world, &star), [Causes::of(Cause::Messages); 2], "{editions:?}");
        assert!(settled(&world, &star));

        let weighed = only(Cause::Bytes, |policy| policy.key_bytes = Some(1_000));
        let (mut world, star) = joined(2, with_policy(terms(editions), weighed), 2);
        causes(&mut world, &star);
        for n in 0..7u8 {
            say_ok(&mut world, &star, usize::from(n % 3), &[n; 300]);
            world.run_for(SECOND / 2).unwrap();
        }
        assert_eq!(causes(&mut world, &star), [Causes::of(Cause::Bytes)], "{editions:?}");
        assert!(settled(&world, &star));
    }
}

/// Both editions of leaving, each beside published and beside repaired parts.
#[test]
fn requests_to_eject_are_refused_asked_about_or_granted() {
    for editions in [Editions::PUBLISHED, alone(Part::Leave), but(Part::Leave), alone(Part::Keys)] {
        let answers = !editions.is_published(Part::Leave);
        let group = |requests| {
            let config = with_policy(terms(editions), |policy| policy.eject_requests = requests);
            joined(3, config, 3)
        };
        let ask = |world: &mut World, star: &MixedStar, target: &str| {
            let target = Name::new(target).unwrap();
            command(world, star.members[0], |member, cx| member.request_ejection(cx, &target)).unwrap();
            world.run_for(SECOND).unwrap();
        };
        let verdicts = |world: &World, star: &MixedStar| {
            told(world, star.members[0], |event| match event {
                Event::EjectionAnswered { verdict, .. } => Some(*verdict),
                _ => None,
            })
        };
        let wanted = |world: &World, star: &MixedStar| {
            told(world, star.leader, |event| match event {
                Event::EjectionWanted { ticket, name, .. } => Some((*ticket, name.as_str().to_owned())),
                _ => None,
            })
        };
        let right = |verdict| if answers { vec![verdict] } else { Vec::new() };

        let (mut world, star) = group(EjectRequests::Refused);
        ask(&mut world, &star, "m2");
        assert_eq!(leader(&world, &star).member_count(), 3);
        assert_eq!(verdicts(&world, &star), right(EjectVerdict::NotAllowed), "{editions:?}");

        let (mut world, star) = group(EjectRequests::Granted);
        ask(&mut world, &star, "nobody");
        assert_eq!(verdicts(&world, &star), right(EjectVerdict::NoSuchMember), "{editions:?}");
        ask(&mut world, &star, "m2");
        becomes_whole(&mut world, &star, &[0, 2], "one is out");
        assert_eq!(verdicts(&world, &star).last().copied(), answers.then_some(EjectVerdict::Ejected), "{editions:?}");

        for (eject, verdict) in [(true, EjectVerdict::Ejected), (false, EjectVerdict::Denied)] {
            let (mut world, star) = group(EjectRequests::Asked);
            ask(&mut world, &star, "m2");
            let asked = wanted(&world, &star);
            assert_eq!((asked.len(), asked[0].1.as_str()), (1, "m2"), "{editions:?}");
            command(&mut world, star.leader, |leader, cx| leader.decide_ejection(cx, asked[0].0, eject)).unwrap();
            let within: &[usize] = if eject { &[0, 2] } else { &[0, 1, 2] };
            becomes_whole(&mut world, &star, within, "it is decided");
            world.run_for(SECOND).unwrap();
            assert_eq!(verdicts(&world, &star), right(verdict), "{editions:?}");
        }
        // Silence denies.
        let (mut world, star) = group(EjectRequests::Asked);
        ask(&mut world, &star, "m2");
        world.run_for(star.config.limits.decision_time + SECOND * 2).unwrap();
        assert_eq!(leader(&world, &star).member_count(), 3);
        assert_eq!(verdicts(&world, &star), right(EjectVerdict::Denied), "{editions:?}");
    }
}

/// Without detection nobody sends a heartbeat, nothing is noticed, and the key is asked for when data come under another.
#[test]
fn without_detection_nothing_is_said_and_nothing_noticed() {
    for editions in mixed::some_mixes() {
        let config = with_policy(terms(editions), |policy| policy.detection = None);
        let (mut world, star, wire) = watched(4, config, 2);
        world.run_for(SECOND * 5).unwrap();
        wire.clear();
        world.run_for(SECOND * 120).unwrap();
        assert_eq!(wire.count(), 0, "{editions:?}: {:?}", wire.0.borrow());
        world.crash(star.members[1]).unwrap();
        world.run_for(SECOND * 120).unwrap();
        assert_eq!(leader(&world, &star).member_count(), 2);
        assert!(member(&world, &star, 0).is_current());
        world.crash(star.leader).unwrap();
        world.run_for(SECOND * 120).unwrap();
        assert!(member(&world, &star, 0).is_current(), "{editions:?}");
    }
}

#[test]
fn a_silent_member_is_reported_or_removed() {
    for on_silence in [OnSilence::Report, OnSilence::Remove] {
        for editions in mixes() {
            let config = with_policy(terms(editions), |policy| policy.on_silence = on_silence);
            let (mut world, star) = joined(5, config, 2);
            world.run_for(SECOND * 6).unwrap();
            world.partition([star.members[1]]).unwrap();
            world.run_for(SILENCE).unwrap();
            let suspected = told(&world, star.leader, |event| matches!(event, Event::Suspected { .. }).then_some(()));
            assert_eq!(suspected.len(), 1, "{editions:?}");
            let left = if on_silence == OnSilence::Report { 2 } else { 1 };
            assert_eq!(leader(&world, &star).member_count(), left, "{editions:?}");
            let gone = told(&world, star.leader, |event| match event {
                Event::MemberRemoved { cause, .. } => Some(*cause),
                _ => None,
            });
            assert_eq!(gone, if left == 1 { vec![Cause::Failure] } else { vec![] });
            let stale = told(&world, star.members[1], |event| (*event == Event::Stale).then_some(()));
            assert_eq!(stale.len(), 1, "{editions:?}: T_max is over");
            assert!(!member(&world, &star, 1).is_current());
            world.heal();
            world.run_for(SECOND * 8).unwrap();
            // Who was only reported is there again as soon as it is heard.
            assert_eq!(settled(&world, &star), left == 2, "{editions:?}\n{}", world.trace().tail(40));
        }
    }
}

/// D12: S_SL changes with each heartbeat, or with the key alone. The second lets a heartbeat be played again (A16).
#[test]
fn both_readings_of_the_leaders_number() {
    for per_heartbeat in [true, false] {
        let config = terms(Editions::PUBLISHED);
        let mix = Mix { per_heartbeat, ..config.policy.mix.unwrap() };
        let config = with_policy(config, |policy| policy.mix = Some(mix));
        let (mut world, star, wire) = watched(6, config, 2);
        wire.clear();
        world.run_for(SECOND * 22).unwrap();
        let numbers = |wire: &Wire| -> Vec<u64> {
            wire.of("AN-HL").iter().map(|beat| LeaderBeat::parse(beat).unwrap().message.sequence).collect()
        };
        let under_first = numbers(&wire);
        assert!(under_first.len() >= 4);
        let pairs = under_first.windows(2);
        assert!(pairs.clone().all(|pair| if per_heartbeat { pair[0] < pair[1] } else { pair[0] == pair[1] }));
        let last = *under_first.last().unwrap();
        assert_eq!(leader(&world, &star).sequence(), last);
        let old = wire.of("AN-HL").pop().unwrap();
        wire.clear();
        command(&mut world, star.leader, |leader, cx| leader.rekey(cx)).unwrap();
        world.run_for(SECOND * 12).unwrap();
        let rekeyed = Rekey::parse(&wire.of("AN-R")[0]).unwrap().message.sequence;
        assert_eq!(rekeyed, last + 1);
        assert!(numbers(&wire).iter().all(|number| if per_heartbeat { *number > rekeyed } else { *number == rekeyed }));
        // Played again: the last one of this key, and one of the key before.
        let link = world.links_between(star.members[0], star.leader)[0];
        let newest = wire.of("AN-HL").pop().unwrap();
        for (beat, refused) in [(newest, per_heartbeat), (old, true)] {
            world.take_events(star.members[0]);
            world.inject(link, beat, Duration::ZERO);
            world.run_for(SECOND / 100).unwrap();
            let replays = told(&world, star.members[0], |event| match event {
                Event::Rejected { why: Reason::Replayed, .. } => Some(()),
                _ => None,
            });
            assert_eq!(replays.len(), usize::from(refused), "per heartbeat: {per_heartbeat}");
        }
    }
}

/// AN-T2s instead of AN-T2, under all that may stand beside it.
#[test]
fn groups_with_the_stronger_reply_come_together() {
    for editions in mixed::some_mixes() {
        let config = terms(editions);
        let mix = Mix { strong_reply: true, ..config.policy.mix.unwrap() };
        let (mut world, star, wire) = watched(7, with_policy(config, |policy| policy.mix = Some(mix)), 2);
        assert!(wire.of("AN-T2").is_empty());
        assert_eq!(wire.of("AN-T2s").is_empty(), !editions.is_published(Part::ThirdParty), "{editions:?}");
        all_hear_all(&mut world, &star).unwrap();
    }
}

#[test]
fn members_are_named_with_each_key_or_not_at_all() {
    for views in [Views::Hidden, Views::WithEachKey] {
        for editions in mixes() {
            let config = with_policy(terms(editions), |policy| policy.views = views);
            let (mut world, star, wire) = watched(8, config, 3);
            command(&mut world, star.leader, |leader, cx| leader.rekey(cx)).unwrap();
            becomes_whole(&mut world, &star, &[0, 1, 2], "the key is changed");
            let names = |world: &World, index: usize| -> Vec<String> {
                let mut all = told(world, star.members[index], |event| match event {
                    Event::MemberAdded { name, .. } => Some(name.as_str().to_owned()),
                    _ => None,
                });
                all.sort();
                all
            };
            let tells = views == Views::WithEachKey;
            for frame in wire.of("AN-K") {
                assert_eq!(KeyDelivery::parse(&frame).unwrap().message.members.iter().count() > 0, tells);
            }
            for index in 0..3 {
                // Repaired keys bring no names in a mix: nobody has numbered views. A member knows the leader and itself.
                let all = |members: std::ops::RangeInclusive<usize>| {
                    std::iter::once("lea".into()).chain(members.map(|n| format!("m{n}"))).collect()
                };
                let right: Vec<String> = match (tells, editions.is_published(Part::Keys)) {
                    (false, _) => vec![],
                    (true, false) => all(index + 1..=index + 1),
                    (true, true) => all(1..=3),
                };
                assert_eq!(names(&world, index), right, "{editions:?} {views:?}");
            }
            world.take_events(star.members[0]);
            command(&mut world, star.members[2], Member::leave).unwrap();
            becomes_whole(&mut world, &star, &[0, 1], "one has left");
            let gone = told(&world, star.members[0], |event| match event {
                Event::MemberRemoved { name, cause, .. } => Some((name.as_str().to_owned(), *cause)),
                _ => None,
            });
            let named = tells && editions.is_published(Part::Keys);
            assert_eq!(gone, if named { vec![("m3".to_owned(), Cause::Missed)] } else { vec![] }, "{editions:?}");
            all_hear(&mut world, &star, &[0, 1]);
        }
    }
}

/// Each of these, and the leader, says something that the others hear once.
fn all_hear(world: &mut World, star: &MixedStar, within: &[usize]) {
    let nodes = |index: usize| star.members.get(index).map_or(star.leader.into(), |member| NodeId::from(*member));
    let all: Vec<usize> = within.iter().copied().chain([star.members.len()]).collect();
    for from in &all {
        let text = format!("{from} speaks");
        say_ok(world, star, *from, text.as_bytes());
        world.run_for(SECOND / 2).unwrap();
        for other in &all {
            let heard = MixedStar::heard(world, nodes(*other), text.as_bytes());
            assert_eq!(heard, usize::from(other != from), "{from} to {other}\n{}", world.trace().tail(30));
        }
    }
}

/// Report §2.1: point to point, asymmetric, symmetric. Under each protection, with and without a shared link.
#[test]
fn data_go_as_the_policy_says() {
    for communication in Communication::ALL {
        for shared in [true, false] {
            for editions in mixes() {
                for protection in Protection::ALL {
                    let config = with_policy(terms(editions), |policy| {
                        (policy.communication, policy.protection) = (communication, protection);
                    });
                    let multicast = shared.then(|| LinkConfig::DATAGRAM.max_frame(65_536));
                    let (mut world, star, wire) = watched(9, MixedConfig { multicast, ..config }, 3);
                    world.run_for(SECOND * 6).unwrap();
                    wire.clear();
                    all_hear(&mut world, &star, &[0, 1, 2]);
                    let relayed = sodality::endpoint::Endpoint::stats(leader(&world, &star)).relayed;
                    let symmetric = shared && communication == Communication::Symmetric;
                    assert_eq!(relayed, if symmetric { 0 } else { 3 }, "{editions:?} {communication:?}");
                    let data = ["AN-Di", "AN-Dc", "AN-Db", "AN-Dn", "RA-D", "RA-Dm"];
                    let sent: usize = data.iter().map(|id| wire.of(id).len()).sum();
                    assert_eq!(
                        sent,
                        4 + usize::try_from(relayed).unwrap(),
                        "each is handed out once by each on its way"
                    );
                }
            }
        }
    }
}

/// Where any part is as published there are no private words, and that is said; a mix takes the frames of none.
#[test]
fn a_mix_has_no_private_words() {
    for editions in [Editions::PUBLISHED, alone(Part::Data), alone(Part::Keys), alone(Part::ThirdParty)] {
        let (mut world, star) = joined(6, terms(editions), 2);
        let refused = Err(CommandError::Misuse(Misuse::NoPrivateWords));
        let to = [MemberId(1), MemberId(2)];
        let said = world.with(star.members[0], |member, cx| member.say_privately(cx, &to, Port::Application, b"no"));
        assert_eq!(said.unwrap(), refused, "{editions:?}");
        let said = world.with(star.leader, |leader, cx| leader.say_privately(cx, &to, Port::Application, b"no"));
        assert_eq!(said.unwrap(), refused, "{editions:?}");
        let suite = star.config.suite.clone();
        let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
        let word = Word { group: world.get(star.leader).unwrap().group(), cid: MemberId(1), number: 1 };
        let key = Key::new(suite.fresh_secret(&mut SimRng::new(6), suite.sizes().group_key).unwrap());
        let frame = private::seal::<PrivateWord>(&*suite, header, &key, word, 0, b"no").unwrap();
        let link = world.links_of(star.leader)[0];
        let before = world.get(star.leader).unwrap().stats().rejections();
        world.with(star.leader, |leader, cx| leader.handle_frame(cx, link, BytesMut::from(&*frame))).unwrap().unwrap();
        assert_eq!(world.get(star.leader).unwrap().stats().rejections(), before + 1, "{editions:?}");
    }
}
