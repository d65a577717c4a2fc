//! UDP on loopback for the conformance suite, with the frames that every path carries.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sodality::policy::Communication;
use sodality_transports::conformance::{Capabilities, Network};
use sodality_transports::redial::Backoff;
use sodality_transports::udp::{self, UdpConfig, UdpConnector};
use sodality_transports::{Connector, Uplink};

use crate::assault;

pub(crate) struct Udp;

fn config() -> UdpConfig {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(100), attempts: 1000 };
    // All members are on one host.
    UdpConfig { backoff, per_host: 200, retry: Duration::from_millis(40), ..UdpConfig::default() }
}

impl Network for Udp {
    type Place = SocketAddr;

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            reliable: false,
            // By a datagram, which may be lost; not on loopback.
            ends_seen: true,
            holds: None,
            max_frame: config().max_frame,
            communication: Communication::Relay,
        }
    }

    async fn listen(&self, uplink: Uplink) -> io::Result<SocketAddr> {
        let listening = udp::listen(uplink, "127.0.0.1:0", config()).await.map_err(io::Error::other)?;
        Ok(listening.address())
    }

    fn connector(&self, place: SocketAddr) -> Box<dyn Connector> {
        Box::new(UdpConnector::new(config(), move |_, _| Some(place)))
    }

    async fn assault(&self, place: SocketAddr) {
        assault::by_datagrams(&[place]).await;
    }
}
