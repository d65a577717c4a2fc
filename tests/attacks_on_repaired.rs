//! The adversary against the repaired edition, with recorded, withheld and made-up frames: each attack by its id, the
//! reason by which it is refused, and that nothing but counters has changed (S10). Where a check can be left out, the
//! attack wins without it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sodality::antigone::{Access, Leader, Member, MemberConfig};
use sodality::crypto::symbolic::symbolic;
use sodality::endpoint::{Cx, Endpoint, Link};
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Cause, Ending, Event, JoinFailure, Port, Refusal, Shortfall};
use sodality::fingerprint::Fingerprint;
use sodality::group::{Check, Checks, Limits};
use sodality::identity::{MemberId, Name};
use sodality::policy::{Floor, Policy, Protection};
use sodality::sim::star::{APP, LEADER, Star, StarConfig, long_term_key};
use sodality::sim::{
    Adversary, Draft, InTransit, LinkConfig, Mixer, Net, Node, NodeId, SimRng, Tables, Verdict, World,
};
use sodality::sim::{check, shared};
use sodality::wire::shape::Content;

const SECOND: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(100);
/// misses · period + RTO.
const T_MAX: Duration = Duration::from_millis(15_500);

type Holds = Box<dyn Fn(&InTransit, &str) -> bool>;

/// Writes all frames down, and withholds what it is told to.
#[derive(Default)]
struct Tap {
    frames: Vec<InTransit>,
    held: Vec<InTransit>,
    holds: Option<Holds>,
}

impl Adversary for Tap {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        self.frames.push(frame.clone());
        let id = net.tables.id(&frame.bytes);
        if self.holds.as_ref().is_some_and(|holds| holds(frame, id)) {
            self.held.push(frame.clone());
            return Verdict::Drop;
        }
        Verdict::Pass
    }
}

struct Scene {
    world: World,
    star: Star,
    tap: Rc<RefCell<Tap>>,
}

