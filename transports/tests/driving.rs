//! The driver itself: calls, timers, an application that does not keep up, links that are wanted, the end.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::net::TcpListener as StdListener;
use std::time::Duration;

use common::{Mode, Notices, Raw, Served, Toy, payload, serve, soon, until};
use sodality::endpoint::{Class, Entropy, EntropyError, LinkInfo, LinkTicket};
use sodality::event::{Event, Peer};
use sodality::identity::Name;
use sodality_transports::driver::{self, Config, DriverGone, End};
use sodality_transports::report::Notice;
use sodality_transports::tcp::{self, Backoff, ListenError, TcpConfig, TcpConnector};
use sodality_transports::transport::{CloseReason, LinkLimits, Refused};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn beating(mode: Mode, every: Duration) -> Toy {
    Toy { beat: Some(every), ..Toy::new(mode) }
}

#[tokio::test]
async fn an_application_that_takes_no_events_stops_reading_but_no_timer() {
    let limits = LinkLimits { in_bytes: 64 << 10, ..LinkLimits::default() };
    let toy = beating(Mode::Report, Duration::from_millis(20));
    let served = serve(toy, Config::default().events(8).link_limits(limits), TcpConfig::default()).await;
    let Served { handle, mut events, address, .. } = served;
    let (mut reader, mut writer) = Raw::connect(address).await.0.into_split();
    const FRAMES: u32 = 4000;
    let sending = tokio::spawn(async move {
        for number in 0..FRAMES {
            let mut frame = vec![0; 8192];
            frame[..4].copy_from_slice(&number.to_be_bytes());
            writer.write_all(&common::framed(&frame)).await.unwrap();
        }
        writer
    });
    until(|| handle.stats().pauses == 1).await;
    // 32 MB do not fit between here and there: the sender feels it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!sending.is_finished());
    let taken = handle.stats().frames_in;
    assert!(taken <= 9, "{taken}");
    // Heartbeats go on, and so do calls.
    let beats = handle.stats().frames_out;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let more = handle.stats().frames_out - beats;
    assert!((5..=21).contains(&more), "{more} beats in 400 ms");
    assert_eq!(handle.stats().frames_in, taken);
    let timeouts = soon(handle.call(|toy, _| toy.timeouts)).await.unwrap();
    // Neither is there a loop that spins: 64 tries, then one each 10 ms.
    assert!(timeouts < 400, "{timeouts}");
    // The application comes back, and nothing was lost.
    for number in 0..FRAMES {
        let message = payload(soon(events.recv()).await);
        assert_eq!(message[..4], number.to_be_bytes());
    }
    soon(sending).await.unwrap();
    assert_eq!(handle.call(|toy, _| toy.stats.overruns).await, Ok(0));
    let mut beat = [0; 8];
    soon(tokio::io::AsyncReadExt::read_exact(&mut reader, &mut beat)).await.unwrap();
    assert_eq!(&beat, b"\0\0\0\x04beat");
}

#[tokio::test]
async fn new_links_wait_while_the_application_takes_no_events() {
    let served = serve(Toy::new(Mode::Report), Config::default().events(1), TcpConfig::default()).await;
    let Served { handle, mut events, address, .. } = served;
    let mut first = Raw::connect(address).await;
    first.send(b"one").await;
    until(|| handle.stats().pauses == 1).await;
    let _second = Raw::connect(address).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(handle.stats().links_opened, 1);
    assert_eq!(payload(soon(events.recv()).await), b"one"[..]);
    until(|| handle.stats().links_opened == 2).await;
}

#[tokio::test]
async fn events_that_nobody_wants_are_thrown_away() {
    let served = serve(Toy::new(Mode::Report), Config::default().events(1), TcpConfig::default()).await;
    let mut raw = Raw::join(&served).await;
    drop(served.events);
    for _ in 0..100 {
        raw.send(b"for nobody").await;
    }
    until(|| served.handle.stats().frames_in == 100).await;
    assert_eq!(served.handle.call(|toy, _| toy.stats.overruns).await, Ok(0));
}

