//! The ways from one sender to many receivers.

mod fan;
mod quic;
mod tcp;
mod udp;

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    BareTcp,
    Tcp,
    BareMessages,
    BareTrains,
    Udp,
    Multicast,
    BareQuic,
    Quic,
}

impl Way {
    /// The first is what the others are compared with.
    pub(crate) const ALL: [Self; 8] = [
        Self::BareTcp,
        Self::Tcp,
        Self::BareMessages,
        Self::BareTrains,
        Self::Udp,
        Self::Multicast,
        Self::BareQuic,
        Self::Quic,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BareTcp => "bare TCP, one write a frame",
            Self::Tcp => "TCP",
            Self::BareMessages => "bare UDP, sendmmsg",
            Self::BareTrains => "bare UDP, GSO",
            Self::Udp => "UDP",
            Self::Multicast => "multicast",
            Self::BareQuic => "bare quinn, datagrams",
            Self::Quic => "QUIC",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|way| way.name() == name).unwrap()
    }
}

/// The sender's side of a way.
pub(crate) enum Sender {
    BareTcp(tcp::Bare),
    BareUdp(udp::Bare),
    BareQuic(quic::Bare),
    Driven(fan::Driven),
}

impl Sender {
    /// Inside a runtime.
    pub(crate) fn new(way: Way, count: usize) -> Option<Self> {
        Some(match way {
            Way::BareTcp => Self::BareTcp(tcp::Bare::new()?),
            Way::BareMessages => Self::BareUdp(udp::Bare::new(udp::Calls::Messages)?),
            Way::BareTrains => Self::BareUdp(udp::Bare::new(udp::Calls::Trains)?),
            Way::Udp => Self::Driven(fan::Driven::udp(count)?),
            Way::Multicast => Self::Driven(fan::Driven::multicast(count)?),
            Way::BareQuic => Self::BareQuic(quic::Bare::new(count)?),
            Way::Tcp => Self::Driven(fan::Driven::tcp(count)?),
            Way::Quic => Self::Driven(fan::Driven::quic(count)?),
        })
    }

    /// Where receivers go, and what they need to know.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::BareTcp(bare) => bare.address(),
            Self::BareUdp(bare) => bare.address(),
            Self::BareQuic(bare) => bare.address(),
            Self::Driven(driven) => driven.address.clone(),
        }
    }

    /// Waits until all are there.
    pub(crate) async fn ready(&mut self, count: usize) {
        match self {
            Self::BareTcp(bare) => bare.ready(count).await,
            Self::BareUdp(bare) => bare.ready(count).await,
            Self::BareQuic(bare) => bare.ready(count).await,
            Self::Driven(driven) => driven.ready(count).await,
        }
    }

    /// Sends so many frames to each, and waits until all have left.
    pub(crate) async fn send(&mut self, frames: usize) {
        match self {
            Self::BareTcp(bare) => bare.send(frames).await,
            Self::BareUdp(bare) => bare.send(frames).await,
            Self::BareQuic(bare) => bare.send(frames).await,
            Self::Driven(driven) => driven.send(frames).await,
        }
    }
}

/// Nothing has come for so long: it is over. A thousand connections in one thread keep one another waiting, and their timers then
/// take what waits for lost.
fn over(count: usize) -> Duration {
    if count > 100 { Duration::from_secs(5) } else { Duration::from_millis(700) }
}

/// The receivers' process: `count` of them, each counting what comes.
pub(crate) fn receive(way: Way, at: &str, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (counted, mut counts) = mpsc::unbounded_channel();
        match way {
            Way::BareTcp | Way::Tcp => tcp::receive(at, count, way == Way::Tcp, &counted).await,
            Way::BareMessages | Way::BareTrains => udp::receive(at, count, udp::Speech::Bare, &counted).await,
            Way::Udp => udp::receive(at, count, udp::Speech::Link, &counted).await,
            Way::Multicast => udp::receive(at, count, udp::Speech::Channel, &counted).await,
            Way::BareQuic | Way::Quic => quic::receive(at, count, way == Way::Quic, &counted).await,
        }
        println!("ready");
        let (mut first, mut last, mut bytes) = (None, Instant::now(), 0_u64);
        loop {
            let patience = if first.is_none() { Duration::from_secs(20) } else { over(count) };
            let Ok(Some(some)) = tokio::time::timeout(patience, counts.recv()).await else { break };
            last = Instant::now();
            first.get_or_insert(last);
            bytes += some;
        }
        println!("{bytes} {}", first.map_or(0.0, |first| (last - first).as_secs_f64()));
    });
}

/// Receivers that the sender waits for say so after so many frames.
pub(crate) const ACK_EVERY: usize = 32;
/// Frames that may be on their way to one of them.
pub(crate) const WINDOW: usize = 256;
