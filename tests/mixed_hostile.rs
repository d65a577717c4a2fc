//! R1, R25 where parts are as published: whatever arrives, nothing panics, and a frame that is refused changes nothing but
//! counters, in whatever state its receiver is. What is accepted of it is another matter: that is what the flaws are.
//!
//! Sessions run in the simulator, and at each (message, state of its receiver) the frame and a copy of the machine are kept.
//! Then mutants, truncations, frames of another session and any bytes are given to copies of the machine.
#![cfg(all(feature = "sim", feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod mixed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use sodality::antigone::mixed::{Leader, Member};
use sodality::crypto::published::{Modern, PublishedSuite, des_md5_rsa};
use sodality::crypto::{Suite, chacha20_poly1305};
use sodality::endpoint::{Cx, Endpoint, Instant, Link, Transmit, Wake};
use sodality::error::Reason;
use sodality::event::Event;
use sodality::identity::Name;
use sodality::policy::{Editions, EjectRequests, Part, Protection};
use sodality::sim::mixed::{MixedConfig, MixedStar};
use sodality::sim::star::records;
use sodality::sim::{
    Checker, Draft, DropMatching, InTransit, Input, LinkConfig, NodeId, Observed, ReplayAll, SimRng, Stop, Tables,
    World, shared,
};
use sodality::ttp::ThirdParty;
use sodality::wire::mutate::{change_leaf, leaves, mix, mutate};
use sodality::wire::shape::Content;
use sodality::wire::{Edition, Header, System};

use mixed::{SECOND, config_with, digest, report, some_mixes, with_policy};

const SEED: u64 = 77;
/// Frames kept of each (message, state).
const KEPT: usize = 2;

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // A few hundred of them.
enum Machine {
    Third(ThirdParty),
    Leader(Leader),
    Member(Member),
}

impl Machine {
    fn of(step: &Observed<'_>) -> Option<Self> {
        let third = step.machine::<ThirdParty>().cloned().map(Self::Third);
        let leader = || step.machine::<Leader>().cloned().map(Self::Leader);
        let member = || step.machine::<Member>().cloned().map(Self::Member);
        third.or_else(leader).or_else(member)
    }

    fn end(&mut self) -> &mut dyn Endpoint {
        match self {
            Self::Third(machine) => machine,
            Self::Leader(machine) => machine,
            Self::Member(machine) => machine,
        }
    }

    fn digest(&self) -> Vec<u8> {
        match self {
            Self::Third(machine) => digest(machine),
            Self::Leader(machine) => digest(machine),
            Self::Member(machine) => digest(machine),
        }
    }

    /// Where it stands.
    fn state(&self) -> &'static str {
        match self {
            Self::Third(_) => "T",
            Self::Leader(machine) if machine.is_closed() => "L closed",
            Self::Leader(machine) if machine.member_count() == 0 => "L alone",
            Self::Leader(_) => "L",
            Self::Member(machine) => match (machine.is_idle(), machine.is_joining(), machine.policy().is_some()) {
                (true, ..) => "M idle",
                (_, true, false) => "M asking",
                (_, true, true) => "M offered",
                (_, _, false) => "M leaving",
                _ if machine.is_current() => "M in",
                _ => "M behind",
            },
        }
    }
}

/// A frame, and the machine that it is about to reach.
#[derive(Clone)]
struct Sample {
    frame: Vec<u8>,
    link: Link,
    at: Instant,
    machine: Machine,
}

type Cell = (&'static str, &'static str);

#[derive(Default)]
struct Catcher {
    last: BTreeMap<NodeId, Machine>,
    samples: BTreeMap<Cell, Vec<Sample>>,
    tables: Tables,
}

