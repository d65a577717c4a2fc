//! Groups over UDP, somebody in between who loses, repeats and delays datagrams, and peers that speak them by hand.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sodality::antigone::{Leader, Member};
use sodality::endpoint::{Cx, Endpoint};
use sodality::event::{Event, Peer, Port};
use sodality::group::Participant;
use sodality::policy::Policy;
use sodality_transports::clock::Clock;
use sodality_transports::driver::{self, Config, Events, Handle};
use sodality_transports::redial::Backoff;
use sodality_transports::udp::{self, Listening, UdpConfig, UdpConnector};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::group;

/// No test waits longer for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);

pub(crate) const ANY: &str = "127.0.0.1:0";

pub(crate) fn config() -> UdpConfig {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(100), attempts: 1000 };
    UdpConfig {
        backoff,
        retry: Duration::from_millis(40),
        keep_alive: Duration::from_millis(100),
        silence: Duration::from_millis(500),
        ..UdpConfig::default()
    }
}

pub(crate) fn policy() -> Policy {
    Policy { frame_limit: 1_200, ..group::policy() }
}

pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(LIMIT, waiting).await.is_err() {
        panic!("it takes too long: {what}");
    }
}

/// What a machine was told, as it comes.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    fn fill(events: Events) -> Self {
        Self::keep(events, |_| {})
    }

    fn keep(mut events: Events, mut also: impl FnMut(&Event) + Send + 'static) -> Self {
        let log = Self::default();
        let kept = log.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                also(&event);
                kept.0.lock().unwrap().push(event);
            }
        });
        log
    }

    pub(crate) fn any(&self, is: impl Fn(&Event) -> bool) -> bool {
        self.0.lock().unwrap().iter().any(is)
    }

    pub(crate) fn times(&self, text: &[u8]) -> usize {
        let events = self.0.lock().unwrap();
        events.iter().filter(|event| matches!(event, Event::Data(message) if message.payload == text)).count()
    }

    pub(crate) fn shown(&self) -> String {
        format!("{:?}", self.0.lock().unwrap())
    }
}

/// A third party over UDP.
pub(crate) async fn third_party() -> SocketAddr {
    let ttp = group::answering();
    udp::listen(ttp.uplink(), ANY, config()).await.unwrap().address()
}

pub(crate) struct Led {
    pub(crate) handle: Handle<Leader>,
    pub(crate) listening: Listening,
    pub(crate) log: Log,
}

pub(crate) async fn leader(third_party: SocketAddr, policy: Policy, udp: UdpConfig) -> Led {
    let clock = Clock::new();
    let connector = UdpConnector::new(udp, move |peer, _| (*peer == Peer::ThirdParty).then_some(third_party));
    let driven = Config::default().clock(clock).connector(connector);
    let (handle, events) = driver::spawn(group::leading(policy, clock), driven);
    let listening = udp::listen(handle.uplink(), ANY, udp).await.unwrap();
    Led { handle, listening, log: Log::fill(events) }
}

pub(crate) struct Joined {
    pub(crate) handle: Handle<Member>,
    pub(crate) reader: udp::StatsReader,
    pub(crate) log: Log,
}

/// A member's driver, which does not ask to join yet.
pub(crate) fn idle_member(who: &str, way: SocketAddr, udp: UdpConfig) -> Joined {
    let connector = UdpConnector::new(udp, move |_, _| Some(way));
    let reader = connector.reader();
    let (handle, events) = driver::spawn(group::joining(who), Config::default().connector(connector));
    let again = handle.clone();
    let log = Log::keep(events, move |event| {
        if matches!(event, Event::Ended(_)) {
            // A join under much loss may fail.
            let handle = again.clone();
            tokio::spawn(async move { handle.call(|member, cx| member.join(cx).is_ok()).await });
        }
    });
    Joined { handle, reader, log }
}

pub(crate) async fn member(who: &str, way: SocketAddr, udp: UdpConfig) -> Joined {
    let joined = idle_member(who, way, udp);
    joined.join().await;
    joined
}

impl Joined {
    pub(crate) async fn join(&self) {
        self.handle.call(|member, cx: &mut Cx<'_>| member.join(cx)).await.unwrap().unwrap();
    }
}

/// Whether it is current, its epoch, the digest of its view, and how many are in it.
pub(crate) async fn standing<M: Participant + Endpoint + 'static>(handle: &Handle<M>) -> (bool, u64, Vec<u8>, usize) {
    handle
        .call(|machine, _| {
            let (digest, count) = machine
                .view()
                .map_or((Vec::new(), 0), |view| (view.digest().as_bytes().to_vec(), view.members().len()));
            (machine.is_current(), machine.epoch().0, digest, count)
        })
        .await
        .unwrap()
}

