//! QUIC: where control and data travel, who is trusted, and what strangers, losses and new addresses do.

#![cfg(feature = "quic")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
mod relay;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use common::{Mode, Notices, Toy, payload, soon, until};
use relay::{Relay, Way};
use sodality::endpoint::Class;
use sodality::event::Peer;
use sodality::identity::Name;
use sodality_transports::driver::{self, Config, Events, Handle};
use sodality_transports::quic::{Identity, Pin, QuicConfig, QuicError, Socket, Trust};
use sodality_transports::redial::Backoff;
use sodality_transports::report::Notice;
use sodality_transports::stream::Patience;
use sodality_transports::transport::{CloseReason, LinkLimits};

const MAX: usize = 300_000;

fn config() -> QuicConfig {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(50), attempts: 1 };
    QuicConfig { max_frame: MAX, backoff, ..QuicConfig::default() }
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A toy that listens.
struct Served {
    handle: Handle<Toy>,
    events: Events,
    socket: Socket,
    address: SocketAddr,
    pin: Pin,
    notices: Notices,
}

async fn serve(mode: Mode, config: QuicConfig) -> Served {
    let identity = Identity::generate().unwrap();
    let pin = identity.pin().unwrap();
    let notices = Notices::default();
    let limits =
        LinkLimits { in_bytes: 4 << 20, data_bytes: 64 << 20, control_bytes: 64 << 20, ..LinkLimits::default() };
    let limits = LinkLimits { in_frames: 4096, data_frames: 100_000, ..limits };
    let drive = notices.watch(Config::default().events(4096).link_limits(limits));
    let (handle, events) = driver::spawn(Toy::new(mode), drive);
    let socket = Socket::bind(loopback(), config).unwrap();
    let address = socket.listen(handle.uplink(), identity).unwrap();
    Served { handle, events, socket, address, pin, notices }
}

/// A toy that wants the leader, through `socket`.
async fn want(socket: &Socket, trust: &Trust, at: SocketAddr) -> (Handle<Toy>, Events, Notices) {
    let mut toy = Toy { wants: Some(Peer::Leader(Name::new("lea").unwrap())), ..Toy::new(Mode::Report) };
    toy.want();
    let notices = Notices::default();
    let limits =
        LinkLimits { data_bytes: 64 << 20, control_bytes: 64 << 20, data_frames: 100_000, ..LinkLimits::default() };
    let connector = socket.connector(trust, move |_, _| Some(at)).unwrap();
    let drive = notices.watch(Config::default().events(4096).link_limits(limits).connector(connector));
    let (handle, events) = driver::spawn(toy, drive);
    (handle, events, notices)
}

async fn connected(served: &Served) -> (Handle<Toy>, Events, Socket) {
    connected_by(served, served.address).await
}

async fn connected_by(served: &Served, at: SocketAddr) -> (Handle<Toy>, Events, Socket) {
    let socket = Socket::bind(loopback(), config()).unwrap();
    let before = served.handle.stats().links_opened;
    let (handle, events, _) = want(&socket, &Trust::Pinned(served.pin), at).await;
    until(|| served.handle.stats().links_opened > before && handle.stats().links_opened > 0).await;
    (handle, events, socket)
}

