//! The connecting end: a cookie fetched and brought back, then a link that notices when its peer is out of reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sodality::endpoint::LinkTicket;
use sodality::event::Peer;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::UdpConfig;
use super::cookie::Cookie;
use super::link::{Block, Wrap, info, one, write};
use super::listener::ERROR_PAUSE;
use super::packet::{Connection, FRAME_HEADER, LONGEST_BARE, Nonce, Packet};
use super::socket::{Datagram, Received, Socket, Way};
use super::stats::{Counters, UdpStats};
use crate::redial::{Dial, Redial};
use crate::transport::{CloseReason, Connector, Guard, Incoming, Outgoing, Refused, Uplink, Wish};

/// After so many openings without an answer the cookie may be too old: a new one is asked for.
const OPENINGS: u32 = 3;

/// The longest pause between two datagrams of an attempt.
const LONGEST_RETRY: Duration = Duration::from_secs(1);

type Resolver = Arc<dyn Fn(&Peer, &[u8]) -> Option<SocketAddr> + Send + Sync>;

/// Reaches peers over UDP. Each link has a socket of its own.
pub struct UdpConnector {
    redial: Redial<UdpDial>,
    counters: Arc<Counters>,
}

impl std::fmt::Debug for UdpConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpConnector").field("stats", &self.counters.snapshot()).finish_non_exhaustive()
    }
}

/// Reads the counters of a connector that a driver has.
#[derive(Clone, Debug)]
pub struct StatsReader(Arc<Counters>);

impl StatsReader {
    /// What happened at the sockets so far.
    pub fn stats(&self) -> UdpStats {
        self.0.snapshot()
    }
}

impl UdpConnector {
    /// A connector that asks `resolver` for addresses, anew at each attempt. It takes a wish only if there is one.
    pub fn new(
        config: UdpConfig,
        resolver: impl Fn(&Peer, &[u8]) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        let counters = Arc::<Counters>::default();
        let dial = UdpDial { config, resolver: Arc::new(resolver), counters: counters.clone() };
        Self { redial: Redial::new(dial, config.backoff), counters }
    }

    /// Reads the counters after the driver has taken the connector.
    pub fn reader(&self) -> StatsReader {
        StatsReader(self.counters.clone())
    }
}

impl Connector for UdpConnector {
    fn connect(&mut self, wish: &Wish, uplink: &Uplink) -> bool {
        self.redial.connect(wish, uplink)
    }
}

struct UdpDial {
    config: UdpConfig,
    resolver: Resolver,
    counters: Arc<Counters>,
}

/// The address is shown to the peer, and the peer has named the link.
struct Reached {
    socket: Socket,
    received: Received,
    way: Way,
    connection: Connection,
    max_frame: usize,
}

impl Dial for UdpDial {
    type Connection = Reached;

    fn knows(&self, wish: &Wish) -> bool {
        (self.resolver)(&wish.peer, &wish.hint).is_some()
    }

    async fn dial(&self, wish: &Wish) -> Result<Reached, String> {
        let address = (self.resolver)(&wish.peer, &wish.hint).ok_or_else(|| "no address".to_owned())?;
        match timeout(self.config.connect, self.knock(address)).await {
            Err(_) => Err(format!("{address}: no answer in time")),
            Ok(Err(error)) => Err(format!("{address}: {error}")),
            Ok(Ok(reached)) => Ok(reached),
        }
    }

    async fn begin(&self, reached: Reached, ticket: LinkTicket, uplink: &Uplink) -> Result<(), Refused> {
        let Reached { socket, received, way, connection, max_frame } = reached;
        let guard = uplink.guard().ok_or(Refused::Gone)?;
        let opened = uplink.open(info(max_frame, Some(ticket)), &format!("udp to {}", way.to)).await;
        let (incoming, outgoing) = match opened {
            Ok(halves) => halves,
            Err(refused) => {
                socket.try_send(way, &Packet::Goodbye(connection).bytes());
                return Err(refused);
            }
        };
        self.counters.count(|c| &c.links);
        let link = Link { socket, way, connection, max_frame, config: self.config, pulse: Pulse::new() };
        tokio::spawn(link.run(incoming, outgoing, received, guard));
        Ok(())
    }
}