/// Everybody is in, current, and agrees, twice in a row.
pub(crate) async fn converge(leader: &Led, members: &[Joined]) {
    let mut agreed = 0;
    until("everybody agrees", async || {
        let leads = standing(&leader.handle).await;
        let mut all = leads.0 && leads.3 == members.len() + 1;
        for member in members {
            all = all && standing(&member.handle).await == leads;
        }
        agreed = if all { agreed + 1 } else { 0 };
        if all {
            sleep(group::policy().settle).await;
        }
        agreed >= 2
    })
    .await;
}

pub(crate) async fn say<M: Participant + Endpoint + 'static>(handle: &Handle<M>, text: &str) {
    let text = text.as_bytes().to_vec();
    handle.call(move |machine, cx| machine.send(cx, Port::Application, &text).map(drop)).await.unwrap().unwrap();
}

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn hit(&mut self, in_a_thousand: u64) -> bool {
        self.next() % 1000 < in_a_thousand
    }
}

/// How often the relay does what, in a thousand datagrams.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) lose: u64,
    pub(crate) repeat: u64,
    /// It is held back for some milliseconds, so that others overtake it.
    pub(crate) delay: u64,
}

type Back = (Arc<UdpSocket>, JoinHandle<()>);

#[derive(Default)]
struct Between {
    faults: Mutex<Faults>,
    dice: Mutex<u64>,
    cut: AtomicBool,
    lost: AtomicU64,
    repeated: AtomicU64,
    delayed: AtomicU64,
    /// For each peer in front, the socket that stands for it, and who carries its answers.
    backs: Mutex<BTreeMap<SocketAddr, Back>>,
}

/// A relay for datagrams: to the peer behind it, each peer in front has an address of the relay's.
#[derive(Clone)]
pub(crate) struct Relay {
    between: Arc<Between>,
    pub(crate) address: SocketAddr,
}

impl Relay {
    pub(crate) async fn start(target: SocketAddr, seed: u64, faults: Faults) -> Self {
        let front = Arc::new(UdpSocket::bind(ANY).await.unwrap());
        let address = front.local_addr().unwrap();
        let between = Arc::new(Between { faults: Mutex::new(faults), dice: Mutex::new(seed), ..Between::default() });
        let relay = Self { between: between.clone(), address };
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                // An error tells of an earlier datagram.
                let Ok((length, from)) = front.recv_from(&mut buffer).await else { continue };
                let known = between.backs.lock().unwrap().get(&from).map(|(back, _)| back.clone());
                let back = match known {
                    Some(back) => back,
                    None => open_back(&between, &front, from, target).await,
                };
                between.pass(&back, None, &buffer[..length]);
            }
        });
        relay
    }

    /// From now on all peers in front have new addresses, and the old ones lead nowhere: a NAT that forgot.
    pub(crate) fn forget(&self) {
        for (_, (_, task)) in std::mem::take(&mut *self.between.backs.lock().unwrap()) {
            task.abort();
        }
    }

    pub(crate) fn faults(&self, faults: Faults) {
        *self.between.faults.lock().unwrap() = faults;
    }

    /// Nothing passes any more, or all again.
    pub(crate) fn cut(&self, cut: bool) {
        self.between.cut.store(cut, Ordering::SeqCst);
    }

    /// How many were lost, repeated and held back.
    pub(crate) fn did(&self) -> (u64, u64, u64) {
        let count = |of: &AtomicU64| of.load(Ordering::SeqCst);
        (count(&self.between.lost), count(&self.between.repeated), count(&self.between.delayed))
    }
}

async fn open_back(
    between: &Arc<Between>,
    front: &Arc<UdpSocket>,
    from: SocketAddr,
    target: SocketAddr,
) -> Arc<UdpSocket> {
    let back = Arc::new(UdpSocket::bind(ANY).await.unwrap());
    back.connect(target).await.unwrap();
    let (reader, front, passing) = (back.clone(), front.clone(), between.clone());
    let task = tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        loop {
            let Ok(length) = reader.recv(&mut buffer).await else { continue };
            passing.pass(&front, Some(from), &buffer[..length]);
        }
    });
    between.backs.lock().unwrap().insert(from, (back.clone(), task));
    back
}