async fn send(handle: &Handle<Toy>, frame: impl Into<Bytes> + Send + 'static, class: Class) {
    soon(handle.call(move |toy, _| {
        let all = toy.all();
        toy.send(all, frame, class);
    }))
    .await
    .unwrap();
}

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + length) as u8 ^ seed).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_of_every_length_arrives_in_order() {
    let mut served = serve(Mode::Report, config()).await;
    let (handle, _events, _socket) = connected(&served).await;
    let mut lengths: Vec<usize> = (0..200).collect();
    lengths.extend([1199, 1200, 1201, 16_383, 16_384, 65_535, 65_536, MAX - 1, MAX, 0, 1]);
    for length in lengths.clone() {
        send(&handle, pattern(length, 0), Class::Control).await;
    }
    for length in lengths {
        assert!(payload(soon(served.events.recv()).await) == pattern(length, 0), "a frame of {length} bytes");
    }
    soon(handle.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_go_as_datagrams_where_they_fit_and_on_streams_where_not() {
    let mut served = serve(Mode::Report, config()).await;
    let (handle, _events, _socket) = connected(&served).await;
    // Each alone on its way, so that none is dropped: on loopback nothing is lost then.
    let lengths = [0, 1, 100, 1000, 1100, 1300, 1500, 5_000, 60_000, 70_000, MAX];
    for (seed, length) in (0..).zip(lengths) {
        send(&handle, pattern(length, seed), Class::Data).await;
        assert!(payload(soon(served.events.recv()).await) == pattern(length, seed), "a frame of {length} bytes");
    }
    // And many at once, in whatever order.
    for seed in 0..100_u8 {
        send(&handle, vec![seed; 20_000], Class::Data).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let frame = payload(soon(served.events.recv()).await);
        assert!(frame.len() == 20_000 && frame.iter().all(|byte| *byte == frame[0]));
        assert!(seen.insert(frame[0]), "twice");
    }
}

#[tokio::test]
async fn a_longer_frame_than_agreed_ends_that_link_only() {
    let served = serve(Mode::Echo, QuicConfig { max_frame: 5_000, ..config() }).await;
    let (good, mut events, _socket) = connected(&served).await;
    for class in [Class::Control, Class::Data] {
        let closed = served.notices.closed().len();
        let (bad, _, _socket) = connected(&served).await;
        send(&bad, vec![1; 5_001], class).await;
        until(|| served.notices.closed().len() > closed).await;
        assert_eq!(served.notices.closed()[closed].1, CloseReason::Oversize { announced: 5_001 }, "{class:?}");
    }
    send(&good, vec![7; 5_000], Class::Data).await;
    assert_eq!(payload(soon(events.recv()).await), vec![7; 5_000]);
}

#[tokio::test]
async fn only_the_pinned_key_is_taken() {
    let served = serve(Mode::Echo, config()).await;
    let socket = Socket::bind(loopback(), config()).unwrap();
    let other = Identity::generate().unwrap().pin().unwrap();
    let (_handle, _events, notices) = want(&socket, &Trust::Pinned(other), served.address).await;
    until(|| notices.all().iter().any(|notice| matches!(notice, Notice::Unreachable { .. }))).await;
    assert_eq!(served.handle.stats().links_opened, 0);
    let (_handle, _events, _socket) = connected(&served).await;
}

#[tokio::test]
async fn an_authority_vouches_for_names() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap().der().to_vec();
    let issuer = rcgen::Issuer::new(params, key);
    let server_key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(["lea.example".to_owned()]).unwrap().signed_by(&server_key, &issuer);
    let identity = Identity::from_der(vec![server.unwrap().der().to_vec()], server_key.serialize_der()).unwrap();
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default());
    let listening = Socket::bind(loopback(), config()).unwrap();
    let address = listening.listen(handle.uplink(), identity).unwrap();
    let socket = Socket::bind(loopback(), config()).unwrap();
    let trust = |root: &[u8], name: &str| Trust::Authority { roots: vec![root.to_vec()], name: name.to_owned() };
    let stranger = Identity::generate().unwrap().to_der().0.remove(0);
    for wrong in [trust(&root, "bob.example"), trust(&stranger, "lea.example")] {
        let (_handle, _events, notices) = want(&socket, &wrong, address).await;
        until(|| notices.all().iter().any(|notice| matches!(notice, Notice::Unreachable { .. }))).await;
    }
    assert_eq!(handle.stats().links_opened, 0);
    let (_client, _events, _) = want(&socket, &trust(&root, "lea.example"), address).await;
    until(|| handle.stats().links_opened == 1).await;
}