fn config(policy: Policy, checks: Checks) -> StarConfig {
    let limits = Limits { checks, ..Limits::default() };
    StarConfig { policy, limits, link: LinkConfig::DATAGRAM.max_frame(65_536), ..StarConfig::new(symbolic().silent()) }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl Scene {
    /// A group in which nobody has asked yet.
    fn open(config: StarConfig, members: &[&str]) -> Self {
        let mut world = World::new(11);
        if config.limits.checks == Checks::ALL {
            world.add_checker(check::EpochsGrow::default());
            world.add_checker(check::ViewsAgree::default());
            world.add_checker(check::NoReplayDelivered::default());
            world.add_checker(check::RemovalHasCause::new());
        }
        let tap = shared(Tap::default());
        world.set_adversary(tap.clone());
        let names: Vec<String> = members.iter().map(|name| (*name).to_owned()).collect();
        let star = Star::with_names(&mut world, config, &names).unwrap();
        Self { world, star, tap }
    }

    /// A group in which all have joined and their last rekey has settled.
    fn joined(checks: Checks, members: usize) -> Self {
        let names = ["m1", "m2", "m3"];
        let mut scene = Self::open(config(Policy::default(), checks), &names[..members]);
        scene.star.join_all(&mut scene.world, SECOND * 60).unwrap();
        scene.run(SECOND * 6);
        scene
    }

    fn run(&mut self, span: Duration) {
        self.world.run_for(span).unwrap_or_else(|stop| panic!("{stop}\n{}", self.world.trace().tail(60)));
    }

    fn member(&self, n: usize) -> &Member {
        self.world.get(self.star.members[n]).unwrap()
    }

    fn leader(&self) -> &Leader {
        self.world.get(self.star.leader).unwrap()
    }

    fn join(&mut self, n: usize) {
        let member = self.star.members[n];
        self.world.command(member, "join", |member, cx| member.join(cx)).unwrap().unwrap();
    }

    fn leave(&mut self, n: usize) {
        let member = self.star.members[n];
        self.world.command(member, "leave", |member, cx| member.leave(cx)).unwrap().unwrap();
    }

    fn rekey(&mut self) {
        self.world.with(self.star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
    }

    fn say(&mut self, n: usize, text: &[u8]) -> Result<(), CommandError> {
        self.star.say(&mut self.world, n, text).unwrap()
    }

    /// The recorded frames of this kind to that node, oldest first.
    fn frames(&self, id: &str, to: impl Into<NodeId>) -> Vec<InTransit> {
        let (tables, to) = (Tables::default(), to.into());
        let wanted = |frame: &&InTransit| frame.to == to && tables.id(&frame.bytes) == id;
        self.tap.borrow().frames.iter().filter(wanted).cloned().collect()
    }

    fn last(&self, id: &str, to: impl Into<NodeId>) -> InTransit {
        self.frames(id, to).pop().expect("such a frame was sent")
    }

    fn hold(&mut self, holds: impl Fn(&InTransit, &str) -> bool + 'static) {
        self.tap.borrow_mut().holds = Some(Box::new(holds));
    }

    /// Holds nothing back any more, and gives what was held.
    fn release(&mut self) -> Vec<InTransit> {
        let mut tap = self.tap.borrow_mut();
        tap.holds = None;
        std::mem::take(&mut tap.held)
    }

    fn digest(&self, node: NodeId) -> u128 {
        let (now, mut mixer) = (self.world.now(), Mixer::new());
        if let Some(member) = self.world.typed::<Member>(node) {
            self.world.get(member).unwrap().fingerprint(now, &mut mixer);
        } else {
            self.leader().fingerprint(now, &mut mixer);
        }
        mixer.digest()
    }

    /// Lets `bytes` come to the holder of `link` now. Why it was refused, if it was.
    fn inject(&mut self, link: Link, bytes: impl Into<Bytes>) -> Option<Reason> {
        let node = self.world.holder(link).unwrap();
        let before = self.world.events(node).len();
        self.world.inject(link, bytes, Duration::ZERO);
        self.run(Duration::ZERO);
        self.world.events(node)[before..].iter().find_map(|event| match event {
            Event::Rejected { why, .. } => Some(*why),
            _ => None,
        })
    }

    /// Such a frame is refused for this reason, and nothing has changed but counters.
    #[track_caller]
    fn refuses(&mut self, link: Link, bytes: impl Into<Bytes>, why: Reason) {
        let node = self.world.holder(link).unwrap();
        let before = self.digest(node);
        assert_eq!(self.inject(link, bytes), Some(why));
        assert_eq!(self.digest(node), before, "a refused frame changed the state");
    }

    #[track_caller]
    fn refuses_again(&mut self, frame: &InTransit, why: Reason) {
        self.refuses(frame.to_link, frame.bytes.clone(), why);
    }

    fn told(&self, node: impl Into<NodeId>, event: &Event) -> bool {
        self.world.events(node).contains(event)
    }

    #[track_caller]
    fn all_is_well(&mut self) {
        assert!(self.star.converged(&self.world), "{}", self.world.trace().tail(30));
    }
}

fn number(draft: &mut Draft, field: &str, change: impl Fn(u64) -> u64) {
    let Content::Leaf(bytes) = &mut draft.clear.find_mut(field).unwrap().content else { panic!("{field} is a number") };
    let value = u64::from_be_bytes(bytes.as_slice().try_into().unwrap());
    *bytes = change(value).to_be_bytes().to_vec();
}

fn draft(frame: &InTransit) -> Draft {
    Draft::of(&Tables::default(), &frame.bytes).unwrap()
}

// ---- data ----

#[test]
fn a1_replayed_data_is_refused_by_its_number_and_then_by_its_key() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    scene.say(0, b"once").unwrap();
    scene.run(SOON);
    let (leader, other) = (scene.star.leader, scene.star.members[1]);
    let copies = [scene.last("RA-D", leader), scene.last("RA-D", other)];
    for copy in &copies {
        scene.refuses_again(copy, Reason::Replayed);
    }
    scene.rekey();
    scene.run(SOON);
    for copy in &copies {
        scene.refuses_again(copy, Reason::Replayed);
    }
    scene.run(SECOND * 6);
    for copy in &copies {
        scene.refuses_again(copy, Reason::OldEpoch);
    }
    assert_eq!(Star::heard(&scene.world, other, b"once"), 1);

    let mut scene = Scene::joined(Checks::ALL.without(Check::DataNumber), 2);
    scene.say(0, b"once").unwrap();
    scene.run(SOON);
    let copy = scene.last("RA-D", other);
    assert_eq!(scene.inject(copy.to_link, copy.bytes), None);
    assert_eq!(Star::heard(&scene.world, other, b"once"), 2, "without the window the replay is delivered");
}

#[test]
fn a15_who_left_opens_and_says_nothing_more() {
    let mut scene = Scene::joined(Checks::ALL, 3);
    scene.say(0, b"before").unwrap();
    scene.hold(|_, id| id == "RA-D");
    scene.say(0, b"withheld until it has left").unwrap();
    scene.leave(0);
    scene.run(SOON);
    let held = scene.release();
    // The evicting rekey ends the old key at once: grace is for plain ones.
    scene.refuses_again(&held[0], Reason::OldEpoch);
}

// ---- join ----

#[test]
fn a4_a_swapped_name_is_refused_and_the_blame_is_sealed() {
    // In RA-J1, on its way to the leader: the third party says so, under a key of this question and status.
    let mut scene = Scene::open(config(Policy::default(), Checks::ALL), &["m1", "m2"]);
    scene.hold(|_, id| id == "RA-J1");
    scene.join(0);
    scene.run(SOON);
    let honest = scene.release().remove(0);
    let mut swapped = draft(&honest);
    swapped.clear.find_mut("member").unwrap().content = Content::Leaf(b"\x02m2".to_vec());
    assert_eq!(scene.inject(honest.to_link, swapped.frame()), None, "a leader cannot tell yet");
    scene.run(SOON);
    let (leader, first) = (scene.star.leader, scene.star.members[0]);
    assert!(scene.told(leader, &Event::NotVouched { name: name("m2"), why: Refusal::BadTag }));
    assert!(scene.frames("RA-J2", first).is_empty(), "silence to whoever asked (R46)");
    // In RA-T1: the leader's tag.
    let third_party = scene.star.third_party;
    scene.run(SECOND * 2);
    let question = scene.last("RA-T1", third_party);
    let mut bytes = question.bytes.to_vec();
    let at = bytes.windows(3).rposition(|part| part == b"\x02m1").unwrap();
    bytes[at + 2] = b'2';
    assert_eq!(scene.inject(question.to_link, bytes), Some(Reason::Forged));
    // The honest join is not disturbed.
    scene.run(SECOND * 2);
    assert!(scene.member(0).is_current());
}

#[test]
fn a4_an_answer_for_another_join_is_refused() {
    let mut scene = Scene::open(config(Policy::default(), Checks::ALL), &["m1", "m2"]);
    scene.hold(|_, id| id == "RA-T2");
    scene.join(0);
    scene.join(1);
    scene.run(SOON);
    let held = scene.release();
    let (first, second) = (draft(&held[0]), draft(&held[1]));
    // The key of the one in the answer to the other.
    let mut crossed = second.clone();
    *crossed.clear.find_mut("i1").unwrap() = first.clear.find("i1").unwrap().clone();
    scene.refuses(held[0].to_link, crossed.frame(), Reason::Forged);
    let mut refused = first.clone();
    refused.clear.find_mut("status").unwrap().content = second.clear.find("status").unwrap().content.clone();
    assert_eq!(scene.inject(held[0].to_link, refused.frame()), None, "the true answer still counts");
    // Each I1 is used once.
    scene.refuses_again(&held[0], Reason::Unknown);
    scene.run(SECOND * 10);
    scene.all_is_well();
}

#[test]
fn x15_e8_a_forged_refusal_is_noise() {
    let mut scene = Scene::open(config(Policy::default(), Checks::ALL), &["m1", "m2"]);
    scene.hold(|_, id| id == "RA-J2");
    scene.join(0);
    scene.join(1);
    scene.run(SOON);
    let held = scene.release();
    let mut forged = draft(&held[0]);
    forged.text = vec![1, 0];
    scene.refuses(held[0].to_link, forged.frame(), Reason::Forged);
    // Somebody else's answer, and that one with the nonce of this attempt.
    scene.refuses(held[0].to_link, held[1].bytes.clone(), Reason::Unknown);
    let mut crossed = draft(&held[1]);
    *crossed.clear.find_mut("i0").unwrap() = draft(&held[0]).clear.find("i0").unwrap().clone();
    scene.refuses(held[0].to_link, crossed.frame(), Reason::Forged);
    scene.run(SECOND * 12);
    scene.all_is_well();
}

#[test]
fn d17_a_rekey_while_somebody_joins_is_no_race() {
    let mut scene = Scene::joined(Checks::ALL, 3);
    scene.leave(2);
    scene.run(SECOND * 6);
    let joining: NodeId = scene.star.members[2].into();
    scene.hold(move |frame, id| frame.to == joining && id != "RA-J2");
    scene.join(2);
    scene.run(SOON);
    scene.rekey();
    scene.run(SECOND * 6);
    let held = scene.release();
    let newest = scene.leader().epoch();
    // The blocks of two epochs, the older one last.
    for frame in held.iter().rev() {
        scene.inject(frame.to_link, frame.bytes.clone());
    }
    scene.run(SECOND * 3);
    assert_eq!(scene.member(2).epoch(), newest);
    scene.all_is_well();
}

#[test]
fn r8_r38_a_policy_below_the_floor_is_refused_by_name() {
    let weaker = Policy::default();
    let none = Floor::none();
    let cases = [
        (
            Policy { ephemeral: false, ..weaker.clone() },
            Floor { ephemeral: true, ..none.clone() },
            Shortfall::ForwardSecrecy,
        ),
        (
            Policy { protection: Protection::Integrity, ..weaker.clone() },
            Floor { protection: Protection::Both, ..none.clone() },
            Shortfall::Protection,
        ),
        (Policy { origin: false, ..weaker.clone() }, Floor { origin: true, ..none.clone() }, Shortfall::Origin),
        (
            Policy { detection: None, ..weaker.clone() },
            Floor { detection: true, ..none.clone() },
            Shortfall::FailureDetection,
        ),
        (
            Policy {
                rekey_on: sodality::event::Causes::of(Cause::Open),
                views: sodality::policy::Views::WithEachKey,
                ..weaker
            },
            Floor { rekey_on_leave: true, ..none },
            Shortfall::RekeyOnLeave,
        ),
    ];
    for (policy, floor, shortfall) in cases {
        for (checks, joins) in [(Checks::ALL, false), (Checks::ALL.without(Check::PolicyFloor), true)] {
            let config = StarConfig { floor: floor.clone(), ..config(policy.clone(), checks) };
            let mut scene = Scene::open(config, &["m1"]);
            scene.join(0);
            scene.run(SECOND * 2);
            let refused = scene.told(scene.star.members[0], &Event::JoinFailed(JoinFailure::BelowFloor(shortfall)));
            assert_eq!((scene.member(0).is_current(), refused), (joins, !joins), "{shortfall:?}");
        }
    }
}

#[test]
fn refusals_by_list_and_by_application_are_sealed() {
    let listed = Access::List([name("m1")].into());
    for access in [listed, Access::Ask] {
        let config = StarConfig { access: access.clone(), ..config(Policy::default(), Checks::ALL) };
        let mut scene = Scene::open(config, &["m1", "m2"]);
        scene.join(0);
        scene.join(1);
        scene.run(SOON);
        let leader = scene.star.leader;
        for event in scene.world.take_events(leader) {
            if let Event::AdmissionWanted { ticket, name } = event {
                let admit = name.as_str() == "m1";
                scene.world.with(leader, |leader, cx| leader.admit(cx, ticket, admit)).unwrap().unwrap();
            }
        }
        scene.run(SECOND * 10);
        let outsider = scene.star.members[1];
        assert!(scene.member(0).is_current());
        assert!(scene.told(outsider, &Event::JoinRefused(Refusal::Denied)), "{access:?}");
        // On the wire it is an RA-J2 like another, whose box opens for nobody else.
        assert!(!scene.frames("RA-J2", outsider).is_empty());
        assert_eq!(scene.leader().view().members().len(), 2);
    }
}

#[test]
fn who_is_not_vouched_for_meets_silence() {
    let mut scene = Scene::open(config(Policy::default(), Checks::ALL), &["stranger1", "disabled1"]);
    let suite = scene.star.config.suite.clone();
    let liar = Member::new(MemberConfig {
        suite: suite.clone(),
        app: name(APP),
        leader: name(LEADER),
        name: name("m9"),
        key: long_term_key(&*suite, "another"),
        floor: Floor::none(),
        limits: Limits::default(),
    });
    let liar = scene.world.add("m9", liar.unwrap()).unwrap();
    scene.star.members.push(liar);
    for n in 0..3 {
        scene.join(n);
    }
    scene.run(SECOND * 16);
    let leader = scene.star.leader;
    for (n, who, why) in
        [(0, "stranger1", Refusal::Unknown), (1, "disabled1", Refusal::Disabled), (2, "m9", Refusal::BadTag)]
    {
        let node = scene.star.members[n];
        assert!(scene.told(leader, &Event::NotVouched { name: name(who), why }), "{who}");
        assert!(scene.told(node, &Event::JoinFailed(JoinFailure::Timeout)), "{who}");
        let node = NodeId::from(node);
        assert!(scene.tap.borrow().frames.iter().all(|frame| frame.to != node), "silence to {who}");
    }
    assert_eq!(scene.leader().view().members().len(), 1);
}

// ---- floods ----

/// A link to the leader that a stranger holds.
fn strangers_link(scene: &mut Scene) -> Link {
    let stranger = sodality::sim::star::member_machine(&scene.star.config, "stranger").unwrap();
    let node = scene.world.add("stranger", stranger).unwrap();
    let link = scene.star.config.link;
    scene.world.connect(node, scene.star.leader, link).unwrap().1
}

/// RA-J1 of that name, with nonce and tag made up.
fn made_up(honest: &InTransit, who: &str, rng: &mut SimRng) -> Bytes {
    let mut made = draft(honest);
    let mut lettered = vec![who.len() as u8];
    lettered.extend_from_slice(who.as_bytes());
    made.clear.find_mut("member").unwrap().content = Content::Leaf(lettered);
    if let Content::Leaf(bytes) = &mut made.clear.find_mut("i0").unwrap().content {
        let length = bytes.len();
        bytes[length - 8..].copy_from_slice(&rng.draw().to_be_bytes());
    }
    made.frame()
}

#[test]
fn x9_half_open_floods_are_bounded_and_touch_nobody() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let honest = scene.frames("RA-J1", scene.star.leader).remove(0);
    let mut rng = SimRng::new(4);
    // The third party is out of reach: every request stays pending.
    scene.hold(|_, id| id == "RA-T1");
    let before = (scene.leader().view().version(), scene.leader().epoch());
    let (mut most, mut refused) = ((0, 0), 0);
    for flood in 0..200 {
        let link = strangers_link(&mut scene);
        for one in 0..10 {
            let frame = made_up(&honest, &format!("name {flood} {one}"), &mut rng);
            refused += usize::from(scene.inject(link, frame) == Some(Reason::Budget));
        }
        most = most.max((scene.leader().pending_bytes(), scene.leader().pending_joins()));
    }
    println!("a flood of 2000 requests: at most {} pending joins in {} bytes; {refused} refused", most.1, most.0);
    assert_eq!(most.1, 1024);
    assert!(most.0 < 1024 * 3 * 1024 && refused == 2000 - 1024, "{most:?} {refused}");
    // Live members are untouched, and an honest newcomer still comes in once T_min is over.
    assert_eq!((scene.leader().view().version(), scene.leader().epoch()), before);
    scene.release();
    scene.run(SECOND);
    assert!(scene.member(0).is_current() && scene.member(1).is_current());
    let newcomer = scene.star.add_member(&mut scene.world, "m3").unwrap();
    scene.world.with(newcomer, |member, cx| member.join(cx)).unwrap().unwrap();
    scene.run(SECOND * 14);
    assert!(scene.member(2).is_current());
    // What the flood left expires.
    scene.run(SECOND * 20);
    assert_eq!(scene.leader().pending_joins(), 0);
    scene.all_is_well();
}

