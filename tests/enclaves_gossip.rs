//! Private messages in repaired Enclaves (D29, E5, E6): each form, who reads them, what they cost the leader, and what is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sodality::crypto::keys::role;
use sodality::crypto::{BoxNumber, Key, Secret, chacha20_poly1305};
use sodality::enclaves::gossip::{self, Form};
use sodality::endpoint::Endpoint;
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Event, Port, Sender};
use sodality::identity::MemberId;
use sodality::policy::{MIN_FRAME, Policy};
use sodality::sim::{
    DropMatching, EnclaveConfig, EnclaveStar, Faults, Gang, InTransit, LinkConfig, Recorder, ReplayAll, Tables, World,
    shared,
};
use sodality::wire::enclaves::repaired::{AdminMsg, AdminPayload, AdminText, Gossip};
use sodality::wire::frame::split_frame;
use sodality::wire::{Edition, Field, Header, Message, System};

const MINUTE: Duration = Duration::from_secs(60);
const FORMS: [Form; 3] = [Form::Documented, Form::Asked, Form::Own];
const TEXT: &[u8] = b"between us";

fn group(seed: u64, members: usize) -> (World, EnclaveStar) {
    let mut world = World::new(seed);
    let star = EnclaveStar::add(&mut world, EnclaveConfig::new(chacha20_poly1305()), members).unwrap();
    star.join_all(&mut world, MINUTE).unwrap();
    (world, star)
}

fn cid(world: &World, star: &EnclaveStar, at: usize) -> MemberId {
    world.get(star.members[at]).unwrap().cid().unwrap()
}

fn say(world: &mut World, star: &EnclaveStar, form: Form, to: &[MemberId], text: &[u8]) -> Result<u64, CommandError> {
    world.with(star.members[0], |member, cx| member.gossip(cx, form, to, Port::Application, text)).unwrap()
}

fn heard(world: &World, star: &EnclaveStar, at: usize, text: &[u8]) -> usize {
    let from = cid(world, star, 0);
    let is = |event: &&Event| matches!(event, Event::Gossip(message) if message.payload == text && message.from == Sender::Vouched(from));
    world.events(star.members[at]).iter().filter(is).count()
}

fn sent(world: &World, star: &EnclaveStar, number: u64) -> Option<Vec<MemberId>> {
    world.events(star.members[0]).iter().find_map(|event| match event {
        Event::GossipSent { number: of, missed } if *of == number => Some(missed.clone()),
        _ => None,
    })
}

#[test]
fn each_form_reaches_its_recipients_and_nobody_else() {
    for form in FORMS {
        let (mut world, star) = group(1, 5);
        let nobody = MemberId(999);
        let to = [cid(&world, &star, 1), cid(&world, &star, 3), nobody, MemberId::LEADER];
        let number = say(&mut world, &star, form, &to, TEXT).unwrap();
        world.run_for(Duration::from_secs(5)).unwrap();
        let got: Vec<usize> = (0..5).map(|at| heard(&world, &star, at, TEXT)).collect();
        assert_eq!(got, [0, 1, 0, 1, 0], "{form:?}");
        let leader = world.events(star.leader).iter().filter(|event| matches!(event, Event::Gossip(_))).count();
        assert_eq!(leader, 1, "{form:?}");
        assert_eq!(sent(&world, &star, number), Some(vec![nobody]), "{form:?}");
    }
}

#[test]
fn a_leader_says_something_to_some() {
    let (mut world, star) = group(2, 3);
    let to = [cid(&world, &star, 2)];
    world.with(star.leader, |leader, cx| leader.gossip(cx, &to, Port::Application, TEXT)).unwrap().unwrap();
    world.run_for(Duration::from_secs(5)).unwrap();
    let is =
        |event: &Event| matches!(event, Event::Gossip(message) if message.from == Sender::Vouched(MemberId::LEADER));
    let got: Vec<bool> = star.members.iter().map(|member| world.events(*member).iter().any(is)).collect();
    assert_eq!(got, [false, false, true]);
}

