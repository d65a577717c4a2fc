use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::event::ObjectRefusal;
use crate::group::testing::fixed;
use crate::identity::Name;
use crate::policy::{MAX_OBJECTS, ObjectRule, Objects, Right};

const LIMITS: StoreLimits = StoreLimits { changes: 8, bytes: 1 << 10 };
const ADA: MemberId = MemberId(1);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn rules(all: &[(&str, &[(&str, Right)])]) -> Objects {
    let rule = |members: &[(&str, Right)]| ObjectRule {
        members: members.iter().map(|(member, right)| (name(member), *right)).collect(),
        size: 100,
        ..ObjectRule::default()
    };
    all.iter().map(|(object, members)| (name(object), rule(members))).collect()
}

fn put(store: &mut Store, rules: &Objects, object: &str, contents: &[u8]) -> Version {
    let contents = Bytes::copy_from_slice(contents);
    let step = store.prepare(rules, (ADA, Right::Change), name(object), None, contents).unwrap();
    store.commit(step)
}

/// Takes what `reader` is told next; the change that it completed.
fn turn(store: &Store, rules: &Objects, reader: &mut Reader, replicas: &mut Replicas, room: usize) -> Turn {
    let Some(say) = reader.next(store, rules, room) else { return Turn::Nothing };
    assert_eq!(reader.next(store, rules, room).as_ref(), Some(&say), "it does not change by being asked");
    match &say {
        Say::Rights(told) => {
            assert!(replicas.may_hear(told));
            replicas.hear(told.clone());
        }
        Say::Piece { object, version, by, size, offset, bytes } => {
            let (version, by, size, offset) = (*version, *by, *size, *offset);
            let piece = Piece { object, version, by, size, offset, bytes };
            assert!(replicas.may_take(&piece), "{piece:?}");
            let whole = replicas.take(&piece);
            assert_eq!(reader.told(say.clone()), whole);
            return if whole { Turn::Changed(String::from(object.as_str()), version) } else { Turn::Told };
        }
    }
    reader.told(say);
    Turn::Told
}

#[derive(Debug, PartialEq)]
enum Turn {
    Nothing,
    Told,
    Changed(String, Version),
}

fn drain(store: &Store, rules: &Objects, reader: &mut Reader, replicas: &mut Replicas) -> Vec<(String, u64)> {
    let mut changes = Vec::new();
    loop {
        match turn(store, rules, reader, replicas, 7) {
            Turn::Nothing => return changes,
            Turn::Told => {}
            Turn::Changed(object, version) => changes.push((object, version.0)),
        }
    }
}

#[test]
fn each_right_with_each_operation() {
    let rules = rules(&[("plan", &[("reader", Right::Read), ("writer", Right::Change)])]);
    for (member, reads, changes) in [("stranger", false, false), ("reader", true, false), ("writer", true, true)] {
        let mut store = Store::new(LIMITS);
        put(&mut store, &rules, "plan", b"one");
        let (mut reader, mut replicas) = (Reader::new(name(member), &store), Replicas::new());
        let told = drain(&store, &rules, &mut reader, &mut replicas);
        assert_eq!(told.len(), usize::from(reads), "{member}");
        assert_eq!(replicas.get(&name("plan")).is_some(), reads);
        assert_eq!(replicas.bytes(), if reads { 3 } else { 0 });
        let right = reader.right(&rules, &name("plan"));
        let answer = store.prepare(&rules, (ADA, right), name("plan"), None, Bytes::from_static(b"two"));
        assert_eq!(answer.err(), (!changes).then_some(ObjectRefusal::NotAllowed), "{member}");
    }
}

#[test]
fn refusals_say_why() {
    let rules = rules(&[("plan", &[])]);
    let mut store = Store::new(LIMITS);
    put(&mut store, &rules, "plan", b"one");
    let ask = |store: &Store, object: &str, right, expected, length: usize| {
        store.permits(&rules, right, &name(object), expected, length as u64).err()
    };
    assert_eq!(ask(&store, "map", Right::Change, None, 1), Some(ObjectRefusal::NoSuchObject));
    assert_eq!(ask(&store, "plan", Right::Read, None, 1), Some(ObjectRefusal::NotAllowed));
    assert_eq!(ask(&store, "plan", Right::Change, None, 101), Some(ObjectRefusal::TooLong));
    assert_eq!(ask(&store, "plan", Right::Change, Some(Version(0)), 1), Some(ObjectRefusal::Conflict));
    assert_eq!(ask(&store, "plan", Right::Change, Some(Version(1)), 100), None);
    assert_eq!(ask(&store, "plan", Right::Change, None, 100), None);
    put(&mut store, &rules, "plan", b"two");
    assert_eq!(ask(&store, "plan", Right::Change, Some(Version(1)), 1), Some(ObjectRefusal::Conflict));
}

