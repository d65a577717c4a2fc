//! The UDP socket, and what listens and connects on it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig, TokioRuntime, TransportConfig,
};
use sodality::endpoint::{LinkInfo, LinkTicket};
use sodality::event::Peer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::link::{self, DONE, LONGEST_BURST, Opened};
use super::{Identity, IdentityError, QuicConfig, QuicError, Trust};
use crate::redial::{Dial, Redial};
use crate::tcp::Resolver;
use crate::transport::{Connector, Refused, Uplink, Wish};

/// A UDP socket for any number of connections, in and out. Cheap to clone; it is closed when the last clone is dropped, its
/// listener has ended and no connection is left.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    config: QuicConfig,
    listening: AtomicBool,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("address", &self.0.endpoint.local_addr().ok()).finish_non_exhaustive()
    }
}

impl Socket {
    /// Opens a socket at `address`, in the runtime of the caller.
    ///
    /// # Errors
    /// [`QuicError::Io`].
    pub fn bind(address: SocketAddr, config: QuicConfig) -> Result<Self, QuicError> {
        let socket = UdpSocket::bind(address)?;
        let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?;
        Ok(Self(Arc::new(Inner { endpoint, config, listening: AtomicBool::new(false) })))
    }

    /// Opens a socket from which `peer` can be reached, at a port that the system chooses.
    ///
    /// # Errors
    /// [`QuicError::Io`].
    pub fn towards(peer: SocketAddr, config: QuicConfig) -> Result<Self, QuicError> {
        let any = match peer {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        Self::bind(any, config)
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// [`QuicError::Io`].
    pub fn local_addr(&self) -> Result<SocketAddr, QuicError> {
        Ok(self.0.endpoint.local_addr()?)
    }

    /// Goes over to another local address with all its connections, as a laptop does that changes its network.
    ///
    /// # Errors
    /// [`QuicError::Io`]; it stays where it was then.
    pub fn rebind(&self, address: SocketAddr) -> Result<(), QuicError> {
        Ok(self.0.endpoint.rebind(UdpSocket::bind(address)?)?)
    }

    /// Waits until no connection is left, the traces of closed ones among them.
    pub async fn idle(&self) {
        self.0.endpoint.wait_idle().await;
    }

    /// Accepts links for `uplink` until its driver ends. Returns the address.
    ///
    /// # Errors
    /// [`QuicError`].
    pub fn listen(&self, uplink: Uplink, identity: Identity) -> Result<SocketAddr, QuicError> {
        let guard = uplink.guard().ok_or(QuicError::Gone)?;
        let config = self.0.config;
        let tls = QuicServerConfig::try_from(identity.server()?).map_err(|_| QuicError::Config)?;
        let mut server = ServerConfig::with_crypto(Arc::new(tls));
        server.transport_config(transport(&config)?).max_incoming(config.half_open.saturating_mul(2));
        let address = self.local_addr()?;
        if self.0.listening.swap(true, Ordering::AcqRel) {
            return Err(QuicError::Listening);
        }
        self.0.endpoint.set_server_config(Some(server));
        let socket = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = uplink.over() => {}
                () = accept(&socket.0.endpoint, &uplink, config) => {}
            }
            socket.0.endpoint.set_server_config(None);
            socket.0.listening.store(false, Ordering::Release);
            drop(socket);
            drop(guard);
        });
        Ok(address)
    }

    /// A connector that takes servers as `trust` says and asks `resolver` for addresses, anew at each attempt.
    ///
    /// # Errors
    /// [`QuicError`].
    pub fn connector(
        &self,
        trust: &Trust,
        resolver: impl Fn(&Peer, &[u8]) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Result<QuicConnector, QuicError> {
        let tls = QuicClientConfig::try_from(trust.client()?).map_err(|_| QuicError::Config)?;
        let mut client = ClientConfig::new(Arc::new(tls));
        client.transport_config(transport(&self.0.config)?);
        let name = trust.server_name().to_owned();
        if name.is_empty() {
            return Err(IdentityError::Name.into());
        }
        let dial = QuicDial { socket: self.clone(), client, name, resolver: Arc::new(resolver) };
        Ok(QuicConnector(Redial::new(dial, self.0.config.backoff)))
    }
}

