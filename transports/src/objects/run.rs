//! The task between driver, state machine and application.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use sodality::endpoint::Wake;
use sodality::error::{CommandError, Misuse};
use sodality::event::{Event, Port};
use sodality::group::Participant;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::engine::{Engine, Input, Turnout};
use super::{Command, Report};
use crate::clock::Clock;
use crate::driver::{DriverGone, Events, Handle};

/// Events and commands taken in one turn, and messages given.
const EVENTS_PER_TURN: usize = 64;
const COMMANDS_PER_TURN: usize = 16;
const MESSAGES_PER_TURN: usize = 16;

/// How long to wait before what did not fit is sent again, and before a participant without a current key is asked
/// again. Events wake earlier.
const FULL: Duration = Duration::from_millis(1);
const NOT_CURRENT: Duration = Duration::from_millis(20);

/// Reports that wait for the application: above, nothing is taken from the driver.
const BACKLOG: usize = 64;

pub(super) struct Run<M> {
    handle: Handle<M>,
    events: Events,
    commands: mpsc::Receiver<Command>,
    reports: mpsc::Sender<Report>,
    clock: Clock,
    engine: Option<Engine>,
    backlog: VecDeque<Report>,
    /// Messages that the participant has not taken yet.
    outbox: VecDeque<Bytes>,
    /// As far as is known, the participant takes messages.
    current: bool,
    wake: Wake,
    /// After this, not before.
    pause: Option<Duration>,
    /// The last turn was to give something and gave nothing.
    idle: bool,
}

/// The driver or the application is gone.
struct Over;

impl From<DriverGone> for Over {
    fn from(DriverGone: DriverGone) -> Self {
        Self
    }
}