#[test]
fn who_keeps_up_sees_each_change_and_who_comes_late_the_newest() {
    let rules = rules(&[("a", &[("m", Right::Read)]), ("b", &[("m", Right::Read)]), ("c", &[])]);
    let mut store = Store::new(LIMITS);
    let (mut early, mut first) = (Reader::new(name("m"), &store), Replicas::new());
    for (object, text) in [("a", "a1"), ("b", "b2"), ("c", "c3"), ("a", "a4")] {
        put(&mut store, &rules, object, text.as_bytes());
    }
    let (mut late, mut second) = (Reader::new(name("m"), &store), Replicas::new());
    put(&mut store, &rules, "b", b"b5");
    put(&mut store, &rules, "b", b"b6");
    let of = |pairs: &[(&str, u64)]| pairs.iter().map(|(o, v)| (String::from(*o), *v)).collect::<Vec<_>>();
    let seen = drain(&store, &rules, &mut early, &mut first);
    assert_eq!(seen, of(&[("a", 1), ("b", 2), ("a", 4), ("b", 5), ("b", 6)]));
    // `b` at 2 is overwritten: the newcomer is told the state, and then what has changed since it came.
    assert_eq!(drain(&store, &rules, &mut late, &mut second), of(&[("a", 4), ("b", 5), ("b", 6)]));
    assert_eq!(first.get(&name("b")), second.get(&name("b")));
    assert_eq!(first.get(&name("c")), None);
}

#[test]
fn who_gains_a_right_gets_the_state_and_nothing_from_before() {
    let before = rules(&[("a", &[("m", Right::Read)]), ("s", &[])]);
    let after = rules(&[("a", &[]), ("s", &[("m", Right::Change)])]);
    let mut store = Store::new(LIMITS);
    let (mut reader, mut replicas) = (Reader::new(name("m"), &store), Replicas::new());
    put(&mut store, &before, "a", b"public");
    put(&mut store, &before, "s", b"secret of before");
    put(&mut store, &before, "s", b"for all to see");
    put(&mut store, &before, "a", b"more");
    drain(&store, &before, &mut reader, &mut replicas);
    store.obey(&after);
    reader.obey(&store, &before, &after);
    put(&mut store, &after, "a", b"no longer for m");
    assert_eq!(drain(&store, &after, &mut reader, &mut replicas), [(String::from("s"), 3)]);
    assert_eq!(replicas.get(&name("s")).unwrap().contents, "for all to see");
    // What it had it keeps, as it was, and it knows that it hears no more.
    assert_eq!(replicas.get(&name("a")).unwrap().contents, "more");
    assert_eq!((replicas.right(&name("a")), replicas.right(&name("s"))), (Right::None, Right::Change));
}

#[test]
fn rights_that_change_in_the_middle_of_a_piece_end_it() {
    let before = rules(&[("a", &[("m", Right::Read)]), ("b", &[("m", Right::Read)])]);
    let after = rules(&[("a", &[]), ("b", &[("m", Right::Read)])]);
    let mut store = Store::new(LIMITS);
    let (mut reader, mut replicas) = (Reader::new(name("m"), &store), Replicas::new());
    put(&mut store, &before, "a", &[1; 50]);
    put(&mut store, &before, "b", &[2; 50]);
    // The rights, two at seven bytes and more each, and the first piece.
    for _ in 0..3 {
        assert_eq!(turn(&store, &before, &mut reader, &mut replicas, 7), Turn::Told);
    }
    store.obey(&after);
    reader.obey(&store, &before, &after);
    assert_eq!(drain(&store, &after, &mut reader, &mut replicas), [(String::from("b"), 2)]);
    assert_eq!(replicas.get(&name("a")), None);
}