#[tokio::test]
async fn calls_return_what_they_return() {
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default());
    assert_eq!(handle.call(|_, _| 7).await, Ok(7));
    assert_eq!(handle.call(|_, _| Err::<(), _>("no")).await, Ok(Err("no")));
    let text = String::from("moved in and out");
    assert_eq!(handle.call(move |_, _| text).await.unwrap(), "moved in and out");
    // Time goes on, the wall clock is there, and randomness is random.
    let (before, wall, one) = handle
        .call(|_, cx| {
            let mut bytes = [0_u8; 32];
            (cx.now, cx.wall, cx.rng.fill(&mut bytes).map(|()| bytes))
        })
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let (after, two) = handle
        .call(|_, cx| {
            let mut bytes = [0_u8; 32];
            (cx.now, cx.rng.fill(&mut bytes).map(|()| bytes))
        })
        .await
        .unwrap();
    assert!(after.since(before) >= Duration::from_millis(5));
    assert!(wall.is_some());
    assert!(one.is_ok() && two.is_ok() && one != two);
    // Many at once, from clones: each gets its own answer.
    let calls: Vec<_> = (0..200)
        .map(|number| {
            let handle = handle.clone();
            tokio::spawn(async move { (number, handle.call(move |_, _| number).await) })
        })
        .collect();
    for call in calls {
        let (number, answer) = soon(call).await.unwrap();
        assert_eq!(answer, Ok(number));
    }
}

#[tokio::test]
async fn a_failing_random_source_is_passed_on() {
    struct Dry;
    impl Entropy for Dry {
        fn fill(&mut self, _out: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError)
        }
    }
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default().entropy(Dry));
    assert_eq!(handle.call(|_, cx| cx.rng.fill(&mut [0; 4])).await, Ok(Err(EntropyError)));
}

#[tokio::test]
async fn timers_keep_time_while_frames_pour_in() {
    let served =
        serve(beating(Mode::Hub(Class::Data), Duration::from_millis(25)), Config::default(), TcpConfig::default())
            .await;
    let mut raw = Raw::join(&served).await;
    let block: Vec<u8> = (0..1000).flat_map(|_| common::framed(b"noise")).collect();
    let pouring = tokio::spawn(async move { while raw.0.write_all(&block).await.is_ok() {} });
    until(|| served.handle.stats().frames_in > 1000).await;
    let before = served.handle.call(|toy, _| toy.timeouts).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let beats = served.handle.call(|toy, _| toy.timeouts).await.unwrap() - before;
    assert!((8..=21).contains(&beats), "{beats} beats in 500 ms");
    pouring.abort();
}

#[tokio::test]
async fn an_endpoint_that_never_rests_is_slowed_down_and_counted() {
    let toy = Toy { restless: true, ..Toy::new(Mode::Echo) };
    let served = serve(toy, Config::default(), TcpConfig::default()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let timeouts = served.handle.call(|toy, _| toy.timeouts).await.unwrap();
    assert!((64..=64 + 40).contains(&timeouts), "{timeouts}");
    assert!(served.handle.stats().spins >= 1);
    // It works nevertheless.
    let mut raw = Raw::join(&served).await;
    raw.send(b"hello").await;
    assert_eq!(raw.recv().await.unwrap(), b"hello");
}

#[tokio::test]
async fn more_links_than_allowed_are_refused() {
    let served = serve(Toy::new(Mode::Echo), Config::default().max_links(2), TcpConfig::default()).await;
    let first = Raw::join(&served).await;
    let mut second = Raw::join(&served).await;
    let mut third = Raw::connect(served.address).await;
    third.gone().await;
    assert_eq!(served.handle.stats().links_refused, 1);
    let refused = served.handle.uplink().open(LinkInfo::stream(10), "test").await;
    assert_eq!(refused.map(drop).unwrap_err(), Refused::Full);
    drop(first);
    until(|| served.handle.stats().links_closed == 1).await;
    let mut fourth = Raw::join(&served).await;
    fourth.send(b"x").await;
    assert_eq!(fourth.recv().await.unwrap(), b"x");
    second.send(b"y").await;
    assert_eq!(second.recv().await.unwrap(), b"y");
    // Numbers are never used twice.
    let opened = served.handle.call(|toy, _| toy.opened.iter().map(|(link, _)| link.0).collect::<Vec<_>>()).await;
    assert_eq!(opened.unwrap(), [0, 1, 2]);
}

#[tokio::test]
async fn a_listener_holds_as_many_links_as_it_may() {
    let served =
        serve(Toy::new(Mode::Echo), Config::default(), TcpConfig { max_links: 1, ..TcpConfig::default() }).await;
    let first = Raw::join(&served).await;
    let mut second = Raw::connect(served.address).await;
    second.send(b"patience").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(served.handle.stats().links_opened, 1);
    drop(first);
    assert_eq!(second.recv().await.unwrap(), b"patience");
}

fn leader() -> Peer {
    Peer::Leader(Name::new("leader").unwrap())
}

fn quick() -> TcpConfig {
    let backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(40), attempts: 200 };
    TcpConfig { backoff, ..TcpConfig::default() }
}

