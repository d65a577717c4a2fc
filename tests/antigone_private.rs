//! Private words in repaired Antigone (D29; the analogues of A1, A2, E5 and E6): who reads them, who cannot, what they cost the
//! leader, and what is lost.
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use bytes::BytesMut;
use sodality::crypto::keys::role;
use sodality::crypto::{BoxNumber, Key, Secret, chacha20_poly1305};
use sodality::endpoint::Endpoint;
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Event, Port, Sender};
use sodality::group::private::{self, Word};
use sodality::identity::MemberId;
use sodality::policy::{MIN_FRAME, Policy};
use sodality::sim::star::{Star, StarConfig};
use sodality::sim::{
    DropMatching, Faults, InTransit, LinkConfig, Node, NodeId, Recorder, ReplayAll, Tables, World, shared,
};
use sodality::wire::antigone::{LeaderBody, LeaderFrame, LeaderRecord, LeaderText, PrivateWord};
use sodality::wire::frame::split_frame;
use sodality::wire::{Edition, Field, Header, Message, System};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const TEXT: &[u8] = b"between us";

fn group(seed: u64, members: usize) -> (World, Star) {
    let mut world = World::new(seed);
    let star = Star::add(&mut world, StarConfig::new(chacha20_poly1305()), members).unwrap();
    star.join_all(&mut world, MINUTE).unwrap();
    (world, star)
}

fn cid(world: &World, star: &Star, at: usize) -> MemberId {
    world.get(star.members[at]).unwrap().cid().unwrap()
}

fn say(world: &mut World, star: &Star, from: usize, to: &[MemberId], text: &[u8]) -> Result<u64, CommandError> {
    world.with(star.members[from], |member, cx| member.say_privately(cx, to, Port::Application, text)).unwrap()
}

/// How often a node was told this text as a private word of `from`.
fn heard(world: &World, at: impl Into<NodeId>, from: MemberId, text: &[u8]) -> usize {
    let is = |event: &&Event| matches!(event, Event::Gossip(message) if message.payload == text && message.from == Sender::Vouched(from));
    world.events(at).iter().filter(is).count()
}

fn sent(world: &World, at: impl Into<NodeId>, number: u64) -> Option<Vec<MemberId>> {
    world.events(at).iter().find_map(|event| match event {
        Event::GossipSent { number: of, missed } if *of == number => Some(missed.clone()),
        _ => None,
    })
}

fn lost(world: &World, at: impl Into<NodeId>) -> usize {
    world.events(at).iter().filter(|event| matches!(event, Event::GossipMissed { .. })).count()
}

fn refused(world: &World, at: impl Into<NodeId>, why: Reason) -> usize {
    world.events(at).iter().filter(|event| matches!(event, Event::Rejected { why: of, .. } if *of == why)).count()
}

#[test]
fn it_reaches_its_recipients_and_nobody_else() {
    let (mut world, star) = group(1, 5);
    let (me, nobody) = (cid(&world, &star, 0), MemberId(999));
    let to = [cid(&world, &star, 3), nobody, cid(&world, &star, 1), MemberId::LEADER];
    let number = say(&mut world, &star, 0, &to, TEXT).unwrap();
    world.run_for(SECOND * 3).unwrap();
    let got: Vec<usize> = star.members.iter().map(|member| heard(&world, *member, me, TEXT)).collect();
    assert_eq!(got, [0, 1, 0, 1, 0]);
    assert_eq!(heard(&world, star.leader, me, TEXT), 1);
    assert_eq!(sent(&world, star.members[0], number), Some(vec![nobody]));
}

#[test]
fn a_leader_says_something_to_some() {
    let (mut world, star) = group(2, 3);
    let to = [cid(&world, &star, 2), MemberId(77)];
    let said = world.with(star.leader, |leader, cx| leader.say_privately(cx, &to, Port::Application, TEXT));
    let number = said.unwrap().unwrap();
    world.run_for(SECOND * 3).unwrap();
    let got: Vec<usize> = star.members.iter().map(|member| heard(&world, *member, MemberId::LEADER, TEXT)).collect();
    assert_eq!(got, [0, 0, 1]);
    assert_eq!(sent(&world, star.leader, number), Some(vec![MemberId(77)]));
}

