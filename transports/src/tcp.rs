//! TCP: a listener and a connector. Framing is that of [`crate::stream`]; small delays are turned off (`TCP_NODELAY`),
//! since frames are joined here.
//!
//! There is no handshake at this level: whoever connects has a link, and the endpoint's own protocols decide what it is
//! worth. A peer is a *stranger* until the endpoint knows who it is (`Endpoint::knows`). What strangers get is bounded:
//!
//! * a listener holds [`TcpConfig::max_links`] links, and of them [`Strangers::at_once`] to strangers; further connections
//!   wait in the system's backlog;
//! * one address (of IPv6: a network of 64 bits) has [`TcpConfig::per_address`] links, and of them [`Strangers::per_address`]
//!   to strangers; further ones are closed at once, and counted. An address is no identity (R40): this bounds, and proves
//!   nothing;
//! * a stranger has [`Patience::first`] for its first whole frame, [`Patience::known`] to be known, and
//!   [`Patience::unknown_bytes`] until then.
//!
//! One stranger costs at most a read block of 64 KiB (twice what it sent, if that is more), a write block of 64 KiB, a
//! queue of `LinkLimits::in_bytes`, and what it makes the endpoint answer (R2); the system's own buffers for it are bounded
//! by [`TcpConfig::buffers`], if that is set.
//!
//! **Dead peers.** Endpoints have failure detection of their own, which sees more than a transport can. Beneath it
//! [`KeepAlive`] finds peers whose machine is gone while nothing is sent, [`Patience::write`] those that take nothing, and
//! [`Patience::idle`], if set, those that say nothing.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use sodality::endpoint::{LinkInfo, LinkTicket};
use sodality::event::Peer;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

pub use crate::redial::Backoff;
use crate::redial::{Dial, Redial};
use crate::stream::{Held, Patience, attach_with};
use crate::transport::{Connector, Refused, Uplink, Wish};

/// How links over TCP are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpConfig {
    /// Longest frame, in bytes, in both directions.
    pub max_frame: usize,
    /// Most links that one listener holds at once.
    pub max_links: usize,
    /// Most links that it holds to one address.
    pub per_address: usize,
    /// How many of these may be to peers that the endpoint does not know.
    pub strangers: Strangers,
    /// Whether and how the system looks for dead peers.
    pub keep_alive: Option<KeepAlive>,
    /// Bytes that the system buffers for a link, in each direction, as far as it heeds that; `None` leaves it to the system.
    pub buffers: Option<usize>,
    /// How patient a link is.
    pub patience: Patience,
    /// Most time for one attempt to connect.
    pub connect: Duration,
    /// How failed attempts are repeated.
    pub backoff: Backoff,
}

impl Default for TcpConfig {
    /// Frames of up to 1 MiB and 64 KiB; 1024 links a listener, 256 an address, and half of these to strangers; keep-alive as in
    /// [`KeepAlive::default`]; the system's buffers; 5 seconds to connect.
    fn default() -> Self {
        Self {
            max_frame: (1 << 20) + (64 << 10),
            max_links: 1024,
            per_address: 256,
            strangers: Strangers { at_once: 512, per_address: 128 },
            keep_alive: Some(KeepAlive::default()),
            buffers: None,
            patience: Patience::default(),
            connect: Duration::from_secs(5),
            backoff: Backoff::default(),
        }
    }
}

/// How many links a listener holds to peers that the endpoint does not know (half-open joins, and whoever knocks).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Strangers {
    /// In all.
    pub at_once: usize,
    /// To one address. It should be less than `at_once`, so that one address cannot shut others out.
    pub per_address: usize,
}

/// The system's keep-alive: when it asks a silent peer for a sign of life, and after how many without one the link is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    /// Silence before the first question. Whole seconds.
    pub after: Duration,
    /// Time between questions. Whole seconds. Not everywhere heeded.
    pub every: Duration,
    /// Questions without an answer. Not everywhere heeded.
    pub times: u32,
}

impl Default for KeepAlive {
    /// After 30 seconds, every 10, 3 times: a minute.
    fn default() -> Self {
        Self { after: Duration::from_secs(30), every: Duration::from_secs(10), times: 3 }
    }
}

impl KeepAlive {
    fn set(&self, stream: &TcpStream) -> io::Result<()> {
        let options = TcpKeepalive::new().with_time(self.after);
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows))]
        let options = options.with_interval(self.every);
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        let options = options.with_retries(self.times);
        SockRef::from(stream).set_tcp_keepalive(&options)
    }
}

/// Why there is no listener.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address cannot be bound.
    #[error("cannot listen: {0}")]
    Io(#[from] io::Error),
    /// The driver is gone.
    #[error("the driver is gone")]
    Gone,
}

