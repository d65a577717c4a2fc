//! The goals S3 to S10 of RA §1, each as a checker: with all checks of the machines the run holds; with the one named check
//! left out the checker objects, in words that are compared. S1 and S2 are in `goals_of_secrecy.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "scene/mod.rs"]
mod scene;

use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use sodality::antigone::Member;
use sodality::antigone::data::{DataSealer, Sending};
use sodality::crypto::Key;
use sodality::crypto::keys::role;
use sodality::endpoint::{Cx, Endpoint, Instant, Link, LinkInfo, Transmit, Wake};
use sodality::error::Fatal;
use sodality::event::{Cause, Causes, EndReason, Event, Port, Stats};
use sodality::fingerprint::{Fingerprint, Sink};
use sodality::group::{Check, Checks, Limits, SealLimits};
use sodality::identity::{Epoch, Version};
use sodality::policy::{OnSilence, Policy, Views};
use sodality::sim::check::{Counts, Goals, RefusalsChangeNothing};
use sodality::sim::star::member_machine;
use sodality::sim::{InTransit, NodeId, SimRng, Stop, Why, World, shared};
use sodality::wire::antigone::{ChannelStatus, End, Flags, Hello, Kind, MemberBody, MemberRecord};
use sodality::wire::field::VerifyingKey;
use sodality::wire::shape::Content;
use sodality::wire::{Edition, Field, Header, System};

use scene::{SECOND, SOON, Scene, T_MAX, config, draft, number, number_in, strangers_link};

type Story = fn(&mut Scene) -> Result<(), Stop>;

const THREE: [&str; 3] = ["m1", "m2", "m3"];

/// Runs a story with these checks of the machines; all checkers look on.
fn tell(checks: Checks, policy: &Policy, limits: Limits, story: Story) -> (Result<(), Stop>, Counts) {
    let mut config = config(policy.clone(), checks);
    config.limits = Limits { checks, ..limits };
    let mut world = World::new(11);
    let goals = Goals::watch(&mut world, &config);
    let mut scene = Scene::within(world, config, &THREE);
    let outcome = story(&mut scene);
    (outcome, goals.counts())
}

/// With all checks the story holds; without this one that checker objects, in these words. Gives what was looked at.
#[track_caller]
fn falls(check: Check, policy: &Policy, story: Story, checker: &str, words: &str) -> Counts {
    falls_with(Limits::default(), &[], check, policy, story, (checker, words))
}

/// As [`falls`], where these other checks are left out both times.
#[track_caller]
fn falls_with(
    limits: Limits,
    others: &[Check],
    check: Check,
    policy: &Policy,
    story: Story,
    (checker, words): (&str, &str),
) -> Counts {
    let most = others.iter().fold(Checks::ALL, |checks, other| checks.without(*other));
    let (held, counts) = tell(most, policy, limits, story);
    assert_eq!(held, Ok(()), "with {check:?}");
    let (fell, _) = tell(most.without(check), policy, limits, story);
    match fell.expect_err("something must go wrong without the check").why {
        Why::Check { checker: by, text } => {
            println!("without {check:?}, {by}: {text}");
            assert_eq!(by, checker, "{text}");
            assert!(text.contains(words), "{text}");
        }
        other => panic!("without {check:?}: {other}"),
    }
    counts
}

impl Scene {
    /// These members join, one after the other.
    fn join_in_turn(&mut self, members: &[usize]) -> Result<(), Stop> {
        for member in members {
            self.join(*member);
            self.world.run_for(SECOND * 7)?;
        }
        Ok(())
    }

    /// Lets `bytes` come to the holder of `link`.
    fn arrives(&mut self, link: Link, bytes: impl Into<Bytes>) -> Result<(), Stop> {
        self.world.inject(link, bytes, std::time::Duration::ZERO);
        self.world.run_for(SOON)
    }
}