/// The text may be lost, doubled and overtaken, and the keys' records with it: each word is heard once at most, most are heard,
/// and a recipient that has a key tells what it missed.
#[test]
fn it_goes_on_over_a_bad_network_and_across_rekeys() {
    let (mut got, mut missed) = (0, 0);
    for seed in 0..10 {
        let mut world = World::new(seed);
        let policy = Policy { frame_limit: MIN_FRAME as u32, ..Policy::default() };
        let faults = Faults { loss: 120, duplicate: 100, reorder: 200, reorder_by: SECOND, ..Faults::NONE };
        let link = LinkConfig { faults, ..LinkConfig::DATAGRAM };
        let config = StarConfig { policy, link, ..StarConfig::new(chacha20_poly1305()) };
        let star = Star::add(&mut world, config, 3).unwrap();
        star.join_always(&mut world).unwrap();
        world.eventually(MINUTE * 2, "all are in", |world| star.converged(world)).unwrap();
        for round in 0..12_u8 {
            let now = |world: &World, at: usize| world.get(star.members[at]).unwrap().cid();
            let (Some(me), Some(a), Some(b)) = (now(&world, 0), now(&world, 1), now(&world, 2)) else {
                world.run_for(SECOND * 3).unwrap();
                continue;
            };
            if say(&mut world, &star, 0, &[a, b], &[round; 100]).is_ok() {
                world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
            }
            world.run_for(SECOND * 3).unwrap();
            got +=
                heard(&world, star.members[1], me, &[round; 100]) + heard(&world, star.members[2], me, &[round; 100]);
        }
        world.run_for(MINUTE).unwrap();
        for at in [1, 2] {
            missed += lost(&world, star.members[at]);
            for round in 0..12_u8 {
                let times = world
                    .events(star.members[at])
                    .iter()
                    .filter(|event| matches!(event, Event::Gossip(message) if message.payload == [round; 100][..]));
                assert!(times.count() <= 1, "seed {seed}: twice");
            }
        }
    }
    println!("{got} of 240 arrived in time, {missed} were told as missed");
    assert!(got >= 120 && missed > 0, "{got} of 240 arrived, {missed} were told as missed");
}

/// A1, E5.
#[test]
fn a_replayed_word_is_not_heard_again() {
    let (mut world, star) = group(3, 3);
    world.set_adversary(ReplayAll { after: Duration::from_millis(300), times: 5 });
    let (me, to) = (cid(&world, &star, 0), [cid(&world, &star, 1), MemberId::LEADER]);
    say(&mut world, &star, 0, &to, TEXT).unwrap();
    world.run_for(SECOND * 15).unwrap();
    assert_eq!(heard(&world, star.members[1], me, TEXT), 1);
    assert_eq!(heard(&world, star.leader, me, TEXT), 1);
}

#[test]
fn who_is_not_named_cannot_open_it() {
    let (mut world, star) = group(5, 3);
    let recorder = shared(Recorder::default());
    world.set_adversary(recorder.clone());
    let to = [cid(&world, &star, 1)];
    say(&mut world, &star, 0, &to, TEXT).unwrap();
    world.run_for(SECOND * 2).unwrap();
    let frames = recorder.borrow().frames.clone();
    world.retire_adversary();
    // m3 is given everything that went by, over its own link, and opens none of it.
    let before = refused(&world, star.members[2], Reason::Unknown);
    for frame in &frames {
        give(&mut world, star.members[2], &frame.bytes);
    }
    assert!(refused(&world, star.members[2], Reason::Unknown) > before + 1);
    assert!(!world.events(star.members[2]).iter().any(|event| matches!(event, Event::Gossip(_))));
}

