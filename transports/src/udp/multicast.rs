//! A multicast channel: one link more, with `LinkInfo::shared`, for those who take part in a group (RA §4.3, §5).
//!
//! In the mode *mixed* the leader alone sends to the channel and members listen; in the mode *symmetric* all do both. The
//! endpoint decides; [`MulticastConfig::listen`] only spares a leader of the first kind the reading. Several programs on one
//! host may be on one channel.
//!
//! **Nothing here is the only way** (R47). Whether what a leader says arrives shows at the endpoint, which tells it by
//! `MulticastSilent` and `MulticastHeard` and goes on over the links to one peer. For the words beside it [`Channel::report`]
//! says what was tried and what came, and [`Channel::probe`] sends a datagram to the group and sees whether it comes back:
//! if it does, socket, interface and group work on this host, and what is missing is lost on the way.
//!
//! Anybody on the way may send to a group, under any address. Frames of a channel prove no address (`proven: false`).

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sodality::endpoint::{Link, LinkInfo};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::link::{Block, Wrap, one, write};
use super::listener::ERROR_PAUSE;
use super::packet::{LONGEST_BARE, Nonce, Packet, SHARED_HEADER};
use super::socket::{Datagram, Received, Socket, Way, enlarge};
use super::stats::{Counters, UdpStats};
use super::{LEAST_FRAME, LONGEST_FRAME, SAFE_FRAME, UdpError};
use crate::report::Notice;
use crate::transport::{Guard, Incoming, Outgoing, Uplink};

/// Which of this host's interfaces a channel uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Interface {
    /// The one that the system chooses.
    #[default]
    Any,
    /// (IPv4) That with this address.
    Address(Ipv4Addr),
    /// (IPv6) That with this number.
    Index(u32),
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("chosen by the system"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Index(index) => write!(f, "number {index}"),
        }
    }
}

/// How a channel is made. Who is on one channel must agree on `group`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MulticastConfig {
    /// The address and the port of the group. Port 0 lets the system choose one, to be told to the others
    /// ([`Channel::group`]); it needs `listen`.
    pub group: SocketAddr,
    /// The interface.
    pub interface: Interface,
    /// How many networks a datagram crosses (TTL, or hop limit): 1 stays in the own one, 0 on this host.
    pub ttl: u8,
    /// Whether what is sent also comes to programs on this host.
    pub loopback: bool,
    /// Whether this end listens. Without it, it only sends.
    pub listen: bool,
    /// Longest frame, in bytes. A leader uses no channel that carries less than its policy's frames.
    pub max_frame: usize,
    /// Buffers of the sockets, in bytes each, as far as the system gives them.
    pub buffer: usize,
    /// Whether many datagrams are given to and taken from the system in one call, where it can.
    pub offload: bool,
}

impl MulticastConfig {
    /// A channel in the own network, on the interface that the system chooses, heard on this host too, with frames of
    /// 1,200 bytes.
    pub fn new(group: SocketAddr) -> Self {
        Self {
            group,
            interface: Interface::Any,
            ttl: 1,
            loopback: true,
            listen: true,
            max_frame: SAFE_FRAME,
            buffer: 1 << 20,
            offload: true,
        }
    }

    fn max_frame(&self) -> usize {
        self.max_frame.clamp(LEAST_FRAME, LONGEST_FRAME)
    }