fn transport(config: &QuicConfig) -> Result<Arc<TransportConfig>, QuicError> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(1_u8.into())
        .max_concurrent_uni_streams(config.data_streams.into())
        .stream_receive_window(config.window.into())
        .receive_window(config.window.into())
        .send_window(config.window.into())
        .datagram_receive_buffer_size(Some(usize::try_from(config.window).unwrap_or(usize::MAX)))
        .datagram_send_buffer_size(LONGEST_BURST)
        .keep_alive_interval(Some(config.keep_alive))
        .max_idle_timeout(Some(IdleTimeout::try_from(config.silence).map_err(|_| QuicError::Config)?));
    Ok(Arc::new(transport))
}

/// Accepts for as long as the socket is there.
async fn accept(endpoint: &Endpoint, uplink: &Uplink, config: QuicConfig) {
    let links = Arc::new(Semaphore::new(config.max_links.min(Semaphore::MAX_PERMITS)));
    let half_open = Arc::new(Semaphore::new(config.half_open.min(Semaphore::MAX_PERMITS)));
    while let Some(incoming) = endpoint.accept().await {
        // Under pressure an address is shown before it costs state here (R4, R5).
        let pressed = half_open.available_permits() <= config.half_open / 2;
        if pressed && !incoming.remote_address_validated() && incoming.may_retry() {
            let _ = incoming.retry();
            continue;
        }
        let places = (links.clone().try_acquire_owned(), half_open.clone().try_acquire_owned());
        let ((Ok(link), Ok(half)), Some(guard)) = (places, uplink.guard()) else {
            uplink.refused(&format!("quic from {}", incoming.remote_address()));
            incoming.refuse();
            continue;
        };
        let (uplink, link) = (uplink.clone(), Arc::new(link));
        tokio::spawn(async move {
            tokio::select! {
                () = uplink.over() => {}
                () = greet(incoming, &uplink, config, link, half) => {}
            }
            drop(guard);
        });
    }
}

/// From a first packet to a link.
async fn greet(
    incoming: Incoming,
    uplink: &Uplink,
    config: QuicConfig,
    slot: link::Slot,
    stranger: OwnedSemaphorePermit,
) {
    let opened = timeout(config.patience.first, async {
        let connection = incoming.accept().ok()?.await.ok()?;
        link::accepted(connection).await
    });
    let Ok(Some(opened)) = opened.await else { return };
    let origin = format!("quic from {}", opened.connection.remote_address());
    let connection = opened.connection.clone();
    if link::attach(opened, uplink, info(&config, None), &origin, config, (slot, stranger)).await.is_err() {
        connection.close(DONE, b"");
    }
}

/// Control arrives once and in order, and data do not.
fn info(config: &QuicConfig, answers: Option<LinkTicket>) -> LinkInfo {
    LinkInfo { reliable: false, answers, ..LinkInfo::stream(config.max_frame.min(u32::MAX as usize)) }
}

/// Reaches peers over QUIC, as [`Redial`] does.
#[derive(Debug)]
pub struct QuicConnector(Redial<QuicDial>);

impl Connector for QuicConnector {
    fn connect(&mut self, wish: &Wish, uplink: &Uplink) -> bool {
        self.0.connect(wish, uplink)
    }
}

struct QuicDial {
    socket: Socket,
    client: ClientConfig,
    name: String,
    resolver: Resolver,
}

impl Dial for QuicDial {
    type Connection = Opened;

    fn knows(&self, wish: &Wish) -> bool {
        (self.resolver)(&wish.peer, &wish.hint).is_some()
    }

    async fn dial(&self, wish: &Wish) -> Result<Opened, String> {
        let address = (self.resolver)(&wish.peer, &wish.hint).ok_or_else(|| "no address".to_owned())?;
        let Inner { endpoint, config, .. } = &*self.socket.0;
        let attempt = async {
            let connecting = endpoint.connect_with(self.client.clone(), address, &self.name);
            let connection = connecting.map_err(|error| error.to_string())?.await.map_err(|error| error.to_string())?;
            link::open(connection).await
        };
        match timeout(config.connect, attempt).await {
            Err(_) => Err(format!("{address}: no answer in time")),
            Ok(Err(error)) => Err(format!("{address}: {error}")),
            Ok(Ok(opened)) => Ok(opened),
        }
    }

    async fn begin(&self, opened: Opened, ticket: LinkTicket, uplink: &Uplink) -> Result<(), Refused> {
        let config = self.socket.0.config;
        let origin = format!("quic to {}", opened.connection.remote_address());
        let connection = opened.connection.clone();
        let held = (self.socket.clone(), ());
        let attached = link::attach(opened, uplink, info(&config, Some(ticket)), &origin, config, held).await;
        if attached.is_err() {
            connection.close(DONE, b"");
        }
        attached
    }
}
