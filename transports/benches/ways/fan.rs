//! The driver with an endpoint that gives each frame to all links.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sodality::endpoint::{Class, Cx, Due, Endpoint, Link, LinkInfo, To, Transmit, Wake};
use sodality::error::Fatal;
use sodality::event::{Event, Stats};
use sodality_transports::driver::{self, Config, Events, Handle};
use sodality_transports::quic::{Identity, QuicConfig, Socket};
use sodality_transports::stream::Patience;
use sodality_transports::tcp::{self, Strangers, TcpConfig};
use sodality_transports::transport::LinkLimits;
use sodality_transports::udp::multicast::{self, Interface, MulticastConfig};
use sodality_transports::udp::{self, UdpConfig};
use tokio::sync::watch;

use super::udp::{group, multicast_works};
use super::{ACK_EVERY, WINDOW};
use crate::FRAME;

/// Gives what it is told to send to all links, no faster than the slowest acknowledges.
#[derive(Debug)]
struct Fan {
    links: BTreeMap<Link, usize>,
    all: Arc<[Link]>,
    /// The channel, if there is one: then all frames go there, and only acknowledgements come over links.
    shared: Option<Link>,
    frame: Bytes,
    left: usize,
    sent: usize,
    stats: Stats,
    shown: watch::Sender<(usize, bool)>,
}

impl Fan {
    /// Frames that the slowest link lets through now.
    fn room(&self) -> usize {
        let slowest = self.links.values().min().copied().unwrap_or(usize::MAX);
        slowest.saturating_add(WINDOW).saturating_sub(self.sent).min(self.left)
    }

    fn show(&self) {
        let done = self.left == 0 && self.links.values().all(|seen| seen + ACK_EVERY > self.sent);
        self.shown.send_replace((self.links.len(), done));
    }
}

impl Endpoint for Fan {
    fn handle_link_opened(&mut self, _cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal> {
        if info.shared {
            self.shared = Some(link);
            return Ok(());
        }
        self.links.insert(link, 0);
        self.all = self.links.keys().copied().collect();
        self.show();
        Ok(())
    }

    fn handle_link_closed(&mut self, _cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        self.links.remove(&link);
        self.all = self.links.keys().copied().collect();
        self.show();
        Ok(())
    }

    fn handle_frame(&mut self, _cx: &mut Cx<'_>, link: Link, _frame: BytesMut) -> Result<(), Fatal> {
        if let Some(seen) = self.links.get_mut(&link) {
            *seen += ACK_EVERY;
        }
        self.show();
        Ok(())
    }

    fn handle_timeout(&mut self, _cx: &mut Cx<'_>) -> Result<(), Fatal> {
        Ok(())
    }

    fn poll_transmit(&mut self, _cx: &mut Cx<'_>) -> Option<Transmit> {
        if self.room() == 0 {
            return None;
        }
        self.left -= 1;
        self.sent += 1;
        let to = self.shared.map_or_else(|| To::Many(self.all.clone()), To::Link);
        Some(Transmit { to, frame: self.frame.clone(), class: Class::Data })
    }

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn poll_timeout(&self) -> Wake {
        if self.room() > 0 { Wake::Now(Due::Output) } else { Wake::OnInput }
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// A driven fan that listens.
pub(crate) struct Driven {
    pub(crate) address: String,
    handle: Handle<Fan>,
    shown: watch::Receiver<(usize, bool)>,
    _events: Events,
    _socket: Option<Socket>,
}

impl Driven {
    fn start(count: usize) -> (Handle<Fan>, Events, watch::Receiver<(usize, bool)>) {
        let (shown, watching) = watch::channel((0, false));
        let fan = Fan {
            links: BTreeMap::new(),
            all: Arc::new([]),
            shared: None,
            frame: Bytes::from(vec![0xA5; FRAME]),
            left: 0,
            sent: 0,
            stats: Stats::default(),
            shown,
        };
        let config = Config::default().max_links(count + 1).link_limits(LinkLimits::default());
        let (handle, events) = driver::spawn(fan, config);
        (handle, events, watching)
    }

    pub(crate) fn tcp(count: usize) -> Option<Self> {
        let (handle, events, shown) = Self::start(count);
        // All receivers are on one address, and nobody here is known.
        let of = count + 1;
        let (strangers, patience) = (Strangers { at_once: of, per_address: of }, patience());
        let config = TcpConfig { max_links: of, per_address: of, strangers, patience, ..TcpConfig::default() };
        let listening = tcp::listen(handle.uplink(), "127.0.0.1:0", config);
        // Nothing in it waits: the address is a number.
        let address = futures_now(listening)?.ok()?.to_string();
        Some(Self { address, handle, shown, _events: events, _socket: None })
    }

    fn listen_udp(count: usize) -> Option<Self> {
        let (handle, events, shown) = Self::start(count);
        let hour = Duration::from_secs(3600);
        let of = count + 1;
        let config =
            UdpConfig { max_links: of, per_host: of, first: hour, idle: hour, buffer: 4 << 20, ..UdpConfig::default() };
        let listening = udp::listen(handle.uplink(), "127.0.0.1:0", config);
        let address = futures_now(listening)?.ok()?.address().to_string();
        Some(Self { address, handle, shown, _events: events, _socket: None })
    }

    pub(crate) fn udp(count: usize) -> Option<Self> {
        Self::listen_udp(count)
    }

    pub(crate) fn multicast(count: usize) -> Option<Self> {
        let (mut driven, group) = (Self::listen_udp(count)?, group()?);
        if !multicast_works() {
            return None;
        }
        let interface = Interface::Address(Ipv4Addr::LOCALHOST);
        // It hears nobody there: members answer over their links.
        let config = MulticastConfig { interface, ttl: 0, listen: false, ..MulticastConfig::new(group) };
        let uplink = driven.handle.uplink();
        tokio::spawn(async move { multicast::join(uplink, config).await.unwrap() });
        driven.address = format!("{}/{group}", driven.address);
        Some(driven)
    }

    pub(crate) fn quic(count: usize) -> Option<Self> {
        let (handle, events, shown) = Self::start(count);
        let config = QuicConfig {
            max_links: count + 1,
            half_open: count + 1,
            patience: patience(),
            silence: Duration::from_secs(600),
            ..QuicConfig::default()
        };
        let socket = Socket::bind("127.0.0.1:0".parse().ok()?, config).ok()?;
        let identity = Identity::generate().ok()?;
        let pin = identity.pin().ok()?;
        let address = format!("{}/{pin}", socket.listen(handle.uplink(), identity).ok()?);
        Some(Self { address, handle, shown, _events: events, _socket: Some(socket) })
    }

    pub(crate) async fn ready(&mut self, count: usize) {
        self.shown.wait_for(|(links, _)| *links == count).await.unwrap();
    }

    pub(crate) async fn send(&mut self, frames: usize) {
        // Whole acknowledgements, so that the end shows.
        let frames = frames / ACK_EVERY * ACK_EVERY;
        let told = self.handle.call(move |fan, _| {
            fan.left = frames;
            fan.sent = 0;
            fan.show();
        });
        told.await.unwrap();
        let done = self.shown.wait_for(|(_, done)| *done);
        // Datagrams may be lost, and then the last acknowledgement never comes.
        let _ = tokio::time::timeout(Duration::from_secs(20), done).await;
    }
}

/// A thousand need a while until all are there.
fn patience() -> Patience {
    Patience { first: Duration::from_secs(600), known: None, ..Patience::default() }
}

/// What a future gives that has no reason to wait.
fn futures_now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..1000 {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
    }
    None
}
