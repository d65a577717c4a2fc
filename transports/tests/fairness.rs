//! The driver is fair and bounded: times, order, the end, and what becomes of operations that are given up.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::future::Future;
use std::io::Write;
use std::net::TcpStream as StdStream;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::BytesMut;
use common::{Mode, Notices, Raw, Toy, framed, payload, serve, soon, until};
use sodality::endpoint::{Class, LinkInfo};
use sodality_transports::clock::Clock;
use sodality_transports::driver::{self, Config};
use sodality_transports::tcp::TcpConfig;
use sodality_transports::transport::{CloseReason, LinkLimits, LinkOver};
use tokio::io::AsyncWriteExt;

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Polls once, and gives up.
fn once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_counts_from_when_it_came() {
    let clock = Clock::new();
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default().clock(clock));
    let (mut incoming, _outgoing) = soon(handle.uplink().open(LinkInfo::stream(100), "test")).await.unwrap();
    let busy = tokio::spawn({
        let handle = handle.clone();
        async move { handle.call(|_, _| std::thread::sleep(ms(300))).await }
    });
    tokio::time::sleep(ms(50)).await;
    let before = clock.now();
    incoming.feed(BytesMut::from("one")).await.unwrap();
    let after = clock.now();
    tokio::time::sleep(ms(50)).await;
    incoming.feed(BytesMut::from("two")).await.unwrap();
    busy.await.unwrap().unwrap();
    until(|| handle.stats().frames_in == 2).await;
    let inputs = handle.call(|toy, _| toy.inputs.clone()).await.unwrap();
    assert!(inputs[0].0 >= before && inputs[0].0 <= after, "{before:?} {after:?} {inputs:?}");
    assert!(inputs[1].0 >= after + ms(45) && inputs[1].0 <= after + ms(150), "{after:?} {inputs:?}");
    // No frame is older than a second, however long it waited: a machine that slept must not take it for fresh.
    let busy = tokio::spawn({
        let handle = handle.clone();
        async move { handle.call(|_, _| std::thread::sleep(ms(1300))).await }
    });
    tokio::time::sleep(ms(50)).await;
    incoming.feed(BytesMut::from("old")).await.unwrap();
    busy.await.unwrap().unwrap();
    until(|| handle.stats().frames_in == 3).await;
    let now = clock.now();
    let inputs = handle.call(|toy, _| toy.inputs.clone()).await.unwrap();
    assert!(now.since(inputs[2].0) < ms(1200), "{now:?} {inputs:?}");
    // For the endpoint time never goes back.
    assert!(inputs.windows(2).all(|two| two[0].0 <= two[1].0), "{inputs:?}");
}