#[test]
fn x9_a_young_join_is_not_pushed_out_by_others_of_its_name() {
    for (checks, stays) in [(Checks::ALL, true), (Checks::ALL.without(Check::PendingGuard), false)] {
        let mut scene = Scene::open(config(Policy::default(), checks), &["m1"]);
        scene.hold(|_, id| id == "RA-T2");
        scene.join(0);
        scene.run(SOON);
        let answer = scene.release().remove(0);
        let honest = scene.frames("RA-J1", scene.star.leader).remove(0);
        let mut rng = SimRng::new(5);
        let mut reasons = Vec::new();
        for _ in 0..6 {
            let link = strangers_link(&mut scene);
            reasons.push(scene.inject(link, made_up(&honest, "m1", &mut rng)));
        }
        // Four of a name, the honest one among them (RA §4.7).
        let kept = if stays { 3 } else { 6 };
        assert_eq!(reasons.iter().filter(|reason| reason.is_none()).count(), kept, "{reasons:?}");
        let verdict = scene.inject(answer.to_link, answer.bytes.clone());
        assert_eq!(verdict, if stays { None } else { Some(Reason::Unknown) });
    }
}

#[test]
fn x9_a_replayed_request_of_a_live_member_comes_to_nothing() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let old = scene.frames("RA-J1", scene.star.leader).remove(0);
    let before = (scene.leader().view().version(), scene.leader().epoch(), scene.member(0).cid());
    let link = strangers_link(&mut scene);
    assert_eq!(scene.inject(link, old.bytes.clone()), None, "it cannot be told from a new attempt");
    scene.run(SECOND * 2);
    assert_eq!(scene.leader().pending_joins(), 1, "offered, and nobody can take it");
    scene.say(0, b"still here").unwrap();
    scene.run(SECOND * 19);
    assert_eq!(Star::heard(&scene.world, scene.star.members[1], b"still here"), 1);
    assert_eq!(scene.leader().pending_joins(), 0);
    assert_eq!((scene.leader().view().version(), scene.leader().epoch(), scene.member(0).cid()), before);
    scene.all_is_well();
}

