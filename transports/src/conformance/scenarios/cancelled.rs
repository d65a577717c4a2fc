//! Operations that are given up half way.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use sodality::event::{Event, Port};
use sodality::group::Participant;
use tokio::time::{sleep, timeout};

use crate::conformance::room::{Speaker, Stage};
use crate::conformance::seat::{ensure, soon, text};
use crate::conformance::{Failure, Network, System, Verdict};

/// Polls `future` at most so many times, others in between, and then drops it.
async fn give_up_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| match (future.as_mut().poll(cx), left) {
        (Poll::Ready(output), _) => Poll::Ready(Some(output)),
        (Poll::Pending, 0) => Poll::Ready(None),
        (Poll::Pending, _) => {
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

pub(in super::super) async fn operations_that_are_cancelled<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let mut room = stage.room(stage.patient()).await?;
    room.join(&["m0"]).await?;
    // Calls that are given up before, while or after they run: each runs once or not at all, and those that were waited
    // for ran once.
    let ran = Arc::new(Mutex::new(vec![0_u32; 600]));
    let mut waited = 0;
    for number in 0..600_usize {
        let ran = ran.clone();
        let call = room.leader.handle.call(move |_, _| {
            if let Some(count) = ran.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number) {
                *count += 1;
            }
        });
        if give_up_after((1 << (number % 14)) - 1, call).await.is_some_and(|answer| answer.is_ok()) {
            waited += 1;
        }
    }
    room.leader.handle.call(|_, _| ()).await.map_err(Failure::of)?;
    let counts = ran.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (once, twice) = (counts.iter().filter(|count| **count == 1).count(), counts.iter().any(|count| *count > 1));
    ensure!(!twice, "a cancelled call ran twice");
    ensure!(once >= waited, "{waited} calls were answered and {once} ran");
    ensure!(waited > 0 && waited < 600, "{waited} of 600 calls were waited for");
    // A message by a call that was given up is heard once or not at all.
    let mark = room.member(0)?.log.mark();
    for number in 0..100_u64 {
        let payload = text(64, number);
        let call = room.leader.handle.call(move |leader, cx| leader.send(cx, Port::Application, &payload));
        let _ = give_up_after((1 << (number % 14)) - 1, call).await;
    }
    room.tell(Speaker::Leader, text(64, 1000)).await?;
    for number in 0..100 {
        let payload = text(64, number);
        let heard = room
            .member(0)?
            .log
            .count(mark, |event| matches!(event, Event::Data(message) if message.payload == payload));
        ensure!(heard <= 1, "a message was heard {heard} times");
    }
    // Endpoints that are ended while they connect, join and speak: everything of their adapters ends, once.
    for step in 0..12_u64 {
        let seat = room.newcomer("m1").await?;
        seat.command("join", |member, cx| S::join(member, cx)).await?;
        sleep(Duration::from_millis(step * step / 2)).await;
        // The first to ask gives up; the end comes all the same.
        let _ = give_up_after((1 << step) - 1, seat.handle.shutdown()).await;
        let _ = seat.handle.shutdown().await;
        let ended = timeout(soon(), seat.handle.ended()).await.map_err(Failure::of)?;
        ensure!(ended == crate::driver::End::Shutdown, "a shutdown ended as {ended:?}");
        let stats = seat.handle.stats();
        ensure!(stats.links_closed <= stats.links_opened, "more links closed than opened: {stats:?}");
    }
    room.tell(Speaker::Member(0), text(64, 1001)).await?;
    room.end().await?;
    Ok(format!("of 600 calls {waited} were waited for, and {once} ran"))
}
