//! Frames over links: whole, in order, and each link on its own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use common::{Mode, Raw, Toy, framed, payload, serve, soon, until};
use sodality::endpoint::{Class, LinkInfo, To};
use sodality_transports::driver::{self, Config};
use sodality_transports::stream::{Patience, attach};
use sodality_transports::tcp::TcpConfig;
use sodality_transports::transport::{CloseReason, LinkLimits};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MAX: usize = 200_000;

fn tcp() -> TcpConfig {
    TcpConfig { max_frame: MAX, ..TcpConfig::default() }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + length) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_every_length_arrive_whole_and_in_order() {
    // Room for all of it, however slowly this test reads.
    let limits = LinkLimits { control_bytes: 64 << 20, ..LinkLimits::default() };
    let served = serve(Toy::new(Mode::Echo), Config::default().link_limits(limits), tcp()).await;
    let raw = Raw::join(&served).await;
    let (mut reader, mut writer) = raw.0.into_split();
    let mut lengths: Vec<usize> = (0..300).collect();
    lengths.extend([4095, 4096, 4097, 16_383, 16_384, 16_385, 65_531, 65_532, 65_533, 65_536, MAX - 1, MAX, 0, 1]);
    lengths.extend((0..200).map(|step| step * 997 % MAX));
    let sent = lengths.clone();
    let sender = tokio::spawn(async move {
        for length in sent {
            // In pieces that have nothing to do with frames.
            for piece in framed(&pattern(length)).chunks(1 + length % 50_000) {
                writer.write_all(piece).await.unwrap();
            }
        }
        writer
    });
    for length in lengths {
        let announced = soon(reader.read_u32()).await.unwrap();
        assert_eq!(announced as usize, length);
        let mut frame = vec![0; length];
        soon(reader.read_exact(&mut frame)).await.unwrap();
        assert!(frame == pattern(length), "a frame of {length} bytes has changed");
    }
    soon(sender).await.unwrap();
    soon(served.handle.shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_length_above_the_limit_closes_that_link_only() {
    let served = serve(Toy::new(Mode::Echo), Config::default(), tcp()).await;
    let mut good = Raw::join(&served).await;
    let mut bad = Raw::join(&served).await;
    bad.send(b"still fine").await;
    assert_eq!(bad.recv().await.unwrap(), b"still fine");
    soon(bad.0.write_all(&(MAX as u32 + 1).to_be_bytes())).await.unwrap();
    bad.gone().await;
    good.send(&pattern(MAX)).await;
    assert_eq!(good.recv().await.unwrap(), pattern(MAX));
    let closed = served.notices.closed();
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].1, CloseReason::Oversize { announced: MAX as u64 + 1 });
    assert_eq!(served.handle.call(|toy, _| toy.closed.len()).await, Ok(1));
}

#[tokio::test]
async fn garbage_and_half_frames_harm_only_their_sender() {
    let patience = Patience { frame: Duration::from_millis(150), ..Patience::default() };
    let served = serve(Toy::new(Mode::Echo), Config::default(), TcpConfig { patience, ..tcp() }).await;
    let mut good = Raw::join(&served).await;
    let mut garbage = Raw::join(&served).await;
    let mut half = Raw::join(&served).await;
    let mut prefix = Raw::join(&served).await;
    let mut trickle = Raw::join(&served).await;
    soon(garbage.0.write_all(&[0xA5; 4096])).await.unwrap();
    soon(half.0.write_all(&framed(&[1; 1000])[..500])).await.unwrap();
    soon(prefix.0.write_all(&[0, 0])).await.unwrap();
    // A byte now and then does not extend the time of a frame.
    let trickling = tokio::spawn(async move {
        for byte in framed(&[2; 1000]) {
            if trickle.0.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        trickle.gone().await;
    });
    for round in 0..50_u8 {
        good.send(&[round; 100]).await;
        assert_eq!(good.recv().await.unwrap(), [round; 100]);
    }
    garbage.gone().await;
    half.gone().await;
    prefix.gone().await;
    soon(trickling).await.unwrap();
    // Silence between frames is no stall.
    good.send(b"after").await;
    assert_eq!(good.recv().await.unwrap(), b"after");
    let reasons: Vec<CloseReason> = served.notices.closed().iter().map(|(_, why, _)| *why).collect();
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    assert_eq!(reasons.iter().filter(|why| **why == CloseReason::Stalled).count(), 3, "{reasons:?}");
    assert!(reasons.contains(&CloseReason::Oversize { announced: 0xA5A5_A5A5 }), "{reasons:?}");
}

#[tokio::test]
async fn who_connects_and_says_nothing_loses_its_place() {
    let patience = Patience { first: Duration::from_millis(200), ..Patience::default() };
    let served = serve(Toy::new(Mode::Echo), Config::default(), TcpConfig { patience, ..tcp() }).await;
    let mut spoken = Raw::join(&served).await;
    spoken.send(b"x").await;
    assert_eq!(spoken.recv().await.unwrap(), b"x");
    let mut silent = Raw::join(&served).await;
    silent.gone().await;
    until(|| !served.notices.closed().is_empty()).await;
    // Who has spoken may be silent for as long as it likes.
    tokio::time::sleep(Duration::from_millis(300)).await;
    spoken.send(b"y").await;
    assert_eq!(spoken.recv().await.unwrap(), b"y");
    let closed = served.notices.closed();
    assert_eq!((closed.len(), closed[0].1), (1, CloseReason::Idle));
}

#[tokio::test]
async fn an_idle_link_closes_if_the_configuration_says_so() {
    let patience = Patience { idle: Some(Duration::from_millis(200)), ..Patience::default() };
    let served = serve(Toy::new(Mode::Echo), Config::default(), TcpConfig { patience, ..tcp() }).await;
    let mut busy = Raw::join(&served).await;
    let mut idle = Raw::join(&served).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        busy.send(b"x").await;
        assert_eq!(busy.recv().await.unwrap(), b"x");
    }
    idle.gone().await;
    until(|| !served.notices.closed().is_empty()).await;
    let closed = served.notices.closed();
    assert_eq!((closed.len(), closed[0].1), (1, CloseReason::Idle));
}