#[test]
fn requests_over_links_that_prove_nothing_are_refused() {
    for (checks, why) in [(Checks::ALL, Some(Reason::Unproven)), (Checks::ALL.without(Check::ProvenLink), None)] {
        let mut scene = Scene::joined(checks, 1);
        let honest = scene.frames("RA-J1", scene.star.leader).remove(0);
        scene.star.config.link.proven = false;
        let link = strangers_link(&mut scene);
        let frame = made_up(&honest, "m2", &mut SimRng::new(6));
        assert_eq!(scene.inject(link, frame), why);
    }
}

// ---- sessions ----

#[test]
fn a5_a13_a_past_session_says_nothing_in_a_new_one() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let (leader, first) = (scene.star.leader, scene.star.members[0]);
    let past_cid = scene.member(0).cid().unwrap();
    scene.leave(0);
    scene.run(SOON);
    assert!(scene.told(first, &Event::Ended(Ending::Left)));
    let of = |scene: &Scene, to: NodeId| {
        let mut all = Vec::new();
        for id in ["RA-J2", "RA-CL", "RA-CM", "RA-R"] {
            let mine = |frame: &InTransit| frame.from == first.into() || frame.to == first.into();
            all.extend(scene.frames(id, to).into_iter().filter(mine));
        }
        all
    };
    let (to_leader, to_member) = (of(&scene, leader.into()), of(&scene, first.into()));
    assert!(to_leader.len() >= 4 && to_member.len() >= 4);
    scene.run(SECOND * 6);
    scene.join(0);
    scene.run(SECOND * 2);
    let (cid, epoch) = (scene.member(0).cid().unwrap(), scene.member(0).epoch());
    assert!(cid > past_cid);
    for frame in &to_leader {
        // The channel lingers and knows its numbers; the last of them is the leave (A13).
        scene.refuses_again(frame, Reason::Replayed);
    }
    for frame in &to_member {
        // A member in a group expects no RA-J2; the blocks and frames are of another number (A5, A7, A8).
        scene.refuses_again(frame, Reason::Unknown);
    }
    scene.run(SECOND * 12);
    for frame in &to_leader {
        scene.refuses_again(frame, Reason::Unknown);
    }
    assert_eq!((scene.member(0).cid(), scene.member(0).epoch()), (Some(cid), epoch));
    scene.all_is_well();
}

