//! Each checker passes a good story and objects to bad ones.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::*;
use crate::endpoint::{Class, Instant as Time, Link};
use crate::event::{Cause, Causes, Ending, Event, Message, Sender};
use crate::identity::{Epoch, Instance, MemberId, Name, Version};
use crate::sim::net::{InTransit, WireId};
use crate::sim::step::Input;
use crate::sim::world::NodeId;

const G: Instance = Instance([1; 16]);
const H: Instance = Instance([2; 16]);
const LEA: u32 = 0;
const ANN: u32 = 1;
const BOB: u32 = 2;

/// A story: at which second which node was given what and said what.
type Line = (u64, u32, Input<'static>, Vec<Event>);

fn says(node: u32, events: impl Into<Vec<Event>>) -> Line {
    (0, node, Input::Timeout, events.into())
}

fn does(node: u32, words: &'static str) -> Line {
    (0, node, Input::Command(words), Vec::new())
}

fn at(seconds: u64, line: Line) -> Line {
    (seconds, line.1, line.2, line.3)
}

fn tell(checker: &mut dyn Checker, story: impl IntoIterator<Item = Line>) -> Result<(), String> {
    for (number, (seconds, node, input, events)) in story.into_iter().enumerate() {
        checker.after(&Observed {
            at: Time::from_micros(seconds * 1_000_000),
            step: number as u64,
            node: NodeId(node),
            life: 1,
            input,
            sent: &[],
            events: &events,
            machine: None,
        })?;
    }
    Ok(())
}

fn joined(group: Instance, cid: u64, epoch: u64) -> Event {
    Event::Joined { group, cid: MemberId(cid), epoch: Epoch(epoch) }
}

fn installed(epoch: u64) -> Event {
    Event::Installed { epoch: Epoch(epoch), causes: Causes::NONE }
}

fn added(cid: u64, name: &str, view: u64) -> Event {
    Event::MemberAdded { cid: MemberId(cid), name: Name::new(name).unwrap(), view: Version(view) }
}

fn removed(cid: u64, name: &str, cause: Cause, view: u64) -> Event {
    let name = Name::new(name).unwrap();
    Event::MemberRemoved { cid: MemberId(cid), name, cause, by: MemberId(0), view: Version(view) }
}

fn data(cid: u64, epoch: u64, text: &'static [u8]) -> Event {
    Event::Data(Message {
        from: Sender::AnyMember(MemberId(cid)),
        epoch: Epoch(epoch),
        port: crate::event::Port::Application,
        payload: Bytes::from_static(text),
    })
}

#[track_caller]
fn objects(mut checker: impl Checker, story: impl IntoIterator<Item = Line>, words: &str) {
    let text = tell(&mut checker, story).unwrap_err();
    assert!(text.contains(words), "{}: {text}", checker.name());
}

#[track_caller]
fn passes(mut checker: impl Checker, story: impl IntoIterator<Item = Line>) {
    assert_eq!(tell(&mut checker, story), Ok(()));
}

#[test]
fn epochs_grow() {
    let new = EpochsGrow::default;
    passes(
        new(),
        [
            says(ANN, [joined(G, 1, 3), installed(3), installed(5)]),
            says(BOB, [installed(2), joined(G, 2, 2), installed(5)]),
            says(ANN, [Event::Ended(Ending::Left), joined(G, 3, 6), installed(7)]),
            says(ANN, [Event::Ended(Ending::Left), joined(H, 1, 1), installed(2)]),
        ],
    );
    objects(new(), [says(ANN, [joined(G, 1, 3), installed(5), installed(4)])], "installed epoch 4 after 5");
    objects(
        new(),
        [says(ANN, [joined(G, 1, 3), installed(5)]), says(ANN, [installed(5)])],
        "installed epoch 5 after 5",
    );
    objects(new(), [says(ANN, [joined(G, 1, 3), installed(2)])], "after joining at 3");
    objects(new(), [says(ANN, [installed(4), joined(G, 1, 3)])], "joined at epoch 3 after installing 4");
    let crash = (0, ANN, Input::Crashed, Vec::new());
    objects(new(), [says(ANN, [joined(G, 1, 9)]), crash, says(ANN, [joined(G, 2, 8)])], "again at epoch 8, after 9");
}

#[test]
fn views_agree() {
    let new = ViewsAgree::default;
    let lea = || says(LEA, [joined(G, 0, 1), added(0, "lea", 1), added(1, "ann", 2)]);
    passes(
        new(),
        [
            lea(),
            says(ANN, [added(0, "lea", 2), added(1, "ann", 2)]),
            says(ANN, [joined(G, 1, 2)]),
            says(LEA, [added(2, "bob", 3)]),
            says(LEA, [removed(1, "ann", Cause::Leave, 4)]),
            says(BOB, [joined(G, 2, 3), added(0, "lea", 4), added(2, "bob", 4)]),
        ],
    );
    objects(new(), [lea(), says(ANN, [joined(G, 1, 2), added(0, "lea", 2)])], "view 2 has 1 members here and 2");
    objects(
        new(),
        [lea(), says(ANN, [added(0, "lea", 2), added(1, "eve", 2)]), says(ANN, [joined(G, 1, 2)])],
        "or others",
    );
    objects(new(), [lea(), says(LEA, [removed(4, "dan", Cause::Leave, 3)])], "is not in the view");
    objects(new(), [lea(), says(LEA, [removed(1, "eve", Cause::Leave, 3)])], "was removed as");
    objects(new(), [lea(), says(LEA, [added(1, "ann", 3)])], "added twice");
    // Another group is another matter.
    passes(new(), [lea(), says(ANN, [joined(H, 1, 2), added(0, "lea", 2)])]);
}

#[test]
fn removals_have_causes() {
    let new = RemovalHasCause::new;
    let start = || {
        [
            says(LEA, [joined(G, 0, 1), added(0, "lea", 1), added(1, "ann", 2), added(2, "bob", 3)]),
            says(ANN, [joined(G, 1, 2)]),
            says(BOB, [joined(G, 2, 3)]),
        ]
    };
    let gone = |cause| says(LEA, [removed(1, "ann", cause, 4)]);
    let story = |more: Vec<Line>| start().into_iter().chain(more);
    passes(new(), story([does(ANN, "leave"), gone(Cause::Leave)].into()));
    objects(new(), story([does(BOB, "leave"), gone(Cause::Leave)].into()), "did not leave");
    // A member that gives up between admission and its first key has no session yet.
    let early = |words| [start()[0].clone(), does(ANN, words), gone(Cause::Leave)];
    passes(new(), early("leave"));
    objects(new(), early("wait"), "did not leave");
    passes(new(), story([does(LEA, "eject 1"), gone(Cause::Eject)].into()));
    passes(new(), story([does(LEA, "eject"), gone(Cause::Eject)].into()));
    objects(new(), story([does(LEA, "eject 2"), gone(Cause::Eject)].into()), "nobody asked to eject");
    let takeover = |cid| says(LEA, [removed(1, "ann", Cause::Takeover, 4), added(3, cid, 5)]);
    passes(new(), story([takeover("ann")].into()));
    objects(new(), story([takeover("dan")].into()), "nobody took over");
    let told = |cause| says(BOB, [removed(1, "ann", cause, 4)]);
    passes(new(), story([gone(Cause::Failure), told(Cause::Failure)].into()));
    objects(new(), story([told(Cause::Failure)].into()), "not at the leader");
    objects(new(), story([gone(Cause::Failure), told(Cause::Policy)].into()), "at the leader by");
}

#[test]
fn only_the_silent_fail() {
    let frame: &'static InTransit = Box::leak(Box::new(InTransit {
        number: 1,
        sent: Time::ORIGIN,
        from: NodeId(ANN),
        from_link: Link(1),
        to: NodeId(LEA),
        to_link: Link(2),
        wire: WireId(1),
        bytes: Bytes::new(),
        class: Class::Control,
        injected: false,
    }));
    let story = |seconds| {
        [
            says(LEA, [joined(G, 0, 1), added(1, "ann", 2)]),
            says(ANN, [joined(G, 1, 2)]),
            (5, LEA, Input::Frame(frame), Vec::new()),
            at(seconds, says(LEA, [removed(1, "ann", Cause::Failure, 3)])),
        ]
    };
    let limit = Duration::from_secs(10);
    passes(RemovalHasCause::with_silence(limit), story(15));
    objects(RemovalHasCause::with_silence(limit), story(14), "silent for 9s only");
    passes(RemovalHasCause::new(), story(14));
}

