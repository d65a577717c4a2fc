//! Real machines over real sockets, and somebody in between: a proxy that knows where frames begin and end cuts
//! connections, changes bytes and repeats what it recorded. What it does follows from a seed; what comes of it depends on
//! the scheduler too, so the assertions are about what must hold in every run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod group;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use group::{LIMIT, policy};
use sodality::antigone::{Leader, Member};
use sodality::endpoint::{Cx, Endpoint};
use sodality::event::{Event, Port, Stats};
use sodality::group::Participant;
use sodality::identity::Epoch;
use sodality_transports::driver::{Events, Handle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

/// How old a frame is before it is repeated.
const PAST: Duration = Duration::from_millis(400);

/// How often the proxy does what, in a thousand frames.
#[derive(Clone, Copy, Default)]
struct Faults {
    /// A changed copy goes out before the frame.
    flip: u64,
    /// A recorded frame goes out after the frame.
    replay: u64,
    /// A changed frame goes out instead of the frame.
    spoil: u64,
    /// The connection is cut.
    cut: u64,
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn hit(&mut self, in_a_thousand: u64) -> bool {
        self.next() % 1000 < in_a_thousand
    }
}

/// What the proxies of one run share: what they do, and what they did.
#[derive(Default)]
struct Mischief {
    faults: Mutex<Faults>,
    quiet: AtomicBool,
    flips: AtomicU64,
    /// Of these, frames that are guarded by a tag at their end, changed in that tag.
    tags: AtomicU64,
    replays: AtomicU64,
    cuts: AtomicU64,
    record: Mutex<Vec<(Instant, Vec<u8>)>>,
}

impl Mischief {
    fn faults(&self) -> Faults {
        if self.quiet.load(Ordering::SeqCst) { Faults::default() } else { *self.faults.lock().unwrap() }
    }

    fn remember(&self, frame: &[u8], dice: &mut Dice) {
        let mut record = self.record.lock().unwrap();
        if record.len() < 200 {
            record.push((Instant::now(), frame.to_vec()));
        } else {
            let at = dice.below(200);
            record[at] = (Instant::now(), frame.to_vec());
        }
    }

    /// A frame of the past, of any link. Not of the last moments: a copy that overtakes its original on another link is
    /// no replay: it takes the link of a peer with it until its next frame (RA §10).
    fn recall(&self, dice: &mut Dice) -> Option<Vec<u8>> {
        let record = self.record.lock().unwrap();
        let past: Vec<_> = record.iter().filter(|(at, _)| at.elapsed() > PAST).collect();
        past.get(dice.below(past.len())).map(|(_, frame)| frame.clone())
    }

    fn changed(&self, frame: &[u8], dice: &mut Dice) -> Vec<u8> {
        let mut copy = frame.to_vec();
        // Message types whose receiver checks a tag at the end: RA-J2, RA-CL, RA-CM, RA-D.
        let tagged = frame.len() > 40 && matches!(frame[4], 4..=6 | 9);
        let at = if tagged && dice.hit(500) {
            self.tags.fetch_add(1, Ordering::SeqCst);
            copy.len() - 1 - dice.below(16)
        } else {
            dice.below(copy.len())
        };
        copy[at] ^= 1 << dice.below(8);
        self.flips.fetch_add(1, Ordering::SeqCst);
        copy
    }
}

/// Listens for connections on the way to `target`.
async fn proxy(target: SocketAddr, seed: u64, mischief: Arc<Mischief>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for connection in 0.. {
            let (near, _) = listener.accept().await.unwrap();
            let Ok(far) = TcpStream::connect(target).await else { continue };
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            let seed = seed.wrapping_mul(1_000_003).wrapping_add(2 * connection);
            let (up, down) = (mischief.clone(), mischief.clone());
            tokio::spawn(async move {
                // The first that ends, by a cut or by itself, takes the other with it.
                tokio::select! {
                    () = carry(near_in, far_out, Dice(seed), up) => {}
                    () = carry(far_in, near_out, Dice(seed + 1), down) => {}
                }
            });
        }
    });
    address
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut dice: Dice, mischief: Arc<Mischief>) {
    loop {
        let Ok(length) = from.read_u32().await else { return };
        let mut frame = vec![0; length as usize];
        if from.read_exact(&mut frame).await.is_err() {
            return;
        }
        let faults = mischief.faults();
        let mut out = Vec::new();
        if dice.hit(faults.spoil) {
            out.push(mischief.changed(&frame, &mut dice));
        } else {
            if dice.hit(faults.flip) {
                out.push(mischief.changed(&frame, &mut dice));
            }
            out.push(frame.clone());
        }
        mischief.remember(&frame, &mut dice);
        if dice.hit(faults.replay)
            && let Some(old) = mischief.recall(&mut dice)
        {
            out.push(old);
            mischief.replays.fetch_add(1, Ordering::SeqCst);
        }
        let cut = dice.hit(faults.cut);
        for frame in out {
            let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
            bytes.extend_from_slice(&frame);
            if cut {
                // In the middle of a frame, for good measure.
                bytes.truncate(dice.below(bytes.len()));
            }
            if to.write_all(&bytes).await.is_err() {
                return;
            }
            if cut {
                mischief.cuts.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    }
}

type Heard = Arc<Mutex<BTreeMap<Vec<u8>, u32>>>;

/// Takes the events of a participant: remembers what it hears, and lets a member come back whenever it is out.
fn live<M: Participant + 'static>(handle: Handle<M>, mut events: Events, again: fn(&mut M, &mut Cx<'_>)) -> Heard {
    let heard = Heard::default();
    let ears = heard.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                Event::Data(message) => *ears.lock().unwrap().entry(message.payload.to_vec()).or_default() += 1,
                Event::Ended(_) | Event::JoinFailed(_) | Event::JoinRefused(_) => {
                    let _ = handle.call(again).await;
                }
                _ => {}
            }
        }
    });
    heard
}