/// After a failed accept (no descriptors left, for instance), how long to wait before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens at `address` until the driver ends. Returns the address that was bound.
///
/// # Errors
/// [`ListenError`] if the address cannot be bound or the driver is gone.
pub async fn listen(uplink: Uplink, address: impl ToSocketAddrs, config: TcpConfig) -> Result<SocketAddr, ListenError> {
    listen_on(uplink, TcpListener::bind(address).await?, config)
}

/// The same on a socket that is bound already: for endpoints that have to know their address before they are made.
///
/// # Errors
/// [`ListenError`] if the socket has no address or the driver is gone.
pub fn listen_on(uplink: Uplink, listener: TcpListener, config: TcpConfig) -> Result<SocketAddr, ListenError> {
    let guard = uplink.guard().ok_or(ListenError::Gone)?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        tokio::select! {
            () = uplink.over() => {}
            () = accept(&listener, &uplink, config) => {}
        }
        drop(listener);
        drop(guard);
    });
    Ok(bound)
}

/// Accepts until no link can be had any more.
async fn accept(listener: &TcpListener, uplink: &Uplink, config: TcpConfig) {
    let slots = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
    let (links, strangers) = (slots(config.max_links), slots(config.strangers.at_once));
    let crowd = Crowd::default();
    loop {
        // First the room, then the connection.
        let Ok(link) = links.clone().acquire_owned().await else { return };
        let Ok(stranger) = strangers.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let origin = format!("tcp from {peer}");
        let Some((of_link, of_stranger)) = crowd.enter(peer.ip(), &config) else {
            uplink.refused(&origin);
            continue;
        };
        let info = LinkInfo::stream(config.max_frame);
        let held = Held { link: (link, of_link), stranger: (stranger, of_stranger) };
        if begin(stream, uplink, info, &origin, &config, held).await == Err(Refused::Gone) {
            return;
        }
    }
}

/// Links and strangers of each address that has any.
#[derive(Clone, Default)]
struct Crowd(Arc<Mutex<BTreeMap<IpAddr, Counts>>>);

#[derive(Clone, Copy, Default)]
struct Counts {
    links: usize,
    strangers: usize,
}

impl Crowd {
    /// Counts one more link and one more stranger of this address, if it may have them.
    fn enter(&self, address: IpAddr, config: &TcpConfig) -> Option<(OneOf, OneOf)> {
        let address = network(address);
        let mut crowd = self.lock();
        let counts = crowd.entry(address).or_default();
        if counts.links >= config.per_address || counts.strangers >= config.strangers.per_address {
            // Nobody is forgotten by this: it has as many as it may, or none.
            if counts.links == 0 {
                crowd.remove(&address);
            }
            return None;
        }
        counts.links += 1;
        counts.strangers += 1;
        let one = |which| OneOf { crowd: self.clone(), address, which };
        Some((one(Which::Link), one(Which::Stranger)))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Counts>> {
        // No code that may panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address: of IPv6 the upper half, since whoever has one of these addresses has them all.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        short => short,
    }
}

/// One that is counted, until it is dropped. The stranger of a link goes before it or with it.
struct OneOf {
    crowd: Crowd,
    address: IpAddr,
    which: Which,
}

#[derive(Clone, Copy)]
enum Which {
    Link,
    Stranger,
}

impl Drop for OneOf {
    fn drop(&mut self) {
        let mut crowd = self.crowd.lock();
        let Some(counts) = crowd.get_mut(&self.address) else { return };
        match self.which {
            Which::Link => counts.links = counts.links.saturating_sub(1),
            Which::Stranger => counts.strangers = counts.strangers.saturating_sub(1),
        }
        if counts.links == 0 && counts.strangers == 0 {
            crowd.remove(&self.address);
        }
    }
}

fn prepare(stream: &TcpStream, config: &TcpConfig) {
    // Without these the link is slower, or lives longer than it should, and works.
    let _ = stream.set_nodelay(true);
    if let Some(keep_alive) = config.keep_alive {
        let _ = keep_alive.set(stream);
    }
    if let Some(bytes) = config.buffers {
        let socket = SockRef::from(stream);
        let _ = socket.set_recv_buffer_size(bytes);
        let _ = socket.set_send_buffer_size(bytes);
    }
}

async fn begin<H: Send + Sync + 'static, P: Send + 'static>(
    stream: TcpStream,
    uplink: &Uplink,
    info: LinkInfo,
    origin: &str,
    config: &TcpConfig,
    held: Held<H, P>,
) -> Result<(), Refused> {
    prepare(&stream, config);
    let (reader, writer) = stream.into_split();
    attach_with(uplink, reader, writer, info, origin, config.patience, held).await
}

/// Finds the address of a peer, given the policy's hint. Must not block.
pub type Resolver = Arc<dyn Fn(&Peer, &[u8]) -> Option<SocketAddr> + Send + Sync>;

/// Reaches peers over TCP, by the policy of [`redial`](crate::redial).
pub struct TcpConnector(Redial<TcpDial>);

impl std::fmt::Debug for TcpConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TcpConnector").field(&self.0).finish()
    }
}

