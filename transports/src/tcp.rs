//! TCP: a listener and a connector. Framing is that of [`crate::stream`]; small delays are turned off (`TCP_NODELAY`),
//! since frames are joined here.
//!
//! There is no handshake at this level: whoever connects has a link, and the endpoint's own protocols decide what it is
//! worth. A listener holds a bounded number of links; further connections wait in the system's backlog. One stranger
//! costs at most a read block of 64 KiB (twice what it sent, if that is more), a write block of 64 KiB, a queue of
//! `LinkLimits::in_bytes`, and what it makes the endpoint answer (R2).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sodality::endpoint::LinkInfo;
use sodality::event::Peer;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::report::Notice;
use crate::stream::{Patience, attach_with};
use crate::transport::{Connector, Guard, Refused, Uplink, Wish};

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

/// How failed attempts to connect are repeated: each pause is twice the one before, with a random part of a quarter so
/// that those who lost the same peer do not come back at the same moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// Attempts for one wish, at least one. After the last the endpoint may wish again.
    pub attempts: u32,
}

impl Default for Backoff {
    /// 100 ms, up to 10 seconds, 8 attempts: 25 seconds or so.
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(10), attempts: 8 }
    }
}

impl Backoff {
    /// The pause after the failed attempt number `attempt`, counted from zero.
    fn pause(&self, attempt: u32) -> Duration {
        let pause = self.first.saturating_mul(2_u32.saturating_pow(attempt)).min(self.longest);
        // Without randomness there is no jitter; nothing else depends on it.
        let random = getrandom::u32().unwrap_or(0);
        pause.saturating_add((pause / 4).mul_f64(f64::from(random) / f64::from(u32::MAX)))
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

/// Reaches peers over TCP. At most one attempt for each peer is under way. Where somebody answers and hangs up at once, the
/// next attempts pause like failed ones, so that neither side is kept busy by it.
pub struct TcpConnector {
    config: TcpConfig,
    resolver: Resolver,
    reached: Reached,
    /// The latest wish for each peer that an attempt is under way for. As many as the endpoint has peers to wish for.
    wishes: Wishes,
}

type Wishes = Arc<Mutex<BTreeMap<Peer, Wish>>>;
/// When each peer was reached last, and how many times in a row soon after the time before.
type Reached = Arc<Mutex<BTreeMap<Peer, (Instant, u32)>>>;

impl std::fmt::Debug for TcpConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpConnector").field("config", &self.config).finish_non_exhaustive()
    }
}

impl TcpConnector {
    /// A connector that asks `resolver` for addresses, anew at each attempt. It takes a wish only if there is one.
    pub fn new(
        config: TcpConfig,
        resolver: impl Fn(&Peer, &[u8]) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        Self { config, resolver: Arc::new(resolver), reached: Arc::default(), wishes: Arc::default() }
    }
}

impl Connector for TcpConnector {
    fn connect(&mut self, wish: &Wish, uplink: &Uplink) -> bool {
        if (self.resolver)(&wish.peer, &wish.hint).is_none() {
            return false;
        }
        let Some(guard) = uplink.guard() else { return false };
        let before = self.wishes.lock().unwrap_or_else(PoisonError::into_inner).insert(wish.peer.clone(), wish.clone());
        if before.is_none() {
            let attempt = Attempt {
                config: self.config,
                resolver: self.resolver.clone(),
                reached: self.reached.clone(),
                wishes: self.wishes.clone(),
                peer: wish.peer.clone(),
                uplink: uplink.clone(),
            };
            tokio::spawn(attempt.run(guard));
        }
        true
    }
}

/// The task that tries to reach one peer.
struct Attempt {
    config: TcpConfig,
    resolver: Resolver,
    reached: Reached,
    wishes: Wishes,
    peer: Peer,
    uplink: Uplink,
}

impl Attempt {
    async fn run(self, guard: Guard) {
        tokio::select! {
            () = self.uplink.over() => {}
            () = self.reach() => {}
        }
        drop(self);
        drop(guard);
    }

    fn wish(&self) -> Option<Wish> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner).get(&self.peer).cloned()
    }

    fn take_wish(&self) -> Option<Wish> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.peer)
    }

    /// How long to wait before the peer is reached again: not at all, unless it was just now.
    fn rest(&self) -> Duration {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let soon = reached.get(&self.peer).filter(|(at, _)| at.elapsed() < self.config.backoff.longest);
        soon.map_or(Duration::ZERO, |(_, times)| self.config.backoff.pause(*times))
    }

    fn note_reached(&self) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let soon =
            reached.get(&self.peer).filter(|(at, _)| at.elapsed() < self.config.backoff.longest.saturating_mul(2));
        let times = soon.map_or(0, |(_, times)| times.saturating_add(1));
        reached.insert(self.peer.clone(), (Instant::now(), times));
    }

    async fn reach(&self) {
        sleep(self.rest()).await;
        let attempts = self.config.backoff.attempts.max(1);
        for attempt in 0..attempts {
            let why = match self.connect().await {
                Ok((stream, address)) => {
                    // Taken before the link opens: a wish that comes while it opens is a new one.
                    let Some(wish) = self.take_wish() else { return };
                    self.note_reached();
                    let info = LinkInfo { answers: Some(wish.ticket), ..LinkInfo::stream(self.config.max_frame) };
                    let origin = format!("tcp to {address}");
                    // A refusal is counted and noticed by the driver.
                    let _ = begin(stream, &self.uplink, info, &origin, self.config.patience, None).await;
                    return;
                }
                Err(why) => why,
            };
            let again = attempt + 1 < attempts;
            if !again {
                self.take_wish();
            }
            self.uplink.notice(&Notice::Unreachable { peer: self.peer.clone(), why: why.into(), again });
            if again {
                sleep(self.config.backoff.pause(attempt)).await;
            }
        }
    }

    async fn connect(&self) -> Result<(TcpStream, SocketAddr), String> {
        let address = self
            .wish()
            .and_then(|wish| (self.resolver)(&wish.peer, &wish.hint))
            .ok_or_else(|| "no address".to_owned())?;
        match timeout(self.config.connect, TcpStream::connect(address)).await {
            Err(_) => Err(format!("{address}: no answer in time")),
            Ok(Err(error)) => Err(format!("{address}: {error}")),
            Ok(Ok(stream)) => Ok((stream, address)),
        }
    }
}
