//! The conformance suite over UDP with a multicast channel on loopback: mixed, where the leader alone speaks there, and
//! symmetric, where everybody does. Enclaves speak to each singly, and a channel beside them does no harm.

#![cfg(feature = "udp")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod assault;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use sodality::crypto::chacha20_poly1305;
use sodality::policy::Communication;
use sodality_transports::conformance::{Antigone, Capabilities, Enclaves, Network};
use sodality_transports::redial::Backoff;
use sodality_transports::udp::multicast::{self, Interface, MulticastConfig};
use sodality_transports::udp::{self, UdpConfig, UdpConnector};
use sodality_transports::{Connector, Uplink};

struct Multicast(Communication);

fn config() -> UdpConfig {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(100), attempts: 1000 };
    // All members are on one host.
    UdpConfig { backoff, per_host: 200, retry: Duration::from_millis(40), ..UdpConfig::default() }
}

/// The channel of the leader at `place`: its port is nobody else's, and so the group is not either.
fn channel(place: SocketAddr) -> MulticastConfig {
    let [high, low] = place.port().to_be_bytes();
    let group = SocketAddr::new(Ipv4Addr::new(239, 255, high, low).into(), place.port());
    MulticastConfig { interface: Interface::Address(Ipv4Addr::LOCALHOST), ttl: 0, ..MulticastConfig::new(group) }
}

impl Network for Multicast {
    type Place = SocketAddr;

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            reliable: false,
            // By a datagram, which may be lost; not on loopback.
            ends_seen: true,
            holds: None,
            max_frame: config().max_frame,
            communication: self.0,
        }
    }

    async fn listen(&self, uplink: Uplink) -> io::Result<SocketAddr> {
        let listening = udp::listen(uplink, "127.0.0.1:0", config()).await.map_err(io::Error::other)?;
        Ok(listening.address())
    }

    fn connector(&self, place: SocketAddr) -> Box<dyn Connector> {
        Box::new(UdpConnector::new(config(), move |_, _| Some(place)))
    }

    async fn share(&self, uplink: Uplink, place: &SocketAddr) -> io::Result<()> {
        multicast::join(uplink, channel(*place)).await.map(drop).map_err(io::Error::other)
    }

    async fn assault(&self, place: SocketAddr) {
        assault::by_datagrams(&[place, channel(place).group]).await;
    }
}

fn suite() -> Antigone {
    Antigone::new(chacha20_poly1305())
}

sodality_transports::conformance_suite!(mixed, Multicast(Communication::Mixed), suite());
sodality_transports::conformance_suite!(symmetric, Multicast(Communication::Symmetric), suite());
sodality_transports::conformance_suite!(
    enclaves_beside_a_channel,
    Multicast(Communication::Mixed),
    Enclaves::new(chacha20_poly1305())
);
