//! Both sides over channels that bring everything in order: a leader, members that put and read, any interleaving.

use alloc::collections::BTreeMap;
use alloc::string::ToString;

use super::*;
use crate::event::Event;
use crate::identity::NameRef;
use crate::policy::MAX_OBJECT_BYTES;
use crate::wire::Field;
use crate::wire::field::{Payload, to_vec};
use crate::wire::objects::{Expected, ObjectNews, PutPiece};

const ROOM: usize = 32;

/// A leader and members, each with a channel of its own. What passes is written out and read back.
struct Table {
    host: Host,
    members: Vec<(MemberId, Seat, Guest)>,
    /// What each member saw, in order.
    seen: BTreeMap<MemberId, Vec<Event>>,
    /// Every change, as the leader made it.
    made: Vec<(String, Version, MemberId)>,
    rules: Objects,
}

impl Table {
    fn new(rules: &Objects, names: &[&str]) -> Self {
        let host = Host::new(rules.clone(), StoreLimits { changes: 64, bytes: 1 << 26 }, 4);
        let mut table =
            Self { host, members: Vec::new(), seen: BTreeMap::new(), made: Vec::new(), rules: rules.clone() };
        names.iter().for_each(|name| table.join(name));
        table
    }

    fn join(&mut self, who: &str) {
        let cid = MemberId(self.seen.len() as u64 + 1);
        self.seen.insert(cid, Vec::new());
        self.members.push((cid, self.host.seat(name(who)), Guest::new()));
    }

    fn leave(&mut self, at: usize) -> Guest {
        let (_, mut seat, guest) = self.members.remove(at);
        self.host.forget(&mut seat);
        guest
    }

    fn put(&mut self, at: usize, object: &str, expected: Option<Version>, contents: &[u8]) -> u64 {
        let contents = Bytes::copy_from_slice(contents);
        self.members[at].2.put(&name(object), expected, contents, 16).unwrap()
    }

    /// A piece from the member to the leader. False if there is none.
    fn ask(&mut self, at: usize) -> bool {
        let (cid, seat, guest) = &mut self.members[at];
        let Some(piece) = guest.next(ROOM) else { return false };
        let (wire, length) = (to_vec(&piece), piece.bytes.0.len());
        guest.said(length);
        if let Some(Event::ObjectChanged { object, version, by }) =
            self.host.take(seat, *cid, &PutPiece::decode(&wire).unwrap())
        {
            assert_eq!(by, *cid);
            self.made.push((object.as_str().to_string(), version, by));
        }
        true
    }

    /// Something from the leader to the member. False if there is nothing.
    fn tell(&mut self, at: usize) -> bool {
        let (cid, seat, guest) = &mut self.members[at];
        let owed = self.host.owes(seat);
        let failed: Result<Option<()>, u8> = self.host.tell(seat, ROOM, |_| Err(7));
        assert_eq!(failed, if owed { Err(7) } else { Ok(None) }, "what is not said stays owed");
        let wire = self.host.tell(seat, ROOM, |news| Ok::<_, ()>(to_vec(&news))).unwrap();
        assert_eq!(wire.is_some(), owed);
        let Some(wire) = wire else { return false };
        let news = ObjectNews::decode(&wire).unwrap();
        guest.may_hear(&news).unwrap();
        self.seen.get_mut(cid).unwrap().extend(guest.hear(&news));
        seat.told();
        true
    }

    fn settle(&mut self) {
        while (0..self.members.len()).any(|at| self.ask(at) | self.tell(at)) {}
    }

    fn change_rules(&mut self, rules: &Objects) {
        self.host.obey(rules, self.members.iter_mut().map(|(_, seat, _)| seat));
        self.rules = rules.clone();
    }

    fn saw(&self, at: usize) -> &[Event] {
        &self.seen[&self.members[at].0]
    }

    fn changes(&self, at: usize) -> Vec<Version> {
        let version = |event: &Event| match event {
            Event::ObjectChanged { version, .. } => Some(*version),
            _ => None,
        };
        self.saw(at).iter().filter_map(version).collect()
    }
}

fn refused(number: u64, object: &str, why: ObjectRefusal, version: u64) -> Event {
    Event::ObjectRefused { number, object: name(object), why, version: Version(version) }
}