/// Gives a frame to a member over its own link.
fn give(world: &mut World, to: Node<sodality::antigone::Member>, frame: &[u8]) {
    let link = world.links_of(to)[0];
    let take = |member: &mut sodality::antigone::Member, cx: &mut sodality::endpoint::Cx<'_>| {
        Endpoint::handle_frame(member, cx, link, BytesMut::from(frame)).unwrap();
    };
    world.with(to, take).unwrap();
}

/// K' of the last word that a member was given the key of, from the frames that reached it.
fn last_key(world: &World, star: &Star, at: usize, frames: &[InTransit]) -> Key<role::Gossip> {
    let (_, open) = world.get(star.members[at]).unwrap().channel().unwrap().keys();
    let to = star.members[at].id;
    let keys = frames.iter().filter(|frame| frame.to == to).filter_map(|frame| {
        let mut bytes = frame.bytes.to_vec();
        let parsed = LeaderFrame::parse(&bytes).ok()?;
        let (n, clear, text, tag) = (parsed.message.n, parsed.clear, parsed.text, parsed.tag);
        let (ad, sealed) = split_frame(&mut bytes, clear, &text);
        open.open(BoxNumber { domain: 0, counter: n }, ad, sealed, &tag).ok()?;
        match LeaderText::decode(sealed).ok()?.body {
            LeaderBody::Record(LeaderRecord::Wrapped(wrapped)) => Some(Key::new(Secret::new(wrapped.key.0))),
            _ => None,
        }
    });
    keys.last().expect("a key was handed out")
}

/// A2: a recipient has K', and still cannot put another text under the sender's name, neither at the leader nor at another
/// recipient; and what it tries does not keep the true word away.
#[test]
fn a_recipient_cannot_speak_for_the_sender() {
    let (mut world, star) = group(8, 3);
    let recorder = shared(Recorder::default());
    world.set_adversary(recorder.clone());
    let (me, to) = (cid(&world, &star, 0), [cid(&world, &star, 1), cid(&world, &star, 2), MemberId::LEADER]);
    let number = say(&mut world, &star, 0, &to, TEXT).unwrap();
    world.run_for(SECOND).unwrap();
    let key = last_key(&world, &star, 1, &recorder.borrow().frames);
    // Again, and this time m1's text is held up while its key is handed out: m2 is first.
    let later = shared(Recorder::default());
    world.set_adversary(sodality::sim::Gang(vec![
        Box::new(later.clone()),
        Box::new(DropMatching(|frame: &InTransit, tables: &Tables| tables.id(&frame.bytes) == "RA-P")),
    ]));
    let second = say(&mut world, &star, 0, &to, b"the second").unwrap();
    assert!(second > number);
    world.run_for(SECOND).unwrap();
    let other = last_key(&world, &star, 1, &later.borrow().frames);
    assert_ne!(key.secret().expose(), other.secret().expose(), "a key for each word");
    let suite = chacha20_poly1305();
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
    let word = Word { group: world.get(star.leader).unwrap().group(), cid: me, number: second };
    let forged = private::seal::<PrivateWord>(&*suite, header, &other, word, 0, b"not from m1").unwrap();
    assert!(private::open::<PrivateWord>(&*suite, &other, &mut forged.to_vec()).is_ok(), "it would open");
    let before = refused(&world, star.leader, Reason::Forged);
    let link = world.links_of(star.leader)[0];
    world.with(star.leader, |leader, cx| leader.handle_frame(cx, link, BytesMut::from(&*forged)).unwrap()).unwrap();
    give(&mut world, star.members[2], &forged);
    assert_eq!(refused(&world, star.leader, Reason::Forged), before + 1);
    assert_eq!(refused(&world, star.members[2], Reason::Forged), 1);
    world.retire_adversary();
    world.run_for(SECOND * 5).unwrap();
    for at in [1, 2] {
        assert_eq!(heard(&world, star.members[at], me, b"the second"), 1);
        assert_eq!(heard(&world, star.members[at], me, b"not from m1"), 0);
    }
    assert_eq!(heard(&world, star.leader, me, b"the second"), 1);
}