#[test]
fn it_goes_on_over_a_bad_network_and_across_rekeys() {
    for (seed, form) in (0..12).zip(FORMS.into_iter().cycle()) {
        let mut world = World::new(seed);
        let policy = Policy { frame_limit: MIN_FRAME as u32, ..Policy::default() };
        let link = LinkConfig { faults: Faults { loss: 150, ..Faults::NONE }, ..LinkConfig::DATAGRAM };
        let config = EnclaveConfig { policy, link, ..EnclaveConfig::new(chacha20_poly1305()) };
        let star = EnclaveStar::add(&mut world, config, 3).unwrap();
        star.join_always(&mut world).unwrap();
        world.eventually(MINUTE * 2, "all are in", |world| star.converged(world)).unwrap();
        let (mut got, mut missed) = (0, 0);
        for round in 0..20_u8 {
            let (a, b) = (cid(&world, &star, 1), cid(&world, &star, 2));
            if say(&mut world, &star, form, &[a, b], &[round; 100]).is_ok() {
                world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
            }
            world.run_for(Duration::from_secs(3)).unwrap();
            got += heard(&world, &star, 1, &[round; 100]) + heard(&world, &star, 2, &[round; 100]);
        }
        world.run_for(MINUTE).unwrap();
        for at in [1, 2] {
            let gone = |event: &&Event| matches!(event, Event::GossipMissed { .. });
            missed += world.events(star.members[at]).iter().filter(gone).count();
            for round in 0..20_u8 {
                assert!(heard(&world, &star, at, &[round; 100]) <= 1, "seed {seed}: twice");
            }
        }
        assert!(got >= 15, "seed {seed}, {form:?}: {got} of 40 arrived");
        assert!(missed > 0, "seed {seed}, {form:?}: what is lost is noticed ({got} arrived)");
    }
}

/// E5.
#[test]
fn a_replayed_message_is_not_heard_again() {
    for form in FORMS {
        let (mut world, star) = group(3, 3);
        world.set_adversary(ReplayAll { after: Duration::from_millis(300), times: 5 });
        let to = [cid(&world, &star, 1)];
        say(&mut world, &star, form, &to, TEXT).unwrap();
        world.run_for(Duration::from_secs(8)).unwrap();
        assert_eq!(heard(&world, &star, 1, TEXT), 1, "{form:?}");
    }
}

/// E6: in the lighter forms the leader's work on a message does not grow with it. Bytes that pass the leader's suite are counted
/// by the frames that it makes.
#[test]
fn what_a_message_costs_the_leader() {
    let mut lengths = Vec::new();
    for form in FORMS {
        let (mut world, star) = group(4, 4);
        let recorder = shared(Recorder::default());
        world.set_adversary(recorder.clone());
        let to: Vec<MemberId> = (1..4).map(|at| cid(&world, &star, at)).collect();
        say(&mut world, &star, form, &to, &[7; 900]).unwrap();
        world.run_for(Duration::from_secs(2)).unwrap();
        let frames = recorder.borrow().frames.clone();
        let tables = world.tables();
        let from_leader = |frame: &&InTransit| frame.from == star.leader.into();
        let keys = frames.iter().filter(from_leader).filter(|frame| tables.id(&frame.bytes) == "EN-R4").count();
        let whole: Vec<&InTransit> = frames.iter().filter(|frame| tables.id(&frame.bytes) == "EN-R10").collect();
        // The same bytes from the sender to the leader and on, or, in the documented form, made by the leader.
        let relayed: Vec<&&InTransit> = whole.iter().filter(|frame| frame.from == star.leader.into()).collect();
        let sealed_by_sender = whole.iter().any(|frame| frame.from == star.members[0].into());
        assert_eq!(relayed.len(), 3, "{form:?}");
        assert!(relayed.iter().all(|frame| frame.bytes == relayed[0].bytes), "sealed once for all");
        assert_eq!(sealed_by_sender, form != Form::Documented);
        lengths.push(keys);
    }
    println!("AdminMsgs of the leader for a message to three: {lengths:?}");
}