impl<M: Participant + 'static> Run<M> {
    pub(super) fn new(
        handle: Handle<M>,
        events: Events,
        commands: mpsc::Receiver<Command>,
        reports: mpsc::Sender<Report>,
        engine: Engine,
    ) -> Self {
        let clock = engine.clock();
        Self {
            handle,
            events,
            commands,
            reports,
            clock,
            engine: Some(engine),
            backlog: VecDeque::new(),
            outbox: VecDeque::new(),
            current: false,
            wake: Wake::OnInput,
            pause: None,
            idle: false,
        }
    }

    pub(super) async fn run(mut self) {
        let mut inputs = Vec::new();
        // It may be in a group already.
        let mut turn = match self.standing(&mut inputs).await {
            Ok(()) => self.turn(std::mem::take(&mut inputs)).await,
            Err(over) => Err(over),
        };
        while turn.is_ok() {
            turn = match self.gather(&mut inputs).await {
                Ok(()) => self.turn(std::mem::take(&mut inputs)).await,
                Err(over) => Err(over),
            };
        }
        // What is not whole is discarded before anybody hears that this is the end.
        if let Some(engine) = self.engine.take() {
            // It fails if a store panics as it is dropped, or the runtime ends.
            let _ = spawn_blocking(move || drop(engine)).await;
        }
        // What is known already is told, unless nobody listens any more.
        for report in self.backlog {
            if self.reports.send(report).await.is_err() {
                break;
            }
        }
    }

    /// Waits for something, and takes a bounded amount of it.
    async fn gather(&mut self, inputs: &mut Vec<Input>) -> Result<(), Over> {
        let due = self.due();
        let open = self.backlog.len() < BACKLOG;
        let mut first = None;
        tokio::select! {
            biased;
            command = self.commands.recv() => inputs.push(Input::Command(command.ok_or(Over)?)),
            permit = self.reports.reserve(), if !self.backlog.is_empty() => match permit {
                Ok(permit) => {
                    if let Some(report) = self.backlog.pop_front() {
                        permit.send(report);
                    }
                }
                // An application that dropped its reports wants none.
                Err(_) => self.backlog.clear(),
            },
            event = self.events.recv(), if open => first = Some(event.ok_or(Over)?),
            () = sleep(due.unwrap_or_default()), if due.is_some() => {}
        }
        if let Some(event) = first {
            self.event(event, inputs).await?;
        }
        for _ in 0..COMMANDS_PER_TURN {
            let Ok(command) = self.commands.try_recv() else { break };
            inputs.push(Input::Command(command));
        }
        for _ in 0..EVENTS_PER_TURN {
            if self.backlog.len() >= BACKLOG {
                break;
            }
            let Some(event) = self.events.try_recv() else { break };
            self.event(event, inputs).await?;
        }
        Ok(())
    }

    fn due(&self) -> Option<Duration> {
        if let Some(pause) = self.pause {
            return Some(pause);
        }
        match self.wake {
            Wake::OnInput => None,
            // A machine that says so and has nothing to show is asked again at an interval only.
            Wake::Now(_) if self.idle => Some(FULL),
            Wake::Now(_) => Some(Duration::ZERO),
            Wake::At(at, _) => Some(at.since(self.clock.now())),
        }
    }

    async fn event(&mut self, event: Event, inputs: &mut Vec<Input>) -> Result<(), Over> {
        match event {
            Event::Data(message) if message.port == Port::Transfer => {
                inputs.push(Input::Message { from: message.from.claimed(), payload: message.payload });
                return Ok(());
            }
            Event::MemberAdded { cid, .. } => inputs.push(Input::Added(cid)),
            Event::MemberRemoved { cid, .. } => inputs.push(Input::Removed(cid)),
            Event::Joined { .. } => self.standing(inputs).await?,
            Event::Ended(_) => inputs.push(Input::Ended),
            _ => {}
        }
        self.backlog.push_back(Report::Group(event));
        Ok(())
    }

    /// Asks the participant where it stands.
    async fn standing(&mut self, inputs: &mut Vec<Input>) -> Result<(), Over> {
        let standing = self
            .handle
            .call(|machine, _| Some((machine.cid()?, machine.known(), machine.max_message(), machine.is_current())));
        if let Some((own, others, max_message, current)) = standing.await? {
            self.current = current;
            inputs.push(Input::Joined { own, others, max_message });
        }
        Ok(())
    }

    async fn turn(&mut self, inputs: Vec<Input>) -> Result<(), Over> {
        self.send().await?;
        let asked = inputs.is_empty();
        let room = if self.current && self.outbox.is_empty() { MESSAGES_PER_TURN } else { 0 };
        let Some(mut engine) = self.engine.take() else { return Err(Over) };
        let stepped = spawn_blocking(move || {
            let turnout = engine.step(inputs, room);
            (engine, turnout)
        });
        // It fails if a store panicked, or the runtime ends.
        let Ok((engine, Turnout { messages, reports, wake })) = stepped.await else { return Err(Over) };
        self.engine = Some(engine);
        self.backlog.extend(reports);
        self.wake = wake;
        self.idle = asked && messages.is_empty();
        self.outbox.extend(messages);
        self.send().await
    }

    /// Gives the participant what it takes.
    async fn send(&mut self) -> Result<(), Over> {
        self.pause = None;
        if self.outbox.is_empty() && self.current {
            return Ok(());
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        let sending = self.handle.call(move |machine, cx| {
            let mut stopped = None;
            while let Some(message) = outbox.front() {
                match machine.send(cx, Port::Transfer, message) {
                    Ok(()) => {}
                    // The group became another one: whoever lacks this asks again.
                    Err(CommandError::Misuse(Misuse::TooLong)) => {}
                    Err(why) => {
                        stopped = Some(why);
                        break;
                    }
                }
                outbox.pop_front();
            }
            (outbox, stopped, machine.is_current())
        });
        let (outbox, stopped, current) = sending.await?;
        self.outbox = outbox;
        self.current = current;
        self.pause = match stopped {
            Some(CommandError::Full) => Some(FULL),
            Some(_) => Some(NOT_CURRENT),
            None if !current && matches!(self.wake, Wake::Now(_)) => Some(NOT_CURRENT),
            None => None,
        };
        Ok(())
    }
}
