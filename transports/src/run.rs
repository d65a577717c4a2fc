//! The loop of a driver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use sodality::endpoint::{Cx, Endpoint, Entropy, Instant, Link, To, Transmit, Wake};
use sodality::error::Fatal;
use sodality::event::Event;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::driver::{Command, End, Finished};
use crate::queue::{Phase, Pushed, Queues};
use crate::report::{Notice, Reporter};
use crate::transport::{CloseReason, Connector, Guard, LinkLimits, Never, OpenRequest, Refused, Uplink, Wish, halves};

/// Calls, new links, and links looked at in one turn; frames taken from one link before the next; frames, and their bytes,
/// drained before other tasks get a chance. So many bytes make a whole write or train of a link; more would only wait.
pub(crate) const CALLS_PER_TURN: usize = 16;
pub(crate) const OPENS_PER_TURN: usize = 4;
const LINKS_PER_TURN: usize = 16;
const FRAMES_PER_LINK: usize = 16;
const DRAIN_BEFORE_YIELD: usize = 256;
const BYTES_BEFORE_YIELD: usize = 60 << 10;

/// Longest sleep while a deadline is pending: timers of the runtime stop while the machine is suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// After so many timeouts in a row that showed nothing, an endpoint that still wants to be called at once is called at
/// this interval only (R11). So it is too while it holds events that the application does not take.
const FRUITLESS: u32 = 64;
const TICK: Duration = Duration::from_millis(10);

/// How long frames that are there already go before a timer that is due.
const BEFORE_TIMER: Duration = Duration::from_millis(20);

/// A frame is taken to have come at most so long ago.
const OLDEST: Duration = Duration::from_secs(1);

/// Timeouts that may be due at a shutdown and are still served.
const LAST_WORDS: u32 = 4;

/// After the time limit of a shutdown, how long cut links get to notice.
const CUT_OFF: Duration = Duration::from_secs(1);