#[test]
fn who_is_not_named_cannot_open_it() {
    let (mut world, star) = group(5, 3);
    let recorder = shared(Recorder::default());
    world.set_adversary(recorder.clone());
    let to = [cid(&world, &star, 1)];
    say(&mut world, &star, Form::Own, &to, TEXT).unwrap();
    world.run_for(Duration::from_secs(2)).unwrap();
    let frames = recorder.borrow().frames.clone();
    // m3 is given everything that went by, over its own link, and opens none of it.
    let link = world.links_of(star.members[2])[0];
    let before = world.events(star.members[2]).len();
    world.set_adversary(DropMatching(|_: &InTransit, _: &Tables| false));
    for frame in frames {
        world
            .with(star.members[2], |member, cx| {
                let _ = sodality::endpoint::Endpoint::handle_frame(member, cx, link, frame.bytes.as_ref().into());
            })
            .unwrap();
    }
    let events = &world.events(star.members[2])[before..];
    assert!(!events.iter().any(|event| matches!(event, Event::Gossip(_))));
    let unknown = |event: &&Event| matches!(event, Event::Rejected { why: Reason::Unknown | Reason::Replayed, .. });
    assert!(events.iter().filter(unknown).count() > 3, "{events:?}");
}

/// Whoever has K' can seal: so nobody but the sender has it before the leader has the text, and no recipient is faster (A2, E3).
#[test]
fn keys_are_handed_out_once_the_text_is_here() {
    for form in [Form::Asked, Form::Own] {
        let (mut world, star) = group(8, 3);
        let leader = star.leader.into();
        world.set_adversary(DropMatching(move |frame: &InTransit, tables: &Tables| {
            frame.to == leader && tables.id(&frame.bytes) == "EN-R10"
        }));
        let to = [cid(&world, &star, 1), cid(&world, &star, 2)];
        say(&mut world, &star, form, &to, TEXT).unwrap();
        world.run_for(Duration::from_secs(3)).unwrap();
        let keys = |world: &World, at: usize| world.get(star.members[at]).unwrap().words_awaited();
        assert_eq!(
            [1, 2].map(|at| keys(&world, at)),
            [0, 0],
            "{form:?}: somebody has the key of what is still to come"
        );
        world.set_adversary(DropMatching(|_: &InTransit, _: &Tables| false));
        world.run_for(Duration::from_secs(6)).unwrap();
        assert_eq!([1, 2].map(|at| heard(&world, &star, at, TEXT)), [1, 1], "{form:?}");
    }
}

/// K' of the last message that a member was given the key of, from the frames on their way to it.
fn last_key(world: &World, star: &EnclaveStar, at: usize, frames: &[InTransit]) -> Key<role::Gossip> {
    let (open, _) = world.get(star.members[at]).unwrap().session_keys().unwrap();
    let to = star.members[at].id;
    let keys = frames.iter().filter(|frame| frame.to == to).filter_map(|frame| {
        let mut bytes = frame.bytes.to_vec();
        let parsed = AdminMsg::parse(&bytes).ok()?;
        let (counter, clear, text, tag) = (parsed.message.seq, parsed.clear, parsed.text, parsed.tag);
        let (ad, sealed) = split_frame(&mut bytes, clear, &text);
        open.open(BoxNumber { domain: 0, counter }, ad, sealed, &tag).ok()?;
        match AdminText::decode(sealed).ok()?.payload {
            AdminPayload::GossipKey(gossip) => Some(Key::new(Secret::new(gossip.key.0))),
            _ => None,
        }
    });
    keys.last().expect("a key was handed out")
}

