//! R1, R25: whatever arrives, nothing panics; and a frame that is refused changes nothing but counters, in every state of
//! every role, byte for byte of the state digest. R4, R46: nor does it show on the wire, then or later, whatever the reason.
//!
//! Sessions run in the simulator, and at each (message, state of its receiver) the frame and a copy of the machine are
//! kept. Then mutants of the frame are given to copies of the machine: bytes turned, cut, added and spliced; and one
//! field changed, clear or inside the box, and made authentic again under the right key.
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/keyring.rs"]
mod keyring;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use keyring::{Keyring, Opened, number};
use sodality::antigone::{Access, Leader, Member};
use sodality::crypto::{Suite, chacha20_poly1305};
use sodality::endpoint::{Cx, Endpoint, Instant, Link, Transmit, Wake};
use sodality::error::Reason;
use sodality::event::{Cause, Causes, EndReason, Event, JoinFailure};
use sodality::fingerprint::Fingerprint;
use sodality::identity::{MemberId, Name};
use sodality::policy::{EjectRequests, OnSilence, Policy, Protection, Views};
use sodality::sim::star::{self, Star, StarConfig};
use sodality::sim::{
    Checker, Draft, DropMatching, Gang, InTransit, Input, LinkConfig, Moment, Observed, ReplayAll, SimRng, Stop,
    Tables, World, shared,
};
use sodality::ttp::ThirdParty;
use sodality::wire::mutate::{self, change_leaf, leaves, mix};
use sodality::wire::shape::Content;
use sodality::wire::{Header, Value};

const SEED: u64 = 0x0dd_f4a3e5;
/// Frames kept of each (message, state), and one more that comes a second time.
const KEPT: usize = 2;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

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

    fn digest(&self, now: Instant) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Third(machine) => machine.fingerprint(now, &mut out),
            Self::Leader(machine) => machine.fingerprint(now, &mut out),
            Self::Member(machine) => machine.fingerprint(now, &mut out),
        }
        out
    }

    /// The role, and where it stands with what this frame is about.
    fn state(&self, frame: &[u8], tables: &Tables) -> String {
        let clear = tables.dissect(frame).map(|(info, parts)| (info.id, parts.clear));
        let cid = clear.as_ref().and_then(|(_, clear)| number(clear, "cid")).map(MemberId);
        match self {
            Self::Third(machine) if machine.open_lookups() > 0 => "T looking up".into(),
            Self::Third(_) => "T idle".into(),
            Self::Leader(machine) => {
                let named = |name: &str| machine.label_of_name(&Name::new(name).unwrap());
                let label = match &clear {
                    Some(("RA-J1", clear)) => {
                        let member = clear.find("member").unwrap().to_bytes();
                        named(std::str::from_utf8(&member[1..]).unwrap())
                    }
                    Some(("RA-T2", _)) => {
                        let all = ["m1", "m2", "m3"].map(named);
                        ["waiting", "deciding"].into_iter().find(|label| all.contains(label)).unwrap_or("unasked")
                    }
                    _ => cid.map_or("-", |cid| machine.label_of(cid)),
                };
                format!("L {label}{}", protected(Some(machine.policy()), &clear))
            }
            Self::Member(machine) => format!("M {}{}", machine.label(), protected(machine.policy(), &clear)),
        }
    }
}

fn protected(policy: Option<&Policy>, clear: &Option<(&str, Value)>) -> String {
    match (policy, clear) {
        (Some(policy), Some(("RA-D", _))) => {
            let signed = if policy.origin { ", signed" } else { "" };
            let hidden = if policy.views == Views::Hidden { ", hidden" } else { "" };
            format!(" ({:?}{signed}{hidden})", policy.protection)
        }
        _ => String::new(),
    }
}

/// A frame, and the machine that it is about to reach.
#[derive(Clone)]
struct Sample {
    frame: Vec<u8>,
    link: Link,
    at: Instant,
    machine: Machine,
    ring: Keyring,
    replayed: bool,
}

