//! The transports that are soaked, each as the conformance suite sees one. Beside that a leader that comes back is reached at
//! the same place as before.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sodality::event::Peer;
use sodality::policy::Communication;
use sodality_transports::conformance::{Capabilities, Network};
use sodality_transports::quic::{Identity, Pin, QuicConfig, Socket, Trust};
use sodality_transports::tcp::{self, Backoff, TcpConfig, TcpConnector};
use sodality_transports::udp::multicast::{self, Channel, Interface, MulticastConfig};
use sodality_transports::udp::{self, SAFE_FRAME, UdpConfig, UdpConnector};
use sodality_transports::{Connector, Uplink, Wish};
use tokio::time::timeout;

/// A transport whose leaders may come back.
pub(crate) trait Carrier: Network {
    /// As `Network::listen` for a leader, at `place` where another listened before who is gone; and in the channel, if the
    /// transport has one.
    fn lead(&self, uplink: Uplink, place: Option<Self::Place>) -> impl Future<Output = io::Result<Self::Place>> + Send;

    /// Frames that leaders gave to the channel, if the transport has one.
    fn shared(&self) -> Option<u64> {
        None
    }
}

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Soon and often.
fn backoff() -> Backoff {
    Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(200), attempts: 1000 }
}

pub(crate) struct Tcp;

impl Tcp {
    fn config() -> TcpConfig {
        TcpConfig { backoff: backoff(), ..TcpConfig::default() }
    }
}

impl Network for Tcp {
    type Place = SocketAddr;

    fn capabilities(&self) -> Capabilities {
        let max_frame = Self::config().max_frame;
        Capabilities {
            reliable: true,
            ends_seen: true,
            holds: Some(2 << 20),
            max_frame,
            communication: Communication::Relay,
        }
    }

    async fn listen(&self, uplink: Uplink) -> io::Result<SocketAddr> {
        self.lead(uplink, None).await
    }

    fn connector(&self, place: SocketAddr) -> Box<dyn Connector> {
        Box::new(TcpConnector::new(Self::config(), move |_, _| Some(place)))
    }
}

impl Carrier for Tcp {
    async fn lead(&self, uplink: Uplink, place: Option<SocketAddr>) -> io::Result<SocketAddr> {
        tcp::listen(uplink, place.unwrap_or(LOOPBACK), Self::config()).await.map_err(io::Error::other)
    }
}

/// Links over UDP, and with them a channel by multicast.
pub(crate) struct Udp {
    /// The group of the channel, if there is one, and who sends there.
    channel: Option<(Ipv4Addr, Communication)>,
    shared: Arc<AtomicU64>,
}

impl Udp {
    pub(crate) fn unicast() -> Self {
        Self { channel: None, shared: Arc::default() }
    }

    /// In a group that no other process here uses.
    pub(crate) fn with_channel(communication: Communication) -> Self {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        Self { channel: Some((Ipv4Addr::new(239, 254, high, low), communication)), shared: Arc::default() }
    }

    fn config() -> UdpConfig {
        UdpConfig {
            backoff: backoff(),
            retry: Duration::from_millis(40),
            keep_alive: Duration::from_millis(200),
            silence: Duration::from_secs(1),
            idle: Duration::from_secs(3),
            per_host: 256,
            ..UdpConfig::default()
        }
    }

    async fn serve(&self, uplink: Uplink, address: SocketAddr) -> io::Result<SocketAddr> {
        let listening = udp::listen(uplink, address, Self::config()).await.map_err(io::Error::other)?;
        Ok(listening.address())
    }

    /// The channel of the leader at `place`: each place has a port of its own, and the channel has the same number.
    fn channel(&self, place: SocketAddr) -> Option<MulticastConfig> {
        let group = SocketAddr::new(self.channel?.0.into(), place.port());
        let interface = Interface::Address(Ipv4Addr::LOCALHOST);
        Some(MulticastConfig { interface, ttl: 0, ..MulticastConfig::new(group) })
    }
}

impl Network for Udp {
    type Place = SocketAddr;

    fn capabilities(&self) -> Capabilities {
        let communication = self.channel.map_or(Communication::Relay, |(_, communication)| communication);
        Capabilities { reliable: false, ends_seen: true, holds: None, max_frame: SAFE_FRAME, communication }
    }

