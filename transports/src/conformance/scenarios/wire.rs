//! What crosses the network, as adapters count it.

use std::time::Duration;

use sodality::policy::Communication;
use tokio::time::{Instant, sleep};

use crate::conformance::room::{Room, Speaker, Stage, ensure, soon, text};
use crate::conformance::{Failure, Network, System, Verdict};
use crate::report::DriverStats;

const MESSAGES: u64 = 100;
const MEMBERS: u64 = 4;

/// What the leader has sent, and how many frames each member has taken.
fn counts<N: Network, S: System>(room: &Room<N, S>) -> (DriverStats, Vec<u64>) {
    let taken = room.members.iter().map(|seat| seat.handle.stats().wire_in_frames).collect();
    (room.leader.handle.stats(), taken)
}

/// Waits until a message of the leader goes out once in all: it has heard that all members hear what they share.
async fn all_hear_what_they_share<N: Network, S: System>(room: &Room<N, S>) -> Result<(), Failure> {
    let until = Instant::now() + soon();
    let mut number = 1_000_000;
    loop {
        number += 1;
        let before = room.leader.handle.stats().frames_out;
        room.leader.say(text(500, number)).await?;
        if room.leader.handle.stats().frames_out == before + 1 {
            return Ok(());
        }
        ensure!(Instant::now() < until, "messages go to members singly though all share a link");
        sleep(Duration::from_millis(50)).await;
    }
}

pub(in super::super) async fn what_crosses_the_network<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let can = stage.network.capabilities();
    let mut room = stage.room(stage.patient()).await?;
    room.join(&["m0", "m1", "m2", "m3"]).await?;
    let shares = room.terms.communication != Communication::Relay;
    if shares {
        all_hear_what_they_share(&room).await?;
    }
    sleep(Duration::from_millis(300)).await;
    let (before, taken_before) = counts(&room);
    let mark = room.member(0)?.log.mark();
    for number in 0..MESSAGES {
        room.leader.say(text(500, number)).await?;
    }
    let last = text(500, MESSAGES);
    room.tell(Speaker::Leader, last).await?;
    let heard = room.member(0)?.log.texts(mark);
    if can.reliable {
        ensure!(
            heard == (0..=MESSAGES).map(|number| text(500, number)).collect::<Vec<_>>(),
            "messages came in another order"
        );
    }
    for number in 0..=MESSAGES {
        let times = heard.iter().filter(|heard| **heard == text(500, number)).count();
        // The last may have been said again until it was heard.
        ensure!(times <= 1 || number == MESSAGES, "a message was heard {times} times");
    }
    sleep(Duration::from_millis(200)).await;
    let (after, taken_after) = counts(&room);
    room.end().await?;
    let frames = after.wire_out_frames - before.wire_out_frames;
    if after.wire_out_frames == 0 {
        return Ok("the adapter does not count".to_owned());
    }
    let (packets, bytes) =
        (after.wire_out_packets - before.wire_out_packets, after.wire_out_bytes - before.wire_out_bytes);
    let copies = if shares { 1 } else { MEMBERS };
    let least = copies * (MESSAGES + 1);
    ensure!(frames >= least, "{frames} frames carried {least} copies");
    // Beside them heartbeats and acknowledgements, and no more.
    let most = least + least / 4 + 40;
    ensure!(frames <= most, "{frames} frames for {least} copies of messages");
    ensure!(bytes <= frames * 900, "{bytes} bytes for {least} copies of 500 bytes");
    let queued = after.frames_out - before.frames_out;
    ensure!(frames == queued, "{queued} frames were queued and {frames} sent");
    let taken: Vec<u64> = taken_after.iter().zip(&taken_before).map(|(after, before)| after - before).collect();
    let arrived: u64 = taken.iter().sum();
    if shares {
        // Whoever listens, a frame is one packet, and comes to each once.
        ensure!(packets <= frames, "{packets} packets were sent for {frames} frames");
        ensure!(taken.iter().all(|taken| *taken <= frames), "{frames} frames were sent, and members took {taken:?}");
    } else {
        ensure!(arrived <= frames, "{frames} frames were sent and {arrived} arrived");
    }
    if can.reliable {
        ensure!(arrived >= frames, "{frames} frames were sent and {arrived} arrived");
        ensure!(after.data_dropped == 0, "{} frames were dropped", after.data_dropped);
    }
    Ok(format!("{} messages to {MEMBERS} members: {frames} frames, {packets} packets, {bytes} bytes", MESSAGES + 1))
}
