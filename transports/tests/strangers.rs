//! What peers get over TCP before the endpoint knows who they are: time, bytes and places (R2).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
mod group;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Mode, Raw, Served, Toy, framed, serve, soon, until};
use sodality::endpoint::Endpoint;
use sodality_transports::driver::Config;
use sodality_transports::report::Notice;
use sodality_transports::stream::Patience;
use sodality_transports::tcp::{self, Strangers, TcpConfig};
use sodality_transports::transport::CloseReason;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

const ME: &[u8] = b"it is me";

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// An echo that knows whoever says so.
async fn judge(patience: Patience, tcp: TcpConfig) -> Served {
    let toy = Toy { judges: true, ..Toy::new(Mode::Echo) };
    serve(toy, Config::default(), TcpConfig { patience, ..tcp }).await
}

fn reasons(served: &Served) -> Vec<CloseReason> {
    served.notices.closed().iter().map(|(_, why, _)| *why).collect()
}

/// Connects from an address of its own.
async fn from(own: &str, to: SocketAddr) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(own.parse().unwrap(), 0)).unwrap();
    Raw(soon(socket.connect(to)).await.unwrap())
}

async fn echoes(raw: &mut Raw, frame: &[u8]) {
    raw.send(frame).await;
    assert_eq!(raw.recv().await.unwrap(), frame);
}

#[tokio::test]
async fn bytes_that_trickle_buy_no_time_for_the_first_frame() {
    // Neither the time of a frame nor that of a stranger would end it.
    let patience = Patience { first: ms(200), known: None, ..Patience::default() };
    let served = judge(patience, TcpConfig::default()).await;
    let begun = Instant::now();
    let mut trickle = Raw::connect(served.address).await;
    let dripping = tokio::spawn(async move {
        for byte in framed(&[7; 4000]) {
            if trickle.0.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(ms(10)).await;
        }
    });
    until(|| !served.notices.closed().is_empty()).await;
    assert!(begun.elapsed() >= ms(150) && begun.elapsed() < ms(2000), "{:?}", begun.elapsed());
    assert_eq!(reasons(&served), [CloseReason::Stalled]);
    dripping.abort();
}

#[tokio::test]
async fn who_is_not_known_in_time_goes_however_much_it_says() {
    let served = judge(Patience { known: Some(ms(300)), ..Patience::default() }, TcpConfig::default()).await;
    let mut known = Raw::join(&served).await;
    echoes(&mut known, ME).await;
    let mut late = Raw::join(&served).await;
    let mut stranger = Raw::join(&served).await;
    let begun = Instant::now();
    let talking = tokio::spawn(async move {
        while stranger.0.write_all(&framed(b"let me in")).await.is_ok() {
            sleep(ms(5)).await;
        }
    });
    // Known at the last moment, by a frame after which nobody would have looked of itself: it is the eleventh.
    for number in 0..10_u8 {
        echoes(&mut late, &[number]).await;
    }
    echoes(&mut late, ME).await;
    soon(talking).await.unwrap();
    assert!(begun.elapsed() >= ms(200), "{:?}", begun.elapsed());
    sleep(ms(200)).await;
    assert_eq!(reasons(&served), [CloseReason::Stranger]);
    echoes(&mut known, b"still here").await;
    echoes(&mut late, b"still here").await;
}

#[tokio::test]
async fn who_is_not_known_may_send_so_many_bytes() {
    let served = judge(Patience { unknown_bytes: 10_000, ..Patience::default() }, TcpConfig::default()).await;
    let mut known = Raw::join(&served).await;
    // It says who it is in the middle of more than a stranger may send, all in one go.
    // After so many frames nobody looks of itself: the adapter has to ask, and about all of them.
    let mut much: Vec<u8> = (0..18).flat_map(|_| framed(&[1; 300])).collect();
    much.extend_from_slice(&framed(ME));
    much.extend((0..2).flat_map(|_| framed(&[2; 6000])));
    let (mut reader, mut writer) = known.0.split();
    let reading = async {
        let mut back = vec![0; much.len()];
        soon(tokio::io::AsyncReadExt::read_exact(&mut reader, &mut back)).await.unwrap();
        assert!(back == much);
    };
    let (written, ()) = tokio::join!(writer.write_all(&much), reading);
    written.unwrap();
    let mut stranger = Raw::join(&served).await;
    echoes(&mut stranger, &[3; 6000]).await;
    stranger.send(&[3; 6000]).await;
    until(|| !served.notices.closed().is_empty()).await;
    assert_eq!(reasons(&served), [CloseReason::Stranger]);
    echoes(&mut known, b"still here").await;
}

#[tokio::test]
async fn strangers_wait_for_one_another_and_for_nobody_who_is_known() {
    let strangers = Strangers { at_once: 2, per_address: 9 };
    let served = judge(Patience::default(), TcpConfig { strangers, ..TcpConfig::default() }).await;
    let mut first = Raw::join(&served).await;
    let mut second = Raw::join(&served).await;
    let mut third = Raw::connect(served.address).await;
    third.send(b"and I").await;
    sleep(ms(100)).await;
    assert_eq!(served.handle.stats().links_opened, 2);
    // One is known: there is a place. And another when one goes.
    echoes(&mut first, ME).await;
    assert_eq!(third.recv().await.unwrap(), b"and I");
    let mut fourth = Raw::connect(served.address).await;
    fourth.send(b"and I too").await;
    sleep(ms(100)).await;
    assert_eq!(served.handle.stats().links_opened, 3);
    echoes(&mut second, b"a stranger still").await;
    drop(second);
    assert_eq!(fourth.recv().await.unwrap(), b"and I too");
    assert_eq!(served.handle.stats().links_refused, 0);
}