#[test]
fn no_replay_is_delivered() {
    let mut checker = NoReplayDelivered::default();
    let once = || [says(ANN, [data(2, 1, b"a"), data(2, 1, b"b")]), says(BOB, [data(2, 1, b"a")])];
    assert_eq!(tell(&mut checker, once()), Ok(()));
    assert_eq!(checker.deliveries(), 3);
    let again = |line| once().into_iter().chain([line]);
    objects(NoReplayDelivered::default(), again(says(ANN, [data(2, 1, b"a")])), "was delivered before");
    objects(NoReplayDelivered::default(), again(says(ANN, [data(3, 2, b"a")])), "as of member 2 in epoch 1");
}

#[test]
fn removal_ends_delivery() {
    let new = NoDeliveryAfterRemoval::default;
    let start = || {
        [
            says(LEA, [joined(G, 0, 1), installed(2)]),
            says(ANN, [joined(G, 1, 2)]),
            says(BOB, [joined(G, 2, 2), data(1, 2, b"a")]),
        ]
    };
    let gone = || removed(1, "ann", Cause::Leave, 4);
    let story = |more: Vec<Line>| start().into_iter().chain(more);
    let either = [[gone(), installed(3)], [installed(3), gone()]];
    for order in either {
        passes(new(), story([says(LEA, order.clone()), says(ANN, [data(2, 2, b"b")])].into()));
        objects(new(), story([says(LEA, order), says(ANN, [data(2, 3, b"b")])].into()), "its last was 2");
    }
    // No rekey on leave: the epoch of the removal is still readable, the next is not.
    let plain = |epoch| [says(LEA, [gone()]), says(LEA, [installed(3)]), says(ANN, [data(2, epoch, b"b")])].into();
    passes(new(), story(plain(2)));
    objects(new(), story(plain(3)), "reads epoch 3");
    let told = |event| story([says(BOB, [gone()]), says(BOB, [event])].into());
    passes(new(), told(data(0, 2, b"c")));
    objects(new(), told(data(1, 2, b"c")), "after its removal");
    // In the next life nothing of the old view counts.
    let again = [says(ANN, [Event::Ended(Ending::Left), joined(G, 3, 3), data(2, 3, b"d")])];
    passes(new(), story([says(LEA, [gone(), installed(3)])].into()).chain(again));
}