/// E6: for a word the leader hands out a key of fixed length to each recipient, and passes on the sender's bytes.
#[test]
fn what_a_word_costs_the_leader() {
    let mut costs = Vec::new();
    for length in [1, 1000] {
        let (mut world, star) = group(4, 4);
        let recorder = shared(Recorder::default());
        world.set_adversary(recorder.clone());
        let to: Vec<MemberId> = (1..4).map(|at| cid(&world, &star, at)).collect();
        say(&mut world, &star, 0, &to, &vec![7; length]).unwrap();
        world.run_for(Duration::from_millis(300)).unwrap();
        let frames = recorder.borrow().frames.clone();
        let tables = world.tables();
        let of = |id: &str, from: NodeId| -> Vec<&InTransit> {
            frames.iter().filter(|frame| frame.from == from && tables.id(&frame.bytes) == id).collect()
        };
        let said = of("RA-P", star.members[0].id);
        let passed = of("RA-P", star.leader.id);
        assert_eq!((said.len(), passed.len()), (1, 3));
        assert!(passed.iter().all(|frame| frame.bytes == said[0].bytes), "as the sender sealed it");
        costs.push(of("RA-CL", star.leader.id).iter().map(|frame| frame.bytes.len()).sum::<usize>());
    }
    println!("bytes that the leader seals for a word to three, of 1 and of 1000 bytes: {costs:?}");
    assert_eq!(costs[0], costs[1], "what the leader seals does not grow with the text");
}