#[tokio::test]
async fn a_socket_has_one_listener_and_any_number_of_members() {
    let served = serve(Mode::Hub(Class::Control), config()).await;
    let again = served.socket.listen(served.handle.uplink(), Identity::generate().unwrap());
    assert!(matches!(again, Err(QuicError::Listening)));
    let socket = Socket::bind(loopback(), config()).unwrap();
    let mut members = Vec::new();
    for _ in 0..20 {
        members.push(want(&socket, &Trust::Pinned(served.pin), served.address).await);
    }
    until(|| served.handle.stats().links_opened == 20 && members.iter().all(|m| m.0.stats().links_opened == 1)).await;
    send(&members[0].0, "to all", Class::Control).await;
    for (_, events, _) in &mut members[1..] {
        assert_eq!(payload(soon(events.recv()).await), "to all");
    }
    for (handle, ..) in members {
        assert!(soon(handle.shutdown()).await.unwrap().complete);
    }
    assert!(soon(served.handle.shutdown()).await.unwrap().complete);
    soon(socket.idle()).await;
}

#[tokio::test]
async fn a_link_survives_a_change_of_address() {
    let served = serve(Mode::Echo, config()).await;
    let (handle, mut events, socket) = connected(&served).await;
    for round in 0..3_u8 {
        let before = socket.local_addr().unwrap();
        socket.rebind(loopback()).unwrap();
        assert_ne!(socket.local_addr().unwrap(), before);
        send(&handle, vec![round; 2_000], Class::Control).await;
        assert_eq!(payload(soon(events.recv()).await), vec![round; 2_000]);
    }
    assert_eq!(served.handle.stats().links_opened, 1);
    assert_eq!(served.notices.closed(), []);
}

#[tokio::test]
async fn what_is_queued_goes_out_before_a_shutdown() {
    let mut served = serve(Mode::Report, config()).await;
    let (handle, _events, _socket) = connected(&served).await;
    for number in 0..200_u8 {
        send(&handle, vec![number; 10_000], Class::Control).await;
    }
    let finished = soon(handle.shutdown()).await.unwrap();
    assert!(finished.complete && finished.unflushed == 0);
    for number in 0..200_u8 {
        assert_eq!(payload(soon(served.events.recv()).await), vec![number; 10_000]);
    }
    until(|| served.notices.closed().len() == 1).await;
    assert_eq!(served.notices.closed()[0].1, CloseReason::Peer);
}

#[tokio::test]
async fn who_says_nothing_loses_its_place() {
    let patience = Patience { first: Duration::from_millis(200), ..Patience::default() };
    let served = serve(Mode::Echo, QuicConfig { patience, half_open: 2, ..config() }).await;
    let (_silent, _events, _socket) = connected(&served).await;
    until(|| served.notices.closed().len() == 1).await;
    assert_eq!(served.notices.closed()[0].1, CloseReason::Idle);
}

#[tokio::test]
async fn more_links_than_allowed_are_refused_and_counted() {
    let served = serve(Mode::Echo, QuicConfig { max_links: 1, ..config() }).await;
    let (_first, _events, _socket) = connected(&served).await;
    assert_eq!(served.handle.stats().links_refused, 0);
    let socket = Socket::bind(loopback(), config()).unwrap();
    let (_second, _events, notices) = want(&socket, &Trust::Pinned(served.pin), served.address).await;
    until(|| notices.all().iter().any(|notice| matches!(notice, Notice::Unreachable { .. }))).await;
    assert!(served.handle.stats().links_refused > 0);
    assert_eq!(served.handle.stats().links_opened, 1);
}