struct Star {
    leader: Handle<Leader>,
    members: Vec<Handle<Member>>,
    /// The leader's first.
    heard: Vec<Heard>,
    mischief: Arc<Mischief>,
    seed: u64,
}

const MEMBERS: usize = 3;

impl Star {
    async fn start(seed: u64, faults: Faults) -> Self {
        let mischief = Arc::new(Mischief { faults: Mutex::new(faults), ..Mischief::default() });
        let way = proxy(group::third_party().await, seed, mischief.clone()).await;
        let (leader, events, address) = group::leader(way, policy()).await;
        let mut heard = vec![live(leader.clone(), events, |_, _| {})];
        let mut members = Vec::new();
        for number in 1..=MEMBERS {
            let way = proxy(address, seed + 100 * number as u64, mischief.clone()).await;
            let (member, events) = group::member(&format!("m{number}"), way).await;
            heard.push(live(member.clone(), events, |member, cx| {
                let _ = member.join(cx);
            }));
            members.push(member);
        }
        Self { leader, members, heard, mischief, seed }
    }

    async fn standing<M: Participant + 'static>(handle: &Handle<M>) -> (bool, Epoch, Vec<u8>, usize) {
        handle
            .call(|machine, _| {
                let (digest, count) = machine
                    .view()
                    .map_or((Vec::new(), 0), |view| (view.digest().as_bytes().to_vec(), view.members().len()));
                (machine.is_current(), machine.epoch(), digest, count)
            })
            .await
            .unwrap()
    }

    /// Everybody is in, current, and agrees.
    async fn converged(&self) -> bool {
        let leads = Self::standing(&self.leader).await;
        for member in &self.members {
            if Self::standing(member).await != leads {
                return false;
            }
        }
        leads.0 && leads.3 == MEMBERS + 1
    }

    async fn converge(&self) {
        let waiting = async {
            // Twice in a row, with time for a rekey between: views and keys may still be on their way.
            let mut agreed = 0;
            while agreed < 2 {
                agreed = if self.converged().await { agreed + 1 } else { 0 };
                sleep(policy().grace + policy().settle).await;
            }
        };
        if timeout(LIMIT, waiting).await.is_err() {
            let mut shown = format!("{:?}\n", self.leader.call(|leader, _| format!("{leader:#?}")).await);
            for member in &self.members {
                shown.push_str(&format!("{:?}\n", Self::standing(member).await));
            }
            panic!("seed {}: no agreement: {shown}", self.seed);
        }
    }

    /// Everybody says something; who cannot speak now is silent.
    async fn talk(&self, round: &str) -> Vec<Vec<u8>> {
        let mut said = Vec::new();
        let text = format!("{round} from the leader").into_bytes();
        let words = text.clone();
        if self.leader.call(move |leader, cx| leader.send(cx, Port::Application, &words)).await.unwrap().is_ok() {
            said.push(text);
        }
        for (number, member) in self.members.iter().enumerate() {
            let text = format!("{round} from member {number}").into_bytes();
            let words = text.clone();
            if member.call(move |member, cx| member.send(cx, Port::Application, &words)).await.unwrap().is_ok() {
                said.push(text);
            }
        }
        said
    }

    async fn stats(&self) -> Vec<Stats> {
        let mut all = vec![self.leader.call(|leader, _| leader.stats().clone()).await.unwrap()];
        for member in &self.members {
            all.push(member.call(|member, _| member.stats().clone()).await.unwrap());
        }
        all
    }

    /// How many of those who did not say `text` have heard it.
    fn ears(&self, text: &[u8]) -> usize {
        self.heard.iter().filter(|heard| heard.lock().unwrap().contains_key(text)).count()
    }

    async fn all_hear(&self, texts: &[Vec<u8>]) {
        let waiting = async {
            while !texts.iter().all(|text| self.ears(text) == MEMBERS) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(LIMIT, waiting).await.is_err() {
            panic!("seed {}: not all was heard", self.seed);
        }
    }

    /// Everything was delivered at most once, and nothing that nobody said.
    fn heard_at_most_once(&self, said: &[Vec<u8>]) {
        for (who, heard) in self.heard.iter().enumerate() {
            for (text, count) in heard.lock().unwrap().iter() {
                let shown = String::from_utf8_lossy(text);
                assert_eq!(*count, 1, "seed {}: {who} heard {shown:?}", self.seed);
                assert!(said.contains(text), "seed {}: nobody said {shown:?}", self.seed);
            }
        }
    }

    /// The faults end, everybody finds together again, and can talk.
    async fn recover(&self, said: &mut Vec<Vec<u8>>) {
        self.mischief.quiet.store(true, Ordering::SeqCst);
        self.converge().await;
        let last = self.talk("after it all").await;
        assert_eq!(last.len(), MEMBERS + 1);
        self.all_hear(&last).await;
        said.extend(last);
        self.heard_at_most_once(said);
    }
}