    fn check(&self) -> io::Result<()> {
        let matches = matches!(
            (self.group.ip(), self.interface),
            (_, Interface::Any) | (IpAddr::V4(_), Interface::Address(_)) | (IpAddr::V6(_), Interface::Index(_))
        );
        let why = if !self.group.ip().is_multicast() {
            "not an address of a group"
        } else if !matches {
            "an interface is named by its address for IPv4, by its number for IPv6"
        } else if self.group.port() == 0 && !self.listen {
            "who only sends must know the port"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, why))
    }

    /// A socket that hears the group, and nothing else where the system allows that.
    fn ear(&self) -> io::Result<socket2::Socket> {
        let socket = self.socket()?;
        socket.set_reuse_address(true)?;
        // The systems that come from BSD want this one too, so that several may hear one port.
        #[cfg(all(
            unix,
            not(any(target_os = "linux", target_os = "android", target_os = "solaris", target_os = "illumos"))
        ))]
        socket.set_reuse_port(true)?;
        let any = match self.group {
            SocketAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.group.port()),
            SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), self.group.port()),
        };
        // Bound to the group, a socket gets what is sent to the group alone. Windows binds to no group.
        if cfg!(windows) || socket.bind(&self.scoped(self.group).into()).is_err() {
            socket.bind(&any.into())?;
        }
        match (self.group.ip(), self.interface) {
            (IpAddr::V4(group), Interface::Address(interface)) => socket.join_multicast_v4(&group, &interface)?,
            (IpAddr::V4(group), _) => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?,
            (IpAddr::V6(group), Interface::Index(index)) => socket.join_multicast_v6(&group, index)?,
            (IpAddr::V6(group), _) => socket.join_multicast_v6(&group, 0)?,
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.group.is_ipv4() {
            // Only groups that this socket joined, not all that anybody on this host did.
            socket.set_multicast_all_v4(false)?;
        }
        Ok(socket)
    }

    /// A socket that speaks to the group. Its own port tells own datagrams from others.
    fn mouth(&self) -> io::Result<socket2::Socket> {
        let socket = self.socket()?;
        match (self.group.ip(), self.interface) {
            (IpAddr::V4(_), interface) => {
                let from = if let Interface::Address(address) = interface { address } else { Ipv4Addr::UNSPECIFIED };
                socket.bind(&SocketAddr::new(from.into(), 0).into())?;
                socket.set_multicast_if_v4(&from)?;
                socket.set_multicast_ttl_v4(self.ttl.into())?;
                socket.set_multicast_loop_v4(self.loopback)?;
            }
            (IpAddr::V6(_), interface) => {
                socket.bind(&SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0).into())?;
                if let Interface::Index(index) = interface {
                    socket.set_multicast_if_v6(index)?;
                }
                socket.set_multicast_hops_v6(self.ttl.into())?;
                socket.set_multicast_loop_v6(self.loopback)?;
            }
        }
        Ok(socket)
    }

    /// Where datagrams of a socket come from that is bound to `bound`: if that is to no address, the system chooses one, and
    /// tells which for a socket that is connected.
    fn source(&self, bound: SocketAddr) -> SocketAddr {
        if !bound.ip().is_unspecified() {
            return bound;
        }
        let chosen = self.mouth().and_then(|socket| {
            socket.connect(&self.scoped(self.group).into())?;
            socket.local_addr()
        });
        let chosen = chosen.ok().and_then(|address| address.as_socket());
        SocketAddr::new(chosen.map_or(bound.ip(), |address| address.ip()), bound.port())
    }

    fn socket(&self) -> io::Result<socket2::Socket> {
        let domain = socket2::Domain::for_address(self.group);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
        if self.group.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        enlarge(&socket, self.buffer);
        Ok(socket)
    }

    /// Groups of IPv6 that do not leave a network mean nothing without the number of an interface.
    fn scoped(&self, address: SocketAddr) -> SocketAddr {
        match (address, self.interface) {
            (SocketAddr::V6(address), Interface::Index(index)) => {
                SocketAddrV6::new(*address.ip(), address.port(), address.flowinfo(), index).into()
            }
            (address, _) => address,
        }
    }
}

/// What one end of a channel knows of it.
struct Shared {
    config: MulticastConfig,
    link: Link,
    /// What the group's frames come from here, to tell own datagrams that come back.
    own: SocketAddr,
    mouth: Arc<Socket>,
    counters: Arc<Counters>,
    uplink: Uplink,
    heard: Mutex<Heard>,
    probed: Notify,
}

#[derive(Default)]
struct Heard {
    last: Option<Instant>,
    /// The probes that came back last.
    probes: VecDeque<Nonce>,
}

/// How many probes that came back are remembered: a probe of somebody else's must not push out one's own.
const PROBES: usize = 8;