/// The text of a frame of a member who has nothing yet, with this body.
fn text_of(rseq: u64, body: MemberBody<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    let (epoch, view, policy) = (Epoch(0), Version(0), Version(0));
    ChannelStatus { seen: 0, ack: 0, epoch, view, policy, flags: Flags::ASKS, rseq }.put(&mut out);
    body.put(&mut out);
    out.to_vec()
}

/// Somebody else's old request, and a confirmation that nobody sealed.
fn a_stranger_says_hello(scene: &mut Scene) -> Result<(), Stop> {
    scene.join_in_turn(&[0, 1])?;
    let (leader, first) = (scene.star.leader, scene.star.members[0]);
    let of = |frame: &InTransit| frame.from == first.into();
    let request = scene.frames("RA-J1", leader).into_iter().find(of).unwrap();
    let frame = scene.frames("RA-CM", leader).into_iter().find(of).unwrap();
    scene.leave(0);
    scene.world.run_for(SECOND * 12)?;
    let link = strangers_link(scene);
    scene.arrives(link, request.bytes)?;
    // The number is sealed in the offer, and easy to guess: it counts up.
    let cid = scene.leader().open_offers().next().expect("the third party vouches for a replayed request").cid;
    let mut forged = draft(&frame);
    number(&mut forged, "cid", |_| cid.0);
    number(&mut forged, "n", |_| 1);
    forged.text = text_of(1, MemberBody::Record(MemberRecord::Hello(Hello { origin_key: VerifyingKey::NONE })));
    scene.arrives(link, forged.frame())?;
    scene.world.run_for(SECOND * 10)
}

#[test]
fn s3_whoever_is_admitted_has_taken_that_offer() {
    // A policy without signed origin: a confirmation then holds nothing that must be of use later.
    let policy = Policy { origin: false, ..Policy::default() };
    let words = "was admitted as \"m1\", who took no such offer";
    let counts = falls(Check::ChannelBox, &policy, a_stranger_says_hello, "JoinsAgree", words);
    assert_eq!((counts.admissions, counts.joins), (2, 2), "{counts:?}");
}

/// The member's acknowledgements are withheld, so the leader sends its record again.
fn a_record_is_sent_again(scene: &mut Scene) -> Result<(), Stop> {
    let first = NodeId::from(scene.star.members[0]);
    let passed = Cell::new(0);
    scene.hold(move |frame, id| {
        let mine = id == "RA-CM" && frame.from == first;
        passed.set(passed.get() + u32::from(mine));
        mine && passed.get() > 1
    });
    scene.join(0);
    scene.world.run_for(SECOND * 4)?;
    scene.release();
    scene.world.run_for(SECOND * 10)?;
    scene.join_in_turn(&[1, 2])
}

#[test]
fn s4_records_are_accepted_in_order_and_once() {
    let words = "record 1 to or from member 1 was accepted as record 2";
    let counts = falls(Check::RecordOrder, &Policy::default(), a_record_is_sent_again, "RecordsInOrder", words);
    assert!(counts.records >= 6, "{counts:?}");
}

/// A key of the stranger's own, in a block of the next epoch.
fn a_stranger_gives_out_a_key(scene: &mut Scene) -> Result<(), Stop> {
    scene.join_in_turn(&[0, 1])?;
    let block = scene.last("RA-R", scene.star.members[0]);
    let mut forged = draft(&block);
    number_in(forged.clear.find_mut("common").unwrap(), "epoch", |epoch| epoch + 1);
    scene.arrives(block.to_link, forged.frame())?;
    scene.world.run_for(SECOND * 7)
}

/// A block of an epoch that has been.
fn an_old_key_comes_again(scene: &mut Scene) -> Result<(), Stop> {
    scene.join_in_turn(&[0, 1])?;
    scene.rekey();
    scene.world.run_for(SECOND * 7)?;
    let blocks = scene.frames("RA-R", scene.star.members[0]);
    let old = &blocks[blocks.len() - 2];
    scene.arrives(old.to_link, old.bytes.clone())?;
    scene.world.run_for(SECOND * 7)
}