impl Checker for Catcher {
    fn name(&self) -> &'static str {
        "Catcher"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        if let (Input::Frame(frame), Some(before)) = (step.input, self.last.get(&step.node)) {
            let kept = self.samples.entry((self.tables.id(&frame.bytes), before.state())).or_default();
            if kept.len() < KEPT && !kept.iter().any(|sample| sample.frame == frame.bytes) {
                let machine = before.clone();
                kept.push(Sample { frame: frame.bytes.to_vec(), link: frame.to_link, at: step.at, machine });
            }
        }
        match Machine::of(step) {
            Some(machine) => self.last.insert(step.node, machine),
            None => self.last.remove(&step.node),
        };
        Ok(())
    }
}

/// Two join and talk; a key is lost and asked for; one asks to eject the other and leaves; one joins again; the leader
/// closes the group. Everything comes a second time.
fn session(world: &mut World, config: MixedConfig) -> Result<(), Stop> {
    let config = with_policy(config, |policy| policy.eject_requests = EjectRequests::Asked);
    let config = MixedConfig { link: LinkConfig::DATAGRAM.max_frame(65_536), ..config };
    let star = MixedStar::with_names(world, config, &["m1", "m2", "stranger"].map(String::from))?;
    world.set_adversary(ReplayAll { after: Duration::from_millis(1_700), times: 1 });
    for member in &star.members {
        world.with(*member, |member, cx| member.join(cx))?.unwrap();
    }
    world.run_for(SECOND * 4)?;
    for from in [0, 1, 9] {
        star.say(world, from, b"a word")?.unwrap();
    }
    world.run_for(SECOND * 7)?;
    let deaf = world.links_between(star.leader, star.members[1])[0];
    world.block(deaf, true)?;
    world.with(star.leader, |leader, cx| leader.rekey(cx))?.unwrap();
    world.run_for(SECOND / 10)?;
    world.block(deaf, false)?;
    let _ = star.say(world, 9, b"under the new key")?;
    world.run_for(SECOND * 2)?;
    world.block(deaf, true)?;
    world.with(star.leader, |leader, cx| leader.rekey(cx))?.unwrap();
    world.run_for(SECOND / 10)?;
    world.block(deaf, false)?;
    // Now a heartbeat tells of it.
    world.run_for(SECOND * 7)?;
    let target = Name::new("m1").unwrap();
    let _ = world.with(star.members[1], |member, cx| member.request_ejection(cx, &target))?;
    world.run_for(SECOND)?;
    let _ = world.with(star.members[1], |member, cx| member.leave(cx))?;
    world.run_for(SECOND * 12)?;
    let _ = world.with(star.members[1], |member, cx| member.join(cx))?;
    world.run_for(SECOND * 6)?;
    let _ = world.with(star.leader, |leader, cx| leader.close(cx))?;
    world.run_for(SECOND * 4)
}

fn samples(seed: u64, config: MixedConfig) -> BTreeMap<Cell, Vec<Sample>> {
    let catcher = shared(Catcher::default());
    let mut world = World::new(seed);
    world.trace_mut().keep(200);
    world.add_checker(catcher.clone());
    if let Err(stop) = session(&mut world, config) {
        panic!("{stop}\n{}", world.trace().tail(60));
    }
    drop(world);
    std::mem::take(&mut catcher.borrow_mut().samples)
}

/// Takes all output.
fn drain(machine: &mut Machine, now: Instant, rng: &mut SimRng) -> Vec<Transmit> {
    let (mut frames, end) = (Vec::new(), machine.end());
    loop {
        let frame = end.poll_transmit(&mut Cx::new(now, rng));
        let event = end.poll_event();
        if frame.is_none() && event.is_none() {
            return frames;
        }
        frames.extend(frame);
        assert!(frames.len() < 10_000, "output without end");
    }
}

