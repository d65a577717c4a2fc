//! Multicast channels on loopback: groups in the modes mixed and symmetric, what is sent how often, and what becomes of a
//! group whose multicast does not arrive (R47).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![cfg(feature = "udp")]

mod common;
mod datagrams;
mod group;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{Mode, Notices, Toy, payload, soon};
use datagrams::{Joined, Led, SHARED, config, converge, idle_member, policy, say, until};
use sodality::endpoint::Class;
use sodality::event::Event;
use sodality::policy::{Communication, Policy};
use sodality_transports::driver::{self, Config};
use sodality_transports::report::Notice;
use sodality_transports::udp::multicast::{self, Channel, Interface, MulticastConfig, Probed};
use sodality_transports::udp::{SAFE_FRAME, UdpError};
use tokio::net::UdpSocket;
use tokio::time::sleep;

/// A group that no other test uses, with a port that the system chooses.
fn fresh() -> MulticastConfig {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let process = std::process::id();
    let group = Ipv4Addr::new(239, 255, (process % 250) as u8, (process / 250 % 8 * 31 + number as u32 % 31) as u8);
    on_loopback(SocketAddr::new(group.into(), 0))
}

fn on_loopback(group: SocketAddr) -> MulticastConfig {
    MulticastConfig { interface: Interface::Address(Ipv4Addr::LOCALHOST), ttl: 0, ..MulticastConfig::new(group) }
}

/// Everybody but the first, on the group that the first has bound.
fn with(first: &Channel) -> MulticastConfig {
    on_loopback(first.group())
}

