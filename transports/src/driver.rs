//! One task that runs one endpoint, whatever its transport.
//!
//! A turn of the driver takes a bounded number of calls, new links and frames, fairly among the links; hands each with its
//! time to the endpoint; and drains the endpoint's frames and events before the next. Then comes the timer, if it is due:
//! after the frames that are there by then, and 20 ms later at most. So neither a busy link nor a busy application keeps
//! others or the timers waiting, and nobody is taken for silent since this side was slow.
//!
//! A call is answered when what it caused is queued and on its way to the application. One whose future is dropped runs once
//! or not at all.
//!
//! **Pressure from behind.** Events go to the application through a bounded channel. While it is full the driver takes
//! in no frames and no new links, the links' queues fill, and the adapters stop reading: the peers feel it, memory
//! does not. Timers and calls go on, so heartbeats are still sent. An application that drops its [`Events`] says that
//! it wants none: then they are thrown away.
//!
//! **Pressure in front.** Each link has a bounded queue. A frame of class `Data` that does not fit is dropped and
//! counted; a link that cannot hold a frame of class `Control` is closed. No link waits for another (R30).
//!
//! **Time.** The endpoint's time is that of [`Clock`]: it counts suspension where the system offers it. A frame has the time at
//! which its adapter fed it, however long it waited; but never a time before that of an earlier input, and never one more than
//! a second ago.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sodality::endpoint::{Cx, Endpoint, Entropy, Instant, Link, LinkInfo};
use sodality::error::Fatal;
use sodality::event::Event;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::report::{DriverStats, Notice, Observer, Reporter};
use crate::run::{CALLS_PER_TURN, Driver, Links, OPENS_PER_TURN};
use crate::transport::{Connector, LinkLimits, Uplink};

/// How a driver runs.
pub struct Config {
    clock: Clock,
    entropy: Box<dyn Entropy + Send>,
    events: usize,
    max_links: usize,
    limits: LinkLimits,
    flush: Duration,
    connectors: Vec<Box<dyn Connector>>,
    observer: Option<Observer>,
}

impl Default for Config {
    /// The system's clock and randomness; 256 events; 1024 links; 2 seconds to flush.
    fn default() -> Self {
        Self {
            clock: Clock::new(),
            entropy: Box::new(getrandom::SysRng),
            events: 256,
            max_links: 1024,
            limits: LinkLimits::default(),
            flush: Duration::from_secs(2),
            connectors: Vec::new(),
            observer: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("events", &self.events)
            .field("max_links", &self.max_links)
            .field("limits", &self.limits)
            .field("flush", &self.flush)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Uses this clock: drivers with copies of one clock have comparable times.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Uses this source of randomness. Its failures are passed on to the endpoint, never hidden (R18).
    #[must_use]
    pub fn entropy(mut self, entropy: impl Entropy + Send + 'static) -> Self {
        self.entropy = Box::new(entropy);
        self
    }

    /// Holds at most so many events for the application, at least one.
    #[must_use]
    pub fn events(mut self, events: usize) -> Self {
        self.events = events.max(1);
        self
    }

    /// Has at most so many links open at once.
    #[must_use]
    pub fn max_links(mut self, max_links: usize) -> Self {
        self.max_links = max_links;
        self
    }

    /// Bounds the queues of each link.
    #[must_use]
    pub fn link_limits(mut self, limits: LinkLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Gives queued frames so much time to go out at a shutdown.
    #[must_use]
    pub fn flush(mut self, limit: Duration) -> Self {
        self.flush = limit;
        self
    }

    /// Adds an adapter that reaches peers. Wishes go to the first that takes them; those that none takes are events
    /// for the application.
    #[must_use]
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connectors.push(Box::new(connector));
        self
    }

    /// Tells `observer` what happens to links.
    #[must_use]
    pub fn observer(mut self, observer: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }
}

/// The driver has ended: see [`Handle::ended`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the driver has ended")]
pub struct DriverGone;

/// How a driver ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum End {
    /// By [`Handle::shutdown`], or since all handles were dropped.
    Shutdown,
    /// The endpoint found a bug in itself.
    Fatal(Fatal),
    /// A panic in a call, or the runtime went away.
    Aborted,
}

/// What a shutdown gives back.
#[derive(Debug)]
pub struct Finished<M> {
    /// The endpoint.
    pub machine: M,
    /// Links whose queued frames did not all go out in time.
    pub unflushed: usize,
    /// Every task of every adapter has ended and every socket is closed.
    pub complete: bool,
}

/// Runs with the endpoint, and gives what tells the caller: that is called once the endpoint's output is on its way.
pub(crate) type Call<M> = Box<dyn FnOnce(&mut M, &mut Cx<'_>) -> Answer + Send>;
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

pub(crate) enum Command<M> {
    Call(Call<M>),
    Links(oneshot::Sender<Vec<(Link, LinkInfo)>>),
    Close(Link, oneshot::Sender<bool>),
    Shutdown(oneshot::Sender<Finished<M>>),
}

/// Speaks to a running driver. When the last handle is dropped the driver shuts down in order.
pub struct Handle<M> {
    commands: mpsc::Sender<Command<M>>,
    uplink: Uplink,
    ended: watch::Receiver<Option<End>>,
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone(), uplink: self.uplink.clone(), ended: self.ended.clone() }
    }
}