pub(crate) struct Driver<M> {
    pub(crate) machine: M,
    pub(crate) clock: Clock,
    pub(crate) entropy: Box<dyn Entropy + Send>,
    pub(crate) commands: mpsc::Receiver<Command<M>>,
    pub(crate) opens: mpsc::Receiver<OpenRequest>,
    /// Links with frames to take in, each at most once, in the order in which they are served.
    pub(crate) ready: mpsc::UnboundedReceiver<Link>,
    pub(crate) ready_out: mpsc::UnboundedSender<Link>,
    pub(crate) guards: Option<mpsc::Sender<Never>>,
    pub(crate) guards_in: mpsc::Receiver<Never>,
    pub(crate) events: mpsc::Sender<Event>,
    /// The application does not take its events.
    pub(crate) paused: bool,
    pub(crate) links: Links,
    pub(crate) next_link: u64,
    pub(crate) max_links: usize,
    pub(crate) limits: LinkLimits,
    pub(crate) flush: Duration,
    pub(crate) connectors: Vec<Box<dyn Connector>>,
    pub(crate) uplink: Uplink,
    pub(crate) reporter: Reporter,
    /// Timeouts in a row that showed nothing.
    pub(crate) fruitless: u32,
    /// Frames in a row to the same links, while they are gathered.
    pub(crate) row: Vec<Transmit>,
    /// The time of the latest input.
    pub(crate) at: Instant,
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
    pub(crate) async fn run(mut self) -> End {
        let stop = loop {
            if let Err(stop) = self.turn().await {
                break stop;
            }
        };
        match stop {
            Stop::Shutdown(reply) => {
                self.say_the_rest().await;
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
            self.take_in_first().await?;
            self.timeout().await?;
        }
        if handled >= FRAMES_PER_LINK {
            // The adapters' tasks get their turn, and what was queued meanwhile goes out in one write.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// What has come by now goes in before the timer: nobody is taken for silent since this side was slow. Not for long, or a
    /// flood would stop the clock.
    async fn take_in_first(&mut self) -> Result<(), Stop<M>> {
        if matches!(self.machine.poll_timeout(), Wake::Now(_)) {
            return Ok(());
        }
        let until = self.clock.now() + BEFORE_TIMER;
        loop {
            // Adapters that have something to read get their turn.
            tokio::task::yield_now().await;
            let mut none = true;
            while !self.paused && self.clock.now() < until {
                let Ok(link) = self.ready.try_recv() else { break };
                none = false;
                self.serve(link).await?;
            }
            if none || self.paused || self.clock.now() >= until {
                return Ok(());
            }
        }
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
        self.at = self.clock.now();
        self.input_now(input)
    }

    /// At the time `self.at`.
    fn input_now<R>(&mut self, input: impl FnOnce(&mut M, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx { now: self.at, wall: self.clock.wall(), rng: &mut *self.entropy };
        input(&mut self.machine, &mut cx)
    }

    /// A frame counts from when it came, not from when its turn came. But time does not go back for an endpoint, and what has
    /// waited for long, while the machine was suspended perhaps, is not younger than that.
    fn frame(&mut self, link: Link, came: Instant, frame: BytesMut) -> Result<(), Fatal> {
        self.at = came.max(self.clock.now() - OLDEST).max(self.at);
        self.input_now(|machine, cx| machine.handle_frame(cx, link, frame))
    }

    async fn command(&mut self, command: Option<Command<M>>) -> Result<(), Stop<M>> {
        match command {
            Some(Command::Call(call)) => {
                let answer = self.input(call);
                self.fruitless = 0;
                self.drain().await;
                // Whoever hears of it finds what it caused.
                answer();
                Ok(())
            }
            Some(Command::Links(reply)) => {
                // Here as below the caller may have stopped waiting.
                let _ = reply.send(self.links.0.iter().map(|(link, queues)| (*link, queues.info)).collect());
                Ok(())
            }
            Some(Command::Close(link, reply)) => {
                let queues = self.links.0.get(&link).cloned();
                if let Some(queues) = &queues {
                    queues.end(CloseReason::Application);
                    self.close(queues, CloseReason::Application).await?;
                }
                let _ = reply.send(queues.is_some());
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
        let queues = Queues::new(link, info, self.limits, self.clock, self.ready_out.clone());
        self.links.0.insert(link, queues.clone());
        self.reporter.count(|c| &c.links_opened);
        self.reporter.tell(|| Notice::Opened { link, info, origin });
        self.fruitless = 0;
        self.input(|machine, cx| machine.handle_link_opened(cx, link, info))?;
        queues.judge(self.machine.knows(link));
        self.drain().await;
        // If the adapter has given up, its halves are dropped here and the link closes.
        let _ = reply.send(Ok(halves(&queues, &self.reporter, Guard(guard))));
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
            if let Some((came, frame)) = taken.frame {
                self.reporter.count(|c| &c.frames_in);
                self.frame(link, came, frame)?;
                self.drain().await;
            }
            if taken.asked || (look(taken.number) && !queues.is_known()) {
                queues.judge(self.machine.knows(link));
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
        let (mut frames, mut bytes) = (0_usize, 0_usize);
        let (now, wall) = (self.at, self.clock.wall());
        // One visit to each link does for all.
        let mut row = std::mem::take(&mut self.row);
        loop {
            let next = self.machine.poll_transmit(&mut Cx { now, wall, rng: &mut *self.entropy });
            let Some(transmit) = next else { break };
            if row.first().is_some_and(|first| !same(&first.to, &transmit.to)) {
                self.route(&mut row);
            }
            moved += 1;
            frames += 1;
            let length = transmit.frame.len();
            bytes = bytes.saturating_add(length);
            row.push(transmit);
            // Another like this one would not fit any more.
            if frames >= DRAIN_BEFORE_YIELD || bytes.saturating_add(length) > BYTES_BEFORE_YIELD {
                self.route(&mut row);
                tokio::task::yield_now().await;
                (frames, bytes) = (0, 0);
            }
        }
        self.route(&mut row);
        self.row = row;
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

    /// Gives frames that go to the same links to each of them at once, and forgets them.
    fn route(&self, transmits: &mut Vec<Transmit>) {
        if let Some(Transmit { to, .. }) = transmits.first() {
            to.links().for_each(|link| self.push(link, transmits));
        }
        transmits.clear();
    }

    fn push(&self, link: Link, transmits: &[Transmit]) {
        let Some(queues) = self.links.0.get(&link) else {
            return self.reporter.add(|c| &c.undeliverable, transmits.len() as u64);
        };
        let (mut queued, mut overflow) = (0, false);
        let frames = transmits.iter().map(|transmit| (&transmit.frame, transmit.class));
        queues.push_all(frames, |pushed| match pushed {
            Pushed::Queued => queued += 1,
            Pushed::Dropped => self.reporter.count(|c| &c.data_dropped),
            Pushed::Undeliverable => self.reporter.count(|c| &c.undeliverable),
            Pushed::Overflow => overflow = true,
        });
        self.reporter.add(|c| &c.frames_out, queued);
        if overflow {
            self.reporter.count(|c| &c.control_overflows);
            // The endpoint hears of it as of any other end, in its turn.
            queues.end(CloseReason::Overflow);
        }
    }

    /// What the endpoint has to send at this moment, a farewell above all, is queued before the end.
    async fn say_the_rest(&mut self) {
        for _ in 0..LAST_WORDS {
            if !self.lapsed() || self.input(|machine, cx| machine.handle_timeout(cx)).is_err() {
                return;
            }
            self.drain().await;
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
        // What is over already has nothing to flush; but what it did not send is missing.
        let over = self.links.0.values().filter(|queues| queues.phase() != Phase::Open && queues.lost()).count();
        self.links.0.retain(|_, queues| queues.phase() == Phase::Open);
        for queues in self.links.0.values() {
            queues.advance(Phase::Draining);
        }
        let mut complete = timeout(self.flush, self.guards_in.recv()).await.is_ok();
        let unflushed = over + self.links.0.values().filter(|queues| queues.phase() != Phase::Flushed).count();
        if !complete {
            for queues in self.links.0.values() {
                queues.advance(Phase::Dead);
            }
            complete = timeout(CUT_OFF, self.guards_in.recv()).await.is_ok();
        }
        Finished { machine: self.machine, unflushed, complete }
    }
}

/// Whether both name the same links, as far as that is seen at once.
fn same(one: &To, other: &To) -> bool {
    match (one, other) {
        (To::Link(one), To::Link(other)) => one == other,
        (To::Many(one), To::Many(other)) => Arc::ptr_eq(one, other),
        (To::AllBut(one, but), To::AllBut(other, others)) => Arc::ptr_eq(one, other) && but == others,
        _ => false,
    }
}

/// Whether to ask the endpoint after so many frames of a link whether it knows the peer: soon, and then less and less, so that
/// a flood of a stranger's does not make it search its members for each frame.
fn look(frames: u64) -> bool {
    frames <= 8 || frames.is_power_of_two()
}

/// The open links. No link outlives its driver, also if its task is aborted or a call panics.
#[derive(Default)]
pub(crate) struct Links(BTreeMap<Link, Arc<Queues>>);

impl Drop for Links {
    fn drop(&mut self) {
        for queues in self.0.values() {
            queues.advance(Phase::Dead);
        }
    }
}