/// The name of a newcomer is changed on the way to a member, and the leader cannot tell it better.
fn a_newcomer_is_announced_under_another_name(scene: &mut Scene) -> Result<(), Stop> {
    scene.join_in_turn(&[0, 1])?;
    let first = NodeId::from(scene.star.members[0]);
    scene.hold(move |frame, id| frame.to == first && matches!(id, "RA-R" | "RA-CL"));
    scene.join(2);
    scene.world.run_for(SOON)?;
    let held = scene.tap.borrow().held[0].clone();
    let mut bytes = held.bytes.to_vec();
    let at = bytes.windows(3).position(|part| part == b"\x02m3").expect("the delta names the newcomer");
    bytes[at + 2] = b'9';
    scene.arrives(held.to_link, bytes)
}

#[test]
fn s5_who_installs_an_epoch_has_what_the_leader_issued_for_it() {
    let usual = Policy::default();
    let counts = falls(
        Check::BlockBox,
        &usual,
        a_stranger_gives_out_a_key,
        "EpochsAgree",
        "installed epoch 4, which the leader never issued",
    );
    assert_eq!(counts.installs, 3, "{counts:?}");
    falls(Check::NewerEpoch, &usual, an_old_key_comes_again, "EpochsGrow", "installed epoch 3 after 4");
    // An insider's network could not do it either: the box holds the digest of the facts. With that gone too:
    falls_with(
        Limits::default(),
        &[Check::BlockBox],
        Check::ViewDigest,
        &Policy { views: Views::Exact, ..usual },
        a_newcomer_is_announced_under_another_name,
        ("ViewsAgree", "or others"),
    );
}

/// An end that the member never said.
fn a_stranger_says_that_a_member_leaves(scene: &mut Scene) -> Result<(), Stop> {
    scene.join_in_turn(&[0, 1])?;
    let frame = scene.last("RA-CM", scene.star.leader);
    let mut forged = draft(&frame);
    number(&mut forged, "n", |n| n + 50);
    let cid = scene.member(1).cid().unwrap();
    forged.text = text_of(0, MemberBody::End(End { reason: EndReason::Left, by: cid }));
    scene.arrives(frame.to_link, forged.frame())?;
    scene.world.run_for(SECOND * 7)?;
    scene.leave(0);
    scene.world.run_for(SECOND * 7)
}

#[test]
fn s6_nobody_is_removed_without_a_cause() {
    let usual = Policy::default();
    let story = a_stranger_says_that_a_member_leaves;
    falls(Check::ChannelBox, &usual, story, "RemovalHasCause", "member 2 did not leave");
}

/// Two join within the time in which the key is not changed twice.
fn two_join_at_once(scene: &mut Scene) -> Result<(), Stop> {
    scene.join(0);
    scene.world.run_for(SECOND)?;
    scene.join(1);
    scene.world.run_for(SECOND * 12)
}

/// A text that is withheld until its sender is gone.
fn somebody_speaks_who_is_gone(scene: &mut Scene) -> Result<(), Stop> {
    scene.join_in_turn(&[0, 1])?;
    let second = NodeId::from(scene.star.members[1]);
    scene.hold(move |frame, id| frame.to == second && id == "RA-D");
    scene.say(0, b"withheld until it has gone").unwrap();
    scene.world.run_for(SOON)?;
    scene.leave(0);
    scene.world.run_for(SECOND * 6)?;
    let held = scene.release().remove(0);
    scene.arrives(held.to_link, held.bytes)
}

#[test]
fn s7_keys_are_for_members_only_and_none_is_from_before_an_admission() {
    // In the class exact the roster is not that of the old key, so a newcomer would hold its block back.
    let counts = falls(
        Check::FirstEpoch,
        &Policy { views: Views::WithEachKey, ..Policy::default() },
        two_join_at_once,
        "NoKeyBeforeAdmission",
        "member 2 has the key of epoch 2; the first that it may have is 3",
    );
    assert_eq!(counts.installs, 3, "{counts:?}");
    // A group that keeps its key when somebody goes.
    let rekey_on = Causes::of(Cause::Open).with(Cause::Join);
    let keeps = Policy { rekey_on, views: Views::WithEachKey, origin: false, ..Policy::default() };
    let words = "a text of member 1 was delivered after its removal";
    falls(Check::DataSender, &keeps, somebody_speaks_who_is_gone, "NoDeliveryAfterRemoval", words);
}

