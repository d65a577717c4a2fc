//! The conformance suite over QUIC on loopback.

#![cfg(feature = "quic")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod assault;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use sodality::crypto::chacha20_poly1305;
use sodality::policy::Communication;
use sodality_transports::conformance::{Antigone, Capabilities, Enclaves, Network};
use sodality_transports::quic::{Identity, Pin, QuicConfig, Socket, Trust};
use sodality_transports::redial::Backoff;
use sodality_transports::{Connector, Uplink};

struct Quic;

fn config() -> QuicConfig {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(100), attempts: 1000 };
    QuicConfig { backoff, ..QuicConfig::default() }
}

impl Network for Quic {
    type Place = (SocketAddr, Pin);

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // Control is, and data may be lost.
            reliable: false,
            ends_seen: true,
            // The windows of both ends, and as much in datagrams.
            holds: Some(6 << 20),
            max_frame: config().max_frame,
            communication: Communication::Relay,
        }
    }

    async fn listen(&self, uplink: Uplink) -> io::Result<(SocketAddr, Pin)> {
        let identity = Identity::generate().map_err(io::Error::other)?;
        let pin = identity.pin().map_err(io::Error::other)?;
        let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into(), config()).map_err(io::Error::other)?;
        Ok((socket.listen(uplink, identity).map_err(io::Error::other)?, pin))
    }

    fn connector(&self, (address, pin): (SocketAddr, Pin)) -> Box<dyn Connector> {
        let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into(), config()).unwrap();
        Box::new(socket.connector(&Trust::Pinned(pin), move |_, _| Some(address)).unwrap())
    }

    async fn assault(&self, (address, _): (SocketAddr, Pin)) {
        assault::by_datagrams(&[address]).await;
    }
}

sodality_transports::conformance_suite!(over_quic, Quic, Antigone::new(chacha20_poly1305()));
sodality_transports::conformance_suite!(enclaves_over_quic, Quic, Enclaves::new(chacha20_poly1305()));