/// A channel at work. It ends with its driver; dropping this changes nothing.
#[derive(Clone)]
pub struct Channel(Arc<Shared>);

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Channel").field(&self.0.link).field(&self.0.config).finish()
    }
}

/// What was tried to hear a group, and what came of it (R47).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MulticastReport {
    /// The link, as in `MulticastSilent`.
    pub link: Link,
    /// How the channel was made.
    pub config: MulticastConfig,
    /// Counters of its sockets.
    pub stats: UdpStats,
    /// How long ago the last frame of somebody else came.
    pub last_heard: Option<Duration>,
}

impl fmt::Display for MulticastReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, stats, .. } = self;
        let limit = if config.group.is_ipv4() { "TTL" } else { "hop limit" };
        let loopback = if config.loopback { "on" } else { "off" };
        write!(
            f,
            "multicast to {}, interface {}, {limit} {}, loopback {loopback}: {} datagrams sent, {} failed; ",
            config.group, config.interface, config.ttl, stats.datagrams_out, stats.send_errors
        )?;
        if !config.listen {
            return f.write_str("not listening");
        }
        write!(f, "{} came, {} of them own; ", stats.datagrams_in, stats.echoes)?;
        match self.last_heard {
            Some(ago) => write!(f, "the last of another {:.1} s ago", ago.as_secs_f64()),
            None => f.write_str("none of another ever"),
        }
    }
}

/// What came of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probed {
    /// It came back: socket, interface and group work on this host. Where frames are missing they are lost on the way.
    Back,
    /// It did not come back in time: the system does not give out what this host sends to the group.
    Lost,
    /// This end does not listen, or hears nothing of its own by configuration: nothing can come back.
    CannotTell,
}

/// Opens a channel.
///
/// # Errors
/// [`UdpError`].
pub async fn join(uplink: Uplink, config: MulticastConfig) -> Result<Channel, UdpError> {
    let guard = uplink.guard().ok_or(UdpError::Gone)?;
    config.check()?;
    let counters = Arc::<Counters>::default();
    let ear = match config.listen {
        true => Some(Socket::new(config.ear()?, config.offload, counters.clone())?),
        false => None,
    };
    let port = ear.as_ref().map_or(config.group.port(), |ear| ear.local().port());
    let config = MulticastConfig { group: SocketAddr::new(config.group.ip(), port), ..config };
    let mouth = Arc::new(Socket::new(config.mouth()?, config.offload, counters.clone())?);
    let info = LinkInfo { max_frame: config.max_frame(), reliable: false, proven: false, shared: true, answers: None };
    let origin = format!("multicast to {}, interface {}", config.group, config.interface);
    let (incoming, outgoing) = uplink.open(info, &origin).await.map_err(|_| UdpError::Gone)?;
    let shared = Arc::new(Shared {
        config,
        link: incoming.link(),
        own: config.source(mouth.local()),
        mouth,
        counters,
        uplink,
        heard: Mutex::default(),
        probed: Notify::new(),
    });
    tokio::spawn(run(shared.clone(), ear, incoming, outgoing, guard));
    Ok(Channel(shared))
}

impl Channel {
    /// The link's number, as in `MulticastSilent` and `MulticastHeard`.
    pub fn link(&self) -> Link {
        self.0.link
    }

    /// The group, with the port that was bound.
    pub fn group(&self) -> SocketAddr {
        self.0.config.group
    }

    /// What happened at the sockets so far.
    pub fn stats(&self) -> UdpStats {
        self.0.counters.snapshot()
    }

    /// What was tried and what came.
    pub fn report(&self) -> MulticastReport {
        let last = self.0.heard.lock().unwrap_or_else(PoisonError::into_inner).last;
        MulticastReport {
            link: self.0.link,
            config: self.0.config,
            stats: self.stats(),
            last_heard: last.map(|last| last.elapsed()),
        }
    }

