//! Links over UDP: the cookie, what strangers cost, and frames.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![cfg(feature = "udp")]

mod common;
mod datagrams;
mod group;

use std::net::Ipv4Addr;
use std::time::Duration;

use common::{Mode, Notices, Toy, payload, soon};
use datagrams::{ACCEPTED, ANY, ASK, FRAME, Faults, GOODBYE, HERE, Hand, Relay, SHARED, config, until};
use sodality::endpoint::Class;
use sodality::event::Peer;
use sodality_transports::driver::{self, Config, Events, Handle};
use sodality_transports::transport::{CloseReason, LinkLimits};
use sodality_transports::udp::{self, LONGEST_FRAME, Listening, UdpConfig, UdpConnector};
use tokio::time::sleep;

struct Served {
    handle: Handle<Toy>,
    events: Events,
    listening: Listening,
    notices: Notices,
}

async fn serve_with(toy: Toy, driven: Config, udp: UdpConfig) -> Served {
    let notices = Notices::default();
    let (handle, events) = driver::spawn(toy, notices.watch(driven));
    let listening = udp::listen(handle.uplink(), ANY, udp).await.unwrap();
    Served { handle, events, listening, notices }
}

async fn serve(mode: Mode, udp: UdpConfig) -> Served {
    serve_with(Toy::new(mode), Config::default(), udp).await
}

/// A driven toy that has a link to the listener.
async fn connect(mode: Mode, to: std::net::SocketAddr, udp: UdpConfig) -> (Handle<Toy>, Events, Notices) {
    let mut toy = Toy::new(mode);
    toy.wants = Some(Peer::ThirdParty);
    let notices = Notices::default();
    let connector = UdpConnector::new(udp, move |_, _| Some(to));
    let (handle, events) = driver::spawn(toy, notices.watch(Config::default().connector(connector)));
    handle.call(|toy, _| toy.want()).await.unwrap();
    (handle, events, notices)
}

async fn links(handle: &Handle<Toy>) -> usize {
    handle.call(|toy, _| toy.links.len()).await.unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + length) as u8).collect()
}

async fn send_all(handle: &Handle<Toy>, frames: Vec<Vec<u8>>, class: Class) {
    handle
        .call(move |toy, _| {
            for frame in frames {
                let all = toy.all();
                toy.send(all, frame, class);
            }
        })
        .await
        .unwrap();
}

