//! The conformance suite over UDP with a multicast channel on loopback: mixed, where the leader alone speaks there, and
//! symmetric, where everybody does. Enclaves speak to each singly, and a channel beside them does no harm.

#![cfg(feature = "udp")]

mod assault;
mod unicast;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use sodality::crypto::chacha20_poly1305;
use sodality::policy::Communication;
use sodality_transports::conformance::{Antigone, Capabilities, Enclaves, Network};
use sodality_transports::udp::multicast::{self, Interface, MulticastConfig};
use sodality_transports::{Connector, Uplink};
use unicast::Udp;

struct Multicast(Communication);

/// The channel of the leader at `place`: its port is nobody else's, and so the group is not either.
fn channel(place: SocketAddr) -> MulticastConfig {
    let [high, low] = place.port().to_be_bytes();
    let group = SocketAddr::new(Ipv4Addr::new(239, 255, high, low).into(), place.port());
    MulticastConfig { interface: Interface::Address(Ipv4Addr::LOCALHOST), ttl: 0, ..MulticastConfig::new(group) }
}

impl Network for Multicast {
    type Place = SocketAddr;

    fn capabilities(&self) -> Capabilities {
        Capabilities { communication: self.0, ..Udp.capabilities() }
    }

    async fn listen(&self, uplink: Uplink) -> io::Result<SocketAddr> {
        Udp.listen(uplink).await
    }

    fn connector(&self, place: SocketAddr) -> Box<dyn Connector> {
        Udp.connector(place)
    }

    async fn share(&self, uplink: Uplink, place: &SocketAddr) -> io::Result<()> {
        multicast::join(uplink, channel(*place)).await.map(drop).map_err(io::Error::other)
    }

    fn soon(&self) -> Duration {
        // 64 members each hear every frame for one of them, also on a machine that has much else to do.
        Duration::from_secs(120)
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