#[test]
fn what_is_overwritten_and_forgotten_is_begun_anew() {
    let rules = rules(&[("a", &[("m", Right::Read)])]);
    let mut store = Store::new(StoreLimits { changes: 1, ..LIMITS });
    let (mut reader, mut replicas) = (Reader::new(name("m"), &store), Replicas::new());
    put(&mut store, &rules, "a", &[1; 50]);
    for _ in 0..4 {
        turn(&store, &rules, &mut reader, &mut replicas, 7);
    }
    put(&mut store, &rules, "a", &[2; 40]);
    put(&mut store, &rules, "a", &[3; 40]);
    assert_eq!(drain(&store, &rules, &mut reader, &mut replicas), [(String::from("a"), 3)]);
    assert_eq!(replicas.get(&name("a")).unwrap().contents, [3; 40].as_slice());
}

#[test]
fn the_log_is_bounded_by_count_and_bytes() {
    let rules = rules(&[("a", &[])]);
    let mut store = Store::new(LIMITS);
    for n in 0..100u8 {
        put(&mut store, &rules, "a", &[n; 10]);
        assert!(store.last().0 - store.forgotten().0 <= 8);
    }
    assert_eq!(store.last().0 - store.forgotten().0, 8);
    let mut store = Store::new(StoreLimits { changes: 100, bytes: 250 });
    for n in 0..100u8 {
        put(&mut store, &rules, "a", &[n; 100]);
    }
    assert_eq!(store.last().0 - store.forgotten().0, 2);
    assert_eq!(store.find(&name("a"), Version(98)), None);
    assert!(store.find(&name("a"), Version(99)).is_some());
    // The newest is kept even where the log has no room for it.
    let mut store = Store::new(StoreLimits { changes: 0, bytes: 0 });
    put(&mut store, &rules, "a", b"kept");
    assert_eq!(store.find(&name("a"), Version(1)).unwrap().contents, "kept");
}

#[test]
fn other_rules_end_objects_that_they_do_not_name_or_find_too_long() {
    let mut store = Store::new(LIMITS);
    let before = rules(&[("a", &[]), ("b", &[]), ("c", &[])]);
    for object in ["a", "b", "c"] {
        put(&mut store, &before, object, &[0; 50]);
    }
    let mut after = rules(&[("a", &[]), ("b", &[])]);
    after.insert(name("b"), ObjectRule::default().size(49));
    store.obey(&after);
    assert_eq!((store.version(&name("a")), store.version(&name("b"))), (Version(1), Version(0)));
    assert_eq!(store.get(&name("c")), None);
    assert_eq!(put(&mut store, &after, "b", &[]), Version(4), "numbers go on");
}

#[test]
fn a_member_takes_only_what_follows() {
    let mut replicas = Replicas::new();
    let (a, other) = (name("a"), name("b"));
    assert!(replicas.may_hear(&[(a.clone(), Right::Read, 10)]));
    assert!(!replicas.may_hear(&[(a.clone(), Right::Read, 0)]));
    assert!(!replicas.may_hear(&[(a.clone(), Right::Read, u32::MAX)]));
    let many: Vec<RightTold> = (0..=MAX_OBJECTS).map(|n| (name(&alloc::format!("o{n}")), Right::Read, 1)).collect();
    assert!(!replicas.may_hear(&many));
    replicas.hear([(a.clone(), Right::Read, 10)]);
    let piece = Piece { object: &a, version: Version(2), by: ADA, size: 4, offset: 0, bytes: b"ab" };
    for wrong in [
        Piece { object: &other, ..piece },
        Piece { version: Version(0), ..piece },
        Piece { size: 11, ..piece },
        Piece { size: 1, ..piece },
        Piece { offset: 2, ..piece },
        Piece { bytes: b"", ..piece },
    ] {
        assert!(!replicas.may_take(&wrong), "{wrong:?}");
    }
    assert!(replicas.may_take(&piece) && !replicas.take(&piece));
    let next = Piece { offset: 2, bytes: b"cd", ..piece };
    for wrong in [
        Piece { offset: 1, ..next },
        Piece { offset: 3, ..next },
        Piece { version: Version(3), ..next },
        Piece { by: MemberId(9), ..next },
        Piece { bytes: b"cde", ..next },
    ] {
        assert!(!replicas.may_take(&wrong), "{wrong:?}");
    }
    assert!(replicas.may_take(&next) && replicas.take(&next));
    assert_eq!(replicas.get(&a).unwrap().contents, "abcd");
    assert!(!replicas.may_take(&Piece { version: Version(1), ..piece }), "an older one");
}

