//! One who takes part in a scenario: an endpoint with a driver, and an application that writes down what it hears.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sodality::endpoint::{Cx, Endpoint};
use sodality::error::CommandError;
use sodality::event::{Event, Port};
use sodality::group::Participant;
use sodality::identity::{Epoch, MemberId};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::Failure;
use crate::driver::{self, Config, Events, Handle};

tokio::task_local! {
    /// [`Network::soon`] of the scenario that runs in this task.
    pub(super) static SOON: Duration;
}

/// Nothing that is expected takes longer.
pub(super) fn soon() -> Duration {
    SOON.try_with(|soon| *soon).unwrap_or(Duration::from_secs(60))
}

/// Fails with these words if the condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Failure(format!($($words)+)));
        }
    };
}
pub(super) use ensure;

/// What an application has heard.
#[derive(Clone)]
pub(super) struct Log {
    events: Arc<Mutex<Vec<Event>>>,
    grown: watch::Receiver<usize>,
}

impl Log {
    /// Writes down all `events` from now on.
    fn of(mut events: Events) -> Self {
        let (grew, grown) = watch::channel(0);
        let log = Self { events: Arc::default(), grown };
        let written = log.events.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
                written.push(event);
                grew.send_replace(written.len());
            }
        });
        log
    }

    /// How much there is: for [`Self::wait`].
    pub(super) fn mark(&self) -> usize {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many events after `mark` are such.
    pub(super) fn count(&self, mark: usize, mut such: impl FnMut(&Event) -> bool) -> usize {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().skip(mark).filter(|event| such(event)).count()
    }

    /// All messages after `mark`, in their order.
    pub(super) fn texts(&self, mark: usize) -> Vec<Vec<u8>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = events.iter().skip(mark).filter_map(|event| match event {
            Event::Data(message) => Some(message.payload.to_vec()),
            _ => None,
        });
        texts.collect()
    }

    /// Waits for the first answer that `find` gives for an event after `mark`.
    pub(super) async fn wait<T>(
        &self,
        mark: usize,
        limit: Duration,
        mut find: impl FnMut(&Event) -> Option<T>,
    ) -> Option<T> {
        let mut grown = self.grown.clone();
        let mut seen = mark;
        let waiting = async {
            loop {
                grown.borrow_and_update();
                {
                    let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
                    let found = events.iter().skip(seen).find_map(&mut find);
                    seen = seen.max(events.len());
                    if found.is_some() {
                        return found;
                    }
                }
                if grown.changed().await.is_err() {
                    return None;
                }
            }
        };
        timeout(limit, waiting).await.ok().flatten()
    }

    /// The last events, for a failure.
    pub(super) fn tail(&self) -> String {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let from = events.len().saturating_sub(6);
        format!("{:?}", events.iter().skip(from).collect::<Vec<_>>())
    }
}

/// A driven endpoint. Dropped, it ends in order, unless it is [`Seat::apart`]: then it is gone at once, like a process that
/// is killed.
pub(super) struct Seat<M> {
    pub(super) name: String,
    pub(super) handle: Handle<M>,
    pub(super) log: Log,
    /// The thread of one that is apart ends when this is dropped, and says so.
    alone: Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>,
}

