//! A socket that takes and gives many datagrams a call, where the system can; one at a time elsewhere.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::stats::Counters;
use crate::transport::Wire;

/// Most bytes of one datagram: what UDP over IPv6 can say.
const LONGEST: usize = 65_535;
/// Buffers for one call, each for one datagram or a train of them.
const SLOTS: usize = 16;
/// Most bytes handed over in one call: what a datagram can carry, and more than a link takes from the driver at once with all
/// headers of frames of 200 bytes and more, so that a batch of them is no train and a bit.
const TRAIN: usize = 65_000;
/// Most datagrams in one call.
const CARS: usize = 64;

/// Where a datagram goes, and from which of this host's addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    pub(crate) to: SocketAddr,
    /// The address that the peer knows this host by, if the socket has several.
    pub(crate) from: Option<IpAddr>,
}

impl Way {
    pub(crate) fn to(to: SocketAddr) -> Self {
        Self { to, from: None }
    }
}

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Socket {
    io: UdpSocket,
    /// Many datagrams a call; `None` takes them one by one.
    many: Option<UdpSocketState>,
    local: SocketAddr,
    pub(crate) counters: Arc<Counters>,
}

/// Buffers to receive into, and what the last call received.
pub(crate) struct Received {
    bytes: Vec<u8>,
    slot: usize,
    metas: [RecvMeta; SLOTS],
    count: usize,
}

/// One datagram received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    /// The way back.
    pub(crate) way: Way,
    /// What came, cut off after the buffer's end.
    pub(crate) bytes: &'a [u8],
}

impl Received {
    /// The datagrams of the last call.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.bytes.chunks(self.slot).zip(&self.metas).take(self.count).flat_map(|(slot, meta)| {
            let way = Way { to: meta.addr, from: meta.dst_ip.filter(|ip| !ip.is_multicast()) };
            let all = slot.get(..meta.len).unwrap_or(slot);
            // An empty datagram is one all the same.
            let empty = all.is_empty().then_some(all);
            let stride = if meta.stride == 0 { LONGEST } else { meta.stride };
            empty.into_iter().chain(all.chunks(stride)).map(move |bytes| Datagram { way, bytes })
        })
    }
}

