//! One task that runs one endpoint, whatever its transport.
//!
//! A turn of the driver takes a bounded number of calls, new links and frames, fairly among the links; stamps each
//! with the time; hands it to the endpoint; and drains the endpoint's frames and events before the next. Then comes
//! the timer, if it is due. So neither a busy link nor a busy application keeps others or the timers waiting.
//!
//! **Pressure from behind.** Events go to the application through a bounded channel. While it is full the driver takes
//! in no frames and no new links, the links' queues fill, and the adapters stop reading: the peers feel it, memory
//! does not. Timers and calls go on, so heartbeats are still sent. An application that drops its [`Events`] says that
//! it wants none: then they are thrown away.
//!
//! **Pressure in front.** Each link has a bounded queue. A frame of class `Data` that does not fit is dropped and
//! counted; a link that cannot hold a frame of class `Control` is closed. No link waits for another (R30).
//!
//! **Time.** The endpoint's time is that of [`Clock`]: it counts suspension where the system offers it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sodality::endpoint::{Cx, Endpoint, Entropy, Link, To, Transmit, Wake};
use sodality::error::Fatal;
use sodality::event::Event;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::queue::{Phase, Pushed, Queues};
use crate::report::{DriverStats, Notice, Observer, Reporter};
use crate::transport::{CloseReason, Connector, Guard, LinkLimits, Never, OpenRequest, Refused, Uplink, Wish, halves};

/// Calls, new links, and links looked at in one turn; frames taken from one link before the next; frames and events
/// drained before other tasks get a chance.
const CALLS_PER_TURN: usize = 16;
const OPENS_PER_TURN: usize = 4;
const LINKS_PER_TURN: usize = 16;
const FRAMES_PER_LINK: usize = 16;
const DRAIN_BEFORE_YIELD: usize = 256;

/// Longest sleep while a deadline is pending: timers of the runtime stop while the machine is suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// After so many timeouts in a row that showed nothing, an endpoint that still wants to be called at once is called at
/// this interval only (R11). So it is too while it holds events that the application does not take.
const FRUITLESS: u32 = 64;
const TICK: Duration = Duration::from_millis(10);

/// After the time limit of a shutdown, how long cut links get to notice.
const CUT_OFF: Duration = Duration::from_secs(1);

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

type Call<M> = Box<dyn FnOnce(&mut M, &mut Cx<'_>) + Send>;

enum Command<M> {
    Call(Call<M>),
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
            // The caller may have stopped waiting.
            let _ = reply.send(call(machine, cx));
        });
        self.commands.send(Command::Call(call)).await.map_err(|_| DriverGone)?;
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
    };
    tokio::spawn(async move {
        let end = driver.run().await;
        // No handle may be left to hear it.
        let _ = ended_out.send(Some(end));
    });
    (Handle { commands, uplink, ended }, Events(events_in))
}

struct Driver<M> {
    machine: M,
    clock: Clock,
    entropy: Box<dyn Entropy + Send>,
    commands: mpsc::Receiver<Command<M>>,
    opens: mpsc::Receiver<OpenRequest>,
    /// Links with frames to take in, each at most once, in the order in which they are served.
    ready: mpsc::UnboundedReceiver<Link>,
    ready_out: mpsc::UnboundedSender<Link>,
    guards: Option<mpsc::Sender<Never>>,
    guards_in: mpsc::Receiver<Never>,
    events: mpsc::Sender<Event>,
    /// The application does not take its events.
    paused: bool,
    links: Links,
    next_link: u64,
    max_links: usize,
    limits: LinkLimits,
    flush: Duration,
    connectors: Vec<Box<dyn Connector>>,
    uplink: Uplink,
    reporter: Reporter,
    /// Timeouts in a row that showed nothing.
    fruitless: u32,
}

/// What woke the driver.
enum Woken<M> {
    Command(Option<Command<M>>),
    Open(OpenRequest),
    Ready(Link),
    Room,
    Time,
}

/// Why the loop ends.
enum Stop<M> {
    Shutdown(Option<oneshot::Sender<Finished<M>>>),
    Fatal(Fatal),
}

impl<M> From<Fatal> for Stop<M> {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}

impl<M: Endpoint> Driver<M> {
    async fn run(mut self) -> End {
        let stop = loop {
            if let Err(stop) = self.turn().await {
                break stop;
            }
        };
        match stop {
            Stop::Shutdown(reply) => {
                let finished = self.finish().await;
                if let Some(reply) = reply {
                    // The caller may have stopped waiting.
                    let _ = reply.send(finished);
                }
                End::Shutdown
            }
            Stop::Fatal(fatal) => {
                self.flush = Duration::ZERO;
                self.finish().await;
                End::Fatal(fatal)
            }
        }
    }

