//! What crosses the network, as adapters count it.

use std::time::Duration;

use sodality::policy::Communication;
use tokio::time::sleep;

use crate::conformance::room::{Room, Speaker, Stage};
use crate::conformance::seat::{ensure, text};
use crate::conformance::{Failure, Network, System, Verdict};
use crate::report::DriverStats;

const MESSAGES: u64 = 100;
const MEMBERS: u64 = 4;
/// In bytes.
const LENGTH: usize = 500;

/// The leader's counters, and those of each member.
type Counts = (DriverStats, Vec<DriverStats>);

fn counts<N: Network, S: System>(room: &Room<N, S>) -> Counts {
    (room.leader.handle.stats(), room.members.iter().map(|seat| seat.handle.stats()).collect())
}

/// What one driver sent between two readings: `copies` of each message, and little beside them. Says how many frames and
/// packets these were.
fn sent(before: &DriverStats, after: &DriverStats, copies: u64, once: bool) -> Result<(u64, u64), Failure> {
    let frames = after.wire_out_frames - before.wire_out_frames;
    let (packets, bytes) =
        (after.wire_out_packets - before.wire_out_packets, after.wire_out_bytes - before.wire_out_bytes);
    let least = copies * (MESSAGES + 1);
    ensure!(frames >= least, "{frames} frames carried {least} copies");
    // Beside them heartbeats and acknowledgements, and no more.
    ensure!(frames <= least + least / 4 + 40, "{frames} frames for {least} copies of messages");
    ensure!(bytes <= frames * 900, "{bytes} bytes for {least} copies of {LENGTH} bytes");
    let queued = after.frames_out - before.frames_out;
    ensure!(frames == queued, "{queued} frames were queued and {frames} sent");
    // Whoever listens.
    ensure!(!once || packets <= frames, "{packets} packets were sent for {frames} frames");
    Ok((frames, packets))
}

/// One says all messages; what was counted meanwhile.
async fn speak<N: Network, S: System>(room: &Room<N, S>, from: Speaker) -> Result<(Counts, Counts), Failure> {
    sleep(Duration::from_millis(300)).await;
    let before = counts(room);
    let listener = room.member(1)?;
    let mark = listener.log.mark();
    for number in 0..MESSAGES {
        match from {
            Speaker::Leader => room.leader.say(text(LENGTH, number)).await?,
            Speaker::Member(index) => room.member(index)?.say(text(LENGTH, number)).await?,
        }
    }
    room.tell(from, text(LENGTH, MESSAGES)).await?;
    let heard = listener.log.texts(mark);
    let said: Vec<_> = (0..=MESSAGES).map(|number| text(LENGTH, number)).collect();
    if room.stage.network.capabilities().reliable {
        ensure!(heard == said, "messages of {from:?} came in another order");
    }
    // The last may have been said again.
    for said in said.iter().rev().skip(1) {
        let times = heard.iter().filter(|heard| *heard == said).count();
        ensure!(times <= 1, "a message of {from:?} was heard {times} times");
    }
    Ok((before.clone(), at_rest(room, &before).await))
}

/// The counts once all that the leader queued is sent and nothing arrives any more; or later, if that does not come.
async fn at_rest<N: Network, S: System>(room: &Room<N, S>, before: &Counts) -> Counts {
    let arrived = |(_, members): &Counts| members.iter().map(|stats| stats.wire_in_frames).sum::<u64>();
    let mut now = counts(room);
    for _ in 0..25 {
        sleep(Duration::from_millis(200)).await;
        let earlier = std::mem::replace(&mut now, counts(room));
        let queued = now.0.frames_out - before.0.frames_out;
        if now.0.wire_out_frames - before.0.wire_out_frames == queued && arrived(&now) == arrived(&earlier) {
            break;
        }
    }
    now
}

pub(in super::super) async fn what_crosses_the_network<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let can = stage.network.capabilities();
    let mut room = stage.room(stage.patient()).await?;
    room.join(&["m0", "m1", "m2", "m3"]).await?;
    let mode = room.terms.communication;
    let shares = mode != Communication::Relay;
    let of_leader = speak(&room, Speaker::Leader).await?;
    let of_member = speak(&room, Speaker::Member(0)).await?;
    room.end().await?;
    if of_leader.1.0.wire_out_frames == 0 {
        return Ok("the adapter does not count".to_owned());
    }
    let mut words = String::new();
    let relayed = match mode {
        Communication::Relay => MEMBERS - 1,
        Communication::Mixed => 1,
        Communication::Symmetric => 0,
    };
    let turns = [
        (Speaker::Leader, of_leader, if shares { 1 } else { MEMBERS }, 0),
        (Speaker::Member(0), of_member, relayed, 1),
    ];
    for (from, (before, after), copies, own) in turns {
        let (frames, packets) = sent(&before.0, &after.0, copies, shares)?;
        let mut others = 0;
        let mut taken = Vec::new();
        for (number, (before, after)) in before.1.iter().zip(&after.1).enumerate() {
            others += sent(before, after, if number == 0 { own } else { 0 }, shares)?.0;
            taken.push(after.wire_in_frames - before.wire_in_frames);
        }
        let arrived: u64 = taken.iter().sum();
        if shares {
            // Once to each.
            let most = frames + others;
            ensure!(taken.iter().all(|taken| *taken <= most), "{most} frames were sent, and members took {taken:?}");
        } else {
            ensure!(arrived <= frames, "{frames} frames were sent and {arrived} arrived");
        }
        if can.reliable {
            ensure!(arrived >= frames, "{frames} frames were sent and {arrived} arrived");
            let dropped = after.0.data_dropped;
            ensure!(dropped == 0, "{dropped} frames were dropped");
        }
        words += &format!("; {from:?}: {frames} frames of the leader in {packets} packets, {others} of members");
    }
    Ok(format!("{} messages to all by each{words}", MESSAGES + 1))
}
