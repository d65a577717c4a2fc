//! UDP: a listener and a connector for links to one peer each, and multicast channels ([`multicast`]).
//!
//! A frame is one datagram, never cut and never joined: what is longer than the link allows is not sent, and refused where
//! it comes in. Datagrams are lost, repeated and overtaken, and the links say so (`reliable: false`).
//!
//! **The cookie.** A stranger's first datagram brings it a cookie, no longer than what it sent, and leaves nothing behind at
//! the listener. Only who sends the cookie back, and so receives what is sent to its address, has a link (`proven: true`,
//! R4, R5). The layout of datagrams is in `docs/transports.md`.
//!
//! **Addresses.** A link is between two addresses for all its life. A peer whose address changes (behind a NAT that forgot it,
//! on another network) is a stranger until it has a new cookie. Who connected notices: it asks now and then whether the link
//! is still there, and when nothing has come for [`UdpConfig::silence`] the link closes, the endpoint wants a new one, and
//! moves its peer there once an authentic fresh frame has come over it. No address moves anybody (R40).
//!
//! **Bounds.** Links are bounded in all and for each host, those that say nothing are closed, and the frames of a link that
//! the endpoint does not take in time are dropped, that link's alone. What the endpoint sends is bounded by the driver.

mod client;
mod cookie;
mod link;
mod listener;
pub mod multicast;
mod packet;
mod socket;
mod stats;

use std::io;
use std::time::Duration;

use thiserror::Error;

pub use client::{StatsReader, UdpConnector};
pub use listener::{Listening, listen};
pub use packet::{FRAME_HEADER, SHARED_HEADER};
pub use stats::UdpStats;

use crate::redial::Backoff;

/// Bytes of a datagram with a frame of 1,200 bytes fit every path of IPv6 (1,280 less 48 of headers), and with them nearly
/// every path of IPv4.
pub const SAFE_FRAME: usize = 1_200;

/// The longest frame that a datagram of IPv4 carries: over loopback, or where IP fragments are no worry.
pub const LONGEST_FRAME: usize = 65_507 - FRAME_HEADER;

/// The shortest `max_frame` that an end may announce.
pub const LEAST_FRAME: usize = 256;

/// How links over UDP are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpConfig {
    /// Longest frame, in bytes. A link takes the smaller of what its two ends say. Between [`LEAST_FRAME`] and
    /// [`LONGEST_FRAME`].
    pub max_frame: usize,
    /// Most links that one listener holds at once.
    pub max_links: usize,
    /// Most links of one host at once: of one address of IPv4, or of one network of 64 bits of IPv6.
    pub per_host: usize,
    /// How long one secret issues cookies. A cookie is good for the rest of that time and once more.
    pub cookie: Duration,
    /// (Listener) Most time until the first frame of a link.
    pub first: Duration,
    /// (Listener) Most time without any datagram on a link. More than the `silence` of those who connect.
    pub idle: Duration,
    /// (Connector) After so much time in which a link has not both sent and received, it is asked whether it is there. Also
    /// keeps NATs from forgetting it.
    pub keep_alive: Duration,
    /// (Connector) After so much time without any datagram the link is given up.
    pub silence: Duration,
    /// (Connector) Most time for one attempt to connect.
    pub connect: Duration,
    /// (Connector) After how long an unanswered datagram of an attempt is repeated; twice as long each time.
    pub retry: Duration,
    /// (Connector) How failed attempts are repeated.
    pub backoff: Backoff,
    /// Buffers of the socket, in bytes each, as far as the system gives them.
    pub buffer: usize,
    /// Whether many datagrams are given to and taken from the system in one call, where it can.
    pub offload: bool,
}

impl Default for UdpConfig {
    /// Frames of 1,200 bytes; 256 links, 32 a host; cookies of 10 to 20 seconds; 10 seconds for the first frame and 30
    /// without any; asks after 2.5 seconds and gives up after 10; 5 seconds to connect.
    fn default() -> Self {
        Self {
            max_frame: SAFE_FRAME,
            max_links: 256,
            per_host: 32,
            cookie: Duration::from_secs(10),
            first: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            keep_alive: Duration::from_millis(2_500),
            silence: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            retry: Duration::from_millis(200),
            backoff: Backoff::default(),
            buffer: 1 << 20,
            offload: true,
        }
    }
}

impl UdpConfig {
    fn max_frame(&self) -> usize {
        self.max_frame.clamp(LEAST_FRAME, LONGEST_FRAME)
    }

    /// As it is said to the other end.
    fn announced(&self) -> u32 {
        u32::try_from(self.max_frame()).unwrap_or(u32::MAX)
    }

    /// What both ends take, if the other one says `theirs`; `None` if that is too little to be of use.
    fn agreed(&self, theirs: u32) -> Option<usize> {
        let theirs = usize::try_from(theirs).unwrap_or(usize::MAX);
        (theirs >= LEAST_FRAME).then(|| self.max_frame().min(theirs))
    }
}

/// Why there is no listener or channel.
#[derive(Debug, Error)]
pub enum UdpError {
    /// The system refused the socket, or one of its options.
    #[error("cannot open the socket: {0}")]
    Io(#[from] io::Error),
    /// The random source failed: there would be no secret behind the cookies.
    #[error("the random source failed: {0}")]
    Random(#[from] getrandom::Error),
    /// The driver is gone, or takes no more links.
    #[error("the driver takes no link")]
    Gone,
}