async fn rounds(star: &Star, name: &str, count: u32) -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    for round in 0..count {
        said.extend(star.talk(&format!("{name} {round}")).await);
        sleep(Duration::from_millis(5)).await;
    }
    said
}

fn total(stats: &[Stats]) -> u64 {
    stats.iter().map(|stats| stats.rejections() + stats.overruns).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_frames_are_refused_and_change_nothing() {
    for seed in 1..=3 {
        println!("seed {seed}");
        let star = Star::start(seed, Faults { flip: 300, ..Faults::default() }).await;
        star.converge().await;
        let (before, stood) = (Star::standing(&star.leader).await, star.mischief.tags.load(Ordering::SeqCst));
        let mut said = rounds(&star, "early", 40).await;
        // Each changed frame came beside the right one: nothing is missing, nobody was thrown out, no key was changed.
        star.all_hear(&said).await;
        assert_eq!(Star::standing(&star.leader).await, before, "seed {seed}");
        let tags = star.mischief.tags.load(Ordering::SeqCst);
        assert!(tags > stood + 10, "seed {seed}: {stood}, {tags}");
        star.recover(&mut said).await;
        let refused = total(&star.stats().await);
        assert!(refused >= tags, "seed {seed}: {refused} refused of {tags}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_frames_are_refused() {
    for seed in 11..=13 {
        println!("seed {seed}");
        let star = Star::start(seed, Faults { replay: 500, ..Faults::default() }).await;
        star.converge().await;
        let before = Star::standing(&star.leader).await;
        let refused = total(&star.stats().await);
        let mut said = rounds(&star, "early", 150).await;
        star.all_hear(&said).await;
        assert_eq!(Star::standing(&star.leader).await, before, "seed {seed}");
        star.recover(&mut said).await;
        let after = total(&star.stats().await);
        assert!(after > refused + 20, "seed {seed}: {refused}, {after}");
        assert!(star.mischief.replays.load(Ordering::SeqCst) > 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_finds_together_again_after_cuts() {
    for seed in 21..=23 {
        println!("seed {seed}");
        let star = Star::start(seed, Faults { cut: 30, ..Faults::default() }).await;
        let mut said = rounds(&star, "early", 60).await;
        sleep(Duration::from_millis(300)).await;
        said.extend(rounds(&star, "late", 60).await);
        star.recover(&mut said).await;
        let cuts = star.mischief.cuts.load(Ordering::SeqCst);
        assert!(cuts > 2, "seed {seed}: {cuts}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_together_does_no_lasting_harm() {
    for seed in 31..=33 {
        println!("seed {seed}");
        let faults = Faults { flip: 50, replay: 100, spoil: 30, cut: 20 };
        let star = Star::start(seed, faults).await;
        let mut said = rounds(&star, "early", 60).await;
        sleep(Duration::from_millis(500)).await;
        said.extend(rounds(&star, "late", 60).await);
        star.recover(&mut said).await;
        assert!(star.mischief.flips.load(Ordering::SeqCst) > 0);
        for handle in &star.members {
            assert_eq!(handle.stats().spins, 0, "seed {seed}");
        }
    }
}