impl Socket {
    /// Wraps a bound socket. `offload` is whether calls for many datagrams are used where the system has them.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn new(socket: socket2::Socket, offload: bool, counters: Arc<Counters>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let io = UdpSocket::from_std(socket.into())?;
        let local = io.local_addr()?;
        // A system that refuses the options has the plain calls all the same.
        let many = if offload { UdpSocketState::new((&io).into()).ok() } else { None };
        Ok(Self { io, many, local, counters })
    }

    /// Binds a socket to `address`, with buffers of `buffer` bytes as far as the system allows.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn bind(address: SocketAddr, buffer: usize, offload: bool, counters: Arc<Counters>) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::DGRAM,
            Some(socket2::Protocol::UDP),
        )?;
        if address.is_ipv6() {
            // One family a socket, on every system: addresses then have one form each.
            socket.set_only_v6(true)?;
        }
        enlarge(&socket, buffer);
        socket.bind(&address.into())?;
        Self::new(socket, offload, counters)
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Buffers for datagrams of up to `longest` bytes, and a byte more, so that a longer one shows.
    pub(crate) fn buffers(&self, longest: usize) -> Received {
        let trains = self.many.as_ref().is_some_and(|many| many.gro_segments() > 1);
        let slot = if trains { LONGEST } else { longest.saturating_add(1).clamp(64, LONGEST) };
        Received { bytes: vec![0; slot * SLOTS], slot, metas: [RecvMeta::default(); SLOTS], count: 0 }
    }

    /// Waits for datagrams and takes as many as there are, up to a bound. An error here is of the moment (an ICMP message
    /// about some earlier datagram, for instance) and no reason to give the socket up.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) async fn receive(&self, received: &mut Received) -> io::Result<()> {
        received.count = 0;
        let Received { bytes, slot, metas, count } = received;
        let Some(many) = &self.many else {
            let (length, from) = self.io.recv_from(bytes.get_mut(..*slot).unwrap_or_default()).await?;
            if let Some(meta) = metas.first_mut() {
                *meta = RecvMeta { addr: from, len: length, stride: length, ..RecvMeta::default() };
                *count = 1;
            }
            self.counters.count(|c| &c.calls_in);
            return Ok(());
        };
        loop {
            self.io.readable().await?;
            let taken = self.io.try_io(Interest::READABLE, || {
                let mut slots = bytes.chunks_mut(*slot).map(IoSliceMut::new);
                let mut slots: [IoSliceMut<'_>; SLOTS] =
                    std::array::from_fn(|_| slots.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
                many.recv((&self.io).into(), &mut slots, metas)
            });
            match taken {
                Ok(taken) => {
                    *count = taken;
                    self.counters.count(|c| &c.calls_in);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends one datagram, or counts it as lost if the system does not take it now.
    pub(crate) fn try_send(&self, way: Way, bytes: &[u8]) {
        let sent = self.io.try_io(Interest::WRITABLE, || self.give(way, bytes, None));
        self.count_sent(1, bytes.len(), &sent);
    }

    /// Sends one datagram; waits while the system takes none.
    pub(crate) async fn send(&self, way: Way, bytes: &[u8]) {
        let _ = self.train(way, bytes, bytes.len()).await;
    }

    /// How many datagrams one call takes.
    /// 1 where the system takes no trains.
    pub(crate) fn train_length(&self) -> usize {
        self.many.as_ref().map_or(1, |many| many.max_gso_segments().clamp(1, CARS))
    }

    /// Sends the datagrams that lie one behind the other in `bytes`, each of `each` bytes but the last, which may be
    /// shorter. Waits while the system takes none. What it refuses is lost and counted, as if the network had lost it; says
    /// what it took, each datagram as a frame.
    pub(crate) async fn train(&self, way: Way, bytes: &[u8], each: usize) -> Wire {
        let cars = bytes.len().div_ceil(each.max(1)).max(1);
        let segment = (cars > 1).then_some(each);
        let sent = self.when_writable(way, bytes, segment).await;
        if sent.is_err() && cars > 1 {
            // The device may not know how to cut them apart (then the next trains are of one), or one is too long.
            let mut all = Wire::default();
            for bytes in bytes.chunks(each.max(1)) {
                let sent = self.when_writable(way, bytes, None).await;
                let taken = self.count_sent(1, bytes.len(), &sent);
                all.frames += taken.frames;
                all.packets += taken.packets;
                all.bytes += taken.bytes;
            }
            return all;
        }
        self.count_sent(cars, bytes.len(), &sent)
    }

    async fn when_writable(&self, way: Way, bytes: &[u8], segment: Option<usize>) -> io::Result<()> {
        loop {
            match self.io.try_io(Interest::WRITABLE, || self.give(way, bytes, segment)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.io.writable().await?,
                sent => return sent,
            }
        }
    }

    fn give(&self, way: Way, bytes: &[u8], segment: Option<usize>) -> io::Result<()> {
        match &self.many {
            Some(many) => {
                // A socket that is bound to one address sends from it anyway.
                let src_ip = way.from.filter(|_| self.local.ip().is_unspecified());
                let transmit =
                    Transmit { destination: way.to, ecn: None, contents: bytes, segment_size: segment, src_ip };
                many.try_send((&self.io).into(), &transmit)
            }
            None => SockRef::from(&self.io).send_to(bytes, &way.to.into()).map(drop),
        }
    }

    fn count_sent(&self, datagrams: usize, bytes: usize, sent: &io::Result<()>) -> Wire {
        if sent.is_err() {
            self.counters.add(|c| &c.send_errors, datagrams);
            return Wire::default();
        }
        self.counters.count(|c| &c.calls_out);
        self.counters.add(|c| &c.datagrams_out, datagrams);
        self.counters.add(|c| &c.bytes_out, bytes);
        Wire { frames: datagrams as u64, packets: datagrams as u64, bytes: bytes as u64 }
    }
}

/// Asks for larger buffers; the system may give less.
pub(crate) fn enlarge(socket: &socket2::Socket, buffer: usize) {
    // Without them more is lost under load, and all works.
    let _ = socket.set_recv_buffer_size(buffer);
    let _ = socket.set_send_buffer_size(buffer);
}

/// Gathers datagrams of equal length, so that one call sends them.
#[derive(Debug, Default)]
pub(crate) struct Train {
    bytes: Vec<u8>,
    each: usize,
    cars: usize,
}

impl Train {
    /// Whether a datagram of `length` bytes can be added.
    pub(crate) fn takes(&self, length: usize, cars: usize) -> bool {
        let last_is_whole = self.bytes.len() == self.each * self.cars;
        self.cars == 0
            || (self.cars < cars && last_is_whole && length <= self.each && self.bytes.len() + length <= TRAIN)
    }

    /// Adds the datagram that `write` appends.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        write(&mut self.bytes);
        if self.cars == 0 {
            self.each = self.bytes.len() - before;
        }
        self.cars += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cars == 0
    }

    /// Sends what was gathered and begins anew.
    pub(crate) async fn send(&mut self, socket: &Socket, way: Way) -> Wire {
        let taken = socket.train(way, &self.bytes, self.each).await;
        self.bytes.clear();
        (self.each, self.cars) = (0, 0);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(offload: bool) -> (Socket, Socket) {
        let bind = || Socket::bind("127.0.0.1:0".parse().unwrap(), 1 << 20, offload, Arc::default()).unwrap();
        (bind(), bind())
    }

    #[tokio::test]
    async fn many_datagrams_take_few_calls_where_the_system_can() {
        for offload in [true, false] {
            let (from, to) = pair(offload);
            let mut train = Train::default();
            let mut trains = 0_u64;
            for number in 0..120_u8 {
                if !train.takes(300, from.train_length()) {
                    train.send(&from, Way::to(to.local())).await;
                    trains += 1;
                }
                train.add(|bytes| bytes.extend_from_slice(&[number; 300]));
            }
            train.send(&from, Way::to(to.local())).await;
            trains += 1;
            let stats = from.counters.snapshot();
            assert_eq!((stats.datagrams_out, stats.bytes_out, stats.send_errors), (120, 36_000, 0));
            // If the device cannot cut trains apart they went out one by one after all.
            assert!(stats.calls_out == trains || stats.calls_out >= 120, "{stats:?}");
            assert_eq!(trains, 120_u64.div_ceil(from.train_length() as u64));
            let mut received = to.buffers(1_200);
            let mut numbers = Vec::new();
            while numbers.len() < 120 {
                to.receive(&mut received).await.unwrap();
                for datagram in received.datagrams() {
                    assert_eq!(datagram.bytes.len(), 300);
                    assert_eq!(datagram.way.to, from.local());
                    numbers.extend(datagram.bytes.first().copied());
                }
            }
            assert_eq!(numbers, (0..120).collect::<Vec<u8>>());
            let calls = to.counters.snapshot().calls_in;
            println!("offload {offload}: {} calls out, {calls} calls in", stats.calls_out);
            assert!(calls <= if to.many.is_some() && cfg!(target_os = "linux") { 12 } else { 120 }, "{calls}");
        }
    }

    #[tokio::test]
    async fn a_datagram_that_is_too_long_shows_and_an_empty_one_is_one() {
        for offload in [true, false] {
            let (from, to) = pair(offload);
            let mut received = to.buffers(100);
            for length in [0, 1, 100, 101, 5_000] {
                from.send(Way::to(to.local()), &vec![1; length]).await;
                to.receive(&mut received).await.unwrap();
                let lengths: Vec<usize> = received.datagrams().map(|datagram| datagram.bytes.len()).collect();
                assert_eq!(lengths.len(), 1);
                let shown = lengths.first().copied().unwrap();
                // Whole, or cut off beyond what is allowed.
                assert!(shown == length || length > 100 && shown > 100, "{shown} of {length}");
            }
        }
    }

    #[test]
    fn trains_are_of_one_length_but_for_the_last() {
        let mut train = Train::default();
        assert!(train.takes(500, 4) && train.is_empty());
        train.add(|bytes| bytes.extend_from_slice(&[0; 100]));
        assert!(train.takes(100, 4) && train.takes(1, 4) && !train.takes(101, 4) && !train.takes(100, 1));
        train.add(|bytes| bytes.extend_from_slice(&[0; 40]));
        assert!(!train.takes(40, 4), "a shorter one is the last");
        let mut empty = Train::default();
        empty.add(|_| {});
        assert!(!empty.takes(0, 4) || empty.bytes.is_empty());
    }
}