impl<M> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("uplink", &self.uplink).finish_non_exhaustive()
    }
}

impl<M: Endpoint + 'static> Handle<M> {
    /// Runs `call` with the endpoint, between two inputs, and returns what it returns. It must not block. What it makes
    /// the endpoint send is queued, and its events are on their way, before this returns; but while the application
    /// takes no events the endpoint may lack room, and its commands answer `Full`.
    ///
    /// # Errors
    /// [`DriverGone`]: it was not run, or it panicked.
    pub async fn call<R, F>(&self, call: F) -> Result<R, DriverGone>
    where
        F: FnOnce(&mut M, &mut Cx<'_>) -> R + Send + 'static,
        R: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let call: Call<M> = Box::new(move |machine, cx| {
            let result = call(machine, cx);
            Box::new(move || {
                // The caller may have stopped waiting.
                let _ = reply.send(result);
            })
        });
        self.commands.send(Command::Call(call)).await.map_err(|_| DriverGone)?;
        answer.await.map_err(|_| DriverGone)
    }

    /// The open links.
    ///
    /// # Errors
    /// [`DriverGone`].
    pub async fn links(&self) -> Result<Vec<(Link, LinkInfo)>, DriverGone> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Links(reply)).await.map_err(|_| DriverGone)?;
        answer.await.map_err(|_| DriverGone)
    }

    /// Closes a link: what is queued on it is not sent, and the endpoint hears of it as of any other end. `false` if there is
    /// no such link.
    ///
    /// # Errors
    /// [`DriverGone`].
    pub async fn close_link(&self, link: Link) -> Result<bool, DriverGone> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Close(link, reply)).await.map_err(|_| DriverGone)?;
        answer.await.map_err(|_| DriverGone)
    }

    /// Stops reading, sends what is queued as far as the time limit allows, closes all links, ends the adapters, and
    /// gives the endpoint back. It is not a leave: that is a command of the endpoint, to be called before.
    ///
    /// # Errors
    /// [`DriverGone`]: it has ended already.
    pub async fn shutdown(&self) -> Result<Finished<M>, DriverGone> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Shutdown(reply)).await.map_err(|_| DriverGone)?;
        answer.await.map_err(|_| DriverGone)
    }
}

impl<M> Handle<M> {
    /// Where adapters announce links.
    pub fn uplink(&self) -> Uplink {
        self.uplink.clone()
    }

    /// Counters of the driver.
    pub fn stats(&self) -> DriverStats {
        self.uplink.reporter.counters.snapshot()
    }

    /// Waits until the driver has ended, and says how.
    pub async fn ended(&self) -> End {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(end) => end.unwrap_or(End::Aborted),
            Err(_) => End::Aborted,
        }
    }
}

/// The events for the application. Not taking them stops the driver from reading; dropping this throws them away.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

impl Events {
    /// The next event; `None` once the driver has ended and all are taken. Loses nothing if the future is dropped.
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await
    }

    /// The next event if there is one now.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.0.try_recv().ok()
    }
}

/// Starts a task that drives `machine`, in the runtime of the caller.
///
/// # Panics
/// Outside a tokio runtime with time enabled.
pub fn spawn<M: Endpoint + 'static>(machine: M, config: Config) -> (Handle<M>, Events) {
    let (commands, commands_in) = mpsc::channel(CALLS_PER_TURN);
    let (opens, opens_in) = mpsc::channel(OPENS_PER_TURN);
    let (ready_out, ready) = mpsc::unbounded_channel();
    let (guards, guards_in) = mpsc::channel(1);
    let (events, events_in) = mpsc::channel(config.events);
    let (ended_out, ended) = watch::channel(None);
    let reporter = Reporter { counters: Arc::default(), observer: config.observer };
    let uplink = Uplink { opens, guards: guards.downgrade(), reporter: reporter.clone() };
    let driver = Driver {
        machine,
        clock: config.clock,
        entropy: config.entropy,
        commands: commands_in,
        opens: opens_in,
        ready,
        ready_out,
        guards: Some(guards),
        guards_in,
        events,
        paused: false,
        links: Links::default(),
        next_link: 0,
        max_links: config.max_links,
        limits: config.limits,
        flush: config.flush,
        connectors: config.connectors,
        uplink: uplink.clone(),
        reporter,
        fruitless: 0,
        row: Vec::new(),
        at: Instant::ORIGIN,
    };
    tokio::spawn(async move {
        let end = driver.run().await;
        // No handle may be left to hear it.
        let _ = ended_out.send(Some(end));
    });
    (Handle { commands, uplink, ended }, Events(events_in))
}
