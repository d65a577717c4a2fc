//! QUIC: frames of class `Control` on a stream, in order and repaired; frames of class `Data` beside it, as a datagram where
//! one fits (the connection is asked each time) and on a stream of their own where not. So a lost data frame delays neither
//! control nor other data.
//!
//! TLS is an outer layer and nothing more: the group's own security leans on none of it. It keeps those who only watch the
//! network from seeing headers, and keeps strangers from wasting the endpoint's time under somebody else's address. A server
//! is known by the key of its certificate ([`Trust::Pinned`]) or by who issued it ([`Trust::Authority`]); clients have no
//! certificate, since the group protocols say who they are.
//!
//! One [`Socket`] serves any number of endpoints: many members of one process share a UDP port, and a leader that listens
//! can connect as well. A connection survives a change of the client's address; the endpoint does not notice, since a link
//! was never an address (R40).
//!
//! **Bounds.** A stranger that has not shown its address costs what QUIC's own rule allows, three times what it sent; from
//! half of [`QuicConfig::half_open`] on, it is sent away with a token first, which costs no state. One that has costs a
//! connection for at most [`QuicConfig::patience`]`.first`, or `.known` once it speaks. A link holds, besides its queues, at most
//! [`QuicConfig::data_streams`] frames that are on their way in, the receive window, and 512 KiB of datagrams that wait to leave.

mod identity;
mod link;
mod socket;

use std::io;
use std::time::Duration;

use thiserror::Error;

pub use identity::{Identity, IdentityError, Pin, Trust};
pub use socket::{QuicConnector, Socket};

use crate::redial::Backoff;
use crate::stream::Patience;

/// The protocol's name in TLS (ALPN). Another means another framing.
pub const ALPN: &[u8] = b"sodality/1";

/// How links over QUIC are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuicConfig {
    /// Longest frame, in bytes, in both directions.
    pub max_frame: usize,
    /// Most links that one listener holds at once.
    pub max_links: usize,
    /// Most connections of one listener whose peers the endpoint does not know yet (`Endpoint::knows`).
    pub half_open: usize,
    /// Most data frames of one link that arrive on streams of their own at the same time.
    pub data_streams: u32,
    /// Most bytes of one link that have arrived and were not read yet.
    pub window: u32,
    /// How patient a link is. `idle` counts any packet, also those that keep the connection alive.
    pub patience: Patience,
    /// How often a connection without traffic shows that it lives: keeps the way through translators of addresses open.
    pub keep_alive: Duration,
    /// Most time without any packet; then the connection is over.
    pub silence: Duration,
    /// Most time for one attempt to connect.
    pub connect: Duration,
    /// How failed attempts are repeated.
    pub backoff: Backoff,
}

impl Default for QuicConfig {
    /// Frames of up to 1 MiB and 64 KiB; 256 links and 64 half-open connections a listener; 8 data streams and a window of
    /// 2 MiB a link; alive every 5 seconds, over after 30 seconds of silence; 5 seconds to connect.
    fn default() -> Self {
        Self {
            max_frame: (1 << 20) + (64 << 10),
            max_links: 256,
            half_open: 64,
            data_streams: 8,
            window: 2 << 20,
            patience: Patience::default(),
            keep_alive: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            connect: Duration::from_secs(5),
            backoff: Backoff::default(),
        }
    }
}

/// Why there is no socket, listener or connector.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QuicError {
    /// The address cannot be bound.
    #[error("cannot open the socket: {0}")]
    Io(#[from] io::Error),
    /// The driver is gone.
    #[error("the driver is gone")]
    Gone,
    /// A socket serves one listener, since its connections cannot be told apart before they speak.
    #[error("this socket listens already: open another for another listener")]
    Listening,
    /// The certificate, its key or an authority is of no use.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A time or size that QUIC cannot state.
    #[error("a time or size of the configuration is out of bounds")]
    Config,
}