#[tokio::test]
async fn a_wanted_link_is_made_and_made_again() {
    // An address where nobody listens yet.
    let place = StdListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let connector =
        TcpConnector::new(quick(), move |peer, hint| (*peer == leader() && hint == b"hint").then_some(address));
    let notices = Notices::default();
    let toy = Toy { wants: Some(leader()), ..Toy::new(Mode::Echo) };
    let (handle, _events) = driver::spawn(toy, notices.watch(Config::default().connector(connector)));
    // Three wishes, one attempt; the latest ticket is answered.
    for _ in 0..3 {
        handle.call(|toy, _| toy.want()).await.unwrap();
    }
    until(|| handle.stats().unreachable >= 3).await;
    assert!(notices.all().iter().any(|notice| matches!(notice, Notice::Unreachable { again: true, .. })));
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    for round in 0..3 {
        let (stream, _) = soon(listener.accept()).await.unwrap();
        let mut raw = Raw(stream);
        raw.send(&[round]).await;
        assert_eq!(raw.recv().await.unwrap(), [round]);
        // Closed here: the endpoint hears of it and wants another.
        drop(raw);
        until(|| handle.stats().links_closed == u64::from(round) + 1).await;
    }
    let opened = handle.call(|toy, _| toy.opened.clone()).await.unwrap();
    for (index, (link, info)) in opened.iter().take(3).enumerate() {
        assert_eq!(link.0, index as u64);
        assert_eq!(info.answers, Some(LinkTicket(3 + index as u64)));
        assert!(info.reliable && info.proven && !info.shared);
    }
    assert!(notices.closed().iter().all(|(_, why, _)| matches!(why, CloseReason::Peer | CloseReason::Io(_))));
    soon(handle.shutdown()).await.unwrap();
}

/// As a proxy does whose target is gone.
#[tokio::test]
async fn whoever_hangs_up_at_once_is_not_called_again_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = accepted.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            drop(stream);
        }
    });
    let backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(10), attempts: 8 };
    let connector = TcpConnector::new(TcpConfig { backoff, ..TcpConfig::default() }, move |_, _| Some(address));
    let toy = Toy { wants: Some(leader()), ..Toy::new(Mode::Echo) };
    let (handle, _events) = driver::spawn(toy, Config::default().connector(connector));
    handle.call(|toy, _| toy.want()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // After 0, 50, 150, 350 and 750 ms; without pauses thousands.
    let times = accepted.load(std::sync::atomic::Ordering::Relaxed);
    assert!((2..=5).contains(&times), "{times}");
    soon(handle.shutdown()).await.unwrap();
}

#[tokio::test]
async fn attempts_end_and_a_new_wish_begins_anew() {
    let place = StdListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let backoff = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(2), attempts: 3 };
    let connector = TcpConnector::new(TcpConfig { backoff, ..TcpConfig::default() }, move |_, _| Some(address));
    let notices = Notices::default();
    let toy = Toy { wants: Some(Peer::ThirdParty), ..Toy::new(Mode::Echo) };
    let (handle, _events) = driver::spawn(toy, notices.watch(Config::default().connector(connector)));
    for wish in 1..=2 {
        handle.call(|toy, _| toy.want()).await.unwrap();
        until(|| handle.stats().unreachable == 3 * wish).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(handle.stats().unreachable, 3 * wish);
    }
    let last: Vec<bool> = notices
        .all()
        .into_iter()
        .filter_map(|notice| if let Notice::Unreachable { again, .. } = notice { Some(again) } else { None })
        .collect();
    assert_eq!(last, [true, true, false, true, true, false]);
}

