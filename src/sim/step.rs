//! One transition of one machine, as checkers and traces see it; and what ends a run.

use alloc::string::String;
use core::any::Any;
use core::fmt;

use thiserror::Error;

use super::net::InTransit;
use super::world::NodeId;
use crate::endpoint::{Endpoint, Instant, Link, LinkInfo, Transmit};
use crate::error::Fatal;
use crate::event::Event;

/// An endpoint whose type can be asked for again.
pub trait Machine: Endpoint + Any {
    /// As a value of unknown type.
    fn as_any(&self) -> &dyn Any;

    /// As [`Self::as_any`], to change it.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<E: Endpoint + Any> Machine for E {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// What a machine was given.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// It was added, or restarted after a crash.
    Started,
    /// A link opened.
    Opened(Link, LinkInfo),
    /// A link closed.
    Closed(Link),
    /// A frame.
    Frame(&'a InTransit),
    /// Its deadline came.
    Timeout,
    /// The application did something; with the words of the scenario.
    Command(&'a str),
    /// Nothing: the outputs of a batch of inputs were drained.
    Drain,
    /// It crashed; there is no machine any more.
    Crashed,
}

impl fmt::Display for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started"),
            Self::Opened(link, _) => write!(f, "{link} opened"),
            Self::Closed(link) => write!(f, "{link} closed"),
            Self::Frame(frame) => fmt::Display::fmt(frame, f),
            Self::Timeout => f.write_str("timeout"),
            Self::Command(what) => f.write_str(what),
            Self::Drain => f.write_str("drained"),
            Self::Crashed => f.write_str("crashed"),
        }
    }
}

/// One transition.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The world's time (a node's own clock may differ).
    pub at: Instant,
    /// Counts transitions.
    pub step: u64,
    /// Where.
    pub node: NodeId,
    /// The node's life, from 1: restarts count it up.
    pub life: u32,
    /// What the machine was given.
    pub input: Input<'a>,
    /// What it sent.
    pub sent: &'a [Transmit],
    /// What it told its application.
    pub events: &'a [Event],
    /// The machine afterwards, if there is one: only for looking.
    pub machine: Option<&'a dyn Machine>,
}

impl Observed<'_> {
    /// The machine afterwards, if it is of this type.
    pub fn machine<E: Endpoint + Any>(&self) -> Option<&E> {
        self.machine.and_then(|machine| machine.as_any().downcast_ref())
    }
}

/// Why a run ended early, or what cannot be done.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Why {
    /// A machine found a bug in itself.
    #[error("{0}")]
    Fatal(Fatal),
    /// A checker objects.
    #[error("{checker}: {text}")]
    Check {
        /// Its name.
        checker: &'static str,
        /// Its words.
        text: String,
    },
    /// A machine is busy with nothing (R11).
    #[error("it wakes again and again and does nothing")]
    Idling,
    /// A machine produces output without end from one input (R11).
    #[error("one input gives output without end")]
    Flooding,
    /// A machine sent on a link that was never its own.
    #[error("it sent on {0}, which was never its own")]
    ForeignLink(Link),
    /// A machine sent a longer frame than the link carries.
    #[error("it sent {length} bytes on {link}, which carries {max}")]
    Oversize {
        /// The link.
        link: Link,
        /// The frame's length in bytes.
        length: usize,
        /// The link's limit in bytes.
        max: usize,
    },
    /// More steps in one run than allowed: too much traffic, or something that runs for ever.
    #[error("the run has used up its steps")]
    Steps,
    /// What was waited for did not come in time.
    #[error("not in time: {0}")]
    NotInTime(String),
    /// The node is down, unknown or of another type: the scenario's mistake.
    #[error("the node is down, unknown or of another type")]
    NoMachine,
    /// The link, wire or node is unknown: the scenario's mistake.
    #[error("no such link, wire or node")]
    NoSuch,
    /// The scenario itself objects.
    #[error("{0}")]
    Scenario(String),
}

impl Why {
    /// Whether the run is over: the world then refuses to go on. Otherwise it is only that a call came to nothing.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::NotInTime(_) | Self::NoMachine | Self::NoSuch | Self::Scenario(_))
    }
}

/// Where and why a run ended early.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("seed {seed}, step {step}, {} µs, {node}: {why}", at.as_micros())]
pub struct Stop {
    /// The seed of the world: run it again with this.
    pub seed: u64,
    /// The transition.
    pub step: u64,
    /// The world's time.
    pub at: Instant,
    /// The name of the node, or `-`.
    pub node: String,
    /// Why.
    pub why: Why,
}