/// Life goes on, for a while and with the true frame. What is sent meanwhile, and when.
fn outlive(machine: &mut Machine, sample: &Sample) -> Vec<(Instant, Transmit)> {
    let (mut rng, mut sent, mut at) = (SimRng::new(SEED), Vec::new(), sample.at);
    for wait in [0, 1_000, 600_000, 20_000_000] {
        at = at + Duration::from_micros(wait);
        if wait == 1_000 {
            let frame = BytesMut::from(&*sample.frame);
            machine.end().handle_frame(&mut Cx::new(at, &mut rng), sample.link, frame).unwrap();
        }
        machine.end().handle_timeout(&mut Cx::new(at, &mut rng)).unwrap();
        sent.extend(drain(machine, at, &mut rng).into_iter().map(|frame| (at, frame)));
        let mut wakes = 0;
        while matches!(machine.end().poll_timeout(), Wake::Now(_)) {
            machine.end().handle_timeout(&mut Cx::new(at, &mut rng)).unwrap();
            sent.extend(drain(machine, at, &mut rng).into_iter().map(|frame| (at, frame)));
            wakes += 1;
            assert!(wakes < 1_000, "it wakes again and again");
        }
    }
    sent
}

#[derive(Default, Debug)]
struct Count {
    fed: usize,
    refused: usize,
    accepted: usize,
    ended: usize,
    asked: usize,
    why: BTreeSet<Reason>,
}

/// Gives a frame to a copy of the machine, and holds what happens against the rules.
fn feed(suite: &dyn Suite, sample: &Sample, ready: &Ready, frame: &[u8], tables: &Tables, count: &mut Count) {
    let (now, mut rng, mut machine) = (sample.at, SimRng::new(SEED), ready.machine.clone());
    let before = machine.end().stats().rejections();
    machine.end().handle_frame(&mut Cx::new(now, &mut rng), sample.link, BytesMut::from(frame)).unwrap();
    let mut events = Vec::new();
    while let Some(event) = machine.end().poll_event() {
        events.push(event);
    }
    if let (Machine::Third(third), Some(Event::LookupWanted { ticket, leader, member })) =
        (&mut machine, events.first().cloned())
    {
        let found = records(suite, &leader, &member);
        third.answer(&mut Cx::new(now, &mut rng), ticket, &found).unwrap();
        while let Some(event) = third.poll_event() {
            events.push(event);
        }
    }
    let tell = || format!("{} as {frame:02x?}\nin {} at {now:?}: {events:?}", tables.id(frame), ready.machine.state());
    count.fed += 1;
    let refused: Vec<Reason> = events
        .iter()
        .filter_map(|event| match event {
            Event::Rejected { why, .. } => Some(*why),
            _ => None,
        })
        .collect();
    assert_eq!(machine.end().stats().rejections() - before, refused.len() as u64, "each is counted: {}", tell());
    assert!(refused.len() < 2, "one reason for one frame: {}", tell());
    let Some(why) = refused.first().copied() else {
        count.accepted += 1;
        outlive(&mut machine, sample);
        return;
    };
    count.refused += 1;
    count.why.insert(why);
    assert!(!matches!(why, Reason::Entropy | Reason::Suite), "nothing fails here: {}", tell());
    if machine.digest() == ready.digest {
        let sent = drain(&mut machine, now, &mut rng);
        assert_eq!(sent, Vec::new(), "a refused frame is answered: {}", tell());
        assert_eq!(outlive(&mut machine, sample), ready.undisturbed, "a refusal shows on the wire: {}", tell());
        return;
    }
    match (&machine, why) {
        // Who breaks the protocol of the channel under its keys is out.
        (Machine::Member(_) | Machine::Leader(_), Reason::Violation) => count.ended += 1,
        // Somebody has a key that is not here. Nothing shows that, but it costs a request.
        (Machine::Member(_), Reason::MissedEpoch | Reason::EarlyEpoch) => count.asked += 1,
        _ => panic!("a refused frame has changed the state: {}", tell()),
    }
    outlive(&mut machine, sample);
}

/// A machine that has said what it had to say, and what it goes on to send.
struct Ready {
    machine: Machine,
    digest: Vec<u8>,
    undisturbed: Vec<(Instant, Transmit)>,
}