    /// Waits for something, handles a bounded amount of it, then the timer.
    async fn turn(&mut self) -> Result<(), Stop<M>> {
        self.drain().await;
        let mut handled = 0;
        let mut in_time = false;
        match self.wait().await {
            Woken::Command(command) => self.command(command).await?,
            Woken::Open(request) => self.open(request).await?,
            Woken::Ready(link) => handled += self.serve(link).await?,
            Woken::Room => self.paused = false,
            Woken::Time => in_time = true,
        }
        for _ in 0..CALLS_PER_TURN {
            let Ok(command) = self.commands.try_recv() else { break };
            handled += 1;
            self.command(Some(command)).await?;
        }
        for _ in 0..OPENS_PER_TURN {
            if self.paused {
                break;
            }
            let Ok(request) = self.opens.try_recv() else { break };
            handled += 1;
            self.open(request).await?;
        }
        for _ in 0..LINKS_PER_TURN {
            if self.paused {
                break;
            }
            let Ok(link) = self.ready.try_recv() else { break };
            handled += self.serve(link).await?;
        }
        if self.lapsed() && (in_time || self.fruitless < FRUITLESS) {
            self.timeout().await?;
        }
        if handled >= FRAMES_PER_LINK {
            // The adapters' tasks get their turn, and what was queued meanwhile goes out in one write.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn wait(&mut self) -> Woken<M> {
        let due = self.due();
        let Self { commands, opens, ready, events, paused, .. } = self;
        let reading = !*paused;
        tokio::select! {
            biased;
            command = commands.recv() => Woken::Command(command),
            Some(link) = ready.recv(), if reading => Woken::Ready(link),
            Some(request) = opens.recv(), if reading => Woken::Open(request),
            // An application that dropped its events has room for ever.
            _ = events.reserve(), if !reading => Woken::Room,
            () = sleep(due.unwrap_or_default()), if due.is_some() => Woken::Time,
        }
    }

    /// How long until `handle_timeout`, never more than [`LONGEST_SLEEP`]; `None` if only an input matters.
    fn due(&self) -> Option<Duration> {
        let wait = match self.machine.poll_timeout() {
            Wake::OnInput => return None,
            Wake::Now(_) => Duration::ZERO,
            Wake::At(at, _) => at.since(self.clock.now()),
        };
        if wait.is_zero() && self.fruitless >= FRUITLESS {
            return Some(TICK);
        }
        Some(wait.min(LONGEST_SLEEP))
    }

    fn lapsed(&self) -> bool {
        match self.machine.poll_timeout() {
            Wake::OnInput => false,
            Wake::Now(_) => true,
            Wake::At(at, _) => at <= self.clock.now(),
        }
    }

    async fn timeout(&mut self) -> Result<(), Stop<M>> {
        self.input(|machine, cx| machine.handle_timeout(cx))?;
        if self.drain().await || !self.lapsed() {
            self.fruitless = 0;
        } else {
            self.fruitless = self.fruitless.saturating_add(1);
            if self.fruitless == FRUITLESS && !self.paused {
                self.reporter.count(|c| &c.spins);
            }
        }
        Ok(())
    }

    fn input<R>(&mut self, input: impl FnOnce(&mut M, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx { now: self.clock.now(), wall: self.clock.wall(), rng: &mut *self.entropy };
        input(&mut self.machine, &mut cx)
    }

    async fn command(&mut self, command: Option<Command<M>>) -> Result<(), Stop<M>> {
        match command {
            Some(Command::Call(call)) => {
                self.input(call);
                self.fruitless = 0;
                self.drain().await;
                Ok(())
            }
            Some(Command::Shutdown(reply)) => Err(Stop::Shutdown(Some(reply))),
            None => Err(Stop::Shutdown(None)),
        }
    }

    async fn open(&mut self, request: OpenRequest) -> Result<(), Stop<M>> {
        let OpenRequest { info, origin, reply } = request;
        let refusal = match &self.guards {
            None => Some(Refused::Gone),
            Some(_) if self.links.0.len() >= self.max_links => Some(Refused::Full),
            Some(_) => None,
        };
        if let Some(why) = refusal {
            self.reporter.count(|c| &c.links_refused);
            self.reporter.tell(|| Notice::Refused { origin });
            // The adapter may have given up.
            let _ = reply.send(Err(why));
            return Ok(());
        }
        let Some(guard) = self.guards.clone() else { return Ok(()) };
        let link = Link(self.next_link);
        self.next_link = self.next_link.saturating_add(1);
        let queues = Queues::new(link, info, self.limits, self.ready_out.clone());
        self.links.0.insert(link, queues.clone());
        self.reporter.count(|c| &c.links_opened);
        self.reporter.tell(|| Notice::Opened { link, info, origin });
        self.fruitless = 0;
        self.input(|machine, cx| machine.handle_link_opened(cx, link, info))?;
        self.drain().await;
        // If the adapter has given up, its halves are dropped here and the link closes.
        let _ = reply.send(Ok(halves(&queues, Guard(guard))));
        Ok(())
    }

    /// Takes some frames of one link in. Returns how many.
    async fn serve(&mut self, link: Link) -> Result<usize, Stop<M>> {
        let Some(queues) = self.links.0.get(&link).cloned() else { return Ok(0) };
        for handled in 0..FRAMES_PER_LINK {
            if self.paused {
                // Still announced, so that it comes back once the application has made room.
                self.again(link);
                return Ok(handled);
            }
            let taken = queues.take_in();
            self.fruitless = 0;
            if let Some(frame) = taken.frame {
                self.reporter.count(|c| &c.frames_in);
                self.input(|machine, cx| machine.handle_frame(cx, link, frame))?;
                self.drain().await;
            }
            if let Some(why) = taken.ended {
                self.close(&queues, why).await?;
            }
            if !taken.more {
                return Ok(handled + 1);
            }
        }
        self.again(link);
        Ok(FRAMES_PER_LINK)
    }

    fn again(&self, link: Link) {
        // The receiver is in `self`.
        let _ = self.ready_out.send(link);
    }

    async fn close(&mut self, queues: &Queues, why: CloseReason) -> Result<(), Stop<M>> {
        let link = queues.link;
        if self.links.0.remove(&link).is_some() {
            self.reporter.count(|c| &c.links_closed);
            self.reporter.tell(|| Notice::Closed { link, why, dropped: queues.dropped() });
            self.input(|machine, cx| machine.handle_link_closed(cx, link))?;
            self.drain().await;
        }
        Ok(())
    }

    /// Moves all frames and, as far as the application has room, all events out of the endpoint. Says whether there
    /// were any.
    async fn drain(&mut self) -> bool {
        let mut moved = 0_usize;
        let (now, wall) = (self.clock.now(), self.clock.wall());
        loop {
            let next = self.machine.poll_transmit(&mut Cx { now, wall, rng: &mut *self.entropy });
            let Some(transmit) = next else { break };
            self.route(&transmit);
            moved += 1;
            if moved.is_multiple_of(DRAIN_BEFORE_YIELD) {
                tokio::task::yield_now().await;
            }
        }
        loop {
            let permit = match self.events.try_reserve() {
                Ok(permit) => Some(permit),
                Err(mpsc::error::TrySendError::Closed(())) => None,
                Err(mpsc::error::TrySendError::Full(())) => {
                    if !self.paused {
                        self.paused = true;
                        self.reporter.count(|c| &c.pauses);
                    }
                    break;
                }
            };
            let Some(event) = self.machine.poll_event() else { break };
            moved += 1;
            let event = match event {
                Event::LinkWanted { ticket, peer, hint } => {
                    let wish = Wish { ticket, peer, hint };
                    let uplink = &self.uplink;
                    if self.connectors.iter_mut().any(|connector| connector.connect(&wish, uplink)) {
                        continue;
                    }
                    self.reporter.count(|c| &c.wishes_untaken);
                    Event::LinkWanted { ticket: wish.ticket, peer: wish.peer, hint: wish.hint }
                }
                event => event,
            };
            if let Some(permit) = permit {
                permit.send(event);
            }
        }
        moved > 0
    }

    fn route(&self, transmit: &Transmit) {
        match &transmit.to {
            To::Link(link) => self.push(*link, transmit),
            To::Many(links) => links.iter().for_each(|link| self.push(*link, transmit)),
        }
    }

    fn push(&self, link: Link, transmit: &Transmit) {
        let Some(queues) = self.links.0.get(&link) else {
            return self.reporter.count(|c| &c.undeliverable);
        };
        match queues.push(&transmit.frame, transmit.class) {
            Pushed::Queued => self.reporter.count(|c| &c.frames_out),
            Pushed::Dropped => self.reporter.count(|c| &c.data_dropped),
            Pushed::Undeliverable => self.reporter.count(|c| &c.undeliverable),
            Pushed::Overflow => {
                self.reporter.count(|c| &c.control_overflows);
                // The endpoint hears of it as of any other end, in its turn.
                queues.end(CloseReason::Overflow);
            }
        }
    }

    /// Ends everything in order; what does not end in time is cut off.
    async fn finish(mut self) -> Finished<M> {
        self.commands.close();
        self.opens.close();
        while let Ok(request) = self.opens.try_recv() {
            // The adapter may have given up.
            let _ = request.reply.send(Err(Refused::Gone));
        }
        self.guards = None;
        self.connectors.clear();
        // What is over already has nothing to flush.
        self.links.0.retain(|_, queues| queues.phase() == Phase::Open);
        for queues in self.links.0.values() {
            queues.advance(Phase::Draining);
        }
        let mut complete = timeout(self.flush, self.guards_in.recv()).await.is_ok();
        let unflushed = self.links.0.values().filter(|queues| queues.phase() != Phase::Flushed).count();
        if !complete {
            for queues in self.links.0.values() {
                queues.advance(Phase::Dead);
            }
            complete = timeout(CUT_OFF, self.guards_in.recv()).await.is_ok();
        }
        Finished { machine: self.machine, unflushed, complete }
    }
}

/// The open links. No link outlives its driver, also if its task is aborted or a call panics.
#[derive(Default)]
struct Links(BTreeMap<Link, Arc<Queues>>);

impl Drop for Links {
    fn drop(&mut self) {
        for queues in self.0.values() {
            queues.advance(Phase::Dead);
        }
    }
}