#[test]
fn a7_a8_a11_an_old_key_is_not_installed_again() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let first = scene.star.members[0];
    for _ in 0..2 {
        scene.rekey();
        scene.run(SECOND * 6);
    }
    let blocks = scene.frames("RA-R", first);
    assert!(blocks.len() >= 3);
    for block in &blocks {
        scene.refuses_again(block, Reason::Replayed);
    }
    let mut raised = draft(blocks.last().unwrap());
    let common = raised.clear.find_mut("common").unwrap();
    number_in(common, "epoch", |epoch| epoch + 1);
    scene.refuses(blocks[0].to_link, raised.frame(), Reason::Forged);

    let mut scene = Scene::joined(Checks::ALL.without(Check::NewerEpoch), 2);
    for _ in 0..2 {
        scene.rekey();
        scene.run(SECOND * 6);
    }
    let (blocks, newest) = (scene.frames("RA-R", first), scene.member(0).epoch());
    assert_eq!(scene.inject(blocks[blocks.len() - 2].to_link, blocks[blocks.len() - 2].bytes.clone()), None);
    assert!(scene.member(0).epoch() < newest, "without the check the old key is back");
}

fn number_in(value: &mut sodality::wire::shape::Value, field: &str, change: impl Fn(u64) -> u64) {
    let Content::Leaf(bytes) = &mut value.find_mut(field).unwrap().content else { panic!("{field} is a number") };
    *bytes = change(u64::from_be_bytes(bytes.as_slice().try_into().unwrap())).to_be_bytes().to_vec();
}