impl Ready {
    fn of(sample: &Sample) -> Self {
        let mut machine = sample.machine.clone();
        drain(&mut machine, sample.at, &mut SimRng::new(SEED));
        let digest = machine.digest();
        let undisturbed = outlive(&mut machine.clone(), sample);
        Self { machine, digest, undisturbed }
    }
}

/// Frames that differ a little from a true one, and such as have nothing to do with it.
fn hostile(sample: &Sample, others: &[Vec<u8>], headers: [Header; 2], tables: &Tables, rng: &mut u64) -> Vec<Vec<u8>> {
    let frame = &sample.frame;
    let other = &others[mix(rng) as usize % others.len()];
    let mut all: Vec<Vec<u8>> = (0..16).map(|_| mutate(frame, other, &mut || mix(rng))).collect();
    all.extend((0..12).map(|part| frame[..frame.len() * part / 12].to_vec()));
    all.push([&frame[..], &[0]].concat());
    if let Ok(draft) = Draft::of(tables, frame) {
        for leaf in leaves(&draft.clear) {
            for _ in 0..2 {
                let changed = change_leaf(&draft.clear, &leaf.path, draft.info.clear, &mut || mix(rng));
                all.extend(changed.map(|clear| Draft { clear, ..draft.clone() }.frame().to_vec()));
            }
        }
    }
    // Foreign: any frames of another session of the same people.
    all.extend((0..6).map(|_| others[mix(rng) as usize % others.len()].clone()));
    for header in headers {
        for _ in 0..3 {
            let mut bytes = BytesMut::new();
            header.put((mix(rng) % 0x14) as u8, &mut bytes);
            let length = mix(rng) % 80;
            bytes.extend((0..length).map(|_| mix(rng) as u8));
            all.push(bytes.to_vec());
        }
    }
    all
}

fn refuses_without_a_trace(
    modern: &Arc<dyn Suite>,
    published: &Arc<dyn PublishedSuite>,
    editions: Editions,
    count: &mut Count,
    seen: &mut BTreeSet<Cell>,
) {
    let protection = Protection::ALL[usize::from(editions.bits()) % 4];
    let config = || {
        with_policy(config_with(modern, published.clone(), editions), |policy| {
            policy.protection = if editions == Editions::PUBLISHED { Protection::Both } else { protection };
        })
    };
    let header = |edition, suite| Header { system: System::Antigone, edition, suite };
    let headers = [header(Edition::AsPublished, published.id()), header(Edition::Repaired, modern.id())];
    let cells = samples(SEED, config());
    let others: Vec<Vec<u8>> = samples(SEED + 1, config()).into_values().flatten().map(|sample| sample.frame).collect();
    let (tables, mut rng) = (Tables::default(), SEED);
    for (cell, samples) in &cells {
        seen.insert(*cell);
        for sample in samples {
            let ready = Ready::of(sample);
            for frame in hostile(sample, &others, headers, &tables, &mut rng) {
                feed(&**modern, sample, &ready, &frame, &tables, count);
            }
        }
    }
}

#[test]
fn refused_frames_change_nothing_in_mixed_groups() {
    let modern: Arc<dyn Suite> = chacha20_poly1305();
    let published: Arc<dyn PublishedSuite> = Arc::new(Modern::new(modern.clone()));
    let (mut count, mut seen) = (Count::default(), BTreeSet::new());
    for editions in some_mixes() {
        refuses_without_a_trace(&modern, &published, editions, &mut count, &mut seen);
    }
    report(&format!("{} cells, {count:?}", seen.len()));
    // Every message of the published edition has been met but those of other policies: AN-T2s, and three forms of data.
    let met: BTreeSet<_> = seen.iter().map(|(id, _)| *id).collect();
    for id in [
        "AN-T1", "AN-T2", "AN-J1", "AN-J2", "AN-J3", "AN-K", "AN-R", "AN-L", "AN-HL", "AN-HM", "AN-Q", "AN-Db",
        "RA-T1m", "RA-Dm", "RA-T1", "RA-T2", "RA-J1", "RA-J2", "RA-CL", "RA-CM", "RA-R", "RA-D",
    ] {
        assert!(met.contains(id), "{id} is not met: {met:?}");
    }
    for state in ["T", "L", "L alone", "L closed", "M idle", "M asking", "M offered", "M in", "M behind", "M leaving"] {
        assert!(seen.iter().any(|(_, of)| *of == state), "{state} is not met");
    }
    assert!(count.refused > 10_000 && count.accepted > 1_000, "{count:?}");
}