fn shared() -> Objects {
    let plan = ObjectRule { everybody: Right::Change, size: MAX_OBJECT_BYTES, ..ObjectRule::default() };
    let diary = ObjectRule::default().size(100).member(name("ada"), Right::Change).member(name("bob"), Right::Read);
    [(name("plan"), plan), (name("diary"), diary)].into_iter().collect()
}

#[test]
fn a_change_reaches_who_may_read_and_nobody_else() {
    let mut table = Table::new(&shared(), &["ada", "bob", "eve"]);
    table.put(0, "diary", Some(Version(0)), b"dear diary, nobody shall know that it was me");
    table.settle();
    let changed = Event::ObjectChanged { object: name("diary"), version: Version(1), by: MemberId(1) };
    let taken = Event::ObjectTaken { number: 1, object: name("diary"), version: Version(1) };
    assert!(table.saw(0).contains(&taken) && table.saw(0).contains(&changed));
    assert!(table.saw(1).contains(&changed));
    let right = |object: &str, right| Event::ObjectRight { object: name(object), right };
    assert_eq!(table.saw(1)[..2], [right("diary", Right::Read), right("plan", Right::Change)]);
    assert_eq!(table.saw(2), [right("plan", Right::Change)], "not even that there is a diary");
    assert_eq!((table.members[2].2.bytes(), table.members[1].2.bytes()), (0, 44));
    assert_eq!(table.members[1].2.get(&name("diary")), table.host.get(&name("diary")));
}

#[test]
fn each_refusal_reaches_who_asked() {
    let mut table = Table::new(&shared(), &["ada", "bob", "eve"]);
    table.host.put(&name("diary"), None, Bytes::from_static(b"one")).unwrap();
    table.put(0, "map", None, b"x");
    table.put(0, "diary", None, &[0; 101]);
    table.put(0, "diary", Some(Version(9)), b"x");
    table.put(1, "diary", None, b"by a reader");
    table.put(2, "diary", None, b"by a stranger");
    table.settle();
    for (at, event) in [
        (0, refused(1, "map", ObjectRefusal::NoSuchObject, 0)),
        (0, refused(2, "diary", ObjectRefusal::TooLong, 0)),
        (0, refused(3, "diary", ObjectRefusal::Conflict, 1)),
        (1, refused(1, "diary", ObjectRefusal::NotAllowed, 0)),
        (2, refused(1, "diary", ObjectRefusal::NotAllowed, 0)),
    ] {
        assert!(table.saw(at).contains(&event), "{event:?}");
    }
    assert_eq!(table.host.last(), Version(1));
}

/// What was refused at its first piece is not sent to its end.
#[test]
fn what_is_refused_is_not_sent_on() {
    let mut table = Table::new(&shared(), &["eve"]);
    table.put(0, "diary", None, &[1; 100]);
    table.put(0, "plan", None, &[2; 100]);
    assert!(table.ask(0) && table.ask(0));
    while table.tell(0) {}
    let piece = table.members[0].2.next(ROOM).unwrap();
    assert_eq!((piece.number, piece.offset), (2, 0));
    table.settle();
    assert_eq!(table.made, [(String::from("plan"), Version(1), MemberId(1))]);
}

#[test]
fn of_two_changes_of_the_same_version_one_is_taken() {
    let mut table = Table::new(&shared(), &["ada", "bob"]);
    table.put(0, "plan", Some(Version(0)), &[1; 100]);
    table.put(1, "plan", Some(Version(0)), &[2; 50]);
    // Both have begun; the shorter is whole first.
    for _ in 0..2 {
        assert!(table.ask(0) && table.ask(1));
    }
    table.settle();
    assert_eq!(table.made, [(String::from("plan"), Version(1), MemberId(2))]);
    assert!(table.saw(0).contains(&refused(1, "plan", ObjectRefusal::Conflict, 1)));
    assert_eq!(table.members[0].2.get(&name("plan")).unwrap().contents, [2; 50].as_slice());
}