#[test]
fn a17_a_withheld_rekey_stops_the_member_at_the_next_echo() {
    for (checks, stops) in [(Checks::ALL, true), (Checks::ALL.without(Check::EchoEpoch), false)] {
        let mut scene = Scene::joined(checks, 3);
        let first: NodeId = scene.star.members[0].into();
        scene.hold(move |frame, id| frame.to == first && id == "RA-R");
        scene.leave(2);
        // One period, and the way there and back.
        scene.run(SECOND * 5 + SOON);
        let behind = scene.say(0, b"under the old key");
        assert_eq!(behind == Err(CommandError::Misuse(Misuse::NotCurrent)), stops, "{behind:?}");
        scene.run(T_MAX);
        assert_eq!(scene.told(first, &Event::Stale), stops);
        if stops {
            // It goes on asking, and comes back with the block.
            scene.release();
            scene.run(SECOND * 10);
            assert!(scene.member(0).is_current());
            scene.all_is_well();
        }
    }
}

#[test]
fn a16_a18_a19_echoes_of_a_dead_leader_prove_nothing_later() {
    for (checks, stays_stale) in [(Checks::ALL, true), (Checks::ALL.without(Check::EvidenceTime), false)] {
        let mut scene = Scene::joined(checks, 2);
        let (first, leader) = (scene.star.members[0], scene.star.leader);
        let (to, old) = (NodeId::from(first), scene.frames("RA-CL", first));
        scene.say(1, b"withheld data").unwrap();
        // The leader answers two polls; the answers are withheld, and so is a text.
        scene.hold(move |frame, id| frame.to == to && matches!(id, "RA-CL" | "RA-R" | "RA-D"));
        scene.run(SECOND * 8);
        scene.say(1, b"more withheld data").unwrap();
        scene.run(SECOND * 2);
        scene.world.crash(leader).unwrap();
        scene.run(T_MAX - SECOND * 9);
        let held = scene.release();
        scene.run(SECOND * 9);
        assert!(scene.told(first, &Event::Stale) && !scene.member(0).is_current());
        assert_eq!(scene.say(0, b"x"), Err(Misuse::NotCurrent.into()));
        // What was used up.
        for frame in &old {
            assert_eq!(scene.inject(frame.to_link, frame.bytes.clone()), Some(Reason::Replayed));
        }
        // What was withheld, in order.
        let (data, echoes): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|frame| Tables::default().id(&frame.bytes) == "RA-D");
        assert!(echoes.len() >= 2 && !data.is_empty());
        for echo in &echoes {
            assert_eq!(scene.inject(echo.to_link, echo.bytes.clone()), None, "authentic and new");
        }
        assert_eq!(!scene.member(0).is_current(), stays_stale);
        for text in &data {
            let why = scene.inject(text.to_link, text.bytes.clone());
            assert_eq!(why == Some(Reason::NotCurrent), stays_stale, "{why:?}");
        }
        if stays_stale {
            scene.run(T_MAX * 2);
            assert!(scene.told(first, &Event::Ended(Ending::LeaderLost)));
        }
    }
}

