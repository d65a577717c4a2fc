//! Bare UDP, and receivers of either kind, which speak the adapter's datagrams by hand where the sender is one.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::net::{SendAncillaryBuffer, SendFlags, SocketAddrAny};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use super::{ACK_EVERY, WINDOW};
use crate::FRAME;

/// Asked for; the system may give less.
const BUFFER: usize = 4 << 20;
/// Most frames in one train, and most messages in one `sendmmsg`.
const TRAIN: usize = 60;
const MESSAGES: usize = 64;

fn open() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A socket, and what makes one call do for many datagrams.
struct Many {
    io: UdpSocket,
    state: UdpSocketState,
}

impl Many {
    fn new(socket: Socket) -> io::Result<Self> {
        let io = UdpSocket::from_std(socket.into())?;
        let state = UdpSocketState::new((&io).into())?;
        Ok(Self { io, state })
    }

    fn bound() -> io::Result<Self> {
        let socket = open()?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        Self::new(socket)
    }

    /// Waits for datagrams, and hands each sender, length and stride to `each`.
    async fn receive(&self, buffer: &Mutex<Vec<u8>>, each: impl FnMut(&RecvMeta)) {
        let mut each = each;
        loop {
            self.io.readable().await.unwrap();
            let mut metas = [RecvMeta::default(); SLOTS];
            let taken = self.io.try_io(Interest::READABLE, || {
                let mut buffer = buffer.lock().unwrap();
                let mut slots = buffer.chunks_mut(SLOT).map(IoSliceMut::new);
                let mut slots: [IoSliceMut<'_>; SLOTS] = std::array::from_fn(|_| slots.next().unwrap());
                self.state.recv((&self.io).into(), &mut slots, &mut metas)
            });
            match taken {
                Ok(count) => return metas[..count].iter().for_each(&mut each),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Room for a train.
const SLOT: usize = 64 << 10;
const SLOTS: usize = 4;

fn buffer() -> Mutex<Vec<u8>> {
    Mutex::new(vec![0; SLOT * SLOTS])
}

/// How one sends who writes it by hand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    /// Each frame to many receivers in one call.
    Messages,
    /// Many frames to one receiver in one call, which the system cuts apart.
    Trains,
}

pub(crate) struct Bare {
    socket: Many,
    calls: Calls,
    buffer: Mutex<Vec<u8>>,
    peers: Vec<SocketAddr>,
    /// Frames that each has acknowledged.
    seen: BTreeMap<SocketAddr, usize>,
}

impl Bare {
    pub(crate) fn new(calls: Calls) -> Option<Self> {
        let socket = Many::bound().ok()?;
        Some(Self { socket, calls, buffer: buffer(), peers: Vec::new(), seen: BTreeMap::new() })
    }

    pub(crate) fn address(&self) -> String {
        self.socket.io.local_addr().unwrap().to_string()
    }

    /// Each says something first.
    pub(crate) async fn ready(&mut self, count: usize) {
        while self.seen.len() < count {
            let (mut byte, seen) = ([0], &mut self.seen);
            let (_, from) = self.socket.io.recv_from(&mut byte).await.unwrap();
            seen.insert(from, 0);
        }
        self.peers = self.seen.keys().copied().collect();
    }

    async fn acknowledged(&mut self) {
        let seen = &mut self.seen;
        let add = |meta: &RecvMeta| {
            if let Some(seen) = seen.get_mut(&meta.addr) {
                *seen += ACK_EVERY * meta.len.div_ceil(meta.stride.max(1));
            }
        };
        self.socket.receive(&self.buffer, add).await;
    }

    pub(crate) async fn send(&mut self, frames: usize) {
        let (frames, mut sent) = (frames / ACK_EVERY * ACK_EVERY, 0);
        let train = vec![0xA5; FRAME * TRAIN];
        loop {
            let slowest = self.seen.values().min().copied().unwrap_or(0);
            let room = (slowest + WINDOW).saturating_sub(sent).min(frames - sent);
            if room == 0 {
                // What is lost is never acknowledged.
                let heard = timeout(Duration::from_secs(5), self.acknowledged()).await;
                if slowest >= frames || heard.is_err() {
                    return;
                }
                continue;
            }
            match self.calls {
                Calls::Trains => {
                    let count = room.min(TRAIN);
                    for peer in &self.peers {
                        self.train(*peer, &train[..count * FRAME]).await;
                    }
                    sent += count;
                }
                Calls::Messages => {
                    for peers in self.peers.chunks(MESSAGES) {
                        self.messages(peers, &train[..FRAME]).await;
                    }
                    sent += 1;
                }
            }
        }
    }

    async fn train(&self, to: SocketAddr, contents: &[u8]) {
        let segment_size = Some(FRAME).filter(|each| contents.len() > *each);
        let transmit = Transmit { destination: to, ecn: None, contents, segment_size, src_ip: None };
        let Many { io, state } = &self.socket;
        while let Err(error) = io.try_io(Interest::WRITABLE, || state.try_send(io.into(), &transmit)) {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
            io.writable().await.unwrap();
        }
    }

    async fn messages(&self, to: &[SocketAddr], frame: &[u8]) {
        let to: Vec<SocketAddrAny> = to.iter().map(|to| (*to).into()).collect();
        let parts = [IoSlice::new(frame)];
        let (mut gone, io) = (0, &self.socket.io);
        while gone < to.len() {
            let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
                to[gone..].iter().map(|_| SendAncillaryBuffer::default()).collect();
            let mut messages: Vec<_> = to[gone..]
                .iter()
                .zip(&mut controls)
                .map(|(to, control)| rustix::net::MMsgHdr::new_with_addr(to, &parts, control))
                .collect();
            let sent = io.try_io(Interest::WRITABLE, || {
                rustix::net::sendmmsg(io, &mut messages, SendFlags::empty()).map_err(io::Error::from)
            });
            drop(messages);
            match sent {
                Ok(sent) => gone += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => io.writable().await.unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// What receivers speak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Bare,
    Link,
    /// Links, and frames over a channel.
    Channel,
}

/// The first bytes of the adapter's datagrams, as docs/transports.md has them.
const HELLO: u8 = 0xd1;
const COOKIE: u8 = 0xd2;
const OPEN: u8 = 0xd3;
const ACCEPTED: u8 = 0xd4;
const LINK_FRAME: u8 = 0xd5;

/// Has a link, and says what an acknowledgement is there.
async fn greet(io: &UdpSocket, nonce: u64) -> Vec<u8> {
    let nonce = nonce.to_be_bytes();
    let ask = async |bytes: &[u8], kind: u8| loop {
        io.send(bytes).await.unwrap();
        let mut answer = [0; 64];
        let length = timeout(Duration::from_millis(300), io.recv(&mut answer)).await;
        if let Ok(Ok(length)) = length
            && answer[0] == kind
            && answer[1..9] == nonce
        {
            return answer[9..length].to_vec();
        }
    };
    let cookie = ask(&[&[HELLO][..], &nonce, &[0; 31]].concat(), COOKIE).await;
    let longest = (FRAME as u32 + 200).to_be_bytes();
    let accepted = ask(&[&[OPEN][..], &nonce, &cookie, &longest].concat(), ACCEPTED).await;
    [&[LINK_FRAME][..], &accepted[..8], &[1]].concat()
}

/// A socket that hears the group, as the adapter has one.
fn ear(group: SocketAddr) -> io::Result<Many> {
    let SocketAddr::V4(of) = group else { return Err(io::ErrorKind::InvalidInput.into()) };
    let socket = open()?;
    socket.set_reuse_address(true)?;
    socket.bind(&group.into())?;
    socket.join_multicast_v4(of.ip(), &Ipv4Addr::LOCALHOST)?;
    Many::new(socket)
}

/// Connects `count` receivers, which say now and then what they have.
pub(crate) async fn receive(at: &str, count: usize, speech: Speech, counted: &UnboundedSender<u64>) {
    let (address, group) = at.split_once('/').unwrap_or((at, ""));
    let address: SocketAddr = address.parse().unwrap();
    // All receivers run in one thread: one buffer does for all.
    let buffer = Arc::new(buffer());
    for number in 0..count {
        let own = Many::bound().unwrap();
        own.io.connect(address).await.unwrap();
        let acknowledgement = match speech {
            Speech::Bare => {
                own.io.send(&[1]).await.unwrap();
                vec![1]
            }
            Speech::Link | Speech::Channel => greet(&own.io, number as u64).await,
        };
        let ear = (speech == Speech::Channel).then(|| ear(group.parse().unwrap()).unwrap());
        let (counted, buffer) = (counted.clone(), buffer.clone());
        tokio::spawn(async move {
            let (mut frames, mut said) = (0, 0);
            loop {
                let before = frames;
                let count = |meta: &RecvMeta| {
                    if meta.stride >= FRAME {
                        frames += meta.len.div_ceil(meta.stride);
                    }
                };
                ear.as_ref().unwrap_or(&own).receive(&buffer, count).await;
                let _ = counted.send(((frames - before) * FRAME) as u64);
                while frames >= said + ACK_EVERY {
                    said += ACK_EVERY;
                    let _ = own.io.send(&acknowledgement).await;
                }
            }
        });
    }
}

/// A group of this process, with a port that is free now.
pub(crate) fn group() -> Option<SocketAddr> {
    let [.., high, low] = std::process::id().to_be_bytes();
    let port = std::net::UdpSocket::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
    Some(SocketAddr::from((Ipv4Addr::new(239, 253, high, low), port)))
}

/// A frame can go to a group on this host.
pub(crate) fn multicast_works() -> bool {
    let Some(group) = group() else { return false };
    let Ok(socket) = open() else { return false };
    let heard = ear(group).and_then(|ear| {
        SockRef::from(&socket).set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
        socket.send_to(&[1], &group.into())?;
        std::thread::sleep(Duration::from_millis(50));
        SockRef::from(&ear.io).recv(&mut [std::mem::MaybeUninit::uninit(); 8])
    });
    heard.is_ok()
}