#[test]
fn only_so_many_changes_arrive_at_once_and_ends_make_room() {
    let mut table = Table::new(&shared(), &["a", "b", "c", "d", "e"]);
    for at in 0..5 {
        table.put(at, "plan", None, &[at as u8; 100]);
        table.ask(at);
    }
    while table.tell(4) {}
    assert!(table.saw(4).contains(&refused(1, "plan", ObjectRefusal::Busy, 0)));
    table.leave(0);
    table.put(3, "plan", None, &[9; 100]);
    table.settle();
    assert_eq!(table.made.len(), 4, "of `a` nothing, of `e` nothing");
}

#[test]
fn a_newcomer_gets_large_contents() {
    let mut table = Table::new(&shared(), &["ada"]);
    let large: Vec<u8> = (0..(1u32 << 20) + 17).map(|n| (n >> 8) as u8 ^ n as u8).collect();
    table.host.put(&name("plan"), None, Bytes::from(large.clone())).unwrap();
    table.host.put(&name("diary"), None, Bytes::new()).unwrap();
    table.join("bob");
    table.settle();
    for at in 0..2 {
        assert_eq!(table.members[at].2.get(&name("plan")).unwrap().contents, large);
        assert_eq!(table.members[at].2.get(&name("diary")).unwrap().contents, "", "empty contents are contents");
        assert_eq!(table.changes(at), [Version(1), Version(2)]);
    }
}

#[test]
fn who_loses_a_right_keeps_what_it_had_and_hears_no_more() {
    let mut table = Table::new(&shared(), &["ada", "bob", "eve"]);
    table.host.put(&name("diary"), None, Bytes::from_static(b"before")).unwrap();
    table.settle();
    let mut rules = shared();
    rules.insert(name("diary"), ObjectRule::default().member(name("eve"), Right::Change));
    // Half of a change is here: it counts by the rights of its end.
    table.put(0, "diary", None, &[1; 60]);
    table.ask(0);
    table.change_rules(&rules);
    table.settle();
    assert!(table.saw(0).contains(&refused(1, "diary", ObjectRefusal::NotAllowed, 0)));
    table.host.put(&name("diary"), None, Bytes::from_static(b"after")).unwrap();
    table.settle();
    let has = |at: usize| table.members[at].2.get(&name("diary")).unwrap().contents.clone();
    assert_eq!((has(0), has(1), has(2)), ("before".into(), "before".into(), "after".into()));
    let lost = Event::ObjectRight { object: name("diary"), right: Right::None };
    assert!(table.saw(1).contains(&lost) && !table.saw(2).contains(&lost));
    assert_eq!(table.changes(2), [Version(1), Version(2)]);
}

#[test]
fn pieces_that_do_not_follow_are_refused_and_harm_nobody() {
    let mut table = Table::new(&shared(), &["ada"]);
    let piece = |offset, size, bytes: &'static [u8]| PutPiece {
        number: 1,
        object: NameRef::new("plan").unwrap(),
        expected: Expected::Any,
        size,
        offset,
        bytes: Payload(bytes),
    };
    let (cid, seat, _) = &mut table.members[0];
    // The middle of what never began.
    assert_eq!(table.host.take(seat, *cid, &piece(3, 6, b"abc")), None);
    assert_eq!(seat.answers(), 0);
    for wrong in [piece(2, 6, b"abc"), piece(4, 6, b"ab"), piece(3, 6, b""), piece(3, 6, b"abcd")] {
        assert_eq!(table.host.take(seat, *cid, &piece(0, 6, b"abc")), None);
        assert_eq!(table.host.take(seat, *cid, &wrong), None, "{wrong:?}");
        assert_eq!(seat.answers(), 1);
        assert_eq!(table.host.take(seat, *cid, &piece(3, 6, b"def")), None, "it has ended");
        seat.answers.clear();
    }
    assert_eq!((table.host.last(), table.host.arriving), (Version(0), 0));
    assert!(table.host.take(seat, *cid, &piece(0, 3, b"abc")).is_some());
}

