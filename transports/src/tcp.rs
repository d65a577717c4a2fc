//! TCP: a listener and a connector. Framing is that of [`crate::stream`]; small delays are turned off (`TCP_NODELAY`),
//! since frames are joined here.
//!
//! There is no handshake at this level: whoever connects has a link, and the endpoint's own protocols decide what it is
//! worth. A listener holds a bounded number of links; further connections wait in the system's backlog. One stranger
//! costs at most a read block of 64 KiB (twice what it sent, if that is more), a write block of 64 KiB, a queue of
//! `LinkLimits::in_bytes`, and what it makes the endpoint answer (R2).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sodality::endpoint::{LinkInfo, LinkTicket};
use sodality::event::Peer;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

pub use crate::redial::Backoff;
use crate::redial::{Dial, Redial};
use crate::stream::{Patience, attach_with};
use crate::transport::{Connector, Refused, Uplink, Wish};

/// How links over TCP are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpConfig {
    /// Longest frame, in bytes, in both directions.
    pub max_frame: usize,
    /// Most links that one listener holds at once.
    pub max_links: usize,
    /// How patient a link is.
    pub patience: Patience,
    /// Most time for one attempt to connect.
    pub connect: Duration,
    /// How failed attempts are repeated.
    pub backoff: Backoff,
}

impl Default for TcpConfig {
    /// Frames of up to 1 MiB and 64 KiB; 256 links a listener; 5 seconds to connect.
    fn default() -> Self {
        Self {
            max_frame: (1 << 20) + (64 << 10),
            max_links: 256,
            patience: Patience::default(),
            connect: Duration::from_secs(5),
            backoff: Backoff::default(),
        }
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
    let guard = uplink.guard().ok_or(ListenError::Gone)?;
    let listener = TcpListener::bind(address).await?;
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
    let slots = Arc::new(Semaphore::new(config.max_links.min(Semaphore::MAX_PERMITS)));
    loop {
        // First the room, then the connection.
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let info = LinkInfo::stream(config.max_frame);
        if begin(stream, uplink, info, &format!("tcp from {peer}"), config.patience, Some(slot)).await
            == Err(Refused::Gone)
        {
            return;
        }
    }
}

async fn begin(
    stream: TcpStream,
    uplink: &Uplink,
    info: LinkInfo,
    origin: &str,
    patience: Patience,
    slot: Option<OwnedSemaphorePermit>,
) -> Result<(), Refused> {
    // Without it the link is slower, and works.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    attach_with(uplink, reader, writer, info, origin, patience, slot).await
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
        begin(stream, uplink, info, &format!("tcp to {address}"), self.config.patience, None).await
    }
}