/// The leader dies; a member goes on.
fn a_leader_dies(scene: &mut Scene) -> Result<(), Stop> {
    scene.join_in_turn(&[0, 1])?;
    scene.say(0, b"while it lives").unwrap();
    scene.world.run_for(SECOND)?;
    scene.world.crash(scene.star.leader)?;
    scene.world.run_for(T_MAX + SECOND)?;
    let _ = scene.star.say(&mut scene.world, 0, b"after it has died")?;
    Ok(())
}

/// A member dies; what it said before arrives late, in order.
fn a_member_dies_and_its_polls_arrive_late(scene: &mut Scene) -> Result<(), Stop> {
    scene.join_in_turn(&[0, 1])?;
    let first = NodeId::from(scene.star.members[0]);
    scene.hold(move |frame, id| frame.from == first && id == "RA-CM");
    scene.world.run_for(SECOND * 14)?;
    scene.world.crash(first)?;
    let held = scene.release();
    assert!(held.len() >= 2, "{} polls were withheld", held.len());
    for frame in held {
        scene.world.run_for(SECOND * 6)?;
        scene.arrives(frame.to_link, frame.bytes)?;
    }
    scene.world.run_for(SECOND * 10)
}

#[test]
fn s8_a_key_is_not_used_and_a_death_not_overlooked_beyond_the_bounds() {
    let usual = Policy::default();
    let counts = falls(Check::Staleness, &usual, a_leader_dies, "StaleBound", "was sent 16.5s after its end");
    assert_eq!((counts.sent, counts.delivered), (1, 2), "{counts:?}");
    let story = a_member_dies_and_its_polls_arrive_late;
    // Who is removed is out of reach of what arrives late.
    let reports = Policy { on_silence: OnSilence::Report, ..usual };
    let counts = falls(Check::EvidenceTime, &reports, story, "DeadNoticed", "and is not taken for dead");
    assert!(counts.suspected >= 1, "{counts:?}");
}

/// A text comes twice.
fn a_text_is_replayed(scene: &mut Scene) -> Result<(), Stop> {
    scene.join_in_turn(&[0, 1])?;
    scene.say(0, b"once").unwrap();
    scene.world.run_for(SOON)?;
    let text = scene.last("RA-D", scene.star.members[1]);
    scene.arrives(text.to_link, text.bytes)
}

/// A member says something in the name of another, with the key that all have and with a signature of its own.
fn a_member_speaks_for_another(scene: &mut Scene) -> Result<(), Stop> {
    scene.join_in_turn(&[0, 1, 2])?;
    let suite = scene.star.config.suite.clone();
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
    let insider = scene.member(1);
    let (epoch, base) = insider.epoch_secret().unwrap();
    let (base, group) = (Key::<role::DataBase>::new(base.clone()), insider.group().unwrap());
    let (mallory, _) = suite.signing_pair(&mut SimRng::new(1)).unwrap();
    let cid = scene.member(0).cid().unwrap();
    let sending = Sending { suite, header, group, cid, label: None, origin: Some(Key::new(mallory)) };
    let forever = Instant::from_micros(u64::MAX);
    let sealer = sending.sealer(epoch, &base, Kind::Both, SealLimits::default(), forever).unwrap();
    let mut frame = BytesMut::new();
    let now = scene.world.now();
    DataSealer::new(sending, sealer).seal(now, Port::Application, b"as another", &mut frame).unwrap();
    // It is the second member that says this.
    scene.world.command(scene.star.members[1], "say as another", |_, _| ())?;
    let link = scene.last("RA-CL", scene.star.members[2]).to_link;
    scene.arrives(link, frame.freeze())
}