#[tokio::test]
async fn one_address_does_not_shut_others_out() {
    let tcp = TcpConfig { strangers: Strangers { at_once: 9, per_address: 2 }, per_address: 3, ..TcpConfig::default() };
    let served = judge(Patience::default(), tcp).await;
    let mut own = Vec::new();
    for _ in 0..2 {
        own.push(Raw::join(&served).await);
    }
    from("127.0.0.1", served.address).await.gone().await;
    assert_eq!(served.handle.stats().links_refused, 1);
    let refused =
        |notice: &Notice| matches!(notice, Notice::Refused { origin } if origin.starts_with("tcp from 127.0.0.1:"));
    assert_eq!(served.notices.all().iter().filter(|notice| refused(notice)).count(), 1);
    let mut other = from("127.0.0.2", served.address).await;
    echoes(&mut other, b"from elsewhere").await;
    // As they become known others may come, up to the links of an address.
    echoes(&mut own[0], ME).await;
    echoes(&mut own[1], ME).await;
    sleep(ms(50)).await;
    let mut third = from("127.0.0.1", served.address).await;
    echoes(&mut third, ME).await;
    from("127.0.0.1", served.address).await.gone().await;
    assert_eq!(served.handle.stats().links_refused, 2);
    // Places come back when links go.
    drop(third);
    until(|| served.handle.stats().links_closed == 1).await;
    let mut again = from("127.0.0.1", served.address).await;
    echoes(&mut again, b"back").await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_judge_has_no_strangers() {
    let patience = Patience { known: Some(ms(100)), unknown_bytes: 10, ..Patience::default() };
    let tcp = TcpConfig { patience, strangers: Strangers { at_once: 1, per_address: 1 }, ..TcpConfig::default() };
    let served = serve(Toy::new(Mode::Echo), Config::default(), tcp).await;
    let mut raws = Vec::new();
    for _ in 0..5 {
        raws.push(Raw::join(&served).await);
        // Its place as a stranger is given back by the task that reads.
        sleep(ms(20)).await;
    }
    sleep(ms(200)).await;
    for raw in &mut raws {
        echoes(raw, &[1; 100]).await;
    }
    assert!(reasons(&served).is_empty());
}

/// A stalled application is no fault of the peers: nobody is thrown out as a stranger meanwhile.
#[tokio::test]
async fn who_cannot_be_heard_is_not_thrown_out_for_that() {
    let toy = Toy { judges: true, ..Toy::new(Mode::Report) };
    let patience = Patience { known: Some(ms(150)), ..Patience::default() };
    let served = serve(toy, Config::default().events(1), TcpConfig { patience, ..TcpConfig::default() }).await;
    let mut talker = Raw::join(&served).await;
    let mut quiet = Raw::join(&served).await;
    for _ in 0..8 {
        talker.send(ME).await;
    }
    until(|| served.handle.stats().pauses > 0).await;
    quiet.send(ME).await;
    sleep(ms(400)).await;
    assert!(reasons(&served).is_empty());
    let Served { handle, mut events, notices, .. } = served;
    for _ in 0..9 {
        soon(events.recv()).await.unwrap();
    }
    sleep(ms(200)).await;
    assert!(notices.closed().is_empty());
    assert_eq!(handle.call(|toy, _| toy.known.len()).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_knows_its_members_and_the_third_party_and_no_stranger() {
    let third_party = group::third_party().await;
    let (leader, _events, address) = group::leader(third_party, group::policy()).await;
    // Beside the other listener, one with little patience.
    let patience = Patience { known: Some(ms(600)), ..Patience::default() };
    let tcp = TcpConfig { patience, ..TcpConfig::default() };
    let strict = tcp::listen(leader.uplink(), "127.0.0.1:0", tcp).await.unwrap();
    assert_ne!(strict, address);
    let (member, mut events) = group::member("m1", strict).await;
    let mut stranger = TcpStream::connect(strict).await.unwrap();
    let joined = async { while !matches!(events.recv().await, Some(sodality::event::Event::Joined { .. })) {} };
    tokio::time::timeout(group::LIMIT, joined).await.unwrap();
    let babbling = async {
        while stranger.write_all(&framed(&[1, 1, 1, 1, 1, 1, 1, 1])).await.is_ok() {
            sleep(ms(20)).await;
        }
    };
    soon(babbling).await;
    sleep(ms(700)).await;
    assert_eq!((member.stats().links_opened, member.stats().links_closed), (1, 0));
    // The stranger alone: the link to the third party and that of the member are there.
    assert_eq!((leader.stats().links_opened, leader.stats().links_closed), (3, 1));
    let links = leader.links().await.unwrap();
    assert_eq!(links.len(), 2);
    for (link, _) in links {
        assert_eq!(leader.call(move |leader, _| leader.knows(link)).await, Ok(true), "{link:?}");
    }
}