/// A peer that spoke in time is not taken for silent since this side was slow: its frame lies in the kernel when the timer is
/// long due.
#[tokio::test]
async fn what_has_come_goes_before_a_timer_that_is_due() {
    for _ in 0..5 {
        let toy = Toy { beat: Some(ms(100)), ..Toy::new(Mode::Report) };
        let served = serve(toy, Config::default(), TcpConfig::default()).await;
        let mut peer = StdStream::connect(served.address).unwrap();
        until(|| served.handle.stats().links_opened == 1).await;
        let timeouts = served.handle.call(|toy, cx| {
            // Everything stands still: the driver, its adapters, their runtime.
            peer.write_all(&framed(b"here I am")).unwrap();
            toy.next_beat = cx.now + ms(50);
            toy.inputs.clear();
            std::thread::sleep(ms(200));
            peer
        });
        let _peer = timeouts.await.unwrap();
        until(|| served.handle.stats().frames_in == 1).await;
        tokio::time::sleep(ms(20)).await;
        let inputs = served.handle.call(|toy, _| toy.inputs.clone()).await.unwrap();
        assert_eq!(inputs[0].1.as_deref(), Some(&b"here I am"[..]), "{inputs:?}");
        assert_eq!(inputs[1].1, None, "{inputs:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_does_not_stop_the_clock() {
    let toy = Toy { beat: Some(ms(25)), ..Toy::new(Mode::Report) };
    let served = serve(toy, Config::default(), TcpConfig::default()).await;
    drop(served.events);
    let mut flooder = Raw::connect(served.address).await;
    let flooding = tokio::spawn(async move {
        let block: Vec<u8> = (0..4096).flat_map(|_| framed(b"noise")).collect();
        while flooder.0.write_all(&block).await.is_ok() {}
    });
    until(|| served.handle.stats().frames_in > 10_000).await;
    let before = served.handle.stats();
    tokio::time::sleep(ms(1000)).await;
    let after = served.handle.stats();
    let (beats, frames) = (after.frames_out - before.frames_out, after.frames_in - before.frames_in);
    // One each 25 ms, or 20 later.
    assert!((18..=41).contains(&beats), "{beats} beats, {frames} frames");
    assert!(frames > 1000, "{beats} beats, {frames} frames");
    flooding.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_pour_in_keep_neither_frames_nor_timers_waiting() {
    let toy = Toy { beat: Some(ms(25)), ..Toy::new(Mode::Echo) };
    let served = serve(toy, Config::default(), TcpConfig::default()).await;
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let handle = served.handle.clone();
            // Each takes its time; together they would fill the driver's.
            tokio::spawn(async move { while handle.call(|_, _| std::thread::sleep(ms(1) / 20)).await.is_ok() {} })
        })
        .collect();
    let mut raw = Raw::join(&served).await;
    let before = served.handle.stats().frames_out;
    let begun = tokio::time::Instant::now();
    let (mut rounds, mut beats, mut worst) = (0, 0, Duration::ZERO);
    while begun.elapsed() < ms(500) {
        let sent = tokio::time::Instant::now();
        raw.send(b"round").await;
        while raw.recv().await.unwrap() != b"round" {
            beats += 1;
        }
        (rounds, worst) = (rounds + 1, worst.max(sent.elapsed()));
    }
    assert!((8..=21).contains(&beats), "{beats} beats and {rounds} rounds in 500 ms");
    // A turn has 16 calls at most before it comes to the links.
    assert!(rounds > 20 && worst < ms(200), "{rounds} rounds, at worst {worst:?}");
    assert!(served.handle.stats().frames_out > before);
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hears_of_a_call_finds_what_it_caused() {
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default());
    let (_incoming, mut outgoing) = soon(handle.uplink().open(LinkInfo::stream(100), "test")).await.unwrap();
    for number in 0..2000_u64 {
        let call = handle.call(move |toy, _| {
            let all = toy.all();
            toy.send(all, number.to_be_bytes().to_vec(), Class::Control);
        });
        call.await.unwrap();
        assert_eq!(handle.stats().frames_out, number + 1);
        assert_eq!(once(outgoing.next()).unwrap().unwrap()[..], number.to_be_bytes());
    }
}

#[tokio::test]
async fn the_last_word_is_sent_before_the_end() {
    let served = serve(Toy::new(Mode::Report), Config::default(), TcpConfig::default()).await;
    let mut raw = Raw::join(&served).await;
    // Said when the timer comes, which is due now; the end is asked for at once.
    let (_, finished) =
        tokio::join!(served.handle.call(|toy, _| toy.last_word = Some("farewell")), served.handle.shutdown(),);
    assert_eq!(raw.recv().await.unwrap(), b"farewell");
    assert_eq!(finished.unwrap().unflushed, 0);
}

#[tokio::test]
async fn a_farewell_that_no_link_took_is_missed() {
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default());
    let (incoming, outgoing) = soon(handle.uplink().open(LinkInfo::stream(100), "test")).await.unwrap();
    // The network fails after the farewell was queued and before it was sent. The driver has not heard of it yet.
    let farewell = handle.call(move |toy, _| {
        let all = toy.all();
        toy.send(all, &b"farewell"[..], Class::Control);
        (incoming, outgoing)
    });
    let (incoming, outgoing) = farewell.await.unwrap();
    let (finished, ()) = tokio::join!(handle.shutdown(), async {
        outgoing.close(CloseReason::Io(std::io::ErrorKind::BrokenPipe));
        drop(incoming);
    });
    assert_eq!(finished.unwrap().unflushed, 1);
}

#[tokio::test]
async fn a_call_that_is_given_up_runs_once_or_not_at_all() {
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default());
    // Polled once each: more than the driver queues, and it has had no turn yet. The first few are queued and run.
    for _ in 0..100 {
        assert!(once(handle.call(|toy, _| toy.tickets += 1)).is_none());
    }
    let ran = handle.call(|toy, _| toy.tickets).await.unwrap();
    assert!((1..100).contains(&ran), "{ran}");
    tokio::time::sleep(ms(20)).await;
    assert_eq!(handle.call(|toy, _| toy.tickets).await, Ok(ran));
}