#[test]
fn a_guest_is_told_only_what_it_asked_for() {
    use crate::wire::objects::{ObjectRight, ObjectRights, PutAnswer, PutVerdict};
    let guest = Guest::new();
    let answer = PutAnswer { number: 1, verdict: PutVerdict::Taken(Version(1)) };
    assert_eq!(guest.may_hear(&ObjectNews::Answer(answer)), Err(crate::error::Reason::Violation));
    let right = ObjectRight { object: NameRef::new("plan").unwrap(), right: Right::Read, size: 0 };
    let rights = ObjectRights { rights: crate::wire::field::List::of(core::slice::from_ref(&right)) };
    assert_eq!(guest.may_hear(&ObjectNews::Rights(rights)), Err(crate::error::Reason::Violation));
    let mut guest = Guest::new();
    for _ in 0..3 {
        guest.put(&name("plan"), None, Bytes::new(), 3).unwrap();
    }
    assert_eq!(guest.put(&name("plan"), None, Bytes::new(), 3), Err(crate::error::Misuse::Unanswered));
    let long = Bytes::from(alloc::vec![0; MAX_OBJECT_BYTES as usize + 1]);
    assert_eq!(guest.put(&name("plan"), None, long, 9), Err(crate::error::Misuse::TooLong));
}

#[derive(Debug, Clone)]
enum Move {
    Put { member: usize, object: usize, length: usize, exact: bool },
    Ask(usize),
    Tell(usize),
    Rejoin(usize),
}

proptest! {
    #![proptest_config(fixed())]

    /// Concurrent changes by many members, told in any interleaving: what each member saw from its coming on is a prefix of
    /// what the leader made of what it may read, and in the end the whole of it.
    #[test]
    fn all_see_the_leaders_order(moves in prop::collection::vec(prop_oneof![
        3 => (0..4usize, 0..2usize, 0..90usize, any::<bool>())
            .prop_map(|(member, object, length, exact)| Move::Put { member, object, length, exact }),
        6 => (0..4usize).prop_map(Move::Ask),
        6 => (0..4usize).prop_map(Move::Tell),
        1 => (0..4usize).prop_map(Move::Rejoin),
    ], 1..120)) {
        const OBJECTS: [&str; 2] = ["plan", "diary"];
        let names = ["ada", "bob", "cid", "eve"];
        let mut table = Table::new(&shared(), &names);
        let mut since = [Version(0); 4];
        let mut puts = [0usize; 4];
        let mut of: [usize; 4] = [0, 1, 2, 3];
        for step in moves {
            match step {
                Move::Put { member, object, length, exact } if table.members[member].2.unanswered() < 16 => {
                    let here = table.members[member].2.get(&name(OBJECTS[object]));
                    let expected = exact.then(|| here.map_or(Version(0), |view| view.version));
                    table.put(member, OBJECTS[object], expected, &alloc::vec![member as u8; length]);
                    puts[member] += 1;
                }
                Move::Put { .. } => {}
                Move::Ask(member) => drop(table.ask(member)),
                Move::Tell(member) => drop(table.tell(member)),
                Move::Rejoin(member) => {
                    // The last place is taken by who comes.
                    table.leave(member);
                    let who = of[member];
                    table.join(names[who]);
                    of[member..].rotate_left(1);
                    since[member..].rotate_left(1);
                    puts[member..].rotate_left(1);
                    (since[3], puts[3]) = (table.host.last(), 0);
                }
            }
            for at in 0..4 {
                let readable = |(object, version, _): &&(String, Version, MemberId)| {
                    *version > since[at] && table.rules.right(&name(object), &name(names[of[at]])).reads()
                };
                let whole: Vec<Version> = table.made.iter().filter(readable).map(|(_, version, _)| *version).collect();
                let seen: Vec<Version> = table.changes(at).into_iter().filter(|seen| *seen > since[at]).collect();
                prop_assert!(whole.starts_with(&seen), "{seen:?} of {whole:?}");
            }
        }
        table.settle();
        for at in 0..4 {
            let (who, guest) = (name(names[of[at]]), &table.members[at].2);
            let whole = table.made.iter().filter(|(object, version, _)| {
                *version > since[at] && table.rules.right(&name(object), &who).reads()
            });
            let seen = table.changes(at).into_iter().filter(|seen| *seen > since[at]).count();
            prop_assert_eq!(seen, whole.count());
            let answers = table.saw(at).iter().filter(|event| {
                matches!(event, Event::ObjectTaken { .. } | Event::ObjectRefused { .. })
            });
            prop_assert_eq!(answers.count(), puts[at]);
            for object in OBJECTS {
                let reads = table.rules.right(&name(object), &who).reads();
                prop_assert_eq!(guest.get(&name(object)), table.host.get(&name(object)).filter(|_| reads));
            }
        }
    }
}
