//! The listening end: one socket for all links, and nothing for strangers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sodality::endpoint::Instant as Moment;
use tokio::net::{ToSocketAddrs, lookup_host};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::cookie::{BadCookie, Cookie, Jar};
use super::link::{Block, Wrap, info, one, write};
use super::packet::{Connection, FRAME_HEADER, LONGEST_BARE, Nonce, Packet};
use super::socket::{Datagram, Received, Socket, Way};
use super::stats::{Counters, UdpStats};
use super::{UdpConfig, UdpError};
use crate::clock::Clock;
use crate::transport::{CloseReason, Incoming, Outgoing, Refused, Uplink};

/// After an error of the socket, how long to wait: most pass with the datagram that caused them, and one that does not must
/// not keep the machine busy.
pub(crate) const ERROR_PAUSE: Duration = Duration::from_millis(5);

/// A listener at work. It ends with its driver; dropping this changes nothing.
#[derive(Clone, Debug)]
pub struct Listening {
    address: SocketAddr,
    counters: Arc<Counters>,
}

impl Listening {
    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happened at the socket so far.
    pub fn stats(&self) -> UdpStats {
        self.counters.snapshot()
    }
}

/// Listens at `address` until the driver ends.
///
/// # Errors
/// [`UdpError`].
pub async fn listen(uplink: Uplink, address: impl ToSocketAddrs, config: UdpConfig) -> Result<Listening, UdpError> {
    let guard = uplink.guard().ok_or(UdpError::Gone)?;
    let counters = Arc::<Counters>::default();
    let mut bound = Err(std::io::Error::from(std::io::ErrorKind::AddrNotAvailable));
    for address in lookup_host(address).await? {
        bound = Socket::bind(address, config.buffer, config.offload, counters.clone());
        if bound.is_ok() {
            break;
        }
    }
    let socket = Arc::new(bound?);
    let clock = Clock::new();
    let jar = Jar::new(config.cookie, age(clock), getrandom::fill)?;
    let listening = Listening { address: socket.local(), counters };
    let (news_out, news) = mpsc::unbounded_channel();
    let listener = Listener {
        socket,
        config,
        uplink,
        clock,
        jar,
        links: BTreeMap::new(),
        attempts: BTreeMap::new(),
        hosts: BTreeMap::new(),
        block: Block::default(),
        news_out,
    };
    tokio::spawn(async move {
        listener.run(news).await;
        drop(guard);
    });
    Ok(listening)
}

fn age(clock: Clock) -> Duration {
    clock.now().since(Moment::ORIGIN)
}

/// What the bound for each host counts: an address, or for IPv6 the network that is given to one customer at least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Host(u64, bool);

impl Host {
    fn of(address: SocketAddr) -> Self {
        match address.ip() {
            IpAddr::V4(ip) => Self(ip.to_bits().into(), false),
            IpAddr::V6(ip) => Self((ip.to_bits() >> 64) as u64, true),
        }
    }
}

/// A link, from the moment the address is shown.
struct Entry {
    way: Way,
    nonce: Nonce,
    max_frame: usize,
    /// `None` while the driver has not answered.
    incoming: Option<Incoming>,
    /// Since when nothing has come; before the first frame, since when there is the link.
    quiet_since: Instant,
    spoken: bool,
}

/// What the tasks of links tell the listener. At most two for each link.
enum News {
    Opened(Connection, Result<(Incoming, Outgoing), Refused>),
    /// The driver gives nothing more to send.
    Ended(Connection),
}

struct Listener {
    socket: Arc<Socket>,
    config: UdpConfig,
    uplink: Uplink,
    clock: Clock,
    jar: Jar,
    links: BTreeMap<Connection, Entry>,
    /// The link that an opening has made, so that one that comes twice makes no second.
    attempts: BTreeMap<(SocketAddr, Nonce), Connection>,
    hosts: BTreeMap<Host, usize>,
    block: Block,
    news_out: mpsc::UnboundedSender<News>,
}

