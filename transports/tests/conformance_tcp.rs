//! The conformance suite over TCP on loopback. A transport of your own is tested by a file like this one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sodality::crypto::chacha20_poly1305;
use sodality::policy::Communication;
use sodality_transports::conformance::{Antigone, Capabilities, Enclaves, Network};
use sodality_transports::tcp::{self, Backoff, TcpConfig, TcpConnector};
use sodality_transports::{Connector, Uplink};
use tokio::io::AsyncWriteExt;

struct Tcp;

fn config() -> TcpConfig {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(100), attempts: 1000 };
    // Small buffers, so that a peer that reads nothing is felt soon.
    TcpConfig { backoff, buffers: Some(128 << 10), ..TcpConfig::default() }
}

impl Network for Tcp {
    type Place = SocketAddr;

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            reliable: true,
            ends_seen: true,
            holds: Some(2 << 20),
            max_frame: config().max_frame,
            communication: Communication::Relay,
        }
    }

    async fn listen(&self, uplink: Uplink) -> io::Result<SocketAddr> {
        tcp::listen(uplink, "127.0.0.1:0", config()).await.map_err(io::Error::other)
    }

    fn connector(&self, place: SocketAddr) -> Box<dyn Connector> {
        Box::new(TcpConnector::new(config(), move |_, _| Some(place)))
    }

    async fn assault(&self, place: SocketAddr) {
        // Lengths that are too long, frames that never end, connections that come and go.
        for round in 0_u32.. {
            let Ok(mut stream) = tokio::net::TcpStream::connect(place).await else { return };
            let _ = stream.write_all(&vec![round as u8; 1 << (round % 17)]).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

sodality_transports::conformance_suite!(over_tcp, Tcp, Antigone::new(chacha20_poly1305()));
sodality_transports::conformance_suite!(enclaves_over_tcp, Tcp, Enclaves::new(chacha20_poly1305()));