impl Between {
    fn pass(&self, over: &Arc<UdpSocket>, to: Option<SocketAddr>, bytes: &[u8]) {
        let faults = *self.faults.lock().unwrap();
        let (lose, repeat, delay) = {
            let mut state = self.dice.lock().unwrap();
            let mut dice = Dice(*state);
            let drawn = (dice.hit(faults.lose), dice.hit(faults.repeat), dice.hit(faults.delay));
            *state = dice.0;
            drawn
        };
        if lose || self.cut.load(Ordering::SeqCst) {
            self.lost.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let (over, bytes) = (over.clone(), bytes.to_vec());
        if repeat {
            self.repeated.fetch_add(1, Ordering::SeqCst);
        }
        if !delay {
            for _ in 0..=u8::from(repeat) {
                let _ = match to {
                    Some(to) => over.try_send_to(&bytes, to),
                    None => over.try_send(&bytes),
                };
            }
            return;
        }
        self.delayed.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            sleep(Duration::from_millis(8)).await;
            let _ = match to {
                Some(to) => over.try_send_to(&bytes, to),
                None => over.try_send(&bytes),
            };
        });
    }
}

/// A peer that speaks the adapter's datagrams by hand, as `docs/transports.md` has them.
pub(crate) struct Hand(pub(crate) UdpSocket);

pub(crate) const HELLO: u8 = 0xd1;
pub(crate) const COOKIE: u8 = 0xd2;
pub(crate) const OPEN: u8 = 0xd3;
pub(crate) const ACCEPTED: u8 = 0xd4;
pub(crate) const FRAME: u8 = 0xd5;
pub(crate) const GOODBYE: u8 = 0xd6;
pub(crate) const ASK: u8 = 0xd7;
pub(crate) const HERE: u8 = 0xd8;
pub(crate) const SHARED: u8 = 0xd9;

impl Hand {
    pub(crate) async fn reach(address: SocketAddr) -> Self {
        Self::reach_from(Ipv4Addr::LOCALHOST, address).await
    }

    /// From another address of this host: all of 127.0.0.0/8 are (on Linux).
    pub(crate) async fn reach_from(ip: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).await.unwrap();
        socket.connect(address).await.unwrap();
        Self(socket)
    }

    pub(crate) async fn send(&self, bytes: &[u8]) {
        self.0.send(bytes).await.unwrap();
    }

    pub(crate) async fn recv(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let length = timeout(LIMIT, self.0.recv(&mut buffer)).await.expect("no datagram").unwrap();
        buffer.truncate(length);
        buffer
    }

    /// Nothing comes for a while.
    pub(crate) async fn silent(&self) {
        let mut buffer = [0; 2048];
        let came = timeout(Duration::from_millis(60), self.0.recv(&mut buffer)).await;
        assert!(came.is_err(), "{came:?}: {buffer:?}");
    }

    pub(crate) fn hello(nonce: u64) -> Vec<u8> {
        let mut hello = vec![0; 40];
        hello[0] = HELLO;
        hello[1..9].copy_from_slice(&nonce.to_be_bytes());
        hello
    }

    pub(crate) fn open(nonce: u64, cookie: &[u8]) -> Vec<u8> {
        [&[OPEN][..], &nonce.to_be_bytes(), cookie, &1_200_u32.to_be_bytes()].concat()
    }

    pub(crate) fn on(kind: u8, connection: &[u8], frame: &[u8]) -> Vec<u8> {
        [&[kind][..], connection, frame].concat()
    }

    /// Fetches a cookie.
    pub(crate) async fn cookie(&self, nonce: u64) -> Vec<u8> {
        self.send(&Self::hello(nonce)).await;
        let answer = self.recv().await;
        assert_eq!((answer.len(), answer[0]), (29, COOKIE));
        assert_eq!(answer[1..9], nonce.to_be_bytes());
        answer[9..].to_vec()
    }

    /// Fetches a cookie and opens a link. Returns its name.
    pub(crate) async fn link(&self, nonce: u64) -> Vec<u8> {
        let cookie = self.cookie(nonce).await;
        self.send(&Self::open(nonce, &cookie)).await;
        let answer = self.recv().await;
        assert_eq!((answer.len(), answer[0]), (21, ACCEPTED));
        assert_eq!(answer[1..9], nonce.to_be_bytes());
        answer[9..17].to_vec()
    }
}