/// Forged first packets: the server answers with tokens and keeps no state, and honest clients get in.
#[tokio::test]
async fn strangers_cost_no_more_than_three_times_what_they_send() {
    let served = serve(Mode::Echo, QuicConfig { half_open: 4, ..config() }).await;
    // A first packet as clients send it, said again from many addresses.
    let catcher = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let socket = Socket::bind(loopback(), config()).unwrap();
    let (_handle, _events, _) = want(&socket, &Trust::Pinned(served.pin), catcher.local_addr().unwrap()).await;
    let mut first = vec![0; 2048];
    let (length, _) = soon(catcher.recv_from(&mut first)).await.unwrap();
    first.truncate(length);
    for _ in 0..50 {
        let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        stranger.send_to(&first, served.address).await.unwrap();
        let mut got = 0;
        let mut answer = vec![0; 65_536];
        while let Ok(Ok((length, _))) =
            tokio::time::timeout(Duration::from_millis(20), stranger.recv_from(&mut answer)).await
        {
            got += length;
        }
        assert!(got <= 3 * length, "{got} bytes for {length}");
    }
    assert_eq!(served.handle.stats().links_opened, 0);
    let (handle, mut events, _socket) = connected(&served).await;
    send(&handle, "hello", Class::Control).await;
    assert_eq!(payload(soon(events.recv()).await), "hello");
}

/// The second of five packets of a data frame is lost; the control frame behind it arrives all the same, and long before the
/// data. Told to carry both in one stream, the control frame waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_data_packet_delays_no_control() {
    for (class, apart) in [(Class::Data, true), (Class::Control, false)] {
        let mut served = serve(Mode::Report, config()).await;
        let relay = Relay::to(served.address, Duration::from_millis(40)).await;
        let (handle, _events, _socket) = connected_by(&served, relay.address).await;
        // The connection has found its pace.
        for _ in 0..5 {
            send(&handle, "warm", Class::Control).await;
            payload(soon(served.events.recv()).await);
        }
        let mut long = 0;
        relay.rule(move |way, datagram| {
            let is_long = way == Way::ToServer && datagram.len() > 1_000;
            long += u32::from(is_long);
            !(is_long && long == 2)
        });
        send(&handle, vec![1; 6_000], class).await;
        // The data have left, or control might go in the very packet that is lost.
        tokio::time::sleep(Duration::from_millis(10)).await;
        send(&handle, "control", Class::Control).await;
        let sent = tokio::time::Instant::now();
        let mut order = Vec::new();
        for _ in 0..2 {
            order.push((payload(soon(served.events.recv()).await).len(), sent.elapsed()));
        }
        println!("data as {class:?}: (bytes, after) {order:?}");
        assert_eq!(order[0].0 == b"control".len(), apart, "{order:?}");
    }
}

#[tokio::test]
async fn a_flood_of_data_does_not_starve_control() {
    let mut served = serve(Mode::Report, config()).await;
    let (handle, _events, _socket) = connected(&served).await;
    let flood = handle.clone();
    soon(flood.call(|toy, _| {
        let all = toy.all();
        for _ in 0..20_000 {
            toy.send(all.clone(), vec![0; 1_000], Class::Data);
        }
        toy.send(all, &b"control"[..], Class::Control);
    }))
    .await
    .unwrap();
    let mut before = 0;
    while payload(soon(served.events.recv()).await) != b"control"[..] {
        before += 1;
    }
    println!("{before} of 20,000 data frames came first");
    assert!(before < 10_000, "{before}");
}

#[tokio::test]
async fn configurations_without_sense_are_refused() {
    let far = QuicConfig { silence: Duration::MAX, ..config() };
    let socket = Socket::bind(loopback(), far).unwrap();
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default());
    let refused = socket.listen(handle.uplink(), Identity::generate().unwrap());
    assert!(matches!(refused, Err(QuicError::Config)));
    let pin = Identity::generate().unwrap().pin().unwrap();
    assert!(matches!(socket.connector(&Trust::Pinned(pin), |_, _| None), Err(QuicError::Config)));
    soon(handle.shutdown()).await.unwrap();
    let gone = Socket::bind(loopback(), config()).unwrap();
    assert!(matches!(gone.listen(handle.uplink(), Identity::generate().unwrap()), Err(QuicError::Gone)));
    let taken = Socket::bind(gone.local_addr().unwrap(), config());
    assert!(matches!(taken, Err(QuicError::Io(_))));
}