// --- frames ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_every_length_arrive_whole() {
    for offload in [true, false] {
        let udp = UdpConfig { max_frame: LONGEST_FRAME, offload, ..config() };
        let served = serve(Mode::Echo, udp).await;
        let (client, mut events, _) = connect(Mode::Report, served.listening.address(), udp).await;
        until("a link", async || links(&client).await == 1).await;
        let info = client.call(|toy, _| toy.opened[0].1).await.unwrap();
        assert!(info.proven && !info.reliable && !info.shared && info.answers.is_some());
        assert_eq!(info.max_frame, LONGEST_FRAME);
        let listened = served.handle.call(|toy, _| toy.opened[0].1).await.unwrap();
        assert!(listened.proven && !listened.reliable && listened.answers.is_none());
        let lengths = (0..40).chain([255, 256, 1_190, 1_200, 1_472, 9_000, 65_000, LONGEST_FRAME - 1, LONGEST_FRAME]);
        for length in lengths {
            send_all(&client, vec![pattern(length)], Class::Control).await;
            assert_eq!(payload(soon(events.recv()).await), pattern(length), "{length} bytes, offload {offload}");
        }
        // One that is longer is not sent, and no reason to close the link.
        send_all(&client, vec![vec![0; LONGEST_FRAME + 1], b"after".to_vec()], Class::Control).await;
        assert_eq!(payload(soon(events.recv()).await), b"after"[..]);
        assert_eq!(client.stats().undeliverable, 1);
        assert_eq!(served.listening.stats().oversize, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_frames_at_once_are_datagrams_of_their_own() {
    for offload in [true, false] {
        let udp = UdpConfig { offload, ..config() };
        // Trains are of equal lengths, then a shorter, a longer, an empty frame.
        let frames: Vec<Vec<u8>> = [100, 100, 100, 60, 100, 100, 0, 0, 1_200, 1_200, 30, 31].map(pattern).into();
        let served = serve(Mode::Report, udp).await;
        let mut events = served.events;
        let (client, _events, _) = connect(Mode::Report, served.listening.address(), udp).await;
        until("a link", async || links(&client).await == 1).await;
        let before = served.listening.stats();
        send_all(&client, frames.clone(), Class::Control).await;
        let mut came = Vec::new();
        for _ in &frames {
            came.push(payload(soon(events.recv()).await).to_vec());
        }
        // Over loopback nothing is overtaken.
        assert_eq!(came, frames, "offload {offload}");
        let after = served.listening.stats();
        let bytes: usize = frames.iter().map(|frame| frame.len() + udp::FRAME_HEADER).sum();
        // And perhaps a question whether the link is there.
        let asked = after.datagrams_in - before.datagrams_in - frames.len() as u64;
        assert!(asked <= 1, "{asked}");
        assert_eq!(after.bytes_in - before.bytes_in - asked * 9, bytes as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_long_or_no_datagram_of_this_adapter_is_refused_and_counted() {
    let served = serve(Mode::Echo, config()).await;
    let hand = Hand::reach(served.listening.address()).await;
    let name = hand.link(7).await;
    hand.send(&Hand::on(FRAME, &name, &[1; 1_200])).await;
    assert_eq!(hand.recv().await.len(), 9 + 1_200);
    let before = served.listening.stats();
    hand.send(&Hand::on(FRAME, &name, &[1; 1_201])).await;
    hand.send(&Hand::on(FRAME, &name, &[1; 60_000])).await;
    for strange in [&[][..], &[0; 40], &[FRAME], &Hand::hello(1)[..39], &[SHARED, 1, 2], &[HERE; 9], &[0xff; 900]] {
        hand.send(strange).await;
    }
    hand.silent().await;
    let after = served.listening.stats();
    assert_eq!(after.oversize - before.oversize, 2);
    assert_eq!(after.malformed - before.malformed, 7);
    assert_eq!(after.datagrams_out, before.datagrams_out, "silence");
    // The link is as good as before.
    hand.send(&Hand::on(FRAME, &name, b"still here")).await;
    assert_eq!(hand.recv().await, Hand::on(FRAME, &name, b"still here"));
    assert_eq!(links(&served.handle).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_with_different_limits_take_the_smaller_one() {
    let served = serve(Mode::Echo, UdpConfig { max_frame: 900, ..config() }).await;
    let udp = UdpConfig { max_frame: 5_000, ..config() };
    let (client, mut events, _) = connect(Mode::Report, served.listening.address(), udp).await;
    until("a link", async || links(&client).await == 1).await;
    assert_eq!(client.call(|toy, _| toy.opened[0].1.max_frame).await, Ok(900));
    send_all(&client, vec![pattern(901), pattern(900)], Class::Control).await;
    assert_eq!(payload(soon(events.recv()).await), pattern(900));
    assert_eq!(served.handle.call(|toy, _| toy.opened[0].1.max_frame).await, Ok(900));
}

// --- the cookie ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_longer_than_what_it_answers() {
    let served = serve(Mode::Echo, config()).await;
    let hand = Hand::reach(served.listening.address()).await;
    // Whatever a stranger sends, of each kind and of each length, what comes back is no longer: datagram by datagram.
    let mut answered = 0;
    for kind in 0xd0..=0xdf {
        for length in 0..64 {
            let mut stranger = vec![0; length];
            if let Some(first) = stranger.first_mut() {
                *first = kind;
            }
            let before = served.listening.stats();
            hand.send(&stranger).await;
            until("it was read", async || served.listening.stats().datagrams_in > before.datagrams_in).await;
            let after = served.listening.stats();
            let out = after.bytes_out - before.bytes_out;
            assert!(out <= length as u64, "{length} bytes of {kind:#x} brought {out}");
            answered += u64::from(out > 0);
        }
    }
    assert_eq!(answered, 1, "only the hello of its one length");
    let hello = hand.recv().await;
    assert_eq!(hello.len(), 29);
    // The whole exchange, byte by byte.
    let before = served.listening.stats();
    let cookie = hand.cookie(5).await;
    let fetched = served.listening.stats();
    assert_eq!((fetched.bytes_in - before.bytes_in, fetched.bytes_out - before.bytes_out), (40, 29));
    assert_eq!(served.handle.stats().links_opened, 0, "a cookie is no link");
    hand.send(&Hand::open(5, &cookie)).await;
    assert_eq!(hand.recv().await[0], ACCEPTED);
    let opened = served.listening.stats();
    assert_eq!((opened.bytes_in - fetched.bytes_in, opened.bytes_out - fetched.bytes_out), (33, 21));
    assert_eq!(served.handle.stats().links_opened, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_that_is_forged_too_old_or_anothers_opens_nothing() {
    let udp = UdpConfig { cookie: Duration::from_millis(150), ..config() };
    let served = serve(Mode::Echo, udp).await;
    let address = served.listening.address();
    let (hand, other) = (Hand::reach(address).await, Hand::reach(address).await);
    let cookie = hand.cookie(5).await;
    // Another port; another address; another nonce.
    other.send(&Hand::open(5, &cookie)).await;
    let elsewhere = Hand::reach_from(Ipv4Addr::new(127, 0, 0, 2), address).await;
    elsewhere.send(&Hand::open(5, &cookie)).await;
    hand.send(&Hand::open(6, &cookie)).await;
    // A changed code, and one of nobody's.
    let mut changed = cookie.clone();
    changed[12] ^= 1;
    hand.send(&Hand::open(5, &changed)).await;
    changed[4..].fill(0);
    hand.send(&Hand::open(5, &changed)).await;
    until("all five were read", async || served.listening.stats().cookies_forged == 5).await;
    // Two slots later.
    sleep(Duration::from_millis(320)).await;
    hand.send(&Hand::open(5, &cookie)).await;
    until("it was read", async || served.listening.stats().cookies_expired == 1).await;
    for silent in [&hand, &other, &elsewhere] {
        silent.silent().await;
    }
    assert_eq!(served.handle.stats().links_opened, 0);
    // A new one is good.
    hand.link(5).await;
    assert_eq!(served.handle.stats().links_opened, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_that_comes_again_makes_no_second_link() {
    let served = serve(Mode::Echo, config()).await;
    let hand = Hand::reach(served.listening.address()).await;
    let cookie = hand.cookie(5).await;
    let mut names = Vec::new();
    for _ in 0..5 {
        hand.send(&Hand::open(5, &cookie)).await;
        let answer = hand.recv().await;
        assert_eq!(answer[0], ACCEPTED);
        names.push(answer[9..17].to_vec());
    }
    names.dedup();
    assert_eq!(names.len(), 1);
    assert_eq!(served.handle.stats().links_opened, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_leaves_nothing_behind_and_shuts_nobody_out() {
    let served = serve(Mode::Echo, config()).await;
    let address = served.listening.address();
    let flood = tokio::spawn(async move {
        let mut hands = Vec::new();
        for number in 0..50 {
            hands.push(Hand::reach_from(Ipv4Addr::new(127, 1, 0, number + 1), address).await);
        }
        for round in 0..100_u64 {
            for (number, hand) in hands.iter().enumerate() {
                let nonce = round * 1000 + number as u64;
                // Where the socket's buffer is full that is as good.
                let _ = hand.0.try_send(&Hand::hello(nonce));
                let _ = hand.0.try_send(&Hand::open(nonce, &[0; 20]));
            }
            tokio::task::yield_now().await;
        }
    });
    let (client, mut events, _) = connect(Mode::Report, address, config()).await;
    send_until_heard(&client, &mut events).await;
    flood.await.unwrap();
    let stats = served.listening.stats();
    assert!(stats.cookies_issued > 500, "{stats:?}");
    assert!(stats.bytes_out <= stats.bytes_in, "{stats:?}");
    assert_eq!(served.handle.stats().links_opened, 1, "but for one all were strangers");
}

/// The client has a link over which it is answered.
async fn send_until_heard(client: &Handle<Toy>, events: &mut Events) {
    soon(async {
        loop {
            send_all(client, vec![b"well?".to_vec()], Class::Data).await;
            let answer = tokio::time::timeout(Duration::from_millis(50), events.recv()).await;
            if answer.is_ok_and(|event| payload(event) == b"well?"[..]) {
                return;
            }
        }
    })
    .await;
}

// --- bounds ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_bounded_in_all_and_for_each_host() {
    let udp = UdpConfig { max_links: 5, per_host: 3, ..config() };
    let served = serve(Mode::Echo, udp).await;
    let address = served.listening.address();
    let mut held = Vec::new();
    let open = async |ip: u8, nonce: u64| {
        let hand = Hand::reach_from(Ipv4Addr::new(127, 0, 0, ip), address).await;
        let cookie = hand.cookie(nonce).await;
        hand.send(&Hand::open(nonce, &cookie)).await;
        hand
    };
    for (ip, count) in [(1, 3), (2, 2)] {
        for nonce in 0..count {
            let hand = open(ip, nonce).await;
            let answer = hand.recv().await;
            assert_eq!(answer[0], ACCEPTED);
            held.push((hand, answer[9..17].to_vec()));
        }
        if ip == 1 {
            let fourth = open(1, 9).await;
            until("the fourth was read", async || served.listening.stats().crowded == 1).await;
            fourth.silent().await;
        }
    }
    let sixth = open(3, 9).await;
    until("the sixth was read", async || served.listening.stats().crowded == 2).await;
    sixth.silent().await;
    assert_eq!(links(&served.handle).await, 5);
    // Who goes makes room.
    let (hand, name) = &held[0];
    hand.send(&Hand::on(GOODBYE, name, &[])).await;
    until("it is gone", async || links(&served.handle).await == 4).await;
    assert_eq!(served.notices.closed()[0].1, CloseReason::Peer);
    let seventh = open(3, 10).await;
    assert_eq!(seventh.recv().await[0], ACCEPTED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_loses_its_link_and_who_asks_keeps_it() {
    let udp = UdpConfig { first: Duration::from_millis(200), idle: Duration::from_millis(400), ..config() };
    let served = serve(Mode::Echo, udp).await;
    let address = served.listening.address();
    let (mute, spoken, alive) = (Hand::reach(address).await, Hand::reach(address).await, Hand::reach(address).await);
    let (mute_name, spoken_name, alive_name) = (mute.link(1).await, spoken.link(2).await, alive.link(3).await);
    for (hand, name) in [(&spoken, &spoken_name), (&alive, &alive_name)] {
        hand.send(&Hand::on(FRAME, name, b"x")).await;
        hand.recv().await;
    }
    for _ in 0..12 {
        alive.send(&Hand::on(ASK, &alive_name, &[])).await;
        assert_eq!(alive.recv().await, Hand::on(HERE, &alive_name, &[]));
        // To ask is not to say anything.
        mute.send(&Hand::on(ASK, &mute_name, &[])).await;
        sleep(Duration::from_millis(60)).await;
    }
    until("two are gone", async || links(&served.handle).await == 1).await;
    let closed = served.notices.closed();
    assert!(closed.len() == 2 && closed.iter().all(|(_, why, _)| *why == CloseReason::Idle), "{closed:?}");
    assert_eq!(spoken.recv().await, Hand::on(GOODBYE, &spoken_name, &[]));
    alive.send(&Hand::on(FRAME, &alive_name, b"here")).await;
    assert_eq!(alive.recv().await, Hand::on(FRAME, &alive_name, b"here"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_for_one_address_and_its_name_helps_nobody_else() {
    let served = serve(Mode::Echo, config()).await;
    let address = served.listening.address();
    let (hand, other) = (Hand::reach(address).await, Hand::reach(address).await);
    let name = hand.link(1).await;
    hand.send(&Hand::on(FRAME, &name, b"mine")).await;
    hand.recv().await;
    let frames = served.handle.stats().frames_in;
    for kind in [FRAME, ASK, GOODBYE] {
        other.send(&Hand::on(kind, &name, &[])).await;
    }
    // And a name that nobody has, from the right address.
    for kind in [FRAME, ASK, GOODBYE] {
        hand.send(&Hand::on(kind, &[9; 8], &[])).await;
    }
    until("all six were read", async || served.listening.stats().strayed == 6).await;
    other.silent().await;
    hand.silent().await;
    assert_eq!((served.handle.stats().frames_in, links(&served.handle).await), (frames, 1));
    hand.send(&Hand::on(FRAME, &name, b"mine")).await;
    assert_eq!(hand.recv().await, Hand::on(FRAME, &name, b"mine"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_floods_loses_its_own_frames_and_delays_no_other() {
    let limits = LinkLimits { in_frames: 32, ..LinkLimits::default() };
    let served = serve_with(Toy::new(Mode::Report), Config::default().link_limits(limits).events(8), config()).await;
    let Served { handle, mut events, listening, .. } = served;
    let (flooder, good) = (Hand::reach(listening.address()).await, Hand::reach(listening.address()).await);
    let (flooding_name, good_name) = (flooder.link(1).await, good.link(2).await);
    let noise = Hand::on(FRAME, &flooding_name, b"noise");
    // The application takes nothing: the driver stops, the link's queue fills, and what comes then is dropped.
    until("frames are dropped", async || {
        for _ in 0..50 {
            let _ = flooder.0.try_send(&noise);
        }
        listening.stats().frames_dropped > 0
    })
    .await;
    assert!(handle.stats().pauses > 0);
    let mut longest = 0;
    for _ in 0..5 {
        good.send(&Hand::on(FRAME, &good_name, b"signal")).await;
        sleep(Duration::from_millis(20)).await;
        let mut before = 0;
        while payload(soon(events.recv()).await) != b"signal"[..] {
            let _ = flooder.0.try_send(&noise);
            before += 1;
        }
        longest = longest.max(before);
    }
    // The flooder's queue, the channel of events, and a turn.
    assert!(longest < 32 + 8 + 32, "{longest}");
    soon(handle.shutdown()).await.unwrap();
}

// --- ends ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_sends_what_is_queued_and_says_goodbye() {
    for of_the_client in [true, false] {
        let served = serve(Mode::Report, config()).await;
        let (client, client_events, _) = connect(Mode::Report, served.listening.address(), config()).await;
        until("links on both sides", async || links(&client).await + links(&served.handle).await == 2).await;
        let frames: Vec<Vec<u8>> = (0..100).map(|number| vec![number; 200]).collect();
        let (goes, stays, mut events) = match of_the_client {
            true => (client, served.handle, served.events),
            false => (served.handle, client, client_events),
        };
        stays.call(|toy, _| toy.wants = None).await.unwrap();
        send_all(&goes, frames.clone(), Class::Control).await;
        let finished = soon(goes.shutdown()).await.unwrap();
        assert!(finished.complete && finished.unflushed == 0, "of the client: {of_the_client}");
        for frame in frames {
            assert_eq!(payload(soon(events.recv()).await), frame);
        }
        // At once, not after some silence.
        until("it knows", async || links(&stays).await == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_nobody_listens_at_ends_no_attempt_and_no_listener() {
    // A client that is told "refused" goes on trying until there is somebody.
    let free = std::net::UdpSocket::bind(ANY).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let (client, mut events, _) = connect(Mode::Report, address, config()).await;
    sleep(Duration::from_millis(150)).await;
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default());
    let listening = udp::listen(handle.uplink(), address, config()).await.unwrap();
    send_until_heard(&client, &mut events).await;
    // A peer that vanished without a word costs the listener nothing but what it sends to it.
    let gone = Hand::reach(address).await;
    gone.link(1).await;
    drop(gone);
    for _ in 0..20 {
        send_all(&handle, vec![b"to all".to_vec()], Class::Data).await;
        assert_eq!(payload(soon(events.recv()).await), b"to all"[..]);
    }
    assert_eq!(listening.stats().send_errors, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_out_of_reach_is_noticed_and_reached_again() {
    let served = serve(Mode::Echo, config()).await;
    let relay = Relay::start(served.listening.address(), 1, Faults::default()).await;
    let (client, mut events, notices) = connect(Mode::Report, relay.address, config()).await;
    send_until_heard(&client, &mut events).await;
    // With nothing said for longer than the silence the link stays: it asks.
    sleep(Duration::from_millis(800)).await;
    assert!(notices.closed().is_empty());
    relay.cut(true);
    until("the client gives up", async || !notices.closed().is_empty()).await;
    assert_eq!(notices.closed()[0].1, CloseReason::Idle);
    relay.cut(false);
    send_until_heard(&client, &mut events).await;
    assert_eq!(links(&client).await, 1);
}

/// What the application does not take does not count as silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_sleeps_loses_no_link() {
    let served = serve(Mode::Report, config()).await;
    let mut toy = Toy::new(Mode::Report);
    toy.wants = Some(Peer::ThirdParty);
    let (notices, address) = (Notices::default(), served.listening.address());
    let driven = Config::default()
        .connector(UdpConnector::new(config(), move |_, _| Some(address)))
        .events(1)
        .link_limits(LinkLimits { in_frames: 4, ..LinkLimits::default() });
    let (client, mut events) = driver::spawn(toy, notices.watch(driven));
    client.call(|toy, _| toy.want()).await.unwrap();
    until("a link", async || links(&served.handle).await == 1).await;
    send_all(&served.handle, (0..50).map(|number| vec![number; 100]).collect(), Class::Control).await;
    sleep(config().silence * 3).await;
    assert!(notices.closed().is_empty(), "{:?}", notices.closed());
    for number in 0..50 {
        assert_eq!(payload(soon(events.recv()).await), vec![number; 100]);
    }
    let idle = served.notices.closed();
    assert!(idle.is_empty(), "nor does the other side lose it: {idle:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_work_over_ipv6() {
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default());
    let listening = match udp::listen(handle.uplink(), "[::1]:0", config()).await {
        Ok(listening) => listening,
        Err(why) => return eprintln!("SKIPPED: no IPv6 on this host: {why}"),
    };
    let (client, mut events, _) = connect(Mode::Report, listening.address(), config()).await;
    send_until_heard(&client, &mut events).await;
}

/// Bound to no address, a listener answers from the one that it was asked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_answers_from_the_address_that_the_peer_knows() {
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default());
    let listening = udp::listen(handle.uplink(), "0.0.0.0:0", config()).await.unwrap();
    // Hears only what comes from that address.
    let hand = Hand::reach(([127, 0, 0, 5], listening.address().port()).into()).await;
    let name = hand.link(1).await;
    hand.send(&Hand::on(FRAME, &name, b"echo")).await;
    assert_eq!(hand.recv().await, Hand::on(FRAME, &name, b"echo"));
}