#[test]
fn s9_texts_are_delivered_once_and_as_of_whoever_said_them() {
    let usual = Policy::default();
    let counts = falls(Check::DataNumber, &usual, a_text_is_replayed, "NoReplayDelivered", "was delivered before");
    assert_eq!(counts.delivered, 2, "{counts:?}");
    let words = "a text of member 2 was delivered as of member 1";
    falls(Check::DataOrigin, &usual, a_member_speaks_for_another, "SendersAreTrue", words);
}

/// More requests than may pend, each over a link and under a name of its own.
fn strangers_ask_and_ask(scene: &mut Scene) -> Result<(), Stop> {
    scene.join_in_turn(&[0])?;
    let request = scene.frames("RA-J1", scene.star.leader).remove(0);
    scene.hold(|_, id| id == "RA-T1");
    for stranger in 0..12u8 {
        let mut made = draft(&request);
        made.clear.find_mut("member").unwrap().content = Content::Leaf(vec![2, b's', b'a' + stranger]);
        let link = strangers_link(scene);
        scene.arrives(link, made.frame())?;
    }
    Ok(())
}

/// A member that counts what it is given where it should not.
#[derive(Clone, Debug)]
struct Careless {
    member: Member,
    frames: u64,
}

impl Fingerprint for Careless {
    fn fingerprint(&self, now: Instant, sink: &mut dyn Sink) {
        self.member.fingerprint(now, sink);
        self.frames.fingerprint(now, sink);
    }
}

impl Endpoint for Careless {
    fn handle_link_opened(&mut self, cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal> {
        self.member.handle_link_opened(cx, link, info)
    }

    fn handle_link_closed(&mut self, cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        self.member.handle_link_closed(cx, link)
    }

    fn handle_frame(&mut self, cx: &mut Cx<'_>, link: Link, frame: BytesMut) -> Result<(), Fatal> {
        self.frames += 1;
        self.member.handle_frame(cx, link, frame)
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        self.member.handle_timeout(cx)
    }

    fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<Transmit> {
        self.member.poll_transmit(cx)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.member.poll_event()
    }

    fn poll_timeout(&self) -> Wake {
        self.member.poll_timeout()
    }

    fn stats(&self) -> &Stats {
        self.member.stats()
    }
}

/// Noise comes to a member, and to one that is [`Careless`] if there is to be one.
fn noise(careless: bool) -> (Result<(), Stop>, u64) {
    let mut scene = Scene::open(config(Policy::default(), Checks::ALL), &["m1"]);
    let checker = shared(RefusalsChangeNothing::default().watching::<Careless>());
    scene.world.add_checker(checker.clone());
    let member = member_machine(&scene.star.config, "m2").unwrap();
    let node: NodeId = if careless {
        scene.world.add("m2", Careless { member, frames: 0 }).unwrap().into()
    } else {
        scene.world.add("m2", member).unwrap().into()
    };
    let link = scene.world.connect(node, scene.star.leader, scene.star.config.link).unwrap().0;
    let run = |scene: &mut Scene| {
        scene.join_in_turn(&[0])?;
        for frame in [&b"noise"[..], b""] {
            scene.arrives(link, frame)?;
        }
        let text = scene.last("RA-CL", scene.star.members[0]);
        scene.arrives(link, text.bytes)
    };
    let outcome = run(&mut scene);
    let refused = checker.borrow().refused().values().sum();
    (outcome, refused)
}

#[test]
fn s10_what_is_refused_changes_nothing_and_strangers_cost_little() {
    let limits = Limits { pending_joins: 8, ..Limits::default() };
    let words = ("StrangersAreBounded", "9 joins pend");
    let counts = falls_with(limits, &[], Check::PendingBudget, &Policy::default(), strangers_ask_and_ask, words);
    assert!(counts.refused == 4 && counts.strangers > 1_000, "{counts:?}");
    assert_eq!(noise(false), (Ok(()), 3));
    match noise(true).0.unwrap_err().why {
        Why::Check { checker, text } => {
            assert_eq!(checker, "RefusalsChangeNothing");
            assert!(text.contains("and changed the state"), "{text}");
        }
        other => panic!("{other}"),
    }
}
