//! Objects over driven participants: stores and sources that fail, an application that takes no reports, the end.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod group;

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use group::LIMIT;
use sodality::antigone::{Leader, Member};
use sodality::event::Event;
use sodality::identity::{MemberId, Name};
use sodality::policy::Policy;
use sodality::transfer::{Manifest, OfferEnd, Outcome, Progress};
use sodality_transports::driver::Handle;
use sodality_transports::objects::{self, Config, Failure, ObjectError, Objects, ReadAt, Report, Reports, Store};
use tokio::time::{sleep, timeout};

/// What became of a store.
#[derive(Default, Debug)]
struct Shelf {
    bytes: Vec<u8>,
    written: usize,
    finished: bool,
    discarded: bool,
    dropped: bool,
}

/// A store in memory, which fails on demand.
struct Memory {
    shelf: Arc<Mutex<Shelf>>,
    full_after: usize,
    finishes: bool,
}

impl Memory {
    fn new() -> (Self, Arc<Mutex<Shelf>>) {
        let shelf = Arc::<Mutex<Shelf>>::default();
        (Self { shelf: shelf.clone(), full_after: usize::MAX, finishes: true }, shelf)
    }
}

impl ReadAt for Memory {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        Bytes(self.shelf.lock().unwrap().bytes.clone()).read_at(offset, out)
    }
}

impl Store for Memory {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut shelf = self.shelf.lock().unwrap();
        let end = offset as usize + bytes.len();
        if end > self.full_after {
            return Err(ErrorKind::StorageFull.into());
        }
        if shelf.bytes.len() < end {
            shelf.bytes.resize(end, 0);
        }
        shelf.bytes[offset as usize..end].copy_from_slice(bytes);
        shelf.written += bytes.len();
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        if !self.finishes {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.shelf.lock().unwrap().finished = true;
        Ok(())
    }

    fn discard(self: Box<Self>) {
        self.shelf.lock().unwrap().discarded = true;
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Discarding takes its time, as on a disk: nobody may hear of the end before.
        std::thread::sleep(Duration::from_millis(50));
        self.shelf.lock().unwrap().dropped = true;
    }
}

struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let piece = self.0.get(offset as usize..offset as usize + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(piece);
        Ok(())
    }
}

/// Can be read through once, for its digest, and then no more.
struct Once(Bytes, u64);

impl ReadAt for Once {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset < self.1 {
            return Err(ErrorKind::NotFound.into());
        }
        self.1 = offset + out.len() as u64;
        self.0.read_at(offset, out)
    }
}

/// Is read for its digest, and is something else afterwards.
struct Fickle(Vec<u8>, usize);

impl ReadAt for Fickle {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.1 += out.len();
        let other = self.1 > self.0.len();
        Bytes(self.0.clone()).read_at(offset, out)?;
        if other && offset == 0 {
            out[0] ^= 1;
        }
        Ok(())
    }
}

fn payload(length: u32) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The next report that is not about the group or about progress.
async fn next(reports: &mut Reports) -> Report {
    let waiting = async {
        loop {
            match reports.recv().await.unwrap() {
                Report::Group(_) | Report::Progress { .. } => {}
                other => return other,
            }
        }
    };
    timeout(LIMIT, waiting).await.unwrap()
}

async fn offered(reports: &mut Reports) -> (MemberId, Manifest) {
    match next(reports).await {
        Report::Offered { from, manifest } => (from, manifest),
        other => panic!("{other:?}"),
    }
}

/// A leader and a member that have met, and their objects.
struct Two {
    leader: Handle<Leader>,
    member: Handle<Member>,
    leads: (Objects, Reports),
    joins: (Objects, Reports),
}

/// Nobody is stale or suspected in these tests, however slow the machine.
fn policy() -> Policy {
    Policy { detection: Policy::default().detection, ..group::policy() }
}

async fn two() -> Two {
    let (leader, events, address) = group::leader(group::third_party().await, policy()).await;
    let leads = objects::spawn(leader.clone(), events, Config::new(group::suite()));
    let (member, events) = group::member("m1", address).await;
    let mut joins = objects::spawn(member.clone(), events, Config::new(group::suite()));
    let joined = async { while !matches!(joins.1.recv().await.unwrap(), Report::Group(Event::Joined { .. })) {} };
    timeout(LIMIT, joined).await.unwrap();
    sleep(policy().settle).await;
    Two { leader, member, leads, joins }
}