#[tokio::test]
async fn a_link_that_is_given_up_while_it_opens_opens_and_closes_once() {
    let notices = Notices::default();
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), notices.watch(Config::default()));
    let uplink = handle.uplink();
    for _ in 0..3 {
        assert!(once(uplink.open(LinkInfo::stream(100), "given up")).is_none());
    }
    until(|| handle.stats().links_closed == 3).await;
    tokio::time::sleep(ms(20)).await;
    let (opened, closed) = handle.call(|toy, _| (toy.opened.len(), toy.closed.clone())).await.unwrap();
    assert_eq!((opened, closed.len()), (3, 3));
    assert!(notices.closed().iter().all(|(_, why, _)| *why == CloseReason::Abandoned));
    assert_eq!(handle.stats().links_opened, 3);
}

#[tokio::test]
async fn taking_and_feeding_that_are_given_up_double_nothing() {
    let limits = LinkLimits { in_frames: 2, ..LinkLimits::default() };
    let config = Config::default().events(1).link_limits(limits);
    let (handle, mut events) = driver::spawn(Toy::new(Mode::Report), config);
    let (mut incoming, mut outgoing) = soon(handle.uplink().open(LinkInfo::stream(100), "test")).await.unwrap();
    // Taking: nothing is there, then there is.
    for number in 0..50_u8 {
        assert!(once(outgoing.next()).is_none());
        handle
            .call(move |toy, _| {
                let all = toy.all();
                toy.send(all, vec![number], Class::Control);
            })
            .await
            .unwrap();
        assert_eq!(once(outgoing.next()).unwrap().unwrap()[..], [number]);
    }
    // Feeding: the application takes nothing, the queue fills, and what is given up may be lost, and is not doubled.
    for number in 0..20_u8 {
        let fed = once(incoming.feed(BytesMut::from(&[number][..])));
        assert!(fed.is_none_or(|fed| fed.is_ok()));
        tokio::task::yield_now().await;
    }
    let mut heard = Vec::new();
    while heard.last() != Some(&99) {
        if !heard.contains(&99) {
            let _ = once(incoming.feed(BytesMut::from(&[99_u8][..])));
        }
        heard.push(payload(soon(events.recv()).await)[0]);
    }
    heard.retain(|number| *number != 99);
    assert!(heard.len() >= 2 && heard.len() < 20, "{heard:?}");
    assert!(heard.windows(2).all(|two| two[0] < two[1]), "{heard:?}");
    drop(outgoing);
    assert_eq!(incoming.feed(BytesMut::from("late")).await, Err(LinkOver));
}

#[tokio::test]
async fn a_shutdown_that_nobody_waits_for_is_one() {
    let served = serve(Toy::new(Mode::Echo), Config::default(), TcpConfig::default()).await;
    let mut raw = Raw::join(&served).await;
    assert!(once(served.handle.shutdown()).is_none());
    raw.gone().await;
    assert_eq!(soon(served.handle.ended()).await, driver::End::Shutdown);
    assert!(served.handle.shutdown().await.is_err());
}

#[tokio::test]
async fn a_link_can_be_closed_by_the_application() {
    let served = serve(Toy::new(Mode::Echo), Config::default(), TcpConfig::default()).await;
    let mut one = Raw::join(&served).await;
    let mut two = Raw::join(&served).await;
    let links = served.handle.links().await.unwrap();
    assert_eq!(links.len(), 2);
    assert_eq!(served.handle.close_link(links[0].0).await, Ok(true));
    assert_eq!(served.handle.close_link(links[0].0).await, Ok(false));
    one.gone().await;
    two.send(b"x").await;
    assert_eq!(two.recv().await.unwrap(), b"x");
    let closed = served.notices.closed();
    assert_eq!((closed.len(), closed[0].1), (1, CloseReason::Application));
    assert_eq!(served.handle.call(|toy, _| toy.closed.clone()).await.unwrap(), [links[0].0]);
    assert_eq!(served.handle.links().await.unwrap(), links[1..]);
}