/// Whether this host carries multicast over loopback at all. If not the tests say so.
async fn works() -> bool {
    let (handle, _events) = driver::spawn(Toy::new(Mode::Report), Config::default());
    let probed = match multicast::join(handle.uplink(), fresh()).await {
        Ok(channel) => channel.probe(Duration::from_secs(2)).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if probed != Ok(Probed::Back) {
        eprintln!("SKIPPED: no multicast over loopback on this host: {probed:?}");
    }
    probed == Ok(Probed::Back)
}

fn shared(communication: Communication) -> Policy {
    Policy { communication, ..policy() }
}

/// A leader and members by unicast, all of them on one channel too.
struct Group {
    leader: Led,
    members: Vec<Joined>,
    /// The leader's first.
    channels: Vec<Channel>,
}

impl Group {
    async fn start(communication: Communication, names: &[&str]) -> Self {
        let leader = datagrams::leader(datagrams::third_party().await, shared(communication), config()).await;
        let mut channels = vec![multicast::join(leader.handle.uplink(), fresh()).await.unwrap()];
        let mut members = Vec::new();
        for who in names {
            let member = idle_member(who, leader.listening.address(), config());
            channels.push(multicast::join(member.handle.uplink(), with(&channels[0])).await.unwrap());
            member.join().await;
            members.push(member);
        }
        let group = Self { leader, members, channels };
        converge(&group.leader, &group.members).await;
        group
    }

    /// The leader has heard from all that they hear the channel.
    async fn all_hear_the_channel(&self) {
        // What tells is a text of the leader's that goes out once, and not to anybody alone.
        let mut number = 0;
        until("data go over the channel alone", async || {
            number += 1;
            let text = format!("is it on {number}?");
            let before = (self.channels[0].stats().datagrams_out, self.leader.handle.stats().frames_out);
            say(&self.leader.handle, &text).await;
            sleep(Duration::from_millis(30)).await;
            let members = self.members.iter().all(|member| member.log.times(text.as_bytes()) == 1);
            let after = (self.channels[0].stats().datagrams_out, self.leader.handle.stats().frames_out);
            members && (after.0 - before.0, after.1 - before.1) == (1, 1)
        })
        .await;
    }

    async fn heard_by_all_members_but(&self, text: &str, speaker: usize) {
        until(text, async || {
            let others = self.members.iter().enumerate().filter(|(number, _)| *number != speaker);
            others.into_iter().all(|(_, member)| member.log.times(text.as_bytes()) == 1)
        })
        .await;
    }
}

// --- channels ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_goes_out_once_and_reaches_all_on_one_host() {
    if !works().await {
        return;
    }
    let notices = Notices::default();
    let (speaker, mut own) = driver::spawn(Toy::new(Mode::Report), notices.watch(Config::default()));
    let channel = multicast::join(speaker.uplink(), fresh()).await.unwrap();
    let mut hearers = Vec::new();
    for _ in 0..5 {
        let (handle, events) = driver::spawn(Toy::new(Mode::Report), Config::default());
        let channel = multicast::join(handle.uplink(), with(&channel)).await.unwrap();
        hearers.push((handle, events, channel));
    }
    let info = speaker.call(|toy, _| toy.opened[0].1).await.unwrap();
    assert!(info.shared && !info.proven && !info.reliable && info.max_frame == SAFE_FRAME, "{info:?}");
    let frames: Vec<Vec<u8>> = [0, 1, 100, 100, 100, 1_199, 1_200].map(|length| vec![7; length]).into();
    let sent = frames.clone();
    speaker
        .call(move |toy, _| {
            for frame in sent {
                let all = toy.all();
                toy.send(all, frame, Class::Control);
            }
            let all = toy.all();
            toy.send(all, vec![0; SAFE_FRAME + 1], Class::Control);
        })
        .await
        .unwrap();
    for (_, events, _) in &mut hearers {
        for frame in &frames {
            assert_eq!(payload(soon(events.recv()).await), frame[..]);
        }
    }
    // At the socket: each frame once, whoever listens; and the one that is too long not at all.
    assert_eq!(channel.stats().datagrams_out, frames.len() as u64);
    let bytes: usize = frames.iter().map(|frame| frame.len() + 1).sum();
    assert_eq!(channel.stats().bytes_out, bytes as u64);
    assert_eq!(speaker.stats().undeliverable, 1);
    for (_, _, hearing) in &hearers {
        assert_eq!((hearing.stats().datagrams_in, hearing.stats().datagrams_out), (frames.len() as u64, 0));
    }
    // What comes back is known as one's own, and left aside.
    until("all came back", async || channel.stats().echoes == frames.len() as u64).await;
    assert!(own.try_recv().is_none());
    let report = channel.report().to_string();
    for part in [&channel.group().to_string(), "interface 127.0.0.1", "TTL 0", "loopback on", "7 datagrams sent"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(report.contains("none of another ever"), "{report}");
    assert!(hearers[0].2.report().to_string().contains("the last of another 0."), "{}", hearers[0].2.report());
    channel.tell();
    let told = notices.all();
    assert!(told.iter().any(|notice| matches!(notice, Notice::Multicast { link, .. } if *link == channel.link())));
    let finished = soon(speaker.shutdown()).await.unwrap();
    assert!(finished.complete && finished.unflushed == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_on_a_channel_are_refused_and_counted() {
    if !works().await {
        return;
    }
    let (handle, mut events) = driver::spawn(Toy::new(Mode::Report), Config::default());
    let channel = multicast::join(handle.uplink(), fresh()).await.unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket2::SockRef::from(&stranger).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let send = async |bytes: &[u8]| stranger.send_to(bytes, channel.group()).await.unwrap();
    for strange in [&[][..], &[0xd5; 9], &[0xd1; 40], &[0xda; 8], b"noise"] {
        send(strange).await;
    }
    send(&[&[SHARED][..], &[1; SAFE_FRAME + 1]].concat()).await;
    send(&[&[SHARED][..], b"frame"].concat()).await;
    assert_eq!(payload(soon(events.recv()).await), b"frame"[..]);
    let stats = channel.stats();
    assert_eq!((stats.malformed, stats.oversize, stats.datagrams_out), (5, 1, 0), "silence: {stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_tells_what_this_host_can_tell() {
    if !works().await {
        return;
    }
    let (handle, _events) = driver::spawn(Toy::new(Mode::Report), Config::default());
    let limit = Duration::from_millis(300);
    let channel = multicast::join(handle.uplink(), fresh()).await.unwrap();
    assert_eq!(channel.probe(limit).await.unwrap(), Probed::Back);
    let deaf = MulticastConfig { listen: false, ..with(&channel) };
    assert_eq!(multicast::join(handle.uplink(), deaf).await.unwrap().probe(limit).await.unwrap(), Probed::CannotTell);
    // Another port than the one that is heard: a probe to it does not come back.
    let other = fresh();
    let lost = multicast::join(handle.uplink(), other).await.unwrap();
    let hush = MulticastConfig { loopback: false, ..with(&lost) };
    assert_eq!(multicast::join(handle.uplink(), hush).await.unwrap().probe(limit).await.unwrap(), Probed::CannotTell);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_frames_are_known_on_the_interface_that_the_system_chooses() {
    let (handle, mut events) = driver::spawn(Toy::new(Mode::Report), Config::default());
    let config = MulticastConfig { interface: Interface::Any, ..fresh() };
    let channel = match multicast::join(handle.uplink(), config).await {
        Ok(channel) => channel,
        Err(why) => return eprintln!("SKIPPED: the system chooses no interface for multicast: {why}"),
    };
    if channel.probe(Duration::from_secs(1)).await.unwrap() != Probed::Back {
        return eprintln!("SKIPPED: nothing comes back on the interface that the system chooses");
    }
    handle
        .call(|toy, _| {
            let all = toy.all();
            toy.send(all, &b"own"[..], Class::Control);
        })
        .await
        .unwrap();
    until("the probe and the frame came back", async || channel.stats().datagrams_in == 2).await;
    assert_eq!(channel.stats().echoes, 2);
    assert_eq!(channel.report().last_heard, None);
    assert!(events.try_recv().is_none());
}

#[tokio::test]
async fn a_channel_that_cannot_be_is_refused_in_words() {
    let (handle, _events) = driver::spawn(Toy::new(Mode::Report), Config::default());
    let group: SocketAddr = "239.255.0.1:7000".parse().unwrap();
    let good = on_loopback(group);
    let bad = [
        (MulticastConfig { group: "192.0.2.1:7000".parse().unwrap(), ..good }, "not an address of a group"),
        (MulticastConfig { interface: Interface::Index(1), ..good }, "by its address for IPv4"),
        (MulticastConfig { group: "239.255.0.1:0".parse().unwrap(), listen: false, ..good }, "must know the port"),
        (MulticastConfig { group: "[ff12::1]:7000".parse().unwrap(), ..good }, "by its number for IPv6"),
    ];
    for (config, words) in bad {
        match multicast::join(handle.uplink(), config).await {
            Err(UdpError::Io(error)) => assert!(error.to_string().contains(words), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    let nowhere = MulticastConfig { interface: Interface::Address(Ipv4Addr::new(192, 0, 2, 77)), ..good };
    assert!(matches!(multicast::join(handle.uplink(), nowhere).await, Err(UdpError::Io(_))));
    assert_eq!(handle.stats().links_opened, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_works_over_ipv6_where_the_host_has_one() {
    let (handle, _events) = driver::spawn(Toy::new(Mode::Report), Config::default());
    let config =
        MulticastConfig { interface: Interface::Index(1), ..MulticastConfig::new("[ff12::50da]:0".parse().unwrap()) };
    let channel = match multicast::join(handle.uplink(), config).await {
        Ok(channel) => channel,
        Err(why) => return eprintln!("SKIPPED: no multicast of IPv6 on interface 1: {why}"),
    };
    match channel.probe(Duration::from_millis(500)).await.unwrap() {
        Probed::Back => {}
        other => return eprintln!("SKIPPED: multicast of IPv6 does not come back on interface 1: {other:?}"),
    }
    let (other, mut events) = driver::spawn(Toy::new(Mode::Report), Config::default());
    let config = MulticastConfig { group: channel.group(), ..config };
    let _channel = multicast::join(other.uplink(), config).await.unwrap();
    handle
        .call(|toy, _| {
            let all = toy.all();
            toy.send(all, &b"hello"[..], Class::Control);
        })
        .await
        .unwrap();
    assert_eq!(payload(soon(events.recv()).await), b"hello"[..]);
}

// --- groups ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixed_members_speak_to_the_leader_and_the_leader_to_all() {
    if !works().await {
        return;
    }
    let group = Group::start(Communication::Mixed, &["m1", "m2", "m3"]).await;
    group.all_hear_the_channel().await;
    // What a member says goes to the leader by unicast and from there to all by one datagram.
    let before: Vec<_> = group.channels.iter().map(|channel| channel.stats().datagrams_out).collect();
    for number in 0..10 {
        let text = format!("mixed {number}");
        say(&group.members[0].handle, &text).await;
        group.heard_by_all_members_but(&text, 0).await;
        assert_eq!(group.leader.log.times(text.as_bytes()), 1);
    }
    let after: Vec<_> = group.channels.iter().map(|channel| channel.stats().datagrams_out).collect();
    assert_eq!(after[1..], before[1..], "members send nothing to the channel");
    // Ten, and the heartbeats of the time.
    assert!(after[0] - before[0] >= 10, "{before:?} {after:?}");
    // Keys go over the channel, and nobody needs them again.
    let epoch = datagrams::standing(&group.leader.handle).await.1;
    group.leader.handle.call(|leader, cx| leader.rekey(cx).map(drop)).await.unwrap().unwrap();
    until("a new key", async || datagrams::standing(&group.leader.handle).await.1 > epoch).await;
    converge(&group.leader, &group.members).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn symmetric_everybody_speaks_to_all() {
    if !works().await {
        return;
    }
    let group = Group::start(Communication::Symmetric, &["m1", "m2", "m3"]).await;
    group.all_hear_the_channel().await;
    let mut number = 0;
    until("a member's text goes out over the channel", async || {
        number += 1;
        let before = group.channels[1].stats().datagrams_out;
        let text = format!("first {number}");
        say(&group.members[0].handle, &text).await;
        group.heard_by_all_members_but(&text, 0).await;
        group.channels[1].stats().datagrams_out > before
    })
    .await;
    for (speaker, member) in group.members.iter().enumerate() {
        let before: Vec<_> = group.channels.iter().map(|channel| channel.stats()).collect();
        let text = format!("symmetric {speaker}");
        say(&member.handle, &text).await;
        group.heard_by_all_members_but(&text, speaker).await;
        until("the leader hears it", async || group.leader.log.times(text.as_bytes()) == 1).await;
        until("it comes back", async || group.channels[speaker + 1].stats().echoes > before[speaker + 1].echoes).await;
        assert_eq!(member.log.times(text.as_bytes()), 0, "what comes back is nobody's message");
        let sent = group.channels[speaker + 1].stats().datagrams_out - before[speaker + 1].datagrams_out;
        assert_eq!(sent, 1, "a text is one datagram, whoever listens");
    }
}

/// Carries a channel to another group, frame by frame, unless it is told to drop all.
async fn carry(from: SocketAddr) -> (SocketAddr, Arc<AtomicU64>) {
    let behind = fresh();
    let ear = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    ear.set_reuse_address(true).unwrap();
    ear.set_nonblocking(true).unwrap();
    ear.bind(&from.into()).unwrap();
    let std::net::IpAddr::V4(ip) = from.ip() else { panic!("IPv4") };
    ear.join_multicast_v4(&ip, &Ipv4Addr::LOCALHOST).unwrap();
    let ear = UdpSocket::from_std(ear.into()).unwrap();
    let mouth = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket2::SockRef::from(&mouth).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    // A port that is free now; the group is nobody else's.
    let port = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let to = SocketAddr::new(behind.group.ip(), port);
    let dropping = Arc::new(AtomicU64::new(0));
    let dropped = dropping.clone();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        loop {
            let Ok((length, _)) = ear.recv_from(&mut buffer).await else { continue };
            if dropped.load(Ordering::SeqCst) == 0 {
                let _ = mouth.send_to(&buffer[..length], to).await;
            }
        }
    });
    (to, dropping)
}

/// R47: for one member the channel goes silent. It is noticed and said, and the group goes on by unicast.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r47_where_multicast_does_not_arrive_the_group_goes_on() {
    if !works().await {
        return;
    }
    let leader = datagrams::leader(datagrams::third_party().await, shared(Communication::Mixed), config()).await;
    let channel = multicast::join(leader.handle.uplink(), fresh()).await.unwrap();
    let (behind, dropping) = carry(channel.group()).await;
    let mut members = Vec::new();
    let mut channels = Vec::new();
    for (who, group) in [("m1", behind), ("m2", channel.group())] {
        let member = idle_member(who, leader.listening.address(), config());
        channels.push(multicast::join(member.handle.uplink(), on_loopback(group)).await.unwrap());
        member.join().await;
        members.push(member);
    }
    converge(&leader, &members).await;
    let link = channels[0].link();
    let silent = |event: &Event| *event == Event::MulticastSilent { link };
    until("the channel is heard by both", async || channels.iter().all(|c| c.report().last_heard.is_some())).await;
    assert!(!members[0].log.any(silent));
    // Nothing of the channel arrives any more.
    dropping.store(1, Ordering::SeqCst);
    until("it is noticed", async || members[0].log.any(silent)).await;
    let report = channels[0].report();
    assert_eq!(report.link, link);
    assert!(report.last_heard.is_some_and(|ago| ago > Duration::from_millis(500)), "{report}");
    println!("{report}");
    // This host could hear: what is missing is lost on the way.
    assert_eq!(channels[0].probe(Duration::from_secs(1)).await.unwrap(), Probed::Back);
    assert!(!members[1].log.any(|event| matches!(event, Event::MulticastSilent { .. })));
    // Until its next report has told the leader, what is said goes over the channel alone: data are best effort (G6).
    let mut number = 0;
    until("the leader serves it by unicast", async || {
        number += 1;
        let text = format!("at first {number}");
        say(&members[1].handle, &text).await;
        sleep(Duration::from_millis(50)).await;
        members[0].log.times(text.as_bytes()) == 1
    })
    .await;
    for number in 0..3 {
        let text = format!("goes on {number}");
        say(&members[1].handle, &text).await;
        until("all is heard", async || members[0].log.times(text.as_bytes()) == 1).await;
        leader.handle.call(|leader, cx| leader.rekey(cx).map(drop)).await.unwrap().unwrap();
        converge(&leader, &members).await;
    }
    // And back.
    dropping.store(0, Ordering::SeqCst);
    until("it is heard again", async || members[0].log.any(|event| *event == Event::MulticastHeard { link })).await;
}