/// Offers an object by the leader and accepts it into `store` at the member.
async fn send(two: &mut Two, source: impl ReadAt + 'static, size: u64, store: Memory) -> Manifest {
    let manifest = two.leads.0.offer(name("thing"), size, source).await.unwrap();
    let (from, seen) = offered(&mut two.joins.1).await;
    assert_eq!((from, &seen), (MemberId::LEADER, &manifest));
    two.joins.0.accept(manifest.object, from, || Ok(store)).await.unwrap();
    manifest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_a_group_there_is_nobody_to_offer_to() {
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Nobody answers there.
    let (member, events) = group::member("m1", place.local_addr().unwrap()).await;
    let (objects, _reports) = objects::spawn(member, events, Config::new(group::suite()));
    assert!(matches!(objects.offer(name("early"), 0, Bytes(Vec::new())).await, Err(ObjectError::NotJoined)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_goes_from_one_to_the_other_and_back() {
    let mut two = two().await;
    let bytes = payload(700_001);
    let (store, shelf) = Memory::new();
    let manifest = send(&mut two, Bytes(bytes.clone()), 700_001, store).await;
    assert!(matches!(next(&mut two.joins.1).await, Report::Stored { manifest: stored } if stored == manifest));
    let received = next(&mut two.leads.1).await;
    assert!(matches!(received, Report::Received { outcome: Outcome::Verified, .. }), "{received:?}");
    assert!(matches!(next(&mut two.leads.1).await, Report::AllReceived { object } if object == manifest.object));
    {
        let shelf = shelf.lock().unwrap();
        assert!(shelf.finished && shelf.dropped && shelf.bytes == bytes);
    }
    let back = two.joins.0.offer(name("back"), 10, Bytes(payload(10))).await.unwrap();
    let (from, seen) = offered(&mut two.leads.1).await;
    assert_eq!((from, seen), (MemberId(1), back.clone()));
    let (store, shelf) = Memory::new();
    two.leads.0.accept(back.object, from, || Ok(store)).await.unwrap();
    assert!(matches!(next(&mut two.leads.1).await, Report::Stored { .. }));
    assert_eq!(shelf.lock().unwrap().bytes, payload(10));
}

/// Accepts what is offered, as if every third chunk and the last were there from before.
async fn resume(two: &mut Two, bytes: &[u8], spoil: bool) -> (Manifest, Arc<Mutex<Shelf>>, u64) {
    let size = bytes.len() as u64;
    let manifest = two.leads.0.offer(name("thing"), size, Bytes(bytes.to_vec())).await.unwrap();
    offered(&mut two.joins.1).await;
    let (store, shelf) = Memory::new();
    let (chunks, known) = (manifest.chunks(), manifest.clone());
    assert!(chunks > 6, "{chunks}");
    let held: Vec<u32> = (0..chunks).filter(|index| index % 3 == 0 || index + 1 == chunks).collect();
    let there: u64 = held.iter().map(|index| manifest.chunk_len(*index) as u64).sum();
    shelf.lock().unwrap().bytes = vec![0; bytes.len()];
    for index in &held {
        let (from, length) = (manifest.offset(*index) as usize, manifest.chunk_len(*index));
        shelf.lock().unwrap().bytes[from..from + length].copy_from_slice(&bytes[from..from + length]);
    }
    if spoil {
        shelf.lock().unwrap().bytes[0] ^= 1;
    }
    let have = two.joins.0.resume(move || Ok((store, Progress::claim(known, held)))).await.unwrap();
    assert_eq!(have, there);
    (manifest, shelf, there)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_interrupted_goes_on_from_where_it_was() {
    let mut two = two().await;
    let bytes = payload(900_001);
    let (manifest, shelf, there) = resume(&mut two, &bytes, false).await;
    assert!(matches!(next(&mut two.joins.1).await, Report::Stored { manifest: stored } if stored == manifest));
    let shelf = shelf.lock().unwrap();
    assert!(shelf.finished && shelf.bytes == bytes);
    assert_eq!(shelf.written as u64, 900_001 - there, "what was there is not fetched again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_spoilt_in_between_is_found_and_fetched_anew() {
    let mut two = two().await;
    let bytes = payload(900_001);
    let (_, shelf, _) = resume(&mut two, &bytes, true).await;
    assert!(matches!(next(&mut two.joins.1).await, Report::Corrupt { .. }));
    assert!(matches!(next(&mut two.joins.1).await, Report::Stored { .. }));
    assert!(shelf.lock().unwrap().bytes == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_is_dropped_and_the_sender_hears_of_it() {
    let mut two = two().await;
    let (mut store, shelf) = Memory::new();
    store.full_after = 100_000;
    send(&mut two, Bytes(payload(300_000)), 300_000, store).await;
    let failed = next(&mut two.joins.1).await;
    let Report::Failed { why: Failure::Storage(error), .. } = failed else { panic!("{failed:?}") };
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let received = next(&mut two.leads.1).await;
    assert!(matches!(received, Report::Received { outcome: Outcome::Declined, .. }), "{received:?}");
    assert!(shelf.lock().unwrap().dropped && !shelf.lock().unwrap().finished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_made_visible_has_failed() {
    let mut two = two().await;
    let (mut store, shelf) = Memory::new();
    store.finishes = false;
    send(&mut two, Bytes(payload(1000)), 1000, store).await;
    let failed = next(&mut two.joins.1).await;
    assert!(matches!(failed, Report::Failed { why: Failure::Storage(_), .. }), "{failed:?}");
    assert!(shelf.lock().unwrap().dropped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_opened_accepts_nothing() {
    let mut two = two().await;
    let manifest = two.leads.0.offer(name("thing"), 1000, Bytes(payload(1000))).await.unwrap();
    let (from, _) = offered(&mut two.joins.1).await;
    let refused = two.joins.0.accept(manifest.object, from, || Err::<Memory, _>(ErrorKind::PermissionDenied.into()));
    assert!(matches!(refused.await, Err(ObjectError::Storage(_))));
    // It may still be accepted, or declined.
    two.joins.0.decline(manifest.object, from).await.unwrap();
    let received = next(&mut two.leads.1).await;
    assert!(matches!(received, Report::Received { outcome: Outcome::Declined, .. }), "{received:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_fails_ends_its_offer() {
    let mut two = two().await;
    let (store, shelf) = Memory::new();
    let manifest = send(&mut two, Once(Bytes(payload(300_000)), 0), 300_000, store).await;
    let ended = next(&mut two.leads.1).await;
    assert!(
        matches!(ended, Report::OfferEnded { object, why: OfferEnd::Source } if object == manifest.object),
        "{ended:?}"
    );
    assert!(matches!(next(&mut two.joins.1).await, Report::Stalled { .. }));
    assert!(!shelf.lock().unwrap().discarded, "it may go on");
    two.joins.0.abandon(manifest.object).await.unwrap();
    let shelf = shelf.lock().unwrap();
    assert!(shelf.discarded && shelf.dropped && !shelf.finished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_what_was_offered_is_never_finished() {
    let mut two = two().await;
    let (store, shelf) = Memory::new();
    send(&mut two, Fickle(payload(100_000), 0), 100_000, store).await;
    let retries = Config::new(group::suite()).transfer.retries;
    for _ in 0..retries {
        let report = next(&mut two.joins.1).await;
        assert!(matches!(report, Report::Corrupt { .. }), "{report:?}");
    }
    let failed = next(&mut two.joins.1).await;
    assert!(matches!(failed, Report::Failed { why: Failure::Corrupt, .. }), "{failed:?}");
    let shelf = shelf.lock().unwrap();
    assert!(shelf.discarded && shelf.dropped && !shelf.finished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_takes_no_reports_loses_nothing() {
    let two = two().await;
    let Two { leader, leads, mut joins, .. } = two;
    // More than is held between driver and application, less than the leader's queue.
    const MESSAGES: u32 = 3000;
    for number in 0..MESSAGES {
        while leader
            .call(move |leader, cx| leader.send(cx, sodality::event::Port::Application, &number.to_be_bytes()))
            .await
            .unwrap()
            .is_err()
        {
            sleep(Duration::from_millis(1)).await;
        }
    }
    sleep(Duration::from_millis(300)).await;
    // Commands are answered nevertheless.
    let offered = timeout(LIMIT, joins.0.offer(name("meanwhile"), 4, Bytes(payload(4)))).await.unwrap();
    assert!(offered.is_ok(), "{offered:?}");
    let mut heard = Vec::new();
    while heard.len() < MESSAGES as usize {
        if let Report::Group(Event::Data(message)) = timeout(LIMIT, joins.1.recv()).await.unwrap().unwrap() {
            heard.push(u32::from_be_bytes(message.payload[..].try_into().unwrap()));
        }
    }
    assert!(heard.iter().copied().eq(0..MESSAGES));
    drop(leads);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_either_side_ends_the_task_and_drops_what_is_not_whole() {
    let mut first = two().await;
    let (store, shelf) = Memory::new();
    // Nobody sends the rest: the leader is gone.
    let manifest = first.leads.0.offer(name("thing"), 50 << 20, Bytes(payload(50 << 20))).await.unwrap();
    let (from, _) = offered(&mut first.joins.1).await;
    first.leader.shutdown().await.unwrap();
    first.joins.0.accept(manifest.object, from, || Ok(store)).await.unwrap();
    assert!(first.member.call(|member, _| member.cid()).await.unwrap().is_some());
    let Two { joins: (objects, mut reports), member, .. } = first;
    // Our own driver ends: what was not whole was interrupted, and is not discarded.
    member.shutdown().await.unwrap();
    while timeout(LIMIT, reports.recv()).await.unwrap().is_some() {}
    assert!(matches!(objects.withdraw(manifest.object).await, Err(ObjectError::Gone)));
    {
        let shelf = shelf.lock().unwrap();
        assert!(shelf.dropped && !shelf.discarded && !shelf.finished);
    }
    // And the driver lives on when the objects end.
    let second = two().await;
    drop((second.joins, second.leads));
    sleep(Duration::from_millis(100)).await;
    assert!(second.member.call(|member, _| member.is_current()).await.is_ok());
}