#[test]
fn refused_frames_change_nothing_under_the_suite_of_1999() {
    let (modern, published) = (chacha20_poly1305(), des_md5_rsa());
    let (mut count, mut seen) = (Count::default(), BTreeSet::new());
    refuses_without_a_trace(&modern, &published, Editions::PUBLISHED, &mut count, &mut seen);
    report(&format!("{} cells, {count:?}", seen.len()));
    assert!(count.refused > 1_000 && count.accepted > 50, "{count:?}");
}

/// Beside repaired keys: data of a later epoch, which anybody can write, make a member ask for the key. An old RA-R, which
/// anybody can play again, and one that nobody sealed, do not take the request back; the leader's own answer does.
#[test]
fn no_stranger_takes_a_request_for_the_key_back() {
    for editions in
        mixed::some_mixes().into_iter().filter(|mix| !mix.is_published(Part::Keys) && !mix.is_published(Part::Data))
    {
        let recorded = shared(Recorded::default());
        let mut world = World::new(SEED);
        world.add_checker(recorded.clone());
        let star = MixedStar::add(&mut world, mixed::terms(editions), 2).unwrap();
        star.join_all(&mut world, SECOND * 10).unwrap();
        world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
        world.run_for(SECOND * 7).unwrap();
        star.say(&mut world, 9, b"a word").unwrap().unwrap();
        world.run_for(SECOND / 10).unwrap();
        let (tables, member) = (Tables::default(), star.members[0]);
        let link = world.links_between(member, star.leader)[0];
        let came = |id: &str| -> Vec<Vec<u8>> {
            let recorded = recorded.borrow();
            let here = recorded.0.iter().filter(|(to, frame)| *to == link && tables.id(frame) == id);
            here.map(|(_, frame)| frame.clone()).collect()
        };
        let keys = came("RA-R");
        let mut later = Draft::of(&tables, came("RA-D").last().unwrap()).unwrap();
        let epoch = world.get(member).unwrap().epoch().0;
        later.clear.find_mut("epoch").unwrap().content = Content::Leaf((epoch + 1).to_be_bytes().to_vec());
        // The link is dead for what the member sends, so that nobody answers.
        world.set_adversary(DropMatching(move |frame: &InTransit, _: &Tables| frame.from_link == link));
        world.inject(link, later.frame().to_vec(), Duration::ZERO);
        world.run_for(Duration::from_millis(1)).unwrap();
        let asking = digest(world.get(member).unwrap());
        let mut forged = keys.last().unwrap().clone();
        *forged.last_mut().unwrap() ^= 1;
        for frame in [&keys[0], &forged] {
            world.inject(link, frame.clone(), Duration::ZERO);
            world.run_for(Duration::from_micros(1)).unwrap();
            assert!(digest(world.get(member).unwrap()) == asking, "{editions:?}");
        }
        world.inject(link, keys.last().unwrap().clone(), Duration::ZERO);
        world.run_for(Duration::from_micros(1)).unwrap();
        assert!(digest(world.get(member).unwrap()) != asking, "{editions:?}: it has the key that it asks for");
    }
}

/// What came, over which link.
#[derive(Default)]
struct Recorded(Vec<(Link, Vec<u8>)>);

impl Checker for Recorded {
    fn name(&self) -> &'static str {
        "Recorded"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        if let Input::Frame(frame) = step.input {
            self.0.push((frame.to_link, frame.bytes.to_vec()));
        }
        Ok(())
    }
}