#[test]
fn a20_a_dead_member_is_suspected_whatever_is_replayed() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    scene.run(SECOND * 10);
    let (first, leader) = (scene.star.members[0], scene.star.leader);
    let from = |scene: &Scene| -> Vec<InTransit> {
        scene.frames("RA-CM", leader).into_iter().filter(|frame| frame.from == first.into()).collect()
    };
    let frames = from(&scene);
    let cid = scene.member(0).cid().unwrap();
    scene.world.crash(first).unwrap();
    for _ in 0..26 {
        for frame in &frames {
            scene.refuses_again(frame, Reason::Replayed);
        }
        scene.run(SECOND);
    }
    // (misses + 1) · period + RTO after the last of its frames that echoes a probe.
    assert!(scene.told(leader, &Event::Suspected { cid }));
}

#[test]
fn a21_r7_a_stranger_cannot_speak_for_a_member_or_a_leader() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    scene.say(0, b"text").unwrap();
    scene.run(SECOND * 6);
    let (leader, first) = (scene.star.leader, scene.star.members[0]);
    for (id, to, field) in
        [("RA-CM", NodeId::from(leader), "n"), ("RA-CL", first.into(), "n"), ("RA-D", leader.into(), "counter")]
    {
        let frame = scene.last(id, to);
        let mut forged = draft(&frame);
        number(&mut forged, field, |n| n + 1);
        scene.refuses(frame.to_link, forged.frame(), Reason::Forged);
        // A leave or an end without the key (R7): the right form, and a box that nobody sealed.
        forged.text = vec![0; forged.text.len()];
        scene.refuses(frame.to_link, forged.frame(), Reason::Forged);
    }
    scene.all_is_well();
}

#[test]
fn x6_a_reflected_frame_is_refused() {
    let mut scene = Scene::joined(Checks::ALL, 1);
    scene.run(SECOND * 6);
    let (leader, first) = (scene.star.leader, scene.star.members[0]);
    let (up, down) = (scene.last("RA-CM", leader), scene.last("RA-CL", first));
    for (frame, back) in [(&up, &down), (&down, &up)] {
        scene.refuses(back.to_link, frame.bytes.clone(), Reason::Misdirected);
        // With the type, and with a number that is still free.
        let mut turned = draft(frame);
        turned.header = draft(back).header;
        number(&mut turned, "n", |n| n + 50);
        scene.refuses(back.to_link, turned.frame(), Reason::Forged);
    }
    scene.all_is_well();
}

#[test]
fn x7_a_frame_of_one_member_is_nothing_on_the_channel_of_another() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let leader = scene.star.leader;
    scene.hold(move |_, id| id == "RA-CM");
    scene.run(SECOND * 5);
    let held = scene.release();
    let mine: Vec<_> = scene.star.members.iter().map(|member| NodeId::from(*member)).collect();
    let of = |node: NodeId| held.iter().find(|frame| frame.from == node).unwrap();
    let (one, other) = (of(mine[0]), of(mine[1]));
    let cid = scene.member(1).cid().unwrap();
    let mut turned = draft(one);
    number(&mut turned, "cid", |_| cid.0);
    scene.refuses(other.to_link, turned.frame(), Reason::Forged);
    assert_eq!(scene.inject(other.to_link, other.bytes.clone()), None, "the true one is taken");
    assert_eq!(scene.world.holder(other.to_link), Some(leader.into()));
}