    async fn listen(&self, uplink: Uplink) -> io::Result<SocketAddr> {
        self.serve(uplink, LOOPBACK).await
    }

    fn connector(&self, place: SocketAddr) -> Box<dyn Connector> {
        let links = UdpConnector::new(Self::config(), move |_, _| Some(place));
        Box::new(Channelled { links, channel: self.channel(place) })
    }
}

impl Carrier for Udp {
    async fn lead(&self, uplink: Uplink, place: Option<SocketAddr>) -> io::Result<SocketAddr> {
        let place = self.serve(uplink.clone(), place.unwrap_or(LOOPBACK)).await?;
        if let Some(config) = self.channel(place) {
            let channel = multicast::join(uplink.clone(), config).await.map_err(io::Error::other)?;
            tokio::spawn(count(channel, uplink, self.shared.clone()));
        }
        Ok(place)
    }

    fn shared(&self) -> Option<u64> {
        self.channel.map(|_| self.shared.load(Ordering::Relaxed))
    }
}

/// Counts what a leader sends there, until its driver ends.
async fn count(channel: Channel, uplink: Uplink, shared: Arc<AtomicU64>) {
    let mut before = 0;
    loop {
        let over = timeout(Duration::from_millis(100), uplink.over()).await.is_ok();
        let now = channel.stats().datagrams_out;
        shared.fetch_add(now - before, Ordering::Relaxed);
        before = now;
        if over {
            return;
        }
    }
}

/// Joins the channel when it reaches for a leader first, and then gives links.
struct Channelled {
    links: UdpConnector,
    /// Not joined yet.
    channel: Option<MulticastConfig>,
}

impl Connector for Channelled {
    fn connect(&mut self, wish: &Wish, uplink: &Uplink) -> bool {
        if matches!(wish.peer, Peer::Leader(_))
            && let Some(config) = self.channel.take()
        {
            // It ends with the driver. Without it everything goes by unicast, which the verdict tells.
            tokio::spawn(multicast::join(uplink.clone(), config));
        }
        self.links.connect(wish, uplink)
    }
}

pub(crate) struct Quic(Identity);

impl Quic {
    pub(crate) fn new() -> Result<Self, crate::Failed> {
        Ok(Self(Identity::generate()?))
    }

    fn config() -> QuicConfig {
        QuicConfig {
            backoff: backoff(),
            keep_alive: Duration::from_millis(200),
            silence: Duration::from_secs(1),
            ..QuicConfig::default()
        }
    }

    fn serve(&self, uplink: Uplink, address: SocketAddr) -> io::Result<SocketAddr> {
        let (chain, key) = self.0.to_der();
        let identity = Identity::from_der(chain, key).map_err(io::Error::other)?;
        let socket = Socket::bind(address, Self::config()).map_err(io::Error::other)?;
        socket.listen(uplink, identity).map_err(io::Error::other)
    }
}

impl Network for Quic {
    type Place = (SocketAddr, Pin);

    fn capabilities(&self) -> Capabilities {
        let max_frame = Self::config().max_frame;
        Capabilities { reliable: false, ends_seen: true, holds: None, max_frame, communication: Communication::Relay }
    }

    async fn listen(&self, uplink: Uplink) -> io::Result<(SocketAddr, Pin)> {
        self.lead(uplink, None).await
    }

    fn connector(&self, (address, pin): (SocketAddr, Pin)) -> Box<dyn Connector> {
        let socket = Socket::bind(LOOPBACK, Self::config());
        match socket.and_then(|socket| socket.connector(&Trust::Pinned(pin), move |_, _| Some(address))) {
            Ok(connector) => Box::new(connector),
            Err(why) => Box::new(Unreachable(why.to_string())),
        }
    }
}

impl Carrier for Quic {
    async fn lead(&self, uplink: Uplink, place: Option<(SocketAddr, Pin)>) -> io::Result<(SocketAddr, Pin)> {
        let address = self.serve(uplink, place.map_or(LOOPBACK, |(address, _)| address))?;
        Ok((address, self.0.pin().map_err(io::Error::other)?))
    }
}

/// There was no socket for it.
struct Unreachable(String);

impl Connector for Unreachable {
    fn connect(&mut self, wish: &Wish, _: &Uplink) -> bool {
        eprintln!("{:?} cannot be reached: {}", wish.peer, self.0);
        false
    }
}