/// Sends `count` numbered frames of 8 KiB from `source`, and checks that `good` gets each of them.
async fn flood(source: &mut Raw, good: &mut Raw, count: u32) {
    for number in 0..count {
        let mut frame = vec![0; 8192];
        frame[..4].copy_from_slice(&number.to_be_bytes());
        source.send(&frame).await;
        assert_eq!(good.recv().await.unwrap(), frame);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stops_reading_loses_data_and_stalls_nobody() {
    let limits = LinkLimits { data_bytes: 128 << 10, ..LinkLimits::default() };
    let served = serve(Toy::new(Mode::Hub(Class::Data)), Config::default().link_limits(limits), tcp()).await;
    let mut source = Raw::join(&served).await;
    let mut good = Raw::join(&served).await;
    let mut slow = Raw::join(&served).await;
    // Far more than the kernel's buffers and the queue hold together.
    flood(&mut source, &mut good, 3000).await;
    let dropped = served.handle.stats().data_dropped;
    assert!(dropped > 0 && dropped < 3000, "{dropped}");
    assert!(served.notices.closed().is_empty());
    // It reads again: what it gets is whole and in order, and after the gap the newest arrives.
    let reading = tokio::spawn(async move {
        let mut last = None;
        let mut count = 0;
        loop {
            let frame = slow.recv().await.unwrap();
            if frame == b"the last" {
                return (count, last);
            }
            let number = u32::from_be_bytes(frame[..4].try_into().unwrap());
            assert!(last < Some(number), "{number} after {last:?}");
            last = Some(number);
            count += 1;
        }
    });
    soon(async {
        while !reading.is_finished() {
            source.send(b"the last").await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let (count, _) = reading.await.unwrap();
    assert_eq!(count, 3000 - dropped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_cannot_hold_control_is_closed_and_no_other() {
    let served = serve(Toy::new(Mode::Hub(Class::Control)), Config::default(), tcp()).await;
    let mut source = Raw::join(&served).await;
    let mut good = Raw::join(&served).await;
    let mut slow = Raw::join(&served).await;
    flood(&mut source, &mut good, 3000).await;
    until(|| !served.notices.closed().is_empty()).await;
    let closed = served.notices.closed();
    assert_eq!((closed.len(), closed[0].1), (1, CloseReason::Overflow));
    assert_eq!(served.handle.stats().control_overflows, 1);
    assert_eq!(served.handle.stats().data_dropped, 0);
    slow.gone().await;
    assert_eq!(served.handle.call(|toy, _| (toy.links.len(), toy.closed.len())).await, Ok((2, 1)));
}

#[tokio::test]
async fn control_fits_where_data_does_not() {
    let limits = LinkLimits { data_frames: 10, control_frames: 10, ..LinkLimits::default() };
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default().link_limits(limits));
    let (_incoming, mut outgoing) = soon(handle.uplink().open(LinkInfo::stream(100), "test")).await.unwrap();
    let frames = |class, count: usize| {
        handle.call(move |toy, _| {
            for _ in 0..count {
                let all = toy.all();
                toy.send(all, vec![class as u8; 10], class);
            }
        })
    };
    frames(Class::Data, 15).await.unwrap();
    assert_eq!((handle.stats().frames_out, handle.stats().data_dropped), (10, 5));
    frames(Class::Control, 10).await.unwrap();
    assert_eq!((handle.stats().frames_out, handle.stats().control_overflows), (20, 0));
    let mut batch = Vec::new();
    assert!(soon(outgoing.batch(&mut batch, 150)).await);
    assert_eq!(batch.len(), 15);
    assert!(soon(outgoing.batch(&mut batch, usize::MAX)).await);
    assert_eq!(batch.len(), 20);
    assert!(batch[..10].iter().all(|frame| frame[0] == Class::Data as u8));
    assert!(batch[10..].iter().all(|frame| frame[0] == Class::Control as u8));
    frames(Class::Control, 21).await.unwrap();
    assert_eq!(handle.stats().control_overflows, 1);
    assert_eq!(soon(outgoing.next()).await, None);
    // A frame that the link never carries is not queued, and no reason to close it.
    let (_incoming, mut outgoing) = soon(handle.uplink().open(LinkInfo::stream(100), "test")).await.unwrap();
    handle
        .call(|toy, _| {
            let all = toy.all();
            toy.send(all.clone(), vec![0; 101], Class::Control);
            toy.send(all, vec![0; 100], Class::Control);
        })
        .await
        .unwrap();
    assert_eq!(soon(outgoing.next()).await.unwrap().len(), 100);
    assert_eq!(handle.stats().undeliverable, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooding_link_does_not_starve_another() {
    let served = serve(Toy::new(Mode::Report), Config::default(), tcp()).await;
    let mut good = Raw::join(&served).await;
    let mut flooder = Raw::join(&served).await;
    let common::Served { handle, mut events, .. } = served;
    let flooding = tokio::spawn(async move {
        let block: Vec<u8> = (0..4096).flat_map(|_| framed(b"noise")).collect();
        while flooder.0.write_all(&block).await.is_ok() {}
    });
    // All queues between there and the application are full.
    until(|| handle.stats().pauses > 0).await;
    // How many frames of the flooder come before one that was sent now: bounded, whatever it has sent.
    let between = soon(async {
        let mut worst = 0;
        for _ in 0..20 {
            good.send(b"signal").await;
            // By now it is in the link's queue, or nearly.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut noise = 0_u32;
            while payload(events.recv().await) != b"signal"[..] {
                noise += 1;
            }
            worst = worst.max(noise);
        }
        worst
    })
    .await;
    // The channel for events holds 256; then comes a turn or two of the flooder.
    assert!(between < 400, "{between}");
    flooding.abort();
    soon(handle.shutdown()).await.unwrap();
}

/// Counts the writes and asks how many bytes they took.
struct Counting<W> {
    inner: W,
    writes: Arc<AtomicUsize>,
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Counting<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if written.is_ready() {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        if written.is_ready() {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn many_small_frames_go_out_in_few_writes() {
    let (handle, _events) = driver::spawn(Toy::new(Mode::Echo), Config::default());
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (reader, inner) = tokio::io::split(ours);
    let (mut their_reader, _their_writer) = tokio::io::split(theirs);
    let writes = Arc::new(AtomicUsize::new(0));
    let writer = Counting { inner, writes: writes.clone() };
    let info = LinkInfo::stream(1 << 17);
    soon(attach(&handle.uplink(), reader, writer, info, "duplex", Patience::default())).await.unwrap();
    // 2000 frames of 60 bytes and their prefixes are 128 000 bytes: two writes of up to 64 KiB.
    handle
        .call(|toy, _| {
            for number in 0..2000_u32 {
                let all = toy.all();
                toy.send(all, [number.to_be_bytes(); 15].concat(), Class::Control);
            }
        })
        .await
        .unwrap();
    for number in 0..2000_u32 {
        assert_eq!(soon(their_reader.read_u32()).await.unwrap(), 60);
        let mut frame = [0; 60];
        soon(their_reader.read_exact(&mut frame)).await.unwrap();
        assert_eq!(frame[..4], number.to_be_bytes());
    }
    let count = writes.swap(0, Ordering::Relaxed);
    // The driver lets other tasks run every 256 frames, so a few more writes than two.
    assert!(count <= 12, "{count} writes");
    // Short frames in front of a long one go out with it.
    handle
        .call(|toy, _| {
            let Some(link) = toy.links.keys().next().copied() else { return };
            toy.send(To::Link(link), vec![1; 10], Class::Control);
            toy.send(To::Link(link), vec![2; 50_000], Class::Control);
        })
        .await
        .unwrap();
    let mut both = vec![0; 4 + 10 + 4 + 50_000];
    soon(their_reader.read_exact(&mut both)).await.unwrap();
    assert_eq!(both, [framed(&[1; 10]), framed(&[2; 50_000])].concat());
    let count = writes.load(Ordering::Relaxed);
    assert!(count <= 2, "{count} writes");
}