impl TcpConnector {
    /// A connector that asks `resolver` for addresses, anew at each attempt. It takes a wish only if there is one.
    pub fn new(
        config: TcpConfig,
        resolver: impl Fn(&Peer, &[u8]) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        Self(Redial::new(TcpDial { config, resolver: Arc::new(resolver) }, config.backoff))
    }
}

impl Connector for TcpConnector {
    fn connect(&mut self, wish: &Wish, uplink: &Uplink) -> bool {
        self.0.connect(wish, uplink)
    }
}

struct TcpDial {
    config: TcpConfig,
    resolver: Resolver,
}

impl Dial for TcpDial {
    type Connection = (TcpStream, SocketAddr);

    fn knows(&self, wish: &Wish) -> bool {
        (self.resolver)(&wish.peer, &wish.hint).is_some()
    }

    async fn dial(&self, wish: &Wish) -> Result<(TcpStream, SocketAddr), String> {
        let address = (self.resolver)(&wish.peer, &wish.hint).ok_or_else(|| "no address".to_owned())?;
        match timeout(self.config.connect, TcpStream::connect(address)).await {
            Err(_) => Err(format!("{address}: no answer in time")),
            Ok(Err(error)) => Err(format!("{address}: {error}")),
            Ok(Ok(stream)) => Ok((stream, address)),
        }
    }

    async fn begin(
        &self,
        (stream, address): (TcpStream, SocketAddr),
        ticket: LinkTicket,
        uplink: &Uplink,
    ) -> Result<(), Refused> {
        let info = LinkInfo { answers: Some(ticket), ..LinkInfo::stream(self.config.max_frame) };
        // Whom we called is no stranger.
        let patience = Patience { known: None, unknown_bytes: usize::MAX, ..self.config.patience };
        let config = TcpConfig { patience, ..self.config };
        begin(stream, uplink, info, &format!("tcp to {address}"), &config, Held { link: (), stranger: () }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link's socket, as both sides would set it.
    async fn socket(config: &TcpConfig) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        prepare(&stream, config);
        stream
    }

    #[tokio::test]
    async fn sockets_are_as_the_configuration_says() {
        let keep_alive = KeepAlive { after: Duration::from_secs(7), every: Duration::from_secs(3), times: 2 };
        let config = TcpConfig { keep_alive: Some(keep_alive), buffers: Some(64 << 10), ..TcpConfig::default() };
        let stream = socket(&config).await;
        let socket_of = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap() && socket_of.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(socket_of.tcp_keepalive_time().unwrap(), keep_alive.after);
            assert_eq!(socket_of.tcp_keepalive_interval().unwrap(), keep_alive.every);
            assert_eq!(socket_of.tcp_keepalive_retries().unwrap(), keep_alive.times);
            // Linux doubles what it is told, for its own needs.
            assert_eq!(socket_of.recv_buffer_size().unwrap(), 128 << 10);
            assert_eq!(socket_of.send_buffer_size().unwrap(), 128 << 10);
        }
        let plain = socket(&TcpConfig { keep_alive: None, ..TcpConfig::default() }).await;
        assert!(!SockRef::from(&plain).keepalive().unwrap());
    }

    #[test]
    fn an_address_is_a_whole_network_of_ipv6() {
        let same = |one: &str, other: &str| network(one.parse().unwrap()) == network(other.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:2"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn nobody_is_counted_for_ever() {
        let crowd = Crowd::default();
        let config =
            TcpConfig { per_address: 3, strangers: Strangers { at_once: 9, per_address: 2 }, ..TcpConfig::default() };
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        let (first_link, first_stranger) = crowd.enter(here, &config).unwrap();
        let second = crowd.enter(here, &config).unwrap();
        assert!(crowd.enter(here, &config).is_none(), "two strangers");
        drop(first_stranger);
        let third = crowd.enter(here, &config).unwrap();
        drop(second.1);
        assert!(crowd.enter(here, &config).is_none(), "three links");
        drop((first_link, second.0, third));
        assert!(crowd.lock().is_empty());
        let none = TcpConfig { per_address: 0, ..config };
        assert!(crowd.enter(here, &none).is_none() && crowd.lock().is_empty());
    }
}