#[tokio::test]
async fn a_wish_that_no_connector_takes_goes_to_the_application() {
    let toy = Toy { wants: Some(Peer::ThirdParty), ..Toy::new(Mode::Echo) };
    let connector = TcpConnector::new(quick(), |_, _| None);
    let (handle, mut events) = driver::spawn(toy, Config::default().connector(connector));
    handle.call(|toy, _| toy.want()).await.unwrap();
    let event = soon(events.recv()).await.unwrap();
    let Event::LinkWanted { ticket, peer: Peer::ThirdParty, .. } = event else { panic!("{event:?}") };
    // The application may make the link itself.
    let info = LinkInfo { answers: Some(ticket), ..LinkInfo::stream(100) };
    let (_incoming, _outgoing) = soon(handle.uplink().open(info, "by hand")).await.unwrap();
    assert_eq!(handle.call(|toy, _| toy.opened[0].1.answers).await, Ok(Some(LinkTicket(1))));
    assert_eq!(handle.stats().wishes_untaken, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drivers_meet_over_loopback_and_part_in_order() {
    let hub = serve(Toy::new(Mode::Hub(Class::Control)), Config::default(), TcpConfig::default()).await;
    let address = hub.address;
    let mut members = Vec::new();
    for _ in 0..3 {
        let connector = TcpConnector::new(quick(), move |_, _| Some(address));
        let toy = Toy { wants: Some(leader()), ..Toy::new(Mode::Report) };
        let (handle, events) = driver::spawn(toy, Config::default().connector(connector));
        handle.call(|toy, _| toy.want()).await.unwrap();
        members.push((handle, events));
    }
    until(|| hub.handle.stats().links_opened == 3 && members.iter().all(|(m, _)| m.stats().links_opened == 1)).await;
    const EACH: usize = 200;
    for (index, (handle, _)) in members.iter().enumerate() {
        for number in 0..EACH {
            let text = format!("{number} from {index}");
            handle
                .call(move |toy, _| {
                    let all = toy.all();
                    toy.send(all, text, Class::Control);
                })
                .await
                .unwrap();
        }
    }
    for (index, (_, events)) in members.iter_mut().enumerate() {
        // From each of the others everything, in its order.
        let mut next = [0; 3];
        for _ in 0..2 * EACH {
            let text = payload(soon(events.recv()).await);
            let text = std::str::from_utf8(&text).unwrap();
            let (number, from) = text.split_once(" from ").unwrap();
            let from: usize = from.parse().unwrap();
            assert_ne!(from, index);
            assert_eq!(number.parse(), Ok(next[from]));
            next[from] += 1;
        }
    }
    // The hub goes first; a member wants it back, in vain, and can still be ended.
    assert!(soon(hub.handle.shutdown()).await.unwrap().complete);
    for (handle, _) in members {
        until(|| handle.stats().links_closed == 1 && handle.stats().unreachable > 0).await;
        let finished = soon(handle.shutdown()).await.unwrap();
        assert!(finished.complete);
        assert_eq!(finished.machine.stats.overruns, 0);
    }
    until(|| tasks() == 0).await;
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn a_shutdown_flushes_and_leaves_nothing_behind() {
    assert_eq!(tasks(), 0);
    let unreachable = StdListener::bind("127.0.0.1:0").unwrap();
    let nowhere = unreachable.local_addr().unwrap();
    drop(unreachable);
    let connector = TcpConnector::new(quick(), move |_, _| Some(nowhere));
    let toy = Toy { wants: Some(leader()), ..Toy::new(Mode::Echo) };
    let served = serve(toy, Config::default().connector(connector), TcpConfig::default()).await;
    // A listener, an attempt to connect, and two links.
    served.handle.call(|toy, _| toy.want()).await.unwrap();
    let mut one = Raw::join(&served).await;
    let mut two = Raw::join(&served).await;
    served
        .handle
        .call(|toy, _| {
            for number in 0..2000_u32 {
                let all = toy.all();
                toy.send(all, vec![number as u8; 500], Class::Control);
            }
        })
        .await
        .unwrap();
    // Unread input must not destroy what is on its way.
    one.send(b"not answered any more, perhaps").await;
    let reading = async {
        for raw in [&mut one, &mut two] {
            let mut count = 0_u32;
            while let Some(frame) = raw.recv().await {
                if frame.len() == 500 {
                    assert_eq!(frame, vec![count as u8; 500]);
                    count += 1;
                }
            }
            assert_eq!(count, 2000);
        }
        drop((one, two));
    };
    let (finished, ()) = soon(async { tokio::join!(served.handle.shutdown(), reading) }).await;
    let finished = finished.unwrap();
    assert!(finished.complete);
    assert_eq!(finished.unflushed, 0);
    assert_eq!(finished.machine.opened.len(), 2);
    assert_eq!(served.handle.ended().await, End::Shutdown);
    assert_eq!(served.handle.call(|_, _| ()).await, Err(DriverGone));
    assert!(served.handle.shutdown().await.is_err());
    assert!(TcpStream::connect(served.address).await.is_err());
    let refused = served.handle.uplink().open(LinkInfo::stream(1), "late").await;
    assert_eq!(refused.map(drop).unwrap_err(), Refused::Gone);
    let late = tcp::listen(served.handle.uplink(), "127.0.0.1:0", TcpConfig::default()).await;
    assert!(matches!(late, Err(ListenError::Gone)));
    until(|| tasks() == 0).await;
}

#[tokio::test]
async fn what_is_flushed_survives_a_peer_that_goes_on_sending() {
    let served = serve(Toy::new(Mode::Report), Config::default(), TcpConfig::default()).await;
    let raw = Raw::join(&served).await;
    drop(served.events);
    let (mut reader, mut writer) = raw.0.into_split();
    let noise = tokio::spawn(async move {
        while writer.write_all(&common::framed(b"noise")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    // More than the peer's window, so that much of it lies in the own kernel's buffers when the last write returns.
    const BYTES: usize = 1_200_000;
    let send = |toy: &mut Toy| {
        let all = toy.all();
        toy.send(all, vec![7; BYTES / 2], Class::Control);
        let all = toy.all();
        toy.send(all, vec![7; BYTES / 2], Class::Control);
    };
    served.handle.call(move |toy, _| send(toy)).await.unwrap();
    let shutdown = tokio::spawn(async move { served.handle.shutdown().await.unwrap() });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut received = 0;
    let mut buffer = vec![0; 65_536];
    while received < BYTES + 8 {
        let count = soon(tokio::io::AsyncReadExt::read(&mut reader, &mut buffer)).await.unwrap();
        assert!(count > 0, "the end after {received} bytes");
        received += count;
    }
    let finished = soon(shutdown).await.unwrap();
    assert!(finished.complete && finished.unflushed == 0);
    noise.abort();
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_those_who_do_not_read() {
    let served =
        serve(Toy::new(Mode::Echo), Config::default().flush(Duration::from_millis(200)), TcpConfig::default()).await;
    let _stuck = Raw::join(&served).await;
    let mut good = Raw::join(&served).await;
    served
        .handle
        .call(|toy, _| {
            let stuck = sodality::endpoint::To::Link(toy.opened[0].0);
            let good = sodality::endpoint::To::Link(toy.opened[1].0);
            // More than the kernel takes, less than the queue.
            (0..100).for_each(|_| toy.send(stuck.clone(), vec![0; 1 << 20], Class::Data));
            toy.send(good, &b"bye"[..], Class::Control);
        })
        .await
        .unwrap();
    // Fill the kernel's buffers until the queue holds something for good.
    soon(async {
        loop {
            let dropped = served.handle.stats().data_dropped;
            served
                .handle
                .call(|toy, _| {
                    let stuck = sodality::endpoint::To::Link(toy.opened[0].0);
                    (0..10).for_each(|_| toy.send(stuck.clone(), vec![0; 1 << 20], Class::Data));
                })
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            if served.handle.stats().data_dropped == dropped + 10 {
                break;
            }
        }
    })
    .await;
    let begun = tokio::time::Instant::now();
    let finished = soon(served.handle.shutdown()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(finished.unflushed, 1);
    assert!(finished.complete);
    assert_eq!(good.recv().await.unwrap(), b"bye");
    good.gone().await;
    until(|| tasks() == 0).await;
}

#[tokio::test]
async fn dropping_all_handles_is_a_shutdown() {
    let served = serve(Toy::new(Mode::Echo), Config::default(), TcpConfig::default()).await;
    let mut raw = Raw::join(&served).await;
    let Served { handle, mut events, address, .. } = served;
    let other = handle.clone();
    drop(handle);
    raw.send(b"one is left").await;
    assert_eq!(raw.recv().await.unwrap(), b"one is left");
    drop(other);
    assert_eq!(soon(events.recv()).await, None);
    raw.gone().await;
    drop(raw);
    until(|| tasks() == 0).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_panic_in_a_call_ends_the_driver_and_its_links() {
    let served = serve(Toy::new(Mode::Echo), Config::default(), TcpConfig::default()).await;
    let mut raw = Raw::join(&served).await;
    let gone = served.handle.call(|_, _| panic!("on purpose")).await;
    assert_eq!(gone, Err(DriverGone));
    assert_eq!(soon(served.handle.ended()).await, End::Aborted);
    raw.gone().await;
    until(|| tasks() == 0).await;
}