#[test]
fn old_keys_end_in_time() {
    let new = || StaleBound::new(Duration::from_secs(15)).with_grace(Duration::from_secs(5));
    let ended_by = |cause| Event::Installed { epoch: Epoch(2), causes: Causes::of(cause) };
    let story = |cause, seconds| {
        [
            at(0, says(LEA, [joined(G, 0, 1), installed(1)])),
            at(0, says(ANN, [joined(G, 1, 1)])),
            at(100, says(LEA, [ended_by(cause)])),
            at(seconds, says(ANN, [data(2, 1, b"a")])),
        ]
    };
    passes(new(), story(Cause::Command, 120));
    objects(new(), story(Cause::Command, 121), "delivered 21s after its end");
    // No grace after an eviction.
    passes(new(), story(Cause::Eject, 115));
    objects(new(), story(Cause::Eject, 116), "delivered 16s after its end");
}

#[test]
fn who_was_removed_is_heard_for_t_max_at_most() {
    let story = |seconds| {
        [
            at(0, says(LEA, [joined(G, 0, 1), added(1, "ann", 2)])),
            at(0, says(BOB, [joined(G, 2, 1)])),
            at(100, says(LEA, [removed(1, "ann", Cause::Eject, 3)])),
            at(seconds, says(BOB, [data(1, 1, b"a")])),
        ]
    };
    let new = || StaleBound::new(Duration::from_secs(15)).with_grace(Duration::from_secs(5));
    passes(new(), story(115));
    objects(new(), story(116), "a text of member 1 was delivered 16s after its removal");
}