impl UdpDial {
    /// Says hello, brings the cookie back, and waits to be accepted. Repeats itself until then.
    async fn knock(&self, to: SocketAddr) -> Result<Reached, String> {
        let any = match to {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let config = &self.config;
        let socket = Socket::bind(SocketAddr::new(any, 0), config.buffer, config.offload, self.counters.clone())
            .map_err(|error| error.to_string())?;
        let nonce = Nonce(getrandom::u64().map_err(|error| format!("the random source failed: {error}"))?);
        let way = Way::to(to);
        let longest = (config.max_frame() + FRAME_HEADER).max(LONGEST_BARE);
        let mut received = socket.buffers(longest);
        let mut cookie: Option<(Cookie, u32)> = None;
        let mut pause = config.retry.max(Duration::from_millis(1));
        loop {
            let packet = match &mut cookie {
                Some((cookie, openings)) if *openings < OPENINGS => {
                    *openings += 1;
                    Packet::Open(nonce, *cookie, config.announced())
                }
                _ => {
                    cookie = None;
                    Packet::Hello(nonce)
                }
            };
            socket.send(way, &packet.bytes()).await;
            let until = Instant::now() + pause;
            // Until there is news, or it is time to say it again.
            let news = loop {
                match timeout_at(until, socket.receive(&mut received)).await {
                    Err(_) => break None,
                    Ok(Err(_)) => {
                        self.counters.count(|c| &c.receive_errors);
                        sleep(ERROR_PAUSE).await;
                    }
                    Ok(Ok(())) => {
                        if let Some(news) = self.news(&received, to, nonce, cookie.is_none()) {
                            break Some(news);
                        }
                    }
                }
            };
            match news {
                Some(News::Cookie(fresh)) => {
                    cookie = Some((fresh, 0));
                    pause = config.retry.max(Duration::from_millis(1));
                }
                Some(News::Accepted(connection, theirs)) => {
                    let max_frame = config.agreed(theirs).ok_or_else(|| "takes only very short frames".to_owned())?;
                    return Ok(Reached { socket, received, way, connection, max_frame });
                }
                None => pause = (pause * 2).min(LONGEST_RETRY.max(config.retry)),
            }
        }
    }

    /// The first answer to this attempt among what came.
    fn news(&self, received: &Received, to: SocketAddr, expected: Nonce, wants_cookie: bool) -> Option<News> {
        let mut news = None;
        for Datagram { way, bytes } in received.datagrams() {
            self.counters.count(|c| &c.datagrams_in);
            self.counters.add(|c| &c.bytes_in, bytes.len());
            match Packet::parse(bytes).filter(|_| way.to == to) {
                Some(Packet::Accepted(nonce, connection, theirs)) if nonce == expected => {
                    news = Some(News::Accepted(connection, theirs));
                }
                Some(Packet::Cookie(nonce, cookie)) if nonce == expected => {
                    // The second cookie, for a hello that was repeated, is as good as the first.
                    if wants_cookie && news.is_none() {
                        news = Some(News::Cookie(cookie));
                    }
                }
                _ => self.counters.count(|c| &c.strayed),
            }
        }
        news
    }
}

enum News {
    Cookie(Cookie),
    Accepted(Connection, u32),
}

/// When a link was heard and when it has sent.
struct Pulse {
    times: Mutex<Times>,
    sent: Notify,
}

#[derive(Clone, Copy)]
struct Times {
    heard: Instant,
    sent: Instant,
    /// A frame waits to be taken in: that nothing is heard meanwhile is not the peer's fault.
    full: bool,
}

impl Pulse {
    fn new() -> Self {
        let now = Instant::now();
        Self { times: Mutex::new(Times { heard: now, sent: now, full: false }), sent: Notify::new() }
    }

    fn change(&self, change: impl FnOnce(&mut Times)) -> Times {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut times);
        *times
    }
}

struct Link {
    socket: Socket,
    way: Way,
    connection: Connection,
    max_frame: usize,
    config: UdpConfig,
    pulse: Pulse,
}

