//! Who takes part: each in a thread with a runtime of its own, as if it were a process, so that it can end in order or be gone
//! at once, and what it leaves behind can be counted.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sodality::crypto::{Suite, chacha20_poly1305};
use sodality::endpoint::Endpoint;
use sodality::event::{Ending, Event, Port};
use sodality::group::Participant;
use sodality::identity::Name;
use sodality_transports::driver::{DriverGone, Events, Handle};
use sodality_transports::objects::{self, Objects, ReadAt, Report, Reports, Store};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::Failed;
use crate::measures::Tally;

/// How a runtime ends.
enum Order {
    /// At once, with all tasks where they are.
    Crash,
    /// Once no task is left, or after [`PATIENCE`].
    End,
}

/// What an endpoint needs until its last task has ended. QUIC remembers closed connections for a while.
const PATIENCE: Duration = Duration::from_secs(10);

/// A thread with a runtime.
pub(crate) struct Home {
    order: oneshot::Sender<Order>,
    gone: oneshot::Receiver<usize>,
}

impl Home {
    /// Runs `prepare` in a runtime of its own, and keeps that until it is told to end.
    pub(crate) async fn open<T, F>(
        name: &str,
        prepare: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(Self, T), Failed>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failed>>,
    {
        let (ready, is_ready) = oneshot::channel();
        let (order, ordered) = oneshot::channel();
        let (went, gone) = oneshot::channel();
        let run = move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            let left = runtime.block_on(async move {
                // Nobody may be waiting any more.
                let _ = ready.send(prepare().await);
                match ordered.await {
                    Ok(Order::End) => settled().await,
                    Ok(Order::Crash) | Err(_) => 0,
                }
            });
            drop(runtime);
            let _ = went.send(left);
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok((Self { order, gone }, is_ready.await.map_err(|_| "no runtime")??))
    }

    /// Gone, like a process that is killed.
    pub(crate) async fn crash(self) {
        let _ = self.order.send(Order::Crash);
        let _ = self.gone.await;
    }

    /// Waits for the end of all tasks, and says how many there are still after a while.
    pub(crate) async fn end(self) -> usize {
        let _ = self.order.send(Order::End);
        self.gone.await.unwrap_or(0)
    }
}

/// How many tasks of this runtime do not end.
async fn settled() -> usize {
    let (begun, runtime) = (Instant::now(), tokio::runtime::Handle::current());
    loop {
        let left = runtime.metrics().num_alive_tasks();
        if left == 0 || begun.elapsed() > PATIENCE {
            return left;
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// What an application has heard lately, for a roll call.
#[derive(Default)]
pub(crate) struct Heard(Mutex<BTreeSet<Vec<u8>>>);

impl Heard {
    fn note(&self, payload: &[u8]) {
        if payload.starts_with(ROLL) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(payload.to_vec());
        }
    }

    fn all(&self, wanted: &BTreeSet<Vec<u8>>) -> bool {
        wanted.is_subset(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What such texts begin with; others begin with a smaller byte.
const ROLL: &[u8] = b"\xffroll ";

/// A participant with objects, in a home of its own.
pub(crate) struct Person<M> {
    pub(crate) name: String,
    pub(crate) handle: Handle<M>,
    objects: Objects,
    heard: Arc<Heard>,
    home: Home,
}

/// What makes a participant: in its own runtime.
pub(crate) type Begun<M, T> = (Handle<M>, Events, T);

impl<M: Participant + 'static> Person<M> {
    /// `begin` starts driver and adapters.
    pub(crate) async fn move_in<T, F>(
        name: &str,
        tally: Arc<Tally>,
        begin: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(Self, T), Failed>
    where
        T: Send + 'static,
        F: Future<Output = Result<Begun<M, T>, Failed>>,
    {
        let heard = Arc::<Heard>::default();
        let ears = heard.clone();
        let (home, (handle, objects, kept)) = Home::open(name, move || async move {
            let (handle, events, kept) = begin().await?;
            let suite: Arc<dyn Suite> = chacha20_poly1305();
            let mut config = objects::Config::new(suite);
            // Whoever was not there gets nothing of it later.
            config.transfer.keep_for = Duration::from_secs(3);
            let (objects, reports) = objects::spawn(handle.clone(), events, config);
            tokio::spawn(listen(objects.clone(), reports, ears, tally));
            Ok((handle, objects, kept))
        })
        .await?;
        Ok((Self { name: name.to_owned(), handle, objects, heard, home }, kept))
    }

    /// Says something, unless it cannot now.
    pub(crate) async fn say(&self, payload: Vec<u8>) -> Result<bool, DriverGone> {
        self.handle.call(move |machine, cx| machine.send(cx, Port::Application, &payload).is_ok()).await
    }

    /// Offers an object of so many bytes, unless it cannot now.
    pub(crate) async fn offer(&self, object: Pattern) -> Result<bool, Failed> {
        let name = Name::new(&format!("{:x}", object.seed))?;
        Ok(self.objects.offer(name, object.size, object).await.is_ok())
    }

    pub(crate) async fn is_in(&self) -> Result<bool, DriverGone> {
        self.handle.call(|machine, _| machine.cid().is_some()).await
    }

    /// Closes all links that are its own. Says how many.
    pub(crate) async fn cut(&self) -> Result<u64, DriverGone> {
        let mut cut = 0;
        for (link, info) in self.handle.links().await? {
            if !info.shared && self.handle.close_link(link).await? {
                cut += 1;
            }
        }
        Ok(cut)
    }

    /// Forgets the last roll call.
    pub(crate) fn forget(&self) {
        self.heard.forget();
    }

    /// Whether it has heard all of this.
    pub(crate) fn has_heard(&self, roll: &BTreeSet<Vec<u8>>) -> bool {
        let own = self.roll();
        self.heard.all(&roll.iter().filter(|text| **text != own).cloned().collect())
    }

    /// What it says in a roll call.
    pub(crate) fn roll(&self) -> Vec<u8> {
        [ROLL, self.name.as_bytes()].concat()
    }

    pub(crate) async fn crash(self) {
        self.home.crash().await;
    }

    /// Ends in order. Says how many tasks are left.
    pub(crate) async fn leave_home(self) -> Result<usize, Failed> {
        let Self { name, handle, objects, home, .. } = self;
        drop(objects);
        end(&name, &handle).await?;
        Ok(home.end().await)
    }
}

/// Ends a driver in order.
pub(crate) async fn end<M: Endpoint + 'static>(name: &str, handle: &Handle<M>) -> Result<(), Failed> {
    let finished = handle.shutdown().await?;
    if finished.complete { Ok(()) } else { Err(format!("adapters of {name} have not ended").into()) }
}

/// The application: counts, accepts all that is offered, and gives up what stalls.
async fn listen(objects: Objects, mut reports: Reports, heard: Arc<Heard>, tally: Arc<Tally>) {
    let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    while let Some(report) = reports.recv().await {
        match report {
            Report::Group(Event::Data(message)) => {
                add(&tally.heard);
                heard.note(&message.payload);
            }
            Report::Group(Event::Joined { cid, .. }) if cid.0 != 0 => {
                add(&tally.joined);
            }
            Report::Group(Event::Ended(Ending::Left | Ending::LeftUnconfirmed)) => {
                add(&tally.left);
            }
            Report::Group(Event::Ended(Ending::LeaderLost)) => {
                add(&tally.leader_lost);
            }
            Report::Group(Event::Installed { .. }) => {
                add(&tally.keys);
            }
            Report::Offered { from, manifest } => {
                let Ok(seed) = u64::from_str_radix(manifest.name.as_str(), 16) else { continue };
                let pattern = Pattern { seed, size: manifest.size };
                // It may be withdrawn by now.
                let _ = objects.accept(manifest.object, from, move || Ok(pattern)).await;
            }
            Report::Stored { .. } => {
                add(&tally.stored);
            }
            Report::Stalled { object } => {
                let _ = objects.abandon(object).await;
            }
            Report::Corrupt { .. } | Report::Failed { .. } => {
                add(&tally.corrupt);
            }
            _ => {}
        }
    }
}

/// An object whose bytes follow from its number: nobody has to keep them.
#[derive(Clone, Copy)]
pub(crate) struct Pattern {
    pub(crate) seed: u64,
    pub(crate) size: u64,
}

impl Pattern {
    fn byte(&self, at: u64) -> u8 {
        let word = self.seed.wrapping_add(at / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (word >> (8 * (at % 8))) as u8
    }
}

impl ReadAt for Pattern {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        for (at, byte) in (offset..).zip(out) {
            *byte = self.byte(at);
        }
        Ok(())
    }
}

impl Store for Pattern {
    fn write_at(&mut self, offset: u64, piece: &[u8]) -> io::Result<()> {
        let same = (offset..).zip(piece).all(|(at, byte)| self.byte(at) == *byte);
        if same { Ok(()) } else { Err(io::Error::other("other bytes than were offered")) }
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}
