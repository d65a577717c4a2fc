//! R33: nothing that is printed shows a secret. R32: no block of memory that a whole session gives back holds one, the keys of
//! private words among them; and
//! after an eviction none that is still in use holds the old group key or what follows from it.
//!
//! Each session runs twice from one seed: first under a suite that writes all secrets down, then without it, while the
//! allocator looks for them. The stack is out of its reach, and so are keys in an expanded form.
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sodality::antigone::data::data_key;
use sodality::antigone::{Leader, Member};
use sodality::crypto::faulty::Recording;
use sodality::crypto::{Key, Secret, Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::endpoint::Endpoint;
use sodality::event::{Event, Port};
use sodality::fingerprint::Fingerprint;
use sodality::identity::MemberId;
use sodality::sim::check::Always;
use sodality::sim::star::{LEADER, Star, StarConfig, long_term_key};
use sodality::sim::{Faults, LinkConfig, NodeId, Observed, Stop, World};
use sodality::ttp::ThirdParty;
use sodality::wire::antigone::Kind;

const SEED: u64 = 77;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

// ---- the allocator ----

/// How much of a secret is looked for, in bytes: the shortest key has as many.
const PIECE: usize = 16;
/// Blocks in use that are remembered.
const PLACES: usize = 1 << 18;

type Piece = [u8; PIECE];

thread_local! {
    // Of this thread alone, so that tests do not disturb each other; without destructors, so that they need no memory.
    static WANTED: Cell<&'static [Piece]> = const { Cell::new(&[]) };
    static FOUND: Cell<usize> = const { Cell::new(0) };
    static LAST: Cell<usize> = const { Cell::new(0) };
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// The blocks in use that were made while somebody looked: address and size. 0 is a free place, 1 one that was in use.
struct Blocks([(usize, usize); PLACES]);

static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks([(0, 0); PLACES]));

impl Blocks {
    fn places(block: usize) -> impl Iterator<Item = usize> {
        let start = (block >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        (0..PLACES).map(move |step| (start + step) % PLACES)
    }

    fn add(&mut self, block: usize, size: usize) {
        if let Some(place) = Self::places(block).find(|place| self.0[*place].0 < 2) {
            self.0[place] = (block, size);
        }
    }

    fn remove(&mut self, block: usize) {
        let end = |place: &usize| self.0[*place].0 == block || self.0[*place].0 == 0;
        if let Some(place) = Self::places(block).find(end).filter(|place| self.0[*place].0 == block) {
            self.0[place] = (1, 0);
        }
    }
}

fn blocks() -> MutexGuard<'static, Blocks> {
    BLOCKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of a wanted piece in `bytes`.
fn search(bytes: &[u8], wanted: &[Piece]) -> Option<usize> {
    // Sorted, so that the first byte leads to a few candidates.
    let mut starts = [false; 256];
    wanted.iter().for_each(|piece| starts[piece[0] as usize] = true);
    let hit =
        |window: &&[u8]| starts[window[0] as usize] && wanted.binary_search_by(|piece| piece[..].cmp(window)).is_ok();
    bytes.windows(PIECE).find(hit).map(|window| wanted.binary_search_by(|piece| piece[..].cmp(window)).unwrap_or(0))
}

struct Searching;

// SAFETY: all memory comes from `System`, under its own rules; `realloc` is the default one, made of these two.
unsafe impl GlobalAlloc for Searching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that a whole block can be read later.
        // SAFETY: the caller keeps the rules of `alloc`, which are those of `alloc_zeroed`.
        let block = unsafe { System.alloc_zeroed(layout) };
        if LOOKING.try_with(Cell::get).unwrap_or(false) {
            blocks().add(block as usize, layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if LOOKING.try_with(Cell::get).unwrap_or(false) {
            blocks().remove(block as usize);
            // SAFETY: the block is still ours, and was zeroed when it was made.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            if let Some(which) = search(bytes, WANTED.get()) {
                FOUND.set(FOUND.get() + 1);
                LAST.set(which);
            }
        }
        // SAFETY: as the caller's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Searching = Searching;

fn pieces(secrets: &BTreeSet<Vec<u8>>) -> &'static [Piece] {
    let mut pieces: Vec<Piece> = secrets.iter().map(|secret| *secret.first_chunk().unwrap()).collect();
    pieces.sort();
    // Never given back: the allocator may look at it at any time.
    Box::leak(pieces.into_boxed_slice())
}

/// How many blocks with one of `secrets` are given back while `run` runs.
fn given_back<T>(secrets: &BTreeSet<Vec<u8>>, run: impl FnOnce() -> T) -> (usize, T) {
    WANTED.set(pieces(secrets));
    FOUND.set(0);
    LOOKING.set(true);
    let value = run();
    LOOKING.set(false);
    (FOUND.get(), value)
}

/// How many blocks in use, made since somebody looked, hold one of `secrets`.
fn in_use(secrets: &BTreeSet<Vec<u8>>) -> usize {
    let (looking, wanted) = (LOOKING.replace(false), pieces(secrets));
    let all: Vec<(usize, usize)> = blocks().0.iter().copied().filter(|(block, _)| *block > 1).collect();
    let holds = all.iter().filter(|(block, size)| {
        // SAFETY: the block is in use by this thread, which stands here: nobody gives it back or writes to it.
        let bytes = unsafe { std::slice::from_raw_parts(*block as *const u8, *size) };
        search(bytes, wanted).is_some()
    });
    let count = holds.count();
    LOOKING.set(looking);
    count
}

/// One test at a time: what is in use is remembered for all threads together.
static ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    blocks().0.fill((0, 0));
    one
}

fn some(byte: u8) -> BTreeSet<Vec<u8>> {
    BTreeSet::from([(0..32).map(|n| byte ^ (n * 7)).collect()])
}

#[test]
fn the_allocator_finds_what_is_there() {
    let _one = alone();
    let secrets = some(0xc3);
    let secret = secrets.first().unwrap().clone();
    let (found, ()) = given_back(&secrets, || drop([&[1, 2, 3], &secret[..], &[4]].concat()));
    assert_eq!(found, 1, "inside a block");
    let (found, held) = given_back(&secrets, || {
        let held = Secret::new(&secret);
        drop(held.clone());
        assert_eq!(in_use(&secrets), 1);
        held
    });
    assert_eq!(found, 0, "wiped");
    let (found, ()) = given_back(&secrets, || drop(held));
    assert_eq!((found, in_use(&secrets)), (0, 0), "gone");
    let (found, ()) = given_back(&secrets, || drop(secret[..15].to_vec()));
    assert_eq!(found, 0, "a part is not the whole");
}

// ---- sessions ----

/// Joins, talk, private words, a plain rekey, an eviction and a return, over bad links. `at` is called before and after the eviction.
fn session(world: &mut World, suite: Arc<dyn Suite>, mut at: impl FnMut(&World, &Star, &str)) -> Result<(), Stop> {
    let faults = Faults { corrupt: 10, ..Faults::HARSH };
    let link = LinkConfig::DATAGRAM.max_frame(65_536).faults(faults);
    let star = Star::add(world, StarConfig { link, ..StarConfig::new(suite) }, 3)?;
    star.join_always(world)?;
    let all = |world: &World| star.converged(world) && world.get(star.leader).unwrap().view().members().len() == 4;
    world.eventually(MINUTE * 5, "all are in", all)?;
    for (turn, from) in [0, 9, 1, 2].into_iter().enumerate() {
        let _ = star.say(world, from, format!("text {turn}").as_bytes())?;
        world.run_for(SECOND)?;
    }
    world.with(star.leader, |leader, cx| leader.rekey(cx))?.unwrap();
    world.run_for(SECOND * 8)?;
    world.calm();
    world.eventually(MINUTE * 5, "all are in again", all)?;
    world.run_for(SECOND * 6)?;
    for from in [0, 9, 1, 2] {
        let _ = star.say(world, from, format!("once more {from}").as_bytes())?;
    }
    // Private words, heard by a member and by the leader: their keys come and go.
    let others = [1, 2].map(|index| world.get(star.members[index]).and_then(Member::cid).unwrap());
    star.tell(world, 0, &[others[0], MemberId::LEADER], b"to two alone")?.unwrap();
    star.tell(world, 9, &others, b"to two alone, from the leader")?.unwrap();
    world.run_for(SECOND * 2)?;
    let word = |event: &&Event| matches!(event, Event::Gossip(_));
    let heard = |node: NodeId| world.events(node).iter().filter(word).count();
    assert_eq!([star.leader.id, star.members[1].id, star.members[2].id].map(heard), [1, 2, 1]);
    at(world, &star, "before");
    world.with(star.members[1], |member, cx| member.leave(cx))?.unwrap();
    // Long enough for everybody, too short for a return.
    world.run_for(Duration::from_millis(9))?;
    at(world, &star, "after");
    world.eventually(MINUTE * 5, "all are in at last", all)?;
    let _ = star.say(world, 0, b"the end")?;
    world.run_for(SECOND)
}

fn run(suite: Arc<dyn Suite>, at: impl FnMut(&World, &Star, &str)) -> World {
    let mut world = World::new(SEED);
    world.trace_mut().keep(100_000);
    if let Err(stop) = session(&mut world, suite, at) {
        panic!("{stop}\n{}", world.trace().tail(60));
    }
    world
}

fn suites() -> [Arc<dyn Suite>; 3] {
    [aes_128_gcm(), aes_256_gcm(), chacha20_poly1305()]
}

/// All that came up, and the keys that were there before anything ran.
fn secrets_of(record: &Recording, suite: &dyn Suite) -> BTreeSet<Vec<u8>> {
    let long = [LEADER, "m1", "m2", "m3"].map(|name| long_term_key(suite, name).secret().expose().to_vec());
    record.secrets().into_iter().chain(long).collect()
}

fn digest(machine: &dyn Fingerprint) -> Vec<u8> {
    let mut out = Vec::new();
    machine.fingerprint(sodality::endpoint::Instant::ORIGIN, &mut out);
    out
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The group key and base that the leader and the members held before the eviction and do not hold after it, by their
/// state digests; with the data keys that follow.
fn evicted(record: &Recording, suite: &Arc<dyn Suite>) -> (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
    let before = Rc::new(RefCell::new(BTreeSet::new()));
    let gone = Rc::new(RefCell::new(BTreeSet::new()));
    let (first, second) = (before.clone(), gone.clone());
    drop(run(record.suite(), |world, star, when| {
        let states: Vec<Vec<u8>> = std::iter::once(digest(world.get(star.leader).unwrap()))
            .chain([0, 2].map(|index| digest(world.get(star.members[index]).unwrap())))
            .collect();
        let held = |secret: &Vec<u8>| states.iter().any(|state| contains(state, secret));
        let held: BTreeSet<Vec<u8>> = record.secrets().into_iter().filter(held).collect();
        match when {
            "before" => *first.borrow_mut() = held,
            _ => *second.borrow_mut() = first.borrow().difference(&held).cloned().collect(),
        }
    }));
    let mut old = gone.borrow().clone();
    assert!(!old.is_empty(), "an eviction changes the keys");
    let all: BTreeSet<Vec<u8>> = record.secrets().into_iter().collect();
    for base in gone.borrow().iter() {
        for cid in 0..8 {
            let key = data_key(&**suite, &Key::new(Secret::new(base)), Kind::Both, MemberId(cid));
            old.extend(key.ok().map(|key| key.secret().expose().to_vec()).filter(|key| all.contains(key)));
        }
    }
    (gone.take(), old)
}

#[test]
fn what_a_session_gives_back_holds_no_secret() {
    let _one = alone();
    for suite in suites() {
        let record = Recording::new(suite.clone());
        drop(run(record.suite(), |_, _, _| {}));
        let secrets = secrets_of(&record, &*suite);
        let boxes = record.boxes();
        drop(record);
        let (found, ()) = given_back(&secrets, || drop(run(suite.clone(), |_, _, _| {})));
        let which = LAST.get();
        let what = pieces(&secrets)[which];
        assert_eq!(found, 0, "{:?}: blocks that hold a secret, the last one {what:02x?}", suite.id());
        println!(
            "{:?}, seed {SEED}: {boxes} boxes, {} secrets, none in what was given back",
            suite.id(),
            secrets.len()
        );
        assert!(secrets.len() > 60);
    }
}

#[test]
fn after_an_eviction_the_old_key_is_nowhere() {
    let _one = alone();
    for suite in suites() {
        blocks().0.fill((0, 0));
        let record = Recording::new(suite.clone());
        let (gone, old) = evicted(&record, &suite);
        drop(record);
        let counts = Rc::new(RefCell::new(Vec::new()));
        let seen = counts.clone();
        let (_, ()) = given_back(&old, || {
            drop(run(suite.clone(), |_, _, _| {
                let count = in_use(&old);
                LOOKING.set(false);
                seen.borrow_mut().push(count);
                LOOKING.set(true);
            }))
        });
        let counts = counts.borrow().clone();
        println!(
            "{:?}: {} keys of states, {} with what follows; blocks that hold them: {counts:?}",
            suite.id(),
            gone.len(),
            old.len()
        );
        assert!(gone.len() >= 2 && old.len() > gone.len(), "group key, base, data keys");
        assert!(counts[0] >= 4, "a leader and three members have them: {counts:?}");
        assert_eq!(counts[1], 0, "nobody has them");
    }
}

/// Everything that can be printed of a session.
#[test]
fn nothing_that_is_printed_shows_a_secret() {
    let _one = alone();
    let suite = chacha20_poly1305();
    let record = Recording::new(suite.clone());
    let text = Rc::new(RefCell::new(String::new()));
    let mut world = World::new(SEED);
    world.trace_mut().keep(100_000);
    let sink = text.clone();
    world.add_checker(Always::new("printer", move |step: &Observed<'_>| {
        let mut text = sink.borrow_mut();
        let _ = write!(text, "{}{:?}{:?}", step.input, step.input, step.events);
        if step.step.is_multiple_of(2) {
            let _ = write!(text, "{:?}", step.machine::<Leader>());
            let _ = write!(text, "{:?}", step.machine::<Member>());
            let _ = write!(text, "{:?}", step.machine::<ThirdParty>());
        }
        Ok(())
    }));
    let mut errors = String::new();
    let outcome = session(&mut world, record.suite(), |world, star, _| {
        let stats = star.members.iter().filter_map(|member| world.get(*member)).map(|member| member.stats().clone());
        let _ = write!(errors, "{:?}", stats.collect::<Vec<_>>());
        let _ = write!(errors, "{:#?}", world.get(star.leader));
        let _ = write!(errors, "{:?}{:?}{:?}", world, star, star.config);
    });
    outcome.unwrap();
    let leader = world.typed::<Leader>(world.nodes().nth(1).unwrap()).unwrap();
    let mut refuse = |port, payload: &[u8]| {
        let error = world.with(leader, |leader, cx| leader.send(cx, port, payload)).unwrap().unwrap_err();
        let _ = write!(errors, "{error}{error:?}");
    };
    refuse(Port::Application, &vec![0; 1 << 20]);
    text.borrow_mut().push_str(&errors);
    text.borrow_mut().push_str(&world.trace().tail(100_000));
    let mut text = text.take();
    let secrets = secrets_of(&record, &*suite);
    let shown = |text: &str| {
        let forms = |secret: &Vec<u8>| {
            let hex = |piece: &[u8]| piece.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let list = |piece: &[u8]| piece.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
            let end = secret.len() - 8;
            let pieces = [&secret[..8], &secret[end..]];
            pieces.iter().any(|piece| {
                let escaped = format!("{:?}", bytes::Bytes::copy_from_slice(piece));
                let escaped = &escaped[2..escaped.len() - 1];
                [hex(piece), hex(piece).to_uppercase(), list(piece)].iter().any(|form| text.contains(form))
                    || text.contains(escaped)
            })
        };
        // The keys of simulations begin with a name and end in one letter: they are looked for as a whole.
        let long = |secret: &&Vec<u8>| !secret.ends_with(&[0x5a; 8]);
        secrets.iter().filter(long).filter(|secret| forms(secret)).count()
    };
    println!("seed {SEED}: {} bytes of text, {} secrets", text.len(), secrets.len());
    assert!(text.len() > 1 << 18 && text.contains("Key(..)"));
    assert_eq!(shown(&text), 0);
    assert!(
        !text.contains("ZZZZZZZZ") && !text.contains("90, 90, 90, 90") && !text.contains("5a5a5a5a"),
        "long-term keys"
    );
    // The search is no straw man.
    let drawn = secrets.iter().find(|secret| !secret.ends_with(&[0x5a; 8])).unwrap();
    let _ = write!(text, "{drawn:?}");
    assert_eq!(shown(&text), 1);
}