#[test]
fn a_dead_leader_has_no_key() {
    let story = |seconds| {
        [
            at(0, says(LEA, [joined(G, 0, 1), installed(1)])),
            at(0, says(ANN, [joined(G, 1, 1)])),
            (100, LEA, Input::Crashed, Vec::new()),
            at(seconds, says(ANN, [data(2, 1, b"a")])),
        ]
    };
    let new = || StaleBound::new(Duration::from_secs(15)).with_grace(Duration::from_secs(5));
    passes(new(), story(115));
    objects(new(), story(116), "delivered 16s after its end");
}

#[test]
fn senders_are_true() {
    let new = SendersAreTrue::default;
    let start = || [says(ANN, [joined(G, 1, 2)]), says(BOB, [joined(G, 2, 2)]), does(ANN, "say a")];
    let story = |line| start().into_iter().chain([line]);
    passes(new(), story(says(BOB, [data(1, 2, b"a")])));
    objects(new(), story(says(BOB, [data(3, 2, b"a")])), "a text of member 1 was delivered as of member 3");
    objects(new(), story(says(BOB, [data(1, 2, b"b")])), "as of member 1 that nobody said");
    // Who is in no group says nothing to it.
    objects(new(), [says(BOB, [joined(G, 2, 2)]), does(ANN, "say a"), says(BOB, [data(1, 2, b"a")])], "nobody said");
    // A later life of the same node is somebody else.
    let later = [says(ANN, [Event::Ended(Ending::Left), joined(G, 3, 3)]), says(BOB, [data(3, 3, b"a")])];
    objects(new(), start().into_iter().chain(later), "a text of member 1 was delivered as of member 3");
    let mut checker = new();
    assert_eq!(tell(&mut checker, story(says(BOB, [data(1, 2, b"a")]))), Ok(()));
    assert_eq!(checker.deliveries(), 1);
}

fn word(cid: u64, text: &'static [u8]) -> Event {
    let (from, port) = (Sender::Vouched(MemberId(cid)), crate::event::Port::Application);
    Event::Gossip(Message { from, epoch: Epoch(2), port, payload: Bytes::from_static(text) })
}

#[test]
fn private_words_reach_the_named() {
    let new = WordsReachTheNamed::default;
    let start = || {
        let joins = [says(LEA, [joined(G, 0, 1)]), says(ANN, [joined(G, 1, 2)]), says(BOB, [joined(G, 2, 2)])];
        joins.into_iter().chain([does(ANN, "tell 2,7: a"), does(BOB, "tell 0: b")])
    };
    let story = |line| start().chain([line]);
    passes(new(), story(says(BOB, [word(1, b"a"), data(1, 2, b"c")])));
    passes(new(), story(says(LEA, [word(2, b"b")])));
    objects(new(), story(says(LEA, [word(1, b"a")])), "delivered to member 0, who is not named");
    objects(new(), story(says(BOB, [word(3, b"a")])), "a word of member 1 was delivered as of member 3");
    objects(new(), story(says(BOB, [word(1, b"c")])), "as of member 1 that nobody said");
    objects(new(), story(says(BOB, [word(1, b"a"), word(1, b"a")])), "delivered twice to member 2");
    objects(new(), story(says(LEA, [data(1, 2, b"a")])), "a private word of member 1 was delivered to the group");
    // Who is in no group tells nobody anything.
    objects(new(), [says(BOB, [joined(G, 2, 2)]), does(ANN, "tell 2: a"), says(BOB, [word(1, b"a")])], "nobody said");
    let mut checker = new();
    assert_eq!(tell(&mut checker, story(says(BOB, [word(1, b"a")]))), Ok(()));
    assert_eq!(checker.deliveries(), 1);
}