impl Listener {
    async fn run(mut self, mut news: mpsc::UnboundedReceiver<News>) {
        let uplink = self.uplink.clone();
        let socket = self.socket.clone();
        let mut received = socket.buffers(self.longest());
        let tick =
            (self.config.idle.min(self.config.first) / 4).clamp(Duration::from_millis(20), Duration::from_secs(1));
        let mut next_tick = Instant::now() + tick;
        loop {
            tokio::select! {
                biased;
                () = uplink.over() => break,
                Some(news) = news.recv() => self.hear(news),
                taken = socket.receive(&mut received) => match taken {
                    Ok(()) => {
                        self.take(&received);
                        // What was taken is handled, and sent, before there is more of it.
                        tokio::task::yield_now().await;
                    }
                    Err(_) => {
                        socket.counters.count(|c| &c.receive_errors);
                        sleep(ERROR_PAUSE).await;
                    }
                },
                () = sleep_until(next_tick) => {}
            }
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + tick;
                self.sweep(now);
            }
        }
        self.finish().await;
    }

    /// In a shutdown what is queued still goes out; then the peers are told.
    async fn finish(self) {
        for (connection, entry) in &self.links {
            let Some(incoming) = &entry.incoming else { continue };
            incoming.flushed().await;
            self.socket.send(entry.way, &Packet::Goodbye(*connection).bytes()).await;
        }
    }

    fn longest(&self) -> usize {
        (self.config.max_frame() + FRAME_HEADER).max(LONGEST_BARE)
    }

    fn take(&mut self, received: &Received) {
        let now = Instant::now();
        for datagram in received.datagrams() {
            self.socket.counters.count(|c| &c.datagrams_in);
            self.socket.counters.add(|c| &c.bytes_in, datagram.bytes.len());
            self.datagram(now, datagram);
        }
    }

    fn datagram(&mut self, now: Instant, Datagram { way, bytes }: Datagram<'_>) {
        if bytes.len() > self.longest() {
            return self.socket.counters.count(|c| &c.oversize);
        }
        match Packet::parse(bytes) {
            Some(Packet::Hello(nonce)) => self.hello(way, nonce),
            Some(Packet::Open(nonce, cookie, max_frame)) => self.open(now, way, nonce, &cookie, max_frame),
            Some(Packet::Frame(connection, frame)) => self.frame(now, way, connection, frame),
            Some(Packet::Ask(connection)) => {
                if let Some(entry) = self.link(now, way, connection)
                    && entry.incoming.is_some()
                {
                    self.socket.try_send(way, &Packet::Here(connection).bytes());
                }
            }
            Some(Packet::Goodbye(connection)) => {
                if self.link(now, way, connection).is_some() {
                    self.remove(connection, CloseReason::Peer);
                }
            }
            // For those who connect, and for channels.
            Some(
                Packet::Cookie(..) | Packet::Accepted(..) | Packet::Here(_) | Packet::Shared(_) | Packet::Probe(_),
            )
            | None => self.socket.counters.count(|c| &c.malformed),
        }
    }

    /// The link of this name, if it leads to where this came from.
    fn link(&mut self, now: Instant, way: Way, connection: Connection) -> Option<&mut Entry> {
        let entry = self.links.get_mut(&connection).filter(|entry| entry.way.to == way.to);
        match entry {
            Some(entry) => {
                if entry.spoken {
                    entry.quiet_since = now;
                }
                Some(entry)
            }
            None => {
                self.socket.counters.count(|c| &c.strayed);
                None
            }
        }
    }

    fn turn_jar(&mut self) -> Duration {
        let age = age(self.clock);
        if self.jar.turn(age).is_err() {
            self.socket.counters.count(|c| &c.entropy_failures);
        }
        age
    }

    fn hello(&mut self, way: Way, nonce: Nonce) {
        let age = self.turn_jar();
        if let Some(cookie) = self.jar.issue(age, way.to, nonce) {
            self.socket.counters.count(|c| &c.cookies_issued);
            self.socket.try_send(way, &Packet::Cookie(nonce, cookie).bytes());
        }
    }

    fn open(&mut self, now: Instant, way: Way, nonce: Nonce, cookie: &Cookie, max_frame: u32) {
        let age = self.turn_jar();
        let counters = &self.socket.counters;
        match self.jar.check(age, way.to, nonce, cookie) {
            Err(BadCookie::Expired) => return counters.count(|c| &c.cookies_expired),
            Err(BadCookie::Forged) => return counters.count(|c| &c.cookies_forged),
            Ok(()) => {}
        }
        if let Some(connection) = self.attempts.get(&(way.to, nonce)).copied() {
            // Our answer was lost, or is on its way.
            return self.accept(connection);
        }
        let Some(max_frame) = self.config.agreed(max_frame) else { return counters.count(|c| &c.malformed) };
        let host = Host::of(way.to);
        let of_host = self.hosts.get(&host).copied().unwrap_or(0);
        if self.links.len() >= self.config.max_links || of_host >= self.config.per_host {
            return counters.count(|c| &c.crowded);
        }
        let Ok(connection) = getrandom::u64().map(Connection) else {
            return counters.count(|c| &c.entropy_failures);
        };
        if self.links.contains_key(&connection) {
            return;
        }
        let Some(guard) = self.uplink.guard() else { return };
        let entry = Entry { way, nonce, max_frame, incoming: None, quiet_since: now, spoken: false };
        self.links.insert(connection, entry);
        self.attempts.insert((way.to, nonce), connection);
        self.hosts.insert(host, of_host + 1);
        let (uplink, news) = (self.uplink.clone(), self.news_out.clone());
        tokio::spawn(async move {
            let opened = uplink.open(info(max_frame, None), &format!("udp from {}", way.to)).await;
            // The listener may be gone: then the halves go too, and the link closes.
            let _ = news.send(News::Opened(connection, opened));
            drop(guard);
        });
    }

    fn accept(&self, connection: Connection) {
        if let Some(entry) = self.links.get(&connection)
            && entry.incoming.is_some()
        {
            let accepted = Packet::Accepted(entry.nonce, connection, self.config.announced());
            self.socket.try_send(entry.way, &accepted.bytes());
        }
    }

    fn frame(&mut self, now: Instant, way: Way, connection: Connection, bytes: &[u8]) {
        if self.link(now, way, connection).is_none() {
            return;
        }
        let Some(entry) = self.links.get_mut(&connection) else { return };
        let too_long = bytes.len() > entry.max_frame;
        let Some(incoming) = entry.incoming.as_mut().filter(|_| !too_long) else {
            return self.socket.counters.count(|c| if too_long { &c.oversize } else { &c.strayed });
        };
        (entry.spoken, entry.quiet_since) = (true, now);
        incoming.received(one(FRAME_HEADER + bytes.len()));
        // What is over is removed when its writer tells.
        if incoming.offer(self.block.frame(bytes)) == Ok(false) {
            self.socket.counters.count(|c| &c.frames_dropped);
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Opened(connection, Ok((incoming, mut outgoing))) => {
                // It may have said goodbye while the driver was busy.
                let Some(entry) = self.links.get_mut(&connection) else { return };
                entry.incoming = Some(incoming);
                entry.quiet_since = Instant::now();
                let (way, socket, news) = (entry.way, self.socket.clone(), self.news_out.clone());
                self.socket.counters.count(|c| &c.links);
                self.accept(connection);
                tokio::spawn(async move {
                    write(&mut outgoing, &socket, way, Wrap::Link(connection), None).await;
                    // In a shutdown the listener waits for this half to be dropped.
                    drop(outgoing);
                    let _ = news.send(News::Ended(connection));
                });
            }
            News::Opened(connection, Err(_)) => {
                self.socket.counters.count(|c| &c.crowded);
                self.forget(connection);
            }
            News::Ended(connection) => {
                if let Some(entry) = self.forget(connection) {
                    self.socket.try_send(entry.way, &Packet::Goodbye(connection).bytes());
                }
            }
        }
    }

    /// Closes the links that have been quiet for too long.
    fn sweep(&mut self, now: Instant) {
        let UdpConfig { idle, first, .. } = self.config;
        let quiet = |entry: &Entry| {
            let limit = if entry.spoken { idle } else { first };
            entry.incoming.is_some() && now.saturating_duration_since(entry.quiet_since) > limit
        };
        let over: Vec<(Connection, Way)> =
            self.links.iter().filter(|(_, entry)| quiet(entry)).map(|(name, entry)| (*name, entry.way)).collect();
        for (connection, way) in over {
            self.remove(connection, CloseReason::Idle);
            self.socket.try_send(way, &Packet::Goodbye(connection).bytes());
        }
    }

    fn remove(&mut self, connection: Connection, why: CloseReason) {
        if let Some(incoming) = self.forget(connection).and_then(|entry| entry.incoming) {
            incoming.close(why);
        }
    }

    fn forget(&mut self, connection: Connection) -> Option<Entry> {
        let entry = self.links.remove(&connection)?;
        self.attempts.remove(&(entry.way.to, entry.nonce));
        let host = Host::of(entry.way.to);
        if let Some(count) = self.hosts.get_mut(&host) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
        Some(entry)
    }
}