#[test]
fn what_may_be_read_no_longer_makes_room() {
    let mut replicas = Replicas::new();
    for n in 0..3 * MAX_OBJECTS {
        let object = name(&alloc::format!("o{n}"));
        let told = [(object.clone(), Right::Read, 1)];
        assert!(replicas.may_hear(&told));
        replicas.hear(told);
        let piece = Piece { object: &object, version: Version(1), by: ADA, size: 1, offset: 0, bytes: b"x" };
        assert!(replicas.may_take(&piece) && replicas.take(&piece));
        replicas.hear([(object, Right::None, 0)]);
        assert!(replicas.bytes() <= MAX_OBJECTS);
    }
    assert_eq!(replicas.bytes(), MAX_OBJECTS);
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize, usize),
    Turn(usize, usize),
    Rules(u8),
}

proptest! {
    #![proptest_config(fixed())]

    /// Whatever is changed, told and allowed in whatever order: versions rise, contents are what was put under that version,
    /// nobody is told what it may not read, and in the end all have the newest of what they may.
    #[test]
    fn readers_agree(steps in prop::collection::vec(prop_oneof![
        (0..3usize, 0..60usize).prop_map(|(object, length)| Step::Put(object, length)),
        (0..3usize, 1..40usize).prop_map(|(member, room)| Step::Turn(member, room)),
        (0..3usize, 1..40usize).prop_map(|(member, room)| Step::Turn(member, room)),
        any::<u8>().prop_map(Step::Rules),
    ], 1..150)) {
        const OBJECTS: [&str; 3] = ["x", "y", "z"];
        // Who may read what, a bit for each pair; the third member may not read the third object, ever.
        let of = |bits: u8| {
            let right = |object: usize, member: usize| {
                let reads = u16::from(bits) >> (3 * object + member) & 1 == 1 && (object, member) != (2, 2);
                if reads { Right::Read } else { Right::None }
            };
            let members = |object| [("m0", right(object, 0)), ("m1", right(object, 1)), ("m2", right(object, 2))];
            rules(&[("x", &members(0)), ("y", &members(1)), ("z", &members(2))])
        };
        let mut law = of(0xff);
        let mut store = Store::new(StoreLimits { changes: 4, bytes: 120 });
        let mut all: Vec<(Reader, Replicas)> =
            ["m0", "m1", "m2"].iter().map(|m| (Reader::new(name(m), &store), Replicas::new())).collect();
        let mut history = alloc::collections::BTreeMap::new();
        let mut held = alloc::collections::BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(object, length) => {
                    let contents = alloc::vec![history.len() as u8; length];
                    let version = put(&mut store, &law, OBJECTS[object], &contents);
                    history.insert(version, (OBJECTS[object], contents));
                }
                Step::Turn(member, room) => {
                    let (reader, replicas) = &mut all[member];
                    if let Turn::Changed(object, version) = turn(&store, &law, reader, replicas, room) {
                        let who = name(&alloc::format!("m{member}"));
                        prop_assert!(law.right(&name(&object), &who).reads());
                        let (of, contents) = &history[&version];
                        prop_assert_eq!(*of, object.as_str());
                        prop_assert_eq!(&replicas.get(&name(&object)).unwrap().contents[..], &contents[..]);
                        let before = held.insert((member, object), version);
                        prop_assert!(before.is_none_or(|before| before <= version));
                    }
                }
                Step::Rules(bits) => {
                    let next = of(bits);
                    store.obey(&next);
                    all.iter_mut().for_each(|(reader, _)| reader.obey(&store, &law, &next));
                    law = next;
                }
            }
        }
        for (member, (reader, replicas)) in all.iter_mut().enumerate() {
            drain(&store, &law, reader, replicas);
            for object in OBJECTS {
                let object = name(object);
                if law.right(&object, &name(&alloc::format!("m{member}"))).reads() {
                    prop_assert_eq!(replicas.get(&object), store.get(&object));
                }
            }
        }
        prop_assert_eq!(all[2].1.get(&name("z")), None);
    }
}

mod sides;