#[test]
fn who_is_said_to_have_asked_has_asked() {
    let asked = |by: u64| {
        let name = Name::new("bob").unwrap();
        Event::MemberRemoved { cid: MemberId(2), name, cause: Cause::Eject, by: MemberId(by), view: Version(4) }
    };
    let story = |who: u32, by: u64| {
        [
            says(LEA, [joined(G, 0, 1), added(1, "ann", 2), added(2, "bob", 3)]),
            says(ANN, [joined(G, 1, 2)]),
            does(who, "eject 2"),
            says(LEA, [asked(by)]),
        ]
    };
    passes(RemovalHasCause::new(), story(ANN, 1));
    passes(RemovalHasCause::new(), story(LEA, 0));
    objects(RemovalHasCause::new(), story(LEA, 1), "member 1 did not ask to eject member 2");
}

#[test]
fn closures_check_too() {
    let check = |step: &Observed<'_>| if step.node == NodeId(BOB) { Err("bob".into()) } else { Ok(()) };
    passes(Always::new("nobob", check), [says(ANN, [])]);
    objects(Always::new("nobob", check), [says(BOB, [])], "bob");
}

#[cfg(feature = "std")]
#[test]
fn an_attacker_deduces_what_follows_and_no_more() {
    use crate::crypto::symbolic::symbolic;
    use crate::crypto::{BoxNumber, Purpose};
    use crate::sim::SimRng;

    let terms = symbolic();
    let (suite, mut rng) = (terms.suite(), SimRng::new(1));
    let fresh = |rng: &mut SimRng| suite.fresh_secret(rng, 32).unwrap();
    let (root, lone) = (fresh(&mut rng), fresh(&mut rng));
    let (x, gx) = suite.agreement_pair(&mut rng).unwrap();
    let (y, gy) = suite.agreement_pair(&mut rng).unwrap();
    let agreed = suite.agree(&x, &gy).unwrap();
    let mixed = suite.extract(b"", &[&root, &agreed]).unwrap();
    let key = suite.expand(&mixed, &[b"key"], Purpose::Aead).unwrap();
    let mut text = lone.expose().to_vec();
    let tag = suite.seal(&key, BoxNumber::ONLY, b"", &mut text).unwrap();
    let all = [&root, &lone, &x, &y, &agreed, &mixed, &key].map(|secret| secret.expose().to_vec());
    // A frame that says no more than the box.
    let message = crate::wire::antigone::LeaderFrame { group: G, cid: MemberId(1), n: 1 };
    let header = crate::wire::Header {
        system: crate::wire::System::Antigone,
        edition: crate::wire::Edition::Repaired,
        suite: suite.id(),
    };
    let mut frame = bytes::BytesMut::new();
    let sealed = |_: &[u8], _: &mut [u8]| Ok::<_, ()>(tag);
    crate::wire::Message::put_boxed(&message, header, &mut frame, |out| out.extend_from_slice(&text), sealed).unwrap();
    let learns = |given: &[&crate::crypto::Secret]| {
        let mut attacker = Attacker::new(&terms);
        assert!(attacker.reads_frame(&crate::sim::Tables::default(), &frame));
        assert!(!attacker.reads_frame(&crate::sim::Tables::default(), &frame), "it was read before");
        given.iter().for_each(|secret| attacker.learns(secret.expose()));
        attacker.deduce(&all);
        (attacker.known().count(), attacker.closed(), attacker.knows(lone.expose()))
    };
    assert_eq!(learns(&[]), (0, 1, false));
    assert_eq!(learns(&[&root]), (1, 1, false));
    assert_eq!(learns(&[&x]), (2, 1, false), "an exponent and what was agreed with it");
    assert_eq!(learns(&[&root, &y]), (6, 0, true), "all but the other exponent");
    assert!(!gx.is_empty());
}