impl Link {
    /// Both directions and the pulse in one task, until one of them ends the link.
    async fn run(self, mut incoming: Incoming, mut outgoing: Outgoing, received: Received, guard: Guard) {
        let counters = self.socket.counters.clone();
        let wrap = Wrap::Link(self.connection);
        let write = write(&mut outgoing, &self.socket, self.way, wrap, Some(&self.pulse.sent));
        let ending = tokio::select! {
            // What was asked to go out goes out, also while nothing more is taken in.
            () = write => None,
            why = async {
                let why = tokio::select! {
                    why = self.read(&mut incoming, received, &counters) => why,
                    why = self.watch() => Some(why),
                };
                match why {
                    Some(why) => why,
                    // The writer ends it.
                    None => std::future::pending().await,
                }
            } => Some(why),
        };
        if ending != Some(CloseReason::Peer) {
            // The peer would find out by itself, later.
            self.socket.try_send(self.way, &Packet::Goodbye(self.connection).bytes());
        }
        if let Some(why) = ending {
            incoming.close(why);
        } else {
            drop(outgoing);
            drop(incoming);
        }
        drop(self.socket);
        drop(guard);
    }

    /// Takes frames in until there is a reason to end the link, or nothing more is taken in (`None`).
    async fn read(&self, incoming: &mut Incoming, mut received: Received, counters: &Counters) -> Option<CloseReason> {
        let mut block = Block::default();
        loop {
            // Also what came together with the acceptance, at first.
            for Datagram { way, bytes } in received.datagrams() {
                match Packet::parse(bytes).filter(|_| way.to == self.way.to) {
                    Some(Packet::Frame(connection, frame)) if connection == self.connection => {
                        if frame.len() > self.max_frame {
                            counters.count(|c| &c.oversize);
                            continue;
                        }
                        incoming.received(one(bytes.len()));
                        self.pulse.change(|times| times.full = true);
                        incoming.feed(block.frame(frame)).await.ok()?;
                        self.pulse.change(|times| (times.full, times.heard) = (false, Instant::now()));
                    }
                    Some(Packet::Here(connection)) if connection == self.connection => {
                        self.pulse.change(|times| times.heard = Instant::now());
                    }
                    Some(Packet::Goodbye(connection)) if connection == self.connection => {
                        return Some(CloseReason::Peer);
                    }
                    // The attempt's last answers may come twice.
                    Some(Packet::Cookie(..) | Packet::Accepted(..)) => {}
                    Some(_) => counters.count(|c| &c.strayed),
                    None if way.to == self.way.to => counters.count(|c| &c.malformed),
                    None => counters.count(|c| &c.strayed),
                }
            }
            let taken = tokio::select! {
                biased;
                () = incoming.over() => return None,
                taken = self.socket.receive(&mut received) => taken,
            };
            match taken {
                Ok(()) => {
                    for datagram in received.datagrams() {
                        counters.count(|c| &c.datagrams_in);
                        counters.add(|c| &c.bytes_in, datagram.bytes.len());
                    }
                }
                Err(_) => {
                    counters.count(|c| &c.receive_errors);
                    sleep(ERROR_PAUSE).await;
                }
            }
        }
    }

    /// Asks now and then whether the link is there. Returns once nothing has come for too long.
    async fn watch(&self) -> CloseReason {
        let UdpConfig { keep_alive, silence, .. } = self.config;
        let keep_alive = keep_alive.max(Duration::from_millis(1));
        let mut asked = Instant::now();
        loop {
            let now = Instant::now();
            let times = self.pulse.change(|times| {
                if times.full {
                    times.heard = now;
                }
            });
            if now.saturating_duration_since(times.heard) >= silence {
                return CloseReason::Idle;
            }
            let due = times.heard.min(times.sent).max(asked) + keep_alive;
            if now >= due {
                asked = now;
                self.socket.try_send(self.way, &Packet::Ask(self.connection).bytes());
                continue;
            }
            tokio::select! {
                () = sleep_until(due.min(times.heard + silence)) => {}
                () = self.pulse.sent.notified() => {
                    self.pulse.change(|times| times.sent = Instant::now());
                }
            }
        }
    }
}