impl<M: Endpoint + 'static> Seat<M> {
    /// Drives `machine` in the runtime of the caller.
    pub(super) fn here(name: &str, machine: M, config: Config) -> Self {
        let (handle, events) = driver::spawn(machine, config);
        Self { name: name.to_owned(), handle, log: Log::of(events), alone: None }
    }

    /// One whose events are somebody else's.
    pub(super) fn silent(name: &str, handle: Handle<M>) -> Self {
        let (_, grown) = watch::channel(0);
        Self { name: name.to_owned(), handle, log: Log { events: Arc::default(), grown }, alone: None }
    }

    /// Drives `machine` in a thread and a runtime of its own, so that it can be stopped and killed with all its adapters.
    /// `config` and `prepare` run there.
    pub(super) async fn apart<T, F>(
        name: &str,
        machine: M,
        config: impl FnOnce() -> Config + Send + 'static,
        prepare: impl FnOnce(Handle<M>) -> F + Send + 'static,
    ) -> Result<(Self, T), Failure>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send,
    {
        let (ready, is_ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (gone, is_gone) = oneshot::channel::<()>();
        let run = move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async move {
                let (handle, events) = driver::spawn(machine, config());
                let prepared = prepare(handle.clone()).await;
                let _ = ready.send((handle, Log::of(events), prepared));
                let _ = stopped.await;
            });
            // All tasks are dropped where they are, and their sockets with them.
            drop(runtime);
            let _ = gone.send(());
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Failure::of)?;
        let (handle, log, prepared) = is_ready.await.map_err(|_| Failure(format!("{name} does not run")))?;
        Ok((Self { name: name.to_owned(), handle, log, alone: Some((stop, is_gone)) }, prepared))
    }

    /// Ends without a word, as when its process is killed. Only for one that is apart.
    pub(super) async fn crash(self) {
        if let Some((stop, gone)) = self.alone {
            drop(stop);
            let _ = gone.await;
        }
    }

    /// Stops everything that it does for so long, its adapters included. Only for one that is apart. Returns at once.
    pub(super) fn freeze(&self, pause: Duration) -> tokio::task::JoinHandle<()> {
        let handle = self.handle.clone();
        tokio::spawn(async move {
            let _ = handle.call(move |_, _| std::thread::sleep(pause)).await;
        })
    }

    /// Runs a command, again while the endpoint has no room.
    pub(super) async fn command<F>(&self, what: &str, command: F) -> Result<(), Failure>
    where
        F: Fn(&mut M, &mut Cx<'_>) -> Result<(), CommandError> + Clone + Send + 'static,
    {
        let until = Instant::now() + soon();
        loop {
            match self.handle.call(command.clone()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(CommandError::Full)) if Instant::now() < until => sleep(Duration::from_millis(2)).await,
                Ok(Err(why)) => return Err(Failure(format!("{} cannot {what}: {why}", self.name))),
                Err(why) => return Err(Failure(format!("{} cannot {what}: {why}", self.name))),
            }
        }
    }

    /// Waits for an event after `mark`.
    pub(super) async fn sees<T>(
        &self,
        mark: usize,
        what: &str,
        find: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, Failure> {
        let found = self.log.wait(mark, soon(), find).await;
        found.ok_or_else(|| {
            let (name, tail, stats) = (&self.name, self.log.tail(), self.handle.stats());
            Failure(format!("{name} does not see {what}; the last it saw: {tail}; {stats:?}"))
        })
    }

    /// Waits until what `ask` asks of the endpoint is so.
    pub(super) async fn is(
        &self,
        what: &str,
        ask: impl Fn(&mut M) -> bool + Clone + Send + 'static,
    ) -> Result<(), Failure> {
        let until = Instant::now() + soon();
        loop {
            let ask = ask.clone();
            if self.handle.call(move |machine, _| ask(machine)).await.map_err(Failure::of)? {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{} is not {what}; the last it saw: {}", self.name, self.log.tail());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl<M: Participant + 'static> Seat<M> {
    /// Sends a message, as soon as it can.
    pub(super) async fn say(&self, payload: Vec<u8>) -> Result<(), Failure> {
        let until = Instant::now() + soon();
        let payload = Arc::new(payload);
        loop {
            let text = payload.clone();
            let said = self.handle.call(move |machine, cx| {
                // Between two keys nobody sends; that passes.
                if machine.is_current() { machine.send(cx, Port::Application, &text) } else { Err(CommandError::Full) }
            });
            match said.await.map_err(Failure::of)? {
                Ok(()) => return Ok(()),
                Err(CommandError::Full) if Instant::now() < until => sleep(Duration::from_millis(2)).await,
                Err(why) => return Err(Failure(format!("{} cannot send: {why}", self.name))),
            }
        }
    }

    pub(super) async fn epoch(&self) -> Result<Epoch, Failure> {
        self.handle.call(|machine, _| machine.epoch()).await.map_err(Failure::of)
    }

    pub(super) async fn cid(&self) -> Result<MemberId, Failure> {
        let cid = self.handle.call(|machine, _| machine.cid()).await.map_err(Failure::of)?;
        cid.ok_or_else(|| Failure(format!("{} is in no group", self.name)))
    }

    /// Waits for a message with this text after `mark`.
    pub(super) async fn hears(&self, mark: usize, payload: &[u8], limit: Duration) -> bool {
        let find = |event: &Event| match event {
            Event::Data(message) => (message.payload == payload).then_some(()),
            _ => None,
        };
        self.log.wait(mark, limit, find).await.is_some()
    }
}

impl<M> fmt::Debug for Seat<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A text of this length, different for each number.
pub(super) fn text(length: usize, number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(length as u64) | 1;
    let mut text = Vec::with_capacity(length + 8);
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.extend_from_slice(&state.to_be_bytes());
    }
    text.truncate(length);
    text
}