/// What must be reached: p mutants that parse, k that are authentic, r refused, R refused though authentic, a accepted,
/// e that end something. No letter stands where it cannot be: nobody has keys with an idle member, a refusal of data ends
/// nothing, what is unprotected is not authentic.
#[rustfmt::skip]
const REACHED: &[(&str, &str, &str)] = &[
    ("RA-CL", "M behind", "pkrRae"),
    ("RA-CL", "M confirming", "pkrRae"),
    ("RA-CL", "M ending", "pkrRa"),
    ("RA-CL", "M held", "pkrRae"),
    ("RA-CL", "M idle", "pr"),
    ("RA-CL", "M in", "pkrRae"),
    ("RA-CL", "M paging", "pkrRae"),
    ("RA-CL", "M stale", "pkrRae"),
    ("RA-CM", "L admitted", "pkrRae"),
    ("RA-CM", "L lingering", "pkrRa"),
    ("RA-CM", "L member", "pkrRae"),
    ("RA-CM", "L offered", "pkrRae"),
    ("RA-CM", "L suspected", "pkrRae"),
    ("RA-D", "L member (Both)", "pkrRa"),
    ("RA-D", "L member (Both, hidden)", "pkrRa"),
    ("RA-D", "L member (Both, signed)", "pkrRa"),
    ("RA-D", "L member (Confidentiality)", "pkrRa"),
    ("RA-D", "L member (Confidentiality, hidden)", "pkrRa"),
    ("RA-D", "L member (Confidentiality, signed)", "pkrRa"),
    ("RA-D", "L member (Integrity)", "pkrRa"),
    ("RA-D", "L member (Integrity, hidden)", "pkrRa"),
    ("RA-D", "L member (Integrity, signed)", "pkrRa"),
    ("RA-D", "L member (None)", "pra"),
    ("RA-D", "L member (None, hidden)", "pra"),
    ("RA-D", "M behind (Both, signed)", "pra"),
    ("RA-D", "M ending", "pr"),
    ("RA-D", "M in (Both)", "pkrRa"),
    ("RA-D", "M in (Both, hidden)", "pkrRa"),
    ("RA-D", "M in (Both, signed)", "pkrRa"),
    ("RA-D", "M in (Confidentiality)", "pkrRa"),
    ("RA-D", "M in (Confidentiality, hidden)", "pkrRa"),
    ("RA-D", "M in (Confidentiality, signed)", "pkrRa"),
    ("RA-D", "M in (Integrity)", "pkrRa"),
    ("RA-D", "M in (Integrity, hidden)", "pkrRa"),
    ("RA-D", "M in (Integrity, signed)", "pkrRa"),
    ("RA-D", "M in (None)", "pra"),
    ("RA-D", "M in (None, hidden)", "pra"),
    ("RA-D", "M stale (Both, signed)", "pra"),
    ("RA-H", "M behind", "pkra"),
    ("RA-H", "M ending", "pr"),
    ("RA-H", "M idle", "pr"),
    ("RA-H", "M in", "pkra"),
    ("RA-J1", "L deciding", "pra"),
    ("RA-J1", "L member", "pra"),
    ("RA-J1", "L offered", "pra"),
    ("RA-J1", "L refused", "pra"),
    ("RA-J1", "L unknown", "pra"),
    ("RA-J1", "L waiting", "pra"),
    ("RA-J2", "M asking", "pkra"),
    ("RA-J2", "M confirming", "pr"),
    ("RA-J2", "M in", "pr"),
    ("RA-R", "M behind", "pkrRa"),
    ("RA-R", "M confirming", "pkrRa"),
    ("RA-R", "M ending", "pr"),
    ("RA-R", "M held", "pkra"),
    ("RA-R", "M in", "pkrRa"),
    ("RA-R", "M stale", "pkra"),
    ("RA-T1", "T idle", "pkra"),
    ("RA-T1", "T looking up", "pkra"),
    ("RA-T2", "L deciding", "pr"),
    ("RA-T2", "L unasked", "pr"),
    ("RA-T2", "L waiting", "pkra"),
];