    /// Tells the driver's observer what was tried and what came: for the moment at which the endpoint says
    /// `MulticastSilent`.
    pub fn tell(&self) {
        self.0.uplink.notice(&Notice::Multicast { link: self.0.link, report: self.report().to_string().into() });
    }

    /// Sends a datagram to the group and waits for it to come back, at most so long.
    ///
    /// # Errors
    /// [`UdpError::Random`].
    pub async fn probe(&self, limit: Duration) -> Result<Probed, UdpError> {
        let MulticastConfig { listen, loopback, .. } = self.0.config;
        if !listen || !loopback {
            return Ok(Probed::CannotTell);
        }
        let nonce = Nonce(getrandom::u64()?);
        self.0.mouth.send(self.0.way(), &Packet::Probe(nonce).bytes()).await;
        let back = async {
            loop {
                let probed = self.0.probed.notified();
                tokio::pin!(probed);
                // Before the look, so that none is missed between the two.
                probed.as_mut().enable();
                let heard = self.0.heard.lock().unwrap_or_else(PoisonError::into_inner).probes.contains(&nonce);
                if heard {
                    return;
                }
                probed.await;
            }
        };
        Ok(if timeout(limit, back).await.is_ok() { Probed::Back } else { Probed::Lost })
    }
}

impl Shared {
    fn way(&self) -> Way {
        Way::to(self.config.scoped(self.config.group))
    }

    /// Whether a datagram from there is one of one's own that has come back.
    fn is_own(&self, from: SocketAddr) -> bool {
        from.ip() == self.own.ip() && from.port() == self.own.port()
    }

    /// Takes frames in until nothing more is taken.
    async fn listen(&self, ear: &Socket, incoming: &mut Incoming) {
        let longest = (self.config.max_frame() + SHARED_HEADER).max(LONGEST_BARE);
        let (mut received, mut block) = (ear.buffers(longest), Block::default());
        loop {
            let taken = tokio::select! {
                biased;
                () = incoming.over() => return,
                taken = ear.receive(&mut received) => taken,
            };
            if taken.is_err() {
                self.counters.count(|c| &c.receive_errors);
                sleep(ERROR_PAUSE).await;
            } else if !self.take(&received, longest, &mut block, incoming) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// `false` once nothing more is taken in.
    fn take(&self, received: &Received, longest: usize, block: &mut Block, incoming: &mut Incoming) -> bool {
        for Datagram { way, bytes } in received.datagrams() {
            self.counters.count(|c| &c.datagrams_in);
            self.counters.add(|c| &c.bytes_in, bytes.len());
            let own = self.is_own(way.to);
            if own {
                self.counters.count(|c| &c.echoes);
            }
            if bytes.len() > longest {
                self.counters.count(|c| &c.oversize);
                continue;
            }
            match Packet::parse(bytes) {
                Some(Packet::Shared(_)) if own => {}
                Some(Packet::Shared(frame)) => {
                    self.heard.lock().unwrap_or_else(PoisonError::into_inner).last = Some(Instant::now());
                    incoming.received(one(bytes.len()));
                    match incoming.offer(block.frame(frame)) {
                        Ok(true) => {}
                        Ok(false) => self.counters.count(|c| &c.frames_dropped),
                        Err(_) => return false,
                    }
                }
                Some(Packet::Probe(nonce)) => {
                    let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
                    if heard.probes.len() >= PROBES {
                        heard.probes.pop_front();
                    }
                    heard.probes.push_back(nonce);
                    drop(heard);
                    self.probed.notify_waiters();
                }
                _ => self.counters.count(|c| &c.malformed),
            }
        }
        true
    }
}

async fn run(shared: Arc<Shared>, ear: Option<Socket>, mut incoming: Incoming, mut outgoing: Outgoing, guard: Guard) {
    let way = shared.way();
    let listen = async {
        if let Some(ear) = &ear {
            shared.listen(ear, &mut incoming).await;
        }
        // The writer ends it.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = write(&mut outgoing, &shared.mouth, way, Wrap::Shared, None) => {}
        () = listen => {}
    }
    drop(outgoing);
    drop(incoming);
    drop(ear);
    drop(guard);
}
