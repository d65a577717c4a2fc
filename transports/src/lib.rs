//! Adapters that drive Sodality endpoints over real networks.
//!
//! * [`driver`]: one task that runs one `Endpoint`, the same for every transport;
//! * [`transport`]: what a transport and the driver see of each other. It is small: an adapter announces links, feeds
//!   frames in and takes frames out;
//! * [`stream`]: frames over any pair of byte streams;
//! * [`redial`]: reaching peers again and again, for every transport that connects;
//! * [`tcp`]: listener and connector over TCP;
//! * [`udp`]: links over UDP behind a cookie, and multicast channels;
//! * `quic` (feature `quic`): control on a stream of QUIC, data beside it;
//! * [`objects`]: objects (files, states) over a driven participant;
//! * [`clock`]: the clock behind it all;
//! * `conformance` (feature of that name): scenarios that every transport has to pass, for yours too.
//!
//! An adapter knows frames, links and `LinkInfo`, and nothing of groups, leaders or members.
//!
//! ```no_run
//! # use std::net::SocketAddr;
//! # use sodality::endpoint::Endpoint;
//! # use sodality_transports::{driver, tcp};
//! # async fn example<M: Endpoint + 'static>(member: M, leader: SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
//! // A member reaches its leader through a connector …
//! let connector = tcp::TcpConnector::new(tcp::TcpConfig::default(), move |_peer, _hint| Some(leader));
//! let (handle, mut events) = driver::spawn(member, driver::Config::default().connector(connector));
//! // … a leader listens as well: `tcp::listen(handle.uplink(), "127.0.0.1:0", config).await?`.
//! let now = handle.call(|_member, cx| cx.now).await?;
//! while let Some(event) = events.recv().await {
//!     println!("{now:?} {event:?}");
//! }
//! handle.shutdown().await?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod driver;
pub mod objects;
mod queue;
#[cfg(feature = "quic")]
pub mod quic;
pub mod redial;
pub mod report;
mod run;
pub mod stream;
pub mod tcp;
pub mod transport;
#[cfg(feature = "udp")]
pub mod udp;

pub use driver::{Config, DriverGone, Events, Handle, spawn};
pub use transport::{CloseReason, Connector, Incoming, Outgoing, Uplink, Wish};