#[test]
fn x5_every_flipped_bit_is_refused_and_changes_nothing() {
    const KINDS: [&str; 6] = ["RA-T2", "RA-J2", "RA-CM", "RA-R", "RA-CL", "RA-D"];
    let mut scene = Scene::open(config(Policy::default(), Checks::ALL), &["m1", "m2"]);
    let mut flips = std::collections::BTreeMap::new();
    scene.hold(|_, id| KINDS.contains(&id));
    scene.join(0);
    for step in 0..700 {
        scene.run(SOON / 10);
        if step == 600 {
            scene.say(0, b"a text of some length").unwrap();
        }
        let held = std::mem::take(&mut scene.tap.borrow_mut().held);
        for frame in held {
            // The first frame of each kind, before it arrives.
            flips.entry(Tables::default().id(&frame.bytes)).or_insert_with(|| {
                match scene.world.typed::<Member>(frame.to) {
                    Some(node) => flip_all(&scene, node, &frame),
                    None => flip_all(&scene, scene.star.leader, &frame),
                }
            });
            scene.inject(frame.to_link, frame.bytes);
        }
    }
    println!("flipped bits: {flips:?}");
    assert_eq!(flips.len(), KINDS.len());
    assert!(scene.member(0).is_current());
}

/// Flips each bit of `frame` for a copy of its receiver. Gives how many.
fn flip_all<E>(scene: &Scene, node: Node<E>, frame: &InTransit) -> usize
where
    E: Endpoint + Clone + Fingerprint + 'static,
{
    let (machine, now, mut rng) = (scene.world.get(node).unwrap(), scene.world.now(), SimRng::new(7));
    let digest = |machine: &E| {
        let mut mixer = Mixer::new();
        machine.fingerprint(now, &mut mixer);
        mixer.digest()
    };
    let before = digest(machine);
    let mut copy = machine.clone();
    for bit in 0..frame.bytes.len() * 8 {
        let mut bytes = BytesMut::from(&*frame.bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let refused = copy.stats().rejections();
        copy.handle_frame(&mut Cx::new(now, &mut rng), frame.to_link, bytes).unwrap();
        assert_eq!(copy.stats().rejections(), refused + 1, "bit {bit}");
        while let Some(event) = copy.poll_event() {
            assert!(matches!(event, Event::Rejected { .. }), "bit {bit}: {event:?}");
        }
        assert_eq!(digest(&copy), before, "bit {bit} changed the state");
    }
    // The frame itself is taken.
    copy.handle_frame(&mut Cx::new(now, &mut rng), frame.to_link, BytesMut::from(&*frame.bytes)).unwrap();
    assert_ne!(digest(&copy), before);
    frame.bytes.len() * 8
}

#[test]
fn r40_only_a_fresh_authentic_frame_moves_a_link() {
    let mut scene = Scene::joined(Checks::ALL, 1);
    let (leader, first) = (scene.star.leader, scene.star.members[0]);
    let usual = scene.last("RA-CM", leader);
    let other = strangers_link(&mut scene);
    let answers_go_to = |scene: &mut Scene| {
        scene.rekey();
        scene.run(SECOND * 5);
        let tables = Tables::default();
        let tap = scene.tap.borrow();
        let last =
            tap.frames.iter().rev().find(|frame| frame.from == leader.into() && tables.id(&frame.bytes) == "RA-R");
        last.unwrap().from_link
    };
    // Neither a copy of what was used up, nor a forgery, nor plain data.
    scene.refuses(other, usual.bytes.clone(), Reason::Replayed);
    let mut forged = draft(&usual);
    number(&mut forged, "n", |n| n + 1);
    scene.refuses(other, forged.frame(), Reason::Forged);
    assert_eq!(answers_go_to(&mut scene), usual.to_link);
    // A frame that arrives there first does, until the member's next frame (RA §10).
    scene.hold(|_, id| id == "RA-CM");
    while scene.tap.borrow().held.is_empty() {
        scene.run(SOON);
    }
    let fresh = scene.release().remove(0);
    assert_eq!(scene.inject(other, fresh.bytes.clone()), None);
    scene.refuses_again(&fresh, Reason::Replayed);
    scene.rekey();
    scene.run(SOON);
    scene.run(SECOND * 6);
    assert_eq!(answers_go_to(&mut scene), usual.to_link, "the next frame brings it back");
    assert!(scene.world.get(first).unwrap().is_current());
    assert_ne!(MemberId::LEADER, scene.member(0).cid().unwrap());
    scene.say(0, b"still here").unwrap();
    scene.all_is_well();
}

#[test]
fn without_protection_only_the_members_own_link_speaks_for_it() {
    let policy = Policy { protection: Protection::None, origin: false, ..Policy::default() };
    let mut scene = Scene::open(config(policy, Checks::ALL), &["m1", "m2"]);
    scene.star.join_all(&mut scene.world, SECOND * 60).unwrap();
    scene.run(SECOND * 6);
    let member = scene.star.members[0];
    scene.world.with(member, |member, cx| member.send(cx, Port::Application, b"clear")).unwrap().unwrap();
    scene.run(SOON);
    let frame = scene.last("RA-D", scene.star.leader);
    let other = strangers_link(&mut scene);
    scene.refuses(other, frame.bytes, Reason::NotMember);
}