#[test]
fn what_cannot_be_said_is_refused() {
    let (mut world, star) = group(6, 2);
    let (me, other) = (cid(&world, &star, 0), cid(&world, &star, 1));
    let longest = world.get(star.members[0]).unwrap().max_private();
    assert_eq!(world.get(star.leader).unwrap().max_private(), longest);
    let mut refused = |to: &[MemberId], text: &[u8]| match say(&mut world, &star, 0, to, text) {
        Err(CommandError::Misuse(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&[], TEXT), Misuse::NoMember);
    assert_eq!(refused(&[me], TEXT), Misuse::Oneself);
    assert_eq!(refused(&[other], &vec![0; longest + 1]), Misuse::TooLong);
    assert_eq!(refused(&(10..100).map(MemberId).collect::<Vec<_>>(), TEXT), Misuse::NoMember);
    let recorder = shared(Recorder::default());
    world.set_adversary(recorder.clone());
    say(&mut world, &star, 0, &[other], &vec![0; longest]).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(heard(&world, star.members[1], me, &vec![0; longest]), 1);
    let frames = recorder.borrow().frames.clone();
    let longest_frame = frames.iter().map(|frame| frame.bytes.len()).max().unwrap();
    assert_eq!(longest_frame, star.config.policy.frame_limit as usize, "it fills a frame, and no more");
    // Without answers there are so many, and no more; when their time is over, others may be said.
    world.set_adversary(DropMatching(|_: &InTransit, _: &Tables| true));
    let said = (0..100).take_while(|_| say(&mut world, &star, 0, &[other], TEXT).is_ok()).count();
    assert_eq!(said, star.config.limits.gossip.min(star.config.limits.records));
    assert_eq!(say(&mut world, &star, 0, &[other], TEXT), Err(Misuse::Unanswered.into()));
    world.retire_adversary();
    world.run_for(SECOND * 12).unwrap();
    say(&mut world, &star, 0, &[other], b"again").unwrap();
    world.run_for(SECOND * 2).unwrap();
    assert_eq!(heard(&world, star.members[1], me, b"again"), 1);
    let idle = Star::add(&mut world, StarConfig::new(chacha20_poly1305()), 1).unwrap();
    assert_eq!(say(&mut world, &idle, 0, &[other], TEXT), Err(Misuse::NotJoined.into()));
}

#[test]
fn who_goes_is_not_waited_for() {
    let (mut world, star) = group(7, 4);
    let to = [cid(&world, &star, 1), cid(&world, &star, 2)];
    let (me, third) = (cid(&world, &star, 0), cid(&world, &star, 3));
    world.with(star.members[1], |member, cx| member.leave(cx)).unwrap().unwrap();
    let number = say(&mut world, &star, 0, &to, TEXT).unwrap();
    world.run_for(SECOND * 5).unwrap();
    assert_eq!(heard(&world, star.members[2], me, TEXT), 1);
    assert_eq!(heard(&world, star.members[1], me, TEXT), 0);
    assert!(sent(&world, star.members[0], number).is_some());
    // What somebody has said that goes then still arrives, once the leader has it.
    say(&mut world, &star, 3, &[me], b"bye").unwrap();
    world.run_for(Duration::from_millis(150)).unwrap();
    world.with(star.leader, |leader, cx| leader.eject(cx, third)).unwrap().unwrap();
    world.run_for(SECOND * 5).unwrap();
    assert!(heard(&world, star.members[0], third, b"bye") <= 1);
    // To whom nobody is named but who is gone, nothing is passed on, and the sender is told at once.
    let number = say(&mut world, &star, 0, &[third], TEXT).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(sent(&world, star.members[0], number), Some(vec![third]));
}

/// S8: a member that does not know its key to be current delivers no private words either.
#[test]
fn a_stale_member_hears_nothing() {
    let (mut world, star) = group(9, 2);
    let (me, other) = (cid(&world, &star, 0), cid(&world, &star, 1));
    let recorder = shared(Recorder::default());
    let to = star.members[1].id;
    world.set_adversary(sodality::sim::Gang(vec![
        Box::new(recorder.clone()),
        Box::new(DropMatching(move |frame: &InTransit, tables: &Tables| {
            frame.to == to && tables.id(&frame.bytes) == "RA-P"
        })),
    ]));
    say(&mut world, &star, 0, &[other], TEXT).unwrap();
    world.run_for(SECOND).unwrap();
    let words = recorder.borrow().frames.clone();
    let word = words.iter().rfind(|frame| world.tables().id(&frame.bytes) == "RA-P").unwrap().bytes.clone();
    // Nothing more reaches it, and the word comes only when it is stale: its key may still be there.
    world.set_adversary(DropMatching(move |frame: &InTransit, _: &Tables| frame.to == to));
    let is_stale = |world: &World| world.events(star.members[1]).contains(&Event::Stale);
    world.eventually(MINUTE, "it is stale", is_stale).unwrap();
    give(&mut world, star.members[1], &word);
    assert_eq!(heard(&world, star.members[1], me, TEXT), 0);
    assert_eq!(refused(&world, star.members[1], Reason::NotCurrent), 1);
}

/// Many words to one: nobody is taken for dead for it, rekeys go on, and each word is heard, told as missed, or never was on its
/// way.
#[test]
fn many_words_to_one_do_not_hold_up_the_group() {
    let (mut world, star) = group(10, 5);
    let target = cid(&world, &star, 4);
    for round in 0..10_u8 {
        for from in 0..4 {
            while say(&mut world, &star, from, &[target], &[round; 200]).is_ok() {}
        }
        world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
        world.run_for(SECOND).unwrap();
    }
    world.eventually(MINUTE, "all agree", |world| star.converged(world)).unwrap();
    let suspected = world.events(star.leader).iter().any(|event| matches!(event, Event::Suspected { .. }));
    assert!(!suspected, "nobody is taken for dead");
    let got = world.events(star.members[4]).iter().filter(|event| matches!(event, Event::Gossip(_))).count();
    println!("{got} words heard in ten seconds");
    assert!(got > 100, "{got} words heard");
}