/// A2: a recipient has K', and writes on another one's link. It still cannot put a text of its own under the sender's name, and
/// what it tries does not keep the true one away.
#[test]
fn a_recipient_cannot_speak_for_the_sender() {
    for form in FORMS {
        let (mut world, star) = group(9, 3);
        let recorder = shared(Recorder::default());
        let late = star.members[2].id;
        world.set_adversary(Gang(vec![
            Box::new(recorder.clone()),
            Box::new(DropMatching(move |frame: &InTransit, tables: &Tables| {
                frame.to == late && tables.id(&frame.bytes) == "EN-R10"
            })),
        ]));
        let to = [cid(&world, &star, 1), cid(&world, &star, 2)];
        let number = say(&mut world, &star, form, &to, TEXT).unwrap();
        world.run_for(Duration::from_secs(2)).unwrap();
        let key = last_key(&world, &star, 1, &recorder.borrow().frames);
        let suite = chacha20_poly1305();
        let header = Header { system: System::Enclaves, edition: Edition::Repaired, suite: suite.id() };
        let group = world.get(star.leader).unwrap().group();
        let forged =
            gossip::seal(&*suite, header, &key, group, cid(&world, &star, 0), number, 0, b"not from m1").unwrap();
        assert!(gossip::open(&*suite, &key, &mut forged.to_vec()).is_ok(), "it would open");
        let link = world.links_of(star.members[2])[0];
        let mut give = |frame: &[u8]| {
            world
                .with(star.members[2], |member, cx| Endpoint::handle_frame(member, cx, link, frame.into()).unwrap())
                .unwrap();
        };
        give(&forged);
        // The true one, which was held up, is still waited for.
        let frames = recorder.borrow().frames.clone();
        let mut tables = frames.iter().filter(|frame| frame.to == late);
        let held = tables.rfind(|frame| Gossip::parse(&frame.bytes).is_ok()).expect("it was on its way");
        give(&held.bytes);
        let events = world.events(star.members[2]);
        assert!(events.iter().any(|event| matches!(event, Event::Rejected { why: Reason::Forged, .. })), "{form:?}");
        assert_eq!(heard(&world, &star, 2, b"not from m1"), 0, "{form:?}");
        assert_eq!(heard(&world, &star, 2, TEXT), 1, "{form:?}");
    }
}

#[test]
fn what_cannot_be_said_is_refused() {
    let (mut world, star) = group(6, 2);
    let (me, other) = (cid(&world, &star, 0), cid(&world, &star, 1));
    let longest = world.get(star.members[0]).unwrap().max_gossip(1);
    let mut refused = |to: &[MemberId], text: &[u8]| match say(&mut world, &star, Form::Own, to, text) {
        Err(CommandError::Misuse(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&[], TEXT), Misuse::NoMember);
    assert_eq!(refused(&[me], TEXT), Misuse::Oneself);
    assert_eq!(refused(&[other], &vec![0; longest + 1]), Misuse::TooLong);
    assert_eq!(refused(&(10..100).map(MemberId).collect::<Vec<_>>(), TEXT), Misuse::NoMember);
    say(&mut world, &star, Form::Own, &[other], &vec![0; longest]).unwrap();
    // Without answers there are so many, and no more.
    let count = Arc::new(AtomicUsize::new(0));
    world.set_adversary(DropMatching(|_: &InTransit, _: &Tables| true));
    while say(&mut world, &star, Form::Own, &[other], TEXT).is_ok() {
        count.fetch_add(1, Ordering::Relaxed);
        assert!(count.load(Ordering::Relaxed) < 100);
    }
    assert_eq!(say(&mut world, &star, Form::Own, &[other], TEXT), Err(Misuse::Unanswered.into()));
}

#[test]
fn a_recipient_that_goes_is_not_waited_for() {
    for form in FORMS {
        let (mut world, star) = group(7, 3);
        let to = [cid(&world, &star, 1), cid(&world, &star, 2)];
        world.with(star.members[1], |member, cx| member.leave(cx)).unwrap().unwrap();
        let number = say(&mut world, &star, form, &to, TEXT).unwrap();
        world.run_for(Duration::from_secs(15)).unwrap();
        assert_eq!(heard(&world, &star, 2, TEXT), 1, "{form:?}");
        assert!(sent(&world, &star, number).is_some(), "{form:?}");
    }
}