/// Reasons that must be met, so that what is said of the wire holds whatever the reason.
const REASONS: &[Reason] = &[
    Reason::Malformed,
    Reason::Mismatch,
    Reason::Misdirected,
    Reason::Unknown,
    Reason::Forged,
    Reason::Replayed,
    Reason::OldEpoch,
    Reason::BeforeJoin,
    Reason::NoSuchEpoch,
    Reason::OtherGroup,
    Reason::Echo,
    Reason::Protection,
    Reason::NotMember,
    Reason::Violation,
    Reason::Budget,
    Reason::NotCurrent,
    Reason::Ended,
];

type Cell = (&'static str, String);

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

fn sessions() -> BTreeMap<Cell, Vec<Sample>> {
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
    catcher.take().samples
}

fn mutants(sample: &Sample, other: &[u8], tables: &Tables, rng: &mut u64) -> Vec<Vec<u8>> {
    let mut random = || mix(rng);
    let mut all = Vec::new();
    let frame = &sample.frame;
    for _ in 0..24 {
        all.push(mutate::mutate(frame, other, &mut random));
    }
    let Some(opened) = sample.ring.open(tables, frame) else { return all };
    let info = opened.draft.info;
    for leaf in leaves(&opened.draft.clear) {
        for _ in 0..4 {
            let Some(clear) = change_leaf(&opened.draft.clear, &leaf.path, info.clear, &mut random) else { continue };
            let changed = Opened { draft: Draft { clear, ..opened.draft.clone() }, ..opened.clone() };
            all.push(changed.draft.frame().to_vec());
            all.extend(close(sample, &changed));
        }
    }
    if let (Some(shape), Ok(body)) = (info.body, opened.draft.body()) {
        for leaf in leaves(&body) {
            for _ in 0..3 {
                let Some(body) = change_leaf(&body, &leaf.path, shape, &mut random) else { continue };
                let mut changed = opened.clone();
                changed.draft.set_body(&body);
                all.extend(close(sample, &changed));
            }
        }
    }
    // A question wraps a request: change that one too, under the member's key and the leader's.
    if let Some(join) = opened.draft.clear.find("join").filter(|_| info.id == "RA-T1") {
        let inner = &join.to_bytes()[2..];
        let inner = sample.ring.open(tables, inner).expect("the request was made here");
        for leaf in leaves(&inner.draft.clear) {
            let changed = change_leaf(&inner.draft.clear, &leaf.path, inner.draft.info.clear, &mut random);
            let Some(clear) = changed else { continue };
            let asked = Opened { draft: Draft { clear, ..inner.draft.clone() }, ..inner.clone() };
            let kept = asked.draft.frame().to_vec();
            for request in sample.ring.close(&asked).into_iter().chain([kept]) {
                let mut changed = opened.clone();
                let length = (request.len() as u16).to_be_bytes();
                let bytes = [&length[..], &request].concat();
                changed.draft.clear.find_mut("join").unwrap().content = Content::Leaf(bytes);
                all.extend(close(sample, &changed));
            }
        }
    }
    all
}

/// The changed message made authentic; data is signed anew as well.
fn close(sample: &Sample, changed: &Opened) -> Vec<Vec<u8>> {
    let mut all = vec![changed.clone()];
    if changed.draft.info.id == "RA-D"
        && let Ok(mut body) = changed.draft.body()
    {
        let of = |body: &Value, name: &str| body.find(name).map(Value::to_bytes).unwrap_or_default();
        let (origin, port, payload) = (of(&body, "origin"), of(&body, "port"), of(&body, "payload"));
        let covered = changed.draft.covered();
        let parts: [&[u8]; 4] = [b"sodality ra 1 origin", &covered, &port, &payload];
        if let Some(signature) = sample.ring.sign_again(origin.get(2..).unwrap_or_default(), &parts) {
            let bytes = signature.as_bytes();
            let content = [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
            body.find_mut("origin").unwrap().content = Content::Leaf(content);
            let mut signed = changed.clone();
            signed.draft.set_body(&body);
            all.push(signed);
        }
    }
    all.iter().filter_map(|changed| sample.ring.close(changed)).collect()
}

#[derive(Default, Debug, Clone)]
struct Count {
    mutants: usize,
    parsed: usize,
    authentic: usize,
    rejected: usize,
    rejected_authentic: usize,
    accepted: usize,
    ended: usize,
    why: BTreeSet<Reason>,
}

/// Takes all output, and says what it was.
fn drain(machine: &mut Machine, now: Instant, rng: &mut SimRng) -> (Vec<Transmit>, Vec<Event>) {
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    let end = machine.end();
    loop {
        let mut more = false;
        while let Some(frame) = end.poll_transmit(&mut Cx::new(now, rng)) {
            frames.push(frame);
            more = true;
            assert!(frames.len() < 10_000, "output without end");
        }
        while let Some(event) = end.poll_event() {
            events.push(event);
            more = true;
        }
        if !more {
            return (frames, events);
        }
    }
}

/// A machine that has said what it had to say, its digest, and what it goes on to send if nothing is refused meanwhile.
struct Ready {
    machine: Machine,
    digest: Vec<u8>,
    undisturbed: Vec<(Instant, Transmit)>,
}

/// Gives a mutant to a copy of the machine, and holds what happens against the rules.
fn feed(sample: &Sample, ready: &Ready, mutant: &[u8], tables: &Tables, count: &mut Count) {
    let (now, mut rng, mut unchanged) = (sample.at, SimRng::new(SEED), false);
    let Ready { machine: ready, digest, undisturbed } = ready;
    let mut machine = ready.clone();
    let state = machine.state(mutant, tables);
    let rejections = machine.end().stats().rejections();
    let verified = sample.ring.verified();
    machine.end().handle_frame(&mut Cx::new(now, &mut rng), sample.link, BytesMut::from(mutant)).unwrap();
    let mut events = Vec::new();
    while let Some(event) = machine.end().poll_event() {
        events.push(event);
    }
    // The third party's database answers at once.
    if let (Machine::Third(third), Some(Event::LookupWanted { ticket, leader, member })) =
        (&mut machine, events.first().cloned())
    {
        let records = star::records(&sample.ring, &leader, &member);
        third.answer(&mut Cx::new(now, &mut rng), ticket, &records).unwrap();
        while let Some(event) = third.poll_event() {
            events.push(event);
        }
    }
    let authentic = sample.ring.verified() > verified;
    let id = tables.id(mutant);
    let parsed = tables.dissect(mutant).is_some();
    let tell = || {
        let mutant = format!("{id} as {mutant:02x?}");
        format!("{mutant}\nin {state} at {now:?}: {events:?}\nauthentic {authentic}")
    };
    count.mutants += 1;
    count.parsed += usize::from(parsed);
    count.authentic += usize::from(authentic);
    let refused: Vec<Reason> = events
        .iter()
        .filter_map(|event| match event {
            Event::Rejected { why, .. } => Some(*why),
            _ => None,
        })
        .collect();
    let counted = machine.end().stats().rejections() - rejections;
    assert_eq!(counted, refused.len() as u64, "each refusal is counted once: {}", tell());
    // At an install, frames that came before their key and still have none are given up (RA §4.4): others, not this one.
    let installs = events.iter().any(|event| matches!(event, Event::Installed { .. }));
    let refused: Vec<_> = refused.into_iter().filter(|why| !(installs && *why == Reason::EarlyEpoch)).collect();
    assert!(refused.len() < 2, "one reason for one frame: {}", tell());
    match refused.first() {
        Some(why) => {
            assert!(!matches!(why, Reason::Entropy | Reason::Suite), "nothing fails here: {}", tell());
            count.rejected += 1;
            count.rejected_authentic += usize::from(authentic);
            count.why.insert(*why);
            if machine.digest(now) != *digest {
                assert!(authentic, "a refused frame that nobody sealed has changed the state: {}", tell());
                assert!(
                    ends(&state, *why, &machine, mutant, tables),
                    "a refused frame has changed the state: {}",
                    tell()
                );
                count.ended += 1;
            } else {
                let (frames, later) = drain(&mut machine, now, &mut rng);
                assert_eq!((frames, later), (Vec::new(), Vec::new()), "a refused frame is answered: {}", tell());
                unchanged = true;
            }
        }
        None => {
            count.accepted += 1;
            assert!(parsed, "accepted, but not a message: {}", tell());
            // What may be taken in unproven: a join request, which touches nobody; data that waits for its key, within
            // bounds; data without protection. A question to the third party is judged by its answer.
            let unproven = match (&machine, id) {
                (Machine::Leader(_), "RA-J1") => true,
                (Machine::Member(_), "RA-D") if events.is_empty() => true,
                (_, "RA-D") => state.contains("(None"),
                _ => false,
            };
            assert!(authentic || unproven, "accepted without a proof: {}", tell());
        }
    }
    let sent = outlive(&mut machine, sample, tell);
    if unchanged {
        // R4, R46: whatever the reason, and whether there was a frame to refuse at all.
        assert_eq!(&sent, undisturbed, "a refusal shows on the wire later on: {}", tell());
    }
}

/// Life goes on, for a while and with the true frame. What is sent meanwhile, and when.
fn outlive(machine: &mut Machine, sample: &Sample, tell: impl Fn() -> String) -> Vec<(Instant, Transmit)> {
    let (now, mut rng, mut sent) = (sample.at, SimRng::new(SEED), Vec::new());
    let mut at = now;
    for wait in [0, 1_000, 600_000, 20_000_000] {
        at = at + Duration::from_micros(wait);
        if wait == 1_000 {
            machine
                .end()
                .handle_frame(&mut Cx::new(at, &mut rng), sample.link, BytesMut::from(&*sample.frame))
                .unwrap();
        }
        machine.end().handle_timeout(&mut Cx::new(at, &mut rng)).unwrap();
        sent.extend(drain(machine, at, &mut rng).0.into_iter().map(|frame| (at, frame)));
        let mut wakes = 0;
        while matches!(machine.end().poll_timeout(), Wake::Now(_)) {
            machine.end().handle_timeout(&mut Cx::new(at, &mut rng)).unwrap();
            sent.extend(drain(machine, at, &mut rng).0.into_iter().map(|frame| (at, frame)));
            wakes += 1;
            assert!(wakes < 1000, "it wakes again and again: {}", tell());
        }
    }
    sent
}

/// The refusals of authentic frames that end something, and what they end.
fn ends(before: &str, why: Reason, machine: &Machine, mutant: &[u8], tables: &Tables) -> bool {
    let after = machine.state(mutant, tables);
    match (machine, why) {
        // RA §4.2 (0): end(protocol).
        (Machine::Member(_), Reason::Violation) => {
            ["M confirming", "M held", "M paging", "M in", "M stale", "M behind"].contains(&before)
                && after == "M ending"
        }
        (Machine::Leader(_), Reason::Violation) => matches!(
            (before, &*after),
            ("L member" | "L admitted" | "L suspected", "L lingering") | ("L offered", "L unknown")
        ),
        _ => false,
    }
}

#[test]
fn a_refused_frame_changes_nothing_but_counters() {
    println!("seed {SEED:#x}");
    let tables = Tables::default();
    let samples = sessions();
    let (mut rng, mut sent) = (SEED, 0);
    let mut table: BTreeMap<&Cell, Count> = BTreeMap::new();
    let examples: BTreeMap<&str, &Sample> = samples.iter().map(|((id, _), kept)| (*id, &kept[0])).collect();
    for (cell, kept) in &samples {
        let count = table.entry(cell).or_default();
        for sample in kept {
            let mut machine = sample.machine.clone();
            drain(&mut machine, sample.at, &mut SimRng::new(SEED));
            let digest = machine.digest(sample.at);
            assert_eq!(digest, machine.clone().digest(sample.at), "a copy is the same");
            let undisturbed = outlive(&mut machine.clone(), sample, || "undisturbed".into());
            sent += undisturbed.len();
            let ready = Ready { machine, digest, undisturbed };
            let other = &examples[["RA-CL", "RA-D", "RA-R", "RA-J1"][(mix(&mut rng) % 4) as usize]].frame;
            for mutant in mutants(sample, other, &tables, &mut rng) {
                if mutant != sample.frame {
                    feed(sample, &ready, &mutant, &tables, count);
                }
            }
            // Well-formed messages of every type, and true ones of other sessions.
            let suite = sample.ring.id();
            for info in sodality::wire::TABLES.into_iter().flatten() {
                let mut random = || mix(&mut rng);
                let clear = mutate::arbitrary_value(info.name, info.clear, &mut random).unwrap();
                let header = Header { system: info.system, edition: info.edition, suite };
                let frame = info.compose(header, &clear.to_bytes(), &[7; 40], &[9; 16]);
                feed(sample, &ready, &frame, &tables, &mut Count::default());
            }
            for example in examples.values().filter(|example| !std::ptr::eq(**example, sample)) {
                feed(sample, &ready, &example.frame, &tables, &mut Count::default());
            }
            assert_eq!(ready.machine.digest(sample.at), ready.digest, "copies share nothing that changes");
        }
    }
    println!(
        "{:<7}{:<38}{:>8}{:>8}{:>10}{:>9}{:>10}{:>9}{:>7}",
        "", "", "mutants", "parsed", "authentic", "refused", "authentic", "accepted", "ended"
    );
    for ((id, state), c) in &table {
        println!(
            "{id:<7}{state:<38}{:>8}{:>8}{:>10}{:>9}{:>10}{:>9}{:>7}  {:?}",
            c.mutants, c.parsed, c.authentic, c.rejected, c.rejected_authentic, c.accepted, c.ended, c.why
        );
    }
    let reasons: BTreeSet<Reason> = table.values().flat_map(|count| count.why.iter().copied()).collect();
    println!("{} reasons: {reasons:?}; {sent} frames sent by machines that were left alone", reasons.len());
    assert!(sent > 0 && REASONS.iter().all(|why| reasons.contains(why)), "reasons met: {reasons:?}");
    let mut wrong = Vec::new();
    for (id, state, wanted) in REACHED {
        let count = table.get(&(*id, state.to_string())).cloned().unwrap_or_default();
        for letter in wanted.chars() {
            let cell = match letter {
                'p' => count.parsed,
                'k' => count.authentic,
                'r' => count.rejected,
                'R' => count.rejected_authentic,
                'a' => count.accepted,
                _ => count.ended,
            };
            if cell == 0 {
                wrong.push(format!("{id} {state}: {letter} of {wanted}"));
            }
        }
    }
    let listed: BTreeSet<_> = REACHED.iter().map(|(id, state, _)| (*id, *state)).collect();
    let unlisted = table.keys().filter(|(id, state)| !listed.contains(&(*id, state.as_str())));
    wrong.extend(unlisted.map(|(id, state)| format!("{id} {state}: nothing is said of what must be reached")));
    assert_eq!(wrong, [""; 0], "what was not reached");
}
